//! Exact nearest neighbours in a memory bank.
//!
//! Queries are compared with the bank as blocked matrix products, register tile by register tile
//! (module `panels`), on images of the rows in fewer dimensions where the bank's structure allows it
//! (module `contraction`), in bytes where the machine multiplies them faster (module `bytes`). A full distance matrix never exists: an
//! entry that cannot be among the k nearest is dropped in its register, in bytes with its block. The others are measured by the exact kernel, sum of
//! (a_i - b_i)^2, so that ||a||^2 + ||b||^2 - 2ab never cancels: a row of the bank is at distance 0 from itself, and the answer is the
//! exhaustive search's, ties going to the lowest index.
//!
//! The roofline is arithmetic: 2 x queries x rows x image width, with both operands in the caches.

mod allowed;
mod bytes;
mod merge;
#[cfg(test)]
mod tests;

use crate::KernelError;
use crate::contraction::{Bound, Contraction, Numbers, SINGLE, Speed};
use crate::int8::Instructions;
use crate::panels::{Panels, Scan, Visitor};
use crate::simd::{Lanes, distance_body};
use crate::validate::{finite, row_count};
use bytes::{ByteBound, BytePanels, ByteScan, ByteVisitor};
pub use merge::merge_neighbours;
use rayon::prelude::*;
use std::marker::PhantomData;

/// Queries that one task compares with the whole bank.
const QUERY_BLOCK: usize = 64;
/// The same where there are many: a bank beyond the second-level cache is then read less often.
const MOST_QUERIES: usize = 256;

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
    images: Images,
    greatest_norm: f32,
}

/// Images of the rows.
enum Images {
    Single(Panels),
    Bytes(BytePanels),
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
    /// Besides the rows it keeps their images: about rows x 4 x width bytes, a quarter of it in bytes, the width at most `dimensions`.
    ///
    /// # Errors
    /// [`KernelError::Shape`], [`KernelError::Setting`], [`KernelError::Empty`] or [`KernelError::NotFinite`] for
    /// values that are not whole, finite rows.
    pub fn new(rows: S, dimensions: usize) -> Result<Self, KernelError> {
        let bytes = Instructions::detect().products_a_cycle().map(|products| (Numbers::Bytes, products));
        let numbers: Vec<Speed> = bytes.into_iter().chain([SINGLE]).collect();
        Self::with(rows, dimensions, |rows, dimensions| Contraction::fit_for(&numbers, rows, dimensions))
    }

    /// The same for queries that are not distributed as the rows: all coordinates are compared.
    ///
    /// A shortcut is chosen by how far apart the rows are from each other. Queries that leave the few directions in which the rows vary,
    /// as single images do those in which their means vary, pass it almost everywhere and are then measured one by one.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn plain(rows: S, dimensions: usize) -> Result<Self, KernelError> {
        Self::with(rows, dimensions, |rows, dimensions| {
            (Contraction::identity(rows, dimensions), Numbers::Single)
        })
    }

    fn with(
        rows: S,
        dimensions: usize,
        contraction: impl FnOnce(&[f32], usize) -> (Contraction, Numbers),
    ) -> Result<Self, KernelError> {
        const WHAT: &str = "the memory bank";
        let values = rows.as_ref();
        let count = row_count(WHAT, values, dimensions)?;
        if count == 0 {
            return Err(KernelError::Empty { what: WHAT });
        }
        finite(WHAT, values, dimensions)?;
        let (contraction, numbers) = contraction(values, dimensions);
        let (width, mapped) = (contraction.width(), contraction.map(values));
        let bytes = (numbers == Numbers::Bytes).then(|| BytePanels::new(&mapped.values, width)).flatten();
        let images = bytes.map(Images::Bytes).unwrap_or_else(|| {
            let mut panels = Panels::with_capacity(width, count);
            for (image, &square) in mapped.values.chunks(width).zip(&mapped.squares) {
                panels.push(image.iter().copied(), square);
            }
            Images::Single(panels)
        });
        let greatest_norm = mapped.norms.iter().copied().fold(0.0, f32::max);
        let index = std::sync::Arc::new(Index { contraction, images, greatest_norm });
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
        let each = count / (4 * rayon::current_num_threads());
        let block = each.clamp(QUERY_BLOCK, MOST_QUERIES);
        queries
            .par_chunks(block * self.dimensions)
            .zip(found.squared_distances.par_chunks_mut(block * k))
            .zip(found.indices.par_chunks_mut(block * k))
            .for_each(|((queries, distances), indices)| self.search_block(queries, k, distances, indices));
        Ok(found)
    }

    fn search_block(&self, queries: &[f32], k: usize, distances: &mut [f32], indices: &mut [usize]) {
        self.scan(queries, Nearest { k, distances, indices });
    }

    /// Shows `candidates` every row that may be near one of the queries.
    fn scan(&self, queries: &[f32], candidates: impl Candidates) {
        let (rows, dimensions) = (self.rows(), self.dimensions);
        let count = queries.len() / dimensions;
        let (mut images, bounds) = self.index.prepare(queries, count);
        let mut measured = Measured { rows, queries, dimensions, bounds: &bounds, candidates };
        match &self.index.images {
            Images::Single(panels) => {
                images.iter_mut().for_each(|value| *value *= -2.0);
                let (range, mut thresholds) = (0..panels.count(), vec![f32::MAX; count]);
                let (queries, thresholds) = (&images[..], &mut thresholds[..]);
                Scan { panels, range, queries, thresholds, visitor: &mut measured }.run();
            }
            Images::Bytes(panels) => {
                let queries = panels.queries(&images, &bounds);
                ByteScan { panels, queries: &queries, visitor: &mut measured }.run();
            }
        }
    }
}

