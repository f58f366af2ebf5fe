//! Roles in repositories, default permissions, and what somebody may see.

use super::{
    Outcome, Store, at, by_pages, commit, organization, repository, robot, store, team, there, token, user,
};
use crate::accounts::{AccountId, AccountKey, Grantee, Prototype, RepositoryRole, Standing, TeamRole};
use crate::metadata::{PageRequest, Visibility};
use crate::testing::{Instance, ensure};

pub(super) async fn standing_is_put_together(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = store(instance);
    let (ann, bob, app, other_app) = commit!(store, |unit| {
        let acme = organization(unit, "acme").await?;
        let other = organization(unit, "other").await?;
        let ann = user(unit, "ann").await?;
        let bob = user(unit, "bob").await?;
        let app = repository(unit, "acme/app", Visibility::Private).await?;
        let other_app = repository(unit, "other/app", Visibility::Public).await?;
        let readers = team(unit, acme, "readers", TeamRole::Creator, &[ann]).await?;
        let admins = team(unit, acme, "admins", TeamRole::Member, &[ann]).await?;
        let not_hers = team(unit, acme, "not-hers", TeamRole::Admin, &[]).await?;
        team(unit, other, "theirs", TeamRole::Admin, &[bob]).await?;
        for (grantee, role) in [
            (Grantee::Account(ann), RepositoryRole::Read),
            (Grantee::Team(readers), RepositoryRole::Read),
            (Grantee::Team(admins), RepositoryRole::Write),
            (Grantee::Team(not_hers), RepositoryRole::Admin),
        ] {
            unit.set_grant(app, grantee, role).await?;
        }
        unit.set_grant(other_app, Grantee::Account(bob), RepositoryRole::Admin)
            .await?;
        (ann, bob, app, other_app)
    });
    let standing = |direct, by_team, team_role| {
        let mut standing = Standing::none();
        standing.direct = direct;
        standing.by_team = by_team;
        standing.team_role = team_role;
        standing
    };
    let (read, write) = (Some(RepositoryRole::Read), Some(RepositoryRole::Write));
    let creator = Some(TeamRole::Creator);
    let mut reader = store.reader();
    for (account, namespace, repository, expected) in [
        (ann, "acme", Some(app), standing(read, write, creator)),
        (ann, "acme", None, standing(None, None, creator)),
        (ann, "acme", Some(other_app), standing(None, None, creator)),
        (ann, "other", Some(other_app), Standing::none()),
        (ann, "ACME", None, Standing::none()),
        (ann, "nowhere", None, Standing::none()),
        // Who owns a namespace is the caller's to say.
        (ann, "ann", None, Standing::none()),
        (bob, "acme", Some(app), Standing::none()),
        (
            bob,
            "other",
            Some(other_app),
            standing(Some(RepositoryRole::Admin), None, Some(TeamRole::Admin)),
        ),
        (bob + 1000, "acme", Some(app), Standing::none()),
    ] {
        let seen = reader.standing(account, namespace, repository).await?;
        ensure!(
            seen == expected,
            "{account}'s standing in {namespace}, {repository:?} is {seen:?}, not {expected:?}"
        );
    }
    Ok(())
}

pub(super) async fn standing_is_read_at_once(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = store(instance);
    let (ann, devs, app) = commit!(store, |unit| {
        let acme = organization(unit, "acme").await?;
        let ann = user(unit, "ann").await?;
        let devs = team(unit, acme, "devs", TeamRole::Member, &[ann]).await?;
        let app = repository(unit, "acme/app", Visibility::Private).await?;
        unit.set_grant(app, Grantee::Account(ann), RepositoryRole::Read)
            .await?;
        (ann, devs, app)
    });
    // A role that moves to and fro between her and her team is always one of the two.
    let moves = async {
        for round in 0..20 {
            let (from, to) = if round % 2 == 0 {
                (Grantee::Account(ann), Grantee::Team(devs))
            } else {
                (Grantee::Team(devs), Grantee::Account(ann))
            };
            commit!(store, |unit| {
                unit.remove_grant(app, from).await?;
                unit.set_grant(app, to, RepositoryRole::Read).await?;
            });
        }
        Ok(())
    };
    let reads = async {
        for _ in 0..60 {
            let standing = store.reader().standing(ann, "acme", Some(app)).await?;
            ensure!(
                standing.direct.is_some() != standing.by_team.is_some(),
                "halfway through a change the standing is {standing:?}"
            );
        }
        Ok(())
    };
    futures::future::try_join(moves, reads).await.map(drop)
}

