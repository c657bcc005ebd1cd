//! A bank that is too large, thinned.

use super::config::{NAME, Thinning};
use crate::shared::bank::coreset;
use blemish_core::error::Error;
use blemish_core::method::FitContext;
use blemish_kernels::KernelError;
use blemish_kernels::k_centre::KCentreOptions;
use blemish_kernels::knn::MemoryBank;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Rounds of the thinning by density, of a part of the rows each, where there are enough rows.
const ROUNDS: usize = 100;
/// Fewest rows of a round.
const FEWEST: usize = 1000;
/// Nearest rows that tell how crowded a place is.
const CROWD: usize = 100;

/// At most `most` of `rows`, by their numbers in ascending order.
///
/// # Errors
/// [`Error::Fit`] for values that are not finite or too little memory; [`Error::Interrupted`].
pub(super) fn thinned(
    rows: &[f32],
    dimensions: usize,
    most: usize,
    thinning: Thinning,
    seed: u64,
    context: &FitContext<'_>,
) -> Result<Vec<usize>, Error> {
    let count = rows.len() / dimensions.max(1);
    if count <= most {
        return Ok((0..count).collect());
    }
    let mut kept = match thinning {
        Thinning::KCentre => {
            let start = KCentreOptions::new(most).start;
            coreset(NAME, (rows, dimensions), most, start, context)?.indices
        }
        Thinning::Density => sparse(rows, dimensions, most, seed, context)?,
    };
    kept.sort_unstable();
    Ok(kept)
}

fn failed(error: KernelError) -> Error {
    Error::Fit { method: NAME, reason: error.to_string() }
}

/// SuperADD's way: in a part of the rows at a time, one with c - 1 of its nearest within a radius stays with a chance of 1 / c; the
/// radius grows until few enough stay. What is then missing to the number is filled up by chance.
fn sparse(
    rows: &[f32],
    dimensions: usize,
    most: usize,
    seed: u64,
    context: &FitContext<'_>,
) -> Result<Vec<usize>, Error> {
    let count = rows.len() / dimensions;
    let rounds = (count / FEWEST).clamp(1, ROUNDS);
    context.observer.stage("thinning by density", Some(rounds as u64));
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut order: Vec<usize> = (0..count).collect();
    order.shuffle(&mut random);
    let (mut kept, mut dropped) = (Vec::with_capacity(most), Vec::new());
    for (round, part) in order.chunks(count.div_ceil(rounds)).enumerate() {
        context.check_cancelled()?;
        let own: Vec<f32> =
            part.iter().flat_map(|&row| &rows[row * dimensions..][..dimensions]).copied().collect();
        let near =
            MemoryBank::plain(&own, dimensions).and_then(|bank| bank.search(&own, CROWD)).map_err(failed)?;
        let distances = near.distances();
        let chances: Vec<f32> = part.iter().map(|_| random.random_range(0.0..1.0)).collect();
        // The share of this part in what may stay, so that the parts together fill it.
        let target = (round + 1) * most / rounds - round * most / rounds;
        let mean = distances.iter().map(|&d| f64::from(d)).sum::<f64>() / distances.len().max(1) as f64;
        let greatest = distances.iter().copied().fold(0.0, f32::max);
        let mut radius = (mean / 10.0) as f32;
        let stays = |radius: f32| -> Vec<bool> {
            let crowd =
                distances.chunks_exact(near.k).map(|near| near.iter().filter(|&&d| d < radius).count());
            crowd.zip(&chances).map(|(crowd, &chance)| chance < 1.0 / (1 + crowd) as f32).collect()
        };
        let mut found = stays(radius);
        while found.iter().filter(|&&stays| stays).count() > target && radius <= greatest && radius > 0.0 {
            radius *= 1.1;
            found = stays(radius);
        }
        let mut left = target;
        for (&row, stays) in part.iter().zip(found) {
            if stays && left > 0 {
                kept.push(row);
                left -= 1;
            } else {
                dropped.push(row);
            }
        }
        context.observer.advance(1);
    }
    dropped.shuffle(&mut random);
    dropped.truncate(most - kept.len());
    kept.extend(dropped);
    Ok(kept)
}
