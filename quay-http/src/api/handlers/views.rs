//! What several operations show of the same things.

use quay_core::accounts::{Account, Grant, Me, Team, UserRole};
use quay_core::metadata::Visibility;
use quay_core::runtime::Timestamp;
use serde_json::{Map, Value, json};

use super::super::avatar;
use super::super::dates::rfc2822;

/// A repository's name behind its namespace.
pub(super) fn rest(path: &str) -> &str {
    path.split_once('/').map_or(path, |(_, rest)| rest)
}

pub(super) fn date(time: Option<Timestamp>) -> Value {
    time.map_or(Value::Null, |time| rfc2822(time).into())
}

/// A user as anybody sees them.
pub(super) fn public_user(account: &Account) -> Value {
    json!({
        "anonymous": false,
        "username": account.name,
        "avatar": avatar::of_account(account),
    })
}

/// A user as they see themselves.
pub(super) fn me(me: &Me) -> Value {
    let account = &me.account;
    let mut view = match public_user(account) {
        Value::Object(view) => view,
        _ => Map::new(),
    };
    let mut put = |name: &str, value: Value| {
        view.insert(name.to_owned(), value);
    };
    if me.role == UserRole::Admin {
        put("can_create_repo", true.into());
        put("is_me", true.into());
        put("verified", account.verified.into());
        put("email", account.email.clone().unwrap_or_default().into());
        put("logins", json!([]));
        put("invoice_email", account.invoice_email.into());
        put("invoice_email_address", json!(account.invoice_email_address));
        put("preferred_namespace", false.into());
        put("tag_expiration_s", account.tag_expiration_s.into());
        put("prompts", json!([]));
        put("company", json!(account.company));
        put("family_name", json!(account.family_name));
        put("given_name", json!(account.given_name));
        put("location", json!(account.location));
        put("is_free_account", true.into());
        put("has_password_set", account.password_hash.is_some().into());
    }
    let organizations: Vec<Value> = me
        .organizations
        .iter()
        .map(|membership| {
            use quay_core::accounts::TeamRole;
            json!({
                "name": membership.organization.name,
                "avatar": avatar::of_account(&membership.organization),
                "can_create_repo": membership.role >= TeamRole::Creator,
                "public": false,
                "is_org_admin": membership.role == TeamRole::Admin,
                "preferred_namespace": false,
            })
        })
        .collect();
    put("organizations", organizations.into());
    if me.superuser {
        put("super_user", true.into());
    }
    Value::Object(view)
}

/// A user as a superuser sees them.
pub(super) fn any_user(account: &Account, superuser: bool) -> Value {
    json!({
        "kind": "user",
        "name": account.name,
        "username": account.name,
        "email": account.email.clone().unwrap_or_default(),
        "verified": account.verified,
        "avatar": avatar::of_account(account),
        "super_user": superuser,
        "enabled": account.enabled,
    })
}

/// An organization as a superuser sees it.
pub(super) fn any_organization(account: &Account) -> Value {
    json!({
        "name": account.name,
        "email": account.email.clone().unwrap_or_default(),
        "avatar": avatar::of_account(account),
    })
}

/// A team by name and picture.
pub(super) fn team(team: &Team) -> Value {
    json!({ "name": team.name, "avatar": avatar::of_team(&team.name) })
}

/// A role in a repository.
#[expect(clippy::needless_pass_by_value, reason = "what a list shows is its own")]
pub(super) fn grant(grant: Grant) -> Value {
    json!({
        "repository": {
            "name": rest(&grant.path),
            "is_public": grant.visibility == Visibility::Public,
        },
        "role": grant.role.as_str(),
    })
}

/// A member of an object that may be absent, null or a text.
#[expect(clippy::option_option, reason = "absent, null and a text are three things")]
pub(super) fn nullable(body: &Value, name: &str) -> Option<Option<String>> {
    body.get(name).map(|value| value.as_str().map(ToOwned::to_owned))
}

/// An object.
pub(super) fn members<const N: usize>(members: [(&str, Value); N]) -> Map<String, Value> {
    members
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}
