//! Blobs in memory.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;

use crate::blob_store::{
    Append, Appended, BlobBody, BlobInventory, BlobStore, ByteStream, ObjectKey, Open, Published,
    StagedUpload, UploadState,
};
use crate::digest::Digest;
use crate::error::{StoreError, StoreErrorKind};
use crate::runtime::Timestamp;

/// A [`BlobStore`] that forgets everything when it is dropped. Clones share their content.
#[derive(Debug, Clone, Default)]
pub struct MemoryBlobs(Arc<Mutex<Content>>);

#[derive(Debug, Default)]
struct Content {
    uploads: BTreeMap<String, Upload>,
    objects: HashMap<ObjectKey, Bytes>,
}

#[derive(Debug, Default)]
struct Upload {
    bytes: BytesMut,
    published: bool,
}

fn corrupt(context: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Corrupt, context)
}

fn id_of(state: &UploadState) -> Result<String, StoreError> {
    match state.as_bytes().split_first() {
        Some((1, id)) => String::from_utf8(id.to_vec()).map_err(|_| corrupt("an upload's state is not text")),
        _ => Err(corrupt("an upload's state is of another version")),
    }
}

fn state_of(id: &str) -> UploadState {
    UploadState::new([&[1], id.as_bytes()].concat())
}

impl MemoryBlobs {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The keys of all objects, in order.
    #[must_use]
    pub fn objects(&self) -> Vec<ObjectKey> {
        let mut keys: Vec<ObjectKey> = self.content().objects.keys().cloned().collect();
        keys.sort();
        keys
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slice(bytes: &Bytes, options: Open) -> Result<Bytes, StoreError> {
        let Some(range) = options.resolved() else {
            return Ok(Bytes::new());
        };
        let bound = |offset: Option<u64>| offset.and_then(|offset| usize::try_from(offset).ok());
        let start = bound(Some(range.start));
        let end = bound(range.start.checked_add(range.length)).filter(|&end| end <= bytes.len());
        match (start, end) {
            (Some(start), Some(end)) => Ok(bytes.slice(start..end)),
            _ => Err(corrupt("an object is shorter than recorded")),
        }
    }
}

#[async_trait]
impl BlobStore for MemoryBlobs {
    async fn begin(&self, id: &str) -> Result<UploadState, StoreError> {
        Ok(state_of(id))
    }

    async fn append(
        &self,
        state: &UploadState,
        mut data: ByteStream,
        options: Append,
    ) -> Result<Appended, StoreError> {
        let id = id_of(state)?;
        let mut taken = BytesMut::new();
        let mut interrupted = None;
        while let Some(piece) = data.next().await {
            match piece {
                Ok(piece) => taken.extend_from_slice(&piece),
                Err(error) => {
                    interrupted = Some(error);
                    break;
                }
            }
        }
        let mut content = self.content();
        let upload = content.uploads.entry(id).or_default();
        let offset = usize::try_from(options.offset).unwrap_or(usize::MAX);
        if upload.bytes.len() < offset {
            return Err(corrupt("an upload holds fewer bytes than recorded"));
        }
        upload.bytes.truncate(offset);
        upload.bytes.extend_from_slice(&taken);
        Ok(Appended::new(state.clone(), taken.len() as u64, interrupted))
    }

    async fn staged(&self, state: &UploadState, length: u64) -> Result<BlobBody, StoreError> {
        let id = id_of(state)?;
        let content = self.content();
        let bytes = content.uploads.get(&id).map_or(&[][..], |upload| &upload.bytes);
        usize::try_from(length)
            .ok()
            .and_then(|length| bytes.get(..length))
            .map(|bytes| BlobBody::Bytes(Bytes::copy_from_slice(bytes)))
            .ok_or_else(|| corrupt("an upload holds fewer bytes than recorded"))
    }

    async fn commit(
        &self,
        state: &UploadState,
        digest: &Digest,
        length: u64,
    ) -> Result<Published, StoreError> {
        let id = id_of(state)?;
        let key = ObjectKey::of_upload(digest, &id);
        let mut content = self.content();
        let upload = content.uploads.entry(id).or_default();
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let bytes = upload
            .bytes
            .get(..length)
            .map(Bytes::copy_from_slice)
            .ok_or_else(|| corrupt("an upload holds fewer bytes than recorded"))?;
        upload.published = true;
        content.objects.insert(key.clone(), bytes);
        Ok(Published::at(key))
    }

    async fn abort(&self, state: &UploadState) -> Result<(), StoreError> {
        let id = id_of(state)?;
        self.content().uploads.remove(&id);
        Ok(())
    }

    async fn open(&self, key: &ObjectKey, options: Open) -> Result<Option<BlobBody>, StoreError> {
        let content = self.content();
        match content.objects.get(key) {
            None => Ok(None),
            Some(object) => Ok(Some(BlobBody::Bytes(Self::slice(object, options)?))),
        }
    }

    async fn stat(&self, key: &ObjectKey) -> Result<Option<u64>, StoreError> {
        Ok(self.content().objects.get(key).map(|object| object.len() as u64))
    }

    async fn delete(&self, keys: &[ObjectKey]) -> Vec<Result<(), StoreError>> {
        let mut content = self.content();
        keys.iter()
            .map(|key| {
                content.objects.remove(key);
                Ok(())
            })
            .collect()
    }

    fn inventory(&self) -> Option<&dyn BlobInventory> {
        Some(self)
    }
}

#[async_trait]
impl BlobInventory for MemoryBlobs {
    async fn staged_uploads(
        &self,
        before: Timestamp,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<StagedUpload>, StoreError> {
        // No clock here: everything was written at the beginning of time.
        let modified = Timestamp::from_millis(0);
        Ok(self
            .content()
            .uploads
            .iter()
            .filter(|(id, _)| modified < before && after.is_none_or(|after| id.as_str() > after))
            .take(limit)
            .map(|(id, upload)| {
                let length = upload.bytes.len() as u64;
                StagedUpload::new(id.clone(), state_of(id), length, modified, upload.published)
            })
            .collect())
    }

    async fn staged_upload(&self, id: &str) -> Result<Option<StagedUpload>, StoreError> {
        let modified = Timestamp::from_millis(0);
        Ok(self.content().uploads.get(id).map(|upload| {
            let length = upload.bytes.len() as u64;
            StagedUpload::new(id.to_owned(), state_of(id), length, modified, upload.published)
        }))
    }

    async fn unpublish(&self, state: &UploadState, digest: &Digest) -> Result<bool, StoreError> {
        let id = id_of(state)?;
        let key = ObjectKey::of_upload(digest, &id);
        Ok(self.content().objects.remove(&key).is_some())
    }
}
