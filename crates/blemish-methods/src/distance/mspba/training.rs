//! Training: images held ready, batches by step number, and the loss of a step.

use super::config::{Input, MspbaConfig, NAME, Passes, SIZES};
use super::losses::{cluster_loss, near_loss};
use super::network::{Network, layer_strides};
use super::sampling::{Field, Item};
use crate::shared::kept::{Kept, Planes};
use crate::shared::tensors::{device_of, values_of};
use crate::shared::trainer::{Trainer, batch_of, gaussian};
use blemish_core::error::Error;
use blemish_core::method::{FitContext, Pass, TrainingSet};
use blemish_features::Backbone;
use blemish_kernels::k_means::k_means;
use blemish_nn::loss::cross_entropy;
use blemish_nn::train::{Curve, Optimiser, Plan, Schedule};
use blemish_nn::{Device, Module, Tensor, TensorData};
use burn::module::Param;
use burn::tensor::Int;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;

/// Sides of images are multiples of it: every layer's grid then fits, and patches cover every pixel.
pub(super) const MULTIPLE: usize = 16;

/// The smallest side of images: two patches of the largest size beside each other.
const SMALLEST: usize = 128;

/// Part of the training without the k-means loss, and parts after it, each with centres of its own.
const CLUSTER_PARTS: u64 = 4;

/// Rounds of k-means.
const CLUSTER_ROUNDS: usize = 30;

/// Patches of each size that centres are found for.
const CLUSTERED: usize = 4096;

/// The training images.
pub(super) struct Images {
    kept: Kept,
    /// Height and width.
    pub(super) size: (usize, usize),
    pub(super) centring: Centring,
}

/// How pixels become what enters the encoders.
#[derive(Clone)]
pub(super) struct Centring {
    /// Mean of every pixel and channel of the training images, 3 x H x W.
    pub(super) mean: Vec<f32>,
    /// Factor of each channel.
    pub(super) factors: [f32; 3],
}

impl Centring {
    /// (pixel - mean) * factor.
    pub(super) fn apply(&self, image: &[f32]) -> Vec<f32> {
        let plane = (self.mean.len() / 3).max(1);
        let channels = image.chunks_exact(plane).zip(self.mean.chunks_exact(plane)).zip(self.factors);
        channels
            .flat_map(|((image, mean), factor)| {
                image.iter().zip(mean).map(move |(value, mean)| (value - mean) * factor)
            })
            .collect()
    }
}

/// What the settings multiply centred channels with.
pub(super) fn factors(config: &MspbaConfig, backbone: &Backbone) -> [f32; 3] {
    match config.input {
        Input::Standardised => backbone.normalization().std.map(|deviation| 1.0 / deviation),
        Input::Centred => [1.0; 3],
    }
}

impl Images {
    /// One pass over the images.
    pub(super) fn collect(
        train: &dyn TrainingSet,
        factors: [f32; 3],
        context: &FitContext<'_>,
    ) -> Result<Self, Error> {
        let kept = Kept::collect(NAME, train, Pass::IMAGES, context, "reading images", |input| {
            let batch = input.images()?;
            check_size((batch.height, batch.width))?;
            Ok(vec![Planes::of_images(batch)])
        })?;
        let centring = Centring { mean: mean_image(&kept), factors };
        Ok(Self { size: kept.sizes()[0].grid(), kept, centring })
    }

    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    /// An image as it enters the encoders.
    pub(super) fn centred(&self, index: usize) -> Vec<f32> {
        self.centring.apply(self.kept.row(0, index))
    }
}

/// Mean of every pixel and channel.
fn mean_image(kept: &Kept) -> Vec<f32> {
    let mut sums = vec![0.0f64; kept.sizes()[0].values()];
    for image in kept.layer(0).chunks_exact(sums.len()) {
        sums.iter_mut().zip(image).for_each(|(sum, &value)| *sum += f64::from(value));
    }
    sums.into_iter().map(|sum| (sum / kept.len() as f64) as f32).collect()
}

