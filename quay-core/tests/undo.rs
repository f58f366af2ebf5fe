//! Undo of a whole repository, erased history, and the events of a tag, over stores in memory.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::executor::block_on;
use proptest::prelude::*;
use quay_core::auth::AllowAll;
use quay_core::memory::{MemoryBlobs, MemoryMetadata};
use quay_core::metadata::{MetadataStore as _, QuotaLimitKind, QuotaOwner};
use quay_core::registry::{
    Chunk, Condition, Erasure, Expiration, HistoryRequest, Location, ManifestPush, Options, QuotaOptions,
    TagChange, TagEventKind, UndoAction, UndoMode, Undone,
};
use quay_core::runtime::{Clock as _, Timestamp};
use quay_core::testing::{ManualClock, test_runtime};
use quay_core::{Caller, Digest, Error, ErrorKind, MediaType, Reference, Registry, RepositoryName, Tag};
use serde_json::json;

const START: i64 = 1_600_000_000_000;
const SECOND: Duration = Duration::from_secs(1);

struct Setup {
    registry: Registry,
    store: MemoryMetadata,
    clock: Arc<ManualClock>,
    name: RepositoryName,
    caller: Caller,
}

fn setup() -> Setup {
    setup_with(Options::default())
}

fn setup_with(mut options: Options) -> Setup {
    let (runtime, clock) = test_runtime();
    clock.set(Timestamp::from_millis(START));
    options.sparse = true;
    let store = MemoryMetadata::new();
    let registry = Registry::with_options(
        Arc::new(store.clone()),
        vec![Location::new("here", Arc::new(MemoryBlobs::new()))],
        Arc::new(AllowAll),
        runtime,
        options,
    );
    Setup {
        registry,
        store,
        clock,
        name: RepositoryName::from_path("org/app").unwrap(),
        caller: Caller::anonymous(),
    }
}

fn tag(text: &str) -> Tag {
    Tag::new(text).unwrap()
}

fn document(seed: usize) -> Bytes {
    let empty = Digest::of(quay_core::Algorithm::Sha256, b"{}");
    let document = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_MANIFEST,
        "artifactType": "application/vnd.example",
        "config": { "mediaType": "application/vnd.oci.empty.v1+json", "digest": empty, "size": 2 },
        "layers": [],
        "annotations": { "seed": seed.to_string() },
    });
    Bytes::from(document.to_string())
}

fn digest(seed: usize) -> Digest {
    Digest::of(quay_core::Algorithm::Sha256, &document(seed))
}

impl Setup {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn later(&self, by: Duration) {
        self.clock.set(self.now().plus(by));
    }

    async fn push(&self, name: &str, seed: usize) -> Digest {
        let push = ManifestPush::new(Reference::Tag(tag(name)), document(seed));
        let pushed = self.registry.put_manifest(&self.name, push, &self.caller).await;
        pushed.unwrap().digest
    }

    async fn delete(&self, reference: &str) -> Result<(), Error> {
        let reference = Reference::parse(reference).unwrap();
        self.registry
            .delete_manifest(&self.name, &reference, &Condition::None, &self.caller)
            .await
    }

    async fn undo(&self, at: Timestamp, mode: UndoMode) -> Result<Undone, ErrorKind> {
        let undone = self.registry.undo(&self.name, at, None, mode, &self.caller).await;
        undone.map_err(|error| error.kind())
    }

    async fn erase(&self, name: &str, erasure: Erasure) -> Result<(), ErrorKind> {
        let erased = self
            .registry
            .erase_tag(&self.name, &tag(name), erasure, &self.caller)
            .await;
        erased.map_err(|error| error.kind())
    }

    /// What each tag that is alive points at.
    async fn tags(&self) -> BTreeMap<String, Digest> {
        let request = HistoryRequest::new(500).with_alive(true);
        let page = self
            .registry
            .tag_history(&self.name, &request, &self.caller)
            .await
            .unwrap();
        let entries = page.entries.into_iter();
        entries
            .map(|entry| (entry.tag.name.as_str().to_owned(), entry.tag.digest))
            .collect()
    }

