//! The unit of work and its accessors, one per concept.

use std::collections::HashMap;
use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::garbage::GarbageStore;
use super::lifecycle::LifecycleStore;
use super::past::PastStore;
use super::quota::QuotaStore;
use super::record::{
    BlobRecord, LabelRecord, NewManifest, NewUpload, OutboxRow, Placement, RepositoryId, RepositoryRecord,
    StoredManifest, TagRecord, UploadRecord, Visibility,
};
use super::scan::ScanStore;
use crate::accounts::ActionLog;
use crate::blob_store::{ObjectKey, UploadState};
use crate::digest::Digest;
use crate::error::StoreError;
use crate::name::{RepositoryName, Tag};
use crate::runtime::Timestamp;

/// A transaction. Sees its own changes; dropping it undoes them all.
///
/// Two units of work that change the same tag, upload or manifest serialise: the later one sees the
/// earlier one's outcome, or fails with [`Conflict`](crate::StoreErrorKind::Conflict) and is tried again
/// by the caller.
#[async_trait]
pub trait UnitOfWork: Debug + Send {
    /// Repositories and namespaces.
    fn repositories(&mut self) -> &mut dyn RepositoryStore;
    /// Manifests and their edges.
    fn manifests(&mut self) -> &mut dyn ManifestStore;
    /// Tags and their history.
    fn tags(&mut self) -> &mut dyn TagStore;
    /// Blobs, placements and links.
    fn blobs(&mut self) -> &mut dyn BlobIndex;
    /// Upload sessions.
    fn uploads(&mut self) -> &mut dyn UploadStore;
    /// Side effects to be delivered.
    fn outbox(&mut self) -> &mut dyn Outbox;

    /// Labels of manifests, where the store keeps them.
    fn labels(&mut self) -> Option<&mut dyn LabelStore> {
        None
    }

    /// What a collector needs, where the store lets garbage be collected.
    fn garbage(&mut self) -> Option<&mut dyn GarbageStore> {
        None
    }

    /// Quotas, where the store counts.
    fn quotas(&mut self) -> Option<&mut dyn QuotaStore> {
        None
    }

    /// Policies about the life of tags, and their pulls, where the store keeps them.
    fn lifecycle(&mut self) -> Option<&mut dyn LifecycleStore> {
        None
    }

    /// The past of tags, where the store can tell it.
    fn past(&mut self) -> Option<&mut dyn PastStore> {
        None
    }

    /// Scans of manifests, where the store records them.
    fn scans(&mut self) -> Option<&mut dyn ScanStore> {
        None
    }

    /// The action log, where the store keeps one.
    fn action_log(&mut self) -> Option<&mut dyn ActionLog> {
        None
    }

    /// Makes the changes visible and durable, all of them.
    ///
    /// Guarantees: durable when it returns `Ok`. When it fails, none of the changes is visible, unless
    /// the error is [`Unavailable`](crate::StoreErrorKind::Unavailable): then the answer was lost.
    /// Cancellation: all or none.
    ///
    /// # Errors
    /// The store's.
    async fn commit(self: Box<Self>) -> Result<(), StoreError>;

    /// Undoes the changes, as dropping does, and returns once everything that was read is durable. Provided
    /// for stores whose units of work see nothing that is not.
    ///
    /// # Errors
    /// [`Conflict`](crate::StoreErrorKind::Conflict) when something that was read has been undone.
    #[must_use]
    async fn abandon(self: Box<Self>) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Repositories within a unit of work.
///
/// # Errors
/// Every method: the store's. The same holds for the other accessors.
#[async_trait]
pub trait RepositoryStore: Send {
    /// Locks a repository: until this unit of work ends, no other one changes what the repository holds, or what
    /// it is. What it is now; `None` when it is not there.
    async fn lock(&mut self, repository: RepositoryId) -> Result<Option<RepositoryRecord>, StoreError>;

    /// A repository by name, locked.
    async fn find(&mut self, name: &RepositoryName) -> Result<Option<RepositoryRecord>, StoreError>;

    /// Creates a normal image repository, and its namespace if there is none. `None` when there is a
    /// repository of that name already, also one that another unit of work has just made.
    async fn create(
        &mut self,
        name: &RepositoryName,
        visibility: Visibility,
        now: Timestamp,
    ) -> Result<Option<RepositoryRecord>, StoreError>;
}

/// What [`ManifestStore::put`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "new, known, or back again")]
pub enum PutOutcome {
    /// The repository had no such manifest.
    Created,
    /// It had it, live. Leases of what it holds were consumed, nothing else was changed.
    Unchanged,
    /// It had been deleted and is live again, with edges as given.
    Revived,
}

/// Manifests within a unit of work.
#[async_trait]
pub trait ManifestStore: Send {
    /// A manifest's row, live or deleted.
    async fn find(
        &mut self,
        repository: RepositoryId,
        digest: &Digest,
    ) -> Result<Option<StoredManifest>, StoreError>;

