//! Hashing within limits, and what was right a moment ago.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_lock::{Semaphore, SemaphoreGuardArc};
use async_trait::async_trait;
use aws_lc_rs::hmac;
use moka::sync::Cache;
use quay_core::accounts::{HashingLeave, PasswordHasher};
use quay_core::runtime::{Runtime, Timestamp, blocking};
use quay_core::{StoreError, StoreErrorKind};

/// How long a password that was right is remembered.
const REMEMBERED_FOR: Duration = Duration::from_mins(5);
/// How many of them.
const REMEMBERED: u64 = 10_000;

/// Compares passwords and tokens with their hashes, a few at a time.
///
/// Hashing is made to be slow, so whoever may ask for it could stop the registry: at most a few hashes are
/// computed at once, and only so many callers wait. What was right is remembered for five minutes, as a
/// keyed fingerprint of hash and password together: whoever changes a password changes its hash, and the
/// old password is not remembered for the new hash. Nothing is remembered of what was wrong.
///
/// Share one among everything that compares passwords, and hand it on as the [`PasswordHasher`] of accounts:
/// new passwords are hashed under the same limit. A quarter of the callers who wait may wait for that, so
/// that logins have the rest.
pub struct PasswordChecks {
    hasher: Arc<dyn PasswordHasher>,
    runtime: Runtime,
    permits: Arc<Semaphore>,
    released: Arc<AtomicUsize>,
    waiting: AtomicUsize,
    max_waiting: usize,
    /// Who among them has a new password.
    waiting_to_hash: AtomicUsize,
    fingerprint: hmac::Key,
    right: Cache<[u8; 32], Timestamp>,
}

impl fmt::Debug for PasswordChecks {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PasswordChecks")
            .field("hasher", &self.hasher)
            .field("waiting", &self.waiting)
            .finish_non_exhaustive()
    }
}

/// Leave to compute one hash.
#[derive(Debug)]
pub(crate) struct Permit {
    _guard: SemaphoreGuardArc,
    released: Arc<AtomicUsize>,
    at_grant: usize,
}

impl Permit {
    /// Whether other attempts ended between `since`, as [`PasswordChecks::ended`] told it, and the time
    /// when this permit was given: what was read in between may no longer be true.
    pub(crate) const fn is_overtaken(&self, since: usize) -> bool {
        self.at_grant != since
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        // Before the guard goes, so that whoever is let in by it sees this.
        self.released.fetch_add(1, Ordering::SeqCst);
    }
}

