//! Bodies that are read to their end although nobody wants them, so that the client gets to read why.
//!
//! A connection that is closed with bytes unread is reset, and the reset may overtake the answer.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::runtime::Handle;

/// Bytes read for a client that is being refused, at the most.
const LIMIT: usize = 64 << 20;
/// How long they are waited for, all together.
const TIME: Duration = Duration::from_secs(10);
/// How long the next of them is waited for. A client that is sending sends.
const PAUSE: Duration = Duration::from_secs(1);

/// A request's body that is read on when it is let go before its end.
pub(crate) struct Lingering<B: Body<Data = Bytes> + Send + 'static> {
    /// `None` once it has ended.
    body: Option<Pin<Box<B>>>,
    /// Whether the client is sending, as far as anybody knows.
    sending: bool,
}

impl<B: Body<Data = Bytes> + Send + 'static> Lingering<B> {
    /// `sending` says whether the client sends without being asked.
    pub(crate) fn new(body: B, sending: bool) -> Self {
        Self {
            body: (!body.is_end_stream()).then(|| Box::pin(body)),
            sending,
        }
    }
}

impl<B: Body<Data = Bytes> + Send + 'static> Body for Lingering<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        self.sending = true;
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let frame = body.as_mut().poll_frame(context);
        if matches!(frame, Poll::Ready(None | Some(Err(_)))) {
            self.body = None;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl<B: Body<Data = Bytes> + Send + 'static> Drop for Lingering<B> {
    fn drop(&mut self) {
        let left = self
            .body
            .take()
            .filter(|body| self.sending && !body.is_end_stream());
        if let (Some(body), Ok(runtime)) = (left, Handle::try_current()) {
            runtime.spawn(tokio::time::timeout(TIME, read_on(body)));
        }
    }
}

async fn read_on<B: Body<Data = Bytes>>(mut body: Pin<Box<B>>) {
    let mut left = LIMIT;
    while let Ok(Some(Ok(frame))) = tokio::time::timeout(PAUSE, body.frame()).await {
        let length = frame.data_ref().map_or(0, Bytes::len);
        match left.checked_sub(length) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}
