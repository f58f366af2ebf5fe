//! Manifests with their edges in a unit of work.

use std::collections::HashMap;

use async_trait::async_trait;
use quay_core::metadata::{EdgeKind, ManifestStore, NewManifest, PutOutcome, RepositoryId, StoredManifest};
use quay_core::runtime::Timestamp;
use quay_core::{Digest, StoreError};

use super::db::{LIST, padded, placeholders, values};
use super::rows::Rows as _;
use super::unit::Unit;

/// Rows of edges inserted by one statement.
const EDGES: usize = 50;

#[async_trait]
impl ManifestStore for Unit {
    async fn find(
        &mut self,
        repository: RepositoryId,
        digest: &Digest,
    ) -> Result<Option<StoredManifest>, StoreError> {
        let rows = self
            .rows(
                "SELECT id, live FROM qr_manifest WHERE repository_id = ? AND digest = ?",
                values![repository, digest.to_string()],
            )
            .await?;
        let Some(row) = rows.first() else { return Ok(None) };
        Ok(Some(StoredManifest::new(
            row.int(0)?,
            *digest,
            row.opt_int(1)?.is_some(),
        )))
    }

    async fn live(
        &mut self,
        repository: RepositoryId,
        digests: &[Digest],
    ) -> Result<HashMap<Digest, i64>, StoreError> {
        let mut found = HashMap::new();
        for chunk in digests.chunks(LIST) {
            let sql = format!(
                "SELECT digest, id FROM qr_manifest WHERE repository_id = ? AND live = 1 AND digest IN ({})",
                placeholders(chunk.len())
            );
            let mut values = values![repository];
            values.extend(padded(chunk));
            for row in self.rows(sql, values).await? {
                found.insert(row.parsed(0)?, row.int(1)?);
            }
        }
        Ok(found)
    }

    async fn put(
        &mut self,
        repository: RepositoryId,
        manifest: &NewManifest,
        now: Timestamp,
    ) -> Result<(i64, PutOutcome), StoreError> {
        self.touch(repository);
        let digest = manifest.digest.to_string();
        let stored = ManifestStore::find(self, repository, &manifest.digest).await?;
        let (id, outcome) = match stored {
            Some(row) if row.live => {
                // Blobs that were uploaded again for it have found their manifest.
                self.consume_leases(repository, manifest).await?;
                if manifest.lease.is_some() {
                    self.defer(
                        "UPDATE qr_manifest SET lease_until_ms = ? WHERE id = ?",
                        values![manifest.lease.map(Timestamp::as_millis), row.id],
                    )
                    .await?;
                }
                self.review_lease(row.id, manifest).await?;
                return Ok((row.id, PutOutcome::Unchanged));
            }
            Some(row) => {
                self.defer(
                    "UPDATE qr_manifest SET live = 1, deleted_ms = NULL, lease_until_ms = ?, media_type = ?, \
                     payload = ?, size = ? WHERE id = ?",
                    values![
                        manifest.lease.map(Timestamp::as_millis),
                        manifest.media_type.as_str(),
                        &*manifest.bytes,
                        i64::try_from(manifest.bytes.len()).unwrap_or(i64::MAX),
                        row.id
                    ],
                )
                .await?;
                // What it held and will not hold any more is looked after as what was uploaded in vain.
                self.link_again(repository, row.id, now).await?;
                self.review(
                    "SELECT m.id, m.repository_id, CAST(? AS BIGINT) FROM qr_manifest m WHERE m.repository_id = ? \
                     AND m.digest IN (SELECT e.digest FROM qr_manifest_edge e WHERE e.manifest_id = ? \
                     AND e.held = 1 AND e.kind = 'child')",
                    values![now.as_millis(), repository, row.id],
                )
                .await?;
                self.defer(
                    "DELETE FROM qr_manifest_edge WHERE manifest_id = ?",
                    values![row.id],
                )
                .await?;
                (row.id, PutOutcome::Revived)
            }
            None => {
                let id = self
                    .insert(
                        "INSERT INTO qr_manifest (repository_id, digest, media_type, artifact_type, size, payload, \
                         subject_digest, annotations, created_ms, lease_until_ms, live) \
                         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1)",
                        values![
                            repository,
                            digest.as_str(),
                            manifest.media_type.as_str(),
                            manifest.artifact_type.clone(),
                            i64::try_from(manifest.bytes.len()).unwrap_or(i64::MAX),
                            &*manifest.bytes,
                            manifest.subject.map(|subject| subject.to_string()),
                            manifest.annotations.clone(),
                            now.as_millis(),
                            manifest.lease.map(Timestamp::as_millis)
                        ],
                    )
                    .await?;
                (id, PutOutcome::Created)
            }
        };
        self.insert_edges(repository, id, manifest).await?;
        self.review_lease(id, manifest).await?;
        self.defer(
            "UPDATE qr_manifest_edge SET held = 1 WHERE repository_id = ? AND digest = ? AND held = 0 \
             AND kind IN ('child', 'subject')",
            values![repository, digest],
        )
        .await?;
        Ok((id, outcome))
    }

