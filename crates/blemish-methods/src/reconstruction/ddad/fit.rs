//! Fitting: the network learns to tell noise, the extractor learns the images, then what is left open is chosen.

use super::choice::{choose, split};
use super::compare::Size;
use super::config::{DdadConfig, Guidance, NAME, Skip};
use super::diffusion::{Path, Purpose, Way, lesson, loss, seed_of, shares};
use super::extractor::{self, Extractor, School};
use super::unet::{Shape, UNet};
use super::{Adaptation, Ddad};
use crate::shared::encoder::Encoder;
use crate::shared::kept::{Kept, Planes};
use crate::shared::map_size::MapSize;
use crate::shared::trainer::Trainer;
use blemish_core::error::Error;
use blemish_core::method::{FitContext, Pass, TrainingSet};
use blemish_features::Backbone;
use blemish_nn::Module;
use blemish_nn::init::Init;
use blemish_nn::train::{Optimiser, Plan, Schedule};
use std::borrow::Cow;

/// The U-Net for images of a size.
pub(super) fn shape(config: &DdadConfig, (height, _): Size) -> Shape {
    let levels = config.multipliers.len();
    let attention = (0..levels).find(|&level| height >> level <= config.attention).unwrap_or(levels);
    Shape {
        width: config.width(),
        multipliers: config.multipliers.clone(),
        blocks: config.blocks,
        attention,
        heads: config.heads(),
        groups: config.groups,
    }
}

/// Whether there is such a network and such a way.
pub(super) fn check(config: &DdadConfig) -> Result<(), Error> {
    let fail = |key: &str, reason: String, help: &str| {
        Err(Error::Setting { key: key.into(), reason, help: help.into() })
    };
    let (width, heads) = (config.width(), config.heads());
    if !width.is_multiple_of(2) {
        return fail(
            "width",
            format!("times are embedded in pairs, and {width} is odd"),
            "use an even width",
        );
    }
    if config.multipliers.is_empty()
        || config.multipliers.len() > 8
        || config.multipliers.iter().any(|&m| m == 0 || m > 16)
    {
        return fail("multipliers", "there must be 1 to 8 of them, each 1 to 16".into(), "use [1,2,4,4]");
    }
    if let Some(channels) =
        config.multipliers.iter().map(|m| m * width).find(|channels| !channels.is_multiple_of(heads))
    {
        return fail("heads", format!("{heads} heads cannot share {channels} channels"), "use fewer heads");
    }
    match config.skip {
        Skip::Given(skip) if skip > config.start => {
            fail("skip", format!("it is above start, {}", config.start), "use a tenth of start")
        }
        _ => Ok(()),
    }
}

/// Whether images can be halved as often as the network does.
pub(super) fn check_size((height, width): Size, config: &DdadConfig) -> Result<(), String> {
    let unit = 1 << (config.multipliers.len() - 1);
    if height.is_multiple_of(unit) && width.is_multiple_of(unit) {
        return Ok(());
    }
    Err(format!(
        "images of {width}x{height} cannot be halved as often as there are multipliers; use sides that are multiples of {unit}"
    ))
}

/// The images in [-1, 1].
fn read(good: &dyn TrainingSet, context: &FitContext<'_>) -> Result<Kept, Error> {
    Kept::collect(NAME, good, Pass::IMAGES, context, "reading images", |input| {
        let batch = input.images()?;
        let size = MapSize { channels: 3, height: batch.height, width: batch.width };
        let values: Vec<f32> = batch.pixels.iter().map(|value| value * 2.0 - 1.0).collect();
        Ok(vec![Planes { size, values: Cow::Owned(values) }])
    })
}

/// Multiply-adds of a training of the U-Net.
fn work(config: &DdadConfig, size: Size, images: usize) -> f64 {
    let (products, _) = shape(config, size).cost(size.0 * size.1);
    products * config.steps_of(images) as f64 * config.batch() as f64
}

/// How the U-Net is trained on so many images.
pub(super) fn plan(config: &DdadConfig, images: usize, pixels: usize) -> Plan {
    let optimiser = Optimiser { decay: config.decay_of(pixels), ..Optimiser::ADAM };
    let average = (config.average > 0.0).then_some(config.average);
    Plan { average, ..Plan::new(config.steps_of(images), optimiser, Schedule::constant(config.rate)) }
}

