use super::*;
use crate::contract::Small;
use crate::shared::tensors::values_of;
use crate::testing::{Images, relative_difference};
use blemish_nn::layers::{Activation, Phase};
use blemish_nn::loss::gaussian_kl;
use blemish_nn::weights::trained_values;
use blemish_nn::{Device, Tensor, TensorData};
use network::Posterior;

/// Small models for the contract suite.
pub(crate) const SMALL: &[Small] = &[
    Small::new(
        "vae",
        &[
            ("size", "64"),
            ("base", "4"),
            ("dimensions", "8"),
            ("steps", "60"),
            ("batch", "4"),
            ("rate", "0.01"),
            ("score", "top"),
        ],
    )
    .on(64),
    Small::new(
        "vae",
        &[
            ("size", "32"),
            ("texture", "true"),
            ("stride", "16"),
            ("base", "4"),
            ("latent", "spatial"),
            ("dimensions", "2"),
            ("steps", "60"),
            ("batch", "16"),
            ("rate", "0.01"),
            ("map", "mixed"),
            ("samples", "2"),
        ],
    )
    .on(64),
    Small::new(
        "vae",
        &[
            ("size", "64"),
            ("base", "4"),
            ("sspcab", "true"),
            ("dimensions", "8"),
            ("likelihood", "gaussian"),
            ("augment", "poses"),
            ("steps", "60"),
            ("batch", "4"),
            ("rate", "0.01"),
            ("map", "vae_grad"),
            ("iterations", "8"),
        ],
    )
    .on(64),
    Small::new(
        "vae",
        &[
            ("size", "64"),
            ("base", "4"),
            ("dimensions", "8"),
            ("likelihood", "ssim"),
            ("steps", "40"),
            ("batch", "4"),
            ("rate", "0.01"),
            ("map", "kl_times_l1"),
            ("normalise", "false"),
            ("score", "elbo"),
        ],
    )
    .on(64)
    .anywhere(),
];

mod golden;
mod learning;

fn config() -> VaeConfig {
    VaeConfig {
        size: 32,
        base: 4,
        dimensions: Some(6),
        norm: Some(Normalisation::Group),
        ..VaeConfig::default()
    }
}

fn with_gradients() -> Device {
    Device::flex().autodiff()
}

fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape), &with_gradients())
}

fn number(tensor: Tensor<1>) -> f64 {
    f64::from(values_of(tensor).unwrap()[0])
}

fn close(found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() <= tolerance * expected.abs().max(1.0), "{found} instead of {expected}");
}

#[test]
fn networks_have_the_sizes_of_the_specification() {
    let values = |size| {
        let config = VaeConfig { size, ..VaeConfig::of(Preset::Paper) };
        trained_values(&Network::new(&config, &mut Init::blank(&with_gradients())))
    };
    assert_eq!(values(64), 2_957_955);
    assert_eq!(values(128), 8_730_755);
    assert_eq!(values(256), 17_121_411);
}

#[test]
fn images_come_back_in_their_size_from_either_latent() {
    for (latent, sspcab, values) in
        [(Latent::Vector, false, 6), (Latent::Spatial, false, 6 * 64), (Latent::Vector, true, 6)]
    {
        let config = VaeConfig { size: 64, latent, sspcab, ..config() };
        let network = Network::new(&config, &mut Init::new(1, &Device::flex()));
        assert_eq!(network.latent_values(), values);
        let posterior = network.encode(Tensor::zeros([2, 3, 64, 64], &Device::flex()), Phase::Scoring);
        assert_eq!(posterior.mean.dims(), [2, values]);
        // The training starts with little noise.
        assert!(values_of(posterior.log_variance).unwrap().iter().all(|&value| value == -2.0));
        assert_eq!(network.decode(posterior.mean, Phase::Scoring).dims(), [2, 3, 64, 64]);
    }
}

