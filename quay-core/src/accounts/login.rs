//! Signing in and out.

use serde_json::json;

use super::facade::{Accounts, Actor, change, invalid, object, refuse};
use super::log::LogKind;
use super::ports::PasswordVerdict;
use super::record::{Account, AccountKind};
use super::store::AccountKey;
use super::users::save;
use crate::caller::{Caller, CredentialKind};
use crate::error::{Error, ErrorKind};

impl Accounts {
    /// Signs somebody in with a password.
    ///
    /// # Errors
    /// [`ErrorKind::LoginFailed`] with Quay's fields as detail; [`ErrorKind::Throttled`].
    pub async fn sign_in(
        &self,
        username: &str,
        password: &str,
        invite_code: Option<&str>,
        caller: &Caller,
    ) -> Result<Account, Error> {
        let verdict = self.0.tools.login.verify(username, password).await?;
        let failed = |message: &str, verification: bool, invalid: bool| {
            Error::new(ErrorKind::LoginFailed, message).with_detail(json!({
                "needsEmailVerification": verification,
                "invalidCredentials": invalid,
            }))
        };
        let error = match verdict {
            PasswordVerdict::Proven(account)
                if account.verified
                    || !self.0.options.mailing
                    || self.is_verified_by(&account, invite_code).await? =>
            {
                // With mail there are calls to accept an invitation by.
                if let Some(code) = invite_code.filter(|code| !code.is_empty())
                    && !self.0.options.mailing
                    && let Err(error) = self.answer_invite(&account, code, caller, true).await
                {
                    // The password was right, whatever the code is.
                    tracing::debug!(%error, source = ?error.store_error(), "an invitation was not accepted");
                }
                self.log_login(caller, Some(&account.name), "quayauth", None)
                    .await?;
                return Ok(*account);
            }
            PasswordVerdict::Proven(account) => {
                // The first mail may have been lost.
                self.confirm_by_mail(*account);
                failed("Email address must be verified", true, false)
            }
            PasswordVerdict::Throttled { retry_after } => Error::throttled(retry_after),
            PasswordVerdict::Disabled => failed("This user has been disabled", false, true),
            PasswordVerdict::Invalid | PasswordVerdict::EncryptedRequired => {
                failed("Invalid Username or Password", false, true)
            }
        };
        self.log_login(caller, Some(username), "quayauth", Some(error.public_message()))
            .await?;
        Err(error)
    }

    /// Whether an invitation's code shows that an account's address is its user's, which then is kept. The
    /// invitation itself is accepted by another call.
    async fn is_verified_by(&self, account: &Account, code: Option<&str>) -> Result<bool, Error> {
        let Some(code) = code.filter(|code| !code.is_empty()) else {
            return Ok(false);
        };
        if self.0.options.read_only || !self.invite_proves(account, code).await? {
            return Ok(false);
        }
        change!(self, |unit| async {
            unit.lock_account(account.id).await?;
            let Some(mut current) = unit.account(AccountKey::Id(account.id)).await? else {
                return Ok(false);
            };
            if current.email != account.email {
                return Ok(false);
            }
            current.verified = true;
            save(unit, &current).await?;
            Ok(true)
        })
    }

    /// Notes a login, where the deployment wants that.
    ///
    /// # Errors
    /// The store's.
    pub async fn log_login(
        &self,
        caller: &Caller,
        username: Option<&str>,
        kind: &str,
        failure: Option<&str>,
    ) -> Result<(), Error> {
        let options = &self.0.options;
        let wanted = if failure.is_some() {
            options.audit_login_failures
        } else {
            options.audit_logins
        };
        if !wanted || options.read_only {
            return Ok(());
        }
        let log = if failure.is_some() {
            LogKind::LoginFailure
        } else {
            LogKind::LoginSuccess
        };
        let metadata = object(&[
            ("type", json!("quayauth")),
            ("kind", json!(kind)),
            ("useragent", json!(caller.user_agent.as_deref())),
            ("username", json!(username.map(shortened))),
            ("message", json!(failure)),
        ]);
        let namespace = username.map(shortened);
        let mut entry = self.entry(caller, log, namespace.as_deref(), metadata).await?;
        // Who failed to show who they are is nobody.
        entry.performer = username.filter(|_| failure.is_none()).map(ToOwned::to_owned);
        change!(self, |unit| async { Ok(unit.log(&entry).await?) })
    }

    /// Checks the signed-in user's password again.
    ///
    /// # Errors
    /// [`ErrorKind::LoginFailed`], [`ErrorKind::Throttled`], or that nobody is signed in.
    pub async fn verify_password(&self, caller: &Caller, password: &str) -> Result<Account, Error> {
        let actor = self.user_admin(caller).await?;
        match self.0.tools.login.verify(&actor.account.name, password).await? {
            PasswordVerdict::Proven(account) => Ok(*account),
            PasswordVerdict::Throttled { retry_after } => Err(Error::throttled(retry_after)),
            _ => Err(Error::new(ErrorKind::LoginFailed, "Invalid Username or Password")
                .with_detail(json!({ "invalidCredentials": true }))),
        }
    }

    /// Ends all sessions of the signed-in user.
    ///
    /// # Errors
    /// That nobody is signed in; [`ErrorKind::Forbidden`] for tokens, which may be good for much less.
    pub async fn sign_out(&self, caller: &Caller) -> Result<(), Error> {
        let actor = self.session_user(caller).await?;
        let entry = self
            .entry(
                caller,
                LogKind::LogoutSuccess,
                None,
                json!({ "username": actor.account.name }),
            )
            .await?;
        let uuid = self.uuid();
        change!(self, |unit| async {
            unit.lock_account(actor.account.id).await?;
            if let Some(mut account) = unit.account(AccountKey::Id(actor.account.id)).await? {
                account.uuid.clone_from(&uuid);
                save(unit, &account).await?;
                if self.0.options.audit_logins {
                    unit.log(&entry).await?;
                }
            }
            Ok(())
        })
    }

    /// The signed-in user's password as clients may keep it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`] for the wrong password.
    pub async fn client_key(&self, caller: &Caller, password: &str) -> Result<String, Error> {
        let actor = self.user_admin(caller).await?;
        match self.0.tools.login.verify(&actor.account.name, password).await? {
            PasswordVerdict::Proven(_) => {
                let entry = self
                    .entry(caller, LogKind::UserGenerateClientKey, None, json!({}))
                    .await?;
                change!(self, |unit| async { Ok(unit.log(&entry).await?) })?;
                Ok(self.0.tools.seal.encrypt_password(password))
            }
            PasswordVerdict::Throttled { retry_after } => Err(Error::throttled(retry_after)),
            _ => Err(invalid("Invalid Username or Password")),
        }
    }

    /// An account of a session, if it may still be used.
    ///
    /// # Errors
    /// The store's.
    pub async fn by_uuid(&self, uuid: &str) -> Result<Option<Account>, Error> {
        let found = self.reader().account(AccountKey::Uuid(uuid)).await?;
        Ok(found.filter(|account| account.enabled && account.kind == AccountKind::User))
    }

    /// Refuses callers that a browser's session did not bring.
    pub(super) async fn session_user(&self, caller: &Caller) -> Result<Actor, Error> {
        let actor = self.user_admin(caller).await?;
        if caller.credential == CredentialKind::Session || caller.credential == CredentialKind::Password {
            Ok(actor)
        } else {
            Err(refuse(caller))
        }
    }
}

/// What anybody may write into the log is cut off.
fn shortened(text: &str) -> String {
    text.chars().take(255).collect()
}
