//! The registry protocol's side of accounts: what a token is granted when it is issued, and what it is
//! still worth when it comes back (registry-protocol, sections 3 and 4).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;

use super::facade::{Accounts, CHANGE_MEMORY, Subject, reach_of};
use super::ports::TokenRequest;
use super::rights::{Reach, Standing};
use super::role::{RepositoryRole, TeamRole};
use super::store::{AccountKey, AppTokenKey, OAuthTokenKey};
use crate::auth::{Action, Authorizer, Decision, Identity, Resource};
use crate::caller::{Access, Caller, CredentialKind, Principal, TokenGrants};
use crate::error::{Error, ErrorKind, StoreError};
use crate::metadata::{PageRequest, RepositoryKind, RepositoryRecord, RepositoryState, Visibility};
use crate::name::RepositoryName;
use crate::runtime::Timestamp;

/// What one scope asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::exhaustive_structs, reason = "the actions of the protocol")]
pub struct AskedActions {
    /// `pull`
    pub pull: bool,
    /// `push`
    pub push: bool,
    /// `*`
    pub all: bool,
}

/// A scope that a client asks a token for.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_structs, reason = "the parts of a scope")]
pub struct AskedScope {
    /// The repository's name as the client wrote it, perhaps with the registry's host.
    pub written: String,
    /// The repository.
    pub name: RepositoryName,
    /// What is to be done with it.
    pub actions: AskedActions,
}

/// An issued token for the registry protocol.
#[derive(Clone)]
#[non_exhaustive]
pub struct RegistryToken {
    /// The token.
    pub token: String,
    /// When it was issued.
    pub issued: Timestamp,
    /// How long it lives.
    pub lifetime: Duration,
    /// What it grants: repositories as the client wrote them, and the actions in each, perhaps none.
    pub grants: Vec<(String, Vec<&'static str>)>,
}

impl std::fmt::Debug for RegistryToken {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("RegistryToken")
            .field("issued", &self.issued)
            .finish_non_exhaustive()
    }
}

/// How long a token for the registry protocol lives (registry-protocol, section 4).
const TOKEN_LIFETIME: Duration = Duration::from_hours(1);

/// Clocks of two processes may differ, and a unit of work may take its time: a token issued so much later
/// than a change is judged anew all the same.
const SKEW: Duration = Duration::from_secs(30);

/// How long ago a change is looked for again: a transaction may commit later than others that began after
/// it.
const OVERLAP: Duration = Duration::from_mins(1);

/// Changes that tokens issued before must feel, as this process has heard of them.
///
/// Kept up to date by [`Accounts::follow_changes`]. A token that no change concerns is worth what it says;
/// one that may be concerned is judged anew.
#[derive(Debug, Default)]
pub struct Changes {
    seen: RwLock<HashMap<String, Timestamp>>,
}

impl Changes {
    fn note(&self, changes: Vec<super::record::Change>, forget: Timestamp) {
        let mut seen = self.seen.write().unwrap_or_else(PoisonError::into_inner);
        for change in changes {
            let at = seen.entry(change.subject).or_insert(change.at);
            *at = (*at).max(change.at);
        }
        seen.retain(|_, at| *at >= forget);
    }

    fn holds(&self, subject: Subject<'_>) -> bool {
        let seen = self.seen.read().unwrap_or_else(PoisonError::into_inner);
        seen.contains_key(&subject.key())
    }

    /// Whether something has changed under a token.
    fn concern(&self, caller: &Caller, issued: Timestamp, name: Option<&RepositoryName>) -> bool {
        let seen = self.seen.read().unwrap_or_else(PoisonError::into_inner);
        if seen.is_empty() {
            return false;
        }
        let touched =
            |subject: Subject<'_>| seen.get(&subject.key()).is_some_and(|at| issued <= at.plus(SKEW));
        let owner = |account: &str| account.split_once('+').map(|(owner, _)| owner.to_owned());
        caller.account().is_some_and(|account| {
            touched(Subject::Account(account))
                || owner(account).is_some_and(|owner| touched(Subject::Account(&owner)))
        }) || caller
            .credential_id
            .as_deref()
            .is_some_and(|id| touched(Subject::Credential(id)))
            || name.is_some_and(|name| {
                touched(Subject::Namespace(name.namespace())) || touched(Subject::Repository(name.path()))
            })
    }
}

