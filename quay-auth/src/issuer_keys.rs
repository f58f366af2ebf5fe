//! The keys of identity providers (OpenID Connect Discovery 1.0, RFC 7517), kept for a while.

use std::fmt::{self, Display};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_lock::{Semaphore, SemaphoreGuardArc};
use futures::FutureExt as _;
use futures::channel::oneshot;
use futures::future::Shared;
use moka::sync::Cache;
use quay_core::http::{HttpClient, HttpLimits, HttpRequest};
use quay_core::runtime::{Runtime, Timestamp};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::jwt::{Algorithm, CurveKey, PublicKey, Token};

/// Providers are named by users: there may be as many as they like, but not in memory.
const ISSUERS: u64 = 1_000;
/// How many are asked at a time.
const FETCHES: usize = 16;
/// A provider that withdraws a key is heeded after that.
const KEYS_FOR: Duration = Duration::from_hours(1);
/// A key that a provider does not know is not asked for again before that.
const UNKNOWN_FOR: Duration = Duration::from_mins(1);
/// A provider that did not answer is not asked again before that.
const FAILED_FOR: Duration = Duration::from_secs(10);
/// What providers of some size publish is a tenth of that.
const MAX_DISCOVERY: u64 = 64 << 10;
const MAX_KEYS_BYTES: u64 = 256 << 10;
/// More keys are not looked at.
const MAX_KEYS: usize = 100;
/// For each of the two documents.
const TIME: Duration = Duration::from_secs(5);
const MAX_URL: usize = 2_000;

/// Why there is no key to verify a token with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    /// The provider has no such key.
    Key,
    /// The provider does not answer, or not as it must.
    Issuer,
}

/// Whether providers may be reached without TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    TlsOnly,
    PlainAllowed,
}

#[derive(Debug)]
enum Key {
    Rsa(PublicKey),
    Curve(CurveKey),
}

impl Key {
    fn from_jwk(jwk: &Value) -> Option<Self> {
        let rsa = PublicKey::from_jwk(jwk).map(Self::Rsa);
        rsa.or_else(|| CurveKey::from_jwk(jwk).map(Self::Curve))
    }

    /// The kind of the key decides, never the token alone.
    const fn algorithm(&self) -> Algorithm {
        match self {
            Self::Rsa(_) => Algorithm::Rs256,
            Self::Curve(_) => Algorithm::Es256,
        }
    }

    fn signed(&self, token: &Token<'_>) -> bool {
        match self {
            Self::Rsa(key) => token.is_signed_by(key),
            Self::Curve(key) => token.is_signed_by_curve(key),
        }
    }
}

/// A provider's keys, as they were then.
#[derive(Debug)]
pub(crate) struct KeySet {
    keys: Vec<(Option<String>, Key)>,
    fetched: Timestamp,
}

impl KeySet {
    /// The keys that a token may be signed with: those of its id, or the only one there is for its
    /// algorithm when it names none.
    fn of<'a>(&'a self, token: &'a Token<'_>) -> impl Iterator<Item = &'a Key> {
        let fits = move |key: &&(Option<String>, Key)| {
            key.1.algorithm() == token.algorithm && (token.kid.is_none() || token.kid == key.0)
        };
        let is_clear = token.kid.is_some() || self.keys.iter().filter(fits).count() == 1;
        self.keys
            .iter()
            .filter(move |key| is_clear && fits(key))
            .map(|(_, key)| key)
    }

    fn knows(&self, token: &Token<'_>) -> bool {
        self.of(token).next().is_some()
    }

    pub(crate) fn signed(&self, token: &Token<'_>) -> bool {
        self.of(token).any(|key| key.signed(token))
    }
}

type Fetched = Option<Arc<KeySet>>;

/// What is known of a provider.
#[derive(Debug, Default)]
struct State {
    keys: Fetched,
    attempted: Option<Timestamp>,
    pending: Option<Pending>,
}

#[derive(Debug, Default)]
struct Issuer(Mutex<State>);

