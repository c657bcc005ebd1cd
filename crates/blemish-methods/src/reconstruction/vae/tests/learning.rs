//! What short trainings learn.

use super::super::training::{Lesson, cost};
use super::*;
use blemish_nn::layers::Dense;
use blemish_nn::loss::{l2, mean};
use blemish_nn::train::{Optimiser, Plan, Schedule, TrainError, Verdict, Watch, train as learn};

struct Alone;

impl Watch for Alone {
    fn verdict(&self) -> Verdict {
        Verdict::Go
    }
    fn step(&self, _: u64, _: f64, _: f64) {}
}

/// Linear layers for encoder and decoder.
#[derive(Module, Debug)]
struct Linear {
    mean: Dense,
    log_variance: Dense,
    decoder: Dense,
}

/// The optimum of a linear variational auto-encoder is probabilistic PCA (Lucas et al. 2019).
#[test]
fn a_linear_decoder_spans_the_principal_components_and_the_variance_is_what_they_leave() {
    const DEVIATIONS: [f64; 6] = [2.0, 1.5, 0.3, 0.3, 0.3, 0.3];
    const DRAWS: usize = 16;
    let mut init = Init::new(7, &with_gradients());
    let axes = init.rotation(6);
    // Two points on each axis, so that the axes are the principal components exactly, and these the deviations along them.
    let point = |at: usize| {
        let (axis, side) = (at % 6, if at < 6 { 1.0 } else { -1.0 });
        let length = side * DEVIATIONS[axis] * 6f64.sqrt();
        (0..6).map(|i| (length * axes[axis * 6 + i]) as f32).collect::<Vec<_>>()
    };
    let points: Vec<f32> = (0..12).cycle().take(12 * DRAWS).flat_map(point).collect();
    let log_variance = Dense { weight: init.constant(0.0, [6, 2]), bias: init.constant(-2.0, [2]) };
    let network = Linear {
        mean: Dense::xavier(6, 2, &mut init),
        log_variance,
        decoder: Dense::xavier(2, 6, &mut init),
    };
    let x = || tensor(points.clone(), [12 * DRAWS, 6]);
    let made = |network: &Linear, step: u64| {
        let posterior =
            Posterior { mean: network.mean.rows(x()), log_variance: network.log_variance.rows(x()) };
        let noise = tensor(maps::noise_of(step, 24 * DRAWS), [12 * DRAWS, 2]);
        (network.decoder.rows(posterior.draw(noise)), posterior)
    };
    let images = |rows: Tensor<2>| rows.reshape([12 * DRAWS, 1, 1, 6]);
    let trained = learn(
        network,
        &Plan::new(
            2500,
            Optimiser::ADAM,
            Schedule {
                decay: blemish_nn::train::Decay::Cosine { floor: 0.0, stairs: 0 },
                ..Schedule::constant(0.02)
            },
        ),
        &with_gradients(),
        Ok::<_, TrainError>,
        |network: &Linear, step| {
            let (made, posterior) = made(network, step);
            let r = loss::difference(&config(), images(x()), images(made));
            r + mean(gaussian_kl(posterior.mean, posterior.log_variance))
        },
        &Alone,
    );
    let network = trained.unwrap().network;
    // Cosine of the largest angle between the decoder's plane and that of the first two axes: the smaller singular value of the products.
    let rows = values_of(network.decoder.weight.val()).unwrap();
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let unit = |a: Vec<f64>| {
        let length = dot(&a, &a).sqrt();
        a.into_iter().map(|a| a / length).collect::<Vec<_>>()
    };
    let rows: Vec<Vec<f64>> =
        rows.chunks(6).map(|row| row.iter().map(|&value| f64::from(value)).collect()).collect();
    let first = unit(rows[0].clone());
    let along = dot(&first, &rows[1]);
    let second = unit(rows[1].iter().zip(&first).map(|(value, first)| value - along * first).collect());
    let products = [&first, &second].map(|row| [dot(row, &axes[..6]), dot(row, &axes[6..12])]);
    let squares = products.iter().flatten().map(|value| value * value).sum::<f64>();
    let determinant = products[0][0] * products[1][1] - products[0][1] * products[1][0];
    let smaller =
        ((squares - (squares * squares - 4.0 * determinant * determinant).max(0.0).sqrt()) / 2.0).sqrt();
    let angle = smaller.min(1.0).acos().to_degrees();
    assert!(angle < 5.0, "{angle} degrees");
    // All but two deviations are discarded.
    let square = (0..50).map(|draw| number(l2(made(&network, 10_000 + draw).0, x()))).sum::<f64>() / 50.0;
    assert!((square / 0.09 - 1.0).abs() < 0.1, "{square}");
}

/// Four images of 8 x 8 pixels that differ a little, and a latent with more values than they have.
fn copy(beta: f64, steps: u64) -> (f64, f64) {
    let config =
        VaeConfig { size: 8, base: 16, dimensions: Some(256), likelihood: Likelihood::Gaussian, ..config() };
    let images: Vec<f32> = maps::noise_of(99, 4 * 192).iter().map(|noise| 0.5 + 0.06 * noise).collect();
    let x = || tensor(images.clone(), [4, 3, 8, 8]);
    let network = Network::new(&config, &mut Init::new(2, &with_gradients()));
    let plan = Plan::new(
        steps,
        Optimiser::ADAM,
        Schedule {
            decay: blemish_nn::train::Decay::Cosine { floor: 1e-5, stairs: 0 },
            ..Schedule::constant(3e-3)
        },
    );
    let lesson = |step| Lesson { images: x(), noise: tensor(maps::noise_of(step, 4 * 256), [4, 256]), beta };
    let trained = learn(
        network,
        &Plan { clip: Some(1.0), ..plan },
        &with_gradients(),
        |step| Ok::<_, TrainError>(lesson(step)),
        |network: &Network, lesson| cost(&config, network, lesson),
        &Alone,
    );
    let network = trained.unwrap().network;
    let posterior = network.encode(x(), Phase::Scoring);
    let kl = number(mean(gaussian_kl(posterior.mean, posterior.log_variance)));
    (number(l2(x(), network.reconstruct(x()))), kl)
}

