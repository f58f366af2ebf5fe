//! The suites on the in-memory ports, and on stores that are broken on purpose: each of those must be
//! caught.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use async_trait::async_trait;
use futures::FutureExt;
use futures::executor::block_on;
use quay_core::auth::{AllowAll, AllowAuthenticated};
use quay_core::blob_store::{
    Append, Appended, BlobBody, BlobInventory, ByteStream, ObjectKey, Open, Published, StagedUpload,
    UploadState,
};
use quay_core::memory::{MemoryBlobs, MemoryMetadata};
use quay_core::metadata::{
    BlobIndex, BlobRecord, Lookup, ManifestRecord, ManifestStore, Outbox, PageRequest, Referrer,
    RepositoryRecord, RepositoryStore, TagStore, UnitOfWork, UploadRecord, UploadStore,
};
use quay_core::runtime::Timestamp;
use quay_core::testing::{Instance, Report, auth, blob_store, metadata};
use quay_core::{
    Authorizer, BlobStore, Digest, MediaType, MetadataStore, Reference, RepositoryName, ResolvedRange,
    StoreError, StoreErrorKind, Tag,
};

struct Kept<S: ?Sized>(Arc<S>);

#[async_trait]
impl<S: ?Sized + Send + Sync> Instance<S> for Kept<S> {
    fn store(&self) -> Arc<S> {
        Arc::clone(&self.0)
    }

    async fn reopen(&mut self) -> Option<Arc<S>> {
        // As good as another process: nothing but the store itself is remembered.
        Some(Arc::clone(&self.0))
    }
}

fn run_blobs(make: impl Fn() -> Arc<dyn BlobStore> + Send + Sync) -> Report {
    block_on(blob_store::run(&|| {
        let kept: Box<dyn Instance<dyn BlobStore>> = Box::new(Kept(make()));
        async move { kept }.boxed()
    }))
}

fn run_metadata(make: impl Fn() -> Arc<dyn MetadataStore> + Send + Sync) -> Report {
    block_on(metadata::run(&|| {
        let kept: Box<dyn Instance<dyn MetadataStore>> = Box::new(Kept(make()));
        async move { kept }.boxed()
    }))
}

#[test]
fn memory_blobs_pass() {
    run_blobs(|| Arc::new(MemoryBlobs::new())).assert_passed();
}

#[test]
fn memory_metadata_passes() {
    run_metadata(|| Arc::new(MemoryMetadata::new())).assert_passed();
}

