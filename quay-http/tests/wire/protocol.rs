//! The protocol, request by request, through the service in memory.

use std::sync::Arc;

use crate::support::{Api, OCI, image, sha256};
use http::Method;
use quay_auth::StaticUsers;
use quay_core::registry::Options;
use quay_http::Settings;

const NAME: &str = "org/app";

type Row<'a> = (Method, String, Vec<(&'a str, &'a str)>, &'a str, u16, &'a str);

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one table")]
async fn errors_have_the_right_status_and_code() {
    let api = Api::open();
    api.push_image(NAME, "v1", "").await;
    let unknown = sha256(b"unknown");
    api.push_blob("other/app", b"other").await;
    let upload = api.begin(NAME).await;
    let id = upload.rsplit('/').next().unwrap();
    let big = "x".repeat((4 << 20) + 1);
    let table: Vec<Row<'_>> = vec![
        // Names and paths.
        (
            Method::GET,
            "/v2/Org/app/manifests/v1".into(),
            vec![],
            "",
            400,
            "NAME_INVALID",
        ),
        (
            Method::GET,
            "/v2/org/../app/manifests/v1".into(),
            vec![],
            "",
            400,
            "NAME_INVALID",
        ),
        (
            Method::GET,
            "/v2/%2e%2e/app/manifests/v1".into(),
            vec![],
            "",
            400,
            "NAME_INVALID",
        ),
        (
            Method::GET,
            "/v2/org%2Fapp/manifests/v1".into(),
            vec![],
            "",
            400,
            "NAME_INVALID",
        ),
        (
            Method::GET,
            "/v2/org//app/manifests/v1".into(),
            vec![],
            "",
            400,
            "NAME_INVALID",
        ),
        (
            Method::GET,
            format!("/v2/{}/app/tags/list", "a".repeat(300)),
            vec![],
            "",
            400,
            "NAME_INVALID",
        ),
        (Method::GET, "/v2/nowhere".into(), vec![], "", 404, "UNSUPPORTED"),
        (
            Method::POST,
            "/v2/_catalog".into(),
            vec![],
            "",
            405,
            "UNSUPPORTED",
        ),
        (
            Method::PATCH,
            format!("/v2/{NAME}/manifests/v1"),
            vec![],
            "",
            405,
            "UNSUPPORTED",
        ),
        // Manifests.
        (
            Method::GET,
            "/v2/org/none/manifests/v1".into(),
            vec![],
            "",
            404,
            "NAME_UNKNOWN",
        ),
        (
            Method::GET,
            format!("/v2/{NAME}/manifests/v2"),
            vec![],
            "",
            404,
            "MANIFEST_UNKNOWN",
        ),
        (
            Method::GET,
            format!("/v2/{NAME}/manifests/.bad"),
            vec![],
            "",
            404,
            "MANIFEST_UNKNOWN",
        ),
        (
            Method::GET,
            format!("/v2/{NAME}/manifests/{unknown}"),
            vec![],
            "",
            404,
            "MANIFEST_UNKNOWN",
        ),
        (
            Method::GET,
            format!("/v2/{NAME}/manifests/sha256:abc"),
            vec![],
            "",
            400,
            "DIGEST_INVALID",
        ),
        (
            Method::PUT,
            format!("/v2/{NAME}/manifests/.bad"),
            vec![],
            "{}",
            400,
            "TAG_INVALID",
        ),
        (
            Method::PUT,
            format!("/v2/{NAME}/manifests/sha256:abc"),
            vec![],
            "{}",
            400,
            "DIGEST_INVALID",
        ),
        (
            Method::PUT,
            format!("/v2/{NAME}/manifests/v9"),
            vec![("content-type", OCI)],
            "{",
            400,
            "MANIFEST_INVALID",
        ),
        (
            Method::PUT,
            format!("/v2/{NAME}/manifests/v9"),
            vec![("content-type", "text/plain")],
            "{}",
            415,
            "MANIFEST_INVALID",
        ),
        (
            Method::PUT,
            format!("/v2/{NAME}/manifests/v9"),
            vec![("content-type", OCI)],
            &big,
            413,
            "MANIFEST_INVALID",
        ),
        (
            Method::PUT,
            format!("/v2/{NAME}/manifests/v9?tag=x"),
            vec![("content-type", OCI)],
            "{}",
            400,
            "INVALID_REQUEST",
        ),
        (
            Method::DELETE,
            format!("/v2/{NAME}/manifests/v9"),
            vec![],
            "",
            404,
            "MANIFEST_UNKNOWN",
        ),
        (
            Method::DELETE,
            format!("/v2/{NAME}/manifests/{unknown}"),
            vec![],
            "",
            404,
            "MANIFEST_UNKNOWN",
        ),
        // Blobs.
        (
            Method::GET,
            format!("/v2/{NAME}/blobs/{unknown}"),
            vec![],
            "",
            404,
            "BLOB_UNKNOWN",
        ),
        (
            Method::GET,
            format!("/v2/{NAME}/blobs/md5:abc"),
            vec![],
            "",
            400,
            "DIGEST_INVALID",
        ),
        (
            Method::DELETE,
            format!("/v2/{NAME}/blobs/{unknown}"),
            vec![],
            "",
            404,
            "BLOB_UNKNOWN",
        ),
        (
            Method::DELETE,
            format!("/v2/{NAME}/blobs/{}", sha256(b"layer")),
            vec![],
            "",
            405,
            "UNSUPPORTED",
        ),
        (
            Method::GET,
            format!("/v2/{NAME}/blobs/{}", sha256(b"layer")),
            vec![("range", "bytes=9-")],
            "",
            416,
            "RANGE_INVALID",
        ),
        // Uploads.
        (
            Method::GET,
            format!("/v2/{NAME}/blobs/uploads/none"),
            vec![],
            "",
            404,
            "BLOB_UPLOAD_UNKNOWN",
        ),
        (
            Method::PATCH,
            format!("/v2/{NAME}/blobs/uploads/..%2f..%2fx"),
            vec![],
            "a",
            400,
            "NAME_INVALID",
        ),
        (
            Method::PATCH,
            format!("/v2/none/app/blobs/uploads/{id}"),
            vec![],
            "a",
            404,
            "NAME_UNKNOWN",
        ),
        // Another repository's upload, in one that exists.
        (
            Method::PATCH,
            format!("/v2/other/app/blobs/uploads/{id}"),
            vec![],
            "a",
            404,
            "BLOB_UPLOAD_UNKNOWN",
        ),
        (
            Method::DELETE,
            format!("/v2/other/app/blobs/uploads/{id}"),
            vec![],
            "",
            404,
            "BLOB_UPLOAD_UNKNOWN",
        ),
        (
            Method::PUT,
            format!("/v2/other/app/blobs/uploads/{id}?digest={unknown}"),
            vec![],
            "",
            404,
            "BLOB_UPLOAD_UNKNOWN",
        ),
        (
            Method::GET,
            "/v2/_catalog?last=%00".into(),
            vec![],
            "",
            400,
            "INVALID_REQUEST",
        ),
        (Method::PUT, upload.clone(), vec![], "a", 400, "DIGEST_INVALID"),
        (
            Method::PUT,
            format!("{upload}?digest=sha256:xyz"),
            vec![],
            "a",
            400,
            "DIGEST_INVALID",
        ),
        (
            Method::PATCH,
            upload.clone(),
            vec![("content-range", "bytes 0-0")],
            "a",
            400,
            "INVALID_REQUEST",
        ),
        (
            Method::PATCH,
            upload.clone(),
            vec![("content-range", "5-5")],
            "a",
            416,
            "BLOB_UPLOAD_INVALID",
        ),
        (
            Method::PATCH,
            upload.clone(),
            vec![("content-range", "0-7")],
            "a",
            400,
            "INVALID_REQUEST",
        ),
        (
            Method::POST,
            format!("/v2/{NAME}/blobs/uploads/?digest-algorithm=md5"),
            vec![],
            "",
            400,
            "DIGEST_INVALID",
        ),
        (
            Method::POST,
            format!("/v2/{NAME}/blobs/uploads/?digest={unknown}"),
            vec![],
            "other",
            400,
            "DIGEST_INVALID",
        ),
        // Lists.
        (
            Method::GET,
            format!("/v2/{NAME}/tags/list?n=-1"),
            vec![],
            "",
            400,
            "INVALID_REQUEST",
        ),
        (
            Method::GET,
            format!("/v2/{NAME}/tags/list?last=%20"),
            vec![],
            "",
            400,
            "TAG_INVALID",
        ),
        (
            Method::GET,
            "/v2/org/none/tags/list".into(),
            vec![],
            "",
            404,
            "NAME_UNKNOWN",
        ),
        (
            Method::GET,
            format!("/v2/{NAME}/referrers/bad"),
            vec![],
            "",
            400,
            "DIGEST_INVALID",
        ),
    ];
    for (method, path, headers, body, status, code) in table {
        let seen = api.ask(method.clone(), &path, &headers, body.to_owned()).await;
        assert_eq!(
            (seen.status.as_u16(), seen.code().as_str()),
            (status, code),
            "{method} {path}: {:?}",
            seen.body
        );
    }
    let seen = api.get(&upload).await;
    assert_eq!(
        (seen.status.as_u16(), seen.header("range")),
        (204, "0-0"),
        "the upload is still there"
    );
}

