//! Rows in memory.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use bytes::Bytes;
use futures::lock::Mutex;
use rpds::RedBlackTreeMapSync as Map;

use super::lifecycle::TaskRow;
use super::scan::ScanRow;
use super::unit::MemoryUnit;
use crate::blob_store::UploadState;
use crate::digest::Digest;
use crate::error::StoreError;
use crate::media_type::MediaType;
use crate::metadata::{
    BlobRecord, Edge, EdgeKind, LabelRecord, LinkedBlob, Lookup, ManifestRecord, ManifestScan, MetadataStore,
    NewManifest, NewUpload, PageRequest, PolicyKind, PolicyOwner, PolicyRecord, PullTotal, PulledAs, Quota,
    QuotaOwner, QuotaUse, REFERRERS_BYTES, Referrer, RegistrySize, RepositoryId, RepositoryRecord, TagEntry,
    TagFilter, TagNames, TagPosition, TagRecord, UnitOfWork, UploadRecord, Usage,
};
use crate::name::{Reference, RepositoryName, Tag};
use crate::runtime::Timestamp;

/// A [`MetadataStore`] that forgets everything when it is dropped. Clones share their content.
///
/// Its maps are persistent, so that a unit of work has a copy of its own for nothing and a commit is one
/// assignment.
#[derive(Debug, Clone, Default)]
pub struct MemoryMetadata {
    committed: Arc<RwLock<State>>,
    /// Held by the one unit of work that is open.
    writer: Arc<Mutex<()>>,
}

#[derive(Debug, Clone)]
pub(super) struct ManifestRow {
    pub(super) id: i64,
    pub(super) manifest: Arc<NewManifest>,
    pub(super) edges: Arc<Vec<Edge>>,
    pub(super) live: bool,
    pub(super) lease: Option<Timestamp>,
}

#[derive(Debug, Clone)]
pub(super) struct TagRow {
    pub(super) id: i64,
    pub(super) manifest: i64,
    pub(super) start: Timestamp,
    pub(super) end: Option<Timestamp>,
    pub(super) live: bool,
    pub(super) reversion: bool,
    pub(super) immutable: bool,
}

#[derive(Debug, Clone)]
pub(super) struct UploadRow {
    pub(super) upload: Arc<NewUpload>,
    pub(super) offset: u64,
    pub(super) hash_state: Bytes,
    pub(super) store_state: UploadState,
    pub(super) version: i64,
    pub(super) claimed_until: Timestamp,
    pub(super) updated: Timestamp,
    pub(super) reserved: u64,
}

impl UploadRow {
    pub(super) fn record(&self) -> UploadRecord {
        let mut upload = (*self.upload).clone();
        upload.store_state = self.store_state.clone();
        UploadRecord::new(
            upload,
            self.offset,
            self.hash_state.clone(),
            self.version,
            self.updated,
        )
        .with_reserved(self.reserved)
    }
}

#[derive(Debug, Clone)]
pub(super) struct OutboxEntry {
    pub(super) kind: String,
    pub(super) payload: String,
    pub(super) due: Timestamp,
}

#[derive(Debug, Clone, Default)]
pub(super) struct State {
    pub(super) last_id: i64,
    pub(super) repositories: Map<String, Arc<RepositoryRecord>>,
    pub(super) repository_paths: Map<RepositoryId, String>,
    pub(super) created: Map<RepositoryId, Timestamp>,
    pub(super) manifests: Map<(RepositoryId, Digest), ManifestRow>,
    pub(super) manifest_digests: Map<i64, (RepositoryId, Digest)>,
    /// Manifests by subject: repository, subject, digest.
    pub(super) subjects: Map<(RepositoryId, Digest, Digest), ()>,
    /// Manifests by what they name: what, repository, the manifest's digest.
    pub(super) named: Map<(Digest, RepositoryId, Digest), ()>,
    /// Manifests that may be garbage: where, and when they are to be looked at.
    pub(super) reviews: Map<i64, (RepositoryId, Timestamp)>,
    /// History by repository, name and row.
    pub(super) tags: Map<(RepositoryId, Tag, i64), TagRow>,
    /// The live row of a name.
    pub(super) live_tags: Map<(RepositoryId, Tag), i64>,
    pub(super) tags_by_manifest: Map<(i64, Tag), ()>,
    pub(super) scans: Map<i64, ScanRow>,
    /// Labels by manifest, in the order of their recording.
    pub(super) labels: Map<(i64, i64), Arc<LabelRecord>>,
    pub(super) blobs: Map<Digest, Arc<BlobRecord>>,
    /// Links with their leases.
    pub(super) links: Map<(RepositoryId, Digest), Option<Timestamp>>,
    pub(super) holders: Map<(Digest, RepositoryId), ()>,
    pub(super) uploads: Map<String, UploadRow>,
    pub(super) outbox: Map<i64, OutboxEntry>,
    pub(super) quotas: Map<QuotaOwner, Arc<Quota>>,
    pub(super) size: RegistrySize,
    /// Policies in the order of their recording.
    pub(super) policies: Map<i64, Arc<PolicyRecord>>,
    pub(super) tasks: Map<(PolicyKind, PolicyOwner), TaskRow>,
    /// Pulls by repository, manifest and tag, which is empty for its digest: how many, and the last.
    pub(super) pulls: Map<(RepositoryId, Digest, String), (u64, Timestamp)>,
}

