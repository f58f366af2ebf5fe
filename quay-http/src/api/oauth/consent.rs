//! Asking the user, and what comes of the answer.

use http::StatusCode;
use http::request::Parts;
use quay_core::accounts::{AuthorizationRequest, CheckedRequest, NotAuthorized, OAUTH_TOKEN_LIFETIME};
use quay_core::blob_store::ByteStream;
use quay_core::{Error, ErrorKind};
use serde_json::{Value, json};

use super::redirect::{self, Place, send};
use super::{Visitor, form, may_write, page};
use crate::api::avatar;
use crate::api::reply::Reply;
use crate::api::state::ApiState;
use crate::form::Fields;

/// How a token gets to the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ResponseType {
    /// By a code that the application's server exchanges.
    Code,
    /// At once, for the application's page.
    Token,
}

/// What an application asks for, as it was sent.
pub(crate) struct Question {
    client_id: String,
    pub(crate) redirect_uri: String,
    scope: String,
    response_type: Option<String>,
    state: Option<String>,
    challenge: Option<String>,
    method: Option<String>,
    assignment: Option<String>,
}

impl Question {
    /// `None` where one of those is missing without which nobody can be answered.
    fn read(fields: &Fields) -> Option<Self> {
        let text = |name: &str| fields.get(name).map(ToOwned::to_owned);
        let filled = |name: &str| text(name).filter(|value| !value.is_empty());
        // No application is called that, and not every database takes it for a question.
        if filled("client_id")?.chars().any(char::is_control) {
            return None;
        }
        Some(Self {
            client_id: filled("client_id")?,
            redirect_uri: filled("redirect_uri")?,
            scope: text("scope")?,
            response_type: filled("response_type"),
            state: text("state"),
            challenge: text("code_challenge"),
            method: text("code_challenge_method"),
            assignment: filled("assignment_uuid"),
        })
    }

    /// The same as the fields of a form.
    pub(crate) fn fields(&self) -> [(&'static str, Option<&str>); 8] {
        [
            ("client_id", Some(&self.client_id)),
            ("redirect_uri", Some(&self.redirect_uri)),
            ("scope", Some(&self.scope)),
            // What the page was asked for is what its form asks for.
            (
                "response_type",
                Some(self.response_type.as_deref().unwrap_or("code")),
            ),
            ("state", self.state.as_deref()),
            ("code_challenge", self.challenge.as_deref()),
            ("code_challenge_method", self.method.as_deref()),
            ("assignment_uuid", self.assignment.as_deref()),
        ]
    }

    fn request(&self) -> AuthorizationRequest<'_> {
        AuthorizationRequest {
            client_id: &self.client_id,
            redirect_uri: &self.redirect_uri,
            scope: &self.scope,
            challenge: self.challenge.as_deref(),
            assignment: self.assignment.as_deref(),
        }
    }

    /// How the token is to be handed over; an error code of RFC 6749 for what is not done here.
    fn response_type(&self, default: ResponseType) -> Result<ResponseType, &'static str> {
        let response_type = match self.response_type.as_deref() {
            None => default,
            Some("code") => ResponseType::Code,
            Some("token") => ResponseType::Token,
            Some(_) => return Err("unsupported_response_type"),
        };
        let sound = match (&self.challenge, self.method.as_deref()) {
            (None, None) => true,
            // A challenge that is the verifier itself protects from nothing (RFC 7636, section 7.2).
            (Some(challenge), Some("S256")) => is_challenge(challenge) && response_type == ResponseType::Code,
            _ => false,
        };
        // What a user was asked to make is a token, not a code for one.
        if sound && (self.assignment.is_none() || response_type == ResponseType::Token) {
            Ok(response_type)
        } else {
            Err("invalid_request")
        }
    }

    /// Tells the application why it gets nothing, at an address that was found to be its own.
    fn refuse(&self, error: &str) -> Result<Reply, Error> {
        let fields = [("error", Some(error)), ("state", self.state.as_deref())];
        send(&self.redirect_uri, Place::Query, &fields)
    }

    /// Hands a token, or a code, over.
    async fn grant(
        &self,
        state: &ApiState,
        visitor: &Visitor,
        by: ResponseType,
    ) -> Result<Reply, NotAuthorized> {
        may_write(state)?;
        // A token that nobody can be sent must not be made.
        redirect::check(&self.redirect_uri)?;
        let (accounts, caller) = (&state.accounts, &visitor.caller);
        let own = self.state.as_deref();
        let reply = match by {
            ResponseType::Code => {
                let code = accounts.grant_code(caller, self.request()).await?;
                let fields = [("code", Some(code.as_str())), ("state", own)];
                send(&self.redirect_uri, Place::Query, &fields)?
            }
            ResponseType::Token => {
                let issued = accounts.grant_token(caller, self.request()).await?;
                let lifetime = OAUTH_TOKEN_LIFETIME.as_secs().to_string();
                let fields = [
                    ("access_token", Some(issued.value.as_str())),
                    ("token_type", Some("Bearer")),
                    ("expires_in", Some(lifetime.as_str())),
                    ("state", own),
                ];
                send(&self.redirect_uri, Place::Fragment, &fields)?
            }
        };
        Ok(reply)
    }
}

