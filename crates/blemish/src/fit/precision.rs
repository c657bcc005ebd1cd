//! Whether the frozen backbone runs in bytes: settled by good images before anything is learnt, so that a model is fitted on the very
//! features that it will score with.
//!
//! Some of the images give the maps their ranges, the others judge. `auto` takes bytes where the features of images that gave no range
//! lose little, and where patches are ordered as in single precision: by their distance to patches of good images, on good images and
//! on made-up defects. No defect of the user's is needed.

use crate::config::{BackbonePrecision, DetectorConfig, FitOptions};
use crate::view::{Plan, ViewSet};
use blemish_core::error::Error;
use blemish_core::method::{Pass, TrainingSet};
use blemish_core::observer::Observer;
use blemish_data::Source;
use blemish_data::synth::kit::{DefectRequest, Kind, make_defect};
use blemish_data::transform::PlanarImage;
use blemish_features::executors::int8::RelativeError;
use blemish_features::{Backbone, FeatureError, FeatureMap};
use blemish_kernels::KernelError;
use blemish_kernels::knn::MemoryBank;
use std::sync::Arc;

/// Images (or tiles) that pass through a backbone, at most.
const WATCHED: usize = 24;
/// Values of images that are held, but for the first few images: of very large ones fewer do.
const HELD: usize = 64 << 20;
/// One of so many judges; the others give ranges.
const JUDGES: usize = 4;
/// What `auto` lets features lose: root of the squared differences over the squared features, of the map that loses most.
const MOST_LOST: f64 = 0.15;
/// What `auto` asks of the order of patches: Spearman's correlation, of the map that agrees least.
const LEAST_AGREEMENT: f64 = 0.9;
/// Images whose patches others are compared with, at most.
const KNOWN: usize = 4;
/// Patches of good images that others are compared with, and patches that are compared, at most.
const PATCHES: usize = 1024;

/// Puts backbones of the plan into bytes where the configuration asks for it, or leaves it open and it costs little.
///
/// # Errors
/// [`Error::Fit`] for a method that opens its backbone, [`Error::Features`] for a network that is not done in bytes, if it was asked for;
/// what reading the images returns.
pub(crate) fn settle(
    plan: &mut Plan,
    config: &DetectorConfig,
    good: &dyn Source,
    options: &FitOptions<'_>,
) -> Result<(), Error> {
    let is_asked = match config.precision {
        _ if plan.backbones.is_empty() => return Ok(()),
        BackbonePrecision::Single => return Ok(()),
        BackbonePrecision::Int8 => true,
        BackbonePrecision::Auto => false,
    };
    if plan.needs.opens_backbone {
        let name = plan.entry.info().name;
        let reason = format!("{name} asks for weights or gradients of its backbone");
        if is_asked {
            let reason = format!("{reason}, which a network in bytes does not have; use single precision");
            return Err(Error::Fit { method: name, reason });
        }
        options.observer.note(&format!("backbone in single precision: {reason}"));
        return Ok(());
    }
    let sets = plan.sets(good, config, options, false)?;
    for number in 0..plan.backbones.len() {
        let single = plan.backbones[number].clone();
        match single.check_quantisable(&options.engine) {
            Err(FeatureError::Engine { reason, .. }) if !is_asked => {
                options.observer.note(&format!("{} in single precision: {reason}", single.name()));
                continue;
            }
            outcome => outcome?,
        }
        let views = plan.views.iter().zip(&sets).filter(|(view, _)| view.backbone == number);
        let images = watched(&views.map(|(_, set)| set).collect::<Vec<_>>(), good.len(), options.observer)?;
        let (ranging, judging) = deal(images);
        let quantised = single.quantised(&ranging, &options.engine)?;
        options.observer.check_cancelled()?;
        let loss = Loss::of(&single, &quantised, &ranging, &judging, config.seed)?;
        let figures = loss.in_words(ranging.len());
        if is_asked || loss.is_small() {
            options.observer.note(&format!("{} in bytes: {figures}", single.name()));
            plan.backbones[number] = Arc::new(quantised);
        } else {
            options.observer.note(&format!(
                "{} in single precision, since in bytes {figures}; {:.0} % and {LEAST_AGREEMENT} are the limits",
                single.name(),
                100.0 * MOST_LOST
            ));
        }
    }
    Ok(())
}

