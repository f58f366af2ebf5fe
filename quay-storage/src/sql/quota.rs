//! Quotas in a unit of work.
//!
//! What is used is a row for each namespace and repository, changed by whoever links or unlinks, last of all, so
//! that the row of a busy namespace is held for as short a time as can be; a unit of work changes links of one
//! repository. Whether a namespace has a blob besides is
//! asked with that row locked: two units of work that link, or unlink, the same blob see each other.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use quay_core::metadata::{
    Quota, QuotaLimit, QuotaLimitKind, QuotaOwner, QuotaStore, QuotaUse, RegistrySize, RepositoryId, Usage,
};
use quay_core::runtime::Timestamp;
use quay_core::{RepositoryName, StoreError};

use super::SqlMetadata;
use super::db::{LIST, Row, Value, corrupt, filled, placeholders, values};
use super::read::limit;
use super::rows::Rows;
use super::unit::Unit;

const NAMESPACE: i64 = 0;
const REPOSITORY: i64 = 1;
const REGISTRY: i64 = 2;

/// Blobs that are counted at once when nobody has counted before.
const AT_ONCE: usize = 1000;

/// What a unit of work has changed that is counted.
#[derive(Debug, Default)]
pub(super) struct Counting {
    /// Whether this process counts.
    on: bool,
    /// To be set once those that count have been told that this process does not.
    told: Option<Arc<AtomicBool>>,
    /// Whether this unit of work tells them.
    tells: bool,
    /// Links made and removed that are not in the counts yet: by repository and blob, how many of the two and the
    /// blob's size.
    links: BTreeMap<(RepositoryId, i64), (i64, i64)>,
    /// Bytes promised that are not in the counts yet.
    reserved: BTreeMap<RepositoryId, i64>,
    namespaces: HashMap<RepositoryId, i64>,
    /// Bytes added by kind and owner.
    grown: HashMap<(i64, i64), i64>,
}

impl Counting {
    pub(super) fn new(on: bool, told: Arc<AtomicBool>) -> Self {
        let told = (!on && !told.load(Ordering::Relaxed)).then_some(told);
        Self {
            on,
            told,
            ..Self::default()
        }
    }

    /// What is to be set when this unit of work has committed.
    pub(super) fn take_told(&mut self) -> Option<Arc<AtomicBool>> {
        self.told.take().filter(|_| self.tells)
    }

    pub(super) const fn is_on(&self) -> bool {
        self.on
    }

    /// Whether something is not in the counts yet.
    pub(super) fn is_pending(&self) -> bool {
        !self.links.is_empty() || !self.reserved.is_empty()
    }
}

/// A row of what is used.
struct UsedRow {
    used: i64,
    reserved: i64,
    epoch: i64,
    recount: i64,
    recount_to: Option<i64>,
    counted: Option<i64>,
}

impl UsedRow {
    fn of(row: &Row, from: usize) -> Result<Self, StoreError> {
        Ok(Self {
            used: row.int(from)?,
            reserved: row.int(from + 1)?,
            epoch: row.int(from + 2)?,
            recount: row.int(from + 3)?,
            recount_to: row.opt_int(from + 4)?,
            counted: row.opt_int(from + 5)?,
        })
    }

    fn shown(&self, grown: i64, quota: Option<Quota>) -> QuotaUse {
        let used = if self.counted.is_some() {
            self.used
        } else {
            self.recount
        };
        QuotaUse::new(
            u64::try_from(used).unwrap_or(0),
            u64::try_from(self.reserved).unwrap_or(0),
        )
        .with_counted(self.counted.is_some())
        .with_grown(grown)
        .with_quota(quota)
    }

    /// Takes in changes of these blobs.
    fn change(&mut self, changes: impl Iterator<Item = (i64, i64)>) -> i64 {
        let mut grown = 0_i64;
        for (blob, bytes) in changes {
            grown = grown.saturating_add(bytes);
            if self.recount_to.is_some_and(|to| blob <= to) {
                self.recount = self.recount.saturating_add(bytes);
            }
        }
        self.used = self.used.saturating_add(grown);
        grown
    }
}

const USED_COLUMNS: &str = "used_bytes, reserved_bytes, epoch, recount_bytes, recount_to, counted_ms";

