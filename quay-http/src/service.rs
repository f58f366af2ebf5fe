//! The registry protocol as a `tower::Service`.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::header::USER_AGENT;
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use quay_core::auth::{Authentication, Authenticator};
use quay_core::{Action, Caller, Error, ErrorKind, Principal, Registry};

use crate::body::ResponseBody;
use crate::credentials::Presented;
use crate::protocol;
use crate::response::{Answer, bad_path, failure, method_not_allowed, no_such_path};
use crate::route::{NoRoute, Route};

/// The client's address, put into a request's extensions by the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

/// What the protocol's service is told besides the registry.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Settings {
    /// Asked in turn who is calling. Without any, everybody is anonymous.
    pub authenticators: Vec<Arc<dyn Authenticator>>,
    /// How long a request's body may pause.
    pub body_idle: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            authenticators: Vec::new(),
            body_idle: Duration::from_mins(1),
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
}

/// The OCI distribution protocol over a [`Registry`], below `/v2`.
///
/// Cheap to clone. Answers every request with a response; it has no errors of its own. Needs a tokio
/// runtime with its timer.
#[derive(Debug, Clone)]
pub struct RegistryService {
    registry: Registry,
    settings: Arc<Settings>,
}

impl RegistryService {
    /// A service over `registry`.
    #[must_use]
    pub fn new(registry: Registry, settings: Settings) -> Self {
        Self {
            registry,
            settings: Arc::new(settings),
        }
    }

    async fn answer<B>(self, request: Request<B>) -> Answer
    where
        B: Body<Data = Bytes> + Send + 'static,
    {
        let route = match Route::parse(request.uri().path()) {
            Ok(route) => route,
            Err(NoRoute::Unknown) => return no_such_path(),
            Err(NoRoute::Encoded) => return bad_path(),
        };
        let (parts, body) = request.into_parts();
        let caller = match self.caller(&parts).await {
            Ok(caller) => caller,
            Err(error) => return failure(&error, self.challenge(&route, &parts.method).as_deref()),
        };
        let exchange = protocol::Exchange {
            registry: &self.registry,
            caller: &caller,
            parts: &parts,
            body_idle: self.settings.body_idle,
        };
        match exchange.answer(&route, body).await {
            Ok(Some(answer)) => answer,
            Ok(None) => method_not_allowed(route.methods()),
            Err(error) => {
                let challenge = match error.kind() {
                    ErrorKind::Unauthorized => self.challenge(&route, &parts.method),
                    _ => None,
                };
                protocol::with_upload(failure(&error, challenge.as_deref()), &route, &error)
            }
        }
    }

    async fn caller(&self, parts: &http::request::Parts) -> Result<Caller, Error> {
        let presented = Presented::from_headers(&parts.headers);
        let (principal, kind) = self.principal(&presented).await?;
        let address = parts.extensions.get::<ClientAddress>().map(|address| address.0);
        let user_agent = parts
            .headers
            .get(USER_AGENT)
            .and_then(|value| value.to_str().ok())
            .map(Arc::from);
        Ok(Caller::new(principal)
            .with_credential(kind, None)
            .with_client_address(address)
            .with_user_agent(user_agent))
    }

    async fn principal(
        &self,
        presented: &Presented,
    ) -> Result<(Principal, quay_core::CredentialKind), Error> {
        let refused = |reason: &str| Error::new(ErrorKind::Unauthorized, reason);
        for authenticator in &self.settings.authenticators {
            match authenticator.authenticate(presented.as_credentials()).await? {
                Authentication::Proven { principal, kind } => return Ok((principal, kind)),
                Authentication::Denied(reason) => return Err(refused(reason)),
                _ => {}
            }
        }
        match presented {
            Presented::None => Ok((Principal::Anonymous, quay_core::CredentialKind::None)),
            // An open registry asks nobody, so whatever a client sends along is as good as nothing.
            _ if self.settings.authenticators.is_empty() => {
                Ok((Principal::Anonymous, quay_core::CredentialKind::None))
            }
            _ => Err(refused("the credentials are not valid here")),
        }
    }

    /// How a caller is asked for credentials, with the scope that the request would have needed.
    fn challenge(&self, route: &Route, method: &Method) -> Option<String> {
        let action = match *method {
            Method::GET | Method::HEAD => Action::Pull,
            Method::DELETE => Action::Delete,
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

impl Route {
    fn name(&self) -> Option<&str> {
        match self {
            Self::Base | Self::Catalog => None,
            Self::Tags { name }
            | Self::Manifest { name, .. }
            | Self::Uploads { name }
            | Self::Upload { name, .. }
            | Self::Blob { name, .. }
            | Self::Referrers { name, .. } => Some(name),
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

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let this = self.clone();
        async move {
            let head = request.method() == Method::HEAD;
            let mut response = this.answer(request).await;
            if head && response.status() != StatusCode::NOT_MODIFIED {
                // The body's length is the answer, the body is not sent.
                let length = response.body().size_hint().exact().unwrap_or_default();
                response
                    .headers_mut()
                    .entry(http::header::CONTENT_LENGTH)
                    .or_insert_with(|| length.into());
                *response.body_mut() = ResponseBody::empty();
            }
            Ok(response)
        }
        .boxed()
    }
}
