//! What users do with their own accounts.

use serde_json::json;

use super::assignment::take_back_assignments;
use super::facade::{Accounts, Actor, Subject, change, invalid, not_found, object, rejected};
use super::log::{LogEntry, LogKind};
use super::name::check_password;
use super::organizations::as_invalid;
use super::ports::PasswordVerdict;
use super::record::{Account, AccountId, AccountKind, ConfirmationPurpose, Notice, Team};
use super::role::{TeamRole, UserRole};
use super::sign_up::{MAIL_LIFETIME, void_links};
use super::store::{AccountFilter, AccountKey, AccountWrites, OAuthTokenFilter, TeamKey};
use crate::caller::Caller;
use crate::error::{Error, ErrorKind};
use crate::metadata::PageRequest;
use crate::runtime::Timestamp;

/// A user as the user sees themselves.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Me {
    /// The account.
    pub account: Account,
    /// Whether the caller may see more than the name.
    pub role: UserRole,
    /// Whether the caller acts as themselves or through a token that administers the account.
    pub organizations: Vec<Membership>,
    /// Whether the user is a superuser of this installation.
    pub superuser: bool,
}

/// An organization that a user belongs to.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Membership {
    /// The organization.
    pub organization: Account,
    /// The highest role that one of the user's teams has.
    pub role: TeamRole,
}

/// What somebody changes about their account; what is absent stays.
#[derive(Debug, Clone, Default)]
#[expect(
    missing_docs,
    reason = "the fields are those of the request, quay-api.json changeUserDetails"
)]
#[expect(clippy::exhaustive_structs, reason = "built field by field from a request")]
pub struct UserChanges {
    pub password: Option<String>,
    pub email: Option<String>,
    pub username: Option<String>,
    pub invoice_email: Option<bool>,
    pub invoice_email_address: Option<Option<String>>,
    pub tag_expiration_s: Option<i64>,
    pub given_name: Option<Option<String>>,
    pub family_name: Option<Option<String>>,
    pub company: Option<Option<String>>,
    pub location: Option<Option<String>>,
}

impl Accounts {
    /// Whether a user's name may be shown to the caller with more than the name.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidToken`] for anonymous callers and tokens that do not reach that far; the store's,
    /// here and in all the others.
    pub async fn me(&self, caller: &Caller) -> Result<Me, Error> {
        let unknown = || Error::new(ErrorKind::InvalidToken, "Requires authentication");
        let actor = self.actor(caller).await.map_err(|error| match error.kind() {
            ErrorKind::Forbidden => unknown(),
            _ => error,
        })?;
        let role = actor.reach.user().ok_or_else(unknown)?;
        if actor.account.kind != AccountKind::User {
            return Err(unknown());
        }
        self.profile(actor.account, role).await
    }

    /// A user as they see themselves, right after they signed in.
    ///
    /// # Errors
    /// The store's.
    pub async fn profile(&self, account: Account, role: UserRole) -> Result<Me, Error> {
        let organizations = self.memberships(account.id).await?;
        let superuser = self.0.options.is_superuser(&account.name);
        Ok(Me {
            account,
            role,
            organizations,
            superuser,
        })
    }

    async fn memberships(&self, account: AccountId) -> Result<Vec<Membership>, Error> {
        let mut reader = self.reader();
        let teams = reader.teams_of(account, None).await?;
        let page = PageRequest::new(None, 10_000);
        let organizations = reader
            .accounts(AccountFilter::OrganizationsOf(account), &page)
            .await?;
        Ok(organizations
            .into_iter()
            .map(|organization| {
                let roles = teams
                    .iter()
                    .filter(|team| team.organization == organization.id)
                    .map(|team| team.role);
                let role = roles.max().unwrap_or(TeamRole::Member);
                Membership { organization, role }
            })
            .collect())
    }

