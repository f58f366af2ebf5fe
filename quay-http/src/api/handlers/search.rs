//! Names that begin with what somebody types.

use quay_core::accounts::{Account, FoundRepository};
use quay_core::metadata::{RepositoryKind, Visibility};
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

/// How much each kind counts (`quay-api.md`, 3.10).
const ENTITY: f64 = 1.0;
const TEAM: f64 = 2.0;
const REPOSITORY: f64 = 4.0;

/// How close a name is to what was looked for: one when they are the same, a half when it is not in it at all.
fn closeness(name: &str, query: &str) -> f64 {
    let (name, query) = (name.to_lowercase(), query.to_lowercase());
    #[expect(clippy::cast_precision_loss, reason = "names are short")]
    let share = query.len() as f64 / name.len().max(1) as f64;
    match name.find(&query) {
        _ if name == query => 1.0,
        Some(0) => 0.1f64.mul_add(share, 0.85),
        Some(_) => 0.1f64.mul_add(share, 0.7),
        None => 0.5,
    }
}

/// A user, organization or robot that was found.
fn entity(account: &Account, caller: Option<&str>, query: Option<&str>) -> Value {
    let name = &account.name;
    let short = name.split_once('+').filter(|_| account.is_robot());
    let (title, kind, href) = match short {
        Some((owner, _)) => {
            let place = if caller == Some(owner) {
                "user"
            } else {
                "organization"
            };
            (
                "robot",
                "robot",
                format!("/{place}/{owner}?tab=robots&showRobot={name}"),
            )
        }
        None if account.is_organization() => ("org", "organization", format!("/organization/{name}")),
        None => ("user", "user", format!("/user/{name}")),
    };
    let avatar = match short {
        Some(_) => Value::Null,
        None => avatar::of_account(account),
    };
    let shown = short.map_or(name.as_str(), |(_, short)| short);
    let factor = query.map_or(1.0, |query| closeness(shown, query));
    let mut view = json!({
        "title": title,
        "kind": kind,
        "avatar": avatar,
        "name": name,
        "score": ENTITY * factor,
        "href": href,
    });
    if let Some((_, short)) = short {
        view["short_name"] = short.into();
    }
    view
}

/// A repository that was found.
fn repository(found: &FoundRepository, caller: Option<&str>, query: Option<&str>) -> Value {
    let record = &found.record;
    let (namespace, rest) = (record.name.namespace(), record.name.rest());
    let (kind, title) = match record.kind {
        RepositoryKind::Application => ("application", "app"),
        _ => ("repository", "repo"),
    };
    let namespace_view = match &found.namespace {
        Some(account) => entity(account, caller, None),
        // Somebody pushed there who has no account.
        None => json!({
            "title": "org",
            "kind": "organization",
            "avatar": null,
            "name": namespace,
            "score": ENTITY,
            "href": format!("/organization/{namespace}"),
        }),
    };
    json!({
        "kind": kind,
        "title": title,
        "namespace": namespace_view,
        "name": rest,
        "description": found.details.description,
        "is_public": record.visibility == Visibility::Public,
        "score": REPOSITORY * query.map_or(1.0, |query| closeness(rest, query)),
        "href": format!("/{kind}/{namespace}/{rest}"),
    })
}

pub(super) async fn everything(exchange: Exchange) -> Result<Reply, Error> {
    let query = exchange.query.text("query").unwrap_or_default().trim();
    let caller = exchange.caller.account();
    let found = exchange.state.accounts.search(&exchange.caller, query).await?;
    let mut results: Vec<Value> = Vec::new();
    results.extend(found.teams.iter().map(|(team, organization)| {
        json!({
            "kind": "team",
            "name": team.name,
            "organization": entity(organization, caller, None),
            "avatar": avatar::of_team(&team.name),
            "score": TEAM * closeness(&team.name, query),
            "href": format!("/organization/{}/teams/{}", organization.name, team.name),
        })
    }));
    let accounts = found.robots.iter().chain(&found.namespaces);
    let entities: Vec<Value> = accounts
        .map(|account| entity(account, caller, Some(query)))
        .collect();
    let repositories = found.repositories.iter();
    results.extend(repositories.map(|found| repository(found, caller, Some(query))));
    results.extend(entities);
    let score = |view: &Value| view["score"].as_f64().unwrap_or_default();
    results.sort_by(|left, right| score(right).total_cmp(&score(left)));
    Ok(Reply::ok(&json!({ "results": results })))
}

pub(super) async fn repositories(exchange: Exchange) -> Result<Reply, Error> {
    let options = &exchange.state.options;
    let query = exchange.query.text("query").unwrap_or_default();
    let page = exchange.query.integer("page").unwrap_or(1);
    let page = usize::try_from(page).unwrap_or(1).clamp(1, options.search_pages);
    let accounts = &exchange.state.accounts;
    let found = accounts
        .search_repositories(&exchange.caller, query, page)
        .await?;
    let (found, more) = found;
    let caller = exchange.caller.account();
    let results: Vec<Value> = found
        .iter()
        .map(|found| {
            let mut view = repository(found, caller, None);
            if let Some(time) = found.details.last_modified {
                view["last_modified"] = super::repositories::seconds(time).into();
            }
            view["stars"] = found.stars.into();
            view["popularity"] = super::repositories::number(found.popularity);
            view
        })
        .collect();
    Ok(Reply::ok(&json!({
        "results": results,
        "has_additional": more,
        "page": page,
        "page_size": options.search_page,
        "start_index": (page - 1) * options.search_page,
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closer_a_name_the_higher_it_counts() {
        let names = ["app", "apps", "app-of-many", "my-app", "my-other-app", "other"];
        let scores = names.map(|name| closeness(name, "App"));
        assert!(scores.is_sorted_by(|left, right| left > right), "{scores:?}");
        assert!(scores.iter().all(|score| (0.5..=1.0).contains(score)));
    }
}
