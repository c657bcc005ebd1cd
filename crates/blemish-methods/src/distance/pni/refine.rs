//! The refinement network: sharpens the map by looking at the image (section 3.3 of the paper).
//!
//! An encoder, from the backbone's weights with the map as a fourth channel, and a decoder of doublings and convolutions give a residual:
//! refined = map + network(image, map), trained towards the masks of made-up defects on the good images. What the network is given is the
//! method's own map of each made-up defect. The result is a weighted mean of refined and given map.
//!
//! Maps enter in units in which good pixels have a mean of 0 and defective ones a mean of 1, and leave in those of the scores.
//!
//! Differences from the released code, which starts from an ImageNet DenseNet-161 and is trained once for all data on a hidden set: ours is
//! trained for each model, on its images; the map is not cropped by 11 pixels first, since ours is not shifted against the image.

use super::config::PniConfig;
use super::fit::Surroundings;
use super::{NAME, PatchModel, patch_stage, wrong};
use crate::shared::encoder::Encoder;
use crate::shared::tensors::{device_of, interpolation, scoring_device, values_of};
use crate::shared::trainer::{self, Trainer, batch_of, gaussian};
use blemish_core::error::Error;
use blemish_core::feature_batch::FeatureBatch;
use blemish_core::method::Pass;
use blemish_core::rows::{RowStore, Rows};
use blemish_core::state::State;
use blemish_data::ImageBatch;
use blemish_data::synth::kit::{ColourJitter, DefectRequest, Kind, make_defect};
use blemish_features::{Backbone, Device};
use blemish_kernels::map::{resize_aligned, resize_bilinear};
use blemish_nn::flow::Ordered;
use blemish_nn::init::Init;
use blemish_nn::layers::Conv;
use blemish_nn::train::{Curve, Optimiser, Plan, Schedule};
use blemish_nn::{Module, Tensor, TensorData};
use burn::tensor::activation::relu;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Planes of a training sample: red, green, blue, map, mask.
const PLANES: usize = 5;

/// One sample in so many stays good.
const GOOD: usize = 5;

/// Images that are scored at once.
const SCORED_AT_ONCE: usize = 8;

/// Rotation in degrees and change of colour of the augmentation.
const ROTATION: f32 = 5.0;
const JITTER: ColourJitter = ColourJitter::even(0.4);

/// Deviation of the lighting noise along the principal colours of ImageNet (Krizhevsky et al. 2012): eigenvalues, then vectors in columns.
const LIGHTING: f32 = 0.1;
const COLOURS: ([f32; 3], [[f32; 3]; 3]) = (
    [0.2175, 0.0188, 0.0045],
    [[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]],
);

/// Doubles the size, then narrows the channels.
#[derive(Module, Debug)]
struct Doubling {
    narrow: Conv,
    smooth: Conv,
}

/// From an image and its map to a residual of the map.
#[derive(Module, Debug)]
struct Network {
    encoder: Encoder,
    enter: Conv,
    doublings: Vec<Doubling>,
    leave: Conv,
}

impl Ordered for Network {}

impl Network {
    /// For square inputs of `side` pixels; starts without any residual.
    fn new(backbone: &Backbone, side: usize, init: &mut Init) -> Result<Self, Error> {
        let encoder = Encoder::new(backbone, 1, init)?;
        let (graph, _) = backbone.network()?;
        let sizes = graph.output_sizes(side, side)?;
        let [height, _] = graph.taps.last().map_or([side; 2], |tap| sizes[tap.node]);
        let channels = backbone.taps().last().map_or(1, |tap| tap.channels);
        let mut width = (channels / 2).clamp(8, 768);
        let enter = Conv::new(channels, width, 1, init);
        let mut doublings = Vec::new();
        let mut reached = height;
        while reached < side {
            let narrower = (width / 2).max(8);
            let narrow = Conv::new(width, narrower, 1, init);
            doublings.push(Doubling { narrow, smooth: Conv::new(narrower, narrower, 3, init) });
            (width, reached) = (narrower, 2 * reached);
        }
        Ok(Self { encoder, enter, doublings, leave: Conv::zero(width, 1, 1, init) })
    }

