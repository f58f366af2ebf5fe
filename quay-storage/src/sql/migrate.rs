//! Brings a database to the newest schema. The files are committed and never edited once released.

use quay_core::{StoreError, StoreErrorKind};
use sqlx::SqlSafeStr as _;
use sqlx::migrate::{Migration, MigrationType, Migrator};

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
    let texts = [(
        1,
        "registry",
        include_str!("../../migrations/sqlite/0001_registry.sql"),
    )];
    migrator(&texts)
        .run_direct(None, connection, false)
        .await
        .map_err(failed)
}

#[cfg(feature = "postgres")]
pub(super) async fn postgres(pool: &sqlx::PgPool) -> Result<(), StoreError> {
    let texts = [(
        1,
        "registry",
        include_str!("../../migrations/postgres/0001_registry.sql"),
    )];
    let mut connection = pool
        .acquire()
        .await
        .map_err(|error| super::db::failed("connect", error))?;
    let connection: &mut sqlx::PgConnection = &mut connection;
    migrator(&texts)
        .run_direct(None, connection, false)
        .await
        .map_err(failed)
}
