//! Teams and invitations to them.

use quay_core::accounts::{AccountCursor, Grant, TeamMember, TeamRole};
use quay_core::{Error, ErrorKind};
use serde_json::{Map, Value, json};

use super::super::avatar::{self, AvatarKind};
use super::super::exchange::Exchange;
use super::super::reply::Reply;
use super::lists::{limit, list, page};
use super::text;
use super::views::{grant, members};

fn names(exchange: &Exchange) -> (String, String) {
    let of = |name: &str| exchange.path.get(name).to_owned();
    (of("orgname"), of("teamname"))
}

pub(super) async fn put(exchange: Exchange) -> Result<Reply, Error> {
    let (organization, name) = names(&exchange);
    let role = TeamRole::from_name(text(&exchange, "role"))
        .ok_or_else(|| Error::new(ErrorKind::InvalidRequest, "Invalid role"))?;
    let (team, new) = exchange
        .state
        .accounts
        .put_team(
            &exchange.caller,
            &organization,
            &name,
            role,
            exchange.text("description"),
        )
        .await?;
    Ok(Reply::ok(&json!({
        "name": team.name,
        "description": team.description,
        "can_view": true,
        "role": team.role.as_str(),
        "avatar": avatar::of_team(&team.name),
        "new_team": new,
    })))
}

pub(super) async fn delete(exchange: Exchange) -> Result<Reply, Error> {
    let (organization, name) = names(&exchange);
    exchange
        .state
        .accounts
        .delete_team(&exchange.caller, &organization, &name)
        .await?;
    Ok(Reply::no_content())
}

fn member(member: TeamMember) -> Value {
    match member {
        TeamMember::Account { account, invited } => json!({
            "name": account.name,
            "kind": "user",
            "is_robot": account.is_robot(),
            "avatar": avatar::of_account(&account),
            "invited": invited,
        }),
        TeamMember::Email(email) => json!({
            "email": email,
            "kind": "invite",
            "avatar": avatar::avatar(AvatarKind::User, &email, Some(&email)),
            "invited": true,
        }),
        _ => Value::Null,
    }
}

fn cursor(member: &TeamMember) -> AccountCursor {
    match member {
        TeamMember::Account {
            account,
            invited: false,
        } => AccountCursor::from(&**account),
        // Those who are asked come once, behind the first page's members.
        _ => AccountCursor {
            id: i64::MAX,
            name: String::new(),
        },
    }
}

pub(super) async fn list_members(exchange: Exchange) -> Result<Reply, Error> {
    let (organization, name) = names(&exchange);
    let pending = exchange.query.flag("includePending").unwrap_or_default();
    let (accounts, caller) = (exchange.state.accounts.clone(), exchange.caller.clone());
    // What stands beside the members is asked for first, and with it whether the caller may ask.
    let none = quay_core::metadata::PageRequest::new(
        Some(AccountCursor {
            id: i64::MAX,
            name: String::new(),
        }),
        0,
    );
    let head = accounts
        .team_members(&caller, &organization, &name, false, &none)
        .await?;
    let invited = if pending && limit(&exchange).is_none() {
        let all = accounts
            .team_members(
                &caller,
                &organization,
                &name,
                true,
                &quay_core::metadata::PageRequest::new(None, 0),
            )
            .await?;
        all.members
    } else {
        Vec::new()
    };
    let fetch = move |page| {
        let (accounts, caller) = (accounts.clone(), caller.clone());
        let (organization, name) = (organization.clone(), name.clone());
        async move {
            let found = accounts
                .team_members(&caller, &organization, &name, false, &page)
                .await?;
            Ok(found.members)
        }
    };
    let rest = members([
        ("name", head.team.name.into()),
        ("can_edit", head.can_edit.into()),
    ]);
    if limit(&exchange).is_some() || invited.is_empty() {
        return list(&exchange, "members", rest, fetch, cursor, member).await;
    }
    // Whoever is asked to join is one of few: they are shown with the members at once.
    let (mut found, _) = page(&exchange, 10_000, fetch, cursor).await?;
    found.extend(invited);
    let mut body = rest;
    let shown: Vec<Value> = found.into_iter().map(member).collect();
    body.insert("members".to_owned(), shown.into());
    Ok(Reply::ok(&Value::Object(body)))
}

pub(super) async fn add_member(exchange: Exchange) -> Result<Reply, Error> {
    let (organization, name) = names(&exchange);
    let who = exchange.path.get("membername");
    let added = exchange
        .state
        .accounts
        .add_team_member(&exchange.caller, &organization, &name, who)
        .await?;
    Ok(Reply::ok(&member(added)))
}

pub(super) async fn remove_member(exchange: Exchange) -> Result<Reply, Error> {
    let (organization, name) = names(&exchange);
    let who = exchange.path.get("membername");
    exchange
        .state
        .accounts
        .remove_team_member(&exchange.caller, &organization, &name, who)
        .await?;
    Ok(Reply::no_content())
}

pub(super) async fn invite(exchange: Exchange) -> Result<Reply, Error> {
    let (organization, name) = names(&exchange);
    let email = exchange.path.get("email");
    let asked = exchange
        .state
        .accounts
        .invite_email(&exchange.caller, &organization, &name, email)
        .await?;
    Ok(Reply::ok(&member(asked)))
}

pub(super) async fn delete_invite(exchange: Exchange) -> Result<Reply, Error> {
    let (organization, name) = names(&exchange);
    let email = exchange.path.get("email");
    exchange
        .state
        .accounts
        .delete_email_invite(&exchange.caller, &organization, &name, email)
        .await?;
    Ok(Reply::no_content())
}

pub(super) async fn accept(exchange: Exchange) -> Result<Reply, Error> {
    let code = exchange.path.get("code");
    let (organization, team) = exchange
        .state
        .accounts
        .accept_invite(&exchange.caller, code)
        .await?;
    Ok(Reply::ok(&json!({ "org": organization.name, "team": team.name })))
}

pub(super) async fn decline(exchange: Exchange) -> Result<Reply, Error> {
    let code = exchange.path.get("code");
    exchange
        .state
        .accounts
        .decline_invite(&exchange.caller, code)
        .await?;
    Ok(Reply::no_content())
}

pub(super) async fn permissions(exchange: Exchange) -> Result<Reply, Error> {
    let (organization, name) = names(&exchange);
    let (accounts, caller) = (exchange.state.accounts.clone(), exchange.caller.clone());
    let fetch = move |page| {
        let (accounts, caller) = (accounts.clone(), caller.clone());
        let (organization, name) = (organization.clone(), name.clone());
        async move {
            accounts
                .team_permissions(&caller, &organization, &name, &page)
                .await
        }
    };
    let key = |grant: &Grant| grant.repository;
    list(&exchange, "permissions", Map::new(), fetch, key, grant).await
}
