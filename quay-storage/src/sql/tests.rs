//! The statements that each dialect has its own form of, on each dialect.

#[cfg(feature = "real-servers")]
#[path = "../../tests/support/garbage.rs"]
mod garbage;
#[cfg(feature = "real-servers")]
#[path = "../../tests/support/mariadb.rs"]
mod mariadb;
#[cfg(feature = "real-servers")]
#[path = "../../tests/support/postgres.rs"]
mod postgres;
#[cfg(feature = "real-servers")]
#[path = "../../tests/support/quota.rs"]
mod quota;
#[cfg(feature = "real-servers")]
#[expect(dead_code, reason = "one test needs less than the suites do")]
#[path = "../../tests/support/server.rs"]
mod server;

use quay_core::accounts::{Account, AccountKind, AccountStore as _, LogEntry, LogKind};
use quay_core::runtime::Timestamp;
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

/// An entry of the action log as it is stored: whose namespace, by whom, from where, with what.
type Logged = (
    Option<i64>,
    Option<String>,
    Option<String>,
    Option<String>,
    String,
);

async fn logged(store: &SqlMetadata) -> Vec<Logged> {
    let sql = "SELECT account_id, account_name, performer_name, ip, metadata FROM qr_log ORDER BY id";
    let rows = store.rows(sql, values![]).await.unwrap();
    rows.iter()
        .map(|row| {
            (
                row.opt_int(0).unwrap(),
                row.opt_text(1).unwrap(),
                row.opt_text(2).unwrap(),
                row.opt_text(3).unwrap(),
                row.text(4).unwrap(),
            )
        })
        .collect()
}

/// The action log cannot be read through the port yet, so that it is kept is tested here.
async fn the_log_is_kept_with_the_unit_of_work(store: &SqlMetadata) {
    let at = Timestamp::from_millis(1);
    let mut entry = LogEntry::new(LogKind::CreateRepo, at, serde_json::json!({ "text": "Grüße 🦀" }));
    entry.namespace = Some("acme".to_owned());
    entry.performer = Some("gone".to_owned());
    entry.address = Some(std::net::Ipv6Addr::LOCALHOST.into());
    let mut unit = store.begin_accounts().await.unwrap();
    unit.accounts().log(&entry).await.unwrap();
    unit.action_log().unwrap().append(&[entry.clone()]).await.unwrap();
    drop(unit);
    assert_eq!(logged(store).await, [], "a dropped unit of work has logged");
    let mut unit = store.begin_accounts().await.unwrap();
    let acme = Account::new(AccountKind::Organization, "acme", "uuid".to_owned(), at);
    let acme = Account {
        id: unit.accounts().insert_account(&acme).await.unwrap().unwrap(),
        ..acme
    };
    unit.accounts().log(&entry).await.unwrap();
    let many = vec![entry.clone(); 120];
    unit.action_log().unwrap().append(&many).await.unwrap();
    unit.accounts().delete_account(&acme, at).await.unwrap();
    unit.accounts().log(&entry).await.unwrap();
    unit.commit().await.unwrap();
    let logged = logged(store).await;
    let expected = |account| -> Logged {
        let text = |text: &str| Some(text.to_owned());
        let metadata = "{\"text\":\"Grüße 🦀\"}".to_owned();
        (account, text("acme"), text("gone"), text("::1"), metadata)
    };
    assert_eq!(logged.len(), 122);
    assert!(logged[..121].iter().all(|row| *row == expected(Some(acme.id))));
    assert_eq!(logged[121], expected(None));
}

/// Once a statement has failed, a server's unit of work comes to nothing, whatever follows.
#[cfg(feature = "real-servers")]
async fn a_failure_is_the_end(store: &SqlMetadata) {
    let sql = "INSERT INTO qr_namespace (name) VALUES (?)";
    let mut unit = store.unit().await.unwrap();
    unit.insert(sql, values!["taken"]).await.unwrap();
    quay_core::metadata::UnitOfWork::commit(Box::new(unit))
        .await
        .unwrap();
    let mut unit = store.unit().await.unwrap();
    unit.insert(sql, values!["early"]).await.unwrap();
    unit.insert(sql, values!["taken"]).await.unwrap_err();
    unit.insert(sql, values!["late"]).await.unwrap_err();
    let error = quay_core::metadata::UnitOfWork::commit(Box::new(unit))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Conflict);
    for name in ["early", "late"] {
        assert_eq!(namespace(&mut &*store, name).await.unwrap(), None, "{name}");
    }
}

/// What a deleted row takes along is found by an index, so that no deletion reads a table as a whole. MySQL
/// makes such indexes by itself.
async fn references_are_indexed(store: &SqlMetadata) {
    let sql = match store.unit().await.unwrap().dialect() {
        super::dialect::Dialect::Sqlite => {
            "SELECT t.name || '.' || k.\"from\" FROM sqlite_schema t JOIN pragma_foreign_key_list(t.name) k \
             WHERE t.type = 'table' AND NOT EXISTS (SELECT 1 FROM pragma_index_list(t.name) i \
             JOIN pragma_index_info(i.name) c ON c.seqno = 0 AND c.name = k.\"from\") ORDER BY 1"
        }
        super::dialect::Dialect::Postgres => {
            "SELECT k.conrelid::regclass::text || '.' || a.attname FROM pg_constraint k \
             JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1] \
             WHERE k.contype = 'f' AND NOT EXISTS (SELECT 1 FROM pg_index i \
             WHERE i.indrelid = k.conrelid AND i.indkey[0] = k.conkey[1]) ORDER BY 1"
        }
        super::dialect::Dialect::MySql => return,
    };
    let rows = (&mut &*store).rows(sql, values![]).await.unwrap();
    let mut missing: Vec<_> = rows.iter().map(|row| row.text(0).unwrap()).collect();
    // Uploads are few, since they are swept, and each piece that arrives would pay for the index.
    missing.retain(|column| column != "qr_upload.repository_id");
    assert!(missing.is_empty(), "{missing:?}");
}

async fn all(store: &SqlMetadata) {
    references_are_indexed(store).await;
    ids_are_handed_out(store).await;
    rows_that_are_there_are_met(store).await;
    the_log_is_kept_with_the_unit_of_work(store).await;
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
    let store = server.connect(&uri, &options).await.unwrap();
    all(&store).await;
    a_failure_is_the_end(&store).await;
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
