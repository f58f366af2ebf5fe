//! Who is calling the protocols that know no tokens of the registry's: names and secrets with every request, or
//! what was given for them.

use http::HeaderMap;
use http::StatusCode;
use http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::request::Parts;
use quay_core::accounts::Accounts;
use quay_core::auth::{Authentication, Identity};
use quay_core::{Caller, CredentialKind, Error, ErrorKind, Principal};
use serde_json::json;

use crate::attempts::LoginAttempts;
use crate::body::ResponseBody;
use crate::credentials::Presented;
use crate::response::{Answer, AnswerExt as _, answer, throttled};
use crate::service::{Settings, accompanied};

/// The scheme of tokens that were given with an answer's `X-Docker-Token`.
const TOKEN: &str = "Token ";
/// What such a token begins with.
pub(crate) const SIGNATURE: &str = "sigv2=";

/// Judges what requests log in with.
#[derive(Debug, Clone)]
pub(crate) struct OldLogin {
    settings: Settings,
    attempts: Option<LoginAttempts>,
    accounts: Option<Accounts>,
}

/// What a request shows.
fn presented(headers: &HeaderMap) -> Presented {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let token = values
        .next()
        .and_then(|value| value.to_str().ok()?.strip_prefix(TOKEN));
    match token {
        Some(token) if values.next().is_none() => match token.trim().strip_prefix(SIGNATURE) {
            Some(token) => Presented::Bearer(token.to_owned()),
            None => Presented::Unreadable,
        },
        _ => Presented::from_headers(headers),
    }
}

impl OldLogin {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            attempts: settings.login_attempts.clone(),
            settings,
            accounts: None,
        }
    }

    pub(crate) fn with_accounts(mut self, accounts: Accounts) -> Self {
        let attempts = || LoginAttempts::new(accounts.runtime().clone());
        self.attempts = Some(self.attempts.take().unwrap_or_else(attempts));
        self.accounts = Some(accounts);
        self
    }

    #[cfg(feature = "verbs")]
    pub(crate) const fn accounts(&self) -> Option<&Accounts> {
        self.accounts.as_ref()
    }

    /// Who is calling, with what the action log is told of them.
    pub(crate) async fn caller(&self, parts: &Parts) -> Result<Caller, Error> {
        self.caller_with(&presented(&parts.headers), parts).await
    }

    /// Who would be calling with a name and a secret.
    pub(crate) async fn caller_as(&self, name: &str, secret: &str, parts: &Parts) -> Result<Caller, Error> {
        let shown = Presented::Basic(name.to_owned(), secret.to_owned());
        self.caller_with(&shown, parts).await
    }

    async fn caller_with(&self, shown: &Presented, parts: &Parts) -> Result<Caller, Error> {
        let identity = match &self.attempts {
            Some(attempts) if shown.is_password() => {
                let address = accompanied(Caller::anonymous(), parts).client_address;
                let attempt = attempts.begin(address).await?;
                let identity = self.identity(shown).await;
                let failed = |error: &Error| error.kind() == ErrorKind::Unauthorized;
                if !identity.as_ref().is_err_and(failed) {
                    attempt.forgive();
                }
                identity?
            }
            _ => self.identity(shown).await?,
        };
        let caller = accompanied(Caller::identified(identity), parts);
        match &self.accounts {
            Some(accounts) => accounts.described(&caller).await,
            None => Ok(caller),
        }
    }

    async fn identity(&self, shown: &Presented) -> Result<Identity, Error> {
        let refused = |reason: &str| Error::new(ErrorKind::Unauthorized, reason);
        if let Presented::Basic(name, _) = shown
            && name.chars().any(char::is_control)
        {
            return Err(refused("Specified credentials are invalid"));
        }
        for authenticator in &self.settings.authenticators {
            match authenticator.authenticate(shown.as_credentials()).await? {
                Authentication::Proven(identity) => return Ok(identity),
                Authentication::Denied(reason) => return Err(refused(reason)),
                Authentication::Throttled { retry_after } => return Err(Error::throttled(retry_after)),
                _ => {}
            }
        }
        match shown {
            Presented::None => Ok(Identity::new(Principal::Anonymous, CredentialKind::None)),
            _ => Err(refused("Specified credentials are invalid")),
        }
    }
}

/// The answer to credentials that prove nothing.
pub(crate) fn unproven(error: &Error) -> Answer {
    match error.kind() {
        ErrorKind::Unauthorized => told(StatusCode::UNAUTHORIZED, error.public_message())
            .with_static(WWW_AUTHENTICATE, "Basic realm=\"registry\""),
        _ => failed(error),
    }
}

/// The answer to a failed operation: these protocols do not tell who must log in from who may not.
pub(crate) fn failed(error: &Error) -> Answer {
    let status = match error.kind() {
        ErrorKind::Throttled => return throttled(error),
        ErrorKind::Unauthorized => StatusCode::FORBIDDEN,
        kind => StatusCode::from_u16(kind.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
    };
    if status.is_server_error() {
        tracing::error!(%error, source = ?error.store_error(), "request failed");
    }
    told(status, error.public_message())
}

/// An answer that says what is wrong.
pub(crate) fn told(status: StatusCode, message: &str) -> Answer {
    let body = json!({ "error": message, "info_url": "" });
    answer(status)
        .with_static(CONTENT_TYPE, "application/json")
        .with_body(ResponseBody::full(body.to_string()))
}
