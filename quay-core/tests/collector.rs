//! Histories of a registry whose garbage is collected while it is in use.

#![expect(clippy::disallowed_methods, clippy::print_stdout, reason = "tests")]

use std::sync::Arc;

use quay_core::memory::{MemoryBlobs, MemoryMetadata};
use quay_core::testing::simulation::{Fault, Stores, Tally, simulate};

/// How many histories: `HISTORIES=10000 cargo test --release -p quay-core --test collector`.
fn histories() -> u64 {
    let asked = std::env::var("HISTORIES").ok();
    asked.and_then(|asked| asked.parse().ok()).unwrap_or(400)
}

const ROUNDS: usize = 30;

fn in_memory() -> Stores {
    let (metadata, blobs) = (MemoryMetadata::new(), MemoryBlobs::new());
    let (rows, objects) = (metadata.clone(), blobs.clone());
    Stores {
        metadata: Arc::new(metadata),
        blobs: Arc::new(blobs),
        leftovers: Arc::new(move || {
            let objects = objects.objects();
            let objects = if objects.is_empty() {
                String::new()
            } else {
                format!("{objects:?}")
            };
            format!("{}{objects}", rows.leftovers())
        }),
    }
}

#[test]
fn nothing_is_lost_and_nothing_is_left() {
    let mut all = Tally::default();
    for seed in 0..histories() {
        match simulate(seed, ROUNDS, Fault::None, &in_memory()) {
            Ok(tally) => {
                all.done += tally.done;
                all.failed += tally.failed;
                all.restored += tally.restored;
                all.collected = all.collected.and(tally.collected);
            }
            Err(error) => panic!("{error}"),
        }
    }
    println!("{all:?}");
    // A simulation in which nothing happens proves nothing.
    assert!(all.done > all.failed / 2 && all.restored > 0, "{all:?}");
    assert!(
        all.collected.manifests > 0 && all.collected.undeleted > 0,
        "{all:?}"
    );
    assert!(
        all.collected.leases > 0 && all.collected.repositories > 0,
        "{all:?}"
    );
}

#[test]
fn one_seed_is_one_history() {
    for seed in 0..20 {
        let play = || simulate(seed, ROUNDS, Fault::None, &in_memory());
        assert_eq!(play(), play());
    }
}

#[test]
fn every_fault_is_found() {
    for fault in Fault::ALL {
        let found = (0..400).find(|seed| simulate(*seed, ROUNDS, fault, &in_memory()).is_err());
        assert!(found.is_some(), "{fault:?} was not found");
        println!("{fault:?} is found by seed {}", found.unwrap_or_default());
    }
}
