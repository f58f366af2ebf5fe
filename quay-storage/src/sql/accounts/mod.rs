//! Accounts in SQL: what is read serves inside a unit of work and outside; what is written is the unit's.

mod credentials;
mod grants;
mod identities;
mod log;
mod notices;
mod repositories;
mod search;
mod teams;

use std::borrow::Cow;

use async_trait::async_trait;
use quay_core::StoreError;
use quay_core::accounts::{AccountReads, AccountStore, AccountUnit, AccountWrites};
use quay_core::runtime::Timestamp;

use super::SqlMetadata;
use super::db::{Row, Value, values};
use super::rows::Rows;
use super::unit::Unit;

/// Reads that stand alone.
#[derive(Debug)]
pub(super) struct Reader(SqlMetadata);

impl Rows for Reader {
    async fn rows(
        &mut self,
        sql: impl Into<Cow<'static, str>> + Send,
        values: Vec<Value>,
    ) -> Result<Vec<Row>, StoreError> {
        self.0.rows(sql, values).await
    }
}

/// Implements a trait of reads for both that read.
macro_rules! reads {
    ($trait:ident { $($body:tt)* }) => {
        #[async_trait::async_trait]
        impl $trait for $crate::sql::accounts::Reader { $($body)* }
        #[async_trait::async_trait]
        impl $trait for $crate::sql::unit::Unit { $($body)* }
    };
}
use reads;

#[async_trait]
impl AccountStore for SqlMetadata {
    fn reader(&self) -> Box<dyn AccountReads> {
        Box::new(Reader(self.clone()))
    }

    async fn begin_accounts(&self) -> Result<Box<dyn AccountUnit>, StoreError> {
        Ok(Box::new(self.unit().await?))
    }
}

impl AccountUnit for Unit {
    fn accounts(&mut self) -> &mut dyn AccountWrites {
        self
    }
}

impl Unit {
    /// Removes rows of a table that ended before a time, the oldest first; `key` is a text that tells its
    /// rows apart.
    async fn collect(
        &mut self,
        table: &str,
        key: &str,
        before: Timestamp,
        most: usize,
    ) -> Result<u64, StoreError> {
        let sql = format!("SELECT {key} FROM {table} WHERE expires_ms < ? ORDER BY expires_ms LIMIT ?");
        let rows = self.rows(sql, values![before.as_millis(), limit(most)]).await?;
        let mut removed = 0;
        for row in rows {
            let sql = format!("DELETE FROM {table} WHERE {key} = ?");
            removed += self.run(sql, values![row.text(0)?]).await?;
        }
        Ok(removed)
    }
}

/// A page's length as a database takes it.
fn limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// The first name behind all that begin with `prefix`, where names hold nothing above `~`.
fn end_of(prefix: &str) -> String {
    format!("{prefix}\u{7f}")
}
