//! The unit of work over SQL.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use quay_core::StoreError;
use quay_core::blob_store::UploadState;
use quay_core::metadata::{
    BlobIndex, BlobRecord, EdgeKind, ManifestStore, NewBlob, NewManifest, NewUpload, Outbox, OutboxRow,
    PutOutcome, RepositoryId, RepositoryRecord, RepositoryStore, StoredManifest, TagRecord, TagStore,
    UnitOfWork, UploadRecord, UploadStore, Visibility,
};
use quay_core::runtime::Timestamp;
use quay_core::{Digest, RepositoryName, Tag};

#[cfg(feature = "postgres")]
use super::db;
use super::db::{LIST, Row, Value, corrupt, padded, placeholders, values};
use super::read::{FIND_BLOB, UPLOAD_COLUMNS, blob_of, repository_columns, repository_of, upload_of};
#[cfg(feature = "sqlite")]
use super::sqlite;

/// Rows of edges inserted by one statement.
const EDGES: usize = 50;

#[derive(Debug)]
pub(super) enum Unit {
    #[cfg(feature = "sqlite")]
    Sqlite(sqlite::Unit),
    #[cfg(feature = "postgres")]
    Postgres(sqlx::Transaction<'static, sqlx::Postgres>),
}

impl Unit {
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
            Self::Postgres(transaction) => db::postgres_rows(&mut *transaction, &sql, values)
                .await
                .map_err(|error| db::failed("change", error)),
        }
    }

    async fn run(
        &mut self,
        sql: impl Into<Cow<'static, str>> + Send,
        values: Vec<Value>,
    ) -> Result<u64, StoreError> {
        let sql = sql.into();
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(unit) => unit.run(sql, values).await,
            #[cfg(feature = "postgres")]
            Self::Postgres(transaction) => db::postgres_run(&mut *transaction, &sql, values)
                .await
                .map_err(|error| db::failed("change", error)),
        }
    }

    /// Runs a statement whose outcome is not asked for, now or with the next one.
    #[cfg_attr(
        not(feature = "postgres"),
        expect(clippy::unused_async, reason = "SQLite alone waits for nothing here")
    )]
    async fn defer(
        &mut self,
        sql: impl Into<Cow<'static, str>> + Send,
        values: Vec<Value>,
    ) -> Result<(), StoreError> {
        let sql = sql.into();
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(unit) => {
                unit.defer(&sql, values);
                Ok(())
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => self.run(sql, values).await.map(drop),
        }
    }

    /// What keeps other writers from a row until the end. SQLite's single writer needs nothing.
    fn for_update(&self) -> &'static str {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(_) => "",
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => " FOR NO KEY UPDATE",
        }
    }

    /// As [`for_update`](Self::for_update), passing over rows that somebody else holds.
    fn skip_locked(&self) -> &'static str {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(_) => "",
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => " FOR UPDATE SKIP LOCKED",
        }
    }

    #[cfg_attr(
        not(feature = "sqlite"),
        expect(unused_variables, reason = "nothing is cached")
    )]
    fn touch(&mut self, repository: RepositoryId) {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(unit) => {
                unit.touched.contents.insert(repository);
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => {}
        }
    }

    #[cfg_attr(
        not(feature = "sqlite"),
        expect(unused_variables, reason = "nothing is cached")
    )]
    fn touch_record(&mut self, name: &RepositoryName) {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(unit) => unit.touched.records.push(name.clone()),
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => {}
        }
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
                    i64::from(edge.held)
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

#[async_trait]
impl UnitOfWork for Unit {
    fn repositories(&mut self) -> &mut dyn RepositoryStore {
        self
    }

    fn manifests(&mut self) -> &mut dyn ManifestStore {
        self
    }

    fn tags(&mut self) -> &mut dyn TagStore {
        self
    }

    fn blobs(&mut self) -> &mut dyn BlobIndex {
        self
    }

    fn uploads(&mut self) -> &mut dyn UploadStore {
        self
    }

    fn outbox(&mut self) -> &mut dyn Outbox {
        self
    }

    async fn abandon(self: Box<Self>) -> Result<(), StoreError> {
        match *self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(unit) => unit.abandon().await,
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => Ok(()),
        }
    }

    async fn commit(self: Box<Self>) -> Result<(), StoreError> {
        match *self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(unit) => unit.commit().await,
            #[cfg(feature = "postgres")]
            Self::Postgres(transaction) => transaction
                .commit()
                .await
                .map_err(|error| db::failed("commit", error)),
        }
    }
}

