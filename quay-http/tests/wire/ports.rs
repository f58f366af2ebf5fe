//! The protocol over stores and deciders of other kinds, and bodies that hang.

use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use http::{Method, Request};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use quay_core::Registry;
use quay_core::auth::AllowAll;
use quay_core::memory::{MemoryBlobs, MemoryMetadata};
use quay_core::registry::Options;
use quay_http::{RegistryService, Settings, TokioSpawner, tokio_runtime};
use tower_service::Service as _;

use crate::doubles::{Delivering, Form, Remembering, Secretive};
use crate::support::{Api, registry, sha256};

const NAME: &str = "org/app";

fn delivering(form: Form) -> Api {
    let blobs = Delivering {
        inner: MemoryBlobs::new(),
        form,
    };
    let registry = Registry::new(
        Arc::new(MemoryMetadata::new()),
        Arc::new(blobs),
        Arc::new(AllowAll),
        tokio_runtime(TokioSpawner::current()),
    );
    Api(RegistryService::new(registry, Settings::default()))
}

#[tokio::test]
async fn a_store_may_redirect_or_stream() {
    let api = delivering(Form::Redirect);
    let digest = api.push_blob(NAME, b"content").await;
    let path = format!("/v2/{NAME}/blobs/{digest}");
    let seen = api.get(&path).await;
    assert_eq!(seen.status, 302);
    assert!(seen.header("location").starts_with("https://cdn.example/sha256/"));
    assert_eq!(seen.header("docker-content-digest"), digest.to_string());
    let head = api.ask(Method::HEAD, &path, &[], "").await;
    assert_eq!((head.status.as_u16(), head.header("content-length")), (200, "7"));

    let api = delivering(Form::Stream);
    api.push_blob(NAME, b"content").await;
    let seen = api.get(&path).await;
    assert_eq!((seen.status.as_u16(), &seen.body[..]), (200, &b"content"[..]));
    assert_eq!(seen.header("content-length"), "7");
    let part = api.ask(Method::GET, &path, &[("range", "bytes=2-3")], "").await;
    assert_eq!((part.status.as_u16(), &part.body[..]), (206, &b"nt"[..]));
}

#[tokio::test]
async fn a_stream_that_breaks_breaks_the_answer() {
    let api = delivering(Form::BrokenStream);
    let digest = api.push_blob(NAME, b"content").await;
    let request = Request::get(format!("/v2/{NAME}/blobs/{digest}"))
        .body(http_body_util::Full::<Bytes>::default())
        .unwrap();
    let response = api.0.clone().call(request).await.unwrap();
    assert!(response.into_body().collect().await.is_err());
}

#[tokio::test]
async fn a_mount_needs_a_source_that_the_caller_may_pull_from() {
    let secretive = Arc::new(Secretive::default());
    let api = Api(RegistryService::new(
        registry(Options::default(), Arc::<Secretive>::clone(&secretive)),
        Settings::default(),
    ));
    let hidden = api.push_blob("secret/app", b"hidden").await;
    let open = api.push_blob("open/app", b"open").await;
    secretive.0.lock().unwrap().insert("secret/app".to_owned());
    for (query, status) in [
        (format!("mount={open}&from=open/app"), 201),
        (format!("mount={open}"), 201),
        (format!("mount={hidden}&from=secret/app"), 202),
        (format!("mount={hidden}"), 202),
        (format!("mount={hidden}&from=open/app"), 202),
        (format!("mount={open}&from=none/such"), 202),
        (format!("mount={}", sha256(b"nowhere")), 202),
    ] {
        let path = format!("/v2/target/{}/blobs/uploads/?{query}", query.len());
        let seen = api.ask(Method::POST, &path, &[], "").await;
        assert_eq!(seen.status, status, "{query}");
        assert!(!seen.header("location").is_empty(), "{query}");
    }
    // Where nobody may pull from, a blob of the same content can still be pushed.
    api.push_blob("target/app", b"hidden").await;
    // Nor does a list or its cursor tell of it.
    for start in ["", "&last=open/app", "&last=org"] {
        let catalog = api.get(&format!("/v2/_catalog?n=1{start}")).await;
        assert!(!catalog.body.is_empty() && !format!("{catalog:?}").contains("secret"));
    }
}

