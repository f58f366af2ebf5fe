//! Users of the registry's own database.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::channel::oneshot;
use moka::sync::Cache;
use quay_core::accounts::{
    Account, AccountId, AccountKey, AccountKind, AccountStore, LoginEngine, PasswordVerdict,
};
use quay_core::runtime::{Runtime, Timestamp};
use quay_core::{StoreError, StoreErrorKind};

use crate::password_checks::PasswordChecks;

/// How often an account is saved anew when another writer was faster.
const ATTEMPTS: usize = 5;
/// When to come back while too many wait for a hash.
const BUSY: Duration = Duration::from_secs(1);
/// Further failures double the wait no more: it has passed a century.
const MAX_DOUBLINGS: u32 = 32;
/// The longest name or address that a user can have.
const LONGEST_NAME: usize = 255;
/// How many names that nobody has are remembered; those that were tried last, where there are more.
const STRANGERS: u64 = 100_000;
/// How long such a name is remembered after it was tried last.
const STRANGERS_MEMORY: Duration = Duration::from_hours(1);

/// Proves users by the passwords in the database: by name, or by e-mail address.
///
/// After `n` failures in a row the next attempt must wait `0.5 * (2^n - 1)` seconds from the last one, even
/// with the right password; a success ends the count. An attempt that began is counted though the client
/// goes away. Names that nobody has cost as much time as others and are made to wait as others are, by each
/// process for itself: whoever tries names does not learn which of them are somebody's.
#[derive(Debug, Clone)]
pub struct DatabaseLogin(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Arc<dyn AccountStore>,
    checks: Arc<PasswordChecks>,
    runtime: Runtime,
    strangers: Cache<String, Failures>,
}

/// Failures in a row, and when the last one was.
#[derive(Debug, Clone, Copy, Default)]
struct Failures {
    times: i64,
    last: Option<Timestamp>,
}

impl DatabaseLogin {
    /// Knows the users in `store`.
    #[must_use]
    pub fn new(store: Arc<dyn AccountStore>, checks: Arc<PasswordChecks>, runtime: Runtime) -> Self {
        Self(Arc::new(Inner {
            store,
            checks,
            runtime,
            strangers: Cache::builder()
                .max_capacity(STRANGERS)
                .time_to_idle(STRANGERS_MEMORY)
                .build(),
        }))
    }
}

#[async_trait]
impl LoginEngine for DatabaseLogin {
    async fn verify(&self, username: &str, password: &str) -> Result<PasswordVerdict, StoreError> {
        if username.is_empty() || !username.is_ascii() {
            return Ok(PasswordVerdict::Invalid);
        }
        let (inner, username, password) = (Arc::clone(&self.0), username.to_owned(), password.to_owned());
        let (sender, receiver) = oneshot::channel();
        // Whoever hangs up before the answer must not get another attempt for free.
        self.0.runtime.spawner.spawn(Box::pin(async move {
            let _ = sender.send(inner.judge(&username, &password).await);
        }));
        receiver.await.map_err(|_| {
            StoreError::new(StoreErrorKind::Unavailable, "log in: the host runs no more tasks")
        })?
    }
}

/// A user who has a password.
struct User {
    account: Account,
    hash: String,
}

impl Inner {
    async fn find(&self, username: &str) -> Result<Option<User>, StoreError> {
        let key = if username.contains('@') {
            AccountKey::Email(username)
        } else {
            AccountKey::Name(username)
        };
        let account = self.store.reader().account(key).await?;
        let user = account.filter(|account| account.kind == AccountKind::User);
        Ok(user.and_then(|account| {
            let hash = account.password_hash.clone()?;
            Some(User { account, hash })
        }))
    }

    async fn judge(&self, username: &str, password: &str) -> Result<PasswordVerdict, StoreError> {
        let since = self.checks.ended();
        let mut user = self.find(username).await?;
        if let Some(known) = &user {
            if let Some(retry_after) = self.wait(&known.account) {
                return Ok(PasswordVerdict::Throttled { retry_after });
            }
            if self.checks.is_known(password, &known.hash) {
                return self.right(known.account.clone()).await;
            }
        } else if let Some(retry_after) = self.stranger_waits(username) {
            return Ok(PasswordVerdict::Throttled { retry_after });
        }
        let Some(permit) = self.checks.permit().await else {
            return Ok(PasswordVerdict::Throttled { retry_after: BUSY });
        };
        if permit.is_overtaken(since)
            && user.is_none()
            && let Some(retry_after) = self.stranger_waits(username)
        {
            return Ok(PasswordVerdict::Throttled { retry_after });
        }
        if permit.is_overtaken(since) && user.is_some() {
            // The attempts that ended may have failed: they count for this one.
            user = self.find(username).await?;
            if let Some(known) = &user
                && let Some(retry_after) = self.wait(&known.account)
            {
                return Ok(PasswordVerdict::Throttled { retry_after });
            }
        }
        let Some(User { account, hash }) = user else {
            let _permit = self.checks.pretend(permit, password).await?;
            self.count_stranger(username);
            return Ok(PasswordVerdict::Invalid);
        };
        // The permit is given back once the failure is counted, which the next attempt must see.
        let (is_right, _permit) = self.checks.compare(permit, password, &hash).await?;
        if is_right {
            return self.right(account).await;
        }
        let now = self.runtime.clock.now();
        self.update(account.id, |account| {
            account.invalid_logins = account.invalid_logins.saturating_add(1);
            account.last_invalid_login = Some(now);
        })
        .await?;
        Ok(PasswordVerdict::Invalid)
    }