    /// Insists that the caller may change their own account.
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`] for tokens that do not reach that far; that nobody is signed in.
    pub async fn require_user_admin(&self, caller: &Caller) -> Result<(), Error> {
        self.user_admin(caller).await.map(drop)
    }

    /// Insists that somebody is calling, if only through a token.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidToken`].
    pub async fn require_account(&self, caller: &Caller) -> Result<(), Error> {
        self.actor(caller).await.map(drop)
    }

    /// A user or robot by name, as anybody may see them.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`].
    pub async fn user(&self, name: &str) -> Result<Account, Error> {
        let found = self.reader().account(AccountKey::Name(name)).await?;
        found
            .filter(|account| account.kind == AccountKind::User)
            .ok_or_else(not_found)
    }

    /// Changes the signed-in user's account.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`] for values that cannot be used, and names and addresses that are taken.
    pub async fn change_user(&self, caller: &Caller, changes: UserChanges) -> Result<Account, Error> {
        let actor = self.user_admin(caller).await?;
        self.require_fresh(&actor, caller)?;
        let options = &self.0.options;
        let name = actor.account.name.clone();
        let hash = match &changes.password {
            Some(password) => {
                check_password(password)?;
                Some(self.hash(password).await?)
            }
            None => None,
        };
        if let Some(email) = &changes.email {
            self.check_email(email)?;
        }
        if let Some(expiration) = changes.tag_expiration_s {
            self.check_tag_expiration(expiration)?;
        }
        let renamed = changes
            .username
            .as_ref()
            .filter(|new| options.user_rename && **new != name);
        if let Some(new) = renamed {
            self.check_new(new, None).await.map_err(as_invalid)?;
            self.refuse_superusers_name(new).map_err(as_invalid)?;
        }
        let entries = self.change_entries(caller, &actor, &changes, renamed).await?;
        let uuid = self.uuid();
        let new_email_code = self.code(40);
        // With mail, a new address counts once it has been shown to be the user's.
        let unproven = changes
            .email
            .clone()
            .filter(|email| options.mailing && Some(email) != actor.account.email.as_ref());
        let account = change!(self, |unit| async {
            unit.lock_account(actor.account.id).await?;
            let mut account = unit
                .account(AccountKey::Id(actor.account.id))
                .await?
                .ok_or_else(not_found)?;
            if let Some(hash) = &hash {
                take_back(unit, &account, self.now()).await?;
                void_links(unit, account.id).await?;
                account.password_hash = Some(hash.clone());
                account.uuid.clone_from(&uuid);
                account.invalid_logins = 0;
            }
            if let Some(email) = changes.email.as_ref().filter(|_| unproven.is_none()) {
                account.email = Some(email.clone());
                void_links(unit, account.id).await?;
            }
            changes.apply(&mut account, options.user_metadata);
            for entry in &entries {
                unit.log(entry).await?;
            }
            if let Some(new) = renamed {
                rename(unit, &mut account, new, self.now())
                    .await
                    .map_err(as_invalid)?;
            }
            save(unit, &account).await.map_err(as_invalid)?;
            if let Some(email) = &unproven {
                if unit.account(AccountKey::Email(email)).await?.is_some() {
                    return Err(as_invalid(email_taken()));
                }
                let mut confirmation = self.confirmation(
                    &new_email_code,
                    account.id,
                    ConfirmationPurpose::Confirm,
                    MAIL_LIFETIME,
                );
                confirmation.new_email = Some(email.clone());
                // Only the address that was asked for last can become the user's.
                let purpose = ConfirmationPurpose::Confirm;
                unit.delete_confirmations(account.id, purpose).await?;
                unit.insert_confirmation(&confirmation).await?;
            }
            Ok(account)
        })?;
        if let Some(email) = &unproven {
            self.mail(&self.confirmation_mail(&account.name, email, &new_email_code))
                .await?;
        }
        Ok(account)
    }

    /// What the action log is told of a user's changes.
    async fn change_entries(
        &self,
        caller: &Caller,
        actor: &Actor,
        changes: &UserChanges,
        renamed: Option<&String>,
    ) -> Result<Vec<LogEntry>, Error> {
        let mut entries = Vec::new();
        for (changed, kind, metadata) in [
            (
                changes.password.is_some(),
                LogKind::AccountChangePassword,
                json!({}),
            ),
            (
                changes.email.is_some(),
                LogKind::UserChangeEmail,
                object(&[
                    ("email", json!(changes.email)),
                    ("old_email", json!(actor.account.email)),
                ]),
            ),
            (
                changes.invoice_email.is_some() || changes.invoice_email_address.is_some(),
                LogKind::UserChangeInvoicing,
                object(&[
                    ("invoice_email", json!(changes.invoice_email)),
                    ("invoice_email_address", json!(changes.invoice_email_address)),
                ]),
            ),
            (
                changes.tag_expiration_s.is_some(),
                LogKind::UserChangeTagExpiration,
                json!({ "tag_expiration": changes.tag_expiration_s }),
            ),
            (
                renamed.is_some(),
                LogKind::UserChangeName,
                json!({ "old_username": actor.account.name, "username": renamed }),
            ),
            (
                self.0.options.user_metadata
                    && (changes.given_name.is_some()
                        || changes.family_name.is_some()
                        || changes.company.is_some()
                        || changes.location.is_some()),
                LogKind::UserChangeMetadata,
                json!({}),
            ),
        ] {
            if changed {
                entries.push(self.entry(caller, kind, None, metadata).await?);
            }
        }
        Ok(entries)
    }

    pub(super) fn check_tag_expiration(&self, seconds: i64) -> Result<(), Error> {
        let options = &self.0.options;
        if options.change_tag_expiration && options.tag_expirations_s.contains(&seconds) {
            Ok(())
        } else {
            Err(invalid("Invalid tag expiration option"))
        }
    }

    /// Deletes the signed-in user's account.
    ///
    /// # Errors
    /// [`ErrorKind::Rejected`] while the user alone administers an organization.
    pub async fn delete_self(&self, caller: &Caller) -> Result<(), Error> {
        let actor = self.user_admin(caller).await?;
        self.require_fresh(&actor, caller)?;
        self.delete_user_account(caller, &actor.account, Force::No).await
    }

    pub(super) async fn delete_user_account(
        &self,
        caller: &Caller,
        account: &Account,
        force: Force,
    ) -> Result<(), Error> {
        let entry = self
            .entry(
                caller,
                LogKind::UserDelete,
                Some(&account.name),
                json!({ "username": account.name }),
            )
            .await?;
        let now = self.now();
        change!(self, |unit| async {
            let account = locked(unit, account.id).await?;
            for team in unit.teams_of(account.id, None).await? {
                if team.role == TeamRole::Admin {
                    unit.lock_account(team.organization).await?;
                    if force == Force::No && is_only_admin(unit, account.id, team.organization).await? {
                        return Err(rejected(
                            "Cannot delete account as you are the only admin of an organization",
                        ));
                    }
                }
            }
            unit.log(&entry).await?;
            unit.delete_account(&account, now).await?;
            forget(unit, &account, self.now()).await
        })
    }

    /// Turns the signed-in user's account into an organization that another user administers.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`] when that other user cannot be proven, or is the same one.
    pub async fn convert_to_organization(
        &self,
        caller: &Caller,
        admin: &str,
        admin_password: &str,
    ) -> Result<Account, Error> {
        let actor = self.user_admin(caller).await?;
        let reason = |message: &str| {
            Error::new(ErrorKind::InvalidRequest, message).with_detail(json!({ "reason": "invaliduser" }))
        };
        let verdict = self.0.tools.login.verify(admin, admin_password).await?;
        let admin = match verdict {
            PasswordVerdict::Proven(admin) => admin,
            PasswordVerdict::Throttled { retry_after } => return Err(Error::throttled(retry_after)),
            _ => return Err(reason("The admin user credentials are not valid")),
        };
        if admin.id == actor.account.id {
            return Err(reason("The admin user is not valid"));
        }
        if self.0.options.is_superuser(&actor.account.name) {
            return Err(reason("A superuser cannot be converted to an organization"));
        }
        if !self.reader().teams_of(actor.account.id, None).await?.is_empty() {
            return Err(reason(
                "A member of an organization cannot be converted to an organization",
            ));
        }
        let entry = self
            .entry(caller, LogKind::AccountConvert, None, json!({}))
            .await?;
        let uuid = self.uuid();
        change!(self, |unit| async {
            unit.lock_account(actor.account.id).await?;
            let mut account = unit
                .account(AccountKey::Id(actor.account.id))
                .await?
                .ok_or_else(not_found)?;
            convert(unit, &mut account, admin.id, &uuid, self.now()).await?;
            unit.log(&entry).await?;
            unit.change(&Subject::Account(&account.name).key(), self.now())
                .await?;
            Ok(account)
        })
    }

    /// What the signed-in user was told, `limit` after the first `skip`, and whether there is more.
    ///
    /// # Errors
    /// That nobody is signed in.
    pub async fn notices(
        &self,
        caller: &Caller,
        skip: usize,
        limit: usize,
    ) -> Result<(Vec<Notice>, bool), Error> {
        let actor = self.user_admin(caller).await?;
        let mut found = self
            .reader()
            .notices(actor.account.id, skip, limit.saturating_add(1))
            .await?;
        let more = found.len() > limit;
        found.truncate(limit);
        Ok((found, more))
    }

    /// One thing that the signed-in user was told; put away or back if `dismissed` says so.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`].
    pub async fn notice(
        &self,
        caller: &Caller,
        uuid: &str,
        dismissed: Option<bool>,
    ) -> Result<Notice, Error> {
        let actor = self.user_admin(caller).await?;
        let found = self.reader().notice(actor.account.id, uuid).await?;
        let mut notice = found.ok_or_else(not_found)?;
        if let Some(dismissed) = dismissed {
            change!(self, |unit| async {
                Ok(unit.dismiss_notice(uuid, dismissed).await?)
            })?;
            notice.dismissed = dismissed;
        }
        Ok(notice)
    }
}

