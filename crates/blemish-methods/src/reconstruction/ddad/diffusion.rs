//! From images to noise step by step, what is learned of it, and the way back towards an image.
//!
//! Every random value is a function of a seed, what it is for, and the number of its sample, so that neither threads nor batches nor an
//! interruption change any of them.

use super::unet::UNet;
use crate::shared::kept::Kept;
use crate::shared::trainer::{batch_of, gaussian};
use blemish_nn::layers::Dropout;
use blemish_nn::{Device, Tensor, TensorData};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use rayon::prelude::*;

/// T, the steps from an image to noise.
pub(super) const STEPS: usize = 1000;

/// What random values are for.
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    /// Times and noise of the training.
    Training = 1,
    /// What is dropped in it.
    Dropout = 2,
    /// Noise of the reconstructions that the extractor learns from.
    Adaptation = 3,
    /// Noise of the reconstructions that are scored.
    Scoring = 4,
    /// Images held out, and the defects laid over them.
    Choice = 5,
}

/// The generator of sample `number`.
pub(super) fn generator(seed: u64, purpose: Purpose, number: u64) -> ChaCha12Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8] = purpose as u8;
    let mut random = ChaCha12Rng::from_seed(key);
    random.set_stream(number);
    random
}

/// A seed for what seeds itself.
pub(super) fn seed_of(seed: u64, purpose: Purpose, number: u64) -> u64 {
    generator(seed, purpose, number).random()
}

/// Standard normal values.
pub(super) fn noise(random: &mut ChaCha12Rng, count: usize) -> Vec<f32> {
    (0..count).map(|_| gaussian(random)).collect()
}

/// a_t, the share of the image's energy at each step: the product of 1 - beta_s for s up to and with t, beta rising evenly from 0.0001 to
/// 0.02.
pub(super) fn shares() -> Vec<f64> {
    let beta = |t: usize| 1e-4 + (0.02 - 1e-4) * t as f64 / (STEPS - 1) as f64;
    let step = |share: &mut f64, t: usize| {
        *share *= 1.0 - beta(t);
        Some(*share)
    };
    (0..STEPS).scan(1.0, step).collect()
}

/// Samples of a training step, batch x 3 x H x W.
pub(super) struct Lesson {
    /// x_t = sqrt(a_t) x_0 + sqrt(1 - a_t) e.
    pub(super) noisy: Tensor<4>,
    /// e.
    pub(super) noise: Tensor<4>,
    /// t of each.
    pub(super) times: Vec<f64>,
    /// Seed of what is dropped.
    pub(super) dropout: u64,
}

/// One sample of a training step.
struct Sample {
    noisy: Vec<f32>,
    noise: Vec<f32>,
    time: f64,
}

/// Samples of step number `step`: images in [-1, 1] by turns, each with a time and noise of its own.
pub(super) fn lesson(
    images: &Kept,
    chosen: &[usize],
    batch: usize,
    step: u64,
    (seed, shares): (u64, &[f64]),
    device: &Device,
) -> Lesson {
    let numbers = batch_of(step, chosen.len(), batch, seed);
    let first = step * batch as u64;
    let sample = |(at, &number): (usize, &usize)| {
        let mut random = generator(seed, Purpose::Training, first + at as u64);
        let t = random.random_range(0..STEPS as u32) as usize;
        let image = images.row(0, chosen[number]);
        let noise = noise(&mut random, image.len());
        let (keep, add) = (shares[t].sqrt() as f32, (1.0 - shares[t]).sqrt() as f32);
        let noisy: Vec<f32> = image.iter().zip(&noise).map(|(x, e)| keep * x + add * e).collect();
        Sample { noisy, noise, time: t as f64 }
    };
    let samples: Vec<Sample> = numbers.par_iter().enumerate().map(sample).collect();
    let size = images.sizes()[0];
    let tensor = |of: fn(&Sample) -> &Vec<f32>| {
        let values: Vec<f32> = samples.iter().flat_map(of).copied().collect();
        let shape = [samples.len(), 3, size.height, size.width];
        Tensor::from_data(TensorData::new(values, shape), device)
    };
    Lesson {
        noisy: tensor(|sample| &sample.noisy),
        noise: tensor(|sample| &sample.noise),
        times: samples.iter().map(|sample| sample.time).collect(),
        dropout: seed_of(seed, Purpose::Dropout, step),
    }
}

/// The mean over the batch of the sum over pixels and channels of (e - U(x_t, t))^2.
pub(super) fn loss(network: &UNet, lesson: Lesson, dropout: f64) -> Tensor<1> {
    let Lesson { noisy, noise, times, dropout: seed } = lesson;
    let shifts = network.shifts(&times);
    let mut dropout = Dropout::new(dropout, seed);
    let found = network.forward(noisy, &shifts, Some(&mut dropout));
    let off = found - noise;
    (off.clone() * off).sum_dim(3).sum_dim(2).sum_dim(1).sum() / times.len() as f64
}

/// How a reconstruction is made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Way {
    /// The step to whose noise an image is brought.
    pub(super) start: usize,
    /// Steps between two looks.
    pub(super) skip: usize,
    /// Share of new noise.
    pub(super) eta: f64,
    /// How strongly it is pulled towards the image.
    pub(super) w: f64,
}

