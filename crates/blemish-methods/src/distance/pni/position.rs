//! p(c | x): how often each coreset entry was the nearest one around each position of the good images (the paper's algorithm 1).

use super::grid::PatchGrid;
use blemish_kernels::bits::BitRows;

/// Counts of coreset entries, by position.
///
/// An inner cell whose nearest entry is c counts once for c at **every** cell of the window around it that lies within the grid.
pub(super) struct PositionHistogram {
    grid: PatchGrid,
    half_window: usize,
    entries: usize,
    /// Cells x entries.
    counts: Vec<u32>,
}

impl PositionHistogram {
    pub(super) fn new(grid: PatchGrid, half_window: usize, entries: usize) -> Self {
        Self { grid, half_window, entries, counts: vec![0; grid.cells() * entries] }
    }

    /// Counts a cell of a good image.
    pub(super) fn count(&mut self, cell: usize, entry: usize) {
        let PatchGrid { height, width, .. } = self.grid;
        let around = |at: usize, side: usize| {
            at.saturating_sub(self.half_window)..(at + self.half_window + 1).min(side)
        };
        for y in around(cell / width, height) {
            for x in around(cell % width, width) {
                self.counts[(y * width + x) * self.entries + entry] += 1;
            }
        }
    }

    /// p(c | x) of all entries at a cell; all zero where nothing was counted.
    pub(super) fn probabilities(&self, cell: usize) -> Vec<f32> {
        let counts = &self.counts[cell * self.entries..][..self.entries];
        let sum: u64 = counts.iter().map(|&count| u64::from(count)).sum();
        counts.iter().map(|&count| (f64::from(count) / sum.max(1) as f64) as f32).collect()
    }

    /// Which entries of a bank are allowed at each of some cells: those that the histogram's entry of probability above `threshold` stands
    /// for; `stands_for` has one for each entry of the bank.
    pub(super) fn gate(&self, cells: &[usize], stands_for: &[u32], threshold: f32) -> BitRows {
        let mut gate = BitRows::new(cells.len(), stands_for.len());
        for (row, &cell) in cells.iter().enumerate() {
            let probabilities = self.probabilities(cell);
            let open =
                stands_for.iter().enumerate().filter(|&(_, &by)| probabilities[by as usize] > threshold);
            open.for_each(|(entry, _)| gate.set(row, entry));
        }
        gate
    }
}
