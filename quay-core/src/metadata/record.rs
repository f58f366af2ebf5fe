//! What is stored: one struct per kind of row, without the database's own ids where callers need none.

use std::sync::Arc;

use bytes::Bytes;

use crate::blob_store::{ObjectKey, UploadState};
use crate::digest::{Algorithm, Digest};
use crate::media_type::MediaType;
use crate::name::{RepositoryName, Tag};
use crate::runtime::Timestamp;

/// A repository's id. 64 bits, never used again.
pub type RepositoryId = i64;

macro_rules! by_name {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $name {
            /// The name under which it is stored.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// Reads a stored name; `None` for one that this version does not know.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($text => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

by_name! {
    /// What a repository holds.
    RepositoryKind {
        /// Images and OCI artifacts.
        Image = "image",
        /// Applications of the app registry.
        Application = "application",
    }
}

by_name! {
    /// What may be done to a repository (data-model, section 2).
    RepositoryState {
        /// Everything that rights allow.
        Normal = "normal",
        /// Reading only.
        ReadOnly = "read_only",
        /// Writing only by the mirror's robot.
        Mirror = "mirror",
        /// It is being deleted and seen by nobody.
        MarkedForDeletion = "marked_for_deletion",
    }
}

by_name! {
    /// Who may see a repository without a permission of their own.
    Visibility {
        /// Everybody.
        Public = "public",
        /// Nobody.
        Private = "private",
    }
}

by_name! {
    /// How one manifest names another thing.
    EdgeKind {
        /// The configuration blob.
        Config = "config",
        /// A layer blob.
        Layer = "layer",
        /// A manifest in an index or list.
        Child = "child",
        /// The manifest that this one is about.
        Subject = "subject",
    }
}

/// A repository.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RepositoryRecord {
    /// Its id.
    pub id: RepositoryId,
    /// Its name.
    pub name: RepositoryName,
    /// What it holds.
    pub kind: RepositoryKind,
    /// What may be done to it.
    pub state: RepositoryState,
    /// Who may see it.
    pub visibility: Visibility,
}

impl RepositoryRecord {
    /// A repository as a store read it.
    #[must_use]
    pub const fn new(
        id: RepositoryId,
        name: RepositoryName,
        kind: RepositoryKind,
        state: RepositoryState,
        visibility: Visibility,
    ) -> Self {
        Self {
            id,
            name,
            kind,
            state,
            visibility,
        }
    }
}

/// A manifest as it is served.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ManifestRecord {
    /// Digest of the bytes (of the payload, for signed schema 1).
    pub digest: Digest,
    /// Its media type.
    pub media_type: MediaType,
    /// The bytes as pushed.
    pub bytes: Bytes,
}

impl ManifestRecord {
    /// A manifest as a store read it.
    #[must_use]
    pub const fn new(digest: Digest, media_type: MediaType, bytes: Bytes) -> Self {
        Self {
            digest,
            media_type,
            bytes,
        }
    }
}

/// Where one copy of a blob lies.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Placement {
    /// The storage location's id, as the configuration names it.
    pub location: Arc<str>,
    /// The object's key in that location.
    pub key: ObjectKey,
}

impl Placement {
    /// `key` in `location`.
    #[must_use]
    pub const fn new(location: Arc<str>, key: ObjectKey) -> Self {
        Self { location, key }
    }
}

/// A blob: global by digest, its access per repository.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct BlobRecord {
    /// Its id.
    pub id: i64,
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Where its copies lie; one at least.
    pub placements: Arc<[Placement]>,
}

impl BlobRecord {
    /// A blob as a store read it.
    #[must_use]
    pub const fn new(id: i64, digest: Digest, size: u64, placements: Arc<[Placement]>) -> Self {
        Self {
            id,
            digest,
            size,
            placements,
        }
    }
}

/// What one manifest names.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Edge {
    /// How.
    pub kind: EdgeKind,
    /// What.
    pub digest: Digest,
    /// Whether the repository had it when the manifest was put, or got it later. An edge that is not
    /// held shows nothing and keeps nothing alive.
    pub held: bool,
}

impl Edge {
    /// An edge to `digest`.
    #[must_use]
    pub const fn new(kind: EdgeKind, digest: Digest, held: bool) -> Self {
        Self { kind, digest, held }
    }
}

/// A manifest to be stored.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct NewManifest {
    /// Its digest.
    pub digest: Digest,
    /// Its media type.
    pub media_type: MediaType,
    /// The bytes as pushed.
    pub bytes: Bytes,
    /// What it is a manifest of, for referrers lists (distribution-spec, "Listing Referrers").
    pub artifact_type: Option<String>,
    /// The manifest it is about.
    pub subject: Option<Digest>,
    /// Its annotations as a JSON object, kept beside a subject for referrers lists.
    pub annotations: Option<String>,
    /// What it names.
    pub edges: Vec<Edge>,
    /// Until when it is kept whatever else holds it.
    pub lease: Option<Timestamp>,
}

