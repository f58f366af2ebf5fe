//! Scans: what is pushed is looked into by a worker, what was found is recorded, and pulls may depend on it.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Registry;
use crate::caller::{Caller, Principal};
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, StoreError, StoreErrorKind};
use crate::manifest::Manifest;
use crate::metadata::{
    EdgeKind, ManifestScan, OutboxRow, PutOutcome, RepositoryId, RepositoryRecord, RepositoryState,
    ScanRecord, ScanStatus, UnitOfWork,
};
use crate::name::{Reference, RepositoryName};
use crate::runtime::Timestamp;
use crate::scanner::{Indexed, Report, ScanLayer, ScanRequest, Scanner, Severity};

/// The outbox rows that name manifests to look into.
const SCAN: &str = "manifest.scan";
/// How long a scan may take before another worker takes it up.
const HOLD: Duration = Duration::from_mins(15);
/// When a scan that failed is tried again: this long after, and twice as long each time, up to an hour.
const PAUSE: Duration = Duration::from_secs(30);
const LONGEST_PAUSE: Duration = Duration::from_hours(1);

/// What pulls depend on. Off where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct PullPolicy {
    /// Manifests in which something as bad, or worse, was found are not handed out.
    pub refused: Option<Severity>,
    /// What becomes of manifests that have not been scanned, or not successfully. What cannot be scanned, an index or
    /// an artifact, is none of them.
    pub unscanned: Unscanned,
}

impl PullPolicy {
    /// Refuses manifests with findings as bad as this, or worse.
    #[must_use]
    pub const fn new(refused: Option<Severity>, unscanned: Unscanned) -> Self {
        Self { refused, unscanned }
    }
}

/// What becomes of manifests that have not been scanned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::exhaustive_enums, reason = "they are handed out, or not")]
pub enum Unscanned {
    /// They are handed out.
    #[default]
    Allowed,
    /// They are not.
    Refused,
}

/// How a registry has its manifests scanned.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Scanning {
    /// Who looks into them.
    pub scanner: Arc<dyn Scanner>,
    /// How often a scan is tried while the scanner fails.
    pub tries: u32,
    /// When a scan by an older state of the scanner is done again, after it was last worked on.
    pub again: Duration,
    /// What pulls depend on.
    pub policy: Option<PullPolicy>,
}

impl Scanning {
    /// Scans by a scanner, five tries each, at the earliest after 300 seconds once more, and nothing depends on them
    /// (`scanning.md`, 3.1 and 3.4).
    #[must_use]
    pub fn new(scanner: Arc<dyn Scanner>) -> Self {
        Self {
            scanner,
            tries: 5,
            again: Duration::from_mins(5),
            policy: None,
        }
    }

    /// Has pulls depend on them.
    #[must_use]
    pub const fn with_policy(mut self, policy: Option<PullPolicy>) -> Self {
        self.policy = policy;
        self
    }
}

/// What one step of scanning did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Scans {
    /// Manifests that were looked into.
    pub scanned: usize,
    /// Manifests that cannot be looked into, or could not.
    pub unscanned: usize,
    /// Manifests that will be tried again.
    pub postponed: usize,
    /// Manifests that are to be looked into once more, by the scanner's new state.
    pub outdated: usize,
    /// Whether there is more to do at once.
    pub more: bool,
}

/// The scan of a manifest as somebody sees it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Security {
    /// How far it is.
    pub status: ScanStatus,
    /// What was found, once it was looked into.
    pub report: Option<Report>,
    /// Whether the scanner could not be asked what it had found.
    pub unreachable: Option<String>,
}

/// What a row asks for.
#[derive(Serialize, Deserialize)]
struct Wanted {
    repository: RepositoryId,
    digest: Digest,
}

/// Whether a manifest is something that a scanner may look into.
fn is_image(manifest: &Manifest) -> bool {
    let mut names = manifest.names.iter();
    names.any(|named| named.kind == EdgeKind::Layer)
        && (manifest.has_image_config() || manifest.schema1.is_some())
}

fn pause(attempts: u32) -> Duration {
    let factor = 2_u32.saturating_pow(attempts.saturating_sub(1).min(16));
    PAUSE.saturating_mul(factor).min(LONGEST_PAUSE)
}

async fn want(
    unit: &mut dyn UnitOfWork,
    repository: RepositoryId,
    digest: Digest,
    due: Timestamp,
) -> Result<(), Error> {
    let wanted = serde_json::json!(Wanted { repository, digest }).to_string();
    Ok(unit.outbox().push(SCAN, &wanted, due).await?)
}

