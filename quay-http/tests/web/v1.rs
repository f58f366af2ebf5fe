//! Docker's first registry protocol, as old clients speak it.

use quay_core::metadata::Visibility;
use serde_json::{Value, json};
use sqlx::Row as _;

use crate::support::{HOST, Host, Seen, basic, password};

const APP: &str = "/v1/repositories/alice/app";

/// What a client keeps between requests.
#[derive(Default)]
struct Client {
    authorization: String,
    cookie: String,
}

impl Client {
    fn of(user: &str) -> Self {
        Self {
            authorization: basic(user, &password(user)).1,
            cookie: String::new(),
        }
    }

    async fn ask(
        &mut self,
        host: &Host,
        method: &str,
        path: &str,
        more: &[(&str, &str)],
        body: &str,
    ) -> Seen {
        let mut headers = more.to_vec();
        if !self.authorization.is_empty() {
            headers.push(("authorization", &self.authorization));
        }
        if !self.cookie.is_empty() {
            headers.push(("cookie", &self.cookie));
        }
        let seen = host.ask(method, path, &headers, body).await;
        if !seen.header("set-cookie").is_empty() {
            self.cookie = seen.cookie();
        }
        seen
    }

    /// Begins a push or pull, and goes on with the token that comes of it.
    async fn begin(&mut self, host: &Host, method: &str, path: &str) -> Seen {
        let seen = self
            .ask(host, method, path, &[("x-docker-token", "true")], "")
            .await;
        if !seen.header("x-docker-token").is_empty() {
            self.authorization = format!("Token {}", seen.header("x-docker-token"));
        }
        seen
    }

    async fn put(&mut self, host: &Host, path: &str, body: &str) -> u16 {
        self.ask(host, "PUT", path, &[], body).await.status.as_u16()
    }
}

fn id(digit: char) -> String {
    String::from(digit).repeat(64)
}

fn description(digit: char, parent: Option<char>) -> String {
    let mut says = json!({ "id": id(digit), "container_config": { "Cmd": ["run"] } });
    if let Some(parent) = parent {
        says["parent"] = id(parent).into();
    }
    says.to_string()
}

fn sha256(content: &str) -> String {
    use quay_core::{Algorithm, Digest};

    Digest::of(Algorithm::Sha256, content.as_bytes()).to_string()
}

/// Pushes an image of two.
async fn push(host: &Host, client: &mut Client) {
    let seen = client.begin(host, "PUT", &format!("{APP}/")).await;
    assert_eq!(
        (seen.status.as_u16(), seen.header("x-docker-endpoints")),
        (201, HOST),
        "{seen:?}"
    );
    assert!(seen.header("www-authenticate").starts_with("sigv2="));
    for (digit, parent) in [('1', None), ('2', Some('1'))] {
        let image = format!("/v1/images/{}", id(digit));
        let (says, layer) = (description(digit, parent), format!("layer {digit}"));
        assert_eq!(client.put(host, &format!("{image}/json"), &says).await, 200);
        assert_eq!(client.put(host, &format!("{image}/layer"), &layer).await, 200);
        let checksum = sha256(&format!("{says}\n{layer}"));
        let headers = [
            ("x-docker-checksum", "tarsum+sha256:ab"),
            ("x-docker-checksum-payload", checksum.as_str()),
        ];
        let seen = client
            .ask(host, "PUT", &format!("{image}/checksum"), &headers, "")
            .await;
        assert_eq!(
            (seen.status.as_u16(), seen.text().as_str()),
            (200, "true"),
            "{seen:?}"
        );
    }
    let tag = format!("\"{}\"", id('2'));
    assert_eq!(client.put(host, &format!("{APP}/tags/latest"), &tag).await, 200);
    assert_eq!(client.put(host, &format!("{APP}/images"), "[]").await, 204);
}

async fn logged(host: &Host, kind: &'static str) -> Vec<Value> {
    let mut connection = host.sql().await;
    let rows = sqlx::query("SELECT metadata FROM qr_log WHERE kind = ? ORDER BY id").bind(kind);
    let rows = rows.fetch_all(&mut connection).await.unwrap();
    rows.iter()
        .map(|row| serde_json::from_str(row.get::<&str, _>(0)).unwrap())
        .collect()
}

