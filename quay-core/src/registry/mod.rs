//! The facade: every operation of a registry, entered with the caller's identity, authorised here.
//!
//! [`Registry`] is cheap to clone. Its operations are grouped by file: manifests, blobs, uploads, lists.

/// Runs an async block on a unit of work and commits it; meeting another writer, starts over. What is
/// given behind the block runs before each further try, outside the unit of work.
///
/// A macro, since a closure cannot yet promise that its future is `Send` and borrows its argument.
macro_rules! transact {
    ($registry:expr, |$unit:ident| $work:expr $(, $before_retry:expr)?) => {{
        let mut attempt = 0;
        loop {
            let mut $unit = $registry.0.metadata.begin().await?;
            let outcome: Result<_, $crate::Error> = $work.await;
            let outcome = match outcome {
                Ok(value) => $unit.commit().await.map(|()| value).map_err($crate::Error::from),
                // A store's failure says what it says, whatever becomes of others.
                Err(error) if error.store_error().is_some() => {
                    drop($unit);
                    Err(error)
                }
                // What a rule says must not rest on something that a failing commit undoes.
                Err(error) => match $unit.abandon().await {
                    Ok(()) => Err(error),
                    Err(undone) => Err($crate::Error::from(undone)),
                },
            };
            match outcome {
                Err(error) if $crate::registry::try_again(&error, attempt) => {
                    attempt += 1;
                    $($before_retry;)?
                }
                other => break other,
            }
        }
    }};
}

mod action_log;
mod blobs;
mod collect;
mod condition;
mod erase;
mod images;
mod labels;
mod lifecycle;
mod lists;
mod manifests;
mod old_push;
mod older;
mod publish;
mod quota;
mod scan;
mod session;
mod sweep;
mod tag_events;
mod tags;
mod undo;
mod uploads;
mod verbs;

use std::collections::HashSet;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub use action_log::ActionLogging;
pub use blobs::{Blob, BlobContent, MountOutcome};
pub use collect::{Collected, Verdict, judge};
pub use condition::Condition;
pub use erase::Erasure;
pub use images::{ImageChain, ListedImage, TaggedImages};
pub use lifecycle::{AutoPrune, PolicyRun, PreviewPlace, Previewed, PreviewedTag, TagPulls};
pub(crate) use lifecycle::{Preview, PreviewOwner, preview};
pub use lists::{CatalogPage, ReferrerPage, TagPage};
pub use manifests::{ManifestPush, PushedManifest};
pub use old_push::OldImage;
pub use older::Lists;
pub use quota::{QuotaOptions, QuotaSide, quota_exceeded, quota_exhausted, quota_overgrown, quota_room};
pub use scan::{PullPolicy, Scanning, Scans, Security, Unscanned};
pub use sweep::Swept;
pub use tag_events::{TagEvent, TagEventKind};
pub use tags::{Expiration, HistoryPage, HistoryRequest, TagChange};
pub use undo::{TagUndo, UndoAction, UndoMode, Undone};
pub use uploads::{Chunk, Upload, UploadStatus};
pub use verbs::{Verb, WholeImage};

use crate::auth::{Action, Authorizer, Resource};
use crate::blob_store::BlobStore;
use crate::caller::{Caller, Principal};
use crate::error::{Error, ErrorKind, StoreError, StoreErrorKind};
use crate::manifest::{Limits, ManifestSigner};
use crate::metadata::{
    MetadataStore, RepositoryId, RepositoryKind, RepositoryRecord, RepositoryState, UnitOfWork, Visibility,
};
use crate::name::{Namespace, RepositoryName};
use crate::runtime::{Runtime, Timestamp};

/// Beginnings of labels' keys that Quay keeps for itself and others (`quay-api.md`, 1.6).
pub const RESERVED_LABELS: [&str; 12] = [
    "com.docker.",
    "io.docker.",
    "org.dockerproject.",
    "org.opencontainers.",
    "io.cncf.",
    "io.kubernetes.",
    "io.k8s.",
    "io.quay",
    "com.coreos",
    "com.tectonic",
    "internal",
    "quay",
];

