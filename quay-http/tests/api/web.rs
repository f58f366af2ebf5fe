//! The routes around the API.

use crate::support::{Host, options};

#[tokio::test]
async fn the_first_page_holds_the_token() {
    let host = Host::new().await;
    let seen = host.get("/").await;
    assert_eq!(seen.status, 200);
    assert_eq!(seen.header("x-frame-options"), "DENY");
    assert!(seen.header("content-type").starts_with("text/html"));
    let page = seen.text();
    // As old clients do.
    let (_, rest) = page.split_once("window.__token = '").unwrap();
    let (token, _) = rest.split_once('\'').unwrap();
    let cookie = seen.header("set-cookie").split(';').next().unwrap().to_owned();
    let headers = [("cookie", cookie.as_str()), ("x-csrf-token", token)];
    assert_eq!(
        host.ask("POST", "/api/v1/organization/", &headers, "")
            .await
            .status,
        401
    );
    assert!(page.contains("window.__endpoints = {\"/api/v1/"));
}

#[tokio::test]
async fn what_clients_look_up_first() {
    let host = Host::new().await;
    let seen = host.get("/.well-known/app-capabilities").await.json();
    assert_eq!(seen["appName"], "io.quay");
    assert_eq!(
        seen["capabilities"]["io.quay.manifest-security"]["rest-api-template"],
        "https://registry.example/api/v1/repository/{namespace}/{reponame}/manifest/{digest}/security"
    );
    assert_eq!(
        seen["capabilities"]["io.quay.view-image"]["url-template"],
        "https://registry.example/{namespace}/{reponame}:{tag}"
    );
    let seen = host.get("/config").await.json();
    assert_eq!(seen["registry_state"], "normal");
    assert_eq!(seen["config"]["TAG_EXPIRATION_OPTIONS"][3], "2w");
    assert_eq!(seen["features"]["MAILING"], false);
    for path in ["/_internal_ping", "/v1/_internal_ping", "/secscan/_internal_ping"] {
        assert_eq!(host.get(path).await.text(), "true");
    }
    assert!(host.get("/robots.txt").await.text().starts_with("User-agent: *"));
}

/// Quay's pages read these without asking whether they are there, and stop where they are not.
#[tokio::test]
async fn what_pages_of_others_need() {
    let mut options = options();
    options.anonymous_access = false;
    let host = Host::with(options).await;
    let seen = host.get("/config").await.json();
    assert_eq!(seen["config"]["SETUP_COMPLETE"], true);
    assert!(seen["config"]["BRANDING"]["logo"].is_string());
    assert_eq!(seen["config"]["BRANDING"].get("quay_io"), None);
    for service in [
        "GITHUB_LOGIN_CONFIG",
        "GITHUB_TRIGGER_CONFIG",
        "GITLAB_TRIGGER_CONFIG",
    ] {
        let service = &seen["oauth"][service];
        assert_eq!(service.get("CLIENT_ID"), Some(&serde_json::Value::Null));
        assert!(service["AUTHORIZE_ENDPOINT"].is_string());
    }
    let page = host.get("/").await.text();
    assert!(
        page.contains("window.__oauth = {\"GITHUB_LOGIN_CONFIG\":{"),
        "{page}"
    );
    // Nobody's session has ended.
    let seen = host.get("/api/v1/messages").await;
    assert_eq!(seen.status, 401);
    assert_eq!(seen.json()["session_required"], false);
    // Where their scripts show something by themselves.
    for path in [
        "/signin",
        "/signin/",
        "/signin?code=abc",
        "/createaccount",
        "/updateuser",
        "/new/",
        "/search",
        "/superuser/",
        "/organizations/new/",
        "/organization/devel",
        "/organization/devel/teams/readers",
        "/user/me?tab=settings",
        "/repository/",
        "/repository/devel/image?tab=tags",
        "/repository/devel/status",
        "/repository/devel/image/tag/status",
    ] {
        let seen = host.get(path).await;
        assert_eq!(seen.status, 200, "{path}");
        assert!(seen.text().contains("window.__token = "), "{path}");
    }
    for path in [
        "/signin/more",
        "/repository/devel/image/status",
        "/static/main.js",
        "/userx",
        "//signin",
        "/signin//",
        "/user//me",
    ] {
        assert_eq!(host.get(path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn health() {
    let mut options = options();
    options.superusers.insert("me".to_owned());
    let host = Host::with(options).await;
    let seen = host.get("/health/instance").await;
    assert_eq!(seen.status, 200);
    let expected = serde_json::json!({ "data": { "services": { "registry": true } }, "status_code": 200 });
    assert_eq!(seen.json(), expected);
    assert_eq!(host.get("/health").await.json(), expected);
    for path in ["/health/endtoend", "/status"] {
        let seen = host.get(path).await;
        assert_eq!(
            (seen.status.as_u16(), &seen.json()["status_code"]),
            (503, &503.into()),
            "{path}"
        );
        assert_eq!(seen.json()["data"]["services"]["database"], false);
        assert!(!seen.text().contains("db1"), "reasons are not for everybody");
    }
    assert_eq!(
        host.get("/health/warning").await.json()["data"]["services"]["disk"],
        true
    );
    let cookie = host.cookie(Some("uuid-me"), "right");
    let seen = host
        .ask("GET", "/status", &[("cookie", &cookie)], "")
        .await
        .json();
    assert_eq!(
        seen["data"]["services_expanded"]["database"]["failure"],
        "db1 is down"
    );
    let data = seen["data"].as_object().unwrap();
    assert_eq!(data["hostname"], "registry.example");
    assert_eq!(data["config_provider"], "file");
    assert!(
        data["local_service_key_id"]
            .as_str()
            .is_some_and(|kid| !kid.is_empty())
    );
    assert_eq!(
        (&data["notes"], &data["is_testing"]),
        (&serde_json::json!([]), &false.into())
    );
    assert_eq!(data.len(), 7, "{data:?}");
    for path in ["/health/dbrevision", "/health/enabledebug"] {
        assert_eq!(host.get(path).await.status, 404, "{path}");
    }
    for path in [
        "/_internal_ping",
        "/v1/_internal_ping",
        "/c1/_internal_ping",
        "/secscan/_internal_ping",
    ] {
        assert_eq!(host.get(path).await.text(), "true", "{path}");
    }
}

#[tokio::test]
async fn pages_are_only_read() {
    let host = Host::new().await;
    for path in ["/", "/csrf_token", "/health", "/config"] {
        let seen = host.ask("POST", path, &[], "x").await;
        assert_eq!(
            (seen.status.as_u16(), seen.header("allow")),
            (405, "GET, HEAD"),
            "{path}"
        );
        let seen = host.ask("HEAD", path, &[], "").await;
        assert_eq!((seen.status.as_u16(), seen.text().as_str()), (200, ""), "{path}");
    }
}
