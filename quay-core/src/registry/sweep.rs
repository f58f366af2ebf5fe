//! The sweep: removes what broken uploads left behind.

use std::time::Duration;

use super::{Location, Registry};
use crate::blob_store::{BlobInventory, ObjectKey, StagedUpload};
use crate::digest::{Algorithm, Digest};
use crate::error::Error;
use crate::hashing::digest_of;
use crate::runtime::Timestamp;

/// How many uploads are looked at together.
const BATCH: usize = 100;
/// How many staged uploads are listed together. A store may have to list all to find the next.
const LISTED: usize = 1000;

/// What a sweep removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Swept {
    /// Upload sessions that nobody came back to.
    pub sessions: usize,
    /// Uploads without a session.
    pub uploads: usize,
    /// Published objects that no blob points at.
    pub objects: usize,
}

impl Registry {
    /// Removes upload sessions that were last changed more than `max_age` ago, and the bytes of uploads
    /// that have no session: at once where this process is the sole writer, after `max_age` otherwise.
    ///
    /// Cost follows the number of unfinished uploads. May run at any time, in any number of processes.
    ///
    /// # Errors
    /// A store's. What was removed by then stays removed.
    pub async fn sweep(&self, max_age: Duration) -> Result<Swept, Error> {
        let mut swept = Swept::default();
        if self.0.options.read_only {
            return Ok(swept);
        }
        let before = self.0.runtime.clock.now().minus(max_age);
        loop {
            let stale = transact!(self, |unit| async {
                Ok(unit.uploads().stale(before, BATCH).await?)
            })?;
            let mut removed = 0;
            for record in &stale {
                let (id, version) = (&record.upload.id, record.version);
                let Ok(_guard) = self.lock_upload(id) else {
                    continue;
                };
                // By version: somebody may have come back to it since it was listed.
                let gone = transact!(self, |unit| async {
                    Ok(unit.uploads().remove(id, version).await?)
                })?;
                if !gone {
                    continue;
                }
                removed += 1;
                // A store that can list its uploads is asked below whether their bytes were published.
                if let Some(store) = self.location(&record.upload.location)
                    && store.inventory().is_none()
                {
                    store.abort(&record.upload.store_state).await?;
                }
            }
            swept.sessions += removed;
            if stale.len() < BATCH || removed == 0 {
                break;
            }
        }
        let before = if self.0.metadata.is_sole_writer() {
            Timestamp::from_millis(i64::MAX)
        } else {
            before
        };
        for location in &self.0.locations {
            if let Some(inventory) = location.store.inventory() {
                self.sweep_location(location, inventory, before, &mut swept)
                    .await?;
            }
        }
        Ok(swept)
    }

    async fn sweep_location(
        &self,
        location: &Location,
        inventory: &dyn BlobInventory,
        before: Timestamp,
        swept: &mut Swept,
    ) -> Result<(), Error> {
        let mut after: Option<String> = None;
        loop {
            let found = inventory.staged_uploads(before, after.as_deref(), LISTED).await?;
            for listed in &found {
                // Looked at first, so that nobody finds a live session locked.
                if self.0.metadata.upload(&listed.id).await?.is_some() {
                    continue;
                }
                // An upload without a session that is being written now is locked by its request.
                let Ok(_guard) = self.lock_upload(&listed.id) else {
                    continue;
                };
                // The request may have ended since the listing, and taken the bytes along.
                let Some(staged) = inventory.staged_upload(&listed.id).await? else {
                    continue;
                };
                if self.0.metadata.upload(&staged.id).await?.is_some() {
                    continue;
                }
                if staged.published {
                    swept.objects += self.unpublish(location, inventory, &staged).await?;
                }
                location.store.abort(&staged.state).await?;
                swept.uploads += 1;
            }
            match found.last() {
                Some(last) if found.len() >= LISTED => after = Some(last.id.clone()),
                _ => return Ok(()),
            }
        }
    }

    /// Removes an object that was published from an upload and that no blob is placed at.
    async fn unpublish(
        &self,
        location: &Location,
        inventory: &dyn BlobInventory,
        staged: &StagedUpload,
    ) -> Result<usize, Error> {
        let mut removed = 0;
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let body = location.store.staged(&staged.state, staged.length).await?;
            let digest = digest_of(body, algorithm, &*self.0.runtime.spawner).await?;
            if let Some(placed) = self.placed(&digest, location).await? {
                let (state, length) = (&staged.state, staged.length);
                let own = location.store.commit(state, &digest, length).await?.key;
                // The blob may have been collected meanwhile, and its object deleted before it was put back.
                if own == placed && self.placed(&digest, location).await? == Some(placed) {
                    continue;
                }
            }
            removed += usize::from(inventory.unpublish(&staged.state, &digest).await?);
        }
        Ok(removed)
    }

    /// Where a blob lies in a location, if it does.
    async fn placed(&self, digest: &Digest, location: &Location) -> Result<Option<ObjectKey>, Error> {
        let recorded = transact!(self, |unit| async { Ok(unit.blobs().find(digest).await?) })?;
        Ok(recorded.and_then(|blob| {
            let mut placements = blob.placements.iter();
            let placement = placements.find(|placement| placement.location == location.id)?;
            Some(placement.key.clone())
        }))
    }
}
