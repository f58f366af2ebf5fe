//! Manifests: read, pushed under a digest or tags, deleted.

use bytes::Bytes;

use super::lifecycle::TagPush;
use super::{Condition, Registry, authorised, gone, unknown_name};
use crate::auth::Action;
use crate::caller::Caller;
use crate::digest::{Algorithm, Digest};
use crate::error::{Error, ErrorKind};
use crate::manifest::Manifest;
use crate::media_type::MediaType;
use crate::metadata::{Edge, EdgeKind, ManifestRecord, NewManifest, PutOutcome, UnitOfWork};
use crate::name::{Reference, RepositoryName, Tag};
use crate::runtime::blocking;

/// Most tags that one push may set. Each is answered with a header of its own, and clients read 100 of them.
const MAX_TAGS: usize = 64;

/// Manifests up to this many bytes are read where they are: handing them over would cost more.
pub(super) const PARSED_INLINE: usize = 64 << 10;

/// A manifest to be pushed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ManifestPush {
    /// Where to: a tag, or the manifest's own digest.
    pub reference: Reference,
    /// Tags to set when it is pushed by digest.
    pub tags: Vec<Tag>,
    /// What the client declares it to be.
    pub content_type: Option<MediaType>,
    /// The bytes, kept as they are.
    pub bytes: Bytes,
    /// What must hold of each tag that is set: of all, or none is set.
    pub condition: Condition,
}

impl ManifestPush {
    /// Pushes `bytes` to `reference`.
    #[must_use]
    pub const fn new(reference: Reference, bytes: Bytes) -> Self {
        Self {
            reference,
            tags: Vec::new(),
            content_type: None,
            bytes,
            condition: Condition::None,
        }
    }

    /// Sets tags besides.
    #[must_use]
    pub fn with_tags(mut self, tags: Vec<Tag>) -> Self {
        self.tags = tags;
        self
    }

    /// Declares the media type.
    #[must_use]
    pub fn with_content_type(mut self, content_type: Option<MediaType>) -> Self {
        self.content_type = content_type;
        self
    }

    /// Makes the push depend on where the tags point.
    #[must_use]
    pub fn with_condition(mut self, condition: Condition) -> Self {
        self.condition = condition;
        self
    }
}

/// What a push did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PushedManifest {
    /// The manifest's digest.
    pub digest: Digest,
    /// The manifest it is about, when it names one (answered as `OCI-Subject`).
    pub subject: Option<Digest>,
    /// The tags that point at it now.
    pub tags: Vec<Tag>,
}

pub(super) fn unknown_manifest(reference: &Reference) -> Error {
    Error::new(ErrorKind::ManifestUnknown, "manifest unknown")
        .with_detail(serde_json::json!({ "reference": reference.to_string() }))
}

/// The digest that a manifest is stored under: its own, which must be the one that it is pushed under.
fn digest_of(manifest: &Manifest, reference: &Reference) -> Result<Digest, Error> {
    let Reference::Digest(expected) = reference else {
        return Ok(manifest.digest(Algorithm::Sha256));
    };
    let actual = manifest.digest(expected.algorithm());
    if actual != *expected {
        return Err(Error::new(
            ErrorKind::DigestInvalid,
            "the manifest does not have the digest it is pushed under",
        )
        .with_detail(serde_json::json!({ "expected": expected, "computed": actual })));
    }
    Ok(actual)
}

impl Registry {
    /// Reads a manifest by tag or digest.
    ///
    /// # Errors
    /// [`ErrorKind::ManifestUnknown`], [`ErrorKind::NameUnknown`], [`ErrorKind::Unauthorized`],
    /// [`ErrorKind::Forbidden`] when what was found in it keeps it from being pulled, or a store's.
    pub async fn manifest(
        &self,
        name: &RepositoryName,
        reference: &Reference,
        caller: &Caller,
    ) -> Result<ManifestRecord, Error> {
        let now = self.0.runtime.clock.now();
        let lookup = self.0.metadata.manifest(name, reference, now).await?;
        let record = self.readable(name, lookup.repository.as_deref(), caller).await?;
        let found = lookup.found.ok_or_else(|| unknown_manifest(reference))?;
        self.admit(record, &found.digest, caller).await?;
        self.log_pull(record, name, reference, &found.media_type, caller)
            .await?;
        self.count_pull(record, reference, &found.digest);
        Ok(found)
    }