impl Index {
    /// The images of `count` queries, and the bounds that their distances keep.
    fn prepare(&self, queries: &[f32], count: usize) -> (Vec<f32>, Vec<Bound>) {
        let width = self.contraction.width();
        let (mut images, mut norms, mut squares) =
            (vec![0.0; count * width], vec![0.0; count], vec![0.0; count]);
        self.contraction.map_block(queries, &mut images, &mut norms, &mut squares);
        let bound = |(&norm, &square)| self.contraction.bound(norm, square, self.greatest_norm);
        (images, norms.iter().zip(&squares).map(bound).collect())
    }
}

/// What a search makes of rows that may be near.
trait Candidates {
    /// How many rows, whichever they are, limit what may matter: none farther than all of them does. 0 if rows alone do not tell.
    fn wanted(&self) -> usize;

    /// Row `row`, whose score is low enough for `query`. Returns the greatest score that matters from here on; negative infinity when
    /// none does.
    ///
    /// Implementations are `#[inline(always)]`.
    fn visit(&mut self, query: usize, row: usize, score: f64, pair: impl Pair) -> f64;
}

/// A query and a row that may be near it. Implementations are `#[inline(always)]`: a closure would be compiled for the baseline.
trait Pair {
    /// Their squared distance.
    fn measure(&self) -> f32;
    /// See [`Limit::limit`].
    fn limit(&self, squared: f32) -> f64;
}

/// Knows the query of a pair.
trait Limit {
    /// The greatest score that could belong to a row at most so far away.
    fn limit(&self, squared: f32) -> f64;
}

impl Limit for Bound {
    #[inline(always)]
    fn limit(&self, squared: f32) -> f64 {
        f64::from(self.threshold(squared))
    }
}

struct Rows<'a, V, B> {
    query: &'a [f32],
    row: &'a [f32],
    bound: &'a B,
    lanes: PhantomData<V>,
}

impl<V: Lanes, B: Limit> Pair for Rows<'_, V, B> {
    #[inline(always)]
    fn measure(&self) -> f32 {
        distance_body::<V>(self.query, self.row)
    }

    #[inline(always)]
    fn limit(&self, squared: f32) -> f64 {
        self.bound.limit(squared)
    }
}

/// Candidates with what they are measured by.
struct Measured<'a, C> {
    rows: &'a [f32],
    queries: &'a [f32],
    dimensions: usize,
    bounds: &'a [Bound],
    candidates: C,
}

impl<C: Candidates> Measured<'_, C> {
    #[inline(always)]
    fn visit_pair<V: Lanes>(&mut self, query: usize, row: usize, score: f64, bound: &impl Limit) -> f64 {
        let dimensions = self.dimensions;
        let pair = Rows {
            query: &self.queries[query * dimensions..][..dimensions],
            row: &self.rows[row * dimensions..][..dimensions],
            bound,
            lanes: PhantomData::<V>,
        };
        self.candidates.visit(query, row, score, pair)
    }
}

impl<C: Candidates> Visitor for Measured<'_, C> {
    #[inline(always)]
    fn visit<V: Lanes>(&mut self, query: usize, row: usize, score: f32) -> f32 {
        let bounds = self.bounds;
        let limit = self.visit_pair::<V>(query, row, f64::from(score), &bounds[query]);
        // Finite, so that the empty lanes of a panel (infinite scores) never pass.
        (limit as f32).min(f32::MAX)
    }
}

impl<C: Candidates> ByteVisitor for Measured<'_, C> {
    #[inline(always)]
    fn wanted(&self) -> usize {
        self.candidates.wanted()
    }

    #[inline(always)]
    fn measure<V: Lanes>(&self, query: usize, row: usize) -> f32 {
        let dimensions = self.dimensions;
        distance_body::<V>(
            &self.queries[query * dimensions..][..dimensions],
            &self.rows[row * dimensions..][..dimensions],
        )
    }

    #[inline(always)]
    fn visit<V: Lanes>(&mut self, query: usize, row: usize, score: i32, bound: &ByteBound) -> i32 {
        self.visit_pair::<V>(query, row, f64::from(score), bound) as i32
    }
}

/// The k nearest rows so far of a block of queries.
struct Nearest<'a> {
    k: usize,
    distances: &'a mut [f32],
    indices: &'a mut [usize],
}

impl Candidates for Nearest<'_> {
    #[inline(always)]
    fn wanted(&self) -> usize {
        self.k
    }

    #[inline(always)]
    fn visit(&mut self, query: usize, row: usize, _: f64, pair: impl Pair) -> f64 {
        let distance = pair.measure();
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
        pair.limit(distances[self.k - 1])
    }
}
