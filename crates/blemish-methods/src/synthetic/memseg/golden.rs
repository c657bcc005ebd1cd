//! The values of `tests/golden/make_memseg.py`, computed by the network here.

use super::config::{MemSegConfig, Variant};
use super::fit::{loss, plan, widths};
use super::last_stage::LastStage;
use super::memory::{Layers, Memory};
use super::network::{Network, Seen};
use crate::shared::map_size::MapSize;
use crate::shared::tensors::values_of;
use crate::testing::{blank_of, relative_difference};
use blemish_core::feature_batch::FeatureBatch;
use blemish_core::preset::Preset;
use blemish_features::FeatureMap;
use blemish_nn::layers::Phase;
use blemish_nn::train::{Optimiser, Schedule, TrainError, Verdict, Watch, train};
use blemish_nn::weights::{self, Values, WeightError};
use blemish_nn::{Device, Module, Tensor, TensorData};
use burn::tensor::DType;
use burn::tensor::activation::softmax;
use safetensors::{Dtype, SafeTensors};
use std::path::Path;

const TOLERANCE: f32 = 1e-4;

struct Alone;

impl Watch for Alone {
    fn verdict(&self) -> Verdict {
        Verdict::Go
    }
    fn step(&self, _: u64, _: f64, _: f64) {}
}

/// The script's name of a weight here: there is one kind of normalisation.
fn stored(name: &str) -> String {
    name.replace(".norm.Batch.", ".norm.")
}

/// A case of the stored values.
struct Case<'a> {
    file: SafeTensors<'a>,
    name: &'static str,
    config: MemSegConfig,
    /// Precision of the step.
    exact: DType,
    /// Largest relative difference so far.
    worst: std::cell::Cell<f32>,
}

