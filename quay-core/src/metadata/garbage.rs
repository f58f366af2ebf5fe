//! What a collector needs of the rows: what is due for a look, what keeps it, and its removal.

use std::time::Duration;

use async_trait::async_trait;

use super::record::{Placement, RepositoryId, RepositoryRecord, UploadRecord};
use crate::digest::Digest;
use crate::error::StoreError;
use crate::runtime::Timestamp;

/// What keeps a manifest, as one look at the rows of its repository finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent answers, each from a question of its own"
)]
pub struct ManifestHolds {
    /// The manifest's row.
    pub id: i64,
    /// Its digest.
    pub digest: Digest,
    /// Whether it can be pulled, or was deleted.
    pub live: bool,
    /// Until when it is kept whatever else holds it: a push without a tag.
    pub lease: Option<Timestamp>,
    /// Whether a tag without an end points at it.
    pub tagged: bool,
    /// The first and the last end among the tags that point at it, or did: past, or to come.
    pub ends: Option<(Timestamp, Timestamp)>,
    /// Whether an index or list of the repository holds it, live or deleted.
    pub parent: bool,
    /// Whether the repository has the manifest that it is about, live or deleted. One that it holds as a child
    /// does not count: the two would keep each other.
    pub subject: bool,
}

impl ManifestHolds {
    /// A manifest that nothing keeps.
    #[must_use]
    pub const fn new(id: i64, digest: Digest, live: bool) -> Self {
        Self {
            id,
            digest,
            live,
            lease: None,
            tagged: false,
            ends: None,
            parent: false,
            subject: false,
        }
    }
}

/// Garbage within a unit of work.
///
/// The other accessors see to it that manifests come up for review: at once when a tag's row is closed, when
/// the manifest is deleted, or when its parent or subject is removed; at its time when a tag is given an end
/// or a push a lease. A manifest has one review, the earliest that was asked for.
///
/// Whatever works on one repository is called with the repository locked.
///
/// # Errors
/// Every method: the store's.
#[async_trait]
pub trait GarbageStore: Send {
    /// Repositories in which reviews are due at `now`, each once, found among the `limit` reviews that have
    /// been due for longest. Cost follows `limit`.
    async fn due(&mut self, now: Timestamp, limit: usize) -> Result<Vec<RepositoryId>, StoreError>;

    /// As [`MetadataStore::time_machine`](super::MetadataStore::time_machine), within the unit of work.
    async fn time_machine(&mut self, namespace: &str) -> Result<Option<Duration>, StoreError>;

    /// Manifests of a repository whose review is due at `now`, at most `limit`, due for longest first.
    async fn reviews(
        &mut self,
        repository: RepositoryId,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<i64>, StoreError>;

    /// Forgets the rows of tags that pointed at these manifests and ended at `before` or earlier.
    async fn forget_tags(
        &mut self,
        repository: RepositoryId,
        manifests: &[i64],
        before: Timestamp,
    ) -> Result<(), StoreError>;

    /// What keeps these manifests, of those that are there.
    async fn holds(
        &mut self,
        repository: RepositoryId,
        manifests: &[i64],
    ) -> Result<Vec<ManifestHolds>, StoreError>;

    /// Puts reviews off until then.
    async fn postpone(&mut self, reviews: &[(i64, Timestamp)]) -> Result<(), StoreError>;

    /// Ends reviews.
    async fn settle(&mut self, manifests: &[i64]) -> Result<(), StoreError>;

    /// Removes manifests with all that is theirs: tags' rows, labels, edges, review. Those that they held as
    /// children, and those that are about them, come up for review at `now`. Links to blobs that no live
    /// manifest of the repository holds now are removed, unless their lease runs at `now`. The blobs that the
    /// manifests held: some may be garbage.
    async fn remove_manifests(
        &mut self,
        repository: RepositoryId,
        manifests: &[i64],
        now: Timestamp,
    ) -> Result<Vec<i64>, StoreError>;

    /// Links, by repository and blob, whose lease has ended at `now`, those that ended first. Cost follows
    /// `limit`.
    async fn ended_leases(
        &mut self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<(RepositoryId, i64)>, StoreError>;

    /// Looks after links of a repository whose lease has ended at `now`: those to blobs that a live manifest
    /// holds stay for good, others are removed. The blobs whose links were removed.
    async fn end_leases(
        &mut self,
        repository: RepositoryId,
        blobs: &[i64],
        now: Timestamp,
    ) -> Result<Vec<i64>, StoreError>;

    /// Removes those of these blobs that no repository is linked to and no manifest holds, live or deleted,
    /// in any repository: what is decided holds until the unit of work has ended. Where they lay.
    async fn remove_blobs(&mut self, blobs: &[i64]) -> Result<Vec<Placement>, StoreError>;

    /// Marks a repository for deletion; its name is free. `false` when it is not there.
    async fn doom(&mut self, repository: RepositoryId) -> Result<bool, StoreError>;

    /// Repositories that are marked for deletion, at most `limit`, the oldest first.
    async fn doomed(&mut self, limit: usize) -> Result<Vec<RepositoryRecord>, StoreError>;

    /// Some manifests of a repository, at most `limit`.
    async fn some_manifests(
        &mut self,
        repository: RepositoryId,
        limit: usize,
    ) -> Result<Vec<i64>, StoreError>;

    /// Removes links of a repository to blobs, at most `limit`. The blobs.
    async fn remove_links(&mut self, repository: RepositoryId, limit: usize) -> Result<Vec<i64>, StoreError>;

    /// Upload sessions of a repository, at most `limit`.
    async fn uploads_of(
        &mut self,
        repository: RepositoryId,
        limit: usize,
    ) -> Result<Vec<UploadRecord>, StoreError>;

    /// Removes a repository that holds nothing any more, and what is left of a deleted namespace with its
    /// last.
    async fn remove_repository(&mut self, repository: RepositoryId) -> Result<(), StoreError>;
}
