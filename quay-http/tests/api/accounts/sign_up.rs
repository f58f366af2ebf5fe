//! Signing up, by invitation and without, and choosing a new password.

use std::time::Duration;

use quay_core::accounts::{Account, AccountFilter, AccountKey, TeamKey};
use quay_core::metadata::PageRequest;
use serde_json::json;

use super::{Browser, assert_refused, without_mail};
use crate::roles::fixture::{empty, fresh, registry};
use crate::roles::log;
use crate::support::{Host, Seen};

/// The invitation that the fixture has sent by mail, to the team `members`.
const CODE: &str = "code-by-mail";
const ASKED: &str = "asked@registry.example";

async fn sign_up(host: &Host, name: &str, email: &str, code: Option<&str>) -> Seen {
    let mut browser = Browser::new(host).await;
    let body = json!({
        "username": name,
        "password": "long-enough",
        "email": email,
        "invite_code": code.unwrap_or_default(),
    });
    browser.ask("POST", "/user/", &body.to_string()).await
}

async fn account(host: &Host, name: &str) -> Option<Account> {
    let mut reader = host.accounts.store().reader();
    reader.account(AccountKey::Name(name)).await.unwrap()
}

async fn is_member(host: &Host, name: &str) -> bool {
    let mut reader = host.accounts.store().reader();
    let org = account(host, "org").await.unwrap();
    let key = TeamKey::Name(org.id, "members");
    let team = reader.team(key).await.unwrap().unwrap();
    let members = reader
        .accounts(AccountFilter::InTeam(team.id), &PageRequest::new(None, 100))
        .await
        .unwrap();
    members.iter().any(|member| member.name == name)
}

async fn is_open(host: &Host) -> bool {
    let mut reader = host.accounts.store().reader();
    reader.invite(CODE).await.unwrap().is_some()
}

#[tokio::test]
async fn an_invitation_is_accepted_by_signing_up() {
    let host = fresh(registry()).await;
    // Somebody else's code opens nothing.
    let seen = sign_up(&host, "stranger", "stranger@registry.example", Some(CODE)).await;
    assert_eq!(seen.json()["awaiting_verification"], true);
    assert!(!is_member(&host, "stranger").await && is_open(&host).await);
    let seen = sign_up(&host, "asked", ASKED, Some(CODE)).await;
    assert_eq!(
        (seen.status.as_u16(), &seen.json()["username"]),
        (200, &"asked".into())
    );
    assert!(account(&host, "asked").await.unwrap().verified);
    // It is theirs now, to be accepted, as Quay's pages do next.
    assert!(!is_member(&host, "asked").await);
    let mut asked = Browser::new(&host).await;
    assert_eq!(asked.sign_in("asked", "long-enough").await.status, 200);
    let notices = asked.read("/user/notifications").await;
    assert_eq!(notices["notifications"][0]["metadata"]["code"], CODE);
    let accept = format!("/teaminvite/{CODE}");
    let seen = Browser::of(&host, "spare").await.ask("PUT", &accept, "{}").await;
    assert_refused(&seen, "an invitation of somebody else's");
    let seen = asked.ask("PUT", &accept, "{}").await;
    assert_eq!(
        (seen.status.as_u16(), seen.json()),
        (200, json!({"org": "org", "team": "members"}))
    );
    assert!(is_member(&host, "asked").await);
    assert!(!is_open(&host).await, "the code can be used again");
    let notices = asked.read("/user/notifications").await;
    assert_eq!(notices["notifications"], json!([]));
    let entries = log::entries(&host.database()).await;
    assert!(
        entries
            .iter()
            .any(|entry| entry.kind == "org_team_member_invite_accepted")
    );
}

#[tokio::test]
async fn without_mail_a_code_is_enough() {
    let host = fresh(without_mail()).await;
    let seen = sign_up(&host, "asked", "elsewhere@registry.example", Some(CODE)).await;
    assert_eq!(seen.status, 200);
    assert!(is_member(&host, "asked").await && !is_open(&host).await);
}

