//! Pictures that are the same, or nearly the same.
//!
//! A difference hash (256 signs of differences between neighbours, of a picture shrunk to 17 x 16) finds pairs worth a look in a few
//! instructions a pair; the correlation of 64 x 64 thumbnails then decides. Images of one product resemble each other in any case, so the
//! limits are strict: what counts is the correlation after brightness and contrast are taken out.

use crate::reader::RgbImage;
use crate::transform::Transform;
use rayon::prelude::*;
use std::collections::HashMap;

/// Side of a thumbnail.
const SIDE: usize = 64;
/// Rows of the hash, and differences a row.
const HASH: usize = 16;
/// Signs of 256 that may differ between pictures worth a look.
const DIFFERENT_SIGNS: u32 = 24;
/// Correlation from which two pictures are the same one: re-encoded, resized, or taken twice in the same light.
const SAME: f32 = 0.998;
/// Correlation from which they are nearly the same.
const NEAR: f32 = 0.995;

/// A picture as others are compared with it.
pub(super) struct Picture {
    /// SHA-256 of its file.
    pub(super) digest: [u8; 32],
    pub(super) thumbnail: Thumbnail,
}

/// What is kept of a picture to compare it.
pub(super) struct Thumbnail {
    signs: [u64; 4],
    /// 64 x 64 grey values of mean 0 and norm 1.
    values: Vec<f32>,
    /// Whether it is of one colour; such pictures are compared with no other.
    is_flat: bool,
    /// Standard deviation of its grey values before, of 255.
    contrast: f32,
}

impl Thumbnail {
    pub(super) fn of(image: &RgbImage) -> Self {
        let grey = |height: usize, width: usize| -> Vec<f32> {
            let Ok(small) = Transform::resize_to(height, width).apply(image) else {
                return vec![0.0; height * width];
            };
            let plane = height * width;
            (0..plane).map(|at| (0..3).map(|c| small.pixels[c * plane + at]).sum::<f32>() / 3.0).collect()
        };
        let mut signs = [0u64; 4];
        let rows = grey(HASH, HASH + 1);
        let differences =
            rows.chunks_exact(HASH + 1).flat_map(|row| row.windows(2).map(|pair| pair[1] > pair[0]));
        for (bit, is_rising) in differences.enumerate() {
            signs[bit / 64] |= u64::from(is_rising) << (bit % 64);
        }
        let mut values = grey(SIDE, SIDE);
        let mean = values.iter().sum::<f32>() / values.len() as f32;
        values.iter_mut().for_each(|value| *value -= mean);
        let norm = values.iter().map(|value| value * value).sum::<f32>().sqrt();
        let contrast = 255.0 * norm / SIDE as f32;
        values.iter_mut().for_each(|value| *value /= norm.max(1e-6));
        Self { signs, values, is_flat: contrast < 0.5, contrast }
    }

    fn different_signs(&self, other: &Self) -> u32 {
        self.signs.iter().zip(&other.signs).map(|(one, other)| (one ^ other).count_ones()).sum()
    }

    fn correlation(&self, other: &Self) -> f32 {
        self.values.iter().zip(&other.values).map(|(one, other)| one * other).sum()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TwinKind {
    /// The same bytes.
    Bytes,
    /// The same picture in other bytes.
    Picture,
    /// All but the same picture.
    Near,
}

/// Two images, by index, the first being the earlier.
pub(super) struct Twin {
    pub(super) one: usize,
    pub(super) other: usize,
    pub(super) kind: TwinKind,
    correlation: f32,
}

impl Twin {
    /// How alike they are.
    pub(super) fn words(&self) -> String {
        format!("correlation {:.4}", self.correlation)
    }
}

/// All pairs of alike images, in order.
pub(super) fn find_twins(pictures: &[&Picture]) -> Vec<Twin> {
    let mut first_of: HashMap<[u8; 32], usize> = HashMap::new();
    let mut twins = Vec::new();
    let mut distinct = Vec::new();
    for (index, one) in pictures.iter().enumerate() {
        match first_of.get(&one.digest) {
            Some(&first) => {
                twins.push(Twin { one: first, other: index, kind: TwinKind::Bytes, correlation: 1.0 })
            }
            None => {
                first_of.insert(one.digest, index);
                distinct.push(index);
            }
        }
    }
    let alike: Vec<Twin> = distinct
        .par_iter()
        .enumerate()
        .flat_map_iter(|(place, &one)| {
            distinct[place + 1..].iter().filter_map(move |&other| compare(pictures, one, other))
        })
        .collect();
    twins.extend(alike);
    twins.sort_by_key(|twin| (twin.one, twin.other));
    twins
}

fn compare(pictures: &[&Picture], one: usize, other: usize) -> Option<Twin> {
    let (first, second) = (&pictures[one].thumbnail, &pictures[other].thumbnail);
    if first.is_flat || second.is_flat || first.different_signs(second) > DIFFERENT_SIGNS {
        return None;
    }
    let correlation = first.correlation(second);
    // The same picture has the same contrast too; another exposure of the same scene does not.
    let is_same_light = (first.contrast / second.contrast - 1.0).abs() < 0.02;
    let kind = match correlation {
        value if value >= SAME && is_same_light => TwinKind::Picture,
        value if value >= NEAR => TwinKind::Near,
        _ => return None,
    };
    Some(Twin { one, other, kind, correlation })
}
