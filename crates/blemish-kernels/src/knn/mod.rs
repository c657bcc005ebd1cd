//! Exact nearest neighbours in a memory bank.
//!
//! Queries are compared with the bank as blocked matrix products, register tile by register tile
//! (module `panels`), on images of the rows in fewer dimensions where the bank's structure allows it
//! (module `contraction`). A full distance matrix never exists: an entry that cannot be among the k nearest is
//! dropped in its register. The others are measured by the exact kernel, sum of (a_i - b_i)^2, so that
//! ||a||^2 + ||b||^2 - 2ab never cancels: a row of the bank is at distance 0 from itself, and the answer is the
//! exhaustive search's, ties going to the lowest index.
//!
//! The roofline is arithmetic: 2 x queries x rows x image width, with both operands in the caches.

mod allowed;
mod merge;
#[cfg(test)]
mod tests;

use crate::KernelError;
use crate::contraction::{Bound, Contraction};
use crate::panels::{Panels, Scan, Visitor};
use crate::simd::{Lanes, distance_body};
use crate::validate::{finite, row_count};
pub use merge::merge_neighbours;
use rayon::prelude::*;

/// Queries that one task compares with the whole bank.
const QUERY_BLOCK: usize = 64;

/// Rows to search in, with what makes the search fast.
///
/// `S` holds rows x dimensions values of `f32`, row after row: a vector, a slice or a memory map of them.
#[derive(Clone)]
pub struct MemoryBank<S = Vec<f32>> {
    rows: S,
    dimensions: usize,
    count: usize,
    index: std::sync::Arc<Index>,
}

struct Index {
    contraction: Contraction,
    panels: Panels,
    greatest_norm: f32,
}

/// The k nearest rows of a number of queries.
#[derive(Debug, Clone, PartialEq)]
pub struct Neighbours {
    /// Neighbours a query: what was asked for, or the rows of the bank if they are fewer.
    pub k: usize,
    /// Squared Euclidean distances, queries x k, ascending within a query.
    pub squared_distances: Vec<f32>,
    /// Rows of the bank, queries x k; among equal distances the lowest comes first.
    pub indices: Vec<usize>,
}

impl Neighbours {
    /// Queries that were asked.
    pub fn queries(&self) -> usize {
        self.indices.len() / self.k.max(1)
    }

    /// Distances of all neighbours, roots taken, queries x k.
    pub fn distances(&self) -> Vec<f32> {
        self.squared_distances.iter().map(|squared| squared.sqrt()).collect()
    }

    /// Squared distance to the nearest row, one a query.
    pub fn nearest_squared(&self) -> impl Iterator<Item = f32> + '_ {
        self.squared_distances.iter().step_by(self.k.max(1)).copied()
    }
}

impl<S: AsRef<[f32]>> MemoryBank<S> {
    /// A bank of rows of `dimensions` values.
    ///
    /// Besides the rows it keeps their images: about rows x 4 x width bytes, the width at most `dimensions`.
    ///
    /// # Errors
    /// [`KernelError::Shape`], [`KernelError::Setting`], [`KernelError::Empty`] or [`KernelError::NotFinite`] for
    /// values that are not whole, finite rows.
    pub fn new(rows: S, dimensions: usize) -> Result<Self, KernelError> {
        Self::with(rows, dimensions, Contraction::fit)
    }

