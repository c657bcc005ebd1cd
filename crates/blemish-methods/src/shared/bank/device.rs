//! Exact search on a GPU, through Burn: the same neighbours at the same distances as on the CPU.
//!
//! ```text
//! device: queries x entries products ─> smallest |b|^2 - 2 q b of every group of entries
//! host:   groups that may hold a near entry, nearest first ─> their entries, measured as by the CPU's search
//! ```
//! A group may be left out if its smallest value, less what the product may be off by, is above the k-th distance measured so far. What
//! products are off by is measured on the entries themselves, since some devices multiply in fewer bits than they add.

use super::nearest::{Found, check_queries, keep_nearest, neighbours};
use blemish_core::error::Error;
use blemish_core::state::Shared;
use blemish_features::burn_device::guarded;
use blemish_kernels::knn::Neighbours;
use blemish_kernels::simd::squared_distance;
use blemish_nn::{Device, Tensor, TensorData};
use rayon::prelude::*;

/// Products that are kept at once: bounds memory on the device.
const PRODUCTS: usize = 1 << 26;
/// Entries whose products with each other are checked.
const CHECKED: usize = 128;
/// How often the largest difference found there is allowed for.
const SAFETY: f64 = 8.0;

/// Entries on a device.
pub(super) struct DeviceIndex {
    pub(super) rows: Shared<f32>,
    pub(super) dimensions: usize,
    device: Device,
    /// Mean of the entries: products of rows about it are smaller, and so is what they are off by.
    mean: Vec<f32>,
    /// Entries less the mean, dimensions x places; places beyond the entries fill the last group.
    columns: Tensor<2>,
    /// Their squared lengths, 1 x places, beyond the entries out of reach.
    squares: Tensor<2>,
    /// Entries of a group.
    group: usize,
    /// Greatest length of an entry less the mean.
    greatest: f64,
    /// What a product is off by at most, in parts of the squared sum of both lengths.
    rounding: f64,
}

/// A row less the mean.
fn centred<'a>(row: &'a [f32], mean: &'a [f32]) -> impl Iterator<Item = f32> + 'a {
    row.iter().zip(mean).map(|(value, mean)| value - mean)
}

fn square(row: impl Iterator<Item = f32>) -> f64 {
    row.map(|value| f64::from(value).powi(2)).sum()
}

impl DeviceIndex {
    /// Brings entries to a device.
    ///
    /// # Errors
    /// [`Error::Features`] if the device gives up.
    pub(super) fn new(rows: Shared<f32>, dimensions: usize, device: &Device) -> Result<Self, Error> {
        let count = rows.len() / dimensions;
        let mut sums = vec![0.0f64; dimensions];
        for row in rows.chunks_exact(dimensions) {
            sums.iter_mut().zip(row).for_each(|(sum, &value)| *sum += f64::from(value));
        }
        let mean: Vec<f32> = sums.into_iter().map(|sum| (sum / count.max(1) as f64) as f32).collect();
        // As many groups as entries in each: what is compared on the host is least then.
        let group = count.isqrt().max(1);
        let places = count.next_multiple_of(group);
        let mut columns = vec![0.0f32; dimensions * places];
        let mut squares = vec![f32::MAX; places];
        for (place, row) in rows.chunks_exact(dimensions).enumerate() {
            centred(row, &mean).enumerate().for_each(|(at, value)| columns[at * places + place] = value);
            squares[place] = square(centred(row, &mean)) as f32;
        }
        let greatest = f64::from(squares[..count].iter().copied().fold(0.0, f32::max)).sqrt();
        let (columns, squares) = guarded(|| {
            let columns = Tensor::from_data(TensorData::new(columns, [dimensions, places]), device);
            (columns, Tensor::from_data(TensorData::new(squares, [1, places]), device))
        })?;
        let device = device.clone();
        // The bound of single precision; it holds for sums in any order.
        let rounding = f64::from(f32::EPSILON) * dimensions as f64;
        let mut index = Self { rows, dimensions, device, mean, columns, squares, group, greatest, rounding };
        index.rounding = index.rounding.max(SAFETY * index.measured_rounding()?);
        Ok(index)
    }

