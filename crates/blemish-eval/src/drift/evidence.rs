//! Bets against "nothing has changed": a martingale from 1.

use serde::{Deserialize, Serialize};

/// Moves that are bet on, in standard deviations.
pub(super) const MOVES: [f64; 8] = [-2.0, -1.0, -0.5, -0.25, 0.25, 0.5, 1.0, 2.0];

/// What a bet on a move gains by a normal score z, as a logarithm: d z - d^2 / 2.
pub(super) fn gain_of_move(bet: usize, z: f64) -> f64 {
    MOVES[bet] * z - MOVES[bet].powi(2) / 2.0
}

/// A martingale from 1 that mixes several bets, each started at every step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Evidence {
    /// Steps taken.
    steps: u64,
    /// Capital of each bet over all its starts so far. Single precision, which text keeps to the last bit.
    staked: Vec<f32>,
    /// Of each bet: largest log gain of any start (not below 0), and the image it started at.
    runs: Vec<(f32, u64)>,
}

impl Evidence {
    pub(super) fn new(bets: usize) -> Self {
        Self { steps: 0, staked: vec![0.0; bets], runs: vec![(0.0, 0); bets] }
    }

    /// Takes a step: each bet gains exp(`log_gain`), on average at most 1 while nothing has changed.
    pub(super) fn bet(&mut self, image: u64, log_gain: impl Fn(usize) -> f64) {
        let stake = unstaked(self.steps) - unstaked(self.steps + 1);
        self.steps += 1;
        for (bet, (staked, run)) in self.staked.iter_mut().zip(&mut self.runs).enumerate() {
            let gain = log_gain(bet);
            *staked = ((f64::from(*staked) + stake) * gain.exp()) as f32;
            if run.0 <= 0.0 {
                *run = (0.0, image);
            }
            run.0 = (run.0 + gain as f32).max(0.0);
        }
    }

    /// The martingale's value: what is staked, on average over the bets, and what waits for later starts.
    pub(super) fn capital(&self) -> f64 {
        let staked: f64 = self.staked.iter().map(|&staked| f64::from(staked)).sum();
        staked / self.staked.len() as f64 + unstaked(self.steps)
    }

    /// The bet with the largest capital and where its best start lies.
    pub(super) fn leading(&self) -> (usize, u64) {
        let larger = |best, bet| if self.staked[bet] > self.staked[best] { bet } else { best };
        let bet = (0..self.staked.len()).fold(0, larger);
        (bet, self.runs[bet].1)
    }
}

/// Capital that is not staked yet after so many steps: falls from 1 to 0 so slowly that late starts still get a share.
fn unstaked(steps: u64) -> f64 {
    1.0 / (1.0 + (steps as f64).ln_1p())
}