    /// Which of `digests` are live manifests of the repository: their ids.
    async fn live(
        &mut self,
        repository: RepositoryId,
        digests: &[Digest],
    ) -> Result<HashMap<Digest, i64>, StoreError>;

    /// Stores a manifest with its edges; hands out its row's id. Held blob edges consume the leases of
    /// this repository's links to those blobs. A lease of the manifest's own is recorded, whether it is new
    /// or not.
    async fn put(
        &mut self,
        repository: RepositoryId,
        manifest: &NewManifest,
        now: Timestamp,
    ) -> Result<(i64, PutOutcome), StoreError>;

    /// Ends a live manifest: it can no longer be pulled, its row stays. Links of this repository to
    /// blobs that no other live manifest of it holds, and that have no lease running at `now`, are
    /// removed. Its tags are the caller's business.
    async fn end(
        &mut self,
        repository: RepositoryId,
        manifest: i64,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// Makes a manifest that was ended live again, with the links to the blobs that it holds. `false`, with
    /// nothing changed, when it is not there or one of those blobs is gone; one that is live stays so.
    async fn revive(&mut self, repository: RepositoryId, manifest: i64) -> Result<bool, StoreError>;

    /// Whether a live manifest of the repository holds the blob.
    async fn holds_blob(&mut self, repository: RepositoryId, digest: &Digest) -> Result<bool, StoreError>;
}

/// What a tag is moved to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TagTarget {
    /// The row of the manifest.
    pub manifest: i64,
    /// When the tag ends by itself.
    pub end: Option<Timestamp>,
    /// Whether it is put back to what it had pointed at before.
    pub reversion: bool,
    /// Whether it stays as it is from then on.
    pub immutable: bool,
}

impl TagTarget {
    /// A manifest, for good.
    #[must_use]
    pub const fn new(manifest: i64) -> Self {
        Self {
            manifest,
            end: None,
            reversion: false,
            immutable: false,
        }
    }

    /// Says that it stays as it is.
    #[must_use]
    pub const fn with_immutable(mut self, immutable: bool) -> Self {
        self.immutable = immutable;
        self
    }

    /// Ends the tag by itself.
    #[must_use]
    pub const fn with_end(mut self, end: Option<Timestamp>) -> Self {
        self.end = end;
        self
    }

    /// Says that it is put back.
    #[must_use]
    pub const fn with_reversion(mut self, reversion: bool) -> Self {
        self.reversion = reversion;
        self
    }
}

/// Labels within a unit of work.
#[async_trait]
pub trait LabelStore: Send {
    /// Records labels of a manifest.
    async fn insert(
        &mut self,
        repository: RepositoryId,
        manifest: i64,
        labels: &[LabelRecord],
    ) -> Result<(), StoreError>;

    /// A label of a manifest.
    async fn find(&mut self, manifest: i64, uuid: &str) -> Result<Option<LabelRecord>, StoreError>;

    /// The values of one key's labels that manifests of the repository have.
    async fn values(
        &mut self,
        repository: RepositoryId,
        manifests: &[Digest],
        key: &str,
    ) -> Result<Vec<(Digest, String)>, StoreError>;

    /// How many labels a manifest has.
    async fn count(&mut self, manifest: i64) -> Result<u64, StoreError>;

    /// Removes a label of a manifest. `false` when there is none.
    async fn delete(&mut self, manifest: i64, uuid: &str) -> Result<bool, StoreError>;
}

/// Tags within a unit of work. A tag is a history of rows; at most one of a name is live.
#[async_trait]
pub trait TagStore: Send {
    /// The live rows of these names, alive at `now`.
    async fn live(
        &mut self,
        repository: RepositoryId,
        names: &[Tag],
        now: Timestamp,
    ) -> Result<Vec<TagRecord>, StoreError>;

    /// The live rows that point at a manifest.
    async fn pointing_at(
        &mut self,
        repository: RepositoryId,
        manifest: i64,
    ) -> Result<Vec<TagRecord>, StoreError>;

