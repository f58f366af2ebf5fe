//! Extensions of the distribution specification: discovery, and the history of tags.

use http::Method;
use serde_json::{Value, json};

use crate::support::{Api, sha256};

const NAME: &str = "org/app";
const OCI: &str = "application/vnd.oci.image.index.v1+json";

async fn push(api: &Api, tag: &str, seed: &str) -> (String, usize) {
    let index =
        json!({ "schemaVersion": 2, "mediaType": OCI, "manifests": [], "annotations": { "seed": seed } });
    let body = index.to_string();
    let path = format!("/v2/{NAME}/manifests/{tag}");
    let pushed = api
        .ask(Method::PUT, &path, &[("content-type", OCI)], body.clone())
        .await;
    assert_eq!(pushed.status, 201, "{pushed:?}");
    (sha256(body.as_bytes()).to_string(), body.len())
}

/// The kind of each event of a list, and the digest.
fn events(list: &Value) -> Vec<(String, String)> {
    let list = list.as_array().unwrap();
    list.iter()
        .map(|event| {
            let annotations = event["annotations"].as_object().unwrap();
            assert_eq!(annotations.len(), 1, "{event}");
            let (kind, time) = annotations.iter().next().unwrap();
            assert!(time.as_str().unwrap().ends_with('Z'), "{event}");
            let kind = kind.rsplit('.').next().unwrap().to_owned();
            (kind, event["digest"].as_str().unwrap().to_owned())
        })
        .collect()
}

#[tokio::test]
async fn extensions_are_discovered() {
    let api = Api::open();
    push(&api, "v1", "one").await;
    for (path, endpoints) in [
        ("/v2/_oci/ext/discover".to_owned(), json!(["_oci/ext/discover"])),
        (
            format!("/v2/{NAME}/_oci/ext/discover"),
            json!(["_oci/ext/discover", "_oci/tag-history"]),
        ),
    ] {
        let seen = api.get(&path).await;
        assert_eq!(
            (seen.status.as_u16(), seen.header("content-type")),
            (200, "application/json")
        );
        let list = &seen.json()["extensions"];
        assert_eq!(list.as_array().unwrap().len(), 1);
        assert_eq!(
            (&list[0]["name"], &list[0]["endpoints"]),
            (&json!("_oci"), &endpoints)
        );
        assert!(list[0]["url"].is_string());
        assert_eq!(api.ask(Method::PUT, &path, &[], "").await.status, 405);
    }
    let unknown = api.get("/v2/no/repo/_oci/ext/discover").await;
    assert_eq!(
        (unknown.status.as_u16(), unknown.code()),
        (404, "NAME_UNKNOWN".to_owned())
    );
    let closed = Api::closed(quay_http::Settings::default());
    for path in [
        "/v2/_oci/ext/discover",
        "/v2/org/app/_oci/ext/discover",
        "/v2/org/app/_oci/tag-history/v1",
    ] {
        assert_eq!(closed.get(path).await.status, 401, "{path}");
    }
}

#[tokio::test]
async fn a_tags_history_is_listed() {
    let api = Api::open();
    let (one, size) = push(&api, "v1", "one").await;
    let (two, _) = push(&api, "v1", "two").await;
    let path = format!("/v2/{NAME}/_oci/tag-history/v1");
    let tag = format!("/v2/{NAME}/manifests/v1");
    assert_eq!(api.ask(Method::DELETE, &tag, &[], "").await.status, 202);
    let expected = [("deleted", &two), ("created", &two), ("created", &one)]
        .map(|(kind, digest)| (kind.to_owned(), digest.clone()));
    let seen = api.get(&path).await;
    assert_eq!(seen.status, 200, "{seen:?}");
    let all = seen.json();
    assert_eq!(events(&all), expected);
    assert_eq!(
        (&all[2]["size"], &all[2]["mediaType"]),
        (&json!(size), &json!(OCI))
    );
    assert_eq!(
        events(&api.get(&format!("{path}?n=1")).await.json()),
        expected[..1]
    );
    assert_eq!(api.get(&format!("{path}?n=0")).await.json(), json!([]));
    let time = all[1]["annotations"]["org.opencontainers.distribution.tag.created"]
        .as_str()
        .unwrap();
    let older = api.get(&format!("{path}?before={time}")).await.json();
    assert_eq!(events(&older), expected[2..]);
    let of_one = api.get(&format!("{path}?digest={one}")).await.json();
    assert_eq!(events(&of_one), expected[2..]);
    let none = api.get(&format!("/v2/{NAME}/_oci/tag-history/none")).await;
    assert_eq!((none.status.as_u16(), none.json()), (200, json!([])));
    let foreign = sha256(b"x");
    for (path, status, code) in [
        (format!("{path}?before=yesterday"), 400, "INVALID_REQUEST"),
        (format!("{path}?digest={foreign}"), 400, "INVALID_REQUEST"),
        (format!("{path}?digest=bad"), 400, "DIGEST_INVALID"),
        (format!("{path}?n=x"), 400, "INVALID_REQUEST"),
        (format!("/v2/{NAME}/_oci/tag-history/.bad"), 400, "TAG_INVALID"),
        ("/v2/no/repo/_oci/tag-history/v1".to_owned(), 404, "NAME_UNKNOWN"),
    ] {
        let seen = api.get(&path).await;
        assert_eq!(
            (seen.status.as_u16(), seen.code()),
            (status, code.to_owned()),
            "{path}"
        );
    }
}
