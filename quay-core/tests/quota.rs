//! Quotas through the facade, on ports in memory: what is promised, what comes back, and where pushes end.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::executor::block_on;
use proptest::prelude::*;
use quay_core::auth::AllowAll;
use quay_core::memory::{MemoryBlobs, MemoryMetadata};
use quay_core::metadata::{QuotaLimitKind, QuotaOwner, Usage};
use quay_core::registry::{Chunk, Location, ManifestPush, MountOutcome, Options, QuotaOptions, Upload};
use quay_core::testing::{ManualClock, test_runtime};
use quay_core::{
    Algorithm, BodyError, Caller, Digest, ErrorKind, MetadataStore, Reference, Registry, RepositoryName, Tag,
};

struct Host {
    registry: Registry,
    metadata: MemoryMetadata,
    clock: Arc<ManualClock>,
}

fn name(path: &str) -> RepositoryName {
    RepositoryName::from_path(path).unwrap()
}

fn bytes(seed: u8, length: usize) -> Bytes {
    vec![seed; length].into()
}

fn digest(bytes: &[u8]) -> Digest {
    Digest::of(Algorithm::Sha256, bytes)
}

/// A body of which nobody says how long it is.
fn chunked(pieces: Vec<Bytes>) -> Chunk {
    Chunk::new(futures::stream::iter(pieces.into_iter().map(Ok)).boxed())
}

impl Host {
    fn new(default_reject: Option<u64>) -> Self {
        let metadata = MemoryMetadata::new();
        let (runtime, clock) = test_runtime();
        let mut options = Options::default();
        options.quotas = Some(QuotaOptions::new(default_reject));
        let location = Location::new("default", Arc::new(MemoryBlobs::new()));
        let registry = Registry::with_options(
            Arc::new(metadata.clone()),
            vec![location],
            Arc::new(AllowAll),
            runtime,
            options,
        );
        Self {
            registry,
            metadata,
            clock,
        }
    }

    fn limit(&self, owner: &QuotaOwner, bytes: u64) {
        block_on(async {
            let mut unit = self.metadata.begin().await.unwrap();
            let quotas = unit.quotas().unwrap();
            let id = match quotas.quota(owner).await.unwrap() {
                Some(quota) => {
                    quotas.resize_quota(quota.id, bytes).await.unwrap();
                    quota.id
                }
                None => quotas.insert_quota(owner, bytes).await.unwrap().unwrap(),
            };
            if quotas.quota(owner).await.unwrap().unwrap().limits.is_empty() {
                quotas
                    .insert_limit(id, QuotaLimitKind::Reject, 100)
                    .await
                    .unwrap();
            }
            unit.commit().await.unwrap();
        });
    }

    fn limit_namespace(&self, namespace: &str, bytes: u64) {
        self.limit(&QuotaOwner::Namespace(namespace.to_owned()), bytes);
    }

    fn usage(&self, path: &str) -> Usage {
        block_on(self.metadata.usage(&name(path))).unwrap().unwrap()
    }

    /// Used and promised in the namespace of a repository.
    fn taken(&self, path: &str) -> (u64, u64) {
        let usage = self.usage(path).namespace;
        (usage.used, usage.reserved)
    }

    fn begin(&self, path: &str) -> Result<String, ErrorKind> {
        let begun = block_on(async {
            self.registry
                .begin_upload(&name(path), Algorithm::Sha256, &Caller::anonymous())
                .await
        });
        begun.map(|status| status.id).map_err(|error| error.kind())
    }

    fn append(&self, path: &str, id: &str, chunk: Chunk) -> Result<u64, ErrorKind> {
        let name = name(path);
        let appended = block_on(async {
            self.registry
                .append_upload(Upload::new(&name, id), chunk, &Caller::anonymous())
                .await
        });
        appended.map(|status| status.offset).map_err(|error| error.kind())
    }

    fn finish(&self, path: &str, id: &str, digest: &Digest, chunk: Option<Chunk>) -> Result<(), ErrorKind> {
        let name = name(path);
        let finished = block_on(async {
            self.registry
                .finish_upload(Upload::new(&name, id), digest, chunk, &Caller::anonymous())
                .await
        });
        finished.map(drop).map_err(|error| error.kind())
    }

    /// One request, as clients make it that know the whole blob.
    fn push(&self, path: &str, content: &Bytes) -> Result<(), ErrorKind> {
        let pushed = block_on(async {
            self.registry
                .push_blob(
                    &name(path),
                    &digest(content),
                    Chunk::from_bytes(content.clone()),
                    &Caller::anonymous(),
                )
                .await
        });
        pushed.map(drop).map_err(|error| error.kind())
    }

