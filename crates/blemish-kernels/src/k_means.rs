//! k-means (Lloyd) from k-means++ seeds (Arthur and Vassilvitskii 2007): few centres that stand for many points.

use crate::knn::MemoryBank;
use crate::simd::relax_keys;
use crate::validate::{finite, row_count};
use crate::{KernelError, seeded};
use rand::RngExt;

/// Centres (at most `count`, fewer if the points have fewer distinct values) of `points` (n x dimensions) after at most `rounds`
/// rounds; the same for every number of threads.
///
/// # Errors
/// [`KernelError::Empty`], [`KernelError::Shape`] or [`KernelError::NotFinite`] for points that are not whole finite rows.
pub fn k_means(
    points: &[f32],
    dimensions: usize,
    count: usize,
    rounds: usize,
    seed: u64,
) -> Result<Vec<f32>, KernelError> {
    const WHAT: &str = "the set of points";
    let rows = row_count(WHAT, points, dimensions)?;
    if rows == 0 || count == 0 {
        return Err(KernelError::Empty { what: WHAT });
    }
    finite(WHAT, points, dimensions)?;
    let mut centres = seeds(points, dimensions, rows, count, seed);
    for _ in 0..rounds {
        let bank = MemoryBank::new(centres.as_slice(), dimensions)?;
        let nearest = bank.search(points, 1)?.indices;
        let mut sums = vec![0.0f64; centres.len()];
        let mut members = vec![0u32; centres.len() / dimensions];
        for (point, &centre) in points.chunks_exact(dimensions).zip(&nearest) {
            members[centre] += 1;
            let sums = &mut sums[centre * dimensions..][..dimensions];
            sums.iter_mut().zip(point).for_each(|(sum, &value)| *sum += f64::from(value));
        }
        let mut moved = centres.clone();
        let groups = moved.chunks_exact_mut(dimensions).zip(sums.chunks_exact(dimensions));
        for ((centre, sums), &members) in groups.zip(&members) {
            // A centre that lost all its points stays where it is.
            if members > 0 {
                centre
                    .iter_mut()
                    .zip(sums)
                    .for_each(|(value, sum)| *value = (sum / f64::from(members)) as f32);
            }
        }
        if moved == centres {
            break;
        }
        centres = moved;
    }
    Ok(centres)
}

/// Points drawn one after another with a chance proportional to the squared distance to the nearest one drawn before.
fn seeds(points: &[f32], dimensions: usize, rows: usize, count: usize, seed: u64) -> Vec<f32> {
    let mut random = seeded(seed);
    let mut keys = vec![f32::INFINITY; rows];
    let mut next = random.random_range(0..rows);
    let mut centres = Vec::new();
    for _ in 0..count {
        let centre = &points[next * dimensions..][..dimensions];
        centres.extend_from_slice(centre);
        relax_keys(centre, points, &mut keys);
        let total: f64 = keys.iter().map(|&key| f64::from(key)).sum();
        if total <= 0.0 {
            break;
        }
        let mut rest = random.random::<f64>() * total;
        // The last point with a chance, should rounding leave something over.
        next = keys.iter().rposition(|&key| key > 0.0).unwrap_or(0);
        for (row, &key) in keys.iter().enumerate() {
            rest -= f64::from(key);
            if rest < 0.0 && key > 0.0 {
                next = row;
                break;
            }
        }
    }
    centres
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_groups_are_found_with_their_means() {
        let points: Vec<f32> = (0..30).map(|i| (i % 3) as f32 * 10.0 + [-0.5, 0.0, 0.5][i / 3 % 3]).collect();
        let mut centres = k_means(&points, 1, 3, 20, 5).unwrap();
        centres.sort_unstable_by(f32::total_cmp);
        for (centre, expected) in centres.iter().zip([0.0, 10.0, 20.0]) {
            assert!((centre - expected).abs() < 0.06, "{centres:?}");
        }
    }

    #[test]
    fn there_are_no_more_centres_than_distinct_points() {
        assert_eq!(k_means(&[1.0, 1.0, 2.0, 2.0], 1, 9, 5, 0).unwrap().len(), 2);
        assert!(k_means(&[], 2, 3, 5, 0).is_err());
    }
}
