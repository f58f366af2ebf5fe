//! Blobs on a local disk.
//!
//! ```text
//! <root>/uploads/<id>                      bytes on their way in
//! <root>/<algorithm>/<2 hex>/<hex>-<id>    published blobs, each with the id of its upload
//! <root>/<algorithm>/<2 hex>/<hex>         blobs as Quay lays them down, which are read and deleted as well
//! ```
//!
//! Publishing gives the upload's file a second name, so that nothing is copied and a crash leaves either
//! the upload alone, or the upload and the blob. The upload's name goes away once the blob has been
//! recorded; a file that keeps both names is what the sweep looks for.

mod files;
mod pipe;

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use moka::sync::Cache;
use quay_core::blob_store::{
    Append, Appended, BlobBody, BlobInventory, ByteStream, Durability, FileRange, Hashed, ObjectKey, Open,
    Published, StagedUpload, UploadState,
};
use quay_core::runtime::{Spawner, Timestamp, blocking};
use quay_core::{BlobStore, Digest, Hasher, ResolvedRange};
use quay_core::{BodyError, StoreError, StoreErrorKind};

use pipe::{Batch, Pipe, Sink};

/// Bytes that all uploads together hand to the disk at once: few of them in large batches, which cost less
/// to hand over, many in small ones, which cost less memory.
const BATCHES: usize = 2 << 20;
/// The smallest and the largest batch.
const BATCH: RangeInclusive<usize> = (96 << 10)..=(512 << 10);
/// Files of published blobs that are kept open.
const OPEN_FILES: u64 = 256;
/// Reads up to this length are answered from memory, without a file handle on the way.
const SMALL: u64 = 64 << 10;

/// Layout version in front of an upload's state: version, then the upload's id.
const STATE_VERSION: u8 = 1;

/// Blobs in a directory of a local file system that has hard links and syncs directories.
#[derive(Debug, Clone)]
pub struct LocalBlobs(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    spawner: Arc<dyn Spawner>,
    /// Published blobs whose files are open, by key. Files are only ever replaced or unlinked, so what
    /// is read stays whole; both drop the entry.
    open: Cache<ObjectKey, Arc<OpenFile>>,
    /// Directories of objects that are known to survive a crash: two levels, 256 for each algorithm.
    directories: Mutex<HashSet<PathBuf>>,
    /// Uploads whose files are being written to.
    writing: Mutex<HashMap<PathBuf, Pipe>>,
    /// Read by commits, written by `unpublish`: what it decides must not change under it.
    publishing: RwLock<()>,
}

#[derive(Debug)]
struct OpenFile {
    file: Arc<File>,
    size: u64,
}

fn corrupt(context: impl Into<String>) -> StoreError {
    StoreError::new(StoreErrorKind::Corrupt, context)
}

fn state_of(id: &str) -> UploadState {
    let mut state = vec![STATE_VERSION];
    state.extend_from_slice(id.as_bytes());
    UploadState::new(state)
}

fn staged(file: files::Listed) -> StagedUpload {
    let state = state_of(&file.name);
    StagedUpload::new(file.name, state, file.length, file.modified, file.links > 1)
}

fn valid_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= 128 && id.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

impl LocalBlobs {
    /// Opens a directory, making it if there is none. File work runs on `spawner`.
    ///
    /// # Errors
    /// When the directory cannot be made or written to.
    pub async fn open(root: impl Into<PathBuf>, spawner: Arc<dyn Spawner>) -> Result<Self, StoreError> {
        let root = root.into();
        let uploads = root.join("uploads");
        run(&*spawner, move || files::create_dir_durably(&uploads)).await?;
        Ok(Self(Arc::new(Inner {
            root,
            spawner,
            open: Cache::new(OPEN_FILES),
            directories: Mutex::default(),
            writing: Mutex::default(),
            publishing: RwLock::default(),
        })))
    }

    fn upload_path(&self, state: &UploadState) -> Result<PathBuf, StoreError> {
        let id = match state.as_bytes().split_first() {
            Some((&STATE_VERSION, id)) => std::str::from_utf8(id).ok(),
            _ => None,
        };
        match id {
            Some(id) if valid_id(id) => Ok(self.0.root.join("uploads").join(id)),
            _ => Err(corrupt("the state of an upload is not one of this store's")),
        }
    }