/// What is laid down for a repository and its namespace, and what they use: side, namespace, use, quota, level.
fn overview(condition: &str) -> String {
    let side = |kind: i64, owner: &str, quota: &str| {
        format!(
            "SELECT CAST({kind} AS BIGINT), r.namespace_id, u.used_bytes, u.reserved_bytes, u.epoch, u.recount_bytes, \
             u.recount_to, u.counted_ms, (SELECT e.epoch FROM qr_usage_epoch e WHERE e.id = 1), \
             q.id, q.limit_bytes, l.id AS limit_id, l.kind, l.percent, r.id FROM qr_repository r \
             LEFT JOIN qr_usage u ON u.kind = {kind} AND u.owner_id = {owner} \
             LEFT JOIN qr_quota q ON q.{quota} = {owner} LEFT JOIN qr_quota_limit l ON l.quota_id = q.id \
             WHERE {condition}"
        )
    };
    format!(
        "{} UNION ALL {} ORDER BY limit_id",
        side(NAMESPACE, "r.namespace_id", "namespace_id"),
        side(REPOSITORY, "r.id", "repository_id")
    )
}

/// The quota among rows of quotas with their levels.
fn quota_in<'a>(rows: impl Iterator<Item = &'a Row>, from: usize) -> Result<Option<Quota>, StoreError> {
    let mut quota: Option<Quota> = None;
    for row in rows {
        let Some(id) = row.opt_int(from)? else { continue };
        let size = row.size(from + 1)?;
        let quota = quota.get_or_insert_with(|| Quota::new(id, size, Vec::new()));
        if let Some(limit) = row.opt_int(from + 2)? {
            let kind = row.text(from + 3)?;
            let kind = QuotaLimitKind::from_name(&kind).ok_or_else(|| corrupt(&kind))?;
            let percent = u32::try_from(row.int(from + 4)?).unwrap_or(u32::MAX);
            quota.limits.push(QuotaLimit::new(limit, kind, percent));
        }
    }
    Ok(quota)
}

fn of_kind(rows: &[Row], kind: i64) -> impl Iterator<Item = &Row> {
    rows.iter()
        .filter(move |row| row.int(0).is_ok_and(|of| of == kind))
}

/// One side of what an overview shows.
fn side(rows: &[Row], kind: i64) -> Result<QuotaUse, StoreError> {
    let quota = quota_in(of_kind(rows, kind), 9)?;
    let first = of_kind(rows, kind).next();
    let first = first.filter(|row| row.opt_int(2).is_ok_and(|used| used.is_some()));
    if let Some(row) = first {
        let used = UsedRow::of(row, 2)?;
        if used.epoch == row.int(8)? {
            return Ok(used.shown(0, quota));
        }
    }
    Ok(QuotaUse::new(0, 0).with_counted(false).with_quota(quota))
}

impl SqlMetadata {
    /// What is used, as it stands.
    pub(super) async fn read_usage(&self, name: &RepositoryName) -> Result<Option<Usage>, StoreError> {
        if !self.counts() {
            return Ok(None);
        }
        let rows = self
            .rows(overview("r.path = ?"), values![name.path(), name.path()])
            .await?;
        if rows.is_empty() {
            return Ok(None);
        }
        Ok(Some(Usage {
            namespace: side(&rows, NAMESPACE)?,
            repository: side(&rows, REPOSITORY)?,
        }))
    }

    pub(super) async fn read_namespace_usage(&self, namespace: &str) -> Result<Option<QuotaUse>, StoreError> {
        if !self.counts() {
            return Ok(None);
        }
        let sql = "SELECT CAST(0 AS BIGINT), n.id, u.used_bytes, u.reserved_bytes, u.epoch, u.recount_bytes, \
                   u.recount_to, u.counted_ms, (SELECT e.epoch FROM qr_usage_epoch e WHERE e.id = 1), \
                   q.id, q.limit_bytes, l.id AS limit_id, l.kind, l.percent FROM qr_namespace n \
                   LEFT JOIN qr_usage u ON u.kind = 0 AND u.owner_id = n.id \
                   LEFT JOIN qr_quota q ON q.namespace_id = n.id LEFT JOIN qr_quota_limit l ON l.quota_id = q.id \
                   WHERE n.name = ? ORDER BY limit_id";
        let rows = self.rows(sql, values![namespace]).await?;
        if rows.is_empty() {
            // It holds nothing yet.
            return Ok(Some(QuotaUse::new(0, 0)));
        }
        side(&rows, NAMESPACE).map(Some)
    }

