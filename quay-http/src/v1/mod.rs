//! Docker's first registry protocol below `/v1` (registry-protocol, section 15).

mod pull;
mod push;
mod route;
mod state;

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::header::{ALLOW, CONTENT_TYPE, EXPECT, SET_COOKIE, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderName, Method, Request, Response, StatusCode};
use http_body::Body;
use quay_core::accounts::{Accounts, AskedActions, AskedScope};
use quay_core::blob_store::ByteStream;
use quay_core::{Access, Caller, Error, ErrorKind, Principal, Registry, RepositoryName};
use serde_json::{Value, json};
use tracing::Instrument as _;

use self::route::{ImagePart, Route};
use self::state::State;
use crate::body::{ResponseBody, collected, incoming};
use crate::linger::Lingering;
use crate::old_login::{OldLogin, SIGNATURE, failed, told, unproven};
use crate::response::{Answer, AnswerExt as _, answer, json as json_answer, without_body};
use crate::service::{RequestIds, Settings, request_span};

const VERSION: HeaderName = HeaderName::from_static("x-docker-registry-version");
const STANDALONE: HeaderName = HeaderName::from_static("x-docker-registry-standalone");
const TOKEN: HeaderName = HeaderName::from_static("x-docker-token");
const ENDPOINTS: HeaderName = HeaderName::from_static("x-docker-endpoints");

/// What a request says in JSON takes no more, and arrives in no more time.
const LARGEST: u64 = 1 << 20;
const TIME: Duration = Duration::from_secs(30);

/// What a login is answered that worked: clients take it for a sign that the account is there.
const KNOWN: &str = "\"Username or email already exists\"";

/// Serves images to clients that know Docker's first registry protocol alone, and takes theirs in, below `/v1`.
///
/// The settings' authenticators judge names and secrets, and the tokens for the registry protocol that are given
/// where a client asks for one by `X-Docker-Token`. What happens between the requests of one push is kept by the
/// client, sealed, and in blobs of the repository, so that any process may answer the next one. Whoever may not is
/// answered 403.
///
/// Cheap to clone. Answers every request with a response; it has no errors of its own. Needs a tokio runtime with
/// its timer.
#[derive(Debug, Clone)]
pub struct V1Service {
    registry: Registry,
    accounts: Accounts,
    login: OldLogin,
    body_idle: Duration,
    request_ids: Arc<RequestIds>,
}

/// One request.
struct Exchange<'a> {
    service: &'a V1Service,
    parts: &'a Parts,
    caller: Caller,
    /// What the client has brought along.
    state: State,
}

impl V1Service {
    /// Whether a path is one of this service's, for hosts that send requests on.
    #[must_use]
    pub fn serves(path: &str) -> bool {
        path.starts_with("/v1/")
    }

    /// The protocol over `registry`, for whoever has an account in `accounts`.
    #[must_use]
    pub fn new(accounts: Accounts, registry: Registry, settings: Settings) -> Self {
        Self {
            request_ids: Arc::new(RequestIds::new(registry.runtime())),
            body_idle: settings.body_idle,
            login: OldLogin::new(settings).with_accounts(accounts.clone()),
            registry,
            accounts,
        }
    }

    async fn answer(&self, parts: &Parts, body: ByteStream) -> Answer {
        let Some(route) = Route::parse(parts.uri.path()) else {
            return told(StatusCode::NOT_FOUND, "there is no such path");
        };
        match route {
            Route::Ping => return ping(),
            Route::InternalPing => return text("true"),
            _ => {}
        }
        if !route
            .methods()
            .split(", ")
            .any(|method| method == parts.method.as_str())
        {
            let refused = told(
                StatusCode::METHOD_NOT_ALLOWED,
                "the path does not answer this method",
            );
            return refused.with_static(ALLOW, route.methods());
        }
        if route == Route::Users && parts.method == Method::POST {
            let logged_in = self.log_in(parts, body).await;
            return logged_in.unwrap_or_else(|error| failed(&error));
        }
        let caller = match self.login.caller(parts).await {
            Ok(caller) => caller,
            Err(error) => return unproven(&error),
        };
        let exchange = Exchange {
            service: self,
            parts,
            caller,
            state: State::of(&parts.headers, &**self.accounts.seal()),
        };
        exchange
            .answer(&route, body)
            .await
            .unwrap_or_else(|error| failed(&error))
    }

    /// Tells whether a name and a secret belong together. A login that works is answered as if it failed: only then
    /// do clients ask who they are.
    async fn log_in(&self, parts: &Parts, body: ByteStream) -> Result<Answer, Error> {
        let body = collected(body, LARGEST, TIME).await?;
        let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
        let Some(name) = asked.get("username").and_then(Value::as_str) else {
            return Ok(told(StatusCode::BAD_REQUEST, "Missing username"));
        };
        let secret = asked.get("password").and_then(Value::as_str).unwrap_or_default();
        match self.login.caller_as(name, secret, parts).await {
            Ok(_) => Ok(answer(StatusCode::BAD_REQUEST)
                .with_static(CONTENT_TYPE, "application/json")
                .with_body(ResponseBody::full(KNOWN))),
            Err(error) if error.kind() == ErrorKind::Unauthorized => {
                Ok(told(StatusCode::BAD_REQUEST, error.public_message()))
            }
            Err(error) => Err(error),
        }
    }
}

