//! Shared by the tests of the methods: golden values and comparison.

use crate::feature_batch::FeatureBatch;
use crate::state::{State, StateTensor, Values};
use blemish_features::FeatureMap;

/// The golden values of anomalib's own model code; `tests/golden/make_anomalib.py` makes them.
pub(crate) fn golden() -> State {
    let bytes = include_bytes!("../tests/golden/anomalib.safetensors");
    let file = safetensors::SafeTensors::deserialize(bytes).unwrap();
    let mut state = State::default();
    for (name, view) in file.iter() {
        let shape = view.shape().to_vec();
        let values = match view.dtype() {
            safetensors::Dtype::F32 => {
                Values::F32(bytemuck::pod_collect_to_vec::<u8, f32>(view.data()).into())
            }
            _ => Values::U32(bytemuck::pod_collect_to_vec::<u8, u32>(view.data()).into()),
        };
        state.insert(name.to_owned(), StateTensor { shape, values });
    }
    state
}

/// The feature maps stored under `prefix.LAYER`.
pub(crate) fn maps(golden: &State, prefix: &str, layers: &[&str]) -> Vec<FeatureMap> {
    layers
        .iter()
        .map(|layer| {
            let (shape, data) = golden.f32(&format!("{prefix}.{layer}"), 4).unwrap();
            FeatureMap { channels: shape[1], height: shape[2], width: shape[3], data: data.to_vec() }
        })
        .collect()
}

/// The same as a batch of `count` images.
pub(crate) fn batch(golden: &State, prefix: &str, layers: &[&str], count: usize) -> FeatureBatch {
    FeatureBatch {
        count,
        height: 64,
        width: 64,
        maps: maps(golden, prefix, layers),
        region_of_interest: None,
    }
}

/// Largest |a - b| relative to the largest |b|.
pub(crate) fn relative_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let scale = b.iter().fold(0.0f32, |most, value| most.max(value.abs()));
    a.iter().zip(b).fold(0.0f32, |most, (a, b)| most.max((a - b).abs())) / scale
}
