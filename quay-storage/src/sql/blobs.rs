//! Blobs with their placements and links in a unit of work.

use async_trait::async_trait;
use quay_core::blob_store::ObjectKey;
use quay_core::metadata::{BlobIndex, BlobRecord, NewBlob, RepositoryId};
use quay_core::runtime::Timestamp;
use quay_core::{Digest, StoreError};

use super::db::{LIST, corrupt, padded, placeholders, values};
use super::read::{FIND_BLOB, blob_of};
use super::rows::Rows as _;
use super::unit::Unit;

#[async_trait]
impl BlobIndex for Unit {
    async fn find(&mut self, digest: &Digest) -> Result<Option<BlobRecord>, StoreError> {
        let rows = self.rows(FIND_BLOB, values![digest.to_string()]).await?;
        blob_of(&rows, 0)
    }

    async fn record(&mut self, blob: &NewBlob, now: Timestamp) -> Result<(i64, ObjectKey), StoreError> {
        let size = i64::try_from(blob.size).unwrap_or(i64::MAX);
        let id = self
            .upsert_id(
                "qr_blob",
                &["digest", "size", "created_ms", "epoch = 1"],
                values![blob.digest.to_string(), size, now.as_millis()],
                &["digest"],
                &["epoch = qr_blob.epoch + 1"],
            )
            .await?;
        self.ensure(
            "qr_placement",
            &["blob_id", "location", "object_key"],
            values![id, &*blob.placement.location, blob.placement.key.as_str()],
            &["blob_id", "location"],
        )
        .await?;
        let row = self
            .row(
                "SELECT object_key FROM qr_placement WHERE blob_id = ? AND location = ?",
                values![id, &*blob.placement.location],
            )
            .await?;
        let row = row.ok_or_else(|| corrupt("a placement is missing"))?;
        Ok((id, ObjectKey::new(&row.text(0)?)))
    }

    async fn linked(
        &mut self,
        repository: RepositoryId,
        digests: &[Digest],
    ) -> Result<Vec<Digest>, StoreError> {
        let mut found = Vec::new();
        for chunk in digests.chunks(LIST) {
            let sql = format!(
                "SELECT b.digest FROM qr_blob b JOIN qr_blob_link l ON l.blob_id = b.id AND l.repository_id = ? \
                 WHERE b.digest IN ({})",
                placeholders(chunk.len())
            );
            let mut values = values![repository];
            values.extend(padded(chunk));
            for row in self.rows(sql, values).await? {
                found.push(row.parsed(0)?);
            }
        }
        Ok(found)
    }

    async fn link(
        &mut self,
        repository: RepositoryId,
        blob: i64,
        digest: &Digest,
        lease: Timestamp,
    ) -> Result<(), StoreError> {
        self.touch(repository);
        self.count_new_link(repository, blob).await?;
        self.upsert(
            "qr_blob_link",
            &[
                "repository_id",
                "namespace_id = (SELECT namespace_id FROM qr_repository WHERE id = ?)",
                "blob_id",
                "lease_until_ms",
            ],
            values![repository, repository, blob, lease.as_millis()],
            &["repository_id", "blob_id"],
            &["lease_until_ms"],
        )
        .await?;
        self.defer(
            "UPDATE qr_manifest_edge SET held = 1 WHERE repository_id = ? AND digest = ? AND held = 0 \
             AND kind IN ('config', 'layer')",
            values![repository, digest.to_string()],
        )
        .await?;
        Ok(())
    }

    async fn unlink(&mut self, repository: RepositoryId, digest: &Digest) -> Result<bool, StoreError> {
        self.touch(repository);
        if self.counts_links().await? {
            let sql = "SELECT b.id, b.size FROM qr_blob b JOIN qr_blob_link l ON l.blob_id = b.id \
                       AND l.repository_id = ? WHERE b.digest = ?";
            let row = self.row(sql, values![repository, digest.to_string()]).await?;
            if let Some(row) = row {
                self.count_link(repository, row.int(0)?, row.int(1)?, -1);
            }
        }
        let removed = self
            .run(
                "DELETE FROM qr_blob_link WHERE repository_id = ? AND blob_id = (SELECT id FROM qr_blob WHERE digest = ?)",
                values![repository, digest.to_string()],
            )
            .await?;
        Ok(removed > 0)
    }
}
