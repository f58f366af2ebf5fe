//! The first superuser of an empty server, made by a command.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;
use support::api::body;
use support::{Server, command};
use tempfile::TempDir;

const PASSWORD: &str = "correct-horse";
const HINT: &str = "there are no accounts yet";

/// What a command has come to: its exit status, what it printed, and what it said about it.
#[derive(Debug)]
struct Outcome {
    status: Option<i32>,
    stdout: String,
    stderr: String,
}

/// Runs `user create` with `input` to read, and sees to it that a password is never repeated.
fn create(name: &str, input: &str, flags: &[&str]) -> Outcome {
    let mut child = Command::new(env!("CARGO_BIN_EXE_reference-server"))
        .args(["user", "create", name, "--password-stdin"])
        .args(flags)
        .env("RUST_LOG", "trace")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that refuses its flags does not read.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let outcome = Outcome {
        status: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    };
    for secret in [input.trim(), "$2b$", "PRIVATE KEY"] {
        let shown = format!("{outcome:?}");
        assert!(
            secret.is_empty() || !shown.contains(secret),
            "{secret} in {shown}"
        );
    }
    outcome
}

fn address(name: &str) -> String {
    format!("--email={name}@example.com")
}

/// Creates a superuser in a data directory.
fn superuser(name: &str, data: &Path) -> Outcome {
    let data = data.to_str().unwrap();
    create(
        name,
        &format!("{PASSWORD}\n"),
        &[&address(name), "--superuser", "--data", data],
    )
}

/// Starts a server whose log goes to a file; the log so far comes with it.
fn start(mut command: Command, data: &Path) -> (Server, String) {
    let path = data.join("log");
    command.stderr(std::fs::File::create(&path).unwrap());
    let server = Server::start(command);
    (server, std::fs::read_to_string(path).unwrap())
}

const FROM_A_PAGE: (&str, &str) = ("x-requested-with", "XMLHttpRequest");

/// The status of a superuser's call by somebody who signs in with a password, as a browser does.
fn superusers_call(server: &Server, name: &str) -> u16 {
    let begun = server.ask("GET", "/csrf_token", &[FROM_A_PAGE], b"");
    let token = body(&begun)["csrf_token"].as_str().unwrap().to_owned();
    let cookie = |answer: &support::Answer| answer.header("set-cookie").split(';').next().unwrap().to_owned();
    let content = json!({ "username": name, "password": PASSWORD }).to_string();
    let headers = [
        FROM_A_PAGE,
        ("cookie", &cookie(&begun)),
        ("x-csrf-token", &token),
        ("content-type", "application/json"),
    ];
    let signed_in = server.ask("POST", "/api/v1/signin", &headers, content.as_bytes());
    assert_eq!(signed_in.status, 200, "{signed_in:?}");
    let session = cookie(&signed_in);
    let me = server.ask("GET", "/api/v1/user/", &[FROM_A_PAGE, ("cookie", &session)], b"");
    assert_eq!(body(&me)["username"], name);
    assert_eq!(body(&me)["verified"], true);
    let headers = [FROM_A_PAGE, ("cookie", &session)];
    server
        .ask("GET", "/api/v1/superuser/users/", &headers, b"")
        .status
}

#[test]
fn the_first_superuser_signs_in() {
    let data = TempDir::new().unwrap();
    // The hint names the command, with the directory, until there is an account.
    let (server, log) = start(command(data.path(), &[]), data.path());
    assert_eq!(log.matches(HINT).count(), 1, "{log}");
    let flags = format!(
        "user create NAME --email ADDR --superuser --password-stdin --data {}",
        data.path().display()
    );
    assert!(log.contains(&flags), "{log}");
    assert!(server.stop().success());

    let outcome = superuser("root", data.path());
    assert_eq!(outcome.status, Some(0), "{outcome:?}");
    assert!(
        outcome.stdout.contains("created root\nroot is a superuser"),
        "{outcome:?}"
    );
    let file = data.path().join("superusers");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "root\n");
    let mode = std::fs::metadata(&file).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);

    let (server, log) = start(command(data.path(), &[]), data.path());
    assert!(!log.contains(HINT), "{log}");
    assert_eq!(superusers_call(&server, "root"), 200);
    assert!(server.stop().success());
}

#[test]
fn a_command_comes_before_the_first_start_too() {
    let data = TempDir::new().unwrap();
    let below = data.path().join("new/data");
    assert_eq!(superuser("first", &below).status, Some(0));
    // Another one, and one who is none.
    assert_eq!(superuser("second", &below).status, Some(0));
    let directory = below.to_str().unwrap();
    let plain = create(
        "third",
        "long-enough-too\n",
        &[&address("third"), "--data", directory],
    );
    assert_eq!(
        (plain.status, plain.stdout.as_str()),
        (Some(0), "created third\n"),
        "{plain:?}"
    );
    let kept = std::fs::read_to_string(below.join("superusers")).unwrap();
    assert_eq!(kept, "first\nsecond\n");
    assert!(
        !below.join("service-key.pem").exists(),
        "the server makes its own key"
    );
    let server = Server::start(command(&below, &[]));
    for name in ["first", "second"] {
        assert_eq!(superusers_call(&server, name), 200);
    }
}

