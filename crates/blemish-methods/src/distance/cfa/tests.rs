//! The analytic cases of the specification, and the fast path against the plain one.

use super::bank::{RunningMean, centres, coupled_loss, patch_score};
use super::descriptor::{Descriptor, coordinates};
use super::*;
use crate::contract::Small;
use crate::registry;
use crate::shared::embedding::{Aggregation, embed};
use crate::testing::{Images, backbone, relative_difference};
use blemish_core::method::{FitContext, Stored};
use blemish_nn::weights::collect;
use blemish_ops::row_distances;
use burn::module::Param;
use burn::tensor::DType;

/// Small models for the contract suite.
pub(crate) const SMALL: &[Small] = &[
    Small::new(NAME, &[("epochs", "8"), ("batch", "3")]),
    Small::new(NAME, &[("variant", "anomalib"), ("epochs", "8"), ("batch", "3"), ("bank_compression", "4")]),
];

fn distances(squared: &[f32]) -> Tensor<2> {
    Tensor::from_data(TensorData::new(squared.to_vec(), [1, squared.len()]), &Device::flex())
}

fn loss_at(square: f64, squared: &[f32]) -> f32 {
    let radius = Tensor::from_data([square.sqrt() as f32], &Device::flex());
    coupled_loss(&CfaConfig::default(), distances(squared), radius).into_scalar::<f32>()
}

#[test]
fn coordinates_run_from_minus_one_to_one() {
    let rows = |height| -> Vec<f32> { coordinates(height, 1).iter().step_by(2).copied().collect() };
    assert_eq!(rows(3), [-1.0, 0.0, 1.0]);
    let many = rows(56);
    assert!((many[1] + 0.963_636_36).abs() < 1e-6 && many[0] == -1.0 && many[55] == 1.0);
    // Rows first; a single column lies at 0.
    assert_eq!(coordinates(2, 3)[2..6], [-1.0, 0.0, -1.0, 1.0]);
    assert_eq!(coordinates(2, 1), [-1.0, 0.0, 1.0, 0.0]);
}

#[test]
fn the_loss_of_known_distances() {
    let squared = [0.04, 0.09, 0.25, 0.36, 0.49, 0.64];
    // Tiny spheres: (0.04 + 0.09 + 0.25) / 3 / nu is attracted, nothing repelled.
    assert!((loss_at(1e-10, &squared) - 126.666_7).abs() < 1e-3);
    // Large ones: all three are inside, and 0.5 - 0.36 - 0.1 = 0.04 is repelled.
    assert!((loss_at(0.5, &squared) - 13.333_33).abs() < 1e-3);
}

#[test]
fn repelled_are_the_distances_from_the_j_th_on() {
    // K = 1, J = 2: of three distances the last one, as the released codes slice them.
    let config = CfaConfig { neighbours: 1, hard_negatives: 2, nu: 1.0, ..CfaConfig::default() };
    let radius = Tensor::from_data([1.0f32], &Device::flex());
    let loss = coupled_loss(&config, distances(&[0.1, 0.2, 0.5]), radius).into_scalar::<f32>();
    assert!((loss - (1.0 - 0.5 - 0.1)).abs() < 1e-6, "{loss}");
}

#[test]
fn the_score_of_known_distances() {
    let squared = [0.04f32, 0.09, 0.25];
    let sum: f32 = [0.2f32, 0.3, 0.5].iter().map(|d| (-d).exp()).sum();
    for (distance, share) in [(0.2f32, 0.377_978), (0.3, 0.342_009), (0.5, 0.280_013)] {
        assert!(((-distance).exp() / sum - share).abs() < 1e-6);
    }
    assert!((patch_score(&squared) - 0.075_595_6).abs() < 1e-6);
    // Far away exp(-d) is 0 in single precision.
    assert!((patch_score(&[250_000.0, 250_000.0]) - 250.0).abs() < 1e-3);
    assert_eq!(patch_score(&[0.0, 1e6]), 0.0);
}

#[test]
fn the_bank_starts_as_the_mean_of_the_batch_means() {
    let mut mean = RunningMean::default();
    mean.add(&[1.0, 2.0, 3.0, 4.0], 2);
    mean.add(&[7.0, 8.0, 1.0, 0.0], 2);
    // Batch means (2, 3) and (4, 4).
    assert_eq!(mean.finish(), [3.0, 3.5]);
}

#[test]
fn compression_sets_the_sizes() {
    let config = CfaConfig { bank_compression: 2, dimension_compression: 2, ..CfaConfig::default() };
    assert_eq!(dimensions_of(&config, &[256, 512, 1024]), 896);
    let scaled = CfaConfig { scaling: Some(Scaling::Channels), ..config.clone() };
    assert_eq!(dimensions_of(&scaled, &[40, 64, 176, 288]), 568);
    let mean: Vec<f32> = (0..3136).map(|at| at as f32).collect();
    assert_eq!(centres(&config, mean.clone(), 1, 0).unwrap().len(), 1568);
    assert_eq!(centres(&CfaConfig::default(), mean.clone(), 1, 0).unwrap(), mean);
    let message = centres(&config, mean[..10].to_vec(), 1, 0).unwrap_err().to_string();
    assert!(message.contains("bank_compression") && message.contains("5 centres"), "{message}");
    // Ten positions of one value are one group.
    assert!(centres(&config, vec![1.0; 100], 1, 0).is_err());
}

