//! The life of tags through the facade over stores in memory: immutable tags, auto-pruning, and pulls.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::executor::block_on;
use quay_core::auth::AllowAll;
use quay_core::lifecycle::{PruneInput, PruneRule};
use quay_core::manifest::Accepted;
use quay_core::memory::{MemoryBlobs, MemoryMetadata};
use quay_core::metadata::{PolicyKind, PolicyOwner, PolicyRecord, PullTotal, TagNames};
use quay_core::registry::{
    AutoPrune, Chunk, Condition, Expiration, HistoryRequest, Location, ManifestPush, Options, PolicyRun,
    TagChange,
};
use quay_core::runtime::Clock as _;
use quay_core::testing::{ManualClock, test_runtime};
use quay_core::{
    Algorithm, Caller, Digest, ErrorKind, MediaType, MetadataStore as _, Reference, Registry, RepositoryName,
    Tag,
};
use serde_json::{Value, json};

const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);
const EMPTY: &str = "{}";

struct Setup {
    registry: Registry,
    store: Arc<MemoryMetadata>,
    clock: Arc<ManualClock>,
    name: RepositoryName,
    caller: Caller,
}

fn options() -> Options {
    let mut options = Options::default();
    options.immutable_tags = true;
    options.auto_prune = Some(AutoPrune::default());
    options.last_pulls = true;
    options
}

