//! How strongly reconstructions are pulled and in how many steps they are made, where that is left open: by good images that the network
//! has not seen and by defects made up on them.

use super::compare::{self, Differences, Size};
use super::config::{Automatic, DdadConfig, Guidance, NAME, Skip};
use super::diffusion::{Path, Purpose, Way, seed_of};
use super::extractor::Extractor;
use super::scoring::{Painter, for_each};
use super::unet::UNet;
use crate::shared::defects::{Defects, Maker};
use crate::shared::kept::Kept;
use crate::shared::sheet::sheet;
use blemish_core::error::Error;
use blemish_core::method::FitContext;
use blemish_data::loader::order_of;
use blemish_data::synth::kit::Kind;
use blemish_eval::auroc;
use rayon::prelude::*;

/// Strengths that are tried.
const STRENGTHS: [f64; 6] = [0.0, 1.0, 2.0, 4.0, 7.0, 11.0];

/// Numbers of looks that are tried.
const LOOKS: [usize; 2] = [10, 5];

/// Good images that are held out or looked at, at most.
const HELD_OUT: usize = 16;

/// Of so many images one is held out.
const SHARE: usize = 10;

/// Defective images in the picture.
const SHOWN: usize = 4;

/// Defects for each good image.
const DEFECTS: u64 = 2;

/// What the choice has found.
pub(super) struct Chosen {
    pub(super) painter: Painter,
    pub(super) way: Way,
    /// What differences of pixels are multiplied with.
    pub(super) ratio: f32,
}

/// Numbers of the images to learn from, and of those to choose by: others, where there are enough and something is to be chosen.
pub(super) fn split(count: usize, is_open: bool, seed: u64) -> (Vec<usize>, Vec<usize>) {
    let mut order = order_of(count, Some(seed_of(seed, Purpose::Choice, 0)));
    if is_open && count >= SHARE {
        let mut learned = order.split_off((count / SHARE).min(HELD_OUT));
        learned.sort_unstable();
        return (learned, order);
    }
    order.truncate(HELD_OUT);
    ((0..count).collect(), order)
}

/// The ways that settings leave open, in the order in which they are tried.
pub(super) fn candidates(config: &DdadConfig) -> Vec<Way> {
    let skips = match config.skip {
        Skip::Given(skip) => vec![skip],
        Skip::Chosen(Automatic::Auto) => LOOKS.map(|looks| (config.start / looks).max(1)).to_vec(),
    };
    let strengths = match config.w {
        Guidance::Given(w) => vec![w],
        Guidance::Chosen(Automatic::Auto) => STRENGTHS.to_vec(),
    };
    let way = |skip, w| Way { start: config.start, skip, eta: config.eta, w };
    skips.into_iter().flat_map(|skip| strengths.iter().map(move |&w| way(skip, w))).collect()
}

/// Images that ways are tried on, in [-1, 1].
struct Trial {
    good: Vec<Vec<f32>>,
    /// With their masks.
    defective: Vec<(Vec<f32>, Vec<f32>)>,
}

impl Trial {
    fn new(images: &Kept, numbers: &[usize], seed: u64) -> Self {
        let defects = Defects::new(&Kind::ALL, 0, seed_of(seed, Purpose::Choice, 1));
        let size = images.sizes()[0].grid();
        let good: Vec<Vec<f32>> = numbers.iter().map(|&number| images.row(0, number).to_vec()).collect();
        let lay = |number: u64| {
            let unit: Vec<f32> =
                good[number as usize % good.len()].iter().map(|value| (value + 1.0) / 2.0).collect();
            let sample = defects.lay(&unit, size, number);
            let image = sample.image.into_iter().map(|value| value * 2.0 - 1.0).collect();
            sample.mask.contains(&1.0).then_some((image, sample.mask))
        };
        let count = good.len() as u64 * DEFECTS;
        Self { defective: (0..count).into_par_iter().filter_map(lay).collect(), good }
    }
}

impl Trial {
    /// Gives the observer a picture: a good image and defective ones, what they become, and their maps, a row each.
    fn show(
        &self,
        config: &DdadConfig,
        Chosen { painter, ratio, .. }: &Chosen,
        (network, extractor): (&UNet, &Extractor),
        size: Size,
        context: &FitContext<'_>,
    ) -> Result<(), Error> {
        let unit = |image: &[f32]| image.iter().map(|value| (value + 1.0) / 2.0).collect::<Vec<_>>();
        let mut rows = Vec::new();
        let mut brightest = 0.0f32;
        for image in self.good.iter().take(1).chain(self.defective.iter().map(|(image, _)| image).take(SHOWN))
        {
            let map = finished(config, &painter.differences(network, extractor, image)?, *ratio, size);
            brightest = map.iter().copied().fold(brightest, f32::max);
            rows.push(vec![unit(image), unit(&painter.paint(network, image)?), map.repeat(3)]);
        }
        let scale = |map: &mut Vec<f32>| map.iter_mut().for_each(|value| *value /= brightest.max(1e-12));
        rows.iter_mut().filter_map(|row| row.last_mut()).for_each(scale);
        let (size, planes) = sheet(&rows, size);
        context.observer.picture(&format!("{NAME}-reconstructions"), size, &planes);
        Ok(())
    }
}

