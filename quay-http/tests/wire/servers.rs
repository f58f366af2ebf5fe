//! The service on real connections: hyper with HTTP/1.1 and HTTP/2, inside axum, with clients that stop.

use std::net::SocketAddr;
use std::time::Duration;

use crate::support::{Api, sha256};
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use quay_core::auth::AllowAll;
use quay_core::registry::Options;
use quay_http::{RegistryService, Server, Settings, Timeouts};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// A server on a free port that ends with the sender.
fn serve(
    service: RegistryService,
    timeouts: Timeouts,
) -> (SocketAddr, oneshot::Sender<()>, tokio::task::JoinHandle<()>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let server = tokio::task::spawn(async move {
        let stopped = async move {
            let _ = stopped.await;
        };
        Server::new()
            .with_timeouts(timeouts)
            .serve(listener, service, stopped)
            .await
            .unwrap();
    });
    (address, stop, server)
}

async fn ask(
    client: &Client<hyper_util::client::legacy::connect::HttpConnector, Full<Bytes>>,
    method: &str,
    uri: String,
    body: &Bytes,
) -> (StatusCode, http::Version, Bytes) {
    let request = Request::builder()
        .method(method)
        .uri(uri)
        .body(Full::new(body.clone()))
        .unwrap();
    let response = client.request(request).await.unwrap();
    let (status, version) = (response.status(), response.version());
    (
        status,
        version,
        response.into_body().collect().await.unwrap().to_bytes(),
    )
}

#[tokio::test]
async fn http_1_and_http_2_on_one_port() {
    let (address, stop, server) = serve(Api::open().0, Timeouts::default());
    let content: Bytes = vec![7_u8; 3 << 20].into();
    let digest = sha256(&content);
    for http2 in [false, true] {
        let client = Client::builder(TokioExecutor::new())
            .http2_only(http2)
            .build_http();
        let upload = format!("http://{address}/v2/org/app/blobs/uploads/?digest={digest}");
        let (status, version, _) = ask(&client, "POST", upload, &content).await;
        assert_eq!(status, 201);
        assert_eq!(version == http::Version::HTTP_2, http2);
        let blob = format!("http://{address}/v2/org/app/blobs/{digest}");
        let (status, _, body) = ask(&client, "GET", blob, &Bytes::new()).await;
        assert!(status == 200 && body == content);
    }
    drop(stop);
    server.await.unwrap();
}

#[tokio::test]
async fn nested_in_an_axum_application() {
    let service = Api::open().0;
    let application = axum::Router::new()
        .route("/hello", axum::routing::get(|| async { "hello" }))
        .route_service("/v2/", service.clone())
        .route_service("/v2/{*rest}", service);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::task::spawn(async move { axum::serve(listener, application).await.unwrap() });
    let client = Client::builder(TokioExecutor::new()).build_http();
    let content = Bytes::from_static(b"content");
    let digest = sha256(&content);
    let (status, ..) = ask(&client, "GET", format!("http://{address}/v2/"), &Bytes::new()).await;
    assert_eq!(status, 200);
    let upload = format!("http://{address}/v2/org/app/blobs/uploads/?digest={digest}");
    let (status, ..) = ask(&client, "POST", upload, &content).await;
    assert_eq!(status, 201);
    let (_, _, body) = ask(
        &client,
        "GET",
        format!("http://{address}/v2/org/app/blobs/{digest}"),
        &Bytes::new(),
    )
    .await;
    assert_eq!(body, content);
    let (_, _, body) = ask(&client, "GET", format!("http://{address}/hello"), &Bytes::new()).await;
    assert_eq!(body, "hello");
    server.abort();
}

fn short() -> Timeouts {
    let mut timeouts = Timeouts::default();
    timeouts.head = Duration::from_millis(200);
    timeouts.write = Duration::from_millis(200);
    timeouts
}

#[tokio::test]
async fn a_client_that_stops_sending_is_let_go_and_can_resume() {
    let registry = crate::support::registry(Options::default(), std::sync::Arc::new(AllowAll));
    let settings = Settings::default().with_body_idle(Duration::from_millis(200));
    let api = Api(RegistryService::new(registry, settings));
    let upload = api.begin("org/app").await;
    let (address, _stop, _server) = serve(api.0.clone(), short());
    let mut connection = TcpStream::connect(address).await.unwrap();
    let head = format!("PATCH {upload} HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\nhello");
    connection.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    let status = api.get(&upload).await;
    assert_eq!(status.header("range"), "0-4", "what came is kept");
    let put = format!("{upload}?digest={}", sha256(b"hello world"));
    let done = api.ask(http::Method::PUT, &put, &[], " world").await;
    assert_eq!(done.status, 201, "{done:?}");
}