impl State {
    pub(super) fn repository(&self, name: &RepositoryName) -> Option<&Arc<RepositoryRecord>> {
        self.repositories.get(name.path())
    }

    pub(super) fn manifest_by_id(&self, id: i64) -> Option<&ManifestRow> {
        self.manifests.get(self.manifest_digests.get(&id)?)
    }

    /// The manifest's row as a row of history shows it.
    fn tag_entry(
        &self,
        repository: RepositoryId,
        name: &Tag,
        row: &TagRow,
        children: bool,
    ) -> Option<TagEntry> {
        let manifest = self.manifest_by_id(row.manifest)?;
        let tag = TagRecord::new(
            row.id,
            name.clone(),
            row.manifest,
            manifest.manifest.digest,
            row.start,
            row.end,
        )
        .with_reversion(row.reversion)
        .with_immutable(row.immutable);
        let of_kind = |kind: EdgeKind| manifest.edges.iter().filter(move |edge| edge.kind == kind);
        let layers = of_kind(EdgeKind::Layer)
            .filter(|edge| edge.held)
            .filter_map(|edge| self.blobs.get(&edge.digest))
            .map(|blob| blob.size)
            .reduce(u64::saturating_add);
        let has = |digest: &Digest| {
            let child = self.manifests.get(&(repository, *digest));
            child.is_some_and(|row| row.live)
        };
        let children = of_kind(EdgeKind::Child)
            .filter(|_| children)
            .map(|edge| (edge.digest, has(&edge.digest)))
            .collect();
        let size = manifest.manifest.bytes.len() as u64;
        let entry = TagEntry::new(tag, manifest.manifest.media_type.clone(), layers, children);
        Some(entry.with_size(size))
    }

    /// The labels of a manifest, the oldest first.
    pub(super) fn labels_of(&self, manifest: i64) -> impl Iterator<Item = (i64, &Arc<LabelRecord>)> {
        self.labels
            .range((manifest, i64::MIN)..=(manifest, i64::MAX))
            .map(|((_, id), label)| (*id, label))
    }

    /// The live row of a tag that has not run out.
    pub(super) fn live_tag(&self, repository: RepositoryId, name: &Tag, now: Timestamp) -> Option<&TagRow> {
        let id = *self.live_tags.get(&(repository, name.clone()))?;
        self.tags
            .get(&(repository, name.clone(), id))
            .filter(|row| row.end.is_none_or(|end| end > now))
    }
}

impl MemoryMetadata {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What is in it, repositories apart: empty when nothing is.
    #[must_use]
    pub fn leftovers(&self) -> String {
        let state = self.state();
        let counts = [
            ("manifests", state.manifests.size()),
            ("tags", state.tags.size()),
            ("edges", state.named.size()),
            ("labels", state.labels.size()),
            ("reviews", state.reviews.size()),
            ("scans", state.scans.size()),
            ("blobs", state.blobs.size()),
            ("links", state.links.size()),
            ("uploads", state.uploads.size()),
            ("outbox", state.outbox.size()),
            ("policies", state.policies.size()),
            ("tasks", state.tasks.size()),
            ("pulls", state.pulls.size()),
        ];
        let there = counts.iter().filter(|(_, count)| *count > 0);
        let there: Vec<String> = there.map(|(what, count)| format!("{count} {what}")).collect();
        there.join(", ")
    }

    fn state(&self) -> State {
        self.committed
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn lookup<T>(
        &self,
        name: &RepositoryName,
        find: impl FnOnce(&State, RepositoryId) -> Option<T>,
    ) -> Lookup<T> {
        let state = self.state();
        match state.repository(name) {
            None => Lookup::no_repository(),
            Some(record) => Lookup::in_repository(Arc::clone(record), find(&state, record.id)),
        }
    }
}

/// The smallest tag in byte order.
fn first_tag() -> Option<Tag> {
    Tag::new("0").ok()
}

#[async_trait]
impl MetadataStore for MemoryMetadata {
    fn is_sole_writer(&self) -> bool {
        true
    }

