//! Hashing what is stored: the bytes pass through to the store at once, and are hashed in batches off
//! the threads that serve I/O.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::channel::oneshot;
use futures::{FutureExt, Stream, StreamExt};

use crate::blob_store::{Appended, BlobBody, ByteStream, Hashed};
use crate::digest::{Algorithm, Digest, Hasher};
use crate::error::{BodyError, StoreError, StoreErrorKind};
use crate::range::ResolvedRange;
use crate::runtime::{Spawner, blocking};

/// Bytes hashed at once. Larger saves hand-overs, smaller saves memory.
const BATCH: usize = 256 << 10;
/// Pieces hashed at once, however small: each costs memory of its own.
const PIECES: usize = 512;
/// A rest this small is hashed where it is: handing it over would cost more.
const INLINE: usize = 32 << 10;

/// A host whose threads are gone is going down.
pub(crate) fn gone(_: oneshot::Canceled) -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, "the host ended before the task did")
}

fn hash_all(mut hasher: Hasher, batch: &[Bytes]) -> Hasher {
    for piece in batch {
        hasher.update(piece);
    }
    hasher
}

/// A body that is hashed while a store takes it in.
pub(crate) struct Hashing {
    data: ByteStream,
    work: Arc<Mutex<Work>>,
    spawner: Arc<dyn Spawner>,
}

struct Work {
    hasher: Option<Hasher>,
    job: Option<oneshot::Receiver<Hasher>>,
    pending: Vec<Bytes>,
    pending_len: usize,
    seen: u64,
}

impl Work {
    /// Waits for the batch that is being hashed, so that at most two are in memory.
    fn poll_settled(&mut self, context: &mut Context<'_>) -> Poll<Result<(), StoreError>> {
        if let Some(job) = &mut self.job {
            let hasher = ready!(job.poll_unpin(context)).map_err(gone)?;
            self.hasher = Some(hasher);
            self.job = None;
        }
        Poll::Ready(Ok(()))
    }

    fn start(&mut self, spawner: &dyn Spawner) {
        let Some(hasher) = self.hasher.take() else { return };
        let batch = std::mem::take(&mut self.pending);
        self.pending_len = 0;
        self.job = Some(blocking(spawner, move || hash_all(hasher, &batch)));
    }
}

/// What passes through.
struct Passing(Hashing);

impl Stream for Passing {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let hashing = &mut self.0;
        {
            let mut work = hashing.work();
            if work.pending_len >= BATCH || work.pending.len() >= PIECES {
                // A host that is going down is noticed when the hasher is picked up.
                let _ = ready!(work.poll_settled(context));
                work.start(&*hashing.spawner);
            }
        }
        let item = ready!(hashing.data.poll_next_unpin(context));
        if let Some(Ok(piece)) = &item {
            let mut work = hashing.work();
            work.seen = work.seen.saturating_add(piece.len() as u64);
            work.pending_len = work.pending_len.saturating_add(piece.len());
            work.pending.push(piece.clone());
        }
        Poll::Ready(item)
    }
}

impl Hashing {
    pub(crate) fn new(data: ByteStream, hasher: Hasher, spawner: &Arc<dyn Spawner>) -> Self {
        let work = Work {
            hasher: Some(hasher),
            job: None,
            pending: Vec::new(),
            pending_len: 0,
            seen: 0,
        };
        Self {
            data,
            work: Arc::new(Mutex::new(work)),
            spawner: Arc::clone(spawner),
        }
    }

    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has `append` take the body in, and picks up the hasher behind it.
    pub(crate) async fn append_to<F>(self, append: impl FnOnce(ByteStream) -> F) -> Result<Hashed, StoreError>
    where
        F: Future<Output = Result<Appended, StoreError>>,
    {
        let (work, spawner) = (Arc::clone(&self.work), Arc::clone(&self.spawner));
        let lock = || work.lock().unwrap_or_else(PoisonError::into_inner);
        let appended = append(Passing(self).boxed()).await?;
        futures::future::poll_fn(|context| lock().poll_settled(context)).await?;
        let (hasher, rest, rest_len, seen) = {
            let mut work = lock();
            let rest = std::mem::take(&mut work.pending);
            (work.hasher.take(), rest, work.pending_len, work.seen)
        };
        let Some(hasher) = hasher.filter(|_| seen == appended.written) else {
            return Err(StoreError::new(
                StoreErrorKind::Corrupt,
                format!("the store took {} of {seen} bytes of a body", appended.written),
            ));
        };
        if rest_len <= INLINE {
            return Ok(Hashed::new(appended, hash_all(hasher, &rest)));
        }
        let hasher = blocking(&*spawner, move || hash_all(hasher, &rest))
            .await
            .map_err(gone)?;
        Ok(Hashed::new(appended, hasher))
    }
}

/// Reads what a store holds once more and digests it.
pub(crate) async fn digest_of(
    body: BlobBody,
    algorithm: Algorithm,
    spawner: &dyn Spawner,
) -> Result<Digest, StoreError> {
    let mut hasher = Hasher::new(algorithm);
    match body {
        BlobBody::Bytes(bytes) => hasher.update(&bytes),
        BlobBody::Stream(mut pieces) => {
            while let Some(piece) = pieces.next().await {
                let piece = piece?;
                hasher = blocking(spawner, move || hash_all(hasher, &[piece]))
                    .await
                    .map_err(gone)?;
            }
        }
        BlobBody::File(part) => {
            // One batch at a time, so that a long file does not occupy a blocking thread to its end.
            let ResolvedRange { start, length } = part.range;
            let mut done = 0;
            while done < length {
                let file = Arc::clone(&part.file);
                let at = start + done;
                let want = (length - done).min(8 << 20);
                hasher = blocking(spawner, move || hash_file(hasher, &file, at, want))
                    .await
                    .map_err(gone)??;
                done += want;
            }
        }
        BlobBody::Redirect(_) => {
            return Err(StoreError::new(
                StoreErrorKind::Unsupported,
                "a store answered a read of a staged upload with a redirect",
            ));
        }
    }
    Ok(hasher.finish())
}

fn hash_file(
    mut hasher: Hasher,
    file: &std::fs::File,
    start: u64,
    length: u64,
) -> Result<Hasher, StoreError> {
    use std::io::{Read as _, Seek as _, SeekFrom};
    let failed = |error| StoreError::io("read a staged upload", error);
    // The handle's position is shared by its clones; batches follow one another, so nobody else moves it.
    let mut reader = file;
    reader.seek(SeekFrom::Start(start)).map_err(failed)?;
    let mut reader = reader.take(length);
    let mut buffer = vec![0; 256 << 10];
    let mut left = length;
    while left > 0 {
        let read = reader.read(&mut buffer).map_err(failed)?;
        let Some(piece) = buffer.get(..read).filter(|piece| !piece.is_empty()) else {
            return Err(StoreError::new(
                StoreErrorKind::Corrupt,
                "a staged upload is shorter than recorded",
            ));
        };
        hasher.update(piece);
        left = left.saturating_sub(read as u64);
    }
    Ok(hasher)
}
