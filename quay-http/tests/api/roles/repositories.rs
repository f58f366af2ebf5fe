//! Permissions of repositories, and what anybody may look up.

use super::row::{Row, Who, row};

const ADMIN: Who = Who::OrganizationAdmin;

pub(super) fn rows() -> Vec<Row> {
    [permissions(), access_tokens(), open()].concat()
}

fn permissions() -> Vec<Row> {
    const TEAMS: &str = "/repository/org/app/permissions/team/";
    const MEMBERS: &str = "/repository/org/app/permissions/team/members";
    const MAKERS: &str = "/repository/org/app/permissions/team/makers";
    const USERS: &str = "/repository/org/app/permissions/user/";
    const SPARE: &str = "/repository/org/app/permissions/user/spare";
    const OTHER: &str = "/repository/org/app/permissions/user/other";
    const TRANSITIVE: &str = "/repository/org/app/permissions/user/member/transitive";
    vec![
        row("listRepoTeamPermissions", "GET", TEAMS, ADMIN, 200),
        row("getTeamPermissions", "GET", MEMBERS, ADMIN, 200),
        row("getTeamPermissions", "GET", MAKERS, ADMIN, 400),
        row("changeTeamPermissions", "PUT", MAKERS, ADMIN, 200)
            .body(r#"{"role":"write"}"#)
            .log("change_repo_permission", "org", &["repo", "role", "team"]),
        row("deleteTeamPermissions", "DELETE", MEMBERS, ADMIN, 204).log(
            "delete_repo_permission",
            "org",
            &["repo", "team"],
        ),
        row("listRepoUserPermissions", "GET", USERS, ADMIN, 200),
        row("getUserPermissions", "GET", SPARE, ADMIN, 200),
        row("getUserPermissions", "GET", OTHER, ADMIN, 400),
        row("changeUserPermissions", "PUT", OTHER, ADMIN, 200)
            .body(r#"{"role":"read"}"#)
            .log(
                "change_repo_permission",
                "org",
                &["namespace", "repo", "role", "username"],
            ),
        row("deleteUserPermissions", "DELETE", SPARE, ADMIN, 204).log(
            "delete_repo_permission",
            "org",
            &["namespace", "repo", "username"],
        ),
        row("deleteUserPermissions", "DELETE", OTHER, ADMIN, 400),
        row("getUserTransitivePermission", "GET", TRANSITIVE, ADMIN, 200),
        row(
            "explainRepositoryPermission",
            "GET",
            "/repository/org/app/explain?account=spare&action=pull",
            Who::RepositoryAdminOrSuperuser,
            200,
        ),
        row(
            "explainRepositoryPermission",
            "GET",
            "/repository/org/app/explain?account=$me&action=push",
            Who::User,
            200,
        ),
        // Who may not know whether there is such a repository is not told.
        row(
            "listRepoUserPermissions",
            "GET",
            "/repository/org/none/permissions/user/",
            ADMIN,
            404,
        ),
    ]
}

fn access_tokens() -> Vec<Row> {
    const ALL: &str = "/repository/org/app/tokens/";
    const ONE: &str = "/repository/org/app/tokens/code";
    vec![
        row("listRepoTokens", "GET", ALL, ADMIN, 410),
        row("createToken", "POST", ALL, ADMIN, 410).body(r#"{"friendlyName":"token"}"#),
        row("getTokens", "GET", ONE, ADMIN, 410),
        row("changeToken", "PUT", ONE, ADMIN, 410).body(r#"{"role":"read"}"#),
        row("deleteToken", "DELETE", ONE, ADMIN, 410),
    ]
}

fn open() -> Vec<Row> {
    const ENTITIES: &str = "/entities/o?namespace=org&includeTeams=true&includeOrgs=true";
    vec![
        row(
            "linkExternalUser",
            "POST",
            "/entities/link/spare",
            Who::Known,
            404,
        ),
        row("getMatchingEntities", "GET", ENTITIES, Who::Anybody, 200),
        row(
            "getRegistryCapabilities",
            "GET",
            "/registry/capabilities",
            Who::Anybody,
            200,
        ),
        row("discovery", "GET", "/discovery?internal=true", Who::Anybody, 200),
        row(
            "getErrorDescription",
            "GET",
            "/error/not_found",
            Who::Anybody,
            200,
        ),
    ]
}
