//! The mean of the largest values of a map, as scores of images have it.

/// Mean of the `count` largest values, or of all where there are fewer.
pub(crate) fn mean_of_largest(mut values: Vec<f32>, count: usize) -> f32 {
    let count = count.min(values.len());
    if count == 0 {
        return 0.0;
    }
    if count < values.len() {
        values.select_nth_unstable_by(count - 1, |a, b| b.total_cmp(a));
    }
    // In an order of their own, so that equal maps have equal scores.
    let largest = &mut values[..count];
    largest.sort_unstable_by(f32::total_cmp);
    (largest.iter().map(|&value| f64::from(value)).sum::<f64>() / count as f64) as f32
}
