//! Roles in one repository.

use quay_core::accounts::{RepositoryAction, RepositoryRole, Team, UserPermission};
use quay_core::{Error, ErrorKind};
use serde_json::{Value, json};

use super::super::avatar;
use super::super::exchange::Exchange;
use super::super::reply::Reply;
use super::lists::map;
use super::role;

fn user(permission: &UserPermission) -> Value {
    let mut view = json!({
        "role": permission.role.as_str(),
        "name": permission.account.name,
        "is_robot": permission.account.is_robot(),
        "avatar": avatar::of_account(&permission.account),
    });
    if let (Some(is_member), Value::Object(view)) = (permission.is_member, &mut view) {
        view.insert("is_org_member".to_owned(), is_member.into());
    }
    view
}

fn team(team: &Team, role: RepositoryRole) -> Value {
    json!({
        "role": role.as_str(),
        "name": team.name,
        "avatar": avatar::of_team(&team.name),
    })
}

pub(super) async fn list_users(exchange: Exchange) -> Result<Reply, Error> {
    let name = exchange.repository()?.clone();
    let (accounts, caller) = (exchange.state.accounts.clone(), exchange.caller.clone());
    let fetch = move |page| {
        let (accounts, caller, name) = (accounts.clone(), caller.clone(), name.clone());
        async move { accounts.user_permissions(&caller, &name, &page).await }
    };
    let key = |permission: &UserPermission| permission.account.id;
    let show = |permission: UserPermission| (permission.account.name.clone(), user(&permission));
    map(&exchange, "permissions", fetch, key, show).await
}

pub(super) async fn list_teams(exchange: Exchange) -> Result<Reply, Error> {
    let name = exchange.repository()?.clone();
    let (accounts, caller) = (exchange.state.accounts.clone(), exchange.caller.clone());
    let fetch = move |page| {
        let (accounts, caller, name) = (accounts.clone(), caller.clone(), name.clone());
        async move { accounts.team_permissions_in(&caller, &name, &page).await }
    };
    let key = |(team, _): &(Team, RepositoryRole)| team.id;
    let show = |(found, role): (Team, RepositoryRole)| (found.name.clone(), team(&found, role));
    map(&exchange, "permissions", fetch, key, show).await
}

pub(super) async fn get_user(exchange: Exchange) -> Result<Reply, Error> {
    let (name, who) = (exchange.repository()?, exchange.path.get("username"));
    let found = exchange
        .state
        .accounts
        .user_permission(&exchange.caller, name, who)
        .await?;
    Ok(Reply::ok(&user(&found)))
}

pub(super) async fn transitive(exchange: Exchange) -> Result<Reply, Error> {
    let (name, who) = (exchange.repository()?, exchange.path.get("username"));
    let found = exchange
        .state
        .accounts
        .transitive_permission(&exchange.caller, name, who)
        .await?;
    let roles: Vec<Value> = found
        .iter()
        .map(|role| json!({ "role": role.as_str() }))
        .collect();
    Ok(Reply::ok(&json!({ "permissions": roles })))
}

pub(super) async fn explain(exchange: Exchange) -> Result<Reply, Error> {
    let name = exchange.repository()?;
    let invalid = |message: &str| Error::new(ErrorKind::InvalidRequest, message);
    let account = exchange.query.text("account").unwrap_or_default();
    let action = exchange.query.text("action").unwrap_or_default();
    let action = RepositoryAction::from_name(action)
        .ok_or_else(|| invalid("action must be pull, push, admin or create"))?;
    let found = exchange
        .state
        .accounts
        .explain(&exchange.caller, name, account, action)
        .await?;
    let reasons: Vec<Value> = found
        .reasons
        .iter()
        .map(|reason| {
            let mut view = json!({ "kind": reason.kind.as_str(), "detail": reason.detail });
            if let Some(role) = reason.role {
                view["role"] = role.into();
            }
            if let Some(team) = &reason.team {
                view["team"] = team.as_str().into();
            }
            view
        })
        .collect();
    Ok(Reply::ok(&json!({
        "account": account,
        "action": action.as_str(),
        "repository": name.path(),
        "allowed": found.allowed,
        "reasons": reasons,
    })))
}

pub(super) async fn set_user(exchange: Exchange) -> Result<Reply, Error> {
    let (name, who) = (exchange.repository()?, exchange.path.get("username"));
    let set = exchange
        .state
        .accounts
        .set_user_permission(&exchange.caller, name, who, role(&exchange)?)
        .await?;
    Ok(Reply::ok(&user(&set)))
}

pub(super) async fn delete_user(exchange: Exchange) -> Result<Reply, Error> {
    let (name, who) = (exchange.repository()?, exchange.path.get("username"));
    exchange
        .state
        .accounts
        .delete_user_permission(&exchange.caller, name, who)
        .await?;
    Ok(Reply::no_content())
}

pub(super) async fn get_team(exchange: Exchange) -> Result<Reply, Error> {
    let (name, who) = (exchange.repository()?, exchange.path.get("teamname"));
    let role = exchange
        .state
        .accounts
        .team_permission(&exchange.caller, name, who)
        .await?;
    Ok(Reply::ok(&json!({ "role": role.as_str() })))
}

pub(super) async fn set_team(exchange: Exchange) -> Result<Reply, Error> {
    let (name, who) = (exchange.repository()?, exchange.path.get("teamname"));
    let role = role(&exchange)?;
    let found = exchange
        .state
        .accounts
        .set_team_permission(&exchange.caller, name, who, role)
        .await?;
    Ok(Reply::ok(&team(&found, role)))
}

pub(super) async fn delete_team(exchange: Exchange) -> Result<Reply, Error> {
    let (name, who) = (exchange.repository()?, exchange.path.get("teamname"));
    exchange
        .state
        .accounts
        .delete_team_permission(&exchange.caller, name, who)
        .await?;
    Ok(Reply::no_content())
}
