//! What the life of tags needs of the rows: policies, the work that they cause, and when tags were last pulled.

use async_trait::async_trait;

use super::record::{RepositoryId, TagPosition, TagRecord};
use crate::digest::Digest;
use crate::error::StoreError;
use crate::name::Tag;
use crate::runtime::Timestamp;

/// What a policy does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a new kind is work everywhere")]
pub enum PolicyKind {
    /// It ends tags.
    Prune,
    /// It keeps tags as they are.
    Immutability,
}

impl PolicyKind {
    /// The name under which it is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Prune => "autoprune",
            Self::Immutability => "immutability",
        }
    }

    /// Reads a stored name; `None` for one that this version does not know.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Prune, Self::Immutability]
            .into_iter()
            .find(|kind| kind.as_str() == name)
    }
}

/// Whose repositories a policy is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "all, several, or one")]
pub enum PolicyOwner {
    /// Everybody's: the default of the configuration. It has work, and no rows of policies.
    Everybody,
    /// All of a namespace, by its name.
    Namespace(String),
    /// One repository.
    Repository(RepositoryId),
}

impl PolicyOwner {
    /// The text under which it is stored.
    #[must_use]
    pub fn key(&self) -> String {
        match self {
            Self::Everybody => "everybody".to_owned(),
            Self::Namespace(name) => format!("namespace:{name}"),
            Self::Repository(id) => format!("repository:{id}"),
        }
    }

    /// Reads a stored text.
    #[must_use]
    pub fn from_key(key: &str) -> Option<Self> {
        match key.split_once(':') {
            None if key == "everybody" => Some(Self::Everybody),
            Some(("namespace", name)) => Some(Self::Namespace(name.to_owned())),
            Some(("repository", id)) => id.parse().ok().map(Self::Repository),
            _ => None,
        }
    }
}

/// A policy.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PolicyRecord {
    /// Its id.
    pub uuid: String,
    /// What it does.
    pub kind: PolicyKind,
    /// Whose repositories it is about.
    pub owner: PolicyOwner,
    /// What it says, as JSON.
    pub content: String,
}

impl PolicyRecord {
    /// A policy.
    #[must_use]
    pub const fn new(uuid: String, kind: PolicyKind, owner: PolicyOwner, content: String) -> Self {
        Self {
            uuid,
            kind,
            owner,
            content,
        }
    }
}

/// Work that policies cause, as somebody has claimed it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PolicyTask {
    /// What its policies do.
    pub kind: PolicyKind,
    /// Whose repositories are to be gone through.
    pub owner: PolicyOwner,
    /// Counts changes; a change names the version it is based on.
    pub version: i64,
    /// How far it has come; at the beginning when absent.
    pub place: Option<String>,
}

impl PolicyTask {
    /// A task as a store read it.
    #[must_use]
    pub const fn new(kind: PolicyKind, owner: PolicyOwner, version: i64, place: Option<String>) -> Self {
        Self {
            kind,
            owner,
            version,
            place,
        }
    }
}

/// A tag with what policies look at.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RatedTag {
    /// Its live row.
    pub tag: TagRecord,
    /// When the tag was last pulled by its name, or its manifest by its digest, whichever is later.
    pub pulled: Option<Timestamp>,
}

impl RatedTag {
    /// A tag as a store read it.
    #[must_use]
    pub const fn new(tag: TagRecord, pulled: Option<Timestamp>) -> Self {
        Self { tag, pulled }
    }
}

/// Pulls of one manifest by one name since they were last recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PullCount {
    /// The repository.
    pub repository: RepositoryId,
    /// The manifest.
    pub digest: Digest,
    /// The tag by which it was pulled; `None` for its digest.
    pub tag: Option<Tag>,
    /// How many there were.
    pub pulls: u64,
    /// The last of them.
    pub last: Timestamp,
}

impl PullCount {
    /// Pulls of a manifest.
    #[must_use]
    pub const fn new(
        repository: RepositoryId,
        digest: Digest,
        tag: Option<Tag>,
        pulls: u64,
        last: Timestamp,
    ) -> Self {
        Self {
            repository,
            digest,
            tag,
            pulls,
            last,
        }
    }
}

