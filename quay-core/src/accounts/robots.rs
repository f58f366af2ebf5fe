//! Robot accounts of users and organizations.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::facade::{Accounts, Need, Subject, change, invalid, refuse, rejected};
use super::federation::FederationRule;
use super::log::LogKind;
use super::name::{is_account_name, robot_name};
use super::record::{Account, AccountKind, Grant, Grantee, Team};
use super::role::TeamRole;
use super::store::{AccountCursor, AccountFilter, AccountKey};
use crate::caller::Caller;
use crate::error::Error;
use crate::metadata::PageRequest;

/// Longest description of a robot; more is cut off (`quay-api.md`, 1.6).
const DESCRIPTION: usize = 255;

/// Whose robots.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::exhaustive_enums, reason = "users and organizations own robots")]
pub enum RobotOwner<'a> {
    /// The signed-in user's.
    Own,
    /// An organization's.
    Organization(&'a str),
}

/// A robot, with its token in plain text where the caller may see it.
#[derive(Clone)]
#[non_exhaustive]
pub struct Robot {
    /// The robot.
    pub account: Account,
    /// Its token.
    pub token: Option<String>,
    /// Its teams and the repositories in which it has a role, where they were asked for.
    pub places: Option<(Vec<Team>, Vec<String>)>,
}

impl std::fmt::Debug for Robot {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Robot")
            .field("account", &self.account)
            .finish_non_exhaustive()
    }
}

/// What a list of robots shows.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::exhaustive_structs, reason = "the parameters of the call")]
pub struct RobotDetail {
    /// Their tokens.
    pub tokens: bool,
    /// Their teams and repositories.
    pub places: bool,
}

impl Accounts {
    /// The account whose robots are meant. Members of an organization see its robots; who may change
    /// them administers it.
    async fn robot_owner(
        &self,
        caller: &Caller,
        owner: RobotOwner<'_>,
        need: Need,
    ) -> Result<Account, Error> {
        match owner {
            RobotOwner::Own => Ok(self.user_admin(caller).await?.account),
            RobotOwner::Organization(name) => Ok(self.organization(caller, name, need).await?.1),
        }
    }

    async fn robot_of(&self, owner: &Account, short: &str) -> Result<Account, Error> {
        let name = robot_name(&owner.name, short);
        let found = self.reader().account(AccountKey::Name(&name)).await?;
        found
            .filter(|robot| robot.is_robot() && robot.owner == Some(owner.id))
            .ok_or_else(|| rejected(format!("Could not find robot with username: {name}")))
    }

    fn robot_token(&self, robot: &Account) -> Result<Option<String>, Error> {
        match &robot.robot_token {
            Some(sealed) => Ok(Some(self.0.tools.secrets.open(sealed)?)),
            None => Ok(None),
        }
    }

    /// A page of robots, by name. Tokens and places are shown to those who may change the robots.
    ///
    /// # Errors
    /// [`Forbidden`](crate::ErrorKind::Forbidden) unless the caller belongs to the organization.
    pub async fn robots(
        &self,
        caller: &Caller,
        owner: RobotOwner<'_>,
        detail: RobotDetail,
        page: &PageRequest<AccountCursor>,
    ) -> Result<Vec<Robot>, Error> {
        let account = self.robot_owner(caller, owner, Need::Member).await?;
        let may_change = match owner {
            RobotOwner::Own => true,
            RobotOwner::Organization(name) => {
                let actor = self.actor(caller).await?;
                let standing = self.standing(&actor, name, None).await?;
                standing.organization(actor.reach) == Some(TeamRole::Admin)
            }
        };
        let accounts = self
            .reader()
            .accounts(AccountFilter::RobotsOf(account.id), page)
            .await?;
        let mut robots = Vec::with_capacity(accounts.len());
        for robot in accounts {
            let token = if may_change && detail.tokens {
                self.robot_token(&robot)?
            } else {
                None
            };
            let places = if may_change && detail.places {
                let teams = self.reader().teams_of(robot.id, Some(account.id)).await?;
                Some((teams, self.repositories_of(&robot, &account.name).await?))
            } else {
                None
            };
            robots.push(Robot {
                account: robot,
                token,
                places,
            });
        }
        Ok(robots)
    }

    /// A robot with its token.
    ///
    /// # Errors
    /// [`Rejected`](crate::ErrorKind::Rejected) when there is none.
    pub async fn robot(&self, caller: &Caller, owner: RobotOwner<'_>, short: &str) -> Result<Robot, Error> {
        let owner = self.robot_owner(caller, owner, Need::Admin).await?;
        let account = self.robot_of(&owner, short).await?;
        let token = self.robot_token(&account)?;
        Ok(Robot {
            account,
            token,
            places: None,
        })
    }

