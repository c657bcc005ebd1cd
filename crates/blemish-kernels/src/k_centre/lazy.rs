//! The same picks from a fraction of the work.
//!
//! A key never grows, so an old key is an upper bound of the present one. Only a point whose old key reaches the
//! greatest present key can be the next pick; all others may sleep, however many picks they have missed.
//!
//! Selection proceeds in epochs. An epoch wakes the points with the greatest old keys, all those at or above a
//! *cut*, and brings them up to date with the picks that they missed. Whoever falls below the cut goes back to sleep at
//! once, without seeing the rest of the picks. The first [`ACTIVE`] of the survivors, by key and then by index, form the
//! active set, and the key of the last of them is the new cut: as long as the greatest active key is above it, that
//! is the greatest of all, and picks come from the active set alone, which fits in the cache. When it has sunk below,
//! the next epoch begins.
//!
//! Waking is a blocked product of points and missed picks ([`crate::panels`]) on short images
//! ([`crate::contraction`]), bound by arithmetic instead of memory; only pairs that might lower a key are
//! measured, by the same kernel as in the plain algorithm. The picks are therefore the same, ties included.

use super::{Coreset, OnPick, Problem, greatest};
use crate::KernelError;
use crate::contraction::{Bound, Contraction};
use crate::panels::{Panels, Scan, Visitor};
use crate::simd::{LANES, Lanes, distance_body, relax_keys};
use rayon::prelude::*;

/// Points brought up to date by one task.
const WAKE_BLOCK: usize = 64;
/// The most points that are active at a time.
const ACTIVE: usize = 512;
/// Picks between removals of points that have sunk below the cut from the active set.
const COMPACT_EVERY: usize = 8;

/// How to make a selection within a limit on memory.
pub(super) enum Plan {
    Plain,
    Lazy(Contraction),
}

impl Plan {
    pub fn within(problem: &Problem, limit: Option<u64>) -> Result<Self, KernelError> {
        let (n, d, k) = (problem.rows as u64, problem.dimensions as u64, problem.count as u64);
        let (blocks, threads) = (1024, rayon::current_num_threads() as u64);
        let lean = 4 * (12 * n + k * (d + 4) + blocks * threads * d);
        let images = 4 * n * Contraction::widest_image(problem.dimensions) as u64;
        let fast = lean + images + Contraction::fit_bytes(problem.dimensions);
        let plain = 4 * n + 8 * k;
        match limit {
            Some(limit) if limit < plain => {
                Err(KernelError::MemoryLimit { what: "the coreset selection", needed: plain, limit })
            }
            Some(limit) if limit < lean => Ok(Self::Plain),
            Some(limit) if limit < fast => {
                Ok(Self::Lazy(Contraction::identity(problem.points, problem.dimensions)))
            }
            _ => Ok(Self::Lazy(Contraction::fit(problem.points, problem.dimensions))),
        }
    }
}

pub(super) fn run(problem: &Problem, contraction: Contraction, on_pick: OnPick<'_>) -> Coreset {
    let (first, keys) = problem.start();
    let mut selection = Selection::new(problem, &contraction, keys);
    selection.add(first);
    let mut stop = on_pick(first).is_break();
    selection.relax_sleepers(first);
    // All points sleep until these are known, and catch up with them when they wake.
    for pick in 1..problem.leading() {
        selection.add(pick);
        stop |= on_pick(pick).is_break();
    }
    selection.finish(stop, on_pick)
}

struct Selection<'a> {
    problem: &'a Problem<'a>,
    contraction: &'a Contraction,
    /// Images of all points; none for the identity, where making them again is only a copy.
    images: Option<crate::contraction::Mapped>,
    /// Least known squared distance to a pick: an upper bound for sleepers.
    keys: Vec<f32>,
    /// Panels of picks that the key accounts for.
    seen: Vec<u32>,
    picks: Vec<usize>,
    /// Images of the picks.
    centres: Panels,
    /// Greatest norm of a pick's image.
    greatest_norm: f32,
}

/// The points that the next picks come from, in ascending order.
struct Active {
    indices: Vec<usize>,
    rows: Vec<f32>,
    keys: Vec<f32>,
    /// Place and value of the greatest key.
    best: (usize, f32),
    /// All other points have keys below this, or equal to it and higher indices than `last`.
    cut: f32,
    last: usize,
}

