//! The facade on ports in memory, without a runtime: what no request shows.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::executor::block_on;
use quay_core::auth::{Action, AllowAll, Decision, Resource};
use quay_core::memory::{MemoryBlobs, MemoryMetadata};
use quay_core::metadata::{
    BlobIndex, BlobRecord, LabelRecord, LinkedBlob, Lookup, ManifestRecord, ManifestStore, Outbox,
    PageRequest, Referrer, RepositoryId, RepositoryRecord, RepositoryStore, TagEntry, TagFilter, TagPosition,
    TagStore, UnitOfWork, UploadRecord, UploadStore,
};
use quay_core::registry::{Chunk, Location, ManifestPush, Options, Upload};
use quay_core::runtime::Timestamp;
use quay_core::testing::{ManualClock, test_runtime};
use quay_core::{
    Algorithm, Authorizer, BlobStore, Caller, Digest, ErrorKind, MediaType, MetadataStore, Reference,
    Registry, RepositoryName, StoreError, StoreErrorKind, Tag,
};

/// Metadata that others write to as well, for all that the registry knows.
#[derive(Debug, Default)]
struct SharedMetadata {
    inner: MemoryMetadata,
    /// Whether the next look for a repository comes too early to see it.
    blind: AtomicBool,
    /// Whether commits fail.
    full: AtomicBool,
}

/// A unit of work that cannot be committed.
#[derive(Debug)]
struct Doomed(Box<dyn UnitOfWork>);

#[async_trait]
impl UnitOfWork for Doomed {
    fn repositories(&mut self) -> &mut dyn RepositoryStore {
        self.0.repositories()
    }

    fn manifests(&mut self) -> &mut dyn ManifestStore {
        self.0.manifests()
    }

    fn tags(&mut self) -> &mut dyn TagStore {
        self.0.tags()
    }

    fn blobs(&mut self) -> &mut dyn BlobIndex {
        self.0.blobs()
    }

    fn uploads(&mut self) -> &mut dyn UploadStore {
        self.0.uploads()
    }

    fn outbox(&mut self) -> &mut dyn Outbox {
        self.0.outbox()
    }

    async fn commit(self: Box<Self>) -> Result<(), StoreError> {
        Err(StoreError::new(StoreErrorKind::Full, "commit"))
    }
}

#[async_trait]
impl MetadataStore for SharedMetadata {
    fn is_sole_writer(&self) -> bool {
        false
    }

    async fn repository(&self, name: &RepositoryName) -> Result<Option<Arc<RepositoryRecord>>, StoreError> {
        if self.blind.swap(false, Ordering::SeqCst) {
            return Ok(None);
        }
        self.inner.repository(name).await
    }

    async fn manifest(
        &self,
        name: &RepositoryName,
        reference: &Reference,
        now: Timestamp,
    ) -> Result<Lookup<ManifestRecord>, StoreError> {
        self.inner.manifest(name, reference, now).await
    }

    async fn blob(&self, name: &RepositoryName, digest: &Digest) -> Result<Lookup<BlobRecord>, StoreError> {
        self.inner.blob(name, digest).await
    }

    async fn tags(
        &self,
        name: &RepositoryName,
        page: &PageRequest<Tag>,
        now: Timestamp,
    ) -> Result<Lookup<Vec<Tag>>, StoreError> {
        self.inner.tags(name, page, now).await
    }

    async fn repositories(
        &self,
        page: &PageRequest<String>,
    ) -> Result<Vec<Arc<RepositoryRecord>>, StoreError> {
        self.inner.repositories(page).await
    }

    async fn holders(
        &self,
        digest: &Digest,
        page: &PageRequest<RepositoryId>,
    ) -> Result<Vec<LinkedBlob>, StoreError> {
        self.inner.holders(digest, page).await
    }

    async fn referrers(
        &self,
        name: &RepositoryName,
        subject: &Digest,
        artifact_type: Option<&MediaType>,
        page: &PageRequest<Digest>,
    ) -> Result<Lookup<Vec<Referrer>>, StoreError> {
        self.inner.referrers(name, subject, artifact_type, page).await
    }

    async fn tag_history(
        &self,
        name: &RepositoryName,
        filter: &TagFilter,
        skip: usize,
        page: &PageRequest<TagPosition>,
        now: Timestamp,
    ) -> Result<Lookup<Vec<TagEntry>>, StoreError> {
        self.inner.tag_history(name, filter, skip, page, now).await
    }

