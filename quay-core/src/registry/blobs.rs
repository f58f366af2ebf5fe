//! Blobs: looking them up, reading, mounting and deleting them.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;

use super::{Registry, authorised, gone, require_image, unknown_name};
use crate::auth::{Action, Resource};
use crate::blob_store::{BlobBody, Open, Redirects};
use crate::caller::Caller;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, StoreError, StoreErrorKind};
use crate::manifest::{EMPTY_LAYER, EMPTY_LAYER_BYTES};
use crate::metadata::{BlobRecord, PageRequest, RepositoryRecord};
use crate::name::RepositoryName;
use crate::range::ResolvedRange;
use crate::runtime::{Spawner, blocking};

/// Most repositories looked at for a mount that names no source.
const MOUNT_SEARCH: usize = 32;

/// A blob that the caller may read: the proof that the registry was asked.
#[derive(Debug, Clone)]
pub struct Blob(pub(super) BlobRecord);

impl Blob {
    /// Its digest.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.0.digest
    }

    /// Its size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.0.size
    }
}

/// What [`Registry::open_blob`] delivers.
#[derive(Debug)]
#[non_exhaustive]
pub struct BlobContent {
    /// The bytes, or where they are.
    pub body: BlobBody,
    /// How many bytes the body has.
    pub length: u64,
}

/// How a mount ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "it was mounted, or it has to be uploaded")]
pub enum MountOutcome {
    /// The repository holds the blob now.
    Mounted,
    /// No source that this caller may read holds it.
    NotFound,
}

/// The layer of steps that changed no file, which every repository has (registry-protocol, section 8).
fn empty_layer(digest: &Digest) -> Option<BlobRecord> {
    let is_empty = digest.to_string() == EMPTY_LAYER;
    is_empty.then(|| BlobRecord::new(0, *digest, EMPTY_LAYER_BYTES.len() as u64, Arc::from([])))
}

pub(super) fn unknown_blob(digest: &Digest) -> Error {
    Error::new(ErrorKind::BlobUnknown, "blob unknown to this repository")
        .with_detail(serde_json::json!({ "digest": digest }))
}

impl Registry {
    /// Looks up a blob of a repository.
    ///
    /// # Errors
    /// [`ErrorKind::BlobUnknown`], [`ErrorKind::NameUnknown`], [`ErrorKind::Unauthorized`], or a store's.
    pub async fn blob(&self, name: &RepositoryName, digest: &Digest, caller: &Caller) -> Result<Blob, Error> {
        let lookup = self.0.metadata.blob(name, digest).await?;
        self.readable(name, lookup.repository.as_deref(), caller).await?;
        let found = lookup.found.or_else(|| empty_layer(digest));
        found.map(Blob).ok_or_else(|| unknown_blob(digest))
    }

    /// Opens a blob that was looked up, or a range of it.
    ///
    /// # Errors
    /// A store's.
    pub async fn open_blob(
        &self,
        blob: &Blob,
        range: Option<ResolvedRange>,
        redirects: Redirects,
    ) -> Result<BlobContent, Error> {
        let options = Open::whole(blob.0.size)
            .with_range(range)
            .with_redirects(redirects);
        let length = options.resolved().map_or(0, |range| range.length);
        if blob.0.placements.is_empty() && empty_layer(&blob.0.digest).is_some() {
            let bytes = Bytes::from_static(EMPTY_LAYER_BYTES);
            let from = options.resolved().map_or(0, |range| range.start);
            let slice = usize::try_from(from).ok().zip(usize::try_from(length).ok());
            let body = slice.and_then(|(from, length)| bytes.get(from..from.checked_add(length)?));
            let body = body.map_or_else(Bytes::new, |body| bytes.slice_ref(body));
            return Ok(BlobContent {
                body: BlobBody::Bytes(body),
                length,
            });
        }
        // The order of locations is the order of preference; a copy that is gone is passed over.
        let digest = blob.0.digest;
        let mut failure = None;
        for location in &self.0.locations {
            let id = &location.id;
            for placement in blob
                .0
                .placements
                .iter()
                .filter(|placement| placement.location == *id)
            {
                match location.store.open(&placement.key, options).await {
                    Ok(Some(body)) => return Ok(BlobContent { body, length }),
                    Ok(None) => tracing::error!(%digest, location = %id, "object of a placement is missing"),
                    Err(error) => {
                        tracing::error!(%digest, location = %id, %error, "a placement cannot be read");
                        failure = Some(error);
                    }
                }
            }
        }
        let nowhere = || {
            let context = format!("no storage location has the bytes of {digest}");
            StoreError::new(StoreErrorKind::Corrupt, context)
        };
        Err(failure.unwrap_or_else(nowhere).into())
    }

    /// The bytes of a blob of at most `limit` bytes; `None` for a larger one.
    pub(super) async fn small_blob(&self, record: BlobRecord, limit: u64) -> Result<Option<Bytes>, Error> {
        let size = record.size;
        if size > limit {
            return Ok(None);
        }
        let content = self.open_blob(&Blob(record), None, Redirects::Refused).await?;
        let read = read_small(content.body, size, &*self.0.runtime.spawner).await?;
        Ok(Some(read))
    }

