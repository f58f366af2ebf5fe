//! The registry protocol as a `tower::Service`.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::header::{EXPECT, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response};
use http_body::Body;
use quay_core::auth::{Authentication, Authenticator, Identity};
use quay_core::runtime::Runtime;
use quay_core::{Action, Caller, CredentialKind, Error, ErrorKind, Principal, Registry};
use semver::VersionReq;
use tokio::sync::Semaphore;
use tracing::Instrument as _;

use crate::attempts::LoginAttempts;
use crate::body::ResponseBody;
use crate::credentials::Presented;
use crate::docker_version;
use crate::linger::Lingering;
use crate::protocol;
use crate::response::{Answer, bad_path, failure, method_not_allowed, no_such_path, without_body};
use crate::route::{NoRoute, Route};

/// The client's address, put into a request's extensions by the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

/// Ties together what is logged of one request: what a proxy in front has called it, or else a number of
/// ours. Put into the request's extensions by the host, if it has one already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(pub Arc<str>);

/// Makes ids that no other process makes.
#[derive(Debug)]
pub(crate) struct RequestIds {
    prefix: String,
    next: AtomicU64,
}

impl RequestIds {
    pub(crate) fn new(runtime: &Runtime) -> Self {
        Self {
            prefix: runtime.random_id(),
            next: AtomicU64::new(0),
        }
    }

    /// Gives a request its id, unless the host has.
    pub(crate) fn number<B>(&self, request: &mut Request<B>) {
        if request.extensions().get::<RequestId>().is_none() {
            let id = self.of(request.headers());
            request.extensions_mut().insert(id);
        }
    }

    fn of(&self, headers: &HeaderMap) -> RequestId {
        let given = headers
            .get("x-request-id")
            .and_then(|value| value.to_str().ok())
            .filter(|id| (1..=128).contains(&id.len()));
        RequestId(match given {
            Some(id) => id.into(),
            None => format!("{}-{}", self.prefix, self.next.fetch_add(1, Ordering::Relaxed)).into(),
        })
    }
}

/// What the protocol's services are told besides the registry.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Settings {
    /// Asked in turn who is calling. Without any, everybody is anonymous.
    pub authenticators: Vec<Arc<dyn Authenticator>>,
    /// How long a request's body may pause.
    pub body_idle: Duration,
    /// Versions of docker that are told that there is no version 2 here: `BLACKLIST_V2_SPEC`.
    pub refused_docker_versions: Option<VersionReq>,
    /// Whether `GET /v2/` is answered at all: `FEATURE_ADVERTISE_V2`.
    pub advertise_v2: bool,
    /// Counts failed logins by address; the service counts for itself where there is none.
    pub login_attempts: Option<LoginAttempts>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            authenticators: Vec::new(),
            body_idle: Duration::from_mins(1),
            refused_docker_versions: None,
            advertise_v2: true,
            login_attempts: None,
        }
    }
}

impl Settings {
    /// Sets who is asked who is calling.
    #[must_use]
    pub fn with_authenticators(mut self, authenticators: Vec<Arc<dyn Authenticator>>) -> Self {
        self.authenticators = authenticators;
        self
    }

    /// Sets how long a request's body may pause.
    #[must_use]
    pub const fn with_body_idle(mut self, idle: Duration) -> Self {
        self.body_idle = idle;
        self
    }

    /// Sets which versions of docker are told that there is no version 2 here.
    #[must_use]
    pub fn with_refused_docker_versions(mut self, refused: Option<VersionReq>) -> Self {
        self.refused_docker_versions = refused;
        self
    }

    /// Sets whether `GET /v2/` is answered at all.
    #[must_use]
    pub const fn with_advertise_v2(mut self, advertise: bool) -> Self {
        self.advertise_v2 = advertise;
        self
    }

    /// Sets what counts failed logins by address, together with other services.
    #[must_use]
    pub fn with_login_attempts(mut self, attempts: LoginAttempts) -> Self {
        self.login_attempts = Some(attempts);
        self
    }
}

/// The OCI distribution protocol over a [`Registry`], below `/v2`.
///
/// Cheap to clone. Answers every request with a response; it has no errors of its own. Needs a tokio
/// runtime with its timer.
#[derive(Debug, Clone)]
pub struct RegistryService {
    registry: Registry,
    settings: Arc<Settings>,
    /// Room for manifests that are being taken in, in KiB.
    manifests: Arc<Semaphore>,
    request_ids: Arc<RequestIds>,
}

impl RegistryService {
    /// A service over `registry`.
    #[must_use]
    pub fn new(registry: Registry, settings: Settings) -> Self {
        let request_ids = RequestIds::new(registry.runtime());
        Self {
            registry,
            settings: Arc::new(settings),
            manifests: Arc::new(Semaphore::new(protocol::MANIFESTS_KIB as usize)),
            request_ids: Arc::new(request_ids),
        }
    }

    async fn answer<B>(self, request: Request<B>) -> Answer
    where
        B: Body<Data = Bytes> + Send + 'static,
    {
        let (parts, body) = request.into_parts();
        // A client that waits to be asked for its body has not sent any, and must not be asked.
        let body = Lingering::new(body, !parts.headers.contains_key(EXPECT));
        match Route::parse(parts.uri.path()) {
            Ok(route) => self.exchange(&route, &parts, body).await,
            Err(NoRoute::Unknown) => no_such_path(),
            Err(NoRoute::Encoded) => bad_path(),
        }
    }

