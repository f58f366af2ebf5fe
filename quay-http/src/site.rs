//! Everything that a registry serves on one address, as one `tower::Service`.

use std::convert::Infallible;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use crate::api::{ApiService, WebService};
use crate::body::ResponseBody;
use crate::federation::FederationService;
use crate::keys::KeyService;
use crate::service::RegistryService;
use crate::token::TokenService;
use crate::v1::V1Service;
#[cfg(feature = "verbs")]
use crate::verbs::VerbsService;

/// Sends each request to the service that its path belongs to: the registry protocol below `/v2` with its
/// tokens at `/v2/auth`, the REST API below `/api`, the key server below `/keys`, robots' exchange of tokens, and all else to the pages
/// around them, which also say what there is not.
///
/// Cheap to clone. Answers every request with a response; it has no errors of its own. Needs a tokio
/// runtime with its timer.
#[derive(Debug, Clone)]
pub struct Site {
    registry: RegistryService,
    tokens: TokenService,
    api: ApiService,
    keys: KeyService,
    federation: FederationService,
    web: WebService,
    v1: Option<V1Service>,
    #[cfg(feature = "verbs")]
    verbs: Option<VerbsService>,
}

/// Who answers.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    Registry,
    Tokens,
    Api,
    Keys,
    Federation,
    V1,
    #[cfg(feature = "verbs")]
    Verbs,
    Web,
}

impl Part {
    fn of(path: &str) -> Self {
        match path {
            "/v2" => Self::Registry,
            "/v2/auth" => Self::Tokens,
            _ if path.starts_with("/v2/") => Self::Registry,
            _ if ApiService::serves(path) => Self::Api,
            _ if path.starts_with("/keys/") => Self::Keys,
            _ if FederationService::serves(path) => Self::Federation,
            _ if V1Service::serves(path) => Self::V1,
            #[cfg(feature = "verbs")]
            _ if VerbsService::serves(path) => Self::Verbs,
            _ => Self::Web,
        }
    }
}

impl Site {
    /// A site of these services.
    #[must_use]
    pub const fn new(
        registry: RegistryService,
        tokens: TokenService,
        api: ApiService,
        keys: KeyService,
        federation: FederationService,
        web: WebService,
    ) -> Self {
        Self {
            registry,
            tokens,
            api,
            keys,
            federation,
            web,
            v1: None,
            #[cfg(feature = "verbs")]
            verbs: None,
        }
    }

    /// Serves Docker's first protocol below `/v1` as well.
    #[must_use]
    pub fn with_v1(mut self, v1: V1Service) -> Self {
        self.v1 = Some(v1);
        self
    }

    /// Serves image verbs below `/c1` as well.
    #[cfg(feature = "verbs")]
    #[must_use]
    pub fn with_verbs(mut self, verbs: VerbsService) -> Self {
        self.verbs = Some(verbs);
        self
    }
}

impl<B> Service<Request<B>> for Site
where
    B: Body<Data = Bytes> + Send + 'static,
{
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // Each of the services is always ready.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        match Part::of(request.uri().path()) {
            Part::Registry => self.registry.call(request),
            Part::Tokens => self.tokens.call(request),
            Part::Api => self.api.call(request),
            Part::Keys => self.keys.call(request),
            Part::Federation => self.federation.call(request),
            Part::V1 => match &mut self.v1 {
                Some(v1) => v1.call(request),
                None => self.web.call(request),
            },
            #[cfg(feature = "verbs")]
            Part::Verbs => match &mut self.verbs {
                Some(verbs) => verbs.call(request),
                None => self.web.call(request),
            },
            Part::Web => self.web.call(request),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_decides() {
        for (path, part) in [
            ("/v2", Part::Registry),
            ("/v2/", Part::Registry),
            ("/v2/auth", Part::Tokens),
            ("/v2/auth/app/manifests/latest", Part::Registry),
            ("/keys/services/quay/keys", Part::Keys),
            ("/keys", Part::Web),
            ("/oauth2/federation/robot/token", Part::Federation),
            ("/oauth/authorize", Part::Web),
            ("/v2/org/app/manifests/latest", Part::Registry),
            ("/v2x", Part::Web),
            ("/v1/_ping", Part::V1),
            ("/v1", Part::Web),
            #[cfg(feature = "verbs")]
            ("/c1/squash/org/app/v1", Part::Verbs),
            ("/api/v1/user/", Part::Api),
            ("/api/v2/user/", Part::Api),
            ("/api", Part::Web),
            ("/", Part::Web),
            ("/health/instance", Part::Web),
            ("/nothing", Part::Web),
        ] {
            assert_eq!(Part::of(path), part, "{path}");
        }
    }
}
