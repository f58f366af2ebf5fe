//! Two processes over one PostgreSQL and one directory of blobs behave as one registry.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

#[path = "support/histories.rs"]
mod histories;
mod support;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use histories::{Done, Operation, is_linearisable};
use serde_json::{Value, json};
use support::api::{CONFIG, PASSWORD, attempt, call, initialize, registry_token, with_token};
use support::postgres::Postgres;
use support::programs::{run, with_image};
use support::{Server, command};
use tempfile::TempDir;

/// How soon a change must be felt everywhere.
const FELT: Duration = Duration::from_secs(5);

struct Cluster {
    one: Server,
    two: Server,
    token: String,
    database: Postgres,
    _directories: Vec<TempDir>,
}

impl Cluster {
    /// Two servers that know each other by their database alone, with an organization and an image in it.
    fn new() -> Self {
        let database = Postgres::started();
        let blobs = TempDir::new().unwrap();
        let config = TempDir::new().unwrap();
        let yaml = format!(
            "{CONFIG}DB_URI: {}\nSECRET_KEY: a secret that both know\nDATABASE_SECRET_KEY: another secret\n\
             SERVER_HOSTNAME: registry.example\n\
             DISTRIBUTED_STORAGE_CONFIG:\n  default: [LocalStorage, {{storage_path: {}}}]\n\
             DISTRIBUTED_STORAGE_PREFERENCE: [default]\n",
            database.uri(),
            blobs.path().display()
        );
        std::fs::write(config.path().join("config.yaml"), yaml).unwrap();
        let mut directories = Vec::new();
        let mut start = || {
            let data = TempDir::new().unwrap();
            let arguments = ["--config", config.path().to_str().unwrap()];
            let server = Server::start(command(data.path(), &arguments));
            directories.push(data);
            server
        };
        let (one, two) = (start(), start());
        let token = initialize(&one);
        call(
            &two,
            &token,
            "POST",
            "/organization/",
            &json!({ "name": "acme", "email": "acme@example.com" }),
        );
        directories.extend([blobs, config]);
        let cluster = Self {
            one,
            two,
            token,
            database,
            _directories: directories,
        };
        cluster.fill();
        cluster
    }

    fn call(&self, method: &str, path: &str, content: &Value) -> Value {
        call(&self.one, &self.token, method, path, content)
    }

    /// Pushes a manifest of nothing but an empty config, by hand: the clients know the name that the
    /// servers call themselves by, which leads nowhere.
    fn fill(&self) {
        let login = Some(("admin", PASSWORD));
        let token = registry_token_at(&self.one, login, "repository:acme/app:pull,push");
        let bearer = format!("Bearer {token}");
        let digest = support::sha256(b"{}");
        let path = format!("/v2/acme/app/blobs/uploads/?digest={digest}");
        let pushed = self.one.ask("POST", &path, &[("authorization", &bearer)], b"{}");
        assert_eq!(pushed.status, 201, "{pushed:?}");
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": support::OCI,
            "config": { "mediaType": "application/vnd.oci.empty.v1+json", "digest": digest, "size": 2 },
            "layers": [],
        });
        let pushed = self.two.ask(
            "PUT",
            "/v2/acme/app/manifests/v1",
            &[("authorization", &bearer), ("content-type", support::OCI)],
            manifest.to_string().as_bytes(),
        );
        assert_eq!(pushed.status, 201, "{pushed:?}");
    }

    /// A token that the first process issues.
    fn issued(&self, login: (&str, &str)) -> String {
        registry_token_at(&self.one, Some(login), "repository:acme/app:pull,push")
    }

    fn pulls(&self, token: &str) -> [u16; 2] {
        [&self.one, &self.two].map(|server| with_token(server, token, "GET", "/v2/acme/app/manifests/v1"))
    }

    /// A token that worked stops to, in both processes, in time.
    #[expect(
        clippy::disallowed_methods,
        reason = "the time that others take is what is tested"
    )]
    fn felt(&self, what: &str, token: &str, change: impl FnOnce()) {
        assert_eq!(self.pulls(token), [200, 200], "before: {what}");
        change();
        let changed = Instant::now();
        support::until(what, || self.pulls(token) == [401, 401]);
        assert!(changed.elapsed() < FELT, "{what} took {:?}", changed.elapsed());
    }

    fn robot(&self, name: &str) -> (String, String) {
        let robot = self.call("PUT", &format!("/organization/acme/robots/{name}"), &json!({}));
        let full = format!("acme+{name}");
        self.call(
            "PUT",
            &format!("/repository/acme/app/permissions/user/{full}"),
            &json!({ "role": "write" }),
        );
        (full, robot["token"].as_str().unwrap().to_owned())
    }
}

