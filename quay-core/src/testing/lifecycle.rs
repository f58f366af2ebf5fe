//! Cases for policies, the work that they cause, and pulls. A store that keeps none leaves them out.

use super::metadata::{at, digest, ensure_repository, name, push, tag};
use super::{Failure, Instance, ensure};
use crate::error::StoreErrorKind;
use crate::metadata::{
    LifecycleStore, MetadataStore, PageRequest, PolicyKind, PolicyOwner, PolicyRecord, PullCount, PullTotal,
    PulledAs, RepositoryId, TagFilter, TagPosition, TagTarget, UnitOfWork,
};

type Store = dyn MetadataStore;
type Outcome = Result<(), Failure>;

pub(super) fn lifecycle<U: UnitOfWork + ?Sized>(unit: &mut U) -> Result<&mut dyn LifecycleStore, Failure> {
    unit.lifecycle()
        .ok_or(Failure::NotApplicable("the store keeps no policies"))
}

fn policy(uuid: &str, kind: PolicyKind, owner: &PolicyOwner, content: &str) -> PolicyRecord {
    PolicyRecord::new(uuid.to_owned(), kind, owner.clone(), content.to_owned())
}

fn namespace(name: &str) -> PolicyOwner {
    PolicyOwner::Namespace(name.to_owned())
}

fn shown(policies: &[PolicyRecord]) -> Vec<(&str, &str)> {
    policies
        .iter()
        .map(|policy| (policy.uuid.as_str(), policy.content.as_str()))
        .collect()
}

pub(super) async fn policies_are_kept_by_owner(instance: &mut dyn Instance<Store>) -> Outcome {
    use PolicyKind::{Immutability, Prune};

    let store = instance.store();
    let mut unit = store.begin().await?;
    let repository = PolicyOwner::Repository(ensure_repository(&mut *unit, "a/b").await?);
    let (a, b) = (namespace("a"), namespace("b"));
    let kept = lifecycle(&mut *unit)?;
    for policy in [
        policy("1", Prune, &a, "one"),
        policy("2", Prune, &repository, "two"),
        policy("3", Prune, &a, "three"),
        policy("4", Immutability, &a, "four"),
        policy("5", Prune, &b, "five"),
    ] {
        kept.insert_policy(&policy).await?;
    }
    unit.commit().await?;
    let both = [repository.clone(), a.clone()];
    let seen = store.policies(Prune, &both).await?;
    ensure!(
        shown(&seen) == [("2", "two"), ("1", "one"), ("3", "three")],
        "the policies of a repository and its namespace are {seen:?}"
    );
    let mut unit = store.begin().await?;
    let kept = lifecycle(&mut *unit)?;
    for (uuid, kind, owner) in [
        ("1", Immutability, &a),
        ("1", Prune, &b),
        ("2", Prune, &a),
        ("9", Prune, &a),
    ] {
        let saved = kept.save_policy(&policy(uuid, kind, owner, "theirs")).await?;
        let deleted = kept.delete_policy(kind, owner, uuid).await?;
        ensure!(
            !saved && !deleted,
            "the policy {uuid} was changed as if it were {owner:?}'s and did {kind:?}"
        );
    }
    ensure!(
        kept.save_policy(&policy("1", Prune, &a, "changed")).await?
            && kept.delete_policy(Prune, &a, "3").await?
            && !kept.delete_policy(Prune, &a, "3").await?,
        "policies are not changed and deleted once"
    );
    let seen = kept.policies(Prune, &both).await?;
    ensure!(
        shown(&seen) == [("2", "two"), ("1", "changed")],
        "a unit of work that has changed policies sees {seen:?}"
    );
    unit.commit().await?;
    let seen = store.policies(Immutability, &both).await?;
    ensure!(
        shown(&seen) == [("4", "four")],
        "the policies of the other kind are {seen:?}"
    );
    ensure!(
        store.policies(Prune, &[]).await?.is_empty(),
        "nobody has policies"
    );
    let mut unit = store.begin().await?;
    let again = policy("1", Immutability, &b, "again");
    let outcome = match lifecycle(&mut *unit)?.insert_policy(&again).await {
        Ok(()) => unit.commit().await,
        Err(error) => Err(error),
    };
    ensure!(
        outcome.is_err_and(|error| error.kind() == StoreErrorKind::Conflict),
        "two policies have one uuid"
    );
    Ok(())
}

