//! A registry with accounts: tokens issued, and pulls with one.

use std::io::Result;
use std::path::Path;

use base64::Engine as _;
use serde_json::{Value, json};

use super::busy;
use crate::round::{Unit, alternate, print};
use crate::server::{Kind, Server};
use benches::content::{ACCEPT, Image, digest as digest_of};
use benches::wire::{Connection, failed};

const CONNECTIONS: usize = 16;
const NAME: &str = "bench/app";
const PASSWORD: &str = "correct-horse";
const CONFIG: &str =
    "FEATURE_USER_INITIALIZE: true\nSECRET_KEY: bench secret\nDATABASE_SECRET_KEY: bench secret\n";

/// What a client knows of a server.
struct Login {
    password: String,
    robot: String,
    token: String,
}

async fn api(
    connection: &mut Connection,
    token: &str,
    method: &str,
    path: &str,
    content: &Value,
) -> Result<Value> {
    let headers = format!("authorization: Bearer {token}\r\ncontent-type: application/json\r\n");
    let path = format!("/api/v1{path}");
    let content = content.to_string();
    let (_, body) = connection
        .ask(method, &path, &headers, content.as_bytes(), &[200, 201])
        .await?;
    Ok(serde_json::from_slice(&body)?)
}

fn basic(user: &str, password: &str) -> String {
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    format!("authorization: Basic {pair}\r\n")
}

fn text(value: &Value) -> Result<String> {
    let text = value.as_str().map(ToOwned::to_owned);
    text.ok_or_else(|| failed(format!("{value} is no text")))
}

/// Where a token to pull and push is asked for.
fn token_path(server: &Server) -> String {
    format!(
        "/v2/auth?service={}&scope=repository:{NAME}:pull,push",
        server.address
    )
}

async fn issue(connection: &mut Connection, path: &str, login: &str) -> Result<String> {
    let (_, body) = connection.ask("GET", path, login, b"", &[200]).await?;
    let answer: Value = serde_json::from_slice(&body)?;
    text(&answer["token"])
}

/// Makes a user, an organization with a robot, and a repository with a small image.
async fn seed(server: &Server, image: &Image) -> Result<Login> {
    let mut connection = server.connect().await?;
    let user = json!({ "username": "admin", "password": PASSWORD, "access_token": true });
    let (_, body) = connection
        .ask(
            "POST",
            "/api/v1/user/initialize",
            "content-type: application/json\r\n",
            user.to_string().as_bytes(),
            &[200],
        )
        .await?;
    let made: Value = serde_json::from_slice(&body)?;
    let token = text(&made["access_token"])?;
    let organization = json!({ "name": "bench", "email": "bench@example.com" });
    api(&mut connection, &token, "POST", "/organization/", &organization).await?;
    let robot = api(
        &mut connection,
        &token,
        "PUT",
        "/organization/bench/robots/ci",
        &json!({}),
    )
    .await?;
    let password = basic("admin", PASSWORD);
    let bearer = issue(&mut connection, &token_path(server), &password).await?;
    let bearer = format!("authorization: Bearer {bearer}\r\n");
    for (digest, content) in &image.blobs {
        let path = format!("/v2/{NAME}/blobs/uploads/?digest={digest}");
        connection.ask("POST", &path, &bearer, content, &[201]).await?;
    }
    let path = format!("/v2/{NAME}/manifests/latest");
    let headers = format!("{bearer}{}", benches::content::CONTENT_TYPE);
    connection
        .ask("PUT", &path, &headers, &image.manifest, &[201])
        .await?;
    let grant = format!("/repository/{NAME}/permissions/user/bench+ci");
    api(
        &mut connection,
        &token,
        "PUT",
        &grant,
        &json!({ "role": "write" }),
    )
    .await?;
    Ok(Login {
        robot: basic("bench+ci", &text(&robot["token"])?),
        password,
        token: bearer,
    })
}

pub(crate) async fn tokens_and_pulls(
    rounds: usize,
    program: &Path,
    place: &Path,
    postgres: Option<(&str, u32)>,
) -> Result<()> {
    let mut kinds = vec![
        ("accounts", String::new(), None),
        (
            "accounts, log not awaited",
            "ALLOW_PULLS_WITHOUT_STRICT_LOGGING: true\n".to_owned(),
            None,
        ),
    ];
    if let Some((uri, database)) = postgres {
        kinds.push(("accounts/postgres", format!("DB_URI: {uri}\n"), Some(database)));
    }
    let image = Image::new(77);
    let mut servers = Vec::new();
    let mut logins = Vec::new();
    for (name, more, database) in kinds {
        let kind = Kind::OursWithAccounts {
            program: program.to_owned(),
            config: format!("{CONFIG}{more}"),
            database,
            name,
        };
        let server = Server::start(&kind, place).await?;
        logins.push(seed(&server, &image).await?);
        servers.push(server);
    }
    let servers: Vec<&Server> = servers.iter().collect();
    let login = |server: &Server| {
        let index = servers.iter().position(|known| known.label == server.label);
        index
            .and_then(|index| logins.get(index))
            .ok_or_else(|| failed("a server that was not seeded"))
    };
    for (who, of) in [
        ("a user", (|login| &login.password) as fn(&Login) -> &String),
        ("a robot", |login| &login.robot),
    ] {
        let samples = alternate(rounds, &servers, async |server, _| {
            let header = of(login(server)?);
            let path = token_path(server);
            busy(server, CONNECTIONS, async |connection, _, _| {
                issue(connection, &path, header).await.map(drop)
            })
            .await
        })
        .await?;
        let row = format!("token for {who}, {CONNECTIONS} connections");
        print(&row, Unit::Requests, &servers, &samples);
    }
    let path = format!("/v2/{NAME}/manifests/latest");
    let samples = alternate(rounds, &servers, async |server, _| {
        let headers = format!("{}{ACCEPT}", login(server)?.token);
        busy(server, CONNECTIONS, async |connection, _, _| {
            let (_, body) = connection.ask("GET", &path, &headers, b"", &[200]).await?;
            if digest_of(&body) == image.digest {
                Ok(())
            } else {
                Err(failed("another manifest"))
            }
        })
        .await
    })
    .await?;
    let row = format!("manifest GET with a token, {CONNECTIONS} connections");
    print(&row, Unit::Requests, &servers, &samples);
    Ok(())
}
