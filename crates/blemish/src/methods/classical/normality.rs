//! The one model of normality that all filters share: features of good images in, a distance for every cell out.
//!
//! | model | keeps | distance |
//! |---|---|---|
//! | position | mean and deviation of every cell and channel | the worst channel, in deviations |
//! | gaussian | mean and shrunk covariance over all cells | Mahalanobis |
//! | bank | vectors that cover those of good images (k-centre) | to the nearest |
//! | histogram | a few mean histograms (k-means) | of histograms, to the nearest |
//! | image | nothing | from the image's own mean, in its deviations |

use super::NAME;
use super::bank::Filter;
use super::config::{ClassicalConfig, ModelChoice};
use super::responses::Features;
use crate::error::Error;
use crate::state::{Shared, State, StateError};
use blemish_kernels::KernelError;
use blemish_kernels::gaussian::{Factors, GaussianAccumulator, PositionGaussians, Precision};
use blemish_kernels::image::Size;
use blemish_kernels::image::distance::Distance;
use blemish_kernels::k_centre::{self, KCentreOptions, Start};
use blemish_kernels::k_means::k_means;
use blemish_kernels::knn::MemoryBank;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use std::ops::ControlFlow;

/// Values that a bank or histograms are chosen among, at most.
const SAMPLED: usize = 12_000_000;

/// Entries of a bank, and mean histograms, by default.
const ENTRIES: usize = 4096;
const HISTOGRAMS: usize = 4;

/// Rounds of k-means.
const ROUNDS: usize = 20;

/// Least deviation of a position: two grey levels.
const POSITION_FLOOR: f32 = 2.0 / 255.0;

/// A variance is taken for at least this share of itself more, and this much in absolute terms.
const GAUSSIAN_FLOOR: (f64, f64) = (1e-3, 1e-8);

/// Deviation of a patch below which it counts as flat: it is compared as a patch of its mean, once for every grey level.
const FLAT: f32 = 1.5 / 255.0;

/// A model of normality, fitted.
pub(super) enum Normality {
    Position { grid: Size, channels: usize, means: Shared<f32>, deviations: Shared<f32> },
    Gaussian(Box<PositionGaussians<Shared<f32>, Shared<u16>>>),
    Bank { bank: MemoryBank<Shared<f32>>, scales: Shared<f32> },
    Histogram { references: Shared<f32>, bins: usize, distance: Distance },
    Image,
}

/// A model of normality in the making.
pub(super) enum Builder {
    Position { grid: Size, channels: usize, count: u64, means: Vec<f64>, squares: Vec<f64> },
    Gaussian(Option<Box<GaussianAccumulator>>),
    Sampled { rows: Vec<f32>, channels: usize },
    Image,
}

impl Builder {
    pub(super) fn new(model: ModelChoice) -> Self {
        match model {
            ModelChoice::Position => {
                Self::Position { grid: (0, 0), channels: 0, count: 0, means: Vec::new(), squares: Vec::new() }
            }
            ModelChoice::Gaussian => Self::Gaussian(None),
            ModelChoice::Bank | ModelChoice::Histogram => Self::Sampled { rows: Vec::new(), channels: 0 },
            ModelChoice::Image | ModelChoice::Auto => Self::Image,
        }
    }

    /// Keeps of an image's features what will be needed: all of them, or a sample (to be called before [`Self::add`], on any thread).
    pub(super) fn thin(
        model: ModelChoice,
        features: Features,
        inside: &[bool],
        images: usize,
        random: &mut ChaCha8Rng,
    ) -> Features {
        if model == ModelChoice::Position {
            return features;
        }
        let channels = features.channels;
        let row = |cell: usize| &features.rows[cell * channels..][..channels];
        let mut cells: Vec<usize> = (0..inside.len()).filter(|&cell| inside[cell]).collect();
        if model != ModelChoice::Gaussian {
            let quota = (SAMPLED / channels.max(1) / images.max(1)).max(16);
            if model == ModelChoice::Bank {
                let mut levels = [false; 256];
                cells.retain(|&cell| match flat_level(row(cell)) {
                    None => true,
                    Some(level) => !std::mem::replace(&mut levels[level], true),
                });
            }
            for at in 0..quota.min(cells.len()) {
                let other = random.random_range(at..cells.len());
                cells.swap(at, other);
            }
            cells.truncate(quota);
        }
        let rows = cells.iter().flat_map(|&cell| row(cell)).copied().collect();
        Features { rows, ..features }
    }

