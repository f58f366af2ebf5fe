//! Stores that remember the past of tags, or scans, wrong on purpose.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use quay_core::memory::MemoryMetadata;
use quay_core::metadata::{
    BlobIndex, BlobRecord, GarbageStore, LabelRecord, LinkedBlob, Lookup, ManifestRecord, ManifestScan,
    ManifestStore, Outbox, PageRequest, PastStore, QuotaStore, QuotaUse, Referrer, RepositoryId,
    RepositoryRecord, RepositoryStore, ScanRecord, ScanStatus, ScanStore, TagEntry, TagFilter, TagPosition,
    TagRecord, TagStore, UnitOfWork, UploadRecord, UploadStore, Usage,
};
use quay_core::runtime::Timestamp;
use quay_core::scanner::Severity;
use quay_core::{Digest, MediaType, MetadataStore, Reference, RepositoryName, StoreError, Tag};

use crate::run_metadata;

const EVER: Timestamp = Timestamp::from_millis(i64::MAX / 4);
const INSTANT: Duration = Duration::from_millis(1);

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    Nothing,
    EverythingWasMade,
    NothingWasMade,
    ChangesOfTheMomentCount,
    ChangesToComeCount,
    WhatHasEndedIsNoChange,
    ChangesOfAnybody,
    ChangesFromTheStart,
    ChangesWithoutEnd,
    ChangesBackwards,
    RowsAsTheyAre,
    RowsThatEndCount,
    RowsOfThePastAlone,
    ErasesNothing,
    ErasesSilently,
    ErasesWhatIsAlive,
    ErasesWhatWillEnd,
    ErasesAllManifests,
    ErasesUnseen,
    ManifestsHaveNoSize,
    ScansAreForgotten,
    FirstScansStay,
    ReasonsAreForgotten,
    AttemptsAreForgotten,
    StatesAreForgotten,
    SeveritiesAreForgotten,
    ScansOfLiveManifestsAlone,
    AnyManifestIsThere,
    UnscannedManifestsAreNotThere,
    QueuedScansAreDone,
    UnsupportedIsFailed,
    EveryStateIsOutdated,
    LateScansAreOutdated,
    NewestScansFirst,
    OutdatedWithoutEnd,
    NothingIsReassessed,
    EverythingIsReassessed,
}

use Fault::*;

const FAULTS: &[Fault] = &[
    EverythingWasMade,
    NothingWasMade,
    ChangesOfTheMomentCount,
    ChangesToComeCount,
    WhatHasEndedIsNoChange,
    ChangesOfAnybody,
    ChangesFromTheStart,
    ChangesWithoutEnd,
    ChangesBackwards,
    RowsAsTheyAre,
    RowsThatEndCount,
    RowsOfThePastAlone,
    ErasesNothing,
    ErasesSilently,
    ErasesWhatIsAlive,
    ErasesWhatWillEnd,
    ErasesAllManifests,
    ErasesUnseen,
    ManifestsHaveNoSize,
    ScansAreForgotten,
    FirstScansStay,
    ReasonsAreForgotten,
    AttemptsAreForgotten,
    StatesAreForgotten,
    SeveritiesAreForgotten,
    ScansOfLiveManifestsAlone,
    AnyManifestIsThere,
    UnscannedManifestsAreNotThere,
    QueuedScansAreDone,
    UnsupportedIsFailed,
    EveryStateIsOutdated,
    LateScansAreOutdated,
    NewestScansFirst,
    OutdatedWithoutEnd,
    NothingIsReassessed,
    EverythingIsReassessed,
];

#[derive(Debug)]
struct Broken {
    inner: MemoryMetadata,
    fault: Fault,
}

#[derive(Debug)]
struct BrokenUnit {
    inner: Box<dyn UnitOfWork>,
    /// What was committed before this unit of work.
    before: MemoryMetadata,
    fault: Fault,
}

impl BrokenUnit {
    fn past_of(&mut self) -> &mut dyn PastStore {
        self.inner.past().unwrap()
    }

    fn scans_of(&mut self) -> &mut dyn ScanStore {
        self.inner.scans().unwrap()
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
        self.inner.quotas()
    }

    fn past(&mut self) -> Option<&mut dyn PastStore> {
        Some(self)
    }

    fn scans(&mut self) -> Option<&mut dyn ScanStore> {
        Some(self)
    }

