//! The nearest row among those that a query may match, for several rules in one pass.

use super::{Candidates, MemoryBank, Neighbours, Pair, QUERY_BLOCK};
use crate::KernelError;
use crate::bits::BitRows;
use crate::simd::squared_distance;
use crate::validate::{finite, row_count};
use rayon::prelude::*;

impl<S: AsRef<[f32]> + Sync> MemoryBank<S> {
    /// For each of `rules` (queries x rows of the bank) and each query the nearest row that the rule allows, exactly; the **farthest**
    /// row of all where it allows none. Among equal distances the lowest row counts.
    ///
    /// All rules share one pass over the distances. A row is measured only if some rule allows it and it may be nearer than what that
    /// query has found so far.
    ///
    /// # Errors
    /// [`KernelError::Shape`] for broken queries or rules of another size, [`KernelError::NotFinite`] for NaN.
    pub fn search_allowed(
        &self,
        queries: &[f32],
        rules: &[&BitRows],
    ) -> Result<Vec<Neighbours>, KernelError> {
        const WHAT: &str = "the queries";
        let dimensions = self.dimensions();
        let count = row_count(WHAT, queries, dimensions)?;
        finite(WHAT, queries, dimensions)?;
        if let Some(rule) = rules.iter().find(|rule| (rule.rows(), rule.columns()) != (count, self.len())) {
            return Err(KernelError::Shape {
                what: "a rule of allowed rows",
                shape: format!("{count} x {}", self.len()),
                expected: count * self.len(),
                found: rule.rows() * rule.columns(),
            });
        }
        let blocks: Vec<Vec<Best>> = queries
            .par_chunks(QUERY_BLOCK * dimensions)
            .enumerate()
            .map(|(block, queries)| self.allowed_block(queries, block * QUERY_BLOCK, rules))
            .collect();
        let neighbours = |rule: usize| {
            let best = blocks.iter().flatten().skip(rule).step_by(rules.len());
            let (squared_distances, indices) = best.map(|best| (best.squared, best.row)).unzip();
            Neighbours { k: 1, squared_distances, indices }
        };
        Ok((0..rules.len()).map(neighbours).collect())
    }

    /// The best of every query and rule, queries x rules.
    fn allowed_block(&self, queries: &[f32], first: usize, rules: &[&BitRows]) -> Vec<Best> {
        let dimensions = self.dimensions();
        let count = queries.len() / dimensions;
        let mut best = vec![Best::NONE; count * rules.len()];
        self.scan(queries, Allowed { first, rules, best: &mut best });
        for (query, best) in best.chunks_exact_mut(rules.len().max(1)).enumerate() {
            if best.iter().any(|best| best.squared == f32::INFINITY) {
                let farthest = self.farthest(&queries[query * dimensions..][..dimensions]);
                let missing = best.iter_mut().filter(|best| best.squared == f32::INFINITY);
                missing.for_each(|best| *best = farthest);
            }
        }
        best
    }

    fn farthest(&self, query: &[f32]) -> Best {
        (0..self.len()).fold(Best { squared: -1.0, ..Best::NONE }, |best, row| {
            let squared = squared_distance(query, self.row(row));
            if squared > best.squared { Best { squared, row, ..best } } else { best }
        })
    }
}

/// The nearest allowed row so far.
#[derive(Clone, Copy)]
struct Best {
    squared: f32,
    row: usize,
    /// Rows with a score above it are no nearer.
    limit: f64,
}

impl Best {
    const NONE: Self = Self { squared: f32::INFINITY, row: 0, limit: f64::INFINITY };
}

struct Allowed<'a> {
    /// Number of the block's first query in the rules.
    first: usize,
    rules: &'a [&'a BitRows],
    /// Queries x rules.
    best: &'a mut [Best],
}

impl Candidates for Allowed<'_> {
    /// Rows that no rule allows say nothing.
    #[inline(always)]
    fn wanted(&self) -> usize {
        0
    }

    #[inline(always)]
    fn visit(&mut self, query: usize, row: usize, score: f64, pair: impl Pair) -> f64 {
        let best = &mut self.best[query * self.rules.len()..][..self.rules.len()];
        let mut measured = None;
        for (rule, best) in self.rules.iter().zip(best.iter_mut()) {
            if score <= best.limit && rule.get(self.first + query, row) {
                let squared = match measured {
                    Some(squared) => squared,
                    None => *measured.insert(pair.measure()),
                };
                if squared < best.squared {
                    *best = Best { squared, row, limit: pair.limit(squared) };
                }
            }
        }
        // The rule that has found least decides what may still matter.
        best.iter().fold(f64::NEG_INFINITY, |most, best| most.max(best.limit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(count: usize, dimensions: usize, salt: usize) -> Vec<f32> {
        (0..count * dimensions).map(|i| ((i * 7919 + salt * 104_729) % 1013) as f32 * 0.01).collect()
    }

    #[test]
    fn the_nearest_allowed_row_is_found_and_the_farthest_where_none_is_allowed() {
        // With and without a shortcut for the comparison.
        for dimensions in [5, 64] {
            let (entries, queries) = (rows(300, dimensions, 1), rows(150, dimensions, 2));
            let bank = MemoryBank::new(entries.as_slice(), dimensions).unwrap();
            let mut rules = [BitRows::new(150, 300), BitRows::new(150, 300), BitRows::new(150, 300)];
            for query in 0..150usize {
                for row in 0..300usize {
                    if (query * 31 + row * 17).is_multiple_of(23) {
                        rules[0].set(query, row);
                    }
                    // Every seventh query may match nothing by the second rule.
                    if !query.is_multiple_of(7) && (query + row).is_multiple_of(5) {
                        rules[1].set(query, row);
                    }
                    rules[2].set(query, row);
                }
            }
            let found = bank.search_allowed(&queries, &[&rules[0], &rules[1], &rules[2]]).unwrap();
            for (rule, found) in rules.iter().zip(&found) {
                for query in 0..150usize {
                    let point = &queries[query * dimensions..][..dimensions];
                    let distances = (0..300).map(|row| (squared_distance(point, bank.row(row)), row));
                    let allowed: Vec<_> =
                        distances.clone().filter(|&(_, row)| rule.get(query, row)).collect();
                    let expected = if allowed.is_empty() {
                        distances.fold((-1.0, 0), |best, this| if this.0 > best.0 { this } else { best })
                    } else {
                        allowed.into_iter().min_by(|a, b| a.0.total_cmp(&b.0)).unwrap()
                    };
                    assert_eq!((found.squared_distances[query], found.indices[query]), expected);
                }
            }
            // The rule that allows everything is the plain search.
            assert_eq!(found[2], bank.search(&queries, 1).unwrap());
        }
    }

    #[test]
    fn rules_of_another_size_are_refused() {
        let bank = MemoryBank::new(vec![0.0, 1.0], 1).unwrap();
        assert!(bank.search_allowed(&[0.5], &[&BitRows::new(1, 3)]).is_err());
        assert!(bank.search_allowed(&[0.5], &[&BitRows::new(2, 2)]).is_err());
        assert!(bank.search_allowed(&[f32::NAN], &[&BitRows::new(1, 2)]).is_err());
    }
}
