//! A host over a database of its own.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use quay_auth::{
    AccountCredentials, Bcrypt, ClientSeal, DatabaseLogin, DatabaseSecrets, InstanceKey, OAuthBearer,
    PasswordChecks, RegistryTokenOptions, RegistryTokens, RsaKeys, SecretKey,
};
use quay_core::accounts::{
    AccountAuthorizer, AccountKey, AccountOptions, AccountStore, Accounts, ApplicationChanges,
    ApplicationView, Changes, LoginEngine, Mail, Mailer, Seal, SecretBox, SignUp, Tools,
};
use quay_core::auth::Authenticator;
use quay_core::memory::MemoryBlobs;
use quay_core::metadata::Visibility;
use quay_core::registry::{Location, Options};
use quay_core::runtime::{Clock as _, Runtime};
use quay_core::testing::{ManualClock, SeededRandom};
use quay_core::{Caller, CredentialKind, Principal, Registry, RepositoryName, StoreError};
use quay_http::{
    ApiService, ApiSettings, KeyService, RegistryService, Settings, TokenService, TokioSpawner, V1Service,
    WebService,
};
use quay_storage::SqlMetadata;
use serde_json::{Value, json};
use sqlx::ConnectOptions as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use tempfile::TempDir;
use tower_service::Service as _;

pub(crate) const HOST: &str = "registry.example";
pub(crate) const BASE: &str = "https://registry.example";
pub(crate) const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

pub(crate) struct Host {
    registry: RegistryService,
    token: TokenService,
    keys: KeyService,
    api: ApiService,
    web: WebService,
    v1: V1Service,
    pub(crate) accounts: Accounts,
    pub(crate) changes: Arc<Changes>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) mails: Arc<Mails>,
    database: PathBuf,
    /// Removed with the host.
    _directory: TempDir,
}

/// Keeps what it is to send.
#[derive(Debug, Default)]
pub(crate) struct Mails(pub(crate) Mutex<Vec<Mail>>);

#[async_trait]
impl Mailer for Mails {
    async fn send(&self, mail: &Mail) -> Result<(), StoreError> {
        self.0.lock().unwrap().push(mail.clone());
        Ok(())
    }
}

