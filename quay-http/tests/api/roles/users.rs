//! What users do with their own accounts.

use super::role::Role;
use super::row::{Row, Who, row};

const USERS: &[Role] = &[Role::Other, Role::Member, Role::Creator];
const LOGIN: &[&str] = &["kind", "type", "username"];

pub(super) fn rows() -> Vec<Row> {
    [login(), account(), belongings(), tokens(), robots()].concat()
}

fn login() -> Vec<Row> {
    vec![
        row("detachExternalLogin", "POST", "/detachexternal/github", Who::User, 200),
        row(
            "retrieveExternalLoginAuthorizationUrl",
            "POST",
            "/externallogin/github",
            Who::Anybody,
            400,
        )
        .body(r#"{"kind":"login"}"#),
        row("requestRecoveryEmail", "POST", "/recovery", Who::Anybody, 200)
            .body(r#"{"email":"spare@registry.example"}"#),
        row("signinUser", "POST", "/signin", Who::Anybody, 200)
            .body(r#"{"username":"spare","password":"spare-password"}"#)
            .log_by("login_success", "spare", "spare", LOGIN),
        row("verifyUser", "POST", "/signin/verify", Who::User, 200).body(r#"{"password":"$me-password"}"#),
        row("logout", "POST", "/signout", Who::Session, 200).log("logout_success", "$me", &["username"]),
        row("createNewUser", "POST", "/user/", Who::Anybody, 200)
            .body(r#"{"username":"newcomer","password":"long-enough","email":"newcomer@registry.example"}"#)
            .log("user_create", "newcomer", &["email", "username"]),
        row("initializeUser", "POST", "/user/initialize", Who::Anybody, 200)
            .body(r#"{"username":"first","password":"long-enough","email":"first@registry.example","access_token":true}"#)
            .on_empty()
            .log_by("user_create", "first", "", &["email", "username"]),
    ]
}

fn account() -> Vec<Row> {
    vec![
        row("getLoggedInUser", "GET", "/user/", Who::UserReader, 200).denial(super::row::Denial::Unknown),
        row("changeUserDetails", "PUT", "/user/", Who::User, 200)
            .body(r#"{"email":"new@registry.example","invoice_email":true,"tag_expiration_s":86400}"#)
            .log("user_change_email", "$me", &["email", "old_email"])
            .log("user_change_invoicing", "$me", &["invoice_email"])
            .log("user_change_tag_expiration", "$me", &["tag_expiration"]),
        row("changeUserDetails", "PUT", "/user/", Who::User, 200)
            .body(r#"{"password":"another-password"}"#)
            .log("account_change_password", "$me", &[]),
        row("deleteCurrentUser", "DELETE", "/user/", Who::User, 204)
            .only(USERS)
            .log("user_delete", "$me", &["username"]),
        row("generateUserClientKey", "POST", "/user/clientkey", Who::User, 200)
            .body(r#"{"password":"$me-password"}"#)
            .log("user_generate_client_key", "$me", &[]),
        row(
            "convertUserToOrganization",
            "POST",
            "/user/convert",
            Who::User,
            200,
        )
        .body(r#"{"adminUser":"spare","adminPassword":"spare-password"}"#)
        .only(&[Role::Other])
        .log("account_convert", "$me", &[]),
        row("getUserInformation", "GET", "/users/spare", Who::Anybody, 200),
        row("createOrganization", "POST", "/organization/", Who::User, 201)
            .body(r#"{"name":"another","email":"another@registry.example"}"#)
            .log("org_create", "another", &["email", "namespace"]),
    ]
}

fn belongings() -> Vec<Row> {
    vec![
        row(
            "listUserNotifications",
            "GET",
            "/user/notifications",
            Who::User,
            200,
        ),
        row(
            "getUserNotification",
            "GET",
            "/user/notifications/notice-$me",
            Who::User,
            200,
        )
        .foreign(404),
        row(
            "updateUserNotification",
            "PUT",
            "/user/notifications/notice-$me",
            Who::User,
            200,
        )
        .body(r#"{"dismissed":true}"#)
        .foreign(404),
        row("listStarredRepos", "GET", "/user/starred", Who::User, 200),
        row("createStar", "POST", "/user/starred", Who::User, 201)
            .body(r#"{"namespace":"org","repository":"starless"}"#),
        row("deleteStar", "DELETE", "/user/starred/org/open", Who::User, 204),
        row(
            "acceptOrganizationTeamInvite",
            "PUT",
            "/teaminvite/code-$me",
            Who::User,
            200,
        )
        .foreign(400)
        .log(
            "org_team_member_invite_accepted",
            "org",
            &["inviter", "member", "team"],
        ),
        row(
            "declineOrganizationTeamInvite",
            "DELETE",
            "/teaminvite/code-$me",
            Who::User,
            204,
        )
        .foreign(400)
        .log(
            "org_team_member_invite_declined",
            "org",
            &["inviter", "member", "team"],
        ),
    ]
}

fn tokens() -> Vec<Row> {
    vec![
        row(
            "listUserAuthorizations",
            "GET",
            "/user/authorizations",
            Who::User,
            200,
        ),
        row(
            "getUserAuthorization",
            "GET",
            "/user/authorizations/token-$me",
            Who::User,
            200,
        )
        .foreign(404),
        row(
            "deleteUserAuthorization",
            "DELETE",
            "/user/authorizations/token-$me",
            Who::User,
            204,
        )
        .foreign(404)
        .log(
            "oauth_token_revoked",
            "$me",
            &["application_name", "client_id", "token_uuid"],
        ),
        row(
            "listAssignedAuthorizations",
            "GET",
            "/user/assignedauthorization",
            Who::User,
            200,
        ),
        row(
            "deleteAssignedAuthorization",
            "DELETE",
            "/user/assignedauthorization/asked-$me",
            Who::User,
            204,
        )
        .foreign(404),
        row("listAppTokens", "GET", "/user/apptoken", Who::User, 200),
        row("createAppToken", "POST", "/user/apptoken", Who::User, 200)
            .body(r#"{"title":"on a phone"}"#)
            .log(
                "create_app_specific_token",
                "$me",
                &["app_specific_token", "app_specific_token_title"],
            ),
        row("getAppToken", "GET", "/user/apptoken/app-$me", Who::User, 200).foreign(404),
        row(
            "revokeAppToken",
            "DELETE",
            "/user/apptoken/app-$me",
            Who::User,
            204,
        )
        .foreign(404)
        .log(
            "revoke_app_specific_token",
            "$me",
            &["app_specific_token", "app_specific_token_title"],
        ),
    ]
}

fn robots() -> Vec<Row> {
    vec![
        row(
            "getUserRobots",
            "GET",
            "/user/robots?permissions=true",
            Who::User,
            200,
        ),
        row("getUserRobot", "GET", "/user/robots/bot", Who::User, 200),
        row("createUserRobot", "PUT", "/user/robots/builder", Who::User, 201)
            .body(r#"{"description":"builds","unstructured_metadata":{"a":1}}"#)
            .log(
                "create_robot",
                "$me",
                &["description", "robot", "unstructured_metadata"],
            ),
        row("deleteUserRobot", "DELETE", "/user/robots/bot", Who::User, 204).log(
            "delete_robot",
            "$me",
            &["robot"],
        ),
        row(
            "getUserRobotPermissions",
            "GET",
            "/user/robots/bot/permissions",
            Who::User,
            200,
        ),
        row(
            "regenerateUserRobotToken",
            "POST",
            "/user/robots/bot/regenerate",
            Who::User,
            200,
        )
        .log("regenerate_robot_token", "$me", &["robot"]),
        row(
            "getUserRobotFederation",
            "GET",
            "/user/robots/bot/federation",
            Who::User,
            200,
        ),
        row(
            "createUserRobotFederation",
            "POST",
            "/user/robots/bot/federation",
            Who::User,
            200,
        )
        .body(r#"[{"issuer":"https://issuer.example","subject":"somebody"}]"#)
        .log("create_robot_federation", "$me", &["config", "robot"]),
        row(
            "deleteUserRobotFederation",
            "DELETE",
            "/user/robots/bot/federation",
            Who::User,
            204,
        )
        .log("delete_robot_federation", "$me", &["config", "robot"]),
    ]
}
