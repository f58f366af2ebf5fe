//! What a handler answers.

use std::fmt::{self, Debug};

use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt as _, TryStreamExt as _};
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, LOCATION};
use http::{HeaderMap, StatusCode};
use quay_core::{Error, StoreError, StoreErrorKind};
use serde_json::Value;

use super::session::Session;
use crate::body::ResponseBody;
use crate::response::{Answer, answer};

/// Items are sent together up to this many bytes.
const PIECE: usize = 16 << 10;

/// An answer that is not an error.
pub(crate) struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: Body,
    pub(crate) session: SessionChange,
}

/// What becomes of the client's session.
#[derive(Debug, Default)]
pub(crate) enum SessionChange {
    #[default]
    Kept,
    Replaced(Session),
}

enum Body {
    Full(Bytes),
    Items {
        before: String,
        items: BoxStream<'static, Result<String, Error>>,
        after: String,
    },
}

impl Debug for Reply {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("Reply");
        shown.field("status", &self.status).finish_non_exhaustive()
    }
}

impl Reply {
    fn new(status: StatusCode, media_type: Option<&'static str>, body: Body) -> Self {
        let media_type = media_type.map(|media_type| (CONTENT_TYPE, HeaderValue::from_static(media_type)));
        Self {
            status,
            headers: media_type.into_iter().collect(),
            body,
            session: SessionChange::Kept,
        }
    }

    /// A JSON value. A bare string is one, too.
    pub(crate) fn json(status: StatusCode, value: &Value) -> Self {
        let body = Body::Full(format!("{value}\n").into());
        Self::new(status, Some("application/json"), body)
    }

    /// A JSON value and 200.
    pub(crate) fn ok(value: &Value) -> Self {
        Self::json(StatusCode::OK, value)
    }

    /// A JSON document that was written before, and 200.
    pub(crate) fn rendered(document: Bytes) -> Self {
        Self::new(StatusCode::OK, Some("application/json"), Body::Full(document))
    }

    /// No body at all.
    pub(crate) fn empty(status: StatusCode) -> Self {
        Self::new(status, None, Body::Full(Bytes::new()))
    }

    /// 204.
    pub(crate) fn no_content() -> Self {
        Self::empty(StatusCode::NO_CONTENT)
    }

    /// A text without markup.
    pub(crate) fn text(status: StatusCode, text: impl Into<Bytes>) -> Self {
        Self::new(status, Some("text/plain; charset=utf-8"), Body::Full(text.into()))
    }

    /// A page.
    pub(crate) fn html(status: StatusCode, page: impl Into<Bytes>) -> Self {
        Self::new(status, Some("text/html; charset=utf-8"), Body::Full(page.into()))
    }

    /// Sends the client elsewhere with a `GET`.
    pub(crate) fn redirect(location: &str) -> Self {
        Self::empty(StatusCode::FOUND).with_header(LOCATION, location)
    }

    /// A JSON list that is written as it is read: `before`, the items with commas between them, `after`.
    /// `before` ends in `[`, `after` begins with `]`. Memory does not grow with the list.
    ///
    /// A failure of the first item is an answer of its own; a later one breaks the body off.
    pub(crate) fn list(
        before: impl Into<String>,
        items: BoxStream<'static, Result<Value, Error>>,
        after: impl Into<String>,
    ) -> Self {
        let items = items.map_ok(|item| item.to_string()).boxed();
        Self::items(before.into(), items, after.into())
    }

    /// A JSON object of many members that is written as it is read, as [`list`](Self::list) is. `before`
    /// ends in `{`, `after` begins with `}`.
    pub(crate) fn map(
        before: impl Into<String>,
        items: BoxStream<'static, Result<(String, Value), Error>>,
        after: impl Into<String>,
    ) -> Self {
        let items = items.map_ok(|(name, item)| format!("{}:{item}", Value::String(name)));
        Self::items(before.into(), items.boxed(), after.into())
    }

