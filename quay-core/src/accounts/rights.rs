//! Who may do what: the whole evaluation (data-model, section 3), as functions of what was looked up.

use super::role::{RepositoryRole, ScopeSet, TeamRole, UserRole};

/// Through what somebody acts, and how far that reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[expect(clippy::exhaustive_enums, reason = "in full, or limited")]
pub enum Reach {
    /// As themselves: everything that they may do.
    #[default]
    Full,
    /// Through a token: what the scopes permit and they may do.
    Scopes(ScopeSet),
}

impl Reach {
    /// The most that may be done in a repository.
    #[must_use]
    pub const fn repository(self) -> Option<RepositoryRole> {
        match self {
            Self::Full => Some(RepositoryRole::Admin),
            Self::Scopes(scopes) => scopes.repository_cap(),
        }
    }

    /// The most that may be done in an organization.
    #[must_use]
    pub const fn organization(self) -> Option<TeamRole> {
        match self {
            Self::Full => Some(TeamRole::Admin),
            Self::Scopes(scopes) => scopes.organization_cap(),
        }
    }

    /// The most that may be done with one's own account.
    #[must_use]
    pub const fn user(self) -> Option<UserRole> {
        match self {
            Self::Full => Some(UserRole::Admin),
            Self::Scopes(scopes) => scopes.user_cap(),
        }
    }

    /// Whether a superuser may act as one.
    #[must_use]
    pub const fn superuser(self) -> bool {
        match self {
            Self::Full => true,
            Self::Scopes(scopes) => scopes.contains(super::role::Scope::Superuser),
        }
    }
}

/// What is known of somebody with regard to a namespace and, perhaps, one of its repositories.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Standing {
    /// Whether the namespace is named exactly like the caller.
    pub own_namespace: bool,
    /// The role that was given to the caller in the repository.
    pub direct: Option<RepositoryRole>,
    /// The highest role that was given to one of the caller's teams in the repository.
    pub by_team: Option<RepositoryRole>,
    /// The highest role of one of the caller's teams in the organization.
    pub team_role: Option<TeamRole>,
    /// Whether a superuser has every right in this installation, and the caller is one.
    pub superuser: bool,
}

impl Standing {
    /// Nothing is known that would give a right.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Adds a role in the repository, given to the caller or one of their teams.
    pub fn add_grant(&mut self, by_team: bool, role: RepositoryRole) {
        let place = if by_team {
            &mut self.by_team
        } else {
            &mut self.direct
        };
        *place = (*place).max(Some(role));
    }

    /// Adds the role of a team that the caller belongs to.
    pub fn add_team(&mut self, role: TeamRole) {
        self.team_role = self.team_role.max(Some(role));
    }

    /// What the caller may do in the repository, visibility apart.
    #[must_use]
    pub fn repository(&self, reach: Reach) -> Option<RepositoryRole> {
        let admin = self.own_namespace || self.superuser || self.team_role == Some(TeamRole::Admin);
        let own = if admin {
            Some(RepositoryRole::Admin)
        } else {
            self.direct.max(self.by_team)
        };
        own.min(reach.repository())
    }

    /// What the caller may do in the namespace. The owner of a namespace administers it.
    #[must_use]
    pub fn organization(&self, reach: Reach) -> Option<TeamRole> {
        let own = if self.own_namespace || self.superuser {
            Some(TeamRole::Admin)
        } else {
            self.team_role
        };
        own.min(reach.organization())
    }

    /// Whether the caller may create repositories in the namespace.
    #[must_use]
    pub fn may_create(&self, reach: Reach) -> bool {
        self.organization(reach) >= Some(TeamRole::Creator)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::accounts::role::Scope;

    const REPOSITORY: [Option<RepositoryRole>; 4] = [
        None,
        Some(RepositoryRole::Read),
        Some(RepositoryRole::Write),
        Some(RepositoryRole::Admin),
    ];
    const TEAM: [Option<TeamRole>; 4] = [
        None,
        Some(TeamRole::Member),
        Some(TeamRole::Creator),
        Some(TeamRole::Admin),
    ];

    /// Everything that can be known, with what follows from it.
    #[test]
    fn table() {
        for direct in REPOSITORY {
            for by_team in REPOSITORY {
                for team_role in TEAM {
                    let standing = Standing {
                        direct,
                        by_team,
                        team_role,
                        ..Standing::none()
                    };
                    let expected = match team_role {
                        Some(TeamRole::Admin) => Some(RepositoryRole::Admin),
                        _ => direct.max(by_team),
                    };
                    assert_eq!(standing.repository(Reach::Full), expected, "{standing:?}");
                    assert_eq!(standing.organization(Reach::Full), team_role, "{standing:?}");
                    let creates = matches!(team_role, Some(TeamRole::Creator | TeamRole::Admin));
                    assert_eq!(standing.may_create(Reach::Full), creates, "{standing:?}");
                }
            }
        }
    }

    #[test]
    fn owners_and_superusers() {
        let own = Standing {
            own_namespace: true,
            ..Standing::none()
        };
        assert_eq!(own.repository(Reach::Full), Some(RepositoryRole::Admin));
        assert!(own.may_create(Reach::Full));
        let superuser = Standing {
            superuser: true,
            ..Standing::none()
        };
        assert_eq!(superuser.repository(Reach::Full), Some(RepositoryRole::Admin));
        assert_eq!(Standing::none().repository(Reach::Full), None);
        assert!(!Standing::none().may_create(Reach::Full));
    }

    #[test]
    fn a_token_reaches_no_further_than_its_scopes() {
        let own = Standing {
            own_namespace: true,
            ..Standing::none()
        };
        for (scope, repository, organization) in [
            (Scope::ReadRepo, Some(RepositoryRole::Read), None),
            (Scope::WriteRepo, Some(RepositoryRole::Write), None),
            (Scope::AdminRepo, Some(RepositoryRole::Admin), None),
            (Scope::CreateRepo, None, Some(TeamRole::Creator)),
            (Scope::ReadUser, None, None),
            (Scope::AdminUser, None, None),
            (Scope::AdminOrganization, None, Some(TeamRole::Admin)),
            (Scope::Superuser, None, None),
        ] {
            let reach = Reach::Scopes(ScopeSet::of(&[scope]));
            assert_eq!(own.repository(reach), repository, "{scope:?}");
            assert_eq!(own.organization(reach), organization, "{scope:?}");
        }
    }

    proptest! {
        #[test]
        fn more_scopes_never_permit_less(bits in 0_u8..=255, more in 0_u8..=255, own: bool, superuser: bool) {
            let set = |bits: u8| {
                let scopes: Vec<_> = Scope::ALL.iter().copied().enumerate()
                    .filter(|(index, _)| bits & (1 << index) != 0).map(|(_, scope)| scope).collect();
                Reach::Scopes(ScopeSet::of(&scopes))
            };
            let standing = Standing { own_namespace: own, superuser, ..Standing::none() };
            let (less, more) = (set(bits), set(bits | more));
            prop_assert!(standing.repository(less) <= standing.repository(more));
            prop_assert!(standing.organization(less) <= standing.organization(more));
            prop_assert!(standing.repository(more) <= standing.repository(Reach::Full));
        }
    }
}
