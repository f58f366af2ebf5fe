//! The suite for [`MetadataStore`] and its unit of work.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::garbage::{
    a_blob_goes_when_nothing_holds_it, a_blob_is_linked_or_removed, a_doomed_repository_is_taken_apart,
    a_removed_manifest_leaves_nothing, leases_that_have_ended_are_looked_after,
    what_keeps_a_manifest_is_told, what_may_be_garbage_comes_up_for_review,
};
use super::history::{
    a_lock_says_what_is_locked, a_manifest_is_revived_with_its_blobs, a_tag_ends_by_itself_and_comes_back,
    history_is_filtered, history_is_paged_newest_first, history_shows_sizes_and_children, labels_are_kept,
    what_tags_pointed_at_is_remembered,
};
use super::lifecycle::{
    a_policy_task_is_one_process_s_at_a_time, immutability_stays_with_the_row, policies_are_kept_by_owner,
    policies_go_with_their_repository, pulls_add_up, tags_are_rated_newest_first,
};
use super::past::{
    changed_tags_are_paged_by_name, history_tells_the_size_of_manifests, rows_are_found_as_they_were,
    what_is_erased_is_gone_and_looked_at,
};
use super::quota::{
    a_blob_counts_once_in_its_namespace, bytes_are_counted_anew, deleted_manifests_let_go_of_what_they_used,
    quotas_are_laid_down, racing_links_count_once, what_is_promised_comes_back,
};
use super::scan::{outdated_scans_are_found_oldest_first, scans_are_recorded_and_go_with_their_manifests};
use super::{Failure, Instance, cases, ensure};
use crate::blob_store::{ObjectKey, UploadState};
use crate::digest::{Algorithm, Digest};
use crate::error::StoreErrorKind;
use crate::media_type::MediaType;
use crate::metadata::{
    Edge, EdgeKind, MetadataStore, NewBlob, NewManifest, NewUpload, PageRequest, Placement, PutOutcome,
    REFERRERS_BYTES, RepositoryId, TagTarget, UnitOfWork, Visibility,
};
use crate::name::{Reference, RepositoryName, Tag};
use crate::runtime::Timestamp;

type Store = dyn MetadataStore;
type Outcome = Result<(), Failure>;

cases! { dyn MetadataStore:
    a_repository_is_made_once,
    what_is_not_committed_never_was,
    an_open_unit_of_work_is_seen_by_nobody,
    a_manifest_is_read_by_tag_and_by_digest,
    a_manifest_put_again_is_unchanged_and_revives_when_deleted,
    a_moved_tag_keeps_its_history,
    a_clock_that_stands_still_or_jumps_back_keeps_the_order,
    an_ended_tag_is_gone_and_remembered,
    tags_are_paged_in_byte_order,
    repositories_are_paged_in_byte_order,
    referrers_are_filtered_and_paged,
    a_blob_is_seen_through_its_own_link_alone,
    a_blob_has_one_placement_per_location,
    an_edge_is_held_from_the_link_on,
    an_ended_manifest_lets_go_of_its_blobs,
    a_lease_keeps_a_link_until_it_runs_out,
    a_manifest_put_again_consumes_leases,
    a_page_of_long_referrers_ends_early,
    holders_are_listed_newest_first,
    an_upload_changes_by_version,
    a_claim_keeps_others_out,
    stale_uploads_are_found_oldest_first,
    an_outbox_row_comes_until_it_is_completed,
    long_lists_of_digests_are_taken,
    a_reader_sees_every_commit,
    racing_moves_of_a_tag_leave_one_live_row,
    racing_pushes_make_one_repository,
    history_is_paged_newest_first,
    history_is_filtered,
    history_shows_sizes_and_children,
    a_tag_ends_by_itself_and_comes_back,
    a_manifest_is_revived_with_its_blobs,
    labels_are_kept,
    a_lock_says_what_is_locked,
    what_tags_pointed_at_is_remembered,
    what_may_be_garbage_comes_up_for_review,
    what_keeps_a_manifest_is_told,
    a_removed_manifest_leaves_nothing,
    a_blob_goes_when_nothing_holds_it,
    leases_that_have_ended_are_looked_after,
    a_doomed_repository_is_taken_apart,
    a_blob_is_linked_or_removed,
    a_blob_counts_once_in_its_namespace,
    deleted_manifests_let_go_of_what_they_used,
    what_is_promised_comes_back,
    quotas_are_laid_down,
    bytes_are_counted_anew,
    racing_links_count_once,
    policies_are_kept_by_owner,
    tags_are_rated_newest_first,
    immutability_stays_with_the_row,
    a_policy_task_is_one_process_s_at_a_time,
    pulls_add_up,
    policies_go_with_their_repository,
    changed_tags_are_paged_by_name,
    rows_are_found_as_they_were,
    what_is_erased_is_gone_and_looked_at,
    history_tells_the_size_of_manifests,
    scans_are_recorded_and_go_with_their_manifests,
    outdated_scans_are_found_oldest_first,
    everything_survives_the_process,
}

pub(super) fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(1_600_000_000_000 + millis)
}

pub(super) fn name(path: &str) -> Result<RepositoryName, Failure> {
    RepositoryName::from_path(path).map_err(|error| Failure::new(error.to_string()))
}

pub(super) fn tag(text: &str) -> Result<Tag, Failure> {
    Tag::new(text).map_err(|error| Failure::new(error.to_string()))
}

pub(super) fn digest(seed: &str) -> Digest {
    Digest::of(Algorithm::Sha256, seed.as_bytes())
}

pub(super) fn manifest(seed: &str) -> NewManifest {
    let bytes = Bytes::copy_from_slice(seed.as_bytes());
    NewManifest::new(digest(seed), MediaType::known(MediaType::OCI_MANIFEST), bytes)
}

