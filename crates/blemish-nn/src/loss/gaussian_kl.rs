//! Divergence of a diagonal Gaussian from the standard normal distribution.

use burn::tensor::Tensor;

/// 1/2 sum of (m^2 + exp(l) - l - 1) over the latent values of each image, m the means and l the logarithms of the variances.
///
/// Both are batch x anything; one number an image.
///
/// # Panics
/// If the shapes differ.
pub fn gaussian_kl<const D: usize>(means: Tensor<D>, log_variances: Tensor<D>) -> Tensor<1> {
    assert_eq!(means.dims(), log_variances.dims(), "means and variances of two shapes");
    let batch = means.dims()[0];
    let values = means.dims().iter().product::<usize>() / batch.max(1);
    let each = means.clone() * means + (exp_minus_one(log_variances.clone()) - log_variances);
    each.reshape([batch, values]).sum_dim(1).reshape([batch]) * 0.5
}

/// exp(l) - 1, to the last digits also where l is small: there exp(l) and 1 are nearly equal.
fn exp_minus_one<const D: usize>(l: Tensor<D>) -> Tensor<D> {
    // exp(l) - 1 = 2 t / (1 - t), t = tanh(l / 2).
    let t = (l.clone().clamp(-1.0, 1.0) * 0.5).tanh();
    let near = t.clone() * 2.0 / (-t + 1.0);
    let is_far = l.clone().abs().greater_elem(1.0);
    near.mask_where(is_far, l.exp() - 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_gradients, close, double, random, values, weighted};
    use burn::module::Param;

    #[test]
    fn only_the_standard_normal_distribution_is_free() {
        let means = double().of(vec![0.0, 0.0, 2.0, 0.0], [2, 2]).val();
        let log_variances = double().of(vec![0.0, 0.0, 0.0, 4f32.ln()], [2, 2]).val();
        let expected = 2.0 + 0.5 * (4.0 - 4f64.ln() - 1.0);
        close(&values(gaussian_kl(means, log_variances)), &[0.0, expected], 1e-6);
    }

    /// In single precision exp(l) - 1 - l would be rounding alone.
    #[test]
    fn small_divergences_are_exact_and_never_negative() {
        let device = burn::tensor::Device::flex();
        let logs = [1e-3f32, -1e-3, 2e-4, -0.3, 0.9999, 1.0001, 4.0, -10.0];
        let found = gaussian_kl(
            Tensor::<2>::zeros([8, 1], &device),
            Tensor::<1>::from_data(logs, &device).reshape([8, 1]),
        );
        for (found, l) in values(found).into_iter().zip(logs.map(f64::from)) {
            let expected = 0.5 * (l.exp_m1() - l);
            assert!((found / expected - 1.0).abs() < 2e-3 && found >= 0.0, "{found} instead of {expected}");
        }
    }

    #[test]
    fn gradients_are_the_slopes() {
        let [means, logs] = [1, 2].map(|seed| Param::from_tensor(random([2, 3, 2], seed)));
        check_gradients((means, logs), |(means, logs)| weighted(gaussian_kl(means.val(), logs.val())));
    }
}