pub(super) fn check_size((height, width): (usize, usize)) -> Result<(), Error> {
    let fits = |side: usize| side >= SMALLEST && side.is_multiple_of(MULTIPLE);
    if fits(height) && fits(width) {
        return Ok(());
    }
    let reason = format!(
        "images are {width}x{height}, but sides must be multiples of {MULTIPLE}, {SMALLEST} at least, for patches to cover every pixel; \
         resize all images to such a size"
    );
    Err(Error::Fit { method: NAME, reason })
}

/// What a step learns from.
pub(super) struct Batch {
    pixels: Pixels,
    /// In the order of [`SIZES`].
    samples: Vec<Samples>,
}

enum Pixels {
    /// N x 3 x height x width.
    Images(Box<Tensor<4>>),
    /// For each patch size its patches, items x 3 x K x K for each role, one role after the other.
    Patches(Vec<Tensor<4>>),
}

/// Items of one patch size.
struct Samples {
    classes: Tensor<1, Int>,
    /// Where the embedding of each patch lies in a dense pass, in the order of [`Pixels::Patches`].
    places: Option<Tensor<1, Int>>,
}

/// Roles of an item's patches: two of a direction, three of near and far, one to be clustered.
const ROLES: usize = 6;

fn corners(item: &Item) -> [(usize, usize); ROLES] {
    let ([a, b], [c, d, e]) = (item.pair, item.triple);
    [a, b, c, d, e, item.single]
}

/// Makes batches.
pub(super) struct Sampler<'a> {
    pub(super) config: &'a MspbaConfig,
    pub(super) images: &'a Images,
    /// Stride of the layer of each patch size.
    pub(super) strides: [usize; 3],
    pub(super) seed: u64,
    pub(super) device: Device,
}

