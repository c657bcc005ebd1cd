//! Tiles of a large image: where they lie, and how their maps become one.
//!
//! Along each axis tiles are spread evenly from border to border, so that neighbours share at least the wanted overlap and no tile is
//! cut. A pixel under several tiles gets the mean of their values, weighted by sin^2 of the way through each tile: a tile counts most
//! in its middle and next to nothing at its edge, where a network sees too little of the surroundings, so that no edge shows. The
//! weights are a product of one factor an axis; therefore tiles are merged into a band first and bands into the map, with vectors of
//! weights instead of maps of them, and a map takes no more memory than itself and one band.

mod merge;
#[cfg(test)]
mod tests;

pub use merge::MapMerger;

use crate::error::{DataError, ImageFault};
use serde::{Deserialize, Serialize};
use std::ops::{Range, RangeInclusive};

/// Allowed sides of a tile, in pixels.
const SIDES: RangeInclusive<usize> = 16..=4096;

/// The most tiles of one image: a guard against overlaps that leave steps of single pixels.
const MAXIMUM_TILES: usize = 1 << 20;

/// Tiles of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tiling {
    /// H of a tile, in pixels.
    pub height: usize,
    /// W of a tile, in pixels.
    pub width: usize,
    /// The least that neighbours share, in pixels.
    pub overlap: usize,
}

impl Tiling {
    /// Tiles of height x width that share a quarter of their shorter side.
    pub fn new(height: usize, width: usize) -> Self {
        Self { height, width, overlap: height.min(width) / 4 }
    }

    /// Finds settings that no image could satisfy.
    ///
    /// # Errors
    /// [`DataError::Setting`] if a side is not within 16 to 4,096 pixels, or the overlap not below both sides.
    pub fn check(&self) -> Result<(), DataError> {
        let Self { height, width, overlap } = *self;
        if !(SIDES.contains(&height) && SIDES.contains(&width)) {
            let (least, most) = (SIDES.start(), SIDES.end());
            return Err(DataError::Setting(format!(
                "tiles of {width}x{height} pixels are not possible; make both sides {least} to {most} pixels"
            )));
        }
        if overlap >= height.min(width) {
            return Err(DataError::Setting(format!(
                "tiles of {width}x{height} pixels cannot overlap by {overlap}; make the overlap smaller than the tile, such as {}",
                height.min(width) / 4
            )));
        }
        Ok(())
    }

    /// The tiles of an image of `height` x `width`.
    ///
    /// # Errors
    /// [`ImageFault::Transform`] if there would be more than 2^20 of them.
    pub fn plan(&self, height: usize, width: usize) -> Result<TilePlan, ImageFault> {
        let along = |length, tile| Axis::steps(length, tile, self.overlap).saturating_add(1);
        if along(height, self.height).saturating_mul(along(width, self.width)) > MAXIMUM_TILES {
            return Err(ImageFault::Transform(format!(
                "it is {width}x{height} pixels and would be cut into more than {MAXIMUM_TILES} tiles; \
                 make the tiles larger or their overlap smaller"
            )));
        }
        let rows = Axis::new(height, self.height, self.overlap);
        let columns = Axis::new(width, self.width, self.overlap);
        Ok(TilePlan { tile: (self.height, self.width), size: (height, width), rows, columns })
    }
}

/// Where the tiles of one image lie: row by row, from the top left.
///
/// An image smaller than a tile gets one tile that reaches beyond it; what it shows there is for the cutter to
/// choose ([`crate::transform::Canvas`] mirrors the image) and is left out of the map.
#[derive(Clone, Debug, PartialEq)]
pub struct TilePlan {
    tile: (usize, usize),
    size: (usize, usize),
    rows: Axis,
    columns: Axis,
}

impl TilePlan {
    /// Number of tiles, at least 1.
    pub fn count(&self) -> usize {
        self.rows.starts.len() * self.columns.starts.len()
    }

    /// Height and width of every tile.
    pub fn tile_size(&self) -> (usize, usize) {
        self.tile
    }

    /// Height and width of the image.
    pub fn image_size(&self) -> (usize, usize) {
        self.size
    }

    /// Rows and columns of tile `index`, which may reach beyond an image that is smaller than a tile.
    pub fn window(&self, index: usize) -> (Range<usize>, Range<usize>) {
        let across = self.columns.starts.len();
        let (top, left) = (self.rows.starts[index / across], self.columns.starts[index % across]);
        (top..top + self.tile.0, left..left + self.tile.1)
    }
}

/// Tiles along one axis.
#[derive(Clone, Debug, PartialEq)]
struct Axis {
    /// Where each tile begins, rising.
    starts: Vec<usize>,
    /// Pixels of a tile that lie in the image.
    inside: usize,
}

impl Axis {
    /// Number of tiles after the first.
    fn steps(length: usize, tile: usize, overlap: usize) -> usize {
        length.saturating_sub(tile).div_ceil(tile.saturating_sub(overlap).max(1))
    }

    fn new(length: usize, tile: usize, overlap: usize) -> Self {
        let slack = length.saturating_sub(tile);
        let steps = Self::steps(length, tile, overlap);
        let starts = (0..=steps).map(|step| step * slack / steps.max(1)).collect();
        Self { starts, inside: length.min(tile) }
    }

    /// For each tile and each of its pixels: its weight over the sum of its own and all earlier tiles' weights at that pixel.
    ///
    /// Going from tile to tile with `mean += (value - mean) * share` gives the weighted mean, and a constant stays what it is.
    fn shares(&self) -> Vec<Vec<f32>> {
        let weight = |at: usize| {
            let way = (at as f64 + 0.5) / self.inside as f64;
            (std::f64::consts::PI * way).sin().powi(2)
        };
        let weights: Vec<f64> = (0..self.inside).map(weight).collect();
        let length = self.starts.last().map_or(0, |last| last + self.inside);
        let mut sums = vec![0.0; length];
        let mut share_of = |&start: &usize| {
            let shares = weights.iter().zip(&mut sums[start..]).map(|(weight, sum)| {
                *sum += weight;
                (weight / *sum) as f32
            });
            shares.collect()
        };
        self.starts.iter().map(&mut share_of).collect()
    }
}
