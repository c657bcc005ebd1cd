//! Greedy k-centre selection (farthest point first): a small subset that covers a set of points.
//!
//! Plain algorithm: every point has a key, its squared distance to the nearest pick; the next pick is the point with
//! the greatest key (ties to the lowest index), then every key is lowered to the distance to the pick where that is
//! less. Gonzalez (1985): the covering radius is at most twice the best possible. PatchCore's coreset, section 3.2.
//!
//! [`select`] makes the very same picks without touching every point for every pick; see its module `lazy`.

mod lazy;
mod plain;
#[cfg(test)]
mod tests;

use crate::KernelError;
use crate::simd::squared_distances;
use crate::validate::{finite, row_count};
use lazy::Plan;
pub use plain::select_plain;
use rand::RngExt;
use rayon::prelude::*;
use std::collections::HashSet;
use std::ops::ControlFlow;

/// Points that one task works on.
const BLOCK: usize = 1024;

/// Where the selection starts.
#[derive(Debug, Clone, PartialEq)]
pub enum Start {
    /// This point is the first pick.
    Index(usize),
    /// The first so many points are the first picks, in their order; the farthest points follow. Goes on from an earlier
    /// selection: what was within its radius stays so.
    Leading(usize),
    /// A random point is the first pick.
    Random {
        /// Seed of the draw.
        seed: u64,
    },
    /// Every key starts as the mean distance to a few random points that are not kept themselves; the first pick is
    /// the greatest key. This is the released code of PatchCore (`approx_greedy_coreset`); the picks are no pure
    /// farthest points, and the guarantee on the covering radius does not hold.
    MeanOfRandom {
        /// How many points (10 in the released code); more than there are means all.
        points: usize,
        /// Seed of the draw.
        seed: u64,
    },
}

/// How to select.
#[derive(Debug, Clone, PartialEq)]
pub struct KCentreOptions {
    /// Picks wanted. Fewer are made if the points have fewer distinct values.
    pub count: usize,
    /// Where to start.
    pub start: Start,
    /// Bytes that the selection may take besides the points themselves; none means no limit.
    ///
    /// With n points of d dimensions, k picks and t threads the fastest way takes at most
    /// 4 (n (w + 12) + k (d + 4) + 1024 t d + f) bytes, where w = min(128, d / 2) are the coordinates of a point's image
    /// and f = 6144 d + 2 d^2 + 128 (2048 + 6 d) serves the fit of the images. If that exceeds the limit, selection does
    /// without images, 4 (12 n + k (d + 4) + 1024 t d), then falls back to the plain algorithm, 4 n + 8 k. The picks
    /// are the same.
    pub max_memory_bytes: Option<u64>,
}

impl KCentreOptions {
    /// `count` picks from point 0 on, without a limit on memory.
    pub fn new(count: usize) -> Self {
        Self { count, start: Start::Index(0), max_memory_bytes: None }
    }
}

/// What was selected.
#[derive(Debug, Clone, PartialEq)]
pub struct Coreset {
    /// Picks, in the order of picking; no two have the same coordinates, but for those of [`Start::Leading`].
    pub indices: Vec<usize>,
    /// Greatest distance (root taken) of any point to its nearest pick; not known after [`Start::MeanOfRandom`], whose
    /// keys are no distances to picks (measure it with [`covering_radius`]).
    pub covering_radius: Option<f32>,
    /// Whether `on_pick` stopped the selection before `count` picks.
    pub interrupted: bool,
}

/// Called with every pick as it is made; `Break` ends the selection.
pub type OnPick<'a> = &'a mut dyn FnMut(usize) -> ControlFlow<()>;

/// Greedy k-centre selection among `points` (n x dimensions): the picks of [`select_plain`], much faster.
///
/// Selection stops early when all points coincide with picks, or when `on_pick` says so. The result is the same for
/// every number of threads, every vector width and every limit on memory.
///
/// # Errors
/// [`KernelError::Empty`], [`KernelError::Shape`] or [`KernelError::NotFinite`] for points that are not whole finite rows;
/// [`KernelError::Setting`] for a count of 0, a start that is not among the points or a mean of no points;
/// [`KernelError::MemoryLimit`] if even the leanest way takes more than the limit.
pub fn select(
    points: &[f32],
    dimensions: usize,
    options: &KCentreOptions,
    on_pick: OnPick<'_>,
) -> Result<Coreset, KernelError> {
    let problem = Problem::new(points, dimensions, options)?;
    match Plan::within(&problem, options.max_memory_bytes)? {
        Plan::Plain => Ok(plain::run(&problem, on_pick)),
        Plan::Lazy(contraction) => Ok(lazy::run(&problem, contraction, on_pick)),
    }
}