    async fn rows(&self) -> usize {
        let request = HistoryRequest::new(500);
        let page = self
            .registry
            .tag_history(&self.name, &request, &self.caller)
            .await;
        page.unwrap().entries.len()
    }

    async fn make_immutable(&self, name: &str, immutable: bool) {
        let change = TagChange::default().with_immutable(Some(immutable));
        let changed = self
            .registry
            .change_tag(&self.name, &tag(name), change, &self.caller)
            .await;
        changed.unwrap();
    }

    /// Pushes a manifest with a layer of its own, of so many bytes.
    async fn push_layer(&self, name: &str, length: usize) -> Digest {
        let blobs = [
            Bytes::from_static(b"{}"),
            Bytes::from(name.repeat(length / name.len())),
        ];
        for bytes in &blobs {
            let digest = Digest::of(quay_core::Algorithm::Sha256, bytes);
            let chunk = Chunk::from_bytes(bytes.clone());
            let pushed = self
                .registry
                .push_blob(&self.name, &digest, chunk, &self.caller)
                .await;
            pushed.unwrap();
        }
        let [config, layer] = blobs.map(|bytes| {
            json!({
                "mediaType": "application/vnd.example",
                "digest": Digest::of(quay_core::Algorithm::Sha256, &bytes),
                "size": bytes.len(),
            })
        });
        let document = json!({
            "schemaVersion": 2,
            "mediaType": MediaType::OCI_MANIFEST,
            "config": config,
            "layers": [layer],
        });
        let push = ManifestPush::new(Reference::Tag(tag(name)), document.to_string().into());
        let pushed = self.registry.put_manifest(&self.name, push, &self.caller).await;
        pushed.unwrap().digest
    }

    /// What the namespace uses, in bytes.
    async fn used(&self) -> u64 {
        let usage = self.store.usage(&self.name).await.unwrap();
        usage.unwrap().namespace.used
    }

    /// Where pushes to the namespace end.
    async fn limit(&self, bytes: u64) {
        let owner = QuotaOwner::Namespace("org".to_owned());
        let mut unit = self.store.begin().await.unwrap();
        let quotas = unit.quotas().unwrap();
        if let Some(quota) = quotas.quota(&owner).await.unwrap() {
            quotas.resize_quota(quota.id, bytes).await.unwrap();
        } else {
            let id = quotas.insert_quota(&owner, bytes).await.unwrap().unwrap();
            let reject = QuotaLimitKind::Reject;
            quotas.insert_limit(id, reject, 100).await.unwrap();
        }
        unit.commit().await.unwrap();
    }

    async fn collect(&self) {
        while self.registry.collect(100).await.unwrap().more {}
    }
}

#[test]
fn a_repository_is_put_back_and_forth() {
    block_on(async {
        let setup = setup();
        let (one, two) = (setup.push("moved", 1).await, setup.push("still", 2).await);
        setup.push("gone", 1).await;
        let before = setup.tags().await;
        let at = setup.now();
        setup.later(SECOND);
        setup.push("moved", 2).await;
        setup.push("made", 1).await;
        setup.delete("gone").await.unwrap();
        let meanwhile = setup.tags().await;
        let rows = setup.rows().await;
        setup.later(SECOND);

        let preview = setup.undo(at, UndoMode::Preview).await.unwrap();
        assert_eq!(
            (setup.tags().await, setup.rows().await),
            (meanwhile.clone(), rows)
        );
        let seen: Vec<_> = preview
            .tags
            .iter()
            .map(|undo| (undo.tag.as_str(), undo.action, undo.then, undo.now))
            .collect();
        assert_eq!(
            seen,
            [
                ("gone", UndoAction::Restore, Some(one), None),
                ("made", UndoAction::End, None, Some(one)),
                ("moved", UndoAction::Restore, Some(one), Some(two)),
            ]
        );
        let undone = setup.undo(at, UndoMode::Apply).await.unwrap();
        assert_eq!(undone, preview);
        assert_eq!((undone.restored, undone.ended, undone.collected), (2, 1, 0));
        assert_eq!(setup.tags().await, before);
        // Nothing is erased, and what was undone can be undone.
        assert!(setup.rows().await > rows);
        let again = setup.undo(at, UndoMode::Apply).await.unwrap();
        assert_eq!(again, Undone::default());
        let back = Timestamp::from_millis(START + 1500);
        setup.undo(back, UndoMode::Apply).await.unwrap();
        assert_eq!(setup.tags().await, meanwhile);
    });
}

