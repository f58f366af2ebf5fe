//! A unit of work in memory: a copy of everything, put in place of the original by the commit.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::lock::OwnedMutexGuard;

use super::metadata::{ManifestRow, OutboxEntry, State, TagRow, UploadRow};
use crate::blob_store::{ObjectKey, UploadState};
use crate::digest::Digest;
use crate::error::{StoreError, StoreErrorKind};
use crate::metadata::{
    BlobIndex, BlobRecord, Edge, EdgeKind, GarbageStore, LabelRecord, LabelStore, LifecycleStore,
    ManifestStore, NewBlob, NewManifest, NewUpload, Outbox, OutboxRow, PastStore, PutOutcome, QuotaStore,
    RepositoryId, RepositoryKind, RepositoryRecord, RepositoryState, RepositoryStore, ScanStore,
    StoredManifest, TagRecord, TagStore, TagTarget, UnitOfWork, UploadRecord, UploadStore, Visibility,
};
use crate::name::{RepositoryName, Tag};
use crate::runtime::Timestamp;

#[derive(Debug)]
pub(super) struct MemoryUnit {
    pub(super) state: State,
    pub(super) committed: Arc<RwLock<State>>,
    _turn: OwnedMutexGuard<()>,
}

pub(super) const fn is_blob(kind: EdgeKind) -> bool {
    matches!(kind, EdgeKind::Config | EdgeKind::Layer)
}

pub(super) fn missing(what: &str) -> StoreError {
    StoreError::new(
        StoreErrorKind::Corrupt,
        format!("{what} that a change refers to is not there"),
    )
}

impl MemoryUnit {
    pub(super) const fn new(state: State, committed: Arc<RwLock<State>>, turn: OwnedMutexGuard<()>) -> Self {
        Self {
            state,
            committed,
            _turn: turn,
        }
    }

    pub(super) fn next_id(&mut self) -> i64 {
        self.state.last_id += 1;
        self.state.last_id
    }

    pub(super) fn tag_record(&self, name: &Tag, row: &TagRow) -> Result<TagRecord, StoreError> {
        let manifest = self
            .state
            .manifest_by_id(row.manifest)
            .ok_or_else(|| missing("a manifest"))?;
        Ok(TagRecord::new(
            row.id,
            name.clone(),
            row.manifest,
            manifest.manifest.digest,
            row.start,
            row.end,
        )
        .with_reversion(row.reversion)
        .with_immutable(row.immutable))
    }

    pub(super) fn save_manifest(&mut self, repository: RepositoryId, row: ManifestRow) {
        self.state
            .manifests
            .insert_mut((repository, row.manifest.digest), row);
    }

    /// The digests of the manifests that name something.
    pub(super) fn naming(&self, repository: RepositoryId, what: &Digest) -> Vec<Digest> {
        self.state
            .named
            .range((*what, repository, Digest::lowest())..)
            .map(|(key, ())| *key)
            .take_while(|(named, of, _)| (*of, *named) == (repository, *what))
            .map(|(_, _, digest)| digest)
            .collect()
    }

    /// Marks edges to something that the repository has got as held.
    fn hold(&mut self, repository: RepositoryId, what: &Digest, of_kind: impl Fn(EdgeKind) -> bool) {
        for digest in self.naming(repository, what) {
            let Some(mut row) = self.state.manifests.get(&(repository, digest)).cloned() else {
                continue;
            };
            let edges = Arc::make_mut(&mut row.edges);
            for edge in edges
                .iter_mut()
                .filter(|edge| edge.digest == *what && of_kind(edge.kind))
            {
                edge.held = true;
            }
            self.save_manifest(repository, row);
        }
    }

    /// Ends the leases of the links that a manifest's edges hold.
    fn consume_leases(&mut self, repository: RepositoryId, manifest: &NewManifest) {
        for edge in manifest
            .edges
            .iter()
            .filter(|edge| edge.held && is_blob(edge.kind))
        {
            let link = (repository, edge.digest);
            if self.state.links.contains_key(&link) {
                self.state.links.insert_mut(link, None);
            }
        }
    }

