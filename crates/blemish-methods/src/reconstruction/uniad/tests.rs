use super::network::{DecoderLayer, EncoderLayer, Scene};
use super::scoring::{distances, image_score};
use super::*;
use crate::contract::Small;
use crate::slopes::slopes_agree;
use crate::testing::{backbone, score};
use blemish_core::check::{Images, Scene as Pictures};
use blemish_core::entry::Fitted;
use blemish_core::observer::Observer;
use blemish_data::Mask;
use blemish_nn::weights::{collect, trained_values};
use burn::module::Param;
use std::sync::Mutex;

mod golden;

/// Small models for the contract suite.
pub(crate) const SMALL: &[Small] = &[Small::new(
    "uniad",
    &[
        ("width", "16"),
        ("heads", "2"),
        ("feed_forward", "32"),
        ("encoder_layers", "1"),
        ("decoder_layers", "1"),
        ("window", "3"),
        ("steps", "60"),
        ("batch", "3"),
        ("rate", "0.003"),
    ],
)];

fn device() -> Device {
    Device::flex().autodiff()
}

fn double() -> Init {
    Init::new(7, &device()).double()
}

fn small() -> UniadConfig {
    UniadConfig {
        width: 16,
        heads: 2,
        feed_forward: 32,
        encoder_layers: 1,
        decoder_layers: 2,
        window: 3,
        batch: 2,
        ..UniadConfig::default()
    }
}

/// Tokens of some images, batch x tokens x features, in double precision.
fn tokens(shape: [usize; 3], seed: u64) -> Tensor<3> {
    Init::new(seed, &device()).double().normal(1.0, shape).val().detach()
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().convert::<f64>().try_into_vec().unwrap()
}

fn mask_of(grid: (usize, usize), window: usize) -> Tensor<2> {
    let cells = grid.0 * grid.1;
    double().of(hidden(grid, window), [cells, cells]).set_require_grad(false).val()
}

#[test]
fn the_mask_hides_the_window_clipped_at_borders() {
    let mask = hidden((14, 14), 7);
    let row = |token: usize| mask[token * 196..][..196].iter().filter(|value| **value < 0.0).count();
    assert_eq!([row(0), row(13), row(195), row(7 * 14 + 7)], [16, 16, 16, 49]);
    assert_eq!(mask.iter().filter(|value| **value < 0.0).count(), 7396);
    assert!((0..196 * 196).all(|at| mask[at] == mask[at % 196 * 196 + at / 196]));
    assert!((0..196).all(|token| mask[token * 197] == f32::NEG_INFINITY), "a token does not see itself");
    assert!(mask.iter().all(|&value| value == 0.0 || value == f32::NEG_INFINITY));
    // Three rows and two columns, a window of one: nothing but the token.
    let narrow = hidden((3, 2), 1);
    assert!((0..36).all(|at| (narrow[at] < 0.0) == (at / 6 == at % 6)));
}

#[test]
fn a_window_leaves_every_token_something_to_see() {
    let cases =
        [((14, 14), 7), ((8, 8), 7), ((7, 7), 5), ((6, 6), 5), ((4, 4), 3), ((2, 1), 1), ((5, 12), 7)];
    for (grid, expected) in cases {
        let window = fitting_window(7, grid).unwrap();
        assert_eq!(window, expected, "{grid:?}");
        let cells = grid.0 * grid.1;
        let sees = |window| hidden(grid, window).chunks(cells).all(|row| row.contains(&0.0));
        assert!(sees(window), "{grid:?}");
        assert!(window == 7 || !sees(window + 2), "{grid:?} had room for {}", window + 2);
    }
    assert_eq!(fitting_window(7, (1, 1)), None);
}

#[test]
fn no_gradient_reaches_a_token_from_the_values_of_its_window() {
    let (grid, cells) = ((5, 6), 30);
    let mask = mask_of(grid, 3);
    let layer = EncoderLayer::new(&small(), &mut double());
    let (placed, value) = (tokens([1, cells, 16], 1), tokens([1, cells, 16], 2).require_grad());
    for token in [0, 14, 29] {
        let y = layer.attention.forward([placed.clone(), placed.clone(), value.clone()], Some(&mask), None);
        let gradients = y.narrow(1, token, 1).sum().backward();
        let slopes = values(value.grad(&gradients).unwrap());
        for other in 0..cells {
            let is_near = (token / 6usize).abs_diff(other / 6) <= 1 && (token % 6).abs_diff(other % 6) <= 1;
            let is_still = slopes[other * 16..][..16].iter().all(|slope| *slope == 0.0);
            assert_eq!(is_near, is_still, "token {token} and {other}");
        }
    }
}

