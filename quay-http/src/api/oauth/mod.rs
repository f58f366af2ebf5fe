//! How applications of others get tokens that act for a user (RFC 6749, `quay-api.md`, 2.3).
//!
//! The user is sent here by an application, is asked, and is sent back with a token or with a code for one.
//! Nobody is ever sent to an address that is not the application's or this registry's own.

mod consent;
mod page;
mod redirect;
mod token;

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use http::header::{HeaderName, X_FRAME_OPTIONS};
use http::request::Parts;
use http::{Method, StatusCode};
use quay_core::blob_store::ByteStream;
use quay_core::{Caller, CredentialKind, Error, ErrorKind, Principal};

pub(crate) use page::{invitation, refusal};

use super::checks::{of_session, proven, session};
use super::dispatch::finish;
use super::failure::{bare, failure};
use super::reply::Reply;
use super::session::Session;
use super::state::ApiState;
use crate::body::collected;
use crate::credentials::Presented;
use crate::form::{Fields, LARGEST_FORM};
use crate::response::{Answer, AnswerExt as _, answer};
use crate::service::accompanied;

/// No form takes longer to arrive, all pauses included.
const FORM_TIME: std::time::Duration = std::time::Duration::from_secs(30);

/// What a path means.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// Asks the user.
    Authorize,
    /// Asks another user.
    Assign,
    /// The user has said yes.
    Approve,
    /// The user has said no.
    Deny,
    /// Shows the user the token that this registry's own pages asked for.
    Local,
    /// Gives an application a token for a code.
    Token,
}

impl Endpoint {
    pub(crate) fn at(path: &str) -> Option<Self> {
        Some(match path {
            "/oauth/authorize" => Self::Authorize,
            "/oauth/authorize/assignuser" => Self::Assign,
            "/oauth/authorizeapp" => Self::Approve,
            "/oauth/denyapp" => Self::Deny,
            "/oauth/localapp" => Self::Local,
            "/oauth/access_token" => Self::Token,
            _ => return None,
        })
    }

    const fn methods(self) -> &'static str {
        match self {
            Self::Authorize | Self::Local => "GET, HEAD, OPTIONS",
            Self::Assign | Self::Approve | Self::Deny | Self::Token => "POST, OPTIONS",
        }
    }
}

/// Who has come, and by what.
struct Visitor {
    caller: Caller,
    session: Session,
    /// Whether the client has the session, or it was made just now.
    has_session: bool,
}

impl Visitor {
    async fn of(state: &ApiState, parts: &Parts) -> Result<Self, Error> {
        let (cookie, has_session) = session(state, &parts.headers);
        let (caller, session) = match Presented::from_headers(&parts.headers) {
            Presented::None => of_session(state, cookie).await?,
            basic @ Presented::Basic(..) => {
                let Some(identity) = proven(state, &basic, parts).await? else {
                    return Err(Error::new(ErrorKind::InvalidToken, "Requires authentication"));
                };
                (Caller::identified(identity), cookie.disowned())
            }
            // A token must not make itself another one.
            Presented::Bearer(_) | Presented::Unreadable => (Caller::anonymous(), cookie.disowned()),
        };
        Ok(Self {
            caller: accompanied(caller, parts),
            session,
            has_session,
        })
    }

    /// A reply with the session, unless the client has it.
    fn told(self, reply: Reply) -> Reply {
        if self.has_session {
            reply
        } else {
            reply.with_session(self.session)
        }
    }

    fn is_anonymous(&self) -> bool {
        self.caller.principal == Principal::Anonymous
    }

    /// Whether a name and a password came with the request itself.
    fn by_password(&self) -> bool {
        self.caller.credential == CredentialKind::Password
    }

    /// Whether the request was made by a page that this registry gave a token to.
    fn shows_token(&self, parts: &Parts, form: &Fields) -> bool {
        let header = parts.headers.get("x-csrf-token");
        let header = header.and_then(|value| value.to_str().ok());
        let shown = header.or_else(|| form.get("_csrf_token"));
        self.has_session && shown.is_some_and(|shown| self.session.allows(shown))
    }
}

/// Answers a request to one of the endpoints.
pub(crate) async fn respond(state: &ApiState, endpoint: Endpoint, parts: &Parts, body: ByteStream) -> Answer {
    let reads = matches!(parts.method, Method::GET | Method::HEAD);
    let posts = parts.method == Method::POST;
    if parts.method == Method::OPTIONS {
        return answer(StatusCode::OK).with_static(ALLOW, endpoint.methods());
    }
    let replied = match endpoint {
        Endpoint::Authorize if reads => consent::ask(state, parts).await,
        Endpoint::Local if reads => local(state, parts).await,
        Endpoint::Assign if posts => consent::assign(state, parts, body).await,
        Endpoint::Approve if posts => consent::approve(state, parts, body).await,
        Endpoint::Deny if posts => consent::deny(state, parts, body).await,
        Endpoint::Token if posts => token::exchange(state, parts, body).await,
        _ => {
            let message = "The method is not allowed for the requested URL.";
            return bare(StatusCode::METHOD_NOT_ALLOWED, message).with_static(ALLOW, endpoint.methods());
        }
    };
    let answered = match replied {
        Ok(reply) => finish(guarded(reply), &state.options, &*state.seal).await,
        Err(error) => Err(error),
    };
    answered.unwrap_or_else(|error| failure(&error, &state.options.base_url))
}

/// Addresses and answers hold codes and tokens: nobody keeps them, tells them on or frames them. A reply
/// that has a policy of its own keeps it.
pub(crate) fn guarded(reply: Reply) -> Reply {
    const PRAGMA: HeaderName = http::header::PRAGMA;
    let reply = if reply.has_header(&CONTENT_SECURITY_POLICY) {
        reply
    } else {
        reply.with_header(CONTENT_SECURITY_POLICY, page::NOTHING)
    };
    reply
        .with_header(CACHE_CONTROL, "no-store")
        .with_header(PRAGMA, "no-cache")
        .with_header(REFERRER_POLICY, "no-referrer")
        .with_header(X_FRAME_OPTIONS, "DENY")
        .with_header(X_CONTENT_TYPE_OPTIONS, "nosniff")
}

/// The fields of a form.
pub(crate) async fn form(parts: &Parts, body: ByteStream) -> Result<Fields, Error> {
    let body = collected(body, LARGEST_FORM, FORM_TIME).await?;
    let fields = Fields::of_body(&parts.headers, &body);
    let fields = fields.ok_or_else(|| Error::new(ErrorKind::Rejected, "The body is not a form"))?;
    if fields.hold_zero() {
        return Err(Error::new(
            ErrorKind::InvalidRequest,
            "The form holds a zero byte",
        ));
    }
    Ok(fields)
}

/// Nothing is given out while the registry takes no writes.
pub(crate) fn may_write(state: &ApiState) -> Result<(), Error> {
    if state.options.read_only {
        let message = "System is currently read-only. No tokens are issued and nothing is changed.";
        return Err(Error::new(ErrorKind::ReadOnly, message));
    }
    Ok(())
}

async fn local(state: &ApiState, parts: &Parts) -> Result<Reply, Error> {
    if Visitor::of(state, parts).await?.is_anonymous() {
        return Err(Error::new(ErrorKind::InvalidToken, "Requires authentication"));
    }
    Ok(page::local(&state.options.title))
}
