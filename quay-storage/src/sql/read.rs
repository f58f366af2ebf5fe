//! Reads outside units of work: one statement each, but for holders of a blob, which take two.

use std::sync::Arc;

use quay_core::StoreError;
use quay_core::blob_store::{ObjectKey, UploadState};
use quay_core::metadata::{
    BlobRecord, LinkedBlob, Lookup, ManifestRecord, NewUpload, PageRequest, Placement, REFERRERS_BYTES,
    Referrer, RepositoryId, RepositoryKind, RepositoryRecord, RepositoryState, UploadRecord, Visibility,
};
use quay_core::runtime::Timestamp;
use quay_core::{Digest, MediaType, Reference, RepositoryName, Tag};

use super::SqlMetadata;
use super::db::{Row, Value, corrupt, values};

/// The columns that [`repository_of`] reads, of a table named `r`.
macro_rules! repository_columns {
    () => {
        "r.id, r.path, r.kind, r.state, r.visibility"
    };
}
pub(super) use repository_columns;

/// How many columns those are.
const REPOSITORY: usize = 5;

pub(super) fn repository_of(row: &Row) -> Result<RepositoryRecord, StoreError> {
    let (path, kind, state, visibility) = (row.text(1)?, row.text(2)?, row.text(3)?, row.text(4)?);
    Ok(RepositoryRecord::new(
        row.int(0)?,
        RepositoryName::from_path(&path).map_err(|_| corrupt(&path))?,
        RepositoryKind::from_name(&kind).ok_or_else(|| corrupt(&kind))?,
        RepositoryState::from_name(&state).ok_or_else(|| corrupt(&state))?,
        Visibility::from_name(&visibility).ok_or_else(|| corrupt(&visibility))?,
    ))
}

/// Reads a blob from rows that differ in the placement alone: id, digest, size, location, key from
/// `first` on.
pub(super) fn blob_of(rows: &[Row], first: usize) -> Result<Option<BlobRecord>, StoreError> {
    let Some(head) = rows.first() else { return Ok(None) };
    let Some(id) = head.opt_int(first)? else {
        return Ok(None);
    };
    let mut placements = Vec::with_capacity(rows.len());
    for row in rows {
        if let (Some(location), Some(key)) = (row.opt_text(first + 3)?, row.opt_text(first + 4)?) {
            placements.push(Placement::new(location.into(), ObjectKey::new(&key)));
        }
    }
    Ok(Some(BlobRecord::new(
        id,
        head.parsed(first + 1)?,
        head.size(first + 2)?,
        placements.into(),
    )))
}

/// A blob with its placements, whoever holds it.
pub(super) const FIND_BLOB: &str = "SELECT b.id, b.digest, b.size, p.location, p.object_key FROM qr_blob b \
     LEFT JOIN qr_placement p ON p.blob_id = b.id WHERE b.digest = ?";

pub(super) const UPLOAD_COLUMNS: &str = "id, repository_id, principal, location, algorithm, byte_count, hash_state, \
     store_state, version, updated_ms, reserved_bytes";

pub(super) fn upload_of(row: &Row) -> Result<UploadRecord, StoreError> {
    let upload = NewUpload::new(
        row.text(0)?,
        row.int(1)?,
        row.text(2)?,
        row.text(3)?.into(),
        row.parsed(4)?,
        UploadState::new(row.blob(7)?),
    );
    Ok(UploadRecord::new(
        upload,
        row.size(5)?,
        row.blob(6)?.into(),
        row.int(8)?,
        Timestamp::from_millis(row.int(9)?),
    )
    .with_reserved(row.size(10)?))
}

/// A page's length as a database takes it.
pub(super) fn limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// A manifest, and whether the answer changes by time alone.
pub(super) struct ReadManifest {
    pub(super) lookup: Lookup<ManifestRecord>,
    pub(super) runs_out: bool,
}

impl SqlMetadata {
    pub(super) async fn read_repository(
        &self,
        name: &RepositoryName,
    ) -> Result<Option<Arc<RepositoryRecord>>, StoreError> {
        const SQL: &str = concat!(
            "SELECT ",
            repository_columns!(),
            " FROM qr_repository r WHERE r.path = ?"
        );
        let rows = self.rows(SQL, values![name.path()]).await?;
        rows.first()
            .map(|row| repository_of(row).map(Arc::new))
            .transpose()
    }

