//! The key server `/keys` (registry-protocol, section 18): where services publish the keys that they sign
//! with, and look up those of others.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::header::{ALLOW, CACHE_CONTROL, EXPECT, RETRY_AFTER};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use percent_encoding::percent_decode_str;
use quay_core::accounts::{Accounts, KeyPut, KeyStatus};
use quay_core::blob_store::ByteStream;
use quay_core::runtime::Timestamp;
use quay_core::{Caller, Error, ErrorKind};
use serde_json::{Value, json};
use tracing::Instrument as _;

use crate::body::{ResponseBody, collected, incoming};
use crate::credentials::Presented;
use crate::form::Fields;
use crate::linger::Lingering;
use crate::response::{Answer, AnswerExt as _, answer, json as json_answer, wait, without_body};
use crate::service::{RequestIds, accompanied, request_span};

const PREFIX: &str = "/keys/services/";
/// No public key is larger.
const LARGEST: u64 = 64 << 10;
/// How long a key may pause on its way here, and how long it may take.
const PAUSE: Duration = Duration::from_secs(10);
const TIME: Duration = Duration::from_secs(30);
/// A key is looked up again after a day at the latest.
const LONGEST_AGE_S: i64 = 86_400;
/// As much as names of services and keys are stored of.
const LONGEST_NAME: usize = 255;

/// The key server below `/keys/services/`.
///
/// Anybody may read public keys. Who writes shows a JSON web token that is signed by the key in question, or
/// by an approved one of the same service.
///
/// Cheap to clone. Answers every request with a response; it has no errors of its own. Needs a tokio
/// runtime with its timer.
#[derive(Debug, Clone)]
pub struct KeyService {
    accounts: Accounts,
    request_ids: Arc<RequestIds>,
}

/// What a path means.
#[derive(Debug, PartialEq, Eq)]
enum Route {
    Keys { service: String },
    Key { service: String, kid: String },
}

impl Route {
    fn parse(path: &str) -> Option<Self> {
        let part = |part: &str| {
            let decoded = percent_decode_str(part).decode_utf8().ok()?.into_owned();
            let sound = (1..=LONGEST_NAME).contains(&decoded.len())
                && decoded
                    .bytes()
                    .all(|byte| byte.is_ascii_graphic() && byte != b'/');
            sound.then_some(decoded)
        };
        let mut parts = path.strip_prefix(PREFIX)?.split('/');
        let service = part(parts.next()?)?;
        match (parts.next(), parts.next(), parts.next()) {
            (Some("keys"), None, None) => Some(Self::Keys { service }),
            (Some("keys"), Some(kid), None) => Some(Self::Key {
                service,
                kid: part(kid)?,
            }),
            _ => None,
        }
    }

    const fn methods(&self) -> &'static str {
        match self {
            Self::Keys { .. } => "GET, HEAD, OPTIONS",
            Self::Key { .. } => "GET, HEAD, PUT, DELETE, OPTIONS",
        }
    }
}

impl KeyService {
    /// The key server of `accounts`.
    #[must_use]
    pub fn new(accounts: Accounts) -> Self {
        let request_ids = RequestIds::new(accounts.runtime());
        Self {
            accounts,
            request_ids: Arc::new(request_ids),
        }
    }

    /// Whether a path is the key server's, for hosts that send requests on.
    #[must_use]
    pub fn serves(path: &str) -> bool {
        path.starts_with(PREFIX)
    }

    async fn answer(&self, parts: &Parts, body: ByteStream) -> Answer {
        let Some(route) = Route::parse(parts.uri.path()) else {
            return told(StatusCode::NOT_FOUND, "Not Found");
        };
        let answered = match (&route, &parts.method) {
            (_, &Method::OPTIONS) => Ok(answer(StatusCode::OK).with_static(ALLOW, route.methods())),
            (Route::Keys { service }, &Method::GET | &Method::HEAD) => self.list(service).await,
            (Route::Key { service, kid }, &Method::GET | &Method::HEAD) => self.show(service, kid).await,
            (Route::Key { service, kid }, &Method::PUT) => self.put(service, kid, parts, body).await,
            (Route::Key { service, kid }, &Method::DELETE) => self.remove(service, kid, parts).await,
            _ => {
                let message = "The method is not allowed for the requested URL.";
                return told(StatusCode::METHOD_NOT_ALLOWED, message).with_static(ALLOW, route.methods());
            }
        };
        answered.unwrap_or_else(|error| failure(&error))
    }

    async fn list(&self, service: &str) -> Result<Answer, Error> {
        let keys = self.accounts.published_keys(service).await?;
        let body = json!({ "keys": keys });
        // What has been withdrawn must not be served on.
        Ok(json_answer(StatusCode::OK, "application/json", &body).with_static(CACHE_CONTROL, "no-cache"))
    }

    async fn show(&self, service: &str, kid: &str) -> Result<Answer, Error> {
        let (jwk, status, key) = self.accounts.published_key(service, kid).await?;
        Ok(match status {
            KeyStatus::Expired => told(StatusCode::FORBIDDEN, "The key has expired"),
            KeyStatus::Unapproved => told(StatusCode::CONFLICT, "The key has not been approved yet"),
            KeyStatus::Usable => {
                let now = self.accounts.runtime().clock.now();
                let left = |end: Timestamp| end.as_millis().saturating_sub(now.as_millis()) / 1000;
                let age = key
                    .expires
                    .map_or(LONGEST_AGE_S, |end| left(end).clamp(0, LONGEST_AGE_S));
                json_answer(StatusCode::OK, "application/json", &jwk)
                    .with(CACHE_CONTROL, &format!("max-age={age}"))
            }
        })
    }

