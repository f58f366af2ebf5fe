//! What a request must pass before its handler sees it (`quay-api.md`, 1.2).

use http::header::USER_AGENT;
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};
use quay_core::accounts::{Account, AccountKey, AccountKind};
use quay_core::auth::{Authentication, Identity};
use quay_core::{Caller, CredentialKind, Error, ErrorKind, Principal};
use serde_json::json;

use super::operations::{AuthFlag, Operation};
use super::request::RequestContent;
use super::session::Session;
use super::state::ApiState;
use crate::credentials::Presented;
use crate::response::{Answer, json as json_answer};
use crate::service::accompanied;

/// Why a request goes no further.
#[derive(Debug)]
pub(crate) enum Refusal {
    Error(Error),
    /// An answer that is no operation's error.
    Answer(Box<Answer>),
}

impl<T: Into<Error>> From<T> for Refusal {
    fn from(error: T) -> Self {
        Self::Error(error.into())
    }
}

/// Who is calling, by what was found in the request.
#[derive(Debug)]
pub(crate) struct Identified {
    pub(crate) caller: Caller,
    pub(crate) session: Session,
    /// A valid token proves that no other site's page has made the request.
    by_token: bool,
    /// Whether the client has the session, or it was made just now.
    has_session: bool,
    /// Whether the session that the client has was somebody's, though it may have ended.
    had_user: bool,
}

/// Words that browsers begin their `User-Agent` with, or have in it.
const BROWSERS: &[&str] = &[
    "mozilla/",
    "opera",
    "chrome/",
    "edge/",
    "seamonkey",
    "konqueror",
    "galeon",
    "netscape",
    "msie",
    "lynx",
    "links (",
];

/// A browser must say that a script is asking: a link that somebody follows does not.
pub(crate) fn browser_rule(state: &ApiState, parts: &Parts) -> Result<(), Error> {
    if !state.options.browser_calls_xhr_only || parts.method != Method::GET {
        return Ok(());
    }
    let agent = header(&parts.headers, USER_AGENT.as_str()).to_ascii_lowercase();
    let is_browser = BROWSERS.iter().any(|browser| agent.contains(browser));
    if is_browser && header(&parts.headers, "x-requested-with") != "XMLHttpRequest" {
        return Err(Error::new(
            ErrorKind::Rejected,
            "API calls must be invoked with an X-Requested-With header if called from a browser",
        ));
    }
    Ok(())
}

/// Finds out who is calling: by a token, or else by a session. A token that is not valid hides the session.
pub(crate) async fn identify(
    state: &ApiState,
    operation: &Operation,
    parts: &Parts,
) -> Result<Identified, Error> {
    let (cookie, has_session) = session(state, &parts.headers);
    let had_user = cookie.user.is_some();
    let presented = Presented::from_headers(&parts.headers);
    let asks_authenticators = match presented {
        Presented::Bearer(_) => true,
        Presented::Basic(..) => operation.is(AuthFlag::AcceptsHttpBasic),
        Presented::None | Presented::Unreadable => false,
    };
    let (caller, session, by_token) = if asks_authenticators {
        let identity = proven(state, &presented, parts).await?;
        let by_token = identity.is_some() && matches!(presented, Presented::Bearer(_));
        let caller = identity.map_or_else(Caller::anonymous, Caller::identified);
        (caller, cookie.disowned(), by_token)
    } else {
        let (caller, session) = of_session(state, cookie).await?;
        (caller, session, false)
    };
    Ok(Identified {
        caller: accompanied(caller, parts),
        session,
        by_token,
        has_session,
        had_user,
    })
}

/// The request's session, or a new one, and which of the two.
pub(crate) fn session(state: &ApiState, headers: &HeaderMap) -> (Session, bool) {
    let now = state.runtime.clock.now();
    match Session::of(headers, &state.options, &*state.seal, now) {
        Some(session) => (session, true),
        None => (Session::anonymous(&state.runtime), false),
    }
}

/// Whose session it is. Whoever has been switched off, deleted or logged out is nobody.
pub(crate) async fn of_session(state: &ApiState, session: Session) -> Result<(Caller, Session), Error> {
    let Some(uuid) = &session.user else {
        return Ok((Caller::anonymous(), session));
    };
    let may = |account: &Account| account.enabled && account.kind == AccountKind::User;
    let mut reader = state.accounts.store().reader();
    let Some(account) = reader.account(AccountKey::Uuid(uuid)).await?.filter(may) else {
        return Ok((Caller::anonymous(), session.disowned()));
    };
    let caller = Caller::new(Principal::User(account.name.into()))
        .with_credential(CredentialKind::Session, None)
        .with_password_checked(session.password_checked);
    Ok((caller, session))
}

