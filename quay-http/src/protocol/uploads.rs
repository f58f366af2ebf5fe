//! Uploads on the wire.

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_RANGE, ETAG, LOCATION, RANGE};
use http_body::Body;
use quay_core::registry::{Chunk, MountOutcome, Upload, UploadStatus};
use quay_core::{Algorithm, Digest, Error, ErrorKind, RepositoryName};

use super::{Exchange, blob_location, upload_location};
use crate::body::incoming;
use crate::conditional::etag;
use crate::response::{Answer, AnswerExt, DIGEST, UPLOAD_UUID, answer, upload_range};

fn invalid(message: &str) -> Error {
    Error::new(ErrorKind::InvalidRequest, message)
}

fn created(name: &RepositoryName, digest: &Digest) -> Answer {
    answer(StatusCode::CREATED)
        .with(LOCATION, &blob_location(name, digest))
        .with(DIGEST, &digest.to_string())
        .with(ETAG, &etag(digest))
}

fn progress(status: StatusCode, name: &RepositoryName, upload: &UploadStatus) -> Answer {
    answer(status)
        .with(LOCATION, &upload_location(name, &upload.id))
        .with(RANGE, &upload_range(upload.offset))
        .with(UPLOAD_UUID, &upload.id)
}

impl Exchange<'_> {
    pub(super) async fn start_upload<B>(&self, name: &RepositoryName, body: B) -> Result<Answer, Error>
    where
        B: Body<Data = Bytes> + Send + 'static,
    {
        if let Some(digest) = self.query("mount") {
            let digest: Digest = digest.parse()?;
            let source = match self.query("from") {
                Some(source) if !source.is_empty() => Some(self.registry.parse_name(&source)?),
                _ => None,
            };
            let outcome = self
                .registry
                .mount_blob(name, &digest, source.as_ref(), self.caller)
                .await?;
            if outcome == MountOutcome::Mounted {
                return Ok(created(name, &digest));
            }
        }
        if let Some(digest) = self.query("digest") {
            let digest: Digest = digest.parse()?;
            let chunk = self.chunk(body)?;
            self.registry.push_blob(name, &digest, chunk, self.caller).await?;
            return Ok(created(name, &digest));
        }
        let algorithm = match self.query("digest-algorithm") {
            Some(algorithm) => algorithm.parse()?,
            None => Algorithm::Sha256,
        };
        let upload = self.registry.begin_upload(name, algorithm, self.caller).await?;
        Ok(progress(StatusCode::ACCEPTED, name, &upload))
    }

    pub(super) async fn upload_status(&self, name: &RepositoryName, id: &str) -> Result<Answer, Error> {
        let upload = self
            .registry
            .upload_status(Upload::new(name, id), self.caller)
            .await?;
        Ok(progress(StatusCode::NO_CONTENT, name, &upload))
    }

    pub(super) async fn append_upload<B>(
        &self,
        name: &RepositoryName,
        id: &str,
        body: B,
    ) -> Result<Answer, Error>
    where
        B: Body<Data = Bytes> + Send + 'static,
    {
        let chunk = self.chunk(body)?;
        let upload = self
            .registry
            .append_upload(Upload::new(name, id), chunk, self.caller)
            .await?;
        Ok(progress(StatusCode::ACCEPTED, name, &upload))
    }

    pub(super) async fn finish_upload<B>(
        &self,
        name: &RepositoryName,
        id: &str,
        body: B,
    ) -> Result<Answer, Error>
    where
        B: Body<Data = Bytes> + Send + 'static,
    {
        let digest: Digest = match self.query("digest") {
            Some(digest) => digest.parse()?,
            None => {
                return Err(Error::new(
                    ErrorKind::DigestInvalid,
                    "the parameter digest is missing",
                ));
            }
        };
        let is_empty = self.content_length() == Some(0) || body.is_end_stream();
        let chunk = if is_empty && self.header(&CONTENT_RANGE).is_none() {
            None
        } else {
            Some(self.chunk(body)?)
        };
        self.registry
            .finish_upload(Upload::new(name, id), &digest, chunk, self.caller)
            .await?;
        Ok(created(name, &digest))
    }

    pub(super) async fn cancel_upload(&self, name: &RepositoryName, id: &str) -> Result<Answer, Error> {
        self.registry
            .cancel_upload(Upload::new(name, id), self.caller)
            .await?;
        Ok(answer(StatusCode::NO_CONTENT))
    }

    /// The request's body as a piece of a blob.
    fn chunk<B>(&self, body: B) -> Result<Chunk, Error>
    where
        B: Body<Data = Bytes> + Send + 'static,
    {
        let range = match self.parts.headers.get(CONTENT_RANGE) {
            None => None,
            Some(value) => Some(
                value
                    .to_str()
                    .ok()
                    .and_then(parse_content_range)
                    .ok_or_else(|| invalid("Content-Range is not of the form first-last"))?,
            ),
        };
        let length = self.content_length();
        Ok(Chunk::new(incoming(body, self.body_idle))
            .with_range(range)
            .with_length(length))
    }
}

/// `first-last`, both inclusive, without a unit (distribution-spec, "Pushing a blob in chunks").
fn parse_content_range(text: &str) -> Option<(u64, u64)> {
    let number = |text: &str| -> Option<u64> {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse().ok()).flatten()
    };
    let (first, last) = text.split_once('-')?;
    let (first, last) = (number(first)?, number(last)?);
    (first <= last && last < u64::MAX).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges() {
        for (text, expected) in [
            ("0-0", Some((0, 0))),
            ("5-9", Some((5, 9))),
            ("9-5", None),
            ("bytes 0-5", None),
            ("0-5/6", None),
            ("-5", None),
            ("+1-5", None),
            ("0-18446744073709551615", None),
            ("0-99999999999999999999", None),
        ] {
            assert_eq!(parse_content_range(text), expected, "{text}");
        }
    }
}
