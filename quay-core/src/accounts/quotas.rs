//! Quotas as people look after them: superusers lay them down for namespaces, administrators of a repository for
//! that (`quay-api.md`, "Quota"; repositories' are beyond Quay).

use serde_json::{Value, json};

use super::facade::{Accounts, invalid, not_found, refuse};
use super::log::{LogEntry, LogKind};
use super::store::AccountKey;
use crate::caller::Caller;
use crate::error::Error;
use crate::metadata::{
    Quota, QuotaLimit, QuotaLimitKind, QuotaOwner, QuotaUse, RegistrySize, RepositoryId, UnitOfWork,
};
use crate::name::RepositoryName;

/// Runs an async block on a unit of work of the store and commits it; meeting another writer, starts over.
macro_rules! transact {
    ($accounts:expr, |$unit:ident| $work:expr) => {{
        let mut attempt = 0;
        loop {
            let mut opened = $accounts.0.store.begin_accounts().await?;
            let outcome: Result<_, Error> = {
                let $unit = &mut *opened;
                $work.await
            };
            let outcome = match outcome {
                Ok(value) => UnitOfWork::commit(opened)
                    .await
                    .map(|()| value)
                    .map_err(Error::from),
                Err(error) => Err(error),
            };
            match outcome {
                Err(error) if crate::registry::try_again(&error, attempt) => attempt += 1,
                other => break other,
            }
        }
    }};
}

/// Through which door somebody comes to a quota.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::exhaustive_enums, reason = "the API's four kinds of paths")]
pub enum QuotaPlace<'a> {
    /// An organization's, by name.
    Organization(&'a str),
    /// The caller's own.
    Own,
    /// Any user's or organization's, by name, for superusers.
    Any(&'a str),
    /// A repository's.
    Repository(&'a RepositoryName),
}

/// A quota as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct QuotaView {
    /// Its id; `None` for the one that the configuration has for all.
    pub id: Option<i64>,
    /// How many bytes.
    pub limit_bytes: u64,
    /// Its levels.
    pub limits: Vec<QuotaLimit>,
}

impl From<Quota> for QuotaView {
    fn from(quota: Quota) -> Self {
        Self {
            id: Some(quota.id),
            limit_bytes: quota.limit_bytes,
            limits: quota.limits,
        }
    }
}

/// What a namespace uses, and what is laid down for it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct QuotaReport {
    /// Its quotas: none or one.
    pub quotas: Vec<QuotaView>,
    /// What it uses.
    pub used: QuotaUse,
    /// How many bytes are laid down, by its own quota or the configuration.
    pub configured: Option<u64>,
}

/// Whose quota it is: for the rows, and for the action log.
struct Owner {
    whose: QuotaOwner,
    namespace: String,
    repository: Option<(RepositoryId, String)>,
}

fn percent(given: i64) -> Result<u32, Error> {
    u32::try_from(given)
        .ok()
        .filter(|percent| (1..=100).contains(percent))
        .ok_or_else(|| invalid("a level lies between 1 and 100 percent of the quota"))
}

fn kind(given: &str) -> Result<QuotaLimitKind, Error> {
    match given.to_ascii_lowercase().as_str() {
        "warning" => Ok(QuotaLimitKind::Warning),
        "reject" => Ok(QuotaLimitKind::Reject),
        _ => Err(invalid("a level's type is Warning or Reject")),
    }
}

/// Bytes that a quota may have: more than none, and as many as every store can keep.
fn size(given: i128) -> Result<u64, Error> {
    u64::try_from(given)
        .ok()
        .filter(|bytes| *bytes > 0 && i64::try_from(*bytes).is_ok())
        .ok_or_else(|| invalid("a quota has between 1 and 9223372036854775807 bytes"))
}

/// Refuses a level that is there, and a second one that rejects.
fn fits(quota: &Quota, limit: &QuotaLimit) -> Result<(), Error> {
    for other in quota.limits.iter().filter(|other| other.id != limit.id) {
        if (other.kind, other.percent) == (limit.kind, limit.percent) {
            return Err(invalid("the quota has this level already"));
        }
        if other.kind == QuotaLimitKind::Reject && limit.kind == QuotaLimitKind::Reject {
            return Err(invalid("a quota has one level of the type Reject at the most"));
        }
    }
    Ok(())
}

fn quotas_of(unit: &mut dyn UnitOfWork) -> Result<&mut dyn crate::metadata::QuotaStore, Error> {
    unit.quotas().ok_or_else(not_found)
}

async fn found(unit: &mut dyn UnitOfWork, owner: &QuotaOwner, id: i64) -> Result<Quota, Error> {
    let quota = quotas_of(unit)?.quota(owner).await?;
    quota.filter(|quota| quota.id == id).ok_or_else(not_found)
}

