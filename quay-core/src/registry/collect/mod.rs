//! The collector: removes what nothing holds, while the registry is in use, in any number of processes.
//!
//! It never walks the store: what may have become garbage has come up for review when that happened. A unit
//! of work decides under the repository's lock, and removes rows only; the objects to delete are recorded by
//! the same unit of work, and deleted afterwards. No upload is published under a key that was used before,
//! so that a deletion may come as late, and as often, as it likes.

mod rule;

use std::collections::BTreeMap;
use std::time::Duration;

pub use rule::{Verdict, judge};
use serde::{Deserialize, Serialize};

use super::Registry;
use super::session::drop_bytes;
use crate::blob_store::ObjectKey;
use crate::error::{Error, StoreErrorKind};
use crate::metadata::{
    Outbox, OutboxRow, Placement, RepositoryId, RepositoryRecord, RepositoryState, UnitOfWork,
};
use crate::runtime::Timestamp;

/// The outbox rows that name objects to delete.
const DELETE: &str = "object.delete";
/// Objects that one row names at the most: what a store takes in one call.
const OBJECTS: usize = 1000;
/// Rows of objects that one step takes.
const ROWS: usize = 4;
/// How many batches of due reviews are looked through for repositories: processes that begin in different
/// ones do not wait for each other.
const AHEAD: usize = 16;
/// Repositories that are being deleted at the same time.
const DOOMED: usize = 8;
/// When a deletion that failed is tried again; a deletion under way is nobody else's for as long.
const HOLD: Duration = Duration::from_mins(1);

/// What one step of the collector did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Collected {
    /// Manifests that were looked at.
    pub reviewed: usize,
    /// Manifests that were removed.
    pub manifests: usize,
    /// Links to blobs that were removed when their lease had ended.
    pub leases: usize,
    /// Copies of blobs that were removed: each one's object is deleted in this step or a later one.
    pub blobs: usize,
    /// Objects that were deleted.
    pub objects: usize,
    /// Objects that could not be deleted now.
    pub undeleted: usize,
    /// Repositories that were deleted and are gone now.
    pub repositories: usize,
    /// Whether there is more to do at once.
    pub more: bool,
}

impl Collected {
    /// What two steps did together. There is more to do if the second says so.
    #[must_use]
    pub const fn and(self, next: Self) -> Self {
        Self {
            reviewed: self.reviewed + next.reviewed,
            manifests: self.manifests + next.manifests,
            leases: self.leases + next.leases,
            blobs: self.blobs + next.blobs,
            objects: self.objects + next.objects,
            undeleted: self.undeleted + next.undeleted,
            repositories: self.repositories + next.repositories,
            more: next.more,
        }
    }

    /// As [`and`](Self::and), with more to do if either says so.
    const fn with(self, step: Self) -> Self {
        let more = self.more || step.more;
        let mut both = self.and(step);
        both.more = more;
        both
    }

    /// What was worked on, in manifests: what a host that limits the rate counts. At least one.
    #[must_use]
    pub const fn work(&self) -> usize {
        let work = self.reviewed + self.leases + self.repositories + (self.objects + self.undeleted) / 10;
        if work == 0 { 1 } else { work }
    }
}

/// An object to delete, as the outbox keeps it: location and key.
#[derive(Serialize, Deserialize)]
struct Doomed(String, String);

/// The part of a unit of work that every store of a collecting registry has.
macro_rules! garbage {
    ($unit:expr) => {
        match $unit.garbage() {
            Some(garbage) => garbage,
            None => return Ok(Collected::default()),
        }
    };
}

