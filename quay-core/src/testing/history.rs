//! Cases of the suite for metadata stores about the time machine and labels.

use super::metadata::{at, digest, ensure_repository, link, manifest, name, push, resolve, tag};
use super::{Failure, Instance, ensure};
use crate::metadata::{
    Edge, EdgeKind, LabelRecord, LabelSource, MetadataStore, PageRequest, TagEntry, TagFilter, TagNames,
    TagPosition, TagTarget,
};

type Store = dyn MetadataStore;
type Outcome = Result<(), Failure>;

/// A page of the history of `a/b`: names and starts.
async fn page(
    store: &Store,
    filter: &TagFilter,
    skip: usize,
    request: &PageRequest<TagPosition>,
    now: i64,
) -> Result<Vec<TagEntry>, Failure> {
    let lookup = store
        .tag_history(&name("a/b")?, filter, skip, request, at(now))
        .await?;
    lookup
        .found
        .ok_or_else(|| Failure::new("a repository has no history".into()))
}

fn shown(entries: &[TagEntry]) -> Vec<(&str, i64)> {
    entries
        .iter()
        .map(|entry| {
            (
                entry.tag.name.as_str(),
                entry.tag.start.as_millis() - at(0).as_millis(),
            )
        })
        .collect()
}

pub(super) async fn history_is_paged_newest_first(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    for (tag, seed, now) in [
        ("a", "one", 10),
        ("c", "one", 20),
        ("b", "one", 20),
        ("a", "two", 30),
        ("B", "one", 20),
    ] {
        push(&*store, "a/b", tag, seed, now).await?;
    }
    push(&*store, "a/other", "z", "one", 25).await?;
    let filter = TagFilter::new(at(-1));
    let expected = [("a", 30), ("B", 20), ("b", 20), ("c", 20), ("a", 10)];
    let all = page(&*store, &filter, 0, &PageRequest::new(None, 100), 40).await?;
    ensure!(shown(&all) == expected, "the history is {:?}", shown(&all));
    let ends: Vec<_> = all.iter().map(|entry| entry.tag.end).collect();
    ensure!(
        ends == [None, None, None, None, Some(at(30))],
        "the rows end at {ends:?}"
    );
    let mut after = None;
    for expected in expected {
        let one = page(&*store, &filter, 0, &PageRequest::new(after, 1), 40).await?;
        ensure!(shown(&one) == [expected], "a page of one is {:?}", shown(&one));
        after = one.first().map(|entry| TagPosition::from(&entry.tag));
    }
    let none = page(&*store, &filter, 0, &PageRequest::new(after, 1), 40).await?;
    ensure!(none.is_empty(), "behind the last row comes {:?}", shown(&none));
    let skipped = page(&*store, &filter, 2, &PageRequest::new(None, 2), 40).await?;
    ensure!(
        shown(&skipped) == expected[2..4],
        "behind two rows come {:?}",
        shown(&skipped)
    );
    let nothing = store
        .tag_history(&name("a/none")?, &filter, 0, &PageRequest::new(None, 1), at(40))
        .await?;
    ensure!(
        nothing.repository.is_none(),
        "a repository that is not there has a history"
    );
    Ok(())
}

pub(super) async fn history_is_filtered(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    for (tag, seed, now) in [
        ("v1", "one", 10),
        ("v1", "two", 20),
        ("V1", "one", 30),
        ("v_1", "one", 40),
        ("gone", "one", 50),
    ] {
        push(&*store, "a/b", tag, seed, now).await?;
    }
    let mut unit = store.begin().await?;
    let repository = ensure_repository(&mut *unit, "a/b").await?;
    unit.tags().end(repository, &tag("gone")?, at(60)).await?;
    unit.tags()
        .set_end(repository, &tag("v_1")?, Some(at(70)))
        .await?;
    unit.commit().await?;
    let everything = TagFilter::new(at(-1));
    let exactly = |text: &str| Some(TagNames::Exactly(text.to_owned()));
    let holding = |text: &str| Some(TagNames::Holding(text.to_owned()));
    for (what, filter, now, expected) in [
        (
            "what is alive",
            everything.clone().with_alive(true),
            65,
            &[("v_1", 40), ("V1", 30), ("v1", 20)][..],
        ),
        (
            "what is alive once a tag has run out",
            everything.clone().with_alive(true),
            70,
            &[("V1", 30), ("v1", 20)],
        ),
        (
            "what ended after a time",
            TagFilter::new(at(20)),
            100,
            &[("gone", 50), ("v_1", 40), ("V1", 30), ("v1", 20)],
        ),
        (
            "what ended after a later time",
            TagFilter::new(at(60)),
            100,
            &[("v_1", 40), ("V1", 30), ("v1", 20)],
        ),
        (
            "one name",
            everything.clone().with_names(exactly("v1")),
            100,
            &[("v1", 20), ("v1", 10)],
        ),
        (
            "no such name",
            everything.clone().with_names(exactly("v")),
            100,
            &[],
        ),
        (
            "a part of a name",
            everything.clone().with_names(holding("v")),
            100,
            &[("v_1", 40), ("v1", 20), ("v1", 10)],
        ),
        (
            "a part that is no pattern",
            everything.clone().with_names(holding("_")),
            100,
            &[("v_1", 40)],
        ),
        (
            "no part",
            everything.clone().with_names(holding("")).with_alive(true),
            100,
            &[("V1", 30), ("v1", 20)],
        ),
    ] {
        let found = page(&*store, &filter, 0, &PageRequest::new(None, 100), now).await?;
        ensure!(shown(&found) == expected, "{what} is {:?}", shown(&found));
    }
    Ok(())
}

