//! How accounts of users come into being, and how a forgotten password is replaced.

use std::fmt;
use std::time::Duration;

use serde_json::json;

use super::facade::{Accounts, change, invalid, not_found, rejected};
use super::log::LogKind;
use super::name::{check_name, check_password, is_email};
use super::organizations::as_invalid;
use super::ports::Mail;
use super::record::{Account, AccountId, AccountKind, Confirmation, ConfirmationPurpose};
use super::store::{AccountKey, AccountWrites};
use super::users::{insert, save, taken};
use crate::caller::Caller;
use crate::error::{Error, ErrorKind};
use crate::runtime::Timestamp;

/// How long a link in a mail counts.
pub(super) const MAIL_LIFETIME: Duration = Duration::from_hours(72);
/// No mail of a kind is sent to an account sooner after the last one.
const MAIL_PAUSE: Duration = Duration::from_mins(1);

/// What came of signing up.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum SignUp {
    /// A mail has been sent; the link in it completes the sign-up.
    AwaitingVerification,
    /// The account may be used.
    Done(Box<Account>),
}

/// What came of asking for a new password.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Recovery {
    /// If there is such a user, a mail is on its way.
    Sent,
}

/// What somebody is who has just created the first account.
#[derive(Clone)]
#[non_exhaustive]
pub struct Initialized {
    /// The account.
    pub account: Account,
    /// The password as clients may keep it.
    pub encrypted_password: String,
    /// A token with every scope, if one was asked for.
    pub access_token: Option<String>,
}

impl fmt::Debug for Initialized {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Initialized")
            .field("account", &self.account)
            .finish_non_exhaustive()
    }
}

impl Accounts {
    /// Checks what a new account would be called.
    pub(super) async fn check_new(&self, name: &str, email: Option<&str>) -> Result<(), Error> {
        check_name(name, "namespace")?;
        if let Some(email) = email {
            self.check_email(email)?;
        }
        // What was pushed before there were accounts belongs to nobody, least of all to who comes first.
        if self.reader().has_repositories(name).await? {
            return Err(taken());
        }
        Ok(())
    }

    /// Nobody becomes a superuser by taking the name of one who is not there yet.
    pub(super) fn refuse_superusers_name(&self, name: &str) -> Result<(), Error> {
        if self.0.options.is_superuser(name) {
            Err(taken())
        } else {
            Ok(())
        }
    }

    pub(super) fn check_email(&self, email: &str) -> Result<(), Error> {
        if !is_email(email) {
            return Err(invalid(format!("Invalid email address: {email}")));
        }
        let refused = |domain: &str| {
            let listed = &self.0.options.refused_email_domains;
            listed
                .iter()
                .any(|refused| domain == refused || domain.ends_with(&format!(".{refused}")))
        };
        match email.rsplit_once('@') {
            Some((_, domain)) if refused(&domain.to_ascii_lowercase()) => {
                Err(invalid("This email address domain cannot be used"))
            }
            _ => Ok(()),
        }
    }

    /// A user that is not stored yet.
    pub(super) async fn new_user(
        &self,
        name: &str,
        email: Option<&str>,
        password: Option<&str>,
    ) -> Result<Account, Error> {
        let mut account = Account::new(AccountKind::User, name, self.uuid(), self.now());
        account.email = email.map(ToOwned::to_owned);
        account.tag_expiration_s = self.0.options.default_tag_expiration_s;
        account.verified = !self.0.options.mailing;
        if let Some(password) = password {
            account.password_hash = Some(self.hash(password).await?);
        }
        Ok(account)
    }

