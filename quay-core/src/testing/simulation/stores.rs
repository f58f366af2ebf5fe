//! Stores that fail now and then, and give others a turn before each call.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::lock::{Mutex as Turns, OwnedMutexGuard};

use super::Fault;
use super::scheduler::{Dice, turn};
use crate::blob_store::{
    Append, Appended, BlobBody, BlobInventory, BlobStore, ByteStream, ObjectKey, Open, Published, UploadState,
};
use crate::digest::Digest;
use crate::error::{StoreError, StoreErrorKind};
use crate::media_type::MediaType;
use crate::metadata::{
    BlobIndex, BlobRecord, GarbageStore, LabelRecord, LabelStore, LinkedBlob, Lookup, ManifestHolds,
    ManifestRecord, ManifestStore, MetadataStore, Outbox, PageRequest, Placement, Referrer, RepositoryId,
    RepositoryRecord, RepositoryStore, TagEntry, TagFilter, TagPosition, TagStore, UnitOfWork, UploadRecord,
    UploadStore,
};
use crate::name::{Reference, RepositoryName, Tag};
use crate::runtime::Timestamp;

/// What the stores of a simulation share.
#[derive(Debug)]
pub(super) struct Weather {
    dice: Mutex<Dice>,
    /// Chances in a hundred that a call fails.
    percent: usize,
    /// Whether calls fail at all now.
    pub(super) rough: AtomicBool,
    pub(super) fault: Fault,
}

impl Weather {
    pub(super) const fn new(dice: Dice, percent: usize, fault: Fault) -> Self {
        Self {
            dice: Mutex::new(dice),
            percent,
            rough: AtomicBool::new(true),
            fault,
        }
    }

    fn fails(&self) -> bool {
        let mut dice = self
            .dice
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        dice.chance(self.percent) && self.rough.load(Ordering::SeqCst)
    }

    fn strike(&self, what: &str) -> Result<(), StoreError> {
        if self.fails() {
            return Err(StoreError::new(
                StoreErrorKind::Unavailable,
                format!("{what}: a simulated failure"),
            ));
        }
        Ok(())
    }
}

#[derive(Debug)]
pub(super) struct Rows {
    pub(super) inner: Arc<dyn MetadataStore>,
    pub(super) weather: Arc<Weather>,
    /// Units of work take turns here, where waiting is a turn of the simulation.
    pub(super) turns: Arc<Turns<()>>,
}

#[derive(Debug)]
struct Unit {
    inner: Box<dyn UnitOfWork>,
    weather: Arc<Weather>,
    _turn: OwnedMutexGuard<()>,
}

#[async_trait]
impl UnitOfWork for Unit {
    fn repositories(&mut self) -> &mut dyn RepositoryStore {
        self.inner.repositories()
    }

    fn manifests(&mut self) -> &mut dyn ManifestStore {
        self.inner.manifests()
    }

    fn tags(&mut self) -> &mut dyn TagStore {
        self.inner.tags()
    }

    fn blobs(&mut self) -> &mut dyn BlobIndex {
        self.inner.blobs()
    }

    fn uploads(&mut self) -> &mut dyn UploadStore {
        self.inner.uploads()
    }

    fn outbox(&mut self) -> &mut dyn Outbox {
        self.inner.outbox()
    }

    fn labels(&mut self) -> Option<&mut dyn LabelStore> {
        self.inner.labels()
    }

    fn garbage(&mut self) -> Option<&mut dyn GarbageStore> {
        self.inner.garbage()?;
        Some(self)
    }

    async fn commit(self: Box<Self>) -> Result<(), StoreError> {
        self.weather.strike("commit")?;
        self.inner.commit().await?;
        // The answer may be lost.
        self.weather.strike("after the commit")
    }

    async fn abandon(self: Box<Self>) -> Result<(), StoreError> {
        self.inner.abandon().await
    }
}

impl Unit {
    fn inner(&mut self) -> Result<&mut dyn GarbageStore, StoreError> {
        let none = || StoreError::new(StoreErrorKind::Unsupported, "the store keeps its garbage");
        self.inner.garbage().ok_or_else(none)
    }
}

#[async_trait]
impl GarbageStore for Unit {
    async fn due(&mut self, now: Timestamp, limit: usize) -> Result<Vec<RepositoryId>, StoreError> {
        self.inner()?.due(now, limit).await
    }

    async fn time_machine(&mut self, namespace: &str) -> Result<Option<Duration>, StoreError> {
        self.inner()?.time_machine(namespace).await
    }

