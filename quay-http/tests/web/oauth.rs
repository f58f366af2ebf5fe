//! Applications ask users.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use quay_core::accounts::{ApplicationChanges, ApplicationView};
use quay_core::{Algorithm, Digest};
use serde_json::{Value, json};

use crate::support::{BASE, FORM, Host, Seen, basic, encoded, options, password};

const CALLBACK: &str = "https://app.example/callback?tenant=1";
const CSRF: &str = "right";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

fn challenge() -> String {
    let digest = hex::decode(Digest::of(Algorithm::Sha256, VERIFIER.as_bytes()).hex()).unwrap();
    URL_SAFE_NO_PAD.encode(digest)
}

async fn application(host: &Host) -> ApplicationView {
    host.application(ApplicationChanges {
        name: "<b>App</b>\"'".to_owned(),
        description: Some("<script>alert(1)</script>".to_owned()),
        application_uri: Some("javascript:alert(1)".to_owned()),
        redirect_uri: Some(CALLBACK.to_owned()),
        avatar_email: None,
    })
    .await
}

/// What an application sends, with some of it changed; an empty value leaves a field out.
fn fields<'a>(client: &'a str, changed: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut fields = vec![
        ("client_id", client),
        ("redirect_uri", CALLBACK),
        ("scope", "repo:read"),
    ];
    for (name, value) in changed {
        fields.retain(|(known, _)| known != name);
        if !value.is_empty() {
            fields.push((*name, *value));
        }
    }
    fields
}

async fn authorize(host: &Host, user: Option<&str>, fields: &[(&str, &str)]) -> Seen {
    let cookie = host.cookie(user, CSRF).await;
    let path = format!("/oauth/authorize?{}", encoded(fields));
    host.ask("GET", &path, &[("cookie", &cookie)], "").await
}

async fn post(host: &Host, user: Option<&str>, path: &str, fields: &[(&str, &str)]) -> Seen {
    let cookie = host.cookie(user, CSRF).await;
    let mut fields = fields.to_vec();
    fields.push(("_csrf_token", CSRF));
    host.ask("POST", path, &[FORM, ("cookie", &cookie)], &encoded(&fields))
        .await
}

/// A field of the answer that was added to the application's address.
fn answered<'a>(seen: &'a Seen, before: &str, name: &str) -> Option<String> {
    assert_eq!(seen.status, 302, "{seen:?}");
    let rest: &'a str = seen.header("location").strip_prefix(before).unwrap();
    let fields = form_urlencoded::parse(rest.as_bytes());
    fields
        .filter(|(known, _)| known == name)
        .map(|(_, value)| value.into_owned())
        .next()
}

async fn exchange(host: &Host, headers: &[(&str, &str)], fields: &[(&str, &str)]) -> Seen {
    let mut all = vec![FORM];
    all.extend_from_slice(headers);
    host.ask("POST", "/oauth/access_token", &all, &encoded(fields))
        .await
}

async fn acts_as(host: &Host, token: &str) -> bool {
    host.token(Some(("$oauthtoken", token)), &[]).await.status == 200
}

fn is_guarded(seen: &Seen) {
    for (header, value) in [
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(seen.header(header), value, "{seen:?}");
    }
    let policy = seen.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none';"), "{policy}");
    assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
}

