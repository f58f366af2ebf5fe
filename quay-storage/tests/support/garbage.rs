//! Repositories with garbage, and a registry that collects it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use quay_core::auth::AllowAll;
use quay_core::blob_store::ObjectKey;
use quay_core::memory::MemoryBlobs;
use quay_core::metadata::{
    Edge, EdgeKind, MetadataStore, NewBlob, NewManifest, Placement, RepositoryId, TagTarget, UnitOfWork,
    Visibility,
};
use quay_core::registry::{Collected, Location, Options};
use quay_core::runtime::Timestamp;
use quay_core::testing::test_runtime;
use quay_core::{Algorithm, Digest, MediaType, Registry, RepositoryName, Tag};

/// Blobs of each manifest: a configuration and five layers.
const BLOBS: usize = 6;
/// Manifests that one unit of work puts.
const AT_ONCE: usize = 200;
/// Ended tags are remembered for so long.
const WINDOW: Duration = Duration::from_hours(1);

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(1_600_000_000_000 + millis)
}

/// What a repository is filled with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Tagged, all with the same blobs.
    Live,
    /// No longer tagged, each with blobs of its own.
    Dead,
}

async fn blob(unit: &mut dyn UnitOfWork, repository: RepositoryId, text: &str) -> Digest {
    let digest = Digest::of(Algorithm::Sha256, text.as_bytes());
    let placement = Placement::new("here".into(), ObjectKey::of_upload(&digest, "1"));
    let blobs = unit.blobs();
    let (id, _) = blobs
        .record(&NewBlob::new(digest, 7, placement), at(0))
        .await
        .unwrap();
    blobs.link(repository, id, &digest, at(1000)).await.unwrap();
    digest
}

/// Puts so many manifests into a repository.
pub(crate) async fn fill(store: &dyn MetadataStore, path: &str, kind: Kind, count: usize) {
    let name = RepositoryName::from_path(path).unwrap();
    let mut done = 0;
    while done < count {
        let mut unit = store.begin().await.unwrap();
        let made = unit
            .repositories()
            .create(&name, Visibility::Private, at(0))
            .await;
        let repository = match made.unwrap() {
            Some(made) => made.id,
            None => unit.repositories().find(&name).await.unwrap().unwrap().id,
        };
        let until = (done + AT_ONCE).min(count);
        let shared = kind == Kind::Live;
        for index in done..until {
            let mut edges = Vec::with_capacity(BLOBS);
            for position in 0..BLOBS {
                let text = match kind {
                    Kind::Live => format!("shared {position}"),
                    Kind::Dead => format!("{path} {index} {position}"),
                };
                let digest = if shared && index > done {
                    Digest::of(Algorithm::Sha256, text.as_bytes())
                } else {
                    blob(&mut *unit, repository, &text).await
                };
                let of_kind = if position == 0 {
                    EdgeKind::Config
                } else {
                    EdgeKind::Layer
                };
                edges.push(Edge::new(of_kind, digest, true));
            }
            let bytes = Bytes::from(format!("{path} {index} {kind:?}"));
            let digest = Digest::of(Algorithm::Sha256, &bytes);
            let media_type = MediaType::known(MediaType::OCI_MANIFEST);
            let manifest = NewManifest::new(digest, media_type, bytes).with_edges(edges);
            let (id, _) = unit.manifests().put(repository, &manifest, at(1)).await.unwrap();
            let tag = Tag::new(&format!("{kind:?}{index:07}")).unwrap();
            let tags = unit.tags();
            tags.set(repository, &tag, TagTarget::new(id), at(2))
                .await
                .unwrap();
            if kind == Kind::Dead {
                tags.end(repository, &tag, at(3)).await.unwrap();
            }
        }
        unit.commit().await.unwrap();
        done = until;
    }
}

/// A registry over a store, at a time when ended tags are forgotten.
pub(crate) fn collecting(store: Arc<dyn MetadataStore>) -> Registry {
    let (runtime, clock) = test_runtime();
    clock.set(at(0).plus(WINDOW + WINDOW));
    let mut options = Options::default();
    options.time_machine = WINDOW;
    let locations = vec![Location::new("here", Arc::new(MemoryBlobs::new()))];
    Registry::with_options(store, locations, Arc::new(AllowAll), runtime, options)
}

/// Collects everything, `batch` manifests at once; how long that took.
#[expect(clippy::disallowed_methods, reason = "it is measured")]
pub(crate) async fn collect(registry: &Registry, batch: usize) -> (Collected, Duration) {
    let began = Instant::now();
    let mut all = Collected::default();
    loop {
        let step = registry.collect(batch).await.unwrap();
        all = all.and(step);
        if !step.more {
            return (all, began.elapsed());
        }
    }
}