#[tokio::test]
async fn what_is_pushed_can_be_pulled() {
    let host = Host::new().await;
    let mut pusher = Client::of("alice");
    push(&host, &mut pusher).await;
    let logs = logged(&host, "push_repo").await;
    assert_eq!((logs.len(), &logs[0]["tag"]), (1, &json!("latest")));

    // By the second protocol it is a signed manifest of schema 1.
    let token = host
        .token_of("alice", &["repository:alice/app:pull"])
        .await
        .token();
    let bearer = format!("Bearer {token}");
    let seen = host
        .ask(
            "GET",
            "/v2/alice/app/manifests/latest",
            &[("authorization", &bearer)],
            "",
        )
        .await;
    assert_eq!(
        seen.header("content-type"),
        "application/vnd.docker.distribution.manifest.v1+prettyjws"
    );
    assert_eq!(
        seen.json()["fsLayers"],
        json!([{ "blobSum": sha256("layer 2") }, { "blobSum": sha256("layer 1") }])
    );

    // By a client with a token, and by one that logs in each time and brings its cookie along.
    for with_token in [true, false] {
        let mut client = Client::of("alice");
        let seen = if with_token {
            let seen = client.begin(&host, "GET", &format!("{APP}/images")).await;
            let again = client
                .ask(
                    &host,
                    "GET",
                    &format!("{APP}/images"),
                    &[("x-docker-token", "true")],
                    "",
                )
                .await;
            assert_eq!(again.status, 200);
            assert!(
                again.header("x-docker-token").is_empty(),
                "a token does not renew itself"
            );
            client.cookie.clear();
            seen
        } else {
            let seen = client.ask(&host, "GET", &format!("{APP}/images"), &[], "").await;
            assert!(seen.header("x-docker-token").is_empty());
            seen
        };
        assert_eq!((seen.status.as_u16(), seen.json()), (200, json!([])), "{seen:?}");
        let tags = client.ask(&host, "GET", &format!("{APP}/tags"), &[], "").await;
        assert_eq!(tags.json(), json!({ "latest": id('2') }), "{}", tags.text());
        let tag = client
            .ask(&host, "GET", &format!("{APP}/tags/latest"), &[], "")
            .await;
        assert_eq!(tag.json(), json!(id('2')));
        let image = format!("/v1/images/{}", id('2'));
        let seen = client
            .ask(&host, "GET", &format!("{image}/ancestry"), &[], "")
            .await;
        assert_eq!(seen.json(), json!([id('2'), id('1')]), "{seen:?}");
        let seen = client.ask(&host, "GET", &format!("{image}/json"), &[], "").await;
        assert_eq!(seen.text(), description('2', Some('1')));
        let path = format!("{image}/layer");
        let seen = client.ask(&host, "GET", &path, &[], "").await;
        assert_eq!((seen.status.as_u16(), seen.text().as_str()), (200, "layer 2"));
        let seen = client.ask(&host, "HEAD", &path, &[], "").await;
        assert_eq!(
            (
                seen.status.as_u16(),
                seen.header("content-length"),
                seen.body.len()
            ),
            (200, "7", 0)
        );
        let seen = client
            .ask(&host, "GET", &path, &[("if-modified-since", "yesterday")], "")
            .await;
        assert_eq!(seen.status, 304);
        for (path, status) in [
            (format!("/v1/images/{}/json", id('3')), 404),
            ("/v1/images/a.b/json".to_owned(), 404),
        ] {
            assert_eq!(
                client.ask(&host, "GET", &path, &[], "").await.status,
                status,
                "{path}"
            );
        }
    }
    let pulls = logged(&host, "pull_repo").await;
    let by_v1 = pulls.iter().filter(|pull| pull.get("tag").is_none());
    assert_eq!(by_v1.count(), 3, "{pulls:?}");
}

#[tokio::test]
async fn a_second_push_builds_upon_what_is_there() {
    let host = Host::new().await;
    push(&host, &mut Client::of("alice")).await;
    let mut again = Client::of("alice");
    again.begin(&host, "PUT", &format!("{APP}/")).await;
    let image = format!("/v1/images/{}", id('3'));
    assert_eq!(
        again
            .put(&host, &format!("{image}/json"), &description('3', Some('2')))
            .await,
        200
    );
    assert_eq!(again.put(&host, &format!("{image}/layer"), "layer 3").await, 200);
    assert_eq!(
        again
            .put(&host, &format!("{APP}/tags/new"), &format!("\"{}\"", id('3')))
            .await,
        200
    );
    // And a tag moves to what is there already.
    assert_eq!(
        again
            .put(&host, &format!("{APP}/tags/old"), &format!("\"{}\"", id('1')))
            .await,
        200
    );
    let seen = again
        .ask(&host, "GET", &format!("{image}/ancestry"), &[], "")
        .await;
    assert_eq!(seen.json(), json!([id('3'), id('2'), id('1')]));
    let seen = again
        .ask(&host, "DELETE", &format!("{APP}/tags/latest"), &[], "")
        .await;
    assert_eq!(seen.status, 200);
    let tags = again.ask(&host, "GET", &format!("{APP}/tags"), &[], "").await;
    assert_eq!(tags.json(), json!({ "new": id('3'), "old": id('1') }));
    assert_eq!(logged(&host, "delete_tag").await.len(), 1);
}

