//! Pages of 100 tags from 10, 10 000 and 1 000 000, on SQLite.
#![expect(clippy::unwrap_used, reason = "benches")]

mod support;

use std::cell::RefCell;
use std::hint::black_box;

use benches::content::{Image, MANIFEST};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use quay_core::registry::ManifestPush;
use quay_core::{Caller, MediaType, Reference, Tag};
use support::{Harness, NAME, runtime};

/// Sets tags, as many at once as one push may.
async fn seed(harness: &Harness, image: &Image, count: usize) {
    let name = harness.registry.parse_name(NAME).unwrap();
    harness.push(image).await;
    let tags: Vec<Tag> = (0..count - 1)
        .map(|number| Tag::new(&format!("t{number:07}")).unwrap())
        .collect();
    for tags in tags.chunks(50) {
        let reference = Reference::parse(&image.digest).unwrap();
        let push = ManifestPush::new(reference, image.manifest.clone().into())
            .with_tags(tags.to_vec())
            .with_content_type(MediaType::parse(MANIFEST));
        harness
            .registry
            .put_manifest(&name, push, &Caller::system())
            .await
            .unwrap();
    }
}

fn tags(criterion: &mut Criterion) {
    let runtime = runtime();
    let image = Image::new(1);
    let mut group = criterion.benchmark_group("tags/page-of-100");
    for count in [10, 10_000, 1_000_000] {
        let (harness, connection) = runtime.block_on(async {
            let harness = Harness::start().await;
            seed(&harness, &image, count).await;
            let connection = harness.connect().await;
            (harness, RefCell::new(connection))
        });
        // Somewhere in the middle.
        let path = format!("/v2/{NAME}/tags/list?n=100&last=t{:07}", count / 2);
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            bencher.iter(|| {
                let mut connection = connection.borrow_mut();
                let answer = runtime.block_on(connection.ask("GET", &path, "", b"", &[200]));
                black_box(answer.unwrap())
            });
        });
        runtime.block_on(async { drop(harness) });
    }
    group.finish();
}

criterion_group!(benches, tags);
criterion_main!(benches);