fn setup(options: Options) -> Setup {
    let (runtime, clock) = test_runtime();
    let store = Arc::new(MemoryMetadata::new());
    let registry = Registry::with_options(
        Arc::clone(&store) as _,
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

fn namespace() -> PolicyOwner {
    PolicyOwner::Namespace("org".to_owned())
}

impl Setup {
    fn in_repository(&self, path: &str) -> Self {
        Self {
            registry: self.registry.clone(),
            store: Arc::clone(&self.store),
            clock: Arc::clone(&self.clock),
            name: RepositoryName::from_path(path).unwrap(),
            caller: self.caller.clone(),
        }
    }

    async fn own(&self) -> PolicyOwner {
        PolicyOwner::Repository(self.store.repository(&self.name).await.unwrap().unwrap().id)
    }

    async fn policy(&self, kind: PolicyKind, owner: &PolicyOwner, uuid: &str, content: &Value) {
        let mut unit = self.store.begin().await.unwrap();
        let kept = unit.lifecycle().unwrap();
        let policy = PolicyRecord::new(uuid.to_owned(), kind, owner.clone(), content.to_string());
        kept.insert_policy(&policy).await.unwrap();
        kept.schedule(kind, owner, self.clock.now()).await.unwrap();
        unit.commit().await.unwrap();
    }

    async fn immutable(&self, owner: &PolicyOwner, pattern: &str) {
        let content = json!({ "tag_pattern": pattern });
        self.policy(PolicyKind::Immutability, owner, pattern, &content)
            .await;
    }

    async fn prune(&self, owner: &PolicyOwner, content: &Value) {
        let uuid = format!("{} {content}", owner.key());
        self.policy(PolicyKind::Prune, owner, &uuid, content).await;
    }

    async fn drop_policy(&self, kind: PolicyKind, owner: &PolicyOwner, uuid: &str) {
        let mut unit = self.store.begin().await.unwrap();
        let kept = unit.lifecycle().unwrap();
        assert!(kept.delete_policy(kind, owner, uuid).await.unwrap());
        unit.commit().await.unwrap();
    }

    fn image(content: &str, annotations: &Value) -> Bytes {
        let digest = Digest::of(Algorithm::Sha256, EMPTY.as_bytes());
        let mut annotations = annotations.clone();
        annotations["content"] = content.into();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MediaType::OCI_MANIFEST,
            "config": { "mediaType": "application/vnd.oci.empty.v1+json", "digest": digest, "size": EMPTY.len() },
            "layers": [],
            "annotations": annotations,
        });
        manifest.to_string().into()
    }

    async fn push_with(
        &self,
        reference: &str,
        content: &str,
        annotations: &Value,
    ) -> Result<Digest, ErrorKind> {
        let blob = Digest::of(Algorithm::Sha256, EMPTY.as_bytes());
        let chunk = Chunk::from_bytes(Bytes::from_static(EMPTY.as_bytes()));
        self.registry
            .push_blob(&self.name, &blob, chunk, &self.caller)
            .await
            .unwrap();
        let bytes = Self::image(content, annotations);
        let push = ManifestPush::new(Reference::parse(reference).unwrap(), bytes);
        let pushed = self.registry.put_manifest(&self.name, push, &self.caller).await;
        pushed.map(|pushed| pushed.digest).map_err(|error| error.kind())
    }

    async fn push(&self, reference: &str, content: &str) -> Result<Digest, ErrorKind> {
        self.push_with(reference, content, &json!({})).await
    }

    /// Pushes tags of their own contents, an hour between them, the oldest first.
    async fn push_all(&self, names: &[&str]) {
        for name in names {
            self.clock.advance(HOUR);
            self.push(name, &format!("of {name} in {}", self.name.path()))
                .await
                .unwrap();
        }
    }

    async fn delete(&self, reference: &str) -> Result<(), ErrorKind> {
        let reference = Reference::parse(reference).unwrap();
        self.registry
            .delete_manifest(&self.name, &reference, &Condition::None, &self.caller)
            .await
            .map_err(|error| error.kind())
    }

    async fn change(&self, name: &str, change: TagChange) -> Result<(), ErrorKind> {
        self.registry
            .change_tag(&self.name, &tag(name), change, &self.caller)
            .await
            .map_err(|error| error.kind())
    }

    async fn make_immutable(&self, name: &str, immutable: bool) -> Result<(), ErrorKind> {
        self.change(name, TagChange::default().with_immutable(Some(immutable)))
            .await
    }

    async fn end_in(&self, name: &str, time: Duration) -> Result<(), ErrorKind> {
        let end = Expiration::At(self.clock.now().plus(time));
        self.change(name, TagChange::new(end, None)).await
    }

    async fn restore(&self, name: &str, target: &Digest) -> Result<(), ErrorKind> {
        self.registry
            .restore_tag(&self.name, &tag(name), target, &self.caller)
            .await
            .map_err(|error| error.kind())
    }

    async fn pull(&self, reference: &str) -> Result<Digest, ErrorKind> {
        let reference = Reference::parse(reference).unwrap();
        // The way that the wire takes.
        let accepted = Accepted::parse(["*/*"]);
        self.registry
            .manifest_for(&self.name, &reference, &accepted, &self.caller)
            .await
            .map(|record| record.digest)
            .map_err(|error| error.kind())
    }

    /// A tag that is alive: whether it is immutable, and whether it ends.
    async fn seen(&self, name: &str) -> Option<(bool, bool)> {
        let names = Some(TagNames::Exactly(name.to_owned()));
        let request = HistoryRequest::new(1).with_alive(true).with_names(names);
        let page = self.registry.tag_history(&self.name, &request, &self.caller);
        let entry = page.await.unwrap().entries.pop()?;
        Some((entry.tag.immutable, entry.tag.end.is_some()))
    }

    async fn alive(&self) -> Vec<String> {
        let request = HistoryRequest::new(100).with_alive(true);
        let page = self.registry.tag_history(&self.name, &request, &self.caller);
        let entries = page.await.unwrap().entries;
        let mut names: Vec<String> = entries
            .iter()
            .map(|entry| entry.tag.name.as_str().to_owned())
            .collect();
        names.sort();
        names
    }

    /// Has all that is due done, a few tags at a time.
    async fn run(&self, batch: usize) -> Vec<PolicyRun> {
        let mut runs = Vec::new();
        loop {
            let run = self.registry.run_policies(batch).await.unwrap();
            assert!(run.looked <= batch, "{run:?}");
            if !run.more {
                return runs;
            }
            runs.push(run);
            assert!(runs.len() < 1000, "the work never ends: {runs:?}");
        }
    }
}

