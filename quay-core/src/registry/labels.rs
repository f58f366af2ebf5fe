//! Labels of manifests: those that come with them, and those that people give.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::json;

use super::manifests::PARSED_INLINE;
use super::{Registry, authorised, gone};
use crate::accounts::LogKind;
use crate::caller::Caller;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind};
use crate::manifest::{EXPIRES_AFTER, Manifest, ManifestView, expires_after, is_label_key, label_media_type};
use crate::metadata::{EdgeKind, LabelRecord, LabelSource, ManifestRecord, RepositoryId, UnitOfWork};
use crate::name::{Reference, RepositoryName};
use crate::runtime::blocking;

/// Configurations of images that are larger are not looked into.
const LARGEST_CONFIG: u64 = 4 << 20;
/// Labels that are kept of one manifest; those that come with it beyond that are left out.
const MOST: usize = 1000;
/// Bytes of a value that somebody gives.
const LONGEST: usize = 16 << 10;

fn no_such_label() -> Error {
    Error::new(ErrorKind::NotFound, "Not Found")
}

fn no_labels_here() -> Error {
    Error::new(ErrorKind::Unsupported, "labels are not kept here")
}

impl Registry {
    /// The labels that come with a manifest, as they are to be recorded.
    pub(super) async fn labels_of(
        &self,
        name: &RepositoryName,
        manifest: &Manifest,
    ) -> Result<Vec<LabelRecord>, Error> {
        let config = match manifest.names.iter().find(|named| named.kind == EdgeKind::Config) {
            Some(named) if manifest.has_image_config() => self.config_of(name, &named.digest).await?,
            _ => None,
        };
        let mut labels = match config {
            Some(config) if config.len() > PARSED_INLINE => {
                let manifest = manifest.clone();
                let read = move || manifest.labels(Some(&config));
                let _turn = self.0.large_manifests.lock().await;
                blocking(&*self.0.runtime.spawner, read).await.map_err(gone)?
            }
            config => manifest.labels(config.as_deref()),
        };
        if labels.len() > MOST {
            tracing::warn!(
                repository = name.path(),
                labels = labels.len(),
                "a manifest has too many labels"
            );
        }
        // What means something is not lost among the others.
        let lifetime = labels.remove_entry(EXPIRES_AFTER);
        Ok(lifetime
            .into_iter()
            .chain(labels)
            .take(MOST)
            .map(|(key, value)| {
                let media_type = label_media_type(&value).to_owned();
                let uuid = self.0.runtime.uuid();
                LabelRecord::new(uuid, key, value, media_type, LabelSource::Manifest)
            })
            .collect())
    }

