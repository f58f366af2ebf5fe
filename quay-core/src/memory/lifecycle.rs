//! The life of tags in memory.

use std::sync::Arc;

use async_trait::async_trait;

use super::metadata::State;
use super::unit::MemoryUnit;
use crate::digest::Digest;
use crate::error::{StoreError, StoreErrorKind};
use crate::metadata::{
    LifecycleStore, PolicyKind, PolicyOwner, PolicyRecord, PolicyTask, PullCount, PullTotal, PulledAs,
    RatedTag, RepositoryId, TagPosition,
};
use crate::name::Tag;
use crate::runtime::Timestamp;

/// A task as it stands.
#[derive(Debug, Clone)]
pub(super) struct TaskRow {
    due: Timestamp,
    version: i64,
    place: Option<String>,
}

impl State {
    pub(super) fn policies_of(&self, kind: PolicyKind, owners: &[PolicyOwner]) -> Vec<PolicyRecord> {
        let of = |owner: &PolicyOwner| {
            let policies = self.policies.values();
            let policies = policies.filter(|policy| policy.kind == kind && policy.owner == *owner);
            policies.map(|policy| (**policy).clone()).collect::<Vec<_>>()
        };
        owners.iter().flat_map(of).collect()
    }

    fn policy(&self, kind: PolicyKind, owner: &PolicyOwner, uuid: &str) -> Option<i64> {
        let mut policies = self.policies.iter();
        policies.find_map(|(id, policy)| {
            let found = policy.kind == kind && policy.owner == *owner && policy.uuid == uuid;
            found.then_some(*id)
        })
    }

    /// Keys of what is recorded of a manifest's pulls.
    fn pull_keys(&self, repository: RepositoryId, digest: &Digest) -> Vec<(RepositoryId, Digest, String)> {
        let keys = self.pulls.range((repository, *digest, String::new())..);
        keys.map(|(key, _)| key)
            .take_while(|(of, what, _)| (*of, what) == (repository, digest))
            .cloned()
            .collect()
    }

    pub(super) fn pull_total(&self, repository: RepositoryId, of: PulledAs<'_>) -> PullTotal {
        let mut total = PullTotal::default();
        for ((_, digest, tag), (pulls, last)) in self.pulls.iter().filter(|(key, _)| key.0 == repository) {
            let counts = match of {
                PulledAs::Manifest(of) => digest == of,
                PulledAs::Tag(of) => tag == of.as_str(),
            };
            if counts {
                total.pulls = total.pulls.saturating_add(*pulls);
                total.last = total.last.max(Some(*last));
            }
        }
        total
    }
}

impl MemoryUnit {
    /// Forgets what is recorded of a manifest's pulls.
    pub(super) fn forget_pulls(&mut self, repository: RepositoryId, digest: &Digest) {
        for key in self.state.pull_keys(repository, digest) {
            self.state.pulls.remove_mut(&key);
        }
    }

    /// Removes the policies and tasks of a repository.
    pub(super) fn forget_policies(&mut self, repository: RepositoryId) {
        let owner = PolicyOwner::Repository(repository);
        let policies = self.state.policies.iter();
        let ids = policies.filter(|(_, policy)| policy.owner == owner);
        let ids: Vec<i64> = ids.map(|(id, _)| *id).collect();
        for id in ids {
            self.state.policies.remove_mut(&id);
        }
        for kind in [PolicyKind::Prune, PolicyKind::Immutability] {
            self.state.tasks.remove_mut(&(kind, owner.clone()));
        }
    }

    /// The task as it was claimed, if it is still that.
    fn claimed(&self, task: &PolicyTask) -> Option<TaskRow> {
        let row = self.state.tasks.get(&(task.kind, task.owner.clone()))?;
        (row.version == task.version).then(|| row.clone())
    }
}

#[async_trait]
impl LifecycleStore for MemoryUnit {
    async fn insert_policy(&mut self, policy: &PolicyRecord) -> Result<(), StoreError> {
        let mut policies = self.state.policies.values();
        if policies.any(|known| known.uuid == policy.uuid) {
            let context = "a policy of that uuid is there";
            return Err(StoreError::new(StoreErrorKind::Conflict, context));
        }
        let id = self.next_id();
        self.state.policies.insert_mut(id, Arc::new(policy.clone()));
        Ok(())
    }

    async fn save_policy(&mut self, policy: &PolicyRecord) -> Result<bool, StoreError> {
        let Some(id) = self.state.policy(policy.kind, &policy.owner, &policy.uuid) else {
            return Ok(false);
        };
        self.state.policies.insert_mut(id, Arc::new(policy.clone()));
        Ok(true)
    }

    async fn delete_policy(
        &mut self,
        kind: PolicyKind,
        owner: &PolicyOwner,
        uuid: &str,
    ) -> Result<bool, StoreError> {
        let found = self.state.policy(kind, owner, uuid);
        Ok(found.is_some_and(|id| self.state.policies.remove_mut(&id)))
    }

    async fn policies(
        &mut self,
        kind: PolicyKind,
        owners: &[PolicyOwner],
    ) -> Result<Vec<PolicyRecord>, StoreError> {
        Ok(self.state.policies_of(kind, owners))
    }

