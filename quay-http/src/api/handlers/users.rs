//! Users: signing up, in and out, and what they do with their own accounts.

use http::StatusCode;
use quay_core::accounts::{
    Account, AccountKey, Application, OAuthToken, ScopeSet, SignUp, TokenAssignment, UserChanges, UserRole,
};
use quay_core::{Error, ErrorKind, Principal};
use serde_json::{Value, json};

use super::super::avatar;
use super::super::dates::rfc2822;
use super::super::exchange::Exchange;
use super::super::reply::Reply;
use super::super::session::Session;
use super::lists::{limit, list, page};
use super::views::{me, members, nullable, public_user, rest};

pub(super) async fn me_call(exchange: Exchange) -> Result<Reply, Error> {
    let found = exchange
        .state
        .accounts
        .me(&exchange.caller)
        .await
        .map_err(|error| match error.kind() {
            ErrorKind::InvalidToken => error.with_detail(json!({ "session_required": false })),
            _ => error,
        })?;
    let mut view = me(&found);
    if found.role == UserRole::Admin
        && let Some(report) = exchange.state.accounts.quota_report(&found.account.name).await?
        && let Value::Object(view) = &mut view
    {
        view.extend(super::quotas::report(&report));
    }
    Ok(Reply::ok(&view))
}

pub(super) async fn user(exchange: Exchange) -> Result<Reply, Error> {
    let name = exchange.path.get("username");
    let account = exchange.state.accounts.user(name).await?;
    // Whoever asks about themselves is told as much as ever.
    if exchange.caller.principal == Principal::User(account.name.as_str().into())
        && let Ok(found) = exchange.state.accounts.me(&exchange.caller).await
    {
        return Ok(Reply::ok(&me(&found)));
    }
    Ok(Reply::ok(&public_user(&account)))
}

/// The user's own view, with a new session for whoever has just shown who they are.
async fn signed_in(exchange: &Exchange, account: Account) -> Result<Reply, Error> {
    let session = Session::logged_in(&account, &exchange.state.runtime);
    let profile = exchange.state.accounts.profile(account, UserRole::Admin).await?;
    Ok(Reply::ok(&me(&profile)).with_session(session))
}

pub(super) async fn sign_up(exchange: Exchange) -> Result<Reply, Error> {
    let text = |name: &str| exchange.text(name);
    let accounts = &exchange.state.accounts;
    accounts
        .require_human(&exchange.caller, text("recaptcha_response"))
        .await?;
    let outcome = accounts
        .sign_up(
            text("username").unwrap_or_default(),
            text("password").unwrap_or_default(),
            text("email"),
            text("invite_code"),
            &exchange.caller,
        )
        .await?;
    match outcome {
        SignUp::Done(account) => signed_in(&exchange, *account).await,
        _ => Ok(Reply::ok(&json!({ "awaiting_verification": true }))),
    }
}

pub(super) async fn change(exchange: Exchange) -> Result<Reply, Error> {
    let body = &exchange.body;
    let text = |name: &str| exchange.text(name).map(ToOwned::to_owned);
    let changes = UserChanges {
        password: text("password"),
        email: text("email"),
        username: text("username"),
        invoice_email: body.get("invoice_email").and_then(Value::as_bool),
        invoice_email_address: nullable(body, "invoice_email_address"),
        tag_expiration_s: body.get("tag_expiration_s").and_then(Value::as_i64),
        given_name: nullable(body, "given_name"),
        family_name: nullable(body, "family_name"),
        company: nullable(body, "company"),
        location: nullable(body, "location"),
    };
    let new_password = changes.password.is_some();
    let account = exchange
        .state
        .accounts
        .change_user(&exchange.caller, changes)
        .await?;
    // Other sessions end with a new password; this one goes on.
    if new_password && exchange.session.user.is_some() {
        return signed_in(&exchange, account).await;
    }
    let profile = exchange.state.accounts.profile(account, UserRole::Admin).await?;
    Ok(Reply::ok(&me(&profile)))
}

