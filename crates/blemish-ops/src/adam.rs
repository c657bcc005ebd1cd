//! One step of Adam or Adamax over all of a tensor's values at once.

use crate::real::Real;
use burn::tensor::Tensor;
use rayon::prelude::*;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdamKind {
    /// Second moment by squares.
    Adam,
    /// Second moment by the largest magnitude.
    Adamax,
}

/// A step: g = scale * gradient + decay * value; m = b1 m + (1 - b1) g; then
///
/// - Adam: v = b2 v + (1 - b2) g^2, value -= rate * m / (1 - b1^n) / (sqrt(v / (1 - b2^n)) + epsilon);
/// - Adamax: v = max(b2 v, |g| + epsilon), value -= rate * m / (1 - b1^n) / v.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamStep {
    /// Which of the two.
    pub kind: AdamKind,
    /// Learning rate.
    pub rate: f64,
    /// b1 and b2.
    pub betas: [f64; 2],
    /// Keeps the quotient finite.
    pub epsilon: f64,
    /// Weight decay, added to the gradient.
    pub decay: f64,
    /// Factor of the gradient, for clipping.
    pub gradient_scale: f64,
    /// Number of the step, from 1.
    pub number: u64,
}

impl AdamStep {
    fn corrections(&self) -> [f64; 2] {
        self.betas.map(|beta| 1.0 - beta.powf(self.number as f64))
    }
}

/// Values that a task updates; fixed, so that threads change nothing.
const CHUNK: usize = 1 << 14;

/// Updates value, first and second moment in place.
pub(crate) fn update<T: Real>(
    step: AdamStep,
    value: &mut [T],
    gradient: &[T],
    first: &mut [T],
    second: &mut [T],
) {
    let [b1, b2] = step.betas.map(T::of);
    let [c1, c2] = step.corrections();
    let (rate, root) = (T::of(step.rate / c1), T::of(1.0 / c2));
    let (epsilon, decay, scale) = (T::of(step.epsilon), T::of(step.decay), T::of(step.gradient_scale));
    let chunks = value.par_chunks_mut(CHUNK).zip(gradient.par_chunks(CHUNK));
    let chunks = chunks.zip(first.par_chunks_mut(CHUNK).zip(second.par_chunks_mut(CHUNK)));
    chunks.for_each(|((value, gradient), (first, second))| {
        for i in 0..value.len() {
            let g = scale * gradient[i] + decay * value[i];
            let m = b1 * first[i] + (T::ONE - b1) * g;
            let (v, size) = match step.kind {
                AdamKind::Adam => {
                    let v = b2 * second[i] + (T::ONE - b2) * g * g;
                    (v, (v * root).sqrt() + epsilon)
                }
                AdamKind::Adamax => {
                    let v = (b2 * second[i]).larger(g.size() + epsilon);
                    (v, v)
                }
            };
            first[i] = m;
            second[i] = v;
            value[i] = value[i] - rate * m / size;
        }
    });
}

/// Sum of squares in double precision, in an order that the length alone decides.
pub(crate) fn square_sum<T: Real>(values: &[T]) -> f64 {
    let square = |value: &T| {
        let value: f64 = value.wide();
        value * value
    };
    let sums: Vec<f64> = values.par_chunks(CHUNK).map(|chunk| chunk.iter().map(square).sum()).collect();
    sums.iter().sum()
}

/// The same step of Burn's operations: value, gradient, first and second moment to value and moments.
pub(crate) fn composed([value, gradient, first, second]: [Tensor<1>; 4], step: AdamStep) -> [Tensor<1>; 3] {
    let [b1, b2] = step.betas;
    let [c1, c2] = step.corrections();
    let gradient = gradient * step.gradient_scale + value.clone() * step.decay;
    let first = first * b1 + gradient.clone() * (1.0 - b1);
    let (second, size) = match step.kind {
        AdamKind::Adam => {
            let second = second * b2 + gradient.clone() * gradient * (1.0 - b2);
            let size = (second.clone() / c2).sqrt() + step.epsilon;
            (second, size)
        }
        AdamKind::Adamax => {
            let second = (second * b2).max_pair(gradient.abs() + step.epsilon);
            (second.clone(), second)
        }
    };
    [value - first.clone() / size * (step.rate / c1), first, second]
}
