//! Upload sessions in a unit of work.

use async_trait::async_trait;
use quay_core::StoreError;
use quay_core::blob_store::UploadState;
use quay_core::metadata::{NewUpload, UploadRecord, UploadStore};
use quay_core::runtime::Timestamp;

use super::db::values;
use super::read::{UPLOAD_COLUMNS, upload_of};
use super::rows::Rows as _;
use super::unit::Unit;

#[async_trait]
impl UploadStore for Unit {
    async fn insert(&mut self, upload: &NewUpload, now: Timestamp) -> Result<(), StoreError> {
        self.defer(
            "INSERT INTO qr_upload (id, repository_id, principal, location, algorithm, byte_count, hash_state, \
             store_state, version, claimed_until_ms, created_ms, updated_ms) VALUES (?, ?, ?, ?, ?, 0, ?, ?, 0, 0, ?, ?)",
            values![
                upload.id.as_str(),
                upload.repository,
                upload.principal.as_str(),
                &*upload.location,
                upload.algorithm.as_str(),
                &[][..],
                upload.store_state.as_bytes(),
                now.as_millis(),
                now.as_millis()
            ],
        )
        .await?;
        Ok(())
    }

    async fn claim(
        &mut self,
        id: &str,
        version: i64,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let claimed = self
            .run(
                "UPDATE qr_upload SET claimed_until_ms = ?, version = version + 1 \
                 WHERE id = ? AND version = ? AND claimed_until_ms <= ?",
                values![until.as_millis(), id, version, now.as_millis()],
            )
            .await?;
        Ok(claimed > 0)
    }

    async fn advance(
        &mut self,
        id: &str,
        version: i64,
        offset: u64,
        hash_state: &[u8],
        store_state: &UploadState,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let advanced = self
            .run(
                "UPDATE qr_upload SET byte_count = ?, hash_state = ?, store_state = ?, version = version + 1, \
                 claimed_until_ms = 0, updated_ms = ? WHERE id = ? AND version = ?",
                values![
                    i64::try_from(offset).unwrap_or(i64::MAX),
                    hash_state,
                    store_state.as_bytes(),
                    now.as_millis(),
                    id,
                    version
                ],
            )
            .await?;
        Ok(advanced > 0)
    }

    async fn remove(&mut self, id: &str, version: i64) -> Result<bool, StoreError> {
        let promised = self.count_upload(id).await?;
        let removed = self
            .run(
                "DELETE FROM qr_upload WHERE id = ? AND version = ?",
                values![id, version],
            )
            .await?;
        if let Some((repository, bytes)) = promised.filter(|_| removed > 0) {
            self.count_reserved(repository, bytes.saturating_neg());
        }
        Ok(removed > 0)
    }

    async fn stale(&mut self, before: Timestamp, limit: usize) -> Result<Vec<UploadRecord>, StoreError> {
        let sql = format!(
            "SELECT {UPLOAD_COLUMNS} FROM qr_upload WHERE updated_ms < ? AND claimed_until_ms <= ? \
             ORDER BY updated_ms, id LIMIT ?"
        );
        let values = values![
            before.as_millis(),
            before.as_millis(),
            i64::try_from(limit).unwrap_or(i64::MAX)
        ];
        let rows = self.rows(sql, values).await?;
        rows.iter().map(upload_of).collect()
    }
}