impl Sampler<'_> {
    /// What step number `step` learns from.
    pub(super) fn batch(&self, step: u64) -> Batch {
        let chosen = batch_of(step, self.images.len(), self.config.batch, self.seed);
        // Another stream than the shuffling's.
        let mut random = ChaCha12Rng::seed_from_u64(self.seed ^ 0x6d73_7062_6100_0000);
        random.set_stream(step);
        match self.config.passes {
            Passes::Dense => self.dense(&chosen, &mut random),
            Passes::Exact => self.exact(&chosen, &mut random),
        }
    }

    fn classes(&self, items: &[Item]) -> Tensor<1, Int> {
        let classes: Vec<i32> = items.iter().map(|item| item.class as i32).collect();
        Tensor::from_data(TensorData::new(classes, [items.len()]), &self.device)
    }

    /// Images cut by a random offset within a cell of the coarsest layer, so that places lie anywhere, with noise.
    fn dense(&self, chosen: &[usize], random: &mut ChaCha12Rng) -> Batch {
        let (height, width) = (self.images.size.0 - MULTIPLE, self.images.size.1 - MULTIPLE);
        let mut pixels = Vec::with_capacity(chosen.len() * 3 * height * width);
        for &index in chosen {
            let image = self.images.centred(index);
            let corner = (random.random_range(0..MULTIPLE), random.random_range(0..MULTIPLE));
            let mut cut = cut(&image, self.images.size, corner, (height, width));
            self.add_noise(&mut cut, height * width, random);
            pixels.extend(cut);
        }
        let samples = SIZES.into_iter().zip(self.strides).map(|(patch, step)| {
            let field = Field { patch, step, last: (height - patch, width - patch) };
            let (rows, columns) = (field.last.0 / step + 1, field.last.1 / step + 1);
            let items: Vec<(usize, Item)> = (0..chosen.len())
                .flat_map(|image| (0..self.config.repeats).map(move |_| image))
                .map(|image| (image, field.item(self.config.directions, random)))
                .collect();
            let place = |role: usize| {
                items.iter().map(move |(image, item)| {
                    let (row, column) = corners(item)[role];
                    ((image * rows + row / step) * columns + column / step) as i32
                })
            };
            let places: Vec<i32> = (0..ROLES).flat_map(place).collect();
            let places = Tensor::from_data(TensorData::new(places, [ROLES * items.len()]), &self.device);
            let items: Vec<Item> = items.iter().map(|(_, item)| *item).collect();
            Samples { classes: self.classes(&items), places: Some(places) }
        });
        let samples = samples.collect();
        let input =
            Tensor::from_data(TensorData::new(pixels, [chosen.len(), 3, height, width]), &self.device);
        Batch { pixels: Pixels::Images(Box::new(input)), samples }
    }

    /// Patches cut out, those of the direction pair with noise.
    fn exact(&self, chosen: &[usize], random: &mut ChaCha12Rng) -> Batch {
        let size = self.images.size;
        let images: Vec<Vec<f32>> = chosen.iter().map(|&index| self.images.centred(index)).collect();
        let mut inputs = Vec::new();
        let mut samples = Vec::new();
        for patch in SIZES {
            let field = Field { patch, step: 1, last: (size.0 - patch, size.1 - patch) };
            let drawn: Vec<(usize, Item)> = (0..images.len())
                .flat_map(|image| (0..self.config.repeats).map(move |_| image))
                .map(|image| (image, field.item(self.config.directions, random)))
                .collect();
            let mut pixels = Vec::with_capacity(ROLES * drawn.len() * 3 * patch * patch);
            for role in 0..ROLES {
                for (image, item) in &drawn {
                    let mut cut = cut(&images[*image], size, corners(item)[role], (patch, patch));
                    if role < 2 {
                        self.add_noise(&mut cut, patch * patch, random);
                    }
                    pixels.extend(cut);
                }
            }
            let shape = [ROLES * drawn.len(), 3, patch, patch];
            inputs.push(Tensor::from_data(TensorData::new(pixels, shape), &self.device));
            let items: Vec<Item> = drawn.into_iter().map(|(_, item)| item).collect();
            samples.push(Samples { classes: self.classes(&items), places: None });
        }
        Batch { pixels: Pixels::Patches(inputs), samples }
    }

    /// Adds noise to every pixel and a shift to every channel, all normal.
    fn add_noise(&self, pixels: &mut [f32], plane: usize, random: &mut impl Rng) {
        if self.config.noise <= 0.0 {
            return;
        }
        for (channel, factor) in pixels.chunks_exact_mut(plane).zip(self.images.centring.factors) {
            let deviation = self.config.noise * factor;
            let shift = deviation * gaussian(random);
            channel.iter_mut().for_each(|value| *value += shift + deviation * gaussian(random));
        }
    }
}

/// A window of 3 x H x W pixels, 3 x height x width.
pub(super) fn cut(
    image: &[f32],
    size: (usize, usize),
    (top, left): (usize, usize),
    (height, width): (usize, usize),
) -> Vec<f32> {
    let mut window = Vec::with_capacity(3 * height * width);
    for plane in image.chunks_exact(size.0 * size.1) {
        for row in top..top + height {
            window.extend_from_slice(&plane[row * size.1 + left..][..width]);
        }
    }
    window
}

/// N x D x rows x columns to (N x rows x columns) x D.
pub(super) fn as_rows(map: Tensor<4>) -> Tensor<2> {
    let [count, dimension, rows, columns] = map.dims();
    map.reshape([count, dimension, rows * columns])
        .swap_dims(1, 2)
        .reshape([count * rows * columns, dimension])
}

impl Batch {
    /// Embeddings of the patches of each size, (roles x items) x D.
    fn embeddings(self, network: &Network) -> Vec<(Tensor<2>, Tensor<1, Int>)> {
        let maps = match self.pixels {
            Pixels::Images(images) => network.embed_all(*images),
            Pixels::Patches(patches) => {
                let patches = patches.into_iter().enumerate();
                patches.map(|(part, patches)| network.embed(part, patches)).collect()
            }
        };
        let pairs = maps.into_iter().zip(self.samples);
        pairs
            .map(|(map, samples)| {
                let rows = as_rows(map);
                let rows = match samples.places {
                    Some(places) => rows.select(0, places),
                    None => rows,
                };
                (rows, samples.classes)
            })
            .collect()
    }

