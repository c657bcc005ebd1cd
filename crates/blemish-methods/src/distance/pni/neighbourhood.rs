//! p(c | N): how likely each entry of the distribution coreset is given the features around a position.
//!
//! A perceptron on the window around the position without its centre. Its first layer is the 9 x 9 convolution without a centre tap;
//! it runs on gathered rows, some hundreds of positions at a time, so that it is one large matrix product and the vectors of all
//! positions never exist at once.

use super::config::{PniConfig, Variant};
use super::grid::PatchGrid;
use crate::shared::tensors::{device_of, values_of};
use crate::shared::trainer::Trainer;
use blemish_core::error::Error;
use blemish_data::loader::order_of;
use blemish_nn::init::Init;
use blemish_nn::layers::{BatchNorm, Dense};
use blemish_nn::loss::cross_entropy;
use blemish_nn::train::{Curve, Decay, Optimiser, Plan, Schedule, Selection};
use blemish_nn::weights::Network;
use blemish_nn::{Device, Module, Tensor, TensorData};
use burn::tensor::{Int, activation};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

/// Positions that are scored at once: bounds memory.
const SCORED_AT_ONCE: usize = 256;

/// Most rows that moments are settled by and epochs are judged by.
const JUDGES: usize = 2048;

/// The features around positions: images x cells x dimensions.
pub(super) struct Neighbours<'a> {
    pub(super) values: &'a [f32],
    pub(super) dimensions: usize,
    pub(super) grid: PatchGrid,
    pub(super) half_window: usize,
    pub(super) variant: Variant,
}

impl Neighbours<'_> {
    /// The offsets of a window that belong to a neighbourhood, row-major: all but the centre; as released all but the one right of it.
    pub(super) fn offsets(half_window: usize, variant: Variant) -> Vec<(isize, isize)> {
        let half = half_window as isize;
        let left_out = match variant {
            Variant::Published => (0, 0),
            Variant::Released => (0, 1),
        };
        let window = (-half..=half).flat_map(|dy| (-half..=half).map(move |dx| (dy, dx)));
        window.filter(|&offset| offset != left_out).collect()
    }

    /// Length of a neighbourhood's vector.
    pub(super) fn length(&self) -> usize {
        ((2 * self.half_window + 1).pow(2) - 1) * self.dimensions
    }

    /// The vectors of some positions (image times cells plus cell), one after another; zeros beyond the grid.
    pub(super) fn gather(&self, positions: &[usize]) -> Vec<f32> {
        let PatchGrid { height, width, .. } = self.grid;
        let offsets = Self::offsets(self.half_window, self.variant);
        let (length, dimensions) = (self.length(), self.dimensions);
        let mut rows = vec![0.0f32; positions.len() * length];
        rows.par_chunks_exact_mut(length).zip(positions).for_each(|(row, &position)| {
            let (image, cell) = (position / self.grid.cells(), position % self.grid.cells());
            for (part, &(dy, dx)) in row.chunks_exact_mut(dimensions).zip(&offsets) {
                let y = (cell / width).checked_add_signed(dy).filter(|&y| y < height);
                let x = (cell % width).checked_add_signed(dx).filter(|&x| x < width);
                if let (Some(y), Some(x)) = (y, x) {
                    let from = image * self.grid.cells() + y * width + x;
                    part.copy_from_slice(&self.values[from * dimensions..][..dimensions]);
                }
            }
        });
        rows
    }

    fn tensor(&self, positions: &[usize], device: &Device) -> Tensor<2> {
        Tensor::from_data(TensorData::new(self.gather(positions), [positions.len(), self.length()]), device)
    }
}

/// A linear layer with batch normalisation, ReLU and, while training, dropout.
#[derive(Module, Debug)]
struct Hidden {
    dense: Dense,
    norm: BatchNorm,
}

/// From neighbourhoods to logits of the distribution coreset's entries.
#[derive(Module, Debug)]
pub(super) struct Perceptron {
    hidden: Vec<Hidden>,
    output: Dense,
}

impl Network for Perceptron {}

impl Perceptron {
    pub(super) fn new(config: &PniConfig, inputs: usize, outputs: usize, init: &mut Init) -> Self {
        let (mut from, mut hidden) = (inputs, Vec::new());
        for _ in 1..config.layers() {
            let dense = Dense::new(from, config.width(), init);
            hidden.push(Hidden { dense, norm: BatchNorm::new(config.width(), init) });
            from = config.width();
        }
        Self { hidden, output: Dense::new(from, outputs, init) }
    }

    /// Logits while training; `kept` has for every hidden layer the factor of each value, 0 for a dropped one.
    fn learning(&self, x: Tensor<2>, kept: Vec<Tensor<2>>) -> Tensor<2> {
        let x =
            self.hidden.iter().zip(kept).fold(x, |x, (layer, kept)| {
                activation::relu(layer.norm.by_batch(layer.dense.rows(x))) * kept
            });
        self.output.rows(x)
    }

    /// Logits by settled moments.
    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let x = self
            .hidden
            .iter()
            .fold(x, |x, layer| activation::relu(layer.norm.by_settled(layer.dense.rows(x))));
        self.output.rows(x)
    }

    /// Takes the moments of these rows for scoring, layer by layer.
    fn settle(&mut self, x: Tensor<2>) {
        self.hidden.iter_mut().fold(x, |x, layer| {
            let x = layer.dense.rows(x);
            layer.norm.settle(&x);
            activation::relu(layer.norm.by_settled(x))
        });
    }

    /// Softmax of the logits over the temperature: positions x entries.
    pub(super) fn probabilities(
        &self,
        neighbours: &Neighbours<'_>,
        positions: &[usize],
        temperature: f64,
    ) -> Result<Vec<f32>, Error> {
        let device = device_of(self);
        let mut found = Vec::new();
        for positions in positions.chunks(SCORED_AT_ONCE) {
            let logits = self.forward(neighbours.tensor(positions, &device)) / temperature;
            found.extend(values_of(activation::softmax(logits, 1))?);
        }
        Ok(found)
    }
}

