use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn digest_text(seed: u8) -> String {
    Digest::of(Algorithm::Sha256, &[seed]).to_string()
}

fn descriptor_of(seed: u8, media_type: &str) -> Value {
    json!({ "mediaType": media_type, "digest": digest_text(seed), "size": 1 })
}

fn parse_as(content_type: Option<&str>, document: &Value) -> Result<Manifest, Error> {
    let bytes = Bytes::from(document.to_string());
    Manifest::parse(
        content_type.and_then(MediaType::parse).as_ref(),
        &bytes,
        &Limits::default(),
    )
}

fn image() -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_MANIFEST,
        "config": descriptor_of(1, MediaType::OCI_CONFIG),
        "layers": [descriptor_of(2, "application/vnd.oci.image.layer.v1.tar"), descriptor_of(2, "application/vnd.oci.image.layer.v1.tar")],
    })
}

fn kinds(manifest: &Manifest) -> Vec<(EdgeKind, bool)> {
    manifest
        .names
        .iter()
        .map(|named| (named.kind, named.required))
        .collect()
}

#[test]
fn an_image_names_its_config_and_each_layer_once() {
    let manifest = parse_as(Some(MediaType::OCI_MANIFEST), &image()).unwrap();
    assert_eq!(
        kinds(&manifest),
        [(EdgeKind::Config, true), (EdgeKind::Layer, true)]
    );
    assert_eq!(manifest.artifact_type.as_deref(), Some(MediaType::OCI_CONFIG));
}

