//! Robot accounts: the same calls for users and for organizations.

use http::StatusCode;
use quay_core::Error;
use quay_core::accounts::{AccountCursor, Grant, Robot, RobotDetail, RobotOwner};
use serde_json::{Map, Value, json};

use super::super::exchange::Exchange;
use super::super::reply::Reply;
use super::lists::list;
use super::views::{date, grant, team};

/// Whose robots the path is about.
#[derive(Clone)]
struct Owner(Option<String>);

impl Owner {
    fn of(exchange: &Exchange) -> Self {
        let name = exchange.path.values.iter().find(|(name, _)| name == "orgname");
        Self(name.map(|(_, value)| value.clone()))
    }

    fn as_robot_owner(&self) -> RobotOwner<'_> {
        match &self.0 {
            Some(name) => RobotOwner::Organization(name),
            None => RobotOwner::Own,
        }
    }
}

fn short(exchange: &Exchange) -> &str {
    exchange.path.get("robot_shortname")
}

fn robot(robot: Robot) -> Value {
    let account = &robot.account;
    let mut view = Map::new();
    let mut put = |name: &str, value: Value| {
        view.insert(name.to_owned(), value);
    };
    put("name", account.name.clone().into());
    put("created", date(Some(account.created)));
    put("last_accessed", date(account.last_accessed));
    put("description", account.description.clone().into());
    if let Some(token) = robot.token {
        put("token", token.into());
    }
    if let Some((teams, repositories)) = robot.places {
        put("teams", teams.iter().map(team).collect::<Vec<_>>().into());
        put("repositories", repositories.into());
    }
    Value::Object(view)
}

/// A robot with its metadata.
fn full(found: Robot) -> Value {
    let metadata = serde_json::from_str(&found.account.metadata).unwrap_or_else(|_| json!({}));
    let mut view = robot(found);
    if let Value::Object(view) = &mut view {
        view.insert("unstructured_metadata".to_owned(), metadata);
    }
    view
}

pub(super) async fn list_robots(exchange: Exchange) -> Result<Reply, Error> {
    let owner = Owner::of(&exchange);
    let flag = |name: &str| exchange.query.flag(name).unwrap_or_default();
    let detail = RobotDetail {
        tokens: flag("token"),
        places: flag("permissions"),
    };
    let (accounts, caller) = (exchange.state.accounts.clone(), exchange.caller.clone());
    let fetch = move |page| {
        let (accounts, caller, owner) = (accounts.clone(), caller.clone(), owner.clone());
        async move {
            accounts
                .robots(&caller, owner.as_robot_owner(), detail, &page)
                .await
        }
    };
    let key = |robot: &Robot| AccountCursor::from(&robot.account);
    list(&exchange, "robots", Map::new(), fetch, key, robot).await
}

pub(super) async fn get(exchange: Exchange) -> Result<Reply, Error> {
    let owner = Owner::of(&exchange);
    let found = exchange
        .state
        .accounts
        .robot(&exchange.caller, owner.as_robot_owner(), short(&exchange))
        .await?;
    Ok(Reply::ok(&full(found)))
}

pub(super) async fn create(exchange: Exchange) -> Result<Reply, Error> {
    let owner = Owner::of(&exchange);
    let metadata = match exchange.body.get("unstructured_metadata") {
        Some(metadata) => metadata.clone(),
        None => json!({}),
    };
    let created = exchange
        .state
        .accounts
        .create_robot(
            &exchange.caller,
            owner.as_robot_owner(),
            short(&exchange),
            exchange.text("description").unwrap_or_default(),
            &metadata,
        )
        .await?;
    Ok(Reply::json(StatusCode::CREATED, &full(created)))
}

pub(super) async fn delete(exchange: Exchange) -> Result<Reply, Error> {
    let owner = Owner::of(&exchange);
    exchange
        .state
        .accounts
        .delete_robot(&exchange.caller, owner.as_robot_owner(), short(&exchange))
        .await?;
    Ok(Reply::no_content())
}

pub(super) async fn regenerate(exchange: Exchange) -> Result<Reply, Error> {
    let owner = Owner::of(&exchange);
    let renewed = exchange
        .state
        .accounts
        .regenerate_robot(&exchange.caller, owner.as_robot_owner(), short(&exchange))
        .await?;
    Ok(Reply::ok(&robot(renewed)))
}

pub(super) async fn permissions(exchange: Exchange) -> Result<Reply, Error> {
    let owner = Owner::of(&exchange);
    let short = short(&exchange).to_owned();
    let (accounts, caller) = (exchange.state.accounts.clone(), exchange.caller.clone());
    let fetch = move |page| {
        let (accounts, caller) = (accounts.clone(), caller.clone());
        let (owner, short) = (owner.clone(), short.clone());
        async move {
            accounts
                .robot_permissions(&caller, owner.as_robot_owner(), &short, &page)
                .await
        }
    };
    let key = |grant: &Grant| grant.repository;
    list(&exchange, "permissions", Map::new(), fetch, key, grant).await
}

pub(super) async fn federation(exchange: Exchange) -> Result<Reply, Error> {
    let owner = Owner::of(&exchange);
    let found = exchange
        .state
        .accounts
        .robot_federation(&exchange.caller, owner.as_robot_owner(), short(&exchange))
        .await?;
    Ok(Reply::ok(&found))
}

pub(super) async fn set_federation(exchange: Exchange) -> Result<Reply, Error> {
    let owner = Owner::of(&exchange);
    let empty = json!([]);
    let providers = if exchange.body.is_null() {
        &empty
    } else {
        &exchange.body
    };
    let set = exchange
        .state
        .accounts
        .set_robot_federation(
            &exchange.caller,
            owner.as_robot_owner(),
            short(&exchange),
            Some(providers),
        )
        .await?;
    Ok(Reply::ok(&set))
}

pub(super) async fn delete_federation(exchange: Exchange) -> Result<Reply, Error> {
    let owner = Owner::of(&exchange);
    exchange
        .state
        .accounts
        .set_robot_federation(&exchange.caller, owner.as_robot_owner(), short(&exchange), None)
        .await?;
    Ok(Reply::no_content())
}
