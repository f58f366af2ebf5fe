//! Policies about the life of tags, as their owners look after them: auto-pruning and immutability
//! (`quay-api.md`, section 9).

use std::sync::Arc;

use serde_json::{Value, json};

use super::facade::{Accounts, Need, not_found, object};
use super::log::{LogEntry, LogKind};
use super::record::AccountId;
use super::store::{AccountKey, AccountUnit};
use crate::caller::Caller;
use crate::error::{Error, ErrorKind};
use crate::lifecycle::{ImmutabilityRule, PruneInput, PruneRule};
use crate::metadata::{PolicyKind, PolicyOwner, PolicyRecord, RepositoryRecord, RepositoryState, UnitOfWork};
use crate::name::RepositoryName;
use crate::registry::{Preview, PreviewOwner, PreviewPlace, Previewed, preview};
use crate::runtime::Timestamp;

/// Policies of one kind that one namespace or repository may have. Each of them is looked at with every push.
const MOST: usize = 50;

/// Tags on one page of what a policy would do at the most.
const PREVIEWED: usize = 100;

/// Whose policies somebody looks after.
#[derive(Debug, Clone, Copy)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a namespace of one's own or of others, or a repository"
)]
pub enum PolicyPlace<'a> {
    /// The caller's own namespace.
    Own,
    /// An organization's.
    Organization(&'a str),
    /// A repository's.
    Repository(&'a RepositoryName),
}

/// A policy as somebody writes it.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_enums, reason = "one for each kind of policy")]
pub enum PolicyInput {
    /// One that prunes.
    Prune(PruneInput),
    /// One that makes immutable.
    Immutability {
        /// Which names it is about.
        tag_pattern: String,
        /// Whether about those that the pattern fits, as it is when absent, or the others.
        tag_pattern_matches: Option<bool>,
    },
}

/// A policy as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PolicyView {
    /// Its id.
    pub uuid: String,
    /// What it says, as it is stored (`data-model.md`).
    pub content: Value,
}

/// A policy that makes sense.
#[derive(Debug, Clone)]
struct Checked {
    rule: Preview,
    content: Value,
}

impl PolicyInput {
    const fn kind(&self) -> PolicyKind {
        match self {
            Self::Prune(_) => PolicyKind::Prune,
            Self::Immutability { .. } => PolicyKind::Immutability,
        }
    }

    fn check(&self) -> Result<Checked, Error> {
        Ok(match self {
            Self::Prune(input) => {
                let rule = PruneRule::parse(input.clone())?;
                Checked {
                    content: rule.stored(),
                    rule: Preview::Prune(rule),
                }
            }
            Self::Immutability {
                tag_pattern,
                tag_pattern_matches,
            } => {
                let rule = ImmutabilityRule::parse(tag_pattern, *tag_pattern_matches)?;
                Checked {
                    content: rule.stored(),
                    rule: Preview::Immutability(rule),
                }
            }
        })
    }
}

/// Whose policies they are, once that has been looked up and the caller may look after them.
struct Owned {
    owner: PolicyOwner,
    namespace: String,
    /// The namespace's account.
    account: Option<AccountId>,
    repository: Option<Arc<RepositoryRecord>>,
}

/// What is done to a policy.
enum Deed<'a> {
    Create(&'a str, &'a Checked),
    Change(&'a str, &'a Checked),
    Delete(&'a str),
}

impl Deed<'_> {
    const fn uuid(&self) -> &str {
        match self {
            Self::Create(uuid, _) | Self::Change(uuid, _) | Self::Delete(uuid) => uuid,
        }
    }

    const fn kind(&self, of: PolicyKind, repository: bool) -> LogKind {
        match (of, self, repository) {
            (PolicyKind::Immutability, Self::Create(..), _) => LogKind::CreateImmutabilityPolicy,
            (PolicyKind::Immutability, Self::Change(..), _) => LogKind::UpdateImmutabilityPolicy,
            (PolicyKind::Immutability, Self::Delete(_), _) => LogKind::DeleteImmutabilityPolicy,
            (PolicyKind::Prune, Self::Create(..), false) => LogKind::CreateNamespaceAutoprunePolicy,
            (PolicyKind::Prune, Self::Change(..), false) => LogKind::UpdateNamespaceAutoprunePolicy,
            (PolicyKind::Prune, Self::Delete(_), false) => LogKind::DeleteNamespaceAutoprunePolicy,
            (PolicyKind::Prune, Self::Create(..), true) => LogKind::CreateRepositoryAutoprunePolicy,
            (PolicyKind::Prune, Self::Change(..), true) => LogKind::UpdateRepositoryAutoprunePolicy,
            (PolicyKind::Prune, Self::Delete(_), true) => LogKind::DeleteRepositoryAutoprunePolicy,
        }
    }

    /// What the action log is told besides whose policy it is.
    fn told(&self) -> Value {
        match self {
            Self::Create(_, checked) | Self::Change(_, checked) => checked.content.clone(),
            Self::Delete(uuid) => json!({ "policy_uuid": uuid }),
        }
    }
}

