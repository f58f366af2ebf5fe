//! Quotas of namespaces and repositories, and the size of the registry.

use super::role::Role;
use super::row::{Row, Who, row};

const SUPER: Who = Who::Superuser;
const ADMIN: Who = Who::OrganizationAdmin;
const BYTES: &str = r#"{"limit_bytes":1000}"#;
const LEVEL: &str = r#"{"type":"Warning","threshold_percent":50}"#;

pub(super) fn rows() -> Vec<Row> {
    [organization(), own(), superusers(), repository()].concat()
}

fn organization() -> Vec<Row> {
    const QUOTAS: &str = "/organization/org/quota";
    const QUOTA: &str = "/organization/org/quota/1";
    const LIMITS: &str = "/organization/org/quota/1/limit";
    const LIMIT: &str = "/organization/org/quota/1/limit/1";
    const READER: Who = Who::OrganizationMemberOrSuperuser;
    vec![
        row("listOrganizationQuota", "GET", QUOTAS, READER, 200),
        row("createOrganizationQuota", "POST", QUOTAS, SUPER, 400).body(BYTES),
        row("getOrganizationQuota", "GET", QUOTA, READER, 200),
        row(
            "getOrganizationQuota",
            "GET",
            "/organization/org/quota/2",
            READER,
            404,
        ),
        row("changeOrganizationQuota", "PUT", QUOTA, SUPER, 200)
            .body(r#"{"limit":"10 MiB"}"#)
            .log(
                "org_change_quota",
                "org",
                &["limit_bytes", "namespace", "quota_id"],
            ),
        row("changeOrganizationQuota", "PUT", QUOTA, SUPER, 400).body(r#"{"limit_bytes":-1}"#),
        row("deleteOrganizationQuota", "DELETE", QUOTA, SUPER, 204).log(
            "org_delete_quota",
            "org",
            &["namespace", "quota_id"],
        ),
        row("listOrganizationQuotaLimit", "GET", LIMITS, READER, 200),
        row("createOrganizationQuotaLimit", "POST", LIMITS, SUPER, 201)
            .body(LEVEL)
            .log(
                "org_create_quota_limit",
                "org",
                &["namespace", "quota_id", "threshold_percent", "type"],
            ),
        row("createOrganizationQuotaLimit", "POST", LIMITS, SUPER, 400)
            .body(r#"{"type":"Reject","threshold_percent":50}"#),
        row("createOrganizationQuotaLimit", "POST", LIMITS, SUPER, 400)
            .body(r#"{"type":"Warning","threshold_percent":101}"#),
        row("createOrganizationQuotaLimit", "POST", LIMITS, SUPER, 400)
            .body(r#"{"type":"Explode","threshold_percent":10}"#),
        row("getOrganizationQuotaLimit", "GET", LIMIT, READER, 200),
        row("changeOrganizationQuotaLimit", "PUT", LIMIT, SUPER, 200)
            .body(r#"{"threshold_percent":60}"#)
            .log(
                "org_change_quota_limit",
                "org",
                &["limit_id", "namespace", "quota_id", "threshold_percent"],
            ),
        row("deleteOrganizationQuotaLimit", "DELETE", LIMIT, SUPER, 204).log(
            "org_delete_quota_limit",
            "org",
            &["limit_id", "namespace", "quota_id"],
        ),
    ]
}

fn own() -> Vec<Row> {
    const MINE: &[Role] = &[Role::Admin, Role::Token];
    vec![
        row("listUserQuota", "GET", "/user/quota", Who::User, 200),
        row("getUserQuota", "GET", "/user/quota/2", Who::User, 200).only(MINE),
        row("listUserQuotaLimit", "GET", "/user/quota/2/limit", Who::User, 200).only(MINE),
        row(
            "getUserQuotaLimit",
            "GET",
            "/user/quota/2/limit/3",
            Who::User,
            200,
        )
        .only(MINE),
    ]
}

fn superusers() -> Vec<Row> {
    const ORG: &str = "/superuser/organization/org/quota";
    const ONE: &str = "/superuser/organization/org/quota/1";
    const MEMBER: &str = "/superuser/users/member/quota";
    const ADMINS: &str = "/superuser/users/admin/quota/2";
    const SIZE: &str = "/superuser/registrysize/";
    const CHANGED: &[&str] = &["limit_bytes", "namespace", "quota_id"];
    vec![
        row("listOrganizationQuotaSuperUser", "GET", ORG, SUPER, 200),
        row("listUserQuotaSuperUser", "GET", MEMBER, SUPER, 200),
        row(
            "listUserQuotaSuperUser",
            "GET",
            "/superuser/users/nobody/quota",
            SUPER,
            404,
        ),
        row("createOrganizationQuotaSuperUser", "POST", ORG, SUPER, 400).body(BYTES),
        row("createUserQuotaSuperUser", "POST", MEMBER, SUPER, 201)
            .body(BYTES)
            .log("org_create_quota", "member", &["limit_bytes", "namespace"]),
        row("deleteOrganizationQuotaSuperUser", "DELETE", ONE, SUPER, 204).log(
            "org_delete_quota",
            "org",
            &["namespace", "quota_id"],
        ),
        row("changeUserQuotaSuperUser", "PUT", ADMINS, SUPER, 200)
            .body(BYTES)
            .log("org_change_quota", "admin", CHANGED),
        row("changeOrganizationQuotaSuperUser", "PUT", ONE, SUPER, 200).body("{}"),
        row("deleteUserQuotaSuperUser", "DELETE", ADMINS, SUPER, 204).log(
            "org_delete_quota",
            "admin",
            &["namespace", "quota_id"],
        ),
        row(
            "recountNamespaceUsage",
            "POST",
            "/superuser/users/org/quota/recount",
            SUPER,
            202,
        ),
        row("getRegistrySize", "GET", SIZE, SUPER, 200),
        row("queueRegistrySizeCalculation", "POST", SIZE, SUPER, 201),
    ]
}

fn repository() -> Vec<Row> {
    const QUOTAS: &str = "/repository/org/app/quota";
    const OPEN: &str = "/repository/org/open/quota";
    const QUOTA: &str = "/repository/org/app/quota/3";
    vec![
        row("listRepositoryQuota", "GET", QUOTAS, ADMIN, 200),
        row("createRepositoryQuota", "POST", QUOTAS, ADMIN, 400).body(BYTES),
        row("createRepositoryQuota", "POST", OPEN, ADMIN, 201)
            .body(BYTES)
            .log("org_create_quota", "org", &["limit_bytes", "namespace", "repo"]),
        row("changeRepositoryQuota", "PUT", QUOTA, ADMIN, 200)
            .body(BYTES)
            .log(
                "org_change_quota",
                "org",
                &["limit_bytes", "namespace", "quota_id", "repo"],
            ),
        row("deleteRepositoryQuota", "DELETE", QUOTA, ADMIN, 204).log(
            "org_delete_quota",
            "org",
            &["namespace", "quota_id", "repo"],
        ),
        row(
            "createRepositoryQuotaLimit",
            "POST",
            "/repository/org/app/quota/3/limit",
            ADMIN,
            201,
        )
        .body(LEVEL)
        .log(
            "org_create_quota_limit",
            "org",
            &["namespace", "quota_id", "repo", "threshold_percent", "type"],
        ),
        row(
            "deleteRepositoryQuotaLimit",
            "DELETE",
            "/repository/org/app/quota/3/limit/4",
            ADMIN,
            204,
        )
        .log(
            "org_delete_quota_limit",
            "org",
            &["limit_id", "namespace", "quota_id", "repo"],
        ),
    ]
}
