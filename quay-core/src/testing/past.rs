//! Cases for the past of tags. A store that cannot tell it leaves them out.

use super::metadata::{at, ensure_repository, manifest, name, push, tag};
use super::{Failure, Instance, ensure};
use crate::metadata::{
    MetadataStore, PageRequest, PastStore, RepositoryId, TagFilter, TagTarget, UnitOfWork,
};
use crate::name::Tag;

type Store = dyn MetadataStore;
type Outcome = Result<(), Failure>;

fn past(unit: &mut dyn UnitOfWork) -> Result<&mut dyn PastStore, Failure> {
    unit.past()
        .ok_or(Failure::NotApplicable("the store cannot tell the past of tags"))
}

/// A repository with tags that were made, moved, deleted and ended by themselves, and one next to it.
async fn lived_in(store: &Store) -> Result<RepositoryId, Failure> {
    for (tag, seed, now) in [
        ("still", "one", 10),
        ("moved", "one", 10),
        ("gone", "one", 10),
        ("ends", "one", 10),
        ("moved", "two", 50),
        ("made", "two", 60),
    ] {
        push(store, "a/b", tag, seed, now).await?;
    }
    push(store, "a/c", "foreign", "one", 60).await?;
    let mut unit = store.begin().await?;
    let repository = ensure_repository(&mut *unit, "a/b").await?;
    unit.tags().end(repository, &tag("gone")?, at(70)).await?;
    unit.tags()
        .set_end(repository, &tag("ends")?, Some(at(80)))
        .await?;
    unit.commit().await?;
    Ok(repository)
}

async fn changed(
    unit: &mut dyn UnitOfWork,
    repository: RepositoryId,
    (since, now): (i64, i64),
    (after, limit): (Option<&str>, usize),
) -> Result<Vec<String>, Failure> {
    let page = PageRequest::new(after.map(tag).transpose()?, limit);
    let names = past(unit)?.changed(repository, at(since), at(now), &page).await?;
    Ok(names.iter().map(|name| name.as_str().to_owned()).collect())
}

pub(super) async fn changed_tags_are_paged_by_name(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    past(&mut *store.begin().await?)?;
    let repository = lived_in(&*store).await?;
    let mut unit = store.begin().await?;
    for (span, page, expected) in [
        ((20, 100), (None, 9), &["ends", "gone", "made", "moved"][..]),
        ((20, 79), (None, 9), &["gone", "made", "moved"]),
        ((20, 100), (None, 2), &["ends", "gone"]),
        ((20, 100), (Some("gone"), 2), &["made", "moved"]),
        ((20, 100), (Some("moved"), 2), &[]),
        ((60, 100), (None, 9), &["ends", "gone"]),
        ((49, 55), (None, 9), &["made", "moved"]),
        ((80, 100), (None, 9), &[]),
    ] {
        let seen = changed(&mut *unit, repository, span, page).await?;
        ensure!(
            seen == expected,
            "of {span:?} the page {page:?} has {seen:?}, not {expected:?}"
        );
    }
    let made = past(&mut *unit)?.created(repository).await?;
    ensure!(made == Some(at(0)), "the repository was made at {made:?}");
    let nowhere = past(&mut *unit)?.created(repository + 1000).await?;
    ensure!(
        nowhere.is_none(),
        "a repository that is not there was made at {nowhere:?}"
    );
    Ok(())
}

pub(super) async fn rows_are_found_as_they_were(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    past(&mut *store.begin().await?)?;
    let repository = lived_in(&*store).await?;
    let mut unit = store.begin().await?;
    let names: Vec<Tag> = ["ends", "gone", "made", "moved", "none", "still"]
        .into_iter()
        .map(tag)
        .collect::<Result<_, _>>()?;
    let one = super::metadata::digest("one");
    for (when, expected) in [
        (9, &[][..]),
        (10, &["ends", "gone", "moved", "still"]),
        (49, &["ends", "gone", "moved", "still"]),
        (60, &["ends", "gone", "made", "moved", "still"]),
        (70, &["ends", "made", "moved", "still"]),
        (80, &["made", "moved", "still"]),
    ] {
        let mut rows = past(&mut *unit)?.rows_at(repository, &names, at(when)).await?;
        rows.sort_by(|left, right| left.name.cmp(&right.name));
        let seen: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
        ensure!(
            seen == expected,
            "at {when} there were {seen:?}, not {expected:?}"
        );
        let moved = rows.iter().find(|row| row.name.as_str() == "moved");
        let pointed = moved.map(|row| row.digest == one);
        ensure!(
            pointed.is_none_or(|pointed| pointed == (when < 50)),
            "at {when} a tag that was moved at 50 pointed at {moved:?}"
        );
    }
    Ok(())
}

pub(super) async fn what_is_erased_is_gone_and_looked_at(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    past(&mut *store.begin().await?)?;
    let repository = lived_in(&*store).await?;
    // It has pointed at another manifest in between, which is another matter.
    push(&*store, "a/b", "moved", "three", 90).await?;
    let mut unit = store.begin().await?;
    let digest = manifest("one").digest;
    let found = unit.manifests().find(repository, &digest).await?;
    let one = found.map(|row| row.id).unwrap_or_default();
    if let Some(garbage) = unit.garbage() {
        let due = garbage.reviews(repository, at(100), 9).await?;
        garbage.settle(&due).await?;
    }
    for (name, now, expected) in [
        ("still", 100, 0),
        ("moved", 1, 1),
        ("moved", 100, 0),
        ("made", 100, 0),
        ("ends", 79, 0),
        ("ends", 80, 1),
    ] {
        let erased = past(&mut *unit)?
            .erase(repository, &tag(name)?, one, at(now))
            .await?;
        ensure!(
            erased == expected,
            "of {name} {erased} rows were erased at {now}, not {expected}"
        );
    }
    let history = unit.tags().history(repository, &tag("moved")?, None, 9).await?;
    ensure!(
        history.len() == 2 && history.iter().filter(|row| row.end.is_none()).count() == 1,
        "what is left of an erased past is {history:?}"
    );
    let live = unit.tags().live(repository, &[tag("still")?], at(100)).await?;
    ensure!(live.len() == 1, "a tag that is alive was erased");
    // Its name can be used again.
    unit.tags()
        .set(repository, &tag("ends")?, TagTarget::new(one), at(200))
        .await?;
    if let Some(garbage) = unit.garbage() {
        let due = garbage.reviews(repository, at(100), 9).await?;
        ensure!(due == [one], "after erasing, {due:?} are looked at, not {one}");
    }
    Ok(())
}

pub(super) async fn history_tells_the_size_of_manifests(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    push(&*store, "a/b", "v1", "some bytes", 10).await?;
    let filter = TagFilter::new(at(-1));
    let page = PageRequest::new(None, 9);
    let lookup = store
        .tag_history(&name("a/b")?, &filter, 0, &page, at(20))
        .await?;
    let sizes: Vec<u64> = lookup
        .found
        .unwrap_or_default()
        .iter()
        .map(|entry| entry.size)
        .collect();
    ensure!(sizes == [10], "a manifest of 10 bytes has the sizes {sizes:?}");
    Ok(())
}
