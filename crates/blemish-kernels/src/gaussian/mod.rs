//! One multivariate Gaussian per position (PaDiM, arXiv 2011.08785, section III): streaming moments, Cholesky factors, distances.
//!
//! Flow: [`GaussianAccumulator`] takes samples batch by batch, merges and removes whole summaries; [`GaussianAccumulator::factor`]
//! turns covariances into factors; [`PositionGaussians::mahalanobis`] measures. Scoring is bound by memory: the factors are read once
//! for a batch, d (d + 1) / 2 values a position.

mod accumulate;
mod factor;
mod score;
#[cfg(test)]
mod tests;

pub use accumulate::GaussianAccumulator;
pub use score::{Factors, OwnedGaussians, PositionGaussians, Precision};

/// Values of the lower triangle of a d x d matrix, packed row by row.
pub(crate) fn packed_length(dimensions: usize) -> usize {
    dimensions * (dimensions + 1) / 2
}

/// Where row `row` of a packed lower triangle starts.
#[inline(always)]
pub(crate) fn row_start(row: usize) -> usize {
    row * (row + 1) / 2
}