    async fn repository(&self, name: &RepositoryName) -> Result<Option<Arc<RepositoryRecord>>, StoreError> {
        Ok(self.state().repository(name).cloned())
    }

    async fn manifest(
        &self,
        name: &RepositoryName,
        reference: &Reference,
        now: Timestamp,
    ) -> Result<Lookup<ManifestRecord>, StoreError> {
        Ok(self.lookup(name, |state, repository| {
            let row = match reference {
                Reference::Digest(digest) => state.manifests.get(&(repository, *digest)),
                Reference::Tag(tag) => state
                    .live_tag(repository, tag, now)
                    .and_then(|row| state.manifest_by_id(row.manifest)),
            };
            row.filter(|row| row.live).map(|row| {
                let manifest = &row.manifest;
                ManifestRecord::new(
                    manifest.digest,
                    manifest.media_type.clone(),
                    manifest.bytes.clone(),
                )
            })
        }))
    }

    async fn blob(&self, name: &RepositoryName, digest: &Digest) -> Result<Lookup<BlobRecord>, StoreError> {
        Ok(self.lookup(name, |state, repository| {
            state.links.get(&(repository, *digest))?;
            state.blobs.get(digest).map(|blob| (**blob).clone())
        }))
    }

    async fn tags(
        &self,
        name: &RepositoryName,
        page: &PageRequest<Tag>,
        now: Timestamp,
    ) -> Result<Lookup<Vec<Tag>>, StoreError> {
        Ok(self.lookup(name, |state, repository| {
            let start = page.after.clone().or_else(first_tag)?;
            let tags = state
                .live_tags
                .range((repository, start)..)
                .map(|(key, _)| key)
                .take_while(|(of, _)| *of == repository)
                .filter(|(_, tag)| page.after.as_ref() != Some(tag))
                .filter(|(_, tag)| state.live_tag(repository, tag, now).is_some())
                .take(page.limit)
                .map(|(_, tag)| tag.clone())
                .collect();
            Some(tags)
        }))
    }

    async fn repositories(
        &self,
        page: &PageRequest<String>,
    ) -> Result<Vec<Arc<RepositoryRecord>>, StoreError> {
        let state = self.state();
        let after = page.after.clone().unwrap_or_default();
        Ok(state
            .repositories
            .range(after.clone()..)
            .filter(|(path, _)| **path != after)
            .take(page.limit)
            .map(|(_, record)| Arc::clone(record))
            .collect())
    }

    async fn holders(
        &self,
        digest: &Digest,
        page: &PageRequest<RepositoryId>,
    ) -> Result<Vec<LinkedBlob>, StoreError> {
        let state = self.state();
        let Some(blob) = state.blobs.get(digest) else {
            return Ok(Vec::new());
        };
        let mut ids: Vec<RepositoryId> = state
            .holders
            .range((*digest, i64::MIN)..(*digest, page.after.unwrap_or(i64::MAX)))
            .map(|((_, id), ())| *id)
            .collect();
        ids.reverse();
        ids.truncate(page.limit);
        let record = |id: &RepositoryId| state.repositories.values().find(|record| record.id == *id);
        Ok(ids
            .iter()
            .filter_map(|id| Some(LinkedBlob::new((**record(id)?).clone(), (**blob).clone())))
            .collect())
    }

    async fn referrers(
        &self,
        name: &RepositoryName,
        subject: &Digest,
        artifact_type: Option<&MediaType>,
        page: &PageRequest<Digest>,
    ) -> Result<Lookup<Vec<Referrer>>, StoreError> {
        Ok(self.lookup(name, |state, repository| {
            let rows = state
                .subjects
                .range((repository, *subject, page.after.unwrap_or_else(Digest::lowest))..)
                .map(|(key, ())| key)
                .take_while(|(of, about, _)| (*of, *about) == (repository, *subject))
                .filter(|(_, _, digest)| page.after.is_none_or(|after| *digest > after));
            let referrers = rows
                .filter_map(|(_, _, digest)| state.manifests.get(&(repository, *digest)))
                .filter(|row| row.live)
                .filter(|row| {
                    let is = |text: &str| artifact_type.is_none_or(|wanted| wanted == text);
                    is(&row
                        .manifest
                        .artifact_type
                        .as_deref()
                        .unwrap_or_default()
                        .to_ascii_lowercase())
                })
                .take(page.limit)
                .scan(0, |listed, row| {
                    let before = *listed;
                    *listed += row.manifest.bytes.len() as u64;
                    (before < REFERRERS_BYTES).then_some(row)
                })
                .map(|row| {
                    let manifest = &row.manifest;
                    Referrer::new(
                        manifest.digest,
                        manifest.media_type.clone(),
                        manifest.bytes.len() as u64,
                        manifest.artifact_type.clone(),
                        manifest.annotations.clone(),
                    )
                })
                .collect();
            Some(referrers)
        }))
    }