    pub(super) async fn read_sizes(
        &self,
        repositories: &[RepositoryId],
    ) -> Result<HashMap<RepositoryId, u64>, StoreError> {
        let mut sizes = HashMap::new();
        if !self.counts() {
            return Ok(sizes);
        }
        for chunk in repositories.chunks(LIST) {
            let sql = format!(
                "SELECT owner_id, {USED_COLUMNS} FROM qr_usage WHERE kind = 1 AND owner_id IN ({}) \
                 AND epoch = (SELECT e.epoch FROM qr_usage_epoch e WHERE e.id = 1)",
                placeholders(chunk.len())
            );
            let ids = filled(chunk.iter().map(|id| Value::Int(*id)).collect());
            for row in self.rows(sql, ids).await? {
                sizes.insert(row.int(0)?, UsedRow::of(&row, 1)?.shown(0, None).used);
            }
            for id in chunk {
                sizes.entry(*id).or_insert(0);
            }
        }
        Ok(sizes)
    }
}

impl Unit {
    /// Notes that a link was made (1) or removed (-1), if that is counted.
    pub(super) fn count_link(&mut self, repository: RepositoryId, blob: i64, size: i64, by: i64) {
        let counting = self.counting();
        if counting.is_on() {
            let change = counting.links.entry((repository, blob)).or_insert((0, size));
            change.0 += by;
        }
    }

    /// Notes that a link is about to be made, unless it is there.
    pub(super) async fn count_new_link(
        &mut self,
        repository: RepositoryId,
        blob: i64,
    ) -> Result<(), StoreError> {
        if !self.counts_links().await? {
            return Ok(());
        }
        let sql = "SELECT b.size FROM qr_blob b WHERE b.id = ? AND (SELECT l.blob_id FROM qr_blob_link l \
                   WHERE l.repository_id = ? AND l.blob_id = b.id) IS NULL";
        if let Some(row) = self.row(sql, values![blob, repository]).await? {
            self.count_link(repository, blob, row.int(0)?, 1);
        }
        Ok(())
    }

    /// Removes links of a repository: those that a condition on the link's own columns
    /// tells.
    pub(super) async fn unlink_where(
        &mut self,
        repository: RepositoryId,
        condition: &str,
        values: Vec<Value>,
    ) -> Result<(), StoreError> {
        let mut all = values![repository];
        all.extend(values);
        let of = format!("repository_id = ? AND {condition}");
        if self.counts_links().await? {
            let sql =
                format!("SELECT b.id, b.size FROM qr_blob_link JOIN qr_blob b ON b.id = blob_id WHERE {of}");
            for row in self.rows(sql, all.clone()).await? {
                self.count_link(repository, row.int(0)?, row.int(1)?, -1);
            }
        }
        self.defer(format!("DELETE FROM qr_blob_link WHERE {of}"), all)
            .await
    }

    /// Whether links are counted. If not, those that do count are told once that they miss something.
    pub(super) async fn counts_links(&mut self) -> Result<bool, StoreError> {
        let counting = self.counting();
        if counting.told.is_some() && !std::mem::replace(&mut counting.tells, true) {
            self.defer(
                "UPDATE qr_usage_epoch SET epoch = epoch + 1, counting = 0 WHERE id = 1 AND counting = 1",
                Vec::new(),
            )
            .await?;
        }
        Ok(self.counting().is_on())
    }

    /// Notes that an upload's session ends, with what it was promised.
    pub(super) async fn count_upload(&mut self, id: &str) -> Result<Option<(RepositoryId, i64)>, StoreError> {
        if !self.counting().is_on() {
            return Ok(None);
        }
        let sql = "SELECT repository_id, reserved_bytes FROM qr_upload WHERE id = ?";
        let sql = format!("{sql}{}", self.dialect().for_update());
        let row = self.row(sql, values![id]).await?;
        row.map(|row| Ok((row.int(0)?, row.int(1)?))).transpose()
    }

