//! Which paths there are.

use crate::support::{Host, everything, filled, operations};

#[tokio::test]
async fn every_operation_is_found_if_and_only_if_it_is_served() {
    let host = Host::with(everything()).await;
    let mut served = 0;
    for (method, path, operation) in operations() {
        let seen = host.ask(&method, &filled(&path), &[], "").await;
        if operation["served"] == true {
            served += 1;
            assert!(!seen.is_html_404(), "{method} {path}: {seen:?}");
            assert!(
                !matches!(seen.status.as_u16(), 308 | 405),
                "{method} {path}: {seen:?}"
            );
            assert_eq!(seen.header("access-control-allow-origin"), "*", "{method} {path}");
        } else {
            // The path may be there for the sake of another method.
            let hidden = seen.is_html_404() || seen.status == 405;
            assert!(hidden, "{method} {path}: {seen:?}");
        }
    }
    assert!(served > 100, "{served}");
}

#[tokio::test]
async fn trailing_slashes_are_significant() {
    let host = Host::with(everything()).await;
    for (method, path, operation) in operations() {
        if operation["served"] != true {
            continue;
        }
        let path = filled(&path);
        if let Some(without) = path.strip_suffix('/') {
            let seen = host
                .ask(&method, &format!("{without}?limit=3&x=%20"), &[], "")
                .await;
            assert_eq!(seen.status, 308, "{method} {without}");
            assert_eq!(seen.header("location"), format!("{path}?limit=3&x=%20"));
        } else {
            let seen = host.ask(&method, &format!("{path}/"), &[], "").await;
            assert!(seen.is_html_404(), "{method} {path}/: {seen:?}");
        }
    }
}

#[tokio::test]
async fn methods() {
    let host = Host::new().await;
    let seen = host.ask("PATCH", "/api/v1/organization/devel", &[], "").await;
    assert_eq!(seen.status, 405);
    assert_eq!(seen.header("allow"), "GET, HEAD, PUT, DELETE, OPTIONS");
    assert!(seen.json()["message"].is_string());

    let seen = host.ask("OPTIONS", "/api/v1/organization/devel", &[], "").await;
    assert_eq!((seen.status.as_u16(), seen.text().as_str()), (200, ""));
    for (name, value) in [
        ("access-control-allow-origin", "*"),
        ("access-control-allow-methods", "GET, HEAD, PUT, DELETE, OPTIONS"),
        ("access-control-max-age", "21600"),
        (
            "access-control-allow-headers",
            "AUTHORIZATION, CONTENT-TYPE, X-REQUESTED-WITH",
        ),
    ] {
        assert_eq!(seen.header(name), value);
    }

    let get = host.get("/api/v1/error/not_found").await;
    let head = host.ask("HEAD", "/api/v1/error/not_found", &[], "").await;
    assert_eq!((head.status, head.text().as_str()), (get.status, ""));
    assert_eq!(head.header("content-length"), get.body.len().to_string());
}

#[tokio::test]
async fn what_is_switched_off_is_a_page_that_is_not_there() {
    let host = Host::new().await;
    for path in [
        "/api/v1/recovery",
        "/api/v1/user/initialize",
        "/api/v1/nothing",
        "/api/v1/repository/devel/app/tag/latest/pull_statistics",
        // Nobody is billed here, so there is no number of private repositories to keep to.
        "/api/v1/user/private",
        "/api/v1/organization/devel/private",
        "/api/v2/user/",
        "/api",
    ] {
        let seen = host.ask("POST", path, &[], "").await;
        assert!(seen.is_html_404(), "{path}: {seen:?}");
    }
}

#[tokio::test]
async fn types_of_errors_are_described() {
    let host = Host::new().await;
    let seen = host.get("/api/v1/error/invalid_token").await;
    assert_eq!(seen.status, 200);
    assert_eq!(
        seen.json()["type"],
        "https://registry.example/api/v1/error/invalid_token"
    );
    let seen = host.get("/api/v1/error/nonsense").await;
    assert_eq!(
        (seen.status.as_u16(), &seen.json()["title"]),
        (404, &"not_found".into())
    );
}