    fn key_of(upload: &Path, digest: &Digest) -> ObjectKey {
        let name = upload
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        // What an upload was published as and has been taken apart from is published under its name still.
        ObjectKey::of_upload(digest, name.strip_suffix(files::ORPHAN).unwrap_or(name))
    }

    fn object_path(&self, key: &ObjectKey) -> Result<PathBuf, StoreError> {
        let plain = |part: &str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        };
        if key.as_str().split('/').all(plain) && !key.as_str().starts_with("uploads") {
            Ok(self.0.root.join(key.as_str()))
        } else {
            Err(corrupt(format!("{key:?} is not a key of this store's")))
        }
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        run(&*self.0.spawner, work).await
    }

    /// Writes a stream behind an upload's first bytes, hashing it on its way.
    async fn take_in(
        &self,
        state: &UploadState,
        mut data: ByteStream,
        options: Append,
        hasher: Option<Hasher>,
    ) -> Result<(Appended, Option<Hasher>), StoreError> {
        let path = self.upload_path(state)?;
        let writing = self
            .begin_writing(&path, Sink::new(path.clone(), options.offset, hasher))
            .await;
        let spawner = &*self.0.spawner;
        let mut rest = Bytes::new();
        let mut written = 0_u64;
        let outcome = loop {
            let Received { bytes, next } =
                receive(&mut data, &mut rest, writing.pipe.spare(), self.batch()).await;
            let length = bytes.len() as u64;
            let sync = matches!(next, Next::End(_)) && options.durability == Durability::Now;
            // The next batch is received while this one is written.
            if let Err(error) = writing.pipe.push(Batch { bytes, sync }, spawner).await {
                break Err(error);
            }
            written = written.saturating_add(length);
            if let Next::End(interrupted) = next {
                break writing.pipe.finish().await.map(|sink| (sink, interrupted));
            }
        };
        match outcome {
            Ok((sink, interrupted)) => {
                let appended = Appended::new(state.clone(), written, interrupted);
                Ok((appended, sink.into_hasher()))
            }
            Err(error) => {
                writing.pipe.stop().await;
                Err(error)
            }
        }
    }

    /// Enters an upload as being written to. What a caller that went away has left at work is waited for.
    async fn begin_writing(&self, path: &Path, sink: Sink) -> Writing {
        let pipe = Pipe::new(sink);
        loop {
            let left = match self.writing().entry(path.to_owned()) {
                Entry::Occupied(entry) => entry.get().clone(),
                Entry::Vacant(entry) => {
                    entry.insert(pipe.clone());
                    break;
                }
            };
            left.stop().await;
            self.writing().remove(path);
        }
        Writing {
            store: self.clone(),
            path: path.to_owned(),
            pipe,
        }
    }

    /// Ends what a caller that went away has left at work on an upload.
    async fn let_go(&self, upload: &Path) {
        let left = self.writing().remove(upload);
        if let Some(left) = left {
            left.stop().await;
        }
    }

    /// Makes an object's directory, once in this process's life.
    fn ensure_directory(&self, object: &Path) -> Result<(), StoreError> {
        let known = || self.0.directories.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(directory) = object.parent() else {
            return Ok(());
        };
        if !known().contains(directory) {
            files::create_dir_durably(directory)?;
            known().insert(directory.to_owned());
        }
        Ok(())
    }

    /// How many bytes an upload's next batch should have.
    fn batch(&self) -> usize {
        let uploads = self.writing().len().max(1);
        (BATCHES / uploads).clamp(*BATCH.start(), *BATCH.end())
    }

    fn writing(&self) -> MutexGuard<'_, HashMap<PathBuf, Pipe>> {
        self.0.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The open file of a published blob; `None` when there is none.
    async fn published(&self, key: &ObjectKey) -> Result<Option<Arc<OpenFile>>, StoreError> {
        if let Some(open) = self.0.open.get(key) {
            return Ok(Some(open));
        }
        let path = self.object_path(key)?;
        let opened = self.run(move || files::open_existing(&path)).await?;
        Ok(opened.map(|(file, size)| {
            let open = Arc::new(OpenFile {
                file: Arc::new(file),
                size,
            });
            self.0.open.insert(key.clone(), Arc::clone(&open));
            open
        }))
    }
}

