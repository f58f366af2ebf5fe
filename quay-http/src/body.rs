//! Bodies: requests as streams with a time limit, responses in the form that costs least.

use std::fmt::{self, Debug};
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::stream::BoxStream;
use futures::{FutureExt, Stream, StreamExt};
use http_body::{Body, Frame, SizeHint};
use quay_core::blob_store::{BlobBody, ByteStream, FileRange};
use quay_core::{BodyError, Error, ErrorKind, StoreError, StoreErrorKind};
use tokio::task::JoinHandle;
use tokio::time::Sleep;

use crate::mapped::Mapping;

/// Bytes sent at once. They are a file's, in the page cache, or in memory for another reason: a slow reader
/// pins nothing that would not be there without it.
const PIECE: usize = 512 << 10;

/// A request's body: no byte for `idle` ends it.
pub(crate) fn incoming<B>(body: B, idle: Duration) -> ByteStream
where
    B: Body<Data = Bytes> + Send + 'static,
{
    Incoming {
        body: Box::pin(body),
        sleep: None,
        idle,
        ended: false,
    }
    .boxed()
}

/// All of a body, up to `limit` bytes, if it arrives within `time`.
pub(crate) async fn collected(mut pieces: ByteStream, limit: u64, time: Duration) -> Result<Bytes, Error> {
    let read = async {
        let mut content = BytesMut::new();
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|error| {
                let kind = match error {
                    BodyError::TimedOut => ErrorKind::BodyTimeout,
                    _ => ErrorKind::Rejected,
                };
                Error::new(kind, error.to_string())
            })?;
            content.extend_from_slice(&piece);
            if content.len() as u64 > limit {
                let error = BodyError::TooLarge { limit };
                return Err(Error::new(ErrorKind::TooLarge, error.to_string()));
            }
        }
        Ok(content.freeze())
    };
    let late = |_| Error::new(ErrorKind::BodyTimeout, BodyError::TimedOut.to_string());
    tokio::time::timeout(time, read).await.map_err(late)?
}

struct Incoming<B> {
    body: Pin<Box<B>>,
    /// Armed only while nothing comes.
    sleep: Option<Pin<Box<Sleep>>>,
    idle: Duration,
    ended: bool,
}

impl<B: Body<Data = Bytes>> Stream for Incoming<B> {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.ended {
            return Poll::Ready(None);
        }
        loop {
            match this.body.as_mut().poll_frame(context) {
                Poll::Ready(frame) => {
                    this.sleep = None;
                    match frame {
                        Some(Ok(frame)) => match frame.into_data() {
                            Ok(data) if data.is_empty() => {}
                            Ok(data) => return Poll::Ready(Some(Ok(data))),
                            // Trailers.
                            Err(_) => {}
                        },
                        Some(Err(_)) => {
                            this.ended = true;
                            return Poll::Ready(Some(Err(BodyError::Truncated)));
                        }
                        None => {
                            this.ended = true;
                            return Poll::Ready(None);
                        }
                    }
                }
                Poll::Pending => {
                    let idle = this.idle;
                    let sleep = this
                        .sleep
                        .get_or_insert_with(|| Box::pin(tokio::time::sleep(idle)));
                    ready!(sleep.as_mut().poll(context));
                    this.ended = true;
                    return Poll::Ready(Some(Err(BodyError::TimedOut)));
                }
            }
        }
    }
}

/// The body of a response.
pub struct ResponseBody(Kind);

enum Kind {
    Full(Bytes),
    File(Mapped),
    Stream {
        pieces: BoxStream<'static, Result<Bytes, StoreError>>,
        left: u64,
    },
    /// Of a length that nobody knows yet.
    Unbounded(BoxStream<'static, Result<Bytes, StoreError>>),
}

struct Mapped {
    mapping: Mapping,
    position: usize,
    length: usize,
    /// Waits for pages that are not in memory.
    loading: Option<JoinHandle<std::io::Result<()>>>,
}

impl Debug for ResponseBody {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("ResponseBody").finish_non_exhaustive()
    }
}

impl ResponseBody {
    pub(crate) const fn empty() -> Self {
        Self(Kind::Full(Bytes::new()))
    }

    pub(crate) fn full(bytes: impl Into<Bytes>) -> Self {
        Self(Kind::Full(bytes.into()))
    }

    /// Pieces until they end, however many.
    pub(crate) fn unbounded(pieces: BoxStream<'static, Result<Bytes, StoreError>>) -> Self {
        Self(Kind::Unbounded(pieces))
    }

