//! What quay-core asks of its host, on tokio.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use futures::future::BoxFuture;
use quay_core::runtime::{Clock, Random, Runtime, Spawner, Timestamp};
use tokio::sync::Notify;

#[derive(Debug)]
struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock that everybody else is handed"
    )]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

#[derive(Debug)]
struct SystemRandom;

impl Random for SystemRandom {
    #[expect(
        clippy::expect_used,
        reason = "a host without randomness cannot name uploads so that nobody guesses them"
    )]
    fn fill(&self, target: &mut [u8]) {
        getrandom::fill(target).expect("the operating system gives random bytes");
    }
}

/// Runs tasks on the tokio runtime it was made in, and knows when all of them have ended.
#[derive(Debug, Clone)]
pub struct TokioSpawner {
    handle: tokio::runtime::Handle,
    running: Arc<Running>,
}

#[derive(Debug, Default)]
struct Running {
    count: AtomicUsize,
    ended: Notify,
}

struct Counted(Arc<Running>);

impl Counted {
    fn new(running: &Arc<Running>) -> Self {
        running.count.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(running))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.ended.notify_waiters();
        }
    }
}

impl TokioSpawner {
    /// A spawner of the runtime that this is called in.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn current() -> Self {
        Self {
            handle: tokio::runtime::Handle::current(),
            running: Arc::default(),
        }
    }

    /// Waits until no spawned task is left that would still change something: at shutdown, after the
    /// last connection.
    pub async fn idle(&self) {
        loop {
            let ended = self.running.ended.notified();
            if self.running.count.load(Ordering::Acquire) == 0 {
                return;
            }
            ended.await;
        }
    }

    /// A spawner whose tasks [`idle`](Self::idle) does not wait for: for loops that run as long as the
    /// process does.
    #[must_use]
    pub fn uncounted(&self) -> Arc<dyn Spawner> {
        Arc::new(Uncounted(self.handle.clone()))
    }
}

impl Spawner for TokioSpawner {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        let counted = Counted::new(&self.running);
        self.handle.spawn(async move {
            task.await;
            drop(counted);
        });
    }

    fn run_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        self.handle.spawn_blocking(work);
    }
}

#[derive(Debug)]
struct Uncounted(tokio::runtime::Handle);

impl Spawner for Uncounted {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.0.spawn(task);
    }

    fn run_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        self.0.spawn_blocking(work);
    }
}

/// The system's clock and randomness, and tasks on `spawner`.
#[must_use]
pub fn tokio_runtime(spawner: TokioSpawner) -> Runtime {
    Runtime::new(Arc::new(SystemClock), Arc::new(SystemRandom), Arc::new(spawner))
}
