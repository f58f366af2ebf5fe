//! Lists on the wire: tags, repositories, referrers.

use http::StatusCode;
use http::header::LINK;
use quay_core::{Digest, Error, ErrorKind, MediaType, RepositoryName, Tag};
use serde_json::{Value, json};

use super::Exchange;
use crate::response::{Answer, AnswerExt, OCI_FILTERS, json as json_answer};

/// The address of the next page (RFC 8288). Everything in it has a grammar that needs no escaping, apart
/// from artifact types.
fn next(path: &str, limit: usize, last: &str, more: &str) -> String {
    format!("<{path}?n={limit}&last={last}{more}>; rel=\"next\"")
}

impl Exchange<'_> {
    pub(super) async fn tags(&self, name: &RepositoryName) -> Result<Answer, Error> {
        let last = match self.query("last") {
            Some(last) if !last.is_empty() => Some(Tag::new(&last)?),
            _ => None,
        };
        let page = self.registry.tags(name, self.asked()?, last, self.caller).await?;
        let tags: Vec<&str> = page.tags.iter().map(Tag::as_str).collect();
        let body = json!({ "name": name.as_asked(), "tags": tags });
        let answer = json_answer(StatusCode::OK, "application/json", &body);
        Ok(match tags.last() {
            Some(last) if page.more => answer.with(
                LINK,
                &next(&format!("/v2/{name}/tags/list"), page.limit, last, ""),
            ),
            _ => answer,
        })
    }

    pub(super) async fn catalog(&self) -> Result<Answer, Error> {
        let last = self.query("last").filter(|last| !last.is_empty());
        if last.as_ref().is_some_and(|last| last.contains(char::is_control)) {
            return Err(Error::new(
                ErrorKind::InvalidRequest,
                "last is not a repository's name",
            ));
        }
        let page = self.registry.catalog(self.asked()?, last, self.caller).await?;
        let names: Vec<&str> = page
            .repositories
            .iter()
            .map(|record| record.name.path())
            .collect();
        let answer = json_answer(
            StatusCode::OK,
            "application/json",
            &json!({ "repositories": names }),
        );
        Ok(match names.last() {
            Some(last) if page.more => answer.with(LINK, &next("/v2/_catalog", page.limit, last, "")),
            _ => answer,
        })
    }

    pub(super) async fn referrers(&self, name: &RepositoryName, subject: &str) -> Result<Answer, Error> {
        let subject: Digest = subject.parse()?;
        let artifact_type =
            match self.query("artifactType") {
                Some(text) if !text.is_empty() => Some(MediaType::parse(&text).ok_or_else(|| {
                    Error::new(ErrorKind::InvalidRequest, "artifactType is not a media type")
                })?),
                _ => None,
            };
        let last = match self.query("last") {
            Some(last) if !last.is_empty() => Some(last.parse::<Digest>()?),
            _ => None,
        };
        let page = self
            .registry
            .referrers(
                name,
                &subject,
                artifact_type.as_ref(),
                self.asked()?,
                last,
                self.caller,
            )
            .await?;
        let manifests: Vec<Value> = page
            .referrers
            .iter()
            .map(|referrer| {
                let mut descriptor = json!({
                    "mediaType": referrer.media_type.as_str(),
                    "digest": referrer.digest,
                    "size": referrer.size,
                });
                if let Some(artifact_type) = &referrer.artifact_type {
                    descriptor["artifactType"] = json!(artifact_type);
                }
                let annotations = referrer.annotations.as_deref();
                if let Some(Ok(annotations)) = annotations.map(serde_json::from_str::<Value>) {
                    descriptor["annotations"] = annotations;
                }
                descriptor
            })
            .collect();
        let mut body = json!({ "schemaVersion": 2, "mediaType": MediaType::OCI_INDEX });
        // Moved in: the macro would copy it, and annotations may be long.
        body["manifests"] = Value::Array(manifests);
        let mut answer = json_answer(StatusCode::OK, MediaType::OCI_INDEX, &body);
        let mut more = String::new();
        if let Some(artifact_type) = &artifact_type {
            answer = answer.with_static(OCI_FILTERS, "artifactType");
            let encoded = percent_encoding::utf8_percent_encode(
                artifact_type.as_str(),
                percent_encoding::NON_ALPHANUMERIC,
            );
            more = format!("&artifactType={encoded}");
        }
        Ok(match page.referrers.last() {
            Some(last) if page.more => {
                let path = format!("/v2/{name}/referrers/{subject}");
                answer.with(LINK, &next(&path, page.limit, &last.digest.to_string(), &more))
            }
            _ => answer,
        })
    }
}
