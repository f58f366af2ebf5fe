//! What needs a person's answer where `FEATURE_RECAPTCHA` is on.

use async_trait::async_trait;
use quay_core::accounts::HumanCheck;
use quay_core::{StoreError, StoreErrorKind};
use serde_json::{Value, json};

use crate::support::{Host, Seen, everything};

/// Takes one answer for a person's.
#[derive(Debug)]
pub(crate) struct Humans;

#[async_trait]
impl HumanCheck for Humans {
    async fn is_human(&self, response: &str) -> Result<bool, StoreError> {
        match response {
            "down" => Err(StoreError::new(
                StoreErrorKind::Unavailable,
                "ask about a captcha",
            )),
            other => Ok(other == "human"),
        }
    }
}

async fn guarded() -> Host {
    let mut options = everything();
    options.browser_calls_xhr_only = false;
    options.recaptcha_site_key = Some("site".to_owned());
    options.recaptcha_spared.insert("off".to_owned());
    Host::with(options).await
}

/// A request with an answer to the challenge, by `authorization` or from a page that nobody has signed in to.
async fn ask(host: &Host, path: &str, authorization: &str, mut body: Value, answer: Option<&str>) -> Seen {
    if let Some(answer) = answer {
        body["recaptcha_response"] = answer.into();
    }
    let cookie = host.cookie(None, "csrf");
    let mut headers = vec![("content-type", "application/json")];
    if authorization.is_empty() {
        headers.extend([("cookie", cookie.as_str()), ("x-csrf-token", "csrf")]);
    } else {
        headers.push(("authorization", authorization));
    }
    host.ask("POST", path, &headers, &body.to_string()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_are_made_by_people() {
    let host = guarded().await;
    let user = json!({ "username": "new", "password": "long-enough", "email": "new@registry.example" });
    let lost = json!({ "email": "me@registry.example" });
    let organization = json!({ "name": "made", "email": "made@registry.example" });
    for (path, authorization, body, success) in [
        ("/api/v1/user/", "", user, 200),
        ("/api/v1/recovery", "", lost, 200),
        ("/api/v1/organization/", "Bearer good", organization, 201),
    ] {
        for (answer, status) in [
            (None, 400),
            (Some(""), 400),
            (Some("program"), 400),
            (Some("down"), 503),
            (Some("human"), success),
        ] {
            let seen = ask(&host, path, authorization, body.clone(), answer).await;
            assert_eq!(seen.status, status, "{path} {answer:?}: {}", seen.text());
            if status == 400 {
                assert_eq!(seen.json()["error_type"], "invalid_request", "{path}");
            }
        }
    }
    assert_eq!(
        host.mailbox.0.lock().unwrap().len(),
        2,
        "nobody else was sent a mail"
    );
    let nobody = ask(
        &host,
        "/api/v1/organization/",
        "",
        json!({ "name": "other" }),
        None,
    )
    .await;
    assert_eq!(nobody.status, 401, "{}", nobody.text());
    let config = host.get("/config").await.json();
    assert_eq!(config["config"]["RECAPTCHA_SITE_KEY"], "site");
    assert_eq!(config["config"]["AVATAR_KIND"], "local");
    assert_eq!(config["features"]["RECAPTCHA"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn some_users_are_spared() {
    let mut options = everything();
    options.recaptcha_site_key = Some("site".to_owned());
    options.recaptcha_spared.insert("me".to_owned());
    let host = Host::with(options).await;
    let made = ask(
        &host,
        "/api/v1/organization/",
        "Bearer good",
        json!({ "name": "made", "email": "made@registry.example" }),
        None,
    )
    .await;
    assert_eq!(made.status, 201, "{}", made.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn links_that_set_a_password_count_as_long_as_the_deployment_says() {
    for (later_s, counts) in [(59, true), (61, false)] {
        let mut options = everything();
        options.recovery_lifetime = std::time::Duration::from_mins(1);
        let host = Host::with(options).await;
        let lost = json!({ "email": "me@registry.example" });
        let seen = ask(&host, "/api/v1/recovery", "", lost, None).await;
        assert_eq!(seen.status, 200, "{}", seen.text());
        // It is sent while the answer is on its way.
        let text = loop {
            let first = host
                .mailbox
                .0
                .lock()
                .unwrap()
                .first()
                .map(|mail| mail.text.clone());
            match first {
                Some(text) => break text,
                None => tokio::task::yield_now().await,
            }
        };
        assert!(text.contains("within 1 minutes"), "{text}");
        let code = text
            .split("code=")
            .nth(1)
            .unwrap()
            .split_whitespace()
            .next()
            .unwrap()
            .to_owned();
        host.clock.advance(std::time::Duration::from_secs(later_s));
        let seen = host.accounts.recover(&code).await;
        assert_eq!(seen.is_ok(), counts, "after {later_s} s");
    }
}
