//! Brings a database to the newest schema. The files are committed and never edited once released; a new
//! one is added for every dialect, and to the list below.

use quay_core::{StoreError, StoreErrorKind};
use sqlx::SqlSafeStr as _;
use sqlx::migrate::{Migration, MigrationType, Migrator};

/// The migrations of a dialect, by the name of its folder.
macro_rules! migrations {
    ($dialect:literal) => {
        [
            (
                1,
                "registry",
                include_str!(concat!("../../migrations/", $dialect, "/0001_registry.sql")),
            ),
            (
                2,
                "accounts",
                include_str!(concat!("../../migrations/", $dialect, "/0002_accounts.sql")),
            ),
            (
                3,
                "content",
                include_str!(concat!("../../migrations/", $dialect, "/0003_content.sql")),
            ),
            (
                4,
                "garbage",
                include_str!(concat!("../../migrations/", $dialect, "/0004_garbage.sql")),
            ),
            (
                5,
                "quota",
                include_str!(concat!("../../migrations/", $dialect, "/0005_quota.sql")),
            ),
            (
                6,
                "lifecycle",
                include_str!(concat!("../../migrations/", $dialect, "/0006_lifecycle.sql")),
            ),
            (
                7,
                "past",
                include_str!(concat!("../../migrations/", $dialect, "/0007_past.sql")),
            ),
        ]
    };
}

fn migrator(texts: &[(i64, &'static str, &'static str)]) -> Migrator {
    let migrations = texts
        .iter()
        .map(|&(version, description, sql)| {
            Migration::new(
                version,
                description.into(),
                MigrationType::Simple,
                sql.into_sql_str(),
                false,
            )
        })
        .collect();
    Migrator::with_migrations(migrations)
}

fn failed(error: sqlx::migrate::MigrateError) -> StoreError {
    StoreError::new(
        StoreErrorKind::Other,
        "bring the metadata database to the newest schema",
    )
    .with_source(error)
}

#[cfg(feature = "sqlite")]
pub(super) async fn sqlite(connection: &mut sqlx::SqliteConnection) -> Result<(), StoreError> {
    migrator(&migrations!("sqlite"))
        .run_direct(None, connection, false)
        .await
        .map_err(failed)
}

#[cfg(feature = "postgres")]
pub(super) async fn postgres(connection: &mut sqlx::PgConnection) -> Result<(), StoreError> {
    migrator(&migrations!("postgres"))
        .run_direct(None, connection, false)
        .await
        .map_err(failed)
}

/// Seconds to wait for another process that migrates.
#[cfg(feature = "mysql")]
const LOCK_SECONDS: i64 = 600;

/// The driver's own lock waits for -1 seconds, which MariaDB refuses without an error; ours has a limit.
/// The server takes it back when the connection ends.
#[cfg(feature = "mysql")]
pub(super) async fn mysql(connection: &mut sqlx::MySqlConnection) -> Result<(), StoreError> {
    let locked: Option<i64> =
        sqlx::query_scalar("SELECT GET_LOCK(SHA1(CONCAT('qr_migrate ', DATABASE())), ?)")
            .bind(LOCK_SECONDS)
            .fetch_one(&mut *connection)
            .await
            .map_err(|error| super::db::failed("lock the schema", error))?;
    if locked != Some(1) {
        return Err(StoreError::new(
            StoreErrorKind::Unavailable,
            "another process has been bringing the metadata database to the newest schema for too long",
        ));
    }
    let mut migrator = migrator(&migrations!("mysql"));
    migrator.set_locking(false);
    let outcome = migrator.run_direct(None, &mut *connection, false).await;
    let unlocked = sqlx::query("SELECT RELEASE_LOCK(SHA1(CONCAT('qr_migrate ', DATABASE())))")
        .execute(&mut *connection)
        .await;
    outcome.map_err(failed)?;
    unlocked
        .map(drop)
        .map_err(|error| super::db::failed("unlock the schema", error))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    /// The columns of each table that a file makes or extends, by the order they are named in.
    fn columns(sql: &str) -> BTreeMap<String, Vec<String>> {
        let mut tables: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut table = None;
        for line in sql.lines() {
            let mut words = line.split_whitespace();
            let first = words.next().unwrap_or_default();
            if let Some(rest) = line.strip_prefix("CREATE TABLE ") {
                table = rest.split_whitespace().next().map(ToOwned::to_owned);
            } else if let Some(rest) = line.strip_prefix("ALTER TABLE ") {
                let (name, change) = rest.split_once(" ADD COLUMN ").unwrap_or_default();
                let column = change.split_whitespace().next().unwrap_or_default();
                tables.entry(name.to_owned()).or_default().push(column.to_owned());
            } else if first.starts_with(')') {
                table = None;
            } else if let Some(table) = &table
                && ![
                    "",
                    "--",
                    "CHECK",
                    "CONSTRAINT",
                    "FOREIGN",
                    "KEY",
                    "PRIMARY",
                    "UNIQUE",
                ]
                .contains(&first)
            {
                tables.entry(table.clone()).or_default().push(first.to_owned());
            }
        }
        tables
    }

    #[test]
    fn every_dialect_has_the_same_columns() {
        let (sqlite, postgres, mysql) = (
            migrations!("sqlite"),
            migrations!("postgres"),
            migrations!("mysql"),
        );
        for (index, &(version, name, sql)) in sqlite.iter().enumerate() {
            let wanted = columns(sql);
            assert!(!wanted.is_empty() || name == "past", "{name} makes nothing");
            for other in [postgres[index], mysql[index]] {
                assert_eq!((other.0, other.1), (version, name));
                assert_eq!(columns(other.2), wanted, "{name}");
            }
        }
    }
}
