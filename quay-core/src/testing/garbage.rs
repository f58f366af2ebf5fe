//! Cases for what a collector needs of the rows. A store that keeps its garbage leaves them out.

use super::metadata::{at, digest, ensure_repository, link, manifest, name, push, tag};
use super::{Failure, Instance, ensure};
use crate::metadata::{
    Edge, EdgeKind, GarbageStore, LabelRecord, LabelSource, ManifestHolds, MetadataStore, NewManifest,
    RepositoryId, TagTarget, UnitOfWork,
};

type Store = dyn MetadataStore;
type Outcome = Result<(), Failure>;

fn garbage(unit: &mut dyn UnitOfWork) -> Result<&mut dyn GarbageStore, Failure> {
    unit.garbage()
        .ok_or(Failure::NotApplicable("the store keeps its garbage"))
}

/// Manifests that are due at a time, in order.
async fn due(unit: &mut dyn UnitOfWork, repository: RepositoryId, now: i64) -> Result<Vec<i64>, Failure> {
    let mut due = garbage(unit)?.reviews(repository, at(now), 100).await?;
    due.sort_unstable();
    let repositories = garbage(unit)?.due(at(now), 100).await?;
    let expected: &[RepositoryId] = if due.is_empty() { &[] } else { &[repository] };
    ensure!(
        repositories == expected,
        "reviews are due in {repositories:?}, not in {expected:?}"
    );
    Ok(due)
}

async fn put(
    unit: &mut dyn UnitOfWork,
    repository: RepositoryId,
    manifest: &NewManifest,
) -> Result<i64, Failure> {
    Ok(unit.manifests().put(repository, manifest, at(1)).await?.0)
}

async fn holds(unit: &mut dyn UnitOfWork, of: RepositoryId, manifest: i64) -> Result<ManifestHolds, Failure> {
    let mut found = garbage(unit)?.holds(of, &[manifest]).await?;
    match found.pop() {
        Some(holds) if found.is_empty() => Ok(holds),
        _ => Err(Failure::new("a manifest's holds are not one row".into())),
    }
}

fn layer(seed: &str) -> Edge {
    Edge::new(EdgeKind::Layer, digest(seed), true)
}

pub(super) async fn what_may_be_garbage_comes_up_for_review(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    let mut unit = store.begin().await?;
    let repository = ensure_repository(&mut *unit, "a/b").await?;
    let leased = manifest("leased").with_lease(Some(at(500)));
    let leased_id = put(&mut *unit, repository, &leased).await?;
    let [first, second] = [manifest("first"), manifest("second")];
    let first = put(&mut *unit, repository, &first).await?;
    let second = put(&mut *unit, repository, &second).await?;
    let latest = tag("latest")?;
    let set = async |unit: &mut dyn UnitOfWork, manifest: i64, now: i64| {
        let tags = unit.tags();
        tags.set(repository, &latest, TagTarget::new(manifest), at(now))
            .await
    };
    set(&mut *unit, first, 10).await?;
    let seen = due(&mut *unit, repository, 499).await?;
    ensure!(seen.is_empty(), "{seen:?} are due though nothing has happened");
    let seen = due(&mut *unit, repository, 500).await?;
    ensure!(seen == [leased_id], "at the lease's end {seen:?} are due");
    set(&mut *unit, second, 20).await?;
    let seen = due(&mut *unit, repository, 20).await?;
    ensure!(seen == [first], "after a tag was moved {seen:?} are due");
    unit.tags().set_end(repository, &latest, Some(at(300))).await?;
    ensure!(
        due(&mut *unit, repository, 299).await? == [first]
            && due(&mut *unit, repository, 300).await? == [first, second],
        "the end of a tag is not when its manifest is due"
    );
    garbage(&mut *unit)?.postpone(&[(second, at(900))]).await?;
    unit.tags().end(repository, &latest, at(30)).await?;
    let seen = due(&mut *unit, repository, 30).await?;
    ensure!(
        seen == [first, second],
        "after a tag was deleted {seen:?} are due"
    );
    garbage(&mut *unit)?.settle(&[first, second]).await?;
    // Later does not count for less.
    unit.tags()
        .set(
            repository,
            &latest,
            TagTarget::new(first).with_end(Some(at(100))),
            at(40),
        )
        .await?;
    unit.tags().set_end(repository, &latest, Some(at(200))).await?;
    let seen = due(&mut *unit, repository, 100).await?;
    ensure!(seen == [first], "at the earlier of two times {seen:?} are due");
    unit.manifests().end(repository, leased_id, at(50)).await?;
    let seen = due(&mut *unit, repository, 50).await?;
    ensure!(seen == [leased_id], "after a deletion {seen:?} are due");
    garbage(&mut *unit)?.settle(&[first, leased_id]).await?;
    // Pushed once more, without a tag.
    let again = manifest("second").with_lease(Some(at(700)));
    put(&mut *unit, repository, &again).await?;
    let lease = holds(&mut *unit, repository, second).await?.lease;
    ensure!(
        lease == Some(at(700)) && due(&mut *unit, repository, 700).await? == [second],
        "a manifest that was pushed again has the lease {lease:?}"
    );
    unit.commit().await?;
    Ok(())
}

