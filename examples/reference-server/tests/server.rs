//! The server as its operator knows it: command line, configuration, restarts, bad days.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;

use support::{OCI, Server, command, files, image, read_answer, sha256, until};
use tempfile::TempDir;

const NAME: &str = "org/app";

fn push_image(server: &Server, tag: &str, salt: &str) -> (u16, String) {
    let config = server.push_blob(NAME, b"{}");
    let layer = server.push_blob(NAME, b"layer");
    let manifest = image(&config, &layer, salt);
    let path = format!("/v2/{NAME}/manifests/{tag}");
    let answer = server.ask("PUT", &path, &[("content-type", OCI)], &manifest);
    (answer.status, sha256(&manifest))
}

#[test]
fn what_was_pushed_is_there_after_a_restart_and_after_a_kill() {
    let data = TempDir::new().unwrap();
    let server = Server::open(data.path());
    let (status, first) = push_image(&server, "v1", "one");
    assert_eq!(status, 201);
    assert!(server.stop().success(), "an orderly end is a success");
    let server = Server::open(data.path());
    assert_eq!(
        server
            .get(&format!("/v2/{NAME}/manifests/v1"))
            .header("docker-content-digest"),
        first
    );
    let (_, second) = push_image(&server, "v1", "two");
    server.kill();
    let server = Server::open(data.path());
    assert_eq!(
        server
            .get(&format!("/v2/{NAME}/manifests/v1"))
            .header("docker-content-digest"),
        second
    );
    let layer = server.get(&format!("/v2/{NAME}/blobs/{}", sha256(b"layer")));
    assert_eq!(layer.body, b"layer");
}

