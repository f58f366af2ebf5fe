//! What people do with a repository after the push, with images that skopeo pushes and pulls.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use support::api::{CONFIG, PASSWORD, attempt, body, call, initialize};
use support::programs::{run, text, with_image};
use support::{Server, command};
use tempfile::TempDir;

struct Setup {
    server: Server,
    work: TempDir,
    token: String,
    _data: TempDir,
    _config: TempDir,
}

impl Setup {
    fn new() -> Self {
        let (data, config) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let yaml = format!("{CONFIG}FEATURE_MAILING: false\n");
        std::fs::write(config.path().join("config.yaml"), yaml).unwrap();
        let arguments = ["--config", config.path().to_str().unwrap()];
        let server = Server::start(command(data.path(), &arguments));
        let token = initialize(&server);
        Self {
            server,
            work: with_image(),
            token,
            _data: data,
            _config: config,
        }
    }

    fn path(&self) -> &Path {
        self.work.path()
    }

    fn call(&self, method: &str, path: &str, content: &Value) -> Value {
        call(&self.server, &self.token, method, path, content)
    }

    fn status(&self, method: &str, path: &str, content: &Value) -> u16 {
        attempt(&self.server, &self.token, method, path, content).status
    }

    /// Pushes the image of the layout's tag.
    fn push(&self, image: &str, reference: &str) {
        let credentials = format!("admin:{PASSWORD}");
        let there = format!("docker://{}/{reference}", self.server.address);
        let from = format!("oci:image:{image}");
        let flags = [
            "--insecure-policy",
            "copy",
            "--dest-tls-verify=false",
            "--dest-creds",
        ];
        let arguments = [&flags[..], &[&credentials, &from, &there]].concat();
        run(self.path(), "skopeo", &arguments);
    }

    /// The digest that a client pulls under a reference; `None` when it cannot.
    fn pull(&self, reference: &str) -> Option<String> {
        let there = format!("docker://{}/{reference}", self.server.address);
        let back = TempDir::new_in(self.path()).unwrap();
        let to = format!("dir:{}", back.path().display());
        let credentials = format!("admin:{PASSWORD}");
        let copied = Command::new("skopeo")
            .args([
                "--insecure-policy",
                "copy",
                "--src-tls-verify=false",
                "--src-creds",
            ])
            .args([&credentials, &there, &to])
            .env("HOME", self.path())
            .output()
            .unwrap();
        if !copied.status.success() {
            return None;
        }
        let manifest = back.path().join("manifest.json");
        let digest = run(
            self.path(),
            "skopeo",
            &["manifest-digest", manifest.to_str().unwrap()],
        );
        Some(text(&digest).trim().to_owned())
    }

    fn tags(&self, query: &str) -> Vec<Value> {
        let listed = self.call("GET", &format!("/repository/admin/app/tag/{query}"), &Value::Null);
        listed["tags"].as_array().unwrap().clone()
    }
}

fn text_of<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("{value}"))
}

