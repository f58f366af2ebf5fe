use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::executor::block_on;
use quay_core::Access;
use quay_core::accounts::{KeyApproval, RepositoryRole, ServiceKey};
use quay_core::testing::auth::run_authenticator;
use quay_core::testing::{ManualClock, test_runtime};
use serde_json::{Value, json};

use super::*;

const NOW_S: i64 = 1_600_000_000;

/// Service keys in memory, and how often they were asked for.
#[derive(Debug, Default, Clone)]
struct Keys {
    rows: Arc<Mutex<HashMap<String, ServiceKey>>>,
    asked: Arc<AtomicUsize>,
}

#[async_trait]
impl KeyLookup for Keys {
    async fn service_key(&self, kid: &str) -> Result<Option<ServiceKey>, StoreError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        Ok(self.rows.lock().unwrap().get(kid).cloned())
    }
}

impl Keys {
    fn put(&self, key: &InstanceKey, change: impl FnOnce(&mut ServiceKey)) {
        let mut row = ServiceKey {
            kid: key.kid().to_owned(),
            name: String::new(),
            service: "quay".to_owned(),
            jwk: key.jwk().to_string(),
            metadata: "{}".to_owned(),
            created: Timestamp::from_millis(0),
            expires: None,
            rotation_s: None,
            approval: Some(KeyApproval {
                kind: "Automatic".to_owned(),
                approver: None,
                at: Timestamp::from_millis(0),
                notes: String::new(),
            }),
        };
        change(&mut row);
        self.rows.lock().unwrap().insert(row.kid.clone(), row);
    }

    fn asked(&self) -> usize {
        self.asked.swap(0, Ordering::SeqCst)
    }
}

struct Setup {
    tokens: RegistryTokens,
    keys: Keys,
    key: InstanceKey,
    clock: Arc<ManualClock>,
}

fn setup() -> Setup {
    let (runtime, clock) = test_runtime();
    let key = InstanceKey::from_pem(include_str!("../../tests/data/instance.pem")).unwrap();
    let keys = Keys::default();
    keys.put(&key, |_| {});
    let options = AccountOptions::new("https", "registry.example");
    let options = RegistryTokenOptions::new(&options, None);
    let tokens = RegistryTokens::with_lookup(key.clone(), options, Box::new(keys.clone()), runtime);
    Setup {
        tokens,
        keys,
        key,
        clock,
    }
}

/// What a token of alice's for `alice/app` says.
fn good() -> Value {
    json!({
        "iss": "quay", "aud": "registry.example", "sub": "alice",
        "nbf": NOW_S, "iat": NOW_S, "exp": NOW_S + 3600,
        "access": [{ "type": "repository", "name": "alice/app", "actions": ["pull", "push"] }],
        "context": { "version": 2, "entity_kind": "user", "entity_reference": "uuid" },
    })
}

impl Setup {
    fn ask(&self, token: &str) -> Authentication {
        block_on(self.tokens.authenticate(Credentials::Bearer(token))).unwrap()
    }

    fn accepts(&self, token: &str) -> bool {
        matches!(self.ask(token), Authentication::Proven(_))
    }

    fn accepts_claims(&self, claims: &Value) -> bool {
        self.accepts(&self.key.sign(claims).unwrap())
    }
}

#[test]
fn a_token_proves_what_it_was_issued_for() {
    let setup = setup();
    let alice = Identity::new(Principal::User("alice".into()), CredentialKind::AppSpecificToken)
        .with_credential_id("uuid");
    let grants = [("alice/app".to_owned(), vec!["pull", "push"])];
    let now = setup.tokens.runtime.clock.now();
    let mut request = TokenRequest::new(&alice, now, Duration::from_hours(1));
    request.audience = Some("registry.example");
    request.grants = &grants;
    let token = block_on(setup.tokens.issue(&request)).unwrap();
    let Authentication::Proven(identity) = setup.ask(&token) else {
        panic!("{:?}", setup.ask(&token));
    };
    assert_eq!(identity.principal, alice.principal);
    assert_eq!(identity.kind, CredentialKind::RegistryToken);
    assert_eq!(identity.credential_id.as_deref(), Some("uuid"));
    let Access::Grants(grants) = &identity.access else {
        panic!("{identity:?}");
    };
    assert_eq!(grants.role("alice/app"), Some(RepositoryRole::Write));
    assert_eq!(grants.role("alice/other"), None);
    assert_eq!(grants.credential, CredentialKind::AppSpecificToken);
    assert_eq!(grants.issued, Timestamp::from_millis(NOW_S * 1000));
    // For nobody in particular is for nobody.
    let mut elsewhere = request.clone();
    elsewhere.audience = None;
    assert!(!setup.accepts(&block_on(setup.tokens.issue(&elsewhere)).unwrap()));
}