    pub(super) fn count_reserved(&mut self, repository: RepositoryId, bytes: i64) {
        if bytes != 0 {
            *self.counting().reserved.entry(repository).or_insert(0) += bytes;
        }
    }

    /// Brings the counts up to date with everything that was done.
    pub(super) async fn count_all(&mut self) -> Result<(), StoreError> {
        let counting = self.counting();
        let of_links = counting.links.keys().map(|(repository, _)| *repository);
        let pending: BTreeSet<RepositoryId> = of_links.chain(counting.reserved.keys().copied()).collect();
        for repository in pending {
            self.count(repository).await?;
        }
        Ok(())
    }

    async fn namespace_of(&mut self, repository: RepositoryId) -> Result<i64, StoreError> {
        if let Some(id) = self.counting().namespaces.get(&repository) {
            return Ok(*id);
        }
        let sql = "SELECT namespace_id FROM qr_repository WHERE id = ?";
        let row = self.row(sql, values![repository]).await?;
        let namespace = row.ok_or_else(|| corrupt("a repository is missing"))?.int(0)?;
        self.counting().namespaces.insert(repository, namespace);
        Ok(namespace)
    }

    /// A row of what is used, locked. Makes it, and counts what there is, when nobody has.
    async fn used(&mut self, kind: i64, owner: i64) -> Result<(UsedRow, bool), StoreError> {
        let sql = format!(
            "SELECT {USED_COLUMNS}, (SELECT e.epoch FROM qr_usage_epoch e WHERE e.id = 1) FROM qr_usage \
             WHERE kind = ? AND owner_id = ?{}",
            self.dialect().for_update()
        );
        let mut row = self.row(sql.as_str().to_owned(), values![kind, owner]).await?;
        if row.is_none() {
            self.ensure(
                "qr_usage",
                &[
                    "kind",
                    "owner_id",
                    "used_bytes = 0",
                    "reserved_bytes = 0",
                    "epoch = -1",
                    "recount_bytes = 0",
                ],
                values![kind, owner],
                &["kind", "owner_id"],
            )
            .await?;
            row = self.row(sql, values![kind, owner]).await?;
        }
        let row = row.ok_or_else(|| corrupt("what is used is missing"))?;
        let (mut used, epoch) = (UsedRow::of(&row, 0)?, row.int(6)?);
        if used.epoch == epoch {
            return Ok((used, false));
        }
        // From here on it is counted again, whatever it was that was not.
        self.defer(
            "UPDATE qr_usage_epoch SET counting = 1 WHERE id = 1 AND counting = 0",
            Vec::new(),
        )
        .await?;
        used = UsedRow {
            used: 0,
            reserved: self.promised(kind, owner).await?,
            epoch,
            recount: 0,
            recount_to: Some(0),
            counted: None,
        };
        self.count_on(kind, owner, &mut used, AT_ONCE, None).await?;
        Ok((used, true))
    }

    /// What the uploads on their way have been promised.
    async fn promised(&mut self, kind: i64, owner: i64) -> Result<i64, StoreError> {
        let of = match kind {
            NAMESPACE => "SELECT r.id FROM qr_repository r WHERE r.namespace_id = ?",
            _ => "SELECT r.id FROM qr_repository r WHERE r.id = ?",
        };
        let sql = format!(
            "SELECT CAST(COALESCE(SUM(reserved_bytes), 0) AS BIGINT) FROM qr_upload WHERE repository_id IN ({of})"
        );
        self.row(sql, values![owner])
            .await?
            .map_or(Ok(0), |row| row.int(0))
    }

