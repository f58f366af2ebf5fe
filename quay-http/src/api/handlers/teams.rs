//! Teams and invitations to them.

use quay_core::accounts::{AccountCursor, Accounts, Grant, TeamMember, TeamRole};
use quay_core::metadata::PageRequest;
use quay_core::{Caller, Error, ErrorKind};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::super::avatar::{self, AvatarKind};
use super::super::exchange::Exchange;
use super::super::reply::Reply;
use super::lists::list;
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

/// The last of a page of members, behind whom those follow who are asked to join.
#[derive(Clone, Serialize, Deserialize)]
enum Place {
    Member(AccountCursor),
    Asked(i64),
}

type Placed = (Place, TeamMember);

/// A page of a team's members and, where they are wanted, of those who are asked to join it.
async fn placed_members(
    accounts: &Accounts,
    caller: &Caller,
    (organization, name): (&str, &str),
    pending: bool,
    page: PageRequest<Place>,
) -> Result<Vec<Placed>, Error> {
    let mut found: Vec<Placed> = Vec::new();
    let mut after = None;
    match page.after {
        Some(Place::Asked(id)) => after = Some(id),
        from => {
            let from = match from {
                Some(Place::Member(cursor)) => Some(cursor),
                _ => None,
            };
            let page = PageRequest::new(from, page.limit);
            let members = accounts
                .team_members(caller, organization, name, false, &page)
                .await?;
            found.extend(members.members.into_iter().filter_map(|member| match &member {
                TeamMember::Account { account, .. } => {
                    Some((Place::Member(AccountCursor::from(&**account)), member))
                }
                _ => None,
            }));
        }
    }
    let left = page.limit.saturating_sub(found.len());
    if pending && left > 0 {
        let page = PageRequest::new(after, left);
        let asked = accounts.team_invites(caller, organization, name, &page).await?;
        found.extend(asked.into_iter().map(|(id, member)| (Place::Asked(id), member)));
    }
    Ok(found)
}

pub(super) async fn list_members(exchange: Exchange) -> Result<Reply, Error> {
    let (organization, name) = names(&exchange);
    let pending = exchange.query.flag("includePending").unwrap_or_default();
    let (accounts, caller) = (exchange.state.accounts.clone(), exchange.caller.clone());
    // What stands beside the members is asked for first, and with it whether the caller may ask.
    let nobody = PageRequest::new(None, 0);
    let head = accounts
        .team_members(&caller, &organization, &name, false, &nobody)
        .await?;
    let fetch = move |page| {
        let (accounts, caller) = (accounts.clone(), caller.clone());
        let (organization, name) = (organization.clone(), name.clone());
        async move {
            let team = (organization.as_str(), name.as_str());
            placed_members(&accounts, &caller, team, pending, page).await
        }
    };
    let rest = members([
        ("name", head.team.name.into()),
        ("can_edit", head.can_edit.into()),
    ]);
    let key = |(place, _): &Placed| place.clone();
    list(&exchange, "members", rest, fetch, key, |(_, found)| member(found)).await
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
