//! A host for tests: a clock that stands still, repeatable randomness, a thread per task.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use futures::executor::block_on;
use futures::future::BoxFuture;

use crate::runtime::{Clock, Random, Runtime, Spawner, Timestamp};

/// A clock that moves only when told to.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl Default for ManualClock {
    fn default() -> Self {
        Self(AtomicI64::new(1_600_000_000_000))
    }
}

impl ManualClock {
    /// Moves the clock on.
    pub fn advance(&self, by: Duration) {
        self.set(self.now().plus(by));
    }

    /// Sets the clock, backwards too.
    pub fn set(&self, to: Timestamp) {
        self.0.store(to.as_millis(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// The same bytes in every run.
#[derive(Debug, Default)]
pub struct SeededRandom(AtomicU64);

impl Random for SeededRandom {
    fn fill(&self, target: &mut [u8]) {
        for byte in target {
            // SplitMix64: small, and no two neighbouring states alike.
            let mut state = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::SeqCst);
            state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            *byte = state.to_le_bytes()[4];
        }
    }
}

/// A thread for each task, so that tests need no runtime.
#[derive(Debug, Clone, Copy, Default)]
pub struct ThreadSpawner;

impl Spawner for ThreadSpawner {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        std::thread::spawn(move || block_on(task));
    }

    fn run_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        work();
    }
}

/// A host of these parts, with its clock to be moved.
#[must_use]
pub fn test_runtime() -> (Runtime, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::default());
    let runtime = Runtime::new(
        Arc::<ManualClock>::clone(&clock),
        Arc::new(SeededRandom::default()),
        Arc::new(ThreadSpawner),
    );
    (runtime, clock)
}
