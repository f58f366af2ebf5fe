//! Robots that log in with tokens of identity providers they trust, and with those that they get in
//! exchange.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use quay_core::StoreError;
use quay_core::accounts::{Account, FederatedSubject, RobotTokens};
use quay_core::http::HttpClient;
use quay_core::runtime::{Runtime, Timestamp};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::issuer_keys::{IssuerKeys, Missing, Transport};
use crate::jwt::{Audience, Token, Validity};
use crate::registry_token::RegistryTokens;

/// How long a token counts that was given in exchange.
const LIFETIME_S: i64 = 3600;

/// Judges tokens of identity providers by what robots trust, and issues and takes the tokens that robots
/// get in exchange.
///
/// A provider's token counts when the robot's federation names its issuer (`iss`) with its subject (`sub`),
/// when it is signed (RS256 or ES256) with a key that the issuer publishes, and from `nbf` and `iat` until
/// `exp`, give or take 30 seconds. What it is for (`aud`) is checked where the robot's rule says so; Quay never
/// does. Without it, whoever else is shown a token of that subject can act as the robot: a subject should then be
/// one whose tokens are for this registry only.
///
/// The issuer's keys are found by OpenID Connect Discovery and kept for an hour; a key that is not among
/// them is looked for again once a minute at most, and a provider that fails is let alone for ten seconds.
/// Redirects are not followed.
///
/// Tokens given in exchange are signed with the registry's key. They name the robot by its uuid, and the
/// provider's subject: a new token or the robot's end voids them, and so does the end of its trust.
pub struct FederatedRobots {
    keys: IssuerKeys,
    tokens: Arc<RegistryTokens>,
    client: Arc<dyn HttpClient>,
    runtime: Runtime,
}

impl fmt::Debug for FederatedRobots {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("FederatedRobots")
            .field("keys", &self.keys)
            .finish_non_exhaustive()
    }
}

/// A provider's token. `nbf` may be missing (OpenID Connect Core, section 2).
#[derive(Deserialize)]
struct ProviderClaims {
    iss: String,
    sub: String,
    #[serde(deserialize_with = "seconds")]
    exp: i64,
    #[serde(deserialize_with = "seconds")]
    iat: i64,
    #[serde(default = "always", deserialize_with = "seconds")]
    nbf: i64,
}

const fn always() -> i64 {
    i64::MIN
}

/// A `NumericDate` may have a fraction (RFC 7519, section 2).
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let number = serde_json::Number::deserialize(deserializer)?;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "what does not fit is as late or early as can be"
    )]
    let floor = |seconds: f64| seconds.floor() as i64;
    number
        .as_i64()
        .or_else(|| number.as_f64().map(floor))
        .ok_or_else(|| serde::de::Error::custom("not a time"))
}

/// What tells a robot's token from one for the registry protocol, which has no such claim.
#[derive(Debug, Serialize, Deserialize)]
struct RobotClaim {
    uuid: String,
    issuer: String,
    subject: String,
}

#[derive(Serialize)]
struct IssuedClaims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: &'a str,
    nbf: i64,
    iat: i64,
    exp: i64,
    robot: RobotClaim,
}

#[derive(Deserialize)]
struct TakenClaims {
    iss: String,
    aud: Audience,
    sub: String,
    nbf: i64,
    iat: i64,
    exp: i64,
    robot: RobotClaim,
}

impl FederatedRobots {
    /// Asks providers with `client`, by TLS only; signs and verifies with the keys of `tokens`.
    #[must_use]
    pub fn new(client: Arc<dyn HttpClient>, tokens: Arc<RegistryTokens>, runtime: Runtime) -> Self {
        Self {
            keys: IssuerKeys::new(Arc::clone(&client), runtime.clone(), Transport::TlsOnly),
            tokens,
            client,
            runtime,
        }
    }

    /// Asks providers without TLS as well, where their issuer begins with `http://`. Whoever is on the way
    /// to such a provider can be every robot that trusts it.
    #[must_use]
    pub fn with_plain_http_allowed(mut self) -> Self {
        let client = Arc::clone(&self.client);
        self.keys = IssuerKeys::new(client, self.runtime.clone(), Transport::PlainAllowed);
        self
    }
}

#[async_trait]
impl RobotTokens for FederatedRobots {
    fn takes_issuer(&self, issuer: &str) -> bool {
        self.keys.takes(issuer)
    }

    async fn judge(&self, robot: &Account, token: &str) -> Option<FederatedSubject> {
        let token = Token::parse_foreign(token)?;
        let claims: ProviderClaims = token.claims()?;
        let validity = Validity {
            exp: claims.exp,
            nbf: claims.nbf,
            iat: claims.iat,
        };
        let subject = FederatedSubject::new(claims.iss, claims.sub);
        let all: Map<String, Value> = token.claims()?;
        // Nobody is asked whom the robot does not name.
        if !robot.is_robot() || !robot.federation_rules().iter().any(|rule| rule.admits(&all)) {
            tracing::debug!("a provider's token is not one that the robot trusts");
            return None;
        }
        if !validity.holds(self.runtime.clock.now()) {
            tracing::debug!("a provider's token is expired or not yet valid");
            return None;
        }
        match self.keys.for_token(&subject.issuer, &token).await {
            Ok(keys) if keys.signed(&token) => Some(subject),
            Ok(_) => {
                tracing::debug!("a provider's token is not signed by it");
                None
            }
            Err(Missing::Key) => {
                tracing::debug!("a provider's token is signed with a key that it does not publish");
                None
            }
            Err(Missing::Issuer) => None,
        }
    }

    /// Keeps the calling thread busy for about a millisecond.
    async fn issue(
        &self,
        robot: &Account,
        subject: &FederatedSubject,
        issued: Timestamp,
    ) -> Result<String, StoreError> {
        let issued_s = issued.as_millis().div_euclid(1000);
        let options = self.tokens.options();
        self.tokens.signing_key().sign(&IssuedClaims {
            iss: &options.key_service,
            aud: &options.hostname,
            sub: &robot.name,
            nbf: issued_s,
            iat: issued_s,
            exp: issued_s.saturating_add(LIFETIME_S),
            robot: RobotClaim {
                uuid: robot.uuid.clone(),
                issuer: subject.issuer.clone(),
                subject: subject.subject.clone(),
            },
        })
    }

    async fn is_issued(&self, robot: &Account, token: &str) -> Result<bool, StoreError> {
        let Some((token, claims)) = Token::parse(token).and_then(|token| {
            let claims: TakenClaims = token.claims()?;
            Some((token, claims))
        }) else {
            return Ok(false);
        };
        let options = self.tokens.options();
        let validity = Validity {
            exp: claims.exp,
            nbf: claims.nbf,
            iat: claims.iat,
        };
        let lifetime_s = claims.exp.checked_sub(claims.iat);
        let subject = FederatedSubject::new(claims.robot.issuer, claims.robot.subject);
        let is_this = robot.is_robot()
            && claims.sub == robot.name
            && claims.robot.uuid == robot.uuid
            && claims.iss == options.key_service
            && claims.aud.includes(&options.hostname)
            && lifetime_s.is_some_and(|lifetime_s| lifetime_s <= LIFETIME_S)
            && validity.holds(self.runtime.clock.now())
            && robot.federation_rules().iter().any(|rule| rule.names(&subject));
        // The key comes last: it may cost a statement.
        if !is_this {
            return Ok(false);
        }
        self.tokens.is_signed(&token).await
    }
}

#[cfg(test)]
mod tests;