    pub(super) async fn read_manifest(
        &self,
        name: &RepositoryName,
        reference: &Reference,
        now: Timestamp,
    ) -> Result<ReadManifest, StoreError> {
        const BY_TAG: &str = concat!(
            "SELECT ",
            repository_columns!(),
            ", m.digest, m.media_type, m.payload, t.end_ms FROM qr_repository r ",
            "LEFT JOIN qr_tag t ON t.repository_id = r.id AND t.live = 1 AND t.name = ? ",
            "AND (t.end_ms IS NULL OR t.end_ms > ?) ",
            "LEFT JOIN qr_manifest m ON m.id = t.manifest_id AND m.live = 1 WHERE r.path = ?"
        );
        const BY_DIGEST: &str = concat!(
            "SELECT ",
            repository_columns!(),
            ", m.digest, m.media_type, m.payload, NULL FROM qr_repository r ",
            "LEFT JOIN qr_manifest m ON m.repository_id = r.id AND m.digest = ? AND m.live = 1 WHERE r.path = ?"
        );
        let rows = match reference {
            Reference::Tag(tag) => {
                self.rows(BY_TAG, values![tag.as_str(), now.as_millis(), name.path()])
                    .await?
            }
            Reference::Digest(digest) => {
                self.rows(BY_DIGEST, values![digest.to_string(), name.path()])
                    .await?
            }
        };
        let Some(row) = rows.first() else {
            return Ok(ReadManifest {
                lookup: Lookup::no_repository(),
                runs_out: false,
            });
        };
        let repository = Arc::new(repository_of(row)?);
        let by_tag = matches!(reference, Reference::Tag(_));
        let runs_out = by_tag && row.opt_int(REPOSITORY + 3)?.is_some();
        let found = match row.opt_text(REPOSITORY)? {
            None => None,
            Some(digest) => Some(ManifestRecord::new(
                digest.parse().map_err(|_| corrupt(&digest))?,
                MediaType::known(&row.text(REPOSITORY + 1)?),
                row.blob(REPOSITORY + 2)?.into(),
            )),
        };
        Ok(ReadManifest {
            lookup: Lookup::in_repository(repository, found),
            runs_out,
        })
    }

    pub(super) async fn read_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<Lookup<BlobRecord>, StoreError> {
        const SQL: &str = concat!(
            "SELECT ",
            repository_columns!(),
            ", b.id, b.digest, b.size, p.location, p.object_key FROM qr_repository r ",
            "LEFT JOIN qr_blob b ON b.digest = ? AND EXISTS ",
            "(SELECT 1 FROM qr_blob_link l WHERE l.repository_id = r.id AND l.blob_id = b.id) ",
            "LEFT JOIN qr_placement p ON p.blob_id = b.id WHERE r.path = ?"
        );
        let rows = self.rows(SQL, values![digest.to_string(), name.path()]).await?;
        let Some(row) = rows.first() else {
            return Ok(Lookup::no_repository());
        };
        let repository = Arc::new(repository_of(row)?);
        Ok(Lookup::in_repository(repository, blob_of(&rows, REPOSITORY)?))
    }

    /// Rows of a list in one repository come with the repository's own row, in one statement: the list
    /// stands on its own in a subquery, so that it is read in the order of its index.
    pub(super) async fn read_tags(
        &self,
        name: &RepositoryName,
        page: &PageRequest<Tag>,
        now: Timestamp,
    ) -> Result<Lookup<Vec<Tag>>, StoreError> {
        const SQL: &str = concat!(
            "SELECT ",
            repository_columns!(),
            ", CAST(NULL AS TEXT) FROM qr_repository r WHERE r.path = ? ",
            "UNION ALL SELECT CAST(0 AS BIGINT), '', '', '', '', page.name FROM (SELECT t.name FROM qr_tag t ",
            "WHERE t.repository_id = (SELECT id FROM qr_repository WHERE path = ?) AND t.live = 1 AND t.name > ? ",
            "AND t.hidden = 0 AND (t.end_ms IS NULL OR t.end_ms > ?) ORDER BY t.name LIMIT ?) AS page"
        );
        let after = page.after.as_ref().map_or("", Tag::as_str);
        let rows = self
            .rows(
                SQL,
                values![
                    name.path(),
                    name.path(),
                    after,
                    now.as_millis(),
                    limit(page.limit)
                ],
            )
            .await?;
        let mut repository = None;
        let mut tags = Vec::with_capacity(rows.len());
        for row in &rows {
            match row.opt_text(REPOSITORY)? {
                None => repository = Some(Arc::new(repository_of(row)?)),
                Some(tag) => tags.push(Tag::new(&tag).map_err(|_| corrupt(&tag))?),
            }
        }
        // A union promises no order.
        tags.sort();
        Ok(match repository {
            Some(repository) => Lookup::in_repository(repository, Some(tags)),
            None => Lookup::no_repository(),
        })
    }

