//! The pointwise half of a coupling block: scale and shift one half of the channels by what a subnet says of the other half.

use crate::real::Real;
use blemish_kernels::simd::{Kernel, Lanes, widest};
use rayon::prelude::*;

/// How a subnet's raw output r becomes the logarithm s of a scale.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Clamp {
    /// s = limit * tanh(rate * r).
    Tanh {
        /// Bound of |s|.
        limit: f64,
        /// Factor of r.
        rate: f64,
    },
    /// s = limit * atan(rate * r).
    Atan {
        /// Bound of |s| over pi / 2.
        limit: f64,
        /// Factor of r.
        rate: f64,
    },
    /// s = ln(floor + (1 - floor) * sigmoid(r + 2)).
    Sigmoid {
        /// Smallest scale.
        floor: f64,
    },
    /// s = 0: the coupling only adds.
    None,
}

/// The pointwise map of a coupling with raw output (r, t): exp(s) * x + gain * t, or exp(s) * (x + gain * t).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Coupling {
    /// From r to s.
    pub clamp: Clamp,
    /// Factor of t.
    pub gain: f64,
    /// Whether the shift comes before the scale.
    pub shift_first: bool,
}

/// s and ds/dr for one raw value.
#[inline(always)]
fn scale<T: Real>(clamp: Clamp, r: T) -> (T, T) {
    let one = T::ONE;
    match clamp {
        Clamp::Tanh { limit, rate } => {
            let (limit, rate) = (T::of(limit), T::of(rate));
            let tanh = (rate * r).tanh();
            (limit * tanh, limit * rate * (one - tanh * tanh))
        }
        Clamp::Atan { limit, rate } => {
            let (limit, rate) = (T::of(limit), T::of(rate));
            let inner = rate * r;
            (limit * inner.atan(), limit * rate / (one + inner * inner))
        }
        Clamp::Sigmoid { floor } => {
            let floor = T::of(floor);
            let sigmoid = one / (one + (-(r + one + one)).exp());
            let scale = floor + (one - floor) * sigmoid;
            (scale.ln(), (one - floor) * sigmoid * (one - sigmoid) / scale)
        }
        Clamp::None => (T::default(), T::default()),
    }
}

/// What one image's channels become, and the sum of s over them at every position.
struct Forward<'a, T> {
    coupling: Coupling,
    x: &'a [T],
    raw: &'a [T],
    out: &'a mut [T],
}

impl<T: Real> Kernel for Forward<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let values = self.x.len();
        let (r, t) = self.raw.split_at(values);
        let (y, sums) = self.out.split_at_mut(values);
        let positions = sums.len();
        let gain = T::of(self.coupling.gain);
        let first = self.coupling.shift_first;
        for (((y, &x), &r), &t) in y.iter_mut().zip(self.x).zip(r).zip(t) {
            let factor = scale(self.coupling.clamp, r).0.exp();
            *y = if first { (x + gain * t) * factor } else { x * factor + gain * t };
        }
        // Recomputing s is cheaper than keeping it: a pass more over the result took 4 % of a training step.
        if positions == 1 {
            let mut sum = T::default();
            r.iter().for_each(|&r| sum += scale(self.coupling.clamp, r).0);
            sums[0] = sum;
        } else {
            sums.fill(T::default());
            for r in r.chunks_exact(positions) {
                sums.iter_mut().zip(r).for_each(|(sum, &r)| *sum += scale(self.coupling.clamp, r).0);
            }
        }
    }
}

/// The gradients with respect to x and the raw output of one image.
struct Backward<'a, T> {
    coupling: Coupling,
    x: &'a [T],
    raw: &'a [T],
    gradient: &'a [T],
    dx: &'a mut [T],
    draw: &'a mut [T],
}

impl<T: Real> Kernel for Backward<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let values = self.x.len();
        let (r, t) = self.raw.split_at(values);
        let (dr, dt) = self.draw.split_at_mut(values);
        let (dy, dsum) = self.gradient.split_at(values);
        let gain = T::of(self.coupling.gain);
        let step = if dsum.len() == 1 { values } else { dsum.len() };
        for start in (0..values).step_by(step.max(1)) {
            let range = start..start + step;
            let (x, r, t) = (&self.x[range.clone()], &r[range.clone()], &t[range.clone()]);
            let dy = &dy[range.clone()];
            let (dx, dr, dt) = (&mut self.dx[range.clone()], &mut dr[range.clone()], &mut dt[range]);
            for i in 0..step {
                let (s, slope) = scale(self.coupling.clamp, r[i]);
                let factor = s.exp();
                let scaled = dy[i] * factor;
                dx[i] = scaled;
                let (shift, before) =
                    if self.coupling.shift_first { (scaled, x[i] + gain * t[i]) } else { (dy[i], x[i]) };
                dt[i] = gain * shift;
                let dsum = if dsum.len() == 1 { dsum[0] } else { dsum[i] };
                dr[i] = (scaled * before + dsum) * slope;
            }
        }
    }
}

/// x images x values, raw images x 2 values (all r, then all t); out images x (values + positions), the sums of s last.
pub(crate) fn forward<T: Real>(
    coupling: Coupling,
    [values, positions]: [usize; 2],
    x: &[T],
    raw: &[T],
) -> Vec<T> {
    let images = x.len() / values.max(1);
    let mut out = vec![T::default(); images * (values + positions)];
    let inputs = x.par_chunks_exact(values).zip(raw.par_chunks_exact(2 * values));
    out.par_chunks_exact_mut(values + positions).zip(inputs).with_min_len(grain(values)).for_each(
        |(out, (x, raw))| {
            widest(Forward { coupling, x, raw, out });
        },
    );
    out
}

/// The gradients with respect to x and raw.
pub(crate) fn backward<T: Real>(
    coupling: Coupling,
    [values, positions]: [usize; 2],
    x: &[T],
    raw: &[T],
    gradient: &[T],
) -> (Vec<T>, Vec<T>) {
    let (mut dx, mut draw) = (vec![T::default(); x.len()], vec![T::default(); raw.len()]);
    let inputs = x.par_chunks_exact(values).zip(raw.par_chunks_exact(2 * values));
    let inputs = inputs.zip(gradient.par_chunks_exact(values + positions));
    let outputs = dx.par_chunks_exact_mut(values).zip(draw.par_chunks_exact_mut(2 * values));
    outputs.zip(inputs).with_min_len(grain(values)).for_each(|((dx, draw), ((x, raw), gradient))| {
        widest(Backward { coupling, x, raw, gradient, dx, draw });
    });
    (dx, draw)
}

/// Images that are worth a task of their own.
fn grain(values: usize) -> usize {
    (1 << 14) / values.max(1) + 1
}
