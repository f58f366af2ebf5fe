//! The suites on the in-memory ports, and on stores that are broken on purpose: each of those must be
//! caught.

#![expect(clippy::unwrap_used, reason = "tests")]

mod broken_auth;
mod broken_blobs;
mod broken_metadata;
mod broken_pasts;
mod broken_quotas;
mod broken_scanners;

use std::sync::Arc;

use async_trait::async_trait;
use futures::FutureExt;
use futures::executor::block_on;
use quay_core::auth::{AllowAll, AllowAuthenticated};
use quay_core::memory::{MemoryBlobs, MemoryMetadata};
use quay_core::testing::{Instance, Report, auth, blob_store, metadata};
use quay_core::{Authorizer, BlobStore, MetadataStore};

struct Kept<S: ?Sized>(Arc<S>);

#[async_trait]
impl<S: ?Sized + Send + Sync> Instance<S> for Kept<S> {
    fn store(&self) -> Arc<S> {
        Arc::clone(&self.0)
    }

    async fn reopen(&mut self) -> Option<Arc<S>> {
        // As good as another process: nothing but the store itself is remembered.
        Some(Arc::clone(&self.0))
    }
}

fn run_blobs(make: impl Fn() -> Arc<dyn BlobStore> + Send + Sync) -> Report {
    block_on(blob_store::run(&|| {
        let kept: Box<dyn Instance<dyn BlobStore>> = Box::new(Kept(make()));
        async move { kept }.boxed()
    }))
}

fn run_metadata(make: impl Fn() -> Arc<dyn MetadataStore> + Send + Sync) -> Report {
    block_on(metadata::run(&|| {
        let kept: Box<dyn Instance<dyn MetadataStore>> = Box::new(Kept(make()));
        async move { kept }.boxed()
    }))
}

#[test]
fn memory_blobs_pass() {
    run_blobs(|| Arc::new(MemoryBlobs::new())).assert_passed();
}

#[test]
fn memory_metadata_passes() {
    run_metadata(|| Arc::new(MemoryMetadata::new())).assert_passed();
}

#[test]
fn the_authorizers_pass() {
    let authorizers: [Arc<dyn Authorizer>; 2] = [Arc::new(AllowAll), Arc::new(AllowAuthenticated)];
    for authorizer in authorizers {
        block_on(auth::run_authorizer(&authorizer)).assert_passed();
    }
}