async fn page(
    unit: &mut dyn UnitOfWork,
    repository: RepositoryId,
    after: Option<&TagPosition>,
    limit: usize,
    now: i64,
) -> Result<Vec<(String, Option<i64>, TagPosition)>, Failure> {
    let kept = lifecycle(unit)?;
    let tags = kept.rated_tags(repository, after, limit, at(now)).await?;
    Ok(tags
        .into_iter()
        .map(|rated| {
            let pulled = rated.pulled.map(|time| time.as_millis() - at(0).as_millis());
            let position = TagPosition::from(&rated.tag);
            (rated.tag.name.as_str().to_owned(), pulled, position)
        })
        .collect())
}

fn names(page: &[(String, Option<i64>, TagPosition)]) -> Vec<&str> {
    page.iter().map(|(name, _, _)| name.as_str()).collect()
}

pub(super) async fn tags_are_rated_newest_first(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    for (name, start) in [
        ("c", 10),
        ("a", 20),
        ("b", 20),
        ("gone", 30),
        ("ends", 40),
        ("B", 20),
    ] {
        push(&*store, "a/b", name, &format!("of {name}"), start).await?;
    }
    push(&*store, "a/other", "elsewhere", "of c", 50).await?;
    let mut unit = store.begin().await?;
    let repository = ensure_repository(&mut *unit, "a/b").await?;
    let other = ensure_repository(&mut *unit, "a/other").await?;
    unit.tags().end(repository, &tag("gone")?, at(35)).await?;
    unit.tags()
        .set_end(repository, &tag("ends")?, Some(at(100)))
        .await?;
    let of_c = |repository, tag, last| PullCount::new(repository, digest("of c"), tag, 1, at(last));
    let of_a = |tag, last| PullCount::new(repository, digest("of a"), Some(tag), 1, at(last));
    lifecycle(&mut *unit)?
        .count_pulls(&[
            of_c(repository, None, 60),
            of_c(repository, Some(tag("c")?), 55),
            // By another name, and elsewhere: of no concern to `c`.
            of_c(repository, Some(tag("b")?), 70),
            of_c(other, None, 80),
            of_a(tag("a")?, 65),
        ])
        .await?;
    unit.commit().await?;
    let mut unit = store.begin().await?;
    let seen = page(&mut *unit, repository, None, 9, 99).await?;
    ensure!(
        names(&seen) == ["ends", "B", "a", "b", "c"],
        "the tags are {seen:?}"
    );
    let pulled: Vec<Option<i64>> = seen.iter().map(|(_, pulled, _)| *pulled).collect();
    ensure!(
        pulled == [None, None, Some(65), Some(70), Some(60)],
        "they were last pulled at {pulled:?}"
    );
    let seen = page(&mut *unit, repository, None, 2, 100).await?;
    ensure!(
        names(&seen) == ["B", "a"],
        "when one has run out, the first two are {seen:?}"
    );
    let after = seen.last().map(|(_, _, position)| position.clone());
    let seen = page(&mut *unit, repository, after.as_ref(), 2, 100).await?;
    ensure!(names(&seen) == ["b", "c"], "behind them are {seen:?}");
    let after = seen.last().map(|(_, _, position)| position.clone());
    let seen = page(&mut *unit, repository, after.as_ref(), 2, 100).await?;
    ensure!(seen.is_empty(), "behind the last are {seen:?}");
    Ok(())
}

