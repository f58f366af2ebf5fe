//! Tags as a history, and labels, through the facade over stores in memory.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::executor::block_on;
use quay_core::auth::AllowAll;
use quay_core::memory::{MemoryBlobs, MemoryMetadata};
use quay_core::metadata::TagNames;
use quay_core::registry::{
    Chunk, Condition, Expiration, HistoryRequest, Location, ManifestPush, Options, TagChange,
};
use quay_core::runtime::Timestamp;
use quay_core::testing::{ManualClock, test_runtime};
use quay_core::{Algorithm, Caller, Digest, ErrorKind, MediaType, Reference, Registry, RepositoryName, Tag};
use serde_json::{Value, json};

const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const HOUR: Duration = Duration::from_hours(1);

struct Setup {
    registry: Registry,
    clock: Arc<ManualClock>,
    name: RepositoryName,
    caller: Caller,
}

fn setup() -> Setup {
    setup_with(Options::default())
}

fn setup_with(options: Options) -> Setup {
    let (runtime, clock) = test_runtime();
    clock.set(Timestamp::from_millis(1_600_000_000_000));
    let registry = Registry::with_options(
        Arc::new(MemoryMetadata::new()),
        vec![Location::new("here", Arc::new(MemoryBlobs::new()))],
        Arc::new(AllowAll),
        runtime,
        options,
    );
    Setup {
        registry,
        clock,
        name: RepositoryName::from_path("org/app").unwrap(),
        caller: Caller::anonymous(),
    }
}

fn tag(text: &str) -> Tag {
    Tag::new(text).unwrap()
}

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

    async fn push(&self, reference: &str, document: &Value) -> Digest {
        let bytes = Bytes::from(document.to_string());
        let digest = Digest::of(Algorithm::Sha256, &bytes);
        let reference = Reference::parse(reference).unwrap();
        self.registry
            .put_manifest(&self.name, ManifestPush::new(reference, bytes), &self.caller)
            .await
            .unwrap();
        digest
    }

    /// An image whose configuration has these labels.
    async fn image(&self, labels: &Value, annotations: &Value) -> Value {
        let config = json!({ "config": { "Labels": labels } }).to_string();
        let digest = self.blob(&config).await;
        json!({
            "schemaVersion": 2,
            "mediaType": MediaType::OCI_MANIFEST,
            "config": { "mediaType": CONFIG, "digest": digest, "size": config.len() },
            "layers": [],
            "annotations": annotations,
        })
    }

    async fn push_image(&self, tag: &str, labels: &Value) -> Digest {
        let image = self.image(labels, &json!({})).await;
        self.push(tag, &image).await
    }

    async fn history(&self, request: HistoryRequest) -> Vec<(String, Digest, Option<i64>, bool)> {
        let page = self
            .registry
            .tag_history(&self.name, &request, &self.caller)
            .await
            .unwrap();
        page.entries
            .into_iter()
            .map(|entry| {
                let end = entry.tag.end.map(Timestamp::as_millis);
                (
                    entry.tag.name.as_str().to_owned(),
                    entry.tag.digest,
                    end,
                    entry.tag.reversion,
                )
            })
            .collect()
    }

    async fn end_of(&self, name: &str) -> Option<Option<Duration>> {
        let names = Some(TagNames::Exactly(name.to_owned()));
        let request = HistoryRequest::new(10).with_alive(true).with_names(names);
        let now = self.now();
        let (_, _, end, _) = self.history(request).await.pop()?;
        let left = |end: i64| Duration::from_millis(u64::try_from(end - now).unwrap());
        Some(end.map(left))
    }

    fn now(&self) -> i64 {
        use quay_core::runtime::Clock as _;
        self.clock.now().as_millis()
    }

    async fn change(&self, name: &str, change: TagChange) -> Result<(), ErrorKind> {
        self.registry
            .change_tag(&self.name, &tag(name), change, &self.caller)
            .await
            .map_err(|error| error.kind())
    }

    async fn restore(&self, name: &str, target: &Digest) -> Result<(), ErrorKind> {
        self.registry
            .restore_tag(&self.name, &tag(name), target, &self.caller)
            .await
            .map_err(|error| error.kind())
    }

    async fn delete(&self, reference: &str) {
        let reference = Reference::parse(reference).unwrap();
        self.registry
            .delete_manifest(&self.name, &reference, &Condition::None, &self.caller)
            .await
            .unwrap();
    }

    async fn pull(&self, reference: &str) -> Result<Digest, ErrorKind> {
        let reference = Reference::parse(reference).unwrap();
        self.registry
            .manifest(&self.name, &reference, &self.caller)
            .await
            .map(|record| record.digest)
            .map_err(|error| error.kind())
    }

    async fn labels(&self, digest: &Digest) -> Vec<(String, String, &'static str, String)> {
        let labels = self
            .registry
            .labels(&self.name, digest, "", &self.caller)
            .await
            .unwrap();
        labels
            .into_iter()
            .map(|label| (label.key, label.value, label.source.as_str(), label.media_type))
            .collect()
    }
}