#[test]
fn what_cannot_be_used_creates_nothing() {
    let data = TempDir::new().unwrap();
    let directory = data.path().to_str().unwrap();
    for password in [
        "short\n",
        "much too wide\n",
        "\n",
        "",
        " correct-horse\n",
        "tab\tinside\n",
    ] {
        let outcome = create(
            "root",
            password,
            &[&address("root"), "--superuser", "--data", directory],
        );
        assert_eq!(outcome.status, Some(2), "{password:?}: {outcome:?}");
        assert!(outcome.stderr.contains("password"), "{outcome:?}");
    }
    for (name, email) in [("Root", "root@example.com"), ("root", "nowhere")] {
        let flags = ["--email", email, "--superuser", "--data", directory];
        let outcome = create(name, "correct-horse\n", &flags);
        assert_eq!(outcome.status, Some(2), "{outcome:?}");
        assert!(outcome.stderr.contains("Invalid"), "{outcome:?}");
    }
    assert_eq!(
        create("root", "correct-horse\n", &["--data", directory]).status,
        Some(2)
    );
    assert!(!data.path().join("superusers").exists());
    let (_server, log) = start(command(data.path(), &[]), data.path());
    assert!(log.contains(HINT), "{log}");
}

#[test]
fn names_and_addresses_are_taken_once() {
    let data = TempDir::new().unwrap();
    let directory = data.path().to_str().unwrap();
    let plain = create(
        "root",
        "correct-horse\n",
        &[&address("root"), "--data", directory],
    );
    assert_eq!(plain.status, Some(0), "{plain:?}");
    for (name, email, expected) in [
        ("root", "other@example.com", "Username has already been taken"),
        ("other", "root@example.com", "Email has already been used"),
    ] {
        let flags = ["--email", email, "--superuser", "--data", directory];
        let outcome = create(name, "correct-horse\n", &flags);
        assert_eq!(outcome.status, Some(1), "{outcome:?}");
        assert!(outcome.stderr.contains(expected), "{outcome:?}");
        assert!(outcome.stdout.is_empty(), "{outcome:?}");
    }
    assert!(
        !data.path().join("superusers").exists(),
        "nobody becomes a superuser by that"
    );
}

#[test]
fn a_server_keeps_its_database_to_itself() {
    let data = TempDir::new().unwrap();
    let server = Server::start(command(data.path(), &[]));
    let outcome = superuser("root", data.path());
    assert_eq!(outcome.status, Some(1), "{outcome:?}");
    assert!(
        outcome.stderr.contains("stop the server first or use the API"),
        "{outcome:?}"
    );
    assert!(server.stop().success());
    assert_eq!(superuser("root", data.path()).status, Some(0));
}

#[test]
fn config_yaml_names_the_superusers() {
    let (data, config) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let yaml = config.path().join("config.yaml");
    std::fs::write(&yaml, "SUPER_USERS: [listed]\n").unwrap();
    let directories = [
        "--data",
        data.path().to_str().unwrap(),
        "--config",
        config.path().to_str().unwrap(),
    ];
    let with_config = |name: &str| {
        let (email, mut flags) = (address(name), vec!["--superuser"]);
        flags.push(&email);
        flags.extend(directories);
        create(name, &format!("{PASSWORD}\n"), &flags)
    };
    let listed = with_config("listed");
    assert_eq!(listed.status, Some(0), "{listed:?}");
    assert_eq!(listed.stdout, "created listed\nlisted is a superuser\n");
    let added = with_config("added");
    assert_eq!(added.status, Some(0), "{added:?}");
    let line = "SUPER_USERS: [\"added\",\"listed\"]\n";
    assert!(added.stdout.ends_with(line), "{added:?}");
    assert!(added.stdout.contains(yaml.to_str().unwrap()), "{added:?}");
    assert!(!data.path().join("superusers").exists());

    let serve = || command(data.path(), &directories[2..]);
    let server = Server::start(serve());
    assert_eq!(superusers_call(&server, "listed"), 200);
    assert_eq!(superusers_call(&server, "added"), 403);
    assert!(server.stop().success());
    std::fs::write(&yaml, line).unwrap();
    // The file is for servers without a configuration.
    std::fs::write(data.path().join("superusers"), "third\n").unwrap();
    assert_eq!(with_config("third").status, Some(0));
    let server = Server::start(serve());
    assert_eq!(superusers_call(&server, "added"), 200);
    assert_eq!(superusers_call(&server, "third"), 403);
}

#[test]
fn the_action_log_names_no_performer() {
    let data = TempDir::new().unwrap();
    assert_eq!(superuser("root", data.path()).status, Some(0));
    let rows = tokio::runtime::Runtime::new().unwrap().block_on(async {
        use sqlx::Connection as _;
        let path = format!("sqlite://{}?mode=ro", data.path().join("quay.db").display());
        let mut connection = sqlx::SqliteConnection::connect(&path).await.unwrap();
        let query = "SELECT kind, account_name, performer_name FROM qr_log";
        let rows: Vec<(String, Option<String>, Option<String>)> =
            sqlx::query_as(query).fetch_all(&mut connection).await.unwrap();
        rows
    });
    assert_eq!(rows, [("user_create".to_owned(), Some("root".to_owned()), None)]);
}