    async fn labels(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        prefix: &str,
    ) -> Result<Lookup<Vec<LabelRecord>>, StoreError> {
        self.inner.labels(name, digest, prefix).await
    }

    async fn upload(&self, id: &str) -> Result<Option<UploadRecord>, StoreError> {
        self.inner.upload(id).await
    }

    async fn begin(&self) -> Result<Box<dyn UnitOfWork>, StoreError> {
        let unit = self.inner.begin().await?;
        Ok(if self.full.load(Ordering::SeqCst) {
            Box::new(Doomed(unit))
        } else {
            unit
        })
    }
}

struct Setup {
    /// Two processes over the same stores.
    nodes: [Registry; 2],
    metadata: Arc<SharedMetadata>,
    blobs: Arc<MemoryBlobs>,
    clock: Arc<ManualClock>,
    name: RepositoryName,
    caller: Caller,
}

fn open() -> Arc<dyn Authorizer> {
    Arc::new(AllowAll)
}

fn setup(authorizer: &Arc<dyn Authorizer>) -> Setup {
    let (runtime, clock) = test_runtime();
    clock.set(Timestamp::from_millis(1_000_000));
    let metadata = Arc::new(SharedMetadata::default());
    let blobs = Arc::new(MemoryBlobs::new());
    let node = || {
        Registry::with_options(
            Arc::<SharedMetadata>::clone(&metadata),
            vec![Location::new("here", Arc::<MemoryBlobs>::clone(&blobs))],
            Arc::clone(authorizer),
            runtime.clone(),
            Options::default(),
        )
    };
    Setup {
        nodes: [node(), node()],
        metadata: Arc::clone(&metadata),
        blobs: Arc::clone(&blobs),
        clock,
        name: RepositoryName::from_path("org/app").unwrap(),
        caller: Caller::anonymous(),
    }
}

fn chunk(text: &'static str) -> Chunk {
    Chunk::from_bytes(Bytes::from_static(text.as_bytes()))
}

fn sha256(content: &[u8]) -> Digest {
    Digest::of(Algorithm::Sha256, content)
}

#[test]
fn an_upload_is_passed_from_process_to_process() {
    let setup = setup(&open());
    let (one, two) = (&setup.nodes[0], &setup.nodes[1]);
    block_on(async {
        let begun = one
            .begin_upload(&setup.name, Algorithm::Sha256, &setup.caller)
            .await
            .unwrap();
        let upload = Upload::new(&setup.name, &begun.id);
        for (node, text, at) in [(one, "hello, ", 7), (two, "wor", 10), (one, "ld", 12)] {
            // What is refused leaves no claim behind that would keep the next one out.
            for range in [Some((99, 101)), Some((5, 2)), Some((0, u64::MAX))] {
                let refused = chunk("abc").with_range(range).with_length(None);
                let error = node
                    .append_upload(upload, refused, &setup.caller)
                    .await
                    .unwrap_err();
                assert!(
                    matches!(
                        error.kind(),
                        ErrorKind::RangeInvalid | ErrorKind::InvalidRequest | ErrorKind::TooLarge
                    ),
                    "{range:?}: {error}"
                );
            }
            let status = node
                .append_upload(upload, chunk(text), &setup.caller)
                .await
                .unwrap();
            assert_eq!(status.offset, at);
        }
        let digest = sha256(b"hello, world");
        let wrong = two.finish_upload(
            upload,
            &digest,
            Some(chunk("").with_range(Some((3, 2)))),
            &setup.caller,
        );
        assert_eq!(wrong.await.unwrap_err().kind(), ErrorKind::InvalidRequest);
        two.finish_upload(upload, &digest, None, &setup.caller)
            .await
            .unwrap();
        assert_eq!(
            one.blob(&setup.name, &digest, &setup.caller)
                .await
                .unwrap()
                .size(),
            12
        );
    });
}