#[test]
fn the_suite_and_other_credentials() {
    let setup = setup();
    let authenticator: Arc<dyn Authenticator> = Arc::new(setup.tokens);
    block_on(run_authenticator(&authenticator, None)).assert_passed();
    let ask = |credentials| block_on(authenticator.authenticate(credentials)).unwrap();
    assert!(matches!(
        ask(Credentials::None),
        Authentication::Proven(identity) if identity.principal == Principal::Anonymous
    ));
    for credentials in [
        Credentials::Unreadable,
        Credentials::Basic {
            username: "alice",
            password: "secret",
        },
    ] {
        assert!(matches!(ask(credentials), Authentication::Denied(_)));
    }
    assert_eq!(
        authenticator.challenge(Some("repository:a/b:pull")),
        "Bearer realm=\"https://registry.example/v2/auth\",service=\"registry.example\",\
         scope=\"repository:a/b:pull\""
    );
}

#[test]
fn a_pull_costs_no_statement() {
    let setup = setup();
    let token = setup.key.sign(&good()).unwrap();
    for _ in 0..10 {
        assert!(setup.accepts(&token));
    }
    assert_eq!(setup.keys.asked(), 1);
    setup.clock.advance(Duration::from_secs(30));
    for _ in 0..10 {
        assert!(setup.accepts(&token));
    }
    assert_eq!(setup.keys.asked(), 1);
}

#[test]
fn a_key_that_is_gone_stops_its_tokens() {
    for spoil in [
        Box::new(|row: &mut ServiceKey| row.approval = None) as Box<dyn Fn(&mut ServiceKey)>,
        Box::new(|row: &mut ServiceKey| row.service = "clair".to_owned()),
        Box::new(|row: &mut ServiceKey| row.expires = Some(Timestamp::from_millis(NOW_S * 1000))),
        Box::new(|row: &mut ServiceKey| row.jwk = "{}".to_owned()),
        Box::new(|row: &mut ServiceKey| row.jwk = String::new()),
        Box::new(|row: &mut ServiceKey| row.kid = "another".to_owned()),
    ] {
        let setup = setup();
        let token = setup.key.sign(&good()).unwrap();
        assert!(setup.accepts(&token));
        setup.keys.rows.lock().unwrap().clear();
        setup.keys.put(&setup.key, &spoil);
        setup.clock.advance(Duration::from_secs(29));
        assert!(setup.accepts(&token));
        setup.clock.advance(Duration::from_secs(1));
        assert_eq!(setup.ask(&token), Authentication::Denied(NOT_VALID));
        // Once it is back, its tokens count again.
        setup.keys.put(&setup.key, |_| {});
        setup.clock.advance(Duration::from_secs(2));
        assert!(setup.accepts(&token));
    }
}

#[test]
fn a_key_ends_on_time_though_it_is_remembered() {
    let setup = setup();
    let ends = Timestamp::from_millis((NOW_S + 5) * 1000);
    setup.keys.put(&setup.key, |row| row.expires = Some(ends));
    let token = setup.key.sign(&good()).unwrap();
    assert!(setup.accepts(&token));
    setup.clock.set(ends);
    assert!(!setup.accepts(&token));
    assert!(!setup.accepts_claims(&good()));
}