    /// A configuration's bytes, if the repository has them and they are no more than an image's.
    pub(super) async fn config_of(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<bytes::Bytes>, Error> {
        let lookup = self.0.metadata.blob(name, digest).await?;
        match lookup.found {
            Some(record) => self.small_blob(record, LARGEST_CONFIG).await,
            None => Ok(None),
        }
    }

    /// How long tags of a manifest that is being pushed last: as one of its labels says, or as those of all
    /// manifests that it names do alike.
    pub(super) async fn lifetime(
        &self,
        unit: &mut dyn UnitOfWork,
        repository: RepositoryId,
        manifest: &Manifest,
        labels: &[LabelRecord],
    ) -> Result<Option<Duration>, Error> {
        if let Some(label) = labels.iter().find(|label| label.key == EXPIRES_AFTER) {
            return Ok(expires_after(&label.value));
        }
        let children: Vec<Digest> = manifest
            .names
            .iter()
            .filter(|named| named.kind == EdgeKind::Child)
            .map(|named| named.digest)
            .collect();
        if children.is_empty() {
            return Ok(None);
        }
        let Some(store) = unit.labels() else {
            return Ok(None);
        };
        let values = store.values(repository, &children, EXPIRES_AFTER).await?;
        let Some((_, common)) = values.first() else {
            return Ok(None);
        };
        let alike: HashSet<&Digest> = values
            .iter()
            .filter(|(_, value)| value == common)
            .map(|(of, _)| of)
            .collect();
        Ok(if children.iter().all(|child| alike.contains(child)) {
            expires_after(common)
        } else {
            None
        })
    }

    /// Looks at a manifest where that disturbs nobody; at large ones one at a time.
    pub(super) async fn view(
        &self,
        record: ManifestRecord,
        config: Option<bytes::Bytes>,
    ) -> Result<ManifestView, Error> {
        let size = record
            .bytes
            .len()
            .max(config.as_ref().map_or(0, bytes::Bytes::len));
        let look = move || ManifestView::of(&record, config.as_deref());
        if size <= PARSED_INLINE {
            return Ok(look());
        }
        let _turn = self.0.large_manifests.lock().await;
        blocking(&*self.0.runtime.spawner, look).await.map_err(gone)
    }

    /// The labels of a manifest whose keys begin with a text, the oldest first.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] without such a manifest, what keeps the caller from pulling, or a store's.
    pub async fn labels(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        prefix: &str,
        caller: &Caller,
    ) -> Result<Vec<LabelRecord>, Error> {
        let lookup = self.0.metadata.labels(name, digest, prefix).await?;
        self.readable(name, lookup.repository.as_deref(), caller).await?;
        lookup.found.ok_or_else(no_such_label)
    }

    /// One label of a manifest.
    ///
    /// # Errors
    /// As [`labels`](Self::labels).
    pub async fn label(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        uuid: &str,
        caller: &Caller,
    ) -> Result<LabelRecord, Error> {
        let labels = self.labels(name, digest, "", caller).await?;
        let found = labels.into_iter().find(|label| label.uuid == uuid);
        found.ok_or_else(no_such_label)
    }

    /// Gives a manifest a label. Without a media type, the value decides.
    ///
    /// # Errors
    /// [`ErrorKind::Rejected`] for a key that nobody may give, [`ErrorKind::NotFound`] without such a manifest,
    /// what keeps the caller from changing the repository, or a store's.
    pub async fn add_label(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        key: &str,
        value: &str,
        media_type: Option<&str>,
        caller: &Caller,
    ) -> Result<LabelRecord, Error> {
        let mut record = self.changeable(name, caller).await?;
        let rejected = |message: &str| Err(Error::new(ErrorKind::Rejected, message));
        if !is_label_key(key) {
            return rejected(
                "the key of a label is made of small letters and digits, with single dots and hyphens between them",
            );
        }
        if self
            .0
            .options
            .reserved_labels
            .iter()
            .any(|prefix| key.starts_with(prefix))
        {
            return rejected("Label has a reserved prefix");
        }
        if value.len() > LONGEST {
            return rejected("the value of a label has 16384 bytes at the most");
        }
        let media_type = media_type.unwrap_or_else(|| label_media_type(value));
        if media_type == "application/json" && serde_json::from_str::<serde::de::IgnoredAny>(value).is_err() {
            return rejected("the value of the label is no JSON");
        }
        let label = LabelRecord::new(
            self.0.runtime.uuid(),
            key.to_owned(),
            value.to_owned(),
            media_type.to_owned(),
            LabelSource::Api,
        );
        transact!(
            self,
            |unit| async {
                let repository = authorised(&mut *unit, &record).await?;
                let manifest = find_live(&mut *unit, repository, digest).await?;
                let store = unit.labels().ok_or_else(no_labels_here)?;
                if store.count(manifest).await? >= MOST as u64 {
                    return Err(Error::new(
                        ErrorKind::Rejected,
                        "the manifest has too many labels",
                    ));
                }
                store
                    .insert(repository, manifest, std::slice::from_ref(&label))
                    .await?;
                let more = json!({
                    "id": label.uuid,
                    "key": label.key,
                    "value": label.value,
                    "media_type": label.media_type,
                    "manifest_digest": digest,
                    "username": null,
                });
                self.log_change(
                    &mut *unit,
                    LogKind::ManifestLabelAdd,
                    name,
                    repository,
                    more,
                    caller,
                )
                .await
            },
            record = self.changeable(name, caller).await?
        )?;
        Ok(label)
    }

    /// Takes a label from a manifest.
    ///
    /// # Errors
    /// [`ErrorKind::Rejected`] for one that came with the manifest, otherwise as
    /// [`add_label`](Self::add_label).
    pub async fn delete_label(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        uuid: &str,
        caller: &Caller,
    ) -> Result<(), Error> {
        let mut record = self.changeable(name, caller).await?;
        transact!(
            self,
            |unit| async {
                let repository = authorised(&mut *unit, &record).await?;
                let manifest = find_live(&mut *unit, repository, digest).await?;
                let store = unit.labels().ok_or_else(no_labels_here)?;
                let label = store.find(manifest, uuid).await?.ok_or_else(no_such_label)?;
                if label.source != LabelSource::Api {
                    return Err(Error::new(
                        ErrorKind::Rejected,
                        "Cannot delete manifest label: it came with the manifest",
                    ));
                }
                if !store.delete(manifest, uuid).await? {
                    return Err(no_such_label());
                }
                let more = json!({
                    "id": label.uuid,
                    "key": label.key,
                    "value": label.value,
                    "manifest_digest": digest,
                    "username": null,
                });
                self.log_change(
                    &mut *unit,
                    LogKind::ManifestLabelDelete,
                    name,
                    repository,
                    more,
                    caller,
                )
                .await
            },
            record = self.changeable(name, caller).await?
        )
    }

    /// Looks at a manifest and its layers. It does not count as a pull.
    ///
    /// # Errors
    /// As [`labels`](Self::labels).
    pub async fn view_manifest(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        caller: &Caller,
    ) -> Result<(ManifestRecord, ManifestView), Error> {
        let now = self.0.runtime.clock.now();
        let reference = Reference::Digest(*digest);
        let lookup = self.0.metadata.manifest(name, &reference, now).await?;
        self.readable(name, lookup.repository.as_deref(), caller).await?;
        let record = lookup.found.ok_or_else(no_such_label)?;
        let view = self.view(record.clone(), None).await?;
        let config = match view.config_digest {
            Some(config) if view.layers.is_some() => self.config_of(name, &config).await?,
            _ => None,
        };
        let view = match config {
            Some(config) => self.view(record.clone(), Some(config)).await?,
            None => view,
        };
        Ok((record, view))
    }
}

/// The row of a live manifest.
pub(super) async fn find_live(
    unit: &mut dyn UnitOfWork,
    repository: RepositoryId,
    digest: &Digest,
) -> Result<i64, Error> {
    let row = unit.manifests().find(repository, digest).await?;
    let row = row.filter(|row| row.live).ok_or_else(no_such_label)?;
    Ok(row.id)
}
