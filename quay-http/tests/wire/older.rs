//! What clients are served that do not know the kind of manifest that is stored.

use std::sync::Arc;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::Method;
use quay_auth::ManifestKey;
use quay_core::Digest;
use quay_core::registry::Options;
use serde_json::{Value, json};

use crate::support::{Api, OCI, Seen, sha256};

const NAME: &str = "org/app";
const DOCKER: &str = "application/vnd.docker.distribution.manifest.v2+json";
const LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const SCHEMA1: &str = "application/vnd.docker.distribution.manifest.v1+json";
const SIGNED: &str = "application/vnd.docker.distribution.manifest.v1+prettyjws";
const EMPTY: &str = "sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4";

fn config(architecture: &str) -> String {
    json!({
        "architecture": architecture,
        "os": "linux",
        "config": { "Cmd": ["/hello"] },
        "rootfs": { "type": "layers", "diff_ids": [sha256(b"layer")] },
        "history": [
            { "created": "2020-01-02T03:04:05Z", "created_by": "COPY hello" },
            { "created_by": "CMD /hello", "empty_layer": true },
        ],
    })
    .to_string()
}

async fn put(api: &Api, reference: &str, media_type: &str, document: &Value) -> Digest {
    let bytes = Bytes::from(document.to_string());
    let path = format!("/v2/{NAME}/manifests/{reference}");
    let seen = api
        .ask(Method::PUT, &path, &[("content-type", media_type)], bytes.clone())
        .await;
    assert_eq!(seen.status, 201, "{seen:?}");
    sha256(&bytes)
}

async fn push(api: &Api, content: Bytes) -> Digest {
    let digest = sha256(&content);
    let path = format!("/v2/{NAME}/blobs/uploads/?digest={digest}");
    let seen = api.ask(Method::POST, &path, &[], content).await;
    assert_eq!(seen.status, 201, "{seen:?}");
    digest
}

/// Pushes an image of one layer and two steps.
async fn image(api: &Api, reference: &str, media_type: &str, architecture: &str) -> Digest {
    let layer = push(api, Bytes::from_static(b"layer")).await;
    let content = config(architecture);
    let size = content.len();
    let config = push(api, content.into()).await;
    let (config_type, layer_type) = if media_type == OCI {
        (
            "application/vnd.oci.image.config.v1+json",
            "application/vnd.oci.image.layer.v1.tar+gzip",
        )
    } else {
        (
            "application/vnd.docker.container.image.v1+json",
            "application/vnd.docker.image.rootfs.diff.tar.gzip",
        )
    };
    let document = json!({
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": { "mediaType": config_type, "digest": config, "size": size },
        "layers": [{ "mediaType": layer_type, "digest": layer, "size": 5 }],
    });
    put(api, reference, media_type, &document).await
}

async fn get(api: &Api, reference: &str, accept: &[&str]) -> Seen {
    let headers: Vec<(&str, &str)> = accept.iter().map(|accept| ("accept", *accept)).collect();
    let path = format!("/v2/{NAME}/manifests/{reference}");
    api.ask(Method::GET, &path, &headers, "").await
}