/// Who a name and secret, or a token, prove; nobody when they are not valid here.
pub(crate) async fn proven(
    state: &ApiState,
    presented: &Presented,
    parts: &Parts,
) -> Result<Option<Identity>, Error> {
    if !presented.is_password() {
        return judged(state, presented).await;
    }
    let address = accompanied(Caller::anonymous(), parts).client_address;
    let attempt = state.attempts.begin(address).await?;
    let identity = judged(state, presented).await;
    if !matches!(identity, Ok(None)) {
        attempt.forgive();
    }
    identity
}

async fn judged(state: &ApiState, presented: &Presented) -> Result<Option<Identity>, Error> {
    if matches!(presented, Presented::Basic(username, _) if username.chars().any(char::is_control)) {
        // Nobody is called that, and not every database takes it for a question.
        return Ok(None);
    }
    for authenticator in &state.settings.authenticators {
        match authenticator.authenticate(presented.as_credentials()).await? {
            // Tokens of the registry protocol grant pulling and pushing and nothing else.
            Authentication::Proven(identity) if identity.kind == CredentialKind::RegistryToken => {
                return Ok(None);
            }
            Authentication::Proven(identity) => return Ok(Some(identity)),
            Authentication::Denied(_) => return Ok(None),
            Authentication::Throttled { retry_after } => return Err(Error::throttled(retry_after)),
            _ => {}
        }
    }
    Ok(None)
}

/// Whether the request was made by a page that this registry gave a token to.
pub(crate) async fn forgery_rule(
    operation: &Operation,
    parts: &Parts,
    identified: &Identified,
    content: &mut RequestContent,
) -> Result<(), Refusal> {
    if is_read(&parts.method) || identified.by_token || operation.is(AuthFlag::NoCsrf) {
        return Ok(());
    }
    let shown = match parts.headers.get("x-csrf-token") {
        Some(value) => value.to_str().ok().map(str::to_owned),
        None => match in_query(parts) {
            Some(shown) => Some(shown),
            None => content.form_field(&parts.headers, "_csrf_token").await?,
        },
    };
    if identified.has_session && shown.is_some_and(|shown| identified.session.allows(&shown)) {
        return Ok(());
    }
    // Quay's later versions have changed their mind about the member's name.
    let message = "CSRF token was invalid or missing.";
    let body = json!({ "message": message, "error": message });
    let answer = json_answer(StatusCode::FORBIDDEN, "application/json", &body);
    Err(Refusal::Answer(Box::new(answer)))
}

fn in_query(parts: &Parts) -> Option<String> {
    let mut pairs = form_urlencoded::parse(parts.uri.query()?.as_bytes());
    pairs
        .find(|(name, _)| name == "_csrf_token")
        .map(|(_, value)| value.into_owned())
}

/// Nothing is written while the registry takes no writes.
pub(crate) fn read_only_rule(state: &ApiState, operation: &Operation, parts: &Parts) -> Result<(), Error> {
    let allowed = is_read(&parts.method) || operation.is(AuthFlag::AllowedInReadonlyMode);
    if state.options.read_only && !allowed {
        return Err(Error::new(
            ErrorKind::ReadOnly,
            "System is currently read-only. Pulls will succeed but all write operations are currently suspended.",
        ));
    }
    Ok(())
}

/// Where anonymous access is off, nobody in particular gets nothing.
pub(crate) fn anonymous_rule(
    state: &ApiState,
    operation: &Operation,
    identified: &Identified,
) -> Result<(), Error> {
    let exempt = state.options.anonymous_access || operation.is(AuthFlag::AnonymousEvenWhenDisabled);
    if !exempt && identified.caller.principal == Principal::Anonymous {
        let error = Error::new(ErrorKind::InvalidToken, "Anonymous access is not allowed");
        // Pages tell their users that a session has ended, unless they hear that none was needed.
        return Err(if identified.had_user {
            error
        } else {
            error.with_detail(json!({ "session_required": false }))
        });
    }
    Ok(())
}

fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default()
}