    /// Sum over the patch sizes of direction loss + lambda near loss + cluster weight k-means loss.
    fn loss(self, network: &Network, lambda: f64, cluster_weight: f64) -> Tensor<1> {
        let embedded = self.embeddings(network).into_iter().zip(&network.parts);
        let losses = embedded.map(|((rows, classes), part)| {
            let items = classes.dims()[0];
            let role = |number: usize| rows.clone().narrow(0, number * items, items);
            let logits = part.classifier.forward(role(0) - role(1));
            let loss = cross_entropy(logits, classes) + near_loss(role(2), role(3), role(4)) * lambda;
            match cluster_weight > 0.0 {
                true => loss + cluster_loss(role(5), part.centres.val()) * cluster_weight,
                false => loss,
            }
        });
        losses.reduce(|a, b| a + b).unwrap_or_else(|| unreachable!("there are three patch sizes"))
    }
}

/// Trains the network: with the k-means loss in parts, since centres are found anew between them; the curve is then the last part's.
pub(super) fn train(
    config: &MspbaConfig,
    images: &Images,
    backbone: &Backbone,
    network: Network,
    context: &FitContext<'_>,
) -> Result<(Network, Curve), Error> {
    let device = device_of(&network).autodiff();
    let strides = layer_strides(backbone)?;
    let sampler = Sampler { config, images, strides, seed: context.seed, device };
    let per_epoch = (images.len() / config.batch.min(images.len()).max(1)).max(1) as u64;
    let steps = config.epochs * per_epoch;
    let optimiser = Optimiser::ADAM;
    let plan = |steps| Plan::new(steps, optimiser, Schedule::constant(config.rate));
    let kept = kept_values(config, images, backbone)?;
    if config.cluster_weight <= 0.0 {
        let trainer = Trainer::new(NAME, config, images.kept.digest(), 1, context)?
            .beside(config.preset.other(), config.other_work());
        let batch = |step| Ok(sampler.batch(step));
        let loss = |network: &Network, batch: Batch| batch.loss(network, config.lambda, 0.0);
        let trained = trainer.run(NAME, network, plan(steps), kept, batch, loss)?;
        return Ok((trained.network, trained.curve));
    }
    let trainer = Trainer::new(NAME, config, images.kept.digest(), 1 + CLUSTER_PARTS as usize, context)?
        .beside(config.preset.other(), config.other_work());
    let (mut network, mut curve, mut done) = (network, Curve::default(), 0);
    for part in 0..=CLUSTER_PARTS {
        let ends = (steps / 10).max(1) + (steps - (steps / 10).max(1)) * part / CLUSTER_PARTS;
        let weight = if part == 0 { 0.0 } else { config.cluster_weight };
        if part > 0 {
            context.observer.stage("grouping patches", None);
            network = with_centres(network, &sampler, part)?;
        }
        let batch = |step| Ok(sampler.batch(done + step));
        let loss = |network: &Network, batch: Batch| batch.loss(network, config.lambda, weight);
        let name = format!("{NAME} part {}", part + 1);
        let trained = trainer.run(&name, network, plan((ends - done).max(1)), kept, batch, loss)?;
        (network, curve, done) = (trained.network, trained.curve, ends);
    }
    Ok((network, curve))
}