#[tokio::test]
async fn the_user_is_asked() {
    let host = Host::new().await;
    let application = application(&host).await.application;
    let client = application.client_id.as_str();
    let state = "\"><script>alert(2)</script>";
    let asked = fields(client, &[("scope", "repo:read,user:admin"), ("state", state)]);
    let seen = authorize(&host, Some("bob"), &asked).await;
    assert_eq!(seen.status, 200);
    is_guarded(&seen);
    let policy = seen.header("content-security-policy");
    assert!(
        policy.contains("form-action 'self' https://app.example;"),
        "{policy}"
    );
    let page = seen.text();
    assert!(!page.contains("<script") && !page.contains("<b>App"), "{page}");
    assert!(!page.contains("href=\"javascript"), "{page}");
    assert!(page.contains("&lt;b&gt;App&lt;/b&gt;&quot;&#39;"), "{page}");
    assert!(
        page.contains("&quot;&gt;&lt;script&gt;alert(2)&lt;/script&gt;"),
        "{page}"
    );
    assert!(
        page.contains("View all visible repositories") && page.contains("Warning:"),
        "{page}"
    );
    assert!(
        page.contains(&format!("name=\"_csrf_token\" value=\"{CSRF}\"")),
        "{page}"
    );
    assert!(page.contains("name=\"response_type\" value=\"code\""), "{page}");

    // Whoever has not signed in is shown who asks, and no form.
    let seen = host.get(&format!("/oauth/authorize?{}", encoded(&asked))).await;
    assert_eq!(seen.status, 200);
    assert!(seen.text().contains("sign in") && !seen.text().contains("<form"));
    assert!(seen.header("set-cookie").starts_with("_csrf_token="));
    is_guarded(&seen);

    let mut as_json = asked.clone();
    as_json.push(("format", "json"));
    let seen = authorize(&host, Some("bob"), &as_json).await;
    let body = seen.json();
    assert_eq!(body["has_dangerous_scopes"], true);
    assert_eq!(body["csrf_token_val"], CSRF);
    assert_eq!(body["application"]["organization"]["name"], "devel");
    assert_eq!(
        (&body["state"], &body["scopes"][1]["scope"]),
        (&json!(state), &json!("user:admin"))
    );
    assert_eq!(authorize(&host, None, &as_json).await.status, 401);
}

#[tokio::test]
async fn nobody_is_sent_to_somebody_elses_address() {
    let host = Host::new().await;
    let application = application(&host).await.application;
    let client = application.client_id.as_str();
    for address in [
        "https://evil.example/callback",
        "https://app.example/callback",
        "https://app.example/callback?tenant=1&x",
        "https://app.example/callback?tenant=1/../evil",
        "https://app.example.evil.example/callback?tenant=1",
        "https://app.example@evil.example/callback?tenant=1",
        "HTTPS://app.example/callback?tenant=1",
        "//app.example/callback?tenant=1",
        "javascript:alert(1)",
        "https://registry.example/oauth/localapp/../../evil",
        "https://registry.example/oauth/localapp?x",
        " https://app.example/callback?tenant=1",
        "https://evil.example/\r\nset-cookie: a=b",
    ] {
        let asked = fields(client, &[("redirect_uri", address)]);
        let seen = authorize(&host, Some("bob"), &asked).await;
        let expected = format!("{CALLBACK}&error=redirect_uri_mismatch");
        assert_eq!(
            (seen.status.as_u16(), seen.header("location")),
            (302, expected.as_str()),
            "{address}"
        );
        for path in ["/oauth/authorizeapp", "/oauth/denyapp"] {
            let seen = post(&host, Some("bob"), path, &asked).await;
            assert_eq!(
                (seen.status.as_u16(), seen.header("location")),
                (400, ""),
                "{address}"
            );
            assert_eq!(seen.json()["error"], "invalid_request");
        }
    }
    let bare = host
        .application(ApplicationChanges::default())
        .await
        .application
        .client_id;
    for (asked, status) in [
        (fields("unknown", &[]), 404),
        (fields(&bare, &[]), 404),
        (fields(client, &[("scope", "repo:everything")]), 404),
        (fields(client, &[("client_id", "")]), 400),
        (fields("x\0", &[]), 400),
        (fields(client, &[("redirect_uri", "")]), 400),
        (fields(client, &[("scope", "")]), 400),
    ] {
        let seen = authorize(&host, Some("bob"), &asked).await;
        assert_eq!(
            (seen.status.as_u16(), seen.header("location")),
            (status, ""),
            "{asked:?}"
        );
        is_guarded(&seen);
    }
    let seen = post(&host, Some("bob"), "/oauth/authorizeapp", &fields("unknown", &[])).await;
    assert_eq!(
        (seen.status.as_u16(), &seen.json()["error"]),
        (400, &json!("unauthorized_client"))
    );
    let unknown = fields(client, &[("scope", "repo:everything")]);
    let seen = post(&host, Some("bob"), "/oauth/authorizeapp", &unknown).await;
    assert_eq!(seen.header("location"), format!("{CALLBACK}&error=invalid_scope"));
}

