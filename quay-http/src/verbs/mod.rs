//! Image verbs below `/c1` (registry-protocol, section 16): an image squashed into one layer, for `docker load`, or
//! converted into an App Container Image.

mod archive;
mod entries;
mod layer;
mod merge;

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::channel::mpsc;
use futures::executor::block_on;
use futures::future::BoxFuture;
use futures::{FutureExt as _, SinkExt as _, StreamExt as _};
use http::header::{ACCEPT, CONTENT_TYPE};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use percent_encoding::percent_decode_str;
use quay_core::accounts::Accounts;
use quay_core::manifest::V1Image;
use quay_core::registry::{Verb, WholeImage};
use quay_core::{Caller, Error, ErrorKind, Registry, RepositoryName, StoreError, Tag};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tracing::Instrument as _;

use self::archive::{Form, Pipe, WAITING};
use crate::body::ResponseBody;
use crate::old_login::{OldLogin, failed, told, unproven};
use crate::response::{Answer, AnswerExt as _, answer, without_body};
use crate::service::{RequestIds, Settings, request_span};

/// Images that are made at one time: each keeps a thread busy, and up to 128 MiB of paths.
const AT_ONCE: usize = 8;
/// How long others wait for their turn.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a client may take nothing.
const STALLED: Duration = Duration::from_secs(30);

/// Serves images as something else than what is stored, below `/c1`.
///
/// The settings' authenticators judge whoever calls: names and secrets, or tokens for the registry protocol. Whoever may not read is answered
/// 403. An image is made while it is sent, by a thread of its own; one that cannot be made breaks off.
///
/// Cheap to clone. Answers every request with a response; it has no errors of its own. Needs a tokio runtime with
/// its timer.
#[derive(Debug, Clone)]
pub struct VerbsService {
    registry: Registry,
    login: OldLogin,
    aci: bool,
    turns: Arc<Semaphore>,
    request_ids: Arc<RequestIds>,
}

/// What a path asks for.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    verb: Verb,
    name: String,
    tag: String,
    /// The name of the server, the system and the architecture, as an ACI is asked for.
    aci: Option<(String, String, String)>,
}

impl Asked {
    fn parse(path: &str) -> Option<Self> {
        let raw = path.strip_prefix("/c1/")?;
        let decoded = percent_decode_str(raw).decode_utf8().ok()?;
        if decoded.matches('/').count() != raw.matches('/').count() || decoded.contains('\0') {
            return None;
        }
        let (verb, rest) = decoded.split_once('/')?;
        if verb == Verb::Squash.as_str() {
            let (name, tag) = rest.rsplit_once('/')?;
            return Some(Self {
                verb: Verb::Squash,
                name: name.to_owned(),
                tag: tag.to_owned(),
                aci: None,
            });
        }
        // server/namespace/name/tag/aci/os/arch/
        let (rest, architecture) = rest.strip_suffix('/')?.rsplit_once('/')?;
        let (rest, system) = rest.rsplit_once('/')?;
        let (rest, tag) = rest.strip_suffix("/aci")?.rsplit_once('/')?;
        let (server, name) = rest.split_once('/')?;
        (verb == Verb::Aci.as_str()).then(|| Self {
            verb: Verb::Aci,
            name: name.to_owned(),
            tag: tag.to_owned(),
            aci: Some((server.to_owned(), system.to_owned(), architecture.to_owned())),
        })
    }
}

impl VerbsService {
    /// Whether a path is one of this service's, for hosts that send requests on.
    #[must_use]
    pub fn serves(path: &str) -> bool {
        path.starts_with("/c1/")
    }

