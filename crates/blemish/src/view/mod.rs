//! What a detector looks at: whole images or tiles of them, at one input size or at several, through one backbone or an ensemble.
//!
//! A view is one backbone at one input size with the models fitted for it: one for whole images, one that all tiles share, or one for
//! each place of a tile. Several views make one outcome: their maps and scores are brought to a common scale, the mean and the spread
//! they had on good images at fit time, and averaged at the size of the largest.
//!
//! - `plan`: the views that a configuration asks for.
//! - `set`: the images of a source as a view sees them, whole or cut into tiles (`gather`), with features kept for later passes (`cache`).
//! - `fitted`: a fitted view, and how a model file describes it.
//! - `score`: from an image, or from what was kept of it, through all views to its outcome; `scorer` for batches of whole images, `merge` for
//!   tiles and views.

mod cache;
mod fitted;
mod gather;
mod merge;
mod plan;
mod score;
mod scorer;
mod set;
#[cfg(test)]
mod tests;

pub use fitted::{TilesHeader, ViewHeader};
pub(crate) use fitted::{View, seen_tiles, some_of};
pub(crate) use plan::{Plan, PlannedView};
pub(crate) use score::{Outcome, Passed, Work, score_image, score_source};
pub(crate) use set::{Reading, Sizes, ViewSet};
