//! What superusers do: users, organizations, service keys, messages.

use http::StatusCode;
use quay_core::accounts::{Account, AccountCursor, KeyApproval, ServiceKeyView};
use quay_core::runtime::Timestamp;
use quay_core::{Error, ErrorKind};
use serde_json::{Map, Value, json};

use super::super::dates::http_date;
use super::super::exchange::Exchange;
use super::super::reply::Reply;
use super::lists::{limit, list, page};
use super::text;
use super::views::{any_organization, any_user, members};

pub(super) async fn list_users(exchange: Exchange) -> Result<Reply, Error> {
    let disabled = exchange.query.flag("disabled").unwrap_or(true);
    let (accounts, caller) = (exchange.state.accounts.clone(), exchange.caller.clone());
    let fetch = move |page| {
        let (accounts, caller) = (accounts.clone(), caller.clone());
        async move {
            let found = accounts.all_users(&caller, disabled, &page).await?;
            let superuser = |account: &Account| accounts.options().is_superuser(&account.name);
            Ok(found
                .into_iter()
                .map(|account| (superuser(&account), account))
                .collect::<Vec<_>>())
        }
    };
    let key = |(_, account): &(bool, Account)| AccountCursor::from(account);
    let show = |(superuser, account): (bool, Account)| any_user(&account, superuser);
    list(&exchange, "users", Map::new(), fetch, key, show).await
}

pub(super) async fn list_organizations(exchange: Exchange) -> Result<Reply, Error> {
    let (accounts, caller) = (exchange.state.accounts.clone(), exchange.caller.clone());
    let fetch = move |page| {
        let (accounts, caller) = (accounts.clone(), caller.clone());
        async move { accounts.all_organizations(&caller, &page).await }
    };
    let key = |account: &Account| AccountCursor::from(account);
    let show = |account: Account| any_organization(&account);
    list(&exchange, "organizations", Map::new(), fetch, key, show).await
}

pub(super) async fn create_user(exchange: Exchange) -> Result<Reply, Error> {
    let created = exchange
        .state
        .accounts
        .create_user(
            &exchange.caller,
            text(&exchange, "username"),
            exchange.text("email"),
        )
        .await?;
    Ok(Reply::ok(&json!({
        "username": created.account.name,
        "email": created.account.email,
        "password": created.password,
        "encrypted_password": created.encrypted_password,
    })))
}

fn shown(exchange: &Exchange, account: &Account) -> Value {
    any_user(account, exchange.state.options.is_superuser(&account.name))
}

pub(super) async fn get_user(exchange: Exchange) -> Result<Reply, Error> {
    let name = exchange.path.get("username");
    let found = exchange.state.accounts.any_user(&exchange.caller, name).await?;
    Ok(Reply::ok(&shown(&exchange, &found)))
}

pub(super) async fn change_user(exchange: Exchange) -> Result<Reply, Error> {
    let accounts = &exchange.state.accounts;
    let name = exchange.path.get("username");
    let password = exchange.text("password");
    let changed = accounts
        .change_any_user(
            &exchange.caller,
            name,
            password,
            exchange.text("email"),
            exchange.body.get("enabled").and_then(Value::as_bool),
            exchange.body.get("superuser").and_then(Value::as_bool),
        )
        .await?;
    let mut view = shown(&exchange, &changed);
    if let (Some(password), Value::Object(view)) = (password, &mut view) {
        view.insert(
            "encrypted_password".to_owned(),
            accounts.encrypted(password).into(),
        );
    }
    Ok(Reply::ok(&view))
}

pub(super) async fn delete_user(exchange: Exchange) -> Result<Reply, Error> {
    let name = exchange.path.get("username");
    exchange
        .state
        .accounts
        .delete_any_user(&exchange.caller, name)
        .await?;
    Ok(Reply::no_content())
}

pub(super) async fn send_recovery(exchange: Exchange) -> Result<Reply, Error> {
    let name = exchange.path.get("username");
    let email = exchange
        .state
        .accounts
        .send_recovery_to(&exchange.caller, name)
        .await?;
    Ok(Reply::ok(&json!({ "email": email })))
}

pub(super) async fn change_organization(exchange: Exchange) -> Result<Reply, Error> {
    let name = exchange.path.get("name");
    let changed = exchange
        .state
        .accounts
        .rename_organization(&exchange.caller, name, exchange.text("name"))
        .await?;
    Ok(Reply::ok(&any_organization(&changed)))
}

pub(super) async fn delete_organization(exchange: Exchange) -> Result<Reply, Error> {
    let name = exchange.path.get("name");
    exchange
        .state
        .accounts
        .delete_any_organization(&exchange.caller, name)
        .await?;
    Ok(Reply::no_content())
}

pub(super) async fn take_ownership(exchange: Exchange) -> Result<Reply, Error> {
    let namespace = exchange.path.get("namespace");
    exchange
        .state
        .accounts
        .take_ownership(&exchange.caller, namespace)
        .await?;
    Ok(Reply::ok(&json!({ "namespace": namespace })))
}

pub(super) async fn registry_status(_: Exchange) -> Result<Reply, Error> {
    Ok(Reply::ok(&json!({ "status": "ready" })))
}

/// What Quay's pages compare an approval with: its own name for the kind, not the one that is stored.
fn approval_type(kind: &str) -> &str {
    match kind {
        "Super User API" => "ServiceKeyApprovalType.SUPERUSER",
        "Key Rotation" => "ServiceKeyApprovalType.KEY_ROTATION",
        "Automatic" => "ServiceKeyApprovalType.AUTOMATIC",
        other => other,
    }
}