    /// Signs somebody up. An invitation to a team becomes the new user's, where its code is shown and it went
    /// to the same address: it admits one, who may accept it. Where no mail is sent at all, it is accepted at
    /// once. The mail that proves the address is sent afterwards; who does not get it is sent another on
    /// signing in.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`] when name, password or address cannot be used or are taken, or an
    /// invitation is needed.
    pub async fn sign_up(
        &self,
        username: &str,
        password: &str,
        email: Option<&str>,
        invite_code: Option<&str>,
        caller: &Caller,
    ) -> Result<SignUp, Error> {
        let options = &self.0.options;
        let uninvited = || invalid("Invalid code: an invitation is needed to sign up");
        let email = email.filter(|email| !email.is_empty());
        let admission = self.admission(caller, invite_code, username, email).await?;
        if options.invite_only && admission.is_none() {
            return Err(uninvited());
        }
        if options.mailing && email.is_none() {
            return Err(invalid("An email address is required"));
        }
        check_password(password)?;
        self.check_new(username, email).await.map_err(as_invalid)?;
        self.refuse_superusers_name(username).map_err(as_invalid)?;
        let mut account = self.new_user(username, email, Some(password)).await?;
        // Whoever followed the link in an invitation has shown that the address is theirs.
        account.verified |= admission
            .as_ref()
            .is_some_and(|admission| admission.proves(email));
        let entry = self
            .entry(
                caller,
                LogKind::UserCreate,
                Some(username),
                json!({ "username": username, "email": email }),
            )
            .await?;
        let confirmation = if account.verified {
            None
        } else {
            Some(self.code(40))
        };
        let id = change!(self, |unit| async {
            let id = insert(unit, &account).await.map_err(as_invalid)?;
            if let Some(code) = &confirmation {
                let confirmation = self.confirmation(code, id, ConfirmationPurpose::Confirm, MAIL_LIFETIME);
                unit.insert_confirmation(&confirmation).await?;
            }
            unit.log(&entry).await?;
            if let Some(admission) = &admission
                && !admission.redeem(unit, id).await?
            {
                // Somebody else has used it up this moment; with it goes what it has proven.
                return Err(uninvited());
            }
            Ok(id)
        })?;
        account.id = id;
        match (confirmation, email) {
            (Some(code), Some(email)) => {
                let mail = self.confirmation_mail(username, email, &code);
                self.post(mail, code);
                Ok(SignUp::AwaitingVerification)
            }
            _ => Ok(SignUp::Done(Box::new(account))),
        }
    }

    /// Sends a mail with a code in it, whoever waits for that.
    fn post(&self, mail: Mail, code: String) {
        let this = self.clone();
        self.0.runtime.spawner.spawn(Box::pin(async move {
            this.post_now(&mail, &code)
                .await
                .unwrap_or_else(|error| log_unsent(&error));
        }));
    }

    /// Sends a mail with a code in it. A code that did not get away goes, so that another can be asked for.
    async fn post_now(&self, mail: &Mail, code: &str) -> Result<(), Error> {
        let sent = self.mail(mail).await;
        if sent.is_err() {
            let hash = code_hash(code);
            change!(self, |unit| async { Ok(unit.take_confirmation(&hash).await?) })?;
        }
        sent
    }

    /// Sends somebody who has not shown yet that the address is theirs another mail, without waiting for it.
    pub(super) fn confirm_by_mail(&self, account: Account) {
        let (this, asked) = (self.clone(), self.now());
        self.0.runtime.spawner.spawn(Box::pin(async move {
            this.confirm_again(&account, asked)
                .await
                .unwrap_or_else(|error| log_unsent(&error));
        }));
    }

    async fn confirm_again(&self, account: &Account, asked: Timestamp) -> Result<(), Error> {
        let Some(email) = &account.email else {
            return Ok(());
        };
        let code = self.code(40);
        let confirmation = self.confirmation(&code, account.id, ConfirmationPurpose::Confirm, MAIL_LIFETIME);
        if self
            .store_unless_recent(confirmation, asked, MAIL_LIFETIME)
            .await?
        {
            self.post_now(&self.confirmation_mail(&account.name, email, &code), &code)
                .await?;
        }
        Ok(())
    }

    /// Stores a code that counts for `lifetime` from when it was asked for; `false` when one for the same
    /// purpose was sent a moment before.
    async fn store_unless_recent(
        &self,
        mut confirmation: Confirmation,
        asked: Timestamp,
        lifetime: Duration,
    ) -> Result<bool, Error> {
        confirmation.expires = asked.plus(lifetime);
        change!(self, |unit| async {
            unit.lock_account(confirmation.account).await?;
            let last = unit
                .last_confirmation(confirmation.account, confirmation.purpose)
                .await?;
            let sent = last.map(|last| last.expires.minus(lifetime));
            if sent.is_some_and(|sent| asked < sent.plus(MAIL_PAUSE) && sent <= asked.plus(MAIL_PAUSE)) {
                return Ok(false);
            }
            unit.insert_confirmation(&confirmation).await?;
            Ok(true)
        })
    }

