//! Tiles in fit and score. Methods know nothing of them: they get batches of tiles as they would of images.
//!
//! In memory are one decoded image at its own depth, one batch of tiles and, when scoring, the map that they are merged into.

mod gather;
mod set;
#[cfg(test)]
mod tests;

pub(crate) use set::{Sizes, TiledSet};

use blemish_core::entry::Fitted;
use blemish_core::error::Error;
use blemish_core::map::{AnomalyMap, Scored};
use blemish_core::observer::Observer;
use blemish_data::{Canvas, ImageBatch, MapMerger, TilePlan, Tiling};
use gather::{Gather, cut_tile};
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How images are cut into tiles, and what is learnt from them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TileOptions {
    /// Size and overlap.
    pub tiling: Tiling,
    /// One model or many.
    pub models: TileModels,
    /// Learn from so many tiles of each image, drawn by the seed, where it has more; `None` is all. Only with a shared model.
    pub per_image: Option<usize>,
}

/// Which tiles share a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TileModels {
    /// One model learns all tiles: for textures and parts anywhere in the image. Images may differ in size.
    #[default]
    Shared,
    /// Each place has a model of its own: for aligned parts. All images have one size.
    Each,
}

/// Scores an image tile by tile; `model` gives the one that knows a tile.
///
/// The image score is the highest that the method's own rule gives a tile; for a method without a rule it is, as for whole images, the
/// highest value of the (merged) map, in which the edges of tiles hardly count.
///
/// # Errors
/// [`Error::Score`] and [`Error::Features`] as for whole images; [`Error::Interrupted`].
pub(crate) fn score<'m>(
    canvas: &Canvas<'_>,
    plan: &TilePlan,
    model: &dyn Fn(usize) -> Result<&'m dyn Fitted, Error>,
    batch_size: usize,
    observer: &dyn Observer,
) -> Result<Scored, Error> {
    let mut merger = MapMerger::new(plan);
    let mut own_score: Option<f32> = None;
    let mut each = |indices: &[usize], batch: &ImageBatch| {
        if observer.is_cancelled() {
            return Err(Error::Interrupted);
        }
        for (&index, (scored, is_own)) in indices.iter().zip(score_batch(model(indices[0])?, batch)?) {
            merger.add(index, &scored.map.values);
            if is_own {
                own_score = Some(own_score.map_or(scored.score, |highest| highest.max(scored.score)));
            }
        }
        Ok(())
    };
    let mut gather = Gather::new(batch_size.max(1));
    for tile in 0..plan.count() {
        gather.push(tile, cut_tile(canvas, plan, tile), &mut each)?;
    }
    gather.flush(&mut each)?;
    let (height, width) = plan.image_size();
    let values = merger.finish();
    let score =
        own_score.unwrap_or_else(|| values.par_iter().copied().reduce(|| f32::NEG_INFINITY, f32::max));
    Ok(Scored { score, map: AnomalyMap { height, width, values } })
}

/// Scores a batch with one method: the finished maps, and whether each score is of the method's own rule.
pub(crate) fn score_batch(method: &dyn Fitted, batch: &ImageBatch) -> Result<Vec<(Scored, bool)>, Error> {
    let patches = method.score(batch)?;
    let is_own: Vec<bool> = patches.iter().map(|patches| patches.image_score.is_some()).collect();
    let size = (batch.height, batch.width);
    let scored = method.map_stage().finish_batch(patches, size, batch.region_of_interest.as_deref())?;
    Ok(scored.into_iter().zip(is_own).collect())
}
