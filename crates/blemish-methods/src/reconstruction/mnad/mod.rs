//! MNAD: an auto-encoder with a memory of what is normal; frames of videos are predicted, images reconstructed.
//!
//! Park, Noh and Ham, "Learning Memory-Guided Normality for Anomaly Detection", CVPR 2020, arXiv 2003.13228, in the form of the released code.
//! The vector at every position of the bottleneck is a query q. It is brought to unit length and joined by what it reads from M items p, and
//! the decoder makes the frame of both. What was never seen is far from all items and is made badly.
//!
//! ```text
//! read      w = softmax over m of p_m q,  r = sum of w_m p_m            (no gradient)
//! loss      L = mean (x - x')^2 + lambda_c L_c + lambda_s L_s
//! compact   L_c = mean over queries and channels of (q - p_nearest)^2
//! separate  L_s = mean of max(0, |q - p_nearest| - |q - p_second| + 1)
//! update    p <- unit(p + sum of v q over the queries nearest to p),  v = exp(p q - the largest p q of all queries)
//! frame     PSNR = 10 log10(1 / mse),  D = mean (q - p_nearest)^2
//! score     a (usual PSNR - PSNR) / its deviation + (1 - a) (D - usual D) / its deviation
//! ```
//!
//! `task=prediction` makes a frame of the four before it and is for videos of a fixed camera: a folder of frames, a film or one of the layouts
//! of videos. `task=reconstruction`, the default, makes an image of itself: for still images, and for videos without motion. `memory=0` is
//! the same network without a memory, to see what it is good for: in public reports it was often not missed.
//!
//! Usual values come from good frames that were held out of the training: a tenth of the videos or images, or of few videos the end of each.
//! So a frame has its score at once, whatever comes later. The published metric brings PSNR and D of a whole video to 0 to 1 first; an
//! evaluation gives it as well. The first four frames of a video are predicted from copies of the first one: they have scores, but the published
//! metric leaves them out, and neither training nor memory learns from them.
//!
//! With `sspcab=true` the last convolution but one of the decoder is SSPCAB, as its paper does with auto-encoders of videos.
//!
//! With `update=true` (preset `paper`) the memory moves on by frames whose weighted error is below gamma, after they were scored.
//!
//! Flow: `clips` finds the clips that are learnt from and those that are held out, `network` is trained on them with its `memory`, `scoring` goes
//! from a frame to its scores, `session` runs through a video.
//!
//! A prediction sees what moves as nothing has moved before. It is blind to what keeps still: a car that stops in a street of moving cars is
//! copied from the frames before, as the street is.
//!
//! `blemish data synth DIR --look traffic` (12 clips of 50 frames to learn from, 10 to test with), `fit DIR --method mnad --set
//! task=prediction`, `preset=cpu`, last step, seed 0: AUROC of all frames 90.2, by the published rule 92.0; odd objects and speeding 96, wrong
//! way 94, stops 70, of which one car is found while it brakes and one is not. Pixels 98.4. The map lights the front and the back of what
//! moves otherwise and leaves the street and the other cars dark. With 600 steps instead of 2,000 it was 86.2, and the loss still fell.
//!
//! # Deviations
//! - RGB instead of the BGR of the released code, and the house's resize instead of OpenCV's: only pretrained weights would care.
//! - The memory of a test-time update begins afresh in every video, where the released code carries it on: scores do not depend on which
//!   videos came before.
//! - Scores by fixed statistics of good frames instead of a video's own minimum and maximum, which are not known while it runs.
//! - Still images (not in the paper): map a z(e) + (1 - a) z(d) of pixel errors e and distances d, each by its usual mean and deviation,
//!   blurred; the image's score is the largest value.
//! - The rate of reconstruction is the released code's 2e-4, where the paper has 2e-5.
//! - The unused 512-channel normalisation of the released code is left out.

mod clips;
mod config;
mod export;
mod memory;
mod network;
mod scoring;
mod session;
#[cfg(test)]
pub(crate) mod tests;

pub use config::{ImageScore, MnadConfig, Task};

use crate::shared::kept::{Kept, Planes};
use crate::shared::map_size::MapSize;
use crate::shared::network_state;
use crate::shared::tensors::{device_of, scoring_device, values_of};
use crate::shared::trainer::{Trainer, batch_of};
use blemish_core::error::Error;
use blemish_core::export::Export;
use blemish_core::input::Input;
use blemish_core::map::{MapStage, PatchScores};
use blemish_core::method::{Family, FitContext, Method, MethodInfo, Pass, Session, Stored, TrainingSet};
use blemish_core::needs::Needs;
use blemish_core::preset::Preset;
use blemish_core::state::State;
use blemish_data::{ImageBatch, Transform};
use blemish_nn::init::Init;
use blemish_nn::train::{Curve, Decay, Optimiser, Plan, Schedule};
use blemish_nn::{Device, Module, Tensor};
use clips::{Clips, Frame};
use network::{Network, Weights, kept_values, work};
use scoring::{Clip, Look, Usual, split};
use session::Video;
use std::borrow::Cow;