    async fn reviews(
        &mut self,
        repository: RepositoryId,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<i64>, StoreError> {
        self.inner()?.reviews(repository, now, limit).await
    }

    async fn forget_tags(
        &mut self,
        repository: RepositoryId,
        manifests: &[i64],
        before: Timestamp,
    ) -> Result<(), StoreError> {
        self.inner()?.forget_tags(repository, manifests, before).await
    }

    async fn holds(
        &mut self,
        repository: RepositoryId,
        manifests: &[i64],
    ) -> Result<Vec<ManifestHolds>, StoreError> {
        let fault = self.weather.fault;
        let mut found = self.inner()?.holds(repository, manifests).await?;
        for holds in &mut found {
            match fault {
                Fault::NoLeases => holds.lease = None,
                Fault::NoParents => holds.parent = false,
                Fault::NoSubjects => holds.subject = false,
                Fault::NoTimeMachine => holds.ends = None,
                Fault::NoTags => holds.tagged = false,
                _ => {}
            }
        }
        Ok(found)
    }

    async fn postpone(&mut self, reviews: &[(i64, Timestamp)]) -> Result<(), StoreError> {
        if self.weather.fault == Fault::ForgetsReviews {
            let manifests: Vec<i64> = reviews.iter().map(|(manifest, _)| *manifest).collect();
            return self.inner()?.settle(&manifests).await;
        }
        self.inner()?.postpone(reviews).await
    }

    async fn settle(&mut self, manifests: &[i64]) -> Result<(), StoreError> {
        self.inner()?.settle(manifests).await
    }

    async fn remove_manifests(
        &mut self,
        repository: RepositoryId,
        manifests: &[i64],
        now: Timestamp,
    ) -> Result<Vec<i64>, StoreError> {
        let fault = self.weather.fault;
        let blobs = self.inner()?.remove_manifests(repository, manifests, now).await?;
        match fault {
            Fault::LeavesChildren => {
                let due = self.inner()?.reviews(repository, now, usize::MAX).await?;
                self.inner()?.settle(&due).await?;
                Ok(blobs)
            }
            Fault::LeavesBlobs => Ok(Vec::new()),
            _ => Ok(blobs),
        }
    }

    async fn ended_leases(
        &mut self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<(RepositoryId, i64)>, StoreError> {
        let now = if self.weather.fault == Fault::EndsRunningLeases {
            now.plus(Duration::from_hours(2))
        } else {
            now
        };
        self.inner()?.ended_leases(now, limit).await
    }

    async fn end_leases(
        &mut self,
        repository: RepositoryId,
        blobs: &[i64],
        now: Timestamp,
    ) -> Result<Vec<i64>, StoreError> {
        let now = if self.weather.fault == Fault::EndsRunningLeases {
            now.plus(Duration::from_hours(2))
        } else {
            now
        };
        self.inner()?.end_leases(repository, blobs, now).await
    }

    async fn remove_blobs(&mut self, blobs: &[i64]) -> Result<Vec<Placement>, StoreError> {
        self.inner()?.remove_blobs(blobs).await
    }

    async fn doom(&mut self, repository: RepositoryId) -> Result<bool, StoreError> {
        self.inner()?.doom(repository).await
    }

    async fn doomed(&mut self, limit: usize) -> Result<Vec<RepositoryRecord>, StoreError> {
        self.inner()?.doomed(limit).await
    }

    async fn some_manifests(
        &mut self,
        repository: RepositoryId,
        limit: usize,
    ) -> Result<Vec<i64>, StoreError> {
        self.inner()?.some_manifests(repository, limit).await
    }

    async fn remove_links(&mut self, repository: RepositoryId, limit: usize) -> Result<Vec<i64>, StoreError> {
        self.inner()?.remove_links(repository, limit).await
    }

    async fn uploads_of(
        &mut self,
        repository: RepositoryId,
        limit: usize,
    ) -> Result<Vec<UploadRecord>, StoreError> {
        self.inner()?.uploads_of(repository, limit).await
    }

    async fn remove_repository(&mut self, repository: RepositoryId) -> Result<(), StoreError> {
        self.inner()?.remove_repository(repository).await
    }
}

#[async_trait]
impl MetadataStore for Rows {
    fn is_sole_writer(&self) -> bool {
        false
    }

    async fn repository(&self, name: &RepositoryName) -> Result<Option<Arc<RepositoryRecord>>, StoreError> {
        turn().await;
        self.weather.strike("read")?;
        self.inner.repository(name).await
    }

    async fn manifest(
        &self,
        name: &RepositoryName,
        reference: &Reference,
        now: Timestamp,
    ) -> Result<Lookup<ManifestRecord>, StoreError> {
        turn().await;
        self.inner.manifest(name, reference, now).await
    }

    async fn blob(&self, name: &RepositoryName, digest: &Digest) -> Result<Lookup<BlobRecord>, StoreError> {
        turn().await;
        self.inner.blob(name, digest).await
    }

    async fn tags(
        &self,
        name: &RepositoryName,
        page: &PageRequest<Tag>,
        now: Timestamp,
    ) -> Result<Lookup<Vec<Tag>>, StoreError> {
        self.inner.tags(name, page, now).await
    }

    async fn repositories(
        &self,
        page: &PageRequest<String>,
    ) -> Result<Vec<Arc<RepositoryRecord>>, StoreError> {
        self.inner.repositories(page).await
    }

    async fn holders(
        &self,
        digest: &Digest,
        page: &PageRequest<RepositoryId>,
    ) -> Result<Vec<LinkedBlob>, StoreError> {
        turn().await;
        self.inner.holders(digest, page).await
    }

    async fn referrers(
        &self,
        name: &RepositoryName,
        subject: &Digest,
        artifact_type: Option<&MediaType>,
        page: &PageRequest<Digest>,
    ) -> Result<Lookup<Vec<Referrer>>, StoreError> {
        self.inner.referrers(name, subject, artifact_type, page).await
    }

    async fn tag_history(
        &self,
        name: &RepositoryName,
        filter: &TagFilter,
        skip: usize,
        page: &PageRequest<TagPosition>,
        now: Timestamp,
    ) -> Result<Lookup<Vec<TagEntry>>, StoreError> {
        self.inner.tag_history(name, filter, skip, page, now).await
    }

    async fn labels(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        prefix: &str,
    ) -> Result<Lookup<Vec<LabelRecord>>, StoreError> {
        self.inner.labels(name, digest, prefix).await
    }

    async fn upload(&self, id: &str) -> Result<Option<UploadRecord>, StoreError> {
        turn().await;
        self.inner.upload(id).await
    }

    async fn begin(&self) -> Result<Box<dyn UnitOfWork>, StoreError> {
        let guard = loop {
            turn().await;
            if let Some(guard) = self.turns.try_lock_owned() {
                break guard;
            }
        };
        self.weather.strike("begin")?;
        Ok(Box::new(Unit {
            inner: self.inner.begin().await?,
            weather: Arc::clone(&self.weather),
            _turn: guard,
        }))
    }
}

#[derive(Debug)]
pub(super) struct Objects {
    pub(super) inner: Arc<dyn BlobStore>,
    pub(super) weather: Arc<Weather>,
}

#[async_trait]
impl BlobStore for Objects {
    async fn begin(&self, id: &str) -> Result<UploadState, StoreError> {
        self.inner.begin(id).await
    }

    async fn append(
        &self,
        state: &UploadState,
        data: ByteStream,
        options: Append,
    ) -> Result<Appended, StoreError> {
        turn().await;
        self.weather.strike("append")?;
        self.inner.append(state, data, options).await
    }

    async fn staged(&self, state: &UploadState, length: u64) -> Result<BlobBody, StoreError> {
        turn().await;
        self.inner.staged(state, length).await
    }

    async fn commit(
        &self,
        state: &UploadState,
        digest: &Digest,
        length: u64,
    ) -> Result<Published, StoreError> {
        turn().await;
        self.weather.strike("publish")?;
        if self.weather.fault == Fault::SharesKeys {
            // One object for all uploads of one content: what a deletion finds may be newer than what it
            // looks for.
            let shared = self.inner.begin("shared").await?;
            if let BlobBody::Bytes(content) = self.inner.staged(state, length).await? {
                let body = futures::stream::iter([Ok(content)]);
                self.inner.append(&shared, Box::pin(body), Append::at(0)).await?;
            }
            let published = self.inner.commit(&shared, digest, length).await?;
            self.inner.abort(&shared).await?;
            turn().await;
            return Ok(published);
        }
        let published = self.inner.commit(state, digest, length).await?;
        turn().await;
        self.weather.strike("after the publication")?;
        Ok(published)
    }

    async fn abort(&self, state: &UploadState) -> Result<(), StoreError> {
        turn().await;
        self.weather.strike("abort")?;
        self.inner.abort(state).await
    }

    async fn open(&self, key: &ObjectKey, options: Open) -> Result<Option<BlobBody>, StoreError> {
        turn().await;
        self.inner.open(key, options).await
    }

    async fn stat(&self, key: &ObjectKey) -> Result<Option<u64>, StoreError> {
        turn().await;
        self.inner.stat(key).await
    }

    async fn delete(&self, keys: &[ObjectKey]) -> Vec<Result<(), StoreError>> {
        let mut outcomes = Vec::with_capacity(keys.len());
        for key in keys {
            turn().await;
            if let Err(error) = self.weather.strike("delete") {
                outcomes.push(Err(error));
                continue;
            }
            outcomes.extend(self.inner.delete(std::slice::from_ref(key)).await);
        }
        outcomes
    }

    fn inventory(&self) -> Option<&dyn BlobInventory> {
        self.inner.inventory()
    }
}