#[tokio::test]
async fn who_may_not_is_answered_403() {
    let host = Host::new().await;
    push(&host, &mut Client::of("alice")).await;
    host.repository("alice", "alice/open", Visibility::Public).await;
    for (mut client, what) in [(Client::of("bob"), "bob"), (Client::default(), "nobody")] {
        for (method, path) in [
            ("GET", format!("{APP}/images")),
            ("GET", format!("{APP}/tags")),
            ("GET", format!("{APP}/tags/latest")),
            ("PUT", format!("{APP}/tags/latest")),
            ("DELETE", format!("{APP}/tags/latest")),
            ("PUT", format!("{APP}/images")),
            ("GET", "/v1/repositories/alice/none/tags".to_owned()),
        ] {
            let seen = client
                .ask(&host, method, &path, &[("x-docker-token", "true")], "\"a\"")
                .await;
            assert_eq!(seen.status, 403, "{what} {method} {path}: {}", seen.text());
            assert!(seen.json()["error"].is_string());
            assert!(seen.header("x-docker-token").is_empty());
        }
        let status = if what == "bob" { 403 } else { 401 };
        for path in [format!("{APP}/"), "/v1/repositories/alice/none/".to_owned()] {
            assert_eq!(client.put(&host, &path, "").await, status, "{what} {path}");
        }
        // What one has been told of one repository opens no other.
        let seen = client
            .ask(&host, "GET", "/v1/repositories/alice/open/images", &[], "")
            .await;
        assert_eq!(seen.status, 200);
        assert_eq!(
            client
                .ask(&host, "GET", &format!("/v1/images/{}/json", id('1')), &[], "")
                .await
                .status,
            404
        );
    }
    for authorization in ["Basic YWxpY2U6d3Jvbmc=", "Token sigv2=no", "Token x", "Bearer x"] {
        let mut client = Client {
            authorization: authorization.to_owned(),
            cookie: String::new(),
        };
        let seen = client.ask(&host, "GET", &format!("{APP}/tags"), &[], "").await;
        assert_eq!(seen.status, 401, "{authorization}");
        assert!(seen.header("www-authenticate").starts_with("Basic "));
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_push_is_told() {
    let host = Host::new().await;
    let mut client = Client::of("alice");
    let image = format!("/v1/images/{}", id('1'));
    let json = format!("{image}/json");
    // No push is in progress.
    assert_eq!(client.put(&host, &json, &description('1', None)).await, 404);
    client.begin(&host, "PUT", &format!("{APP}/")).await;
    assert_eq!(client.put(&host, &format!("{image}/layer"), "layer").await, 400);
    for (body, why) in [
        ("nothing".to_owned(), "no JSON"),
        ("[]".to_owned(), "no object"),
        ("{}".to_owned(), "no id"),
        (description('2', None), "another id"),
        (description('1', Some('9')), "no such parent"),
        (
            description('1', None).replace("\"container_config\"", "\"parent\":5,\"x\""),
            "no parent",
        ),
        ("x".repeat((1 << 20) + 1), "too long"),
    ] {
        let status = client.put(&host, &json, &body).await;
        assert_eq!(status, if why == "too long" { 413 } else { 400 }, "{why}");
    }
    assert_eq!(client.put(&host, &json, &description('1', None)).await, 200);
    let tag = format!("{APP}/tags/latest");
    let own = format!("\"{}\"", id('1'));
    assert_eq!(client.put(&host, &tag, &own).await, 400, "there is no layer yet");
    assert_eq!(
        client
            .put(&host, &format!("/v1/images/{}/layer", id('2')), "layer")
            .await,
        404
    );
    assert_eq!(client.put(&host, &format!("{image}/checksum"), "").await, 400);
    assert_eq!(client.put(&host, &format!("{image}/layer"), "layer").await, 200);
    for (header, status) in [
        ("sha256:00", 400),
        (&*sha256(&format!("{}\nlayer", description('1', None))), 200),
    ] {
        let headers = [("x-docker-checksum", header)];
        let seen = client
            .ask(&host, "PUT", &format!("{image}/checksum"), &headers, "")
            .await;
        assert_eq!(seen.status, status, "{header}");
    }
    assert_eq!(client.put(&host, &tag, "latest").await, 400);
    assert_eq!(client.put(&host, &tag, &format!("\"{}\"", id('7'))).await, 404);
    assert_eq!(client.put(&host, &format!("{APP}/tags/.bad"), &own).await, 400);
    // What was pushed to one repository is no part of another.
    host.repository("alice", "alice/other", Visibility::Private).await;
    let token = std::mem::replace(&mut client.authorization, basic("alice", &password("alice")).1);
    let other = "/v1/repositories/alice/other/tags/latest";
    assert_eq!(client.put(&host, other, &own).await, 400);
    client.authorization = token;
    assert_eq!(client.put(&host, &tag, &own).await, 200);
    for (method, path, status) in [
        ("DELETE", format!("{APP}/images"), 501),
        ("PUT", format!("{APP}/auth"), 501),
        ("POST", tag, 405),
        ("GET", "/v1/nothing".to_owned(), 404),
        ("DELETE", format!("{APP}/tags/none"), 404),
        ("PUT", "/v1/repositories/Alice/app/".to_owned(), 400),
    ] {
        assert_eq!(
            client.ask(&host, method, &path, &[], "").await.status,
            status,
            "{method} {path}"
        );
    }
}

#[tokio::test]
async fn logins_and_pings() {
    let host = Host::new().await;
    let seen = host.get("/v1/_ping").await;
    assert_eq!((seen.status.as_u16(), seen.text().as_str()), (200, "true"));
    assert_eq!(seen.header("x-docker-registry-version"), "0.6.0");
    assert_eq!(seen.header("x-docker-registry-standalone"), "0");
    let login = |secret: &str| json!({ "username": "alice", "password": secret, "email": "a@b" }).to_string();
    let seen = host
        .ask("POST", "/v1/users/", &[], &login(&password("alice")))
        .await;
    assert_eq!(
        (seen.status.as_u16(), seen.text().as_str()),
        (400, "\"Username or email already exists\"")
    );
    let seen = host.ask("POST", "/v1/users", &[], &login("wrong")).await;
    assert_eq!(seen.status, 400);
    assert!(seen.json()["error"].is_string());
    assert_eq!(host.ask("POST", "/v1/users", &[], "{}").await.status, 400);
    // Who has failed waits a little.
    host.clock.advance(std::time::Duration::from_secs(1));
    let mut alice = Client::of("alice");
    let seen = alice.ask(&host, "GET", "/v1/users/", &[], "").await;
    assert_eq!(
        (seen.status.as_u16(), seen.json()),
        (200, json!({ "username": "alice", "email": null }))
    );
    assert_eq!(host.get("/v1/users").await.status, 404);
    assert_eq!(alice.put(&host, "/v1/users/alice/", "{}").await, 403);
}

/// Tags that point at no image are passed over, a whole page of them, too.
#[tokio::test]
async fn tags_are_listed_over_pages() {
    let host = Host::new().await;
    push(&host, &mut Client::of("alice")).await;
    let token = host
        .token_of("alice", &["repository:alice/app:pull,push"])
        .await
        .token();
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str())];
    let config = "{}";
    let path = format!("/v2/alice/app/blobs/uploads/?digest={}", sha256(config));
    assert_eq!(host.ask("POST", &path, &headers, config).await.status, 201);
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let artifact = json!({
        "schemaVersion": 2, "mediaType": media_type, "layers": [],
        "config": { "mediaType": "application/vnd.example", "digest": sha256(config), "size": 2 },
    })
    .to_string();
    for number in 0..120 {
        let path = format!("/v2/alice/app/manifests/a{number:03}");
        let headers = [headers[0], ("content-type", media_type)];
        assert_eq!(host.ask("PUT", &path, &headers, &artifact).await.status, 201);
    }
    let mut client = Client::of("alice");
    let seen = client.ask(&host, "GET", &format!("{APP}/tags"), &[], "").await;
    assert_eq!(seen.json(), json!({ "latest": id('2') }), "{}", seen.text());
    let seen = client
        .ask(&host, "DELETE", &format!("{APP}/tags/latest"), &[], "")
        .await;
    assert_eq!(seen.status, 200);
    let seen = client.ask(&host, "GET", &format!("{APP}/tags"), &[], "").await;
    assert_eq!(seen.text(), "{}");
}