#[test]
fn a_tag_is_moved_deleted_and_brought_back() {
    let setup = Setup::new();
    setup.push("v1", "admin/app:latest");
    let first = setup.pull("admin/app:latest").unwrap();
    run(
        setup.path(),
        "umoci",
        &[
            "config",
            "--image",
            "image:v1",
            "--tag",
            "v2",
            "--config.label",
            "step=two",
        ],
    );
    setup.push("v2", "admin/app:latest");
    let second = setup.pull("admin/app:latest").unwrap();
    assert_ne!(first, second);

    let tags = setup.tags("");
    let digests: Vec<_> = tags.iter().map(|tag| text_of(tag, "manifest_digest")).collect();
    assert_eq!(digests, [second.as_str(), first.as_str()]);
    assert!(tags[0]["size"].as_u64().unwrap() > 1000, "{tags:?}");
    assert!(tags[1]["end_ts"].is_u64() && tags[0]["end_ts"].is_null());
    let manifest = setup.call(
        "GET",
        &format!("/repository/admin/app/manifest/{second}"),
        &Value::Null,
    );
    assert!(text_of(&manifest, "manifest_data").contains("schemaVersion"));
    assert!(!manifest["layers"].as_array().unwrap().is_empty());
    let labels = setup.call(
        "GET",
        &format!("/repository/admin/app/manifest/{second}/labels"),
        &Value::Null,
    );
    let label = labels["labels"]
        .as_array()
        .unwrap()
        .iter()
        .find(|label| label["key"] == "step");
    assert_eq!(label.unwrap()["value"], "two");

    let tag = "/repository/admin/app/tag/latest";
    assert_eq!(setup.status("DELETE", tag, &Value::Null), 204);
    assert_eq!(setup.pull("admin/app:latest"), None);
    let back = json!({ "manifest_digest": first });
    assert_eq!(setup.status("POST", &format!("{tag}/restore"), &back), 200);
    assert_eq!(setup.pull("admin/app:latest"), Some(first.clone()));
    assert_eq!(setup.tags("?onlyActiveTags=true")[0]["reversion"], true);
    let move_to = json!({ "manifest_digest": second });
    assert_eq!(
        setup.status("PUT", "/repository/admin/app/tag/stable", &move_to),
        201
    );
    assert_eq!(setup.pull("admin/app:stable"), Some(second));
}

#[test]
fn an_image_says_how_long_its_tags_last() {
    let setup = Setup::new();
    run(
        setup.path(),
        "umoci",
        &[
            "config",
            "--image",
            "image:v1",
            "--tag",
            "short",
            "--config.label",
            "quay.expires-after=2s",
        ],
    );
    setup.push("short", "admin/app:short");
    let tags = setup.tags("");
    let (start, end) = (
        tags[0]["start_ts"].as_i64().unwrap(),
        tags[0]["end_ts"].as_i64().unwrap(),
    );
    assert_eq!(end - start, 2);
    support::until("the tag ends", || setup.pull("admin/app:short").is_none());
    assert!(setup.tags("?onlyActiveTags=true").is_empty());
    assert_eq!(setup.tags("").len(), 1, "it can still be brought back");
}

#[test]
fn a_repository_is_shown_hidden_and_deleted() {
    let setup = Setup::new();
    setup.push("v1", "admin/app:v1");
    let nobody = || {
        let there = format!("docker://{}/admin/app", setup.server.address);
        Command::new("skopeo")
            .args(["list-tags", "--tls-verify=false", "--no-creds", &there])
            .env("HOME", setup.path())
            .output()
            .unwrap()
            .status
            .success()
    };
    let change = |visibility: &str| {
        setup.call(
            "POST",
            "/repository/admin/app/changevisibility",
            &json!({ "visibility": visibility }),
        )
    };
    assert!(!nobody());
    change("public");
    assert!(nobody());
    change("private");
    assert!(!nobody());
    setup.call(
        "PUT",
        "/repository/admin/app",
        &json!({ "description": "an app" }),
    );
    let view = setup.call("GET", "/repository/admin/app", &Value::Null);
    assert_eq!(
        (
            text_of(&view, "description"),
            &view["is_public"],
            &view["can_admin"]
        ),
        ("an app", &json!(false), &json!(true))
    );
    assert!(view["tags"]["v1"]["manifest_digest"].is_string());
    let listed = setup.call(
        "GET",
        "/repository?namespace=admin&last_modified=true",
        &Value::Null,
    );
    assert_eq!(text_of(&listed["repositories"][0], "name"), "app");

    assert_eq!(setup.status("DELETE", "/repository/admin/app", &Value::Null), 204);
    assert_eq!(setup.pull("admin/app:v1"), None);
    let gone = attempt(
        &setup.server,
        &setup.token,
        "GET",
        "/repository/admin/app",
        &Value::Null,
    );
    assert_eq!((gone.status, text_of(&body(&gone), "title")), (404, "not_found"));
    // The name is free, and nothing of what was there comes back.
    setup.push("v1", "admin/app:new");
    let tags = setup.tags("");
    assert_eq!((tags.len(), text_of(&tags[0], "name")), (1, "new"));
}
