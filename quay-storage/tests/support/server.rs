//! What tests with a database server of their own share.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use super::garbage::{Kind, collect, collecting, fill};
use async_trait::async_trait;
use futures::FutureExt;
use quay_core::accounts::AccountStore;
use quay_core::metadata::Visibility;
use quay_core::runtime::Timestamp;
use quay_core::testing::{Instance, accounts, metadata};
use quay_core::{MetadataStore, RepositoryName, StoreError, StoreErrorKind};
use quay_storage::{ConnectOptions, Reuse, SqlMetadata, Tls, TlsMode};

/// A server in a directory of its own, ended with the value.
#[async_trait]
pub(crate) trait Server: Send + Sync {
    /// Makes an empty database; returns its address.
    fn fresh_database(&self) -> String;

    /// Ends the server, as a crash does.
    fn stop(&self);

    /// Starts it again on the same port with the same data.
    fn start(&self);

    /// Runs statements in a database.
    fn execute(&self, database: &str, sql: &str);

    /// Everything in a database: tables with their columns and keys, and all rows.
    fn dump(&self, database: &str) -> String;

    /// The adapter's way in.
    async fn connect(&self, uri: &str, options: &ConnectOptions) -> Result<SqlMetadata, StoreError>;
}

/// A port that is free now. Somebody may take it until it is used; the start fails then, and says so.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Runs a command to its end, which must be a good one.
pub(crate) fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    output
}

/// The last part of an address.
pub(crate) fn database_of(uri: &str) -> &str {
    uri.rsplit('/').next().unwrap()
}

struct Database {
    server: Arc<dyn Server>,
    uri: String,
    store: Arc<SqlMetadata>,
}

#[async_trait]
impl Instance<dyn MetadataStore> for Database {
    fn store(&self) -> Arc<dyn MetadataStore> {
        Arc::<SqlMetadata>::clone(&self.store)
    }

    async fn reopen(&mut self) -> Option<Arc<dyn MetadataStore>> {
        let again = self.server.connect(&self.uri, &ConnectOptions::default()).await;
        self.store = Arc::new(again.unwrap());
        Some(self.store())
    }
}

struct Accounts(Database);

#[async_trait]
impl Instance<dyn AccountStore> for Accounts {
    fn store(&self) -> Arc<dyn AccountStore> {
        Arc::<SqlMetadata>::clone(&self.0.store)
    }

    async fn reopen(&mut self) -> Option<Arc<dyn AccountStore>> {
        self.0.reopen().await;
        Some(self.store())
    }
}

impl Database {
    /// A database of its own for one case.
    async fn fresh(server: Arc<dyn Server>) -> Self {
        let uri = server.fresh_database();
        let store = server.connect(&uri, &ConnectOptions::default()).await.unwrap();
        let store = Arc::new(store);
        Self { server, uri, store }
    }
}

/// Runs the suite of repositories and what they hold.
pub(crate) async fn the_suite_passes(server: impl Server + 'static) {
    let server: Arc<dyn Server> = Arc::new(server);
    let report = metadata::run(&|| {
        let database = Database::fresh(Arc::clone(&server));
        async move { Box::new(database.await) as Box<dyn Instance<dyn MetadataStore>> }.boxed()
    })
    .await;
    report.assert_passed();
    assert_eq!(report.not_applicable, []);
}

/// Runs the suite of accounts.
pub(crate) async fn the_suite_of_accounts_passes(server: impl Server + 'static) {
    let server: Arc<dyn Server> = Arc::new(server);
    let report = accounts::run(&|| {
        let database = Database::fresh(Arc::clone(&server));
        async move { Box::new(Accounts(database.await)) as Box<dyn Instance<dyn AccountStore>> }.boxed()
    })
    .await;
    report.assert_passed();
    assert_eq!(report.not_applicable, []);
}

/// One read and one unit of work.
async fn work(store: &SqlMetadata, name: &RepositoryName) -> Result<(), StoreError> {
    store.repository(name).await?;
    let mut unit = store.begin().await?;
    let created = unit
        .repositories()
        .create(name, Visibility::Private, Timestamp::from_millis(1))
        .await?;
    if created.is_some() {
        return unit.commit().await;
    }
    unit.abandon().await
}

fn name(number: usize) -> RepositoryName {
    RepositoryName::from_path(&format!("org/r{number}")).unwrap()
}

