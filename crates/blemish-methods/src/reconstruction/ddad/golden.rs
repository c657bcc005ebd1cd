//! The values of `tests/golden/make_ddad.py`, computed here.

use super::compare::{Differences, features, finished, pixels, ratio_of_batch};
use super::config::DdadConfig;
use super::diffusion::{Lesson, Path, Way, loss};
use super::extractor::{self, Extractor};
use super::unet::{Shape, UNet};
use crate::shared::tensors::values_of;
use crate::testing::{Golden, blank_of, close_as, relative_difference};
use blemish_core::preset::Preset;
use blemish_features::networks::Architecture;
use blemish_features::{Backbone, BackboneSpec, EngineOptions, FeatureMap};
use blemish_nn::init::Init;
use blemish_nn::layers::Conv;
use blemish_nn::train::{Optimiser, Plan, Schedule, TrainError, Verdict, Watch, train};
use blemish_nn::{Device, Module, Tensor};
use burn::tensor::DType;
use burn::tensor::activation::relu;
use std::sync::Arc;

struct Alone;

impl Watch for Alone {
    fn verdict(&self) -> Verdict {
        Verdict::Go
    }
    fn step(&self, _: u64, _: f64, _: f64) {}
}

/// How both steps are made.
fn plan(optimiser: Optimiser) -> Plan {
    Plan::new(1, Optimiser { epsilon: 1e-3, ..optimiser }, Schedule::constant(1e-2))
}

fn lesson(golden: &Golden, dtype: DType, device: &Device) -> Lesson {
    let tensor = |name: &str| golden.tensor::<4>(name, device).cast(dtype);
    let times = golden.values("times").1.into_iter().map(f64::from).collect();
    Lesson { noisy: tensor("noisy"), noise: tensor("noise"), times, dropout: 0 }
}

/// The network on a training batch, its loss and a step; the way to a reconstruction.
fn unet_agrees(golden: &Golden, shape: &Shape) {
    let device = Device::flex().autodiff();
    let blank = |dtype| golden.load("before.", UNet::new(shape, &mut blank_of(dtype, &device)));
    let network = blank(DType::F32);
    let given = lesson(golden, DType::F32, &device);
    let shifts = network.shifts(&given.times);
    golden.check(network.forward(given.noisy.clone(), &shifts, None), "predicted");
    golden.check(loss(&network, given, 0.0), "loss");
    let network = network.valid();
    let inner = Device::flex();
    let path = Path::new(Way { start: 250, skip: 50, eta: 1.0, w: 3.0 }, &network);
    assert_eq!(path.draws(), 5);
    let draws: Vec<Tensor<4>> =
        (0..5).map(|number| golden.tensor(&format!("draws.{number}"), &inner)).collect();
    let [source, target] = ["source", "target"].map(|name| golden.tensor(name, &inner));
    golden.check(path.reconstruct(&network, source, target, &draws), "made");
    // In double precision, where a small gradient is not mostly rounding.
    let optimiser = Optimiser { decay: 0.05, ..Optimiser::ADAM };
    let batch = |_| Ok::<_, TrainError>(lesson(golden, DType::F64, &device));
    let trained = train(
        blank(DType::F64),
        &plan(optimiser),
        &device,
        batch,
        |network, lesson| loss(network, lesson, 0.0),
        &Alone,
    );
    close_as(DType::F64, golden.check_weights(&trained.unwrap().network, "after."));
}

fn tiny() -> Shape {
    Shape { width: 4, multipliers: vec![1, 2], blocks: 1, attention: 1, heads: 2, groups: 2 }
}

#[test]
fn network_loss_step_and_reconstruction_equal_pytorchs() {
    unet_agrees(&Golden::read("ddad"), &tiny());
}

#[test]
fn so_they_do_at_the_published_width() {
    let Some(golden) = Golden::published("ddad") else { return };
    unet_agrees(&golden, &super::fit::shape(&DdadConfig::of(Preset::Paper), (256, 256)));
}

/// Features of two images one after another.
fn map(golden: &Golden, number: usize, image: usize) -> FeatureMap {
    let [one, other] = ["one", "other"].map(|which| golden.values(&format!("maps.{number}.{which}")));
    let (channels, height, width) = (one.0[1], one.0[2], one.0[3]);
    let length = channels * height * width;
    let data = [&one.1[image * length..][..length], &other.1[image * length..][..length]].concat();
    FeatureMap { channels, height, width, data }
}

