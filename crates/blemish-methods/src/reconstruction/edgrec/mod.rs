//! EdgRec: the colour image is painted from the edges of its grey image; what differs from the real one is anomalous.
//!
//! Liu et al., "Reconstruction from edge image combined with color and gradient difference for industrial surface anomaly detection", arXiv
//! 2210.14485. Nothing is pretrained. The network learns from edges of corrupted images to paint the clean ones, so it cannot copy
//! what it is given, and its skips keep detail that autoencoders lose.
//!
//! ```text
//! E = dilate(grey) - erode(grey)                 3 x 3, of the corrupted image in training
//! R = network(E)                                 encoder and decoder of DRAEM with added skips, aims at the clean image I
//! loss = mean (R - I)^2 + (1 - SSIM(R, I))
//! S = 1 - mean over channels and 2 scales of (2 g h + c) / (g^2 + h^2 + c), g and h Prewitt's gradients of I and R
//! C = mean over 11 x 11 of min((da)^2 + (db)^2, 255), a and b of CIELAB of 180/255 of the image
//! map = mean over 21 x 21 of S + 0.001 C; score = its maximum
//! ```
//! `colours=compat` computes C in 8 bits as the released code does, where a difference of 16 counts as none. Corruptions are large parts
//! put elsewhere, turned, and textures as DRAEM lays them: of `fit --textures DIR`, made up (the default), or of other training images
//! (`source=training`).
//!
//! # What it finds
//!
//! `blemish data synth` with 100 good images of 256 pixels and seed 11, `preset=cpu`, last step, seed 0; AUROC and AUPRO in percent:
//!
//! | look | image | pixel | AUPRO | each defect, image |
//! |---|---|---|---|---|
//! | fabric, half of the steps | 100.0 | 99.8 | 97.4 | all 100 |
//! | print | 79.4 | 98.5 | 93.3 | stain 99, smear 96, misprint 94, missing 85, scratch 23 |
//! | metal | 72.7 | 89.2 | 70.7 | pits 100, stain 99, scratch 42, dent 50 |
//!
//! What repeats or lies alike is painted well, and there maps are dark but for the defect. A thin scratch on a print is itself an edge: it is
//! painted with the rest, less than the bars of the print differ on good images. Brushed metal cannot be painted from its edges: they say how
//! strong a line is, not whether it is light or dark, and no two images have the same lines, so the loss stays at 0.2 and the map shows the
//! brushing. With 500 steps at 256 pixels prints came to 40 and metal to 65.8: every good print lit up where small parts had not got their
//! colour yet, which is little of the loss and most of the map. More steps teach it (77.6 after 1,500). The network has 8 channels, a sixteenth
//! of the paper's.
//!
//! # Deviations
//! - C is of real numbers and saturates instead of beginning anew (`colours=compat` for the released code's).
//! - The range of the similarity is 1 instead of being guessed from the network's output at every step.
//! - Parts are turned by any angle instead of whole numbers of radians, which are twelve angles.
//! - Every image comes once a round instead of being drawn with replacement.
//! - Channels are left out each with a third, and hue is turned by up to 90 of 255 parts of a turn, where the paper's settings are not known.

mod compare;
mod config;
mod corrupt;
mod export;
#[cfg(test)]
pub(crate) mod tests;

pub use config::{Colours, EdgRecConfig, Source};

use crate::shared::augment::{Augmentation, Beyond};
use crate::shared::defects::{DefectStream, digest_of, textures};
use crate::shared::network_state;
use crate::shared::repainter::{HALVINGS, Repainter, Shape, halves};
use crate::shared::tensors::{device_of, scoring_device, values_of};
use crate::shared::trainer::Trainer;
use blemish_core::error::Error;
use blemish_core::export::Export;
use blemish_core::input::Input;
use blemish_core::map::{MapStage, PatchScores};
use blemish_core::method::{Family, FitContext, Method, MethodInfo, Stored, TrainingSet};
use blemish_core::needs::Needs;
use blemish_core::preset::Preset;
use blemish_core::state::State;
use blemish_data::Transform;
use blemish_data::synth::kit::Textures;
use blemish_nn::init::Init;
use blemish_nn::layers::Phase;
use blemish_nn::loss::{Ssim, l2};
use blemish_nn::train::{Curve, Decay, Optimiser, Plan, Schedule};
use blemish_nn::{Device, Module, Tensor, TensorData};
use corrupt::Corruption;
use rayon::prelude::*;

