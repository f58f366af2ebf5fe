//! What tokens are worth at the registry.

use std::time::Duration;

use quay_core::accounts::{AccountKey, ApplicationChanges, RepositoryRole, RobotOwner};
use quay_core::metadata::Visibility;
use semver::VersionReq;
use serde_json::json;

use crate::support::{Host, basic, name, options, password};

const CHALLENGE: &str = "Bearer realm=\"https://registry.example/v2/auth\",service=\"registry.example\"";
const TAGS: &str = "/v2/alice/app/tags/list";

#[tokio::test]
async fn a_token_opens_what_it_grants() {
    let host = Host::new().await;
    host.repository("alice", "alice/app", Visibility::Private).await;
    let seen = host.get("/v2/").await;
    assert_eq!(
        (seen.status.as_u16(), seen.header("www-authenticate")),
        (401, CHALLENGE)
    );
    let token = host
        .token_of("alice", &["repository:alice/app:pull"])
        .await
        .token();
    let bearer = format!("Bearer {token}");
    let bearer = [("authorization", bearer.as_str())];
    assert_eq!(host.ask("GET", "/v2/", &bearer, "").await.status, 200);
    let seen = host.ask("GET", TAGS, &bearer, "").await;
    assert_eq!(seen.status, 200, "{seen:?}");
    let seen = host
        .ask("POST", "/v2/alice/app/blobs/uploads/", &bearer, "")
        .await;
    assert_eq!(
        (seen.status.as_u16(), seen.code().as_str()),
        (401, "UNAUTHORIZED")
    );
    let expected = format!("{CHALLENGE},scope=\"repository:alice/app:pull,push\"");
    assert_eq!(seen.header("www-authenticate"), expected);
    // Nobody's token opens the first door, and no other.
    let token = host.token(None, &["repository:alice/app:pull"]).await.token();
    let bearer = format!("Bearer {token}");
    let bearer = [("authorization", bearer.as_str())];
    assert_eq!(host.ask("GET", "/v2/", &bearer, "").await.status, 200);
    assert_eq!(host.ask("GET", TAGS, &bearer, "").await.status, 401);
}

#[tokio::test]
async fn what_is_no_token_is_refused() {
    let host = Host::new().await;
    host.repository("alice", "alice/app", Visibility::Public).await;
    let token = host
        .token_of("alice", &["repository:alice/app:pull"])
        .await
        .token();
    let late = format!("Bearer {token}");
    let seen = host.ask("GET", TAGS, &[("authorization", &late)], "").await;
    assert_eq!(seen.status, 200);
    let forged = format!("{}A", &late[..late.len() - 1]);
    let password = basic("alice", &password("alice")).1;
    host.clock.advance(Duration::from_secs(3700));
    for value in [&late, &forged, &password, "Bearer abc", "Bearer", "Digest x"] {
        let seen = host.ask("GET", TAGS, &[("authorization", value)], "").await;
        assert_eq!(
            (seen.status.as_u16(), seen.code().as_str()),
            (401, "UNAUTHORIZED"),
            "{value}"
        );
        let expected = format!("{CHALLENGE},scope=\"repository:alice/app:pull\"");
        assert_eq!(seen.header("www-authenticate"), expected);
        assert_eq!(seen.header("docker-distribution-api-version"), "registry/2.0");
    }
}