#[test]
fn what_the_decoder_gives_comes_from_its_queries() {
    let (grid, channels) = ((4, 4), 6);
    let mask = mask_of(grid, 3);
    let mut network = Network::new(&small(), channels, grid, &mut double());
    let (one, other) = (tokens([1, 16, channels], 1), tokens([1, 16, channels], 2));
    let made = |network: &Network, x: &Tensor<3>| values(network.forward(x.clone(), &mask, None));
    assert_ne!(made(&network, &one), made(&network, &other));
    for layer in &mut network.decoder {
        for attention in [&mut layer.memory, &mut layer.previous] {
            let none = attention.output.weight.val().zeros_like().detach();
            attention.output.weight = Param::from_tensor(none);
        }
    }
    assert_eq!(made(&network, &one), made(&network, &other), "there is a way around the queries");
    // Equal queries in all layers: what a layer makes still goes by its own weights.
    let queries = network.decoder[0].query.val().detach();
    network.decoder.iter_mut().for_each(|layer| layer.query = Param::from_tensor(queries.clone()));
    let (position, x) = (tokens([1, 16, 16], 3), tokens([2, 16, 16], 4));
    let scene = Scene { position: &position, mask: &mask };
    let [first, second] =
        [0, 1].map(|at: usize| values(network.decoder[at].forward(x.clone(), x.clone(), &scene, None)));
    assert_ne!(first, second);
}

#[test]
fn noise_is_scaled_by_the_length_of_a_token_over_its_channels() {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut noisy = vec![1.0f32; 272 * 3677];
    jitter(&mut noisy, 272, 20.0, || gaussian(&mut random));
    let (count, mut sum, mut square) = (noisy.len() as f64, 0.0, 0.0);
    for value in &noisy {
        let off = f64::from(*value) - 1.0;
        (sum, square) = (sum + off, square + off * off);
    }
    let deviation = (square / count - (sum / count).powi(2)).sqrt();
    assert!((deviation - 1.2127).abs() < 0.004, "{deviation}");
    assert!((sum / count).abs() < 0.004);
    // Tokens have noise of their own length.
    let mut two = [3.0f32, 4.0, 0.0, 0.0];
    jitter(&mut two, 2, 1.0, || 1.0);
    assert_eq!(two, [5.5, 6.5, 0.0, 0.0]);
}

#[test]
fn a_ramp_stays_a_ramp_on_the_grid() {
    for side in [112, 56, 28, 14] {
        let ramp: Vec<f32> = (0..side).map(|x| x as f32 / (side - 1) as f32).collect();
        let plane: Vec<f32> = (0..side).flat_map(|_| ramp.clone()).collect();
        let turned: Vec<f32> = (0..side * side).map(|at| ramp[at / side]).collect();
        let map = blemish_features::FeatureMap {
            channels: 2,
            height: side,
            width: side,
            data: [plane, turned].concat(),
        };
        let batch =
            FeatureBatch { count: 1, height: 224, width: 224, maps: vec![map], region_of_interest: None };
        let found = neck(&batch, grid_of(224, 224));
        for (at, value) in found.iter().enumerate() {
            let along = if at < 196 { at % 14 } else { at % 196 / 14 };
            assert!((value - along as f32 / 13.0).abs() < 1e-6, "{side}: {value} at {at}");
        }
    }
}

#[test]
fn a_shift_of_every_channel_scores_the_same_everywhere() {
    let clean: Vec<f32> = (0..196 * 272).map(|at| (at as f32 * 0.37).sin()).collect();
    for shift in [0.25, -2.0] {
        let made: Vec<f32> = clean.iter().map(|value| value + shift).collect();
        let found = distances(&made, &clean, 272);
        let expected = 16.4924 * shift.abs();
        assert!(found.iter().all(|p| (p / expected - 1.0).abs() < 1e-4), "{:?}", &found[..3]);
        for rule in [ImageScore::Max, ImageScore::Mean] {
            let image = image_score(rule, &found, (14, 14), (224, 224), None);
            assert!((image / expected - 1.0).abs() < 1e-4, "{image}");
        }
    }
}