#[test]
fn a_body_longer_than_announced_is_refused_and_a_shorter_one_too() {
    let setup = setup(&open());
    let node = &setup.nodes[0];
    block_on(async {
        for (text, range) in [("toolong", (0, 3)), ("no", (0, 3))] {
            let begun = node
                .begin_upload(&setup.name, Algorithm::Sha256, &setup.caller)
                .await
                .unwrap();
            let upload = Upload::new(&setup.name, &begun.id);
            let lying = chunk(text).with_range(Some(range)).with_length(None);
            let error = node
                .append_upload(upload, lying, &setup.caller)
                .await
                .unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UploadInvalid, "{text}");
            let held = node.upload_status(upload, &setup.caller).await.unwrap().offset;
            assert!(held <= 4, "{held} bytes of {text}");
        }
    });
}

#[test]
fn a_claim_that_ran_out_costs_the_late_one_its_outcome() {
    let setup = setup(&open());
    block_on(async {
        let begun = setup.nodes[0]
            .begin_upload(&setup.name, Algorithm::Sha256, &setup.caller)
            .await
            .unwrap();
        let record = setup.metadata.upload(&begun.id).await.unwrap().unwrap();
        let now = Timestamp::from_millis(1_000_000);
        let mut unit = setup.metadata.begin().await.unwrap();
        let claimed = unit
            .uploads()
            .claim(&begun.id, record.version, now.plus(Duration::from_mins(15)), now);
        assert!(claimed.await.unwrap());
        unit.commit().await.unwrap();
        let upload = Upload::new(&setup.name, &begun.id);
        let busy = setup.nodes[1]
            .append_upload(upload, chunk("x"), &setup.caller)
            .await;
        assert_eq!(busy.unwrap_err().kind(), ErrorKind::UploadBusy);
        setup.clock.advance(Duration::from_mins(16));
        setup.nodes[1]
            .append_upload(upload, chunk("x"), &setup.caller)
            .await
            .unwrap();
        let mut unit = setup.metadata.begin().await.unwrap();
        let late = unit.uploads().advance(
            &begun.id,
            record.version + 1,
            9,
            b"",
            &record.upload.store_state,
            now,
        );
        assert!(!late.await.unwrap(), "the late one went on");
    });
}

#[test]
fn the_sweep_leaves_live_sessions_and_removes_the_forgotten() {
    let setup = setup(&open());
    let node = &setup.nodes[0];
    let age = Duration::from_hours(48);
    block_on(async {
        let forgotten = node
            .begin_upload(&setup.name, Algorithm::Sha256, &setup.caller)
            .await
            .unwrap();
        node.append_upload(
            Upload::new(&setup.name, &forgotten.id),
            chunk("forgotten"),
            &setup.caller,
        )
        .await
        .unwrap();
        setup.clock.advance(Duration::from_hours(47));
        let live = node
            .begin_upload(&setup.name, Algorithm::Sha256, &setup.caller)
            .await
            .unwrap();
        let upload = Upload::new(&setup.name, &live.id);
        node.append_upload(upload, chunk("live"), &setup.caller)
            .await
            .unwrap();
        setup.clock.advance(Duration::from_hours(2));
        let swept = node.sweep(age).await.unwrap();
        assert_eq!((swept.sessions, swept.uploads, swept.objects), (1, 1, 0));
        assert_eq!(
            node.sweep(age).await.unwrap(),
            quay_core::registry::Swept::default()
        );
        let gone = node
            .upload_status(Upload::new(&setup.name, &forgotten.id), &setup.caller)
            .await;
        assert_eq!(gone.unwrap_err().kind(), ErrorKind::UploadUnknown);
        node.finish_upload(upload, &sha256(b"live"), None, &setup.caller)
            .await
            .unwrap();
    });
}

#[test]
fn the_sweep_unpublishes_what_was_never_recorded_and_nothing_else() {
    let setup = setup(&open());
    let node = &setup.nodes[0];
    block_on(async {
        node.push_blob(&setup.name, &sha256(b"kept"), chunk("kept"), &setup.caller)
            .await
            .unwrap();
        for (id, text) in [("dead1", "orphan"), ("dead2", "kept")] {
            let state = setup.blobs.begin(id).await.unwrap();
            let body = chunk(text).body;
            let options = quay_core::blob_store::Append::at(0);
            setup.blobs.append(&state, body, options).await.unwrap();
            let digest = sha256(text.as_bytes());
            setup
                .blobs
                .commit(&state, &digest, text.len() as u64)
                .await
                .unwrap();
        }
        let swept = node.sweep(Duration::from_millis(1)).await.unwrap();
        assert_eq!((swept.uploads, swept.objects), (2, 2));
        let objects = setup.blobs.objects();
        assert_eq!(objects.len(), 1, "{objects:?}");
        let kept = quay_core::blob_store::ObjectKey::content_addressed(&sha256(b"kept"));
        assert!(objects[0].as_str().starts_with(kept.as_str()), "{objects:?}");
    });
}

