//! What the searches of entries share: which queries they take, and how what they find is put in order.

use blemish_kernels::knn::Neighbours;

/// Squared distance and number of an entry that was found.
pub(super) type Found = (f32, usize);

/// Checks that queries are whole rows of finite values.
pub(super) fn check_queries(queries: &[f32], dimensions: usize) -> Result<(), String> {
    if queries.len().is_multiple_of(dimensions) && queries.iter().all(|value| value.is_finite()) {
        return Ok(());
    }
    Err(format!("the queries are not finite rows of {dimensions} values"))
}

/// The k nearest, ascending, the lower entry first among equals.
pub(super) fn keep_nearest(near: &mut Vec<Found>, k: usize) {
    near.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    near.truncate(k);
}

/// What was found for each query, k entries each.
pub(super) fn neighbours(k: usize, found: &[Vec<Found>]) -> Neighbours {
    let (squared_distances, indices) = found.iter().flatten().copied().unzip();
    Neighbours { k, squared_distances, indices }
}
