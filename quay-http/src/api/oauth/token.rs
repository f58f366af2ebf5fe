//! Tokens for codes (RFC 6749, section 4.1.3).

use std::borrow::Cow;

use http::StatusCode;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::request::Parts;
use percent_encoding::percent_decode_str;
use quay_core::Error;
use quay_core::accounts::OAUTH_TOKEN_LIFETIME;
use quay_core::blob_store::ByteStream;
use serde_json::json;

use super::{form, may_write};
use crate::api::reply::Reply;
use crate::api::state::ApiState;
use crate::credentials::Presented;
use crate::form::Fields;

/// Which application asks, by what it shows.
struct Client {
    id: String,
    secret: Option<String>,
}

/// `POST /oauth/access_token`
pub(crate) async fn exchange(state: &ApiState, parts: &Parts, body: ByteStream) -> Result<Reply, Error> {
    may_write(state)?;
    let by_header = parts.headers.contains_key(AUTHORIZATION);
    let body = form(parts, body).await?;
    let query = Fields::of_query(parts.uri.query());
    // Quay reads both. What proves something is not looked for where logs would keep it.
    let field = |name: &str| body.get(name).or_else(|| query.get(name));
    match field("grant_type") {
        Some("authorization_code") => {}
        Some(_) => return Ok(refused("unsupported_grant_type", false)),
        None => return Ok(refused("invalid_request", false)),
    }
    let client = match client(parts, &body, field("client_id")) {
        Ok(client) => client,
        Err(error) => return Ok(refused(error, by_header)),
    };
    let (Some(redirect_uri), Some(code)) = (field("redirect_uri"), field("code")) else {
        return Ok(refused("invalid_request", false));
    };
    // Not every database takes that for a question.
    if client.id.chars().chain(code.chars()).any(char::is_control) {
        return Ok(refused("invalid_request", false));
    }
    let exchanged = state
        .accounts
        .exchange_code(
            &client.id,
            client.secret.as_deref(),
            redirect_uri,
            code,
            body.get("code_verifier"),
        )
        .await?;
    Ok(match exchanged {
        Ok(issued) => Reply::ok(&json!({
            "access_token": issued.value,
            "token_type": "Bearer",
            "expires_in": OAUTH_TOKEN_LIFETIME.as_secs(),
            "scope": issued.token.scopes.to_string(),
        })),
        Err(error) => refused(error, by_header),
    })
}

fn client(parts: &Parts, body: &Fields, id: Option<&str>) -> Result<Client, &'static str> {
    match Presented::from_headers(&parts.headers) {
        Presented::None => Ok(Client {
            id: id.filter(|id| !id.is_empty()).ok_or("invalid_client")?.to_owned(),
            secret: body
                .get("client_secret")
                .filter(|secret| !secret.is_empty())
                .map(ToOwned::to_owned),
        }),
        Presented::Basic(name, secret) => {
            // RFC 6749, section 2.3.1: both are encoded as in a form before they are put together.
            let decoded = |text: &str| {
                let decoded = percent_decode_str(text).decode_utf8();
                decoded.map(Cow::into_owned).map_err(|_| "invalid_client")
            };
            let (name, secret) = (decoded(&name)?, decoded(&secret)?);
            if id.is_some_and(|id| id != name) {
                return Err("invalid_client");
            }
            Ok(Client {
                id: name,
                secret: Some(secret),
            })
        }
        Presented::Bearer(_) | Presented::Unreadable => Err("invalid_client"),
    }
}

/// A refusal; a client that has shown itself in a header is told which header it was.
fn refused(error: &str, by_header: bool) -> Reply {
    let body = json!({ "error": error });
    if error == "invalid_client" && by_header {
        let challenge = "Basic realm=\"oauth\", charset=\"UTF-8\"";
        return Reply::json(StatusCode::UNAUTHORIZED, &body).with_header(WWW_AUTHENTICATE, challenge);
    }
    Reply::json(StatusCode::BAD_REQUEST, &body)
}
