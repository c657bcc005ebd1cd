//! Distances of normalised histograms.

use crate::simd::{Kernel, Lanes, widest};

/// How unlike two histograms are. The order of the bins counts for the earth mover's distance only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distance {
    /// 0.5 sum (a - b)^2 / (a + b), 0/0 = 0; 0 to 1.
    ChiSquare,
    /// The log-likelihood statistic 2 sum a ln(a / b), b floored at 1e-6 and normalised again.
    LogLikelihood,
    /// Earth mover's distance in bins: sum of |cumulative(a) - cumulative(b)|.
    EarthMover,
    /// sqrt(1 - sum sqrt(a b)); 0 to 1.
    Hellinger,
}

/// What b is floored at in [`Distance::LogLikelihood`].
const FLOOR: f32 = 1e-6;

impl Distance {
    /// The distance of `a` from the reference `b`, both with sum 1.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn between(self, a: &[f32], b: &[f32]) -> f32 {
        assert_eq!(a.len(), b.len(), "histograms of the same bins");
        match self {
            Self::ChiSquare => widest(ChiSquare(a, b)),
            Self::LogLikelihood => {
                let total: f32 = b.iter().map(|b| b.max(FLOOR)).sum();
                let term =
                    |(&a, b): (&f32, &f32)| if a > 0.0 { a * (a * total / b.max(FLOOR)).ln() } else { 0.0 };
                2.0 * a.iter().zip(b).map(term).sum::<f32>()
            }
            Self::EarthMover => {
                let mut carried = 0.0f32;
                let step = |(a, b): (&f32, &f32)| {
                    carried += a - b;
                    carried.abs()
                };
                a.iter().zip(b).map(step).sum()
            }
            Self::Hellinger => {
                let shared: f32 = a.iter().zip(b).map(|(a, b)| (a * b).sqrt()).sum();
                (1.0 - shared).max(0.0).sqrt()
            }
        }
    }

    /// The distance to the nearest of several references (references x bins).
    pub fn to_nearest(self, a: &[f32], references: &[f32]) -> f32 {
        let each = references.chunks_exact(a.len()).map(|b| self.between(a, b));
        each.fold(f32::INFINITY, f32::min)
    }
}

struct ChiSquare<'a>(&'a [f32], &'a [f32]);

impl Kernel for ChiSquare<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<V: Lanes>(self) -> f32 {
        // Sixteen sums side by side, the same on every machine.
        const SIDE: usize = 16;
        let mut sums = [0.0f32; SIDE];
        let (a, b) = (self.0.as_chunks::<SIDE>(), self.1.as_chunks::<SIDE>());
        let term = |a: f32, b: f32| {
            let both = a + b;
            // Both are 0 where the sum is; the maximum saves a branch.
            (a - b) * (a - b) / if both > 1e-30 { both } else { 1e-30 }
        };
        for (a, b) in a.0.iter().zip(b.0) {
            for lane in 0..SIDE {
                sums[lane] += term(a[lane], b[lane]);
            }
        }
        for (lane, (&a, &b)) in a.1.iter().zip(b.1).enumerate() {
            sums[lane] += term(a, b);
        }
        0.5 * sums.iter().sum::<f32>()
    }
}
