//! What many ask for at once is given to one of them.

use futures::future::join_all;

use super::{Browser, assert_refused, without_mail};
use crate::roles::fixture::fresh;
use crate::roles::log;
use crate::support::Seen;

const RACERS: usize = 20;

async fn logged(host: &crate::support::Host, kind: &str) -> usize {
    let entries = log::entries(&host.database()).await;
    entries.iter().filter(|entry| entry.kind == kind).count()
}

fn assert_one_wins(answers: &[Seen], status: u16) {
    assert_eq!(answers.len(), RACERS);
    let (won, lost): (Vec<_>, Vec<_>) = answers.iter().partition(|seen| seen.status == status);
    assert_eq!(won.len(), 1, "{:?}", lost.first().map(|seen| seen.text()));
    for seen in lost {
        assert_refused(seen, "a loser");
    }
}

#[tokio::test]
async fn one_user_gets_the_name() {
    let host = fresh(without_mail()).await;
    let browsers = join_all((0..RACERS).map(|_| Browser::new(&host))).await;
    let answers = join_all(browsers.iter().enumerate().map(|(index, browser)| async move {
        let email = format!("{index}@registry.example");
        let body = serde_json::json!({ "username": "wanted", "password": "long-enough", "email": email });
        browser.try_ask("POST", "/user/", &body.to_string()).await
    }));
    assert_one_wins(&answers.await, 200);
    assert_eq!(logged(&host, "user_create").await, 1);
}

#[tokio::test]
async fn one_user_gets_the_address() {
    let host = fresh(without_mail()).await;
    let browsers = join_all((0..RACERS).map(|_| Browser::new(&host))).await;
    let answers = join_all(browsers.iter().enumerate().map(|(index, browser)| async move {
        let body = serde_json::json!({
            "username": format!("user{index}"),
            "password": "long-enough",
            "email": "wanted@registry.example",
        });
        browser.try_ask("POST", "/user/", &body.to_string()).await
    }));
    assert_one_wins(&answers.await, 200);
    assert_eq!(logged(&host, "user_create").await, 1);
}

#[tokio::test]
async fn one_organization_gets_the_name() {
    let host = fresh(without_mail()).await;
    let browser = Browser::of(&host, "other").await;
    let ask = || browser.try_ask("POST", "/organization/", r#"{"name":"wanted"}"#);
    assert_one_wins(&join_all((0..RACERS).map(|_| ask())).await, 201);
    assert_eq!(logged(&host, "org_create").await, 1);
    assert_eq!(browser.read("/organization/wanted").await["is_admin"], true);
}

#[tokio::test]
async fn one_robot_gets_the_name() {
    let host = fresh(without_mail()).await;
    let browser = Browser::of(&host, "admin").await;
    for path in ["/organization/org/robots/wanted", "/user/robots/wanted"] {
        let before = logged(&host, "create_robot").await;
        let answers = join_all((0..RACERS).map(|_| browser.try_ask("PUT", path, ""))).await;
        assert_one_wins(&answers, 201);
        assert_eq!(logged(&host, "create_robot").await, before + 1);
    }
}

/// Putting a team makes it or changes it, so nobody loses; but one has made it.
#[tokio::test]
async fn one_team_is_made() {
    let host = fresh(without_mail()).await;
    let browser = Browser::of(&host, "admin").await;
    let ask = || browser.try_ask("PUT", "/organization/org/team/wanted", r#"{"role":"creator"}"#);
    let answers = join_all((0..RACERS).map(|_| ask())).await;
    for seen in &answers {
        assert_eq!(seen.status, 200, "{}", seen.text());
    }
    let new = answers
        .iter()
        .filter(|seen| seen.json()["new_team"] == true)
        .count();
    assert_eq!(new, 1);
    assert_eq!(logged(&host, "org_create_team").await, 1);
}

/// A user, an organization and the new name of another: one namespace.
#[tokio::test]
async fn a_name_is_given_once_whatever_it_is_for() {
    let host = fresh(without_mail()).await;
    let other = Browser::of(&host, "other").await;
    let root = Browser::of(&host, "root").await;
    let nobody = Browser::new(&host).await;
    let sign_up = r#"{"username":"wanted","password":"long-enough","email":"wanted@registry.example"}"#;
    let answers = futures::join!(
        other.try_ask("POST", "/organization/", r#"{"name":"wanted"}"#),
        root.try_ask("PUT", "/superuser/organizations/org", r#"{"name":"wanted"}"#),
        nobody.try_ask("POST", "/user/", sign_up),
        root.try_ask("POST", "/superuser/users/", r#"{"username":"wanted"}"#),
    );
    let answers = [answers.0, answers.1, answers.2, answers.3];
    let (won, lost): (Vec<_>, Vec<_>) = answers.iter().partition(|seen| seen.status.is_success());
    assert_eq!((won.len(), lost.len()), (1, 3));
    for seen in lost {
        assert_refused(seen, "a loser");
    }
}
