//! The statements that each dialect has its own form of, on each dialect.

#[cfg(feature = "real-servers")]
#[path = "../../tests/support/mariadb.rs"]
mod mariadb;
#[cfg(feature = "real-servers")]
#[path = "../../tests/support/postgres.rs"]
mod postgres;
#[cfg(feature = "real-servers")]
#[expect(dead_code, reason = "one test needs less than the suites do")]
#[path = "../../tests/support/server.rs"]
mod server;

use quay_core::{StoreError, StoreErrorKind};

use super::SqlMetadata;
use super::db::values;
use super::rows::Rows;

async fn namespace(rows: &mut impl Rows, name: &str) -> Result<Option<i64>, StoreError> {
    let row = rows
        .row("SELECT id FROM qr_namespace WHERE name = ?", values![name])
        .await?;
    row.map(|row| row.int(0)).transpose()
}

/// What was written once is read inside a unit of work and outside.
async fn ids_are_handed_out(store: &SqlMetadata) {
    let mut unit = store.unit().await.unwrap();
    let sql = "INSERT INTO qr_namespace (name) VALUES (?)";
    let first = unit.insert(sql, values!["first"]).await.unwrap();
    let columns = ["name"];
    let again = unit
        .insert_new_id("qr_namespace", &columns, values!["first"], &columns)
        .await;
    assert_eq!(again.unwrap(), None);
    let second = unit
        .insert_new_id("qr_namespace", &columns, values!["second"], &columns)
        .await;
    let second = second.unwrap().unwrap();
    assert_ne!(first, second);
    assert_eq!(namespace(&mut unit, "second").await.unwrap(), Some(second));
    assert_eq!(namespace(&mut &*store, "second").await.unwrap(), None);
    let mut blobs = Vec::new();
    for digest in ["a", "b", "a", "b", "a"] {
        let columns = ["digest", "size = 3", "created_ms", "epoch = 1"];
        let changes = ["epoch = qr_blob.epoch + 1", "created_ms"];
        let values = values![digest, i64::try_from(blobs.len()).unwrap()];
        blobs.push(
            unit.upsert_id("qr_blob", &columns, values, &["digest"], &changes)
                .await
                .unwrap(),
        );
    }
    assert_eq!(blobs, [blobs[0], blobs[1], blobs[0], blobs[1], blobs[0]]);
    let sql = "SELECT epoch, created_ms FROM qr_blob ORDER BY digest";
    let rows = unit.rows(sql, values![]).await.unwrap();
    let found: Vec<_> = rows
        .iter()
        .map(|row| (row.int(0).unwrap(), row.int(1).unwrap()))
        .collect();
    assert_eq!(found, [(3, 4), (2, 3)]);
    quay_core::metadata::UnitOfWork::commit(Box::new(unit))
        .await
        .unwrap();
    assert_eq!(namespace(&mut &*store, "first").await.unwrap(), Some(first));
}

async fn rows_that_are_there_are_met(store: &SqlMetadata) {
    let mut unit = store.unit().await.unwrap();
    let table = "CREATE TEMPORARY TABLE met (a BIGINT UNIQUE, b BIGINT UNIQUE, c BIGINT, d VARCHAR(9))";
    unit.run(table, values![]).await.unwrap();
    let (columns, unique) = (["a", "b"], ["a"]);
    assert!(
        unit.insert_new("met", &columns, values![1, 1], &unique)
            .await
            .unwrap()
    );
    assert!(
        !unit
            .insert_new("met", &columns, values![1, 2], &unique)
            .await
            .unwrap()
    );
    unit.ensure("met", &columns, values![1, 3], &unique)
        .await
        .unwrap();
    let columns = ["a", "b", "c", "d"];
    for (c, d) in [(None, Some("x")), (Some(5_i64), None)] {
        let values = values![1, 4, c, d];
        unit.upsert("met", &columns, values, &unique, &["c", "d"])
            .await
            .unwrap();
        let row = unit
            .row("SELECT a, b, c, d FROM met", values![])
            .await
            .unwrap()
            .unwrap();
        let found = (row.int(0).unwrap(), row.int(1).unwrap());
        assert_eq!(found, (1, 1));
        assert_eq!(row.opt_int(2).unwrap(), c);
        assert_eq!(row.opt_text(3).unwrap().as_deref(), d);
    }
    let both = unit
        .insert_new("met", &columns, values![1, 1, true, "y"], &unique)
        .await;
    assert!(!both.unwrap(), "the key that was asked about counts");
    let other = unit.insert_new("met", &["a", "b"], values![2, 1], &unique).await;
    let error = other.expect_err("the row that was met is another's");
    assert_eq!(error.kind(), StoreErrorKind::Conflict, "{error:?}");
}

async fn all(store: &SqlMetadata) {
    ids_are_handed_out(store).await;
    rows_that_are_there_are_met(store).await;
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn on_sqlite() {
    #[derive(Debug)]
    struct Tokio;

    impl quay_core::runtime::Spawner for Tokio {
        #[expect(clippy::disallowed_methods, reason = "this is the spawner")]
        fn spawn(&self, task: futures::future::BoxFuture<'static, ()>) {
            tokio::spawn(task);
        }

        fn run_blocking(&self, work: Box<dyn FnOnce() + Send>) {
            tokio::task::spawn_blocking(work);
        }
    }

    let directory = tempfile::TempDir::new().unwrap();
    let path = directory.path().join("quay.db");
    all(&SqlMetadata::open_sqlite(&path, &Tokio).await.unwrap()).await;
}

#[cfg(feature = "real-servers")]
async fn on(server: &dyn server::Server) {
    let uri = server.fresh_database();
    let options = super::ConnectOptions::default();
    all(&server.connect(&uri, &options).await.unwrap()).await;
}

#[cfg(feature = "real-servers")]
#[tokio::test]
async fn on_postgres() {
    on(&postgres::Postgres::started()).await;
}

#[cfg(feature = "real-servers")]
#[tokio::test]
async fn on_mariadb() {
    on(&mariadb::MariaDb::started()).await;
}
