//! How often tags and manifests were pulled, for whoever wants to know (`quay-api.md`, 3.7 and 3.8).

use super::super::Registry;
use super::super::manifests::unknown_manifest;
use crate::caller::Caller;
use crate::digest::Digest;
use crate::error::Error;
use crate::metadata::{PullTotal, PulledAs, RepositoryId};
use crate::name::{Reference, RepositoryName, Tag};

/// How often a tag was pulled, and the manifest that it points at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TagPulls {
    /// Pulls by the tag, whatever it pointed at; those of manifests that have been collected since do not count.
    pub of_tag: PullTotal,
    /// The manifest that the tag points at.
    pub digest: Digest,
    /// Pulls of that manifest, by its digest or by any tag.
    pub of_manifest: PullTotal,
}

impl Registry {
    /// How often a tag was pulled, and the manifest that it points at, as far as that has been written
    /// ([`flush_pulls`](Self::flush_pulls)). It does not count as a pull.
    ///
    /// # Errors
    /// [`ErrorKind::ManifestUnknown`](crate::ErrorKind::ManifestUnknown) without such a tag; what keeps the caller from
    /// pulling, or a store's.
    pub async fn tag_pulls(
        &self,
        name: &RepositoryName,
        tag: &Tag,
        caller: &Caller,
    ) -> Result<TagPulls, Error> {
        let reference = Reference::Tag(tag.clone());
        let (repository, digest) = self.pulled_from(name, &reference, caller).await?;
        let metadata = &self.0.metadata;
        Ok(TagPulls {
            of_tag: metadata.pulls(repository, PulledAs::Tag(tag)).await?,
            digest,
            of_manifest: metadata.pulls(repository, PulledAs::Manifest(&digest)).await?,
        })
    }

    /// How often a manifest was pulled, by its digest or by any tag, as far as that has been written. It does not count
    /// as a pull.
    ///
    /// # Errors
    /// As [`tag_pulls`](Self::tag_pulls), without such a manifest.
    pub async fn manifest_pulls(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        caller: &Caller,
    ) -> Result<PullTotal, Error> {
        let reference = Reference::Digest(*digest);
        let (repository, digest) = self.pulled_from(name, &reference, caller).await?;
        let of = PulledAs::Manifest(&digest);
        Ok(self.0.metadata.pulls(repository, of).await?)
    }

    async fn pulled_from(
        &self,
        name: &RepositoryName,
        reference: &Reference,
        caller: &Caller,
    ) -> Result<(RepositoryId, Digest), Error> {
        let now = self.0.runtime.clock.now();
        let lookup = self.0.metadata.manifest(name, reference, now).await?;
        let record = self.readable(name, lookup.repository.as_deref(), caller).await?;
        let found = lookup.found.ok_or_else(|| unknown_manifest(reference))?;
        Ok((record.id, found.digest))
    }
}
