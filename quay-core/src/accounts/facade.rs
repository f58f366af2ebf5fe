//! The facade over accounts: who is acting, what they may do, and how a change is made and logged.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::human::HumanCheck;
use super::log::{LogEntry, LogKind};
use super::options::AccountOptions;
use super::ports::{
    LoginEngine, Mail, Mailer, PasswordHasher, RobotTokens, Seal, SecretBox, ServiceKeyCrypto, TokenIssuer,
};
use super::record::{Account, AccountId, AccountKind};
use super::rights::{Reach, Standing};
use super::role::{RepositoryRole, ScopeSet, TeamRole, UserRole};
use super::store::{AccountKey, AccountReads, AccountStore, OAuthTokenKey};
use crate::caller::{Access, Caller, CredentialKind, Principal};
use crate::error::{Error, ErrorKind, StoreError, StoreErrorKind};
use crate::metadata::{RepositoryRecord, RepositoryState};
use crate::name::RepositoryName;
use crate::runtime::{Runtime, Timestamp, blocking};

/// Runs an async block on a unit of work's accounts and commits it; meeting another writer, starts over.
macro_rules! change {
    ($accounts:expr, |$unit:ident| $work:expr) => {{
        let mut attempt = 0;
        loop {
            let mut opened = $accounts.0.store.begin_accounts().await?;
            let outcome: Result<_, $crate::Error> = {
                let $unit = opened.accounts();
                $work.await
            };
            let outcome = match outcome {
                Ok(value) => $crate::metadata::UnitOfWork::commit(opened)
                    .await
                    .map(|()| value)
                    .map_err($crate::Error::from),
                Err(error) if error.store_error().is_some() => {
                    drop(opened);
                    Err(error)
                }
                Err(error) => match $crate::metadata::UnitOfWork::abandon(opened).await {
                    Ok(()) => Err(error),
                    Err(undone) => Err($crate::Error::from(undone)),
                },
            };
            match outcome {
                Err(error) if $crate::registry::try_again(&error, attempt) => attempt += 1,
                other => break other,
            }
        }
    }};
}
pub(super) use change;

/// What the facade works with, besides the store.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Tools {
    /// Hashes passwords.
    pub hasher: Arc<dyn PasswordHasher>,
    /// Keeps secrets that are shown again.
    pub secrets: Arc<dyn SecretBox>,
    /// Seals what clients carry.
    pub seal: Arc<dyn Seal>,
    /// Proves users by their passwords.
    pub login: Arc<dyn LoginEngine>,
    /// Makes and uses key pairs.
    pub keys: Arc<dyn ServiceKeyCrypto>,
    /// Signs tokens for the registry protocol.
    pub issuer: Arc<dyn TokenIssuer>,
    /// Sends mail, where there is a server for it.
    pub mailer: Option<Arc<dyn Mailer>>,
    /// Lets robots log in by identity providers, where that is wanted.
    pub robot_tokens: Option<Arc<dyn RobotTokens>>,
    /// Tells people from programs, where that is wanted.
    pub human_check: Option<Arc<dyn HumanCheck>>,
}

impl Tools {
    /// Tools without a way to send mail, and without identity providers for robots.
    #[must_use]
    pub fn new(
        hasher: Arc<dyn PasswordHasher>,
        secrets: Arc<dyn SecretBox>,
        seal: Arc<dyn Seal>,
        login: Arc<dyn LoginEngine>,
        keys: Arc<dyn ServiceKeyCrypto>,
        issuer: Arc<dyn TokenIssuer>,
    ) -> Self {
        Self {
            hasher,
            secrets,
            seal,
            login,
            keys,
            issuer,
            mailer: None,
            robot_tokens: None,
            human_check: None,
        }
    }

    /// Adds a way to send mail.
    #[must_use]
    pub fn with_mailer(mut self, mailer: Arc<dyn Mailer>) -> Self {
        self.mailer = Some(mailer);
        self
    }

    /// Tells people from programs.
    #[must_use]
    pub fn with_human_check(mut self, human_check: Arc<dyn HumanCheck>) -> Self {
        self.human_check = Some(human_check);
        self
    }

    /// Lets robots log in by identity providers.
    #[must_use]
    pub fn with_robot_tokens(mut self, robot_tokens: Arc<dyn RobotTokens>) -> Self {
        self.robot_tokens = Some(robot_tokens);
        self
    }
}