/// About how many values a step keeps for its gradients: those of all nodes of the backbone.
fn kept_values(config: &MspbaConfig, images: &Images, backbone: &Backbone) -> Result<usize, Error> {
    let (graph, _) = backbone.network()?;
    let nodes = graph.nodes.iter().filter(|node| node.stride > 0);
    let a_pixel: f64 = nodes.map(|node| node.channels as f64 / (node.stride * node.stride) as f64).sum();
    let pixels: usize = match config.passes {
        Passes::Dense => images.size.0 * images.size.1,
        Passes::Exact => ROLES * config.repeats * SIZES.iter().map(|side| side * side).sum::<usize>(),
    };
    Ok(config.batch.min(images.len()) * (pixels as f64 * a_pixel) as usize)
}

/// The network with centres of its own embeddings of some training patches.
fn with_centres(mut network: Network, sampler: &Sampler<'_>, part: u64) -> Result<Network, Error> {
    let per_step = sampler.config.batch.min(sampler.images.len()) * sampler.config.repeats;
    let mut found: Vec<Vec<f32>> = vec![Vec::new(); network.parts.len()];
    // Without gradients, whose graph would be kept until the next step of the training.
    let frozen = network.valid();
    let Sampler { config, images, strides, seed, .. } = *sampler;
    let device = device_of(&frozen);
    let sampler = &Sampler { config, images, strides, seed, device: device.clone() };
    // Steps of no training.
    for number in 0..CLUSTERED.div_ceil(per_step.max(1)) as u64 {
        let batch = sampler.batch(u64::MAX - (part << 32) - number);
        for (found, (rows, classes)) in found.iter_mut().zip(batch.embeddings(&frozen)) {
            let items = classes.dims()[0];
            found.extend(values_of(rows.narrow(0, 5 * items, items))?);
        }
    }
    let dimension = sampler.config.dimension;
    for (part, points) in network.parts.iter_mut().zip(found) {
        let centres = k_means(&points, dimension, sampler.config.clusters, CLUSTER_ROUNDS, sampler.seed)
            .map_err(|error| Error::Fit { method: NAME, reason: error.to_string() })?;
        // Fewer distinct embeddings than centres: some centres come twice.
        let wanted = sampler.config.clusters * dimension;
        let centres: Vec<f32> = centres.iter().copied().cycle().take(wanted).collect();
        let data = TensorData::new(centres, [sampler.config.clusters, dimension]);
        let centres = Param::from_tensor(Tensor::from_data(data, &device.clone().autodiff()));
        part.centres = centres.set_require_grad(false);
    }
    Ok(network)
}

/// Strides of the layers of a backbone, checked: patches of the settings must lie on them.
pub(super) fn checked_strides(config: &MspbaConfig, backbone: &Backbone) -> Result<[usize; 3], Error> {
    let strides = layer_strides(backbone)?;
    let own =
        [("stride_64", config.stride_64), ("stride_32", config.stride_32), ("stride_16", config.stride_16)];
    for ((key, stride), layer) in own.into_iter().zip(strides) {
        let is_on_grid =
            config.passes == Passes::Exact || patch_stride(config, stride, layer).is_multiple_of(layer);
        if !MULTIPLE.is_multiple_of(stride) || !is_on_grid {
            return Err(Error::Setting {
                key: key.into(),
                reason: format!(
                    "patches every {stride} pixels do not cover every pixel or miss the layer's grid of {layer}"
                ),
                help: "allowed: 1, 2, 4, 8, 16".into(),
            });
        }
    }
    Ok(strides)
}

/// Pixels between patches: what is set, with dense passes at least the layer's stride.
pub(super) fn patch_stride(config: &MspbaConfig, stride: usize, layer: usize) -> usize {
    if config.passes == Passes::Dense { stride.max(layer) } else { stride }
}

#[cfg(test)]
impl Batch {
    /// Bits of all pixels.
    pub(super) fn pixels(&self) -> Vec<u32> {
        let tensors = match &self.pixels {
            Pixels::Images(images) => std::slice::from_ref(&**images),
            Pixels::Patches(patches) => &patches[..],
        };
        let bits = |tensor: &Tensor<4>| values_of(tensor.clone()).unwrap_or_default();
        tensors.iter().flat_map(bits).map(f32::to_bits).collect()
    }
}