#[tokio::test]
async fn where_an_invitation_is_needed_one_admits_one() {
    for mailing in [true, false] {
        let mut options = registry();
        options.mailing = mailing;
        options.invite_only = true;
        let host = fresh(options).await;
        for code in [None, Some("wrong"), Some("code-other")] {
            let seen = sign_up(&host, "first", ASKED, code).await;
            assert_refused(&seen, "a code that is none for somebody new");
        }
        let both = [("first", ASKED), ("second", ASKED)].map(|(name, email)| {
            let host = &host;
            async move { sign_up(host, name, email, Some(CODE)).await }
        });
        let seen = futures::future::join_all(both).await;
        let admitted = seen.iter().filter(|seen| seen.status == 200).count();
        assert_eq!(admitted, 1, "{seen:?}");
        let seen = sign_up(&host, "third", "third@registry.example", Some(CODE)).await;
        assert_refused(&seen, "a code that was used");
    }
}

#[tokio::test]
async fn a_wrong_code_does_not_spoil_the_right_password() {
    let host = fresh(without_mail()).await;
    for code in ["wrong", "code-member"] {
        let mut browser = Browser::new(&host).await;
        let body = json!({ "username": "spare", "password": "spare-password", "invite_code": code });
        let seen = browser.ask("POST", "/signin", &body.to_string()).await;
        assert_eq!(seen.status, 200, "{code}: {}", seen.text());
        assert!(browser.is_signed_in().await);
    }
    let mut browser = Browser::new(&host).await;
    let body = json!({ "username": "spare", "password": "spare-password", "invite_code": CODE });
    assert_eq!(
        browser.ask("POST", "/signin", &body.to_string()).await.status,
        200
    );
    assert!(is_member(&host, "spare").await);
}

#[tokio::test]
async fn with_mail_an_invitation_waits_for_who_signs_in() {
    let host = fresh(registry()).await;
    let mut browser = Browser::new(&host).await;
    let body = json!({ "username": "spare", "password": "spare-password", "invite_code": CODE });
    let seen = browser.ask("POST", "/signin", &body.to_string()).await;
    assert_eq!(seen.status, 200, "{}", seen.text());
    assert!(!is_member(&host, "spare").await);
    let seen = browser.ask("PUT", &format!("/teaminvite/{CODE}"), "{}").await;
    assert_eq!(seen.status, 200, "{}", seen.text());
    assert!(is_member(&host, "spare").await);
}

#[tokio::test]
async fn the_code_of_an_invitation_shows_whose_the_mailbox_is() {
    let host = fresh(registry()).await;
    let seen = sign_up(&host, "asked", ASKED, None).await;
    assert_eq!(seen.json()["awaiting_verification"], true);
    for (code, status) in [("wrong", 403), ("code-member", 403), (CODE, 200)] {
        let mut browser = Browser::new(&host).await;
        let body = json!({ "username": "asked", "password": "long-enough", "invite_code": code });
        let seen = browser.ask("POST", "/signin", &body.to_string()).await;
        assert_eq!(seen.status, status, "{code}: {}", seen.text());
    }
    assert!(account(&host, "asked").await.unwrap().verified);
}

#[tokio::test]
async fn a_lost_mail_is_sent_again() {
    let host = fresh(registry()).await;
    let seen = sign_up(&host, "fresh", "fresh@registry.example", None).await;
    assert_eq!(seen.json()["awaiting_verification"], true);
    let first = host.mailbox.code(1).await;
    let mut browser = Browser::new(&host).await;
    // Not before a minute has passed, and not for the wrong password.
    for (pause, password, mails) in [
        (0, "long-enough", 1),
        (60, "wrong-password", 1),
        (1, "long-enough", 2),
        (1, "long-enough", 2),
    ] {
        host.clock.advance(Duration::from_secs(pause));
        let seen = browser.sign_in("fresh", password).await;
        assert_eq!(seen.status, 403);
        assert_eq!(host.mailbox.arrived(mails).await.len(), mails);
    }
    let second = host.mailbox.code(2).await;
    assert_ne!(first, second);
    assert_eq!(host.get(&format!("/confirm?code={second}")).await.status, 302);
    assert_eq!(browser.sign_in("fresh", "long-enough").await.status, 200);
}

