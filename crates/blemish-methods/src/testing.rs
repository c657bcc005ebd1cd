//! Shared by the tests of the methods: images, golden values and comparison.

use blemish_core::entry::Fitted;
use blemish_core::error::Error;
use blemish_core::feature_batch::FeatureBatch;
use blemish_core::input::Input;
use blemish_core::map::PatchScores;
use blemish_core::state::{State, StateTensor, Values};
use blemish_data::ImageBatch;
use blemish_features::{Backbone, BackboneSpec, EngineOptions, FeatureMap, StateDict};
use blemish_nn::init::Init;
use blemish_nn::optim::{Adam, RmsProp, Rule};
use blemish_nn::train::Turn;
use blemish_nn::weights::{self, WeightError};
use blemish_nn::{Device, Module, Tensor, TensorData};
use burn::tensor::DType;
use std::sync::Arc;

pub(crate) use blemish_core::check::Images;

/// The embedded backbone with maps of these strides.
pub(crate) fn backbone(strides: &[usize]) -> Arc<Backbone> {
    backbone_on(&EngineOptions::default(), strides)
}

/// The device that BLEMISH_DEVICE names (such as `wgpu`), the CPU without it.
pub(crate) fn device() -> Device {
    let named =
        std::env::var("BLEMISH_DEVICE").map_or(blemish_features::Device::Cpu, |name| name.parse().unwrap());
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

/// A network of this precision, to be given stored weights.
pub(crate) fn blank_of(dtype: DType, device: &Device) -> Init {
    let blank = Init::blank(device);
    if dtype == DType::F64 { blank.double() } else { blank }
}

/// The same turns with another epsilon: at the usual one a first step goes by the signs of gradients alone, and not by their size.
pub(crate) fn with_epsilon<'a, M, B>(turns: &[Turn<'a, M, B>], epsilon: f64) -> Vec<Turn<'a, M, B>> {
    let changed = |turn: &Turn<'a, M, B>| {
        let rule = match turn.rule {
            Rule::Adam(adam) => Rule::Adam(Adam { epsilon, ..adam }),
            Rule::RmsProp(rms_prop) => Rule::RmsProp(RmsProp { epsilon, ..rms_prop }),
            Rule::Sgd(_) => turn.rule,
        };
        Turn { rule, ..*turn }
    };
    turns.iter().map(changed).collect()
}

/// Checks a difference of weights after a step: in double precision little more than the rounding of what is stored, since steps are far
/// smaller than the weights.
pub(crate) fn close_as(dtype: DType, off: f32) {
    assert!(dtype != DType::F64 || off < 1e-6, "{off:.1e} off");
}

/// Weights, inputs, results and losses of an independent implementation.
pub(crate) struct Golden(State);

impl Golden {
    /// Those of `tests/golden/NAME.safetensors`.
    pub(crate) fn read(name: &str) -> Self {
        Self::of(format!("{}/tests/golden/{name}.safetensors", env!("CARGO_MANIFEST_DIR")).as_ref())
    }

    /// Those of the published width, which `make_NAME.py --published FOLDER` makes, where BLEMISH_GOLDEN_PUBLISHED names that folder.
    pub(crate) fn published(name: &str) -> Option<Self> {
        Self::published_file(name).map(|path| Self::of(&path))
    }

    /// Where those lie.
    pub(crate) fn published_file(name: &str) -> Option<std::path::PathBuf> {
        let Some(folder) = std::env::var_os("BLEMISH_GOLDEN_PUBLISHED") else {
            println!("skipped: BLEMISH_GOLDEN_PUBLISHED names no folder with {name}.safetensors");
            return None;
        };
        Some(std::path::Path::new(&folder).join(format!("{name}.safetensors")))
    }

    fn of(path: &std::path::Path) -> Self {
        let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let mut state = State::default();
        for (name, view) in file.iter() {
            let values: Vec<f32> = bytemuck::pod_collect_to_vec::<u8, f32>(view.data());
            state.set_f32(name, view.shape(), values);
        }
        Self(state)
    }

    /// Shape and values of a stored tensor.
    pub(crate) fn values(&self, name: &str) -> (Vec<usize>, Vec<f32>) {
        let rank = self.0.tensors().get(name).map_or(1, |tensor| tensor.shape.len());
        let (shape, values) = self.0.f32(name, rank).unwrap();
        (shape.to_vec(), values.to_vec())
    }

    /// The stored tensors under `weights.`, without that, as a weight file would give them.
    pub(crate) fn weights(&self) -> StateDict {
        let names = self.0.tensors().keys().filter_map(|name| name.strip_prefix("weights."));
        let tensor = |name: &str| {
            let (shape, data) = self.values(&format!("weights.{name}"));
            (name.to_owned(), blemish_features::Tensor { shape, data })
        };
        names.map(tensor).collect()
    }

    /// A stored tensor on a device.
    pub(crate) fn tensor<const D: usize>(&self, name: &str, device: &Device) -> Tensor<D> {
        let (shape, values) = self.values(name);
        Tensor::from_data(TensorData::new(values, shape), device)
    }

    /// A network with the stored weights whose names begin with `prefix`; those that are not stored stay.
    pub(crate) fn load<M: Module>(&self, prefix: &str, blank: M) -> M {
        let old = weights::collect(&blank);
        let mut taken = 0;
        let take = |name: &str| {
            let stored = format!("{prefix}{name}");
            let is_stored = self.0.tensors().contains_key(&stored);
            taken += usize::from(is_stored);
            Ok::<_, WeightError>(if is_stored { self.values(&stored) } else { old[name].clone() })
        };
        let network = weights::load(blank, take).unwrap();
        let stored = self.0.tensors().keys().filter(|name| name.starts_with(prefix)).count();
        assert_eq!(taken, stored, "weights of {prefix} that the network has not");
        network
    }

    /// Within 1e-4 of the largest of the stored values.
    pub(crate) fn close(&self, ours: &[f32], name: &str) {
        let off = relative_difference(ours, &self.values(name).1);
        assert!(off < 1e-4, "{name}: {off:.1e} off");
    }

    /// Compares a tensor with a stored one, shape and values.
    pub(crate) fn check<const D: usize>(&self, ours: Tensor<D>, name: &str) {
        assert_eq!(ours.dims()[..], self.values(name).0[..], "{name}");
        self.close(&ours.into_data().convert::<f32>().try_into_vec::<f32>().unwrap(), name);
    }

    /// Compares all stored weights whose names begin with `prefix`; gives the largest difference.
    pub(crate) fn check_weights<M: Module>(&self, network: &M, prefix: &str) -> f32 {
        let ours = weights::collect(network);
        let mut most = 0.0f32;
        for name in self.0.tensors().keys().filter_map(|name| name.strip_prefix(prefix)) {
            self.close(&ours[name].1, &format!("{prefix}{name}"));
            most = most.max(relative_difference(&ours[name].1, &self.values(&format!("{prefix}{name}")).1));
        }
        println!("{prefix} within {most:.1e}");
        most
    }
}
