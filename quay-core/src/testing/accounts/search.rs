//! Repositories as they are found.

use super::{Outcome, Store, at, commit, name, organization, repository, store, team, there, user};
use crate::accounts::{AccountId, Grantee, LogEntry, LogKind, RepositoryRole, RepositorySearch, TeamRole};
use crate::metadata::{RepositoryId, Visibility};
use crate::testing::{Failure, Instance, ensure};

/// The names that a search finds, in byte order.
async fn names(store: &Store, search: &RepositorySearch<'_>) -> Result<Vec<String>, Failure> {
    let mut names = ranked(store, search).await?;
    names.sort_unstable();
    Ok(names)
}

async fn ranked(store: &Store, search: &RepositorySearch<'_>) -> Result<Vec<String>, Failure> {
    let found = store.reader().search_repositories(search).await?;
    let names = found.iter().map(|record| record.name.path().to_owned());
    Ok(names.collect())
}

pub(super) async fn repositories_are_found_by_what_they_are_called(
    instance: &mut dyn Instance<Store>,
) -> Outcome {
    let store = store(instance);
    let long = format!("{}-tail", "x".repeat(60));
    commit!(store, |unit| {
        organization(unit, "acme").await?;
        for path in [
            "acme/web-app",
            "acme/app",
            "acme/db_1",
            "acme/a.b/app2",
            "acme/other",
        ] {
            repository(unit, path, Visibility::Public).await?;
        }
        repository(unit, &format!("acme/{long}"), Visibility::Public).await?;
        let other = unit.find_repository(&name("acme/other")?).await?;
        let other = there(other, "acme/other")?;
        unit.describe_repository(&other, Some("Über the APP, and 100% of it"))
            .await?;
    });
    for (text, expected) in [
        (
            "app",
            &["acme/a.b/app2", "acme/app", "acme/other", "acme/web-app"][..],
        ),
        ("pp", &["acme/a.b/app2", "acme/app", "acme/web-app"]),
        ("b-a", &["acme/web-app"]),
        ("b/a", &["acme/a.b/app2"]),
        ("_", &["acme/db_1"]),
        ("%", &[]),
        ("100", &["acme/other"]),
        ("über", &["acme/other"]),
        ("ber", &[]),
        ("acme", &[]),
        ("appx", &[]),
    ] {
        let seen = names(&*store, &RepositorySearch::new(text, 99)).await?;
        ensure!(
            seen == expected,
            "{text:?} is found in {seen:?}, not in {expected:?}"
        );
    }
    let tail = format!("{}-tail", "x".repeat(50));
    let seen = names(&*store, &RepositorySearch::new(&tail, 99)).await?;
    ensure!(
        seen == [format!("acme/{long}")],
        "a long text is found in {seen:?}"
    );
    let none = names(&*store, &RepositorySearch::new(&format!("{tail}x"), 99)).await?;
    ensure!(none.is_empty(), "a long text is found in {none:?}");
    let all = names(&*store, &RepositorySearch::new("", 99)).await?;
    ensure!(all.len() == 6, "without a text {all:?} are found");
    // What is said of it now counts, and what is deleted is not found.
    commit!(store, |unit| {
        let other = there(unit.find_repository(&name("acme/other")?).await?, "acme/other")?;
        unit.describe_repository(&other, Some("nothing")).await?;
        let app = there(unit.find_repository(&name("acme/app")?).await?, "acme/app")?;
        unit.delete_repository(&app).await?;
    });
    let seen = names(&*store, &RepositorySearch::new("app", 99)).await?;
    ensure!(
        seen == ["acme/a.b/app2", "acme/web-app"],
        "after a deletion {seen:?} are found"
    );
    Ok(())
}

pub(super) async fn repositories_are_found_by_those_who_see_them(
    instance: &mut dyn Instance<Store>,
) -> Outcome {
    let store = store(instance);
    let (ann, bob) = commit!(store, |unit| {
        let ann = user(unit, "ann").await?;
        let bob = user(unit, "bob").await?;
        let acme = organization(unit, "acme").await?;
        let corp = organization(unit, "corp").await?;
        let readers = team(unit, acme, "readers", TeamRole::Member, &[ann]).await?;
        team(unit, corp, "owners", TeamRole::Admin, &[ann]).await?;
        for path in [
            "ann/app",
            "bob/app",
            "acme/app1",
            "acme/app2",
            "acme/app3",
            "corp/app",
        ] {
            repository(unit, path, Visibility::Private).await?;
        }
        repository(unit, "corp/app-open", Visibility::Public).await?;
        let direct = there(unit.find_repository(&name("acme/app1")?).await?, "acme/app1")?;
        unit.set_grant(direct.id, Grantee::Account(ann), RepositoryRole::Read)
            .await?;
        let by_team = there(unit.find_repository(&name("acme/app2")?).await?, "acme/app2")?;
        unit.set_grant(by_team.id, Grantee::Team(readers), RepositoryRole::Read)
            .await?;
        (ann, bob)
    });
    let everything = ["acme/app1", "acme/app2", "ann/app", "corp/app", "corp/app-open"];
    let look = async |who: Option<(AccountId, &str)>, text: &str| {
        names(&*store, &RepositorySearch::new(text, 99).by(who)).await
    };
    for text in ["app", ""] {
        for (who, expected) in [
            (None, &["corp/app-open"][..]),
            (Some((ann, "ann")), &everything),
            (Some((bob, "bob")), &["bob/app", "corp/app-open"]),
        ] {
            let seen = look(who, text).await?;
            ensure!(seen == expected, "{who:?} finds {seen:?}, not {expected:?}");
        }
    }
    commit!(store, |unit| {
        for (path, visibility) in [
            ("corp/app-open", Visibility::Private),
            ("acme/app3", Visibility::Public),
        ] {
            let record = there(unit.find_repository(&name(path)?).await?, path)?;
            unit.set_visibility(&record, visibility).await?;
        }
    });
    for (text, expected) in [("app", &["acme/app3"][..]), ("", &["acme/app3"])] {
        let seen = look(None, text).await?;
        ensure!(seen == expected, "after a change everybody finds {seen:?}");
    }
    Ok(())
}

