//! From a 32 x 32 grid of patch scores to a smooth map of 256 x 256 pixels. Throughput counts pixels.

use blemish_kernels::map::{Border, gaussian_blur, resize_bilinear};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;

fn map(criterion: &mut Criterion) {
    let grid: Vec<f32> = (0..32 * 32).map(|i| ((i * 37) % 101) as f32).collect();
    let size = (256, 256);
    let large = resize_bilinear(&grid, (32, 32), size);
    let mut group = criterion.benchmark_group("map_256x256");
    group.throughput(Throughput::Elements(256 * 256));
    group.bench_function("resize", |bencher| {
        bencher.iter(|| resize_bilinear(black_box(&grid), (32, 32), size));
    });
    group.bench_function("blur, sigma 4", |bencher| {
        bencher.iter(|| gaussian_blur(black_box(&large), size, 4.0, Border::Mirror));
    });
    group.finish();
}

criterion_group!(benches, map);
criterion_main!(benches);
