//! Scans through the facade, over stores and a scanner in memory.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::executor::block_on;
use quay_core::auth::AllowAll;
use quay_core::manifest::Accepted;
use quay_core::memory::{MemoryBlobs, MemoryMetadata, MemoryScanner};
use quay_core::metadata::{RepositoryRecord, ScanStatus};
use quay_core::registry::{
    Chunk, Condition, Lists, Location, ManifestPush, Options, PullPolicy, Scanning, Scans, Unscanned,
};
use quay_core::runtime::{Clock as _, Timestamp};
use quay_core::scanner::{Feature, Indexed, Notice, Report, ScanRequest, Scanner, Severity, Vulnerability};
use quay_core::testing::{ManualClock, test_runtime};
use quay_core::{
    Action, Algorithm, Authorizer, Caller, Decision, Digest, Error, ErrorKind, MediaType, MetadataStore,
    Principal, Reference, Registry, RepositoryName, Resource, StoreError, StoreErrorKind, Tag,
};
use serde_json::json;

/// The scanner in memory, which can be away, and counts what it is asked.
#[derive(Debug, Default)]
struct Flaky {
    inner: MemoryScanner,
    away: AtomicBool,
    indexed: AtomicUsize,
}

impl Flaky {
    fn answers(&self) -> Result<(), StoreError> {
        if self.away.load(Ordering::SeqCst) {
            return Err(StoreError::new(
                StoreErrorKind::Unavailable,
                "the scanner is away",
            ));
        }
        Ok(())
    }
}

#[async_trait]
impl Scanner for Flaky {
    async fn state(&self) -> Result<String, StoreError> {
        self.inner.state().await
    }

    async fn index(&self, request: &ScanRequest) -> Result<Indexed, StoreError> {
        self.indexed.fetch_add(1, Ordering::SeqCst);
        self.answers()?;
        self.inner.index(request).await
    }

    async fn report(&self, digest: &Digest) -> Result<Option<Report>, StoreError> {
        self.answers()?;
        self.inner.report(digest).await
    }

    async fn notices(&self, limit: usize) -> Result<Vec<Notice>, StoreError> {
        self.inner.notices(limit).await
    }

    async fn acknowledge(&self, ids: &[String]) -> Result<(), StoreError> {
        self.inner.acknowledge(ids).await
    }
}

/// Lets everybody do everything, and trusts some callers to pull what they like.
#[derive(Debug)]
struct Trusting;

#[async_trait]
impl Authorizer for Trusting {
    async fn authorize(&self, _: Action, _: Resource<'_>, _: &Caller) -> Result<Decision, StoreError> {
        Ok(Decision::Allow("the registry is open"))
    }

    async fn pull_policy(
        &self,
        _: &RepositoryRecord,
        caller: &Caller,
        configured: Option<PullPolicy>,
    ) -> Result<Option<PullPolicy>, StoreError> {
        let trusted = matches!(&caller.principal, Principal::User(name) if &**name == "trusted");
        Ok(configured.filter(|_| !trusted))
    }
}

struct Setup {
    registry: Registry,
    metadata: MemoryMetadata,
    scanner: Arc<Flaky>,
    clock: Arc<ManualClock>,
    name: RepositoryName,
    caller: Caller,
}

fn setup(policy: Option<PullPolicy>) -> Setup {
    let scanner = Arc::new(Flaky::default());
    let mut options = Options::default();
    options.scanning = Some(Scanning::new(Arc::clone(&scanner) as _).with_policy(policy));
    with(options, scanner, Arc::new(Trusting))
}

fn with(options: Options, scanner: Arc<Flaky>, authorizer: Arc<dyn Authorizer>) -> Setup {
    let (runtime, clock) = test_runtime();
    clock.set(Timestamp::from_millis(1_600_000_000_000));
    let metadata = MemoryMetadata::new();
    let registry = Registry::with_options(
        Arc::new(metadata.clone()),
        vec![Location::new("here", Arc::new(MemoryBlobs::new()))],
        authorizer,
        runtime,
        options,
    );
    Setup {
        registry,
        metadata,
        scanner,
        clock,
        name: RepositoryName::from_path("org/app").unwrap(),
        caller: Caller::anonymous(),
    }
}

const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

impl Setup {
    async fn blob(&self, content: &str) -> Digest {
        let digest = Digest::of(Algorithm::Sha256, content.as_bytes());
        let chunk = Chunk::from_bytes(Bytes::from(content.to_owned()));
        self.registry
            .push_blob(&self.name, &digest, chunk, &self.caller)
            .await
            .unwrap();
        digest
    }

    async fn put(&self, tag: &str, document: &serde_json::Value) -> Digest {
        let reference = Reference::Tag(Tag::new(tag).unwrap());
        let push = ManifestPush::new(reference, Bytes::from(document.to_string()));
        let pushed = self.registry.put_manifest(&self.name, push, &self.caller).await;
        pushed.unwrap().digest
    }