    /// Stores a manifest and moves tags to it, all in one unit of work.
    ///
    /// # Errors
    /// [`ErrorKind::ManifestInvalid`] and its kin, [`ErrorKind::ManifestBlobUnknown`] when it names what
    /// the repository does not hold, [`ErrorKind::DigestInvalid`], [`ErrorKind::PreconditionFailed`],
    /// what keeps the caller from pushing, or a store's.
    pub async fn put_manifest(
        &self,
        name: &RepositoryName,
        push: ManifestPush,
        caller: &Caller,
    ) -> Result<PushedManifest, Error> {
        let mut found = self.writable(name, Action::Push, caller).await?;
        self.refuse_exceeded(name).await?;
        let manifest = self.check_manifest(name, &push).await?;
        let digest = digest_of(&manifest, &push.reference)?;
        let mut tags = push.tags.clone();
        if let Reference::Tag(tag) = &push.reference {
            tags.push(tag.clone());
        }
        tags.sort();
        tags.dedup();
        if tags.len() > MAX_TAGS {
            return Err(Error::new(
                ErrorKind::InvalidRequest,
                format!("one push may set {MAX_TAGS} tags at the most"),
            ));
        }
        let labels = self.labels_of(name, &manifest).await?;
        let now = self.0.runtime.clock.now();
        transact!(
            self,
            |unit| async {
                let repository = self.target(&mut *unit, name, found.as_deref(), now).await?;
                let edges = self.edges(&mut *unit, repository, &manifest).await?;
                let live = unit.tags().live(repository, &tags, now).await?;
                let current = |tag: &Tag| live.iter().find(|record| record.name == *tag);
                for tag in &tags {
                    push.condition.check(current(tag).map(|record| &record.digest))?;
                }
                let immutability = self.immutability(&mut *unit, name, repository).await?;
                for row in live.iter().filter(|row| row.digest != digest) {
                    immutability.check(row, "pushed over")?;
                }
                if let (Reference::Digest(_), true) = (&push.reference, tags.is_empty()) {
                    let stored = unit
                        .manifests()
                        .find(repository, &digest)
                        .await?
                        .filter(|row| row.live);
                    push.condition.check(stored.as_ref().map(|row| &row.digest))?;
                }
                let lease = tags.is_empty().then(|| now.plus(self.0.options.lease));
                let row = NewManifest::new(digest, manifest.media_type(), push.bytes.clone())
                    .with_edges(edges)
                    .with_lease(lease)
                    .with_subject(
                        manifest.subject,
                        manifest.artifact_type.clone(),
                        manifest.subject.and_then(|_| manifest.annotations.clone()),
                    );
                let (id, outcome) = unit.manifests().put(repository, &row, now).await?;
                if outcome == PutOutcome::Created
                    && !labels.is_empty()
                    && let Some(store) = unit.labels()
                {
                    store.insert(repository, id, &labels).await?;
                }
                self.want_scan(&mut *unit, repository, (id, digest, outcome), &manifest, now)
                    .await?;
                let lifetime = self.lifetime(&mut *unit, repository, &manifest, &labels).await?;
                let end = lifetime.map(|lifetime| now.plus(lifetime));
                let pushed = TagPush::new(&tags, &live, id, end);
                let made = self
                    .push_tags(&mut *unit, repository, &pushed, &immutability, now)
                    .await?;
                let moved: Vec<&str> = made.iter().map(|tag| tag.as_str()).collect();
                self.log_push(&mut *unit, name, repository, &tags, &row.media_type, caller)
                    .await?;
                self.log_made_immutable(&mut *unit, name, repository, &immutability, &made, caller)
                    .await?;
                if self.subscribed("manifest.pushed")
                    && (outcome != PutOutcome::Unchanged || !moved.is_empty())
                {
                    let payload =
                        serde_json::json!({ "repository": name.path(), "digest": digest, "tags": moved });
                    unit.outbox()
                        .push("manifest.pushed", &payload.to_string(), now)
                        .await?;
                }
                Ok(())
            },
            found = self.writable(name, Action::Push, caller).await?
        )?;
        Ok(PushedManifest {
            digest,
            subject: manifest.subject,
            tags,
        })
    }

    /// Checks a push as far as that is possible without looking at what is stored.
    async fn check_manifest(&self, name: &RepositoryName, push: &ManifestPush) -> Result<Manifest, Error> {
        let (content_type, bytes) = (push.content_type.clone(), push.bytes.clone());
        let limits = self.0.options.manifest;
        let parse = move || Manifest::parse(content_type.as_ref(), &bytes, &limits);
        let manifest = if push.bytes.len() > PARSED_INLINE {
            // One at a time: what is made of a manifest can be many times its size.
            let _turn = self.0.large_manifests.lock().await;
            blocking(&*self.0.runtime.spawner, parse).await.map_err(gone)??
        } else {
            parse()?
        };
        if manifest.kind.is_oci() && !self.0.options.oci {
            return Err(Error::new(
                ErrorKind::MediaTypeUnsupported,
                "OCI manifests are not accepted by this registry",
            ));
        }
        if let Some(inside) = &manifest.schema1 {
            let invalid = |reason| Err(Error::new(ErrorKind::ManifestInvalid, reason));
            // Without a namespace it means the library's (registry-protocol, section 9.2).
            let in_library = self
                .0
                .options
                .library
                .as_ref()
                .is_some_and(|library| library.as_str() == name.namespace());
            if inside.name != name.path() && !(in_library && inside.name == name.rest()) {
                return invalid("the name inside the manifest is not this repository's");
            }
            if let Reference::Tag(tag) = &push.reference
                && inside.tag != tag.as_str()
            {
                return invalid("the tag inside the manifest is not the one it is pushed to");
            }
        }
        Ok(manifest)
    }

