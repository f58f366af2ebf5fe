//! App-specific tokens, stars, messages and the search for names: what is left of a user's daily business.

use std::collections::HashSet;

use serde_json::json;

use super::facade::{Accounts, Subject, change, invalid, not_found, rejected};
use super::log::LogKind;
use super::record::{AccessToken, Account, AccountId, AccountKind, AppToken, Message, Starred, TeamSummary};
use super::role::RepositoryRole;
use super::store::{AccountCursor, AccountFilter, AppTokenKey};
use crate::caller::Caller;
use crate::error::Error;
use crate::metadata::{PageRequest, Visibility};
use crate::name::RepositoryName;
use crate::runtime::Timestamp;

/// Characters of an app-specific token by which it is found; as many again are secret.
pub const APP_TOKEN_NAME: usize = 60;
/// Characters of a repository's access token by which it is found; as many again are secret.
pub const ACCESS_TOKEN_NAME: usize = 32;
/// How many names a search finds of each kind.
const FOUND: usize = 10;

/// What is found by the beginning of a name.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Entities {
    /// Teams of the namespace.
    pub teams: Vec<TeamSummary>,
    /// Users and robots, and whether they belong to the namespace, if it is an organization.
    pub accounts: Vec<(Account, Option<bool>)>,
    /// Organizations.
    pub organizations: Vec<Account>,
}

impl Accounts {
    /// A page of the app-specific tokens of the signed-in user, by id; those that end soon, if asked for.
    ///
    /// # Errors
    /// That nobody is signed in.
    pub async fn app_tokens(
        &self,
        caller: &Caller,
        expiring: bool,
        page: &PageRequest<i64>,
    ) -> Result<Vec<AppToken>, Error> {
        let actor = self.user_admin(caller).await?;
        self.app_tokens_of(Some(actor.account.id), expiring, page).await
    }

    /// A page of the app-specific tokens of an account, or of all; those that end soon, if asked for: a
    /// tenth of their lifetime is left, or of four weeks.
    pub(super) async fn app_tokens_of(
        &self,
        account: Option<AccountId>,
        expiring: bool,
        page: &PageRequest<i64>,
    ) -> Result<Vec<AppToken>, Error> {
        let mut reader = self.reader();
        Ok(if expiring {
            reader.app_tokens_ending(account, self.soon(), page).await?
        } else {
            reader.app_tokens(account, page).await?
        })
    }

    /// When what ends soon has ended.
    fn soon(&self) -> Timestamp {
        let four_weeks = std::time::Duration::from_hours(28 * 24);
        let lifetime = self.0.options.app_token_lifetime.unwrap_or(four_weeks);
        self.now().plus(lifetime / 10)
    }

    /// Makes an app-specific token for the signed-in user; hands it out in plain text.
    ///
    /// # Errors
    /// That nobody is signed in.
    pub async fn create_app_token(&self, caller: &Caller, title: &str) -> Result<(AppToken, String), Error> {
        let actor = self.user_admin(caller).await?;
        self.require_fresh(&actor, caller)?;
        if title.trim().is_empty() {
            return Err(invalid("A title is required"));
        }
        let (name, secret) = (self.code(APP_TOKEN_NAME), self.code(APP_TOKEN_NAME));
        let now = self.now();
        let token = AppToken {
            id: 0,
            uuid: self.uuid(),
            account: actor.account.id,
            title: title.to_owned(),
            secret: self.0.tools.secrets.seal(&secret),
            created: now,
            expires: self
                .0
                .options
                .app_token_lifetime
                .map(|lifetime| now.plus(lifetime)),
            last_accessed: None,
            name: name.clone(),
        };
        let metadata = json!({ "app_specific_token_title": title, "app_specific_token": token.uuid });
        let entry = self
            .entry(caller, LogKind::CreateAppSpecificToken, None, metadata)
            .await?;
        change!(self, |unit| async {
            unit.insert_app_token(&token).await?;
            unit.log(&entry).await?;
            Ok(())
        })?;
        Ok((token, format!("{name}{secret}")))
    }

    async fn own_app_token(&self, caller: &Caller, uuid: &str) -> Result<AppToken, Error> {
        let actor = self.user_admin(caller).await?;
        self.require_fresh(&actor, caller)?;
        let found = self.reader().app_token(AppTokenKey::Uuid(uuid)).await?;
        found
            .filter(|token| token.account == actor.account.id)
            .ok_or_else(not_found)
    }

    /// One of the signed-in user's app-specific tokens, in plain text.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound).
    pub async fn app_token(&self, caller: &Caller, uuid: &str) -> Result<(AppToken, String), Error> {
        let token = self.own_app_token(caller, uuid).await?;
        let secret = self.0.tools.secrets.open(&token.secret)?;
        let value = format!("{}{secret}", token.name);
        Ok((token, value))
    }

