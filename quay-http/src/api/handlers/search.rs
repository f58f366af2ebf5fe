//! Names that begin with what somebody types.

use quay_core::{Error, ErrorKind};
use serde_json::{Map, Value, json};

use super::super::avatar;
use super::super::exchange::Exchange;
use super::super::reply::Reply;

pub(super) async fn entities(exchange: Exchange) -> Result<Reply, Error> {
    let flag = |name: &str| exchange.query.flag(name).unwrap_or_default();
    let found = exchange
        .state
        .accounts
        .entities(
            &exchange.caller,
            exchange.path.get("prefix"),
            exchange.query.text("namespace"),
            flag("includeTeams"),
            flag("includeOrgs"),
        )
        .await?;
    let mut results: Vec<Value> = Vec::new();
    results.extend(found.teams.iter().map(|summary| {
        json!({
            "name": summary.team.name,
            "kind": "team",
            "is_org_member": true,
            "avatar": avatar::of_team(&summary.team.name),
        })
    }));
    results.extend(found.accounts.iter().map(|(account, is_member)| {
        let mut shown = Map::new();
        shown.insert("name".to_owned(), account.name.clone().into());
        shown.insert("kind".to_owned(), "user".into());
        shown.insert("is_robot".to_owned(), account.is_robot().into());
        if let Some(is_member) = is_member {
            shown.insert("is_org_member".to_owned(), (*is_member).into());
        }
        shown.insert("avatar".to_owned(), avatar::of_account(account));
        Value::Object(shown)
    }));
    results.extend(found.organizations.iter().map(|organization| {
        json!({
            "name": organization.name,
            "kind": "org",
            "is_org_member": true,
            "avatar": avatar::of_account(organization),
        })
    }));
    Ok(Reply::ok(&json!({ "results": results })))
}

/// Nobody comes from a directory where there is none.
pub(super) async fn link(exchange: Exchange) -> Result<Reply, Error> {
    exchange.state.accounts.require_account(&exchange.caller).await?;
    Err(Error::new(
        ErrorKind::NotFound,
        "Users are not linked from a directory in this installation",
    ))
}
