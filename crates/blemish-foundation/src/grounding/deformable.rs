//! Deformable attention (arXiv 2010.04159): a query looks at a few places of every level, which it chooses itself.

use super::config::LEVELS;
use crate::layers::{Linear, through};
use crate::parameters::Parameters;
use blemish_kernels::simd::{Kernel, Lanes, functions::exp, widest};
use rayon::prelude::*;

/// Queries that a thread takes at a time.
const QUERIES: usize = 64;

#[derive(Debug)]
pub(super) struct Deformable {
    offsets: Linear,
    weights: Linear,
    value: Linear,
    out: Linear,
    heads: usize,
    points: usize,
}

/// Where queries begin to look, as shares of the image's sides.
#[derive(Clone, Copy)]
pub(super) enum Start<'a> {
    /// At points; offsets count cells of a level.
    Points(&'a [[f32; 2]]),
    /// At centres of boxes; offsets count halves of the box's sides over the number of points.
    Boxes(&'a [[f32; 4]]),
}

impl Deformable {
    pub fn load(parameters: &Parameters<'_, '_>, width: usize, heads: usize, points: usize) -> Self {
        let places = heads * LEVELS * points;
        Self {
            offsets: parameters.linear("sampling_offsets", width, 2 * places),
            weights: parameters.linear("attention_weights", width, places),
            value: parameters.linear("value_proj", width, width),
            out: parameters.linear("output_proj", width, width),
            heads,
            points,
        }
    }

    /// What queries find in an image whose levels (height, width) follow each other in `rows`.
    pub fn apply(
        &self,
        queries: &[f32],
        from: Start<'_>,
        rows: &[f32],
        levels: &[(usize, usize)],
    ) -> Vec<f32> {
        let width = self.out.inputs();
        let values = through(&self.value, rows);
        let offsets = through(&self.offsets, queries);
        let weights = through(&self.weights, queries);
        let mut found = vec![0.0f32; queries.len()];
        found.par_chunks_mut(QUERIES * width).enumerate().for_each(|(chunk, found)| {
            for (index, found) in found.chunks_exact_mut(width).enumerate() {
                let query = chunk * QUERIES + index;
                let each = self.offsets.outputs();
                let offsets = &offsets[query * each..][..each];
                let weights = &weights[query * each / 2..][..each / 2];
                widest(Look { of: self, query, from, offsets, weights, values: &values, levels, found });
            }
        });
        through(&self.out, &found)
    }
}

/// The places of one query.
struct Look<'a> {
    of: &'a Deformable,
    query: usize,
    from: Start<'a>,
    offsets: &'a [f32],
    weights: &'a [f32],
    values: &'a [f32],
    levels: &'a [(usize, usize)],
    found: &'a mut [f32],
}

impl Kernel for Look<'_> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let (heads, points) = (self.of.heads, self.of.points);
        let width = self.found.len();
        let head_width = width / heads;
        for (head, found) in self.found.chunks_exact_mut(head_width).enumerate() {
            let scores = &self.weights[head * LEVELS * points..][..LEVELS * points];
            let greatest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let sum: f32 = scores.iter().map(|score| exp(score - greatest)).sum();
            let mut start = 0;
            for (level, &(rows, columns)) in self.levels.iter().enumerate() {
                let values = &self.values[start * width..];
                start += rows * columns;
                for point in 0..points {
                    let place = level * points + point;
                    let at = 2 * (head * LEVELS * points + place);
                    let offset = [self.offsets[at], self.offsets[at + 1]];
                    let [x, y] = match self.from {
                        Start::Points(from) => {
                            let sides = [columns as f32, rows as f32];
                            [0, 1].map(|axis| from[self.query][axis] + offset[axis] / sides[axis])
                        }
                        Start::Boxes(from) => {
                            let bounds = from[self.query];
                            let scale = |axis: usize| bounds[2 + axis] * 0.5 / points as f32;
                            [0, 1].map(|axis| bounds[axis] + offset[axis] * scale(axis))
                        }
                    };
                    let weight = exp(scores[place] - greatest) / sum;
                    let (x, y) = (x * columns as f32 - 0.5, y * rows as f32 - 0.5);
                    // Far outside there is nothing to find, and no cell to name.
                    let is_near = |at: f32, side: usize| at > -1.0 && at < side as f32;
                    if !is_near(x, columns) || !is_near(y, rows) {
                        continue;
                    }
                    let (left, top) = (x.floor(), y.floor());
                    let (right_share, low_share) = (x - left, y - top);
                    for (dy, share_y) in [(0, 1.0 - low_share), (1, low_share)] {
                        for (dx, share_x) in [(0, 1.0 - right_share), (1, right_share)] {
                            let (column, row) = (left as isize + dx, top as isize + dy);
                            let inside = |at: isize, side: usize| at >= 0 && (at as usize) < side;
                            if !inside(column, columns) || !inside(row, rows) {
                                continue;
                            }
                            let cell = row as usize * columns + column as usize;
                            let value = &values[cell * width + head * head_width..][..head_width];
                            let share = weight * share_x * share_y;
                            for (found, value) in found.iter_mut().zip(value) {
                                *found = value.mul_add(share, *found);
                            }
                        }
                    }
                }
            }
        }
    }
}