#[test]
fn labels_come_with_an_image() {
    let setup = setup();
    block_on(async {
        let labels = json!({ "org.example.a": "1", "both": "configuration", "json": "{\"x\": [1]}" });
        let annotations = json!({ "both": "annotation" });
        let image = setup.image(&labels, &annotations).await;
        let digest = setup.push("v1", &image).await;
        let expected = [
            ("both", "annotation", "text/plain"),
            ("json", "{\"x\": [1]}", "application/json"),
            ("org.example.a", "1", "text/plain"),
        ]
        .map(|(key, value, kind)| (key.to_owned(), value.to_owned(), "manifest", kind.to_owned()));
        assert_eq!(setup.labels(&digest).await, expected);
        // Pushed again, also after it was deleted, it has no label twice.
        setup.push("v2", &image).await;
        setup.delete(&digest.to_string()).await;
        let image = setup.image(&labels, &annotations).await;
        setup.push("v1", &image).await;
        assert_eq!(setup.labels(&digest).await, expected);
    });
}

#[test]
fn a_label_says_how_long_tags_last() {
    let setup = setup();
    block_on(async {
        let labels = json!({ "quay.expires-after": "2h" });
        let first = setup.push_image("short", &labels).await;
        setup.push_image("long", &json!({})).await;
        setup
            .push_image("odd", &json!({ "quay.expires-after": "two hours" }))
            .await;
        assert_eq!(setup.end_of("short").await, Some(Some(2 * HOUR)));
        assert_eq!(setup.end_of("long").await, Some(None));
        assert_eq!(
            setup.end_of("odd").await,
            Some(None),
            "what cannot be read is passed over"
        );

        // What is pushed again lasts from then on, and so does another tag of it.
        setup.clock.advance(HOUR);
        assert_eq!(setup.end_of("short").await, Some(Some(HOUR)));
        setup.push_image("short", &labels).await;
        setup.push_image("other", &labels).await;
        assert_eq!(setup.end_of("short").await, Some(Some(2 * HOUR)));
        assert_eq!(setup.end_of("other").await, Some(Some(2 * HOUR)));

        setup.clock.advance(2 * HOUR);
        assert_eq!(setup.pull("short").await, Err(ErrorKind::ManifestUnknown));
        assert_eq!(setup.pull(&first.to_string()).await, Ok(first));
        let tags = setup
            .registry
            .tags(&setup.name, None, None, &setup.caller)
            .await
            .unwrap()
            .tags;
        assert_eq!(tags, [tag("long"), tag("odd")]);
    });
}

