//! An upload in the hands of one request: locked, claimed, fed, let go.
//!
//! Within a process a lock keeps others out. Where several processes share the metadata store, a claim
//! does: it moves the session's version on, so that whoever held an older claim can change nothing any
//! more, however late it wakes up.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;

use super::quota::Promise;
use super::uploads::Chunk;
use super::{Registry, UploadGuard, busy_upload};
use crate::blob_store::{Append, BlobStore, ByteStream, Durability, Hashed, UploadState};
use crate::caller::Caller;
use crate::digest::Hasher;
use crate::error::{BodyError, Error, ErrorKind, StoreError, StoreErrorKind};
use crate::metadata::{RepositoryRecord, UploadRecord};

/// How long a claim keeps other processes out. One that runs out while its request is still at work
/// costs that request its outcome if somebody else claims the upload meanwhile, and nothing else: a store
/// whose uploads are files keeps the two from writing to one of them at the same time.
const CLAIM: Duration = Duration::from_mins(15);

pub(super) fn unknown_upload() -> Error {
    Error::new(ErrorKind::UploadUnknown, "blob upload unknown to this repository")
}

pub(super) fn too_large(limit: u64) -> Error {
    Error::from(BodyError::TooLarge { limit }).with_detail(serde_json::json!({ "max_allowed": limit }))
}

/// A session whose bytes are being changed by this request.
pub(super) struct Session {
    /// Kept until nothing more happens to the upload's bytes.
    pub(super) _guard: UploadGuard,
    pub(super) record: UploadRecord,
    pub(super) store: Arc<dyn BlobStore>,
    /// Whether a claim stands in the metadata store, to be ended.
    pub(super) claimed: bool,
    /// What it has been promised, where pushes to its repository end somewhere.
    pub(super) promise: Option<Promise>,
}

impl Session {
    /// Why its body was ended by the registry.
    pub(super) fn refusal(&self) -> Error {
        let refusal = self.promise.as_ref().and_then(Promise::take_refusal);
        refusal.unwrap_or_else(|| BodyError::Refused.into())
    }
}

/// What came of a chunk.
pub(super) struct Taken {
    pub(super) state: UploadState,
    pub(super) offset: u64,
    pub(super) hasher: Hasher,
    pub(super) interrupted: Option<BodyError>,
}

