//! Calls to other hosts, over reqwest.

use std::collections::HashSet;
use std::error::Error as StdError;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use quay_core::http::{
    HttpClient, HttpError, HttpErrorKind, HttpLimits, HttpMethod, HttpRequest, HttpResponse,
};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::{Certificate, Client, Method, Url, redirect};

use self::address::is_public;

mod address;

/// No call follows more redirects than that, whatever it asks for.
const MAX_REDIRECTS: u8 = 3;
const CONNECT_TIME: Duration = Duration::from_secs(5);
/// An idle connection is closed after that, so that changes of an address are noticed.
const IDLE: Duration = Duration::from_secs(30);
/// Headers that say nothing about who asks: all that another host is told after a redirect.
const HARMLESS: [&str; 3] = ["accept", "accept-language", "user-agent"];

/// The host's one way out: [`HttpClient`] over reqwest.
///
/// Reaches public addresses only, but for the hosts in
/// [`with_private_targets_allowed`](Self::with_private_targets_allowed): the addresses that a name stands for
/// are judged when it is looked up for a connection, so that a name cannot change in between, and redirects
/// are followed one by one. No proxy is used, whatever the environment says. Servers prove who they are to
/// the system's authorities and to those of the deployment. A redirect to another origin gets neither the
/// request's credentials nor its body, and none leads from TLS to a connection without.
///
/// Cheap to clone; clones share their connections. Needs a tokio runtime with its timer.
#[derive(Clone)]
pub struct ReqwestClient {
    client: Client,
    authorities: Vec<Certificate>,
    private_targets: Arc<HashSet<String>>,
}

impl fmt::Debug for ReqwestClient {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ReqwestClient")
            .field("authorities", &self.authorities.len())
            .field("private_targets", &self.private_targets)
            .finish_non_exhaustive()
    }
}

fn failed(kind: HttpErrorKind, context: impl Into<String>) -> HttpError {
    HttpError::new(kind, context)
}

impl ReqwestClient {
    /// A client that also trusts `authorities`: the contents of files of certificates in PEM, each of which
    /// may hold several.
    ///
    /// # Errors
    /// [`InvalidRequest`](HttpErrorKind::InvalidRequest) for a file that holds something else, and when TLS
    /// cannot be set up.
    pub fn new<P: AsRef<[u8]>>(authorities: impl IntoIterator<Item = P>) -> Result<Self, HttpError> {
        let mut certificates = Vec::new();
        for pem in authorities {
            let several = Certificate::from_pem_bundle(pem.as_ref()).map_err(|error| {
                failed(
                    HttpErrorKind::InvalidRequest,
                    "read the certificates of authorities",
                )
                .with_source(error)
            })?;
            if several.is_empty() {
                let message = "a file of authorities holds no certificate";
                return Err(failed(HttpErrorKind::InvalidRequest, message));
            }
            certificates.extend(several);
        }
        Self::of(certificates, HashSet::new())
    }