#[test]
fn without_the_divergence_images_are_copied_and_with_much_of_it_the_latent_collapses() {
    let (square, kl) = copy(0.0, 600);
    assert!(square < 1e-4 && kl > 1.0, "{square} {kl}");
    let (square, kl) = copy(100.0, 600);
    assert!(kl < 0.1 && square > 1e-3, "{square} {kl}");
}

/// A pattern that is nearly the same in all images; one with a square pasted on.
fn pattern(number: usize, has_square: bool) -> Vec<f32> {
    let value = |at: usize| {
        let (y, x) = (at / 32 % 32, at % 32);
        let noise = ((at * 7919 + number * 104_729) % 997) as f32 / 997.0 * 0.04;
        if has_square && (12..18).contains(&y) && (20..26).contains(&x) {
            0.9
        } else {
            0.4 + 0.2 * ((x + 2 * y) as f32 * 0.3).sin() + noise
        }
    };
    (0..3 * 1024).map(value).collect()
}

fn fitted(config: VaeConfig) -> Vae {
    let images = Images::new((0..12).map(|number| ((32, 32), pattern(number, false))).collect(), None);
    Vae::fit(&config, &images, &FitContext::new(1, None)).unwrap()
}

#[test]
fn a_pasted_square_is_where_the_map_is_highest_and_the_bound_has_its_parts() {
    let config = VaeConfig {
        base: 8,
        steps: 150,
        batch: 10,
        rate: 5e-3,
        score: Score::Elbo,
        norm: None,
        beta: 0.5,
        ..config()
    };
    let vae = fitted(config);
    assert_eq!(vae.config().norm, Some(Normalisation::Group), "ten images are too few for their moments");
    let batch = crate::testing::image_batch((32, 32), &[pattern(20, false), pattern(21, true)]);
    let input = Input::of_images(&batch);
    let scores = vae.score(&input).unwrap();
    let worst =
        blemish_core::map::worst_of(&input.finish(vae.map_stage(), scores.clone()).unwrap()[1].map.values);
    assert!(
        (12..18).contains(&(worst / 32)) && (20..26).contains(&(worst % 32)),
        "{} {}",
        worst / 32,
        worst % 32
    );
    let parts = vae.components(&input).unwrap();
    for (scores, parts) in scores.iter().zip(&parts) {
        close(f64::from(scores.image_score.unwrap()), parts.reconstruction + 0.5 * parts.kl, 1e-5);
    }
    assert!(parts[1].reconstruction > parts[0].reconstruction, "{parts:?}");
    // Of images like those that it was held against, a square is the variance: R = n / 2 (1 + ln variance).
    let usual = 1536.0 * (1.0 + vae.variance.ln());
    assert!((parts[0].reconstruction - usual).abs() < 1536.0, "{parts:?} {usual}");
    assert_eq!(vae.active_units().1, 6);
}

/// Keeps warnings.
#[derive(Default)]
struct Heard(std::sync::Mutex<Vec<String>>);

impl blemish_core::observer::Observer for Heard {
    fn warn(&self, message: &str) {
        self.0.lock().unwrap().push(message.to_owned());
    }
}

#[test]
fn a_collapsed_latent_and_images_that_measure_themselves_are_warned_of() {
    let warnings = |config: VaeConfig, spread: f32| {
        let heard = Heard::default();
        // Of brightnesses that a code has to tell.
        let image = |number: usize| -> Vec<f32> {
            pattern(number, false).into_iter().map(|value| 0.5 * value + spread * number as f32).collect()
        };
        let images = Images::new((0..8).map(|number| ((32, 32), image(number))).collect(), None);
        let context = FitContext { observer: &heard, ..FitContext::new(1, None) };
        Vae::fit(&config, &images, &context).unwrap();
        heard.0.into_inner().unwrap()
    };
    let quiet = VaeConfig { steps: 100, batch: 8, rate: 5e-3, beta: 0.0, select: false, ..config() };
    assert_eq!(warnings(quiet.clone(), 0.08), Vec::<String>::new());
    let found = warnings(VaeConfig { beta: 100.0, ..quiet.clone() }, 0.0);
    assert!(found.len() == 1 && found[0].contains("much the same"), "{found:?}");
    let found = warnings(VaeConfig { held_out: 0.0, ..quiet }, 0.08);
    assert!(found.len() == 1 && found[0].contains("training images themselves"), "{found:?}");
}

#[test]
fn textures_may_have_any_size_where_maps_are_not_normalised() {
    let texture =
        VaeConfig { texture: true, stride: Some(16), steps: 3, batch: 4, normalise: false, ..config() };
    let images = || Images::new((0..4).map(|number| ((32, 32), pattern(number, false))).collect(), None);
    let fit = |config: &VaeConfig| Vae::fit(config, &images(), &FitContext::new(1, None)).unwrap();
    let batch = crate::testing::image_batch((40, 56), &[vec![0.5; 3 * 40 * 56]]);
    let scores = fit(&texture).score(&Input::of_images(&batch)).unwrap();
    assert_eq!((scores[0].height, scores[0].width, scores[0].values.len()), (40, 56, 40 * 56));
    let normalised = fit(&VaeConfig { normalise: true, ..texture });
    let error = normalised.score(&Input::of_images(&batch)).unwrap_err().to_string();
    assert!(error.contains("32x32") && error.contains("56x40"), "{error}");
}