pub(super) async fn delete(exchange: Exchange) -> Result<Reply, Error> {
    exchange.state.accounts.delete_self(&exchange.caller).await?;
    Ok(Reply::no_content().with_session(Session::anonymous(&exchange.state.runtime)))
}

pub(super) async fn sign_in(exchange: Exchange) -> Result<Reply, Error> {
    let account = exchange
        .state
        .accounts
        .sign_in(
            exchange.text("username").unwrap_or_default(),
            exchange.text("password").unwrap_or_default(),
            exchange.text("invite_code"),
            &exchange.caller,
        )
        .await?;
    let session = Session::logged_in(&account, &exchange.state.runtime);
    Ok(Reply::ok(&json!({ "success": true })).with_session(session))
}

pub(super) async fn verify(exchange: Exchange) -> Result<Reply, Error> {
    let password = exchange.text("password").unwrap_or_default();
    let account = exchange
        .state
        .accounts
        .verify_password(&exchange.caller, password)
        .await?;
    let reply = Reply::ok(&json!({ "success": true }));
    if exchange.session.user.is_none() {
        return Ok(reply);
    }
    Ok(reply.with_session(Session::logged_in(&account, &exchange.state.runtime)))
}

pub(super) async fn sign_out(exchange: Exchange) -> Result<Reply, Error> {
    exchange.state.accounts.sign_out(&exchange.caller).await?;
    // A page that stays open signs somebody in next, and needs a token for that.
    let session = Session::anonymous(&exchange.state.runtime);
    Ok(Reply::ok(&json!({ "success": true })).with_session(session))
}

pub(super) async fn recovery(exchange: Exchange) -> Result<Reply, Error> {
    let email = exchange.text("email").unwrap_or_default();
    let accounts = &exchange.state.accounts;
    accounts
        .require_human(&exchange.caller, exchange.text("recaptcha_response"))
        .await?;
    accounts.request_recovery(email).await?;
    Ok(Reply::ok(&json!({ "status": "sent" })))
}

pub(super) async fn client_key(exchange: Exchange) -> Result<Reply, Error> {
    let password = exchange.text("password").unwrap_or_default();
    let key = exchange
        .state
        .accounts
        .client_key(&exchange.caller, password)
        .await?;
    Ok(Reply::ok(&json!({ "key": key })))
}

pub(super) async fn convert(exchange: Exchange) -> Result<Reply, Error> {
    let admin = exchange.text("adminUser").unwrap_or_default();
    let password = exchange.text("adminPassword").unwrap_or_default();
    exchange
        .state
        .accounts
        .convert_to_organization(&exchange.caller, admin, password)
        .await?;
    // Administrators may be called by their addresses.
    let key = if admin.contains('@') {
        AccountKey::Email(admin)
    } else {
        AccountKey::Name(admin)
    };
    let found = exchange.state.accounts.store().reader().account(key).await?;
    let admin = found.ok_or_else(|| Error::new(ErrorKind::NotFound, "Not Found"))?;
    let session = Session::logged_in(&admin, &exchange.state.runtime);
    Ok(Reply::ok(&json!({ "success": true })).with_session(session))
}

pub(super) async fn initialize(exchange: Exchange) -> Result<Reply, Error> {
    let with_token = exchange
        .body
        .get("access_token")
        .and_then(Value::as_bool)
        .unwrap_or_default();
    let done = exchange
        .state
        .accounts
        .initialize(
            exchange.text("username").unwrap_or_default(),
            exchange.text("password").unwrap_or_default(),
            exchange.text("email").filter(|email| !email.is_empty()),
            with_token,
            &exchange.caller,
        )
        .await?;
    let mut body = members([
        ("username", done.account.name.clone().into()),
        ("email", json!(done.account.email)),
        ("encrypted_password", done.encrypted_password.into()),
    ]);
    if let Some(token) = done.access_token {
        body.insert("access_token".to_owned(), token.into());
    }
    let session = Session::logged_in(&done.account, &exchange.state.runtime);
    Ok(Reply::ok(&Value::Object(body)).with_session(session))
}

