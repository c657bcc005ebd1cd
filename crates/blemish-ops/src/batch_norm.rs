//! Batch normalisation followed by a ReLU of any slope: two passes over a map forward and two backward, where single operations take
//! about ten each.
//!
//! With m and v the mean and biased variance of a channel over batch and positions, h = (x - m) / sqrt(v + epsilon) and z = g h + b:
//! y = z where z > 0, slope z elsewhere. With dz the gradient of z and mean() over batch and positions,
//! dx = g / sqrt(v + epsilon) (dz - mean(dz) - h mean(dz h)), dg = sum of dz h, db = sum of dz.

use crate::moments::{Line, Moments, RUN, grain, moments_of, sums};
use crate::real::Real;
use blemish_kernels::simd::{Kernel, Lanes, widest};
use rayon::prelude::*;

/// Shape and constants: a map is batch x channels x positions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchNorm {
    pub(crate) channels: usize,
    pub(crate) positions: usize,
    pub(crate) epsilon: f64,
    /// Of what follows, where it is negative: 1 for nothing, 0 for a ReLU.
    pub(crate) slope: f64,
}

/// Of one channel, what leads from x to y.
#[derive(Clone, Copy)]
struct Bent<T> {
    line: Line<T>,
    slope: T,
}

impl<T: Real> Bent<T> {
    #[inline(always)]
    fn value(&self, x: T) -> T {
        let z = self.line.value(self.line.normed(x));
        if self.is_kept(z) { z } else { self.slope * z }
    }

    /// h, and the gradient of z for that of y.
    #[inline(always)]
    fn gradient(&self, x: T, dy: T) -> (T, T) {
        let h = self.line.normed(x);
        (h, if self.is_kept(self.line.value(h)) { dy } else { self.slope * dy })
    }

    #[inline(always)]
    fn is_kept(&self, z: T) -> bool {
        z > T::default()
    }
}

struct Forward<'a, T> {
    line: Bent<T>,
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
    line: Bent<T>,
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
    line: Bent<T>,
    means: [T; 2],
    x: &'a [T],
    gradient: &'a mut [T],
}

impl<T: Real> Kernel for Backward<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let line = self.line;
        let (scale, [mean, along]) = (line.line.gain * line.line.root, self.means);
        for (gradient, &x) in self.gradient.iter_mut().zip(self.x) {
            let (h, dz) = line.gradient(x, *gradient);
            *gradient = scale * (dz - mean - h * along);
        }
    }
}

impl BatchNorm {
    fn line<T: Real>(&self, channel: usize, gain: &[T], shift: &[T], moments: Moments) -> Bent<T> {
        let line = Line::new(moments, self.epsilon, gain[channel], shift[channel]);
        Bent { line, slope: T::of(self.slope) }
    }

    fn planes<'a, T>(&self, map: &'a [T], channel: usize) -> impl Iterator<Item = &'a [T]> {
        map.chunks_exact(self.positions).skip(channel).step_by(self.channels)
    }

    /// Of every channel.
    pub(crate) fn moments<T: Real>(&self, x: &[T]) -> Vec<Moments> {
        let of_channel = |channel| moments_of(&self.planes(x, channel).collect::<Vec<_>>());
        (0..self.channels).into_par_iter().map(of_channel).collect()
    }

    /// y of x with given moments.
    pub(crate) fn forward<T: Real>(&self, x: &[T], [gain, shift]: [&[T]; 2], moments: &[Moments]) -> Vec<T> {
        let mut out = vec![T::default(); x.len()];
        let planes = out.par_chunks_exact_mut(self.positions).zip(x.par_chunks_exact(self.positions));
        planes.with_min_len(grain(self.positions)).enumerate().for_each(|(plane, (y, x))| {
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
        planes.with_min_len(grain(self.positions)).enumerate().for_each(|(plane, (gradient, x))| {
            let channel = plane % self.channels;
            let line = self.line(channel, gain, shift, moments[channel]);
            let means = sums[channel].map(|sum| T::of(sum / count));
            widest(Backward { line, means, x, gradient });
        });
        [1, 0].map(|which| sums.iter().map(|sum| T::of(sum[which])).collect())
    }
}
