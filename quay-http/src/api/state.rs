//! What all requests share.

use std::sync::Arc;
use std::time::Duration;

use quay_core::accounts::{AccountOptions, Accounts, Seal};
use quay_core::runtime::Runtime;
use quay_core::{Authenticator, Registry};

use super::documents::Documents;
use crate::attempts::LoginAttempts;

/// What the API is told besides what accounts decide.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ApiSettings {
    /// Asked in turn whose bearer token it is.
    pub authenticators: Vec<Arc<dyn Authenticator>>,
    /// Whether a repository's name may have more than one slash: `FEATURE_EXTENDED_REPOSITORY_NAMES`.
    pub nested_names: bool,
    /// How long a request's body may pause.
    pub body_idle: Duration,
    /// Counts failed logins by address; the service counts for itself where there is none.
    pub login_attempts: Option<LoginAttempts>,
}

impl Default for ApiSettings {
    fn default() -> Self {
        Self {
            authenticators: Vec::new(),
            nested_names: true,
            body_idle: Duration::from_secs(30),
            login_attempts: None,
        }
    }
}

impl ApiSettings {
    /// Sets who is asked whose bearer token it is.
    #[must_use]
    pub fn with_authenticators(mut self, authenticators: Vec<Arc<dyn Authenticator>>) -> Self {
        self.authenticators = authenticators;
        self
    }

    /// Sets whether a repository's name may have more than one slash.
    #[must_use]
    pub const fn with_nested_names(mut self, nested: bool) -> Self {
        self.nested_names = nested;
        self
    }

    /// Sets how long a request's body may pause.
    #[must_use]
    pub const fn with_body_idle(mut self, idle: Duration) -> Self {
        self.body_idle = idle;
        self
    }

    /// Sets what counts failed logins by address, together with other services.
    #[must_use]
    pub fn with_login_attempts(mut self, attempts: LoginAttempts) -> Self {
        self.login_attempts = Some(attempts);
        self
    }
}

/// What handlers work with.
#[derive(Debug)]
pub(crate) struct ApiState {
    pub(crate) accounts: Accounts,
    pub(crate) registry: Registry,
    pub(crate) options: AccountOptions,
    pub(crate) runtime: Runtime,
    pub(crate) seal: Arc<dyn Seal>,
    pub(crate) attempts: LoginAttempts,
    pub(crate) settings: ApiSettings,
    pub(crate) documents: Documents,
}

impl ApiState {
    pub(crate) fn new(accounts: Accounts, registry: Registry, settings: ApiSettings) -> Self {
        let attempts = settings.login_attempts.clone();
        let attempts = attempts.unwrap_or_else(|| LoginAttempts::new(accounts.runtime().clone()));
        Self {
            attempts,
            options: accounts.options().clone(),
            runtime: accounts.runtime().clone(),
            seal: Arc::clone(accounts.seal()),
            accounts,
            registry,
            settings,
            documents: Documents::default(),
        }
    }
}
