//! The keys that tokens for the registry protocol may be signed with, kept for a while.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use moka::sync::Cache;
use quay_core::StoreError;
use quay_core::accounts::{AccountStore, ServiceKey};
use quay_core::runtime::{Clock, Timestamp};

use crate::jwt::PublicKey;

/// A cluster has one key per instance, and some that run out.
const KNOWN_KEYS: u64 = 1_000;
/// Ids that no key has are sent by strangers: they must not push out those that one has.
const UNKNOWN_KEYS: u64 = 10_000;

/// Where keys are looked up.
#[async_trait]
pub(crate) trait KeyLookup: Debug + Send + Sync {
    async fn service_key(&self, kid: &str) -> Result<Option<ServiceKey>, StoreError>;
}

#[async_trait]
impl KeyLookup for Arc<dyn AccountStore> {
    async fn service_key(&self, kid: &str) -> Result<Option<ServiceKey>, StoreError> {
        self.reader().service_key(kid).await
    }
}

/// A key that is approved and of the right service.
#[derive(Debug)]
struct Known {
    key: PublicKey,
    expires: Option<Timestamp>,
    looked_up: Timestamp,
}

/// Keys by their id, as they were a moment ago.
#[derive(Debug)]
pub(crate) struct TokenKeys {
    lookup: Box<dyn KeyLookup>,
    clock: Arc<dyn Clock>,
    service: String,
    known: Cache<String, Arc<Known>>,
    known_for: Duration,
    unknown: Cache<String, Timestamp>,
    unknown_for: Duration,
}

/// Whether something that was looked up then is still fresh. A clock that was set back makes it stale.
fn is_fresh(looked_up: Timestamp, lasts: Duration, now: Timestamp) -> bool {
    looked_up <= now && now < looked_up.plus(lasts)
}

/// Ids are hexadecimal SHA-256 sums. Nothing else is worth a question to the database.
fn is_kid(text: &str) -> bool {
    text.len() == 64
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

impl TokenKeys {
    pub(crate) fn new(
        service: String,
        known_for: Duration,
        unknown_for: Duration,
        lookup: Box<dyn KeyLookup>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            lookup,
            clock,
            service,
            // The caches' own time is a second bound, for clocks that are set back.
            known: Cache::builder()
                .max_capacity(KNOWN_KEYS)
                .time_to_live(known_for)
                .build(),
            known_for,
            unknown: Cache::builder()
                .max_capacity(UNKNOWN_KEYS)
                .time_to_live(unknown_for)
                .build(),
            unknown_for,
        }
    }

    /// Runs `with` on the key of this id, if it may be used now. Costs a statement when the answer is not
    /// fresh any more.
    pub(crate) async fn with_usable<T>(
        &self,
        kid: &str,
        with: impl FnOnce(&PublicKey) -> T + Send,
    ) -> Result<Option<T>, StoreError> {
        if !is_kid(kid) {
            return Ok(None);
        }
        let now = self.clock.now();
        let is_alive = |known: &Known| known.expires.is_none_or(|expires| now < expires);
        if let Some(known) = self.known.get(kid)
            && is_fresh(known.looked_up, self.known_for, now)
        {
            return Ok(is_alive(&known).then(|| with(&known.key)));
        }
        if let Some(looked_up) = self.unknown.get(kid)
            && is_fresh(looked_up, self.unknown_for, now)
        {
            return Ok(None);
        }
        let Some(known) = self.look_up(kid, now).await? else {
            self.known.invalidate(kid);
            self.unknown.insert(kid.to_owned(), now);
            return Ok(None);
        };
        let known = Arc::new(known);
        self.known.insert(kid.to_owned(), Arc::clone(&known));
        self.unknown.invalidate(kid);
        Ok(is_alive(&known).then(|| with(&known.key)))
    }

    async fn look_up(&self, kid: &str, now: Timestamp) -> Result<Option<Known>, StoreError> {
        let row = self.lookup.service_key(kid).await?;
        let Some(row) = row.filter(|row| {
            row.approval.is_some()
                && row.service == self.service
                && row.expires.is_none_or(|expires| now < expires)
        }) else {
            return Ok(None);
        };
        let jwk = serde_json::from_str(&row.jwk).ok();
        let Some(key) = jwk.as_ref().and_then(PublicKey::from_jwk) else {
            tracing::warn!(kid, "a service key is no public RSA key of at least 2048 bits");
            return Ok(None);
        };
        Ok(Some(Known {
            key,
            expires: row.expires,
            looked_up: now,
        }))
    }
}
