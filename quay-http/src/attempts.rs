//! How often one address may fail to show who it is.

use std::fmt::{self, Debug};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use quay_core::Error;
use quay_core::runtime::{Runtime, Timestamp};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Over this time failures are counted, from the first one on.
const WINDOW: Duration = Duration::from_mins(1);
/// How many failures one address has in that time.
const FAILURES: u32 = 30;
/// How many attempts of one address are judged at once: so few that it cannot fill the places of those who
/// wait for a hash.
const AT_ONCE: usize = 8;
/// How many more of it wait for their turn.
const WAITING: usize = 256;
/// When to come back while too many of them wait.
const BUSY: Duration = Duration::from_secs(1);
/// How many addresses are remembered; those that were seen last, where there are more.
const ADDRESSES: u64 = 100_000;

/// Counts the attempts of each address that fail: at logins with passwords, at signing up, and at asking for
/// a new password.
///
/// Whoever has failed too often within a minute is told to wait, whatever the next password is. What succeeds
/// does not count. Addresses of IP version 6 count by their first 64 bits, which one customer has. Requests
/// of which no address is known count together, as do those that come by way of one proxy that is not asked
/// for theirs.
///
/// Cheap to clone: clones count together. Share one among the services of a process.
#[derive(Clone)]
pub struct LoginAttempts(Arc<Inner>);

struct Inner {
    runtime: Runtime,
    failures: u32,
    addresses: Cache<Option<IpAddr>, Arc<Address>>,
}

/// What is known of one address.
struct Address {
    turns: Arc<Semaphore>,
    waiting: AtomicUsize,
    failed: Mutex<Failed>,
}

#[derive(Default)]
struct Failed {
    since: Option<Timestamp>,
    times: u32,
}

impl Debug for LoginAttempts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("LoginAttempts")
            .field("failures", &self.0.failures)
            .finish_non_exhaustive()
    }
}

/// An attempt that is being judged. It has failed unless somebody says otherwise: also when the client goes
/// away before.
pub(crate) struct Attempt {
    address: Arc<Address>,
    runtime: Runtime,
    counts: bool,
    _turn: OwnedSemaphorePermit,
}

impl Attempt {
    /// Says that it does not count.
    pub(crate) fn forgive(mut self) {
        self.counts = false;
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if self.counts {
            self.address.failed().count(self.runtime.clock.now());
        }
    }
}

impl Failed {
    /// How long the current window goes on; `None` when it is over, or the clock has been set back.
    fn left(&self, now: Timestamp) -> Option<Duration> {
        let since = self.since?;
        let left_ms = since.plus(WINDOW).as_millis().saturating_sub(now.as_millis());
        let left = Duration::from_millis(u64::try_from(left_ms).ok()?);
        (!left.is_zero() && left <= WINDOW).then_some(left)
    }

    fn count(&mut self, now: Timestamp) {
        if self.left(now).is_none() {
            self.since = Some(now);
            self.times = 0;
        }
        self.times = self.times.saturating_add(1);
    }
}

impl Address {
    fn new() -> Self {
        Self {
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            waiting: AtomicUsize::new(0),
            failed: Mutex::default(),
        }
    }

    fn failed(&self) -> std::sync::MutexGuard<'_, Failed> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts whoever waits, also when they give up.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl LoginAttempts {
    /// Thirty failures of each address a minute.
    #[must_use]
    pub fn new(runtime: Runtime) -> Self {
        Self::with_failures(runtime, FAILURES)
    }

    /// As many failures of each address a minute; at least one.
    #[must_use]
    pub fn with_failures(runtime: Runtime, failures: u32) -> Self {
        let addresses = Cache::builder()
            .max_capacity(ADDRESSES)
            .eviction_policy(EvictionPolicy::lru())
            .build();
        Self(Arc::new(Inner {
            runtime,
            failures: failures.max(1),
            addresses,
        }))
    }