fn limit_of(quota: &Quota, id: i64) -> Result<QuotaLimit, Error> {
    let limit = quota.limits.iter().find(|limit| limit.id == id);
    limit.copied().ok_or_else(not_found)
}

impl Accounts {
    /// Who may look at quotas there, and whose they are.
    async fn quota_reader(&self, caller: &Caller, place: QuotaPlace<'_>) -> Result<Owner, Error> {
        match place {
            QuotaPlace::Organization(name) => {
                let actor = self.actor(caller).await?;
                let standing = self.standing(&actor, name, None).await?;
                if standing.organization(actor.reach).is_none() && !self.acts_as_superuser(&actor) {
                    return Err(refuse(caller));
                }
                self.quota_organization(name).await
            }
            QuotaPlace::Own => {
                let actor = self.user_admin(caller).await?;
                Ok(Owner::of_namespace(&actor.account.name))
            }
            QuotaPlace::Any(name) => {
                self.fresh_superuser(caller).await?;
                self.quota_namespace(name).await
            }
            QuotaPlace::Repository(name) => self.quota_repository(caller, name).await,
        }
    }

    /// Who may change them.
    async fn quota_writer(&self, caller: &Caller, place: QuotaPlace<'_>) -> Result<Owner, Error> {
        match place {
            QuotaPlace::Organization(name) => {
                self.superuser(caller).await?;
                self.quota_organization(name).await
            }
            QuotaPlace::Own => Err(refuse(caller)),
            QuotaPlace::Any(name) => {
                self.fresh_superuser(caller).await?;
                self.quota_namespace(name).await
            }
            QuotaPlace::Repository(name) => self.quota_repository(caller, name).await,
        }
    }

    async fn quota_organization(&self, name: &str) -> Result<Owner, Error> {
        let account = self.reader().account(AccountKey::Name(name)).await?;
        match account.filter(super::record::Account::is_organization) {
            Some(account) => Ok(Owner::of_namespace(&account.name)),
            None => Err(not_found()),
        }
    }

    async fn quota_namespace(&self, name: &str) -> Result<Owner, Error> {
        let account = self.reader().account(AccountKey::Name(name)).await?;
        match account.filter(|account| !account.is_robot()) {
            Some(account) => Ok(Owner::of_namespace(&account.name)),
            None => Err(not_found()),
        }
    }

    async fn quota_repository(&self, caller: &Caller, name: &RepositoryName) -> Result<Owner, Error> {
        let (_, record) = self.repository_admin(caller, name).await?;
        Ok(Owner {
            whose: QuotaOwner::Repository(record.id),
            namespace: name.namespace().to_owned(),
            repository: Some((record.id, name.rest().to_owned())),
        })
    }

    async fn quota_entry(
        &self,
        caller: &Caller,
        kind: LogKind,
        owner: &Owner,
        more: &[(&str, Value)],
    ) -> Result<LogEntry, Error> {
        let mut metadata = json!({ "namespace": owner.namespace });
        if let Some((_, rest)) = &owner.repository {
            metadata["repo"] = json!(rest);
        }
        for (key, value) in more {
            metadata[*key] = value.clone();
        }
        let namespace = Some(owner.namespace.as_str());
        let mut entry = self.entry(caller, kind, namespace, metadata).await?;
        entry.repository = owner.repository.as_ref().map(|(id, _)| *id);
        Ok(entry)
    }

    /// The configuration's quota for namespaces that have none of their own.
    fn default_quota(&self, owner: &QuotaOwner) -> Option<QuotaView> {
        match owner {
            QuotaOwner::Repository(_) => None,
            QuotaOwner::Namespace(_) => self.0.options.default_reject_quota.map(|limit_bytes| QuotaView {
                id: None,
                limit_bytes,
                limits: Vec::new(),
            }),
        }
    }

    /// The quotas of a place: none, its own, or the configuration's.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound), what keeps the caller from looking, or a store's.
    pub async fn quotas(&self, caller: &Caller, place: QuotaPlace<'_>) -> Result<Vec<QuotaView>, Error> {
        let owner = self.quota_reader(caller, place).await?;
        let mut unit = self.0.store.begin_accounts().await?;
        let own = quotas_of(&mut *unit)?.quota(&owner.whose).await?;
        let shown = own
            .map(QuotaView::from)
            .or_else(|| self.default_quota(&owner.whose));
        Ok(shown.into_iter().collect())
    }

    /// One quota of a place.
    ///
    /// # Errors
    /// As [`quotas`](Self::quotas).
    pub async fn quota(&self, caller: &Caller, place: QuotaPlace<'_>, id: i64) -> Result<Quota, Error> {
        let owner = self.quota_reader(caller, place).await?;
        let mut unit = self.0.store.begin_accounts().await?;
        found(&mut *unit, &owner.whose, id).await
    }