#[test]
fn the_divergence_of_known_gaussians_is_known() {
    let kl = |means: &[f32], logs: &[f32]| {
        number(gaussian_kl(tensor(means.to_vec(), [1, means.len()]), tensor(logs.to_vec(), [1, logs.len()])))
    };
    let four = 4f32.ln();
    close(kl(&[0.0], &[0.0]), 0.0, 0.0);
    close(kl(&[1.0], &[0.0]), 0.5, 1e-6);
    close(kl(&[0.0], &[four]), 0.806_853, 1e-6);
    close(kl(&[1.0, 0.0, 0.0], &[0.0, four, 0.0]), 1.306_853, 1e-6);
    // dKL / dm = m, dKL / dl = (exp(l) - 1) / 2.
    let (m, l) =
        (tensor(vec![0.7, -2.0], [1, 2]).require_grad(), tensor(vec![-1.5, 0.4], [1, 2]).require_grad());
    let gradients = gaussian_kl(m.clone(), l.clone()).backward();
    let slopes =
        [values_of(m.grad(&gradients).unwrap()).unwrap(), values_of(l.grad(&gradients).unwrap()).unwrap()]
            .concat();
    let expected = [0.7, -2.0, ((-1.5f64).exp() - 1.0) / 2.0, (0.4f64.exp() - 1.0) / 2.0];
    slopes.iter().zip(expected).for_each(|(&slope, expected)| close(f64::from(slope), expected, 1e-6));
}

#[test]
fn draws_of_the_latent_have_its_mean_and_variance_and_pass_gradients_on() {
    let count = 1_000_000;
    let posterior =
        Posterior { mean: tensor(vec![0.7], [1, 1]), log_variance: tensor(vec![0.25f32.ln()], [1, 1]) };
    let noise = tensor(maps::noise_of(4, count), [count, 1]);
    let drawn = values_of(posterior.draw(noise)).unwrap();
    let mean = drawn.iter().map(|&z| f64::from(z)).sum::<f64>() / count as f64;
    let variance = drawn.iter().map(|&z| (f64::from(z) - mean).powi(2)).sum::<f64>() / count as f64;
    close(mean, 0.7, 2e-3);
    close(variance / 0.25, 1.0, 5e-3);
    let (mean, log_variance) =
        (tensor(vec![0.2], [1, 1]).require_grad(), tensor(vec![-0.6], [1, 1]).require_grad());
    let posterior = Posterior { mean: mean.clone(), log_variance: log_variance.clone() };
    let gradients = posterior.draw(tensor(vec![1.3], [1, 1])).sum().backward();
    close(f64::from(values_of(mean.grad(&gradients).unwrap()).unwrap()[0]), 1.0, 1e-6);
    let expected = 0.5 * (-0.3f64).exp() * 1.3;
    close(f64::from(values_of(log_variance.grad(&gradients).unwrap()).unwrap()[0]), expected, 1e-6);
}

#[test]
fn costs_of_a_constant_difference_are_those_of_the_formulas() {
    // A hundred values of 0.4, reconstructed as 0.5.
    let cost = |likelihood| {
        let config = VaeConfig { likelihood, ..config() };
        number(loss::reconstruction(
            &config,
            tensor(vec![0.4; 100], [1, 1, 10, 10]),
            tensor(vec![0.0; 100], [1, 1, 10, 10]),
        ))
    };
    close(cost(Likelihood::Gaussian), 50.0, 1e-5);
    close(cost(Likelihood::Calibrated), 50.0 * 0.010_001f64.ln(), 1e-5);
    close(cost(Likelihood::L1), 100.0, 1e-5);
    close(cost(Likelihood::Bernoulli), 100.0 * 2f64.ln(), 1e-5);
    let ssim = |made: f32| {
        let config = VaeConfig { likelihood: Likelihood::Ssim, ..config() };
        number(loss::difference(
            &config,
            tensor(vec![0.4; 256], [1, 1, 16, 16]),
            tensor(vec![made; 256], [1, 1, 16, 16]),
        ))
    };
    close(ssim(0.4), 0.0, 1e-3);
    // In the middle 1 - SSIM is that of the means alone; towards the border, beyond which there are zeros, it is more.
    let least = 256.0 / 0.02 * (1.0 - (0.4 + 1e-4) / (0.41 + 1e-4));
    assert!((least..3.0 * least).contains(&ssim(0.5)), "{} {least}", ssim(0.5));
}

