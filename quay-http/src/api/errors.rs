//! The types of errors, described (`quay-api.md`, 1.3).

use quay_core::{Error, ErrorKind};
use serde_json::json;

use super::exchange::Exchange;
use super::reply::Reply;

/// Every type of error and what it means.
const TYPES: &[(&str, &str)] = &[
    (
        "invalid_token",
        "No valid credentials came with the request, or they have expired.",
    ),
    ("expired_token", "The access token has expired."),
    (
        "insufficient_scope",
        "The credentials do not allow this, or their scope does not reach as far.",
    ),
    (
        "fresh_login_required",
        "The password must be verified again before this is done.",
    ),
    ("exceeds_license", "The plan of the account does not allow this."),
    (
        "invalid_request",
        "The request is malformed or holds invalid values.",
    ),
    (
        "invalid_response",
        "The answer does not have the form that it must have.",
    ),
    (
        "tag_immutable",
        "The tag is immutable: it can be neither moved nor deleted, nor made to end.",
    ),
    ("not_found", "What the request is about does not exist."),
    (
        "external_service_timeout",
        "An external service did not answer in time; trying again may help.",
    ),
    (
        "downstream_issue",
        "A service that this one depends on has failed.",
    ),
];

/// `getErrorDescription`
pub(crate) async fn describe(exchange: Exchange) -> Result<Reply, Error> {
    let name = exchange.path.get("error_type");
    let Some((title, description)) = TYPES.iter().find(|(title, _)| *title == name) else {
        return Err(Error::new(ErrorKind::NotFound, "Not Found"));
    };
    Ok(Reply::ok(&json!({
        "type": type_url(&exchange.state.options.base_url, title),
        "title": title,
        "description": description,
    })))
}

/// The address at which a type of error is described.
pub(crate) fn type_url(base_url: &str, title: &str) -> String {
    format!("{base_url}/api/v1/error/{title}")
}