#[tokio::test]
async fn a_head_that_never_ends_is_cut_off() {
    let (address, _stop, _server) = serve(Api::open().0, short());
    let mut connection = TcpStream::connect(address).await.unwrap();
    connection.write_all(b"GET /v2/ HTTP/1.1\r\nx: ").await.unwrap();
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).await.unwrap();
}

#[tokio::test]
async fn a_client_that_stops_reading_is_let_go() {
    let api = Api::open();
    let content: Bytes = vec![7_u8; 64 << 20].into();
    let digest = sha256(&content);
    let path = format!("/v2/org/app/blobs/uploads/?digest={digest}");
    assert_eq!(api.ask(http::Method::POST, &path, &[], content).await.status, 201);
    let (address, stop, server) = serve(api.0, short());
    let mut connection = TcpStream::connect(address).await.unwrap();
    let head = format!("GET /v2/org/app/blobs/{digest} HTTP/1.1\r\nhost: x\r\n\r\n");
    connection.write_all(head.as_bytes()).await.unwrap();
    let mut first = [0; 15];
    connection.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200 OK");
    // Nothing more is read. The server ends all the same, long before its limit for that.
    drop(stop);
    tokio::time::timeout(Duration::from_secs(20), server)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn a_truncated_body_is_not_published() {
    let api = Api::open();
    let (address, stop, server) = serve(api.0.clone(), Timeouts::default());
    let digest = sha256(b"hello");
    let mut connection = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /v2/org/app/blobs/uploads/?digest={digest} HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhel"
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    connection.shutdown().await.unwrap();
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).await.unwrap();
    drop(stop);
    server.await.unwrap();
    let seen = api.get(&format!("/v2/org/app/blobs/{digest}")).await;
    assert_eq!(seen.status, 404);
}

#[tokio::test]
async fn a_client_that_never_speaks_is_let_go() {
    let (address, _stop, _server) = serve(Api::open().0, short());
    for said in [&b""[..], b"PRI * HTTP/2.0"] {
        let mut connection = TcpStream::connect(address).await.unwrap();
        connection.write_all(said).await.unwrap();
        let mut rest = Vec::new();
        // An end or an error, but not for ever.
        let _ = connection.read_to_end(&mut rest).await;
    }
}

#[tokio::test]
async fn an_http_2_client_that_takes_nothing_is_let_go() {
    let api = Api::open();
    let content: Bytes = vec![7_u8; 4 << 20].into();
    let digest = sha256(&content);
    let path = format!("/v2/org/app/blobs/uploads/?digest={digest}");
    assert_eq!(api.ask(http::Method::POST, &path, &[], content).await.status, 201);
    let (address, _stop, _server) = serve(api.0, short());
    let stream = TcpStream::connect(address).await.unwrap();
    // Answers pings by itself, and opens no window beyond the first.
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), hyper_util::rt::TokioIo::new(stream))
            .await
            .unwrap();
    let connection = tokio::task::spawn(connection);
    let request = Request::get(format!("http://{address}/v2/org/app/blobs/{digest}"))
        .body(Full::<Bytes>::default())
        .unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), 200);
    let _ = tokio::time::timeout(Duration::from_secs(20), connection)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_refusal_is_read_by_a_client_that_is_still_sending() {
    let api = Api::open();
    let upload = api.begin("org/app").await;
    let (address, _stop, _server) = serve(api.0.clone(), Timeouts::default());
    let mut connection = TcpStream::connect(address).await.unwrap();
    let length = 32 << 20;
    let head = format!(
        "PATCH {upload} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-range: 5-{}\r\ncontent-length: {length}\r\n\r\n",
        length + 4
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    connection.write_all(&vec![0; length]).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 416"), "{answer}");
}

#[tokio::test]
async fn requests_that_outlive_the_shutdown_are_cut_off() {
    let api = Api::open();
    let mut timeouts = Timeouts::default();
    timeouts.shutdown = Duration::from_millis(200);
    let upload = api.begin("org/app").await;
    let (address, stop, server) = serve(api.0.clone(), timeouts);
    let mut connection = TcpStream::connect(address).await.unwrap();
    let head =
        format!("PATCH {upload} HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 1000\r\n\r\n");
    connection.write_all(head.as_bytes()).await.unwrap();
    let mut go_on = [0; 25];
    connection.read_exact(&mut go_on).await.unwrap();
    drop(stop);
    tokio::time::timeout(Duration::from_secs(20), server)
        .await
        .unwrap()
        .unwrap();
}
