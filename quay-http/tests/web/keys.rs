//! The key server.

use std::time::Duration;

use quay_auth::InstanceKey;
use quay_core::runtime::Clock as _;
use serde_json::{Value, json};

use crate::support::{BASE, Host, Seen, instance_key, options};

/// A token with which a service shows its key.
fn shown(host: &Host, key: &InstanceKey, issuer: &str, audience: &str) -> String {
    let now = host.clock.now().as_millis() / 1000;
    let claims = json!({ "iss": issuer, "aud": audience, "iat": now, "nbf": now, "exp": now + 60 });
    format!("Bearer {}", key.sign(&claims).unwrap())
}

async fn put(host: &Host, path: &str, jwk: &Value, token: &str) -> Seen {
    let headers = [("authorization", token), ("content-type", "application/json")];
    host.ask("PUT", path, &headers, &jwk.to_string()).await
}

fn path(key: &InstanceKey) -> String {
    format!("/keys/services/clair/keys/{}", key.kid())
}

#[tokio::test]
async fn a_key_is_brought_approved_rotated_and_removed() {
    let mut options = options();
    options.superusers.insert("alice".to_owned());
    let host = Host::with(options, |settings| settings).await;
    let (first, second) = (InstanceKey::generate().unwrap(), InstanceKey::generate().unwrap());
    let now = host.clock.now().as_millis() / 1000;
    let by_first = shown(&host, &first, "clair", BASE);

    let with_end = format!("{}?expiration={}&rotation=600", path(&first), now + 7200);
    let seen = put(&host, &with_end, first.jwk(), &by_first).await;
    assert_eq!((seen.status.as_u16(), seen.body.len()), (202, 0), "{seen:?}");
    assert_eq!(
        put(&host, &with_end, first.jwk(), &by_first).await.status,
        400,
        "it is there"
    );
    assert_eq!(host.get(&path(&first)).await.status, 409);
    assert_eq!(
        host.get("/keys/services/clair/keys").await.json(),
        json!({ "keys": [] })
    );
    // Before somebody has approved it, it approves nothing.
    assert_eq!(
        put(&host, &path(&second), second.jwk(), &by_first).await.status,
        403
    );

    let alice = host.caller("alice");
    host.accounts
        .approve_service_key(&alice, first.kid(), "")
        .await
        .unwrap();
    let seen = host.get(&path(&first)).await;
    let mut expected = first.jwk().clone();
    expected["kid"] = first.kid().into();
    assert_eq!((seen.status.as_u16(), seen.json()), (200, expected.clone()));
    assert_eq!(seen.header("cache-control"), "max-age=7200");
    let seen = host.ask("HEAD", &path(&first), &[], "").await;
    assert_eq!((seen.status.as_u16(), seen.body.len()), (200, 0));
    let listed = host.get("/keys/services/clair/keys").await.json();
    assert_eq!(listed, json!({ "keys": [expected] }));

    // Rotation: one key vouches for the next, which takes its place.
    let with_end = format!("{}?expiration={}", path(&second), now + 7200);
    let seen = put(&host, &with_end, second.jwk(), &by_first).await;
    assert_eq!((seen.status.as_u16(), seen.body.len()), (200, 0), "{seen:?}");
    assert_eq!(
        host.get(&path(&second)).await.header("cache-control"),
        "max-age=7200"
    );
    assert_eq!(host.get(&path(&first)).await.status, 404);
    let listed = host.get("/keys/services/clair/keys").await.json();
    assert_eq!(listed["keys"].as_array().map(Vec::len), Some(1));
    let third = InstanceKey::generate().unwrap();
    assert_eq!(
        put(&host, &path(&third), third.jwk(), &by_first).await.status,
        403,
        "what has been replaced vouches for nothing"
    );
    let by_third = shown(&host, &third, "clair", BASE);
    assert_eq!(
        put(&host, &path(&third), third.jwk(), &by_third).await.status,
        202
    );
    host.accounts
        .approve_service_key(&alice, third.kid(), "")
        .await
        .unwrap();
    assert_eq!(
        host.get(&path(&third)).await.header("cache-control"),
        "max-age=86400"
    );

    host.clock.advance(Duration::from_hours(2));
    assert_eq!(host.get(&path(&second)).await.status, 403);
    // What has ended signs nothing any more, what has not signs for it.
    let by_second = shown(&host, &second, "clair", BASE);
    let by_third = shown(&host, &third, "clair", BASE);
    let remove = async |key: &InstanceKey, token: &str| {
        host.ask("DELETE", &path(key), &[("authorization", token)], "")
            .await
            .status
    };
    assert_eq!(remove(&second, &by_second).await, 403);
    assert_eq!(remove(&second, &by_third).await, 204);
    assert_eq!(remove(&second, &by_third).await, 404);
    assert_eq!(remove(&third, &by_third).await, 204);
    assert_eq!(host.get(&path(&third)).await.status, 404);
}