    async fn exchange<B>(&self, route: &Route, parts: &Parts, body: B) -> Answer
    where
        B: Body<Data = Bytes> + Send + 'static,
    {
        if *route == Route::Base && !self.settings.advertise_v2 {
            return no_such_path();
        }
        let caller = match self.caller(parts).await {
            Ok(caller) => caller,
            Err(error) => return failure(&error, self.challenge(route, &parts.method).as_deref()),
        };
        let refused = self.settings.refused_docker_versions.as_ref();
        if *route == Route::Base && docker_version::is_refused(caller.user_agent.as_deref(), refused) {
            return no_such_path();
        }
        let exchange = protocol::Exchange {
            registry: &self.registry,
            caller: &caller,
            parts,
            body_idle: self.settings.body_idle,
            manifests: &self.manifests,
        };
        match exchange.answer(route, body).await {
            Ok(Some(answer)) => answer,
            Ok(None) => method_not_allowed(route.methods()),
            Err(error) => {
                let challenge = match error.kind() {
                    ErrorKind::Unauthorized => self.challenge(route, &parts.method),
                    _ => None,
                };
                protocol::with_upload(failure(&error, challenge.as_deref()), route, &error)
            }
        }
    }

    async fn caller(&self, parts: &Parts) -> Result<Caller, Error> {
        let presented = Presented::from_headers(&parts.headers);
        let identity = self.identity(&presented).await?;
        Ok(accompanied(Caller::identified(identity), parts))
    }

    async fn identity(&self, presented: &Presented) -> Result<Identity, Error> {
        let refused = |reason: &str| Error::new(ErrorKind::Unauthorized, reason);
        for authenticator in &self.settings.authenticators {
            match authenticator.authenticate(presented.as_credentials()).await? {
                Authentication::Proven(identity) => return Ok(identity),
                Authentication::Denied(reason) => return Err(refused(reason)),
                Authentication::Throttled { retry_after } => return Err(Error::throttled(retry_after)),
                _ => {}
            }
        }
        let nobody = Identity::new(Principal::Anonymous, CredentialKind::None);
        match presented {
            Presented::None => Ok(nobody),
            // An open registry asks nobody, so whatever a client sends along is as good as nothing.
            _ if self.settings.authenticators.is_empty() => Ok(nobody),
            _ => Err(refused("the credentials are not valid here")),
        }
    }

    /// How a caller is asked for credentials, with the scope that the request would have needed.
    fn challenge(&self, route: &Route, method: &Method) -> Option<String> {
        let action = match (route, method) {
            // Asking how an upload stands is part of pushing.
            (Route::Upload { .. } | Route::Uploads { .. }, _) => Action::Push,
            (_, &Method::GET | &Method::HEAD) => Action::Pull,
            (_, &Method::DELETE) => Action::Delete,
            _ => Action::Push,
        };
        let scope = route
            .name()
            .and_then(|name| self.registry.parse_name(name).ok())
            .map(|name| format!("repository:{}:{}", name.as_asked(), action.scope_actions()));
        self.settings
            .authenticators
            .first()
            .map(|authenticator| authenticator.challenge(scope.as_deref()))
    }
}

/// Adds to a caller where the request came from.
pub(crate) fn accompanied(caller: Caller, parts: &Parts) -> Caller {
    let address = parts.extensions.get::<ClientAddress>().map(|address| address.0);
    let user_agent = parts
        .headers
        .get(USER_AGENT)
        .and_then(|value| value.to_str().ok())
        .filter(|user_agent| !user_agent.is_empty())
        .map(Arc::from);
    let request_id = parts.extensions.get::<RequestId>().map(|id| Arc::clone(&id.0));
    caller
        .with_client_address(address)
        .with_user_agent(user_agent)
        .with_request_id(request_id)
}

pub(crate) fn request_span<B>(request: &Request<B>) -> tracing::Span {
    let id = request.extensions().get::<RequestId>();
    tracing::debug_span!(
        "request",
        id = id.map_or("", |id| &*id.0),
        method = %request.method(),
        path = request.uri().path(),
    )
}

impl Route {
    fn name(&self) -> Option<&str> {
        match self {
            Self::Base | Self::Catalog => None,
            Self::Extensions { name } => name.as_deref(),
            Self::Tags { name }
            | Self::Manifest { name, .. }
            | Self::Uploads { name }
            | Self::Upload { name, .. }
            | Self::Blob { name, .. }
            | Self::Referrers { name, .. }
            | Self::TagHistory { name, .. } => Some(name),
        }
    }
}

impl<B> tower_service::Service<Request<B>> for RegistryService
where
    B: Body<Data = Bytes> + Send + 'static,
{
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let this = self.clone();
        async move {
            let head = request.method() == Method::HEAD;
            this.request_ids.number(&mut request);
            let span = request_span(&request);
            let response = this.answer(request).instrument(span.clone()).await;
            span.in_scope(|| tracing::debug!(status = response.status().as_u16(), "answered"));
            Ok(if head { without_body(response) } else { response })
        }
        .boxed()
    }
}
