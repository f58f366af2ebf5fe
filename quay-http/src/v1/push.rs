//! Writing: a push is a chain of requests, each of which finds what came before in a blob of the repository.

use bytes::Bytes;
use futures::StreamExt as _;
use http::header::SET_COOKIE;
use http::{HeaderName, StatusCode};
use quay_core::blob_store::ByteStream;
use quay_core::manifest::{LONGEST_CHAIN, V1Image};
use quay_core::registry::{Chunk, Condition, OldImage, Upload};
use quay_core::{Algorithm, Digest, Error, ErrorKind, Hasher, Principal, Reference, RepositoryName, Tag};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, PoisonError};

use super::state::State;
use super::{Exchange, LARGEST, TIME, missing, text};
use crate::body::collected;
use crate::old_login::told;
use crate::response::{Answer, AnswerExt as _, answer};

const CHECKSUM: HeaderName = HeaderName::from_static("x-docker-checksum");
const PAYLOAD_CHECKSUM: HeaderName = HeaderName::from_static("x-docker-checksum-payload");

/// What has been pushed.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Pushed {
    images: Vec<PushedImage>,
}

/// An image that is being pushed.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct PushedImage {
    id: String,
    /// The blob with what is said of it.
    json: String,
    /// Its layer, once it has come.
    layer: Option<String>,
    /// The hash of both together.
    checksum: Option<String>,
}

fn invalid(message: &str) -> Error {
    Error::new(ErrorKind::InvalidRequest, message)
}

fn no_push() -> Error {
    invalid("no push is in progress")
}