pub(super) async fn ensure_repository(
    unit: &mut dyn UnitOfWork,
    path: &str,
) -> Result<RepositoryId, Failure> {
    let name = name(path)?;
    let created = unit
        .repositories()
        .create(&name, Visibility::Private, at(0))
        .await?;
    let record = match created {
        Some(record) => Some(record),
        None => unit.repositories().find(&name).await?,
    };
    match record {
        Some(record) => Ok(record.id),
        None => Err(Failure::new(format!("{path} could neither be made nor found"))),
    }
}

/// Puts a manifest under a tag, in a unit of work of its own.
pub(super) async fn push(
    store: &Store,
    path: &str,
    tag_name: &str,
    seed: &str,
    now: i64,
) -> Result<i64, Failure> {
    let mut unit = store.begin().await?;
    let repository = ensure_repository(&mut *unit, path).await?;
    let (id, _) = unit.manifests().put(repository, &manifest(seed), at(now)).await?;
    unit.tags()
        .set(repository, &tag(tag_name)?, TagTarget::new(id), at(now))
        .await?;
    unit.commit().await?;
    Ok(id)
}

/// Records a blob and links it to a repository.
pub(super) async fn link(
    unit: &mut dyn UnitOfWork,
    repository: RepositoryId,
    seed: &str,
    lease: i64,
) -> Result<i64, Failure> {
    let digest = digest(seed);
    let placement = Placement::new("here".into(), ObjectKey::content_addressed(&digest));
    let (blob, _) = unit
        .blobs()
        .record(&NewBlob::new(digest, 7, placement), at(0))
        .await?;
    unit.blobs().link(repository, blob, &digest, at(lease)).await?;
    Ok(blob)
}

/// The digest that a tag points at, read as a client would.
pub(super) async fn resolve(
    store: &Store,
    path: &str,
    reference: &str,
    now: i64,
) -> Result<Option<Digest>, Failure> {
    let reference = Reference::parse(reference).map_err(|error| Failure::new(error.to_string()))?;
    let lookup = store.manifest(&name(path)?, &reference, at(now)).await?;
    Ok(lookup.found.map(|record| record.digest))
}

async fn a_repository_is_made_once(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    ensure!(
        store.repository(&name("a/b")?).await?.is_none(),
        "an empty store knows a/b"
    );
    let mut unit = store.begin().await?;
    ensure!(
        unit.repositories().find(&name("a/b")?).await?.is_none(),
        "an empty store knows a/b in a unit of work"
    );
    let first = ensure_repository(&mut *unit, "a/b").await?;
    let twice = unit
        .repositories()
        .create(&name("a/b")?, Visibility::Private, at(1))
        .await?;
    ensure!(twice.is_none(), "a/b was made twice");
    let again = ensure_repository(&mut *unit, "a/b").await?;
    let nested = ensure_repository(&mut *unit, "a/b/c").await?;
    ensure!(
        first == again && first != nested,
        "ids are {first}, {again} and {nested}"
    );
    unit.commit().await?;
    let Some(record) = store.repository(&name("a/b")?).await? else {
        return Err(Failure::new("a committed repository is not there".into()));
    };
    ensure!(
        record.id == first && record.name.path() == "a/b" && record.visibility == Visibility::Private,
        "the repository came back as {record:?}"
    );
    ensure!(
        store
            .repository(&name("a/B".to_lowercase().as_str())?)
            .await?
            .is_some(),
        "a/b is gone"
    );
    Ok(())
}

async fn what_is_not_committed_never_was(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    push(&*store, "a/b", "v1", "one", 1).await?;
    {
        let mut unit = store.begin().await?;
        let repository = ensure_repository(&mut *unit, "a/b").await?;
        ensure_repository(&mut *unit, "new/repository").await?;
        let (id, _) = unit.manifests().put(repository, &manifest("two"), at(2)).await?;
        unit.tags()
            .set(repository, &tag("v1")?, TagTarget::new(id), at(2))
            .await?;
        let inside = unit.tags().live(repository, &[tag("v1")?], at(3)).await?;
        ensure!(
            inside.first().map(|record| record.digest) == Some(digest("two")),
            "a unit of work does not see its own changes"
        );
    }
    let seen = resolve(&*store, "a/b", "v1", 3).await?;
    ensure!(
        seen == Some(digest("one")),
        "after a dropped unit of work v1 is {seen:?}"
    );
    ensure!(
        store.repository(&name("new/repository")?).await?.is_none(),
        "a dropped unit of work made a repository"
    );
    push(&*store, "a/b", "v1", "three", 4).await?;
    let seen = resolve(&*store, "a/b", "v1", 5).await?;
    ensure!(
        seen == Some(digest("three")),
        "a unit of work after a dropped one left v1 at {seen:?}"
    );
    Ok(())
}

async fn an_open_unit_of_work_is_seen_by_nobody(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    push(&*store, "a/b", "v1", "one", 1).await?;
    let mut unit = store.begin().await?;
    let repository = ensure_repository(&mut *unit, "a/b").await?;
    let (id, _) = unit.manifests().put(repository, &manifest("two"), at(2)).await?;
    unit.tags()
        .set(repository, &tag("v1")?, TagTarget::new(id), at(2))
        .await?;
    let seen = resolve(&*store, "a/b", "v1", 3).await?;
    ensure!(
        seen == Some(digest("one")),
        "an uncommitted move is seen: {seen:?}"
    );
    unit.commit().await?;
    let seen = resolve(&*store, "a/b", "v1", 3).await?;
    ensure!(
        seen == Some(digest("two")),
        "a committed move is not seen: {seen:?}"
    );
    Ok(())
}

