//! How an application is given a token by a user (RFC 6749, RFC 7636).

use std::time::Duration;

use super::applications::{IssuedToken, OAUTH_TOKEN_LIFETIME, TOKEN_NAME};
use super::facade::{Accounts, change};
use super::record::{Account, AccountKind, Application, AuthorizationCode, OAuthToken};
use super::role::ScopeSet;
use super::store::{AccountKey, OAuthTokenFilter};
use crate::caller::Caller;
use crate::error::Error;
use crate::metadata::PageRequest;

/// How long a code may wait to be exchanged for a token.
const CODE_LIFETIME: Duration = Duration::from_mins(5);

/// A request for a token as an application's page sends a user here.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::exhaustive_structs, reason = "the parameters of the call")]
pub struct AuthorizationRequest<'a> {
    /// The application.
    pub client_id: &'a str,
    /// Where the answer goes.
    pub redirect_uri: &'a str,
    /// What is asked for.
    pub scope: &'a str,
    /// The PKCE challenge (RFC 7636, S256 only).
    pub challenge: Option<&'a str>,
    /// What asks the user to make this token, if something does ([`Accounts::assign_token`]).
    pub assignment: Option<&'a str>,
}

/// Why an application gets no token.
#[derive(Debug)]
#[non_exhaustive]
pub enum NotAuthorized {
    /// There is no such application, or it may not be answered at that address: the user is told, nobody
    /// is redirected.
    BadClient,
    /// The address is not the application's; the application is told at its own address.
    RedirectMismatch {
        /// The address that is the application's.
        registered: String,
    },
    /// A scope is unknown or switched off.
    BadScope,
    /// The signed-in user is not, or no longer, asked to make this token.
    BadAssignment,
    /// Something else went wrong.
    Failed(Error),
}

impl<E: Into<Error>> From<E> for NotAuthorized {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// A request for a token that may be put to a user.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CheckedRequest {
    /// The application.
    pub application: Application,
    /// The organization that it belongs to.
    pub organization: Account,
    /// What is asked for.
    pub scopes: ScopeSet,
    /// Whether the user has granted as much before, so that nobody needs to be asked.
    pub granted: bool,
}

impl Accounts {
    /// Checks an application's request for a token, and whether the signed-in user, if there is one, has
    /// granted as much before.
    ///
    /// # Errors
    /// Why the user cannot be asked.
    pub async fn check_authorization(
        &self,
        caller: &Caller,
        request: AuthorizationRequest<'_>,
    ) -> Result<CheckedRequest, NotAuthorized> {
        let found = self.reader().application(request.client_id).await?;
        let application = found.ok_or(NotAuthorized::BadClient)?;
        if !self.may_be_sent_to(&application, request.redirect_uri) {
            return Err(if application.redirect_uri.is_empty() {
                NotAuthorized::BadClient
            } else {
                NotAuthorized::RedirectMismatch {
                    registered: application.redirect_uri,
                }
            });
        }
        let scopes = ScopeSet::parse(request.scope, self.0.options.superusers_enabled);
        if scopes.is_empty() {
            return Err(NotAuthorized::BadScope);
        }
        let organization = self
            .reader()
            .account(AccountKey::Id(application.organization))
            .await?
            .filter(|organization| organization.enabled)
            .ok_or(NotAuthorized::BadClient)?;
        let mut checked = CheckedRequest {
            application,
            organization,
            scopes,
            granted: false,
        };
        match self.session_user(caller).await {
            Ok(actor) => {
                self.asked_for(&actor.account, &checked, request).await?;
                checked.granted = self
                    .has_granted(&actor.account, &checked.application, scopes)
                    .await?;
            }
            Err(error) if error.store_error().is_some() => return Err(error.into()),
            Err(_) => {}
        }
        Ok(checked)
    }

    /// Tokens go to exactly the address that is the application's, or to this registry's own page that
    /// shows them. Quay compares the beginning only, which lets whoever can register a longer host name
    /// in.
    fn may_be_sent_to(&self, application: &Application, redirect_uri: &str) -> bool {
        let options = &self.0.options;
        let local = format!("{}{}", options.base_url, options.local_oauth_handler);
        !redirect_uri.is_empty() && (redirect_uri == application.redirect_uri || redirect_uri == local)
    }

    async fn has_granted(
        &self,
        account: &Account,
        application: &Application,
        scopes: ScopeSet,
    ) -> Result<bool, Error> {
        let now = self.now();
        let mut after = None;
        loop {
            let page = PageRequest::new(after, 500);
            let filter = OAuthTokenFilter::Account(account.id);
            let tokens = self.reader().oauth_tokens(filter, &page).await?;
            let Some((last, _)) = tokens.last() else {
                return Ok(false);
            };
            after = Some(last.id);
            let covers = |token: &OAuthToken| {
                token.application == application.id && token.expires > now && token.scopes.covers(scopes)
            };
            if tokens.iter().any(|(token, _)| covers(token)) {
                return Ok(true);
            }
        }
    }