    fn items(before: String, items: BoxStream<'static, Result<String, Error>>, after: String) -> Self {
        let body = Body::Items { before, items, after };
        Self::new(StatusCode::OK, Some("application/json"), body)
    }

    /// Adds a header. A value that is none is left out.
    pub(crate) fn with_header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.append(name, value);
        }
        self
    }

    /// Whether it has a header already.
    pub(crate) fn has_header(&self, name: &HeaderName) -> bool {
        self.headers.contains_key(name)
    }

    /// Gives the client this session in place of the one it has, and tells it the token that its next
    /// write must show.
    pub(crate) fn with_session(mut self, session: Session) -> Self {
        self.session = SessionChange::Replaced(session);
        self
    }

    /// The answer without what concerns the session.
    ///
    /// # Errors
    /// That of a list's first item.
    pub(crate) async fn into_answer(self) -> Result<Answer, Error> {
        let mut response = answer(self.status);
        *response.headers_mut() = self.headers;
        *response.body_mut() = match self.body {
            Body::Full(bytes) => ResponseBody::full(bytes),
            Body::Items {
                before,
                mut items,
                after,
            } => {
                let first = items.next().await.transpose()?;
                ResponseBody::unbounded(pieces(before, first.as_deref().unwrap_or_default(), items, after))
            }
        };
        Ok(response)
    }
}

enum Step {
    Items(String, BoxStream<'static, Result<String, Error>>),
    Ended,
}

/// Joins items to pieces of about equal size.
fn pieces(
    before: String,
    first: &str,
    items: BoxStream<'static, Result<String, Error>>,
    after: String,
) -> BoxStream<'static, Result<Bytes, StoreError>> {
    let started = before + first;
    let step = Step::Items(started, items);
    stream::try_unfold((step, after), |(step, after)| async move {
        let Step::Items(mut piece, mut items) = step else {
            return Ok(None);
        };
        while piece.len() < PIECE {
            match items.next().await {
                Some(Ok(item)) => {
                    piece.push(',');
                    piece.push_str(&item);
                }
                Some(Err(error)) => {
                    tracing::error!(%error, source = ?error.store_error(), "a list broke off");
                    return Err(StoreError::new(StoreErrorKind::Other, "a list broke off"));
                }
                None => {
                    piece.push_str(&after);
                    return Ok(Some((Bytes::from(piece), (Step::Ended, after))));
                }
            }
        }
        Ok(Some((
            Bytes::from(piece),
            (Step::Items(String::new(), items), after),
        )))
    })
    .boxed()
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use quay_core::ErrorKind;
    use serde_json::json;

    use super::*;

    async fn body(reply: Reply) -> Value {
        let answer = reply.into_answer().await.unwrap();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        serde_json::from_slice(&body).unwrap()
    }

    #[tokio::test]
    async fn lists_are_written_as_they_are_read() {
        for count in [0, 1, 2, 5000] {
            let items = stream::iter((0..count).map(|index| Ok(json!({ "index": index }))));
            let body = body(Reply::list("{\"a\":[", items.boxed(), "],\"more\":false}")).await;
            assert_eq!(body["a"].as_array().unwrap().len(), count, "{body}");
            assert_eq!(body["more"], false);
            let items = stream::iter((0..count).map(|index| Ok((format!("\"{index}"), json!(index)))));
            let body = self::body(Reply::map("{\"a\":{", items.boxed(), "}}")).await;
            assert_eq!(body["a"].as_object().unwrap().len(), count, "{body}");
        }
    }

    #[tokio::test]
    async fn a_list_that_fails_is_not_taken_for_a_short_one() {
        let failure = || Err(Error::new(ErrorKind::Unavailable, "gone"));
        let none = stream::iter([failure()]).boxed();
        let error = Reply::list("[", none, "]").into_answer().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        let some = stream::iter([Ok(json!(1)), failure()]).boxed();
        let answer = Reply::list("[", some, "]").into_answer().await.unwrap();
        assert!(answer.into_body().collect().await.is_err());
    }
}
