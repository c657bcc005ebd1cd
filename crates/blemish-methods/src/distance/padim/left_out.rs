//! Distances to Gaussians fitted without some of their samples, from what the fit on all of them says.

/// What only rounding of the stored factors brings to 0 stays above this.
const LEAST: f64 = 1e-6;

/// Squared distances of g samples to the Gaussian of the other n - g.
///
/// `gram` is g x g: d_i' C^-1 d_j for the deviations d of the samples from the mean of all n, and C = S / (n - 1). Without the g samples the
/// mean moves to m - s / (n - g), s being the sum of their deviations, and the scatter to S - D D' - s s' / (n - g), D having the
/// deviations as columns: C - D B D' with B = (I + 1 1' / (n - g)) / (n - 1). Sample i then lies D v from the mean of the others, v
/// being e_i + 1 / (n - g), and by Woodbury its squared distance is v' K (I - B K)^-1 v with K = `gram`. With R = B^(1/2) and
/// u = R^-1 v this is u' (I - R K R)^-1 u - u' u. For g = 1 it is the formula of Sherman and Morrison.
///
/// The covariance of the others is divided by n - 1 instead of n - g - 1, so the result is never below that of another fit, and above it by at
/// most the factor (n - 1) / (n - g - 1).
pub(super) fn squared_distances(gram: &[f64], samples: usize) -> Vec<f64> {
    let group = gram.len().isqrt();
    let (g, rest) = (group as f64, (samples - group) as f64);
    // Roots of a matrix I + c 1 1' have the same form.
    let scale = (1.0 / (samples as f64 - 1.0)).sqrt();
    let root = ((1.0 + g / rest).sqrt() - 1.0) / g;
    let inverse = -root / (1.0 + g * root);
    let mean = |row: &dyn Fn(usize) -> f64| (0..group).map(row).sum::<f64>();
    // R K R, applied to rows and then to columns; I minus it.
    let mut left = vec![0.0; group * group];
    let columns: Vec<f64> = (0..group).map(|j| mean(&|i| gram[i * group + j])).collect();
    let half = |i: usize, j: usize| gram[i * group + j] + root * columns[j];
    for i in 0..group {
        let sum = mean(&|j| half(i, j));
        for j in 0..group {
            let own = if i == j { 1.0 } else { 0.0 };
            left[i * group + j] = own - scale * scale * (half(i, j) + root * sum);
        }
    }
    factor(&mut left, group);
    let of_sample = |sample: usize| {
        let v = |i: usize| if i == sample { 1.0 + 1.0 / rest } else { 1.0 / rest };
        let sum = mean(&v);
        let u: Vec<f64> = (0..group).map(|i| (v(i) + inverse * sum) / scale).collect();
        // u' A^-1 u = |L^-1 u|^2 for A = L L'.
        let mut solved = vec![0.0; group];
        for i in 0..group {
            let known: f64 = (0..i).map(|j| left[i * group + j] * solved[j]).sum();
            solved[i] = (u[i] - known) / left[i * group + i];
        }
        let square = |values: &[f64]| values.iter().map(|value| value * value).sum::<f64>();
        (square(&solved) - square(&u)).max(0.0)
    };
    (0..group).map(of_sample).collect()
}

/// The lower Cholesky factor in place; pivots that rounding has brought to 0 are kept above it.
fn factor(matrix: &mut [f64], size: usize) {
    for i in 0..size {
        for j in 0..=i {
            let known: f64 = (0..j).map(|k| matrix[i * size + k] * matrix[j * size + k]).sum();
            let value = matrix[i * size + j] - known;
            matrix[i * size + j] =
                if i == j { value.max(LEAST).sqrt() } else { value / matrix[j * size + j] };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::squared_distances;

    /// Of one dimension: samples 1, 2, 4, 9, 14, 0, mean 5; the first two left out, the others have mean 27 / 4 and a scatter about it of
    /// 293 - 4 (27 / 4)^2, here divided by 5.
    #[test]
    fn two_samples_left_out_are_as_far_as_by_hand() {
        let samples = [1.0f64, 2.0, 4.0, 9.0, 14.0, 0.0];
        let variance = samples.iter().map(|x| (x - 5.0) * (x - 5.0)).sum::<f64>() / 5.0;
        let gram: Vec<f64> = [(-4.0, -4.0), (-4.0, -3.0), (-3.0, -4.0), (-3.0, -3.0)]
            .iter()
            .map(|(a, b)| a * b / variance)
            .collect();
        let rest = (293.0 - 4.0 * 6.75f64.powi(2)) / 5.0;
        for (found, x) in squared_distances(&gram, 6).iter().zip([1.0, 2.0]) {
            let expected = (x - 6.75f64).powi(2) / rest;
            assert!((found / expected - 1.0).abs() < 1e-9, "{found} is not {expected}");
        }
    }

    /// Sherman and Morrison: (n / (n - 1))^2 q / (1 - n q / (n - 1)^2).
    #[test]
    fn one_sample_left_out_is_the_known_formula() {
        let (n, q) = (50.0f64, 7.0f64);
        let expected = (n / (n - 1.0)).powi(2) * q / (1.0 - n * q / (n - 1.0).powi(2));
        assert!((squared_distances(&[q], 50)[0] / expected - 1.0).abs() < 1e-9);
    }
}
