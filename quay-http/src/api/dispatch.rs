//! The API as a `tower::Service`.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::header::{ALLOW, EXPECT, HeaderName, LOCATION, SET_COOKIE};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use quay_core::accounts::{AccountOptions, Accounts, Seal};
use quay_core::blob_store::ByteStream;
use quay_core::{Error, ErrorKind, Principal, Registry, RepositoryName};
use tracing::Instrument as _;

use super::checks::{self, Refusal};
use super::exchange::{Exchange, PathParameters};
use super::failure::{bare, failure, no_such_page};
use super::handlers::handler;
use super::operations::{AuthFlag, Operation};
use super::query::Query;
use super::reply::{Reply, SessionChange};
use super::request::RequestContent;
use super::router::{Routed, Router};
use super::state::{ApiSettings, ApiState};
use crate::body::{ResponseBody, incoming};
use crate::linger::Lingering;
use crate::response::{Answer, AnswerExt as _, answer, without_body};
use crate::service::{RequestIds, request_span};

const RECOVERY: &str = "requestRecoveryEmail";
const DEPRECATION: HeaderName = HeaderName::from_static("deprecation");
const NEXT_CSRF_TOKEN: HeaderName = HeaderName::from_static("x-next-csrf-token");

/// Quay's REST API below `/api/v1`.
///
/// Cheap to clone. Answers every request with a response; it has no errors of its own. Needs a tokio
/// runtime with its timer.
#[derive(Debug, Clone)]
pub struct ApiService {
    pub(crate) state: Arc<ApiState>,
    router: Arc<Router>,
    pub(crate) request_ids: Arc<RequestIds>,
}

impl ApiService {
    /// A service of what the options of `accounts` switch on, over the content of `registry`.
    #[must_use]
    pub fn new(accounts: Accounts, registry: Registry, settings: ApiSettings) -> Self {
        let router = Router::new(accounts.options(), settings.nested_names);
        let request_ids = RequestIds::new(accounts.runtime());
        Self {
            state: Arc::new(ApiState::new(accounts, registry, settings)),
            router: Arc::new(router),
            request_ids: Arc::new(request_ids),
        }
    }

    /// Whether a path is the API's, for hosts that send requests on.
    #[must_use]
    pub fn serves(path: &str) -> bool {
        path.starts_with("/api/")
    }

    async fn answer(self, parts: Parts, body: ByteStream) -> Answer {
        let path = parts.uri.path();
        if path == "/api/v1/openapi.json" {
            return self.document(&parts.method).await;
        }
        match self.router.route(&parts.method, path) {
            Routed::Unknown => no_such_page(),
            Routed::SlashMissing => {
                let query = parts
                    .uri
                    .query()
                    .map_or_else(String::new, |query| format!("?{query}"));
                answer(StatusCode::PERMANENT_REDIRECT).with(LOCATION, &format!("{path}/{query}"))
            }
            Routed::Methods(allowed) if parts.method == Method::OPTIONS => {
                let answer = answer(StatusCode::OK).with(ALLOW, &allowed);
                with_cors(answer, &allowed)
            }
            Routed::Methods(allowed) => with_cors(method_not_allowed(&allowed), &allowed),
            Routed::Found {
                operation,
                parameters,
                allowed,
            } => {
                let answered = self.operate(operation, parameters, &parts, body).await;
                let mut answer = self.told(answered);
                if operation.is(AuthFlag::Deprecated) {
                    answer = answer.with_static(DEPRECATION, "true");
                }
                with_cors(answer, &allowed)
            }
        }
    }

    fn told(&self, answered: Result<Answer, Refusal>) -> Answer {
        match answered {
            Ok(answer) => answer,
            Err(Refusal::Answer(answer)) => *answer,
            Err(Refusal::Error(error)) => failure(&error, &self.state.options.base_url),
        }
    }

    /// What the API consists of, for whoever wants to know.
    async fn document(&self, method: &Method) -> Answer {
        const ALLOWED: &str = "GET, HEAD, OPTIONS";
        let answered = match *method {
            Method::GET | Method::HEAD => {
                let document = self.state.documents.openapi(&self.state.options);
                Reply::rendered(document)
                    .into_answer()
                    .await
                    .map_err(Refusal::from)
            }
            Method::OPTIONS => Ok(answer(StatusCode::OK).with(ALLOW, ALLOWED)),
            _ => Ok(method_not_allowed(ALLOWED)),
        };
        with_cors(self.told(answered), ALLOWED)
    }

    /// The checks in their order, and the handler.
    async fn operate(
        &self,
        operation: &'static Operation,
        mut path: PathParameters,
        parts: &Parts,
        body: ByteStream,
    ) -> Result<Answer, Refusal> {
        let state = &self.state;
        let mut content = RequestContent::Unread(body);
        checks::browser_rule(state, parts)?;
        let identified = checks::identify(state, operation, parts).await?;
        checks::forgery_rule(operation, parts, &identified, &mut content).await?;
        checks::read_only_rule(state, operation, parts)?;
        path.repository = repository(&path)?;
        let attempted = counted(operation).then_some(identified.caller.client_address);
        checks::anonymous_rule(state, operation, &identified)?;

        // Whoever must log in first is told so before what is wrong with the request.
        let told = |error: Error| match identified.caller.principal {
            Principal::Anonymous if !operation.anonymous => {
                Error::new(ErrorKind::InvalidToken, "Requires authentication")
            }
            _ => error,
        };
        let query = Query::parse(parts.uri.query().unwrap_or_default(), &operation.query).map_err(told)?;
        let body = content.json(operation, &parts.headers).await.map_err(told)?;
        let Some(handler) = handler(&operation.id) else {
            return Err(Error::new(ErrorKind::Unsupported, "This is not implemented yet").into());
        };
        let exchange = Exchange {
            state: Arc::clone(state),
            operation,
            caller: identified.caller,
            session: identified.session,
            path,
            query,
            body,
        };
        let attempt = match attempted {
            Some(address) => Some(state.attempts.begin(address).await?),
            None => None,
        };
        let replied = handler(exchange).await;
        if let Some(attempt) = attempt
            && !has_failed(operation, &replied)
        {
            attempt.forgive();
        }
        let answer = match replied {
            Ok(reply) => finish(reply, &state.options, &*state.seal).await,
            Err(error) => Err(error),
        };
        answer.map_err(|error| refusal(operation, error))
    }
}

