//! Teams, their members, and who is asked to join them.

use super::{
    Outcome, Store, TEXTS, by_pages, commit, names, new_team, organization, raced, repository, store, team,
    there, token, user,
};
use crate::accounts::{
    AccountFilter, AccountKey, Grantee, Prototype, RepositoryRole, Standing, Team, TeamInvite, TeamKey,
    TeamRole,
};
use crate::metadata::{PageRequest, Visibility};
use crate::testing::{Instance, ensure};

pub(super) async fn a_team_is_made_once(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = store(instance);
    let (acme, other, mut devs) = commit!(store, |unit| {
        let acme = organization(unit, "acme").await?;
        let other = organization(unit, "other").await?;
        let mut devs = Team {
            description: TEXTS[0].to_owned(),
            ..new_team(acme, "devs", TeamRole::Creator)
        };
        devs.id = there(unit.insert_team(&devs).await?, "a new team")?;
        let again = unit.insert_team(&new_team(acme, "devs", TeamRole::Admin)).await?;
        ensure!(again.is_none(), "a team was made twice");
        for team in [
            new_team(other, "devs", TeamRole::Admin),
            new_team(acme, "Devs", TeamRole::Admin),
        ] {
            let id = unit.insert_team(&team).await?;
            ensure!(
                id.is_some_and(|id| id != devs.id),
                "another team's name is called taken"
            );
        }
        (acme, other, devs)
    });
    let mut reader = store.reader();
    for key in [TeamKey::Id(devs.id), TeamKey::Name(acme, "devs")] {
        let found = reader.team(key).await?;
        ensure!(found.as_ref() == Some(&devs), "by {key:?} the team is {found:?}");
    }
    for key in [
        TeamKey::Name(acme, "DEVS"),
        TeamKey::Name(acme, "devs "),
        TeamKey::Name(other, "Devs"),
        TeamKey::Id(devs.id + 1000),
    ] {
        let found = reader.team(key).await?;
        ensure!(found.is_none(), "by {key:?} there is {found:?}");
    }
    devs.role = TeamRole::Member;
    TEXTS[1].clone_into(&mut devs.description);
    commit!(store, |unit| {
        unit.save_team(&devs).await?;
        let seen = unit.team(TeamKey::Id(devs.id)).await?;
        ensure!(
            seen.as_ref() == Some(&devs),
            "a unit of work sees {seen:?} for the team that it saved"
        );
    });
    let found = reader.team(TeamKey::Id(devs.id)).await?;
    ensure!(found.as_ref() == Some(&devs), "a saved team is {found:?}");
    Ok(())
}

pub(super) async fn teams_are_paged_by_name(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = store(instance);
    let mut sorted = ["b", "a-b", "a.b", "a", "ab", "a0", "B", "a_b"];
    let acme = commit!(store, |unit| {
        let acme = organization(unit, "acme").await?;
        let other = organization(unit, "other").await?;
        let ann = user(unit, "ann").await?;
        let bob = user(unit, "bob").await?;
        let app = repository(unit, "acme/app", Visibility::Private).await?;
        for name in sorted {
            let members: &[i64] = if name == "ab" { &[ann, bob] } else { &[] };
            let id = team(unit, acme, name, TeamRole::Member, members).await?;
            if name == "a" {
                unit.set_grant(app, Grantee::Team(id), RepositoryRole::Read)
                    .await?;
            }
        }
        team(unit, other, "aa", TeamRole::Member, &[ann]).await?;
        acme
    });
    sorted.sort_unstable();
    let mut reader = store.reader();
    for size in [1, 3, 100] {
        let found = by_pages!(size, |page| reader.teams(acme, &page), |last| {
            last.team.name.clone()
        });
        let names: Vec<_> = found.iter().map(|summary| summary.team.name.as_str()).collect();
        ensure!(names == sorted, "by pages of {size} the teams are {names:?}");
        for summary in &found {
            let name = summary.team.name.as_str();
            let expected = (i64::from(name == "ab") * 2, i64::from(name == "a"));
            let seen = (summary.members, summary.repositories);
            ensure!(
                seen == expected,
                "{name} has {seen:?} members and repositories, not {expected:?}"
            );
        }
    }
    Ok(())
}

