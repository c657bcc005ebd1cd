//! The one model of normality that all filters share: features of good images in, a distance for every cell out.
//!
//! | model | keeps | distance |
//! |---|---|---|
//! | position | mean and deviation of every cell and channel | the worst channel, in deviations |
//! | gaussian | mean and shrunk covariance over all cells | Mahalanobis |
//! | bank | vectors that cover those of good images (k-centre) | to the nearest |
//! | histogram | a few mean histograms (k-means) | of histograms, to the nearest |
//! | image | nothing | from the image's own mean, in its deviations |

use super::config::{ClassicalConfig, ModelChoice};
use super::responses::Features;
use blemish_core::error::Error;
use blemish_core::state::{Shared, State, StateError};
use blemish_kernels::KernelError;
use blemish_kernels::gaussian::{Factors, PositionGaussians};
use blemish_kernels::image::Size;
use blemish_kernels::image::distance::Distance;
use blemish_kernels::knn::MemoryBank;
use rayon::prelude::*;

/// Deviation of a patch below which it counts as flat: it is compared as a patch of its mean, once for every grey level.
const FLAT: f32 = 1.5 / 255.0;

/// A model of normality, fitted.
pub(super) enum Normality {
    Position { grid: Size, channels: usize, means: Shared<f32>, deviations: Shared<f32> },
    Gaussian(Box<PositionGaussians<Shared<f32>, Shared<u16>, Shared<u8>>>),
    Bank { bank: MemoryBank<Shared<f32>>, scales: Shared<f32> },
    Histogram { references: Shared<f32>, bins: usize, distance: Distance },
    Image,
}

/// Why an image does not go with those that were learnt.
pub(super) fn sizes(known: Size, found: Size, step: usize) -> String {
    let pixels = |(height, width): Size| format!("{}x{}", width * step, height * step);
    format!(
        "an image of about {} pixels among those of {}, but a model of positions needs one size; resize all images to one size, or use \
         another model",
        pixels(found),
        pixels(known)
    )
}

/// A Gaussian from its mean and inverse factor.
pub(super) fn gaussian_from(
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

/// Multiplies every value by its channel's scale.
pub(super) fn scale(row: &mut [f32], scales: &[f32]) {
    row.iter_mut().zip(scales).for_each(|(value, scale)| *value *= scale);
}

/// The grey level of a row whose values hardly differ.
pub(super) fn flat_level(row: &[f32]) -> Option<usize> {
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