/// Whether failures of an operation count for the address that they come from: it tells whether a password is
/// right or a name taken, or it sends mail.
fn counted(operation: &Operation) -> bool {
    const COUNTED: [&str; 7] = [
        "convertUserToOrganization",
        "createNewUser",
        "generateUserClientKey",
        "initializeUser",
        RECOVERY,
        "signinUser",
        "verifyUser",
    ];
    COUNTED.contains(&operation.id.as_str())
}

/// Whether an attempt has failed. Asking for a new password does not tell.
fn has_failed(operation: &Operation, replied: &Result<Reply, Error>) -> bool {
    match replied {
        Ok(_) => operation.id == RECOVERY,
        Err(error) => error.kind() != ErrorKind::Throttled && error.kind().status() < 500,
    }
}

/// How an operation refuses.
fn refusal(operation: &Operation, error: Error) -> Refusal {
    if error.kind() == ErrorKind::Forbidden && operation.is(AuthFlag::BareDenial) {
        return Refusal::Answer(Box::new(bare(StatusCode::FORBIDDEN, error.public_message())));
    }
    error.into()
}

/// A reply as it is sent, with what becomes of the session.
pub(crate) async fn finish(
    mut reply: Reply,
    options: &AccountOptions,
    seal: &dyn Seal,
) -> Result<Answer, Error> {
    let session = std::mem::take(&mut reply.session);
    let answer = reply.into_answer().await?;
    Ok(match session {
        SessionChange::Kept => answer,
        SessionChange::Replaced(session) => answer
            .with(SET_COOKIE, &session.cookie(options, seal))
            .with(NEXT_CSRF_TOKEN, &session.csrf),
    })
}

fn repository(path: &PathParameters) -> Result<Option<RepositoryName>, Error> {
    let Some((_, text)) = path.values.iter().find(|(name, _)| name == "repository") else {
        return Ok(None);
    };
    match RepositoryName::from_path(text) {
        Ok(name) => Ok(Some(name)),
        // No repository has such a name.
        Err(_) => Err(Error::new(ErrorKind::NotFound, "Not Found")),
    }
}

fn method_not_allowed(allowed: &str) -> Answer {
    let message = "The method is not allowed for the requested URL.";
    bare(StatusCode::METHOD_NOT_ALLOWED, message).with(ALLOW, allowed)
}

/// Lets pages of other sites ask, who have a token but never a session.
fn with_cors(answer: Answer, allowed: &str) -> Answer {
    const ORIGIN: HeaderName = HeaderName::from_static("access-control-allow-origin");
    const METHODS: HeaderName = HeaderName::from_static("access-control-allow-methods");
    const MAX_AGE: HeaderName = HeaderName::from_static("access-control-max-age");
    const HEADERS: HeaderName = HeaderName::from_static("access-control-allow-headers");
    answer
        .with_static(ORIGIN, "*")
        .with(METHODS, allowed)
        .with_static(MAX_AGE, "21600")
        .with_static(HEADERS, "AUTHORIZATION, CONTENT-TYPE, X-REQUESTED-WITH")
}

impl<B> tower_service::Service<Request<B>> for ApiService
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
            let response = this.answer(parts, body).instrument(span.clone()).await;
            span.in_scope(|| tracing::debug!(status = response.status().as_u16(), "answered"));
            Ok(if head { without_body(response) } else { response })
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use quay_core::runtime::Runtime;
    use quay_core::testing::{ManualClock, SeededRandom, ThreadSpawner};

    use super::super::session::Session;
    use super::*;

    /// Hands out one text.
    #[derive(Debug)]
    struct NoSeal;

    impl Seal for NoSeal {
        fn seal(&self, _: &str, _: &[u8]) -> String {
            "sealed".to_owned()
        }

        fn open(&self, _: &str, _: &str) -> Option<Vec<u8>> {
            None
        }

        fn encrypt_password(&self, password: &str) -> String {
            password.to_owned()
        }

        fn decrypt_password(&self, _: &str) -> Option<String> {
            None
        }
    }

    #[tokio::test]
    async fn a_reply_changes_the_session() {
        let runtime = Runtime::new(
            Arc::new(ManualClock::default()),
            Arc::new(SeededRandom::default()),
            Arc::new(ThreadSpawner),
        );
        let options = AccountOptions::new("https", "registry.example");
        let session = Session::anonymous(&runtime);
        let token = session.csrf.clone();
        let header = |answer: &Answer, name: &str| {
            let value = answer.headers().get(name);
            value.map(|value| value.to_str().unwrap().to_owned())
        };

        let kept = finish(Reply::no_content(), &options, &NoSeal).await.unwrap();
        assert_eq!(header(&kept, "set-cookie"), None);
        let reply = Reply::no_content().with_session(session);
        let replaced = finish(reply, &options, &NoSeal).await.unwrap();
        assert_eq!(header(&replaced, "x-next-csrf-token"), Some(token));
        let cookie = "_csrf_token=sealed; Max-Age=2678400; Path=/; HttpOnly; SameSite=Lax; Secure";
        assert_eq!(header(&replaced, "set-cookie").as_deref(), Some(cookie));
    }
}