#[tokio::test]
async fn an_application_without_an_address_of_its_own_gets_no_answer() {
    let host = Host::new().await;
    for address in ["javascript:alert(1)", "/callback", "//evil.example"] {
        let application = host
            .application(ApplicationChanges {
                redirect_uri: Some(address.to_owned()),
                ..ApplicationChanges::default()
            })
            .await
            .application;
        for asked in [address, "https://else.example"] {
            let asked = fields(
                &application.client_id,
                &[("redirect_uri", asked), ("response_type", "x")],
            );
            let seen = authorize(&host, Some("bob"), &asked).await;
            assert!(matches!(seen.status.as_u16(), 400 | 404), "{address}: {seen:?}");
            assert_eq!(seen.header("location"), "");
        }
        let asked = fields(&application.client_id, &[("redirect_uri", address)]);
        let seen = post(&host, Some("bob"), "/oauth/authorizeapp", &asked).await;
        assert_eq!((seen.status.as_u16(), seen.header("location")), (400, ""));
        let mut connection = host.sql().await;
        let tokens = sqlx::query("SELECT id FROM qr_oauth_token")
            .fetch_all(&mut connection)
            .await
            .unwrap();
        assert!(tokens.is_empty(), "nobody could be sent it");
    }
}

#[tokio::test]
async fn a_token_at_once() {
    let host = Host::new().await;
    let application = application(&host).await.application;
    let client = application.client_id.as_str();
    // As clients do that post the form themselves.
    let seen = post(&host, Some("bob"), "/oauth/authorizeapp", &fields(client, &[])).await;
    let before = format!("{CALLBACK}#");
    let token = answered(&seen, &before, "access_token").unwrap();
    assert_eq!(token.len(), 40);
    assert_eq!(answered(&seen, &before, "token_type").as_deref(), Some("Bearer"));
    assert_eq!(
        answered(&seen, &before, "expires_in").as_deref(),
        Some("315576000")
    );
    is_guarded(&seen);
    assert!(acts_as(&host, &token).await);

    // Granted before, so that nobody is asked.
    let asked = fields(client, &[("response_type", "token"), ("state", "a b&c")]);
    let seen = authorize(&host, Some("bob"), &asked).await;
    assert_eq!(answered(&seen, &before, "state").as_deref(), Some("a b&c"));
    assert_ne!(answered(&seen, &before, "access_token"), Some(token));
    // More is asked for, or by somebody else.
    let more = fields(client, &[("response_type", "token"), ("scope", "repo:write")]);
    assert_eq!(authorize(&host, Some("bob"), &more).await.status, 200);
    assert_eq!(authorize(&host, Some("alice"), &asked).await.status, 200);

    let local = format!("{BASE}/oauth/localapp");
    let asked = fields(client, &[("redirect_uri", &local), ("response_type", "token")]);
    let seen = post(&host, Some("bob"), "/oauth/authorizeapp", &asked).await;
    assert!(answered(&seen, &format!("{local}#"), "access_token").is_some());
    let seen = post(
        &host,
        Some("bob"),
        "/oauth/denyapp",
        &fields(client, &[("state", "s")]),
    )
    .await;
    assert_eq!(
        seen.header("location"),
        format!("{CALLBACK}&error=authorization_denied&state=s")
    );
}

/// Asks a user to make a token, as an administrator's page does.
async fn assign(host: &Host, by: Option<&str>, fields: &[(&str, &str)]) -> Seen {
    let cookie = host.cookie(by, CSRF).await;
    let path = format!("/oauth/authorize/assignuser?{}", encoded(fields));
    let headers = [("cookie", cookie.as_str()), ("x-csrf-token", CSRF)];
    host.ask("POST", &path, &headers, "").await
}

async fn asked_of(host: &Host, user: &str) -> Vec<Value> {
    let cookie = host.cookie(Some(user), CSRF).await;
    let path = "/api/v1/user/assignedauthorization";
    let seen = host.ask("GET", path, &[("cookie", &cookie)], "").await;
    assert_eq!(seen.status, 200, "{seen:?}");
    seen.json()["authorizations"].as_array().unwrap().clone()
}

async fn notices_of(host: &Host, user: &str) -> usize {
    let cookie = host.cookie(Some(user), CSRF).await;
    let seen = host
        .ask("GET", "/api/v1/user/notifications", &[("cookie", &cookie)], "")
        .await;
    let shown = seen.json()["notifications"].as_array().unwrap().clone();
    shown
        .iter()
        .filter(|notice| notice["kind"] == "assigned_authorization")
        .count()
}

