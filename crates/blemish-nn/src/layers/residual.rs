//! The basic block of residual networks.

use super::activation::Activation;
use super::conv::Conv;
use super::conv_unit::ConvUnit;
use super::phase::Phase;
use crate::init::{Init, he};
use burn::module::Module;
use burn::tensor::{Tensor, activation::relu};

/// Two 3x3 convolutions beside a shortcut: y = relu(norm(conv(relu(norm(conv(x))))) + shortcut(x)) (He et al. 2016).
///
/// The first convolution has the stride. The shortcut is x itself where stride and channels allow it, else a 1x1 convolution of the same
/// stride with a normalisation of its own.
#[derive(Module, Debug)]
pub struct ResidualBlock {
    /// With ReLU.
    pub first: ConvUnit,
    /// Without an activation: that follows the sum.
    pub second: ConvUnit,
    /// Of x, where it changes shape.
    pub shortcut: Option<ConvUnit>,
}

impl ResidualBlock {
    /// Of `inputs` to `outputs` channels, as torchvision begins: normal weights by He's rule for what each input feeds, no biases.
    pub fn new(inputs: usize, outputs: usize, stride: usize, init: &mut Init) -> Self {
        let mut unit = |inputs: usize, kernel: usize, stride: usize, activation| {
            let conv = Conv::normal(inputs, outputs, kernel, he(outputs * kernel * kernel), init);
            ConvUnit::normed(conv.with_stride(stride).without_bias(init), activation, init)
        };
        Self {
            first: unit(inputs, 3, stride, Activation::Relu),
            second: unit(outputs, 3, 1, Activation::Identity),
            shortcut: (stride != 1 || inputs != outputs)
                .then(|| unit(inputs, 1, stride, Activation::Identity)),
        }
    }

    /// y for x, batch x inputs x height x width; of a stride s, height / s rows, rounded up.
    pub fn forward(&self, x: Tensor<4>, phase: Phase) -> Tensor<4> {
        let around = match &self.shortcut {
            Some(shortcut) => shortcut.forward(x.clone(), phase),
            None => x.clone(),
        };
        relu(self.second.forward(self.first.forward(x, phase), phase) + around)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::Norm;
    use crate::testing::{check_gradients, double, random, values, weighted};
    use crate::weights::trained_values;
    use burn::module::Param;

    #[test]
    fn a_pair_has_the_weights_of_the_last_stage_of_resnet_18() {
        let mut init = Init::blank(&burn::tensor::Device::flex().autodiff());
        let stage = [ResidualBlock::new(256, 512, 2, &mut init), ResidualBlock::new(512, 512, 1, &mut init)];
        assert_eq!(trained_values(&stage), 8_393_728);
        assert!(stage[0].shortcut.is_some() && stage[1].shortcut.is_none());
    }

    #[test]
    fn a_branch_of_zeros_leaves_the_positive_part() {
        let mut init = double();
        let mut block = ResidualBlock::new(2, 2, 1, &mut init);
        if let Some(Norm::Batch(norm)) = &mut block.second.norm {
            norm.gain = init.constant(0.0, [2]);
        }
        let x = random([2, 2, 3, 3], 4);
        let expected: Vec<f64> = values(x.clone()).into_iter().map(|value| value.max(0.0)).collect();
        assert_eq!(values(block.forward(x, Phase::Training)), expected);
    }

    #[test]
    fn gradients_are_the_slopes() {
        let mut init = double();
        let blocks = [ResidualBlock::new(2, 3, 2, &mut init), ResidualBlock::new(3, 3, 1, &mut init)];
        let x = Param::from_tensor(random([2, 2, 5, 4], 1));
        check_gradients((blocks, x), |(blocks, x)| {
            weighted(blocks.iter().fold(x.val(), |x, block| block.forward(x, Phase::Training)))
        });
    }
}