impl Exchange<'_> {
    /// Makes or opens a repository.
    pub(super) async fn begin_push(&mut self, name: &RepositoryName) -> Result<Answer, Error> {
        let registry = &self.service.registry;
        registry.takes_old_pushes(name)?;
        if self.caller.principal == Principal::Anonymous {
            return Ok(told(
                StatusCode::UNAUTHORIZED,
                "Cannot create a repository as a guest. Please login via \"docker login\" first.",
            ));
        }
        self.service.accounts.require_enabled(name).await?;
        self.state.push = None;
        let answer = answer(StatusCode::CREATED);
        // The repository is made when the token is issued, if the caller may make it.
        let answer = self.lead_on(answer, name, true).await?;
        match registry.may_push_old(name, &self.caller).await {
            Ok(()) => Ok(answer),
            Err(error) if error.kind() == ErrorKind::NameUnknown => {
                Err(Error::new(ErrorKind::Forbidden, "the repository cannot be made"))
            }
            Err(error) => Err(error),
        }
    }

    pub(super) async fn finish_push(&self, name: &RepositoryName) -> Result<Answer, Error> {
        self.service.registry.may_push_old(name, &self.caller).await?;
        self.pushed(name).await?;
        self.lead_on(answer(StatusCode::NO_CONTENT), name, false).await
    }

    /// What has been pushed so far.
    async fn pushed(&self, name: &RepositoryName) -> Result<Pushed, Error> {
        let (Some(repository), Some(push)) = (&self.state.repository, &self.state.push) else {
            return Err(no_push());
        };
        if repository != name.path() {
            return Err(no_push());
        }
        let content = self.read(name, push).await?;
        serde_json::from_slice(&content).map_err(|_| no_push())
    }

    async fn read(&self, name: &RepositoryName, digest: &Digest) -> Result<Bytes, Error> {
        let registry = &self.service.registry;
        match registry.read_blob(name, digest, LARGEST, &self.caller).await {
            Ok(Some(content)) => Ok(content),
            Ok(None) => Err(no_push()),
            // Too long ago.
            Err(error) if error.kind() == ErrorKind::BlobUnknown => Err(no_push()),
            Err(error) => Err(error),
        }
    }

    async fn keep(&self, name: &RepositoryName, content: impl Into<Bytes>) -> Result<Digest, Error> {
        let content = content.into();
        let digest = Digest::of(Algorithm::Sha256, &content);
        let chunk = Chunk::from_bytes(content);
        self.service
            .registry
            .push_blob(name, &digest, chunk, &self.caller)
            .await?;
        Ok(digest)
    }

    /// Answers a request that has changed what was pushed.
    async fn went_on(&self, name: &RepositoryName, pushed: &Pushed) -> Result<Answer, Error> {
        let content = serde_json::to_vec(pushed).map_err(|_| no_push())?;
        let state = State {
            repository: Some(name.path().to_owned()),
            push: Some(self.keep(name, content).await?),
        };
        let accounts = &self.service.accounts;
        Ok(text("true").with(SET_COOKIE, &state.cookie(accounts.options(), &**accounts.seal())))
    }

    pub(super) async fn put_json(
        &self,
        name: &RepositoryName,
        id: &str,
        body: ByteStream,
    ) -> Result<Answer, Error> {
        let registry = &self.service.registry;
        registry.may_push_old(name, &self.caller).await?;
        let mut pushed = match self.state.push {
            Some(_) => self.pushed(name).await?,
            None => Pushed::default(),
        };
        let body = collected(body, LARGEST, TIME).await?;
        let json = String::from_utf8(body.to_vec()).map_err(|_| invalid("Invalid JSON"))?;
        // Whatever layer comes: only the description is looked at.
        let nothing = Digest::of(Algorithm::Sha256, b"");
        let image = V1Image::pushed(json.clone(), nothing);
        let image =
            image.ok_or_else(|| invalid("Invalid JSON: an image needs an id and may have a parent"))?;
        if image.id != id {
            return Err(invalid("JSON data contains invalid id for image"));
        }
        if let Some(parent) = &image.parent
            && !pushed.images.iter().any(|known| known.id == *parent)
        {
            let found = registry.image(name, parent, &self.caller).await;
            found.map_err(|error| match error.kind() {
                ErrorKind::NotFound => invalid("Image depends on a non existing parent image"),
                _ => error,
            })?;
        }
        pushed.images.retain(|known| known.id != id);
        if pushed.images.len() >= LONGEST_CHAIN {
            return Err(invalid("a push has too many images"));
        }
        pushed.images.push(PushedImage {
            id: id.to_owned(),
            json: self.keep(name, json).await?.to_string(),
            layer: None,
            checksum: None,
        });
        self.went_on(name, &pushed).await
    }

    pub(super) async fn put_layer(
        &self,
        name: &RepositoryName,
        id: &str,
        body: ByteStream,
    ) -> Result<Answer, Error> {
        let registry = &self.service.registry;
        registry.may_push_old(name, &self.caller).await?;
        let mut pushed = self.pushed(name).await?;
        let image = pushed.images.iter_mut().find(|known| known.id == id);
        let image = image.ok_or_else(|| missing("Image"))?;
        let json = self.read(name, &image.json.parse()?).await?;
        let mut together = Hasher::new(Algorithm::Sha256);
        together.update(&json);
        together.update(b"\n");
        let hashers = Arc::new(Mutex::new((Hasher::new(Algorithm::Sha256), together)));
        let upload = registry
            .begin_upload(name, Algorithm::Sha256, &self.caller)
            .await?;
        let passing = Arc::clone(&hashers);
        let body = body.inspect(move |piece| {
            if let Ok(piece) = piece {
                let mut hashers = passing.lock().unwrap_or_else(PoisonError::into_inner);
                hashers.0.update(piece);
                hashers.1.update(piece);
            }
        });
        let chunk = Chunk::new(body.boxed());
        let which = || Upload::new(name, &upload.id);
        let stored = registry.append_upload(which(), chunk, &self.caller).await;
        if let Err(error) = stored {
            // What has come of it is of no use: the client sends all of it again.
            let _ = registry.cancel_upload(which(), &self.caller).await;
            return Err(error);
        }
        let (layer, together) = {
            let hashers = hashers.lock().unwrap_or_else(PoisonError::into_inner);
            (hashers.0.clone().finish(), hashers.1.clone().finish())
        };
        let finished = registry.finish_upload(which(), &layer, None, &self.caller).await;
        if let Err(error) = finished {
            let _ = registry.cancel_upload(which(), &self.caller).await;
            return Err(error);
        }
        image.layer = Some(layer.to_string());
        image.checksum = Some(together.to_string());
        self.went_on(name, &pushed).await
    }

    pub(super) async fn put_checksum(&self, name: &RepositoryName, id: &str) -> Result<Answer, Error> {
        self.service.registry.may_push_old(name, &self.caller).await?;
        let pushed = self.pushed(name).await?;
        let image = pushed.images.iter().find(|known| known.id == id);
        let image = image.ok_or_else(|| missing("Image"))?;
        let header = |name| self.parts.headers.get(name).and_then(|value| value.to_str().ok());
        let said = header(PAYLOAD_CHECKSUM).or_else(|| header(CHECKSUM));
        let said = said.ok_or_else(|| invalid("Missing Image's checksum"))?;
        let known = image
            .checksum
            .as_deref()
            .ok_or_else(|| invalid("Checksum not set for the image: no layer came"))?;
        if said != known {
            return Err(invalid("Checksum mismatch"));
        }
        Ok(text("true"))
    }

    pub(super) async fn put_tag(
        &self,
        name: &RepositoryName,
        tag: &str,
        body: ByteStream,
    ) -> Result<Answer, Error> {
        let registry = &self.service.registry;
        registry.may_push_old(name, &self.caller).await?;
        let tag = Tag::new(tag)?;
        let body = collected(body, LARGEST, TIME).await?;
        let id: String =
            serde_json::from_slice(&body).map_err(|_| invalid("the body is not an image's id"))?;
        let pushed = match self.state.push {
            Some(_) => self.pushed(name).await?,
            None => Pushed::default(),
        };
        let mut images: Vec<OldImage> = Vec::new();
        // All of it becomes one manifest.
        let mut room = registry.options().manifest.bytes;
        let mut next = Some(id.clone());
        while let Some(known) = next
            .as_ref()
            .and_then(|id| pushed.images.iter().find(|known| known.id == *id))
        {
            if images.len() >= pushed.images.len() {
                return Err(invalid("an image is made from itself"));
            }
            let json = self.read(name, &known.json.parse()?).await?;
            let too_large = || {
                Error::new(
                    ErrorKind::ManifestTooLarge,
                    "the images say too much for one manifest",
                )
            };
            room = room.checked_sub(json.len()).ok_or_else(too_large)?;
            let json = String::from_utf8(json.to_vec()).map_err(|_| no_push())?;
            let layer = known
                .layer
                .as_deref()
                .ok_or_else(|| invalid("an image has no layer yet"))?;
            let layer: Digest = layer.parse()?;
            next = V1Image::pushed(json.clone(), layer).and_then(|image| image.parent);
            images.push(OldImage { json, layer });
        }
        images.reverse();
        if images.is_empty() {
            // Nothing new: the tag moves to an image that is there.
            let chain = registry.image(name, &id, &self.caller).await?;
            let known = chain.images.into_iter();
            images = known
                .map(|image| OldImage {
                    json: image.json,
                    layer: image.blob,
                })
                .collect();
        }
        registry.put_old_images(name, &tag, images, &self.caller).await?;
        Ok(text("true"))
    }

    pub(super) async fn delete_tag(&self, name: &RepositoryName, tag: &str) -> Result<Answer, Error> {
        let registry = &self.service.registry;
        registry.may_push_old(name, &self.caller).await?;
        let tag = Reference::Tag(Tag::new(tag).map_err(|_| missing("Tag"))?);
        registry
            .delete_manifest(name, &tag, &Condition::None, &self.caller)
            .await?;
        Ok(text("true"))
    }
}
