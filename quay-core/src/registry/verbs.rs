//! Images that are served as something else than what is stored (registry-protocol, section 16): who may have them,
//! and what they are made of.

use serde_json::json;

use super::blobs::unknown_blob;
use super::older::Lists;
use super::{Blob, Registry};
use crate::accounts::LogKind;
use crate::caller::Caller;
use crate::digest::Digest;
use crate::error::Error;
use crate::manifest::{EMPTY_LAYER, V1Image};
use crate::name::{Reference, RepositoryName, Tag};

/// What an image is made into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verb {
    /// An archive with one layer, for `docker load`.
    Squash,
    /// An App Container Image.
    Aci,
}

impl Verb {
    /// Its name in paths and in the action log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Squash => "squash",
            Self::Aci => "aci",
        }
    }
}

/// An image with all of its layers.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct WholeImage {
    /// Its manifest.
    pub digest: Digest,
    /// What is said of it.
    pub image: V1Image,
    /// Its layers, the top one first, without those that hold no files.
    pub layers: Vec<Blob>,
}

impl Registry {
    /// The image that a tag points at, to be made into something else; of an index or list, the one for the default
    /// platform. It is noted in the action log.
    ///
    /// # Errors
    /// [`ManifestUnknown`](crate::ErrorKind::ManifestUnknown) without such a tag, or where it points at no image;
    /// [`BlobUnknown`](crate::ErrorKind::BlobUnknown) where the repository lacks a layer; what keeps the caller from
    /// pulling, or a store's.
    pub async fn whole_image(
        &self,
        name: &RepositoryName,
        tag: &Tag,
        verb: Verb,
        caller: &Caller,
    ) -> Result<WholeImage, Error> {
        let (repository, whole, chain) = self.tagged_image(name, tag, Lists::Resolved, caller).await?;
        let mut layers = Vec::with_capacity(chain.images.len());
        for image in chain.images.iter().rev() {
            if image.blob.to_string() == EMPTY_LAYER {
                continue;
            }
            let found = self.0.metadata.blob(name, &image.blob).await?.found;
            layers.push(Blob(found.ok_or_else(|| unknown_blob(&image.blob))?));
        }
        let last = chain.images.into_iter().next_back();
        let image = last.ok_or_else(|| Error::new(crate::ErrorKind::Internal, "an image without a layer"))?;
        let more = json!({ "tag": tag.as_str(), "verb": verb.as_str() });
        self.log_reading(LogKind::RepoVerb, name, repository.id, more, caller)
            .await?;
        let reference = Reference::Tag(tag.clone());
        self.count_pull(&repository, &reference, &whole);
        Ok(WholeImage {
            digest: chain.digest,
            image,
            layers,
        })
    }
}
