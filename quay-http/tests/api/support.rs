//! A service over a database of its own, and tokens that prove something at once.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use quay_auth::{
    AccountCredentials, Bcrypt, ClientSeal, DatabaseLogin, DatabaseSecrets, InstanceKey, OAuthBearer,
    PasswordChecks, RegistryTokenOptions, RegistryTokens, RsaKeys, SecretKey,
};
use quay_core::accounts::{
    Account, AccountAuthorizer, AccountKind, AccountOptions, AccountStore, Accounts, Changes, LoginEngine,
    Mail, Mailer, Seal, SecretBox, Tools,
};
use quay_core::auth::{Authentication, Authenticator, Credentials, Identity};
use quay_core::memory::{MemoryBlobs, MemoryScanner};
use quay_core::registry::{ActionLogging, AutoPrune, Location, Options, Scanning};
use quay_core::runtime::{Clock as _, Random, Runtime, Timestamp};
use quay_core::testing::{ManualClock, SeededRandom};
use quay_core::{CredentialKind, MetadataStore, Principal, Registry, StoreError};
use quay_http::{ApiService, ApiSettings, HealthCheck, HealthLevel, TokioSpawner, WebService};
use quay_storage::SqlMetadata;
use serde_json::{Value, json};
use tempfile::TempDir;
use tower_service::Service as _;

pub(crate) const OPERATIONS: &str = include_str!("../../src/api/operations.json");

/// Knows one token of each kind that checks tell apart; the rest is asked of accounts.
#[derive(Debug)]
struct Tokens;

