use super::*;
use crate::contract::Small;
use blemish_nn::weights::trained_values;
use blemish_nn::{Device, TensorData};

/// Small models for the contract suite.
pub(crate) const SMALL: &[Small] =
    &[Small::new("fastflow", &[("blocks", "2"), ("steps", "20"), ("batch", "3"), ("rate", "0.003")])];

const RESNET18: [MapSize; 3] = [
    MapSize { channels: 64, height: 64, width: 64 },
    MapSize { channels: 128, height: 32, width: 32 },
    MapSize { channels: 256, height: 16, width: 16 },
];

fn network(config: &FastFlowConfig, sizes: &[MapSize]) -> Network {
    Network::new(config, sizes, &mut Init::new(0, &Device::flex().autodiff()))
}

#[test]
fn networks_for_resnet18_have_the_published_sizes() {
    let config = FastFlowConfig { norm: Norm::Fixed, ..FastFlowConfig::default() };
    assert_eq!(trained_values(&network(&config, &RESNET18)), 4_657_408);
    let alternating = FastFlowConfig { kernels: Some(Kernels::Alternating), ..config };
    assert_eq!(trained_values(&network(&alternating, &RESNET18)), 2_593_024);
    let with_norms = network(&FastFlowConfig::default(), &RESNET18);
    assert_eq!(trained_values(&with_norms), 5_574_912);
}

#[test]
fn a_network_of_1x1_kernels_sees_no_neighbours_and_one_of_3x3_does() {
    let sizes = [MapSize { channels: 4, height: 9, width: 9 }];
    let reach = |blocks, kernels| {
        let config =
            FastFlowConfig { blocks, kernels: Some(kernels), norm: Norm::None, ..FastFlowConfig::default() };
        let network = network(&config, &sizes);
        let values: Vec<f32> = (0..4 * 81).map(|value| (value as f32 * 0.7).sin()).collect();
        let mut moved = values.clone();
        // All channels at the centre: whatever half a block reads, it reads a change.
        (0..4).for_each(|channel| moved[channel * 81 + 40] += 1.0);
        let run = |values: Vec<f32>| {
            let x = Tensor::from_data(TensorData::new(values, [1, 4, 9, 9]), &Device::flex().autodiff());
            values_of(network.forward(0, x).0).unwrap()
        };
        let (before, after) = (run(values), run(moved));
        let changed =
            |at: &usize| (0..4).any(|channel| before[channel * 81 + at] != after[channel * 81 + at]);
        (0..81).filter(changed).map(|at| (at / 9).abs_diff(4).max((at % 9).abs_diff(4))).max().unwrap()
    };
    assert_eq!(reach(1, Kernels::Three), 2);
    assert_eq!(reach(1, Kernels::Alternating), 2);
    assert_eq!(reach(2, Kernels::Alternating), 2);
    assert_eq!(reach(2, Kernels::Three), 4);
}

#[test]
fn the_loss_is_a_mean_over_images() {
    let sizes = [MapSize { channels: 4, height: 3, width: 3 }];
    let network = network(&FastFlowConfig::default(), &sizes);
    let image = |seed: f32| {
        let values: Vec<f32> = (0..36).map(|value| (value as f32 * seed).sin()).collect();
        Tensor::<4>::from_data(TensorData::new(values, [1, 4, 3, 3]), &Device::flex().autodiff())
    };
    let loss = |x: Tensor<4>| values_of(network.loss(vec![x], 1.0)).unwrap()[0];
    let (one, other) = (loss(image(0.3)), loss(image(0.8)));
    let both = loss(Tensor::cat(vec![image(0.3), image(0.8)], 0));
    assert!((both - (one + other) / 2.0).abs() < 1e-4, "{both}");
}

/// Weights of every kind away from where they start, so that none of them can be left out unseen.
fn shaken(network: Network) -> Network {
    let mut tensors = blemish_nn::weights::collect(&network);
    for (name, (_, values)) in &mut tensors {
        let size = if name.contains("norm") || name.contains("scale") { 0.3 } else { 0.05 };
        values.iter_mut().enumerate().for_each(|(at, value)| *value += size * (at as f32 * 1.7).sin());
    }
    let found = |name: &str| Ok::<_, blemish_nn::weights::WeightError>(tensors.remove(name).unwrap());
    blemish_nn::weights::load(network, found).unwrap()
}

#[test]
fn packed_networks_give_what_the_trained_ones_do() {
    let wide =
        [MapSize { channels: 64, height: 12, width: 9 }, MapSize { channels: 37, height: 5, width: 6 }];
    let small = [MapSize { channels: 5, height: 7, width: 8 }];
    let of = |blocks, kernels, norm| FastFlowConfig { blocks, kernels, norm, ..FastFlowConfig::default() };
    let cases = [
        (&wide[..], of(8, None, Norm::Learned)),
        (&wide[..], of(3, Some(Kernels::Alternating), Norm::Fixed)),
        (&small[..], FastFlowConfig { hidden_ratio: 0.4, clamp: 1.3, ..of(4, None, Norm::None) }),
    ];
    for (sizes, config) in cases {
        let device = Device::flex();
        let network = shaken(Network::new(&config, sizes, &mut Init::new(3, &device)));
        let packed = Packed::new(&network).unwrap();
        for (layer, size) in sizes.iter().enumerate() {
            for count in [1, 3] {
                let values =
                    (0..count * size.values()).map(|at| 2.0 * (at as f32 * 0.37).sin() + 0.5).collect();
                let maps = FeatureMap {
                    channels: size.channels,
                    height: size.height,
                    width: size.width,
                    data: values,
                };
                let (z, _) = network.forward(layer, tensor_of(&maps, count, &device));
                let exact = values_of(latent_energy(z)).unwrap();
                let found = packed.energies(layer, &maps, count);
                assert_eq!(found.len(), exact.len());
                for (found, exact) in found.iter().zip(&exact) {
                    assert!((found - exact).abs() <= 1e-4 * exact.max(1.0), "{config:?}: {found} {exact}");
                }
            }
        }
    }
}