/// What pulls are added up by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a manifest, or a tag")]
pub enum PulledAs<'a> {
    /// A manifest, pulled by its digest or by any tag.
    Manifest(&'a Digest),
    /// A tag, whatever it pointed at.
    Tag(&'a Tag),
}

/// Pulls, added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct PullTotal {
    /// How many there were.
    pub pulls: u64,
    /// The last of them, if there were any.
    pub last: Option<Timestamp>,
}

impl PullTotal {
    /// So many pulls.
    #[must_use]
    pub const fn new(pulls: u64, last: Option<Timestamp>) -> Self {
        Self { pulls, last }
    }
}

/// The life of tags within a unit of work.
///
/// Policies and tasks of a namespace follow it when it is renamed and go with it; those of a repository, and what is
/// recorded of its pulls, go with the repository. What is recorded of a manifest's pulls goes with the manifest.
///
/// # Errors
/// Every method: the store's.
#[async_trait]
pub trait LifecycleStore: Send {
    /// Records a policy. A uuid that is there is a [`Conflict`](crate::StoreErrorKind::Conflict).
    async fn insert_policy(&mut self, policy: &PolicyRecord) -> Result<(), StoreError>;

    /// Changes what a policy says. `false` when its owner has none of that kind and uuid.
    async fn save_policy(&mut self, policy: &PolicyRecord) -> Result<bool, StoreError>;

    /// Removes a policy. `false` when its owner has none of that kind and uuid.
    async fn delete_policy(
        &mut self,
        kind: PolicyKind,
        owner: &PolicyOwner,
        uuid: &str,
    ) -> Result<bool, StoreError>;

    /// As [`MetadataStore::policies`](super::MetadataStore::policies), within the unit of work.
    async fn policies(
        &mut self,
        kind: PolicyKind,
        owners: &[PolicyOwner],
    ) -> Result<Vec<PolicyRecord>, StoreError>;

    /// A page of a repository's tags that are alive at `now`, those that began last first and of one moment by name.
    /// Cost follows the page.
    async fn rated_tags(
        &mut self,
        repository: RepositoryId,
        after: Option<&TagPosition>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Vec<RatedTag>, StoreError>;

    /// Says of the live rows of these names whether they stay as they are. Called with the repository locked.
    async fn set_immutable(
        &mut self,
        repository: RepositoryId,
        names: &[Tag],
        immutable: bool,
    ) -> Result<(), StoreError>;

    /// Has an owner's repositories gone through from the beginning, at `due`. Whoever has claimed the task as it was
    /// can change it no more.
    async fn schedule(
        &mut self,
        kind: PolicyKind,
        owner: &PolicyOwner,
        due: Timestamp,
    ) -> Result<(), StoreError>;

    /// As [`schedule`](Self::schedule), unless there is such a task already.
    async fn ensure_scheduled(
        &mut self,
        kind: PolicyKind,
        owner: &PolicyOwner,
        due: Timestamp,
    ) -> Result<(), StoreError>;

    /// Takes the task of these kinds that has been due for longest at `now`, and hides it from others until `until`:
    /// it is due again then. Cost does not follow the number of tasks.
    async fn claim_task(
        &mut self,
        kinds: &[PolicyKind],
        until: Timestamp,
        now: Timestamp,
    ) -> Result<Option<PolicyTask>, StoreError>;

    /// Records how far a task has come and when it is due again. `false`, with nothing changed, when its version has
    /// moved on.
    async fn proceed(
        &mut self,
        task: &PolicyTask,
        place: Option<&str>,
        due: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Removes a task. `false`, with nothing changed, when its version has moved on.
    async fn finish(&mut self, task: &PolicyTask) -> Result<bool, StoreError>;

    /// Adds to what is recorded of pulls: of times the later one stays. Pulls of manifests that are gone are left out.
    async fn count_pulls(&mut self, pulls: &[PullCount]) -> Result<(), StoreError>;

    /// What is recorded of a manifest's pulls, by its digest and by each tag, in no order.
    async fn pulls_of(
        &mut self,
        repository: RepositoryId,
        digest: &Digest,
    ) -> Result<Vec<PullCount>, StoreError>;
}