/// Of one image: the variance is settled as the mean square, so its own gradient vanishes.
#[test]
fn a_calibrated_gaussian_has_the_gradient_of_one_with_its_variance() {
    let images = tensor((0..48).map(|at| (at * 37 % 97) as f32 / 97.0).collect(), [1, 3, 4, 4]);
    let logits = tensor((0..48).map(|at| (at as f32 * 0.7).sin()).collect(), [1, 3, 4, 4]);
    let square = number(blemish_nn::loss::l2(images.clone(), Activation::Sigmoid.forward(logits.clone())));
    let gradient = |likelihood| {
        let config = VaeConfig { likelihood, decoder_sigma: (square + 1e-6).sqrt(), ..config() };
        let logits = logits.clone().require_grad();
        let gradients = loss::reconstruction(&config, images.clone(), logits.clone()).backward();
        values_of(logits.grad(&gradients).unwrap()).unwrap()
    };
    let difference = relative_difference(&gradient(Likelihood::Calibrated), &gradient(Likelihood::Gaussian));
    assert!(difference < 1e-5, "{difference}");
}

#[test]
fn maps_of_equal_images_are_dark_and_those_of_an_offset_even() {
    let image = |shift: f32| {
        tensor((0..3 * 256).map(|at| (at * 31 % 89) as f32 / 120.0 + shift).collect(), [1, 3, 16, 16])
    };
    let all = |map: Tensor<4>, expected: f32| {
        let values = values_of(map).unwrap();
        assert_eq!(values.len(), 256);
        values
            .iter()
            .for_each(|value| assert!((value - expected).abs() < 1e-5, "{value} instead of {expected}"));
    };
    all(maps::dissimilar(image(0.0), image(0.0)), 0.0);
    all(maps::absolute(image(0.0), image(0.2)), 0.2);
    all(maps::squared(image(0.0), image(0.2)), 0.04);
}

/// Against central differences of the divergence at single values of an image.
#[test]
fn the_gradient_map_is_the_slope_of_the_divergence() {
    let config = VaeConfig { map: Map::KlGradient, ..config() };
    let mut init = Init::new(3, &with_gradients());
    let network = Network::new(&config, &mut init).no_grad();
    let values: Vec<f32> = (0..2 * 3 * 1024).map(|at| 0.5 + 0.4 * (at as f32 * 0.37).sin()).collect();
    let eye = Eye { network: &network, config: &config, standards: Standards::default() };
    let map = eye.maps(Map::KlGradient, tensor(values.clone(), [2, 3, 32, 32])).unwrap();
    let kl = |values: Vec<f32>| {
        let posterior = network.encode(tensor(values, [2, 3, 32, 32]), Phase::Scoring);
        values_of(gaussian_kl(posterior.mean, posterior.log_variance))
            .unwrap()
            .iter()
            .map(|&kl| f64::from(kl))
            .sum::<f64>()
    };
    let largest = map.iter().fold(0.0f32, |most, value| most.max(*value));
    for (image, pixel) in [(0, 40), (1, 500), (1, 1000)] {
        let slope = |channel: usize| {
            let moved = |step: f32| {
                let mut values = values.clone();
                values[(image * 3 + channel) * 1024 + pixel] += step;
                kl(values)
            };
            (moved(0.02) - moved(-0.02)) / 0.04
        };
        let expected = (0..3).map(|channel| slope(channel).abs()).sum::<f64>() / 3.0;
        let found = f64::from(map[image * 1024 + pixel]);
        assert!(
            (found - expected).abs() < 0.03 * f64::from(largest),
            "{found} instead of {expected} of {largest}"
        );
    }
}