/// Images of a source of `count`, evenly spread, as the views of a backbone see them.
fn watched(sets: &[&ViewSet<'_>], count: usize, observer: &dyn Observer) -> Result<Vec<PlanarImage>, Error> {
    let share = (WATCHED / sets.len().max(1)).max(1);
    observer.stage("ranges for bytes", None);
    let mut images = Vec::new();
    for set in sets {
        let part = set.part(spread(count, share));
        let wanted = spread(part.len(), share);
        part.for_each(Pass::IMAGES, &mut |input| {
            observer.check_cancelled()?;
            let batch = input.images()?;
            for (at, index) in input.indices.iter().enumerate() {
                let (height, width) = (batch.height, batch.width);
                let has_room = images.len() < JUDGES || images.len() * 3 * height * width < HELD;
                if has_room && wanted.binary_search(index).is_ok() {
                    let pixels = batch.image(at).to_vec();
                    images.push(PlanarImage { height, width, pixels, region_of_interest: None });
                }
            }
            Ok(())
        })?;
    }
    Ok(images)
}

/// At most `most` numbers below `count`, evenly spread.
fn spread(count: usize, most: usize) -> Vec<usize> {
    let taken = count.min(most);
    (0..taken).map(|at| at * count / taken).collect()
}

/// Images that give ranges, and those that judge: the same where there are too few.
fn deal(images: Vec<PlanarImage>) -> (Vec<PlanarImage>, Vec<PlanarImage>) {
    if images.len() < JUDGES {
        return (images.clone(), images);
    }
    let (mut ranging, mut judging) = (Vec::new(), Vec::new());
    for (at, image) in images.into_iter().enumerate() {
        let side = if at % JUDGES == JUDGES - 1 { &mut judging } else { &mut ranging };
        side.push(image);
    }
    (ranging, judging)
}

/// What bytes cost.
#[derive(Clone, Copy, Debug)]
struct Loss {
    /// See [`MOST_LOST`].
    lost: f64,
    /// See [`LEAST_AGREEMENT`].
    agreement: f64,
}

impl Loss {
    fn of(
        single: &Backbone,
        quantised: &Backbone,
        ranging: &[PlanarImage],
        judging: &[PlanarImage],
        seed: u64,
    ) -> Result<Self, Error> {
        let defective = made_up(judging, seed);
        let both = |images: &[PlanarImage]| -> Result<[Vec<Vec<FeatureMap>>; 2], Error> {
            Ok([extract(single, images)?, extract(quantised, images)?])
        };
        let known: Vec<PlanarImage> =
            spread(ranging.len(), KNOWN).into_iter().map(|at| ranging[at].clone()).collect();
        let known = both(&known)?;
        let mut asked = both(judging)?;
        let lost = (0..single.taps().len()).map(|tap| lost(&asked, tap)).fold(0.0, f64::max);
        let [exact, rounded] = both(&defective)?;
        asked[0].extend(exact);
        asked[1].extend(rounded);
        let agreement = (0..single.taps().len())
            .map(|tap| agreement(&known, &asked, tap))
            .try_fold(1.0, |least, found| found.map(|found| f64::min(least, found)))
            .map_err(|error| Error::Score {
                reason: format!("the features of {}: {error}", single.name()),
            })?;
        Ok(Self { lost, agreement })
    }

    fn is_small(self) -> bool {
        self.lost <= MOST_LOST && self.agreement >= LEAST_AGREEMENT
    }

    fn in_words(self, ranging: usize) -> String {
        format!(
            "its features lose {:.1} %, patches keep their order to {:.3} (ranges of {ranging} good images)",
            100.0 * self.lost,
            self.agreement
        )
    }
}

/// A defect on each of these images, where a visible one can be made.
fn made_up(images: &[PlanarImage], seed: u64) -> Vec<PlanarImage> {
    let lay = |(number, image): (usize, &PlanarImage)| {
        let kind = Kind::ALL[number % Kind::ALL.len()];
        let request = DefectRequest::new(kind, seed, number as u64);
        let made = make_defect(&image.pixels, (image.height, image.width), &request, None)?;
        Some(PlanarImage { pixels: made.pixels, ..image.clone() })
    };
    images.iter().enumerate().filter_map(lay).collect()
}

/// The maps of every image, one a tap.
fn extract(backbone: &Backbone, images: &[PlanarImage]) -> Result<Vec<Vec<FeatureMap>>, Error> {
    let of = |image: &PlanarImage| Ok(backbone.extract(&image.pixels, [1, image.height, image.width])?);
    images.iter().map(of).collect()
}

/// What a tap's maps have lost.
fn lost([exact, rounded]: &[Vec<Vec<FeatureMap>>; 2], tap: usize) -> f64 {
    let mut error = RelativeError::default();
    exact.iter().zip(rounded).for_each(|(exact, rounded)| error.add(&exact[tap].data, &rounded[tap].data));
    error.root()
}

/// How alike single precision and bytes order patches by their distance to the nearest known one.
fn agreement(
    known: &[Vec<Vec<FeatureMap>>; 2],
    asked: &[Vec<Vec<FeatureMap>>; 2],
    tap: usize,
) -> Result<f64, KernelError> {
    let distances = |side: usize| -> Result<Vec<f32>, KernelError> {
        let dimensions = known[side].first().map_or(1, |maps| maps[tap].channels);
        let bank = MemoryBank::new(patches(&known[side], tap), dimensions)?;
        Ok(bank.search(&patches(&asked[side], tap), 1)?.nearest_squared().collect())
    };
    Ok(correlation(&ranks(&distances(0)?), &ranks(&distances(1)?)))
}

/// Patches of a tap's maps, evenly spread over images and places: patches x channels.
fn patches(images: &[Vec<FeatureMap>], tap: usize) -> Vec<f32> {
    let maps: Vec<&FeatureMap> = images.iter().map(|maps| &maps[tap]).collect();
    let counts = maps.iter().map(|map| map.height * map.width);
    let mut rows = Vec::new();
    let mut wanted = spread(counts.clone().sum(), PATCHES).into_iter().peekable();
    let mut before = 0;
    for (map, count) in maps.iter().zip(counts) {
        while let Some(place) = wanted.next_if(|&place| place < before + count) {
            rows.extend((0..map.channels).map(|channel| map.data[channel * count + place - before]));
        }
        before += count;
    }
    rows
}

/// The rank of every value, the mean of their ranks for equal ones.
fn ranks(values: &[f32]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut first = 0;
    for equal in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let rank = first as f64 + (equal.len() - 1) as f64 / 2.0;
        equal.iter().for_each(|&at| ranks[at] = rank);
        first += equal.len();
    }
    ranks
}

