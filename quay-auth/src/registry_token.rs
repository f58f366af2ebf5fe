//! Tokens for the registry protocol: issued, and taken (registry-protocol, section 4).

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use moka::sync::Cache;
use quay_core::accounts::{AccountOptions, AccountStore, TokenIssuer, TokenRequest};
use quay_core::auth::{Authentication, Authenticator, Credentials, Identity};
use quay_core::runtime::{Runtime, Timestamp};
use quay_core::{CredentialKind, Namespace, Principal, StoreError};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::challenge::challenge;
use crate::jwt::{Audience, Token, Validity};
use crate::keys::InstanceKey;
use crate::registry_claims::{AccessEntry, Context, TokenNames, claims, identity};
use crate::token_keys::{KeyLookup, TokenKeys};

/// How tokens for the registry protocol are issued and taken.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RegistryTokenOptions {
    /// `SERVER_HOSTNAME`: whom tokens must be for.
    pub hostname: String,
    /// What links begin with; clients are sent to `/v2/auth` below it.
    pub base_url: String,
    /// `INSTANCE_SERVICE_KEY_SERVICE`: who issues tokens, and whose keys they are signed with.
    pub key_service: String,
    /// How the names in tokens are to be read.
    pub names: TokenNames,
    /// `REGISTRY_JWT_AUTH_MAX_FRESH_S`: tokens that last longer are refused. 3660 seconds.
    pub max_lifetime: Duration,
    /// How long a key is believed to be as it was looked up: a key that is deleted stops its tokens after
    /// that. 30 seconds.
    pub keys_for: Duration,
    /// How long an id is believed to have no key. 2 seconds.
    pub unknown_keys_for: Duration,
    /// How many tokens are remembered as verified.
    pub remembered_tokens: u64,
}

impl RegistryTokenOptions {
    /// Quay's values for a registry with these options. `library` is the namespace of names that have none,
    /// if there is one.
    #[must_use]
    pub fn new(options: &AccountOptions, library: Option<Namespace>) -> Self {
        Self {
            hostname: options.hostname.clone(),
            base_url: options.base_url.clone(),
            key_service: options.key_service.clone(),
            names: TokenNames::new(options, library),
            max_lifetime: Duration::from_mins(61),
            keys_for: Duration::from_secs(30),
            unknown_keys_for: Duration::from_secs(2),
            remembered_tokens: 10_000,
        }
    }

    /// Changes how long tokens may last.
    #[must_use]
    pub const fn with_max_lifetime(mut self, max_lifetime: Duration) -> Self {
        self.max_lifetime = max_lifetime;
        self
    }
}

/// Issues tokens for the registry protocol, and takes those that any instance of this registry issued.
///
/// As an authenticator it takes bearer tokens only; callers who send nothing are anonymous, and what they
/// may do is the authorizer's decision. A token that was verified is remembered until it ends, so that a
/// pull costs neither a verification nor a statement; its key is looked up again all the same, so that a
/// key that is deleted or expires stops its tokens.
pub struct RegistryTokens {
    options: RegistryTokenOptions,
    runtime: Runtime,
    signing: RwLock<InstanceKey>,
    keys: TokenKeys,
    verified: Cache<[u8; 32], Arc<Verified>>,
}

impl fmt::Debug for RegistryTokens {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RegistryTokens")
            .field("options", &self.options)
            .field("signing", &self.signing)
            .finish_non_exhaustive()
    }
}

/// A token whose signature has been verified.
#[derive(Debug)]
struct Verified {
    kid: String,
    validity: Validity,
    identity: Identity,
}

#[derive(Serialize)]
struct Issued<'a> {
    jti: &'a str,
    iss: &'a str,
    aud: Option<&'a str>,
    nbf: i64,
    iat: i64,
    exp: i64,
    sub: Option<&'a str>,
    access: &'a serde_json::Value,
    context: &'a serde_json::Value,
}

#[derive(Deserialize)]
struct Claims {
    jti: Option<String>,
    iss: String,
    aud: Audience,
    nbf: i64,
    iat: i64,
    exp: i64,
    sub: Option<String>,
    access: Vec<AccessEntry>,
    context: Context,
}

const MALFORMED: &str = "Invalid bearer token format";
const NOT_VALID: &str = "Invalid bearer token";
const NOT_NOW: &str = "Bearer token is expired or not yet valid";
const NOT_BASIC: &str = "Basic credentials are not accepted here, get a bearer token first";

/// The characters of registry-protocol, section 4; the parts themselves are checked when they are decoded.
fn is_well_formed(token: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"+-_/".contains(&byte))
    };
    token.contains('.') && token.split('.').all(part)
}

impl RegistryTokens {
    /// Signs with `key`, whose public half must be among the store's service keys, approved; knows the
    /// service keys in `store`.
    #[must_use]
    pub fn new(
        key: InstanceKey,
        options: RegistryTokenOptions,
        store: Arc<dyn AccountStore>,
        runtime: Runtime,
    ) -> Self {
        Self::with_lookup(key, options, Box::new(store), runtime)
    }

    pub(crate) fn with_lookup(
        key: InstanceKey,
        options: RegistryTokenOptions,
        lookup: Box<dyn KeyLookup>,
        runtime: Runtime,
    ) -> Self {
        let keys = TokenKeys::new(
            options.key_service.clone(),
            options.keys_for,
            options.unknown_keys_for,
            lookup,
            Arc::clone(&runtime.clock),
        );
        let verified = Cache::builder()
            .max_capacity(options.remembered_tokens)
            .time_to_live(options.max_lifetime)
            .build();
        Self {
            options,
            runtime,
            signing: RwLock::new(key),
            keys,
            verified,
        }
    }