    fn mount(&self, path: &str, from: &str, content: &Bytes) -> Result<MountOutcome, ErrorKind> {
        let from = name(from);
        let mounted = block_on(async {
            self.registry
                .mount_blob(&name(path), &digest(content), Some(&from), &Caller::anonymous())
                .await
        });
        mounted.map_err(|error| error.kind())
    }
}

const FULL: ErrorKind = ErrorKind::QuotaExceeded;

#[test]
fn what_is_announced_is_promised_or_refused_before_it_comes() {
    let host = Host::new(Some(100));
    let id = host.begin("a/x").unwrap();
    let body = |length| Chunk::from_bytes(bytes(1, length));
    assert_eq!(host.append("a/x", &id, body(60)), Ok(60));
    assert_eq!(host.taken("a/x"), (0, 60), "bytes on their way are taken");
    assert_eq!(host.append("a/x", &id, body(41)), Err(FULL));
    // Nobody comes back to an upload that there is no room for.
    assert_eq!(host.taken("a/x"), (0, 0), "what was refused takes something");
    assert_eq!(host.append("a/x", &id, body(40)), Err(ErrorKind::UploadUnknown));
    let id = host.begin("a/x").unwrap();
    assert_eq!(host.append("a/x", &id, body(100)), Ok(100));
    let other = host.begin("a/y");
    let other = other.unwrap();
    assert_eq!(
        host.append("a/y", &other, body(1)),
        Err(FULL),
        "of another repository"
    );
    let other = host.begin("a/y").unwrap();
    host.finish("a/x", &id, &digest(&bytes(1, 100)), None).unwrap();
    assert_eq!(host.taken("a/x"), (100, 0));
    assert_eq!(host.begin("a/x").map(drop), Err(FULL), "nothing more can come");
    assert_eq!(host.append("a/y", &other, body(1)), Err(FULL));
    // Another namespace is another matter.
    host.push("b/x", &bytes(3, 100)).unwrap();
}

#[test]
fn a_body_of_unknown_length_ends_where_the_quota_does() {
    let host = Host::new(Some(1000));
    let id = host.begin("a/x").unwrap();
    let fits = vec![bytes(1, 400), bytes(1, 500)];
    assert_eq!(host.append("a/x", &id, chunked(fits)), Ok(900));
    assert_eq!(host.taken("a/x"), (0, 900), "what did not come was promised on");
    let too_much = vec![bytes(1, 50), bytes(1, 50), bytes(1, 1)];
    assert_eq!(host.append("a/x", &id, chunked(too_much)), Err(FULL));
    assert_eq!(
        host.taken("a/x"),
        (0, 0),
        "an upload that came to nothing holds a promise"
    );
    assert_eq!(
        host.append("a/x", &id, chunked(vec![bytes(1, 1)])),
        Err(ErrorKind::UploadUnknown)
    );
    let id = host.begin("a/x").unwrap();
    let all = vec![bytes(2, 600), bytes(2, 400)];
    host.finish("a/x", &id, &digest(&bytes(2, 1000)), Some(chunked(all)))
        .unwrap();
    assert_eq!(host.taken("a/x"), (1000, 0));
}

#[test]
fn what_was_promised_in_vain_comes_back() {
    let host = Host::new(Some(100));
    let body = |length| Chunk::from_bytes(bytes(1, length));
    // The wrong digest.
    let id = host.begin("a/x").unwrap();
    let wrong = host.finish("a/x", &id, &digest(b"other"), Some(body(70)));
    assert_eq!(wrong, Err(ErrorKind::DigestInvalid));
    assert_eq!(host.taken("a/x"), (0, 0));
    let pushed = block_on(async {
        host.registry
            .push_blob(&name("a/x"), &digest(b"other"), body(70), &Caller::anonymous())
            .await
    });
    assert_eq!(pushed.unwrap_err().kind(), ErrorKind::DigestInvalid);
    assert_eq!(host.taken("a/x"), (0, 0));
    // A body that breaks off.
    for finishing in [false, true] {
        let id = host.begin("a/x").unwrap();
        let pieces = vec![Ok(bytes(1, 20)), Err(BodyError::Truncated)];
        let broken = Chunk::new(futures::stream::iter(pieces).boxed()).with_length(Some(90));
        let outcome = if finishing {
            host.finish("a/x", &id, &digest(&bytes(1, 90)), Some(broken))
        } else {
            host.append("a/x", &id, broken).map(drop)
        };
        assert_eq!(outcome, Err(ErrorKind::UploadInvalid));
        let kept = if finishing { 0 } else { 20 };
        assert_eq!(host.taken("a/x"), (0, kept), "finishing: {finishing}");
        let name = name("a/x");
        let upload = Upload::new(&name, &id);
        block_on(host.registry.cancel_upload(upload, &Caller::anonymous())).unwrap();
        assert_eq!(host.taken("a/x"), (0, 0), "a cancelled upload holds a promise");
    }
    // One that nobody comes back to.
    let id = host.begin("a/x").unwrap();
    host.append("a/x", &id, body(100)).unwrap();
    assert_eq!(host.push("a/y", &bytes(2, 1)), Err(FULL));
    host.clock.advance(Duration::from_hours(100));
    block_on(host.registry.sweep(Duration::from_hours(48))).unwrap();
    assert_eq!(host.taken("a/x"), (0, 0));
    host.push("a/y", &bytes(2, 100)).unwrap();
}

