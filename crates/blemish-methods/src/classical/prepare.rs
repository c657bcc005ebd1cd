//! What filters learn before they can give features: quantiles, textons, spectra, band energies.
//!
//! One row of numbers a plane (`Tables`), from samples or sums over the good images.

use super::bank::Filter;
use super::config::{ClassicalConfig, NAME};
use super::planes::Planes;
use super::responses;
use super::tables::{CONTRASTS, LEVELS, TEXTON_RESPONSES, TILE, Tables};
use blemish_core::error::Error;
use blemish_kernels::image::convolve::blur;
use blemish_kernels::image::edges::sobel_magnitude;
use blemish_kernels::image::fourier::Tiles;
use blemish_kernels::image::wavelet::Wavelet;
use blemish_kernels::k_means::k_means;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Textons, and rounds of their k-means.
const TEXTONS: usize = 64;
const ROUNDS: usize = 20;

/// Values sampled of each plane over all images.
const SAMPLES: usize = 200_000;

/// Texture that a residual may leave: bands and frequencies are taken out from the strongest on until this share is left.
const LEFT_OVER: f32 = 0.05;

/// Share of a tile's frequencies that a notch takes out, before they are widened by one bin.
const NOTCHED: f32 = 0.02;

/// What one image, or several, contribute.
#[derive(Clone, Debug)]
pub(super) enum Gathered {
    /// Values drawn at random, a list a plane.
    Samples(Vec<Vec<f32>>),
    /// Sums, a list a plane; the first entry counts.
    Sums(Vec<Vec<f64>>),
}

impl Gathered {
    /// Takes another image's contribution in.
    pub(super) fn absorb(&mut self, other: Self) {
        match (self, other) {
            (Self::Samples(own), Self::Samples(other)) => {
                own.iter_mut().zip(other).for_each(|(own, other)| own.extend(other));
            }
            (Self::Sums(own), Self::Sums(other)) => {
                for (own, other) in own.iter_mut().zip(other) {
                    own.iter_mut().zip(other).for_each(|(own, other)| *own += other);
                }
            }
            // A filter always gathers the same kind.
            _ => {}
        }
    }
}

/// Whether a filter learns anything before its features.
pub(super) fn is_needed(filter: Filter) -> bool {
    use Filter::*;
    matches!(filter, Histogram | Lbp | Glcm | Textons | Canny | WaveletResidual | Notch | Whiten)
}

/// What a filter takes from an image; `images` is how many there are.
pub(super) fn gather(
    filter: Filter,
    config: &ClassicalConfig,
    planes: &Planes,
    images: usize,
    random: &mut ChaCha8Rng,
) -> Gathered {
    let quota = SAMPLES.div_ceil(images.max(1)).max(256);
    let mut draw = |values: Vec<f32>| -> Vec<f32> {
        (0..quota.min(values.len())).map(|_| values[random.random_range(0..values.len())]).collect()
    };
    let size = planes.size;
    let each = planes.planes.iter();
    match filter {
        Filter::Histogram | Filter::Glcm => {
            Gathered::Samples(each.map(|plane| draw(plane.clone())).collect())
        }
        Filter::Lbp => {
            Gathered::Samples(each.map(|plane| draw(responses::local_deviation(plane, size))).collect())
        }
        Filter::Canny => {
            let scales = (0..config.scales).flat_map(|scale| {
                planes.planes.iter().map(move |plane| (plane, responses::canny_sigma(scale)))
            });
            let gradient =
                |(plane, sigma): (&Vec<f32>, f32)| sobel_magnitude(&blur(plane, size, sigma), size);
            Gathered::Samples(scales.map(gradient).map(draw).collect())
        }
        Filter::Textons => {
            let rows = responses::texton_responses(planes);
            let width = TEXTON_RESPONSES * planes.planes.len();
            let count = rows.len() / width;
            let picks = (quota / 8).clamp(64.min(count), count);
            let rows =
                (0..picks).flat_map(|_| rows[random.random_range(0..count) * width..][..width].to_vec());
            Gathered::Samples(vec![rows.collect()])
        }
        Filter::WaveletResidual => {
            let energies = |plane: &Vec<f32>| {
                let bands = Wavelet::Daubechies.contributions(plane, size, config.scales);
                let energy = |band: Vec<f32>| band.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>();
                std::iter::once(1.0).chain(bands.into_iter().map(energy)).collect()
            };
            Gathered::Sums(each.map(energies).collect())
        }
        Filter::Notch | Filter::Whiten => {
            let tiles = Tiles::new(TILE);
            let spectrum = |plane: &Vec<f32>| {
                let mut sums = vec![0.0f64; tiles.bins() + 1];
                tiles.logarithms(plane, size, |logarithms| {
                    sums[0] += 1.0;
                    sums[1..].iter_mut().zip(logarithms).for_each(|(sum, &value)| *sum += f64::from(value));
                });
                sums
            };
            Gathered::Sums(each.map(spectrum).collect())
        }
        _ => Gathered::Samples(Vec::new()),
    }
}

