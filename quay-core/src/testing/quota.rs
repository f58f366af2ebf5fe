//! Cases for quotas. A store that does not count leaves them out.

use super::metadata::{at, digest, ensure_repository, manifest, name, upload as new_upload};
use super::{Failure, Instance, ensure};
use crate::blob_store::ObjectKey;
use crate::error::{StoreError, StoreErrorKind};
use crate::metadata::{
    Edge, EdgeKind, MetadataStore, NewBlob, Placement, QuotaLimit, QuotaLimitKind, QuotaOwner, QuotaStore,
    RepositoryId, UnitOfWork, Usage,
};

type Store = dyn MetadataStore;
type Outcome = Result<(), Failure>;

fn quotas(unit: &mut dyn UnitOfWork) -> Result<&mut dyn QuotaStore, Failure> {
    unit.quotas()
        .ok_or(Failure::NotApplicable("the store does not count"))
}

/// Links a repository to a blob that has as many bytes as its seed.
async fn link(
    unit: &mut dyn UnitOfWork,
    repository: RepositoryId,
    seed: &str,
    lease: i64,
) -> Result<(), Failure> {
    let digest = digest(seed);
    let placement = Placement::new("here".into(), ObjectKey::content_addressed(&digest));
    let blob = NewBlob::new(digest, seed.len() as u64, placement);
    let (blob, _) = unit.blobs().record(&blob, at(0)).await?;
    Ok(unit.blobs().link(repository, blob, &digest, at(lease)).await?)
}

/// Used by the namespace and by the repository, as the unit of work sees it, with what it has added.
async fn used(unit: &mut dyn UnitOfWork, of: RepositoryId) -> Result<[(u64, i64); 2], Failure> {
    let usage = quotas(unit)?.usage(of).await?;
    let Usage {
        namespace,
        repository,
    } = usage;
    ensure!(
        namespace.counted && repository.counted,
        "what there is has not been counted"
    );
    Ok([
        (namespace.used, namespace.grown),
        (repository.used, repository.grown),
    ])
}

/// Used by the namespace and the repository, read from outside.
async fn read(store: &Store, path: &str) -> Result<[u64; 2], Failure> {
    let usage = store.usage(&name(path)?).await?;
    let usage = usage.ok_or_else(|| Failure::new(format!("nothing is known of what {path} uses")))?;
    Ok([usage.namespace.used, usage.repository.used])
}

pub(super) async fn a_blob_counts_once_in_its_namespace(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    for (path, seeds, expected) in [
        ("a/x", &["one", "three"][..], [8, 8]),
        // The same once more changes nothing.
        ("a/x", &["one"][..], [8, 8]),
        ("a/y", &["three", "eleven"][..], [14, 11]),
        ("b/z", &["three"][..], [5, 5]),
        ("ab/z", &["three"][..], [5, 5]),
    ] {
        let mut unit = store.begin().await?;
        let repository = ensure_repository(&mut *unit, path).await?;
        for seed in seeds {
            link(&mut *unit, repository, seed, 100).await?;
        }
        let [of_namespace, of_repository] = used(&mut *unit, repository).await?;
        ensure!(
            [of_namespace.0, of_repository.0] == expected,
            "after {seeds:?} in {path}, {of_namespace:?} and {of_repository:?} are used, not {expected:?}"
        );
        unit.commit().await?;
    }
    ensure!(
        read(&*store, "a/y").await? == [14, 11] && read(&*store, "a/x").await? == [14, 8],
        "what is read outside differs"
    );
    let mut unit = store.begin().await?;
    let repository = ensure_repository(&mut *unit, "a/y").await?;
    link(&mut *unit, repository, "fifteen", 100).await?;
    let seen = used(&mut *unit, repository).await?;
    ensure!(seen == [(21, 7), (18, 7)], "after a blob that is new: {seen:?}");
    unit.blobs().unlink(repository, &digest("three")).await?;
    unit.blobs().unlink(repository, &digest("eleven")).await?;
    let seen = used(&mut *unit, repository).await?;
    ensure!(
        seen == [(15, 1), (7, -4)],
        "after one that is elsewhere and one that is not were let go: {seen:?}"
    );
    drop(unit);
    ensure!(
        read(&*store, "a/y").await? == [14, 11],
        "what was undone has been counted"
    );
    // Nobody asked within this one.
    let mut unit = store.begin().await?;
    let repository = ensure_repository(&mut *unit, "a/x").await?;
    unit.blobs().unlink(repository, &digest("one")).await?;
    unit.blobs().unlink(repository, &digest("three")).await?;
    unit.commit().await?;
    let seen = [read(&*store, "a/x").await?, read(&*store, "a/y").await?];
    ensure!(
        seen == [[11, 0], [11, 11]],
        "after two blobs were let go: {seen:?}"
    );
    Ok(())
}

