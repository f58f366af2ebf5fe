//! Searches as clients see them: who finds what, in which order, and page by page.

use quay_core::accounts::{LogEntry, LogKind};
use quay_core::metadata::Visibility;
use quay_core::runtime::Timestamp;
use quay_core::{Caller, CredentialKind, Principal, RepositoryName};
use serde_json::{Value, json};

use crate::roles::fixture::{fresh, registry};
use crate::support::Host;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

async fn ask(host: &Host, path: &str, user: Option<&str>) -> Value {
    let cookie = match user {
        Some(user) => host.fresh_cookie(&format!("uuid-{user}"), "csrf"),
        None => host.cookie(None, "csrf"),
    };
    let seen = host
        .ask("GET", &format!("/api/v1{path}"), &[("cookie", &cookie)], "")
        .await;
    assert_eq!(seen.status, 200, "{path} {}", seen.text());
    seen.json()
}

fn names(results: &Value, kind: &str) -> Vec<String> {
    let results = results["results"].as_array().unwrap().iter();
    let of_kind = results.filter(|result| result["kind"] == kind);
    of_kind
        .map(|result| result["name"].as_str().unwrap().to_owned())
        .collect()
}

/// Makes public repositories of `org`, with actions on the day before.
async fn make(host: &Host, count: usize) {
    let caller = Caller::new(Principal::User("admin".into())).with_credential(CredentialKind::Session, None);
    for index in 0..count {
        let name = RepositoryName::from_path(&format!("org/found{index:02}")).unwrap();
        let made = host
            .accounts
            .create_repository(&caller, &name, Visibility::Public, Some("made to be found"))
            .await;
        let made = made.unwrap().unwrap();
        let yesterday = Timestamp::from_millis(1_600_000_000_000 - DAY_MS);
        let mut unit = host.accounts.store().begin_accounts().await.unwrap();
        for _ in 0..index {
            let mut entry = LogEntry::new(LogKind::PullRepo, yesterday, json!({}));
            entry.repository = Some(made.id);
            unit.accounts().log(&entry).await.unwrap();
        }
        unit.commit().await.unwrap();
    }
    // They were there yesterday, as far as counting goes.
    host.clock.set(Timestamp::from_millis(1_600_000_000_000));
    while host.accounts.count_actions(7).await.unwrap() > 0 {}
}

#[tokio::test]
async fn repositories_are_found_page_by_page() {
    let host = fresh(registry()).await;
    make(&host, 25).await;
    let mut seen = Vec::new();
    for (page, more) in [(1, true), (2, true), (3, false)] {
        let found = ask(
            &host,
            &format!("/find/repositories?query=found&page={page}"),
            None,
        )
        .await;
        let place = [
            ("page", page),
            ("page_size", 10),
            ("start_index", (page - 1) * 10),
        ];
        for (member, expected) in place {
            assert_eq!(found[member], expected, "{member} of {page}");
        }
        assert_eq!(found["has_additional"], more);
        seen.extend(names(&found, "repository"));
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 25);
    // No page lies behind the last that there may be, and none before the first.
    let last = ask(&host, "/find/repositories?query=found&page=99", None).await;
    assert_eq!((&last["page"], &last["results"]), (&json!(10), &json!([])));
    let first = ask(&host, "/find/repositories?query=found&page=-1", None).await;
    assert_eq!(first["page"], 1);
    let one = &ask(&host, "/find/repositories?query=FOUND00", None).await["results"];
    let mut one = one[0].clone();
    one["namespace"]["avatar"].take();
    assert_eq!(
        one,
        json!({
            "kind": "repository", "title": "repo", "name": "found00", "description": "made to be found",
            "is_public": true, "score": 4.0, "href": "/repository/org/found00", "stars": 0, "popularity": 0.0,
            "namespace": {
                "title": "org", "kind": "organization", "name": "org", "score": 1.0, "href": "/organization/org",
                "avatar": null,
            },
        })
    );
}

#[tokio::test]
async fn everybody_finds_what_they_see() {
    let host = fresh(registry()).await;
    for (user, repositories, robots, teams) in [
        (None, 2, 0, false),
        (Some("other"), 2, 0, false),
        (Some("admin"), 3, 1, true),
    ] {
        let found = ask(&host, "/find/repositories?query=", user).await;
        let own = names(&found, "repository");
        let of_org = found["results"].as_array().unwrap().iter();
        let of_org = of_org
            .filter(|result| result["namespace"]["name"] == "org")
            .count();
        assert_eq!(of_org, repositories, "{user:?} {own:?}");
        let all = ask(&host, "/find/all?query=b", user).await;
        let found = names(&all, "robot")
            .iter()
            .filter(|name| *name == "org+bot")
            .count();
        assert_eq!(found, robots, "{user:?} {all}");
        let all = ask(&host, "/find/all?query=mem", user).await;
        assert_eq!(
            names(&all, "team").contains(&"members".to_owned()),
            teams,
            "{user:?}"
        );
        let all = ask(&host, "/find/all?query=or", user).await;
        assert_eq!(names(&all, "organization"), ["org"], "{user:?}");
    }
    assert_eq!(
        ask(&host, "/find/all?query=", Some("admin")).await,
        json!({ "results": [] })
    );
    // A pattern is none, and nothing that a database chokes on gets there.
    for query in ["%25", "_%25", "%07", "%F0%9F%90%8B", "a%27--"] {
        let path = format!("/find/repositories?query={query}");
        assert_eq!(ask(&host, &path, None).await["results"], json!([]), "{query}");
    }
}
