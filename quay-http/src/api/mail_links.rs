//! Links in mails: whoever follows one has shown that the mailbox is theirs.

use http::Method;
use http::StatusCode;
use http::request::Parts;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use quay_core::{Error, ErrorKind, Principal};

use super::checks::{of_session, session};
use super::dispatch::finish;
use super::failure::{failure, no_such_page};
use super::oauth::{guarded, may_write, refusal};
use super::reply::Reply;
use super::session::Session;
use super::state::ApiState;
use crate::form::Fields;
use crate::response::Answer;
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
}

/// Answers somebody who followed a link.
pub(crate) async fn respond(state: &ApiState, link: MailLink, parts: &Parts) -> Answer {
    if link != MailLink::Join && !state.options.mailing {
        return no_such_page();
    }
    let replied = if parts.method == Method::HEAD {
        // Programs that look through mail try links out. A code must not be used up by that.
        Ok(Reply::empty(StatusCode::OK))
    } else {
        follow(state, link, parts).await
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

async fn follow(state: &ApiState, link: MailLink, parts: &Parts) -> Result<Reply, Error> {
    let query = Fields::of_query(parts.uri.query());
    let sound = |code: &&str| !code.is_empty() && !code.chars().any(char::is_control);
    let code = query.get("code").filter(sound);
    let code = code.ok_or_else(|| Error::new(ErrorKind::InvalidRequest, "The link has no code in it"))?;
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
            Reply::redirect(&format!("{base}/user/{}?tab=settings", account.name)).with_session(session)
        }
        MailLink::Join => {
            let (session, _) = session(state, &parts.headers);
            let (caller, _) = of_session(state, session).await?;
            if caller.principal == Principal::Anonymous {
                // Whoever signs in or up next shows the code with that.
                let code = utf8_percent_encode(code, NON_ALPHANUMERIC);
                return Ok(Reply::redirect(&format!("{base}/?invite_code={code}")));
            }
            let caller = accompanied(caller, parts);
            let (organization, _) = state.accounts.accept_invite(&caller, code).await?;
            Reply::redirect(&format!("{base}/organization/{}", organization.name))
        }
    })
}