/// How often a unit of work that met another writer is tried again before the caller hears of it.
const CONFLICT_RETRIES: usize = 16;

/// A place for blobs: a store under the id that placements remember.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Location {
    /// The storage location's id, as the configuration names it.
    pub id: Arc<str>,
    /// Its store.
    pub store: Arc<dyn BlobStore>,
}

impl Location {
    /// `store` under `id`.
    pub fn new(id: &str, store: Arc<dyn BlobStore>) -> Self {
        Self { id: id.into(), store }
    }
}

/// What a registry accepts.
#[derive(Debug, Clone)]
#[non_exhaustive]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent switches, each a key of the configuration"
)]
pub struct Options {
    /// The namespace of names that have none; `None` refuses such names.
    pub library: Option<Namespace>,
    /// Whether the rest of a name may hold slashes.
    pub nested_names: bool,
    /// Largest blob accepted, in bytes.
    pub max_blob_size: u64,
    /// What a manifest may be.
    pub manifest: Limits,
    /// How long a blob that no manifest holds yet is kept for one.
    pub lease: Duration,
    /// Whether OCI manifests and indexes are accepted.
    pub oci: bool,
    /// Whether an index or image may name what the repository does not hold.
    pub sparse: bool,
    /// Whether referrers can be listed.
    pub referrers: bool,
    /// Whether all writes are refused.
    pub read_only: bool,
    /// Entries of a page when the caller asks for no number, and the most one page holds.
    pub page: PageSizes,
    /// Kinds of side effects that somebody will deliver; others are not recorded.
    pub events: HashSet<String>,
    /// Whether pushes, pulls and deletions are written to the action log, where the store keeps one.
    pub action_log: ActionLogging,
    /// How long a tag that has ended can be brought back, where the store keeps no time of the namespace's own.
    pub time_machine: Duration,
    /// The shortest and the longest time that a tag may be told to last.
    pub tag_lifetime: (Duration, Duration),
    /// Whether repositories that are marked for deletion are deleted by the collector.
    pub delete_repositories: bool,
    /// Whether bytes are counted and quotas hold, where the store counts.
    pub quotas: Option<QuotaOptions>,
    /// Beginnings of labels' keys that nobody may give.
    pub reserved_labels: Vec<String>,
    /// What signs manifests of schema 1 that are made for old clients; they are served without a signature else.
    pub manifest_signer: Option<Arc<dyn ManifestSigner>>,
    /// The namespaces that Docker's first protocol may push to; `None` for all.
    pub old_pushes: Option<HashSet<String>>,
    /// Whether tags can be immutable (`FEATURE_IMMUTABLE_TAGS`). Where they cannot, none is, whatever is stored.
    pub immutable_tags: bool,
    /// Whether immutable tags may end by themselves (`FEATURE_IMMUTABLE_TAGS_CAN_EXPIRE`).
    pub immutable_tags_can_expire: bool,
    /// How tags are pruned by policies (`FEATURE_AUTO_PRUNE`); not at all when absent.
    pub auto_prune: Option<AutoPrune>,
    /// Whether it is recorded how often tags and manifests were pulled and when last, where the store keeps that
    /// (`FEATURE_IMAGE_PULL_STATS`, and `FEATURE_AUTO_PRUNE`, whose policies look at it).
    pub last_pulls: bool,
    /// How manifests are scanned, and whether pulls depend on it; they are not where it is absent.
    pub scanning: Option<Scanning>,
}

/// How long pages of lists are.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct PageSizes {
    /// When the caller asks for no number.
    pub default: usize,
    /// At the most.
    pub max: usize,
}

impl PageSizes {
    /// `default` entries, `max` at the most.
    #[must_use]
    pub const fn new(default: usize, max: usize) -> Self {
        Self { default, max }
    }