impl UserChanges {
    fn apply(&self, account: &mut Account, metadata: bool) {
        if let Some(invoice) = self.invoice_email {
            account.invoice_email = invoice;
        }
        if let Some(address) = &self.invoice_email_address {
            account.invoice_email_address.clone_from(address);
        }
        if let Some(seconds) = self.tag_expiration_s {
            account.tag_expiration_s = seconds;
        }
        if metadata {
            for (new, field) in [
                (&self.given_name, &mut account.given_name),
                (&self.family_name, &mut account.family_name),
                (&self.company, &mut account.company),
                (&self.location, &mut account.location),
            ] {
                if let Some(value) = new {
                    field.clone_from(value);
                }
            }
        }
    }
}

/// Whether an account goes although others depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Force {
    No,
    Yes,
}

pub(super) fn taken() -> Error {
    rejected("Username has already been taken")
}

fn email_taken() -> Error {
    rejected("Email has already been used")
}

/// Stores a new account; a name or address that is taken is told apart by looking again.
pub(super) async fn insert(unit: &mut dyn AccountWrites, account: &Account) -> Result<AccountId, Error> {
    if let Some(id) = unit.insert_account(account).await? {
        return Ok(id);
    }
    let by_name = unit.account(AccountKey::Name(&account.name)).await?;
    Err(if by_name.is_some() { taken() } else { email_taken() })
}

