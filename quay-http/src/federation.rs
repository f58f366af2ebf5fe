//! The exchange of an identity provider's token for a robot's (`quay-api.md`, 8).

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::header::{ALLOW, CACHE_CONTROL, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use quay_core::accounts::Accounts;
use quay_core::{Caller, Error, ErrorKind};
use serde_json::json;
use tracing::Instrument as _;

use crate::body::ResponseBody;
use crate::credentials::Presented;
use crate::response::{Answer, AnswerExt as _, answer, json as json_answer, without_body};
use crate::service::{RequestIds, accompanied, request_span};

const PATH: &str = "/oauth2/federation/robot/token";
const METHODS: &str = "GET, OPTIONS";

/// Gives robots a token at `/oauth2/federation/robot/token`: for an hour it counts as the robot's password,
/// in exchange for a token of an identity provider that the robot trusts. The client shows both by HTTP
/// Basic.
///
/// Cheap to clone. Answers every request with a response; it has no errors of its own.
#[derive(Debug, Clone)]
pub struct FederationService {
    accounts: Accounts,
    request_ids: Arc<RequestIds>,
}

impl FederationService {
    /// The exchange for the robots of `accounts`.
    #[must_use]
    pub fn new(accounts: Accounts) -> Self {
        let request_ids = RequestIds::new(accounts.runtime());
        Self {
            accounts,
            request_ids: Arc::new(request_ids),
        }
    }

    /// Whether a path is the exchange's, for hosts that send requests on.
    #[must_use]
    pub fn serves(path: &str) -> bool {
        path == PATH
    }

    async fn answer(&self, parts: &Parts) -> Answer {
        if !Self::serves(parts.uri.path()) {
            return told(StatusCode::NOT_FOUND, "Not Found");
        }
        match parts.method {
            Method::GET => {}
            Method::OPTIONS => return answer(StatusCode::OK).with_static(ALLOW, METHODS),
            _ => {
                let message = "The method is not allowed for the requested URL.";
                return told(StatusCode::METHOD_NOT_ALLOWED, message).with_static(ALLOW, METHODS);
            }
        }
        let exchanged = match Presented::from_headers(&parts.headers) {
            Presented::Basic(robot, token) => {
                let caller = accompanied(Caller::anonymous(), parts);
                self.accounts.exchange_robot_token(&caller, &robot, &token).await
            }
            _ => Err(Error::new(ErrorKind::Unauthorized, "Requires authentication")),
        };
        let answer = match exchanged {
            Ok(token) => json_answer(StatusCode::OK, "application/json", &json!({ "token": token })),
            Err(error) => failure(&error),
        };
        answer.with_static(CACHE_CONTROL, "no-store")
    }
}

fn failure(error: &Error) -> Answer {
    if let Some(cause) = error.store_error() {
        tracing::error!(
            error = cause as &dyn std::error::Error,
            "the exchange of a robot's token failed"
        );
    }
    let status = StatusCode::from_u16(error.kind().status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let told = told(status, error.public_message());
    if status == StatusCode::UNAUTHORIZED {
        return told.with_static(WWW_AUTHENTICATE, "Basic realm=\"robot\"");
    }
    told
}

fn told(status: StatusCode, message: &str) -> Answer {
    json_answer(status, "application/json", &json!({ "error": message }))
}

impl<B> tower_service::Service<Request<B>> for FederationService
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
            this.request_ids.number(&mut request);
            let span = request_span(&request);
            let (parts, _) = request.into_parts();
            let head = parts.method == Method::HEAD;
            let response = this.answer(&parts).instrument(span.clone()).await;
            span.in_scope(|| tracing::debug!(status = response.status().as_u16(), "answered"));
            Ok(if head { without_body(response) } else { response })
        }
        .boxed()
    }
}