async fn a_manifest_is_read_by_tag_and_by_digest(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    push(&*store, "a/b", "v1", "one", 1).await?;
    for reference in ["v1".to_owned(), digest("one").to_string()] {
        let parsed = Reference::parse(&reference).map_err(|error| Failure::new(error.to_string()))?;
        let lookup = store.manifest(&name("a/b")?, &parsed, at(2)).await?;
        let Some(found) = lookup.found else {
            return Err(Failure::new(format!("{reference} is not found")));
        };
        ensure!(
            found.digest == digest("one")
                && found.media_type.as_str() == MediaType::OCI_MANIFEST
                && found.bytes == "one",
            "{reference} came back as {found:?}"
        );
    }
    for (path, reference) in [
        ("a/b", "V1".to_owned()),
        ("a/b", "v2".to_owned()),
        ("a/b", digest("two").to_string()),
        ("a/c", "v1".to_owned()),
        ("a/c", digest("one").to_string()),
    ] {
        let seen = resolve(&*store, path, &reference, 2).await?;
        ensure!(seen.is_none(), "{path} has {reference}: {seen:?}");
    }
    let none = store
        .manifest(&name("a/c")?, &Reference::Tag(tag("v1")?), at(2))
        .await?;
    ensure!(
        none.repository.is_none(),
        "a repository that is not there was found"
    );
    Ok(())
}

async fn a_manifest_put_again_is_unchanged_and_revives_when_deleted(
    instance: &mut dyn Instance<Store>,
) -> Outcome {
    let store = instance.store();
    let id = push(&*store, "a/b", "v1", "one", 1).await?;
    let mut unit = store.begin().await?;
    let repository = ensure_repository(&mut *unit, "a/b").await?;
    let again = unit.manifests().put(repository, &manifest("one"), at(2)).await?;
    ensure!(
        again == (id, PutOutcome::Unchanged),
        "putting it again gave {again:?}"
    );
    unit.tags().end(repository, &tag("v1")?, at(2)).await?;
    unit.manifests().end(repository, id, at(2)).await?;
    let stored = unit.manifests().find(repository, &digest("one")).await?;
    ensure!(
        stored.as_ref().is_some_and(|row| row.id == id && !row.live),
        "a deleted manifest's row is {stored:?}"
    );
    unit.commit().await?;
    let seen = resolve(&*store, "a/b", &digest("one").to_string(), 3).await?;
    ensure!(seen.is_none(), "a deleted manifest can be pulled");
    let mut unit = store.begin().await?;
    let revived = unit.manifests().put(repository, &manifest("one"), at(4)).await?;
    ensure!(
        revived == (id, PutOutcome::Revived),
        "putting it back gave {revived:?}"
    );
    unit.commit().await?;
    let seen = resolve(&*store, "a/b", &digest("one").to_string(), 5).await?;
    ensure!(seen == Some(digest("one")), "a revived manifest cannot be pulled");
    Ok(())
}

async fn a_moved_tag_keeps_its_history(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    for (seed, now) in [("one", 10), ("two", 20), ("one", 30)] {
        push(&*store, "a/b", "v1", seed, now).await?;
    }
    push(&*store, "a/b", "other", "one", 15).await?;
    let mut unit = store.begin().await?;
    let repository = ensure_repository(&mut *unit, "a/b").await?;
    let rows = unit.tags().history(repository, &tag("v1")?, None, 10).await?;
    let seen: Vec<_> = rows.iter().map(|row| (row.digest, row.start, row.end)).collect();
    let expected = [
        (digest("one"), at(30), None),
        (digest("two"), at(20), Some(at(30))),
        (digest("one"), at(10), Some(at(20))),
    ];
    ensure!(seen == expected, "the history is {seen:?}");
    let first = unit.tags().history(repository, &tag("v1")?, None, 1).await?;
    let before = first.first().map(|row| row.id);
    let rest = unit.tags().history(repository, &tag("v1")?, before, 10).await?;
    ensure!(rest.len() == 2, "after the newest row come {} of 2", rest.len());
    let id = rows.first().map(|row| row.manifest_id).unwrap_or_default();
    let pointing = unit.tags().pointing_at(repository, id).await?;
    let names: Vec<_> = pointing.iter().map(|row| row.name.as_str()).collect();
    ensure!(names == ["other", "v1"], "tags that point at it: {names:?}");
    Ok(())
}

async fn a_clock_that_stands_still_or_jumps_back_keeps_the_order(
    instance: &mut dyn Instance<Store>,
) -> Outcome {
    let store = instance.store();
    for (seed, now) in [("one", 10), ("two", 10), ("three", 5)] {
        push(&*store, "a/b", "v1", seed, now).await?;
    }
    let mut unit = store.begin().await?;
    let repository = ensure_repository(&mut *unit, "a/b").await?;
    let rows = unit.tags().history(repository, &tag("v1")?, None, 10).await?;
    let starts: Vec<_> = rows.iter().rev().map(|row| row.start).collect();
    ensure!(starts == [at(10), at(11), at(12)], "rows start at {starts:?}");
    let digests: Vec<_> = rows.iter().rev().map(|row| row.digest).collect();
    ensure!(
        digests == [digest("one"), digest("two"), digest("three")],
        "rows hold {digests:?}"
    );
    Ok(())
}