impl Accounts {
    /// Brings what this process knows of changes up to date: one statement. To be called every second or
    /// two, so that a token feels within five seconds what happened to what it rests on.
    ///
    /// # Errors
    /// The store's.
    pub async fn follow_changes(&self, changes: &Changes) -> Result<(), Error> {
        let now = self.now();
        let since = {
            let seen = changes.seen.read().unwrap_or_else(PoisonError::into_inner);
            seen.values().max().copied()
        };
        // The first look takes in everything that a token may still feel.
        let since = match since {
            Some(newest) => newest.min(now).minus(OVERLAP),
            None => now.minus(CHANGE_MEMORY),
        };
        let news = self.reader().changes(since).await?;
        changes.note(news, now.minus(CHANGE_MEMORY));
        Ok(())
    }

    /// Insists that a repository's namespace is not switched off.
    ///
    /// # Errors
    /// [`Rejected`](ErrorKind::Rejected), or a store's.
    pub async fn require_enabled(&self, name: &RepositoryName) -> Result<(), Error> {
        let namespace = self.reader().account(AccountKey::Name(name.namespace())).await?;
        if namespace.is_some_and(|namespace| !namespace.enabled) {
            return Err(Error::new(
                ErrorKind::Rejected,
                "Namespace is disabled. Please contact your system administrator.",
            ));
        }
        Ok(())
    }

    /// Issues a token for the registry protocol that grants what the caller may do of what is asked for.
    ///
    /// # Errors
    /// As [`grant_scope`](Self::grant_scope), or when nothing can be signed.
    pub async fn registry_token(
        &self,
        caller: &Caller,
        audience: Option<&str>,
        scopes: &[AskedScope],
    ) -> Result<RegistryToken, Error> {
        // What changes from here on the token must feel.
        let issued = self.now();
        let mut grants = Vec::with_capacity(scopes.len());
        for scope in scopes {
            let granted = self.grant_scope(caller, &scope.name, scope.actions).await?;
            grants.push((scope.written.clone(), granted));
        }
        let account = match caller.account() {
            Some(name) => self.reader().account(AccountKey::Name(name)).await?,
            None => None,
        };
        let mut identity =
            Identity::new(caller.principal.clone(), caller.credential).with_access(caller.access.clone());
        identity.credential_id.clone_from(&caller.credential_id);
        let mut request = TokenRequest::new(&identity, issued, TOKEN_LIFETIME);
        request.account = account.as_ref();
        request.audience = audience;
        request.grants = &grants;
        let token = self.0.tools.issuer.issue(&request).await?;
        Ok(RegistryToken {
            token,
            issued,
            lifetime: TOKEN_LIFETIME,
            grants,
        })
    }

