//! The one place where an error becomes an answer of the API (`quay-api.md`, 1.3).

use http::StatusCode;
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use quay_core::{Error, ErrorKind};
use serde_json::{Value, json};

use super::errors::type_url;
use crate::body::ResponseBody;
use crate::response::{Answer, AnswerExt as _, answer, json as json_answer, throttled, wait};

/// The answer to a failed operation. The log is told more than the client.
pub(crate) fn failure(error: &Error, base_url: &str) -> Answer {
    let status = status(error);
    if status.is_server_error() && error.kind() != ErrorKind::ReadOnly {
        tracing::error!(%error, source = ?error.store_error(), "request failed");
    }
    let message = match error.kind() {
        ErrorKind::Internal => "Internal Server Error",
        _ => error.public_message(),
    };
    if error.kind() == ErrorKind::Throttled {
        return throttled(error);
    }
    let mut body = match title(error) {
        Some(title) => json!({
            "detail": message,
            "error_message": message,
            "error_type": title,
            "title": title,
            "type": type_url(base_url, title),
            "status": status.as_u16(),
        }),
        None => json!({ "message": message }),
    };
    // A detail says that it is not the registry that takes no writes.
    if error.kind() == ErrorKind::ReadOnly && error.detail().is_none() {
        merge(&mut body, Some(&json!({ "is_readonly": true })));
    }
    merge(&mut body, error.detail());
    let mut answer = json_answer(status, "application/json", &body);
    if let Some(wait) = wait(error) {
        answer = answer.with(RETRY_AFTER, &wait);
    }
    if status == StatusCode::UNAUTHORIZED {
        answer = answer.with_static(WWW_AUTHENTICATE, "Bearer");
    }
    answer
}

/// A message and a status, as Quay answers where it gives no type.
pub(crate) fn bare(status: StatusCode, message: &str) -> Answer {
    json_answer(status, "application/json", &json!({ "message": message }))
}

/// Quay's page for paths that mean nothing. What is switched off looks the same.
pub(crate) fn no_such_page() -> Answer {
    const PAGE: &str = "<!doctype html>\n<html lang=en>\n<title>404 Not Found</title>\n<h1>Not Found</h1>\n\
                        <p>The requested URL was not found on the server.</p>\n";
    answer(StatusCode::NOT_FOUND)
        .with_static(CONTENT_TYPE, "text/html; charset=utf-8")
        .with_body(ResponseBody::full(PAGE))
}

/// Errors with a type are told in full; `None` for those that are no more than a message.
fn title(error: &Error) -> Option<&'static str> {
    use ErrorKind as Kind;
    match error.kind() {
        Kind::InvalidToken
        | Kind::FreshLoginRequired
        | Kind::Unauthorized
        | Kind::Forbidden
        | Kind::NotFound
        | Kind::NameUnknown
        | Kind::ManifestUnknown
        | Kind::BlobUnknown
        | Kind::InvalidRequest
        | Kind::NameInvalid
        | Kind::TagInvalid
        | Kind::TagImmutable
        | Kind::DigestInvalid => Some(error.quay_type()),
        _ => None,
    }
}

fn status(error: &Error) -> StatusCode {
    let status = match error.kind() {
        // Whoever must log in first is told by `InvalidToken`.
        ErrorKind::Unauthorized => 403,
        ErrorKind::ReadOnly => 503,
        ErrorKind::Unsupported => 501,
        kind => kind.status(),
    };
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// Adds the members of one object to another.
fn merge(body: &mut Value, more: Option<&Value>) {
    if let (Some(body), Some(Value::Object(more))) = (body.as_object_mut(), more) {
        body.extend(more.clone());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http_body_util::BodyExt as _;

    use super::*;

    fn seen(error: &Error) -> (u16, String, Value, String) {
        let (parts, body) = failure(error, "https://registry.example").into_parts();
        let header = |name| {
            parts
                .headers
                .get(name)
                .map_or("", |value| value.to_str().unwrap())
        };
        let (retry_after, kind) = (header(RETRY_AFTER).to_owned(), header(CONTENT_TYPE).to_owned());
        let body = futures::executor::block_on(body.collect()).unwrap().to_bytes();
        let body = serde_json::from_slice(&body).unwrap_or_default();
        (parts.status.as_u16(), kind, body, retry_after)
    }

    #[test]
    fn shapes() {
        for (kind, status, title) in [
            (ErrorKind::InvalidToken, 401, "invalid_token"),
            (ErrorKind::FreshLoginRequired, 401, "fresh_login_required"),
            (ErrorKind::Forbidden, 403, "insufficient_scope"),
            (ErrorKind::Unauthorized, 403, "insufficient_scope"),
            (ErrorKind::NotFound, 404, "not_found"),
            (ErrorKind::TagImmutable, 409, "tag_immutable"),
            (ErrorKind::InvalidRequest, 400, "invalid_request"),
        ] {
            let error = Error::new(kind, "why").with_detail(json!({ "session_required": false }));
            let expected = json!({
                "detail": "why",
                "error_message": "why",
                "error_type": title,
                "title": title,
                "type": format!("https://registry.example/api/v1/error/{title}"),
                "status": status,
                "session_required": false,
            });
            let (seen_status, _, body, _) = seen(&error);
            assert_eq!((seen_status, body), (status, expected), "{kind:?}");
        }
        for (kind, status) in [
            (ErrorKind::Rejected, 400),
            (ErrorKind::LoginFailed, 403),
            (ErrorKind::Gone, 410),
            (ErrorKind::Unsupported, 501),
            (ErrorKind::TooLarge, 413),
        ] {
            let error = Error::new(kind, "why").with_detail(json!({ "more": 1 }));
            let (seen_status, _, body, _) = seen(&error);
            assert_eq!(
                (seen_status, body),
                (status, json!({ "message": "why", "more": 1 })),
                "{kind:?}"
            );
        }
    }

    #[test]
    fn whoever_must_wait_is_told_how_long() {
        let (status, kind, _, retry_after) = seen(&Error::throttled(Duration::from_millis(1500)));
        assert_eq!(
            (status, kind.as_str(), retry_after.as_str()),
            (429, "text/plain; charset=utf-8", "2")
        );
        let (status, _, body, retry_after) = seen(&Error::new(ErrorKind::Unavailable, "later"));
        assert_eq!((status, retry_after.as_str()), (503, "1"));
        assert_eq!(body, json!({ "message": "later" }));
        let (status, _, body, _) = seen(&Error::new(ErrorKind::ReadOnly, "no"));
        assert_eq!(
            (status, body),
            (503, json!({ "message": "no", "is_readonly": true }))
        );
        let (status, _, body, _) = seen(&Error::new(ErrorKind::Internal, "host db1 is on fire"));
        assert_eq!(
            (status, body),
            (500, json!({ "message": "Internal Server Error" }))
        );
    }
}