const NAME: &str = "edgrec";

/// Training images that serve as textures, at most.
const OWN_TEXTURES: usize = 64;

/// A fitted EdgRec.
pub struct EdgRec {
    config: EdgRecConfig,
    network: Repainter,
    curve: Curve,
}

fn network(config: &EdgRecConfig, init: &mut Init) -> Repainter {
    Repainter::new(Shape { inputs: 1, width: config.width, skips: true, block: None }, init)
}

/// mean (R - I)^2 + (1 - SSIM(R, I)) of images painted from edges.
fn loss(network: &Repainter, (edges, good): (Tensor<4>, Tensor<4>)) -> Tensor<1> {
    let (painted, _) = network.forward(edges, Phase::Training);
    l2(painted.clone(), good.clone()) - Ssim::default().mean(painted, good) + 1.0
}

fn check_size(size: (usize, usize)) -> Result<(), String> {
    let (height, width) = size;
    if halves(size, HALVINGS) {
        return Ok(());
    }
    let multiple = 1 << HALVINGS;
    Err(format!(
        "images of {width}x{height} cannot be halved {HALVINGS} times; use sides that are multiples of {multiple}"
    ))
}

fn check_windows(config: &EdgRecConfig) -> Result<(), Error> {
    let windows = [
        ("edge", config.edge),
        ("gradient_window", config.gradient_window),
        ("colour_window", config.colour_window),
    ];
    match windows.into_iter().find(|(_, side)| side % 2 == 0) {
        None => Ok(()),
        Some((key, side)) => Err(Error::Setting {
            key: key.into(),
            reason: "a window without a middle cannot be laid around a pixel".into(),
            help: format!("set {key}={}", side + 1),
        }),
    }
}

/// Edges and clean images of a training step.
fn batch(
    stream: &DefectStream<Corruption>,
    config: &EdgRecConfig,
    step: u64,
    device: &Device,
) -> (Tensor<4>, Tensor<4>) {
    let size @ (height, width) = stream.size();
    let count = config.batch;
    let first = step.wrapping_mul(count as u64);
    let pair = |at: u64| {
        let sample = stream.sample(first.wrapping_add(at));
        (compare::edges(&sample.image, size, config.edge), sample.good)
    };
    let (edges, good): (Vec<_>, Vec<_>) = (0..count as u64).into_par_iter().map(pair).unzip();
    let tensor = |channels, values: Vec<Vec<f32>>| {
        Tensor::from_data(TensorData::new(values.concat(), [count, channels, height, width]), device)
    };
    (tensor(1, edges), tensor(3, good))
}

impl EdgRec {
    /// The image painted from the edges of one of 3 x H x W values.
    fn painted(&self, image: &[f32], size: (usize, usize)) -> Result<Vec<f32>, Error> {
        let edges = compare::edges(image, size, self.config.edge);
        let edges = TensorData::new(edges, [1, 1, size.0, size.1]);
        let edges = Tensor::from_data(edges, &device_of(&self.network));
        values_of(self.network.forward(edges, Phase::Scoring).0)
    }
}

impl Method for EdgRec {
    type Config = EdgRecConfig;

    const INFO: MethodInfo = MethodInfo {
        name: NAME,
        summary: "paints the colour image from the edges of its grey one and compares gradients and colours",
        advice: "where weights must be trained in house and reconstructions should be seen; colour defects inside flat areas show by their outline and colour only",
        citation: "Liu et al., Reconstruction from edge image combined with color and gradient difference for industrial surface anomaly detection, arXiv 2210.14485",
        family: Family::Reconstruction,
    };