/// No external login is configured, so none can be begun or undone.
pub(super) async fn external_login(exchange: Exchange) -> Result<Reply, Error> {
    let service = exchange.path.get("service_id");
    Err(Error::new(
        ErrorKind::InvalidRequest,
        format!("Unknown login service {service}"),
    ))
}

pub(super) async fn detach_external(exchange: Exchange) -> Result<Reply, Error> {
    exchange
        .state
        .accounts
        .require_user_admin(&exchange.caller)
        .await?;
    // What is not attached is as good as detached.
    Ok(Reply::ok(&json!({ "success": true })))
}

fn notice(notice: &quay_core::accounts::Notice) -> Value {
    let metadata: Value = serde_json::from_str(&notice.metadata).unwrap_or_else(|_| json!({}));
    json!({
        "id": notice.uuid,
        "organization": metadata.get("org").cloned().unwrap_or(Value::Null),
        "kind": notice.kind,
        "created": rfc2822(notice.created),
        "metadata": metadata,
        "dismissed": notice.dismissed,
    })
}

pub(super) async fn notices(exchange: Exchange) -> Result<Reply, Error> {
    let number =
        |name: &str| usize::try_from(exchange.query.integer(name).unwrap_or_default()).unwrap_or_default();
    let (page, limit) = (number("page"), number("limit"));
    // 0 and 1 are both the first page.
    let skip = page.saturating_sub(1).saturating_mul(limit);
    let (found, more) = exchange
        .state
        .accounts
        .notices(&exchange.caller, skip, limit)
        .await?;
    let shown: Vec<Value> = found.iter().map(notice).collect();
    Ok(Reply::ok(&json!({ "notifications": shown, "additional": more })))
}

pub(super) async fn one_notice(exchange: Exchange) -> Result<Reply, Error> {
    let dismissed = exchange.body.get("dismissed").and_then(Value::as_bool);
    let found = exchange
        .state
        .accounts
        .notice(&exchange.caller, exchange.path.get("uuid"), dismissed)
        .await?;
    Ok(Reply::ok(&notice(&found)))
}

fn scopes(scopes: ScopeSet) -> Vec<Value> {
    let shown = scopes.iter().map(|scope| {
        json!({
            "title": scope.title(),
            "scope": scope.as_str(),
            "description": scope.description(),
            "icon": scope.icon(),
            "dangerous": scope.is_dangerous(),
        })
    });
    shown.collect()
}

type Authorization = (OAuthToken, Application, Account);

fn authorization((token, application, organization): Authorization) -> Value {
    json!({
        "application": {
            "name": application.name,
            "description": application.description,
            "url": application.application_uri,
            "avatar": avatar::of_application(&application),
            "organization": {
                "name": organization.name,
                "avatar": avatar::of_account(&organization),
            },
        },
        "scopes": scopes(token.scopes),
        "uuid": token.uuid,
    })
}

pub(super) async fn authorizations(exchange: Exchange) -> Result<Reply, Error> {
    let (accounts, caller) = (exchange.state.accounts.clone(), exchange.caller.clone());
    let fetch = move |page| {
        let (accounts, caller) = (accounts.clone(), caller.clone());
        async move { accounts.authorizations(&caller, &page).await }
    };
    list(
        &exchange,
        "authorizations",
        members([]),
        fetch,
        |(token, _, _)| token.id,
        authorization,
    )
    .await
}

pub(super) async fn one_authorization(exchange: Exchange) -> Result<Reply, Error> {
    let uuid = exchange.path.get("access_token_uuid");
    let found = exchange
        .state
        .accounts
        .authorization(&exchange.caller, uuid)
        .await?;
    Ok(Reply::ok(&authorization(found)))
}

