//! OAuth access tokens (`quay-api.md`, section 2.3).

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use moka::sync::Cache;
use quay_core::accounts::{AccountKey, AccountKind, AccountOptions, AccountStore, OAuthTokenKey, ScopeSet};
use quay_core::auth::{Authentication, Authenticator, Credentials, Identity};
use quay_core::runtime::Runtime;
use quay_core::{Access, CredentialKind, Principal, StoreError};

use crate::challenge::quotable;
use crate::last_used::{LastUsed, Used};
use crate::password_checks::PasswordChecks;

const NAME_LEN: usize = 20;
/// A name and a secret of 20 characters; those of older applications may be longer.
const TOKEN_LEN: std::ops::RangeInclusive<usize> = 40..=128;
/// When to come back while too many wait for a hash.
const BUSY: Duration = Duration::from_secs(1);

/// How many wrong secrets are compared with one token's before no more are, for as long as the pause is. A right
/// one that has been used lately counts on.
const FAILURES: u32 = 20;
const PAUSE: Duration = Duration::from_mins(1);
/// Tokens whose failures are remembered.
const REMEMBERED: u64 = 10_000;

const NOT_VALID: &str = "OAuth access token could not be validated";
const EXPIRED: &str = "OAuth access token has expired";
const DISABLED: &str = "Granter of the oauth access token is disabled";

/// Takes OAuth access tokens as bearer tokens, for the REST API. What is no such token by its look is left
/// to other authenticators.
///
/// The token's row and its user's are read each time, so that a token that is deleted and a user who is
/// switched off stop at once; only the comparison with the hash is remembered. Cheap to clone.
#[derive(Debug, Clone)]
pub struct OAuthBearer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Arc<dyn AccountStore>,
    checks: Arc<PasswordChecks>,
    last_used: LastUsed,
    /// Wrong secrets of late, by the token's id.
    failed: Cache<i64, Arc<AtomicU32>>,
    hostname: String,
    superusers: bool,
    runtime: Runtime,
}

/// Whether a text looks like an OAuth access token.
fn is_token(text: &str) -> bool {
    TOKEN_LEN.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

impl OAuthBearer {
    /// Knows the tokens in `store`.
    #[must_use]
    pub fn new(
        store: Arc<dyn AccountStore>,
        checks: Arc<PasswordChecks>,
        options: &AccountOptions,
        runtime: Runtime,
    ) -> Self {
        Self(Arc::new(Inner {
            last_used: LastUsed::new(Arc::clone(&store), options, runtime.clone()),
            failed: Cache::builder()
                .max_capacity(REMEMBERED)
                .time_to_live(PAUSE)
                .build(),
            store,
            checks,
            hostname: options.hostname.clone(),
            superusers: options.superusers_enabled,
            runtime,
        }))
    }

    /// Judges a token, whatever it was sent as.
    pub(crate) async fn judge(&self, token: &str) -> Result<Authentication, StoreError> {
        let inner = &*self.0;
        let Some((name, secret)) = token.split_at_checked(NAME_LEN).filter(|_| is_token(token)) else {
            return Ok(Authentication::Denied(NOT_VALID));
        };
        let mut reader = inner.store.reader();
        let Some((row, _)) = reader.oauth_token(OAuthTokenKey::Name(name)).await? else {
            return Ok(Authentication::Denied(NOT_VALID));
        };
        if !inner.checks.is_known(secret, &row.hash) {
            let failed = inner.failed.get_with(row.id, || Arc::new(AtomicU32::new(0)));
            if failed.load(Ordering::Relaxed) >= FAILURES {
                return Ok(Authentication::Throttled { retry_after: PAUSE });
            }
            let Some(permit) = inner.checks.permit().await else {
                return Ok(Authentication::Throttled { retry_after: BUSY });
            };
            let (is_right, _) = inner.checks.compare(permit, secret, &row.hash).await?;
            if !is_right {
                failed.fetch_add(1, Ordering::Relaxed);
                return Ok(Authentication::Denied(NOT_VALID));
            }
        }
        // From here on the caller has proven to hold the token, and may be told what is wrong with it.
        if row.expires <= inner.runtime.clock.now() {
            return Ok(Authentication::Denied(EXPIRED));
        }
        let account = reader.account(AccountKey::Id(row.account)).await?;
        let Some(account) = account.filter(|account| account.enabled && account.kind == AccountKind::User)
        else {
            return Ok(Authentication::Denied(DISABLED));
        };
        inner.last_used.note(Used::OAuthToken(row.id), row.last_accessed);
        // Where there are no superusers a set that names their scope is void.
        let scopes = ScopeSet::parse(&row.scopes.to_string(), inner.superusers);
        let identity = Identity::new(
            Principal::User(account.name.as_str().into()),
            CredentialKind::OAuthToken,
        )
        .with_credential_id(row.uuid)
        .with_access(Access::Scopes(scopes));
        Ok(Authentication::Proven(identity))
    }
}

#[async_trait]
impl Authenticator for OAuthBearer {
    async fn authenticate(&self, credentials: Credentials<'_>) -> Result<Authentication, StoreError> {
        match credentials {
            Credentials::Bearer(token) if is_token(token) => self.judge(token).await,
            _ => Ok(Authentication::NotMine),
        }
    }

    fn challenge(&self, _: Option<&str>) -> String {
        format!("Bearer realm=\"{}\"", quotable(&self.0.hostname))
    }
}