async fn run<T: Send + 'static>(
    spawner: &dyn Spawner,
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    blocking(spawner, work).await.unwrap_or_else(|_| {
        Err(StoreError::new(
            StoreErrorKind::Unavailable,
            "the host is shutting down",
        ))
    })
}

/// An append that is under way.
struct Writing {
    store: LocalBlobs,
    path: PathBuf,
    pipe: Pipe,
}

impl Drop for Writing {
    fn drop(&mut self) {
        // A job that is still at work stays known, so that the next append waits for it.
        if self.pipe.is_idle() {
            self.store.writing().remove(&self.path);
        }
    }
}

/// What came of a stream until a batch was full or the stream ended.
struct Received {
    bytes: Vec<u8>,
    next: Next,
}

/// What follows a batch.
enum Next {
    More,
    /// Nothing: why, if not because the stream was complete.
    End(Option<BodyError>),
}

/// Fills a batch, `rest` first: what the one before had no room for. The pieces are copied, since each may
/// pin a buffer many times its size.
async fn receive(data: &mut ByteStream, rest: &mut Bytes, mut bytes: Vec<u8>, batch: usize) -> Received {
    bytes.clear();
    if bytes.capacity() > batch.saturating_mul(2) {
        // Of a time when there were fewer uploads.
        bytes = Vec::new();
    }
    loop {
        let room = batch.saturating_sub(bytes.len());
        let piece = rest.split_to(rest.len().min(room));
        if bytes.capacity().saturating_sub(bytes.len()) < piece.len() {
            // Twice as much, but no more than a batch; a short body takes what it needs.
            let capacity = bytes.capacity().saturating_mul(2).min(batch);
            bytes.reserve_exact(capacity.saturating_sub(bytes.len()).max(piece.len()));
        }
        bytes.extend_from_slice(&piece);
        let next = if bytes.len() >= batch {
            Next::More
        } else {
            match data.next().await {
                Some(Ok(piece)) => {
                    *rest = piece;
                    continue;
                }
                Some(Err(error)) => Next::End(Some(error)),
                None => Next::End(None),
            }
        };
        return Received { bytes, next };
    }
}

#[async_trait]
impl BlobStore for LocalBlobs {
    async fn begin(&self, id: &str) -> Result<UploadState, StoreError> {
        if !valid_id(id) {
            return Err(StoreError::new(
                StoreErrorKind::Unsupported,
                format!("{id:?} is not made of letters and digits"),
            ));
        }
        Ok(state_of(id))
    }

    async fn append(
        &self,
        state: &UploadState,
        data: ByteStream,
        options: Append,
    ) -> Result<Appended, StoreError> {
        let (appended, _) = self.take_in(state, data, options, None).await?;
        Ok(appended)
    }

    async fn append_hashed(
        &self,
        state: &UploadState,
        data: ByteStream,
        options: Append,
        hasher: Hasher,
        _: &Arc<dyn Spawner>,
    ) -> Result<Hashed, StoreError> {
        match self.take_in(state, data, options, Some(hasher)).await? {
            (appended, Some(hasher)) => Ok(Hashed::new(appended, hasher)),
            (_, None) => Err(StoreError::new(StoreErrorKind::Other, "a hasher was lost")),
        }
    }

    async fn staged(&self, state: &UploadState, length: u64) -> Result<BlobBody, StoreError> {
        let path = self.upload_path(state)?;
        let opened = self.run(move || files::open_existing(&path)).await?;
        match opened {
            _ if length == 0 => Ok(BlobBody::Bytes(Bytes::new())),
            Some((file, size)) if size >= length => Ok(BlobBody::File(FileRange::new(
                Arc::new(file),
                ResolvedRange::new(0, length),
            ))),
            _ => Err(corrupt("an upload holds fewer bytes than recorded")),
        }
    }