    async fn rated_tags(
        &mut self,
        repository: RepositoryId,
        after: Option<&TagPosition>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Vec<RatedTag>, StoreError> {
        let Ok(first) = Tag::new("0") else {
            return Ok(Vec::new());
        };
        let live = self.state.live_tags.range((repository, first)..);
        let names: Vec<Tag> = live
            .map(|(key, _)| key)
            .take_while(|(of, _)| *of == repository)
            .map(|(_, name)| name.clone())
            .collect();
        let mut rated = Vec::new();
        for name in names {
            let Some(row) = self.state.live_tag(repository, &name, now) else {
                continue;
            };
            let tag = self.tag_record(&name, row)?;
            let pulls = self.state.pulls.iter();
            let pulls = pulls.filter(|((of, digest, by), _)| {
                let by_digest = by.is_empty() && *digest == tag.digest;
                *of == repository && (by_digest || by == name.as_str())
            });
            let pulled = pulls.map(|(_, (_, last))| *last).max();
            rated.push(RatedTag::new(tag, pulled));
        }
        rated.retain(|rated| {
            let (start, name) = (rated.tag.start.as_millis(), rated.tag.name.as_str());
            after.is_none_or(|after| start < after.start || (start == after.start && *name > *after.name))
        });
        rated.sort_by(|left, right| {
            let starts = right.tag.start.cmp(&left.tag.start);
            starts.then_with(|| left.tag.name.cmp(&right.tag.name))
        });
        rated.truncate(limit);
        Ok(rated)
    }

    async fn set_immutable(
        &mut self,
        repository: RepositoryId,
        names: &[Tag],
        immutable: bool,
    ) -> Result<(), StoreError> {
        for name in names {
            let live = self.state.live_tags.get(&(repository, name.clone())).copied();
            let Some(id) = live else { continue };
            let key = (repository, name.clone(), id);
            if let Some(mut row) = self.state.tags.get(&key).cloned() {
                row.immutable = immutable;
                self.state.tags.insert_mut(key, row);
            }
        }
        Ok(())
    }

    async fn schedule(
        &mut self,
        kind: PolicyKind,
        owner: &PolicyOwner,
        due: Timestamp,
    ) -> Result<(), StoreError> {
        // Versions never repeat, so that nobody who has claimed an earlier task of the name takes this one for it.
        let version = self.next_id();
        let row = TaskRow {
            due,
            version,
            place: None,
        };
        self.state.tasks.insert_mut((kind, owner.clone()), row);
        Ok(())
    }

    async fn ensure_scheduled(
        &mut self,
        kind: PolicyKind,
        owner: &PolicyOwner,
        due: Timestamp,
    ) -> Result<(), StoreError> {
        if self.state.tasks.contains_key(&(kind, owner.clone())) {
            return Ok(());
        }
        self.schedule(kind, owner, due).await
    }

    async fn claim_task(
        &mut self,
        kinds: &[PolicyKind],
        until: Timestamp,
        now: Timestamp,
    ) -> Result<Option<PolicyTask>, StoreError> {
        let tasks = self.state.tasks.iter();
        let due = tasks.filter(|((kind, _), row)| kinds.contains(kind) && row.due <= now);
        let first = due.min_by_key(|(_, row)| row.due);
        let Some((key, row)) = first.map(|(key, row)| (key.clone(), row.clone())) else {
            return Ok(None);
        };
        let version = self.next_id();
        let task = PolicyTask::new(key.0, key.1.clone(), version, row.place.clone());
        let row = TaskRow {
            due: until,
            version,
            ..row
        };
        self.state.tasks.insert_mut(key, row);
        Ok(Some(task))
    }

    async fn proceed(
        &mut self,
        task: &PolicyTask,
        place: Option<&str>,
        due: Timestamp,
    ) -> Result<bool, StoreError> {
        if self.claimed(task).is_none() {
            return Ok(false);
        }
        let row = TaskRow {
            due,
            version: self.next_id(),
            place: place.map(ToOwned::to_owned),
        };
        self.state.tasks.insert_mut((task.kind, task.owner.clone()), row);
        Ok(true)
    }

    async fn finish(&mut self, task: &PolicyTask) -> Result<bool, StoreError> {
        let found = self.claimed(task).is_some();
        Ok(found && self.state.tasks.remove_mut(&(task.kind, task.owner.clone())))
    }

    async fn count_pulls(&mut self, pulls: &[PullCount]) -> Result<(), StoreError> {
        for pull in pulls {
            if !self.state.manifests.contains_key(&(pull.repository, pull.digest)) {
                continue;
            }
            let tag = pull.tag.as_ref().map_or("", Tag::as_str).to_owned();
            let key = (pull.repository, pull.digest, tag);
            let (pulls, last) = self.state.pulls.get(&key).copied().unwrap_or((0, pull.last));
            let row = (pulls.saturating_add(pull.pulls), last.max(pull.last));
            self.state.pulls.insert_mut(key, row);
        }
        Ok(())
    }

    async fn pulls_of(
        &mut self,
        repository: RepositoryId,
        digest: &Digest,
    ) -> Result<Vec<PullCount>, StoreError> {
        let keys = self.state.pull_keys(repository, digest);
        let counts = keys.into_iter().filter_map(|key| {
            let (pulls, last) = self.state.pulls.get(&key).copied()?;
            let tag = Tag::new(&key.2).ok();
            Some(PullCount::new(repository, *digest, tag, pulls, last))
        });
        Ok(counts.collect())
    }
}