pub(super) async fn a_role_is_replaced_and_taken_away(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = store(instance);
    let mut unit = store.begin_accounts().await?;
    let accounts = unit.accounts();
    let acme = organization(accounts, "acme").await?;
    let ann = user(accounts, "ann").await?;
    let devs = team(accounts, acme, "devs", TeamRole::Member, &[]).await?;
    let app = repository(accounts, "acme/app", Visibility::Private).await?;
    let other = repository(accounts, "acme/other", Visibility::Private).await?;
    for grantee in [Grantee::Account(ann), Grantee::Team(devs)] {
        for role in [
            RepositoryRole::Admin,
            RepositoryRole::Read,
            RepositoryRole::Read,
            RepositoryRole::Write,
        ] {
            accounts.set_grant(app, grantee, role).await?;
            let seen = accounts.grant(app, grantee).await?;
            ensure!(seen == Some(role), "{grantee:?} was given {role}, has {seen:?}");
        }
        let seen = accounts.grant(other, grantee).await?;
        ensure!(seen.is_none(), "elsewhere {grantee:?} has {seen:?}");
    }
    let page = PageRequest::new(None, 9);
    let grants = accounts.account_grants(app, &page).await?;
    ensure!(
        grants.len() == 1,
        "one role was given four times, {} are there",
        grants.len()
    );
    for expected in [true, false] {
        let removed = accounts.remove_grant(app, Grantee::Account(ann)).await?;
        ensure!(removed == expected, "taking a role away said {removed}");
    }
    ensure!(
        accounts.grant(app, Grantee::Account(ann)).await?.is_none(),
        "a role that was taken away is there"
    );
    ensure!(
        accounts.grant(app, Grantee::Team(devs)).await?.is_some(),
        "a team's role went with an account's"
    );
    unit.commit().await?;
    Ok(())
}

pub(super) async fn grants_are_paged_by_id(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = store(instance);
    let (app, users, teams, paths) = commit!(store, |unit| {
        let acme = organization(unit, "acme").await?;
        let app = repository(unit, "acme/zz", Visibility::Public).await?;
        let elsewhere = repository(unit, "acme2/app", Visibility::Private).await?;
        let (mut users, mut teams) = (Vec::new(), Vec::new());
        for name in ["e", "d", "c", "b", "a"] {
            let account = user(unit, name).await?;
            let team = team(unit, acme, name, TeamRole::Member, &[]).await?;
            for grantee in [Grantee::Account(account), Grantee::Team(team)] {
                unit.set_grant(app, grantee, RepositoryRole::Write).await?;
            }
            users.push(account);
            teams.push(team);
        }
        let mut paths = vec!["acme/zz".to_owned()];
        for name in ["c", "b", "a"] {
            let path = format!("acme/{name}");
            let repository = repository(unit, &path, Visibility::Private).await?;
            for repository in [repository, elsewhere] {
                unit.set_grant(repository, Grantee::Account(users[0]), RepositoryRole::Read)
                    .await?;
                unit.set_grant(repository, Grantee::Team(teams[0]), RepositoryRole::Read)
                    .await?;
            }
            paths.push(path);
        }
        (app, users, teams, paths)
    });
    let mut reader = store.reader();
    for size in [1, 2, 100] {
        let found = by_pages!(size, |page| reader.account_grants(app, &page), |last| last.0.id);
        let ids: Vec<_> = found.iter().map(|(account, _)| account.id).collect();
        ensure!(ids == users, "by pages of {size} the accounts are {ids:?}");
        let right = found.iter().all(|(_, role)| *role == RepositoryRole::Write);
        ensure!(right, "the roles came back as {found:?}");
        let found = by_pages!(size, |page| reader.team_grants(app, &page), |last| last.0.id);
        let ids: Vec<_> = found.iter().map(|(team, _)| team.id).collect();
        ensure!(ids == teams, "by pages of {size} the teams are {ids:?}");
        for grantee in [Grantee::Account(users[0]), Grantee::Team(teams[0])] {
            let found = by_pages!(size, |page| reader.grants_of(grantee, "acme", &page), |last| {
                last.repository
            });
            let seen: Vec<_> = found.iter().map(|grant| grant.path.as_str()).collect();
            ensure!(seen == paths, "by pages of {size} {grantee:?} has {seen:?}");
            let first = there(found.first(), "a role")?;
            ensure!(
                first.repository == app
                    && first.grantee == grantee
                    && first.role == RepositoryRole::Write
                    && first.visibility == Visibility::Public,
                "a role came back as {first:?}"
            );
        }
    }
    Ok(())
}