    /// Begins an attempt, once it is this address's turn.
    ///
    /// # Errors
    /// `Throttled` when the address has failed too often, or too many attempts of it wait.
    pub(crate) async fn begin(&self, address: Option<IpAddr>) -> Result<Attempt, Error> {
        let inner = &*self.0;
        let address = inner
            .addresses
            .get_with(address.map(customer), || Arc::new(Address::new()));
        self.may(&address)?;
        let turn = {
            let ahead = address.waiting.fetch_add(1, Ordering::SeqCst);
            let _waiting = Waiting(&address.waiting);
            if ahead >= WAITING {
                return Err(Error::throttled(BUSY));
            }
            let turns = Arc::clone(&address.turns);
            turns.acquire_owned().await.map_err(|_| Error::throttled(BUSY))?
        };
        // Those who were before have failed, perhaps.
        self.may(&address)?;
        Ok(Attempt {
            address,
            runtime: inner.runtime.clone(),
            counts: true,
            _turn: turn,
        })
    }

    fn may(&self, address: &Address) -> Result<(), Error> {
        let failed = address.failed();
        let left = failed.left(self.0.runtime.clock.now());
        match left.filter(|_| failed.times >= self.0.failures) {
            Some(left) => Err(Error::throttled(left)),
            None => Ok(()),
        }
    }
}

/// Whom an address belongs to.
fn customer(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use quay_core::testing::test_runtime;

    use super::*;

    fn begun(attempts: &LoginAttempts, address: Option<&str>) -> Result<Attempt, Error> {
        let address = address.map(|address| address.parse().unwrap());
        attempts.begin(address).now_or_never().unwrap()
    }

    #[test]
    fn whoever_fails_too_often_waits() {
        let (runtime, clock) = test_runtime();
        let attempts = LoginAttempts::new(runtime);
        let (one, other) = (Some("192.0.2.1"), Some("192.0.2.2"));
        for _ in 0..100 {
            begun(&attempts, one).unwrap().forgive();
        }
        clock.advance(Duration::from_secs(1));
        for _ in 0..30 {
            drop(begun(&attempts, one).unwrap());
            clock.advance(Duration::from_secs(1));
        }
        let refused = begun(&attempts, one).err().unwrap();
        assert_eq!(refused.retry_after(), Some(Duration::from_secs(30)));
        assert!(begun(&attempts, Some("::ffff:192.0.2.1")).is_err());
        begun(&attempts, other).unwrap().forgive();
        begun(&attempts, None).unwrap().forgive();
        clock.advance(Duration::from_secs(30));
        begun(&attempts, one).unwrap().forgive();
    }

    #[test]
    fn neighbours_and_strangers_count_together() {
        let (runtime, clock) = test_runtime();
        let attempts = LoginAttempts::with_failures(runtime, 2);
        for address in ["2001:db8::1", "2001:db8::2:1"] {
            drop(begun(&attempts, Some(address)).unwrap());
        }
        assert!(begun(&attempts, Some("2001:db8::3")).is_err());
        begun(&attempts, Some("2001:db8:0:1::1")).unwrap().forgive();
        for _ in 0..2 {
            drop(begun(&attempts, None).unwrap());
        }
        assert!(begun(&attempts.clone(), None).is_err());
        begun(&attempts, Some("127.0.0.1")).unwrap().forgive();
        // A clock that was set back does not lock anybody out.
        clock.set(Timestamp::from_millis(0));
        begun(&attempts, None).unwrap().forgive();
    }

    #[test]
    fn one_address_takes_its_turns() {
        let (runtime, _) = test_runtime();
        let attempts = LoginAttempts::with_failures(runtime, 8);
        let mut judged: Vec<_> = (0..AT_ONCE).map(|_| begun(&attempts, None).unwrap()).collect();
        let waiting = || Box::pin(attempts.begin(None));
        let mut waiting: Vec<_> = (0..WAITING).map(|_| waiting()).collect();
        for attempt in &mut waiting {
            assert!(attempt.as_mut().now_or_never().is_none());
        }
        assert!(begun(&attempts, None).is_err());
        begun(&attempts, Some("192.0.2.1")).unwrap().forgive();
        // Whoever gives up makes room.
        waiting.pop();
        let mut last = Box::pin(attempts.begin(None));
        assert!(last.as_mut().now_or_never().is_none());
        judged.pop().unwrap().forgive();
        let next = waiting.remove(0).now_or_never().unwrap().unwrap();
        drop(waiting);
        // Eight failures end it for all that wait.
        drop(judged);
        drop(next);
        assert!(last.now_or_never().unwrap().is_err());
    }
}
