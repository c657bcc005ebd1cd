//! Fitting: the memory, then the training on simulated defects.

use super::MemSeg;
use super::config::{MemSegConfig, NAME, Rules};
use super::cost::{kept, products};
use super::last_stage::LastStage;
use super::memory::{Layers, Memory, check_taps};
use super::network::{Network, Seen, Widths};
use super::samples::Samples;
use crate::shared::kept::Kept;
use crate::shared::map_size::MapSize;
use crate::shared::trainer::Trainer;
use blemish_core::error::Error;
use blemish_core::feature_batch::FeatureBatch;
use blemish_core::method::{FitContext, TrainingSet};
use blemish_core::preset::Preset;
use blemish_data::ImageBatch;
use blemish_data::loader::order_of;
use blemish_features::Backbone;
use blemish_nn::init::Init;
use blemish_nn::layers::Phase;
use blemish_nn::loss::{Focal, FocalForm, l1, two_classes};
use blemish_nn::train::{Decay, Optimiser, Plan, Schedule};
use blemish_nn::{Device, Module, Tensor, TensorData};
use burn::tensor::activation::softmax;

/// Images that the backbone is given at once.
const TOGETHER: usize = 8;

/// Good images whose maps of differences are averaged, at most.
const AVERAGED: usize = 64;

/// The rate ends at this share of its height.
const FLOOR: f64 = 1.0 / 30.0;

/// The loss of logits, B x 2 x H x W, at masks, B x 1 x H x W of 0 and 1: with p the probability of a defect, share * mean |p - mask| +
/// (1 - share) * focal.
pub(super) fn loss(config: &MemSegConfig, logits: Tensor<4>, masks: Tensor<4>) -> Tensor<1> {
    let probabilities = softmax(logits, 1);
    let defective = probabilities.clone().narrow(1, 1, 1);
    let focal =
        Focal { gamma: config.gamma, smoothing: config.rules().smoothing, form: FocalForm::EachClass };
    l1(defective, masks.clone()) * config.l1_share
        + focal.forward(probabilities, two_classes(masks)) * (1.0 - config.l1_share)
}

/// The rule of updates: AdamW, its rate rising over the first tenth of the steps, then falling along a cosine.
pub(super) fn plan(config: &MemSegConfig) -> Plan {
    let schedule = Schedule {
        rate: config.rate,
        warm_up: config.steps / 10,
        decay: Decay::Cosine { floor: config.rate * FLOOR, stairs: 0 },
    };
    let optimiser = Optimiser { decay: config.weight_decay, ..Optimiser::ADAM_W };
    Plan::new(config.steps, optimiser, schedule)
}

/// Channels of layers.
pub(super) fn widths(layers: &Layers) -> Widths {
    let channels = |size: &MapSize| size.channels;
    Widths {
        stem: layers.has_stem.then(|| layers.sizes[0].channels),
        levels: layers.levels().iter().map(channels).collect(),
    }
}

/// The network for maps of the backbone, as it begins.
pub(super) fn network(
    config: &MemSegConfig,
    backbone: &Backbone,
    layers: &Layers,
    init: &mut Init,
) -> Result<Network, Error> {
    let widths = widths(layers);
    let (_, is_last_trained) = taps_of(backbone)?;
    let last_stage = match (is_last_trained, backbone.taps().last(), widths.levels.last()) {
        (true, Some(tap), _) => (LastStage::of_backbone(backbone, init)?, tap.channels),
        (_, _, deepest) => {
            let channels = deepest.copied().unwrap_or(1);
            (LastStage::own(channels, init), 2 * channels)
        }
    };
    Ok(Network::new(config, &widths, last_stage, init))
}

/// Whether the first tap is the stem's, and whether the last ends what is trained.
fn taps_of(backbone: &Backbone) -> Result<(bool, bool), Error> {
    check_taps(&backbone.taps().iter().map(|tap| tap.stride).collect::<Vec<_>>())
}

/// Images as a batch.
fn batch_of_images(pixels: Vec<f32>, (height, width): (usize, usize)) -> ImageBatch {
    let count = pixels.len() / (3 * height * width).max(1);
    ImageBatch::new(count, height, width, pixels, None)
}

/// Calls `each` with the features of some images, batch by batch, and their numbers.
fn for_features(
    images: &Kept,
    numbers: &[usize],
    backbone: &Backbone,
    context: &FitContext<'_>,
    mut each: impl FnMut(&FeatureBatch, &[usize]) -> Result<(), Error>,
) -> Result<(), Error> {
    for numbers in numbers.chunks(TOGETHER) {
        context.check_cancelled()?;
        let batch = batch_of_images(images.values(0, numbers), images.sizes()[0].grid());
        each(&FeatureBatch::extract(backbone, &batch)?, numbers)?;
        context.observer.advance(numbers.len() as u64);
    }
    Ok(())
}

/// The memory with the images that it is made of.
struct Remembered {
    memory: Memory,
    /// Numbers of the images.
    images: Vec<usize>,
    /// Whether training images find themselves.
    finds_itself: bool,
}

