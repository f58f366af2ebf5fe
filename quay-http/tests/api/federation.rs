//! The exchange of an identity provider's token for a robot's.

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use quay_core::StoreError;
use quay_core::accounts::{Account, AccountKey, AccountKind, FederatedSubject, RobotTokens};
use quay_core::runtime::Timestamp;
use quay_http::FederationService;
use serde_json::{Value, json};
use tower_service::Service as _;

use crate::support::Host;

const PATH: &str = "/oauth2/federation/robot/token";

/// Trusts one token, and gives another.
#[derive(Debug)]
pub(crate) struct Robots;

#[async_trait]
impl RobotTokens for Robots {
    async fn judge(&self, _: &Account, token: &str) -> Option<FederatedSubject> {
        (token == "provider:token")
            .then(|| FederatedSubject::new("https://issuer.example".to_owned(), "job".to_owned()))
    }

    async fn issue(&self, robot: &Account, _: &FederatedSubject, _: Timestamp) -> Result<String, StoreError> {
        Ok(format!("a token for {}", robot.name))
    }

    async fn is_issued(&self, _: &Account, _: &str) -> Result<bool, StoreError> {
        Ok(false)
    }
}

async fn ask(host: &Host, method: &str, path: &str, authorization: &str) -> (u16, http::HeaderMap, Bytes) {
    let mut request = Request::builder().method(method).uri(path);
    if !authorization.is_empty() {
        request = request.header("authorization", authorization);
    }
    let request = request.body(Full::new(Bytes::new())).unwrap();
    let mut service = FederationService::new(host.accounts.clone());
    let (parts, body) = service.call(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (parts.status.as_u16(), parts.headers, body)
}

fn basic(robot: &str, token: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{robot}:{token}")))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exchange() {
    let host = Host::new().await;
    let mut unit = host.accounts.store().begin_accounts().await.unwrap();
    let owner = unit
        .accounts()
        .account(AccountKey::Name("me"))
        .await
        .unwrap()
        .unwrap();
    let now = host.accounts.runtime().clock.now();
    let mut robot = Account::new(AccountKind::Robot, "me+builder", "uuid".to_owned(), now);
    robot.owner = Some(owner.id);
    unit.accounts().insert_account(&robot).await.unwrap().unwrap();
    unit.commit().await.unwrap();

    let good = basic("me+builder", "provider:token");
    let (status, headers, body) = ask(&host, "GET", PATH, &good).await;
    assert_eq!(
        (status, &headers["cache-control"]),
        (200, &"no-store".parse().unwrap())
    );
    let answer: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(answer, json!({ "token": "a token for me+builder" }));

    for wrong in [
        "",
        "Bearer provider:token",
        "Basic !",
        &basic("me+builder", "other"),
        &basic("me+other", "provider:token"),
        &basic("me", "provider:token"),
    ] {
        let (status, headers, body) = ask(&host, "GET", PATH, wrong).await;
        assert_eq!(status, 401, "{wrong}");
        assert!(
            headers["www-authenticate"]
                .to_str()
                .unwrap()
                .starts_with("Basic ")
        );
        assert!(serde_json::from_slice::<Value>(&body).unwrap()["error"].is_string());
    }
    for method in ["HEAD", "POST", "DELETE"] {
        let (status, headers, body) = ask(&host, method, PATH, &good).await;
        assert_eq!(
            (status, &headers["allow"]),
            (405, &"GET, OPTIONS".parse().unwrap())
        );
        assert_eq!(body.is_empty(), method == "HEAD");
    }
    assert_eq!(ask(&host, "OPTIONS", PATH, "").await.0, 200);
    assert_eq!(ask(&host, "GET", "/oauth2/federation/robot", &good).await.0, 404);
    assert!(FederationService::serves(PATH) && !FederationService::serves("/oauth2/federation"));
}