    fn limit(self, asked: Option<usize>) -> usize {
        asked.unwrap_or(self.default).min(self.max)
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            library: Namespace::new("library").ok(),
            nested_names: true,
            max_blob_size: 20 << 30,
            manifest: Limits::default(),
            lease: Duration::from_hours(1),
            oci: true,
            sparse: false,
            referrers: true,
            read_only: false,
            page: PageSizes::new(100, 100),
            events: HashSet::new(),
            action_log: ActionLogging::Off,
            time_machine: Duration::from_hours(14 * 24),
            tag_lifetime: (Duration::from_hours(1), Duration::from_hours(104 * 7 * 24)),
            delete_repositories: true,
            quotas: None,
            reserved_labels: RESERVED_LABELS.map(str::to_owned).to_vec(),
            manifest_signer: None,
            old_pushes: None,
            immutable_tags: false,
            immutable_tags_can_expire: false,
            auto_prune: None,
            last_pulls: false,
            scanning: None,
        }
    }
}

/// A registry: stores, rules and rights behind one value.
#[derive(Debug, Clone)]
pub struct Registry(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    metadata: Arc<dyn MetadataStore>,
    /// The first is where uploads go.
    locations: Vec<Location>,
    authorizer: Arc<dyn Authorizer>,
    runtime: Runtime,
    options: Options,
    /// Held while a large manifest is read.
    large_manifests: futures::lock::Mutex<()>,
    /// Uploads that a request of this process is writing to.
    busy: Mutex<HashSet<String>>,
    /// Pulls that are not in the action log yet.
    pulls: action_log::PullLog,
    /// Where images were found by their ids.
    images: Mutex<images::Places>,
    /// Held while a repository is looked through for an image.
    image_search: futures::lock::Mutex<()>,
    /// When tags were pulled that is not recorded yet.
    pull_counts: lifecycle::PullCounts,
}

impl Registry {
    /// A registry with one place for blobs, under the id `default`, and default options.
    pub fn new(
        metadata: Arc<dyn MetadataStore>,
        blobs: Arc<dyn BlobStore>,
        authorizer: Arc<dyn Authorizer>,
        runtime: Runtime,
    ) -> Self {
        let location = Location::new("default", blobs);
        Self::with_options(metadata, vec![location], authorizer, runtime, Options::default())
    }

    /// A registry with several places for blobs. Uploads go to the first one.
    pub fn with_options(
        metadata: Arc<dyn MetadataStore>,
        locations: Vec<Location>,
        authorizer: Arc<dyn Authorizer>,
        runtime: Runtime,
        options: Options,
    ) -> Self {
        Self(Arc::new(Inner {
            metadata,
            locations,
            authorizer,
            runtime,
            options,
            large_manifests: futures::lock::Mutex::default(),
            busy: Mutex::default(),
            pulls: action_log::PullLog::default(),
            images: Mutex::default(),
            image_search: futures::lock::Mutex::default(),
            pull_counts: lifecycle::PullCounts::default(),
        }))
    }

