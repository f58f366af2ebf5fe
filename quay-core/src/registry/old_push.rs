//! Docker's first protocol: who may use it, and how the images that it pushes become a manifest.

use bytes::Bytes;
use serde_json::json;

use super::blobs::unknown_blob;
use super::{ManifestPush, Registry};
use crate::accounts::LogKind;
use crate::auth::Action;
use crate::caller::Caller;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind};
use crate::manifest::{V1Image, schema1, signed};
use crate::name::{Reference, RepositoryName, Tag};

/// An image as it was pushed: a layer, and what is said of it.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_structs, reason = "the parts of an image")]
pub struct OldImage {
    /// What is said of it, as JSON with its id.
    pub json: String,
    /// Its layer.
    pub layer: Digest,
}

impl Registry {
    /// Begins a pull by Docker's first protocol: it is noted as a pull of the repository.
    ///
    /// # Errors
    /// What keeps the caller from pulling, or a store's.
    pub async fn begin_old_pull(&self, name: &RepositoryName, caller: &Caller) -> Result<(), Error> {
        let stored = self.0.metadata.repository(name).await?;
        let repository = self.readable(name, stored.as_deref(), caller).await?.id;
        self.log_reading(LogKind::PullRepo, name, repository, json!({}), caller)
            .await
    }

    /// Whether the caller may push by Docker's first protocol to a repository, which must exist: it is made when
    /// the push begins.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] where the namespace takes no such pushes, what keeps the caller from pushing, or a
    /// store's.
    pub async fn may_push_old(&self, name: &RepositoryName, caller: &Caller) -> Result<(), Error> {
        self.takes_old_pushes(name)?;
        self.may_change(name, caller).await
    }

    /// Whether a repository's namespace takes pushes by Docker's first protocol.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] where it does not.
    pub fn takes_old_pushes(&self, name: &RepositoryName) -> Result<(), Error> {
        match &self.0.options.old_pushes {
            Some(only) if !only.contains(name.namespace()) => Err(Error::new(
                ErrorKind::Unsupported,
                "pushes by version 1 of the registry protocol are not allowed here, use version 2",
            )),
            _ => Ok(()),
        }
    }

    /// A blob of a push, of at most `limit` bytes; `None` for a larger one.
    ///
    /// # Errors
    /// As [`blob`](Self::blob).
    pub async fn read_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        limit: u64,
        caller: &Caller,
    ) -> Result<Option<Bytes>, Error> {
        let lookup = self.0.metadata.blob(name, digest).await?;
        self.readable(name, lookup.repository.as_deref(), caller).await?;
        let record = lookup.found.ok_or_else(|| unknown_blob(digest))?;
        self.small_blob(record, limit).await
    }

    /// Points a tag at images that were pushed, the oldest first, behind those that the oldest was made from and that
    /// the repository has. They are stored as a manifest of schema 1, signed where the registry has a key.
    ///
    /// # Errors
    /// [`ErrorKind::ManifestInvalid`] for images that are no chain, [`ErrorKind::NotFound`] where the repository lacks
    /// the one that the oldest was made from, otherwise as [`put_manifest`](Self::put_manifest).
    pub async fn put_old_images(
        &self,
        name: &RepositoryName,
        tag: &Tag,
        pushed: Vec<OldImage>,
        caller: &Caller,
    ) -> Result<(), Error> {
        self.takes_old_pushes(name)?;
        self.writable(name, Action::Push, caller).await?;
        let mut chain: Vec<V1Image> = Vec::with_capacity(pushed.len());
        let broken = || {
            Error::new(
                ErrorKind::ManifestInvalid,
                "the images are no chain, each made from the last",
            )
        };
        for image in pushed {
            let next = V1Image::pushed(image.json, image.layer).ok_or_else(broken)?;
            match (chain.last(), &next.parent) {
                (None, None) => {}
                (None, Some(parent)) => chain.extend(self.image(name, parent, caller).await?.images),
                (Some(last), Some(parent)) if last.id == *parent => {}
                _ => return Err(broken()),
            }
            chain.push(next);
        }
        let mut manifest = schema1(name, tag, &chain).ok_or_else(broken)?;
        if let Some(signer) = &self.0.options.manifest_signer {
            let now = super::older::rfc3339(self.0.runtime.clock.now());
            manifest = signed(&manifest, &**signer, &now)?;
        }
        let push = ManifestPush::new(Reference::Tag(tag.clone()), manifest.bytes)
            .with_content_type(Some(manifest.media_type));
        self.put_manifest(name, push, caller).await.map(drop)
    }
}