#[tokio::test]
async fn a_token_that_somebody_else_is_asked_to_make() {
    let host = Host::new().await;
    let application = application(&host).await.application;
    let client = application.client_id.as_str();
    let local = format!("{BASE}/oauth/localapp");
    let asked = |user: &'static str| {
        let mut asked = fields(client, &[("redirect_uri", &local), ("response_type", "token")]);
        asked.extend([("username", user), ("format", "json")]);
        asked
    };
    let seen = assign(&host, Some("alice"), &asked("bob")).await;
    assert_eq!(
        (seen.status.as_u16(), seen.json()),
        (200, json!({"message": "Token assigned successfully"}))
    );
    is_guarded(&seen);
    let assigned = asked_of(&host, "bob").await;
    assert_eq!(assigned.len(), 1);
    assert_eq!(assigned[0]["application"]["clientId"], client);
    assert_eq!(assigned[0]["application"]["organization"]["name"], "devel");
    assert_eq!(assigned[0]["redirectUri"], local.as_str());
    assert_eq!(assigned[0]["responseType"], "token");
    assert_eq!(assigned[0]["scopes"][0]["scope"], "repo:read");
    assert_eq!(notices_of(&host, "bob").await, 1);
    let uuid = assigned[0]["uuid"].as_str().unwrap();

    // Bob is asked, with what he is asked for in the form.
    let mut answer = fields(client, &[("redirect_uri", &local), ("response_type", "token")]);
    let without = answer.clone();
    answer.push(("assignment_uuid", uuid));
    let seen = authorize(&host, Some("bob"), &answer).await;
    let hidden = format!("name=\"assignment_uuid\" value=\"{uuid}\"");
    assert!(seen.text().contains(&hidden), "{}", seen.text());
    let seen = authorize(&host, Some("alice"), &answer).await;
    assert_eq!(seen.status, 404);
    assert!(seen.text().contains("no longer, asked"), "{}", seen.text());
    // It is for nobody else, for nothing else, and no code for a token.
    let seen = post(&host, Some("alice"), "/oauth/authorizeapp", &answer).await;
    assert_eq!(seen.json(), json!({"error": "access_denied"}));
    let mut more = answer.clone();
    more.retain(|(name, _)| *name != "scope");
    more.push(("scope", "repo:write"));
    let seen = post(&host, Some("bob"), "/oauth/authorizeapp", &more).await;
    assert_eq!(seen.json(), json!({"error": "access_denied"}));
    let mut code = answer.clone();
    code.retain(|(name, _)| *name != "response_type");
    code.push(("response_type", "code"));
    let seen = post(&host, Some("bob"), "/oauth/authorizeapp", &code).await;
    assert!(seen.header("location").ends_with("error=invalid_request"));

    let seen = post(&host, Some("bob"), "/oauth/authorizeapp", &answer).await;
    let token = answered(&seen, &format!("{local}#"), "access_token").unwrap();
    assert!(acts_as(&host, &token).await);
    assert!(asked_of(&host, "bob").await.is_empty());
    assert_eq!(notices_of(&host, "bob").await, 0);
    // Once.
    let seen = post(&host, Some("bob"), "/oauth/authorizeapp", &answer).await;
    assert_eq!(seen.json(), json!({"error": "access_denied"}));

    // Bob is asked for the same once, and says no on the page,
    for _ in 0..2 {
        let seen = assign(&host, Some("alice"), &asked("bob")).await;
        assert_eq!(seen.status, 200);
    }
    let assigned = asked_of(&host, "bob").await;
    assert_eq!((assigned.len(), notices_of(&host, "bob").await), (1, 1));
    let uuid = assigned[0]["uuid"].as_str().unwrap();
    let mut no = without;
    no.push(("assignment_uuid", uuid));
    let seen = post(&host, Some("bob"), "/oauth/denyapp", &no).await;
    assert!(seen.header("location").ends_with("error=authorization_denied"));
    assert!(asked_of(&host, "bob").await.is_empty());
    assert_eq!(notices_of(&host, "bob").await, 0);
    // or in the list.
    assign(&host, Some("alice"), &asked("bob")).await;
    let assigned = asked_of(&host, "bob").await;
    let path = format!(
        "/api/v1/user/assignedauthorization/{}",
        assigned[0]["uuid"].as_str().unwrap()
    );
    for (user, status) in [("alice", 404), ("bob", 204), ("bob", 404)] {
        let cookie = host.cookie(Some(user), CSRF).await;
        let headers = [("cookie", cookie.as_str()), ("x-csrf-token", CSRF)];
        let seen = host.ask("DELETE", &path, &headers, "").await;
        assert_eq!(seen.status, status, "{user}");
    }
    assert_eq!(notices_of(&host, "bob").await, 0);

    // It goes with the application.
    assign(&host, Some("alice"), &asked("bob")).await;
    let alice = host.caller("alice");
    let deleted = host.accounts.delete_application(&alice, "devel", client).await;
    deleted.unwrap();
    assert!(asked_of(&host, "bob").await.is_empty());
    assert_eq!(notices_of(&host, "bob").await, 0);
}