    /// Signs with another key from now on. Tokens that the old one signed count for as long as its service
    /// key can be used.
    pub fn rotate(&self, key: InstanceKey) {
        *self.signing.write().unwrap_or_else(PoisonError::into_inner) = key;
    }

    /// The key that is signed with now.
    #[must_use]
    pub fn signing_key(&self) -> InstanceKey {
        self.signing
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) const fn options(&self) -> &RegistryTokenOptions {
        &self.options
    }

    /// Whether a key that may be used now signed a token, of whatever kind it is.
    pub(crate) async fn is_signed(&self, token: &Token<'_>) -> Result<bool, StoreError> {
        let Some(kid) = &token.kid else {
            return Ok(false);
        };
        let signed = self.keys.with_usable(kid, |key| token.is_signed_by(key)).await?;
        Ok(signed == Some(true))
    }

    async fn take(&self, token: &str) -> Result<Authentication, StoreError> {
        if !is_well_formed(token) {
            return Ok(Authentication::Denied(MALFORMED));
        }
        let now = self.runtime.clock.now();
        let fingerprint: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        if let Some(known) = self.verified.get(&fingerprint) {
            if !known.validity.holds(now) {
                self.verified.invalidate(&fingerprint);
                return Ok(Authentication::Denied(NOT_NOW));
            }
            return Ok(match self.keys.with_usable(&known.kid, |_| ()).await? {
                Some(()) => Authentication::Proven(known.identity.clone()),
                None => Authentication::Denied(NOT_VALID),
            });
        }
        let Some((token, kid)) = Token::parse(token).and_then(|mut token| {
            let kid = token.kid.take()?;
            Some((token, kid))
        }) else {
            return Ok(Authentication::Denied(NOT_VALID));
        };
        // Everything that is cheap comes before the key, which may cost a statement.
        let read = match self.read(&token, now) {
            Ok(read) => read,
            Err(reason) => return Ok(Authentication::Denied(reason)),
        };
        let signed = self.keys.with_usable(&kid, |key| token.is_signed_by(key)).await?;
        if signed != Some(true) {
            return Ok(Authentication::Denied(NOT_VALID));
        }
        let (validity, identity) = read;
        let verified = Verified {
            kid,
            validity,
            identity: identity.clone(),
        };
        self.verified.insert(fingerprint, Arc::new(verified));
        Ok(Authentication::Proven(identity))
    }

    /// What a token says, if that could be true now.
    fn read(&self, token: &Token<'_>, now: Timestamp) -> Result<(Validity, Identity), &'static str> {
        let claims: Claims = token.claims().ok_or(NOT_VALID)?;
        let validity = Validity {
            exp: claims.exp,
            nbf: claims.nbf,
            iat: claims.iat,
        };
        if !validity.holds(now) {
            return Err(NOT_NOW);
        }
        let lifetime = claims
            .exp
            .checked_sub(claims.iat)
            .and_then(|lifetime_s| u64::try_from(lifetime_s).ok())
            .map(Duration::from_secs);
        let expected = claims.iss == self.options.key_service
            && claims.aud.includes(&self.options.hostname)
            && lifetime.is_some_and(|lifetime| lifetime <= self.options.max_lifetime);
        if !expected {
            return Err(NOT_VALID);
        }
        let issued = Timestamp::from_millis(claims.iat.saturating_mul(1000));
        let identity = identity(
            claims.sub.as_deref(),
            claims.jti.as_deref(),
            issued,
            &claims.access,
            &claims.context,
            &self.options.names,
        );
        Ok((validity, identity.ok_or(NOT_VALID)?))
    }
}

#[async_trait]
impl TokenIssuer for RegistryTokens {
    fn key_id(&self) -> Option<String> {
        Some(self.signing_key().kid().to_owned())
    }

    /// Keeps the calling thread busy for about a millisecond.
    async fn issue(&self, request: &TokenRequest<'_>) -> Result<String, StoreError> {
        let grants: Vec<AccessEntry> = request
            .grants
            .iter()
            .map(|(name, actions)| {
                let actions = actions.iter().map(|&action| action.to_owned()).collect();
                AccessEntry::repository(name.as_str(), actions)
            })
            .collect();
        let claims = claims(
            request.identity,
            request.account,
            request.audience.map(ToOwned::to_owned),
            &grants,
            request.issued,
            request.lifetime,
        );
        let issued_s = claims.issued.as_millis().div_euclid(1000);
        let lifetime_s = i64::try_from(claims.lifetime.as_secs()).unwrap_or(i64::MAX);
        let mut id = [0; 16];
        self.runtime.random.fill(&mut id);
        self.signing_key().sign(&Issued {
            jti: &URL_SAFE_NO_PAD.encode(id),
            iss: &self.options.key_service,
            aud: claims.audience.as_deref(),
            nbf: issued_s,
            iat: issued_s,
            exp: issued_s.saturating_add(lifetime_s),
            sub: claims.subject.as_deref(),
            access: &claims.access,
            context: &claims.context,
        })
    }
}

#[async_trait]
impl Authenticator for RegistryTokens {
    async fn authenticate(&self, credentials: Credentials<'_>) -> Result<Authentication, StoreError> {
        match credentials {
            Credentials::None => {
                let nobody = Identity::new(Principal::Anonymous, CredentialKind::None);
                Ok(Authentication::Proven(nobody))
            }
            Credentials::Bearer(token) => self.take(token).await,
            Credentials::Basic { .. } => Ok(Authentication::Denied(NOT_BASIC)),
            _ => Ok(Authentication::Denied(MALFORMED)),
        }
    }

    fn challenge(&self, scope: Option<&str>) -> String {
        challenge(&self.options.base_url, &self.options.hostname, scope)
    }
}

#[cfg(test)]
mod tests;
