//! Robots log in by identity providers, directly and by exchange.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use quay_auth::{FederatedRobots, InstanceKey};
use quay_core::accounts::{Account, RobotTokens};
use quay_core::auth::Authentication;
use quay_core::http::{HttpClient, HttpError, HttpErrorKind, HttpLimits, HttpRequest, HttpResponse};
use quay_core::{Caller, CredentialKind, ErrorKind, Principal};
use serde_json::{Value, json};

use crate::support::{World, basic, proven};

const ISSUER: &str = "https://issuer.example";
const ROBOT: &str = "alice+builder";
const WRONG: Authentication =
    Authentication::Denied("Could not find robot with specified username and supplied password.");

/// Hosts with documents.
#[derive(Debug, Default)]
struct Hosts {
    documents: HashMap<String, String>,
    asked: Mutex<usize>,
}

#[async_trait]
impl HttpClient for Hosts {
    async fn send(&self, request: HttpRequest, _: &HttpLimits) -> Result<HttpResponse, HttpError> {
        *self.asked.lock().unwrap() += 1;
        let document = self.documents.get(&request.url);
        let document = document.ok_or_else(|| HttpError::new(HttpErrorKind::Unreachable, "nobody there"))?;
        Ok(HttpResponse::new(200, vec![], document.clone()))
    }
}

struct Federation {
    world: World,
    alice: Account,
    robot: Account,
    provider: InstanceKey,
    hosts: Arc<Hosts>,
}

impl Federation {
    async fn new() -> Self {
        let world = World::new().await;
        let alice = world.user("alice", "password").await;
        let robot = world.robot(&alice, "builder", &"A".repeat(64)).await;
        let trusted = json!([{ "issuer": ISSUER, "subject": "job" }]).to_string();
        world
            .change(robot.id, |robot| robot.federation = Some(trusted))
            .await;
        let provider = InstanceKey::generate().unwrap();
        let mut jwk = provider.jwk().clone();
        jwk["kid"] = provider.kid().into();
        let discovery = json!({ "issuer": ISSUER, "jwks_uri": format!("{ISSUER}/keys") });
        let documents = [
            ("/.well-known/openid-configuration", discovery),
            ("/keys", json!({ "keys": [jwk] })),
        ];
        let documents = documents.map(|(path, document)| (format!("{ISSUER}{path}"), document.to_string()));
        let hosts = Arc::new(Hosts {
            documents: HashMap::from(documents),
            asked: Mutex::default(),
        });
        Self {
            world,
            alice,
            robot,
            provider,
            hosts,
        }
    }

    async fn robots(&self) -> Arc<FederatedRobots> {
        Arc::new(FederatedRobots::new(
            Arc::<Hosts>::clone(&self.hosts),
            self.world.tokens().await,
            self.world.runtime.clone(),
        ))
    }

