use super::*;
use crate::contract::Small;
use blemish_nn::weights::trained_values;
use blemish_nn::{Device, TensorData};

/// Small models for the contract suite.
pub(crate) const SMALL: &[Small] = &[Small::new(
    "csflow",
    &[("blocks", "1"), ("hidden", "8"), ("side", "128"), ("steps", "40"), ("batch", "3"), ("rate", "0.003")],
)
.on(128)];

fn map(side: usize, values: Vec<f32>) -> Tensor<4> {
    let channels = values.len() / (side * side);
    Tensor::from_data(TensorData::new(values, [1, channels, side, side]), &Device::flex().autodiff())
}

#[test]
fn the_published_network_has_the_published_size() {
    // Without its 275 million values: a quarter of the hidden channels, counted by the formula that gives 275,227,288 for all of them.
    let count = |hidden: usize| {
        let conv =
            |inputs: usize, outputs: usize, kernel: usize| inputs * outputs * kernel * kernel + outputs;
        let subnet = |kernel| 3 * conv(152, hidden, kernel) + 7 * conv(hidden, 304, kernel) + 3;
        2 * (3 * subnet(3) + subnet(5))
    };
    assert_eq!(count(1024), 275_227_288);
    let config = CsFlowConfig { hidden: 16, ..CsFlowConfig::default() };
    let network = Network::new(&config, 304, &mut Init::new(0, &Device::flex().autodiff()));
    assert_eq!(trained_values(&network), count(16));
}

#[test]
fn an_untrained_flow_scores_the_features_themselves_and_two_equal_images_cost_as_much_as_one() {
    let config = CsFlowConfig { hidden: 4, ..CsFlowConfig::default() };
    let network = Network::new(&config, 4, &mut Init::new(0, &Device::flex().autodiff()));
    let maps =
        || [4, 2, 1].map(|side| map(side, (0..4 * side * side).map(|i| (i as f32 * 0.37).sin()).collect()));
    let squares: f32 = maps().into_iter().flat_map(|map| values_of(map).unwrap()).map(|x| x * x).sum();
    let one = values_of(network.loss(maps())).unwrap()[0];
    assert!((one - squares / 2.0 / 84.0).abs() < 1e-6);
    let two = network.loss(maps().map(|map| Tensor::cat(vec![map.clone(), map], 0)));
    assert!((values_of(two).unwrap()[0] - one).abs() < 1e-6);
}

#[test]
fn reduction_takes_every_other_pixel() {
    let pixels = (0..2 * 3 * 16).map(|value| value as f32).collect();
    let batch = ImageBatch::new(2, 4, 4, pixels, None);
    assert_eq!(reduced(&batch, 2)[..4], [0.0, 2.0, 8.0, 10.0]);
    assert_eq!(reduced(&batch, 4), [0.0, 16.0, 32.0, 48.0, 64.0, 80.0]);
    assert_eq!(reduced(&batch, 1), batch.pixels);
}