async fn an_ended_tag_is_gone_and_remembered(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    push(&*store, "a/b", "v1", "one", 10).await?;
    let mut unit = store.begin().await?;
    let repository = ensure_repository(&mut *unit, "a/b").await?;
    ensure!(
        unit.tags().end(repository, &tag("v1")?, at(20)).await?,
        "a live tag could not be ended"
    );
    ensure!(
        !unit.tags().end(repository, &tag("v1")?, at(21)).await?,
        "an ended tag was ended again"
    );
    ensure!(
        !unit.tags().end(repository, &tag("v2")?, at(21)).await?,
        "a tag was ended that never was"
    );
    unit.commit().await?;
    ensure!(
        resolve(&*store, "a/b", "v1", 30).await?.is_none(),
        "an ended tag can be pulled"
    );
    let seen = resolve(&*store, "a/b", &digest("one").to_string(), 30).await?;
    ensure!(seen.is_some(), "its manifest went with the tag");
    push(&*store, "a/b", "v1", "two", 40).await?;
    let mut unit = store.begin().await?;
    let rows = unit.tags().history(repository, &tag("v1")?, None, 10).await?;
    let ends: Vec<_> = rows.iter().map(|row| row.end).collect();
    ensure!(ends == [None, Some(at(20))], "the rows end at {ends:?}");
    Ok(())
}

async fn tags_are_paged_in_byte_order(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    let sorted = ["0", "A", "Z", "_", "a", "a-b", "a.b", "aB", "b", "z10", "z9"];
    for (position, text) in ["b", "a", "Z", "_", "0", "z9", "a.b", "A", "a-b", "z10", "aB"]
        .into_iter()
        .enumerate()
    {
        push(
            &*store,
            "a/b",
            text,
            "one",
            i64::try_from(position).unwrap_or_default(),
        )
        .await?;
    }
    push(&*store, "a/c", "elsewhere", "one", 20).await?;
    push(&*store, "a/b", "gone", "one", 20).await?;
    let mut unit = store.begin().await?;
    let repository = ensure_repository(&mut *unit, "a/b").await?;
    unit.tags().end(repository, &tag("gone")?, at(21)).await?;
    unit.commit().await?;
    for size in [1, 3, 100] {
        let mut seen: Vec<String> = Vec::new();
        let mut after = None;
        loop {
            let page = PageRequest::new(after.clone(), size);
            let tags = store
                .tags(&name("a/b")?, &page, at(30))
                .await?
                .found
                .unwrap_or_default();
            ensure!(tags.len() <= size, "a page of {size} has {}", tags.len());
            let Some(last) = tags.last() else { break };
            after = Some(last.clone());
            seen.extend(tags.iter().map(ToString::to_string));
            ensure!(seen.len() <= 100, "pages of {size} never end");
        }
        let mut expected = sorted;
        expected.sort_unstable();
        ensure!(seen == expected, "by pages of {size} the tags are {seen:?}");
    }
    let none = store
        .tags(&name("a/b")?, &PageRequest::new(None, 0), at(30))
        .await?
        .found
        .unwrap_or_default();
    ensure!(none.is_empty(), "a page of nothing has {none:?}");
    let after = PageRequest::new(Some(tag("aa")?), 2);
    let tags = store
        .tags(&name("a/b")?, &after, at(30))
        .await?
        .found
        .unwrap_or_default();
    let texts: Vec<_> = tags.iter().map(Tag::as_str).collect();
    ensure!(
        texts == ["b", "z10"],
        "after a tag that is not there come {texts:?}"
    );
    Ok(())
}

async fn repositories_are_paged_in_byte_order(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    let mut unit = store.begin().await?;
    for path in ["b/a", "a/b", "a-b/c", "a/b/c", "a/a"] {
        ensure_repository(&mut *unit, path).await?;
    }
    unit.commit().await?;
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let rows = store.repositories(&PageRequest::new(after.clone(), 2)).await?;
        let Some(last) = rows.last() else { break };
        after = Some(last.name.path().to_owned());
        seen.extend(rows.iter().map(|row| row.name.path().to_owned()));
        ensure!(seen.len() <= 10, "the pages never end");
    }
    ensure!(
        seen == ["a-b/c", "a/a", "a/b", "a/b/c", "b/a"],
        "the repositories are {seen:?}"
    );
    Ok(())
}

async fn referrers_are_filtered_and_paged(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    let subject = digest("subject");
    let mut unit = store.begin().await?;
    let repository = ensure_repository(&mut *unit, "a/b").await?;
    let other = ensure_repository(&mut *unit, "a/c").await?;
    let mut expected = Vec::new();
    for index in 0..5 {
        let kind = if index % 2 == 0 {
            "application/even"
        } else {
            "application/odd"
        };
        let annotations = Some(format!("{{\"index\":\"{index}\"}}"));
        let referrer = manifest(&format!("referrer {index}"))
            .with_edges(vec![Edge::new(EdgeKind::Subject, subject, false)])
            .with_subject(Some(subject), Some(kind.to_owned()), annotations);
        unit.manifests().put(repository, &referrer, at(1)).await?;
        expected.push(referrer.digest);
    }
    let foreign = manifest("foreign").with_subject(Some(subject), None, None);
    unit.manifests().put(other, &foreign, at(1)).await?;
    let dead = manifest("dead").with_subject(Some(subject), None, None);
    let (id, _) = unit.manifests().put(repository, &dead, at(1)).await?;
    unit.manifests().end(repository, id, at(2)).await?;
    unit.commit().await?;
    expected.sort();
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = PageRequest::new(after, 2);
        let rows = store
            .referrers(&name("a/b")?, &subject, None, &page)
            .await?
            .found
            .unwrap_or_default();
        let Some(last) = rows.last() else { break };
        after = Some(last.digest);
        seen.extend(rows.iter().map(|row| row.digest));
        ensure!(seen.len() <= 10, "the pages never end");
    }
    ensure!(seen == expected, "the referrers are {seen:?}");
    let wanted = MediaType::known("application/odd");
    let odd = store
        .referrers(
            &name("a/b")?,
            &subject,
            Some(&wanted),
            &PageRequest::new(None, 10),
        )
        .await?
        .found
        .unwrap_or_default();
    ensure!(
        odd.len() == 2,
        "of one artifact type there are {} of 2",
        odd.len()
    );
    let complete = odd.iter().all(|row| {
        row.artifact_type.as_deref() == Some("application/odd") && row.annotations.is_some() && row.size == 10
    });
    ensure!(complete, "an entry came back as {:?}", odd.first());
    let none = store
        .referrers(
            &name("a/b")?,
            &digest("nothing"),
            None,
            &PageRequest::new(None, 10),
        )
        .await?;
    ensure!(
        none.repository.is_some(),
        "the repository is not found with an unknown subject"
    );
    ensure!(
        none.found.unwrap_or_default().is_empty(),
        "an unknown subject has referrers"
    );
    Ok(())
}

