//! A server with accounts, as its operator starts it and its first users meet it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::Value;
use support::{OCI, Server, command, image, sha256};
use tempfile::TempDir;

const CONFIG: &str =
    "FEATURE_USER_INITIALIZE: true\nSUPER_USERS: [admin]\nBROWSER_API_CALLS_XHR_ONLY: false\n";

/// A server's directories.
struct Place {
    data: TempDir,
    config: TempDir,
}

impl Place {
    fn new(config: &str) -> Self {
        let place = Self {
            data: TempDir::new().unwrap(),
            config: TempDir::new().unwrap(),
        };
        place.configure(config);
        place
    }

    fn configure(&self, config: &str) {
        std::fs::write(self.config.path().join("config.yaml"), config).unwrap();
    }

    fn command(&self) -> std::process::Command {
        let config = self.config.path().to_str().unwrap();
        command(self.data.path(), &["--config", config])
    }

    fn start(&self) -> Server {
        Server::start(self.command())
    }

    /// Starts a server that is to fail: its exit status and what it says.
    fn refused(&self) -> (Option<i32>, String) {
        let output = self.command().output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.stdout.is_empty(), "{text}");
        (output.status.code(), text)
    }

    fn kept(&self, file: &str) -> String {
        read(&self.data.path().join(file))
    }
}

fn read(path: &Path) -> String {
    let mode = std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600, "{}", path.display());
    std::fs::read_to_string(path).unwrap()
}

fn json(answer: &support::Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or_default()
}

#[test]
fn each_path_has_its_service() {
    let place = Place::new(CONFIG);
    let server = place.start();
    let ping = server.get("/v2/");
    assert_eq!(ping.status, 401);
    let challenge = ping.header("www-authenticate").to_owned();
    let realm = format!(
        r#"Bearer realm="http://{0}/v2/auth",service="{0}""#,
        server.address
    );
    assert!(challenge.starts_with(&realm), "{challenge}");
    assert_eq!(server.get("/api/v1/discovery").status, 200);
    let forged = server.ask("POST", "/api/v1/organization/", &[], b"");
    assert_eq!(forged.status, 403, "{forged:?}");
    assert!(server.get("/").text().contains("window.__token"));
    assert_eq!(server.get("/nothing").status, 404);
    assert_eq!(
        server.get("/nothing").header("content-type"),
        "text/html; charset=utf-8"
    );
    // Switched on by the configuration.
    let without = server.ask("POST", "/api/v1/user/initialize", &[], b"");
    assert_ne!(without.status, 404);
}

#[test]
fn what_is_kept_is_for_nobody_else() {
    let place = Place::new("");
    let server = place.start();
    for file in ["quay.db", "quay.db-wal", "secret-key"] {
        let mode = std::fs::metadata(place.data.path().join(file))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o077, 0, "{file}: {mode:o}");
    }
    assert!(server.stop().success());
}

#[test]
fn an_open_server_has_no_accounts() {
    let data = TempDir::new().unwrap();
    let server = Server::open(data.path());
    assert_eq!(server.get("/v2/").status, 200);
    assert_eq!(server.get("/api/v1/user/").status, 404);
    assert_eq!(server.get("/").status, 404);
    assert!(!data.path().join("secret-key").exists());
}

#[test]
fn health() {
    let place = Place::new("");
    let server = place.start();
    for (path, services) in [
        ("/health/instance", &["database", "disk_space", "service_key"][..]),
        (
            "/health/endtoend",
            &["database", "disk_space", "service_key", "storage"],
        ),
        ("/health/warning", &["disk_space_warning"]),
    ] {
        let answer = server.get(path);
        let data = &json(&answer)["data"]["services"];
        let found: Vec<_> = data.as_object().unwrap().keys().collect();
        assert_eq!(found, services, "{path}");
        // How full the disk is, is not this test's to say.
        let well = data.as_object().unwrap();
        let well = well.iter().filter(|(name, _)| !name.starts_with("disk"));
        assert!(well.clone().all(|(_, well)| *well == true), "{path}: {data}");
    }
}

