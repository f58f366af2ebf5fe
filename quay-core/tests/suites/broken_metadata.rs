//! Metadata stores that are broken on purpose.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use quay_core::blob_store::{ObjectKey, UploadState};
use quay_core::memory::MemoryMetadata;
use quay_core::metadata::{
    BlobIndex, BlobRecord, GarbageStore, LabelRecord, LabelStore, LifecycleStore, LinkedBlob, Lookup,
    ManifestRecord, ManifestStore, NewBlob, NewManifest, NewUpload, Outbox, OutboxRow, PageRequest,
    PolicyKind, PolicyOwner, PolicyRecord, PolicyTask, PullCount, PullTotal, PulledAs, PutOutcome, RatedTag,
    Referrer, RepositoryId, RepositoryRecord, RepositoryStore, StoredManifest, TagEntry, TagFilter,
    TagPosition, TagRecord, TagStore, TagTarget, UnitOfWork, UploadRecord, UploadStore,
};
use quay_core::runtime::Timestamp;
use quay_core::{Digest, MediaType, MetadataStore, Reference, RepositoryName, StoreError, Tag};

use crate::run_metadata;

type Rows<T> = Result<Vec<T>, StoreError>;

#[derive(Debug, Clone, Copy, PartialEq)]
enum RowFault {
    Nothing,
    ForgetsCommits,
    CommitsWhatWasDropped,
    RemembersOldAnswers,
    IgnoresTheTag,
    PagesInclude,
    IgnoresArtifactTypes,
    ShowsBlobsToAll,
    UnsortedTags,
    RepositoriesFromTheStart,
    PointsAtNothing,
    EndsNoTag,
    ForgetsHistory,
    LinkedToAll,
    EndlessLeases,
    UnlinksNothing,
    ClaimsForAll,
    LosesHashState,
    RemovesAnyVersion,
    StaleNewestFirst,
    DeliversTwice,
    NeverCompletes,
    HoldersOldestFirst,
    HistoryOldestFirst,
    HistoryOfAllNames,
    NeverEndsByItself,
    ForgetsReversions,
    RevivesNothing,
    ForgetsLabels,
    LabelsWithAnyPrefix,
    RemembersEverything,
    PoliciesOfAnybody,
    PoliciesOfOneOwner,
    TagsHaveNoPulls,
    PullsAreNeverOver,
    RatesOldestFirst,
    RatesFromTheStart,
    NeverPulled,
    MutableRows,
    ImmutableForGood,
    TasksForAll,
    TasksOfAnyVersion,
    TasksBeginNever,
    CountsTheLastAlone,
    LatestPullWins,
}

#[derive(Debug)]
struct BrokenMetadata {
    inner: MemoryMetadata,
    fault: RowFault,
    old: std::sync::Mutex<Option<Lookup<ManifestRecord>>>,
}

/// Passes everything on, apart from what is broken.
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
        self
    }

    fn labels(&mut self) -> Option<&mut dyn LabelStore> {
        self.inner.as_mut().unwrap().labels()
    }

    fn lifecycle(&mut self) -> Option<&mut dyn LifecycleStore> {
        Some(self)
    }

    fn garbage(&mut self) -> Option<&mut dyn GarbageStore> {
        self.inner().garbage()
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

    async fn commit(mut self: Box<Self>) -> Result<(), StoreError> {
        let inner = self.inner.take().unwrap();
        if self.fault == RowFault::ForgetsCommits {
            return Ok(());
        }
        inner.commit().await
    }
}

impl BrokenUnit {
    fn inner(&mut self) -> &mut dyn UnitOfWork {
        self.inner.as_deref_mut().unwrap()
    }
}

#[async_trait]
impl LifecycleStore for BrokenUnit {
    async fn insert_policy(&mut self, policy: &PolicyRecord) -> Result<(), StoreError> {
        self.inner().lifecycle().unwrap().insert_policy(policy).await
    }

    async fn save_policy(&mut self, policy: &PolicyRecord) -> Result<bool, StoreError> {
        self.inner().lifecycle().unwrap().save_policy(policy).await
    }

