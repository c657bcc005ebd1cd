//! A linear layer.

use crate::init::{Init, xavier};
use crate::weights::Network;
use blemish_ops::dense;
use burn::module::{Module, Param};
use burn::tensor::Tensor;

/// A matrix for vectors.
#[derive(Module, Debug)]
pub struct Dense {
    /// Inputs x outputs.
    pub weight: Param<Tensor<2>>,
    /// Outputs.
    pub bias: Param<Tensor<1>>,
}

impl Network for Dense {}

impl Dense {
    /// Uniform within 1 / sqrt(inputs), weights and bias.
    pub fn new(inputs: usize, outputs: usize, init: &mut Init) -> Self {
        let bound = 1.0 / (inputs as f32).sqrt();
        Self { weight: init.uniform(bound, [inputs, outputs]), bias: init.uniform(bound, [outputs]) }
    }

    /// Xavier's uniform weights, and a bias of 0.
    pub fn xavier(inputs: usize, outputs: usize, init: &mut Init) -> Self {
        let bound = xavier(inputs, outputs);
        Self { weight: init.uniform(bound, [inputs, outputs]), bias: init.constant(0.0, [outputs]) }
    }

    /// y = x W + b.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [count, inputs, height, width] = x.dims();
        assert_eq!(height * width, 1, "a dense layer meets a map of {height} x {width} positions");
        let y = self.rows(x.reshape([count, inputs]));
        let outputs = y.dims()[1];
        y.reshape([count, outputs, 1, 1])
    }

    /// The same for rows x inputs.
    pub fn rows(&self, x: Tensor<2>) -> Tensor<2> {
        dense(x, self.weight.val(), self.bias.val())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_gradients, double, random, values, weighted};

    #[test]
    fn rows_meet_the_columns_of_the_matrix() {
        let init = double();
        let weight = init.of(vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [2, 3]);
        let layer = Dense { weight, bias: init.of(vec![0.5, 0.0, -1.0], [3]) };
        let x = init.of(vec![1.0, 0.0, 2.0, 1.0], [2, 2]).val();
        assert_eq!(values(layer.rows(x.clone())), [1.5, 2.0, 2.0, 6.5, 9.0, 11.0]);
        assert_eq!(layer.forward(x.reshape([2, 2, 1, 1])).dims(), [2, 3, 1, 1]);
    }

    #[test]
    fn gradients_are_the_slopes() {
        let layer = Dense::xavier(3, 2, &mut double());
        let x = Param::from_tensor(random([4, 3], 1));
        check_gradients((layer, x), |(layer, x)| weighted(layer.rows(x.val())));
    }
}
