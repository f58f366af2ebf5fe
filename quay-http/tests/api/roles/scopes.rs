//! A token does what its scope is for and nothing else.

use quay_core::accounts::Scope;

use super::fixture::{all_but, fresh, only, registry, token_value};
use super::role::Role;
use super::row::{Row, Who};
use super::{ask, log, table};
use crate::support::Host;

/// The scope that an operation wants; `None` where it wants none, or is known to want more than one.
fn wanted(row: &Row) -> Option<Scope> {
    match row.who {
        // The token that is made must have no scope that the caller's has not.
        _ if row.id == "createOrganizationApplicationToken" => None,
        // Wants `user:admin` too.
        _ if row.id == "getOrgRobotPermissions" => None,
        Who::User | Who::OrganizationAdmin | Who::RepositoryAdminOrSuperuser
            if row.path_of("").starts_with("/api/v1/repository/") =>
        {
            Some(Scope::AdminRepo)
        }
        Who::User => Some(Scope::AdminUser),
        Who::OrganizationAdmin => Some(Scope::AdminOrganization),
        Who::Superuser => Some(Scope::Superuser),
        _ => None,
    }
}

async fn status(host: &Host, row: &Row, role: Role, token: &str) -> u16 {
    let headers = [("authorization", format!("Bearer {}", token_value(token)))];
    ask(host, row, role.name(), &headers).await.status.as_u16()
}

#[tokio::test]
async fn one_scope_suffices_and_all_others_do_not() {
    let shared = fresh(registry()).await;
    let mut wrong = Vec::new();
    let mut asked = 0;
    for row in table() {
        let Some(scope) = wanted(&row) else { continue };
        let role = if scope == Scope::Superuser {
            Role::SuperToken
        } else {
            Role::Token
        };
        let refused = status(&shared, &row, role, &all_but(scope)).await;
        let seen = if !row.succeeds_for(role) {
            row.status
        } else if row.is_read() {
            status(&shared, &row, role, &only(scope)).await
        } else {
            status(&fresh(registry()).await, &row, role, &only(scope)).await
        };
        asked += 1;
        if (seen, refused) != (row.status, 403) {
            let id = row.id;
            wrong.push(format!("{id}: with {scope:?} {seen}, without {refused}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(asked > 90, "only {asked}");
    assert!(log::entries(&shared.database()).await.is_empty());
}

#[tokio::test]
async fn a_robots_permissions_take_two_scopes() {
    let host = fresh(registry()).await;
    let row = table()
        .into_iter()
        .find(|row| row.id == "getOrgRobotPermissions")
        .unwrap();
    for scope in [Scope::AdminUser, Scope::AdminOrganization] {
        assert_eq!(status(&host, &row, Role::Token, &only(scope)).await, 403);
        assert_eq!(status(&host, &row, Role::Token, &all_but(scope)).await, 403);
    }
    assert_eq!(
        status(&host, &row, Role::Token, &all_but(Scope::ReadRepo)).await,
        200
    );
}

/// Nobody makes a token that is good for more than what they hold.
#[tokio::test]
async fn a_token_makes_no_greater_token() {
    const TOKENS: &str = "/api/v1/organization/org/applications/CLIENTCLIENTCLIENTCL/tokens";
    let host = fresh(registry()).await;
    let admin = Role::Admin.headers(&host);
    let token = |name: &str| vec![("authorization", format!("Bearer {}", token_value(name)))];
    for (headers, scope, status) in [
        (token("onlyorgadmin"), "org:admin", 200),
        (token("onlyorgadmin"), "repo:read", 403),
        (token("onlyorgadmin"), "org:admin user:read", 403),
        (token("butrepoadmin"), "repo:read", 200),
        (token("butrepoadmin"), "repo:admin", 403),
        (token("all"), "repo:admin org:admin user:admin", 200),
        (token("all"), "super:user", 403),
        (admin.clone(), "repo:admin", 200),
        (admin.clone(), "super:user", 403),
        (admin.clone(), "nonsense", 400),
        (admin.clone(), "repo:read nonsense", 400),
        (admin, "direct_user_login", 400),
    ] {
        let mut all: Vec<(&str, &str)> = vec![("content-type", "application/json")];
        all.extend(headers.iter().map(|(name, value)| (*name, value.as_str())));
        let body = serde_json::json!({ "name": "made", "scope": scope }).to_string();
        let seen = host.ask("POST", TOKENS, &all, &body).await;
        assert_eq!(seen.status, status, "{headers:?} {scope}: {}", seen.text());
    }
}
