//! What the registry writes into the action log (`quay-api.md`, section 7): pushes and deletions in the
//! unit of work that makes them, pulls in batches.

use std::sync::{Mutex, PoisonError};

use futures::FutureExt as _;
use futures::channel::oneshot;
use serde_json::{Map, Value, json};

use super::Registry;
use crate::accounts::{LogEntry, LogKind};
use crate::caller::{Access, Caller, CredentialKind, Principal};
use crate::digest::Digest;
use crate::error::{Error, ErrorKind};
use crate::media_type::MediaType;
use crate::metadata::{RepositoryId, RepositoryRecord, UnitOfWork};
use crate::name::{Reference, RepositoryName, Tag};

/// Whether the registry writes an action log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::exhaustive_enums, reason = "not at all, or one of two ways")]
pub enum ActionLogging {
    /// It writes none.
    #[default]
    Off,
    /// A pull is answered once its entry is durable.
    Strict,
    /// A pull is answered at once; its entry is written soon after, or lost with the process.
    Relaxed,
}

/// Entries written at once.
const BATCH: usize = 500;
/// Entries that may wait before pulls wait for them even where they need not.
const WAITING: usize = 5000;

type Waiting = oneshot::Sender<bool>;

/// Pulls that are not in the log yet.
#[derive(Debug, Default)]
pub(super) struct PullLog(Mutex<Pending>);

#[derive(Debug, Default)]
struct Pending {
    entries: Vec<(LogEntry, Option<Waiting>)>,
    /// Whether somebody is writing.
    busy: bool,
}

/// The repository's path without what the library adds.
fn about(name: &RepositoryName) -> Map<String, Value> {
    let mut metadata = Map::new();
    metadata.insert("repo".to_owned(), name.rest().into());
    metadata.insert("namespace".to_owned(), name.namespace().into());
    metadata
}

/// What the credential says of the caller.
fn describe(caller: &Caller, metadata: &mut Map<String, Value>) {
    let mut put = |name: &str, value: Value| {
        metadata.insert(name.to_owned(), value);
    };
    let credential = match &caller.access {
        Access::Grants(grants) => grants.credential,
        _ => caller.credential,
    };
    match &caller.principal {
        Principal::User(name) => put("username", name.as_ref().into()),
        Principal::Robot(name) => {
            put("username", name.as_ref().into());
            put("is_robot", true.into());
        }
        Principal::Token(name) => put("token", name.as_ref().into()),
        Principal::Anonymous | Principal::System => {}
    }
    if let Some(Value::Object(details)) = caller.credential_details.as_deref() {
        metadata.extend(details.clone());
    } else if let Some(id) = &caller.credential_id {
        match credential {
            CredentialKind::AppSpecificToken => put("app_specific_token", id.as_ref().into()),
            CredentialKind::OAuthToken => put("oauth_token_uuid", id.as_ref().into()),
            _ => {}
        }
    }
}

impl Registry {
    fn log_entry(
        &self,
        kind: LogKind,
        name: &RepositoryName,
        repository: RepositoryId,
        caller: &Caller,
        mut metadata: Map<String, Value>,
    ) -> LogEntry {
        describe(caller, &mut metadata);
        let mut entry = LogEntry::new(kind, self.0.runtime.clock.now(), metadata.into());
        entry.namespace = Some(name.namespace().to_owned());
        entry.performer = caller.account().map(ToOwned::to_owned);
        entry.repository = Some(repository);
        entry.address = caller.client_address;
        entry
    }

    fn logs(&self) -> bool {
        self.0.options.action_log != ActionLogging::Off
    }

    /// Notes a push of tags.
    pub(super) async fn log_push(
        &self,
        unit: &mut dyn UnitOfWork,
        name: &RepositoryName,
        repository: RepositoryId,
        tags: &[Tag],
        media_type: &MediaType,
        caller: &Caller,
    ) -> Result<(), Error> {
        if !self.logs() || tags.is_empty() {
            return Ok(());
        }
        let entries: Vec<_> = tags
            .iter()
            .map(|tag| {
                let mut metadata = about(name);
                metadata.insert("tag".to_owned(), tag.as_str().into());
                metadata.insert("mediaType".to_owned(), media_type.as_str().into());
                self.log_entry(LogKind::PushRepo, name, repository, caller, metadata)
            })
            .collect();
        match unit.action_log() {
            Some(log) => Ok(log.append(&entries).await?),
            None => Ok(()),
        }
    }