    /// A blob's body, `length` bytes long. A redirect is the caller's business.
    pub(crate) fn blob(body: BlobBody, length: u64) -> Result<Self, StoreError> {
        match body {
            BlobBody::Bytes(bytes) => Ok(Self::full(bytes)),
            BlobBody::File(part) => Self::file(&part),
            BlobBody::Stream(pieces) => Ok(Self(Kind::Stream { pieces, left: length })),
            _ => Err(StoreError::new(
                StoreErrorKind::Unsupported,
                "a store answered in a form that HTTP cannot send",
            )),
        }
    }

    fn file(part: &FileRange) -> Result<Self, StoreError> {
        let unmappable = |error| StoreError::io("map an object", error);
        let length = usize::try_from(part.range.length).map_err(|_| {
            StoreError::new(
                StoreErrorKind::Unsupported,
                "the object does not fit the address space",
            )
        })?;
        let mapping = Mapping::new(&part.file, part.range.start, length).map_err(unmappable)?;
        Ok(Self(Kind::File(Mapped {
            mapping,
            position: 0,
            length,
            loading: None,
        })))
    }
}

impl ResponseBody {
    /// The mapped file whose bytes this body yields, if it does.
    #[cfg(feature = "server")]
    pub(crate) const fn mapping(&self) -> Option<&Mapping> {
        match &self.0 {
            Kind::File(mapped) => Some(&mapped.mapping),
            Kind::Full(_) | Kind::Stream { .. } | Kind::Unbounded(_) => None,
        }
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl Mapped {
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BoxError>>> {
        let range: Range<usize> = self.position..self.length.min(self.position.saturating_add(PIECE));
        if range.is_empty() {
            return Poll::Ready(None);
        }
        if let Some(loading) = &mut self.loading {
            let loaded = ready!(loading.poll_unpin(context));
            self.loading = None;
            match loaded {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                Err(error) => return Poll::Ready(Some(Err(error.into()))),
            }
        } else if !self.mapping.is_resident(&range) {
            let (mapping, range) = (self.mapping.clone(), range);
            let mut loading = tokio::task::spawn_blocking(move || mapping.load(&range));
            // Polled so that it wakes this task.
            if loading.poll_unpin(context).is_pending() {
                self.loading = Some(loading);
                return Poll::Pending;
            }
            return self.poll_piece(context);
        }
        self.position = range.end;
        Poll::Ready(Some(Ok(self.mapping.slice(range))))
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let piece = match &mut self.0 {
            // In pieces, so that a reader who takes none of them is noticed.
            Kind::Full(bytes) => (!bytes.is_empty()).then(|| Ok(bytes.split_to(bytes.len().min(PIECE)))),
            Kind::File(mapped) => ready!(mapped.poll_piece(context)),
            Kind::Stream { pieces, left } => match ready!(pieces.poll_next_unpin(context)) {
                Some(Ok(piece)) => {
                    *left = left.saturating_sub(piece.len() as u64);
                    Some(Ok(piece))
                }
                Some(Err(error)) => Some(Err(error.into())),
                None => None,
            },
            Kind::Unbounded(pieces) => {
                ready!(pieces.poll_next_unpin(context)).map(|piece| piece.map_err(Into::into))
            }
        };
        Poll::Ready(piece.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Full(bytes) => bytes.is_empty(),
            Kind::File(mapped) => mapped.position >= mapped.length,
            Kind::Stream { left, .. } => *left == 0,
            Kind::Unbounded(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match &self.0 {
            Kind::Full(bytes) => bytes.len() as u64,
            Kind::File(mapped) => (mapped.length - mapped.position) as u64,
            Kind::Stream { left, .. } => *left,
            Kind::Unbounded(_) => return SizeHint::default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::StreamBody;
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stops_coming_ends() {
        let pieces = futures::stream::iter([Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(b"a")))])
            .chain(futures::stream::pending());
        let started = Instant::now();
        let seen: Vec<_> = incoming(StreamBody::new(pieces), Duration::from_secs(9))
            .collect()
            .await;
        assert_eq!(seen, [Ok(Bytes::from_static(b"a")), Err(BodyError::TimedOut)]);
        assert_eq!(started.elapsed(), Duration::from_secs(9));
    }

    #[tokio::test]
    async fn a_broken_body_is_told_from_a_complete_one() {
        let pieces = futures::stream::iter([Err::<Frame<Bytes>, _>(std::io::Error::other("broken"))]);
        let seen: Vec<_> = incoming(StreamBody::new(pieces), Duration::from_secs(9))
            .collect()
            .await;
        assert_eq!(seen, [Err(BodyError::Truncated)]);
    }
}
