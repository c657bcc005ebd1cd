//! The image in overlapping tiles, each of whose patches comes from the tile in which it lies most central.
//!
//! Along a side of d patches, with tiles of p and an overlap of at least o: n = ceil((d - p) / (p - 2 o)) + 1 tiles that begin at
//! floor(i (d - p) / (n - 1)), cut in the middle of what neighbours share.

use super::config::NAME;
use blemish_core::error::Error;
use blemish_features::{Backbone, FeatureMap};
use std::ops::Range;

/// One tile along a side: where it begins, and which of its own patches are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub start: usize,
    pub kept: Range<usize>,
}

/// The tiles along a side of `side` patches.
pub(super) fn spans(side: usize, tile: usize, overlap: usize) -> Vec<Span> {
    if side <= tile {
        return vec![Span { start: 0, kept: 0..side }];
    }
    // Tiles that share more than half of themselves would not get on.
    let step = tile.saturating_sub(2 * overlap).max(1);
    let count = (side - tile).div_ceil(step) + 1;
    let start = |index: usize| index * (side - tile) / (count - 1);
    let shared = |index: usize| (start(index) + tile).saturating_sub(start(index + 1));
    (0..count)
        .map(|index| {
            let first = if index == 0 { 0 } else { shared(index - 1) - shared(index - 1) / 2 };
            let last = if index + 1 == count { tile } else { tile - shared(index) / 2 };
            Span { start: start(index), kept: first..last }
        })
        .collect()
}

/// Feature maps of an image (3 x height x width) put together from those of its tiles.
///
/// # Errors
/// [`Error::Features`] if the backbone fails; [`Error::Fit`] if tiles are no whole patches of it.
pub(super) fn tiled_maps(
    backbone: &Backbone,
    image: &[f32],
    [height, width]: [usize; 2],
    [tile, overlap]: [usize; 2],
) -> Result<Vec<FeatureMap>, Error> {
    // Tiles move by whole cells of the coarsest map.
    let unit = backbone.taps().iter().map(|tap| tap.stride).max().unwrap_or(1).max(1);
    let cells = tile / unit;
    if cells == 0 || height < unit || width < unit {
        let reason =
            format!("images of {width}x{height} and tiles of {tile} are smaller than a patch of {unit}");
        return Err(Error::Fit { method: NAME, reason });
    }
    let shared = overlap.div_ceil(unit).min(cells.saturating_sub(1) / 2);
    let [rows, columns] = [height, width].map(|side| spans(side / unit, cells, shared));
    let [tall, wide] = [height, width].map(|side| (side / unit).min(cells) * unit);
    let mut whole: Vec<FeatureMap> = Vec::new();
    for row in &rows {
        for column in &columns {
            let pixels = cut(image, [height, width], [row.start * unit, column.start * unit], [tall, wide]);
            let maps = backbone.extract(&pixels, [1, tall, wide])?;
            if whole.is_empty() {
                whole = maps.iter().map(|map| empty_like(map, [height, width], [tall, wide])).collect();
            }
            for (map, whole) in maps.iter().zip(&mut whole) {
                // Cells of this map in a cell of the coarsest.
                let each = map.height / (tall / unit).max(1);
                paste(map, whole, row, column, each.max(1));
            }
        }
    }
    Ok(whole)
}

fn cut(
    image: &[f32],
    [height, width]: [usize; 2],
    [top, left]: [usize; 2],
    [tall, wide]: [usize; 2],
) -> Vec<f32> {
    let planes = image.chunks_exact(height * width);
    let rows = planes.flat_map(|plane| plane.chunks_exact(width).skip(top).take(tall));
    rows.flat_map(|row| &row[left..left + wide]).copied().collect()
}

/// A map of the whole image at the scale of a tile's.
fn empty_like(map: &FeatureMap, [height, width]: [usize; 2], [tall, wide]: [usize; 2]) -> FeatureMap {
    let (rows, columns) = (height * map.height / tall, width * map.width / wide);
    FeatureMap {
        channels: map.channels,
        height: rows,
        width: columns,
        data: vec![0.0; map.channels * rows * columns],
    }
}

/// Copies the kept cells of a tile's map to their place.
fn paste(map: &FeatureMap, whole: &mut FeatureMap, row: &Span, column: &Span, each: usize) {
    let [down, across] = [row, column].map(|span| {
        let kept = span.kept.start * each..span.kept.end * each;
        (kept, span.start * each)
    });
    for channel in 0..map.channels {
        for y in down.0.clone().filter(|&y| y < map.height && y + down.1 < whole.height) {
            let from = &map.data[(channel * map.height + y) * map.width..][..map.width];
            let limit = whole.width;
            let to = &mut whole.data[(channel * whole.height + y + down.1) * limit..][..limit];
            for x in across.0.clone().filter(|&x| x < map.width && x + across.1 < limit) {
                to[x + across.1] = from[x];
            }
        }
    }
}