/// Counts whoever waits, also when they give up.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl PasswordChecks {
    /// At most four hashes at once, and 64 callers who wait for one.
    #[must_use]
    pub fn new(hasher: Arc<dyn PasswordHasher>, runtime: Runtime) -> Self {
        let mut secret = [0; 32];
        runtime.random.fill(&mut secret);
        Self {
            hasher,
            runtime,
            permits: Arc::new(Semaphore::new(4)),
            released: Arc::default(),
            waiting: AtomicUsize::new(0),
            waiting_to_hash: AtomicUsize::new(0),
            max_waiting: 64,
            fingerprint: hmac::Key::new(hmac::HMAC_SHA256, &secret),
            right: Cache::builder()
                .max_capacity(REMEMBERED)
                .time_to_live(REMEMBERED_FOR)
                .build(),
        }
    }

    /// How many hashes are computed at once, at least one, and how many callers may wait for one; further
    /// ones are told to come back.
    #[must_use]
    pub fn with_limits(mut self, at_once: usize, waiting: usize) -> Self {
        self.permits = Arc::new(Semaphore::new(at_once.max(1)));
        self.max_waiting = waiting;
        self
    }

    fn fingerprint(&self, password: &str, hash: &str) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.fingerprint);
        context.update(hash.as_bytes());
        // No hash holds a zero byte, so that no two pairs look alike.
        context.update(&[0]);
        context.update(password.as_bytes());
        let mut fingerprint = [0; 32];
        for (target, byte) in fingerprint.iter_mut().zip(context.sign().as_ref()) {
            *target = *byte;
        }
        fingerprint
    }

    /// Whether this password was right for this hash a moment ago.
    pub(crate) fn is_known(&self, password: &str, hash: &str) -> bool {
        let now = self.runtime.clock.now();
        self.right
            .get(&self.fingerprint(password, hash))
            .is_some_and(|since| since <= now && now < since.plus(REMEMBERED_FOR))
    }

    /// How many attempts have ended.
    pub(crate) fn ended(&self) -> usize {
        self.released.load(Ordering::SeqCst)
    }

    /// Waits for leave to compute a hash. `None` when too many wait already.
    pub(crate) async fn permit(&self) -> Option<Permit> {
        let guard = if let Some(guard) = self.permits.try_acquire_arc() {
            guard
        } else {
            let ahead = self.waiting.fetch_add(1, Ordering::SeqCst);
            let _waiting = Waiting(&self.waiting);
            if ahead >= self.max_waiting {
                return None;
            }
            self.permits.acquire_arc().await
        };
        Some(Permit {
            _guard: guard,
            released: Arc::clone(&self.released),
            at_grant: self.ended(),
        })
    }

    /// Whether a password is right for a hash. The permit is kept until that is computed, also when the
    /// caller is gone, and comes back then: whoever has something to write down lets the next one in
    /// afterwards.
    ///
    /// # Errors
    /// When there is nowhere to compute it.
    pub(crate) async fn compare(
        &self,
        permit: Permit,
        password: &str,
        hash: &str,
    ) -> Result<(bool, Permit), StoreError> {
        let (hasher, text, stored) = (Arc::clone(&self.hasher), password.to_owned(), hash.to_owned());
        let (is_right, permit) = self
            .compute(permit, move || hasher.verify(&text, &stored))
            .await?;
        if is_right {
            let now = self.runtime.clock.now();
            self.right.insert(self.fingerprint(password, hash), now);
        }
        Ok((is_right, permit))
    }

    /// Takes as long as [`compare`](Self::compare), for users who do not exist.
    ///
    /// # Errors
    /// When there is nowhere to compute it.
    pub(crate) async fn pretend(&self, permit: Permit, password: &str) -> Result<Permit, StoreError> {
        let (hasher, text) = (Arc::clone(&self.hasher), password.to_owned());
        // A password that cannot be hashed cannot be right either, and takes no time in both cases.
        let (_, permit) = self.compute(permit, move || hasher.hash(&text).is_ok()).await?;
        Ok(permit)
    }

    async fn compute(
        &self,
        permit: Permit,
        work: impl FnOnce() -> bool + Send + 'static,
    ) -> Result<(bool, Permit), StoreError> {
        let answer = blocking(&*self.runtime.spawner, move || (work(), permit));
        answer.await.map_err(|_| {
            let what = "compare a password: the host runs no more work";
            StoreError::new(StoreErrorKind::Unavailable, what)
        })
    }
}

#[async_trait]
impl PasswordHasher for PasswordChecks {
    async fn leave(&self) -> Result<HashingLeave, StoreError> {
        let busy = || {
            let what = "hash a password: too many wait for that";
            StoreError::new(StoreErrorKind::Unavailable, what)
        };
        let ahead = self.waiting_to_hash.fetch_add(1, Ordering::SeqCst);
        let _waiting = Waiting(&self.waiting_to_hash);
        if ahead > self.max_waiting / 4 {
            return Err(busy());
        }
        let permit = self.permit().await.ok_or_else(busy)?;
        Ok(HashingLeave::new(permit))
    }

    fn hash(&self, password: &str) -> Result<String, StoreError> {
        self.hasher.hash(password)
    }