#[tokio::test]
async fn an_image_is_pushed_and_pulled() {
    let api = Api::open();
    let (pushed, manifest) = api.push_image(NAME, "v1", "").await;
    let digest = sha256(&manifest).to_string();
    assert_eq!(pushed.status, 201);
    assert_eq!(pushed.header("docker-content-digest"), digest);
    assert_eq!(
        pushed.header("location"),
        format!("/v2/{NAME}/manifests/{digest}")
    );
    for reference in ["v1", &digest] {
        let path = format!("/v2/{NAME}/manifests/{reference}");
        let seen = api.get(&path).await;
        assert_eq!((seen.status.as_u16(), &seen.body), (200, &manifest));
        assert_eq!(seen.header("content-type"), OCI);
        assert_eq!(seen.header("etag"), format!("\"{digest}\""));
        let head = api.ask(Method::HEAD, &path, &[], "").await;
        assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
        assert_eq!(head.header("content-length"), manifest.len().to_string());
        let known = api
            .ask(Method::GET, &path, &[("if-none-match", seen.header("etag"))], "")
            .await;
        assert_eq!((known.status.as_u16(), known.body.len()), (304, 0));
    }
    let tags = api.get(&format!("/v2/{NAME}/tags/list")).await.json();
    assert_eq!(tags, serde_json::json!({ "name": NAME, "tags": ["v1"] }));
    let catalog = api.get("/v2/_catalog").await.json();
    assert_eq!(catalog, serde_json::json!({ "repositories": [NAME] }));
}

