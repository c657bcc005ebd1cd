//! Grey-level co-occurrence features of windows (Haralick, Shanmugam and Dinstein 1973).
//!
//! Matrices are symmetric, so only unordered pairs are counted: L (L + 1) / 2 bins an offset, filled once a pixel and summed over
//! windows by blocks. A pair belongs to the window of its first pixel. Features are averaged over the four directions, which makes
//! them insensitive to rotation by 45 degrees.

use super::Size;
use super::windows::Windows;

/// Features of a matrix: contrast, dissimilarity, homogeneity, angular second moment (energy is its root), entropy, correlation.
pub const FEATURES: usize = 6;

/// Directions that are averaged, as (dy, dx) for distance 1: 0, 45, 90 and 135 degrees.
const DIRECTIONS: [(isize, isize); 4] = [(0, 1), (-1, 1), (-1, 0), (-1, -1)];

/// Pairs of `levels` grey levels without order.
fn pairs(levels: usize) -> usize {
    levels * (levels + 1) / 2
}

/// Features of every window of labels below `levels` (at most 22, so that a pair fits a byte), windows x (6 x distances), averaged
/// over the four directions.
///
/// # Panics
/// If the labels are not of that size, or there are more than 22 levels.
pub fn features(labels: &[u8], size: Size, levels: usize, distances: &[usize], windows: Windows) -> Vec<f32> {
    assert!(pairs(levels) < 256, "a pair of levels and `none` fit a byte");
    let (rows, columns) = windows.grid(size);
    let width = FEATURES * distances.len();
    let mut features = vec![0.0f32; rows * columns * width];
    let table = Table::new(levels, 2 * size.0 * size.1);
    for (index, &distance) in distances.iter().enumerate() {
        for direction in DIRECTIONS {
            let offset = (direction.0 * distance as isize, direction.1 * distance as isize);
            // One bin more takes the pixels whose partner lies outside.
            let bins = pairs(levels) + 1;
            let codes = pair_codes(labels, size, levels, offset);
            let counts = windows.histograms(&codes, size, bins);
            for (counts, target) in counts.chunks_exact(bins).zip(features.chunks_exact_mut(width)) {
                let found = table.features(&counts[..bins - 1]);
                for (target, value) in target[index * FEATURES..].iter_mut().zip(found) {
                    *target += 0.25 * value;
                }
            }
        }
    }
    features
}

/// Features of the symmetric matrix of a whole image at one offset (dy, dx); what [`features`] averages.
///
/// # Panics
/// As [`features`].
pub fn image_features(labels: &[u8], size: Size, levels: usize, offset: (isize, isize)) -> [f32; FEATURES] {
    let mut counts = vec![0.0f32; pairs(levels) + 1];
    pair_codes(labels, size, levels, offset).iter().for_each(|&code| counts[usize::from(code)] += 1.0);
    Table::new(levels, 2 * labels.len()).features(&counts[..pairs(levels)])
}

/// The bin of the pair that starts at every pixel; the last one where it leaves the image.
fn pair_codes(labels: &[u8], (height, width): Size, levels: usize, (dy, dx): (isize, isize)) -> Vec<u8> {
    let outside = pairs(levels) as u8;
    let mut code = vec![0u8; levels * levels];
    for a in 0..levels {
        for b in 0..levels {
            let (low, high) = (a.min(b), a.max(b));
            code[a * levels + b] = (high * (high + 1) / 2 + low) as u8;
        }
    }
    let mut codes = vec![outside; labels.len()];
    for y in 0..height {
        let Some(other) = y.checked_add_signed(dy).filter(|&other| other < height) else { continue };
        let start = dx.min(0).unsigned_abs();
        let end = width.saturating_sub(dx.max(0).unsigned_abs());
        if start >= end {
            continue;
        }
        let here = &labels[y * width..][start..end];
        let there = &labels[other * width..][start.strict_add_signed(dx)..end.strict_add_signed(dx)];
        for ((target, &a), &b) in codes[y * width..][start..end].iter_mut().zip(here).zip(there) {
            *target = code[usize::from(a) * levels + usize::from(b)];
        }
    }
    codes
}

/// What of the features depends on the pair alone, or on a count alone.
struct Table {
    /// Per pair: |i - j|, (i - j)^2, 1 / (1 + (i - j)^2), i + j, i j, i^2 + j^2.
    weights: Vec<[f32; 6]>,
    /// c ln c for counts c, doubled where both orders are counted.
    entropy: Vec<f32>,
    is_diagonal: Vec<bool>,
}

impl Table {
    fn new(levels: usize, most: usize) -> Self {
        let pair = |(i, j): (usize, usize)| {
            let (i, j) = (i as f32, j as f32);
            let apart = (i - j).abs();
            [apart, apart * apart, 1.0 / (1.0 + apart * apart), i + j, i * j, i * i + j * j]
        };
        let all: Vec<(usize, usize)> = (0..levels).flat_map(|j| (0..=j).map(move |i| (i, j))).collect();
        Self {
            weights: all.iter().copied().map(pair).collect(),
            entropy: (0..=most.min(1 << 16)).map(|count| plog(count as f32)).collect(),
            is_diagonal: all.iter().map(|(i, j)| i == j).collect(),
        }
    }

    /// Features from counts of unordered pairs.
    fn features(&self, counts: &[f32]) -> [f32; FEATURES] {
        let total: f32 = counts.iter().sum();
        if total == 0.0 {
            // No pair at all: what a flat window gives.
            return [0.0, 0.0, 1.0, 1.0, 0.0, 1.0];
        }
        let mut sums = [0.0f32; 6];
        let (mut squares, mut entropy) = (0.0f32, 0.0f32);
        for ((&count, weights), &is_diagonal) in counts.iter().zip(&self.weights).zip(&self.is_diagonal) {
            if count == 0.0 {
                continue;
            }
            for (sum, weight) in sums.iter_mut().zip(weights) {
                *sum += count * weight;
            }
            // A pair of unlike levels is two entries of half its share each; one of like levels is one entry.
            let share = count / total;
            squares += if is_diagonal { share * share } else { 0.5 * share * share };
            let plain = self.entropy.get(count as usize).copied().unwrap_or_else(|| plog(count));
            entropy += if is_diagonal { plain } else { plain - count * std::f32::consts::LN_2 };
        }
        let [apart, contrast, homogeneity, both, product, second] = sums.map(|sum| sum / total);
        let mean = 0.5 * both;
        let variance = 0.5 * second - mean * mean;
        let correlation = if variance > 1e-9 { (product - mean * mean) / variance } else { 1.0 };
        [contrast, apart, homogeneity, squares, total.ln() - entropy / total, correlation]
    }
}

/// c ln c, 0 for 0.
fn plog(count: f32) -> f32 {
    if count > 0.0 { count * count.ln() } else { 0.0 }
}