    /// Ends one of the signed-in user's app-specific tokens.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound).
    pub async fn delete_app_token(&self, caller: &Caller, uuid: &str) -> Result<(), Error> {
        let token = self.own_app_token(caller, uuid).await?;
        let metadata = json!({ "app_specific_token_title": token.title, "app_specific_token": uuid });
        let entry = self
            .entry(caller, LogKind::RevokeAppSpecificToken, None, metadata)
            .await?;
        change!(self, |unit| async {
            unit.lock_account(token.account).await?;
            unit.app_token(AppTokenKey::Uuid(uuid))
                .await?
                .ok_or_else(not_found)?;
            unit.delete_app_token(token.id).await?;
            unit.log(&entry).await?;
            unit.change(&Subject::Credential(uuid).key(), self.now()).await?;
            Ok(())
        })
    }

    /// Makes an access token for a repository; hands it out in plain text. Quay's API offers this no more;
    /// builds use it.
    ///
    /// # Errors
    /// [`Forbidden`](crate::ErrorKind::Forbidden) unless the caller administers the repository.
    pub async fn create_access_token(
        &self,
        caller: &Caller,
        name: &RepositoryName,
        friendly_name: &str,
        role: RepositoryRole,
    ) -> Result<String, Error> {
        let (_, record) = self.repository_admin(caller, name).await?;
        let (token_name, code) = (self.code(ACCESS_TOKEN_NAME), self.code(ACCESS_TOKEN_NAME));
        let token = AccessToken {
            id: 0,
            repository: record.id,
            path: name.path().to_owned(),
            friendly_name: friendly_name.to_owned(),
            code: self.0.tools.secrets.seal(&code),
            role,
            created: self.now(),
            name: token_name.clone(),
        };
        change!(self, |unit| async { Ok(unit.insert_access_token(&token).await?) })?;
        Ok(format!("{token_name}{code}"))
    }

    /// Removes app-specific tokens that ended long ago; says how many, at most `limit`.
    ///
    /// # Errors
    /// The store's.
    pub async fn collect_app_tokens(&self, limit: usize) -> Result<u64, Error> {
        let Some(keep) = self.0.options.app_token_gc else {
            return Ok(0);
        };
        let before = self.now().minus(keep);
        change!(self, |unit| async {
            Ok(unit.collect_app_tokens(before, limit).await?)
        })
    }

    /// Removes codes that have ended, those sent by mail and those of applications; says how many, at most
    /// `limit` of each.
    ///
    /// # Errors
    /// The store's.
    pub async fn collect_codes(&self, limit: usize) -> Result<u64, Error> {
        let now = self.now();
        change!(self, |unit| async {
            let by_mail = unit.collect_confirmations(now, limit).await?;
            Ok(by_mail + unit.collect_codes(now, limit).await?)
        })
    }

    /// Forgets changes that no token can feel any more.
    ///
    /// # Errors
    /// The store's.
    pub async fn forget_changes(&self) -> Result<(), Error> {
        let before: Timestamp = self.now().minus(super::facade::CHANGE_MEMORY);
        change!(self, |unit| async { Ok(unit.forget_changes(before).await?) })
    }

    /// A page of the repositories that the signed-in user has starred and may still see, by path.
    ///
    /// # Errors
    /// That nobody is signed in.
    pub async fn stars(
        &self,
        caller: &Caller,
        page: &PageRequest<String>,
    ) -> Result<Vec<(Starred, bool)>, Error> {
        let actor = self.user_admin(caller).await?;
        let mut starred = Vec::new();
        for star in self.reader().stars(actor.account.id, page).await? {
            let may_see = star.visibility == Visibility::Public || {
                let name = RepositoryName::from_path(&star.path)?;
                let record = self.live_repository(&name).await?;
                let id = record.as_ref().map(|record| record.id);
                let standing = self.standing(&actor, name.namespace(), id).await?;
                standing.repository(super::rights::Reach::Full).is_some()
            };
            starred.push((star, may_see));
        }
        Ok(starred)
    }

    /// Stars a repository that the signed-in user may see.
    ///
    /// # Errors
    /// [`Forbidden`](crate::ErrorKind::Forbidden) for repositories that the user may not see.
    pub async fn star(&self, caller: &Caller, name: &RepositoryName) -> Result<(), Error> {
        let actor = self.user_admin(caller).await?;
        let record = self.live_repository(name).await?;
        let id = record.as_ref().map(|record| record.id);
        let standing = self.standing(&actor, name.namespace(), id).await?;
        let public = record
            .as_ref()
            .is_some_and(|record| record.visibility == Visibility::Public);
        if !public && standing.repository(super::rights::Reach::Full).is_none() {
            return Err(super::facade::refuse(caller));
        }
        let record = record.ok_or_else(not_found)?;
        // Starring twice is starring.
        change!(self, |unit| async {
            Ok(unit.star(actor.account.id, record.id).await?)
        })
        .map(drop)
    }