    pub(super) fn is_held(&self, repository: RepositoryId, digest: &Digest) -> bool {
        self.naming(repository, digest).iter().any(|manifest| {
            self.state
                .manifests
                .get(&(repository, *manifest))
                .is_some_and(|row| {
                    row.live
                        && row
                            .edges
                            .iter()
                            .any(|edge| edge.held && edge.digest == *digest && is_blob(edge.kind))
                })
        })
    }

    fn close(&mut self, repository: RepositoryId, name: &Tag, end: impl Fn(&TagRow) -> Timestamp) -> bool {
        let Some(id) = self.state.live_tags.get(&(repository, name.clone())).copied() else {
            return false;
        };
        let key = (repository, name.clone(), id);
        let Some(mut row) = self.state.tags.get(&key).cloned() else {
            return false;
        };
        let end = end(&row);
        row.end = Some(end);
        row.live = false;
        self.review(repository, row.manifest, end);
        self.state
            .tags_by_manifest
            .remove_mut(&(row.manifest, name.clone()));
        self.state.tags.insert_mut(key, row);
        self.state.live_tags.remove_mut(&(repository, name.clone()));
        true
    }

    /// Has a manifest looked at then, or earlier if that was asked for.
    pub(super) fn review(&mut self, repository: RepositoryId, manifest: i64, due: Timestamp) {
        let earlier = self.state.reviews.get(&manifest).map(|(_, due)| *due);
        let due = earlier.map_or(due, |earlier| due.min(earlier));
        self.state.reviews.insert_mut(manifest, (repository, due));
    }

    pub(super) fn history_of(&self, repository: RepositoryId, name: &Tag) -> Vec<TagRow> {
        self.state
            .tags
            .range((repository, name.clone(), i64::MIN)..=(repository, name.clone(), i64::MAX))
            .map(|(_, row)| row.clone())
            .collect()
    }
}

#[async_trait]
impl UnitOfWork for MemoryUnit {
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

    fn garbage(&mut self) -> Option<&mut dyn GarbageStore> {
        Some(self)
    }

    fn quotas(&mut self) -> Option<&mut dyn QuotaStore> {
        Some(self)
    }

    fn labels(&mut self) -> Option<&mut dyn LabelStore> {
        Some(self)
    }

    fn lifecycle(&mut self) -> Option<&mut dyn LifecycleStore> {
        Some(self)
    }

    fn past(&mut self) -> Option<&mut dyn PastStore> {
        Some(self)
    }

    fn scans(&mut self) -> Option<&mut dyn ScanStore> {
        Some(self)
    }

    async fn commit(self: Box<Self>) -> Result<(), StoreError> {
        *self.committed.write().unwrap_or_else(PoisonError::into_inner) = self.state;
        Ok(())
    }
}

#[async_trait]
impl RepositoryStore for MemoryUnit {
    async fn lock(&mut self, repository: RepositoryId) -> Result<Option<RepositoryRecord>, StoreError> {
        let path = self.state.repository_paths.get(&repository);
        let record = path.and_then(|path| self.state.repositories.get(path));
        Ok(record.map(|record| (**record).clone()))
    }

    async fn find(&mut self, name: &RepositoryName) -> Result<Option<RepositoryRecord>, StoreError> {
        Ok(self.state.repository(name).map(|record| (**record).clone()))
    }

    async fn create(
        &mut self,
        name: &RepositoryName,
        visibility: Visibility,
        now: Timestamp,
    ) -> Result<Option<RepositoryRecord>, StoreError> {
        if self.state.repository(name).is_some() {
            return Ok(None);
        }
        let id = self.next_id();
        let stored =
            RepositoryName::from_path(name.path()).map_err(|error| missing("a name").with_source(error))?;
        let record = RepositoryRecord::new(
            id,
            stored,
            RepositoryKind::Image,
            RepositoryState::Normal,
            visibility,
        );
        self.state
            .repositories
            .insert_mut(name.path().to_owned(), Arc::new(record.clone()));
        self.state.repository_paths.insert_mut(id, name.path().to_owned());
        self.state.created.insert_mut(id, now);
        Ok(Some(record))
    }
}