/// What the network learns from: positions and their nearest entries of the distribution coreset.
pub(super) struct Lessons<'a> {
    pub(super) neighbours: Neighbours<'a>,
    /// Positions to train on and their entries.
    pub(super) train: Vec<(usize, u32)>,
    /// Positions of other images, to choose the best epoch on; perhaps none.
    pub(super) validation: Vec<(usize, u32)>,
    /// Entries of the distribution coreset.
    pub(super) entries: usize,
}

impl Lessons<'_> {
    fn batch(&self, lessons: &[(usize, u32)], device: &Device) -> (Tensor<2>, Tensor<1, Int>) {
        let positions: Vec<usize> = lessons.iter().map(|lesson| lesson.0).collect();
        let targets: Vec<i32> = lessons.iter().map(|lesson| lesson.1 as i32).collect();
        let targets = Tensor::from_data(TensorData::new(targets, [lessons.len()]), device);
        (self.neighbours.tensor(&positions, device), targets)
    }

    /// An even choice of at most [`JUDGES`].
    fn judges(lessons: &[(usize, u32)], most: usize) -> Vec<(usize, u32)> {
        let count = lessons.len().min(most);
        (0..count).map(|index| lessons[index * lessons.len() / count]).collect()
    }
}

/// Trains the network; see [`Lessons`].
pub(super) fn train(
    config: &PniConfig,
    lessons: &Lessons<'_>,
    trainer: &Trainer<'_>,
    seed: u64,
) -> Result<(Perceptron, Curve), Error> {
    let device = trainer.device();
    let size = config.batch().min(lessons.train.len());
    let drawn = match config.positions() {
        0 => lessons.train.len(),
        positions => positions.min(lessons.train.len()),
    };
    let per_epoch = (drawn / size).max(1) as u64;
    let decay = Decay::Step { every: per_epoch * config.epochs.div_ceil(3), factor: 0.1 };
    let schedule = Schedule { rate: config.rate, warm_up: 0, decay };
    let plan = Plan::new(per_epoch * config.epochs, Optimiser::ADAM, schedule);
    let network =
        Perceptron::new(config, lessons.neighbours.length(), lessons.entries, &mut Init::new(seed, &device));
    let activations =
        size * (lessons.neighbours.length() + 5 * config.layers() * config.width() + 4 * lessons.entries);
    let scoring = device.clone().without_autodiff();
    let settling = Lessons::judges(&lessons.train, JUDGES.min(config.batch().max(256)));
    let settled = |network: &Perceptron| {
        let mut network = network.valid();
        network.settle(lessons.batch(&settling, &scoring).0);
        network
    };
    let judging = Lessons::judges(&lessons.validation, JUDGES);
    let cost = |network: &Perceptron| {
        let network = settled(network);
        let sums = judging.chunks(SCORED_AT_ONCE).map(|judges| {
            let (x, targets) = lessons.batch(judges, &scoring);
            cross_entropy(network.forward(x), targets).into_scalar::<f64>() * judges.len() as f64
        });
        sums.sum::<f64>() / judging.len() as f64
    };
    let selection = (!judging.is_empty()).then_some(Selection { every: per_epoch, cost: &cost });
    let mut order: Option<(u64, Vec<usize>)> = None;
    let trained = trainer.run_selecting(
        "neighbourhood",
        network,
        plan,
        activations,
        |step| {
            let (epoch, within) = (step / per_epoch, (step % per_epoch) as usize);
            let (_, order) = match order.take() {
                Some(kept) if kept.0 == epoch => order.insert(kept),
                _ => order.insert((epoch, order_of(lessons.train.len(), Some(mixed(seed, epoch))))),
            };
            let chosen: Vec<(usize, u32)> =
                order[within * size..][..size].iter().map(|&index| lessons.train[index]).collect();
            let (x, targets) = lessons.batch(&chosen, &device);
            Ok((x, kept_values(config, size, mixed(!seed, step), &device), targets))
        },
        |network: &Perceptron, (x, kept, targets)| cross_entropy(network.learning(x, kept), targets),
        selection,
    )?;
    Ok((settled(&trained.network), trained.curve))
}

/// A seed of its own for each number.
fn mixed(seed: u64, number: u64) -> u64 {
    seed.wrapping_add(number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// For every hidden layer of a step 0 for the values it drops and 1 / (1 - dropout) for those it keeps. From the seed alone, so that a
/// resumed training drops the same.
fn kept_values(config: &PniConfig, rows: usize, seed: u64, device: &Device) -> Vec<Tensor<2>> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let dropped = (config.dropout * f64::from(u32::MAX)) as u32;
    let factor = (1.0 / (1.0 - config.dropout)) as f32;
    (1..config.layers())
        .map(|_| {
            let values = (0..rows * config.width())
                .map(|_| if random.next_u32() < dropped { 0.0 } else { factor })
                .collect::<Vec<f32>>();
            Tensor::from_data(TensorData::new(values, [rows, config.width()]), device)
        })
        .collect()
}