/// A server that is gone for `outage` in the middle of load is reported as unavailable, and serves again as
/// soon as it is back.
#[expect(clippy::disallowed_methods, reason = "load comes from several tasks")]
pub(crate) async fn an_outage_is_told_and_survived(server: &dyn Server, outage: Duration) {
    let uri = server.fresh_database();
    let options = ConnectOptions::default()
        .with_connections(8)
        .with_acquire_timeout(Duration::from_secs(2));
    let store = Arc::new(server.connect(&uri, &options).await.unwrap());
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let load: Vec<_> = (0..16)
        .map(|number| {
            let (store, stopped) = (Arc::clone(&store), stopped.clone());
            tokio::task::spawn(async move {
                let (mut done, mut failures) = (0, Vec::new());
                while !*stopped.borrow() {
                    let began = tokio::time::Instant::now();
                    match work(&store, &name(number)).await {
                        Ok(()) => done += 1,
                        Err(error) => failures.push((error, began.elapsed())),
                    }
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                (done, failures)
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    server.stop();
    tokio::time::sleep(outage).await;
    server.start();
    // Requests that were waiting for a connection end one way or the other.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let again = futures::future::join_all((100..200).map(|number| {
        let store = Arc::clone(&store);
        async move { work(&store, &name(number)).await }
    }))
    .await;
    stop.send(true).unwrap();
    for outcome in again {
        outcome.expect("normal service after the outage");
    }
    let mut failures = Vec::new();
    for task in load {
        let (done, of_task) = task.await.unwrap();
        assert!(done > 10, "little was done: {done}");
        failures.extend(of_task);
    }
    assert!(!failures.is_empty(), "nobody noticed the outage");
    for (error, after) in failures {
        assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error:?}");
        assert!(after < Duration::from_secs(5), "told after {after:?}: {error:?}");
    }
}

/// Connections that died while nobody used them cost one request at most.
pub(crate) async fn idle_connections_that_died_are_replaced(server: &dyn Server) {
    let uri = server.fresh_database();
    let store = server.connect(&uri, &ConnectOptions::default()).await.unwrap();
    let store = &store;
    futures::future::join_all((0..16).map(|number| async move { work(store, &name(number)).await.unwrap() }))
        .await;
    server.stop();
    server.start();
    let mut failures = 0;
    for number in 0..50 {
        if let Err(error) = work(store, &name(number)).await {
            assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error:?}");
            failures += 1;
        }
    }
    assert!(failures <= 1, "{failures} requests found a dead connection");
}

/// Connections that are not to be used again serve as well as others.
pub(crate) async fn connections_may_be_used_once(server: &dyn Server) {
    let uri = server.fresh_database();
    let options = ConnectOptions::default()
        .with_connections(2)
        .with_reuse(Reuse::Never);
    let store = server.connect(&uri, &options).await.unwrap();
    for number in 0..10 {
        work(&store, &name(number)).await.unwrap();
    }
    let again = server.connect(&uri, &options).await.unwrap();
    for number in 0..10 {
        assert!(again.repository(&name(number)).await.unwrap().is_some());
    }
}

/// A server that comes up late is waited for, and one that never does is not waited for longer than said.
pub(crate) async fn the_first_connection_is_tried_for_a_while(server: &dyn Server) {
    let uri = server.fresh_database();
    server.stop();
    let options = ConnectOptions::default()
        .with_connect_timeout(Duration::from_secs(1))
        .with_acquire_timeout(Duration::from_millis(300));
    let began = tokio::time::Instant::now();
    let error = server.connect(&uri, &options).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error:?}");
    assert!(began.elapsed() < Duration::from_secs(3));
    let patient = options.with_connect_timeout(Duration::from_mins(1));
    let (connected, ()) = futures::join!(server.connect(&uri, &patient), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        server.start();
    });
    connected.expect("the server is waited for");
}

/// Quay's own database is refused and left as it is.
pub(crate) async fn quays_database_is_left_alone(server: &dyn Server, schema: &str) {
    let uri = server.fresh_database();
    server.execute(database_of(&uri), schema);
    let before = server.dump(database_of(&uri));
    assert!(before.contains("alembic_version") && before.contains("c3d4b7ebcdf7"));
    for _ in 0..2 {
        let refused = server.connect(&uri, &ConnectOptions::default()).await;
        let error = refused.expect_err("Quay's database is refused");
        assert_eq!(error.kind(), StoreErrorKind::Unsupported, "{error:?}");
        assert!(error.to_string().contains("belongs to Quay"), "{error}");
    }
    assert_eq!(server.dump(database_of(&uri)), before);
}

