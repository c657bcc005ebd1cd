//! Binary cross-entropy.

use super::mean::mean;
use burn::tensor::{Tensor, activation};

/// Mean of -(y ln p + (1 - y) ln(1 - p)), y the targets from 0 to 1.
///
/// Probabilities are held at 1e-38 and above under the logarithm, whose values end at -87.5 (PyTorch ends them at -100). Where a network
/// gives logits, [`binary_cross_entropy_of_logits`] is exact.
///
/// # Panics
/// If the shapes differ.
pub fn binary_cross_entropy<const D: usize>(probabilities: Tensor<D>, targets: Tensor<D>) -> Tensor<1> {
    assert_eq!(probabilities.dims(), targets.dims(), "a loss of values of two shapes");
    let log = |p: Tensor<D>| p.clamp_min(1e-38).log();
    let (hit, miss) = (log(probabilities.clone()), log(-probabilities + 1.0));
    mean(targets.clone() * hit + (-targets + 1.0) * miss).neg()
}

/// The same of p = 1 / (1 + exp(-x)) for logits x: mean of ln(1 + exp(x)) - x y.
///
/// # Panics
/// If the shapes differ.
pub fn binary_cross_entropy_of_logits<const D: usize>(logits: Tensor<D>, targets: Tensor<D>) -> Tensor<1> {
    assert_eq!(logits.dims(), targets.dims(), "a loss of values of two shapes");
    mean(-activation::log_sigmoid(-logits.clone()) - logits * targets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_gradients, close, double, random, values};

    fn targets() -> Tensor<2> {
        double().of(vec![1.0, 0.0, 0.3, 1.0], [2, 2]).val().detach()
    }

    #[test]
    fn probabilities_and_their_logits_cost_the_same() {
        let p = double().of(vec![0.75, 0.5, 0.3, 0.9], [2, 2]).val();
        let entropy = 0.3f64 * 0.3f64.ln() + 0.7 * 0.7f64.ln();
        let expected = -(0.75f64.ln() + 0.5f64.ln() + entropy + 0.9f64.ln()) / 4.0;
        let logits = (p.clone() / (-p.clone() + 1.0)).log();
        close(&values(binary_cross_entropy(p, targets())), &[expected], 1e-6);
        close(&values(binary_cross_entropy_of_logits(logits, targets())), &[expected], 1e-6);
    }

    #[test]
    fn certainty_is_finite() {
        let device = burn::tensor::Device::flex().autodiff();
        let p = Tensor::<1>::from_data([0.0, 1.0, 1.0], &device).require_grad();
        let loss = binary_cross_entropy(p.clone(), Tensor::from_data([0.0, 1.0, 0.0], &device));
        close(&values(loss.clone()), &[87.5 / 3.0], 1e-3);
        assert!(values(p.grad(&loss.backward()).unwrap()).iter().all(|slope| slope.is_finite()));
        let x = Tensor::<1>::from_data([-200.0, 200.0, 200.0], &device).require_grad();
        let loss = binary_cross_entropy_of_logits(x.clone(), Tensor::from_data([0.0, 1.0, 0.0], &device));
        close(&values(loss.clone()), &[200.0 / 3.0], 1e-6);
        close(&values(x.grad(&loss.backward()).unwrap()), &[0.0, 0.0, 1.0 / 3.0], 1e-6);
    }

    #[test]
    fn gradients_are_the_slopes_also_at_a_logit_of_zero() {
        let mut logits = values(random([2, 2], 1));
        logits[1] = 0.0;
        let logits = double().of(logits.iter().map(|&x| x as f32).collect(), [2, 2]);
        check_gradients(logits.clone(), |x| binary_cross_entropy_of_logits(x.val(), targets()));
        check_gradients(logits, |x| binary_cross_entropy(activation::sigmoid(x.val()), targets()));
    }
}