pub(super) async fn save(unit: &mut dyn AccountWrites, account: &Account) -> Result<(), Error> {
    if unit.save_account(account).await? {
        Ok(())
    } else {
        Err(email_taken())
    }
}

/// Gives an account another name, its namespace with it.
pub(super) async fn rename(
    unit: &mut dyn AccountWrites,
    account: &mut Account,
    to: &str,
    now: Timestamp,
) -> Result<(), Error> {
    if unit.account(AccountKey::Name(to)).await?.is_some() {
        return Err(taken());
    }
    // Who comes by the old name next must not be taken for this account.
    take_back(unit, account, now).await?;
    let from = std::mem::replace(&mut account.name, to.to_owned());
    if !unit.save_account(account).await? {
        return Err(taken());
    }
    if !unit.rename_namespace(account.id, &from, to).await? {
        return Err(rejected(
            "The new name makes the name of a repository or robot longer than 255 characters",
        ));
    }
    for name in [from.as_str(), to] {
        unit.change(&Subject::Account(name).key(), now).await?;
        unit.change(&Subject::Namespace(name).key(), now).await?;
    }
    Ok(())
}

/// An account as it is now, locked: whoever comes second finds it gone.
pub(super) async fn locked(unit: &mut dyn AccountWrites, account: AccountId) -> Result<Account, Error> {
    unit.lock_account(account).await?;
    let found = unit.account(AccountKey::Id(account)).await?;
    found.ok_or_else(not_found)
}

