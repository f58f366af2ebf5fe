//! The life of tags with images that skopeo pushes and pulls: what is immutable, what is pruned, and what of it
//! comes back.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use support::api::{CONFIG, PASSWORD, attempt, call, initialize};
use support::programs::{run, with_image};
use support::{Server, command};
use tempfile::TempDir;

const POLICIES: &str = "/repository/admin/app/autoprunepolicy/";
const KEPT: &str = "/repository/admin/app/immutabilitypolicy/";

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
        let yaml = format!(
            "{CONFIG}FEATURE_MAILING: false\nFEATURE_AUTO_PRUNE: true\nFEATURE_IMMUTABLE_TAGS: true\n\
             AUTO_PRUNING_POLL_PERIOD: 1\n"
        );
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

    fn skopeo(&self, flags: &[&str], from: &str, to: &str) -> Output {
        Command::new("skopeo")
            .args(["--insecure-policy", "copy"])
            .args(flags)
            .args([from, to])
            .current_dir(self.path())
            .env("HOME", self.path())
            .output()
            .unwrap()
    }

    /// Pushes the image of the layout's tag; what skopeo says where it fails.
    fn push(&self, image: &str, tag: &str) -> Result<(), String> {
        let credentials = format!("admin:{PASSWORD}");
        let there = format!("docker://{}/admin/app:{tag}", self.server.address);
        let flags = ["--dest-tls-verify=false", "--dest-creds", &credentials];
        let output = self.skopeo(&flags, &format!("oci:image:{image}"), &there);
        if output.status.success() {
            return Ok(());
        }
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }

    fn pulls(&self, tag: &str) -> bool {
        let credentials = format!("admin:{PASSWORD}");
        let there = format!("docker://{}/admin/app:{tag}", self.server.address);
        let back = TempDir::new_in(self.path()).unwrap();
        let flags = ["--src-tls-verify=false", "--src-creds", &credentials];
        self.skopeo(&flags, &there, &format!("dir:{}", back.path().display()))
            .status
            .success()
    }

    /// The tags that are alive, with the digest that each points at, the newest first.
    fn tags(&self) -> Vec<(String, String)> {
        let path = "/repository/admin/app/tag/?onlyActiveTags=true";
        let listed = self.call("GET", path, &Value::Null);
        let text = |tag: &Value, member: &str| tag[member].as_str().unwrap().to_owned();
        let tags = listed["tags"].as_array().unwrap();
        tags.iter()
            .map(|tag| (text(tag, "name"), text(tag, "manifest_digest")))
            .collect()
    }

    fn names(&self) -> Vec<String> {
        self.tags().into_iter().map(|(name, _)| name).collect()
    }
}

#[test]
fn a_release_stays_and_what_is_pruned_comes_back() {
    let setup = Setup::new();
    let label = [
        "config",
        "--image",
        "image:v1",
        "--tag",
        "v2",
        "--config.label",
        "step=two",
    ];
    run(setup.path(), "umoci", &label);
    setup.push("v1", "v1.0").unwrap();
    let release = setup.tags()[0].1.clone();
    let policy = json!({ "tagPattern": "v[0-9.]+" });
    let would = setup.call("POST", &format!("{KEPT}dryrun"), &policy);
    assert_eq!(would["tags"][0]["name"], "v1.0", "{would}");
    setup.call("POST", KEPT, &policy);

    let refused = setup.push("v2", "v1.0").unwrap_err();
    assert!(refused.contains("immutable"), "{refused}");
    setup.push("v1", "v1.0").unwrap();
    setup.push("v2", "v2.0").unwrap();
    assert!(setup.push("v1", "v2.0").is_err());
    assert_eq!(setup.tags()[1], ("v1.0".to_owned(), release));
    let tag = "/repository/admin/app/tag/v1.0";
    assert_eq!(setup.status("DELETE", tag, &Value::Null), 409);
    assert!(setup.pulls("v1.0"));

    for tag in ["a", "b", "c"] {
        setup.push("v1", tag).unwrap();
    }
    let policy = json!({ "method": "number_of_tags", "value": 2 });
    let would = setup.call("POST", &format!("{POLICIES}dryrun"), &policy);
    let tags = would["tags"].as_array().unwrap();
    assert_eq!((tags.len(), &tags[0]["name"]), (1, &json!("a")), "{would}");
    assert_eq!(tags[0]["reason"], "there are 2 newer tags");
    let (_, digest) = setup.tags().into_iter().find(|(name, _)| name == "a").unwrap();
    assert_eq!(setup.status("POST", POLICIES, &policy), 201);
    support::until("the tag is pruned", || {
        setup.names() == ["c", "b", "v2.0", "v1.0"]
    });
    assert!(!setup.pulls("a"));
    let back = json!({ "manifest_digest": digest });
    let path = "/repository/admin/app/tag/a/restore";
    assert_eq!(setup.status("POST", path, &back), 200);
    assert!(setup.pulls("a"));
}
