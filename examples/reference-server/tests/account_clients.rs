//! Clients log in, push and pull with every kind of credential that the server issues.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use quay_auth::{DatabaseSecrets, SecretKey};
use quay_core::accounts::{AccessToken, AccountStore as _, RepositoryRole, SecretBox as _};
use quay_core::metadata::{MetadataStore as _, UnitOfWork};
use quay_core::runtime::Timestamp;
use quay_http::TokioSpawner;
use quay_storage::SqlMetadata;
use serde_json::{Value, json};
use support::api::{CONFIG, PASSWORD, call, initialize};
use support::programs::{run, text, with_image};
use support::{Server, command};
use tempfile::TempDir;

/// A credential as a client is given it.
struct Login {
    kind: &'static str,
    user: String,
    password: String,
    /// Whether it may push to `acme/app`.
    pushes: bool,
}

struct Setup {
    server: Server,
    work: TempDir,
    logins: Vec<Login>,
    _data: TempDir,
    _config: TempDir,
}

const DATABASE_SECRET_KEY: &str = "a database secret for tests";

/// Repositories' tokens are made by builds alone, so one is put into the database.
fn put_access_token(data: &Path) -> String {
    let (name, code) = ("N".repeat(32), "C".repeat(32));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let spawner = TokioSpawner::current();
        let path = data.join("quay.db");
        let store = SqlMetadata::open_sqlite(&path, &spawner).await.unwrap();
        let repository = quay_core::RepositoryName::from_path("acme/app").unwrap();
        let repository = store.repository(&repository).await.unwrap().unwrap();
        let random = quay_http::tokio_runtime(spawner.clone()).random;
        let secrets = DatabaseSecrets::new(
            &SecretKey::parse(DATABASE_SECRET_KEY).unwrap(),
            Arc::clone(&random),
        );
        let mut unit = store.begin_accounts().await.unwrap();
        let token = AccessToken {
            id: 0,
            repository: repository.id,
            path: "acme/app".to_owned(),
            friendly_name: "build".to_owned(),
            name: name.clone(),
            code: secrets.seal(&code),
            role: RepositoryRole::Write,
            created: Timestamp::from_millis(0),
        };
        unit.accounts().insert_access_token(&token).await.unwrap();
        UnitOfWork::commit(unit).await.unwrap();
    });
    format!("{name}{code}")
}

fn field(value: &Value, name: &str) -> String {
    value[name]
        .as_str()
        .unwrap_or_else(|| panic!("{value}"))
        .to_owned()
}

impl Setup {
    /// A server with an organization, a repository that everybody may pull, and one credential of each
    /// kind.
    fn new() -> Self {
        let (data, config) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let yaml = format!("{CONFIG}DATABASE_SECRET_KEY: {DATABASE_SECRET_KEY}\n");
        std::fs::write(config.path().join("config.yaml"), yaml).unwrap();
        let start = || {
            let arguments = ["--config", config.path().to_str().unwrap()];
            Server::start(command(data.path(), &arguments))
        };
        let server = start();
        let token = initialize(&server);
        let ask = |server: &Server, method: &str, path: &str, content: Value| {
            call(server, &token, method, path, &content)
        };
        ask(
            &server,
            "POST",
            "/organization/",
            json!({ "name": "acme", "email": "acme@example.com" }),
        );
        let robot = ask(&server, "PUT", "/organization/acme/robots/ci", json!({}));
        let key = ask(
            &server,
            "POST",
            "/user/clientkey",
            json!({ "password": PASSWORD }),
        );
        let app = ask(&server, "POST", "/user/apptoken", json!({ "title": "laptop" }));
        let work = with_image();
        // The first push makes the repository.
        push(work.path(), &server, "admin", PASSWORD, "acme/app:first");
        ask(
            &server,
            "PUT",
            "/repository/acme/app/permissions/user/acme+ci",
            json!({ "role": "write" }),
        );
        assert!(server.stop().success());
        let access_token = put_access_token(data.path());
        let server = start();
        let login = |kind: &'static str, user: &str, password: String| Login {
            kind,
            user: user.to_owned(),
            password,
            pushes: true,
        };
        let logins = vec![
            login("password", "admin", PASSWORD.to_owned()),
            login("address", "admin@example.com", PASSWORD.to_owned()),
            login("encrypted password", "admin", field(&key, "key")),
            login("robot", "acme+ci", field(&robot, "token")),
            login("app token", "$app", field(&app["token"], "token_code")),
            login("OAuth token", "$oauthtoken", token.clone()),
            login("repository token", "$token", access_token),
        ];
        Self {
            server,
            work,
            logins,
            _data: data,
            _config: config,
        }
    }

    fn path(&self) -> &Path {
        self.work.path()
    }
}

