//! Images as Docker's first protocol and the deprecated part of Quay's API know them: each step of a build by an
//! id of its own.
//!
//! Which image an id names is in no row: it is made from what a manifest holds. Who asks by id has the newest
//! tags of the repository looked through, one such search at a time in a process, and what was seen is
//! remembered.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, PoisonError};

use super::manifests::unknown_manifest;
use super::older::Lists;
use super::{Registry, unknown_name};
use crate::caller::Caller;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind};
use crate::manifest::V1Image;
use crate::metadata::{
    ManifestRecord, PageRequest, RepositoryId, RepositoryRecord, TagFilter, TagPosition, TagRecord,
};
use crate::name::{Reference, RepositoryName, Tag};

/// Tags that are looked through for an image, or listed with their images: the newest.
const SEARCHED: usize = 500;
/// Rows read at once.
const PAGE: usize = 100;
/// Images of a repository that are listed.
const LISTED: usize = 10_000;
/// Bytes that are said of the images that are listed, those that they were made from included.
const LISTED_BYTES: usize = 16 << 20;
/// Images whose place is remembered.
const REMEMBERED: usize = 50_000;

/// An image and what it was made from.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ImageChain {
    /// The manifest that it is in.
    pub digest: Digest,
    /// The images, the oldest first, this one last. Never empty.
    pub images: Vec<V1Image>,
}

/// An image of a repository.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ListedImage {
    /// The image.
    pub image: V1Image,
    /// The ids of those that it was made from, the nearest first.
    pub ancestors: Vec<String>,
    /// The tags that point at it.
    pub tags: Vec<Tag>,
}

/// A page of tags with the images that they point at.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TaggedImages {
    /// The tags that point at an image, and the image's id.
    pub tags: Vec<(Tag, String)>,
    /// The last tag that was looked at, if more follow.
    pub next: Option<Tag>,
}

/// Where images were found: what is remembered stays true, since ids are made from content; whether the manifest
/// is still there is looked up.
#[derive(Debug, Default)]
pub(super) struct Places {
    by_id: HashMap<(RepositoryId, Arc<str>), Digest>,
    order: VecDeque<(RepositoryId, Arc<str>)>,
}

impl Places {
    fn note(&mut self, repository: RepositoryId, id: &str, manifest: Digest) {
        let key = (repository, Arc::from(id));
        if self
            .by_id
            .insert((repository, Arc::clone(&key.1)), manifest)
            .is_none()
        {
            self.order.push_back(key);
        }
        while self.order.len() > REMEMBERED {
            if let Some(oldest) = self.order.pop_front() {
                self.by_id.remove(&oldest);
            }
        }
    }

    fn find(&self, repository: RepositoryId, id: &str) -> Option<Digest> {
        self.by_id.get(&(repository, Arc::from(id))).copied()
    }
}

fn no_such_image() -> Error {
    Error::new(ErrorKind::NotFound, "Not Found")
}

/// Some of a repository's manifests that tags point at, the newest first, each with its tags.
type Tagged = Vec<(Digest, Vec<Tag>)>;

impl Registry {
    /// The image that a tag points at. It does not count as a pull.
    ///
    /// # Errors
    /// [`ErrorKind::ManifestUnknown`] without such a tag, or where it points at no image; what keeps the caller
    /// from pulling, or a store's.
    pub async fn tag_image(
        &self,
        name: &RepositoryName,
        tag: &Tag,
        lists: Lists,
        caller: &Caller,
    ) -> Result<ImageChain, Error> {
        let found = self.tagged_image(name, tag, lists, caller).await?;
        Ok(found.2)
    }