    /// Moves a tag: closes its live row, if it has one, and opens the next, which starts at `now` or a
    /// millisecond after the start of the row before, whichever is later.
    async fn set(
        &mut self,
        repository: RepositoryId,
        name: &Tag,
        target: TagTarget,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// Sets when a tag's live row ends by itself, or that it does not. `false` when it has none.
    async fn set_end(
        &mut self,
        repository: RepositoryId,
        name: &Tag,
        end: Option<Timestamp>,
    ) -> Result<bool, StoreError>;

    /// Whether any tag of the repository points at a manifest, or did so until after `since`.
    async fn remembers(
        &mut self,
        repository: RepositoryId,
        manifest: i64,
        since: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Closes a tag's live row. `false` when it had none.
    async fn end(&mut self, repository: RepositoryId, name: &Tag, now: Timestamp)
    -> Result<bool, StoreError>;

    /// A tag's rows, newest first, at most `limit`, with ids below `before`.
    async fn history(
        &mut self,
        repository: RepositoryId,
        name: &Tag,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<TagRecord>, StoreError>;
}

/// A blob to be recorded, with the copy that was just published.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct NewBlob {
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Where it lies.
    pub placement: Placement,
}

impl NewBlob {
    /// A blob of `size` bytes at `placement`.
    #[must_use]
    pub const fn new(digest: Digest, size: u64, placement: Placement) -> Self {
        Self {
            digest,
            size,
            placement,
        }
    }
}

/// A blob that a repository holds.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LinkedBlob {
    /// The repository.
    pub repository: RepositoryRecord,
    /// The blob.
    pub blob: BlobRecord,
}

impl LinkedBlob {
    /// `blob` as `repository` holds it.
    #[must_use]
    pub const fn new(repository: RepositoryRecord, blob: BlobRecord) -> Self {
        Self { repository, blob }
    }
}

/// Blobs within a unit of work.
#[async_trait]
pub trait BlobIndex: Send {
    /// A blob by digest, whoever holds it.
    async fn find(&mut self, digest: &Digest) -> Result<Option<BlobRecord>, StoreError>;

    /// Records a blob and its placement, or a placement more of a known blob; hands out the blob's id, and
    /// the object in that location that counts. A location in which the blob lies already keeps its object.
    async fn record(&mut self, blob: &NewBlob, now: Timestamp) -> Result<(i64, ObjectKey), StoreError>;

    /// Which of `digests` the repository is linked to.
    async fn linked(
        &mut self,
        repository: RepositoryId,
        digests: &[Digest],
    ) -> Result<Vec<Digest>, StoreError>;

    /// Links a repository to a blob, protected by a lease until `lease`, or renews the lease. Edges of
    /// the repository's manifests to that blob become held.
    async fn link(
        &mut self,
        repository: RepositoryId,
        blob: i64,
        digest: &Digest,
        lease: Timestamp,
    ) -> Result<(), StoreError>;

    /// Removes a repository's link. `false` when there was none.
    async fn unlink(&mut self, repository: RepositoryId, digest: &Digest) -> Result<bool, StoreError>;
}

/// Upload sessions within a unit of work.
#[async_trait]
pub trait UploadStore: Send {
    /// Records a session that holds no bytes.
    async fn insert(&mut self, upload: &NewUpload, now: Timestamp) -> Result<(), StoreError>;

    /// Claims a session for one writer: no other claim succeeds before `until`, or before the next
    /// change. Moves the version on by one, so that an earlier claimer can change nothing any more.
    /// `false` when the version is not `version` or another claim stands at `now`. Need not be durable.
    async fn claim(
        &mut self,
        id: &str,
        version: i64,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Advances a session and ends its claim. `false` when the version is not `version`.
    async fn advance(
        &mut self,
        id: &str,
        version: i64,
        offset: u64,
        hash_state: &[u8],
        store_state: &UploadState,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Removes a session. `false` when there is none, or its version is not `version`.
    async fn remove(&mut self, id: &str, version: i64) -> Result<bool, StoreError>;

    /// Sessions last changed before `before` that no claim holds then, oldest first, at most `limit`.
    async fn stale(&mut self, before: Timestamp, limit: usize) -> Result<Vec<UploadRecord>, StoreError>;
}

/// The outbox within a unit of work.
#[async_trait]
pub trait Outbox: Send {
    /// Records a side effect, to be delivered once the unit of work has committed.
    async fn push(&mut self, kind: &str, payload: &str, now: Timestamp) -> Result<(), StoreError>;

    /// Takes up to `limit` rows of a kind that are due at `now`, oldest first, and hides them from
    /// others for `hold`. A row that is not completed by then is due again.
    async fn claim(
        &mut self,
        kind: &str,
        limit: usize,
        hold: Duration,
        now: Timestamp,
    ) -> Result<Vec<OutboxRow>, StoreError>;

    /// Removes a delivered row.
    async fn complete(&mut self, id: i64) -> Result<(), StoreError>;
}

/// The bytes of a state as a store keeps them.
impl From<UploadState> for Bytes {
    fn from(state: UploadState) -> Self {
        Self::copy_from_slice(state.as_bytes())
    }
}
