//! Uploads: begun, appended to, finished or cancelled, by any process that sees the same stores.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;

use super::hashing::{digest_of, hashed};
use super::{Blob, Registry, UploadGuard, busy_upload, gone, unknown_name};
use crate::auth::Action;
use crate::blob_store::{Append, BlobStore, ByteStream, Durability, UploadState};
use crate::caller::Caller;
use crate::digest::{Algorithm, Digest, Hasher};
use crate::error::{BodyError, Error, ErrorKind, StoreError, StoreErrorKind};
use crate::metadata::{NewBlob, NewUpload, Placement, RepositoryRecord, UploadRecord, Visibility};
use crate::name::RepositoryName;
use crate::runtime::detached;

/// How long one request may write to an upload where several processes share the metadata store.
const CLAIM: Duration = Duration::from_mins(15);

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

fn unknown_upload() -> Error {
    Error::new(ErrorKind::UploadUnknown, "blob upload unknown to this repository")
}

fn too_large(limit: u64) -> Error {
    Error::from(BodyError::TooLarge { limit }).with_detail(serde_json::json!({ "max_allowed": limit }))
}

/// A session whose bytes are being changed by this request.
struct Session {
    /// Kept until nothing more happens to the upload's bytes.
    _guard: UploadGuard,
    record: UploadRecord,
    store: Arc<dyn BlobStore>,
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
        let location = self.preferred()?;
        let id = self.0.runtime.random_id();
        let state = location.store.begin(&id).await?;
        let now = self.0.runtime.clock.now();
        let principal = caller.principal.binding();
        transact!(self, |unit| async {
            let repository = match &found {
                Some(record) => record.id,
                None => {
                    unit.repositories()
                        .ensure(name, Visibility::Private, now)
                        .await?
                        .id
                }
            };
            let upload = NewUpload::new(
                id.clone(),
                repository,
                principal.clone(),
                Arc::clone(&location.id),
                algorithm,
                state.clone(),
            );
            unit.uploads().insert(&upload, now).await?;
            Ok(())
        })?;
        Ok(UploadStatus { id, offset: 0 })
    }

    /// How far an upload has come.
    ///
    /// # Errors
    /// [`ErrorKind::UploadUnknown`] also for an upload of another repository or another principal.
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
    /// [`ErrorKind::RangeInvalid`] for a chunk that does not start where the upload stands,
    /// [`ErrorKind::UploadInvalid`], [`ErrorKind::TooLarge`], [`ErrorKind::UploadBusy`], or a store's.
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
        let session = self.open_session(&repository, upload.id, caller).await?;
        self.check_chunk(&chunk, session.record.offset)?;
        let this = self.clone();
        detached(&*self.0.runtime.spawner, async move {
            this.append(session, chunk).await
        })
        .await
        .map_err(gone)?
    }

    async fn append(&self, session: Session, chunk: Chunk) -> Result<UploadStatus, Error> {
        let record = &session.record;
        let result = self
            .take_in(
                &*session.store,
                &record.upload.store_state,
                record,
                chunk,
                Durability::Now,
            )
            .await;
        let (state, offset, hasher, interrupted) = match result {
            Ok(taken) => (taken.state, taken.offset, taken.hasher, taken.interrupted),
            Err(error) => {
                if !self.0.metadata.is_sole_writer() {
                    self.release(record).await;
                }
                return Err(error);
            }
        };
        if let Some(BodyError::TooLarge { limit }) = interrupted {
            self.discard(&session).await?;
            return Err(too_large(limit));
        }
        if offset > record.offset || !self.0.metadata.is_sole_writer() {
            let saved = hasher.save();
            let now = self.0.runtime.clock.now();
            let id = &record.upload.id;
            transact!(self, |unit| async {
                let advanced = unit
                    .uploads()
                    .advance(id, record.version, offset, &saved, &state, now)
                    .await?;
                if advanced { Ok(()) } else { Err(busy_upload()) }
            })?;
        }
        match interrupted {
            Some(reason) => Err(reason.into()),
            None => Ok(UploadStatus {
                id: record.upload.id.clone(),
                offset,
            }),
        }
    }

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
        let session = self.open_session(&repository, upload.id, caller).await?;
        if let Some(chunk) = &chunk {
            self.check_chunk(chunk, session.record.offset)?;
        }
        let (this, digest, name) = (self.clone(), *digest, upload.name.clone());
        detached(&*self.0.runtime.spawner, async move {
            let outcome = this
                .finish(&session, &name, Some(&repository), digest, chunk, true)
                .await;
            if outcome.is_err() && !this.0.metadata.is_sole_writer() {
                this.release(&session.record).await;
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
        let found = self.writable(name, Action::Push, caller).await?;
        self.check_chunk(&chunk, 0)?;
        let location = self.preferred()?;
        let id = self.0.runtime.random_id();
        // Locked so that the sweep leaves an upload without a row alone.
        let guard = self.lock_upload(&id)?;
        let state = location.store.begin(&id).await?;
        let upload = NewUpload::new(
            id,
            0,
            caller.principal.binding(),
            Arc::clone(&location.id),
            digest.algorithm(),
            state,
        );
        let session = Session {
            _guard: guard,
            record: UploadRecord::new(upload, 0, Bytes::new(), 0, self.0.runtime.clock.now()),
            store: Arc::clone(&location.store),
        };
        let (this, digest, name) = (self.clone(), *digest, name.clone());
        detached(&*self.0.runtime.spawner, async move {
            this.finish(&session, &name, found.as_deref(), digest, Some(chunk), false)
                .await
        })
        .await
        .map_err(gone)?
    }

    /// `has_row` tells a session that is recorded from one that lives in this call alone.
    async fn finish(
        &self,
        session: &Session,
        name: &RepositoryName,
        repository: Option<&RepositoryRecord>,
        digest: Digest,
        chunk: Option<Chunk>,
        has_row: bool,
    ) -> Result<Blob, Error> {
        let record = &session.record;
        let store = &*session.store;
        let mut state = record.upload.store_state.clone();
        let mut size = record.offset;
        let mut hasher = restore(record)?;
        if let Some(chunk) = chunk {
            let taken = match self
                .take_in(store, &state, record, chunk, Durability::AtCommit)
                .await
            {
                Ok(taken) => taken,
                Err(error) => {
                    if !has_row {
                        drop_bytes(store, &state).await;
                    }
                    return Err(error);
                }
            };
            (state, size, hasher) = (taken.state, taken.offset, taken.hasher);
            if let Some(reason) = taken.interrupted {
                let too_much = matches!(reason, BodyError::TooLarge { .. });
                if !has_row {
                    drop_bytes(store, &state).await;
                } else if too_much {
                    self.discard(session).await?;
                }
                return Err(match reason {
                    BodyError::TooLarge { limit } => too_large(limit),
                    reason => reason.into(),
                });
            }
        }
        let actual = if digest.algorithm() == hasher.algorithm() {
            hasher.finish()
        } else {
            let staged = store.staged(&state, size).await?;
            digest_of(staged, digest.algorithm(), &self.0.runtime).await?
        };
        if actual != digest {
            if has_row {
                self.discard(session).await?;
            } else {
                drop_bytes(store, &state).await;
            }
            return Err(Error::new(
                ErrorKind::DigestInvalid,
                "the uploaded content does not have this digest",
            )
            .with_detail(serde_json::json!({ "expected": digest, "computed": actual })));
        }
        let published = store.commit(&state, &digest, size).await?;
        let placement = Placement::new(Arc::clone(&record.upload.location), published.key);
        let now = self.0.runtime.clock.now();
        let lease = now.plus(self.0.options.lease);
        let blob = NewBlob::new(digest, size, placement);
        // When this fails the upload stays: the client may finish it again, or the sweep finds by it
        // that the published object belongs to nobody.
        let id = transact!(self, |unit| async {
            let repository = match repository {
                Some(record) => record.id,
                None => {
                    unit.repositories()
                        .ensure(name, Visibility::Private, now)
                        .await?
                        .id
                }
            };
            let id = unit.blobs().record(&blob, now).await?;
            unit.blobs().link(repository, id, &digest, lease).await?;
            if has_row && !unit.uploads().remove(&record.upload.id).await? {
                return Err(unknown_upload());
            }
            Ok(id)
        })?;
        drop_bytes(store, &state).await;
        Ok(Self::blob_of(id, digest, size, blob.placement))
    }

    /// Drops an upload and its bytes.
    ///
    /// # Errors
    /// [`ErrorKind::UploadUnknown`], [`ErrorKind::UploadBusy`], or a store's.
    pub async fn cancel_upload(&self, upload: Upload<'_>, caller: &Caller) -> Result<(), Error> {
        let repository = self.upload_repository(upload.name, caller).await?;
        let session = self.open_session(&repository, upload.id, caller).await?;
        let this = self.clone();
        detached(
            &*self.0.runtime.spawner,
            async move { this.discard(&session).await },
        )
        .await
        .map_err(gone)?
    }

    async fn discard(&self, session: &Session) -> Result<(), Error> {
        let id = &session.record.upload.id;
        transact!(self, |unit| async {
            unit.uploads().remove(id).await?;
            Ok(())
        })?;
        drop_bytes(&*session.store, &session.record.upload.store_state).await;
        Ok(())
    }

    async fn upload_repository(
        &self,
        name: &RepositoryName,
        caller: &Caller,
    ) -> Result<Arc<RepositoryRecord>, Error> {
        self.writable(name, Action::Push, caller)
            .await?
            .ok_or_else(|| unknown_name(name))
    }

    async fn session_record(
        &self,
        repository: &RepositoryRecord,
        id: &str,
        caller: &Caller,
    ) -> Result<UploadRecord, Error> {
        self.0
            .metadata
            .upload(id)
            .await?
            .filter(|record| {
                record.upload.repository == repository.id
                    && record.upload.principal == caller.principal.binding()
            })
            .ok_or_else(unknown_upload)
    }

    /// Takes an upload for this request alone.
    async fn open_session(
        &self,
        repository: &RepositoryRecord,
        id: &str,
        caller: &Caller,
    ) -> Result<Session, Error> {
        let guard = self.lock_upload(id)?;
        let record = self.session_record(repository, id, caller).await?;
        if !self.0.metadata.is_sole_writer() {
            let now = self.0.runtime.clock.now();
            transact!(self, |unit| async {
                let until = now.plus(CLAIM);
                if unit.uploads().claim(id, record.version, until, now).await? {
                    Ok(())
                } else {
                    Err(busy_upload())
                }
            })?;
        }
        let store = self
            .location(&record.upload.location)
            .map(Arc::clone)
            .ok_or_else(|| {
                StoreError::new(
                    StoreErrorKind::Unavailable,
                    format!(
                        "storage location {} of an upload is not configured",
                        record.upload.location
                    ),
                )
            })?;
        Ok(Session {
            _guard: guard,
            record,
            store,
        })
    }

    /// Ends this request's claim without a change.
    async fn release(&self, record: &UploadRecord) {
        if let Err(error) = self.try_release(record).await {
            tracing::warn!(%error, "the claim on an upload could not be ended, it will run out");
        }
    }

    async fn try_release(&self, record: &UploadRecord) -> Result<bool, Error> {
        let upload = &record.upload;
        transact!(self, |unit| async {
            Ok(unit
                .uploads()
                .advance(
                    &upload.id,
                    record.version,
                    record.offset,
                    &record.hash_state,
                    &upload.store_state,
                    record.updated,
                )
                .await?)
        })
    }

    /// Refuses a chunk by what it announces.
    fn check_chunk(&self, chunk: &Chunk, offset: u64) -> Result<(), Error> {
        if let Some((first, last)) = chunk.range {
            if first != offset {
                return Err(Error::range(offset));
            }
            let announced = last.checked_sub(first).and_then(|length| length.checked_add(1));
            if chunk.length.is_some() && chunk.length != announced {
                return Err(Error::new(
                    ErrorKind::InvalidRequest,
                    "Content-Range and Content-Length announce different numbers of bytes",
                ));
            }
        }
        let limit = self.0.options.max_blob_size;
        let announced = chunk.length.unwrap_or(0);
        if offset.checked_add(announced).is_none_or(|end| end > limit) {
            return Err(too_large(limit));
        }
        Ok(())
    }

    async fn take_in(
        &self,
        store: &dyn BlobStore,
        state: &UploadState,
        record: &UploadRecord,
        chunk: Chunk,
        durability: Durability,
    ) -> Result<Taken, Error> {
        let limit = self.0.options.max_blob_size.saturating_sub(record.offset);
        let (body, outcome) = hashed(chunk.body, restore(record)?, limit, &self.0.runtime);
        let options = Append::at(record.offset)
            .with_durability(durability)
            .with_length(chunk.length);
        let appended = store.append(state, body, options).await?;
        let hasher = outcome.hasher(appended.written, &self.0.runtime).await?;
        let announced = chunk.range.map(|(first, last)| last - first + 1).or(chunk.length);
        let interrupted = match (appended.interrupted, announced) {
            (None, Some(announced)) if announced != appended.written => Some(BodyError::Truncated),
            (Some(BodyError::TooLarge { .. }), _) => Some(BodyError::TooLarge {
                limit: self.0.options.max_blob_size,
            }),
            (other, _) => other,
        };
        Ok(Taken {
            state: appended.state,
            offset: record.offset.saturating_add(appended.written),
            hasher,
            interrupted,
        })
    }
}

struct Taken {
    state: UploadState,
    offset: u64,
    hasher: Hasher,
    interrupted: Option<BodyError>,
}

fn restore(record: &UploadRecord) -> Result<Hasher, Error> {
    if record.hash_state.is_empty() {
        return Ok(Hasher::new(record.upload.algorithm));
    }
    Hasher::restore(record.upload.algorithm, &record.hash_state).map_err(|error| {
        StoreError::new(
            StoreErrorKind::Corrupt,
            "the stored hash state of an upload is unusable",
        )
        .with_source(error)
        .into()
    })
}

/// Removes bytes that nobody needs. A failure costs space until the next sweep, nothing else.
async fn drop_bytes(store: &dyn BlobStore, state: &UploadState) {
    if let Err(error) = store.abort(state).await {
        tracing::warn!(%error, "the bytes of an ended upload could not be removed, the sweep will do it");
    }
}
