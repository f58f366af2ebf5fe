//! OAuth applications with their tokens, and app-specific tokens.

use std::time::Duration;

use quay_core::Error;
use quay_core::accounts::{Account, AppToken, ApplicationChanges, ApplicationView, OAuthToken};
use serde_json::{Map, Value, json};

use super::super::avatar;
use super::super::dates::{iso8601, rfc2822};
use super::super::exchange::Exchange;
use super::super::reply::Reply;
use super::lists::{cut, limit, list, page};
use super::views::{date, members};
use super::{organizations, text};

fn view(view: &ApplicationView) -> Value {
    let application = &view.application;
    json!({
        "name": application.name,
        "description": application.description,
        "application_uri": application.application_uri,
        "client_id": application.client_id,
        "client_secret": view.client_secret,
        "redirect_uri": application.redirect_uri,
        "avatar_email": application.avatar_email,
    })
}

fn changes(exchange: &Exchange) -> ApplicationChanges {
    let of = |name: &str| exchange.text(name).map(ToOwned::to_owned);
    ApplicationChanges {
        name: text(exchange, "name").to_owned(),
        description: of("description"),
        application_uri: of("application_uri"),
        redirect_uri: of("redirect_uri"),
        avatar_email: of("avatar_email"),
    }
}

fn names(exchange: &Exchange) -> (&str, &str) {
    (exchange.path.get("orgname"), exchange.path.get("client_id"))
}

pub(super) async fn list_all(exchange: Exchange) -> Result<Reply, Error> {
    let name = exchange.path.get("orgname");
    let found = exchange
        .state
        .accounts
        .applications(&exchange.caller, name)
        .await?;
    let (found, next) = cut(&exchange, found, |view| view.application.id);
    let shown: Vec<Value> = found.iter().map(view).collect();
    let mut body = json!({ "applications": shown });
    if let Some(next) = next {
        body["next_page"] = next;
    }
    Ok(Reply::ok(&body))
}

pub(super) async fn create(exchange: Exchange) -> Result<Reply, Error> {
    let name = exchange.path.get("orgname");
    let created = exchange
        .state
        .accounts
        .create_application(&exchange.caller, name, &changes(&exchange))
        .await?;
    Ok(Reply::ok(&view(&created)))
}

pub(super) async fn get(exchange: Exchange) -> Result<Reply, Error> {
    let (name, client_id) = names(&exchange);
    let found = exchange
        .state
        .accounts
        .application(&exchange.caller, name, client_id)
        .await?;
    Ok(Reply::ok(&view(&found)))
}

pub(super) async fn change(exchange: Exchange) -> Result<Reply, Error> {
    let (name, client_id) = names(&exchange);
    let changed = exchange
        .state
        .accounts
        .change_application(&exchange.caller, name, client_id, &changes(&exchange))
        .await?;
    Ok(Reply::ok(&view(&changed)))
}

pub(super) async fn delete(exchange: Exchange) -> Result<Reply, Error> {
    let (name, client_id) = names(&exchange);
    exchange
        .state
        .accounts
        .delete_application(&exchange.caller, name, client_id)
        .await?;
    Ok(Reply::no_content())
}

pub(super) async fn reset_secret(exchange: Exchange) -> Result<Reply, Error> {
    let (name, client_id) = names(&exchange);
    let renewed = exchange
        .state
        .accounts
        .reset_application_secret(&exchange.caller, name, client_id)
        .await?;
    Ok(Reply::ok(&view(&renewed)))
}

pub(super) async fn information(exchange: Exchange) -> Result<Reply, Error> {
    let client_id = exchange.path.get("client_id");
    let accounts = &exchange.state.accounts;
    let (application, owner) = accounts.application_information(client_id).await?;
    let organization = match accounts.organization_view(&exchange.caller, &owner.name).await {
        Ok(found) => organizations::view(&found),
        // The first user's own application belongs to no organization.
        Err(error) if error.store_error().is_none() => nobody(&owner),
        Err(error) => return Err(error),
    };
    Ok(Reply::ok(&json!({
        "name": application.name,
        "description": application.description,
        "uri": application.application_uri,
        "avatar": avatar::of_application(&application),
        "organization": organization,
    })))
}

fn nobody(owner: &Account) -> Value {
    json!({
        "name": owner.name,
        "email": "",
        "avatar": avatar::of_account(owner),
        "is_admin": false,
        "is_member": false,
    })
}

type Listed = (OAuthToken, Option<Account>);

fn token((token, maker): Listed) -> Value {
    json!({
        "uuid": token.uuid,
        "name": token.title,
        "scope": token.scopes.to_string(),
        "expires_at": iso8601(token.expires),
        "created": iso8601(token.created),
        "created_by": maker.map(|maker| maker.name),
        "last_accessed": token.last_accessed.map(iso8601),
    })
}

