//! Means and variances, and what brings values to mean 0 and variance 1: common to all normalisations.
//!
//! Moments are those of short runs in single precision, joined in double precision (Chan, Golub and LeVeque 1979), so neither large means
//! nor many values cost digits.

use crate::real::Real;
use blemish_kernels::simd::{Kernel, Lanes, widest};

/// Values of which a sum is kept in the map's own precision; they stay in the first-level cache between mean and variance.
pub(crate) const RUN: usize = 2048;
/// Partial sums side by side.
const WIDTH: usize = 32;

/// Values that are worth a task.
const GRAIN: usize = 1 << 14;

/// Parts of so many values that are worth a task.
pub(crate) fn grain(values: usize) -> usize {
    GRAIN / values.max(1) + 1
}

/// A mean and a biased variance.
pub(crate) type Moments = (f64, f64);

/// Of values with these moments, what leads from x to h = (x - m) / sqrt(v + epsilon) and z = g h + b.
#[derive(Clone, Copy)]
pub(crate) struct Line<T> {
    mean: T,
    /// 1 / sqrt(v + epsilon).
    pub(crate) root: T,
    pub(crate) gain: T,
    shift: T,
}

impl<T: Real> Line<T> {
    pub(crate) fn new((mean, variance): Moments, epsilon: f64, gain: T, shift: T) -> Self {
        Self { mean: T::of(mean), root: T::of(1.0 / (variance + epsilon).sqrt()), gain, shift }
    }

    /// h.
    #[inline(always)]
    pub(crate) fn normed(&self, x: T) -> T {
        (x - self.mean) * self.root
    }

    /// z of h.
    #[inline(always)]
    pub(crate) fn value(&self, h: T) -> T {
        self.gain * h + self.shift
    }
}

/// The sum of some numbers for every index, in a fixed order.
#[inline(always)]
pub(crate) fn sums<T: Real, const N: usize>(count: usize, value: impl Fn(usize) -> [T; N]) -> [f64; N] {
    let mut sums = [[T::default(); WIDTH]; N];
    let whole = count / WIDTH * WIDTH;
    for start in (0..whole).step_by(WIDTH) {
        for lane in 0..WIDTH {
            let values = value(start + lane);
            for n in 0..N {
                sums[n][lane] += values[n];
            }
        }
    }
    for index in whole..count {
        let values = value(index);
        for n in 0..N {
            sums[n][index - whole] += values[n];
        }
    }
    sums.map(|lanes| lanes.iter().map(|lane| lane.wide()).sum())
}

struct Measure<'a, T> {
    planes: &'a [&'a [T]],
}

impl<T: Real> Kernel for Measure<'_, T> {
    type Output = Moments;
    #[inline(always)]
    fn run<V: Lanes>(self) -> Moments {
        let (mut count, mut mean, mut squares) = (0.0, 0.0, 0.0);
        for run in self.planes.iter().flat_map(|plane| plane.chunks(RUN)) {
            let more = run.len() as f64;
            let [sum] = sums(run.len(), |at| [run[at]]);
            let own = T::of(sum / more);
            // What the mean was rounded by is counted, too.
            let [off, square] = sums(run.len(), |at| {
                let off = run[at] - own;
                [off, off * off]
            });
            let own: f64 = own.wide() + off / more;
            let square = square - off * off / more;
            let difference = own - mean;
            mean += difference * more / (count + more);
            squares += square + difference * difference * count * more / (count + more);
            count += more;
        }
        (mean, squares / f64::max(count, 1.0))
    }
}

/// Mean and biased variance of all values together.
pub(crate) fn moments_of<T: Real>(planes: &[&[T]]) -> Moments {
    widest(Measure { planes })
}