impl Issuer {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keys of providers by issuer.
#[derive(Debug)]
pub(crate) struct IssuerKeys {
    client: Arc<dyn HttpClient>,
    runtime: Runtime,
    transport: Transport,
    issuers: Cache<String, Arc<Issuer>>,
    fetches: Arc<Semaphore>,
}

type Pending = Shared<oneshot::Receiver<Fetched>>;

/// How to come by the keys.
enum Next {
    Known(Arc<KeySet>),
    Wait(Pending),
    Fetch(Pending, oneshot::Sender<Fetched>, SemaphoreGuardArc),
}

/// Whether something that happened then is recent. A clock that was set back makes it old.
fn is_recent(then: Timestamp, lasts: Duration, now: Timestamp) -> bool {
    then <= now && now < then.plus(lasts)
}

impl IssuerKeys {
    pub(crate) fn new(client: Arc<dyn HttpClient>, runtime: Runtime, transport: Transport) -> Self {
        Self {
            client,
            runtime,
            transport,
            issuers: Cache::builder()
                .max_capacity(ISSUERS)
                .time_to_idle(2 * KEYS_FOR)
                .build(),
            fetches: Arc::new(Semaphore::new(FETCHES)),
        }
    }

    /// Whether a provider can be asked at all.
    pub(crate) fn takes(&self, issuer: &str) -> bool {
        is_issuer(issuer, self.transport)
    }

    /// The keys of a provider, among them one that the token may be signed with. Asks the provider when
    /// they are not known or too old, together with whoever else asks at the time; the answer is kept even
    /// if nobody waits for it any more.
    pub(crate) async fn for_token(&self, issuer: &str, token: &Token<'_>) -> Result<Arc<KeySet>, Missing> {
        if !is_issuer(issuer, self.transport) {
            return Err(Missing::Issuer);
        }
        let known = self.issuers.get_with_by_ref(issuer, Arc::default);
        let now = self.runtime.clock.now();
        let pending = match self.next(&known, token, now)? {
            Next::Known(keys) => return Ok(keys),
            Next::Wait(pending) => pending,
            Next::Fetch(pending, sender, permit) => {
                self.fetch(issuer.to_owned(), Arc::clone(&known), now, sender, permit);
                pending
            }
        };
        match pending.clone().await {
            Ok(Some(keys)) if keys.knows(token) => Ok(keys),
            Ok(Some(_)) => Err(Missing::Key),
            Ok(None) => Err(Missing::Issuer),
            Err(oneshot::Canceled) => {
                // The host dropped the task: the next may try again.
                let mut state = known.state();
                if state.pending.as_ref().is_some_and(|other| other.ptr_eq(&pending)) {
                    state.pending = None;
                }
                Err(Missing::Issuer)
            }
        }
    }

    fn next(&self, issuer: &Issuer, token: &Token<'_>, now: Timestamp) -> Result<Next, Missing> {
        let mut state = issuer.state();
        let keys = state.keys.clone();
        let keys = keys.filter(|keys| is_recent(keys.fetched, KEYS_FOR, now));
        let (pause, missing) = match keys {
            Some(keys) if keys.knows(token) => return Ok(Next::Known(keys)),
            Some(_) => (UNKNOWN_FOR, Missing::Key),
            None => (FAILED_FOR, Missing::Issuer),
        };
        if let Some(pending) = &state.pending {
            return Ok(Next::Wait(pending.clone()));
        }
        if state.attempted.is_some_and(|then| is_recent(then, pause, now)) {
            return Err(missing);
        }
        let Some(permit) = self.fetches.try_acquire_arc() else {
            tracing::warn!("too many identity providers are asked at a time");
            return Err(Missing::Issuer);
        };
        let (sender, receiver) = oneshot::channel();
        state.attempted = Some(now);
        let pending = receiver.shared();
        state.pending = Some(pending.clone());
        Ok(Next::Fetch(pending, sender, permit))
    }

