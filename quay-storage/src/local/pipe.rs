//! An upload's way to the disk: the task that receives queues batches, one blocking job writes and hashes
//! them and goes on as long as there are any. Handing over costs more than hashing a small batch, so
//! a job that is at work is never handed anything, it takes.

use std::collections::VecDeque;
use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use futures::future::poll_fn;
use futures::task::AtomicWaker;
use quay_core::runtime::Spawner;
use quay_core::{Hasher, StoreError, StoreErrorKind};

use super::files;

/// Batches that wait while one is written. More would only cost memory.
const DEPTH: usize = 1;

/// What is to be done with an upload's file next.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) bytes: Vec<u8>,
    /// Whether the bytes must be durable then.
    pub(super) sync: bool,
}

/// Where the batches go.
#[derive(Debug)]
pub(super) struct Sink {
    path: PathBuf,
    file: Option<File>,
    /// Where the first batch begins.
    start: u64,
    written: u64,
    hasher: Option<Hasher>,
}

impl Sink {
    pub(super) const fn new(path: PathBuf, start: u64, hasher: Option<Hasher>) -> Self {
        Self {
            path,
            file: None,
            start,
            written: 0,
            hasher,
        }
    }

    pub(super) fn into_hasher(self) -> Option<Hasher> {
        self.hasher
    }

    /// Cuts off what was written: on a full disk, what cannot be used must not keep others from writing.
    fn cut(self) {
        if let Some(file) = &self.file
            && let Err(error) = file.set_len(self.start)
        {
            tracing::warn!(%error, "the rest of a failed write could not be cut off");
        }
    }

    fn take(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let file = match &self.file {
            Some(file) => file,
            None => self.file.insert(files::open_upload(&self.path, self.start)?),
        };
        let at = self.start.saturating_add(self.written);
        files::write(file, &batch.bytes, at)?;
        self.written = self.written.saturating_add(batch.bytes.len() as u64);
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&batch.bytes);
        }
        if batch.sync {
            files::sync_upload(file, &self.path, self.start)?;
        }
        Ok(())
    }
}

/// The receiving end's handle.
#[derive(Debug, Clone)]
pub(super) struct Pipe(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    changed: AtomicWaker,
}

#[derive(Debug)]
struct Queue {
    waiting: VecDeque<Batch>,
    /// A batch's memory that may be used again.
    spare: Vec<u8>,
    /// Whether a job is at work, or about to be.
    running: bool,
    /// `None` while a job has it.
    sink: Option<Sink>,
    failed: Option<StoreError>,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pipe {
    pub(super) fn new(sink: Sink) -> Self {
        Self(Arc::new(Shared {
            queue: Mutex::new(Queue {
                waiting: VecDeque::new(),
                spare: Vec::new(),
                running: false,
                sink: Some(sink),
                failed: None,
            }),
            changed: AtomicWaker::new(),
        }))
    }

    /// Queues a batch once there is room.
    pub(super) async fn push(&self, batch: Batch, spawner: &dyn Spawner) -> Result<(), StoreError> {
        let mut batch = Some(batch);
        let start = poll_fn(|context| {
            let mut queue = self.0.queue();
            if let Some(error) = queue.failed.take() {
                return Poll::Ready(Err(error));
            }
            if queue.waiting.len() >= DEPTH {
                self.0.changed.register(context.waker());
                return Poll::Pending;
            }
            queue.waiting.extend(batch.take());
            Poll::Ready(Ok(!std::mem::replace(&mut queue.running, true)))
        })
        .await?;
        if start {
            let job = Job {
                shared: Arc::clone(&self.0),
                ended: false,
            };
            spawner.run_blocking(Box::new(move || job.run()));
        }
        Ok(())
    }

    /// Waits until everything queued is done.
    pub(super) async fn finish(&self) -> Result<Sink, StoreError> {
        poll_fn(|context| {
            let mut queue = self.0.queue();
            if queue.running {
                self.0.changed.register(context.waker());
                return Poll::Pending;
            }
            if let Some(error) = queue.failed.take() {
                return Poll::Ready(Err(error));
            }
            Poll::Ready(queue.sink.take().ok_or_else(|| {
                StoreError::new(
                    StoreErrorKind::Other,
                    "what was written has been waited for already",
                )
            }))
        })
        .await
    }

    /// Memory for the next batch.
    pub(super) fn spare(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.queue().spare)
    }

    pub(super) fn is_idle(&self) -> bool {
        !self.0.queue().running
    }

    /// Gives up what is queued and waits until nothing is at work any more.
    pub(super) async fn stop(&self) {
        {
            let mut queue = self.0.queue();
            queue.waiting.clear();
            if queue.running && queue.failed.is_none() {
                let given_up = "the write was given up";
                queue.failed = Some(StoreError::new(StoreErrorKind::Conflict, given_up));
            }
        }
        let _ = self.finish().await;
    }
}

/// A job at work. One that is dropped before its end says so: nobody waits for it in vain.
struct Job {
    shared: Arc<Shared>,
    /// Once `running` is somebody else's to set.
    ended: bool,
}

impl Job {
    fn run(mut self) {
        let sink = self.shared.queue().sink.take();
        let Some(mut sink) = sink else { return };
        loop {
            let batch = {
                let mut queue = self.shared.queue();
                let Some(batch) = queue.waiting.pop_front() else {
                    queue.sink = Some(sink);
                    queue.running = false;
                    self.ended = true;
                    break;
                };
                batch
            };
            self.shared.changed.wake();
            let outcome = sink.take(&batch);
            self.shared.queue().spare = batch.bytes;
            if let Err(error) = outcome {
                // Closed before anybody hears of it and tries again.
                sink.cut();
                let mut queue = self.shared.queue();
                queue.waiting.clear();
                queue.failed = Some(error);
                queue.running = false;
                self.ended = true;
                break;
            }
        }
        self.shared.changed.wake();
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let mut queue = self.shared.queue();
        queue.running = false;
        queue.waiting.clear();
        queue.failed = Some(StoreError::new(
            StoreErrorKind::Unavailable,
            "the host is shutting down",
        ));
        drop(queue);
        self.shared.changed.wake();
    }
}