pub(super) async fn history_shows_sizes_and_children(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    let mut unit = store.begin().await?;
    let repository = ensure_repository(&mut *unit, "a/b").await?;
    link(&mut *unit, repository, "config", 100).await?;
    link(&mut *unit, repository, "first", 100).await?;
    link(&mut *unit, repository, "second", 100).await?;
    let other = ensure_repository(&mut *unit, "a/other").await?;
    link(&mut *unit, other, "foreign", 100).await?;
    let image = manifest("image").with_edges(vec![
        Edge::new(EdgeKind::Config, digest("config"), true),
        Edge::new(EdgeKind::Layer, digest("first"), true),
        Edge::new(EdgeKind::Layer, digest("second"), true),
        Edge::new(EdgeKind::Layer, digest("foreign"), false),
    ]);
    let (image_id, _) = unit.manifests().put(repository, &image, at(1)).await?;
    let index = manifest("index").with_edges(vec![
        Edge::new(EdgeKind::Child, digest("missing"), false),
        Edge::new(EdgeKind::Child, digest("image"), true),
    ]);
    let (index_id, _) = unit.manifests().put(repository, &index, at(2)).await?;
    for (id, name) in [(image_id, "image"), (index_id, "index")] {
        unit.tags()
            .set(repository, &tag(name)?, TagTarget::new(id), at(3))
            .await?;
    }
    unit.commit().await?;
    let filter = TagFilter::new(at(-1)).with_children(true);
    let found = page(&*store, &filter, 0, &PageRequest::new(None, 10), 9).await?;
    let seen: Vec<_> = found
        .iter()
        .map(|entry| (entry.tag.digest, entry.layers_size, entry.children.to_vec()))
        .collect();
    // Each blob of the suite has seven bytes; one that another repository holds shows nothing.
    let children = vec![(digest("missing"), false), (digest("image"), true)];
    let expected = [
        (digest("image"), Some(14), Vec::new()),
        (digest("index"), None, children),
    ];
    ensure!(seen == expected, "the rows are {seen:?}");
    let filter = filter.with_children(false);
    let found = page(&*store, &filter, 0, &PageRequest::new(None, 10), 9).await?;
    ensure!(
        found.iter().all(|entry| entry.children.is_empty()),
        "children come unasked"
    );
    Ok(())
}