    /// Lays down a quota.
    ///
    /// # Errors
    /// [`InvalidRequest`](crate::ErrorKind::InvalidRequest) when there is one, or for a size that none can have;
    /// else as [`quotas`](Self::quotas), for those who may not change it.
    pub async fn create_quota(
        &self,
        caller: &Caller,
        place: QuotaPlace<'_>,
        bytes: i128,
    ) -> Result<(), Error> {
        let owner = self.quota_writer(caller, place).await?;
        let bytes = size(bytes)?;
        let more = [("limit_bytes", json!(bytes))];
        let entry = self
            .quota_entry(caller, LogKind::OrgCreateQuota, &owner, &more)
            .await?;
        transact!(self, |unit| async {
            let made = quotas_of(&mut *unit)?.insert_quota(&owner.whose, bytes).await?;
            if made.is_none() {
                return Err(invalid("there is a quota already, which can be changed"));
            }
            unit.accounts().log(&entry).await?;
            Ok(())
        })
    }

    /// Changes how many bytes a quota has, or leaves it as it is.
    ///
    /// # Errors
    /// As [`create_quota`](Self::create_quota).
    pub async fn resize_quota(
        &self,
        caller: &Caller,
        place: QuotaPlace<'_>,
        id: i64,
        bytes: Option<i128>,
    ) -> Result<Quota, Error> {
        let owner = self.quota_writer(caller, place).await?;
        let bytes = bytes.map(size).transpose()?;
        let more = [("quota_id", json!(id)), ("limit_bytes", json!(bytes))];
        let entry = self
            .quota_entry(caller, LogKind::OrgChangeQuota, &owner, &more)
            .await?;
        transact!(self, |unit| async {
            let mut quota = found(&mut *unit, &owner.whose, id).await?;
            if let Some(bytes) = bytes {
                quotas_of(&mut *unit)?.resize_quota(id, bytes).await?;
                quota.limit_bytes = bytes;
                unit.accounts().log(&entry).await?;
            }
            Ok(quota)
        })
    }

    /// Removes a quota with its levels.
    ///
    /// # Errors
    /// As [`quotas`](Self::quotas), for those who may not change it.
    pub async fn delete_quota(&self, caller: &Caller, place: QuotaPlace<'_>, id: i64) -> Result<(), Error> {
        let owner = self.quota_writer(caller, place).await?;
        let more = [("quota_id", json!(id))];
        let entry = self
            .quota_entry(caller, LogKind::OrgDeleteQuota, &owner, &more)
            .await?;
        transact!(self, |unit| async {
            found(&mut *unit, &owner.whose, id).await?;
            quotas_of(&mut *unit)?.delete_quota(id).await?;
            unit.accounts().log(&entry).await?;
            Ok(())
        })
    }

    /// Adds a level to a quota.
    ///
    /// # Errors
    /// [`InvalidRequest`](crate::ErrorKind::InvalidRequest) for one that cannot be or is there; else as
    /// [`quotas`](Self::quotas), for those who may not change it.
    pub async fn create_quota_limit(
        &self,
        caller: &Caller,
        place: QuotaPlace<'_>,
        id: i64,
        of_kind: &str,
        at_percent: i64,
    ) -> Result<(), Error> {
        let owner = self.quota_writer(caller, place).await?;
        let limit = QuotaLimit::new(0, kind(of_kind)?, percent(at_percent)?);
        let more = [
            ("quota_id", json!(id)),
            ("type", json!(limit.kind.as_str())),
            ("threshold_percent", json!(limit.percent)),
        ];
        let entry = self
            .quota_entry(caller, LogKind::OrgCreateQuotaLimit, &owner, &more)
            .await?;
        transact!(self, |unit| async {
            let quota = found(&mut *unit, &owner.whose, id).await?;
            fits(&quota, &limit)?;
            quotas_of(&mut *unit)?
                .insert_limit(id, limit.kind, limit.percent)
                .await?;
            unit.accounts().log(&entry).await?;
            Ok(())
        })
    }

    /// A level of a quota.
    ///
    /// # Errors
    /// As [`quotas`](Self::quotas).
    pub async fn quota_limit(
        &self,
        caller: &Caller,
        place: QuotaPlace<'_>,
        id: i64,
        limit: i64,
    ) -> Result<QuotaLimit, Error> {
        let quota = self.quota(caller, place, id).await?;
        limit_of(&quota, limit)
    }

