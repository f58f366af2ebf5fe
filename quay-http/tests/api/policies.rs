//! Policies about the life of tags, from their creation to what comes of them.

use quay_core::metadata::{NewManifest, TagTarget};
use quay_core::runtime::Clock as _;
use quay_core::{Digest, MediaType, RepositoryName, Tag};
use serde_json::{Value, json};

use crate::roles::fixture::{fresh, registry};
use crate::roles::log;
use crate::support::{Host, Seen};

const CSRF: &str = "csrf-of-the-test";
const ORG: &str = "/api/v1/organization/org/autoprunepolicy/";
const APP: &str = "/api/v1/repository/org/app/autoprunepolicy/";
const KEPT: &str = "/api/v1/organization/org/immutabilitypolicy/";

async fn ask(host: &Host, method: &str, path: &str, body: &Value) -> Seen {
    let cookie = host.fresh_cookie("uuid-admin", CSRF);
    let mut headers = vec![("cookie", cookie.as_str()), ("x-csrf-token", CSRF)];
    let text = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    if !body.is_null() {
        headers.push(("content-type", "application/json"));
    }
    host.ask(method, path, &headers, &text).await
}

/// Gives `org/app` tags, an hour between them, the oldest first.
async fn tags(host: &Host, names: &[String]) {
    for name in names {
        host.clock.advance(std::time::Duration::from_hours(1));
        let now = host.clock.now();
        let mut unit = host.accounts.store().begin_accounts().await.unwrap();
        let app = RepositoryName::from_path("org/app").unwrap();
        let app = unit.repositories().find(&app).await.unwrap().unwrap().id;
        let digest = Digest::of(quay_core::Algorithm::Sha256, name.as_bytes());
        let media_type = MediaType::known(MediaType::OCI_MANIFEST);
        let manifest = NewManifest::new(digest, media_type, name.clone().into());
        let (id, _) = unit.manifests().put(app, &manifest, now).await.unwrap();
        let tag = Tag::new(name).unwrap();
        unit.tags().set(app, &tag, TagTarget::new(id), now).await.unwrap();
        unit.commit().await.unwrap();
    }
}

async fn alive(host: &Host) -> Vec<String> {
    let path = "/api/v1/repository/org/app/tag/?onlyActiveTags=true&limit=100";
    let seen = ask(host, "GET", path, &Value::Null).await.json();
    let tags = seen["tags"].as_array().unwrap();
    tags.iter()
        .map(|tag| tag["name"].as_str().unwrap().to_owned())
        .collect()
}

fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|index| format!("t{index:02}")).collect()
}

