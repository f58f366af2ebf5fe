//! A simulation of a registry in use while its garbage is collected, by several processes over one store.
//!
//! One seed is one history: pushes, mounts, moves of tags, restores, deletions and the collector take turns
//! at each call of a store, stores fail, answers are lost, requests end where they stand, processes crash, the
//! clock runs on. Whenever all is quiet it is checked that nothing is missing that somebody was told is
//! there; in the end, once everything was let go, that nothing is left.
//!
//! A store of a framework's own is put to the test as in [`simulate`]'s example.

mod scheduler;
mod stores;
mod world;

use std::sync::Arc;

use crate::blob_store::BlobStore;
use crate::metadata::MetadataStore;

pub use world::Tally;

/// What is broken on purpose, so that it is seen that the simulation finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Nothing.
    None,
    /// Leases of manifests are overlooked.
    NoLeases,
    /// Indexes and lists hold nothing.
    NoParents,
    /// What is about a manifest is not held by it.
    NoSubjects,
    /// Tags that have ended cannot be brought back.
    NoTimeMachine,
    /// Tags hold nothing.
    NoTags,
    /// Leases of blobs end early.
    EndsRunningLeases,
    /// Uploads of the same content are published under one key.
    SharesKeys,
    /// What is looked at too early is never looked at again.
    ForgetsReviews,
    /// What a removed manifest held as a child is forgotten.
    LeavesChildren,
    /// What a removed manifest held as a blob is forgotten.
    LeavesBlobs,
}

impl Fault {
    /// All faults.
    pub const ALL: [Self; 10] = [
        Self::NoLeases,
        Self::NoParents,
        Self::NoSubjects,
        Self::NoTimeMachine,
        Self::NoTags,
        Self::EndsRunningLeases,
        Self::SharesKeys,
        Self::ForgetsReviews,
        Self::LeavesChildren,
        Self::LeavesBlobs,
    ];
}

/// Fresh stores for one history.
#[derive(Clone)]
#[expect(clippy::exhaustive_structs, reason = "what a history needs")]
pub struct Stores {
    /// The rows.
    pub metadata: Arc<dyn MetadataStore>,
    /// The objects.
    pub blobs: Arc<dyn BlobStore>,
    /// What is left, repositories apart: empty when nothing is. Asked once everything was let go.
    pub leftovers: Arc<dyn Fn() -> String + Send + Sync>,
}

impl std::fmt::Debug for Stores {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Stores").finish_non_exhaustive()
    }
}

/// Plays one history of so many rounds.
///
/// ```
/// use quay_core::memory::{MemoryBlobs, MemoryMetadata};
/// use quay_core::testing::simulation::{Fault, Stores, simulate};
/// # use std::sync::Arc;
///
/// let (metadata, blobs) = (MemoryMetadata::new(), MemoryBlobs::new());
/// let (rows, objects) = (metadata.clone(), blobs.clone());
/// let stores = Stores {
///     metadata: Arc::new(metadata),
///     blobs: Arc::new(blobs),
///     leftovers: Arc::new(move || format!("{}{}", rows.leftovers(), objects.objects().len()).replace('0', "")),
/// };
/// simulate(7, 10, Fault::None, &stores).unwrap();
/// ```
///
/// # Errors
/// What went wrong, in words, with the seed.
pub fn simulate(seed: u64, rounds: usize, fault: Fault, stores: &Stores) -> Result<Tally, String> {
    world::play(seed, rounds, fault, stores).map_err(|error| format!("seed {seed}: {error}"))
}