    async fn delete_policy(
        &mut self,
        kind: PolicyKind,
        owner: &PolicyOwner,
        uuid: &str,
    ) -> Result<bool, StoreError> {
        let anybody = self.fault == RowFault::PoliciesOfAnybody;
        let kept = self.inner().lifecycle().unwrap();
        Ok(kept.delete_policy(kind, owner, uuid).await? || anybody)
    }

    async fn policies(&mut self, kind: PolicyKind, owners: &[PolicyOwner]) -> Rows<PolicyRecord> {
        self.inner().lifecycle().unwrap().policies(kind, owners).await
    }

    async fn rated_tags(
        &mut self,
        of: RepositoryId,
        after: Option<&TagPosition>,
        limit: usize,
        now: Timestamp,
    ) -> Rows<RatedTag> {
        let fault = self.fault;
        let after = after.filter(|_| fault != RowFault::RatesFromTheStart);
        let kept = self.inner().lifecycle().unwrap();
        let mut tags = kept.rated_tags(of, after, limit, now).await?;
        match fault {
            RowFault::RatesOldestFirst => tags.reverse(),
            RowFault::NeverPulled => {
                for tag in &mut tags {
                    tag.pulled = None;
                }
            }
            _ => {}
        }
        Ok(tags)
    }

    async fn set_immutable(
        &mut self,
        of: RepositoryId,
        names: &[Tag],
        immutable: bool,
    ) -> Result<(), StoreError> {
        let immutable = match self.fault {
            RowFault::MutableRows => false,
            RowFault::ImmutableForGood => true,
            _ => immutable,
        };
        self.inner()
            .lifecycle()
            .unwrap()
            .set_immutable(of, names, immutable)
            .await
    }

    async fn schedule(
        &mut self,
        kind: PolicyKind,
        owner: &PolicyOwner,
        due: Timestamp,
    ) -> Result<(), StoreError> {
        let fault = self.fault;
        let kept = self.inner().lifecycle().unwrap();
        if fault == RowFault::TasksBeginNever {
            return kept.ensure_scheduled(kind, owner, due).await;
        }
        kept.schedule(kind, owner, due).await
    }

    async fn ensure_scheduled(
        &mut self,
        kind: PolicyKind,
        owner: &PolicyOwner,
        due: Timestamp,
    ) -> Result<(), StoreError> {
        self.inner()
            .lifecycle()
            .unwrap()
            .ensure_scheduled(kind, owner, due)
            .await
    }

    async fn claim_task(
        &mut self,
        kinds: &[PolicyKind],
        until: Timestamp,
        now: Timestamp,
    ) -> Result<Option<PolicyTask>, StoreError> {
        let until = match self.fault {
            RowFault::TasksForAll => now,
            _ => until,
        };
        self.inner()
            .lifecycle()
            .unwrap()
            .claim_task(kinds, until, now)
            .await
    }

    async fn proceed(
        &mut self,
        task: &PolicyTask,
        place: Option<&str>,
        due: Timestamp,
    ) -> Result<bool, StoreError> {
        let any = self.fault == RowFault::TasksOfAnyVersion;
        let kept = self.inner().lifecycle().unwrap();
        Ok(kept.proceed(task, place, due).await? || any)
    }

    async fn finish(&mut self, task: &PolicyTask) -> Result<bool, StoreError> {
        self.inner().lifecycle().unwrap().finish(task).await
    }

    async fn count_pulls(&mut self, pulls: &[PullCount]) -> Result<(), StoreError> {
        let mut pulls = pulls.to_vec();
        for pull in &mut pulls {
            let kept = self.inner.as_deref_mut().unwrap().lifecycle().unwrap();
            let known = kept.pulls_of(pull.repository, &pull.digest).await?;
            let known = known.into_iter().find(|known| known.tag == pull.tag);
            match (self.fault, known) {
                (RowFault::CountsTheLastAlone, Some(_)) => pull.pulls = 0,
                (RowFault::LatestPullWins, Some(known)) => {
                    pull.last = known.last.max(pull.last).plus(Duration::from_millis(1));
                }
                _ => {}
            }
        }
        self.inner().lifecycle().unwrap().count_pulls(&pulls).await
    }

