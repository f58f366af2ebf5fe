use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::FutureExt as _;
use futures::executor::block_on;
use quay_core::accounts::{AccountKind, AccountOptions, KeyApproval, ServiceKey, TokenIssuer, TokenRequest};
use quay_core::auth::{Authentication, Authenticator, Credentials, Identity};
use quay_core::http::{HttpError, HttpErrorKind, HttpLimits, HttpRequest, HttpResponse};
use quay_core::testing::{ManualClock, test_runtime};
use quay_core::{CredentialKind, Principal};
use serde_json::{Value, json};

use super::*;
use crate::keys::InstanceKey;
use crate::registry_token::RegistryTokenOptions;
use crate::token_keys::KeyLookup;

const NOW_S: i64 = 1_600_000_000;
const ISSUER: &str = "https://issuer.example/realm";
const DISCOVERY: &str = "https://issuer.example/realm/.well-known/openid-configuration";
const KEYS: &str = "https://issuer.example/keys";

/// Other hosts, as a test wants them.
#[derive(Debug, Default)]
struct Script {
    answers: Mutex<HashMap<String, Answer>>,
    asked: Mutex<Vec<String>>,
    /// While it is locked nobody answers.
    gate: async_lock::Mutex<()>,
}

#[derive(Debug, Clone)]
enum Answer {
    Body(u16, String),
    Failure(HttpErrorKind),
}

#[async_trait]
impl HttpClient for Script {
    async fn send(&self, request: HttpRequest, limits: &HttpLimits) -> Result<HttpResponse, HttpError> {
        assert_eq!(limits.max_redirects, 0);
        assert!(limits.max_response_bytes <= 256 << 10 && limits.time <= Duration::from_secs(5));
        self.asked.lock().unwrap().push(request.url.clone());
        drop(self.gate.lock().await);
        match self.answers.lock().unwrap().get(&request.url) {
            Some(Answer::Body(status, body)) => Ok(HttpResponse::new(*status, vec![], body.clone())),
            Some(Answer::Failure(kind)) => Err(HttpError::new(*kind, "scripted")),
            None => Err(HttpError::new(HttpErrorKind::Unreachable, "nobody there")),
        }
    }
}

impl Script {
    fn put(&self, url: &str, answer: Answer) {
        self.answers.lock().unwrap().insert(url.to_owned(), answer);
    }