async fn recover(host: &Host, email: &str) -> Seen {
    let mut browser = Browser::new(host).await;
    let body = json!({ "email": email }).to_string();
    browser.ask("POST", "/recovery", &body).await
}

#[tokio::test]
async fn one_recovery_mail_a_minute() {
    let host = fresh(registry()).await;
    for _ in 0..5 {
        assert_eq!(recover(&host, "spare@registry.example").await.status, 200);
    }
    // Whoever else asks gets a mail: what was asked before has been looked at by then.
    assert_eq!(recover(&host, "other@registry.example").await.status, 200);
    let mails = host.mailbox.arrived(2).await;
    assert_eq!(
        mails.iter().filter(|mail| mail.to.starts_with("spare")).count(),
        1
    );
    host.clock.advance(Duration::from_mins(1));
    assert_eq!(recover(&host, "spare@registry.example").await.status, 200);
    assert_eq!(host.mailbox.arrived(3).await.len(), 3);
}

#[tokio::test]
async fn one_recovery_ends_the_other_codes() {
    let host = fresh(registry()).await;
    recover(&host, "spare@registry.example").await;
    let first = host.mailbox.code(1).await;
    host.clock.advance(Duration::from_mins(1));
    recover(&host, "spare@registry.example").await;
    let second = host.mailbox.code(2).await;
    assert_eq!(host.get(&format!("/recovery?code={second}")).await.status, 302);
    assert_eq!(host.get(&format!("/recovery?code={first}")).await.status, 400);
}

#[tokio::test]
async fn what_has_ended_is_collected() {
    let host = fresh(registry()).await;
    recover(&host, "spare@registry.example").await;
    host.mailbox.arrived(1).await;
    assert_eq!(host.accounts.collect_codes(10).await.unwrap(), 0);
    host.clock.advance(Duration::from_hours(1));
    assert_eq!(host.accounts.collect_codes(10).await.unwrap(), 1);
}

#[tokio::test]
async fn of_first_users_one_is_first() {
    let host = empty(registry()).await;
    let ask = |name: String| {
        let host = &host;
        async move {
            let email = format!("{name}@registry.example");
            let body = json!({ "username": name, "password": "long-enough", "email": email });
            let headers = [("content-type", "application/json")];
            host.ask("POST", "/api/v1/user/initialize", &headers, &body.to_string())
                .await
        }
    };
    let body = json!({ "username": "first", "password": "long-enough" });
    let headers = [("content-type", "application/json")];
    let seen = host
        .ask("POST", "/api/v1/user/initialize", &headers, &body.to_string())
        .await;
    assert_eq!(
        seen.status, 400,
        "without an address, where mail is sent: {seen:?}"
    );
    let seen = futures::future::join_all((0..8).map(|index| ask(format!("first{index}")))).await;
    let first = seen.iter().filter(|seen| seen.status == 200).count();
    assert_eq!(first, 1, "{seen:?}");
}

#[tokio::test]
async fn an_administrator_is_known_by_address() {
    let host = fresh(without_mail()).await;
    let mut browser = Browser::of(&host, "spare").await;
    let body = json!({ "adminUser": "other@registry.example", "adminPassword": "other-password" });
    let seen = browser.ask("POST", "/user/convert", &body.to_string()).await;
    assert_eq!(seen.status, 200, "{}", seen.text());
    assert_eq!(browser.read("/user/").await["username"], "other");
    assert!(account(&host, "spare").await.unwrap().is_organization());
}