pub(super) async fn roles_in_a_namespace_are_taken_away(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = store(instance);
    let mut unit = store.begin_accounts().await?;
    let accounts = unit.accounts();
    let acme = organization(accounts, "acme").await?;
    let ann = user(accounts, "ann").await?;
    let bob = user(accounts, "bob").await?;
    let devs = team(accounts, acme, "devs", TeamRole::Member, &[ann]).await?;
    let mut repositories = Vec::new();
    for path in ["acme/one", "acme/two", "acme2/one"] {
        let repository = repository(accounts, path, Visibility::Private).await?;
        for grantee in [Grantee::Account(ann), Grantee::Account(bob), Grantee::Team(devs)] {
            accounts
                .set_grant(repository, grantee, RepositoryRole::Read)
                .await?;
        }
        repositories.push((path, repository));
    }
    accounts.remove_grants_in(ann, "acme").await?;
    for (path, repository) in repositories {
        for (grantee, expected) in [
            (Grantee::Account(ann), path == "acme2/one"),
            (Grantee::Account(bob), true),
            (Grantee::Team(devs), true),
        ] {
            let seen = accounts.grant(repository, grantee).await?.is_some();
            ensure!(
                seen == expected,
                "that {grantee:?} has a role in {path} is {seen}"
            );
        }
    }
    unit.commit().await?;
    Ok(())
}

/// Who looks, whether at what is public as well, and what they see.
type Sight<'a> = (Option<(AccountId, &'a str)>, bool, &'a [&'a str]);

pub(super) async fn everybody_sees_what_they_may(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = store(instance);
    let (ann, build) = commit!(store, |unit| {
        let acme = organization(unit, "acme").await?;
        let run = organization(unit, "run").await?;
        let ann = user(unit, "ann").await?;
        let bob = user(unit, "bob").await?;
        let build = robot(unit, ann, "ann+build").await?;
        let devs = team(unit, acme, "devs", TeamRole::Member, &[ann]).await?;
        let others = team(unit, acme, "others", TeamRole::Admin, &[bob]).await?;
        team(unit, run, "owners", TeamRole::Admin, &[ann]).await?;
        for (path, visibility, grantee) in [
            ("ann/own", Visibility::Private, None),
            ("ann-b/foreign", Visibility::Private, None),
            ("ann0/foreign", Visibility::Private, None),
            ("acme/direct", Visibility::Private, Some(Grantee::Account(ann))),
            ("acme/by-team", Visibility::Private, Some(Grantee::Team(devs))),
            ("acme/bobs", Visibility::Private, Some(Grantee::Account(bob))),
            ("acme/others", Visibility::Private, Some(Grantee::Team(others))),
            ("acme/secret", Visibility::Private, None),
            ("acme/open", Visibility::Public, None),
            ("run/administered", Visibility::Private, None),
            ("acme/robots", Visibility::Private, Some(Grantee::Account(build))),
        ] {
            let repository = repository(unit, path, visibility).await?;
            if let Some(grantee) = grantee {
                unit.set_grant(repository, grantee, RepositoryRole::Read).await?;
            }
        }
        (ann, build)
    });
    let mut reader = store.reader();
    let own = ["acme/by-team", "acme/direct", "ann/own", "run/administered"];
    let with_public = [
        "acme/by-team",
        "acme/direct",
        "acme/open",
        "ann/own",
        "run/administered",
    ];
    let cases: [Sight<'_>; 6] = [
        (Some((ann, "ann")), false, &own),
        (Some((ann, "ann")), true, &with_public),
        // A robot has no right in its owner's namespace.
        (Some((build, "ann+build")), false, &["acme/robots"]),
        (Some((build, "ann+build")), true, &["acme/open", "acme/robots"]),
        (None, true, &["acme/open"]),
        (None, false, &[]),
    ];
    for (account, public, expected) in cases {
        for size in [1, 2, 100] {
            let found = by_pages!(size, |page| reader.visible(account, public, &page), |last| {
                last.name.path().to_owned()
            });
            let paths: Vec<_> = found.iter().map(|record| record.name.path()).collect();
            ensure!(
                paths == expected,
                "by pages of {size} {account:?} sees {paths:?}, not {expected:?}"
            );
        }
    }
    // What is being deleted is seen by nobody.
    commit!(store, |unit| {
        for name in ["run", "acme"] {
            let account = there(unit.account(AccountKey::Name(name)).await?, name)?;
            unit.delete_account(&account, at(5)).await?;
        }
    });
    let page = PageRequest::new(None, 9);
    let found = reader.visible(Some((ann, "ann")), true, &page).await?;
    let paths: Vec<_> = found.iter().map(|record| record.name.path()).collect();
    ensure!(
        paths == ["ann/own"],
        "with two organizations gone she sees {paths:?}"
    );
    Ok(())
}

