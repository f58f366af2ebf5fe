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
        Self::with("")
    }

    /// With more lines of configuration.
    fn with(more: &str) -> Self {
        let (data, config) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let yaml = format!("{CONFIG}FEATURE_MAILING: false\n{more}");
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

#[test]
fn a_namespace_takes_no_more_than_its_quota() {
    let setup = Setup::with("FEATURE_QUOTA_MANAGEMENT: true\nGARBAGE_COLLECTION_FREQUENCY: 1\n");
    let quota = "/superuser/users/admin/quota";
    let call = |method: &str, path: &str, body: &Value| setup.call(method, path, body);
    call("POST", quota, &json!({ "limit": "1 GiB" }));
    let id = call("GET", quota, &Value::Null)[0]["id"].clone();
    setup.push("v1", "admin/app:v1");
    let used = |setup: &Setup| {
        let user = setup.call("GET", "/user/", &Value::Null);
        user["quota_report"]["quota_bytes"].as_u64().unwrap()
    };
    let one = used(&setup);
    assert!(one > 1000, "{one}");
    // The same layers in another repository add nothing.
    setup.push("v1", "admin/copy:v1");
    assert_eq!(used(&setup), one);

    // As many bytes as there are, and a level that rejects what comes on top.
    let organization = "/organization/full";
    call(
        "POST",
        "/organization/",
        &json!({ "name": "full", "email": "full@registry.example" }),
    );
    call(
        "POST",
        &format!("{organization}/quota"),
        &json!({ "limit_bytes": one - 1 }),
    );
    let quotas = call("GET", &format!("{organization}/quota"), &Value::Null);
    let limits = format!("{organization}/quota/{}/limit", quotas[0]["id"]);
    call(
        "POST",
        &limits,
        &json!({ "type": "Reject", "threshold_percent": 100 }),
    );
    let copy = |reference: &str| {
        let credentials = format!("admin:{PASSWORD}");
        let there = format!("docker://{}/{reference}", setup.server.address);
        Command::new("skopeo")
            .args([
                "--insecure-policy",
                "copy",
                "--dest-tls-verify=false",
                "--dest-creds",
            ])
            .args([credentials.as_str(), "oci:image:v1", there.as_str()])
            .current_dir(setup.path())
            .env("HOME", setup.path())
            .output()
            .unwrap()
    };
    let refused = copy("full/app:v1");
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success(), "more was taken than the quota allows");
    assert!(told.contains("quota of the namespace full is used up"), "{told}");
    assert_eq!(setup.pull("full/app:v1"), None);
    let path = format!("{organization}/quota/{}", quotas[0]["id"]);
    call("PUT", &path, &json!({ "limit_bytes": one }));
    let taken = copy("full/app:v1");
    assert!(
        taken.status.success(),
        "{}",
        String::from_utf8_lossy(&taken.stderr)
    );
    let report = call("GET", organization, &Value::Null);
    assert_eq!(report["quota_report"]["quota_bytes"], one);
    assert_eq!(report["quota_report"]["configured_quota"], one);

    // What was deleted and collected comes back.
    assert_eq!(
        setup.status("DELETE", &format!("{quota}/{id}"), &Value::Null),
        204
    );
    for repository in ["app", "copy"] {
        let path = format!("/repository/admin/{repository}");
        assert_eq!(setup.status("DELETE", &path, &Value::Null), 204);
    }
    support::until("what was deleted is given back", || used(&setup) == 0);
}