/// Accounts behind one value: every operation is entered with the caller's identity and authorised here.
///
/// Cheap to clone. The operations are grouped by file: users, organizations, teams, robots, permissions,
/// applications, tokens, keys, and what superusers do.
#[derive(Debug, Clone)]
pub struct Accounts(pub(super) Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) store: Arc<dyn AccountStore>,
    pub(super) tools: Tools,
    pub(super) runtime: Runtime,
    pub(super) options: AccountOptions,
}

/// The account that acts, and how far.
#[derive(Debug, Clone)]
pub(super) struct Actor {
    pub(super) account: Account,
    pub(super) reach: Reach,
}

/// What must be proven with regard to an organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    Member,
    Creator,
    Admin,
}

impl Need {
    pub(super) const fn team_role(self) -> TeamRole {
        match self {
            Self::Member => TeamRole::Member,
            Self::Creator => TeamRole::Creator,
            Self::Admin => TeamRole::Admin,
        }
    }
}

/// What somebody is refused with: to name themselves, or for good.
pub(super) fn refuse(caller: &Caller) -> Error {
    if caller.principal == Principal::Anonymous {
        Error::new(ErrorKind::InvalidToken, "Requires authentication")
    } else {
        Error::new(ErrorKind::Forbidden, "Unauthorized")
    }
}

pub(super) fn not_found() -> Error {
    Error::new(ErrorKind::NotFound, "Not Found")
}

pub(super) fn rejected(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Rejected, message)
}

pub(super) fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidRequest, message)
}

/// Too many passwords are being hashed for one more to wait.
fn busy(error: StoreError) -> Error {
    if error.kind() == StoreErrorKind::Unavailable {
        Error::new(
            ErrorKind::Unavailable,
            "too many passwords are being checked, try again later",
        )
    } else {
        error.into()
    }
}

/// The reach of a credential outside the registry protocol.
pub(super) fn reach_of(access: &Access) -> Reach {
    match access {
        Access::Own => Reach::Full,
        Access::Scopes(scopes) => Reach::Scopes(*scopes),
        Access::Repository { .. } | Access::Grants(_) => Reach::Scopes(ScopeSet::default()),
    }
}

impl Accounts {
    /// Accounts in a store.
    pub fn new(
        store: Arc<dyn AccountStore>,
        tools: Tools,
        runtime: Runtime,
        options: AccountOptions,
    ) -> Self {
        Self(Arc::new(Inner {
            store,
            tools,
            runtime,
            options,
        }))
    }

    /// What the deployment decided.
    #[must_use]
    pub fn options(&self) -> &AccountOptions {
        &self.0.options
    }

    /// The host's abilities, as they were handed in.
    #[must_use]
    pub fn runtime(&self) -> &Runtime {
        &self.0.runtime
    }

    /// Seals what clients carry.
    #[must_use]
    pub fn seal(&self) -> &Arc<dyn Seal> {
        &self.0.tools.seal
    }

    /// The id of the key that tokens are signed with here.
    #[must_use]
    pub fn signing_key_id(&self) -> Option<String> {
        self.0.tools.issuer.key_id()
    }

