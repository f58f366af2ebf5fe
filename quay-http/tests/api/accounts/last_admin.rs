//! Nobody locks themselves out of an organization, or leaves it to nobody.

use futures::future::join;

use super::{Browser, assert_refused, without_mail};
use crate::roles::fixture::fresh;
use crate::support::Host;

const OWNERS: &str = "/organization/org/team/owners";
const MEMBER: &str = r#"{"role":"member"}"#;

/// Puts `creator` into an admin team of their own beside `admin`'s.
async fn second_admin(host: &Host) {
    let mut admin = Browser::of(host, "admin").await;
    for (path, body) in [
        ("/organization/org/team/deputies", r#"{"role":"admin"}"#),
        ("/organization/org/team/deputies/members/creator", ""),
    ] {
        let seen = admin.ask("PUT", path, body).await;
        assert_eq!(seen.status, 200, "{}", seen.text());
    }
}

#[tokio::test]
async fn the_callers_only_admin_team_stays() {
    let host = fresh(without_mail()).await;
    let mut admin = Browser::of(&host, "admin").await;
    // A second admin in the same team does not help its caller.
    let seen = admin
        .ask("PUT", "/organization/org/team/owners/members/creator", "")
        .await;
    assert_eq!(seen.status, 200);
    for (method, path, body) in [
        ("DELETE", OWNERS, ""),
        ("PUT", OWNERS, MEMBER),
        ("PUT", OWNERS, r#"{"role":"creator"}"#),
        ("DELETE", "/organization/org/team/owners/members/admin", ""),
    ] {
        let seen = admin.ask(method, path, body).await;
        assert_refused(&seen, path);
    }
    assert_eq!(admin.read("/organization/org").await["is_admin"], true);
    assert_eq!(
        admin.read("/organization/org").await["teams"]["owners"]["role"],
        "admin"
    );
}

#[tokio::test]
async fn another_admin_may_take_it_away() {
    for (method, path, body, status) in [
        ("DELETE", OWNERS, "", 204),
        ("PUT", OWNERS, MEMBER, 200),
        ("DELETE", "/organization/org/team/owners/members/admin", "", 204),
        ("DELETE", "/organization/org/members/admin", "", 204),
    ] {
        let host = fresh(without_mail()).await;
        second_admin(&host).await;
        let admin = Browser::of(&host, "admin").await;
        let mut creator = Browser::of(&host, "creator").await;
        let seen = creator.ask(method, path, body).await;
        assert_eq!(seen.status, status, "{path}: {}", seen.text());
        assert_eq!(admin.read("/organization/org").await["is_admin"], false, "{path}");
        // Now the other one is the last.
        let seen = creator.ask("DELETE", "/organization/org/team/deputies", "").await;
        assert_refused(&seen, "the last admin team");
        let seen = creator
            .ask("DELETE", "/organization/org/members/creator", "")
            .await;
        assert_refused(&seen, "the last admin");
    }
}

#[tokio::test]
async fn a_caller_with_two_admin_teams_may_lose_one() {
    let host = fresh(without_mail()).await;
    second_admin(&host).await;
    let mut admin = Browser::of(&host, "admin").await;
    let seen = admin
        .ask("PUT", "/organization/org/team/deputies/members/admin", "")
        .await;
    assert_eq!(seen.status, 200);
    assert_eq!(admin.ask("DELETE", OWNERS, "").await.status, 204);
    let seen = admin.ask("DELETE", "/organization/org/team/deputies", "").await;
    assert_refused(&seen, "the last one");
}

#[tokio::test]
async fn the_only_admin_of_an_organization_does_not_delete_their_account() {
    let host = fresh(without_mail()).await;
    let mut admin = Browser::of(&host, "admin").await;
    assert_refused(&admin.ask("DELETE", "/user/", "").await, "the only admin");
    assert!(admin.is_signed_in().await);
    second_admin(&host).await;
    assert_eq!(admin.ask("DELETE", "/user/", "").await.status, 204);
    assert!(!admin.is_signed_in().await);
    assert_eq!(host.get("/api/v1/users/admin").await.status, 404);
    let mut creator = Browser::of(&host, "creator").await;
    assert_refused(&creator.ask("DELETE", "/user/", "").await, "now the only admin");
}

/// Two who are allowed to when they ask are not both allowed to when it happens.
#[tokio::test]
async fn two_at_once_leave_somebody_in_charge() {
    const DEPUTIES: &str = "/organization/org/team/deputies";
    for (by_admin, by_creator) in [
        (("DELETE", "/user/", ""), ("DELETE", "/user/", "")),
        (
            ("DELETE", "/organization/org/members/creator", ""),
            ("DELETE", "/organization/org/members/admin", ""),
        ),
        (
            ("DELETE", "/organization/org/team/deputies/members/creator", ""),
            ("DELETE", "/organization/org/team/owners/members/admin", ""),
        ),
        (("DELETE", DEPUTIES, ""), ("DELETE", OWNERS, "")),
        (("PUT", DEPUTIES, MEMBER), ("PUT", OWNERS, MEMBER)),
    ] {
        let host = fresh(without_mail()).await;
        second_admin(&host).await;
        let (admin, creator) = (
            Browser::of(&host, "admin").await,
            Browser::of(&host, "creator").await,
        );
        let (first, second) = join(
            admin.try_ask(by_admin.0, by_admin.1, by_admin.2),
            creator.try_ask(by_creator.0, by_creator.1, by_creator.2),
        )
        .await;
        let mut left = 0;
        for browser in [&admin, &creator] {
            let seen = browser.get("/organization/org").await;
            left += usize::from(seen.json()["is_admin"] == true);
        }
        assert_eq!(left, 1, "{by_admin:?}: {} {}", first.text(), second.text());
    }
}