impl Registry {
    /// Has a manifest looked into that was put just now. Costs nothing where nothing is scanned.
    pub(super) async fn want_scan(
        &self,
        unit: &mut dyn UnitOfWork,
        repository: RepositoryId,
        (id, digest, outcome): (i64, Digest, PutOutcome),
        manifest: &Manifest,
        now: Timestamp,
    ) -> Result<(), Error> {
        if self.0.options.scanning.is_none() || outcome == PutOutcome::Unchanged {
            return Ok(());
        }
        if is_image(manifest) {
            return want(unit, repository, digest, now).await;
        }
        if let Some(scans) = unit.scans() {
            let record = ScanRecord::new(ScanStatus::Unsupported, now);
            scans.save(repository, id, &digest, &record).await?;
        }
        Ok(())
    }

    /// Has a manifest looked into that was brought back, unless it is known what is in it.
    pub(super) async fn want_scan_again(
        &self,
        unit: &mut dyn UnitOfWork,
        repository: RepositoryId,
        digest: Digest,
        now: Timestamp,
    ) -> Result<(), Error> {
        match self.0.options.scanning {
            Some(_) => want(unit, repository, digest, now).await,
            None => Ok(()),
        }
    }

    /// Whether what is known of a manifest allows that this caller pulls it.
    pub(super) async fn admit(
        &self,
        record: &RepositoryRecord,
        digest: &Digest,
        caller: &Caller,
    ) -> Result<(), Error> {
        let Some(scanning) = &self.0.options.scanning else {
            return Ok(());
        };
        if caller.principal == Principal::System {
            return Ok(());
        }
        let policy = self
            .0
            .authorizer
            .pull_policy(record, caller, scanning.policy)
            .await?;
        let Some(policy) = policy else { return Ok(()) };
        let scan = self.0.metadata.scan(record.id, digest).await?;
        let scan = scan.and_then(|scan| scan.record);
        let refuse = |message: String| {
            let detail = serde_json::json!({ "digest": digest });
            Err(Error::new(ErrorKind::Forbidden, message).with_detail(detail))
        };
        match scan {
            Some(scan) if scan.status == ScanStatus::Unsupported => Ok(()),
            Some(scan) if scan.status == ScanStatus::Scanned => match (policy.refused, scan.severity) {
                (Some(refused), Some(found)) if found >= refused => refuse(format!(
                    "this manifest may not be pulled: a vulnerability of severity {} was found in it, and {} or worse \
                     is refused here",
                    found.as_str(),
                    refused.as_str()
                )),
                _ => Ok(()),
            },
            _ if policy.unscanned == Unscanned::Allowed => Ok(()),
            Some(scan) if scan.status == ScanStatus::Failed => refuse(
                "this manifest may not be pulled: it could not be scanned for vulnerabilities, which is needed here"
                    .to_owned(),
            ),
            _ => refuse(
                "this manifest may not be pulled yet: it has not been scanned for vulnerabilities, which is needed here"
                    .to_owned(),
            ),
        }
    }

    /// How far the scan of a manifest is, and what was found. Deleted manifests are found as well.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] without such a manifest, what keeps the caller from pulling, or a store's. That the scanner
    /// does not answer is none: it is told.
    pub async fn security(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        caller: &Caller,
    ) -> Result<Security, Error> {
        let stored = self.0.metadata.repository(name).await?;
        let record = self.readable(name, stored.as_deref(), caller).await?;
        let scan = self.0.metadata.scan(record.id, digest).await?;
        let scan = scan.ok_or_else(|| Error::new(ErrorKind::NotFound, "Not Found"))?;
        let status = scan.record.map_or(ScanStatus::Queued, |record| record.status);
        let unknown = |status| Security {
            status,
            report: None,
            unreachable: None,
        };
        let scanning = self.0.options.scanning.as_ref();
        let Some(scanning) = scanning.filter(|_| status == ScanStatus::Scanned) else {
            return Ok(unknown(status));
        };
        let report = match scanning.scanner.report(digest).await {
            Ok(report) => report,
            Err(error) => {
                tracing::warn!(repository = name.path(), %digest, %error, "the scanner does not answer");
                return Ok(Security {
                    unreachable: Some(error.to_string()),
                    ..unknown(status)
                });
            }
        };
        if report.is_none() && !self.0.options.read_only {
            // The scanner has forgotten it: it is looked into once more.
            let now = self.0.runtime.clock.now();
            let manifest = scan.manifest;
            let repository = record.id;
            let outcome: Result<(), Error> = transact!(self, |unit| async {
                unit.repositories().lock(repository).await?;
                let found = unit.manifests().find(repository, digest).await?;
                if let Some(scans) = unit.scans().filter(|_| found.is_some()) {
                    // What was found in it counts until more is known.
                    let known = self.0.metadata.scan(repository, digest).await?;
                    let known = known.and_then(|scan| scan.record);
                    let queued = match known.filter(|known| known.status == ScanStatus::Scanned) {
                        Some(known) => ScanRecord {
                            state: String::new(),
                            ..known
                        },
                        None => ScanRecord::new(ScanStatus::Queued, now),
                    };
                    scans.save(repository, manifest, digest, &queued).await?;
                    want(&mut *unit, repository, *digest, now).await?;
                }
                Ok(())
            });
            outcome?;
            return Ok(unknown(ScanStatus::Queued));
        }
        Ok(Security {
            report,
            ..unknown(status)
        })
    }

