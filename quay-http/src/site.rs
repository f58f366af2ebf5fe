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
}

/// Who answers.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    Registry,
    Tokens,
    Api,
    Keys,
    Federation,
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
        }
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
