//! Logging in and out, and what ends with it.

use std::time::Duration;

use super::{Browser, without_mail};
use crate::roles::fixture::{fresh, registry};

#[tokio::test]
async fn failures_make_wait() {
    let host = fresh(without_mail()).await;
    let mut browser = Browser::new(&host).await;
    let right = "spare-password";
    let mut pause_ms = 0;
    for failures in 1..=5_u32 {
        assert_eq!(browser.sign_in("spare", "wrong").await.status, 403);
        pause_ms = 500 * ((1 << failures) - 1);
        host.clock.advance(Duration::from_millis(pause_ms - 1));
        // Not even the right password counts before it is time.
        for password in [right, "wrong"] {
            let seen = browser.sign_in("spare", password).await;
            assert_eq!(seen.status, 429, "{failures} {}", seen.text());
            assert_eq!(seen.header("retry-after"), "1");
            assert!(seen.header("content-type").starts_with("text/plain"));
        }
        // By address it is the same account.
        assert_eq!(browser.sign_in("spare@registry.example", right).await.status, 429);
        assert!(!browser.is_signed_in().await);
        host.clock.advance(Duration::from_millis(1));
    }
    assert!(pause_ms > 10_000);
    assert_eq!(browser.sign_in("spare", right).await.status, 200);
    // Nothing of it is left.
    assert_eq!(browser.sign_in("spare", "wrong").await.status, 403);
    host.clock.advance(Duration::from_millis(500));
    assert_eq!(browser.sign_in("spare", right).await.status, 200);
}

#[tokio::test]
async fn a_long_wait_is_told() {
    let host = fresh(without_mail()).await;
    let mut browser = Browser::new(&host).await;
    for failures in 1..=6_u32 {
        assert_eq!(browser.sign_in("spare", "wrong").await.status, 403);
        if failures < 6 {
            host.clock
                .advance(Duration::from_millis(500 * ((1 << failures) - 1)));
        }
    }
    let seen = browser.sign_in("spare", "wrong").await;
    assert_eq!((seen.status.as_u16(), seen.header("retry-after")), (429, "32"));
}