/// How well maps tell defects: the mean of the AUROC of images, by the maxima of their maps, and of the AUROC of pixels; 0 without defects.
pub(super) fn separation(good: &[Vec<f32>], defective: &[(Vec<f32>, &[f32])]) -> f64 {
    let largest = |map: &[f32]| f64::from(map.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let maps =
        || good.iter().map(|map| (map, None)).chain(defective.iter().map(|(map, mask)| (map, Some(*mask))));
    let scores: Vec<f64> = maps().map(|(map, _)| largest(map)).collect();
    let labels: Vec<bool> = maps().map(|(_, mask)| mask.is_some()).collect();
    let pixels: Vec<f64> = maps().flat_map(|(map, _)| map.iter().map(|&value| f64::from(value))).collect();
    let marks =
        maps().flat_map(|(map, mask)| (0..map.len()).map(move |at| mask.is_some_and(|mask| mask[at] > 0.5)));
    let (of_images, of_pixels) = (auroc(&scores, &labels), auroc(&pixels, &marks.collect::<Vec<_>>()));
    match (of_images, of_pixels) {
        (Ok(images), Ok(pixels)) => (images + pixels) / 2.0,
        // There is nothing of one kind.
        _ => 0.0,
    }
}

/// The best of the ways that settings leave open, the first of equals.
///
/// # Errors
/// What reconstructions and the extractor return; [`Error::Interrupted`].
pub(super) fn choose(
    config: &DdadConfig,
    (network, extractor): (&UNet, &Extractor),
    images: &Kept,
    numbers: &[usize],
    context: &FitContext<'_>,
) -> Result<Chosen, Error> {
    let size = images.sizes()[0].grid();
    let ways = candidates(config);
    let trial = Trial::new(images, numbers, context.seed);
    let is_choice = ways.len() > 1 && !trial.defective.is_empty();
    let looked_at = trial.good.len() + if is_choice { trial.defective.len() } else { 0 };
    let tried = if is_choice { ways } else { vec![usual(&ways, config)] };
    let stage = if is_choice { "choosing how to reconstruct" } else { "comparing good images" };
    context.observer.stage(stage, Some((tried.len() * looked_at) as u64));
    let mut best: Option<(f64, Chosen)> = None;
    for way in tried {
        let painter = Painter::new(Path::new(way, network), context.seed, size, network);
        let of = |image: &Vec<f32>| -> Result<Differences, Error> {
            context.check_cancelled()?;
            let found = painter.differences(network, extractor, image);
            context.observer.advance(1);
            found
        };
        let good = for_each(&trial.good, size, of)?;
        let ratio = compare::ratio(&good.iter().map(Differences::maxima).collect::<Vec<_>>());
        let separation = if is_choice {
            let finished = |found: &Differences| finished(config, found, ratio, size);
            let defective =
                for_each(&trial.defective, size, |(image, mask)| Ok((finished(&of(image)?), &mask[..])))?;
            separation(&good.iter().map(finished).collect::<Vec<_>>(), &defective)
        } else {
            0.0
        };
        if best.as_ref().is_none_or(|(known, _)| separation > *known) {
            best = Some((separation, Chosen { painter, way, ratio }));
        }
    }
    let (_, chosen) =
        best.ok_or_else(|| Error::Fit { method: NAME, reason: "there is no way to reconstruct".into() })?;
    trial.show(config, &chosen, (network, extractor), size, context)?;
    Ok(chosen)
}

/// The published way as far as it is open, where nothing can be tried.
fn usual(ways: &[Way], config: &DdadConfig) -> Way {
    let off = |way: &&Way| (way.w - config.adapt_w).abs();
    let nearest = ways.iter().min_by(|a, b| off(a).total_cmp(&off(b)));
    nearest.copied().unwrap_or(Way { start: config.start, skip: 1, eta: config.eta, w: config.adapt_w })
}

/// A map as scores are made of it.
fn finished(config: &DdadConfig, found: &Differences, ratio: f32, size: Size) -> Vec<f32> {
    compare::finished(found.combined(config.v as f32 * ratio), size, config.sigma, config.crop, None)
}
