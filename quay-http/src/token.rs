//! The token endpoint `/v2/auth` (registry-protocol, section 3).
//!
//! Clients come here by the challenge of the registry protocol, show what they log in with, and get a
//! token that grants as much as they may do of what they ask for. What is refused is left out of the token;
//! the client learns of it when it uses it.

mod scope;

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::header::{ALLOW, CACHE_CONTROL, EXPECT, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use quay_core::accounts::{Accounts, AskedScope, RegistryToken};
use quay_core::auth::{Authentication, Identity};
use quay_core::blob_store::ByteStream;
use quay_core::{Caller, Error, ErrorKind, Principal, Registry};
use serde_json::{Value, json};
use tracing::Instrument as _;

use crate::api::iso8601;
use crate::attempts::LoginAttempts;
use crate::body::{ResponseBody, collected, incoming};
use crate::credentials::Presented;
use crate::docker_version;
use crate::form::{Fields, LARGEST_FORM};
use crate::linger::Lingering;
use crate::response::{
    Answer, AnswerExt as _, answer, failure, json as json_answer, no_such_path, throttled, without_body,
};
use crate::service::{RequestIds, Settings, accompanied, request_span};

const PATH: &str = "/v2/auth";
const METHODS: &str = "GET, HEAD, POST, OPTIONS";
/// No form takes longer to arrive, all pauses included.
const FORM_TIME: Duration = Duration::from_secs(30);
/// The kind of login that the action log is told.
const LOGIN: &str = "v2auth";
/// No account has a longer name.
const LONGEST_NAME: usize = 255;
const INVALID: &str = "Specified credentials are invalid";

/// Issues tokens for the registry protocol at `/v2/auth`.
///
/// The settings' authenticators judge names and secrets; bearer tokens are no way to log in here. Failed
/// logins are noted in the action log where the options say so, and so are successful ones that ask for
/// nothing, as `docker login` does: what pulls and pushes log is said elsewhere.
///
/// Cheap to clone. Answers every request with a response; it has no errors of its own. Needs a tokio
/// runtime with its timer.
#[derive(Debug, Clone)]
pub struct TokenService {
    accounts: Accounts,
    registry: Registry,
    settings: Arc<Settings>,
    attempts: LoginAttempts,
    request_ids: Arc<RequestIds>,
}

/// What a request comes down to.
struct Asked {
    /// How the client logs in.
    login: Presented,
    audience: Option<String>,
    /// As they came: each may hold several.
    scopes: Vec<String>,
    form: Form,
}

/// In which of the two ways the token is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Query,
    OAuth,
}

/// Why there is no token.
enum Refusal {
    Error(Error),
    Answer(Box<Answer>),
}

impl<E: Into<Error>> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

impl TokenService {
    /// Tokens for `registry`, whose rules for names count, by the rights of `accounts`.
    #[must_use]
    pub fn new(accounts: Accounts, registry: Registry, settings: Settings) -> Self {
        let request_ids = RequestIds::new(accounts.runtime());
        let attempts = settings.login_attempts.clone();
        let attempts = attempts.unwrap_or_else(|| LoginAttempts::new(accounts.runtime().clone()));
        Self {
            attempts,
            accounts,
            registry,
            settings: Arc::new(settings),
            request_ids: Arc::new(request_ids),
        }
    }

    /// Whether a path is the token endpoint's, for hosts that send requests on.
    #[must_use]
    pub fn serves(path: &str) -> bool {
        path == PATH
    }

