//! Repositories as people look after them: lists, descriptions, who may see them, and their end.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::facade::{Accounts, Subject, change, not_found, refuse};
use super::log::{LogEntry, LogKind};
use super::record::{Account, RepositoryDetails};
use super::role::RepositoryRole;
use super::store::{AccountKey, AccountWrites, Sight};
use crate::caller::{Access, Caller, Principal};
use crate::error::{Error, ErrorKind};
use crate::metadata::{PageRequest, RepositoryRecord, RepositoryState, Visibility};
use crate::name::RepositoryName;

/// Which repositories a list holds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RepositoryList {
    /// Those of a namespace that the caller has a role in, and public ones if asked for.
    Namespace {
        /// The namespace.
        name: String,
        /// Whether public ones count.
        public: bool,
    },
    /// Those that the caller has starred and may still see.
    Starred,
    /// Those of all namespaces that the caller has a role in, and public ones.
    Public,
}

/// A repository in a list.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ListedRepository {
    /// Its row.
    pub record: Arc<RepositoryRecord>,
    /// What else is known of it; the mark of whoever looks is there for users alone.
    pub details: RepositoryDetails,
    /// Bytes that it uses, where that is counted.
    pub size: Option<u64>,
}

/// A repository as somebody sees it who may.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RepositoryView {
    /// Its row.
    pub record: Arc<RepositoryRecord>,
    /// What else is known of it.
    pub details: RepositoryDetails,
    /// The user or organization that it belongs to; `None` for a namespace that is nobody's.
    pub namespace: Option<Account>,
    /// What the caller may do in it, its state apart.
    pub role: Option<RepositoryRole>,
}

impl Accounts {
    /// A page of repositories by path, and the path that the next one goes on behind, if there may be more.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidToken`] where a list is somebody's and nobody is calling; the store's.
    pub async fn repositories(
        &self,
        caller: &Caller,
        list: &RepositoryList,
        page: &PageRequest<String>,
    ) -> Result<(Vec<ListedRepository>, Option<String>), Error> {
        let actor = match self.actor(caller).await {
            Ok(actor) => Some(actor),
            Err(error) if error.store_error().is_some() => return Err(error),
            Err(_) => None,
        };
        let account = actor.as_ref().map(|actor| actor.account.id);
        // A credential without any right in repositories sees what everybody sees.
        let seeing = actor.as_ref().filter(|_| match &caller.access {
            Access::Own => true,
            Access::Scopes(scopes) => scopes.repository_cap().is_some(),
            Access::Repository { .. } | Access::Grants(_) => false,
        });
        let mut reader = self.reader();
        // One row more shows whether there is a next page.
        let request = PageRequest::new(page.after.clone(), page.limit.saturating_add(1));
        let found = match list {
            RepositoryList::Namespace { name, public } => {
                let everything = match seeing {
                    Some(actor) => {
                        let standing = self.standing(actor, name, None).await?;
                        standing.repository(actor.reach).is_some()
                    }
                    None => false,
                };
                let sight = if everything {
                    Sight::Everything
                } else {
                    Sight::Granted {
                        account: seeing.map(|actor| actor.account.id),
                        public: *public,
                    }
                };
                reader.repositories_in(name, sight, &request).await?
            }
            RepositoryList::Starred => {
                let account = account.ok_or_else(|| refuse(caller))?;
                reader.starred_repositories(account, &request).await?
            }
            RepositoryList::Public => {
                let who = seeing.map(|actor| (actor.account.id, actor.account.name.as_str()));
                reader.visible(who, true, &request).await?
            }
        };
        let more = found.len() > page.limit;
        let mut found = found;
        found.truncate(page.limit);
        let next = found.last().filter(|_| more);
        let next = next.map(|record| record.name.path().to_owned());
        let mut records = Vec::with_capacity(found.len());
        for record in found {
            let visible = *list != RepositoryList::Starred
                || record.visibility == Visibility::Public
                || self.role_in(caller, &record.name, Some(&record)).await?.is_some();
            if visible {
                records.push(record);
            }
        }
        let ids: Vec<i64> = records.iter().map(|record| record.id).collect();
        let details = reader.repository_details(&ids, account, self.now()).await?;
        let mut details: HashMap<i64, RepositoryDetails> = details
            .into_iter()
            .map(|details| (details.repository, details))
            .collect();
        let mut sizes = HashMap::new();
        if self.0.options.quota_management {
            sizes = self.0.store.repository_sizes(&ids).await?;
        }
        let listed = records
            .into_iter()
            .filter_map(|record| {
                let details = details.remove(&record.id)?;
                let size = sizes.get(&record.id).copied();
                Some(ListedRepository {
                    record,
                    details,
                    size,
                })
            })
            .collect();
        Ok((listed, next))
    }

    /// A repository that the caller may see.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], told only to those who could see it if it were there; otherwise
    /// [`ErrorKind::InvalidToken`] or [`ErrorKind::Forbidden`]; the store's.
    pub async fn repository(&self, caller: &Caller, name: &RepositoryName) -> Result<RepositoryView, Error> {
        let record = self.live_repository(name).await?;
        let role = self.role_in(caller, name, record.as_deref()).await?;
        let public = record
            .as_ref()
            .is_some_and(|record| record.visibility == Visibility::Public);
        if role.is_none() && !public {
            return Err(refuse(caller));
        }
        let record = record.ok_or_else(not_found)?;
        let mut reader = self.reader();
        let account = match caller.account() {
            Some(name) => reader.account(AccountKey::Name(name)).await?,
            None => None,
        };
        let account = account.map(|account| account.id);
        let mut details = reader
            .repository_details(&[record.id], account, self.now())
            .await?;
        Ok(RepositoryView {
            details: details.pop().ok_or_else(not_found)?,
            namespace: reader.account(AccountKey::Name(name.namespace())).await?,
            record,
            role,
        })
    }