    /// What one scope of a token is granted. The repository is made if it is missing and the caller may
    /// make and push to it. `None` when nothing is granted.
    ///
    /// # Errors
    /// [`ReadOnly`](ErrorKind::ReadOnly) for a namespace that is switched off,
    /// [`Unsupported`](ErrorKind::Unsupported) for a repository that holds no images.
    pub async fn grant_scope(
        &self,
        caller: &Caller,
        name: &RepositoryName,
        asked: AskedActions,
    ) -> Result<Vec<&'static str>, Error> {
        let namespace = self.reader().account(AccountKey::Name(name.namespace())).await?;
        if namespace.as_ref().is_some_and(|namespace| !namespace.enabled) {
            return Err(Error::new(
                ErrorKind::ReadOnly,
                "This namespace is disabled. Please contact your system administrator.",
            ));
        }
        let stored = self.0.store.repository(name).await?;
        let in_the_way = stored.is_some();
        let mut record = stored.filter(|record| record.state != RepositoryState::MarkedForDeletion);
        let mut role = self.role_in(caller, name, record.as_deref()).await?;
        let mut granted = Vec::new();
        if asked.push && caller.principal != Principal::Anonymous {
            let grant = match &record {
                Some(record) => {
                    // Only a mirror's own robot writes to it; there are no mirrors yet.
                    role >= Some(RepositoryRole::Write) && record.state == RepositoryState::Normal
                }
                None => {
                    !in_the_way && !self.0.options.read_only && self.create_for_push(caller, name).await?
                }
            };
            if grant {
                granted.push("push");
            }
            if grant && record.is_none() {
                // It has just been made.
                record = self.live_repository(name).await?;
                role = self.role_in(caller, name, record.as_deref()).await?;
            }
        }
        let public = record
            .as_ref()
            .is_some_and(|record| record.visibility == Visibility::Public);
        if asked.pull && (role.is_some() || public || granted.contains(&"push")) {
            granted.push("pull");
        }
        if asked.all
            && role == Some(RepositoryRole::Admin)
            && record
                .as_ref()
                .is_some_and(|record| record.state == RepositoryState::Normal)
        {
            granted.push("*");
        }
        if !granted.is_empty()
            && record
                .as_ref()
                .is_some_and(|record| record.kind != RepositoryKind::Image)
        {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "This repository is for managing application resources and not container images.",
            ));
        }
        Ok(granted)
    }

    /// Makes a repository that somebody is about to push to. `false` when they may not.
    async fn create_for_push(&self, caller: &Caller, name: &RepositoryName) -> Result<bool, Error> {
        if caller.account().is_none() {
            return Ok(false);
        }
        let visibility = if self.0.options.private_on_push {
            Visibility::Private
        } else {
            Visibility::Public
        };
        if self.0.options.namespace_on_push
            && self
                .reader()
                .account(AccountKey::Name(name.namespace()))
                .await?
                .is_none()
        {
            let actor = match self.actor(caller).await {
                Ok(actor) => actor,
                Err(error) if error.store_error().is_some() => return Err(error),
                Err(_) => return Ok(false),
            };
            // Nothing is made by a credential that may not make the repository then.
            let mut owner = Standing::none();
            owner.add_team(TeamRole::Admin);
            if !owner.may_create(actor.reach) {
                return Ok(false);
            }
            let email = actor.account.email.as_deref();
            let email = email.and_then(|email| contact(email, name.namespace()));
            match self
                .create_organization(caller, name.namespace(), email.as_deref())
                .await
            {
                Ok(_) => {}
                Err(error) if error.store_error().is_some() => return Err(error),
                Err(_) => return Ok(false),
            }
        }
        match self.create_repository(caller, name, visibility, None).await {
            Ok(Some(_)) => Ok(true),
            // Somebody else was faster: what they made is judged like any other.
            Ok(None) => {
                let record = self.live_repository(name).await?;
                let role = self.role_in(caller, name, record.as_deref()).await?;
                Ok(record.is_some() && role >= Some(RepositoryRole::Write))
            }
            Err(error) if error.store_error().is_some() => Err(error),
            Err(_) => Ok(false),
        }
    }

    /// What a caller may do in a repository now, visibility apart.
    pub(super) async fn role_in(
        &self,
        caller: &Caller,
        name: &RepositoryName,
        record: Option<&RepositoryRecord>,
    ) -> Result<Option<RepositoryRole>, Error> {
        self.role_by(caller, &caller.access, name, record).await
    }

    async fn role_by(
        &self,
        caller: &Caller,
        access: &Access,
        name: &RepositoryName,
        record: Option<&RepositoryRecord>,
    ) -> Result<Option<RepositoryRole>, Error> {
        if let Access::Repository { path, role } = access {
            return Ok((**path == *name.path()).then_some(*role));
        }
        if let Access::Grants(grants) = access {
            return Ok(grants.role(name.path()));
        }
        let actor = match self.actor(caller).await {
            Ok(actor) => actor,
            Err(error) if error.store_error().is_some() => return Err(error),
            Err(_) => return Ok(None),
        };
        let id = record.map(|record| record.id);
        let standing = self.standing(&actor, name.namespace(), id).await?;
        let reach: Reach = reach_of(access);
        Ok(standing.repository(reach))
    }

    /// Whether the credential that a token was issued for still counts.
    async fn still_counts(&self, caller: &Caller, grants: &TokenGrants) -> Result<bool, Error> {
        let mut reader = self.reader();
        let id = caller.credential_id.as_deref();
        let now = self.now();
        // A token speaks of its holder by name, and names are given anew.
        let account = match caller.account() {
            Some(name) => reader.account(AccountKey::Name(name)).await?,
            None => None,
        };
        let account = account.filter(|account| account.enabled && !account.is_organization());
        let Some(account) = account else {
            return Ok(match (grants.credential, id) {
                (CredentialKind::AccessToken, Some(name)) => reader.access_token(name).await?.is_some(),
                _ => caller.account().is_none(),
            });
        };
        Ok(match (grants.credential, id) {
            (CredentialKind::OAuthToken, Some(uuid)) => {
                let found = reader.oauth_token(OAuthTokenKey::Uuid(uuid)).await?;
                found.is_some_and(|(token, _)| token.account == account.id && token.expires > now)
            }
            (CredentialKind::AppSpecificToken, Some(uuid)) => {
                let found = reader.app_token(AppTokenKey::Uuid(uuid)).await?;
                found.is_some_and(|token| {
                    token.account == account.id && token.expires.is_none_or(|expires| expires > now)
                })
            }
            // A new secret of a robot's comes with a new uuid.
            (CredentialKind::RobotToken, _) => {
                let owner = match account.owner {
                    Some(owner) => reader.account(AccountKey::Id(owner)).await?,
                    None => None,
                };
                id == Some(&account.uuid) && owner.is_some_and(|owner| owner.enabled)
            }
            // An account that has come by the name later is another's. The token's time is in whole seconds.
            (CredentialKind::Password, _) => account.created <= grants.issued.plus(Duration::from_secs(1)),
            _ => false,
        })
    }
}