#[async_trait]
impl RepositoryStore for Unit {
    #[cfg_attr(
        not(feature = "postgres"),
        expect(unused_variables, reason = "SQLite alone looks for nothing here")
    )]
    async fn lock(&mut self, repository: RepositoryId) -> Result<bool, StoreError> {
        match self {
            // Its units of work follow one another.
            #[cfg(feature = "sqlite")]
            Self::Sqlite(_) => Ok(true),
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => {
                let sql = "SELECT id FROM qr_repository WHERE id = ? FOR NO KEY UPDATE";
                Ok(!self.rows(sql, values![repository]).await?.is_empty())
            }
        }
    }

    async fn find(&mut self, name: &RepositoryName) -> Result<Option<RepositoryRecord>, StoreError> {
        const SQL: &str = concat!(
            "SELECT ",
            repository_columns!(),
            " FROM qr_repository r WHERE r.path = ?"
        );
        let sql = format!("{SQL}{}", self.for_update());
        let rows = self.rows(sql, values![name.path()]).await?;
        rows.first().map(repository_of).transpose()
    }

    async fn create(
        &mut self,
        name: &RepositoryName,
        visibility: Visibility,
        now: Timestamp,
    ) -> Result<Option<RepositoryRecord>, StoreError> {
        self.defer(
            "INSERT INTO qr_namespace (name) VALUES (?) ON CONFLICT (name) DO NOTHING",
            values![name.namespace()],
        )
        .await?;
        self.touch_record(name);
        let rows = self
            .rows(
                "INSERT INTO qr_repository (namespace_id, path, kind, state, visibility, created_ms) \
                 VALUES ((SELECT id FROM qr_namespace WHERE name = ?), ?, 'image', 'normal', ?, ?) \
                 ON CONFLICT (path) DO NOTHING RETURNING id, path, kind, state, visibility",
                values![
                    name.namespace(),
                    name.path(),
                    visibility.as_str(),
                    now.as_millis()
                ],
            )
            .await?;
        rows.first().map(repository_of).transpose()
    }
}

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
                return Ok((row.id, PutOutcome::Unchanged));
            }
            Some(row) => {
                self.defer(
                    "UPDATE qr_manifest SET live = 1, deleted_ms = NULL, media_type = ?, payload = ?, size = ? \
                     WHERE id = ?",
                    values![
                        manifest.media_type.as_str(),
                        &*manifest.bytes,
                        i64::try_from(manifest.bytes.len()).unwrap_or(i64::MAX),
                        row.id
                    ],
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
                let rows = self
                    .rows(
                        "INSERT INTO qr_manifest (repository_id, digest, media_type, artifact_type, size, payload, \
                         subject_digest, annotations, created_ms, live) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 1) \
                         RETURNING id",
                        values![
                            repository,
                            digest.as_str(),
                            manifest.media_type.as_str(),
                            manifest.artifact_type.clone(),
                            i64::try_from(manifest.bytes.len()).unwrap_or(i64::MAX),
                            &*manifest.bytes,
                            manifest.subject.map(|subject| subject.to_string()),
                            manifest.annotations.clone(),
                            now.as_millis()
                        ],
                    )
                    .await?;
                let row = rows.first().ok_or_else(|| corrupt("no id"))?;
                (row.int(0)?, PutOutcome::Created)
            }
        };
        self.insert_edges(repository, id, manifest).await?;
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
            "UPDATE qr_manifest SET live = NULL, deleted_ms = ? WHERE id = ? AND repository_id = ?",
            values![now.as_millis(), manifest, repository],
        )
        .await?;
        self.defer(
            "DELETE FROM qr_blob_link WHERE repository_id = ? AND (lease_until_ms IS NULL OR lease_until_ms <= ?) \
             AND blob_id IN (SELECT b.id FROM qr_manifest_edge e JOIN qr_blob b ON b.digest = e.digest \
             WHERE e.manifest_id = ? AND e.kind IN ('config', 'layer') AND NOT EXISTS \
             (SELECT 1 FROM qr_manifest_edge o JOIN qr_manifest m ON m.id = o.manifest_id \
             WHERE o.repository_id = ? AND o.digest = e.digest AND o.held = 1 \
             AND o.kind IN ('config', 'layer') AND m.live = 1))",
            values![repository, now.as_millis(), manifest, repository],
        )
        .await?;
        Ok(())
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

fn tag_of(row: &Row) -> Result<TagRecord, StoreError> {
    Ok(TagRecord::new(
        row.int(0)?,
        row.parsed(1)?,
        row.int(2)?,
        row.parsed(3)?,
        Timestamp::from_millis(row.int(4)?),
        row.opt_int(5)?.map(Timestamp::from_millis),
    ))
}

const TAG: &str = "SELECT t.id, t.name, t.manifest_id, m.digest, t.start_ms, t.end_ms FROM qr_tag t \
     JOIN qr_manifest m ON m.id = t.manifest_id WHERE t.repository_id = ?";

#[async_trait]
impl TagStore for Unit {
    async fn live(
        &mut self,
        repository: RepositoryId,
        names: &[Tag],
        now: Timestamp,
    ) -> Result<Vec<TagRecord>, StoreError> {
        let mut found = Vec::new();
        for chunk in names.chunks(LIST) {
            let sql = format!(
                "{TAG} AND t.live = 1 AND (t.end_ms IS NULL OR t.end_ms > ?) AND t.name IN ({})",
                placeholders(chunk.len())
            );
            let mut values = values![repository, now.as_millis()];
            values.extend(padded(chunk));
            for row in self.rows(sql, values).await? {
                found.push(tag_of(&row)?);
            }
        }
        Ok(found)
    }

