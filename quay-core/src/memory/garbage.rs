//! Garbage in memory.

use std::time::Duration;

use async_trait::async_trait;

use super::metadata::UploadRow;
use super::unit::{MemoryUnit, is_blob};
use crate::digest::Digest;
use crate::error::StoreError;
use crate::metadata::{
    EdgeKind, GarbageStore, ManifestHolds, Placement, RepositoryId, RepositoryRecord, RepositoryState,
    UploadRecord,
};
use crate::name::{RepositoryName, Tag};
use crate::runtime::Timestamp;

impl MemoryUnit {
    /// Rows of tags that point at a manifest, or did.
    fn tags_of(&self, repository: RepositoryId, manifest: i64) -> Vec<(Tag, i64)> {
        let Ok(first) = Tag::new("0") else {
            return Vec::new();
        };
        let rows = self.state.tags.range((repository, first, i64::MIN)..);
        rows.take_while(|((of, _, _), _)| *of == repository)
            .filter(|(_, row)| row.manifest == manifest)
            .map(|((_, name, id), _)| (name.clone(), *id))
            .collect()
    }

    /// Manifests of a repository, live or deleted, that name something in this way.
    fn names(&self, repository: RepositoryId, what: &Digest, kind: EdgeKind) -> bool {
        self.naming(repository, what).iter().any(|digest| {
            let row = self.state.manifests.get(&(repository, *digest));
            row.is_some_and(|row| {
                let mut edges = row.edges.iter();
                edges.any(|edge| edge.held && edge.digest == *what && edge.kind == kind)
            })
        })
    }

    /// Whether any manifest of any repository, live or deleted, holds a blob.
    fn is_held_anywhere(&self, blob: &Digest) -> bool {
        let naming = self.state.named.range((*blob, i64::MIN, Digest::lowest())..);
        let mut repositories = naming
            .map(|(key, ())| key)
            .take_while(|(what, _, _)| what == blob);
        repositories.any(|(_, repository, _)| {
            let of = |kind| self.names(*repository, blob, kind);
            of(EdgeKind::Config) || of(EdgeKind::Layer)
        })
    }

    fn blob_by_id(&self, id: i64) -> Option<Digest> {
        let mut blobs = self.state.blobs.iter();
        blobs.find_map(|(digest, blob)| (blob.id == id).then_some(*digest))
    }

    pub(super) fn drop_tag(&mut self, repository: RepositoryId, name: &Tag, id: i64) {
        let key = (repository, name.clone(), id);
        let Some(row) = self.state.tags.get(&key).cloned() else {
            return;
        };
        self.state.tags.remove_mut(&key);
        if row.live {
            self.state.live_tags.remove_mut(&(repository, name.clone()));
            self.state
                .tags_by_manifest
                .remove_mut(&(row.manifest, name.clone()));
        }
    }

    fn drop_link(&mut self, repository: RepositoryId, blob: &Digest) {
        self.state.holders.remove_mut(&(*blob, repository));
        self.state.links.remove_mut(&(repository, *blob));
    }
}

#[async_trait]
impl GarbageStore for MemoryUnit {
    async fn due(&mut self, now: Timestamp, limit: usize) -> Result<Vec<RepositoryId>, StoreError> {
        let mut due: Vec<(Timestamp, RepositoryId)> = self
            .state
            .reviews
            .values()
            .filter(|(_, due)| *due <= now)
            .map(|(repository, due)| (*due, *repository))
            .collect();
        due.sort_unstable();
        let mut repositories: Vec<RepositoryId> = Vec::new();
        for (_, repository) in due.into_iter().take(limit) {
            if !repositories.contains(&repository) {
                repositories.push(repository);
            }
        }
        Ok(repositories)
    }

    async fn time_machine(&mut self, _: &str) -> Result<Option<Duration>, StoreError> {
        Ok(None)
    }