fn rejected(message: &str) -> Error {
    Error::new(ErrorKind::InvalidRequest, message)
}

impl Accounts {
    /// Whose policies the caller may look after.
    async fn owned(&self, caller: &Caller, place: PolicyPlace<'_>) -> Result<Owned, Error> {
        let of_account = |account: super::record::Account| Owned {
            owner: PolicyOwner::Namespace(account.name.clone()),
            namespace: account.name,
            account: Some(account.id),
            repository: None,
        };
        match place {
            PolicyPlace::Own => Ok(of_account(self.user_admin(caller).await?.account)),
            PolicyPlace::Organization(name) => {
                let (_, organization) = self.organization(caller, name, Need::Admin).await?;
                Ok(of_account(organization))
            }
            PolicyPlace::Repository(name) => {
                let (_, record) = self.repository_admin(caller, name).await?;
                Ok(Owned {
                    owner: PolicyOwner::Repository(record.id),
                    namespace: record.name.namespace().to_owned(),
                    account: None,
                    repository: Some(record),
                })
            }
        }
    }

    /// The policies of a kind, the oldest first. They are few: 50 at the most.
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`] and its kin for those who do not administer the namespace or repository,
    /// [`ErrorKind::NotFound`] where it is not there; the store's.
    pub async fn policies(
        &self,
        caller: &Caller,
        place: PolicyPlace<'_>,
        kind: PolicyKind,
    ) -> Result<Vec<PolicyView>, Error> {
        let owned = self.owned(caller, place).await?;
        let found = self.0.store.policies(kind, &[owned.owner]).await?;
        let view = |policy: PolicyRecord| PolicyView {
            content: serde_json::from_str(&policy.content).unwrap_or_default(),
            uuid: policy.uuid,
        };
        Ok(found.into_iter().map(view).collect())
    }

    /// One policy.
    ///
    /// # Errors
    /// As [`policies`](Self::policies); [`ErrorKind::NotFound`] as well without such a policy.
    pub async fn policy(
        &self,
        caller: &Caller,
        place: PolicyPlace<'_>,
        kind: PolicyKind,
        uuid: &str,
    ) -> Result<PolicyView, Error> {
        let policies = self.policies(caller, place, kind).await?;
        let found = policies.into_iter().find(|policy| policy.uuid == uuid);
        found.ok_or_else(not_found)
    }

    /// Adds a policy, and has its repositories gone through. Its id.
    ///
    /// # Errors
    /// As [`policies`](Self::policies); [`ErrorKind::InvalidRequest`] for one that makes no sense, is there already,
    /// or is one too many.
    pub async fn create_policy(
        &self,
        caller: &Caller,
        place: PolicyPlace<'_>,
        input: &PolicyInput,
    ) -> Result<String, Error> {
        let owned = self.owned(caller, place).await?;
        let checked = input.check()?;
        let uuid = self.uuid();
        let deed = Deed::Create(&uuid, &checked);
        self.do_to_policy(caller, &owned, input.kind(), &deed).await?;
        Ok(uuid)
    }

    /// Puts a policy in the place of another, and has its repositories gone through.
    ///
    /// # Errors
    /// As [`create_policy`](Self::create_policy); [`ErrorKind::NotFound`] as well without such a policy.
    pub async fn change_policy(
        &self,
        caller: &Caller,
        place: PolicyPlace<'_>,
        uuid: &str,
        input: &PolicyInput,
    ) -> Result<(), Error> {
        let owned = self.owned(caller, place).await?;
        let checked = input.check()?;
        let deed = Deed::Change(uuid, &checked);
        self.do_to_policy(caller, &owned, input.kind(), &deed).await
    }

    /// Removes a policy. Tags that it has made immutable stay so.
    ///
    /// # Errors
    /// As [`policy`](Self::policy).
    pub async fn delete_policy(
        &self,
        caller: &Caller,
        place: PolicyPlace<'_>,
        kind: PolicyKind,
        uuid: &str,
    ) -> Result<(), Error> {
        let owned = self.owned(caller, place).await?;
        self.do_to_policy(caller, &owned, kind, &Deed::Delete(uuid)).await
    }

    /// A page of what a policy would do by itself as things are: the tags that it would prune or make immutable, 100
    /// at the most, found among a limited number, so that a page may hold few and others follow. Nothing is changed
    /// or stored.
    ///
    /// # Errors
    /// As [`create_policy`](Self::create_policy).
    pub async fn preview_policy(
        &self,
        caller: &Caller,
        place: PolicyPlace<'_>,
        input: &PolicyInput,
        from: Option<PreviewPlace>,
        limit: usize,
    ) -> Result<Previewed, Error> {
        let owned = self.owned(caller, place).await?;
        let checked = input.check()?;
        let of = match &owned.repository {
            Some(record) => PreviewOwner::Repository(record),
            None => PreviewOwner::Namespace(&owned.namespace),
        };
        let limit = limit.clamp(1, PREVIEWED);
        let immutable = self.0.options.immutable_tags;
        preview(
            &*self.0.store,
            &checked.rule,
            &of,
            from,
            limit,
            immutable,
            self.now(),
        )
        .await
    }

    async fn do_to_policy(
        &self,
        caller: &Caller,
        owned: &Owned,
        kind: PolicyKind,
        deed: &Deed<'_>,
    ) -> Result<(), Error> {
        if self.0.options.read_only {
            let message = "the registry is in read-only mode";
            return Err(Error::new(ErrorKind::ReadOnly, message));
        }
        let repository = owned.repository.as_deref();
        let mut metadata = object(&[
            ("namespace", json!(owned.namespace)),
            ("repo", json!(repository.map(|record| record.name.rest()))),
        ]);
        if let (Value::Object(metadata), Value::Object(more)) = (&mut metadata, deed.told()) {
            metadata.extend(more);
        }
        let log_kind = deed.kind(kind, repository.is_some());
        let mut entry = self
            .entry(caller, log_kind, Some(&owned.namespace), metadata)
            .await?;
        entry.repository = repository.map(|record| record.id);
        let now = self.now();
        let mut attempt = 0;
        loop {
            let mut unit = self.0.store.begin_accounts().await?;
            let outcome = match carry_out(&mut *unit, owned, kind, deed, &entry, now).await {
                Ok(()) => UnitOfWork::commit(unit).await.map_err(Error::from),
                Err(error) if error.store_error().is_some() => {
                    drop(unit);
                    Err(error)
                }
                Err(error) => match UnitOfWork::abandon(unit).await {
                    Ok(()) => Err(error),
                    Err(undone) => Err(undone.into()),
                },
            };
            match outcome {
                Err(error) if crate::registry::try_again(&error, attempt) => attempt += 1,
                other => return other,
            }
        }
    }
}

async fn carry_out(
    unit: &mut dyn AccountUnit,
    place: &Owned,
    kind: PolicyKind,
    deed: &Deed<'_>,
    entry: &LogEntry,
    now: Timestamp,
) -> Result<(), Error> {
    // Changes of one owner's policies follow one another, and none goes to an owner that has gone.
    let still_there = match (&place.repository, place.account) {
        (Some(record), _) => {
            let found = unit.repositories().lock(record.id).await?;
            found.is_some_and(|found| found.state != RepositoryState::MarkedForDeletion)
        }
        (None, Some(account)) => {
            let accounts = unit.accounts();
            accounts.lock_account(account).await?;
            // Under its name, which it may have changed since it was looked up.
            let found = accounts.account(AccountKey::Id(account)).await?;
            found.is_some_and(|found| found.name == place.namespace)
        }
        (None, None) => false,
    };
    if !still_there {
        return Err(not_found());
    }
    let owner = &place.owner;
    let unsupported = || Error::new(ErrorKind::Unsupported, "this registry keeps no policies");
    let store = unit.lifecycle().ok_or_else(unsupported)?;
    match deed {
        Deed::Create(uuid, checked) | Deed::Change(uuid, checked) => {
            let policies = store.policies(kind, std::slice::from_ref(owner)).await?;
            let creates = matches!(deed, Deed::Create(..));
            if !creates && policies.iter().all(|policy| policy.uuid != *uuid) {
                return Err(not_found());
            }
            let others = || policies.iter().filter(|policy| policy.uuid != *uuid);
            let same = |policy: &PolicyRecord| {
                serde_json::from_str::<Value>(&policy.content).is_ok_and(|known| match kind {
                    PolicyKind::Prune => known == checked.content,
                    PolicyKind::Immutability => known["tag_pattern"] == checked.content["tag_pattern"],
                })
            };
            if others().any(same) {
                let message = match kind {
                    PolicyKind::Prune => "A policy with the same values already exists",
                    PolicyKind::Immutability => "A policy with the same tag_pattern already exists",
                };
                return Err(rejected(message));
            }
            if others().count() >= MOST {
                return Err(rejected("There are too many policies already"));
            }
            let content = checked.content.to_string();
            let policy = PolicyRecord::new((*uuid).to_owned(), kind, owner.clone(), content);
            if creates {
                store.insert_policy(&policy).await?;
            } else if !store.save_policy(&policy).await? {
                return Err(not_found());
            }
            store.schedule(kind, owner, now).await?;
        }
        Deed::Delete(_) => {
            if !store.delete_policy(kind, owner, deed.uuid()).await? {
                return Err(not_found());
            }
        }
    }
    Ok(unit.accounts().log(entry).await?)
}