/// Some databases know no text with a zero in it, and some columns no text that is too long.
#[tokio::test]
async fn what_no_database_takes_is_refused() {
    let host = fresh(registry()).await;
    let mut browser = Browser::of(&host, "root").await;
    for (method, path, body) in [
        ("GET", "/entities/ab?namespace=a%00b", ""),
        ("POST", "/user/apptoken", r#"{"title":"a\u0000b"}"#),
        (
            "PUT",
            "/user/robots/nul",
            r#"{"unstructured_metadata":{"a":["b",{"c\u0000":1}]}}"#,
        ),
        ("POST", "/signin", r#"{"username":"a\u0000b","password":"c"}"#),
        ("POST", "/signin", r#"{"username":"spare","password":"c\u0000"}"#),
    ] {
        let seen = browser.try_ask(method, path, body).await;
        assert_eq!(seen.status, 400, "{method} {path}: {}", seen.text());
    }
    // No path has it in it.
    for path in [
        "/users/a%00b",
        "/entities/a%00b",
        "/repository/org/app%00/permissions/user/",
    ] {
        assert_eq!(browser.get(path).await.status, 404, "{path}");
    }
    for path in [
        "/oauth/authorize?client_id=a%00b&redirect_uri=b&scope=c&response_type=token",
        "/confirm?code=a%00b",
    ] {
        assert_eq!(host.get(path).await.status, 400, "{path}");
    }
    for (length, status) in [(255, 200), (256, 400)] {
        let body = json!({ "service": "s".repeat(length), "expiration": null }).to_string();
        let seen = browser.ask("POST", "/superuser/keys", &body).await;
        assert_eq!(seen.status, status, "{length}: {}", seen.text());
    }
}

/// A page that stays open goes on with the token that the answer brings.
#[tokio::test]
async fn after_signing_out_the_same_page_signs_in() {
    let host = fresh(without_mail()).await;
    let mut browser = Browser::of(&host, "spare").await;
    let seen = browser.ask("POST", "/signout", "").await;
    assert_eq!(seen.status, 200, "{}", seen.text());
    assert!(!seen.header("x-next-csrf-token").is_empty());
    assert!(!browser.is_signed_in().await);
    assert_eq!(browser.sign_in("spare", "spare-password").await.status, 200);
    assert_eq!(browser.ask("DELETE", "/user/", "").await.status, 204);
    assert!(!browser.is_signed_in().await);
    assert_eq!(browser.sign_in("other", "other-password").await.status, 200);
}

/// Pages show what stands in these members.
#[tokio::test]
async fn taken_names_are_told_as_pages_show_them() {
    let host = fresh(without_mail()).await;
    let taken = sign_up(&host, "spare", "new@registry.example", None).await;
    let used = sign_up(&host, "newcomer", "spare@registry.example", None).await;
    for (seen, message) in [
        (taken, "Username has already been taken"),
        (used, "Email has already been used"),
    ] {
        assert_eq!(seen.status, 400);
        for member in ["error_message", "detail"] {
            assert_eq!(seen.json()[member], message, "{member}");
        }
    }
}

/// Who is a superuser is configured, and nobody is told otherwise.
#[tokio::test]
async fn nobody_is_promoted_in_vain() {
    let host = fresh(without_mail()).await;
    let mut root = Browser::of(&host, "root").await;
    let path = "/superuser/users/spare";
    let body = json!({ "superuser": true, "email": "changed@registry.example" });
    let seen = root.ask("PUT", path, &body.to_string()).await;
    assert_refused(&seen, "what only the configuration does");
    // Nobody else learns by that who is one.
    let mut member = Browser::of(&host, "member").await;
    let mut nobody = Browser::new(&host).await;
    for name in ["spare", "root", "unknown"] {
        let path = format!("/superuser/users/{name}");
        for (browser, status) in [(&mut member, 403), (&mut nobody, 401)] {
            let seen = browser.ask("PUT", &path, r#"{"superuser":true}"#).await;
            assert_eq!(seen.status, status, "{name}: {}", seen.text());
        }
    }
    let kept = account(&host, "spare").await.unwrap();
    assert_eq!(kept.email.as_deref(), Some("spare@registry.example"));
    let body = json!({ "enabled": true, "superuser": false });
    let seen = root.ask("PUT", path, &body.to_string()).await;
    assert_eq!(seen.status, 200, "{}", seen.text());
}