    /// An image with one layer, in which the scanner knows a package.
    async fn push(&self, tag: &str) -> Digest {
        let config = self.blob("{}").await;
        let layer = self.blob(tag).await;
        let package = Feature::new(&format!("package-of-{tag}"), "1.0", "");
        self.scanner.inner.know_layer(layer, vec![package]);
        let document = json!({
            "schemaVersion": 2,
            "mediaType": MediaType::OCI_MANIFEST,
            "config": { "mediaType": CONFIG, "digest": config, "size": 2 },
            "layers": [{ "mediaType": LAYER, "digest": layer, "size": tag.len() }],
        });
        self.put(tag, &document).await
    }

    fn knows(&self, tag: &str, severity: Severity) {
        let vulnerability = Vulnerability::new("CVE-2024-1", severity);
        self.scanner
            .inner
            .know_vulnerability(&format!("package-of-{tag}"), &vulnerability);
    }

    async fn pull(&self, reference: &str, caller: &Caller) -> Result<(), Error> {
        let reference = Reference::parse(reference).unwrap();
        let plain = self.registry.manifest(&self.name, &reference, caller).await;
        // The way that the wire takes.
        let accepted = Accepted::parse(["*/*"]);
        let pulled = self
            .registry
            .manifest_for(&self.name, &reference, &accepted, caller)
            .await
            .map(drop);
        let kind = |error: &Error| (error.kind(), error.to_string());
        assert_eq!(
            plain.as_ref().err().map(kind),
            pulled.as_ref().err().map(kind),
            "one way lets in what the other does not"
        );
        pulled
    }

    async fn pulls(&self, reference: &str) -> Result<(), ErrorKind> {
        let pulled = self.pull(reference, &self.caller).await;
        pulled.map_err(|error| error.kind())
    }

    async fn scan(&self) -> Scans {
        self.registry.scan(10).await.unwrap()
    }

    async fn status(&self, digest: &Digest) -> (ScanStatus, Option<usize>) {
        let seen = self.registry.security(&self.name, digest, &self.caller).await;
        let seen = seen.unwrap();
        (seen.status, seen.report.map(|report| report.features.len()))
    }

    fn later(&self, by: Duration) {
        self.clock.set(self.clock.now().plus(by));
    }

    async fn waiting(&self) -> usize {
        let mut unit = self.metadata.begin().await.unwrap();
        let far = self.clock.now().plus(Duration::from_hours(1000));
        let rows = unit
            .outbox()
            .claim("manifest.scan", 99, Duration::ZERO, far)
            .await;
        rows.unwrap().len()
    }
}

#[test]
fn what_is_pushed_is_looked_into() {
    block_on(async {
        let setup = setup(None);
        let digest = setup.push("v1").await;
        assert_eq!(setup.status(&digest).await, (ScanStatus::Queued, None));
        let done = setup.scan().await;
        assert_eq!((done.scanned, done.more), (1, false));
        assert_eq!(setup.status(&digest).await, (ScanStatus::Scanned, Some(1)));
        // The same again is nothing new.
        setup.push("v1").await;
        assert_eq!((setup.waiting().await, setup.scan().await), (0, Scans::default()));
        // What was deleted is still known, and what was never there is not.
        let reference = Reference::Digest(digest);
        let condition = Condition::None;
        let deleted = setup
            .registry
            .delete_manifest(&setup.name, &reference, &condition, &setup.caller)
            .await;
        deleted.unwrap();
        assert_eq!(setup.status(&digest).await, (ScanStatus::Scanned, Some(1)));
        let none = Digest::of(Algorithm::Sha256, b"none");
        let missing = setup.registry.security(&setup.name, &none, &setup.caller).await;
        assert_eq!(missing.unwrap_err().kind(), ErrorKind::NotFound);
    });
}

#[test]
fn where_nothing_is_scanned_nothing_is_recorded() {
    block_on(async {
        let setup = with(Options::default(), Arc::default(), Arc::new(AllowAll));
        let digest = setup.push("v1").await;
        assert_eq!(setup.waiting().await, 0);
        assert_eq!(setup.scan().await, Scans::default());
        assert_eq!(setup.registry.take_notices(9).await.unwrap(), 0);
        assert_eq!(setup.status(&digest).await, (ScanStatus::Queued, None));
        setup.pull("v1", &setup.caller).await.unwrap();
    });
}