/// Allows what it is asked, and remembers whether it was told that the repository exists.
#[derive(Debug, Default)]
struct Counting {
    with_record: AtomicUsize,
}

#[async_trait]
impl Authorizer for Counting {
    async fn authorize(&self, action: Action, of: Resource<'_>, _: &Caller) -> Result<Decision, StoreError> {
        if let (Action::Push, Resource::Repository { record: Some(_), .. }) = (action, of) {
            self.with_record.fetch_add(1, Ordering::SeqCst);
        }
        Ok(Decision::Allow("always"))
    }
}

#[test]
fn a_repository_that_appears_meanwhile_is_authorised_anew() {
    let counting = Arc::new(Counting::default());
    let setup = setup(&(Arc::<Counting>::clone(&counting) as Arc<dyn Authorizer>));
    let node = &setup.nodes[0];
    block_on(async {
        node.push_blob(&setup.name, &sha256(b"a"), chunk("a"), &setup.caller)
            .await
            .unwrap();
        assert_eq!(counting.with_record.load(Ordering::SeqCst), 0);
        setup.metadata.blind.store(true, Ordering::SeqCst);
        node.push_blob(&setup.name, &sha256(b"b"), chunk("b"), &setup.caller)
            .await
            .unwrap();
        assert_eq!(
            counting.with_record.load(Ordering::SeqCst),
            1,
            "a push was let into a repository that nobody was asked about"
        );
    });
}

#[test]
fn the_same_push_again_adds_nothing_to_the_history() {
    let setup = setup(&open());
    let node = &setup.nodes[0];
    let tag = Tag::new("v1").unwrap();
    let index = |salt: &str| {
        let text = format!(
            r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[],"annotations":{{"salt":"{salt}"}}}}"#,
            MediaType::OCI_INDEX
        );
        ManifestPush::new(Reference::Tag(tag.clone()), text.into())
    };
    block_on(async {
        for (salt, rows) in [("one", 1), ("one", 1), ("two", 2), ("two", 2), ("one", 3)] {
            setup.clock.advance(Duration::from_secs(1));
            node.put_manifest(&setup.name, index(salt), &setup.caller)
                .await
                .unwrap();
            let mut unit = setup.metadata.begin().await.unwrap();
            let repository = unit.repositories().find(&setup.name).await.unwrap().unwrap().id;
            let history = unit.tags().history(repository, &tag, None, 10).await.unwrap();
            assert_eq!(history.len(), rows, "after {salt}");
        }
    });
}

#[test]
fn what_was_published_and_never_recorded_goes_whatever_the_client_does_next() {
    for way in ["cancel", "wrong digest", "nothing"] {
        let setup = setup(&open());
        let node = &setup.nodes[0];
        block_on(async {
            let begun = node
                .begin_upload(&setup.name, Algorithm::Sha256, &setup.caller)
                .await
                .unwrap();
            let upload = Upload::new(&setup.name, &begun.id);
            let digest = sha256(b"content");
            setup.metadata.full.store(true, Ordering::SeqCst);
            let failed = node
                .finish_upload(upload, &digest, Some(chunk("content")), &setup.caller)
                .await;
            assert_eq!(failed.unwrap_err().kind(), ErrorKind::StorageFull, "{way}");
            setup.metadata.full.store(false, Ordering::SeqCst);
            // The claim could not be ended either, and runs out.
            setup.clock.advance(Duration::from_mins(16));
            match way {
                "cancel" => node.cancel_upload(upload, &setup.caller).await.unwrap(),
                "wrong digest" => {
                    let other = sha256(b"other");
                    let wrong = node.finish_upload(upload, &other, None, &setup.caller);
                    assert_eq!(wrong.await.unwrap_err().kind(), ErrorKind::DigestInvalid);
                }
                _ => {}
            }
            setup.clock.advance(Duration::from_hours(49));
            node.sweep(Duration::from_hours(48)).await.unwrap();
            assert_eq!(setup.blobs.objects(), [], "{way}");
        });
    }
}
