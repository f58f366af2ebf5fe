//! Why somebody may or may not do something with a repository.

use super::facade::{Accounts, Actor, not_found, refuse};
use super::record::{Grantee, Team};
use super::rights::{Reach, Standing};
use super::role::{RepositoryRole, TeamRole};
use super::store::AccountKey;
use crate::caller::Caller;
use crate::error::Error;
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::metadata::{RepositoryState, Visibility};
use crate::name::RepositoryName;

/// What might be done with a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RepositoryAction {
    /// Pulling from it.
    Pull,
    /// Pushing to it. Pushing to a repository that is not there makes it.
    Push,
    /// Changing its settings and permissions.
    Admin,
    /// Making a repository in the namespace.
    Create,
}

impl RepositoryAction {
    /// Every action.
    pub const ALL: &'static [Self] = &[Self::Pull, Self::Push, Self::Admin, Self::Create];

    /// The name in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Admin => "admin",
            Self::Create => "create",
        }
    }

    /// The action of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|action| action.as_str() == name)
    }

    /// The role in the repository that it takes; `None` where it takes one in the namespace.
    const fn needed(self) -> Option<RepositoryRole> {
        match self {
            Self::Pull => Some(RepositoryRole::Read),
            Self::Push => Some(RepositoryRole::Write),
            Self::Admin => Some(RepositoryRole::Admin),
            Self::Create => None,
        }
    }
}

/// One of the account's teams in the organization.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "what was looked up")]
pub struct KnownTeam {
    /// Its name.
    pub name: String,
    /// Its role in the organization.
    pub role: TeamRole,
    /// The role that it was given in the repository.
    pub in_repository: Option<RepositoryRole>,
}

/// What was looked up about an account and a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "what was looked up")]
pub struct Known {
    /// Whether the account, and the owner of a robot, may act at all.
    pub account_enabled: bool,
    /// Whether the namespace is switched on.
    pub namespace_enabled: bool,
    /// Whether the registry takes no writes.
    pub read_only: bool,
    /// What counts.
    pub standing: Standing,
    /// Where the part of it comes from that teams gave.
    pub teams: Vec<KnownTeam>,
    /// The repository, if there is one.
    pub repository: Option<(Visibility, RepositoryState)>,
}

/// Where a right comes from, or what stands in its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReasonKind {
    /// The namespace is the account's own.
    OwnNamespace,
    /// The account is a superuser where superusers have every right.
    Superuser,
    /// A role that was given to the account.
    Direct,
    /// A role that was given to a team.
    Team,
    /// What a team's role in the organization brings.
    TeamRole,
    /// Everybody may pull.
    Public,
    /// The account is switched off.
    Disabled,
    /// The namespace is switched off.
    NamespaceDisabled,
    /// The repository or the registry takes no writes.
    State,
    /// Nothing gives the right.
    NoPermission,
}

impl ReasonKind {
    /// The name in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OwnNamespace => "own_namespace",
            Self::Superuser => "superuser",
            Self::Direct => "direct",
            Self::Team => "team",
            Self::TeamRole => "team_role",
            Self::Public => "public",
            Self::Disabled => "disabled",
            Self::NamespaceDisabled => "namespace_disabled",
            Self::State => "state",
            Self::NoPermission => "no_permission",
        }
    }
}

/// One reason.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reason {
    /// Which.
    pub kind: ReasonKind,
    /// The role that it is about, in the repository or the organization.
    pub role: Option<&'static str>,
    /// The team that it is about.
    pub team: Option<String>,
    /// The same in words.
    pub detail: String,
}

impl Reason {
    fn new(kind: ReasonKind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            role: None,
            team: None,
            detail: detail.into(),
        }
    }

    fn of_role(mut self, role: &'static str) -> Self {
        self.role = Some(role);
        self
    }

    fn of_team(mut self, team: &str) -> Self {
        self.team = Some(team.to_owned());
        self
    }
}