#[test]
fn what_a_policy_covers_stays_as_it_is() {
    let setup = setup(options());
    block_on(async {
        let latest = setup.push("latest", "one").await.unwrap();
        setup.immutable(&namespace(), "v[0-9]+").await;
        let first = setup.push("v1", "one").await.unwrap();
        assert_eq!(setup.seen("v1").await, Some((true, false)));
        assert_eq!(setup.seen("latest").await, Some((false, false)));
        let other = setup.push("latest", "two").await.unwrap();
        assert_ne!(first, other);
        let stays = Err(ErrorKind::TagImmutable);
        assert_eq!(setup.push("v1", "two").await, stays.map(|()| other));
        // The same once more is no change.
        assert_eq!(setup.push("v1", "one").await, Ok(first));
        assert_eq!(setup.delete("v1").await, stays);
        assert_eq!(setup.delete(&first.to_string()).await, stays);
        assert_eq!(setup.end_in("v1", DAY).await, stays);
        let moved = TagChange::new(Expiration::Kept, Some(other));
        assert_eq!(setup.change("v1", moved).await, stays);
        assert_eq!(setup.restore("v1", &other).await, stays);
        assert_eq!(setup.restore("v1", &first).await, Ok(()));
        assert_eq!(setup.make_immutable("v1", false).await, stays);
        // It has no end to be taken from it.
        let never = TagChange::new(Expiration::Never, None);
        assert_eq!(setup.change("v1", never).await, Ok(()));
        assert_eq!(setup.pull("v1").await, Ok(first));
        assert_eq!(setup.seen("v1").await, Some((true, false)));
        // Nothing of this touches what is not covered.
        assert_eq!(setup.restore("latest", &latest).await, Ok(()));
        assert_eq!(setup.delete(&other.to_string()).await, Ok(()));
        assert_eq!(setup.delete("latest").await, Ok(()));
        // Nor does it elsewhere.
        let elsewhere = setup.in_repository("other/app");
        elsewhere.push("v1", "one").await.unwrap();
        assert_eq!(elsewhere.push("v1", "two").await, Ok(other));
    });
}

#[test]
fn a_label_does_not_end_what_is_immutable() {
    let label = json!({ "quay.expires-after": "2h" });
    for can_expire in [false, true] {
        let mut options = options();
        options.immutable_tags_can_expire = can_expire;
        let setup = setup(options);
        block_on(async {
            setup.push("anything", "else").await.unwrap();
            setup.immutable(&setup.own().await, "v.*").await;
            setup.push_with("v1", "one", &label).await.unwrap();
            setup.push_with("nightly", "one", &label).await.unwrap();
            assert_eq!(setup.seen("nightly").await, Some((false, true)));
            assert_eq!(setup.seen("v1").await, Some((true, can_expire)));
            // Pushed again it lasts for longer, where it ends at all.
            setup.clock.advance(HOUR);
            setup.push_with("v1", "one", &label).await.unwrap();
            let expected = if can_expire {
                Ok(())
            } else {
                Err(ErrorKind::TagImmutable)
            };
            assert_eq!(setup.end_in("v1", DAY).await, expected);
            setup.clock.advance(DAY * 2);
            assert_eq!(setup.seen("v1").await.is_some(), !can_expire);
            assert_eq!(setup.seen("nightly").await, None);
        });
    }
}

