//! `/v2/auth`: who gets which token.

use std::time::Duration;

use quay_core::Access;
use quay_core::accounts::{
    AccountKey, ApplicationChanges, AskedActions, RepositoryRole, RobotOwner, Scope, ScopeSet, TeamRole,
};
use quay_core::metadata::Visibility;
use serde_json::json;
use sqlx::Row as _;

use crate::support::{FORM, HOST, Host, basic, encoded, name, options, password};

#[tokio::test]
async fn a_token_says_whose_it_is_and_for_how_long() {
    let host = Host::new().await;
    let seen = host.token_of("alice", &[]).await;
    let body = seen.json();
    assert_eq!(body["token"], body["access_token"]);
    assert_eq!(body["expires_in"], 3600);
    assert_eq!(body["issued_at"], "2020-09-13T12:26:40Z");
    assert_eq!(
        seen.header("cache-control"),
        "no-cache, no-store, must-revalidate"
    );
    assert_eq!(seen.header("content-type"), "application/json");
    let claims = seen.claims();
    assert_eq!(claims["sub"], "alice");
    assert_eq!(claims["aud"], HOST);
    assert_eq!(claims["iss"], "quay");
    assert_eq!(claims["access"], json!([]));
    assert_eq!(claims["context"]["entity_kind"], "user");

    // What an absent service gives is a token for nobody.
    let (header, value) = basic("alice", &password("alice"));
    let seen = host.ask("GET", "/v2/auth", &[(header, &value)], "").await;
    assert_eq!(seen.claims()["aud"], json!(null));
    // The address of the user's mailbox is as good as the name.
    let seen = host
        .token(Some(("bob@mail.example", &password("bob"))), &[])
        .await;
    assert_eq!(seen.claims()["sub"], "bob");
    let seen = host.token(None, &["repository:alice/app:pull"]).await;
    assert_eq!(seen.claims()["sub"], "(anonymous)");
}

#[tokio::test]
async fn what_is_granted() {
    let host = Host::new().await;
    host.repository("alice", "alice/private", Visibility::Private)
        .await;
    host.repository("alice", "alice/public", Visibility::Public).await;
    host.repository("alice", "alice/nested/app", Visibility::Public)
        .await;
    for (who, scope, granted) in [
        ("alice", "alice/private:pull,push", "push,pull"),
        ("alice", "alice/private:*", "*"),
        ("alice", "alice/private:push,pull,*", "push,pull,*"),
        ("alice", "alice/private:pull", "pull"),
        ("alice", "alice/private:delete", "push"),
        ("alice", "alice/nested/app:pull,push", "push,pull"),
        ("alice", "registry.example/alice/private:pull", "pull"),
        ("bob", "alice/private:pull,push,*", ""),
        ("bob", "alice/public:pull,push,*", "pull"),
        ("bob", "alice/missing:pull,push", ""),
        ("", "alice/private:pull,push,*", ""),
        ("", "alice/public:pull,push,*", "pull"),
        ("", "alice/public:push", ""),
        ("", "alice/missing:pull,push", ""),
        ("", "nobody/missing:pull,push", ""),
        // The owner of a namespace reads what is not there.
        ("alice", "alice/missing:pull", "pull"),
        ("alice", "alice/missing:*", ""),
        ("alice", "nobody/missing:pull,push,*", ""),
        ("alice", "thing:pull,push", ""),
    ] {
        let asked = format!("repository:{scope}");
        let seen = match who {
            "" => host.token(None, &[&asked]).await,
            user => host.token_of(user, &[&asked]).await,
        };
        let written = scope.rsplit_once(':').unwrap().0.to_owned();
        assert_eq!(seen.granted(), [(written, granted.to_owned())], "{who} {scope}");
    }
}