#[test]
fn sessions_outlive_the_process() {
    let place = Place::new(CONFIG);
    let server = place.start();
    let begun = server.get("/csrf_token");
    let token = json(&begun)["csrf_token"].as_str().unwrap().to_owned();
    let cookie = begun.header("set-cookie").split(';').next().unwrap().to_owned();
    let secrets = ["secret-key", "database-secret-key", "service-key.pem"];
    let kept = secrets.map(|file| place.kept(file));
    assert!(kept[2].starts_with("-----BEGIN PRIVATE KEY-----"));
    server.kill();

    let server = place.start();
    assert_eq!(secrets.map(|file| place.kept(file)), kept);
    let again = server.ask("GET", "/csrf_token", &[("cookie", &cookie)], b"");
    assert_eq!(json(&again)["csrf_token"], token.as_str());
    assert!(server.stop().success());

    // Another secret voids what was sealed with the one before.
    std::fs::remove_file(place.data.path().join("secret-key")).unwrap();
    let server = place.start();
    let other = server.ask("GET", "/csrf_token", &[("cookie", &cookie)], b"");
    assert_ne!(json(&other)["csrf_token"], token.as_str());
}

/// A token of nobody's that grants nothing, signed with the key in a file.
fn token(pem: &str, audience: &str) -> String {
    let now = std::process::Command::new("date").arg("+%s").output().unwrap();
    let now: i64 = String::from_utf8(now.stdout).unwrap().trim().parse().unwrap();
    let claims = serde_json::json!({
        "iss": "quay", "aud": audience, "sub": "(anonymous)", "iat": now, "nbf": now, "exp": now + 3600,
        "access": [], "context": { "version": 2, "entity_kind": "anonymous", "entity_reference": null },
    });
    quay_auth::InstanceKey::from_pem(pem)
        .unwrap()
        .sign(&claims)
        .unwrap()
}

#[test]
fn tokens_outlive_the_process() {
    let place = Place::new("SERVER_HOSTNAME: quay.example\n");
    let server = place.start();
    let bearer = format!("Bearer {}", token(&place.kept("service-key.pem"), "quay.example"));
    let foreign = quay_auth::InstanceKey::generate().unwrap().to_pem().unwrap();
    let foreign = format!("Bearer {}", token(&foreign, "quay.example"));
    let status =
        |server: &Server, token: &str| server.ask("GET", "/v2/", &[("authorization", token)], b"").status;
    assert_eq!((status(&server, &bearer), status(&server, &foreign)), (200, 401));
    server.kill();
    let server = place.start();
    assert_eq!((status(&server, &bearer), status(&server, &foreign)), (200, 401));
}

#[test]
fn a_key_that_was_deleted_is_not_used_again() {
    let place = Place::new("");
    place.start().kill();
    let key = place.kept("service-key.pem");
    place.start().kill();
    assert_eq!(place.kept("service-key.pem"), key);
    for file in ["quay.db", "quay.db-wal", "quay.db-shm"] {
        let _ = std::fs::remove_file(place.data.path().join(file));
    }
    let server = place.start();
    assert_ne!(place.kept("service-key.pem"), key);
    assert_eq!(server.get("/health/instance").status, 200);
    server.kill();
    std::fs::write(place.data.path().join("service-key.pem"), "nonsense").unwrap();
    let (status, text) = place.refused();
    assert_eq!(status, Some(1));
    assert!(text.contains("service-key.pem"), "{text}");
}

#[test]
fn a_shared_database_needs_secrets_that_are_shared() {
    let place = Place::new("DB_URI: postgresql://quay@127.0.0.1:1/quay\n");
    let (status, text) = place.refused();
    assert_eq!(status, Some(2), "{text}");
    assert!(
        text.contains("SECRET_KEY and DATABASE_SECRET_KEY must be set"),
        "{text}"
    );
    assert!(text.contains("openssl rand"), "{text}");
    assert!(!place.data.path().join("secret-key").exists());
}

