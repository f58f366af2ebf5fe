//! Scans in a unit of work, and read.

use async_trait::async_trait;
use quay_core::metadata::{ManifestScan, RepositoryId, ScanRecord, ScanStatus, ScanStore};
use quay_core::runtime::Timestamp;
use quay_core::scanner::Severity;
use quay_core::{Digest, StoreError};

use super::SqlMetadata;
use super::db::{Row, corrupt, values};
use super::read::limit;
use super::rows::Rows as _;
use super::unit::Unit;

/// The columns that [`scan_of`] reads, of the table `s`.
const COLUMNS: &str = "s.status, s.severity, s.indexer_state, s.attempts, s.reason, s.updated_ms";

fn scan_of(row: &Row, first: usize) -> Result<ScanRecord, StoreError> {
    let status = row.text(first)?;
    let status = ScanStatus::from_name(&status).ok_or_else(|| corrupt(&status))?;
    let updated = Timestamp::from_millis(row.int(first + 5)?);
    let mut record = ScanRecord::new(status, updated);
    if let Some(severity) = row.opt_text(first + 1)? {
        record.severity = Some(Severity::from_name(&severity).ok_or_else(|| corrupt(&severity))?);
    }
    record.state = row.text(first + 2)?;
    record.attempts = u32::try_from(row.int(first + 3)?).unwrap_or(u32::MAX);
    record.reason = row.opt_text(first + 4)?;
    Ok(record)
}

impl SqlMetadata {
    pub(super) async fn read_scan(
        &self,
        repository: RepositoryId,
        digest: &Digest,
    ) -> Result<Option<ManifestScan>, StoreError> {
        let sql = format!(
            "SELECT m.id, {COLUMNS} FROM qr_manifest m LEFT JOIN qr_scan s ON s.manifest_id = m.id \
             WHERE m.repository_id = ? AND m.digest = ?"
        );
        let rows = self.rows(sql, values![repository, digest.to_string()]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let record = match row.opt_text(1)? {
            Some(_) => Some(scan_of(row, 1)?),
            None => None,
        };
        Ok(Some(ManifestScan::new(row.int(0)?, record)))
    }
}

#[async_trait]
impl ScanStore for Unit {
    async fn save(
        &mut self,
        repository: RepositoryId,
        manifest: i64,
        digest: &Digest,
        record: &ScanRecord,
    ) -> Result<(), StoreError> {
        const CHANGES: [&str; 6] = [
            "status",
            "severity",
            "indexer_state",
            "attempts",
            "reason",
            "updated_ms",
        ];
        let mut columns = vec!["manifest_id", "repository_id", "digest"];
        columns.extend(CHANGES);
        let values = values![
            manifest,
            repository,
            digest.to_string(),
            record.status.as_str(),
            record.severity.map(Severity::as_str),
            record.state.as_str(),
            i64::from(record.attempts),
            record.reason.as_deref(),
            record.updated.as_millis()
        ];
        self.upsert("qr_scan", &columns, values, &["manifest_id"], &CHANGES)
            .await
    }

    async fn reassess(&mut self, digest: &Digest, severity: Option<Severity>) -> Result<u64, StoreError> {
        let sql = "UPDATE qr_scan SET severity = ? WHERE digest = ? AND status = 'scanned'";
        self.run(sql, values![severity.map(Severity::as_str), digest.to_string()])
            .await
    }

    async fn outdated(
        &mut self,
        state: &str,
        before: Timestamp,
        most: usize,
    ) -> Result<Vec<(RepositoryId, i64, Digest, ScanRecord)>, StoreError> {
        let sql = format!(
            "SELECT s.repository_id, s.manifest_id, s.digest, {COLUMNS} FROM qr_scan s WHERE s.updated_ms < ? \
             AND s.indexer_state <> ? AND s.status IN ('scanned', 'failed') ORDER BY s.updated_ms, s.manifest_id LIMIT ?"
        );
        let rows = self
            .rows(sql, values![before.as_millis(), state, limit(most)])
            .await?;
        rows.iter()
            .map(|row| Ok((row.int(0)?, row.int(1)?, row.parsed(2)?, scan_of(row, 3)?)))
            .collect()
    }
}