fn push(directory: &Path, server: &Server, user: &str, password: &str, reference: &str) {
    let credentials = format!("{user}:{password}");
    let there = format!("docker://{}/{reference}", server.address);
    run(
        directory,
        "skopeo",
        &[
            "--insecure-policy",
            "copy",
            "--dest-tls-verify=false",
            "--dest-creds",
            &credentials,
            "oci:image:v1",
            &there,
        ],
    );
}

#[test]
fn skopeo_pushes_and_pulls_with_every_kind_of_credential() {
    let setup = Setup::new();
    for (index, login) in setup.logins.iter().enumerate() {
        let reference = format!("acme/app:skopeo-{index}");
        assert!(login.pushes, "{}", login.kind);
        push(
            setup.path(),
            &setup.server,
            &login.user,
            &login.password,
            &reference,
        );
        let credentials = format!("{}:{}", login.user, login.password);
        let there = format!("docker://{}/{reference}", setup.server.address);
        let back = format!("oci:back-{index}:v1");
        run(
            setup.path(),
            "skopeo",
            &[
                "--insecure-policy",
                "copy",
                "--src-tls-verify=false",
                "--src-creds",
                &credentials,
                &there,
                &back,
            ],
        );
    }
    // A wrong secret of each kind, and none at all for what is private.
    for login in &setup.logins {
        let mut wrong = login.password.clone();
        wrong.pop();
        wrong.push('!');
        assert!(
            !lists_tags(&setup, Some(&format!("{}:{wrong}", login.user))),
            "{}",
            login.kind
        );
    }
    assert!(!lists_tags(&setup, None));
}

fn lists_tags(setup: &Setup, credentials: Option<&str>) -> bool {
    let mut command = Command::new("skopeo");
    command.args(["list-tags", "--tls-verify=false"]);
    match credentials {
        Some(credentials) => command.args(["--creds", credentials]),
        None => command.arg("--no-creds"),
    };
    command
        .arg(format!("docker://{}/acme/app", setup.server.address))
        .env("HOME", setup.path())
        .output()
        .unwrap()
        .status
        .success()
}

#[test]
fn podman_logs_in_and_oras_pushes_with_every_kind_of_credential() {
    let setup = Setup::new();
    std::fs::write(setup.path().join("hello.txt"), "hello").unwrap();
    for (index, login) in setup.logins.iter().enumerate() {
        let file = setup.path().join(format!("auth-{index}.json"));
        run(
            setup.path(),
            "podman",
            &[
                "login",
                "--tls-verify=false",
                "--authfile",
                file.to_str().unwrap(),
                "--username",
                &login.user,
                "--password",
                &login.password,
                &setup.server.address,
            ],
        );
        let reference = format!("{}/acme/app:oras-{index}", setup.server.address);
        let config = file.to_str().unwrap();
        let flags = ["--plain-http", "--registry-config", config];
        let pushed = [&["push"], &flags[..], &[&reference, "hello.txt:text/plain"]].concat();
        run(setup.path(), "oras", &pushed);
        let to = format!("oras-{index}");
        let pulled = [&["pull"], &flags[..], &["-o", &to, &reference]].concat();
        run(setup.path(), "oras", &pulled);
        let hello = std::fs::read(setup.path().join(to).join("hello.txt")).unwrap();
        assert_eq!(hello, b"hello", "{}", login.kind);
    }
    let denied = Command::new("podman")
        .args(["login", "--tls-verify=false", "--authfile"])
        .arg(setup.path().join("denied.json"))
        .args([
            "--username",
            "admin",
            "--password",
            "wrong",
            &setup.server.address,
        ])
        .env("HOME", setup.path())
        .env("XDG_RUNTIME_DIR", setup.path())
        .output()
        .unwrap();
    assert!(!denied.status.success());
    assert!(text(&denied).is_empty());
}

#[test]
fn the_conformance_tool_finds_nothing_behind_a_login() {
    let setup = Setup::new();
    let work = TempDir::new().unwrap();
    let output = Command::new("conformance")
        .current_dir(work.path())
        .env("OCI_REGISTRY", &setup.server.address)
        .env("OCI_TLS", "disabled")
        .env("OCI_VERSION", "1.1")
        .env("OCI_USERNAME", "admin")
        .env("OCI_PASSWORD", PASSWORD)
        .env("OCI_REPO1", "acme/one")
        .env("OCI_REPO2", "acme/two")
        .env("OCI_RESULTS_DIR", work.path().join("results"))
        .output()
        .unwrap_or_else(|error| panic!("the conformance tool cannot be run: {error}"));
    let report = text(&output);
    let fails = |name: &str| {
        report
            .lines()
            .find(|line| line.trim_start().starts_with(&format!("{name}..")))
            .and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
    };
    assert!(output.status.success(), "{report}");
    assert_eq!((fails("FAIL"), fails("Error")), (Some(0), Some(0)), "{report}");
}