    /// Takes an image in.
    ///
    /// # Errors
    /// [`Error::Fit`] if a position model sees images of different sizes.
    pub(super) fn add(&mut self, features: Features) -> Result<(), Error> {
        match self {
            Self::Position { grid, channels, count, means, squares } => {
                if *count == 0 {
                    (*grid, *channels) = (features.grid, features.channels);
                    *means = vec![0.0; features.rows.len()];
                    *squares = means.clone();
                }
                if *grid != features.grid {
                    return Err(Error::Fit {
                        method: NAME,
                        reason: sizes(*grid, features.grid, features.step),
                    });
                }
                *count += 1;
                let share = 1.0 / *count as f64;
                for ((mean, square), &value) in means.iter_mut().zip(squares).zip(&features.rows) {
                    let apart = f64::from(value) - *mean;
                    *mean += apart * share;
                    *square += apart * (f64::from(value) - *mean);
                }
            }
            Self::Gaussian(accumulator) => {
                let accumulator = match accumulator {
                    Some(accumulator) => accumulator,
                    none => none
                        .insert(Box::new(GaussianAccumulator::new(1, features.channels).map_err(fit_error)?)),
                };
                accumulator.add_batch(&features.rows).map_err(fit_error)?;
            }
            Self::Sampled { rows, channels } => {
                *channels = features.channels;
                rows.extend(features.rows);
            }
            Self::Image => {}
        }
        Ok(())
    }

