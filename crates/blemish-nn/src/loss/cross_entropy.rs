//! Cross-entropy of classes.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor};

/// Cross-entropy: mean over the rows of -ln softmax(logits) at the true class; logits are rows x classes.
pub fn cross_entropy(logits: Tensor<2>, classes: Tensor<1, Int>) -> Tensor<1> {
    log_softmax(logits, 1).gather(1, classes.unsqueeze_dim(1)).mean().neg()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_gradients, close, double, random, values};
    use burn::module::Param;

    #[test]
    fn the_true_classes_count() {
        let logits = double().of(vec![0.0, 3f32.ln(), 1.0, 1.0], [2, 2]).val();
        let classes = Tensor::from_data([1, 0], &logits.device());
        close(&values(cross_entropy(logits, classes)), &[-(0.75f64.ln() + 0.5f64.ln()) / 2.0], 1e-7);
    }

    #[test]
    fn gradients_are_the_slopes() {
        check_gradients(Param::from_tensor(random([3, 4], 1)), |logits| {
            cross_entropy(logits.val(), Tensor::from_data([1, 0, 3], &logits.val().device()))
        });
    }
}