#[test]
fn a_deleted_manifest_comes_back_and_a_collected_one_is_told() {
    block_on(async {
        let setup = setup();
        let kept = setup.push("kept", 1).await;
        let lost = setup.push("lost", 2).await;
        let at = setup.now();
        setup.later(SECOND);
        setup.delete(&kept.to_string()).await.unwrap();
        setup.delete("lost").await.unwrap();
        setup.erase("lost", Erasure::Past(lost)).await.unwrap();
        setup.later(SECOND);
        setup.collect().await;
        let undone = setup.undo(at, UndoMode::Apply).await.unwrap();
        assert_eq!((undone.restored, undone.ended), (1, 0));
        assert_eq!(setup.tags().await, BTreeMap::from([("kept".to_owned(), kept)]));
        let reference = Reference::Digest(kept);
        let found = setup
            .registry
            .manifest(&setup.name, &reference, &setup.caller)
            .await;
        assert_eq!(found.unwrap().digest, kept);
    });
}

#[test]
fn a_point_in_time_must_be_one_that_is_remembered() {
    block_on(async {
        let setup = setup();
        setup.later(SECOND);
        setup.push("v1", 1).await;
        let made = setup.now();
        setup.later(SECOND);
        let rejected = Err(ErrorKind::Rejected);
        for mode in [UndoMode::Apply, UndoMode::Preview] {
            assert_eq!(setup.undo(setup.now().plus(SECOND), mode).await, rejected);
            assert_eq!(setup.undo(made.minus(SECOND), mode).await, rejected);
        }
        setup.later(Duration::from_hours(15 * 24));
        assert_eq!(setup.undo(made, UndoMode::Apply).await, rejected);
        let none = RepositoryName::from_path("org/none").unwrap();
        let error = setup
            .registry
            .undo(&none, made, None, UndoMode::Apply, &setup.caller)
            .await;
        assert_eq!(error.unwrap_err().kind(), ErrorKind::NameUnknown);
    });
}

#[test]
fn what_is_immutable_stays_and_is_told() {
    let mut options = Options::default();
    options.immutable_tags = true;
    block_on(async {
        let setup = setup_with(options);
        let (one, two) = (setup.push("free", 1).await, digest(2));
        setup.push("moved", 1).await;
        let before = setup.tags().await;
        let at = setup.now();
        setup.later(SECOND);
        for name in ["free", "moved", "made"] {
            setup.push(name, 2).await;
        }
        for name in ["moved", "made"] {
            setup.make_immutable(name, true).await;
        }
        setup.later(SECOND);
        let preview = setup.undo(at, UndoMode::Preview).await.unwrap();
        let undone = setup.undo(at, UndoMode::Apply).await.unwrap();
        assert_eq!(undone, preview);
        let seen: Vec<_> = undone
            .tags
            .iter()
            .map(|undo| (undo.tag.as_str(), undo.action, undo.then, undo.now))
            .collect();
        assert_eq!(
            seen,
            [
                ("free", UndoAction::Restore, Some(one), Some(two)),
                ("made", UndoAction::Immutable, None, Some(two)),
                ("moved", UndoAction::Immutable, Some(one), Some(two)),
            ]
        );
        assert_eq!((undone.restored, undone.ended, undone.immutable), (1, 0, 2));
        let tags = setup.tags().await;
        let expected = [("free", one), ("made", two), ("moved", two)];
        assert!(
            tags.iter()
                .map(|(name, digest)| (name.as_str(), *digest))
                .eq(expected)
        );

        for name in ["moved", "made"] {
            setup.make_immutable(name, false).await;
        }
        let undone = setup.undo(at, UndoMode::Apply).await.unwrap();
        assert_eq!((undone.restored, undone.ended, undone.immutable), (1, 1, 0));
        assert_eq!(setup.tags().await, before);
    });
}