/// Tokens of an application on a page.
const TOKENS: usize = 100;

pub(super) async fn list_tokens(exchange: Exchange) -> Result<Reply, Error> {
    let (name, client_id) = names(&exchange);
    let (accounts, caller) = (&exchange.state.accounts, &exchange.caller);
    let fetch = |page| async move { accounts.application_tokens(caller, name, client_id, &page).await };
    let key = |(token, _): &Listed| token.id;
    let most = limit(&exchange).unwrap_or(TOKENS).min(TOKENS);
    let (found, next) = page(&exchange, most, fetch, key).await?;
    let shown: Vec<Value> = found.into_iter().map(token).collect();
    let mut body = members([("tokens", shown.into())]);
    body.extend(next.map(|next| ("next_page".to_owned(), next)));
    Ok(Reply::ok(&Value::Object(body)))
}

pub(super) async fn create_token(exchange: Exchange) -> Result<Reply, Error> {
    let (name, client_id) = names(&exchange);
    let lifetime = exchange.body.get("expiration").and_then(Value::as_f64);
    let lifetime = lifetime.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let issued = exchange
        .state
        .accounts
        .create_application_token(
            &exchange.caller,
            name,
            client_id,
            text(&exchange, "name"),
            text(&exchange, "scope"),
            lifetime,
        )
        .await?;
    let value = issued.value.clone();
    let mut shown = token((issued.token, None));
    if let Value::Object(shown) = &mut shown {
        shown.insert("created_by".to_owned(), json!(exchange.caller.account()));
        shown.insert("token".to_owned(), value.into());
    }
    Ok(Reply::ok(&shown))
}

pub(super) async fn delete_token(exchange: Exchange) -> Result<Reply, Error> {
    let (name, client_id) = names(&exchange);
    exchange
        .state
        .accounts
        .delete_application_token(&exchange.caller, name, client_id, exchange.path.get("token_uuid"))
        .await?;
    Ok(Reply::no_content())
}

#[expect(clippy::needless_pass_by_value, reason = "what a list shows is its own")]
fn app_token(token: AppToken) -> Value {
    Value::Object(app_token_members(&token))
}

fn app_token_members(token: &AppToken) -> Map<String, Value> {
    members([
        ("uuid", token.uuid.clone().into()),
        ("title", token.title.clone().into()),
        ("last_accessed", date(token.last_accessed)),
        ("created", rfc2822(token.created).into()),
        ("expiration", date(token.expires)),
    ])
}

fn with_code(token: &AppToken, code: String) -> Value {
    let mut shown = app_token_members(token);
    shown.insert("token_code".to_owned(), code.into());
    json!({ "token": shown })
}

/// App-specific tokens, of the signed-in user or of all.
async fn app_tokens(exchange: Exchange, all: bool) -> Result<Reply, Error> {
    let expiring = exchange.query.flag("expiring");
    let (accounts, caller) = (exchange.state.accounts.clone(), exchange.caller.clone());
    let only = expiring.unwrap_or_default();
    let rest = members([("only_expiring", json!(expiring))]);
    let fetch = move |page| {
        let (accounts, caller) = (accounts.clone(), caller.clone());
        async move {
            if all {
                accounts.all_app_tokens(&caller, only, &page).await
            } else {
                accounts.app_tokens(&caller, only, &page).await
            }
        }
    };
    list(&exchange, "tokens", rest, fetch, |token| token.id, app_token).await
}

pub(super) async fn list_app_tokens(exchange: Exchange) -> Result<Reply, Error> {
    app_tokens(exchange, false).await
}

pub(super) async fn list_all_app_tokens(exchange: Exchange) -> Result<Reply, Error> {
    app_tokens(exchange, true).await
}

pub(super) async fn create_app_token(exchange: Exchange) -> Result<Reply, Error> {
    let (token, code) = exchange
        .state
        .accounts
        .create_app_token(&exchange.caller, text(&exchange, "title"))
        .await?;
    Ok(Reply::ok(&with_code(&token, code)))
}

pub(super) async fn get_app_token(exchange: Exchange) -> Result<Reply, Error> {
    let uuid = exchange.path.get("token_uuid");
    let (token, code) = exchange.state.accounts.app_token(&exchange.caller, uuid).await?;
    Ok(Reply::ok(&with_code(&token, code)))
}

pub(super) async fn delete_app_token(exchange: Exchange) -> Result<Reply, Error> {
    let uuid = exchange.path.get("token_uuid");
    exchange
        .state
        .accounts
        .delete_app_token(&exchange.caller, uuid)
        .await?;
    Ok(Reply::no_content())
}