async fn a_blob_is_seen_through_its_own_link_alone(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    let mut unit = store.begin().await?;
    let owner = ensure_repository(&mut *unit, "tenant/one").await?;
    let stranger = ensure_repository(&mut *unit, "tenant/two").await?;
    link(&mut *unit, owner, "secret", 1000).await?;
    // A manifest that names another tenant's blob shows nothing of it.
    let thief = manifest("thief").with_edges(vec![Edge::new(EdgeKind::Layer, digest("secret"), false)]);
    unit.manifests().put(stranger, &thief, at(1)).await?;
    let linked = unit.blobs().linked(stranger, &[digest("secret")]).await?;
    ensure!(linked.is_empty(), "an unheld edge counts as a link");
    let holds = unit.manifests().holds_blob(stranger, &digest("secret")).await?;
    ensure!(!holds, "an unheld edge holds a blob");
    unit.commit().await?;
    let Some(found) = store.blob(&name("tenant/one")?, &digest("secret")).await?.found else {
        return Err(Failure::new("a linked blob is not found".into()));
    };
    ensure!(
        found.size == 7 && found.digest == digest("secret"),
        "the blob came back as {found:?}"
    );
    let seen = store.blob(&name("tenant/two")?, &digest("secret")).await?;
    ensure!(
        seen.repository.is_some() && seen.found.is_none(),
        "another tenant sees {seen:?}"
    );
    let mut unit = store.begin().await?;
    ensure!(
        unit.blobs().unlink(owner, &digest("secret")).await?,
        "a link could not be removed"
    );
    ensure!(
        !unit.blobs().unlink(owner, &digest("secret")).await?,
        "a link was removed twice"
    );
    ensure!(
        unit.blobs().find(&digest("secret")).await?.is_some(),
        "the blob went with its link"
    );
    unit.commit().await?;
    let seen = store.blob(&name("tenant/one")?, &digest("secret")).await?.found;
    ensure!(seen.is_none(), "a blob is seen without a link");
    Ok(())
}

async fn a_blob_has_one_placement_per_location(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    let mut unit = store.begin().await?;
    let repository = ensure_repository(&mut *unit, "a/b").await?;
    let mut ids = Vec::new();
    for (location, key) in [("here", "x/1"), ("there", "x/2"), ("here", "x/3")] {
        let placement = Placement::new(location.into(), ObjectKey::new(key));
        let blob = NewBlob::new(digest("blob"), 9, placement);
        let (id, counts) = unit.blobs().record(&blob, at(1)).await?;
        let expected = if key == "x/3" { "x/1" } else { key };
        ensure!(
            counts.as_str() == expected,
            "{key} was recorded, and {counts} counts"
        );
        ids.push(id);
    }
    ensure!(
        ids.windows(2).all(|pair| pair[0] == pair[1]),
        "one blob has the ids {ids:?}"
    );
    unit.blobs()
        .link(repository, ids[0], &digest("blob"), at(1000))
        .await?;
    unit.commit().await?;
    let found = store.blob(&name("a/b")?, &digest("blob")).await?.found;
    let mut places: Vec<(String, String)> = found
        .iter()
        .flat_map(|blob| blob.placements.iter())
        .map(|placement| (placement.location.to_string(), placement.key.to_string()))
        .collect();
    places.sort();
    let expected = [
        ("here".to_owned(), "x/1".to_owned()),
        ("there".to_owned(), "x/2".to_owned()),
    ];
    ensure!(places == expected, "the blob lies at {places:?}");
    Ok(())
}

async fn an_edge_is_held_from_the_link_on(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    let mut unit = store.begin().await?;
    let repository = ensure_repository(&mut *unit, "a/b").await?;
    let sparse = manifest("sparse").with_edges(vec![Edge::new(EdgeKind::Layer, digest("late"), false)]);
    unit.manifests().put(repository, &sparse, at(1)).await?;
    link(&mut *unit, repository, "late", 1000).await?;
    ensure!(
        unit.manifests().holds_blob(repository, &digest("late")).await?,
        "a manifest does not hold a blob that came after it"
    );
    unit.commit().await?;
    Ok(())
}

async fn an_ended_manifest_lets_go_of_its_blobs(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    let mut unit = store.begin().await?;
    let repository = ensure_repository(&mut *unit, "a/b").await?;
    for blob in ["own", "shared", "leased"] {
        link(&mut *unit, repository, blob, 1000).await?;
    }
    let edges = |blobs: &[&str]| -> Vec<Edge> {
        blobs
            .iter()
            .map(|blob| Edge::new(EdgeKind::Layer, digest(blob), true))
            .collect()
    };
    let first = manifest("first").with_edges(edges(&["own", "shared", "leased"]));
    let second = manifest("second").with_edges(edges(&["shared"]));
    let (id, _) = unit.manifests().put(repository, &first, at(1)).await?;
    unit.manifests().put(repository, &second, at(1)).await?;
    // Pushed again since: somebody is about to need it.
    link(&mut *unit, repository, "leased", 5000).await?;
    unit.manifests().end(repository, id, at(2000)).await?;
    let mut left = unit
        .blobs()
        .linked(repository, &[digest("own"), digest("shared"), digest("leased")])
        .await?;
    left.sort();
    let mut expected = vec![digest("shared"), digest("leased")];
    expected.sort();
    ensure!(
        left == expected,
        "after the manifest's end the repository is linked to {left:?}"
    );
    ensure!(
        !unit.manifests().holds_blob(repository, &digest("own")).await?,
        "a dead manifest holds a blob"
    );
    ensure!(
        unit.manifests().holds_blob(repository, &digest("shared")).await?,
        "a live manifest holds nothing"
    );
    unit.commit().await?;
    Ok(())
}