    /// Counts blobs behind those that have been counted. What is not counted up to its end is left for later.
    async fn count_on(
        &mut self,
        kind: i64,
        owner: i64,
        used: &mut UsedRow,
        batch: usize,
        now: Option<Timestamp>,
    ) -> Result<usize, StoreError> {
        let Some(from) = used.recount_to else { return Ok(0) };
        let rows = if kind == REGISTRY {
            let sql = "SELECT id, size FROM qr_blob WHERE id > ? ORDER BY id LIMIT ?";
            self.rows(sql, values![from, limit(batch)]).await?
        } else {
            let column = if kind == NAMESPACE {
                "namespace_id"
            } else {
                "repository_id"
            };
            let sql = format!(
                "SELECT b.id, b.size FROM (SELECT l.blob_id FROM qr_blob_link l WHERE l.{column} = ? \
                 AND l.blob_id > ? ORDER BY l.blob_id LIMIT ?) n JOIN qr_blob b ON b.id = n.blob_id ORDER BY b.id"
            );
            self.rows(sql, values![owner, from, limit(batch)]).await?
        };
        let mut last = from;
        for row in &rows {
            let blob = row.int(0)?;
            if blob > last {
                used.recount = used.recount.saturating_add(row.int(1)?);
                last = blob;
            }
        }
        if rows.len() < batch {
            if kind != REGISTRY {
                used.reserved = self.promised(kind, owner).await?;
            }
            used.used = used.recount;
            used.recount_to = None;
            used.counted = Some(now.map_or(0, Timestamp::as_millis));
        } else {
            used.recount_to = Some(last);
        }
        Ok(rows.len())
    }

    async fn save_used(&mut self, kind: i64, owner: i64, used: &UsedRow) -> Result<(), StoreError> {
        self.defer(
            "UPDATE qr_usage SET used_bytes = ?, reserved_bytes = ?, epoch = ?, recount_bytes = ?, recount_to = ?, \
             counted_ms = ? WHERE kind = ? AND owner_id = ?",
            values![
                used.used,
                used.reserved.max(0),
                used.epoch,
                used.recount,
                used.recount_to,
                used.counted,
                kind,
                owner
            ],
        )
        .await
    }

    /// Brings the counts of a repository and its namespace up to date, and locks them.
    async fn count(&mut self, repository: RepositoryId) -> Result<(UsedRow, UsedRow), StoreError> {
        let namespace = self.namespace_of(repository).await?;
        let counting = self.counting();
        let mut links: Vec<(i64, i64, i64)> = Vec::new();
        counting.links.retain(|(of, blob), (by, size)| {
            if *of == repository && *by != 0 {
                links.push((*blob, by.signum(), *size));
            }
            *of != repository
        });
        let reserved = counting.reserved.remove(&repository).unwrap_or(0);
        let (mut own, fresh) = self.used(REPOSITORY, repository).await?;
        let changes = links.iter().map(|(blob, by, size)| (*blob, by * size));
        let grown = if fresh {
            changes.map(|(_, bytes)| bytes).sum()
        } else {
            own.reserved += reserved;
            own.change(changes)
        };
        *self.counting().grown.entry((REPOSITORY, repository)).or_insert(0) += grown;
        self.save_used(REPOSITORY, repository, &own).await?;
        let (mut all, fresh) = self.used(NAMESPACE, namespace).await?;
        let elsewhere = self.held_elsewhere(namespace, repository, &links).await?;
        let changes = links.iter().filter(|(blob, _, _)| !elsewhere.contains(blob));
        let changes = changes.map(|(blob, by, size)| (*blob, by * size));
        let grown = if fresh {
            changes.map(|(_, bytes)| bytes).sum()
        } else {
            all.reserved += reserved;
            all.change(changes)
        };
        *self.counting().grown.entry((NAMESPACE, namespace)).or_insert(0) += grown;
        self.save_used(NAMESPACE, namespace, &all).await?;
        Ok((all, own))
    }

    /// Which of these blobs other repositories of the namespace are linked to.
    async fn held_elsewhere(
        &mut self,
        namespace: i64,
        repository: RepositoryId,
        links: &[(i64, i64, i64)],
    ) -> Result<BTreeSet<i64>, StoreError> {
        let mut found = BTreeSet::new();
        let blobs: Vec<i64> = links.iter().map(|(blob, _, _)| *blob).collect();
        for chunk in blobs.chunks(LIST) {
            let sql = format!(
                "SELECT b.id FROM qr_blob b WHERE b.id IN ({}) AND (SELECT l.repository_id FROM qr_blob_link l \
                 WHERE l.namespace_id = ? AND l.blob_id = b.id AND l.repository_id <> ? LIMIT 1) IS NOT NULL",
                placeholders(chunk.len())
            );
            let mut values = filled(chunk.iter().map(|blob| Value::Int(*blob)).collect());
            values.extend(values![namespace, repository]);
            for row in self.rows(sql, values).await? {
                found.insert(row.int(0)?);
            }
        }
        Ok(found)
    }

