//! Statements of a unit of work whose form depends on the dialect: insertions that hand out an id, or
//! meet a row that is there already. What `columns`, `unique` and `changes` look like is said in
//! [`dialect`](super::dialect).

use std::borrow::Cow;

use quay_core::StoreError;

use super::db::{Value, corrupt};
#[cfg(feature = "mysql")]
use super::dialect::{Dialect, insertion, position};
use super::rows::Rows as _;
use super::unit::Unit;

impl Unit {
    /// Inserts a row; returns its `id`. The statement says nothing of `RETURNING`.
    ///
    /// # Errors
    /// `Conflict` when a unique key is taken.
    pub(super) async fn insert(
        &mut self,
        sql: impl Into<Cow<'static, str>> + Send,
        values: Vec<Value>,
    ) -> Result<i64, StoreError> {
        let sql = sql.into();
        #[cfg(feature = "mysql")]
        if let Some(unit) = self.mysql() {
            return id(unit.run(sql, values).await?.id);
        }
        self.returned_id(format!("{sql} RETURNING id"), values)
            .await?
            .ok_or_else(|| corrupt("no id"))
    }

    /// Inserts a row unless one with the same `unique` columns is there; says whether it did. For tables
    /// without an id; where the outcome is of no interest, [`ensure`](Self::ensure) costs less.
    ///
    /// # Errors
    /// `Conflict` when another unique key is taken.
    pub(super) async fn insert_new(
        &mut self,
        table: &str,
        columns: &[&str],
        values: Vec<Value>,
        unique: &[&str],
    ) -> Result<bool, StoreError> {
        #[cfg(feature = "mysql")]
        if self.dialect() == Dialect::MySql {
            let inserted = self.insert_unless_there(table, columns, values, unique).await?;
            return Ok(inserted.is_some());
        }
        let sql = self.dialect().inserted_once(table, columns, unique);
        let rows = self.rows(format!("{sql} RETURNING 1"), values).await?;
        Ok(!rows.is_empty())
    }

    /// As [`insert_new`](Self::insert_new), for tables with an id: returns that of the new row, or `None`
    /// when one was there.
    ///
    /// # Errors
    /// `Conflict` when another unique key is taken.
    pub(super) async fn insert_new_id(
        &mut self,
        table: &str,
        columns: &[&str],
        values: Vec<Value>,
        unique: &[&str],
    ) -> Result<Option<i64>, StoreError> {
        #[cfg(feature = "mysql")]
        if self.dialect() == Dialect::MySql {
            let inserted = self.insert_unless_there(table, columns, values, unique).await?;
            return inserted.map(id).transpose();
        }
        let sql = self.dialect().inserted_once(table, columns, unique);
        self.returned_id(format!("{sql} RETURNING id"), values).await
    }

    /// Inserts a row unless one with the same `unique` columns is there, now or with the next statement.
    ///
    /// # Errors
    /// A driver's.
    pub(super) async fn ensure(
        &mut self,
        table: &str,
        columns: &[&str],
        values: Vec<Value>,
        unique: &[&str],
    ) -> Result<(), StoreError> {
        let sql = self.dialect().inserted_once(table, columns, unique);
        self.defer(sql, values).await
    }

    /// Inserts a row, or makes `changes` to the one with the same `unique` columns, now or with the next
    /// statement.
    ///
    /// # Errors
    /// A driver's.
    pub(super) async fn upsert(
        &mut self,
        table: &str,
        columns: &[&str],
        values: Vec<Value>,
        unique: &[&str],
        changes: &[&str],
    ) -> Result<(), StoreError> {
        let sql = self.dialect().inserted_over(table, columns, unique, changes);
        self.defer(sql, values).await
    }

    /// As [`upsert`](Self::upsert), at once, for tables with an id: returns that of the row.
    ///
    /// # Errors
    /// A driver's.
    pub(super) async fn upsert_id(
        &mut self,
        table: &str,
        columns: &[&str],
        values: Vec<Value>,
        unique: &[&str],
        changes: &[&str],
    ) -> Result<i64, StoreError> {
        let sql = self.dialect().inserted_over(table, columns, unique, changes);
        #[cfg(feature = "mysql")]
        if let Some(unit) = self.mysql() {
            // Makes the old row's id the one that is told.
            let sql = format!("{sql}, id = LAST_INSERT_ID({table}.id)");
            return id(unit.run(sql.into(), values).await?.id);
        }
        self.returned_id(format!("{sql} RETURNING id"), values)
            .await?
            .ok_or_else(|| corrupt("no id"))
    }

    async fn returned_id(&mut self, sql: String, values: Vec<Value>) -> Result<Option<i64>, StoreError> {
        let rows = self.rows(sql, values).await?;
        rows.first().map(|row| row.int(0)).transpose()
    }

    /// MySQL tells a row that was there from a new one only by refusing it. It names the key that was
    /// met in words alone, so the row is looked for.
    #[cfg(feature = "mysql")]
    async fn insert_unless_there(
        &mut self,
        table: &str,
        columns: &[&str],
        values: Vec<Value>,
        unique: &[&str],
    ) -> Result<Option<u64>, StoreError> {
        let Some(unit) = self.mysql() else { return Ok(None) };
        let of_unique: Option<Vec<Value>> = unique
            .iter()
            .map(|column| values.get(position(columns, column)?).cloned())
            .collect();
        match unit
            .run_unless_duplicate(insertion(table, columns).into(), values)
            .await?
        {
            Ok(done) => Ok(Some(done.id)),
            Err(duplicate) => {
                let of_unique = of_unique.ok_or_else(|| corrupt("a unique column that is computed"))?;
                let sql = format!("SELECT 1 FROM {table} WHERE {} = ?", unique.join(" = ? AND "));
                if unit.rows(sql.into(), of_unique).await?.is_empty() {
                    return Err(unit.failed_with(duplicate));
                }
                Ok(None)
            }
        }
    }
}

#[cfg(feature = "mysql")]
fn id(id: u64) -> Result<i64, StoreError> {
    i64::try_from(id).map_err(|_| corrupt(&id.to_string()))
}
