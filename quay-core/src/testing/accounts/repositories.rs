//! Repositories as people look at them.

use super::{
    Outcome, Store, TEXTS, at, by_pages, commit, name, organization, repository, store, team, there, user,
};
use crate::accounts::{AccountId, Grantee, RepositoryDetails, RepositoryRole, Sight, TeamRole};
use crate::digest::{Algorithm, Digest};
use crate::media_type::MediaType;
use crate::metadata::{NewManifest, PageRequest, RepositoryState, TagTarget, Visibility};
use crate::name::Tag;
use crate::testing::{Failure, Instance, ensure};

pub(super) async fn a_namespace_is_listed_as_it_is_seen(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = store(instance);
    let (ann, bob) = commit!(store, |unit| {
        let acme = organization(unit, "acme").await?;
        organization(unit, "acme0").await?;
        let ann = user(unit, "ann").await?;
        let bob = user(unit, "bob").await?;
        let readers = team(unit, acme, "readers", TeamRole::Member, &[ann]).await?;
        for (path, visibility, account, by_team) in [
            ("acme/a", Visibility::Private, Some(ann), false),
            ("acme/b", Visibility::Private, Some(ann), true),
            ("acme/c", Visibility::Private, None, true),
            ("acme/d", Visibility::Public, None, false),
            ("acme/e", Visibility::Public, Some(ann), true),
            ("acme/f/nested", Visibility::Private, None, false),
            ("acme0/a", Visibility::Public, Some(ann), false),
            ("acm/a", Visibility::Public, Some(ann), false),
        ] {
            let id = repository(unit, path, visibility).await?;
            if let Some(account) = account {
                unit.set_grant(id, Grantee::Account(account), RepositoryRole::Read)
                    .await?;
            }
            if by_team {
                unit.set_grant(id, Grantee::Team(readers), RepositoryRole::Write)
                    .await?;
            }
        }
        (ann, bob)
    });
    let mut reader = store.reader();
    let granted = |account, public| Sight::Granted { account, public };
    for (sight, expected) in [
        (Sight::Everything, &["a", "b", "c", "d", "e", "f/nested"][..]),
        (granted(Some(ann), false), &["a", "b", "c", "e"]),
        (granted(Some(ann), true), &["a", "b", "c", "d", "e"]),
        (granted(Some(bob), false), &[]),
        (granted(Some(bob), true), &["d", "e"]),
        (granted(None, true), &["d", "e"]),
        (granted(None, false), &[]),
    ] {
        for size in [1, 2, 3, 100] {
            let found = by_pages!(
                size,
                |page| reader.repositories_in("acme", sight, &page),
                |last| last.name.path().to_owned()
            );
            let names: Vec<_> = found.iter().map(|record| record.name.rest()).collect();
            ensure!(
                names == expected,
                "by pages of {size} {sight:?} is {names:?}, not {expected:?}"
            );
        }
    }
    let page = PageRequest::new(None, 9);
    let none = reader.repositories_in("nobody", Sight::Everything, &page).await?;
    ensure!(none.is_empty(), "a namespace that is not there holds {none:?}");
    Ok(())
}

async fn details(
    store: &Store,
    id: i64,
    account: Option<AccountId>,
    now: i64,
) -> Result<Option<RepositoryDetails>, Failure> {
    let mut reader = store.reader();
    Ok(reader.repository_details(&[id], account, at(now)).await?.pop())
}

pub(super) async fn a_repository_changes_and_goes(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = store(instance);
    let path = name("acme/app")?;
    let (ann, id) = commit!(store, |unit| {
        let ann = user(unit, "ann").await?;
        organization(unit, "acme").await?;
        let id = repository(unit, "acme/app", Visibility::Private).await?;
        unit.set_grant(id, Grantee::Account(ann), RepositoryRole::Admin)
            .await?;
        ensure!(unit.star(ann, id).await?, "a star was not taken");
        (ann, id)
    });
    let mut unit = store.begin().await?;
    let digest = Digest::of(Algorithm::Sha256, b"one");
    let manifest = NewManifest::new(
        digest,
        MediaType::known(MediaType::OCI_MANIFEST),
        bytes::Bytes::from_static(b"one"),
    );
    let (manifest, _) = unit.manifests().put(id, &manifest, at(10)).await?;
    for (tag, start, end) in [("old", 10, None), ("ending", 30, Some(at(50))), ("new", 20, None)] {
        let tag = Tag::new(tag).map_err(|error| Failure::new(error.to_string()))?;
        let target = TagTarget::new(manifest).with_end(end);
        unit.tags().set(id, &tag, target, at(start)).await?;
    }
    unit.commit().await?;
    for (now, expected) in [(40, 30), (50, 20)] {
        let found = details(&*store, id, Some(ann), now).await?;
        let expected = RepositoryDetails {
            repository: id,
            description: None,
            last_modified: Some(at(expected)),
            is_starred: true,
        };
        ensure!(found.as_ref() == Some(&expected), "at {now} it is {found:?}");
    }
    let foreign = details(&*store, id, None, 50).await?;
    ensure!(
        foreign.is_some_and(|details| !details.is_starred),
        "a star is shown to others"
    );

    for text in TEXTS {
        let record = commit!(store, |unit| {
            let record = unit.find_repository(&path).await?;
            let record = there(record, "acme/app")?;
            unit.describe_repository(&record, Some(text)).await?;
            unit.set_visibility(&record, Visibility::Public).await?;
            unit.set_state(&record, RepositoryState::ReadOnly).await?;
            record
        });
        ensure!(record.id == id, "another repository was found: {record:?}");
        let found = details(&*store, id, None, 50).await?;
        let description = found.and_then(|details| details.description);
        ensure!(
            description.as_deref() == Some(text),
            "{text:?} came back as {description:?}"
        );
    }
    let seen = store.repository(&path).await?;
    ensure!(
        seen.as_ref().is_some_and(|record| {
            record.visibility == Visibility::Public && record.state == RepositoryState::ReadOnly
        }),
        "a changed repository is {seen:?}"
    );

    commit!(store, |unit| {
        let record = there(unit.find_repository(&path).await?, "acme/app")?;
        unit.delete_repository(&record).await?;
    });
    let gone = store.repository(&path).await?;
    ensure!(gone.is_none(), "a deleted repository is {gone:?}");
    let mut reader = store.reader();
    let page = PageRequest::new(None, 9);
    let starred = reader.starred_repositories(ann, &page).await?;
    ensure!(starred.is_empty(), "a deleted repository is starred: {starred:?}");
    let listed = reader.repositories_in("acme", Sight::Everything, &page).await?;
    ensure!(listed.is_empty(), "a deleted repository is listed: {listed:?}");
    let standing = reader.standing(ann, "acme", Some(id)).await?;
    ensure!(
        standing.direct.is_none(),
        "a role in a deleted repository is left"
    );
    let again = commit!(store, |unit| {
        repository(unit, "acme/app", Visibility::Private).await?
    });
    ensure!(again != id, "a deleted repository has come back");
    let empty = store
        .tags(&path, &PageRequest::new(None, 9), at(60))
        .await?
        .found
        .unwrap_or_default();
    ensure!(
        empty.is_empty(),
        "a new repository has the tags of the old one: {empty:?}"
    );
    Ok(())
}
