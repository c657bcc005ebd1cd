//! Models of normality in the making: features of good images in, a [`Normality`] out.

use super::bank::Filter;
use super::config::{ClassicalConfig, ModelChoice, NAME};
use super::normality::{Normality, flat_level, gaussian_from, scale, sizes};
use super::responses::Features;
use blemish_core::error::Error;
use blemish_core::state::Shared;
use blemish_kernels::KernelError;
use blemish_kernels::gaussian::{Factors, GaussianAccumulator, Precision};
use blemish_kernels::image::Size;
use blemish_kernels::k_centre::{self, KCentreOptions, Start};
use blemish_kernels::k_means::k_means;
use blemish_kernels::knn::MemoryBank;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
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