    async fn commit(
        &self,
        state: &UploadState,
        digest: &Digest,
        length: u64,
    ) -> Result<Published, StoreError> {
        let upload = self.upload_path(state)?;
        let key = Self::key_of(&upload, digest);
        let object = self.object_path(&key)?;
        self.let_go(&upload).await;
        let this = self.clone();
        self.run(move || {
            this.ensure_directory(&object)?;
            let _publishing = this.0.publishing.read().unwrap_or_else(PoisonError::into_inner);
            files::publish(&upload, &object, length)
        })
        .await?;
        self.0.open.invalidate(&key);
        Ok(Published::at(key))
    }

    async fn abort(&self, state: &UploadState) -> Result<(), StoreError> {
        let path = self.upload_path(state)?;
        self.let_go(&path).await;
        self.run(move || files::remove_upload(&path)).await
    }

    async fn open(&self, key: &ObjectKey, options: Open) -> Result<Option<BlobBody>, StoreError> {
        let Some(open) = self.published(key).await? else {
            return Ok(None);
        };
        let Some(range) = options.resolved() else {
            return Ok(Some(BlobBody::Bytes(Bytes::new())));
        };
        if range
            .start
            .checked_add(range.length)
            .is_none_or(|end| end > open.size)
        {
            return Err(corrupt(format!("the object {key} is shorter than recorded")));
        }
        let part = FileRange::new(Arc::clone(&open.file), range);
        if range.length > SMALL {
            return Ok(Some(BlobBody::File(part)));
        }
        if let Some(bytes) = files::read_if_cached(&part.file, range) {
            return Ok(Some(BlobBody::Bytes(bytes)));
        }
        let bytes = self.run(move || files::read(&part.file, part.range)).await?;
        Ok(Some(BlobBody::Bytes(bytes)))
    }

    async fn stat(&self, key: &ObjectKey) -> Result<Option<u64>, StoreError> {
        Ok(self.published(key).await?.map(|open| open.size))
    }

    async fn delete(&self, keys: &[ObjectKey]) -> Vec<Result<(), StoreError>> {
        let mut outcomes = Vec::with_capacity(keys.len());
        for key in keys {
            let outcome = match self.object_path(key) {
                Ok(path) => self.run(move || files::remove(&path)).await,
                Err(error) => Err(error),
            };
            self.0.open.invalidate(key);
            outcomes.push(outcome);
        }
        outcomes
    }

    fn inventory(&self) -> Option<&dyn BlobInventory> {
        Some(self)
    }
}

#[async_trait]
impl BlobInventory for LocalBlobs {
    async fn staged_uploads(
        &self,
        before: Timestamp,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<StagedUpload>, StoreError> {
        let directory = self.0.root.join("uploads");
        let after = after.unwrap_or_default().to_owned();
        self.run(move || {
            let mut found = Vec::new();
            for name in files::names(&directory, |name| *name > *after && valid_id(name))? {
                if found.len() == limit {
                    break;
                }
                let file = files::look(&directory, &name)?;
                found.extend(file.filter(|file| file.modified < before).map(staged));
            }
            Ok(found)
        })
        .await
    }

    async fn staged_upload(&self, id: &str) -> Result<Option<StagedUpload>, StoreError> {
        if !valid_id(id) {
            return Ok(None);
        }
        let (directory, id) = (self.0.root.join("uploads"), id.to_owned());
        self.run(move || Ok(files::look(&directory, &id)?.map(staged)))
            .await
    }

    async fn unpublish(&self, state: &UploadState, digest: &Digest) -> Result<bool, StoreError> {
        let upload = self.upload_path(state)?;
        let key = Self::key_of(&upload, digest);
        let object = self.object_path(&key)?;
        let this = self.clone();
        let removed = self
            .run(move || {
                let _publishing = this.0.publishing.write().unwrap_or_else(PoisonError::into_inner);
                files::unpublish(&upload, &object)
            })
            .await?;
        self.0.open.invalidate(&key);
        Ok(removed)
    }
}
