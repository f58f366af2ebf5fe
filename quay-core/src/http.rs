//! Calls to other hosts over HTTP: the one way out.
//!
//! Whatever asks another host something (identity providers, webhooks, scanners) is handed an
//! [`HttpClient`] by the host of the registry. There the deployment's authorities, time limits and rules
//! about what may be reached are kept, in one place.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::{StoreError, StoreErrorKind};

/// What is to be done with a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HttpMethod {
    /// Read it.
    Get,
    /// Send it something.
    Post,
}

impl HttpMethod {
    /// The name in the protocol.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
        }
    }
}

/// A request. Its `Debug` prints no headers and no body, which may hold secrets.
#[derive(Clone)]
#[non_exhaustive]
pub struct HttpRequest {
    /// The method.
    pub method: HttpMethod,
    /// An absolute URL of the scheme `http` or `https`, without a user name and a password.
    pub url: String,
    /// Names and values, besides those that the client sets: `Host`, `Content-Length` and such.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

impl HttpRequest {
    /// A request to read `url`.
    #[must_use]
    pub fn get(url: impl Into<String>) -> Self {
        Self {
            method: HttpMethod::Get,
            url: url.into(),
            headers: Vec::new(),
            body: Bytes::new(),
        }
    }

    /// A request that sends `body` to `url`.
    #[must_use]
    pub fn post(url: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self {
            method: HttpMethod::Post,
            body: body.into(),
            ..Self::get(url)
        }
    }

    /// Adds a header.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

impl fmt::Debug for HttpRequest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("HttpRequest")
            .field("method", &self.method)
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

/// How much a call may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpLimits {
    /// The largest body of a response; 1 MiB.
    pub max_response_bytes: u64,
    /// From looking up the host to the last byte of the response, redirects included; 10 seconds.
    pub time: Duration,
    /// How many redirects are followed; 3. The client may follow fewer.
    pub max_redirects: u8,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            max_response_bytes: 1 << 20,
            time: Duration::from_secs(10),
            max_redirects: 3,
        }
    }
}

impl HttpLimits {
    /// Changes the size of the largest response.
    #[must_use]
    pub const fn with_max_response_bytes(mut self, max_response_bytes: u64) -> Self {
        self.max_response_bytes = max_response_bytes;
        self
    }

    /// Changes how long a call may take.
    #[must_use]
    pub const fn with_time(mut self, time: Duration) -> Self {
        self.time = time;
        self
    }

    /// Changes how many redirects are followed.
    #[must_use]
    pub const fn with_max_redirects(mut self, max_redirects: u8) -> Self {
        self.max_redirects = max_redirects;
        self
    }
}

/// A response, whatever its status. Its `Debug` prints the status only.
#[derive(Clone)]
#[non_exhaustive]
pub struct HttpResponse {
    /// The status.
    pub status: u16,
    /// Names in lower case, and values.
    pub headers: Vec<(String, Bytes)>,
    /// The body, all of it.
    pub body: Bytes,
}

impl HttpResponse {
    /// A response.
    #[must_use]
    pub fn new(status: u16, headers: Vec<(String, Bytes)>, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            headers,
            body: body.into(),
        }
    }

    /// Whether the status is 2xx.
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The first value of a header, if it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self
            .headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(value).ok()
    }
}

impl fmt::Debug for HttpResponse {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("HttpResponse")
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// Why a call was not made, or has no response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HttpErrorKind {
    /// The request is none: its URL or a header cannot be read.
    InvalidRequest,
    /// The host's rules do not let it be reached.
    TargetRefused,
    /// It cannot be found, does not listen, does not prove who it is, or hung up.
    Unreachable,
    /// The time ran out.
    TimedOut,
    /// The response is larger than allowed.
    TooLarge,
    /// The response sends on to where it may not, or too often.
    RedirectRefused,
}

impl HttpErrorKind {
    /// Every kind, for tables and tests.
    pub const ALL: &'static [Self] = &[
        Self::InvalidRequest,
        Self::TargetRefused,
        Self::Unreachable,
        Self::TimedOut,
        Self::TooLarge,
        Self::RedirectRefused,
    ];

    /// Whether the same call may succeed later.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        matches!(self, Self::Unreachable | Self::TimedOut)
    }
}