    async fn reviews(
        &mut self,
        repository: RepositoryId,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<i64>, StoreError> {
        let reviews = self.state.reviews.iter();
        let mut due: Vec<(Timestamp, i64)> = reviews
            .filter(|(_, (of, due))| *of == repository && *due <= now)
            .map(|(id, (_, due))| (*due, *id))
            .collect();
        due.sort_unstable();
        Ok(due.into_iter().take(limit).map(|(_, id)| id).collect())
    }

    async fn forget_tags(
        &mut self,
        repository: RepositoryId,
        manifests: &[i64],
        before: Timestamp,
    ) -> Result<(), StoreError> {
        for manifest in manifests {
            for (name, id) in self.tags_of(repository, *manifest) {
                let row = self.state.tags.get(&(repository, name.clone(), id));
                if row.is_some_and(|row| row.end.is_some_and(|end| end <= before)) {
                    self.drop_tag(repository, &name, id);
                }
            }
        }
        Ok(())
    }

    async fn holds(
        &mut self,
        repository: RepositoryId,
        manifests: &[i64],
    ) -> Result<Vec<ManifestHolds>, StoreError> {
        let mut found = Vec::new();
        for id in manifests {
            let Some(row) = self.state.manifest_by_id(*id) else {
                continue;
            };
            let digest = row.manifest.digest;
            let mut holds = ManifestHolds::new(*id, digest, row.live);
            holds.lease = row.lease;
            for (name, tag) in self.tags_of(repository, *id) {
                let Some(tag) = self.state.tags.get(&(repository, name, tag)) else {
                    continue;
                };
                match tag.end {
                    None => holds.tagged |= tag.live,
                    Some(end) => {
                        let (first, last) = holds.ends.unwrap_or((end, end));
                        holds.ends = Some((first.min(end), last.max(end)));
                    }
                }
            }
            holds.parent = self.names(repository, &digest, EdgeKind::Child);
            holds.subject = row.manifest.subject.is_some_and(|subject| {
                let mut edges = row.edges.iter();
                let child = edges.any(|edge| edge.kind == EdgeKind::Child && edge.digest == subject);
                !child && self.state.manifests.contains_key(&(repository, subject))
            });
            found.push(holds);
        }
        Ok(found)
    }

    async fn postpone(&mut self, reviews: &[(i64, Timestamp)]) -> Result<(), StoreError> {
        for (manifest, due) in reviews {
            if let Some((repository, _)) = self.state.reviews.get(manifest).copied() {
                self.state.reviews.insert_mut(*manifest, (repository, *due));
            }
        }
        Ok(())
    }

    async fn settle(&mut self, manifests: &[i64]) -> Result<(), StoreError> {
        for manifest in manifests {
            self.state.reviews.remove_mut(manifest);
        }
        Ok(())
    }

    async fn remove_manifests(
        &mut self,
        repository: RepositoryId,
        manifests: &[i64],
        now: Timestamp,
    ) -> Result<Vec<i64>, StoreError> {
        let mut blobs: Vec<Digest> = Vec::new();
        let mut review: Vec<Digest> = Vec::new();
        for id in manifests {
            let Some(row) = self.state.manifest_by_id(*id).cloned() else {
                continue;
            };
            let digest = row.manifest.digest;
            for (name, tag) in self.tags_of(repository, *id) {
                self.drop_tag(repository, &name, tag);
            }
            let labels: Vec<i64> = self.state.labels_of(*id).map(|(label, _)| label).collect();
            for label in labels {
                self.state.labels.remove_mut(&(*id, label));
            }
            for edge in row.edges.iter() {
                self.state.named.remove_mut(&(edge.digest, repository, digest));
                match edge.kind {
                    EdgeKind::Config | EdgeKind::Layer if edge.held => blobs.push(edge.digest),
                    EdgeKind::Child => review.push(edge.digest),
                    _ => {}
                }
            }
            let about = self
                .state
                .subjects
                .range((repository, digest, Digest::lowest())..);
            let about = about.map(|(key, ())| key);
            let about = about.take_while(|(of, subject, _)| (*of, *subject) == (repository, digest));
            let about: Vec<Digest> = about.map(|(_, _, digest)| *digest).collect();
            self.release(repository, &digest);
            review.extend(about);
            if let Some(subject) = row.manifest.subject {
                self.state.subjects.remove_mut(&(repository, subject, digest));
            }
            self.state.manifests.remove_mut(&(repository, digest));
            self.state.manifest_digests.remove_mut(id);
            self.forget_pulls(repository, &digest);
            self.state.reviews.remove_mut(id);
            self.state.scans.remove_mut(id);
        }
        for digest in review {
            let row = self.state.manifests.get(&(repository, digest));
            if let Some(id) = row.map(|row| row.id) {
                self.review(repository, id, now);
            }
        }
        blobs.sort_unstable();
        blobs.dedup();
        for blob in &blobs {
            let link = self.state.links.get(&(repository, *blob)).copied();
            let leased = link.flatten().is_some_and(|lease| lease > now);
            if !leased && !self.is_held(repository, blob) {
                self.drop_link(repository, blob);
            }
        }
        let ids = blobs.iter().filter_map(|digest| self.state.blobs.get(digest));
        Ok(ids.map(|blob| blob.id).collect())
    }

    async fn ended_leases(
        &mut self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<(RepositoryId, i64)>, StoreError> {
        let links = self.state.links.iter();
        let mut ended: Vec<(Timestamp, RepositoryId, i64)> = links
            .filter_map(|((repository, digest), lease)| {
                let lease = lease.filter(|lease| *lease <= now)?;
                Some((lease, *repository, self.state.blobs.get(digest)?.id))
            })
            .collect();
        ended.sort_unstable();
        ended.truncate(limit);
        Ok(ended
            .into_iter()
            .map(|(_, repository, blob)| (repository, blob))
            .collect())
    }

    async fn end_leases(
        &mut self,
        repository: RepositoryId,
        blobs: &[i64],
        now: Timestamp,
    ) -> Result<Vec<i64>, StoreError> {
        let mut removed = Vec::new();
        for id in blobs {
            let Some(digest) = self.blob_by_id(*id) else {
                continue;
            };
            let link = self.state.links.get(&(repository, digest)).copied();
            if link.flatten().is_none_or(|lease| lease > now) {
                continue;
            }
            if self.is_held(repository, &digest) {
                self.state.links.insert_mut((repository, digest), None);
            } else {
                self.drop_link(repository, &digest);
                removed.push(*id);
            }
        }
        Ok(removed)
    }

    async fn remove_blobs(&mut self, blobs: &[i64]) -> Result<Vec<Placement>, StoreError> {
        let mut placements = Vec::new();
        for id in blobs {
            let Some(digest) = self.blob_by_id(*id) else {
                continue;
            };
            let mut linked = self.state.holders.range((digest, i64::MIN)..=(digest, i64::MAX));
            if linked.next().is_some() || self.is_held_anywhere(&digest) {
                continue;
            }
            if let Some(blob) = self.state.blobs.get(&digest) {
                placements.extend(blob.placements.iter().cloned());
            }
            self.state.blobs.remove_mut(&digest);
        }
        Ok(placements)
    }

    async fn doom(&mut self, repository: RepositoryId) -> Result<bool, StoreError> {
        let Some(path) = self.state.repository_paths.get(&repository).cloned() else {
            return Ok(false);
        };
        let Some(record) = self
            .state
            .repositories
            .get(&path)
            .map(|record| (**record).clone())
        else {
            return Ok(false);
        };
        // No namespace can have such a name, so the path is out of everybody's way.
        let gone = format!("d__r/{repository}");
        let name = RepositoryName::from_path(&gone)
            .map_err(|error| super::unit::missing("a name").with_source(error))?;
        let record = RepositoryRecord {
            name,
            state: RepositoryState::MarkedForDeletion,
            ..record
        };
        self.state.repositories.remove_mut(&path);
        self.state.repositories.insert_mut(gone.clone(), record.into());
        self.state.repository_paths.insert_mut(repository, gone);
        Ok(true)
    }

    async fn doomed(&mut self, limit: usize) -> Result<Vec<RepositoryRecord>, StoreError> {
        let paths = self.state.repository_paths.values();
        Ok(paths
            .filter_map(|path| self.state.repositories.get(path))
            .filter(|record| record.state == RepositoryState::MarkedForDeletion)
            .take(limit)
            .map(|record| (**record).clone())
            .collect())
    }

    async fn some_manifests(
        &mut self,
        repository: RepositoryId,
        limit: usize,
    ) -> Result<Vec<i64>, StoreError> {
        let rows = self.state.manifests.range((repository, Digest::lowest())..);
        let rows = rows.take_while(|((of, _), _)| *of == repository);
        Ok(rows.take(limit).map(|(_, row)| row.id).collect())
    }

    async fn remove_links(&mut self, repository: RepositoryId, limit: usize) -> Result<Vec<i64>, StoreError> {
        let links = self.state.links.range((repository, Digest::lowest())..);
        let links = links.take_while(|((of, _), _)| *of == repository).take(limit);
        let digests: Vec<Digest> = links.map(|((_, digest), _)| *digest).collect();
        for digest in &digests {
            self.drop_link(repository, digest);
        }
        let ids = digests.iter().filter_map(|digest| self.state.blobs.get(digest));
        Ok(ids.map(|blob| blob.id).collect())
    }

    async fn uploads_of(
        &mut self,
        repository: RepositoryId,
        limit: usize,
    ) -> Result<Vec<UploadRecord>, StoreError> {
        let uploads = self.state.uploads.values();
        let uploads = uploads.filter(|row| row.upload.repository == repository);
        Ok(uploads.take(limit).map(UploadRow::record).collect())
    }

    async fn remove_repository(&mut self, repository: RepositoryId) -> Result<(), StoreError> {
        if let Some(path) = self.state.repository_paths.get(&repository).cloned() {
            self.state.repositories.remove_mut(&path);
            self.state.repository_paths.remove_mut(&repository);
            self.state.created.remove_mut(&repository);
        }
        self.forget_policies(repository);
        Ok(())
    }
}

impl MemoryUnit {
    /// Marks edges to a manifest that is removed as not held any more.
    fn release(&mut self, repository: RepositoryId, what: &Digest) {
        for digest in self.naming(repository, what) {
            let Some(mut row) = self.state.manifests.get(&(repository, digest)).cloned() else {
                continue;
            };
            let edges = std::sync::Arc::make_mut(&mut row.edges);
            for edge in edges
                .iter_mut()
                .filter(|edge| edge.digest == *what && !is_blob(edge.kind))
            {
                edge.held = false;
            }
            self.save_manifest(repository, row);
        }
    }
}
