//! Cookies and what they prove.

use std::time::Duration;

use crate::support::{Host, options};

/// Somewhere that tells whose session it is.
const WHO: &str = "/.well-known/change-password";

fn value(cookie: &str) -> &str {
    cookie.split(';').next().unwrap()
}

#[tokio::test]
async fn a_session_begins_with_its_token() {
    let host = Host::new().await;
    let seen = host.get("/csrf_token").await;
    assert_eq!(seen.status, 200);
    let token = seen.json()["csrf_token"].as_str().unwrap().to_owned();
    assert!(token.len() >= 32);
    assert_eq!(seen.header("x-next-csrf-token"), token);
    let cookie = seen.header("set-cookie").to_owned();
    assert!(cookie.starts_with("_csrf_token="), "{cookie}");
    let attributes: Vec<&str> = cookie.split("; ").skip(1).collect();
    assert_eq!(
        attributes,
        ["Max-Age=2678400", "Path=/", "HttpOnly", "SameSite=Lax", "Secure"]
    );

    // The token and the cookie belong together.
    let headers = [("cookie", value(&cookie)), ("x-csrf-token", token.as_str())];
    assert_eq!(
        host.ask("POST", "/api/v1/organization/", &headers, "")
            .await
            .status,
        401
    );
    let other = host.get("/csrf_token").await;
    assert_ne!(other.json()["csrf_token"], token, "every session has its own");
    let headers = [
        ("cookie", value(other.header("set-cookie"))),
        ("x-csrf-token", token.as_str()),
    ];
    assert_eq!(
        host.ask("POST", "/api/v1/organization/", &headers, "")
            .await
            .status,
        403
    );

    // Asked again, the session stays as it is.
    let again = host
        .ask("GET", "/csrf_token", &[("cookie", value(&cookie))], "")
        .await;
    assert_eq!(again.json()["csrf_token"], token);
}

#[tokio::test]
async fn cookies_follow_the_options() {
    let mut options = options();
    options.session_cookie = "session".to_owned();
    options.session_cookie_secure = false;
    options.permanent_sessions = false;
    let host = Host::with(options).await;
    let seen = host.get("/csrf_token").await;
    let cookie = seen.header("set-cookie");
    assert!(cookie.starts_with("session="), "{cookie}");
    assert!(cookie.ends_with("; Path=/; HttpOnly; SameSite=Lax"), "{cookie}");
}

#[tokio::test]
async fn a_session_ends_with_its_time() {
    let host = Host::new().await;
    let cookie = host.cookie(Some("uuid-me"), "right");
    let headers = [("cookie", cookie.as_str())];
    let seen = host.ask("GET", WHO, &headers, "").await;
    assert_eq!(seen.status, 302);
    assert_eq!(
        seen.header("location"),
        "https://registry.example/user/me?tab=settings"
    );
    host.clock
        .advance(Duration::from_hours(31 * 24) - Duration::from_millis(1));
    assert_eq!(host.ask("GET", WHO, &headers, "").await.status, 302);
    host.clock.advance(Duration::from_millis(1));
    assert_eq!(host.ask("GET", WHO, &headers, "").await.status, 401);
    let write = [headers[0], ("x-csrf-token", "right")];
    assert_eq!(
        host.ask("POST", "/api/v1/organization/", &write, "").await.status,
        403
    );
}

#[tokio::test]
async fn whoever_is_gone_is_nobody() {
    let host = Host::new().await;
    for uuid in ["uuid-off", "uuid-org", "uuid-gone"] {
        let cookie = host.cookie(Some(uuid), "right");
        let seen = host.ask("GET", WHO, &[("cookie", &cookie)], "").await;
        assert_eq!(seen.status, 401, "{uuid}");
    }
}

#[tokio::test]
async fn a_changed_cookie_is_none() {
    let host = Host::new().await;
    let cookie = host.cookie(Some("uuid-me"), "right");
    let other_end = if cookie.ends_with('A') { "B" } else { "A" };
    for changed in [
        host.cookie_for("page", &host.session(Some("uuid-me"), "right")),
        host.cookie_for("session", "{}"),
        format!("{}{other_end}", &cookie[..cookie.len() - 1]),
        cookie.replace("_csrf_token=", "_csrf_token=A"),
        cookie.replace("_csrf_token=", "other="),
        "_csrf_token=".to_owned(),
        format!("_csrf_token={}", "a".repeat(100_000)),
    ] {
        let seen = host.ask("GET", WHO, &[("cookie", &changed)], "").await;
        assert_eq!(seen.status, 401);
    }
    // A foreign cookie of the same name does not get into the way.
    let both = format!("_csrf_token=foreign; {cookie}");
    assert_eq!(host.ask("GET", WHO, &[("cookie", &both)], "").await.status, 302);
}