#[tokio::test]
async fn who_may_ask_others_for_tokens() {
    let host = Host::new().await;
    let application = application(&host).await.application;
    let client = application.client_id.as_str();
    let asked = |changed: &[(&'static str, &'static str)]| {
        let mut all = vec![("username", "bob"), ("response_type", "token")];
        all.extend_from_slice(changed);
        fields(client, &all)
    };
    for (by, changed, status) in [
        (Some("alice"), &[][..], 200),
        (Some("bob"), &[], 403),
        (None, &[], 401),
        (Some("alice"), &[("username", "nobody")], 404),
        (Some("alice"), &[("username", "devel")], 404),
        (Some("alice"), &[("username", "")], 400),
        (Some("alice"), &[("client_id", "unknown")], 404),
        (Some("alice"), &[("client_id", "")], 400),
        (Some("alice"), &[("scope", "repo:everything")], 400),
        (Some("alice"), &[("response_type", "code")], 400),
        (
            Some("alice"),
            &[("redirect_uri", "https://app.example/callback")],
            400,
        ),
        (Some("alice"), &[("username", "bob\0")], 400),
    ] {
        let seen = assign(&host, by, &asked(changed)).await;
        assert_eq!(seen.status, status, "{by:?} {changed:?} {seen:?}");
    }
    // As a client does that says JSON and sends nothing.
    let path = format!("/oauth/authorize/assignuser?{}", encoded(&asked(&[])));
    let cookie = host.cookie(Some("alice"), CSRF).await;
    let json = ("content-type", "application/json");
    let headers = [("cookie", cookie.as_str()), ("x-csrf-token", CSRF), json];
    assert_eq!(host.ask("POST", &path, &headers, "").await.status, 200);
    // With the token in the address, or in a form.
    let token = encoded(&[("_csrf_token", CSRF)]);
    let with_token = format!("{path}&{token}");
    let headers = [("cookie", cookie.as_str()), FORM];
    assert_eq!(host.ask("POST", &with_token, &headers, "").await.status, 200);
    assert_eq!(host.ask("POST", &path, &headers, &token).await.status, 200);
    // Without a page of this registry.
    let seen = host.ask("POST", &path, &[("cookie", &cookie)], "").await;
    assert_eq!(seen.status, 403);
    let seen = host.ask("GET", &path, &[("cookie", &cookie)], "").await;
    assert_eq!(seen.status, 405);
    assert_eq!(asked_of(&host, "bob").await.len(), 1);
    // No database is asked for a zero byte.
    let query = fields(client, &[("assignment_uuid", "a\0b")]);
    assert_eq!(authorize(&host, Some("bob"), &query).await.status, 400);

    // Switched off.
    let mut options = options();
    options.assign_oauth_tokens = false;
    let host = Host::with(options, |settings| settings).await;
    let seen = assign(&host, Some("alice"), &asked(&[])).await;
    assert_eq!(seen.status, 404);
}

