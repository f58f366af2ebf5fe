//! Publishing: an upload, or a body in one request, becomes a blob of a repository.

use std::sync::Arc;

use bytes::Bytes;

use super::quota::Promise;
use super::session::{Session, Taken, drop_bytes, may_be_published, restore, too_large, unknown_upload};
use super::uploads::{Chunk, Upload};
use super::{Blob, Registry, gone};
use crate::auth::Action;
use crate::blob_store::{Durability, ObjectKey};
use crate::caller::Caller;
use crate::digest::Digest;
use crate::error::{BodyError, Error, ErrorKind};
use crate::hashing::digest_of;
use crate::metadata::{NewBlob, NewUpload, Placement, RepositoryRecord, UploadRecord};
use crate::name::RepositoryName;
use crate::runtime::detached;

/// Whether an upload is recorded, or lives in this request alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Row {
    /// It is a session, which its client may come back to.
    Recorded,
    /// It is recorded, for this request alone.
    Whole,
    /// It is not.
    None,
}

/// Where a blob is published to.
struct Target {
    name: RepositoryName,
    found: Option<Arc<RepositoryRecord>>,
    caller: Caller,
}

impl Registry {
    /// Finishes an upload, with a last chunk or without: verifies the digest, publishes the bytes and
    /// links the repository to the blob. All of it is durable once this returns.
    ///
    /// A digest that does not match drops the upload. A body that breaks off leaves it where it stood.
    ///
    /// # Errors
    /// [`ErrorKind::DigestInvalid`], those of [`append_upload`](Self::append_upload), or a store's.
    ///
    /// # Cancel safety
    /// As [`append_upload`](Self::append_upload).
    pub async fn finish_upload(
        &self,
        upload: Upload<'_>,
        digest: &Digest,
        chunk: Option<Chunk>,
        caller: &Caller,
    ) -> Result<Blob, Error> {
        let repository = self.upload_repository(upload.name, caller).await?;
        let mut session = self.lock_session(&repository, upload.id, caller).await?;
        if let Some(chunk) = &chunk {
            self.check_chunk(chunk, session.record.offset)?;
            session.promise = self.promise_for(upload.name, &session.record).await?;
        }
        let target = Target {
            name: upload.name.clone(),
            found: Some(repository),
            caller: caller.clone(),
        };
        let (this, digest) = (self.clone(), *digest);
        detached(&*self.0.runtime.spawner, async move {
            let session = this.claim_session(session).await?;
            let outcome = this.finish(&session, target, digest, chunk, Row::Recorded).await;
            if let Err(error) = &outcome {
                this.let_go(&session, error).await;
            }
            outcome
        })
        .await
        .map_err(gone)?
    }