const NAME: &str = "mnad";

/// Every stage but the first halves the maps.
const MULTIPLE: usize = 8;

/// Fewest channels of a network with SSPCAB.
const LEAST_WIDTH: usize = 8;

/// A fitted MNAD.
pub struct Mnad {
    config: MnadConfig,
    network: Network,
    curve: Curve,
    usual: Usual,
    /// How many queries of held-out frames each item is nearest to.
    usage: Vec<f32>,
}

/// What each image of a batch is, without the frames before it.
fn last_frames(batch: &ImageBatch) -> Planes<'_> {
    let size = MapSize { channels: 3, height: batch.height, width: batch.width };
    let values = match batch.frames {
        1 => Cow::Borrowed(&batch.pixels[..]),
        _ => Cow::Owned((0..batch.count).flat_map(|at| batch.image(at)).copied().collect()),
    };
    Planes { size, values }
}

fn check_size((height, width): (usize, usize)) -> Result<(), String> {
    if height.is_multiple_of(MULTIPLE) && width.is_multiple_of(MULTIPLE) && height > 0 && width > 0 {
        return Ok(());
    }
    Err(format!(
        "images of {width}x{height} pixels cannot be halved three times; use multiples of {MULTIPLE}"
    ))
}

impl Mnad {
    /// Looks at one clip of a batch, with these items in the memory.
    fn look(&self, input: &Input<'_>, at: usize, items: Option<Tensor<2>>) -> Result<Look, Error> {
        let batch = input.images()?;
        let frames = self.config.task.clip();
        let fail = |reason: String| Error::Score { reason };
        if batch.frames != frames {
            return Err(fail(format!(
                "the model looks at clips of {frames} frames, and there are {}",
                batch.frames
            )));
        }
        check_size((batch.height, batch.width)).map_err(fail)?;
        let clip = Clip {
            pixels: batch.clip(at),
            size: (batch.height, batch.width),
            region: batch.region_of_interest.as_deref(),
        };
        Look::at(clip, &self.network, items, &self.config, &device_of(&self.network))
    }
}

/// Means and deviations of the held-out clips, and how often each item of the memory is the nearest.
fn measure(
    config: &MnadConfig,
    network: &Network,
    frames: &Kept,
    clips: &[Vec<usize>],
    device: &Device,
    context: &FitContext<'_>,
) -> Result<(Usual, Vec<f32>), Error> {
    context.observer.stage("measuring good frames", Some(clips.len() as u64));
    let MapSize { height, width, .. } = frames.sizes()[0];
    let mut usage = vec![0.0f32; config.memory];
    let looks = clips.iter().map(|rows| {
        context.check_cancelled()?;
        let pixels = frames.values(0, rows);
        let clip = Clip { pixels: &pixels, size: (height, width), region: None };
        let look = Look::at(clip, network, network.items(), config, device)?;
        if let Some(lookup) = &look.lookup {
            let used = values_of(lookup.usage())?;
            usage.iter_mut().zip(used).for_each(|(sum, used)| *sum += used);
        }
        context.observer.advance(1);
        Ok(look)
    });
    let usual = Usual::of(looks)?;
    Ok((usual, usage))
}

impl Method for Mnad {
    type Config = MnadConfig;

    const INFO: MethodInfo = MethodInfo {
        name: NAME,
        summary: "an auto-encoder with a memory of what is normal; predicts frames of videos or reconstructs images",
        advice: "for videos of a fixed camera with task=prediction, whose anomalies are motions and unknown things; for still images it is well below \
                 methods on features",
        citation: "Park, Noh and Ham, Learning Memory-Guided Normality for Anomaly Detection, CVPR 2020, arXiv 2003.13228",
        family: Family::Reconstruction,
    };

    fn preset(preset: Preset) -> Option<Self::Config> {
        Some(MnadConfig::of(preset))
    }

    const EXPORT: Export<Self> = Export::Written(export::write);

    fn needs(config: &Self::Config) -> Needs {
        Needs { clip: config.task.clip(), ..Needs::of_images() }.training_long()
    }

    fn default_transform(config: &Self::Config) -> Transform {
        Transform::resize_to(config.side(), config.side())
    }