#[test]
fn a_tag_is_made_immutable_and_mutable_by_hand() {
    let setup = setup(options());
    block_on(async {
        setup.push("v1", "one").await.unwrap();
        setup.end_in("v1", DAY).await.unwrap();
        assert_eq!(setup.seen("v1").await, Some((false, true)));
        setup.make_immutable("v1", true).await.unwrap();
        // What stays does not end.
        assert_eq!(setup.seen("v1").await, Some((true, false)));
        assert_eq!(setup.push("v1", "two").await, Err(ErrorKind::TagImmutable));
        setup.make_immutable("v1", false).await.unwrap();
        setup.push("v1", "two").await.unwrap();
        assert_eq!(setup.seen("v1").await, Some((false, false)));
        assert_eq!(setup.make_immutable("none", true).await, Err(ErrorKind::NotFound));
        let both = TagChange::new(Expiration::At(setup.clock.now().plus(DAY)), None);
        let both = both.with_immutable(Some(true));
        assert_eq!(setup.change("v1", both).await, Err(ErrorKind::TagImmutable));
        assert_eq!(
            setup.seen("v1").await,
            Some((false, false)),
            "half of it was done"
        );
        // Made by the same call that makes it stay.
        let target = setup.pull("v1").await.unwrap();
        let made = TagChange::new(Expiration::Kept, Some(target)).with_immutable(Some(true));
        setup.change("v2", made).await.unwrap();
        assert_eq!(setup.seen("v2").await, Some((true, false)));
        assert_eq!(setup.delete("v2").await, Err(ErrorKind::TagImmutable));
    });
    let setup = self::setup(Options::default());
    block_on(async {
        setup.push("v1", "one").await.unwrap();
        setup.immutable(&namespace(), ".*").await;
        assert_eq!(
            setup.make_immutable("v1", true).await,
            Err(ErrorKind::InvalidRequest)
        );
        assert_eq!(setup.make_immutable("v1", false).await, Ok(()));
        // Where there is no such thing, policies count for nothing.
        setup.push("v1", "two").await.unwrap();
        assert_eq!(setup.seen("v1").await, Some((false, false)));
        assert_eq!(setup.delete("v1").await, Ok(()));
    });
}

#[test]
fn a_policy_reaches_what_was_there_before_and_stays_in_it() {
    let setup = setup(options());
    block_on(async {
        let others = setup.in_repository("org/other");
        let foreign = setup.in_repository("orga/app");
        for setup in [&setup, &others, &foreign] {
            setup.push_all(&["v1", "v2", "v3", "latest", "v4", "v5"]).await;
        }
        setup.end_in("v4", DAY).await.unwrap();
        setup.immutable(&namespace(), "v.*").await;
        // At once, before anything is marked.
        assert_eq!(setup.push("v1", "another").await, Err(ErrorKind::TagImmutable));
        assert_eq!(others.seen("v1").await, Some((true, false)));
        let runs = setup.run(2).await;
        let marked: usize = runs.iter().map(|run| run.marked).sum();
        assert_eq!((marked, runs.len() >= 6), (10, true), "{runs:?}");
        assert_eq!(setup.seen("v4").await, Some((true, false)));
        assert!(setup.run(2).await.is_empty(), "the work is not over");
        setup
            .drop_policy(PolicyKind::Immutability, &namespace(), "v.*")
            .await;
        for setup in [&setup, &others] {
            assert_eq!(setup.delete("v3").await, Err(ErrorKind::TagImmutable));
            assert_eq!(setup.delete("latest").await, Ok(()));
            assert!(setup.push("v6", "new").await.is_ok());
            assert_eq!(setup.delete("v6").await, Ok(()));
        }
        assert_eq!(foreign.delete("v3").await, Ok(()));
        setup.make_immutable("v3", false).await.unwrap();
        assert_eq!(setup.delete("v3").await, Ok(()));
    });
}

/// Either the push comes first, and its tag stays from then on, or it is refused: never is a tag moved that a policy
/// covers.
#[test]
fn a_push_and_a_policy_at_once_have_an_order() {
    for round in 0..60 {
        let setup = setup(options());
        let old = block_on(setup.push("v1", "old")).unwrap();
        let pushed = std::thread::scope(|scope| {
            let pusher = scope.spawn(|| {
                for _ in 0..round % 7 {
                    std::thread::yield_now();
                }
                block_on(setup.push("v1", "new"))
            });
            for _ in 0..round % 5 {
                std::thread::yield_now();
            }
            block_on(setup.immutable(&namespace(), "v1"));
            pusher.join().unwrap()
        });
        block_on(async {
            let now = setup.pull("v1").await.unwrap();
            match pushed {
                Ok(new) => assert_eq!(now, new, "a push that was accepted is lost"),
                Err(kind) => assert_eq!((kind, now), (ErrorKind::TagImmutable, old)),
            }
            setup.run(10).await;
            assert_eq!(setup.push("v1", "later").await, Err(ErrorKind::TagImmutable));
            setup
                .drop_policy(PolicyKind::Immutability, &namespace(), "v1")
                .await;
            assert_eq!(setup.push("v1", "later").await, Err(ErrorKind::TagImmutable));
        });
    }
}