    /// The same for queries that are not distributed as the rows: all coordinates are compared.
    ///
    /// A shortcut is chosen by how far apart the rows are from each other. Queries that leave the few directions in which the rows vary,
    /// as single images do those in which their means vary, pass it almost everywhere and are then measured one by one.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn plain(rows: S, dimensions: usize) -> Result<Self, KernelError> {
        Self::with(rows, dimensions, Contraction::identity)
    }

    fn with(
        rows: S,
        dimensions: usize,
        contraction: impl FnOnce(&[f32], usize) -> Contraction,
    ) -> Result<Self, KernelError> {
        const WHAT: &str = "the memory bank";
        let values = rows.as_ref();
        let count = row_count(WHAT, values, dimensions)?;
        if count == 0 {
            return Err(KernelError::Empty { what: WHAT });
        }
        finite(WHAT, values, dimensions)?;
        let contraction = contraction(values, dimensions);
        let mapped = contraction.map(values);
        let mut panels = Panels::with_capacity(contraction.width(), count);
        for (image, &square) in mapped.values.chunks(contraction.width()).zip(&mapped.squares) {
            panels.push(image.iter().copied(), square);
        }
        let greatest_norm = mapped.norms.iter().copied().fold(0.0, f32::max);
        let index = std::sync::Arc::new(Index { contraction, panels, greatest_norm });
        Ok(Self { rows, dimensions, count, index })
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Never true: an empty bank cannot be made.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Values a row.
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// What the rows lie in.
    pub fn source(&self) -> &S {
        &self.rows
    }

    /// All rows, rows x dimensions.
    pub fn rows(&self) -> &[f32] {
        self.rows.as_ref()
    }

    /// One row.
    ///
    /// # Panics
    /// If `index` is not below [`Self::len`].
    pub fn row(&self, index: usize) -> &[f32] {
        &self.rows()[index * self.dimensions..(index + 1) * self.dimensions]
    }

    /// Coordinates that stand for a row in the first comparison; `dimensions` if no shortcut pays.
    pub fn image_width(&self) -> usize {
        self.index.contraction.width()
    }

    /// The `k` nearest rows of every query (queries x dimensions), exactly, in parallel over blocks of queries.
    ///
    /// If `k` exceeds the rows of the bank, all rows are returned and [`Neighbours::k`] says how many.
    ///
    /// # Errors
    /// [`KernelError::Setting`] for k = 0, [`KernelError::Shape`] for broken rows, [`KernelError::NotFinite`] for NaN.
    pub fn search(&self, queries: &[f32], k: usize) -> Result<Neighbours, KernelError>
    where
        S: Sync,
    {
        const WHAT: &str = "the queries";
        if k == 0 {
            return Err(KernelError::Setting {
                setting: "k",
                value: "0".into(),
                range: "at least 1 neighbour must be asked for".into(),
            });
        }
        let count = row_count(WHAT, queries, self.dimensions)?;
        finite(WHAT, queries, self.dimensions)?;
        let k = k.min(self.count);
        let mut found =
            Neighbours { k, squared_distances: vec![f32::INFINITY; count * k], indices: vec![0; count * k] };
        queries
            .par_chunks(QUERY_BLOCK * self.dimensions)
            .zip(found.squared_distances.par_chunks_mut(QUERY_BLOCK * k))
            .zip(found.indices.par_chunks_mut(QUERY_BLOCK * k))
            .for_each(|((queries, distances), indices)| self.search_block(queries, k, distances, indices));
        Ok(found)
    }

    fn search_block(&self, queries: &[f32], k: usize, distances: &mut [f32], indices: &mut [usize]) {
        let (images, bounds) = self.index.prepare(queries, indices.len() / k);
        let (rows, dimensions) = (self.rows(), self.dimensions);
        let mut nearest = Nearest { rows, queries, dimensions, bounds: &bounds, k, distances, indices };
        self.index.scan(&images, bounds.len(), &mut nearest);
    }
}

impl Index {
    /// What `count` queries are compared by: their images times -2, and the bounds that their distances keep.
    fn prepare(&self, queries: &[f32], count: usize) -> (Vec<f32>, Vec<Bound>) {
        let width = self.contraction.width();
        let (mut images, mut norms, mut squares) =
            (vec![0.0; count * width], vec![0.0; count], vec![0.0; count]);
        self.contraction.map_block(queries, &mut images, &mut norms, &mut squares);
        images.iter_mut().for_each(|value| *value *= -2.0);
        let bound = |(&norm, &square)| self.contraction.bound(norm, square, self.greatest_norm);
        (images, norms.iter().zip(&squares).map(bound).collect())
    }

    /// Shows the visitor every row that may be near one of `count` prepared queries.
    fn scan(&self, images: &[f32], count: usize, visitor: &mut impl Visitor) {
        let (panels, mut thresholds) = (&self.panels, vec![f32::MAX; count]);
        Scan { panels, range: 0..panels.count(), queries: images, thresholds: &mut thresholds, visitor }
            .run();
    }
}

/// The k nearest rows so far of a block of queries.
struct Nearest<'a> {
    rows: &'a [f32],
    queries: &'a [f32],
    dimensions: usize,
    bounds: &'a [Bound],
    k: usize,
    distances: &'a mut [f32],
    indices: &'a mut [usize],
}

impl Visitor for Nearest<'_> {
    #[inline(always)]
    fn visit<V: Lanes>(&mut self, query: usize, row: usize, _: f32) -> f32 {
        let dimensions = self.dimensions;
        let distance = distance_body::<V>(
            &self.queries[query * dimensions..(query + 1) * dimensions],
            &self.rows[row * dimensions..(row + 1) * dimensions],
        );
        let distances = &mut self.distances[query * self.k..(query + 1) * self.k];
        let indices = &mut self.indices[query * self.k..(query + 1) * self.k];
        // Rows come in ascending order, so that a later one goes behind its equals.
        let mut place = self.k;
        while place > 0 && distance < distances[place - 1] {
            place -= 1;
        }
        if place < self.k {
            distances.copy_within(place..self.k - 1, place + 1);
            indices.copy_within(place..self.k - 1, place + 1);
            distances[place] = distance;
            indices[place] = row;
        }
        self.bounds[query].threshold(distances[self.k - 1])
    }
}