    /// Creates a robot.
    ///
    /// # Errors
    /// [`Rejected`](crate::ErrorKind::Rejected) for a name that cannot be used or is taken.
    pub async fn create_robot(
        &self,
        caller: &Caller,
        owner: RobotOwner<'_>,
        short: &str,
        description: &str,
        metadata: &Value,
    ) -> Result<Robot, Error> {
        let owner = self.robot_owner(caller, owner, Need::Admin).await?;
        let name = robot_name(&owner.name, short);
        if !is_account_name(short) || name.len() > 255 {
            return Err(rejected(format!(
                "The name for the robot '{short}' is invalid: 2 to 255 lower-case letters and digits are allowed, \
                 with single dots, dashes or underscores between them"
            )));
        }
        if self.0.options.robots_disallow && !self.0.options.robots_whitelist.contains(&name) {
            return Err(rejected(
                "Robot accounts have been disabled. Please contact your administrator.",
            ));
        }
        let token = self.code(64);
        let mut account = Account::new(AccountKind::Robot, &name, self.uuid(), self.now());
        account.owner = Some(owner.id);
        account.verified = true;
        account.description = description.chars().take(DESCRIPTION).collect();
        account.metadata = metadata.to_string();
        account.robot_token = Some(self.0.tools.secrets.seal(&token));
        let entry = self
            .entry(
                caller,
                LogKind::CreateRobot,
                Some(&owner.name),
                json!({
                    "robot": short,
                    "description": account.description,
                    "unstructured_metadata": metadata,
                }),
            )
            .await?;
        account.id = change!(self, |unit| async {
            // A robot's name begins with its owner's, which must be the same until the robot is there.
            unit.lock_account(owner.id).await?;
            let still = unit.account(AccountKey::Id(owner.id)).await?;
            if still.is_none_or(|still| still.name != owner.name) {
                return Err(rejected(
                    "The owner of the robot has just been renamed or deleted",
                ));
            }
            let id = unit
                .insert_account(&account)
                .await?
                .ok_or_else(|| rejected(format!("Existing robot with name: {name}")))?;
            unit.log(&entry).await?;
            Ok(id)
        })?;
        Ok(Robot {
            account,
            token: Some(token),
            places: None,
        })
    }

    /// Deletes a robot.
    ///
    /// # Errors
    /// [`Rejected`](crate::ErrorKind::Rejected) when there is none.
    pub async fn delete_robot(
        &self,
        caller: &Caller,
        owner: RobotOwner<'_>,
        short: &str,
    ) -> Result<(), Error> {
        let owner = self.robot_owner(caller, owner, Need::Admin).await?;
        let robot = self.robot_of(&owner, short).await?;
        let entry = self
            .entry(
                caller,
                LogKind::DeleteRobot,
                Some(&owner.name),
                json!({ "robot": short }),
            )
            .await?;
        let now = self.now();
        change!(self, |unit| async {
            unit.lock_account(robot.id).await?;
            let robot = unit.account(AccountKey::Id(robot.id)).await?;
            let robot = robot.ok_or_else(|| {
                let name = robot_name(&owner.name, short);
                rejected(format!("Could not find robot with username: {name}"))
            })?;
            unit.delete_account(&robot, now).await?;
            unit.log(&entry).await?;
            unit.change(&Subject::Account(&robot.name).key(), self.now())
                .await?;
            Ok(())
        })
    }

    /// Gives a robot another token; the one before stops to count.
    ///
    /// # Errors
    /// [`Rejected`](crate::ErrorKind::Rejected) when there is none.
    pub async fn regenerate_robot(
        &self,
        caller: &Caller,
        owner: RobotOwner<'_>,
        short: &str,
    ) -> Result<Robot, Error> {
        let owner = self.robot_owner(caller, owner, Need::Admin).await?;
        let robot = self.robot_of(&owner, short).await?;
        let token = self.code(64);
        let sealed = self.0.tools.secrets.seal(&token);
        let uuid = self.uuid();
        let entry = self
            .entry(
                caller,
                LogKind::RegenerateRobotToken,
                Some(&owner.name),
                json!({ "robot": short }),
            )
            .await?;
        let account = change!(self, |unit| async {
            unit.lock_account(robot.id).await?;
            let mut account = unit
                .account(AccountKey::Id(robot.id))
                .await?
                .ok_or_else(|| rejected(format!("Could not find robot with username: {}", robot.name)))?;
            account.robot_token = Some(sealed.clone());
            account.uuid.clone_from(&uuid);
            unit.save_account(&account).await?;
            unit.log(&entry).await?;
            unit.change(&Subject::Account(&account.name).key(), self.now())
                .await?;
            Ok(account)
        })?;
        Ok(Robot {
            account,
            token: Some(token),
            places: None,
        })
    }