    /// Runs on its own, so that nobody who goes away takes it along.
    fn fetch(
        &self,
        url: String,
        issuer: Arc<Issuer>,
        now: Timestamp,
        sender: oneshot::Sender<Fetched>,
        permit: SemaphoreGuardArc,
    ) {
        let (client, transport) = (Arc::clone(&self.client), self.transport);
        let task = async move {
            let fetched = match fetched(&*client, &url, transport, now).await {
                Ok(keys) => Some(Arc::new(keys)),
                Err(trouble) => {
                    tracing::warn!(issuer = url, %trouble, "an identity provider's keys cannot be read");
                    None
                }
            };
            {
                let mut state = issuer.state();
                state.pending = None;
                if fetched.is_some() {
                    state.keys.clone_from(&fetched);
                }
            }
            drop(permit);
            // Nobody may be waiting any more.
            let _ = sender.send(fetched);
        };
        self.runtime.spawner.spawn(task.boxed());
    }
}

/// Why a provider's keys could not be read, for the operator.
struct Trouble(String);

impl Display for Trouble {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

#[derive(Deserialize)]
struct Jwks {
    keys: Vec<Value>,
}

async fn fetched(
    client: &dyn HttpClient,
    issuer: &str,
    transport: Transport,
    now: Timestamp,
) -> Result<KeySet, Trouble> {
    let url = format!(
        "{}/.well-known/openid-configuration",
        issuer.strip_suffix('/').unwrap_or(issuer)
    );
    let discovery: Discovery = document(client, url, MAX_DISCOVERY).await?;
    // OpenID Connect Discovery, section 4.3: whoever is asked must be who answers.
    if discovery.issuer != issuer {
        return Err(Trouble("the document is another issuer's".to_owned()));
    }
    let is_plain = discovery.jwks_uri.starts_with("http://") && issuer.starts_with("https://");
    if is_plain || !is_url(&discovery.jwks_uri, transport) {
        return Err(Trouble("the address of the keys cannot be used".to_owned()));
    }
    let jwks: Jwks = document(client, discovery.jwks_uri, MAX_KEYS_BYTES).await?;
    let keys = jwks.keys.iter().take(MAX_KEYS).filter_map(|jwk| {
        let kid = jwk.get("kid").and_then(Value::as_str).map(ToOwned::to_owned);
        Key::from_jwk(jwk).map(|key| (kid, key))
    });
    Ok(KeySet {
        keys: keys.collect(),
        fetched: now,
    })
}

/// Redirects are not followed: they would let whoever controls one answer for the issuer.
async fn document<T: DeserializeOwned>(
    client: &dyn HttpClient,
    url: String,
    max_bytes: u64,
) -> Result<T, Trouble> {
    let limits = HttpLimits::default()
        .with_max_response_bytes(max_bytes)
        .with_time(TIME)
        .with_max_redirects(0);
    let request = HttpRequest::get(url).with_header("accept", "application/json");
    let response = client.send(request, &limits).await;
    let response = response.map_err(|error| {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
        Trouble(format!("{error}{}", cause.unwrap_or_default()))
    })?;
    if response.status != 200 {
        return Err(Trouble(format!("the answer's status is {}", response.status)));
    }
    if u64::try_from(response.body.len()).map_or(true, |bytes| bytes > max_bytes) {
        return Err(Trouble("the answer is too large".to_owned()));
    }
    serde_json::from_slice(&response.body).map_err(|error| Trouble(format!("read the answer: {error}")))
}

/// OpenID Connect Core, section 2: an issuer is a URL without query and fragment.
fn is_issuer(text: &str, transport: Transport) -> bool {
    is_url(text, transport) && !text.contains(['?', '#'])
}

fn is_url(text: &str, transport: Transport) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| {
        let plain = text.strip_prefix("http://");
        plain.filter(|_| transport == Transport::PlainAllowed)
    });
    rest.is_some_and(|rest| !rest.is_empty())
        && text.len() <= MAX_URL
        && text.bytes().all(|byte| byte.is_ascii_graphic())
        && !text.contains(['@', '\\'])
}