impl Remembered {
    /// Draws the images and keeps their features.
    fn new(
        config: &MemSegConfig,
        images: &Kept,
        backbone: &Backbone,
        context: &FitContext<'_>,
    ) -> Result<Self, Error> {
        let (has_stem, is_last_trained) = taps_of(backbone)?;
        let mut chosen = order_of(images.len(), Some(context.seed));
        chosen.truncate(config.memory);
        context.observer.stage("filling the memory", Some(chosen.len() as u64));
        let mut sizes = Vec::new();
        let mut items: Vec<Vec<f32>> = Vec::new();
        for_features(images, &chosen, backbone, context, |batch, _| {
            let read = batch.maps.len() - usize::from(is_last_trained);
            let levels = &batch.maps[usize::from(has_stem)..read];
            sizes = batch.maps[..read].iter().map(MapSize::of).collect();
            items.resize_with(levels.len(), Vec::new);
            items.iter_mut().zip(levels).for_each(|(items, map)| items.extend_from_slice(&map.data));
            Ok(())
        })?;
        let memory = Memory::new(Layers { sizes, has_stem }, chosen.len(), items);
        // A memory without an image has nothing to compare with.
        let finds_itself = config.finds_itself || chosen.len() == 1;
        let remembered = Self { memory, images: chosen, finds_itself };
        if config.scaled {
            remembered.scaled(images, backbone, &config.rules(), context)
        } else {
            Ok(remembered)
        }
    }

    /// The item that a training image does not look at.
    fn hidden(&self, image: usize) -> Option<usize> {
        self.images.iter().position(|&own| own == image).filter(|_| !self.finds_itself)
    }

    /// With the maps of differences divided by their means over good images, each compared with others.
    fn scaled(
        mut self,
        images: &Kept,
        backbone: &Backbone,
        rules: &Rules,
        context: &FitContext<'_>,
    ) -> Result<Self, Error> {
        let mut shown = order_of(images.len(), Some(!context.seed));
        shown.truncate(AVERAGED);
        context.observer.stage("comparing good images", Some(shown.len() as u64));
        let mut sums = vec![0.0f64; self.memory.layers().levels().len()];
        let first = usize::from(self.memory.layers().has_stem);
        for_features(images, &shown, backbone, context, |batch, numbers| {
            for (at, &number) in numbers.iter().enumerate() {
                let single = batch.single(at);
                let features: Vec<&[f32]> =
                    single.maps[first..][..sums.len()].iter().map(|map| &map.data[..]).collect();
                let hidden =
                    self.images.iter().position(|&own| own == number).filter(|_| self.images.len() > 1);
                for (sum, map) in sums.iter_mut().zip(&self.memory.compare(&features, rules, hidden).spatial)
                {
                    *sum += map.iter().map(|&value| f64::from(value)).sum::<f64>() / map.len() as f64;
                }
            }
            Ok(())
        })?;
        // Images that are all the same, or the only one, have no difference to measure others by.
        let scale = |sum: f64| (sum / shown.len() as f64) as f32;
        let scales =
            sums.into_iter().map(|sum| if scale(sum) > f32::MIN_POSITIVE { scale(sum) } else { 1.0 });
        self.memory = self.memory.scaled(scales.collect());
        Ok(self)
    }
}

/// What a step learns from.
struct Lesson {
    seen: Seen,
    masks: Tensor<4>,
}

/// Step number `step`: samples, the frozen part on them, what the memory says of each.
fn lesson(
    config: &MemSegConfig,
    samples: &Samples,
    remembered: &Remembered,
    backbone: &Backbone,
    step: u64,
    device: &Device,
) -> Result<Lesson, Error> {
    let (height, width) = samples.size();
    let batch = samples.batch(step, config.batch);
    let pixels = batch.iter().flat_map(|(_, sample)| &sample.image).copied().collect();
    let features = FeatureBatch::extract(backbone, &batch_of_images(pixels, (height, width)))?;
    let hidden = |at: usize| remembered.hidden(batch[at].0);
    let seen = remembered.memory.look(&features, 0..batch.len(), &config.rules(), &hidden, device)?;
    let masks: Vec<f32> = batch.iter().flat_map(|(_, sample)| &sample.mask).copied().collect();
    let masks = Tensor::from_data(TensorData::new(masks, [batch.len(), 1, height, width]), device);
    Ok(Lesson { seen, masks })
}

/// Fits.
pub(super) fn fit(
    config: &MemSegConfig,
    good: &dyn TrainingSet,
    context: &FitContext<'_>,
) -> Result<MemSeg, Error> {
    let backbone = context.require_backbone(NAME)?;
    taps_of(&backbone)?;
    let samples = Samples::collect(config, good, context)?;
    if samples.images.len() == 1 {
        context.observer.warn(
            "there is one good image: how good ones differ from each other cannot be learned, so all that differs from it may be marked",
        );
    }
    let remembered = Remembered::new(config, &samples.images, &backbone, context)?;
    let layers = remembered.memory.layers();
    let size = samples.size();
    let work =
        |config: &MemSegConfig| products(config, layers, size) * (config.steps * config.batch as u64) as f64;
    let other = if config.preset == Preset::Cpu { Preset::Paper } else { Preset::Cpu };
    let ratio = work(&MemSegConfig::of(other)) / work(config);
    let trainer = Trainer::new(NAME, config, samples.digest(), 1, context)?.beside(other, ratio);
    let device = trainer.device();
    let network = network(config, &backbone, layers, &mut Init::new(context.seed, &device))?;
    let activations = config.batch * kept(config, layers, size);
    let trained = trainer.run(
        NAME,
        network,
        plan(config),
        activations,
        |step| lesson(config, &samples, &remembered, &backbone, step, &device),
        |network: &Network, Lesson { seen, masks }| {
            loss(config, network.forward(&seen, Phase::Training), masks)
        },
    )?;
    let (network, curve) = (trained.network.valid(), trained.curve);
    Ok(MemSeg { config: config.clone(), memory: remembered.memory, network, curve })
}