#[test]
fn an_immutable_tag_is_not_erased() {
    let mut options = Options::default();
    options.immutable_tags = true;
    block_on(async {
        let setup = setup_with(options);
        let one = setup.push("v1", 1).await;
        setup.later(SECOND);
        let two = setup.push("v1", 2).await;
        setup.make_immutable("v1", true).await;
        let refused = Err(ErrorKind::TagImmutable);
        for named in [None, Some(two)] {
            assert_eq!(setup.erase("v1", Erasure::Present(named)).await, refused);
        }
        assert_eq!(setup.rows().await, 2);
        assert_eq!(setup.tags().await, BTreeMap::from([("v1".to_owned(), two)]));
        // What it has pointed at before is no part of it.
        setup.erase("v1", Erasure::Past(one)).await.unwrap();
        assert_eq!(setup.rows().await, 1);
        setup.make_immutable("v1", false).await;
        setup.erase("v1", Erasure::Present(None)).await.unwrap();
        assert_eq!(setup.rows().await, 0);
    });
}

#[test]
fn an_undo_past_a_quota_is_refused_as_a_whole() {
    let mut options = Options::default();
    options.quotas = Some(QuotaOptions::new(None));
    block_on(async {
        let setup = setup_with(options);
        let digests = [
            setup.push_layer("aa", 600).await,
            setup.push_layer("bb", 600).await,
        ];
        let before = setup.tags().await;
        let at = setup.now();
        setup.later(SECOND);
        for digest in digests {
            setup.delete(&digest.to_string()).await.unwrap();
        }
        setup.push_layer("made", 400).await;
        // What was pushed lately is held for a while, whether or not anything needs it.
        setup.later(Duration::from_hours(3));
        setup.collect().await;
        assert_eq!(setup.used().await, 402);
        let (meanwhile, rows) = (setup.tags().await, setup.rows().await);

        // There is room for one of them.
        setup.limit(1200).await;
        for mode in [UndoMode::Apply, UndoMode::Preview] {
            assert_eq!(
                setup.undo(at, mode).await,
                Err(ErrorKind::QuotaExceeded),
                "{mode:?}"
            );
            assert_eq!(
                (setup.tags().await, setup.rows().await),
                (meanwhile.clone(), rows)
            );
            assert_eq!(setup.used().await, 402);
        }
        setup.limit(1602).await;
        let undone = setup.undo(at, UndoMode::Apply).await.unwrap();
        assert_eq!((undone.restored, undone.ended), (2, 1));
        assert_eq!(setup.tags().await, before);
        assert_eq!(setup.used().await, 1602, "what has ended can be brought back");
    });
}

#[test]
fn many_tags_go_by_thousands_and_the_rest_by_another_call() {
    const TAGS: usize = 10_500;
    block_on(async {
        let setup = setup();
        setup.push("first", 0).await;
        let at = setup.now();
        setup.later(SECOND);
        for start in (0..TAGS).step_by(50) {
            let tags = (start..start + 50).map(|index| tag(&format!("t{index:05}")));
            let push = ManifestPush::new(Reference::Digest(digest(1)), document(1)).with_tags(tags.collect());
            setup
                .registry
                .put_manifest(&setup.name, push, &setup.caller)
                .await
                .unwrap();
        }
        let undo = async |after: Option<Tag>| {
            let apply = UndoMode::Apply;
            let undone = setup
                .registry
                .undo(&setup.name, at, after, apply, &setup.caller)
                .await;
            undone.unwrap()
        };
        let first = undo(None).await;
        assert_eq!((first.ended, first.tags.len()), (10_000, 1000));
        let rest = undo(first.next.clone()).await;
        assert_eq!((rest.ended, rest.next), (500, None));
        assert_eq!(
            setup.tags().await,
            BTreeMap::from([("first".to_owned(), digest(0))])
        );
    });
}