impl Active {
    /// Whether the greatest key here is the greatest of all points, and of equal ones the first.
    fn is_ahead(&self) -> bool {
        let (place, key) = self.best;
        key > self.cut
            || (key == self.cut && self.indices.get(place).is_some_and(|&index| index <= self.last))
    }
}

impl<'a> Selection<'a> {
    fn new(problem: &'a Problem<'a>, contraction: &'a Contraction, keys: Vec<f32>) -> Self {
        let images = (!contraction.is_identity()).then(|| contraction.map(problem.points));
        Self {
            problem,
            contraction,
            images,
            seen: vec![0; keys.len()],
            keys,
            picks: Vec::with_capacity(problem.count),
            centres: Panels::with_capacity(contraction.width(), problem.count),
            greatest_norm: 0.0,
        }
    }

    /// Takes a point among the picks.
    fn add(&mut self, point: usize) {
        let mut image = vec![0.0; self.contraction.width()];
        let (norm, square) = self.image(point, &mut image);
        self.centres.push(image, square);
        self.greatest_norm = self.greatest_norm.max(norm);
        self.picks.push(point);
    }

    /// Writes a point's image; its norm and square.
    fn image(&self, point: usize, image: &mut [f32]) -> (f32, f32) {
        match &self.images {
            Some(mapped) => {
                image.copy_from_slice(&mapped.values[point * image.len()..(point + 1) * image.len()]);
                (mapped.norms[point], mapped.squares[point])
            }
            None => {
                let (mut norm, mut square) = ([0.0], [0.0]);
                self.contraction.map_block(self.problem.point(point), image, &mut norm, &mut square);
                (norm[0], square[0])
            }
        }
    }

    /// The plain step, for the first pick.
    fn relax_sleepers(&mut self, pick: usize) {
        let problem = self.problem;
        self.keys
            .par_chunks_mut(super::BLOCK)
            .zip(problem.points.par_chunks(super::BLOCK * problem.dimensions))
            .for_each(|(keys, rows)| {
                relax_keys(problem.point(pick), rows, keys);
            });
    }

    /// Picks until there are enough, all points are covered, or `on_pick` wants no more.
    fn finish(mut self, mut stop: bool, on_pick: OnPick<'_>) -> Coreset {
        let mut wanted = ACTIVE;
        loop {
            let mut active = self.wake(&mut wanted);
            while active.is_ahead() {
                let done = self.picks.len() == self.problem.count || active.best.1 <= 0.0;
                if done || stop {
                    let covering_radius = self.problem.radius(active.best.1);
                    return Coreset { indices: self.picks, covering_radius, interrupted: !done };
                }
                let pick = active.indices[active.best.0];
                self.add(pick);
                stop = on_pick(pick).is_break();
                active.best = relax_keys(self.problem.point(pick), &active.rows, &mut active.keys);
                if self.picks.len().is_multiple_of(COMPACT_EVERY) {
                    let cut = active.cut;
                    self.put_to_sleep(&mut active, cut);
                }
            }
            self.put_to_sleep(&mut active, f32::INFINITY);
        }
    }

    /// Panels that every pick so far has filled; the last, partial one is seen again next time.
    fn full_panels(&self) -> u32 {
        (self.picks.len() / LANES) as u32
    }

    /// Takes the points with keys below `cut` out of the active set.
    fn put_to_sleep(&mut self, active: &mut Active, cut: f32) {
        let (d, seen) = (self.problem.dimensions, self.full_panels());
        let mut kept = 0;
        for place in 0..active.indices.len() {
            let (index, key) = (active.indices[place], active.keys[place]);
            if key < cut {
                self.keys[index] = key;
                self.seen[index] = seen;
                continue;
            }
            if place == active.best.0 {
                active.best.0 = kept;
            }
            active.indices[kept] = index;
            active.keys[kept] = key;
            active.rows.copy_within(place * d..(place + 1) * d, kept * d);
            kept += 1;
        }
        active.indices.truncate(kept);
        active.keys.truncate(kept);
        active.rows.truncate(kept * d);
    }

