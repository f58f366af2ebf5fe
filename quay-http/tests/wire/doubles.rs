//! Stores and deciders that behave in ways of their own.

use std::collections::HashSet;
use std::sync::Mutex;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;
use quay_core::auth::{Action, Authorizer, Decision, Resource};
use quay_core::blob_store::{
    Append, Appended, BlobBody, ByteStream, ObjectKey, Open, Published, Redirects, UploadState,
};
use quay_core::memory::MemoryBlobs;
use quay_core::{BlobStore, Caller, Digest, StoreError};

/// Delivers blobs in other forms than memory does.
#[derive(Debug)]
pub(crate) struct Delivering {
    pub(crate) inner: MemoryBlobs,
    pub(crate) form: Form,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Form {
    Redirect,
    Stream,
    BrokenStream,
}

#[async_trait]
impl BlobStore for Delivering {
    async fn begin(&self, id: &str) -> Result<UploadState, StoreError> {
        self.inner.begin(id).await
    }

    async fn append(
        &self,
        state: &UploadState,
        data: ByteStream,
        options: Append,
    ) -> Result<Appended, StoreError> {
        self.inner.append(state, data, options).await
    }

    async fn staged(&self, state: &UploadState, length: u64) -> Result<BlobBody, StoreError> {
        self.inner.staged(state, length).await
    }

    async fn commit(
        &self,
        state: &UploadState,
        digest: &Digest,
        length: u64,
    ) -> Result<Published, StoreError> {
        self.inner.commit(state, digest, length).await
    }

    async fn abort(&self, state: &UploadState) -> Result<(), StoreError> {
        self.inner.abort(state).await
    }

    async fn open(&self, key: &ObjectKey, options: Open) -> Result<Option<BlobBody>, StoreError> {
        let Some(BlobBody::Bytes(bytes)) = self.inner.open(key, options).await? else {
            return Ok(None);
        };
        let pieces: Vec<Result<Bytes, StoreError>> = bytes
            .chunks(2)
            .map(|piece| Ok(Bytes::copy_from_slice(piece)))
            .collect();
        Ok(Some(match self.form {
            Form::Redirect if options.redirect == Redirects::Allowed => {
                BlobBody::Redirect(format!("https://cdn.example/{key}"))
            }
            Form::Redirect => BlobBody::Bytes(bytes),
            Form::Stream => BlobBody::Stream(futures::stream::iter(pieces).boxed()),
            Form::BrokenStream => {
                let broken = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
                let pieces = pieces
                    .into_iter()
                    .take(1)
                    .chain([Err(StoreError::io("read", broken))]);
                BlobBody::Stream(futures::stream::iter(pieces).boxed())
            }
        }))
    }

    async fn stat(&self, key: &ObjectKey) -> Result<Option<u64>, StoreError> {
        self.inner.stat(key).await
    }

    async fn delete(&self, keys: &[ObjectKey]) -> Vec<Result<(), StoreError>> {
        self.inner.delete(keys).await
    }
}

/// Lets nobody pull from some repositories. Pushing is everybody's.
#[derive(Debug, Default)]
pub(crate) struct Secretive(pub(crate) Mutex<HashSet<String>>);

#[async_trait]
impl Authorizer for Secretive {
    async fn authorize(
        &self,
        action: Action,
        resource: Resource<'_>,
        _: &Caller,
    ) -> Result<Decision, StoreError> {
        Ok(match resource {
            Resource::Repository { name, .. }
                if action == Action::Pull && self.0.lock().unwrap().contains(name.path()) =>
            {
                Decision::Deny("it is a secret")
            }
            _ => Decision::Allow("it is not"),
        })
    }
}

/// Remembers the ids of the requests that it is asked about.
#[derive(Debug, Default)]
pub(crate) struct Remembering(pub(crate) Mutex<Vec<String>>);

#[async_trait]
impl Authorizer for Remembering {
    async fn authorize(&self, _: Action, _: Resource<'_>, caller: &Caller) -> Result<Decision, StoreError> {
        let id = caller.request_id.as_deref().unwrap_or_default().to_owned();
        self.0.lock().unwrap().push(id);
        Ok(Decision::Allow("always"))
    }
}
