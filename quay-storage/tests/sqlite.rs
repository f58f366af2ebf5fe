//! The suites on SQLite, and what is particular to it.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

#[path = "support/quota.rs"]
mod quota;
mod support;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{FutureExt, StreamExt as _};
use quay_core::accounts::AccountStore;
use quay_core::auth::AllowAll;
use quay_core::memory::MemoryBlobs;
use quay_core::metadata::{PageRequest, RepositoryState, UnitOfWork, Visibility};
use quay_core::registry::Chunk;
use quay_core::runtime::Timestamp;
use quay_core::testing::{Instance, accounts, metadata, test_runtime};
use quay_core::{
    Algorithm, Caller, Digest, ErrorKind, MetadataStore, Registry, RepositoryName, StoreErrorKind,
};
use quay_storage::SqlMetadata;
use support::TestSpawner;
use tempfile::TempDir;

async fn open(directory: &Path) -> Result<SqlMetadata, quay_core::StoreError> {
    SqlMetadata::open_sqlite(&directory.join("quay.db"), &TestSpawner::current())
        .await
        .inspect(SqlMetadata::count_usage)
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

/// A body during which something happens.
fn body_with(
    first: &'static [u8],
    meanwhile: impl Future<Output = ()> + Send + 'static,
    rest: &'static [u8],
) -> Chunk {
    let begin = futures::stream::iter([Ok(Bytes::from_static(first))]);
    let end = futures::stream::once(async move {
        meanwhile.await;
        Ok(Bytes::from_static(rest))
    });
    Chunk::new(begin.chain(end).boxed())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_changes_during_a_push_takes_nothing() {
    let directory = TempDir::new().unwrap();
    let store = Arc::new(open(directory.path()).await.unwrap());
    let (mut runtime, _clock) = test_runtime();
    runtime.spawner = Arc::new(TestSpawner::current());
    let registry = Registry::new(
        Arc::clone(&store) as _,
        Arc::new(MemoryBlobs::new()),
        Arc::new(AllowAll),
        runtime,
    );
    let caller = Caller::anonymous();
    let name = RepositoryName::from_path("acme/app").unwrap();
    let digest = Digest::of(Algorithm::Sha256, b"hello, world");
    for (state, expected) in [
        (Some(RepositoryState::ReadOnly), ErrorKind::ReadOnly),
        (None, ErrorKind::NameUnknown),
    ] {
        let mut unit = store.begin_accounts().await.unwrap();
        let made = unit.accounts();
        if let Some(old) = made.find_repository(&name).await.unwrap() {
            made.delete_repository(&old).await.unwrap();
        }
        let now = Timestamp::from_millis(1);
        let record = made
            .create_repository(&name, Visibility::Private, None, now)
            .await;
        let record = record.unwrap().unwrap();
        UnitOfWork::commit(unit).await.unwrap();
        let (metadata, store) = (Arc::clone(&store), Arc::clone(&store));
        let chunk = body_with(
            b"hello, ",
            async move {
                let mut unit = store.begin_accounts().await.unwrap();
                match state {
                    Some(state) => unit.accounts().set_state(&record, state).await.unwrap(),
                    None => unit.accounts().delete_repository(&record).await.unwrap(),
                }
                UnitOfWork::commit(unit).await.unwrap();
            },
            b"world",
        );
        let error = registry
            .push_blob(&name, &digest, chunk, &caller)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), expected, "{state:?}: {error}");
        let holders = metadata
            .holders(&digest, &PageRequest::new(None, 9))
            .await
            .unwrap();
        assert!(holders.is_empty(), "{state:?}: {holders:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pushes_at_once_keep_to_the_quota() {
    let directory = TempDir::new().unwrap();
    let store: Arc<dyn MetadataStore> = Arc::new(open(directory.path()).await.unwrap());
    quota::pushes_at_once_keep_to_the_quota([Arc::clone(&store), store], 120).await;
}
