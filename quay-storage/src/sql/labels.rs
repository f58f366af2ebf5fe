//! Labels of manifests in a unit of work.

use async_trait::async_trait;
use quay_core::metadata::{LabelRecord, LabelSource, LabelStore, RepositoryId};
use quay_core::{Digest, StoreError};

use super::db::{LIST, Row, corrupt, padded, placeholders, values};
use super::rows::Rows as _;
use super::unit::Unit;

/// The columns that [`label_of`] reads.
pub(super) const COLUMNS: &str = "uuid, label_key, value, media_type, source";

/// Rows inserted by one statement.
const ROWS: usize = 50;

pub(super) fn label_of(row: &Row, first: usize) -> Result<LabelRecord, StoreError> {
    let source = row.text(first + 4)?;
    Ok(LabelRecord::new(
        row.text(first)?,
        row.text(first + 1)?,
        row.text(first + 2)?,
        row.text(first + 3)?,
        LabelSource::from_name(&source).ok_or_else(|| corrupt(&source))?,
    ))
}

#[async_trait]
impl LabelStore for Unit {
    async fn insert(
        &mut self,
        repository: RepositoryId,
        manifest: i64,
        labels: &[LabelRecord],
    ) -> Result<(), StoreError> {
        for chunk in labels.chunks(ROWS) {
            let mut sql = format!("INSERT INTO qr_label (repository_id, manifest_id, {COLUMNS}) VALUES ");
            let mut values = Vec::with_capacity(chunk.len() * 7);
            for (index, label) in chunk.iter().enumerate() {
                sql.push_str(if index == 0 { "" } else { ", " });
                sql.push_str("(?, ?, ?, ?, ?, ?, ?)");
                values.extend(values![
                    repository,
                    manifest,
                    label.uuid.as_str(),
                    label.key.as_str(),
                    label.value.as_str(),
                    label.media_type.as_str(),
                    label.source.as_str()
                ]);
            }
            self.defer(sql, values).await?;
        }
        Ok(())
    }

    async fn find(&mut self, manifest: i64, uuid: &str) -> Result<Option<LabelRecord>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM qr_label WHERE manifest_id = ? AND uuid = ?");
        let row = self.row(sql, values![manifest, uuid]).await?;
        row.map(|row| label_of(&row, 0)).transpose()
    }

    async fn values(
        &mut self,
        repository: RepositoryId,
        manifests: &[Digest],
        key: &str,
    ) -> Result<Vec<(Digest, String)>, StoreError> {
        let mut found = Vec::new();
        for chunk in manifests.chunks(LIST) {
            let sql = format!(
                "SELECT m.digest, l.value FROM qr_manifest m JOIN qr_label l ON l.manifest_id = m.id AND l.label_key = ? \
                 WHERE m.repository_id = ? AND m.live = 1 AND m.digest IN ({})",
                placeholders(chunk.len())
            );
            let mut values = values![key, repository];
            values.extend(padded(chunk));
            for row in self.rows(sql, values).await? {
                found.push((row.parsed(0)?, row.text(1)?));
            }
        }
        Ok(found)
    }

    async fn count(&mut self, manifest: i64) -> Result<u64, StoreError> {
        let row = self
            .row(
                "SELECT COUNT(*) FROM qr_label WHERE manifest_id = ?",
                values![manifest],
            )
            .await?;
        row.map_or(Ok(0), |row| row.size(0))
    }

    async fn delete(&mut self, manifest: i64, uuid: &str) -> Result<bool, StoreError> {
        let removed = self
            .run(
                "DELETE FROM qr_label WHERE manifest_id = ? AND uuid = ?",
                values![manifest, uuid],
            )
            .await?;
        Ok(removed > 0)
    }
}
