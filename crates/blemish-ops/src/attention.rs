//! Attention of several heads: softmax(q k^T / sqrt(d) + mask) v, read where the heads' features lie, and its gradients.
//!
//! Products read and write each head's features inside the rows of all heads, so that nothing is transposed; what lies between the two
//! products is one pass over the logits forward and one backward. The weights of the softmax are kept for the gradient.

use crate::real::{Matrix, Onto, Real, inside, multiply};
use blemish_kernels::simd::{Kernel, Lanes, widest};
use burn::tensor::{Tensor, activation};
use rayon::prelude::*;

/// Partial sums of a row: enough for full vectors, and an order of summation that is the same everywhere.
const SUMS: usize = 16;

/// The sizes of an attention.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attention {
    pub(crate) batch: usize,
    pub(crate) heads: usize,
    /// n.
    pub(crate) queries: usize,
    /// m.
    pub(crate) keys: usize,
    /// d.
    pub(crate) features: usize,
}

/// q, k and v: batch x tokens x features of all heads.
pub(crate) type Inputs<'a, T> = [&'a [T]; 3];

/// What is added to the logits (queries x keys), and what the weights are multiplied by (batch x heads x queries x keys); each may be empty.
#[derive(Clone, Copy)]
pub(crate) struct Extras<'a, T> {
    pub(crate) mask: &'a [T],
    pub(crate) kept: &'a [T],
}

impl Attention {
    fn width(&self) -> usize {
        self.heads * self.features
    }

    /// Weights of a head.
    fn pairs(&self) -> usize {
        self.queries * self.keys
    }

    fn scale<T: Real>(&self) -> T {
        T::of(1.0 / (self.features as f64).sqrt())
    }

