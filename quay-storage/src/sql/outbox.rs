//! The outbox in a unit of work.

use std::time::Duration;

use async_trait::async_trait;
use quay_core::StoreError;
use quay_core::metadata::{Outbox, OutboxRow};
use quay_core::runtime::Timestamp;

use super::db::{LIST, Row, Value, filled, placeholders, values};
use super::dialect::Dialect;
use super::rows::Rows as _;
use super::unit::Unit;

#[async_trait]
impl Outbox for Unit {
    async fn push(&mut self, kind: &str, payload: &str, now: Timestamp) -> Result<(), StoreError> {
        self.defer(
            "INSERT INTO qr_outbox (kind, payload, created_ms, due_ms) VALUES (?, ?, ?, ?)",
            values![kind, payload, now.as_millis(), now.as_millis()],
        )
        .await?;
        Ok(())
    }

    async fn claim(
        &mut self,
        kind: &str,
        limit: usize,
        hold: Duration,
        now: Timestamp,
    ) -> Result<Vec<OutboxRow>, StoreError> {
        let due = format!(
            "FROM qr_outbox WHERE kind = ? AND due_ms <= ? ORDER BY id LIMIT ?{}",
            self.dialect().skip_locked()
        );
        let until = now.plus(hold).as_millis();
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = match self.dialect() {
            Dialect::Sqlite | Dialect::Postgres => {
                let sql = format!(
                    "UPDATE qr_outbox SET due_ms = ? WHERE id IN (SELECT id {due}) RETURNING id, kind, payload"
                );
                let values = values![until, kind, now.as_millis(), limit];
                self.rows(sql, values).await?
            }
            Dialect::MySql => {
                let sql = format!("SELECT id, kind, payload {due}");
                let rows = self.rows(sql, values![kind, now.as_millis(), limit]).await?;
                self.hold(&rows, until).await?;
                rows
            }
        };
        let mut claimed = rows
            .iter()
            .map(|row| Ok(OutboxRow::new(row.int(0)?, row.text(1)?, row.text(2)?)))
            .collect::<Result<Vec<_>, StoreError>>()?;
        claimed.sort_by_key(|row| row.id);
        Ok(claimed)
    }

    async fn complete(&mut self, id: i64) -> Result<(), StoreError> {
        self.defer("DELETE FROM qr_outbox WHERE id = ?", values![id])
            .await?;
        Ok(())
    }
}

impl Unit {
    /// Puts off rows that are locked.
    async fn hold(&mut self, rows: &[Row], until: i64) -> Result<(), StoreError> {
        for chunk in rows.chunks(LIST) {
            let sql = format!(
                "UPDATE qr_outbox SET due_ms = ? WHERE id IN ({})",
                placeholders(chunk.len())
            );
            let mut values = values![until];
            let ids = chunk.iter().map(|row| row.int(0).map(Value::Int));
            values.extend(filled(ids.collect::<Result<_, _>>()?));
            self.defer(sql, values).await?;
        }
        Ok(())
    }
}