    pub(super) fn confirmation(
        &self,
        code: &str,
        account: AccountId,
        purpose: ConfirmationPurpose,
        lifetime: Duration,
    ) -> Confirmation {
        Confirmation {
            code_hash: code_hash(code),
            account,
            purpose,
            new_email: None,
            expires: self.now().plus(lifetime),
        }
    }

    pub(super) fn confirmation_mail(&self, username: &str, email: &str, code: &str) -> Mail {
        let options = &self.0.options;
        Mail::new(
            email.to_owned(),
            format!("Please confirm your {} email", options.title),
            format!(
                "Hello {username},\n\nthis address was given to {}. To confirm that it is yours, open\n\n{}/confirm?code={code}\n\n\
                 If you did not ask for this, do nothing.\n",
                options.title, options.base_url
            ),
        )
    }

    /// The user whose address a code from a mail proves.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`] when the code is unknown, used or too old.
    pub async fn confirm(&self, code: &str) -> Result<Account, Error> {
        let hash = code_hash(code);
        let now = self.now();
        change!(self, |unit| async {
            let confirmation = unit
                .take_confirmation(&hash)
                .await?
                .filter(|found| found.purpose == ConfirmationPurpose::Confirm && found.expires > now)
                .ok_or_else(|| invalid("Invalid or expired confirmation code"))?;
            unit.lock_account(confirmation.account).await?;
            let account = unit.account(AccountKey::Id(confirmation.account)).await?;
            let mut account = account
                .filter(|account| account.enabled)
                .ok_or_else(|| invalid("Invalid or expired confirmation code"))?;
            account.verified = true;
            // The address is settled: other links to settle it are void, and those that went to the old one.
            let settled = ConfirmationPurpose::Confirm;
            unit.delete_confirmations(account.id, settled).await?;
            if let Some(email) = confirmation.new_email {
                account.email = Some(email);
                void_links(unit, account.id).await?;
            }
            save(unit, &account).await?;
            Ok(account)
        })
    }