    /// The model of everything seen; `cancelled` is asked while a bank is chosen.
    ///
    /// # Errors
    /// [`Error::Fit`] if there was nothing to learn from, [`Error::Interrupted`].
    pub(super) fn finish(
        self,
        filter: Filter,
        model: ModelChoice,
        config: &ClassicalConfig,
        seed: u64,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<Normality, Error> {
        Ok(match self {
            Self::Image => Normality::Image,
            Self::Position { grid, channels, count, means, squares } => {
                let divisor = count.saturating_sub(1).max(1) as f64;
                let deviation = |square: &f64| ((square / divisor).sqrt() as f32).max(POSITION_FLOOR);
                Normality::Position {
                    grid,
                    channels,
                    means: means.iter().map(|&mean| mean as f32).collect::<Vec<f32>>().into(),
                    deviations: squares.iter().map(deviation).collect::<Vec<f32>>().into(),
                }
            }
            Self::Gaussian(None) => return Err(nothing()),
            Self::Gaussian(Some(mut accumulator)) => {
                let (share, least) = GAUSSIAN_FLOOR;
                accumulator.shrink(config.shrinkage, share, least);
                let gaussian = accumulator.factor(1e-12, Precision::Single).map_err(fit_error)?;
                let (means, factors) = gaussian.into_parts();
                let Factors::Single(factors) = factors else { return Err(nothing()) };
                gaussian_from(accumulator.dimensions(), means.into(), factors.into()).map_err(fit_error)?
            }
            Self::Sampled { rows, .. } if rows.is_empty() => return Err(nothing()),
            Self::Sampled { rows, channels } if model == ModelChoice::Histogram => {
                let count = config.centres.unwrap_or(HISTOGRAMS);
                let references = mean_histograms(&rows, channels, count, seed).map_err(fit_error)?;
                Normality::Histogram {
                    references: references.into(),
                    bins: channels,
                    distance: config.distance.into(),
                }
            }
            Self::Sampled { mut rows, channels } => {
                let scales = if filter.is_uniform() { vec![1.0; channels] } else { units(&rows, channels) };
                rows.chunks_exact_mut(channels).for_each(|row| scale(row, &scales));
                let count = config.centres.unwrap_or(ENTRIES);
                let options = KCentreOptions { start: Start::Random { seed }, ..KCentreOptions::new(count) };
                let chosen = k_centre::select(&rows, channels, &options, &mut |_| {
                    if cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                })
                .map_err(fit_error)?;
                if chosen.interrupted {
                    return Err(Error::Interrupted);
                }
                let entries: Vec<f32> = chosen
                    .indices
                    .iter()
                    .flat_map(|&row| &rows[row * channels..][..channels])
                    .copied()
                    .collect();
                let bank = MemoryBank::new(Shared::from(entries), channels).map_err(fit_error)?;
                Normality::Bank { bank, scales: scales.into() }
            }
        })
    }
}

fn fit_error(error: KernelError) -> Error {
    Error::Fit { method: NAME, reason: error.to_string() }
}

fn nothing() -> Error {
    Error::Fit {
        method: NAME,
        reason: "there is nothing to learn from; the region of interest may be too small".into(),
    }
}

fn sizes(known: Size, found: Size, step: usize) -> String {
    let pixels = |(height, width): Size| format!("{}x{}", width * step, height * step);
    format!(
        "an image of about {} pixels among those of {}, but a model of positions needs one size; resize them with --size, or use \
         another model",
        pixels(found),
        pixels(known)
    )
}

fn gaussian_from(
    dimensions: usize,
    means: Shared<f32>,
    factors: Shared<f32>,
) -> Result<Normality, KernelError> {
    Ok(Normality::Gaussian(Box::new(PositionGaussians::from_parts(
        1,
        dimensions,
        means,
        Factors::Single(factors),
    )?)))
}

/// Reciprocal deviations of every channel.
fn units(rows: &[f32], channels: usize) -> Vec<f32> {
    let count = (rows.len() / channels) as f64;
    let (mut means, mut squares) = (vec![0.0f64; channels], vec![0.0f64; channels]);
    for row in rows.chunks_exact(channels) {
        for ((mean, square), &value) in means.iter_mut().zip(&mut squares).zip(row) {
            *mean += f64::from(value) / count;
            *square += f64::from(value).powi(2) / count;
        }
    }
    let unit = |(mean, square): (&f64, &f64)| 1.0 / (square - mean * mean).max(1e-12).sqrt() as f32;
    means.iter().zip(&squares).map(unit).collect()
}

fn scale(row: &mut [f32], scales: &[f32]) {
    row.iter_mut().zip(scales).for_each(|(value, scale)| *value *= scale);
}

/// k-means of the roots, where Euclid's distance is Hellinger's; squared and normalised again.
fn mean_histograms(rows: &[f32], bins: usize, count: usize, seed: u64) -> Result<Vec<f32>, KernelError> {
    let roots: Vec<f32> = rows.iter().map(|value| value.sqrt()).collect();
    let mut centres = k_means(&roots, bins, count, ROUNDS, seed)?;
    for centre in centres.chunks_exact_mut(bins) {
        centre.iter_mut().for_each(|value| *value *= *value);
        let sum: f32 = centre.iter().sum();
        centre.iter_mut().for_each(|value| *value /= sum);
    }
    Ok(centres)
}

/// The grey level of a row whose values hardly differ.
fn flat_level(row: &[f32]) -> Option<usize> {
    let first = row[0];
    let is_flat = row.iter().all(|value| (value - first).abs() < FLAT);
    is_flat.then(|| (first.clamp(0.0, 1.0) * 255.0).round() as usize)
}

impl Normality {
    /// How far every cell is from what is normal; `tolerance` is for positions, in cells.
    ///
    /// # Errors
    /// [`Error::Score`] if the features are not of the model's form.
    pub(super) fn distances(&self, features: &Features, tolerance: usize) -> Result<Vec<f32>, Error> {
        let failed = |error: KernelError| Error::Score { reason: error.to_string() };
        let channels = features.channels;
        let cells = features.rows.chunks_exact(channels);
        let learnt = match self {
            Self::Position { channels, .. } => *channels,
            Self::Gaussian(gaussian) => gaussian.dimensions(),
            Self::Bank { bank, .. } => bank.dimensions(),
            Self::Histogram { bins, .. } => *bins,
            Self::Image => channels,
        };
        if learnt != channels {
            return Err(Error::Score {
                reason: format!("a filter gives {channels} values, the model holds {learnt}"),
            });
        }
        Ok(match self {
            Self::Position { grid, means, deviations, .. } => {
                if *grid != features.grid {
                    return Err(Error::Score { reason: sizes(*grid, features.grid, features.step) });
                }
                position_distances(features, means, deviations, tolerance)
            }
            Self::Gaussian(gaussian) => gaussian.mahalanobis(&features.rows).map_err(failed)?,
            Self::Bank { bank, scales } => bank_distances(bank, features, scales).map_err(failed)?,
            Self::Histogram { references, distance, .. } => {
                cells.map(|cell| distance.to_nearest(cell, references)).collect()
            }
            Self::Image => image_distances(features),
        })
    }

