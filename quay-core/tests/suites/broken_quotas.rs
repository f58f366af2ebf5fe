//! Stores that count wrong on purpose.

use std::sync::Arc;

use async_trait::async_trait;
use quay_core::memory::MemoryMetadata;
use quay_core::metadata::{
    BlobIndex, BlobRecord, GarbageStore, LabelRecord, LinkedBlob, Lookup, ManifestRecord, ManifestStore,
    Outbox, PageRequest, Quota, QuotaLimit, QuotaLimitKind, QuotaOwner, QuotaStore, QuotaUse, Referrer,
    RegistrySize, RepositoryId, RepositoryRecord, RepositoryStore, TagEntry, TagFilter, TagPosition,
    TagStore, UnitOfWork, UploadRecord, UploadStore, Usage,
};
use quay_core::runtime::Timestamp;
use quay_core::{Digest, MediaType, MetadataStore, Reference, RepositoryName, StoreError, Tag};

use crate::run_metadata;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    Nothing,
    NamespaceIsTheRepository,
    NothingGrows,
    GrowsWhatIsThere,
    PromisesNothing,
    PromisesMore,
    AnyUploadIsThere,
    UploadsSayNothing,
    QuotasStay,
    QuotasAreNotShown,
    SizesStay,
    LevelsStay,
    LevelsKeepTheirPercent,
    CountsForEver,
    IsAlwaysQueued,
    NeverCounted,
}

#[derive(Debug)]
struct Broken {
    inner: MemoryMetadata,
    fault: Fault,
}

#[derive(Debug)]
struct BrokenUnit {
    inner: Box<dyn UnitOfWork>,
    fault: Fault,
}

impl BrokenUnit {
    fn inner(&mut self) -> &mut dyn QuotaStore {
        self.inner.quotas().unwrap()
    }
}

#[async_trait]
impl UnitOfWork for BrokenUnit {
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

    fn garbage(&mut self) -> Option<&mut dyn GarbageStore> {
        self.inner.garbage()
    }

    fn quotas(&mut self) -> Option<&mut dyn QuotaStore> {
        Some(self)
    }

    async fn commit(self: Box<Self>) -> Result<(), StoreError> {
        self.inner.commit().await
    }
}

fn distorted(mut usage: Usage, fault: Fault) -> Usage {
    match fault {
        Fault::NamespaceIsTheRepository => usage.namespace = usage.repository.clone(),
        Fault::NothingGrows => {
            usage.namespace = usage.namespace.with_grown(0);
            usage.repository = usage.repository.with_grown(0);
        }
        Fault::GrowsWhatIsThere => {
            let used = i64::try_from(usage.repository.used).unwrap();
            usage.repository = usage.repository.with_grown(used);
        }
        Fault::QuotasAreNotShown => usage.namespace = usage.namespace.with_quota(None),
        _ => {}
    }
    usage
}

#[async_trait]
impl QuotaStore for BrokenUnit {
    async fn usage(&mut self, repository: RepositoryId) -> Result<Usage, StoreError> {
        let fault = self.fault;
        Ok(distorted(self.inner().usage(repository).await?, fault))
    }

    async fn reserve(&mut self, upload: &str, bytes: u64) -> Result<bool, StoreError> {
        let bytes = match self.fault {
            Fault::PromisesNothing => 0,
            Fault::PromisesMore => bytes + 1,
            _ => bytes,
        };
        let there = self.inner().reserve(upload, bytes).await?;
        Ok(there || self.fault == Fault::AnyUploadIsThere)
    }

    async fn quota(&mut self, owner: &QuotaOwner) -> Result<Option<Quota>, StoreError> {
        self.inner().quota(owner).await
    }

    async fn insert_quota(&mut self, owner: &QuotaOwner, bytes: u64) -> Result<Option<i64>, StoreError> {
        self.inner().insert_quota(owner, bytes).await
    }

    async fn resize_quota(&mut self, quota: i64, bytes: u64) -> Result<(), StoreError> {
        if self.fault == Fault::SizesStay {
            return Ok(());
        }
        self.inner().resize_quota(quota, bytes).await
    }

