//! Every operation with every kind of caller: who gets in, what they are answered, what the action log says.
//!
//! The table has a row or more for every operation that is served, and for nothing else. Refusals are asked
//! of one registry, since they change nothing; whatever may be written is written on a registry of its own.

mod allowed;
pub(crate) mod fixture;
pub(crate) mod log;
mod organizations;
mod policies;
mod quotas;
mod refused;
mod repositories;
mod role;
mod row;
mod scopes;
mod shape;
mod shown;
mod superusers;
mod users;

use std::collections::{BTreeSet, HashMap};

use serde_json::Value;

use self::row::Row;
use crate::support::{Host, Seen, operations};

fn table() -> Vec<Row> {
    [
        users::rows(),
        organizations::rows(),
        policies::rows(),
        repositories::rows(),
        quotas::rows(),
        superusers::rows(),
    ]
    .concat()
}

/// The operations that are served, by id, with what is known of them.
fn served() -> HashMap<String, (String, Value)> {
    operations()
        .into_iter()
        .filter(|(_, _, operation)| operation["served"] == true)
        .map(|(method, _, operation)| (operation["id"].as_str().unwrap().to_owned(), (method, operation)))
        .collect()
}

fn has_flag(operation: &Value, flag: &str) -> bool {
    let flags = operation["auth"].as_array().into_iter().flatten();
    flags.into_iter().any(|known| known == flag)
}

/// Makes a row's request about what `owner` has, with these headers.
async fn ask(host: &Host, row: &Row, owner: &str, headers: &[(&str, String)]) -> Seen {
    let mut all: Vec<(&str, &str)> = headers
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    if !row.body.is_empty() {
        all.push(("content-type", "application/json"));
    }
    let body = row.body.replace("$me", owner);
    host.ask(row.method, &row.path_of(owner), &all, &body).await
}

#[test]
fn the_table_has_every_operation_that_is_served_and_no_other() {
    let served = served();
    let known: BTreeSet<&str> = served.keys().map(String::as_str).collect();
    let rows: BTreeSet<&str> = table().iter().map(|row| row.id).collect();
    let missing: Vec<_> = known.difference(&rows).collect();
    let unknown: Vec<_> = rows.difference(&known).collect();
    assert!(
        missing.is_empty() && unknown.is_empty(),
        "missing {missing:?}, not served {unknown:?}"
    );
    for row in table() {
        assert_eq!(row.method, served[row.id].0, "{}", row.id);
    }
}
