//! Manifests on the wire.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use http::StatusCode;
use http::header::{ACCEPT, CONTENT_TYPE, ETAG, LOCATION};
use http_body::Body;
use quay_core::manifest::Accepted;
use quay_core::registry::ManifestPush;
use quay_core::{Error, ErrorKind, InvalidReference, Reference, RepositoryName, Tag};

use tokio::sync::SemaphorePermit;

use super::Exchange;
use crate::body::{ResponseBody, incoming};
use crate::conditional::{condition, etag, not_modified};
use crate::response::{Answer, AnswerExt, DIGEST, OCI_SUBJECT, OCI_TAG, answer};

/// Manifests being taken in at one time, in KiB together.
pub(crate) const MANIFESTS_KIB: u32 = 256 << 10;

/// Room taken at once for a manifest that comes in pieces, in bytes.
const ROOM_STEP: usize = 64 << 10;

/// How long a push waits for room for its manifest.
const ROOM_WAIT: Duration = Duration::from_secs(10);

/// A reference to something that is to be there. What cannot be a tag is one that nobody has.
fn existing(text: &str) -> Result<Reference, Error> {
    Reference::parse(text).map_err(|error| match error {
        InvalidReference::Digest(error) => error.into(),
        _ => Error::new(ErrorKind::ManifestUnknown, "manifest unknown"),
    })
}

impl Exchange<'_> {
    pub(super) async fn get_manifest(&self, name: &RepositoryName, reference: &str) -> Result<Answer, Error> {
        let lines = self.parts.headers.get_all(ACCEPT).iter();
        let accepted = Accepted::parse(lines.filter_map(|line| line.to_str().ok()));
        let manifest = self
            .registry
            .manifest_for(name, &existing(reference)?, &accepted, self.caller)
            .await?;
        let digest = manifest.digest.to_string();
        let status = if not_modified(&self.parts.headers, &manifest.digest) {
            StatusCode::NOT_MODIFIED
        } else {
            StatusCode::OK
        };
        let answer = answer(status)
            .with(DIGEST, &digest)
            .with(ETAG, &etag(&manifest.digest));
        if status == StatusCode::NOT_MODIFIED {
            return Ok(answer);
        }
        Ok(answer
            .with(CONTENT_TYPE, manifest.media_type.as_str())
            .with_body(ResponseBody::full(manifest.bytes)))
    }

    pub(super) async fn put_manifest<B>(
        &self,
        name: &RepositoryName,
        reference: &str,
        body: B,
    ) -> Result<Answer, Error>
    where
        B: Body<Data = Bytes> + Send + 'static,
    {
        let reference = Reference::parse(reference).map_err(|error| match error {
            InvalidReference::Digest(error) => Error::from(error),
            InvalidReference::Tag(error) => Error::from(error),
            _ => Error::new(
                ErrorKind::ManifestInvalid,
                "the reference is neither a tag nor a digest",
            ),
        })?;
        let tags = self
            .query_all("tag")
            .iter()
            .map(|tag| Tag::new(tag))
            .collect::<Result<Vec<_>, _>>()?;
        if matches!(reference, Reference::Tag(_)) && !tags.is_empty() {
            return Err(Error::new(
                ErrorKind::InvalidRequest,
                "the parameter tag goes with a push by digest",
            ));
        }
        // Whoever may not push is told so before anything is kept for them.
        self.registry.may_push(name, self.caller).await?;
        // All of it together may take no longer than two pauses: who dawdles holds up others.
        let collecting = tokio::time::timeout(self.body_idle * 2, self.collect(body));
        let (bytes, _kept) = match collecting.await {
            Ok(collected) => collected?,
            Err(_) => return Err(quay_core::BodyError::TimedOut.into()),
        };
        let push = ManifestPush::new(reference.clone(), bytes)
            .with_tags(tags)
            .with_content_type(self.content_type()?)
            .with_condition(condition(&self.parts.headers)?);
        let pushed = self.registry.put_manifest(name, push, self.caller).await?;
        let mut answer = answer(StatusCode::CREATED)
            .with(LOCATION, &format!("/v2/{name}/manifests/{}", pushed.digest))
            .with(DIGEST, &pushed.digest.to_string())
            .with(ETAG, &etag(&pushed.digest));
        // A client that sees this header expects the referrers API, and makes no tag in its place.
        if let Some(subject) = pushed.subject.filter(|_| self.registry.options().referrers) {
            answer = answer.with(OCI_SUBJECT, &subject.to_string());
        }
        if matches!(reference, Reference::Digest(_)) {
            for tag in &pushed.tags {
                answer = answer.with(OCI_TAG, tag.as_str());
            }
        }
        Ok(answer)
    }

    /// Takes a whole manifest into memory, up to the limit, once there is room for it.
    async fn collect<B>(&self, body: B) -> Result<(Bytes, SemaphorePermit<'_>), Error>
    where
        B: Body<Data = Bytes> + Send + 'static,
    {
        let limit = self.registry.options().manifest.bytes;
        let too_large = || {
            Error::new(
                ErrorKind::ManifestTooLarge,
                format!("the manifest is larger than {limit} bytes"),
            )
            .with_detail(serde_json::json!({ "max_allowed": limit }))
        };
        let announced = self.content_length();
        if announced.is_some_and(|announced| announced > limit as u64) {
            return Err(too_large());
        }
        let announced = announced.unwrap_or_default();
        let mut pieces = incoming(body, self.body_idle);
        let Some(first) = pieces.next().await.transpose().map_err(manifest_body)? else {
            return Ok((Bytes::new(), self.room(0).await?));
        };
        // Room is taken for what has come, not for what was announced: who stalls holds up nobody.
        let mut kept = self.room(first.len()).await?;
        // Most manifests come in one piece.
        if first.len() as u64 == announced {
            return Ok((first, kept));
        }
        let mut collected = BytesMut::from(&*first);
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(manifest_body)?;
            if piece.len() > limit.saturating_sub(collected.len()) {
                return Err(too_large());
            }
            collected.extend_from_slice(&piece);
            // In steps, or a body of tiny pieces would take many times the room that it needs.
            let held = kept.num_permits() * 1024;
            if collected.len() > held {
                kept.merge(self.room((collected.len() - held).max(ROOM_STEP)).await?);
            }
        }
        if collected.len() > limit {
            return Err(too_large());
        }
        Ok((collected.freeze(), kept))
    }

    /// Waits until the manifests that are being taken in leave room for some bytes more.
    async fn room(&self, bytes: usize) -> Result<SemaphorePermit<'_>, Error> {
        let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
        let room = self.manifests.acquire_many(kib.min(MANIFESTS_KIB));
        match tokio::time::timeout(ROOM_WAIT, room).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(Error::new(
                ErrorKind::Unavailable,
                "too many manifests are being pushed at this moment, try again later",
            )),
        }
    }

    pub(super) async fn delete_manifest(
        &self,
        name: &RepositoryName,
        reference: &str,
    ) -> Result<Answer, Error> {
        let condition = condition(&self.parts.headers)?;
        self.registry
            .delete_manifest(name, &existing(reference)?, &condition, self.caller)
            .await?;
        Ok(answer(StatusCode::ACCEPTED))
    }
}

fn manifest_body(error: quay_core::BodyError) -> Error {
    match error {
        quay_core::BodyError::TimedOut => error.into(),
        _ => Error::new(ErrorKind::ManifestInvalid, error.to_string()),
    }
}