    /// What this registry accepts.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.0.options
    }

    /// The host's abilities, as they were handed in.
    #[must_use]
    pub fn runtime(&self) -> &Runtime {
        &self.0.runtime
    }

    /// Parses a repository's name by this registry's rules.
    ///
    /// # Errors
    /// [`ErrorKind::NameInvalid`].
    pub fn parse_name(&self, text: &str) -> Result<RepositoryName, Error> {
        let name = RepositoryName::parse(text, self.0.options.library.as_ref())?;
        if !self.0.options.nested_names && name.rest().contains('/') {
            return Err(Error::new(
                ErrorKind::NameInvalid,
                "invalid repository name: more than one slash is not allowed here",
            ));
        }
        Ok(name)
    }

    /// Whether this caller may use the registry at all (`GET /v2/`).
    ///
    /// # Errors
    /// [`ErrorKind::Unauthorized`], or a store's failure.
    pub async fn ping(&self, caller: &Caller) -> Result<(), Error> {
        self.authorize(Action::Ping, Resource::Registry, caller).await
    }

    async fn authorize(&self, action: Action, resource: Resource<'_>, caller: &Caller) -> Result<(), Error> {
        let decision = self.0.authorizer.authorize(action, resource, caller).await?;
        if decision.is_allowed() {
            return Ok(());
        }
        tracing::debug!(?action, ?decision, "refused");
        Err(Error::new(
            ErrorKind::Unauthorized,
            "access to the requested resource is not authorized",
        ))
    }

    /// Authorises reading from a repository that was looked up, and insists that it exists.
    async fn readable<'a>(
        &self,
        name: &RepositoryName,
        record: Option<&'a RepositoryRecord>,
        caller: &Caller,
    ) -> Result<&'a RepositoryRecord, Error> {
        let record = record.filter(|record| record.state != RepositoryState::MarkedForDeletion);
        self.authorize(Action::Pull, Resource::Repository { name, record }, caller)
            .await?;
        let record = record.ok_or_else(|| unknown_name(name))?;
        require_image(record)?;
        Ok(record)
    }

    /// Authorises changing a repository. `None` when it does not exist and this caller may create it.
    async fn writable(
        &self,
        name: &RepositoryName,
        action: Action,
        caller: &Caller,
    ) -> Result<Option<Arc<RepositoryRecord>>, Error> {
        let stored = self.0.metadata.repository(name).await?;
        let found = stored
            .clone()
            .filter(|record| record.state != RepositoryState::MarkedForDeletion);
        let record = found.as_deref();
        self.authorize(action, Resource::Repository { name, record }, caller)
            .await?;
        if self.0.options.read_only {
            return Err(Error::new(
                ErrorKind::ReadOnly,
                "the registry is in read-only mode",
            ));
        }
        match record {
            // One that is being deleted takes nothing in, and its name is not free yet.
            None if stored.is_some() => return Err(unknown_name(name)),
            None if action == Action::Push => {
                self.authorize(Action::Create, Resource::Repository { name, record }, caller)
                    .await?;
            }
            None => return Err(unknown_name(name)),
            Some(record) => takes_changes(record, caller)?,
        }
        Ok(found)
    }

    /// Authorises changing tags and labels of a repository, which must exist.
    async fn changeable(
        &self,
        name: &RepositoryName,
        caller: &Caller,
    ) -> Result<Arc<RepositoryRecord>, Error> {
        let stored = self.0.metadata.repository(name).await?;
        let found = stored.filter(|record| record.state != RepositoryState::MarkedForDeletion);
        let record = found.as_deref();
        self.authorize(Action::Push, Resource::Repository { name, record }, caller)
            .await?;
        if self.0.options.read_only {
            return Err(Error::new(
                ErrorKind::ReadOnly,
                "the registry is in read-only mode",
            ));
        }
        let found = found.ok_or_else(|| unknown_name(name))?;
        takes_changes(&found, caller)?;
        Ok(found)
    }

    /// Whether the caller may push to a repository, asked before a body is taken in. The operation itself
    /// asks again.
    ///
    /// # Errors
    /// What keeps the caller from pushing, or a store's.
    pub async fn may_push(&self, name: &RepositoryName, caller: &Caller) -> Result<(), Error> {
        self.writable(name, Action::Push, caller).await.map(drop)
    }

    /// Whether the caller may change tags and labels of a repository, which must exist. The operations themselves
    /// ask again.
    ///
    /// # Errors
    /// What keeps the caller from changing it, or a store's.
    pub async fn may_change(&self, name: &RepositoryName, caller: &Caller) -> Result<(), Error> {
        self.changeable(name, caller).await.map(drop)
    }

    /// Whether the caller may read from a repository, which must exist. The operations themselves ask again.
    ///
    /// # Errors
    /// What keeps the caller from it, or a store's.
    pub async fn may_pull_from(&self, name: &RepositoryName, caller: &Caller) -> Result<(), Error> {
        let stored = self.0.metadata.repository(name).await?;
        self.readable(name, stored.as_deref(), caller).await.map(drop)
    }

    /// The repository that a change goes to, within its unit of work: the one that was found and
    /// authorised, or a new one. One that was made by somebody else since then is a conflict, so that the
    /// caller is authorised anew.
    async fn target(
        &self,
        unit: &mut dyn UnitOfWork,
        name: &RepositoryName,
        found: Option<&RepositoryRecord>,
        now: Timestamp,
    ) -> Result<RepositoryId, Error> {
        if let Some(found) = found {
            return authorised(unit, found).await;
        }
        let created = unit.repositories().create(name, Visibility::Private, now).await?;
        let appeared = || {
            let context = "the repository was made by somebody else meanwhile";
            StoreError::new(StoreErrorKind::Conflict, context)
        };
        Ok(created.ok_or_else(appeared)?.id)
    }

    fn location(&self, id: &str) -> Option<&Arc<dyn BlobStore>> {
        self.0
            .locations
            .iter()
            .find(|location| &*location.id == id)
            .map(|location| &location.store)
    }

    fn preferred(&self) -> Result<&Location, Error> {
        self.0
            .locations
            .first()
            .ok_or_else(|| Error::new(ErrorKind::Unsupported, "this registry has no storage location"))
    }

    fn subscribed(&self, event: &str) -> bool {
        self.0.options.events.contains(event)
    }

    /// Takes the in-process lock of an upload; dropped with the guard.
    fn lock_upload(&self, id: &str) -> Result<UploadGuard, Error> {
        let mut busy = self.0.busy.lock().unwrap_or_else(PoisonError::into_inner);
        if !busy.insert(id.to_owned()) {
            return Err(busy_upload());
        }
        Ok(UploadGuard {
            registry: self.clone(),
            id: id.to_owned(),
        })
    }
}

