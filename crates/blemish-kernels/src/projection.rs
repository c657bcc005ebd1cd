//! Random linear maps that shorten patch embeddings before the coreset is selected.
//!
//! By the lemma of Johnson and Lindenstrauss, distances survive a random map to a few hundred dimensions within a
//! small factor, up to one scale that does not matter for the greatest key. Two maps are in use:
//!
//! - *official*: PatchCore's released code, a dense map to 128 dimensions with entries uniform in +-1/sqrt(D), left out
//!   if the embedding has as many dimensions already;
//! - *sparse*: anomalib's, after Li, Hastie and Church (2006): an entry is non-zero with probability 1/sqrt(D) and
//!   then +-sqrt(1/density)/sqrt(k), with k from the lemma for the number of rows.
//!
//! A map is given by its seed (ChaCha) and is the same on every machine; so are the products, to the bit.

use crate::KernelError;
use crate::panels::{Panels, multiply};
use crate::simd::{Kernel, LANES, Lanes, widest};
use crate::validate::row_count;
use rand::RngExt;
use rayon::prelude::*;

/// Rows mapped by one task.
const BLOCK: usize = 256;

/// A random linear map of rows.
pub struct Projection {
    from: usize,
    to: usize,
    map: Map,
}

enum Map {
    Identity,
    Dense(Panels),
    /// For every output its inputs with their weights.
    Sparse(Vec<Vec<(usize, f32)>>),
}

/// Dimensions that keep all distances among `rows` rows within a factor of 1 +- `distortion`:
/// int(4 ln n / (e^2/2 - e^3/3)), 296 for 163,856 rows at 0.9.
///
/// # Errors
/// [`KernelError::Setting`] unless 0 < `distortion` < 1 and `rows` is at least 2.
pub fn safe_dimensions(rows: usize, distortion: f64) -> Result<usize, KernelError> {
    let wrong = |setting, value: String, range: &str| {
        Err(KernelError::Setting { setting, value, range: range.into() })
    };
    if !(distortion > 0.0 && distortion < 1.0) {
        return wrong("distortion", distortion.to_string(), "it must lie between 0 and 1");
    }
    if rows < 2 {
        return wrong("rows", rows.to_string(), "it must be at least 2");
    }
    let e = distortion;
    Ok((4.0 * (rows as f64).ln() / (e * e / 2.0 - e * e * e / 3.0)) as usize)
}

impl Projection {
    /// PatchCore's released map from `from` to `to` (128) dimensions; the identity if they are equal.
    ///
    /// # Errors
    /// [`KernelError::Setting`] if a number of dimensions is 0.
    pub fn official(seed: u64, from: usize, to: usize) -> Result<Self, KernelError> {
        at_least_one(from)?;
        at_least_one(to)?;
        if from == to {
            return Ok(Self { from, to, map: Map::Identity });
        }
        let mut random = crate::seeded(seed);
        let limit = 1.0 / (from as f32).sqrt();
        let mut columns = Panels::with_capacity(from, to);
        for _ in 0..to {
            columns.push((0..from).map(|_| random.random_range(-limit..limit)), 0.0);
        }
        Ok(Self { from, to, map: Map::Dense(columns) })
    }

    /// anomalib's sparse sign map from `from` dimensions to [`safe_dimensions`] of `rows` and `distortion` (0.9).
    ///
    /// As there, the result may have more dimensions than the rows had.
    ///
    /// # Errors
    /// [`KernelError::Setting`] for `from` = 0 and as [`safe_dimensions`].
    pub fn sparse(seed: u64, from: usize, rows: usize, distortion: f64) -> Result<Self, KernelError> {
        at_least_one(from)?;
        let to = safe_dimensions(rows, distortion)?;
        let mut random = crate::seeded(seed);
        let density = 1.0 / (from as f64).sqrt();
        let size = ((1.0 / density).sqrt() / (to as f64).sqrt()) as f32;
        let outputs = (0..to)
            .map(|_| {
                (0..from)
                    .filter_map(|input| {
                        let draw = random.random_range(0.0..1.0);
                        (draw < density).then_some((input, if draw < density / 2.0 { size } else { -size }))
                    })
                    .collect()
            })
            .collect();
        Ok(Self { from, to, map: Map::Sparse(outputs) })
    }

    /// Dimensions of the rows it takes.
    pub fn from(&self) -> usize {
        self.from
    }

    /// Dimensions of the rows it gives.
    pub fn to(&self) -> usize {
        self.to
    }

    /// Maps rows (n x from) to n x to, in parallel over blocks of rows.
    ///
    /// # Errors
    /// [`KernelError::Shape`] if `rows` does not hold whole rows.
    pub fn apply(&self, rows: &[f32]) -> Result<Vec<f32>, KernelError> {
        let count = row_count("the rows to project", rows, self.from)?;
        if matches!(self.map, Map::Identity) {
            return Ok(rows.to_vec());
        }
        let mut out = vec![0.0; count * self.to];
        out.par_chunks_mut(BLOCK * self.to).zip(rows.par_chunks(BLOCK * self.from)).for_each(
            |(out, rows)| match &self.map {
                Map::Identity => {}
                Map::Dense(columns) => multiply(columns, rows, out),
                Map::Sparse(outputs) => widest(SparseProduct { outputs, rows, from: self.from, out }),
            },
        );
        Ok(out)
    }
}

