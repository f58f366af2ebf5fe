//! What is shown to everybody who may look, and what only to some of them.

use std::collections::BTreeSet;

use serde_json::Value;

use super::fixture::{fresh, registry};
use super::role::Role;
use crate::support::Host;

async fn read(host: &Host, role: Role, path: &str) -> Value {
    let headers = role.headers(host);
    let headers: Vec<(&str, &str)> = headers
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let seen = host.ask("GET", &format!("/api/v1{path}"), &headers, "").await;
    assert_eq!(seen.status, 200, "{path} as {role:?}: {}", seen.text());
    seen.json()
}

fn keys(object: &Value) -> BTreeSet<&str> {
    object.as_object().unwrap().keys().map(String::as_str).collect()
}

#[tokio::test]
async fn of_an_organization() {
    const PUBLIC: &[&str] = &["avatar", "email", "is_admin", "is_member", "name"];
    const MEMBERS: &[&str] = &["ordered_teams", "quota_report", "quotas", "teams"];
    const ADMINS: &[&str] = &[
        "invoice_email",
        "invoice_email_address",
        "is_free_account",
        "tag_expiration_s",
    ];
    let host = fresh(registry()).await;
    for &role in Role::ALL {
        let view = read(&host, role, "/organization/org").await;
        let is_admin = matches!(role, Role::Admin | Role::Token);
        let is_member = is_admin || matches!(role, Role::Member | Role::Creator);
        assert_eq!(
            (&view["is_admin"], &view["is_member"]),
            (&is_admin.into(), &is_member.into()),
            "{role:?}"
        );
        assert_eq!(view["email"] == "org@registry.example", is_admin, "{role:?}");
        let mut expected: BTreeSet<&str> = PUBLIC.iter().copied().collect();
        if is_member {
            expected.extend(MEMBERS);
        }
        if is_admin {
            expected.extend(ADMINS);
        }
        assert_eq!(keys(&view), expected, "{role:?}");
        // Members see which teams there are, and who is in their own.
        for (team, seen_by) in [("members", Role::Member), ("makers", Role::Creator)] {
            if is_member {
                let can_view = is_admin || role == seen_by;
                assert_eq!(view["teams"][team]["can_view"], can_view, "{role:?} {team}");
            }
        }
    }
}

#[tokio::test]
async fn of_robots() {
    let host = fresh(registry()).await;
    for role in [Role::Member, Role::Creator, Role::Admin, Role::Token] {
        let list = read(
            &host,
            role,
            "/organization/org/robots?permissions=true&token=true",
        )
        .await;
        let secret: Vec<&str> = ["token", "teams", "repositories"]
            .into_iter()
            .filter(|name| list["robots"][0].get(name).is_some())
            .collect();
        let is_admin = matches!(role, Role::Admin | Role::Token);
        assert_eq!(secret.len(), if is_admin { 3 } else { 0 }, "{role:?}: {secret:?}");
    }
    // Nobody is shown what they do not ask for; the token is asked for unless it says otherwise.
    let list = read(&host, Role::Admin, "/organization/org/robots").await;
    assert!(list["robots"][0].get("token").is_some() && list["robots"][0].get("teams").is_none());
    let list = read(&host, Role::Admin, "/organization/org/robots?token=false").await;
    assert!(list["robots"][0].get("token").is_none());
}

#[tokio::test]
async fn of_users() {
    let host = fresh(registry()).await;
    for &role in Role::ALL {
        let view = read(&host, role, "/users/spare").await;
        assert_eq!(
            keys(&view),
            BTreeSet::from(["anonymous", "avatar", "username"]),
            "{role:?}"
        );
    }
    let view = read(&host, Role::Member, "/users/member").await;
    assert_eq!(view["email"], "member@registry.example");
    // A token that may read the account is told of organizations, not of the rest.
    let view = read(&host, Role::UserReadToken, "/user/").await;
    assert_eq!(
        keys(&view),
        BTreeSet::from(["anonymous", "avatar", "organizations", "username"])
    );
    let view = read(&host, Role::RepoReadToken, "/users/admin").await;
    assert_eq!(keys(&view), BTreeSet::from(["anonymous", "avatar", "username"]));
    for role in [Role::Superuser, Role::Other] {
        let view = read(&host, role, "/user/").await;
        assert_eq!(view.get("super_user").is_some(), role == Role::Superuser);
    }
}

#[tokio::test]
async fn of_invitations() {
    const PATH: &str = "/organization/org/team/members/members?includePending=true";
    let host = fresh(registry()).await;
    for (role, count, can_edit) in [
        (Role::Member, 1, false),
        (Role::Admin, 2, true),
        (Role::Token, 2, true),
    ] {
        let view = read(&host, role, PATH).await;
        assert_eq!(view["members"].as_array().unwrap().len(), count, "{role:?}");
        assert_eq!(view["can_edit"], can_edit, "{role:?}");
    }
}

#[tokio::test]
async fn of_names_that_begin_alike() {
    let host = fresh(registry()).await;
    for &role in Role::ALL {
        let member = matches!(role, Role::Member | Role::Creator | Role::Admin | Role::Token);
        for (prefix, name) in [("mem", "members"), ("org", "org+bot")] {
            let path = format!("/entities/{prefix}?namespace=org&includeTeams=true");
            let found = read(&host, role, &path).await;
            let mut names = found["results"]
                .as_array()
                .unwrap()
                .iter()
                .map(|result| &result["name"]);
            assert_eq!(names.any(|found| found == name), member, "{role:?} {name}");
        }
    }
}

async fn star(host: &Host, role: Role, repository: &str) -> u16 {
    let mut headers = role.headers(host);
    headers.push(("content-type", "application/json".to_owned()));
    let headers: Vec<(&str, &str)> = headers
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let body = serde_json::json!({ "namespace": "org", "repository": repository }).to_string();
    let seen = host.ask("POST", "/api/v1/user/starred", &headers, &body).await;
    seen.status.as_u16()
}

/// Nobody learns by a star which repositories there are, or keeps one of what they may not see any more.
#[tokio::test]
async fn of_stars() {
    let host = fresh(registry()).await;
    for role in [Role::Other, Role::Member] {
        assert_eq!(star(&host, role, "none").await, 403, "{role:?}");
    }
    assert_eq!(star(&host, Role::Other, "app").await, 403);
    assert_eq!(star(&host, Role::Member, "app").await, 201);
    let starred = |list: &Value| list["repositories"].as_array().unwrap().len();
    assert_eq!(starred(&read(&host, Role::Member, "/user/starred").await), 2);
    let headers = Role::Admin.headers(&host);
    let headers: Vec<(&str, &str)> = headers
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let path = "/api/v1/organization/org/members/member";
    assert_eq!(host.ask("DELETE", path, &headers, "").await.status, 204);
    assert_eq!(starred(&read(&host, Role::Member, "/user/starred").await), 1);
}
