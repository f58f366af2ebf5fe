use proptest::prelude::*;

use super::*;

fn known() -> Known {
    Known {
        account_enabled: true,
        namespace_enabled: true,
        read_only: false,
        standing: Standing::none(),
        teams: Vec::new(),
        repository: Some((Visibility::Private, RepositoryState::Normal)),
    }
}

/// Somebody in teams, with the standing that follows from them.
fn in_teams(teams: &[(TeamRole, Option<RepositoryRole>)]) -> Known {
    let mut known = known();
    for (number, &(role, in_repository)) in teams.iter().enumerate() {
        known.standing.add_team(role);
        if let Some(role) = in_repository {
            known.standing.add_grant(true, role);
        }
        known.teams.push(KnownTeam {
            name: format!("team{number}"),
            role,
            in_repository,
        });
    }
    known
}

fn shown(action: RepositoryAction, known: &Known) -> (bool, Vec<String>) {
    let found = explain(action, known);
    let show = |reason: &Reason| {
        let parts = [Some(reason.kind.as_str()), reason.role, reason.team.as_deref()];
        parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
    };
    (found.allowed, found.reasons.iter().map(show).collect())
}

#[test]
fn reasons() {
    use RepositoryAction::{Admin, Create, Pull, Push};

    let direct = |role| {
        let mut known = known();
        known.standing.add_grant(false, role);
        known
    };
    let mut own = known();
    own.standing.own_namespace = true;
    let mut superuser = known();
    superuser.standing.superuser = true;
    let public = Known {
        repository: Some((Visibility::Public, RepositoryState::Normal)),
        ..known()
    };
    let missing = |known: Known| Known {
        repository: None,
        ..known
    };
    let writer = direct(RepositoryRole::Write);
    let off = Known {
        account_enabled: false,
        ..writer.clone()
    };
    let namespace_off = Known {
        namespace_enabled: false,
        ..own.clone()
    };
    let mirror = |known: Known| Known {
        repository: Some((Visibility::Private, RepositoryState::Mirror)),
        ..known
    };
    let read_only = Known {
        read_only: true,
        ..own.clone()
    };
    let creator = in_teams(&[(TeamRole::Creator, Some(RepositoryRole::Read))]);
    let several = in_teams(&[
        (TeamRole::Member, Some(RepositoryRole::Write)),
        (TeamRole::Admin, None),
    ]);
    for (action, known, allowed, reasons) in [
        (Pull, known(), false, &["no_permission"][..]),
        (Pull, public.clone(), true, &["public read"]),
        (Push, public, false, &["no_permission"]),
        (Pull, writer.clone(), true, &["direct write"]),
        (Push, writer.clone(), true, &["direct write"]),
        (Admin, writer.clone(), false, &["direct write", "no_permission"]),
        (Create, writer.clone(), false, &["no_permission"]),
        (Admin, own.clone(), true, &["own_namespace admin"]),
        (Create, own.clone(), true, &["own_namespace admin"]),
        (Push, missing(own.clone()), true, &["own_namespace admin"]),
        (Pull, missing(known()), false, &["no_permission"]),
        (Admin, superuser, true, &["superuser admin"]),
        (Pull, creator.clone(), true, &["team read team0"]),
        (
            Push,
            creator.clone(),
            false,
            &["team read team0", "no_permission"],
        ),
        (Create, creator.clone(), true, &["team_role creator team0"]),
        (Push, missing(creator), true, &["team_role creator team0"]),
        (
            Push,
            several.clone(),
            true,
            &["team write team0", "team_role admin team1"],
        ),
        (Admin, several, true, &["team_role admin team1"]),
        (Pull, off, false, &["direct write", "disabled"]),
        (
            Push,
            namespace_off.clone(),
            false,
            &["own_namespace admin", "namespace_disabled"],
        ),
        (Admin, namespace_off, true, &["own_namespace admin"]),
        (
            Push,
            mirror(own.clone()),
            false,
            &["own_namespace admin", "state"],
        ),
        (Pull, mirror(own), true, &["own_namespace admin"]),
        // The state of what one may not see is not told.
        (Push, mirror(known()), false, &["no_permission"]),
        (
            Create,
            read_only.clone(),
            false,
            &["own_namespace admin", "state"],
        ),
        (Pull, read_only, true, &["own_namespace admin"]),
    ] {
        let reasons: Vec<String> = reasons.iter().map(|&text| text.to_owned()).collect();
        assert_eq!(shown(action, &known), (allowed, reasons), "{action:?} {known:?}");
    }
}

#[test]
fn what_cannot_be_seen_looks_like_what_is_not_there() {
    for &action in RepositoryAction::ALL {
        for (known, read_only) in [
            (known(), false),
            (known(), true),
            (in_teams(&[(TeamRole::Member, None)]), false),
        ] {
            let known = Known { read_only, ..known };
            let hidden = explain(action, &known);
            let missing = explain(
                action,
                &Known {
                    repository: None,
                    ..known
                },
            );
            assert!(!hidden.allowed && !missing.allowed);
            assert_eq!(hidden, missing, "{action:?}");
        }
    }
}

fn repository_role() -> impl Strategy<Value = Option<RepositoryRole>> {
    prop::sample::select(vec![
        None,
        Some(RepositoryRole::Read),
        Some(RepositoryRole::Write),
        Some(RepositoryRole::Admin),
    ])
}

fn team() -> impl Strategy<Value = (TeamRole, Option<RepositoryRole>)> {
    let roles = vec![TeamRole::Member, TeamRole::Creator, TeamRole::Admin];
    (prop::sample::select(roles), repository_role())
}

proptest! {
    /// Allowed is what the rules of rights allow, and somebody is told why.
    #[test]
    fn it_is_what_the_rights_say(
        own: bool,
        superuser: bool,
        direct in repository_role(),
        teams in prop::collection::vec(team(), 0..4),
        public: bool,
        there: bool,
        action in prop::sample::select(RepositoryAction::ALL),
    ) {
        let mut known = in_teams(&teams);
        known.standing.own_namespace = own;
        known.standing.superuser = superuser;
        known.standing.direct = direct.filter(|_| there);
        let visibility = if public { Visibility::Public } else { Visibility::Private };
        known.repository = there.then_some((visibility, RepositoryState::Normal));
        let role = known.standing.repository(Reach::Full);
        let creates = known.standing.may_create(Reach::Full);
        let expected = match action {
            RepositoryAction::Pull => there && (public || role.is_some()),
            RepositoryAction::Push if there => role >= Some(RepositoryRole::Write),
            RepositoryAction::Admin => there && role == Some(RepositoryRole::Admin),
            RepositoryAction::Push | RepositoryAction::Create => creates,
        };
        let found = explain(action, &known);
        prop_assert_eq!(found.allowed, expected);
        let refused = found.reasons.iter().any(|reason| reason.kind == ReasonKind::NoPermission);
        prop_assert_eq!(refused, !expected);
        prop_assert!(!found.reasons.is_empty());
    }
}