#[tokio::test]
async fn what_was_taken_away_is_felt() {
    let host = Host::new().await;
    let alice = host.caller("alice");
    host.repository("alice", "alice/app", Visibility::Private).await;
    let mut bearers = Vec::new();
    for short in ["gone", "renewed", "stays"] {
        let robot = host
            .accounts
            .create_robot(&alice, RobotOwner::Own, short, "", &json!({}))
            .await
            .unwrap();
        let full = format!("alice+{short}");
        host.accounts
            .set_user_permission(&alice, &name("alice/app"), &full, RepositoryRole::Read)
            .await
            .unwrap();
        let secret = robot.token.unwrap();
        // What was changed before a token was issued does not concern it.
        host.clock.advance(Duration::from_mins(1));
        let token = host
            .token(Some((&full, &secret)), &["repository:alice/app:pull"])
            .await
            .token();
        bearers.push(format!("Bearer {token}"));
    }
    let statuses = async || {
        let mut statuses = Vec::new();
        for bearer in &bearers {
            statuses.push(
                host.ask("GET", TAGS, &[("authorization", bearer)], "")
                    .await
                    .status
                    .as_u16(),
            );
        }
        statuses
    };
    host.accounts.follow_changes(&host.changes).await.unwrap();
    assert_eq!(statuses().await, [200, 200, 200]);
    host.clock.advance(Duration::from_mins(1));
    let alice = host.caller("alice");
    host.accounts
        .delete_robot(&alice, RobotOwner::Own, "gone")
        .await
        .unwrap();
    host.accounts
        .regenerate_robot(&alice, RobotOwner::Own, "renewed")
        .await
        .unwrap();
    host.accounts.follow_changes(&host.changes).await.unwrap();
    assert_eq!(statuses().await, [401, 401, 200]);
}

#[tokio::test]
async fn what_one_token_was_refused_another_of_the_same_second_is_not() {
    let host = Host::new().await;
    let alice = host.caller("alice");
    let app = name("alice/app");
    host.repository("alice", "alice/app", Visibility::Private).await;
    let robot = host
        .accounts
        .create_robot(&alice, RobotOwner::Own, "puller", "", &json!({}))
        .await
        .unwrap();
    let secret = robot.token.unwrap();
    let permit = async || {
        host.accounts
            .set_user_permission(&alice, &app, "alice+puller", RepositoryRole::Read)
            .await
            .unwrap();
    };
    let pull = async |bearer: &str| {
        let seen = host.ask("GET", TAGS, &[("authorization", bearer)], "").await;
        seen.status.as_u16()
    };
    let token = async || {
        let scopes = ["repository:alice/app:pull"];
        let issued = host.token(Some(("alice+puller", &secret)), &scopes).await;
        format!("Bearer {}", issued.token())
    };
    permit().await;
    let before = token().await;
    host.accounts
        .delete_user_permission(&alice, &app, "alice+puller")
        .await
        .unwrap();
    host.accounts.follow_changes(&host.changes).await.unwrap();
    assert_eq!(pull(&before).await, 401);
    permit().await;
    assert_eq!(pull(&token().await).await, 200);
}

#[tokio::test]
async fn old_dockers_are_told_that_there_is_nothing() {
    let refused = VersionReq::parse("<1.6.0").unwrap();
    let host = Host::with(options(), |settings| {
        settings.with_refused_docker_versions(Some(refused.clone()))
    })
    .await;
    for (user_agent, refused) in [
        ("docker/1.5.0 go/go1.3.3", true),
        ("Go 1.1 package http", true),
        ("docker/1.6.0 go/go1.4.2", false),
        ("docker/24.0.5", false),
        ("containers/5.0", false),
    ] {
        for path in ["/v2/", "/v2/auth"] {
            let seen = host.ask("GET", path, &[("user-agent", user_agent)], "").await;
            assert_eq!(
                seen.status,
                if refused { 404 } else { 401 },
                "{user_agent} {path}"
            );
        }
        // What they do not know of is not hidden.
        let seen = host.ask("GET", TAGS, &[("user-agent", user_agent)], "").await;
        assert_eq!(seen.status, 401);
    }
    // A bad token is bad first.
    let headers = [("user-agent", "docker/1.5.0"), ("authorization", "Bearer a.b")];
    assert_eq!(host.ask("GET", "/v2/", &headers, "").await.status, 401);
}

#[tokio::test]
async fn a_registry_that_does_not_advertise() {
    let host = Host::with(options(), |settings| settings.with_advertise_v2(false)).await;
    assert_eq!(host.get("/v2/").await.status, 404);
    assert_eq!(host.get(TAGS).await.status, 401);
}

