//! The port for what looks into images and knows what is wrong with them (`scanning.md`).
//!
//! The registry asks from a worker ([`Registry::scan`](crate::Registry::scan)), never while somebody waits for a push
//! or a pull; what a pull depends on is recorded beside the manifest.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use crate::digest::Digest;
use crate::error::StoreError;
use crate::media_type::MediaType;
use crate::name::RepositoryName;

/// How bad a vulnerability is, the least first (`scanning.md`, section 8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "Quay's clients know these seven")]
pub enum Severity {
    /// Nobody has said yet.
    Unknown,
    /// A problem in theory.
    Negligible,
    /// Hard to exploit, or little to be had.
    Low,
    /// A real problem for many.
    Medium,
    /// A real problem for many, in a default installation.
    High,
    /// As bad, and easy to exploit.
    Critical,
    /// So bad that everything else can wait.
    Defcon1,
}

impl Severity {
    /// Every one, the least first.
    pub const ALL: [Self; 7] = [
        Self::Unknown,
        Self::Negligible,
        Self::Low,
        Self::Medium,
        Self::High,
        Self::Critical,
        Self::Defcon1,
    ];

    /// Its name, exactly as clients expect it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "Unknown",
            Self::Negligible => "Negligible",
            Self::Low => "Low",
            Self::Medium => "Medium",
            Self::High => "High",
            Self::Critical => "Critical",
            Self::Defcon1 => "Defcon1",
        }
    }

    /// Reads a name, without regard to case; `None` for what is none.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|severity| severity.as_str().eq_ignore_ascii_case(name))
    }
}

/// A layer to be looked into.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScanLayer {
    /// The blob.
    pub digest: Digest,
    /// Its size in bytes, where the manifest says it.
    pub size: Option<u64>,
}

impl ScanLayer {
    /// A layer.
    #[must_use]
    pub const fn new(digest: Digest, size: Option<u64>) -> Self {
        Self { digest, size }
    }
}

/// An image to be looked into. Its layers are read from the repository, as anybody would.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScanRequest {
    /// A repository that holds it.
    pub repository: RepositoryName,
    /// The manifest.
    pub digest: Digest,
    /// Its media type.
    pub media_type: MediaType,
    /// Its layers, the oldest first; one at least.
    pub layers: Vec<ScanLayer>,
}

impl ScanRequest {
    /// An image of these layers.
    #[must_use]
    pub const fn new(
        repository: RepositoryName,
        digest: Digest,
        media_type: MediaType,
        layers: Vec<ScanLayer>,
    ) -> Self {
        Self {
            repository,
            digest,
            media_type,
            layers,
        }
    }
}

/// What came of looking into an image.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Indexed {
    /// It is known what is in it.
    Done,
    /// It is nothing that this scanner can look into, and will not be.
    Unsupported,
    /// It could not be looked into, and cannot be before the scanner has changed. Why.
    Failed(String),
}

/// Something that is wrong with a package. Texts are the scanner's own.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Vulnerability {
    /// What it is called, such as `CVE-2024-1`.
    pub name: String,
    /// How bad it is.
    pub severity: Option<Severity>,
    /// Whose list it is from.
    pub namespace: Option<String>,
    /// Where to read of it: one address, or several with spaces between.
    pub link: Option<String>,
    /// The version that mends it; empty or absent when there is none.
    pub fixed_by: Option<String>,
    /// What it is.
    pub description: Option<String>,
    /// More about it: an object.
    pub metadata: Option<Value>,
}

impl Vulnerability {
    /// A vulnerability by name.
    #[must_use]
    pub fn new(name: &str, severity: Severity) -> Self {
        Self {
            name: name.to_owned(),
            severity: Some(severity),
            ..Self::default()
        }
    }
}

/// A package that an image holds.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Feature {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// How versions are compared, such as `dpkg`; may be empty.
    pub version_format: String,
    /// Of what distribution, such as `debian:10`; may be empty.
    pub namespace: String,
    /// The layer that brought it, as the scanner names layers.
    pub added_by: String,
    /// What is wrong with it.
    pub vulnerabilities: Vec<Vulnerability>,
    /// Scores of what is wrong with it (CVSS).
    pub base_scores: Vec<f64>,
    /// CVEs among what is wrong with it.
    pub cve_ids: Vec<String>,
}

impl Feature {
    /// A package without anything wrong.
    #[must_use]
    pub fn new(name: &str, version: &str, added_by: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            added_by: added_by.to_owned(),
            ..Self::default()
        }
    }

    /// With something wrong.
    #[must_use]
    pub fn with_vulnerability(mut self, vulnerability: Vulnerability) -> Self {
        self.vulnerabilities.push(vulnerability);
        self
    }
}

/// What is known of an image.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Report {
    /// How the scanner calls it.
    pub name: String,
    /// What it is built on, as the scanner calls it; may be empty.
    pub parent: String,
    /// Of what distribution it is; may be empty.
    pub namespace: String,
    /// The version of the engine that looked into it.
    pub indexed_by: Option<i64>,
    /// What is in it.
    pub features: Vec<Feature>,
}