    fn token(&self, subject: &str) -> String {
        let now_s = self.world.now().as_millis() / 1000;
        let claims = json!({
            "iss": ISSUER, "sub": subject, "aud": "any", "iat": now_s, "exp": now_s + 600,
        });
        self.provider.sign(&claims).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_providers_token_is_a_robots_password() {
    let federation = Federation::new().await;
    let world = &federation.world;
    let token = federation.token("job");
    assert_eq!(basic(&world.credentials(), ROBOT, &token).await, WRONG);

    let credentials = world.credentials().with_federation(federation.robots().await);
    let identity = proven(basic(&credentials, ROBOT, &token).await);
    assert_eq!(identity.principal, Principal::Robot(ROBOT.into()));
    assert_eq!(identity.kind, CredentialKind::RobotToken);
    assert_eq!(
        identity.credential_id.as_deref(),
        Some(federation.robot.uuid.as_str())
    );
    assert_eq!(*federation.hosts.asked.lock().unwrap(), 2);
    proven(basic(&credentials, ROBOT, &"A".repeat(64)).await);
    for wrong in [
        federation.token("other"),
        "A".repeat(63),
        "ey..".to_owned(),
        String::new(),
    ] {
        assert_eq!(basic(&credentials, ROBOT, &wrong).await, WRONG, "{wrong}");
    }
    // Nobody but the robot.
    let other = world.robot(&federation.alice, "other", "TOKEN").await;
    assert_eq!(basic(&credentials, &other.name, &token).await, WRONG);
    assert!(matches!(
        basic(&credentials, "alice", &token).await,
        Authentication::Denied(_)
    ));
    // A robot needs no token of its own.
    world
        .change(federation.robot.id, |robot| robot.robot_token = None)
        .await;
    proven(basic(&credentials, ROBOT, &token).await);
    world
        .change(federation.alice.id, |alice| alice.enabled = false)
        .await;
    assert!(matches!(
        basic(&credentials, ROBOT, &token).await,
        Authentication::Denied(reason) if reason.contains("disabled")
    ));
    world.settle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exchange() {
    let federation = Federation::new().await;
    let world = &federation.world;
    let robots = federation.robots().await;
    let credentials = world
        .credentials()
        .with_federation(Arc::clone(&robots) as Arc<dyn RobotTokens>);
    let accounts = world.accounts(world.tokens().await, Some(robots));
    let nobody = Caller::anonymous();
    let token = federation.token("job");
    let exchanged = accounts
        .exchange_robot_token(&nobody, ROBOT, &token)
        .await
        .unwrap();
    let metadata = json!({ "robot": ROBOT, "issuer": ISSUER, "subject": "job" });
    let kind = "federated_robot_token_exchange".to_owned();
    let entry = (kind, "alice".to_owned(), Some(ROBOT.to_owned()), metadata);
    assert_eq!(world.log().await, [entry]);
    let identity = proven(basic(&credentials, ROBOT, &exchanged).await);
    assert_eq!(identity.principal, Principal::Robot(ROBOT.into()));

    // What was given in exchange, or is the robot's own, cannot be exchanged.
    for (name, wrong) in [
        (ROBOT, exchanged.as_str()),
        (ROBOT, &"A".repeat(64)),
        (ROBOT, &federation.token("other")),
        (ROBOT, ""),
        ("alice+other", &token),
        ("alice", &token),
        ("älice+builder", &token),
        ("", &token),
    ] {
        let error = accounts.exchange_robot_token(&nobody, name, wrong).await;
        assert_eq!(
            error.unwrap_err().kind(),
            ErrorKind::Unauthorized,
            "{name} {wrong}"
        );
    }
    assert_eq!(world.log().await.len(), 1);

    let clock = &world.clock;
    clock.advance(Duration::from_mins(59));
    proven(basic(&credentials, ROBOT, &exchanged).await);
    world
        .change(federation.robot.id, |robot| robot.uuid = "another".to_owned())
        .await;
    assert_eq!(basic(&credentials, ROBOT, &exchanged).await, WRONG);
    world
        .change(federation.robot.id, |robot| {
            robot.uuid.clone_from(&federation.robot.uuid);
        })
        .await;
    proven(basic(&credentials, ROBOT, &exchanged).await);
    clock.advance(Duration::from_secs(91));
    assert_eq!(basic(&credentials, ROBOT, &exchanged).await, WRONG);
    world.settle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_that_is_not_wanted() {
    let mut federation = Federation::new().await;
    let robots = federation.robots().await;
    let token = federation.token("job");
    let nobody = Caller::anonymous();
    let kind_of = async |federation: &Federation, robots: Option<Arc<dyn RobotTokens>>| {
        let accounts = federation.world.accounts(federation.world.tokens().await, robots);
        let exchanged = accounts.exchange_robot_token(&nobody, ROBOT, &token).await;
        exchanged.err().map(|error| error.kind())
    };
    let robots = || Some(Arc::clone(&robots) as Arc<dyn RobotTokens>);
    assert_eq!(kind_of(&federation, None).await, Some(ErrorKind::NotFound));
    assert_eq!(kind_of(&federation, robots()).await, None);
    federation.world.options.robots_disallow = true;
    federation.world.options.audit_login_failures = true;
    assert_eq!(
        kind_of(&federation, robots()).await,
        Some(ErrorKind::Unauthorized)
    );
    let log = federation.world.log().await;
    let (kind, _, performer, metadata) = log.last().unwrap();
    assert_eq!((kind.as_str(), performer), ("login_failure", &None));
    assert_eq!(metadata["kind"], Value::from("federation"));
    federation.world.options.robots_whitelist.insert(ROBOT.to_owned());
    assert_eq!(kind_of(&federation, robots()).await, None);
    let alice = federation.alice.id;
    federation
        .world
        .change(alice, |alice| alice.enabled = false)
        .await;
    assert_eq!(
        kind_of(&federation, robots()).await,
        Some(ErrorKind::Unauthorized)
    );
}
