//! Garbage in a unit of work.
//!
//! Questions about single rows are asked as `(SELECT … LIMIT 1) IS NULL`, which no planner turns into a walk
//! through a whole table, whatever it believes of the tables' sizes.

use std::time::Duration;

use async_trait::async_trait;
use quay_core::blob_store::ObjectKey;
use quay_core::metadata::{
    GarbageStore, ManifestHolds, Placement, PolicyOwner, RepositoryId, RepositoryRecord, UploadRecord,
};
use quay_core::runtime::Timestamp;
use quay_core::{Digest, StoreError};

use super::db::{LIST, Value, filled, padded, placeholders, values};
use super::history::TIME_MACHINE;
use super::read::{UPLOAD_COLUMNS, repository_columns, repository_of, upload_of};
use super::rows::Rows as _;
use super::unit::Unit;

/// The numbers of a list, the last one repeated up to the number of placeholders.
fn numbers(items: &[i64]) -> Vec<Value> {
    filled(items.iter().map(|item| Value::Int(*item)).collect())
}

fn count(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

#[async_trait]
impl GarbageStore for Unit {
    async fn due(&mut self, now: Timestamp, limit: usize) -> Result<Vec<RepositoryId>, StoreError> {
        let rows = self
            .rows(
                "SELECT DISTINCT repository_id FROM (SELECT repository_id FROM qr_review WHERE due_ms <= ? \
                 ORDER BY due_ms LIMIT ?) due ORDER BY repository_id",
                values![now.as_millis(), count(limit)],
            )
            .await?;
        rows.iter().map(|row| row.int(0)).collect()
    }

    async fn time_machine(&mut self, namespace: &str) -> Result<Option<Duration>, StoreError> {
        let row = self.row(TIME_MACHINE, values![namespace]).await?;
        let seconds = row.map(|row| row.size(0)).transpose()?;
        Ok(seconds.map(Duration::from_secs))
    }

    async fn reviews(
        &mut self,
        repository: RepositoryId,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<i64>, StoreError> {
        let rows = self
            .rows(
                "SELECT manifest_id FROM qr_review WHERE repository_id = ? AND due_ms <= ? ORDER BY due_ms LIMIT ?",
                values![repository, now.as_millis(), count(limit)],
            )
            .await?;
        rows.iter().map(|row| row.int(0)).collect()
    }

    async fn forget_tags(
        &mut self,
        repository: RepositoryId,
        manifests: &[i64],
        before: Timestamp,
    ) -> Result<(), StoreError> {
        self.touch(repository);
        for chunk in manifests.chunks(LIST) {
            let sql = format!(
                "DELETE FROM qr_tag WHERE end_ms <= ? AND manifest_id IN ({})",
                placeholders(chunk.len())
            );
            let mut values = values![before.as_millis()];
            values.extend(numbers(chunk));
            self.defer(sql, values).await?;
        }
        Ok(())
    }

    async fn holds(&mut self, _: RepositoryId, manifests: &[i64]) -> Result<Vec<ManifestHolds>, StoreError> {
        let mut found = Vec::with_capacity(manifests.len());
        for chunk in manifests.chunks(LIST) {
            let sql = format!(
                "SELECT m.id, m.digest, m.live, m.lease_until_ms, \
                 (SELECT t.id FROM qr_tag t WHERE t.manifest_id = m.id AND t.end_ms IS NULL LIMIT 1), \
                 (SELECT MIN(t.end_ms) FROM qr_tag t WHERE t.manifest_id = m.id AND t.end_ms IS NOT NULL), \
                 (SELECT MAX(t.end_ms) FROM qr_tag t WHERE t.manifest_id = m.id AND t.end_ms IS NOT NULL), \
                 (SELECT e.manifest_id FROM qr_manifest_edge e WHERE e.digest = m.digest \
                 AND e.repository_id = m.repository_id AND e.held = 1 AND e.kind = 'child' LIMIT 1), \
                 (SELECT s.id FROM qr_manifest s WHERE s.repository_id = m.repository_id \
                 AND s.digest = m.subject_digest AND (SELECT c.position FROM qr_manifest_edge c \
                 WHERE c.manifest_id = m.id AND c.kind = 'child' AND c.digest = s.digest LIMIT 1) IS NULL LIMIT 1) \
                 FROM qr_manifest m WHERE m.id IN ({})",
                placeholders(chunk.len())
            );
            for row in self.rows(sql, numbers(chunk)).await? {
                let mut holds = ManifestHolds::new(row.int(0)?, row.parsed(1)?, row.opt_int(2)?.is_some());
                let time = |index| Ok::<_, StoreError>(row.opt_int(index)?.map(Timestamp::from_millis));
                holds.lease = time(3)?;
                holds.tagged = row.opt_int(4)?.is_some();
                holds.ends = time(5)?.zip(time(6)?);
                holds.parent = row.opt_int(7)?.is_some();
                holds.subject = row.opt_int(8)?.is_some();
                found.push(holds);
            }
        }
        Ok(found)
    }

    async fn postpone(&mut self, reviews: &[(i64, Timestamp)]) -> Result<(), StoreError> {
        let mut reviews = reviews.to_vec();
        // Most that are looked at together are due together again.
        reviews.sort_unstable_by_key(|(manifest, due)| (*due, *manifest));
        for of_one_time in reviews.chunk_by(|left, right| left.1 == right.1) {
            let Some((_, due)) = of_one_time.first() else {
                continue;
            };
            let manifests: Vec<i64> = of_one_time.iter().map(|(manifest, _)| *manifest).collect();
            for chunk in manifests.chunks(LIST) {
                let sql = format!(
                    "UPDATE qr_review SET due_ms = ? WHERE manifest_id IN ({})",
                    placeholders(chunk.len())
                );
                let mut values = values![due.as_millis()];
                values.extend(numbers(chunk));
                self.defer(sql, values).await?;
            }
        }
        Ok(())
    }

    async fn settle(&mut self, manifests: &[i64]) -> Result<(), StoreError> {
        self.delete_of_manifests("qr_review", "manifest_id", manifests)
            .await
    }

    async fn remove_manifests(
        &mut self,
        repository: RepositoryId,
        manifests: &[i64],
        now: Timestamp,
    ) -> Result<Vec<i64>, StoreError> {
        self.touch(repository);
        let (mut children, mut blobs, mut removed) = (Vec::new(), Vec::new(), Vec::new());
        for chunk in manifests.chunks(LIST) {
            let list = placeholders(chunk.len());
            let sql = format!("SELECT digest FROM qr_manifest WHERE id IN ({list})");
            for row in self.rows(sql, numbers(chunk)).await? {
                removed.push(row.parsed(0)?);
            }
            let sql = format!(
                "SELECT DISTINCT digest FROM qr_manifest_edge WHERE manifest_id IN ({list}) \
                 AND held = 1 AND kind = 'child'"
            );
            for row in self.rows(sql, numbers(chunk)).await? {
                children.push(row.parsed(0)?);
            }
            let sql = format!(
                "SELECT DISTINCT b.id FROM qr_manifest_edge e JOIN qr_blob b ON b.digest = e.digest \
                 WHERE e.manifest_id IN ({list}) AND e.held = 1 AND e.kind IN ('config', 'layer')"
            );
            for row in self.rows(sql, numbers(chunk)).await? {
                blobs.push(row.int(0)?);
            }
        }
        for (table, column) in [
            ("qr_tag", "manifest_id"),
            ("qr_label", "manifest_id"),
            ("qr_manifest_edge", "manifest_id"),
            ("qr_review", "manifest_id"),
            ("qr_scan", "manifest_id"),
            ("qr_manifest", "id"),
        ] {
            self.delete_of_manifests(table, column, manifests).await?;
        }
        self.forget_pulls(repository, &removed).await?;
        self.review_named(repository, "digest", &children, now).await?;
        self.review_named(repository, "subject_digest", &removed, now)
            .await?;
        for chunk in removed.chunks(LIST) {
            let sql = format!(
                "UPDATE qr_manifest_edge SET held = 0 WHERE repository_id = ? AND kind IN ('child', 'subject') \
                 AND held = 1 AND digest IN ({})",
                placeholders(chunk.len())
            );
            let mut values = values![repository];
            values.extend(padded(chunk));
            self.defer(sql, values).await?;
        }
        blobs.sort_unstable();
        blobs.dedup();
        let free = self.without_manifest(repository, &blobs).await?;
        self.unlink_ended(repository, &free, now).await?;
        Ok(blobs)
    }

    async fn ended_leases(
        &mut self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<(RepositoryId, i64)>, StoreError> {
        let rows = self
            .rows(
                "SELECT repository_id, blob_id FROM qr_blob_link WHERE lease_until_ms <= ? \
                 ORDER BY lease_until_ms LIMIT ?",
                values![now.as_millis(), count(limit)],
            )
            .await?;
        rows.iter().map(|row| Ok((row.int(0)?, row.int(1)?))).collect()
    }

    async fn end_leases(
        &mut self,
        repository: RepositoryId,
        blobs: &[i64],
        now: Timestamp,
    ) -> Result<Vec<i64>, StoreError> {
        self.touch(repository);
        let mut ended = Vec::new();
        for chunk in blobs.chunks(LIST) {
            let sql = format!(
                "SELECT blob_id FROM qr_blob_link WHERE repository_id = ? AND blob_id IN ({}) \
                 AND lease_until_ms <= ?",
                placeholders(chunk.len())
            );
            let mut values = values![repository];
            values.extend(numbers(chunk));
            values.extend(values![now.as_millis()]);
            for row in self.rows(sql, values).await? {
                ended.push(row.int(0)?);
            }
        }
        let free = self.without_manifest(repository, &ended).await?;
        self.unlink_ended(repository, &free, now).await?;
        // What is left of them has found its manifest.
        for chunk in ended.chunks(LIST) {
            let sql = format!(
                "UPDATE qr_blob_link SET lease_until_ms = NULL WHERE repository_id = ? AND blob_id IN ({})",
                placeholders(chunk.len())
            );
            let mut values = values![repository];
            values.extend(numbers(chunk));
            self.defer(sql, values).await?;
        }
        Ok(free)
    }

    async fn remove_blobs(&mut self, blobs: &[i64]) -> Result<Vec<Placement>, StoreError> {
        let mut placements = Vec::new();
        let mut blobs = blobs.to_vec();
        // Locked in one order by everybody.
        blobs.sort_unstable();
        blobs.dedup();
        for chunk in blobs.chunks(LIST) {
            let list = placeholders(chunk.len());
            // Locked first: what links to them from here on waits, and what has done so is seen below.
            let sql = format!(
                "SELECT id FROM qr_blob WHERE id IN ({list}) ORDER BY id{}",
                self.dialect().for_deletion()
            );
            self.rows(sql, numbers(chunk)).await?;
            let sql = format!(
                "SELECT b.id FROM qr_blob b WHERE b.id IN ({list}) \
                 AND (SELECT l.repository_id FROM qr_blob_link l WHERE l.blob_id = b.id LIMIT 1) IS NULL \
                 AND (SELECT e.manifest_id FROM qr_manifest_edge e WHERE e.digest = b.digest AND e.held = 1 \
                 AND e.kind IN ('config', 'layer') LIMIT 1) IS NULL"
            );
            let rows = self.rows(sql, numbers(chunk)).await?;
            let garbage = rows.iter().map(|row| row.int(0)).collect::<Result<Vec<_>, _>>()?;
            if garbage.is_empty() {
                continue;
            }
            let list = placeholders(garbage.len());
            let sql = format!("SELECT location, object_key FROM qr_placement WHERE blob_id IN ({list})");
            for row in self.rows(sql, numbers(&garbage)).await? {
                placements.push(Placement::new(row.text(0)?.into(), ObjectKey::new(&row.text(1)?)));
            }
            let sql = format!("DELETE FROM qr_placement WHERE blob_id IN ({list})");
            self.defer(sql, numbers(&garbage)).await?;
            let sql = format!("DELETE FROM qr_blob WHERE id IN ({list})");
            self.defer(sql, numbers(&garbage)).await?;
        }
        Ok(placements)
    }

    async fn doom(&mut self, repository: RepositoryId) -> Result<bool, StoreError> {
        use quay_core::metadata::RepositoryStore;

        let Some(record) = RepositoryStore::lock(self, repository).await? else {
            return Ok(false);
        };
        self.mark_for_deletion(&record).await?;
        Ok(true)
    }

    async fn doomed(&mut self, limit: usize) -> Result<Vec<RepositoryRecord>, StoreError> {
        const SQL: &str = concat!(
            "SELECT ",
            repository_columns!(),
            " FROM qr_repository r WHERE r.state = 'marked_for_deletion' ORDER BY r.id LIMIT ?"
        );
        let rows = self.rows(SQL, values![count(limit)]).await?;
        rows.iter().map(repository_of).collect()
    }

    async fn some_manifests(
        &mut self,
        repository: RepositoryId,
        limit: usize,
    ) -> Result<Vec<i64>, StoreError> {
        let sql = "SELECT id FROM qr_manifest WHERE repository_id = ? ORDER BY digest LIMIT ?";
        let rows = self.rows(sql, values![repository, count(limit)]).await?;
        rows.iter().map(|row| row.int(0)).collect()
    }

    async fn remove_links(&mut self, repository: RepositoryId, limit: usize) -> Result<Vec<i64>, StoreError> {
        self.touch(repository);
        let sql = "SELECT blob_id FROM qr_blob_link WHERE repository_id = ? ORDER BY blob_id LIMIT ?";
        let rows = self.rows(sql, values![repository, count(limit)]).await?;
        let blobs = rows.iter().map(|row| row.int(0)).collect::<Result<Vec<_>, _>>()?;
        for chunk in blobs.chunks(LIST) {
            let these = format!("blob_id IN ({})", placeholders(chunk.len()));
            self.unlink_where(repository, &these, numbers(chunk)).await?;
        }
        Ok(blobs)
    }

    async fn uploads_of(
        &mut self,
        repository: RepositoryId,
        limit: usize,
    ) -> Result<Vec<UploadRecord>, StoreError> {
        let sql = format!("SELECT {UPLOAD_COLUMNS} FROM qr_upload WHERE repository_id = ? LIMIT ?");
        let rows = self.rows(sql, values![repository, count(limit)]).await?;
        rows.iter().map(upload_of).collect()
    }

    async fn remove_repository(&mut self, repository: RepositoryId) -> Result<(), StoreError> {
        let sql = "SELECT namespace_id FROM qr_repository WHERE id = ?";
        let row = self.row(sql, values![repository]).await?;
        let Some(row) = row else { return Ok(()) };
        self.touch_everything();
        self.count_all().await?;
        self.forget_policies(&PolicyOwner::Repository(repository)).await?;
        self.forget_in_searches(repository).await?;
        self.defer("DELETE FROM qr_repository WHERE id = ?", values![repository])
            .await?;
        // Namespaces that were deleted have such names, and no others.
        self.defer(
            "DELETE FROM qr_namespace WHERE id = ? AND SUBSTR(name, 1, 3) = 'd__' \
             AND (SELECT r.id FROM qr_repository r WHERE r.namespace_id = qr_namespace.id LIMIT 1) IS NULL",
            values![row.int(0)?],
        )
        .await?;
        self.drop_used(repository, row.int(0)?).await
    }
}

impl Unit {
    /// Has manifests looked at then, or earlier if that was asked for: those that a statement yields with
    /// their repository and the time.
    pub(super) async fn review(
        &mut self,
        manifests: impl AsRef<str> + Send,
        values: Vec<Value>,
    ) -> Result<(), StoreError> {
        let sql = self.dialect().reviewed(manifests.as_ref());
        self.defer(sql, values).await
    }

    /// Has one manifest looked at then.
    pub(super) async fn review_at(&mut self, manifest: i64, due: Timestamp) -> Result<(), StoreError> {
        self.review(
            "SELECT id, repository_id, CAST(? AS BIGINT) FROM qr_manifest WHERE id = ?",
            values![due.as_millis(), manifest],
        )
        .await
    }

    /// Has the manifests looked at whose column names one of these digests.
    async fn review_named(
        &mut self,
        repository: RepositoryId,
        column: &str,
        digests: &[Digest],
        due: Timestamp,
    ) -> Result<(), StoreError> {
        for chunk in digests.chunks(LIST) {
            let sql = format!(
                "SELECT id, repository_id, CAST(? AS BIGINT) FROM qr_manifest WHERE repository_id = ? \
                 AND {column} IN ({})",
                placeholders(chunk.len())
            );
            let mut values = values![due.as_millis(), repository];
            values.extend(padded(chunk));
            self.review(sql, values).await?;
        }
        Ok(())
    }

    /// Which of these blobs no live manifest of the repository holds.
    async fn without_manifest(
        &mut self,
        repository: RepositoryId,
        blobs: &[i64],
    ) -> Result<Vec<i64>, StoreError> {
        let mut free = Vec::with_capacity(blobs.len());
        for chunk in blobs.chunks(LIST) {
            let sql = format!(
                "SELECT b.id FROM qr_blob b WHERE b.id IN ({}) AND (SELECT e.manifest_id FROM qr_manifest_edge e \
                 JOIN qr_manifest m ON m.id = e.manifest_id WHERE e.digest = b.digest AND e.repository_id = ? \
                 AND e.held = 1 AND e.kind IN ('config', 'layer') AND m.live = 1 LIMIT 1) IS NULL",
                placeholders(chunk.len())
            );
            let mut values = numbers(chunk);
            values.extend(values![repository]);
            for row in self.rows(sql, values).await? {
                free.push(row.int(0)?);
            }
        }
        Ok(free)
    }

    /// Removes links to these blobs whose lease does not run at `now`.
    async fn unlink_ended(
        &mut self,
        repository: RepositoryId,
        blobs: &[i64],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        for chunk in blobs.chunks(LIST) {
            let these = format!(
                "blob_id IN ({}) AND (lease_until_ms IS NULL OR lease_until_ms <= ?)",
                placeholders(chunk.len())
            );
            let mut values = numbers(chunk);
            values.extend(values![now.as_millis()]);
            self.unlink_where(repository, &these, values).await?;
        }
        Ok(())
    }

    async fn delete_of_manifests(
        &mut self,
        table: &str,
        column: &str,
        manifests: &[i64],
    ) -> Result<(), StoreError> {
        for chunk in manifests.chunks(LIST) {
            let sql = format!(
                "DELETE FROM {table} WHERE {column} IN ({})",
                placeholders(chunk.len())
            );
            self.defer(sql, numbers(chunk)).await?;
        }
        Ok(())
    }
}