impl Registry {
    pub(super) async fn session_record(
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

    /// Takes an upload for this request alone, within this process.
    pub(super) async fn lock_session(
        &self,
        repository: &RepositoryRecord,
        id: &str,
        caller: &Caller,
    ) -> Result<Session, Error> {
        let guard = self.lock_upload(id)?;
        let record = self.session_record(repository, id, caller).await?;
        let location = &record.upload.location;
        let store = self.location(location).map(Arc::clone).ok_or_else(|| {
            let context = format!("storage location {location} of an upload is not configured");
            StoreError::new(StoreErrorKind::Unavailable, context)
        })?;
        Ok(Session {
            _guard: guard,
            record,
            store,
            claimed: false,
            promise: None,
        })
    }

    /// Takes it for this process alone, until the claim is ended or runs out.
    pub(super) async fn claim_session(&self, mut session: Session) -> Result<Session, Error> {
        if self.0.metadata.is_sole_writer() {
            return Ok(session);
        }
        let now = self.0.runtime.clock.now();
        let until = now.plus(CLAIM);
        let record = &session.record;
        transact!(self, |unit| async {
            let id = &record.upload.id;
            if unit.uploads().claim(id, record.version, until, now).await? {
                Ok(())
            } else {
                Err(busy_upload())
            }
        })?;
        session.record.version += 1;
        session.claimed = true;
        Ok(session)
    }

    /// Ends this request's claim without a change, and what the upload was promised for nothing. What cannot be
    /// ended runs out.
    pub(super) async fn release(&self, session: &Session) {
        let promised = session.promise.as_ref().map_or(0, Promise::reserved);
        if !session.claimed && promised <= session.record.offset {
            return;
        }
        if let Err(error) = self.try_release(session).await {
            tracing::warn!(%error, "the claim on an upload could not be ended, it will run out");
        }
    }

    /// Ends a request that failed. A session that a quota has no room for goes at once: clients do not come back to
    /// it, and what it holds is wanted by others.
    pub(super) async fn let_go(&self, session: &Session, error: &Error) {
        if error.kind() == ErrorKind::QuotaExceeded
            && let Err(error) = self.discard(session).await
        {
            tracing::warn!(%error, "an upload without room could not be removed, the sweep will do it");
        }
        self.release(session).await;
    }

    async fn try_release(&self, session: &Session) -> Result<bool, Error> {
        let record = &session.record;
        let upload = &record.upload;
        transact!(self, |unit| async {
            self.trim(&mut *unit, session.promise.as_ref(), record.offset)
                .await?;
            Ok(!session.claimed
                || unit
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

    /// Drops a session and its bytes.
    pub(super) async fn discard(&self, session: &Session) -> Result<(), Error> {
        let record = &session.record;
        let removed = transact!(self, |unit| async {
            Ok(unit.uploads().remove(&record.upload.id, record.version).await?)
        })?;
        // Another process may have claimed it meanwhile; the bytes are its then. Bytes that were published
        // and never recorded are left to the sweep, which finds the object by them.
        if removed && !may_be_published(&*session.store, &record.upload.id).await {
            drop_bytes(&*session.store, &record.upload.store_state).await;
        }
        Ok(())
    }

    /// Refuses a chunk by what it announces.
    pub(super) fn check_chunk(&self, chunk: &Chunk, offset: u64) -> Result<(), Error> {
        let announced = chunk.announced()?;
        if let Some((first, _)) = chunk.range {
            if first != offset {
                return Err(Error::range(offset));
            }
            if chunk.length.is_some() && chunk.length != announced {
                return Err(Error::new(
                    ErrorKind::InvalidRequest,
                    "Content-Range and Content-Length announce different numbers of bytes",
                ));
            }
        }
        let limit = self.0.options.max_blob_size;
        let announced = announced.unwrap_or(0);
        if offset.checked_add(announced).is_none_or(|end| end > limit) {
            return Err(too_large(limit));
        }
        Ok(())
    }

    pub(super) async fn take_in(
        &self,
        session: &Session,
        chunk: Chunk,
        durability: Durability,
    ) -> Result<Taken, Error> {
        let record = &session.record;
        let announced = chunk.announced()?;
        let limit = self.0.options.max_blob_size.saturating_sub(record.offset);
        let options = Append::at(record.offset)
            .with_durability(durability)
            .with_length(announced);
        let mut body = limited(chunk.body, announced.unwrap_or(limit).min(limit), announced);
        match (&session.promise, announced) {
            (Some(promise), Some(length)) => self.promise_announced(promise, record.offset, length).await?,
            (Some(promise), None) => body = self.metered(body, promise.clone(), record.offset),
            (None, _) => {}
        }
        let Hashed { appended, hasher } = session
            .store
            .append_hashed(
                &record.upload.store_state,
                body,
                options,
                restore(record)?,
                &self.0.runtime.spawner,
            )
            .await?;
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

impl Chunk {
    /// How many bytes the client says come.
    fn announced(&self) -> Result<Option<u64>, Error> {
        let Some((first, last)) = self.range else {
            return Ok(self.length);
        };
        let length = last.checked_sub(first).and_then(|length| length.checked_add(1));
        match length {
            Some(length) => Ok(Some(length)),
            None => Err(Error::new(
                ErrorKind::InvalidRequest,
                "Content-Range does not name a range of bytes",
            )),
        }
    }
}

/// Ends a body that goes on past `limit`: past what was announced, or else past what is allowed.
fn limited(body: ByteStream, limit: u64, announced: Option<u64>) -> ByteStream {
    let mut left = limit;
    let mut over = false;
    body.map(move |piece| {
        let piece = piece?;
        match left.checked_sub(piece.len() as u64) {
            Some(rest) => {
                left = rest;
                Ok(piece)
            }
            None if announced.is_some() => Err(BodyError::Excess),
            None => Err(BodyError::TooLarge { limit }),
        }
    })
    .take_while(move |piece: &Result<Bytes, BodyError>| {
        let go_on = !over;
        over = piece.is_err();
        futures::future::ready(go_on)
    })
    .boxed()
}

pub(super) fn restore(record: &UploadRecord) -> Result<Hasher, Error> {
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
pub(super) async fn drop_bytes(store: &dyn BlobStore, state: &UploadState) {
    if let Err(error) = store.abort(state).await {
        tracing::warn!(%error, "the bytes of an ended upload could not be removed, the sweep will do it");
    }
}

/// Whether an upload's bytes may have been published, as far as a store can tell that lists its uploads.
pub(super) async fn may_be_published(store: &dyn BlobStore, id: &str) -> bool {
    match store.inventory() {
        Some(inventory) => match inventory.staged_upload(id).await {
            Ok(staged) => staged.is_some_and(|staged| staged.published),
            Err(_) => true,
        },
        None => false,
    }
}
