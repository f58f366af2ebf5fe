//! What superusers do with everybody else's accounts.

use serde_json::json;

use super::facade::{Accounts, Actor, Subject, change, invalid, not_found, rejected};
use super::log::LogKind;
use super::name::check_password;
use super::organizations::as_invalid;
use super::record::{Account, AccountKind, AppToken, Message};
use super::sign_up::void_links;
use super::store::{AccountCursor, AccountFilter, AccountKey, TeamKey};
use super::users::{Force, convert, insert, owners, rename, save, take_back};
use crate::caller::Caller;
use crate::error::Error;
use crate::metadata::PageRequest;

/// An account that a superuser has made, with its password in plain text and as clients may keep it.
#[derive(Clone)]
#[non_exhaustive]
pub struct CreatedUser {
    /// The account.
    pub account: Account,
    /// Its password.
    pub password: String,
    /// The password as clients may keep it.
    pub encrypted_password: String,
}

impl std::fmt::Debug for CreatedUser {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("CreatedUser")
            .field("account", &self.account)
            .finish_non_exhaustive()
    }
}

impl Accounts {
    /// A page of all users, by name.
    ///
    /// # Errors
    /// [`Forbidden`](crate::ErrorKind::Forbidden) unless the caller is a superuser.
    pub async fn all_users(
        &self,
        caller: &Caller,
        disabled: bool,
        page: &PageRequest<AccountCursor>,
    ) -> Result<Vec<Account>, Error> {
        self.fresh_superuser(caller).await?;
        Ok(self
            .reader()
            .accounts(AccountFilter::Users { disabled }, page)
            .await?)
    }

    /// A page of all organizations, by name.
    ///
    /// # Errors
    /// [`Forbidden`](crate::ErrorKind::Forbidden) unless the caller is a superuser.
    pub async fn all_organizations(
        &self,
        caller: &Caller,
        page: &PageRequest<AccountCursor>,
    ) -> Result<Vec<Account>, Error> {
        self.fresh_superuser(caller).await?;
        Ok(self.reader().accounts(AccountFilter::Organizations, page).await?)
    }

    /// A page of all app-specific tokens, by id; those that end soon, if asked for.
    ///
    /// # Errors
    /// [`Forbidden`](crate::ErrorKind::Forbidden) unless the caller is a superuser with full access.
    pub async fn all_app_tokens(
        &self,
        caller: &Caller,
        expiring: bool,
        page: &PageRequest<i64>,
    ) -> Result<Vec<AppToken>, Error> {
        self.fresh_superuser(caller).await?;
        if !self.0.options.superusers_full_access {
            return Err(super::facade::refuse(caller));
        }
        self.app_tokens_of(None, expiring, page).await
    }

    async fn other_user(&self, name: &str) -> Result<Account, Error> {
        let found = self.reader().account(AccountKey::Name(name)).await?;
        found
            .filter(|account| account.kind == AccountKind::User)
            .ok_or_else(not_found)
    }

    /// Superusers are out of each other's reach.
    fn refuse_superuser(&self, account: &Account) -> Result<(), Error> {
        if self.0.options.is_superuser(&account.name) {
            Err(invalid("Cannot change a superuser"))
        } else {
            Ok(())
        }
    }

    /// One user.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound).
    pub async fn any_user(&self, caller: &Caller, name: &str) -> Result<Account, Error> {
        self.fresh_superuser(caller).await?;
        self.other_user(name).await
    }

    /// Creates a user with a password that is made up.
    ///
    /// # Errors
    /// [`InvalidRequest`](crate::ErrorKind::InvalidRequest) for a name or address that cannot be used or is
    /// taken.
    pub async fn create_user(
        &self,
        caller: &Caller,
        username: &str,
        email: Option<&str>,
    ) -> Result<CreatedUser, Error> {
        self.fresh_superuser(caller).await?;
        let email = email.filter(|email| !email.is_empty());
        if self.0.options.mailing && email.is_none() {
            return Err(invalid("Missing e-mail address"));
        }
        self.check_new(username, email).await.map_err(as_invalid)?;
        let password = self.code(32);
        let mut account = self.new_user(username, email, Some(&password)).await?;
        // With mail, an address is the user's once it has been shown to be.
        account.verified = !self.0.options.mailing;
        let entry = self
            .entry(
                caller,
                LogKind::UserCreate,
                Some(username),
                json!({ "username": username, "email": email }),
            )
            .await?;
        account.id = change!(self, |unit| async {
            let id = insert(unit, &account).await.map_err(as_invalid)?;
            unit.log(&entry).await?;
            Ok(id)
        })?;
        if !account.verified {
            self.confirm_by_mail(account.clone());
        }
        Ok(CreatedUser {
            encrypted_password: self.0.tools.seal.encrypt_password(&password),
            account,
            password,
        })
    }

