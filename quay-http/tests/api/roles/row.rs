//! A line of the table: a request, who may make it, and what comes of it.

use super::role::Role;

/// Who an operation is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    /// Whoever asks.
    Anybody,
    /// Whoever is known, through a token of any scope too.
    Known,
    /// Users, and tokens that may see the account.
    UserReader,
    /// Users, and tokens that may change the account.
    User,
    /// Users with a session.
    Session,
    /// Members of the organization, and tokens that may act in it.
    OrganizationMember,
    /// As [`OrganizationMember`](Self::OrganizationMember), and superusers.
    OrganizationMemberOrSuperuser,
    /// Members of the team `members`, and administrators of the organization.
    TeamMember,
    /// Administrators of the organization, and with it of its repositories.
    OrganizationAdmin,
    /// Those with a role in `org/app`, and tokens that may read repositories.
    RepositoryReader,
    /// As [`RepositoryReader`](Self::RepositoryReader), and robots by name and token.
    RepositoryPuller,
    /// Those who may write to `org/app`, and tokens that may.
    RepositoryWriter,
    /// Those who see whatever there is in the organization.
    NamespaceReader,
    /// Those who may create in the organization.
    NamespaceCreator,
    /// Users, and tokens that may create repositories.
    OwnNamespace,
    /// Administrators of the repository, and superusers.
    RepositoryAdminOrSuperuser,
    Superuser,
    /// Superusers where they have every right, which is not the default.
    FullSuperuser,
}

impl Who {
    pub(super) const fn includes(self, role: Role) -> bool {
        match self {
            Self::Anybody => true,
            Self::Known => role.is_known(),
            Self::UserReader => role.is_known() && !matches!(role, Role::RepoReadToken),
            Self::User => role.is_known() && !matches!(role, Role::RepoReadToken | Role::UserReadToken),
            Self::Session => role.is_session(),
            Self::OrganizationMember => {
                matches!(role, Role::Member | Role::Creator | Role::Admin | Role::Token)
            }
            Self::OrganizationMemberOrSuperuser => {
                Self::OrganizationMember.includes(role) || Self::Superuser.includes(role)
            }
            Self::TeamMember => matches!(role, Role::Member | Role::Admin | Role::Token),
            Self::OrganizationAdmin => matches!(role, Role::Admin | Role::Token),
            Self::RepositoryReader => {
                matches!(
                    role,
                    Role::Member | Role::Admin | Role::Token | Role::RepoReadToken
                )
            }
            Self::RepositoryPuller => Self::RepositoryReader.includes(role) || matches!(role, Role::Robot),
            Self::RepositoryWriter => Self::OrganizationAdmin.includes(role),
            Self::NamespaceReader => matches!(role, Role::Admin | Role::Token | Role::RepoReadToken),
            Self::NamespaceCreator => matches!(role, Role::Creator | Role::Admin | Role::Token),
            Self::OwnNamespace => Self::User.includes(role),
            Self::RepositoryAdminOrSuperuser => {
                Self::OrganizationAdmin.includes(role) || Self::Superuser.includes(role)
            }
            Self::Superuser => matches!(role, Role::Superuser | Role::SuperToken),
            Self::FullSuperuser => false,
        }
    }
}

/// How somebody is refused who is known but not allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Denial {
    /// 403 with the type `insufficient_scope`.
    Typed,
    /// 403 with a message.
    Bare,
    /// 401, as for nobody.
    Unknown,
}

/// An entry of the action log: `$me` in it is the caller's name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) kind: &'static str,
    pub(super) account: &'static str,
    pub(super) performer: &'static str,
    /// The names of what is told besides, those about the token apart.
    pub(super) metadata: &'static [&'static str],
}

/// A request. `$me` in path and body is the caller's name.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) id: &'static str,
    pub(super) method: &'static str,
    path: &'static str,
    pub(super) body: &'static str,
    pub(super) who: Who,
    pub(super) denial: Denial,
    pub(super) status: u16,
    pub(super) entries: Vec<Entry>,
    /// Those who are let in and whose request succeeds as well, where that is not everybody.
    pub(super) only: Option<&'static [Role]>,
    /// What is answered about the same thing of somebody else's.
    pub(super) foreign: Option<u16>,
    /// Whether it works on an empty registry and nowhere else.
    pub(super) on_empty: bool,
}

pub(super) fn row(id: &'static str, method: &'static str, path: &'static str, who: Who, status: u16) -> Row {
    Row {
        id,
        method,
        path,
        body: "",
        who,
        denial: Denial::Typed,
        status,
        entries: Vec::new(),
        only: None,
        foreign: None,
        on_empty: false,
    }
}

impl Row {
    pub(super) fn body(mut self, body: &'static str) -> Self {
        self.body = body;
        self
    }

    pub(super) const fn denial(mut self, denial: Denial) -> Self {
        self.denial = denial;
        self
    }

    /// Adds an entry about an account, by the caller.
    pub(super) fn log(
        self,
        kind: &'static str,
        account: &'static str,
        metadata: &'static [&'static str],
    ) -> Self {
        self.log_by(kind, account, "$me", metadata)
    }

    pub(super) fn log_by(
        mut self,
        kind: &'static str,
        account: &'static str,
        performer: &'static str,
        metadata: &'static [&'static str],
    ) -> Self {
        self.entries.push(Entry {
            kind,
            account,
            performer,
            metadata,
        });
        self
    }

    pub(super) const fn only(mut self, roles: &'static [Role]) -> Self {
        self.only = Some(roles);
        self
    }

    pub(super) const fn foreign(mut self, status: u16) -> Self {
        self.foreign = Some(status);
        self
    }

    pub(super) const fn on_empty(mut self) -> Self {
        self.on_empty = true;
        self
    }

    pub(super) fn is_read(&self) -> bool {
        self.method == "GET"
    }

    pub(super) fn succeeds_for(&self, role: Role) -> bool {
        self.who.includes(role) && self.only.is_none_or(|only| only.contains(&role))
    }

    /// The path as somebody asks for it.
    pub(super) fn path_of(&self, name: &str) -> String {
        format!("/api/v1{}", self.path.replace("$me", name))
    }
}
