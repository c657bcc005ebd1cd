//! Throughput of pixel metrics: maps a second, all metrics, five kinds of defect.

use blemish_eval::Evaluator;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn evaluate(maps: &[Vec<f32>], mask: &[bool]) -> f64 {
    let mut evaluator = Evaluator::new();
    for (index, map) in maps.iter().enumerate() {
        let is_defective = index % 3 > 0;
        let defect = ["a", "b", "c", "d", "e"][index % 5];
        let mask = is_defective.then_some(mask);
        if let Err(error) = evaluator.add(defect, is_defective, map[0], map, mask, (256, 256)) {
            panic!("{error}");
        }
    }
    evaluator.finish().map_or(0.0, |evaluation| evaluation.pixel.aupro.unwrap_or(0.0))
}

fn pixels(criterion: &mut Criterion) {
    let mut state = 1u64;
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 40) as f32
    };
    let maps: Vec<Vec<f32>> = (0..60).map(|_| (0..256 * 256).map(|_| next()).collect()).collect();
    let mask: Vec<bool> = (0..256 * 256).map(|i| i % 256 < 40 && i / 256 < 40).collect();
    let mut group = criterion.benchmark_group("metrics");
    group.sample_size(10).throughput(Throughput::Elements(60 * 256 * 256));
    group.bench_function("all pixel metrics of 60 maps of 256x256", |b| b.iter(|| evaluate(&maps, &mask)));
    group.finish();
}

criterion_group!(benches, pixels);
criterion_main!(benches);
