//! What a request must pass, and in which order.

use crate::support::{Host, options};

const JSON: (&str, &str) = ("content-type", "application/json");

#[tokio::test]
async fn a_write_needs_a_token_against_forgery_before_anything_else() {
    let host = Host::new().await;
    let path = "/api/v1/organization/";
    let cookie = host.cookie(None, "right");
    let cookie = ("cookie", cookie.as_str());
    for (headers, path, body, status) in [
        (&[][..], path, "", 403),
        (&[("x-csrf-token", "right")], path, "", 403),
        (&[cookie], path, "", 403),
        (&[cookie, ("x-csrf-token", "wrong")], path, "", 403),
        (&[cookie, ("x-csrf-token", "")], path, "", 403),
        (&[cookie, ("x-csrf-token", "right")], path, "", 401),
        (&[cookie], "/api/v1/organization/?_csrf_token=right", "", 401),
        (
            &[cookie, ("content-type", "application/x-www-form-urlencoded")],
            path,
            "a=b&_csrf_token=right",
            401,
        ),
        (&[cookie, JSON], path, "_csrf_token=right", 403),
        (&[("authorization", "Bearer bad")], path, "", 403),
        (&[("authorization", "Bearer registry")], path, "", 403),
        (&[("authorization", "Basic bWU6c2VjcmV0")], path, "", 403),
    ] {
        let seen = host.ask("POST", path, headers, body).await;
        assert_eq!(seen.status, status, "{headers:?} {body} {seen:?}");
        if status == 403 {
            assert_eq!(seen.json()["message"], "CSRF token was invalid or missing.");
        } else {
            assert_eq!(seen.json()["error_type"], "invalid_token");
        }
    }
}

#[tokio::test]
async fn a_valid_token_needs_no_other_token() {
    let host = Host::new().await;
    let bearer = ("authorization", "Bearer good");
    let seen = host.ask("POST", "/api/v1/organization/", &[bearer], "").await;
    assert_eq!(
        (seen.status.as_u16(), &seen.json()["detail"]),
        (400, &"Missing JSON body".into())
    );
    assert_eq!(
        seen.json()["type"],
        "https://registry.example/api/v1/error/invalid_request"
    );
}

#[tokio::test]
async fn a_bad_token_hides_a_session() {
    let mut options = options();
    options.anonymous_access = false;
    let host = Host::with(options).await;
    let cookie = host.cookie(Some("uuid-me"), "right");
    let cookie = ("cookie", cookie.as_str());
    let bad = ("authorization", "Bearer bad");
    let path = "/api/v1/messages";
    assert_eq!(host.ask("GET", path, &[], "").await.status, 401);
    assert_ne!(host.ask("GET", path, &[cookie], "").await.status, 401);
    assert_eq!(host.ask("GET", path, &[cookie, bad], "").await.status, 401);
    let good = ("authorization", "Bearer good");
    assert_ne!(host.ask("GET", path, &[good], "").await.status, 401);
    // What is open to anybody stays so.
    assert_eq!(host.get("/api/v1/discovery").await.status, 200);
    assert_eq!(host.get("/api/v1/error/not_found").await.status, 401);

    let seen = host
        .ask("GET", path, &[("authorization", "Bearer throttled")], "")
        .await;
    assert_eq!((seen.status.as_u16(), seen.header("retry-after")), (429, "3"));
}

#[tokio::test]
async fn browsers_must_say_that_a_script_asks() {
    let host = Host::new().await;
    let browser = ("user-agent", "Mozilla/5.0 (X11; Linux x86_64)");
    let script = ("x-requested-with", "XMLHttpRequest");
    let path = "/api/v1/error/not_found";
    let seen = host.ask("GET", path, &[browser], "").await;
    assert_eq!(seen.status, 400);
    assert!(seen.json()["message"].is_string());
    assert_eq!(host.ask("GET", path, &[browser, script], "").await.status, 200);
    assert_eq!(host.ask("HEAD", path, &[browser], "").await.status, 200);
    assert_eq!(
        host.ask("GET", path, &[("user-agent", "skopeo/1.9")], "")
            .await
            .status,
        200
    );
    // Before anything else: not even a bad token is looked at.
    let bad = ("authorization", "Bearer throttled");
    assert_eq!(host.ask("GET", path, &[browser, bad], "").await.status, 400);

    let mut options = options();
    options.browser_calls_xhr_only = false;
    let host = Host::with(options).await;
    assert_eq!(host.ask("GET", path, &[browser], "").await.status, 200);
}