#[test]
fn an_artifact_has_its_own_type_and_a_subject_that_may_be_missing() {
    let mut document = image();
    document["artifactType"] = json!("application/example");
    document["subject"] = descriptor_of(9, MediaType::OCI_MANIFEST);
    document["annotations"] = json!({ "k": "v" });
    let manifest = parse_as(Some(MediaType::OCI_MANIFEST), &document).unwrap();
    assert_eq!(manifest.artifact_type.as_deref(), Some("application/example"));
    assert_eq!(manifest.subject.unwrap().to_string(), digest_text(9));
    assert_eq!(manifest.annotations.as_deref(), Some(r#"{"k":"v"}"#));
    assert_eq!(kinds(&manifest).last(), Some(&(EdgeKind::Subject, false)));
}

#[test]
fn layers_that_lie_elsewhere_need_not_be_here() {
    let mut document = image();
    document["layers"][0]["urls"] = json!(["https://example.com/layer"]);
    let manifest = parse_as(Some(MediaType::OCI_MANIFEST), &document).unwrap();
    assert_eq!(kinds(&manifest)[1], (EdgeKind::Layer, false));
}

#[test]
fn an_index_names_manifests_and_in_old_build_caches_blobs() {
    let document = json!({
        "schemaVersion": 2,
        "manifests": [descriptor_of(1, MediaType::OCI_MANIFEST), descriptor_of(2, "application/vnd.oci.image.layer.v1.tar+gzip")],
    });
    let manifest = parse_as(Some(MediaType::OCI_INDEX), &document).unwrap();
    assert_eq!(
        kinds(&manifest),
        [(EdgeKind::Child, true), (EdgeKind::Layer, true)]
    );
}

fn schema1() -> Value {
    json!({
        "schemaVersion": 1, "name": "org/app", "tag": "v1", "architecture": "amd64",
        "fsLayers": [{ "blobSum": digest_text(1) }], "history": [{ "v1Compatibility": "{}" }],
    })
}

#[test]
fn signed_schema_1_is_digested_without_its_signatures() {
    let payload = serde_json::to_string_pretty(&schema1()).unwrap();
    let head = payload.strip_suffix("\n}").unwrap();
    let protected = json!({ "formatLength": head.len(), "formatTail": URL_SAFE_NO_PAD.encode("\n}") });
    let signed = format!(
        "{head},\n \"signatures\": [{{\"header\":{{}},\"signature\":\"AA\",\"protected\":\"{}\"}}]\n}}",
        URL_SAFE_NO_PAD.encode(protected.to_string())
    );
    let bytes = Bytes::from(signed);
    for content_type in [Some(MediaType::DOCKER_SCHEMA1_SIGNED), None] {
        let manifest = Manifest::parse(
            content_type.and_then(MediaType::parse).as_ref(),
            &bytes,
            &Limits::default(),
        )
        .unwrap();
        assert_eq!(
            manifest.digest(Algorithm::Sha256),
            Digest::of(Algorithm::Sha256, payload.as_bytes())
        );
        assert_eq!(manifest.schema1.clone().unwrap().tag, "v1");
        assert_eq!(manifest.names.len(), 1);
    }
    let unsigned = parse_as(Some(MediaType::DOCKER_SCHEMA1_SIGNED), &schema1());
    assert!(unsigned.unwrap_err().to_string().contains("signatures"));
    assert_eq!(
        parse_as(Some(MediaType::DOCKER_SCHEMA1), &schema1())
            .unwrap()
            .kind,
        ManifestKind::Schema1
    );
}

#[test]
fn what_contradicts_itself_is_refused() {
    let both = {
        let mut document = image();
        document["manifests"] = json!([]);
        document
    };
    let index = json!({ "schemaVersion": 2, "manifests": [] });
    for (content_type, document, reason) in [
        (
            Some(MediaType::OCI_INDEX),
            image(),
            "contradicts the manifest's mediaType",
        ),
        (
            Some(MediaType::DOCKER_MANIFEST),
            image(),
            "contradicts the manifest's mediaType",
        ),
        (Some(MediaType::OCI_MANIFEST), both, "more than one kind"),
        (
            Some(MediaType::OCI_MANIFEST),
            index,
            "contradicts the manifest's content",
        ),
        (None, json!({ "schemaVersion": 2 }), "what kind"),
        (None, json!([]), "not a JSON object"),
        (
            Some(MediaType::OCI_MANIFEST),
            json!({ "schemaVersion": 2, "config": {}, "layers": [] }),
            "size",
        ),
        (
            Some(MediaType::OCI_MANIFEST),
            json!({ "schemaVersion": 3, "config": {}, "layers": [] }),
            "schemaVersion",
        ),
    ] {
        let error = parse_as(content_type, &document).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ManifestInvalid);
        assert!(error.to_string().contains(reason), "{error}");
    }
    let error = parse_as(Some("text/plain"), &image()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MediaTypeUnsupported);
}

#[test]
fn keys_that_could_be_taken_for_others_are_refused() {
    for (key, value) in [
        ("Layers", json!([])),
        ("MediaType", json!(MediaType::OCI_INDEX)),
        ("SUBJECT", json!(null)),
    ] {
        let mut document = image();
        document[key] = value;
        let error = parse_as(Some(MediaType::OCI_MANIFEST), &document).unwrap_err();
        assert!(error.to_string().contains("could be taken for"), "{key}: {error}");
    }
    let mut document = image();
    document["config"]["Digest"] = json!("sha256:x");
    assert!(parse_as(Some(MediaType::OCI_MANIFEST), &document).is_err());
    // Annotations are the pusher's, and so is what nobody knows.
    let mut document = image();
    document["annotations"] = json!({ "Layers": "a", "layers": "b" });
    document["com.example"] = json!({ "Digest": 1 });
    assert!(parse_as(Some(MediaType::OCI_MANIFEST), &document).is_ok());
}

#[test]
fn a_signed_manifest_says_what_its_signatures_cover() {
    let covered = json!({
        "schemaVersion": 1, "name": "org/app", "tag": "v1", "history": [{ "v1Compatibility": "{}" }],
        "fsLayers": [{ "blobSum": Digest::of(Algorithm::Sha256, b"layer") }],
    });
    let sign = |outer: &Value| {
        let text = outer.to_string();
        let payload = covered.to_string();
        let protected =
            json!({ "formatLength": 0, "formatTail": URL_SAFE_NO_PAD.encode(payload.as_bytes()) })
                .to_string();
        let signature =
            json!([{ "protected": URL_SAFE_NO_PAD.encode(protected.as_bytes()), "signature": "x" }]);
        let mut document: Value = serde_json::from_str(&text).unwrap();
        document["signatures"] = signature;
        parse_as(Some(MediaType::DOCKER_SCHEMA1_SIGNED), &document)
    };
    assert_eq!(
        sign(&covered).unwrap().digest(Algorithm::Sha256),
        Digest::of(Algorithm::Sha256, covered.to_string().as_bytes())
    );
    let mut other = covered.clone();
    other["fsLayers"] = json!([{ "blobSum": Digest::of(Algorithm::Sha256, b"hidden") }]);
    let mut more = covered.clone();
    more["architecture"] = json!("amd64");
    for outer in [other, more] {
        let error = sign(&outer).unwrap_err();
        assert!(error.to_string().contains("signatures cover"), "{error}");
    }
    let mut two = covered.clone();
    two["schemaVersion"] = json!(2);
    assert!(parse_as(Some(MediaType::DOCKER_SCHEMA1), &two).is_err());
}

#[test]
fn bombs_are_refused() {
    let limits = Limits::default();
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(40), "]".repeat(40));
    let wide = format!("{{\"a\":[{}1]}}", "1,".repeat(limits.values));
    let layers = vec![descriptor_of(1, "a/b").to_string(); limits.descriptors + 1].join(",");
    let many = format!(
        "{{\"schemaVersion\":2,\"config\":{},\"layers\":[{layers}]}}",
        descriptor_of(1, "a/b")
    );
    let twice = r#"{"schemaVersion":2,"config":{"size":1,"size":2},"layers":[]}"#.to_owned();
    for (text, reason) in [
        (deep, "deeply"),
        (wide, "too many"),
        (many, "more than"),
        (twice, "occurs twice"),
    ] {
        let error = Manifest::parse(None, &Bytes::from(text), &limits).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ManifestInvalid, "{error}");
        assert!(error.to_string().contains(reason), "{error}");
    }
    let large = Bytes::from(vec![b' '; limits.bytes + 1]);
    assert_eq!(
        Manifest::parse(None, &large, &limits).unwrap_err().kind(),
        ErrorKind::ManifestTooLarge
    );
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = Manifest::parse(None, &Bytes::from(bytes), &Limits::default());
    }

    #[test]
    fn no_json_makes_it_panic(keys in proptest::collection::vec(("schemaVersion|config|layers|manifests|subject|annotations|fsLayers|history|signatures|mediaType", "\\{\\}|\\[\\]|\\[1\\]|2|null|\"\"|\"a/b\"|\\{\"digest\":\"sha256:1\",\"size\":1\\}"), 0..6)) {
        let text = format!("{{{}}}", keys.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect::<Vec<_>>().join(","));
        let _ = Manifest::parse(None, &Bytes::from(text), &Limits::default());
    }
}