/// How the extractor is trained.
pub(super) fn adaptation_plan(config: &DdadConfig, images: usize) -> Plan {
    Plan::new(config.adapt_steps_of(images), Optimiser::ADAM_W, Schedule::constant(config.adapt_rate))
}

/// Fits.
pub(super) fn fit(
    config: &DdadConfig,
    good: &dyn TrainingSet,
    context: &FitContext<'_>,
) -> Result<Ddad, Error> {
    check(config)?;
    let backbone = context.require_backbone(NAME)?;
    let images = read(good, context)?;
    let size = images.sizes()[0].grid();
    check_size(size, config).map_err(|reason| Error::Fit { method: NAME, reason })?;
    // Known now rather than after the training.
    if config.adapt_epochs > 0 {
        backbone.network()?;
    }
    let (learned, looked_at) = split(images.len(), config.is_open(), context.seed);
    let other = DdadConfig::of(config.preset.other());
    let ratio = work(&other, (other.side, other.side), learned.len()) / work(config, size, learned.len());
    let trainings = 1 + usize::from(config.adapt_epochs > 0);
    let trainer =
        Trainer::new(NAME, config, images.digest(), trainings, context)?.beside(other.preset, ratio);
    let device = trainer.device();
    let network = UNet::new(&shape(config, size), &mut Init::new(context.seed, &device));
    let (shares, pixels) = (shares(), size.0 * size.1);
    let (_, kept) = shape(config, size).cost(pixels);
    let trained = trainer.run(
        "denoiser",
        network,
        plan(config, learned.len(), pixels),
        config.batch().min(learned.len()) * kept,
        |step| Ok(lesson(&images, &learned, config.batch(), step, (context.seed, &shares), &device)),
        |network, lesson| loss(network, lesson, config.dropout()),
    )?;
    let (network, curve) = (trained.network.valid(), trained.curve);
    let (extractor, adaptation) = match config.adapt_epochs {
        0 => (Extractor::plain(backbone), None),
        _ => {
            let path = Path::new(adaptation_way(config), &network);
            let school = School {
                images: &images,
                chosen: &learned,
                network: &network,
                path: &path,
                backbone: &backbone,
                batch: config.adapt_batch,
                seed: seed_of(context.seed, Purpose::Adaptation, 0),
            };
            let (extractor, curve) = adapt(config, &school, &trainer)?;
            (extractor, Some(curve))
        }
    };
    let chosen = choose(config, (&network, &extractor), &images, &looked_at, context)?;
    let config =
        DdadConfig { w: Guidance::Given(chosen.way.w), skip: Skip::Given(chosen.way.skip), ..config.clone() };
    let seed = context.seed;
    Ok(Ddad {
        config,
        network,
        curve,
        extractor,
        adaptation,
        painter: chosen.painter,
        ratio: chosen.ratio,
        seed,
        size,
    })
}

/// How images are reconstructed for the extractor to learn from.
fn adaptation_way(config: &DdadConfig) -> Way {
    let skip = match config.skip {
        Skip::Given(skip) => skip,
        Skip::Chosen(_) => (config.start / 10).max(1),
    };
    Way { start: config.start, skip, eta: config.eta, w: config.adapt_w }
}

/// Adapts the extractor.
fn adapt(
    config: &DdadConfig,
    school: &School<'_>,
    trainer: &Trainer<'_>,
) -> Result<(Extractor, Adaptation), Error> {
    let device = trainer.device();
    let encoder = Encoder::new(school.backbone, 0, &Init::blank(&device))?;
    let size = school.images.sizes()[0];
    let trained = trainer.run(
        "extractor",
        encoder,
        adaptation_plan(config, school.chosen.len()),
        config.adapt_batch * kept_of(school.backbone, size.grid()),
        |step| school.lesson(step, &device),
        |encoder, lesson| extractor::loss(encoder, lesson, config.distillation),
    )?;
    Ok((Extractor::adapted(school.backbone, trained.network.weights()?)?, trained.curve))
}

/// About how many values a pass of a backbone keeps for its gradients, for memory alone.
fn kept_of(backbone: &Backbone, (height, width): Size) -> usize {
    let at = |tap: &blemish_features::TapInfo| {
        let stride = tap.stride.max(1);
        tap.channels * (height / stride) * (width / stride)
    };
    // Each stage has a dozen maps, inside inverted residuals of six times the channels.
    60 * backbone.taps().iter().map(at).sum::<usize>()
}
