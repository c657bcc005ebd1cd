use super::*;
use crate::contract::Small;

/// Small models for the contract suite.
pub(crate) const SMALL: &[Small] = &[
    Small::new(
        "glow",
        &[("depth", "2"), ("width", "16"), ("steps", "20"), ("batch", "3"), ("rate", "0.002")],
    ),
    Small::new(
        "glow",
        &[
            ("input", "image"),
            ("depth", "1"),
            ("width", "8"),
            ("levels", "2"),
            ("steps", "12"),
            ("batch", "3"),
            ("rate", "0.002"),
        ],
    ),
];

fn small() -> GlowConfig {
    GlowConfig {
        input: Input::Image,
        levels: Some(2),
        depth: Some(1),
        width: Some(4),
        ..GlowConfig::default()
    }
}

fn tensor(values: Vec<f32>, side: usize) -> Tensor<4> {
    Tensor::from_data(TensorData::new(values, [1, 3, side, side]), &Device::flex())
}

#[test]
fn a_flow_that_changes_nothing_gives_the_bits_of_the_specification() {
    // No steps: the latent is the squeezed image itself, all of it grey, without noise.
    let config = GlowConfig { levels: Some(1), depth: Some(0), ..small() };
    let network = Network::new(&config, 3, &mut Init::new(0, &Device::flex()));
    let cost = network.loss(tensor(vec![0.0; 3 * 16], 4));
    let bits = (values_of(cost).unwrap()[0] + 256f32.ln()) / std::f32::consts::LN_2;
    assert!((bits - 9.325_748).abs() < 1e-5, "{bits}");
}

#[test]
fn the_map_adds_up_to_the_likelihood() {
    let config = small();
    let network = Network::new(&config, 3, &mut Init::new(5, &Device::flex()));
    let size = MapSize { channels: 3, height: 8, width: 8 };
    let layer = Layer { size, standard: Default::default(), network, curve: Curve::default(), typical: 0.0 };
    let levels: Vec<f32> = (0..192).map(|i| (i * 37 % 256) as f32).collect();
    let map = layer.map(&config, size, &levels).unwrap();
    let mut noisy = levels;
    dequantise(&mut noisy, 8, 0);
    let whole = values_of(layer.network.loss(tensor(noisy, 8))).unwrap()[0] + 256f32.ln();
    let mean = Layer::mean(&map);
    assert!((mean - whole).abs() < 1e-5 * whole.abs(), "{mean} instead of {whole}");
}

#[test]
fn fewer_bits_and_noise_stay_in_range() {
    let batch = ImageBatch::new(1, 1, 2, vec![0.0, 1.0, 0.5, 0.25, 0.1, 0.9], None);
    let found = pixels(&batch, 5);
    assert_eq!(found.maps[0].data, [0.0, 31.0, 16.0, 8.0, 3.0, 28.0]);
    let mut values = found.maps[0].data.clone();
    dequantise(&mut values, 5, 1);
    assert!(values.iter().all(|value| (-0.5..0.5).contains(value)));
}

#[test]
fn simple_images_compress_to_fewer_bits() {
    let size = MapSize { channels: 3, height: 32, width: 32 };
    let flat = compressed_bits(&vec![7.0; size.values()], size, 8).unwrap();
    let busy: Vec<f32> = (0..size.values()).map(|i| ((i * i * 31 + i * 17) % 251) as f32).collect();
    let busy = compressed_bits(&busy, size, 8).unwrap();
    assert!(flat < 0.5 && busy > 2.0, "{flat} {busy}");
}
