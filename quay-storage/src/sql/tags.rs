//! Tags in a unit of work.

use async_trait::async_trait;
use quay_core::metadata::{RepositoryId, TagRecord, TagStore, TagTarget};
use quay_core::runtime::Timestamp;
use quay_core::{StoreError, Tag};

use super::db::{LIST, Row, padded, placeholders, values};
use super::rows::Rows as _;
use super::unit::Unit;

/// The columns that [`tag_of`] reads, of the tables `t` and `m`.
pub(super) const COLUMNS: &str = "t.id, t.name, t.manifest_id, m.digest, t.start_ms, t.end_ms, t.reversion, \
                                     t.immutable";

/// How many they are.
pub(super) const COUNT: usize = 8;

pub(super) fn tag_of(row: &Row) -> Result<TagRecord, StoreError> {
    Ok(TagRecord::new(
        row.int(0)?,
        row.parsed(1)?,
        row.int(2)?,
        row.parsed(3)?,
        Timestamp::from_millis(row.int(4)?),
        row.opt_int(5)?.map(Timestamp::from_millis),
    )
    .with_reversion(row.int(6)? != 0)
    .with_immutable(row.int(7)? != 0))
}

const TAG: &str = "SELECT t.id, t.name, t.manifest_id, m.digest, t.start_ms, t.end_ms, t.reversion, \
     t.immutable FROM qr_tag t JOIN qr_manifest m ON m.id = t.manifest_id WHERE t.repository_id = ?";

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
        target: TagTarget,
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
            self.review_live(repository, name, start).await?;
            self.defer(
                "UPDATE qr_tag SET live = NULL, end_ms = CASE WHEN end_ms IS NULL OR end_ms > ? THEN ? ELSE end_ms END \
                 WHERE repository_id = ? AND name = ? AND live = 1",
                values![start, start, repository, name.as_str()],
            )
            .await?;
        }
        self.defer(
            "INSERT INTO qr_tag (repository_id, name, manifest_id, start_ms, end_ms, live, hidden, reversion, \
             immutable) VALUES (?, ?, ?, ?, ?, 1, 0, ?, ?)",
            values![
                repository,
                name.as_str(),
                target.manifest,
                start,
                target.end.map(Timestamp::as_millis),
                target.reversion,
                target.immutable
            ],
        )
        .await?;
        match target.end {
            Some(end) => self.review_at(target.manifest, end).await,
            None => Ok(()),
        }
    }

    async fn set_end(
        &mut self,
        repository: RepositoryId,
        name: &Tag,
        end: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        self.touch(repository);
        if let Some(end) = end {
            self.review_live(repository, name, end.as_millis()).await?;
        }
        let changed = self
            .run(
                "UPDATE qr_tag SET end_ms = ? WHERE repository_id = ? AND name = ? AND live = 1",
                values![end.map(Timestamp::as_millis), repository, name.as_str()],
            )
            .await?;
        Ok(changed > 0)
    }

    async fn remembers(
        &mut self,
        repository: RepositoryId,
        manifest: i64,
        since: Timestamp,
    ) -> Result<bool, StoreError> {
        let sql = "SELECT id FROM qr_tag WHERE manifest_id = ? AND repository_id = ? AND hidden = 0 \
                   AND (end_ms IS NULL OR end_ms > ?) LIMIT 1";
        let row = self
            .row(sql, values![manifest, repository, since.as_millis()])
            .await?;
        Ok(row.is_some())
    }

    async fn end(
        &mut self,
        repository: RepositoryId,
        name: &Tag,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.touch(repository);
        let now = now.as_millis();
        self.review_live(repository, name, now).await?;
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

impl Unit {
    /// Has the manifest looked at then that a tag's live row points at.
    async fn review_live(
        &mut self,
        repository: RepositoryId,
        name: &Tag,
        due: i64,
    ) -> Result<(), StoreError> {
        self.review(
            "SELECT manifest_id, repository_id, CAST(? AS BIGINT) FROM qr_tag \
             WHERE repository_id = ? AND name = ? AND live = 1",
            values![due, repository, name.as_str()],
        )
        .await
    }
}