    fn wait(&self, account: &Account) -> Option<Duration> {
        let failures = Failures {
            times: account.invalid_logins,
            last: account.last_invalid_login,
        };
        failures.wait(self.runtime.clock.now())
    }

    fn stranger_waits(&self, username: &str) -> Option<Duration> {
        let failures = self.strangers.get(username)?;
        failures.wait(self.runtime.clock.now())
    }

    fn count_stranger(&self, username: &str) {
        let now = self.runtime.clock.now();
        // No name is longer: what could be one is what matters.
        if username.len() > LONGEST_NAME {
            return;
        }
        self.strangers.entry_by_ref(username).and_upsert_with(|known| {
            let times = known.map_or(0, |known| known.into_value().times);
            Failures {
                times: times.saturating_add(1),
                last: Some(now),
            }
        });
    }

    async fn right(&self, mut account: Account) -> Result<PasswordVerdict, StoreError> {
        if !account.enabled {
            return Ok(PasswordVerdict::Disabled);
        }
        if account.invalid_logins != 0 {
            self.update(account.id, |account| account.invalid_logins = 0)
                .await?;
            account.invalid_logins = 0;
        }
        Ok(PasswordVerdict::Proven(Box::new(account)))
    }

    /// Changes an account as it is now, whoever else changes it.
    async fn update(
        &self,
        id: AccountId,
        change: impl Fn(&mut Account) + Send + Sync,
    ) -> Result<(), StoreError> {
        for _ in 1..ATTEMPTS {
            match self.try_update(id, &change).await {
                Err(error) if error.kind() == StoreErrorKind::Conflict => {}
                done => return done,
            }
        }
        self.try_update(id, &change).await
    }

    async fn try_update(
        &self,
        id: AccountId,
        change: &(impl Fn(&mut Account) + Send + Sync),
    ) -> Result<(), StoreError> {
        let mut unit = self.store.begin_accounts().await?;
        // Read behind the lock, so that two failures at once are two.
        if !unit.accounts().lock_account(id).await? {
            return Ok(());
        }
        let Some(mut account) = unit.accounts().account(AccountKey::Id(id)).await? else {
            return Ok(());
        };
        change(&mut account);
        unit.accounts().save_account(&account).await?;
        unit.commit().await
    }
}

impl Failures {
    /// How long the next attempt must wait, if it must.
    fn wait(self, now: Timestamp) -> Option<Duration> {
        if self.times <= 0 {
            return None;
        }
        let times = u32::try_from(self.times).unwrap_or(u32::MAX);
        let halves = (1_u64 << times.min(MAX_DOUBLINGS)) - 1;
        let pause = Duration::from_millis(halves * 500);
        let over = self.last?.plus(pause);
        let left_ms = u64::try_from(over.as_millis().saturating_sub(now.as_millis())).ok()?;
        // A clock that was set back does not make it longer.
        (left_ms > 0).then(|| Duration::from_millis(left_ms).min(pause))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double() {
        let start = Timestamp::from_millis(1_600_000_000_000);
        let failed = |times, last| Failures { times, last };
        for (times, pause_ms) in [(1, 500), (2, 1500), (3, 3500), (10, 511_500)] {
            let failures = failed(times, Some(start));
            let pause = Duration::from_millis(pause_ms);
            assert_eq!(failures.wait(start), Some(pause), "{times}");
            let tick = Duration::from_millis(1);
            assert_eq!(failures.wait(start.plus(pause).minus(tick)), Some(tick));
            assert_eq!(failures.wait(start.plus(pause)), None);
            assert_eq!(failures.wait(start.minus(pause)), Some(pause));
        }
        for times in [32, 33, 1000, i64::MAX] {
            let year = Duration::from_hours(24 * 365);
            assert!(failed(times, Some(start)).wait(start) > Some(year));
        }
        for times in [0, -1, i64::MIN] {
            assert_eq!(failed(times, Some(start)).wait(start), None);
        }
        assert_eq!(failed(5, None).wait(start), None);
    }
}