#[async_trait]
impl ManifestStore for MemoryUnit {
    async fn find(
        &mut self,
        repository: RepositoryId,
        digest: &Digest,
    ) -> Result<Option<StoredManifest>, StoreError> {
        let row = self.state.manifests.get(&(repository, *digest));
        Ok(row.map(|row| StoredManifest::new(row.id, *digest, row.live)))
    }

    async fn live(
        &mut self,
        repository: RepositoryId,
        digests: &[Digest],
    ) -> Result<HashMap<Digest, i64>, StoreError> {
        Ok(digests
            .iter()
            .filter_map(|digest| {
                let row = self.state.manifests.get(&(repository, *digest))?;
                row.live.then_some((*digest, row.id))
            })
            .collect())
    }

    async fn put(
        &mut self,
        repository: RepositoryId,
        manifest: &NewManifest,
        now: Timestamp,
    ) -> Result<(i64, PutOutcome), StoreError> {
        let key = (repository, manifest.digest);
        let known = self.state.manifests.get(&key).map(|row| (row.id, row.live));
        let (id, outcome) = match known {
            Some((id, true)) => {
                self.consume_leases(repository, manifest);
                if let (Some(lease), Some(row)) = (manifest.lease, self.state.manifests.get(&key)) {
                    let row = ManifestRow {
                        lease: Some(lease),
                        ..row.clone()
                    };
                    self.save_manifest(repository, row);
                    self.review(repository, id, lease);
                }
                return Ok((id, PutOutcome::Unchanged));
            }
            Some((id, false)) => (id, PutOutcome::Revived),
            None => (self.next_id(), PutOutcome::Created),
        };
        // What it held and will not hold any more is looked after as what was uploaded in vain.
        let before = self.state.manifests.get(&key).map(|row| Arc::clone(&row.edges));
        for edge in before.iter().flat_map(|edges| edges.iter()) {
            let child = self.state.manifests.get(&(repository, edge.digest));
            if let Some(child) = child.filter(|_| edge.held && edge.kind == EdgeKind::Child) {
                let id = child.id;
                self.review(repository, id, now);
            }
            let link = (repository, edge.digest);
            if edge.held && is_blob(edge.kind) && !self.state.links.contains_key(&link) {
                self.state.links.insert_mut(link, Some(now));
                self.state.holders.insert_mut((edge.digest, repository), ());
            }
        }
        self.state.manifest_digests.insert_mut(id, key);
        if let Some(subject) = manifest.subject {
            self.state
                .subjects
                .insert_mut((repository, subject, manifest.digest), ());
        }
        self.consume_leases(repository, manifest);
        for edge in &manifest.edges {
            self.state
                .named
                .insert_mut((edge.digest, repository, manifest.digest), ());
        }
        let row = ManifestRow {
            id,
            manifest: Arc::new(manifest.clone()),
            edges: Arc::new(manifest.edges.clone()),
            live: true,
            lease: manifest.lease,
        };
        self.save_manifest(repository, row);
        if let Some(lease) = manifest.lease {
            self.review(repository, id, lease);
        }
        self.hold(repository, &manifest.digest, |kind| !is_blob(kind));
        Ok((id, outcome))
    }

    async fn end(
        &mut self,
        repository: RepositoryId,
        manifest: i64,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let Some(mut row) = self.state.manifest_by_id(manifest).cloned() else {
            return Err(missing("a manifest"));
        };
        row.live = false;
        row.lease = None;
        let edges: Vec<Edge> = row.edges.to_vec();
        self.save_manifest(repository, row);
        self.review(repository, manifest, now);
        for edge in edges.iter().filter(|edge| is_blob(edge.kind)) {
            let link = (repository, edge.digest);
            let leased = match self.state.links.get(&link) {
                Some(Some(lease)) => *lease > now,
                Some(None) => false,
                None => continue,
            };
            if !leased && !self.is_held(repository, &edge.digest) {
                BlobIndex::unlink(self, repository, &edge.digest).await?;
            }
        }
        Ok(())
    }

