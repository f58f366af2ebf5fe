//! A service in memory, with doubles for what accounts will be.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use quay_core::accounts::{Account, AccountKind, AccountOptions, Seal};
use quay_core::auth::{Authentication, Authenticator, Credentials, Identity};
use quay_core::runtime::{Clock as _, Runtime, Timestamp};
use quay_core::testing::{ManualClock, SeededRandom, ThreadSpawner};
use quay_core::{CredentialKind, Principal, StoreError};
use quay_http::{ApiService, ApiSettings, HealthCheck, HealthLevel, SessionAccounts, WebService};
use serde_json::{Value, json};
use tower_service::Service as _;

pub(crate) const OPERATIONS: &str = include_str!("../../src/api/operations.json");

/// Seals nothing, but notices another purpose and a changed letter.
#[derive(Debug)]
pub(crate) struct PlainSeal;

impl Seal for PlainSeal {
    fn seal(&self, purpose: &str, content: &[u8]) -> String {
        let hex = hex::encode(content);
        let sum = content.iter().fold(0_u8, |sum, byte| sum.wrapping_mul(31) ^ byte);
        format!("{purpose}_{hex}_{sum}")
    }

    fn open(&self, purpose: &str, sealed: &str) -> Option<Vec<u8>> {
        let hex = sealed
            .strip_prefix(purpose)?
            .strip_prefix('_')?
            .split('_')
            .next()?;
        let content = hex::decode(hex).ok();
        content.filter(|content| self.seal(purpose, content) == sealed)
    }

    fn encrypt_password(&self, password: &str) -> String {
        password.to_owned()
    }

    fn decrypt_password(&self, text: &str) -> Option<String> {
        Some(text.to_owned())
    }
}

#[derive(Debug)]
struct Accounts(HashMap<&'static str, Account>);

#[async_trait]
impl SessionAccounts for Accounts {
    async fn by_uuid(&self, uuid: &str) -> Result<Option<Account>, StoreError> {
        Ok(self.0.get(uuid).cloned())
    }
}

/// Knows one token of each kind.
#[derive(Debug)]
struct Tokens;

#[async_trait]
impl Authenticator for Tokens {
    async fn authenticate(&self, credentials: Credentials<'_>) -> Result<Authentication, StoreError> {
        let kind = match credentials {
            Credentials::Bearer("good") => CredentialKind::OAuthToken,
            Credentials::Bearer("registry") => CredentialKind::RegistryToken,
            Credentials::Basic { .. } => CredentialKind::Password,
            Credentials::Bearer("throttled") => {
                let retry_after = Duration::from_millis(2500);
                return Ok(Authentication::Throttled { retry_after });
            }
            _ => return Ok(Authentication::Denied("no")),
        };
        let identity = Identity::new(Principal::User("me".into()), kind);
        Ok(Authentication::Proven(identity))
    }

    fn challenge(&self, _: Option<&str>) -> String {
        "Bearer".to_owned()
    }
}

#[derive(Debug)]
struct Check(&'static str, HealthLevel, Result<(), &'static str>);

#[async_trait]
impl HealthCheck for Check {
    fn service(&self) -> &str {
        self.0
    }

    fn level(&self) -> HealthLevel {
        self.1
    }

    async fn check(&self) -> Result<(), String> {
        self.2.map_err(str::to_owned)
    }
}

pub(crate) struct Host {
    api: ApiService,
    web: WebService,
    pub(crate) clock: Arc<ManualClock>,
}

#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn is_html_404(&self) -> bool {
        self.status == 404 && self.header("content-type").starts_with("text/html")
    }
}

pub(crate) fn options() -> AccountOptions {
    AccountOptions::new("https", "registry.example")
}

/// Options with everything switched on that switches operations on.
pub(crate) fn everything() -> AccountOptions {
    let mut options = options();
    options.mailing = true;
    options.user_initialize = true;
    options
}

impl Host {
    pub(crate) fn new() -> Self {
        Self::with(options())
    }

    pub(crate) fn with(options: AccountOptions) -> Self {
        let clock = Arc::new(ManualClock::default());
        let runtime = Runtime::new(
            Arc::clone(&clock) as _,
            Arc::new(SeededRandom::default()),
            Arc::new(ThreadSpawner),
        );
        let account = |kind, uuid: &'static str, name: &str, enabled| {
            let mut account = Account::new(kind, name, uuid.to_owned(), Timestamp::from_millis(0));
            account.enabled = enabled;
            (uuid, account)
        };
        let accounts = Accounts(HashMap::from([
            account(AccountKind::User, "uuid-me", "me", true),
            account(AccountKind::User, "uuid-off", "off", false),
            account(AccountKind::Organization, "uuid-org", "org", true),
        ]));
        let settings = ApiSettings::default().with_authenticators(vec![Arc::new(Tokens)]);
        let api = ApiService::new(
            options,
            runtime,
            Arc::new(PlainSeal),
            Arc::new(accounts),
            settings,
        );
        let checks: Vec<Arc<dyn HealthCheck>> = vec![
            Arc::new(Check("registry", HealthLevel::Instance, Ok(()))),
            Arc::new(Check("database", HealthLevel::Global, Err("db1 is down"))),
            Arc::new(Check("disk", HealthLevel::Warning, Ok(()))),
        ];
        let web = WebService::new(&api, checks);
        Self { api, web, clock }
    }

    /// A cookie of a session, as the service would seal it.
    pub(crate) fn cookie(&self, user: Option<&str>, csrf: &str) -> String {
        let session = json!({
            "version": 1,
            "user": user,
            "csrf": csrf,
            "created_ms": self.clock.now().as_millis(),
            "password_checked_ms": null,
            "oauth_state": null,
        });
        let sealed = PlainSeal.seal("session", session.to_string().as_bytes());
        format!("other=1; _csrf_token={sealed}")
    }

    pub(crate) async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Seen {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(body.to_owned()))).unwrap();
        let response = if WebService::serves(path.split('?').next().unwrap()) {
            self.web.clone().call(request).await.unwrap()
        } else {
            self.api.clone().call(request).await.unwrap()
        };
        let (parts, body) = response.into_parts();
        Seen {
            status: parts.status,
            headers: parts.headers,
            body: body.collect().await.unwrap().to_bytes(),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Seen {
        self.ask(Method::GET.as_str(), path, &[], "").await
    }
}

/// Every operation: method, path, id, whether it is served.
pub(crate) fn operations() -> Vec<(String, String, Value)> {
    let paths: Value = serde_json::from_str(OPERATIONS).unwrap();
    let mut operations = Vec::new();
    for path in paths.as_array().unwrap() {
        for (method, operation) in path["methods"].as_object().unwrap() {
            let path = path["path"].as_str().unwrap().to_owned();
            operations.push((method.clone(), path, operation.clone()));
        }
    }
    operations
}

/// A path with something in place of its parameters.
pub(crate) fn filled(path: &str) -> String {
    let fill = |part: &str| match part {
        "{repository}" => "devel/app".to_owned(),
        "{manifestref}" => "sha256:00".to_owned(),
        _ if part.starts_with('{') => "some.thing".to_owned(),
        _ => part.to_owned(),
    };
    path.split('/').map(fill).collect::<Vec<_>>().join("/")
}