    async fn pulls_of(&mut self, of: RepositoryId, digest: &Digest) -> Rows<PullCount> {
        self.inner().lifecycle().unwrap().pulls_of(of, digest).await
    }
}

#[async_trait]
impl TagStore for BrokenUnit {
    async fn live(&mut self, of: RepositoryId, names: &[Tag], now: Timestamp) -> Rows<TagRecord> {
        self.inner().tags().live(of, names, now).await
    }

    async fn pointing_at(&mut self, of: RepositoryId, manifest: i64) -> Rows<TagRecord> {
        let mut found = self.inner().tags().pointing_at(of, manifest).await?;
        if self.fault == RowFault::PointsAtNothing {
            found.clear();
        }
        Ok(found)
    }

    async fn set(
        &mut self,
        of: RepositoryId,
        name: &Tag,
        target: TagTarget,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let reversion = target.reversion && self.fault != RowFault::ForgetsReversions;
        let target = target.with_reversion(reversion);
        self.inner().tags().set(of, name, target, now).await
    }

    async fn set_end(
        &mut self,
        of: RepositoryId,
        name: &Tag,
        end: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        if self.fault == RowFault::NeverEndsByItself {
            return self.inner().tags().set_end(of, name, None).await;
        }
        self.inner().tags().set_end(of, name, end).await
    }

    async fn remembers(
        &mut self,
        of: RepositoryId,
        manifest: i64,
        since: Timestamp,
    ) -> Result<bool, StoreError> {
        if self.fault == RowFault::RemembersEverything {
            return Ok(true);
        }
        self.inner().tags().remembers(of, manifest, since).await
    }

    async fn end(&mut self, of: RepositoryId, name: &Tag, now: Timestamp) -> Result<bool, StoreError> {
        if self.fault == RowFault::EndsNoTag {
            return Ok(true);
        }
        self.inner().tags().end(of, name, now).await
    }

    async fn history(
        &mut self,
        of: RepositoryId,
        name: &Tag,
        before: Option<i64>,
        limit: usize,
    ) -> Rows<TagRecord> {
        let mut rows = self.inner().tags().history(of, name, before, limit).await?;
        if self.fault == RowFault::ForgetsHistory {
            rows.truncate(1);
        }
        Ok(rows)
    }
}

#[async_trait]
impl ManifestStore for BrokenUnit {
    async fn find(
        &mut self,
        of: RepositoryId,
        digest: &Digest,
    ) -> Result<Option<StoredManifest>, StoreError> {
        self.inner().manifests().find(of, digest).await
    }

    async fn live(
        &mut self,
        of: RepositoryId,
        digests: &[Digest],
    ) -> Result<HashMap<Digest, i64>, StoreError> {
        self.inner().manifests().live(of, digests).await
    }

    async fn put(
        &mut self,
        of: RepositoryId,
        manifest: &NewManifest,
        now: Timestamp,
    ) -> Result<(i64, PutOutcome), StoreError> {
        self.inner().manifests().put(of, manifest, now).await
    }

    async fn end(&mut self, of: RepositoryId, manifest: i64, now: Timestamp) -> Result<(), StoreError> {
        self.inner().manifests().end(of, manifest, now).await
    }

    async fn revive(&mut self, of: RepositoryId, manifest: i64) -> Result<bool, StoreError> {
        if self.fault == RowFault::RevivesNothing {
            return Ok(true);
        }
        self.inner().manifests().revive(of, manifest).await
    }

    async fn holds_blob(&mut self, of: RepositoryId, digest: &Digest) -> Result<bool, StoreError> {
        self.inner().manifests().holds_blob(of, digest).await
    }
}

#[async_trait]
impl BlobIndex for BrokenUnit {
    async fn find(&mut self, digest: &Digest) -> Result<Option<BlobRecord>, StoreError> {
        self.inner().blobs().find(digest).await
    }

