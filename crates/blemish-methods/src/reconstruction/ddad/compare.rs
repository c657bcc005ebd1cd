//! How an image differs from its reconstruction: in pixels, and in features.

use crate::shared::box_mean::{Outside, box_mean};
use blemish_features::FeatureMap;
use blemish_kernels::map::{Border, gaussian_blur, resize_aligned};

/// Height and width.
pub(super) type Size = (usize, usize);

/// Keeps quotients of lengths finite.
const SHORTEST: f32 = 1e-8;

/// How an image differs from its reconstruction, height x width each.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Differences {
    /// D_p, of pixels.
    pub(super) pixels: Vec<f32>,
    /// D_f, of features.
    pub(super) features: Vec<f32>,
}

impl Differences {
    /// The largest of features and of pixels.
    pub(super) fn maxima(&self) -> [f32; 2] {
        [&self.features, &self.pixels].map(|map| map.iter().copied().fold(0.0, f32::max))
    }

    /// D_f + factor D_p.
    pub(super) fn combined(&self, factor: f32) -> Vec<f32> {
        self.features.iter().zip(&self.pixels).map(|(features, pixels)| features + factor * pixels).collect()
    }
}

/// D_p, the mean over channels of |x - y| of images of 3 x H x W values in [-1, 1].
pub(super) fn pixels(one: &[f32], other: &[f32]) -> Vec<f32> {
    let plane = one.len() / 3;
    let mean =
        |at: usize| (0..3).map(|c| (one[c * plane + at] - other[c * plane + at]).abs()).sum::<f32>() / 3.0;
    (0..plane).map(mean).collect()
}

/// Means of 3 x 3 neighbours, zeros outside, of every channel.
fn smoothed(map: &[f32], size: Size) -> Vec<f32> {
    map.chunks_exact(size.0 * size.1).flat_map(|plane| box_mean(plane, size, 3, Outside::Zeros)).collect()
}

/// 1 - the cosine between two maps of channels x positions values, at every position.
fn turned(one: &[f32], other: &[f32], positions: usize) -> Vec<f32> {
    let mut sums = vec![[0.0f32; 3]; positions];
    for (one, other) in one.chunks_exact(positions).zip(other.chunks_exact(positions)) {
        for ((sum, &a), &b) in sums.iter_mut().zip(one).zip(other) {
            sum[0] += a * b;
            sum[1] += a * a;
            sum[2] += b * b;
        }
    }
    let of = |[product, one, other]: [f32; 3]| 1.0 - product / (one.sqrt() * other.sqrt()).max(SHORTEST);
    sums.into_iter().map(of).collect()
}

/// D_f: of each of the maps of two images, the smoothed features' turn at every position, enlarged so that corners meet corners, and their
/// sum.
pub(super) fn features(maps: &[FeatureMap], size: Size) -> Vec<f32> {
    let mut sum = vec![0.0f32; size.0 * size.1];
    for map in maps {
        let own = (map.height, map.width);
        let (one, other) = map.data.split_at(map.data.len() / 2);
        let turned = turned(&smoothed(one, own), &smoothed(other, own), own.0 * own.1);
        let enlarged = resize_aligned(&turned, own, size);
        sum.iter_mut().zip(enlarged).for_each(|(sum, value)| *sum += value);
    }
    sum
}

/// What D_p is multiplied with, so that it is as large as D_f: the ratio of their largest values, averaged over good images.
pub(super) fn ratio(maxima: &[[f32; 2]]) -> f32 {
    let sum = |which: usize| maxima.iter().map(|maxima| f64::from(maxima[which])).sum::<f64>();
    (sum(0) / sum(1).max(1e-12)) as f32
}

/// The same as published: of the largest values in a batch of images that are scored together.
#[cfg(test)]
pub(super) fn ratio_of_batch(batch: &[Differences]) -> f32 {
    let most = |which: usize| batch.iter().map(|found| found.maxima()[which]).fold(0.0, f32::max);
    most(0) / most(1).max(1e-12)
}

/// A map as it is judged: blurred, and 0 outside the region of interest and around the central part.
pub(super) fn finished(
    mut map: Vec<f32>,
    size: Size,
    sigma: f32,
    crop: Option<usize>,
    region: Option<&[bool]>,
) -> Vec<f32> {
    if let Some(region) = region {
        map.iter_mut().zip(region).for_each(|(value, &is_inside)| *value *= f32::from(u8::from(is_inside)));
    }
    if sigma > 0.0 {
        map = gaussian_blur(&map, size, sigma, Border::Mirror);
    }
    if let Some(side) = crop {
        let (rows, columns) = (margin(size.0, side), margin(size.1, side));
        for (at, value) in map.iter_mut().enumerate() {
            let (y, x) = (at / size.1, at % size.1);
            if !rows.contains(&y) || !columns.contains(&x) {
                *value = 0.0;
            }
        }
    }
    map
}

/// The `side` central ones of `all` rows.
fn margin(all: usize, side: usize) -> std::ops::Range<usize> {
    let start = all.saturating_sub(side) / 2;
    start..(start + side).min(all)
}
