//! One text for every dialect: values, rows and errors without a driver's types.

use std::borrow::Cow;
use std::str::FromStr;

use quay_core::{StoreError, StoreErrorKind};
use sqlx::{AssertSqlSafe, Row as _};

#[cfg(feature = "postgres")]
use super::dialect::numbered;
#[cfg(feature = "mysql")]
use super::dialect::with_mysql_casts;
#[cfg(any(feature = "mysql", feature = "postgres"))]
use super::server::Done;

/// A bound value.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Int(i64),
    OptInt(Option<i64>),
    Text(String),
    OptText(Option<String>),
    Blob(Vec<u8>),
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<Option<i64>> for Value {
    fn from(value: Option<i64>) -> Self {
        Self::OptInt(value)
    }
}

/// As 0 or 1.
impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Int(value.into())
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<Option<String>> for Value {
    fn from(value: Option<String>) -> Self {
        Self::OptText(value)
    }
}

impl From<Option<&str>> for Value {
    fn from(value: Option<&str>) -> Self {
        Self::OptText(value.map(ToOwned::to_owned))
    }
}

impl From<&[u8]> for Value {
    fn from(value: &[u8]) -> Self {
        Self::Blob(value.to_vec())
    }
}

/// Binds values of different kinds in one list.
macro_rules! values {
    ($($value:expr),* $(,)?) => { vec![$($crate::sql::db::Value::from($value)),*] };
}
pub(super) use values;

/// Placeholders for a list of `count` values, rounded up so that few different statements arise; the
/// caller fills the rest with [`padded`].
pub(super) fn placeholders(count: usize) -> String {
    let mut text = "?".to_owned();
    for _ in 1..padded_length(count) {
        text.push_str(", ?");
    }
    text
}

/// Longest text, in bytes, that is kept as a prepared statement.
#[cfg(any(feature = "sqlite", feature = "mysql"))]
const KEPT: usize = 8 << 10;

/// Most values in one list. SQLite takes 32 766 parameters, PostgreSQL and MySQL 65 535.
pub(super) const LIST: usize = 256;

fn padded_length(count: usize) -> usize {
    [1, 4, 16, 64, LIST]
        .into_iter()
        .find(|&length| count <= length)
        .unwrap_or(count)
}

/// The values of a list, the last one repeated up to the number of placeholders.
pub(super) fn padded<T: ToString>(items: &[T]) -> Vec<Value> {
    filled(items.iter().map(|item| Value::Text(item.to_string())).collect())
}

/// As [`padded`], of values.
pub(super) fn filled(mut values: Vec<Value>) -> Vec<Value> {
    if let Some(last) = values.last().cloned() {
        values.resize(padded_length(values.len()), last);
    }
    values
}

/// A row of whichever driver.
#[derive(Debug)]
pub(super) enum Row {
    #[cfg(feature = "sqlite")]
    Sqlite(sqlx::sqlite::SqliteRow),
    #[cfg(feature = "postgres")]
    Postgres(sqlx::postgres::PgRow),
    #[cfg(feature = "mysql")]
    MySql(sqlx::mysql::MySqlRow),
}

macro_rules! column {
    ($name:ident, $type:ty) => {
        pub(super) fn $name(&self, index: usize) -> Result<$type, StoreError> {
            match self {
                #[cfg(feature = "sqlite")]
                Self::Sqlite(row) => row.try_get(index),
                #[cfg(feature = "postgres")]
                Self::Postgres(row) => row.try_get(index),
                #[cfg(feature = "mysql")]
                Self::MySql(row) => row.try_get(index),
            }
            .map_err(|error| failed("read a column", error))
        }
    };
}

impl Row {
    column!(int, i64);
    column!(opt_int, Option<i64>);
    column!(text, String);
    column!(opt_text, Option<String>);
    column!(blob, Vec<u8>);

    /// A column that holds something with a grammar.
    pub(super) fn parsed<T: FromStr>(&self, index: usize) -> Result<T, StoreError> {
        let text = self.text(index)?;
        text.parse().map_err(|_| corrupt(&text))
    }