pub(super) async fn delete_authorization(exchange: Exchange) -> Result<Reply, Error> {
    let uuid = exchange.path.get("access_token_uuid");
    exchange
        .state
        .accounts
        .delete_authorization(&exchange.caller, uuid)
        .await?;
    Ok(Reply::no_content())
}

type Assignment = (TokenAssignment, Application, Account);

fn assignment((assignment, application, organization): Assignment) -> Value {
    json!({
        "application": {
            "name": application.name,
            "clientId": application.client_id,
            "description": application.description,
            "url": application.application_uri,
            "avatar": avatar::of_application(&application),
            "organization": {
                "name": organization.name,
                "avatar": avatar::of_account(&organization),
            },
        },
        "uuid": assignment.uuid,
        "redirectUri": assignment.redirect_uri,
        "scopes": scopes(assignment.scopes),
        "responseType": "token",
    })
}

pub(super) async fn assignments(exchange: Exchange) -> Result<Reply, Error> {
    let (accounts, caller) = (exchange.state.accounts.clone(), exchange.caller.clone());
    let fetch = move |page| {
        let (accounts, caller) = (accounts.clone(), caller.clone());
        async move { accounts.assignments(&caller, &page).await }
    };
    let key = |(assignment, _, _): &Assignment| assignment.id;
    list(&exchange, "authorizations", members([]), fetch, key, assignment).await
}

pub(super) async fn decline_assignment(exchange: Exchange) -> Result<Reply, Error> {
    let uuid = exchange.path.get("assigned_authorization_uuid");
    exchange
        .state
        .accounts
        .decline_assignment(&exchange.caller, uuid)
        .await?;
    Ok(Reply::no_content())
}

/// Starred repositories on a page (`quay-api.md`, 1.5).
const STARS: usize = 100;

pub(super) async fn stars(exchange: Exchange) -> Result<Reply, Error> {
    let (accounts, caller) = (exchange.state.accounts.clone(), exchange.caller.clone());
    let fetch = |page| {
        let (accounts, caller) = (accounts.clone(), caller.clone());
        async move { accounts.stars(&caller, &page).await }
    };
    let most = limit(&exchange).unwrap_or(STARS).min(STARS);
    let (found, next) = page(&exchange, most, fetch, |(star, _)| star.path.clone()).await?;
    let shown: Vec<Value> = found
        .into_iter()
        .filter(|(_, may_see)| *may_see)
        .map(|(star, _)| {
            let namespace = star.path.split('/').next().unwrap_or_default().to_owned();
            json!({
                "namespace": namespace,
                "name": rest(&star.path),
                "description": star.description,
                "is_public": star.visibility == quay_core::metadata::Visibility::Public,
            })
        })
        .collect();
    let mut body = members([("repositories", shown.into())]);
    body.extend(next.map(|next| ("next_page".to_owned(), next)));
    Ok(Reply::ok(&Value::Object(body)))
}

pub(super) async fn star(exchange: Exchange) -> Result<Reply, Error> {
    let text = |name: &str| exchange.text(name).unwrap_or_default();
    let (namespace, repository) = (text("namespace"), text("repository"));
    let name = quay_core::RepositoryName::from_path(&format!("{namespace}/{repository}"))
        .map_err(|_| Error::new(ErrorKind::NotFound, "Not Found"))?;
    exchange.state.accounts.star(&exchange.caller, &name).await?;
    Ok(Reply::json(
        StatusCode::CREATED,
        &json!({ "namespace": namespace, "repository": repository }),
    ))
}

pub(super) async fn unstar(exchange: Exchange) -> Result<Reply, Error> {
    let name = exchange.repository()?;
    exchange.state.accounts.unstar(&exchange.caller, name).await?;
    Ok(Reply::no_content())
}
