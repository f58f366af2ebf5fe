//! Reading rows, inside a unit of work or outside.

use std::borrow::Cow;

use quay_core::StoreError;

use super::SqlMetadata;
use super::db::{Row, Value};
use super::unit::Unit;

/// Where rows are read: in a unit of work, which sees its own changes, or in the store, each statement by
/// itself. What is written against this trait serves both:
///
/// ```ignore
/// async fn user(rows: &mut impl Rows, name: &str) -> Result<Option<i64>, StoreError> {
///     let row = rows.row("SELECT id FROM qr_user WHERE name = ?", values![name]).await?;
///     row.map(|row| row.int(0)).transpose()
/// }
///
/// user(unit, "ann").await?; // unit: &mut Unit
/// user(&mut &*store, "ann").await?; // store: &SqlMetadata
/// ```
pub(super) trait Rows: Send {
    /// The rows that a statement yields.
    fn rows(
        &mut self,
        sql: impl Into<Cow<'static, str>> + Send,
        values: Vec<Value>,
    ) -> impl Future<Output = Result<Vec<Row>, StoreError>> + Send;

    /// The first row that a statement yields.
    fn row(
        &mut self,
        sql: impl Into<Cow<'static, str>> + Send,
        values: Vec<Value>,
    ) -> impl Future<Output = Result<Option<Row>, StoreError>> + Send {
        async { Ok(self.rows(sql, values).await?.into_iter().next()) }
    }
}

impl Rows for Unit {
    async fn rows(
        &mut self,
        sql: impl Into<Cow<'static, str>> + Send,
        values: Vec<Value>,
    ) -> Result<Vec<Row>, StoreError> {
        let sql = sql.into();
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(unit) => unit.rows(sql, values).await,
            #[cfg(feature = "postgres")]
            Self::Postgres(unit) => unit.rows(sql, values).await,
            #[cfg(feature = "mysql")]
            Self::MySql(unit) => unit.rows(sql, values).await,
        }
    }
}

impl Rows for &SqlMetadata {
    async fn rows(
        &mut self,
        sql: impl Into<Cow<'static, str>> + Send,
        values: Vec<Value>,
    ) -> Result<Vec<Row>, StoreError> {
        SqlMetadata::rows(self, sql, values).await
    }
}
