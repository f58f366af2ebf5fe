//! Users from a list that does not change while the process runs.

use std::fmt;

use async_trait::async_trait;
use quay_core::auth::{Authentication, Authenticator, Credentials, Identity};
use quay_core::{CredentialKind, Principal, StoreError};
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

/// A name or password that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidUser(&'static str);

impl fmt::Display for InvalidUser {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0)
    }
}

impl std::error::Error for InvalidUser {}

/// A few users with passwords, for a registry of one's own or for tests. Prints no secret.
///
/// Passwords are compared by their SHA-256, in a time that depends neither on the name nor on where two
/// passwords differ. That protects against guessing over the wire, not against somebody who reads this
/// process's memory.
#[derive(Clone)]
pub struct StaticUsers {
    realm: String,
    users: Vec<(String, [u8; 32])>,
}

impl fmt::Debug for StaticUsers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("StaticUsers")
            .field("realm", &self.realm)
            .field("users", &self.users.len())
            .finish()
    }
}

fn fingerprint(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

impl StaticUsers {
    /// No users yet. `realm` is what clients are shown when they are asked for credentials; quotes,
    /// backslashes and control characters in it are dropped.
    #[must_use]
    pub fn new(realm: &str) -> Self {
        Self {
            realm: realm
                .chars()
                .filter(|&character| {
                    !character.is_control() && character.is_ascii() && !"\"\\".contains(character)
                })
                .collect(),
            users: Vec::new(),
        }
    }

    /// Adds a user; one of the same name is replaced.
    ///
    /// # Errors
    /// [`InvalidUser`] for an empty name or password, or a name with a colon, which cannot be sent.
    pub fn with_user(mut self, name: &str, password: &str) -> Result<Self, InvalidUser> {
        if name.is_empty() || name.contains(':') || name.chars().any(char::is_control) {
            return Err(InvalidUser("a user's name must not be empty and holds no colon"));
        }
        if password.is_empty() {
            return Err(InvalidUser("a password must not be empty"));
        }
        self.users.retain(|(known, _)| known != name);
        self.users.push((name.to_owned(), fingerprint(password)));
        Ok(self)
    }

    fn check(&self, username: &str, password: &str) -> bool {
        let (name, secret) = (fingerprint(username), fingerprint(password));
        let mut proven = Choice::from(0);
        // Every user is compared with, found or not.
        for (known, stored) in &self.users {
            let fits = fingerprint(known).ct_eq(&name) & stored.ct_eq(&secret);
            proven = Choice::conditional_select(&proven, &Choice::from(1), fits);
        }
        proven.into()
    }
}

#[async_trait]
impl Authenticator for StaticUsers {
    async fn authenticate(&self, credentials: Credentials<'_>) -> Result<Authentication, StoreError> {
        Ok(match credentials {
            Credentials::Basic { username, password } if self.check(username, password) => {
                let user = Principal::User(username.into());
                Authentication::Proven(Identity::new(user, CredentialKind::Password))
            }
            Credentials::Basic { .. } => Authentication::Denied("invalid username or password"),
            _ => Authentication::NotMine,
        })
    }

    fn challenge(&self, _: Option<&str>) -> String {
        format!("Basic realm=\"{}\", charset=\"UTF-8\"", self.realm)
    }
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;

    use super::*;

    fn users() -> StaticUsers {
        StaticUsers::new("test \"registry\"")
            .with_user("alice", "secret")
            .unwrap()
            .with_user("bob", "other")
            .unwrap()
    }

    fn basic(username: &str, password: &str) -> Authentication {
        block_on(users().authenticate(Credentials::Basic { username, password })).unwrap()
    }

    #[test]
    fn only_the_right_password_of_the_right_user_counts() {
        assert!(matches!(basic("alice", "secret"), Authentication::Proven(_)));
        for (username, password) in [("alice", "other"), ("alice", ""), ("", ""), ("carol", "secret")] {
            let denied = basic(username, password);
            assert_eq!(denied, Authentication::Denied("invalid username or password"));
        }
        for credentials in [
            Credentials::None,
            Credentials::Bearer("x"),
            Credentials::Unreadable,
        ] {
            assert_eq!(
                block_on(users().authenticate(credentials)).unwrap(),
                Authentication::NotMine
            );
        }
    }

    #[test]
    fn nothing_secret_is_printed_and_the_realm_cannot_break_out() {
        assert!(!format!("{:?}", users()).contains("alice"));
        assert_eq!(
            users().challenge(None),
            "Basic realm=\"test registry\", charset=\"UTF-8\""
        );
        assert!(StaticUsers::new("x").with_user("a:b", "c").is_err());
        assert!(StaticUsers::new("x").with_user("a", "").is_err());
    }
}