#[tokio::test]
async fn whether_a_repository_is_there_is_told_to_those_who_may_see_it() {
    let host = Host::new().await;
    host.repository("alice", "alice/secret", Visibility::Private)
        .await;
    host.repository("alice", "alice/open", Visibility::Public).await;
    let cookie = host.cookie(Some("bob"), "c").await;
    let headers = [("cookie", cookie.as_str()), ("x-csrf-token", "c")];
    for (path, status) in [("alice/secret", 403), ("alice/none", 403), ("alice/open", 400)] {
        let path = format!("/api/v1/user/starred/{path}");
        let seen = host.ask("DELETE", &path, &headers, "").await;
        assert_eq!(seen.status, status, "{path}: {}", seen.text());
    }
}

#[tokio::test]
async fn an_organization_is_renamed_once_and_is_nobodys_member() {
    let mut options = options();
    options.superusers.insert("alice".to_owned());
    let host = Host::with(options, |settings| settings).await;
    let (alice, bob) = (host.caller("alice"), host.caller("bob"));
    for name in ["devel", "race"] {
        host.accounts.create_organization(&bob, name, None).await.unwrap();
    }
    let tries = (0..8).map(|number| {
        let (accounts, alice) = (&host.accounts, &alice);
        async move {
            let to = format!("renamed{number}");
            accounts
                .rename_organization(alice, "race", Some(&to))
                .await
                .is_ok()
        }
    });
    let outcomes = futures::future::join_all(tries).await;
    assert_eq!(outcomes.iter().filter(|renamed| **renamed).count(), 1);

    let mut reader = host.accounts.store().reader();
    let account = reader.account(AccountKey::Name("bob")).await.unwrap().unwrap();
    assert_eq!(reader.teams_of(account.id, None).await.unwrap().len(), 2);
    host.accounts.take_ownership(&alice, "bob").await.unwrap();
    assert!(reader.teams_of(account.id, None).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_is_public_is_one_thing_for_all_that_ask() {
    let mut options = options();
    options.anonymous_access = false;
    let host = Host::with(options, |settings| settings).await;
    host.repository("alice", "alice/open", Visibility::Public).await;
    host.repository("alice", "alice/secret", Visibility::Private)
        .await;
    let bob = host.cookie(Some("bob"), "c").await;
    for (path, bobs) in [
        ("/repository/alice/open", 200),
        ("/repository/alice/open?includeTags=false", 200),
        ("/repository/alice/open/tag/", 200),
        ("/repository/alice/secret", 403),
        ("/repository/alice/secret/tag/", 403),
    ] {
        let path = format!("/api/v1{path}");
        let seen = host.ask("GET", &path, &[("cookie", &bob)], "").await;
        assert_eq!(seen.status, bobs, "{path}: {}", seen.text());
        assert_eq!(host.get(&path).await.status, 401, "{path}");
    }
}

#[tokio::test]
async fn a_repository_that_takes_no_writes_says_so() {
    let mut options = options();
    options.repository_states = true;
    let host = Host::with(options, |settings| settings).await;
    host.repository("alice", "alice/app", Visibility::Private).await;
    let cookie = host.cookie(Some("alice"), "c").await;
    let headers = [
        ("cookie", cookie.as_str()),
        ("x-csrf-token", "c"),
        ("content-type", "application/json"),
    ];
    let state = |state: &str| json!({ "state": state }).to_string();
    let change = "/api/v1/repository/alice/app/changestate";
    let tag = "/api/v1/repository/alice/app/tag/v1";
    for wrong in ["MARKED_FOR_DELETION", "normal", ""] {
        let seen = host.ask("PUT", change, &headers, &state(wrong)).await;
        assert_eq!(seen.status, 400, "{wrong}");
    }
    for name in ["READ_ONLY", "MIRROR"] {
        assert_eq!(host.ask("PUT", change, &headers, &state(name)).await.status, 200);
        let seen = host.ask("DELETE", tag, &headers, "").await;
        assert_eq!(seen.status, 503, "{name}");
        assert!(seen.json()["message"].is_string());
        assert!(seen.json()["is_readonly"].is_null(), "the registry takes writes");
    }
    assert_eq!(
        host.ask("PUT", change, &headers, &state("NORMAL")).await.status,
        200
    );
    assert_eq!(host.ask("DELETE", tag, &headers, "").await.status, 404);
}

#[tokio::test]
async fn what_is_wrong_with_a_question_is_told_to_those_who_may_ask() {
    let host = Host::new().await;
    host.repository("alice", "alice/app", Visibility::Private).await;
    let (alice, bob) = (
        host.cookie(Some("alice"), "c").await,
        host.cookie(Some("bob"), "c").await,
    );
    for (path, status) in [
        ("/manifest/md5:ab", 404),
        ("/manifest/md5:ab/labels", 404),
        ("/tag/?filter_tag_name=x", 400),
    ] {
        let path = format!("/api/v1/repository/alice/app{path}");
        let as_who = async |cookie: &str| host.ask("GET", &path, &[("cookie", cookie)], "").await.status;
        assert_eq!(as_who(&alice).await, status, "{path}");
        assert_eq!(as_who(&bob).await, 403, "{path}");
        assert_eq!(host.get(&path).await.status, 401, "{path}");
    }
}

#[tokio::test]
async fn what_is_deleted_at_once_by_many_is_deleted_once() {
    let mut options = options();
    options.superusers.insert("alice".to_owned());
    let host = Host::with(options, |settings| settings).await;
    let alice = host.caller("alice");
    let accounts = &host.accounts;
    accounts.create_organization(&alice, "devel", None).await.unwrap();
    accounts.create_organization(&alice, "apps", None).await.unwrap();
    accounts
        .create_robot(&alice, RobotOwner::Own, "bot", "", &json!({}))
        .await
        .unwrap();
    let changes = ApplicationChanges {
        name: "app".to_owned(),
        ..ApplicationChanges::default()
    };
    let application = accounts
        .create_application(&alice, "apps", &changes)
        .await
        .unwrap();
    let prototype = accounts
        .create_prototype(&alice, "apps", None, ("bob", false), RepositoryRole::Read)
        .await
        .unwrap();
    let (token, _) = accounts.create_app_token(&alice, "laptop").await.unwrap();
    let client = &application.application.client_id;
    for what in [
        "robot",
        "application",
        "prototype",
        "app token",
        "organization",
        "user",
    ] {
        let tries = (0..6).map(|_| async {
            let deleted = match what {
                "robot" => accounts.delete_robot(&alice, RobotOwner::Own, "bot").await,
                "application" => accounts.delete_application(&alice, "apps", client).await,
                "prototype" => {
                    accounts
                        .delete_prototype(&alice, "apps", &prototype.prototype.uuid)
                        .await
                }
                "app token" => accounts.delete_app_token(&alice, &token.uuid).await,
                "organization" => accounts.delete_any_organization(&alice, "devel").await,
                _ => accounts.delete_any_user(&alice, "bob").await,
            };
            deleted.is_ok()
        });
        let outcomes = futures::future::join_all(tries).await;
        assert_eq!(outcomes.iter().filter(|deleted| **deleted).count(), 1, "{what}");
    }
}

#[tokio::test]
async fn whoever_makes_a_repository_of_their_own_is_shown_as_its_administrator() {
    let host = Host::new().await;
    host.repository("alice", "alice/app", Visibility::Private).await;
    let role = host
        .accounts
        .user_permission(&host.caller("alice"), &name("alice/app"), "alice")
        .await
        .unwrap()
        .role;
    assert_eq!(role, RepositoryRole::Admin);
}

#[tokio::test]
async fn a_page_says_that_there_is_a_next_one_only_if_there_is() {
    let host = Host::new().await;
    for number in 0..4 {
        host.repository("alice", &format!("alice/r{number}"), Visibility::Public)
            .await;
    }
    for (query, size) in [("namespace=alice&public=true", 4_usize), ("public=true", 4)] {
        for limit in 1..=5_usize {
            let mut path = format!("/api/v1/repository?{query}&limit={limit}");
            let (mut seen, mut pages) = (0, 0);
            loop {
                let answer = host.get(&path).await.json();
                pages += 1;
                seen += answer["repositories"].as_array().unwrap().len();
                let Some(next) = answer["next_page"].as_str() else {
                    break;
                };
                path = format!("/api/v1/repository?{query}&limit={limit}&next_page={next}");
            }
            assert_eq!((seen, pages), (size, size.div_ceil(limit)), "{query} {limit}");
        }
    }
}
