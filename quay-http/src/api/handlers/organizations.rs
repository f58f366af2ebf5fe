//! Organizations, who is in them, and default permissions.

use http::StatusCode;
use quay_core::Error;
use quay_core::accounts::{
    Account, AccountCursor, Delegate, Member, OrganizationChanges, OrganizationView, PrototypeView,
};
use serde_json::{Map, Value, json};

use super::super::avatar;
use super::super::exchange::Exchange;
use super::super::reply::Reply;
use super::lists::{cut, list};
use super::views::{members, nullable, team};
use super::{role, text};

pub(super) async fn create(exchange: Exchange) -> Result<Reply, Error> {
    let accounts = &exchange.state.accounts;
    // Whoever may make none is told so first.
    accounts.require_user_admin(&exchange.caller).await?;
    accounts
        .require_human(&exchange.caller, exchange.text("recaptcha_response"))
        .await?;
    accounts
        .create_organization(&exchange.caller, text(&exchange, "name"), exchange.text("email"))
        .await?;
    Ok(Reply::json(StatusCode::CREATED, &json!("Created")))
}

/// An organization as the caller may see it.
pub(super) fn view(view: &OrganizationView) -> Value {
    let account = &view.account;
    let email = if view.is_admin {
        account.email.clone().unwrap_or_default()
    } else {
        String::new()
    };
    let mut shown = members([
        ("name", account.name.clone().into()),
        ("email", email.into()),
        ("avatar", avatar::of_account(account)),
        ("is_admin", view.is_admin.into()),
        ("is_member", view.is_member.into()),
    ]);
    if view.is_member {
        let teams: Map<String, Value> = view
            .teams
            .iter()
            .map(|(summary, can_view)| {
                let team = &summary.team;
                let shown = json!({
                    "name": team.name,
                    "description": team.description,
                    "role": team.role.as_str(),
                    "avatar": avatar::of_team(&team.name),
                    "can_view": can_view,
                    "repo_count": summary.repositories,
                    "member_count": summary.members,
                    "is_synced": false,
                });
                (team.name.clone(), shown)
            })
            .collect();
        // Oldest first.
        let mut oldest: Vec<_> = view.teams.iter().map(|(summary, _)| &summary.team).collect();
        oldest.sort_unstable_by_key(|team| team.id);
        let ordered: Vec<&str> = oldest.iter().map(|team| team.name.as_str()).collect();
        shown.insert("ordered_teams".to_owned(), json!(ordered));
        shown.insert("teams".to_owned(), teams.into());
    }
    if view.is_admin {
        shown.extend(members([
            ("invoice_email", account.invoice_email.into()),
            ("invoice_email_address", json!(account.invoice_email_address)),
            ("tag_expiration_s", account.tag_expiration_s.into()),
            ("is_free_account", true.into()),
        ]));
    }
    Value::Object(shown)
}

pub(super) async fn get(exchange: Exchange) -> Result<Reply, Error> {
    let name = exchange.path.get("orgname");
    let found = exchange
        .state
        .accounts
        .organization_view(&exchange.caller, name)
        .await?;
    shown(&exchange, &found).await
}

/// An organization with what it uses, for its members.
async fn shown(exchange: &Exchange, found: &OrganizationView) -> Result<Reply, Error> {
    let mut view = view(found);
    if found.is_member
        && let Some(report) = exchange.state.accounts.quota_report(&found.account.name).await?
        && let Value::Object(view) = &mut view
    {
        view.extend(super::quotas::report(&report));
    }
    Ok(Reply::ok(&view))
}

pub(super) async fn change(exchange: Exchange) -> Result<Reply, Error> {
    let name = exchange.path.get("orgname");
    let body = &exchange.body;
    let changes = OrganizationChanges {
        email: exchange.text("email").map(ToOwned::to_owned),
        invoice_email: body.get("invoice_email").and_then(Value::as_bool),
        invoice_email_address: nullable(body, "invoice_email_address"),
        tag_expiration_s: body.get("tag_expiration_s").and_then(Value::as_i64),
    };
    let accounts = &exchange.state.accounts;
    accounts
        .change_organization(&exchange.caller, name, changes)
        .await?;
    let found = accounts.organization_view(&exchange.caller, name).await?;
    shown(&exchange, &found).await
}

pub(super) async fn delete(exchange: Exchange) -> Result<Reply, Error> {
    let name = exchange.path.get("orgname");
    exchange
        .state
        .accounts
        .delete_organization(&exchange.caller, name)
        .await?;
    Ok(Reply::no_content())
}

fn kind(account: &Account) -> &'static str {
    if account.is_robot() { "robot" } else { "user" }
}

#[expect(clippy::needless_pass_by_value, reason = "what a list shows is its own")]
fn member(member: Member) -> Value {
    let teams: Vec<Value> = member.teams.iter().map(team).collect();
    json!({
        "name": member.account.name,
        "kind": kind(&member.account),
        "avatar": avatar::of_account(&member.account),
        "teams": teams,
        "repositories": member.repositories,
    })
}

