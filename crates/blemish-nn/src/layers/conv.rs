//! Convolution.

use crate::init::Init;
use blemish_ops::{convolve, convolve_transposed};
use burn::module::{Module, Param};
use burn::tensor::Tensor;

/// A convolution; as [`Conv::new`] makes it, it keeps the size of the map.
///
/// y(o, i, j) = b(o) + sum over c, u, v of W(o, c, u, v) x(c, s i + u - p, s j + v - p), zeros outside the map. Of height x width it
/// makes (height + 2 p - kernel) / s + 1 rows, rounded down, and as many columns.
#[derive(Module, Debug)]
pub struct Conv {
    /// Outputs x inputs x kernel x kernel.
    pub weight: Param<Tensor<4>>,
    /// Outputs.
    pub bias: Param<Tensor<1>>,
    stride: usize,
    padding: usize,
}

impl Conv {
    /// Uniform within 1 / sqrt(inputs * kernel^2), weights and bias, as PyTorch does; stride 1, padding of half the kernel.
    pub fn new(inputs: usize, outputs: usize, kernel: usize, init: &mut Init) -> Self {
        let bound = 1.0 / ((inputs * kernel * kernel) as f32).sqrt();
        let weight = init.uniform(bound, [outputs, inputs, kernel, kernel]);
        Self::of(weight, init.uniform(bound, [outputs]))
    }

    /// All zero: what it feeds starts as the identity.
    pub fn zero(inputs: usize, outputs: usize, kernel: usize, init: &Init) -> Self {
        let weight = init.constant(0.0, [outputs, inputs, kernel, kernel]);
        Self::of(weight, init.constant(0.0, [outputs]))
    }

    /// Weights from a normal distribution of mean 0 and a bias of 0, for example He's: [`crate::init::he`] of inputs * kernel^2.
    pub fn normal(inputs: usize, outputs: usize, kernel: usize, deviation: f32, init: &mut Init) -> Self {
        let weight = init.normal(deviation, [outputs, inputs, kernel, kernel]);
        Self::of(weight, init.constant(0.0, [outputs]))
    }

    /// Of given weights, outputs x inputs x kernel x kernel, and bias.
    pub fn of(weight: Param<Tensor<4>>, bias: Param<Tensor<1>>) -> Self {
        let padding = weight.dims()[2] / 2;
        Self { weight, bias, stride: 1, padding }
    }

    /// Of another stride.
    pub fn with_stride(self, stride: usize) -> Self {
        Self { stride, ..self }
    }

    /// With other padding: rows and columns of zeros on each side of the map.
    pub fn with_padding(self, padding: usize) -> Self {
        Self { padding, ..self }
    }

    /// Only where the whole kernel fits into the map.
    pub fn unpadded(self) -> Self {
        self.with_padding(0)
    }

    /// s.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// p.
    pub fn padding(&self) -> usize {
        self.padding
    }

    /// Without a bias: it is 0 and not trained.
    pub fn without_bias(self, init: &Init) -> Self {
        let bias = init.constant(0.0, self.bias.dims()).set_require_grad(false);
        Self { bias, ..self }
    }

    /// y for x, batch x inputs x height x width.
    ///
    /// # Panics
    /// If x has another number of channels or the kernel does not fit into the padded map.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        convolve(x, self.weight.val(), self.bias.val(), self.stride, self.padding)
    }

    /// The adjoint of the convolution without its bias: what a gradient y by its results, batch x outputs x height x width, is by maps of
    /// `size` that it was made of. An ordinary function of y and the weights, with gradients of its own.
    ///
    /// # Panics
    /// If y has another number of channels or is not what maps of that size become.
    pub fn adjoint(&self, y: Tensor<4>, size: [usize; 2]) -> Tensor<4> {
        let weight = self.weight.val();
        let bias = Tensor::zeros([weight.dims()[1]], (&weight.device(), weight.dtype()));
        convolve_transposed(y, weight, bias, size, self.stride, self.padding)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_gradients, close, double, random, values, weighted};
    use burn::module::Param;

    #[test]
    fn a_kernel_of_ones_sums_its_window() {
        let init = double();
        let x = init.of((1..=9).map(|value| value as f32).collect(), [1, 1, 3, 3]).val();
        let ones = || Conv::of(init.constant(1.0, [1, 1, 2, 2]), init.constant(0.5, [1]));
        assert_eq!(values(ones().unpadded().forward(x.clone())), [12.5, 16.5, 24.5, 28.5]);
        assert_eq!(values(ones().with_stride(2).forward(x.clone())), [1.5, 5.5, 11.5, 28.5]);
        let without = ones().without_bias(&init).with_stride(2).with_padding(1);
        assert_eq!(values(without.forward(x)), [1.0, 5.0, 11.0, 28.0]);
        assert_eq!(crate::weights::trained_values(&without), 4);
    }

    #[test]
    fn gradients_are_the_slopes() {
        let mut init = double();
        let conv = Conv::new(2, 3, 4, &mut init).with_stride(2).with_padding(1);
        let bare = Conv::new(3, 2, 3, &mut init).without_bias(&init);
        let x = Param::from_tensor(random([2, 2, 6, 5], 1));
        check_gradients((conv, bare, x), |(conv, bare, x)| weighted(bare.forward(conv.forward(x.val()))));
    }

    #[test]
    fn the_adjoint_moves_a_product_to_the_other_side() {
        for (kernel, stride, padding, size) in [
            (4, 2, 1, [8, 6]),
            (4, 2, 4, [8, 8]),
            (3, 1, 1, [5, 4]),
            (1, 1, 0, [3, 4]),
            (4, 2, 1, [7, 9]),
            (4, 1, 0, [4, 4]),
        ] {
            let mut init = double();
            let conv = Conv::new(3, 5, kernel, &mut init).with_stride(stride).with_padding(padding);
            let conv = conv.without_bias(&init);
            let x = random([2, 3, size[0], size[1]], 1);
            let there = conv.forward(x.clone());
            let y = random(there.dims(), 2);
            let back = conv.adjoint(y.clone(), size);
            close(
                &values((there.clone() * y.clone()).sum()),
                &values((x.clone() * back.clone()).sum()),
                1e-10,
            );
            // It is the gradient.
            let gradients = (there * y.detach()).sum().backward();
            close(&values(back), &values(x.grad(&gradients).unwrap()), 1e-12);
        }
    }

    #[test]
    fn gradients_of_the_adjoint_are_the_slopes() {
        let conv = Conv::new(2, 3, 4, &mut double()).with_stride(2).with_padding(1);
        let y = Param::from_tensor(random([2, 3, 3, 2], 1));
        // A bias has no part in it.
        let conv = conv.without_bias(&double());
        check_gradients((conv, y), |(conv, y)| weighted(conv.adjoint(y.val(), [7, 4])));
    }
}