pub(super) async fn deleted_manifests_let_go_of_what_they_used(
    instance: &mut dyn Instance<Store>,
) -> Outcome {
    let store = instance.store();
    let mut unit = store.begin().await?;
    quotas(&mut *unit)?;
    let repository = ensure_repository(&mut *unit, "a/x").await?;
    for seed in ["three", "eleven"] {
        link(&mut *unit, repository, seed, 10).await?;
    }
    let of = |seeds: &[&str]| {
        let edges = seeds
            .iter()
            .map(|seed| Edge::new(EdgeKind::Layer, digest(seed), true));
        edges.collect::<Vec<_>>()
    };
    let (both, one) = (of(&["three", "eleven"]), of(&["three"]));
    let first = manifest("first").with_edges(both);
    let (first, _) = unit.manifests().put(repository, &first, at(1)).await?;
    let second = manifest("second").with_edges(one);
    let (second, _) = unit.manifests().put(repository, &second, at(1)).await?;
    unit.commit().await?;
    ensure!(read(&*store, "a/x").await? == [11, 11], "a push counts wrong");

    let mut unit = store.begin().await?;
    unit.repositories().lock(repository).await?;
    unit.manifests().end(repository, first, at(20)).await?;
    let seen = used(&mut *unit, repository).await?;
    ensure!(
        seen == [(5, -6), (5, -6)],
        "after a manifest was deleted: {seen:?}"
    );
    unit.manifests().revive(repository, first).await?;
    let seen = used(&mut *unit, repository).await?;
    ensure!(seen == [(11, 0), (11, 0)], "after it was brought back: {seen:?}");
    unit.manifests().end(repository, first, at(20)).await?;
    unit.manifests().end(repository, second, at(20)).await?;
    unit.commit().await?;
    ensure!(read(&*store, "a/x").await? == [0, 0], "deletions count wrong");

    let mut unit = store.begin().await?;
    unit.repositories().lock(repository).await?;
    unit.manifests().revive(repository, second).await?;
    unit.commit().await?;
    ensure!(read(&*store, "a/x").await? == [5, 5], "a return counts wrong");
    let mut unit = store.begin().await?;
    unit.repositories().lock(repository).await?;
    let garbage = unit
        .garbage()
        .ok_or(Failure::NotApplicable("the store keeps its garbage"))?;
    garbage.remove_manifests(repository, &[second], at(30)).await?;
    unit.commit().await?;
    ensure!(
        read(&*store, "a/x").await? == [0, 0],
        "what a collector lets go counts"
    );
    let mut unit = store.begin().await?;
    link(&mut *unit, repository, "nineteen", 40).await?;
    let garbage = unit
        .garbage()
        .ok_or(Failure::NotApplicable("the store keeps its garbage"))?;
    let (blob, _) = garbage
        .ended_leases(at(50), 10)
        .await?
        .pop()
        .map(|(of, blob)| (blob, of))
        .ok_or_else(|| Failure::new("a lease did not end".to_owned()))?;
    garbage.end_leases(repository, &[blob], at(50)).await?;
    unit.commit().await?;
    ensure!(
        read(&*store, "a/x").await? == [0, 0],
        "a link whose lease has ended counts"
    );
    let mut unit = store.begin().await?;
    link(&mut *unit, repository, "five", 1000).await?;
    let garbage = unit
        .garbage()
        .ok_or(Failure::NotApplicable("the store keeps its garbage"))?;
    garbage.remove_links(repository, 10).await?;
    let seen = used(&mut *unit, repository).await?;
    ensure!(seen == [(0, 0), (0, 0)], "a repository taken apart: {seen:?}");
    Ok(())
}

