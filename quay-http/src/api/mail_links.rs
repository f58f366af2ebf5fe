//! Links in mails: whoever follows one has shown that the mailbox is theirs.

use http::Method;
use http::StatusCode;
use http::header::ALLOW;
use http::request::Parts;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use quay_core::blob_store::ByteStream;
use quay_core::{Error, ErrorKind};

use super::checks::{of_session, session};
use super::dispatch::finish;
use super::failure::{bare, failure, no_such_page};
use super::oauth::{form, guarded, invitation, may_write, refusal};
use super::reply::Reply;
use super::session::Session;
use super::state::ApiState;
use crate::form::Fields;
use crate::response::{Answer, AnswerExt as _};
use crate::service::accompanied;

/// What a link is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum MailLink {
    /// Confirms an address.
    Confirm,
    /// Lets somebody in who forgot their password.
    Recover,
    /// Takes somebody into a team.
    Join,
}

impl MailLink {
    pub(crate) fn at(path: &str) -> Option<Self> {
        Some(match path {
            "/confirm" => Self::Confirm,
            "/recovery" => Self::Recover,
            "/confirminvite" => Self::Join,
            _ => return None,
        })
    }

    const fn methods(self) -> &'static str {
        match self {
            Self::Confirm | Self::Recover => "GET, HEAD",
            Self::Join => "GET, HEAD, POST",
        }
    }
}

/// Answers somebody who followed a link, or answers the question that an invitation is.
pub(crate) async fn respond(state: &ApiState, link: MailLink, parts: &Parts, body: ByteStream) -> Answer {
    if link != MailLink::Join && !state.options.mailing {
        return no_such_page();
    }
    let replied = match parts.method {
        // Programs that look through mail try links out. A code must not be used up by that.
        Method::HEAD => Ok(Reply::empty(StatusCode::OK)),
        Method::GET => follow(state, link, parts).await,
        Method::POST if link == MailLink::Join => join(state, parts, body).await,
        _ => {
            let message = "The method is not allowed for the requested URL.";
            return bare(StatusCode::METHOD_NOT_ALLOWED, message).with_static(ALLOW, link.methods());
        }
    };
    let replied = match replied {
        Err(error) if error.kind() == ErrorKind::InvalidRequest => {
            let message = error.public_message();
            Ok(refusal(StatusCode::BAD_REQUEST, &state.options.title, message))
        }
        replied => replied,
    };
    let answered = match replied {
        Ok(reply) => finish(guarded(reply), &state.options, &*state.seal).await,
        Err(error) => Err(error),
    };
    answered.unwrap_or_else(|error| failure(&error, &state.options.base_url))
}

/// The code that a link or a form has.
fn code(fields: &Fields) -> Result<&str, Error> {
    let sound = |code: &&str| !code.is_empty() && !code.chars().any(char::is_control);
    let code = fields.get("code").filter(sound);
    code.ok_or_else(|| Error::new(ErrorKind::InvalidRequest, "The link has no code in it"))
}

async fn follow(state: &ApiState, link: MailLink, parts: &Parts) -> Result<Reply, Error> {
    let query = Fields::of_query(parts.uri.query());
    let code = code(&query)?;
    may_write(state)?;
    let base = &state.options.base_url;
    Ok(match link {
        MailLink::Confirm => {
            let account = state.accounts.confirm(code).await?;
            // The mailbox has been shown, not the password.
            let session = Session {
                password_checked: None,
                ..Session::logged_in(&account, &state.runtime)
            };
            Reply::redirect(&format!("{base}/")).with_session(session)
        }
        MailLink::Recover => {
            let account = state.accounts.recover(code).await?;
            // As good as the password that was forgotten: the next thing is a new one.
            let session = Session::logged_in(&account, &state.runtime);
            Reply::redirect(&format!(
                "{base}/user/{}?tab=settings&action=password",
                account.name
            ))
            .with_session(session)
        }
        MailLink::Join => {
            let (session, _) = session(state, &parts.headers);
            let (caller, session) = of_session(state, session).await?;
            if let Some(name) = caller.account() {
                // Any site's page may lead here: the user says yes on a page of this registry.
                invitation(&state.options.title, name, code, &session.csrf)
            } else {
                // Whoever signs in or up there shows the code with that.
                let code = utf8_percent_encode(code, NON_ALPHANUMERIC);
                Reply::redirect(&format!("{base}/signin?code={code}"))
            }
        }
    })
}

/// Somebody has said yes to an invitation.
async fn join(state: &ApiState, parts: &Parts, body: ByteStream) -> Result<Reply, Error> {
    let fields = form(parts, body).await?;
    let code = code(&fields)?;
    may_write(state)?;
    let (session, has_session) = session(state, &parts.headers);
    let (caller, session) = of_session(state, session).await?;
    let shown = fields.get("_csrf_token");
    if !has_session || !shown.is_some_and(|shown| session.allows(shown)) {
        let message = "CSRF token was invalid or missing.";
        return Ok(refusal(StatusCode::FORBIDDEN, &state.options.title, message));
    }
    let caller = accompanied(caller, parts);
    let (organization, _) = state.accounts.accept_invite(&caller, code).await?;
    let base = &state.options.base_url;
    Ok(Reply::redirect(&format!(
        "{base}/organization/{}",
        organization.name
    )))
}
