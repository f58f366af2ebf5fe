//! Roles and scopes: what somebody may be given.

use std::fmt;

macro_rules! ordered_names {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $name {
            /// Every value, in ascending order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name, as it is stored and sent.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// Reads a name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($text => Some(Self::$variant),)* _ => None }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(self.as_str())
            }
        }
    };
}

ordered_names! {
    /// What may be done in one repository; each role includes those before it.
    RepositoryRole {
        /// Pull.
        Read = "read",
        /// Push.
        Write = "write",
        /// Change settings and permissions, delete.
        Admin = "admin",
    }
}

ordered_names! {
    /// What a team's members may do in their organization; each role includes those before it.
    TeamRole {
        /// See the organization.
        Member = "member",
        /// Create repositories.
        Creator = "creator",
        /// Everything, every repository included.
        Admin = "admin",
    }
}

ordered_names! {
    /// What the holder of a token may do with their own account.
    UserRole {
        /// See name, e-mail address and organizations.
        Read = "read",
        /// Change it.
        Admin = "admin",
    }
}

/// A scope of OAuth tokens (`quay-api.md`, section 2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Scope {
    /// `repo:read`
    ReadRepo,
    /// `repo:write`
    WriteRepo,
    /// `repo:admin`
    AdminRepo,
    /// `repo:create`
    CreateRepo,
    /// `user:read`
    ReadUser,
    /// `user:admin`
    AdminUser,
    /// `org:admin`
    AdminOrganization,
    /// `super:user`
    Superuser,
}

impl Scope {
    /// Every scope.
    pub const ALL: &'static [Self] = &[
        Self::ReadRepo,
        Self::WriteRepo,
        Self::AdminRepo,
        Self::CreateRepo,
        Self::ReadUser,
        Self::AdminUser,
        Self::AdminOrganization,
        Self::Superuser,
    ];

    /// The scope as it is asked for.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReadRepo => "repo:read",
            Self::WriteRepo => "repo:write",
            Self::AdminRepo => "repo:admin",
            Self::CreateRepo => "repo:create",
            Self::ReadUser => "user:read",
            Self::AdminUser => "user:admin",
            Self::AdminOrganization => "org:admin",
            Self::Superuser => "super:user",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|scope| scope.as_str() == name)
    }

    /// Whether the consent page warns of it.
    #[must_use]
    pub const fn is_dangerous(self) -> bool {
        matches!(self, Self::AdminUser | Self::AdminOrganization | Self::Superuser)
    }

    /// A few words for the consent page.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::ReadRepo => "View all visible repositories",
            Self::WriteRepo => "Read/Write to any accessible repositories",
            Self::AdminRepo => "Administer Repositories",
            Self::CreateRepo => "Create Repositories",
            Self::ReadUser => "Read User Information",
            Self::AdminUser => "Administer User",
            Self::AdminOrganization => "Administer Organization",
            Self::Superuser => "Super User Access",
        }
    }

    /// What it lets an application do.
    #[must_use]
    pub const fn description(self) -> &'static str {
        match self {
            Self::ReadRepo => "The application can view and pull every repository that you can see",
            Self::WriteRepo => {
                "The application can view, push to and pull from every repository that you can push to"
            }
            Self::AdminRepo => {
                "The application has administrator access to every repository that you administer"
            }
            Self::CreateRepo => "The application can create repositories wherever you can",
            Self::ReadUser => {
                "The application can read your name, your e-mail address and your organizations"
            }
            Self::AdminUser => "The application can change your account, its robots, tokens and stars",
            Self::AdminOrganization => {
                "The application can administer your organizations: teams, robots, members, applications and logs"
            }
            Self::Superuser => {
                "The application can administer this installation: users, organizations and keys"
            }
        }
    }

    /// The icon that Quay's user interface shows.
    #[must_use]
    pub const fn icon(self) -> &'static str {
        match self {
            Self::ReadRepo => "fa-hdd-o",
            Self::WriteRepo | Self::CreateRepo => "fa-plus",
            Self::AdminRepo => "fa-sitemap",
            Self::ReadUser => "fa-user",
            Self::AdminUser | Self::AdminOrganization => "fa-gear",
            Self::Superuser => "fa-street-view",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// A set of scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ScopeSet(u8);

impl ScopeSet {
    /// Reads scopes separated by spaces or commas. One that is unknown makes the whole set empty, as does
    /// `super:user` where superusers are switched off (data-model, section 3).
    #[must_use]
    pub fn parse(text: &str, superusers: bool) -> Self {
        let mut set = Self::default();
        for name in text.split([' ', ',']).filter(|name| !name.is_empty()) {
            match Scope::from_name(name) {
                Some(Scope::Superuser) if !superusers => return Self::default(),
                Some(scope) => set.0 |= scope.bit(),
                None => return Self::default(),
            }
        }
        set
    }

    /// A set of these scopes.
    #[must_use]
    pub fn of(scopes: &[Scope]) -> Self {
        Self(scopes.iter().fold(0, |bits, scope| bits | scope.bit()))
    }

    /// Whether it holds no scope.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether it holds this scope itself.
    #[must_use]
    pub const fn contains(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }

    /// The set with everything that its scopes imply.
    #[must_use]
    pub const fn implied(self) -> Self {
        let mut bits = self.0;
        if bits & Scope::AdminRepo.bit() != 0 {
            bits |= Scope::WriteRepo.bit();
        }
        if bits & Scope::WriteRepo.bit() != 0 {
            bits |= Scope::ReadRepo.bit();
        }
        Self(bits)
    }

    /// Whether everything that `other` permits is permitted by this set.
    #[must_use]
    pub const fn covers(self, other: Self) -> bool {
        let (own, asked) = (self.implied().0, other.implied().0);
        own & asked == asked
    }

    /// Its scopes, in a fixed order.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL
            .iter()
            .copied()
            .filter(move |scope| self.contains(*scope))
    }

    /// The most that may be done in a repository.
    #[must_use]
    pub const fn repository_cap(self) -> Option<RepositoryRole> {
        if self.contains(Scope::AdminRepo) {
            Some(RepositoryRole::Admin)
        } else if self.contains(Scope::WriteRepo) {
            Some(RepositoryRole::Write)
        } else if self.contains(Scope::ReadRepo) {
            Some(RepositoryRole::Read)
        } else {
            None
        }
    }

    /// The most that may be done in an organization.
    #[must_use]
    pub const fn organization_cap(self) -> Option<TeamRole> {
        if self.contains(Scope::AdminOrganization) {
            Some(TeamRole::Admin)
        } else if self.contains(Scope::CreateRepo) {
            Some(TeamRole::Creator)
        } else {
            None
        }
    }

    /// The most that may be done with the account.
    #[must_use]
    pub const fn user_cap(self) -> Option<UserRole> {
        if self.contains(Scope::AdminUser) {
            Some(UserRole::Admin)
        } else if self.contains(Scope::ReadUser) {
            Some(UserRole::Read)
        } else {
            None
        }
    }
}