/// A body of which one piece has come and the rest will not.
fn hanging(piece: &'static [u8]) -> impl http_body::Body<Data = Bytes, Error = std::io::Error> + Send {
    let pieces = futures::stream::iter([Ok(Frame::data(Bytes::from_static(piece)))]);
    StreamBody::new(pieces.chain(futures::stream::pending()))
}

#[tokio::test]
async fn one_request_at_a_time_writes_to_an_upload() {
    let api = Api::open();
    let upload = api.begin(NAME).await;
    let mut service = api.0.clone();
    let request = Request::patch(&upload).body(hanging(b"hello")).unwrap();
    let hanging = tokio::task::spawn(async move { service.call(request).await });
    // Asked until the first request has the upload.
    let digest = sha256(b"");
    for (method, path) in [
        (Method::PATCH, upload.clone()),
        (Method::PUT, format!("{upload}?digest={digest}")),
        (Method::DELETE, upload.clone()),
    ] {
        loop {
            let range = [("content-range", "7-8")];
            let seen = api.ask(method.clone(), &path, &range, "xx").await;
            if seen.status == 409 {
                assert_eq!(seen.code(), "BLOB_UPLOAD_INVALID");
                break;
            }
            assert_eq!(seen.status, 416, "{method}: {seen:?}");
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(api.get(&upload).await.status, 204, "looking is allowed");
    hanging.abort();
}

#[tokio::test]
async fn nothing_is_kept_for_a_caller_who_may_not_push() {
    let users = quay_auth::StaticUsers::new("registry");
    let api = Api::closed(Settings::default().with_authenticators(vec![Arc::new(users)]));
    // The body never ends; the answer comes all the same.
    let request = Request::put(format!("/v2/{NAME}/manifests/v1"))
        .body(hanging(b"{"))
        .unwrap();
    let response = api.0.clone().call(request).await.unwrap();
    assert_eq!(response.status(), 401);
}

#[tokio::test]
async fn schema_1_is_stored_as_it_comes() {
    let api = Api::open();
    let layer = api.push_blob(NAME, b"layer").await;
    let manifest = |name: &str, tag: &str| {
        serde_json::json!({
            "schemaVersion": 1, "name": name, "tag": tag, "architecture": "amd64",
            "fsLayers": [{ "blobSum": layer }], "history": [{ "v1Compatibility": "{}" }],
        })
        .to_string()
    };
    let schema1 = "application/vnd.docker.distribution.manifest.v1+json";
    let path = format!("/v2/{NAME}/manifests/v1");
    for (name, tag, status) in [
        (NAME, "v1", 201),
        (NAME, "v2", 400),
        ("app", "v1", 400),
        ("other/app", "v1", 400),
    ] {
        let seen = api
            .ask(
                Method::PUT,
                &path,
                &[("content-type", schema1)],
                manifest(name, tag),
            )
            .await;
        assert_eq!(seen.status, status, "{name}:{tag}: {seen:?}");
    }
    let seen = api.get(&path).await;
    assert_eq!(seen.header("content-type"), schema1);
    assert_eq!(seen.body, manifest(NAME, "v1").as_bytes());
    // A name without a namespace is the library's.
    api.push_blob("library/app", b"layer").await;
    let path = "/v2/app/manifests/v1";
    let seen = api
        .ask(
            Method::PUT,
            path,
            &[("content-type", schema1)],
            manifest("app", "v1"),
        )
        .await;
    assert_eq!(seen.status, 201, "{seen:?}");
}

#[tokio::test]
async fn reading_a_head_takes_no_range_and_an_upload_has_one_too() {
    let api = Api::open();
    let digest = api.push_blob(NAME, b"content").await;
    let path = format!("/v2/{NAME}/blobs/{digest}");
    let head = api.ask(Method::HEAD, &path, &[("range", "bytes=9-")], "").await;
    assert_eq!((head.status.as_u16(), head.header("content-length")), (200, "7"));
    let upload = api.begin(NAME).await;
    let head = api.ask(Method::HEAD, &upload, &[], "").await;
    assert_eq!((head.status.as_u16(), head.header("range")), (204, "0-0"));
}

#[tokio::test]
async fn every_request_has_an_id_its_own_or_the_one_it_came_with() {
    let remembering = Arc::new(Remembering::default());
    let api = Api(RegistryService::new(
        registry(Options::default(), Arc::<Remembering>::clone(&remembering)),
        Settings::default(),
    ));
    api.get("/v2/").await;
    api.get("/v2/").await;
    api.ask(Method::GET, "/v2/", &[("x-request-id", "abc-1")], "")
        .await;
    let ids = remembering.0.lock().unwrap().clone();
    assert!(!ids[0].is_empty() && ids[0] != ids[1], "{ids:?}");
    assert_eq!(ids[2], "abc-1");
}

#[tokio::test]
async fn stalled_manifests_hold_up_nobody() {
    let api = Api::open();
    let stalled: Vec<_> = (0..100)
        .map(|number| {
            let request = Request::put(format!("/v2/{NAME}/manifests/s{number}"))
                .header("content-length", 4 << 20)
                .body(hanging(b"{"))
                .unwrap();
            let mut service = api.0.clone();
            tokio::task::spawn(async move { service.call(request).await })
        })
        .collect();
    tokio::task::yield_now().await;
    let pushed = tokio::time::timeout(std::time::Duration::from_secs(5), api.push_image(NAME, "v1", ""));
    assert_eq!(pushed.await.unwrap().0.status, 201);
    for request in stalled {
        request.abort();
    }
}

#[tokio::test]
async fn without_the_referrers_api_no_client_is_told_to_rely_on_it() {
    for (referrers, status) in [(true, 200), (false, 404)] {
        let mut options = Options::default();
        options.referrers = referrers;
        let api = Api::with(options);
        let config = api.push_blob(NAME, b"{}").await;
        let subject = sha256(b"subject");
        let manifest = serde_json::json!({
            "schemaVersion": 2, "mediaType": crate::support::OCI, "artifactType": "application/x", "layers": [],
            "config": { "mediaType": "application/vnd.oci.empty.v1+json", "digest": config, "size": 2 },
            "subject": { "mediaType": crate::support::OCI, "digest": subject, "size": 7 },
        });
        let headers = [("content-type", crate::support::OCI)];
        let path = format!("/v2/{NAME}/manifests/about");
        let seen = api.ask(Method::PUT, &path, &headers, manifest.to_string()).await;
        assert_eq!(seen.status, 201, "{seen:?}");
        assert_eq!(!seen.header("oci-subject").is_empty(), referrers);
        let listed = api.get(&format!("/v2/{NAME}/referrers/{subject}")).await;
        assert_eq!(listed.status, status);
    }
}

#[tokio::test]
async fn a_manifest_in_tiny_pieces_takes_the_room_of_its_bytes() {
    let api = Api::open();
    // A byte at a time: a kibibyte for each would be more than there is for all.
    let mut manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[]}}"#,
        quay_core::MediaType::OCI_INDEX
    )
    .into_bytes();
    manifest.resize(300 << 10, b' ');
    let pieces = manifest
        .iter()
        .map(|byte| Ok::<_, std::io::Error>(Frame::data(Bytes::copy_from_slice(&[*byte]))))
        .collect::<Vec<_>>();
    let request = Request::put(format!("/v2/{NAME}/manifests/tiny"))
        .body(StreamBody::new(futures::stream::iter(pieces)))
        .unwrap();
    let response = api.0.clone().call(request).await.unwrap();
    assert_eq!(response.status(), 201);
}