    /// The image that a tag points at, with the repository and the digest of what the tag points at itself.
    pub(super) async fn tagged_image(
        &self,
        name: &RepositoryName,
        tag: &Tag,
        lists: Lists,
        caller: &Caller,
    ) -> Result<(Arc<RepositoryRecord>, Digest, ImageChain), Error> {
        let now = self.0.runtime.clock.now();
        let reference = Reference::Tag(tag.clone());
        let lookup = self.0.metadata.manifest(name, &reference, now).await?;
        self.readable(name, lookup.repository.as_deref(), caller).await?;
        let repository = lookup.repository.ok_or_else(|| unknown_name(name))?;
        let stored = lookup.found.ok_or_else(|| unknown_manifest(&reference))?;
        self.admit(&repository, &stored.digest, caller).await?;
        let whole = stored.digest;
        let chain = self.image_chain_of(name, stored, lists).await?;
        let chain = chain.ok_or_else(|| unknown_manifest(&reference))?;
        if chain.digest != whole {
            self.admit(&repository, &chain.digest, caller).await?;
        }
        self.remember(repository.id, &chain);
        Ok((repository, whole, chain))
    }

    /// An image by its id, as long as one of the repository's newest tags has it.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] without such an image, what keeps the caller from pulling, or a store's.
    pub async fn image(&self, name: &RepositoryName, id: &str, caller: &Caller) -> Result<ImageChain, Error> {
        let stored = self.0.metadata.repository(name).await?;
        let record = self.readable(name, stored.as_deref(), caller).await?;
        let repository = record.id;
        let place = self
            .0
            .images
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .find(repository, id);
        if let Some(digest) = place
            && let Some(chain) = self.live_chain(name, &digest).await?
            && let Some(found) = upto(chain, id)
        {
            self.admit(record, &digest, caller).await?;
            return Ok(found);
        }
        // A search reads much; one is made at a time.
        let _turn = self.0.image_search.lock().await;
        for (digest, _) in self.newest(name).await? {
            if let Some(chain) = self.live_chain(name, &digest).await? {
                self.remember(repository, &chain);
                if let Some(found) = upto(chain, id) {
                    self.admit(record, &digest, caller).await?;
                    return Ok(found);
                }
            }
        }
        Err(no_such_image())
    }

    /// The images of a repository that its newest tags have, each once, with the tags that point at it.
    ///
    /// # Errors
    /// What keeps the caller from pulling, or a store's.
    pub async fn images(&self, name: &RepositoryName, caller: &Caller) -> Result<Vec<ListedImage>, Error> {
        let stored = self.0.metadata.repository(name).await?;
        self.readable(name, stored.as_deref(), caller).await?;
        let _turn = self.0.image_search.lock().await;
        let mut listed: Vec<ListedImage> = Vec::new();
        let mut places: HashMap<String, usize> = HashMap::new();
        let mut left = LISTED_BYTES;
        for (digest, tags) in self.newest(name).await? {
            let Some(chain) = self.live_chain(name, &digest).await? else {
                continue;
            };
            let mut tags = Some(tags);
            for index in (0..chain.images.len()).rev() {
                // The last of the chain is the one that the tags point at.
                let pointing = tags.take().unwrap_or_default();
                let Some(image) = chain.images.get(index) else {
                    continue;
                };
                if let Some(entry) = places.get(&image.id).and_then(|&place| listed.get_mut(place)) {
                    entry.tags.extend(pointing);
                    continue;
                }
                let bytes = image.json.len() + index * image.id.len();
                let Some(rest) = left.checked_sub(bytes).filter(|_| listed.len() < LISTED) else {
                    continue;
                };
                left = rest;
                places.insert(image.id.clone(), listed.len());
                let ancestors = chain.images.iter().take(index).rev();
                listed.push(ListedImage {
                    image: image.clone(),
                    ancestors: ancestors.map(|ancestor| ancestor.id.clone()).collect(),
                    tags: pointing,
                });
            }
        }
        Ok(listed)
    }

    /// The images that a tag points at and that no other of the newest tags has.
    ///
    /// # Errors
    /// As [`tag_image`](Self::tag_image).
    pub async fn images_of_tag_alone(
        &self,
        name: &RepositoryName,
        tag: &Tag,
        caller: &Caller,
    ) -> Result<HashSet<String>, Error> {
        let (_, _, own) = self.tagged_image(name, tag, Lists::Refused, caller).await?;
        let mut ids: HashSet<String> = own.images.into_iter().map(|image| image.id).collect();
        let _turn = self.0.image_search.lock().await;
        for (digest, tags) in self.newest(name).await? {
            if tags.iter().all(|other| other == tag) {
                continue;
            }
            if let Some(chain) = self.live_chain(name, &digest).await? {
                for image in &chain.images {
                    ids.remove(&image.id);
                }
            }
        }
        Ok(ids)
    }

