//! The training, and which images it leaves out.

use super::NAME;
use super::config::{Augment, Likelihood, VaeConfig};
use super::loss::{FLOOR, beta_at, bound, reconstruction, values_of_an_image};
use super::network::{Network, multiply_adds};
use super::parts::{corners, cut};
use crate::shared::augment::{Augmentation, seed_of};
use crate::shared::kept::Kept;
use crate::shared::tensors::device_of;
use crate::shared::trainer::{Trainer, batch_of, gaussian};
use blemish_core::error::Error;
use blemish_core::method::FitContext;
use blemish_data::loader::order_of;
use blemish_nn::init::Init;
use blemish_nn::layers::{Activation, Phase};
use blemish_nn::loss::{gaussian_kl, l2};
use blemish_nn::train::{Decay, Optimiser, Plan, Schedule, Selection, Trained};
use blemish_nn::{Device, Module, Tensor, TensorData};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

/// Weight of the loss of the block that is predicted from around.
const OF_BLOCK: f64 = 0.1;

/// Looks at the images held out, over a training.
const LOOKS: u64 = 20;

/// Parts or images that are encoded at once where no gradients are kept.
const AT_ONCE: usize = 16;

/// Keeps the noise of the latent apart from the changes of the images.
const NOISE: u64 = 0x5eed_0f2a_11e5;

/// Which images the network learns from and which are held out, both in rising order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Split {
    pub(crate) learned: Vec<usize>,
    pub(crate) held_out: Vec<usize>,
}

impl Split {
    /// A share of `count` images, drawn by the seed: at least five, but no more than a third where there are few; none of two, or if the
    /// share is 0.
    pub(crate) fn new(count: usize, share: f64, seed: u64) -> Self {
        let wanted = (share * count as f64).round() as usize;
        let held = if share > 0.0 { wanted.max((count / 3).min(5)).min(count / 2) } else { 0 };
        let mut order = order_of(count, Some(seed_of(seed, 1)));
        let mut held_out = order.split_off(count - held);
        order.sort_unstable();
        held_out.sort_unstable();
        Self { learned: order, held_out }
    }
}

/// What a step learns from.
pub(crate) struct Lesson {
    /// Batch x 3 x side x side.
    pub(crate) images: Tensor<4>,
    /// Batch x latent values, standard normal.
    pub(crate) noise: Tensor<2>,
    /// Weight of the divergence.
    pub(crate) beta: f64,
}

/// What a lesson costs: R + beta KL per value of an image, and a tenth of the loss of the block that is predicted from around.
pub(crate) fn cost(config: &VaeConfig, network: &Network, lesson: Lesson) -> Tensor<1> {
    let Lesson { images, noise, beta } = lesson;
    let n = values_of_an_image(&images);
    let posterior = network.encode(images.clone(), Phase::Training);
    let (logits, of_block) = network.decode_with_loss(posterior.draw(noise), Phase::Training);
    let cost = bound(config, beta, images, logits, &posterior) / n;
    match of_block {
        Some(loss) => cost + loss * OF_BLOCK,
        None => cost,
    }
}

/// How images change before the network sees them.
fn augmentation(config: &VaeConfig) -> Augmentation {
    let crop = config.texture.then_some((config.size, config.size));
    let none = Augmentation { crop, ..Augmentation::NONE };
    match config.augment() {
        Augment::None => none,
        Augment::Flips => Augmentation { mirrored: true, flipped: true, ..none },
        Augment::Poses => Augmentation { rotation: 5.0, shift: 0.05, ..none },
    }
}

/// Samples of a training, each a function of its number.
struct Stream<'a> {
    config: &'a VaeConfig,
    images: &'a Kept,
    learned: &'a [usize],
    augmentation: Augmentation,
    seed: u64,
}

impl Stream<'_> {
    /// Samples of a step.
    fn count(&self) -> usize {
        // As many parts as are wanted can be cut out of a few images.
        if self.config.texture { self.config.batch } else { self.config.batch.min(self.learned.len()) }
    }

    fn lesson(&self, step: u64, latent_values: usize, device: &Device) -> Lesson {
        let count = self.count();
        let whole = batch_of(step, self.learned.len(), count, self.seed);
        let sample = |at: usize| {
            let number = step.wrapping_mul(count as u64).wrapping_add(at as u64);
            // Where a step has more parts than there are images, each part draws for itself.
            let drawn = whole.get(at).filter(|_| whole.len() == count).copied();
            let drawn = drawn.unwrap_or_else(|| batch_of(number, self.learned.len(), 1, self.seed)[0]);
            let image = self.images.row(0, self.learned[drawn]);
            let mut random = ChaCha8Rng::seed_from_u64(seed_of(self.seed ^ NOISE, number));
            let noise: Vec<f32> = (0..latent_values).map(|_| gaussian(&mut random)).collect();
            let pixels = match self.augmentation == Augmentation::NONE {
                true => image.to_vec(),
                false => {
                    let size = self.images.sizes()[0].grid();
                    self.augmentation.apply(image, size, seed_of(self.seed, number))
                }
            };
            (pixels, noise)
        };
        let (pixels, noise): (Vec<_>, Vec<_>) = (0..count).into_par_iter().map(sample).unzip();
        let side = self.config.size;
        let images = TensorData::new(pixels.concat(), [count, 3, side, side]);
        let noise = TensorData::new(noise.concat(), [count, latent_values]);
        Lesson {
            images: Tensor::from_data(images, device),
            noise: Tensor::from_data(noise, device),
            beta: beta_at(self.config, step),
        }
    }
}