impl NewManifest {
    /// A manifest that names nothing.
    #[must_use]
    pub const fn new(digest: Digest, media_type: MediaType, bytes: Bytes) -> Self {
        Self {
            digest,
            media_type,
            bytes,
            artifact_type: None,
            subject: None,
            annotations: None,
            edges: Vec::new(),
            lease: None,
        }
    }

    /// Keeps it until then, whatever else holds it.
    #[must_use]
    pub const fn with_lease(mut self, lease: Option<Timestamp>) -> Self {
        self.lease = lease;
        self
    }

    /// Sets what it names.
    #[must_use]
    pub fn with_edges(mut self, edges: Vec<Edge>) -> Self {
        self.edges = edges;
        self
    }

    /// Sets what it is about, and what referrers lists say of it.
    #[must_use]
    pub fn with_subject(
        mut self,
        subject: Option<Digest>,
        artifact_type: Option<String>,
        annotations: Option<String>,
    ) -> Self {
        self.subject = subject;
        self.artifact_type = artifact_type;
        self.annotations = annotations;
        self
    }
}

/// A manifest's row, without its bytes.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StoredManifest {
    /// Its id.
    pub id: i64,
    /// Its digest.
    pub digest: Digest,
    /// Whether it can be pulled. A manifest that was deleted keeps its row for the time machine.
    pub live: bool,
}

impl StoredManifest {
    /// A manifest's row as a store read it.
    #[must_use]
    pub const fn new(id: i64, digest: Digest, live: bool) -> Self {
        Self { id, digest, live }
    }
}

/// One entry of a referrers list.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Referrer {
    /// The referring manifest.
    pub digest: Digest,
    /// Its media type.
    pub media_type: MediaType,
    /// Its size in bytes.
    pub size: u64,
    /// What it is a manifest of.
    pub artifact_type: Option<String>,
    /// Its annotations as a JSON object.
    pub annotations: Option<String>,
}

impl Referrer {
    /// An entry as a store read it.
    #[must_use]
    pub const fn new(
        digest: Digest,
        media_type: MediaType,
        size: u64,
        artifact_type: Option<String>,
        annotations: Option<String>,
    ) -> Self {
        Self {
            digest,
            media_type,
            size,
            artifact_type,
            annotations,
        }
    }
}

/// One row of a tag's history: from when to when it pointed at what.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TagRecord {
    /// The row's id.
    pub id: i64,
    /// The tag.
    pub name: Tag,
    /// The row of the manifest it points at.
    pub manifest_id: i64,
    /// That manifest's digest.
    pub digest: Digest,
    /// Since when.
    pub start: Timestamp,
    /// Until when; alive while absent or in the future.
    pub end: Option<Timestamp>,
    /// Whether the tag was put back to what it had pointed at before.
    pub reversion: bool,
    /// Whether the tag stays as it is.
    pub immutable: bool,
}

impl TagRecord {
    /// A row as a store read it.
    #[must_use]
    pub const fn new(
        id: i64,
        name: Tag,
        manifest_id: i64,
        digest: Digest,
        start: Timestamp,
        end: Option<Timestamp>,
    ) -> Self {
        Self {
            id,
            name,
            manifest_id,
            digest,
            start,
            end,
            reversion: false,
            immutable: false,
        }
    }

    /// Says that the tag stays as it is.
    #[must_use]
    pub const fn with_immutable(mut self, immutable: bool) -> Self {
        self.immutable = immutable;
        self
    }

    /// Says that the tag was put back.
    #[must_use]
    pub const fn with_reversion(mut self, reversion: bool) -> Self {
        self.reversion = reversion;
        self
    }

    /// Whether it counts at `now`.
    #[must_use]
    pub fn is_alive(&self, now: Timestamp) -> bool {
        self.end.is_none_or(|end| end > now)
    }
}

/// One row of a repository's history of tags, with what is known of the manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TagEntry {
    /// The row.
    pub tag: TagRecord,
    /// The manifest's media type.
    pub media_type: MediaType,
    /// The manifest's own size in bytes.
    pub size: u64,
    /// Bytes of the layers together, as far as the repository holds them; `None` for a manifest without any.
    pub layers_size: Option<u64>,
    /// The manifests that an index or list names, and whether the repository has them, each once. Rows of one
    /// manifest share it.
    pub children: Arc<[(Digest, bool)]>,
}

impl TagEntry {
    /// A row as a store read it.
    #[must_use]
    pub const fn new(
        tag: TagRecord,
        media_type: MediaType,
        layers_size: Option<u64>,
        children: Arc<[(Digest, bool)]>,
    ) -> Self {
        Self {
            tag,
            media_type,
            size: 0,
            layers_size,
            children,
        }
    }

    /// Tells the manifest's own size in bytes.
    #[must_use]
    pub const fn with_size(mut self, size: u64) -> Self {
        self.size = size;
        self
    }
}

