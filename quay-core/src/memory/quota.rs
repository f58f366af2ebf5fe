//! Quotas in memory: what is used is added up whenever somebody asks.

use std::sync::{Arc, PoisonError};

use async_trait::async_trait;

use super::metadata::State;
use super::unit::{MemoryUnit, missing};
use crate::digest::Digest;
use crate::error::StoreError;
use crate::metadata::{
    Quota, QuotaLimit, QuotaLimitKind, QuotaOwner, QuotaStore, QuotaUse, RegistrySize, RepositoryId,
    RepositoryRecord, Usage,
};
use crate::runtime::Timestamp;

fn size(state: &State, digest: &Digest) -> u64 {
    state.blobs.get(digest).map_or(0, |blob| blob.size)
}

/// Bytes of the blobs of these repositories, each once.
pub(super) fn used(state: &State, repositories: &[RepositoryId]) -> u64 {
    let mut digests: Vec<&Digest> = repositories
        .iter()
        .flat_map(|id| {
            let links = state.links.range((*id, Digest::lowest())..);
            links
                .map(|((of, digest), _)| (of, digest))
                .take_while(move |(of, _)| *of == id)
                .map(|(_, digest)| digest)
        })
        .collect();
    digests.sort_unstable();
    digests.dedup();
    digests.into_iter().map(|digest| size(state, digest)).sum()
}

fn use_of(state: &State, before: &State, owner: &QuotaOwner, repositories: &[RepositoryId]) -> QuotaUse {
    let uploads = state.uploads.values();
    let reserved = uploads
        .filter(|row| repositories.contains(&row.upload.repository))
        .map(|row| row.reserved)
        .sum();
    let (now, then) = (used(state, repositories), used(before, repositories));
    let grown = i64::try_from(i128::from(now) - i128::from(then)).unwrap_or(i64::MAX);
    QuotaUse::new(now, reserved)
        .with_grown(grown)
        .with_quota(state.quotas.get(owner).map(|quota| (**quota).clone()))
}

/// What a namespace uses, and has used before.
pub(super) fn of_namespace(state: &State, before: &State, namespace: &str) -> QuotaUse {
    let prefix = format!("{namespace}/");
    let repositories: Vec<RepositoryId> = state
        .repositories
        .range(prefix.clone()..)
        .take_while(|(path, _)| path.starts_with(&prefix))
        .map(|(_, record)| record.id)
        .collect();
    let owner = QuotaOwner::Namespace(namespace.to_owned());
    use_of(state, before, &owner, &repositories)
}

/// What a repository and its namespace use, and have used before.
pub(super) fn usage(state: &State, before: &State, record: &RepositoryRecord) -> Usage {
    Usage {
        namespace: of_namespace(state, before, record.name.namespace()),
        repository: use_of(state, before, &QuotaOwner::Repository(record.id), &[record.id]),
    }
}

impl MemoryUnit {
    fn quota_by(&self, found: impl Fn(&Quota) -> bool) -> Result<(QuotaOwner, Quota), StoreError> {
        let mut quotas = self.state.quotas.iter();
        let quota = quotas.find(|(_, quota)| found(quota));
        let (owner, quota) = quota.ok_or_else(|| missing("a quota"))?;
        Ok((owner.clone(), (**quota).clone()))
    }

    fn save_quota(&mut self, owner: QuotaOwner, quota: Quota) {
        self.state.quotas.insert_mut(owner, Arc::new(quota));
    }
}

#[async_trait]
impl QuotaStore for MemoryUnit {
    async fn usage(&mut self, repository: RepositoryId) -> Result<Usage, StoreError> {
        let before = self
            .committed
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let path = self.state.repository_paths.get(&repository);
        let record = path.and_then(|path| self.state.repositories.get(path));
        let record = record.ok_or_else(|| missing("a repository"))?;
        Ok(usage(&self.state, &before, record))
    }

    async fn reserve(&mut self, upload: &str, bytes: u64) -> Result<bool, StoreError> {
        let Some(mut row) = self.state.uploads.get(upload).cloned() else {
            return Ok(false);
        };
        row.reserved = bytes;
        self.state.uploads.insert_mut(upload.to_owned(), row);
        Ok(true)
    }

    async fn quota(&mut self, owner: &QuotaOwner) -> Result<Option<Quota>, StoreError> {
        Ok(self.state.quotas.get(owner).map(|quota| (**quota).clone()))
    }

    async fn insert_quota(
        &mut self,
        owner: &QuotaOwner,
        limit_bytes: u64,
    ) -> Result<Option<i64>, StoreError> {
        if self.state.quotas.contains_key(owner) {
            return Ok(None);
        }
        let id = self.next_id();
        self.save_quota(owner.clone(), Quota::new(id, limit_bytes, Vec::new()));
        Ok(Some(id))
    }

    async fn resize_quota(&mut self, quota: i64, limit_bytes: u64) -> Result<(), StoreError> {
        let (owner, mut found) = self.quota_by(|of| of.id == quota)?;
        found.limit_bytes = limit_bytes;
        self.save_quota(owner, found);
        Ok(())
    }

    async fn delete_quota(&mut self, quota: i64) -> Result<(), StoreError> {
        let (owner, _) = self.quota_by(|of| of.id == quota)?;
        self.state.quotas.remove_mut(&owner);
        Ok(())
    }

    async fn insert_limit(
        &mut self,
        quota: i64,
        kind: QuotaLimitKind,
        percent: u32,
    ) -> Result<i64, StoreError> {
        let (owner, mut found) = self.quota_by(|of| of.id == quota)?;
        let id = self.next_id();
        found.limits.push(QuotaLimit::new(id, kind, percent));
        self.save_quota(owner, found);
        Ok(id)
    }

    async fn save_limit(&mut self, limit: &QuotaLimit) -> Result<(), StoreError> {
        let has = |quota: &Quota| quota.limits.iter().any(|of| of.id == limit.id);
        let (owner, mut found) = self.quota_by(has)?;
        for of in found.limits.iter_mut().filter(|of| of.id == limit.id) {
            *of = *limit;
        }
        self.save_quota(owner, found);
        Ok(())
    }

    async fn delete_limit(&mut self, limit: i64) -> Result<(), StoreError> {
        let has = |quota: &Quota| quota.limits.iter().any(|of| of.id == limit);
        let (owner, mut found) = self.quota_by(has)?;
        found.limits.retain(|of| of.id != limit);
        self.save_quota(owner, found);
        Ok(())
    }

    async fn queue_recount(&mut self, _: &QuotaOwner) -> Result<(), StoreError> {
        // Nothing is remembered that could be wrong.
        Ok(())
    }

    async fn recount(&mut self, _: usize, now: Timestamp) -> Result<bool, StoreError> {
        if self.state.size.queued {
            let bytes = self.state.blobs.values().map(|blob| blob.size).sum();
            self.state.size = RegistrySize::new(bytes, Some(now), false, false);
        }
        Ok(false)
    }

    async fn registry_size(&mut self) -> Result<RegistrySize, StoreError> {
        Ok(self.state.size)
    }

    async fn queue_registry_size(&mut self) -> Result<bool, StoreError> {
        let queued = self.state.size.queued;
        self.state.size.queued = true;
        Ok(!queued)
    }
}