fn text(text: &'static str) -> Answer {
    answer(StatusCode::OK)
        .with_static(CONTENT_TYPE, "application/json")
        .with_body(ResponseBody::full(text))
}

fn ping() -> Answer {
    text("true")
        .with_static(VERSION, "0.6.0")
        .with_static(STANDALONE, "0")
}

/// What a client asks for may be missing, or be something that it may not know of.
fn missing(what: &str) -> Error {
    Error::new(ErrorKind::NotFound, format!("{what} not found"))
}

impl Exchange<'_> {
    async fn answer(mut self, route: &Route, body: ByteStream) -> Result<Answer, Error> {
        let reads = matches!(self.parts.method, Method::GET | Method::HEAD);
        match route {
            Route::Ping | Route::InternalPing => Ok(ping()),
            Route::Users => Ok(self.who()),
            Route::User => Ok(told(
                StatusCode::FORBIDDEN,
                "passwords are changed in the web interface, or through the REST API",
            )),
            Route::Repository { name } => {
                let name = self.name(name)?;
                self.begin_push(&name).await
            }
            Route::Images { name } => {
                let name = self.name(name)?;
                match self.parts.method {
                    Method::PUT => self.finish_push(&name).await,
                    Method::DELETE => Ok(told(StatusCode::NOT_IMPLEMENTED, "Not Implemented")),
                    _ => self.begin_pull(&name).await,
                }
            }
            Route::Auth => Ok(told(StatusCode::NOT_IMPLEMENTED, "Not Implemented")),
            Route::Tags { name } => self.tags(&self.name(name)?).await,
            Route::Tag { name, tag } => {
                let name = self.name(name)?;
                match self.parts.method {
                    Method::PUT => self.put_tag(&name, tag, body).await,
                    Method::DELETE => self.delete_tag(&name, tag).await,
                    _ => self.tag(&name, tag).await,
                }
            }
            Route::Image { id, part } => {
                let name = self.repository()?;
                match part {
                    _ if reads => self.image(&name, id, *part).await,
                    ImagePart::Json => self.put_json(&name, id, body).await,
                    ImagePart::Layer => self.put_layer(&name, id, body).await,
                    ImagePart::Checksum | ImagePart::Ancestry => self.put_checksum(&name, id).await,
                }
            }
        }
    }

    fn who(&self) -> Answer {
        match (&self.caller.principal, self.caller.account()) {
            (Principal::Anonymous, _) => told(StatusCode::NOT_FOUND, "nobody in particular is calling"),
            (_, name) => {
                let body = json!({ "username": name.unwrap_or("$token"), "email": null });
                json_answer(StatusCode::OK, "application/json", &body)
            }
        }
    }

    fn name(&self, text: &str) -> Result<RepositoryName, Error> {
        self.service.registry.parse_name(text)
    }

    /// The repository that an image is asked of: the one that the client's token is for, or that it has said before.
    fn repository(&self) -> Result<RepositoryName, Error> {
        let granted = match &self.caller.access {
            Access::Grants(grants) => match &*grants.roles {
                [(path, _)] => Some(path.as_str()),
                _ => None,
            },
            _ => None,
        };
        let path = granted.or(self.state.repository.as_deref());
        let path = path.ok_or_else(|| missing("Image"))?;
        RepositoryName::from_path(path).map_err(|_| missing("Image"))
    }

    /// Adds to an answer what the client needs for the next request: where it goes, and what it may do there.
    async fn lead_on(&self, answer: Answer, name: &RepositoryName, push: bool) -> Result<Answer, Error> {
        let accounts = &self.service.accounts;
        let state = State {
            repository: Some(name.path().to_owned()),
            push: self.state.push,
        };
        let mut answer = answer
            .with(ENDPOINTS, &accounts.options().hostname)
            .with(SET_COOKIE, &state.cookie(accounts.options(), &**accounts.seal()));
        // A token is not exchanged for a newer one: it would outlive what it was given for. A repository is made
        // with a token to push to it, whether or not that is wanted.
        let has_token = matches!(self.caller.access, Access::Grants(_));
        if !has_token && (push || self.parts.headers.contains_key(TOKEN)) {
            let scope = AskedScope {
                written: name.as_asked().to_owned(),
                name: name.clone(),
                actions: AskedActions {
                    pull: true,
                    push,
                    all: false,
                },
            };
            let audience = accounts.options().hostname.clone();
            let token = accounts
                .registry_token(&self.caller, Some(&audience), &[scope])
                .await?;
            let token = format!("{SIGNATURE}{}", token.token);
            answer = answer.with(WWW_AUTHENTICATE, &token).with(TOKEN, &token);
        }
        Ok(answer)
    }
}

impl<B> tower_service::Service<Request<B>> for V1Service
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
            let body = incoming(body, this.body_idle);
            let response = this.answer(&parts, body).instrument(span.clone()).await;
            span.in_scope(|| tracing::debug!(status = response.status().as_u16(), "answered"));
            Ok(if head { without_body(response) } else { response })
        }
        .boxed()
    }
}
