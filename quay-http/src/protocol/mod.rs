//! The operations of the protocol: requests read, core asked, answers printed.

mod blobs;
mod extensions;
mod lists;
mod manifests;
mod uploads;

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use http::request::Parts;
use http::{Method, StatusCode};
use http_body::Body;
use quay_core::{Caller, Digest, Error, ErrorKind, Registry, RepositoryName};
use tokio::sync::Semaphore;

pub(crate) use manifests::MANIFESTS_KIB;

use crate::response::{API_VERSION, Answer, AnswerExt, UPLOAD_UUID, json};
use crate::route::Route;

/// One request on its way through.
pub(crate) struct Exchange<'a> {
    pub(crate) registry: &'a Registry,
    pub(crate) caller: &'a Caller,
    pub(crate) parts: &'a Parts,
    pub(crate) body_idle: Duration,
    pub(crate) manifests: &'a Semaphore,
}

impl Exchange<'_> {
    /// Answers a request; `None` when the path does not know the method.
    pub(crate) async fn answer<B>(&self, route: &Route, body: B) -> Result<Option<Answer>, Error>
    where
        B: Body<Data = Bytes> + Send + 'static,
    {
        let method = &self.parts.method;
        let reads = matches!(*method, Method::GET | Method::HEAD);
        Ok(Some(match route {
            Route::Base if reads => self.base().await?,
            Route::Catalog if reads => self.catalog().await?,
            Route::Tags { name } if reads => self.tags(&self.name(name)?).await?,
            Route::Referrers { name, digest } if reads => self.referrers(&self.name(name)?, digest).await?,
            Route::Extensions { name } if reads => self.extensions(name.as_deref()).await?,
            Route::TagHistory { name, tag } if reads => self.tag_history(&self.name(name)?, tag).await?,
            Route::Manifest { name, reference } => {
                let name = self.name(name)?;
                match *method {
                    Method::GET | Method::HEAD => self.get_manifest(&name, reference).await?,
                    Method::PUT => self.put_manifest(&name, reference, body).await?,
                    Method::DELETE => self.delete_manifest(&name, reference).await?,
                    _ => return Ok(None),
                }
            }
            Route::Blob { name, digest } => {
                let (name, digest) = (self.name(name)?, digest.parse::<Digest>()?);
                match *method {
                    Method::GET | Method::HEAD => self.get_blob(&name, &digest).await?,
                    Method::DELETE => self.delete_blob(&name, &digest).await?,
                    _ => return Ok(None),
                }
            }
            Route::Uploads { name } if *method == Method::POST => {
                self.start_upload(&self.name(name)?, body).await?
            }
            Route::Upload { name, id } => {
                let name = self.name(name)?;
                match *method {
                    Method::GET | Method::HEAD => self.upload_status(&name, id).await?,
                    Method::PATCH => self.append_upload(&name, id, body).await?,
                    Method::PUT => self.finish_upload(&name, id, body).await?,
                    Method::DELETE => self.cancel_upload(&name, id).await?,
                    _ => return Ok(None),
                }
            }
            Route::Base
            | Route::Catalog
            | Route::Tags { .. }
            | Route::Referrers { .. }
            | Route::Extensions { .. }
            | Route::TagHistory { .. }
            | Route::Uploads { .. } => {
                return Ok(None);
            }
        }))
    }

    fn name(&self, text: &str) -> Result<RepositoryName, Error> {
        self.registry.parse_name(text)
    }

    async fn base(&self) -> Result<Answer, Error> {
        self.registry.ping(self.caller).await?;
        Ok(
            json(StatusCode::OK, "application/json", &serde_json::Value::Bool(true))
                .with_static(API_VERSION, "registry/2.0"),
        )
    }

    /// The values of a query parameter, decoded.
    fn query_all(&self, key: &str) -> Vec<String> {
        let query = self.parts.uri.query().unwrap_or_default();
        query
            .split('&')
            .filter_map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                (name == key).then(|| {
                    // In a query a plus sign is a space; nothing that is asked for here holds one.
                    percent_encoding::percent_decode_str(value)
                        .decode_utf8_lossy()
                        .into_owned()
                })
            })
            .collect()
    }

    fn query(&self, key: &str) -> Option<String> {
        self.query_all(key).into_iter().next()
    }

    /// How many entries are asked for. More than a number can say is as good as all.
    fn asked(&self) -> Result<Option<usize>, Error> {
        match self.query("n").as_deref() {
            None | Some("") => Ok(None),
            Some(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => {
                Ok(Some(text.parse().unwrap_or(usize::MAX)))
            }
            Some(_) => Err(Error::new(
                ErrorKind::InvalidRequest,
                "n is not a number of entries",
            )),
        }
    }

    fn header(&self, name: &http::HeaderName) -> Option<&str> {
        self.parts.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// How many bytes the body has, if the client says so.
    fn content_length(&self) -> Option<u64> {
        self.header(&CONTENT_LENGTH).and_then(|value| value.parse().ok())
    }

    fn content_type(&self) -> Result<Option<quay_core::MediaType>, Error> {
        match self.parts.headers.get(CONTENT_TYPE) {
            None => Ok(None),
            Some(value) if value.is_empty() => Ok(None),
            Some(value) => value
                .to_str()
                .ok()
                .and_then(quay_core::MediaType::parse)
                .map(Some)
                .ok_or_else(|| {
                    Error::new(
                        ErrorKind::MediaTypeUnsupported,
                        "Content-Type is not a media type",
                    )
                }),
        }
    }
}

fn blob_location(name: &RepositoryName, digest: &Digest) -> String {
    format!("/v2/{name}/blobs/{digest}")
}

fn upload_location(name: &RepositoryName, id: &str) -> String {
    format!("/v2/{name}/blobs/uploads/{id}")
}

/// Adds to a 416 where the client may go on.
pub(crate) fn with_upload(answer: Answer, route: &Route, error: &Error) -> Answer {
    match (route, error.stored()) {
        (Route::Upload { name, id }, Some(_)) => answer
            .with(LOCATION, &format!("/v2/{name}/blobs/uploads/{id}"))
            .with(UPLOAD_UUID, id),
        _ => answer,
    }
}
