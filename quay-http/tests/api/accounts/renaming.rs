//! An organization under another name is the same organization.

use super::{Browser, assert_refused, without_mail};
use crate::roles::fixture::fresh;

#[tokio::test]
async fn everything_goes_along_to_the_new_name() {
    let host = fresh(without_mail()).await;
    let mut admin = Browser::of(&host, "admin").await;
    let token = admin.read("/organization/org/robots/bot").await["token"].clone();
    let secret = admin
        .read("/organization/org/applications/CLIENTCLIENTCLIENTCL")
        .await["client_secret"]
        .clone();
    let mut root = Browser::of(&host, "root").await;
    let seen = root
        .ask("PUT", "/superuser/organizations/org", r#"{"name":"renamed"}"#)
        .await;
    assert_eq!(
        (seen.status.as_u16(), &seen.json()["name"]),
        (200, &"renamed".into())
    );

    let view = admin.read("/organization/renamed").await;
    assert_eq!(view["is_admin"], true);
    assert_eq!(view["teams"]["members"]["role"], "member");
    let bot = admin.read("/organization/renamed/robots/bot").await;
    assert_eq!((&bot["name"], &bot["token"]), (&"renamed+bot".into(), &token));
    let application = admin
        .read("/organization/renamed/applications/CLIENTCLIENTCLIENTCL")
        .await;
    assert_eq!(application["client_secret"], secret);
    let prototypes = admin.read("/organization/renamed/prototypes").await;
    assert_eq!(prototypes["prototypes"][0]["id"], "prototype");

    let users = admin.read("/repository/renamed/app/permissions/user/").await;
    assert_eq!(users["permissions"]["spare"]["role"], "write");
    assert_eq!(users["permissions"]["renamed+bot"]["role"], "read");
    assert_eq!(users["permissions"]["renamed+bot"]["is_org_member"], true);
    let teams = admin.read("/repository/renamed/app/permissions/team/").await;
    assert_eq!(teams["permissions"]["members"]["role"], "read");
    let path = "/repository/renamed/app/permissions/user/member/transitive";
    assert_eq!(admin.read(path).await["permissions"][0]["role"], "read");
    let of_robot = admin.read("/organization/renamed/robots/bot/permissions").await;
    assert_eq!(of_robot["permissions"].as_array().unwrap().len(), 3);
    let stars = admin.read("/user/starred").await;
    assert_eq!(stars["repositories"][0]["namespace"], "renamed");
    // What is written goes there too.
    let seen = admin.ask("PUT", "/organization/renamed/robots/builder", "").await;
    assert_eq!(
        (seen.status.as_u16(), &seen.json()["name"]),
        (201, &"renamed+builder".into())
    );
}

#[tokio::test]
async fn the_old_name_is_free_and_means_nothing_of_the_old() {
    let host = fresh(without_mail()).await;
    let mut root = Browser::of(&host, "root").await;
    let seen = root
        .ask("PUT", "/superuser/organizations/org", r#"{"name":"renamed"}"#)
        .await;
    assert_eq!(seen.status, 200);
    let admin = Browser::of(&host, "admin").await;
    assert_eq!(admin.get("/organization/org").await.status, 404);
    assert_eq!(admin.get("/organization/org/robots").await.status, 403);
    assert_eq!(
        admin.get("/repository/org/app/permissions/user/").await.status,
        403
    );

    let mut other = Browser::of(&host, "other").await;
    let seen = other.ask("POST", "/organization/", r#"{"name":"org"}"#).await;
    assert_eq!(seen.status, 201, "{}", seen.text());
    assert_eq!(
        other.read("/organization/org/robots").await["robots"],
        serde_json::json!([])
    );
    assert_eq!(
        other.get("/repository/org/app/permissions/user/").await.status,
        404
    );
    assert_eq!(
        other
            .get("/repository/renamed/app/permissions/user/")
            .await
            .status,
        403
    );
    assert_eq!(admin.get("/organization/org/robots").await.status, 403);
}

#[tokio::test]
async fn names_that_cannot_be_change_nothing() {
    let host = fresh(without_mail()).await;
    let mut root = Browser::of(&host, "root").await;
    // With the longest of names, the names of its repositories and robots would be too long.
    for name in [
        "spare",
        "Org",
        "o",
        "\u{00f6}rg",
        &"a".repeat(256),
        &"a".repeat(253),
    ] {
        let body = serde_json::json!({ "name": name }).to_string();
        let seen = root.ask("PUT", "/superuser/organizations/org", &body).await;
        assert_refused(&seen, name);
    }
    let admin = Browser::of(&host, "admin").await;
    assert_eq!(admin.read("/organization/org").await["is_admin"], true);
    let users = admin.read("/repository/org/app/permissions/user/").await;
    assert_eq!(users["permissions"]["org+bot"]["role"], "read");
    let seen = root
        .ask("PUT", "/superuser/organizations/org", r#"{"name":"org"}"#)
        .await;
    assert_eq!(seen.status, 200);
}
