//! Many pushes at once into one namespace with a quota.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use quay_core::auth::AllowAll;
use quay_core::memory::MemoryBlobs;
use quay_core::metadata::{QuotaLimitKind, QuotaOwner};
use quay_core::registry::{Chunk, Location, Options, QuotaOptions};
use quay_core::runtime::{Runtime, Spawner};
use quay_core::testing::{ManualClock, SeededRandom};
use quay_core::{Algorithm, Caller, Digest, ErrorKind, MetadataStore, Registry, RepositoryName};

/// Bytes of each blob.
const SIZE: usize = 1000;

/// Tasks on the tokio runtime that it was made in, as drivers want it.
#[derive(Debug)]
struct OnTokio(tokio::runtime::Handle);

impl Spawner for OnTokio {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.0.spawn(task);
    }

    fn run_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        self.0.spawn_blocking(work);
    }
}

fn registry(store: &Arc<dyn MetadataStore>, blobs: &MemoryBlobs, runtime: &Runtime) -> Registry {
    let mut options = Options::default();
    options.quotas = Some(QuotaOptions::default());
    let location = Location::new("default", Arc::new(blobs.clone()));
    Registry::with_options(
        Arc::clone(store),
        vec![location],
        Arc::new(AllowAll),
        runtime.clone(),
        options,
    )
}

fn content(number: usize) -> Bytes {
    let mut bytes = vec![0; SIZE];
    bytes[..8].copy_from_slice(&(number as u64).to_le_bytes());
    bytes.into()
}

fn name(number: usize) -> RepositoryName {
    RepositoryName::from_path(&format!("busy/repository{number}")).unwrap()
}

/// Pushes `pushes` blobs, each twice and into two repositories, by two processes at once, where half of them fit.
/// What is accepted fills the quota and not a byte more; what is counted is what is there, by any count.
pub(crate) async fn pushes_at_once_keep_to_the_quota(stores: [Arc<dyn MetadataStore>; 2], pushes: usize) {
    let [store, _] = &stores;
    let room = pushes / 2;
    let mut unit = store.begin().await.unwrap();
    let owner = QuotaOwner::Namespace("busy".to_owned());
    let bytes = (room * SIZE) as u64;
    let quotas = unit.quotas().unwrap();
    let id = quotas.insert_quota(&owner, bytes).await.unwrap().unwrap();
    quotas
        .insert_limit(id, QuotaLimitKind::Reject, 100)
        .await
        .unwrap();
    unit.commit().await.unwrap();

    let blobs = MemoryBlobs::new();
    let spawner = OnTokio(tokio::runtime::Handle::current());
    let clock = Arc::new(ManualClock::default());
    let runtime = Runtime::new(clock, Arc::new(SeededRandom::default()), Arc::new(spawner));
    let registries = [0, 1].map(|process: usize| registry(&stores[process], &blobs, &runtime));
    let tasks_of = tokio::runtime::Handle::current();
    let mut tasks = Vec::new();
    for number in 0..pushes {
        for (process, registry) in registries.iter().enumerate() {
            let registry = registry.clone();
            tasks.push(tasks_of.spawn(async move {
                let content = content(number);
                let digest = Digest::of(Algorithm::Sha256, &content);
                let repository = name((number + process) % 8);
                registry
                    .push_blob(
                        &repository,
                        &digest,
                        Chunk::from_bytes(content),
                        &Caller::anonymous(),
                    )
                    .await
                    .map_err(|error| (error.kind(), error.to_string()))
            }));
        }
    }
    let (mut accepted, mut refused, mut others) = (0, 0, Vec::new());
    for task in tasks {
        match task.await.unwrap() {
            Ok(_) => accepted += 1,
            Err((ErrorKind::QuotaExceeded, _)) => refused += 1,
            Err(other) => others.push(other),
        }
    }
    assert!(others.is_empty(), "pushes failed in another way: {others:?}");
    let mut held = 0;
    for number in 0..pushes {
        let digest = Digest::of(Algorithm::Sha256, &content(number));
        let mut holders = 0;
        for repository in 0..8 {
            let lookup = store.blob(&name(repository), &digest).await.unwrap();
            holders += usize::from(lookup.found.is_some());
        }
        held += usize::from(holders > 0);
    }
    let counted = store.namespace_usage("busy").await.unwrap().unwrap();
    assert!(counted.counted);
    assert_eq!(
        counted.used,
        (held * SIZE) as u64,
        "{accepted} accepted, {refused} refused"
    );
    assert_eq!(counted.reserved, 0, "promises are left");
    // A push is refused while others hold promises that come to nothing; at least the first ones are not.
    assert!(held <= room && held > room / 2, "{held} of {room} blobs fit");
    assert!(refused > 0, "nothing was refused");

    // What is counted anew is the same.
    let mut unit = store.begin().await.unwrap();
    unit.quotas().unwrap().queue_recount(&owner).await.unwrap();
    unit.commit().await.unwrap();
    while registries[0].recount_quotas(7).await.unwrap() {}
    let again = store.namespace_usage("busy").await.unwrap().unwrap();
    assert_eq!((again.used, again.reserved), (counted.used, 0));
}
