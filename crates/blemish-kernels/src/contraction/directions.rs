//! A sample of rows and the directions in which it varies most.

use crate::panels::{Panels, multiply};
use crate::simd::LANES;
use rand::RngExt;
use rayon::prelude::*;

const ITERATIONS: usize = 5;
/// Rows that a map is fitted on.
pub(super) const SAMPLE: usize = 2048;

pub(crate) fn subtract(row: &mut [f32], mean: &[f32]) {
    for (value, mean) in row.iter_mut().zip(mean) {
        *value -= mean;
    }
}

pub(super) fn sum_of_squares(row: &[f32]) -> f64 {
    let mut sums = [0.0_f64; LANES];
    let (chunks, tail) = row.as_chunks::<LANES>();
    for chunk in chunks {
        for lane in 0..LANES {
            sums[lane] += f64::from(chunk[lane]) * f64::from(chunk[lane]);
        }
    }
    sums.iter().sum::<f64>() + tail.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>()
}

/// At most [`SAMPLE`] rows, evenly spread.
pub(crate) fn sample(rows: &[f32], dimensions: usize) -> Vec<f32> {
    let count = rows.len() / dimensions;
    let taken = count.min(SAMPLE);
    (0..taken)
        .flat_map(|index| {
            let row = index * count / taken;
            rows[row * dimensions..(row + 1) * dimensions].iter().copied()
        })
        .collect()
}

pub(crate) fn sample_mean(sample: &[f32], dimensions: usize) -> Vec<f32> {
    let mut sums = vec![0.0_f64; dimensions];
    for row in sample.chunks(dimensions) {
        for (sum, &value) in sums.iter_mut().zip(row) {
            *sum += f64::from(value);
        }
    }
    let count = (sample.len() / dimensions).max(1) as f64;
    sums.iter().map(|sum| (sum / count) as f32).collect()
}

fn transposed(matrix: &[f32], columns: usize) -> Vec<f32> {
    let rows = matrix.len() / columns;
    let mut out = vec![0.0; matrix.len()];
    for (row, values) in matrix.chunks(columns).enumerate() {
        for (column, &value) in values.iter().enumerate() {
            out[column * rows + row] = value;
        }
    }
    out
}

/// a times b^T, where both hold rows of `width` values.
pub(crate) fn product(a: &[f32], b: &[f32], width: usize) -> Vec<f32> {
    let packed = pack(b, width);
    let mut out = vec![0.0; (a.len() / width) * (b.len() / width)];
    out.par_chunks_mut(64 * packed.rows())
        .zip(a.par_chunks(64 * width))
        .for_each(|(out, rows)| multiply(&packed, rows, out));
    out
}

/// The leading `count` principal directions of centred rows, as rows, by orthogonal iteration; nearly in order.
pub(crate) fn principal_directions(sample: &[f32], dimensions: usize, count: usize) -> Vec<f32> {
    let features = transposed(sample, dimensions);
    let covariance = product(&features, &features, sample.len() / dimensions);
    let mut random = crate::seeded(0x5eed);
    let mut directions: Vec<f32> = (0..count * dimensions).map(|_| random.random_range(-1.0..1.0)).collect();
    orthonormalise(&mut directions, dimensions);
    for _ in 0..ITERATIONS {
        directions = product(&directions, &covariance, dimensions);
        orthonormalise(&mut directions, dimensions);
    }
    directions
}

/// Modified Gram-Schmidt on rows, twice over; a row that depends on those before it becomes zero.
fn orthonormalise(rows: &mut [f32], dimensions: usize) {
    for index in 0..rows.len() / dimensions {
        let (done, rest) = rows.split_at_mut(index * dimensions);
        let row = &mut rest[..dimensions];
        let before = sum_of_squares(row);
        for _ in 0..2 {
            for other in done.chunks(dimensions) {
                let dot = dot(row, other);
                for (value, other) in row.iter_mut().zip(other) {
                    *value -= dot * other;
                }
            }
        }
        let after = sum_of_squares(row);
        let scale = if after > before * 1e-10 { 1.0 / after.sqrt() } else { 0.0 };
        for value in row {
            *value = (f64::from(*value) * scale) as f32;
        }
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0; LANES];
    let ((a, a_tail), (b, b_tail)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f32>() + a_tail.iter().zip(b_tail).map(|(a, b)| a * b).sum::<f32>()
}

pub(super) fn pack(rows: &[f32], width: usize) -> Panels {
    let mut panels = Panels::with_capacity(width, rows.len() / width);
    for row in rows.chunks(width) {
        panels.push(row.iter().copied(), 0.0);
    }
    panels
}