/// Maps as a backbone gives them, of 2 images.
fn maps() -> FeatureBatch {
    let map = |channels: usize, side: usize| {
        let value = |at: usize| ((at * 7919 + channels) % 997) as f32 / 500.0 - 1.0;
        let data = (0..2 * channels * side * side).map(value).collect();
        FeatureMap { channels, height: side, width: side, data }
    };
    FeatureBatch {
        count: 2,
        height: 32,
        width: 32,
        maps: vec![map(3, 8), map(5, 4), map(6, 2)],
        region_of_interest: None,
    }
}

fn small_descriptor(device: &Device) -> Descriptor {
    Descriptor::new(&[3, 5, 6], 7, (0.5, true), &mut Init::new(4, device))
}

fn tensors(batch: &FeatureBatch, device: &Device) -> Vec<Tensor<4>> {
    let tensor = |map: &FeatureMap| {
        let size = MapSize { channels: map.channels, height: map.height, width: map.width };
        patches(map.data.clone(), size, device)
    };
    batch.maps.iter().map(tensor).collect()
}

#[test]
fn the_descriptor_equals_a_convolution_of_joined_features_with_coordinates() {
    let config = CfaConfig { scaling: Some(Scaling::Plain), ..CfaConfig::default() };
    let device = Device::flex();
    let (batch, descriptor) = (maps(), small_descriptor(&device));
    let found = values_of(descriptor.forward(tensors(&pooled(&config, &batch), &device))).unwrap();
    let joined = embed(Aggregation::Mean { size: 3 }, &batch.maps, 2);
    let weights = collect(&descriptor);
    let matrix: Vec<f32> = ["layers.0", "layers.1", "layers.2", "coordinates"]
        .iter()
        .flat_map(|name| weights[*name].1.clone())
        .collect();
    let places = coordinates(8, 8);
    let expected: Vec<f32> = joined
        .rows
        .chunks_exact(14)
        .enumerate()
        .flat_map(|(position, row)| {
            let input = [row, &places[2 * (position % 64)..][..2]].concat();
            let (matrix, bias) = (&matrix, &weights["bias"].1);
            (0..7)
                .map(move |out| {
                    let sum: f32 = input.iter().enumerate().map(|(i, x)| x * matrix[i * 7 + out]).sum();
                    sum + bias[out]
                })
                .collect::<Vec<_>>()
        })
        .collect();
    assert!(relative_difference(&found, &expected) < 1e-5);
}

#[test]
fn scaled_maps_are_divided_by_their_channels() {
    let plain = pooled(&CfaConfig::default(), &maps());
    let scaled = CfaConfig { scaling: Some(Scaling::Channels), ..CfaConfig::default() };
    let scaled = pooled(&scaled, &maps());
    for (plain, scaled) in plain.maps.iter().zip(&scaled.maps) {
        let expected: Vec<f32> = plain.data.iter().map(|value| value / plain.channels as f32).collect();
        assert!(relative_difference(&scaled.data, &expected) < 1e-6);
    }
}

