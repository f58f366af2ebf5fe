//! What core asks of its host: the time, randomness, and somewhere to run things.

use std::fmt::Debug;
use std::sync::Arc;

use futures::FutureExt;
use futures::channel::oneshot;
use futures::future::BoxFuture;

/// Milliseconds since the Unix epoch, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From milliseconds since the epoch.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// This time, `duration` later.
    #[must_use]
    pub fn plus(self, duration: std::time::Duration) -> Self {
        Self(
            self.0
                .saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)),
        )
    }

    /// This time, `duration` earlier.
    #[must_use]
    pub fn minus(self, duration: std::time::Duration) -> Self {
        Self(
            self.0
                .saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)),
        )
    }
}

/// The time of day.
pub trait Clock: Debug + Send + Sync + 'static {
    /// Now. May jump in either direction; nothing in core relies on it running forward.
    fn now(&self) -> Timestamp;
}

/// Randomness that an attacker cannot predict.
pub trait Random: Debug + Send + Sync + 'static {
    /// Fills `target` with random bytes.
    fn fill(&self, target: &mut [u8]);
}

/// Somewhere to run things.
pub trait Spawner: Debug + Send + Sync + 'static {
    /// Runs `task` to its end, whether or not anybody waits for it. The host should let such tasks end
    /// before it exits.
    fn spawn(&self, task: BoxFuture<'static, ()>);

    /// Runs work that keeps a processor busy for up to milliseconds, off the threads that serve I/O.
    fn run_blocking(&self, work: Box<dyn FnOnce() + Send>);
}

/// The host's abilities, handed to the registry as one value.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Runtime {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// Somewhere to run things.
    pub spawner: Arc<dyn Spawner>,
}

impl Runtime {
    /// A runtime of these parts.
    pub fn new(clock: Arc<dyn Clock>, random: Arc<dyn Random>, spawner: Arc<dyn Spawner>) -> Self {
        Self {
            clock,
            random,
            spawner,
        }
    }

    /// A random identifier of 128 bits as 32 hexadecimal digits.
    #[must_use]
    pub fn random_id(&self) -> String {
        let mut bytes = [0; 16];
        self.random.fill(&mut bytes);
        hex::encode(bytes)
    }

    /// A random uuid (RFC 9562, version 4).
    #[must_use]
    pub fn uuid(&self) -> String {
        let mut bytes = [0_u8; 16];
        self.random.fill(&mut bytes);
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        let text = hex::encode(bytes);
        let part = |range: std::ops::Range<usize>| text.get(range).unwrap_or_default();
        [part(0..8), part(8..12), part(12..16), part(16..20), part(20..32)].join("-")
    }
}

/// Runs work off the threads that serve I/O and waits for it. Without an answer the host's pool is gone.
pub fn blocking<T: Send + 'static>(
    spawner: &dyn Spawner,
    work: impl FnOnce() -> T + Send + 'static,
) -> oneshot::Receiver<T> {
    let (sender, receiver) = oneshot::channel();
    spawner.run_blocking(Box::new(move || {
        // A caller that went away needs no answer.
        let _ = sender.send(work());
    }));
    receiver
}

/// Runs a task to its end even if the caller goes away, and waits for it.
pub(crate) fn detached<T: Send + 'static>(
    spawner: &dyn Spawner,
    task: impl Future<Output = T> + Send + 'static,
) -> oneshot::Receiver<T> {
    let (sender, receiver) = oneshot::channel();
    spawner.spawn(
        async move {
            let _ = sender.send(task.await);
        }
        .boxed(),
    );
    receiver
}