#[test]
fn one_hot_token_scores_as_a_slow_resize_and_slow_windows_say() {
    let mut patches = vec![0.0f32; 196];
    patches[7 * 14 + 7] = 3.0;
    // 1 - |i - 7| of the place i = y 13 / 223, in both directions.
    let share = |at: usize| (1.0 - (at as f64 * 13.0 / 223.0 - 7.0).abs()).max(0.0);
    let map: Vec<f64> = (0..224 * 224).map(|at| 3.0 * share(at / 224) * share(at % 224)).collect();
    let starts = (0..209).flat_map(|y| (0..209).map(move |x| (y, x)));
    let near = starts.filter(|(y, x)| (100..140).contains(y) && (100..140).contains(x));
    let mean = |(y, x): (usize, usize)| {
        (0..256).map(|at| map[(y + at / 16) * 224 + x + at % 16]).sum::<f64>() / 256.0
    };
    let expected = near.map(mean).fold(0.0, f64::max) as f32;
    let found = image_score(ImageScore::Max, &patches, (14, 14), (224, 224), None);
    assert!((found / expected - 1.0).abs() < 1e-5 && found < 3.0, "{found} instead of {expected}");
    let mean = image_score(ImageScore::Mean, &patches, (14, 14), (224, 224), None);
    let expected = (map.iter().sum::<f64>() / map.len() as f64) as f32;
    assert!((mean / expected - 1.0).abs() < 1e-5, "{mean} instead of {expected}");
    // Outside the region nothing counts.
    let marked: Vec<bool> = (0..224 * 224).map(|at| at % 224 < 40).collect();
    let region = Mask { height: 224, width: 224, marked };
    assert_eq!(image_score(ImageScore::Max, &patches, (14, 14), (224, 224), Some(&region)), 0.0);
    // A map of less than a window.
    assert_eq!(image_score(ImageScore::Max, &[2.0, 2.0], (1, 2), (4, 9), None), 2.0);
}

#[test]
fn the_published_network_has_7_717_392_weights_in_their_bounds() {
    let config = UniadConfig::of(Preset::Paper);
    let network = Network::new(&config, 272, (14, 14), &mut Init::new(0, &device()));
    assert_eq!(trained_values(&network), 7_717_392);
    let weights = collect(&network);
    let largest = |name: &str| weights[name].1.iter().fold(0.0f32, |most, value| most.max(value.abs()));
    for name in ["encoder.0.attention.weight", "decoder.3.previous.weight"] {
        let bound = largest(name);
        assert!((0.0765..=0.076_547).contains(&bound), "{name}: {bound}");
    }
    assert_eq!(largest("decoder.1.memory.bias"), 0.0);
    let queries = &weights["decoder.2.query"].1;
    let square: f32 = queries.iter().map(|value| value * value).sum::<f32>() / queries.len() as f32;
    assert!((square - 1.0).abs() < 0.03, "{square}");
    assert!(weights["position.row.weight"].1.iter().all(|value| (0.0..1.0).contains(value)));
}

#[test]
fn gradients_of_both_kinds_of_layers_are_the_slopes() {
    let config = UniadConfig { width: 4, heads: 2, feed_forward: 6, ..small() };
    let mask = mask_of((3, 3), 1);
    let position = tokens([1, 9, 4], 5);
    let scene = Scene { position: &position, mask: &mask };
    let weights = tokens([2, 9, 4], 6);
    let x = Param::from_tensor(tokens([2, 9, 4], 1).require_grad());
    let encoder = EncoderLayer::new(&config, &mut double());
    slopes_agree(
        (encoder, x.clone()),
        |(layer, x): &(EncoderLayer, Param<Tensor<3>>)| {
            (layer.forward(x.val(), &scene, None) * weights.clone()).sum()
        },
        1e-5,
    );
    let u = Param::from_tensor(tokens([2, 9, 4], 2).require_grad());
    let decoder = DecoderLayer::new(&config, 9, &mut double());
    slopes_agree(
        (decoder, x, u),
        |(layer, x, u): &(DecoderLayer, Param<Tensor<3>>, Param<Tensor<3>>)| {
            (layer.forward(x.val(), u.val(), &scene, None) * weights.clone()).sum()
        },
        1e-5,
    );
}

fn pictures() -> Vec<((usize, usize), Vec<f32>)> {
    Pictures::default().good()
}

