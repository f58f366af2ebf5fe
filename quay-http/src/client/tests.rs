use std::sync::Mutex;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

/// A server that answers each connection with the next text, and keeps what it was asked.
struct Server {
    port: u16,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start(answers: Vec<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&seen);
        tokio::runtime::Handle::current().spawn(async move {
            for answer in answers {
                let (mut connection, _) = listener.accept().await.unwrap();
                let mut request = Vec::new();
                while !is_complete(&request) {
                    if connection.read_buf(&mut request).await.unwrap() == 0 {
                        break;
                    }
                }
                kept.lock().unwrap().push(String::from_utf8(request).unwrap());
                connection.write_all(answer.as_bytes()).await.unwrap();
            }
            // What comes now is never answered.
            let mut open = Vec::new();
            while let Ok(connection) = listener.accept().await {
                open.push(connection);
            }
        });
        Self { port, seen }
    }

    fn url(&self, host: &str, path: &str) -> String {
        format!("http://{host}:{}{path}", self.port)
    }

    fn seen(&self) -> Vec<String> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }
}

fn is_complete(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    length.is_none_or(|length| body.len() >= length.parse().unwrap())
}

fn ok(body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\nx-a: b\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
}

fn redirect_to(status: u16, url: &str) -> String {
    format!("HTTP/1.1 {status} Moved\r\nlocation: {url}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
}

fn client(allowed: &[&str]) -> ReqwestClient {
    let client = ReqwestClient::new::<&str>([]).unwrap();
    client.with_private_targets_allowed(allowed).unwrap()
}

async fn kind_of(client: &ReqwestClient, request: HttpRequest) -> HttpErrorKind {
    client
        .send(request, &HttpLimits::default())
        .await
        .unwrap_err()
        .kind()
}

fn with_secrets(request: HttpRequest) -> HttpRequest {
    request
        .with_header("Authorization", "Bearer secret")
        .with_header("X-Api-Key", "secret")
        .with_header("Accept", "text/plain")
}

#[tokio::test]
async fn requests_and_responses() {
    let server = Server::start(vec![ok("hello"), ok("")]).await;
    let client = client(&["127.0.0.1"]);
    let limits = HttpLimits::default();
    let request = HttpRequest::get(server.url("127.0.0.1", "/a?b=c")).with_header("accept", "text/plain");
    let response = client.send(request, &limits).await.unwrap();
    assert_eq!((response.status, response.header("X-A")), (200, Some("b")));
    assert_eq!(&response.body[..], b"hello");
    let request = HttpRequest::post(server.url("127.0.0.1", "/"), "content");
    client.send(request, &limits).await.unwrap();
    let seen = server.seen();
    assert!(seen[0].starts_with("GET /a?b=c HTTP/1.1\r\n"), "{seen:?}");
    assert!(seen[0].contains("accept: text/plain\r\n"), "{seen:?}");
    assert!(seen[1].starts_with("POST / HTTP/1.1\r\n") && seen[1].ends_with("\r\n\r\ncontent"));
}

#[tokio::test]
async fn only_what_is_public_or_allowed_is_reached() {
    let server = Server::start(vec![]).await;
    let port = server.port;
    for host in [
        "127.0.0.1",
        "localhost",
        "LOCALHOST",
        "0x7f.1",
        "2130706433",
        "127.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "169.254.169.254",
        "0.0.0.0",
    ] {
        let request = HttpRequest::get(format!("http://{host}:{port}/"));
        let kind = kind_of(&client(&["other.example"]), request).await;
        assert_eq!(kind, HttpErrorKind::TargetRefused, "{host}");
    }
    // One name for a host does not allow the others.
    let request = HttpRequest::get(server.url("127.0.0.1", "/"));
    assert_eq!(
        kind_of(&client(&["localhost"]), request).await,
        HttpErrorKind::TargetRefused
    );
    assert_eq!(server.seen(), [""; 0]);
}

#[tokio::test]
async fn names_may_be_allowed() {
    let server = Server::start(vec![ok("hello")]).await;
    let request = HttpRequest::get(server.url("localhost", "/"));
    let response = client(&["LocalHost"]).send(request, &HttpLimits::default()).await;
    assert_eq!(response.unwrap().status, 200);
}

#[test]
fn hosts_are_compared_as_urls_have_them() {
    for (host, expected) in [
        ("Registry.Example", "registry.example"),
        ("::1", "[::1]"),
        ("[0:0::1]", "[::1]"),
        ("127.0.0.1", "127.0.0.1"),
        ("bücher.example", "xn--bcher-kva.example"),
    ] {
        assert_eq!(canonical(host), expected);
    }
}

#[tokio::test]
async fn what_is_no_request() {
    let client = client(&[]);
    let invalid = HttpErrorKind::InvalidRequest;
    for (url, expected) in [
        ("", invalid),
        ("/path", invalid),
        ("https://user@registry.example/", invalid),
        ("https://:secret@registry.example/", invalid),
        ("ftp://registry.example/", HttpErrorKind::TargetRefused),
        ("file:///etc/passwd", HttpErrorKind::TargetRefused),
    ] {
        assert_eq!(kind_of(&client, HttpRequest::get(url)).await, expected, "{url}");
    }
    for (name, value) in [("a b", "x"), ("a", "x\r\nb: c")] {
        let request = HttpRequest::get("https://registry.example/").with_header(name, value);
        assert_eq!(kind_of(&client, request).await, invalid, "{name}");
    }
    assert!(ReqwestClient::new(["no certificate"]).is_err());
}

#[tokio::test]
async fn too_much() {
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n8\r\n12345678\r\n8\r\n12345678\r\n";
    let server = Server::start(vec![ok("12345678"), ok("123456789"), chunked.to_owned()]).await;
    let client = client(&["127.0.0.1"]);
    let limits = HttpLimits::default().with_max_response_bytes(8);
    for expected in [None, Some(HttpErrorKind::TooLarge), Some(HttpErrorKind::TooLarge)] {
        let request = HttpRequest::get(server.url("127.0.0.1", "/"));
        let kind = client
            .send(request, &limits)
            .await
            .err()
            .map(|error| error.kind());
        assert_eq!(kind, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_server() {
    let server = Server::start(vec![]).await;
    let request = HttpRequest::get(server.url("127.0.0.1", "/?secret"));
    let error = client(&["127.0.0.1"])
        .send(request, &HttpLimits::default())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), HttpErrorKind::TimedOut);
    assert!(!error.to_string().contains("secret"), "{error}");
}

#[tokio::test]
async fn nobody_listens() {
    let port = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let request = HttpRequest::get(format!("http://127.0.0.1:{port}/"));
    let kind = kind_of(&client(&["127.0.0.1"]), request).await;
    assert_eq!(kind, HttpErrorKind::Unreachable);
}

#[tokio::test]
async fn redirects_are_followed_with_what_is_theirs() {
    let target = Server::start(vec![ok("there"), ok("there")]).await;
    let elsewhere = redirect_to(302, &target.url("localhost", "/b"));
    let server = Server::start(vec![redirect_to(301, "/a"), elsewhere]).await;
    let client = client(&["127.0.0.1", "localhost"]);
    let request = with_secrets(HttpRequest::get(server.url("127.0.0.1", "/")));
    let response = client.send(request, &HttpLimits::default()).await.unwrap();
    assert_eq!(&response.body[..], b"there");
    let seen = server.seen();
    assert!(seen[1].starts_with("GET /a ") && seen[1].contains("authorization: Bearer secret"));
    let seen = target.seen();
    assert!(
        seen[0].starts_with("GET /b ") && seen[0].contains("accept: text/plain"),
        "{seen:?}"
    );
    assert!(!seen[0].contains("secret"), "{seen:?}");

    // What was sent is not sent on to another host, but an answer elsewhere may be read.
    let sources = vec![
        redirect_to(303, &target.url("localhost", "/c")),
        redirect_to(307, &target.url("localhost", "/d")),
        redirect_to(308, "/e"),
        ok("kept"),
    ];
    let server = Server::start(sources).await;
    let request = || with_secrets(HttpRequest::post(server.url("127.0.0.1", "/"), "secret"));
    client.send(request(), &HttpLimits::default()).await.unwrap();
    let seen = target.seen();
    assert!(
        seen[0].starts_with("GET /c ") && !seen[0].contains("secret"),
        "{seen:?}"
    );
    assert_eq!(kind_of(&client, request()).await, HttpErrorKind::RedirectRefused);
    client.send(request(), &HttpLimits::default()).await.unwrap();
    assert!(server.seen().last().unwrap().ends_with("\r\n\r\nsecret"));
    assert_eq!(target.seen(), [""; 0]);
}

#[tokio::test]
async fn redirects_that_are_refused() {
    let target = Server::start(vec![ok("there")]).await;
    for (url, expected) in [
        (target.url("127.0.0.1", "/"), HttpErrorKind::TargetRefused),
        (
            "http://169.254.169.254/latest".to_owned(),
            HttpErrorKind::TargetRefused,
        ),
        ("file:///etc/passwd".to_owned(), HttpErrorKind::TargetRefused),
        ("http://[".to_owned(), HttpErrorKind::RedirectRefused),
    ] {
        let server = Server::start(vec![redirect_to(302, &url)]).await;
        let request = HttpRequest::get(server.url("localhost", "/"));
        assert_eq!(kind_of(&client(&["localhost"]), request).await, expected, "{url}");
    }
    assert_eq!(target.seen(), [""; 0]);
    for (limit, followed) in [(0, 1), (1, 2), (3, 4), (9, 4)] {
        let server = Server::start(vec![redirect_to(302, "/"); 8]).await;
        let request = HttpRequest::get(server.url("localhost", "/"));
        let limits = HttpLimits::default().with_max_redirects(limit);
        let error = client(&["localhost"]).send(request, &limits).await.unwrap_err();
        assert_eq!(error.kind(), HttpErrorKind::RedirectRefused);
        assert_eq!(server.seen().len(), followed, "{limit}");
    }
}
