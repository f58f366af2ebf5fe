//! Names and secrets, as docker clients log in with them (registry-protocol, section 6).

use std::sync::Arc;

use async_trait::async_trait;
use quay_core::accounts::{
    Account, AccountKey, AccountKind, AccountOptions, AccountStore, AppTokenKey, LoginEngine,
    PasswordVerdict, RobotTokens, Seal, SecretBox,
};
use quay_core::auth::{Authentication, Authenticator, Credentials, Identity};
use quay_core::runtime::Runtime;
use quay_core::{Access, CredentialKind, Principal, StoreError};
use subtle::ConstantTimeEq;

use crate::challenge::challenge;
use crate::last_used::{LastUsed, Used};
use crate::oauth_bearer::OAuthBearer;

const ACCESS_TOKEN: &str = "$token";
const OAUTH_TOKEN: &str = "$oauthtoken";
const APP_TOKEN: &str = "$app";

/// Half of a repository's token finds it, the other half proves it.
const ACCESS_TOKEN_HALF: usize = 32;
/// The same of an app-specific token.
const APP_TOKEN_HALF: usize = 60;

const INVALID_ACCESS_TOKEN: &str = "Invalid access token";
const INVALID_APP_TOKEN: &str = "Invalid token";
const NO_SUCH_ROBOT: &str = "Could not find robot with specified username";
const WRONG_ROBOT_TOKEN: &str = "Could not find robot with specified username and supplied password.";
const ROBOT_OWNER_DISABLED: &str = "The owner of this robot account has been disabled";
const ROBOTS_DISALLOWED: &str = "Robot accounts have been disabled. Please contact your administrator.";
const INVALID_PASSWORD: &str = "Invalid Username or Password.";
const USER_DISABLED: &str = "This user has been disabled. Please contact your administrator.";
const ENCRYPTED_REQUIRED: &str = "Client login with unencrypted passwords is disabled; please use a \
                                  generated encrypted password from the user admin panel.";

/// Takes what docker clients log in with: passwords, plain or encrypted, and the tokens of repositories,
/// OAuth, programs and robots. For the token endpoint; everything but a name and a secret is left to other
/// authenticators.
///
/// Each login reads the rows that it is about anew. What it says when it refuses is what Quay says.
#[derive(Debug)]
pub struct AccountCredentials {
    store: Arc<dyn AccountStore>,
    login: Arc<dyn LoginEngine>,
    secrets: Arc<dyn SecretBox>,
    seal: Arc<dyn Seal>,
    oauth: OAuthBearer,
    last_used: LastUsed,
    options: Arc<AccountOptions>,
    runtime: Runtime,
    federation: Option<Arc<dyn RobotTokens>>,
}

/// Splits a token of two halves of `half` characters each.
fn halves(token: &str, half: usize) -> Option<(&str, &str)> {
    let is_token = token.len() == 2 * half && token.bytes().all(|byte| byte.is_ascii_alphanumeric());
    token.split_at_checked(half).filter(|_| is_token)
}

/// Whether a secret may be a JSON web token: three parts, of which the first begins as every header does
/// that is an object without spaces.
fn looks_like_jwt(secret: &str) -> bool {
    secret.starts_with("ey") && secret.bytes().filter(|&byte| byte == b'.').count() == 2
}

#[expect(clippy::unnecessary_wraps, reason = "it is what every caller returns")]
fn denied(reason: &'static str) -> Result<Authentication, StoreError> {
    Ok(Authentication::Denied(reason))
}

impl AccountCredentials {
    /// Knows robots and tokens in `store`; passwords are judged by `login`.
    #[must_use]
    pub fn new(
        store: Arc<dyn AccountStore>,
        login: Arc<dyn LoginEngine>,
        secrets: Arc<dyn SecretBox>,
        seal: Arc<dyn Seal>,
        oauth: OAuthBearer,
        options: Arc<AccountOptions>,
        runtime: Runtime,
    ) -> Self {
        Self {
            last_used: LastUsed::new(Arc::clone(&store), &options, runtime.clone()),
            store,
            login,
            secrets,
            seal,
            oauth,
            options,
            runtime,
            federation: None,
        }
    }

    /// Takes from robots, besides their own token, those of identity providers that they trust, and those
    /// that this registry gave them in exchange.
    #[must_use]
    pub fn with_federation(mut self, federation: Arc<dyn RobotTokens>) -> Self {
        self.federation = Some(federation);
        self
    }

    /// Compares a secret with what is stored of it, in a time that does not tell where they differ.
    fn is_secret(&self, secret: &str, sealed: &str) -> Result<bool, StoreError> {
        let stored = self.secrets.open(sealed)?;
        Ok(secret.as_bytes().ct_eq(stored.as_bytes()).into())
    }

    async fn access_token(&self, token: &str) -> Result<Authentication, StoreError> {
        let Some((name, code)) = halves(token, ACCESS_TOKEN_HALF) else {
            return denied(INVALID_ACCESS_TOKEN);
        };
        let Some(row) = self.store.reader().access_token(name).await? else {
            return denied(INVALID_ACCESS_TOKEN);
        };
        if !self.is_secret(code, &row.code)? {
            return denied(INVALID_ACCESS_TOKEN);
        }
        let name: Arc<str> = row.name.as_str().into();
        let access = Access::Repository {
            path: row.path.as_str().into(),
            role: row.role,
        };
        let identity = Identity::new(Principal::Token(Arc::clone(&name)), CredentialKind::AccessToken);
        Ok(Authentication::Proven(
            identity.with_credential_id(name).with_access(access),
        ))
    }

