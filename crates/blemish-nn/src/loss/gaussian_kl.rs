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
    let each = means.clone() * means + log_variances.clone().exp() - log_variances - 1.0;
    each.reshape([batch, values]).sum_dim(1).reshape([batch]) * 0.5
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

    #[test]
    fn gradients_are_the_slopes() {
        let [means, logs] = [1, 2].map(|seed| Param::from_tensor(random([2, 3, 2], seed)));
        check_gradients((means, logs), |(means, logs)| weighted(gaussian_kl(means.val(), logs.val())));
    }
}