    fn verify(&self, password: &str, hash: &str) -> bool {
        self.hasher.verify(password, hash)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use futures::executor::block_on;
    use quay_core::testing::{ManualClock, test_runtime};

    use super::*;

    /// Counts how often it is asked.
    #[derive(Debug, Default)]
    struct Counting(AtomicUsize);

    impl PasswordHasher for Counting {
        fn hash(&self, password: &str) -> Result<String, StoreError> {
            self.0.fetch_add(1, Ordering::SeqCst);
            Ok(format!("hash of {password}"))
        }

        fn verify(&self, password: &str, hash: &str) -> bool {
            self.0.fetch_add(1, Ordering::SeqCst);
            hash == format!("hash of {password}")
        }
    }

    fn checks() -> (PasswordChecks, Arc<Counting>, Arc<ManualClock>) {
        let (runtime, clock) = test_runtime();
        let hasher = Arc::new(Counting::default());
        let checks = PasswordChecks::new(Arc::<Counting>::clone(&hasher), runtime);
        (checks, hasher, clock)
    }

    fn compare(checks: &PasswordChecks, password: &str, hash: &str) -> bool {
        block_on(async {
            let permit = checks.permit().await.unwrap();
            checks.compare(permit, password, hash).await.unwrap().0
        })
    }

    #[test]
    fn what_was_right_is_remembered_for_its_hash_and_a_while() {
        let (checks, _, clock) = checks();
        assert!(!checks.is_known("a", "hash of a"));
        assert!(compare(&checks, "a", "hash of a"));
        assert!(checks.is_known("a", "hash of a"));
        assert!(!checks.is_known("a", "hash of b") && !checks.is_known("b", "hash of a"));
        assert!(!checks.is_known("", "hash of a\0a") && !checks.is_known("\0a", "hash of a"));
        clock.advance(REMEMBERED_FOR);
        assert!(!checks.is_known("a", "hash of a"));
        clock.set(Timestamp::from_millis(0));
        assert!(!checks.is_known("a", "hash of a"));
    }

    #[test]
    fn what_was_wrong_is_not_remembered() {
        let (checks, hasher, _) = checks();
        for _ in 0..3 {
            assert!(!compare(&checks, "b", "hash of a"));
            assert!(!checks.is_known("b", "hash of a"));
        }
        assert_eq!(hasher.0.load(Ordering::SeqCst), 3);
        block_on(async {
            let permit = checks.permit().await.unwrap();
            checks.pretend(permit, "b").await.unwrap();
        });
        assert_eq!(hasher.0.load(Ordering::SeqCst), 4);
    }

    #[test]
    fn only_so_many_at_once_and_only_so_many_wait() {
        let (checks, _, _) = checks();
        let checks = checks.with_limits(1, 1);
        let first = checks.permit().now_or_never().unwrap().unwrap();
        let since = checks.ended();
        assert!(!first.is_overtaken(since));
        let mut second = Box::pin(checks.permit());
        assert!(second.as_mut().now_or_never().is_none());
        assert!(checks.permit().now_or_never().unwrap().is_none());
        // Whoever gives up makes room.
        drop(second);
        let mut third = Box::pin(checks.permit());
        assert!(third.as_mut().now_or_never().is_none());
        block_on(checks.compare(first, "a", "b")).unwrap();
        let third = block_on(third).unwrap();
        assert!(third.is_overtaken(since) && !third.is_overtaken(checks.ended()));
        drop(third);
        assert!(checks.permit().now_or_never().unwrap().is_some());
    }

    #[test]
    fn new_passwords_wait_with_the_others_and_leave_them_room() {
        let (checks, _, _) = checks();
        let checks = checks.with_limits(1, 4);
        let first = checks.leave().now_or_never().unwrap().unwrap();
        let mut waiting: Vec<_> = (0..2).map(|_| checks.leave()).collect();
        for leave in &mut waiting {
            assert!(leave.as_mut().now_or_never().is_none());
        }
        let refused = checks.leave().now_or_never().unwrap().unwrap_err();
        assert_eq!(refused.kind(), StoreErrorKind::Unavailable);
        // A login still finds room.
        let mut login = Box::pin(checks.permit());
        assert!(login.as_mut().now_or_never().is_none());
        drop(first);
        for leave in waiting {
            drop(block_on(leave).unwrap());
        }
        assert!(block_on(login).is_some());
        drop(checks.leave().now_or_never().unwrap().unwrap());
    }
}