    /// A head's rows, and their transpose.
    fn head<'a, T>(&self, data: &'a [T], head: usize) -> [Matrix<'a, T>; 2] {
        let (start, width) = (head * self.features, self.width());
        [
            Matrix { data, start, row_stride: width, column_stride: 1 },
            Matrix { data, start, row_stride: 1, column_stride: width },
        ]
    }

    /// The weights of a head, queries x keys, and their transpose.
    fn weights<'a, T>(&self, data: &'a [T]) -> [Matrix<'a, T>; 2] {
        [
            Matrix { data, start: 0, row_stride: self.keys, column_stride: 1 },
            Matrix { data, start: 0, row_stride: 1, column_stride: self.keys },
        ]
    }

    /// The result, batch x queries x features of all heads, and the weights before any is dropped, batch x heads x queries x keys.
    pub(crate) fn forward<T: Real>(&self, [q, k, v]: Inputs<'_, T>, extras: Extras<'_, T>) -> [Vec<T>; 2] {
        let Self { batch, queries, keys, features, .. } = *self;
        let (width, pairs, threads) = (self.width(), self.pairs(), inside(batch));
        let mut y = vec![T::default(); batch * queries * width];
        let mut weights = vec![T::default(); batch * self.heads * pairs];
        let inputs =
            q.par_chunks(queries * width).zip(k.par_chunks(keys * width)).zip(v.par_chunks(keys * width));
        let outputs = y.par_chunks_mut(queries * width).zip(weights.par_chunks_mut(self.heads * pairs));
        outputs.zip(inputs).enumerate().for_each(|(image, ((y, weights), ((q, k), v)))| {
            let mut dropped = vec![T::default(); if extras.kept.is_empty() { 0 } else { pairs }];
            for (head, weights) in weights.chunks_exact_mut(pairs).enumerate() {
                let ([q, _], [_, k], [v, _]) = (self.head(q, head), self.head(k, head), self.head(v, head));
                multiply([queries, features, keys], q, k, (weights, keys), Onto::Zero, threads);
                widest(Softmax { scale: self.scale(), keys, mask: extras.mask, weights });
                let used = match self.kept(extras.kept, image, head) {
                    Some(kept) => {
                        let pairs = weights.iter().zip(kept);
                        dropped.iter_mut().zip(pairs).for_each(|(to, (&weight, &kept))| *to = weight * kept);
                        &dropped[..]
                    }
                    None => weights,
                };
                let to = &mut y[head * features..];
                multiply(
                    [queries, keys, features],
                    self.weights(used)[0],
                    v,
                    (to, width),
                    Onto::Zero,
                    threads,
                );
            }
        });
        [y, weights]
    }

    fn kept<'a, T>(&self, kept: &'a [T], image: usize, head: usize) -> Option<&'a [T]> {
        kept.get((image * self.heads + head) * self.pairs()..)?.get(..self.pairs())
    }

    /// The gradients with respect to q, k and v.
    pub(crate) fn backward<T: Real>(
        &self,
        [q, k, v]: Inputs<'_, T>,
        weights: &[T],
        kept: &[T],
        gradient: &[T],
    ) -> [Vec<T>; 3] {
        let Self { batch, queries, keys, features, .. } = *self;
        let (width, pairs, threads) = (self.width(), self.pairs(), inside(batch));
        let mut dq = vec![T::default(); batch * queries * width];
        let mut dk = vec![T::default(); batch * keys * width];
        let mut dv = vec![T::default(); batch * keys * width];
        let of_queries = queries * width;
        let of_keys = keys * width;
        let inputs = q.par_chunks(of_queries).zip(k.par_chunks(of_keys)).zip(v.par_chunks(of_keys));
        let given = weights.par_chunks(self.heads * pairs).zip(gradient.par_chunks(of_queries));
        let made =
            dq.par_chunks_mut(of_queries).zip(dk.par_chunks_mut(of_keys)).zip(dv.par_chunks_mut(of_keys));
        made.zip(inputs.zip(given)).enumerate().for_each(
            |(image, (((dq, dk), dv), (((q, k), v), (weights, dy))))| {
                let (mut slopes, mut used) = (vec![T::default(); pairs], vec![T::default(); pairs]);
                for (head, weights) in weights.chunks_exact(pairs).enumerate() {
                    let ([q, _], [k, _], [_, v]) =
                        (self.head(q, head), self.head(k, head), self.head(v, head));
                    let dy = self.head(dy, head)[0];
                    let at = head * features;
                    // First the slopes of the weights as they were used.
                    multiply([queries, features, keys], dy, v, (&mut slopes, keys), Onto::Zero, threads);
                    let kept = self.kept(kept, image, head).unwrap_or_default();
                    widest(Slopes {
                        scale: self.scale(),
                        keys,
                        weights,
                        kept,
                        slopes: &mut slopes,
                        used: &mut used,
                    });
                    let used = self.weights(if kept.is_empty() { weights } else { &used })[1];
                    multiply(
                        [keys, queries, features],
                        used,
                        dy,
                        (&mut dv[at..], width),
                        Onto::Zero,
                        threads,
                    );
                    let [slopes, turned] = self.weights(&slopes);
                    multiply(
                        [queries, keys, features],
                        slopes,
                        k,
                        (&mut dq[at..], width),
                        Onto::Zero,
                        threads,
                    );
                    multiply(
                        [keys, queries, features],
                        turned,
                        q,
                        (&mut dk[at..], width),
                        Onto::Zero,
                        threads,
                    );
                }
            },
        );
        [dq, dk, dv]
    }
}

/// Logits to weights, row by row.
struct Softmax<'a, T> {
    scale: T,
    keys: usize,
    mask: &'a [T],
    weights: &'a mut [T],
}