pub(super) async fn members_join_and_leave_once(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = store(instance);
    let mut unit = store.begin_accounts().await?;
    let accounts = unit.accounts();
    let acme = organization(accounts, "acme").await?;
    let other = organization(accounts, "other").await?;
    let ann = user(accounts, "ann").await?;
    let zeds = team(accounts, acme, "zeds", TeamRole::Member, &[]).await?;
    let devs = team(accounts, acme, "devs", TeamRole::Member, &[]).await?;
    let theirs = team(accounts, other, "theirs", TeamRole::Member, &[]).await?;
    for (team, expected) in [(zeds, true), (devs, true), (theirs, true), (devs, false)] {
        let joined = accounts.add_member(team, ann).await?;
        ensure!(joined == expected, "joining said {joined}");
    }
    for (organization, expected) in [
        (Some(acme), vec!["devs", "zeds"]),
        (Some(other), vec!["theirs"]),
        (None, vec!["zeds", "devs", "theirs"]),
    ] {
        let teams = accounts.teams_of(ann, organization).await?;
        let found: Vec<_> = teams.iter().map(|team| team.name.as_str()).collect();
        ensure!(found == expected, "in {organization:?} she is in {found:?}");
    }
    for expected in [true, false] {
        let left = accounts.remove_member(devs, ann).await?;
        ensure!(left == expected, "leaving said {left}");
    }
    let teams = accounts.teams_of(ann, Some(acme)).await?;
    ensure!(
        teams.len() == 1 && teams[0].id == zeds,
        "after leaving one team she is in {teams:?}"
    );
    unit.commit().await?;
    let found = store
        .reader()
        .accounts(AccountFilter::MembersOf(acme), &PageRequest::new(None, 9))
        .await?;
    ensure!(names(&found) == ["ann"], "the members are {:?}", names(&found));
    Ok(())
}

pub(super) async fn racing_members_join_once(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = store(instance);
    let (devs, ann) = commit!(store, |unit| {
        let acme = organization(unit, "acme").await?;
        let ann = user(unit, "ann").await?;
        let devs = team(unit, acme, "devs", TeamRole::Member, &[]).await?;
        (devs, ann)
    });
    let racing = &store;
    let joined = raced(|_| async move {
        let mut unit = racing.begin_accounts().await?;
        let joined = unit.accounts().add_member(devs, ann).await?;
        unit.commit().await?;
        Ok(joined)
    })
    .await?;
    let winners = joined.iter().filter(|joined| **joined).count();
    ensure!(winners == 1, "{winners} of 8 at once made her a member");
    Ok(())
}

fn invite(team: i64, account: Option<i64>, inviter: i64, code: &str) -> TeamInvite {
    TeamInvite {
        id: 0,
        team,
        account,
        email: account.is_none().then(|| "grüße@example.com".to_owned()),
        inviter,
        code: code.to_owned(),
    }
}

pub(super) async fn invitations_are_listed_oldest_first(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = store(instance);
    let devs = commit!(store, |unit| {
        let acme = organization(unit, "acme").await?;
        let ann = user(unit, "ann").await?;
        let bob = user(unit, "bob").await?;
        let devs = team(unit, acme, "devs", TeamRole::Member, &[]).await?;
        let other = team(unit, acme, "other", TeamRole::Member, &[]).await?;
        for (team, account, code) in [
            (devs, Some(bob), "z"),
            (other, Some(bob), "y"),
            (devs, None, "a"),
            (devs, None, "m"),
        ] {
            unit.insert_invite(&invite(team, account, ann, code)).await?;
        }
        let mut expected = invite(devs, Some(bob), ann, "z");
        let found = there(unit.invite("z").await?, "an invitation")?;
        expected.id = found.id;
        ensure!(
            found.id != 0 && found == expected,
            "an invitation came back as {found:?}"
        );
        let found = there(unit.invite("a").await?, "an invitation")?;
        ensure!(
            found.account.is_none() && found.email.as_deref() == Some("grüße@example.com"),
            "an invitation by mail came back as {found:?}"
        );
        devs
    });
    let mut reader = store.reader();
    ensure!(reader.invite("Z").await?.is_none(), "a code is found in capitals");
    let invites = reader.invites(devs).await?;
    let codes: Vec<_> = invites.iter().map(|invite| invite.code.as_str()).collect();
    ensure!(codes == ["z", "a", "m"], "the invitations are {codes:?}");
    commit!(store, |unit| {
        for expected in [true, false] {
            let deleted = unit.delete_invite(invites[1].id).await?;
            ensure!(deleted == expected, "removing an invitation said {deleted}");
        }
    });
    let left = reader.invites(devs).await?.len();
    ensure!(left == 2, "of 3 invitations without one {left} are left");
    Ok(())
}

