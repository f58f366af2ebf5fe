//! The suite for scanners, on the one in memory and on scanners that are broken on purpose.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use futures::FutureExt;
use futures::executor::block_on;
use quay_core::memory::MemoryScanner;
use quay_core::scanner::{
    Feature, Indexed, Notice, Report, ScanLayer, ScanRequest, Scanner, Severity, Vulnerability,
};
use quay_core::testing::scanner::{self, ScannerUnderTest};
use quay_core::testing::{Instance, Report as Outcome};
use quay_core::{Algorithm, Digest, MediaType, RepositoryName, StoreError};

use crate::Kept;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    None,
    StateFollowsCalls,
    NoState,
    ReportsAnything,
    ForgetsWhatItSaw,
    FindsNothingWrong,
    LosesLayers,
    FindsMoreEachTime,
    TakesAnything,
    GoesByLayers,
    TellsOnce,
    TellsForEver,
    TellsAllAtOnce,
    ForgetsAll,
    TellsOfOthers,
    KeepsItToItself,
}

/// What is in an image by all scanners here, and one image.
#[derive(Debug)]
struct Broken {
    inner: MemoryScanner,
    fault: Fault,
    calls: AtomicUsize,
}

fn layer() -> Digest {
    Digest::of(Algorithm::Sha256, b"layer")
}

fn image() -> ScanRequest {
    ScanRequest::new(
        RepositoryName::from_path("org/app").unwrap(),
        Digest::of(Algorithm::Sha256, b"image"),
        MediaType::known(MediaType::OCI_MANIFEST),
        vec![ScanLayer::new(layer(), Some(5))],
    )
}

#[async_trait]
impl Scanner for Broken {
    async fn state(&self) -> Result<String, StoreError> {
        Ok(match self.fault {
            Fault::NoState => String::new(),
            Fault::StateFollowsCalls => self.calls.load(Ordering::SeqCst).to_string(),
            _ => self.inner.state().await?,
        })
    }

    async fn index(&self, request: &ScanRequest) -> Result<Indexed, StoreError> {
        let calls = self.calls.fetch_add(1, Ordering::SeqCst);
        match self.fault {
            Fault::TakesAnything => {
                self.inner.index(request).await?;
                return Ok(Indexed::Done);
            }
            Fault::ForgetsWhatItSaw => return Ok(Indexed::Done),
            Fault::FindsMoreEachTime if calls > 0 => {
                let more = Feature::new(&format!("package{calls}"), "1", "");
                let again = Feature::new("zlib", "1", "");
                self.inner.know_layer(layer(), vec![more, again]);
            }
            Fault::GoesByLayers => {
                let mut all = request.clone();
                all.digest = image().digest;
                self.inner.index(&all).await?;
            }
            _ => {}
        }
        self.inner.index(request).await
    }

    async fn report(&self, digest: &Digest) -> Result<Option<Report>, StoreError> {
        let mut report = self.inner.report(digest).await?;
        match self.fault {
            Fault::ReportsAnything => return Ok(Some(report.unwrap_or_default())),
            Fault::FindsNothingWrong | Fault::KeepsItToItself => {
                for feature in report.iter_mut().flat_map(|report| &mut report.features) {
                    let keep = usize::from(self.fault == Fault::KeepsItToItself);
                    feature.vulnerabilities.truncate(keep);
                }
            }
            Fault::LosesLayers => {
                for feature in report.iter_mut().flat_map(|report| &mut report.features) {
                    feature.added_by.clear();
                }
            }
            _ => {}
        }
        Ok(report)
    }

    async fn notices(&self, limit: usize) -> Result<Vec<Notice>, StoreError> {
        let limit = if self.fault == Fault::TellsAllAtOnce {
            limit + 1
        } else {
            limit
        };
        let mut notices = self.inner.notices(limit).await?;
        match self.fault {
            Fault::TellsOnce => {
                let ids: Vec<String> = notices.iter().map(|notice| notice.id.clone()).collect();
                self.inner.acknowledge(&ids).await?;
            }
            Fault::TellsOfOthers => {
                for notice in &mut notices {
                    notice.digest = layer();
                }
            }
            _ => {}
        }
        Ok(notices)
    }

    async fn acknowledge(&self, ids: &[String]) -> Result<(), StoreError> {
        match self.fault {
            Fault::TellsForEver => Ok(()),
            Fault::ForgetsAll => {
                let all = self.inner.notices(usize::MAX).await?;
                let all: Vec<String> = all.into_iter().map(|notice| notice.id).collect();
                self.inner.acknowledge(&all).await
            }
            _ => self.inner.acknowledge(ids).await,
        }
    }
}

struct Bench(Arc<Broken>);

#[async_trait]
impl ScannerUnderTest for Bench {
    fn scanner(&self) -> Arc<dyn Scanner> {
        Arc::clone(&self.0) as _
    }

    fn image(&self) -> ScanRequest {
        image()
    }

    async fn learn(&self) -> bool {
        for name in ["CVE-2024-2", "CVE-2024-3"] {
            let vulnerability = Vulnerability::new(name, Severity::Critical);
            self.0.inner.know_vulnerability("zlib", &vulnerability);
        }
        true
    }
}

fn run(fault: Fault) -> Outcome {
    block_on(scanner::run(&|| {
        let inner = MemoryScanner::new();
        inner.know_layer(layer(), vec![Feature::new("zlib", "1", "")]);
        inner.know_vulnerability("zlib", &Vulnerability::new("CVE-2024-1", Severity::Low));
        let broken = Broken {
            inner,
            fault,
            calls: AtomicUsize::new(0),
        };
        let bench: Arc<dyn ScannerUnderTest> = Arc::new(Bench(Arc::new(broken)));
        let kept: Box<dyn Instance<dyn ScannerUnderTest>> = Box::new(Kept(bench));
        async move { kept }.boxed()
    }))
}

#[test]
fn the_memory_scanner_passes() {
    run(Fault::None).assert_passed();
}

#[test]
fn every_broken_scanner_is_caught() {
    use Fault::*;
    for fault in [
        StateFollowsCalls,
        NoState,
        ReportsAnything,
        ForgetsWhatItSaw,
        FindsNothingWrong,
        LosesLayers,
        FindsMoreEachTime,
        TakesAnything,
        GoesByLayers,
        TellsOnce,
        TellsForEver,
        TellsAllAtOnce,
        ForgetsAll,
        TellsOfOthers,
        KeepsItToItself,
    ] {
        assert!(!run(fault).failed.is_empty(), "{fault:?} was not caught");
    }
}