    async fn answer(&self, parts: &Parts, body: ByteStream) -> Answer {
        if !Self::serves(parts.uri.path()) {
            return no_such_path();
        }
        let nobody = accompanied(Caller::anonymous(), parts);
        let refused = self.settings.refused_docker_versions.as_ref();
        if docker_version::is_refused(nobody.user_agent.as_deref(), refused) {
            return no_such_path();
        }
        if parts.method == Method::OPTIONS {
            return answer(StatusCode::OK).with_static(ALLOW, METHODS);
        }
        let asked = match parts.method {
            Method::GET | Method::HEAD => Ok(from_query(parts)),
            Method::POST => from_form(parts, body).await,
            _ => return crate::response::method_not_allowed(METHODS),
        };
        let issued = match asked {
            Ok(asked) => self.issue(&asked, parts).await,
            Err(refusal) => Err(refusal),
        };
        let mut answer = match issued {
            Ok(answer) => answer,
            Err(Refusal::Answer(answer)) => *answer,
            Err(Refusal::Error(error)) if error.kind() == ErrorKind::Throttled => throttled(&error),
            Err(Refusal::Error(error)) => {
                let challenge = self.settings.authenticators.first();
                let challenge = challenge.map(|authenticator| authenticator.challenge(None));
                failure(&error, challenge.as_deref())
            }
        };
        let never = HeaderValue::from_static("no-cache, no-store, must-revalidate");
        answer.headers_mut().insert(CACHE_CONTROL, never);
        answer
    }

    async fn issue(&self, asked: &Asked, parts: &Parts) -> Result<Answer, Refusal> {
        let identity = match self.judged(&asked.login, parts).await {
            Ok(identity) => identity,
            Err(error) => {
                if let (ErrorKind::Unauthorized | ErrorKind::Throttled, Presented::Basic(username, _)) =
                    (error.kind(), &asked.login)
                {
                    let nobody = accompanied(Caller::anonymous(), parts);
                    let reason = Some(error.public_message());
                    let username = logged_name(username);
                    self.accounts
                        .log_login(&nobody, Some(&username), LOGIN, reason)
                        .await?;
                }
                return Err(error.into());
            }
        };
        let Some(identity) = identity else {
            return self.issue_to_nobody(asked, parts).await;
        };
        let caller = accompanied(Caller::identified(identity), parts);
        let scopes = self.scopes(asked)?;
        let token = self
            .accounts
            .registry_token(&caller, asked.audience.as_deref(), &scopes)
            .await?;
        if scopes.is_empty() {
            self.accounts
                .log_login(&caller, caller.account(), LOGIN, None)
                .await?;
        }
        Ok(issued(&token, asked.form))
    }

    async fn issue_to_nobody(&self, asked: &Asked, parts: &Parts) -> Result<Answer, Refusal> {
        if !self.accounts.options().anonymous_access {
            let body = json!({ "error": "Anonymous access is not allowed" });
            let answer = json_answer(StatusCode::UNAUTHORIZED, "application/json", &body);
            return Err(Refusal::Answer(Box::new(answer)));
        }
        // Whoever asks for nothing wants to log in.
        if asked.scopes.is_empty() || asked.scopes.iter().any(|scope| scope.trim().is_empty()) {
            return Err(Error::new(ErrorKind::Unauthorized, "Requires authentication").into());
        }
        let caller = accompanied(Caller::anonymous(), parts);
        let scopes = self.scopes(asked)?;
        let token = self
            .accounts
            .registry_token(&caller, asked.audience.as_deref(), &scopes)
            .await?;
        Ok(issued(&token, asked.form))
    }

    fn scopes(&self, asked: &Asked) -> Result<Vec<AskedScope>, Error> {
        scope::parse(&asked.scopes, &self.registry, &self.accounts.options().hostname)
    }

    /// Who logs in, unless the address has failed too often.
    async fn judged(&self, login: &Presented, parts: &Parts) -> Result<Option<Identity>, Error> {
        if !login.is_password() {
            return self.identity(login).await;
        }
        let address = accompanied(Caller::anonymous(), parts).client_address;
        let attempt = self.attempts.begin(address).await?;
        let identity = self.identity(login).await;
        let failed = |error: &Error| error.kind() == ErrorKind::Unauthorized;
        if !identity.as_ref().is_err_and(failed) {
            attempt.forgive();
        }
        identity
    }