/// Distances, maps (D_f + `factor` x ratio x D_p, blurred by `sigma`) and scores in the centre of `crop`, of features of each image.
fn maps_agree(
    golden: &Golden,
    (factor, sigma, crop): (f32, f32, usize),
    maps_of: impl Fn(usize) -> Vec<FeatureMap>,
) {
    let ((shape, given), (_, target)) = (golden.values("given"), golden.values("target"));
    let (size, length) = ((shape[2], shape[3]), 3 * shape[2] * shape[3]);
    let found: Vec<Differences> = given
        .chunks_exact(length)
        .zip(target.chunks_exact(length))
        .enumerate()
        .map(|(image, (given, target))| Differences {
            pixels: pixels(given, target),
            features: features(&maps_of(image), size),
        })
        .collect();
    let joined = |of: fn(&Differences) -> &Vec<f32>| found.iter().flat_map(of).copied().collect::<Vec<_>>();
    golden.close(&joined(|found| &found.pixels), "pixels");
    golden.close(&joined(|found| &found.features), "features");
    let factor = factor * ratio_of_batch(&found);
    let maps =
        |crop| found.iter().flat_map(move |found| finished(found.combined(factor), size, sigma, crop, None));
    golden.close(&maps(None).collect::<Vec<_>>(), "map");
    let cropped: Vec<f32> = maps(Some(crop)).collect();
    let largest = |map: &[f32]| map.iter().copied().fold(0.0, f32::max);
    golden.close(&cropped.chunks_exact(size.0 * size.1).map(largest).collect::<Vec<_>>(), "scores");
}

#[test]
fn distances_and_maps_equal_pytorchs() {
    let golden = Golden::read("ddad");
    maps_agree(&golden, (0.7, 1.5, 16), |image| vec![map(&golden, 0, image), map(&golden, 1, image)]);
}

#[test]
fn so_do_those_of_the_published_extractor() {
    let Some(golden) = Golden::published("ddad_features") else { return };
    let spec = BackboneSpec {
        layers: ["layer1", "layer2", "layer3"].map(String::from).into(),
        weights: Golden::published_file("ddad_extractor"),
        ..Architecture::WideResNet101x2.into()
    };
    let backbone = Backbone::load(&spec, &[], &EngineOptions::default()).unwrap();
    let extractor = Extractor::plain(Arc::new(backbone));
    let ((shape, given), (_, target)) = (golden.values("given"), golden.values("target"));
    let length = shape[1..].iter().product::<usize>();
    let maps_of = |image: usize| {
        let pair = [&given, &target].map(|images| &images[image * length..][..length]);
        let found = extractor.compared(&pair, (shape[2], shape[3])).unwrap();
        for (number, found) in found.iter().enumerate() {
            let off = relative_difference(&found.data, &map(&golden, number, image).data);
            println!("stage {} of image {image} within {off:.1e}", number + 2);
            assert!(off < 1e-4, "stage {}: {off:.1e} off", number + 2);
        }
        found
    };
    maps_agree(&golden, (1.0, 4.0, 224), maps_of);
}

/// Three convolutions.
#[derive(Module, Debug)]
struct Small {
    layers: Vec<Conv>,
}

impl Small {
    fn new(init: &mut Init) -> Self {
        let ends = [(3, 4), (4, 6), (6, 8)];
        Self { layers: ends.map(|(i, o)| Conv::new(i, o, 3, init).with_stride(2)).into() }
    }

    fn forward(&self, mut x: Tensor<4>) -> Vec<Tensor<4>> {
        let layer = |layer: &Conv| {
            x = relu(layer.forward(x.clone()));
            x.clone()
        };
        self.layers.iter().map(layer).collect()
    }
}

#[test]
fn the_extractors_loss_and_a_step_equal_pytorchs() {
    let (golden, device) = (Golden::read("ddad"), Device::flex().autodiff());
    let load = |prefix: &str| golden.load(prefix, Small::new(&mut blank_of(DType::F64, &device)));
    let psi = load("psi.").valid();
    let images = || {
        let of = |name: &str| golden.tensor::<4>(name, &device).cast(DType::F64);
        Tensor::cat(vec![of("made"), of("target")], 0)
    };
    let cost = |phi: &Small, images: Tensor<4>| {
        let frozen = psi.forward(images.clone().inner()).into_iter().map(Tensor::from_inner).collect();
        extractor::loss_of(phi.forward(images), frozen, 0.1)
    };
    let phi = load("phi.before.");
    golden.close(&values_of(cost(&phi, images()).cast(DType::F32)).unwrap(), "phi.loss");
    let batch = |_| Ok::<_, TrainError>(images());
    let trained = train(phi, &plan(Optimiser::ADAM_W), &device, batch, cost, &Alone).unwrap();
    close_as(DType::F64, golden.check_weights(&trained.network, "phi.after."));
}