#[test]
fn an_index_lasts_as_long_as_all_that_it_names() {
    let setup = setup();
    block_on(async {
        let labels = |os: &str, time: &str| json!({ "os": os, "quay.expires-after": time });
        let a = setup.push_image("a", &labels("a", "3h")).await;
        let b = setup.push_image("b", &labels("b", "3h")).await;
        let c = setup.push_image("c", &labels("c", "4h")).await;
        let index = |children: &[Digest]| {
            let manifests: Vec<Value> = children
                .iter()
                .map(|digest| json!({ "mediaType": MediaType::OCI_MANIFEST, "digest": digest, "size": 1 }))
                .collect();
            json!({ "schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": manifests })
        };
        let alike = setup.push("alike", &index(&[a, b])).await;
        setup.push("unlike", &index(&[a, c])).await;
        assert_eq!(setup.end_of("alike").await, Some(Some(3 * HOUR)));
        assert_eq!(setup.end_of("unlike").await, Some(None));
        assert!(setup.labels(&alike).await.is_empty(), "an index has no labels");
    });
}

#[test]
fn a_tag_is_moved_and_ended_within_limits() {
    let setup = setup();
    block_on(async {
        let one = setup.push_image("v1", &json!({ "n": "1" })).await;
        let two = setup.push_image("v2", &json!({ "n": "2" })).await;
        let at = |left: Duration| Expiration::At(Timestamp::from_millis(setup.now()).plus(left));
        for (asked, kept) in [
            (5 * HOUR, 5 * HOUR),
            (HOUR / 2, HOUR),
            (1_000_000 * HOUR, 104 * 7 * 24 * HOUR),
        ] {
            let change = TagChange::new(at(asked), None);
            setup.change("v1", change).await.unwrap();
            assert_eq!(setup.end_of("v1").await, Some(Some(kept)), "{asked:?}");
        }
        let past = TagChange::new(at(Duration::ZERO), None);
        assert_eq!(setup.change("v1", past).await, Err(ErrorKind::Rejected));
        setup
            .change("v1", TagChange::new(Expiration::Never, None))
            .await
            .unwrap();
        assert_eq!(setup.end_of("v1").await, Some(None));
        let missing = TagChange::new(Expiration::Never, None);
        assert_eq!(setup.change("none", missing).await, Err(ErrorKind::NotFound));

        setup.clock.advance(HOUR);
        let moved = TagChange::new(at(7 * HOUR), Some(two));
        setup.change("v1", moved).await.unwrap();
        assert_eq!(setup.pull("v1").await, Ok(two));
        assert_eq!(setup.end_of("v1").await, Some(Some(7 * HOUR)));
        setup
            .change("new", TagChange::new(Expiration::Kept, Some(one)))
            .await
            .unwrap();
        assert_eq!(setup.pull("new").await, Ok(one));
        // Moved to where it is, it has begun when it did.
        let still = TagChange::new(at(1_000_000 * HOUR), Some(one));
        setup.clock.advance(HOUR);
        setup.change("new", still).await.unwrap();
        assert_eq!(setup.end_of("new").await, Some(Some((104 * 7 * 24 - 1) * HOUR)));
        let unknown = Digest::of(Algorithm::Sha256, b"unknown");
        let nowhere = TagChange::new(Expiration::Kept, Some(unknown));
        assert_eq!(setup.change("new", nowhere).await, Err(ErrorKind::NotFound));
        assert_eq!(setup.pull("new").await, Ok(one));
        // Nothing half: neither the end nor the move.
        let both = TagChange::new(at(9 * HOUR), Some(unknown));
        assert_eq!(setup.change("v2", both).await, Err(ErrorKind::NotFound));
        assert_eq!(setup.end_of("v2").await, Some(None));
    });
}

