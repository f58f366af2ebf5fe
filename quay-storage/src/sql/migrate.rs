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