pub(super) async fn invitations_are_paged_by_id(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = store(instance);
    let devs = commit!(store, |unit| {
        let acme = organization(unit, "acme").await?;
        let ann = user(unit, "ann").await?;
        let devs = team(unit, acme, "devs", TeamRole::Member, &[]).await?;
        let others = team(unit, acme, "others", TeamRole::Member, &[]).await?;
        for (team, code) in [(devs, "z"), (others, "y"), (devs, "a"), (devs, "m")] {
            unit.insert_invite(&invite(team, None, ann, code)).await?;
        }
        devs
    });
    let mut reader = store.reader();
    for size in [1, 2, 9] {
        let found = by_pages!(size, |page| reader.invites_paged(devs, &page), |last| last.id);
        let codes: Vec<_> = found.iter().map(|invite| invite.code.as_str()).collect();
        ensure!(
            codes == ["z", "a", "m"],
            "by pages of {size} the invitations are {codes:?}"
        );
    }
    Ok(())
}

pub(super) async fn a_deleted_team_takes_everything_along(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = store(instance);
    let mut unit = store.begin_accounts().await?;
    let accounts = unit.accounts();
    let acme = organization(accounts, "acme").await?;
    let ann = user(accounts, "ann").await?;
    let app = repository(accounts, "acme/app", Visibility::Private).await?;
    let devs = team(accounts, acme, "devs", TeamRole::Admin, &[ann]).await?;
    accounts
        .set_grant(app, Grantee::Team(devs), RepositoryRole::Admin)
        .await?;
    accounts.insert_invite(&invite(devs, None, ann, "code")).await?;
    accounts
        .insert_prototype(&Prototype {
            id: 0,
            uuid: token("prototype"),
            organization: acme,
            activating: None,
            delegate: Grantee::Team(devs),
            role: RepositoryRole::Read,
        })
        .await?;
    accounts.delete_team(devs).await?;
    let team = accounts.team(TeamKey::Id(devs)).await?;
    ensure!(team.is_none(), "a deleted team is there");
    let standing = accounts.standing(ann, "acme", Some(app)).await?;
    ensure!(
        standing == Standing::none(),
        "through a deleted team there is {standing:?}"
    );
    let members = accounts
        .accounts(AccountFilter::MembersOf(acme), &PageRequest::new(None, 9))
        .await?;
    ensure!(members.is_empty(), "a deleted team has {:?}", names(&members));
    ensure!(
        accounts.invite("code").await?.is_none(),
        "an invitation to a deleted team is open"
    );
    ensure!(
        accounts.prototypes(acme).await?.is_empty(),
        "a deleted team is given a role by default"
    );
    unit.commit().await?;
    Ok(())
}

pub(super) async fn who_administers_is_told(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = store(instance);
    let mut unit = store.begin_accounts().await?;
    let accounts = unit.accounts();
    let acme = organization(accounts, "acme").await?;
    let other = organization(accounts, "other").await?;
    let ann = user(accounts, "ann").await?;
    let bob = user(accounts, "bob").await?;
    team(accounts, acme, "members", TeamRole::Creator, &[ann, bob]).await?;
    team(accounts, other, "owners", TeamRole::Admin, &[ann, bob]).await?;
    ensure!(
        !accounts.has_admin(acme, None).await?,
        "a member, or another organization's administrator, is called one"
    );
    let owners = team(accounts, acme, "owners", TeamRole::Admin, &[ann]).await?;
    ensure!(accounts.has_admin(acme, None).await?, "ann administers");
    ensure!(
        !accounts.has_admin(acme, Some(ann)).await?,
        "ann is counted although she is not to be"
    );
    accounts.add_member(owners, bob).await?;
    ensure!(accounts.has_admin(acme, Some(ann)).await?, "bob administers");
    let mut disabled = there(accounts.account(AccountKey::Id(bob)).await?, "bob")?;
    disabled.enabled = false;
    accounts.save_account(&disabled).await?;
    ensure!(
        !accounts.has_admin(acme, Some(ann)).await?,
        "somebody who is switched off administers"
    );
    Ok(())
}