#[tokio::test]
async fn a_push_makes_the_repository() {
    let host = Host::new().await;
    let seen = host.token_of("alice", &["repository:alice/new:pull,push"]).await;
    assert_eq!(seen.granted(), [("alice/new".to_owned(), "push,pull".to_owned())]);
    let made = host
        .accounts
        .store()
        .repository(&name("alice/new"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(made.visibility, Visibility::Private);
    let seen = host.token_of("bob", &["repository:alice/other:push"]).await;
    assert_eq!(seen.granted(), [("alice/other".to_owned(), String::new())]);
    assert!(
        host.accounts
            .store()
            .repository(&name("alice/other"))
            .await
            .unwrap()
            .is_none()
    );

    // Creators of an organization may; other members may not.
    let alice = host.caller("alice");
    host.accounts
        .create_organization(&alice, "devel", None)
        .await
        .unwrap();
    for (team, role, member) in [
        ("makers", TeamRole::Creator, "bob"),
        ("readers", TeamRole::Member, "carol"),
    ] {
        if member == "carol" {
            host.sign_up(member).await;
        }
        host.accounts
            .put_team(&alice, "devel", team, role, None)
            .await
            .unwrap();
        host.accounts
            .add_team_member(&alice, "devel", team, member)
            .await
            .unwrap();
    }
    let seen = host.token_of("carol", &["repository:devel/app:push"]).await;
    assert_eq!(seen.granted()[0].1, "");
    let seen = host.token_of("bob", &["repository:devel/app:push"]).await;
    assert_eq!(seen.granted()[0].1, "push");
    // Who has made it administers it.
    let seen = host.token_of("bob", &["repository:devel/app:*"]).await;
    assert_eq!(seen.granted()[0].1, "*");
}

#[tokio::test]
async fn states_and_kinds() {
    let host = Host::new().await;
    for path in [
        "alice/normal",
        "alice/frozen",
        "alice/mirrored",
        "alice/gone",
        "alice/apps",
    ] {
        host.repository("alice", path, Visibility::Private).await;
    }
    host.execute("UPDATE qr_repository SET state = 'read_only' WHERE path = 'alice/frozen'")
        .await;
    host.execute("UPDATE qr_repository SET state = 'mirror' WHERE path = 'alice/mirrored'")
        .await;
    host.execute("UPDATE qr_repository SET state = 'marked_for_deletion' WHERE path = 'alice/gone'")
        .await;
    host.execute("UPDATE qr_repository SET kind = 'application' WHERE path = 'alice/apps'")
        .await;
    for (path, granted) in [
        ("alice/normal", "push,pull,*"),
        ("alice/frozen", "pull"),
        ("alice/mirrored", "pull"),
        // As if it were not there, and nothing is made in its place.
        ("alice/gone", "pull"),
    ] {
        let asked = format!("repository:{path}:push,pull,*");
        let seen = host.token_of("alice", &[&asked]).await;
        assert_eq!(seen.granted(), [(path.to_owned(), granted.to_owned())]);
    }
    let seen = host.token_of("alice", &["repository:alice/apps:pull"]).await;
    assert_eq!((seen.status.as_u16(), seen.code().as_str()), (405, "UNSUPPORTED"));
    let seen = host.token_of("bob", &["repository:alice/apps:pull"]).await;
    assert_eq!(
        seen.granted()[0].1,
        "",
        "who may do nothing is not told what it is"
    );
}

#[tokio::test]
async fn a_namespace_that_is_switched_off() {
    let host = Host::new().await;
    host.repository("bob", "bob/app", Visibility::Public).await;
    host.execute("UPDATE qr_account SET enabled = 0 WHERE name = 'bob'")
        .await;
    let seen = host.token_of("alice", &["repository:bob/app:pull"]).await;
    assert_eq!((seen.status.as_u16(), seen.code().as_str()), (405, "DENIED"));
    let seen = host.token_of("bob", &[]).await;
    assert_eq!(
        (seen.status.as_u16(), seen.code().as_str()),
        (401, "UNAUTHORIZED")
    );
}

#[tokio::test]
async fn other_credentials() {
    let host = Host::new().await;
    let alice = host.caller("alice");
    host.repository("alice", "alice/app", Visibility::Private).await;
    host.repository("alice", "alice/other", Visibility::Private).await;
    let asked = [
        "repository:alice/app:pull,push",
        "repository:alice/other:pull",
        "repository:alice/new:push",
    ];
    let granted = |seen: crate::support::Seen| -> Vec<String> {
        seen.granted().into_iter().map(|(_, actions)| actions).collect()
    };

    let robot = host
        .accounts
        .create_robot(&alice, RobotOwner::Own, "ci", "", &json!({}))
        .await
        .unwrap();
    let secret = robot.token.unwrap();
    host.accounts
        .set_user_permission(&alice, &name("alice/app"), "alice+ci", RepositoryRole::Write)
        .await
        .unwrap();
    let seen = host.token(Some(("alice+ci", &secret)), &asked).await;
    assert_eq!(seen.claims()["sub"], "alice+ci");
    assert_eq!(seen.claims()["context"]["entity_kind"], "robot");
    assert_eq!(granted(seen), ["push,pull", "", ""]);
    assert_eq!(
        host.token(Some(("alice+ci", &password("alice"))), &asked)
            .await
            .status,
        401
    );
    assert_eq!(host.token(Some(("alice", &secret)), &asked).await.status, 401);
    host.clock.advance(Duration::from_mins(1));

    let secret = host
        .accounts
        .create_access_token(&alice, &name("alice/app"), "build", RepositoryRole::Write)
        .await
        .unwrap();
    let seen = host.token(Some(("$token", &secret)), &asked).await;
    assert_eq!(seen.claims()["sub"], json!(null));
    assert_eq!(granted(seen), ["push,pull", "", ""]);

    let (_, secret) = host
        .accounts
        .create_app_token(&host.caller("alice"), "laptop")
        .await
        .unwrap();
    let seen = host.token(Some(("$app", &secret)), &asked[..2]).await;
    assert_eq!(seen.claims()["context"]["entity_kind"], "appspecifictoken");
    assert_eq!(granted(seen), ["push,pull", "pull"]);

    let application = host.application(ApplicationChanges::default()).await.application;
    for (scope, expected) in [
        ("repo:read", ["pull", "pull", ""]),
        ("repo:write", ["push,pull", "pull", ""]),
    ] {
        let issued = host
            .accounts
            .create_application_token(&alice, "devel", &application.client_id, "t", scope, None)
            .await
            .unwrap();
        let seen = host.token(Some(("$oauthtoken", &issued.value)), &asked).await;
        assert_eq!(seen.claims()["sub"], "alice");
        assert_eq!(granted(seen), expected, "{scope}");
        // Not by way of a header that tokens of the API come in.
        let bearer = format!("Bearer {}", issued.value);
        let seen = host
            .ask("GET", "/v2/auth", &[("authorization", &bearer)], "")
            .await;
        assert_eq!(
            (seen.status.as_u16(), seen.code().as_str()),
            (401, "UNAUTHORIZED")
        );
    }
}

#[tokio::test]
async fn several_scopes() {
    let host = Host::new().await;
    host.repository("alice", "alice/app", Visibility::Private).await;
    let expected = [
        ("alice/app".to_owned(), "pull".to_owned()),
        ("bob/app".to_owned(), String::new()),
    ];
    let (one, other) = ("repository:alice/app:pull", "repository:bob/app:pull");
    let joined = format!("{one} {other}");
    for scopes in [&[one, other][..], &[joined.as_str()], &[one, "", other]] {
        let seen = host.token_of("alice", scopes).await;
        assert_eq!(seen.granted(), expected, "{scopes:?}");
    }
    assert_eq!(host.token_of("alice", &[""]).await.granted(), []);
    let many = vec![one; 65];
    let seen = host.token_of("alice", &many).await;
    assert_eq!(
        (seen.status.as_u16(), seen.code().as_str()),
        (400, "INVALID_REQUEST")
    );
}

#[tokio::test]
async fn what_makes_no_sense() {
    let host = Host::new().await;
    for scope in [
        "registry:catalog:*",
        "repository(plugin):alice/app:pull",
        "repository:alice/app",
        "repository:alice/app:",
        "repository:alice/app:pull,admin",
        "repository:other.example:80/alice/app:pull",
        "<script>",
    ] {
        let seen = host.token_of("alice", &[scope]).await;
        assert_eq!(
            (seen.status.as_u16(), seen.code().as_str()),
            (400, "INVALID_REQUEST"),
            "{scope}"
        );
        let message = seen.json()["errors"][0]["message"].as_str().unwrap().to_owned();
        assert!(message.ends_with(scope), "{message}");
        assert_eq!(
            seen.header("cache-control"),
            "no-cache, no-store, must-revalidate"
        );
    }
    for path in ["Alice/app", "alice/.app", "alice/a..b"] {
        let seen = host
            .token_of("alice", &[&format!("repository:{path}:pull")])
            .await;
        assert_eq!(
            (seen.status.as_u16(), seen.code().as_str()),
            (400, "NAME_INVALID"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn who_is_not_let_in_is_told_how_to_get_in() {
    let host = Host::new().await;
    let challenge = "Bearer realm=\"https://registry.example/v2/auth\",service=\"registry.example\"";
    let wrong = basic("alice", "wrong").1;
    let unknown = basic("nobody", "wrong").1;
    let foreign = basic("älice", "wrong").1;
    let odd = basic("al\0ice", "wrong").1;
    for value in [
        &wrong,
        &unknown,
        &foreign,
        &odd,
        "Bearer abc",
        "Basic !!!",
        "Digest x",
        "x",
    ] {
        for path in ["/v2/auth", "/v2/auth?scope=repository:alice/app:pull"] {
            let seen = host.ask("GET", path, &[("authorization", value)], "").await;
            assert_eq!(
                (seen.status.as_u16(), seen.code().as_str()),
                (401, "UNAUTHORIZED"),
                "{value}"
            );
            assert_eq!(seen.header("www-authenticate"), challenge);
            assert_eq!(seen.header("docker-distribution-api-version"), "registry/2.0");
            host.clock.advance(Duration::from_mins(10));
        }
    }
    for scopes in [&[][..], &[""], &["repository:alice/app:pull", ""]] {
        let seen = host.token(None, scopes).await;
        assert_eq!(
            (seen.status.as_u16(), seen.code().as_str()),
            (401, "UNAUTHORIZED"),
            "{scopes:?}"
        );
        assert_eq!(seen.header("www-authenticate"), challenge);
    }
}

#[tokio::test]
async fn who_fails_too_often_waits() {
    let host = Host::new().await;
    let wrong = Some(("alice", "wrong-password"));
    assert_eq!(host.token(wrong, &[]).await.status, 401);
    let seen = host.token_of("alice", &[]).await;
    assert_eq!((seen.status.as_u16(), seen.header("retry-after")), (429, "1"));
    assert!(seen.header("content-type").starts_with("text/plain"));
    assert_eq!(
        seen.header("cache-control"),
        "no-cache, no-store, must-revalidate"
    );
    host.clock.advance(Duration::from_secs(1));
    assert_eq!(host.token_of("alice", &[]).await.status, 200);
}

#[tokio::test]
async fn where_everybody_must_log_in() {
    let mut options = options();
    options.anonymous_access = false;
    let host = Host::with(options, |settings| settings).await;
    host.repository("alice", "alice/public", Visibility::Public).await;
    let asked = ["repository:alice/public:pull"];
    let seen = host.token(None, &asked).await;
    assert_eq!(seen.status, 401);
    assert!(seen.json()["error"].is_string() && seen.json()["errors"].is_null());
    assert_eq!(seen.header("www-authenticate"), "");
    assert_eq!(host.token_of("bob", &asked).await.granted()[0].1, "pull");
    let seen = host.get("/v2/_catalog").await;
    assert_eq!(
        (seen.status.as_u16(), seen.code().as_str()),
        (401, "UNAUTHORIZED")
    );
}

#[tokio::test]
async fn what_is_made_for_a_push_is_granted_at_once() {
    let host = Host::new().await;
    let asked = ["repository:alice/new:push,pull,*"];
    for _ in 0..2 {
        assert_eq!(host.token_of("alice", &asked).await.granted()[0].1, "push,pull,*");
    }
}

#[tokio::test]
async fn a_namespace_is_made_for_a_push() {
    let mut options = options();
    options.namespace_on_push = true;
    options.mailing = true;
    let host = Host::with(options, |settings| settings).await;
    let granted = host
        .token_of("alice", &["repository:devel/app:push,pull"])
        .await
        .granted();
    assert_eq!(granted[0].1, "push,pull");
    let email = async |name: &str| {
        let mut reader = host.accounts.store().reader();
        let found = reader.account(AccountKey::Name(name)).await.unwrap();
        found.map(|account| account.email.unwrap_or_default())
    };
    assert_eq!(email("devel").await.as_deref(), Some("alice+devel@mail.example"));

    // A credential that may not make the repository makes no namespace either.
    let mut caller = host.caller("alice");
    caller.access = Access::Scopes(ScopeSet::of(&[Scope::AdminUser]));
    let asked = AskedActions {
        push: true,
        ..AskedActions::default()
    };
    let granted = host
        .accounts
        .grant_scope(&caller, &name("made/app"), asked)
        .await
        .unwrap();
    assert!(granted.is_empty(), "{granted:?}");
    assert_eq!(email("made").await, None);
}

#[tokio::test]
async fn as_a_form() {
    let host = Host::new().await;
    host.repository("alice", "alice/app", Visibility::Private).await;
    let secret = password("alice");
    let form = |changed: &[(&str, &str)]| {
        let mut fields = vec![
            ("grant_type", "password"),
            ("username", "alice"),
            ("password", secret.as_str()),
            ("service", HOST),
            ("client_id", "containerd-client"),
            ("access_type", "offline"),
            ("scope", "repository:alice/app:pull,push repository:bob/app:pull"),
        ];
        for (name, value) in changed {
            fields.retain(|(known, _)| known != name);
            if !value.is_empty() {
                fields.push((*name, *value));
            }
        }
        encoded(&fields)
    };
    let seen = host.ask("POST", "/v2/auth", &[FORM], &form(&[])).await;
    assert_eq!(seen.claims()["sub"], "alice");
    assert_eq!(seen.json()["access_token"], seen.json()["token"]);
    assert_eq!(seen.json()["scope"], "repository:alice/app:push,pull");
    assert!(seen.json()["refresh_token"].is_null());
    let expected = [
        ("alice/app".to_owned(), "push,pull".to_owned()),
        ("bob/app".to_owned(), String::new()),
    ];
    assert_eq!(seen.granted(), expected);

    for (changed, error) in [
        (&[("grant_type", "refresh_token")][..], "unsupported_grant_type"),
        (&[("grant_type", "client_credentials")], "unsupported_grant_type"),
        (&[("grant_type", "")], "invalid_request"),
        (&[("password", "")], "invalid_request"),
        (&[("username", "")], "invalid_request"),
    ] {
        let seen = host.ask("POST", "/v2/auth", &[FORM], &form(changed)).await;
        assert_eq!(
            (seen.status.as_u16(), &seen.json()["error"]),
            (400, &json!(error)),
            "{changed:?}"
        );
        assert!(!seen.code().is_empty());
    }
    let json_body = [("content-type", "application/json")];
    assert_eq!(host.ask("POST", "/v2/auth", &json_body, "{}").await.status, 400);
    let (header, value) = basic("bob", &password("bob"));
    assert_eq!(
        host.ask("POST", "/v2/auth", &[FORM, (header, &value)], &form(&[]))
            .await
            .status,
        400
    );
    let large = format!("{}&x={}", form(&[]), "a".repeat(70_000));
    assert_eq!(host.ask("POST", "/v2/auth", &[FORM], &large).await.status, 413);
    let seen = host
        .ask("POST", "/v2/auth", &[FORM], &form(&[("password", "wrong")]))
        .await;
    assert_eq!(
        (seen.status.as_u16(), seen.code().as_str()),
        (401, "UNAUTHORIZED")
    );
    assert!(seen.header("www-authenticate").starts_with("Bearer "));
}

#[tokio::test]
async fn methods() {
    let host = Host::new().await;
    let (header, value) = basic("alice", &password("alice"));
    let seen = host.ask("HEAD", "/v2/auth", &[(header, &value)], "").await;
    assert_eq!((seen.status.as_u16(), seen.body.len()), (200, 0));
    let seen = host.ask("OPTIONS", "/v2/auth", &[], "").await;
    assert_eq!(
        (seen.status.as_u16(), seen.header("allow")),
        (200, "GET, HEAD, POST, OPTIONS")
    );
    for method in ["PUT", "DELETE", "PATCH"] {
        let seen = host.ask(method, "/v2/auth", &[(header, &value)], "").await;
        assert_eq!(
            (seen.status.as_u16(), seen.header("allow")),
            (405, "GET, HEAD, POST, OPTIONS")
        );
    }
}

#[tokio::test]
async fn logins_are_logged() {
    let mut options = options();
    options.audit_login_failures = true;
    let host = Host::with(options, |settings| settings).await;
    host.token_of("alice", &[]).await.token();
    // A pull is no login.
    host.token_of("alice", &["repository:alice/app:pull"])
        .await
        .token();
    assert_eq!(host.token(Some(("bob", "wrong")), &[]).await.status, 401);
    assert_eq!(host.token(Some(("nobody", "wrong")), &[]).await.status, 401);
    let mut connection = host.sql().await;
    let rows = sqlx::query(
        "SELECT kind, account_name, performer_name, metadata FROM qr_log WHERE kind LIKE 'login%' ORDER BY id",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    let logged: Vec<(String, Option<String>, Option<String>)> = rows
        .iter()
        .map(|row| (row.get(0), row.get(1), row.get(2)))
        .collect();
    let text = |text: &str| text.to_owned();
    assert_eq!(
        logged,
        [
            (text("login_success"), Some(text("alice")), Some(text("alice"))),
            (text("login_failure"), Some(text("bob")), None),
            (text("login_failure"), Some(text("nobody")), None),
        ]
    );
    let metadata: String = rows[1].get(3);
    let metadata: serde_json::Value = serde_json::from_str(&metadata).unwrap();
    assert_eq!(
        (&metadata["kind"], &metadata["username"]),
        (&json!("v2auth"), &json!("bob"))
    );
    assert!(!rows[1].get::<String, _>(3).contains("wrong"));
}

#[tokio::test]
async fn an_address_that_fails_too_often_waits() {
    let host = Host::new().await;
    for index in 0..30 {
        let name = format!("nobody{index}");
        assert_eq!(host.token(Some((&name, "wrong")), &[]).await.status, 401);
    }
    // Nobody guesses on, whoever they say they are.
    let seen = host.token_of("alice", &[]).await;
    assert_eq!((seen.status.as_u16(), seen.header("retry-after")), (429, "60"));
    // Robots and tokens have secrets that nobody guesses.
    for name in ["alice+robot", "$oauthtoken", "$app"] {
        assert_eq!(host.token(Some((name, "wrong")), &[]).await.status, 401, "{name}");
    }
    host.clock.advance(Duration::from_mins(1));
    for _ in 0..100 {
        assert_eq!(host.token_of("alice", &[]).await.status, 200);
    }
}
