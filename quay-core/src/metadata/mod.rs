//! The port for rows: repositories, manifests, tags, blobs, uploads and the outbox.
//!
//! Reads that stand alone are methods of [`MetadataStore`], each a round trip or two. Whatever
//! changes something goes through a [`UnitOfWork`], whose accessors are grouped by concept and which
//! commits as a whole or not at all.

mod garbage;
mod lifecycle;
mod past;
mod quota;
mod record;
mod scan;
mod work;

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

pub use garbage::{GarbageStore, ManifestHolds};
pub use lifecycle::{
    LifecycleStore, PolicyKind, PolicyOwner, PolicyRecord, PolicyTask, PullCount, PullTotal, PulledAs,
    RatedTag,
};
pub use past::PastStore;
pub use quota::{Quota, QuotaLimit, QuotaLimitKind, QuotaOwner, QuotaStore, QuotaUse, RegistrySize, Usage};
pub use record::{
    BlobRecord, Edge, EdgeKind, LabelRecord, LabelSource, ManifestRecord, NewManifest, NewUpload, OutboxRow,
    Placement, Referrer, RepositoryId, RepositoryKind, RepositoryRecord, RepositoryState, StoredManifest,
    TagEntry, TagFilter, TagNames, TagPosition, TagRecord, UploadRecord, Visibility,
};
pub use scan::{ManifestScan, ScanRecord, ScanStatus, ScanStore};
pub use work::{
    BlobIndex, LabelStore, LinkedBlob, ManifestStore, NewBlob, Outbox, PutOutcome, RepositoryStore, TagStore,
    TagTarget, UnitOfWork, UploadStore,
};

use crate::digest::Digest;
use crate::error::StoreError;
use crate::media_type::MediaType;
use crate::name::{Reference, RepositoryName, Tag};
use crate::runtime::Timestamp;

/// A page of referrers ends once the manifests on it have this many bytes together: their annotations
/// travel with them.
pub const REFERRERS_BYTES: u64 = 4 << 20;

/// The answer of a read within one repository: the repository as it is, if it is, and what was found.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Lookup<T> {
    /// The repository; `None` when there is none of that name.
    pub repository: Option<Arc<RepositoryRecord>>,
    /// What was looked up; `None` when the repository does not hold it.
    pub found: Option<T>,
}

impl<T> Lookup<T> {
    /// No such repository.
    #[must_use]
    pub const fn no_repository() -> Self {
        Self {
            repository: None,
            found: None,
        }
    }

    /// The repository, and perhaps the thing.
    #[must_use]
    pub const fn in_repository(repository: Arc<RepositoryRecord>, found: Option<T>) -> Self {
        Self {
            repository: Some(repository),
            found,
        }
    }
}

/// A page by key: what comes after `after`, in byte order, at most `limit` rows.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PageRequest<K> {
    /// The last key of the page before; from the start when absent.
    pub after: Option<K>,
    /// How many rows at the most.
    pub limit: usize,
}

impl<K> PageRequest<K> {
    /// `limit` rows after `after`.
    #[must_use]
    pub const fn new(after: Option<K>, limit: usize) -> Self {
        Self { after, limit }
    }
}