    async fn app_token(&self, token: &str) -> Result<Authentication, StoreError> {
        let Some((name, secret)) = halves(token, APP_TOKEN_HALF).filter(|_| self.options.app_tokens) else {
            return denied(INVALID_APP_TOKEN);
        };
        let mut reader = self.store.reader();
        let Some(row) = reader.app_token(AppTokenKey::Name(name)).await? else {
            return denied(INVALID_APP_TOKEN);
        };
        let now = self.runtime.clock.now();
        if !self.is_secret(secret, &row.secret)? || row.expires.is_some_and(|expires| expires <= now) {
            return denied(INVALID_APP_TOKEN);
        }
        let Some(account) = reader.account(AccountKey::Id(row.account)).await? else {
            return denied(INVALID_APP_TOKEN);
        };
        if !account.enabled {
            return denied(USER_DISABLED);
        }
        self.last_used.note(Used::AppToken(row.id), row.last_accessed);
        self.note_account(&account);
        let user = Principal::User(account.name.as_str().into());
        let identity = Identity::new(user, CredentialKind::AppSpecificToken).with_credential_id(row.uuid);
        Ok(Authentication::Proven(identity))
    }

    async fn robot(&self, name: &str, token: &str) -> Result<Authentication, StoreError> {
        if self.options.robots_disallow && !self.options.robots_whitelist.contains(name) {
            return denied(ROBOTS_DISALLOWED);
        }
        let mut reader = self.store.reader();
        let found = reader.account(AccountKey::Name(name)).await?;
        let Some(robot) = found.filter(|robot| robot.is_robot() && robot.enabled) else {
            return denied(NO_SUCH_ROBOT);
        };
        let is_own = match &robot.robot_token {
            Some(sealed) => self.is_secret(token, sealed)?,
            None => false,
        };
        if !is_own {
            // A reader may hold a connection, and a provider may be slow.
            drop(reader);
            if !self.is_federated(&robot, token).await? {
                return denied(WRONG_ROBOT_TOKEN);
            }
            reader = self.store.reader();
        }
        let owner = match robot.owner {
            Some(owner) => reader.account(AccountKey::Id(owner)).await?,
            None => None,
        };
        if !owner.is_some_and(|owner| owner.enabled) {
            return denied(ROBOT_OWNER_DISABLED);
        }
        self.note_account(&robot);
        let identity = Identity::new(Principal::Robot(robot.name.into()), CredentialKind::RobotToken);
        Ok(Authentication::Proven(identity.with_credential_id(robot.uuid)))
    }

    /// Whether a token stands for a robot that is not its own.
    async fn is_federated(&self, robot: &Account, token: &str) -> Result<bool, StoreError> {
        let Some(federation) = self.federation.as_ref().filter(|_| looks_like_jwt(token)) else {
            return Ok(false);
        };
        Ok(federation.is_issued(robot, token).await? || federation.judge(robot, token).await.is_some())
    }

    async fn user(&self, name: &str, secret: &str) -> Result<Authentication, StoreError> {
        let decrypted = self.seal.decrypt_password(secret);
        if decrypted.is_none() && self.options.require_encrypted_passwords {
            return denied(ENCRYPTED_REQUIRED);
        }
        let password = decrypted.as_deref().unwrap_or(secret);
        match self.login.verify(name, password).await? {
            PasswordVerdict::Proven(account) if account.kind == AccountKind::User => {
                self.note_account(&account);
                let user = Principal::User(account.name.as_str().into());
                let identity = Identity::new(user, CredentialKind::Password).with_credential_id(account.uuid);
                Ok(Authentication::Proven(identity))
            }
            PasswordVerdict::Disabled => denied(USER_DISABLED),
            PasswordVerdict::Throttled { retry_after } => Ok(Authentication::Throttled { retry_after }),
            PasswordVerdict::EncryptedRequired => denied(ENCRYPTED_REQUIRED),
            _ => denied(INVALID_PASSWORD),
        }
    }

    fn note_account(&self, account: &Account) {
        self.last_used
            .note(Used::Account(account.id), account.last_accessed);
    }
}

#[async_trait]
impl Authenticator for AccountCredentials {
    async fn authenticate(&self, credentials: Credentials<'_>) -> Result<Authentication, StoreError> {
        let Credentials::Basic { username, password } = credentials else {
            return Ok(Authentication::NotMine);
        };
        match username {
            ACCESS_TOKEN => self.access_token(password).await,
            OAUTH_TOKEN => self.oauth.judge(password).await,
            APP_TOKEN => self.app_token(password).await,
            name if !name.is_ascii() || name.is_empty() => denied(INVALID_PASSWORD),
            name if name.contains('+') && !name.contains('@') => self.robot(name, password).await,
            name => self.user(name, password).await,
        }
    }

    fn challenge(&self, scope: Option<&str>) -> String {
        challenge(&self.options.base_url, &self.options.hostname, scope)
    }
}