fn fit(config: &UniadConfig, images: Vec<((usize, usize), Vec<f32>)>) -> Result<Uniad, Error> {
    let backbone = Some(backbone(&[2, 4, 8, 16]));
    let images = Images::new(images, backbone.clone()).in_batches(2);
    Uniad::fit(config, &images, &FitContext::new(3, backbone))
}

#[test]
fn two_images_are_learned_by_heart() {
    let config = UniadConfig {
        width: 32,
        heads: 4,
        steps: Some(300),
        jitter: 0.0,
        dropout: 0.0,
        rate: 3e-3,
        ..small()
    };
    let model = fit(&config, pictures().into_iter().take(2).collect()).unwrap();
    let losses = &model.trained.curve.losses;
    let (first, last) = (losses[0], losses[losses.len() - 1]);
    assert!(last < 0.1 * first, "{first} to {last}");
}

#[test]
fn scores_know_nothing_of_noise_and_of_other_images() {
    let model = fit(&UniadConfig { steps: Some(2), ..small() }, pictures()).unwrap();
    let through = backbone(&[2, 4, 8, 16]);
    let (size, images): (Vec<_>, Vec<_>) = pictures().into_iter().unzip();
    let run = |model: &Uniad, images: &[Vec<f32>]| {
        score(model as &dyn Fitted, Some(&through), &crate::testing::image_batch(size[0], images)).unwrap()
    };
    let together = run(&model, &images[..3]);
    assert_eq!(together, run(&model, &images[..3]));
    for (at, scores) in together.iter().enumerate() {
        let alone = run(&model, &images[at..=at]);
        let off = |a: &f32, b: &f32| (a - b).abs() / b.abs().max(1e-3);
        assert!(scores.values.iter().zip(&alone[0].values).all(|(a, b)| off(a, b) < 1e-4));
    }
    // The same weights in a model that learned with more noise.
    let config = UniadConfig { jitter: 500.0, dropout: 0.8, ..model.config.clone() };
    let stored = Stored { config, state: Method::state(&model), backbone: None, device: Default::default() };
    assert_eq!(run(&Uniad::restore(stored).unwrap(), &images[..3]), together);
}

#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Observer for Heard {
    fn warn(&self, message: &str) {
        self.0.lock().unwrap().push(message.into());
    }
}

#[test]
fn a_window_that_would_hide_all_is_made_smaller_aloud() {
    let through = Some(backbone(&[2, 4, 8, 16]));
    let images = Images::new(pictures().into_iter().take(2).collect(), through.clone());
    let heard = Heard::default();
    let context = FitContext { observer: &heard, ..FitContext::new(3, through) };
    let config = UniadConfig { window: 7, steps: Some(1), ..small() };
    let model = Uniad::fit(&config, &images, &context).unwrap();
    assert_eq!(model.config.window, 5);
    let heard = heard.0.into_inner().unwrap();
    assert!(heard.iter().any(|words| words.contains("a window of 7 tokens hides all 6x6")), "{heard:?}");
}

#[test]
fn what_cannot_be_is_refused_with_a_way_out() {
    let message = |config: UniadConfig, side: usize| {
        let images = vec![((side, side), vec![0.5; 3 * side * side]); 2];
        fit(&config, images).err().unwrap().to_string()
    };
    assert!(message(UniadConfig { heads: 3, ..small() }, 64).contains("3 heads cannot share 16"));
    assert!(message(UniadConfig { width: 15, heads: 3, ..small() }, 64).contains("width"));
    assert!(message(UniadConfig { window: 4, ..small() }, 64).contains("window=5"));
    assert!(message(small(), 16).contains("1x1 tokens"));
    let model = fit(&UniadConfig { steps: Some(1), ..small() }, pictures()).unwrap();
    let through = backbone(&[2, 4, 8, 16]);
    let other = crate::testing::image_batch((128, 96), &[vec![0.5; 3 * 128 * 96]]);
    let error = score(&model as &dyn Fitted, Some(&through), &other).unwrap_err().to_string();
    assert!(error.contains("96x128") && error.contains("6x6"), "{error}");
    // A file whose window hides everything.
    let config = UniadConfig { window: 13, ..model.config.clone() };
    let stored = Stored { config, state: Method::state(&model), backbone: None, device: Default::default() };
    assert!(Uniad::restore(stored).err().unwrap().to_string().contains("`sizes`"));
}