    /// Changes a level of a quota; what is absent stays.
    ///
    /// # Errors
    /// As [`create_quota_limit`](Self::create_quota_limit).
    pub async fn change_quota_limit(
        &self,
        caller: &Caller,
        place: QuotaPlace<'_>,
        (id, limit): (i64, i64),
        of_kind: Option<&str>,
        at_percent: Option<i64>,
    ) -> Result<Quota, Error> {
        let owner = self.quota_writer(caller, place).await?;
        let of_kind = of_kind.map(kind).transpose()?;
        let at_percent = at_percent.map(percent).transpose()?;
        let more = [
            ("quota_id", json!(id)),
            ("limit_id", json!(limit)),
            ("type", json!(of_kind.map(QuotaLimitKind::as_str))),
            ("threshold_percent", json!(at_percent)),
        ];
        let entry = self
            .quota_entry(caller, LogKind::OrgChangeQuotaLimit, &owner, &more)
            .await?;
        transact!(self, |unit| async {
            let mut quota = found(&mut *unit, &owner.whose, id).await?;
            let mut changed = limit_of(&quota, limit)?;
            changed.kind = of_kind.unwrap_or(changed.kind);
            changed.percent = at_percent.unwrap_or(changed.percent);
            fits(&quota, &changed)?;
            quotas_of(&mut *unit)?.save_limit(&changed).await?;
            unit.accounts().log(&entry).await?;
            for of in quota.limits.iter_mut().filter(|of| of.id == limit) {
                *of = changed;
            }
            Ok(quota)
        })
    }

    /// Removes a level of a quota.
    ///
    /// # Errors
    /// As [`quotas`](Self::quotas), for those who may not change it.
    pub async fn delete_quota_limit(
        &self,
        caller: &Caller,
        place: QuotaPlace<'_>,
        id: i64,
        limit: i64,
    ) -> Result<(), Error> {
        let owner = self.quota_writer(caller, place).await?;
        let more = [("quota_id", json!(id)), ("limit_id", json!(limit))];
        let entry = self
            .quota_entry(caller, LogKind::OrgDeleteQuotaLimit, &owner, &more)
            .await?;
        transact!(self, |unit| async {
            let quota = found(&mut *unit, &owner.whose, id).await?;
            limit_of(&quota, limit)?;
            quotas_of(&mut *unit)?.delete_limit(limit).await?;
            unit.accounts().log(&entry).await?;
            Ok(())
        })
    }

    /// Has what a namespace uses counted anew, from the blobs that it holds; the count as it is stands until then.
    ///
    /// # Errors
    /// As [`quotas`](Self::quotas), for those who may not change them.
    pub async fn recount_usage(&self, caller: &Caller, place: QuotaPlace<'_>) -> Result<(), Error> {
        let owner = self.quota_writer(caller, place).await?;
        transact!(self, |unit| async {
            Ok(quotas_of(&mut *unit)?.queue_recount(&owner.whose).await?)
        })
    }

    /// What a namespace uses and what is laid down for it, for a view of it that the caller has already been
    /// shown. `None` where nothing is counted.
    ///
    /// # Errors
    /// The store's.
    pub async fn quota_report(&self, namespace: &str) -> Result<Option<QuotaReport>, Error> {
        if !self.0.options.quota_management {
            return Ok(None);
        }
        let Some(used) = self.0.store.namespace_usage(namespace).await? else {
            return Ok(None);
        };
        let owner = QuotaOwner::Namespace(namespace.to_owned());
        let own = used.quota.clone().map(QuotaView::from);
        let configured = own.clone().or_else(|| self.default_quota(&owner));
        Ok(Some(QuotaReport {
            quotas: own.into_iter().collect(),
            configured: configured.map(|quota| quota.limit_bytes),
            used,
        }))
    }

    /// How large the registry was when it was last counted.
    ///
    /// # Errors
    /// [`Forbidden`](crate::ErrorKind::Forbidden) unless the caller is a superuser;
    /// [`NotFound`](crate::ErrorKind::NotFound) where nothing is counted.
    pub async fn registry_size(&self, caller: &Caller) -> Result<RegistrySize, Error> {
        self.fresh_superuser(caller).await?;
        let mut unit = self.0.store.begin_accounts().await?;
        Ok(quotas_of(&mut *unit)?.registry_size().await?)
    }

    /// Has the registry counted. `false` when that is under way.
    ///
    /// # Errors
    /// As [`registry_size`](Self::registry_size).
    pub async fn queue_registry_size(&self, caller: &Caller) -> Result<bool, Error> {
        self.fresh_superuser(caller).await?;
        transact!(self, |unit| async {
            Ok(quotas_of(&mut *unit)?.queue_registry_size().await?)
        })
    }
}

impl Owner {
    fn of_namespace(name: &str) -> Self {
        Self {
            whose: QuotaOwner::Namespace(name.to_owned()),
            namespace: name.to_owned(),
            repository: None,
        }
    }
}