    /// Notes a change of a repository's content, with more about it. What is null there is left out.
    pub(super) async fn log_change(
        &self,
        unit: &mut dyn UnitOfWork,
        kind: LogKind,
        name: &RepositoryName,
        repository: RepositoryId,
        more: Value,
        caller: &Caller,
    ) -> Result<(), Error> {
        if !self.logs() {
            return Ok(());
        }
        let mut entry = self.log_entry(kind, name, repository, caller, about(name));
        if let (Value::Object(metadata), Value::Object(more)) = (&mut entry.metadata, more) {
            metadata.extend(more);
            metadata.retain(|_, value| !value.is_null());
        }
        match unit.action_log() {
            Some(log) => Ok(log.append(&[entry]).await?),
            None => Ok(()),
        }
    }

    /// Notes that tags were deleted, by name or with their manifest.
    pub(super) async fn log_deletion(
        &self,
        unit: &mut dyn UnitOfWork,
        name: &RepositoryName,
        repository: RepositoryId,
        tags: &[Tag],
        digest: Option<&Digest>,
        caller: &Caller,
    ) -> Result<(), Error> {
        if !self.logs() {
            return Ok(());
        }
        let entries: Vec<_> = tags
            .iter()
            .map(|tag| {
                let mut metadata = about(name);
                metadata.insert("tag".to_owned(), tag.as_str().into());
                if let Some(digest) = digest {
                    metadata.insert("digest".to_owned(), json!(digest));
                }
                self.log_entry(LogKind::DeleteTag, name, repository, caller, metadata)
            })
            .collect();
        match unit.action_log() {
            Some(log) if !entries.is_empty() => Ok(log.append(&entries).await?),
            _ => Ok(()),
        }
    }

    /// Notes a pull. Waits for its entry where that is wanted, or where too many wait already.
    pub(super) async fn log_pull(
        &self,
        record: &RepositoryRecord,
        name: &RepositoryName,
        reference: &Reference,
        media_type: &MediaType,
        caller: &Caller,
    ) -> Result<(), Error> {
        if !self.logs() || self.0.options.read_only {
            return Ok(());
        }
        let mut metadata = about(name);
        match reference {
            Reference::Tag(tag) => metadata.insert("tag".to_owned(), tag.as_str().into()),
            Reference::Digest(digest) => metadata.insert("manifest_digest".to_owned(), json!(digest)),
        };
        metadata.insert("mediaType".to_owned(), media_type.as_str().into());
        let entry = self.log_entry(LogKind::PullRepo, name, record.id, caller, metadata);
        self.note(entry).await
    }

    /// Notes that something else was read than a manifest, as [`log_pull`](Self::log_pull) does.
    pub(super) async fn log_reading(
        &self,
        kind: LogKind,
        name: &RepositoryName,
        repository: RepositoryId,
        more: Value,
        caller: &Caller,
    ) -> Result<(), Error> {
        if !self.logs() || self.0.options.read_only {
            return Ok(());
        }
        let mut metadata = about(name);
        if let Value::Object(more) = more {
            metadata.extend(more);
        }
        let entry = self.log_entry(kind, name, repository, caller, metadata);
        self.note(entry).await
    }

    async fn note(&self, entry: LogEntry) -> Result<(), Error> {
        let (start, written) = {
            let mut pending = self.0.pulls.0.lock().unwrap_or_else(PoisonError::into_inner);
            let wait = self.0.options.action_log == ActionLogging::Strict || pending.entries.len() >= WAITING;
            let (sender, written) = if wait {
                let (sender, receiver) = oneshot::channel();
                (Some(sender), Some(receiver))
            } else {
                (None, None)
            };
            pending.entries.push((entry, sender));
            (!std::mem::replace(&mut pending.busy, true), written)
        };
        if start {
            let registry = self.clone();
            self.0
                .runtime
                .spawner
                .spawn(async move { registry.write_pulls().await }.boxed());
        }
        let Some(written) = written else { return Ok(()) };
        if written.await.unwrap_or(false) {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Unavailable,
            "the pull could not be recorded, try again later",
        ))
    }

    async fn append_entries(&self, entries: &[LogEntry]) -> Result<(), Error> {
        transact!(self, |unit| async {
            match unit.action_log() {
                Some(log) => Ok(log.append(entries).await?),
                None => Ok(()),
            }
        })
    }

    /// Writes what waits, as long as something does: pulls that come meanwhile share the next commit.
    async fn write_pulls(&self) {
        loop {
            let batch: Vec<_> = {
                let mut pending = self.0.pulls.0.lock().unwrap_or_else(PoisonError::into_inner);
                if pending.entries.is_empty() {
                    pending.busy = false;
                    return;
                }
                let count = pending.entries.len().min(BATCH);
                pending.entries.drain(..count).collect()
            };
            let (entries, waiting): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
            let written = self.append_entries(&entries).await;
            if let Err(error) = &written {
                tracing::error!(%error, source = ?error.store_error(), lost = entries.len(), "pulls were not logged");
            }
            for waiting in waiting.into_iter().flatten() {
                // Whoever has gone needs no answer.
                let _ = waiting.send(written.is_ok());
            }
        }
    }
}
