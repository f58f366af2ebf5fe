//! The little pictures beside names (`quay-api.md`, 1.7): clients draw them from a hash and a colour.

use md5::{Digest as _, Md5};
use quay_core::accounts::{Account, AccountKind, Application};
use serde_json::{Value, json};

/// What has an avatar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AvatarKind {
    User,
    Robot,
    Organization,
    Team,
    Application,
}

impl AvatarKind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Robot => "robot",
            Self::Organization => "org",
            Self::Team => "team",
            Self::Application => "app",
        }
    }
}

/// Told apart well enough by most people, beside each other and with white letters on them.
const COLOURS: [&str; 32] = [
    "#969696", "#aec7e8", "#ff7f0e", "#ffbb78", "#2ca02c", "#98df8a", "#d62728", "#ff9896", "#9467bd",
    "#c5b0d5", "#8c564b", "#c49c94", "#e377c2", "#f7b6d2", "#7f7f7f", "#c7c7c7", "#bcbd22", "#1f77b4",
    "#17becf", "#9edae5", "#393b79", "#5254a3", "#6b6ecf", "#9c9ede", "#9ecae1", "#31a354", "#b5cf6b",
    "#a1d99b", "#8c6d31", "#ad494a", "#e7ba52", "#a55194",
];

/// An avatar of somebody with a name and perhaps an e-mail address.
pub(crate) fn avatar(kind: AvatarKind, name: &str, email: Option<&str>) -> Value {
    let hashed = email.filter(|email| !email.trim().is_empty()).unwrap_or(name);
    let hash = Md5::digest(hashed.trim().to_lowercase());
    let colour = hash.first().map_or(0, |byte| usize::from(*byte)) % COLOURS.len();
    json!({
        "name": name,
        "hash": hex::encode(hash),
        "color": COLOURS.get(colour).copied().unwrap_or_default(),
        "kind": kind.as_str(),
    })
}

/// An account's avatar.
pub(crate) fn of_account(account: &Account) -> Value {
    let kind = match account.kind {
        AccountKind::Organization => AvatarKind::Organization,
        AccountKind::Robot => AvatarKind::Robot,
        _ => AvatarKind::User,
    };
    avatar(kind, &account.name, account.email.as_deref())
}

/// A team's avatar.
pub(crate) fn of_team(name: &str) -> Value {
    avatar(AvatarKind::Team, name, None)
}

/// An application's avatar.
pub(crate) fn of_application(application: &Application) -> Value {
    avatar(
        AvatarKind::Application,
        &application.name,
        application.avatar_email.as_deref(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_counts_before_the_name() {
        let of_address = json!({
            "name": "Me",
            "hash": "0bc83cb571cd1c50ba6f3e8a78ef1346",
            "color": COLOURS[0x0b],
            "kind": "user",
        });
        let written = Some(" MyEmailAddress@example.com ");
        assert_eq!(avatar(AvatarKind::User, "Me", written), of_address);
        let by_name = avatar(AvatarKind::Team, "Owners", Some(""));
        assert_eq!(by_name["hash"], avatar(AvatarKind::Team, "owners", None)["hash"]);
    }
}
