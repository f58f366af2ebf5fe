//! Permissions of repositories, and what anybody may look up.

use super::row::{Row, Who, row};

const ADMIN: Who = Who::OrganizationAdmin;

pub(super) fn rows() -> Vec<Row> {
    [
        permissions(),
        access_tokens(),
        open(),
        repositories(),
        tags(),
        manifests(),
        images(),
    ]
    .concat()
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
        row("conductSearch", "GET", "/find/all?query=o", Who::Anybody, 200),
        row("conductSearch", "GET", "/find/all?query=m", Who::Anybody, 200),
        row(
            "conductRepoSearch",
            "GET",
            "/find/repositories?query=open&page=2",
            Who::Anybody,
            200,
        ),
        row(
            "conductRepoSearch",
            "GET",
            "/find/repositories",
            Who::Anybody,
            200,
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

fn repositories() -> Vec<Row> {
    const APP: &str = "/repository/org/app";
    const NONE: &str = "/repository/org/none";
    vec![
        row(
            "listRepos",
            "GET",
            "/repository?namespace=org&last_modified=true",
            Who::Anybody,
            200,
        ),
        row(
            "listRepos",
            "GET",
            "/repository?public=true&popularity=true",
            Who::Anybody,
            200,
        ),
        row("listRepos", "GET", "/repository?starred=true", Who::Known, 200),
        row("listRepos", "GET", "/repository", Who::Anybody, 400),
        row("createRepo", "POST", "/repository", Who::NamespaceCreator, 201)
            .body(r#"{"namespace":"org","repository":"made","visibility":"private","description":"new"}"#)
            .log("create_repo", "org", &["namespace", "repo"]),
        row("createRepo", "POST", "/repository", Who::NamespaceCreator, 400)
            .body(r#"{"namespace":"org","repository":"app","visibility":"private","description":""}"#),
        row("createRepo", "POST", "/repository", Who::OwnNamespace, 201)
            .body(r#"{"repository":"made","visibility":"public","description":""}"#)
            .log("create_repo", "$me", &["namespace", "repo"]),
        row("getRepo", "GET", APP, Who::RepositoryReader, 200),
        row(
            "getRepo",
            "GET",
            "/repository/org/open?includeStats=true",
            Who::Anybody,
            200,
        ),
        row(
            "getRepo",
            "GET",
            "/repository/org%2Fopen?includeTags=false",
            Who::Anybody,
            200,
        ),
        row("getRepo", "GET", NONE, Who::NamespaceReader, 404),
        row("updateRepo", "PUT", APP, Who::RepositoryWriter, 200)
            .body(r#"{"description":"changed"}"#)
            .log(
                "set_repo_description",
                "org",
                &["description", "namespace", "repo"],
            ),
        row("updateRepo", "PUT", NONE, Who::RepositoryWriter, 404).body(r#"{"description":"changed"}"#),
        row("deleteRepository", "DELETE", APP, ADMIN, 204).log("delete_repo", "org", &["namespace", "repo"]),
        row("deleteRepository", "DELETE", NONE, ADMIN, 404),
        row(
            "changeRepoVisibility",
            "POST",
            "/repository/org/app/changevisibility",
            ADMIN,
            200,
        )
        .body(r#"{"visibility":"public"}"#)
        .log(
            "change_repo_visibility",
            "org",
            &["namespace", "repo", "visibility"],
        ),
        row(
            "changeRepoState",
            "PUT",
            "/repository/org/app/changestate",
            ADMIN,
            200,
        )
        .body(r#"{"state":"READ_ONLY"}"#)
        .log(
            "change_repo_state",
            "org",
            &["namespace", "repo", "state_changed"],
        ),
    ]
}

fn tags() -> Vec<Row> {
    const LATEST: &str = "/repository/org/app/tag/latest";
    const PULLS: &str = "/repository/org/app/tag/latest/pull_statistics";
    const MOVED: &[&str] = &[
        "manifest_digest",
        "namespace",
        "original_manifest_digest",
        "repo",
        "tag",
        "username",
    ];
    const SET: &[&str] = &["manifest_digest", "namespace", "repo", "tag", "username"];
    const WRITER: Who = Who::RepositoryWriter;
    vec![
        row("listRepoTags", "GET", "/repository/org/app/tag/", Who::RepositoryReader, 200),
        row(
            "listRepoTags",
            "GET",
            "/repository/org/open/tag/?onlyActiveTags=true&filter_tag_name=like:a&limit=1&page=1",
            Who::Anybody,
            200,
        ),
        row("listRepoTags", "GET", "/repository/org/none/tag/", Who::NamespaceReader, 404),
        row("getTagPullStatistics", "GET", PULLS, Who::RepositoryReader, 200),
        row("getTagPullStatistics", "GET", "/repository/org/open/tag/latest/pull_statistics", Who::Anybody, 200),
        row("getTagPullStatistics", "GET", "/repository/org/app/tag/none/pull_statistics", Who::RepositoryReader, 404),
        row("getTagPullStatistics", "GET", "/repository/org/none/tag/latest/pull_statistics", Who::NamespaceReader, 404),
        row("changeTag", "PUT", LATEST, WRITER, 201)
            .body(r#"{"manifest_digest":"sha256:bdd2b8d6b319e783f9b0a35e506ce4b169c135577390a78cc0072566b038ce7f"}"#)
            .log("move_tag", "org", MOVED),
        row("changeTag", "PUT", "/repository/org/app/tag/new", WRITER, 201)
            .body(r#"{"manifest_digest":"sha256:bdd2b8d6b319e783f9b0a35e506ce4b169c135577390a78cc0072566b038ce7f"}"#)
            .log("create_tag", "org", SET),
        row("changeTag", "PUT", LATEST, WRITER, 201)
            .body(r#"{"expiration":4102444800}"#)
            .log(
                "change_tag_expiration",
                "org",
                &["expiration_date", "namespace", "repo", "tag", "username"],
            ),
        row("changeTag", "PUT", LATEST, WRITER, 201).body(r#"{"immutable":true}"#).log(
            "change_tag_immutability",
            "org",
            &["immutable", "namespace", "old_immutable", "repo", "tag", "username"],
        ),
        row("changeTag", "PUT", LATEST, WRITER, 409).body(r#"{"immutable":true,"expiration":4102444800}"#),
        row("changeTag", "PUT", LATEST, WRITER, 400).body(r#"{"expiration":1}"#),
        row("changeTag", "PUT", "/repository/org/app/tag/none", WRITER, 404).body(r#"{"expiration":null}"#),
        row("deleteFullTag", "DELETE", LATEST, WRITER, 204).log(
            "delete_tag",
            "org",
            &["namespace", "repo", "tag", "username"],
        ),
        row("deleteFullTag", "DELETE", "/repository/org/app/tag/none", WRITER, 404),
        row("restoreTag", "POST", "/repository/org/app/tag/latest/restore", WRITER, 200)
            .body(r#"{"manifest_digest":"sha256:bdd2b8d6b319e783f9b0a35e506ce4b169c135577390a78cc0072566b038ce7f"}"#)
            .log("revert_tag", "org", SET),
        row("restoreTag", "POST", "/repository/org/app/tag/latest/restore", WRITER, 400).body("{}"),
        row("restoreRepository", "POST", "/repository/org/app/restore", WRITER, 200)
            .body(r#"{"at":1600000000}"#)
            .log(
                "revert_tag",
                "org",
                &[
                    "manifest_digest",
                    "namespace",
                    "original_manifest_digest",
                    "repo",
                    "restored_to",
                    "tag",
                    "username",
                ],
            ),
        row("restoreRepository", "POST", "/repository/org/app/restore", WRITER, 200)
            .body(r#"{"at":1600000000,"dry_run":true}"#),
        row("restoreRepository", "POST", "/repository/org/app/restore", WRITER, 400).body(r#"{"at":1}"#),
        row("restoreRepository", "POST", "/repository/org/app/restore", WRITER, 400)
            .body(r#"{"at":1600000000,"next_page":"x"}"#),
        row("restoreRepository", "POST", "/repository/org/none/restore", WRITER, 404)
            .body(r#"{"at":1600000000}"#),
        row("removeTagFromTimemachine", "POST", "/repository/org/app/tag/latest/expire", WRITER, 200)
            .body(r#"{"manifest_digest":"sha256:bdd2b8d6b319e783f9b0a35e506ce4b169c135577390a78cc0072566b038ce7f"}"#)
            .log("permanently_delete_tag", "org", SET),
        row("removeTagFromTimemachine", "POST", "/repository/org/app/tag/latest/expire", WRITER, 200)
            .body(r#"{"is_alive":true}"#)
            .log("permanently_delete_tag", "org", SET),
        row("removeTagFromTimemachine", "POST", "/repository/org/app/tag/latest/expire", WRITER, 400).body("{}"),
        row("removeTagFromTimemachine", "POST", "/repository/org/app/tag/latest/expire", WRITER, 404)
            .body(r#"{"manifest_digest":"sha256:ef1c955332214e3597c2c7b50d13a24476db032200d9e556020adcf78bbfbf67"}"#),
    ]
}

fn manifests() -> Vec<Row> {
    const NEW: &str = "/repository/org/app/manifest/sha256:ef1c955332214e3597c2c7b50d13a24476db032200d9e556020adcf78bbfbf67";
    const LABELS: &str = "/repository/org/app/manifest/sha256:ef1c955332214e3597c2c7b50d13a24476db032200d9e556020adcf78bbfbf67/labels";
    const PULLS: &str = "/repository/org/app/manifest/sha256:ef1c955332214e3597c2c7b50d13a24476db032200d9e556020adcf78bbfbf67/pull_statistics";
    const GIVEN: &str = "/repository/org/app/manifest/sha256:ef1c955332214e3597c2c7b50d13a24476db032200d9e556020adcf78bbfbf67/labels/was-given";
    const CAME_ALONG: &str = "/repository/org/app/manifest/sha256:ef1c955332214e3597c2c7b50d13a24476db032200d9e556020adcf78bbfbf67/labels/came-along";
    const WRITER: Who = Who::RepositoryWriter;
    vec![
        row("getRepoManifest", "GET", NEW, Who::RepositoryReader, 200),
        row(
            "getRepoManifest",
            "GET",
            "/repository/org/open/manifest/sha256:bdd2b8d6b319e783f9b0a35e506ce4b169c135577390a78cc0072566b038ce7f",
            Who::Anybody,
            200,
        ),
        row(
            "getRepoManifest",
            "GET",
            "/repository/org/open/manifest/sha256:00",
            Who::Anybody,
            404,
        ),
        row(
            "getRepoManifestSecurity",
            "GET",
            "/repository/org/app/manifest/sha256:ef1c955332214e3597c2c7b50d13a24476db032200d9e556020adcf78bbfbf67/security?vulnerabilities=true",
            Who::RepositoryPuller,
            200,
        ),
        row(
            "getRepoManifestSecurity",
            "GET",
            "/repository/org/open/manifest/sha256:00/security",
            Who::Anybody,
            404,
        ),
        row(
            "getManifestPullStatistics",
            "GET",
            PULLS,
            Who::RepositoryReader,
            200,
        ),
        row(
            "getManifestPullStatistics",
            "GET",
            "/repository/org/open/manifest/sha256:00/pull_statistics",
            Who::Anybody,
            404,
        ),
        row("listManifestLabels", "GET", LABELS, Who::RepositoryReader, 200),
        row("getManifestLabel", "GET", GIVEN, Who::RepositoryReader, 200),
        row("addManifestLabel", "POST", LABELS, WRITER, 201)
            .body(r#"{"key":"a.key","value":"a value","media_type":null}"#)
            .log(
                "manifest_label_add",
                "org",
                &[
                    "id",
                    "key",
                    "manifest_digest",
                    "media_type",
                    "namespace",
                    "repo",
                    "value",
                ],
            ),
        row("addManifestLabel", "POST", LABELS, WRITER, 400)
            .body(r#"{"key":"quay.expires-after","value":"1h","media_type":null}"#),
        row("deleteManifestLabel", "DELETE", GIVEN, WRITER, 204).log(
            "manifest_label_delete",
            "org",
            &["id", "key", "manifest_digest", "namespace", "repo", "value"],
        ),
        row("deleteManifestLabel", "DELETE", CAME_ALONG, WRITER, 400),
    ]
}

fn images() -> Vec<Row> {
    const READER: Who = Who::RepositoryReader;
    vec![
        row(
            "listRepositoryImages",
            "GET",
            "/repository/org/app/image/",
            READER,
            200,
        ),
        row(
            "listRepositoryImages",
            "GET",
            "/repository/org/open/image/",
            Who::Anybody,
            200,
        ),
        row(
            "listRepositoryImages",
            "GET",
            "/repository/org/none/image/",
            Who::NamespaceReader,
            404,
        ),
        row(
            "getImage",
            "GET",
            "/repository/org/app/image/0badcafe",
            READER,
            404,
        ),
        row("getImage", "GET", IMAGE, READER, 200),
        row(
            "getRepoImageSecurity",
            "GET",
            "/repository/org/app/image/1111111111111111111111111111111111111111111111111111111111111111/security?vulnerabilities=true",
            Who::RepositoryPuller,
            200,
        ),
        row(
            "getRepoImageSecurity",
            "GET",
            "/repository/org/app/image/0badcafe/security",
            Who::RepositoryPuller,
            404,
        ),
        // What the tag points at is no image.
        row(
            "listTagImages",
            "GET",
            "/repository/org/app/tag/latest/images",
            READER,
            404,
        ),
        row(
            "listTagImages",
            "GET",
            "/repository/org/app/tag/old/images?owned=true",
            READER,
            200,
        ),
        row(
            "listTagImages",
            "GET",
            "/repository/org/app/tag/none/images",
            READER,
            404,
        ),
        row(
            "listTagImages",
            "GET",
            "/repository/org/open/tag/latest/images",
            Who::Anybody,
            404,
        ),
    ]
}

/// The image that the tag `old` points at.
const IMAGE: &str =
    "/repository/org/app/image/1111111111111111111111111111111111111111111111111111111111111111";