#[test]
fn the_namespaces_policies_prune_first_and_then_the_repositorys() {
    // Whatever the size of a step, the outcome is the same.
    for batch in [1, 2, 3, 100] {
        let setup = setup(options());
        block_on(async {
            let others = setup.in_repository("org/other");
            let foreign = setup.in_repository("else/app");
            let names = ["v1", "a1", "v2", "a2", "v3", "a3", "v4", "a4", "v5"];
            for setup in [&setup, &others, &foreign] {
                setup.push_all(&names).await;
            }
            setup.make_immutable("v1", true).await.unwrap();
            setup
                .prune(&namespace(), &json!({ "method": "number_of_tags", "value": 6 }))
                .await;
            let content = json!({ "method": "number_of_tags", "value": 2, "tag_pattern": "^v", "tag_pattern_matches": true });
            setup.prune(&setup.own().await, &content).await;
            let runs = setup.run(batch).await;
            assert_eq!(
                setup.alive().await,
                ["a2", "a3", "a4", "v1", "v4", "v5"],
                "{batch}"
            );
            assert_eq!(
                others.alive().await,
                ["a2", "a3", "a4", "v3", "v4", "v5"],
                "{batch}"
            );
            assert_eq!(foreign.alive().await.len(), names.len());
            let pruned: usize = runs.iter().map(|run| run.pruned).sum();
            assert_eq!(pruned, 6, "{batch}: {runs:?}");
            // It rests for its time.
            setup.push_all(&["v6"]).await;
            setup.clock.advance(HOUR);
            setup.run(batch).await;
            assert_eq!(
                setup.alive().await,
                ["a2", "a3", "a4", "v1", "v5", "v6"],
                "{batch}"
            );
        });
    }
}

#[test]
fn what_is_pruned_comes_back_from_the_time_machine() {
    let setup = setup(options());
    block_on(async {
        setup.push_all(&["old", "new"]).await;
        let old = setup.pull("old").await.unwrap();
        setup.clock.advance(DAY * 10);
        setup.push_all(&["newest"]).await;
        setup
            .prune(&namespace(), &json!({ "method": "creation_date", "value": "1w" }))
            .await;
        setup.run(100).await;
        assert_eq!(setup.alive().await, ["newest"]);
        assert_eq!(setup.pull("old").await, Err(ErrorKind::ManifestUnknown));
        setup.registry.collect(100).await.unwrap();
        setup.restore("old", &old).await.unwrap();
        assert_eq!(setup.pull("old").await, Ok(old));
        // What was put back is as new as that.
        setup.clock.advance(HOUR * 2);
        setup.run(100).await;
        assert_eq!(setup.alive().await, ["newest", "old"]);
    });
}

#[test]
fn what_was_pulled_lately_is_kept() {
    let setup = setup(options());
    block_on(async {
        setup.push_all(&["by-tag", "by-digest", "unused", "stale"]).await;
        setup.pull("stale").await.unwrap();
        setup.clock.advance(DAY * 30);
        setup.pull("by-tag").await.unwrap();
        let digest = setup.pull("by-digest").await.unwrap();
        setup.clock.advance(DAY * 6);
        setup.pull(&digest.to_string()).await.unwrap();
        setup.clock.advance(DAY * 2);
        let content = json!({ "method": "creation_date", "value": "1d", "keep_pulled_within": "10d" });
        setup.prune(&namespace(), &content).await;
        // Not written by anybody yet: the step sees to that.
        setup.run(100).await;
        assert_eq!(setup.alive().await, ["by-digest", "by-tag"]);
        setup.clock.advance(DAY * 3);
        setup.run(100).await;
        assert_eq!(setup.alive().await, ["by-digest"]);
    });
}