#[test]
fn lists_artifacts_and_what_lies_elsewhere_are_unsupported() {
    block_on(async {
        let setup = setup(Some(PullPolicy::new(None, Unscanned::Refused)));
        let image = setup.push("image").await;
        let list = json!({
            "schemaVersion": 2,
            "mediaType": MediaType::OCI_INDEX,
            "manifests": [{ "mediaType": MediaType::OCI_MANIFEST, "digest": image, "size": 1 }],
        });
        let list = setup.put("list", &list).await;
        let config = setup.blob("{}").await;
        let artifact = json!({
            "schemaVersion": 2,
            "mediaType": MediaType::OCI_MANIFEST,
            "artifactType": "application/vnd.example",
            "config": { "mediaType": "application/vnd.oci.empty.v1+json", "digest": config, "size": 2 },
            "layers": [],
        });
        let artifact = setup.put("artifact", &artifact).await;
        for digest in [list, artifact] {
            assert_eq!(setup.status(&digest).await, (ScanStatus::Unsupported, None));
        }
        // They can be pulled though nothing has been scanned yet; the image cannot.
        setup.pull("list", &setup.caller).await.unwrap();
        setup.pull("artifact", &setup.caller).await.unwrap();
        assert_eq!(setup.pulls("image").await, Err(ErrorKind::Forbidden));
        let foreign = Digest::of(Algorithm::Sha256, b"elsewhere");
        let foreign = json!({
            "schemaVersion": 2,
            "mediaType": MediaType::DOCKER_MANIFEST,
            "config": { "mediaType": "application/vnd.docker.container.image.v1+json", "digest": config, "size": 2 },
            "layers": [{
                "mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
                "digest": foreign, "size": 5, "urls": ["https://elsewhere.example/"],
            }],
        });
        let foreign = setup.put("foreign", &foreign).await;
        let done = setup.scan().await;
        assert_eq!((done.scanned, done.unscanned), (1, 1));
        assert_eq!(setup.status(&foreign).await, (ScanStatus::Unsupported, None));
        setup.pull("foreign", &setup.caller).await.unwrap();
    });
}

#[test]
fn a_scanner_that_is_away_is_tried_ever_later_and_given_up() {
    block_on(async {
        let setup = setup(None);
        let digest = setup.push("v1").await;
        setup.scanner.away.store(true, Ordering::SeqCst);
        for (attempt, pause) in [(1, 30), (2, 60), (3, 120), (4, 240)] {
            let done = setup.scan().await;
            assert_eq!((done.postponed, done.unscanned), (1, 0), "{attempt}");
            assert_eq!(setup.scanner.indexed.load(Ordering::SeqCst), attempt);
            assert_eq!(setup.status(&digest).await, (ScanStatus::Queued, None));
            setup.later(Duration::from_secs(pause - 1));
            assert_eq!(setup.scan().await, Scans::default(), "{attempt}");
            setup.later(Duration::from_secs(1));
        }
        assert_eq!(setup.scan().await.unscanned, 1);
        assert_eq!(setup.status(&digest).await, (ScanStatus::Failed, None));
        assert_eq!(setup.waiting().await, 0);
        // Once the scanner has changed it is tried again, from the start.
        setup.scanner.inner.change_state("2");
        setup.scanner.away.store(false, Ordering::SeqCst);
        setup.later(Duration::from_mins(6));
        assert_eq!(setup.scan().await.outdated, 1);
        assert_eq!(setup.scan().await.scanned, 1);
        assert_eq!(setup.status(&digest).await, (ScanStatus::Scanned, Some(1)));
        setup.later(Duration::from_hours(1));
        assert_eq!(setup.scan().await, Scans::default());
    });
}

#[test]
fn a_worker_that_died_leaves_its_work_to_others() {
    block_on(async {
        let setup = setup(None);
        setup.push("v1").await;
        let mut unit = setup.metadata.begin().await.unwrap();
        let hold = Duration::from_mins(15);
        let taken = unit
            .outbox()
            .claim("manifest.scan", 9, hold, setup.clock.now())
            .await;
        assert_eq!(taken.unwrap().len(), 1);
        unit.commit().await.unwrap();
        assert_eq!(setup.scan().await, Scans::default());
        setup.later(hold);
        assert_eq!(setup.scan().await.scanned, 1);
    });
}