#[tokio::test]
async fn a_policy_is_written_tried_and_carried_out() {
    let host = fresh(registry()).await;
    tags(&host, &numbered(7)).await;
    let policy = json!({ "method": "number_of_tags", "value": 3, "tagPattern": "^t" });
    // What it would do, three at a time.
    let (mut would_go, mut next) = (Vec::new(), String::new());
    for _ in 0..9 {
        let path = format!("{APP}dryrun?limit=3&next_page={next}");
        let seen = ask(&host, "POST", &path, &policy).await;
        assert_eq!(seen.status, 200, "{}", seen.text());
        let seen = seen.json();
        let page = seen["tags"].as_array().unwrap();
        assert!(page.len() <= 3);
        would_go.extend(page.iter().map(|tag| tag["name"].as_str().unwrap().to_owned()));
        for tag in page {
            assert_eq!(
                tag["reason"],
                "there are 3 newer tags, and its name fits the pattern ^t"
            );
            assert_eq!(tag["repository"], "org/app");
        }
        let Some(more) = seen["next_page"].as_str() else {
            break;
        };
        more.clone_into(&mut next);
    }
    assert_eq!(would_go, ["t03", "t02", "t01", "t00"]);
    assert_eq!(alive(&host).await.len(), 9, "a dry run has done something");

    let created = ask(&host, "POST", APP, &policy).await;
    assert_eq!(created.status, 201, "{}", created.text());
    let uuid = created.json()["uuid"].as_str().unwrap().to_owned();
    let one = format!("{APP}{uuid}");
    let expected = json!({
        "uuid": uuid,
        "method": "number_of_tags",
        "value": 3,
        "tagPattern": "^t",
        "tagPatternMatches": true,
    });
    assert_eq!(ask(&host, "GET", &one, &Value::Null).await.json(), expected);
    let again = ask(&host, "POST", APP, &policy).await;
    assert_eq!(
        (again.status.as_u16(), again.json()["title"].as_str()),
        (400, Some("invalid_request"))
    );

    let run = host.registry.run_policies(100).await.unwrap();
    assert_eq!(run.pruned, 4, "{run:?}");
    assert_eq!(alive(&host).await, ["t06", "t05", "t04", "latest", "old"]);
    let logged = log::entries(&host.database()).await;
    let pruned: Vec<_> = logged
        .iter()
        .filter(|entry| entry.kind == "autoprune_tag_delete")
        .collect();
    assert_eq!(pruned.len(), 4);
    assert_eq!(
        (pruned[0].account.as_str(), pruned[0].performer.as_str()),
        ("org", "")
    );
    assert_eq!(pruned[0].metadata["performer"], "autoprune worker");
    assert_eq!(pruned[0].metadata["tag"], "t03");
    assert_eq!(pruned[0].metadata["repo"], "app");
    // Back from the time machine, and pruned once more when its time comes.
    let digest = Digest::of(quay_core::Algorithm::Sha256, b"t03");
    let path = "/api/v1/repository/org/app/tag/t03/restore";
    let seen = ask(&host, "POST", path, &json!({ "manifest_digest": digest })).await;
    assert_eq!(seen.status, 200, "{}", seen.text());
    assert_eq!(alive(&host).await[0], "t03");

    assert_eq!(ask(&host, "DELETE", &one, &Value::Null).await.status, 200);
    assert_eq!(ask(&host, "DELETE", &one, &Value::Null).await.status, 404);
    // A policy of the namespace is no policy of the repository, nor one of another kind.
    for path in [
        format!("{APP}autoprune-org"),
        format!("{KEPT}autoprune-org"),
        format!("{ORG}autoprune-app"),
    ] {
        assert_eq!(ask(&host, "GET", &path, &Value::Null).await.status, 404, "{path}");
        assert_eq!(
            ask(&host, "DELETE", &path, &Value::Null).await.status,
            404,
            "{path}"
        );
    }
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_in_words() {
    let host = fresh(registry()).await;
    for (base, body, words) in [
        (
            ORG,
            json!({ "method": "newest", "value": 1 }),
            "Invalid method provided",
        ),
        (
            ORG,
            json!({ "method": "number_of_tags", "value": 0 }),
            "whole number above zero",
        ),
        (
            ORG,
            json!({ "method": "number_of_tags", "value": -2 }),
            "whole number above zero",
        ),
        (
            ORG,
            json!({ "method": "number_of_tags", "value": "2" }),
            "whole number above zero",
        ),
        (
            ORG,
            json!({ "method": "creation_date", "value": "-1d" }),
            "a whole number and a unit",
        ),
        (
            ORG,
            json!({ "method": "creation_date", "value": "1 fortnight" }),
            "a whole number and a unit",
        ),
        (
            ORG,
            json!({ "method": "creation_date", "value": "0s" }),
            "longer than nothing",
        ),
        (
            ORG,
            json!({ "method": "creation_date", "value": "1d", "keepPulledWithin": "x" }),
            "keepPulledWithin",
        ),
        (
            ORG,
            json!({ "method": "number_of_tags", "value": 1, "tagPattern": "[" }),
            "unclosed character class",
        ),
        (ORG, json!({ "method": "number_of_tags" }), "value"),
        (KEPT, json!({ "tagPattern": "a(" }), "unclosed group"),
        (KEPT, json!({ "tagPattern": "" }), "must not be empty"),
        (
            KEPT,
            json!({ "tagPattern": "no-such-tag", "tagPatternMatches": false }),
            "already exists",
        ),
        (KEPT, json!({}), "tagPattern"),
    ] {
        for path in [
            base.to_owned(),
            format!("{base}autoprune-org"),
            format!("{base}dryrun"),
        ] {
            let method = if path.ends_with("-org") { "PUT" } else { "POST" };
            if words == "already exists" && path != KEPT || path == format!("{KEPT}autoprune-org") {
                continue;
            }
            let seen = ask(&host, method, &path, &body).await;
            let told = seen.json()["detail"].as_str().unwrap_or_default().to_owned();
            assert!(
                seen.status == 400 && told.contains(words),
                "{path} {body}: {}",
                seen.text()
            );
        }
    }
    let policies = ask(&host, "GET", ORG, &Value::Null).await.json();
    assert_eq!(
        policies["policies"].as_array().unwrap().len(),
        1,
        "half of a bad policy is there"
    );
    assert!(log::entries(&host.database()).await.is_empty());
}

#[tokio::test]
async fn immutable_tags_are_told_and_kept() {
    let host = fresh(registry()).await;
    tags(&host, &numbered(2)).await;
    let dry_run = ask(
        &host,
        "POST",
        &format!("{KEPT}dryrun"),
        &json!({ "tagPattern": "t.*" }),
    )
    .await
    .json();
    let names: Vec<_> = dry_run["tags"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tag| &tag["name"])
        .collect();
    assert_eq!(names, ["t01", "t00"], "{dry_run}");
    let created = ask(&host, "POST", KEPT, &json!({ "tagPattern": "t.*" })).await;
    assert_eq!(created.status, 201, "{}", created.text());
    let dry_run = ask(
        &host,
        "POST",
        &format!("{KEPT}dryrun"),
        &json!({ "tagPattern": "t.*" }),
    )
    .await
    .json();
    assert_eq!(
        dry_run["tags"],
        json!([]),
        "what is immutable already would be made so"
    );
    // Nor would a policy prune it.
    let all = json!({ "method": "number_of_tags", "value": 1 });
    let dry_run = ask(&host, "POST", &format!("{ORG}dryrun"), &all).await.json();
    let names: Vec<_> = dry_run["tags"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tag| &tag["name"])
        .collect();
    assert_eq!(names, ["latest", "old"], "{dry_run}");

    let path = "/api/v1/repository/org/app/tag/t00";
    for (method, path, body) in [
        ("DELETE", path.to_owned(), Value::Null),
        ("PUT", path.to_owned(), json!({ "expiration": 4_102_444_800_i64 })),
        ("PUT", path.to_owned(), json!({ "immutable": false })),
        (
            "PUT",
            path.to_owned(),
            json!({ "manifest_digest": Digest::of(quay_core::Algorithm::Sha256, b"t01") }),
        ),
        (
            "POST",
            format!("{path}/restore"),
            json!({ "manifest_digest": Digest::of(quay_core::Algorithm::Sha256, b"t01") }),
        ),
    ] {
        let seen = ask(&host, method, &path, &body).await;
        let told = seen.json();
        assert_eq!(seen.status, 409, "{method} {path} {body}: {}", seen.text());
        assert_eq!(
            (&told["title"], &told["error_type"]),
            (&json!("tag_immutable"), &json!("tag_immutable"))
        );
    }
    let listed = ask(
        &host,
        "GET",
        "/api/v1/repository/org/app/tag/?onlyActiveTags=true",
        &Value::Null,
    );
    let listed = listed.await.json();
    let immutable: Vec<(&str, bool)> = listed["tags"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tag| (tag["name"].as_str().unwrap(), tag["immutable"].as_bool().unwrap()))
        .collect();
    assert_eq!(
        immutable,
        [("t01", true), ("t00", true), ("latest", false), ("old", false)]
    );

    let run = host.registry.run_policies(100).await.unwrap();
    assert_eq!(run.marked, 2, "{run:?}");
    let logged = log::entries(&host.database()).await;
    let made = logged
        .iter()
        .find(|entry| entry.kind == "tags_made_immutable_by_policy")
        .unwrap();
    let expected = json!({ "namespace": "org", "repo": "app", "tag_pattern": "t.*", "tag_pattern_matches": true, "count": 2 });
    assert_eq!(made.metadata, expected);
    let described = ask(&host, "GET", "/api/v1/error/tag_immutable", &Value::Null).await;
    assert_eq!(described.status, 200);
}

#[tokio::test]
async fn what_is_switched_off_is_not_there() {
    let mut options = registry();
    options.auto_prune = false;
    options.immutable_tags = false;
    let host = fresh(options).await;
    for path in [ORG, APP, KEPT, "/api/v1/user/autoprunepolicy/"] {
        assert_eq!(ask(&host, "GET", path, &Value::Null).await.status, 404, "{path}");
    }
    let path = "/api/v1/repository/org/app/tag/latest";
    let seen = ask(&host, "PUT", path, &json!({ "immutable": true })).await;
    assert_eq!(seen.status, 400, "{}", seen.text());
    assert!(seen.text().contains("Immutable tags are not enabled"));
}