pub(super) async fn immutability_stays_with_the_row(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    let first = push(&*store, "a/b", "v1", "first", 10).await?;
    push(&*store, "a/b", "v2", "second", 20).await?;
    push(&*store, "a/other", "v1", "first", 10).await?;
    let mut unit = store.begin().await?;
    let repository = ensure_repository(&mut *unit, "a/b").await?;
    let other = ensure_repository(&mut *unit, "a/other").await?;
    let (v1, v2) = (tag("v1")?, tag("v2")?);
    lifecycle(&mut *unit)?
        .set_immutable(repository, &[v1.clone(), tag("none")?], true)
        .await?;
    unit.commit().await?;
    let mut unit = store.begin().await?;
    let both = [v1.clone(), v2.clone()];
    let mut seen = unit.tags().live(repository, &both, at(30)).await?;
    seen.sort_by(|left, right| left.name.cmp(&right.name));
    let immutable: Vec<bool> = seen.iter().map(|row| row.immutable).collect();
    ensure!(
        immutable == [true, false],
        "after the first was made immutable, they are {immutable:?}"
    );
    let elsewhere = unit.tags().live(other, &both, at(30)).await?;
    ensure!(
        elsewhere.iter().all(|row| !row.immutable),
        "tags of another repository became immutable"
    );
    let rated = lifecycle(&mut *unit)?
        .rated_tags(repository, None, 9, at(30))
        .await?;
    let immutable: Vec<bool> = rated.iter().map(|rated| rated.tag.immutable).collect();
    ensure!(
        immutable == [false, true],
        "as they are rated, they are {immutable:?}"
    );
    drop(unit);
    let filter = TagFilter::new(at(0));
    let request = PageRequest::new(None, 9);
    let history = store
        .tag_history(&name("a/b")?, &filter, 0, &request, at(30))
        .await?;
    let history = history.found.unwrap_or_default();
    let immutable: Vec<bool> = history.iter().map(|entry| entry.tag.immutable).collect();
    ensure!(immutable == [false, true], "in history they are {immutable:?}");
    // Each row has its own.
    let mut unit = store.begin().await?;
    unit.tags()
        .set(repository, &v1, TagTarget::new(first), at(40))
        .await?;
    let target = TagTarget::new(first).with_immutable(true);
    unit.tags().set(repository, &v2, target, at(40)).await?;
    let mut seen = unit.tags().live(repository, &both, at(50)).await?;
    seen.sort_by(|left, right| left.name.cmp(&right.name));
    let immutable: Vec<bool> = seen.iter().map(|row| row.immutable).collect();
    ensure!(
        immutable == [false, true],
        "after both were moved, the second for good, they are {immutable:?}"
    );
    let rows = unit.tags().history(repository, &v1, None, 9).await?;
    let immutable: Vec<bool> = rows.iter().map(|row| row.immutable).collect();
    ensure!(
        immutable == [false, true],
        "the first one's rows are {immutable:?}"
    );
    lifecycle(&mut *unit)?
        .set_immutable(repository, std::slice::from_ref(&v2), false)
        .await?;
    let seen = unit.tags().live(repository, &[v2], at(50)).await?;
    ensure!(
        seen.iter().all(|row| !row.immutable),
        "a tag cannot be made mutable again"
    );
    unit.commit().await?;
    Ok(())
}