    /// One step of scanning: has the scanner look into up to `limit` manifests that wait for it, one after the other,
    /// those that wait for longest first; where none waits, those are noted that another state of the scanner has looked
    /// into. While the scanner fails, each manifest is tried again, ever later, and given up in the end; that says so in
    /// its record. May run at any time, in any number of processes, and end at any point: what was not finished is
    /// taken up again.
    ///
    /// # Errors
    /// A store's, or the scanner's when it cannot even tell its state: then nothing was tried.
    pub async fn scan(&self, limit: usize) -> Result<Scans, Error> {
        let Some(scanning) = self
            .0
            .options
            .scanning
            .as_ref()
            .filter(|_| !self.0.options.read_only)
        else {
            return Ok(Scans::default());
        };
        let state = scanning.scanner.state().await?;
        let now = self.0.runtime.clock.now();
        let rows: Vec<OutboxRow> = transact!(self, |unit| async {
            Ok(unit.outbox().claim(SCAN, limit, HOLD, now).await?)
        })?;
        let mut done = Scans {
            more: rows.len() == limit,
            ..Scans::default()
        };
        for row in &rows {
            match self.scan_one(scanning, row, &state).await? {
                Some(ScanStatus::Scanned) => done.scanned += 1,
                Some(ScanStatus::Queued) => done.postponed += 1,
                Some(_) => done.unscanned += 1,
                // It is gone.
                None => {}
            }
        }
        if rows.is_empty() {
            done.outdated = self.want_outdated(scanning, &state, limit).await?;
            done.more = done.outdated > 0;
        }
        Ok(done)
    }

    /// Looks into what one row names, and records what came of it.
    async fn scan_one(
        &self,
        scanning: &Scanning,
        row: &OutboxRow,
        state: &str,
    ) -> Result<Option<ScanStatus>, Error> {
        let wanted: Option<Wanted> = serde_json::from_str(&row.payload).ok();
        let found = match &wanted {
            Some(wanted) => self.wanted(wanted).await?,
            None => None,
        };
        let (Some(wanted), Some((name, before))) = (wanted, found) else {
            transact!(self, |unit| async { Ok(unit.outbox().complete(row.id).await?) })?;
            return Ok(None);
        };
        // Asked for once more, while it is known what is in it.
        let known = before
            .as_ref()
            .is_some_and(|before| before.status == ScanStatus::Scanned && before.state == state);
        let seen = if known {
            Ok(None)
        } else {
            self.have_scanned(scanning, &name, &wanted.digest).await
        };
        let now = self.0.runtime.clock.now();
        let mut record = ScanRecord::new(ScanStatus::Scanned, now);
        state.clone_into(&mut record.state);
        let mut again = false;
        match seen {
            Ok(None) => {
                transact!(self, |unit| async { Ok(unit.outbox().complete(row.id).await?) })?;
                return Ok(None);
            }
            Ok(Some((Indexed::Done, severity))) => record.severity = severity,
            Ok(Some((Indexed::Unsupported, _))) => record.status = ScanStatus::Unsupported,
            Ok(Some((Indexed::Failed(reason), _))) => {
                record.status = ScanStatus::Failed;
                record.reason = Some(reason);
            }
            Err(error) => {
                tracing::warn!(repository = name.path(), digest = %wanted.digest, %error, "a scan failed");
                let known = before
                    .clone()
                    .filter(|before| before.status == ScanStatus::Scanned);
                let before = before.filter(|before| before.state == state || known.is_some());
                record.attempts = before.map_or(0, |before| before.attempts).saturating_add(1);
                record.reason = Some(error.to_string());
                again = record.attempts < scanning.tries;
                record.status = if again {
                    ScanStatus::Queued
                } else {
                    ScanStatus::Failed
                };
                // What was found in it counts until more is known.
                if let Some(known) = known {
                    record = ScanRecord {
                        attempts: record.attempts,
                        reason: record.reason,
                        updated: now,
                        // Given up, it is looked into again when the scanner has changed once more.
                        state: if again { known.state } else { record.state },
                        ..known
                    };
                }
            }
        }
        let saved: Result<bool, Error> = transact!(self, |unit| async {
            let repository = unit.repositories().lock(wanted.repository).await?;
            let manifest = match repository {
                Some(_) => unit.manifests().find(wanted.repository, &wanted.digest).await?,
                None => None,
            };
            unit.outbox().complete(row.id).await?;
            let Some(manifest) = manifest else {
                return Ok(false);
            };
            if let Some(scans) = unit.scans() {
                scans
                    .save(wanted.repository, manifest.id, &wanted.digest, &record)
                    .await?;
            }
            if again {
                let due = now.plus(pause(record.attempts));
                want(&mut *unit, wanted.repository, wanted.digest, due).await?;
            }
            Ok(true)
        });
        let status = if again { ScanStatus::Queued } else { record.status };
        Ok(saved?.then_some(status))
    }

