//! Blobs on the wire.

use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, LOCATION, RANGE,
};
use http::{HeaderValue, Method, StatusCode};
use quay_core::blob_store::{BlobBody, Redirects};
use quay_core::{ByteRange, Digest, Error, MediaType, RepositoryName};

use super::Exchange;
use crate::body::ResponseBody;
use crate::conditional::{etag, not_modified, range_is_stale};
use crate::response::{Answer, AnswerExt, DIGEST, answer, range_not_satisfiable};

impl Exchange<'_> {
    pub(super) async fn get_blob(&self, name: &RepositoryName, digest: &Digest) -> Result<Answer, Error> {
        let blob = self.registry.blob(name, digest, self.caller).await?;
        let headers = |status| {
            answer(status)
                .with(DIGEST, &digest.to_string())
                .with(ETAG, &etag(digest))
                // Content under a digest never changes.
                .with_static(CACHE_CONTROL, "max-age=31536000")
        };
        if not_modified(&self.parts.headers, digest) {
            return Ok(headers(StatusCode::NOT_MODIFIED));
        }
        let size = blob.size();
        let full = |status| {
            headers(status)
                .with_static(ACCEPT_RANGES, "bytes")
                .with_static(CONTENT_TYPE, MediaType::OCTET_STREAM)
        };
        let asked = self
            .header(&RANGE)
            .and_then(ByteRange::parse)
            // RFC 9110, 14.2: a range is a matter of GET alone.
            .filter(|_| self.parts.method == Method::GET && !range_is_stale(&self.parts.headers, digest));
        let range = match asked {
            None => None,
            Some(range) => match range.resolve(size) {
                Some(range) => Some(range),
                None => return Ok(range_not_satisfiable(size)),
            },
        };
        let mut answer = match range {
            None => full(StatusCode::OK),
            Some(range) => full(StatusCode::PARTIAL_CONTENT).with(
                CONTENT_RANGE,
                &format!("bytes {}-{}/{size}", range.start, range.last()),
            ),
        };
        let length = range.map_or(size, |range| range.length);
        answer
            .headers_mut()
            .insert(CONTENT_LENGTH, HeaderValue::from(length));
        if self.parts.method == Method::HEAD {
            return Ok(answer);
        }
        let content = self.registry.open_blob(&blob, range, Redirects::Allowed).await?;
        if let BlobBody::Redirect(address) = content.body {
            return Ok(headers(StatusCode::FOUND).with(LOCATION, &address));
        }
        Ok(answer.with_body(ResponseBody::blob(content.body, content.length)?))
    }

    pub(super) async fn delete_blob(&self, name: &RepositoryName, digest: &Digest) -> Result<Answer, Error> {
        self.registry.delete_blob(name, digest, self.caller).await?;
        Ok(answer(StatusCode::ACCEPTED))
    }
}