#[tokio::test]
async fn a_name_of_one_component_is_echoed_as_asked() {
    let api = Api::open();
    let (pushed, _) = api.push_image("busybox", "v1", "").await;
    assert!(pushed.header("location").starts_with("/v2/busybox/manifests/"));
    let tags = api.get("/v2/busybox/tags/list").await.json();
    assert_eq!(tags["name"], "busybox");
    assert_eq!(api.get("/v2/library/busybox/manifests/v1").await.status, 200);
    assert_eq!(
        api.get("/v2/_catalog").await.json()["repositories"][0],
        "library/busybox"
    );
}

#[tokio::test]
async fn chunks_go_on_where_the_upload_stands() {
    let api = Api::open();
    let upload = api.begin(NAME).await;
    let first = api
        .ask(Method::PATCH, &upload, &[("content-range", "0-4")], "hello")
        .await;
    assert_eq!((first.status.as_u16(), first.header("range")), (202, "0-4"));
    assert_eq!(first.header("location"), upload);
    let wrong = api
        .ask(Method::PATCH, &upload, &[("content-range", "0-4")], "hello")
        .await;
    assert_eq!((wrong.status.as_u16(), wrong.header("range")), (416, "0-4"));
    assert_eq!(wrong.header("location"), upload);
    let digest = sha256(b"hello world");
    let put = format!("{upload}?digest={digest}");
    let wrong = api
        .ask(Method::PUT, &put, &[("content-range", "4-9")], " world")
        .await;
    assert_eq!((wrong.status.as_u16(), wrong.header("range")), (416, "0-4"));
    let done = api
        .ask(Method::PUT, &put, &[("content-range", "5-10")], " world")
        .await;
    assert_eq!(done.status, 201, "{done:?}");
    assert_eq!(done.header("location"), format!("/v2/{NAME}/blobs/{digest}"));
    assert_eq!(api.get(done.header("location")).await.body, "hello world");
    assert_eq!(api.get(&upload).await.status, 404);
}