    async fn pointing_at(
        &mut self,
        repository: RepositoryId,
        manifest: i64,
    ) -> Result<Vec<TagRecord>, StoreError> {
        let sql = format!("{TAG} AND t.manifest_id = ? AND t.live = 1 ORDER BY t.name");
        let rows = self.rows(sql, values![repository, manifest]).await?;
        rows.iter().map(tag_of).collect()
    }

    async fn set(
        &mut self,
        repository: RepositoryId,
        name: &Tag,
        manifest: i64,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.touch(repository);
        let rows = self
            .rows(
                "SELECT start_ms FROM qr_tag WHERE repository_id = ? AND name = ? ORDER BY start_ms DESC LIMIT 1",
                values![repository, name.as_str()],
            )
            .await?;
        let mut start = now.as_millis();
        if let Some(row) = rows.first() {
            start = start.max(row.int(0)?.saturating_add(1));
            self.defer(
                "UPDATE qr_tag SET live = NULL, end_ms = CASE WHEN end_ms IS NULL OR end_ms > ? THEN ? ELSE end_ms END \
                 WHERE repository_id = ? AND name = ? AND live = 1",
                values![start, start, repository, name.as_str()],
            )
            .await?;
        }
        self.defer(
            "INSERT INTO qr_tag (repository_id, name, manifest_id, start_ms, live, hidden, reversion) \
             VALUES (?, ?, ?, ?, 1, 0, 0)",
            values![repository, name.as_str(), manifest, start],
        )
        .await?;
        Ok(())
    }

    async fn end(
        &mut self,
        repository: RepositoryId,
        name: &Tag,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.touch(repository);
        let now = now.as_millis();
        let ended = self
            .run(
                "UPDATE qr_tag SET live = NULL, end_ms = CASE WHEN end_ms IS NOT NULL AND end_ms < ? THEN end_ms \
                 WHEN start_ms > ? THEN start_ms ELSE ? END WHERE repository_id = ? AND name = ? AND live = 1",
                values![now, now, now, repository, name.as_str()],
            )
            .await?;
        Ok(ended > 0)
    }

    async fn history(
        &mut self,
        repository: RepositoryId,
        name: &Tag,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<TagRecord>, StoreError> {
        let sql = format!("{TAG} AND t.name = ? AND t.id < ? ORDER BY t.start_ms DESC LIMIT ?");
        let values = values![
            repository,
            name.as_str(),
            before.unwrap_or(i64::MAX),
            i64::try_from(limit).unwrap_or(i64::MAX)
        ];
        let rows = self.rows(sql, values).await?;
        rows.iter().map(tag_of).collect()
    }
}

#[async_trait]
impl BlobIndex for Unit {
    async fn find(&mut self, digest: &Digest) -> Result<Option<BlobRecord>, StoreError> {
        let rows = self.rows(FIND_BLOB, values![digest.to_string()]).await?;
        blob_of(&rows, 0)
    }

    async fn record(&mut self, blob: &NewBlob, now: Timestamp) -> Result<i64, StoreError> {
        let rows = self
            .rows(
                "INSERT INTO qr_blob (digest, size, created_ms, epoch) VALUES (?, ?, ?, 1) \
                 ON CONFLICT (digest) DO UPDATE SET epoch = qr_blob.epoch + 1 RETURNING id",
                values![
                    blob.digest.to_string(),
                    i64::try_from(blob.size).unwrap_or(i64::MAX),
                    now.as_millis()
                ],
            )
            .await?;
        let id = rows.first().ok_or_else(|| corrupt("no id"))?.int(0)?;
        self.defer(
            "INSERT INTO qr_placement (blob_id, location, object_key) VALUES (?, ?, ?) \
             ON CONFLICT (blob_id, location) DO NOTHING",
            values![id, &*blob.placement.location, blob.placement.key.as_str()],
        )
        .await?;
        Ok(id)
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
        self.defer(
            "INSERT INTO qr_blob_link (repository_id, blob_id, lease_until_ms) VALUES (?, ?, ?) \
             ON CONFLICT (repository_id, blob_id) DO UPDATE SET lease_until_ms = excluded.lease_until_ms",
            values![repository, blob, lease.as_millis()],
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
        let removed = self
            .run(
                "DELETE FROM qr_blob_link WHERE repository_id = ? AND blob_id = (SELECT id FROM qr_blob WHERE digest = ?)",
                values![repository, digest.to_string()],
            )
            .await?;
        Ok(removed > 0)
    }
}

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
        let removed = self
            .run(
                "DELETE FROM qr_upload WHERE id = ? AND version = ?",
                values![id, version],
            )
            .await?;
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
        let sql = format!(
            "UPDATE qr_outbox SET due_ms = ? WHERE id IN (SELECT id FROM qr_outbox WHERE kind = ? AND due_ms <= ? \
             ORDER BY id LIMIT ?{}) RETURNING id, kind, payload",
            self.skip_locked()
        );
        let values = values![
            now.plus(hold).as_millis(),
            kind,
            now.as_millis(),
            i64::try_from(limit).unwrap_or(i64::MAX)
        ];
        let rows = self.rows(sql, values).await?;
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