#[test]
fn good_maps_come_out_even() {
    let map = |number: usize| -> Vec<f32> {
        (0..30).map(|at| ((at * 17 + number * 29) % 23) as f32 * (1 + at) as f32).collect()
    };
    let mut moments = Moments::new(30);
    (0..7).for_each(|number| moments.push(&map(number)));
    let normal = moments.finish((5, 6));
    let applied = |number| {
        let mut values = map(number);
        normal.apply(&mut values);
        values
    };
    for pixel in 0..30 {
        let values: Vec<f64> = (0..7).map(|number| f64::from(applied(number)[pixel])).collect();
        let mean = values.iter().sum::<f64>() / 7.0;
        let deviation = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / 6.0).sqrt();
        assert!(mean.abs() < 1e-5 && deviation <= 1.0 && deviation > 0.05, "{mean} {deviation}");
    }
    // Two maps of 1 and 3 at one pixel, 5 and 5 at another and 2 and 4 at a third: deviations of 1.414, 0 and 1.414, whose median is 1.414.
    let mut moments = Moments::new(3);
    moments.push(&[1.0, 5.0, 2.0]);
    moments.push(&[3.0, 5.0, 4.0]);
    assert_eq!(moments.overall().0, 10.0 / 3.0);
    let mut values = vec![2.0, 5.0 + 2f32.sqrt(), 3.0 + 2.0 * 2f32.sqrt()];
    moments.finish((1, 3)).apply(&mut values);
    for (found, expected) in values.iter().zip([0.0, 1.0, 1.0]) {
        close(f64::from(*found), expected, 1e-6);
    }
}

#[test]
fn parts_cover_an_image_and_overlaps_are_averaged() {
    assert_eq!(parts::starts(256, 128, 32), [0, 32, 64, 96, 128]);
    assert_eq!(parts::starts(130, 128, 32), [0, 2]);
    assert_eq!(parts::starts(128, 128, 32), [0]);
    let (size, part) = ((7, 9), 4);
    let image: Vec<f32> = (0..63).map(|at| at as f32).collect();
    let mut joined = parts::Joined::new(size, part);
    for corner in parts::corners(size, part, 2) {
        joined.push(corner, &parts::cut(&image, size, part, corner));
    }
    assert_eq!(joined.finish(), image);
    // Two parts of a row that share a pixel.
    let mut joined = parts::Joined::new((1, 3), 2);
    joined.push((0, 0), &[1.0, 2.0]);
    joined.push((0, 1), &[4.0, 8.0]);
    assert_eq!(joined.finish(), [1.0, 3.0, 8.0]);
}

#[test]
fn a_tenth_is_held_out_and_more_of_few_images() {
    let held = |count, share| {
        let split = Split::new(count, share, 5);
        let mut all = [split.learned.clone(), split.held_out.clone()].concat();
        all.sort_unstable();
        assert_eq!(all, (0..count).collect::<Vec<_>>());
        split.held_out.len()
    };
    assert_eq!([100, 391, 30, 9, 6, 3, 2, 1].map(|count| held(count, 0.1)), [10, 39, 5, 3, 2, 1, 0, 0]);
    assert_eq!((held(100, 0.0), held(10, 0.5)), (0, 5));
    assert_ne!(Split::new(100, 0.1, 5), Split::new(100, 0.1, 6));
}

#[test]
fn the_divergence_begins_to_count_over_a_tenth_of_the_steps() {
    let config = VaeConfig { steps: 100, beta: 2.0, ..config() };
    assert_eq!([0, 5, 10, 99].map(|step| loss::beta_at(&config, step)), [0.0, 1.0, 2.0, 2.0]);
}

#[test]
fn what_does_not_go_together_is_said() {
    let fit = |config: VaeConfig, side: usize| {
        let images = Images::new(vec![((side, side), vec![0.5; 3 * side * side]); 4], None);
        Vae::fit(&config, &images, &FitContext::new(0, None)).err().unwrap().to_string()
    };
    let gradients = fit(VaeConfig { samples: 2, map: Map::VaeGrad, ..config() }, 32);
    assert!(gradients.contains("samples=0"), "{gradients}");
    assert!(fit(VaeConfig { size: 48, ..config() }, 48).contains("`size`"));
    assert!(fit(VaeConfig { sspcab: true, base: 2, ..config() }, 32).contains("`sspcab`"));
    assert!(fit(config(), 64).contains("resize them to 32x32"));
    assert!(fit(VaeConfig { texture: true, size: 64, ..config() }, 32).contains("smaller than the parts"));
}
