//! Feature maps of an image as rows, and one vector for the whole image.

use crate::shared::embedding::patch_major;
use blemish_core::feature_batch::FeatureBatch;
use blemish_features::FeatureMap;

/// The patches of one image in one layer.
pub(super) struct Layer {
    pub size: [usize; 2],
    pub dimensions: usize,
    /// (height x width) x dimensions.
    pub rows: Vec<f32>,
    /// What each row was longer than it is, 1 where rows are as the network gave them.
    lengths: Vec<f32>,
}

impl Layer {
    /// The rows as the network gave them.
    pub fn original_rows(&self) -> Vec<f32> {
        let rows = self.rows.chunks_exact(self.dimensions.max(1)).zip(&self.lengths);
        rows.flat_map(|(row, length)| row.iter().map(move |value| value * length)).collect()
    }
}

/// What the method sees of an image.
pub(super) struct Patches {
    /// Shallow to deep.
    pub layers: Vec<Layer>,
    /// The class token where the backbone gives it, else the mean of the deepest layer, of unit length.
    pub whole: Vec<f32>,
}

impl Patches {
    /// Of image `at` of some maps, N x C x H x W each; rows of unit length if asked for.
    ///
    /// A map of a single cell, such as a transformer's `class`, stands for the whole image and has no patches, unless there is no other.
    pub(super) fn of(maps: &[FeatureMap], at: usize, has_unit_rows: bool) -> Self {
        let is_map = |map: &&FeatureMap| map.height * map.width > 1;
        let any = maps.iter().any(|map| is_map(&map));
        let layer = |map: &FeatureMap| {
            let mut grid = patch_major(map, at);
            let scaled = |row: &mut [f32]| if has_unit_rows { to_unit(row) } else { 1.0 };
            let lengths = grid.rows.chunks_exact_mut(grid.dimensions.max(1)).map(scaled).collect();
            Layer { size: [grid.height, grid.width], dimensions: grid.dimensions, rows: grid.rows, lengths }
        };
        let layers: Vec<Layer> = maps.iter().filter(|map| !any || is_map(map)).map(layer).collect();
        let class = maps.iter().rev().find(|map| any && !is_map(map));
        let mut whole = match (class, layers.last()) {
            (Some(map), _) => patch_major(map, at).rows,
            (None, Some(deepest)) => mean(deepest),
            (None, None) => vec![],
        };
        to_unit(&mut whole);
        Self { layers, whole }
    }

    /// Of every image of a batch.
    pub(super) fn of_batch(batch: &FeatureBatch, has_unit_rows: bool) -> Vec<Self> {
        (0..batch.count).map(|at| Self::of(&batch.maps, at, has_unit_rows)).collect()
    }
}

fn mean(layer: &Layer) -> Vec<f32> {
    let mut sums = vec![0.0f64; layer.dimensions];
    for row in layer.rows.chunks_exact(layer.dimensions.max(1)) {
        sums.iter_mut().zip(row).for_each(|(sum, &value)| *sum += f64::from(value));
    }
    let count = (layer.size[0] * layer.size[1]).max(1) as f64;
    sums.into_iter().map(|sum| (sum / count) as f32).collect()
}

/// Scales a row to length 1; zeros stay. Gives its length.
fn to_unit(row: &mut [f32]) -> f32 {
    let length = row.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt();
    if length > 0.0 {
        row.iter_mut().for_each(|value| *value = (f64::from(*value) / length) as f32);
    }
    length as f32
}