#[tokio::test]
async fn nothing_is_written_while_the_registry_takes_no_writes() {
    let mut options = options();
    options.read_only = true;
    let host = Host::with(options).await;
    let good = ("authorization", "Bearer good");
    let seen = host.ask("POST", "/api/v1/organization/", &[good], "").await;
    assert_eq!(
        (seen.status.as_u16(), &seen.json()["is_readonly"]),
        (503, &true.into())
    );
    assert_eq!(host.get("/api/v1/error/not_found").await.status, 200);
    // Logging in is allowed.
    let seen = host.ask("POST", "/api/v1/signin", &[good], "").await;
    assert_eq!(seen.status, 400, "{seen:?}");
    // The check against forgery comes first.
    let seen = host.ask("POST", "/api/v1/organization/", &[], "").await;
    assert_eq!(seen.status, 403);
}

#[tokio::test]
async fn bodies_are_checked() {
    let host = Host::new().await;
    let good = ("authorization", "Bearer good");
    let path = "/api/v1/organization/";
    for (content_type, body, expected) in [
        ("application/json", "", "Missing JSON body"),
        ("text/plain", "{\"name\":\"devel\"}", "Missing JSON body"),
        (
            "application/json; charset=utf-8",
            "{}",
            "\"name\" is a required property",
        ),
        (
            "application/json",
            "{\"name\":7}",
            "value is not of type \"string\"",
        ),
    ] {
        let seen = host
            .ask("POST", path, &[good, ("content-type", content_type)], body)
            .await;
        assert_eq!(seen.status, 400, "{body}: {seen:?}");
        assert_eq!(seen.json()["error_type"], "invalid_request", "{body}");
        assert_eq!(seen.json()["detail"], expected, "{body}");
    }
    let seen = host.ask("POST", path, &[good, JSON], "{").await;
    assert_eq!(seen.status, 400);
    assert!(
        seen.json()["message"]
            .as_str()
            .unwrap()
            .starts_with("Failed to decode JSON object")
    );
    let large = format!("{{\"name\":\"{}\"}}", "a".repeat(1 << 20));
    let seen = host.ask("POST", path, &[good, JSON], &large).await;
    assert_eq!(seen.status, 413, "{}", seen.text());
    // Without a session it is not even read.
    let cookie = host.cookie(None, "right");
    let seen = host
        .ask(
            "POST",
            path,
            &[("cookie", &cookie), ("x-csrf-token", "right"), JSON],
            "{",
        )
        .await;
    assert_eq!(
        (seen.status.as_u16(), &seen.json()["title"]),
        (401, &"invalid_token".into())
    );
}

#[tokio::test]
async fn a_body_may_be_left_out_where_it_is_optional() {
    let host = Host::new().await;
    let good = ("authorization", "Bearer good");
    let path = "/api/v1/organization/devel/robots/ci";
    for body in ["", "null", "{}", "{\"description\":\"x\"}"] {
        let seen = host.ask("PUT", path, &[good, JSON], body).await;
        assert_ne!(seen.json()["error_type"], "invalid_request", "{body}: {seen:?}");
    }
    let seen = host.ask("PUT", path, &[good, JSON], "{\"description\":7}").await;
    assert_eq!(seen.json()["error_type"], "invalid_request");
}

#[tokio::test]
async fn parameters_are_checked() {
    let host = Host::new().await;
    let good = ("authorization", "Bearer good");
    let seen = host
        .ask("GET", "/api/v1/user/notifications?page=x&limit=2", &[good], "")
        .await;
    assert_eq!(seen.status, 400);
    assert!(seen.json()["message"]["page"].is_string(), "{seen:?}");
    assert!(seen.json()["message"]["limit"].is_null());
}

#[tokio::test]
async fn no_repository_has_a_name_outside_the_grammar() {
    let host = Host::new().await;
    let good = ("authorization", "Bearer good");
    let seen = host
        .ask(
            "GET",
            "/api/v1/repository/devel/UP/permissions/user/",
            &[good],
            "",
        )
        .await;
    assert_eq!(
        (seen.status.as_u16(), &seen.json()["title"]),
        (404, &"not_found".into())
    );
}