    async fn revive(&mut self, repository: RepositoryId, manifest: i64) -> Result<bool, StoreError> {
        let Some(mut row) = self.state.manifest_by_id(manifest).cloned() else {
            return Ok(false);
        };
        if row.live {
            return Ok(true);
        }
        let edges = Arc::clone(&row.edges);
        let held = || edges.iter().filter(|edge| edge.held && is_blob(edge.kind));
        if held().any(|edge| !self.state.blobs.contains_key(&edge.digest)) {
            return Ok(false);
        }
        for edge in held() {
            self.state.links.insert_mut((repository, edge.digest), None);
            self.state.holders.insert_mut((edge.digest, repository), ());
        }
        row.live = true;
        let digest = row.manifest.digest;
        self.save_manifest(repository, row);
        self.hold(repository, &digest, |kind| !is_blob(kind));
        Ok(true)
    }

    async fn holds_blob(&mut self, repository: RepositoryId, digest: &Digest) -> Result<bool, StoreError> {
        Ok(self.is_held(repository, digest))
    }
}

#[async_trait]
impl TagStore for MemoryUnit {
    async fn live(
        &mut self,
        repository: RepositoryId,
        names: &[Tag],
        now: Timestamp,
    ) -> Result<Vec<TagRecord>, StoreError> {
        names
            .iter()
            .filter_map(|name| {
                let row = self.state.live_tag(repository, name, now)?;
                Some(self.tag_record(name, row))
            })
            .collect()
    }

    async fn pointing_at(
        &mut self,
        repository: RepositoryId,
        manifest: i64,
    ) -> Result<Vec<TagRecord>, StoreError> {
        let Some(first) = Tag::new("0").ok() else {
            return Ok(Vec::new());
        };
        let names: Vec<Tag> = self
            .state
            .tags_by_manifest
            .range((manifest, first)..)
            .map(|(key, ())| key)
            .take_while(|(of, _)| *of == manifest)
            .map(|(_, name)| name.clone())
            .collect();
        names
            .iter()
            .filter_map(|name| {
                let id = *self.state.live_tags.get(&(repository, name.clone()))?;
                let row = self.state.tags.get(&(repository, name.clone(), id))?;
                Some(self.tag_record(name, row))
            })
            .collect()
    }

    async fn set(
        &mut self,
        repository: RepositoryId,
        name: &Tag,
        target: TagTarget,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let last = self
            .history_of(repository, name)
            .iter()
            .map(|row| row.start)
            .max();
        let start = last.map_or(now, |last| now.max(last.plus(Duration::from_millis(1))));
        self.close(repository, name, |row| {
            row.end.map_or(start, |end| end.min(start))
        });
        let id = self.next_id();
        let row = TagRow {
            id,
            manifest: target.manifest,
            start,
            end: target.end,
            live: true,
            reversion: target.reversion,
            immutable: target.immutable,
        };
        self.state.tags.insert_mut((repository, name.clone(), id), row);
        self.state.live_tags.insert_mut((repository, name.clone()), id);
        self.state
            .tags_by_manifest
            .insert_mut((target.manifest, name.clone()), ());
        if let Some(end) = target.end {
            self.review(repository, target.manifest, end);
        }
        Ok(())
    }

    async fn set_end(
        &mut self,
        repository: RepositoryId,
        name: &Tag,
        end: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        let Some(id) = self.state.live_tags.get(&(repository, name.clone())).copied() else {
            return Ok(false);
        };
        let key = (repository, name.clone(), id);
        let Some(mut row) = self.state.tags.get(&key).cloned() else {
            return Ok(false);
        };
        row.end = end;
        if let Some(end) = end {
            self.review(repository, row.manifest, end);
        }
        self.state.tags.insert_mut(key, row);
        Ok(true)
    }

    async fn remembers(
        &mut self,
        repository: RepositoryId,
        manifest: i64,
        since: Timestamp,
    ) -> Result<bool, StoreError> {
        let Ok(first) = Tag::new("0") else {
            return Ok(false);
        };
        let mut rows = self
            .state
            .tags
            .range((repository, first, i64::MIN)..)
            .take_while(|((of, _, _), _)| *of == repository);
        Ok(rows.any(|(_, row)| row.manifest == manifest && row.end.is_none_or(|end| end > since)))
    }

