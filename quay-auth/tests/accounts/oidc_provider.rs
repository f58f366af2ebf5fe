//! Robots log in by a real issuer: npm's `oidc-provider`, which this test installs and starts.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use quay_auth::FederatedRobots;
use quay_core::accounts::{AccountId, RobotTokens};
use quay_core::http::{HttpClient as _, HttpErrorKind, HttpLimits, HttpRequest};
use quay_core::runtime::Timestamp;
use quay_core::{Caller, Principal};
use quay_http::ReqwestClient;
use serde_json::{Value, json};

use crate::support::{World, basic, proven};

const PACKAGE: &str = "oidc-provider@9.13.3";
const SCRIPT: &str = include_str!("oidc_provider.mjs");

/// The issuer, which ends with this value.
struct Issuer {
    process: Child,
    url: String,
}

impl Drop for Issuer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Issuer {
    fn start(arguments: &[PathBuf]) -> Self {
        let directory = installed();
        let mut process = Command::new("node")
            .arg("issuer.mjs")
            .args(arguments)
            .current_dir(directory)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        // Ends when the issuer does.
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let url = line.trim().to_owned();
        let issuer = Self { process, url };
        assert!(issuer.url.starts_with("http"), "the issuer did not start");
        issuer
    }

    async fn token(&self, client: &ReqwestClient, id: &str) -> String {
        let form =
            format!("grant_type=client_credentials&client_id={id}&client_secret=the+secret+of+the+client");
        let request = HttpRequest::post(format!("{}/token", self.url), form)
            .with_header("content-type", "application/x-www-form-urlencoded");
        let response = client.send(request, &HttpLimits::default()).await.unwrap();
        let answer: Value = serde_json::from_slice(&response.body).unwrap();
        answer["access_token"].as_str().unwrap().to_owned()
    }
}

/// Where the package and the script are, installed by whichever test comes first.
fn installed() -> &'static Path {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("oidc-provider");
        std::fs::create_dir_all(&directory).unwrap();
        if !directory.join("node_modules/oidc-provider").exists() {
            let arguments = [
                "install",
                "--no-audit",
                "--no-fund",
                "--silent",
                "--prefix",
                ".",
                PACKAGE,
            ];
            succeed(Command::new("npm").args(arguments).current_dir(&directory));
        }
        std::fs::write(directory.join("issuer.mjs"), SCRIPT).unwrap();
        directory
    })
}

fn succeed(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
}

/// An authority of this test's own, and a certificate for `localhost`: `ca.pem`, `server.pem`, `server.key`.
fn certificates(directory: &Path) {
    let new = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"];
    let authority = ["-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.pem"];
    let server = [
        "-CA",
        "ca.pem",
        "-CAkey",
        "ca.key",
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=DNS:localhost",
        "-addext",
        "basicConstraints=critical,CA:FALSE",
        "-keyout",
        "server.key",
        "-out",
        "server.pem",
    ];
    for arguments in [&authority[..], &server[..]] {
        let mut command = Command::new("openssl");
        succeed(command.args(new).args(arguments).current_dir(directory));
    }
}

/// A robot that trusts the issuer's clients, at the time of a token.
async fn trusting(world: &World, issuer: &Issuer, token: &str) -> AccountId {
    world.clock.set(issued(token));
    let alice = world.user("alice", "password").await;
    let robot = world.robot(&alice, "builder", "TOKEN").await;
    let trusted = json!([
        { "issuer": issuer.url, "subject": "builder" },
        { "issuer": issuer.url, "subject": "curved-builder" },
    ]);
    world
        .change(robot.id, |robot| robot.federation = Some(trusted.to_string()))
        .await;
    robot.id
}

fn issued(token: &str) -> Timestamp {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    Timestamp::from_millis(claims["iat"].as_i64().unwrap() * 1000)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_issuer() {
    let issuer = tokio::task::spawn_blocking(|| Issuer::start(&[])).await.unwrap();
    let guarded = ReqwestClient::new::<&str>([]).unwrap();
    let client = guarded
        .clone()
        .with_private_targets_allowed(["127.0.0.1"])
        .unwrap();
    let token = issuer.token(&client, "builder").await;

    let world = World::new().await;
    let robot = trusting(&world, &issuer, &token).await;
    let tokens = world.tokens().await;
    let federated = |client: &ReqwestClient| {
        FederatedRobots::new(
            Arc::new(client.clone()),
            Arc::clone(&tokens),
            world.runtime.clone(),
        )
    };
    let robots: Arc<dyn RobotTokens> = Arc::new(federated(&client).with_plain_http_allowed());
    let credentials = world.credentials().with_federation(Arc::clone(&robots));

    for id in ["builder", "curved-builder"] {
        let token = issuer.token(&client, id).await;
        let identity = proven(basic(&credentials, "alice+builder", &token).await);
        assert_eq!(
            identity.principal,
            Principal::Robot("alice+builder".into()),
            "{id}"
        );
    }
    let accounts = world.accounts(Arc::clone(&tokens), Some(robots));
    let caller = Caller::anonymous();
    let exchanged = accounts
        .exchange_robot_token(&caller, "alice+builder", &token)
        .await
        .unwrap();
    proven(basic(&credentials, "alice+builder", &exchanged).await);

    let judge = async |robots: FederatedRobots, token: &str| {
        let robot = world.find(robot).await;
        robots.judge(&robot, token).await.is_some()
    };
    let plain = |client: &ReqwestClient| federated(client).with_plain_http_allowed();
    assert!(judge(plain(&client), &token).await);
    let strangers = issuer.token(&client, "stranger").await;
    assert!(!judge(plain(&client), &strangers).await);
    // Neither by a client that is not let into the private network, nor without TLS unless that is wanted.
    assert!(!judge(plain(&guarded), &token).await);
    assert!(!judge(federated(&client), &token).await);
    world.clock.advance(Duration::from_secs(631));
    assert!(!judge(plain(&client), &token).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_proves_itself_to_the_deployments_authority() {
    let directory = tempfile::tempdir().unwrap();
    certificates(directory.path());
    let files = ["server.pem", "server.key"].map(|name| directory.path().join(name));
    let issuer = tokio::task::spawn_blocking(move || Issuer::start(&files))
        .await
        .unwrap();
    let authority = std::fs::read(directory.path().join("ca.pem")).unwrap();
    let allowed = ["localhost", "127.0.0.1"];
    let trusting_client = ReqwestClient::new([authority]).unwrap();
    let trusting_client = trusting_client.with_private_targets_allowed(allowed).unwrap();
    let client = ReqwestClient::new::<&str>([]).unwrap();
    let client = client.with_private_targets_allowed(allowed).unwrap();

    let token = issuer.token(&trusting_client, "builder").await;
    let world = World::new().await;
    let robot = trusting(&world, &issuer, &token).await;
    let tokens = world.tokens().await;
    for (client, expected) in [(&client, false), (&trusting_client, true)] {
        let client = Arc::new(client.clone());
        let robots = FederatedRobots::new(client, Arc::clone(&tokens), world.runtime.clone());
        let robot = world.find(robot).await;
        assert_eq!(robots.judge(&robot, &token).await.is_some(), expected);
    }
    // The certificate is for the name alone.
    let request = HttpRequest::get(issuer.url.replace("localhost", "127.0.0.1"));
    let refused = trusting_client.send(request, &HttpLimits::default()).await;
    assert_eq!(refused.unwrap_err().kind(), HttpErrorKind::Unreachable);
}