impl Registry {
    /// One step of collection: reviews up to `batch` manifests that may be garbage, looks after as many
    /// leases that have ended, goes on with one repository that is being deleted, and deletes objects. Each
    /// repository's share is one unit of work, which holds back pushes into that repository and nothing else.
    ///
    /// Cost follows what is due, never what is stored. May run at any time, in any number of processes, and
    /// end at any point: the next step goes on. A store that keeps its garbage is left as it is, and so is a
    /// registry in read-only mode.
    ///
    /// # Errors
    /// A store's. What was removed by then stays removed.
    pub async fn collect(&self, batch: usize) -> Result<Collected, Error> {
        if self.0.options.read_only {
            return Ok(Collected::default());
        }
        let now = self.0.runtime.clock.now();
        let mut done = Collected::default();
        let due = transact!(self, |unit| async {
            match unit.garbage() {
                Some(garbage) => Ok(garbage.due(now, batch.saturating_mul(AHEAD)).await?),
                None => Ok(Vec::new()),
            }
        })?;
        let mut left = batch;
        // What fails in one place must not keep others from their turn.
        let mut failed = None;
        for repository in self.shuffled(due) {
            match self.review(repository, left, now).await {
                Ok(step) => {
                    left = left.saturating_sub(step.reviewed);
                    done = done.with(step);
                }
                // Others are busy there: its turn comes with the next step.
                Err(error) if is_conflict(&error) => done.more = true,
                Err(error) => failed = failed.or(Some(error)),
            }
            if left == 0 {
                done.more = true;
                break;
            }
        }
        for step in [
            self.end_leases(batch, now).await,
            self.delete_doomed(batch, now).await,
            self.delete_objects().await,
        ] {
            match step {
                Ok(step) => done = done.with(step),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        match failed {
            Some(error) => Err(error),
            None => Ok(done),
        }
    }

    /// In an order of this call's own, so that processes do not follow one another.
    fn shuffled(&self, mut repositories: Vec<RepositoryId>) -> Vec<RepositoryId> {
        let mut start = [0; 8];
        self.0.runtime.random.fill(&mut start);
        if let Some(start) = usize::from_le_bytes(start).checked_rem(repositories.len()) {
            repositories.rotate_left(start);
        }
        repositories
    }

    /// Reviews manifests of one repository.
    async fn review(
        &self,
        repository: RepositoryId,
        limit: usize,
        now: Timestamp,
    ) -> Result<Collected, Error> {
        transact!(self, |unit| async {
            let record = unit.repositories().lock(repository).await?;
            let due = garbage!(unit).reviews(repository, now, limit).await?;
            let mut done = Collected {
                reviewed: due.len(),
                more: due.len() == limit,
                ..Collected::default()
            };
            let record = record.filter(|record| record.state != RepositoryState::MarkedForDeletion);
            let Some(record) = record else {
                // Everything in it goes anyway.
                garbage!(unit).settle(&due).await?;
                return Ok(done);
            };
            let garbage = garbage!(unit);
            let window = garbage.time_machine(record.name.namespace()).await?;
            let window = window.unwrap_or(self.0.options.time_machine);
            garbage.forget_tags(repository, &due, now.minus(window)).await?;
            let holds = garbage.holds(repository, &due).await?;
            let (mut removed, mut again) = (Vec::new(), Vec::new());
            for holds in &holds {
                match judge(holds, window, now) {
                    Verdict::Remove => removed.push(holds.id),
                    Verdict::Keep(Some(time)) => again.push((holds.id, time)),
                    Verdict::Keep(None) => {}
                }
            }
            let stays = |id: &i64| again.iter().any(|(again, _)| again == id);
            let settled: Vec<i64> = due.into_iter().filter(|id| !stays(id)).collect();
            garbage.settle(&settled).await?;
            garbage.postpone(&again).await?;
            if !removed.is_empty() {
                let blobs = garbage.remove_manifests(repository, &removed, now).await?;
                done.manifests = removed.len();
                done.blobs = remove_blobs(&mut *unit, &blobs, now).await?;
            }
            Ok(done)
        })
    }

    /// Removes links that no manifest has come for.
    async fn end_leases(&self, limit: usize, now: Timestamp) -> Result<Collected, Error> {
        let ended = transact!(self, |unit| async {
            match unit.garbage() {
                Some(garbage) => Ok(garbage.ended_leases(now, limit).await?),
                None => Ok(Vec::new()),
            }
        })?;
        let mut done = Collected {
            more: ended.len() == limit && limit > 0,
            ..Collected::default()
        };
        let mut by_repository: BTreeMap<RepositoryId, Vec<i64>> = BTreeMap::new();
        for (repository, blob) in ended {
            by_repository.entry(repository).or_default().push(blob);
        }
        for (repository, blobs) in by_repository {
            let step: Result<Collected, Error> = transact!(self, |unit| async {
                unit.repositories().lock(repository).await?;
                let ended = garbage!(unit).end_leases(repository, &blobs, now).await?;
                Ok(Collected {
                    leases: ended.len(),
                    blobs: remove_blobs(&mut *unit, &ended, now).await?,
                    ..Collected::default()
                })
            });
            match step {
                Ok(step) => {
                    done = done.with(step);
                }
                Err(error) if is_conflict(&error) => done.more = true,
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    /// Goes on with the deletion of the repository that was marked for it first.
    async fn delete_doomed(&self, limit: usize, now: Timestamp) -> Result<Collected, Error> {
        if !self.0.options.delete_repositories {
            return Ok(Collected::default());
        }
        let doomed: Vec<RepositoryRecord> = transact!(self, |unit| async {
            match unit.garbage() {
                Some(garbage) => Ok(garbage.doomed(DOOMED).await?),
                None => Ok(Vec::new()),
            }
        })?;
        // Any of them, so that one which cannot be deleted does not keep the others.
        let ids = doomed.iter().map(|record| record.id).collect();
        let Some(repository) = self.shuffled(ids).first().copied() else {
            return Ok(Collected::default());
        };
        let mut uploads = Vec::new();
        let outcome = transact!(self, |unit| async {
            if unit.repositories().lock(repository).await?.is_none() {
                return Ok(Collected {
                    more: true,
                    ..Collected::default()
                });
            }
            let garbage = garbage!(unit);
            let mut done = Collected {
                more: true,
                ..Collected::default()
            };
            let manifests = garbage.some_manifests(repository, limit).await?;
            let blobs = if manifests.is_empty() {
                garbage.remove_links(repository, limit).await?
            } else {
                garbage.remove_manifests(repository, &manifests, now).await?
            };
            done.manifests = manifests.len();
            if !manifests.is_empty() || !blobs.is_empty() {
                done.reviewed = manifests.len();
                done.blobs = remove_blobs(&mut *unit, &blobs, now).await?;
                return Ok(done);
            }
            uploads = garbage.uploads_of(repository, limit).await?;
            if !uploads.is_empty() {
                for upload in &uploads {
                    let (id, version) = (&upload.upload.id, upload.version);
                    unit.uploads().remove(id, version).await?;
                }
                return Ok(done);
            }
            garbage.remove_repository(repository).await?;
            done.repositories = 1;
            done.more = doomed.len() > 1;
            Ok(done)
        });
        match outcome {
            Ok(done) => {
                for upload in &uploads {
                    // A store that can list its uploads is asked by the sweep.
                    if let Some(store) = self.location(&upload.upload.location)
                        && store.inventory().is_none()
                    {
                        drop_bytes(&**store, &upload.upload.store_state).await;
                    }
                }
                if done.repositories > 0 {
                    tracing::info!(repository, "a deleted repository is gone");
                } else if done.manifests > 0 {
                    tracing::info!(
                        repository,
                        manifests = done.manifests,
                        "a repository is being deleted"
                    );
                }
                Ok(done)
            }
            Err(error) if is_conflict(&error) => Ok(Collected {
                more: true,
                ..Collected::default()
            }),
            Err(error) => Err(error),
        }
    }

    /// Deletes objects whose blobs are gone, as [`collect`](Self::collect) does with all else: what a host calls
    /// from time to time that collects nothing, since a blob may be deleted by name.
    ///
    /// # Errors
    /// A store's.
    pub async fn delete_objects(&self) -> Result<Collected, Error> {
        if self.0.options.read_only {
            return Ok(Collected::default());
        }
        let now = self.0.runtime.clock.now();
        let rows: Vec<OutboxRow> = transact!(self, |unit| async {
            Ok(unit.outbox().claim(DELETE, ROWS, HOLD, now).await?)
        })?;
        let mut done = Collected::default();
        for row in &rows {
            let Ok(doomed) = serde_json::from_str::<Vec<Doomed>>(&row.payload) else {
                tracing::warn!(row = row.id, "objects to delete cannot be read");
                continue;
            };
            let mut by_location: BTreeMap<String, Vec<ObjectKey>> = BTreeMap::new();
            for Doomed(location, key) in doomed {
                by_location
                    .entry(location)
                    .or_default()
                    .push(ObjectKey::new(&key));
            }
            let mut failed = 0;
            for (location, keys) in &by_location {
                let Some(store) = self.location(location) else {
                    tracing::warn!(
                        location,
                        "objects to delete lie in a location that is not configured"
                    );
                    failed += keys.len();
                    continue;
                };
                for keys in keys.chunks(OBJECTS) {
                    for outcome in store.delete(keys).await {
                        match outcome {
                            Ok(()) => done.objects += 1,
                            Err(error) => {
                                tracing::debug!(location, %error, "an object was not deleted");
                                failed += 1;
                            }
                        }
                    }
                }
            }
            done.undeleted += failed;
            // What is there once more after a crash, or a failure, is deleted once more.
            if failed == 0 {
                done.more = rows.len() == ROWS;
                transact!(self, |unit| async { Ok(unit.outbox().complete(row.id).await?) })?;
            } else {
                tracing::warn!(failed, "objects could not be deleted; tried again later");
            }
        }
        Ok(done)
    }
}

/// Removes blobs that nothing holds, and records that their objects are to be deleted. How many.
pub(super) async fn remove_blobs(
    unit: &mut dyn UnitOfWork,
    blobs: &[i64],
    now: Timestamp,
) -> Result<usize, Error> {
    let Some(garbage) = unit.garbage() else {
        return Ok(0);
    };
    if blobs.is_empty() {
        return Ok(0);
    }
    let placements = garbage.remove_blobs(blobs).await?;
    push(unit.outbox(), &placements, now).await?;
    Ok(placements.len())
}

async fn push(outbox: &mut dyn Outbox, placements: &[Placement], now: Timestamp) -> Result<(), Error> {
    for placements in placements.chunks(OBJECTS) {
        let doomed: Vec<Doomed> = placements
            .iter()
            .map(|placement| Doomed(placement.location.to_string(), placement.key.to_string()))
            .collect();
        let payload = serde_json::json!(doomed).to_string();
        outbox.push(DELETE, &payload, now).await?;
    }
    Ok(())
}

fn is_conflict(error: &Error) -> bool {
    error
        .store_error()
        .is_some_and(|error| error.kind() == StoreErrorKind::Conflict)
}
