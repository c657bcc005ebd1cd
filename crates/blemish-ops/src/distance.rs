//! Squared distances to chosen rows, and their gradient.

use crate::real::Real;
use burn::tensor::{Int, Tensor, TensorData};
use rayon::prelude::*;

/// Rows that a task works on at least.
const ROWS: usize = 64;

/// Partial sums of a distance: enough for full vectors, and an order of summation that is the same everywhere.
const SUMS: usize = 16;

fn squared_distance<T: Real>(a: &[T], b: &[T]) -> T {
    let mut sums = [T::default(); SUMS];
    let (a_whole, a_rest) = a.as_chunks::<SUMS>();
    let (b_whole, b_rest) = b.as_chunks::<SUMS>();
    for (a, b) in a_whole.iter().zip(b_whole) {
        for i in 0..SUMS {
            let difference = a[i] - b[i];
            sums[i] += difference * difference;
        }
    }
    for (i, (&a, &b)) in a_rest.iter().zip(b_rest).enumerate() {
        sums[i] += (a - b) * (a - b);
    }
    let mut sum = T::default();
    sums.into_iter().for_each(|part| sum += part);
    sum
}

/// Squared distances of x (n x dimensions) to the rows of `indices` (n x k): n x k.
pub(crate) fn forward<T: Real>(x: &[T], rows: &[T], indices: &[usize], dimensions: usize) -> Vec<T> {
    let k = neighbours(x, indices, dimensions);
    let mut distances = vec![T::default(); indices.len()];
    let found = distances.par_chunks_mut(k).zip(indices.par_chunks(k));
    found.zip(x.par_chunks(dimensions)).with_min_len(ROWS).for_each(|((distances, indices), x)| {
        for (distance, &index) in distances.iter_mut().zip(indices) {
            *distance = squared_distance(x, &rows[index * dimensions..][..dimensions]);
        }
    });
    distances
}

/// The gradient with respect to x: the sum over k of 2 g (x - row).
pub(crate) fn backward<T: Real>(
    x: &[T],
    rows: &[T],
    indices: &[usize],
    gradient: &[T],
    dimensions: usize,
) -> Vec<T> {
    let k = neighbours(x, indices, dimensions);
    let mut out = vec![T::default(); x.len()];
    let given = indices.par_chunks(k).zip(gradient.par_chunks(k)).zip(x.par_chunks(dimensions));
    out.par_chunks_mut(dimensions).zip(given).with_min_len(ROWS).for_each(
        |(out, ((indices, gradient), x))| {
            for (&index, &gradient) in indices.iter().zip(gradient) {
                // Beyond a hinge most gradients are zero.
                if gradient == T::default() {
                    continue;
                }
                let (factor, row) = (gradient + gradient, &rows[index * dimensions..][..dimensions]);
                for i in 0..dimensions {
                    out[i] += factor * (x[i] - row[i]);
                }
            }
        },
    );
    out
}

fn neighbours<T>(x: &[T], indices: &[usize], dimensions: usize) -> usize {
    (indices.len() * dimensions / x.len().max(1)).max(1)
}

/// The same of Burn's operations.
pub(crate) fn composed(x: Tensor<2>, rows: Tensor<2>, indices: &[usize]) -> Tensor<2> {
    let [count, dimensions] = x.dims();
    let numbers: Vec<i32> = indices.iter().map(|&index| index as i32).collect();
    let numbers = Tensor::<1, Int>::from_data(TensorData::from(&numbers[..]), &x.device());
    let near: Tensor<3> = rows.select(0, numbers).reshape([count, indices.len() / count, dimensions]);
    let difference = x.unsqueeze_dim::<3>(1) - near;
    (difference.clone() * difference).sum_dim(2).squeeze_dim(2)
}