/// A call that failed. What it says is for the operator: it may name hosts.
#[derive(Debug, thiserror::Error)]
#[error("{context}")]
pub struct HttpError {
    kind: HttpErrorKind,
    context: Box<str>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl HttpError {
    /// An error of `kind`; `context` says what was attempted, on what.
    pub fn new(kind: HttpErrorKind, context: impl Into<String>) -> Self {
        Self {
            kind,
            context: context.into().into(),
            source: None,
        }
    }

    /// Attaches the driver's error.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> HttpErrorKind {
        self.kind
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        self.kind.is_retryable()
    }
}

impl From<HttpError> for StoreError {
    fn from(error: HttpError) -> Self {
        let kind = match error.kind {
            HttpErrorKind::Unreachable | HttpErrorKind::TimedOut => StoreErrorKind::Unavailable,
            HttpErrorKind::TargetRefused => StoreErrorKind::Unsupported,
            HttpErrorKind::InvalidRequest | HttpErrorKind::TooLarge | HttpErrorKind::RedirectRefused => {
                StoreErrorKind::Other
            }
        };
        Self::new(kind, "call another host").with_source(error)
    }
}

/// Calls other hosts.
#[async_trait]
pub trait HttpClient: fmt::Debug + Send + Sync + 'static {
    /// Sends a request and reads the whole response. A response with any status is a response.
    ///
    /// Guarantees: never reads more than `limits` allow, and never takes longer. Only targets that the
    /// deployment allows are reached, judged by the address that is connected to, with each redirect anew;
    /// without a word about it these are public addresses. Headers and body of the request go to the
    /// host in its URL and to no other: a redirect elsewhere is followed without them, or refused. Not
    /// tried again by itself: a request that the server saw may fail all the same.
    ///
    /// Cancellation: the connection is given up; the server may have seen the request.
    ///
    /// # Errors
    /// [`InvalidRequest`](HttpErrorKind::InvalidRequest) and
    /// [`TargetRefused`](HttpErrorKind::TargetRefused) before anything is sent;
    /// [`Unreachable`](HttpErrorKind::Unreachable), [`TimedOut`](HttpErrorKind::TimedOut),
    /// [`TooLarge`](HttpErrorKind::TooLarge) and [`RedirectRefused`](HttpErrorKind::RedirectRefused) at any
    /// point.
    ///
    /// Cost: one round trip, or one for each redirect; a connection if none is open; memory for the body.
    async fn send(&self, request: HttpRequest, limits: &HttpLimits) -> Result<HttpResponse, HttpError>;
}

#[async_trait]
impl<T: HttpClient + ?Sized> HttpClient for Arc<T> {
    async fn send(&self, request: HttpRequest, limits: &HttpLimits) -> Result<HttpResponse, HttpError> {
        (**self).send(request, limits).await
    }
}

#[async_trait]
impl<T: HttpClient + ?Sized> HttpClient for Box<T> {
    async fn send(&self, request: HttpRequest, limits: &HttpLimits) -> Result<HttpResponse, HttpError> {
        (**self).send(request, limits).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_printed() {
        let request =
            HttpRequest::post("https://a.example/", "secret").with_header("authorization", "secret");
        let response = HttpResponse::new(200, vec![("set-cookie".into(), "secret".into())], "secret");
        assert!(!format!("{request:?}{response:?}").contains("secret"));
        assert_eq!(response.header("Set-Cookie"), Some("secret"));
        assert_eq!(response.header("x"), None);
    }

    #[test]
    fn kinds_of_errors() {
        for &kind in HttpErrorKind::ALL {
            let error = StoreError::from(HttpError::new(kind, "x"));
            let is_unavailable = error.kind() == StoreErrorKind::Unavailable;
            assert_eq!(is_unavailable, kind.is_retryable(), "{kind:?}");
        }
        assert!(size_of::<HttpError>() <= 64);
    }
}
