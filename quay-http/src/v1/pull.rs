//! Reading: repositories, tags and images.

use std::fmt::Write as _;

use futures::StreamExt as _;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, IF_MODIFIED_SINCE, LAST_MODIFIED, LOCATION};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use quay_core::blob_store::{BlobBody, Redirects};
use quay_core::manifest::is_image_id;
use quay_core::registry::Lists;
use quay_core::{Error, MediaType, RepositoryName, StoreError, StoreErrorKind, Tag};
use serde_json::{Value, json};

use super::route::ImagePart;
use super::{Exchange, missing};
use crate::body::ResponseBody;
use crate::response::{Answer, AnswerExt as _, answer, json as json_answer};

const SIZE: HeaderName = HeaderName::from_static("x-docker-size");
/// What an id names never changes.
const FOR_A_YEAR: &str = "max-age=31536000";
/// So it may as well have been like that for ever.
const EVER: &str = "Thu, 01 Jan 1970 00:00:00 GMT";

/// How far a list of tags has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Written {
    Nothing,
    Begin,
    Tags,
}

fn ok(body: &Value) -> Answer {
    json_answer(StatusCode::OK, "application/json", body)
}

impl Exchange<'_> {
    /// Where every pull begins.
    pub(super) async fn begin_pull(&self, name: &RepositoryName) -> Result<Answer, Error> {
        self.service.registry.begin_old_pull(name, &self.caller).await?;
        self.service.accounts.require_enabled(name).await?;
        self.lead_on(ok(&json!([])), name, false).await
    }

    /// All tags, written as they are read.
    pub(super) async fn tags(&self, name: &RepositoryName) -> Result<Answer, Error> {
        let registry = self.service.registry.clone();
        let (name, caller) = (name.clone(), self.caller.clone());
        let first = registry.tagged_images(&name, None, &caller).await?;
        let pages = futures::stream::try_unfold(Some((first, Written::Nothing)), move |state| {
            let (registry, name, caller) = (registry.clone(), name.clone(), caller.clone());
            async move {
                let Some((page, mut written)) = state else {
                    return Ok(None);
                };
                let mut text = String::new();
                if written == Written::Nothing {
                    text.push('{');
                    written = Written::Begin;
                }
                for (tag, id) in &page.tags {
                    let comma = if written == Written::Tags { ", " } else { "" };
                    // Neither holds anything that JSON would escape.
                    let _ = write!(text, "{comma}\"{tag}\": \"{id}\"");
                    written = Written::Tags;
                }
                let Some(after) = page.next else {
                    text.push('}');
                    return Ok(Some((text.into(), None)));
                };
                let failed = |error| StoreError::new(StoreErrorKind::Other, "list tags").with_source(error);
                let next = registry.tagged_images(&name, Some(after), &caller).await;
                Ok::<_, StoreError>(Some((text.into(), Some((next.map_err(failed)?, written)))))
            }
        });
        Ok(answer(StatusCode::OK)
            .with_static(CONTENT_TYPE, "application/json")
            .with_body(ResponseBody::unbounded(pages.boxed())))
    }

    pub(super) async fn tag(&self, name: &RepositoryName, tag: &str) -> Result<Answer, Error> {
        let tag = Tag::new(tag).map_err(|_| missing("Tag"))?;
        let registry = &self.service.registry;
        let image = registry
            .tag_image(name, &tag, Lists::Resolved, &self.caller)
            .await?;
        let image = image.images.last().ok_or_else(|| missing("Tag"))?;
        Ok(ok(&json!(image.id)))
    }

    pub(super) async fn image(
        &self,
        name: &RepositoryName,
        id: &str,
        part: ImagePart,
    ) -> Result<Answer, Error> {
        let registry = &self.service.registry;
        if !is_image_id(id) {
            registry.may_pull_from(name, &self.caller).await?;
            return Err(missing("Image"));
        }
        let chain = registry.image(name, id, &self.caller).await?;
        let image = chain.images.last().ok_or_else(|| missing("Image"))?;
        match part {
            ImagePart::Json => {
                let answer = answer(StatusCode::OK)
                    .with_static(CONTENT_TYPE, "application/json")
                    .with_static(CACHE_CONTROL, FOR_A_YEAR)
                    .with_body(ResponseBody::full(image.json.clone()));
                Ok(match image.size {
                    Some(size) => answer.with(SIZE, &size.to_string()),
                    None => answer,
                })
            }
            ImagePart::Ancestry | ImagePart::Checksum => {
                let ids: Vec<&str> = chain.images.iter().rev().map(|image| image.id.as_str()).collect();
                Ok(ok(&json!(ids)).with_static(CACHE_CONTROL, FOR_A_YEAR))
            }
            ImagePart::Layer => self.layer(name, &image.blob).await,
        }
    }

    async fn layer(&self, name: &RepositoryName, digest: &quay_core::Digest) -> Result<Answer, Error> {
        let registry = &self.service.registry;
        let blob = registry.blob(name, digest, &self.caller).await?;
        let headers = |status| {
            answer(status)
                .with_static(CACHE_CONTROL, FOR_A_YEAR)
                .with_static(LAST_MODIFIED, EVER)
        };
        if self.parts.headers.contains_key(IF_MODIFIED_SINCE) {
            return Ok(headers(StatusCode::NOT_MODIFIED));
        }
        let mut answer = headers(StatusCode::OK).with_static(CONTENT_TYPE, MediaType::OCTET_STREAM);
        answer
            .headers_mut()
            .insert(CONTENT_LENGTH, HeaderValue::from(blob.size()));
        if self.parts.method == Method::HEAD {
            return Ok(answer);
        }
        let content = registry.open_blob(&blob, None, Redirects::Allowed).await?;
        if let BlobBody::Redirect(address) = content.body {
            return Ok(headers(StatusCode::FOUND).with(LOCATION, &address));
        }
        Ok(answer.with_body(ResponseBody::blob(content.body, content.length)?))
    }
}