#[test]
fn what_was_deleted_comes_back() {
    let setup = setup();
    block_on(async {
        let one = setup.push_image("v1", &json!({ "n": "1" })).await;
        setup.clock.advance(HOUR);
        let two = setup.push_image("v1", &json!({ "n": "2" })).await;
        setup.clock.advance(HOUR);
        setup.delete(&one.to_string()).await;
        setup.delete("v1").await;
        assert_eq!(setup.pull("v1").await, Err(ErrorKind::ManifestUnknown));
        assert_eq!(
            setup.pull(&one.to_string()).await,
            Err(ErrorKind::ManifestUnknown)
        );
        let gone = TagChange::new(Expiration::Kept, Some(one));
        assert_eq!(
            setup.change("v1", gone).await,
            Err(ErrorKind::NotFound),
            "what was deleted must be restored"
        );

        setup.restore("v1", &one).await.unwrap();
        assert_eq!(setup.pull("v1").await, Ok(one));
        let image = setup.image(&json!({ "n": "1" }), &json!({})).await;
        let config: Digest = image["config"]["digest"].as_str().unwrap().parse().unwrap();
        let blob = setup.registry.blob(&setup.name, &config, &setup.caller).await;
        assert!(blob.is_ok(), "what the manifest holds came back with it");
        let history = setup.history(HistoryRequest::new(10)).await;
        let seen: Vec<_> = history
            .iter()
            .map(|(_, digest, end, reversion)| (*digest, end.is_some(), *reversion))
            .collect();
        assert_eq!(seen, [(one, false, true), (two, true, false), (one, true, false)]);
        let unknown = Digest::of(Algorithm::Sha256, b"unknown");
        assert_eq!(setup.restore("v1", &unknown).await, Err(ErrorKind::NotFound));
    });
}

#[test]
fn history_reaches_as_far_back_as_the_time_machine() {
    let mut options = Options::default();
    options.time_machine = 3 * HOUR;
    let setup = setup_with(options);
    block_on(async {
        setup.push_image("v1", &json!({ "n": "1" })).await;
        setup.clock.advance(HOUR);
        setup.push_image("v1", &json!({ "n": "2" })).await;
        setup.clock.advance(2 * HOUR);
        assert_eq!(setup.history(HistoryRequest::new(10)).await.len(), 2);
        setup.clock.advance(HOUR);
        assert_eq!(setup.history(HistoryRequest::new(10)).await.len(), 1);
    });
}

#[test]
fn labels_are_given_and_taken() {
    let setup = setup();
    block_on(async {
        let digest = setup.push_image("v1", &json!({ "came": "along" })).await;
        let (registry, name, caller) = (&setup.registry, &setup.name, &setup.caller);
        let add = async |key: &str, value: &str, media_type: Option<&str>| {
            registry
                .add_label(name, &digest, key, value, media_type, caller)
                .await
                .map_err(|error| error.kind())
        };
        for (key, value, media_type) in [
            ("Capital", "x", None),
            ("", "x", None),
            ("com.docker.x", "x", None),
            ("quay", "x", None),
            ("quay.expires-after", "1h", None),
            ("a", "no json", Some("application/json")),
        ] {
            let refused = add(key, value, media_type).await;
            assert_eq!(refused.unwrap_err(), ErrorKind::Rejected, "{key}={value}");
        }
        let given = add("a.key", "{}", None).await.unwrap();
        assert_eq!(given.media_type, "application/json");
        let again = add("a.key", "{}", Some("text/plain")).await.unwrap();
        assert_eq!(again.media_type, "text/plain");
        assert_ne!(given.uuid, again.uuid, "a key may have several labels");
        assert_eq!(setup.labels(&digest).await.len(), 3);

        let take = async |uuid: &str| {
            registry
                .delete_label(name, &digest, uuid, caller)
                .await
                .map_err(|error| error.kind())
        };
        assert_eq!(take(&given.uuid).await, Ok(()));
        assert_eq!(take(&given.uuid).await, Err(ErrorKind::NotFound));
        let came = registry.labels(name, &digest, "came", caller).await.unwrap();
        assert_eq!(take(&came[0].uuid).await, Err(ErrorKind::Rejected));
        for uuid in 0..998 {
            add("many", &uuid.to_string(), None).await.unwrap();
        }
        assert_eq!(add("many", "x", None).await.unwrap_err(), ErrorKind::Rejected);
        let unknown = Digest::of(Algorithm::Sha256, b"unknown");
        let refused = registry.add_label(name, &unknown, "a", "b", None, caller).await;
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::NotFound);
    });
}