pub(super) async fn what_keeps_a_manifest_is_told(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    let mut unit = store.begin().await?;
    let repository = ensure_repository(&mut *unit, "a/b").await?;
    let child = put(&mut *unit, repository, &manifest("child")).await?;
    let edges = vec![
        Edge::new(EdgeKind::Child, digest("child"), true),
        Edge::new(EdgeKind::Child, digest("later"), false),
    ];
    let parent = put(&mut *unit, repository, &manifest("parent").with_edges(edges)).await?;
    let edges = vec![Edge::new(EdgeKind::Subject, digest("child"), true)];
    let about = manifest("about").with_edges(edges);
    let about = about.with_subject(Some(digest("child")), None, None);
    let about = put(&mut *unit, repository, &about).await?;
    // In a repository of its own: a parent elsewhere is none.
    let other = ensure_repository(&mut *unit, "a/c").await?;
    let twin = put(&mut *unit, other, &manifest("child")).await?;
    for (id, of, expected) in [
        (child, repository, (true, false)),
        (parent, repository, (false, false)),
        (about, repository, (false, true)),
        (twin, other, (false, false)),
    ] {
        let seen = holds(&mut *unit, of, id).await?;
        ensure!(
            (seen.parent, seen.subject) == expected && !seen.tagged && seen.ends.is_none() && seen.live,
            "of a manifest it is told {seen:?}"
        );
    }
    let later = put(&mut *unit, repository, &manifest("later")).await?;
    unit.manifests().end(repository, parent, at(10)).await?;
    ensure!(
        holds(&mut *unit, repository, later).await?.parent
            && holds(&mut *unit, repository, child).await?.parent,
        "a parent that was deleted, or pushed before its child, does not count"
    );
    ensure!(
        !holds(&mut *unit, repository, parent).await?.live,
        "a deleted manifest is said to be live"
    );
    let set = TagTarget::new(later);
    unit.tags().set(repository, &tag("v1")?, set, at(20)).await?;
    ensure!(
        holds(&mut *unit, repository, later).await?.tagged,
        "a tag is not told of"
    );
    unit.tags().end(repository, &tag("v1")?, at(30)).await?;
    let set = set.with_end(Some(at(90)));
    unit.tags().set(repository, &tag("v2")?, set, at(40)).await?;
    let seen = holds(&mut *unit, repository, later).await?;
    ensure!(
        !seen.tagged && seen.ends == Some((at(30), at(90))),
        "of tags that end it is told {seen:?}"
    );
    garbage(&mut *unit)?
        .forget_tags(repository, &[later], at(29))
        .await?;
    let seen = holds(&mut *unit, repository, later).await?.ends;
    ensure!(
        seen == Some((at(30), at(90))),
        "a tag was forgotten too early: {seen:?}"
    );
    garbage(&mut *unit)?
        .forget_tags(repository, &[later], at(30))
        .await?;
    let seen = holds(&mut *unit, repository, later).await?.ends;
    ensure!(
        seen == Some((at(90), at(90))),
        "once a tag is forgotten, the ends are {seen:?}"
    );
    let history = unit.tags().history(repository, &tag("v1")?, None, 10).await?;
    ensure!(history.is_empty(), "a forgotten tag has a history: {history:?}");
    unit.commit().await?;
    Ok(())
}