/// Whether something may be done, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explanation {
    /// Whether it may.
    pub allowed: bool,
    /// Where the right comes from; what stands in its way, after what there is in favour.
    pub reasons: Vec<Reason>,
}

/// Judges what was looked up. Whether it is allowed follows from [`Standing`] alone, as it does where it is
/// done.
#[must_use]
pub fn explain(asked: RepositoryAction, known: &Known) -> Explanation {
    let standing = &known.standing;
    let action = match (asked, known.repository) {
        (RepositoryAction::Push, None) => RepositoryAction::Create,
        _ => asked,
    };
    let is_public = known
        .repository
        .is_some_and(|(visibility, _)| visibility == Visibility::Public);
    let has_right = match action.needed() {
        None => standing.may_create(Reach::Full),
        Some(RepositoryRole::Read) if is_public => true,
        Some(needed) => known.repository.is_some() && standing.repository(Reach::Full) >= Some(needed),
    };
    // What somebody may not see must look like what is not there.
    let is_visible = is_public || standing.repository(Reach::Full).is_some();
    let mut reasons = if asked == RepositoryAction::Push && !has_right && !is_visible {
        Vec::new()
    } else {
        grants(action, known, is_public, has_right)
    };
    if !has_right {
        let detail = match action.needed() {
            Some(needed) if known.repository.is_some() && is_visible => {
                format!("nothing gives the account the role {}", needed.as_str())
            }
            _ => "nothing gives the account this right".to_owned(),
        };
        reasons.push(Reason::new(ReasonKind::NoPermission, detail));
    }
    let obstacles = obstacles(action, known, has_right);
    let allowed = has_right && obstacles.is_empty();
    reasons.extend(obstacles);
    Explanation { allowed, reasons }
}

/// What speaks for it: all that would be enough, or whatever there is where nothing is.
fn grants(action: RepositoryAction, known: &Known, is_public: bool, has_right: bool) -> Vec<Reason> {
    let standing = &known.standing;
    let admin = RepositoryRole::Admin;
    let mut found: Vec<(Reason, bool)> = Vec::new();
    if standing.own_namespace {
        let reason = Reason::new(ReasonKind::OwnNamespace, "the namespace is the account's own");
        found.push((reason.of_role(admin.as_str()), true));
    }
    if standing.superuser {
        let reason = Reason::new(ReasonKind::Superuser, "superusers have every right here");
        found.push((reason.of_role(admin.as_str()), true));
    }
    let Some(needed) = action.needed() else {
        for team in &known.teams {
            let detail = format!(
                "the team {} has the role {} in the organization",
                team.name,
                team.role.as_str()
            );
            let reason = Reason::new(ReasonKind::TeamRole, detail);
            let reason = reason.of_role(team.role.as_str()).of_team(&team.name);
            found.push((reason, team.role >= TeamRole::Creator));
        }
        return chosen(found, has_right);
    };
    if let Some(role) = standing.direct {
        let detail = format!(
            "the account was given the role {} in the repository",
            role.as_str()
        );
        let reason = Reason::new(ReasonKind::Direct, detail).of_role(role.as_str());
        found.push((reason, role >= needed));
    }
    for team in &known.teams {
        if let Some(role) = team.in_repository {
            let detail = format!(
                "the team {} was given the role {} in the repository",
                team.name,
                role.as_str()
            );
            let reason = Reason::new(ReasonKind::Team, detail);
            found.push((reason.of_role(role.as_str()).of_team(&team.name), role >= needed));
        }
        if team.role == TeamRole::Admin {
            let detail = format!("the team {} administers the organization", team.name);
            let reason = Reason::new(ReasonKind::TeamRole, detail);
            found.push((reason.of_role(team.role.as_str()).of_team(&team.name), true));
        }
    }
    if is_public && needed == RepositoryRole::Read {
        let reason = Reason::new(ReasonKind::Public, "the repository is public");
        found.push((reason.of_role(RepositoryRole::Read.as_str()), true));
    }
    chosen(found, has_right)
}