fn registry_token_at(server: &Server, login: Option<(&str, &str)>, scope: &str) -> String {
    registry_token(server, "registry.example", login, scope).unwrap_or_else(|| panic!("no token for {scope}"))
}

#[test]
fn what_one_process_changes_the_other_feels() {
    let cluster = Cluster::new();
    // A token of one is good at the other, and a login at one is one at the other.
    let admin = cluster.issued(("admin", PASSWORD));
    assert_eq!(cluster.pulls(&admin), [200, 200]);
    let me = call(&cluster.two, &cluster.token, "GET", "/user/", &Value::Null);
    assert_eq!(me["username"], "admin");

    let (robot, secret) = cluster.robot("deleted");
    let token = cluster.issued((&robot, &secret));
    cluster.felt("the robot's end", &token, || {
        cluster.call("DELETE", "/organization/acme/robots/deleted", &Value::Null);
    });

    let (robot, secret) = cluster.robot("renewed");
    let token = cluster.issued((&robot, &secret));
    cluster.felt("the robot's new secret", &token, || {
        cluster.call(
            "POST",
            "/organization/acme/robots/renewed/regenerate",
            &Value::Null,
        );
    });

    let (robot, secret) = cluster.robot("stripped");
    let token = cluster.issued((&robot, &secret));
    cluster.felt("the permission's end", &token, || {
        let path = "/repository/acme/app/permissions/user/acme+stripped";
        cluster.call("DELETE", path, &Value::Null);
    });

    let created = cluster.call(
        "POST",
        "/superuser/users/",
        &json!({ "username": "bob", "email": "b@example.com" }),
    );
    let password = created["password"].as_str().unwrap().to_owned();
    cluster.call(
        "PUT",
        "/organization/acme/team/devs",
        &json!({ "role": "member" }),
    );
    cluster.call("PUT", "/organization/acme/team/devs/members/bob", &Value::Null);
    cluster.call(
        "PUT",
        "/repository/acme/app/permissions/team/devs",
        &json!({ "role": "read" }),
    );
    let token = cluster.issued(("bob", &password));
    cluster.felt("leaving the team", &token, || {
        cluster.call("DELETE", "/organization/acme/team/devs/members/bob", &Value::Null);
    });
    cluster.call("PUT", "/organization/acme/team/devs/members/bob", &Value::Null);
    let token = cluster.issued(("bob", &password));
    cluster.felt("the team's end", &token, || {
        cluster.call("DELETE", "/organization/acme/team/devs", &Value::Null);
    });
    let path = "/repository/acme/app/permissions/user/bob";
    cluster.call("PUT", path, &json!({ "role": "read" }));
    let token = cluster.issued(("bob", &password));
    let password = "another-password";
    cluster.felt("a new password", &token, || {
        cluster.call("PUT", "/superuser/users/bob", &json!({ "password": password }));
    });
    let token = cluster.issued(("bob", password));
    cluster.felt("the user's being switched off", &token, || {
        cluster.call("PUT", "/superuser/users/bob", &json!({ "enabled": false }));
    });

    let app = cluster.call("POST", "/user/apptoken", &json!({ "title": "laptop" }));
    let secret = app["token"]["token_code"].as_str().unwrap();
    let token = cluster.issued(("$app", secret));
    cluster.felt("the app token's end", &token, || {
        let path = format!("/user/apptoken/{}", app["token"]["uuid"].as_str().unwrap());
        cluster.call("DELETE", &path, &Value::Null);
    });
    let created = cluster.call(
        "POST",
        "/superuser/users/",
        &json!({ "username": "carol", "email": "c@example.com" }),
    );
    let password = created["password"].as_str().unwrap().to_owned();
    let path = "/repository/acme/app/permissions/user/carol";
    cluster.call("PUT", path, &json!({ "role": "admin" }));
    let token = cluster.issued(("carol", &password));
    cluster.felt("the account's conversion", &token, || {
        cluster.call("POST", "/superuser/takeownership/carol", &Value::Null);
    });
    // Nobody else felt any of it.
    assert_eq!(cluster.pulls(&admin), [200, 200]);
}

