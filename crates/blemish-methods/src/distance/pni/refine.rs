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
use super::model::{PatchModel, wrong};
use super::samples::{PLANES, Samples, resized};
use crate::shared::augment::{Augmentation, seed_of};
use crate::shared::encoder::Encoder;
use crate::shared::network_state;
use crate::shared::tensors::{device_of, interpolation, scoring_device, values_of};
use crate::shared::trainer::{Trainer, batch_of};
use blemish_core::error::Error;
use blemish_core::state::State;
use blemish_data::ImageBatch;
use blemish_data::synth::kit::ColourJitter;
use blemish_features::{Backbone, Device};
use blemish_kernels::map::{resize_aligned, resize_bilinear};
use blemish_nn::init::Init;
use blemish_nn::layers::Conv;
use blemish_nn::train::{Curve, Optimiser, Plan, Schedule};
use blemish_nn::{Module, Tensor, TensorData, weights};
use burn::tensor::activation::relu;

/// What training samples go through: the released code's, whose change of colour is that of brightness, contrast and saturation.
const AUGMENTATION: Augmentation = Augmentation {
    mirrored: true,
    rotation: 5.0,
    lighting: 0.1,
    jitter: ColourJitter::even(0.4),
    ..Augmentation::NONE
};

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

impl weights::Network for Network {}

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

impl Refinement {
    /// Trains a network on defects laid over the good images.
    pub(super) fn fit(
        config: &PniConfig,
        model: &PatchModel,
        surroundings: Surroundings<'_>,
        trainer: &Trainer<'_>,
    ) -> Result<Self, Error> {
        let Surroundings { backbone, context, .. } = surroundings;
        let samples = Samples::make(config, model, surroundings)?;
        let (side, device) = (config.refine_side, trainer.device());
        let network = Network::new(backbone, side, &mut Init::new(!context.seed, &device))?;
        let plan = Plan::new(config.refine_steps, Optimiser::ADAM, Schedule::constant(config.refine_rate));
        let size = config.refine_batch.min(samples.kept.len());
        let kept = size * side * side * 64;
        let trained = trainer.run(
            "refinement",
            network,
            plan,
            kept,
            |step| {
                let chosen = batch_of(step, samples.kept.len(), size, context.seed);
                let changed = |(place, &index): (usize, &usize)| {
                    let seed = seed_of(context.seed, step * size as u64 + place as u64);
                    AUGMENTATION.apply(samples.kept.row(0, index), (side, side), seed)
                };
                let rows: Vec<f32> = chosen.iter().enumerate().flat_map(changed).collect();
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
        network_state::store(&self.network, "refinement.", &self.curve, state);
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
            return Err(wrong(
                "refinement_levels",
                format!("does not hold two ascending levels: {low} and {high}"),
            ));
        }
        let blank = Network::new(backbone, config.refine_side, &mut Init::blank(&scoring_device(device)?))?;
        let (network, curve) = network_state::load(blank, "refinement.", state)?;
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