    /// Forgets what a repository uses that goes, and its namespace if that has gone.
    pub(super) async fn drop_used(
        &mut self,
        repository: RepositoryId,
        namespace: i64,
    ) -> Result<(), StoreError> {
        self.defer(
            "DELETE FROM qr_usage WHERE kind = 1 AND owner_id = ?",
            values![repository],
        )
        .await?;
        self.defer(
            "DELETE FROM qr_usage WHERE kind = 0 AND owner_id = ? \
             AND (SELECT n.id FROM qr_namespace n WHERE n.id = qr_usage.owner_id) IS NULL",
            values![namespace],
        )
        .await
    }

    /// The row that an owner of quotas has; a namespace gets one.
    async fn owner(&mut self, owner: &QuotaOwner) -> Result<(&'static str, i64), StoreError> {
        match owner {
            QuotaOwner::Repository(id) => Ok(("repository_id", *id)),
            QuotaOwner::Namespace(name) => {
                self.ensure("qr_namespace", &["name"], values![name.as_str()], &["name"])
                    .await?;
                let sql = "SELECT id FROM qr_namespace WHERE name = ?";
                let row = self.row(sql, values![name.as_str()]).await?;
                let id = row.ok_or_else(|| corrupt("a namespace is missing"))?.int(0)?;
                Ok(("namespace_id", id))
            }
        }
    }
}

