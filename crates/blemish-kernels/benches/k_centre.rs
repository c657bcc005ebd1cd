//! Coreset selection: the lazy algorithm against the plain one, points x picks a second.
//!
//! Structured points imitate patch features: a smooth map of few hidden coordinates, dense in the middle and thin
//! at the rim, plus a little noise. Random points have no structure to use.

#[path = "support/points.rs"]
mod points;

use blemish_kernels::k_centre::{KCentreOptions, select, select_plain};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use points::{random, structured};
use std::ops::ControlFlow;

fn k_centre(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("k_centre");
    group.sample_size(10);
    let (rows, dimensions, picks) = (20_480, 272, 1024);
    group.throughput(Throughput::Elements((rows * picks) as u64));
    for (name, points) in
        [("structured", structured(rows, dimensions, 1)), ("random", random(rows, dimensions, 1))]
    {
        let options = KCentreOptions::new(picks);
        group.bench_with_input(BenchmarkId::new("lazy", name), &points, |bencher, points| {
            bencher.iter(|| select(points, dimensions, &options, &mut |_| ControlFlow::Continue(())));
        });
        group.bench_with_input(BenchmarkId::new("plain", name), &points, |bencher, points| {
            bencher.iter(|| select_plain(points, dimensions, &options, &mut |_| ControlFlow::Continue(())));
        });
    }
    group.finish();

    let mut whole = criterion.benchmark_group("k_centre_60_images");
    whole.sample_size(10);
    let (rows, picks) = (61_440, 6144);
    whole.throughput(Throughput::Elements((rows * picks) as u64));
    for (name, points) in [("structured", structured(rows, 128, 1)), ("random", random(rows, 128, 1))] {
        whole.bench_with_input(BenchmarkId::new("lazy", name), &points, |bencher, points| {
            let options = KCentreOptions::new(picks);
            bencher.iter(|| select(points, 128, &options, &mut |_| ControlFlow::Continue(())));
        });
    }
    whole.finish();
}

criterion_group!(benches, k_centre);
criterion_main!(benches);