#[test]
fn a_token_ends_on_time_though_it_is_remembered() {
    let setup = setup();
    let token = setup.key.sign(&good()).unwrap();
    for (at_s, accepted) in [(-31, false), (-30, true), (3629, true), (3630, false), (0, true)] {
        setup.clock.set(Timestamp::from_millis((NOW_S + at_s) * 1000));
        assert_eq!(setup.accepts(&token), accepted, "{at_s}");
    }
}

#[test]
fn keys_change_without_a_pause() {
    let setup = setup();
    let old = setup.key.sign(&good()).unwrap();
    let next = InstanceKey::generate().unwrap();
    setup.keys.put(&next, |_| {});
    setup.tokens.rotate(next.clone());
    assert_eq!(setup.tokens.signing_key().kid(), next.kid());
    assert!(setup.accepts(&old));
    assert!(setup.accepts(&next.sign(&good()).unwrap()));
}

#[test]
fn every_claim_must_be_there_and_fit() {
    let setup = setup();
    assert!(setup.accepts_claims(&good()));
    for name in ["iss", "aud", "nbf", "iat", "exp", "access", "context"] {
        for value in [None, Some(json!(null)), Some(json!(1.5)), Some(json!("else"))] {
            let mut wrong = good();
            wrong.as_object_mut().unwrap().remove(name);
            if let Some(value) = value {
                wrong[name] = value;
            }
            assert!(!setup.accepts_claims(&wrong), "{wrong}");
        }
    }
    for (name, value) in [
        ("exp", NOW_S + 3661),
        ("exp", i64::MAX),
        ("exp", NOW_S - 31),
        ("iat", NOW_S - 61),
        ("iat", i64::MIN),
        ("iat", NOW_S + 31),
        ("nbf", NOW_S + 31),
    ] {
        let mut wrong = good();
        wrong[name] = value.into();
        assert!(!setup.accepts_claims(&wrong), "{wrong}");
    }
    let mut backwards = good();
    backwards["iat"] = (NOW_S + 20).into();
    backwards["exp"] = (NOW_S + 10).into();
    assert!(!setup.accepts_claims(&backwards));
    let mut several = good();
    several["aud"] = json!(["elsewhere", "registry.example"]);
    assert!(setup.accepts_claims(&several));
    // None of it was worth more than the one look at the key.
    assert_eq!(setup.keys.asked(), 1);
}