async fn a_lease_keeps_a_link_until_it_runs_out(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    for (path, lease, kept) in [("a/early", 100, false), ("a/late", 101, true)] {
        let image = manifest("image").with_edges(vec![Edge::new(EdgeKind::Layer, digest("blob"), true)]);
        let mut unit = store.begin().await?;
        let repository = ensure_repository(&mut *unit, path).await?;
        link(&mut *unit, repository, "blob", 50).await?;
        let (id, _) = unit.manifests().put(repository, &image, at(1)).await?;
        link(&mut *unit, repository, "blob", lease).await?;
        unit.manifests().end(repository, id, at(100)).await?;
        unit.commit().await?;
        let found = store.blob(&name(path)?, &digest("blob")).await?.found;
        ensure!(
            found.is_some() == kept,
            "at 100 a lease until {lease} kept the blob: {}",
            found.is_some()
        );
    }
    Ok(())
}

async fn a_manifest_put_again_consumes_leases(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    let image = manifest("image").with_edges(vec![Edge::new(EdgeKind::Layer, digest("blob"), true)]);
    let mut unit = store.begin().await?;
    let repository = ensure_repository(&mut *unit, "a/b").await?;
    link(&mut *unit, repository, "blob", 1000).await?;
    let (id, _) = unit.manifests().put(repository, &image, at(1)).await?;
    // The client uploads everything again, and then finds that nothing has changed.
    link(&mut *unit, repository, "blob", 5000).await?;
    unit.manifests().put(repository, &image, at(2)).await?;
    unit.manifests().end(repository, id, at(3)).await?;
    unit.commit().await?;
    let found = store.blob(&name("a/b")?, &digest("blob")).await?.found;
    ensure!(
        found.is_none(),
        "a blob is kept by a lease that its manifest had consumed"
    );
    Ok(())
}

async fn a_page_of_long_referrers_ends_early(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    let subject = digest("subject");
    let long = usize::try_from(REFERRERS_BYTES / 2).unwrap_or_default();
    let mut unit = store.begin().await?;
    let repository = ensure_repository(&mut *unit, "a/b").await?;
    for seed in ["one", "two", "three", "four"] {
        let mut bytes = seed.as_bytes().to_vec();
        bytes.resize(long, b' ');
        let about = NewManifest::new(
            Digest::of(Algorithm::Sha256, &bytes),
            MediaType::known(MediaType::OCI_MANIFEST),
            bytes.into(),
        )
        .with_subject(Some(subject), Some("Application/Long".into()), None);
        unit.manifests().put(repository, &about, at(1)).await?;
    }
    unit.commit().await?;
    let mut seen = Vec::new();
    let wanted = MediaType::parse("application/LONG");
    loop {
        let page = PageRequest::new(seen.last().copied(), 10);
        let listed = store
            .referrers(&name("a/b")?, &subject, wanted.as_ref(), &page)
            .await?
            .found
            .unwrap_or_default();
        ensure!(
            listed.len() <= 2,
            "a page holds {} manifests of {long} bytes",
            listed.len()
        );
        if listed.is_empty() {
            break;
        }
        seen.extend(listed.iter().map(|referrer| referrer.digest));
    }
    ensure!(seen.len() == 4, "{} of 4 long referrers were listed", seen.len());
    Ok(())
}

async fn holders_are_listed_newest_first(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    let mut unit = store.begin().await?;
    let mut ids = Vec::new();
    for path in ["a/a", "a/b", "a/c"] {
        let repository = ensure_repository(&mut *unit, path).await?;
        link(&mut *unit, repository, "blob", 1000).await?;
        ids.push(repository);
    }
    unit.commit().await?;
    let holders = store.holders(&digest("blob"), &PageRequest::new(None, 2)).await?;
    let seen: Vec<_> = holders.iter().map(|holder| holder.repository.id).collect();
    ensure!(seen == [ids[2], ids[1]], "the newest two of {ids:?} are {seen:?}");
    let page = PageRequest::new(Some(ids[1]), 2);
    let rest = store.holders(&digest("blob"), &page).await?;
    let seen: Vec<_> = rest.iter().map(|holder| holder.repository.id).collect();
    ensure!(seen == [ids[0]], "before {} comes {seen:?}", ids[1]);
    ensure!(
        rest.iter()
            .all(|holder| holder.blob.placements.len() == 1 && holder.repository.name.path() == "a/a"),
        "a holder came back as {rest:?}"
    );
    Ok(())
}

pub(super) fn upload(id: &str, repository: RepositoryId) -> NewUpload {
    NewUpload::new(
        id.to_owned(),
        repository,
        "user:x".to_owned(),
        "here".into(),
        Algorithm::Sha512,
        UploadState::new(&b"\x01state"[..]),
    )
}