#[test]
fn the_default_is_for_namespaces_without_a_policy() {
    let mut options = options();
    let mut auto_prune = AutoPrune::default();
    let default = PruneInput::new("number_of_tags", json!(1));
    auto_prune.default_policy = Some(PruneRule::parse(default).unwrap());
    auto_prune.default_repositories = 1;
    options.auto_prune = Some(auto_prune);
    let setup = setup(options);
    block_on(async {
        let own = setup.in_repository("with/app");
        let both = setup.in_repository("both/app");
        for setup in [&setup, &own, &both] {
            setup.push_all(&["a", "b", "c", "d"]).await;
        }
        let owner = PolicyOwner::Namespace("with".to_owned());
        own.prune(&owner, &json!({ "method": "number_of_tags", "value": 3 }))
            .await;
        let content = json!({ "method": "number_of_tags", "value": 2 });
        both.prune(&both.own().await, &content).await;
        let runs = setup.run(3).await;
        assert_eq!(setup.alive().await, ["d"]);
        assert_eq!(own.alive().await, ["b", "c", "d"]);
        // Its repository has a policy, its namespace has none.
        assert_eq!(both.alive().await, ["d"]);
        assert!(runs.iter().any(|run| run.finished > 0), "{runs:?}");
        // Once in its time.
        setup.push_all(&["e"]).await;
        setup.run(3).await;
        assert_eq!(setup.alive().await, ["d", "e"]);
        setup.clock.advance(DAY);
        setup.run(3).await;
        assert_eq!(setup.alive().await, ["e"]);
    });
}

#[test]
fn several_processes_share_the_work() {
    let setup = setup(options());
    block_on(async {
        for index in 0..8 {
            let setup = setup.in_repository(&format!("org{index}/app"));
            setup.push_all(&["a", "b", "c", "d", "e"]).await;
            let owner = PolicyOwner::Namespace(format!("org{index}"));
            setup
                .prune(&owner, &json!({ "method": "number_of_tags", "value": 2 }))
                .await;
        }
    });
    let pruned: usize = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| block_on(setup.run(2)).iter().map(|run| run.pruned).sum::<usize>()))
            .collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).sum()
    });
    assert_eq!(pruned, 8 * 3);
    for index in 0..8 {
        let setup = setup.in_repository(&format!("org{index}/app"));
        assert_eq!(block_on(setup.alive()), ["d", "e"]);
    }
}

/// A process that ends in the middle leaves its task to others.
#[test]
fn a_step_that_was_lost_is_made_by_another() {
    let setup = setup(options());
    block_on(async {
        setup.push_all(&["a", "b", "c", "d", "e"]).await;
        setup
            .prune(&namespace(), &json!({ "method": "number_of_tags", "value": 2 }))
            .await;
        setup.registry.run_policies(3).await.unwrap();
        assert_eq!(setup.alive().await, ["a", "b", "d", "e"]);
        // Claimed by somebody who does not come back.
        let mut unit = setup.store.begin().await.unwrap();
        let now = setup.clock.now();
        let kept = unit.lifecycle().unwrap();
        let claimed = kept
            .claim_task(&[PolicyKind::Prune], now.plus(HOUR), now)
            .await
            .unwrap();
        assert!(claimed.unwrap().place.is_some());
        unit.commit().await.unwrap();
        assert!(setup.run(10).await.is_empty());
        // By then newer ones are gone: what was seen of them counts no more.
        setup.delete("d").await.unwrap();
        setup.delete("e").await.unwrap();
        setup.clock.advance(HOUR);
        setup.run(10).await;
        assert_eq!(setup.alive().await, ["a", "b"]);
    });
}

#[test]
fn the_collector_takes_what_is_pruned_and_leaves_what_is_immutable() {
    let mut options = options();
    options.time_machine = DAY;
    let setup = setup(options);
    block_on(async {
        setup.push_all(&["v1", "old", "new"]).await;
        let old = setup.pull("old").await.unwrap();
        setup.immutable(&namespace(), "v.*").await;
        setup
            .prune(&namespace(), &json!({ "method": "number_of_tags", "value": 1 }))
            .await;
        setup.run(100).await;
        assert_eq!(setup.alive().await, ["new", "v1"]);
        for _ in 0..3 {
            setup.clock.advance(DAY * 2);
            while setup.registry.collect(100).await.unwrap().more {}
        }
        assert_eq!(setup.restore("old", &old).await, Err(ErrorKind::NotFound));
        assert!(setup.pull("v1").await.is_ok() && setup.pull("new").await.is_ok());
    });
}

