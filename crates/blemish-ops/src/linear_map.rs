//! Linear maps of the rows and columns of images that are narrow bands: smoothing and change of size.

use crate::real::Real;
use blemish_kernels::simd::{Kernel, Lanes, widest};
use rayon::prelude::*;

/// Every output as a weighted sum of successive inputs.
#[derive(Clone, Debug, PartialEq)]
pub struct LinearMap {
    inputs: usize,
    /// The first input of each output, and the weights from there on.
    taps: Vec<(usize, Vec<f64>)>,
}

/// Outputs that are summed side by side where each begins one input after the one before.
const WIDTH: usize = 16;

impl LinearMap {
    /// Of (input, weight) for each output, in any order; weights of the same input add up.
    ///
    /// # Panics
    /// If there is no such input.
    pub fn new(inputs: usize, taps: &[Vec<(usize, f64)>]) -> Self {
        let dense = |taps: &Vec<(usize, f64)>| {
            let first = taps.iter().map(|tap| tap.0).min().unwrap_or(0);
            let end = taps.iter().map(|tap| tap.0 + 1).max().unwrap_or(0);
            assert!(end <= inputs, "a map of {inputs} values has no value {}", end - 1);
            let mut weights = vec![0.0; end - first];
            taps.iter().for_each(|&(input, weight)| weights[input - first] += weight);
            (first, weights)
        };
        Self { inputs, taps: taps.iter().map(dense).collect() }
    }

    /// Number of inputs.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Number of outputs.
    pub fn outputs(&self) -> usize {
        self.taps.len()
    }

    /// The matrix, inputs x outputs.
    pub fn matrix(&self) -> Vec<f64> {
        let mut matrix = vec![0.0; self.inputs * self.outputs()];
        for (output, (first, weights)) in self.taps.iter().enumerate() {
            for (at, weight) in weights.iter().enumerate() {
                matrix[(first + at) * self.outputs() + output] = *weight;
            }
        }
        matrix
    }

    /// From outputs to inputs.
    pub(crate) fn transposed(&self) -> Self {
        let mut taps = vec![Vec::new(); self.inputs];
        for (output, (first, weights)) in self.taps.iter().enumerate() {
            weights.iter().enumerate().for_each(|(at, &weight)| taps[first + at].push((output, weight)));
        }
        Self::new(self.outputs(), &taps)
    }

    fn typed<T: Real>(&self) -> Typed<T> {
        let taps: Vec<(usize, Vec<T>)> = self
            .taps
            .iter()
            .map(|(first, weights)| (*first, weights.iter().map(|&weight| T::of(weight)).collect()))
            .collect();
        let mut runs: Vec<Run<T>> = Vec::new();
        for (output, (first, weights)) in taps.iter().enumerate() {
            let follows = runs
                .last()
                .is_some_and(|run| *first == run.input + output - run.output && weights.len() == run.taps);
            if !follows {
                runs.push(Run { output, count: 0, input: *first, taps: weights.len(), weights: Vec::new() });
            }
            if let Some(run) = runs.last_mut() {
                run.count += 1;
            }
        }
        for run in runs.iter_mut().filter(|run| run.count >= WIDTH) {
            let outputs = &taps[run.output..run.output + run.count];
            run.weights =
                (0..run.taps).flat_map(|tap| outputs.iter().map(move |(_, weights)| weights[tap])).collect();
        }
        Typed { taps, runs }
    }
}

/// Outputs each of which begins one input after the one before and has as many taps.
struct Run<T> {
    output: usize,
    count: usize,
    input: usize,
    taps: usize,
    /// Taps x outputs; none for a run too short for vectors.
    weights: Vec<T>,
}

struct Typed<T> {
    taps: Vec<(usize, Vec<T>)>,
    runs: Vec<Run<T>>,
}

/// One plane: rows of it to longer or shorter ones, then columns.
struct Apply<'a, T> {
    rows: &'a Typed<T>,
    columns: &'a Typed<T>,
    x: &'a [T],
    width: usize,
    between: &'a mut [T],
    out: &'a mut [T],
}

impl<T: Real> Kernel for Apply<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let wide = self.columns.taps.len();
        for (to, from) in self.between.chunks_exact_mut(wide).zip(self.x.chunks_exact(self.width)) {
            for run in &self.columns.runs {
                let to = &mut to[run.output..run.output + run.count];
                if run.weights.is_empty() {
                    for (to, (first, weights)) in to.iter_mut().zip(&self.columns.taps[run.output..]) {
                        let mut sum = T::default();
                        weights
                            .iter()
                            .zip(&from[*first..])
                            .for_each(|(&weight, &value)| sum += weight * value);
                        *to = sum;
                    }
                } else {
                    along(run, &from[run.input..], to);
                }
            }
        }
        for (to, (first, weights)) in self.out.chunks_exact_mut(wide).zip(&self.rows.taps) {
            to.fill(T::default());
            for (&weight, from) in weights.iter().zip(self.between.chunks_exact(wide).skip(*first)) {
                to.iter_mut().zip(from).for_each(|(to, &value)| *to += weight * value);
            }
        }
    }
}

#[inline(always)]
fn along<T: Real>(run: &Run<T>, from: &[T], to: &mut [T]) {
    let mut start = 0;
    while start < run.count {
        // The last vector may repeat some of the one before.
        let at = start.min(run.count - WIDTH);
        let mut sums = [T::default(); WIDTH];
        for (tap, weights) in run.weights.chunks_exact(run.count).enumerate() {
            let (weights, values) = (&weights[at..][..WIDTH], &from[at + tap..][..WIDTH]);
            for lane in 0..WIDTH {
                sums[lane] += weights[lane] * values[lane];
            }
        }
        to[at..at + WIDTH].copy_from_slice(&sums);
        start += WIDTH;
    }
}

/// A x B^T of every plane x: A maps the rows, B the columns.
pub(crate) fn apply<T: Real>(x: &[T], rows: &LinearMap, columns: &LinearMap) -> Vec<T> {
    let (height, width) = (rows.inputs, columns.inputs);
    let values = rows.outputs() * columns.outputs();
    let mut out = vec![T::default(); x.len() / (height * width).max(1) * values];
    if out.is_empty() {
        return out;
    }
    let (rows, columns) = (rows.typed::<T>(), columns.typed::<T>());
    let planes = out.par_chunks_exact_mut(values).zip(x.par_chunks_exact(height * width));
    let space = || vec![T::default(); height * columns.taps.len()];
    planes.for_each_init(space, |between, (out, x)| {
        widest(Apply { rows: &rows, columns: &columns, x, width, between, out });
    });
    out
}