#[tokio::test]
async fn another_digest_than_the_content_has_drops_the_upload() {
    let api = Api::open();
    let upload = api.begin(NAME).await;
    let wrong = sha256(b"something else");
    let seen = api
        .ask(Method::PUT, &format!("{upload}?digest={wrong}"), &[], "content")
        .await;
    assert_eq!(
        (seen.status.as_u16(), seen.code().as_str()),
        (400, "DIGEST_INVALID")
    );
    assert_eq!(api.get(&upload).await.status, 404);
    for content in [&b"something else"[..], b"content"] {
        let path = format!("/v2/{NAME}/blobs/{}", sha256(content));
        assert_eq!(api.get(&path).await.status, 404);
    }
}

#[tokio::test]
async fn both_algorithms_are_taken_announced_or_not() {
    use quay_core::{Algorithm, Digest};

    let api = Api::open();
    let sha512 = Digest::of(Algorithm::Sha512, b"content");
    for query in ["", "?digest-algorithm=sha512"] {
        let begun = api
            .ask(
                Method::POST,
                &format!("/v2/{NAME}/blobs/uploads/{query}"),
                &[],
                "",
            )
            .await;
        let upload = begun.header("location").to_owned();
        api.ask(Method::PATCH, &upload, &[], "con").await;
        for digest in [sha512] {
            let seen = api
                .ask(Method::PUT, &format!("{upload}?digest={digest}"), &[], "tent")
                .await;
            assert_eq!(seen.status, 201, "{seen:?}");
            assert_eq!(api.get(seen.header("location")).await.body, "content");
        }
    }
}

#[tokio::test]
async fn the_forms_of_ranges() {
    let api = Api::open();
    let digest = api.push_blob(NAME, b"0123456789").await;
    let path = format!("/v2/{NAME}/blobs/{digest}");
    for (range, status, body, content_range) in [
        ("bytes=0-3", 206, "0123", "bytes 0-3/10"),
        ("bytes=7-", 206, "789", "bytes 7-9/10"),
        ("bytes=-2", 206, "89", "bytes 8-9/10"),
        ("bytes=5-99", 206, "56789", "bytes 5-9/10"),
        ("bytes=10-", 416, "", "bytes */10"),
        ("bytes=3-1", 416, "", "bytes */10"),
        ("bytes=0-0,5-5", 200, "0123456789", ""),
        ("lines=1-2", 200, "0123456789", ""),
    ] {
        let seen = api.ask(Method::GET, &path, &[("range", range)], "").await;
        assert_eq!(
            (seen.status.as_u16(), seen.header("content-range")),
            (status, content_range),
            "{range}"
        );
        if status != 416 {
            assert_eq!(seen.body, body, "{range}");
        }
    }
    let stale = [("range", "bytes=0-3"), ("if-range", "\"other\"")];
    assert_eq!(api.ask(Method::GET, &path, &stale, "").await.status, 200);
}

