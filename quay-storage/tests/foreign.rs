//! A SQLite file of Quay's own: it is refused, and neither it nor anything beside it changes.
#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use quay_core::StoreErrorKind;
use quay_storage::SqlMetadata;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _};
use support::TestSpawner;
use tempfile::TempDir;

/// What is left of Quay's schema when most of it is left out.
const QUAY: &str = "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL); \
     INSERT INTO alembic_version VALUES ('c3d4b7ebcdf7'); \
     CREATE TABLE user (id INTEGER PRIMARY KEY, username VARCHAR(255) NOT NULL UNIQUE); \
     INSERT INTO user (username) VALUES ('ann'), ('bob')";

async fn written(path: &Path, mode: SqliteJournalMode, sql: &'static str) -> SqliteConnection {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(mode);
    let mut connection = options.connect().await.unwrap();
    connection.execute(sql).await.unwrap();
    connection
}

/// Every file in a directory: its name, when it was changed, its bytes.
fn files(directory: &Path) -> Vec<(PathBuf, SystemTime, Vec<u8>)> {
    let mut files: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let changed = entry.metadata().unwrap().modified().unwrap();
            (entry.path(), changed, std::fs::read(entry.path()).unwrap())
        })
        .collect();
    files.sort();
    files
}

async fn is_refused(directory: &Path) {
    let before = files(directory);
    for _ in 0..2 {
        let opened = SqlMetadata::open_sqlite(&directory.join("quay.db"), &TestSpawner::current()).await;
        let error = opened.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unsupported, "{error:?}");
        assert!(error.to_string().contains("belongs to Quay"), "{error}");
        assert!(error.to_string().contains("nothing in it was changed"), "{error}");
    }
    assert!(files(directory) == before, "something has changed");
}

#[tokio::test]
async fn in_whatever_journal_mode() {
    for mode in [
        SqliteJournalMode::Delete,
        SqliteJournalMode::Wal,
        SqliteJournalMode::Persist,
    ] {
        let directory = TempDir::new().unwrap();
        let connection = written(&directory.path().join("quay.db"), mode, QUAY).await;
        connection.close().await.unwrap();
        is_refused(directory.path()).await;
    }
}

/// What a crash leaves: the schema is in the log alone, or in the file with a log beside it.
#[tokio::test]
async fn with_a_log_that_nobody_has_taken_over() {
    let origin = TempDir::new().unwrap();
    let path = origin.path().join("quay.db");
    let mut connection = written(&path, SqliteJournalMode::Wal, QUAY).await;
    let crashed = || {
        let directory = TempDir::new().unwrap();
        for name in ["quay.db", "quay.db-wal"] {
            std::fs::copy(origin.path().join(name), directory.path().join(name)).unwrap();
        }
        directory
    };
    is_refused(crashed().path()).await;
    connection
        .execute("PRAGMA wal_checkpoint(PASSIVE); INSERT INTO user (username) VALUES ('eve')")
        .await
        .unwrap();
    is_refused(crashed().path()).await;
}

#[tokio::test]
async fn while_quay_has_it_open() {
    for mode in [SqliteJournalMode::Delete, SqliteJournalMode::Wal] {
        let directory = TempDir::new().unwrap();
        let mut connection = written(&directory.path().join("quay.db"), mode, QUAY).await;
        connection
            .execute("BEGIN IMMEDIATE; INSERT INTO user (username) VALUES ('eve')")
            .await
            .unwrap();
        is_refused(directory.path()).await;
        connection.execute("COMMIT").await.unwrap();
    }
}

/// Our own file is opened after a crash, whatever was pushed into it.
#[tokio::test]
async fn not_so_our_own() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("quay.db");
    let spawner = TestSpawner::current();
    let store = SqlMetadata::open_sqlite(&path, &spawner).await.unwrap();
    let crashed = TempDir::new().unwrap();
    for name in ["quay.db", "quay.db-wal"] {
        std::fs::copy(directory.path().join(name), crashed.path().join(name)).unwrap();
    }
    drop(store);
    let path = crashed.path().join("quay.db");
    let note = "INSERT INTO qr_namespace (name) VALUES ('CREATE TABLE alembic_version')";
    let connection = written(&path, SqliteJournalMode::Wal, note).await;
    let again = TempDir::new().unwrap();
    for name in ["quay.db", "quay.db-wal"] {
        std::fs::copy(crashed.path().join(name), again.path().join(name)).unwrap();
    }
    drop(connection);
    SqlMetadata::open_sqlite(&again.path().join("quay.db"), &spawner)
        .await
        .unwrap();
}

#[tokio::test]
async fn what_is_no_database_is_left_alone_too() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("quay.db");
    std::fs::write(
        &path,
        "a text of some length that is no database at all".repeat(100),
    )
    .unwrap();
    let before = files(directory.path());
    let opened = SqlMetadata::open_sqlite(&path, &TestSpawner::current()).await;
    opened.unwrap_err();
    assert!(files(directory.path()) == before, "something has changed");
}