    /// Finds out which of the things that a manifest names the repository holds.
    async fn edges(
        &self,
        unit: &mut dyn UnitOfWork,
        repository: i64,
        manifest: &Manifest,
    ) -> Result<Vec<Edge>, Error> {
        let is_blob = |kind| matches!(kind, EdgeKind::Config | EdgeKind::Layer);
        let of = |blobs: bool| -> Vec<Digest> {
            manifest
                .names
                .iter()
                .filter(|named| is_blob(named.kind) == blobs)
                .map(|named| named.digest)
                .collect()
        };
        let blobs: std::collections::HashSet<Digest> = match of(true) {
            digests if digests.is_empty() => std::collections::HashSet::new(),
            digests => unit
                .blobs()
                .linked(repository, &digests)
                .await?
                .into_iter()
                .collect(),
        };
        let manifests = match of(false) {
            digests if digests.is_empty() => std::collections::HashMap::new(),
            digests => unit.manifests().live(repository, &digests).await?,
        };
        let mut missing = Vec::new();
        let edges = manifest
            .names
            .iter()
            .map(|named| {
                let held = if is_blob(named.kind) {
                    blobs.contains(&named.digest)
                } else {
                    manifests.contains_key(&named.digest)
                };
                if !held && named.required {
                    missing.push(named.digest);
                }
                Edge::new(named.kind, named.digest, held)
            })
            .collect();
        if !missing.is_empty() && !self.0.options.sparse {
            return Err(Error::new(
                ErrorKind::ManifestBlobUnknown,
                "the manifest names blobs or manifests that this repository does not hold",
            )
            .with_detail(serde_json::json!({ "digests": missing })));
        }
        Ok(edges)
    }

    /// Deletes a tag, or a manifest with all tags that point at it. The history stays.
    ///
    /// # Errors
    /// [`ErrorKind::ManifestUnknown`], [`ErrorKind::PreconditionFailed`], what keeps the caller from
    /// deleting, or a store's.
    pub async fn delete_manifest(
        &self,
        name: &RepositoryName,
        reference: &Reference,
        condition: &Condition,
        caller: &Caller,
    ) -> Result<(), Error> {
        let mut found = self.writable(name, Action::Delete, caller).await?;
        let now = self.0.runtime.clock.now();
        transact!(
            self,
            |unit| async {
                let record = found.as_deref().ok_or_else(|| unknown_name(name))?;
                let repository = authorised(&mut *unit, record).await?;
                let immutability = self.immutability(&mut *unit, name, repository).await?;
                match reference {
                    Reference::Tag(tag) => {
                        let live = unit
                            .tags()
                            .live(repository, std::slice::from_ref(tag), now)
                            .await?;
                        condition.check(live.first().map(|record| &record.digest))?;
                        if let Some(row) = live.first() {
                            immutability.check(row, "deleted")?;
                        }
                        if live.is_empty() || !unit.tags().end(repository, tag, now).await? {
                            return Err(unknown_manifest(reference));
                        }
                        self.log_deletion(
                            &mut *unit,
                            name,
                            repository,
                            std::slice::from_ref(tag),
                            None,
                            caller,
                        )
                        .await?;
                    }
                    Reference::Digest(digest) => {
                        let row = unit
                            .manifests()
                            .find(repository, digest)
                            .await?
                            .filter(|row| row.live);
                        condition.check(row.as_ref().map(|row| &row.digest))?;
                        let row = row.ok_or_else(|| unknown_manifest(reference))?;
                        let mut ended = Vec::new();
                        let tags = unit.tags().pointing_at(repository, row.id).await?;
                        for tag in tags.iter().filter(|tag| tag.is_alive(now)) {
                            immutability.check(tag, "deleted with its manifest")?;
                        }
                        for tag in tags {
                            unit.tags().end(repository, &tag.name, now).await?;
                            ended.push(tag.name);
                        }
                        unit.manifests().end(repository, row.id, now).await?;
                        self.log_deletion(&mut *unit, name, repository, &ended, Some(digest), caller)
                            .await?;
                    }
                }
                if self.subscribed("manifest.deleted") {
                    let payload =
                        serde_json::json!({ "repository": name.path(), "reference": reference.to_string() });
                    unit.outbox()
                        .push("manifest.deleted", &payload.to_string(), now)
                        .await?;
                }
                Ok(())
            },
            found = self.writable(name, Action::Delete, caller).await?
        )
    }
}
