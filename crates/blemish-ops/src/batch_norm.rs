//! Batch normalisation followed by a ReLU of any slope: two passes over a map forward and two backward, where single operations take
//! about ten each.
//!
//! With m and v the mean and biased variance of a channel over batch and positions, h = (x - m) / sqrt(v + epsilon) and z = g h + b:
//! y = z where z > 0, slope z elsewhere. With dz the gradient of z and mean() over batch and positions,
//! dx = g / sqrt(v + epsilon) (dz - mean(dz) - h mean(dz h)), dg = sum of dz h, db = sum of dz.
//!
//! Moments are those of short runs in single precision, joined in double precision (Chan, Golub and LeVeque 1979), so neither large means
//! nor many values cost digits.

use crate::real::Real;
use blemish_kernels::simd::{Kernel, Lanes, widest};
use rayon::prelude::*;

/// Values of which a sum is kept in the map's own precision; they stay in the first-level cache between mean and variance.
const RUN: usize = 2048;
/// Partial sums side by side.
const WIDTH: usize = 32;

/// Shape and constants: a map is batch x channels x positions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchNorm {
    pub(crate) channels: usize,
    pub(crate) positions: usize,
    pub(crate) epsilon: f64,
    /// Of what follows, where it is negative: 1 for nothing, 0 for a ReLU.
    pub(crate) slope: f64,
}

/// A channel's mean and biased variance.
pub(crate) type Moments = (f64, f64);

/// Of one channel, what leads from x to h and z.
#[derive(Clone, Copy)]
struct Line<T> {
    mean: T,
    /// 1 / sqrt(v + epsilon).
    root: T,
    gain: T,
    shift: T,
    slope: T,
}

impl<T: Real> Line<T> {
    #[inline(always)]
    fn normed(&self, x: T) -> T {
        (x - self.mean) * self.root
    }

    #[inline(always)]
    fn value(&self, x: T) -> T {
        let z = self.gain * self.normed(x) + self.shift;
        if self.is_kept(z) { z } else { self.slope * z }
    }

    /// h, and the gradient of z for that of y.
    #[inline(always)]
    fn gradient(&self, x: T, dy: T) -> (T, T) {
        let h = self.normed(x);
        (h, if self.is_kept(self.gain * h + self.shift) { dy } else { self.slope * dy })
    }

    #[inline(always)]
    fn is_kept(&self, z: T) -> bool {
        z > T::default()
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

struct Forward<'a, T> {
    line: Line<T>,
    x: &'a [T],
    y: &'a mut [T],
}

impl<T: Real> Kernel for Forward<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let line = self.line;
        for (y, &x) in self.y.iter_mut().zip(self.x) {
            *y = line.value(x);
        }
    }
}

/// Sums of dz and dz h.
struct Sums<'a, T> {
    line: Line<T>,
    planes: &'a [(&'a [T], &'a [T])],
}

impl<T: Real> Kernel for Sums<'_, T> {
    type Output = [f64; 2];
    #[inline(always)]
    fn run<V: Lanes>(self) -> [f64; 2] {
        let line = self.line;
        let mut all = [0.0; 2];
        for (x, dy) in self.planes {
            for (x, dy) in x.chunks(RUN).zip(dy.chunks(RUN)) {
                let dy = &dy[..x.len()];
                let part = sums(x.len(), |at| {
                    let (h, dz) = line.gradient(x[at], dy[at]);
                    [dz, dz * h]
                });
                all[0] += part[0];
                all[1] += part[1];
            }
        }
        all
    }
}

/// From the gradient of y to that of x, in place.
struct Backward<'a, T> {
    line: Line<T>,
    means: [T; 2],
    x: &'a [T],
    gradient: &'a mut [T],
}

impl<T: Real> Kernel for Backward<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let line = self.line;
        let (scale, [mean, along]) = (line.gain * line.root, self.means);
        for (gradient, &x) in self.gradient.iter_mut().zip(self.x) {
            let (h, dz) = line.gradient(x, *gradient);
            *gradient = scale * (dz - mean - h * along);
        }
    }
}

/// Mean and biased variance of all values together.
pub(crate) fn moments_of<T: Real>(planes: &[&[T]]) -> Moments {
    widest(Measure { planes })
}

impl BatchNorm {
    fn line<T: Real>(&self, channel: usize, gain: &[T], shift: &[T], (mean, variance): Moments) -> Line<T> {
        Line {
            mean: T::of(mean),
            root: T::of(1.0 / (variance + self.epsilon).sqrt()),
            gain: gain[channel],
            shift: shift[channel],
            slope: T::of(self.slope),
        }
    }

    fn planes<'a, T>(&self, map: &'a [T], channel: usize) -> impl Iterator<Item = &'a [T]> {
        map.chunks_exact(self.positions).skip(channel).step_by(self.channels)
    }

    /// Of every channel.
    pub(crate) fn moments<T: Real>(&self, x: &[T]) -> Vec<Moments> {
        let of_channel = |channel| widest(Measure { planes: &self.planes(x, channel).collect::<Vec<_>>() });
        (0..self.channels).into_par_iter().map(of_channel).collect()
    }

    /// y of x with given moments.
    pub(crate) fn forward<T: Real>(&self, x: &[T], [gain, shift]: [&[T]; 2], moments: &[Moments]) -> Vec<T> {
        let mut out = vec![T::default(); x.len()];
        let planes = out.par_chunks_exact_mut(self.positions).zip(x.par_chunks_exact(self.positions));
        planes.with_min_len(self.grain()).enumerate().for_each(|(plane, (y, x))| {
            let channel = plane % self.channels;
            widest(Forward { line: self.line(channel, gain, shift, moments[channel]), x, y });
        });
        out
    }

    /// Turns the gradient of y into that of x, and gives those of gain and shift.
    pub(crate) fn backward<T: Real>(
        &self,
        x: &[T],
        [gain, shift]: [&[T]; 2],
        moments: &[Moments],
        gradient: &mut [T],
    ) -> [Vec<T>; 2] {
        let count = (x.len() / self.channels.max(1)) as f64;
        let read = &*gradient;
        let of_channel = |channel| {
            let planes: Vec<_> = self.planes(x, channel).zip(self.planes(read, channel)).collect();
            widest(Sums { line: self.line(channel, gain, shift, moments[channel]), planes: &planes })
        };
        let sums: Vec<[f64; 2]> = (0..self.channels).into_par_iter().map(of_channel).collect();
        let planes = gradient.par_chunks_exact_mut(self.positions).zip(x.par_chunks_exact(self.positions));
        planes.with_min_len(self.grain()).enumerate().for_each(|(plane, (gradient, x))| {
            let channel = plane % self.channels;
            let line = self.line(channel, gain, shift, moments[channel]);
            let means = sums[channel].map(|sum| T::of(sum / count));
            widest(Backward { line, means, x, gradient });
        });
        [1, 0].map(|which| sums.iter().map(|sum| T::of(sum[which])).collect())
    }

    /// Planes that are worth a task.
    fn grain(&self) -> usize {
        (1 << 14) / self.positions.max(1) + 1
    }
}