    async fn commit(self: Box<Self>) -> Result<(), StoreError> {
        self.inner.commit().await
    }
}

#[async_trait]
impl PastStore for BrokenUnit {
    async fn created(&mut self, repository: RepositoryId) -> Result<Option<Timestamp>, StoreError> {
        let created = self.past_of().created(repository).await?;
        Ok(match self.fault {
            EverythingWasMade => created.or(Some(Timestamp::from_millis(0))),
            NothingWasMade => None,
            _ => created,
        })
    }

    async fn changed(
        &mut self,
        repository: RepositoryId,
        since: Timestamp,
        now: Timestamp,
        page: &PageRequest<Tag>,
    ) -> Result<Vec<Tag>, StoreError> {
        let fault = self.fault;
        let since = match fault {
            ChangesOfTheMomentCount => since.minus(INSTANT),
            _ => since,
        };
        let until = match fault {
            ChangesToComeCount => EVER,
            _ => now,
        };
        let page = PageRequest::new(
            page.after.clone().filter(|_| fault != ChangesFromTheStart),
            if fault == ChangesWithoutEnd {
                99
            } else {
                page.limit
            },
        );
        let mut names = self.past_of().changed(repository, since, until, &page).await?;
        match fault {
            ChangesOfAnybody => {
                for other in (0..repository + 99).filter(|other| *other != repository) {
                    names.extend(self.past_of().changed(other, since, until, &page).await?);
                }
                names.sort();
                names.truncate(page.limit);
            }
            WhatHasEndedIsNoChange => {
                let live = self.inner.tags().live(repository, &names, now).await?;
                names.retain(|name| live.iter().any(|row| row.name == *name));
            }
            ChangesBackwards => names.reverse(),
            _ => {}
        }
        Ok(names)
    }

    async fn rows_at(
        &mut self,
        repository: RepositoryId,
        names: &[Tag],
        when: Timestamp,
    ) -> Result<Vec<TagRecord>, StoreError> {
        let fault = self.fault;
        let asked = match fault {
            RowsAsTheyAre => EVER,
            _ => when,
        };
        let mut rows = self.past_of().rows_at(repository, names, asked).await?;
        if fault == RowsThatEndCount {
            let earlier = when.minus(INSTANT);
            for row in self.past_of().rows_at(repository, names, earlier).await? {
                if !rows.iter().any(|other| other.name == row.name) {
                    rows.push(row);
                }
            }
        }
        rows.retain(|row| fault != RowsOfThePastAlone || row.end.is_some());
        Ok(rows)
    }

    async fn erase(
        &mut self,
        repository: RepositoryId,
        name: &Tag,
        manifest: i64,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        match self.fault {
            ErasesNothing => {
                let rows = self.inner.tags().history(repository, name, None, 99).await?;
                let ended =
                    |row: &&TagRecord| row.manifest_id == manifest && row.end.is_some_and(|end| end <= now);
                Ok(rows.iter().filter(ended).count() as u64)
            }
            ErasesSilently => {
                self.past_of().erase(repository, name, manifest, now).await?;
                Ok(0)
            }
            ErasesWhatIsAlive => {
                self.inner.tags().end(repository, name, now).await?;
                self.past_of().erase(repository, name, manifest, now).await
            }
            ErasesWhatWillEnd => self.past_of().erase(repository, name, manifest, EVER).await,
            ErasesAllManifests => {
                let mut erased = 0;
                for manifest in 0..manifest + 99 {
                    erased += self.past_of().erase(repository, name, manifest, now).await?;
                }
                Ok(erased)
            }
            ErasesUnseen => {
                let erased = self.past_of().erase(repository, name, manifest, now).await?;
                self.inner.garbage().unwrap().settle(&[manifest]).await?;
                Ok(erased)
            }
            _ => self.past_of().erase(repository, name, manifest, now).await,
        }
    }
}

#[async_trait]
impl ScanStore for BrokenUnit {
    async fn save(
        &mut self,
        repository: RepositoryId,
        manifest: i64,
        digest: &Digest,
        record: &ScanRecord,
    ) -> Result<(), StoreError> {
        let mut record = record.clone();
        match self.fault {
            ScansAreForgotten => return Ok(()),
            FirstScansStay => {
                let before = self.before.scan(repository, digest).await?;
                if before.is_some_and(|scan| scan.record.is_some()) {
                    return Ok(());
                }
            }
            ReasonsAreForgotten => record.reason = None,
            AttemptsAreForgotten => record.attempts = 0,
            StatesAreForgotten => record.state.clear(),
            SeveritiesAreForgotten => record.severity = None,
            QueuedScansAreDone if record.status == ScanStatus::Queued => record.status = ScanStatus::Scanned,
            UnsupportedIsFailed if record.status == ScanStatus::Unsupported => {
                record.status = ScanStatus::Failed;
            }
            _ => {}
        }
        self.scans_of().save(repository, manifest, digest, &record).await
    }