    pub(super) fn size(&self, index: usize) -> Result<u64, StoreError> {
        let size = self.int(index)?;
        u64::try_from(size).map_err(|_| corrupt(&size.to_string()))
    }
}

/// A stored value that this version cannot read.
pub(super) fn corrupt(value: &str) -> StoreError {
    StoreError::new(
        StoreErrorKind::Corrupt,
        format!("the database holds a value that cannot be understood: {value:?}"),
    )
}

/// What a driver's error means to core.
pub(super) fn failed(action: &str, error: sqlx::Error) -> StoreError {
    let kind = match &error {
        sqlx::Error::Database(database) => database_kind(&**database),
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => StoreErrorKind::Unavailable,
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::ColumnNotFound(_) => StoreErrorKind::Corrupt,
        _ => StoreErrorKind::Other,
    };
    StoreError::new(kind, format!("{action} in the metadata database")).with_source(error)
}

fn database_kind(database: &dyn sqlx::error::DatabaseError) -> StoreErrorKind {
    #[cfg(feature = "mysql")]
    if let Some(error) = database.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>() {
        return mysql_kind(error.number(), error.message());
    }
    match database.code().as_deref() {
        // SQLite: SQLITE_FULL. PostgreSQL: disk_full.
        Some("13" | "53100") => StoreErrorKind::Full,
        // SQLite: a unique, primary or foreign key; busy. PostgreSQL: unique_violation,
        // foreign_key_violation, serialization_failure, deadlock_detected. What a row refers to may be
        // collected at any time.
        Some("1555" | "2067" | "787" | "5" | "517" | "23505" | "23503" | "40001" | "40P01") => {
            StoreErrorKind::Conflict
        }
        // PostgreSQL: connection trouble, shutting down, too many connections.
        Some(code) if code.starts_with("08") || code.starts_with("57P") || code == "53300" => {
            StoreErrorKind::Unavailable
        }
        _ => StoreErrorKind::Other,
    }
}

/// MySQL's and MariaDB's errors by number: their SQLSTATEs say too little.
#[cfg(feature = "mysql")]
fn mysql_kind(number: u16, message: &str) -> StoreErrorKind {
    match number {
        // ER_DISK_FULL, ER_RECORD_FILE_FULL.
        1021 | 1114 => StoreErrorKind::Full,
        // Writing failed, and the text says with which error of the system: ENOSPC or EDQUOT.
        3 | 1026 | 1030
            if ["28", "122"].iter().any(|errno| {
                message.contains(&format!("errno: {errno} ")) || message.contains(&format!("error {errno} "))
            }) =>
        {
            StoreErrorKind::Full
        }
        // ER_DUP_ENTRY, ER_LOCK_WAIT_TIMEOUT, ER_LOCK_DEADLOCK, ER_ROW_IS_REFERENCED_2, ER_NO_REFERENCED_ROW_2.
        1062 | 1205 | 1213 | 1451 | 1452 => StoreErrorKind::Conflict,
        // Too many connections, of all or of this user; shutting down; not up yet; read only while
        // another takes over; killed.
        1040 | 1203 | 1226 | 1053 | 1077 | 1290 | 1317 | 1836 | 1927 | 3169 => StoreErrorKind::Unavailable,
        _ => StoreErrorKind::Other,
    }
}

/// Whether a unique key was met.
#[cfg(feature = "mysql")]
pub(super) fn is_duplicate(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(database) if database.is_unique_violation())
}

macro_rules! bind_all {
    ($query:expr, $values:expr) => {{
        let mut query = $query;
        for value in $values {
            query = match value {
                Value::Int(value) => query.bind(value),
                Value::OptInt(value) => query.bind(value),
                Value::Text(value) => query.bind(value),
                Value::OptText(value) => query.bind(value),
                Value::Blob(value) => query.bind(value),
            };
        }
        query
    }};
}