/// Two processes that come up at once bring one database to the newest schema.
pub(crate) async fn migrations_of_two_processes_do_not_meet(server: &dyn Server) {
    let uri = &server.fresh_database();
    let options = &ConnectOptions::default();
    let opened = futures::future::join_all((0..4).map(|_| server.connect(uri, options))).await;
    for store in opened {
        store.unwrap();
    }
}

/// A server whose certificate is not trusted, or is for another name, is refused where that was asked for;
/// the server's authority and the host's own certificate are taken from files.
pub(crate) async fn certificates_are_checked(server: &dyn Server, certificates: &Path) {
    let by_address = server.fresh_database();
    let by_name = by_address.replace("127.0.0.1", "localhost");
    let authority = certificates.join("ca.pem");
    let trusting = |mode| {
        Tls::new(mode)
            .with_authorities(&authority)
            .with_client(certificates.join("client.pem"), certificates.join("client.key"))
    };
    for (uri, tls, accepted) in [
        (&by_name, trusting(TlsMode::VerifyFull), true),
        (&by_address, trusting(TlsMode::VerifyFull), false),
        (&by_address, trusting(TlsMode::VerifyAuthority), true),
        (&by_address, trusting(TlsMode::Required), true),
        (&by_name, Tls::new(TlsMode::VerifyFull), false),
        (&by_name, Tls::new(TlsMode::VerifyAuthority), false),
        (&by_name, Tls::new(TlsMode::Disabled), false),
        (
            &by_name,
            Tls::new(TlsMode::VerifyFull).with_authorities("/nonexistent"),
            false,
        ),
    ] {
        let began = tokio::time::Instant::now();
        let options = ConnectOptions::default().with_tls(tls.clone());
        let outcome = server.connect(uri, &options).await;
        assert_eq!(outcome.is_ok(), accepted, "{uri} {tls:?}: {outcome:?}");
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "{uri} {tls:?}: tried too long"
        );
    }
}

/// Repositories that garbage is spread over.
const REPOSITORIES: usize = 8;

/// Two processes push into one namespace until it is full.
pub(crate) async fn pushes_at_once_keep_to_the_quota(server: &dyn Server) {
    let uri = server.fresh_database();
    let connect = async || {
        let store = server.connect(&uri, &ConnectOptions::default()).await;
        Arc::new(store.unwrap()) as Arc<dyn MetadataStore>
    };
    let stores = [connect().await, connect().await];
    super::quota::pushes_at_once_keep_to_the_quota(stores, 80).await;
}

/// Two processes collect at once. `DEAD_MANIFESTS=20000` in the environment, and a release build, tell how fast.
#[expect(clippy::disallowed_methods, clippy::print_stdout, reason = "it is measured")]
pub(crate) async fn two_processes_collect_everything_once(server: &dyn Server, analyze: &str) {
    let dead = std::env::var("DEAD_MANIFESTS").map_or(800, |number| number.parse().unwrap());
    let uri = server.fresh_database();
    let connect = async || {
        let store = server.connect(&uri, &ConnectOptions::default()).await;
        Arc::new(store.unwrap()) as Arc<dyn MetadataStore>
    };
    let (first, second) = (connect().await, connect().await);
    for index in 0..REPOSITORIES {
        let path = format!("org/r{index}");
        fill(&*first, &path, Kind::Live, 100).await;
        fill(&*first, &path, Kind::Dead, dead / REPOSITORIES).await;
    }
    // As the server does by itself after some time.
    server.execute(database_of(&uri), analyze);
    let (one, two) = (collecting(first), collecting(second));
    let began = std::time::Instant::now();
    let ((left, _), (right, _)) = futures::join!(collect(&one, 200), collect(&two, 200));
    let time = began.elapsed();
    // What one had claimed when the other looked for more.
    let (rest, _) = collect(&one, 100).await;
    let all = left.and(right).and(rest);
    println!(
        "{dead} dead manifests are gone after {time:?}: {} and {} by each process",
        left.manifests, right.manifests
    );
    assert_eq!(
        (all.manifests, all.blobs, all.objects),
        (dead, 6 * dead, 6 * dead)
    );
}