#[test]
fn an_image_whose_configuration_is_not_here_is_looked_at_all_the_same() {
    let mut options = Options::default();
    options.sparse = true;
    let setup = setup_with(options);
    block_on(async {
        let layer = setup.blob("a layer").await;
        let large = format!("{{\"padding\": \"{}\"}}", "x".repeat(5 << 20));
        for config in [
            Digest::of(Algorithm::Sha256, b"nowhere"),
            setup.blob("{ broken").await,
            setup.blob(&large).await,
        ] {
            let image = json!({
                "schemaVersion": 2,
                "mediaType": MediaType::OCI_MANIFEST,
                "config": { "mediaType": CONFIG, "digest": config, "size": 1 },
                "layers": [{ "mediaType": "application/x", "digest": layer, "size": 7 }],
            });
            let digest = setup.push("v1", &image).await;
            assert!(setup.labels(&digest).await.is_empty());
            let (record, view) = setup
                .registry
                .view_manifest(&setup.name, &digest, &setup.caller)
                .await
                .unwrap();
            assert_eq!(record.digest, digest);
            assert_eq!(
                (view.layers_size, view.config_media_type.as_deref()),
                (7, Some(CONFIG))
            );
            assert_eq!(view.layers.unwrap()[0].digest, layer);
        }
    });
}

#[test]
fn what_somebody_has_said_of_a_tags_end_outlives_a_push() {
    let setup = setup();
    block_on(async {
        let labels = json!({ "quay.expires-after": "2h" });
        setup.push_image("kept", &labels).await;
        setup.push_image("longer", &labels).await;
        let end = Timestamp::from_millis(setup.now()).plus(9 * HOUR);
        for (name, expiration) in [("kept", Expiration::Never), ("longer", Expiration::At(end))] {
            setup
                .change(name, TagChange::new(expiration, None))
                .await
                .unwrap();
            setup.push_image(name, &labels).await;
        }
        assert_eq!(setup.end_of("kept").await, Some(None));
        assert_eq!(setup.end_of("longer").await, Some(Some(9 * HOUR)));
    });
}

#[test]
fn what_no_tag_remembers_is_not_restored() {
    let mut options = Options::default();
    options.time_machine = 3 * HOUR;
    let setup = setup_with(options);
    block_on(async {
        let one = setup.push_image("v1", &json!({ "n": "1" })).await;
        setup.delete(&one.to_string()).await;
        setup.clock.advance(2 * HOUR);
        setup.restore("v1", &one).await.unwrap();
        setup.delete(&one.to_string()).await;
        setup.clock.advance(3 * HOUR);
        assert_eq!(setup.restore("v1", &one).await, Err(ErrorKind::NotFound));

        // What was pushed by its digest alone has no tag that remembers it.
        let image = setup.image(&json!({ "n": "2" }), &json!({})).await;
        let digest = Digest::of(Algorithm::Sha256, image.to_string().as_bytes());
        setup.push(&digest.to_string(), &image).await;
        setup.delete(&digest.to_string()).await;
        assert_eq!(setup.restore("v1", &digest).await, Err(ErrorKind::NotFound));
    });
}

#[test]
fn a_lifetime_is_found_among_many_labels() {
    let setup = setup();
    block_on(async {
        let mut annotations = serde_json::Map::new();
        for number in 0..1500 {
            annotations.insert(format!("a{number:04}"), "x".into());
        }
        annotations.insert("quay.expires-after".to_owned(), "2h".into());
        let image = setup.image(&json!({}), &annotations.into()).await;
        let digest = setup.push("v1", &image).await;
        assert_eq!(setup.end_of("v1").await, Some(Some(2 * HOUR)));
        assert_eq!(setup.labels(&digest).await.len(), 1000);
    });
}
