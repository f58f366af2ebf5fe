//! The routes around the API (`quay-api.md`, 8), as a `tower::Service`.

use std::convert::Infallible;
use std::fmt::{self, Debug};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::header::{ALLOW, CACHE_CONTROL, EXPECT, X_FRAME_OPTIONS};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use quay_core::blob_store::ByteStream;
use quay_core::{Caller, Error, ErrorKind};
use serde_json::{Value, json};
use tracing::Instrument as _;

use super::checks::{of_session, session};
use super::dispatch::{ApiService, finish};
use super::failure::{bare, failure, no_such_page};
use super::health::{HealthCheck, Instance, Scope, health};
use super::mail_links::{self, MailLink};
use super::oauth::{self, Endpoint};
use super::page;
use super::reply::Reply;
use super::state::ApiState;
use crate::body::{ResponseBody, incoming};
use crate::linger::Lingering;
use crate::response::{Answer, AnswerExt as _, without_body};
use crate::service::{RequestIds, request_span};

/// What there is besides the API and the registry protocol: the first page with the token that a login
/// needs, what clients look up before anything else, and what probes ask.
///
/// Cheap to clone. Answers every request with a response; it has no errors of its own.
#[derive(Debug, Clone)]
pub struct WebService {
    state: Arc<ApiState>,
    checks: Arc<[Arc<dyn HealthCheck>]>,
    request_ids: Arc<RequestIds>,
}

/// What a path means.
#[derive(Clone, Copy)]
enum Page {
    First,
    CsrfToken,
    Config,
    AppCapabilities,
    ChangePassword,
    Health(Scope),
    Ping,
    Robots,
    OAuth(Endpoint),
    Mail(MailLink),
}

impl Page {
    fn at(path: &str) -> Option<Self> {
        Some(match path {
            "/" => Self::First,
            "/csrf_token" => Self::CsrfToken,
            "/config" => Self::Config,
            "/.well-known/app-capabilities" => Self::AppCapabilities,
            "/.well-known/change-password" => Self::ChangePassword,
            "/health" | "/health/instance" => Self::Health(Scope::Instance),
            "/status" | "/health/endtoend" => Self::Health(Scope::EndToEnd),
            "/health/warning" => Self::Health(Scope::Warning),
            "/_internal_ping" | "/v1/_internal_ping" | "/c1/_internal_ping" | "/secscan/_internal_ping" => {
                Self::Ping
            }
            "/robots.txt" => Self::Robots,
            _ => {
                return Endpoint::at(path)
                    .map(Self::OAuth)
                    .or_else(|| MailLink::at(path).map(Self::Mail));
            }
        })
    }
}

/// Whether a page's scripts show something at a path by themselves: they are given the first page there, as
/// their users come back to it and are sent to it.
fn is_view(path: &str) -> bool {
    let path = path.strip_prefix('/').unwrap_or(path);
    let path = path.strip_suffix('/').unwrap_or(path);
    let mut parts = path.split('/');
    let first = parts.next().unwrap_or_default();
    let rest: Vec<&str> = parts.collect();
    if rest.iter().any(|part| part.is_empty()) {
        return false;
    }
    match first {
        "signin" | "createaccount" | "updateuser" | "search" | "new" | "tutorial" | "about" | "security"
        | "contact" | "superuser" => rest.is_empty(),
        "organization" | "organizations" | "user" => true,
        // `repository/{namespace}/{name}/status` is a picture; what is called so may be a tag, too.
        "repository" => rest.len() < 3 || rest.last() != Some(&"status") || rest.contains(&"tag"),
        _ => false,
    }
}

impl Debug for Page {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Page")
    }
}

impl WebService {
    /// The routes around `api`, with what the host looks after.
    #[must_use]
    pub fn new(api: &ApiService, checks: Vec<Arc<dyn HealthCheck>>) -> Self {
        Self {
            state: Arc::clone(&api.state),
            checks: checks.into(),
            request_ids: Arc::clone(&api.request_ids),
        }
    }

    /// Whether a path is one of these routes, for hosts that send requests on.
    #[must_use]
    pub fn serves(path: &str) -> bool {
        Page::at(path).is_some() || is_view(path)
    }