    async fn record(&mut self, blob: &NewBlob, now: Timestamp) -> Result<(i64, ObjectKey), StoreError> {
        self.inner().blobs().record(blob, now).await
    }

    async fn linked(&mut self, of: RepositoryId, digests: &[Digest]) -> Rows<Digest> {
        if self.fault == RowFault::LinkedToAll {
            return Ok(digests.to_vec());
        }
        self.inner().blobs().linked(of, digests).await
    }

    async fn link(
        &mut self,
        of: RepositoryId,
        blob: i64,
        digest: &Digest,
        lease: Timestamp,
    ) -> Result<(), StoreError> {
        let lease = match self.fault {
            RowFault::EndlessLeases => Timestamp::from_millis(i64::MAX),
            _ => lease,
        };
        self.inner().blobs().link(of, blob, digest, lease).await
    }

    async fn unlink(&mut self, of: RepositoryId, digest: &Digest) -> Result<bool, StoreError> {
        if self.fault == RowFault::UnlinksNothing {
            return Ok(true);
        }
        self.inner().blobs().unlink(of, digest).await
    }
}

#[async_trait]
impl UploadStore for BrokenUnit {
    async fn insert(&mut self, upload: &NewUpload, now: Timestamp) -> Result<(), StoreError> {
        self.inner().uploads().insert(upload, now).await
    }

    async fn claim(
        &mut self,
        id: &str,
        version: i64,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        if self.fault == RowFault::ClaimsForAll {
            return Ok(true);
        }
        self.inner().uploads().claim(id, version, until, now).await
    }

    async fn advance(
        &mut self,
        id: &str,
        version: i64,
        offset: u64,
        hash_state: &[u8],
        state: &UploadState,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let hash_state = match self.fault {
            RowFault::LosesHashState => b"",
            _ => hash_state,
        };
        self.inner()
            .uploads()
            .advance(id, version, offset, hash_state, state, now)
            .await
    }

    async fn remove(&mut self, id: &str, version: i64) -> Result<bool, StoreError> {
        if self.fault == RowFault::RemovesAnyVersion {
            for any in 0..10 {
                if self.inner().uploads().remove(id, any).await? {
                    return Ok(true);
                }
            }
        }
        self.inner().uploads().remove(id, version).await
    }

    async fn stale(&mut self, before: Timestamp, limit: usize) -> Rows<UploadRecord> {
        let mut found = self.inner().uploads().stale(before, limit).await?;
        if self.fault == RowFault::StaleNewestFirst {
            found.reverse();
        }
        Ok(found)
    }
}

#[async_trait]
impl Outbox for BrokenUnit {
    async fn push(&mut self, kind: &str, payload: &str, now: Timestamp) -> Result<(), StoreError> {
        self.inner().outbox().push(kind, payload, now).await
    }

    async fn claim(&mut self, kind: &str, limit: usize, hold: Duration, now: Timestamp) -> Rows<OutboxRow> {
        let hold = match self.fault {
            RowFault::DeliversTwice => Duration::ZERO,
            _ => hold,
        };
        self.inner().outbox().claim(kind, limit, hold, now).await
    }