#[test]
fn pulls_depend_on_what_was_found() {
    block_on(async {
        let setup = setup(Some(PullPolicy::new(Some(Severity::High), Unscanned::Refused)));
        setup.push("bad").await;
        setup.push("good").await;
        setup.knows("bad", Severity::Critical);
        setup.knows("good", Severity::Medium);
        let error = setup.pull("bad", &setup.caller).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.kind().code().as_str()),
            (ErrorKind::Forbidden, "DENIED")
        );
        assert!(error.public_message().contains("not been scanned"), "{error}");
        // Whoever the authorizer trusts may, and so may the registry itself.
        let trusted = Caller::new(Principal::User("trusted".into()));
        setup.pull("bad", &trusted).await.unwrap();
        setup.pull("bad", &Caller::new(Principal::System)).await.unwrap();
        assert_eq!(setup.scan().await.scanned, 2);
        let error = setup.pull("bad", &setup.caller).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Forbidden);
        let message = error.public_message();
        assert!(
            message.contains("Critical") && message.contains("High"),
            "{message}"
        );
        setup.pull("good", &setup.caller).await.unwrap();
        // Nor by the id that Docker's first protocol knows it by.
        let system = Caller::new(Principal::System);
        for (name, may) in [("bad", false), ("good", true)] {
            let tag = Tag::new(name).unwrap();
            let (registry, of) = (&setup.registry, &setup.name);
            let chain = registry
                .tag_image(of, &tag, Lists::Resolved, &system)
                .await
                .unwrap();
            let id = &chain.images.last().unwrap().id;
            let seen = registry.image(of, id, &setup.caller).await;
            let refused = seen.err().map(|error| error.kind());
            assert_eq!(refused, (!may).then_some(ErrorKind::Forbidden), "{name}");
        }
    });
}

#[test]
fn what_was_found_counts_until_more_is_known() {
    block_on(async {
        let setup = setup(Some(PullPolicy::new(Some(Severity::High), Unscanned::Allowed)));
        setup.knows("v1", Severity::Critical);
        let digest = setup.push("v1").await;
        setup.scan().await;
        assert_eq!(setup.pulls("v1").await, Err(ErrorKind::Forbidden));
        // The scanner is another one, and fails.
        setup.scanner.inner.change_state("2");
        setup.scanner.away.store(true, Ordering::SeqCst);
        setup.later(Duration::from_mins(6));
        assert_eq!(setup.scan().await.outdated, 1);
        for _ in 0..10 {
            setup.scan().await;
            setup.later(Duration::from_hours(1));
            assert_eq!(setup.pulls("v1").await, Err(ErrorKind::Forbidden));
        }
        assert_eq!(setup.scan().await, Scans::default(), "it is given up");
        setup.scanner.away.store(false, Ordering::SeqCst);
        // Nor does one lift it that knows nothing any more.
        setup.scanner.inner.change_state("3");
        setup.status(&digest).await;
        assert_eq!(setup.pulls("v1").await, Err(ErrorKind::Forbidden));
    });
}

#[test]
fn news_change_what_may_be_pulled() {
    block_on(async {
        let setup = setup(Some(PullPolicy::new(Some(Severity::High), Unscanned::Allowed)));
        setup.push("v1").await;
        setup.pull("v1", &setup.caller).await.unwrap();
        setup.scan().await;
        setup.pull("v1", &setup.caller).await.unwrap();
        setup.knows("v1", Severity::High);
        // A scanner that is away keeps its news.
        setup.scanner.away.store(true, Ordering::SeqCst);
        assert!(setup.registry.take_notices(9).await.is_err());
        setup.scanner.away.store(false, Ordering::SeqCst);
        assert_eq!(setup.registry.take_notices(9).await.unwrap(), 1);
        assert_eq!(setup.pulls("v1").await, Err(ErrorKind::Forbidden));
        assert_eq!(setup.registry.take_notices(9).await.unwrap(), 0);
    });
}

#[test]
fn what_the_scanner_has_forgotten_is_looked_into_again() {
    block_on(async {
        let setup = setup(None);
        let digest = setup.push("v1").await;
        setup.scan().await;
        let state = setup.scanner.state().await.unwrap();
        setup.scanner.inner.change_state(&state);
        assert_eq!(setup.status(&digest).await, (ScanStatus::Queued, None));
        assert_eq!(setup.scan().await.scanned, 1);
        assert_eq!(setup.status(&digest).await, (ScanStatus::Scanned, Some(1)));
        setup.scanner.away.store(true, Ordering::SeqCst);
        let away = setup.registry.security(&setup.name, &digest, &setup.caller).await;
        let away = away.unwrap();
        assert_eq!((away.status, away.report), (ScanStatus::Scanned, None));
        assert!(away.unreachable.is_some());
    });
}

#[test]
fn what_was_deleted_before_its_turn_is_looked_into_when_it_is_back() {
    block_on(async {
        let setup = setup(None);
        let digest = setup.push("v1").await;
        let reference = Reference::Digest(digest);
        let condition = Condition::None;
        let deleted = setup
            .registry
            .delete_manifest(&setup.name, &reference, &condition, &setup.caller)
            .await;
        deleted.unwrap();
        assert_eq!(setup.scan().await, Scans::default());
        assert_eq!(setup.waiting().await, 0);
        let v1 = Tag::new("v1").unwrap();
        let restored = setup
            .registry
            .restore_tag(&setup.name, &v1, &digest, &setup.caller)
            .await;
        restored.unwrap();
        assert_eq!(setup.scan().await.scanned, 1);
        assert_eq!(setup.status(&digest).await, (ScanStatus::Scanned, Some(1)));
    });
}
