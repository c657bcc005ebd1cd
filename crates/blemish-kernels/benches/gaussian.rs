//! PaDiM's numerics at 256x256 with 100 dimensions: 64 x 64 positions. One thread.
//!
//! Throughput counts multiply-adds: d (d + 1) / 2 a position and sample while accumulating and while scoring (Mahalanobis distance
//! through the inverse factor), d^3 / 3 a position while factoring.

#[path = "support/points.rs"]
mod points;

use blemish_kernels::gaussian::{GaussianAccumulator, Precision};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use points::structured;

const POSITIONS: usize = 64 * 64;
const DIMENSIONS: usize = 100;
/// As many samples as are taken up together.
const SAMPLES: usize = 16;

fn gaussian(criterion: &mut Criterion) {
    let Ok(one_thread) = rayon::ThreadPoolBuilder::new().num_threads(1).build() else { return };
    let Ok(empty) = GaussianAccumulator::new(POSITIONS, DIMENSIONS) else { return };
    let samples = structured(SAMPLES * POSITIONS, DIMENSIONS, 1);
    let triangle = (POSITIONS * DIMENSIONS * (DIMENSIONS + 1) / 2) as u64;
    let mut group = criterion.benchmark_group("gaussian_4096x100");
    group.sample_size(10);

    group.throughput(Throughput::Elements(SAMPLES as u64 * triangle));
    let mut filled = empty;
    let Ok(()) = filled.add_batch(&samples) else { return };
    group.bench_function("accumulate 16 images", |bencher| {
        bencher.iter(|| one_thread.install(|| filled.add_batch(&samples)));
    });

    group.throughput(Throughput::Elements((POSITIONS * DIMENSIONS.pow(3) / 3) as u64));
    group.bench_function("factor", |bencher| {
        bencher.iter(|| one_thread.install(|| filled.factor(0.01, Precision::Half)));
    });

    group.throughput(Throughput::Elements(triangle));
    let image = &samples[..POSITIONS * DIMENSIONS];
    for (name, precision) in [("half", Precision::Half), ("single", Precision::Single)] {
        let Ok(gaussians) = filled.factor(0.01, precision) else { return };
        group.bench_function(format!("mahalanobis of one image, {name}"), |bencher| {
            bencher.iter(|| one_thread.install(|| gaussians.mahalanobis(image)));
        });
    }
    group.finish();
}

criterion_group!(benches, gaussian);
criterion_main!(benches);