#[tokio::test]
async fn only_pages_of_this_registry_say_yes() {
    let host = Host::new().await;
    let application = application(&host).await.application;
    let asked = fields(&application.client_id, &[]);
    let cookie = host.cookie(Some("bob"), CSRF).await;
    let (_, password) = basic("bob", &password("bob"));
    for path in ["/oauth/authorizeapp", "/oauth/denyapp"] {
        for (headers, token, status) in [
            (&[("cookie", cookie.as_str())][..], None, 403),
            (&[("cookie", &cookie)], Some("wrong"), 403),
            (&[("cookie", &cookie)], Some(""), 403),
            (&[], Some(CSRF), 403),
            (&[("authorization", &password)], None, 403),
            (&[("authorization", &password)], Some(CSRF), 403),
            (&[("authorization", "Bearer abc"), ("cookie", &cookie)], None, 403),
            (
                &[("authorization", "Bearer abc"), ("cookie", &cookie)],
                Some(CSRF),
                401,
            ),
            (&[("cookie", &cookie)], Some(CSRF), 302),
            (&[("cookie", &cookie), ("x-csrf-token", CSRF)], None, 302),
            (&[("cookie", &cookie), ("x-csrf-token", "wrong")], Some(CSRF), 403),
        ] {
            let mut fields = asked.clone();
            fields.extend(token.map(|token| ("_csrf_token", token)));
            let mut all = vec![FORM];
            all.extend_from_slice(headers);
            let seen = host.ask("POST", path, &all, &encoded(&fields)).await;
            assert_eq!(seen.status, status, "{headers:?} {token:?} {seen:?}");
        }
        let seen = post(&host, None, path, &asked).await;
        assert_eq!(seen.status, 401);
        let seen = host.ask("GET", path, &[("cookie", &cookie)], "").await;
        assert_eq!(
            (seen.status.as_u16(), seen.header("allow")),
            (405, "POST, OPTIONS")
        );
    }
}

#[tokio::test]
async fn clients_that_the_operator_trusts_may_send_a_password() {
    let mut options = options();
    options.direct_oauth_clients.insert("TRUSTED".to_owned());
    let host = Host::with(options, |settings| settings).await;
    let other = application(&host).await.application.client_id;
    let trusted = application(&host).await.application.client_id;
    let mut connection = host.sql().await;
    let renamed = sqlx::query("UPDATE qr_application SET client_id = 'TRUSTED' WHERE client_id = ?")
        .bind(trusted)
        .execute(&mut connection)
        .await
        .unwrap();
    assert_eq!(renamed.rows_affected(), 1);
    let (_, right) = basic("bob", &password("bob"));
    let send = async |client: &str, value: &str| {
        let headers = [FORM, ("authorization", value)];
        let body = encoded(&fields(client, &[]));
        host.ask("POST", "/oauth/authorizeapp", &headers, &body).await
    };
    let seen = send("TRUSTED", &right).await;
    assert!(answered(&seen, &format!("{CALLBACK}#"), "access_token").is_some());
    assert_eq!(send(&other, &right).await.status, 403);
    let (_, wrong) = basic("bob", "wrong-password");
    assert_eq!(send("TRUSTED", &wrong).await.status, 401);
    // Tokens make no further tokens.
    let caller = host.caller("alice");
    let (_, secret) = host.accounts.create_app_token(&caller, "laptop").await.unwrap();
    let (_, app) = basic("$app", &secret);
    assert_eq!(send("TRUSTED", &app).await.status, 403);
}

/// An application with a secret, and a user who says yes to it.
struct Codes {
    host: Host,
    view: ApplicationView,
}

impl Codes {
    async fn new() -> Self {
        let host = Host::new().await;
        let view = application(&host).await;
        Self { host, view }
    }

    /// A code that waits to be exchanged.
    async fn code(&self) -> String {
        let client = &self.view.application.client_id;
        let asked = fields(client, &[("response_type", "code"), ("state", "s")]);
        let seen = post(&self.host, Some("bob"), "/oauth/authorizeapp", &asked).await;
        let before = format!("{CALLBACK}&");
        assert_eq!(answered(&seen, &before, "state").as_deref(), Some("s"));
        answered(&seen, &before, "code").unwrap()
    }