/// Greatest distance (root taken) of any of `points` (n x dimensions) to its nearest of `centres` (k x dimensions),
/// exactly, in one search. Serves to certify a selection that was made on projected points.
///
/// # Errors
/// [`KernelError`] as [`crate::knn::MemoryBank::new`] and [`crate::knn::MemoryBank::search`].
pub fn covering_radius(points: &[f32], centres: &[f32], dimensions: usize) -> Result<f32, KernelError> {
    let nearest = crate::knn::MemoryBank::new(centres, dimensions)?.search(points, 1)?;
    Ok(nearest.nearest_squared().fold(0.0, f32::max).sqrt())
}

/// A checked selection to make.
struct Problem<'a> {
    points: &'a [f32],
    dimensions: usize,
    rows: usize,
    count: usize,
    start: &'a Start,
}

impl<'a> Problem<'a> {
    fn new(points: &'a [f32], dimensions: usize, options: &'a KCentreOptions) -> Result<Self, KernelError> {
        const WHAT: &str = "the points";
        let rows = row_count(WHAT, points, dimensions)?;
        if rows == 0 {
            return Err(KernelError::Empty { what: WHAT });
        }
        finite(WHAT, points, dimensions)?;
        let wrong = |setting, value: usize, range: String| {
            Err(KernelError::Setting { setting, value: value.to_string(), range })
        };
        if options.count == 0 {
            return wrong("count", 0, "at least 1 pick is needed; raise the coreset ratio".into());
        }
        match options.start {
            Start::Index(index) if index >= rows => {
                return wrong("start", index, format!("it must be below the number of points, {rows}"));
            }
            Start::Leading(leading) if leading == 0 || leading > rows.min(options.count) => {
                let range =
                    format!("it must be 1 to the number of points or picks, {}", rows.min(options.count));
                return wrong("start", leading, range);
            }
            Start::MeanOfRandom { points: 0, .. } => {
                return wrong("starting points", 0, "at least 1 is needed".into());
            }
            _ => {}
        }
        Ok(Self { points, dimensions, rows, count: options.count.min(rows), start: &options.start })
    }

    /// The covering radius that a greatest key stands for.
    fn radius(&self, key: f32) -> Option<f32> {
        (!matches!(self.start, Start::MeanOfRandom { .. })).then(|| key.sqrt())
    }

    fn point(&self, index: usize) -> &'a [f32] {
        &self.points[index * self.dimensions..(index + 1) * self.dimensions]
    }

    /// How many of the first points are picks without question.
    fn leading(&self) -> usize {
        if let Start::Leading(leading) = *self.start { leading } else { 0 }
    }

    /// The first pick, and every point's key before it.
    fn start(&self) -> (usize, Vec<f32>) {
        let first = match *self.start {
            Start::Index(index) => index,
            Start::Leading(_) => 0,
            Start::Random { seed } => crate::seeded(seed).random_range(0..self.rows),
            Start::MeanOfRandom { points, seed } => {
                let keys = self.mean_keys(points, seed);
                return (greatest(&keys).0, keys);
            }
        };
        // Infinite, so that the first pick is the first centre of every point.
        (first, vec![f32::INFINITY; self.rows])
    }

    /// Squares of the mean distances to random points.
    fn mean_keys(&self, points: usize, seed: u64) -> Vec<f32> {
        let drawn = distinct(points.min(self.rows), self.rows, seed);
        let mut keys = vec![0.0; self.rows];
        keys.par_chunks_mut(BLOCK).zip(self.points.par_chunks(BLOCK * self.dimensions)).for_each(
            |(keys, rows)| {
                let mut distances = vec![0.0; keys.len()];
                for &index in &drawn {
                    squared_distances(self.point(index), rows, &mut distances);
                    for (key, distance) in keys.iter_mut().zip(&distances) {
                        *key += distance.sqrt();
                    }
                }
                for key in keys {
                    *key = (*key / drawn.len() as f32).powi(2);
                }
            },
        );
        keys
    }
}

/// So many different numbers below `end`, drawn by Floyd's method.
fn distinct(count: usize, end: usize, seed: u64) -> Vec<usize> {
    let mut random = crate::seeded(seed);
    let mut drawn = Vec::with_capacity(count);
    let mut taken = HashSet::with_capacity(count);
    for last in end - count..end {
        let candidate = random.random_range(0..=last);
        let number = if taken.insert(candidate) { candidate } else { last };
        taken.insert(number);
        drawn.push(number);
    }
    drawn
}

/// Place (lowest first) and value of the greatest key.
fn greatest(keys: &[f32]) -> (usize, f32) {
    let mut best = (0, f32::NEG_INFINITY);
    for (index, &key) in keys.iter().enumerate() {
        if key > best.1 {
            best = (index, key);
        }
    }
    best
}