#[tokio::test]
async fn what_proves_nothing() {
    let host = Host::new().await;
    let (key, other) = (instance_key(), InstanceKey::generate().unwrap());
    let own = shown(&host, &key, "clair", BASE);
    for (token, status) in [
        (shown(&host, &key, "other", BASE), 400),
        (shown(&host, &key, "clair", "https://other.example"), 400),
        (shown(&host, &other, "clair", BASE), 403),
        ("Bearer abc".to_owned(), 400),
        ("Basic YTpi".to_owned(), 400),
    ] {
        assert_eq!(
            put(&host, &path(&key), key.jwk(), &token).await.status,
            status,
            "{token}"
        );
    }
    assert_eq!(
        host.ask("PUT", &path(&key), &[], &key.jwk().to_string())
            .await
            .status,
        400
    );
    let path_of_other = path(&other);
    assert_eq!(
        put(&host, &path_of_other, key.jwk(), &own).await.status,
        400,
        "another key's id"
    );
    for query in ["expiration=x", "expiration=1", "rotation=-1"] {
        let path = format!("{}?{query}", path(&key));
        assert_eq!(put(&host, &path, key.jwk(), &own).await.status, 400, "{query}");
    }
    let mut private = key.jwk().clone();
    private["d"] = "AQAB".into();
    assert_eq!(put(&host, &path(&key), &private, &own).await.status, 400);
    let headers = [("authorization", own.as_str())];
    assert_eq!(host.ask("PUT", &path(&key), &headers, "{").await.status, 400);
    let large = format!("{{\"x\":\"{}\"}}", "a".repeat(70_000));
    assert_eq!(host.ask("PUT", &path(&key), &headers, &large).await.status, 413);
    assert_eq!(host.ask("DELETE", &path(&key), &headers, "").await.status, 404);
    assert_eq!(host.ask("DELETE", &path(&key), &[], "").await.status, 400);
}

#[tokio::test]
async fn only_where_it_is() {
    let host = Host::new().await;
    let key = instance_key();
    let own = format!("/keys/services/quay/keys/{}", key.kid());
    assert_eq!(host.get(&own).await.status, 200);
    // The key of another service is none of this one's.
    assert_eq!(host.get(&path(&key)).await.status, 404);
    assert_eq!(host.get("/keys/services/quay").await.status, 404);
    let seen = host.ask("POST", &own, &[], "").await;
    assert_eq!(
        (seen.status.as_u16(), seen.header("allow")),
        (405, "GET, HEAD, PUT, DELETE, OPTIONS")
    );
    let seen = host.ask("OPTIONS", "/keys/services/quay/keys", &[], "").await;
    assert_eq!(
        (seen.status.as_u16(), seen.header("allow")),
        (200, "GET, HEAD, OPTIONS")
    );
}

#[tokio::test]
async fn nothing_is_taken_in_while_the_registry_takes_no_writes() {
    let mut options = options();
    options.read_only = true;
    let host = Host::with(options, |settings| settings).await;
    let key = InstanceKey::generate().unwrap();
    let token = shown(&host, &key, "clair", BASE);
    let seen = put(&host, &path(&key), key.jwk(), &token).await;
    assert_eq!(
        (seen.status.as_u16(), &seen.json()["is_readonly"]),
        (503, &json!(true))
    );
}
