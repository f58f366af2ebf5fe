//! The suite on local disk, and what is particular to it.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use quay_core::blob_store::{Append, Open};
use quay_core::runtime::Timestamp;
use quay_core::testing::{Instance, blob_store};
use quay_core::{Algorithm, BlobStore, Digest, StoreErrorKind};
use quay_storage::LocalBlobs;
use support::TestSpawner;
use tempfile::TempDir;

struct OnDisk {
    directory: TempDir,
    store: Arc<LocalBlobs>,
}

async fn open(path: &Path) -> Arc<LocalBlobs> {
    let spawner = Arc::new(TestSpawner::current());
    Arc::new(LocalBlobs::open(path, spawner).await.unwrap())
}

impl OnDisk {
    async fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let store = open(directory.path()).await;
        Self { directory, store }
    }

    fn files(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut left = vec![self.directory.path().to_owned()];
        while let Some(directory) = left.pop() {
            for entry in std::fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    left.push(path);
                } else {
                    found.push(path);
                }
            }
        }
        found.sort();
        found
    }
}

#[async_trait]
impl Instance<dyn BlobStore> for OnDisk {
    fn store(&self) -> Arc<dyn BlobStore> {
        Arc::<LocalBlobs>::clone(&self.store)
    }

    async fn reopen(&mut self) -> Option<Arc<dyn BlobStore>> {
        self.store = open(self.directory.path()).await;
        Some(self.store())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_passes() {
    let report = blob_store::run(&|| {
        async { Box::new(OnDisk::new().await) as Box<dyn Instance<dyn BlobStore>> }.boxed()
    })
    .await;
    report.assert_passed();
    assert_eq!(report.not_applicable, []);
}

fn body(text: &'static str) -> quay_core::blob_store::ByteStream {
    futures::stream::iter([Ok(Bytes::from_static(text.as_bytes()))]).boxed()
}

#[tokio::test]
async fn a_crash_between_link_and_rename_leaves_nothing_that_an_abort_does_not_remove() {
    let disk = OnDisk::new().await;
    let state = disk.store.begin("a1").await.unwrap();
    disk.store
        .append(&state, body("hello"), Append::at(0))
        .await
        .unwrap();
    let upload = disk.directory.path().join("uploads/a1");
    std::fs::hard_link(&upload, upload.with_extension("link")).unwrap();
    std::fs::write(upload.with_extension("copy"), "half").unwrap();
    let inventory = disk.store.inventory().unwrap();
    let listed = inventory
        .staged_uploads(Timestamp::from_millis(i64::MAX), None, 10)
        .await
        .unwrap();
    assert_eq!(listed.len(), 1, "spare names are no uploads");
    // The commit that crashed can be done again,
    let digest = Digest::of(Algorithm::Sha256, b"hello");
    let key = disk.store.commit(&state, &digest, 5).await.unwrap().key;
    disk.store.abort(&state).await.unwrap();
    // and then one file is left.
    assert_eq!(disk.files(), [disk.directory.path().join(key.as_str())]);
}

#[tokio::test]
async fn keys_and_ids_cannot_leave_the_directory() {
    let disk = OnDisk::new().await;
    for id in ["", "../x", "a/b", "a.link", "ä"] {
        let error = disk.store.begin(id).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unsupported, "{id:?}");
    }
    for key in [
        "../etc/passwd",
        "/etc/passwd",
        "sha256/../../x",
        "",
        "uploads/a1",
        "a//b",
    ] {
        let key = quay_core::blob_store::ObjectKey::new(key);
        let error = disk.store.open(&key, Open::whole(1)).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{key}");
    }
}

#[tokio::test]
async fn a_truncated_object_is_reported_and_not_delivered() {
    let disk = OnDisk::new().await;
    let state = disk.store.begin("a1").await.unwrap();
    disk.store
        .append(&state, body("hello"), Append::at(0))
        .await
        .unwrap();
    let digest = Digest::of(Algorithm::Sha256, b"hello");
    let key = disk.store.commit(&state, &digest, 5).await.unwrap().key;
    std::fs::write(disk.directory.path().join(key.as_str()), "he").unwrap();
    let error = disk.store.open(&key, Open::whole(5)).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Corrupt);
}

#[tokio::test]
async fn an_object_that_its_upload_leaves_behind_is_found_by_the_inventory() {
    let disk = OnDisk::new().await;
    let state = disk.store.begin("a1").await.unwrap();
    disk.store
        .append(&state, body("hello"), Append::at(0))
        .await
        .unwrap();
    let digest = Digest::of(Algorithm::Sha256, b"hello");
    let key = disk.store.commit(&state, &digest, 5).await.unwrap().key;
    // Nobody recorded it, and the client goes on with something else.
    disk.store
        .append(&state, body("other"), Append::at(0))
        .await
        .unwrap();
    disk.store.abort(&state).await.unwrap();
    let inventory = disk.store.inventory().unwrap();
    let found = inventory
        .staged_uploads(Timestamp::from_millis(i64::MAX), None, 10)
        .await
        .unwrap();
    assert_eq!(found.len(), 1);
    assert!(found[0].published && found[0].length == 5, "{found:?}");
    assert!(inventory.unpublish(&found[0].state, &digest).await.unwrap());
    disk.store.abort(&found[0].state).await.unwrap();
    assert_eq!(disk.store.stat(&key).await.unwrap(), None);
    assert_eq!(disk.files(), [] as [PathBuf; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_first_publications_meet_in_new_directories() {
    for _ in 0..20 {
        let disk = OnDisk::new().await;
        let publications = (0..16).map(|number| {
            let store = Arc::clone(&disk.store);
            tokio::task::spawn(async move {
                let state = store.begin(&format!("a{number}")).await.unwrap();
                store.append(&state, body("hello"), Append::at(0)).await.unwrap();
                let digest = Digest::of(Algorithm::Sha256, b"hello");
                store.commit(&state, &digest, 5).await.map(drop)
            })
        });
        for outcome in futures::future::join_all(publications).await {
            outcome.unwrap().unwrap();
        }
    }
}