    /// A repository in which the caller has a role, and which may be changed.
    async fn repository_for(
        &self,
        caller: &Caller,
        name: &RepositoryName,
        needed: RepositoryRole,
    ) -> Result<Arc<RepositoryRecord>, Error> {
        if caller.principal == Principal::Anonymous {
            return Err(refuse(caller));
        }
        let record = self.live_repository(name).await?;
        let role = self.role_in(caller, name, record.as_deref()).await?;
        if role < Some(needed) {
            return Err(refuse(caller));
        }
        if self.0.options.read_only {
            return Err(Error::new(
                ErrorKind::ReadOnly,
                "the registry is in read-only mode",
            ));
        }
        record.ok_or_else(not_found)
    }

    async fn repository_entry(
        &self,
        caller: &Caller,
        kind: LogKind,
        record: &RepositoryRecord,
        more: &[(&str, Value)],
    ) -> Result<LogEntry, Error> {
        let name = &record.name;
        let mut metadata = json!({ "repo": name.rest(), "namespace": name.namespace() });
        for (key, value) in more {
            metadata[*key] = value.clone();
        }
        let mut entry = self.entry(caller, kind, Some(name.namespace()), metadata).await?;
        entry.repository = Some(record.id);
        Ok(entry)
    }

    /// Says something else of a repository.
    ///
    /// # Errors
    /// As [`repository`](Self::repository), for those who may not write to it.
    pub async fn describe_repository(
        &self,
        caller: &Caller,
        name: &RepositoryName,
        description: &str,
    ) -> Result<(), Error> {
        let record = self.repository_for(caller, name, RepositoryRole::Write).await?;
        let more = [("description", json!(description))];
        let entry = self
            .repository_entry(caller, LogKind::SetRepoDescription, &record, &more)
            .await?;
        change!(self, |unit| async {
            still_there(unit, &record).await?;
            unit.describe_repository(&record, Some(description)).await?;
            Ok(unit.log(&entry).await?)
        })
    }

    /// Changes who may see a repository.
    ///
    /// # Errors
    /// As [`repository`](Self::repository), for those who do not administer it.
    pub async fn set_visibility(
        &self,
        caller: &Caller,
        name: &RepositoryName,
        visibility: Visibility,
    ) -> Result<(), Error> {
        let record = self.repository_for(caller, name, RepositoryRole::Admin).await?;
        let more = [("visibility", json!(visibility.as_str()))];
        let entry = self
            .repository_entry(caller, LogKind::ChangeRepoVisibility, &record, &more)
            .await?;
        let now = self.now();
        change!(self, |unit| async {
            still_there(unit, &record).await?;
            unit.set_visibility(&record, visibility).await?;
            unit.change(&Subject::Repository(name.path()).key(), now).await?;
            Ok(unit.log(&entry).await?)
        })
    }

    /// Changes what may be done to a repository.
    ///
    /// # Errors
    /// As [`repository`](Self::repository), for those who do not administer it; [`ErrorKind::InvalidRequest`] for
    /// a state that nobody sets.
    pub async fn set_repository_state(
        &self,
        caller: &Caller,
        name: &RepositoryName,
        state: RepositoryState,
    ) -> Result<(), Error> {
        let record = self.repository_for(caller, name, RepositoryRole::Admin).await?;
        if state == RepositoryState::MarkedForDeletion {
            return Err(Error::new(ErrorKind::InvalidRequest, "no such state"));
        }
        let more = [("state_changed", json!(state.as_str().to_ascii_uppercase()))];
        let entry = self
            .repository_entry(caller, LogKind::ChangeRepoState, &record, &more)
            .await?;
        let now = self.now();
        change!(self, |unit| async {
            still_there(unit, &record).await?;
            unit.set_state(&record, state).await?;
            unit.change(&Subject::Repository(name.path()).key(), now).await?;
            Ok(unit.log(&entry).await?)
        })
    }

    /// Deletes a repository. Its name is free at once; what it held goes later.
    ///
    /// # Errors
    /// As [`repository`](Self::repository), for those who do not administer it.
    pub async fn delete_repository(&self, caller: &Caller, name: &RepositoryName) -> Result<(), Error> {
        let record = self.repository_for(caller, name, RepositoryRole::Admin).await?;
        let entry = self
            .repository_entry(caller, LogKind::DeleteRepo, &record, &[])
            .await?;
        let now = self.now();
        change!(self, |unit| async {
            still_there(unit, &record).await?;
            unit.delete_repository(&record).await?;
            unit.change(&Subject::Repository(name.path()).key(), now).await?;
            Ok(unit.log(&entry).await?)
        })
    }
}

/// Locks a repository that was looked up, which may have gone or been replaced since.
async fn still_there(unit: &mut dyn AccountWrites, record: &RepositoryRecord) -> Result<(), Error> {
    let found = unit.find_repository(&record.name).await?;
    match found {
        Some(found) if found.id == record.id => Ok(()),
        _ => Err(not_found()),
    }
}