    /// A page of a repository's tags in byte order, with the images that they point at. It does not count as a
    /// pull.
    ///
    /// # Errors
    /// What keeps the caller from pulling, or a store's.
    pub async fn tagged_images(
        &self,
        name: &RepositoryName,
        after: Option<Tag>,
        caller: &Caller,
    ) -> Result<TaggedImages, Error> {
        let now = self.0.runtime.clock.now();
        let lookup = self
            .0
            .metadata
            .tags(name, &PageRequest::new(after, PAGE), now)
            .await?;
        let repository = self
            .readable(name, lookup.repository.as_deref(), caller)
            .await?
            .id;
        let found = lookup.found.unwrap_or_default();
        let next = found.last().filter(|_| found.len() == PAGE).cloned();
        let mut tags = Vec::with_capacity(found.len());
        for tag in found {
            let reference = Reference::Tag(tag.clone());
            let Some(stored) = self.0.metadata.manifest(name, &reference, now).await?.found else {
                continue;
            };
            if let Some(chain) = self.image_chain_of(name, stored, Lists::Resolved).await? {
                self.remember(repository, &chain);
                if let Some(image) = chain.images.last() {
                    tags.push((tag, image.id.clone()));
                }
            }
        }
        Ok(TaggedImages { tags, next })
    }

    async fn live_chain(&self, name: &RepositoryName, digest: &Digest) -> Result<Option<ImageChain>, Error> {
        let now = self.0.runtime.clock.now();
        let reference = Reference::Digest(*digest);
        match self.0.metadata.manifest(name, &reference, now).await?.found {
            Some(stored) => self.image_chain_of(name, stored, Lists::Resolved).await,
            None => Ok(None),
        }
    }

    async fn image_chain_of(
        &self,
        name: &RepositoryName,
        stored: ManifestRecord,
        lists: Lists,
    ) -> Result<Option<ImageChain>, Error> {
        let now = self.0.runtime.clock.now();
        let Some(image) = self.image_of(name, stored, lists, now).await? else {
            return Ok(None);
        };
        let images = self.chain(name, &image).await?;
        Ok(images
            .filter(|images| !images.is_empty())
            .map(|images| ImageChain {
                digest: image.digest,
                images,
            }))
    }

    /// The manifests that the newest tags point at.
    async fn newest(&self, name: &RepositoryName) -> Result<Tagged, Error> {
        let now = self.0.runtime.clock.now();
        let filter = TagFilter::new(now).with_alive(true);
        let mut found: Tagged = Vec::new();
        let mut places: HashMap<Digest, usize> = HashMap::new();
        let mut after: Option<TagPosition> = None;
        for _ in 0..SEARCHED / PAGE {
            let page = PageRequest::new(after.take(), PAGE);
            let rows = self.0.metadata.tag_history(name, &filter, 0, &page, now).await?;
            let rows: Vec<TagRecord> = rows
                .found
                .unwrap_or_default()
                .into_iter()
                .map(|row| row.tag)
                .collect();
            let is_last = rows.len() < PAGE;
            after = rows.last().map(TagPosition::from);
            for row in rows {
                if let Some((_, tags)) = places.get(&row.digest).and_then(|&place| found.get_mut(place)) {
                    tags.push(row.name);
                } else {
                    places.insert(row.digest, found.len());
                    found.push((row.digest, vec![row.name]));
                }
            }
            if is_last {
                break;
            }
        }
        Ok(found)
    }

    fn remember(&self, repository: RepositoryId, chain: &ImageChain) {
        let mut places = self.0.images.lock().unwrap_or_else(PoisonError::into_inner);
        for image in &chain.images {
            places.note(repository, &image.id, chain.digest);
        }
    }
}

/// The chain up to one of its images.
fn upto(mut chain: ImageChain, id: &str) -> Option<ImageChain> {
    let place = chain.images.iter().position(|image| image.id == id)?;
    chain.images.truncate(place + 1);
    Some(chain)
}