#[tokio::test]
async fn schema_1_is_made_for_those_who_know_nothing_newer() {
    let api = Api::open();
    for media_type in [OCI, DOCKER] {
        let stored = image(&api, "v1", media_type, "amd64").await;
        for accept in [
            &[][..],
            &["*/*"],
            &["application/json"],
            &[SCHEMA1, media_type],
            &["text/html"],
        ] {
            let seen = get(&api, "v1", accept).await;
            assert_eq!(seen.header("content-type"), media_type, "{accept:?}");
            assert_eq!(seen.header("docker-content-digest"), stored.to_string());
        }
        let seen = get(&api, "v1", &[SCHEMA1]).await;
        assert_eq!(seen.status, 200, "{seen:?}");
        assert_eq!(seen.header("content-type"), SCHEMA1);
        let digest = sha256(&seen.body).to_string();
        assert_eq!(seen.header("docker-content-digest"), digest);
        assert_eq!(seen.header("etag"), format!("\"{digest}\""));
        let made = seen.json();
        assert_eq!(
            (
                &made["schemaVersion"],
                &made["name"],
                &made["tag"],
                &made["architecture"]
            ),
            (&json!(1), &json!(NAME), &json!("v1"), &json!("amd64"))
        );
        let blobs: Vec<&str> = made["fsLayers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|l| l["blobSum"].as_str().unwrap())
            .collect();
        assert_eq!(blobs, [EMPTY, sha256(b"layer").to_string().as_str()]);
        let history: Vec<Value> = made["history"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| serde_json::from_str(entry["v1Compatibility"].as_str().unwrap()).unwrap())
            .collect();
        assert_eq!(history[0]["parent"], history[1]["id"]);
        assert_eq!(
            (&history[0]["throwaway"], &history[0]["config"]["Cmd"][0]),
            (&json!(true), &json!("/hello"))
        );
        assert_eq!(history[1]["container_config"]["Cmd"], json!(["COPY hello"]));
        assert!(history[0].get("rootfs").is_none() && history[0].get("history").is_none());
        // The same again, by whoever asks; a client that has it is told so.
        let again = get(&api, "v1", &[SCHEMA1]).await;
        assert_eq!(again.body, seen.body);
        let path = format!("/v2/{NAME}/manifests/v1");
        let etag = seen.header("etag").to_owned();
        let headers = [("accept", SCHEMA1), ("if-none-match", etag.as_str())];
        assert_eq!(api.ask(Method::GET, &path, &headers, "").await.status, 304);
        let head = api.ask(Method::HEAD, &path, &[("accept", SCHEMA1)], "").await;
        assert_eq!(head.header("docker-content-digest"), digest);
        assert_eq!(head.header("content-length"), seen.body.len().to_string());
        // By digest there is what there is.
        let seen = get(&api, &stored.to_string(), &[SCHEMA1]).await;
        assert_eq!(seen.header("content-type"), media_type);
        // What is stored as OCI is not made into Docker's second schema.
        let seen = get(&api, "v1", &[DOCKER]).await;
        assert_eq!(
            seen.header("content-type"),
            if media_type == OCI { SCHEMA1 } else { DOCKER }
        );
    }
}

#[tokio::test]
async fn a_signature_is_made_for_those_who_insist() {
    let mut options = Options::default();
    options.manifest_signer = Some(Arc::new(ManifestKey::generate().unwrap()));
    let api = Api::with(options);
    image(&api, "v1", OCI, "amd64").await;
    let unsigned = get(&api, "v1", &[SCHEMA1, SIGNED]).await;
    assert_eq!(unsigned.header("content-type"), SCHEMA1);
    let signed = get(&api, "v1", &[SIGNED]).await;
    assert_eq!(signed.header("content-type"), SIGNED);
    let digest = signed.header("docker-content-digest");
    assert_eq!(digest, unsigned.header("docker-content-digest"));
    let signature = &signed.json()["signatures"][0];
    assert_eq!(signature["header"]["alg"], "ES256");
    let decode = |value: &Value| URL_SAFE_NO_PAD.decode(value.as_str().unwrap()).unwrap();
    let jwk = &signature["header"]["jwk"];
    let point = [&[4][..], &decode(&jwk["x"]), &decode(&jwk["y"])].concat();
    let payload = URL_SAFE_NO_PAD.encode(&unsigned.body);
    let content = format!("{}.{payload}", signature["protected"].as_str().unwrap());
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
    key.verify(content.as_bytes(), &decode(&signature["signature"]))
        .unwrap();

    // It is taken back, under the same digest, and served as it was pushed.
    let path = format!("/v2/{NAME}/manifests/v1");
    let pushed = api
        .ask(
            Method::PUT,
            &path,
            &[("content-type", SIGNED)],
            signed.body.clone(),
        )
        .await;
    assert_eq!(
        (pushed.status.as_u16(), pushed.header("docker-content-digest")),
        (201, digest)
    );
    for accept in [&[][..], &[SIGNED], &[SCHEMA1], &[OCI]] {
        let seen = get(&api, "v1", accept).await;
        assert_eq!(
            (seen.header("content-type"), &seen.body),
            (SIGNED, &signed.body),
            "{accept:?}"
        );
    }
}

#[tokio::test]
async fn a_list_stands_for_its_default_platform() {
    let api = Api::open();
    for (index, child_type) in [(INDEX, OCI), (LIST, DOCKER)] {
        let mut children = Vec::new();
        for architecture in ["arm64", "amd64"] {
            let digest = image(&api, architecture, child_type, architecture).await;
            let platform = json!({ "os": "linux", "architecture": architecture });
            children
                .push(json!({ "mediaType": child_type, "digest": digest, "size": 1, "platform": platform }));
        }
        let list =
            |children: &[Value]| json!({ "schemaVersion": 2, "mediaType": index, "manifests": children });
        let stored = put(&api, "list", index, &list(&children)).await;
        put(&api, "arm", index, &list(&children[..1])).await;
        let amd64 = children[1]["digest"].as_str().unwrap().to_owned();
        for (accept, media_type, digest) in [
            (&[][..], index, Some(stored.to_string())),
            (&[index, child_type], index, Some(stored.to_string())),
            (&[child_type], child_type, Some(amd64.clone())),
            (&[SCHEMA1, child_type], child_type, Some(amd64.clone())),
            (&[SCHEMA1], SCHEMA1, None),
        ] {
            let seen = get(&api, "list", accept).await;
            assert_eq!(
                (seen.status.as_u16(), seen.header("content-type")),
                (200, media_type),
                "{accept:?}"
            );
            let digest = digest.unwrap_or_else(|| sha256(&seen.body).to_string());
            assert_eq!(seen.header("docker-content-digest"), digest, "{accept:?}");
        }
        let seen = get(&api, "arm", &[child_type]).await;
        assert_eq!(
            (seen.status.as_u16(), seen.code().as_str()),
            (404, "MANIFEST_UNKNOWN")
        );
        assert_eq!(get(&api, "arm", &[]).await.status, 200);
        let seen = get(&api, &stored.to_string(), &[child_type]).await;
        assert_eq!(seen.header("content-type"), index);
    }
}

#[tokio::test]
async fn what_cannot_be_made_older_is_not_there() {
    let api = Api::open();
    let blob = push(&api, Bytes::from_static(b"{}")).await;
    let descriptor = |media_type: &str| json!({ "mediaType": media_type, "digest": blob, "size": 2 });
    let foreign = json!({
        "mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "digest": sha256(b"far"), "size": 3,
        "urls": ["https://elsewhere.example/far"],
    });
    for (config, layers) in [
        (
            "application/vnd.cncf.helm.config.v1+json",
            vec![descriptor("application/vnd.cncf.helm.chart.content.v1.tar+gzip")],
        ),
        (
            "application/vnd.oci.image.config.v1+json",
            vec![descriptor("application/vnd.dev.cosign.simplesigning.v1+json")],
        ),
        ("application/vnd.oci.image.config.v1+json", vec![]),
        ("application/vnd.oci.image.config.v1+json", vec![foreign]),
    ] {
        let document = json!({
            "schemaVersion": 2, "mediaType": OCI, "config": descriptor(config), "layers": layers,
        });
        put(&api, "artifact", OCI, &document).await;
        assert_eq!(get(&api, "artifact", &[]).await.status, 200);
        let seen = get(&api, "artifact", &[SCHEMA1]).await;
        assert_eq!(
            (seen.status.as_u16(), seen.code().as_str()),
            (404, "MANIFEST_UNKNOWN"),
            "{document}"
        );
    }
}

#[tokio::test]
async fn every_repository_has_the_empty_layer() {
    let api = Api::open();
    image(&api, "v1", OCI, "amd64").await;
    let path = format!("/v2/{NAME}/blobs/{EMPTY}");
    let seen = api.get(&path).await;
    assert_eq!((seen.status.as_u16(), seen.body.len()), (200, 32));
    assert_eq!(sha256(&seen.body).to_string(), EMPTY);
    let part = api.ask(Method::GET, &path, &[("range", "bytes=2-5")], "").await;
    assert_eq!((part.status.as_u16(), &part.body[..]), (206, &seen.body[2..6]));
    let head = api.ask(Method::HEAD, &path, &[], "").await;
    assert_eq!((head.status.as_u16(), head.header("content-length")), (200, "32"));
    assert_eq!(api.get(&format!("/v2/org/none/blobs/{EMPTY}")).await.status, 404);
    // A manifest may name it without having pushed it.
    let made = get(&api, "v1", &[SCHEMA1]).await;
    put(&api, "v1", SCHEMA1, &made.json()).await;
}
