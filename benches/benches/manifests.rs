//! Manifests by tag and by digest, and put.
#![expect(clippy::unwrap_used, reason = "benches")]

mod support;

use std::cell::RefCell;
use std::hint::black_box;

use benches::content::{ACCEPT, CONTENT_TYPE, Image};
use criterion::{Criterion, criterion_group, criterion_main};
use support::{Harness, NAME, runtime};

fn manifests(criterion: &mut Criterion) {
    let runtime = runtime();
    let image = Image::new(1);
    let (harness, connection) = runtime.block_on(async {
        let harness = Harness::start().await;
        harness.push(&image).await;
        let connection = harness.connect().await;
        (harness, RefCell::new(connection))
    });
    let mut group = criterion.benchmark_group("manifest");
    for (by, reference) in [("tag", "latest"), ("digest", image.digest.as_str())] {
        let path = format!("/v2/{NAME}/manifests/{reference}");
        group.bench_function(format!("get/by-{by}"), |bencher| {
            bencher.iter(|| {
                let mut connection = connection.borrow_mut();
                let answer = runtime.block_on(connection.ask("GET", &path, ACCEPT, b"", &[200]));
                black_box(answer.unwrap())
            });
        });
    }
    let mut number = 0;
    group.bench_function("put/new-tag", |bencher| {
        bencher.iter(|| {
            number += 1;
            let path = format!("/v2/{NAME}/manifests/v{number}");
            let mut connection = connection.borrow_mut();
            let answer =
                runtime.block_on(connection.ask("PUT", &path, CONTENT_TYPE, &image.manifest, &[201]));
            black_box(answer.unwrap())
        });
    });
    group.finish();
    runtime.block_on(async { drop(harness) });
}

criterion_group!(benches, manifests);
criterion_main!(benches);
