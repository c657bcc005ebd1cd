//! Group normalisation followed by SiLU: what diffusion networks put before every convolution, in two passes over a map forward and two
//! backward, where single operations take about a dozen.
//!
//! With m and v the mean and biased variance of a group of channels of an image, h = (x - m) / sqrt(v + epsilon), z = g h + b and s the
//! logistic function of z: y = z s. With dz = dy s (1 + z (1 - s)) and mean() over the group,
//! dx = (g dz - mean(g dz) - h mean(g dz h)) / sqrt(v + epsilon), dg = sum of dz h, db = sum of dz over images and positions.

use crate::moments::{Line, RUN, grain, moments_of, sums};
use crate::real::Real;
use blemish_kernels::simd::{Kernel, Lanes, widest};
use rayon::prelude::*;

/// Shape and constants: a map is images x channels x positions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GroupNorm {
    pub(crate) channels: usize,
    pub(crate) positions: usize,
    pub(crate) groups: usize,
    pub(crate) epsilon: f64,
}

/// 1 / (1 + exp(-z)).
#[inline(always)]
fn logistic<T: Real>(z: T) -> T {
    T::ONE / (T::ONE + (-z).exp())
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
            let z = line.value(line.normed(x));
            *y = z * logistic(z);
        }
    }
}

/// From the gradient of y to that of z, in place, and its sums: dz, and dz h.
struct Inner<'a, T> {
    line: Line<T>,
    x: &'a [T],
    gradient: &'a mut [T],
}

impl<T: Real> Kernel for Inner<'_, T> {
    type Output = [f64; 2];
    #[inline(always)]
    fn run<V: Lanes>(self) -> [f64; 2] {
        let line = self.line;
        let mut all = [0.0; 2];
        for (gradient, x) in self.gradient.chunks_mut(RUN).zip(self.x.chunks(RUN)) {
            for (gradient, &x) in gradient.iter_mut().zip(x) {
                let z = line.value(line.normed(x));
                let s = logistic(z);
                *gradient = *gradient * s * (T::ONE + z * (T::ONE - s));
            }
            let (dz, x) = (&*gradient, &x[..gradient.len()]);
            let part = sums(dz.len(), |at| [dz[at], dz[at] * line.normed(x[at])]);
            all[0] += part[0];
            all[1] += part[1];
        }
        all
    }
}

/// From the gradient of z to that of x, in place.
struct Outer<'a, T> {
    line: Line<T>,
    means: [T; 2],
    x: &'a [T],
    gradient: &'a mut [T],
}

impl<T: Real> Kernel for Outer<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let (line, [mean, along]) = (self.line, self.means);
        for (gradient, &x) in self.gradient.iter_mut().zip(self.x) {
            *gradient = line.root * (line.gain * *gradient - mean - line.normed(x) * along);
        }
    }
}

impl GroupNorm {
    /// Values of a group of one image.
    fn group(&self) -> usize {
        self.channels / self.groups * self.positions
    }

    /// The lines of the channels of group number `number` of the map, of which `x` are the values.
    fn lines<'a, T: Real>(
        &self,
        number: usize,
        x: &[T],
        [gain, shift]: [&'a [T]; 2],
    ) -> impl Iterator<Item = Line<T>> + 'a {
        let (moments, epsilon) = (moments_of(&[x]), self.epsilon);
        let first = number % self.groups * (self.channels / self.groups);
        let channels = first..first + self.channels / self.groups;
        channels.map(move |channel| Line::new(moments, epsilon, gain[channel], shift[channel]))
    }

    /// y of x.
    pub(crate) fn forward<T: Real>(&self, x: &[T], line: [&[T]; 2]) -> Vec<T> {
        let mut out = vec![T::default(); x.len()];
        let groups = out.par_chunks_exact_mut(self.group()).zip(x.par_chunks_exact(self.group()));
        groups.with_min_len(grain(self.group())).enumerate().for_each(|(number, (y, x))| {
            let planes = y.chunks_exact_mut(self.positions).zip(x.chunks_exact(self.positions));
            for (line, (y, x)) in self.lines(number, x, line).zip(planes) {
                widest(Forward { line, x, y });
            }
        });
        out
    }

    /// Turns the gradient of y into that of x, and gives those of gain and shift.
    pub(crate) fn backward<T: Real>(&self, x: &[T], line: [&[T]; 2], gradient: &mut [T]) -> [Vec<T>; 2] {
        let groups = gradient.par_chunks_exact_mut(self.group()).zip(x.par_chunks_exact(self.group()));
        let of_group = |(number, (gradient, x)): (usize, (&mut [T], &[T]))| -> Vec<[f64; 2]> {
            let lines: Vec<Line<T>> = self.lines(number, x, line).collect();
            let planes = gradient.chunks_exact_mut(self.positions).zip(x.chunks_exact(self.positions));
            let inner = planes.zip(&lines).map(|((gradient, x), &line)| widest(Inner { line, x, gradient }));
            let found: Vec<[f64; 2]> = inner.collect();
            let mean = |which: usize| {
                let weighed = found.iter().zip(&lines).map(|(sums, line)| line.gain.wide() * sums[which]);
                T::of(weighed.sum::<f64>() / x.len() as f64)
            };
            let means = [mean(0), mean(1)];
            let planes = gradient.chunks_exact_mut(self.positions).zip(x.chunks_exact(self.positions));
            for ((gradient, x), &line) in planes.zip(&lines) {
                widest(Outer { line, means, x, gradient });
            }
            found
        };
        let found: Vec<Vec<[f64; 2]>> =
            groups.with_min_len(grain(self.group())).enumerate().map(of_group).collect();
        let found: Vec<[f64; 2]> = found.concat();
        let sum = |channel: usize, which: usize| {
            T::of(found.iter().skip(channel).step_by(self.channels).map(|sums| sums[which]).sum())
        };
        [1, 0].map(|which| (0..self.channels).map(|channel| sum(channel, which)).collect())
    }
}
