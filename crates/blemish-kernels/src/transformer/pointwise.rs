//! What is done to rows one by one: layer norm, residual sums, gates.

use super::Activation;
use crate::simd::{Kernel, LANES, Lanes, padded, widest};
use rayon::prelude::*;

/// Values that a thread takes at a time.
const CHUNK: usize = 1 << 15;

/// out = gain (x - mean(x)) / sqrt(var(x) + epsilon) + bias for every row x of `rows`, n x width with width = `gain.len()`.
///
/// Mean and variance (over n, not n - 1) are of the row, in two passes (layer normalisation, arXiv 1607.06450).
///
/// # Panics
/// If the lengths do not fit.
pub fn layer_norm(
    rows: &[f32],
    gain: &[f32],
    bias: &[f32],
    epsilon: f32,
    out: &mut [f32],
    is_parallel: bool,
) {
    let width = gain.len();
    assert_eq!(bias.len(), width, "one gain and one bias a value");
    assert_eq!(rows.len(), out.len(), "as many values come in as go out");
    assert!(width > 0 && rows.len().is_multiple_of(width), "whole rows");
    let size = (CHUNK / width).max(1) * width;
    let work = |(rows, out): (&[f32], &mut [f32])| widest(LayerNorm { rows, gain, bias, epsilon, out });
    if is_parallel {
        rows.par_chunks(size).zip(out.par_chunks_mut(size)).for_each(work);
    } else {
        rows.chunks(size).zip(out.chunks_mut(size)).for_each(work);
    }
}

struct LayerNorm<'a> {
    rows: &'a [f32],
    gain: &'a [f32],
    bias: &'a [f32],
    epsilon: f32,
    out: &'a mut [f32],
}

impl Kernel for LayerNorm<'_> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let width = self.gain.len();
        let share = 1.0 / width as f32;
        for (row, out) in self.rows.chunks_exact(width).zip(self.out.chunks_exact_mut(width)) {
            let (chunks, tail) = row.as_chunks::<LANES>();
            let mut sum = V::load(&padded(tail));
            for chunk in chunks {
                sum = sum.add(V::load(chunk));
            }
            let mean = V::splat(sum.sum() * share);
            let mut squares = V::splat(0.0);
            for chunk in chunks {
                let difference = V::load(chunk).sub(mean);
                squares = difference.mul_add(difference, squares);
            }
            if !tail.is_empty() {
                let mut rest = V::load(&padded(tail)).sub(mean).store();
                rest[tail.len()..].fill(0.0);
                let difference = V::load(&rest);
                squares = difference.mul_add(difference, squares);
            }
            let scale = V::splat(1.0 / (squares.sum() * share + self.epsilon).sqrt());
            let ((gains, gain_tail), (biases, bias_tail)) = (self.gain.as_chunks(), self.bias.as_chunks());
            let (outs, out_tail) = out.as_chunks_mut::<LANES>();
            for (((out, x), gain), bias) in outs.iter_mut().zip(chunks).zip(gains).zip(biases) {
                *out = V::load(x).sub(mean).mul(scale).mul_add(V::load(gain), V::load(bias)).store();
            }
            if !tail.is_empty() {
                let [x, gain, bias] = [tail, gain_tail, bias_tail].map(|tail| V::load(&padded(tail)));
                out_tail.copy_from_slice(&x.sub(mean).mul(scale).mul_add(gain, bias).store()[..tail.len()]);
            }
        }
    }
}

/// into += from, value by value.
///
/// # Panics
/// If the lengths differ.
pub fn add(into: &mut [f32], from: &[f32]) {
    assert_eq!(into.len(), from.len(), "as many values are added as there are");
    into.iter_mut().zip(from).for_each(|(into, from)| *into += from);
}

/// out = act(a) b for every row (a, b) of `rows`, n x 2 width; `out` is n x width: gated linear units (arXiv 2002.05202), SwiGLU with
/// [`Activation::Silu`].
///
/// # Panics
/// If the lengths do not fit.
pub fn gate(rows: &[f32], width: usize, activation: Activation, out: &mut [f32], is_parallel: bool) {
    assert_eq!(rows.len(), 2 * out.len(), "two values come in for one that goes out");
    assert!(width > 0 && out.len().is_multiple_of(width), "whole rows");
    let count = (CHUNK / width).max(1);
    let work = |(rows, out): (&[f32], &mut [f32])| {
        for (row, out) in rows.chunks_exact(2 * width).zip(out.chunks_exact_mut(width)) {
            let (a, b) = row.split_at(width);
            out.copy_from_slice(a);
            activation.apply(out);
            out.iter_mut().zip(b).for_each(|(out, b)| *out *= b);
        }
    };
    if is_parallel {
        rows.par_chunks(2 * count * width).zip(out.par_chunks_mut(count * width)).for_each(work);
    } else {
        rows.chunks(2 * count * width).zip(out.chunks_mut(count * width)).for_each(work);
    }
}