    /// Sends somebody who forgot their password a link, one a minute. Whether the address is known, and
    /// whether the mail gets away, is not revealed, also not by how long it takes: it is looked up and sent
    /// afterwards.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] where no mail is sent.
    #[expect(
        clippy::unused_async,
        reason = "what is detached today may have to be queued one day"
    )]
    pub async fn request_recovery(&self, email: &str) -> Result<Recovery, Error> {
        if !self.0.options.mailing || self.0.tools.mailer.is_none() {
            return Err(Error::new(ErrorKind::NotFound, "this registry sends no mail"));
        }
        let (this, asked, email) = (self.clone(), self.now(), email.to_owned());
        self.0.runtime.spawner.spawn(Box::pin(async move {
            this.recover_by_mail(&email, asked)
                .await
                .unwrap_or_else(|error| log_unsent(&error));
        }));
        Ok(Recovery::Sent)
    }

    async fn recover_by_mail(&self, email: &str, asked: Timestamp) -> Result<(), Error> {
        let found = self.reader().account(AccountKey::Email(email)).await?;
        let user = found.filter(|account| account.kind == AccountKind::User && account.enabled);
        let Some(user) = user else { return Ok(()) };
        let (code, confirmation) = self.recovery(user.id);
        if self
            .store_unless_recent(confirmation, asked, self.0.options.recovery_lifetime)
            .await?
        {
            self.post_now(&self.recovery_mail(&user, email, &code), &code)
                .await?;
        }
        Ok(())
    }

    /// Sends a user a link that sets a new password, whenever the last one was sent.
    pub(super) async fn send_recovery(&self, account: &Account) -> Result<(), Error> {
        let Some(email) = &account.email else {
            return Err(invalid("The user has no email address"));
        };
        let (code, confirmation) = self.recovery(account.id);
        change!(self, |unit| async {
            Ok(unit.insert_confirmation(&confirmation).await?)
        })?;
        self.post_now(&self.recovery_mail(account, email, &code), &code)
            .await
    }

    fn recovery(&self, account: AccountId) -> (String, Confirmation) {
        let code = self.code(40);
        let purpose = ConfirmationPurpose::Recover;
        let confirmation = self.confirmation(&code, account, purpose, self.0.options.recovery_lifetime);
        (code, confirmation)
    }

    fn recovery_mail(&self, account: &Account, email: &str, code: &str) -> Mail {
        let options = &self.0.options;
        Mail::new(
            email.to_owned(),
            format!("Recover your {} account", options.title),
            format!(
                "Hello {},\n\nto choose a new password for {}, open within {} minutes\n\n{}/recovery?code={code}\n\n\
                 If you did not ask for this, do nothing.\n",
                account.name,
                options.title,
                options.recovery_lifetime.as_secs().div_ceil(60),
                options.base_url
            ),
        )
    }

    /// The user whom a code from a mail lets in to choose a new password. Other codes for that end with it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`] when the code is unknown, used or too old.
    pub async fn recover(&self, code: &str) -> Result<Account, Error> {
        let hash = code_hash(code);
        let now = self.now();
        change!(self, |unit| async {
            let confirmation = unit
                .take_confirmation(&hash)
                .await?
                .filter(|found| found.purpose == ConfirmationPurpose::Recover && found.expires > now)
                .ok_or_else(|| invalid("Invalid or expired recovery code"))?;
            unit.lock_account(confirmation.account).await?;
            let mut account = unit
                .account(AccountKey::Id(confirmation.account))
                .await?
                .filter(|account| account.enabled)
                .ok_or_else(not_found)?;
            unit.delete_confirmations(account.id, ConfirmationPurpose::Recover)
                .await?;
            // The link has reached the address, so the address is the user's.
            account.verified = true;
            save(unit, &account).await?;
            Ok(account)
        })
    }

    /// Creates the first account of an empty registry.
    ///
    /// # Errors
    /// [`ErrorKind::Rejected`] when there are accounts already.
    pub async fn initialize(
        &self,
        username: &str,
        password: &str,
        email: Option<&str>,
        with_token: bool,
        caller: &Caller,
    ) -> Result<Initialized, Error> {
        if self.reader().any_account().await? {
            return Err(rejected("Cannot initialize user in a non-empty database"));
        }
        check_name(username, "namespace")
            .and_then(|()| check_password(password))
            .map_err(|error| rejected(error.public_message()))?;
        let email = email.filter(|email| !email.is_empty());
        match email {
            Some(email) => self
                .check_email(email)
                .map_err(|error| rejected(error.public_message()))?,
            None if self.0.options.mailing => return Err(rejected("An email address is required")),
            None => {}
        }
        let mut account = self.new_user(username, email, Some(password)).await?;
        account.verified = true;
        let entry = self
            .entry(
                caller,
                LogKind::UserCreate,
                Some(username),
                json!({ "username": username, "email": email }),
            )
            .await?;
        let id = change!(self, |unit| async {
            // Of two first users at once the second waits here, and sees then that it is the second.
            unit.lock_beginnings().await?;
            if unit.any_account().await? {
                return Err(rejected("Cannot initialize user in a non-empty database"));
            }
            let id = insert(unit, &account).await?;
            unit.log(&entry).await?;
            Ok(id)
        })?;
        account.id = id;
        let access_token = if with_token {
            Some(self.first_token(&account).await?)
        } else {
            None
        };
        Ok(Initialized {
            encrypted_password: self.0.tools.seal.encrypt_password(password),
            account,
            access_token,
        })
    }
}

fn log_unsent(error: &Error) {
    tracing::warn!(%error, source = ?error.store_error(), "a mail was not sent");
}

/// Codes in mails are long and random, so that a plain hash keeps them.
fn code_hash(code: &str) -> String {
    use sha2::{Digest as _, Sha256};

    hex::encode(Sha256::digest(code.as_bytes()))
}

/// Voids every link that was sent to an account: what they rest on has changed.
pub(super) async fn void_links(unit: &mut dyn AccountWrites, account: AccountId) -> Result<(), Error> {
    for purpose in [ConfirmationPurpose::Confirm, ConfirmationPurpose::Recover] {
        unit.delete_confirmations(account, purpose).await?;
    }
    Ok(())
}
