//! What is usual at every pixel.

use blemish_core::error::Error;
use blemish_core::state::{State, StateError};

/// Share of the usual value below which a deviation says nothing.
const LEAST: f32 = 1e-3;

/// Mean m and deviation s of good images' maps at every pixel.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Normal {
    size: (usize, usize),
    mean: Vec<f32>,
    deviation: Vec<f32>,
    /// s0.
    floor: f32,
}

impl Normal {
    fn new(size: (usize, usize), mean: Vec<f32>, deviation: Vec<f32>) -> Self {
        let mut sorted = deviation.clone();
        sorted.sort_unstable_by(f32::total_cmp);
        let median = sorted.get(sorted.len() / 2).copied().unwrap_or(0.0);
        let usual = mean.iter().map(|value| f64::from(value.abs())).sum::<f64>() / mean.len().max(1) as f64;
        // Images without any difference leave nothing to divide by.
        let floor = median.max(LEAST * usual as f32).max(f32::MIN_POSITIVE.sqrt());
        Self { size, mean, deviation, floor }
    }

    /// B = (A - m) / (s + s0) of a map A, s0 the median of s.
    pub(crate) fn apply(&self, map: &mut [f32]) {
        for ((value, mean), deviation) in map.iter_mut().zip(&self.mean).zip(&self.deviation) {
            *value = (*value - mean) / (deviation + self.floor);
        }
    }

    /// m and s + s0 of every pixel.
    pub(crate) fn scales(&self) -> (&[f32], Vec<f32>) {
        (&self.mean, self.deviation.iter().map(|deviation| deviation + self.floor).collect())
    }

    /// Puts both into a model's state.
    pub(crate) fn store(&self, state: &mut State) {
        let shape = [self.size.0, self.size.1];
        state.set_f32("normal.mean", &shape, self.mean.clone());
        state.set_f32("normal.deviation", &shape, self.deviation.clone());
    }

    /// What [`Self::store`] has kept, for maps of a size.
    ///
    /// # Errors
    /// [`Error::State`] if it is missing, of another size or not finite.
    pub(crate) fn load(size: (usize, usize), state: &State) -> Result<Self, Error> {
        let plane = |name: &str, least: f32| -> Result<Vec<f32>, Error> {
            let (shape, values) = state.f32(name, 2)?;
            let is_sound = |value: &f32| value.is_finite() && *value >= least;
            if *shape != [size.0, size.1] || !values.iter().all(is_sound) {
                let reason = format!("does not hold {} x {} finite numbers", size.0, size.1);
                return Err(StateError { name: name.into(), reason }.into());
            }
            Ok(values.to_vec())
        };
        Ok(Self::new(size, plane("normal.mean", f32::MIN)?, plane("normal.deviation", 0.0)?))
    }
}

/// Takes maps in, one by one (Welford 1962).
pub(crate) struct Moments {
    count: f64,
    mean: Vec<f64>,
    /// Sums of squared differences from the mean.
    squares: Vec<f64>,
}

impl Moments {
    /// Of maps of so many values.
    pub(crate) fn new(values: usize) -> Self {
        Self { count: 0.0, mean: vec![0.0; values], squares: vec![0.0; values] }
    }

    /// One more map.
    pub(crate) fn push(&mut self, map: &[f32]) {
        self.count += 1.0;
        for ((mean, squares), &value) in self.mean.iter_mut().zip(&mut self.squares).zip(map) {
            let before = f64::from(value) - *mean;
            *mean += before / self.count;
            *squares += before * (f64::from(value) - *mean);
        }
    }

    /// Mean and deviation (of n - 1) at every pixel.
    pub(crate) fn finish(self, size: (usize, usize)) -> Normal {
        let others = (self.count - 1.0).max(1.0);
        let deviation = self.squares.iter().map(|squares| (squares / others).sqrt() as f32).collect();
        Normal::new(size, self.mean.iter().map(|&mean| mean as f32).collect(), deviation)
    }

    /// Variance of n - 1 of every value.
    pub(crate) fn variances(&self) -> Vec<f64> {
        let others = (self.count - 1.0).max(1.0);
        self.squares.iter().map(|squares| squares / others).collect()
    }

    /// Mean and deviation of all values together.
    pub(crate) fn overall(&self) -> (f32, f32) {
        let values = self.mean.len().max(1) as f64;
        let mean = self.mean.iter().sum::<f64>() / values;
        let between = self.mean.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values;
        let within = self.squares.iter().sum::<f64>() / (values * self.count.max(1.0));
        (mean as f32, (between + within).sqrt() as f32)
    }
}
