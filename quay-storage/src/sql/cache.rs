//! What the sole writer of a database may remember of it.
//!
//! Entries carry a generation; a commit that changes a repository moves the generation on, so that what
//! was read before can no longer be found. A reader takes the generation before it reads: an answer that
//! a commit overtook is filed where nobody looks.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quay_core::metadata::{BlobRecord, Lookup, ManifestRecord, RepositoryId, RepositoryRecord};
use quay_core::{Digest, Reference, RepositoryName};

/// Bytes of manifests and entries kept, roughly.
const WEIGHT: u64 = 16 << 20;
/// Repositories share generations when there are more of them than this.
const SHARDS: usize = 4096;
/// Names remembered by id.
const NAMES: u64 = 10_000;

/// What a unit of work changed.
#[derive(Debug, Default)]
pub(super) struct Touched {
    /// Repositories whose tags, manifests or links changed.
    pub(super) contents: HashSet<RepositoryId>,
    /// Repositories that were made or changed themselves.
    pub(super) records: Vec<RepositoryName>,
}

impl Touched {
    pub(super) fn merge(&mut self, other: Self) {
        self.contents.extend(other.contents);
        self.records.extend(other.records);
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum What {
    Repository,
    Manifest(Reference),
    Blob(Digest),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    name: RepositoryName,
    what: What,
    generation: u64,
}

#[derive(Debug, Clone)]
enum Entry {
    Repository(Lookup<()>),
    Manifest(Arc<Lookup<ManifestRecord>>),
    Blob(Arc<Lookup<BlobRecord>>),
}

#[derive(Debug)]
pub(super) struct Cache {
    entries: moka::sync::Cache<Key, Entry>,
    names: moka::sync::Cache<RepositoryId, RepositoryName>,
    contents: Box<[AtomicU64]>,
    records: Box<[AtomicU64]>,
    /// Moves all generations on, for a repository whose name is not known.
    all: AtomicU64,
    hasher: RandomState,
}

fn generations() -> Box<[AtomicU64]> {
    (0..SHARDS).map(|_| AtomicU64::new(0)).collect()
}

impl Cache {
    pub(super) fn new() -> Self {
        Self {
            entries: moka::sync::Cache::builder()
                .max_capacity(WEIGHT)
                .weigher(|_, entry: &Entry| {
                    let bytes = match entry {
                        Entry::Manifest(lookup) => {
                            lookup.found.as_ref().map_or(0, |manifest| manifest.bytes.len())
                        }
                        Entry::Repository(_) | Entry::Blob(_) => 0,
                    };
                    u32::try_from(bytes.saturating_add(512)).unwrap_or(u32::MAX)
                })
                .build(),
            names: moka::sync::Cache::new(NAMES),
            contents: generations(),
            records: generations(),
            all: AtomicU64::new(0),
            hasher: RandomState::new(),
        }
    }

    fn generation<'a>(&self, of: &'a [AtomicU64], name: &RepositoryName) -> Option<&'a AtomicU64> {
        let shard = usize::try_from(self.hasher.hash_one(name) % SHARDS as u64).unwrap_or_default();
        of.get(shard)
    }

    fn key(&self, of: &[AtomicU64], name: &RepositoryName, what: What) -> Key {
        let shard = self
            .generation(of, name)
            .map_or(0, |generation| generation.load(Ordering::Acquire));
        Key {
            name: name.clone(),
            what,
            // Both only grow, so that a sum never comes back.
            generation: shard.wrapping_add(self.all.load(Ordering::Acquire)),
        }
    }

    pub(super) fn repository_key(&self, name: &RepositoryName) -> Key {
        self.key(&self.records, name, What::Repository)
    }

    pub(super) fn manifest_key(&self, name: &RepositoryName, reference: &Reference) -> Key {
        self.key(&self.contents, name, What::Manifest(reference.clone()))
    }

    pub(super) fn blob_key(&self, name: &RepositoryName, digest: &Digest) -> Key {
        self.key(&self.contents, name, What::Blob(*digest))
    }

    pub(super) fn repository(&self, key: &Key) -> Option<Lookup<()>> {
        match self.entries.get(key)? {
            Entry::Repository(lookup) => Some(lookup),
            Entry::Manifest(_) | Entry::Blob(_) => None,
        }
    }

    pub(super) fn manifest(&self, key: &Key) -> Option<Lookup<ManifestRecord>> {
        match self.entries.get(key)? {
            Entry::Manifest(lookup) => Some((*lookup).clone()),
            Entry::Repository(_) | Entry::Blob(_) => None,
        }
    }

    pub(super) fn blob(&self, key: &Key) -> Option<Lookup<BlobRecord>> {
        match self.entries.get(key)? {
            Entry::Blob(lookup) => Some((*lookup).clone()),
            Entry::Repository(_) | Entry::Manifest(_) => None,
        }
    }

    fn remember(&self, record: Option<&RepositoryRecord>) {
        if let Some(record) = record {
            self.names.insert(record.id, record.name.clone());
        }
    }

    pub(super) fn put_repository(&self, key: Key, record: Option<Arc<RepositoryRecord>>) {
        self.remember(record.as_deref());
        let lookup = record.map_or_else(Lookup::no_repository, |record| {
            Lookup::in_repository(record, None)
        });
        self.entries.insert(key, Entry::Repository(lookup));
    }

    pub(super) fn put_manifest(&self, key: Key, lookup: &Lookup<ManifestRecord>) {
        self.remember(lookup.repository.as_deref());
        self.entries
            .insert(key, Entry::Manifest(Arc::new(lookup.clone())));
    }

    pub(super) fn put_blob(&self, key: Key, lookup: &Lookup<BlobRecord>) {
        self.remember(lookup.repository.as_deref());
        self.entries.insert(key, Entry::Blob(Arc::new(lookup.clone())));
    }

    /// Forgets what a commit changed.
    pub(super) fn drop_touched(&self, touched: &Touched) {
        let advance = |of: &[AtomicU64], name: &RepositoryName| {
            if let Some(generation) = self.generation(of, name) {
                generation.fetch_add(1, Ordering::AcqRel);
            }
        };
        for name in &touched.records {
            advance(&self.records, name);
            advance(&self.contents, name);
        }
        for id in &touched.contents {
            match self.names.get(id) {
                Some(name) => advance(&self.contents, &name),
                None => {
                    self.all.fetch_add(1, Ordering::AcqRel);
                }
            }
        }
    }
}