    async fn end(
        &mut self,
        repository: RepositoryId,
        name: &Tag,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        Ok(self.close(repository, name, |row| {
            let end = row.end.map_or(now, |end| end.min(now));
            end.max(row.start)
        }))
    }

    async fn history(
        &mut self,
        repository: RepositoryId,
        name: &Tag,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<TagRecord>, StoreError> {
        let mut rows = self.history_of(repository, name);
        rows.retain(|row| before.is_none_or(|before| row.id < before));
        rows.sort_by_key(|row| std::cmp::Reverse(row.start));
        rows.iter()
            .take(limit)
            .map(|row| self.tag_record(name, row))
            .collect()
    }
}

#[async_trait]
impl LabelStore for MemoryUnit {
    async fn insert(
        &mut self,
        _: RepositoryId,
        manifest: i64,
        labels: &[LabelRecord],
    ) -> Result<(), StoreError> {
        for label in labels {
            let id = self.next_id();
            self.state
                .labels
                .insert_mut((manifest, id), Arc::new(label.clone()));
        }
        Ok(())
    }

    async fn find(&mut self, manifest: i64, uuid: &str) -> Result<Option<LabelRecord>, StoreError> {
        let mut labels = self.state.labels_of(manifest);
        let found = labels.find(|(_, label)| label.uuid == uuid);
        Ok(found.map(|(_, label)| (**label).clone()))
    }

    async fn values(
        &mut self,
        repository: RepositoryId,
        manifests: &[Digest],
        key: &str,
    ) -> Result<Vec<(Digest, String)>, StoreError> {
        let mut values = Vec::new();
        for digest in manifests {
            let row = self.state.manifests.get(&(repository, *digest));
            let Some(row) = row.filter(|row| row.live) else {
                continue;
            };
            let labels = self.state.labels_of(row.id);
            let of_key = labels.filter(|(_, label)| label.key == key);
            values.extend(of_key.map(|(_, label)| (*digest, label.value.clone())));
        }
        Ok(values)
    }

    async fn count(&mut self, manifest: i64) -> Result<u64, StoreError> {
        Ok(self.state.labels_of(manifest).count() as u64)
    }

    async fn delete(&mut self, manifest: i64, uuid: &str) -> Result<bool, StoreError> {
        let found = self
            .state
            .labels_of(manifest)
            .find_map(|(id, label)| (label.uuid == uuid).then_some(id));
        Ok(found.is_some_and(|id| self.state.labels.remove_mut(&(manifest, id))))
    }
}

#[async_trait]
impl BlobIndex for MemoryUnit {
    async fn find(&mut self, digest: &Digest) -> Result<Option<BlobRecord>, StoreError> {
        Ok(self.state.blobs.get(digest).map(|blob| (**blob).clone()))
    }

    async fn record(&mut self, blob: &NewBlob, _: Timestamp) -> Result<(i64, ObjectKey), StoreError> {
        let known = self.state.blobs.get(&blob.digest).cloned();
        let (id, mut placements) = match &known {
            Some(known) => (known.id, known.placements.to_vec()),
            None => (self.next_id(), Vec::new()),
        };
        let mut there = placements.iter();
        let there = there.find(|placement| placement.location == blob.placement.location);
        let key = if let Some(there) = there {
            there.key.clone()
        } else {
            placements.push(blob.placement.clone());
            blob.placement.key.clone()
        };
        let record = BlobRecord::new(id, blob.digest, blob.size, placements.into());
        self.state.blobs.insert_mut(blob.digest, Arc::new(record));
        Ok((id, key))
    }

    async fn linked(
        &mut self,
        repository: RepositoryId,
        digests: &[Digest],
    ) -> Result<Vec<Digest>, StoreError> {
        Ok(digests
            .iter()
            .copied()
            .filter(|digest| self.state.links.contains_key(&(repository, *digest)))
            .collect())
    }

    async fn link(
        &mut self,
        repository: RepositoryId,
        _: i64,
        digest: &Digest,
        lease: Timestamp,
    ) -> Result<(), StoreError> {
        self.state.links.insert_mut((repository, *digest), Some(lease));
        self.state.holders.insert_mut((*digest, repository), ());
        self.hold(repository, digest, is_blob);
        Ok(())
    }

