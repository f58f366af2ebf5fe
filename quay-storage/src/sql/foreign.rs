//! Databases that belong to somebody else: Quay's own is never altered.
//!
//! Whoever opens a database looks first, before anything is made in it.

use quay_core::{StoreError, StoreErrorKind};

/// The error that says so.
fn refusal(database: &str) -> StoreError {
    StoreError::new(
        StoreErrorKind::Unsupported,
        format!(
            "{database} belongs to Quay (it has a table alembic_version); this version cannot import it yet, \
             and nothing in it was changed. Use another database"
        ),
    )
}

/// Refuses Quay's database on PostgreSQL: the table may be in any schema where ours would be looked for.
#[cfg(feature = "postgres")]
pub(super) async fn refuse_postgres(connection: &mut sqlx::PgConnection) -> Result<(), StoreError> {
    // The catalogue, since information_schema hides tables that this user may not read.
    let found = sqlx::query(
        "SELECT 1 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relname = 'alembic_version' AND n.nspname = ANY (current_schemas(false))",
    )
    .fetch_optional(connection)
    .await
    .map_err(|error| super::db::failed("look for another's tables", error))?;
    found.map_or(Ok(()), |_| Err(refusal("this PostgreSQL database")))
}

/// Refuses Quay's database on MySQL.
#[cfg(feature = "mysql")]
pub(super) async fn refuse_mysql(connection: &mut sqlx::MySqlConnection) -> Result<(), StoreError> {
    let found = sqlx::query(
        "SELECT 1 FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = 'alembic_version'",
    )
    .fetch_optional(connection)
    .await
    .map_err(|error| super::db::failed("look for another's tables", error))?;
    found.map_or(Ok(()), |_| Err(refusal("this MySQL database")))
}

#[cfg(feature = "sqlite")]
pub(super) use sqlite::refuse_sqlite;

#[cfg(feature = "sqlite")]
mod sqlite {
    use std::fs::File;
    use std::io::{ErrorKind, Read as _};
    use std::path::{Path, PathBuf};

    use quay_core::StoreError;
    use sqlx::sqlite::SqliteConnectOptions;
    use sqlx::{ConnectOptions as _, Connection as _, Row as _};

    use super::refusal;
    use crate::sql::db::failed;

    /// What a file's schema says.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Owner {
        Quay,
        Us,
        Nobody,
    }

    /// Refuses Quay's database in a file, without touching it or anything beside it.
    pub(in crate::sql) async fn refuse_sqlite(path: &Path) -> Result<(), StoreError> {
        let unreadable = |error| StoreError::io(format!("open {}", path.display()), error);
        match std::fs::metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(unreadable(error)),
            Ok(metadata) if metadata.len() == 0 => return Ok(()),
            Ok(_) => {}
        }
        let log = log_beside(path);
        let logged = std::fs::metadata(&log).is_ok_and(|metadata| metadata.len() > 0);
        let owner = match owner_of(path).await {
            Ok(Owner::Nobody) | Err(_) if logged => owner_in(&log).map_err(unreadable)?,
            Ok(owner) => owner,
            Err(error) => return Err(failed(&format!("look into {}", path.display()), error)),
        };
        match owner {
            Owner::Quay => Err(refusal(&format!("the SQLite database {}", path.display()))),
            Owner::Us | Owner::Nobody => Ok(()),
        }
    }

    fn log_beside(path: &Path) -> PathBuf {
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        log.into()
    }

    /// Looks into the file alone. "Immutable" keeps SQLite from making or reading anything beside it: no
    /// locks, no log, no index of the log.
    async fn owner_of(path: &Path) -> Result<Owner, sqlx::Error> {
        let mut connection = SqliteConnectOptions::new()
            .filename(path)
            .read_only(true)
            .immutable(true)
            .disable_statement_logging()
            .connect()
            .await?;
        let names =
            sqlx::query("SELECT name FROM sqlite_master WHERE name IN ('alembic_version', 'qr_namespace')")
                .fetch_all(&mut connection)
                .await?
                .iter()
                .map(|row| row.try_get(0))
                .collect::<Result<Vec<String>, _>>()?;
        connection.close().await?;
        Ok(if names.iter().any(|name| name == "alembic_version") {
            Owner::Quay
        } else if names.is_empty() {
            Owner::Nobody
        } else {
            Owner::Us
        })
    }

    /// Looks into a log for what has not reached the file yet: SQLite keeps the text that made a table. Ours
    /// counts first, since our log may hold whatever somebody pushed.
    fn owner_in(log: &Path) -> std::io::Result<Owner> {
        const PIECE: usize = 64 << 10;
        const OURS: &[u8] = b"CREATE TABLE qr_namespace";
        const QUAYS: &[u8] = b"CREATE TABLE alembic_version";
        let contains = |hay: &[u8], needle: &[u8]| hay.windows(needle.len()).any(|window| window == needle);
        let mut file = File::open(log)?;
        let mut owner = Owner::Nobody;
        let mut seen = Vec::with_capacity(PIECE * 2);
        loop {
            let read = file.by_ref().take(PIECE as u64).read_to_end(&mut seen)?;
            if contains(&seen, OURS) {
                return Ok(Owner::Us);
            }
            if contains(&seen, QUAYS) {
                owner = Owner::Quay;
            }
            if read == 0 {
                return Ok(owner);
            }
            // What may be the beginning of a text goes on.
            let kept = seen.len().saturating_sub(QUAYS.len());
            seen.drain(..kept);
        }
    }
}