impl<T: Real> Kernel for Softmax<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let Self { scale, keys, mask, weights } = self;
        let hidden = T::of(f64::NEG_INFINITY);
        for (number, row) in weights.chunks_exact_mut(keys).enumerate() {
            match mask.get(number * keys..) {
                Some(mask) if mask.len() >= keys => {
                    row.iter_mut().zip(mask).for_each(|(logit, &mask)| *logit = *logit * scale + mask);
                }
                _ => row.iter_mut().for_each(|logit| *logit = *logit * scale),
            }
            let mut most = [hidden; SUMS];
            let (whole, rest) = row.as_chunks::<SUMS>();
            for part in whole {
                most.iter_mut().zip(part).for_each(|(most, &logit)| *most = most.larger(logit));
            }
            let most = most.iter().chain(rest).fold(hidden, |most, &logit| most.larger(logit));
            // The exponential of minus infinity is not quite 0 here.
            row.iter_mut().for_each(|logit| {
                let weight = (*logit - most).exp();
                *logit = if *logit > hidden { weight } else { T::default() };
            });
            let share = T::ONE / sum(row);
            row.iter_mut().for_each(|weight| *weight = *weight * share);
        }
    }
}

/// From slopes of the weights that were used to those of the logits, the scale included; and the weights that were used.
struct Slopes<'a, T> {
    scale: T,
    keys: usize,
    weights: &'a [T],
    /// Empty where none was dropped.
    kept: &'a [T],
    slopes: &'a mut [T],
    used: &'a mut [T],
}

impl<T: Real> Kernel for Slopes<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let Self { scale, keys, weights, kept, slopes, used } = self;
        if !kept.is_empty() {
            for (((used, slope), &weight), &kept) in used.iter_mut().zip(&mut *slopes).zip(weights).zip(kept)
            {
                *used = weight * kept;
                *slope = *slope * kept;
            }
        }
        for (slopes, weights) in slopes.chunks_exact_mut(keys).zip(weights.chunks_exact(keys)) {
            let mean = dot(slopes, weights);
            for (slope, &weight) in slopes.iter_mut().zip(weights) {
                *slope = scale * weight * (*slope - mean);
            }
        }
    }
}

/// The sum of a row, by parts that do not depend on the width of vectors.
#[inline(always)]
fn sum<T: Real>(row: &[T]) -> T {
    let mut sums = [T::default(); SUMS];
    let (whole, rest) = row.as_chunks::<SUMS>();
    for part in whole {
        sums.iter_mut().zip(part).for_each(|(sum, &value)| *sum += value);
    }
    joined(sums, rest.iter().copied())
}

/// The sum of the products of two rows, by the same parts.
#[inline(always)]
fn dot<T: Real>(a: &[T], b: &[T]) -> T {
    let mut sums = [T::default(); SUMS];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<SUMS>(), b.as_chunks::<SUMS>());
    for (a, b) in a.iter().zip(b) {
        for i in 0..SUMS {
            sums[i] += a[i] * b[i];
        }
    }
    joined(sums, a_rest.iter().zip(b_rest).map(|(&a, &b)| a * b))
}

#[inline(always)]
fn joined<T: Real>(sums: [T; SUMS], rest: impl Iterator<Item = T>) -> T {
    let mut whole = T::default();
    sums.into_iter().chain(rest).for_each(|part| whole += part);
    whole
}

/// The same of Burn's operations.
pub(crate) fn composed(
    inputs: [Tensor<3>; 3],
    heads: usize,
    mask: Option<Tensor<2>>,
    kept: Option<Tensor<4>>,
) -> Tensor<3> {
    let [batch, queries, width] = inputs[0].dims();
    let scale = 1.0 / ((width / heads) as f64).sqrt();
    let apart = |x: Tensor<3>| {
        let [batch, tokens, width] = x.dims();
        x.reshape([batch, tokens, heads, width / heads]).swap_dims(1, 2)
    };
    let [q, k, v] = inputs.map(apart);
    let logits = (q * scale).matmul(k.swap_dims(2, 3));
    let logits = match mask {
        Some(mask) => logits + mask.unsqueeze(),
        None => logits,
    };
    let weights = activation::softmax(logits, 3);
    let weights = match kept {
        Some(kept) => weights * kept,
        None => weights,
    };
    weights.matmul(v).swap_dims(1, 2).reshape([batch, queries, width])
}