    /// The repository of what a row names, and its record, unless it is gone.
    async fn wanted(&self, wanted: &Wanted) -> Result<Option<(RepositoryName, Option<ScanRecord>)>, Error> {
        let repository = transact!(self, |unit| async {
            Ok(unit.repositories().lock(wanted.repository).await?)
        })?;
        let repository = repository.filter(|record| record.state != RepositoryState::MarkedForDeletion);
        let Some(repository) = repository else {
            return Ok(None);
        };
        let scan = self.0.metadata.scan(wanted.repository, &wanted.digest).await?;
        Ok(scan.map(|ManifestScan { record, .. }| (repository.name, record)))
    }

    /// Has the scanner look into a manifest, unless it was deleted meanwhile: whoever brings it back asks anew.
    async fn have_scanned(
        &self,
        scanning: &Scanning,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<(Indexed, Option<Severity>)>, Error> {
        let now = self.0.runtime.clock.now();
        let reference = Reference::Digest(*digest);
        let found = self.0.metadata.manifest(name, &reference, now).await?.found;
        let Some(found) = found else { return Ok(None) };
        let media_type = found.media_type.clone();
        let view = self.view(found, None).await?;
        let layers = view.layers.unwrap_or_default();
        // What lies elsewhere cannot be read here.
        if layers.is_empty() || layers.iter().any(|layer| !layer.urls.is_empty()) {
            return Ok(Some((Indexed::Unsupported, None)));
        }
        let layers = layers
            .iter()
            .map(|layer| ScanLayer::new(layer.digest, layer.size))
            .collect();
        let request = ScanRequest::new(name.clone(), *digest, media_type, layers);
        let indexed = scanning.scanner.index(&request).await?;
        if indexed != Indexed::Done {
            return Ok(Some((indexed, None)));
        }
        let report = scanning.scanner.report(digest).await?.ok_or_else(|| {
            let context = "the scanner cannot tell yet what it has found";
            StoreError::new(StoreErrorKind::Unavailable, context)
        })?;
        Ok(Some((indexed, report.worst())))
    }

    /// Notes manifests that another state of the scanner has looked into.
    async fn want_outdated(&self, scanning: &Scanning, state: &str, limit: usize) -> Result<usize, Error> {
        let now = self.0.runtime.clock.now();
        transact!(self, |unit| async {
            let Some(scans) = unit.scans() else { return Ok(0) };
            let outdated = scans.outdated(state, now.minus(scanning.again), limit).await?;
            for (repository, manifest, digest, mut record) in outdated.iter().cloned() {
                // What is known stays known until more is.
                record.updated = now;
                if let Some(scans) = unit.scans() {
                    scans.save(repository, manifest, &digest, &record).await?;
                }
                want(&mut *unit, repository, digest, now).await?;
            }
            Ok(outdated.len())
        })
    }

    /// Takes in up to `limit` news from the scanner: what pulls depend on is recorded anew, then they are acknowledged.
    /// How many there were.
    ///
    /// # Errors
    /// The scanner's or a store's: the news come again.
    pub async fn take_notices(&self, limit: usize) -> Result<usize, Error> {
        let Some(scanning) = &self.0.options.scanning else {
            return Ok(0);
        };
        let notices = scanning.scanner.notices(limit).await?;
        let mut digests: Vec<Digest> = notices.iter().map(|notice| notice.digest).collect();
        digests.sort_unstable();
        digests.dedup();
        for digest in digests {
            let Some(report) = scanning.scanner.report(&digest).await? else {
                continue;
            };
            transact!(self, |unit| async {
                match unit.scans() {
                    Some(scans) => Ok(scans.reassess(&digest, report.worst()).await?),
                    None => Ok(0),
                }
            })?;
        }
        let ids: Vec<String> = notices.iter().map(|notice| notice.id.clone()).collect();
        if !ids.is_empty() {
            scanning.scanner.acknowledge(&ids).await?;
        }
        Ok(notices.len())
    }
}
