//! When credentials were used last, noted now and then.

use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;
use quay_core::StoreError;
use quay_core::accounts::{AccountId, AccountOptions, AccountStore};
use quay_core::runtime::{Runtime, Timestamp};

/// What was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Used {
    Account(AccountId),
    AppToken(i64),
    OAuthToken(i64),
}

/// Notes uses behind the caller's back: a login neither waits for it nor fails by it.
#[derive(Debug)]
pub(crate) struct LastUsed {
    store: Arc<dyn AccountStore>,
    runtime: Runtime,
    /// How often a use is noted; never, where nothing is written.
    every: Option<Duration>,
    accounts: bool,
    /// What has been noted by this process, so that many logins at once write once.
    noted: Cache<Used, Timestamp>,
}

impl LastUsed {
    pub(crate) fn new(store: Arc<dyn AccountStore>, options: &AccountOptions, runtime: Runtime) -> Self {
        Self {
            store,
            runtime,
            every: (!options.read_only).then_some(options.last_accessed_threshold),
            accounts: options.last_accessed,
            noted: Cache::builder()
                .max_capacity(10_000)
                .time_to_live(options.last_accessed_threshold)
                .build(),
        }
    }

    /// Notes that something was used, unless the last use that was noted is not long ago.
    pub(crate) fn note(&self, used: Used, last: Option<Timestamp>) {
        let Some(every) = self.every else { return };
        if matches!(used, Used::Account(_)) && !self.accounts {
            return;
        }
        let now = self.runtime.clock.now();
        let is_recent = |then: Timestamp| then <= now && now < then.plus(every);
        if last.is_some_and(is_recent) || self.noted.get(&used).is_some_and(is_recent) {
            return;
        }
        self.noted.insert(used, now);
        let store = Arc::clone(&self.store);
        self.runtime.spawner.spawn(Box::pin(async move {
            if let Err(error) = write(&*store, used, now).await {
                tracing::debug!(%error, "the use of a credential was not noted");
            }
        }));
    }
}

async fn write(store: &dyn AccountStore, used: Used, now: Timestamp) -> Result<(), StoreError> {
    let mut unit = store.begin_accounts().await?;
    match used {
        Used::Account(id) => unit.accounts().touch_account(id, now).await?,
        Used::AppToken(id) => unit.accounts().touch_app_token(id, now).await?,
        Used::OAuthToken(id) => unit.accounts().touch_oauth_token(id, now).await?,
    }
    unit.commit().await
}