pub(super) async fn what_is_promised_comes_back(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    let mut unit = store.begin().await?;
    let repository = ensure_repository(&mut *unit, "a/x").await?;
    let other = ensure_repository(&mut *unit, "a/y").await?;
    quotas(&mut *unit)?;
    for (id, of) in [("first", repository), ("second", other)] {
        let upload = new_upload(id, of);
        unit.uploads().insert(&upload, at(0)).await?;
    }
    unit.commit().await?;
    let reserved = async |unit: &mut dyn UnitOfWork| -> Result<[u64; 2], Failure> {
        let usage = quotas(unit)?.usage(repository).await?;
        Ok([usage.namespace.reserved, usage.repository.reserved])
    };
    for (id, of, bytes, expected) in [
        ("first", repository, 100, [100, 100]),
        ("second", other, 1000, [1100, 100]),
        ("first", repository, 400, [1400, 400]),
        ("second", other, 30, [430, 400]),
    ] {
        let mut unit = store.begin().await?;
        unit.repositories().lock(of).await?;
        let there = quotas(&mut *unit)?.reserve(id, bytes).await?;
        ensure!(there, "{id} is no upload");
        unit.commit().await?;
        let mut unit = store.begin().await?;
        unit.repositories().lock(repository).await?;
        let seen = reserved(&mut *unit).await?;
        ensure!(seen == expected, "with {bytes} for {id}, {seen:?} are promised");
    }
    let mut unit = store.begin().await?;
    unit.repositories().lock(repository).await?;
    let there = quotas(&mut *unit)?.reserve("third", 1).await?;
    ensure!(!there, "an upload that is not there was promised something");
    quotas(&mut *unit)?.reserve("first", 4000).await?;
    let seen = reserved(&mut *unit).await?;
    ensure!(seen == [4030, 4000], "its own promise is not seen: {seen:?}");
    drop(unit);
    let record = store.upload("first").await?;
    ensure!(
        record.as_ref().map(|record| record.reserved) == Some(400),
        "an upload does not say what it was promised"
    );
    let mut unit = store.begin().await?;
    unit.repositories().lock(repository).await?;
    let removed = unit.uploads().remove("first", 7).await?;
    ensure!(!removed, "another version was removed");
    ensure!(
        reserved(&mut *unit).await? == [430, 400],
        "what was not removed has lost its promise"
    );
    unit.uploads().remove("first", 0).await?;
    let seen = reserved(&mut *unit).await?;
    ensure!(
        seen == [30, 0],
        "after the end of an upload {seen:?} are promised"
    );
    unit.commit().await?;
    Ok(())
}