/// An address of an organization's that reaches whoever made it (RFC 5233).
fn contact(email: &str, organization: &str) -> Option<String> {
    let (local, domain) = email.rsplit_once('@')?;
    Some(format!("{local}+{organization}@{domain}"))
}

/// Decides over the registry protocol by accounts.
///
/// A registry token is worth what it grants, without a look at the database, until a change concerns it;
/// from then on it grants what its holder may still do.
#[derive(Debug)]
pub struct AccountAuthorizer {
    accounts: Accounts,
    changes: Arc<Changes>,
    verdicts: Mutex<HashMap<Judged, (Option<RepositoryRole>, Timestamp)>>,
}

/// What a verdict is about. The token's own id keeps what one was refused from another that was issued in
/// the same second, after what the first lacked was given back.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Judged {
    principal: Principal,
    credential: Option<Arc<str>>,
    issued: Timestamp,
    token: Option<Arc<str>>,
    repository: RepositoryName,
}

/// How long a verdict on a token stands that a change concerns, so that not each request costs statements.
/// With the time until a change is heard of it must stay below five seconds.
const VERDICT: Duration = Duration::from_secs(2);
/// Verdicts that are kept.
const VERDICTS: usize = 10_000;

impl AccountAuthorizer {
    /// Whether what is public may be seen by a caller for no other reason. Where everybody must log in, a token
    /// says itself what it was granted.
    fn sees_what_is_public(&self, caller: &Caller) -> bool {
        let known = caller.principal != Principal::Anonymous && !matches!(caller.access, Access::Grants(_));
        self.accounts.options().anonymous_access || known
    }

    /// An authorizer that knows of `changes`.
    #[must_use]
    pub fn new(accounts: Accounts, changes: Arc<Changes>) -> Self {
        Self {
            accounts,
            changes,
            verdicts: Mutex::default(),
        }
    }

    async fn role(
        &self,
        caller: &Caller,
        name: &RepositoryName,
        record: Option<&RepositoryRecord>,
    ) -> Result<Option<RepositoryRole>, Error> {
        let Access::Grants(grants) = &caller.access else {
            return self.accounts.role_in(caller, name, record).await;
        };
        let granted = grants.role(name.path());
        if granted.is_none() || !self.changes.concern(caller, grants.issued, Some(name)) {
            return Ok(granted);
        }
        let judged = Judged {
            principal: caller.principal.clone(),
            credential: caller.credential_id.clone(),
            issued: grants.issued,
            token: grants.id.clone(),
            repository: name.clone(),
        };
        let now = self.accounts.now();
        {
            let verdicts = self.verdicts.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((role, at)) = verdicts.get(&judged)
                && now < at.plus(VERDICT)
                && *at <= now
            {
                return Ok((*role).min(granted));
            }
        }
        let role = self.judge(caller, grants, name, record).await?;
        let mut verdicts = self.verdicts.lock().unwrap_or_else(PoisonError::into_inner);
        if verdicts.len() >= VERDICTS {
            verdicts.clear();
        }
        verdicts.insert(judged, (role, now));
        Ok(role.min(granted))
    }

    /// Whether what a token was issued for still counts.
    async fn counts(&self, caller: &Caller, grants: &TokenGrants) -> Result<bool, Error> {
        // The credential itself was taken back: a password was changed, an account renamed or converted.
        let taken_back = caller.credential_id.as_deref().is_some_and(|id| {
            grants.credential == CredentialKind::Password && self.changes.holds(Subject::Credential(id))
        });
        Ok(!taken_back && self.accounts.still_counts(caller, grants).await?)
    }

