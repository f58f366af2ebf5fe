//! One text for every dialect: values, rows and errors without a driver's types.

#[cfg(feature = "sqlite")]
use std::borrow::Cow;
use std::str::FromStr;

use quay_core::{StoreError, StoreErrorKind};
use sqlx::{AssertSqlSafe, Row as _};

/// A bound value.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Int(i64),
    Text(String),
    OptText(Option<String>),
    Blob(Vec<u8>),
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
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
#[cfg(feature = "sqlite")]
const KEPT: usize = 8 << 10;

/// Most values in one list. SQLite takes 32 766 parameters, PostgreSQL 65 535.
pub(super) const LIST: usize = 256;

fn padded_length(count: usize) -> usize {
    [1, 4, 16, 64, LIST]
        .into_iter()
        .find(|&length| count <= length)
        .unwrap_or(count)
}

/// The values of a list, the last one repeated up to the number of placeholders.
pub(super) fn padded<T: ToString>(items: &[T]) -> Vec<Value> {
    let mut values: Vec<Value> = items.iter().map(|item| Value::Text(item.to_string())).collect();
    if let Some(last) = values.last().cloned() {
        values.resize(padded_length(items.len()), last);
    }
    values
}

/// A row of either driver.
#[derive(Debug)]
pub(super) enum Row {
    #[cfg(feature = "sqlite")]
    Sqlite(sqlx::sqlite::SqliteRow),
    #[cfg(feature = "postgres")]
    Postgres(sqlx::postgres::PgRow),
}

macro_rules! column {
    ($name:ident, $type:ty) => {
        pub(super) fn $name(&self, index: usize) -> Result<$type, StoreError> {
            match self {
                #[cfg(feature = "sqlite")]
                Self::Sqlite(row) => row.try_get(index),
                #[cfg(feature = "postgres")]
                Self::Postgres(row) => row.try_get(index),
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
        sqlx::Error::Database(database) => match database.code().as_deref() {
            // SQLite: SQLITE_FULL. PostgreSQL: disk_full.
            Some("13" | "53100") => StoreErrorKind::Full,
            // SQLite: a unique or primary key; busy. PostgreSQL: unique_violation,
            // serialization_failure, deadlock_detected.
            Some("1555" | "2067" | "5" | "517" | "23505" | "40001" | "40P01") => StoreErrorKind::Conflict,
            // PostgreSQL: connection trouble, shutting down, too many connections.
            Some(code) if code.starts_with("08") || code.starts_with("57P") || code == "53300" => {
                StoreErrorKind::Unavailable
            }
            _ => StoreErrorKind::Other,
        },
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

/// `?` as PostgreSQL wants it: `$1`, `$2`, …. Our texts hold no question mark besides.
#[cfg(feature = "postgres")]
fn numbered(sql: &str) -> String {
    use std::fmt::Write as _;

    let mut text = String::with_capacity(sql.len() + 16);
    let mut pieces = sql.split('?');
    text.push_str(pieces.next().unwrap_or_default());
    for (index, piece) in pieces.enumerate() {
        let _ = write!(text, "${}{piece}", index + 1);
    }
    text
}

macro_rules! bind_all {
    ($query:expr, $values:expr) => {{
        let mut query = $query;
        for value in $values {
            query = match value {
                Value::Int(value) => query.bind(value),
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
pub(super) async fn postgres_rows(
    connection: &mut sqlx::PgConnection,
    sql: &str,
    values: Vec<Value>,
) -> Result<Vec<Row>, sqlx::Error> {
    let rows = bind_all!(sqlx::query(AssertSqlSafe(numbered(sql))), values)
        .fetch_all(connection)
        .await?;
    Ok(rows.into_iter().map(Row::Postgres).collect())
}

#[cfg(feature = "postgres")]
pub(super) async fn postgres_run(
    connection: &mut sqlx::PgConnection,
    sql: &str,
    values: Vec<Value>,
) -> Result<u64, sqlx::Error> {
    let done = bind_all!(sqlx::query(AssertSqlSafe(numbered(sql))), values)
        .execute(connection)
        .await?;
    Ok(done.rows_affected())
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

    #[cfg(feature = "postgres")]
    #[test]
    fn placeholders_are_numbered() {
        assert_eq!(numbered("a = ? AND b IN (?, ?)"), "a = $1 AND b IN ($2, $3)");
    }
}