#[test]
fn a_pull_with_a_token_reads_once() {
    const PULLS: usize = 50;
    let cluster = Cluster::new();
    let token = cluster.issued(("admin", PASSWORD));
    let pull = |times: usize| {
        for _ in 0..times {
            let status = with_token(&cluster.one, &token, "GET", "/v2/acme/app/manifests/v1");
            assert_eq!(status, 200);
        }
    };
    // The token's key is looked up once.
    pull(1);
    let before = cluster.database.statements().len();
    pull(PULLS);
    let statements = cluster.database.statements().split_off(before);
    // Besides, both processes ask once a second what has changed.
    let reads: Vec<_> = statements
        .iter()
        .filter(|statement| statement.starts_with("SELECT") && !statement.contains("FROM qr_change"))
        .collect();
    assert_eq!(reads.len(), PULLS, "{reads:#?}");
    assert!(reads.iter().all(|read| read.contains("m.payload")), "{reads:#?}");
    let logged = statements
        .iter()
        .filter(|statement| statement.starts_with("INSERT INTO qr_log"))
        .count();
    assert!((1..=PULLS).contains(&logged), "{logged}");
}

#[test]
fn a_database_that_goes_away_is_waited_for() {
    let cluster = Cluster::new();
    let token = cluster.issued(("admin", PASSWORD));
    let manifest = "/v2/acme/app/manifests/v1";
    cluster.database.stop();
    for server in [&cluster.one, &cluster.two] {
        let bearer = format!("Bearer {token}");
        let pull = server.ask("GET", manifest, &[("authorization", &bearer)], b"");
        assert_eq!(pull.status, 503, "{pull:?}");
        assert!(!pull.header("retry-after").is_empty(), "{pull:?}");
        let create = json!({ "name": "halfway", "email": "h@example.com" });
        let call = attempt(server, &cluster.token, "POST", "/organization/", &create);
        assert_eq!(call.status, 503, "{call:?}");
        assert!(!call.header("retry-after").is_empty(), "{call:?}");
        let health = server.get("/health/instance");
        assert_eq!(health.status, 503, "{health:?}");
    }
    cluster.database.start();
    support::until("service as before", || cluster.pulls(&token) == [200, 200]);
    let create = json!({ "name": "halfway", "email": "h@example.com" });
    support::until("the organization", || {
        attempt(&cluster.one, &cluster.token, "POST", "/organization/", &create).status == 201
    });
    let made = call(
        &cluster.two,
        &cluster.token,
        "GET",
        "/organization/halfway",
        &Value::Null,
    );
    assert_eq!(made["is_admin"], true, "nothing is half made");
}

#[test]
fn anybody_pulls_what_is_public() {
    let (data, config) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let yaml = format!("{CONFIG}CREATE_PRIVATE_REPO_ON_PUSH: false\nFEATURE_PUBLIC_CATALOG: true\n");
    std::fs::write(config.path().join("config.yaml"), yaml).unwrap();
    let server = Server::start(command(
        data.path(),
        &["--config", config.path().to_str().unwrap()],
    ));
    initialize(&server);
    let work = with_image();
    let there = format!("docker://{}/admin/open:v1", server.address);
    let login = format!("admin:{PASSWORD}");
    let copy = ["--insecure-policy", "copy"];
    let push = [
        "--dest-tls-verify=false",
        "--dest-creds",
        &login,
        "oci:image:v1",
        &there,
    ];
    run(work.path(), "skopeo", &[&copy[..], &push].concat());
    let pull = ["--src-tls-verify=false", "--src-no-creds", &there, "oci:back:v1"];
    run(work.path(), "skopeo", &[&copy[..], &pull].concat());
    let listed = server.get("/v2/_catalog");
    assert_eq!(listed.text().trim(), r#"{"repositories":["admin/open"]}"#);
}

/// Tags that clients change at once.
const CONTESTED: [&str; 2] = ["moving", "contested"];

/// What clients do to tags through both processes, and what they were told.
struct Recorder<'a> {
    cluster: &'a Cluster,
    bearer: String,
    /// By digest.
    manifests: Vec<(String, Vec<u8>)>,
    clock: AtomicU64,
    recorded: Mutex<Vec<(usize, Operation)>>,
}

