//! Robots that log in by identity providers: the exchange of a provider's token for one of this registry.

use serde::Deserialize;
use serde_json::json;

use super::facade::{Accounts, change};
use super::log::LogKind;
use super::ports::FederatedSubject;
use super::record::Account;
use super::store::AccountKey;
use crate::caller::Caller;
use crate::error::{Error, ErrorKind};

/// What whoever fails to prove to be a robot is told, whatever the reason.
const REFUSED: &str = "Could not find robot with specified username and supplied token.";
/// The kind of login that the action log is told.
const LOGIN: &str = "federation";

#[derive(Deserialize)]
struct Entry {
    issuer: String,
    subject: String,
}

impl Account {
    /// The identity providers' subjects that stand for this robot.
    #[must_use]
    pub fn federated_subjects(&self) -> Vec<FederatedSubject> {
        let entries: Vec<Entry> = self
            .federation
            .as_deref()
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default();
        entries
            .into_iter()
            .map(|entry| FederatedSubject::new(entry.issuer, entry.subject))
            .collect()
    }
}

impl Accounts {
    /// Gives a robot a token that counts as its password for an hour, in exchange for one of an identity
    /// provider that it trusts.
    ///
    /// # Errors
    /// [`Unauthorized`](ErrorKind::Unauthorized) for anything that does not prove the robot;
    /// [`NotFound`](ErrorKind::NotFound) where robots cannot log in by identity providers.
    pub async fn exchange_robot_token(
        &self,
        caller: &Caller,
        robot: &str,
        provider_token: &str,
    ) -> Result<String, Error> {
        let Some((found, owner, subject)) = self.federated_robot(robot, provider_token).await? else {
            self.log_login(caller, Some(robot), LOGIN, Some(REFUSED)).await?;
            return Err(Error::new(ErrorKind::Unauthorized, REFUSED));
        };
        let tools = &self.0.tools;
        let tokens = tools.robot_tokens.as_ref().ok_or_else(no_federation)?;
        let token = tokens.issue(&found, &subject, self.now()).await?;
        if !self.0.options.read_only {
            let metadata =
                json!({ "robot": found.name, "issuer": subject.issuer, "subject": subject.subject });
            let kind = LogKind::FederatedRobotTokenExchange;
            let mut entry = self.entry(caller, kind, Some(&owner.name), metadata).await?;
            entry.performer = Some(found.name);
            change!(self, |unit| async { Ok(unit.log(&entry).await?) })?;
        }
        Ok(token)
    }

    /// The robot that a provider's token proves, with its owner; `None` when it proves none.
    async fn federated_robot(
        &self,
        name: &str,
        provider_token: &str,
    ) -> Result<Option<(Account, Account, FederatedSubject)>, Error> {
        let options = &self.0.options;
        let tokens = self.0.tools.robot_tokens.as_ref().ok_or_else(no_federation)?;
        if !name.is_ascii() || (options.robots_disallow && !options.robots_whitelist.contains(name)) {
            return Ok(None);
        }
        let mut reader = self.reader();
        let robot = reader.account(AccountKey::Name(name)).await?;
        let Some(robot) = robot.filter(|robot| robot.is_robot() && robot.enabled) else {
            return Ok(None);
        };
        let owner = match robot.owner {
            Some(owner) => reader.account(AccountKey::Id(owner)).await?,
            None => None,
        };
        let Some(owner) = owner.filter(|owner| owner.enabled) else {
            return Ok(None);
        };
        // A reader may hold a connection, and the provider may be slow.
        drop(reader);
        let subject = tokens.judge(&robot, provider_token).await;
        Ok(subject.map(|subject| (robot, owner, subject)))
    }
}

fn no_federation() -> Error {
    Error::new(ErrorKind::NotFound, "Not Found")
}