    /// Uploads a blob in one request, without a session.
    ///
    /// # Errors
    /// As [`finish_upload`](Self::finish_upload).
    ///
    /// # Cancel safety
    /// As [`append_upload`](Self::append_upload).
    pub async fn push_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        chunk: Chunk,
        caller: &Caller,
    ) -> Result<Blob, Error> {
        let mut found = self.writable(name, Action::Push, caller).await?;
        self.check_chunk(&chunk, 0)?;
        let limited = self.refuse_exhausted(name, found.as_deref()).await?;
        let location = self.preferred()?;
        let id = self.0.runtime.random_id();
        // Locked so that the sweep leaves an upload without a row alone.
        let guard = self.lock_upload(&id)?;
        let state = location.store.begin(&id).await?;
        let mut upload = NewUpload::new(
            id,
            0,
            caller.principal.binding(),
            Arc::clone(&location.id),
            digest.algorithm(),
            state,
        );
        let mut row = Row::None;
        if limited {
            // What is promised to it is kept in a row of its own, as any upload's is.
            match self.record_upload(name, found, &upload, caller).await {
                Ok(repository) => upload.repository = repository,
                Err(error) => {
                    drop_bytes(&*location.store, &upload.store_state).await;
                    return Err(error);
                }
            }
            row = Row::Whole;
            found = self.writable(name, Action::Push, caller).await?;
        }
        let record = UploadRecord::new(upload, 0, Bytes::new(), 0, self.0.runtime.clock.now());
        let session = Session {
            _guard: guard,
            promise: limited.then(|| Promise::of(name, &record)),
            record,
            store: Arc::clone(&location.store),
            claimed: false,
        };
        let target = Target {
            name: name.clone(),
            found,
            caller: caller.clone(),
        };
        let (this, digest) = (self.clone(), *digest);
        detached(&*self.0.runtime.spawner, async move {
            let outcome = this.finish(&session, target, digest, Some(chunk), row).await;
            if outcome.is_err() {
                // Nobody comes back to it: what it was promised is free, its bytes are the sweep's.
                this.release(&session).await;
            }
            outcome
        })
        .await
        .map_err(gone)?
    }

    async fn finish(
        &self,
        session: &Session,
        target: Target,
        digest: Digest,
        chunk: Option<Chunk>,
        row: Row,
    ) -> Result<Blob, Error> {
        let store = &*session.store;
        let staged = match self.verify(session, digest, chunk).await {
            Ok(staged) => staged,
            Err((error, fate)) => {
                match (row, fate) {
                    (Row::None, _) => drop_bytes(store, &session.record.upload.store_state).await,
                    (Row::Recorded, Fate::Drop) | (Row::Whole, _) => self.discard(session).await?,
                    (Row::Recorded, Fate::Keep) => {}
                }
                return Err(error);
            }
        };
        let (state, size) = (staged.state, staged.offset);
        let published = match store.commit(&state, &digest, size).await {
            Ok(published) => published,
            Err(error) => {
                // It may have been published all the same: then the sweep finds the object by its upload.
                if row == Row::None && !may_be_published(store, &session.record.upload.id).await {
                    drop_bytes(store, &state).await;
                }
                return Err(error.into());
            }
        };
        let placement = Placement::new(Arc::clone(&session.record.upload.location), published.key);
        let blob = NewBlob::new(digest, size, placement);
        // When this fails the upload stays: the client may finish it again, or the sweep finds by it
        // that the published object belongs to nobody.
        let (id, key) = self.record_blob(&session.record, target, &blob, row).await?;
        if key != blob.placement.key {
            // The blob lies there already. What was published goes before its upload, by which a sweep would
            // find it.
            let own = std::slice::from_ref(&blob.placement.key);
            if let Some(Err(error)) = store.delete(own).await.pop() {
                tracing::warn!(%error, "an object that is there twice was not deleted");
                return Ok(Self::blob_of(
                    id,
                    digest,
                    size,
                    Placement::new(blob.placement.location, key),
                ));
            }
        }
        drop_bytes(store, &state).await;
        let placement = Placement::new(blob.placement.location, key);
        Ok(Self::blob_of(id, digest, size, placement))
    }

    async fn record_blob(
        &self,
        upload: &UploadRecord,
        mut target: Target,
        blob: &NewBlob,
        row: Row,
    ) -> Result<(i64, ObjectKey), Error> {
        let now = self.0.runtime.clock.now();
        let lease = now.plus(self.0.options.lease);
        let name = &target.name;
        transact!(
            self,
            |unit| async {
                let repository = self
                    .target(&mut *unit, name, target.found.as_deref(), now)
                    .await?;
                let (id, key) = unit.blobs().record(blob, now).await?;
                unit.blobs().link(repository, id, &blob.digest, lease).await?;
                if row != Row::None && !unit.uploads().remove(&upload.upload.id, upload.version).await? {
                    return Err(unknown_upload());
                }
                self.settle_quota(&mut *unit, name, repository, now).await?;
                Ok((id, key))
            },
            target.found = self.writable(name, Action::Push, &target.caller).await?
        )
    }

    /// Takes in the last chunk and compares the digest of everything.
    async fn verify(
        &self,
        session: &Session,
        digest: Digest,
        chunk: Option<Chunk>,
    ) -> Result<Taken, (Error, Fate)> {
        let keep = |error: Error| (error, Fate::Keep);
        let record = &session.record;
        let mut taken = match chunk {
            Some(chunk) => self
                .take_in(session, chunk, Durability::AtCommit)
                .await
                .map_err(keep)?,
            None => Taken {
                state: record.upload.store_state.clone(),
                offset: record.offset,
                hasher: restore(record).map_err(keep)?,
                interrupted: None,
            },
        };
        match taken.interrupted.take() {
            None => {}
            Some(BodyError::TooLarge { limit }) => return Err((too_large(limit), Fate::Drop)),
            Some(BodyError::Refused) => {
                let refusal = session.refusal();
                let fate = if refusal.store_error().is_some() {
                    Fate::Keep
                } else {
                    Fate::Drop
                };
                return Err((refusal, fate));
            }
            Some(reason) => return Err(keep(reason.into())),
        }
        let actual = if digest.algorithm() == taken.hasher.algorithm() {
            taken.hasher.clone().finish()
        } else {
            let staged = session.store.staged(&taken.state, taken.offset).await;
            let staged = staged.map_err(|error| keep(error.into()))?;
            digest_of(staged, digest.algorithm(), &*self.0.runtime.spawner)
                .await
                .map_err(|error| keep(error.into()))?
        };
        if actual == digest {
            return Ok(taken);
        }
        let error = Error::new(
            ErrorKind::DigestInvalid,
            "the uploaded content does not have this digest",
        )
        .with_detail(serde_json::json!({ "expected": digest, "computed": actual }));
        Err((error, Fate::Drop))
    }
}

/// What becomes of an upload that could not be finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// The client may try again.
    Keep,
    /// Nothing good can come of it.
    Drop,
}
