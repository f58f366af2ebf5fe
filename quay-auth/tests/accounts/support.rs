//! A registry's accounts in SQLite, and what is needed to log in to them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;
use quay_auth::{
    AccountCredentials, Bcrypt, ClientSeal, DatabaseLogin, DatabaseSecrets, InstanceKey, OAuthBearer,
    PasswordChecks, RegistryTokenOptions, RegistryTokens, RsaKeys, SecretKey,
};
use quay_core::StoreError;
use quay_core::accounts::{
    Account, AccountId, AccountKey, AccountKind, AccountOptions, AccountStore, AccountWrites, Accounts,
    KeyApproval, PasswordHasher, RobotTokens, SecretBox, ServiceKey, Tools,
};
use quay_core::auth::{Authentication, Authenticator, Credentials, Identity};
use quay_core::runtime::{Clock, Runtime, Spawner, Timestamp};
use quay_core::testing::{ManualClock, SeededRandom};
use quay_storage::SqlMetadata;

/// Tasks on the tokio runtime, which can be waited for.
#[derive(Debug)]
pub(crate) struct Tasks {
    handle: tokio::runtime::Handle,
    running: Mutex<Vec<tokio::task::JoinHandle<()>>>,
}

impl Tasks {
    fn current() -> Self {
        Self {
            handle: tokio::runtime::Handle::current(),
            running: Mutex::default(),
        }
    }
}

impl Spawner for Tasks {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.running.lock().unwrap().push(self.handle.spawn(task));
    }

    fn run_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        self.handle.spawn_blocking(work);
    }
}

/// Cheap bcrypt that counts how often it is asked.
#[derive(Debug)]
pub(crate) struct Counting {
    bcrypt: Bcrypt,
    asked: AtomicUsize,
}

impl Counting {
    /// How often since the last question.
    pub(crate) fn asked(&self) -> usize {
        self.asked.swap(0, Ordering::SeqCst)
    }
}

impl PasswordHasher for Counting {
    fn hash(&self, password: &str) -> Result<String, StoreError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.bcrypt.hash(password)
    }

    fn verify(&self, password: &str, hash: &str) -> bool {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.bcrypt.verify(password, hash)
    }
}

/// Everything that a test needs.
pub(crate) struct World {
    pub(crate) store: Arc<dyn AccountStore>,
    pub(crate) runtime: Runtime,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) tasks: Arc<Tasks>,
    pub(crate) hasher: Arc<Counting>,
    pub(crate) secrets: Arc<DatabaseSecrets>,
    pub(crate) seal: Arc<ClientSeal>,
    pub(crate) options: AccountOptions,
    directory: tempfile::TempDir,
}