    fn preset(preset: Preset) -> Option<Self::Config> {
        Some(EdgRecConfig::of(preset))
    }

    const EXPORT: Export<Self> = Export::Written(export::write);

    fn needs(_: &Self::Config) -> Needs {
        Needs::of_images().training_long().laying_textures()
    }

    fn default_transform(config: &Self::Config) -> Transform {
        Transform::resize_to(config.side, config.side)
    }

    fn fit(config: &Self::Config, good: &dyn TrainingSet, context: &FitContext<'_>) -> Result<Self, Error> {
        check_windows(config)?;
        let augmentation = Augmentation {
            turned: config.turned,
            rotation: config.rotation,
            beyond: Beyond::Zeros,
            ..Augmentation::NONE
        };
        let corruption = Corruption::new(config, context.seed);
        let stream = DefectStream::collect(NAME, good, augmentation, corruption, context)?;
        let size = stream.size();
        check_size(size).map_err(|reason| Error::Fit { method: NAME, reason })?;
        let foreign = match config.source == Source::Training && context.training.textures.is_none() {
            true => None,
            false => Some(textures(NAME, size, context)?),
        };
        let data = stream.images().digest() ^ foreign.as_ref().map_or(0, digest_of);
        let stream = stream.with_maker(|mut corruption, images| {
            let count = images.len().min(OWN_TEXTURES);
            let own = || (0..count).map(|number| images.row(0, number * images.len() / count));
            corruption.simulated.textures = Some(foreign.unwrap_or_else(|| Textures::of_images(own(), size)));
            corruption
        });
        let other = EdgRecConfig::of(config.preset.other());
        let work = |config: &EdgRecConfig, pixels: usize| {
            let steps = config.steps(stream.images().len()) as f64;
            steps * config.batch as f64 * Repainter::products(1, config.width, pixels)
        };
        let ratio = work(&other, other.side * other.side) / work(config, size.0 * size.1);
        let trainer = Trainer::new(NAME, config, data, 1, context)?.beside(other.preset, ratio);
        let device = trainer.device();
        let network = network(config, &mut Init::new(context.seed, &device));
        let decay = Decay::Late { shares: [0.8, 0.9], factor: 0.2 };
        let schedule = Schedule { rate: config.rate, warm_up: 0, decay };
        let trained = trainer.run(
            NAME,
            network,
            Plan::new(config.steps(stream.images().len()), Optimiser::ADAM, schedule),
            config.batch * (Repainter::kept(config.width, size.0 * size.1) + 60 * size.0 * size.1),
            |step| Ok(batch(&stream, config, step, &device)),
            loss,
        )?;
        Ok(Self { config: config.clone(), network: trained.network.valid(), curve: trained.curve })
    }

    fn score(&self, input: &Input<'_>) -> Result<Vec<PatchScores>, Error> {
        let batch = input.images()?;
        let size @ (height, width) = (batch.height, batch.width);
        check_size(size).map_err(|reason| Error::Score { reason })?;
        let mut scores = Vec::with_capacity(batch.count);
        for image in batch.pixels.chunks_exact(3 * height * width) {
            let values = compare::map(image, &self.painted(image, size)?, size, &self.config);
            scores.push(PatchScores { height, width, values, image_score: None });
        }
        Ok(scores)
    }

    fn map_stage(&self) -> MapStage {
        MapStage::bilinear(0.0)
    }

    fn state(&self) -> State {
        let mut state = State::default();
        network_state::store(&self.network, "", &self.curve, &mut state);
        state
    }

    fn config(&self) -> &Self::Config {
        &self.config
    }

    fn restore(stored: Stored<Self::Config>) -> Result<Self, Error> {
        let Stored { config, state, device, .. } = stored;
        let blank = network(&config, &mut Init::blank(&scoring_device(device)?));
        let (network, curve) = network_state::load(blank, "", &state)?;
        Ok(Self { config, network, curve })
    }
}