/// Where a page of tags' history goes on: the newest row comes first, and of one moment the first name.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct TagPosition {
    /// When the last row of the page before began, in milliseconds.
    pub start: i64,
    /// Its name.
    pub name: String,
}

impl From<&TagRecord> for TagPosition {
    fn from(tag: &TagRecord) -> Self {
        Self {
            start: tag.start.as_millis(),
            name: tag.name.as_str().to_owned(),
        }
    }
}

/// Which names of tags a list holds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "one name, or a part of it")]
pub enum TagNames {
    /// One.
    Exactly(String),
    /// Those that hold a text, compared with regard to case.
    Holding(String),
}

/// Which rows a list of tags' history holds.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TagFilter {
    /// Which names; all when absent.
    pub names: Option<TagNames>,
    /// Whether only rows count that are alive.
    pub alive: bool,
    /// Rows count that have not ended by then.
    pub ended_after: Timestamp,
    /// Whether it is wanted what indexes and lists name; without it, there are no children.
    pub children: bool,
}

impl TagFilter {
    /// All rows that have not ended by then.
    #[must_use]
    pub const fn new(ended_after: Timestamp) -> Self {
        Self {
            names: None,
            alive: false,
            ended_after,
            children: false,
        }
    }

    /// Limits the names.
    #[must_use]
    pub fn with_names(mut self, names: Option<TagNames>) -> Self {
        self.names = names;
        self
    }

    /// With what indexes and lists name.
    #[must_use]
    pub const fn with_children(mut self, children: bool) -> Self {
        self.children = children;
        self
    }

    /// Limits it to rows that are alive.
    #[must_use]
    pub const fn with_alive(mut self, alive: bool) -> Self {
        self.alive = alive;
        self
    }
}

by_name! {
    /// Where a label comes from.
    LabelSource {
        /// From the manifest itself: it stays as it is.
        Manifest = "manifest",
        /// From somebody: it can be removed.
        Api = "api",
        /// From the registry.
        Internal = "internal",
    }
}

/// A label of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LabelRecord {
    /// Its id.
    pub uuid: String,
    /// Its key. One manifest may have several labels of a key.
    pub key: String,
    /// Its value.
    pub value: String,
    /// What the value is: `text/plain` or `application/json`.
    pub media_type: String,
    /// Where it comes from.
    pub source: LabelSource,
}

impl LabelRecord {
    /// A label.
    #[must_use]
    pub const fn new(
        uuid: String,
        key: String,
        value: String,
        media_type: String,
        source: LabelSource,
    ) -> Self {
        Self {
            uuid,
            key,
            value,
            media_type,
            source,
        }
    }
}

/// An upload session to be recorded.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct NewUpload {
    /// Its id: unguessable, part of the upload's address.
    pub id: String,
    /// The repository it belongs to.
    pub repository: RepositoryId,
    /// Whom it belongs to ([`Principal::binding`](crate::Principal::binding)).
    pub principal: String,
    /// The storage location it is written to.
    pub location: Arc<str>,
    /// The algorithm that hashes it on its way.
    pub algorithm: Algorithm,
    /// The store's own state.
    pub store_state: UploadState,
}

impl NewUpload {
    /// A session.
    #[must_use]
    pub const fn new(
        id: String,
        repository: RepositoryId,
        principal: String,
        location: Arc<str>,
        algorithm: Algorithm,
        store_state: UploadState,
    ) -> Self {
        Self {
            id,
            repository,
            principal,
            location,
            algorithm,
            store_state,
        }
    }
}

/// An upload session as it stands.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct UploadRecord {
    /// What it was begun with; `store_state` is the newest.
    pub upload: NewUpload,
    /// How many bytes it holds.
    pub offset: u64,
    /// The hasher's state behind those bytes; empty while there are none.
    pub hash_state: Bytes,
    /// Counts changes; a change names the version it is based on.
    pub version: i64,
    /// When it was last changed.
    pub updated: Timestamp,
    /// How many bytes it has been promised of a quota.
    pub reserved: u64,
}

impl UploadRecord {
    /// A session as a store read it.
    #[must_use]
    pub const fn new(
        upload: NewUpload,
        offset: u64,
        hash_state: Bytes,
        version: i64,
        updated: Timestamp,
    ) -> Self {
        Self {
            upload,
            offset,
            hash_state,
            version,
            updated,
            reserved: 0,
        }
    }

    /// Says what it has been promised.
    #[must_use]
    pub const fn with_reserved(mut self, bytes: u64) -> Self {
        self.reserved = bytes;
        self
    }
}

/// A side effect that was recorded with the change that causes it, to be delivered at least once.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OutboxRow {
    /// The row's id, in the order of recording.
    pub id: i64,
    /// What kind of effect, such as `manifest.pushed`.
    pub kind: String,
    /// What it is about, as JSON.
    pub payload: String,
}

impl OutboxRow {
    /// A row as a store read it.
    #[must_use]
    pub const fn new(id: i64, kind: String, payload: String) -> Self {
        Self { id, kind, payload }
    }
}