impl<'a> Recorder<'a> {
    fn new(cluster: &'a Cluster) -> Self {
        let config = support::sha256(b"{}");
        let manifest = |salt: u8| {
            let content = json!({
                "schemaVersion": 2,
                "mediaType": support::OCI,
                "config": { "mediaType": "application/vnd.oci.empty.v1+json", "digest": config, "size": 2 },
                "layers": [],
                "annotations": { "salt": salt.to_string() },
            });
            let content = content.to_string().into_bytes();
            (support::sha256(&content), content)
        };
        Self {
            cluster,
            bearer: format!("Bearer {}", cluster.issued(("admin", PASSWORD))),
            manifests: (0..5).map(manifest).collect(),
            clock: AtomicU64::new(0),
            recorded: Mutex::default(),
        }
    }

    /// One operation, on a tag and through a process that a number tells.
    fn step(&self, random: u64) {
        let part = |of: u64, choices: u64| usize::try_from(random / of % choices).unwrap();
        let (tag, kind, value, from) = (part(1, 2), part(2, 8), part(16, 5), part(80, 6));
        let servers = [&self.cluster.one, &self.cluster.two];
        let path = format!("/v2/acme/app/manifests/{}", CONTESTED[tag]);
        let ask = |method: &str, more: &[(&str, &str)], body: &[u8]| {
            let common = [("authorization", self.bearer.as_str()), ("accept", support::OCI)];
            servers[part(480, 2)].ask(method, &path, &[&common, more].concat(), body)
        };
        let number = |index: usize| u8::try_from(index).unwrap();
        let content_type = ("content-type", support::OCI);
        let (digest, content) = &self.manifests[value];
        let called = self.clock.fetch_add(1, Ordering::SeqCst);
        let done = match kind {
            0 | 1 => {
                let answer = ask("PUT", &[content_type], content);
                assert_eq!(answer.status, 201, "{answer:?}");
                assert_eq!(answer.header("docker-content-digest"), digest);
                Done::Write(number(value))
            }
            2..=4 => {
                let (name, condition, from) = match self.manifests.get(from) {
                    Some((digest, _)) => ("if-match", format!("\"{digest}\""), Some(number(from))),
                    None => ("if-none-match", "*".to_owned(), None),
                };
                let answer = ask("PUT", &[content_type, (name, &condition)], content);
                assert!([201, 412].contains(&answer.status), "{answer:?}");
                Done::Swap(from, number(value), answer.status == 201)
            }
            5 => {
                let status = ask("DELETE", &[], b"").status;
                assert!([202, 404].contains(&status), "a deletion was answered {status}");
                Done::Delete(status == 202)
            }
            _ => {
                let answer = ask("GET", &[], b"");
                assert!([200, 404].contains(&answer.status), "{answer:?}");
                let digest = answer.header("docker-content-digest");
                let index = self.manifests.iter().position(|(known, _)| known == digest);
                assert_eq!(index.is_some(), answer.status == 200, "{answer:?}");
                Done::Read(index.map(number))
            }
        };
        let answered = self.clock.fetch_add(1, Ordering::SeqCst);
        let operation = Operation {
            called,
            answered,
            done,
        };
        self.recorded.lock().unwrap().push((tag, operation));
    }
}

/// Six clients write, swap, delete and read two tags through both processes at once; what each was told is
/// recorded, and must be explained by one order of all operations.
#[test]
fn what_clients_are_told_of_tags_is_linearisable() {
    const CLIENTS: u64 = 6;
    const STEPS: usize = 36;
    let cluster = Cluster::new();
    let witness = Recorder::new(&cluster);
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let witness = &witness;
            scope.spawn(move || {
                let mut state = client.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
                for _ in 0..STEPS {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    witness.step(state >> 33);
                }
            });
        }
    });
    let recorded = witness.recorded.into_inner().unwrap();
    for (tag, name) in CONTESTED.iter().enumerate() {
        let of = recorded.iter().filter(|(of, _)| *of == tag);
        let history: Vec<Operation> = of.map(|(_, operation)| *operation).collect();
        let swapped = history
            .iter()
            .filter(|operation| matches!(operation.done, Done::Swap(_, _, true)))
            .count();
        assert!(
            history.len() > 60 && swapped > 0,
            "{name}: {} operations, {swapped} swaps",
            history.len()
        );
        assert!(is_linearisable(&history), "{name}: {history:?}");
    }
}