#[test]
fn pulls_are_counted_in_memory_and_written_together() {
    let setup = setup(options());
    block_on(async {
        setup.push_all(&["v1"]).await;
        let digest = setup.pull("v1").await.unwrap();
        for _ in 0..500 {
            setup.pull("v1").await.unwrap();
        }
        setup.pull(&digest.to_string()).await.unwrap();
        let PolicyOwner::Repository(repository) = setup.own().await else {
            panic!("no repository");
        };
        let counts = async || {
            let mut unit = setup.store.begin().await.unwrap();
            let counts = unit
                .lifecycle()
                .unwrap()
                .pulls_of(repository, &digest)
                .await
                .unwrap();
            let mut counts: Vec<_> = counts.into_iter().map(|count| (count.tag, count.pulls)).collect();
            counts.sort();
            counts
        };
        assert!(counts().await.is_empty(), "a pull has written something");
        assert_eq!(setup.registry.flush_pulls().await.unwrap(), 2);
        assert_eq!(setup.registry.flush_pulls().await.unwrap(), 0);
        assert_eq!(counts().await, [(None, 1), (Some(tag("v1")), 501)]);
    });
    let setup = self::setup(Options::default());
    block_on(async {
        setup.push_all(&["v1"]).await;
        setup.pull("v1").await.unwrap();
        assert_eq!(
            setup.registry.flush_pulls().await.unwrap(),
            0,
            "nobody wants to know"
        );
    });
}

#[test]
fn pulls_are_told_of_tags_and_of_manifests() {
    let setup = setup(options());
    block_on(async {
        let registry = &setup.registry;
        let of_tag = async |name: &str| {
            let told = registry.tag_pulls(&setup.name, &tag(name), &setup.caller).await;
            told.map_err(|error| error.kind())
        };
        setup.push_all(&["v1"]).await;
        let first = setup.pull("v1").await.unwrap();
        let at = setup.clock.now();
        let none = of_tag("v1").await.unwrap();
        assert_eq!(
            (none.of_tag.pulls, none.of_tag.last),
            (0, None),
            "not written yet"
        );
        registry.flush_pulls().await.unwrap();
        let told = of_tag("v1").await.unwrap();
        assert_eq!(told.digest, first);
        assert_eq!(told.of_tag, PullTotal::new(1, Some(at)));
        assert_eq!(told.of_manifest, PullTotal::new(1, Some(at)));

        // The tag moves on; what was pulled by it before counts for the tag, and for the manifest that it was.
        setup.clock.advance(HOUR);
        setup.pull(&first.to_string()).await.unwrap();
        setup.push_with("v1", "another", &json!({})).await.unwrap();
        let second = setup.pull("v1").await.unwrap();
        assert_ne!(first, second);
        registry.flush_pulls().await.unwrap();
        let later = setup.clock.now();
        let told = of_tag("v1").await.unwrap();
        assert_eq!(told.digest, second);
        assert_eq!(told.of_tag, PullTotal::new(2, Some(later)));
        assert_eq!(told.of_manifest, PullTotal::new(1, Some(later)));
        let of_first = registry.manifest_pulls(&setup.name, &first, &setup.caller).await;
        assert_eq!(of_first.unwrap(), PullTotal::new(2, Some(later)));

        assert_eq!(of_tag("none").await, Err(ErrorKind::ManifestUnknown));
        let elsewhere = setup.in_repository("org/none");
        let missing = registry
            .manifest_pulls(&elsewhere.name, &first, &setup.caller)
            .await;
        assert_eq!(missing.map_err(|error| error.kind()), Err(ErrorKind::NameUnknown));
    });
}
