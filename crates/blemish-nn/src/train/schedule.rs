//! How the learning rate changes over the steps.

use serde::{Deserialize, Serialize};

/// The rate at each step: a linear warm-up, then a decay.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// Rate at the end of the warm-up.
    pub rate: f64,
    /// Steps over which the rate rises from a tenth of it.
    pub warm_up: u64,
    /// What follows.
    pub decay: Decay,
}

/// What follows the warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Decay {
    /// The same rate.
    Constant,
    /// Times `factor` every `every` steps.
    Step {
        /// Steps between changes.
        every: u64,
        /// Of the rate at each change.
        factor: f64,
    },
    /// Times `factor` at each of two shares of the steps.
    Late {
        /// The shares, 0 to 1.
        shares: [f64; 2],
        /// Of the rate at each change.
        factor: f64,
    },
    /// floor + (rate - floor) (1 + cos(pi p)) / 2, p the share of the steps done, counted in `stairs` equal parts (0: every step).
    Cosine {
        /// Rate that it would reach at the end.
        floor: f64,
        /// Parts in which the rate stays the same.
        stairs: u64,
    },
}

impl Schedule {
    /// The same rate at every step.
    pub fn constant(rate: f64) -> Self {
        Self { rate, warm_up: 0, decay: Decay::Constant }
    }

    /// Rate of a step (from 0) of a training of `steps` steps.
    pub fn at(&self, step: u64, steps: u64) -> f64 {
        if step < self.warm_up {
            let start = 0.1 * self.rate;
            let end = self.decayed(self.warm_up, steps);
            return start + (end - start) * step as f64 / self.warm_up as f64;
        }
        self.decayed(step, steps)
    }

    fn decayed(&self, step: u64, steps: u64) -> f64 {
        match self.decay {
            Decay::Constant => self.rate,
            Decay::Step { every, factor } => self.rate * factor.powf((step / every.max(1)) as f64),
            Decay::Late { shares, factor } => {
                let passed = shares.iter().filter(|&&share| step as f64 >= share * steps as f64).count();
                self.rate * factor.powi(passed as i32)
            }
            Decay::Cosine { floor, stairs } => {
                let share = step as f64 / steps.max(1) as f64;
                let share = if stairs == 0 { share } else { (share * stairs as f64).floor() / stairs as f64 };
                floor + (self.rate - floor) * (1.0 + (std::f64::consts::PI * share).cos()) / 2.0
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cosine_in_stairs_gives_the_values_of_cflows_meta_epochs() {
        let decay = Decay::Cosine { floor: 2e-7, stairs: 25 };
        let schedule = Schedule { rate: 2e-4, warm_up: 16, decay };
        let close =
            |rate: f64, expected: f64| assert!((rate / expected - 1.0).abs() < 1e-5, "{rate} {expected}");
        // 8 steps a meta epoch.
        let at = |epoch: u64| Schedule { warm_up: 0, ..schedule }.at(epoch * 8 + 3, 200);
        close(at(0), 2e-4);
        close(at(1), 1.992_123e-4);
        close(at(12), 1.063_728e-4);
        close(at(24), 9.8774e-7);
        close(schedule.at(0, 200), 2e-5);
        close(schedule.at(16, 200), 1.968_615e-4);
    }

    #[test]
    fn steps_and_constants() {
        let schedule = Schedule { rate: 1.0, warm_up: 0, decay: Decay::Step { every: 10, factor: 0.5 } };
        assert_eq!([0, 9, 10, 25].map(|step| schedule.at(step, 100)), [1.0, 1.0, 0.5, 0.25]);
        assert_eq!(Schedule::constant(0.3).at(99, 100), 0.3);
        let late = Schedule { decay: Decay::Late { shares: [0.8, 0.9], factor: 0.5 }, ..schedule };
        assert_eq!([0, 79, 80, 89, 90, 99].map(|step| late.at(step, 100)), [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]);
    }
}