    /// A page of the repositories in which a robot has a role, by path.
    ///
    /// # Errors
    /// [`Rejected`](crate::ErrorKind::Rejected) when there is none.
    pub async fn robot_permissions(
        &self,
        caller: &Caller,
        owner: RobotOwner<'_>,
        short: &str,
        page: &PageRequest<i64>,
    ) -> Result<Vec<Grant>, Error> {
        if matches!(owner, RobotOwner::Organization(_)) {
            // A token needs both scopes (`quay-api.json`, getOrgRobotPermissions).
            let actor = self.actor(caller).await?;
            if actor.reach.user() < Some(super::role::UserRole::Admin) {
                return Err(refuse(caller));
            }
        }
        let owner = self.robot_owner(caller, owner, Need::Admin).await?;
        let robot = self.robot_of(&owner, short).await?;
        Ok(self
            .reader()
            .grants_of(Grantee::Account(robot.id), &owner.name, page)
            .await?)
    }

    /// The identity providers whose tokens stand for a robot: a list of issuer and subject.
    ///
    /// # Errors
    /// [`Rejected`](crate::ErrorKind::Rejected) when there is no such robot.
    pub async fn robot_federation(
        &self,
        caller: &Caller,
        owner: RobotOwner<'_>,
        short: &str,
    ) -> Result<Value, Error> {
        let owner = self.robot_owner(caller, owner, Need::Admin).await?;
        let robot = self.robot_of(&owner, short).await?;
        Ok(robot
            .federation
            .as_deref()
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_else(|| json!([])))
    }

    /// Sets the identity providers whose tokens stand for a robot; `None` removes them all.
    ///
    /// # Errors
    /// [`InvalidRequest`](crate::ErrorKind::InvalidRequest) for a list with an entry that is repeated or has no
    /// issuer.
    pub async fn set_robot_federation(
        &self,
        caller: &Caller,
        owner: RobotOwner<'_>,
        short: &str,
        providers: Option<&Value>,
    ) -> Result<Value, Error> {
        let owner = self.robot_owner(caller, owner, Need::Admin).await?;
        let robot = self.robot_of(&owner, short).await?;
        let takes = |issuer: &str| {
            let tokens = self.0.tools.robot_tokens.as_ref();
            tokens.is_none_or(|tokens| tokens.takes_issuer(issuer))
        };
        let list = providers.map(|list| checked_providers(list, takes)).transpose()?;
        let kind = if list.is_some() {
            LogKind::CreateRobotFederation
        } else {
            LogKind::DeleteRobotFederation
        };
        let metadata = json!({ "robot": robot.name, "config": list });
        let entry = self.entry(caller, kind, Some(&owner.name), metadata).await?;
        change!(self, |unit| async {
            unit.lock_account(robot.id).await?;
            let mut account = unit
                .account(AccountKey::Id(robot.id))
                .await?
                .ok_or_else(|| rejected(format!("Could not find robot with username: {}", robot.name)))?;
            account.federation = list.as_ref().map(Value::to_string);
            unit.save_account(&account).await?;
            let subject = Subject::Account(&account.name).key();
            unit.change(&subject, self.now()).await?;
            unit.log(&entry).await?;
            Ok(())
        })?;
        Ok(list.unwrap_or_else(|| json!([])))
    }
}

/// A text among an entry's members.
fn text<'a>(entry: &'a Value, name: &str) -> Option<&'a str> {
    let text = entry.get(name).and_then(Value::as_str);
    text.filter(|text| !text.is_empty())
}

/// What else a token must say, by the entry of whom a robot trusts.
fn claims(entry: &Value) -> Result<BTreeMap<String, String>, Error> {
    let wrong = || invalid("claims must be an object of texts, 20 at the most");
    let claims = match entry.get("claims") {
        None | Some(Value::Null) => return Ok(BTreeMap::new()),
        Some(Value::Object(claims)) if claims.len() <= 20 => claims,
        Some(_) => return Err(wrong()),
    };
    claims
        .iter()
        .map(|(name, value)| match value {
            Value::String(text) if text.len() <= 255 && (1..=255).contains(&name.len()) => {
                Ok((name.clone(), text.clone()))
            }
            _ => Err(wrong()),
        })
        .collect()
}

fn checked_providers(list: &Value, takes: impl Fn(&str) -> bool) -> Result<Value, Error> {
    let entries = list
        .as_array()
        .ok_or_else(|| invalid("a list of issuers and subjects is expected"))?;
    let mut checked: Vec<Value> = Vec::with_capacity(entries.len());
    for entry in entries {
        let (Some(issuer), Some(subject)) = (text(entry, "issuer"), text(entry, "subject")) else {
            return Err(invalid("Missing one or more required fields (issuer, subject)"));
        };
        if !issuer.starts_with("http://") && !issuer.starts_with("https://") {
            return Err(invalid("Issuer must be a URL (http:// or https://)"));
        }
        if !takes(issuer) {
            return Err(invalid("Issuer must be reached by https://"));
        }
        let rule = FederationRule {
            issuer: issuer.to_owned(),
            subject: subject.to_owned(),
            audience: text(entry, "audience").map(ToOwned::to_owned),
            claims: claims(entry)?,
        };
        let entry = serde_json::to_value(&rule).unwrap_or_default();
        if checked.contains(&entry) {
            return Err(invalid("Duplicate federation config entry"));
        }
        checked.push(entry);
    }
    Ok(Value::Array(checked))
}