    /// Removes a repository's access to a blob. The bytes stay as long as anybody needs them.
    ///
    /// # Errors
    /// [`ErrorKind::BlobInUse`] while a manifest here holds it, [`ErrorKind::BlobUnknown`], or a store's.
    pub async fn delete_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        caller: &Caller,
    ) -> Result<(), Error> {
        let mut found = self.writable(name, Action::Delete, caller).await?;
        let now = self.0.runtime.clock.now();
        transact!(
            self,
            |unit| async {
                let record = found.as_deref().ok_or_else(|| unknown_name(name))?;
                let repository = authorised(&mut *unit, record).await?;
                if unit.manifests().holds_blob(repository, digest).await? {
                    return Err(Error::new(
                        ErrorKind::BlobInUse,
                        "a manifest of this repository holds the blob, delete that first",
                    ));
                }
                if !unit.blobs().unlink(repository, digest).await? {
                    return Err(unknown_blob(digest));
                }
                if let Some(blob) = unit.blobs().find(digest).await? {
                    super::collect::remove_blobs(&mut *unit, &[blob.id], now).await?;
                }
                Ok(())
            },
            found = self.writable(name, Action::Delete, caller).await?
        )
    }

    /// Gives a repository access to a blob that another one holds: `source`, or any that this caller may
    /// pull from when none is named.
    ///
    /// # Errors
    /// What keeps the caller from pushing to `name`, or a store's. That the source does not exist, does
    /// not hold the blob or may not be read by this caller is [`MountOutcome::NotFound`].
    pub async fn mount_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        source: Option<&RepositoryName>,
        caller: &Caller,
    ) -> Result<MountOutcome, Error> {
        let mut found = self.writable(name, Action::Push, caller).await?;
        let Some((holder, _)) = self.mount_source(name, digest, source, caller).await? else {
            return Ok(MountOutcome::NotFound);
        };
        let now = self.0.runtime.clock.now();
        let lease = now.plus(self.0.options.lease);
        transact!(
            self,
            |unit| async {
                // The right was checked before; that the source still holds the blob is checked here.
                if unit.blobs().linked(holder, &[*digest]).await?.is_empty() {
                    return Ok(MountOutcome::NotFound);
                }
                let repository = self.target(&mut *unit, name, found.as_deref(), now).await?;
                // It may have been collected and uploaded again since it was looked up.
                let Some(blob) = unit.blobs().find(digest).await? else {
                    return Ok(MountOutcome::NotFound);
                };
                unit.blobs().link(repository, blob.id, digest, lease).await?;
                self.settle_quota(&mut *unit, name, repository, now).await?;
                Ok(MountOutcome::Mounted)
            },
            found = self.writable(name, Action::Push, caller).await?
        )
    }

    async fn mount_source(
        &self,
        target: &RepositoryName,
        digest: &Digest,
        source: Option<&RepositoryName>,
        caller: &Caller,
    ) -> Result<Option<(i64, BlobRecord)>, Error> {
        if let Some(source) = source {
            let lookup = self.0.metadata.blob(source, digest).await?;
            return match (lookup.repository, lookup.found) {
                (Some(record), Some(blob)) if self.may_pull(&record, caller).await? => {
                    Ok(Some((record.id, blob)))
                }
                _ => Ok(None),
            };
        }
        let lookup = self.0.metadata.blob(target, digest).await?;
        if let (Some(record), Some(blob)) = (lookup.repository, lookup.found)
            && self.may_pull(&record, caller).await?
        {
            return Ok(Some((record.id, blob)));
        }
        let newest = PageRequest::new(None, MOUNT_SEARCH);
        for holder in self.0.metadata.holders(digest, &newest).await? {
            if self.may_pull(&holder.repository, caller).await? {
                return Ok(Some((holder.repository.id, holder.blob)));
            }
        }
        Ok(None)
    }

    /// Whether the caller may pull from a repository, as a question and not as a demand.
    pub(super) async fn may_pull(&self, record: &RepositoryRecord, caller: &Caller) -> Result<bool, Error> {
        use crate::metadata::RepositoryState;

        if record.state == RepositoryState::MarkedForDeletion || require_image(record).is_err() {
            return Ok(false);
        }
        let resource = Resource::Repository {
            name: &record.name,
            record: Some(record),
        };
        let decision = self
            .0
            .authorizer
            .authorize(Action::Pull, resource, caller)
            .await?;
        Ok(decision.is_allowed())
    }

    pub(super) fn blob_of(id: i64, digest: Digest, size: u64, placement: crate::metadata::Placement) -> Blob {
        Blob(BlobRecord::new(id, digest, size, Arc::from([placement])))
    }
}

/// Reads a body of `size` bytes into memory.
async fn read_small(body: BlobBody, size: u64, spawner: &dyn Spawner) -> Result<Bytes, Error> {
    let wrong = |what: &str| {
        StoreError::new(
            StoreErrorKind::Corrupt,
            format!("{what} when a small blob was read"),
        )
    };
    let bytes = match body {
        BlobBody::Bytes(bytes) => bytes,
        BlobBody::File(part) => blocking(spawner, move || part.read())
            .await
            .map_err(gone)?
            .map_err(|error| StoreError::io("read a small blob", error))?
            .into(),
        BlobBody::Stream(mut pieces) => {
            let mut content = BytesMut::new();
            while let Some(piece) = pieces.next().await {
                content.extend_from_slice(&piece?);
                if content.len() as u64 > size {
                    return Err(wrong("the store delivered too much").into());
                }
            }
            content.freeze()
        }
        BlobBody::Redirect(_) => return Err(wrong("the store answered with a redirect").into()),
    };
    if bytes.len() as u64 == size {
        Ok(bytes)
    } else {
        Err(wrong("the store delivered too little").into())
    }
}
