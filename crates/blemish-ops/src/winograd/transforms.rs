//! Maps by phase and tile, and the transforms of whole channels.

use blemish_kernels::simd::{Kernel, LANES, Lanes};
use blemish_kernels::winograd::{Line, REACH, TILE};
use std::marker::PhantomData;

const PHASES: usize = TILE * TILE;

/// A channel's pixels by phase and tile: 16 x `line`.
pub(super) struct Phased {
    line: usize,
    /// Tiles from one image to the next.
    image: usize,
    columns: usize,
    values: Vec<f32>,
}

impl Phased {
    /// Zeros for `count` images of `rows` rows of tiles.
    pub(super) fn new(count: usize, rows: usize, columns: usize) -> Self {
        // Beyond the last image lies what the last tiles read of the next row, and the rest of a register.
        let line = count * rows * columns + columns + 1 + LANES;
        Self { line, image: rows * columns, columns, values: vec![0.0; PHASES * line] }
    }

    /// Lays a channel of an image out, `padding` rows and columns from the edge. Other images stay, and so do the zeros around.
    pub(super) fn fill(&mut self, index: usize, plane: &[f32], width: usize, padding: usize) {
        for (y, row) in plane.chunks_exact(width).enumerate() {
            let at = y + padding;
            let start = index * self.image + at / TILE * self.columns;
            for x in 0..TILE.min(width) {
                let column = x + padding;
                let phase = at % TILE * TILE + column % TILE;
                let to = &mut self.values[phase * self.line + start + column / TILE..];
                to.iter_mut().zip(row[x..].iter().step_by(TILE)).for_each(|(to, &value)| *to = value);
            }
        }
    }

    /// N x N pixels of sixteen tiles from their corners on.
    #[inline(always)]
    fn load<V: Lanes, const N: usize>(&self, tile: usize) -> [[V; N]; N] {
        let mut values = [[V::splat(0.0); N]; N];
        for row in 0..N {
            for column in 0..N {
                let phase = row % TILE * TILE + column % TILE;
                let at = phase * self.line + tile + row / TILE * self.columns + column / TILE;
                values[row][column] = V::load(&self.values[at..].as_chunks::<LANES>().0[0]);
            }
        }
        values
    }
}

/// Sixteen neighbours from each of N x N lines of `step` values, from `at` on.
#[inline(always)]
fn load<V: Lanes, const N: usize>(from: &[f32], step: usize, at: usize) -> [[V; N]; N] {
    let mut values = [[V::splat(0.0); N]; N];
    for row in 0..N {
        for column in 0..N {
            let start = (row * N + column) * step + at;
            values[row][column] = V::load(&from[start..].as_chunks::<LANES>().0[0]);
        }
    }
    values
}

/// The reverse of [`load`].
#[inline(always)]
fn store<V: Lanes, const N: usize>(values: [[V; N]; N], to: &mut [f32], step: usize, at: usize) {
    for row in 0..N {
        for column in 0..N {
            let start = (row * N + column) * step + at;
            to[start..start + LANES].copy_from_slice(&values[row][column].store());
        }
    }
}

/// A transform of N x N pixels of all tiles of a channel: 36 x tiles.
pub(super) struct Tiles<'a, L, const N: usize> {
    pub(super) from: &'a Phased,
    pub(super) count: usize,
    pub(super) tiles: usize,
    pub(super) to: &'a mut [f32],
    pub(super) line: PhantomData<L>,
}

impl<L: Line<N, REACH>, const N: usize> Kernel for Tiles<'_, L, N> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let all = self.count * self.tiles;
        for index in 0..self.count {
            let mut start = 0;
            while start < self.tiles {
                let within = start.min(self.tiles - LANES);
                let pixels = self.from.load::<V, N>(index * self.from.image + within);
                store(L::both_ways(pixels), self.to, all, index * self.tiles + within);
                start += LANES;
            }
        }
    }
}

/// A transform of N x N lines of values to M x M lines: tiles of products to pixels, kernels to factors, sums to taps.
pub(super) struct Lines<'a, L, const N: usize, const M: usize> {
    pub(super) from: &'a [f32],
    /// From one line to the next, there and in `to`.
    pub(super) steps: (usize, usize),
    /// Values of a line that are transformed, a register of them at least.
    pub(super) count: usize,
    pub(super) to: &'a mut [f32],
    pub(super) line: PhantomData<L>,
}

impl<L: Line<N, M>, const N: usize, const M: usize> Kernel for Lines<'_, L, N, M> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let mut start = 0;
        while start < self.count {
            let at = start.min(self.count - LANES);
            store(L::both_ways(load::<V, N>(self.from, self.steps.0, at)), self.to, self.steps.1, at);
            start += LANES;
        }
    }
}