impl Case<'_> {
    fn view(&self, key: &str) -> Option<safetensors::tensor::TensorView<'_>> {
        self.file.tensor(&format!("{}.{key}", self.name)).ok()
    }

    fn values(&self, key: &str) -> Values {
        let view = self.view(key).unwrap_or_else(|| panic!("there is no {key}"));
        assert_eq!(view.dtype(), Dtype::F32);
        (view.shape().to_vec(), bytemuck::pod_collect_to_vec(view.data()))
    }

    fn map(&self, key: &str) -> FeatureMap {
        let (shape, data) = self.values(key);
        FeatureMap { channels: shape[1], height: shape[2], width: shape[3], data }
    }

    fn check(&self, key: &str, found: &[f32]) {
        let off = relative_difference(found, &self.values(key).1);
        assert!(off < TOLERANCE, "{} {key}: {off:e}", self.name);
        self.worst.set(self.worst.get().max(off));
    }

    /// Frozen features as a batch, and the memory.
    fn inputs(&self) -> (FeatureBatch, Memory) {
        let levels = || (0..).map_while(|at| self.view(&format!("memory.{at}")).map(|_| at));
        let mut maps = vec![self.map("in.stem")];
        maps.extend(levels().map(|at| self.map(&format!("in.level.{at}"))));
        let count = self.values("memory.0").0[0];
        let items = levels().map(|at| self.values(&format!("memory.{at}")).1).collect();
        let layers = Layers { sizes: maps.iter().map(MapSize::of).collect(), has_stem: true };
        let side = 2 * maps[0].height;
        let batch = self.values("in.stem").0[0];
        let features =
            FeatureBatch { count: batch, height: side, width: side, maps, region_of_interest: None };
        (features, Memory::new(layers, count, items))
    }

    /// The network with the stored weights; what is not stored is a bias of zeros.
    fn network(&self, layers: &Layers, dtype: DType, device: &Device) -> Network {
        let mut init = blank_of(dtype, device);
        let widths = widths(layers);
        let deepest = *widths.levels.last().unwrap();
        let last_stage = (LastStage::own(deepest, &mut init), 2 * deepest);
        let blank = Network::new(&self.config, &widths, last_stage, &mut init);
        let old = weights::collect(&blank);
        let found = old.keys().filter(|name| self.view(&format!("w.{}", stored(name))).is_some()).count();
        let all = self.file.names().into_iter().filter(|name| name.starts_with(&format!("{}.w.", self.name)));
        assert_eq!(found, all.count(), "weights without a place");
        let take = |name: &str| {
            let key = format!("w.{}", stored(name));
            Ok::<_, WeightError>(match self.view(&key) {
                Some(_) => self.values(&key),
                None => {
                    assert!(name.ends_with(".bias"), "{name} is not stored");
                    old[name].clone()
                }
            })
        };
        weights::load(blank, take).unwrap()
    }

    fn run(&self) {
        let device = Device::flex().autodiff();
        let (features, memory) = self.inputs();
        let network = self.network(memory.layers(), DType::F32, &device);
        let rules = self.config.rules();
        let look =
            |device: &Device| memory.look(&features, 0..features.count, &rules, &|_| None, device).unwrap();
        self.check_items(&features, &memory);
        // A clone keeps the moments that the passes of training move.
        let scored = network.valid().forward(&look(&Device::flex()), Phase::Scoring);
        self.check("scored", &values_of(scored).unwrap());
        let seen = look(&device);
        for (level, map) in seen.spatial.iter().enumerate() {
            self.check(&format!("spatial.{level}"), &values_of(map.clone()).unwrap());
        }
        for (level, map) in network.clone().fusion.forward(&seen, Phase::Training).into_iter().enumerate() {
            self.check(&format!("fused.{level}"), &values_of(map).unwrap());
        }
        let (shape, masks) = self.values("masks");
        let masks = Tensor::<4>::from_data(TensorData::new(masks, shape), &device);
        let logits = network.clone().forward(&seen, Phase::Training);
        self.check("logits", &values_of(logits.clone()).unwrap());
        self.check("loss", &values_of(loss(&self.config, logits.clone(), masks.clone())).unwrap());
        let only = |l1_share| MemSegConfig { l1_share, ..self.config.clone() };
        self.check("l1", &values_of(loss(&only(1.0), logits.clone(), masks.clone())).unwrap());
        self.check("focal", &values_of(loss(&only(0.0), logits, masks.clone())).unwrap());
        let network = self.network(memory.layers(), self.exact, &device);
        self.check_step(network, &cast(seen, self.exact), &masks.cast(self.exact), &device);
        println!("{}: largest relative difference {:e}", self.name, self.worst.get());
    }

    fn check_items(&self, features: &FeatureBatch, memory: &Memory) {
        let view = self.view("items").unwrap();
        let expected: Vec<u32> = bytemuck::pod_collect_to_vec(view.data());
        let levels = memory.layers().levels().len();
        for (image, expected) in expected.chunks_exact(levels).enumerate() {
            let single = features.single(image);
            let maps: Vec<&[f32]> = single.maps[1..].iter().map(|map| &map.data[..]).collect();
            let found = memory.compare(&maps, &self.config.rules(), None).items;
            assert!(found.iter().zip(expected).all(|(a, &b)| *a == b as usize), "{found:?} {expected:?}");
        }
    }

    /// One step of AdamW at the height of the rate.
    ///
    /// A bias before a normalisation has no slope: in single precision rounding moves it, by a small part of the rate.
    fn check_step(&self, network: Network, seen: &Seen, masks: &Tensor<4>, device: &Device) {
        let mut plan = plan(&MemSegConfig { steps: 1, ..self.config.clone() });
        plan.optimiser =
            Optimiser { decay: self.config.weight_decay, epsilon: 1e-5, ..Optimiser::ADAM_W }.into();
        plan.schedule = Schedule::constant(self.config.rate);
        let batch = |_| Ok::<_, TrainError>((seen.clone(), masks.clone()));
        let cost = |network: &Network, (seen, masks): (Seen, Tensor<4>)| {
            loss(&self.config, network.forward(&seen, Phase::Training), masks)
        };
        let trained = train(network, &plan, device, batch, cost, &Alone).unwrap().network;
        let after = weights::collect(&trained);
        let is_taken_back = |name: &str| {
            let unit = name.strip_suffix(".conv.Plain.bias");
            unit.is_some_and(|unit| after.contains_key(&format!("{unit}.norm.Batch.gain")))
        };
        let keyed = after.iter().map(|(name, (_, values))| (name, format!("after.{}", stored(name)), values));
        for (name, key, values) in keyed.filter(|(_, key, _)| self.view(key).is_some()) {
            if self.exact == DType::F32 && is_taken_back(name) {
                let off = values.iter().zip(self.values(&key).1).map(|(a, b)| (a - b).abs());
                assert!(off.fold(0.0, f32::max) < 0.05 * self.config.rate as f32, "{} {key}", self.name);
            } else {
                self.check(&key, values);
            }
        }
    }
}

