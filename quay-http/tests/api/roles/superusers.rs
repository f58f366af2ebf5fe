//! What superusers do.

use super::row::{Denial, Row, Who, row};

const SUPER: Who = Who::Superuser;

pub(super) fn rows() -> Vec<Row> {
    [users(), organizations(), keys(), messages()].concat()
}

fn users() -> Vec<Row> {
    const SPARE: &str = "/superuser/users/spare";
    vec![
        row("listAllUsers", "GET", "/superuser/users/", SUPER, 200),
        row("createInstallUser", "POST", "/superuser/users/", SUPER, 200)
            .body(r#"{"username":"made","email":"made@registry.example"}"#)
            .log("user_create", "made", &["email", "username"]),
        row("getInstallUser", "GET", SPARE, SUPER, 200),
        row("changeInstallUser", "PUT", SPARE, SUPER, 200)
            .body(r#"{"password":"another-password","email":"new@registry.example","enabled":false}"#)
            .log("user_change_password", "spare", &["username"])
            .log("user_change_email", "spare", &["email", "old_email", "username"])
            .log("user_disable", "spare", &["username"]),
        row("changeInstallUser", "PUT", "/superuser/users/root", SUPER, 400).body(r#"{"enabled":false}"#),
        row("deleteInstallUser", "DELETE", SPARE, SUPER, 204).log("user_delete", "spare", &["username"]),
        row("deleteInstallUser", "DELETE", "/superuser/users/root", SUPER, 400),
        row(
            "sendInstallUserRecoveryEmail",
            "POST",
            "/superusers/users/spare/sendrecovery",
            SUPER,
            200,
        ),
        row(
            "listAllAppTokens",
            "GET",
            "/superuser/apptokens",
            Who::FullSuperuser,
            200,
        ),
    ]
}

fn organizations() -> Vec<Row> {
    const ORG: &str = "/superuser/organizations/org";
    const TAKEN: &[&str] = &["entity_id", "namespace", "superuser", "was_user"];
    vec![
        row(
            "listAllOrganizations",
            "GET",
            "/superuser/organizations/",
            SUPER,
            200,
        ),
        row("deleteOrganization", "DELETE", ORG, SUPER, 204).log("org_delete", "org", &["namespace"]),
        row("changeOrganization", "PUT", ORG, SUPER, 200)
            .body(r#"{"name":"renamed"}"#)
            .log("org_change_name", "renamed", &["new_name", "old_name"]),
        row(
            "takeOwnership",
            "POST",
            "/superuser/takeownership/org",
            SUPER,
            200,
        )
        .log("take_ownership", "org", TAKEN),
        row(
            "takeOwnership",
            "POST",
            "/superuser/takeownership/spare",
            SUPER,
            200,
        )
        .log("take_ownership", "spare", TAKEN),
    ]
}

fn keys() -> Vec<Row> {
    const KEY: &[&str] = &["kid", "name", "service"];
    vec![
        row("listServiceKeys", "GET", "/superuser/keys", SUPER, 200),
        row("createServiceKey", "POST", "/superuser/keys", SUPER, 200)
            .body(r#"{"service":"builder","expiration":null,"name":"a key"}"#)
            .log(
                "service_key_create",
                "$me",
                &["auto_approved", "kid", "name", "preshared", "service"],
            )
            .log("service_key_approve", "$me", KEY),
        row("getServiceKey", "GET", "/superuser/keys/approved", SUPER, 200),
        row("updateServiceKey", "PUT", "/superuser/keys/approved", SUPER, 200)
            .body(r#"{"name":"another name"}"#)
            .log("service_key_modify", "$me", KEY),
        row("updateServiceKey", "PUT", "/superuser/keys/approved", SUPER, 200)
            .body(r#"{"expiration":1700000000}"#)
            .log(
                "service_key_extend",
                "$me",
                &["expiration_date", "kid", "name", "service"],
            ),
        row(
            "deleteServiceKey",
            "DELETE",
            "/superuser/keys/approved",
            SUPER,
            204,
        )
        .log(
            "service_key_delete",
            "$me",
            &["created_date", "kid", "name", "service"],
        ),
        row(
            "approveServiceKey",
            "POST",
            "/superuser/approvedkeys/waiting",
            SUPER,
            201,
        )
        .body(r#"{"notes":"looks good"}"#)
        .log("service_key_approve", "$me", KEY),
        row(
            "approveServiceKey",
            "POST",
            "/superuser/approvedkeys/approved",
            SUPER,
            201,
        )
        .body("{}"),
    ]
}

fn messages() -> Vec<Row> {
    vec![
        row(
            "scRegistryStatus",
            "GET",
            "/superuser/registrystatus",
            Who::Anybody,
            200,
        ),
        row("getGlobalMessages", "GET", "/messages", Who::Anybody, 200),
        row("createGlobalMessage", "POST", "/messages", SUPER, 201)
            .body(r#"{"message":{"content":"closed","media_type":"text/plain","severity":"info"}}"#)
            .denial(Denial::Bare),
        row("deleteGlobalMessage", "DELETE", "/message/message", SUPER, 204),
    ]
}