    async fn tag_history(
        &self,
        name: &RepositoryName,
        filter: &TagFilter,
        skip: usize,
        page: &PageRequest<TagPosition>,
        now: Timestamp,
    ) -> Result<Lookup<Vec<TagEntry>>, StoreError> {
        Ok(self.lookup(name, |state, repository| {
            let start = first_tag()?;
            let mut rows: Vec<(&Tag, &TagRow)> = state
                .tags
                .range((repository, start, i64::MIN)..)
                .take_while(|((of, _, _), _)| *of == repository)
                .map(|((_, name, _), row)| (name, row))
                .filter(|(name, _)| match &filter.names {
                    None => true,
                    Some(TagNames::Exactly(wanted)) => name.as_str() == wanted,
                    Some(TagNames::Holding(part)) => name.as_str().contains(part.as_str()),
                })
                .filter(|(_, row)| {
                    let ends_after = |time: Timestamp| row.end.is_none_or(|end| end > time);
                    if filter.alive {
                        row.live && ends_after(now)
                    } else {
                        ends_after(filter.ended_after)
                    }
                })
                .filter(|(name, row)| {
                    page.after.as_ref().is_none_or(|after| {
                        let start = row.start.as_millis();
                        start < after.start || (start == after.start && name.as_str() > after.name.as_str())
                    })
                })
                .collect();
            rows.sort_by(|(left_name, left), (right_name, right)| {
                right.start.cmp(&left.start).then(left_name.cmp(right_name))
            });
            let page = rows.into_iter().skip(skip).take(page.limit);
            page.map(|(name, row)| state.tag_entry(repository, name, row, filter.children))
                .collect()
        }))
    }

    async fn labels(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        prefix: &str,
    ) -> Result<Lookup<Vec<LabelRecord>>, StoreError> {
        Ok(self.lookup(name, |state, repository| {
            let row = state.manifests.get(&(repository, *digest))?;
            row.live.then(|| {
                state
                    .labels_of(row.id)
                    .filter(|(_, label)| label.key.starts_with(prefix))
                    .map(|(_, label)| (**label).clone())
                    .collect()
            })
        }))
    }

    async fn usage(&self, name: &RepositoryName) -> Result<Option<Usage>, StoreError> {
        let state = self.state();
        Ok(state
            .repository(name)
            .map(|record| super::quota::usage(&state, &state, record)))
    }

    async fn namespace_usage(&self, namespace: &str) -> Result<Option<QuotaUse>, StoreError> {
        let state = self.state();
        Ok(Some(super::quota::of_namespace(&state, &state, namespace)))
    }

    async fn repository_sizes(
        &self,
        repositories: &[RepositoryId],
    ) -> Result<HashMap<RepositoryId, u64>, StoreError> {
        let state = self.state();
        let size = |id: &RepositoryId| (*id, super::quota::used(&state, &[*id]));
        Ok(repositories.iter().map(size).collect())
    }

    async fn policies(
        &self,
        kind: PolicyKind,
        owners: &[PolicyOwner],
    ) -> Result<Vec<PolicyRecord>, StoreError> {
        Ok(self.state().policies_of(kind, owners))
    }

    async fn pulls(&self, repository: RepositoryId, of: PulledAs<'_>) -> Result<PullTotal, StoreError> {
        Ok(self.state().pull_total(repository, of))
    }

    async fn scan(
        &self,
        repository: RepositoryId,
        digest: &Digest,
    ) -> Result<Option<ManifestScan>, StoreError> {
        let state = self.state();
        let manifest = state.manifests.get(&(repository, *digest));
        Ok(manifest.map(|row| {
            let record = state.scans.get(&row.id).map(|scan| scan.record.clone());
            ManifestScan::new(row.id, record)
        }))
    }

    async fn upload(&self, id: &str) -> Result<Option<UploadRecord>, StoreError> {
        Ok(self.state().uploads.get(id).map(UploadRow::record))
    }

    async fn begin(&self) -> Result<Box<dyn UnitOfWork>, StoreError> {
        let turn = Arc::clone(&self.writer).lock_owned().await;
        Ok(Box::new(MemoryUnit::new(
            self.state(),
            Arc::clone(&self.committed),
            turn,
        )))
    }
}