#[cfg(feature = "sqlite")]
pub(super) async fn sqlite_rows(
    connection: &mut sqlx::SqliteConnection,
    sql: Cow<'static, str>,
    values: Vec<Value>,
) -> Result<Vec<Row>, sqlx::Error> {
    let rows = match sql {
        Cow::Borrowed(sql) => bind_all!(sqlx::query(sql), values).fetch_all(connection).await,
        Cow::Owned(sql) => {
            // A long text is a long list of one manifest's; kept prepared it would cost much and serve
            // nobody.
            let kept = sql.len() <= KEPT;
            bind_all!(sqlx::query(AssertSqlSafe(sql)).persistent(kept), values)
                .fetch_all(connection)
                .await
        }
    };
    Ok(rows?.into_iter().map(Row::Sqlite).collect())
}

#[cfg(feature = "postgres")]
impl super::server::Driver for sqlx::Postgres {
    async fn rows(
        connection: &mut sqlx::PgConnection,
        sql: Cow<'static, str>,
        values: Vec<Value>,
    ) -> Result<Vec<Row>, sqlx::Error> {
        let rows = bind_all!(sqlx::query(AssertSqlSafe(numbered(&sql))), values)
            .fetch_all(connection)
            .await?;
        Ok(rows.into_iter().map(Row::Postgres).collect())
    }

    async fn run(
        connection: &mut sqlx::PgConnection,
        sql: Cow<'static, str>,
        values: Vec<Value>,
    ) -> Result<Done, sqlx::Error> {
        let done = bind_all!(sqlx::query(AssertSqlSafe(numbered(&sql))), values)
            .execute(connection)
            .await?;
        Ok(Done {
            changed: done.rows_affected(),
            id: 0,
        })
    }
}

#[cfg(feature = "mysql")]
impl super::server::Driver for sqlx::MySql {
    async fn rows(
        connection: &mut sqlx::MySqlConnection,
        sql: Cow<'static, str>,
        values: Vec<Value>,
    ) -> Result<Vec<Row>, sqlx::Error> {
        let sql = with_mysql_casts(sql);
        let kept = sql.len() <= KEPT;
        let rows = bind_all!(
            sqlx::query(AssertSqlSafe(sql.into_owned())).persistent(kept),
            values
        )
        .fetch_all(connection)
        .await?;
        Ok(rows.into_iter().map(Row::MySql).collect())
    }

    async fn run(
        connection: &mut sqlx::MySqlConnection,
        sql: Cow<'static, str>,
        values: Vec<Value>,
    ) -> Result<Done, sqlx::Error> {
        let sql = with_mysql_casts(sql);
        let kept = sql.len() <= KEPT;
        let done = bind_all!(
            sqlx::query(AssertSqlSafe(sql.into_owned())).persistent(kept),
            values
        )
        .execute(connection)
        .await?;
        Ok(Done {
            changed: done.rows_affected(),
            id: done.last_insert_id(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_padded_to_few_lengths() {
        assert_eq!(placeholders(3), "?, ?, ?, ?");
        assert_eq!(padded(&["a", "b", "c"]).len(), 4);
        assert_eq!(padded(&["a"; 300]).len(), 300);
    }

    #[cfg(feature = "mysql")]
    #[test]
    fn mysqls_errors_are_told_by_number() {
        for (number, message, kind) in [
            (
                1062,
                "Duplicate entry 'a' for key 'path'",
                StoreErrorKind::Conflict,
            ),
            (
                1213,
                "Deadlock found when trying to get lock",
                StoreErrorKind::Conflict,
            ),
            (1205, "Lock wait timeout exceeded", StoreErrorKind::Conflict),
            (1021, "Disk full (/tmp)", StoreErrorKind::Full),
            (1114, "The table 'qr_tag' is full", StoreErrorKind::Full),
            (
                1030,
                "Got error 28 \"No space left on device\" from storage engine",
                StoreErrorKind::Full,
            ),
            (
                3,
                "Error writing file 'x' (errno: 28 \"No space left on device\")",
                StoreErrorKind::Full,
            ),
            (
                1030,
                "Got error 168 \"Unknown\" from storage engine",
                StoreErrorKind::Other,
            ),
            (1053, "Server shutdown in progress", StoreErrorKind::Unavailable),
            (1040, "Too many connections", StoreErrorKind::Unavailable),
            (1452, "Cannot add or update a child row", StoreErrorKind::Conflict),
        ] {
            assert_eq!(mysql_kind(number, message), kind, "{number} {message}");
        }
    }
}