    /// How far products of some entries with the first ones are off, in parts of the squared sum of both lengths.
    fn measured_rounding(&self) -> Result<f64, Error> {
        let count = self.rows.len() / self.dimensions;
        let checked = count.min(CHECKED);
        let centred = |numbers: &[usize]| -> Vec<f32> {
            let row =
                |&at: &usize| centred(&self.rows[at * self.dimensions..][..self.dimensions], &self.mean);
            numbers.iter().flat_map(row).collect()
        };
        // Evenly chosen, against those of the first places.
        let chosen: Vec<usize> = (0..checked).map(|at| at * count / checked).collect();
        let (queries, others) = (centred(&chosen), centred(&(0..checked).collect::<Vec<usize>>()));
        let found = guarded(|| {
            let data = TensorData::new(queries.clone(), [checked, self.dimensions]);
            let products = Tensor::<2>::from_data(data, &self.device).matmul(self.columns.clone());
            products.narrow(1, 0, checked).into_data().try_into_vec::<f32>()
        })?;
        let found = found.map_err(|error| Error::Score { reason: format!("{error:?}") })?;
        let with_length = |rows: &[f32]| -> Vec<(Vec<f32>, f64)> {
            let rows = rows.chunks_exact(self.dimensions);
            rows.map(|row| (row.to_vec(), square(row.iter().copied()).sqrt())).collect()
        };
        let others = with_length(&others);
        let mut most = 0.0f64;
        for ((row, length), products) in with_length(&queries).iter().zip(found.chunks_exact(checked)) {
            for ((other, other_length), &product) in others.iter().zip(products) {
                let exact: f64 = row.iter().zip(other).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
                let off = 2.0 * (f64::from(product) - exact).abs();
                most = most.max(off / (length + other_length).powi(2).max(f64::MIN_POSITIVE));
            }
        }
        Ok(most)
    }

    /// As [`blemish_kernels::knn::MemoryBank::search`].
    pub(super) fn search(&self, queries: &[f32], k: usize) -> Result<Neighbours, String> {
        check_queries(queries, self.dimensions)?;
        let k = k.min(self.rows.len() / self.dimensions);
        let places = self.columns.dims()[1];
        let mut found: Vec<Vec<Found>> = Vec::new();
        for queries in queries.chunks((PRODUCTS / places).max(1) * self.dimensions) {
            let smallest = self.smallest(queries)?;
            let smallest = smallest.par_chunks_exact(places / self.group);
            let each = queries.par_chunks_exact(self.dimensions).zip(smallest);
            found.par_extend(each.map(|(query, smallest)| self.nearest(query, smallest, k)));
        }
        Ok(neighbours(k, &found))
    }

    /// The smallest |b|^2 - 2 q b of each group for each query, queries x groups.
    fn smallest(&self, queries: &[f32]) -> Result<Vec<f32>, String> {
        let count = queries.len() / self.dimensions;
        let rows = queries.chunks_exact(self.dimensions).flat_map(|row| centred(row, &self.mean));
        let rows: Vec<f32> = rows.map(|value| -2.0 * value).collect();
        let found = guarded(|| {
            let rows = Tensor::<2>::from_data(TensorData::new(rows, [count, self.dimensions]), &self.device);
            let values = rows.matmul(self.columns.clone()) + self.squares.clone();
            let groups = values.dims()[1] / self.group;
            values.reshape([count, groups, self.group]).min_dim(2).into_data().try_into_vec::<f32>()
        });
        found.map_err(|error| error.to_string())?.map_err(|error| format!("{error:?}"))
    }

