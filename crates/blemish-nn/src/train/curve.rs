//! What the loss did.

use serde::{Deserialize, Serialize};

/// Ends a training whose mean loss over `window` steps has not reached a new low for `windows` windows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Patience {
    /// Steps whose losses are averaged.
    pub window: u64,
    /// Windows to wait.
    pub windows: u64,
}

/// Losses over a training, averaged over equal parts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// Steps of a part.
    pub part: u64,
    /// Mean loss of every full part.
    pub losses: Vec<f64>,
    pub(super) sum: f64,
    pub(super) count: u64,
}

/// Parts that a loss curve has at most.
const PARTS: u64 = 200;

impl Curve {
    /// A finished curve.
    pub fn of(part: u64, losses: Vec<f64>) -> Self {
        Self { part, losses, sum: 0.0, count: 0 }
    }

    pub(super) fn new(steps: u64) -> Self {
        Self { part: steps.div_ceil(PARTS).max(1), ..Self::default() }
    }

    pub(super) fn push(&mut self, loss: f64) {
        self.sum += loss;
        self.count += 1;
        if self.count == self.part {
            self.close();
        }
    }

    pub(super) fn close(&mut self) {
        if self.count > 0 {
            self.losses.push(self.sum / self.count as f64);
        }
        (self.sum, self.count) = (0.0, 0);
    }

    /// Whether there has been no new low for as long as patience lasts, in parts of the curve no shorter than its window.
    pub(super) fn has_stalled(&self, patience: Patience) -> bool {
        let Self { part, losses, count, .. } = self;
        let parts = patience.window.div_ceil(*part).max(1) as usize;
        if *count != 0 || losses.len() % parts != 0 {
            return false;
        }
        let means: Vec<f64> =
            losses.chunks_exact(parts).map(|losses| losses.iter().sum::<f64>() / parts as f64).collect();
        let best = (0..means.len()).min_by(|&a, &b| means[a].total_cmp(&means[b])).unwrap_or(0);
        means.len() as u64 > best as u64 + patience.windows
    }
}