#[test]
fn what_the_namespace_has_adds_nothing() {
    let host = Host::new(Some(100));
    let layer = bytes(1, 40);
    host.push("a/x", &layer).unwrap();
    host.push("a/y", &layer).unwrap();
    assert_eq!(host.taken("a/y"), (40, 0));
    assert_eq!(host.mount("a/z", "a/x", &layer), Ok(MountOutcome::Mounted));
    assert_eq!(host.taken("a/z"), (40, 0));
    // Of another namespace it does.
    let large = bytes(2, 61);
    host.push("b/x", &large).unwrap();
    assert_eq!(host.mount("a/x", "b/x", &large), Err(FULL));
    assert_eq!(host.taken("a/x"), (40, 0));
    let lookup = block_on(host.metadata.blob(&name("a/x"), &digest(&large))).unwrap();
    assert!(lookup.found.is_none(), "what was refused was mounted");
    let small = bytes(3, 60);
    host.push("c/x", &small).unwrap();
    assert_eq!(host.mount("a/x", "c/x", &small), Ok(MountOutcome::Mounted));
    assert_eq!(host.taken("a/x"), (100, 0));
    // At its end a namespace still takes what it has.
    assert_eq!(host.mount("a/y", "a/x", &small), Ok(MountOutcome::Mounted));
}

#[test]
fn a_repositorys_quota_holds_within_its_namespaces() {
    let host = Host::new(None);
    host.push("a/x", &bytes(1, 10)).unwrap();
    let id = block_on(host.metadata.repository(&name("a/x")))
        .unwrap()
        .unwrap()
        .id;
    host.limit(&QuotaOwner::Repository(id), 50);
    assert_eq!(host.push("a/x", &bytes(2, 41)), Err(FULL));
    host.push("a/x", &bytes(2, 40)).unwrap();
    // What the namespace has counts for the repository.
    let other = bytes(3, 5);
    host.push("a/y", &other).unwrap();
    assert_eq!(host.mount("a/x", "a/y", &other), Err(FULL));
    host.push("a/y", &bytes(4, 1000)).unwrap();
    host.limit_namespace("a", 1060);
    assert_eq!(host.push("a/y", &bytes(5, 6)), Err(FULL));
    host.push("a/y", &bytes(5, 5)).unwrap();
}

#[test]
fn a_manifest_is_refused_where_too_much_is_there() {
    let host = Host::new(None);
    let config = Bytes::from_static(b"{}");
    host.push("a/x", &config).unwrap();
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": digest(&config).to_string(),
            "size": 2,
        },
        "layers": [],
    });
    let put = |tag: &str| {
        let reference = Reference::Tag(Tag::new(tag).unwrap());
        let push = ManifestPush::new(reference, manifest.to_string().into());
        block_on(
            host.registry
                .put_manifest(&name("a/x"), push, &Caller::anonymous()),
        )
        .map(drop)
        .map_err(|error| error.kind())
    };
    assert_eq!(put("one"), Ok(()));
    host.limit_namespace("a", 2);
    assert_eq!(put("two"), Ok(()), "a namespace that is full and not more");
    host.limit_namespace("a", 1);
    assert_eq!(put("three"), Err(FULL));
    assert_eq!(host.taken("a/x"), (2, 0));
}

/// What somebody does.
#[derive(Debug, Clone)]
enum Step {
    Push(usize, u8),
    Mount(usize, usize, u8),
    Delete(usize, u8),
    Begin(usize),
    Append(usize, u8),
    Cancel(usize),
    Finish(usize),
    Sweep,
}