pub(super) async fn a_tag_ends_by_itself_and_comes_back(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    push(&*store, "a/b", "v1", "one", 10).await?;
    let mut unit = store.begin().await?;
    let repository = ensure_repository(&mut *unit, "a/b").await?;
    let missing = unit.tags().set_end(repository, &tag("none")?, None).await?;
    ensure!(!missing, "a tag that is not there was given an end");
    ensure!(
        unit.tags().set_end(repository, &tag("v1")?, Some(at(30))).await?,
        "a live tag was given no end"
    );
    unit.commit().await?;
    for (now, expected) in [(29, Some(digest("one"))), (30, None), (31, None)] {
        let seen = resolve(&*store, "a/b", "v1", now).await?;
        ensure!(seen == expected, "at {now} the tag points at {seen:?}");
    }
    let mut unit = store.begin().await?;
    ensure!(
        unit.tags().set_end(repository, &tag("v1")?, None).await?,
        "a tag that has run out is still the live row"
    );
    unit.commit().await?;
    let seen = resolve(&*store, "a/b", "v1", 40).await?;
    ensure!(seen == Some(digest("one")), "a tag without an end is {seen:?}");
    let mut unit = store.begin().await?;
    let row = unit.manifests().find(repository, &digest("one")).await?;
    let Some(row) = row else {
        return Err(Failure::new("the manifest is gone".into()));
    };
    let target = TagTarget::new(row.id).with_end(Some(at(60))).with_reversion(true);
    unit.tags().set(repository, &tag("v1")?, target, at(50)).await?;
    unit.commit().await?;
    let found = page(
        &*store,
        &TagFilter::new(at(-1)),
        0,
        &PageRequest::new(None, 10),
        55,
    )
    .await?;
    let seen: Vec<_> = found
        .iter()
        .map(|entry| (entry.tag.start, entry.tag.end, entry.tag.reversion))
        .collect();
    let expected = [(at(50), Some(at(60)), true), (at(10), Some(at(50)), false)];
    ensure!(seen == expected, "the history is {seen:?}");
    Ok(())
}

pub(super) async fn a_manifest_is_revived_with_its_blobs(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    let mut unit = store.begin().await?;
    let repository = ensure_repository(&mut *unit, "a/b").await?;
    link(&mut *unit, repository, "layer", 5).await?;
    let image = manifest("image").with_edges(vec![
        Edge::new(EdgeKind::Layer, digest("layer"), true),
        Edge::new(EdgeKind::Layer, digest("elsewhere"), false),
    ]);
    let (id, _) = unit.manifests().put(repository, &image, at(1)).await?;
    unit.manifests().end(repository, id, at(10)).await?;
    ensure!(
        unit.blobs()
            .linked(repository, &[digest("layer")])
            .await?
            .is_empty(),
        "an ended manifest keeps its link"
    );
    ensure!(
        unit.manifests().revive(repository, id).await?,
        "a manifest was not revived"
    );
    ensure!(
        unit.manifests().revive(repository, id).await?,
        "a live manifest is no live manifest"
    );
    ensure!(
        !unit.manifests().revive(repository, id + 1_000).await?,
        "a manifest that is not there was revived"
    );
    // The lease of a blob that was uploaded again is consumed, as when the manifest is pushed.
    unit.manifests().end(repository, id, at(11)).await?;
    link(&mut *unit, repository, "layer", 1_000).await?;
    ensure!(
        unit.manifests().revive(repository, id).await?,
        "a manifest was not revived"
    );
    unit.manifests().end(repository, id, at(12)).await?;
    ensure!(
        unit.blobs()
            .linked(repository, &[digest("layer")])
            .await?
            .is_empty(),
        "a revived manifest leaves a lease behind"
    );
    // An index that was pushed meanwhile holds what has come back.
    let index = manifest("index").with_edges(vec![Edge::new(EdgeKind::Child, digest("image"), false)]);
    let (index_id, _) = unit.manifests().put(repository, &index, at(13)).await?;
    unit.tags()
        .set(repository, &tag("index")?, TagTarget::new(index_id), at(13))
        .await?;
    link(&mut *unit, repository, "layer", 14).await?;
    ensure!(
        unit.manifests().revive(repository, id).await?,
        "a manifest was not revived"
    );
    unit.commit().await?;
    let filter = TagFilter::new(at(-1)).with_children(true);
    let shown = page(&*store, &filter, 0, &PageRequest::new(None, 1), 15).await?;
    ensure!(
        shown
            .first()
            .is_some_and(|entry| *entry.children == [(digest("image"), true)]),
        "the index shows {shown:?}"
    );
    let seen = resolve(&*store, "a/b", &digest("image").to_string(), 16).await?;
    ensure!(seen == Some(digest("image")), "the revived manifest is {seen:?}");
    let blob = store.blob(&name("a/b")?, &digest("layer")).await?;
    ensure!(blob.found.is_some(), "the revived manifest's layer is not linked");
    let blob = store.blob(&name("a/b")?, &digest("elsewhere")).await?;
    ensure!(blob.found.is_none(), "what was not held is linked");
    Ok(())
}

