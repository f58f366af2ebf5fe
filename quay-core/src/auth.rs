//! The two questions: who is this, and may they?

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::caller::{Access, Caller, CredentialKind, Principal};
use crate::error::StoreError;
use crate::metadata::{PageRequest, RepositoryRecord};
use crate::name::RepositoryName;
use crate::registry::PullPolicy;

/// Credentials as they came with a request.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub enum Credentials<'a> {
    /// None were sent.
    None,
    /// A name and a password or token (RFC 7617).
    Basic {
        /// The user name.
        username: &'a str,
        /// The secret.
        password: &'a str,
    },
    /// A bearer token (RFC 6750).
    Bearer(&'a str),
    /// A scheme that the protocol does not know, or a header that cannot be read.
    Unreadable,
}

impl Debug for Credentials<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::None => "None",
            Self::Basic { .. } => "Basic(..)",
            Self::Bearer(_) => "Bearer(..)",
            Self::Unreadable => "Unreadable",
        })
    }
}

/// What credentials prove.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Identity {
    /// Who it is.
    pub principal: Principal,
    /// By what kind of credential.
    pub kind: CredentialKind,
    /// Which one of that kind, such as a token's uuid; never the secret.
    pub credential_id: Option<Arc<str>>,
    /// How far the credential reaches.
    pub access: Access,
}

impl Identity {
    /// Somebody who may do whatever they may do.
    #[must_use]
    pub const fn new(principal: Principal, kind: CredentialKind) -> Self {
        Self {
            principal,
            kind,
            credential_id: None,
            access: Access::Own,
        }
    }

    /// Adds which credential of its kind it was.
    #[must_use]
    pub fn with_credential_id(mut self, id: impl Into<Arc<str>>) -> Self {
        self.credential_id = Some(id.into());
        self
    }

    /// Limits how far it reaches.
    #[must_use]
    pub fn with_access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }
}

/// What an authenticator says of credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Authentication {
    /// They prove this.
    Proven(Identity),
    /// These credentials are not this authenticator's business; ask the next.
    NotMine,
    /// They are this authenticator's business and wrong. The reason is shown to the client.
    Denied(&'static str),
    /// Too many wrong ones have come: these were not even looked at.
    Throttled {
        /// When to try again.
        retry_after: Duration,
    },
}

/// Proves who somebody is.
///
/// Called once per request. Must not reveal by its timing or its reasons whether a user exists.
#[async_trait]
pub trait Authenticator: Debug + Send + Sync + 'static {
    /// Judges credentials.
    ///
    /// Guarantees: no side effect that another call can see, apart from counters of failed attempts.
    /// Cancellation: nothing is left behind.
    ///
    /// # Errors
    /// A store's failure; never a wrong password, which is [`Authentication::Denied`].
    async fn authenticate(&self, credentials: Credentials<'_>) -> Result<Authentication, StoreError>;

    /// How a caller without credentials is asked for them: the value of `WWW-Authenticate`. `scope` is
    /// what the refused operation would have needed, such as `repository:ns/name:pull`.
    fn challenge(&self, scope: Option<&str>) -> String;
}

/// What somebody wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// Ask whether this is a registry (`GET /v2/`).
    Ping,
    /// List the repositories that one may see.
    Catalog,
    /// Read from a repository.
    Pull,
    /// Write to a repository.
    Push,
    /// Delete tags, manifests or blobs.
    Delete,
    /// Create a repository by pushing to it.
    Create,
}

impl Action {
    /// Every action, for tables and tests.
    pub const ALL: &'static [Self] = &[
        Self::Ping,
        Self::Catalog,
        Self::Pull,
        Self::Push,
        Self::Delete,
        Self::Create,
    ];

    /// The actions of a token scope that allow this (registry-protocol, section 2).
    #[must_use]
    pub const fn scope_actions(self) -> &'static str {
        match self {
            Self::Ping | Self::Catalog | Self::Pull => "pull",
            Self::Push | Self::Delete | Self::Create => "pull,push",
        }
    }
}

/// What it is to be done to.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Resource<'a> {
    /// The registry as a whole.
    Registry,
    /// A repository by name; the record is there when it exists.
    Repository {
        /// Its name.
        name: &'a RepositoryName,
        /// What is stored of it.
        record: Option<&'a RepositoryRecord>,
    },
}

/// An answer with its reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decision {
    /// Yes, because.
    Allow(&'static str),
    /// No, because. The reason is for the operator, not for the client.
    Deny(&'static str),
}

impl Decision {
    /// Whether the answer is yes.
    #[must_use]
    pub const fn is_allowed(self) -> bool {
        matches!(self, Self::Allow(_))
    }
}

/// Decides who may do what. Every operation of the registry asks it, in one place.
#[async_trait]
pub trait Authorizer: Debug + Send + Sync + 'static {
    /// Decides. Must answer the same for the same input until what it is based on changes.
    ///
    /// # Errors
    /// A store's failure, which denies.
    async fn authorize(
        &self,
        action: Action,
        resource: Resource<'_>,
        caller: &Caller,
    ) -> Result<Decision, StoreError>;

    /// What a pull by this caller from this repository depends on, where manifests are scanned: `configured` unless this
    /// authorizer knows better, nothing at all where it is `None`. Asked once the pull itself has been allowed.
    ///
    /// # Errors
    /// A store's failure, which denies.
    async fn pull_policy(
        &self,
        repository: &RepositoryRecord,
        caller: &Caller,
        configured: Option<PullPolicy>,
    ) -> Result<Option<PullPolicy>, StoreError> {
        let _ = (repository, caller);
        Ok(configured)
    }

    /// A page of the repositories that a caller may see, by path, where this authorizer can tell without
    /// being asked of each one; `None` where it cannot.
    ///
    /// # Errors
    /// A store's failure.
    async fn visible(
        &self,
        caller: &Caller,
        page: &PageRequest<String>,
    ) -> Result<Option<Vec<Arc<RepositoryRecord>>>, StoreError> {
        let _ = (caller, page);
        Ok(None)
    }
}

/// An authorizer for open registries: everybody may do everything.
#[derive(Debug, Clone, Copy, Default)]
pub struct AllowAll;

#[async_trait]
impl Authorizer for AllowAll {
    async fn authorize(&self, _: Action, _: Resource<'_>, _: &Caller) -> Result<Decision, StoreError> {
        Ok(Decision::Allow("the registry is open"))
    }
}

/// An authorizer for closed registries: whoever has proven a name may do everything, nobody else
/// anything.
#[derive(Debug, Clone, Copy, Default)]
pub struct AllowAuthenticated;

#[async_trait]
impl Authorizer for AllowAuthenticated {
    async fn authorize(&self, _: Action, _: Resource<'_>, caller: &Caller) -> Result<Decision, StoreError> {
        Ok(match caller.principal {
            Principal::Anonymous => Decision::Deny("anonymous callers may do nothing here"),
            _ => Decision::Allow("the caller has proven a name"),
        })
    }
}
