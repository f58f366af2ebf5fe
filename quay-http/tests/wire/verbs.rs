//! Images squashed into one layer, asked for as `curl` does.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::sync::Arc;

use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use quay_auth::StaticUsers;
use quay_core::auth::{AllowAll, AllowAuthenticated, Authorizer};
use quay_core::registry::{Chunk, ManifestPush, Options};
use quay_core::{Caller, Digest, MediaType, Principal, Reference, Registry, RepositoryName, Tag};
use quay_http::{Settings, VerbsService};
use serde_json::{Value, json};
use tar::{Archive, Builder, EntryType, Header};
use tower_service::Service as _;

use crate::support::{registry, sha256};

const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn archive(files: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(0);
        if let Some(target) = content.strip_prefix("=>") {
            header.set_entry_type(EntryType::Link);
            builder.append_link(&mut header, path, target).unwrap();
        } else {
            header.set_size(content.len() as u64);
            builder
                .append_data(&mut header, path, content.as_bytes())
                .unwrap();
        }
    }
    builder.into_inner().unwrap()
}

fn caller() -> Caller {
    Caller::new(Principal::User("pusher".into()))
}

async fn blob(registry: &Registry, content: &[u8]) -> Digest {
    let name = RepositoryName::from_path("org/app").unwrap();
    let chunk = Chunk::from_bytes(Bytes::copy_from_slice(content));
    let digest = sha256(content);
    registry
        .push_blob(&name, &digest, chunk, &caller())
        .await
        .unwrap();
    digest
}

async fn manifest(registry: &Registry, tag: &str, media_type: &str, document: &Value) -> Digest {
    let name = RepositoryName::from_path("org/app").unwrap();
    let reference = Reference::Tag(Tag::new(tag).unwrap());
    let push = ManifestPush::new(reference, document.to_string().into())
        .with_content_type(Some(MediaType::known(media_type)));
    registry
        .put_manifest(&name, push, &caller())
        .await
        .unwrap()
        .digest
}

/// Pushes an image of these layers, the lowest first.
async fn image(registry: &Registry, tag: &str, layers: &[Vec<u8>]) -> Digest {
    let config = json!({
        "architecture": "amd64", "os": "linux", "created": "2020-01-02T03:04:05Z",
        "config": { "Cmd": ["/hello"], "Env": ["A=b"], "Image": "sha256:abc", "ExposedPorts": { "80/tcp": {} } },
        "rootfs": { "type": "layers", "diff_ids": [] },
    })
    .to_string();
    let config_digest = blob(registry, config.as_bytes()).await;
    let mut named = Vec::new();
    for layer in layers {
        named.push(json!({ "mediaType": LAYER, "digest": blob(registry, layer).await, "size": layer.len() }));
    }
    let document = json!({
        "schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST,
        "config": { "mediaType": CONFIG, "digest": config_digest, "size": config.len() },
        "layers": named,
    });
    manifest(registry, tag, MediaType::OCI_MANIFEST, &document).await
}

struct Answered {
    status: StatusCode,
    content_type: String,
    /// `None` when it broke off.
    body: Option<Bytes>,
}

async fn ask(service: &VerbsService, method: &str, path: &str, headers: &[(&str, &str)]) -> Answered {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "quay.example");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Empty::<Bytes>::new()).unwrap();
    let (parts, body) = service.clone().call(request).await.unwrap().into_parts();
    let content_type = parts
        .headers
        .get("content-type")
        .map_or("", |value| value.to_str().unwrap());
    Answered {
        status: parts.status,
        content_type: content_type.to_owned(),
        body: body.collect().await.ok().map(http_body_util::Collected::to_bytes),
    }
}

fn open(authorizer: Arc<dyn Authorizer>) -> Registry {
    registry(Options::default(), authorizer)
}

/// The files of an archive, with what they hold.
fn files(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in Archive::new(archive).entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().to_str().unwrap().to_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        assert!(files.insert(path.clone(), content).is_none(), "{path}");
    }
    files
}