#[test]
fn the_authorizers_pass() {
    let authorizers: [Arc<dyn Authorizer>; 2] = [Arc::new(AllowAll), Arc::new(AllowAuthenticated)];
    for authorizer in authorizers {
        block_on(auth::run_authorizer(&authorizer)).assert_passed();
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum BlobFault {
    AppendsAtTheEnd,
    LosesInterrupted,
    HidesInterruption,
    CommitsNothing,
    CommitsShort,
    CommitsEverything,
    ForgetsOnSecondCommit,
    IgnoresRanges,
    AbortsObjects,
    DeletesNothing,
    RefusesSecondDelete,
    SaysWrongSize,
    ReadsTooMuchStaged,
    ListsNothing,
    IgnoresPages,
    NeverPublished,
    UnpublishesForeign,
}

#[derive(Debug)]
struct BrokenBlobs {
    inner: MemoryBlobs,
    fault: BlobFault,
}

impl BrokenBlobs {
    fn is(&self, fault: BlobFault) -> bool {
        self.fault == fault
    }

    async fn held(&self, state: &UploadState) -> u64 {
        let uploads = self
            .inner
            .staged_uploads(Timestamp::from_millis(1), None, 100)
            .await
            .unwrap();
        uploads
            .iter()
            .find(|upload| upload.state == *state)
            .map_or(0, |upload| upload.length)
    }
}

#[async_trait]
impl BlobStore for BrokenBlobs {
    async fn begin(&self, id: &str) -> Result<UploadState, StoreError> {
        self.inner.begin(id).await
    }

    async fn append(
        &self,
        state: &UploadState,
        data: ByteStream,
        mut options: Append,
    ) -> Result<Appended, StoreError> {
        if self.is(BlobFault::AppendsAtTheEnd) {
            options.offset = self.held(state).await;
        }
        let mut appended = self.inner.append(state, data, options).await?;
        if appended.interrupted.is_some() && self.is(BlobFault::LosesInterrupted) {
            appended.written = 0;
        }
        if self.is(BlobFault::HidesInterruption) {
            appended.interrupted = None;
        }
        Ok(appended)
    }

    async fn staged(&self, state: &UploadState, length: u64) -> Result<BlobBody, StoreError> {
        let held = self.held(state).await;
        let length = if self.is(BlobFault::ReadsTooMuchStaged) {
            held
        } else {
            length
        };
        self.inner.staged(state, length).await
    }

    async fn commit(
        &self,
        state: &UploadState,
        digest: &Digest,
        length: u64,
    ) -> Result<Published, StoreError> {
        let key = ObjectKey::content_addressed(digest);
        if self.is(BlobFault::CommitsNothing) {
            return Ok(Published::at(key));
        }
        if self.is(BlobFault::ForgetsOnSecondCommit) && self.inner.stat(&key).await?.is_some() {
            return Err(StoreError::new(StoreErrorKind::Other, "it is there already"));
        }
        let held = self.held(state).await;
        let length = match self.fault {
            BlobFault::CommitsShort => length.min(held),
            BlobFault::CommitsEverything => held.max(length),
            _ => length,
        };
        self.inner.commit(state, digest, length).await
    }

    async fn abort(&self, state: &UploadState) -> Result<(), StoreError> {
        if self.is(BlobFault::AbortsObjects) {
            for text in ["hello", "one", "two"] {
                let digest = Digest::of(quay_core::Algorithm::Sha256, text.as_bytes());
                self.inner.unpublish(state, &digest).await?;
            }
        }
        self.inner.abort(state).await
    }

    async fn open(&self, key: &ObjectKey, options: Open) -> Result<Option<BlobBody>, StoreError> {
        let options = if self.is(BlobFault::IgnoresRanges) {
            options.with_range(Some(ResolvedRange::new(0, options.size)).filter(|_| options.size > 0))
        } else {
            options
        };
        self.inner.open(key, options).await
    }

    async fn stat(&self, key: &ObjectKey) -> Result<Option<u64>, StoreError> {
        let size = self.inner.stat(key).await?;
        Ok(size.map(|size| size + u64::from(self.is(BlobFault::SaysWrongSize))))
    }

    async fn delete(&self, keys: &[ObjectKey]) -> Vec<Result<(), StoreError>> {
        if self.is(BlobFault::DeletesNothing) {
            return keys.iter().map(|_| Ok(())).collect();
        }
        let mut outcomes = Vec::new();
        for key in keys {
            let missing = self.inner.stat(key).await.unwrap().is_none();
            if missing && self.is(BlobFault::RefusesSecondDelete) {
                outcomes.push(Err(StoreError::new(StoreErrorKind::Other, "not found")));
            } else {
                outcomes.extend(self.inner.delete(std::slice::from_ref(key)).await);
            }
        }
        outcomes
    }

    fn inventory(&self) -> Option<&dyn BlobInventory> {
        Some(self)
    }
}

#[async_trait]
impl BlobInventory for BrokenBlobs {
    async fn staged_uploads(
        &self,
        before: Timestamp,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<StagedUpload>, StoreError> {
        if self.is(BlobFault::ListsNothing) {
            return Ok(Vec::new());
        }
        let limit = if self.is(BlobFault::IgnoresPages) {
            100
        } else {
            limit
        };
        let mut found = self.inner.staged_uploads(before, after, limit).await?;
        if self.is(BlobFault::NeverPublished) {
            for upload in &mut found {
                upload.published = false;
            }
        }
        Ok(found)
    }

    async fn unpublish(&self, state: &UploadState, digest: &Digest) -> Result<(), StoreError> {
        if self.is(BlobFault::UnpublishesForeign) {
            self.inner.delete(&[ObjectKey::content_addressed(digest)]).await;
        }
        self.inner.unpublish(state, digest).await
    }
}

#[test]
fn every_broken_blob_store_is_caught() {
    use BlobFault::*;
    for fault in [
        AppendsAtTheEnd,
        LosesInterrupted,
        HidesInterruption,
        CommitsNothing,
        CommitsShort,
        CommitsEverything,
        ForgetsOnSecondCommit,
        IgnoresRanges,
        AbortsObjects,
        DeletesNothing,
        RefusesSecondDelete,
        SaysWrongSize,
        ReadsTooMuchStaged,
        ListsNothing,
        IgnoresPages,
        NeverPublished,
        UnpublishesForeign,
    ] {
        let report = run_blobs(move || {
            Arc::new(BrokenBlobs {
                inner: MemoryBlobs::new(),
                fault,
            })
        });
        assert!(!report.failed.is_empty(), "{fault:?} was not caught");
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum RowFault {
    ForgetsCommits,
    CommitsWhatWasDropped,
    RemembersOldAnswers,
    IgnoresTheTag,
    PagesInclude,
    IgnoresArtifactTypes,
    ShowsBlobsToAll,
    UnsortedTags,
    NoHistoryBefore,
}

#[derive(Debug)]
struct BrokenMetadata {
    inner: MemoryMetadata,
    fault: RowFault,
    old: std::sync::Mutex<Option<Lookup<ManifestRecord>>>,
}

/// Passes everything on, apart from how it ends.
#[derive(Debug)]
struct BrokenUnit {
    inner: Option<Box<dyn UnitOfWork>>,
    fault: RowFault,
}

#[async_trait]
impl UnitOfWork for BrokenUnit {
    fn repositories(&mut self) -> &mut dyn RepositoryStore {
        self.inner.as_mut().unwrap().repositories()
    }

    fn manifests(&mut self) -> &mut dyn ManifestStore {
        self.inner.as_mut().unwrap().manifests()
    }

    fn tags(&mut self) -> &mut dyn TagStore {
        self.inner.as_mut().unwrap().tags()
    }

    fn blobs(&mut self) -> &mut dyn BlobIndex {
        self.inner.as_mut().unwrap().blobs()
    }

    fn uploads(&mut self) -> &mut dyn UploadStore {
        self.inner.as_mut().unwrap().uploads()
    }

    fn outbox(&mut self) -> &mut dyn Outbox {
        self.inner.as_mut().unwrap().outbox()
    }

    async fn commit(mut self: Box<Self>) -> Result<(), StoreError> {
        let inner = self.inner.take().unwrap();
        if self.fault == RowFault::ForgetsCommits {
            return Ok(());
        }
        inner.commit().await
    }
}

impl Drop for BrokenUnit {
    fn drop(&mut self) {
        if let (Some(inner), RowFault::CommitsWhatWasDropped) = (self.inner.take(), self.fault) {
            inner.commit().now_or_never().unwrap().unwrap();
        }
    }
}

#[async_trait]
impl MetadataStore for BrokenMetadata {
    fn is_sole_writer(&self) -> bool {
        true
    }

    async fn repository(&self, name: &RepositoryName) -> Result<Option<Arc<RepositoryRecord>>, StoreError> {
        self.inner.repository(name).await
    }

    async fn manifest(
        &self,
        name: &RepositoryName,
        reference: &Reference,
        now: Timestamp,
    ) -> Result<Lookup<ManifestRecord>, StoreError> {
        let lookup = match (self.fault, reference) {
            (RowFault::IgnoresTheTag, Reference::Tag(_)) => {
                let tag = Reference::Tag(Tag::new("v1").unwrap());
                self.inner.manifest(name, &tag, now).await?
            }
            _ => self.inner.manifest(name, reference, now).await?,
        };
        if self.fault == RowFault::RemembersOldAnswers {
            let mut old = self.old.lock().unwrap();
            return Ok(old.get_or_insert(lookup).clone());
        }
        Ok(lookup)
    }

    async fn blob(&self, name: &RepositoryName, digest: &Digest) -> Result<Lookup<BlobRecord>, StoreError> {
        let mut lookup = self.inner.blob(name, digest).await?;
        if self.fault == RowFault::ShowsBlobsToAll {
            lookup.found = self.inner.begin().await?.blobs().find(digest).await?;
        }
        Ok(lookup)
    }

    async fn tags(
        &self,
        name: &RepositoryName,
        page: &PageRequest<Tag>,
        now: Timestamp,
    ) -> Result<Lookup<Vec<Tag>>, StoreError> {
        let mut lookup = self.inner.tags(name, page, now).await?;
        if let Some(tags) = &mut lookup.found {
            match self.fault {
                RowFault::UnsortedTags => tags.reverse(),
                RowFault::PagesInclude => tags.splice(0..0, page.after.clone()).for_each(drop),
                _ => {}
            }
        }
        Ok(lookup)
    }

    async fn repositories(
        &self,
        page: &PageRequest<String>,
    ) -> Result<Vec<Arc<RepositoryRecord>>, StoreError> {
        let page = match self.fault {
            RowFault::NoHistoryBefore => &PageRequest::new(None, page.limit),
            _ => page,
        };
        self.inner.repositories(page).await
    }

    async fn referrers(
        &self,
        name: &RepositoryName,
        subject: &Digest,
        artifact_type: Option<&MediaType>,
        page: &PageRequest<Digest>,
    ) -> Result<Lookup<Vec<Referrer>>, StoreError> {
        let artifact_type = artifact_type.filter(|_| self.fault != RowFault::IgnoresArtifactTypes);
        self.inner.referrers(name, subject, artifact_type, page).await
    }

    async fn upload(&self, id: &str) -> Result<Option<UploadRecord>, StoreError> {
        self.inner.upload(id).await
    }

    async fn begin(&self) -> Result<Box<dyn UnitOfWork>, StoreError> {
        Ok(Box::new(BrokenUnit {
            inner: Some(self.inner.begin().await?),
            fault: self.fault,
        }))
    }
}

#[test]
fn every_broken_metadata_store_is_caught() {
    use RowFault::*;
    for fault in [
        ForgetsCommits,
        CommitsWhatWasDropped,
        RemembersOldAnswers,
        IgnoresTheTag,
        PagesInclude,
        IgnoresArtifactTypes,
        ShowsBlobsToAll,
        UnsortedTags,
        NoHistoryBefore,
    ] {
        let report = run_metadata(move || {
            Arc::new(BrokenMetadata {
                inner: MemoryMetadata::new(),
                fault,
                old: std::sync::Mutex::default(),
            })
        });
        assert!(!report.failed.is_empty(), "{fault:?} was not caught");
    }
}