    /// Changes a user's password, address, and whether they may do anything. Who is a superuser is not changed
    /// here: what a client wishes about that is refused unless it is so already.
    ///
    /// # Errors
    /// [`InvalidRequest`](crate::ErrorKind::InvalidRequest) for a superuser, or values that cannot be used.
    pub async fn change_any_user(
        &self,
        caller: &Caller,
        name: &str,
        password: Option<&str>,
        email: Option<&str>,
        enabled: Option<bool>,
        superuser: Option<bool>,
    ) -> Result<Account, Error> {
        self.fresh_superuser(caller).await?;
        let user = self.other_user(name).await?;
        self.refuse_superuser(&user)?;
        if superuser == Some(true) {
            return Err(invalid(
                "Superusers are named by SUPER_USERS in the configuration, which is not changed from here",
            ));
        }
        let hash = match password {
            Some(password) => {
                check_password(password)?;
                Some(self.hash(password).await?)
            }
            None => None,
        };
        if let Some(email) = email {
            self.check_email(email)?;
        }
        let mut entries = Vec::new();
        let switched = match enabled {
            Some(true) => LogKind::UserEnable,
            _ => LogKind::UserDisable,
        };
        for (changed, kind, metadata) in [
            (
                password.is_some(),
                LogKind::UserChangePassword,
                json!({ "username": name }),
            ),
            (
                email.is_some(),
                LogKind::UserChangeEmail,
                json!({ "username": name, "email": email, "old_email": user.email }),
            ),
            (
                enabled.is_some_and(|enabled| enabled != user.enabled),
                switched,
                json!({ "username": name }),
            ),
        ] {
            if changed {
                entries.push(self.entry(caller, kind, Some(name), metadata).await?);
            }
        }
        let uuid = self.uuid();
        change!(self, |unit| async {
            unit.lock_account(user.id).await?;
            let mut account = unit
                .account(AccountKey::Id(user.id))
                .await?
                .ok_or_else(not_found)?;
            if let Some(hash) = &hash {
                take_back(unit, &account, self.now()).await?;
                account.password_hash = Some(hash.clone());
                account.invalid_logins = 0;
            }
            if let Some(email) = email {
                account.email = Some(email.to_owned());
            }
            if let Some(enabled) = enabled {
                account.enabled = enabled;
            }
            if hash.is_some() || email.is_some() || enabled == Some(false) {
                void_links(unit, account.id).await?;
            }
            if hash.is_some() || enabled == Some(false) {
                account.uuid.clone_from(&uuid);
            }
            save(unit, &account).await.map_err(as_invalid)?;
            for entry in &entries {
                unit.log(entry).await?;
            }
            for subject in [Subject::Account(name), Subject::Namespace(name)] {
                unit.change(&subject.key(), self.now()).await?;
            }
            Ok(account)
        })
    }

    /// A new password as clients may keep it, for whoever has just set it.
    #[must_use]
    pub fn encrypted(&self, password: &str) -> String {
        self.0.tools.seal.encrypt_password(password)
    }

    /// Deletes a user with all that is theirs.
    ///
    /// # Errors
    /// [`InvalidRequest`](crate::ErrorKind::InvalidRequest) for a superuser.
    pub async fn delete_any_user(&self, caller: &Caller, name: &str) -> Result<(), Error> {
        self.fresh_superuser(caller).await?;
        let user = self.other_user(name).await?;
        self.refuse_superuser(&user)?;
        self.delete_user_account(caller, &user, Force::Yes).await
    }

    /// Sends a user a link that sets a new password; says to which address.
    ///
    /// # Errors
    /// [`InvalidRequest`](crate::ErrorKind::InvalidRequest) for a superuser, or a user without an address.
    pub async fn send_recovery_to(&self, caller: &Caller, name: &str) -> Result<String, Error> {
        self.fresh_superuser(caller).await?;
        let user = self.other_user(name).await?;
        self.refuse_superuser(&user)?;
        self.send_recovery(&user).await?;
        Ok(user.email.unwrap_or_default())
    }

    async fn any_organization(&self, name: &str) -> Result<Account, Error> {
        let found = self.reader().account(AccountKey::Name(name)).await?;
        found.filter(Account::is_organization).ok_or_else(not_found)
    }

