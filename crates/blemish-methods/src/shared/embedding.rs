//! Locally aggregated patch features: from feature maps to one row per patch.
//!
//! Everything here is linear, so each layer is aggregated on its own small grid first and resized afterwards; the result is the same
//! as resizing neighbourhoods, for a fraction of the work.

use blemish_core::error::Error;
use blemish_core::feature_batch::FeatureBatch;
use blemish_features::FeatureMap;
use blemish_kernels::simd::{Kernel, Lanes, widest};
use rayon::prelude::*;

/// Checks that a neighbourhood has a centre.
///
/// # Errors
/// [`Error::Setting`] for an even `size`.
pub(crate) fn check_patch_size(size: usize) -> Result<(), Error> {
    if !size.is_multiple_of(2) {
        return Ok(());
    }
    let reason = format!("{size} is even; the neighbourhood needs a centre");
    Err(Error::Setting { key: "patch_size".into(), reason, help: "allowed: 1, 3, 5, 7".into() })
}

/// How the neighbourhood of a position becomes its feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aggregation {
    /// The mean over `size` x `size` positions; layers are joined as they are (anomalib's PatchCore).
    Mean {
        /// Side of the neighbourhood, odd.
        size: usize,
    },
    /// Each layer's neighbourhood flattened and pooled to `layer` means, the joined layers pooled to `joined` (PatchCore's authors).
    Pooled {
        /// Side of the neighbourhood, odd.
        size: usize,
        /// Values a layer.
        layer: usize,
        /// Values of the feature.
        joined: usize,
    },
}

/// One row per patch: image by image, row-major over the grid.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Embedding {
    /// (N x height x width) x `dimensions` values.
    pub rows: Vec<f32>,
    /// Length of a row.
    pub dimensions: usize,
    /// Rows of the patch grid.
    pub height: usize,
    /// Columns of the patch grid.
    pub width: usize,
}

/// A height x width grid of rows, patch-major.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Grid {
    /// Rows of the grid.
    pub height: usize,
    /// Columns of the grid.
    pub width: usize,
    /// Length of a row.
    pub dimensions: usize,
    /// (height x width) x `dimensions` values.
    pub rows: Vec<f32>,
}

/// Embeds `count` images given the feature maps of their layers, shallow to deep. The first layer's grid is the patch grid.
pub(crate) fn embed(aggregation: Aggregation, maps: &[FeatureMap], count: usize) -> Embedding {
    let (height, width) = maps.first().map_or((0, 0), |map| (map.height, map.width));
    let images: Vec<Grid> =
        (0..count).into_par_iter().map(|image| embed_one(aggregation, maps, image, height, width)).collect();
    let dimensions = images.first().map_or(0, |image| image.dimensions);
    let rows: Vec<&[f32]> = images.iter().map(|image| image.rows.as_slice()).collect();
    let rows = rows.concat();
    Embedding { rows, dimensions, height, width }
}

fn embed_one(
    aggregation: Aggregation,
    maps: &[FeatureMap],
    image: usize,
    height: usize,
    width: usize,
) -> Grid {
    let layers: Vec<Grid> = maps
        .iter()
        .map(|map| {
            let grid = patch_major(map, image);
            let grid = match aggregation {
                Aggregation::Mean { size } => neighbourhood_mean(&grid, size),
                Aggregation::Pooled { size, layer, .. } => neighbourhood_pool(&grid, size, layer),
            };
            resize(grid, height, width)
        })
        .collect();
    let joined = concatenate(&layers, height, width);
    match aggregation {
        Aggregation::Mean { .. } => joined,
        Aggregation::Pooled { joined: length, .. } => Grid {
            dimensions: length,
            rows: adaptive_pool(&joined.rows, joined.dimensions, length),
            ..joined
        },
    }
}

/// C x H x W of one image of a batch to (H x W) x C.
pub(crate) fn patch_major(map: &FeatureMap, image: usize) -> Grid {
    let values = map.channels * map.height * map.width;
    let rows = rows_of(&map.data[image * values..][..values], map.channels);
    Grid { height: map.height, width: map.width, dimensions: map.channels, rows }
}

/// Channels x positions to positions x channels.
pub(crate) fn rows_of(source: &[f32], channels: usize) -> Vec<f32> {
    let positions = source.len() / channels.max(1);
    let mut rows = vec![0.0; positions * channels];
    // Tiles of 16 x 16 keep both sides in cache.
    for first_channel in (0..channels).step_by(16) {
        for first in (0..positions).step_by(16) {
            for position in first..positions.min(first + 16) {
                for channel in first_channel..channels.min(first_channel + 16) {
                    rows[position * channels + channel] = source[channel * positions + position];
                }
            }
        }
    }
    rows
}

/// Mean over a `size` x `size` neighbourhood; zeros outside the grid count (always divided by size squared).
pub(crate) fn neighbourhood_mean(grid: &Grid, size: usize) -> Grid {
    Grid { rows: widest(NeighbourhoodMean { grid, size }), ..*grid }
}

struct NeighbourhoodMean<'a> {
    grid: &'a Grid,
    size: usize,
}