/// What is seen in another precision.
fn cast(seen: Seen, dtype: DType) -> Seen {
    let all = |maps: Vec<Tensor<4>>| maps.into_iter().map(|map| map.cast(dtype)).collect();
    Seen {
        stem: seen.stem.map(|map| map.cast(dtype)),
        information: all(seen.information),
        spatial: all(seen.spatial),
        size: seen.size,
    }
}

fn config(variant: Variant, width: usize) -> MemSegConfig {
    MemSegConfig { variant, width, ..MemSegConfig::of(Preset::Paper) }
}

#[test]
fn both_variants_compute_what_pytorch_does_and_learn_the_same_step() {
    let bytes = include_bytes!("../../../tests/golden/memseg.safetensors");
    for (name, variant) in
        [("reimplementation", Variant::Reimplementation), ("fragments", Variant::Fragments)]
    {
        let file = SafeTensors::deserialize(bytes).unwrap();
        Case { file, name, config: config(variant, 6), exact: DType::F32, worst: 0.0.into() }.run();
    }
}

#[test]
fn the_published_widths_compute_what_pytorch_does() {
    let Ok(folder) = std::env::var("BLEMISH_GOLDEN_PUBLISHED") else {
        println!("skipped: BLEMISH_GOLDEN_PUBLISHED names no folder of make_memseg.py --published");
        return;
    };
    let bytes = std::fs::read(Path::new(&folder).join("memseg-published.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let config = config(Variant::Reimplementation, 48);
    // Where a value lies within rounding of zero a rectifier's slope jumps, and of so many some do.
    Case { file, name: "published", config, exact: DType::F64, worst: 0.0.into() }.run();
}

/// The loss of probabilities that are given by logits.
fn cost(config: &MemSegConfig, p: f32, mask: f32) -> f32 {
    let device = Device::flex();
    let logits = Tensor::<4>::from_data([[[[(1.0 - p).ln()]], [[p.ln()]]]], &device);
    let found = softmax(logits.clone(), 1).narrow(1, 1, 1).into_scalar::<f32>();
    assert!((found - p).abs() < 1e-6);
    loss(config, logits, Tensor::from_data([[[[mask]]]], &device)).into_scalar()
}

#[test]
fn the_losses_are_those_of_the_specification() {
    let focal = MemSegConfig { l1_share: 0.0, ..config(Variant::Reimplementation, 48) };
    for (p, expected) in [(0.9, 2.564e-5), (0.5, 0.043_320_4), (0.1, 1.510_645_4)] {
        for (p, mask) in [(p, 1.0), (1.0 - p, 0.0)] {
            let found = cost(&focal, p, mask);
            assert!((found - expected).abs() < 1e-3 * expected, "{p} {mask}: {found} is not {expected}");
        }
    }
    let plain = MemSegConfig { smoothing: Some(0.0), ..focal.clone() };
    for (p, expected) in [(0.9, 1.0536e-5), (0.5, 0.043_321_7), (0.1, 1.510_726_1)] {
        let found = cost(&plain, p, 1.0);
        assert!((found - expected).abs() < 1e-4 * expected, "{p}: {found} is not {expected}");
    }
    let l1 = MemSegConfig { l1_share: 1.0, ..focal.clone() };
    assert!((cost(&l1, 0.7, 1.0) - 0.3).abs() < 1e-6);
    let both = config(Variant::Reimplementation, 48);
    let expected = 0.6 * 0.5 + 0.4 * 0.043_320_4;
    assert!((cost(&both, 0.5, 1.0) - expected).abs() < 1e-5);
    // A perfect prediction, of logits whose exponentials leave nothing.
    let logits = Tensor::<4>::from_data([[[[-60.0f32, 60.0]], [[60.0, -60.0]]]], &Device::flex());
    let masks = || Tensor::<4>::from_data([[[[1.0f32, 0.0]]]], &Device::flex());
    assert_eq!(loss(&l1, logits.clone(), masks()).into_scalar::<f32>(), 0.0);
    // What the smoothing leaves, 1e-5 ln 1e-5, counts 0.4 times.
    assert!(loss(&both, logits.clone(), masks()).into_scalar::<f32>().abs() < 1e-4);
    assert!((loss(&focal, logits, masks()).into_scalar::<f32>() - 1.1513e-4).abs() < 1e-7);
}