    async fn end(
        &mut self,
        repository: RepositoryId,
        manifest: i64,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.touch(repository);
        self.defer(
            "UPDATE qr_manifest SET live = NULL, deleted_ms = ?, lease_until_ms = NULL \
             WHERE id = ? AND repository_id = ?",
            values![now.as_millis(), manifest, repository],
        )
        .await?;
        self.review_at(manifest, now).await?;
        self.unlink_where(
            repository,
            "(lease_until_ms IS NULL OR lease_until_ms <= ?) \
             AND blob_id IN (SELECT b.id FROM qr_manifest_edge e JOIN qr_blob b ON b.digest = e.digest \
             WHERE e.manifest_id = ? AND e.kind IN ('config', 'layer') AND NOT EXISTS \
             (SELECT 1 FROM qr_manifest_edge o JOIN qr_manifest m ON m.id = o.manifest_id \
             WHERE o.repository_id = ? AND o.digest = e.digest AND o.held = 1 \
             AND o.kind IN ('config', 'layer') AND m.live = 1))",
            values![now.as_millis(), manifest, repository],
        )
        .await?;
        Ok(())
    }

    async fn revive(&mut self, repository: RepositoryId, manifest: i64) -> Result<bool, StoreError> {
        let sql = "SELECT m.live, COUNT(e.digest), COUNT(b.id) FROM qr_manifest m LEFT JOIN qr_manifest_edge e \
                   ON e.manifest_id = m.id AND e.held = 1 AND e.kind IN ('config', 'layer') \
                   LEFT JOIN qr_blob b ON b.digest = e.digest WHERE m.id = ? AND m.repository_id = ? GROUP BY m.live";
        let Some(row) = self.row(sql, values![manifest, repository]).await? else {
            return Ok(false);
        };
        if row.opt_int(0)?.is_some() {
            return Ok(true);
        }
        if row.int(1)? != row.int(2)? {
            return Ok(false);
        }
        self.touch(repository);
        let rows = self
            .rows(
                "SELECT DISTINCT b.id FROM qr_manifest_edge e JOIN qr_blob b ON b.digest = e.digest \
                 WHERE e.manifest_id = ? AND e.held = 1 AND e.kind IN ('config', 'layer') ORDER BY b.id",
                values![manifest],
            )
            .await?;
        for row in &rows {
            self.count_new_link(repository, row.int(0)?).await?;
            self.upsert(
                "qr_blob_link",
                &[
                    "repository_id",
                    "namespace_id = (SELECT namespace_id FROM qr_repository WHERE id = ?)",
                    "blob_id",
                    "lease_until_ms",
                ],
                values![repository, repository, row.int(0)?, None::<i64>],
                &["repository_id", "blob_id"],
                &["lease_until_ms"],
            )
            .await?;
        }
        self.hold_naming(repository, manifest).await?;
        self.defer(
            "UPDATE qr_manifest SET live = 1, deleted_ms = NULL WHERE id = ? AND repository_id = ?",
            values![manifest, repository],
        )
        .await?;
        Ok(true)
    }

    async fn holds_blob(&mut self, repository: RepositoryId, digest: &Digest) -> Result<bool, StoreError> {
        let rows = self
            .rows(
                "SELECT e.manifest_id FROM qr_manifest_edge e JOIN qr_manifest m ON m.id = e.manifest_id \
                 WHERE e.repository_id = ? AND e.digest = ? AND e.held = 1 AND e.kind IN ('config', 'layer') \
                 AND m.live = 1 LIMIT 1",
                values![repository, digest.to_string()],
            )
            .await?;
        Ok(!rows.is_empty())
    }
}