impl Kernel for NeighbourhoodMean<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn run<V: Lanes>(self) -> Vec<f32> {
        let Self { grid, size } = self;
        let radius = size / 2;
        let (height, width, dimensions) = (grid.height, grid.width, grid.dimensions);
        let mut across = vec![0.0f32; grid.rows.len()];
        for y in 0..height {
            for x in 0..width {
                let target = &mut across[(y * width + x) * dimensions..][..dimensions];
                for near in x.saturating_sub(radius)..(x + radius + 1).min(width) {
                    add(target, &grid.rows[(y * width + near) * dimensions..][..dimensions], 1.0);
                }
            }
        }
        let scale = 1.0 / (size * size) as f32;
        let mut rows = vec![0.0f32; grid.rows.len()];
        for y in 0..height {
            let target = &mut rows[y * width * dimensions..][..width * dimensions];
            for near in y.saturating_sub(radius)..(y + radius + 1).min(height) {
                add(target, &across[near * width * dimensions..][..width * dimensions], scale);
            }
        }
        rows
    }
}

/// Neighbourhood means of a batch's maps, patch by patch: the values of each map are images x rows x columns x channels.
pub(crate) fn patch_means(batch: &FeatureBatch, size: usize) -> FeatureBatch {
    let mean = |map: &FeatureMap| {
        let image = |image| neighbourhood_mean(&patch_major(map, image), size).rows;
        let images: Vec<Vec<f32>> = (0..batch.count).into_par_iter().map(image).collect();
        FeatureMap { data: images.concat(), ..*map }
    };
    FeatureBatch { maps: batch.maps.iter().map(mean).collect(), region_of_interest: None, ..*batch }
}

/// The official aggregation: each neighbourhood is flattened channel by channel (zeros outside) and pooled to `length` means.
fn neighbourhood_pool(grid: &Grid, size: usize, length: usize) -> Grid {
    let radius = size / 2;
    let area = size * size;
    let mut flat = vec![0.0f32; grid.dimensions * area];
    let mut rows = Vec::with_capacity(grid.height * grid.width * length);
    for y in 0..grid.height {
        for x in 0..grid.width {
            for (offset, (dy, dx)) in (0..size).flat_map(|dy| (0..size).map(move |dx| (dy, dx))).enumerate() {
                // Wrapping below zero lands far outside the grid, which is what it means.
                let (near_y, near_x) = ((y + dy).wrapping_sub(radius), (x + dx).wrapping_sub(radius));
                let inside = near_y < grid.height && near_x < grid.width;
                for channel in 0..grid.dimensions {
                    flat[channel * area + offset] = if inside {
                        grid.rows[(near_y * grid.width + near_x) * grid.dimensions + channel]
                    } else {
                        0.0
                    };
                }
            }
            rows.extend(adaptive_pool(&flat, flat.len(), length));
        }
    }
    Grid { height: grid.height, width: grid.width, dimensions: length, rows }
}

/// Adaptive average pooling of every row: output i is the mean of inputs floor(i n/m) .. ceil((i+1) n/m).
pub(crate) fn adaptive_pool(rows: &[f32], from: usize, to: usize) -> Vec<f32> {
    let mut pooled = Vec::with_capacity(rows.len() / from.max(1) * to);
    for row in rows.chunks_exact(from.max(1)) {
        pooled.extend((0..to).map(|i| {
            let (start, end) = (i * from / to, ((i + 1) * from).div_ceil(to));
            row[start..end].iter().sum::<f32>() / (end - start) as f32
        }));
    }
    pooled
}

/// Bilinear, half-pixel centres, row by row of the grid.
pub(crate) fn resize(grid: Grid, height: usize, width: usize) -> Grid {
    if (grid.height, grid.width) == (height, width) {
        return grid;
    }
    let rows = widest(Resize { grid: &grid, height, width });
    Grid { height, width, dimensions: grid.dimensions, rows }
}

struct Resize<'a> {
    grid: &'a Grid,
    height: usize,
    width: usize,
}

impl Kernel for Resize<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn run<V: Lanes>(self) -> Vec<f32> {
        let Self { grid, height, width } = self;
        let (vertical, horizontal) = (taps(grid.height, height), taps(grid.width, width));
        let dimensions = grid.dimensions;
        let mut rows = vec![0.0f32; height * width * dimensions];
        for (cell, target) in rows.chunks_exact_mut(dimensions).enumerate() {
            for (near_y, weight_y) in vertical[cell / width] {
                for (near_x, weight_x) in horizontal[cell % width] {
                    let weight = weight_y * weight_x;
                    if weight > 0.0 {
                        let near = near_y * grid.width + near_x;
                        add(target, &grid.rows[near * dimensions..][..dimensions], weight);
                    }
                }
            }
        }
        rows
    }
}

/// The two source cells of every target cell and their weights.
pub(super) fn taps(from: usize, to: usize) -> Vec<[(usize, f32); 2]> {
    (0..to)
        .map(|target| {
            let source = ((target as f32 + 0.5) * from as f32 / to as f32 - 0.5).max(0.0);
            let low = (source as usize).min(from - 1);
            let share = source - low as f32;
            [(low, 1.0 - share), ((low + 1).min(from - 1), share)]
        })
        .collect()
}