impl Report {
    /// A report of these packages.
    #[must_use]
    pub fn new(name: &str, indexed_by: i64, features: Vec<Feature>) -> Self {
        Self {
            name: name.to_owned(),
            indexed_by: Some(indexed_by),
            features,
            ..Self::default()
        }
    }

    /// The worst that is in it; `None` when nothing is wrong.
    #[must_use]
    pub fn worst(&self) -> Option<Severity> {
        let features = self.features.iter();
        let all = features.flat_map(|feature| &feature.vulnerabilities);
        all.map(|vulnerability| vulnerability.severity.unwrap_or(Severity::Unknown))
            .max()
    }
}

/// How what is known of an image has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoticeReason {
    /// A vulnerability concerns it that did not.
    Added,
    /// A vulnerability no longer concerns it.
    Removed,
    /// A vulnerability that concerns it is told of differently.
    Changed,
}

/// News of an image that was looked into.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Notice {
    /// By what it is acknowledged. Several may share it.
    pub id: String,
    /// The manifest.
    pub digest: Digest,
    /// What has happened.
    pub reason: NoticeReason,
    /// The vulnerability that it is about.
    pub vulnerability: Vulnerability,
}

impl Notice {
    /// News of a manifest.
    #[must_use]
    pub const fn new(id: String, digest: Digest, reason: NoticeReason, vulnerability: Vulnerability) -> Self {
        Self {
            id,
            digest,
            reason,
            vulnerability,
        }
    }
}

/// Finds out what is in images and what is wrong with it. `quay_core::testing::scanner` (feature `testing`) proves an
/// implementation.
///
/// Errors are the scanner's own failures: it cannot be reached, it is overloaded, its answer makes no sense. They say
/// nothing of the image, and the caller tries again.
#[async_trait]
pub trait Scanner: Debug + Send + Sync + 'static {
    /// What the scanner goes by when it looks into images: changes when it would find other things in the same image,
    /// not when it learns of vulnerabilities. Never empty. Cost: one call.
    ///
    /// # Errors
    /// The scanner's, here and in all the others.
    async fn state(&self) -> Result<String, StoreError>;

    /// Looks into an image. Takes as long as it takes.
    ///
    /// Guarantees: idempotent; what it has found is there once it has returned [`Indexed::Done`], for every repository
    /// that holds the manifest. Cancellation: it is looked into or not.
    async fn index(&self, request: &ScanRequest) -> Result<Indexed, StoreError>;

    /// What is known of an image now; `None` when it has not been looked into, has been forgotten, or cannot be told
    /// yet. Cost: one call; the report is in memory as a whole.
    async fn report(&self, digest: &Digest) -> Result<Option<Report>, StoreError>;

    /// News that have not been acknowledged, at most `limit`, the oldest first. Told at least once: they come again
    /// until they are acknowledged.
    async fn notices(&self, limit: usize) -> Result<Vec<Notice>, StoreError>;

    /// Acknowledges news by their ids. Idempotent; an id that is not known is none of them.
    async fn acknowledge(&self, ids: &[String]) -> Result<(), StoreError>;
}

#[async_trait]
impl<T: Scanner + ?Sized> Scanner for Arc<T> {
    async fn state(&self) -> Result<String, StoreError> {
        (**self).state().await
    }

    async fn index(&self, request: &ScanRequest) -> Result<Indexed, StoreError> {
        (**self).index(request).await
    }

    async fn report(&self, digest: &Digest) -> Result<Option<Report>, StoreError> {
        (**self).report(digest).await
    }

    async fn notices(&self, limit: usize) -> Result<Vec<Notice>, StoreError> {
        (**self).notices(limit).await
    }

    async fn acknowledge(&self, ids: &[String]) -> Result<(), StoreError> {
        (**self).acknowledge(ids).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn severities_are_ordered_and_named() {
        assert!(Severity::ALL.is_sorted());
        for severity in Severity::ALL {
            assert_eq!(Severity::from_name(severity.as_str()), Some(severity));
        }
        assert_eq!(Severity::from_name("CRITICAL"), Some(Severity::Critical));
        assert_eq!(Severity::from_name("Defcon 1"), None);
    }

    #[test]
    fn the_worst_of_a_report_counts() {
        let feature = |severities: &[Severity]| {
            let feature = Feature::new("a", "1", "layer");
            let all = severities.iter();
            all.fold(feature, |feature, severity| {
                feature.with_vulnerability(Vulnerability::new("CVE", *severity))
            })
        };
        let report = |features| Report::new("x", 4, features).worst();
        assert_eq!(report(vec![feature(&[])]), None);
        let low_and_high = vec![
            feature(&[Severity::Low]),
            feature(&[Severity::High, Severity::Low]),
        ];
        assert_eq!(report(low_and_high), Some(Severity::High));
    }
}
