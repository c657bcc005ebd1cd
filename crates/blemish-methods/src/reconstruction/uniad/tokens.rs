//! Tokens: feature maps on one grid, the noise they are learned with, and what each of them must not see.

use crate::shared::embedding::rows_of;
use blemish_core::feature_batch::FeatureBatch;
use blemish_kernels::map::resize_aligned;
use rayon::prelude::*;

/// Pixels of the image to a side of a token.
pub(super) const CELL: usize = 16;

/// Rows and columns of tokens of an image of height x width pixels.
pub(super) fn grid_of(height: usize, width: usize) -> (usize, usize) {
    (height.div_ceil(CELL), width.div_ceil(CELL))
}

/// All maps of a batch on one grid, one behind the other along the channels: images x channels x height x width.
///
/// Bilinear with aligned corners and without smoothing: target i of m is read at i (n - 1) / (m - 1) of n values.
pub(super) fn neck(batch: &FeatureBatch, grid: (usize, usize)) -> Vec<f32> {
    let cells = grid.0 * grid.1;
    let planes = |image: usize| {
        batch.maps.iter().flat_map(move |map| {
            let size = map.height * map.width;
            map.data[image * map.channels * size..][..map.channels * size]
                .chunks_exact(size)
                .map(|plane| (plane, (map.height, map.width)))
        })
    };
    let all: Vec<_> = (0..batch.count).flat_map(planes).collect();
    let mut found = vec![0.0; all.len() * cells];
    found.par_chunks_mut(cells.max(1)).zip(all).for_each(|(to, (plane, size))| {
        if size == grid {
            to.copy_from_slice(plane);
        } else {
            to.copy_from_slice(&resize_aligned(plane, size, grid));
        }
    });
    found
}

/// Images x cells x channels of images x channels x cells.
pub(super) fn by_token(values: &[f32], channels: usize, cells: usize) -> Vec<f32> {
    values.chunks_exact((channels * cells).max(1)).flat_map(|image| rows_of(image, channels)).collect()
}

/// Adds noise to tokens of so many channels: f + s z, with s = `strength` |f| / channels and z standard normal values.
pub(super) fn jitter(tokens: &mut [f32], channels: usize, strength: f64, mut normal: impl FnMut() -> f32) {
    for token in tokens.chunks_exact_mut(channels) {
        let square: f64 = token.iter().map(|&value| f64::from(value) * f64::from(value)).sum();
        let scale = (strength * square.sqrt() / channels as f64) as f32;
        token.iter_mut().for_each(|value| *value += scale * normal());
    }
}

/// The largest odd side, up to `wanted`, of a window that leaves every token of a grid some other to see; `None` if there is none.
pub(super) fn fitting_window(wanted: usize, (height, width): (usize, usize)) -> Option<usize> {
    // The token in the middle sees least: of n in a row, those that lie n / 2 away.
    let reach = (height.max(width) / 2).checked_sub(1)?;
    Some(wanted.min(2 * reach + 1))
}

/// What is added to the logit of token (i, j) for token (k, l), tokens x tokens: minus infinity within the window around (i, j), itself
/// included, else 0.
pub(super) fn hidden((height, width): (usize, usize), window: usize) -> Vec<f32> {
    let reach = window / 2;
    let cells = height * width;
    let place = |cell: usize| (cell / width, cell % width);
    let near = |a: usize, b: usize| {
        let ((i, j), (k, l)) = (place(a), place(b));
        i.abs_diff(k) <= reach && j.abs_diff(l) <= reach
    };
    (0..cells * cells).map(|at| if near(at / cells, at % cells) { f32::NEG_INFINITY } else { 0.0 }).collect()
}