fn step() -> impl Strategy<Value = Step> {
    let (repository, blob, upload) = (0..4_usize, 1..12_u8, 0..6_usize);
    prop_oneof![
        (repository.clone(), blob.clone()).prop_map(|(of, blob)| Step::Push(of, blob)),
        (repository.clone(), repository.clone(), blob.clone())
            .prop_map(|(to, from, blob)| Step::Mount(to, from, blob)),
        (repository.clone(), blob.clone()).prop_map(|(of, blob)| Step::Delete(of, blob)),
        repository.prop_map(Step::Begin),
        (upload.clone(), blob).prop_map(|(upload, length)| Step::Append(upload, length)),
        upload.clone().prop_map(Step::Cancel),
        upload.prop_map(Step::Finish),
        Just(Step::Sweep),
    ]
}

const PATHS: [&str; 4] = ["a/w", "a/x", "a/y", "b/z"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever happens: what is used is what the repositories hold, each blob once in its namespace; what is
    /// promised is what uploads hold; and the two together never pass the quota.
    #[test]
    fn counts_are_exact_and_the_quota_holds(steps in prop::collection::vec(step(), 1..60)) {
        const QUOTA: u64 = 60;
        let host = Host::new(Some(QUOTA));
        let blob = |seed: u8| bytes(seed, usize::from(seed) * 3);
        let mut uploads: Vec<(usize, String, usize)> = Vec::new();
        for step in steps {
            match step {
                Step::Push(of, seed) => {
                    let _ = host.push(PATHS[of], &blob(seed));
                }
                Step::Mount(to, from, seed) => {
                    let _ = host.mount(PATHS[to], PATHS[from], &blob(seed));
                }
                Step::Delete(of, seed) => {
                    let deleted = block_on(async { host.registry.delete_blob(
                        &name(PATHS[of]),
                        &digest(&blob(seed)),
                        &Caller::anonymous(),
                    ).await });
                    drop(deleted);
                }
                Step::Begin(of) => {
                    if let Ok(id) = host.begin(PATHS[of]) {
                        uploads.push((of, id, 0));
                    }
                }
                Step::Append(upload, length) => {
                    if let Some((of, id, held)) = uploads.get_mut(upload) {
                        let chunk = if length % 2 == 0 {
                            chunked(vec![bytes(0, length.into())])
                        } else {
                            Chunk::from_bytes(bytes(0, length.into()))
                        };
                        if host.append(PATHS[*of], id, chunk).is_ok() {
                            *held += usize::from(length);
                        }
                    }
                }
                Step::Cancel(upload) if upload < uploads.len() => {
                    let (of, id, _) = uploads.remove(upload);
                    let name = name(PATHS[of]);
                    let upload = Upload::new(&name, &id);
                    drop(block_on(host.registry.cancel_upload(upload, &Caller::anonymous())));
                }
                Step::Finish(upload) if upload < uploads.len() => {
                    let (of, id, held) = uploads.remove(upload);
                    let _ = host.finish(PATHS[of], &id, &digest(&bytes(0, held)), None);
                }
                Step::Cancel(_) | Step::Finish(_) => {}
                Step::Sweep => {
                    host.clock.advance(Duration::from_hours(100));
                    block_on(host.registry.sweep(Duration::from_hours(48))).unwrap();
                    uploads.clear();
                }
            }
            for namespace in ["a", "b"] {
                let of: Vec<&str> = PATHS.into_iter().filter(|path| path.starts_with(namespace)).collect();
                let mut promised = 0;
                for (at, id, _) in &uploads {
                    if of.contains(&PATHS[*at])
                        && let Some(record) = block_on(host.metadata.upload(id)).unwrap()
                    {
                        promised += record.offset;
                    }
                }
                let mut held = std::collections::BTreeMap::new();
                for path in &of {
                    for content in (1..12).map(blob).chain((0..80).map(|length| bytes(0, length))) {
                        let lookup = block_on(host.metadata.blob(&name(path), &digest(&content))).unwrap();
                        if let Some(found) = lookup.found {
                            held.insert(found.digest.to_string(), found.size);
                        }
                    }
                }
                let seen = block_on(host.metadata.namespace_usage(namespace)).unwrap().unwrap();
                prop_assert_eq!(seen.used, held.values().sum::<u64>(), "used by {}", namespace);
                prop_assert_eq!(seen.reserved, promised, "promised in {}", namespace);
                prop_assert!(seen.used + seen.reserved <= QUOTA, "{:?} in {}", seen, namespace);
            }
        }
    }
}