/// Joins layers of the same grid, row by row.
pub(crate) fn concatenate(layers: &[Grid], height: usize, width: usize) -> Grid {
    let dimensions = layers.iter().map(|layer| layer.dimensions).sum();
    let mut rows = Vec::with_capacity(height * width * dimensions);
    for cell in 0..height * width {
        for layer in layers {
            rows.extend_from_slice(&layer.rows[cell * layer.dimensions..][..layer.dimensions]);
        }
    }
    Grid { height, width, dimensions, rows }
}

/// The compiler widens it to the vectors of the machine that runs the kernels around it; the bits are the same on all.
#[inline(always)]
fn add(target: &mut [f32], source: &[f32], weight: f32) {
    for (target, source) in target.iter_mut().zip(source) {
        *target += weight * source;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(
        channels: usize,
        height: usize,
        width: usize,
        value: impl Fn(usize, usize, usize) -> f32,
    ) -> FeatureMap {
        let mut data = Vec::new();
        for c in 0..channels {
            for y in 0..height {
                for x in 0..width {
                    data.push(value(c, y, x));
                }
            }
        }
        FeatureMap { channels, height, width, data }
    }

    #[test]
    fn pooling_4608_to_1024_overlaps_bins_of_five_by_one() {
        let mut row = vec![0.0; 4608];
        (0..9).for_each(|i| row[i] = i as f32);
        assert_eq!(adaptive_pool(&row, 4608, 1024)[..3], [2.0, 6.0, 0.0]);
    }

    #[test]
    fn mean_of_a_constant_counts_the_zeros_outside() {
        let grid = patch_major(&map(2, 4, 4, |_, _, _| 1.0), 0);
        let mean = neighbourhood_mean(&grid, 3);
        for (cell, ninths) in [(0, 4.0), (1, 6.0), (5, 9.0)] {
            assert!((mean.rows[cell * 2] - ninths / 9.0).abs() < 1e-6);
        }
    }

    #[test]
    fn mean_equals_the_plain_sum_over_the_window() {
        let grid = patch_major(&map(3, 5, 6, |c, y, x| (c * 31 + y * 7 + x * x) as f32), 0);
        let mean = neighbourhood_mean(&grid, 5);
        for (y, x, c) in [(0, 0, 0), (2, 3, 1), (4, 5, 2)] {
            let mut sum = 0.0;
            for ny in 0..5usize {
                for nx in 0..6usize {
                    if ny.abs_diff(y) <= 2 && nx.abs_diff(x) <= 2 {
                        sum += grid.rows[(ny * 6 + nx) * 3 + c];
                    }
                }
            }
            assert!((mean.rows[(y * 6 + x) * 3 + c] - sum / 25.0).abs() < 1e-3);
        }
    }

    #[test]
    fn official_pooling_weighs_the_centre_double_and_pairs_deep_channels() {
        // Of a 512-channel layer, outputs 2c and 2c+1 of 1024 share the centre; their mean weighs it double: (8 neighbours + 2 centre)/10.
        let values = |c: usize, y: usize, x: usize| ((c * 13 + y * 5 + x * 3) % 17) as f32;
        let grid = patch_major(&map(512, 3, 3, values), 0);
        let pooled = neighbourhood_pool(&grid, 3, 1024);
        let centre = &pooled.rows[4 * 1024..5 * 1024];
        for c in [0, 100, 511] {
            let all: f32 = (0..9).map(|i| values(c, i / 3, i % 3)).sum();
            let expected = (all + values(c, 1, 1)) / 10.0;
            assert!(((centre[2 * c] + centre[2 * c + 1]) / 2.0 - expected).abs() < 1e-4);
        }
    }

    #[test]
    fn resize_is_bilinear_with_half_pixel_centres() {
        let grid = patch_major(&map(1, 1, 2, |_, _, x| x as f32), 0);
        assert_eq!(resize(grid, 1, 4).rows, [0.0, 0.25, 0.75, 1.0]);
    }

    #[test]
    fn layers_join_on_the_first_grid_and_batches_split_freely() {
        let mean = Aggregation::Mean { size: 3 };
        let two = |channels: usize, side: usize| {
            let one =
                |image: usize| map(channels, side, side, move |c, y, x| (image * 3 + c + y * 2 + x) as f32);
            FeatureMap { data: [one(0).data, one(1).data].concat(), ..one(0) }
        };
        let maps = [two(4, 8), two(6, 4)];
        let both = embed(mean, &maps, 2);
        assert_eq!((both.dimensions, both.height, both.width), (10, 8, 8));
        let second: Vec<FeatureMap> = maps
            .iter()
            .map(|map| FeatureMap { data: map.data[map.data.len() / 2..].to_vec(), ..map.clone() })
            .collect();
        assert_eq!(embed(mean, &second, 1).rows, both.rows[640..]);
        let pooled = Aggregation::Pooled { size: 3, layer: 1024, joined: 7 };
        assert_eq!(embed(pooled, &maps, 2).rows.len(), 2 * 64 * 7);
    }
}
