//! The suites on SQLite, and what is particular to it.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod support;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use futures::FutureExt;
use quay_core::accounts::AccountStore;
use quay_core::metadata::Visibility;
use quay_core::runtime::Timestamp;
use quay_core::testing::{Instance, accounts, metadata};
use quay_core::{MetadataStore, RepositoryName, StoreErrorKind};
use quay_storage::SqlMetadata;
use support::TestSpawner;
use tempfile::TempDir;

async fn open(directory: &Path) -> Result<SqlMetadata, quay_core::StoreError> {
    SqlMetadata::open_sqlite(&directory.join("quay.db"), &TestSpawner::current()).await
}

struct InFile {
    directory: TempDir,
    store: Option<Arc<SqlMetadata>>,
}

impl InFile {
    async fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let store = open(directory.path()).await.unwrap();
        Self {
            directory,
            store: Some(Arc::new(store)),
        }
    }
}

#[async_trait]
impl Instance<dyn MetadataStore> for InFile {
    fn store(&self) -> Arc<dyn MetadataStore> {
        self.store.clone().unwrap()
    }

    async fn reopen(&mut self) -> Option<Arc<dyn MetadataStore>> {
        // The lock goes with the last handle.
        self.store = None;
        self.store = Some(Arc::new(open(self.directory.path()).await.unwrap()));
        Some(self.store())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_passes() {
    let report = metadata::run(&|| {
        async { Box::new(InFile::new().await) as Box<dyn Instance<dyn MetadataStore>> }.boxed()
    })
    .await;
    report.assert_passed();
    assert_eq!(report.not_applicable, []);
}

struct Accounts(InFile);

#[async_trait]
impl Instance<dyn AccountStore> for Accounts {
    fn store(&self) -> Arc<dyn AccountStore> {
        self.0.store.clone().unwrap()
    }

    async fn reopen(&mut self) -> Option<Arc<dyn AccountStore>> {
        self.0.reopen().await;
        Some(self.store())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_of_accounts_passes() {
    let report = accounts::run(&|| {
        async { Box::new(Accounts(InFile::new().await)) as Box<dyn Instance<dyn AccountStore>> }.boxed()
    })
    .await;
    report.assert_passed();
    assert_eq!(report.not_applicable, []);
}

#[tokio::test]
async fn a_second_process_is_refused_with_a_reason() {
    let file = InFile::new().await;
    let error = open(file.directory.path()).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert!(error.to_string().contains("in use by another process"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_writers_share_commits_and_lose_nothing() {
    let file = InFile::new().await;
    let store = file.store();
    let writers = (0..200).map(|index| {
        let store = Arc::clone(&store);
        tokio::task::spawn(async move {
            let name = RepositoryName::from_path(&format!("org/r{index}")).unwrap();
            let mut unit = store.begin().await.unwrap();
            let now = Timestamp::from_millis(1);
            unit.repositories()
                .create(&name, Visibility::Private, now)
                .await
                .unwrap();
            if index % 10 == 9 {
                // Gone in the middle: leaves the others alone.
                drop(unit);
                return None;
            }
            unit.commit().await.unwrap();
            Some(name)
        })
    });
    let written = futures::future::join_all(writers).await;
    for (index, name) in written.into_iter().enumerate() {
        let committed = name.unwrap().is_some();
        let name = RepositoryName::from_path(&format!("org/r{index}")).unwrap();
        let found = store.repository(&name).await.unwrap().is_some();
        assert_eq!(found, committed, "{name}");
    }
}

#[tokio::test]
async fn a_cancelled_unit_of_work_does_not_hold_up_others() {
    let file = InFile::new().await;
    let store = file.store();
    let name = RepositoryName::from_path("a/b").unwrap();
    for _ in 0..20 {
        let mut unit = store.begin().await.unwrap();
        let ensure = async {
            let now = Timestamp::from_millis(1);
            unit.repositories()
                .create(&name, Visibility::Private, now)
                .await
                .unwrap();
            unit.commit().await.unwrap();
        };
        // Polled once and dropped, wherever that is.
        let _ = ensure.now_or_never();
    }
    let mut unit = store.begin().await.unwrap();
    let now = Timestamp::from_millis(2);
    unit.repositories()
        .create(&name, Visibility::Private, now)
        .await
        .unwrap();
    unit.commit().await.unwrap();
    assert!(store.repository(&name).await.unwrap().is_some());
}

#[tokio::test]
async fn what_an_abandoned_unit_of_work_has_seen_is_durable() {
    let file = InFile::new().await;
    let store = file.store();
    for index in 0..20 {
        let name = RepositoryName::from_path(&format!("org/r{index}")).unwrap();
        let mut first = store.begin().await.unwrap();
        let now = Timestamp::from_millis(1);
        first
            .repositories()
            .create(&name, Visibility::Private, now)
            .await
            .unwrap();
        // Asks for the connection before the committer can.
        let (committed, seen) = futures::join!(first.commit(), async {
            let mut second = store.begin().await.unwrap();
            let seen = second.repositories().find(&name).await.unwrap().is_some();
            second.abandon().await.unwrap();
            // A reader sees what is committed, and nothing else.
            (seen, store.repository(&name).await.unwrap().is_some())
        });
        committed.unwrap();
        assert_eq!(seen, (true, true), "{name}");
    }
}
