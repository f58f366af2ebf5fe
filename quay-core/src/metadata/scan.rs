//! What is recorded of the scan of a manifest.

use async_trait::async_trait;

use super::record::RepositoryId;
use crate::digest::Digest;
use crate::error::StoreError;
use crate::runtime::Timestamp;
use crate::scanner::Severity;

/// How far the scan of a manifest is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ScanStatus {
    /// It will be looked into.
    Queued,
    /// It has been looked into.
    Scanned,
    /// It is nothing that can be looked into: an index, an artifact.
    Unsupported,
    /// It could not be looked into.
    Failed,
}

impl ScanStatus {
    /// The name under which it is stored, and told.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Scanned => "scanned",
            Self::Unsupported => "unsupported",
            Self::Failed => "failed",
        }
    }

    /// Reads a stored name; `None` for one that this version does not know.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let all = [Self::Queued, Self::Scanned, Self::Unsupported, Self::Failed];
        all.into_iter().find(|status| status.as_str() == name)
    }
}

/// The scan of a manifest, as far as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScanRecord {
    /// How far it is.
    pub status: ScanStatus,
    /// The worst that was found; `None` when nothing was.
    pub severity: Option<Severity>,
    /// What the scanner went by ([`Scanner::state`](crate::scanner::Scanner::state)); empty if it was not asked.
    pub state: String,
    /// How often it was tried in vain since something changed.
    pub attempts: u32,
    /// Why it failed, for the operator.
    pub reason: Option<String>,
    /// When it was last worked on.
    pub updated: Timestamp,
}

impl ScanRecord {
    /// A scan at a time.
    #[must_use]
    pub const fn new(status: ScanStatus, updated: Timestamp) -> Self {
        Self {
            status,
            severity: None,
            state: String::new(),
            attempts: 0,
            reason: None,
            updated,
        }
    }
}

/// A manifest and its scan.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ManifestScan {
    /// The manifest's row.
    pub manifest: i64,
    /// Its scan; `None` while nothing is recorded.
    pub record: Option<ScanRecord>,
}

impl ManifestScan {
    /// A manifest and its scan.
    #[must_use]
    pub const fn new(manifest: i64, record: Option<ScanRecord>) -> Self {
        Self { manifest, record }
    }
}

/// Scans within a unit of work. They go with their manifests.
///
/// # Errors
/// Every method: the store's.
#[async_trait]
pub trait ScanStore: Send {
    /// Records the scan of a manifest that is there, in place of what was recorded before.
    async fn save(
        &mut self,
        repository: RepositoryId,
        manifest: i64,
        digest: &Digest,
        record: &ScanRecord,
    ) -> Result<(), StoreError>;

    /// Sets the worst that was found in a manifest, in all repositories where it was scanned. How many.
    async fn reassess(&mut self, digest: &Digest, severity: Option<Severity>) -> Result<u64, StoreError>;

    /// Manifests that were scanned, or not successfully, by another state than `state` and last worked on before
    /// `before`, those first for which that is longest ago; at most `limit`. Cost follows `limit`, and those of `state`
    /// that are as old.
    async fn outdated(
        &mut self,
        state: &str,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<(RepositoryId, i64, Digest, ScanRecord)>, StoreError>;
}
