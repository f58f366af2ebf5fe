//! A service on plain hyper: HTTP/1.1 and HTTP/2 on one port, with time limits and an orderly end.

use std::convert::Infallible;
use std::io;
use std::net::TcpListener;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tower_service::Service;

use crate::body::ResponseBody;
use crate::connection::{Files, Shared, Socket};
use crate::service::ClientAddress;

/// Most bytes read from a connection at once: what one slow writer pins, and the longest head.
const READ_BUFFER: usize = 128 << 10;
/// Requests of one HTTP/2 connection that are answered at once.
const STREAMS: u32 = 128;
/// A response that does not move for so many times [`Timeouts::write`] is given up, also on a connection
/// whose peer is alive.
const PATIENCE: u32 = 5;

/// How long a connection may do nothing.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Timeouts {
    /// From the end of an answer, or the connection's beginning, to the end of the next request's head.
    pub head: Duration,
    /// Between two pieces of an answer that the client takes.
    pub write: Duration,
    /// For the requests that are being answered when the server is told to end.
    pub shutdown: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            head: Duration::from_mins(1),
            write: Duration::from_mins(1),
            shutdown: Duration::from_mins(5),
        }
    }
}

/// Serves a service on a listener.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Server {
    /// Its time limits.
    pub timeouts: Timeouts,
    /// Connections at one time. Further ones wait in the listener's queue.
    pub max_connections: usize,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            timeouts: Timeouts::default(),
            max_connections: 10_000,
        }
    }
}

/// The body of a request that came over a connection of [`Server`].
#[derive(Debug)]
pub struct RequestBody(Incoming);

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.0).poll_frame(context).map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

impl Server {
    /// A server with default limits.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the time limits.
    #[must_use]
    pub const fn with_timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// Sets how many connections are served at one time.
    #[must_use]
    pub const fn with_max_connections(mut self, connections: usize) -> Self {
        self.max_connections = connections;
        self
    }

    /// Accepts connections until `shutdown` resolves, then lets the requests that are being answered
    /// finish. Whatever runs beyond [`Timeouts::shutdown`] is cut off. To be called in a tokio runtime
    /// with its I/O and timer.
    ///
    /// # Errors
    /// When the listener cannot be used.
    ///
    /// # Cancel safety
    /// All connections end with the future.
    pub async fn serve<S>(
        &self,
        listener: TcpListener,
        service: S,
        shutdown: impl Future<Output = ()>,
    ) -> io::Result<()>
    where
        S: Service<Request<RequestBody>, Response = Response<ResponseBody>, Error = Infallible>
            + Clone
            + Send
            + 'static,
        S::Future: Send,
    {
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let graceful = GracefulShutdown::new();
        let builder = self.builder();
        let mut shutdown = std::pin::pin!(shutdown);
        let mut connections = JoinSet::new();
        let files = Files::default();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept(), if connections.len() < self.max_connections => accepted,
                Some(_) = connections.join_next() => continue,
                () = &mut shutdown => break,
            };
            match accepted {
                Ok((stream, address)) => {
                    let service = AtAddress {
                        service: service.clone(),
                        address: ClientAddress(address.ip()),
                    };
                    let connection = Connection {
                        builder: builder.clone(),
                        timeouts: self.timeouts,
                        watcher: graceful.watcher(),
                        files: Files::clone(&files),
                    };
                    connections.spawn(connection.serve(stream, service));
                }
                Err(error) => {
                    // Out of file handles, say: others must end before this can go on.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
        drop(listener);
        tokio::select! {
            () = graceful.shutdown() => {}
            () = tokio::time::sleep(self.timeouts.shutdown) => {
                tracing::warn!("some requests did not finish in time and are cut off");
            }
        }
        connections.shutdown().await;
        Ok(())
    }

    fn builder(&self) -> Builder<TokioExecutor> {
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .max_buf_size(READ_BUFFER)
            .header_read_timeout(self.timeouts.head);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS)
            .keep_alive_interval(self.timeouts.head)
            .keep_alive_timeout(self.timeouts.head);
        builder
    }
}

/// A service that is told from where its requests come.
#[derive(Clone)]
struct AtAddress<S> {
    service: S,
    address: ClientAddress,
}

struct Connection {
    builder: Builder<TokioExecutor>,
    timeouts: Timeouts,
    watcher: Watcher,
    files: Files,
}

impl Connection {
    async fn serve<S>(self, stream: TcpStream, at: AtAddress<S>)
    where
        S: Service<Request<RequestBody>, Response = Response<ResponseBody>, Error = Infallible>
            + Clone
            + Send
            + 'static,
        S::Future: Send,
    {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "the connection is gone already");
            return;
        }
        let shared = Shared::new(self.files);
        let io = TokioIo::new(Socket::new(stream, shared.clone(), self.timeouts));
        let followed = shared.clone();
        let service = hyper::service::service_fn(move |request: Request<Incoming>| {
            let mut request = request.map(RequestBody);
            request.extensions_mut().insert(at.address);
            let answering = at.service.clone().call(request);
            let followed = followed.clone();
            async move {
                let Ok(response) = answering.await;
                Ok::<_, Infallible>(response.map(|body| followed.follow(body)))
            }
        });
        let connection = self
            .watcher
            .watch(self.builder.serve_connection(io, service).into_owned());
        let mut connection = std::pin::pin!(connection);
        loop {
            tokio::select! {
                outcome = &mut connection => {
                    if let Err(error) = outcome {
                        tracing::debug!(error, "a connection ended early");
                    }
                    return;
                }
                () = tokio::time::sleep(self.timeouts.write * PATIENCE) => {
                    if shared.is_stalled() {
                        tracing::debug!("a client has stopped taking its answers");
                        return;
                    }
                }
            }
        }
    }
}