    /// Exchanges a code, with some of what belongs to that changed; an empty value leaves a field out.
    async fn exchange(&self, headers: &[(&str, &str)], code: &str, changed: &[(&str, &str)]) -> Seen {
        let mut fields = vec![
            ("grant_type", "authorization_code"),
            ("client_id", self.view.application.client_id.as_str()),
            ("client_secret", self.view.client_secret.as_str()),
            ("redirect_uri", CALLBACK),
            ("code", code),
            ("scope", "repo:read"),
        ];
        for (name, value) in changed {
            fields.retain(|(known, _)| known != name);
            if !value.is_empty() {
                fields.push((*name, *value));
            }
        }
        let seen = exchange(&self.host, headers, &fields).await;
        assert_eq!(seen.header("cache-control"), "no-store");
        seen
    }
}

#[tokio::test]
async fn a_token_for_a_code() {
    let codes = Codes::new().await;
    let code = codes.code().await;
    let seen = codes.exchange(&[], &code, &[]).await;
    assert_eq!(seen.status, 200, "{seen:?}");
    is_guarded(&seen);
    assert_eq!(seen.header("pragma"), "no-cache");
    let body = seen.json();
    assert_eq!(
        (&body["token_type"], &body["expires_in"]),
        (&json!("Bearer"), &json!(315_576_000))
    );
    assert_eq!(body["scope"], "repo:read");
    assert!(acts_as(&codes.host, body["access_token"].as_str().unwrap()).await);
    // A code is good for once, and for five minutes.
    let late = codes.code().await;
    codes.host.clock.advance(std::time::Duration::from_mins(5));
    for code in [code, late] {
        let seen = codes.exchange(&[], &code, &[]).await;
        assert_eq!(
            (seen.status.as_u16(), &seen.json()["error"]),
            (400, &json!("invalid_grant"))
        );
    }
}

#[tokio::test]
async fn no_token_for_a_code() {
    let codes = Codes::new().await;
    for (changed, error) in [
        (&[("grant_type", "refresh_token")][..], "unsupported_grant_type"),
        (&[("grant_type", "")], "invalid_request"),
        (&[("client_id", "unknown")], "invalid_client"),
        (&[("client_id", "")], "invalid_client"),
        (&[("client_secret", "wrong")], "invalid_client"),
        (&[("redirect_uri", "")], "invalid_request"),
        (&[("code", "")], "invalid_request"),
        (&[("code", "short")], "invalid_grant"),
        (&[("client_secret", "")], "invalid_grant"),
        (
            &[("redirect_uri", "https://app.example/callback")],
            "invalid_grant",
        ),
    ] {
        let code = codes.code().await;
        let seen = codes.exchange(&[], &code, changed).await;
        assert_eq!(
            (seen.status.as_u16(), &seen.json()["error"]),
            (400, &json!(error)),
            "{changed:?}"
        );
    }
}

#[tokio::test]
async fn the_client_may_show_itself_in_a_header() {
    let codes = Codes::new().await;
    let client = codes.view.application.client_id.as_str();
    let (header, right) = basic(client, &codes.view.client_secret);
    let (_, wrong) = basic(client, "wrong");
    let without = [("client_id", ""), ("client_secret", "")];
    let other = [("client_id", "other"), ("client_secret", "")];
    let code = codes.code().await;
    for (value, changed) in [
        (wrong.as_str(), &without),
        ("Bearer x", &without),
        (&right, &other),
    ] {
        let seen = codes.exchange(&[(header, value)], &code, changed).await;
        assert_eq!(
            (seen.status.as_u16(), &seen.json()["error"]),
            (401, &json!("invalid_client"))
        );
        assert!(seen.header("www-authenticate").starts_with("Basic "));
    }
    let seen = codes.exchange(&[(header, &right)], &code, &without).await;
    assert_eq!(seen.status, 200, "{seen:?}");
}