pub(super) async fn what_is_used_most_is_found_first(instance: &mut dyn Instance<Store>) -> Outcome {
    const DAY_MS: i64 = 24 * 60 * 60 * 1000;
    let store = store(instance);
    let today = at(0).as_millis().div_euclid(DAY_MS) + 1;
    let (ann, ids): (AccountId, Vec<RepositoryId>) = commit!(store, |unit| {
        let ann = user(unit, "ann").await?;
        organization(unit, "acme").await?;
        let mut ids = Vec::new();
        for (path, actions) in [
            ("acme/app-a", 1),
            ("acme/app-b", 3),
            ("acme/app-c", 0),
            ("acme/app-d", 2),
        ] {
            let id = repository(unit, path, Visibility::Public).await?;
            for _ in 0..actions {
                let time = crate::runtime::Timestamp::from_millis((today - 1) * DAY_MS + 5);
                let mut entry = LogEntry::new(LogKind::PullRepo, time, serde_json::json!({}));
                entry.repository = Some(id);
                unit.log(&entry).await?;
            }
            ids.push(id);
        }
        unit.star(ann, ids.first().copied().unwrap_or_default()).await?;
        (ann, ids)
    });
    let mut counted = Vec::new();
    loop {
        let batch = commit!(store, |unit| {
            let batch = unit.count_actions(today - 1, today - 9, today - 99, 3).await?;
            for one in &batch {
                let done: u64 = one.days.iter().map(|(_, actions)| actions).sum();
                let done = i64::try_from(done).unwrap_or_default();
                unit.set_score(one.repository, done, today - 1).await?;
            }
            batch
        });
        ensure!(counted.len() <= ids.len(), "what was counted is counted again");
        if batch.is_empty() {
            break;
        }
        ensure!(batch.len() <= 3, "{} were counted at once", batch.len());
        counted.extend(batch.into_iter().map(|one| (one.repository, one.days)));
    }
    counted.sort_unstable();
    let expected: Vec<_> = ids
        .iter()
        .zip([1, 3, 0, 2])
        .map(|(id, actions)| {
            (
                *id,
                if actions > 0 {
                    vec![(today - 1, actions)]
                } else {
                    vec![]
                },
            )
        })
        .collect();
    ensure!(counted == expected, "counted were {counted:?}, not {expected:?}");
    let order = ["acme/app-b", "acme/app-d", "acme/app-a", "acme/app-c"];
    for text in ["app", ""] {
        for who in [None, Some((ann, "ann"))] {
            let search = RepositorySearch::new(text, 99).by(who);
            let seen = ranked(&*store, &search).await?;
            ensure!(seen == order, "{text:?} finds {seen:?}, not {order:?}");
            let search = RepositorySearch::new(text, 2).by(who).with_skip(1);
            let seen = ranked(&*store, &search).await?;
            ensure!(seen == order[1..3], "a page of {text:?} is {seen:?}");
        }
    }
    let mut reader = store.reader();
    let popularity = reader.popularity(&ids, today - 1).await?;
    let of = |id: RepositoryId| popularity.iter().find(|one| one.repository == id);
    let seen: Vec<_> = ids
        .iter()
        .map(|id| of(*id).map(|one| (one.stars, one.actions)))
        .collect();
    let expected = [(1, 1), (0, 3), (0, 0), (0, 2)].map(Some);
    ensure!(seen == expected, "the popularity is {seen:?}, not {expected:?}");
    let first = ids.first().copied().unwrap_or_default();
    let days = reader.action_counts(first, today - 1).await?;
    ensure!(days == [(today - 1, 1)], "a repository's days are {days:?}");
    let later = reader.action_counts(first, today).await?;
    ensure!(later.is_empty(), "of a day to come there is {later:?}");
    Ok(())
}
