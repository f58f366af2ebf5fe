//! Hashing a body while it is written: the bytes pass through to the store at once, and are hashed in
//! batches off the threads that serve I/O.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::channel::oneshot;
use futures::{FutureExt, Stream, StreamExt};

use super::gone;
use crate::blob_store::{BlobBody, ByteStream};
use crate::digest::{Algorithm, Digest, Hasher};
use crate::error::{BodyError, Error, StoreError, StoreErrorKind};
use crate::range::ResolvedRange;
use crate::runtime::{Runtime, blocking};

/// Bytes hashed at once. Larger saves hand-overs, smaller saves memory.
const BATCH: usize = 512 << 10;
/// A rest this small is hashed where it is: handing it over would cost more.
const INLINE: usize = 32 << 10;

/// Where the outcome of a hashed stream is picked up after the stream has been consumed.
#[derive(Clone)]
pub(super) struct Outcome(Arc<Mutex<Work>>);

struct Work {
    hasher: Option<Hasher>,
    job: Option<oneshot::Receiver<Hasher>>,
    pending: Vec<Bytes>,
    pending_len: usize,
    seen: u64,
}

/// Passes a body through and hashes it.
struct Hashing {
    inner: ByteStream,
    work: Arc<Mutex<Work>>,
    runtime: Runtime,
    limit: u64,
    ended: bool,
}

/// Wraps a body. It may hold `limit` bytes at the most.
pub(super) fn hashed(
    inner: ByteStream,
    hasher: Hasher,
    limit: u64,
    runtime: &Runtime,
) -> (ByteStream, Outcome) {
    let work = Arc::new(Mutex::new(Work {
        hasher: Some(hasher),
        job: None,
        pending: Vec::new(),
        pending_len: 0,
        seen: 0,
    }));
    let stream = Hashing {
        inner,
        work: Arc::clone(&work),
        runtime: runtime.clone(),
        limit,
        ended: false,
    };
    (stream.boxed(), Outcome(work))
}

fn hash_all(mut hasher: Hasher, batch: &[Bytes]) -> Hasher {
    for piece in batch {
        hasher.update(piece);
    }
    hasher
}

impl Work {
    /// Waits for the batch that is being hashed, so that at most two are in memory.
    fn poll_settled(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if let Some(job) = &mut self.job {
            let hasher = ready!(job.poll_unpin(context)).map_err(gone)?;
            self.hasher = Some(hasher);
            self.job = None;
        }
        Poll::Ready(Ok(()))
    }

    fn start(&mut self, runtime: &Runtime) {
        let Some(hasher) = self.hasher.take() else { return };
        let batch = std::mem::take(&mut self.pending);
        self.pending_len = 0;
        self.job = Some(blocking(&*runtime.spawner, move || hash_all(hasher, &batch)));
    }
}

impl Stream for Hashing {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let this = &mut *self;
        {
            let mut work = this.work.lock().unwrap_or_else(PoisonError::into_inner);
            if work.pending_len >= BATCH {
                // A host that is going down is noticed when the outcome is picked up.
                let _ = ready!(work.poll_settled(context));
                work.start(&this.runtime);
            }
        }
        match ready!(this.inner.poll_next_unpin(context)) {
            Some(Ok(piece)) => {
                let mut work = this.work.lock().unwrap_or_else(PoisonError::into_inner);
                let length = piece.len() as u64;
                if length > this.limit.saturating_sub(work.seen) {
                    this.ended = true;
                    return Poll::Ready(Some(Err(BodyError::TooLarge { limit: this.limit })));
                }
                work.seen += length;
                work.pending_len += piece.len();
                work.pending.push(piece.clone());
                Poll::Ready(Some(Ok(piece)))
            }
            other => {
                this.ended = true;
                Poll::Ready(other)
            }
        }
    }
}

impl Outcome {
    /// The hasher behind all bytes that passed, which must be `written` in number.
    pub(super) async fn hasher(self, written: u64, runtime: &Runtime) -> Result<Hasher, Error> {
        futures::future::poll_fn(|context| {
            self.0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .poll_settled(context)
        })
        .await?;
        let (hasher, rest, rest_len, seen) = {
            let mut work = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            (
                work.hasher.take(),
                std::mem::take(&mut work.pending),
                work.pending_len,
                work.seen,
            )
        };
        let Some(hasher) = hasher.filter(|_| seen == written) else {
            return Err(StoreError::new(
                StoreErrorKind::Corrupt,
                format!("the store took {written} of {seen} bytes of a body"),
            )
            .into());
        };
        if rest_len <= INLINE {
            return Ok(hash_all(hasher, &rest));
        }
        blocking(&*runtime.spawner, move || hash_all(hasher, &rest))
            .await
            .map_err(gone)
    }
}

/// Reads what a store holds once more and digests it.
pub(super) async fn digest_of(
    body: BlobBody,
    algorithm: Algorithm,
    runtime: &Runtime,
) -> Result<Digest, Error> {
    let mut hasher = Hasher::new(algorithm);
    match body {
        BlobBody::Bytes(bytes) => hasher.update(&bytes),
        BlobBody::Stream(mut pieces) => {
            while let Some(piece) = pieces.next().await {
                let piece = piece?;
                hasher = blocking(&*runtime.spawner, move || hash_all(hasher, &[piece]))
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
                hasher = blocking(&*runtime.spawner, move || hash_file(hasher, &file, at, want))
                    .await
                    .map_err(gone)??;
                done += want;
            }
        }
        BlobBody::Redirect(_) => {
            return Err(StoreError::new(
                StoreErrorKind::Unsupported,
                "a store answered a read of a staged upload with a redirect",
            )
            .into());
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