    async fn unlink(&mut self, repository: RepositoryId, digest: &Digest) -> Result<bool, StoreError> {
        self.state.holders.remove_mut(&(*digest, repository));
        Ok(self.state.links.remove_mut(&(repository, *digest)))
    }
}

#[async_trait]
impl UploadStore for MemoryUnit {
    async fn insert(&mut self, upload: &NewUpload, now: Timestamp) -> Result<(), StoreError> {
        if self.state.uploads.contains_key(&upload.id) {
            return Err(StoreError::new(
                StoreErrorKind::Conflict,
                "an upload of that id is there",
            ));
        }
        let row = UploadRow {
            upload: Arc::new(upload.clone()),
            offset: 0,
            hash_state: Bytes::new(),
            store_state: upload.store_state.clone(),
            version: 0,
            claimed_until: Timestamp::from_millis(0),
            updated: now,
            reserved: 0,
        };
        self.state.uploads.insert_mut(upload.id.clone(), row);
        Ok(())
    }

    async fn claim(
        &mut self,
        id: &str,
        version: i64,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let Some(mut row) = self.state.uploads.get(id).cloned() else {
            return Ok(false);
        };
        if row.version != version || row.claimed_until > now {
            return Ok(false);
        }
        row.version += 1;
        row.claimed_until = until;
        self.state.uploads.insert_mut(id.to_owned(), row);
        Ok(true)
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
        let Some(row) = self.state.uploads.get(id).filter(|row| row.version == version) else {
            return Ok(false);
        };
        let row = UploadRow {
            upload: Arc::clone(&row.upload),
            offset,
            hash_state: Bytes::copy_from_slice(hash_state),
            store_state: store_state.clone(),
            version: version + 1,
            claimed_until: Timestamp::from_millis(0),
            updated: now,
            reserved: row.reserved,
        };
        self.state.uploads.insert_mut(id.to_owned(), row);
        Ok(true)
    }

    async fn remove(&mut self, id: &str, version: i64) -> Result<bool, StoreError> {
        let is_there = self
            .state
            .uploads
            .get(id)
            .is_some_and(|row| row.version == version);
        Ok(is_there && self.state.uploads.remove_mut(id))
    }

    async fn stale(&mut self, before: Timestamp, limit: usize) -> Result<Vec<UploadRecord>, StoreError> {
        let mut stale: Vec<UploadRecord> = self
            .state
            .uploads
            .values()
            .filter(|row| row.updated < before && row.claimed_until <= before)
            .map(UploadRow::record)
            .collect();
        stale.sort_by_key(|record| record.updated);
        stale.truncate(limit);
        Ok(stale)
    }
}

#[async_trait]
impl Outbox for MemoryUnit {
    async fn push(&mut self, kind: &str, payload: &str, now: Timestamp) -> Result<(), StoreError> {
        let id = self.next_id();
        let entry = OutboxEntry {
            kind: kind.to_owned(),
            payload: payload.to_owned(),
            due: now,
        };
        self.state.outbox.insert_mut(id, entry);
        Ok(())
    }

    async fn claim(
        &mut self,
        kind: &str,
        limit: usize,
        hold: Duration,
        now: Timestamp,
    ) -> Result<Vec<OutboxRow>, StoreError> {
        let due: Vec<(i64, OutboxEntry)> = self
            .state
            .outbox
            .iter()
            .filter(|(_, entry)| entry.kind == kind && entry.due <= now)
            .take(limit)
            .map(|(id, entry)| (*id, entry.clone()))
            .collect();
        let mut claimed = Vec::with_capacity(due.len());
        for (id, mut entry) in due {
            claimed.push(OutboxRow::new(id, entry.kind.clone(), entry.payload.clone()));
            entry.due = now.plus(hold);
            self.state.outbox.insert_mut(id, entry);
        }
        Ok(claimed)
    }

    async fn complete(&mut self, id: i64) -> Result<(), StoreError> {
        self.state.outbox.remove_mut(&id);
        Ok(())
    }
}