pub(super) async fn a_removed_manifest_leaves_nothing(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    let mut unit = store.begin().await?;
    let repository = ensure_repository(&mut *unit, "a/b").await?;
    garbage(&mut *unit)?;
    let mut blobs = Vec::new();
    for seed in ["own", "shared", "leased"] {
        blobs.push(link(&mut *unit, repository, seed, 1000).await?);
    }
    let child = put(&mut *unit, repository, &manifest("child")).await?;
    let about = manifest("about").with_subject(Some(digest("gone")), None, None);
    let about = about.with_edges(vec![Edge::new(EdgeKind::Subject, digest("gone"), false)]);
    let about = put(&mut *unit, repository, &about).await?;
    let edges = vec![
        layer("own"),
        layer("shared"),
        layer("leased"),
        Edge::new(EdgeKind::Child, digest("child"), true),
        Edge::new(EdgeKind::Layer, digest("elsewhere"), false),
    ];
    let gone = put(&mut *unit, repository, &manifest("gone").with_edges(edges)).await?;
    put(
        &mut *unit,
        repository,
        &manifest("stays").with_edges(vec![layer("shared")]),
    )
    .await?;
    // Uploaded once more, and not pushed yet.
    link(&mut *unit, repository, "leased", 1000).await?;
    unit.tags()
        .set(repository, &tag("old")?, TagTarget::new(gone), at(10))
        .await?;
    unit.tags().end(repository, &tag("old")?, at(20)).await?;
    if let Some(labels) = unit.labels() {
        let label = LabelRecord::new(
            "7".into(),
            "key".into(),
            "value".into(),
            "text/plain".into(),
            LabelSource::Api,
        );
        labels.insert(repository, gone, &[label]).await?;
    }
    garbage(&mut *unit)?.settle(&[gone, child, about]).await?;
    let mut held = garbage(&mut *unit)?
        .remove_manifests(repository, &[gone], at(100))
        .await?;
    held.sort_unstable();
    blobs.sort_unstable();
    ensure!(held == blobs, "a manifest held the blobs {held:?}, not {blobs:?}");
    let mut expected = vec![child, about];
    expected.sort_unstable();
    let seen = due(&mut *unit, repository, 100).await?;
    ensure!(
        seen == expected,
        "{seen:?} are due, not the child and what is about it"
    );
    let row = unit.manifests().find(repository, &digest("gone")).await?;
    let history = unit.tags().history(repository, &tag("old")?, None, 10).await?;
    let labels = match unit.labels() {
        Some(labels) => labels.count(gone).await?,
        None => 0,
    };
    ensure!(
        row.is_none() && history.is_empty() && labels == 0,
        "a removed manifest left {row:?}, {history:?} and {labels} labels"
    );
    let all = ["own", "shared", "leased"].map(digest);
    let mut linked = unit.blobs().linked(repository, &all).await?;
    linked.sort_unstable();
    let mut expected = vec![digest("shared"), digest("leased")];
    expected.sort_unstable();
    ensure!(
        linked == expected,
        "once a manifest is removed, {linked:?} are linked"
    );
    let seen = holds(&mut *unit, repository, child).await?;
    ensure!(!seen.parent, "a removed parent holds its child");
    let seen = holds(&mut *unit, repository, about).await?;
    ensure!(!seen.subject, "a removed manifest is a subject");
    // The same content once more is a new manifest.
    let (_, outcome) = unit
        .manifests()
        .put(repository, &manifest("gone"), at(200))
        .await?;
    ensure!(
        outcome == crate::metadata::PutOutcome::Created,
        "a removed manifest was {outcome:?}"
    );
    unit.commit().await?;
    let found = store
        .manifest(
            &name("a/b")?,
            &crate::name::Reference::Digest(digest("stays")),
            at(300),
        )
        .await?;
    ensure!(found.found.is_some(), "a manifest beside the removed one is gone");
    Ok(())
}