    async fn put(&self, service: &str, kid: &str, parts: &Parts, body: ByteStream) -> Result<Answer, Error> {
        self.may_write()?;
        let token = token(parts)?;
        let query = Fields::of_query(parts.uri.query());
        let expires = expires(&query)?;
        let rotation_s = rotation(&query)?;
        let body = collected(body, LARGEST, TIME).await?;
        let jwk: Value = serde_json::from_slice(&body).map_err(|_| invalid("the body is not JSON"))?;
        let put = self
            .accounts
            .put_key(&caller(parts), service, kid, &jwk, &token, expires, rotation_s)
            .await?;
        Ok(answer(match put {
            KeyPut::Pending => StatusCode::ACCEPTED,
            KeyPut::Rotated => StatusCode::OK,
        }))
    }

    async fn remove(&self, service: &str, kid: &str, parts: &Parts) -> Result<Answer, Error> {
        self.may_write()?;
        let token = token(parts)?;
        self.accounts
            .remove_key(&caller(parts), service, kid, &token)
            .await?;
        Ok(answer(StatusCode::NO_CONTENT))
    }

    fn may_write(&self) -> Result<(), Error> {
        if self.accounts.options().read_only {
            return Err(Error::new(ErrorKind::ReadOnly, "System is currently read-only."));
        }
        Ok(())
    }
}

fn invalid(message: &str) -> Error {
    Error::new(ErrorKind::InvalidRequest, message)
}

fn caller(parts: &Parts) -> Caller {
    accompanied(Caller::anonymous(), parts)
}

fn token(parts: &Parts) -> Result<String, Error> {
    match Presented::from_headers(&parts.headers) {
        Presented::Bearer(token) => Ok(token),
        _ => Err(invalid("a bearer token is missing")),
    }
}

/// When a key is to end: seconds since the epoch, perhaps with a fraction.
fn expires(query: &Fields) -> Result<Option<Timestamp>, Error> {
    let Some(text) = query.get("expiration").filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let seconds = text.split_once('.').map_or(text, |(whole, fraction)| {
        if fraction.bytes().all(|byte| byte.is_ascii_digit()) {
            whole
        } else {
            text
        }
    });
    let millis = seconds
        .parse()
        .ok()
        .and_then(|seconds: i64| seconds.checked_mul(1000));
    match millis {
        Some(millis) => Ok(Some(Timestamp::from_millis(millis))),
        None => Err(invalid("expiration is not a number of seconds")),
    }
}

fn rotation(query: &Fields) -> Result<Option<i64>, Error> {
    match query.get("rotation").filter(|text| !text.is_empty()) {
        None => Ok(None),
        Some(text) => match text.parse::<i32>() {
            Ok(seconds) if seconds >= 0 => Ok(Some(seconds.into())),
            _ => Err(invalid("rotation is not a number of seconds")),
        },
    }
}

fn told(status: StatusCode, message: &str) -> Answer {
    json_answer(status, "application/json", &json!({ "message": message }))
}

/// The answer to a failed request. The log is told more than the client.
fn failure(error: &Error) -> Answer {
    let status = match error.kind() {
        ErrorKind::ReadOnly => 503,
        kind => kind.status(),
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if status.is_server_error() && error.kind() != ErrorKind::ReadOnly {
        tracing::error!(%error, source = ?error.store_error(), "request failed");
    }
    if error.kind() == ErrorKind::ReadOnly {
        let body = json!({ "message": error.public_message(), "is_readonly": true });
        return json_answer(status, "application/json", &body);
    }
    let answer = told(status, error.public_message());
    match wait(error) {
        Some(wait) => answer.with(RETRY_AFTER, &wait),
        None => answer,
    }
}

impl<B> tower_service::Service<Request<B>> for KeyService
where
    B: Body<Data = Bytes> + Send + 'static,
{
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let this = self.clone();
        async move {
            this.request_ids.number(&mut request);
            let span = request_span(&request);
            let (parts, body) = request.into_parts();
            let head = parts.method == Method::HEAD;
            // A client that waits to be asked for its body has not sent any, and must not be asked.
            let body = incoming(Lingering::new(body, !parts.headers.contains_key(EXPECT)), PAUSE);
            let response = this.answer(&parts, body).instrument(span.clone()).await;
            span.in_scope(|| tracing::debug!(status = response.status().as_u16(), "answered"));
            Ok(if head { without_body(response) } else { response })
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes() {
        let service = || "clair".to_owned();
        for (path, expected) in [
            (
                "/keys/services/clair/keys",
                Some(Route::Keys { service: service() }),
            ),
            (
                "/keys/services/clair/keys/ab%2Bc",
                Some(Route::Key {
                    service: service(),
                    kid: "ab+c".to_owned(),
                }),
            ),
            ("/keys/services/clair/keys/", None),
            ("/keys/services/clair/keys/a/b", None),
            ("/keys/services/clair/keys/a%2Fb", None),
            ("/keys/services/clair/keys/a%00", None),
            ("/keys/services//keys", None),
            ("/keys/services/clair", None),
            ("/keys/services/clair/other", None),
            ("/keys", None),
        ] {
            assert_eq!(Route::parse(path), expected, "{path}");
        }
    }

    #[test]
    fn parameters() {
        let read = |query: &str| {
            let query = Fields::of_query(Some(query));
            let expires = expires(&query).ok()?.map(Timestamp::as_millis);
            Some((expires, rotation(&query).ok()?))
        };
        assert_eq!(read(""), Some((None, None)));
        assert_eq!(read("expiration=12.5&rotation=7"), Some((Some(12_000), Some(7))));
        for query in [
            "expiration=x",
            "expiration=1.x",
            "expiration=9223372036854775807",
            "rotation=-1",
            "rotation=99999999999",
        ] {
            assert_eq!(read(query), None, "{query}");
        }
    }
}