pub(super) async fn a_policy_task_is_one_process_s_at_a_time(instance: &mut dyn Instance<Store>) -> Outcome {
    use PolicyKind::{Immutability, Prune};

    let store = instance.store();
    let mut unit = store.begin().await?;
    let kinds = [Prune, Immutability];
    let (a, b) = (namespace("a"), PolicyOwner::Repository(7));
    let kept = lifecycle(&mut *unit)?;
    kept.schedule(Prune, &a, at(20)).await?;
    kept.schedule(Immutability, &b, at(10)).await?;
    kept.ensure_scheduled(Prune, &a, at(5)).await?;
    kept.ensure_scheduled(Prune, &PolicyOwner::Everybody, at(30))
        .await?;
    unit.commit().await?;
    let mut unit = store.begin().await?;
    let kept = lifecycle(&mut *unit)?;
    let early = kept.claim_task(&kinds, at(100), at(9)).await?;
    ensure!(early.is_none(), "before anything is due, {early:?} is");
    let other = kept.claim_task(&[Prune], at(100), at(19)).await?;
    ensure!(
        other.is_none(),
        "of the kind of which nothing is due, {other:?} is"
    );
    let mut claimed = Vec::new();
    for _ in 0..4 {
        claimed.extend(kept.claim_task(&kinds, at(100), at(50)).await?);
    }
    unit.commit().await?;
    let owners: Vec<&PolicyOwner> = claimed.iter().map(|task| &task.owner).collect();
    ensure!(
        owners == [&b, &a, &PolicyOwner::Everybody],
        "claimed one after the other were {owners:?}"
    );
    let [of_b, of_a, rest] = &claimed[..] else {
        return Err(Failure::new(format!("claimed were {claimed:?}")));
    };
    let mut unit = store.begin().await?;
    let kept = lifecycle(&mut *unit)?;
    ensure!(
        kept.proceed(of_a, Some("half way"), at(60)).await? && kept.finish(of_b).await?,
        "whoever has claimed a task cannot go on with it"
    );
    ensure!(
        !kept.proceed(of_a, Some("elsewhere"), at(1)).await? && !kept.finish(of_a).await?,
        "what was recorded once can be recorded again by who does not know of it"
    );
    ensure!(
        !kept.finish(of_b).await? && !kept.proceed(of_b, None, at(1)).await?,
        "a task that is gone can be changed"
    );
    unit.commit().await?;
    let mut unit = store.begin().await?;
    let kept = lifecycle(&mut *unit)?;
    let again = kept.claim_task(&kinds, at(100), at(60)).await?;
    let place = again.as_ref().and_then(|task| task.place.as_deref());
    ensure!(
        again.as_ref().map(|task| &task.owner) == Some(&a) && place == Some("half way"),
        "what was put off comes as {again:?}"
    );
    // Nobody has gone on with the last one: it is due again, and whoever had it is too late.
    let lost = kept.claim_task(&kinds, at(300), at(100)).await?;
    let lost_version = lost.as_ref().map(|task| task.version);
    ensure!(
        lost.is_some() && !kept.finish(rest).await?,
        "what was claimed in vain comes as {lost:?}"
    );
    ensure!(
        lost_version != Some(rest.version),
        "two claims of one task have the same version"
    );
    // What is scheduled anew begins anew, whoever has it.
    kept.schedule(Prune, &a, at(150)).await?;
    if let Some(task) = &again {
        ensure!(
            !kept.proceed(task, Some("too late"), at(1)).await?,
            "a task that was scheduled anew goes on as before"
        );
    }
    let anew = kept.claim_task(&[Prune], at(400), at(200)).await?;
    ensure!(
        anew.as_ref()
            .is_some_and(|task| task.owner == a && task.place.is_none()),
        "what was scheduled anew comes as {anew:?}"
    );
    unit.commit().await?;
    Ok(())
}

async fn pulls(
    unit: &mut dyn UnitOfWork,
    repository: RepositoryId,
    seed: &str,
) -> Result<Vec<(String, u64, i64)>, Failure> {
    let counts = lifecycle(unit)?.pulls_of(repository, &digest(seed)).await?;
    let mut found: Vec<(String, u64, i64)> = counts
        .into_iter()
        .map(|count| {
            let tag = count.tag.map_or(String::new(), |tag| tag.as_str().to_owned());
            (tag, count.pulls, count.last.as_millis() - at(0).as_millis())
        })
        .collect();
    found.sort();
    Ok(found)
}