    /// Takes a star away.
    ///
    /// # Errors
    /// [`Rejected`](crate::ErrorKind::Rejected) when there is none.
    pub async fn unstar(&self, caller: &Caller, name: &RepositoryName) -> Result<(), Error> {
        let actor = self.user_admin(caller).await?;
        let record = self.live_repository(name).await?;
        let removed = match &record {
            Some(record) => change!(self, |unit| async {
                Ok(unit.unstar(actor.account.id, record.id).await?)
            })?,
            None => false,
        };
        if removed {
            return Ok(());
        }
        // Whether it is there is told to those alone who may see it.
        let id = record.as_ref().map(|record| record.id);
        let standing = self.standing(&actor, name.namespace(), id).await?;
        let public = record
            .as_ref()
            .is_some_and(|record| record.visibility == Visibility::Public);
        if !public && standing.repository(super::rights::Reach::Full).is_none() {
            return Err(super::facade::refuse(caller));
        }
        record.ok_or_else(not_found)?;
        Err(rejected("Star not found."))
    }

    /// The messages that every user sees.
    ///
    /// # Errors
    /// The store's.
    pub async fn messages(&self) -> Result<Vec<Message>, Error> {
        Ok(self.reader().messages().await?)
    }

    /// What is found by the beginning of a name: users; teams and robots of a namespace, where the caller
    /// belongs to it; organizations, if asked for.
    ///
    /// # Errors
    /// The store's.
    pub async fn entities(
        &self,
        caller: &Caller,
        prefix: &str,
        namespace: Option<&str>,
        teams: bool,
        organizations: bool,
    ) -> Result<Entities, Error> {
        let prefix: String = prefix.to_lowercase().split_whitespace().collect();
        if prefix.is_empty() || prefix.chars().any(char::is_control) {
            return Ok(Entities::default());
        }
        let mut found = Entities::default();
        let mut reader = self.reader();
        let mut member_of = None;
        let mut robots_of = None;
        if let Some(namespace) = namespace.filter(|namespace| !namespace.is_empty())
            && let Ok(actor) = self.actor(caller).await
        {
            let standing = self.standing(&actor, namespace, None).await?;
            if standing.organization(actor.reach).is_some() {
                let account = reader.account(super::store::AccountKey::Name(namespace)).await?;
                robots_of = account.as_ref().map(|account| account.id);
                member_of = account.filter(Account::is_organization);
            }
        }
        if let (true, Some(organization)) = (teams, &member_of) {
            found.teams = reader
                .teams(organization.id, &PageRequest::new(before(&prefix), FOUND))
                .await?
                .into_iter()
                .take_while(|summary| summary.team.name.starts_with(&prefix))
                .collect();
        }
        let filter = AccountFilter::Prefix {
            prefix: &prefix,
            robots_of,
            organizations,
        };
        let accounts = reader
            .accounts(filter, &PageRequest::new(None, FOUND * 3))
            .await?;
        // Within a namespace people write a robot's own name.
        let mut robots = Vec::new();
        if let (Some(owner), Some(namespace), false) = (robots_of, namespace, prefix.contains('+')) {
            let begin = format!("{namespace}+{prefix}");
            let known: HashSet<AccountId> = accounts.iter().map(|account| account.id).collect();
            let after = before(&begin).map(|name| AccountCursor { id: 0, name });
            let page = PageRequest::new(after, FOUND);
            let listed = reader.accounts(AccountFilter::RobotsOf(owner), &page).await?;
            robots = listed;
            robots.retain(|robot| robot.name.starts_with(&begin) && !known.contains(&robot.id));
        }
        let partial = self.0.options.partial_autocomplete;
        for account in accounts.into_iter().chain(robots) {
            if account.kind == AccountKind::Organization {
                if found.organizations.len() < FOUND {
                    found.organizations.push(account);
                }
            } else if found.accounts.len() < FOUND
                && (partial || account.is_robot() || account.name == prefix)
            {
                let member = match &member_of {
                    None => None,
                    Some(organization) => Some(
                        account.owner == Some(organization.id)
                            || !reader
                                .teams_of(account.id, Some(organization.id))
                                .await?
                                .is_empty(),
                    ),
                };
                found.accounts.push((account, member));
            }
        }
        Ok(found)
    }
}

/// A text that all names follow that begin with `prefix` or come behind, and no other name does: names hold
/// nothing above `~`. `None` where there is none before.
fn before(prefix: &str) -> Option<String> {
    let mut text = prefix.to_owned();
    let last = text.pop()?;
    let last = char::from_u32(u32::from(last).checked_sub(1)?)?;
    text.extend([last, '\u{7f}']);
    Some(text)
}
