//! Blobs of 1 KiB, 1 MiB and 1 GiB, pushed and pulled on one connection and on many.
#![expect(clippy::unwrap_used, reason = "benches")]

mod support;

use std::cell::Cell;
use std::time::Duration;

use benches::content::Large;
use benches::transfer::{pull, push};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use futures::future::try_join_all;
use support::{Harness, NAME, runtime};
use tokio::runtime::Runtime;
use tokio::time::Instant;

const SIZES: [(&str, u64); 3] = [("1KiB", 1 << 10), ("1MiB", 1 << 20), ("1GiB", 1 << 30)];
const STREAMS: [u64; 2] = [1, 4];

/// Pushes content that is new each time; making it does not count.
fn time_pushes(runtime: &Runtime, seed: &Cell<u64>, rounds: u64, size: u64, streams: u64) -> Duration {
    runtime.block_on(async {
        let harness = Harness::start().await;
        let mut spent = Duration::ZERO;
        for _ in 0..rounds {
            let mut contents: Vec<Large> = (0..streams)
                .map(|_| Large::new(seed.replace(seed.get() + 1), size))
                .collect();
            let started = Instant::now();
            let pushes = contents
                .iter_mut()
                .map(|content| push(harness.address, NAME, content, None));
            try_join_all(pushes).await.unwrap();
            spent += started.elapsed();
        }
        spent
    })
}

fn time_pulls(runtime: &Runtime, rounds: u64, size: u64, streams: u64) -> Duration {
    runtime.block_on(async {
        let harness = Harness::start().await;
        let content = Large::new(7, size);
        push(harness.address, NAME, &mut content.clone(), None)
            .await
            .unwrap();
        let mut copies = vec![content; usize::try_from(streams).unwrap()];
        let started = Instant::now();
        for _ in 0..rounds {
            let pulls = copies
                .iter_mut()
                .map(|content| pull(harness.address, NAME, content));
            try_join_all(pulls).await.unwrap();
        }
        started.elapsed()
    })
}

fn blobs(criterion: &mut Criterion) {
    let runtime = runtime();
    let seed = Cell::new(1000);
    let mut group = criterion.benchmark_group("blob");
    group.sample_size(10);
    for (label, size) in SIZES {
        for streams in STREAMS {
            group.throughput(Throughput::Bytes(size * streams));
            let streams_label = format!("{label}/{streams}-streams");
            group.bench_function(BenchmarkId::new("push", &streams_label), |bencher| {
                bencher.iter_custom(|rounds| time_pushes(&runtime, &seed, rounds, size, streams));
            });
            group.bench_function(BenchmarkId::new("pull", &streams_label), |bencher| {
                bencher.iter_custom(|rounds| time_pulls(&runtime, rounds, size, streams));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, blobs);
criterion_main!(benches);