pub(super) async fn pulls_add_up(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    let kept = push(&*store, "a/b", "v1", "first", 10).await?;
    push(&*store, "a/b", "v2", "second", 10).await?;
    let mut unit = store.begin().await?;
    let repository = ensure_repository(&mut *unit, "a/b").await?;
    let v1 = tag("v1")?;
    let count = |seed: &str, tag, pulls, last| PullCount::new(repository, digest(seed), tag, pulls, at(last));
    lifecycle(&mut *unit)?
        .count_pulls(&[
            count("first", Some(v1.clone()), 2, 50),
            count("first", None, 1, 20),
            count("unknown", None, 9, 20),
        ])
        .await?;
    unit.commit().await?;
    let mut unit = store.begin().await?;
    // Another process's come later and are older.
    lifecycle(&mut *unit)?
        .count_pulls(&[
            count("first", Some(v1.clone()), 3, 40),
            count("first", None, 1, 30),
            // The tag has pointed elsewhere.
            count("second", Some(v1.clone()), 4, 45),
        ])
        .await?;
    let seen = pulls(&mut *unit, repository, "first").await?;
    ensure!(
        seen == [(String::new(), 2, 30), ("v1".to_owned(), 5, 50)],
        "the pulls are {seen:?}"
    );
    let seen = pulls(&mut *unit, repository, "unknown").await?;
    ensure!(seen.is_empty(), "pulls of what is not there are {seen:?}");
    let seen = pulls(&mut *unit, repository, "second").await?;
    ensure!(
        seen == [("v1".to_owned(), 4, 45)],
        "pulls of another manifest are {seen:?}"
    );
    unit.commit().await?;
    let (first, v2) = (digest("first"), tag("v2")?);
    for (of, expected) in [
        (PulledAs::Manifest(&first), PullTotal::new(7, Some(at(50)))),
        (PulledAs::Tag(&v1), PullTotal::new(9, Some(at(50)))),
        (PulledAs::Tag(&v2), PullTotal::default()),
    ] {
        let seen = store.pulls(repository, of).await?;
        ensure!(
            seen == expected,
            "the pulls of {of:?} are {seen:?}, not {expected:?}"
        );
        let elsewhere = store.pulls(repository + 1000, of).await?;
        ensure!(
            elsewhere == PullTotal::default(),
            "another repository has {elsewhere:?}"
        );
    }
    let mut unit = store.begin().await?;
    let Some(garbage) = unit.garbage() else {
        return Ok(());
    };
    garbage.remove_manifests(repository, &[kept], at(60)).await?;
    let seen = pulls(&mut *unit, repository, "first").await?;
    ensure!(
        seen.is_empty(),
        "of a manifest that is gone there are still {seen:?}"
    );
    unit.commit().await?;
    let seen = store.pulls(repository, PulledAs::Tag(&v1)).await?;
    ensure!(
        seen == PullTotal::new(4, Some(at(45))),
        "of a tag whose manifest is gone there are {seen:?}"
    );
    Ok(())
}

pub(super) async fn policies_go_with_their_repository(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    let mut unit = store.begin().await?;
    let going = ensure_repository(&mut *unit, "a/b").await?;
    let staying = ensure_repository(&mut *unit, "a/c").await?;
    let kind = PolicyKind::Prune;
    for repository in [going, staying] {
        let owner = PolicyOwner::Repository(repository);
        let kept = lifecycle(&mut *unit)?;
        kept.insert_policy(&policy(&format!("of {repository}"), kind, &owner, "{}"))
            .await?;
        kept.schedule(kind, &owner, at(1)).await?;
    }
    let garbage = unit
        .garbage()
        .ok_or(Failure::NotApplicable("the store keeps its garbage"))?;
    garbage.remove_repository(going).await?;
    let kept = lifecycle(&mut *unit)?;
    let owners = [PolicyOwner::Repository(going), PolicyOwner::Repository(staying)];
    let left = kept.policies(kind, &owners).await?;
    let owners_left: Vec<&PolicyOwner> = left.iter().map(|policy| &policy.owner).collect();
    ensure!(
        owners_left == [&owners[1]],
        "when a repository is gone there are policies of {owners_left:?}"
    );
    let task = kept.claim_task(&[kind], at(9), at(2)).await?;
    let next = kept.claim_task(&[kind], at(9), at(2)).await?;
    ensure!(
        task.as_ref().is_some_and(|task| task.owner == owners[1]) && next.is_none(),
        "when a repository is gone there are the tasks {task:?} and {next:?}"
    );
    unit.commit().await?;
    Ok(())
}