/// What a filter learns of all that was gathered.
///
/// # Errors
/// [`Error::Fit`] if textons cannot be made of these images.
pub(super) fn settle(filter: Filter, gathered: Gathered, width: usize, seed: u64) -> Result<Tables, Error> {
    let tables = match (filter, gathered) {
        (Filter::Histogram, Gathered::Samples(samples)) => samples.into_iter().map(value_range).collect(),
        (Filter::Glcm, Gathered::Samples(samples)) => {
            samples.into_iter().map(|samples| quantiles(samples, LEVELS)).collect()
        }
        (Filter::Lbp, Gathered::Samples(samples)) => {
            samples.into_iter().map(|samples| quantiles(samples, CONTRASTS)).collect()
        }
        (Filter::Canny, Gathered::Samples(samples)) => {
            samples.into_iter().map(|samples| vec![quantiles(samples, 20)[18]]).collect()
        }
        (Filter::Textons, Gathered::Samples(samples)) => {
            let centres = k_means(&samples.concat(), width, TEXTONS, ROUNDS, seed)
                .map_err(|error| Error::Fit { method: NAME, reason: error.to_string() })?;
            vec![centres]
        }
        (Filter::WaveletResidual, Gathered::Sums(sums)) => {
            sums.iter().map(|sums| weak_parts(&sums[1..])).collect()
        }
        (Filter::Notch, Gathered::Sums(sums)) => sums.iter().map(|sums| notches(&means(sums))).collect(),
        (Filter::Whiten, Gathered::Sums(sums)) => {
            sums.iter().map(|sums| means(sums).iter().map(|mean| (-mean).exp()).collect()).collect()
        }
        _ => Vec::new(),
    };
    Ok(tables)
}

fn means(sums: &[f64]) -> Vec<f32> {
    sums[1..].iter().map(|sum| (sum / sums[0].max(1.0)) as f32).collect()
}

/// Lowest and highest value that histograms tell apart: those of the samples but for one in a thousand, and half as much again.
fn value_range(samples: Vec<f32>) -> Vec<f32> {
    let inner = quantiles(samples, 1000);
    let (low, high) = (inner[0], inner[inner.len() - 1]);
    let margin = (0.5 * (high - low)).max(1.0 / 255.0);
    vec![low - margin, high + margin]
}

/// The `parts` - 1 values that cut the samples into equal parts.
fn quantiles(mut samples: Vec<f32>, parts: usize) -> Vec<f32> {
    samples.sort_unstable_by(f32::total_cmp);
    (1..parts).map(|part| samples.get(part * samples.len() / parts).copied().unwrap_or(0.0)).collect()
}

/// 1 for the bands that stay, 0 for the strongest ones, which carry all but [`LEFT_OVER`] of the energy.
fn weak_parts(energies: &[f64]) -> Vec<f32> {
    let mut order: Vec<usize> = (0..energies.len()).collect();
    order.sort_by(|&a, &b| energies[b].total_cmp(&energies[a]));
    let mut left: f64 = energies.iter().sum();
    let enough = left * f64::from(LEFT_OVER);
    let mut kept = vec![1.0; energies.len()];
    for index in order {
        if left <= enough {
            break;
        }
        left -= energies[index];
        kept[index] = 0.0;
    }
    kept
}

/// 0 for the strongest frequencies and their neighbours, 1 for the rest; the half spectrum has rows of [`TILE`] values.
fn notches(means: &[f32]) -> Vec<f32> {
    let mut sorted = means.to_vec();
    sorted.sort_unstable_by(f32::total_cmp);
    let limit = sorted[((1.0 - NOTCHED) * (sorted.len() - 1) as f32) as usize];
    let rows = means.len() / TILE;
    let mut weights = vec![1.0; means.len()];
    for (at, _) in means.iter().enumerate().filter(|(_, mean)| **mean >= limit) {
        let (x, y) = (at / TILE, at % TILE);
        for near_x in x.saturating_sub(1)..(x + 2).min(rows) {
            for near_y in [y + TILE - 1, y, y + 1] {
                weights[near_x * TILE + near_y % TILE] = 0.0;
            }
        }
    }
    weights
}