#[async_trait]
impl Authenticator for Tokens {
    async fn authenticate(&self, credentials: Credentials<'_>) -> Result<Authentication, StoreError> {
        let kind = match credentials {
            Credentials::Bearer("good") => CredentialKind::OAuthToken,
            Credentials::Bearer("registry") => CredentialKind::RegistryToken,
            Credentials::Bearer("throttled") => {
                let retry_after = Duration::from_millis(2500);
                return Ok(Authentication::Throttled { retry_after });
            }
            _ => return Ok(Authentication::NotMine),
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

/// Keeps what would be sent.
#[derive(Debug, Default)]
pub(crate) struct Mailbox(pub(crate) Mutex<Vec<Mail>>);

impl Mailbox {
    /// Waits for mails that are sent after the answer: at least so many.
    pub(crate) async fn arrived(&self, count: usize) -> Vec<Mail> {
        for _ in 0..10_000 {
            let mails = self.0.lock().unwrap().clone();
            if mails.len() >= count {
                return mails;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        unreachable!("{count} mails do not arrive");
    }

    /// The code in the mail that arrives as number `count`.
    pub(crate) async fn code(&self, count: usize) -> String {
        let mails = self.arrived(count).await;
        let (_, rest) = mails[count - 1].text.split_once("code=").unwrap();
        rest.split_whitespace().next().unwrap().to_owned()
    }
}

#[async_trait]
impl Mailer for Mailbox {
    async fn send(&self, mail: &Mail) -> Result<(), StoreError> {
        self.0.lock().unwrap().push(mail.clone());
        Ok(())
    }
}

pub(crate) struct Host {
    api: ApiService,
    web: WebService,
    pub(crate) accounts: Accounts,
    pub(crate) registry: Registry,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) scanner: Arc<MemoryScanner>,
    pub(crate) mailbox: Arc<Mailbox>,
    /// Removed with the host.
    directory: TempDir,
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
    options.repository_states = true;
    options.quota_management = true;
    options.auto_prune = true;
    options.pull_statistics = true;
    options.immutable_tags = true;
    options.permanently_delete_tags = true;
    options.security_scanner = true;
    options
}

/// Making a key takes long; what is signed with it is not looked at here.
fn instance_key() -> InstanceKey {
    static KEY: OnceLock<InstanceKey> = OnceLock::new();
    KEY.get_or_init(|| InstanceKey::generate().unwrap()).clone()
}

const DATABASE: &str = "quay.db";

/// A directory that is gone after the test; in memory where the system has such a place.
pub(crate) fn directory() -> TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

/// Keeps secrets as every host of these tests does.
pub(crate) fn secrets(random: Arc<dyn Random>) -> DatabaseSecrets {
    let key = SecretKey::parse("the secret of the database").unwrap();
    DatabaseSecrets::new(&key, random)
}

/// The users `me` and `off`, who is switched off, and the organization `org`.
async fn fill(store: &dyn AccountStore, now: Timestamp) {
    let mut unit = store.begin_accounts().await.unwrap();
    for (kind, name, enabled) in [
        (AccountKind::User, "me", true),
        (AccountKind::User, "off", false),
        (AccountKind::Organization, "org", true),
    ] {
        let mut account = Account::new(kind, name, format!("uuid-{name}"), now);
        account.email = Some(format!("{name}@registry.example"));
        account.enabled = enabled;
        account.verified = true;
        assert!(unit.accounts().insert_account(&account).await.unwrap().is_some());
    }
    unit.commit().await.unwrap();
}

impl Host {
    pub(crate) async fn new() -> Self {
        Self::with(options()).await
    }

    pub(crate) async fn with(options: AccountOptions) -> Self {
        let host = Self::open(options, directory(), SeededRandom::default()).await;
        fill(&**host.accounts.store(), host.clock.now()).await;
        host
    }

    /// A host over whatever a directory holds.
    pub(crate) async fn open(options: AccountOptions, directory: TempDir, random: SeededRandom) -> Self {
        let clock = Arc::new(ManualClock::default());
        let spawner = TokioSpawner::current();
        let store = SqlMetadata::open_sqlite(&directory.path().join(DATABASE), &*spawner.uncounted())
            .await
            .unwrap();
        if options.quota_management {
            store.count_usage();
        }
        let store: Arc<dyn AccountStore> = Arc::new(store);

        let random = Arc::new(random);
        let runtime = Runtime::new(
            Arc::clone(&clock) as _,
            Arc::clone(&random) as _,
            Arc::new(spawner),
        );
        let hasher = Arc::new(Bcrypt::new(Arc::clone(&random) as _).with_cost(4));
        let secrets: Arc<dyn SecretBox> = Arc::new(secrets(Arc::clone(&random) as _));
        let seal: Arc<dyn Seal> = Arc::new(ClientSeal::new("the secret of clients", random).unwrap());
        let checks = Arc::new(PasswordChecks::new(hasher, runtime.clone()));
        let login: Arc<dyn LoginEngine> = Arc::new(DatabaseLogin::new(
            Arc::clone(&store),
            Arc::clone(&checks),
            runtime.clone(),
        ));
        let issuer = RegistryTokens::new(
            instance_key(),
            RegistryTokenOptions::new(&options, None),
            Arc::clone(&store),
            runtime.clone(),
        );
        let oauth = OAuthBearer::new(Arc::clone(&store), Arc::clone(&checks), &options, runtime.clone());
        let credentials = AccountCredentials::new(
            Arc::clone(&store),
            Arc::clone(&login),
            Arc::clone(&secrets),
            Arc::clone(&seal),
            oauth.clone(),
            Arc::new(options.clone()),
            runtime.clone(),
        );
        let mailbox = Arc::new(Mailbox::default());
        let tools = Tools::new(checks, secrets, seal, login, Arc::new(RsaKeys), Arc::new(issuer))
            .with_mailer(Arc::clone(&mailbox) as _)
            .with_human_check(Arc::new(crate::humans::Humans))
            .with_robot_tokens(Arc::new(crate::federation::Robots));
        let accounts = Accounts::new(Arc::clone(&store), tools, runtime.clone(), options);

        let settings = ApiSettings::default().with_authenticators(vec![
            Arc::new(Tokens),
            Arc::new(oauth),
            Arc::new(credentials),
        ]);
        let scanner = Arc::new(MemoryScanner::new());
        let registry = registry_of(&accounts, &store, &scanner, runtime);
        let api = ApiService::new(accounts.clone(), registry.clone(), settings);
        let checks: Vec<Arc<dyn HealthCheck>> = vec![
            Arc::new(Check("registry", HealthLevel::Instance, Ok(()))),
            Arc::new(Check("database", HealthLevel::Global, Err("db1 is down"))),
            Arc::new(Check("disk", HealthLevel::Warning, Ok(()))),
        ];
        let web = WebService::new(&api, checks);
        Self {
            api,
            web,
            accounts,
            registry,
            clock,
            scanner,
            mailbox,
            directory,
        }
    }

    /// The file that the store keeps everything in.
    pub(crate) fn database(&self) -> PathBuf {
        self.directory.path().join(DATABASE)
    }

    /// A cookie of a session, as the service would seal it.
    pub(crate) fn cookie(&self, user: Option<&str>, csrf: &str) -> String {
        self.cookie_for("session", &self.session(user, csrf))
    }

    /// A cookie of a session whose password was checked just now.
    pub(crate) fn fresh_cookie(&self, uuid: &str, csrf: &str) -> String {
        let mut session: Value = serde_json::from_str(&self.session(Some(uuid), csrf)).unwrap();
        session["password_checked_ms"] = self.clock.now().as_millis().into();
        self.cookie_for("session", &session.to_string())
    }

    /// What a session of now says.
    pub(crate) fn session(&self, user: Option<&str>, csrf: &str) -> String {
        let session = json!({
            "version": 1,
            "user": user,
            "csrf": csrf,
            "created_ms": self.clock.now().as_millis(),
            "password_checked_ms": null,
            "oauth_state": null,
        });
        session.to_string()
    }

    /// A cookie with anything in it, sealed for any purpose.
    pub(crate) fn cookie_for(&self, purpose: &str, content: &str) -> String {
        let sealed = self.accounts.seal().seal(purpose, content.as_bytes());
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

/// The registry behind accounts. The bytes of blobs are in memory: whoever wants some puts them there.
fn registry_of(
    accounts: &Accounts,
    store: &Arc<dyn AccountStore>,
    scanner: &Arc<MemoryScanner>,
    runtime: Runtime,
) -> Registry {
    let authorizer = AccountAuthorizer::new(accounts.clone(), Arc::new(Changes::default()));
    let mut options = Options::default();
    options.action_log = ActionLogging::Strict;
    options.read_only = accounts.options().read_only;
    options.immutable_tags = accounts.options().immutable_tags;
    options.auto_prune = accounts.options().auto_prune.then(AutoPrune::default);
    options.last_pulls = true;
    if accounts.options().security_scanner {
        options.scanning = Some(Scanning::new(Arc::clone(scanner) as _));
    }
    Registry::with_options(
        Arc::clone(store) as Arc<dyn MetadataStore>,
        vec![Location::new("default", Arc::new(MemoryBlobs::new()))],
        Arc::new(authorizer),
        runtime,
        options,
    )
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