/// Keeps rows. What strangers implement to bring their own database; `quay_core::testing::metadata`
/// (feature `testing`) proves an implementation.
///
/// Reads see every unit of work that was committed before they began. Names are compared and sorted
/// bytewise, times are milliseconds, ids never repeat.
#[async_trait]
pub trait MetadataStore: Debug + Send + Sync + 'static {
    /// Whether this process is the only one that writes, so that a lock in memory is enough to keep two
    /// requests from writing to one upload. A shared database says `false`, which costs one more write
    /// per chunk.
    fn is_sole_writer(&self) -> bool;

    /// A repository by name. Cost: one indexed row.
    ///
    /// # Errors
    /// The store's, here and in all the others.
    async fn repository(&self, name: &RepositoryName) -> Result<Option<Arc<RepositoryRecord>>, StoreError>;

    /// A live manifest by tag or digest, with its bytes. A tag whose end lies at or before `now` does
    /// not count. Cost: one statement.
    async fn manifest(
        &self,
        name: &RepositoryName,
        reference: &Reference,
        now: Timestamp,
    ) -> Result<Lookup<ManifestRecord>, StoreError>;

    /// A blob that is linked to the repository, with its placements. Cost: one statement.
    async fn blob(&self, name: &RepositoryName, digest: &Digest) -> Result<Lookup<BlobRecord>, StoreError>;

    /// A page of the tags alive at `now`, in byte order. Cost follows the page, not the repository or
    /// its history.
    async fn tags(
        &self,
        name: &RepositoryName,
        page: &PageRequest<Tag>,
        now: Timestamp,
    ) -> Result<Lookup<Vec<Tag>>, StoreError>;

    /// A page of all repositories by path, in byte order. Cost follows the page.
    async fn repositories(
        &self,
        page: &PageRequest<String>,
    ) -> Result<Vec<Arc<RepositoryRecord>>, StoreError>;

    /// Repositories that are linked to the blob, those of ids below the page's `after`, newest first. Cost
    /// follows the page.
    async fn holders(
        &self,
        digest: &Digest,
        page: &PageRequest<RepositoryId>,
    ) -> Result<Vec<LinkedBlob>, StoreError>;

    /// A page of the live manifests whose subject is `subject`, in the order of their digests' text,
    /// of one artifact type if given, compared without regard to case. Ends early once the manifests
    /// listed have [`REFERRERS_BYTES`] together, but not before the first. Cost follows the page.
    async fn referrers(
        &self,
        name: &RepositoryName,
        subject: &Digest,
        artifact_type: Option<&MediaType>,
        page: &PageRequest<Digest>,
    ) -> Result<Lookup<Vec<Referrer>>, StoreError>;

    /// A page of the history of a repository's tags, what began last first, and of one moment by name; rows
    /// of a page are passed over first, `skip` of them. Manifests that were deleted count. Cost follows the
    /// page and what is passed over, not the repository; [`TagNames::Holding`] looks at each row.
    async fn tag_history(
        &self,
        name: &RepositoryName,
        filter: &TagFilter,
        skip: usize,
        page: &PageRequest<TagPosition>,
        now: Timestamp,
    ) -> Result<Lookup<Vec<TagEntry>>, StoreError>;

    /// The labels of a live manifest in the order of their recording, those whose keys begin with `prefix`.
    /// A store that keeps none finds none.
    async fn labels(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        prefix: &str,
    ) -> Result<Lookup<Vec<LabelRecord>>, StoreError>;

    /// A manifest, live or deleted, with what is recorded of its scan. Cost: one statement. A store that records no scans
    /// finds none.
    async fn scan(
        &self,
        repository: RepositoryId,
        digest: &Digest,
    ) -> Result<Option<ManifestScan>, StoreError> {
        let _ = (repository, digest);
        Ok(None)
    }

    /// How long tags of a namespace that have ended can be brought back, where the store keeps a time of the
    /// namespace's own.
    async fn time_machine(&self, namespace: &str) -> Result<Option<Duration>, StoreError> {
        let _ = namespace;
        Ok(None)
    }

    /// What a repository and its namespace use, and what is laid down for them, where the store counts. Cost: a
    /// few rows.
    async fn usage(&self, name: &RepositoryName) -> Result<Option<Usage>, StoreError> {
        let _ = name;
        Ok(None)
    }

    /// What a namespace uses, and what is laid down for it, where the store counts.
    async fn namespace_usage(&self, namespace: &str) -> Result<Option<QuotaUse>, StoreError> {
        let _ = namespace;
        Ok(None)
    }

    /// What repositories use, in bytes, where that is counted. Cost follows their number.
    async fn repository_sizes(
        &self,
        repositories: &[RepositoryId],
    ) -> Result<HashMap<RepositoryId, u64>, StoreError> {
        let _ = repositories;
        Ok(HashMap::new())
    }

    /// The policies of a kind that these owners have: those of the first owner first, and of one owner in the order
    /// of their recording. A store that keeps none finds none. Cost: one statement.
    async fn policies(
        &self,
        kind: PolicyKind,
        owners: &[PolicyOwner],
    ) -> Result<Vec<PolicyRecord>, StoreError> {
        let _ = (kind, owners);
        Ok(Vec::new())
    }

    /// What is recorded of pulls in a repository, added up. Those of manifests that are gone do not count. A store
    /// that records none finds none. Cost: one statement over the rows of one manifest, or of one tag.
    async fn pulls(&self, repository: RepositoryId, of: PulledAs<'_>) -> Result<PullTotal, StoreError> {
        let _ = (repository, of);
        Ok(PullTotal::default())
    }

    /// An upload session by id. Cost: one indexed row.
    async fn upload(&self, id: &str) -> Result<Option<UploadRecord>, StoreError>;

    /// Opens a unit of work. To be opened only after all bytes and outside calls are done: another
    /// writer may be waiting for its end.
    async fn begin(&self) -> Result<Box<dyn UnitOfWork>, StoreError>;
}