pub(super) async fn quotas_are_laid_down(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    let namespace = QuotaOwner::Namespace("a".to_owned());
    let mut unit = store.begin().await?;
    let found = quotas(&mut *unit)?.quota(&namespace).await?;
    ensure!(found.is_none(), "a quota is there that nobody laid down");
    // Before there is a repository.
    let id = quotas(&mut *unit)?.insert_quota(&namespace, 1000).await?;
    let id = id.ok_or_else(|| Failure::new("a quota was there already".to_owned()))?;
    let twice = quotas(&mut *unit)?.insert_quota(&namespace, 5).await?;
    ensure!(twice.is_none(), "a namespace has two quotas");
    let repository = ensure_repository(&mut *unit, "a/x").await?;
    let owner = QuotaOwner::Repository(repository);
    let own = quotas(&mut *unit)?.insert_quota(&owner, 7).await?;
    let own = own.ok_or_else(|| Failure::new("a repository had a quota already".to_owned()))?;
    let warning = quotas(&mut *unit)?
        .insert_limit(id, QuotaLimitKind::Warning, 80)
        .await?;
    let reject = quotas(&mut *unit)?
        .insert_limit(id, QuotaLimitKind::Reject, 100)
        .await?;
    unit.commit().await?;

    let usage = store.usage(&name("a/x")?).await?;
    let usage = usage.ok_or_else(|| Failure::new("nothing is known of what is used".to_owned()))?;
    let quota = usage
        .namespace
        .quota
        .ok_or_else(|| Failure::new("the quota is not shown".to_owned()))?;
    let limits = [
        QuotaLimit::new(warning, QuotaLimitKind::Warning, 80),
        QuotaLimit::new(reject, QuotaLimitKind::Reject, 100),
    ];
    ensure!(
        (quota.id, quota.limit_bytes) == (id, 1000) && quota.limits == limits,
        "a quota reads {quota:?}"
    );
    let seen = usage.repository.quota.map(|quota| (quota.id, quota.limit_bytes));
    ensure!(seen == Some((own, 7)), "a repository's quota reads {seen:?}");

    let mut unit = store.begin().await?;
    unit.repositories().lock(repository).await?;
    quotas(&mut *unit)?.resize_quota(id, 1 << 50).await?;
    let changed = QuotaLimit::new(warning, QuotaLimitKind::Reject, 5);
    quotas(&mut *unit)?.save_limit(&changed).await?;
    quotas(&mut *unit)?.delete_limit(reject).await?;
    quotas(&mut *unit)?.delete_quota(own).await?;
    let usage = quotas(&mut *unit)?.usage(repository).await?;
    let seen = usage.namespace.quota.clone();
    ensure!(
        seen.as_ref()
            .is_some_and(|quota| quota.limit_bytes == 1 << 50 && quota.limits == [changed]),
        "a changed quota reads {seen:?}"
    );
    ensure!(usage.repository.quota.is_none(), "a deleted quota is there");
    quotas(&mut *unit)?.delete_quota(id).await?;
    let found = quotas(&mut *unit)?.quota(&namespace).await?;
    ensure!(found.is_none(), "a deleted quota is found");
    let again = quotas(&mut *unit)?.insert_quota(&namespace, 9).await?;
    ensure!(again.is_some(), "a deleted quota is in the way");
    let found = quotas(&mut *unit)?.quota(&namespace).await?;
    ensure!(
        found.is_some_and(|quota| quota.limits.is_empty()),
        "a new quota has levels of one before it"
    );
    unit.commit().await?;
    Ok(())
}