    /// Refined maps: `map` (batch x 1 x side x side) plus the residual that the network sees in it and the normalised image.
    fn forward(&self, image: Tensor<4>, map: Tensor<4>) -> Tensor<4> {
        let side = map.dims()[2];
        let mut maps = self.encoder.forward(Tensor::cat(vec![image, map.clone()], 1));
        let Some(deepest) = maps.pop() else { return map };
        let x = self.doublings.iter().fold(relu(self.enter.forward(deepest)), |x, doubling| {
            let size = (2 * x.dims()[2]).min(side);
            let x = relu(doubling.narrow.forward(enlarged(x, size)));
            relu(doubling.smooth.forward(x))
        });
        map + self.leave.forward(x)
    }
}

/// Bilinear interpolation of square maps to `size`, corners aligned, as two matrix products.
fn enlarged(x: Tensor<4>, size: usize) -> Tensor<4> {
    let [count, channels, height, width] = x.dims();
    let weights = |from: usize| interpolation(resize_aligned, from, size, &x).transpose();
    let (down, across) = (weights(height), weights(width));
    let x = x.reshape([count * channels * height, width]).matmul(across);
    let x = x.reshape([count, channels, height, size]).swap_dims(2, 3);
    let x = x.reshape([count * channels * size, height]).matmul(down);
    x.reshape([count, channels, size, size]).swap_dims(2, 3)
}

/// Mean squared differences of maps (batch x 1 x height x width) to masks: of values, of steps to the right and of steps down, the value
/// beyond the last repeating it.
pub(super) fn losses(map: Tensor<4>, mask: Tensor<4>) -> [Tensor<1>; 3] {
    let wrong = map - mask;
    let [count, _, height, width] = wrong.dims();
    let all = (count * height * width) as f64;
    let squares = |x: Tensor<4>| (x.clone() * x).sum() / all;
    let step = |dimension: usize, length: usize| {
        let before = wrong.clone().narrow(dimension, 0, length - 1);
        squares(before - wrong.clone().narrow(dimension, 1, length - 1))
    };
    [squares(wrong.clone()), step(3, width), step(2, height)]
}

/// A fitted refinement.
pub(super) struct Refinement {
    network: Network,
    curve: Curve,
    side: usize,
    weight: f32,
    /// Mean scores of good and of made-up defective pixels.
    levels: [f32; 2],
}

/// Images of 3 x height x width resized to `side`, plane by plane.
fn resized(planes: &[f32], size: (usize, usize), side: usize) -> Vec<f32> {
    planes
        .chunks_exact(size.0 * size.1)
        .flat_map(|plane| resize_bilinear(plane, size, (side, side)))
        .collect()
}

/// Maps of the input's size before any refinement, and the images' scores.
pub(super) fn maps_of(
    config: &PniConfig,
    model: &PatchModel,
    features: &FeatureBatch,
) -> Result<Vec<(Vec<f32>, f32)>, Error> {
    let (stage, size) = (patch_stage(config), (features.height, features.width));
    let region = features.region_of_interest.as_deref();
    let scored = stage.finish_batch(model.score_maps(config, features)?, size, region)?;
    Ok(scored.into_iter().map(|scored| (scored.map.values, scored.score)).collect())
}

/// The samples that a refinement learns from.
struct Samples {
    rows: Rows,
    side: usize,
    levels: [f32; 2],
}

