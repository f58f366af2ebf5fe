//! Old formats with the programs that people use: schema 1 by skopeo, and squashed images as it loads them.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use serde_json::{Value, json};
use support::api::{CONFIG, PASSWORD, initialize};
use support::programs::{run, with_image};
use support::{Answer, Server, command};
use tempfile::TempDir;

const SCHEMA1: &str = "application/vnd.docker.distribution.manifest.v1+json";
const SIGNED: &str = "application/vnd.docker.distribution.manifest.v1+prettyjws";

/// A server with the user `admin`, configured by some lines more.
fn server(data: &Path, config: &Path, more: &str) -> Server {
    fs::write(
        config.join("config.yaml"),
        format!("{CONFIG}FEATURE_MAILING: false\n{more}"),
    )
    .unwrap();
    let server = start(data, config);
    initialize(&server);
    server
}

fn start(data: &Path, config: &Path) -> Server {
    Server::start(command(data, &["--config", config.to_str().unwrap()]))
}

fn basic() -> String {
    use base64::Engine as _;

    let pair = base64::engine::general_purpose::STANDARD.encode(format!("admin:{PASSWORD}"));
    format!("Basic {pair}")
}

fn get(server: &Server, path: &str) -> Answer {
    server.ask("GET", path, &[("authorization", &basic())], b"")
}

fn credentials() -> String {
    format!("admin:{PASSWORD}")
}

/// The body of an answer that came in chunks; `None` when it broke off.
fn unchunked(body: &[u8]) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    let mut rest = body;
    loop {
        let end = rest.windows(2).position(|pair| pair == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).ok()?, 16).ok()?;
        rest = &rest[end + 2..];
        if size == 0 {
            return Some(content);
        }
        content.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size + 2..)?;
    }
}

#[test]
fn skopeo_pushes_and_pulls_schema_1() {
    let work = with_image();
    let data = TempDir::new().unwrap();
    let server = Server::open(data.path());
    let there = format!("docker://{}/org/old:v1", server.address);
    let copy = ["--insecure-policy", "copy"];
    let push = [
        &copy[..],
        &[
            "--format",
            "v2s1",
            "--dest-tls-verify=false",
            "oci:image:v1",
            &there,
        ],
    ]
    .concat();
    run(work.path(), "skopeo", &push);
    let stored = server.get("/v2/org/old/manifests/v1");
    assert_eq!(
        (stored.status, stored.header("content-type")),
        (200, SIGNED),
        "{}",
        stored.text()
    );
    let seen = run(work.path(), "skopeo", &["inspect", "--tls-verify=false", &there]);
    let seen: Value = serde_json::from_slice(&seen.stdout).unwrap();
    assert_eq!(seen["Digest"], stored.header("docker-content-digest"));
    let pull = [&copy[..], &["--src-tls-verify=false", &there, "oci:back:v1"]].concat();
    run(work.path(), "skopeo", &pull);
    run(work.path(), "umoci", &["unpack", "--image", "back:v1", "seen"]);
    assert_eq!(
        fs::read(work.path().join("seen/rootfs/hello.txt")).unwrap().len(),
        3_000_000
    );

    // What is made from a newer manifest is pulled by skopeo as well, once it is stored.
    let newer = format!("docker://{}/org/new:v1", server.address);
    let push = [
        &copy[..],
        &[
            "--format",
            "v2s2",
            "--dest-tls-verify=false",
            "oci:image:v1",
            &newer,
        ],
    ]
    .concat();
    run(work.path(), "skopeo", &push);
    for accept in [SCHEMA1, SIGNED] {
        let made = server.ask("GET", "/v2/org/new/manifests/v1", &[("accept", accept)], b"");
        assert_eq!((made.status, made.header("content-type")), (200, accept));
        let headers = [("content-type", accept)];
        let pushed = server.ask("PUT", "/v2/org/new/manifests/v1", &headers, &made.body);
        assert_eq!(
            (pushed.status, pushed.header("docker-content-digest")),
            (201, made.header("docker-content-digest"))
        );
        let name = if accept == SCHEMA1 { "unsigned" } else { "signed" };
        let back = format!("oci:{name}:v1");
        run(
            work.path(),
            "skopeo",
            &[&copy[..], &["--src-tls-verify=false", &newer, &back]].concat(),
        );
        run(
            work.path(),
            "umoci",
            &[
                "unpack",
                "--image",
                &format!("{name}:v1"),
                &format!("seen-{name}"),
            ],
        );
        let hello = work.path().join(format!("seen-{name}/rootfs/hello.txt"));
        assert_eq!(fs::read(hello).unwrap().len(), 3_000_000);
        run(work.path(), "skopeo", &push);
    }
}

