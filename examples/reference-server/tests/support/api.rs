//! The REST API as a program with a token uses it.

use serde_json::{Value, json};

use super::{Answer, Server};

/// Switches on what the first user needs, and nothing that gets in a program's way.
pub(crate) const CONFIG: &str =
    "FEATURE_USER_INITIALIZE: true\nSUPER_USERS: [admin]\nBROWSER_API_CALLS_XHR_ONLY: false\n";

pub(crate) const PASSWORD: &str = "correct-horse";

/// An answer's body.
pub(crate) fn body(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or_default()
}

/// Makes the first user, `admin`; hands out a token with every scope.
pub(crate) fn initialize(server: &Server) -> String {
    let user = json!({
        "username": "admin",
        "password": PASSWORD,
        "email": "admin@example.com",
        "access_token": true,
    });
    let answer = server.ask(
        "POST",
        "/api/v1/user/initialize",
        &[("content-type", "application/json")],
        user.to_string().as_bytes(),
    );
    assert_eq!(answer.status, 200, "{answer:?}");
    body(&answer)["access_token"].as_str().unwrap().to_owned()
}

/// Calls the API with a token; the status must be one of success.
pub(crate) fn call(server: &Server, token: &str, method: &str, path: &str, content: &Value) -> Value {
    let answer = attempt(server, token, method, path, content);
    assert!(answer.status < 300, "{method} {path}: {answer:?}");
    body(&answer)
}

/// Calls the API with a token.
pub(crate) fn attempt(server: &Server, token: &str, method: &str, path: &str, content: &Value) -> Answer {
    let bearer = format!("Bearer {token}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
    ];
    let content = if content.is_null() {
        String::new()
    } else {
        content.to_string()
    };
    server.ask(method, &format!("/api/v1{path}"), &headers, content.as_bytes())
}

/// A token for the registry protocol, as a docker client asks for it.
pub(crate) fn registry_token(server: &Server, login: Option<(&str, &str)>, scope: &str) -> Option<String> {
    use base64::Engine as _;

    let path = format!("/v2/auth?service={}&scope={scope}", server.address);
    let header = login.map(|(user, password)| {
        let pair = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
        format!("Basic {pair}")
    });
    let headers: Vec<(&str, &str)> = header
        .iter()
        .map(|header| ("authorization", header.as_str()))
        .collect();
    let answer = server.ask("GET", &path, &headers, b"");
    body(&answer)["token"].as_str().map(ToOwned::to_owned)
}

/// The status of a request to the registry protocol with a token.
pub(crate) fn with_token(server: &Server, token: &str, method: &str, path: &str) -> u16 {
    let bearer = format!("Bearer {token}");
    server
        .ask(method, path, &[("authorization", &bearer)], b"")
        .status
}