    /// Lets these hosts be reached at private, loopback and link-local addresses as well: names and
    /// addresses as they are in URLs, without a port.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn with_private_targets_allowed<H: AsRef<str>>(
        self,
        hosts: impl IntoIterator<Item = H>,
    ) -> Result<Self, HttpError> {
        let hosts = hosts.into_iter().map(|host| canonical(host.as_ref())).collect();
        Self::of(self.authorities, hosts)
    }

    fn of(authorities: Vec<Certificate>, private_targets: HashSet<String>) -> Result<Self, HttpError> {
        let private_targets = Arc::new(private_targets);
        let client = Client::builder()
            .tls_certs_merge(authorities.clone())
            .dns_resolver(Resolver(Arc::clone(&private_targets)))
            .no_proxy()
            .redirect(redirect::Policy::none())
            .referer(false)
            .retry(reqwest::retry::never())
            .connect_timeout(CONNECT_TIME)
            .pool_idle_timeout(IDLE)
            .user_agent(concat!("quay-http/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| {
                failed(HttpErrorKind::InvalidRequest, "set up the client for other hosts").with_source(error)
            })?;
        Ok(Self {
            client,
            authorities,
            private_targets,
        })
    }

    /// A URL that may be asked. Names are judged when they are looked up.
    fn target(&self, url: Url) -> Result<Url, HttpError> {
        let refused = |what: &str| {
            let message = format!("call {}: {what}", shown(&url));
            Err(failed(HttpErrorKind::TargetRefused, message))
        };
        if !url.username().is_empty() || url.password().is_some() {
            // Not printed: it holds a secret.
            let message = "a URL must not hold a user name or password";
            return Err(failed(HttpErrorKind::InvalidRequest, message));
        }
        if !matches!(url.scheme(), "http" | "https") {
            return refused("only http and https are spoken");
        }
        let Some(host) = url.host_str() else {
            return refused("there is no host in it");
        };
        let address = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = address.parse::<IpAddr>()
            && !is_public(address)
            && !self.private_targets.contains(host)
        {
            return refused("the address is not public");
        }
        Ok(url)
    }

    async fn follow(&self, request: HttpRequest, limits: &HttpLimits) -> Result<HttpResponse, HttpError> {
        let url = Url::parse(&request.url).map_err(|error| {
            failed(HttpErrorKind::InvalidRequest, "read the URL of a request").with_source(error)
        })?;
        let mut sent = Sent {
            method: match request.method {
                HttpMethod::Post => Method::POST,
                _ => Method::GET,
            },
            url: self.target(url)?,
            headers: headers(&request.headers)?,
            body: request.body,
        };
        for left in (0..=limits.max_redirects.min(MAX_REDIRECTS)).rev() {
            let response = self
                .client
                .request(sent.method.clone(), sent.url.clone())
                .headers(sent.headers.clone())
                .body(sent.body.clone())
                .send()
                .await
                .map_err(|error| lost(&sent.url, error))?;
            let Some(next) = sent.next(&response) else {
                return read(response, &sent.url, limits.max_response_bytes).await;
            };
            if left == 0 {
                break;
            }
            sent = next?;
            sent.url = self.target(sent.url)?;
        }
        let message = format!("call {}: it redirects once too often", shown(&sent.url));
        Err(failed(HttpErrorKind::RedirectRefused, message))
    }
}

#[async_trait]
impl HttpClient for ReqwestClient {
    async fn send(&self, request: HttpRequest, limits: &HttpLimits) -> Result<HttpResponse, HttpError> {
        let url = Url::parse(&request.url).ok();
        let following = Box::pin(self.follow(request, limits));
        if let Ok(answered) = tokio::time::timeout(limits.time, following).await {
            return answered;
        }
        let url = url.as_ref().map(shown).unwrap_or_default();
        let message = format!("call {url}: the time is over");
        Err(failed(HttpErrorKind::TimedOut, message))
    }
}

/// What is sent, to be sent on.
struct Sent {
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Bytes,
}

impl Sent {
    /// What to send next, if the response is a redirect.
    fn next(&self, response: &reqwest::Response) -> Option<Result<Self, HttpError>> {
        let status = response.status().as_u16();
        if !matches!(status, 301 | 302 | 303 | 307 | 308) {
            return None;
        }
        let location = response.headers().get(LOCATION)?;
        let url = location.to_str().ok().and_then(|url| self.url.join(url).ok());
        let refused = |what: &str| {
            let message = format!("call {}: it redirects {what}", shown(&self.url));
            Err(failed(HttpErrorKind::RedirectRefused, message))
        };
        let Some(url) = url else {
            return Some(refused("to what is no URL"));
        };
        if self.url.scheme() == "https" && url.scheme() != "https" {
            return Some(refused("to a connection without TLS"));
        }
        let elsewhere = self.url.origin() != url.origin();
        let keeps_body = matches!(status, 307 | 308) && self.method == Method::POST;
        if elsewhere && keeps_body {
            return Some(refused("what it was sent to another host"));
        }
        let mut headers = self.headers.clone();
        if elsewhere {
            headers = headers
                .into_iter()
                .filter_map(|(name, value)| name.map(|name| (name, value)))
                .filter(|(name, _)| HARMLESS.contains(&name.as_str()))
                .collect();
        }
        let body = if keeps_body {
            self.body.clone()
        } else {
            headers.remove("content-type");
            Bytes::new()
        };
        Some(Ok(Self {
            method: if keeps_body { Method::POST } else { Method::GET },
            url,
            headers,
            body,
        }))
    }
}