    /// Updates about `wanted` points, those with the greatest old keys; adapts `wanted` to the survivors.
    fn wake(&mut self, wanted: &mut usize) -> Active {
        let rows = self.problem.rows;
        let mut order = self.keys.clone();
        let cut = if *wanted < rows {
            *order.select_nth_unstable_by(*wanted - 1, |a, b| b.total_cmp(a)).1
        } else {
            f32::NEG_INFINITY
        };
        drop(order);
        let mut woken: Vec<usize> = (0..rows).filter(|&index| self.keys[index] >= cut).collect();
        // Points that have seen about as much share a block.
        woken.sort_by_key(|&index| self.seen[index]);
        let caught_up: Vec<(f32, u32)> =
            woken.par_chunks(WAKE_BLOCK).flat_map_iter(|block| self.catch_up(block, cut)).collect();
        let mut survivors = Vec::new();
        for (&index, (key, seen)) in woken.iter().zip(caught_up) {
            self.keys[index] = key;
            self.seen[index] = seen;
            if key >= cut {
                survivors.push(index);
            }
        }
        let aim = *wanted * ACTIVE / survivors.len().max(1);
        *wanted = aim.clamp(*wanted / 4, *wanted * 4).clamp(ACTIVE, rows.max(ACTIVE));
        self.activate(survivors, cut)
    }

    /// The active set of points that are up to date, all others having keys below `cut`.
    fn activate(&self, mut points: Vec<usize>, mut cut: f32) -> Active {
        let mut last = self.problem.rows;
        if points.len() > ACTIVE {
            let order = |a: &usize, b: &usize| self.keys[*b].total_cmp(&self.keys[*a]).then(a.cmp(b));
            last = *points.select_nth_unstable_by(ACTIVE - 1, order).1;
            cut = self.keys[last];
            points.truncate(ACTIVE);
        }
        points.sort_unstable();
        let keys: Vec<f32> = points.iter().map(|&index| self.keys[index]).collect();
        let mut rows = Vec::with_capacity(points.len() * self.problem.dimensions);
        for &index in &points {
            rows.extend_from_slice(self.problem.point(index));
        }
        Active { best: greatest(&keys), indices: points, rows, keys, cut, last }
    }

    /// Present keys of points and the panels that they account for, up to where a key sinks below the cut.
    fn catch_up(&self, block: &[usize], cut: f32) -> Vec<(f32, u32)> {
        let width = self.contraction.width();
        let mut images = vec![0.0; block.len() * width];
        let mut sleepers = Sleepers {
            problem: self.problem,
            picks: &self.picks,
            block,
            cut,
            bounds: Vec::with_capacity(block.len()),
            state: block.iter().map(|&index| (self.keys[index], self.full_panels())).collect(),
        };
        let mut thresholds = Vec::with_capacity(block.len());
        for (&index, image) in block.iter().zip(images.chunks_mut(width)) {
            let (norm, square) = self.image(index, image);
            for value in image {
                *value *= -2.0;
            }
            let bound = self.contraction.bound(norm, square, self.greatest_norm);
            thresholds.push(bound.threshold(self.keys[index]));
            sleepers.bounds.push(bound);
        }
        let first = block.iter().map(|&index| self.seen[index]).min().unwrap_or(0) as usize;
        Scan {
            panels: &self.centres,
            range: first..self.centres.count(),
            queries: &images,
            thresholds: &mut thresholds,
            visitor: &mut sleepers,
        }
        .run();
        sleepers.state
    }
}

/// A block of points that catch up with the picks.
struct Sleepers<'a> {
    problem: &'a Problem<'a>,
    picks: &'a [usize],
    block: &'a [usize],
    cut: f32,
    bounds: Vec<Bound>,
    /// Key, and panels that it accounts for.
    state: Vec<(f32, u32)>,
}

impl Visitor for Sleepers<'_> {
    #[inline(always)]
    fn visit<V: Lanes>(&mut self, query: usize, row: usize, _: f32) -> f32 {
        let point = self.problem.point(self.block[query]);
        // The pick comes first, as in the plain algorithm; a square of a difference has no sign anyway.
        let distance = distance_body::<V>(self.problem.point(self.picks[row]), point);
        let (key, seen) = &mut self.state[query];
        *key = key.min(distance);
        if *key < self.cut {
            *seen = (row / LANES) as u32;
            return f32::NEG_INFINITY;
        }
        self.bounds[query].threshold(*key)
    }
}