#[tokio::test]
async fn a_client_without_a_secret_shows_where_its_code_came_from() {
    let host = Host::new().await;
    let view = application(&host).await;
    let client = view.application.client_id.as_str();
    let challenge = challenge();
    let before = format!("{CALLBACK}&");
    let pkce = [
        ("response_type", "code"),
        ("code_challenge", challenge.as_str()),
        ("code_challenge_method", "S256"),
    ];
    // The page hands on what it was given.
    let page = authorize(&host, Some("bob"), &fields(client, &pkce)).await.text();
    assert!(
        page.contains(&format!("name=\"code_challenge\" value=\"{challenge}\"")),
        "{page}"
    );
    for (verifier, status) in [
        (Some(VERIFIER), 200),
        (Some("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXl"), 400),
        (Some(challenge.as_str()), 400),
        (None, 400),
    ] {
        let seen = post(&host, Some("bob"), "/oauth/authorizeapp", &fields(client, &pkce)).await;
        let code = answered(&seen, &before, "code").unwrap();
        let mut asked = vec![
            ("grant_type", "authorization_code"),
            ("client_id", client),
            ("redirect_uri", CALLBACK),
            ("code", code.as_str()),
        ];
        asked.extend(verifier.map(|verifier| ("code_verifier", verifier)));
        let seen = exchange(&host, &[], &asked).await;
        assert_eq!(seen.status, status, "{verifier:?} {seen:?}");
        if status == 400 {
            assert_eq!(seen.json()["error"], "invalid_grant");
            // A failed attempt uses the code up, too.
            asked.retain(|(name, _)| *name != "code_verifier");
            asked.push(("code_verifier", VERIFIER));
            assert_eq!(exchange(&host, &[], &asked).await.status, 400);
        }
    }
    // What protects from nothing is not taken for something.
    for changed in [
        &[("code_challenge", challenge.as_str()), ("response_type", "code")][..],
        &[
            ("code_challenge", challenge.as_str()),
            ("code_challenge_method", "plain"),
            ("response_type", "code"),
        ],
        &[
            ("code_challenge", "short"),
            ("code_challenge_method", "S256"),
            ("response_type", "code"),
        ],
        &[("code_challenge_method", "S256"), ("response_type", "code")],
        &[
            ("code_challenge", challenge.as_str()),
            ("code_challenge_method", "S256"),
            ("response_type", "token"),
        ],
    ] {
        let expected = format!("{CALLBACK}&error=invalid_request");
        for seen in [
            authorize(&host, Some("alice"), &fields(client, changed)).await,
            post(
                &host,
                Some("alice"),
                "/oauth/authorizeapp",
                &fields(client, changed),
            )
            .await,
        ] {
            assert_eq!(
                (seen.status.as_u16(), seen.header("location")),
                (302, expected.as_str()),
                "{changed:?}"
            );
        }
    }
    let odd = fields(client, &[("response_type", "id_token")]);
    let seen = authorize(&host, Some("bob"), &odd).await;
    assert_eq!(
        seen.header("location"),
        format!("{CALLBACK}&error=unsupported_response_type")
    );
}

#[tokio::test]
async fn the_page_that_shows_the_token() {
    let host = Host::new().await;
    assert_eq!(host.get("/oauth/localapp").await.status, 401);
    let cookie = host.cookie(Some("bob"), CSRF).await;
    let path = "/oauth/localapp?scope=<script>alert(1)</script>";
    let seen = host
        .ask(
            "GET",
            &path.replace('<', "%3C").replace('>', "%3E"),
            &[("cookie", &cookie)],
            "",
        )
        .await;
    assert_eq!(seen.status, 200);
    is_guarded(&seen);
    let page = seen.text();
    assert!(!page.contains("alert(1)"), "{page}");
    // The policy allows the page's script and no other.
    let (_, rest) = page.split_once("<script>").unwrap();
    let (script, _) = rest.split_once("</script>").unwrap();
    let digest = hex::decode(Digest::of(Algorithm::Sha256, script.as_bytes()).hex()).unwrap();
    let hash = base64::engine::general_purpose::STANDARD.encode(digest);
    let policy = seen.header("content-security-policy");
    assert!(
        policy.contains(&format!("script-src 'sha256-{hash}';")),
        "{policy}"
    );
    assert_eq!(page.matches("<script").count(), 1);
}

#[tokio::test]
async fn no_tokens_while_the_registry_takes_no_writes() {
    let mut options = options();
    options.read_only = true;
    let host = Host::with(options, |settings| settings).await;
    let application = application(&host).await.application;
    let asked = fields(&application.client_id, &[]);
    assert_eq!(authorize(&host, Some("bob"), &asked).await.status, 200);
    let seen = post(&host, Some("bob"), "/oauth/authorizeapp", &asked).await;
    assert_eq!(
        (seen.status.as_u16(), &seen.json()["is_readonly"]),
        (503, &json!(true))
    );
    assert_eq!(exchange(&host, &[], &[]).await.status, 503);
}
