//! The grid of patches: which cells are scored, and how the others get their scores.

use blemish_core::state::{State, StateError};

/// A height x width grid of patches whose outermost `rim` cells are not scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PatchGrid {
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) rim: usize,
}

impl PatchGrid {
    /// Number of cells.
    pub(super) fn cells(&self) -> usize {
        self.height * self.width
    }

    /// Cells that are scored, row-major.
    pub(super) fn inner(&self) -> Vec<usize> {
        let inside = |at: usize, side: usize| at >= self.rim && at + self.rim < side;
        (0..self.cells())
            .filter(|cell| inside(cell / self.width, self.height) && inside(cell % self.width, self.width))
            .collect()
    }

    /// Scores of all cells from those of the inner ones: the rim repeats the nearest of them.
    pub(super) fn padded(&self, inner: &[f32]) -> Vec<f32> {
        let columns = self.width - 2 * self.rim;
        let clamp = |at: usize, side: usize| at.clamp(self.rim, side - self.rim - 1) - self.rim;
        (0..self.cells())
            .map(|cell| {
                let (y, x) = (clamp(cell / self.width, self.height), clamp(cell % self.width, self.width));
                inner[y * columns + x]
            })
            .collect()
    }

    pub(super) fn store(&self, state: &mut State) {
        let sides = [self.height, self.width, self.rim];
        state.set_u32("grid", &[3], sides.map(|side| side as u32).to_vec());
    }

    pub(super) fn restore(state: &State, rim: usize) -> Result<Self, StateError> {
        let (_, sides) = state.u32("grid", 1)?;
        let wrong = |reason: &str| StateError { name: "grid".into(), reason: reason.into() };
        let &[height, width, stored] = &sides[..] else {
            return Err(wrong("does not hold height, width and rim"));
        };
        let grid = Self { height: height as usize, width: width as usize, rim: stored as usize };
        let is_sound = |side: usize| side > 2 * rim && side <= 1 << 14;
        if grid.rim != rim || !is_sound(grid.height) || !is_sound(grid.width) {
            return Err(wrong("is not a grid with cells inside the rim of the settings"));
        }
        Ok(grid)
    }
}