#[tokio::test]
async fn tags_are_compared_and_swapped() {
    let api = Api::open();
    let (first, _) = api.push_image(NAME, "v1", "one").await;
    let etag = first.header("etag").to_owned();
    let (config, layer) = (sha256(b"{}"), sha256(b"layer"));
    let path = format!("/v2/{NAME}/manifests/v1");
    let put = async |headers: &[(&str, &str)], salt: &str| {
        let headers: Vec<_> = [("content-type", OCI)]
            .into_iter()
            .chain(headers.iter().copied())
            .collect();
        api.ask(Method::PUT, &path, &headers, image(&config, &layer, salt))
            .await
    };
    let refused = put(&[("if-none-match", "*")], "two").await;
    assert_eq!(
        (refused.status.as_u16(), refused.code().as_str()),
        (412, "PRECONDITION_FAILED")
    );
    let current = refused.json()["errors"][0]["detail"]["current"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(format!("\"{current}\""), etag);
    let moved = put(&[("if-match", &etag)], "two").await;
    assert_eq!(moved.status, 201);
    let lost = put(&[("if-match", &etag)], "three").await;
    assert_eq!(lost.status, 412, "somebody else was faster");
    let gone = api.ask(Method::DELETE, &path, &[("if-match", &etag)], "").await;
    assert_eq!(gone.status, 412);
    let new_etag = moved.header("etag").to_owned();
    assert_eq!(
        api.ask(Method::DELETE, &path, &[("if-match", &new_etag)], "")
            .await
            .status,
        202
    );
    assert_eq!(
        put(&[("if-match", "*")], "four").await.status,
        412,
        "there is nothing to match"
    );
    let absent = put(&[("if-none-match", "*")], "four").await;
    assert_eq!(absent.status, 201);
    assert_eq!(put(&[], "four").await.status, 201, "an identical push is fine");
}

#[tokio::test]
async fn several_tags_are_set_together_or_not_at_all() {
    let api = Api::open();
    api.push_image(NAME, "taken", "one").await;
    let manifest = image(&sha256(b"{}"), &sha256(b"layer"), "two");
    let path = format!("/v2/{NAME}/manifests/{}?tag=a&tag=b", sha256(&manifest));
    let headers = [("content-type", OCI), ("if-none-match", "*")];
    let refused = api
        .ask(
            Method::PUT,
            &format!("{path}&tag=taken"),
            &headers,
            manifest.clone(),
        )
        .await;
    assert_eq!(refused.status, 412);
    assert_eq!(api.get(&format!("/v2/{NAME}/manifests/a")).await.status, 404);
    let set = api.ask(Method::PUT, &path, &headers, manifest.clone()).await;
    let tags: Vec<_> = set.headers.get_all("oci-tag").iter().collect();
    assert_eq!((set.status.as_u16(), tags.len()), (201, 2), "{set:?}");
    for tag in ["a", "b"] {
        assert_eq!(
            api.get(&format!("/v2/{NAME}/manifests/{tag}")).await.body,
            manifest
        );
    }
    let bad = api
        .ask(
            Method::PUT,
            &format!("{path}&tag=.x"),
            &[("content-type", OCI)],
            manifest,
        )
        .await;
    assert_eq!((bad.status.as_u16(), bad.code().as_str()), (400, "TAG_INVALID"));
}

#[tokio::test]
async fn pages_link_to_the_next() {
    let api = Api::open();
    for tag in ["a", "B", "c", "b", "0"] {
        api.push_image(NAME, tag, "").await;
    }
    let mut seen: Vec<String> = Vec::new();
    let mut path = format!("/v2/{NAME}/tags/list?n=2");
    for _ in 0..3 {
        let page = api.get(&path).await;
        let tags = page.json()["tags"].as_array().unwrap().clone();
        seen.extend(tags.iter().map(|tag| tag.as_str().unwrap().to_owned()));
        let Some(link) = page.header("link").strip_prefix('<') else {
            break;
        };
        let (next, rest) = link.split_once('>').unwrap();
        assert_eq!(rest, "; rel=\"next\"");
        path = next.to_owned();
    }
    assert_eq!(seen, ["0", "B", "a", "b", "c"]);
    let none = api.get(&format!("/v2/{NAME}/tags/list?n=0")).await;
    assert_eq!(
        (none.json()["tags"].as_array().unwrap().len(), none.header("link")),
        (0, "")
    );
    let all = api.get(&format!("/v2/{NAME}/tags/list?n=1000000000000")).await;
    assert_eq!(all.json()["tags"].as_array().unwrap().len(), 5);
    let huge = api
        .get(&format!("/v2/{NAME}/tags/list?n=99999999999999999999999999"))
        .await;
    assert_eq!(huge.status, 200);
}

#[tokio::test]
async fn referrers_are_listed_also_of_what_is_not_there() {
    let api = Api::open();
    api.push_image(NAME, "v1", "").await;
    let subject = sha256(b"not pushed yet");
    for (index, kind) in ["application/a", "application/b", "application/a"]
        .iter()
        .enumerate()
    {
        let manifest = serde_json::json!({
            "schemaVersion": 2, "mediaType": OCI, "artifactType": kind,
            "config": { "mediaType": "application/vnd.oci.empty.v1+json", "digest": sha256(b"{}"), "size": 2 },
            "layers": [], "annotations": { "index": index.to_string() },
            "subject": { "mediaType": OCI, "digest": subject, "size": 14 },
        })
        .to_string();
        let path = format!("/v2/{NAME}/manifests/{}", sha256(manifest.as_bytes()));
        let seen = api
            .ask(Method::PUT, &path, &[("content-type", OCI)], manifest)
            .await;
        assert_eq!(
            (seen.status.as_u16(), seen.header("oci-subject")),
            (201, subject.to_string().as_str())
        );
    }
    let path = format!("/v2/{NAME}/referrers/{subject}");
    let all = api.get(&path).await;
    assert_eq!(
        all.header("content-type"),
        "application/vnd.oci.image.index.v1+json"
    );
    assert_eq!(all.json()["manifests"].as_array().unwrap().len(), 3);
    assert!(all.json()["manifests"][0]["annotations"]["index"].is_string());
    let filtered = api.get(&format!("{path}?artifactType=application/a&n=1")).await;
    assert_eq!(filtered.header("oci-filters-applied"), "artifactType");
    assert_eq!(filtered.json()["manifests"][0]["artifactType"], "application/a");
    let link = filtered.header("link");
    let next = link.trim_start_matches('<').split('>').next().unwrap();
    let second = api.get(next).await;
    assert_eq!(second.json()["manifests"].as_array().unwrap().len(), 1, "{next}");
    assert_eq!(second.header("link"), "");
    for path in [
        format!("/v2/{NAME}/referrers/{}", sha256(b"x")),
        format!("/v2/no/repo/referrers/{subject}"),
    ] {
        let none = api.get(&path).await;
        assert_eq!(
            (
                none.status.as_u16(),
                none.json()["manifests"].as_array().unwrap().len()
            ),
            (200, 0)
        );
    }
}

#[tokio::test]
async fn a_manifest_needs_what_it_names_unless_sparse_ones_are_wanted() {
    let manifest = image(&sha256(b"{}"), &sha256(b"layer"), "");
    let path = format!("/v2/{NAME}/manifests/v1");
    let api = Api::open();
    let refused = api
        .ask(Method::PUT, &path, &[("content-type", OCI)], manifest.clone())
        .await;
    assert_eq!(
        (refused.status.as_u16(), refused.code().as_str()),
        (404, "MANIFEST_BLOB_UNKNOWN")
    );
    assert_eq!(
        refused.json()["errors"][0]["detail"]["digests"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    let config: serde_json::Value = serde_json::json!({ "FEATURE_SPARSE_INDEX": true });
    let options = quay_core::config::Config::from_map(config.as_object().unwrap())
        .unwrap()
        .registry;
    let sparse = Api::with(options);
    let accepted = sparse
        .ask(Method::PUT, &path, &[("content-type", OCI)], manifest)
        .await;
    assert_eq!(accepted.status, 201);
}

#[tokio::test]
async fn another_repository_s_blob_is_neither_seen_nor_taken_by_naming_it() {
    let api = Api::open();
    let secret = api.push_blob("tenant/one", b"secret").await;
    api.push_image("tenant/two", "v1", "").await;
    assert_eq!(
        api.get(&format!("/v2/tenant/two/blobs/{secret}")).await.status,
        404
    );
    let thief = image(&sha256(b"{}"), &secret, "");
    let path = "/v2/tenant/two/manifests/thief";
    let seen = api.ask(Method::PUT, path, &[("content-type", OCI)], thief).await;
    assert_eq!(seen.status, 404);
    // Mounting is the way, for whoever may pull the source.
    let mount = format!("/v2/tenant/two/blobs/uploads/?mount={secret}&from=tenant/one");
    assert_eq!(api.ask(Method::POST, &mount, &[], "").await.status, 201);
    assert_eq!(
        api.get(&format!("/v2/tenant/two/blobs/{secret}")).await.body,
        "secret"
    );
    let none = format!(
        "/v2/tenant/two/blobs/uploads/?mount={}&from=tenant/one",
        sha256(b"none")
    );
    assert_eq!(api.ask(Method::POST, &none, &[], "").await.status, 202);
}

#[tokio::test]
async fn limits_of_the_configuration_are_kept() {
    let config = serde_json::json!({ "MAXIMUM_LAYER_SIZE": "1M", "REGISTRY_STATE": "normal" });
    let options: Options = quay_core::config::Config::from_map(config.as_object().unwrap())
        .unwrap()
        .registry;
    let api = Api::with(options);
    let content = vec![0_u8; (1 << 20) + 1];
    let path = format!("/v2/{NAME}/blobs/uploads/?digest={}", sha256(&content));
    let seen = api.ask(Method::POST, &path, &[], content.clone()).await;
    assert_eq!(
        (seen.status.as_u16(), seen.code().as_str()),
        (413, "SIZE_INVALID")
    );
    // Without an announced length it is noticed on the way.
    let upload = api.begin(NAME).await;
    let request = http::Request::builder()
        .method(Method::PATCH)
        .uri(&upload)
        .body(http_body_util::Full::new(content.into()))
        .unwrap();
    let seen = api.send(request).await;
    assert_eq!(
        (seen.status.as_u16(), seen.code().as_str()),
        (413, "SIZE_INVALID")
    );
    assert_eq!(api.get(&upload).await.status, 404, "what is too large is dropped");
    let read_only = serde_json::json!({ "REGISTRY_STATE": "readonly" });
    let options = quay_core::config::Config::from_map(read_only.as_object().unwrap())
        .unwrap()
        .registry;
    let seen = Api::with(options)
        .ask(Method::POST, &format!("/v2/{NAME}/blobs/uploads/"), &[], "")
        .await;
    assert_eq!((seen.status.as_u16(), seen.code().as_str()), (405, "DENIED"));
}

#[tokio::test]
async fn every_route_asks_who_is_calling() {
    let users = StaticUsers::new("registry").with_user("alice", "secret").unwrap();
    let api = Api::closed(Settings::default().with_authenticators(vec![Arc::new(users)]));
    let right = [("authorization", "Basic YWxpY2U6c2VjcmV0")];
    let wrong = [("authorization", "Basic YWxpY2U6d3Jvbmc=")];
    let bearer = [("authorization", "Bearer abc")];
    let digest = sha256(b"x");
    // Every route with every method that it answers.
    let routes: Vec<(&str, String)> = vec![
        ("GET, HEAD", "/v2/".into()),
        ("GET, HEAD", "/v2/_catalog".into()),
        ("GET, HEAD", format!("/v2/{NAME}/tags/list")),
        ("GET, HEAD", format!("/v2/{NAME}/referrers/{digest}")),
        ("GET, HEAD, PUT, DELETE", format!("/v2/{NAME}/manifests/v1")),
        ("GET, HEAD, DELETE", format!("/v2/{NAME}/blobs/{digest}")),
        ("POST", format!("/v2/{NAME}/blobs/uploads/")),
        (
            "GET, HEAD, PATCH, PUT, DELETE",
            format!("/v2/{NAME}/blobs/uploads/id?digest={digest}"),
        ),
    ];
    for (methods, path) in routes {
        let refused = api
            .ask(Method::from_bytes(b"BREW").unwrap(), &path, &right, "")
            .await;
        assert_eq!(
            (refused.status.as_u16(), refused.header("allow")),
            (405, methods),
            "{path}"
        );
        for method in methods.split(", ") {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let manifest = image(&digest, &digest, "");
            for credentials in [&[][..], &wrong, &bearer] {
                let seen = api
                    .ask(method.clone(), &path, credentials, manifest.clone())
                    .await;
                assert_eq!(seen.status, 401, "{method} {path} {credentials:?}");
                assert!(
                    seen.header("www-authenticate").starts_with("Basic realm="),
                    "{method} {path}"
                );
                assert_eq!(seen.header("docker-distribution-api-version"), "registry/2.0");
            }
            let seen = api.ask(method.clone(), &path, &right, manifest).await;
            assert_ne!(seen.status, 401, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn an_upload_belongs_to_whoever_began_it() {
    let users = StaticUsers::new("registry")
        .with_user("alice", "secret")
        .and_then(|users| users.with_user("bob", "secret"))
        .unwrap();
    let api = Api::closed(Settings::default().with_authenticators(vec![Arc::new(users)]));
    let alice = [("authorization", "Basic YWxpY2U6c2VjcmV0")];
    let bob = [("authorization", "Basic Ym9iOnNlY3JldA==")];
    let begun = api
        .ask(Method::POST, &format!("/v2/{NAME}/blobs/uploads/"), &alice, "")
        .await;
    let upload = begun.header("location");
    for method in [Method::GET, Method::PATCH, Method::DELETE] {
        let seen = api.ask(method.clone(), upload, &bob, "x").await;
        assert_eq!(
            (seen.status.as_u16(), seen.code().as_str()),
            (404, "BLOB_UPLOAD_UNKNOWN"),
            "{method}"
        );
    }
    assert_eq!(api.ask(Method::DELETE, upload, &alice, "").await.status, 204);
}
