//! A connection as the server sees it: a peer that must go on sending and taking bytes, and files that
//! the kernel sends by itself.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use rustix::fs::sendfile;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use crate::body::ResponseBody;
use crate::mapped::{Origin, WeakMapping};
use crate::server::Timeouts;

/// So many bytes tell HTTP/1.1 from HTTP/2; before they have come, nobody else keeps a time limit.
const PREFACE: usize = 24;

/// Files that all connections of a server are sending.
pub(crate) type Files = Arc<AtomicUsize>;

/// Nothing but a body's piece is this long.
const LARGE: usize = 4096;

/// What a connection's requests and its socket tell one another.
#[derive(Debug, Clone)]
pub(crate) struct Shared(Arc<State>);

#[derive(Debug)]
struct State {
    files: Files,
    /// Files whose mapped bytes may be on their way.
    mappings: Mutex<Vec<WeakMapping>>,
    /// Responses whose bodies are being sent.
    sending: AtomicUsize,
    /// Whether one of them has moved since somebody looked.
    moved: AtomicBool,
}

impl Shared {
    pub(crate) fn new(files: Files) -> Self {
        Self(Arc::new(State {
            files,
            mappings: Mutex::default(),
            sending: AtomicUsize::new(0),
            moved: AtomicBool::new(false),
        }))
    }

    fn mappings(&self) -> MutexGuard<'_, Vec<WeakMapping>> {
        self.0.mappings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Follows a response's body on its way out.
    pub(crate) fn follow(&self, body: ResponseBody) -> Followed {
        if let Some(mapping) = body.mapping() {
            let mut mappings = self.mappings();
            mappings.retain(|mapping| !mapping.is_gone());
            mappings.push(mapping.downgrade());
            self.0.files.fetch_add(1, Ordering::AcqRel);
        }
        self.0.sending.fetch_add(1, Ordering::AcqRel);
        self.0.moved.store(true, Ordering::Release);
        Followed {
            body,
            shared: self.clone(),
        }
    }

    /// Whether bodies are being sent and none has moved since the last time this was asked.
    pub(crate) fn is_stalled(&self) -> bool {
        !self.0.moved.swap(false, Ordering::AcqRel) && self.0.sending.load(Ordering::Acquire) > 0
    }

    fn origin(&self, bytes: &[u8]) -> Option<Origin> {
        // Most pieces that are written are heads and small bodies. A lone reader on the same machine is
        // woken for each few pages that the kernel sends by itself, which costs more than copying.
        if bytes.len() < LARGE || self.0.files.load(Ordering::Acquire) < 2 {
            return None;
        }
        self.mappings().iter().find_map(|mapping| mapping.origin(bytes))
    }
}

/// A response's body that tells its connection when it moves.
#[derive(Debug)]
pub(crate) struct Followed {
    body: ResponseBody,
    shared: Shared,
}

impl Body for Followed {
    type Data = Bytes;
    type Error = <ResponseBody as Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.shared.0.moved.store(true, Ordering::Release);
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.shared.0.sending.fetch_sub(1, Ordering::AcqRel);
        if self.body.mapping().is_some() {
            self.shared.0.files.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

/// A connection's socket.
pub(crate) struct Socket {
    stream: TcpStream,
    shared: Shared,
    timeouts: Timeouts,
    /// Bytes received, as long as there are few.
    received: usize,
    /// Armed while the peer has not said what it speaks.
    silent: Option<Pin<Box<Sleep>>>,
    /// Armed while the peer takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
    /// Whether the kernel has refused to send a file by itself.
    copies: bool,
}

impl Socket {
    pub(crate) const fn new(stream: TcpStream, shared: Shared, timeouts: Timeouts) -> Self {
        Self {
            stream,
            shared,
            timeouts,
            received: 0,
            silent: None,
            stalled: None,
            copies: false,
        }
    }

    fn watch<T>(&mut self, context: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.stalled = None;
            return outcome;
        }
        let limit = self.timeouts.write;
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        ready!(stalled.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the client takes nothing any more",
        )))
    }

    fn poll_send_file(
        &mut self,
        context: &mut Context<'_>,
        origin: &Origin,
        length: usize,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.stream.poll_write_ready(context))?;
            let sent = self.stream.try_io(Interest::WRITABLE, || {
                let mut offset = origin.offset;
                Ok(sendfile(&self.stream, &*origin.file, Some(&mut offset), length)?)
            });
            match sent {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(0) => {
                    return Poll::Ready(Err(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        "an object has become shorter while it was sent",
                    )));
                }
                other => return Poll::Ready(other),
            }
        }
    }

    fn poll_send(&mut self, context: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let mapped = pieces
            .iter()
            .enumerate()
            .filter(|_| !self.copies)
            .find_map(|(index, piece)| Some((index, self.shared.origin(piece)?, piece.len())));
        match mapped {
            Some((0, origin, length)) => {
                match ready!(self.poll_send_file(context, &origin, length)) {
                    // Not every file system and kernel can; the mapping serves as well.
                    Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS)) => {
                        self.copies = true;
                        Pin::new(&mut self.stream).poll_write_vectored(context, pieces)
                    }
                    other => Poll::Ready(other),
                }
            }
            // What stands before goes first, by itself.
            Some((before, ..)) => {
                let pieces = pieces.get(..before).unwrap_or_default();
                Pin::new(&mut self.stream).poll_write_vectored(context, pieces)
            }
            None => Pin::new(&mut self.stream).poll_write_vectored(context, pieces),
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut self.stream).poll_read(context, buffer);
        if self.received >= PREFACE {
            return outcome;
        }
        self.received += buffer.filled().len() - before;
        if outcome.is_ready() {
            return outcome;
        }
        let limit = self.timeouts.head;
        let silent = self
            .silent
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        ready!(silent.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the client says nothing",
        )))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = self.poll_send(context, &[IoSlice::new(bytes)]);
        self.watch(context, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = self.poll_send(context, pieces);
        // A piece of a body, which may take a slow reader long; pings and window updates are small.
        if outcome.is_ready() && pieces.first().is_some_and(|piece| piece.len() >= LARGE) {
            self.shared.0.moved.store(true, Ordering::Release);
        }
        self.watch(context, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
