//! Ranks of values among those before them, as normal scores.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// Counts of values by bins: (bin, how many), ascending.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Ranks {
    counts: Vec<(u32, u64)>,
}

impl Ranks {
    /// The normal score of the rank that a value has among those kept and itself, standard normal while values are exchangeable; then the
    /// value is kept, too.
    ///
    /// Ties are broken by a random number that image and stream fix, so that a restart changes nothing.
    pub(super) fn normal_score(&mut self, bin: u32, image: u64, stream: u64) -> f64 {
        let (mut below, mut ties, mut all) = (0, 0, 0);
        for &(other, count) in &self.counts {
            all += count;
            below += if other < bin { count } else { 0 };
            ties += if other == bin { count } else { 0 };
        }
        let mut random = ChaCha8Rng::seed_from_u64(image);
        random.set_stream(stream);
        let within: f64 = random.random_range(f64::EPSILON..1.0);
        self.add(bin);
        normal_quantile((below as f64 + within * (ties + 1) as f64) / (all + 1) as f64)
    }

    pub(super) fn add(&mut self, bin: u32) {
        match self.counts.binary_search_by_key(&bin, |&(bin, _)| bin) {
            Ok(at) => self.counts[at].1 += 1,
            Err(at) => self.counts.insert(at, (bin, 1)),
        }
    }
}

/// Maps a finite score to a bin, in order: sign, exponent and 14 bits of the fraction.
pub(super) fn bin(score: f32) -> u32 {
    // Adding zero makes -0 and 0 the same.
    let bits = (score + 0.0).to_bits();
    let ordered = if bits >> 31 == 1 { !bits } else { bits | 1 << 31 };
    ordered >> 9
}

/// The standard normal quantile of a probability in (0, 1), to 2e-9 of itself (Acklam's rational approximation).
pub(super) fn normal_quantile(p: f64) -> f64 {
    const A: [f64; 6] = [
        -3.969683028665376e+01,
        2.209460984245205e+02,
        -2.759285104469687e+02,
        1.38357751867269e+02,
        -3.066479806614716e+01,
        2.506628277459239e+00,
    ];
    const B: [f64; 6] = [
        -5.447609879822406e+01,
        1.615858368580409e+02,
        -1.556989798598866e+02,
        6.680131188771972e+01,
        -1.328068155288572e+01,
        1.0,
    ];
    const C: [f64; 6] = [
        -7.784894002430293e-03,
        -3.223964580411365e-01,
        -2.400758277161838e+00,
        -2.549732539343734e+00,
        4.374664141464968e+00,
        2.938163982698783e+00,
    ];
    const D: [f64; 5] =
        [7.784695709041462e-03, 3.224671290700398e-01, 2.445134137142996e+00, 3.754408661907416e+00, 1.0];
    let horner = |factors: &[f64], x: f64| factors.iter().fold(0.0, |sum, factor| sum * x + factor);
    let tail = |p: f64| {
        let q = (-2.0 * p.ln()).sqrt();
        horner(&C, q) / horner(&D, q)
    };
    if p < 0.02425 {
        tail(p)
    } else if p > 1.0 - 0.02425 {
        -tail(1.0 - p)
    } else {
        let q = p - 0.5;
        q * horner(&A, q * q) / horner(&B, q * q)
    }
}