    /// Gives an organization another name.
    ///
    /// # Errors
    /// [`InvalidRequest`](crate::ErrorKind::InvalidRequest) for a name that cannot be used or is taken.
    pub async fn rename_organization(
        &self,
        caller: &Caller,
        name: &str,
        new_name: Option<&str>,
    ) -> Result<Account, Error> {
        self.fresh_superuser(caller).await?;
        let organization = self.any_organization(name).await?;
        let Some(new_name) = new_name.filter(|new_name| *new_name != name) else {
            return Ok(organization);
        };
        self.check_new(new_name, None).await.map_err(as_invalid)?;
        let entry = self
            .entry(
                caller,
                LogKind::OrgChangeName,
                Some(new_name),
                json!({ "old_name": name, "new_name": new_name }),
            )
            .await?;
        change!(self, |unit| async {
            unit.lock_account(organization.id).await?;
            let mut account = unit
                .account(AccountKey::Id(organization.id))
                .await?
                .ok_or_else(not_found)?;
            // Somebody else was faster.
            if account.name != name {
                return Err(not_found());
            }
            rename(unit, &mut account, new_name, self.now())
                .await
                .map_err(as_invalid)?;
            unit.log(&entry).await?;
            Ok(account)
        })
    }

    /// Deletes an organization with all that is in it.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound).
    pub async fn delete_any_organization(&self, caller: &Caller, name: &str) -> Result<(), Error> {
        self.fresh_superuser(caller).await?;
        let organization = self.any_organization(name).await?;
        self.delete_organization_account(caller, &organization).await
    }

    /// Makes the caller an administrator of a namespace; a user's account becomes an organization.
    ///
    /// # Errors
    /// [`InvalidRequest`](crate::ErrorKind::InvalidRequest) for a superuser's account.
    pub async fn take_ownership(&self, caller: &Caller, namespace: &str) -> Result<(), Error> {
        let actor = self.fresh_superuser(caller).await?;
        let found = self.reader().account(AccountKey::Name(namespace)).await?;
        let account = found
            .filter(|account| !account.is_robot())
            .ok_or_else(not_found)?;
        self.refuse_superuser(&account)?;
        let was_user = account.kind == AccountKind::User;
        let entry = self
            .entry(
                caller,
                LogKind::TakeOwnership,
                Some(namespace),
                json!({
                    "entity_id": account.id,
                    "namespace": namespace,
                    "was_user": was_user,
                    "superuser": actor.account.name,
                }),
            )
            .await?;
        let uuid = self.uuid();
        change!(self, |unit| async {
            unit.lock_account(account.id).await?;
            let mut account = unit
                .account(AccountKey::Id(account.id))
                .await?
                .ok_or_else(not_found)?;
            if was_user {
                // An organization is nobody's member.
                for team in unit.teams_of(account.id, None).await? {
                    unit.remove_member(team.id, account.id).await?;
                    unit.change(&Subject::Account(&account.name).key(), self.now())
                        .await?;
                }
                convert(unit, &mut account, actor.account.id, &uuid, self.now()).await?;
            } else {
                self.join_owners(unit, &actor, &account).await?;
            }
            unit.log(&entry).await?;
            unit.change(&Subject::Account(namespace).key(), self.now())
                .await?;
            Ok(())
        })
    }

    async fn join_owners(
        &self,
        unit: &mut dyn super::store::AccountWrites,
        actor: &Actor,
        organization: &Account,
    ) -> Result<(), Error> {
        let summaries = unit
            .teams(organization.id, &PageRequest::new(None, 10_000))
            .await?;
        let admins = summaries
            .into_iter()
            .map(|summary| summary.team)
            .find(|team| team.role == super::role::TeamRole::Admin);
        let owners = owners(organization.id);
        let team = if let Some(team) = admins {
            team.id
        } else if let Some(id) = unit.insert_team(&owners).await? {
            id
        } else {
            // There is a team of that name with a lesser role.
            let key = TeamKey::Name(organization.id, &owners.name);
            let found = unit.team(key).await?;
            let mut team = found.ok_or_else(|| rejected("The team owners could not be made"))?;
            team.role = super::role::TeamRole::Admin;
            unit.save_team(&team).await?;
            team.id
        };
        unit.add_member(team, actor.account.id).await?;
        Ok(())
    }

    /// Shows every user a message.
    ///
    /// # Errors
    /// [`Forbidden`](crate::ErrorKind::Forbidden) unless the caller is a superuser.
    pub async fn create_message(
        &self,
        caller: &Caller,
        content: &str,
        media_type: &str,
        severity: &str,
    ) -> Result<(), Error> {
        self.fresh_superuser(caller).await?;
        let message = Message {
            uuid: self.uuid(),
            content: content.to_owned(),
            severity: severity.to_owned(),
            media_type: media_type.to_owned(),
        };
        change!(self, |unit| async { Ok(unit.insert_message(&message).await?) })
    }

    /// Takes a message back. One that is not there is as good as taken back.
    ///
    /// # Errors
    /// [`Forbidden`](crate::ErrorKind::Forbidden) unless the caller is a superuser.
    pub async fn delete_message(&self, caller: &Caller, uuid: &str) -> Result<(), Error> {
        self.fresh_superuser(caller).await?;
        change!(self, |unit| async { Ok(unit.delete_message(uuid).await?) }).map(drop)
    }
}
