//! What holds over several requests: administrators that stay, names that are given once, sessions that end,
//! lists that are whole.

mod last_admin;
mod lists;
mod login;
mod names;
mod operator;
mod races;
mod renaming;
mod sign_up;

use quay_core::accounts::AccountOptions;
use serde_json::Value;

use crate::roles::fixture::registry;
use crate::support::{Host, Seen};

/// A registry that sends no mail, so that nobody must be invited first.
fn without_mail() -> AccountOptions {
    let mut options = registry();
    options.mailing = false;
    options
}

/// What is what in a session: a client that keeps its cookie and its token as it is told.
struct Browser<'a> {
    host: &'a Host,
    cookie: String,
    csrf: String,
}

impl<'a> Browser<'a> {
    /// Somebody who has looked at the registry and not signed in.
    async fn new(host: &'a Host) -> Self {
        let mut browser = Self {
            host,
            cookie: String::new(),
            csrf: String::new(),
        };
        let seen = host.get("/csrf_token").await;
        browser.keep(&seen);
        browser
    }

    /// Somebody who has signed in with the password that is theirs in the fixture.
    async fn of(host: &'a Host, name: &str) -> Self {
        let mut browser = Self::new(host).await;
        let seen = browser.sign_in(name, &format!("{name}-password")).await;
        assert_eq!(seen.status, 200, "{}", seen.text());
        browser
    }

    async fn sign_in(&mut self, name: &str, password: &str) -> Seen {
        let body = serde_json::json!({ "username": name, "password": password });
        self.ask("POST", "/signin", &body.to_string()).await
    }

    async fn ask(&mut self, method: &str, path: &str, body: &str) -> Seen {
        let seen = self.try_ask(method, path, body).await;
        self.keep(&seen);
        seen
    }

    /// Asks and keeps nothing, so that several can be on their way.
    async fn try_ask(&self, method: &str, path: &str, body: &str) -> Seen {
        let mut headers = vec![
            ("cookie", self.cookie.as_str()),
            ("x-csrf-token", self.csrf.as_str()),
        ];
        if !body.is_empty() {
            headers.push(("content-type", "application/json"));
        }
        self.host
            .ask(method, &format!("/api/v1{path}"), &headers, body)
            .await
    }

    async fn get(&self, path: &str) -> Seen {
        self.try_ask("GET", path, "").await
    }

    /// The body of what must be there.
    async fn read(&self, path: &str) -> Value {
        let seen = self.get(path).await;
        assert_eq!(seen.status, 200, "{path}: {}", seen.text());
        seen.json()
    }

    fn keep(&mut self, seen: &Seen) {
        let cookie = seen.header("set-cookie");
        if !cookie.is_empty() {
            cookie.split(';').next().unwrap().clone_into(&mut self.cookie);
        }
        let csrf = seen.header("x-next-csrf-token");
        if !csrf.is_empty() {
            csrf.clone_into(&mut self.csrf);
        }
    }

    async fn is_signed_in(&self) -> bool {
        self.get("/user/").await.status == 200
    }
}

/// Insists on a refusal that says why.
fn assert_refused(seen: &Seen, what: &str) {
    let body = seen.json();
    let told = [&body["message"], &body["detail"]]
        .iter()
        .any(|text| text.as_str().is_some_and(|text| !text.is_empty()));
    assert!(
        seen.status == 400 && told,
        "{what}: {} {}",
        seen.status,
        seen.text()
    );
}