/// One look on the way back: x <- of_x x + of_noise e + of_image y + of_fresh z, with e = U(x, t), y the image and z new noise.
///
/// Written out, with s^2 = 1 - a_t and next the step after this one: y_t = sqrt(a_t) y + s e; e' = e - w s (y_t - x);
/// x_0 = (x - s e') / sqrt(a_t); x <- sqrt(a_next) x_0 + c_1 z + c_2 e'. All of it is linear, so four factors are left of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Look {
    /// t.
    pub(super) time: usize,
    pub(super) of_x: f64,
    pub(super) of_noise: f64,
    pub(super) of_image: f64,
    /// c_1.
    pub(super) of_fresh: f64,
}

impl Look {
    /// At time t, `next` after it; `None` for the last one, after which there is no noise.
    pub(super) fn new(time: usize, next: Option<usize>, eta: f64, w: f64, shares: &[f64]) -> Self {
        let (a, after) = (shares[time], next.map_or(1.0, |next| shares[next]));
        let (root, s) = (a.sqrt(), (1.0 - a).sqrt());
        let [fresh, old] = Self::parts(a, after, eta);
        // Of e', once x_0 is put in.
        let k = old - after.sqrt() * s / root;
        Self {
            time,
            of_x: after.sqrt() / root + k * w * s,
            of_noise: k * (1.0 - w * s * s),
            of_image: -k * w * s * root,
            of_fresh: fresh,
        }
    }

    /// c_1 and c_2.
    pub(super) fn parts(a: f64, after: f64, eta: f64) -> [f64; 2] {
        let fresh = eta * ((1.0 - a / after) * (1.0 - after) / (1.0 - a)).max(0.0).sqrt();
        // Rounding may leave a little less than nothing.
        [fresh, (1.0 - after - fresh * fresh).max(0.0).sqrt()]
    }
}

impl Way {
    /// The looks, first to last: times start - skip, start - 2 skip and so on down to what is left above 0.
    pub(super) fn looks(&self, shares: &[f64]) -> Vec<Look> {
        let skip = self.skip.max(1);
        let first = self.start.saturating_sub(skip);
        let chosen: Vec<usize> = (0..=first / skip).map(|number| first - number * skip).collect();
        let next = |number: usize| chosen.get(number + 1).copied();
        let look = |(number, &time): (usize, &usize)| Look::new(time, next(number), self.eta, self.w, shares);
        chosen.iter().enumerate().map(look).collect()
    }

    /// Factors of image and noise at the start.
    pub(super) fn beginning(&self, shares: &[f64]) -> [f64; 2] {
        let share = shares[self.start.min(STEPS - 1)];
        [share.sqrt(), (1.0 - share).sqrt()]
    }
}

/// The way back with everything that is the same for all images.
pub(super) struct Path {
    way: Way,
    looks: Vec<Look>,
    beginning: [f64; 2],
    /// What time adds in the blocks of the network, a look each.
    shifts: Vec<Vec<Tensor<2>>>,
}

impl Path {
    pub(super) fn new(way: Way, network: &UNet) -> Self {
        let shares = shares();
        let looks = way.looks(&shares);
        let shifts = looks.iter().map(|look| network.shifts(&[look.time as f64])).collect();
        Self { way, beginning: way.beginning(&shares), looks, shifts }
    }

    /// Number of noise maps that a reconstruction takes: one for the start, and one for every look but the last where new noise is wanted.
    pub(super) fn draws(&self) -> usize {
        1 + if self.way.eta > 0.0 { self.looks.len() - 1 } else { 0 }
    }

    /// What becomes of noisy `source` images, pulled towards `target` images, all batch x 3 x H x W in [-1, 1]; `noise` has
    /// [`Self::draws`] maps of as many images or of one.
    ///
    /// `predict` is the network: e for x and what time adds.
    pub(super) fn walk(
        &self,
        source: Tensor<4>,
        target: Tensor<4>,
        noise: &[Tensor<4>],
        mut predict: impl FnMut(Tensor<4>, usize, &[Tensor<2>]) -> Tensor<4>,
    ) -> Tensor<4> {
        let [keep, add] = self.beginning;
        let mut noise = noise.iter();
        let mut x = source * keep;
        if let Some(start) = noise.next() {
            x = x + start.clone() * add;
        }
        for (look, shifts) in self.looks.iter().zip(&self.shifts) {
            let found = predict(x.clone(), look.time, shifts);
            x = x * look.of_x + found * look.of_noise + target.clone() * look.of_image;
            if look.of_fresh > 0.0
                && let Some(fresh) = noise.next()
            {
                x = x + fresh.clone() * look.of_fresh;
            }
        }
        x
    }

    /// The same with a network.
    pub(super) fn reconstruct(
        &self,
        network: &UNet,
        source: Tensor<4>,
        target: Tensor<4>,
        noise: &[Tensor<4>],
    ) -> Tensor<4> {
        self.walk(source, target, noise, |x, _, shifts| network.forward(x, shifts, None))
    }
}
