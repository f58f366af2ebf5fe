//! Who is calling: a value that accompanies every operation.

use std::net::IpAddr;
use std::sync::Arc;

use crate::accounts::{RepositoryRole, ScopeSet};
use crate::auth::Identity;
use crate::runtime::Timestamp;

/// Who somebody has been proven to be.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Principal {
    /// Nobody in particular.
    Anonymous,
    /// A person.
    User(Arc<str>),
    /// A robot account, by its full name `namespace+short`.
    Robot(Arc<str>),
    /// Whoever holds a repository's access token, by the token's name.
    Token(Arc<str>),
    /// The registry itself: a worker or an administrator's command.
    System,
}

impl Principal {
    /// A stable text that tells principals apart; upload sessions are bound to it.
    #[must_use]
    pub fn binding(&self) -> String {
        match self {
            Self::Anonymous => "anonymous".to_owned(),
            Self::User(name) => format!("user:{name}"),
            Self::Robot(name) => format!("robot:{name}"),
            Self::Token(name) => format!("token:{name}"),
            Self::System => "system".to_owned(),
        }
    }
}

/// What kind of credential proved the principal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum CredentialKind {
    /// No credential was shown.
    #[default]
    None,
    /// A user's password.
    Password,
    /// A robot account's token.
    RobotToken,
    /// A repository access token (`$token`).
    AccessToken,
    /// An OAuth access token (`$oauthtoken`).
    OAuthToken,
    /// An app-specific token (`$app`).
    AppSpecificToken,
    /// A bearer token that this registry issued.
    RegistryToken,
    /// A browser's session.
    Session,
}

/// How far a credential reaches.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Access {
    /// As far as the principal's own rights.
    #[default]
    Own,
    /// As far as the principal's own rights and these scopes.
    Scopes(ScopeSet),
    /// One role in one repository, whoever holds the credential.
    Repository {
        /// The repository's path.
        path: Arc<str>,
        /// The role.
        role: RepositoryRole,
    },
    /// What a token for the registry protocol grants.
    Grants(Arc<TokenGrants>),
}

/// What a token for the registry protocol grants, and what it was issued for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenGrants {
    /// Tells it from others issued in the same second; `None` when it says none.
    pub id: Option<Arc<str>>,
    /// When it was issued.
    pub issued: Timestamp,
    /// The credential that it was issued for: its kind, which the caller no longer shows.
    pub credential: CredentialKind,
    /// How far that credential reached: never another token's grants.
    pub behind: Access,
    /// Paths of repositories and the role granted in each.
    pub roles: Vec<(String, RepositoryRole)>,
}

impl TokenGrants {
    /// A token's grants.
    #[must_use]
    pub const fn new(
        issued: Timestamp,
        credential: CredentialKind,
        behind: Access,
        roles: Vec<(String, RepositoryRole)>,
    ) -> Self {
        Self {
            id: None,
            issued,
            credential,
            behind,
            roles,
        }
    }

    /// Sets what tells the token from others.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<Arc<str>>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// The role granted in a repository.
    #[must_use]
    pub fn role(&self, path: &str) -> Option<RepositoryRole> {
        let granted = self.roles.iter().filter(|(name, _)| name == path);
        granted.map(|&(_, role)| role).max()
    }
}

/// The caller of an operation: principal, credential and where the request came from.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Caller {
    /// Who is calling.
    pub principal: Principal,
    /// What proved it.
    pub credential: CredentialKind,
    /// Identifies the credential among its kind (a token's uuid), never the secret itself.
    pub credential_id: Option<Arc<str>>,
    /// How far the credential reaches.
    pub access: Access,
    /// When the user's password was last checked in this session; `None` outside of sessions.
    pub password_checked: Option<Timestamp>,
    /// The client's address, as the host determined it.
    pub client_address: Option<IpAddr>,
    /// The client's `User-Agent`.
    pub user_agent: Option<Arc<str>>,
    /// Ties log lines of one request together.
    pub request_id: Option<Arc<str>>,
    /// What the action log is told of the credential besides: members of an object.
    pub credential_details: Option<Arc<serde_json::Value>>,
}

impl Caller {
    /// A caller about whom nothing but the principal is known.
    #[must_use]
    pub fn new(principal: Principal) -> Self {
        Self {
            principal,
            credential: CredentialKind::None,
            credential_id: None,
            access: Access::Own,
            password_checked: None,
            client_address: None,
            user_agent: None,
            request_id: None,
            credential_details: None,
        }
    }

    /// An anonymous caller.
    #[must_use]
    pub fn anonymous() -> Self {
        Self::new(Principal::Anonymous)
    }

    /// The registry itself.
    #[must_use]
    pub fn system() -> Self {
        Self::new(Principal::System)
    }

    /// Adds the credential that proved the principal.
    #[must_use]
    pub fn with_credential(mut self, kind: CredentialKind, id: Option<Arc<str>>) -> Self {
        self.credential = kind;
        self.credential_id = id;
        self
    }

    /// A caller who has proven this.
    #[must_use]
    pub fn identified(identity: Identity) -> Self {
        let mut caller = Self::new(identity.principal).with_credential(identity.kind, identity.credential_id);
        caller.access = identity.access;
        caller
    }

    /// The account that is calling: a user's or robot's name.
    #[must_use]
    pub fn account(&self) -> Option<&str> {
        match &self.principal {
            Principal::User(name) | Principal::Robot(name) => Some(name),
            _ => None,
        }
    }

    /// Adds when the user's password was last checked.
    #[must_use]
    pub const fn with_password_checked(mut self, at: Option<Timestamp>) -> Self {
        self.password_checked = at;
        self
    }

    /// Adds the client's address.
    #[must_use]
    pub fn with_client_address(mut self, address: Option<IpAddr>) -> Self {
        self.client_address = address;
        self
    }

    /// Adds the client's `User-Agent`.
    #[must_use]
    pub fn with_user_agent(mut self, user_agent: Option<Arc<str>>) -> Self {
        self.user_agent = user_agent;
        self
    }

    /// Adds what the action log is told of the credential.
    #[must_use]
    pub fn with_credential_details(mut self, details: Option<Arc<serde_json::Value>>) -> Self {
        self.credential_details = details;
        self
    }

    /// Adds the request's id.
    #[must_use]
    pub fn with_request_id(mut self, request_id: Option<Arc<str>>) -> Self {
        self.request_id = request_id;
        self
    }
}