impl World {
    pub(crate) async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let tasks = Arc::new(Tasks::current());
        let random = Arc::new(SeededRandom::default());
        let clock = Arc::new(ManualClock::default());
        let runtime = Runtime::new(
            Arc::<ManualClock>::clone(&clock),
            Arc::<SeededRandom>::clone(&random),
            Arc::<Tasks>::clone(&tasks),
        );
        let path = directory.path().join("registry.db");
        // The store's own tasks do not end.
        let others = Tasks::current();
        let store = SqlMetadata::open_sqlite(&path, &others).await.unwrap();
        let key = SecretKey::parse("a database secret key").unwrap();
        Self {
            store: Arc::new(store),
            clock,
            tasks,
            hasher: Arc::new(Counting {
                bcrypt: Bcrypt::new(Arc::<SeededRandom>::clone(&random)).with_cost(4),
                asked: AtomicUsize::new(0),
            }),
            secrets: Arc::new(DatabaseSecrets::new(&key, Arc::<SeededRandom>::clone(&random))),
            seal: Arc::new(ClientSeal::new("a secret key", random).unwrap()),
            options: AccountOptions::new("https", "registry.example"),
            runtime,
            directory,
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Waits until nothing runs behind anybody's back.
    pub(crate) async fn settle(&self) {
        loop {
            let running = std::mem::take(&mut *self.tasks.running.lock().unwrap());
            if running.is_empty() {
                return;
            }
            for task in running {
                task.await.unwrap();
            }
        }
    }

    /// Writes within one unit of work.
    pub(crate) async fn write<T>(&self, work: impl AsyncFnOnce(&mut dyn AccountWrites) -> T) -> T {
        let mut unit = self.store.begin_accounts().await.unwrap();
        let done = work(unit.accounts()).await;
        unit.commit().await.unwrap();
        done
    }

    pub(crate) async fn insert(&self, account: &Account) -> AccountId {
        self.write(async |rows| rows.insert_account(account).await.unwrap().unwrap())
            .await
    }

    /// A user with a password and an e-mail address.
    pub(crate) async fn user(&self, name: &str, password: &str) -> Account {
        let mut account = self.account(AccountKind::User, name);
        account.email = Some(format!("{name}@mail.example"));
        account.password_hash = Some(self.hasher.bcrypt.hash(password).unwrap());
        account.id = self.insert(&account).await;
        account
    }

    /// A robot with a token.
    pub(crate) async fn robot(&self, owner: &Account, short: &str, token: &str) -> Account {
        let mut robot = self.account(AccountKind::Robot, &format!("{}+{short}", owner.name));
        robot.owner = Some(owner.id);
        robot.robot_token = Some(self.secrets.seal(token));
        robot.id = self.insert(&robot).await;
        robot
    }

    pub(crate) fn account(&self, kind: AccountKind, name: &str) -> Account {
        Account::new(kind, name, format!("uuid of {name}"), self.now())
    }

    pub(crate) async fn change(&self, id: AccountId, change: impl FnOnce(&mut Account)) {
        let mut account = self.find(id).await;
        change(&mut account);
        let saved = self
            .write(async |rows| rows.save_account(&account).await.unwrap())
            .await;
        assert!(saved);
    }

    pub(crate) async fn find(&self, id: AccountId) -> Account {
        self.store
            .reader()
            .account(AccountKey::Id(id))
            .await
            .unwrap()
            .unwrap()
    }

    pub(crate) fn checks(&self) -> PasswordChecks {
        PasswordChecks::new(Arc::<Counting>::clone(&self.hasher), self.runtime.clone())
    }

    pub(crate) fn login(&self) -> DatabaseLogin {
        DatabaseLogin::new(
            Arc::clone(&self.store),
            Arc::new(self.checks()),
            self.runtime.clone(),
        )
    }

    pub(crate) fn oauth(&self) -> OAuthBearer {
        OAuthBearer::new(
            Arc::clone(&self.store),
            Arc::new(self.checks()),
            &self.options,
            self.runtime.clone(),
        )
    }

    pub(crate) fn credentials(&self) -> AccountCredentials {
        AccountCredentials::new(
            Arc::clone(&self.store),
            Arc::new(self.login()),
            Arc::<DatabaseSecrets>::clone(&self.secrets),
            Arc::<ClientSeal>::clone(&self.seal),
            self.oauth(),
            Arc::new(self.options.clone()),
            self.runtime.clone(),
        )
    }
}

impl World {
    /// Tokens of this registry, signed with a key that its store knows.
    pub(crate) async fn tokens(&self) -> Arc<RegistryTokens> {
        let key = InstanceKey::generate().unwrap();
        let row = ServiceKey {
            kid: key.kid().to_owned(),
            name: "an instance".to_owned(),
            service: "quay".to_owned(),
            jwk: key.jwk().to_string(),
            metadata: "{}".to_owned(),
            created: self.now(),
            expires: None,
            rotation_s: None,
            approval: Some(KeyApproval {
                kind: "Automatic".to_owned(),
                approver: None,
                at: self.now(),
                notes: String::new(),
            }),
        };
        let inserted = self
            .write(async |rows| rows.insert_service_key(&row).await.unwrap())
            .await;
        assert!(inserted);
        let options = RegistryTokenOptions::new(&self.options, None);
        let store = Arc::clone(&self.store);
        Arc::new(RegistryTokens::new(key, options, store, self.runtime.clone()))
    }

    /// The facade, with robots that log in by `robots`.
    pub(crate) fn accounts(
        &self,
        tokens: Arc<RegistryTokens>,
        robots: Option<Arc<dyn RobotTokens>>,
    ) -> Accounts {
        let mut tools = Tools::new(
            Arc::<Counting>::clone(&self.hasher),
            Arc::<DatabaseSecrets>::clone(&self.secrets),
            Arc::<ClientSeal>::clone(&self.seal),
            Arc::new(self.login()),
            Arc::new(RsaKeys),
            tokens,
        );
        if let Some(robots) = robots {
            tools = tools.with_robot_tokens(robots);
        }
        Accounts::new(
            Arc::clone(&self.store),
            tools,
            self.runtime.clone(),
            self.options.clone(),
        )
    }

    /// The action log: kind, namespace, performer and metadata.
    pub(crate) async fn log(&self) -> Vec<(String, String, Option<String>, serde_json::Value)> {
        let path = self.directory.path().join("registry.db");
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
        let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
        let rows: Vec<(String, String, Option<String>, String)> =
            sqlx::query_as("SELECT kind, account_name, performer_name, metadata FROM qr_log ORDER BY id")
                .fetch_all(&pool)
                .await
                .unwrap();
        rows.into_iter()
            .map(|(kind, account, performer, metadata)| {
                (kind, account, performer, serde_json::from_str(&metadata).unwrap())
            })
            .collect()
    }
}

/// Asks with a name and a secret.
pub(crate) async fn basic(
    authenticator: &dyn Authenticator,
    username: &str,
    password: &str,
) -> Authentication {
    let credentials = Credentials::Basic { username, password };
    authenticator.authenticate(credentials).await.unwrap()
}

/// Asks with a bearer token.
pub(crate) async fn bearer(authenticator: &dyn Authenticator, token: &str) -> Authentication {
    authenticator
        .authenticate(Credentials::Bearer(token))
        .await
        .unwrap()
}

/// Who was proven.
pub(crate) fn proven(answer: Authentication) -> Identity {
    match answer {
        Authentication::Proven(identity) => identity,
        other => panic!("{other:?}"),
    }
}
