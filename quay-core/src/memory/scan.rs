//! Scans in memory, and a scanner.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::unit::MemoryUnit;
use crate::digest::Digest;
use crate::error::StoreError;
use crate::metadata::{RepositoryId, ScanRecord, ScanStatus, ScanStore};
use crate::runtime::Timestamp;
use crate::scanner::{
    Feature, Indexed, Notice, NoticeReason, Report, ScanLayer, ScanRequest, Scanner, Severity, Vulnerability,
};

/// A recorded scan.
#[derive(Debug, Clone)]
pub(super) struct ScanRow {
    repository: RepositoryId,
    digest: Digest,
    pub(super) record: ScanRecord,
}

#[async_trait]
impl ScanStore for MemoryUnit {
    async fn save(
        &mut self,
        repository: RepositoryId,
        manifest: i64,
        digest: &Digest,
        record: &ScanRecord,
    ) -> Result<(), StoreError> {
        let row = ScanRow {
            repository,
            digest: *digest,
            record: record.clone(),
        };
        self.state.scans.insert_mut(manifest, row);
        Ok(())
    }

    async fn reassess(&mut self, digest: &Digest, severity: Option<Severity>) -> Result<u64, StoreError> {
        let concerned: Vec<(i64, ScanRow)> = self
            .state
            .scans
            .iter()
            .filter(|(_, row)| row.digest == *digest && row.record.status == ScanStatus::Scanned)
            .map(|(manifest, row)| (*manifest, row.clone()))
            .collect();
        let count = concerned.len() as u64;
        for (manifest, mut row) in concerned {
            row.record.severity = severity;
            self.state.scans.insert_mut(manifest, row);
        }
        Ok(count)
    }

    async fn outdated(
        &mut self,
        state: &str,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<(RepositoryId, i64, Digest, ScanRecord)>, StoreError> {
        let of_status = |status| matches!(status, ScanStatus::Scanned | ScanStatus::Failed);
        let mut found: Vec<_> = self
            .state
            .scans
            .iter()
            .filter(|(_, row)| of_status(row.record.status))
            .filter(|(_, row)| row.record.state != state && row.record.updated < before)
            .map(|(manifest, row)| (row.repository, *manifest, row.digest, row.record.clone()))
            .collect();
        found.sort_by_key(|(_, manifest, _, record)| (record.updated, *manifest));
        found.truncate(limit);
        Ok(found)
    }
}

/// A scanner that knows what it is told: which packages layers hold, and what is wrong with them. Clones of what is
/// found share nothing with it.
///
/// A later layer's package of a name takes the place of an earlier one's.
#[derive(Debug)]
pub struct MemoryScanner(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    state: String,
    layers: HashMap<Digest, Vec<Feature>>,
    /// What is wrong, by package.
    wrong: BTreeMap<String, Vec<Vulnerability>>,
    indexed: HashMap<Digest, Vec<ScanLayer>>,
    notices: Vec<Notice>,
    last_notice: u64,
}

impl Default for MemoryScanner {
    fn default() -> Self {
        let known = Known {
            state: "1".to_owned(),
            ..Known::default()
        };
        Self(Mutex::new(known))
    }
}

impl Known {
    /// What is in an image.
    fn features(&self, layers: &[ScanLayer]) -> Vec<Feature> {
        let mut found: BTreeMap<&str, Feature> = BTreeMap::new();
        for layer in layers {
            for feature in self.layers.get(&layer.digest).into_iter().flatten() {
                let mut feature_here = feature.clone();
                feature_here.added_by = layer.digest.to_string();
                let wrong = self.wrong.get(&feature.name).into_iter().flatten();
                feature_here.vulnerabilities.extend(wrong.cloned());
                found.insert(&feature.name, feature_here);
            }
        }
        found.into_values().collect()
    }
}

impl MemoryScanner {
    /// A scanner that knows of nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells it what a layer holds.
    pub fn know_layer(&self, layer: Digest, features: Vec<Feature>) {
        self.known().layers.insert(layer, features);
    }

    /// Tells it what is wrong with packages of a name. There is news of every image that was looked into and holds one.
    pub fn know_vulnerability(&self, package: &str, vulnerability: &Vulnerability) {
        let mut known = self.known();
        let wrong = known.wrong.entry(package.to_owned()).or_default();
        wrong.push(vulnerability.clone());
        let concerned: Vec<Digest> = known
            .indexed
            .iter()
            .filter(|(_, layers)| {
                let mut features = known.features(layers).into_iter();
                features.any(|feature| feature.name == package)
            })
            .map(|(digest, _)| *digest)
            .collect();
        for digest in concerned {
            known.last_notice += 1;
            let id = known.last_notice.to_string();
            let notice = Notice::new(id, digest, NoticeReason::Added, vulnerability.clone());
            known.notices.push(notice);
        }
    }

    /// Changes what it goes by: what was looked into is forgotten.
    pub fn change_state(&self, state: &str) {
        let mut known = self.known();
        state.clone_into(&mut known.state);
        known.indexed.clear();
    }
}

#[async_trait]
impl Scanner for MemoryScanner {
    async fn state(&self) -> Result<String, StoreError> {
        Ok(self.known().state.clone())
    }

    async fn index(&self, request: &ScanRequest) -> Result<Indexed, StoreError> {
        if request.layers.is_empty() {
            return Ok(Indexed::Unsupported);
        }
        let mut known = self.known();
        known.indexed.insert(request.digest, request.layers.clone());
        Ok(Indexed::Done)
    }

    async fn report(&self, digest: &Digest) -> Result<Option<Report>, StoreError> {
        let known = self.known();
        let layers = known.indexed.get(digest);
        Ok(layers.map(|layers| Report::new(&digest.to_string(), 4, known.features(layers))))
    }

    async fn notices(&self, limit: usize) -> Result<Vec<Notice>, StoreError> {
        Ok(self.known().notices.iter().take(limit).cloned().collect())
    }

    async fn acknowledge(&self, ids: &[String]) -> Result<(), StoreError> {
        self.known().notices.retain(|notice| !ids.contains(&notice.id));
        Ok(())
    }
}