#[test]
fn without_open_nobody_gets_in() {
    let data = TempDir::new().unwrap();
    let server = Server::start(command(data.path(), &[]));
    for (method, path) in [
        ("GET", "/v2/"),
        ("POST", "/v2/a/b/blobs/uploads/"),
        ("GET", "/v2/a/b/tags/list"),
    ] {
        for headers in [&[][..], &[("authorization", "Basic YWRtaW46cGFzc3dvcmQ=")]] {
            let answer = server.ask(method, path, headers, b"");
            assert_eq!(answer.status, 401, "{method} {path}");
            let challenge = answer.header("www-authenticate");
            let realm = format!("Bearer realm=\"http://{}/v2/auth\"", server.address);
            assert!(challenge.starts_with(&realm), "{challenge}");
            assert!(answer.text().contains("\"UNAUTHORIZED\""));
        }
    }
    let catalog = server.get("/v2/_catalog");
    assert_eq!(
        (catalog.status, catalog.text().trim()),
        (200, r#"{"repositories":[]}"#)
    );
}

#[test]
fn the_command_line_and_the_configuration_say_what_is_wrong() {
    let data = TempDir::new().unwrap();
    let config = TempDir::new().unwrap();
    let run = |yaml: Option<&str>| {
        if let Some(yaml) = yaml {
            std::fs::write(config.path().join("config.yaml"), yaml).unwrap();
        }
        let arguments = ["--config", config.path().to_str().unwrap()];
        let output = command(data.path(), &arguments).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(run(None).contains("config.yaml"), "a missing file is named");
    assert!(run(Some("A: [")).contains("config.yaml"));
    assert!(
        run(Some("MAXIMUM_LAYER_SIZE: 20T"))
            .contains("MAXIMUM_LAYER_SIZE: must be a number followed by G or M")
    );
    assert!(run(Some("DB_URI: oracle://x/y")).contains("DB_URI: must begin with"));
    let s3 = "DISTRIBUTED_STORAGE_CONFIG: {s3: [S3Storage, {}]}\nDISTRIBUTED_STORAGE_PREFERENCE: [s3]";
    assert!(run(Some(s3)).contains("S3Storage"));
    let output = Command::new(env!("CARGO_BIN_EXE_reference-server"))
        .args(["serve", "--listen", "nonsense"])
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("--listen"));
}

#[tokio::test]
async fn a_database_of_quays_is_refused_and_left_alone() {
    use sqlx::{ConnectOptions as _, Connection as _, Executor as _};

    let data = TempDir::new().unwrap();
    let path = data.path().join("quay.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(&path)
        .create_if_missing(true);
    let mut connection = options.connect().await.unwrap();
    connection
        .execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        .await
        .unwrap();
    connection.close().await.unwrap();
    let before = std::fs::read(&path).unwrap();
    let output = command(data.path(), &["--open"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("belongs to Quay"),
        "{output:?}"
    );
    assert!(std::fs::read(&path).unwrap() == before, "the file has changed");
    let names: Vec<_> = std::fs::read_dir(data.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["quay.db"]);
}

#[test]
fn config_yaml_is_in_effect() {
    let data = TempDir::new().unwrap();
    let config = TempDir::new().unwrap();
    std::fs::write(
        config.path().join("config.yaml"),
        "FEATURE_LIBRARY_SUPPORT: false\n\
         NO_SUCH_KEY: 1\n\
         LDAP_URI: ldap://directory\n\
         DB_URI: sqlite:///rows/registry.db\n\
         DISTRIBUTED_STORAGE_CONFIG:\n  main: [LocalStorage, {storage_path: blobs/registry}]\n\
         DISTRIBUTED_STORAGE_PREFERENCE: [main]\n",
    )
    .unwrap();
    let log = data.path().join("log");
    let mut command = command(
        data.path(),
        &["--open", "--config", config.path().to_str().unwrap()],
    );
    command.stderr(std::fs::File::create(&log).unwrap());
    let server = Server::start(command);
    assert_eq!(
        server.get("/v2/busybox/tags/list").status,
        400,
        "a namespace is needed"
    );
    let digest = server.push_blob(NAME, b"content");
    let hex = digest.strip_prefix("sha256:").unwrap();
    let directory = data.path().join(format!("blobs/registry/sha256/{}", &hex[..2]));
    let object = std::fs::read_dir(directory).unwrap().next().unwrap().unwrap();
    assert!(object.file_name().to_str().unwrap().starts_with(hex));
    assert_eq!(std::fs::read(object.path()).unwrap(), b"content");
    assert!(data.path().join("rows/registry.db").is_file());
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("NO_SUCH_KEY is not a key"), "{log}");
    assert!(
        log.contains("LDAP_URI"),
        "known keys without effect are listed: {log}"
    );
}

#[test]
fn an_open_server_on_more_than_loopback_warns() {
    for (address, warns) in [("0.0.0.0:0", true), ("127.0.0.1:0", false)] {
        let data = TempDir::new().unwrap();
        let log = data.path().join("log");
        let mut command = Command::new(env!("CARGO_BIN_EXE_reference-server"));
        command
            .args(["serve", "--open", "--listen", address, "--data"])
            .arg(data.path())
            .stderr(std::fs::File::create(&log).unwrap());
        let server = Server::start(command);
        assert!(server.stop().success());
        let log = std::fs::read_to_string(log).unwrap();
        assert_eq!(log.contains("everybody who can reach"), warns, "{address}: {log}");
    }
}

#[test]
fn a_second_server_on_the_same_data_is_refused() {
    let data = TempDir::new().unwrap();
    let _server = Server::open(data.path());
    let output = command(data.path(), &["--open"]).output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("in use by another process"));
}

#[test]
fn an_upload_that_is_under_way_may_finish() {
    let data = TempDir::new().unwrap();
    let mut server = Server::open(data.path());
    let digest = sha256(b"hello world");
    let mut connection = TcpStream::connect(&server.address).unwrap();
    let head = format!(
        "POST /v2/{NAME}/blobs/uploads/?digest={digest} HTTP/1.1\r\nhost: x\r\n\
         content-length: 11\r\nexpect: 100-continue\r\n\r\n"
    );
    connection.write_all(head.as_bytes()).unwrap();
    // The server asks for the body once it has begun to take it in.
    let mut go_on = [0; 25];
    connection.read_exact(&mut go_on).unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    connection.write_all(b"hello").unwrap();
    server.terminate();
    until("the end of listening", || {
        TcpStream::connect(&server.address).is_err()
    });
    connection.write_all(b" world").unwrap();
    let answer = read_answer(&mut connection).unwrap();
    assert_eq!(answer.status, 201, "{answer:?}");
    assert!(server.child.wait().unwrap().success());
    let server = Server::open(data.path());
    assert_eq!(
        server.get(&format!("/v2/{NAME}/blobs/{digest}")).body,
        b"hello world"
    );
}

#[test]
fn an_upload_is_resumed_after_a_kill() {
    let data = TempDir::new().unwrap();
    let server = Server::open(data.path());
    let upload = server.begin(NAME);
    let first = vec![1_u8; 700_000];
    assert_eq!(
        server
            .ask("PATCH", &upload, &[("content-range", "0-699999")], &first)
            .status,
        202
    );
    server.kill();
    let server = Server::open(data.path());
    assert_eq!(server.get(&upload).header("range"), "0-699999");
    let whole = [&first[..], b"tail"].concat();
    let digest = sha256(&whole);
    let done = server.ask("PUT", &format!("{upload}?digest={digest}"), &[], b"tail");
    assert_eq!(done.status, 201, "{done:?}");
    assert_eq!(server.get(&format!("/v2/{NAME}/blobs/{digest}")).body, whole);
    assert_eq!(
        files(&data.path().join("storage/uploads")),
        [""; 0],
        "nothing is left of the upload"
    );
}

#[test]
fn what_a_broken_upload_leaves_is_removed_at_the_next_start() {
    let data = TempDir::new().unwrap();
    let server = Server::open(data.path());
    let kept = server.push_blob(NAME, b"kept");
    let uploads = data.path().join("storage/uploads");
    server.kill();
    // As a crash leaves them: bytes without a session, and an object whose blob was never recorded.
    std::fs::write(uploads.join("feed"), "half").unwrap();
    std::fs::write(uploads.join("beef"), "published").unwrap();
    let orphan = sha256(b"published");
    let hex = orphan.strip_prefix("sha256:").unwrap();
    let object = data.path().join(format!("storage/sha256/{}", &hex[..2]));
    std::fs::create_dir_all(&object).unwrap();
    let object = object.join(format!("{hex}-beef"));
    std::fs::hard_link(uploads.join("beef"), &object).unwrap();
    let server = Server::open(data.path());
    until("the sweep", || files(&uploads).is_empty() && !object.exists());
    assert_eq!(server.get(&format!("/v2/{NAME}/blobs/{kept}")).body, b"kept");
}

#[test]
fn two_clients_push_the_same_blob_and_race_for_the_same_tag() {
    let data = TempDir::new().unwrap();
    let server = Server::open(data.path());
    push_image(&server, "seed", "seed");
    let (config, layer) = (sha256(b"{}"), sha256(b"layer"));
    let content = vec![9_u8; 2_000_000];
    let blob = sha256(&content);
    let statuses: Vec<(u16, u16)> = std::thread::scope(|scope| {
        let racers: Vec<_> = (0..8)
            .map(|racer| {
                let (server, content, blob) = (&server, &content, &blob);
                let manifest = image(&config, &layer, &racer.to_string());
                scope.spawn(move || {
                    let path = format!("/v2/{NAME}/blobs/uploads/?digest={blob}");
                    let blob = server.ask("POST", &path, &[], content).status;
                    let headers = [("content-type", OCI), ("if-none-match", "*")];
                    let path = format!("/v2/{NAME}/manifests/latest");
                    (blob, server.ask("PUT", &path, &headers, &manifest).status)
                })
            })
            .collect();
        racers.into_iter().map(|racer| racer.join().unwrap()).collect()
    });
    assert!(statuses.iter().all(|(blob, _)| *blob == 201), "{statuses:?}");
    let won = statuses.iter().filter(|(_, tag)| *tag == 201).count();
    let lost = statuses.iter().filter(|(_, tag)| *tag == 412).count();
    assert_eq!((won, lost), (1, 7), "one wins, the others are told: {statuses:?}");
    assert_eq!(server.get(&format!("/v2/{NAME}/blobs/{blob}")).body, content);
}

#[test]
fn an_oversized_and_a_bombed_manifest_are_refused() {
    let data = TempDir::new().unwrap();
    let server = Server::open(data.path());
    push_image(&server, "v1", "");
    let path = format!("/v2/{NAME}/manifests/v2");
    let huge = vec![b' '; 5 << 20];
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
    let twice = String::from_utf8(image(&sha256(b"{}"), &sha256(b"layer"), ""))
        .unwrap()
        .replacen(
            "\"schemaVersion\":2",
            "\"schemaVersion\":2,\"schemaVersion\":2",
            1,
        );
    for (body, status) in [(huge, 413), (deep.into_bytes(), 400), (twice.into_bytes(), 400)] {
        let answer = server.ask("PUT", &path, &[("content-type", OCI)], &body);
        assert_eq!(answer.status, status, "{}", answer.text());
        assert!(answer.text().contains("MANIFEST_INVALID"));
    }
    let mut large = String::from_utf8(image(&sha256(b"{}"), &sha256(b"layer"), "")).unwrap();
    large.push_str(&" ".repeat((4 << 20) - large.len()));
    let answer = server.ask("PUT", &path, &[("content-type", OCI)], large.as_bytes());
    assert_eq!(answer.status, 201, "4 MiB are accepted: {}", answer.text());
}

/// Collects each second what nobody can bring back.
const COLLECTS: &str = "GARBAGE_COLLECTION_FREQUENCY: 1\nDEFAULT_TAG_EXPIRATION: 0s\n\
     PUSH_TEMP_TAG_EXPIRATION_SEC: 1\n";

#[test]
fn what_was_deleted_goes_and_what_is_left_stays() {
    let (data, config) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    std::fs::write(config.path().join("config.yaml"), COLLECTS).unwrap();
    let open = || {
        let config = config.path().to_str().unwrap();
        Server::start(command(data.path(), &["--open", "--config", config]))
    };
    let objects = || files(&data.path().join("storage/sha256")).len();
    let server = open();
    let shared = server.push_blob(NAME, b"shared");
    let push = |server: &Server, tag: &str| {
        let own = server.push_blob(NAME, tag.as_bytes());
        let manifest = image(&shared, &own, tag);
        let path = format!("/v2/{NAME}/manifests/{tag}");
        let answer = server.ask("PUT", &path, &[("content-type", OCI)], &manifest);
        assert_eq!(answer.status, 201, "{}", answer.text());
        own
    };
    let (kept, gone) = (push(&server, "kept"), push(&server, "gone"));
    assert_eq!(objects(), 3);
    let path = format!("/v2/{NAME}/manifests/gone");
    assert_eq!(server.ask("DELETE", &path, &[], b"").status, 202);
    // Before the collector comes, or while it is at work.
    server.kill();
    let server = open();
    until("the garbage is gone", || objects() == 2);
    let blob = |digest: &str| server.get(&format!("/v2/{NAME}/blobs/{digest}")).status;
    assert_eq!((blob(&kept), blob(&shared), blob(&gone)), (200, 200, 404));
    // The same content once more is there once more.
    assert_eq!(push(&server, "gone"), gone);
    assert_eq!((blob(&gone), objects()), (200, 3));
    // What no manifest comes for goes with its lease.
    let vain = server.push_blob(NAME, b"in vain");
    until("an unused upload is gone", || {
        blob(&vain) == 404 && objects() == 3
    });
    assert_eq!((blob(&kept), blob(&shared), blob(&gone)), (200, 200, 200));
}