    async fn delete_quota(&mut self, quota: i64) -> Result<(), StoreError> {
        if self.fault == Fault::QuotasStay {
            return Ok(());
        }
        self.inner().delete_quota(quota).await
    }

    async fn insert_limit(
        &mut self,
        quota: i64,
        kind: QuotaLimitKind,
        percent: u32,
    ) -> Result<i64, StoreError> {
        self.inner().insert_limit(quota, kind, percent).await
    }

    async fn save_limit(&mut self, limit: &QuotaLimit) -> Result<(), StoreError> {
        let mut limit = *limit;
        if self.fault == Fault::LevelsKeepTheirPercent {
            limit.percent = 80;
        }
        self.inner().save_limit(&limit).await
    }

    async fn delete_limit(&mut self, limit: i64) -> Result<(), StoreError> {
        if self.fault == Fault::LevelsStay {
            return Ok(());
        }
        self.inner().delete_limit(limit).await
    }

    async fn queue_recount(&mut self, owner: &QuotaOwner) -> Result<(), StoreError> {
        self.inner().queue_recount(owner).await
    }

    async fn recount(&mut self, batch: usize, now: Timestamp) -> Result<bool, StoreError> {
        if self.fault == Fault::NeverCounted {
            return Ok(false);
        }
        let more = self.inner().recount(batch, now).await?;
        Ok(more || self.fault == Fault::CountsForEver)
    }

    async fn registry_size(&mut self) -> Result<RegistrySize, StoreError> {
        self.inner().registry_size().await
    }

    async fn queue_registry_size(&mut self) -> Result<bool, StoreError> {
        let queued = self.inner().queue_registry_size().await?;
        Ok(queued || self.fault == Fault::IsAlwaysQueued)
    }
}

#[async_trait]
impl MetadataStore for Broken {
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
        self.inner.manifest(name, reference, now).await
    }

    async fn blob(&self, name: &RepositoryName, digest: &Digest) -> Result<Lookup<BlobRecord>, StoreError> {
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

    async fn usage(&self, name: &RepositoryName) -> Result<Option<Usage>, StoreError> {
        let usage = self.inner.usage(name).await?;
        Ok(usage.map(|usage| distorted(usage, self.fault)))
    }

    async fn namespace_usage(&self, namespace: &str) -> Result<Option<QuotaUse>, StoreError> {
        self.inner.namespace_usage(namespace).await
    }

    async fn upload(&self, id: &str) -> Result<Option<UploadRecord>, StoreError> {
        let mut upload = self.inner.upload(id).await?;
        if let (Fault::UploadsSayNothing, Some(upload)) = (self.fault, &mut upload) {
            upload.reserved = 0;
        }
        Ok(upload)
    }

    async fn begin(&self) -> Result<Box<dyn UnitOfWork>, StoreError> {
        Ok(Box::new(BrokenUnit {
            inner: self.inner.begin().await?,
            fault: self.fault,
        }))
    }
}

#[test]
fn every_store_that_counts_wrong_is_caught() {
    use Fault::*;
    for fault in [
        NamespaceIsTheRepository,
        NothingGrows,
        GrowsWhatIsThere,
        PromisesNothing,
        PromisesMore,
        AnyUploadIsThere,
        UploadsSayNothing,
        QuotasStay,
        QuotasAreNotShown,
        SizesStay,
        LevelsStay,
        LevelsKeepTheirPercent,
        CountsForEver,
        IsAlwaysQueued,
        NeverCounted,
    ] {
        let report = run_metadata(move || {
            Arc::new(Broken {
                inner: MemoryMetadata::new(),
                fault,
            })
        });
        assert!(!report.failed.is_empty(), "{fault:?} was not caught");
    }
}

#[test]
fn the_decorator_alone_counts_right() {
    let report = run_metadata(|| {
        Arc::new(Broken {
            inner: MemoryMetadata::new(),
            fault: Fault::Nothing,
        })
    });
    report.assert_passed();
}