/// What lies below a directory: directories, links by where they lead, files by their content.
fn tree(directory: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut left = vec![directory.to_owned()];
    while let Some(next) = left.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(directory).unwrap().to_str().unwrap().to_owned();
            let kind = fs::symlink_metadata(&path).unwrap().file_type();
            let is = if kind.is_dir() {
                left.push(path);
                "/".to_owned()
            } else if kind.is_symlink() {
                format!("->{}", fs::read_link(&path).unwrap().display())
            } else {
                fs::read_to_string(&path).unwrap()
            };
            found.insert(name, is);
        }
    }
    found
}

/// An image of three layers, made by umoci: what the last one leaves is in `bundle/rootfs`.
fn layered(work: &Path) {
    let umoci = |arguments: &[&str]| run(work, "umoci", arguments);
    umoci(&["init", "--layout", "image"]);
    umoci(&["new", "--image", "image:v1"]);
    umoci(&["config", "--image", "image:v1", "--config.cmd", "/hello"]);
    umoci(&["unpack", "--image", "image:v1", "bundle"]);
    let root = work.join("bundle/rootfs");
    let write = |path: &str, content: &str| {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    };
    write("kept", "kept");
    write("changed", "old");
    write("removed", "removed");
    write("directory/old", "old");
    write("directory/below/older", "older");
    write("becomes-file/inside", "inside");
    write("original", "linked");
    fs::hard_link(root.join("original"), root.join("second-name")).unwrap();
    fs::hard_link(root.join("original"), root.join("third-name")).unwrap();
    std::os::unix::fs::symlink("kept", root.join("symbolic")).unwrap();
    umoci(&["repack", "--refresh-bundle", "--image", "image:v1", "bundle"]);
    write("changed", "new");
    fs::remove_file(root.join("removed")).unwrap();
    fs::remove_dir_all(root.join("directory")).unwrap();
    write("directory/new", "new");
    fs::remove_dir_all(root.join("becomes-file")).unwrap();
    write("becomes-file", "a file");
    umoci(&["repack", "--refresh-bundle", "--image", "image:v1", "bundle"]);
    // The name that the others were made from goes: their content stays.
    fs::remove_file(root.join("original")).unwrap();
    write("removed-and-back", "back");
    umoci(&["repack", "--refresh-bundle", "--image", "image:v1", "bundle"]);
}