    fn fit(config: &Self::Config, train: &dyn TrainingSet, context: &FitContext<'_>) -> Result<Self, Error> {
        let fail = |reason| Error::Fit { method: NAME, reason };
        if config.sspcab && config.width < LEAST_WIDTH {
            return Err(Error::Setting {
                key: "sspcab".into(),
                reason: format!("its attention goes through an eighth of {} channels", config.width),
                help: format!("set width={LEAST_WIDTH} or more, or sspcab=false"),
            });
        }
        let mut known = Vec::new();
        let frames = Kept::collect(NAME, train, Pass::IMAGES, context, "reading frames", |input| {
            let batch = input.images()?;
            known.extend((0..batch.count).map(|at| Frame::of(input.facts.get(at).copied())));
            Ok(vec![last_frames(batch)])
        })?;
        let MapSize { height, width, .. } = frames.sizes()[0];
        check_size((height, width)).map_err(fail)?;
        let length = config.task.clip();
        let clips = Clips::of(&known, length, context.seed).map_err(fail)?;
        let batch = config.batch.min(clips.learnt.len());
        let steps = config.steps_of(clips.learnt.len());
        // By passes the rate falls with every pass, as published; by updates with every update.
        let stairs = if config.steps.is_some() { 0 } else { config.epochs };
        let other = MnadConfig { task: config.task, ..MnadConfig::of(config.preset.other()) };
        let ratio = work(&other, (other.side(), other.side()), clips.learnt.len())
            / work(config, (height, width), clips.learnt.len());
        let trainer =
            Trainer::new(NAME, config, frames.digest(), 1, context)?.beside(config.preset.other(), ratio);
        let device = trainer.device();
        let network = Network::new(config, &mut Init::new(context.seed, &device));
        let decay = Decay::Cosine { floor: 0.0, stairs };
        let plan = Plan::new(steps, Optimiser::ADAM, Schedule { rate: config.rate, warm_up: 0, decay });
        let weights = Weights {
            compactness: config.by_task(config.compactness, 0.1, 0.01),
            separateness: config.by_task(config.separateness, 0.1, 0.01),
        };
        let trained = trainer.run(
            NAME,
            network,
            plan,
            batch * kept_values(config, height, width),
            |step| {
                let chosen = batch_of(step, clips.learnt.len(), batch, context.seed);
                let rows: Vec<usize> = chosen.iter().flat_map(|&clip| &clips.learnt[clip]).copied().collect();
                let pixels = frames.batch(0, &rows, &device);
                Ok(split(pixels.reshape([batch, 3 * length, height, width]), config))
            },
            |network: &Network, clips| network.loss(clips, weights),
        )?;
        let network = trained.network.valid();
        let device = device_of(&network);
        let (usual, usage) = measure(config, &network, &frames, &clips.held_out, &device, context)?;
        Ok(Self { config: config.clone(), network, curve: trained.curve, usual, usage })
    }

    /// Each clip by the memory of the fit.
    fn score(&self, input: &Input<'_>) -> Result<Vec<PatchScores>, Error> {
        let count = input.images()?.count;
        let score = |at| Ok(self.look(input, at, self.network.items())?.scores(&self.usual, &self.config));
        (0..count).map(score).collect()
    }

    /// For videos: where the memory moves on, and for the published metric of predictions. Reconstruction without an update takes each image
    /// for itself, whole or in tiles.
    fn session(&self) -> Option<Box<dyn Session + '_>> {
        let has_order = self.config.update || self.config.task == Task::Prediction;
        has_order.then(|| Box::new(Video::new(self)) as Box<dyn Session + '_>)
    }

    fn map_stage(&self) -> MapStage {
        MapStage::bilinear(self.config.sigma)
    }

    fn state(&self) -> State {
        let mut state = State::default();
        network_state::store(&self.network, "", &self.curve, &mut state);
        self.usual.store(&mut state);
        if !self.usage.is_empty() {
            state.set_f32("usage", &[self.usage.len()], self.usage.clone());
        }
        state
    }

    fn config(&self) -> &Self::Config {
        &self.config
    }

    fn restore(stored: Stored<Self::Config>) -> Result<Self, Error> {
        let Stored { config, state, device, .. } = stored;
        let device = scoring_device(device)?;
        let blank = Network::new(&config, &mut Init::blank(&device));
        let (network, curve) = network_state::load(blank, "", &state)?;
        let usual = Usual::restore(&state)?;
        let usage = match config.memory {
            0 => Vec::new(),
            count => crate::shared::tensors::finite("usage", count, &state)?,
        };
        Ok(Self { config, network, curve, usual, usage })
    }
}
