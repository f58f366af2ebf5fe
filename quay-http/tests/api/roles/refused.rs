//! Whoever does not belong there stays out, and learns nothing but that.

use serde_json::Value;

use super::fixture::{fresh, registry};
use super::role::{CSRF, Role};
use super::row::{Denial, Row};
use super::{ask, has_flag, log, served, table};
use crate::support::Seen;

/// What is wrong with the answer to somebody who is refused with a type.
fn not_typed(seen: &Seen, status: u16, title: &str) -> Option<String> {
    let body = seen.json();
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    let sound = seen.status == status
        && text("title") == title
        && text("error_type") == title
        && text("type") == format!("https://registry.example/api/v1/error/{title}")
        && body["status"] == status
        && !text("detail").is_empty()
        && text("detail") == text("error_message");
    (!sound).then(|| format!("expected {status} {title}, seen {} {}", seen.status, seen.text()))
}

fn not_bare(seen: &Seen, status: u16) -> Option<String> {
    let body = seen.json();
    let sound = seen.status == status && body["message"].is_string() && body["title"].is_null();
    (!sound).then(|| {
        format!(
            "expected {status} and a message, seen {} {}",
            seen.status,
            seen.text()
        )
    })
}

fn not_refused(row: &Row, role: Role, seen: &Seen) -> Option<String> {
    if !role.is_known() {
        return not_typed(seen, 401, "invalid_token");
    }
    match row.denial {
        Denial::Typed => not_typed(seen, 403, "insufficient_scope"),
        Denial::Bare => not_bare(seen, 403),
        Denial::Unknown => not_typed(seen, 401, "invalid_token"),
    }
}

fn report(wrong: &[String]) {
    assert!(
        wrong.is_empty(),
        "{} wrong answers:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[tokio::test]
async fn nobody_gets_in_where_they_do_not_belong() {
    let host = fresh(registry()).await;
    let mut wrong = Vec::new();
    for row in table() {
        for &role in Role::ALL {
            if row.who.includes(role) {
                continue;
            }
            let seen = ask(&host, &row, role.name(), &role.headers(&host)).await;
            if let Some(why) = not_refused(&row, role, &seen) {
                wrong.push(format!("{} as {role:?}: {why}", row.id));
            }
        }
    }
    report(&wrong);
    assert!(
        log::entries(&host.database()).await.is_empty(),
        "a refusal was logged"
    );
}

/// What is somebody else's is as good as not there.
#[tokio::test]
async fn nobody_gets_at_what_is_somebody_elses() {
    let host = fresh(registry()).await;
    let mut wrong = Vec::new();
    for row in table() {
        let Some(status) = row.foreign else { continue };
        for &role in Role::ALL.iter().filter(|role| row.who.includes(**role)) {
            let seen = ask(&host, &row, "spare", &role.headers(&host)).await;
            if let Some(why) = not_typed(
                &seen,
                status,
                if status == 404 {
                    "not_found"
                } else {
                    "invalid_request"
                },
            ) {
                wrong.push(format!("{} as {role:?}: {why}", row.id));
            }
        }
    }
    report(&wrong);
    assert!(
        log::entries(&host.database()).await.is_empty(),
        "a refusal was logged"
    );
}

#[tokio::test]
async fn a_page_of_another_site_writes_nothing() {
    let host = fresh(registry()).await;
    let served = served();
    let mut wrong = Vec::new();
    for row in table() {
        if row.is_read() || has_flag(&served[row.id].1, "no_csrf") {
            continue;
        }
        for &role in Role::ALL.iter().filter(|role| role.token().is_none()) {
            let mut headers = role.headers(&host);
            headers.retain(|(name, _)| *name != "x-csrf-token");
            for token in [None, Some("another")] {
                let mut headers = headers.clone();
                headers.extend(token.map(|token| ("x-csrf-token", token.to_owned())));
                let seen = ask(&host, &row, role.name(), &headers).await;
                if let Some(why) = not_bare(&seen, 403) {
                    wrong.push(format!("{} as {role:?}: {why}", row.id));
                }
            }
        }
    }
    report(&wrong);
    assert!(
        log::entries(&host.database()).await.is_empty(),
        "a refusal was logged"
    );
}

/// A session whose password was not checked lately does not do what wants that, and does the rest.
#[tokio::test]
async fn what_wants_a_fresh_login_is_refused_to_a_stale_session() {
    let host = fresh(registry()).await;
    let served = served();
    let mut wrong = Vec::new();
    let mut asked = 0;
    for row in table() {
        let Some(&role) = Role::ALL
            .iter()
            .find(|role| role.is_session() && row.succeeds_for(**role))
        else {
            continue;
        };
        let fresh_login = has_flag(&served[row.id].1, "fresh_login");
        if !fresh_login && !row.is_read() {
            continue;
        }
        asked += 1;
        let cookie = host.cookie(Some(&format!("uuid-{}", role.name())), CSRF);
        let headers = [("cookie", cookie), ("x-csrf-token", CSRF.to_owned())];
        let seen = ask(&host, &row, role.name(), &headers).await;
        let why = if fresh_login {
            not_typed(&seen, 401, "fresh_login_required")
        } else if seen.status == row.status {
            None
        } else {
            Some(format!("expected {}, seen {}", row.status, seen.text()))
        };
        wrong.extend(why.map(|why| format!("{} as {role:?}: {why}", row.id)));
    }
    report(&wrong);
    assert!(asked > 40, "only {asked}");
    assert!(
        log::entries(&host.database()).await.is_empty(),
        "a refusal was logged"
    );
}

#[tokio::test]
async fn a_registry_that_takes_no_writes_takes_none() {
    let mut options = registry();
    options.read_only = true;
    let host = fresh(options).await;
    let served = served();
    let mut wrong = Vec::new();
    for row in table() {
        if row.on_empty && row.is_read() {
            continue;
        }
        let Some(&role) = [Role::Admin, Role::Superuser, Role::Other]
            .iter()
            .find(|role| row.succeeds_for(**role))
        else {
            continue;
        };
        let seen = ask(&host, &row, role.name(), &role.headers(&host)).await;
        let why = if row.is_read() || has_flag(&served[row.id].1, "allowed_in_readonly_mode") {
            (seen.status != row.status).then(|| format!("expected {}, seen {}", row.status, seen.text()))
        } else if seen.json()["is_readonly"] == Value::Bool(true) {
            not_bare(&seen, 503)
        } else {
            Some(format!("no is_readonly in {}", seen.text()))
        };
        wrong.extend(why.map(|why| format!("{} as {role:?}: {why}", row.id)));
    }
    report(&wrong);
    assert!(
        log::entries(&host.database()).await.is_empty(),
        "something was logged"
    );
}
