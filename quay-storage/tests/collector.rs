//! The collector over SQLite: histories with failures and crashes, and what it costs among many live manifests.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "tests"
)]

mod support;

#[path = "support/garbage.rs"]
mod garbage;

use std::path::Path;
use std::sync::Arc;

use garbage::{Kind, collect, collecting, fill};
use quay_core::memory::MemoryBlobs;
use quay_core::metadata::MetadataStore;
use quay_core::testing::simulation::{Fault, Stores, simulate};
use quay_storage::SqlMetadata;
use sqlx::{Connection as _, Row as _};
use support::TestSpawner;
use tempfile::TempDir;

const DEAD: usize = 1000;
const FEW: usize = 1000;

fn number(name: &str, default: usize) -> usize {
    let asked = std::env::var(name).ok();
    asked.map_or(default, |number| number.parse().unwrap())
}

/// In memory where that can be had: what is synced is not what this is about.
fn directory() -> TempDir {
    TempDir::new_in("/dev/shm").unwrap_or_else(|_| TempDir::new().unwrap())
}

/// Rows that are left, by table.
async fn rows(path: &Path) -> String {
    let options = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(path)
        .read_only(true);
    let mut connection = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    let mut left = Vec::new();
    for table in [
        "SELECT 'manifest', COUNT(*) FROM qr_manifest",
        "SELECT 'edge', COUNT(*) FROM qr_manifest_edge",
        "SELECT 'tag', COUNT(*) FROM qr_tag",
        "SELECT 'label', COUNT(*) FROM qr_label",
        "SELECT 'review', COUNT(*) FROM qr_review",
        "SELECT 'blob', COUNT(*) FROM qr_blob",
        "SELECT 'placement', COUNT(*) FROM qr_placement",
        "SELECT 'link', COUNT(*) FROM qr_blob_link",
        "SELECT 'upload', COUNT(*) FROM qr_upload",
        "SELECT 'outbox', COUNT(*) FROM qr_outbox",
        "SELECT 'doomed', COUNT(*) FROM qr_repository WHERE state <> 'normal'",
    ] {
        let row = sqlx::query(table).fetch_one(&mut connection).await.unwrap();
        let (name, count): (String, i64) = (row.get(0), row.get(1));
        if count > 0 {
            left.push(format!("{count} {name}"));
        }
    }
    left.join(", ")
}

#[test]
fn nothing_is_lost_and_nothing_is_left() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _entered = runtime.enter();
    let histories = u64::try_from(number("HISTORIES", 12)).unwrap();
    for seed in 0..histories {
        let directory = directory();
        let path = directory.path().join("quay.db");
        let metadata = runtime
            .block_on(SqlMetadata::open_sqlite(&path, &TestSpawner::current()))
            .unwrap();
        let blobs = MemoryBlobs::new();
        let (objects, handle) = (blobs.clone(), runtime.handle().clone());
        let stores = Stores {
            metadata: Arc::new(metadata),
            blobs: Arc::new(blobs),
            leftovers: Arc::new(move || {
                let objects = objects.objects();
                let rows = handle.block_on(rows(&path));
                if objects.is_empty() {
                    rows
                } else {
                    format!("{rows}{objects:?}")
                }
            }),
        };
        let tally = simulate(seed, 20, Fault::None, &stores).unwrap();
        assert!(tally.done > 0, "{tally:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_costs_what_it_is_whatever_else_is_there() {
    let many = number("MANY_MANIFESTS", 20_000);
    let mut times = Vec::new();
    for live in [FEW, many] {
        let directory = directory();
        let path = directory.path().join("quay.db");
        let store = SqlMetadata::open_sqlite(&path, &TestSpawner::current())
            .await
            .unwrap();
        let store: Arc<dyn MetadataStore> = Arc::new(store);
        fill(&*store, "org/app", Kind::Live, live).await;
        let registry = collecting(Arc::clone(&store));
        collect(&registry, 100).await;
        fill(&*store, "org/app", Kind::Dead, DEAD).await;
        let (done, time) = collect(&registry, 100).await;
        assert_eq!(
            (done.manifests, done.blobs, done.objects),
            (DEAD, 6 * DEAD, 6 * DEAD)
        );
        println!("{DEAD} dead among {live} live: {time:?}");
        times.push(time.as_secs_f64());
    }
    assert!(times[1] < 3.0 * times[0], "{times:?}");
}