struct UploadGuard {
    registry: Registry,
    id: String,
}

impl Drop for UploadGuard {
    fn drop(&mut self) {
        let mut busy = self
            .registry
            .0
            .busy
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        busy.remove(&self.id);
    }
}

fn busy_upload() -> Error {
    Error::new(ErrorKind::UploadBusy, "another request is writing to this upload")
}

fn unknown_name(name: &RepositoryName) -> Error {
    Error::new(ErrorKind::NameUnknown, "repository name not known to registry")
        .with_detail(serde_json::json!({ "name": name.as_asked() }))
}

/// A repository whose change was authorised, locked within the change's unit of work. If it is no longer what it
/// was, the caller is authorised anew.
async fn authorised(unit: &mut dyn UnitOfWork, record: &RepositoryRecord) -> Result<RepositoryId, Error> {
    let stored = unit.repositories().lock(record.id).await?;
    let stored = stored.filter(|stored| stored.state != RepositoryState::MarkedForDeletion);
    let stored = stored.ok_or_else(|| unknown_name(&record.name))?;
    if stored.name.path() == record.name.path() && stored.state == record.state && stored.kind == record.kind
    {
        return Ok(record.id);
    }
    let context = "the repository was changed by somebody else meanwhile";
    Err(StoreError::new(StoreErrorKind::Conflict, context).into())
}

/// Whether a repository's kind and state allow that it is changed.
fn takes_changes(record: &RepositoryRecord, caller: &Caller) -> Result<(), Error> {
    require_image(record)?;
    let refused = match record.state {
        RepositoryState::Normal => None,
        RepositoryState::Mirror => {
            (caller.principal != Principal::System).then_some("the repository is a mirror")
        }
        _ => Some("the repository is in read-only mode"),
    };
    match refused {
        Some(reason) => Err(Error::new(ErrorKind::ReadOnly, reason)),
        None => Ok(()),
    }
}

fn require_image(record: &RepositoryRecord) -> Result<(), Error> {
    match record.kind {
        RepositoryKind::Image => Ok(()),
        RepositoryKind::Application => Err(Error::new(
            ErrorKind::Unsupported,
            "this repository holds applications, not images",
        )),
    }
}

/// A task of the host's that never answered: the host is going down.
fn gone(canceled: futures::channel::oneshot::Canceled) -> Error {
    crate::hashing::gone(canceled).into()
}

/// Whether a unit of work should be tried once more.
pub(crate) fn try_again(error: &Error, attempt: usize) -> bool {
    attempt < CONFLICT_RETRIES
        && error
            .store_error()
            .is_some_and(|error| error.kind() == StoreErrorKind::Conflict)
}