/// Slopes of the loss by differences against its gradient, in double precision.
#[test]
fn the_gradient_of_the_loss_is_its_slope() {
    let device = Device::flex().autodiff();
    let config = CfaConfig { neighbours: 2, hard_negatives: 2, nu: 0.1, ..CfaConfig::default() };
    let descriptor = Descriptor::new(&[3, 5, 6], 7, (1.1, true), &mut Init::new(4, &device).double());
    let maps: Vec<Tensor<4>> =
        tensors(&maps(), &device).into_iter().map(|map| map.cast(DType::F64)).collect();
    let centres: Vec<f32> = (0..12 * 7).map(|at| ((at * 37) % 101) as f32 / 101.0 - 0.5).collect();
    let bank = MemoryBank::new(centres.clone(), 7).unwrap();
    let centres = Tensor::<2>::from_data(TensorData::new(centres, [12, 7]), &device).cast(DType::F64);
    let phi = values_of(descriptor.forward(maps.clone()).inner().cast(DType::F32)).unwrap();
    let nearest = bank.search(&phi, 4).unwrap();
    let square = 1.1f32 * 1.1;
    let is_clear = |(at, squared): (usize, &f32)| {
        let margin = if at % 4 < 2 { squared - square } else { square - squared - 0.1 };
        margin.abs() > 1e-4
    };
    assert!(nearest.squared_distances.iter().enumerate().all(is_clear), "a distance lies at a hinge");
    let loss = |descriptor: &Descriptor| {
        let distances = row_distances(descriptor.forward(maps.clone()), centres.clone(), &nearest.indices);
        coupled_loss(&config, distances, descriptor.radius.val())
    };
    let gradients = loss(&descriptor).backward();
    let value = |descriptor: &Descriptor| loss(descriptor).inner().into_scalar::<f64>();
    let step = 1e-6;
    let moved = |of: &dyn Fn(&mut Descriptor, f64)| {
        let at = |by: f64| {
            let mut moved = descriptor.clone();
            of(&mut moved, by);
            value(&moved)
        };
        (at(step) - at(-step)) / (2.0 * step)
    };
    let close = |slope: f64, gradient: f64, what: &str| {
        assert!(gradient.abs() > 1e-6, "{what} has no gradient to speak of");
        assert!((slope / gradient - 1.0).abs() < 1e-5, "{what}: {slope} is not {gradient}");
    };
    fn nudged<const D: usize>(param: &Param<Tensor<D>>, at: usize, by: f64) -> Param<Tensor<D>> {
        let value = param.val();
        let shape = value.dims();
        let mut data = value.clone().inner().into_data().try_into_vec::<f64>().unwrap();
        data[at] += by;
        let moved = Tensor::from_data(TensorData::new(data, shape), (&value.device(), DType::F64));
        Param::from_tensor(moved)
    }
    fn gradient_of<const D: usize>(
        param: &Param<Tensor<D>>,
        gradients: &burn::tensor::Gradients,
        at: usize,
    ) -> f64 {
        param.val().grad(gradients).unwrap().into_data().try_into_vec::<f64>().unwrap()[at]
    }
    for (layer, at) in [(0, 0), (1, 17), (2, 41)] {
        let slope = moved(&|descriptor, by| {
            descriptor.layers[layer] = nudged(&descriptor.layers[layer], at, by);
        });
        close(slope, gradient_of(&descriptor.layers[layer], &gradients, at), "a weight");
    }
    let slope = moved(&|descriptor, by| descriptor.coordinates = nudged(&descriptor.coordinates, 9, by));
    close(slope, gradient_of(&descriptor.coordinates, &gradients, 9), "a coordinate's weight");
    let slope = moved(&|descriptor, by| descriptor.bias = nudged(&descriptor.bias, 3, by));
    close(slope, gradient_of(&descriptor.bias, &gradients, 3), "a bias");
    let slope = moved(&|descriptor, by| descriptor.radius = nudged(&descriptor.radius, 0, by));
    close(slope, gradient_of(&descriptor.radius, &gradients, 0), "the radius");
}

fn fit(pairs: &[(&str, &str)]) -> Box<dyn blemish_core::entry::Fitted> {
    let entry = registry::method(NAME).unwrap();
    let backbone = backbone(&[4, 8, 16]);
    let context = FitContext::new(3, Some(backbone));
    let image = |number: usize| {
        ((64, 64), (0..3 * 64 * 64).map(|at| ((at * 31 + number * 7) % 97) as f32 / 97.0).collect())
    };
    let pairs: Vec<(String, String)> =
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    entry
        .fit(
            &entry.parse(&pairs).unwrap(),
            &Images::new((0..4).map(image).collect(), context.backbone.clone()),
            &context,
        )
        .unwrap()
}

#[test]
fn the_bank_stays_as_it_started_while_descriptor_and_radius_learn() {
    let values = |state: &State, name: &str, rank| state.f32(name, rank).unwrap().1.to_vec();
    let [one, five] = ["1", "5"].map(|epochs| fit(&[("epochs", epochs)]).state());
    let bits = |state| values(state, "bank", 2).into_iter().map(f32::to_bits).collect::<Vec<_>>();
    assert_eq!(bits(&one), bits(&five));
    assert_ne!(values(&one, "bias", 1), values(&five, "bias", 1));
    assert_ne!(values(&one, "radius", 1), values(&five, "radius", 1));
    let fixed = fit(&[("variant", "anomalib"), ("epochs", "5"), ("radius", "0.25")]).state();
    assert_eq!(values(&fixed, "radius", 1), [0.25], "anomalib's radius stays");
}

#[test]
fn a_bank_that_does_not_fit_its_descriptor_is_refused_by_name() {
    let model = fit(&[("epochs", "1")]);
    let backbone = backbone(&[4, 8, 16]);
    let entry = registry::method(NAME).unwrap();
    let refused = |name: &str, shape: &[usize], values: Vec<f32>| {
        let mut state = model.state();
        state.set_f32(name, shape, values);
        entry
            .restore(Stored {
                config: &model.settings(),
                state,
                backbone: Some(backbone.clone()),
                device: Default::default(),
            })
            .err()
            .unwrap()
            .to_string()
    };
    assert!(refused("bank", &[2, 3], vec![0.0; 6]).contains("bank"));
    let dimensions = model.state().f32("bank", 2).unwrap().0[1];
    assert!(refused("bank", &[1, dimensions], vec![f32::NAN; dimensions]).contains("bank"));
    assert!(refused("bias", &[1], vec![0.0]).contains("bias"));
    assert!(refused("bias", &[dimensions], vec![f32::NAN; dimensions]).contains("bias"));
}