fn chosen(found: Vec<(Reason, bool)>, has_right: bool) -> Vec<Reason> {
    let kept = found.into_iter().filter(|(_, suffices)| *suffices || !has_right);
    kept.map(|(reason, _)| reason).collect()
}

/// What stands in the way of somebody who has the right.
fn obstacles(action: RepositoryAction, known: &Known, has_right: bool) -> Vec<Reason> {
    let mut found = Vec::new();
    if !known.account_enabled {
        found.push(Reason::new(
            ReasonKind::Disabled,
            "the account is switched off, or the owner of the robot is",
        ));
    }
    if !known.namespace_enabled && action != RepositoryAction::Admin {
        found.push(Reason::new(
            ReasonKind::NamespaceDisabled,
            "the namespace is switched off",
        ));
    }
    let writes = matches!(action, RepositoryAction::Push | RepositoryAction::Create);
    if writes && known.read_only {
        found.push(Reason::new(ReasonKind::State, "the registry takes no writes"));
    }
    // Nobody learns the state of a repository that they have no right to.
    if action == RepositoryAction::Push
        && has_right
        && let Some((_, state)) = known.repository
        && state != RepositoryState::Normal
    {
        found.push(Reason::new(ReasonKind::State, "the repository takes no pushes"));
    }
    found
}

impl Accounts {
    /// Why a user or robot may or may not do something with a repository, acting as themselves.
    ///
    /// Whoever administers the repository and superusers may ask about anybody, and everybody about
    /// themselves: they learn no more than by trying. Several lookups, not of one moment.
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`] for whoever may not ask; [`ErrorKind::NotFound`] when there is no such account,
    /// or no such repository where that may be told.
    pub async fn explain(
        &self,
        caller: &Caller,
        name: &RepositoryName,
        username: &str,
        action: RepositoryAction,
    ) -> Result<Explanation, Error> {
        let actor = self.actor(caller).await?;
        let record = self.live_repository(name).await?;
        let id = record.as_ref().map(|record| record.id);
        let own = self.standing(&actor, name.namespace(), id).await?;
        let administers = own.repository(actor.reach) == Some(RepositoryRole::Admin);
        let about_self =
            actor.account.name == username && actor.reach.repository() == Some(RepositoryRole::Admin);
        let superuser = self.acts_as_superuser(&actor);
        if !(administers || superuser || about_self) {
            return Err(refuse(caller));
        }
        let makes_it = matches!(action, RepositoryAction::Push | RepositoryAction::Create);
        if record.is_none() && !makes_it && (administers || superuser) {
            return Err(not_found());
        }
        let mut reader = self.reader();
        let account = reader.account(AccountKey::Name(username)).await?;
        let account = account
            .filter(|account| !account.is_organization())
            .ok_or_else(not_found)?;
        let owner = match account.owner {
            Some(owner) => reader.account(AccountKey::Id(owner)).await?,
            None => None,
        };
        let namespace = reader.account(AccountKey::Name(name.namespace())).await?;
        let teams: Vec<Team> = match &namespace {
            Some(namespace) => reader.teams_of(account.id, Some(namespace.id)).await?,
            None => Vec::new(),
        };
        let mut known_teams = Vec::with_capacity(teams.len());
        for team in teams {
            known_teams.push(KnownTeam {
                in_repository: match id {
                    Some(id) => reader.grant(id, Grantee::Team(team.id)).await?,
                    None => None,
                },
                name: team.name,
                role: team.role,
            });
        }
        let account_enabled = account.enabled && owner.is_none_or(|owner| owner.enabled);
        let subject = Actor {
            account,
            reach: Reach::Full,
        };
        let known = Known {
            account_enabled,
            namespace_enabled: namespace.is_none_or(|namespace| namespace.enabled),
            read_only: self.0.options.read_only,
            standing: self.standing(&subject, name.namespace(), id).await?,
            teams: known_teams,
            repository: record.map(|record| (record.visibility, record.state)),
        };
        Ok(explain(action, &known))
    }
}

#[cfg(test)]
mod tests;