    fn publish(&self, keys: &[Value]) {
        let discovery = json!({ "issuer": ISSUER, "jwks_uri": KEYS, "other": [1] });
        self.put(DISCOVERY, Answer::Body(200, discovery.to_string()));
        self.put(KEYS, Answer::Body(200, json!({ "keys": keys }).to_string()));
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

/// The registry's own key, by whatever id.
#[derive(Debug)]
struct OwnKey(InstanceKey);

#[async_trait]
impl KeyLookup for OwnKey {
    async fn service_key(&self, kid: &str) -> Result<Option<ServiceKey>, StoreError> {
        let at = Timestamp::from_millis(0);
        Ok(Some(ServiceKey {
            kid: self.0.kid().to_owned(),
            name: String::new(),
            service: "quay".to_owned(),
            jwk: self.0.jwk().to_string(),
            metadata: "{}".to_owned(),
            created: at,
            expires: None,
            rotation_s: None,
            approval: Some(KeyApproval {
                kind: "Automatic".to_owned(),
                approver: None,
                at,
                notes: String::new(),
            }),
        })
        .filter(|row| row.kid == kid))
    }
}

struct Setup {
    robots: Arc<FederatedRobots>,
    tokens: Arc<RegistryTokens>,
    hosts: Arc<Script>,
    clock: Arc<ManualClock>,
    robot: Account,
    provider: InstanceKey,
}

fn known_key() -> InstanceKey {
    InstanceKey::from_pem(include_str!("../../tests/data/instance.pem")).unwrap()
}

fn setup() -> Setup {
    let (runtime, clock) = test_runtime();
    let options = AccountOptions::new("https", "registry.example");
    let options = RegistryTokenOptions::new(&options, None);
    let own = InstanceKey::generate().unwrap();
    let lookup = Box::new(OwnKey(own.clone()));
    let tokens = Arc::new(RegistryTokens::with_lookup(own, options, lookup, runtime.clone()));
    let hosts = Arc::new(Script::default());
    let client: Arc<dyn HttpClient> = Arc::<Script>::clone(&hosts);
    let robots = FederatedRobots::new(client, Arc::clone(&tokens), runtime);
    let now = Timestamp::from_millis(NOW_S * 1000);
    let mut robot = Account::new(AccountKind::Robot, "alice+builder", "uuid".to_owned(), now);
    robot.federation = Some(json!([{ "issuer": ISSUER, "subject": "builder" }]).to_string());
    let provider = known_key();
    hosts.publish(&[published(&provider)]);
    Setup {
        robots: Arc::new(robots),
        tokens,
        hosts,
        clock,
        robot,
        provider,
    }
}

/// A public key as a provider publishes it.
fn published(key: &InstanceKey) -> Value {
    let mut jwk = key.jwk().clone();
    jwk["kid"] = key.kid().into();
    jwk["use"] = "sig".into();
    jwk["alg"] = "RS256".into();
    jwk
}

fn claims() -> Value {
    json!({
        "iss": ISSUER, "sub": "builder", "aud": "somebody else",
        "iat": NOW_S, "nbf": NOW_S, "exp": NOW_S + 600,
    })
}

fn with(name: &str, value: impl Into<Value>) -> Value {
    let mut claims = claims();
    claims[name] = value.into();
    claims
}

fn encoded(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", part(header), part(claims))
}

struct Curve(EcdsaKeyPair);

impl Curve {
    fn new() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    fn published(&self, kid: &str) -> Value {
        let point = self.0.public_key().as_ref();
        let number = |range| URL_SAFE_NO_PAD.encode(&point[range]);
        json!({ "kty": "EC", "crv": "P-256", "kid": kid, "x": number(1..33), "y": number(33..65) })
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let signed = encoded(header, claims);
        let signature = self.0.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

impl Setup {
    fn judge(&self, token: &str) -> Option<FederatedSubject> {
        block_on(self.robots.judge(&self.robot, token))
    }

    fn accepts(&self, token: &str) -> bool {
        self.judge(token).is_some()
    }

    fn accepts_claims(&self, claims: &Value) -> bool {
        self.accepts(&self.provider.sign(claims).unwrap())
    }

    fn is_issued(&self, robot: &Account, token: &str) -> bool {
        block_on(self.robots.is_issued(robot, token)).unwrap()
    }

    fn issue(&self) -> String {
        let subject = FederatedSubject::new(ISSUER.to_owned(), "builder".to_owned());
        let now = self.robots.runtime.clock.now();
        block_on(self.robots.issue(&self.robot, &subject, now)).unwrap()
    }
}

#[test]
fn a_trusted_providers_token() {
    let setup = setup();
    let expected = FederatedSubject::new(ISSUER.to_owned(), "builder".to_owned());
    let token = setup.provider.sign(&claims()).unwrap();
    assert_eq!(setup.judge(&token), Some(expected));
    assert_eq!(setup.hosts.asked(), [DISCOVERY, KEYS]);
    assert!(setup.accepts(&token));
    assert_eq!(setup.hosts.asked(), [""; 0]);
}

#[test]
fn nobody_is_asked_whom_the_robot_does_not_trust() {
    let mut setup = setup();
    for claims in [
        with("sub", "other"),
        with("sub", "Builder"),
        with("iss", "https://issuer.example/realm/"),
        with("iss", "https://other.example"),
        with("iss", json!([ISSUER])),
        with("sub", 5),
    ] {
        assert!(!setup.accepts_claims(&claims), "{claims}");
    }
    for federation in [
        None,
        Some("[]"),
        Some("{"),
        Some("{}"),
        Some(r#"[{"issuer": "https://issuer.example/realm"}]"#),
        Some(
            r#"[{"issuer": "https://issuer.example/realm", "subject": "x"}, {"issuer": "x", "subject": "builder"}]"#,
        ),
    ] {
        setup.robot.federation = federation.map(ToOwned::to_owned);
        assert!(!setup.accepts_claims(&claims()), "{federation:?}");
    }
    setup.robot.federation = Some(json!([{ "issuer": ISSUER, "subject": "builder" }]).to_string());
    setup.robot.kind = AccountKind::User;
    assert!(!setup.accepts_claims(&claims()));
    assert_eq!(setup.hosts.asked(), [""; 0]);
}

#[test]
fn times() {
    let setup = setup();
    for (name, value, expected) in [
        ("exp", json!(NOW_S - 29), true),
        ("exp", json!(NOW_S - 30), false),
        ("exp", json!(null), false),
        ("exp", json!("1700000000"), false),
        ("exp", json!(1_700_000_000.5), true),
        ("iat", json!(NOW_S + 30), true),
        ("iat", json!(NOW_S + 31), false),
        ("iat", json!(null), false),
        ("nbf", json!(NOW_S + 30), true),
        ("nbf", json!(NOW_S + 31), false),
        ("nbf", json!(null), false),
        ("aud", json!(["whoever"]), true),
        ("aud", json!(null), true),
    ] {
        assert_eq!(
            setup.accepts_claims(&with(name, value.clone())),
            expected,
            "{name} {value}"
        );
    }
    for (name, expected) in [("exp", false), ("iat", false), ("nbf", true), ("aud", true)] {
        let mut claims = claims();
        claims.as_object_mut().unwrap().remove(name);
        assert_eq!(setup.accepts_claims(&claims), expected, "{name}");
    }
    setup.clock.advance(Duration::from_secs(630));
    assert!(!setup.accepts_claims(&claims()));
}

#[test]
fn curves_and_tokens_without_a_key_id() {
    let setup = setup();
    let curve = Curve::new();
    let header = json!({ "alg": "ES256", "kid": "c" });
    setup
        .hosts
        .publish(&[published(&setup.provider), curve.published("c")]);
    assert!(setup.accepts(&curve.sign(&header, &claims())));
    assert!(setup.accepts_claims(&claims()));
    // The only key of its algorithm.
    let anonymous = json!({ "alg": "ES256" });
    assert!(setup.accepts(&curve.sign(&anonymous, &claims())));
    assert!(!setup.accepts(&Curve::new().sign(&header, &claims())));
    assert!(!setup.accepts(&Curve::new().sign(&anonymous, &claims())));

    setup.clock.advance(Duration::from_mins(1));
    let keys = [curve.published("c"), Curve::new().published("d")];
    setup.hosts.publish(&keys);
    let unknown = json!({ "alg": "ES256", "kid": "d" });
    assert!(!setup.accepts(&curve.sign(&unknown, &claims())));
    assert!(setup.accepts(&curve.sign(&header, &claims())));
    assert!(!setup.accepts(&curve.sign(&anonymous, &claims())));
}

#[test]
fn forged_tokens() {
    let setup = setup();
    let curve = Curve::new();
    setup
        .hosts
        .publish(&[published(&setup.provider), curve.published("c")]);
    let kid = setup.provider.kid();
    let good = setup.provider.sign(&claims()).unwrap();
    let (_, signature) = good.rsplit_once('.').unwrap();
    assert!(setup.accepts(&good));
    for algorithm in [
        "none", "None", "", "HS256", "HS512", "RS512", "PS256", "rs256", "ES256", "ES384",
    ] {
        let header = json!({ "alg": algorithm, "kid": kid });
        let signed = encoded(&header, &claims());
        assert!(!setup.accepts(&format!("{signed}.")), "{algorithm}");
        assert!(!setup.accepts(&format!("{signed}.{signature}")), "{algorithm}");
        // The key that all may see is no secret.
        for secret in [
            setup.provider.public_pem().unwrap(),
            published(&setup.provider).to_string(),
            setup.provider.jwk()["n"].as_str().unwrap().to_owned(),
        ] {
            let secret = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
            let tag = URL_SAFE_NO_PAD.encode(hmac::sign(&secret, signed.as_bytes()));
            assert!(!setup.accepts(&format!("{signed}.{tag}")), "{algorithm}");
        }
    }
    // A key counts for its own algorithm only, whatever the token says.
    for header in [
        json!({ "alg": "RS256", "kid": "c" }),
        json!({ "alg": "ES256", "kid": kid }),
        json!({ "alg": "ES256", "kid": "c", "crit": ["x"] }),
        json!({ "alg": "ES256", "kid": "x", "jwk": curve.published("x"), "jku": KEYS }),
    ] {
        assert!(!setup.accepts(&curve.sign(&header, &claims())), "{header}");
    }
    let other = InstanceKey::generate().unwrap();
    assert!(!setup.accepts(&other.sign(&claims()).unwrap()));
    let changed = encoded(&json!({ "alg": "RS256", "kid": kid }), &with("exp", NOW_S + 9999));
    assert!(!setup.accepts(&format!("{changed}.{signature}")));
    for text in ["", "..", "a.b.c", "x", &good[1..], &format!("{good}.x")] {
        assert!(!setup.accepts(text), "{text}");
    }
}

#[test]
fn providers_that_answer_wrongly_are_let_alone_for_a_while() {
    let document = |issuer: &str, keys: &str| json!({ "issuer": issuer, "jwks_uri": keys }).to_string();
    let sound = |body: String| Answer::Body(200, body);
    let good = document(ISSUER, KEYS);
    let huge = format!("{good}{}", " ".repeat(64 << 10));
    for (url, answer) in [
        (DISCOVERY, sound(document("https://other.example", KEYS))),
        (DISCOVERY, sound(document("https://issuer.example/realm/", KEYS))),
        (DISCOVERY, sound(document(ISSUER, "http://issuer.example/keys"))),
        (DISCOVERY, sound(document(ISSUER, "file:///etc/passwd"))),
        (
            DISCOVERY,
            sound(document(ISSUER, "https://a@issuer.example/keys")),
        ),
        (DISCOVERY, sound(document(ISSUER, ""))),
        (DISCOVERY, sound(huge)),
        (DISCOVERY, sound("{}".to_owned())),
        (DISCOVERY, sound("[".repeat(10_000))),
        (DISCOVERY, Answer::Body(404, good.clone())),
        (DISCOVERY, Answer::Body(302, good.clone())),
        (DISCOVERY, Answer::Failure(HttpErrorKind::TimedOut)),
        (DISCOVERY, Answer::Failure(HttpErrorKind::TooLarge)),
        (DISCOVERY, Answer::Failure(HttpErrorKind::TargetRefused)),
        (
            KEYS,
            sound(format!("{}{}", json!({ "keys": [] }), " ".repeat(256 << 10))),
        ),
        (KEYS, sound(r#"{"keys": {}}"#.to_owned())),
        (KEYS, Answer::Body(500, String::new())),
        (KEYS, Answer::Failure(HttpErrorKind::TimedOut)),
    ] {
        let setup = setup();
        setup.hosts.put(url, answer.clone());
        assert!(!setup.accepts_claims(&claims()), "{answer:?}");
        assert_eq!(setup.hosts.asked().len(), if url == DISCOVERY { 1 } else { 2 });
        setup.hosts.publish(&[published(&setup.provider)]);
        setup.clock.advance(Duration::from_secs(9));
        assert!(!setup.accepts_claims(&claims()), "{answer:?}");
        assert_eq!(setup.hosts.asked(), [""; 0]);
        setup.clock.advance(Duration::from_secs(1));
        assert!(setup.accepts_claims(&claims()), "{answer:?}");
    }
}

#[test]
fn keys_that_are_none_are_left_out() {
    let setup = setup();
    let kid = setup.provider.kid();
    let mut private = published(&setup.provider);
    private["d"] = "AQAB".into();
    let mut for_encryption = published(&setup.provider);
    for_encryption["use"] = "enc".into();
    let mut off_the_curve = Curve::new().published("c");
    off_the_curve["x"] = off_the_curve["y"].clone();
    let symmetric = json!({ "kty": "oct", "kid": kid, "k": "AAAA" });
    let wrong = [private, for_encryption, off_the_curve, symmetric, json!(5)];
    setup.hosts.publish(&wrong);
    assert!(!setup.accepts_claims(&claims()));
    setup.clock.advance(Duration::from_mins(1));
    let many: Vec<Value> = std::iter::repeat_n(json!({}), 100)
        .chain([published(&setup.provider)])
        .collect();
    setup.hosts.publish(&many);
    assert!(!setup.accepts_claims(&claims()));
    setup.clock.advance(Duration::from_mins(1));
    setup.hosts.publish(&many[1..]);
    assert!(setup.accepts_claims(&claims()));
}

#[test]
fn keys_change() {
    let setup = setup();
    let minute = Duration::from_mins(1);
    let lasting = |key: &InstanceKey| key.sign(&with("exp", NOW_S + 100_000)).unwrap();
    let next = InstanceKey::generate().unwrap();
    assert!(setup.accepts(&lasting(&setup.provider)));
    setup
        .hosts
        .publish(&[published(&setup.provider), published(&next)]);
    setup.hosts.asked();
    // Not even asked for again within the minute, whoever invents ids.
    setup.clock.advance(Duration::from_secs(59));
    assert!(!setup.accepts(&lasting(&next)));
    assert_eq!(setup.hosts.asked(), [""; 0]);
    setup.clock.advance(Duration::from_secs(1));
    assert!(setup.accepts(&lasting(&next)) && setup.accepts(&lasting(&setup.provider)));
    assert_eq!(setup.hosts.asked().len(), 2);
    for _ in 0..3 {
        assert!(!setup.accepts(&lasting(&InstanceKey::generate().unwrap())));
    }
    assert_eq!(setup.hosts.asked(), [""; 0]);
    // What is withdrawn ends within the hour.
    setup.hosts.publish(&[published(&next)]);
    setup.clock.advance(59 * minute);
    assert!(setup.accepts(&lasting(&setup.provider)));
    setup.clock.advance(minute);
    assert!(!setup.accepts(&lasting(&setup.provider)));
    assert!(setup.accepts(&lasting(&next)));
    assert_eq!(setup.hosts.asked().len(), 2);
    // A provider that is gone cannot vouch for keys of long ago.
    setup
        .hosts
        .put(DISCOVERY, Answer::Failure(HttpErrorKind::Unreachable));
    setup.clock.advance(60 * minute);
    assert!(!setup.accepts(&lasting(&next)));
}

#[test]
fn those_who_ask_at_the_same_time_share_the_answer() {
    let setup = setup();
    let gate = block_on(setup.hosts.gate.lock());
    let token = setup.provider.sign(&claims()).unwrap();
    // One who goes away takes nothing along.
    let mut impatient = setup.robots.judge(&setup.robot, &token);
    assert!((&mut impatient).now_or_never().is_none());
    drop(impatient);
    let waiting: Vec<_> = (0..8)
        .map(|_| {
            let mut judged = setup.robots.judge(&setup.robot, &token);
            assert!((&mut judged).now_or_never().is_none());
            judged
        })
        .collect();
    drop(gate);
    let judged = block_on(futures::future::join_all(waiting));
    assert!(judged.iter().all(Option::is_some));
    assert_eq!(setup.hosts.asked(), [DISCOVERY, KEYS]);
}

#[test]
fn only_so_many_providers_are_asked_at_a_time() {
    let mut setup = setup();
    let issuer = |number: usize| format!("https://issuer{number}.example");
    let entries: Vec<Value> = (0..20)
        .map(|number| json!({ "issuer": issuer(number), "subject": "builder" }))
        .collect();
    setup.robot.federation = Some(json!(entries).to_string());
    let _gate = block_on(setup.hosts.gate.lock());
    let waiting = (0..20).filter(|&number| {
        let token = setup.provider.sign(&with("iss", issuer(number))).unwrap();
        let mut judged = setup.robots.judge(&setup.robot, &token);
        (&mut judged).now_or_never().is_none()
    });
    assert_eq!(waiting.count(), 16);
}

#[test]
fn issuers_without_tls_or_sense() {
    let mut setup = setup();
    let plain = "http://issuer.example";
    let issuers = [
        plain,
        "https://issuer.example?a",
        "https://issuer.example#a",
        "https://a@issuer.example",
        "https://issuer.example/a b",
        "https://",
        "ftp://issuer.example",
    ];
    let entries = issuers.map(|issuer| json!({ "issuer": issuer, "subject": "builder" }));
    setup.robot.federation = Some(json!(entries).to_string());
    for issuer in issuers {
        assert!(!setup.accepts_claims(&with("iss", issuer)), "{issuer}");
    }
    assert_eq!(setup.hosts.asked(), [""; 0]);
    let discovery = format!("{plain}/.well-known/openid-configuration");
    let document = json!({ "issuer": plain, "jwks_uri": "http://issuer.example/keys" });
    setup
        .hosts
        .put(&discovery, Answer::Body(200, document.to_string()));
    let keys = json!({ "keys": [published(&setup.provider)] });
    setup
        .hosts
        .put("http://issuer.example/keys", Answer::Body(200, keys.to_string()));
    let robots = FederatedRobots::new(
        Arc::<Script>::clone(&setup.hosts),
        Arc::clone(&setup.tokens),
        setup.robots.runtime.clone(),
    );
    setup.robots = Arc::new(robots.with_plain_http_allowed());
    assert!(setup.accepts_claims(&with("iss", plain)));
    for issuer in &issuers[1..] {
        assert!(!setup.accepts_claims(&with("iss", *issuer)), "{issuer}");
    }
}

#[test]
fn a_token_given_in_exchange() {
    let setup = setup();
    let token = setup.issue();
    assert!(setup.is_issued(&setup.robot, &token));
    assert!(!setup.accepts(&token));
    let changed = |change: &dyn Fn(&mut Account)| {
        let mut robot = setup.robot.clone();
        change(&mut robot);
        robot
    };
    for robot in [
        changed(&|robot| robot.name = "alice+other".to_owned()),
        changed(&|robot| robot.uuid = "another".to_owned()),
        changed(&|robot| robot.kind = AccountKind::User),
        changed(&|robot| robot.federation = None),
        changed(&|robot| robot.federation = Some(json!([{ "issuer": ISSUER, "subject": "x" }]).to_string())),
    ] {
        assert!(!setup.is_issued(&robot, &token), "{robot:?}");
    }
    setup.clock.advance(Duration::from_secs(3629));
    assert!(setup.is_issued(&setup.robot, &token));
    setup.clock.advance(Duration::from_secs(1));
    assert!(!setup.is_issued(&setup.robot, &token));
    assert_eq!(setup.hosts.asked(), [""; 0]);
}

#[test]
fn one_kind_of_token_is_not_taken_for_another() {
    let setup = setup();
    let now = setup.robots.runtime.clock.now();
    let identity = Identity::new(
        Principal::Robot("alice+builder".into()),
        CredentialKind::RobotToken,
    )
    .with_credential_id("uuid");
    let mut request = TokenRequest::new(&identity, now, Duration::from_hours(1));
    request.audience = Some("registry.example");
    request.account = Some(&setup.robot);
    let bearer = block_on(setup.tokens.issue(&request)).unwrap();
    let taken = |token: &str| block_on(setup.tokens.authenticate(Credentials::Bearer(token))).unwrap();
    assert!(matches!(taken(&bearer), Authentication::Proven(_)));
    assert!(!setup.is_issued(&setup.robot, &bearer));
    assert!(!matches!(taken(&setup.issue()), Authentication::Proven(_)));
    assert!(!setup.is_issued(&setup.robot, &setup.provider.sign(&claims()).unwrap()));
}

#[test]
fn what_such_a_token_must_say() {
    let setup = setup();
    let good = json!({
        "iss": "quay", "aud": "registry.example", "sub": "alice+builder",
        "iat": NOW_S, "nbf": NOW_S, "exp": NOW_S + 3600,
        "robot": { "uuid": "uuid", "issuer": ISSUER, "subject": "builder" },
    });
    let key = setup.tokens.signing_key();
    assert!(setup.is_issued(&setup.robot, &key.sign(&good).unwrap()));
    assert!(!setup.is_issued(&setup.robot, &setup.provider.sign(&good).unwrap()));
    for (name, value) in [
        ("iss", json!("other")),
        ("aud", json!("other.example")),
        ("aud", json!(null)),
        ("sub", json!("alice")),
        ("sub", json!(null)),
        ("exp", json!(NOW_S + 3601)),
        ("exp", json!(NOW_S - 30)),
        ("exp", json!(null)),
        ("nbf", json!(NOW_S + 31)),
        ("robot", json!({})),
        ("robot", json!({ "uuid": "uuid" })),
        ("robot", json!("uuid")),
        ("robot", json!(null)),
    ] {
        let mut claims = good.clone();
        claims[name] = value;
        assert!(
            !setup.is_issued(&setup.robot, &key.sign(&claims).unwrap()),
            "{claims}"
        );
    }
}

#[test]
fn a_rule_may_demand_more_than_issuer_and_subject() {
    let mut setup = setup();
    let trust = |rule: Value| Some(json!([rule]).to_string());
    let with_branch = |branch: &str| with("branch", branch);
    setup.robot.federation = trust(json!({
        "issuer": ISSUER,
        "subject": "builder",
        "claims": { "branch": "release-*" },
    }));
    assert!(setup.accepts_claims(&with_branch("release-1")));
    for claims in [claims(), with_branch("main"), with_branch("x-release-1")] {
        assert!(!setup.accepts_claims(&claims), "{claims}");
    }
    setup.robot.federation = trust(json!({
        "issuer": ISSUER,
        "subject": "builder",
        "audience": "registry.example",
    }));
    assert!(setup.accepts_claims(&with("aud", json!(["other", "registry.example"]))));
    assert!(!setup.accepts_claims(&with("aud", "other")));
    // What was issued counts as long as the subject is trusted.
    let issued = setup.issue();
    assert!(setup.is_issued(&setup.robot, &issued));
}

#[test]
fn issuers_without_tls_are_not_taken() {
    let setup = setup();
    assert!(setup.robots.takes_issuer(ISSUER));
    assert!(!setup.robots.takes_issuer("http://issuer.example"));
    let robots = FederatedRobots::new(
        Arc::clone(&setup.hosts) as _,
        Arc::clone(&setup.robots.tokens),
        setup.robots.runtime.clone(),
    );
    assert!(
        robots
            .with_plain_http_allowed()
            .takes_issuer("http://issuer.example")
    );
}