    async fn reassess(&mut self, digest: &Digest, severity: Option<Severity>) -> Result<u64, StoreError> {
        match self.fault {
            NothingIsReassessed => {
                let all = self.scans_of().outdated("", EVER, 99).await?;
                Ok(all.iter().filter(|(_, _, of, _)| of == digest).count() as u64)
            }
            EverythingIsReassessed => {
                for (_, _, other, _) in self.scans_of().outdated("", EVER, 99).await? {
                    self.scans_of().reassess(&other, severity).await?;
                }
                self.scans_of().reassess(digest, severity).await
            }
            _ => self.scans_of().reassess(digest, severity).await,
        }
    }

    async fn outdated(
        &mut self,
        state: &str,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<(RepositoryId, i64, Digest, ScanRecord)>, StoreError> {
        let fault = self.fault;
        let state = if fault == EveryStateIsOutdated { "" } else { state };
        let before = if fault == LateScansAreOutdated {
            EVER
        } else {
            before
        };
        let limit = if fault == OutdatedWithoutEnd { 99 } else { limit };
        let mut found = self.scans_of().outdated(state, before, limit).await?;
        if fault == NewestScansFirst {
            found.reverse();
        }
        Ok(found)
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
        let mut lookup = self.inner.tag_history(name, filter, skip, page, now).await?;
        for entry in lookup.found.iter_mut().flatten() {
            if self.fault == ManifestsHaveNoSize {
                entry.size = 0;
            }
        }
        Ok(lookup)
    }

    async fn labels(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        prefix: &str,
    ) -> Result<Lookup<Vec<LabelRecord>>, StoreError> {
        self.inner.labels(name, digest, prefix).await
    }

    async fn scan(
        &self,
        repository: RepositoryId,
        digest: &Digest,
    ) -> Result<Option<ManifestScan>, StoreError> {
        let mut found = self.inner.scan(repository, digest).await?;
        match self.fault {
            AnyManifestIsThere => found = found.or(Some(ManifestScan::new(0, None))),
            UnscannedManifestsAreNotThere => found = found.filter(|scan| scan.record.is_some()),
            ScansOfLiveManifestsAlone => {
                let mut unit = self.inner.begin().await?;
                let row = unit.manifests().find(repository, digest).await?;
                found = found.filter(|_| row.is_some_and(|row| row.live));
            }
            _ => {}
        }
        Ok(found)
    }

    async fn usage(&self, name: &RepositoryName) -> Result<Option<Usage>, StoreError> {
        self.inner.usage(name).await
    }

    async fn namespace_usage(&self, namespace: &str) -> Result<Option<QuotaUse>, StoreError> {
        self.inner.namespace_usage(namespace).await
    }

    async fn upload(&self, id: &str) -> Result<Option<UploadRecord>, StoreError> {
        self.inner.upload(id).await
    }

    async fn begin(&self) -> Result<Box<dyn UnitOfWork>, StoreError> {
        Ok(Box::new(BrokenUnit {
            inner: self.inner.begin().await?,
            before: self.inner.clone(),
            fault: self.fault,
        }))
    }
}

#[test]
fn every_store_that_remembers_wrong_is_caught() {
    let missed: Vec<Fault> = FAULTS
        .iter()
        .copied()
        .filter(|&fault| {
            let report = run_metadata(move || {
                Arc::new(Broken {
                    inner: MemoryMetadata::new(),
                    fault,
                })
            });
            report.failed.is_empty()
        })
        .collect();
    assert!(missed.is_empty(), "{missed:?} were not caught");
}

#[test]
fn the_decorator_alone_breaks_nothing() {
    // A fault that shows nowhere: what is caught above is caught for its fault.
    let report = run_metadata(|| {
        Arc::new(Broken {
            inner: MemoryMetadata::new(),
            fault: Nothing,
        })
    });
    report.assert_passed();
}
