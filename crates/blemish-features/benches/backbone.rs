//! Feature extraction at 256x256 up to stride 16, one thread. Throughput counts images.
//!
//! The embedded network always; ResNet-18 with the made-up weights of its shapes, since time does not depend on their values.
//! With `--features burn,ort` the other engines run beside native and rten (ONNX Runtime where its library is found).

use blemish_features::graph::{Tensor, Weights};
use blemish_features::{
    Architecture, Backbone, BackboneSpec, BackboneState, Engine, EngineOptions, networks,
};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const SIDE: usize = 256;

fn resnet18() -> Option<BackboneState> {
    let layers = vec!["layer2".to_owned(), "layer3".to_owned()];
    let graph = networks::build(Architecture::ResNet18).cut(&layers).ok()?;
    let made_up = |(name, shape): (String, Vec<usize>)| {
        let count = shape.iter().product::<usize>();
        let scale = (count as f32 / shape[0] as f32).sqrt().recip();
        let data = (0..count).map(|i| (((i * 37) % 199) as f32 / 99.0 - 1.0) * scale).collect();
        (name, Tensor { shape, data })
    };
    let weights: Weights = graph.tensor_shapes().map(made_up).collect();
    Some(BackboneState::Network { architecture: Architecture::ResNet18, layers, weights })
}

fn embedded() -> Option<BackboneState> {
    let loaded = Backbone::load(&BackboneSpec::default(), &[8, 16], &EngineOptions::default()).ok()?;
    Some(loaded.state().clone())
}

fn backbone(criterion: &mut Criterion) {
    let image: Vec<f32> = (0..3 * SIDE * SIDE).map(|i| ((i * 31) % 101) as f32 / 100.0).collect();
    let mut group = criterion.benchmark_group("backbone_256x256");
    group.sample_size(20).throughput(Throughput::Elements(1));
    for (name, state) in [("efficientnet_lite0", embedded()), ("resnet18", resnet18())] {
        let Some(state) = state else { continue };
        for engine in [Engine::Native, Engine::Rten, Engine::Ort, Engine::Burn] {
            let options = EngineOptions { engine, threads: Some(1), ..EngineOptions::default() };
            match Backbone::from_state(state.clone(), &options) {
                Ok(backbone) => {
                    group.bench_function(BenchmarkId::new(name, engine), |bencher| {
                        bencher.iter(|| backbone.extract(&image, [1, SIDE, SIDE]));
                    });
                }
                Err(error) => eprintln!("left out {name} on {engine}: {error}"),
            }
        }
    }
    group.finish();
}

criterion_group!(benches, backbone);
criterion_main!(benches);