impl fmt::Display for ScopeSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, scope) in self.iter().enumerate() {
            if index > 0 {
                formatter.write_str(" ")?;
            }
            formatter.write_str(scope.as_str())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_unknown_scope_voids_all() {
        assert_eq!(
            ScopeSet::parse("repo:read, user:read", true).to_string(),
            "repo:read user:read"
        );
        assert!(ScopeSet::parse("repo:read repo:everything", true).is_empty());
        assert!(ScopeSet::parse("repo:read super:user", false).is_empty());
        assert!(ScopeSet::parse("direct_user_login", true).is_empty());
    }

    #[test]
    fn caps() {
        for (text, repository, organization, user) in [
            ("repo:read", Some(RepositoryRole::Read), None, None),
            ("repo:write", Some(RepositoryRole::Write), None, None),
            ("repo:admin", Some(RepositoryRole::Admin), None, None),
            ("repo:create", None, Some(TeamRole::Creator), None),
            ("user:read", None, None, Some(UserRole::Read)),
            ("user:admin", None, None, Some(UserRole::Admin)),
            ("org:admin", None, Some(TeamRole::Admin), None),
            ("super:user", None, None, None),
        ] {
            let set = ScopeSet::parse(text, true);
            assert_eq!(set.repository_cap(), repository, "{text}");
            assert_eq!(set.organization_cap(), organization, "{text}");
            assert_eq!(set.user_cap(), user, "{text}");
        }
    }

    #[test]
    fn implication_decides_what_is_granted_already() {
        let admin = ScopeSet::parse("repo:admin", true);
        assert!(admin.covers(ScopeSet::parse("repo:read repo:write", true)));
        assert!(!admin.covers(ScopeSet::parse("repo:create", true)));
        assert!(!ScopeSet::parse("user:admin", true).covers(ScopeSet::parse("user:read", true)));
    }
}
