//! One step of Adam, AMSGrad or Adamax over all of a tensor's values at once.

use crate::real::Real;
use burn::tensor::Tensor;
use rayon::prelude::*;

/// Which of the three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdamKind {
    /// Second moment by squares.
    Adam,
    /// Adam with the largest second moment so far in place of the last one (Reddi et al. 2018).
    AmsGrad,
    /// Second moment by the largest magnitude.
    Adamax,
}

impl AdamKind {
    /// Values that the second moment has for each value of the weights: AMSGrad keeps the moments, then the largest so far.
    pub fn second_moments(self) -> usize {
        if self == Self::AmsGrad { 2 } else { 1 }
    }
}

/// A step: g = scale * gradient + decay * value; m = b1 m + (1 - b1) g; then
///
/// - Adam: v = b2 v + (1 - b2) g^2, value -= rate * m / (1 - b1^n) / (sqrt(v / (1 - b2^n)) + epsilon);
/// - AMSGrad: the same with the largest v so far under the root;
/// - Adamax: v = max(b2 v, |g| + epsilon), value -= rate * m / (1 - b1^n) / v.
///
/// Decoupled decay (AdamW, Loshchilov and Hutter 2019) is left out of g and shrinks the value by rate * decay first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamStep {
    /// Which of the three.
    pub kind: AdamKind,
    /// Learning rate.
    pub rate: f64,
    /// b1 and b2.
    pub betas: [f64; 2],
    /// Keeps the quotient finite.
    pub epsilon: f64,
    /// Weight decay.
    pub decay: f64,
    /// Whether the decay shrinks the value itself instead of adding to the gradient.
    pub is_decoupled: bool,
    /// Factor of the gradient, for clipping.
    pub gradient_scale: f64,
    /// Number of the step, from 1.
    pub number: u64,
}

impl AdamStep {
    fn corrections(&self) -> [f64; 2] {
        self.betas.map(|beta| 1.0 - beta.powf(self.number as f64))
    }

    /// What of the value is added to the gradient, and what of it stays.
    fn decays(&self) -> [f64; 2] {
        if self.is_decoupled { [0.0, 1.0 - self.rate * self.decay] } else { [self.decay, 1.0] }
    }
}

/// Values that a task updates; fixed, so that threads change nothing.
const CHUNK: usize = 1 << 14;

/// Updates value, first and second moment in place; see [`AdamKind::second_moments`] for the length of the second.
pub(crate) fn update<T: Real>(
    step: AdamStep,
    value: &mut [T],
    gradient: &[T],
    first: &mut [T],
    second: &mut [T],
) {
    let (second, largest) = second.split_at_mut(value.len());
    let chunks = value.par_chunks_mut(CHUNK).zip(gradient.par_chunks(CHUNK));
    let chunks = chunks.zip(first.par_chunks_mut(CHUNK).zip(second.par_chunks_mut(CHUNK)));
    if step.kind == AdamKind::AmsGrad {
        let chunks = chunks.zip(largest.par_chunks_mut(CHUNK));
        chunks.for_each(|(((value, gradient), (first, second)), largest)| {
            update_moments(step, value, gradient, first, second);
            largest.iter_mut().zip(&*second).for_each(|(most, &v)| *most = most.larger(v));
            update_values(step, value, first, largest);
        });
    } else {
        chunks.for_each(|((value, gradient), (first, second))| {
            update_moments(step, value, gradient, first, second);
            update_values(step, value, first, second);
        });
    }
}

fn update_moments<T: Real>(step: AdamStep, value: &[T], gradient: &[T], first: &mut [T], second: &mut [T]) {
    let [b1, b2] = step.betas.map(T::of);
    // In double: 1 - 0.999 in single precision is off by one part in 80,000.
    let [rest1, rest2] = step.betas.map(|beta| T::of(1.0 - beta));
    let (epsilon, scale) = (T::of(step.epsilon), T::of(step.gradient_scale));
    let decay = T::of(step.decays()[0]);
    for i in 0..value.len() {
        let g = scale * gradient[i] + decay * value[i];
        first[i] = b1 * first[i] + rest1 * g;
        second[i] = match step.kind {
            AdamKind::Adam | AdamKind::AmsGrad => b2 * second[i] + rest2 * g * g,
            AdamKind::Adamax => (b2 * second[i]).larger(g.size() + epsilon),
        };
    }
}

fn update_values<T: Real>(step: AdamStep, value: &mut [T], first: &[T], second: &[T]) {
    let [c1, c2] = step.corrections();
    let (rate, root, epsilon) = (T::of(step.rate / c1), T::of(1.0 / c2), T::of(step.epsilon));
    let stays = T::of(step.decays()[1]);
    for i in 0..value.len() {
        let size = match step.kind {
            AdamKind::Adam | AdamKind::AmsGrad => (second[i] * root).sqrt() + epsilon,
            AdamKind::Adamax => second[i],
        };
        value[i] = stays * value[i] - rate * first[i] / size;
    }
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
    let [decay, stays] = step.decays();
    let length = value.dims()[0];
    let gradient = gradient * step.gradient_scale + value.clone() * decay;
    let first = first * b1 + gradient.clone() * (1.0 - b1);
    let last = second.clone().narrow(0, 0, length);
    let squares = || last.clone() * b2 + gradient.clone() * gradient.clone() * (1.0 - b2);
    let root = |second: Tensor<1>| (second / c2).sqrt() + step.epsilon;
    let (second, size) = match step.kind {
        AdamKind::Adam => (squares(), root(squares())),
        AdamKind::AmsGrad => {
            let largest = second.narrow(0, length, length).max_pair(squares());
            (Tensor::cat(vec![squares(), largest.clone()], 0), root(largest))
        }
        AdamKind::Adamax => {
            let second = (last * b2).max_pair(gradient.abs() + step.epsilon);
            (second.clone(), second)
        }
    };
    [value * stays - first.clone() / size * (step.rate / c1), first, second]
}
