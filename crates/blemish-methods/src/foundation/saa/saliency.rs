//! What stands out in one image: how far a position's feature is from those of other positions.
//!
//! Distances of unit features f are (1 - f_i . f_j) / 2, between 0 and 1.

use super::config::Neighbours;
use blemish_features::FeatureMap;
use blemish_kernels::map::resize_bilinear;
use blemish_kernels::transformer::{Activation, Linear};
use rayon::prelude::*;

/// Rows that are compared with all others at a time: bounds the memory of the table of similarities.
const BLOCK: usize = 64;

/// Unit features, one a cell of a grid.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Features {
    /// Rows of the grid.
    pub height: usize,
    /// Columns of the grid.
    pub width: usize,
    /// Length of a feature.
    pub dimensions: usize,
    /// (height x width) x dimensions values.
    pub rows: Vec<f32>,
}

impl Features {
    /// Joins the maps of one image on the first map's grid (deeper ones by their nearest cell) and brings every feature to unit length.
    /// A feature of zeros stays.
    pub fn join(maps: &[FeatureMap]) -> Self {
        let (height, width) = maps.first().map_or((0, 0), |map| (map.height, map.width));
        let dimensions: usize = maps.iter().map(|map| map.channels).sum();
        let mut rows = vec![0.0f32; height * width * dimensions];
        for (cell, row) in rows.chunks_exact_mut(dimensions.max(1)).enumerate() {
            let (y, x) = (cell / width, cell % width);
            let values = maps.iter().flat_map(|map| {
                let from = y * map.height / height * map.width + x * map.width / width;
                map.data.iter().skip(from).step_by(map.height * map.width).take(map.channels)
            });
            row.iter_mut().zip(values).for_each(|(slot, value)| *slot = *value);
            let norm = row.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt() as f32;
            if norm > 0.0 {
                row.iter_mut().for_each(|value| *value /= norm);
            }
        }
        Self { height, width, dimensions, rows }
    }

    /// Number of cells.
    pub fn cells(&self) -> usize {
        self.height * self.width
    }

    /// What `each` makes of the similarities of every row of `rows` with the features of `others`, which are packed once.
    fn compare<T: Send>(
        &self,
        rows: &[f32],
        others: &[f32],
        each: impl Fn(&mut [f32]) -> T + Sync,
    ) -> Vec<T> {
        let count = others.len() / self.dimensions;
        let others = Linear::new(count, self.dimensions, others, None);
        rows.par_chunks(BLOCK * self.dimensions)
            .flat_map_iter(|block| {
                let mut similar = others.forward(block, Activation::None, false);
                similar.chunks_exact_mut(count).map(&each).collect::<Vec<T>>()
            })
            .collect()
    }

    /// Saliency of a single object: a cell's mean distance to the `count` farthest or nearest cells, itself among them.
    pub fn of_all(&self, neighbours: Neighbours, count: usize) -> Vec<f32> {
        let count = count.clamp(1, self.cells().max(1));
        self.compare(&self.rows, &self.rows, |similar| {
            let chosen = if count == similar.len() {
                similar
            } else {
                let order = |a: &f32, b: &f32| match neighbours {
                    // Farthest is least similar.
                    Neighbours::Farthest => a.total_cmp(b),
                    Neighbours::Nearest => b.total_cmp(a),
                };
                similar.select_nth_unstable_by(count - 1, order);
                &mut similar[..count]
            };
            let sum: f64 = chosen.iter().map(|similar| distance(f64::from(*similar))).sum();
            (sum / count as f64) as f32
        })
    }

    /// Saliency of several objects: a cell's distance to the most similar cell of any other object, 0 outside all objects; the largest of
    /// those of the objects a cell lies in. With one object there are no others, and it is 0.
    ///
    /// `objects` are masks on this grid.
    pub fn between(&self, objects: &[Vec<bool>]) -> Vec<f32> {
        let mut saliency = vec![0.0f32; self.cells()];
        for (own, mask) in objects.iter().enumerate() {
            let others = || objects.iter().enumerate().filter(|(other, _)| *other != own);
            let of_others = self.gather(|cell| others().any(|(_, mask)| mask[cell]));
            let inside: Vec<usize> = (0..self.cells()).filter(|cell| mask[*cell]).collect();
            if of_others.is_empty() || inside.is_empty() {
                continue;
            }
            let rows = self.gather(|cell| mask[cell]);
            let nearest = self.compare(&rows, &of_others, |similar| {
                similar.iter().copied().fold(f32::NEG_INFINITY, f32::max)
            });
            for (cell, similar) in inside.into_iter().zip(nearest) {
                saliency[cell] = saliency[cell].max(distance(f64::from(similar)) as f32);
            }
        }
        saliency
    }

    fn gather(&self, is_wanted: impl Fn(usize) -> bool) -> Vec<f32> {
        let rows = self.rows.chunks_exact(self.dimensions.max(1)).enumerate();
        rows.filter(|(cell, _)| is_wanted(*cell)).flat_map(|(_, row)| row).copied().collect()
    }

    /// Values a cell as values a pixel.
    pub fn to_pixels(&self, values: &[f32], size: (usize, usize)) -> Vec<f32> {
        resize_bilinear(values, (self.height, self.width), size)
    }
}

/// Never below 0: rounding may bring unit features a little beyond each other.
fn distance(similarity: f64) -> f64 {
    ((1.0 - similarity) / 2.0).max(0.0)
}