    /// The k nearest entries of a query, ascending, the lower entry first among equals; `smallest` has a value for each group.
    fn nearest(&self, query: &[f32], smallest: &[f32], k: usize) -> Vec<Found> {
        let own = square(centred(query, &self.mean));
        let off = self.rounding * (own.sqrt() + self.greatest).powi(2);
        let mut order: Vec<usize> = (0..smallest.len()).collect();
        order.sort_unstable_by(|&a, &b| smallest[a].total_cmp(&smallest[b]));
        let mut near: Vec<Found> = Vec::with_capacity(k + self.group);
        for group in order {
            if near.len() == k && own + f64::from(smallest[group]) - off > f64::from(near[k - 1].0) {
                break;
            }
            let first = group * self.group;
            let entries = self.rows[first * self.dimensions..].chunks_exact(self.dimensions).take(self.group);
            near.extend(entries.enumerate().map(|(at, row)| (squared_distance(query, row), first + at)));
            keep_nearest(&mut near, k);
        }
        near
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::device;
    use blemish_kernels::knn::MemoryBank;

    const DIMENSIONS: usize = 24;

    /// Rows far from the origin and near each other, some of them twice.
    fn rows(count: usize, seed: usize) -> Vec<f32> {
        let value =
            |row: usize, at: usize| (((row % 900 + seed) * 7919 + at * 104_729) % 1009) as f32 / 1009.0;
        (0..count).flat_map(|row| (0..DIMENSIONS).map(move |at| 5.0 + value(row, at))).collect()
    }

    #[test]
    fn it_finds_what_the_exact_search_finds() {
        for count in [1, 2, 7, 1000] {
            let bank = rows(count, 3);
            let index = DeviceIndex::new(bank.clone().into(), DIMENSIONS, &device()).unwrap();
            assert!(index.rounding < 1e-4, "{}", index.rounding);
            let exact = MemoryBank::new(bank.clone(), DIMENSIONS).unwrap();
            // Rows of the bank and others.
            let queries = [&bank[..DIMENSIONS * count.min(50)], &rows(150, 8)].concat();
            for k in [1, 4, 9] {
                assert_eq!(index.search(&queries, k).unwrap(), exact.search(&queries, k).unwrap());
            }
        }
    }

    /// Values that are off by less than is allowed for change nothing; with nothing allowed for they do.
    #[test]
    fn rounding_of_the_device_changes_no_answer() {
        let bank = rows(1000, 3);
        let mut index = DeviceIndex::new(bank.clone().into(), DIMENSIONS, &device()).unwrap();
        let exact = MemoryBank::new(bank, DIMENSIONS).unwrap();
        let queries = rows(100, 8);
        let smallest = index.smallest(&queries).unwrap();
        let groups = smallest.len() / 100;
        let expected = exact.search(&queries, 1).unwrap();
        let mut wrong_with = |rounding: f64| {
            index.rounding = rounding;
            let is_wrong = |(query, row): &(usize, &[f32])| {
                let own = square(centred(row, &index.mean));
                let off = (0.018 * (own.sqrt() + index.greatest).powi(2)) as f32;
                let noise = |at: usize| if (at * 7919 + query).is_multiple_of(2) { off } else { -off };
                let values: Vec<f32> =
                    (0..groups).map(|at| smallest[query * groups + at] + noise(at)).collect();
                index.nearest(row, &values, 1)[0].1 != expected.indices[*query]
            };
            queries.chunks_exact(DIMENSIONS).enumerate().filter(is_wrong).count()
        };
        assert!(wrong_with(0.0) > 0);
        assert_eq!(wrong_with(0.02), 0);
    }

    #[test]
    fn rows_that_do_not_fit_are_refused() {
        let index = DeviceIndex::new(rows(10, 3).into(), DIMENSIONS, &device()).unwrap();
        assert!(index.search(&[0.0; DIMENSIONS + 1], 1).is_err());
        assert!(index.search(&[f32::NAN; DIMENSIONS], 1).is_err());
    }
}