async fn an_upload_changes_by_version(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    let mut unit = store.begin().await?;
    let repository = ensure_repository(&mut *unit, "a/b").await?;
    unit.uploads().insert(&upload("u1", repository), at(1)).await?;
    unit.commit().await?;
    let Some(record) = store.upload("u1").await? else {
        return Err(Failure::new("a recorded upload is not there".into()));
    };
    ensure!(
        record.offset == 0
            && record.hash_state.is_empty()
            && record.upload.algorithm == Algorithm::Sha512
            && record.upload.principal == "user:x"
            && record.upload.repository == repository
            && record.upload.store_state.as_bytes() == b"\x01state",
        "the upload came back as {record:?}"
    );
    let next = UploadState::new(&b"\x01next"[..]);
    let mut unit = store.begin().await?;
    let advanced = unit
        .uploads()
        .advance("u1", record.version, 5, b"\x00hash", &next, at(2))
        .await?;
    ensure!(advanced, "an upload could not be advanced");
    let again = unit
        .uploads()
        .advance("u1", record.version, 9, b"other", &next, at(2))
        .await?;
    ensure!(!again, "an upload was advanced from a version that is over");
    unit.commit().await?;
    let newer = store.upload("u1").await?;
    let holds = newer.is_some_and(|newer| {
        newer.offset == 5
            && &*newer.hash_state == b"\x00hash"
            && newer.upload.store_state == next
            && newer.version > record.version
    });
    ensure!(holds, "an advanced upload came back changed");
    let mut unit = store.begin().await?;
    ensure!(
        !unit.uploads().remove("u1", record.version).await?,
        "an upload was removed by a version that is over"
    );
    let version = record.version + 1;
    ensure!(
        unit.uploads().remove("u1", version).await?,
        "an upload could not be removed"
    );
    ensure!(
        !unit.uploads().remove("u1", version).await?,
        "an upload was removed twice"
    );
    unit.commit().await?;
    ensure!(store.upload("u1").await?.is_none(), "a removed upload is there");
    Ok(())
}

async fn a_claim_keeps_others_out(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    let mut unit = store.begin().await?;
    let repository = ensure_repository(&mut *unit, "a/b").await?;
    unit.uploads().insert(&upload("u1", repository), at(1)).await?;
    let state = UploadState::new(&b"\x01"[..]);
    ensure!(
        unit.uploads().claim("u1", 0, at(100), at(1)).await?,
        "a free upload could not be claimed"
    );
    for version in [0, 1] {
        ensure!(
            !unit.uploads().claim("u1", version, at(100), at(50)).await?,
            "a claimed upload was claimed"
        );
    }
    ensure!(
        unit.uploads().claim("u1", 1, at(200), at(100)).await?,
        "a claim that ran out still stands"
    );
    ensure!(
        !unit.uploads().advance("u1", 1, 9, b"", &state, at(150)).await?,
        "whoever held a claim that ran out advanced the upload"
    );
    ensure!(
        !unit.uploads().remove("u1", 1).await?,
        "whoever held a claim that ran out removed the upload"
    );
    ensure!(
        unit.uploads().advance("u1", 2, 1, b"", &state, at(150)).await?,
        "the claimer could not advance"
    );
    ensure!(
        unit.uploads().claim("u1", 3, at(300), at(151)).await?,
        "a change left the claim standing"
    );
    let claimed = unit.uploads().stale(at(250), 9).await?;
    ensure!(claimed.is_empty(), "a claimed upload is called stale");
    unit.commit().await?;
    Ok(())
}

async fn stale_uploads_are_found_oldest_first(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    let mut unit = store.begin().await?;
    let repository = ensure_repository(&mut *unit, "a/b").await?;
    for (id, now) in [("u3", 30), ("u1", 10), ("u2", 20)] {
        unit.uploads().insert(&upload(id, repository), at(now)).await?;
    }
    let stale = unit.uploads().stale(at(30), 10).await?;
    let ids: Vec<_> = stale.iter().map(|record| record.upload.id.as_str()).collect();
    ensure!(ids == ["u1", "u2"], "stale are {ids:?}");
    ensure!(
        unit.uploads().stale(at(99), 1).await?.len() == 1,
        "the limit is not kept"
    );
    Ok(())
}

async fn an_outbox_row_comes_until_it_is_completed(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    let hold = Duration::from_millis(100);
    let mut unit = store.begin().await?;
    for payload in ["1", "2", "3"] {
        unit.outbox().push("kind", payload, at(0)).await?;
    }
    unit.outbox().push("other", "4", at(0)).await?;
    unit.commit().await?;
    let mut unit = store.begin().await?;
    let first = unit.outbox().claim("kind", 2, hold, at(10)).await?;
    let payloads: Vec<_> = first.iter().map(|row| row.payload.as_str()).collect();
    ensure!(payloads == ["1", "2"], "the first two are {payloads:?}");
    let second = unit.outbox().claim("kind", 9, hold, at(20)).await?;
    let payloads: Vec<_> = second.iter().map(|row| row.payload.as_str()).collect();
    ensure!(payloads == ["3"], "while two are held there come {payloads:?}");
    for row in first.iter().take(1) {
        unit.outbox().complete(row.id).await?;
    }
    unit.commit().await?;
    let mut unit = store.begin().await?;
    let again = unit.outbox().claim("kind", 9, hold, at(500)).await?;
    let payloads: Vec<_> = again.iter().map(|row| row.payload.as_str()).collect();
    ensure!(
        payloads == ["2", "3"],
        "of what was not completed there come {payloads:?}"
    );
    Ok(())
}

