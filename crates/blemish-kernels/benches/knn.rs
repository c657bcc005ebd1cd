//! Nearest-neighbour search of one image's patches, one thread, against a plain matrix product of the same size.
//!
//! Throughput counts queries x rows x dimensions multiply-adds whether they are done or saved.

#[path = "support/points.rs"]
mod points;

use blemish_kernels::knn::MemoryBank;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use points::{random, structured};

const QUERIES: usize = 1024;
const ROWS: usize = 6144;

fn knn(criterion: &mut Criterion) {
    let Ok(one_thread) = rayon::ThreadPoolBuilder::new().num_threads(1).build() else { return };
    let mut group = criterion.benchmark_group("knn");
    group.sample_size(20);
    for dimensions in [152, 384] {
        group.throughput(Throughput::Elements((QUERIES * ROWS * dimensions) as u64));
        let kinds = [("structured", structured as fn(usize, usize, u64) -> Vec<f32>), ("random", random)];
        for (name, points) in kinds {
            let Ok(bank) = MemoryBank::new(points(ROWS, dimensions, 1), dimensions) else { return };
            let queries = points(QUERIES, dimensions, 7);
            group.bench_function(BenchmarkId::new(name, dimensions), |bencher| {
                bencher.iter(|| one_thread.install(|| bank.search(&queries, 1)));
            });
        }
        let (bank, queries) = (random(ROWS, dimensions, 1), random(QUERIES, dimensions, 7));
        let mut products = vec![0.0; QUERIES * ROWS];
        group.bench_function(BenchmarkId::new("gemm alone", dimensions), |bencher| {
            bencher.iter(|| product(&queries, &bank, &mut products, dimensions));
        });
    }
    group.finish();

    let mut build = criterion.benchmark_group("knn_build");
    build.sample_size(10);
    let rows = structured(ROWS, 384, 1);
    build.bench_function("6144 x 384", |bencher| bencher.iter(|| MemoryBank::new(rows.as_slice(), 384)));
    build.finish();
}

/// queries x bank^T into `out`, on this thread.
fn product(queries: &[f32], bank: &[f32], out: &mut [f32], dimensions: usize) {
    let (m, n, k) = (queries.len() / dimensions, bank.len() / dimensions, dimensions);
    assert_eq!(out.len(), m * n);
    let none = gemm::Parallelism::None;
    let (out, queries, bank, step) = (out.as_mut_ptr(), queries.as_ptr(), bank.as_ptr(), k as isize);
    // SAFETY: the three slices hold m x n, m x k and n x k values, which the strides stay within.
    unsafe {
        gemm::gemm(
            m, n, k, out, 1, n as isize, false, queries, 1, step, bank, step, 1, 0.0, 1.0, false, false,
            false, none,
        );
    }
}

criterion_group!(benches, knn);
criterion_main!(benches);