    pub(super) fn save(&self, state: &mut State, prefix: &str) {
        let name = |part: &str| format!("{prefix}.{part}");
        match self {
            Self::Position { grid, channels, means, deviations } => {
                let shape = [grid.0, grid.1, *channels];
                state.set_f32(&name("means"), &shape, means.clone());
                state.set_f32(&name("deviations"), &shape, deviations.clone());
            }
            Self::Gaussian(gaussian) => {
                state.set_f32(&name("means"), &[gaussian.dimensions()], gaussian.means().clone());
                if let Factors::Single(factors) = gaussian.factors() {
                    state.set_f32(&name("factors"), &[factors.len()], factors.clone());
                }
            }
            Self::Bank { bank, scales } => {
                let entries: Vec<f32> = bank.rows().to_vec();
                state.set_f32(&name("bank"), &[bank.len(), bank.dimensions()], entries);
                state.set_f32(&name("scales"), &[scales.len()], scales.clone());
            }
            Self::Histogram { references, bins, .. } => {
                state.set_f32(&name("histograms"), &[references.len() / bins, *bins], references.clone());
            }
            Self::Image => {}
        }
    }

    /// # Errors
    /// [`Error::State`] naming the tensor that is missing, misshapen or holds values that cannot be.
    pub(super) fn restore(
        model: ModelChoice,
        config: &ClassicalConfig,
        state: &State,
        prefix: &str,
    ) -> Result<Self, Error> {
        let name = |part: &str| format!("{prefix}.{part}");
        let wrong = |part: &str, reason: String| Error::from(StateError { name: name(part), reason });
        Ok(match model {
            ModelChoice::Position => {
                let (shape, means) = state.f32(&name("means"), 3)?;
                let (other, deviations) = state.f32(&name("deviations"), 3)?;
                if shape != other {
                    return Err(wrong("deviations", format!("has shape {other:?}, the means {shape:?}")));
                }
                Self::Position { grid: (shape[0], shape[1]), channels: shape[2], means, deviations }
            }
            ModelChoice::Gaussian => {
                let (shape, means) = state.f32(&name("means"), 1)?;
                let (_, factors) = state.f32(&name("factors"), 1)?;
                gaussian_from(shape[0], means, factors)
                    .map_err(|error| wrong("factors", error.to_string()))?
            }
            ModelChoice::Bank => {
                let (shape, entries) = state.f32(&name("bank"), 2)?;
                let bank =
                    MemoryBank::new(entries, shape[1]).map_err(|error| wrong("bank", error.to_string()))?;
                let (_, scales) = state.f32(&name("scales"), 1)?;
                if scales.len() != bank.dimensions() {
                    return Err(wrong(
                        "scales",
                        format!("has {} values for {}", scales.len(), bank.dimensions()),
                    ));
                }
                Self::Bank { bank, scales }
            }
            ModelChoice::Histogram => {
                let (shape, references) = state.f32(&name("histograms"), 2)?;
                if references.is_empty() {
                    return Err(wrong("histograms", "is empty".into()));
                }
                Self::Histogram { references, bins: shape[1], distance: config.distance.into() }
            }
            ModelChoice::Image | ModelChoice::Auto => Self::Image,
        })
    }
}

/// The worst channel of every cell, in deviations: the least over shifts of up to `tolerance` cells.
fn position_distances(features: &Features, means: &[f32], deviations: &[f32], tolerance: usize) -> Vec<f32> {
    let ((height, width), channels) = (features.grid, features.channels);
    let reach = tolerance as isize;
    let mut found = vec![f32::INFINITY; height * width];
    found.par_chunks_mut(width).enumerate().for_each(|(y, found)| {
        for dy in -reach..=reach {
            let Some(from) = y.checked_add_signed(dy).filter(|&from| from < height) else { continue };
            for dx in -reach..=reach {
                let (start, end) = ((-dx).max(0) as usize, width.saturating_sub(dx.max(0) as usize));
                for x in start..end {
                    let here = (y * width + x) * channels;
                    let there = (from * width + x.strict_add_signed(dx)) * channels;
                    let mut worst = 0.0f32;
                    for channel in 0..channels {
                        let apart = (features.rows[there + channel] - means[here + channel]).abs();
                        worst = worst.max(apart / deviations[here + channel]);
                    }
                    found[x] = found[x].min(worst);
                }
            }
        }
    });
    found
}

/// Distances to the nearest entry, per root of the dimensions; flat rows are looked up once for every grey level.
fn bank_distances(
    bank: &MemoryBank<Shared<f32>>,
    features: &Features,
    scales: &[f32],
) -> Result<Vec<f32>, KernelError> {
    let channels = features.channels;
    let levels: Vec<Option<usize>> = features.rows.chunks_exact(channels).map(flat_level).collect();
    let mut queries: Vec<f32> =
        (0..256).flat_map(|level| std::iter::repeat_n(level as f32 / 255.0, channels)).collect();
    let rows = features.rows.chunks_exact(channels).zip(&levels);
    queries.extend(rows.filter(|(_, level)| level.is_none()).flat_map(|(row, _)| row));
    queries.chunks_exact_mut(channels).for_each(|row| scale(row, scales));
    let found = bank.search(&queries, 1)?;
    let unit = 1.0 / (channels as f32).sqrt();
    let mut next = 256;
    Ok(levels
        .into_iter()
        .map(|level| {
            let at = level.unwrap_or_else(|| {
                next += 1;
                next - 1
            });
            unit * found.squared_distances[at].sqrt()
        })
        .collect())
}

/// Deviation from the image's mean in its standard deviations; of several channels the greatest.
fn image_distances(features: &Features) -> Vec<f32> {
    let channels = features.channels;
    let mut worst = vec![f32::NEG_INFINITY; features.rows.len() / channels];
    for channel in 0..channels {
        let values = || features.rows.iter().skip(channel).step_by(channels);
        let count = worst.len() as f64;
        let mean = values().map(|&value| f64::from(value)).sum::<f64>() / count;
        let square = values().map(|&value| (f64::from(value) - mean).powi(2)).sum::<f64>() / count;
        let unit = 1.0 / (square.sqrt() as f32).max(1e-9);
        for (worst, &value) in worst.iter_mut().zip(values()) {
            *worst = worst.max((value - mean as f32) * unit);
        }
    }
    worst
}