fn headers(pairs: &[(String, String)]) -> Result<HeaderMap, HttpError> {
    let mut headers = HeaderMap::with_capacity(pairs.len());
    for (name, value) in pairs {
        let invalid = || {
            failed(
                HttpErrorKind::InvalidRequest,
                format!("the header {name:?} cannot be sent"),
            )
        };
        let read = HeaderName::try_from(name.as_str()).map_err(|_| invalid())?;
        let mut value = HeaderValue::try_from(value.as_str()).map_err(|_| invalid())?;
        value.set_sensitive(!HARMLESS.contains(&read.as_str()));
        headers.append(read, value);
    }
    Ok(headers)
}

async fn read(mut response: reqwest::Response, url: &Url, most: u64) -> Result<HttpResponse, HttpError> {
    let too_large = || {
        failed(
            HttpErrorKind::TooLarge,
            format!("call {}: the answer is too large", shown(url)),
        )
    };
    if response.content_length().is_some_and(|length| length > most) {
        return Err(too_large());
    }
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| lost(url, error))? {
        let length = body.len().saturating_add(chunk.len());
        if u64::try_from(length).map_or(true, |length| length > most) {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    let headers = response
        .headers()
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), Bytes::copy_from_slice(value.as_bytes())))
        .collect();
    Ok(HttpResponse::new(
        response.status().as_u16(),
        headers,
        body.freeze(),
    ))
}

/// Why there is no response. The driver's error without its URL, whose query may hold secrets.
fn lost(url: &Url, error: reqwest::Error) -> HttpError {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(&error);
    let mut is_refused = false;
    while let Some(level) = cause {
        is_refused |= level.is::<NotPublic>();
        cause = level.source();
    }
    let kind = if is_refused {
        HttpErrorKind::TargetRefused
    } else if error.is_timeout() {
        HttpErrorKind::TimedOut
    } else if error.is_builder() {
        HttpErrorKind::InvalidRequest
    } else {
        HttpErrorKind::Unreachable
    };
    failed(kind, format!("call {}", shown(url))).with_source(error.without_url())
}

/// A URL as the log may show it: without what may be secret.
fn shown(url: &Url) -> String {
    format!("{}{}", url.origin().ascii_serialization(), url.path())
}

/// A host as it is in a URL: in lower case, in punycode, an address in its usual form.
fn canonical(host: &str) -> String {
    let bracketed = host
        .parse::<std::net::Ipv6Addr>()
        .map(|address| format!("[{address}]"));
    let host = bracketed.unwrap_or_else(|_| host.to_owned());
    let url = Url::parse(&format!("http://{host}/"));
    url.ok()
        .and_then(|url| url.host_str().map(ToOwned::to_owned))
        .unwrap_or(host)
}

/// Looks names up and lets only public addresses be connected to.
#[derive(Debug)]
struct Resolver(Arc<HashSet<String>>);

/// A name stands for no address that may be reached.
#[derive(Debug, thiserror::Error)]
#[error("{0} has no public address")]
struct NotPublic(String);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let private_targets = Arc::clone(&self.0);
        Box::pin(async move {
            let name = name.as_str();
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name, 0)).await?.collect();
            let is_private_allowed = private_targets.contains(name);
            let allowed: Vec<SocketAddr> = found
                .into_iter()
                .filter(|address| is_private_allowed || is_public(address.ip()))
                .collect();
            if allowed.is_empty() {
                return Err(NotPublic(name.to_owned()).into());
            }
            let addresses: Addrs = Box::new(allowed.into_iter());
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests;
