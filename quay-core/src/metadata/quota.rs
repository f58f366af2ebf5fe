//! What bytes are counted, for whom, and what is laid down about them.

use async_trait::async_trait;

use super::record::RepositoryId;
use crate::error::StoreError;
use crate::runtime::Timestamp;

/// Whose bytes a quota is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(clippy::exhaustive_enums, reason = "namespaces and repositories have quotas")]
pub enum QuotaOwner {
    /// A namespace, by name.
    Namespace(String),
    /// A repository.
    Repository(RepositoryId),
}

/// What happens at a level of a quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "Quay's two levels")]
pub enum QuotaLimitKind {
    /// It is told.
    Warning,
    /// Nothing goes past it.
    Reject,
}

impl QuotaLimitKind {
    /// As the API and a store write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Warning => "Warning",
            Self::Reject => "Reject",
        }
    }

    /// The level of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Warning, Self::Reject]
            .into_iter()
            .find(|kind| kind.as_str() == name)
    }
}

/// A level of a quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct QuotaLimit {
    /// Its id.
    pub id: i64,
    /// What happens at it.
    pub kind: QuotaLimitKind,
    /// Where it lies, in percent of the quota's bytes.
    pub percent: u32,
}

impl QuotaLimit {
    /// A level as a store read it.
    #[must_use]
    pub const fn new(id: i64, kind: QuotaLimitKind, percent: u32) -> Self {
        Self { id, kind, percent }
    }
}

/// What is laid down for a namespace or a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Quota {
    /// Its id.
    pub id: i64,
    /// How many bytes.
    pub limit_bytes: u64,
    /// Its levels, in the order of their recording. Without any, nothing happens.
    pub limits: Vec<QuotaLimit>,
}

impl Quota {
    /// A quota as a store read it.
    #[must_use]
    pub const fn new(id: i64, limit_bytes: u64, limits: Vec<QuotaLimit>) -> Self {
        Self {
            id,
            limit_bytes,
            limits,
        }
    }

    /// Where the lowest level of a kind lies, in bytes.
    #[must_use]
    pub fn level(&self, kind: QuotaLimitKind) -> Option<u64> {
        let of_kind = self.limits.iter().filter(|limit| limit.kind == kind);
        let percent = of_kind.map(|limit| limit.percent).min()?;
        let bytes = u128::from(self.limit_bytes) * u128::from(percent) / 100;
        Some(u64::try_from(bytes).unwrap_or(u64::MAX))
    }
}

/// What somebody uses of their quota.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct QuotaUse {
    /// Bytes of the blobs that are there, each once.
    pub used: u64,
    /// Bytes that uploads on their way have been promised.
    pub reserved: u64,
    /// Whether all that is there has been counted; until then `used` is what has been.
    pub counted: bool,
    /// How many bytes this unit of work has added to `used`; less than none when it took some away.
    pub grown: i64,
    /// What is laid down, if anything is.
    pub quota: Option<Quota>,
}

impl QuotaUse {
    /// `used` bytes and `reserved` ones, all of them counted.
    #[must_use]
    pub const fn new(used: u64, reserved: u64) -> Self {
        Self {
            used,
            reserved,
            counted: true,
            grown: 0,
            quota: None,
        }
    }

    /// What is laid down.
    #[must_use]
    pub fn with_quota(mut self, quota: Option<Quota>) -> Self {
        self.quota = quota;
        self
    }

    /// What this unit of work has added.
    #[must_use]
    pub const fn with_grown(mut self, grown: i64) -> Self {
        self.grown = grown;
        self
    }

    /// Whether all has been counted.
    #[must_use]
    pub const fn with_counted(mut self, counted: bool) -> Self {
        self.counted = counted;
        self
    }
}

/// What a repository, and the namespace that it is in, use.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(clippy::exhaustive_structs, reason = "the two owners of quotas")]
pub struct Usage {
    /// The namespace: a blob that several of its repositories hold counts once.
    pub namespace: QuotaUse,
    /// The repository.
    pub repository: QuotaUse,
}

/// How large the whole registry is, as it was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct RegistrySize {
    /// Bytes of all blobs, each once.
    pub bytes: u64,
    /// When the counting ended.
    pub counted: Option<Timestamp>,
    /// Whether it is to be counted again.
    pub queued: bool,
    /// Whether that has begun.
    pub running: bool,
}

impl RegistrySize {
    /// A size as a store read it.
    #[must_use]
    pub const fn new(bytes: u64, counted: Option<Timestamp>, queued: bool, running: bool) -> Self {
        Self {
            bytes,
            counted,
            queued,
            running,
        }
    }
}

/// Quotas within a unit of work.
///
/// A repository uses the bytes of the blobs that it is linked to, a namespace those of all its repositories,
/// each blob once. The other accessors keep the counts: what links, unlinks and ends upload sessions changes
/// them in the same unit of work, exactly, whatever happens beside it. Manifests are not counted.
///
/// # Errors
/// Every method: the store's.
#[async_trait]
pub trait QuotaStore: Send {
    /// What a repository and its namespace use, with all that this unit of work has done: locked until its end,
    /// so to be asked last. The repository is locked already. Cost: what has been done, not what is there; a
    /// namespace that has never been counted is counted up to a thousand blobs.
    async fn usage(&mut self, repository: RepositoryId) -> Result<Usage, StoreError>;

    /// Promises an upload session `bytes` in all, more or less than it had; none any more at its end. `false`
    /// when there is no such session.
    async fn reserve(&mut self, upload: &str, bytes: u64) -> Result<bool, StoreError>;

    /// What is laid down for somebody.
    async fn quota(&mut self, owner: &QuotaOwner) -> Result<Option<Quota>, StoreError>;

    /// Lays down a quota without levels. `None` when there is one; a namespace without a repository may have one.
    async fn insert_quota(&mut self, owner: &QuotaOwner, limit_bytes: u64)
    -> Result<Option<i64>, StoreError>;

    /// Changes a quota's bytes.
    async fn resize_quota(&mut self, quota: i64, limit_bytes: u64) -> Result<(), StoreError>;

    /// Removes a quota with its levels.
    async fn delete_quota(&mut self, quota: i64) -> Result<(), StoreError>;

    /// Adds a level; hands out its id.
    async fn insert_limit(
        &mut self,
        quota: i64,
        kind: QuotaLimitKind,
        percent: u32,
    ) -> Result<i64, StoreError>;

    /// Changes a level.
    async fn save_limit(&mut self, limit: &QuotaLimit) -> Result<(), StoreError>;

    /// Removes a level.
    async fn delete_limit(&mut self, limit: i64) -> Result<(), StoreError>;

    /// Has somebody's bytes counted anew, from the blobs that are there; until the end of it the old count stands.
    async fn queue_recount(&mut self, owner: &QuotaOwner) -> Result<(), StoreError>;

    /// Goes on with the counting of somebody whose bytes are to be counted, `batch` blobs at the most, while
    /// everybody else goes on as well. `false` when there is nothing to count any more.
    async fn recount(&mut self, batch: usize, now: Timestamp) -> Result<bool, StoreError>;

    /// How large the registry was when it was last counted.
    async fn registry_size(&mut self) -> Result<RegistrySize, StoreError>;

    /// Has the whole registry counted. `false` when that is under way.
    async fn queue_registry_size(&mut self) -> Result<bool, StoreError>;
}
