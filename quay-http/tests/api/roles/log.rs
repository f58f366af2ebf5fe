//! The action log, as it stands in the database.

use std::path::Path;

use serde_json::Value;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, Row as _};

#[derive(Debug)]
pub(crate) struct Logged {
    pub(crate) kind: String,
    pub(crate) account: String,
    pub(crate) performer: String,
    pub(crate) metadata: Value,
}

/// Every entry, oldest first.
pub(crate) async fn entries(database: &Path) -> Vec<Logged> {
    let options = SqliteConnectOptions::new().filename(database).read_only(true);
    let mut connection = options.connect().await.unwrap();
    let sql = "SELECT kind, coalesce(account_name, ''), coalesce(performer_name, ''), metadata FROM qr_log ORDER BY id";
    let rows = sqlx::query(sql).fetch_all(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    rows.iter()
        .map(|row| Logged {
            kind: row.get(0),
            account: row.get(1),
            performer: row.get(2),
            metadata: serde_json::from_str(row.get(3)).unwrap(),
        })
        .collect()
}
