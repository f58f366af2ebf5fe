//! Uploads: begun, appended to, looked at, cancelled, by any process that sees the same stores.

use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;

use super::session::{Session, Taken};
use super::{Registry, gone, unknown_name};
use crate::auth::Action;
use crate::blob_store::{ByteStream, Durability};
use crate::caller::Caller;
use crate::digest::Algorithm;
use crate::error::{BodyError, Error};
use crate::metadata::{NewUpload, RepositoryId, RepositoryRecord};
use crate::name::RepositoryName;
use crate::runtime::detached;

/// How far an upload has come.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UploadStatus {
    /// Its id.
    pub id: String,
    /// How many bytes it holds.
    pub offset: u64,
}

/// Which upload is meant.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Upload<'a> {
    /// The repository that it belongs to.
    pub name: &'a RepositoryName,
    /// Its id.
    pub id: &'a str,
}

impl<'a> Upload<'a> {
    /// The upload `id` of the repository `name`.
    #[must_use]
    pub const fn new(name: &'a RepositoryName, id: &'a str) -> Self {
        Self { name, id }
    }
}

/// A piece of a blob on its way in.
#[non_exhaustive]
pub struct Chunk {
    /// Offsets of its first and last byte, if the client said so.
    pub range: Option<(u64, u64)>,
    /// How many bytes it has, if the client said so.
    pub length: Option<u64>,
    /// The bytes.
    pub body: ByteStream,
}

impl std::fmt::Debug for Chunk {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Chunk")
            .field("range", &self.range)
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}

impl Chunk {
    /// A body of which nothing is known in advance.
    #[must_use]
    pub const fn new(body: ByteStream) -> Self {
        Self {
            range: None,
            length: None,
            body,
        }
    }

    /// A body that is in memory already.
    #[must_use]
    pub fn from_bytes(bytes: Bytes) -> Self {
        let length = bytes.len() as u64;
        Self::new(futures::stream::iter([Ok(bytes)]).boxed()).with_length(Some(length))
    }

    /// Says which bytes of the blob these are.
    #[must_use]
    pub const fn with_range(mut self, range: Option<(u64, u64)>) -> Self {
        self.range = range;
        self
    }

    /// Says how many bytes come.
    #[must_use]
    pub const fn with_length(mut self, length: Option<u64>) -> Self {
        self.length = length;
        self
    }
}

impl Registry {
    /// Starts an upload whose bytes will be hashed with `algorithm`.
    ///
    /// # Errors
    /// What keeps the caller from pushing, or a store's.
    pub async fn begin_upload(
        &self,
        name: &RepositoryName,
        algorithm: Algorithm,
        caller: &Caller,
    ) -> Result<UploadStatus, Error> {
        let found = self.writable(name, Action::Push, caller).await?;
        self.refuse_exhausted(name, found.as_deref()).await?;
        let location = self.preferred()?;
        let id = self.0.runtime.random_id();
        // Locked so that a sweep leaves it alone until its row is there.
        let _guard = self.lock_upload(&id)?;
        let state = location.store.begin(&id).await?;
        let upload = NewUpload::new(
            id,
            0,
            caller.principal.binding(),
            Arc::clone(&location.id),
            algorithm,
            state,
        );
        if let Err(error) = self.record_upload(name, found, &upload, caller).await {
            super::session::drop_bytes(&*location.store, &upload.store_state).await;
            return Err(error);
        }
        Ok(UploadStatus {
            id: upload.id,
            offset: 0,
        })
    }

    /// Records a session in its repository, whose id the given one does not know yet.
    pub(super) async fn record_upload(
        &self,
        name: &RepositoryName,
        mut found: Option<Arc<RepositoryRecord>>,
        upload: &NewUpload,
        caller: &Caller,
    ) -> Result<RepositoryId, Error> {
        let now = self.0.runtime.clock.now();
        transact!(
            self,
            |unit| async {
                let mut upload = upload.clone();
                upload.repository = self.target(&mut *unit, name, found.as_deref(), now).await?;
                unit.uploads().insert(&upload, now).await?;
                Ok(upload.repository)
            },
            found = self.writable(name, Action::Push, caller).await?
        )
    }

