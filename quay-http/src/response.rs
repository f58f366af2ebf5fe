//! Responses, and the one place where an error becomes one.

use http::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, RANGE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, Response, StatusCode};
use http_body::Body as _;
use quay_core::{Error, ErrorKind};

use crate::body::ResponseBody;

pub(crate) const DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
pub(crate) const UPLOAD_UUID: HeaderName = HeaderName::from_static("docker-upload-uuid");
pub(crate) const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");
pub(crate) const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
pub(crate) const OCI_TAG: HeaderName = HeaderName::from_static("oci-tag");
pub(crate) const OCI_FILTERS: HeaderName = HeaderName::from_static("oci-filters-applied");

pub(crate) type Answer = Response<ResponseBody>;

/// An answer of a status, to be filled.
pub(crate) fn answer(status: StatusCode) -> Answer {
    let mut response = Response::new(ResponseBody::empty());
    *response.status_mut() = status;
    response
}

/// Sets headers and the body, in the order in which they are read.
pub(crate) trait AnswerExt {
    fn with(self, name: HeaderName, value: &str) -> Self;
    fn with_static(self, name: HeaderName, value: &'static str) -> Self;
    fn with_body(self, body: ResponseBody) -> Self;
}

impl AnswerExt for Answer {
    fn with(mut self, name: HeaderName, value: &str) -> Self {
        // Everything that goes here has been parsed by a grammar without control characters; what
        // has not is left out rather than sent broken.
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers_mut().append(name, value);
        }
        self
    }

    fn with_static(mut self, name: HeaderName, value: &'static str) -> Self {
        self.headers_mut().insert(name, HeaderValue::from_static(value));
        self
    }

    fn with_body(mut self, body: ResponseBody) -> Self {
        *self.body_mut() = body;
        self
    }
}

/// The answer to `HEAD`: the body's length is told, the body is not sent.
pub(crate) fn without_body(mut response: Answer) -> Answer {
    if matches!(
        response.status(),
        StatusCode::NOT_MODIFIED | StatusCode::NO_CONTENT
    ) {
        return response;
    }
    if let Some(length) = response.body().size_hint().exact() {
        let headers = response.headers_mut();
        headers.entry(CONTENT_LENGTH).or_insert_with(|| length.into());
    }
    response.with_body(ResponseBody::empty())
}

pub(crate) fn json(status: StatusCode, media_type: &'static str, value: &serde_json::Value) -> Answer {
    answer(status)
        .with_static(CONTENT_TYPE, media_type)
        .with_body(ResponseBody::full(value.to_string()))
}

fn error_body(status: StatusCode, code: &str, message: &str, detail: Option<&serde_json::Value>) -> Answer {
    error_answer(status, &error_entry(code, message, detail))
}

fn error_entry(code: &str, message: &str, detail: Option<&serde_json::Value>) -> serde_json::Value {
    let empty = serde_json::json!({});
    serde_json::json!({ "code": code, "message": message, "detail": detail.unwrap_or(&empty) })
}

fn error_answer(status: StatusCode, entry: &serde_json::Value) -> Answer {
    json(
        status,
        "application/json",
        &serde_json::json!({ "errors": [entry] }),
    )
}

/// The answer to a failed operation. The log is told more than the client.
pub(crate) fn failure(error: &Error, challenge: Option<&str>) -> Answer {
    let status = StatusCode::from_u16(error.kind().status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if status.is_server_error() {
        tracing::error!(%error, source = ?error.store_error(), "request failed");
    }
    let mut entry = error_entry(error.code().as_str(), error.public_message(), error.detail());
    if error.kind() == ErrorKind::ReadOnly {
        // registry-protocol, section 5.
        entry["is_readonly"] = serde_json::Value::Bool(true);
    }
    let mut response = error_answer(status, &entry);
    if error.kind() == ErrorKind::Unauthorized {
        response = response.with_static(API_VERSION, "registry/2.0");
        if let Some(challenge) = challenge {
            response = response.with(WWW_AUTHENTICATE, challenge);
        }
    }
    if let Some(wait) = wait(error) {
        response = response.with(RETRY_AFTER, &wait);
    }
    if let Some(stored) = error.stored() {
        response = response.with(RANGE, &upload_range(stored));
    }
    response
}

/// How many seconds to wait before trying again, where waiting helps.
pub(crate) fn wait(error: &Error) -> Option<String> {
    let known = error.retry_after().map(|wait| {
        let part = u64::from(wait.subsec_nanos() > 0);
        wait.as_secs().saturating_add(part)
    });
    matches!(error.kind(), ErrorKind::Throttled | ErrorKind::Unavailable)
        .then(|| known.unwrap_or(1).max(1).to_string())
}

/// The answer to somebody who has to wait (registry-protocol, section 6).
pub(crate) fn throttled(error: &Error) -> Answer {
    answer(StatusCode::TOO_MANY_REQUESTS)
        .with_static(CONTENT_TYPE, "text/plain; charset=utf-8")
        .with(RETRY_AFTER, wait(error).as_deref().unwrap_or("1"))
        .with_body(ResponseBody::full(error.public_message().to_owned()))
}

/// What an upload holds, as the `Range` header says it.
pub(crate) fn upload_range(stored: u64) -> String {
    format!("0-{}", stored.saturating_sub(1))
}

pub(crate) fn no_such_path() -> Answer {
    error_body(
        StatusCode::NOT_FOUND,
        "UNSUPPORTED",
        "the registry has no such path",
        None,
    )
}

pub(crate) fn bad_path() -> Answer {
    failure(
        &Error::new(
            ErrorKind::NameInvalid,
            "the path holds characters that a repository name cannot",
        ),
        None,
    )
}

pub(crate) fn method_not_allowed(methods: &'static str) -> Answer {
    error_body(
        StatusCode::METHOD_NOT_ALLOWED,
        "UNSUPPORTED",
        "the path does not answer this method",
        None,
    )
    .with_static(ALLOW, methods)
}

pub(crate) fn range_not_satisfiable(size: u64) -> Answer {
    error_body(
        StatusCode::RANGE_NOT_SATISFIABLE,
        "RANGE_INVALID",
        "the range lies outside the blob",
        Some(&serde_json::json!({ "size": size })),
    )
    .with(http::header::CONTENT_RANGE, &format!("bytes */{size}"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn whoever_must_wait_is_told_how_long() {
        for (error, status, expected) in [
            (Error::throttled(Duration::from_millis(1500)), 429, Some("2")),
            (Error::throttled(Duration::ZERO), 429, Some("1")),
            (Error::new(ErrorKind::Unavailable, "later"), 503, Some("1")),
            (Error::new(ErrorKind::Internal, "never"), 500, None),
        ] {
            let answer = failure(&error, None);
            let seen = answer
                .headers()
                .get(RETRY_AFTER)
                .map(|value| value.to_str().unwrap());
            assert_eq!((answer.status().as_u16(), seen), (status, expected));
            assert_eq!(answer.headers()[CONTENT_TYPE], "application/json");
        }
        let answer = throttled(&Error::throttled(Duration::from_millis(1)));
        assert_eq!(answer.headers()[RETRY_AFTER], "1");
    }
}