#[test]
fn history_is_erased_for_good() {
    block_on(async {
        let setup = setup();
        let one = setup.push("v1", 1).await;
        setup.later(SECOND);
        let two = setup.push("v1", 2).await;
        let missing = Err(ErrorKind::NotFound);
        assert_eq!(setup.erase("v1", Erasure::Past(two)).await, missing);
        assert_eq!(setup.erase("v2", Erasure::Past(one)).await, missing);
        assert_eq!(setup.erase("v1", Erasure::Present(Some(one))).await, missing);
        assert_eq!(setup.erase("v1", Erasure::Past(digest(3))).await, missing);
        assert_eq!(setup.rows().await, 2);
        setup.erase("v1", Erasure::Past(one)).await.unwrap();
        assert_eq!(setup.rows().await, 1);
        setup.collect().await;
        let restored = setup
            .registry
            .restore_tag(&setup.name, &tag("v1"), &one, &setup.caller)
            .await;
        assert_eq!(restored.unwrap_err().kind(), ErrorKind::NotFound);
        setup.erase("v1", Erasure::Present(Some(two))).await.unwrap();
        assert_eq!((setup.rows().await, setup.tags().await.len()), (0, 0));
    });
}

#[test]
fn a_tags_events_are_told_newest_first() {
    block_on(async {
        let setup = setup();
        let mut times = vec![setup.now()];
        let one = setup.push("v1", 1).await;
        for step in 0..3 {
            setup.later(SECOND);
            times.push(setup.now());
            match step {
                0 => drop(setup.push("v1", 2).await),
                1 => setup.delete("v1").await.unwrap(),
                _ => drop(setup.push("v1", 1).await),
            }
        }
        let two = digest(2);
        let (created, deleted) = (TagEventKind::Created, TagEventKind::Deleted);
        let expected = [
            (created, times[3], one),
            (deleted, times[2], two),
            (created, times[1], two),
            (created, times[0], one),
        ];
        let ask = async |before: Option<Timestamp>, digest: Option<Digest>, limit: usize| {
            let events = setup
                .registry
                .tag_events(
                    &setup.name,
                    &tag("v1"),
                    before,
                    digest.as_ref(),
                    limit,
                    &setup.caller,
                )
                .await?;
            let sized = events.iter().all(|event| event.size == document(1).len() as u64);
            assert!(sized, "{events:?}");
            let events = events.into_iter();
            Ok::<_, Error>(
                events
                    .map(|event| (event.kind, event.at, event.digest))
                    .collect::<Vec<_>>(),
            )
        };
        assert_eq!(ask(None, None, 10).await.unwrap(), expected);
        assert_eq!(ask(None, None, 2).await.unwrap(), expected[..2]);
        assert_eq!(ask(Some(times[2]), None, 10).await.unwrap(), expected[2..]);
        assert_eq!(ask(Some(times[0]), None, 10).await.unwrap(), []);
        assert_eq!(ask(None, None, 0).await.unwrap(), []);
        assert_eq!(ask(None, Some(two), 10).await.unwrap(), expected[1..3]);
        let foreign = ask(None, Some(digest(3)), 10).await.unwrap_err();
        assert_eq!(foreign.kind(), ErrorKind::InvalidRequest);
        // A tag that runs out is deleted then.
        let end = setup.now().plus(Duration::from_hours(2));
        let change = TagChange::new(Expiration::At(end), None);
        setup
            .registry
            .change_tag(&setup.name, &tag("v1"), change, &setup.caller)
            .await
            .unwrap();
        assert_eq!(ask(None, None, 1).await.unwrap(), expected[..1]);
        setup.clock.set(end);
        assert_eq!(ask(None, None, 1).await.unwrap(), [(deleted, end, one)]);
    });
}