    /// How far an upload has come.
    ///
    /// # Errors
    /// [`UploadUnknown`](crate::ErrorKind::UploadUnknown) also for an upload of another repository or
    /// another principal.
    pub async fn upload_status(&self, upload: Upload<'_>, caller: &Caller) -> Result<UploadStatus, Error> {
        let repository = self.upload_repository(upload.name, caller).await?;
        let record = self.session_record(&repository, upload.id, caller).await?;
        Ok(UploadStatus {
            id: record.upload.id,
            offset: record.offset,
        })
    }

    /// Appends a chunk. Its bytes survive a crash once this returns.
    ///
    /// A body that breaks off leaves the bytes that came; the client may ask for the status and go on.
    ///
    /// # Errors
    /// [`RangeInvalid`](crate::ErrorKind::RangeInvalid) for a chunk that does not start where the upload
    /// stands, [`UploadInvalid`](crate::ErrorKind::UploadInvalid),
    /// [`TooLarge`](crate::ErrorKind::TooLarge), [`UploadBusy`](crate::ErrorKind::UploadBusy), or a
    /// store's.
    ///
    /// # Cancel safety
    /// The chunk is taken in to its end, or the end of its body, whether or not anybody waits.
    pub async fn append_upload(
        &self,
        upload: Upload<'_>,
        chunk: Chunk,
        caller: &Caller,
    ) -> Result<UploadStatus, Error> {
        let repository = self.upload_repository(upload.name, caller).await?;
        let mut session = self.lock_session(&repository, upload.id, caller).await?;
        self.check_chunk(&chunk, session.record.offset)?;
        session.promise = self.promise_for(upload.name, &session.record).await?;
        let this = self.clone();
        detached(&*self.0.runtime.spawner, async move {
            let session = this.claim_session(session).await?;
            let outcome = this.append(&session, chunk).await;
            if let Err(error) = &outcome {
                this.let_go(&session, error).await;
            }
            outcome
        })
        .await
        .map_err(gone)?
    }

    async fn append(&self, session: &Session, chunk: Chunk) -> Result<UploadStatus, Error> {
        let record = &session.record;
        let Taken {
            state,
            offset,
            hasher,
            interrupted,
        } = self.take_in(session, chunk, Durability::Now).await?;
        if let Some(BodyError::TooLarge { limit }) = interrupted {
            self.discard(session).await?;
            return Err(super::session::too_large(limit));
        }
        let refusal = (interrupted == Some(BodyError::Refused)).then(|| session.refusal());
        if let Some(refusal) = refusal {
            // Where the store failed, what came stays: the client may go on.
            if refusal.store_error().is_none() {
                self.discard(session).await?;
            }
            return Err(refusal);
        }
        if offset > record.offset || session.claimed {
            let saved = hasher.save();
            let now = self.0.runtime.clock.now();
            let id = &record.upload.id;
            transact!(self, |unit| async {
                self.trim(&mut *unit, session.promise.as_ref(), offset).await?;
                let advanced = unit
                    .uploads()
                    .advance(id, record.version, offset, &saved, &state, now)
                    .await?;
                if advanced {
                    Ok(())
                } else {
                    Err(super::busy_upload())
                }
            })?;
            if let Some(promise) = &session.promise {
                promise.settle();
            }
        }
        match interrupted {
            Some(reason) => Err(reason.into()),
            None => Ok(UploadStatus {
                id: record.upload.id.clone(),
                offset,
            }),
        }
    }

    /// Drops an upload and its bytes.
    ///
    /// # Errors
    /// [`UploadUnknown`](crate::ErrorKind::UploadUnknown), [`UploadBusy`](crate::ErrorKind::UploadBusy),
    /// or a store's.
    pub async fn cancel_upload(&self, upload: Upload<'_>, caller: &Caller) -> Result<(), Error> {
        let repository = self.upload_repository(upload.name, caller).await?;
        let session = self.lock_session(&repository, upload.id, caller).await?;
        let this = self.clone();
        detached(&*self.0.runtime.spawner, async move {
            let session = this.claim_session(session).await?;
            let outcome = this.discard(&session).await;
            if outcome.is_err() {
                this.release(&session).await;
            }
            outcome
        })
        .await
        .map_err(gone)?
    }

    pub(super) async fn upload_repository(
        &self,
        name: &RepositoryName,
        caller: &Caller,
    ) -> Result<Arc<RepositoryRecord>, Error> {
        self.writable(name, Action::Push, caller)
            .await?
            .ok_or_else(|| unknown_name(name))
    }
}