async fn long_lists_of_digests_are_taken(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    let mut unit = store.begin().await?;
    let repository = ensure_repository(&mut *unit, "a/b").await?;
    let seeds: Vec<String> = (0..300).map(|index| format!("blob {index}")).collect();
    let digests: Vec<Digest> = seeds.iter().map(|seed| digest(seed)).collect();
    for seed in seeds.iter().step_by(3) {
        link(&mut *unit, repository, seed, 1000).await?;
    }
    let linked = unit.blobs().linked(repository, &digests).await?;
    ensure!(
        linked.len() == 100,
        "of 300 digests {} are linked, not 100",
        linked.len()
    );
    let edges = digests
        .iter()
        .map(|digest| Edge::new(EdgeKind::Layer, *digest, linked.contains(digest)))
        .collect();
    unit.manifests()
        .put(repository, &manifest("wide").with_edges(edges), at(1))
        .await?;
    let live = unit
        .manifests()
        .live(repository, &[digest("wide"), digest("none")])
        .await?;
    ensure!(
        live.len() == 1 && live.contains_key(&digest("wide")),
        "live are {live:?}"
    );
    ensure!(
        unit.manifests().live(repository, &[]).await?.is_empty(),
        "of no digests some are live"
    );
    ensure!(
        unit.manifests()
            .holds_blob(repository, &digest("blob 297"))
            .await?,
        "a late edge is not held"
    );
    ensure!(
        !unit
            .manifests()
            .holds_blob(repository, &digest("blob 298"))
            .await?,
        "an unheld edge is held"
    );
    unit.commit().await?;
    Ok(())
}

async fn a_reader_sees_every_commit(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    // Each is read before it changes, so that a cache has the chance to be wrong.
    let path = name("a/b")?;
    ensure!(
        store.repository(&path).await?.is_none(),
        "an empty store knows a/b"
    );
    ensure!(
        store.blob(&path, &digest("blob")).await?.found.is_none(),
        "an empty store has a blob"
    );
    ensure!(
        resolve(&*store, "a/b", "v1", 0).await?.is_none(),
        "an empty store has a tag"
    );
    for (seed, now) in [("one", 1), ("two", 2), ("one", 3)] {
        push(&*store, "a/b", "v1", seed, now).await?;
        let seen = resolve(&*store, "a/b", "v1", now).await?;
        ensure!(
            seen == Some(digest(seed)),
            "after the move to {seed} the tag is {seen:?}"
        );
    }
    ensure!(
        store.repository(&path).await?.is_some(),
        "a new repository is not seen"
    );
    let mut unit = store.begin().await?;
    let repository = ensure_repository(&mut *unit, "a/b").await?;
    link(&mut *unit, repository, "blob", 1000).await?;
    unit.commit().await?;
    ensure!(
        store.blob(&path, &digest("blob")).await?.found.is_some(),
        "a new link is not seen"
    );
    let mut unit = store.begin().await?;
    unit.blobs().unlink(repository, &digest("blob")).await?;
    unit.tags().end(repository, &tag("v1")?, at(9)).await?;
    unit.commit().await?;
    ensure!(
        store.blob(&path, &digest("blob")).await?.found.is_none(),
        "a removed link is seen"
    );
    ensure!(
        resolve(&*store, "a/b", "v1", 9).await?.is_none(),
        "a deleted tag is seen"
    );
    Ok(())
}

/// Tries until no other writer is in the way, as core does.
async fn push_until_it_works(store: Arc<Store>, path: &'static str, seed: String, now: i64) -> Outcome {
    for _ in 0..100 {
        let attempt = async {
            let mut unit = store.begin().await?;
            let name = RepositoryName::from_path(path).map_err(|_| wrong_name())?;
            let repositories = unit.repositories();
            let repository = match repositories.find(&name).await? {
                Some(found) => found,
                None => repositories
                    .create(&name, Visibility::Private, at(0))
                    .await?
                    .ok_or_else(|| {
                        let context = "somebody else was faster";
                        crate::error::StoreError::new(StoreErrorKind::Conflict, context)
                    })?,
            };
            let (id, _) = unit
                .manifests()
                .put(repository.id, &manifest(&seed), at(now))
                .await?;
            let name = Tag::new("v1").map_err(|_| wrong_name())?;
            unit.tags()
                .set(repository.id, &name, TagTarget::new(id), at(now))
                .await?;
            unit.commit().await
        };
        match attempt.await {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == StoreErrorKind::Conflict => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Failure::new("100 attempts met another writer".into()))
}

fn wrong_name() -> crate::error::StoreError {
    crate::error::StoreError::new(StoreErrorKind::Other, "a name of the suite is wrong")
}

async fn racing_moves_of_a_tag_leave_one_live_row(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    push(&*store, "a/b", "v1", "start", 1).await?;
    let racers =
        (0..8).map(|index| push_until_it_works(Arc::clone(&store), "a/b", format!("racer {index}"), 10));
    futures::future::try_join_all(racers).await?;
    let mut unit = store.begin().await?;
    let repository = ensure_repository(&mut *unit, "a/b").await?;
    let rows = unit.tags().history(repository, &tag("v1")?, None, 100).await?;
    ensure!(rows.len() == 9, "9 moves left {} rows", rows.len());
    let live = rows.iter().filter(|row| row.end.is_none()).count();
    ensure!(live == 1, "{live} rows are live");
    for pair in rows.windows(2) {
        ensure!(
            pair[1].end == Some(pair[0].start),
            "a row ends at {:?}, the next begins at {:?}",
            pair[1].end,
            pair[0].start
        );
    }
    Ok(())
}

async fn racing_pushes_make_one_repository(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    let racers =
        (0..8).map(|index| push_until_it_works(Arc::clone(&store), "n/r", format!("racer {index}"), 10));
    futures::future::try_join_all(racers).await?;
    let rows = store.repositories(&PageRequest::new(None, 10)).await?;
    ensure!(rows.len() == 1, "racing pushes made {} repositories", rows.len());
    Ok(())
}

async fn everything_survives_the_process(instance: &mut dyn Instance<Store>) -> Outcome {
    push(&*instance.store(), "a/b", "v1", "one", 1).await?;
    let store = instance
        .reopen()
        .await
        .ok_or(Failure::NotApplicable("outliving the process"))?;
    let seen = resolve(&*store, "a/b", "v1", 2).await?;
    ensure!(seen == Some(digest("one")), "after a restart v1 is {seen:?}");
    push(&*store, "a/b", "v1", "two", 3).await?;
    Ok(())
}