pub(super) async fn list_members(exchange: Exchange) -> Result<Reply, Error> {
    let (accounts, caller) = (exchange.state.accounts.clone(), exchange.caller.clone());
    let name = exchange.path.get("orgname").to_owned();
    let fetch = move |page| {
        let (accounts, caller, name) = (accounts.clone(), caller.clone(), name.clone());
        async move { accounts.members(&caller, &name, &page).await }
    };
    let key = |member: &Member| AccountCursor::from(&member.account);
    list(&exchange, "members", Map::new(), fetch, key, member).await
}

pub(super) async fn get_member(exchange: Exchange) -> Result<Reply, Error> {
    let (name, of) = (exchange.path.get("orgname"), exchange.path.get("membername"));
    let found = exchange.state.accounts.member(&exchange.caller, name, of).await?;
    Ok(Reply::ok(&member(found)))
}

pub(super) async fn remove_member(exchange: Exchange) -> Result<Reply, Error> {
    let (name, of) = (exchange.path.get("orgname"), exchange.path.get("membername"));
    exchange
        .state
        .accounts
        .remove_member(&exchange.caller, name, of)
        .await?;
    Ok(Reply::no_content())
}

pub(super) async fn collaborators(exchange: Exchange) -> Result<Reply, Error> {
    let (accounts, caller) = (exchange.state.accounts.clone(), exchange.caller.clone());
    let name = exchange.path.get("orgname").to_owned();
    let fetch = move |page| {
        let (accounts, caller, name) = (accounts.clone(), caller.clone(), name.clone());
        async move { accounts.collaborators(&caller, &name, &page).await }
    };
    let key = |member: &Member| AccountCursor::from(&member.account);
    let show = |member: Member| {
        json!({
            "kind": "user",
            "name": member.account.name,
            "avatar": avatar::of_account(&member.account),
            "repositories": member.repositories,
        })
    };
    list(&exchange, "collaborators", Map::new(), fetch, key, show).await
}

fn somebody(account: &Account, is_member: bool) -> Value {
    json!({
        "name": account.name,
        "is_robot": account.is_robot(),
        "kind": "user",
        "is_org_member": is_member,
        "avatar": avatar::of_account(account),
    })
}

fn prototype(view: &PrototypeView) -> Value {
    let activating = view
        .activating
        .as_ref()
        .map_or(Value::Null, |(account, is_member)| somebody(account, *is_member));
    let delegate = match &view.delegate {
        Delegate::Account(account, is_member) => somebody(account, *is_member),
        Delegate::Team(team) => json!({
            "name": team.name,
            "kind": "team",
            "avatar": avatar::of_team(&team.name),
        }),
    };
    json!({
        "activating_user": activating,
        "delegate": delegate,
        "role": view.prototype.role.as_str(),
        "id": view.prototype.uuid,
    })
}

pub(super) async fn prototypes(exchange: Exchange) -> Result<Reply, Error> {
    let name = exchange.path.get("orgname");
    let found = exchange.state.accounts.prototypes(&exchange.caller, name).await?;
    let (found, next) = cut(&exchange, found, |view| view.prototype.id);
    let shown: Vec<Value> = found.iter().map(prototype).collect();
    let mut body = json!({ "prototypes": shown });
    if let Some(next) = next {
        body["next_page"] = next;
    }
    Ok(Reply::ok(&body))
}

pub(super) async fn create_prototype(exchange: Exchange) -> Result<Reply, Error> {
    let name = exchange.path.get("orgname");
    let within = |object: &str, member: &str| exchange.body.get(object)?.get(member)?.as_str();
    let delegate = (
        within("delegate", "name").unwrap_or_default(),
        within("delegate", "kind") == Some("team"),
    );
    let created = exchange
        .state
        .accounts
        .create_prototype(
            &exchange.caller,
            name,
            within("activating_user", "name"),
            delegate,
            role(&exchange)?,
        )
        .await?;
    Ok(Reply::ok(&prototype(&created)))
}

pub(super) async fn change_prototype(exchange: Exchange) -> Result<Reply, Error> {
    let (name, id) = (exchange.path.get("orgname"), exchange.path.get("prototypeid"));
    let changed = exchange
        .state
        .accounts
        .change_prototype(&exchange.caller, name, id, role(&exchange)?)
        .await?;
    Ok(Reply::ok(&prototype(&changed)))
}

pub(super) async fn delete_prototype(exchange: Exchange) -> Result<Reply, Error> {
    let (name, id) = (exchange.path.get("orgname"), exchange.path.get("prototypeid"));
    exchange
        .state
        .accounts
        .delete_prototype(&exchange.caller, name, id)
        .await?;
    Ok(Reply::no_content())
}
