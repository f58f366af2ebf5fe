//! An integrator's own [`BlobStore`]: every blob in one append-only log in memory, as a tape would keep
//! them. What it shows is the shape of an implementation and how it is proven; see the test at the end.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use quay_core::blob_store::{
    Append, Appended, BlobBody, ByteStream, ObjectKey, Open, Published, UploadState,
};
use quay_core::{BlobStore, Digest, StoreError, StoreErrorKind};

/// A log of bytes with a directory. Deleting forgets where something lies, nothing more.
#[derive(Debug, Clone, Default)]
pub struct Tape(Arc<Mutex<Reel>>);

#[derive(Debug, Default)]
struct Reel {
    log: BytesMut,
    objects: HashMap<ObjectKey, (usize, usize)>,
    uploads: HashMap<String, Vec<u8>>,
}

fn corrupt(context: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Corrupt, context)
}

/// An upload's state is a version and the upload's id: whoever holds it can go on with the upload.
fn id_of(state: &UploadState) -> Result<String, StoreError> {
    match state.as_bytes().split_first() {
        Some((1, id)) => String::from_utf8(id.to_vec()).map_err(|_| corrupt("the state is not text")),
        _ => Err(corrupt("the state is of another version")),
    }
}

impl Tape {
    fn reel(&self) -> MutexGuard<'_, Reel> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl BlobStore for Tape {
    async fn begin(&self, id: &str) -> Result<UploadState, StoreError> {
        Ok(UploadState::new([&[1], id.as_bytes()].concat()))
    }

    async fn append(
        &self,
        state: &UploadState,
        mut data: ByteStream,
        options: Append,
    ) -> Result<Appended, StoreError> {
        let id = id_of(state)?;
        let mut taken = Vec::new();
        let mut interrupted = None;
        while let Some(piece) = data.next().await {
            match piece {
                Ok(piece) => taken.extend_from_slice(&piece),
                // What came before counts; the caller learns why nothing more came.
                Err(error) => {
                    interrupted = Some(error);
                    break;
                }
            }
        }
        let mut reel = self.reel();
        let held = reel.uploads.entry(id).or_default();
        let offset = usize::try_from(options.offset).unwrap_or(usize::MAX);
        if held.len() < offset {
            return Err(corrupt("the upload holds fewer bytes than recorded"));
        }
        // Bytes behind the offset come from an append that nobody recorded.
        held.truncate(offset);
        held.extend_from_slice(&taken);
        Ok(Appended::new(state.clone(), taken.len() as u64, interrupted))
    }

    async fn staged(&self, state: &UploadState, length: u64) -> Result<BlobBody, StoreError> {
        let id = id_of(state)?;
        let reel = self.reel();
        let held = reel.uploads.get(&id).map(Vec::as_slice).unwrap_or_default();
        let wanted = usize::try_from(length).ok().and_then(|length| held.get(..length));
        let bytes = wanted.ok_or_else(|| corrupt("the upload holds fewer bytes than recorded"))?;
        Ok(BlobBody::Bytes(Bytes::copy_from_slice(bytes)))
    }

    async fn commit(
        &self,
        state: &UploadState,
        digest: &Digest,
        length: u64,
    ) -> Result<Published, StoreError> {
        let id = id_of(state)?;
        let mut reel = self.reel();
        let held = reel.uploads.get(&id).cloned().unwrap_or_default();
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let content = held
            .get(..length)
            .ok_or_else(|| corrupt("the upload holds fewer bytes than recorded"))?;
        let start = reel.log.len();
        reel.log.extend_from_slice(content);
        let key = ObjectKey::of_upload(digest, &id);
        reel.objects.insert(key.clone(), (start, length));
        Ok(Published::at(key))
    }

    async fn abort(&self, state: &UploadState) -> Result<(), StoreError> {
        let id = id_of(state)?;
        self.reel().uploads.remove(&id);
        Ok(())
    }

    async fn open(&self, key: &ObjectKey, options: Open) -> Result<Option<BlobBody>, StoreError> {
        let reel = self.reel();
        let Some(&(start, length)) = reel.objects.get(key) else {
            return Ok(None);
        };
        let Some(range) = options.resolved() else {
            return Ok(Some(BlobBody::Bytes(Bytes::new())));
        };
        if range.last() >= length as u64 {
            return Err(corrupt("the object is shorter than recorded"));
        }
        let bound = |offset: u64| {
            usize::try_from(offset)
                .ok()
                .and_then(|offset| start.checked_add(offset))
        };
        let part = match (bound(range.start), bound(range.last() + 1)) {
            (Some(from), Some(to)) => reel.log.get(from..to),
            _ => None,
        };
        let part = part.ok_or_else(|| corrupt("the log is shorter than its directory says"))?;
        Ok(Some(BlobBody::Bytes(Bytes::copy_from_slice(part))))
    }

    async fn stat(&self, key: &ObjectKey) -> Result<Option<u64>, StoreError> {
        Ok(self.reel().objects.get(key).map(|&(_, length)| length as u64))
    }

    async fn delete(&self, keys: &[ObjectKey]) -> Vec<Result<(), StoreError>> {
        let mut reel = self.reel();
        keys.iter()
            .map(|key| {
                reel.objects.remove(key);
                Ok(())
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use futures::executor::block_on;
    use quay_core::testing::{Instance, blob_store};

    use super::*;

    /// One empty tape for each case of the suite.
    struct Fresh(Tape);

    #[async_trait]
    impl Instance<dyn BlobStore> for Fresh {
        fn store(&self) -> Arc<dyn BlobStore> {
            Arc::new(self.0.clone())
        }
    }

    #[test]
    fn the_suite_passes() {
        let report = block_on(blob_store::run(&|| {
            async { Box::new(Fresh(Tape::default())) as Box<dyn Instance<dyn BlobStore>> }.boxed()
        }));
        report.assert_passed();
        // No restart, no inventory: the suite says which cases it left out, and why.
        let mut left_out = report.not_applicable.iter();
        assert!(
            left_out.all(|(_, ability)| ["outliving the process", "an inventory"].contains(ability)),
            "{:?}",
            report.not_applicable
        );
    }
}