fn bytes(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

#[async_trait]
impl QuotaStore for Unit {
    async fn usage(&mut self, repository: RepositoryId) -> Result<Usage, StoreError> {
        let rows = self
            .rows(overview("r.id = ?"), values![repository, repository])
            .await?;
        let first = rows.first().ok_or_else(|| corrupt("a repository is missing"))?;
        let namespace = first.int(1)?;
        self.counting().namespaces.insert(repository, namespace);
        let quotas = [NAMESPACE, REPOSITORY].map(|kind| quota_in(of_kind(&rows, kind), 9));
        let [of_namespace, of_repository] = quotas;
        let (all, own) = self.count(repository).await?;
        let grown = &self.counting().grown;
        let grown = |key| grown.get(&key).copied().unwrap_or(0);
        Ok(Usage {
            namespace: all.shown(grown((NAMESPACE, namespace)), of_namespace?),
            repository: own.shown(grown((REPOSITORY, repository)), of_repository?),
        })
    }

    async fn reserve(&mut self, upload: &str, bytes_in_all: u64) -> Result<bool, StoreError> {
        let Some((repository, before)) = self.count_upload(upload).await? else {
            return Ok(false);
        };
        let after = bytes(bytes_in_all);
        self.defer(
            "UPDATE qr_upload SET reserved_bytes = ? WHERE id = ?",
            values![after, upload],
        )
        .await?;
        self.count_reserved(repository, after.saturating_sub(before));
        Ok(true)
    }

    async fn quota(&mut self, owner: &QuotaOwner) -> Result<Option<Quota>, StoreError> {
        let (condition, value) = match owner {
            QuotaOwner::Repository(id) => ("q.repository_id = ?", Value::Int(*id)),
            QuotaOwner::Namespace(name) => (
                "q.namespace_id = (SELECT n.id FROM qr_namespace n WHERE n.name = ?)",
                Value::Text(name.clone()),
            ),
        };
        let sql = format!(
            "SELECT q.id, q.limit_bytes, l.id, l.kind, l.percent FROM qr_quota q \
             LEFT JOIN qr_quota_limit l ON l.quota_id = q.id WHERE {condition} ORDER BY l.id"
        );
        let rows = self.rows(sql, vec![value]).await?;
        quota_in(rows.iter(), 0)
    }

    async fn insert_quota(
        &mut self,
        owner: &QuotaOwner,
        limit_bytes: u64,
    ) -> Result<Option<i64>, StoreError> {
        let (column, id) = self.owner(owner).await?;
        self.insert_new_id(
            "qr_quota",
            &[column, "limit_bytes"],
            values![id, bytes(limit_bytes)],
            &[column],
        )
        .await
    }

    async fn resize_quota(&mut self, quota: i64, limit_bytes: u64) -> Result<(), StoreError> {
        self.defer(
            "UPDATE qr_quota SET limit_bytes = ? WHERE id = ?",
            values![bytes(limit_bytes), quota],
        )
        .await
    }

    async fn delete_quota(&mut self, quota: i64) -> Result<(), StoreError> {
        self.defer("DELETE FROM qr_quota WHERE id = ?", values![quota])
            .await
    }

    async fn insert_limit(
        &mut self,
        quota: i64,
        kind: QuotaLimitKind,
        percent: u32,
    ) -> Result<i64, StoreError> {
        self.insert(
            "INSERT INTO qr_quota_limit (quota_id, kind, percent) VALUES (?, ?, ?)",
            values![quota, kind.as_str(), i64::from(percent)],
        )
        .await
    }

    async fn save_limit(&mut self, limit: &QuotaLimit) -> Result<(), StoreError> {
        self.defer(
            "UPDATE qr_quota_limit SET kind = ?, percent = ? WHERE id = ?",
            values![limit.kind.as_str(), i64::from(limit.percent), limit.id],
        )
        .await
    }

    async fn delete_limit(&mut self, limit: i64) -> Result<(), StoreError> {
        self.defer("DELETE FROM qr_quota_limit WHERE id = ?", values![limit])
            .await
    }

    async fn queue_recount(&mut self, owner: &QuotaOwner) -> Result<(), StoreError> {
        let (column, id) = self.owner(owner).await?;
        let kind = if column == "namespace_id" {
            NAMESPACE
        } else {
            REPOSITORY
        };
        let (mut used, _) = self.used(kind, id).await?;
        if used.recount_to.is_none() {
            (used.recount, used.recount_to) = (0, Some(0));
        }
        self.save_used(kind, id, &used).await
    }

    async fn recount(&mut self, batch: usize, now: Timestamp) -> Result<bool, StoreError> {
        let sql = format!(
            "SELECT kind, owner_id, {USED_COLUMNS} FROM qr_usage WHERE recount_to IS NOT NULL ORDER BY recount_to DESC \
             LIMIT 1{}",
            self.dialect().skip_locked()
        );
        let Some(row) = self.row(sql, Vec::new()).await? else {
            return Ok(false);
        };
        let (kind, owner, mut used) = (row.int(0)?, row.int(1)?, UsedRow::of(&row, 2)?);
        self.count_on(kind, owner, &mut used, batch, Some(now)).await?;
        self.save_used(kind, owner, &used).await?;
        Ok(true)
    }

    async fn registry_size(&mut self) -> Result<RegistrySize, StoreError> {
        let sql = format!("SELECT {USED_COLUMNS} FROM qr_usage WHERE kind = 2 AND owner_id = 0");
        let Some(row) = self.row(sql, Vec::new()).await? else {
            return Ok(RegistrySize::default());
        };
        let used = UsedRow::of(&row, 0)?;
        Ok(RegistrySize::new(
            u64::try_from(used.used).unwrap_or(0),
            used.counted.map(Timestamp::from_millis),
            used.recount_to.is_some(),
            used.recount_to.is_some_and(|to| to > 0),
        ))
    }

    async fn queue_registry_size(&mut self) -> Result<bool, StoreError> {
        self.ensure(
            "qr_usage",
            &[
                "kind = 2",
                "owner_id = 0",
                "used_bytes = 0",
                "reserved_bytes = 0",
                "epoch = 0",
                "recount_bytes = 0",
            ],
            Vec::new(),
            &["kind", "owner_id"],
        )
        .await?;
        let queued = self
            .run(
                "UPDATE qr_usage SET recount_bytes = 0, recount_to = 0 WHERE kind = 2 AND owner_id = 0 \
                 AND recount_to IS NULL",
                Vec::new(),
            )
            .await?;
        Ok(queued > 0)
    }
}