    /// Gives an application a token that acts for the signed-in user, who has said yes.
    ///
    /// # Errors
    /// Why not.
    pub async fn grant_token(
        &self,
        caller: &Caller,
        request: AuthorizationRequest<'_>,
    ) -> Result<IssuedToken, NotAuthorized> {
        let checked = self.check_authorization(caller, request).await?;
        let actor = self.session_user(caller).await?;
        let asked = self.asked_for(&actor.account, &checked, request).await?;
        let issued = self
            .new_oauth_token(
                &checked.application,
                &actor.account,
                checked.scopes,
                OAUTH_TOKEN_LIFETIME,
            )
            .await?;
        let granted = change!(self, |unit| async {
            if let Some(asked) = &asked {
                // Whoever is asked once makes one token.
                if !super::assignment::remove(unit, asked).await? {
                    return Ok(false);
                }
            }
            unit.insert_oauth_token(&issued.token).await?;
            Ok(true)
        })?;
        granted.then_some(issued).ok_or(NotAuthorized::BadAssignment)
    }

    /// Gives an application a code that it may exchange for a token that acts for the signed-in user, who
    /// has said yes.
    ///
    /// # Errors
    /// Why not.
    pub async fn grant_code(
        &self,
        caller: &Caller,
        request: AuthorizationRequest<'_>,
    ) -> Result<String, NotAuthorized> {
        let checked = self.check_authorization(caller, request).await?;
        let actor = self.session_user(caller).await?;
        let (name, secret) = (self.code(TOKEN_NAME), self.code(TOKEN_NAME));
        let code = AuthorizationCode {
            name: name.clone(),
            hash: self.hash(&secret).await?,
            application: checked.application.id,
            account: actor.account.id,
            scopes: checked.scopes,
            redirect_uri: request.redirect_uri.to_owned(),
            challenge: request.challenge.map(ToOwned::to_owned),
            expires: self.now().plus(CODE_LIFETIME),
        };
        change!(self, |unit| async { Ok(unit.insert_code(&code).await?) })?;
        Ok(format!("{name}{secret}"))
    }

    /// Exchanges a code for a token (RFC 6749, section 4.1.3). The client shows its secret, or, having
    /// given a challenge, what the challenge was made of (RFC 7636).
    ///
    /// # Errors
    /// `Ok(Err(code))` with the error code of RFC 6749, section 5.2.
    pub async fn exchange_code(
        &self,
        client_id: &str,
        client_secret: Option<&str>,
        redirect_uri: &str,
        code: &str,
        verifier: Option<&str>,
    ) -> Result<Result<IssuedToken, &'static str>, Error> {
        let Some(application) = self.reader().application(client_id).await? else {
            return Ok(Err("invalid_client"));
        };
        let secret_fits = match client_secret {
            None => false,
            Some(given) => {
                let stored = self.0.tools.secrets.open(&application.client_secret)?;
                if !same(given, &stored) {
                    return Ok(Err("invalid_client"));
                }
                true
            }
        };
        let Some((name, secret)) = code.split_at_checked(TOKEN_NAME) else {
            return Ok(Err("invalid_grant"));
        };
        let taken = change!(self, |unit| async { Ok(unit.take_code(name).await?) })?;
        let Some(taken) = taken else {
            return Ok(Err("invalid_grant"));
        };
        let proven = match (&taken.challenge, verifier) {
            (Some(challenge), Some(verifier)) => same(challenge, &s256(verifier)),
            (Some(_), None) => false,
            (None, _) => secret_fits,
        };
        let fits = self.fits(secret, &taken.hash).await?;
        let now = self.now();
        if !proven
            || !fits
            || taken.application != application.id
            || taken.redirect_uri != redirect_uri
            || taken.expires <= now
        {
            return Ok(Err("invalid_grant"));
        }
        let account = self.reader().account(AccountKey::Id(taken.account)).await?;
        let Some(account) = account.filter(|account| account.enabled && account.kind == AccountKind::User)
        else {
            return Ok(Err("invalid_grant"));
        };
        let issued = self
            .new_oauth_token(&application, &account, taken.scopes, OAUTH_TOKEN_LIFETIME)
            .await?;
        change!(self, |unit| async {
            Ok(unit.insert_oauth_token(&issued.token).await?)
        })?;
        Ok(Ok(issued))
    }
}

/// Whether two texts are equal, in a time that depends on their length alone.
fn same(left: &str, right: &str) -> bool {
    left.len() == right.len()
        && left
            .bytes()
            .zip(right.bytes())
            .fold(0, |difference, (left, right)| difference | (left ^ right))
            == 0
}

/// The challenge that a verifier answers (RFC 7636, section 4.2).
fn s256(verifier: &str) -> String {
    use base64::Engine as _;
    use sha2::{Digest as _, Sha256};

    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges() {
        // RFC 7636, appendix B.
        assert_eq!(
            s256("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
        );
        assert!(same("abc", "abc") && !same("abc", "abd") && !same("abc", "abcd"));
    }
}