/// Guessing elsewhere counts as well: a stolen session is no way around the wait.
#[tokio::test]
async fn every_question_for_the_password_counts() {
    for (path, body, status) in [
        ("/signin/verify", r#"{"password":"wrong"}"#, 403),
        ("/user/clientkey", r#"{"password":"wrong"}"#, 400),
    ] {
        let host = fresh(without_mail()).await;
        let mut browser = Browser::of(&host, "spare").await;
        assert_eq!(browser.ask("POST", path, body).await.status, status, "{path}");
        assert_eq!(browser.ask("POST", path, body).await.status, 429, "{path}");
        let body = body.replace("wrong", "spare-password");
        assert_eq!(browser.ask("POST", path, &body).await.status, 429, "{path}");
        assert!(browser.is_signed_in().await);
        host.clock.advance(Duration::from_millis(500));
        assert_eq!(browser.ask("POST", path, &body).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn nobody_learns_who_has_an_account() {
    let host = fresh(registry()).await;
    let mut browser = Browser::new(&host).await;
    let wrong = browser.sign_in("spare", "wrong-password").await;
    assert_eq!(wrong.status, 403);
    assert_eq!(wrong.json()["invalidCredentials"], true);
    for name in [
        "nobody",
        "nobody@registry.example",
        "org",
        "org+bot",
        "member",
        "admin@registry.example",
        "",
    ] {
        let seen = browser.sign_in(name, "wrong-password").await;
        assert_eq!((seen.status, &seen.body), (wrong.status, &wrong.body), "{name}");
    }
    let mut recover = async |email: &str| {
        let body = serde_json::json!({ "email": email }).to_string();
        let seen = browser.ask("POST", "/recovery", &body).await;
        (seen.status.as_u16(), seen.body)
    };
    let known = recover("spare@registry.example").await;
    assert_eq!(known.0, 200);
    for email in ["nobody@registry.example", "org@registry.example", "nonsense"] {
        assert_eq!(recover(email).await, known, "{email}");
    }
    assert_eq!(host.mailbox.arrived(1).await.len(), 1);
}

#[tokio::test]
async fn a_login_begins_a_session_of_its_own() {
    let host = fresh(without_mail()).await;
    let mut browser = Browser::new(&host).await;
    let (cookie, csrf) = (browser.cookie.clone(), browser.csrf.clone());
    assert_eq!(browser.sign_in("other", "other-password").await.status, 200);
    assert_ne!(browser.cookie, cookie);
    assert_ne!(browser.csrf, csrf);
    assert!(browser.is_signed_in().await);
    // Whoever had planted the first session is in neither.
    let planted = Browser {
        host: &host,
        cookie,
        csrf: csrf.clone(),
    };
    assert!(!planted.is_signed_in().await);
    let guessed = Browser {
        host: &host,
        cookie: browser.cookie.clone(),
        csrf,
    };
    assert_eq!(
        guessed.try_ask("PUT", "/user/robots/planted", "").await.status,
        403
    );
    assert_eq!(browser.ask("PUT", "/user/robots/mine", "").await.status, 201);

    // The same holds for somebody else's login in the same browser.
    let first = browser.cookie.clone();
    assert_eq!(browser.sign_in("member", "member-password").await.status, 200);
    assert_ne!(browser.cookie, first);
    assert_eq!(browser.read("/user/").await["username"], "member");
}

#[tokio::test]
async fn signing_out_ends_all_sessions() {
    let host = fresh(without_mail()).await;
    let mut here = Browser::of(&host, "other").await;
    let there = Browser::of(&host, "other").await;
    let somebody_else = Browser::of(&host, "member").await;
    let kept = Browser {
        host: &host,
        cookie: here.cookie.clone(),
        csrf: here.csrf.clone(),
    };
    assert_eq!(here.ask("POST", "/signout", "").await.status, 200);
    for browser in [&here, &there, &kept] {
        assert!(!browser.is_signed_in().await);
    }
    assert!(somebody_else.is_signed_in().await);
    let mut again = Browser::new(&host).await;
    assert_eq!(again.sign_in("other", "other-password").await.status, 200);
    assert!(!there.is_signed_in().await);
}

#[tokio::test]
async fn a_new_password_ends_all_other_sessions() {
    let host = fresh(without_mail()).await;
    let mut here = Browser::of(&host, "other").await;
    let there = Browser::of(&host, "other").await;
    let before = Browser {
        host: &host,
        cookie: here.cookie.clone(),
        csrf: here.csrf.clone(),
    };
    let seen = here
        .ask("PUT", "/user/", r#"{"password":"another-password"}"#)
        .await;
    assert_eq!(seen.status, 200);
    assert!(!seen.header("x-next-csrf-token").is_empty());
    assert!(here.is_signed_in().await);
    assert_eq!(here.ask("PUT", "/user/robots/after", "").await.status, 201);
    for browser in [&there, &before] {
        assert!(!browser.is_signed_in().await);
    }
    let mut again = Browser::new(&host).await;
    assert_eq!(again.sign_in("other", "another-password").await.status, 200);
    assert_eq!(again.sign_in("other", "other-password").await.status, 403);
}

#[tokio::test]
async fn superusers_end_sessions_too() {
    for body in [r#"{"enabled":false}"#, r#"{"password":"another-password"}"#] {
        let host = fresh(without_mail()).await;
        let spare = Browser::of(&host, "spare").await;
        let mut root = Browser::of(&host, "root").await;
        assert_eq!(root.ask("PUT", "/superuser/users/spare", body).await.status, 200);
        assert!(!spare.is_signed_in().await, "{body}");
        assert!(root.is_signed_in().await);
    }
}

#[tokio::test]
async fn a_login_is_fresh_for_ten_minutes() {
    let host = fresh(without_mail()).await;
    let mut browser = Browser::of(&host, "other").await;
    let path = "/user/apptoken/app-other";
    assert_eq!(browser.get(path).await.status, 200);
    host.clock.advance(Duration::from_mins(10));
    let seen = browser.get(path).await;
    assert_eq!(
        (seen.status.as_u16(), &seen.json()["title"]),
        (401, &"fresh_login_required".into())
    );
    assert!(browser.is_signed_in().await);
    let seen = browser
        .ask("POST", "/signin/verify", r#"{"password":"other-password"}"#)
        .await;
    assert_eq!(seen.status, 200);
    assert_eq!(browser.get(path).await.status, 200);
}

#[tokio::test]
async fn an_address_that_fails_too_often_waits() {
    let host = fresh(registry()).await;
    let mut browser = Browser::new(&host).await;
    for index in 0..10 {
        let name = format!("nobody{index}");
        assert_eq!(browser.sign_in(&name, "wrong-password").await.status, 403);
        // Whether an address is known is not told, so asking counts.
        let body = serde_json::json!({ "email": format!("{name}@registry.example") }).to_string();
        assert_eq!(browser.ask("POST", "/recovery", &body).await.status, 200);
        let body = r#"{"username":"spare","password":"long-enough","email":"new@registry.example"}"#;
        assert_eq!(browser.ask("POST", "/user/", body).await.status, 400);
    }
    for (path, body) in [
        ("/signin", r#"{"username":"spare","password":"spare-password"}"#),
        ("/recovery", r#"{"email":"spare@registry.example"}"#),
        (
            "/user/",
            r#"{"username":"newcomer","password":"long-enough","email":"new@registry.example"}"#,
        ),
    ] {
        let seen = browser.ask("POST", path, body).await;
        assert_eq!(
            (seen.status.as_u16(), seen.header("retry-after")),
            (429, "60"),
            "{path}"
        );
    }
    host.clock.advance(Duration::from_mins(1));
    assert_eq!(browser.sign_in("spare", "spare-password").await.status, 200);
}