pub(super) async fn bytes_are_counted_anew(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    let mut unit = store.begin().await?;
    quotas(&mut *unit)?;
    for path in ["a/x", "a/y"] {
        let repository = ensure_repository(&mut *unit, path).await?;
        for number in 0..7 {
            link(&mut *unit, repository, &format!("blob {number}"), 100).await?;
        }
    }
    unit.commit().await?;
    let mut unit = store.begin().await?;
    let repository = ensure_repository(&mut *unit, "a/x").await?;
    let namespace = QuotaOwner::Namespace("a".to_owned());
    for owner in [namespace, QuotaOwner::Repository(repository)] {
        quotas(&mut *unit)?.queue_recount(&owner).await?;
    }
    ensure!(
        quotas(&mut *unit)?.queue_registry_size().await?,
        "the registry is being counted already"
    );
    let queued = quotas(&mut *unit)?.queue_registry_size().await?;
    ensure!(!queued, "the registry is counted twice at once");
    let size = quotas(&mut *unit)?.registry_size().await?;
    ensure!(
        size.queued && size.counted.is_none(),
        "the registry's size is {size:?}"
    );
    unit.commit().await?;
    // Changes while the counting goes on.
    let mut steps = 0;
    loop {
        let mut unit = store.begin().await?;
        let more = quotas(&mut *unit)?.recount(2, at(77)).await?;
        unit.commit().await?;
        if !more {
            break;
        }
        steps += 1;
        ensure!(steps < 100, "the counting has no end");
        let mut unit = store.begin().await?;
        unit.repositories().lock(repository).await?;
        let seed = format!("blob {}", steps % 7);
        if steps % 2 == 0 {
            unit.blobs().unlink(repository, &digest(&seed)).await?;
        } else {
            link(&mut *unit, repository, &format!("blob {}", 10 + steps), 100).await?;
        }
        unit.commit().await?;
    }
    let mut expected: Vec<u64> = Vec::new();
    for seed in (0..200).map(|number| format!("blob {number}")) {
        let held = store.blob(&name("a/x")?, &digest(&seed)).await?.found;
        expected.extend(held.map(|blob| blob.size));
    }
    let own: u64 = expected.iter().sum();
    let seen = read(&*store, "a/x").await?;
    ensure!(
        seen[1] == own,
        "a repository that holds {own} bytes counts {} after it was counted anew",
        seen[1]
    );
    let mut all: u64 = 0;
    for seed in (0..200).map(|number| format!("blob {number}")) {
        let of = |path| {
            let name = name(path);
            let digest = digest(&seed);
            let store = &store;
            async move { Ok::<_, Failure>(store.blob(&name?, &digest).await?.found.map(|blob| blob.size)) }
        };
        let held = match of("a/x").await? {
            Some(size) => Some(size),
            None => of("a/y").await?,
        };
        all += held.unwrap_or(0);
    }
    ensure!(
        seen[0] == all,
        "a namespace that holds {all} bytes counts {} after it was counted anew",
        seen[0]
    );
    let mut unit = store.begin().await?;
    let size = quotas(&mut *unit)?.registry_size().await?;
    ensure!(
        (42..=all).contains(&size.bytes) && size.counted == Some(at(77)) && !size.queued && !size.running,
        "the registry, which has held 42 bytes and holds {all}, has the size {size:?}"
    );
    Ok(())
}

pub(super) async fn racing_links_count_once(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    let mut unit = store.begin().await?;
    quotas(&mut *unit)?;
    let mut repositories = Vec::new();
    for path in ["a/one", "a/two", "a/three", "a/four", "b/five"] {
        repositories.push(ensure_repository(&mut *unit, path).await?);
    }
    unit.commit().await?;
    let change = async |repository: RepositoryId, unlink: bool| -> Result<(), StoreError> {
        let shared = digest("shared");
        let mut unit = store.begin().await?;
        unit.repositories().lock(repository).await?;
        if unlink {
            unit.blobs().unlink(repository, &shared).await?;
        } else {
            let placement = Placement::new("here".into(), ObjectKey::content_addressed(&shared));
            let blob = NewBlob::new(shared, 6, placement);
            let (blob, _) = unit.blobs().record(&blob, at(0)).await?;
            unit.blobs().link(repository, blob, &shared, at(1000)).await?;
        }
        unit.commit().await
    };
    let push = async |repository: RepositoryId, unlink: bool| -> Result<(), Failure> {
        // Tried again as the registry does it.
        for _ in 0..32 {
            match change(repository, unlink).await {
                Err(error) if error.kind() == StoreErrorKind::Conflict => {}
                other => return Ok(other?),
            }
        }
        Err(Failure::new("a unit of work met others too often".to_owned()))
    };
    // In another namespace it is another's.
    let (shared, elsewhere) = repositories.split_at(4);
    for repository in elsewhere {
        push(*repository, false).await?;
    }
    for (unlink, expected) in [(false, 6), (true, 0), (false, 6)] {
        let racers = shared.iter().map(|repository| push(*repository, unlink));
        futures::future::try_join_all(racers).await?;
        let seen = read(&*store, "a/one").await?;
        ensure!(
            seen == [expected, expected] && read(&*store, "b/five").await? == [6, 6],
            "after a race for one blob of six bytes in four repositories, {seen:?} are used"
        );
    }
    Ok(())
}