fn at_least_one(dimensions: usize) -> Result<(), KernelError> {
    if dimensions > 0 {
        return Ok(());
    }
    let range = "it must be at least 1".into();
    Err(KernelError::Setting { setting: "dimensions", value: "0".into(), range })
}

struct SparseProduct<'a> {
    outputs: &'a [Vec<(usize, f32)>],
    rows: &'a [f32],
    from: usize,
    out: &'a mut [f32],
}

impl Kernel for SparseProduct<'_> {
    type Output = ();

    /// Sixteen rows at a time, turned on their side, so that an entry of the map serves a whole register.
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let to = self.outputs.len();
        let mut inputs = vec![[0.0; LANES]; self.from];
        let rows = self.rows.chunks(LANES * self.from);
        for (rows, out) in rows.zip(self.out.chunks_mut(LANES * to)) {
            for (lane, row) in rows.chunks(self.from).enumerate() {
                for (input, &value) in inputs.iter_mut().zip(row) {
                    input[lane] = value;
                }
            }
            for (column, entries) in self.outputs.iter().enumerate() {
                let mut sum = V::splat(0.0);
                for &(input, weight) in entries {
                    sum = V::load(&inputs[input]).mul_add(V::splat(weight), sum);
                }
                for (row, value) in out.chunks_mut(to).zip(sum.store()) {
                    row[column] = value;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The map's matrix, from x to, read off by mapping unit vectors.
    fn matrix(map: &Projection) -> Vec<f32> {
        let unit: Vec<f32> = (0..map.from() * map.from())
            .map(|i| f32::from(u8::from(i / map.from() == i % map.from())))
            .collect();
        map.apply(&unit).unwrap()
    }

    #[test]
    fn the_lemma_gives_the_dimensions_of_the_specification() {
        assert_eq!(safe_dimensions(163_856, 0.9).unwrap(), 296);
        assert_eq!(safe_dimensions(1_000_000, 0.9).unwrap(), 341);
        assert!(safe_dimensions(1, 0.9).is_err() && safe_dimensions(10, 1.0).is_err());
        assert!(safe_dimensions(10, f64::NAN).is_err());
    }

    #[test]
    fn official_entries_are_uniform_up_to_one_over_the_root() {
        let entries = matrix(&Projection::official(0, 400, 128).unwrap());
        let limit = 1.0 / 20.0;
        assert!(entries.iter().all(|entry| entry.abs() <= limit));
        let variance: f32 = entries.iter().map(|entry| entry * entry).sum::<f32>() / entries.len() as f32;
        assert!((variance / (limit * limit / 3.0) - 1.0).abs() < 0.02);
        let mean = entries.iter().sum::<f32>() / entries.len() as f32;
        assert!(mean.abs() < 0.02 * limit);
    }

    #[test]
    fn sparse_entries_are_signs_at_the_stated_density() {
        let map = Projection::sparse(0, 400, 163_856, 0.9).unwrap();
        assert_eq!((map.from(), map.to()), (400, 296));
        let entries = matrix(&map);
        let size = (20.0_f32 / 296.0).sqrt();
        let ups = entries.iter().filter(|&&entry| (entry - size).abs() < 1e-6).count();
        let downs = entries.iter().filter(|&&entry| (entry + size).abs() < 1e-6).count();
        let zeros = entries.iter().filter(|&&entry| entry == 0.0).count();
        assert_eq!(ups + downs + zeros, entries.len());
        let expected = entries.len() as f32 / 40.0;
        assert!((ups as f32 / expected - 1.0).abs() < 0.1 && (downs as f32 / expected - 1.0).abs() < 0.1);
    }

    #[test]
    fn projections_are_linear_seeded_and_independent_of_blocks_and_threads() {
        for make in
            [|seed| Projection::official(seed, 50, 128), |seed| Projection::sparse(seed, 50, 600, 0.9)]
        {
            let map = make(4).unwrap();
            let rows: Vec<f32> = (0..700 * 50).map(|i| (i * 37 % 101) as f32 * 0.1 - 5.0).collect();
            let whole = map.apply(&rows).unwrap();
            assert_eq!(whole[699 * map.to()..], map.apply(&rows[699 * 50..]).unwrap());
            let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
            assert_eq!(whole, pool.install(|| make(4).unwrap().apply(&rows).unwrap()));
            assert_ne!(whole, make(5).unwrap().apply(&rows).unwrap());
            let matrix = matrix(&map);
            for output in 0..map.to() {
                let sum: f32 = (0..50).map(|input| rows[input] * matrix[input * map.to() + output]).sum();
                assert!((sum - whole[output]).abs() < 1e-4);
            }
        }
    }

    #[test]
    fn equal_dimensions_are_left_alone_and_broken_rows_refused() {
        let map = Projection::official(1, 3, 3).unwrap();
        assert_eq!(map.apply(&[1.0, 2.0, 3.0]).unwrap(), [1.0, 2.0, 3.0]);
        assert!(matches!(map.apply(&[1.0]), Err(KernelError::Shape { .. })));
        assert!(Projection::official(1, 0, 3).is_err() && Projection::sparse(1, 0, 30, 0.9).is_err());
    }
}
