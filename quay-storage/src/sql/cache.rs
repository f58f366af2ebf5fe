//! What the sole writer of a database may remember of it.
//!
//! A repository is remembered by name, what it holds by its id. Entries carry a generation; a commit that
//! changes a repository moves its generation on, so that what was read before can no longer be found.
//! A reader takes the generation before it reads: an answer that a commit overtook is filed where nobody
//! looks.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quay_core::metadata::{BlobRecord, Lookup, ManifestRecord, RepositoryId, RepositoryRecord};
use quay_core::{Digest, Reference, RepositoryName};

/// Bytes of manifests and entries kept, roughly.
const WEIGHT: u64 = 16 << 20;
/// Repositories share generations when there are more of them than this.
const SHARDS: usize = 4096;

/// What a unit of work changed.
#[derive(Debug, Default)]
pub(super) struct Touched {
    /// Repositories whose tags, manifests or links changed.
    pub(super) contents: HashSet<RepositoryId>,
    /// Repositories that were made or changed themselves.
    pub(super) records: Vec<RepositoryName>,
    /// More than can be named: everything is forgotten.
    pub(super) everything: bool,
}

impl Touched {
    pub(super) fn merge(&mut self, other: Self) {
        self.contents.extend(other.contents);
        self.records.extend(other.records);
        self.everything |= other.everything;
    }
}

/// What is asked of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum What {
    Manifest(Reference),
    Blob(Digest),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Repository(RepositoryName),
    Content(RepositoryId, What),
}

/// An entry, whatever it is of.
#[derive(Debug, Clone)]
pub(super) enum Entry {
    Repository(Option<Arc<RepositoryRecord>>),
    Manifest(Option<ManifestRecord>),
    Blob(Option<BlobRecord>),
}

/// What is kept of repositories.
#[derive(Debug)]
pub(super) struct Cache {
    entries: moka::sync::Cache<(Key, u64), Arc<Entry>>,
    contents: Box<[AtomicU64]>,
    records: Box<[AtomicU64]>,
    hasher: RandomState,
}

/// A place for an answer, taken before the question is put to the database.
#[derive(Debug)]
pub(super) struct Place {
    repository: (Key, u64),
    /// `None` where the repository's id was not known yet.
    content: Option<(RepositoryId, (Key, u64))>,
}

/// What the cache knows.
#[derive(Debug)]
pub(super) enum Known<T> {
    Answer(Lookup<T>),
    Nothing(Place),
}

/// Kinds of content that entries hold.
pub(super) trait Content: Clone {
    /// What an entry of this kind says was found.
    fn of(entry: &Entry) -> Option<&Option<Self>>;
    fn entry(found: Option<Self>) -> Entry;
}

impl Content for ManifestRecord {
    fn of(entry: &Entry) -> Option<&Option<Self>> {
        match entry {
            Entry::Manifest(found) => Some(found),
            Entry::Repository(_) | Entry::Blob(_) => None,
        }
    }

    fn entry(found: Option<Self>) -> Entry {
        Entry::Manifest(found)
    }
}

impl Content for BlobRecord {
    fn of(entry: &Entry) -> Option<&Option<Self>> {
        match entry {
            Entry::Blob(found) => Some(found),
            Entry::Repository(_) | Entry::Manifest(_) => None,
        }
    }

    fn entry(found: Option<Self>) -> Entry {
        Entry::Blob(found)
    }
}

fn generations() -> Box<[AtomicU64]> {
    (0..SHARDS).map(|_| AtomicU64::new(0)).collect()
}

impl Cache {
    pub(super) fn new() -> Self {
        let weigh = |_: &(Key, u64), entry: &Arc<Entry>| {
            let bytes = match &**entry {
                Entry::Manifest(Some(manifest)) => manifest.bytes.len(),
                Entry::Manifest(None) | Entry::Repository(_) | Entry::Blob(_) => 0,
            };
            u32::try_from(bytes.saturating_add(512)).unwrap_or(u32::MAX)
        };
        Self {
            entries: moka::sync::Cache::builder()
                .max_capacity(WEIGHT)
                .weigher(weigh)
                .build(),
            contents: generations(),
            records: generations(),
            hasher: RandomState::new(),
        }
    }

    fn generation<'a>(&self, of: &'a [AtomicU64], what: impl Hash) -> Option<&'a AtomicU64> {
        let shard = usize::try_from(self.hasher.hash_one(what) % SHARDS as u64).unwrap_or_default();
        of.get(shard)
    }

    fn current(&self, of: &[AtomicU64], what: impl Hash) -> u64 {
        self.generation(of, what)
            .map_or(0, |generation| generation.load(Ordering::Acquire))
    }

    fn record_key(&self, name: &RepositoryName) -> (Key, u64) {
        (Key::Repository(name.clone()), self.current(&self.records, name))
    }

    /// The repository that an answer was about, found or not.
    fn record(&self, key: &(Key, u64)) -> Option<Lookup<()>> {
        match &*self.entries.get(key)? {
            Entry::Repository(Some(record)) => Some(Lookup::in_repository(Arc::clone(record), None)),
            Entry::Repository(None) => Some(Lookup::no_repository()),
            Entry::Manifest(_) | Entry::Blob(_) => None,
        }
    }

    /// What is known of a repository.
    pub(super) fn repository(&self, name: &RepositoryName) -> Known<()> {
        let repository = self.record_key(name);
        match self.record(&repository) {
            Some(answer) => Known::Answer(answer),
            None => Known::Nothing(Place {
                repository,
                content: None,
            }),
        }
    }

    /// What is known of something in a repository.
    pub(super) fn content<T: Content>(&self, name: &RepositoryName, what: What) -> Known<T> {
        let repository = self.record_key(name);
        let Some(known) = self.record(&repository) else {
            return Known::Nothing(Place {
                repository,
                content: None,
            });
        };
        let Some(record) = known.repository else {
            return Known::Answer(Lookup::no_repository());
        };
        let key = (
            Key::Content(record.id, what),
            self.current(&self.contents, record.id),
        );
        let entry = self.entries.get(&key);
        match entry.as_deref().and_then(T::of) {
            Some(found) => Known::Answer(Lookup::in_repository(record, found.clone())),
            None => Known::Nothing(Place {
                repository,
                content: Some((record.id, key)),
            }),
        }
    }

    /// Keeps a repository in its place.
    pub(super) fn keep_repository(&self, place: Place, record: Option<&Arc<RepositoryRecord>>) {
        let entry = Entry::Repository(record.cloned());
        self.entries.insert(place.repository, Arc::new(entry));
    }

    /// Keeps an answer in its place, and the repository that came with it.
    pub(super) fn keep<T: Content>(&self, place: Place, lookup: &Lookup<T>) {
        match (&place.content, &lookup.repository) {
            (Some((id, key)), Some(record)) if *id == record.id => {
                let entry = T::entry(lookup.found.clone());
                self.entries.insert(key.clone(), Arc::new(entry));
            }
            // The next reader knows the id, and keeps what it reads.
            _ => self.keep_repository(place, lookup.repository.as_ref()),
        }
    }

    /// Forgets what a commit changed.
    pub(super) fn drop_touched(&self, touched: &Touched) {
        let advance = |generation: Option<&AtomicU64>| {
            if let Some(generation) = generation {
                generation.fetch_add(1, Ordering::AcqRel);
            }
        };
        if touched.everything {
            for generation in self.records.iter().chain(&self.contents) {
                advance(Some(generation));
            }
        }
        for name in &touched.records {
            advance(self.generation(&self.records, name));
        }
        for id in &touched.contents {
            advance(self.generation(&self.contents, *id));
        }
    }
}