    async fn complete(&mut self, id: i64) -> Result<(), StoreError> {
        if self.fault == RowFault::NeverCompletes {
            return Ok(());
        }
        self.inner().outbox().complete(id).await
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
            RowFault::RepositoriesFromTheStart => &PageRequest::new(None, page.limit),
            _ => page,
        };
        self.inner.repositories(page).await
    }

    async fn holders(&self, digest: &Digest, page: &PageRequest<RepositoryId>) -> Rows<LinkedBlob> {
        let mut found = self.inner.holders(digest, page).await?;
        if self.fault == RowFault::HoldersOldestFirst {
            found.reverse();
        }
        Ok(found)
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

    async fn tag_history(
        &self,
        name: &RepositoryName,
        filter: &TagFilter,
        skip: usize,
        page: &PageRequest<TagPosition>,
        now: Timestamp,
    ) -> Result<Lookup<Vec<TagEntry>>, StoreError> {
        let mut filter = filter.clone();
        if self.fault == RowFault::HistoryOfAllNames {
            filter.names = None;
        }
        let mut lookup = self.inner.tag_history(name, &filter, skip, page, now).await?;
        if let (RowFault::HistoryOldestFirst, Some(entries)) = (self.fault, &mut lookup.found) {
            entries.reverse();
        }
        Ok(lookup)
    }

    async fn labels(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        prefix: &str,
    ) -> Result<Lookup<Vec<LabelRecord>>, StoreError> {
        let prefix = match self.fault {
            RowFault::LabelsWithAnyPrefix => "",
            _ => prefix,
        };
        let mut lookup = self.inner.labels(name, digest, prefix).await?;
        if let (RowFault::ForgetsLabels, Some(labels)) = (self.fault, &mut lookup.found) {
            labels.clear();
        }
        Ok(lookup)
    }

    async fn policies(&self, kind: PolicyKind, owners: &[PolicyOwner]) -> Rows<PolicyRecord> {
        let owners = match self.fault {
            RowFault::PoliciesOfOneOwner => owners.get(..1).unwrap_or_default(),
            _ => owners,
        };
        self.inner.policies(kind, owners).await
    }

    async fn pulls(&self, repository: RepositoryId, of: PulledAs<'_>) -> Result<PullTotal, StoreError> {
        let total = self.inner.pulls(repository, of).await?;
        let distorted = match (self.fault, of) {
            (RowFault::TagsHaveNoPulls, PulledAs::Tag(_)) => PullTotal::default(),
            (RowFault::PullsAreNeverOver, _) => PullTotal::new(total.pulls, None),
            _ => total,
        };
        Ok(distorted)
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
    let faults = [
        ForgetsCommits,
        CommitsWhatWasDropped,
        RemembersOldAnswers,
        IgnoresTheTag,
        PagesInclude,
        IgnoresArtifactTypes,
        ShowsBlobsToAll,
        UnsortedTags,
        RepositoriesFromTheStart,
        PointsAtNothing,
        EndsNoTag,
        ForgetsHistory,
        LinkedToAll,
        EndlessLeases,
        UnlinksNothing,
        ClaimsForAll,
        LosesHashState,
        RemovesAnyVersion,
        StaleNewestFirst,
        DeliversTwice,
        NeverCompletes,
        HoldersOldestFirst,
        HistoryOldestFirst,
        HistoryOfAllNames,
        NeverEndsByItself,
        ForgetsReversions,
        RevivesNothing,
        ForgetsLabels,
        LabelsWithAnyPrefix,
        RemembersEverything,
        PoliciesOfAnybody,
        PoliciesOfOneOwner,
        TagsHaveNoPulls,
        PullsAreNeverOver,
        RatesOldestFirst,
        RatesFromTheStart,
        NeverPulled,
        MutableRows,
        ImmutableForGood,
        TasksForAll,
        TasksOfAnyVersion,
        TasksBeginNever,
        CountsTheLastAlone,
        LatestPullWins,
    ];
    let is_missed = |fault: &RowFault| {
        let fault = *fault;
        let report = run_metadata(move || {
            Arc::new(BrokenMetadata {
                inner: MemoryMetadata::new(),
                fault,
                old: std::sync::Mutex::default(),
            })
        });
        report.failed.is_empty()
    };
    let missed: Vec<RowFault> = faults.into_iter().filter(is_missed).collect();
    assert!(missed.is_empty(), "{missed:?} were not caught");
}

#[test]
fn the_decorator_alone_breaks_nothing() {
    // A store whose decorator fails by itself would be caught for any fault.
    let report = run_metadata(|| {
        Arc::new(BrokenMetadata {
            inner: MemoryMetadata::new(),
            fault: RowFault::Nothing,
            old: std::sync::Mutex::default(),
        })
    });
    report.assert_passed();
}
