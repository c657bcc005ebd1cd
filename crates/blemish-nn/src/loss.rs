//! Losses that several methods train with.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor};

/// Cross-entropy: mean over the rows of -ln softmax(logits) at the true class; logits are rows x classes.
pub fn cross_entropy(logits: Tensor<2>, classes: Tensor<1, Int>) -> Tensor<1> {
    log_softmax(logits, 1).gather(1, classes.unsqueeze_dim(1)).mean().neg()
}
