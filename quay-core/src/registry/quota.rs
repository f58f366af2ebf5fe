//! Quotas: what a push may add, promised while its bytes arrive and settled when they have.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures::{StreamExt as _, stream};
use serde_json::json;

use super::Registry;
use crate::blob_store::ByteStream;
use crate::error::{BodyError, Error, ErrorKind, StoreError};
use crate::metadata::{
    QuotaLimitKind, QuotaUse, RepositoryId, RepositoryRecord, UnitOfWork, UploadRecord, Usage,
};
use crate::name::RepositoryName;
use crate::runtime::Timestamp;

/// What a body of unknown length is promised at a time, in bytes.
const STEP: u64 = 64 << 20;

/// Whether bytes are counted, and what holds where nothing is laid down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct QuotaOptions {
    /// Where pushes into a namespace end that has no quota of its own, in bytes.
    pub default_reject: Option<u64>,
}

impl QuotaOptions {
    /// Counting, with an end for namespaces that have no quota of their own.
    #[must_use]
    pub const fn new(default_reject: Option<u64>) -> Self {
        Self { default_reject }
    }
}

/// Who is at the end of a quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the two owners of quotas")]
pub enum QuotaSide {
    /// The namespace.
    Namespace,
    /// The repository.
    Repository,
}

/// Both sides with what they use, and where pushes end for them.
fn sides(usage: &Usage, options: QuotaOptions) -> [(QuotaSide, &QuotaUse, Option<u64>); 2] {
    let end = |side: &QuotaUse, default: Option<u64>| match &side.quota {
        Some(quota) => quota.level(QuotaLimitKind::Reject),
        None => default,
    };
    [
        (
            QuotaSide::Namespace,
            &usage.namespace,
            end(&usage.namespace, options.default_reject),
        ),
        (
            QuotaSide::Repository,
            &usage.repository,
            end(&usage.repository, None),
        ),
    ]
}

/// How many bytes more may come, and whose quota ends them first; `None` when none does.
#[must_use]
pub fn quota_room(usage: &Usage, options: QuotaOptions) -> Option<(u64, QuotaSide)> {
    sides(usage, options)
        .into_iter()
        .filter_map(|(side, of, end)| {
            let taken = of.used.saturating_add(of.reserved);
            Some((end?.saturating_sub(taken), side))
        })
        .min_by_key(|(room, _)| *room)
}

/// Whose quota is used up: nothing more can come, whatever it is.
#[must_use]
pub fn quota_exhausted(usage: &Usage, options: QuotaOptions) -> Option<QuotaSide> {
    let mut sides = sides(usage, options).into_iter();
    sides.find_map(|(side, of, end)| (of.used >= end?).then_some(side))
}

/// Whose quota is passed: only less can follow.
#[must_use]
pub fn quota_exceeded(usage: &Usage, options: QuotaOptions) -> Option<QuotaSide> {
    let mut sides = sides(usage, options).into_iter();
    sides.find_map(|(side, of, end)| (of.used > end?).then_some(side))
}

/// Whose quota does not allow what a unit of work has added. Who adds nothing may be past the end.
#[must_use]
pub fn quota_overgrown(usage: &Usage, options: QuotaOptions) -> Option<QuotaSide> {
    let mut sides = sides(usage, options).into_iter();
    sides.find_map(|(side, of, end)| {
        let over = of.used.saturating_add(of.reserved) > end?;
        (over && of.grown > 0).then_some(side)
    })
}

fn refused(side: QuotaSide, name: &RepositoryName) -> Error {
    let message = match side {
        QuotaSide::Namespace => format!("the quota of the namespace {} is used up", name.namespace()),
        QuotaSide::Repository => format!("the quota of the repository {} is used up", name.as_asked()),
    };
    Error::new(ErrorKind::QuotaExceeded, message)
}

fn allowed(side: Option<QuotaSide>, name: &RepositoryName) -> Result<(), Error> {
    side.map_or(Ok(()), |side| Err(refused(side, name)))
}

/// What an upload has been promised while its bytes arrive.
#[derive(Debug, Clone)]
pub(super) struct Promise {
    name: RepositoryName,
    repository: RepositoryId,
    upload: String,
    reserved: Arc<AtomicU64>,
    /// Why a body was ended in its midst.
    refusal: Arc<Mutex<Option<Error>>>,
}

impl Promise {
    pub(super) fn of(name: &RepositoryName, record: &UploadRecord) -> Self {
        Self {
            name: name.clone(),
            repository: record.upload.repository,
            upload: record.upload.id.clone(),
            reserved: Arc::new(AtomicU64::new(record.reserved)),
            refusal: Arc::default(),
        }
    }

    pub(super) fn reserved(&self) -> u64 {
        self.reserved.load(Ordering::Relaxed)
    }

    /// Notes that the store knows what becomes of it.
    pub(super) fn settle(&self) {
        self.reserved.store(0, Ordering::Relaxed);
    }