/// Lays defects over the good images and scores them.
fn samples(config: &PniConfig, model: &PatchModel, surroundings: Surroundings<'_>) -> Result<Samples, Error> {
    let Surroundings { backbone, images: train, context } = surroundings;
    let side = config.refine_side;
    let (count, plane) = (config.refine_samples, side * side);
    context.observer.stage("laying defects over good images", Some(count as u64));
    let mut store = RowStore::new(
        PLANES * plane,
        context.memory_limit.map(|limit| limit / 4),
        context.scratch.as_deref(),
    );
    let mut sums = [[0.0f64; 2]; 2];
    let mut done = 0;
    while done < count {
        let before = done;
        let pass = Pass::IMAGES.shuffled(context.seed.wrapping_add(done as u64));
        train.for_each(pass, &mut |input| {
            let batch = input.images()?;
            let length = batch.count.min(count - done);
            let size = (batch.height, batch.width);
            let mut masks = Vec::new();
            let mut pixels = Vec::new();
            for image in 0..length {
                let number = done + image;
                let good = batch.image(image);
                let kind = Kind::ALL[(number / GOOD + number) % Kind::ALL.len()];
                let request = DefectRequest::new(kind, context.seed, number as u64);
                let made =
                    if number.is_multiple_of(GOOD) { None } else { make_defect(good, size, &request, None) };
                let mask = made.as_ref().map_or(vec![0.0; size.0 * size.1], |made| {
                    made.mask.marked.iter().map(|&marked| f32::from(u8::from(marked))).collect()
                });
                pixels.push(made.map_or(good.to_vec(), |made| made.pixels));
                masks.push(mask);
            }
            for (pixels, masks) in pixels.chunks(SCORED_AT_ONCE).zip(masks.chunks(SCORED_AT_ONCE)) {
                let region = batch.region_of_interest.clone();
                let images = ImageBatch::new(pixels.len(), size.0, size.1, pixels.concat(), region);
                let maps = maps_of(config, model, &FeatureBatch::extract(backbone, &images)?)?;
                for ((pixels, mask), (map, _)) in pixels.iter().zip(masks).zip(&maps) {
                    for (&score, &marked) in map.iter().zip(mask) {
                        let sum = &mut sums[usize::from(marked > 0.0)];
                        *sum = [sum[0] + f64::from(score), sum[1] + 1.0];
                    }
                    let sample = [pixels.as_slice(), map, mask].concat();
                    store.push(&resized(&sample, size, side))?;
                }
            }
            done += length;
            context.observer.advance(length as u64);
            Ok(())
        })?;
        if done == before {
            return Err(Error::Fit { method: NAME, reason: "there are no training images".into() });
        }
    }
    let mean = |[sum, count]: [f64; 2]| (sum / count.max(1.0)) as f32;
    let low = mean(sums[0]);
    // Where no defect could be made or seen, a unit is the good pixels' level itself.
    let high =
        if sums[1][1] > 0.0 { mean(sums[1]).max(low + 1e-3 * low.abs() + 1e-6) } else { 2.0 * low + 1.0 };
    Ok(Samples { rows: store.finish()?, side, levels: [low, high] })
}

/// A sample flipped, turned and with other colours: 5 x side x side.
fn augmented(sample: &[f32], side: usize, seed: u64) -> Vec<f32> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let flip = random.random_range(0..2u32) == 1;
    let (sine, cosine) = random.random_range(-ROTATION..ROTATION).to_radians().sin_cos();
    let middle = (side - 1) as f32 / 2.0;
    let mut planes = Vec::with_capacity(sample.len());
    for plane in sample.chunks_exact(side * side) {
        for at in 0..side * side {
            let (y, x) = (at / side, if flip { side - 1 - at % side } else { at % side });
            let (dy, dx) = (y as f32 - middle, x as f32 - middle);
            let clamp = |value: f32| (value + middle).clamp(0.0, (side - 1) as f32);
            let (y, x) = (clamp(cosine * dy - sine * dx), clamp(sine * dy + cosine * dx));
            let (top, left) = (y as usize, x as usize);
            let (down, across) = (y - top as f32, x - left as f32);
            let value = |y: usize, x: usize| plane[y.min(side - 1) * side + x.min(side - 1)];
            let upper = value(top, left) + (value(top, left + 1) - value(top, left)) * across;
            let lower = value(top + 1, left) + (value(top + 1, left + 1) - value(top + 1, left)) * across;
            planes.push(upper + (lower - upper) * down);
        }
    }
    let image = &mut planes[..3 * side * side];
    let amounts: [f32; 3] = std::array::from_fn(|_| gaussian(&mut random) * LIGHTING);
    for (channel, plane) in image.chunks_exact_mut(side * side).enumerate() {
        let (values, vectors) = (COLOURS.0, COLOURS.1[channel]);
        let light: f32 = (0..3).map(|i| vectors[i] * values[i] * amounts[i]).sum();
        plane.iter_mut().for_each(|value| *value = (*value + light).clamp(0.0, 1.0));
    }
    JITTER.apply(image, seed, 0);
    planes
}

