//! Robots that log in by identity providers: the exchange of a provider's token for one of this registry.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

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

/// Whom a robot trusts to be it: a provider's subject, and what else must be true of the token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FederationRule {
    /// The provider (`iss`).
    pub issuer: String,
    /// Whom it speaks of (`sub`).
    pub subject: String,
    /// Whom the token is for (`aud`), where that matters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// Claims that the token must have, and their values. In a value, `*` stands for any text.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub claims: BTreeMap<String, String>,
}

impl FederationRule {
    /// Whether it is about a provider's subject.
    #[must_use]
    pub fn names(&self, subject: &FederatedSubject) -> bool {
        self.issuer == subject.issuer && self.subject == subject.subject
    }

    /// Whether a token's claims are as it demands, issuer and subject among them. Of a claim that is a list, one
    /// value suffices.
    #[must_use]
    pub fn admits(&self, claims: &Map<String, Value>) -> bool {
        let has = |name: &str, wanted: &str, fits: fn(&str, &str) -> bool| {
            let one = |value: &Value| match value {
                Value::String(text) => fits(wanted, text),
                Value::Bool(_) | Value::Number(_) => fits(wanted, &value.to_string()),
                _ => false,
            };
            match claims.get(name) {
                Some(Value::Array(values)) => values.iter().any(one),
                Some(value) => one(value),
                None => false,
            }
        };
        let same = |wanted: &str, found: &str| wanted == found;
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        text("iss") == Some(&self.issuer)
            && text("sub") == Some(&self.subject)
            && self
                .audience
                .as_deref()
                .is_none_or(|audience| has("aud", audience, same))
            && self.claims.iter().all(|(name, wanted)| has(name, wanted, fits))
    }
}

/// Whether a text is as a pattern says, in which `*` stands for any text.
fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.split_once(part) {
            Some((_, behind)) => rest = behind,
            None => return false,
        }
    }
    rest.ends_with(last)
}

impl Account {
    /// Whom this robot trusts to be it.
    #[must_use]
    pub fn federation_rules(&self) -> Vec<FederationRule> {
        self.federation
            .as_deref()
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, text, expected) in [
            ("main", "main", true),
            ("main", "maintenance", false),
            ("", "", true),
            ("", "x", false),
            ("*", "", true),
            ("release-*", "release-1", true),
            ("release-*", "x-release-1", false),
            ("*-1", "release-1", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c", false),
            ("a*a", "a", false),
            ("**", "x", true),
        ] {
            assert_eq!(fits(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn a_rule_demands_what_it_says() {
        let rule: FederationRule = serde_json::from_value(json!({
            "issuer": "https://ci.example",
            "subject": "job",
            "audience": "registry",
            "claims": { "ref": "refs/heads/*", "protected": "true" },
        }))
        .unwrap();
        let token = json!({
            "iss": "https://ci.example",
            "sub": "job",
            "aud": ["other", "registry"],
            "ref": "refs/heads/main",
            "protected": true,
        });
        let admits = |token: &Value| rule.admits(token.as_object().unwrap());
        assert!(admits(&token));
        for (name, value) in [
            ("iss", json!("https://other.example")),
            ("sub", json!("another job")),
            ("aud", json!("registry2")),
            ("aud", Value::Null),
            ("ref", json!("refs/tags/v1")),
            ("ref", json!({ "x": "refs/heads/main" })),
            ("protected", json!(false)),
            ("protected", Value::Null),
        ] {
            let mut other = token.clone();
            other[name] = value;
            assert!(!admits(&other), "{other}");
        }
    }
}