pub(super) async fn a_blob_goes_when_nothing_holds_it(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    let mut unit = store.begin().await?;
    garbage(&mut *unit)?;
    let repository = ensure_repository(&mut *unit, "a/b").await?;
    let other = ensure_repository(&mut *unit, "c/d").await?;
    let mut blobs = Vec::new();
    for seed in ["free", "linked", "elsewhere", "remembered", "named"] {
        blobs.push(link(&mut *unit, repository, seed, 1000).await?);
    }
    link(&mut *unit, other, "elsewhere", 1000).await?;
    link(&mut *unit, other, "remembered", 1000).await?;
    let deleted = put(
        &mut *unit,
        other,
        &manifest("m").with_edges(vec![layer("remembered")]),
    )
    .await?;
    unit.manifests().end(other, deleted, at(2000)).await?;
    // Named, and not held.
    let edges = vec![Edge::new(EdgeKind::Layer, digest("named"), false)];
    put(&mut *unit, other, &manifest("names").with_edges(edges)).await?;
    for seed in ["free", "elsewhere", "remembered", "named"] {
        unit.blobs().unlink(repository, &digest(seed)).await?;
    }
    let places = garbage(&mut *unit)?.remove_blobs(&blobs).await?;
    let mut keys: Vec<&str> = places.iter().map(|place| place.key.as_str()).collect();
    keys.sort_unstable();
    let mut expected = [digest("free"), digest("named")].map(|digest| {
        let key = crate::blob_store::ObjectKey::content_addressed(&digest);
        key.to_string()
    });
    expected.sort_unstable();
    ensure!(keys == expected, "{keys:?} are said to be garbage");
    unit.commit().await?;
    let mut unit = store.begin().await?;
    for (seed, there) in [
        ("free", false),
        ("linked", true),
        ("elsewhere", true),
        ("remembered", true),
        ("named", false),
    ] {
        let found = unit.blobs().find(&digest(seed)).await?.is_some();
        ensure!(found == there, "the blob {seed:?} is there: {found}");
    }
    ensure!(
        unit.manifests().revive(other, deleted).await?,
        "a deleted manifest lost a blob"
    );
    Ok(())
}

pub(super) async fn leases_that_have_ended_are_looked_after(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    let mut unit = store.begin().await?;
    garbage(&mut *unit)?;
    let repository = ensure_repository(&mut *unit, "a/b").await?;
    let vain = link(&mut *unit, repository, "vain", 100).await?;
    let early = link(&mut *unit, repository, "early", 50).await?;
    let held = link(&mut *unit, repository, "held", 100).await?;
    let running = link(&mut *unit, repository, "running", 101).await?;
    put(
        &mut *unit,
        repository,
        &manifest("m").with_edges(vec![layer("held")]),
    )
    .await?;
    let seen = garbage(&mut *unit)?.ended_leases(at(100), 10).await?;
    let expected = [(repository, early), (repository, vain)];
    ensure!(seen == expected, "the leases of {seen:?} have ended");
    // A manifest holds it, and it was uploaded once more since.
    link(&mut *unit, repository, "held", 100).await?;
    let first = garbage(&mut *unit)?.ended_leases(at(100), 1).await?;
    ensure!(
        first == [(repository, early)],
        "one lease that has ended is {first:?}"
    );
    let mut removed = garbage(&mut *unit)?
        .end_leases(repository, &[vain, early, held, running], at(100))
        .await?;
    removed.sort_unstable();
    let mut expected = vec![vain, early];
    expected.sort_unstable();
    ensure!(removed == expected, "the links to {removed:?} were removed");
    let all = ["vain", "early", "held", "running"].map(digest);
    let linked = unit.blobs().linked(repository, &all).await?;
    ensure!(
        linked.len() == 2 && linked.contains(&digest("held")) && linked.contains(&digest("running")),
        "what is left is linked to {linked:?}"
    );
    let seen = garbage(&mut *unit)?.ended_leases(at(100), 10).await?;
    ensure!(seen.is_empty(), "the leases of {seen:?} end again");
    unit.commit().await?;
    Ok(())
}

