//! Blob stores that are broken on purpose.

use std::sync::Arc;

use async_trait::async_trait;
use quay_core::blob_store::{
    Append, Appended, BlobBody, BlobInventory, ByteStream, Hashed, ObjectKey, Open, Published, StagedUpload,
    UploadState,
};
use quay_core::memory::MemoryBlobs;
use quay_core::runtime::{Spawner, Timestamp};
use quay_core::testing::ThreadSpawner;
use quay_core::{BlobStore, Digest, Hasher, ResolvedRange, StoreError, StoreErrorKind};

use crate::run_blobs;

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
    AlwaysUnpublished,
    NeverFound,
    HashesNothing,
    SharesKeys,
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

    async fn append_hashed(
        &self,
        state: &UploadState,
        data: ByteStream,
        options: Append,
        hasher: Hasher,
        _: &Arc<dyn Spawner>,
    ) -> Result<Hashed, StoreError> {
        let spawner: Arc<dyn Spawner> = Arc::new(ThreadSpawner);
        let before = hasher.clone();
        let mut outcome = self
            .inner
            .append_hashed(state, data, options, hasher, &spawner)
            .await?;
        if self.is(BlobFault::HashesNothing) {
            outcome.hasher = before;
        }
        Ok(outcome)
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
        let id = String::from_utf8_lossy(state.as_bytes().get(1..).unwrap_or_default()).into_owned();
        let key = ObjectKey::of_upload(digest, &id);
        if self.is(BlobFault::CommitsNothing) {
            return Ok(Published::at(key));
        }
        if self.is(BlobFault::SharesKeys) {
            self.inner.commit(state, digest, length).await?;
            let shared = self.inner.begin("shared").await?;
            let content = self.inner.staged(state, length).await?;
            let BlobBody::Bytes(content) = content else {
                unreachable!()
            };
            let body = futures::stream::iter([Ok(content)]);
            self.inner.append(&shared, Box::pin(body), Append::at(0)).await?;
            let published = self.inner.commit(&shared, digest, length).await;
            self.inner.abort(&shared).await?;
            return published;
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

    async fn staged_upload(&self, id: &str) -> Result<Option<StagedUpload>, StoreError> {
        if self.is(BlobFault::NeverFound) {
            return Ok(None);
        }
        self.inner.staged_upload(id).await
    }

    async fn unpublish(&self, state: &UploadState, digest: &Digest) -> Result<bool, StoreError> {
        if self.is(BlobFault::UnpublishesForeign) {
            for id in ["a1", "a2"] {
                self.inner.delete(&[ObjectKey::of_upload(digest, id)]).await;
            }
        }
        let removed = self.inner.unpublish(state, digest).await?;
        Ok(removed || self.is(BlobFault::AlwaysUnpublished))
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
        AlwaysUnpublished,
        NeverFound,
        HashesNothing,
        SharesKeys,
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
