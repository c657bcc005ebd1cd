//! Means over square windows.

use rayon::prelude::*;

/// What a window meets beyond a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outside {
    /// Zeros, which count: near the border a mean is lower.
    Zeros,
    /// The mirror image, the edge not repeated (d c b | a b c d).
    Mirror,
}

/// The mean over a window of odd `side` around every position of a map of height x width values.
///
/// In two passes of running sums in double precision, so that the cost does not depend on the side.
///
/// # Panics
/// If the map is not of that size or the side is even.
pub fn box_mean(map: &[f32], (height, width): (usize, usize), side: usize, outside: Outside) -> Vec<f32> {
    assert!(map.len() == height * width && side % 2 == 1, "a window of {side} over {height} x {width}");
    let scale = 1.0 / (side * side) as f64;
    let mut rows = vec![0.0f64; map.len()];
    rows.par_chunks_mut(width.max(1)).zip(map.par_chunks(width.max(1))).for_each(|(sums, row)| {
        running_sums(width, side, outside, |at| f64::from(row[at]), |at, sum| sums[at] = sum);
    });
    let columns: Vec<Vec<f32>> = (0..width)
        .into_par_iter()
        .map(|x| {
            let mut means = vec![0.0; height];
            running_sums(
                height,
                side,
                outside,
                |at| rows[at * width + x],
                |at, sum| {
                    means[at] = (sum * scale) as f32;
                },
            );
            means
        })
        .collect();
    (0..map.len()).map(|at| columns[at % width][at / width]).collect()
}

/// Which value a mirror at both ends shows at a place. A window may be wider than the map.
fn mirrored(at: isize, last: isize) -> usize {
    let around = at.rem_euclid((2 * last).max(1));
    around.min(2 * last - around).max(0) as usize
}

/// The means over windows with the mirror image outside along a side of the map, as a matrix of `length` x `length`.
pub(crate) fn mirrored_means(length: usize, side: usize) -> Vec<f32> {
    let reach = (side / 2) as isize;
    let mut matrix = vec![0.0; length * length];
    for (at, row) in matrix.chunks_exact_mut(length.max(1)).enumerate() {
        let window = at as isize - reach..=at as isize + reach;
        window.for_each(|at| row[mirrored(at, length as isize - 1)] += 1.0 / side as f32);
    }
    matrix
}

/// Calls `put` with the sum of `side` values around every place.
fn running_sums(
    length: usize,
    side: usize,
    outside: Outside,
    of: impl Fn(usize) -> f64,
    mut put: impl FnMut(usize, f64),
) {
    let reach = (side / 2) as isize;
    let last = length as isize - 1;
    let value = |at: isize| match outside {
        Outside::Zeros if at < 0 || at > last => 0.0,
        Outside::Zeros => of(at as usize),
        Outside::Mirror => of(mirrored(at, last)),
    };
    let mut sum: f64 = (-reach..reach).map(&value).sum();
    for at in 0..length as isize {
        sum += value(at + reach);
        put(at as usize, sum);
        sum -= value(at - reach);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_count_at_the_border() {
        let ones = box_mean(&[1.0; 64 * 64], (64, 64), 21, Outside::Zeros);
        let close = |found: f32, expected: f32| assert!((found - expected).abs() < 1e-6, "{found}");
        close(ones[32 * 64 + 32], 1.0);
        close(ones[32], 11.0 * 21.0 / 441.0);
        close(ones[0], 121.0 / 441.0);
        let mut point = vec![0.0; 64 * 64];
        point[30 * 64 + 31] = 1.0;
        let found = box_mean(&point, (64, 64), 21, Outside::Zeros);
        close(found.iter().copied().fold(0.0, f32::max), 0.002_267_574);
        assert_eq!(found.iter().filter(|&&value| value > 1e-9).count(), 441);
        assert!(box_mean(&[1.0; 64], (8, 8), 21, Outside::Mirror).iter().all(|value| *value == 1.0));
    }

    #[test]
    fn means_are_those_of_every_window() {
        let (height, width) = (7, 5);
        let map: Vec<f32> = (0..35).map(|at| ((at * 17) % 11) as f32 - 3.0).collect();
        for outside in [Outside::Zeros, Outside::Mirror] {
            for side in [1, 3, 5] {
                let found = box_mean(&map, (height, width), side, outside);
                let reach = side as isize / 2;
                let fold = |at: isize, length: isize| {
                    if at < 0 {
                        -at
                    } else if at >= length {
                        2 * length - 2 - at
                    } else {
                        at
                    }
                };
                let value = |y: isize, x: isize| {
                    let is_inside = (0..7).contains(&y) && (0..5).contains(&x);
                    match outside {
                        Outside::Zeros if !is_inside => 0.0,
                        _ => map[(fold(y, 7) * 5 + fold(x, 5)) as usize],
                    }
                };
                for (at, found) in found.into_iter().enumerate() {
                    let (y, x) = ((at / width) as isize, (at % width) as isize);
                    let sum: f32 = (-reach..=reach)
                        .flat_map(|dy| (-reach..=reach).map(move |dx| (dy, dx)))
                        .map(|(dy, dx)| value(y + dy, x + dx))
                        .sum();
                    assert!((found - sum / (side * side) as f32).abs() < 1e-5);
                }
            }
        }
    }
}