/// Pearson's correlation, Spearman's of ranks; 1 where nothing varies.
fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    let (mean_a, mean_b) = (mean(a), mean(b));
    let product = |x: &[f64], y: &[f64], means: (f64, f64)| {
        x.iter().zip(y).map(|(x, y)| (x - means.0) * (y - means.1)).sum::<f64>()
    };
    let spread = (product(a, a, (mean_a, mean_a)) * product(b, b, (mean_b, mean_b))).sqrt();
    if spread > 0.0 { product(a, b, (mean_a, mean_b)) / spread } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_of_equal_values_are_their_mean_and_orders_are_compared() {
        assert_eq!(ranks(&[3.0, 1.0, 3.0, 2.0]), [2.5, 0.0, 2.5, 1.0]);
        let up = ranks(&[1.0, 5.0, 9.0, 11.0]);
        assert!((correlation(&up, &ranks(&[0.1, 0.2, 0.3, 0.4])) - 1.0).abs() < 1e-12);
        assert!((correlation(&up, &ranks(&[4.0, 3.0, 2.0, 1.0])) + 1.0).abs() < 1e-12);
        // Two neighbours of four exchanged: 1 - 6 x 2 / (4 x 15).
        assert!((correlation(&up, &ranks(&[1.0, 3.0, 2.0, 4.0])) - 0.8).abs() < 1e-12);
        assert_eq!(correlation(&ranks(&[1.0; 4]), &up), 1.0);
    }

    #[test]
    fn numbers_are_spread_evenly() {
        assert_eq!(spread(10, 4), [0, 2, 5, 7]);
        assert_eq!(spread(3, 9), [0, 1, 2]);
        assert!(spread(0, 4).is_empty());
    }
}
