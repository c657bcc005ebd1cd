//! The plain algorithm: one pass over all points a pick, n x d x 4 bytes of traffic.

use super::{BLOCK, Coreset, KCentreOptions, OnPick, Problem};
use crate::KernelError;
use crate::simd::relax_keys;
use rayon::prelude::*;

/// The definition that [`super::select`] is held to; takes 4 bytes a point and ignores the limit on memory.
///
/// # Errors
/// As [`super::select`], but for the limit on memory.
pub fn select_plain(
    points: &[f32],
    dimensions: usize,
    options: &KCentreOptions,
    on_pick: OnPick<'_>,
) -> Result<Coreset, KernelError> {
    Ok(run(&Problem::new(points, dimensions, options)?, on_pick))
}

pub(super) fn run(problem: &Problem, on_pick: OnPick<'_>) -> Coreset {
    let (mut pick, mut keys) = problem.start();
    let mut coreset = Coreset { indices: Vec::new(), covering_radius: None, interrupted: false };
    loop {
        coreset.indices.push(pick);
        let stop = on_pick(pick).is_break();
        let (next, key) = relax_all(problem, pick, &mut keys);
        coreset.covering_radius = problem.radius(key);
        let is_led = coreset.indices.len() < problem.leading();
        if coreset.indices.len() == problem.count || (key <= 0.0 && !is_led) {
            return coreset;
        }
        if stop {
            coreset.interrupted = true;
            return coreset;
        }
        pick = if is_led { coreset.indices.len() } else { next };
    }
}

/// Lowers all keys to the pick's distances; the greatest key afterwards, ties to the lowest index.
fn relax_all(problem: &Problem, pick: usize, keys: &mut [f32]) -> (usize, f32) {
    keys.par_chunks_mut(BLOCK)
        .zip(problem.points.par_chunks(BLOCK * problem.dimensions))
        .enumerate()
        .map(|(block, (keys, rows))| {
            let (at, key) = relax_keys(problem.point(pick), rows, keys);
            (block * BLOCK + at, key)
        })
        .reduce(
            || (usize::MAX, f32::NEG_INFINITY),
            |a, b| if b.1 > a.1 || (b.1 == a.1 && b.0 < a.0) { b } else { a },
        )
}