    /// Verbs over `registry`, without App Container Images.
    #[must_use]
    pub fn new(registry: Registry, settings: Settings) -> Self {
        Self {
            request_ids: Arc::new(RequestIds::new(registry.runtime())),
            registry,
            login: OldLogin::new(settings),
            aci: false,
            turns: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// Tells the action log what `accounts` knows of callers, and refuses what is in namespaces that are switched off.
    #[must_use]
    pub fn with_accounts(mut self, accounts: Accounts) -> Self {
        self.login = self.login.with_accounts(accounts);
        self
    }

    /// Sets whether App Container Images are made: `FEATURE_ACI_CONVERSION`.
    #[must_use]
    pub const fn with_aci(mut self, aci: bool) -> Self {
        self.aci = aci;
        self
    }

    async fn answer(&self, parts: &Parts) -> Answer {
        if parts.uri.path() == "/c1/_internal_ping" {
            return answer(StatusCode::OK)
                .with_static(CONTENT_TYPE, "text/plain; charset=utf-8")
                .with_body(ResponseBody::full("true"));
        }
        let asked = Asked::parse(parts.uri.path()).filter(|asked| asked.verb == Verb::Squash || self.aci);
        let Some(asked) = asked else {
            return told(StatusCode::NOT_FOUND, "there is no such path");
        };
        if !matches!(parts.method, Method::GET | Method::HEAD) {
            let refused = told(
                StatusCode::METHOD_NOT_ALLOWED,
                "the path does not answer this method",
            );
            return refused.with_static(http::header::ALLOW, "GET, HEAD");
        }
        let accept = parts.headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
        if accept == Some("application/x-bittorrent") {
            return told(StatusCode::NOT_ACCEPTABLE, "there are no torrents here");
        }
        let caller = match self.login.caller(parts).await {
            Ok(caller) => caller,
            Err(error) => return unproven(&error),
        };
        let made = self.make(&asked, parts, &caller).await;
        made.unwrap_or_else(|error| failed(&error))
    }

    async fn make(&self, asked: &Asked, parts: &Parts, caller: &Caller) -> Result<Answer, Error> {
        let unknown = || Error::new(ErrorKind::NotFound, "Not Found");
        let name = self.registry.parse_name(&asked.name).map_err(|_| unknown())?;
        self.registry.may_pull_from(&name, caller).await?;
        if let Some(accounts) = self.login.accounts() {
            accounts.require_enabled(&name).await?;
        }
        let tag = Tag::new(&asked.tag).map_err(|_| unknown())?;
        let image = self.registry.whole_image(&name, &tag, asked.verb, caller).await?;
        let form = match &asked.aci {
            None => Form::Docker {
                repository: format!("{}/{}", self.host(parts), name.path()),
                tag: format!("{tag}.squash"),
            },
            Some((server, system, architecture)) => Form::Aci {
                manifest: aci_manifest(&image.image, (server, system, architecture), &name, &tag),
            },
        };
        let answer = answer(StatusCode::OK).with_static(CONTENT_TYPE, "binary/octet-stream");
        if parts.method == Method::HEAD {
            return Ok(answer);
        }
        let turn = tokio::time::timeout(PATIENCE, Arc::clone(&self.turns).acquire_owned()).await;
        let Ok(Ok(turn)) = turn else {
            let reason = "too many images are being made at this moment, try again later";
            return Err(Error::new(ErrorKind::Unavailable, reason));
        };
        let (sender, pieces) = mpsc::channel(WAITING);
        let registry = self.registry.clone();
        let work = move || {
            write(&registry, &image, &form, sender);
            drop(turn);
        };
        self.registry.runtime().spawner.run_blocking(Box::new(work));
        Ok(answer.with_body(ResponseBody::unbounded(pieces.boxed())))
    }

    /// The registry's own name, or the one that the client knows it by.
    fn host<'a>(&'a self, parts: &'a Parts) -> &'a str {
        let own = self
            .login
            .accounts()
            .map(|accounts| accounts.options().hostname.as_str());
        let host = || parts.headers.get(http::header::HOST)?.to_str().ok();
        own.or_else(|| parts.uri.authority().map(http::uri::Authority::as_str))
            .or_else(host)
            .unwrap_or("localhost")
    }
}

/// Writes an image; one that cannot be written ends in an error, so that nobody takes a part for the whole.
fn write(
    registry: &Registry,
    image: &WholeImage,
    form: &Form,
    mut sender: mpsc::Sender<Result<Bytes, StoreError>>,
) {
    let Err(error) = archive::write(registry, image, form, Pipe::new(sender.clone(), STALLED)) else {
        return;
    };
    if sender.is_closed() {
        tracing::debug!("a client went away while an image was made for it");
        return;
    }
    tracing::warn!(digest = %image.digest, %error, "an image could not be made");
    let error =
        StoreError::new(quay_core::StoreErrorKind::Corrupt, "an image could not be made").with_source(error);
    // Whoever has gone needs no answer.
    let _ = block_on(sender.send(Err(error)));
}

/// What an App Container Image says of itself (appc specification, 0.8, "Image Manifest").
fn aci_manifest(
    image: &V1Image,
    (server, system, architecture): (&str, &str, &str),
    name: &RepositoryName,
    tag: &Tag,
) -> Value {
    let says: Value = serde_json::from_str(&image.json).unwrap_or_default();
    let config = says.get("config").cloned().unwrap_or_default();
    let words = |key: &str| -> Vec<Value> {
        match config.get(key) {
            Some(Value::Array(words)) => words.clone(),
            Some(Value::String(word)) => vec![word.clone().into()],
            _ => Vec::new(),
        }
    };
    let text = |key: &str| config.get(key).and_then(Value::as_str).unwrap_or_default();
    let mut run = words("Entrypoint");
    run.extend(words("Cmd"));
    let variables = words("Env").into_iter().filter_map(|variable| {
        let (name, value) = variable.as_str()?.split_once('=')?;
        Some(json!({ "name": name, "value": value }))
    });
    let ports = config
        .get("ExposedPorts")
        .and_then(Value::as_object)
        .into_iter()
        .flatten();
    let ports = ports.filter_map(|(port, _)| {
        let (number, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
        let number: u16 = number.parse().ok()?;
        Some(json!({ "name": format!("port-{number}"), "port": number, "protocol": protocol }))
    });
    let (user, group) = text("User").split_once(':').unwrap_or((text("User"), ""));
    let or_root = |account: &str| {
        if account.is_empty() {
            "0".to_owned()
        } else {
            account.to_owned()
        }
    };
    let directory = if text("WorkingDir").starts_with('/') {
        text("WorkingDir")
    } else {
        "/"
    };
    let mut app = json!({
        "user": or_root(user),
        "group": or_root(group),
        "environment": variables.collect::<Vec<_>>(),
        "workingDirectory": directory,
        "ports": ports.collect::<Vec<_>>(),
    });
    if !run.is_empty() {
        app["exec"] = run.into();
    }
    json!({
        "acKind": "ImageManifest",
        "acVersion": "0.8.11",
        "name": format!("{server}/{}", name.path()),
        "labels": [
            { "name": "version", "value": tag.as_str() },
            { "name": "arch", "value": architecture },
            { "name": "os", "value": system },
        ],
        "app": app,
        "annotations": [
            { "name": "created", "value": image.created.as_deref().unwrap_or_default() },
        ],
    })
}

impl<B> tower_service::Service<Request<B>> for VerbsService
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
            let (parts, _) = request.into_parts();
            let head = parts.method == Method::HEAD;
            let response = this.answer(&parts).instrument(span.clone()).await;
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
    fn paths() {
        let squash = |name: &str, tag: &str| Asked {
            verb: Verb::Squash,
            name: name.to_owned(),
            tag: tag.to_owned(),
            aci: None,
        };
        assert_eq!(
            Asked::parse("/c1/squash/org/app/v1"),
            Some(squash("org/app", "v1"))
        );
        assert_eq!(
            Asked::parse("/c1/squash/org/a/b/v1"),
            Some(squash("org/a/b", "v1"))
        );
        assert_eq!(Asked::parse("/c1/squash/app/v%31"), Some(squash("app", "v1")));
        for path in [
            "/c1/squash/v1",
            "/c1/torrent/org/app/v1",
            "/c1/squash/org%2Fapp/v1",
            "/c1/",
            "/c1/aci/a/b/c/",
        ] {
            assert_eq!(Asked::parse(path), None, "{path}");
        }
        let asked = Asked::parse("/c1/aci/quay.example/org/app/v1/aci/linux/amd64/").unwrap();
        assert_eq!(
            (asked.verb, &*asked.name, &*asked.tag),
            (Verb::Aci, "org/app", "v1")
        );
        let words = ["quay.example", "linux", "amd64"].map(str::to_owned);
        assert_eq!(asked.aci, Some(words.into()));
    }
}