#[test]
fn skopeo_loads_a_squashed_image() {
    let work = TempDir::new().unwrap();
    let (data, config) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let server = server(data.path(), config.path(), "FEATURE_ACI_CONVERSION: true\n");
    layered(work.path());
    let there = format!("docker://{}/admin/app:v1", server.address);
    let login = credentials();
    let copy = ["--insecure-policy", "copy"];
    for format in ["oci", "v2s2", "v2s1"] {
        let push = [
            "--format",
            format,
            "--dest-tls-verify=false",
            "--dest-creds",
            &login,
            "oci:image:v1",
            &there,
        ];
        run(work.path(), "skopeo", &[&copy[..], &push].concat());
        let answer = get(&server, "/c1/squash/admin/app/v1");
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (200, "binary/octet-stream")
        );
        let archive = format!("{format}.tar");
        let compressed = work.path().join(format!("{archive}.gz"));
        fs::write(&compressed, unchunked(&answer.body).unwrap()).unwrap();
        // Debian's skopeo misreads every compressed archive, also those that gzip has made.
        run(work.path(), "gzip", &["-d", compressed.to_str().unwrap()]);
        let (from, back) = (
            format!("docker-archive:{archive}"),
            format!("oci:back-{format}:v1"),
        );
        run(work.path(), "skopeo", &[&copy[..], &[&from, &back]].concat());
        let seen = run(work.path(), "skopeo", &["inspect", "--config", &back]);
        let seen: Value = serde_json::from_slice(&seen.stdout).unwrap();
        assert_eq!(seen["config"]["Cmd"], json!(["/hello"]), "{format}");
        assert_eq!(
            seen["rootfs"]["diff_ids"].as_array().unwrap().len(),
            1,
            "{format}"
        );
        let bundle = format!("seen-{format}");
        run(
            work.path(),
            "umoci",
            &["unpack", "--image", &format!("back-{format}:v1"), &bundle],
        );
        let root = work.path().join(bundle).join("rootfs");
        assert_eq!(tree(&root), tree(&work.path().join("bundle/rootfs")), "{format}");
        let inode = |name: &str| fs::metadata(root.join(name)).unwrap().ino();
        assert_eq!(inode("second-name"), inode("third-name"), "{format}");
    }
    let aci = get(
        &server,
        &format!("/c1/aci/{}/admin/app/v1/aci/linux/amd64/", server.address),
    );
    assert_eq!(aci.status, 200);
    fs::write(work.path().join("image.aci"), unchunked(&aci.body).unwrap()).unwrap();
    fs::create_dir(work.path().join("aci")).unwrap();
    run(work.path(), "tar", &["-xzf", "image.aci", "-C", "aci"]);
    assert_eq!(
        tree(&work.path().join("aci/rootfs")),
        tree(&work.path().join("bundle/rootfs"))
    );
    let nobody = server.get("/c1/squash/admin/app/v1");
    assert_eq!(nobody.status, 403, "{}", nobody.text());
    assert_eq!(get(&server, "/c1/squash/admin/app/none").status, 404);
}

#[test]
fn a_broken_layer_breaks_the_answer_off() {
    let (data, config) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let server = server(data.path(), config.path(), "");
    let work = with_image();
    let there = format!("docker://{}/admin/app:v1", server.address);
    let login = credentials();
    let push = [
        "--insecure-policy",
        "copy",
        "--dest-tls-verify=false",
        "--dest-creds",
        &login,
        "oci:image:v1",
        &there,
    ];
    run(work.path(), "skopeo", &push);
    assert!(unchunked(&get(&server, "/c1/squash/admin/app/v1").body).is_some());
    // The layer is the largest of the blobs on disk; its end holds its checksum. A server keeps files open.
    server.stop();
    let storage = data.path().join("storage");
    let largest = support::files(&storage)
        .into_iter()
        .max_by_key(|file| fs::metadata(storage.join(file)).unwrap().len())
        .unwrap();
    let path = storage.join(largest);
    let mut content = fs::read(&path).unwrap();
    let place = content.len() - 6;
    content[place] ^= 1;
    fs::remove_file(&path).unwrap();
    fs::write(&path, content).unwrap();
    let server = start(data.path(), config.path());
    let answer = get(&server, "/c1/squash/admin/app/v1");
    assert_eq!(answer.status, 200);
    assert!(unchunked(&answer.body).is_none(), "a part is taken for the whole");
    assert_eq!(get(&server, "/health/instance").status, 200, "the server goes on");
}

#[test]
fn pushes_by_the_first_protocol_are_restricted_where_that_is_wanted() {
    let (data, config) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let restricted = "FEATURE_RESTRICTED_V1_PUSH: true\nV1_PUSH_WHITELIST: [somebody]\n";
    let server = server(data.path(), config.path(), restricted);
    let authorization = basic();
    let headers = [("authorization", authorization.as_str())];
    let begin = |path: &str| server.ask("PUT", path, &headers, b"").status;
    assert_eq!(begin("/v1/repositories/admin/app/"), 405);
    assert_eq!(begin("/v1/repositories/somebody/app/"), 403);
    let answer = server.get("/v1/_ping");
    assert_eq!((answer.status, answer.text().as_str()), (200, "true"));
}
