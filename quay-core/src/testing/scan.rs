//! Cases for the record of scans. A store that keeps none leaves them out.

use super::metadata::{at, digest, ensure_repository, manifest};
use super::{Failure, Instance, ensure};
use crate::metadata::{MetadataStore, ScanRecord, ScanStatus, ScanStore, UnitOfWork};
use crate::scanner::Severity;

type Store = dyn MetadataStore;
type Outcome = Result<(), Failure>;

fn scans(unit: &mut dyn UnitOfWork) -> Result<&mut dyn ScanStore, Failure> {
    unit.scans()
        .ok_or(Failure::NotApplicable("the store keeps no scans"))
}

fn record(status: ScanStatus, state: &str, severity: Option<Severity>, updated: i64) -> ScanRecord {
    let mut record = ScanRecord::new(status, at(updated));
    state.clone_into(&mut record.state);
    record.severity = severity;
    record
}

pub(super) async fn scans_are_recorded_and_go_with_their_manifests(
    instance: &mut dyn Instance<Store>,
) -> Outcome {
    let store = instance.store();
    let mut unit = store.begin().await?;
    scans(&mut *unit)?;
    let repository = ensure_repository(&mut *unit, "a/b").await?;
    let (id, _) = unit.manifests().put(repository, &manifest("one"), at(1)).await?;
    unit.commit().await?;
    let one = digest("one");
    let seen = store.scan(repository, &one).await?;
    let found = seen.as_ref().map(|seen| (seen.manifest, &seen.record));
    ensure!(
        found == Some((id, &None)),
        "a manifest that was not scanned has {seen:?}"
    );
    let none = store.scan(repository, &digest("none")).await?;
    ensure!(none.is_none(), "a manifest that is not there has {none:?}");
    let mut failed = record(ScanStatus::Failed, "state", None, 10);
    failed.attempts = 3;
    failed.reason = Some("it does not answer".to_owned());
    let scanned = record(ScanStatus::Scanned, "next", Some(Severity::High), 20);
    for expected in [failed, scanned] {
        let mut unit = store.begin().await?;
        scans(&mut *unit)?.save(repository, id, &one, &expected).await?;
        unit.manifests().end(repository, id, at(30)).await?;
        unit.commit().await?;
        let seen = store.scan(repository, &one).await?;
        ensure!(
            seen.as_ref().and_then(|seen| seen.record.as_ref()) == Some(&expected),
            "{expected:?} was recorded, and {seen:?} is found"
        );
    }
    let mut unit = store.begin().await?;
    if unit.garbage().is_none() {
        return Ok(());
    }
    if let Some(garbage) = unit.garbage() {
        garbage.remove_manifests(repository, &[id], at(40)).await?;
    }
    let left = scans(&mut *unit)?.outdated("another", at(99), 9).await?;
    ensure!(left.is_empty(), "a manifest that is gone leaves {left:?}");
    Ok(())
}

pub(super) async fn outdated_scans_are_found_oldest_first(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    let mut unit = store.begin().await?;
    scans(&mut *unit)?;
    let repository = ensure_repository(&mut *unit, "a/b").await?;
    let other = ensure_repository(&mut *unit, "a/c").await?;
    for (of, seed, status, state, updated) in [
        (repository, "old", ScanStatus::Scanned, "1", 30),
        (repository, "older", ScanStatus::Failed, "1", 20),
        (repository, "queued", ScanStatus::Queued, "1", 10),
        (repository, "unsupported", ScanStatus::Unsupported, "1", 10),
        (repository, "new", ScanStatus::Scanned, "2", 10),
        (repository, "late", ScanStatus::Scanned, "1", 50),
        (other, "old", ScanStatus::Scanned, "1", 40),
    ] {
        let (id, _) = unit.manifests().put(of, &manifest(seed), at(1)).await?;
        let record = record(status, state, Some(Severity::Low), updated);
        scans(&mut *unit)?.save(of, id, &digest(seed), &record).await?;
    }
    let found = scans(&mut *unit)?.outdated("2", at(50), 9).await?;
    let seen: Vec<_> = found.iter().map(|(of, _, digest, _)| (*of, *digest)).collect();
    let expected = [
        (repository, digest("older")),
        (repository, digest("old")),
        (other, digest("old")),
    ];
    ensure!(seen == expected, "outdated are {seen:?}, not {expected:?}");
    let one = scans(&mut *unit)?.outdated("2", at(50), 1).await?;
    ensure!(
        one.len() == 1 && one.iter().all(|(_, _, of, _)| *of == digest("older")),
        "the oldest is {one:?}"
    );
    let reassessed = scans(&mut *unit)?
        .reassess(&digest("old"), Some(Severity::Critical))
        .await?;
    ensure!(reassessed == 2, "{reassessed} of two manifests were reassessed");
    unit.commit().await?;
    for (of, seed, expected) in [
        (repository, "old", Severity::Critical),
        (other, "old", Severity::Critical),
        (repository, "late", Severity::Low),
    ] {
        let seen = store.scan(of, &digest(seed)).await?;
        let severity = seen
            .and_then(|seen| seen.record)
            .and_then(|record| record.severity);
        ensure!(severity == Some(expected), "{seed} is {severity:?} in {of}");
    }
    Ok(())
}