    async fn answer(&self, parts: &Parts, body: ByteStream) -> Answer {
        let path = parts.uri.path();
        let local = (path == self.state.options.local_oauth_handler).then_some(Page::OAuth(Endpoint::Local));
        let view = || is_view(path).then_some(Page::First);
        let Some(page) = Page::at(path).or(local).or_else(view) else {
            return no_such_page();
        };
        if matches!(page, Page::OAuth(Endpoint::Assign)) && !self.state.options.assign_oauth_tokens {
            return no_such_page();
        }
        if let Page::OAuth(endpoint) = page {
            return oauth::respond(&self.state, endpoint, parts, body).await;
        }
        if let Page::Mail(link) = page {
            return mail_links::respond(&self.state, link, parts, body).await;
        }
        if !matches!(parts.method, Method::GET | Method::HEAD) {
            let message = "The method is not allowed for the requested URL.";
            return bare(StatusCode::METHOD_NOT_ALLOWED, message).with_static(ALLOW, "GET, HEAD");
        }
        let answered = match self.reply(page, parts).await {
            Ok(reply) => finish(reply, &self.state.options, &*self.state.seal).await,
            Err(error) => Err(error),
        };
        answered.unwrap_or_else(|error| failure(&error, &self.state.options.base_url))
    }

    async fn reply(&self, page: Page, parts: &Parts) -> Result<Reply, Error> {
        let state = &*self.state;
        let options = &state.options;
        Ok(match page {
            Page::First => {
                let (session, _) = session(state, &parts.headers);
                let page = page::first(options, &state.documents, &session.csrf);
                Reply::html(StatusCode::OK, page)
                    .with_header(X_FRAME_OPTIONS, "DENY")
                    .with_header(CACHE_CONTROL, "no-store")
                    .with_session(session)
            }
            Page::CsrfToken => {
                let (session, _) = session(state, &parts.headers);
                Reply::ok(&json!({ "csrf_token": session.csrf }))
                    .with_header(CACHE_CONTROL, "no-store")
                    .with_session(session)
            }
            Page::Config => Reply::ok(&page::settings(options)),
            Page::AppCapabilities => Reply::ok(&capabilities(&options.base_url)),
            Page::ChangePassword => {
                let caller = self.caller(parts).await?;
                let Some(name) = caller.account() else {
                    return Err(Error::new(ErrorKind::InvalidToken, "Requires authentication"));
                };
                Reply::redirect(&format!("{}/user/{name}?tab=settings", options.base_url))
            }
            Page::Health(scope) => {
                // Probes have no session, and the store that holds accounts may be what fails.
                let caller = self.caller(parts).await.unwrap_or_else(|_| Caller::anonymous());
                let superuser = caller.account().is_some_and(|name| options.is_superuser(name));
                let expanded = superuser.then(|| Instance {
                    hostname: options.hostname.clone(),
                    key_id: state.accounts.signing_key_id(),
                });
                health(&self.checks, scope, expanded).await
            }
            Page::Ping => Reply::text(StatusCode::OK, "true"),
            Page::Robots => Reply::text(StatusCode::OK, "User-agent: *\nDisallow: /\nAllow: /$\n"),
            // They have been answered.
            Page::OAuth(_) | Page::Mail(_) => return Err(Error::new(ErrorKind::NotFound, "Not Found")),
        })
    }

    /// Whose session it is. Without one, the store is not asked.
    async fn caller(&self, parts: &Parts) -> Result<Caller, Error> {
        let (session, _) = session(&self.state, &parts.headers);
        let (caller, _) = of_session(&self.state, session).await?;
        Ok(caller)
    }
}

/// What a cluster's operators look for before they ask for scan results.
fn capabilities(base: &str) -> Value {
    let repository = "api/v1/repository/{namespace}/{reponame}";
    json!({
        "appName": "io.quay",
        "capabilities": {
            "io.quay.view-image": {
                "url-template": format!("{base}/{{namespace}}/{{reponame}}:{{tag}}"),
            },
            "io.quay.image-security": {
                "rest-api-template": format!("{base}/{repository}/image/{{imageid}}/security"),
                "deprecated": true,
            },
            "io.quay.manifest-security": {
                "rest-api-template": format!("{base}/{repository}/manifest/{{digest}}/security"),
            },
        },
    })
}

impl<B> tower_service::Service<Request<B>> for WebService
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
            let (parts, body) = request.into_parts();
            let head = parts.method == Method::HEAD;
            // A client that waits to be asked for its body has not sent any, and must not be asked.
            let body = Lingering::new(body, !parts.headers.contains_key(EXPECT));
            let body = incoming(body, this.state.settings.body_idle);
            let response = this.answer(&parts, body).instrument(span.clone()).await;
            span.in_scope(|| tracing::debug!(status = response.status().as_u16(), "answered"));
            Ok(if head { without_body(response) } else { response })
        }
        .boxed()
    }
}
