//! What an updatable model keeps beside its factors: count, mean and scatter of every position, in double precision.
//!
//! Factors cannot be added to, moments can, exactly (Chan, Golub and LeVeque). They take 8 P (d + d (d + 1) / 2) bytes, 165 MB for a
//! 64x64 grid in 100 dimensions, four times the factors in half precision; so only models that ask for it keep them.

use super::config::NAME;
use blemish_core::error::Error;
use blemish_core::state::{Shared, State};
use blemish_kernels::KernelError;
use blemish_kernels::gaussian::GaussianAccumulator;

/// Moments of all positions.
pub(super) struct Summary {
    positions: usize,
    dimensions: usize,
    count: u64,
    /// P x d.
    mean: Shared<f64>,
    /// P x packed lower triangle.
    scatter: Shared<f64>,
}

impl Summary {
    pub(super) fn of(moments: GaussianAccumulator) -> Self {
        let (positions, dimensions) = (moments.positions(), moments.dimensions());
        let (count, mean, scatter) = moments.into_moments();
        Self { positions, dimensions, count, mean: mean.into(), scatter: scatter.into() }
    }

    /// Moments to go on from.
    pub(super) fn moments(&self) -> Result<GaussianAccumulator, Error> {
        let size = (self.positions, self.dimensions);
        GaussianAccumulator::from_moments(size, self.count, self.mean.to_vec(), self.scatter.to_vec())
            .map_err(fit_error)
    }

    /// Images that were learnt from.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn store(&self, state: &mut State) {
        let packed = self.scatter.len() / self.positions;
        state.set_count("moments.count", self.count);
        state.set_f64("moments.mean", &[self.positions, self.dimensions], self.mean.clone());
        state.set_f64("moments.scatter", &[self.positions, packed], self.scatter.clone());
    }

    /// Lengths are checked when the moments are used.
    pub(super) fn restore(state: &State) -> Result<Option<Self>, Error> {
        if !state.has("moments.count") {
            return Ok(None);
        }
        let (shape, mean) = state.f64("moments.mean", 2)?;
        let (_, scatter) = state.f64("moments.scatter", 2)?;
        let count = state.count("moments.count")?;
        let [positions, dimensions] = [shape[0], shape[1]];
        Ok((positions > 0).then_some(Self { positions, dimensions, count, mean, scatter }))
    }
}

/// What is wrong with moments or factors, as an error of the fit.
pub(super) fn fit_error(error: KernelError) -> Error {
    Error::Fit { method: NAME, reason: error.to_string() }
}