    /// What a token's holder may do now in a repository.
    async fn judge(
        &self,
        caller: &Caller,
        grants: &TokenGrants,
        name: &RepositoryName,
        record: Option<&RepositoryRecord>,
    ) -> Result<Option<RepositoryRole>, Error> {
        if let Some(namespace) = self
            .accounts
            .reader()
            .account(AccountKey::Name(name.namespace()))
            .await?
            && !namespace.enabled
        {
            return Ok(None);
        }
        if !self.counts(caller, grants).await? {
            return Ok(None);
        }
        if caller.principal == Principal::Anonymous {
            // It was granted since the repository was public; whether it is, the record says.
            return Ok(None);
        }
        self.accounts.role_by(caller, &grants.behind, name, record).await
    }
}

fn denied(error: Error) -> Result<Decision, StoreError> {
    match error.into_store_error() {
        Some(store) => Err(store),
        None => Ok(Decision::Deny("the caller could not be judged")),
    }
}

#[async_trait]
impl Authorizer for AccountAuthorizer {
    async fn authorize(
        &self,
        action: Action,
        resource: Resource<'_>,
        caller: &Caller,
    ) -> Result<Decision, StoreError> {
        if caller.principal == Principal::System {
            return Ok(Decision::Allow("the registry itself"));
        }
        let Resource::Repository { name, record } = resource else {
            return Ok(match action {
                // An anonymous caller with a token has been told as much as there is to know.
                Action::Ping => match (&caller.principal, &caller.access) {
                    (Principal::Anonymous, Access::Own) => Decision::Deny("nobody in particular is calling"),
                    _ => Decision::Allow("the caller has a token"),
                },
                Action::Catalog
                    if caller.principal == Principal::Anonymous
                        && !self.accounts.options().anonymous_access =>
                {
                    Decision::Deny("nobody in particular is calling")
                }
                Action::Catalog => Decision::Allow("everybody may see what they may see"),
                _ => Decision::Deny("there is no such action on the registry"),
            });
        };
        let needed = match action {
            Action::Pull => RepositoryRole::Read,
            Action::Push | Action::Delete => RepositoryRole::Write,
            // Repositories are made when a token to push to them is issued.
            _ => return Ok(Decision::Deny("a token to push comes first")),
        };
        if needed == RepositoryRole::Read
            && record.is_some_and(|record| record.visibility == Visibility::Public)
            && self.sees_what_is_public(caller)
        {
            return Ok(Decision::Allow("the repository is public"));
        }
        match self.role(caller, name, record).await {
            Ok(Some(role)) if role >= needed => Ok(Decision::Allow("by the caller's role")),
            Ok(_) => Ok(Decision::Deny("the caller has no such role")),
            Err(error) => denied(error),
        }
    }

    async fn visible(
        &self,
        caller: &Caller,
        page: &PageRequest<String>,
    ) -> Result<Option<Vec<Arc<RepositoryRecord>>>, StoreError> {
        let options = self.accounts.options();
        // Lists are asked for seldom: whether the caller's credential still counts is looked up each time.
        let sees_own = match &caller.access {
            Access::Own => Ok(true),
            Access::Scopes(scopes) => Ok(scopes.repository_cap().is_some()),
            Access::Repository { .. } => Ok(false),
            Access::Grants(grants) => {
                let reaches = match &grants.behind {
                    Access::Own => true,
                    Access::Scopes(scopes) => scopes.repository_cap().is_some(),
                    Access::Repository { .. } | Access::Grants(_) => false,
                };
                if reaches {
                    self.counts(caller, grants).await
                } else {
                    Ok(false)
                }
            }
        };
        let sees_own = match sees_own {
            Ok(sees_own) => sees_own,
            Err(error) => return denied(error).map(|_| Some(Vec::new())),
        };
        let mut reader = self.accounts.reader();
        let account = match caller.account().filter(|_| sees_own) {
            None => None,
            Some(name) => reader
                .account(AccountKey::Name(name))
                .await?
                .filter(|account| account.enabled),
        };
        if account.is_none() && !options.public_catalog {
            return Ok(Some(Vec::new()));
        }
        let who = account
            .as_ref()
            .map(|account| (account.id, account.name.as_str()));
        let found = reader.visible(who, options.public_catalog, page).await?;
        Ok(Some(found))
    }
}
