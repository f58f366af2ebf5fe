//! The life of tags: policies, tasks and pulls.

use async_trait::async_trait;
use quay_core::metadata::{
    LifecycleStore, PolicyKind, PolicyOwner, PolicyRecord, PolicyTask, PullCount, PullTotal, PulledAs,
    RatedTag, RepositoryId, TagPosition,
};
use quay_core::runtime::Timestamp;
use quay_core::{Digest, StoreError, Tag};

use super::SqlMetadata;
use super::db::{LIST, Row, Value, corrupt, padded, placeholders, values};
use super::read::limit as count;
use super::rows::Rows;
use super::tags::{COLUMNS, tag_of};
use super::unit::Unit;

/// How often a claim that somebody else was faster with looks for another task.
const CLAIMS: usize = 8;

fn kind_of(row: &Row, index: usize) -> Result<PolicyKind, StoreError> {
    let text = row.text(index)?;
    PolicyKind::from_name(&text).ok_or_else(|| corrupt(&text))
}

fn owner_of(row: &Row, index: usize) -> Result<PolicyOwner, StoreError> {
    let text = row.text(index)?;
    PolicyOwner::from_key(&text).ok_or_else(|| corrupt(&text))
}

async fn policies(
    rows: &mut impl Rows,
    kind: PolicyKind,
    owners: &[PolicyOwner],
) -> Result<Vec<PolicyRecord>, StoreError> {
    let keys: Vec<String> = owners.iter().map(PolicyOwner::key).collect();
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!(
        "SELECT uuid, kind, owner, content FROM qr_policy WHERE kind = ? AND owner IN ({}) ORDER BY id",
        placeholders(keys.len())
    );
    let mut values = values![kind.as_str()];
    values.extend(padded(&keys));
    let mut found = Vec::new();
    for row in rows.rows(sql, values).await? {
        found.push(PolicyRecord::new(
            row.text(0)?,
            kind_of(&row, 1)?,
            owner_of(&row, 2)?,
            row.text(3)?,
        ));
    }
    found.sort_by_key(|policy| owners.iter().position(|owner| *owner == policy.owner));
    Ok(found)
}

impl SqlMetadata {
    pub(super) async fn read_pulls(
        &self,
        repository: RepositoryId,
        of: PulledAs<'_>,
    ) -> Result<PullTotal, StoreError> {
        let (column, value) = match of {
            PulledAs::Manifest(digest) => ("digest", digest.to_string()),
            PulledAs::Tag(tag) => ("tag", tag.as_str().to_owned()),
        };
        let sql = format!(
            "SELECT CAST(COALESCE(SUM(pulls), 0) AS BIGINT), COALESCE(MAX(last_ms), 0) FROM qr_pull \
             WHERE repository_id = ? AND {column} = ?"
        );
        let rows = self.rows(sql, values![repository, value]).await?;
        let Some(row) = rows.first() else {
            return Ok(PullTotal::default());
        };
        let pulls = row.size(0)?;
        let last = Timestamp::from_millis(row.int(1)?);
        Ok(PullTotal::new(pulls, (pulls > 0).then_some(last)))
    }

    pub(super) async fn read_policies(
        &self,
        kind: PolicyKind,
        owners: &[PolicyOwner],
    ) -> Result<Vec<PolicyRecord>, StoreError> {
        policies(&mut &*self, kind, owners).await
    }
}

const TASK: [&str; 5] = ["kind", "owner", "due_ms", "version", "place = NULL"];

/// A new task's values. Its version is above those that an earlier task of the name can have had.
fn task_values(kind: PolicyKind, owner: &PolicyOwner, due: Timestamp) -> Vec<Value> {
    values![kind.as_str(), owner.key(), due.as_millis(), due.as_millis()]
}

#[async_trait]
impl LifecycleStore for Unit {
    async fn insert_policy(&mut self, policy: &PolicyRecord) -> Result<(), StoreError> {
        let values = values![
            policy.uuid.as_str(),
            policy.kind.as_str(),
            policy.owner.key(),
            policy.content.as_str()
        ];
        let sql = "INSERT INTO qr_policy (uuid, kind, owner, content) VALUES (?, ?, ?, ?)";
        self.insert(sql, values).await.map(drop)
    }

    async fn save_policy(&mut self, policy: &PolicyRecord) -> Result<bool, StoreError> {
        let changed = self
            .run(
                "UPDATE qr_policy SET content = ? WHERE uuid = ? AND kind = ? AND owner = ?",
                values![
                    policy.content.as_str(),
                    policy.uuid.as_str(),
                    policy.kind.as_str(),
                    policy.owner.key()
                ],
            )
            .await?;
        Ok(changed > 0)
    }