pub(super) async fn what_is_seen_in_several_ways_is_listed_once(
    instance: &mut dyn Instance<Store>,
) -> Outcome {
    let store = store(instance);
    let letters = ["a", "b", "c", "d", "e"];
    let (ann, mut expected) = commit!(store, |unit| {
        let acme = organization(unit, "acme").await?;
        let run = organization(unit, "run").await?;
        let ann = user(unit, "ann").await?;
        let mut teams = Vec::new();
        for name in ["one", "two", "three"] {
            teams.push(team(unit, acme, name, TeamRole::Member, &[ann]).await?);
            team(unit, run, name, TeamRole::Admin, &[ann]).await?;
        }
        let mut paths = Vec::new();
        for letter in letters {
            // By three teams that administer it, and for some as everybody.
            let path = format!("run/{letter}");
            let visibility = if letter == "b" {
                Visibility::Public
            } else {
                Visibility::Private
            };
            repository(unit, &path, visibility).await?;
            paths.push(path);
            // By three teams with a role in it, and for some with one of her own.
            let path = format!("acme/{letter}");
            let repository = repository(unit, &path, visibility).await?;
            for team in &teams {
                unit.set_grant(repository, Grantee::Team(*team), RepositoryRole::Read)
                    .await?;
            }
            if letter == "c" {
                unit.set_grant(repository, Grantee::Account(ann), RepositoryRole::Read)
                    .await?;
            }
            paths.push(path);
            // By one way alone, behind all others: a list that is cut short must not hide what comes before.
            for namespace in ["ann", "zoo"] {
                let path = format!("{namespace}/{letter}");
                let repository = super::repository(unit, &path, Visibility::Private).await?;
                unit.set_grant(repository, Grantee::Account(ann), RepositoryRole::Read)
                    .await?;
                paths.push(path);
            }
        }
        (ann, paths)
    });
    expected.sort_unstable();
    let mut reader = store.reader();
    for public in [false, true] {
        for size in [1, 2, 3, 4, 7, 100] {
            let found = by_pages!(
                size,
                |page| reader.visible(Some((ann, "ann")), public, &page),
                |last| last.name.path().to_owned()
            );
            let paths: Vec<_> = found.iter().map(|record| record.name.path()).collect();
            ensure!(paths == expected, "by pages of {size} she sees {paths:?}");
            // A page is short only at the end.
            let page = PageRequest::new(None, size);
            let first = reader.visible(Some((ann, "ann")), public, &page).await?;
            ensure!(
                first.len() == size.min(expected.len()),
                "a page of {size} has {} of {}",
                first.len(),
                expected.len()
            );
        }
    }
    Ok(())
}

pub(super) async fn default_permissions_are_kept(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = store(instance);
    let (acme, other, mut stored) = commit!(store, |unit| {
        let acme = organization(unit, "acme").await?;
        let other = organization(unit, "other").await?;
        let ann = user(unit, "ann").await?;
        let bob = user(unit, "bob").await?;
        let devs = team(unit, acme, "devs", TeamRole::Member, &[]).await?;
        let mut stored = Vec::new();
        for (seed, activating, delegate) in [
            ("z", Some(ann), Grantee::Account(bob)),
            ("a", None, Grantee::Team(devs)),
            ("m", None, Grantee::Account(ann)),
        ] {
            let prototype = Prototype {
                id: 0,
                uuid: token(seed),
                organization: acme,
                activating,
                delegate,
                role: RepositoryRole::Read,
            };
            unit.insert_prototype(&prototype).await?;
            stored.push(prototype);
        }
        (acme, other, stored)
    });
    let mut reader = store.reader();
    let listed = reader.prototypes(acme).await?;
    ensure!(
        listed.len() == stored.len(),
        "of 3 default permissions {} are there",
        listed.len()
    );
    for (stored, listed) in stored.iter_mut().zip(&listed) {
        stored.id = listed.id;
        ensure!(
            stored.id != 0 && stored == listed,
            "the oldest first, {stored:?} came back as {listed:?}"
        );
    }
    let second = &mut stored[1];
    ensure!(
        reader.prototypes(other).await?.is_empty() && reader.prototype(other, &second.uuid).await?.is_none(),
        "another organization has the default permissions"
    );
    second.role = RepositoryRole::Admin;
    commit!(store, |unit| {
        unit.save_prototype(second).await?;
        unit.delete_prototype(listed[0].id).await?;
        let seen = unit.prototype(acme, &second.uuid).await?;
        ensure!(
            seen.as_ref() == Some(&*second),
            "a saved default permission is {seen:?}"
        );
    });
    let left: Vec<_> = reader
        .prototypes(acme)
        .await?
        .iter()
        .map(|prototype| prototype.id)
        .collect();
    ensure!(
        left == [listed[1].id, listed[2].id],
        "without the first of {listed:?} there are {left:?}"
    );
    Ok(())
}
