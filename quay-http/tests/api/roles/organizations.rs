//! Organizations with their members, teams, applications, robots and default permissions.

use super::row::{Denial, Row, Who, row};

const ADMIN: Who = Who::OrganizationAdmin;
const PROTOTYPE: &[&str] = &[
    "activating_username",
    "delegate_team",
    "prototypeid",
    "role",
    "username",
];
const CHANGED_PROTOTYPE: &[&str] = &[
    "activating_username",
    "delegate_team",
    "original_role",
    "prototypeid",
    "role",
    "username",
];
const APPLICATION: &[&str] = &["application_name", "client_id"];

pub(super) fn rows() -> Vec<Row> {
    [
        organization(),
        applications(),
        teams(),
        team_members(),
        robots(),
        prototypes(),
    ]
    .concat()
}

fn organization() -> Vec<Row> {
    vec![
        row("getOrganization", "GET", "/organization/org", Who::Anybody, 200),
        row(
            "changeOrganizationDetails",
            "PUT",
            "/organization/org",
            ADMIN,
            200,
        )
        .body(r#"{"email":"new@registry.example","invoice_email":true,"tag_expiration_s":86400}"#)
        .log("org_change_email", "org", &["email", "old_email"])
        .log("org_change_invoicing", "org", &["invoice_email"])
        .log("org_change_tag_expiration", "org", &["tag_expiration"]),
        row(
            "deleteAdminedOrganization",
            "DELETE",
            "/organization/org",
            ADMIN,
            204,
        )
        .log("org_delete", "org", &["namespace"]),
        row(
            "getOrganizationCollaborators",
            "GET",
            "/organization/org/collaborators",
            ADMIN,
            200,
        ),
        row(
            "getOrganizationMembers",
            "GET",
            "/organization/org/members",
            ADMIN,
            200,
        ),
        row(
            "getOrganizationMember",
            "GET",
            "/organization/org/members/member",
            ADMIN,
            200,
        ),
        row(
            "getOrganizationMember",
            "GET",
            "/organization/org/members/org+bot",
            ADMIN,
            200,
        ),
        row(
            "removeOrganizationMember",
            "DELETE",
            "/organization/org/members/member",
            ADMIN,
            204,
        )
        .log("org_remove_team_member", "org", &["member", "team"]),
        row(
            "removeOrganizationMember",
            "DELETE",
            "/organization/org/members/admin",
            ADMIN,
            400,
        ),
    ]
}

fn applications() -> Vec<Row> {
    const ONE: &str = "/organization/org/applications/CLIENTCLIENTCLIENTCL";
    const RESET: &str = "/organization/org/applications/CLIENTCLIENTCLIENTCL/resetclientsecret";
    const TOKENS: &str = "/organization/org/applications/CLIENTCLIENTCLIENTCL/tokens";
    const TOKEN: &str = "/organization/org/applications/CLIENTCLIENTCLIENTCL/tokens/token-spare";
    vec![
        row(
            "getApplicationInformation",
            "GET",
            "/app/CLIENTCLIENTCLIENTCL",
            Who::Anybody,
            200,
        ),
        row(
            "getOrganizationApplications",
            "GET",
            "/organization/org/applications",
            ADMIN,
            200,
        ),
        row(
            "createOrganizationApplication",
            "POST",
            "/organization/org/applications",
            ADMIN,
            200,
        )
        .body(r#"{"name":"one more","redirect_uri":"https://application.example"}"#)
        .log(
            "create_application",
            "org",
            &["application_name", "client_id", "name", "redirect_uri"],
        ),
        row("getOrganizationApplication", "GET", ONE, ADMIN, 200),
        row("updateOrganizationApplication", "PUT", ONE, ADMIN, 200)
            .body(r#"{"name":"renamed","redirect_uri":"","application_uri":"https://application.example"}"#)
            .log(
                "update_application",
                "org",
                &[
                    "application_name",
                    "application_uri",
                    "client_id",
                    "name",
                    "redirect_uri",
                ],
            ),
        row("deleteOrganizationApplication", "DELETE", ONE, ADMIN, 204).log(
            "delete_application",
            "org",
            APPLICATION,
        ),
        row(
            "resetOrganizationApplicationClientSecret",
            "POST",
            RESET,
            ADMIN,
            200,
        )
        .log("reset_application_client_secret", "org", APPLICATION),
        row("listOrganizationApplicationTokens", "GET", TOKENS, ADMIN, 200),
        row("createOrganizationApplicationToken", "POST", TOKENS, ADMIN, 200)
            .body(r#"{"name":"for the robot","scope":"repo:read"}"#)
            .log(
                "create_oauth_api_token",
                "org",
                &["application_name", "client_id", "name", "scope", "token_uuid"],
            ),
        row("deleteOrganizationApplicationToken", "DELETE", TOKEN, ADMIN, 204).log(
            "revoke_oauth_api_token",
            "org",
            &["application_name", "client_id", "name", "token_uuid"],
        ),
    ]
}

fn teams() -> Vec<Row> {
    vec![
        row(
            "updateOrganizationTeam",
            "PUT",
            "/organization/org/team/testers",
            ADMIN,
            200,
        )
        .body(r#"{"role":"member","description":"tests"}"#)
        .log("org_create_team", "org", &["team"]),
        row(
            "updateOrganizationTeam",
            "PUT",
            "/organization/org/team/members",
            ADMIN,
            200,
        )
        .body(r#"{"role":"creator","description":"makes"}"#)
        .log("org_set_team_description", "org", &["description", "team"])
        .log("org_set_team_role", "org", &["role", "team"]),
        row(
            "deleteOrganizationTeam",
            "DELETE",
            "/organization/org/team/makers",
            ADMIN,
            204,
        )
        .log("org_delete_team", "org", &["team"]),
        row(
            "deleteOrganizationTeam",
            "DELETE",
            "/organization/org/team/owners",
            ADMIN,
            400,
        ),
        row(
            "getOrganizationTeamPermissions",
            "GET",
            "/organization/org/team/members/permissions",
            ADMIN,
            200,
        ),
        row(
            "getOrganizationTeamMembers",
            "GET",
            "/organization/org/team/members/members",
            Who::TeamMember,
            200,
        ),
        row(
            "getOrganizationTeamMembers",
            "GET",
            "/organization/org/team/members/members?includePending=true",
            Who::TeamMember,
            200,
        ),
    ]
}

fn team_members() -> Vec<Row> {
    const SPARE: &str = "/organization/org/team/members/members/spare";
    const CREATOR: &str = "/organization/org/team/members/members/creator";
    const MEMBER: &str = "/organization/org/team/members/members/member";
    const ASKED: &str = "/organization/org/team/invited/members/spare";
    const NEW_MAIL: &str = "/organization/org/team/members/invite/new@registry.example";
    const ASKED_MAIL: &str = "/organization/org/team/members/invite/asked@registry.example";
    vec![
        row("updateOrganizationTeamMember", "PUT", SPARE, ADMIN, 200).log(
            "org_invite_team_member",
            "org",
            &["member", "team", "user"],
        ),
        row("updateOrganizationTeamMember", "PUT", CREATOR, ADMIN, 200).log(
            "org_add_team_member",
            "org",
            &["member", "team"],
        ),
        row("deleteOrganizationTeamMember", "DELETE", MEMBER, ADMIN, 204).log(
            "org_remove_team_member",
            "org",
            &["member", "team"],
        ),
        row("deleteOrganizationTeamMember", "DELETE", ASKED, ADMIN, 204).log(
            "org_delete_team_member_invite",
            "org",
            &["member", "team", "user"],
        ),
        row("inviteTeamMemberEmail", "PUT", NEW_MAIL, ADMIN, 200).log(
            "org_invite_team_member",
            "org",
            &["email", "member", "team"],
        ),
        row("deleteTeamMemberEmailInvite", "DELETE", ASKED_MAIL, ADMIN, 204).log(
            "org_delete_team_member_invite",
            "org",
            &["email", "member", "team"],
        ),
    ]
}

fn robots() -> Vec<Row> {
    const ONE: &str = "/organization/org/robots/bot";
    const FEDERATION: &str = "/organization/org/robots/bot/federation";
    vec![
        row(
            "getOrgRobots",
            "GET",
            "/organization/org/robots",
            Who::OrganizationMember,
            200,
        ),
        row(
            "getOrgRobots",
            "GET",
            "/organization/org/robots?permissions=true&token=true",
            Who::OrganizationMember,
            200,
        ),
        row("getOrgRobot", "GET", ONE, ADMIN, 200),
        row(
            "createOrgRobot",
            "PUT",
            "/organization/org/robots/builder",
            ADMIN,
            201,
        )
        .log(
            "create_robot",
            "org",
            &["description", "robot", "unstructured_metadata"],
        ),
        row("deleteOrgRobot", "DELETE", ONE, ADMIN, 204).log("delete_robot", "org", &["robot"]),
        row(
            "getOrgRobotPermissions",
            "GET",
            "/organization/org/robots/bot/permissions",
            ADMIN,
            200,
        )
        .denial(Denial::Bare),
        row(
            "regenerateOrgRobotToken",
            "POST",
            "/organization/org/robots/bot/regenerate",
            ADMIN,
            200,
        )
        .log("regenerate_robot_token", "org", &["robot"]),
        row("getOrgRobotFederation", "GET", FEDERATION, ADMIN, 200),
        row("createOrgRobotFederation", "POST", FEDERATION, ADMIN, 200)
            .body(r#"[{"issuer":"https://issuer.example","subject":"somebody"}]"#)
            .log("create_robot_federation", "org", &["config", "robot"]),
        row("deleteOrgRobotFederation", "DELETE", FEDERATION, ADMIN, 204).log(
            "delete_robot_federation",
            "org",
            &["config", "robot"],
        ),
    ]
}

fn prototypes() -> Vec<Row> {
    const ALL: &str = "/organization/org/prototypes";
    const ONE: &str = "/organization/org/prototypes/prototype";
    vec![
        row("getOrganizationPrototypePermissions", "GET", ALL, ADMIN, 200),
        row("createOrganizationPrototypePermission", "POST", ALL, ADMIN, 200)
            .body(
                r#"{"role":"write","activating_user":{"name":"creator"},"delegate":{"name":"makers","kind":"team"}}"#,
            )
            .log("create_prototype_permission", "org", PROTOTYPE),
        row("createOrganizationPrototypePermission", "POST", ALL, ADMIN, 200)
            .body(r#"{"role":"read","delegate":{"name":"org+bot","kind":"user"}}"#)
            .log(
                "create_prototype_permission",
                "org",
                &["delegate_user", "prototypeid", "role", "username"],
            ),
        row("updateOrganizationPrototypePermission", "PUT", ONE, ADMIN, 200)
            .body(r#"{"role":"admin"}"#)
            .log("modify_prototype_permission", "org", CHANGED_PROTOTYPE),
        row("deleteOrganizationPrototypePermission", "DELETE", ONE, ADMIN, 204)
            .log("delete_prototype_permission", "org", PROTOTYPE),
    ]
}
