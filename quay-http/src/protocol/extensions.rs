//! Extensions of the distribution specification: which there are, and the history of tags
//! (`opencontainers/distribution-spec`, `extensions/_oci.md` as of commit 0c97df1, a draft).

use http::StatusCode;
use quay_core::registry::{TagEvent, TagEventKind};
use quay_core::runtime::Timestamp;
use quay_core::{Digest, Error, ErrorKind, RepositoryName, Tag};
use serde_json::{Value, json};

use super::Exchange;
use crate::api::dates::{parse_rfc3339, rfc3339};
use crate::response::{Answer, json as json_answer};

const DOCUMENT: &str = "https://github.com/opencontainers/distribution-spec/blob/main/extensions/_oci.md";
/// Events on a page when the client asks for no number, and the most that one page holds.
const EVENTS: usize = 100;
const MOST: usize = 1000;

fn descriptor(event: &TagEvent) -> Value {
    let annotation = match event.kind {
        TagEventKind::Created => "org.opencontainers.distribution.tag.created",
        TagEventKind::Deleted => "org.opencontainers.distribution.tag.deleted",
    };
    json!({
        "mediaType": event.media_type.as_str(),
        "size": event.size,
        "digest": event.digest,
        "annotations": { annotation: rfc3339(event.at) },
    })
}

impl Exchange<'_> {
    /// What can be done beyond the specification: in a repository that the caller may see, or anywhere.
    pub(super) async fn extensions(&self, name: Option<&str>) -> Result<Answer, Error> {
        let mut endpoints = vec!["_oci/ext/discover"];
        match name {
            None => self.registry.ping(self.caller).await?,
            Some(name) => {
                self.registry
                    .may_pull_from(&self.name(name)?, self.caller)
                    .await?;
                endpoints.push("_oci/tag-history");
            }
        }
        let body = json!({ "extensions": [{
            "name": "_oci",
            "url": DOCUMENT,
            "description": "discovery of extensions, and the history of tags",
            "endpoints": endpoints,
        }] });
        Ok(json_answer(StatusCode::OK, "application/json", &body))
    }

    pub(super) async fn tag_history(&self, name: &RepositoryName, tag: &str) -> Result<Answer, Error> {
        let tag = Tag::new(tag)?;
        let asked = |key: &str| self.query(key).filter(|text| !text.is_empty());
        let before: Option<Timestamp> = match asked("before") {
            None => None,
            Some(text) => Some(parse_rfc3339(&text).ok_or_else(|| {
                Error::new(
                    ErrorKind::InvalidRequest,
                    "before is not a time as RFC 3339 writes it",
                )
            })?),
        };
        let digest: Option<Digest> = asked("digest").map(|text| text.parse()).transpose()?;
        let limit = self.asked()?.unwrap_or(EVENTS).min(MOST);
        let events = self
            .registry
            .tag_events(name, &tag, before, digest.as_ref(), limit, self.caller)
            .await?;
        let body: Value = events.iter().map(descriptor).collect();
        Ok(json_answer(StatusCode::OK, "application/json", &body))
    }
}