/// The base64url of a SHA-256 (RFC 7636, section 4.2).
fn is_challenge(text: &str) -> bool {
    text.len() == 43
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// `GET /oauth/authorize`
pub(crate) async fn ask(state: &ApiState, parts: &Parts) -> Result<Reply, Error> {
    let title = &state.options.title;
    let query = Fields::of_query(parts.uri.query());
    // Not every database takes a zero byte for a question.
    let question = (!query.hold_zero()).then(|| Question::read(&query)).flatten();
    let Some(question) = question else {
        let message = "The application that sent you here did not say what it wants.";
        return Ok(page::refusal(StatusCode::BAD_REQUEST, title, message));
    };
    let visitor = Visitor::of(state, parts).await?;
    let checked = match state
        .accounts
        .check_authorization(&visitor.caller, question.request())
        .await
    {
        Ok(checked) => checked,
        Err(reason) => return refuse_page(title, &question, reason),
    };
    let response_type = match question.response_type(ResponseType::Code) {
        Ok(response_type) => response_type,
        Err(error) => return question.refuse(error),
    };
    let as_json = query.get("format") == Some("json");
    if visitor.is_anonymous() {
        if as_json {
            return Err(Error::new(ErrorKind::InvalidToken, "Requires authentication"));
        }
        return Ok(visitor.told(page::sign_in_first(title, &checked)));
    }
    if checked.granted && parts.method == http::Method::GET {
        return match question.grant(state, &visitor, response_type).await {
            Ok(reply) => Ok(reply),
            Err(reason) => refuse_page(title, &question, reason),
        };
    }
    let csrf = visitor.session.csrf.clone();
    let reply = if as_json {
        Reply::ok(&described(&question, &checked, &csrf))
    } else {
        let user = visitor.caller.account().unwrap_or_default();
        page::question(title, user, &question, &checked, &csrf)
    };
    Ok(visitor.told(reply))
}

/// What the page says, for pages of others.
fn described(question: &Question, checked: &CheckedRequest, csrf: &str) -> Value {
    let scope = |scope: quay_core::accounts::Scope| {
        json!({
            "scope": scope.as_str(),
            "title": scope.title(),
            "description": scope.description(),
            "icon": scope.icon(),
            "dangerous": scope.is_dangerous(),
        })
    };
    let application = &checked.application;
    let mut body = json!({
        "scopes": checked.scopes.iter().map(scope).collect::<Vec<_>>(),
        "has_dangerous_scopes": checked.scopes.iter().any(quay_core::accounts::Scope::is_dangerous),
        "application": {
            "name": application.name,
            "description": application.description,
            "url": application.application_uri,
            "avatar": avatar::of_application(application),
            "organization": {
                "name": checked.organization.name,
                "avatar": avatar::of_account(&checked.organization),
            },
        },
        "csrf_token_val": csrf,
    });
    for (name, value) in question.fields() {
        body[name] = json!(value);
    }
    body
}

/// Why the user is not asked.
fn refuse_page(title: &str, question: &Question, reason: NotAuthorized) -> Result<Reply, Error> {
    let page = |message: &str| Ok(page::refusal(StatusCode::NOT_FOUND, title, message));
    match reason {
        NotAuthorized::Failed(error) => Err(error),
        NotAuthorized::BadScope => page("The application that sent you here asks for something unknown."),
        NotAuthorized::BadAssignment => page("You are not, or no longer, asked to make this token."),
        NotAuthorized::RedirectMismatch { registered } => {
            let fields = [
                ("error", Some("redirect_uri_mismatch")),
                ("state", question.state.as_deref()),
            ];
            let sent = send(&registered, Place::Query, &fields);
            sent.or_else(|_| page("The application that sent you here has no address that can be used."))
        }
        _ => page("The application that sent you here is not known."),
    }
}

/// What a form says, and who sent it from a page of this registry.
async fn answered(
    state: &ApiState,
    parts: &Parts,
    body: ByteStream,
) -> Result<Result<(Visitor, Question), Reply>, Error> {
    let fields = form(parts, body).await?;
    let visitor = Visitor::of(state, parts).await?;
    let trusted = |client: &str| state.options.direct_oauth_clients.contains(client);
    // A browser sends a password along by itself: only for clients that the operator trusts is it enough.
    let is_direct = visitor.by_password() && fields.get("client_id").is_some_and(trusted);
    if !is_direct && !visitor.shows_token(parts, &fields) {
        let message = "CSRF token was invalid or missing.";
        let body = json!({ "message": message, "error": message });
        return Ok(Err(Reply::json(StatusCode::FORBIDDEN, &body)));
    }
    if visitor.is_anonymous() {
        return Err(Error::new(ErrorKind::InvalidToken, "Requires authentication"));
    }
    Ok(match Question::read(&fields) {
        Some(question) => Ok((visitor, question)),
        None => Err(bad_request("invalid_request")),
    })
}

fn bad_request(error: &str) -> Reply {
    Reply::json(StatusCode::BAD_REQUEST, &json!({ "error": error }))
}

/// Why an answer comes to nothing.
fn refuse_answer(question: &Question, reason: NotAuthorized) -> Result<Reply, Error> {
    match reason {
        NotAuthorized::Failed(error) => Err(error),
        NotAuthorized::BadScope => question.refuse("invalid_scope"),
        NotAuthorized::RedirectMismatch { .. } => Ok(bad_request("invalid_request")),
        NotAuthorized::BadAssignment => Ok(bad_request("access_denied")),
        // There is no address that is known to be somebody's.
        _ => Ok(bad_request("unauthorized_client")),
    }
}

/// `POST /oauth/authorizeapp`
pub(crate) async fn approve(state: &ApiState, parts: &Parts, body: ByteStream) -> Result<Reply, Error> {
    let (visitor, question) = match answered(state, parts, body).await? {
        Ok(answered) => answered,
        Err(reply) => return Ok(reply),
    };
    let request = question.request();
    if let Err(reason) = state.accounts.check_authorization(&visitor.caller, request).await {
        return refuse_answer(&question, reason);
    }
    // Clients that post the form themselves know of no other way than this one.
    let response_type = match question.response_type(ResponseType::Token) {
        Ok(response_type) => response_type,
        Err(error) => return question.refuse(error),
    };
    match question.grant(state, &visitor, response_type).await {
        Ok(reply) => Ok(reply),
        Err(reason) => refuse_answer(&question, reason),
    }
}

/// `POST /oauth/denyapp`
pub(crate) async fn deny(state: &ApiState, parts: &Parts, body: ByteStream) -> Result<Reply, Error> {
    let (visitor, question) = match answered(state, parts, body).await? {
        Ok(answered) => answered,
        Err(reply) => return Ok(reply),
    };
    let request = question.request();
    match state.accounts.check_authorization(&visitor.caller, request).await {
        Ok(_) => {
            if let Some(uuid) = &question.assignment {
                may_write(state)?;
                let declined = state.accounts.decline_assignment(&visitor.caller, uuid).await;
                // Somebody may have answered on another page this moment.
                declined.or_else(|error| match error.kind() {
                    ErrorKind::NotFound => Ok(()),
                    _ => Err(error),
                })?;
            }
            question.refuse("authorization_denied")
        }
        Err(reason) => refuse_answer(&question, reason),
    }
}

/// `POST /oauth/authorize/assignuser`: another user is asked to make the token.
pub(crate) async fn assign(state: &ApiState, parts: &Parts, body: ByteStream) -> Result<Reply, Error> {
    // The question stands in the address. A client may send a form besides, with its token in there, or
    // nothing of that kind.
    let sent = match form(parts, body).await {
        Err(error) if error.kind() == ErrorKind::Rejected => Fields::of_query(None),
        sent => sent?,
    };
    let query = Fields::of_query(parts.uri.query());
    if query.hold_zero() {
        return Err(Error::new(
            ErrorKind::InvalidRequest,
            "The query holds a zero byte",
        ));
    }
    let visitor = Visitor::of(state, parts).await?;
    if !visitor.shows_token(parts, &sent) && !visitor.shows_token(parts, &query) {
        let message = "CSRF token was invalid or missing.";
        let body = json!({ "message": message, "error": message });
        return Ok(Reply::json(StatusCode::FORBIDDEN, &body));
    }
    if visitor.is_anonymous() {
        return Err(Error::new(ErrorKind::InvalidToken, "Requires authentication"));
    }
    let (Some(question), Some(user)) = (Question::read(&query), query.get("username")) else {
        return Ok(bad_request("invalid_request"));
    };
    match question.response_type(ResponseType::Token) {
        Ok(ResponseType::Token) => {}
        Ok(ResponseType::Code) => return Ok(bad_request("unsupported_response_type")),
        Err(error) => return Ok(bad_request(error)),
    }
    may_write(state)?;
    let assigned = state
        .accounts
        .assign_token(&visitor.caller, user, question.request())
        .await;
    let message = "Token assigned successfully";
    match assigned {
        Ok(()) if query.get("format") == Some("json") => Ok(Reply::ok(&json!({ "message": message }))),
        Ok(()) => Ok(page::refusal(StatusCode::OK, &state.options.title, message)),
        Err(NotAuthorized::Failed(error)) => Err(error),
        Err(NotAuthorized::BadClient) => Err(Error::new(ErrorKind::NotFound, "Not Found")),
        Err(NotAuthorized::BadScope) => Ok(bad_request("invalid_scope")),
        Err(_) => Ok(bad_request("redirect_uri_mismatch")),
    }
}
