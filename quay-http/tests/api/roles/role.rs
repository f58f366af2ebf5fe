//! Who calls.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::fixture::{ROBOT_TOKEN, token_value};
use crate::support::Host;

/// A caller and how they show who they are. Those without a word about tokens have a session whose
/// password was checked just now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Anonymous,
    /// A robot of the organization, by name and token.
    Robot,
    /// A user who has nothing to do with the organization.
    Other,
    /// In a team with the role `member`.
    Member,
    /// In a team with the role `creator`.
    Creator,
    /// In a team with the role `admin`.
    Admin,
    /// A superuser, who is in no team.
    Superuser,
    /// The administrator's token with every scope but `super:user`.
    Token,
    /// The administrator's token with `repo:read`.
    RepoReadToken,
    /// The administrator's token with `user:read`.
    UserReadToken,
    /// The superuser's token with every scope.
    SuperToken,
    /// The superuser's token with every scope but `super:user`.
    NoSuperToken,
}

pub(super) const CSRF: &str = "csrf-of-the-test";

impl Role {
    pub(super) const ALL: &[Self] = &[
        Self::Anonymous,
        Self::Robot,
        Self::Other,
        Self::Member,
        Self::Creator,
        Self::Admin,
        Self::Superuser,
        Self::Token,
        Self::RepoReadToken,
        Self::UserReadToken,
        Self::SuperToken,
        Self::NoSuperToken,
    ];

    /// The user's name; empty where there is none.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Anonymous | Self::Robot => "",
            Self::Other => "other",
            Self::Member => "member",
            Self::Creator => "creator",
            Self::Admin | Self::Token | Self::RepoReadToken | Self::UserReadToken => "admin",
            Self::Superuser | Self::SuperToken | Self::NoSuperToken => "root",
        }
    }

    /// The name of the caller's token, where there is one.
    pub(super) const fn token(self) -> Option<&'static str> {
        match self {
            Self::Token => Some("all"),
            Self::RepoReadToken => Some("reporead"),
            Self::UserReadToken => Some("userread"),
            Self::SuperToken => Some("super"),
            Self::NoSuperToken => Some("nosuper"),
            _ => None,
        }
    }

    pub(super) const fn is_session(self) -> bool {
        matches!(
            self,
            Self::Other | Self::Member | Self::Creator | Self::Admin | Self::Superuser
        )
    }

    /// Whether anybody is known to be calling. Robots are not: this is not the registry protocol.
    pub(super) const fn is_known(self) -> bool {
        !matches!(self, Self::Anonymous | Self::Robot)
    }

    /// The headers that show it, a token against forgery included.
    pub(super) fn headers(self, host: &Host) -> Vec<(&'static str, String)> {
        if let Some(token) = self.token() {
            return vec![("authorization", format!("Bearer {}", token_value(token)))];
        }
        let cookie = if self.is_session() {
            host.fresh_cookie(&format!("uuid-{}", self.name()), CSRF)
        } else {
            host.cookie(None, CSRF)
        };
        let mut headers = vec![("cookie", cookie), ("x-csrf-token", CSRF.to_owned())];
        if self == Self::Robot {
            let pair = STANDARD.encode(format!("org+bot:{ROBOT_TOKEN}"));
            headers.push(("authorization", format!("Basic {pair}")));
        }
        headers
    }
}