    /// The store behind it.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn AccountStore> {
        &self.0.store
    }

    pub(super) fn now(&self) -> Timestamp {
        self.0.runtime.clock.now()
    }

    pub(super) fn reader(&self) -> Box<dyn AccountReads> {
        self.0.store.reader()
    }

    /// A random uuid (RFC 9562, version 4).
    pub(super) fn uuid(&self) -> String {
        self.0.runtime.uuid()
    }

    /// A random text of capital letters and digits, as all of Quay's tokens are.
    pub(super) fn code(&self, length: usize) -> String {
        const LETTERS: &[u8; 36] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
        let mut text = String::with_capacity(length);
        let mut bytes = [0_u8; 64];
        while text.len() < length {
            self.0.runtime.random.fill(&mut bytes);
            // 252 is the last multiple of 36 in a byte: what lies above would favour some letters.
            let letters = bytes.iter().filter(|&&byte| byte < 252);
            text.extend(
                letters
                    .filter_map(|&byte| LETTERS.get(usize::from(byte % 36)))
                    .map(|&letter| char::from(letter)),
            );
        }
        text.truncate(length);
        text
    }

    /// Hashes a password where that disturbs nobody.
    pub(super) async fn hash(&self, password: &str) -> Result<String, Error> {
        let (hasher, password) = (Arc::clone(&self.0.tools.hasher), password.to_owned());
        let leave = hasher.leave().await.map_err(busy)?;
        let work = move || {
            let hash = hasher.hash(&password);
            drop(leave);
            hash
        };
        blocking(&*self.0.runtime.spawner, work)
            .await
            .map_err(|_| StoreError::new(StoreErrorKind::Unavailable, "the host is shutting down"))?
            .map_err(Error::from)
    }

    /// Compares a password with a hash where that disturbs nobody.
    pub(super) async fn fits(&self, password: &str, hash: &str) -> Result<bool, Error> {
        let hasher = Arc::clone(&self.0.tools.hasher);
        let (password, hash) = (password.to_owned(), hash.to_owned());
        let leave = hasher.leave().await.map_err(busy)?;
        let work = move || {
            let fits = hasher.verify(&password, &hash);
            drop(leave);
            fits
        };
        blocking(&*self.0.runtime.spawner, work)
            .await
            .map_err(|_| StoreError::new(StoreErrorKind::Unavailable, "the host is shutting down").into())
    }

    /// Sends a mail.
    pub(super) async fn mail(&self, mail: &Mail) -> Result<(), Error> {
        match &self.0.tools.mailer {
            Some(mailer) if self.0.options.mailing => Ok(mailer.send(mail).await?),
            _ => Err(Error::new(ErrorKind::NotFound, "this registry sends no mail")),
        }
    }

    /// Who is acting. Accounts that are gone or switched off act no more.
    pub(super) async fn actor(&self, caller: &Caller) -> Result<Actor, Error> {
        let Some(name) = caller.account() else {
            return Err(refuse(caller));
        };
        let account = self.reader().account(AccountKey::Name(name)).await?;
        match account {
            // An account that has become an organization acts no more.
            Some(account) if account.enabled && !account.is_organization() => Ok(Actor {
                account,
                reach: reach_of(&caller.access),
            }),
            _ => Err(Error::new(ErrorKind::InvalidToken, "Requires authentication")),
        }
    }

    /// Somebody who administers their own account.
    pub(super) async fn user_admin(&self, caller: &Caller) -> Result<Actor, Error> {
        let actor = self.actor(caller).await?;
        if actor.account.kind == AccountKind::User && actor.reach.user() == Some(UserRole::Admin) {
            Ok(actor)
        } else {
            Err(refuse(caller))
        }
    }

    /// Whether somebody acts as a superuser.
    pub(super) fn acts_as_superuser(&self, actor: &Actor) -> bool {
        actor.account.kind == AccountKind::User
            && actor.reach.superuser()
            && self.0.options.is_superuser(&actor.account.name)
    }

    /// A superuser acting as one.
    pub(super) async fn superuser(&self, caller: &Caller) -> Result<Actor, Error> {
        let actor = self.actor(caller).await?;
        if self.acts_as_superuser(&actor) {
            Ok(actor)
        } else {
            Err(refuse(caller))
        }
    }

    /// A superuser whose password has been checked lately.
    pub(super) async fn fresh_superuser(&self, caller: &Caller) -> Result<Actor, Error> {
        let actor = self.superuser(caller).await?;
        self.require_fresh(&actor, caller)?;
        Ok(actor)
    }

    /// Insists that the password has been checked lately. Tokens have none to check, nor have accounts
    /// without one.
    pub(super) fn require_fresh(&self, actor: &Actor, caller: &Caller) -> Result<(), Error> {
        if caller.credential != CredentialKind::Session || actor.account.password_hash.is_none() {
            return Ok(());
        }
        let fresh = |at: Timestamp| at.plus(self.0.options.fresh_login) > self.now();
        if caller.password_checked.is_some_and(fresh) {
            Ok(())
        } else {
            Err(Error::new(
                ErrorKind::FreshLoginRequired,
                "The action requires a fresh login to succeed.",
            ))
        }
    }

    /// What is known of somebody with regard to a namespace and one of its repositories.
    pub(super) async fn standing(
        &self,
        actor: &Actor,
        namespace: &str,
        repository: Option<i64>,
    ) -> Result<Standing, Error> {
        let mut reader = self.reader();
        let mut standing = reader.standing(actor.account.id, namespace, repository).await?;
        standing.own_namespace = actor.account.name == namespace;
        standing.superuser = self.0.options.superusers_full_access && self.acts_as_superuser(actor);
        Ok(standing)
    }

    /// Somebody with a role in an organization, and the organization. What somebody may not see is not
    /// told apart from what is not there.
    pub(super) async fn organization(
        &self,
        caller: &Caller,
        name: &str,
        need: Need,
    ) -> Result<(Actor, Account), Error> {
        let actor = self.actor(caller).await?;
        let standing = self.standing(&actor, name, None).await?;
        if standing.organization(actor.reach) < Some(need.team_role()) {
            return Err(refuse(caller));
        }
        let organization = self.reader().account(AccountKey::Name(name)).await?;
        match organization {
            Some(organization) if organization.is_organization() => Ok((actor, organization)),
            _ => Err(not_found()),
        }
    }

    /// Somebody who administers a repository, and the repository.
    pub(super) async fn repository_admin(
        &self,
        caller: &Caller,
        name: &RepositoryName,
    ) -> Result<(Actor, Arc<RepositoryRecord>), Error> {
        let actor = self.actor(caller).await?;
        let record = self.live_repository(name).await?;
        let id = record.as_ref().map(|record| record.id);
        let standing = self.standing(&actor, name.namespace(), id).await?;
        if standing.repository(actor.reach) < Some(RepositoryRole::Admin) {
            return Err(refuse(caller));
        }
        Ok((actor, record.ok_or_else(not_found)?))
    }

    pub(super) async fn live_repository(
        &self,
        name: &RepositoryName,
    ) -> Result<Option<Arc<RepositoryRecord>>, Error> {
        let record = self.0.store.repository(name).await?;
        Ok(record.filter(|record| record.state != RepositoryState::MarkedForDeletion))
    }

    /// An entry for the action log about a namespace, with what is known of the caller.
    pub(super) async fn entry(
        &self,
        caller: &Caller,
        kind: LogKind,
        namespace: Option<&str>,
        metadata: Value,
    ) -> Result<LogEntry, Error> {
        let mut entry = LogEntry::new(kind, self.now(), metadata);
        entry.namespace = namespace.or(caller.account()).map(ToOwned::to_owned);
        entry.performer = caller.account().map(ToOwned::to_owned);
        entry.address = caller.client_address;
        if let (Some(Value::Object(details)), Value::Object(object)) =
            (self.credential_details(caller).await?, &mut entry.metadata)
        {
            object.extend(details);
        }
        Ok(entry)
    }

    /// What the action log is told of a caller's credential.
    async fn credential_details(&self, caller: &Caller) -> Result<Option<Value>, Error> {
        let (CredentialKind::OAuthToken, Some(uuid)) = (caller.credential, &caller.credential_id) else {
            return Ok(None);
        };
        let found = self.reader().oauth_token(OAuthTokenKey::Uuid(uuid)).await?;
        Ok(found.map(|(token, application)| {
            json!({
                "oauth_token_id": token.id,
                "oauth_token_application_id": application.client_id,
                "oauth_token_application": application.name,
            })
        }))
    }

    /// A caller with what the action log is told of the credential, for operations on content.
    ///
    /// # Errors
    /// The store's.
    pub async fn described(&self, caller: &Caller) -> Result<Caller, Error> {
        let details = self.credential_details(caller).await?;
        Ok(caller.clone().with_credential_details(details.map(Arc::new)))
    }

    /// Names of accounts by id, each looked up once.
    pub(super) async fn names(&self, ids: Vec<AccountId>) -> Result<HashMap<AccountId, Account>, Error> {
        let mut reader = self.reader();
        let mut found = HashMap::new();
        for id in ids {
            if let std::collections::hash_map::Entry::Vacant(place) = found.entry(id)
                && let Some(account) = reader.account(AccountKey::Id(id)).await?
            {
                place.insert(account);
            }
        }
        Ok(found)
    }
}

/// Subjects of changes that tokens issued before must feel. What a token was issued for is compared with
/// all that fit it.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::exhaustive_enums, reason = "what a token rests on")]
pub enum Subject<'a> {
    /// An account's own state, permissions or memberships.
    Account(&'a str),
    /// What members of a namespace may do in it, or whether it is switched on.
    Namespace(&'a str),
    /// What anybody may do in a repository.
    Repository(&'a str),
    /// One credential.
    Credential(&'a str),
}

impl Subject<'_> {
    /// The text under which it is recorded.
    #[must_use]
    pub fn key(&self) -> String {
        match self {
            Self::Account(name) => format!("account:{name}"),
            Self::Namespace(name) => format!("namespace:{name}"),
            Self::Repository(path) => format!("repository:{path}"),
            Self::Credential(id) => format!("credential:{id}"),
        }
    }
}

/// How long a change must be remembered: as long as a token lives, and the time that clocks may differ by.
pub const CHANGE_MEMORY: Duration = Duration::from_hours(2);

/// An object of the fields that have a value.
pub(super) fn object(fields: &[(&str, Value)]) -> Value {
    let present = fields.iter().filter(|(_, value)| !value.is_null());
    Value::Object(
        present
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect::<Map<_, _>>(),
    )
}