#[test]
fn what_is_not_supported_is_named() {
    let place = Place::new("AUTHENTICATION_TYPE: LDAP\n");
    let (status, text) = place.refused();
    assert_ne!(status, Some(0));
    assert!(text.contains("AUTHENTICATION_TYPE: must be Database"), "{text}");

    for (config, key) in [
        (
            "MAIL_SERVER: mail.example\nMAIL_DEFAULT_SENDER: nobody\n",
            "MAIL_DEFAULT_SENDER: ",
        ),
        ("BLACKLIST_V2_SPEC: old\n", "BLACKLIST_V2_SPEC: "),
        ("SECRET_KEY: \u{4e00}\n", "SECRET_KEY: "),
    ] {
        place.configure(config);
        let (status, text) = place.refused();
        assert_eq!(status, Some(2), "{text}");
        assert!(text.contains(key), "{text}");
    }
}

#[test]
fn the_first_user_pushes_and_pulls() {
    let place = Place::new(CONFIG);
    let server = place.start();
    let first = r#"{"username":"admin","password":"a-long-password","email":"admin@example.com","access_token":true}"#;
    let json_body = ("content-type", "application/json");
    let made = server.ask("POST", "/api/v1/user/initialize", &[json_body], first.as_bytes());
    assert_eq!(made.status, 200, "{made:?}");
    let api = format!("Bearer {}", json(&made)["access_token"].as_str().unwrap());
    let api_token = ("authorization", api.as_str());
    let again = server.ask("POST", "/api/v1/user/initialize", &[json_body], first.as_bytes());
    assert_eq!(again.status, 400, "there is only one first user: {again:?}");

    // admin:a-long-password
    let login = ("authorization", "Basic YWRtaW46YS1sb25nLXBhc3N3b3Jk");
    let token = |server: &Server, scope: &str, login: &[(&str, &str)]| {
        let path = format!("/v2/auth?service={}&scope=repository:{scope}", server.address);
        let answer = server.ask("GET", &path, login, b"");
        assert_eq!(answer.status, 200, "{answer:?}");
        format!("Bearer {}", json(&answer)["token"].as_str().unwrap())
    };
    let push = token(&server, "admin/app:push,pull", &[login]);
    let push = ("authorization", push.as_str());
    for content in [&b"{}"[..], b"layer"] {
        let path = format!("/v2/admin/app/blobs/uploads/?digest={}", sha256(content));
        assert_eq!(server.ask("POST", &path, &[push], content).status, 201);
    }
    let manifest = image(&sha256(b"{}"), &sha256(b"layer"), "");
    let path = "/v2/admin/app/manifests/latest";
    let pushed = server.ask("PUT", path, &[push, ("content-type", OCI)], &manifest);
    assert_eq!(pushed.status, 201, "{pushed:?}");
    assert_eq!(server.ask("GET", path, &[push], b"").body, manifest);

    // The repository is private: nobody else sees it.
    let anonymous = token(&server, "admin/app:pull", &[]);
    assert_eq!(
        server
            .ask("GET", path, &[("authorization", &anonymous)], b"")
            .status,
        401
    );
    assert_eq!(server.get(path).status, 401);

    // Who has logged in, and what was pushed, outlives the process.
    server.kill();
    let server = place.start();
    let me = server.ask("GET", "/api/v1/user/", &[api_token], b"");
    assert_eq!(
        (me.status, &json(&me)["username"]),
        (200, &"admin".into()),
        "{me:?}"
    );
    let pull = token(&server, "admin/app:pull", &[login]);
    let pull = ("authorization", pull.as_str());
    assert_eq!(server.ask("GET", path, &[pull], b"").body, manifest);

    // Last: whoever is wrong has to wait.
    let wrong = server.ask(
        "GET",
        "/v2/auth?service=x",
        &[("authorization", "Basic YWRtaW46d3Jvbmc=")],
        b"",
    );
    assert_eq!(wrong.status, 401, "{wrong:?}");
    assert!(server.stop().success());
}