/// What somebody does to a repository.
#[derive(Debug, Clone)]
enum Step {
    Push(usize, usize),
    Delete(usize),
    DeleteManifest(usize),
    Expire(usize),
    Collect,
    /// Back to the state after this step, counted backwards.
    Undo(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (0..4_usize, 0..4_usize).prop_map(|(tag, seed)| Step::Push(tag, seed)),
        2 => (0..4_usize).prop_map(Step::Delete),
        1 => (0..4_usize).prop_map(Step::DeleteManifest),
        1 => (0..4_usize).prop_map(Step::Expire),
        1 => Just(Step::Collect),
        2 => (1..12_usize).prop_map(Step::Undo),
    ]
}

/// What the model knows: where each tag points, and when it ends.
type Model = BTreeMap<String, (usize, Option<Timestamp>)>;

fn alive(model: &Model, now: Timestamp) -> BTreeMap<String, Digest> {
    let tags = model
        .iter()
        .filter(|(_, (_, end))| end.is_none_or(|end| end > now));
    tags.map(|(name, (seed, _))| (name.clone(), digest(*seed)))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// After an undo, the tags are what the model remembers of that moment, whatever happened before and since,
    /// undos and collections among it.
    #[test]
    fn an_undo_is_what_the_model_remembers(steps in proptest::collection::vec(step(), 1..40)) {
        block_on(async {
            let setup = setup();
            setup.push("t0", 0).await;
            let mut model: Model = BTreeMap::from([("t0".to_owned(), (0, None))]);
            let mut moments = vec![(setup.now(), alive(&model, setup.now()))];
            for step in steps {
                // Steps of half an hour: what is to last an hour runs out on the way.
                setup.later(Duration::from_mins(30));
                let now = setup.now();
                match step {
                    Step::Push(name, seed) => {
                        let name = format!("t{name}");
                        setup.push(&name, seed).await;
                        let there = model.get(&name).filter(|(_, end)| end.is_none_or(|end| end > now));
                        if there.is_none_or(|(at, _)| *at != seed) {
                            model.insert(name, (seed, None));
                        }
                    }
                    Step::Delete(name) => {
                        let name = format!("t{name}");
                        let there = alive(&model, now).contains_key(&name);
                        let deleted = setup.delete(&name).await.is_ok();
                        prop_assert_eq!(deleted, there);
                        model.remove(&name);
                    }
                    Step::DeleteManifest(seed) => {
                        let _ = setup.delete(&digest(seed).to_string()).await;
                        model.retain(|_, (at, _)| *at != seed);
                    }
                    Step::Expire(name) => {
                        let name = format!("t{name}");
                        let end = now.plus(Duration::from_hours(1));
                        let change = TagChange::new(Expiration::At(end), None);
                        let changed = setup.registry.change_tag(&setup.name, &tag(&name), change, &setup.caller).await;
                        if changed.is_ok() {
                            let (seed, start) = (model[&name].0, end);
                            // No end is earlier than an hour after the tag's start: that is now, or was before.
                            model.insert(name, (seed, Some(start)));
                        }
                    }
                    Step::Collect => setup.collect().await,
                    Step::Undo(back) => {
                        let moment = moments.len().saturating_sub(back);
                        let (at, expected) = moments[moment].clone();
                        let preview = setup.undo(at, UndoMode::Preview).await;
                        let undone = setup.undo(at, UndoMode::Apply).await;
                        prop_assert_eq!(&preview, &undone);
                        prop_assert_eq!(undone.map(|undone| undone.collected), Ok(0));
                        let seen = setup.tags().await;
                        prop_assert_eq!(&seen, &expected);
                        let now_alive = alive(&model, now);
                        model = expected
                            .iter()
                            .map(|(name, digest_of)| {
                                let seed = (0..4).find(|seed| digest(*seed) == *digest_of).unwrap();
                                let kept = now_alive.get(name) == Some(digest_of);
                                let end = if kept { model[name].1 } else { None };
                                (name.clone(), (seed, end))
                            })
                            .collect();
                    }
                }
                let seen = setup.tags().await;
                prop_assert_eq!(&seen, &alive(&model, now));
                moments.push((now, seen));
            }
            Ok(())
        })?;
    }
}
