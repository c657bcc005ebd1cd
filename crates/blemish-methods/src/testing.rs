//! Shared by the tests of the methods: images, golden values and comparison.

use blemish_core::entry::Fitted;
use blemish_core::error::Error;
use blemish_core::feature_batch::FeatureBatch;
use blemish_core::input::Input;
use blemish_core::map::PatchScores;
use blemish_core::state::{State, StateTensor, Values};
use blemish_data::ImageBatch;
use blemish_features::{Backbone, BackboneSpec, Device, EngineOptions, FeatureMap};
use std::sync::Arc;

pub(crate) use blemish_core::check::Images;

/// The embedded backbone with maps of these strides.
pub(crate) fn backbone(strides: &[usize]) -> Arc<Backbone> {
    backbone_on(&EngineOptions::default(), strides)
}

/// The device that BLEMISH_DEVICE names (such as `wgpu`), the CPU without it.
pub(crate) fn device() -> blemish_nn::Device {
    let named = std::env::var("BLEMISH_DEVICE").map_or(Device::Cpu, |name| name.parse().unwrap());
    blemish_features::burn_device::open(named).unwrap()
}

/// The same backbone on a device.
pub(crate) fn backbone_on(engine: &EngineOptions, strides: &[usize]) -> Arc<Backbone> {
    Arc::new(Backbone::load(&BackboneSpec::default(), strides, engine).unwrap())
}

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

/// Images of one size, 3 x H x W each, as a batch.
pub(crate) fn image_batch((height, width): (usize, usize), images: &[Vec<f32>]) -> ImageBatch {
    ImageBatch::new(images.len(), height, width, images.concat(), None)
}

/// What a method makes of images: with the maps of the backbone, if it has one.
pub(crate) fn score(
    method: &dyn Fitted,
    backbone: Option<&Backbone>,
    batch: &ImageBatch,
) -> Result<Vec<PatchScores>, Error> {
    let maps = match (backbone, method.needs().reads.maps()) {
        (Some(backbone), true) => Some(FeatureBatch::extract(backbone, batch)?),
        _ => None,
    };
    method.score(&Input { maps: maps.as_ref(), ..Input::of_images(batch) })
}
