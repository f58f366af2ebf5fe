//! Names outside the grammar are refused, whatever they are for.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::{Browser, assert_refused, without_mail};
use crate::roles::fixture::fresh;

fn unusable() -> Vec<String> {
    let fixed = [
        "a",
        "UPPER",
        "-ab",
        "ab-",
        "a..b",
        "a__b",
        "a b",
        "a+b",
        "a@b",
        "\u{e4}b",
        "a\u{308}b",
        "\u{65e5}\u{672c}",
        "\u{1f980}\u{1f980}",
        "a\u{202e}b",
        "a\u{200b}b",
        "ab\n",
        "a\u{0}b",
        "a\tb",
        "a'b",
        "a;b",
        "a%b",
    ];
    let long = ["a".repeat(256), "a".repeat(10_000), "\u{e4}".repeat(128)];
    fixed.iter().map(|name| (*name).to_owned()).chain(long).collect()
}

#[tokio::test]
async fn names_in_bodies() {
    let host = fresh(without_mail()).await;
    let mut root = Browser::of(&host, "root").await;
    for name in unusable().iter().map(String::as_str).chain([""]) {
        for (path, body) in [
            ("/organization/", serde_json::json!({ "name": name })),
            ("/superuser/users/", serde_json::json!({ "username": name })),
            (
                "/user/",
                serde_json::json!({ "username": name, "password": "long-enough", "email": "a@registry.example" }),
            ),
        ] {
            let seen = root.ask("POST", path, &body.to_string()).await;
            assert_refused(&seen, &format!("{path} {name:?}"));
        }
    }
}

#[tokio::test]
async fn names_in_paths() {
    let host = fresh(without_mail()).await;
    let mut admin = Browser::of(&host, "admin").await;
    // No path has a zero in it.
    for name in unusable().iter().filter(|name| !name.contains('\0')) {
        let name = utf8_percent_encode(name, NON_ALPHANUMERIC).to_string();
        for (place, body) in [
            ("/organization/org/team/", r#"{"role":"member"}"#),
            ("/organization/org/robots/", ""),
            ("/user/robots/", ""),
        ] {
            let seen = admin.ask("PUT", &format!("{place}{name}"), body).await;
            assert_refused(&seen, &format!("{place}{name}"));
        }
    }
}

#[tokio::test]
async fn the_longest_name_is_a_name() {
    let host = fresh(without_mail()).await;
    let mut admin = Browser::of(&host, "admin").await;
    let name = "a".repeat(255);
    let body = serde_json::json!({ "name": name }).to_string();
    assert_eq!(admin.ask("POST", "/organization/", &body).await.status, 201);
    assert_eq!(admin.read(&format!("/organization/{name}")).await["name"], *name);
    let path = format!("/organization/org/team/{name}");
    assert_eq!(admin.ask("PUT", &path, r#"{"role":"member"}"#).await.status, 200);
    // A robot's name has its owner's before it.
    let longest = "a".repeat(255 - "admin+".len());
    assert_eq!(
        admin
            .ask("PUT", &format!("/user/robots/{longest}"), "")
            .await
            .status,
        201
    );
    let seen = admin.ask("PUT", &format!("/user/robots/{longest}a"), "").await;
    assert_refused(&seen, "one more");
}

#[tokio::test]
async fn addresses_and_passwords() {
    let host = fresh(without_mail()).await;
    let mut admin = Browser::of(&host, "admin").await;
    let long = format!("{}@registry.example", "a".repeat(255));
    for email in [
        "a",
        "a@b",
        "a b@registry.example",
        "a@registry\u{0}.example",
        "spare@registry.example",
        &long,
    ] {
        for (method, path) in [("PUT", "/user/"), ("PUT", "/organization/org")] {
            let body = serde_json::json!({ "email": email }).to_string();
            let seen = admin.ask(method, path, &body).await;
            assert_refused(&seen, &format!("{path} {email:?}"));
        }
    }
    for password in ["", "short", "with space", "with\ttab..."] {
        let body = serde_json::json!({ "password": password }).to_string();
        assert_refused(&admin.ask("PUT", "/user/", &body).await, password);
    }
}

/// Texts that are no names are kept as they are.
#[tokio::test]
async fn other_texts_may_be_anything() {
    let host = fresh(without_mail()).await;
    let mut admin = Browser::of(&host, "admin").await;
    let text = "\u{65e5}\u{672c} \u{1f980} \"<b>\" '; DROP TABLE qr_account; --";
    let body = serde_json::json!({ "role": "member", "description": text }).to_string();
    let seen = admin.ask("PUT", "/organization/org/team/members", &body).await;
    assert_eq!(seen.json()["description"], text);
    assert_eq!(
        admin.read("/organization/org").await["teams"]["members"]["description"],
        text
    );
    let body = serde_json::json!({ "description": text }).to_string();
    let seen = admin.ask("PUT", "/user/robots/texts", &body).await;
    assert_eq!(seen.json()["description"], text);
    let body = serde_json::json!({ "title": text }).to_string();
    let seen = admin.ask("POST", "/user/apptoken", &body).await;
    assert_eq!(seen.json()["token"]["title"], text);
}
