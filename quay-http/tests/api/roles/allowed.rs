//! Whoever belongs there gets in: the status, the shape of the answer, and what the action log says.

use serde_json::Value;

use super::fixture::{empty, fresh, registry};
use super::log::Logged;
use super::role::Role;
use super::row::{Row, Who};
use super::{ask, log, organizations, policies, repositories, served, shape, superusers, table, users};
use crate::support::{Host, Seen};

/// What tokens add to the metadata of entries.
const OF_TOKEN: &[&str] = &[
    "oauth_token_application",
    "oauth_token_application_id",
    "oauth_token_id",
];

/// What is wrong with an answer.
fn misanswered(row: &Row, operation: &Value, seen: &Seen) -> Vec<String> {
    if seen.status != row.status {
        return vec![format!(
            "expected {}, seen {} {}",
            row.status,
            seen.status,
            seen.text()
        )];
    }
    let body = seen.json();
    if row.status >= 400 {
        let told = body["message"].is_string() || body["detail"].is_string();
        return if told {
            Vec::new()
        } else {
            vec![format!("no message in {}", seen.text())]
        };
    }
    if operation["response"] == "empty" {
        return if seen.body.is_empty() {
            Vec::new()
        } else {
            vec![format!("expected nothing, seen {}", seen.text())]
        };
    }
    shape::differences(&operation["response"], &body)
}

/// What is wrong with what was logged.
fn mislogged(row: &Row, role: Role, logged: &[Logged]) -> Vec<String> {
    let kinds = |kinds: Vec<&str>| kinds.join(", ");
    let expected = kinds(row.entries.iter().map(|entry| entry.kind).collect());
    let seen = kinds(logged.iter().map(|entry| entry.kind.as_str()).collect());
    if expected != seen {
        return vec![format!("expected the entries [{expected}], seen [{seen}]")];
    }
    let mut wrong = Vec::new();
    for (expected, seen) in row.entries.iter().zip(logged) {
        let me = |text: &str| text.replace("$me", role.name());
        let account = (me(expected.account), me(expected.performer));
        if (&account.0, &account.1) != (&seen.account, &seen.performer) {
            wrong.push(format!("{}: expected {account:?}, seen {seen:?}", expected.kind));
        }
        let mut names = expected.metadata.to_vec();
        if role.token().is_some() {
            names.extend(OF_TOKEN);
        }
        names.sort_unstable();
        let object = seen.metadata.as_object().unwrap();
        let mut told: Vec<&str> = object.keys().map(String::as_str).collect();
        told.sort_unstable();
        if names != told {
            wrong.push(format!("{}: expected {names:?}, seen {told:?}", expected.kind));
        }
    }
    wrong
}

/// Asks and looks; the number of entries that there were is that of those left out.
async fn tried(host: &Host, row: &Row, role: Role, operation: &Value) -> Vec<String> {
    let before = log::entries(&host.database()).await.len();
    let seen = ask(host, row, role.name(), &role.headers(host)).await;
    let mut wrong = misanswered(row, operation, &seen);
    let logged = log::entries(&host.database()).await;
    wrong.extend(mislogged(row, role, &logged[before..]));
    wrong
        .into_iter()
        .map(|why| format!("{} {} as {role:?}: {why}", row.id, row.path_of(role.name())))
        .collect()
}

async fn everybody_gets_in(rows: Vec<Row>) {
    let served = served();
    let shared = fresh(registry()).await;
    let mut wrong = Vec::new();
    for row in rows {
        let operation = &served[row.id].1;
        for &role in Role::ALL.iter().filter(|role| row.succeeds_for(**role)) {
            if row.is_read() {
                wrong.extend(tried(&shared, &row, role, operation).await);
            } else if !row.on_empty {
                wrong.extend(tried(&fresh(registry()).await, &row, role, operation).await);
            } else if role == Role::Anonymous {
                wrong.extend(tried(&empty(registry()).await, &row, role, operation).await);
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} things wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[tokio::test]
async fn users_do_what_they_may() {
    everybody_gets_in(users::rows()).await;
}

#[tokio::test]
async fn organizations_are_administered() {
    everybody_gets_in(organizations::rows()).await;
}

#[tokio::test]
async fn repositories_are_administered() {
    everybody_gets_in(repositories::rows()).await;
}

#[tokio::test]
async fn policies_are_looked_after() {
    everybody_gets_in(policies::rows()).await;
}

#[tokio::test]
async fn superusers_do_what_they_may() {
    everybody_gets_in(superusers::rows()).await;
}

#[tokio::test]
async fn superusers_with_every_right_see_all_app_tokens() {
    let mut options = registry();
    options.superusers_full_access = true;
    let host = fresh(options).await;
    let served = served();
    for row in table().into_iter().filter(|row| row.who == Who::FullSuperuser) {
        for role in [Role::Superuser, Role::SuperToken] {
            let wrong = tried(&host, &row, role, &served[row.id].1).await;
            assert!(wrong.is_empty(), "{wrong:?}");
        }
        for role in [Role::Admin, Role::NoSuperToken] {
            let seen = ask(&host, &row, role.name(), &role.headers(&host)).await;
            assert_eq!(seen.status, 403, "{role:?}");
        }
    }
}

/// Whoever belongs to an organization alone cannot leave it.
#[tokio::test]
async fn accounts_that_others_depend_on_stay() {
    let host = fresh(registry()).await;
    for (id, role) in [
        ("deleteCurrentUser", Role::Admin),
        ("convertUserToOrganization", Role::Admin),
        ("convertUserToOrganization", Role::Member),
        ("convertUserToOrganization", Role::Superuser),
    ] {
        let row = table().into_iter().find(|row| row.id == id).unwrap();
        let seen = ask(&host, &row, role.name(), &role.headers(&host)).await;
        assert_eq!(seen.status, 400, "{id} as {role:?} {}", seen.text());
        if id == "convertUserToOrganization" {
            assert_eq!(seen.json()["reason"], "invaliduser");
        }
    }
    assert!(log::entries(&host.database()).await.is_empty());
}
