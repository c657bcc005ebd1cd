//! From distances and gates to scores (equations of section 3.1 of the paper).
//!
//! p(Phi | c) = lambda exp(-lambda ||Phi - c||); a branch's likelihood is the largest p(Phi | c) T(p(c | condition)) over the entries c,
//! T(p) = 1 where p is above the threshold and 0 elsewhere. The score is -ln of it: lambda times the distance to the nearest **allowed**
//! entry, minus ln lambda. Where no entry is allowed the farthest one stays, so that the score is finite. The branches' scores are averaged.

use blemish_core::error::Error;
use blemish_core::state::Shared;
use blemish_kernels::bits::BitRows;
use blemish_kernels::knn::MemoryBank;
use rayon::prelude::*;

/// -ln p(Phi | c) for a distance.
pub(super) fn surprise(distance: f32, lambda: f32) -> f32 {
    lambda * distance - lambda.ln()
}

/// Which entries a condition allows: row by row those whose probability is above the threshold.
pub(super) fn open(rows: usize, entries: usize, is_open: impl Fn(usize, usize) -> bool + Sync) -> BitRows {
    let mut gate = BitRows::new(rows, entries);
    for row in 0..rows {
        (0..entries).filter(|&entry| is_open(row, entry)).for_each(|entry| gate.set(row, entry));
    }
    gate
}

/// Scores of queries (patch features), the mean over the gates; without a gate the distance to the nearest entry counts.
pub(super) fn scores(
    bank: &MemoryBank<Shared<f32>>,
    queries: &[f32],
    gates: &[&BitRows],
    lambda: f32,
) -> Result<Vec<f32>, Error> {
    let wrong = |error: blemish_kernels::KernelError| Error::Score { reason: error.to_string() };
    let found = match gates {
        [] => vec![bank.search(queries, 1).map_err(wrong)?],
        gates => bank.search_allowed(queries, gates).map_err(wrong)?,
    };
    let mut sums = vec![0.0f32; found[0].indices.len()];
    for branch in &found {
        for (sum, squared) in sums.iter_mut().zip(branch.nearest_squared()) {
            *sum += surprise(squared.sqrt(), lambda);
        }
    }
    sums.iter_mut().for_each(|sum| *sum /= found.len() as f32);
    Ok(sums)
}

/// The neighbourhood branch as released.
///
/// There the gate of the r-th nearest coreset entry is looked up with the entry of **index** r: it is open if the distribution entry
/// that stands for entry r, taken as a rank of distances from the query once more, has a probability above the threshold. The farthest
/// entry is always open. The result is the distance to the nearest open rank, one a query.
pub(super) fn released_distances(
    bank: &MemoryBank<Shared<f32>>,
    distribution: &MemoryBank<Shared<f32>>,
    stands_for: &[u32],
    queries: &[f32],
    is_open: impl Fn(usize, usize) -> bool + Sync,
) -> Vec<f32> {
    let ranked = |bank: &MemoryBank<Shared<f32>>, query: &[f32]| {
        let mut squared = vec![0.0f32; bank.len()];
        blemish_kernels::simd::squared_distances(query, bank.rows(), &mut squared);
        let mut order: Vec<usize> = (0..squared.len()).collect();
        order.sort_by(|&a, &b| squared[a].total_cmp(&squared[b]).then(a.cmp(&b)));
        (squared, order)
    };
    let distance = |(row, query): (usize, &[f32])| {
        let (squared, order) = ranked(bank, query);
        let (_, ranks) = ranked(distribution, query);
        let open = (0..order.len()).find(|&rank| is_open(row, ranks[stands_for[rank] as usize]));
        squared[order[open.unwrap_or(order.len() - 1)]].sqrt()
    };
    queries.par_chunks_exact(bank.dimensions()).enumerate().map(distance).collect()
}