    /// Who logs in; `None` for nobody in particular.
    async fn identity(&self, login: &Presented) -> Result<Option<Identity>, Error> {
        let refused = |reason: &str| Error::new(ErrorKind::Unauthorized, reason);
        match login {
            Presented::None => return Ok(None),
            // Nobody is called that, and not every database takes it for a question.
            Presented::Basic(username, _) if username.chars().any(char::is_control) => {
                return Err(refused(INVALID));
            }
            Presented::Basic(..) => {}
            Presented::Bearer(_) | Presented::Unreadable => return Err(refused(INVALID)),
        }
        for authenticator in &self.settings.authenticators {
            match authenticator.authenticate(login.as_credentials()).await? {
                Authentication::Proven(identity) => {
                    return Ok(Some(identity).filter(|identity| identity.principal != Principal::Anonymous));
                }
                Authentication::Denied(reason) => return Err(refused(reason)),
                Authentication::Throttled { retry_after } => return Err(Error::throttled(retry_after)),
                _ => {}
            }
        }
        Err(refused(INVALID))
    }
}

/// As much of a name as the action log keeps, whatever somebody has made up.
fn logged_name(username: &str) -> String {
    let kept = username.chars().filter(|character| !character.is_control());
    kept.take(LONGEST_NAME).collect()
}

fn from_query(parts: &Parts) -> Asked {
    let query = Fields::of_query(parts.uri.query());
    Asked {
        login: Presented::from_headers(&parts.headers),
        audience: query.get("service").map(ToOwned::to_owned),
        scopes: query.all("scope").map(ToOwned::to_owned).collect(),
        form: Form::Query,
    }
}

/// A request as docker's OAuth 2 specification has it.
async fn from_form(parts: &Parts, body: ByteStream) -> Result<Asked, Refusal> {
    let body = collected(body, LARGEST_FORM, FORM_TIME).await?;
    let Some(fields) = Fields::of_body(&parts.headers, &body) else {
        return Err(oauth_refusal("invalid_request", "the body is not a form"));
    };
    // Two answers to the question who is calling are none.
    if parts.headers.contains_key(http::header::AUTHORIZATION) {
        let reason = "the credentials belong into the form, and nowhere else";
        return Err(oauth_refusal("invalid_request", reason));
    }
    match fields.get("grant_type") {
        Some("password") => {}
        Some(_) => {
            let reason = "tokens are given for a password only, there are no refresh tokens";
            return Err(oauth_refusal("unsupported_grant_type", reason));
        }
        None => return Err(oauth_refusal("invalid_request", "grant_type is missing")),
    }
    let (Some(username), Some(password)) = (fields.get("username"), fields.get("password")) else {
        return Err(oauth_refusal(
            "invalid_request",
            "username or password is missing",
        ));
    };
    Ok(Asked {
        login: Presented::Basic(username.to_owned(), password.to_owned()),
        audience: fields.get("service").map(ToOwned::to_owned),
        scopes: fields.all("scope").map(ToOwned::to_owned).collect(),
        form: Form::OAuth,
    })
}

fn issued(token: &RegistryToken, form: Form) -> Answer {
    let mut body = json!({
        "token": token.token,
        "access_token": token.token,
        "expires_in": token.lifetime.as_secs(),
        "issued_at": iso8601(token.issued),
    });
    if form == Form::OAuth {
        let granted = token.grants.iter().filter(|(_, actions)| !actions.is_empty());
        let granted = granted.map(|(name, actions)| format!("repository:{name}:{}", actions.join(",")));
        body["scope"] = Value::String(granted.collect::<Vec<_>>().join(" "));
        body["token_type"] = "Bearer".into();
    }
    json_answer(StatusCode::OK, "application/json", &body)
}

/// A refusal in the words of RFC 6749, section 5.2, and in those of the registry protocol.
fn oauth_refusal(code: &str, reason: &str) -> Refusal {
    let registry_code = match code {
        "unsupported_grant_type" => "UNSUPPORTED",
        _ => "INVALID_REQUEST",
    };
    let body = json!({
        "error": code,
        "error_description": reason,
        "errors": [{ "code": registry_code, "message": reason, "detail": {} }],
    });
    let answer = json_answer(StatusCode::BAD_REQUEST, "application/json", &body);
    Refusal::Answer(Box::new(answer))
}

impl<B> tower_service::Service<Request<B>> for TokenService
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
            let body = incoming(body, this.settings.body_idle);
            let response = this.answer(&parts, body).instrument(span.clone()).await;
            span.in_scope(|| tracing::debug!(status = response.status().as_u16(), "answered"));
            Ok(if head { without_body(response) } else { response })
        }
        .boxed()
    }
}
