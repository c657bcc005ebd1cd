//! An approximate index (HNSW, Malkov and Yashunin, arXiv 1603.09320) over the entries of a bank.
//!
//! The index proposes entries; their distances are then measured exactly, so a score is never too low, and too high only where the
//! nearest entry was not among those proposed. How often it is, is measured when the index is built.

use super::nearest::{Found, check_queries, keep_nearest, neighbours};
use blemish_core::error::Error;
use blemish_core::state::{Shared, State, StateError};
use blemish_kernels::knn::{MemoryBank, Neighbours, merge_neighbours};
use blemish_kernels::simd::squared_distance;
use rayon::prelude::*;
use usearch::{IndexOptions, MetricKind, ScalarKind};

/// Links of an entry in the graph.
const CONNECTIVITY: usize = 24;
/// Entries looked at when one is added, and in a search.
const EXPANSION_ADD: usize = 200;
const EXPANSION_SEARCH: usize = 128;
/// Proposals beyond the neighbours asked for.
const SPARE: usize = 8;
/// Rows that are searched at a time to measure the recall: bounds its memory.
const BLOCK: usize = 1 << 16;

/// Entries with a graph over them.
pub(super) struct ApproximateIndex {
    pub(super) rows: Shared<f32>,
    pub(super) dimensions: usize,
    graph: usearch::Index,
    /// Share of probes whose nearest entry is found.
    pub(super) recall: f32,
}

fn failed(error: impl std::fmt::Display) -> String {
    format!("the approximate index failed: {error}")
}

impl ApproximateIndex {
    /// Adds the entries one after the other, so that the graph does not depend on the number of threads.
    ///
    /// # Errors
    /// [`Error::Fit`] if the index fails; what `advance` returns.
    pub(super) fn new(
        rows: Shared<f32>,
        dimensions: usize,
        probes: &[f32],
        advance: &dyn Fn() -> Result<(), Error>,
        fail: &dyn Fn(String) -> Error,
    ) -> Result<Self, Error> {
        let count = rows.len() / dimensions;
        let options = IndexOptions {
            dimensions,
            metric: MetricKind::L2sq,
            quantization: ScalarKind::F16,
            connectivity: CONNECTIVITY,
            expansion_add: EXPANSION_ADD,
            expansion_search: EXPANSION_SEARCH,
            multi: false,
        };
        let graph = usearch::Index::new(&options).map_err(|error| fail(failed(error)))?;
        let threads = rayon::current_num_threads() + 1;
        graph.reserve_capacity_and_threads(count, threads).map_err(|error| fail(failed(error)))?;
        for (number, row) in rows.chunks_exact(dimensions).enumerate() {
            graph.add(number as u64, row).map_err(|error| fail(failed(error)))?;
            advance()?;
        }
        let mut index = Self { rows, dimensions, graph, recall: 1.0 };
        index.recall = index.measured_recall(probes).map_err(fail)?;
        Ok(index)
    }

    /// Share of probes for which the index finds an entry as near as the nearest.
    fn measured_recall(&self, probes: &[f32]) -> Result<f32, String> {
        let found = self.search(probes, 1)?;
        let mut parts = Vec::new();
        for (number, rows) in self.rows.chunks(BLOCK * self.dimensions).enumerate() {
            let near = MemoryBank::new(rows, self.dimensions).and_then(|bank| bank.search(probes, 1));
            parts.push((number * BLOCK, near.map_err(|error| error.to_string())?));
        }
        let parts: Vec<(usize, &Neighbours)> = parts.iter().map(|(start, near)| (*start, near)).collect();
        let nearest = merge_neighbours(&parts, 1).map_err(|error| error.to_string())?;
        let hits = found.nearest_squared().zip(nearest.nearest_squared()).filter(|(own, best)| own <= best);
        Ok(hits.count() as f32 / found.queries().max(1) as f32)
    }

    /// As [`MemoryBank::search`], among what the index proposes.
    pub(super) fn search(&self, queries: &[f32], k: usize) -> Result<Neighbours, String> {
        check_queries(queries, self.dimensions)?;
        let k = k.min(self.rows.len() / self.dimensions);
        let one = |query: &[f32]| {
            let proposed = self.graph.search(query, k + SPARE).map_err(failed)?;
            let mut near: Vec<Found> = proposed
                .keys
                .iter()
                .map(|&key| {
                    let row = &self.rows[key as usize * self.dimensions..][..self.dimensions];
                    (squared_distance(query, row), key as usize)
                })
                .collect();
            keep_nearest(&mut near, k);
            // A graph of a damaged file may lead nowhere.
            if near.len() < k { Err(failed("it found too few entries")) } else { Ok(near) }
        };
        let found: Vec<Vec<Found>> =
            queries.par_chunks_exact(self.dimensions).map(one).collect::<Result<_, String>>()?;
        Ok(neighbours(k, &found))
    }

    /// Keeps the graph.
    pub(super) fn store(&self, state: &mut State) {
        let mut bytes = vec![0u8; self.graph.serialized_length()];
        // Into a buffer of the length it asked for, saving cannot fail; if it did, reading the empty graph would be an error.
        if self.graph.save_to_buffer(&mut bytes).is_err() {
            bytes.clear();
        }
        state.set_u8("index", &[bytes.len()], bytes);
        state.set_f32("index.recall", &[1], vec![self.recall]);
    }

    /// The graph that [`Self::store`] kept.
    ///
    /// # Errors
    /// [`StateError`] if it is damaged or not that of the entries.
    pub(super) fn restore(rows: Shared<f32>, dimensions: usize, state: &State) -> Result<Self, StateError> {
        let wrong = |reason: String| StateError { name: "index".into(), reason };
        let (_, bytes) = state.u8("index", 1)?;
        let metadata = usearch::Index::metadata_from_buffer(&bytes).map_err(|error| wrong(failed(error)))?;
        let count = rows.len() / dimensions;
        if metadata.dimensions as usize != dimensions || metadata.count_present as usize != count {
            return Err(wrong(format!("is not of {count} rows of {dimensions} values")));
        }
        let graph = usearch::Index::restore_from_buffer(&bytes).map_err(|error| wrong(failed(error)))?;
        let threads = rayon::current_num_threads() + 1;
        graph.reserve_capacity_and_threads(count, threads).map_err(|error| wrong(failed(error)))?;
        graph.change_expansion_search(EXPANSION_SEARCH);
        let recall = state.f32("index.recall", 1)?.1.first().copied().unwrap_or_default();
        Ok(Self { rows, dimensions, graph, recall })
    }
}