fn approval(exchange: &Exchange, approval: &KeyApproval, approver: Option<&Account>) -> Value {
    json!({
        "approver": approver.map(|approver| shown(exchange, approver)),
        "approval_type": approval_type(&approval.kind),
        "approved_date": http_date(approval.at),
        "notes": approval.notes,
    })
}

fn key(exchange: &Exchange, view: &ServiceKeyView) -> Value {
    let key = &view.key;
    let object = |text: &str| serde_json::from_str(text).unwrap_or_else(|_| json!({}));
    json!({
        "name": key.name,
        "kid": key.kid,
        "service": key.service,
        "jwk": object(&key.jwk),
        "metadata": object(&key.metadata),
        "created_date": http_date(key.created),
        "expiration_date": key.expires.map(http_date),
        "rotation_duration": key.rotation_s,
        "approval": key
            .approval
            .as_ref()
            .map(|given| approval(exchange, given, view.approver.as_ref())),
    })
}

/// Keys on a page when nobody asks for a number: all that there can be in a healthy registry.
const KEYS: usize = 10_000;

pub(super) async fn list_keys(exchange: Exchange) -> Result<Reply, Error> {
    let (accounts, caller) = (&exchange.state.accounts, &exchange.caller);
    let fetch = |page| async move { accounts.service_keys(caller, &page).await };
    let most = limit(&exchange).unwrap_or(KEYS);
    let place = |view: &ServiceKeyView| view.key.kid.clone();
    let (found, next) = page(&exchange, most, fetch, place).await?;
    let shown: Vec<Value> = found.iter().map(|view| key(&exchange, view)).collect();
    let mut body = members([("keys", shown.into())]);
    body.extend(next.map(|next| ("next_page".to_owned(), next)));
    Ok(Reply::ok(&Value::Object(body)))
}

#[expect(clippy::option_option, reason = "absent, null and a time are three things")]
fn expiration(exchange: &Exchange) -> Option<Option<Timestamp>> {
    let given = exchange.body.get("expiration")?;
    Some(given.as_f64().map(|seconds| {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "times beyond the range of numbers end there"
        )]
        Timestamp::from_millis((seconds * 1000.0) as i64)
    }))
}

pub(super) async fn create_key(exchange: Exchange) -> Result<Reply, Error> {
    let metadata = match exchange.body.get("metadata") {
        Some(metadata) => metadata.clone(),
        None => json!({}),
    };
    let created = exchange
        .state
        .accounts
        .create_service_key(
            &exchange.caller,
            text(&exchange, "service"),
            text(&exchange, "name"),
            &metadata,
            text(&exchange, "notes"),
            expiration(&exchange).flatten(),
        )
        .await?;
    Ok(Reply::ok(&json!({
        "kid": created.key.kid,
        "name": created.key.name,
        "service": created.key.service,
        "public_key": created.pair.public_pem,
        "private_key": created.pair.private_pem,
    })))
}

pub(super) async fn get_key(exchange: Exchange) -> Result<Reply, Error> {
    let kid = exchange.path.get("kid");
    let found = exchange.state.accounts.service_key(&exchange.caller, kid).await?;
    Ok(Reply::ok(&key(&exchange, &found)))
}

pub(super) async fn change_key(exchange: Exchange) -> Result<Reply, Error> {
    let kid = exchange.path.get("kid");
    let changed = exchange
        .state
        .accounts
        .change_service_key(
            &exchange.caller,
            kid,
            exchange.text("name"),
            exchange.body.get("metadata"),
            expiration(&exchange),
        )
        .await?;
    Ok(Reply::ok(&key(&exchange, &changed)))
}

pub(super) async fn delete_key(exchange: Exchange) -> Result<Reply, Error> {
    let kid = exchange.path.get("kid");
    exchange
        .state
        .accounts
        .delete_service_key(&exchange.caller, kid)
        .await?;
    Ok(Reply::no_content())
}

pub(super) async fn approve_key(exchange: Exchange) -> Result<Reply, Error> {
    let kid = exchange.path.get("kid");
    exchange
        .state
        .accounts
        .approve_service_key(&exchange.caller, kid, text(&exchange, "notes"))
        .await?;
    Ok(Reply::empty(StatusCode::CREATED))
}

pub(super) async fn messages(exchange: Exchange) -> Result<Reply, Error> {
    let found = exchange.state.accounts.messages().await?;
    let shown: Vec<Value> = found
        .iter()
        .map(|message| {
            json!({
                "uuid": message.uuid,
                "content": message.content,
                "severity": message.severity,
                "media_type": message.media_type,
            })
        })
        .collect();
    Ok(Reply::ok(&json!({ "messages": shown })))
}

pub(super) async fn create_message(exchange: Exchange) -> Result<Reply, Error> {
    let of = |name: &str| {
        let message = exchange.body.get("message");
        message.and_then(|message| message.get(name)?.as_str())
    };
    let (Some(content), Some(media_type), Some(severity)) = (of("content"), of("media_type"), of("severity"))
    else {
        return Err(Error::new(ErrorKind::InvalidRequest, "Missing message"));
    };
    exchange
        .state
        .accounts
        .create_message(&exchange.caller, content, media_type, severity)
        .await?;
    Ok(Reply::empty(StatusCode::CREATED))
}

pub(super) async fn delete_message(exchange: Exchange) -> Result<Reply, Error> {
    let uuid = exchange.path.get("uuid");
    exchange
        .state
        .accounts
        .delete_message(&exchange.caller, uuid)
        .await?;
    Ok(Reply::no_content())
}