    pub(super) fn take_refusal(&self) -> Option<Error> {
        self.refusal.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Registry {
    /// What a repository and its namespace use, where that is counted.
    ///
    /// # Errors
    /// What keeps the caller from pulling, or a store's.
    pub async fn quota_usage(
        &self,
        name: &RepositoryName,
        caller: &crate::Caller,
    ) -> Result<Option<Usage>, Error> {
        self.may_pull_from(name, caller).await?;
        self.counted(name).await
    }

    async fn counted(&self, name: &RepositoryName) -> Result<Option<Usage>, Error> {
        match self.0.options.quotas {
            Some(_) => Ok(self.0.metadata.usage(name).await?),
            None => Ok(None),
        }
    }

    /// Whether anything ends pushes to a repository. Refuses them if it has been reached.
    pub(super) async fn is_limited(&self, name: &RepositoryName) -> Result<bool, Error> {
        let (Some(options), Some(usage)) = (self.0.options.quotas, self.counted(name).await?) else {
            return Ok(false);
        };
        allowed(quota_exhausted(&usage, options), name)?;
        Ok(quota_room(&usage, options).is_some())
    }

    /// Refuses a manifest when too much is there already: the configuration's limits may have been lowered.
    pub(super) async fn refuse_exceeded(&self, name: &RepositoryName) -> Result<(), Error> {
        let (Some(options), Some(usage)) = (self.0.options.quotas, self.counted(name).await?) else {
            return Ok(());
        };
        allowed(quota_exceeded(&usage, options), name)
    }

    /// The end of a unit of work that may have added blobs to a repository: refuses it if they are too much,
    /// and records that a level has been passed.
    pub(super) async fn settle_quota(
        &self,
        unit: &mut dyn UnitOfWork,
        name: &RepositoryName,
        repository: RepositoryId,
        now: Timestamp,
    ) -> Result<(), Error> {
        let Some(options) = self.0.options.quotas else {
            return Ok(());
        };
        let Some(quotas) = unit.quotas() else {
            return Ok(());
        };
        let usage = quotas.usage(repository).await?;
        allowed(quota_overgrown(&usage, options), name)?;
        for (event, kind) in [
            ("quota.warning", QuotaLimitKind::Warning),
            ("quota.error", QuotaLimitKind::Reject),
        ] {
            if !self.subscribed(event) {
                continue;
            }
            let of = &usage.namespace;
            let before = of.used.saturating_sub(u64::try_from(of.grown).unwrap_or(0));
            let level = of.quota.as_ref().and_then(|quota| quota.level(kind));
            if let Some(level) = level.filter(|level| before < *level && *level <= of.used) {
                let payload = json!({ "namespace": name.namespace(), "used": of.used, "level": level });
                unit.outbox().push(event, &payload.to_string(), now).await?;
            }
        }
        Ok(())
    }

    /// Promises an upload that it may hold `bytes` in all, or more if that is all the same: at least `bytes`,
    /// `at_best` if there is room.
    async fn promise(&self, promise: &Promise, bytes: u64, at_best: u64) -> Result<(), Error> {
        let Some(options) = self.0.options.quotas else {
            return Ok(());
        };
        let has = promise.reserved();
        if bytes <= has {
            return Ok(());
        }
        let total = transact!(self, |unit| async {
            // As everybody does who changes something in it, so that nobody waits for the other.
            unit.repositories().lock(promise.repository).await?;
            let Some(quotas) = unit.quotas() else {
                return Ok(u64::MAX);
            };
            let usage = quotas.usage(promise.repository).await?;
            let mut total = at_best;
            if let Some((room, side)) = quota_room(&usage, options) {
                if bytes - has > room {
                    return Err(refused(side, &promise.name));
                }
                total = at_best.min(has.saturating_add(room));
            }
            if !quotas.reserve(&promise.upload, total).await? {
                return Err(super::session::unknown_upload());
            }
            Ok(total)
        })?;
        promise.reserved.store(total, Ordering::Relaxed);
        Ok(())
    }

    /// Promises an upload room for a body whose length is known.
    pub(super) async fn promise_announced(
        &self,
        promise: &Promise,
        offset: u64,
        length: u64,
    ) -> Result<(), Error> {
        let end = offset.saturating_add(length);
        self.promise(promise, end, end).await
    }

    /// A body of unknown length that is promised room as it arrives, and ends when there is none.
    pub(super) fn metered(&self, body: ByteStream, promise: Promise, offset: u64) -> ByteStream {
        let registry = self.clone();
        stream::unfold(Some((body, offset)), move |state| {
            let (registry, promise) = (registry.clone(), promise.clone());
            async move {
                let (mut body, offset) = state?;
                let piece = match body.next().await? {
                    Ok(piece) => piece,
                    Err(error) => return Some((Err(error), None)),
                };
                let end = offset.saturating_add(piece.len() as u64);
                let outcome = registry
                    .promise(&promise, end, end.saturating_add(STEP - 1) / STEP * STEP)
                    .await;
                match outcome {
                    Ok(()) => Some((Ok(piece), Some((body, end)))),
                    Err(error) => {
                        let mut refusal = promise.refusal.lock().unwrap_or_else(PoisonError::into_inner);
                        *refusal = Some(error);
                        drop(refusal);
                        Some((Err(BodyError::Refused), None))
                    }
                }
            }
        })
        .boxed()
    }

    /// Takes back what an upload was promised beyond the bytes that it holds.
    pub(super) async fn trim(
        &self,
        unit: &mut dyn UnitOfWork,
        promise: Option<&Promise>,
        offset: u64,
    ) -> Result<(), StoreError> {
        if let Some(promise) = promise
            && promise.reserved() > offset
            && let Some(quotas) = unit.quotas()
        {
            quotas.reserve(&promise.upload, offset).await?;
        }
        Ok(())
    }

    /// Goes on with counting anew what is to be counted, `batch` blobs. `false` when there is nothing to count.
    /// May run at any time, in any number of processes.
    ///
    /// # Errors
    /// A store's.
    pub async fn recount_quotas(&self, batch: usize) -> Result<bool, Error> {
        if self.0.options.read_only {
            return Ok(false);
        }
        let now = self.0.runtime.clock.now();
        transact!(self, |unit| async {
            match unit.quotas() {
                Some(quotas) => Ok(quotas.recount(batch, now).await?),
                None => Ok(false),
            }
        })
    }

    /// A promise for an upload, if pushes to its repository end somewhere.
    pub(super) async fn promise_for(
        &self,
        name: &RepositoryName,
        record: &UploadRecord,
    ) -> Result<Option<Promise>, Error> {
        let limited = self.is_limited(name).await?;
        Ok(limited.then(|| Promise::of(name, record)))
    }

    /// Whether a repository that may not be there yet is at its end.
    pub(super) async fn refuse_exhausted(
        &self,
        name: &RepositoryName,
        found: Option<&RepositoryRecord>,
    ) -> Result<bool, Error> {
        match found {
            Some(_) => self.is_limited(name).await,
            // The namespace's quota is looked at when bytes come.
            None => Ok(self.0.options.quotas.is_some()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::{Quota, QuotaLimit};

    fn of(used: u64, reserved: u64, limits: &[(QuotaLimitKind, u32)]) -> QuotaUse {
        let limits = limits
            .iter()
            .map(|(kind, percent)| QuotaLimit::new(0, *kind, *percent))
            .collect();
        QuotaUse::new(used, reserved).with_quota(Some(Quota::new(1, 1000, limits)))
    }

    #[test]
    fn the_first_level_that_rejects_ends_pushes() {
        use QuotaLimitKind::{Reject, Warning};
        let options = QuotaOptions::new(Some(50));
        let room = |namespace: QuotaUse, repository: QuotaUse| {
            let usage = Usage {
                namespace,
                repository,
            };
            quota_room(&usage, options)
        };
        let free = QuotaUse::default;
        // One without a quota of its own has the default, one with a quota only what that says.
        assert_eq!(
            room(QuotaUse::new(10, 20), free()),
            Some((20, QuotaSide::Namespace))
        );
        assert_eq!(room(of(10, 20, &[]), free()), None);
        assert_eq!(room(of(10, 20, &[(Warning, 1)]), free()), None);
        assert_eq!(
            room(of(10, 20, &[(Reject, 90), (Reject, 80)]), free()),
            Some((770, QuotaSide::Namespace))
        );
        assert_eq!(
            room(of(10, 20, &[(Reject, 90)]), of(10, 0, &[(Reject, 2)])),
            Some((10, QuotaSide::Repository))
        );
        assert_eq!(
            room(of(2000, 0, &[(Reject, 100)]), free()),
            Some((0, QuotaSide::Namespace))
        );
    }

    #[test]
    fn who_adds_nothing_may_be_past_the_end() {
        let full = of(1001, 0, &[(QuotaLimitKind::Reject, 100)]);
        let usage = |grown| Usage {
            namespace: full.clone().with_grown(grown),
            repository: QuotaUse::default(),
        };
        let options = QuotaOptions::default();
        assert_eq!(quota_overgrown(&usage(0), options), None);
        assert_eq!(quota_overgrown(&usage(-5), options), None);
        assert_eq!(quota_overgrown(&usage(1), options), Some(QuotaSide::Namespace));
        assert_eq!(quota_exceeded(&usage(0), options), Some(QuotaSide::Namespace));
    }

    #[test]
    fn a_quota_of_any_size_has_its_levels() {
        let limits = vec![QuotaLimit::new(0, QuotaLimitKind::Reject, 100)];
        let quota = Quota::new(1, u64::MAX, limits);
        assert_eq!(quota.level(QuotaLimitKind::Reject), Some(u64::MAX));
    }
}