pub(super) async fn a_doomed_repository_is_taken_apart(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    let id = push(&*store, "a/b", "latest", "m", 1).await?;
    let mut unit = store.begin().await?;
    garbage(&mut *unit)?;
    let repository = ensure_repository(&mut *unit, "a/b").await?;
    let blob = link(&mut *unit, repository, "blob", 1000).await?;
    unit.commit().await?;
    let mut unit = store.begin().await?;
    ensure!(
        garbage(&mut *unit)?.doomed(10).await?.is_empty(),
        "a repository is doomed by itself"
    );
    ensure!(
        garbage(&mut *unit)?.doom(repository).await?,
        "no repository was doomed"
    );
    unit.commit().await?;
    let found = store.repository(&name("a/b")?).await?;
    ensure!(found.is_none(), "a doomed repository keeps its name");
    let mut unit = store.begin().await?;
    let twin = ensure_repository(&mut *unit, "a/b").await?;
    ensure!(
        twin != repository,
        "a name that is free again is the old repository's"
    );
    let doomed = garbage(&mut *unit)?.doomed(10).await?;
    let ids: Vec<RepositoryId> = doomed.iter().map(|record| record.id).collect();
    ensure!(ids == [repository], "{ids:?} are doomed");
    let manifests = garbage(&mut *unit)?.some_manifests(repository, 10).await?;
    ensure!(
        manifests == [id],
        "a doomed repository has the manifests {manifests:?}"
    );
    garbage(&mut *unit)?
        .remove_manifests(repository, &manifests, at(10))
        .await?;
    let blobs = garbage(&mut *unit)?.remove_links(repository, 10).await?;
    ensure!(blobs == [blob], "a doomed repository has links to {blobs:?}");
    let uploads = garbage(&mut *unit)?.uploads_of(repository, 10).await?;
    ensure!(
        uploads.is_empty(),
        "a doomed repository has the uploads {uploads:?}"
    );
    garbage(&mut *unit)?.remove_repository(repository).await?;
    unit.commit().await?;
    let mut unit = store.begin().await?;
    ensure!(
        garbage(&mut *unit)?.doomed(10).await?.is_empty()
            && unit.repositories().lock(repository).await?.is_none(),
        "a repository that was taken apart is there"
    );
    ensure!(
        unit.repositories().lock(twin).await?.is_some(),
        "another repository went with a doomed one"
    );
    Ok(())
}

pub(super) async fn a_blob_is_linked_or_removed(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    let mut unit = store.begin().await?;
    garbage(&mut *unit)?;
    let repository = ensure_repository(&mut *unit, "a/b").await?;
    let other = ensure_repository(&mut *unit, "c/d").await?;
    unit.commit().await?;
    for round in 0..8 {
        let seed = format!("blob {round}");
        let mut unit = store.begin().await?;
        let blob = link(&mut *unit, repository, &seed, 1000).await?;
        unit.blobs().unlink(repository, &digest(&seed)).await?;
        unit.commit().await?;
        let remove = async {
            let mut unit = store.begin().await?;
            let removed = garbage(&mut *unit)?.remove_blobs(&[blob]).await?.len();
            unit.commit().await?;
            Ok::<usize, Failure>(removed)
        };
        // As somebody mounts it who saw it before.
        let linked = async {
            let mut unit = store.begin().await?;
            unit.repositories().lock(other).await?;
            if unit.blobs().find(&digest(&seed)).await?.is_none() {
                return Ok(false);
            }
            let linked = unit.blobs().link(other, blob, &digest(&seed), at(1000)).await;
            match linked {
                Ok(()) => Ok(unit.commit().await.is_ok()),
                Err(error) => {
                    ensure!(
                        error.kind() == crate::error::StoreErrorKind::Conflict,
                        "a blob that goes cannot be linked: {error}"
                    );
                    Ok(false)
                }
            }
        };
        let (removed, linked) = futures::join!(remove, linked);
        let (removed, linked): (usize, bool) = (removed?, linked?);
        ensure!(
            (removed == 0) == linked,
            "a blob was removed: {removed}, and linked: {linked}"
        );
        let mut unit = store.begin().await?;
        let there = unit.blobs().find(&digest(&seed)).await?.is_some();
        ensure!(there == linked, "a blob is linked: {linked}, and there: {there}");
    }
    Ok(())
}