impl Mails {
    /// The link that begins so in a mail to somebody, once it has been sent.
    pub(crate) async fn link(&self, to: &str, begin: &str) -> String {
        let begin = format!("{BASE}{begin}?code=");
        for _ in 0..10_000 {
            let found = {
                let mails = self.0.lock().unwrap();
                let mail = mails
                    .iter()
                    .rfind(|mail| mail.to == to && mail.text.contains(&begin));
                mail.map(|mail| mail.text.clone())
            };
            if let Some(text) = found {
                let link = text.split_whitespace().find(|word| word.starts_with(&begin));
                return link.unwrap()[BASE.len()..].to_owned();
            }
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        unreachable!("no mail with {begin} arrives");
    }
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

    /// The code of the first error of the registry protocol.
    pub(crate) fn code(&self) -> String {
        self.json()["errors"][0]["code"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// The token that was issued.
    pub(crate) fn token(&self) -> String {
        assert_eq!(self.status, 200, "{self:?}");
        self.json()["token"].as_str().unwrap().to_owned()
    }

    /// What the token that was issued says.
    pub(crate) fn claims(&self) -> Value {
        let token = self.token();
        let payload = token.split('.').nth(1).unwrap();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
    }

    /// The actions that the token grants in each repository.
    pub(crate) fn granted(&self) -> Vec<(String, String)> {
        let claims = self.claims();
        let access = claims["access"].as_array().unwrap().iter();
        access
            .map(|entry| {
                assert_eq!(entry["type"], "repository");
                let actions = entry["actions"].as_array().unwrap().iter();
                let actions: Vec<_> = actions.map(|action| action.as_str().unwrap()).collect();
                (entry["name"].as_str().unwrap().to_owned(), actions.join(","))
            })
            .collect()
    }

    /// The cookie that was given, as it is sent back.
    pub(crate) fn cookie(&self) -> String {
        self.header("set-cookie").split(';').next().unwrap().to_owned()
    }
}

/// Making a key takes long.
pub(crate) fn instance_key() -> InstanceKey {
    static KEY: OnceLock<InstanceKey> = OnceLock::new();
    KEY.get_or_init(|| InstanceKey::generate().unwrap()).clone()
}

pub(crate) fn options() -> AccountOptions {
    AccountOptions::new("https", HOST)
}

pub(crate) fn basic(username: &str, password: &str) -> (&'static str, String) {
    let pair = STANDARD.encode(format!("{username}:{password}"));
    ("authorization", format!("Basic {pair}"))
}

pub(crate) fn password(name: &str) -> String {
    format!("password-of-{name}")
}

pub(crate) fn name(path: &str) -> RepositoryName {
    RepositoryName::from_path(path).unwrap()
}

pub(crate) fn encoded(fields: &[(&str, &str)]) -> String {
    let mut encoded = form_urlencoded::Serializer::new(String::new());
    encoded.extend_pairs(fields);
    encoded.finish()
}

impl Host {
    pub(crate) async fn new() -> Self {
        Self::with(options(), |settings| settings).await
    }

    pub(crate) async fn with(options: AccountOptions, change: impl Fn(Settings) -> Settings) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("quay.db");
        let clock = Arc::new(ManualClock::default());
        let spawner = TokioSpawner::current();
        let store = SqlMetadata::open_sqlite(&database, &*spawner.uncounted())
            .await
            .unwrap();
        let store = Arc::new(store);
        let accounts_store: Arc<dyn AccountStore> = Arc::clone(&store) as _;

        let random = Arc::new(SeededRandom::default());
        let runtime = Runtime::new(
            Arc::clone(&clock) as _,
            Arc::clone(&random) as _,
            Arc::new(spawner),
        );
        let hasher = Arc::new(Bcrypt::new(Arc::clone(&random) as _).with_cost(4));
        let key = SecretKey::parse("the secret of the database").unwrap();
        let secrets: Arc<dyn SecretBox> = Arc::new(DatabaseSecrets::new(&key, Arc::clone(&random) as _));
        let seal: Arc<dyn Seal> = Arc::new(ClientSeal::new("the secret of clients", random).unwrap());
        let checks = Arc::new(PasswordChecks::new(hasher, runtime.clone()));
        let login = DatabaseLogin::new(Arc::clone(&accounts_store), Arc::clone(&checks), runtime.clone());
        let login: Arc<dyn LoginEngine> = Arc::new(login);
        let mut registry_options = Options::default();
        registry_options.action_log = quay_core::registry::ActionLogging::Strict;
        registry_options.manifest_signer = Some(Arc::new(quay_auth::ManifestKey::generate().unwrap()));
        let tokens = Arc::new(RegistryTokens::new(
            instance_key(),
            RegistryTokenOptions::new(&options, registry_options.library.clone()),
            Arc::clone(&accounts_store),
            runtime.clone(),
        ));
        let oauth = OAuthBearer::new(
            Arc::clone(&accounts_store),
            Arc::clone(&checks),
            &options,
            runtime.clone(),
        );
        let credentials: Arc<dyn Authenticator> = Arc::new(AccountCredentials::new(
            Arc::clone(&accounts_store),
            Arc::clone(&login),
            Arc::clone(&secrets),
            Arc::clone(&seal),
            oauth.clone(),
            Arc::new(options.clone()),
            runtime.clone(),
        ));
        let mails = Arc::new(Mails::default());
        let tools = Tools::new(
            checks,
            secrets,
            seal,
            login,
            Arc::new(RsaKeys),
            Arc::clone(&tokens) as _,
        )
        .with_mailer(Arc::clone(&mails) as _);
        let accounts = Accounts::new(accounts_store, tools, runtime.clone(), options);
        let key = instance_key();
        let end = clock.now().plus(std::time::Duration::from_hours(1000));
        accounts.keep_own_key(key.kid(), key.jwk(), end).await.unwrap();

        let changes = Arc::new(Changes::default());
        let authorizer = AccountAuthorizer::new(accounts.clone(), Arc::clone(&changes));
        let registry = Registry::with_options(
            store,
            vec![Location::new("default", Arc::new(MemoryBlobs::new()))],
            Arc::new(authorizer),
            runtime,
            registry_options,
        );
        let settings = change(Settings::default());
        let for_tokens = settings
            .clone()
            .with_authenticators(vec![Arc::clone(&credentials)]);
        let old = vec![
            Arc::clone(&credentials),
            Arc::clone(&tokens) as Arc<dyn Authenticator>,
        ];
        let for_old = settings.clone().with_authenticators(old);
        let for_registry = settings.with_authenticators(vec![tokens]);
        let for_api = ApiSettings::default().with_authenticators(vec![Arc::new(oauth), credentials]);
        let api = ApiService::new(accounts.clone(), registry.clone(), for_api);
        let host = Self {
            token: TokenService::new(accounts.clone(), registry.clone(), for_tokens),
            v1: V1Service::new(accounts.clone(), registry.clone(), for_old),
            registry: RegistryService::new(registry, for_registry),
            keys: KeyService::new(accounts.clone()),
            web: WebService::new(&api, Vec::new()),
            api,
            accounts,
            changes,
            clock,
            mails,
            database,
            _directory: directory,
        };
        host.people().await;
        host
    }

    async fn people(&self) {
        for name in ["alice", "bob"] {
            // A name of a superuser's is not for the taking.
            if self.accounts.options().is_superuser(name) {
                let email = format!("{name}@mail.example");
                let nobody = Caller::anonymous();
                self.accounts
                    .initialize(name, &password(name), Some(&email), false, &nobody)
                    .await
                    .unwrap();
            } else {
                self.sign_up(name).await;
            }
        }
    }

    /// Makes a user, verified or not as the options have it.
    pub(crate) async fn sign_up(&self, name: &str) -> SignUp {
        let email = format!("{name}@mail.example");
        let nobody = Caller::anonymous();
        self.accounts
            .sign_up(name, &password(name), Some(&email), None, &nobody)
            .await
            .unwrap()
    }

    /// A user as the session of somebody who has just logged in.
    pub(crate) fn caller(&self, name: &str) -> Caller {
        Caller::new(Principal::User(name.into()))
            .with_credential(CredentialKind::Session, None)
            .with_password_checked(Some(self.clock.now()))
    }

    /// A cookie of a user's session, or nobody's.
    pub(crate) async fn cookie(&self, user: Option<&str>, csrf: &str) -> String {
        let uuid = match user {
            None => None,
            Some(name) => {
                let account = self
                    .accounts
                    .store()
                    .reader()
                    .account(AccountKey::Name(name))
                    .await;
                Some(account.unwrap().unwrap().uuid)
            }
        };
        let session = json!({
            "version": 1,
            "user": uuid,
            "csrf": csrf,
            "created_ms": self.clock.now().as_millis(),
            "password_checked_ms": null,
            "oauth_state": null,
        });
        let sealed = self
            .accounts
            .seal()
            .seal("session", session.to_string().as_bytes());
        format!("_csrf_token={sealed}")
    }

    pub(crate) async fn repository(&self, owner: &str, path: &str, visibility: Visibility) {
        let made = self
            .accounts
            .create_repository(&self.caller(owner), &name(path), visibility, None)
            .await;
        assert!(made.unwrap().is_some(), "{path}");
    }

    /// An application of alice's organization.
    pub(crate) async fn application(&self, changes: ApplicationChanges) -> ApplicationView {
        let alice = self.caller("alice");
        let reader = self
            .accounts
            .store()
            .reader()
            .account(AccountKey::Name("devel"))
            .await;
        if reader.unwrap().is_none() {
            self.accounts
                .create_organization(&alice, "devel", None)
                .await
                .unwrap();
        }
        self.accounts
            .create_application(&alice, "devel", &changes)
            .await
            .unwrap()
    }

    pub(crate) async fn sql(&self) -> SqliteConnection {
        let options = SqliteConnectOptions::new().filename(&self.database);
        options.connect().await.unwrap()
    }

    /// Changes what no operation changes yet.
    pub(crate) async fn execute(&self, statement: &'static str) {
        let mut connection = self.sql().await;
        let done = sqlx::query(statement).execute(&mut connection).await.unwrap();
        assert!(done.rows_affected() > 0, "{statement}");
    }

    pub(crate) async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Seen {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(body.to_owned()))).unwrap();
        let path = path.split('?').next().unwrap();
        let response = if TokenService::serves(path) {
            self.token.clone().call(request).await
        } else if path.starts_with("/v2") {
            self.registry.clone().call(request).await
        } else if V1Service::serves(path) {
            self.v1.clone().call(request).await
        } else if KeyService::serves(path) {
            self.keys.clone().call(request).await
        } else if WebService::serves(path) {
            self.web.clone().call(request).await
        } else {
            self.api.clone().call(request).await
        };
        let (parts, body) = response.unwrap().into_parts();
        Seen {
            status: parts.status,
            headers: parts.headers,
            body: body.collect().await.unwrap().to_bytes(),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Seen {
        self.ask("GET", path, &[], "").await
    }

    /// Asks for a token; each scope is one parameter.
    pub(crate) async fn token(&self, login: Option<(&str, &str)>, scopes: &[&str]) -> Seen {
        let mut fields = vec![("service", HOST)];
        fields.extend(scopes.iter().map(|scope| ("scope", *scope)));
        let path = format!("/v2/auth?{}", encoded(&fields));
        match login {
            None => self.get(&path).await,
            Some((username, secret)) => {
                let (header, value) = basic(username, secret);
                self.ask("GET", &path, &[(header, &value)], "").await
            }
        }
    }

    /// Asks for a token as a user.
    pub(crate) async fn token_of(&self, user: &str, scopes: &[&str]) -> Seen {
        self.token(Some((user, &password(user))), scopes).await
    }
}