#[async_trait]
impl<T: MetadataStore + ?Sized> MetadataStore for Arc<T> {
    fn is_sole_writer(&self) -> bool {
        (**self).is_sole_writer()
    }

    async fn repository(&self, name: &RepositoryName) -> Result<Option<Arc<RepositoryRecord>>, StoreError> {
        (**self).repository(name).await
    }

    async fn manifest(
        &self,
        name: &RepositoryName,
        reference: &Reference,
        now: Timestamp,
    ) -> Result<Lookup<ManifestRecord>, StoreError> {
        (**self).manifest(name, reference, now).await
    }

    async fn blob(&self, name: &RepositoryName, digest: &Digest) -> Result<Lookup<BlobRecord>, StoreError> {
        (**self).blob(name, digest).await
    }

    async fn tags(
        &self,
        name: &RepositoryName,
        page: &PageRequest<Tag>,
        now: Timestamp,
    ) -> Result<Lookup<Vec<Tag>>, StoreError> {
        (**self).tags(name, page, now).await
    }

    async fn repositories(
        &self,
        page: &PageRequest<String>,
    ) -> Result<Vec<Arc<RepositoryRecord>>, StoreError> {
        (**self).repositories(page).await
    }

    async fn holders(
        &self,
        digest: &Digest,
        page: &PageRequest<RepositoryId>,
    ) -> Result<Vec<LinkedBlob>, StoreError> {
        (**self).holders(digest, page).await
    }

    async fn referrers(
        &self,
        name: &RepositoryName,
        subject: &Digest,
        artifact_type: Option<&MediaType>,
        page: &PageRequest<Digest>,
    ) -> Result<Lookup<Vec<Referrer>>, StoreError> {
        (**self).referrers(name, subject, artifact_type, page).await
    }

    async fn tag_history(
        &self,
        name: &RepositoryName,
        filter: &TagFilter,
        skip: usize,
        page: &PageRequest<TagPosition>,
        now: Timestamp,
    ) -> Result<Lookup<Vec<TagEntry>>, StoreError> {
        (**self).tag_history(name, filter, skip, page, now).await
    }

    async fn labels(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        prefix: &str,
    ) -> Result<Lookup<Vec<LabelRecord>>, StoreError> {
        (**self).labels(name, digest, prefix).await
    }

    async fn scan(
        &self,
        repository: RepositoryId,
        digest: &Digest,
    ) -> Result<Option<ManifestScan>, StoreError> {
        (**self).scan(repository, digest).await
    }

    async fn time_machine(&self, namespace: &str) -> Result<Option<Duration>, StoreError> {
        (**self).time_machine(namespace).await
    }

    async fn usage(&self, name: &RepositoryName) -> Result<Option<Usage>, StoreError> {
        (**self).usage(name).await
    }

    async fn namespace_usage(&self, namespace: &str) -> Result<Option<QuotaUse>, StoreError> {
        (**self).namespace_usage(namespace).await
    }

    async fn repository_sizes(
        &self,
        repositories: &[RepositoryId],
    ) -> Result<HashMap<RepositoryId, u64>, StoreError> {
        (**self).repository_sizes(repositories).await
    }

    async fn policies(
        &self,
        kind: PolicyKind,
        owners: &[PolicyOwner],
    ) -> Result<Vec<PolicyRecord>, StoreError> {
        (**self).policies(kind, owners).await
    }

    async fn pulls(&self, repository: RepositoryId, of: PulledAs<'_>) -> Result<PullTotal, StoreError> {
        (**self).pulls(repository, of).await
    }

    async fn upload(&self, id: &str) -> Result<Option<UploadRecord>, StoreError> {
        (**self).upload(id).await
    }

    async fn begin(&self) -> Result<Box<dyn UnitOfWork>, StoreError> {
        (**self).begin().await
    }
}
