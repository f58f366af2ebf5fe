//! Policies about the life of tags.

use super::row::{Row, Who, row};

const ADMIN: Who = Who::OrganizationAdmin;

pub(super) fn rows() -> Vec<Row> {
    [
        pruning_organizations(),
        pruning_users(),
        pruning_repositories(),
        immutability_of_organizations(),
        immutability_of_repositories(),
    ]
    .concat()
}

fn pruning_organizations() -> Vec<Row> {
    vec![
        row("listOrganizationAutoPrunePolicies", "GET", "/organization/org/autoprunepolicy/", ADMIN, 200),
        row("getOrganizationAutoPrunePolicy", "GET", "/organization/org/autoprunepolicy/autoprune-org", ADMIN, 200),
        row("getOrganizationAutoPrunePolicy", "GET", "/organization/org/autoprunepolicy/none", ADMIN, 404),
        row("createOrganizationAutoPrunePolicy", "POST", "/organization/org/autoprunepolicy/", ADMIN, 201)
            .body(r#"{"method":"creation_date","value":"2w","tagPattern":"^v","tagPatternMatches":false,"keepPulledWithin":"1d"}"#)
            .log("create_namespace_autoprune_policy", "org", &["keep_pulled_within", "method", "namespace", "tag_pattern", "tag_pattern_matches", "value"]),
        row("createOrganizationAutoPrunePolicy", "POST", "/organization/org/autoprunepolicy/", ADMIN, 400)
            .body(r#"{"method":"newest","value":1}"#),
        row("updateOrganizationAutoPrunePolicy", "PUT", "/organization/org/autoprunepolicy/autoprune-org", ADMIN, 204)
            .body(r#"{"method":"creation_date","value":"2w","tagPattern":"^v","tagPatternMatches":false,"keepPulledWithin":"1d"}"#)
            .log("update_namespace_autoprune_policy", "org", &["keep_pulled_within", "method", "namespace", "tag_pattern", "tag_pattern_matches", "value"]),
        row("updateOrganizationAutoPrunePolicy", "PUT", "/organization/org/autoprunepolicy/none", ADMIN, 404).body(r#"{"method":"creation_date","value":"2w","tagPattern":"^v","tagPatternMatches":false,"keepPulledWithin":"1d"}"#),
        row("deleteOrganizationAutoPrunePolicy", "DELETE", "/organization/org/autoprunepolicy/autoprune-org", ADMIN, 200)
            .log("delete_namespace_autoprune_policy", "org", &["namespace", "policy_uuid"]),
        row("deleteOrganizationAutoPrunePolicy", "DELETE", "/organization/org/autoprunepolicy/none", ADMIN, 404),
        row("dryRunOrganizationAutoPrunePolicy", "POST", "/organization/org/autoprunepolicy/dryrun?limit=5", ADMIN, 200)
            .body(r#"{"method":"number_of_tags","value":1}"#),
        row("dryRunOrganizationAutoPrunePolicy", "POST", "/organization/org/autoprunepolicy/dryrun", ADMIN, 400)
            .body(r#"{"method":"number_of_tags","value":0}"#),
    ]
}

fn pruning_users() -> Vec<Row> {
    vec![
        row("listUserAutoPrunePolicies", "GET", "/user/autoprunepolicy/", Who::User, 200),
        row("getUserAutoPrunePolicy", "GET", "/user/autoprunepolicy/autoprune-$me", Who::User, 200),
        row("getUserAutoPrunePolicy", "GET", "/user/autoprunepolicy/none", Who::User, 404),
        row("createUserAutoPrunePolicy", "POST", "/user/autoprunepolicy/", Who::User, 201)
            .body(r#"{"method":"creation_date","value":"2w","tagPattern":"^v","tagPatternMatches":false,"keepPulledWithin":"1d"}"#)
            .log("create_namespace_autoprune_policy", "$me", &["keep_pulled_within", "method", "namespace", "tag_pattern", "tag_pattern_matches", "value"]),
        row("createUserAutoPrunePolicy", "POST", "/user/autoprunepolicy/", Who::User, 400)
            .body(r#"{"method":"newest","value":1}"#),
        row("updateUserAutoPrunePolicy", "PUT", "/user/autoprunepolicy/autoprune-$me", Who::User, 204)
            .body(r#"{"method":"creation_date","value":"2w","tagPattern":"^v","tagPatternMatches":false,"keepPulledWithin":"1d"}"#)
            .log("update_namespace_autoprune_policy", "$me", &["keep_pulled_within", "method", "namespace", "tag_pattern", "tag_pattern_matches", "value"]),
        row("updateUserAutoPrunePolicy", "PUT", "/user/autoprunepolicy/none", Who::User, 404).body(r#"{"method":"creation_date","value":"2w","tagPattern":"^v","tagPatternMatches":false,"keepPulledWithin":"1d"}"#),
        row("deleteUserAutoPrunePolicy", "DELETE", "/user/autoprunepolicy/autoprune-$me", Who::User, 200)
            .log("delete_namespace_autoprune_policy", "$me", &["namespace", "policy_uuid"]),
        row("deleteUserAutoPrunePolicy", "DELETE", "/user/autoprunepolicy/none", Who::User, 404),
        row("dryRunUserAutoPrunePolicy", "POST", "/user/autoprunepolicy/dryrun?limit=5", Who::User, 200)
            .body(r#"{"method":"number_of_tags","value":1}"#),
        row("dryRunUserAutoPrunePolicy", "POST", "/user/autoprunepolicy/dryrun", Who::User, 400)
            .body(r#"{"method":"number_of_tags","value":0}"#),
    ]
}

fn pruning_repositories() -> Vec<Row> {
    vec![
        row("listRepositoryAutoPrunePolicies", "GET", "/repository/org/app/autoprunepolicy/", ADMIN, 200),
        row("getRepositoryAutoPrunePolicy", "GET", "/repository/org/app/autoprunepolicy/autoprune-app", ADMIN, 200),
        row("getRepositoryAutoPrunePolicy", "GET", "/repository/org/app/autoprunepolicy/none", ADMIN, 404),
        row("createRepositoryAutoPrunePolicy", "POST", "/repository/org/app/autoprunepolicy/", ADMIN, 201)
            .body(r#"{"method":"creation_date","value":"2w","tagPattern":"^v","tagPatternMatches":false,"keepPulledWithin":"1d"}"#)
            .log("create_repository_autoprune_policy", "org", &["keep_pulled_within", "method", "namespace", "repo", "tag_pattern", "tag_pattern_matches", "value"]),
        row("createRepositoryAutoPrunePolicy", "POST", "/repository/org/app/autoprunepolicy/", ADMIN, 400)
            .body(r#"{"method":"newest","value":1}"#),
        row("updateRepositoryAutoPrunePolicy", "PUT", "/repository/org/app/autoprunepolicy/autoprune-app", ADMIN, 204)
            .body(r#"{"method":"creation_date","value":"2w","tagPattern":"^v","tagPatternMatches":false,"keepPulledWithin":"1d"}"#)
            .log("update_repository_autoprune_policy", "org", &["keep_pulled_within", "method", "namespace", "repo", "tag_pattern", "tag_pattern_matches", "value"]),
        row("updateRepositoryAutoPrunePolicy", "PUT", "/repository/org/app/autoprunepolicy/none", ADMIN, 404).body(r#"{"method":"creation_date","value":"2w","tagPattern":"^v","tagPatternMatches":false,"keepPulledWithin":"1d"}"#),
        row("deleteRepositoryAutoPrunePolicy", "DELETE", "/repository/org/app/autoprunepolicy/autoprune-app", ADMIN, 200)
            .log("delete_repository_autoprune_policy", "org", &["namespace", "policy_uuid", "repo"]),
        row("deleteRepositoryAutoPrunePolicy", "DELETE", "/repository/org/app/autoprunepolicy/none", ADMIN, 404),
        row("dryRunRepositoryAutoPrunePolicy", "POST", "/repository/org/app/autoprunepolicy/dryrun?limit=5", ADMIN, 200)
            .body(r#"{"method":"number_of_tags","value":1}"#),
        row("dryRunRepositoryAutoPrunePolicy", "POST", "/repository/org/app/autoprunepolicy/dryrun", ADMIN, 400)
            .body(r#"{"method":"number_of_tags","value":0}"#),
    ]
}

fn immutability_of_organizations() -> Vec<Row> {
    vec![
        row(
            "listOrgImmutabilityPolicies",
            "GET",
            "/organization/org/immutabilitypolicy/",
            ADMIN,
            200,
        ),
        row(
            "getOrgImmutabilityPolicy",
            "GET",
            "/organization/org/immutabilitypolicy/immutability-org",
            ADMIN,
            200,
        ),
        row(
            "getOrgImmutabilityPolicy",
            "GET",
            "/organization/org/immutabilitypolicy/none",
            ADMIN,
            404,
        ),
        row(
            "createOrgImmutabilityPolicy",
            "POST",
            "/organization/org/immutabilitypolicy/",
            ADMIN,
            201,
        )
        .body(r#"{"tagPattern":"v.*"}"#)
        .log(
            "create_immutability_policy",
            "org",
            &["namespace", "tag_pattern", "tag_pattern_matches"],
        ),
        row(
            "createOrgImmutabilityPolicy",
            "POST",
            "/organization/org/immutabilitypolicy/",
            ADMIN,
            400,
        )
        .body(r#"{"tagPattern":"("}"#),
        row(
            "updateOrgImmutabilityPolicy",
            "PUT",
            "/organization/org/immutabilitypolicy/immutability-org",
            ADMIN,
            204,
        )
        .body(r#"{"tagPattern":"v.*"}"#)
        .log(
            "update_immutability_policy",
            "org",
            &["namespace", "tag_pattern", "tag_pattern_matches"],
        ),
        row(
            "updateOrgImmutabilityPolicy",
            "PUT",
            "/organization/org/immutabilitypolicy/none",
            ADMIN,
            404,
        )
        .body(r#"{"tagPattern":"v.*"}"#),
        row(
            "deleteOrgImmutabilityPolicy",
            "DELETE",
            "/organization/org/immutabilitypolicy/immutability-org",
            ADMIN,
            200,
        )
        .log("delete_immutability_policy", "org", &["namespace", "policy_uuid"]),
        row(
            "deleteOrgImmutabilityPolicy",
            "DELETE",
            "/organization/org/immutabilitypolicy/none",
            ADMIN,
            404,
        ),
        row(
            "dryRunOrgImmutabilityPolicy",
            "POST",
            "/organization/org/immutabilitypolicy/dryrun?limit=5",
            ADMIN,
            200,
        )
        .body(r#"{"tagPattern":".*"}"#),
        row(
            "dryRunOrgImmutabilityPolicy",
            "POST",
            "/organization/org/immutabilitypolicy/dryrun",
            ADMIN,
            400,
        )
        .body(r#"{"tagPattern":""}"#),
    ]
}

fn immutability_of_repositories() -> Vec<Row> {
    vec![
        row(
            "listRepositoryImmutabilityPolicies",
            "GET",
            "/repository/org/app/immutabilitypolicy/",
            ADMIN,
            200,
        ),
        row(
            "getRepositoryImmutabilityPolicy",
            "GET",
            "/repository/org/app/immutabilitypolicy/immutability-app",
            ADMIN,
            200,
        ),
        row(
            "getRepositoryImmutabilityPolicy",
            "GET",
            "/repository/org/app/immutabilitypolicy/none",
            ADMIN,
            404,
        ),
        row(
            "createRepositoryImmutabilityPolicy",
            "POST",
            "/repository/org/app/immutabilitypolicy/",
            ADMIN,
            201,
        )
        .body(r#"{"tagPattern":"v.*"}"#)
        .log(
            "create_immutability_policy",
            "org",
            &["namespace", "repo", "tag_pattern", "tag_pattern_matches"],
        ),
        row(
            "createRepositoryImmutabilityPolicy",
            "POST",
            "/repository/org/app/immutabilitypolicy/",
            ADMIN,
            400,
        )
        .body(r#"{"tagPattern":"("}"#),
        row(
            "updateRepositoryImmutabilityPolicy",
            "PUT",
            "/repository/org/app/immutabilitypolicy/immutability-app",
            ADMIN,
            204,
        )
        .body(r#"{"tagPattern":"v.*"}"#)
        .log(
            "update_immutability_policy",
            "org",
            &["namespace", "repo", "tag_pattern", "tag_pattern_matches"],
        ),
        row(
            "updateRepositoryImmutabilityPolicy",
            "PUT",
            "/repository/org/app/immutabilitypolicy/none",
            ADMIN,
            404,
        )
        .body(r#"{"tagPattern":"v.*"}"#),
        row(
            "deleteRepositoryImmutabilityPolicy",
            "DELETE",
            "/repository/org/app/immutabilitypolicy/immutability-app",
            ADMIN,
            200,
        )
        .log(
            "delete_immutability_policy",
            "org",
            &["namespace", "policy_uuid", "repo"],
        ),
        row(
            "deleteRepositoryImmutabilityPolicy",
            "DELETE",
            "/repository/org/app/immutabilitypolicy/none",
            ADMIN,
            404,
        ),
        row(
            "dryRunRepositoryImmutabilityPolicy",
            "POST",
            "/repository/org/app/immutabilitypolicy/dryrun?limit=5",
            ADMIN,
            200,
        )
        .body(r#"{"tagPattern":".*"}"#),
        row(
            "dryRunRepositoryImmutabilityPolicy",
            "POST",
            "/repository/org/app/immutabilitypolicy/dryrun",
            ADMIN,
            400,
        )
        .body(r#"{"tagPattern":""}"#),
    ]
}