impl Refinement {
    /// Trains a network on defects laid over the good images.
    pub(super) fn fit(
        config: &PniConfig,
        model: &PatchModel,
        surroundings: Surroundings<'_>,
        trainer: &Trainer<'_>,
    ) -> Result<Self, Error> {
        let Surroundings { backbone, context, .. } = surroundings;
        let samples = samples(config, model, surroundings)?;
        let (side, device) = (samples.side, trainer.device());
        let network = Network::new(backbone, side, &mut Init::new(!context.seed, &device))?;
        let plan = Plan::new(config.refine_steps, Optimiser::ADAM, Schedule::constant(config.refine_rate));
        let size = config.refine_batch.min(samples.rows.len());
        let kept = size * side * side * 64;
        let trained = trainer.run(
            "refinement",
            network,
            plan,
            kept,
            |step| {
                let chosen = batch_of(step, samples.rows.len(), size, context.seed);
                let seed =
                    |place: usize| context.seed ^ (step * size as u64 + place as u64 + 1).rotate_left(20);
                let rows: Vec<f32> = chosen
                    .iter()
                    .enumerate()
                    .flat_map(|(place, &index)| augmented(&samples.rows.gather(&[index]), side, seed(place)))
                    .collect();
                Ok(tensors(&rows, side, samples.levels, backbone, &device))
            },
            |network: &Network, [image, map, mask]| {
                let [values, right, down] = losses(network.forward(image, map), mask);
                values / 2.0 + right / 4.0 + down / 4.0
            },
        )?;
        let (network, weight) = (trained.network.valid(), config.refine_weight);
        Ok(Self { network, curve: trained.curve, side, weight, levels: samples.levels })
    }

    /// Final maps (H x W each) of images and their maps.
    pub(super) fn refine(
        &self,
        backbone: &Backbone,
        batch: &ImageBatch,
        maps: Vec<Vec<f32>>,
    ) -> Result<Vec<Vec<f32>>, Error> {
        let device = device_of(&self.network);
        let size = (batch.height, batch.width);
        let [low, high] = self.levels;
        let mut refined = Vec::with_capacity(maps.len());
        // One at a time: the sums of a product may depend on its size, and scores must not depend on the batch.
        for (index, map) in maps.into_iter().enumerate() {
            let planes = [batch.image(index), &map, &vec![0.0; map.len()]].concat();
            let row = resized(&planes, size, self.side);
            let [image, given, _] = tensors(&row, self.side, self.levels, backbone, &device);
            let found = values_of(self.network.forward(image, given))?;
            let found = resize_bilinear(&found, (self.side, self.side), size);
            let mixed = map
                .iter()
                .zip(found)
                .map(|(&map, found)| self.weight * (low + (high - low) * found) + (1.0 - self.weight) * map);
            refined.push(mixed.collect());
        }
        Ok(refined)
    }

    pub(super) fn store(&self, state: &mut State) {
        state.set_f32("refinement_levels", &[2], self.levels.to_vec());
        trainer::store(&self.network, "refinement.", &self.curve, state);
    }

    pub(super) fn restore(
        config: &PniConfig,
        backbone: &Backbone,
        device: Device,
        state: &State,
    ) -> Result<Self, Error> {
        let (_, levels) = state.f32("refinement_levels", 1)?;
        let &[low, high] = &levels[..] else {
            return Err(wrong("refinement_levels", "does not hold two levels".into()));
        };
        if !(low.is_finite() && high.is_finite() && low < high) {
            return Err(wrong("refinement_levels", format!("are no levels: {low} and {high}")));
        }
        let blank = Network::new(backbone, config.refine_side, &mut Init::blank(&scoring_device(device)?))?;
        let (network, curve) = trainer::load(blank, "refinement.", state)?;
        Ok(Self {
            network,
            curve,
            side: config.refine_side,
            weight: config.refine_weight,
            levels: [low, high],
        })
    }
}

/// Samples (count x 5 x side x side) as normalised images, maps in units of the levels, and masks.
fn tensors(
    rows: &[f32],
    side: usize,
    levels: [f32; 2],
    backbone: &Backbone,
    device: &blemish_nn::Device,
) -> [Tensor<4>; 3] {
    let plane = side * side;
    let count = rows.len() / (PLANES * plane);
    let part = |from: usize, to: usize| -> Vec<f32> {
        rows.chunks_exact(PLANES * plane).flat_map(|row| &row[from * plane..to * plane]).copied().collect()
    };
    let tensor = |values: Vec<f32>, channels: usize| {
        Tensor::from_data(TensorData::new(values, [count, channels, side, side]), device)
    };
    let image = backbone.normalized(&part(0, 3), plane);
    let map = part(3, 4).into_iter().map(|score| (score - levels[0]) / (levels[1] - levels[0])).collect();
    [tensor(image, 3), tensor(map, 1), tensor(part(4, 5), 1)]
}