#[test]
fn forged_tokens() {
    let setup = setup();
    let key = &setup.key;
    let token = key.sign(&good()).unwrap();
    let [header, payload, signature]: [&str; 3] = token.split('.').collect::<Vec<_>>().try_into().unwrap();
    let kid = key.kid();
    let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let mut forged = vec![
        String::new(),
        ".".to_owned(),
        "a.b.c".to_owned(),
        format!("{header}.{payload}"),
        format!("{header}.{payload}."),
        format!("{token}.{signature}"),
        format!("{token}="),
        format!(" {token}"),
        format!("{token}\n"),
        format!("{token}x"),
        format!("{}.{payload}.{signature}", header.to_uppercase()),
        format!(
            "{}.{payload}.",
            encode(&format!(r#"{{"alg":"none","kid":"{kid}"}}"#))
        ),
        format!(
            "{}.{payload}.{signature}",
            encode(&format!(r#"{{"alg":"none","kid":"{kid}"}}"#))
        ),
        format!("{}.{payload}.{signature}", encode(r#"{"alg":"RS256"}"#)),
        format!(
            "{}.{payload}.{signature}",
            encode(&format!(r#"{{"kid":"{kid}"}}"#))
        ),
        format!(
            "{}.{payload}.{signature}",
            encode(r#"{"alg":"RS256","kid":["x"]}"#)
        ),
    ];
    // Headers that are signed properly, for all that a signature can be worth.
    let resign = |header: &str, payload: &str| {
        let signed = format!("{}.{}", encode(header), encode(payload));
        let signature = key_signature(key, &signed);
        format!("{signed}.{signature}")
    };
    let payload_text = good().to_string();
    let plain = format!(r#"{{"alg":"RS256","kid":"{kid}"}}"#);
    assert!(setup.accepts(&resign(&plain, &payload_text)));
    for header in [
        format!(r#"{{"alg":"RS256","alg":"RS256","kid":"{kid}"}}"#),
        format!(r#"{{"alg":"RS256","kid":"x","kid":"{kid}"}}"#),
        format!(r#"{{"alg":"RS256","kid":"{kid}","crit":["exp"]}}"#),
        format!(r#"{{"alg":"RS512","kid":"{kid}"}}"#),
        format!(r#"{{"alg":"RS256","kid":"{kid}","x":"{}"}}"#, "x".repeat(2000)),
        format!("{plain}x"),
        plain[..plain.len() - 1].to_owned(),
    ] {
        forged.push(resign(&header, &payload_text));
    }
    for payload in [
        payload_text.replacen('{', r#"{"sub":"root","#, 1),
        payload_text.replacen(r#""context":{"#, r#""context":{"entity_kind":"robot","#, 1),
        format!("{payload_text}x"),
        format!("[{payload_text}]"),
        "null".to_owned(),
    ] {
        assert_ne!(payload, payload_text);
        forged.push(resign(&plain, &payload));
    }
    // The public key taken for a shared secret.
    for secret in [key.public_pem().unwrap(), key.jwk().to_string()] {
        let header = encode(&format!(r#"{{"alg":"HS256","kid":"{kid}"}}"#));
        let signed = format!("{header}.{payload}");
        let tag = hmac::sign(
            &hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()),
            signed.as_bytes(),
        );
        forged.push(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag)));
    }
    let mut huge = good();
    huge["context"]["padding"] = "x".repeat(40_000).into();
    forged.push(key.sign(&huge).unwrap());
    for forged in &forged {
        assert!(!setup.accepts(forged), "{forged}");
    }
}

/// The signature of a text, as the third part of a token.
fn key_signature(key: &InstanceKey, signed: &str) -> String {
    use aws_lc_rs::{rand, signature};
    let pem = key.to_pem().unwrap();
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let der = base64::engine::general_purpose::STANDARD.decode(body).unwrap();
    let pair = signature::RsaKeyPair::from_pkcs8(&der).unwrap();
    let mut bytes = vec![0; pair.public_modulus_len()];
    let random = rand::SystemRandom::new();
    pair.sign(
        &signature::RSA_PKCS1_SHA256,
        &random,
        signed.as_bytes(),
        &mut bytes,
    )
    .unwrap();
    URL_SAFE_NO_PAD.encode(bytes)
}

#[test]
fn keys_of_strangers() {
    let setup = setup();
    let stranger = InstanceKey::generate().unwrap();
    let token = stranger.sign(&good()).unwrap();
    for _ in 0..10 {
        assert!(!setup.accepts(&token));
    }
    assert_eq!(setup.keys.asked(), 1);
    // An approved key of another service signs for that service only.
    setup.keys.put(&stranger, |row| row.service = "clair".to_owned());
    setup.clock.advance(Duration::from_secs(2));
    assert!(!setup.accepts(&token));
    assert_eq!(setup.keys.asked(), 1);
    // A stranger's signature under a key's id.
    let header = format!(r#"{{"alg":"RS256","kid":"{}"}}"#, setup.key.kid());
    let signed = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(good().to_string())
    );
    assert!(!setup.accepts(&format!("{signed}.{}", key_signature(&stranger, &signed))));
    setup.keys.asked();
    let good = setup.key.sign(&good()).unwrap();
    let (_, rest) = good.split_once('.').unwrap();
    for kid in [
        "",
        "../../etc/passwd",
        "' OR 1=1 --",
        &setup.key.kid().to_uppercase(),
        &format!("{} ", setup.key.kid()),
        &"é".repeat(32),
    ] {
        let header = json!({ "alg": "RS256", "kid": kid }).to_string();
        let token = format!("{}.e30.AAAA", URL_SAFE_NO_PAD.encode(&header));
        assert!(!setup.accepts(&token));
        let header = URL_SAFE_NO_PAD.encode(header);
        assert!(!setup.accepts(&format!("{header}.{rest}")), "{kid}");
    }
    assert_eq!(setup.keys.asked(), 0);
}