impl Unit {
    /// Links a repository to the blobs that a deleted manifest held, with leases that have ended.
    async fn link_again(
        &mut self,
        repository: RepositoryId,
        manifest: i64,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        const BLOBS: &str = "FROM qr_manifest_edge e JOIN qr_blob b ON b.digest = e.digest \
             JOIN qr_repository r ON r.id = e.repository_id WHERE e.manifest_id = ? AND e.held = 1 \
             AND e.kind IN ('config', 'layer') AND (SELECT l.blob_id FROM qr_blob_link l \
             WHERE l.repository_id = ? AND l.blob_id = b.id LIMIT 1) IS NULL ORDER BY b.id";
        if self.counts_links().await? {
            let sql = format!("SELECT DISTINCT b.id, b.size {BLOBS}");
            for row in self.rows(sql, values![manifest, repository]).await? {
                self.count_link(repository, row.int(0)?, row.int(1)?, 1);
            }
        }
        let sql = format!(
            "INSERT INTO qr_blob_link (repository_id, namespace_id, blob_id, lease_until_ms) \
             SELECT DISTINCT r.id, r.namespace_id, b.id, CAST(? AS BIGINT) {BLOBS}"
        );
        self.defer(sql, values![now.as_millis(), manifest, repository])
            .await
    }

    /// Has a manifest looked at when its lease ends.
    async fn review_lease(&mut self, id: i64, manifest: &NewManifest) -> Result<(), StoreError> {
        match manifest.lease {
            Some(lease) => self.review_at(id, lease).await,
            None => Ok(()),
        }
    }

    /// Marks the edges to a manifest that has come back as held.
    async fn hold_naming(&mut self, repository: RepositoryId, manifest: i64) -> Result<(), StoreError> {
        let row = self
            .row("SELECT digest FROM qr_manifest WHERE id = ?", values![manifest])
            .await?;
        let Some(row) = row else { return Ok(()) };
        self.defer(
            "UPDATE qr_manifest_edge SET held = 1 WHERE repository_id = ? AND digest = ? AND held = 0 \
             AND kind IN ('child', 'subject')",
            values![repository, row.text(0)?],
        )
        .await
    }

    async fn insert_edges(
        &mut self,
        repository: RepositoryId,
        id: i64,
        manifest: &NewManifest,
    ) -> Result<(), StoreError> {
        let numbered: Vec<_> = manifest.edges.iter().zip(0_i64..).collect();
        for chunk in numbered.chunks(EDGES) {
            let mut sql = "INSERT INTO qr_manifest_edge (manifest_id, position, repository_id, kind, digest, held) VALUES "
                .to_owned();
            let mut values = Vec::with_capacity(chunk.len() * 6);
            for (index, (edge, position)) in chunk.iter().enumerate() {
                sql.push_str(if index == 0 {
                    "(?, ?, ?, ?, ?, ?)"
                } else {
                    ", (?, ?, ?, ?, ?, ?)"
                });
                values.extend(values![
                    id,
                    *position,
                    repository,
                    edge.kind.as_str(),
                    edge.digest.to_string(),
                    edge.held
                ]);
            }
            self.defer(sql, values).await?;
        }
        self.consume_leases(repository, manifest).await
    }

    /// Ends the leases of the links that a manifest's edges hold.
    async fn consume_leases(
        &mut self,
        repository: RepositoryId,
        manifest: &NewManifest,
    ) -> Result<(), StoreError> {
        let blobs: Vec<Digest> = manifest
            .edges
            .iter()
            .filter(|edge| edge.held && matches!(edge.kind, EdgeKind::Config | EdgeKind::Layer))
            .map(|edge| edge.digest)
            .collect();
        for chunk in blobs.chunks(LIST) {
            let sql = format!(
                "UPDATE qr_blob_link SET lease_until_ms = NULL WHERE repository_id = ? AND blob_id IN \
                 (SELECT id FROM qr_blob WHERE digest IN ({}))",
                placeholders(chunk.len())
            );
            let mut values = values![repository];
            values.extend(padded(chunk));
            self.defer(sql, values).await?;
        }
        Ok(())
    }
}