/// Lets tokens feel it that were issued for an account's password: they count no more.
pub(super) async fn take_back(
    unit: &mut dyn AccountWrites,
    account: &Account,
    now: Timestamp,
) -> Result<(), Error> {
    for subject in [
        Subject::Credential(&account.uuid),
        Subject::Account(&account.name),
    ] {
        unit.change(&subject.key(), now).await?;
    }
    Ok(())
}

/// Makes an organization of a user's account, with a team of owners.
pub(super) async fn convert(
    unit: &mut dyn AccountWrites,
    account: &mut Account,
    admin: AccountId,
    uuid: &str,
    now: Timestamp,
) -> Result<(), Error> {
    take_back(unit, account, now).await?;
    account.kind = AccountKind::Organization;
    account.password_hash = None;
    uuid.clone_into(&mut account.uuid);
    save(unit, account).await?;
    // Nobody acts as the user any more who the account was.
    take_back_assignments(unit, OAuthTokenFilter::Account(account.id)).await?;
    unit.delete_credentials(account.id).await?;
    let owners = owners(account.id);
    let team = match unit.insert_team(&owners).await? {
        Some(team) => team,
        None => match unit.team(TeamKey::Name(account.id, &owners.name)).await? {
            Some(team) => team.id,
            None => return Err(rejected("The team owners could not be made")),
        },
    };
    unit.add_member(team, admin).await?;
    Ok(())
}

/// The team that a new organization begins with.
pub(super) fn owners(organization: AccountId) -> Team {
    Team {
        id: 0,
        organization,
        name: "owners".to_owned(),
        role: TeamRole::Admin,
        description: String::new(),
    }
}

/// Whether an organization would be left without anybody who administers it.
pub(super) async fn is_only_admin(
    unit: &mut dyn AccountWrites,
    account: AccountId,
    organization: AccountId,
) -> Result<bool, Error> {
    Ok(!is_administered(unit, organization, Some(account)).await?)
}

/// Whether any user administers an organization, `but` one.
pub(super) async fn is_administered(
    unit: &mut dyn AccountWrites,
    organization: AccountId,
    but: Option<AccountId>,
) -> Result<bool, Error> {
    Ok(unit.has_admin(organization, but).await?)
}

/// Lets tokens feel that an account is gone, or that what rested on it is.
pub(super) async fn forget(
    unit: &mut dyn AccountWrites,
    account: &Account,
    now: Timestamp,
) -> Result<(), Error> {
    unit.change(&Subject::Account(&account.name).key(), now).await?;
    unit.change(&Subject::Namespace(&account.name).key(), now).await?;
    Ok(())
}