    pub(super) async fn read_repositories(
        &self,
        page: &PageRequest<String>,
    ) -> Result<Vec<Arc<RepositoryRecord>>, StoreError> {
        const SQL: &str = concat!(
            "SELECT ",
            repository_columns!(),
            " FROM qr_repository r WHERE r.path > ? ORDER BY r.path LIMIT ?"
        );
        let after = page.after.as_deref().unwrap_or_default();
        let rows = self.rows(SQL, values![after, limit(page.limit)]).await?;
        rows.iter().map(|row| repository_of(row).map(Arc::new)).collect()
    }

    pub(super) async fn read_holders(
        &self,
        digest: &Digest,
        page: &PageRequest<RepositoryId>,
    ) -> Result<Vec<LinkedBlob>, StoreError> {
        const SQL: &str = concat!(
            "SELECT ",
            repository_columns!(),
            " FROM qr_blob_link l JOIN qr_repository r ON r.id = l.repository_id ",
            "WHERE l.blob_id = ? AND l.repository_id < ? ORDER BY l.repository_id DESC LIMIT ?"
        );
        let rows = self.rows(FIND_BLOB, values![digest.to_string()]).await?;
        let Some(blob) = blob_of(&rows, 0)? else {
            return Ok(Vec::new());
        };
        let values = values![blob.id, page.after.unwrap_or(i64::MAX), limit(page.limit)];
        let rows = self.rows(SQL, values).await?;
        rows.iter()
            .map(|row| Ok(LinkedBlob::new(repository_of(row)?, blob.clone())))
            .collect()
    }

    pub(super) async fn read_referrers(
        &self,
        name: &RepositoryName,
        subject: &Digest,
        artifact_type: Option<&MediaType>,
        page: &PageRequest<Digest>,
    ) -> Result<Lookup<Vec<Referrer>>, StoreError> {
        const SQL: &str = concat!(
            "SELECT ",
            repository_columns!(),
            ", CAST(NULL AS TEXT), CAST(NULL AS TEXT), CAST(NULL AS BIGINT), CAST(NULL AS TEXT), CAST(NULL AS TEXT) ",
            "FROM qr_repository r WHERE r.path = ? UNION ALL ",
            "SELECT CAST(0 AS BIGINT), '', '', '', '', n.digest, n.media_type, n.size, n.artifact_type, n.annotations ",
            "FROM qr_manifest n JOIN (SELECT id, CAST(SUM(size) OVER (ORDER BY digest) AS BIGINT) - size AS preceding ",
            "FROM (SELECT m.id, m.size, m.digest ",
            "FROM qr_manifest m WHERE m.repository_id = (SELECT id FROM qr_repository WHERE path = ?) ",
            "AND m.subject_digest = ? AND m.live = 1 AND m.digest > ? AND (? = '' OR LOWER(m.artifact_type) = ?) ",
            "ORDER BY m.digest LIMIT ?) AS page) AS summed ON summed.id = n.id WHERE summed.preceding < ?"
        );
        let after = page.after.map(|digest| digest.to_string()).unwrap_or_default();
        let wanted = artifact_type.map_or("", MediaType::as_str);
        let parameters: Vec<Value> = values![
            name.path(),
            name.path(),
            subject.to_string(),
            after,
            wanted,
            wanted,
            limit(page.limit),
            i64::try_from(REFERRERS_BYTES).unwrap_or(i64::MAX)
        ];
        let rows = self.rows(SQL, parameters).await?;
        let mut repository = None;
        let mut referrers = Vec::with_capacity(rows.len());
        for row in &rows {
            match row.opt_text(REPOSITORY)? {
                None => repository = Some(Arc::new(repository_of(row)?)),
                Some(digest) => referrers.push(Referrer::new(
                    digest.parse().map_err(|_| corrupt(&digest))?,
                    MediaType::known(&row.text(REPOSITORY + 1)?),
                    row.size(REPOSITORY + 2)?,
                    row.opt_text(REPOSITORY + 3)?,
                    row.opt_text(REPOSITORY + 4)?,
                )),
            }
        }
        referrers.sort_by_key(|referrer| referrer.digest);
        Ok(match repository {
            Some(repository) => Lookup::in_repository(repository, Some(referrers)),
            None => Lookup::no_repository(),
        })
    }

    pub(super) async fn read_upload(&self, id: &str) -> Result<Option<UploadRecord>, StoreError> {
        let sql = format!("SELECT {UPLOAD_COLUMNS} FROM qr_upload WHERE id = ?");
        let rows = self.rows(sql, values![id]).await?;
        rows.first().map(upload_of).transpose()
    }
}