pub(super) async fn labels_are_kept(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    let id = push(&*store, "a/b", "v1", "one", 1).await?;
    let other = push(&*store, "a/b", "v2", "two", 1).await?;
    let label = |uuid: &str, key: &str, value: &str, source| {
        LabelRecord::new(
            uuid.to_owned(),
            key.to_owned(),
            value.to_owned(),
            "text/plain".to_owned(),
            source,
        )
    };
    let labels = [
        label("u1", "b.key", "1", LabelSource::Manifest),
        label("u2", "a.key", "{\"\u{e4}\": 2}", LabelSource::Api),
        label("u3", "b.key", "3", LabelSource::Internal),
    ];
    let mut unit = store.begin().await?;
    let repository = ensure_repository(&mut *unit, "a/b").await?;
    let Some(kept) = unit.labels() else {
        // It keeps none, and says so.
        return Ok(());
    };
    kept.insert(repository, id, &labels).await?;
    kept.insert(
        repository,
        other,
        &[label("u4", "b.key", "4", LabelSource::Manifest)],
    )
    .await?;
    ensure!(
        kept.count(id).await? == 3,
        "a manifest has not the labels it was given"
    );
    let found = kept.find(id, "u2").await?;
    ensure!(
        found.as_ref() == Some(&labels[1]),
        "a label came back as {found:?}"
    );
    ensure!(
        kept.find(other, "u2").await?.is_none(),
        "a label of one manifest is another's"
    );
    let both = [digest("one"), digest("two"), digest("none")];
    let mut values = kept.values(repository, &both, "b.key").await?;
    values.sort_by(|left, right| left.1.cmp(&right.1));
    let expected = [
        (digest("one"), "1".to_owned()),
        (digest("one"), "3".to_owned()),
        (digest("two"), "4".to_owned()),
    ];
    ensure!(values == expected, "the values of a key are {values:?}");
    ensure!(
        !kept.delete(other, "u1").await?,
        "a label was taken from another manifest"
    );
    ensure!(
        kept.delete(id, "u1").await? && !kept.delete(id, "u1").await?,
        "a label was not taken away once"
    );
    unit.commit().await?;
    let all = store.labels(&name("a/b")?, &digest("one"), "").await?;
    ensure!(
        all.found.as_deref() == Some(&labels[1..]),
        "the labels are {:?}",
        all.found
    );
    for (prefix, expected) in [("a", &labels[1..2]), ("A", &[]), ("%", &[])] {
        let found = store.labels(&name("a/b")?, &digest("one"), prefix).await?;
        ensure!(
            found.found.as_deref() == Some(expected),
            "labels that begin with {prefix}: {:?}",
            found.found
        );
    }
    let none = store.labels(&name("a/b")?, &digest("none"), "").await?;
    ensure!(
        none.repository.is_some() && none.found.is_none(),
        "a manifest that is not there has labels"
    );
    let mut unit = store.begin().await?;
    unit.manifests().end(repository, id, at(5)).await?;
    unit.commit().await?;
    let ended = store.labels(&name("a/b")?, &digest("one"), "").await?;
    ensure!(ended.found.is_none(), "a deleted manifest shows labels");
    Ok(())
}

pub(super) async fn a_lock_says_what_is_locked(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    push(&*store, "a/b", "v1", "one", 1).await?;
    let mut unit = store.begin().await?;
    let repository = ensure_repository(&mut *unit, "a/b").await?;
    let locked = unit.repositories().lock(repository).await?;
    ensure!(
        locked
            .as_ref()
            .is_some_and(|record| record.id == repository && record.name.path() == "a/b"),
        "what is locked is {locked:?}"
    );
    let none = unit.repositories().lock(repository + 1_000).await?;
    ensure!(
        none.is_none(),
        "a repository that is not there is locked: {none:?}"
    );
    Ok(())
}

pub(super) async fn what_tags_pointed_at_is_remembered(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    let one = push(&*store, "a/b", "v1", "one", 10).await?;
    let two = push(&*store, "a/b", "v1", "two", 20).await?;
    let mut unit = store.begin().await?;
    let repository = ensure_repository(&mut *unit, "a/b").await?;
    let (untagged, _) = unit
        .manifests()
        .put(repository, &manifest("untagged"), at(5))
        .await?;
    for (what, id, since, expected) in [
        ("what a tag points at", two, 1_000, true),
        ("what a tag pointed at", one, 19, true),
        ("what a tag no longer pointed at then", one, 20, false),
        ("what no tag pointed at", untagged, 0, false),
    ] {
        let found = unit.tags().remembers(repository, id, at(since)).await?;
        ensure!(found == expected, "{what} is remembered: {found}");
    }
    let other = ensure_repository(&mut *unit, "a/other").await?;
    ensure!(
        !unit.tags().remembers(other, two, at(0)).await?,
        "one repository remembers another's"
    );
    Ok(())
}