    async fn delete_policy(
        &mut self,
        kind: PolicyKind,
        owner: &PolicyOwner,
        uuid: &str,
    ) -> Result<bool, StoreError> {
        let sql = "DELETE FROM qr_policy WHERE uuid = ? AND kind = ? AND owner = ?";
        let deleted = self.run(sql, values![uuid, kind.as_str(), owner.key()]).await?;
        Ok(deleted > 0)
    }

    async fn policies(
        &mut self,
        kind: PolicyKind,
        owners: &[PolicyOwner],
    ) -> Result<Vec<PolicyRecord>, StoreError> {
        policies(self, kind, owners).await
    }

    async fn rated_tags(
        &mut self,
        repository: RepositoryId,
        after: Option<&TagPosition>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Vec<RatedTag>, StoreError> {
        let mut values = values![repository, now.as_millis()];
        let mut behind = "";
        if let Some(after) = after {
            behind = "AND h.start_ms <= ? AND (h.start_ms < ? OR h.name > ?)";
            values.extend(values![after.start, after.start, after.name.as_str()]);
        }
        values.push(count(limit).into());
        // The rows alone first, in the order of their index.
        let sql = format!(
            "SELECT {COLUMNS}, \
             (SELECT MAX(p.last_ms) FROM qr_pull p WHERE p.repository_id = t.repository_id AND p.tag = t.name), \
             (SELECT MAX(p.last_ms) FROM qr_pull p WHERE p.repository_id = t.repository_id \
             AND p.digest = m.digest AND p.tag = '') \
             FROM (SELECT * FROM qr_tag h WHERE h.repository_id = ? AND h.hidden = 0 AND h.live = 1 \
             AND (h.end_ms IS NULL OR h.end_ms > ?) {behind} ORDER BY h.start_ms DESC, h.name LIMIT ?) AS t \
             JOIN qr_manifest m ON m.id = t.manifest_id ORDER BY t.start_ms DESC, t.name"
        );
        let mut rated = Vec::new();
        for row in self.rows(sql, values).await? {
            let columns = super::tags::COUNT;
            let pulled = row.opt_int(columns)?.max(row.opt_int(columns + 1)?);
            rated.push(RatedTag::new(tag_of(&row)?, pulled.map(Timestamp::from_millis)));
        }
        Ok(rated)
    }

    async fn set_immutable(
        &mut self,
        repository: RepositoryId,
        names: &[Tag],
        immutable: bool,
    ) -> Result<(), StoreError> {
        for chunk in names.chunks(LIST) {
            let sql = format!(
                "UPDATE qr_tag SET immutable = ? WHERE repository_id = ? AND live = 1 AND name IN ({})",
                placeholders(chunk.len())
            );
            let mut values = values![immutable, repository];
            values.extend(padded(chunk));
            self.defer(sql, values).await?;
        }
        Ok(())
    }

    async fn schedule(
        &mut self,
        kind: PolicyKind,
        owner: &PolicyOwner,
        due: Timestamp,
    ) -> Result<(), StoreError> {
        let values = task_values(kind, owner, due);
        let changes = ["due_ms", "version = qr_policy_task.version + 1", "place = NULL"];
        self.upsert("qr_policy_task", &TASK, values, &["kind", "owner"], &changes)
            .await
    }

    async fn ensure_scheduled(
        &mut self,
        kind: PolicyKind,
        owner: &PolicyOwner,
        due: Timestamp,
    ) -> Result<(), StoreError> {
        let values = task_values(kind, owner, due);
        self.ensure("qr_policy_task", &TASK, values, &["kind", "owner"])
            .await
    }

    async fn claim_task(
        &mut self,
        kinds: &[PolicyKind],
        until: Timestamp,
        now: Timestamp,
    ) -> Result<Option<PolicyTask>, StoreError> {
        for _ in 0..CLAIMS {
            let mut first: Option<(i64, PolicyTask)> = None;
            for kind in kinds {
                let sql = "SELECT kind, owner, version, place, due_ms FROM qr_policy_task \
                           WHERE kind = ? AND due_ms <= ? ORDER BY due_ms LIMIT 1";
                let row = self.row(sql, values![kind.as_str(), now.as_millis()]).await?;
                let Some(row) = row else { continue };
                let version = row.int(2)?;
                let task = PolicyTask::new(kind_of(&row, 0)?, owner_of(&row, 1)?, version, row.opt_text(3)?);
                let due = row.int(4)?;
                if first.as_ref().is_none_or(|(earlier, _)| due < *earlier) {
                    first = Some((due, task));
                }
            }
            let Some((_, mut task)) = first else {
                return Ok(None);
            };
            let values = values![
                until.as_millis(),
                task.kind.as_str(),
                task.owner.key(),
                task.version
            ];
            let sql = "UPDATE qr_policy_task SET due_ms = ?, version = version + 1 \
                       WHERE kind = ? AND owner = ? AND version = ?";
            if self.run(sql, values).await? > 0 {
                task.version = task.version.saturating_add(1);
                return Ok(Some(task));
            }
        }
        Ok(None)
    }

    async fn proceed(
        &mut self,
        task: &PolicyTask,
        place: Option<&str>,
        due: Timestamp,
    ) -> Result<bool, StoreError> {
        let values = values![
            place,
            due.as_millis(),
            task.kind.as_str(),
            task.owner.key(),
            task.version
        ];
        let sql = "UPDATE qr_policy_task SET place = ?, due_ms = ?, version = version + 1 \
                   WHERE kind = ? AND owner = ? AND version = ?";
        Ok(self.run(sql, values).await? > 0)
    }

    async fn finish(&mut self, task: &PolicyTask) -> Result<bool, StoreError> {
        let sql = "DELETE FROM qr_policy_task WHERE kind = ? AND owner = ? AND version = ?";
        let values = values![task.kind.as_str(), task.owner.key(), task.version];
        Ok(self.run(sql, values).await? > 0)
    }

    async fn count_pulls(&mut self, pulls: &[PullCount]) -> Result<(), StoreError> {
        let tag = |pull: &PullCount| pull.tag.as_ref().map_or("", Tag::as_str).to_owned();
        let mut pulls: Vec<&PullCount> = pulls.iter().collect();
        // Locked in one order by everybody.
        pulls.sort_by_key(|pull| (pull.repository, pull.digest.to_string(), tag(pull)));
        let sql = self.dialect().pulls_counted();
        for pull in pulls {
            let values = values![
                tag(pull),
                i64::try_from(pull.pulls).unwrap_or(i64::MAX),
                pull.last.as_millis(),
                pull.repository,
                pull.digest.to_string()
            ];
            self.defer(sql.clone(), values).await?;
        }
        Ok(())
    }

    async fn pulls_of(
        &mut self,
        repository: RepositoryId,
        digest: &Digest,
    ) -> Result<Vec<PullCount>, StoreError> {
        let sql = "SELECT tag, pulls, last_ms FROM qr_pull WHERE repository_id = ? AND digest = ?";
        let rows = self.rows(sql, values![repository, digest.to_string()]).await?;
        let pull_of = |row: &Row| {
            let tag = row.text(0)?;
            let tag = if tag.is_empty() {
                None
            } else {
                Some(tag.parse().map_err(|_| corrupt(&tag))?)
            };
            let last = Timestamp::from_millis(row.int(2)?);
            Ok(PullCount::new(repository, *digest, tag, row.size(1)?, last))
        };
        rows.iter().map(pull_of).collect()
    }
}

impl Unit {
    /// Removes what is recorded of manifests' pulls.
    pub(super) async fn forget_pulls(
        &mut self,
        repository: RepositoryId,
        digests: &[Digest],
    ) -> Result<(), StoreError> {
        for chunk in digests.chunks(LIST) {
            let sql = format!(
                "DELETE FROM qr_pull WHERE repository_id = ? AND digest IN ({})",
                placeholders(chunk.len())
            );
            let mut values = values![repository];
            values.extend(padded(chunk));
            self.defer(sql, values).await?;
        }
        Ok(())
    }

    /// Removes the policies and tasks of an owner that goes.
    pub(super) async fn forget_policies(&mut self, owner: &PolicyOwner) -> Result<(), StoreError> {
        for sql in [
            "DELETE FROM qr_policy WHERE owner = ?",
            "DELETE FROM qr_policy_task WHERE owner = ?",
        ] {
            self.defer(sql, values![owner.key()]).await?;
        }
        Ok(())
    }

    /// Has the policies and tasks of a namespace follow its name. What an earlier namespace of the name left goes.
    pub(super) async fn rename_policies(&mut self, from: &str, to: &str) -> Result<(), StoreError> {
        let (from, to) = (
            PolicyOwner::Namespace(from.to_owned()),
            PolicyOwner::Namespace(to.to_owned()),
        );
        self.forget_policies(&to).await?;
        for sql in [
            "UPDATE qr_policy SET owner = ? WHERE owner = ?",
            "UPDATE qr_policy_task SET owner = ?, version = version + 1, place = NULL WHERE owner = ?",
        ] {
            self.defer(sql, values![to.key(), from.key()]).await?;
        }
        Ok(())
    }
}
