//! Manifests for those who do not know the kind that is stored.

use super::manifests::{PARSED_INLINE, unknown_manifest};
use super::{Registry, gone};
use crate::caller::Caller;
use crate::digest::Digest;
use crate::error::Error;
use crate::manifest::{
    Accepted, ManifestKind, V1Image, config_digest, default_child, schema1, signed, wants_signature,
};
use crate::metadata::ManifestRecord;
use crate::name::{Reference, RepositoryName, Tag};
use crate::runtime::{Timestamp, blocking};

/// Whether an index or list stands for its image of the default platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "yes or no, spelled out")]
pub enum Lists {
    /// It does.
    Resolved,
    /// It is no image.
    Refused,
}

impl Registry {
    /// Reads a manifest by tag or digest as somebody takes it. What is asked for by digest is served as it is. By
    /// tag, those who know nothing as new as what is stored get something older that is made from it: the image of
    /// an index or list for the default platform, or schema 1, with a digest and media type of its own
    /// (registry-protocol, section 9.3).
    ///
    /// # Errors
    /// [`ManifestUnknown`](crate::ErrorKind::ManifestUnknown) also for what cannot be made into something older,
    /// otherwise as [`manifest`](Self::manifest).
    pub async fn manifest_for(
        &self,
        name: &RepositoryName,
        reference: &Reference,
        accepted: &Accepted,
        caller: &Caller,
    ) -> Result<ManifestRecord, Error> {
        let now = self.0.runtime.clock.now();
        let lookup = self.0.metadata.manifest(name, reference, now).await?;
        let record = self.readable(name, lookup.repository.as_deref(), caller).await?;
        let found = lookup.found.ok_or_else(|| unknown_manifest(reference))?;
        self.admit(record, &found.digest, caller).await?;
        let (media_type, digest) = (found.media_type.clone(), found.digest);
        let served = match reference {
            Reference::Tag(tag) if !takes(accepted, &found) => {
                let older = self.older(name, tag, found, accepted, now).await?;
                let (image, served) = older.ok_or_else(|| unknown_manifest(reference))?;
                if image != digest {
                    self.admit(record, &image, caller).await?;
                }
                served
            }
            _ => found,
        };
        self.log_pull(record, name, reference, &media_type, caller)
            .await?;
        self.count_pull(record, reference, &digest);
        Ok(served)
    }

    /// Something older in a manifest's place, with the digest of the image that it is made from; `None` where
    /// there is nothing.
    async fn older(
        &self,
        name: &RepositoryName,
        tag: &Tag,
        stored: ManifestRecord,
        accepted: &Accepted,
        now: Timestamp,
    ) -> Result<Option<(Digest, ManifestRecord)>, Error> {
        let Some(image) = self.image_of(name, stored, Lists::Resolved, now).await? else {
            return Ok(None);
        };
        let digest = image.digest;
        if takes(accepted, &image) {
            return Ok(Some((digest, image)));
        }
        let Some(chain) = self.chain(name, &image).await? else {
            return Ok(None);
        };
        let Some(made) = schema1(name, tag, &chain) else {
            return Ok(None);
        };
        let served = match &self.0.options.manifest_signer {
            Some(signer) if wants_signature(accepted) => signed(&made, &**signer, &rfc3339(now))?,
            _ => made,
        };
        Ok(Some((digest, served)))
    }

    /// The image that a manifest is, or stands for.
    pub(super) async fn image_of(
        &self,
        name: &RepositoryName,
        stored: ManifestRecord,
        lists: Lists,
        now: Timestamp,
    ) -> Result<Option<ManifestRecord>, Error> {
        let is_list = |record: &ManifestRecord| {
            let kind = ManifestKind::from_media_type(record.media_type.as_str());
            matches!(kind, Some(ManifestKind::OciIndex | ManifestKind::DockerList))
        };
        if !is_list(&stored) {
            return Ok(Some(stored));
        }
        if lists == Lists::Refused {
            return Ok(None);
        }
        let size = stored.bytes.len();
        let Some(child) = self.look_into(size, move || default_child(&stored)).await? else {
            return Ok(None);
        };
        let child = Reference::Digest(child);
        let found = self.0.metadata.manifest(name, &child, now).await?.found;
        Ok(found.filter(|found| !is_list(found)))
    }

    /// An image as a chain of images, the oldest first; `None` for what is no image.
    pub(super) async fn chain(
        &self,
        name: &RepositoryName,
        image: &ManifestRecord,
    ) -> Result<Option<Vec<V1Image>>, Error> {
        let (size, record) = (image.bytes.len(), image.clone());
        let config = match self.look_into(size, move || config_digest(&record)).await? {
            Some(digest) => self.config_of(name, &digest).await?,
            None => None,
        };
        let (size, record) = (
            size.max(config.as_ref().map_or(0, bytes::Bytes::len)),
            image.clone(),
        );
        self.look_into(size, move || V1Image::chain(&record, config.as_deref()))
            .await
    }

    /// Looks into something of some size where that disturbs nobody; into large things one at a time.
    async fn look_into<T: Send + 'static>(
        &self,
        size: usize,
        look: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        if size <= PARSED_INLINE {
            return Ok(look());
        }
        let _turn = self.0.large_manifests.lock().await;
        blocking(&*self.0.runtime.spawner, look).await.map_err(gone)
    }
}

/// Whether somebody takes a manifest as it is.
fn takes(accepted: &Accepted, manifest: &ManifestRecord) -> bool {
    ManifestKind::from_media_type(manifest.media_type.as_str()).is_none_or(|kind| accepted.takes(kind))
}

/// A time as RFC 3339 writes it, in whole seconds.
pub(super) fn rfc3339(time: Timestamp) -> String {
    let seconds = time.as_millis().div_euclid(1000);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Days are counted from the first of March of the year 0, so that leap days come last.
    let days = days.saturating_add(719_468);
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    let year = year_of_era + era * 400 + carry;
    let (hour, minute) = (second / 3600, second / 60 % 60);
    format!(
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}Z",
        second % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (millis, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
            (951_782_400_000, "2000-02-29T00:00:00Z"),
            (1_709_251_199_999, "2024-02-29T23:59:59Z"),
            (1_709_251_200_000, "2024-03-01T00:00:00Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(Timestamp::from_millis(millis)), expected);
        }
    }
}