/// Parts of an image side by side (the whole one where it is no larger than the network sees), parts x 3 x side x side, on a device.
fn parts_of(config: &VaeConfig, image: &[f32], size: (usize, usize), device: &Device) -> Tensor<4> {
    let corners = corners(size, config.size, config.size);
    let values: Vec<f32> = corners.iter().flat_map(|&at| cut(image, size, config.size, at)).collect();
    Tensor::from_data(TensorData::new(values, [corners.len(), 3, config.size, config.size]), device)
}

/// What a network makes of images that it did not learn from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Held {
    /// R + beta KL per value of an image, in nats; the latent's mean is decoded.
    pub(crate) cost: f64,
    /// Mean squared difference of images and reconstructions.
    pub(crate) square: f64,
    /// The latent's means of every part, latent values each.
    pub(crate) means: Vec<f32>,
}

/// Looks at images by a network, without gradients.
pub(crate) fn look(config: &VaeConfig, network: &Network, images: &Kept, numbers: &[usize]) -> Held {
    let size = images.sizes()[0].grid();
    let device = device_of(network);
    let (mut square, mut r, mut kl, mut parts, mut means) = (0.0f64, 0.0f64, 0.0f64, 0usize, Vec::new());
    let number = |tensor: Tensor<1>| f64::from(tensor.into_scalar::<f32>());
    for &image in numbers {
        let all = parts_of(config, images.row(0, image), size, &device);
        let count = all.dims()[0];
        for first in (0..count).step_by(AT_ONCE) {
            let x = all.clone().narrow(0, first, AT_ONCE.min(count - first));
            let share = x.dims()[0];
            let posterior = network.encode(x.clone(), Phase::Scoring);
            let logits = network.decode(posterior.mean.clone(), Phase::Scoring);
            square += share as f64 * number(l2(x.clone(), Activation::Sigmoid.forward(logits.clone())));
            if config.likelihood != Likelihood::Calibrated {
                r += share as f64 * number(reconstruction(config, x, logits));
            }
            kl += number(gaussian_kl(posterior.mean.clone(), posterior.log_variance).sum());
            means.extend(posterior.mean.into_data().try_into_vec::<f32>().unwrap_or_default());
            parts += share;
        }
    }
    let parts = parts.max(1) as f64;
    let square = square / parts;
    let n = (3 * config.size * config.size) as f64;
    let r =
        if config.likelihood == Likelihood::Calibrated { 0.5 * n * (square + FLOOR).ln() } else { r / parts };
    Held { cost: (r + config.beta * kl / parts) / n, square, means }
}

/// About how many values a step keeps for its gradients.
fn activations(config: &VaeConfig, count: usize) -> usize {
    // Encoder and decoder have base side^2 / 2 values each behind convolution, normalisation and activation; the image's own ends.
    count * config.size * config.size * (3 * config.base + 12)
}

/// Multiply-adds of a whole training, about.
fn work(config: &VaeConfig) -> f64 {
    multiply_adds(config) * config.batch as f64 * config.steps as f64
}

/// Trains a network on the images that are learned from.
pub(crate) fn train(
    config: &VaeConfig,
    images: &Kept,
    split: &Split,
    context: &FitContext<'_>,
) -> Result<Trained<Network>, Error> {
    let other = config.preset.other();
    let ratio = work(&VaeConfig { size: config.size, ..VaeConfig::of(other) }) / work(config);
    let trainer = Trainer::new(NAME, config, images.digest(), 1, context)?.beside(other, ratio);
    let device = trainer.device();
    let network = Network::new(config, &mut Init::new(context.seed, &device));
    let latent_values = network.latent_values();
    let learned = &split.learned;
    let stream = Stream { config, images, learned, augmentation: augmentation(config), seed: context.seed };
    let every = (2 * config.steps).div_ceil(3).max(1);
    let schedule = Schedule { rate: config.rate, warm_up: 0, decay: Decay::Step { every, factor: 0.1 } };
    let plan = Plan { clip: config.clip, ..Plan::new(config.steps, Optimiser::ADAM, schedule) };
    let of_held_out = |network: &Network| look(config, &network.valid(), images, &split.held_out).cost;
    let selection = (config.select && !split.held_out.is_empty())
        .then(|| Selection { every: (config.steps / LOOKS).max(1), cost: &of_held_out });
    trainer.run_selecting(
        NAME,
        network,
        plan,
        activations(config, stream.count()),
        |step| Ok(stream.lesson(step, latent_values, &device)),
        |network: &Network, lesson| cost(config, network, lesson),
        selection,
    )
}
