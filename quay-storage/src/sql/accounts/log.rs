//! The action log's database sink.

use async_trait::async_trait;
use quay_core::StoreError;
use quay_core::accounts::{ActionLog, LogEntry};

use super::super::db::{Value, values};
use super::super::unit::Unit;

/// Entries inserted by one statement.
const ENTRIES: usize = 50;

const ENTRY: &str = "(?, (SELECT id FROM qr_account WHERE name = ?), ?, (SELECT id FROM qr_account WHERE name = ?), \
     ?, ?, ?, ?, ?)";

impl Unit {
    /// Appends entries. Who they are about is looked up by name, and remembered by name as well: the log
    /// outlives accounts.
    pub(super) async fn append_log(&mut self, entries: &[LogEntry]) -> Result<(), StoreError> {
        for chunk in entries.chunks(ENTRIES) {
            let mut sql = "INSERT INTO qr_log (kind, account_id, account_name, performer_id, performer_name, \
                           repository_id, at_ms, ip, metadata) VALUES "
                .to_owned();
            let mut bound: Vec<Value> = Vec::with_capacity(chunk.len() * 9);
            for (index, entry) in chunk.iter().enumerate() {
                if index > 0 {
                    sql.push_str(", ");
                }
                sql.push_str(ENTRY);
                bound.extend(values![
                    entry.kind.as_str(),
                    entry.namespace.clone(),
                    entry.namespace.clone(),
                    entry.performer.clone(),
                    entry.performer.clone(),
                    entry.repository,
                    entry.at.as_millis(),
                    entry.address.map(|address| address.to_string()),
                    entry.metadata.to_string()
                ]);
            }
            self.defer(sql, bound).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl ActionLog for Unit {
    async fn append(&mut self, entries: &[LogEntry]) -> Result<(), StoreError> {
        self.append_log(entries).await
    }
}
