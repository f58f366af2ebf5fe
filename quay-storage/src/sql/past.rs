//! The past of tags in a unit of work.

use async_trait::async_trait;
use quay_core::metadata::{PageRequest, PastStore, RepositoryId, TagRecord};
use quay_core::runtime::Timestamp;
use quay_core::{StoreError, Tag};

use super::db::{LIST, padded, placeholders, values};
use super::read::limit;
use super::rows::Rows as _;
use super::tags::{COLUMNS, tag_of};
use super::unit::Unit;

#[async_trait]
impl PastStore for Unit {
    async fn created(&mut self, repository: RepositoryId) -> Result<Option<Timestamp>, StoreError> {
        let sql = "SELECT created_ms FROM qr_repository WHERE id = ?";
        let row = self.row(sql, values![repository]).await?;
        row.map(|row| row.int(0).map(Timestamp::from_millis)).transpose()
    }

    async fn changed(
        &mut self,
        repository: RepositoryId,
        since: Timestamp,
        now: Timestamp,
        page: &PageRequest<Tag>,
    ) -> Result<Vec<Tag>, StoreError> {
        const SQL: &str = "SELECT c.name FROM (SELECT b.name FROM qr_tag b WHERE b.repository_id = ? AND b.start_ms > ? \
             AND b.hidden = 0 AND b.name > ? UNION SELECT e.name FROM qr_tag e WHERE e.repository_id = ? \
             AND e.end_ms > ? AND e.end_ms <= ? AND e.hidden = 0 AND e.name > ?) AS c ORDER BY c.name LIMIT ?";
        let after = page.after.as_ref().map_or("", Tag::as_str);
        let since = since.as_millis();
        let values = values![
            repository,
            since,
            after,
            repository,
            since,
            now.as_millis(),
            after,
            limit(page.limit)
        ];
        let rows = self.rows(SQL, values).await?;
        rows.iter().map(|row| row.parsed(0)).collect()
    }

    async fn rows_at(
        &mut self,
        repository: RepositoryId,
        names: &[Tag],
        when: Timestamp,
    ) -> Result<Vec<TagRecord>, StoreError> {
        let mut found: Vec<TagRecord> = Vec::with_capacity(names.len());
        for chunk in names.chunks(LIST) {
            let sql = format!(
                "SELECT {COLUMNS} FROM qr_tag t JOIN qr_manifest m ON m.id = t.manifest_id WHERE t.repository_id = ? \
                 AND t.hidden = 0 AND t.start_ms <= ? AND (t.end_ms IS NULL OR t.end_ms > ?) AND t.name IN ({}) \
                 ORDER BY t.name, t.start_ms DESC",
                placeholders(chunk.len())
            );
            let mut values = values![repository, when.as_millis(), when.as_millis()];
            values.extend(padded(chunk));
            for row in self.rows(sql, values).await? {
                let row = tag_of(&row)?;
                if found.last().is_none_or(|last| last.name != row.name) {
                    found.push(row);
                }
            }
        }
        Ok(found)
    }

    async fn erase(
        &mut self,
        repository: RepositoryId,
        name: &Tag,
        manifest: i64,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        self.touch(repository);
        let sql = "DELETE FROM qr_tag WHERE repository_id = ? AND name = ? AND manifest_id = ? \
                   AND (live IS NULL OR end_ms <= ?)";
        let values = values![repository, name.as_str(), manifest, now.as_millis()];
        let erased = self.run(sql, values).await?;
        if erased > 0 {
            self.review_at(manifest, now).await?;
        }
        Ok(erased)
    }
}