fn unpacked(body: &[u8]) -> Vec<u8> {
    let mut archive = Vec::new();
    GzDecoder::new(body).read_to_end(&mut archive).unwrap();
    archive
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_squashed_for_docker_load() {
    let registry = open(Arc::new(AllowAll));
    let lower = archive(&[("a", "1"), ("gone", "2"), ("kept", "=>gone")]);
    let upper = archive(&[("a", "new"), (".wh.gone", "")]);
    let zstd = zstd::encode_all(&archive(&[("z", "3")])[..], 1).unwrap();
    image(&registry, "v1", &[gzip(&lower), zstd, upper]).await;
    let service = VerbsService::new(registry.clone(), Settings::default());
    let seen = ask(&service, "GET", "/c1/squash/org/app/v1", &[]).await;
    assert_eq!(
        (seen.status.as_u16(), seen.content_type.as_str()),
        (200, "binary/octet-stream")
    );
    let found = files(&unpacked(&seen.body.unwrap()));
    let read = |path: &str| -> Value { serde_json::from_slice(&found[path]).unwrap() };
    let repositories = read("repositories");
    let id = repositories["quay.example/org/app"]["v1.squash"]
        .as_str()
        .unwrap();
    let says = read(&format!("{id}/json"));
    assert_eq!((&says["id"], &says["config"]["Image"]), (&json!(id), &json!(id)));
    assert_eq!(
        (&says["config"]["Cmd"], &says["architecture"]),
        (&json!(["/hello"]), &json!("amd64"))
    );
    assert!(says.get("parent").is_none());
    assert_eq!(found[&format!("{id}/VERSION")], b"1.0");
    let layer = &found[&format!("{id}/layer.tar")];
    let tree: Vec<(String, Vec<u8>)> = files(layer).into_iter().collect();
    assert_eq!(
        tree,
        [("a", "new"), ("kept", "2"), ("z", "3")]
            .map(|(path, content)| (path.to_owned(), content.as_bytes().to_vec()))
    );
    // What newer clients read.
    let list = &read("manifest.json")[0];
    assert_eq!(list["RepoTags"], json!(["quay.example/org/app:v1.squash"]));
    assert_eq!(list["Layers"], json!([format!("{id}/layer.tar")]));
    let name = list["Config"].as_str().unwrap();
    assert_eq!(
        sha256(&found[name]).to_string(),
        format!("sha256:{}", name.strip_suffix(".json").unwrap())
    );
    assert_eq!(read(name)["rootfs"]["diff_ids"], json!([sha256(layer)]));

    // Asked again, the same; asked for its head alone, nothing is made.
    let again = ask(&service, "GET", "/c1/squash/org/app/v1", &[]).await;
    assert_eq!(files(&unpacked(&again.body.unwrap())), found);
    let head = ask(&service, "HEAD", "/c1/squash/org/app/v1", &[]).await;
    assert_eq!((head.status.as_u16(), head.body.unwrap().len()), (200, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_stands_for_its_default_platform() {
    let registry = open(Arc::new(AllowAll));
    let child = image(&registry, "child", &[archive(&[("a", "1")])]).await;
    let list = |architecture: &str| {
        json!({
            "schemaVersion": 2, "mediaType": MediaType::OCI_INDEX,
            "manifests": [{
                "mediaType": MediaType::OCI_MANIFEST, "digest": child, "size": 1,
                "platform": { "os": "linux", "architecture": architecture },
            }],
        })
    };
    manifest(&registry, "list", MediaType::OCI_INDEX, &list("amd64")).await;
    manifest(&registry, "arm", MediaType::OCI_INDEX, &list("arm64")).await;
    let service = VerbsService::new(registry, Settings::default());
    assert_eq!(
        ask(&service, "GET", "/c1/squash/org/app/list", &[]).await.status,
        200
    );
    assert_eq!(
        ask(&service, "GET", "/c1/squash/org/app/arm", &[]).await.status,
        404
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_squashed_is_not_taken_for_whole() {
    let registry = open(Arc::new(AllowAll));
    let whole = gzip(&archive(&[("a", "content")]));
    let mut changed = whole.clone();
    let place = changed.len() - 6;
    changed[place] ^= 1;
    let cut = whole[..whole.len() - 12].to_vec();
    let dangling = archive(&[("a", "=>nothing")]);
    for (tag, layer) in [
        ("changed", changed),
        ("cut", cut),
        ("none", b"no archive".to_vec()),
        ("link", dangling),
    ] {
        image(&registry, tag, &[layer]).await;
        let service = VerbsService::new(registry.clone(), Settings::default()).with_aci(true);
        for path in [
            format!("/c1/squash/org/app/{tag}"),
            format!("/c1/aci/quay.example/org/app/{tag}/aci/linux/amd64/"),
        ] {
            let seen = ask(&service, "GET", &path, &[]).await;
            assert_eq!(seen.status, 200, "{path}");
            assert!(seen.body.is_none(), "{path} ends as if it were whole");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_gets_nothing() {
    let registry = open(Arc::new(AllowAuthenticated));
    image(&registry, "v1", &[archive(&[("a", "1")])]).await;
    let artifact = blob(&registry, b"{}").await;
    let helm = json!({
        "schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST, "layers": [],
        "config": { "mediaType": "application/vnd.cncf.helm.config.v1+json", "digest": artifact, "size": 2 },
    });
    manifest(&registry, "helm", MediaType::OCI_MANIFEST, &helm).await;
    let users = StaticUsers::new("test").with_user("alice", "secret").unwrap();
    let settings = Settings::default().with_authenticators(vec![Arc::new(users)]);
    let service = VerbsService::new(registry, settings);
    let alice = ("authorization", "Basic YWxpY2U6c2VjcmV0");
    let wrong = ("authorization", "Basic YWxpY2U6d3Jvbmc=");
    let torrent = ("accept", "application/x-bittorrent");
    for (method, path, headers, status) in [
        ("GET", "/c1/squash/org/app/v1", vec![alice], 200),
        ("GET", "/c1/squash/org/app/v1", vec![], 403),
        ("HEAD", "/c1/squash/org/app/v1", vec![], 403),
        ("GET", "/c1/squash/org/none/v1", vec![], 403),
        ("GET", "/c1/squash/org/app/v1", vec![wrong], 401),
        (
            "GET",
            "/c1/squash/org/app/v1",
            vec![("authorization", "Token sigv2=no")],
            401,
        ),
        (
            "GET",
            "/c1/squash/org/app/v1",
            vec![("authorization", "Token x")],
            401,
        ),
        ("GET", "/c1/squash/org/none/v1", vec![alice], 404),
        ("GET", "/c1/squash/org/app/none", vec![alice], 404),
        ("GET", "/c1/squash/org/app/.bad", vec![alice], 404),
        ("GET", "/c1/squash/Org/app/v1", vec![alice], 404),
        ("GET", "/c1/squash/org/app/helm", vec![alice], 404),
        ("GET", "/c1/squash/org/app/v1", vec![alice, torrent], 406),
        ("POST", "/c1/squash/org/app/v1", vec![alice], 405),
        ("GET", "/c1/torrent/org/app/v1", vec![alice], 404),
        (
            "GET",
            "/c1/aci/quay.example/org/app/v1/aci/linux/amd64/",
            vec![alice],
            404,
        ),
        ("GET", "/c1/_internal_ping", vec![], 200),
    ] {
        let seen = ask(&service, method, path, &headers).await;
        assert_eq!(seen.status, status, "{method} {path} {headers:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_container_image_holds_the_same_files() {
    let registry = open(Arc::new(AllowAll));
    let lower = archive(&[("a", "1"), ("gone", "2"), ("kept", "=>gone"), ("b", "=>a")]);
    image(&registry, "v1", &[gzip(&lower), archive(&[(".wh.gone", "")])]).await;
    let service = VerbsService::new(registry, Settings::default()).with_aci(true);
    let seen = ask(
        &service,
        "GET",
        "/c1/aci/quay.example/org/app/v1/aci/linux/amd64/",
        &[],
    )
    .await;
    assert_eq!(seen.status, 200);
    let content = unpacked(&seen.body.unwrap());
    let found = files(&content);
    let names: Vec<&str> = found.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        ["manifest", "rootfs/", "rootfs/a", "rootfs/b", "rootfs/kept"]
    );
    assert_eq!(found["rootfs/kept"], b"2");
    let manifest: Value = serde_json::from_slice(&found["manifest"]).unwrap();
    assert_eq!(manifest["name"], "quay.example/org/app");
    assert_eq!(manifest["app"]["exec"], json!(["/hello"]));
    assert_eq!(
        manifest["app"]["environment"],
        json!([{ "name": "A", "value": "b" }])
    );
    assert_eq!(manifest["app"]["ports"][0]["port"], 80);
    let mut archive = Archive::new(&content[..]);
    let linked = archive
        .entries()
        .unwrap()
        .map(Result::unwrap)
        .find(|entry| entry.path_bytes() == &b"rootfs/b"[..]);
    assert_eq!(&*linked.unwrap().link_name_bytes().unwrap(), b"rootfs/a");
}
