//! Transposed convolution.

use crate::init::Init;
use blemish_ops::convolve_transposed;
use burn::module::{Module, Param};
use burn::tensor::Tensor;

/// The adjoint of a convolution, which enlarges maps.
///
/// y(o, s i + u - p, s j + v - p) is b(o) + the sum over all c, i, j, u, v that lead there of W(c, o, u, v) x(c, i, j). Of height x width
/// it makes (height - 1) s - 2 p + kernel + q rows, q the output padding, and as many columns.
#[derive(Module, Debug)]
pub struct TransposedConv {
    /// Inputs x outputs x kernel x kernel.
    pub weight: Param<Tensor<4>>,
    /// Outputs.
    pub bias: Param<Tensor<1>>,
    stride: usize,
    padding: usize,
    output_padding: usize,
}

impl TransposedConv {
    /// Uniform within 1 / sqrt(outputs * kernel^2), weights and bias, as PyTorch does; without padding.
    pub fn new(inputs: usize, outputs: usize, kernel: usize, stride: usize, init: &mut Init) -> Self {
        let bound = 1.0 / ((outputs * kernel * kernel) as f32).sqrt();
        let weight = init.uniform(bound, [inputs, outputs, kernel, kernel]);
        Self::of(weight, init.uniform(bound, [outputs]), stride)
    }

    /// Of given weights, inputs x outputs x kernel x kernel, and bias.
    pub fn of(weight: Param<Tensor<4>>, bias: Param<Tensor<1>>, stride: usize) -> Self {
        Self { weight, bias, stride, padding: 0, output_padding: 0 }
    }

    /// Leaves out rows and columns on each side of the result.
    pub fn with_padding(self, padding: usize) -> Self {
        Self { padding, ..self }
    }

    /// Adds rows and columns at the end of the result; fewer than the stride.
    pub fn with_output_padding(self, output_padding: usize) -> Self {
        Self { output_padding, ..self }
    }

    /// s.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// p.
    pub fn padding(&self) -> usize {
        self.padding
    }

    /// q.
    pub fn output_padding(&self) -> usize {
        self.output_padding
    }

    /// Without a bias: it is 0 and not trained.
    pub fn without_bias(self, init: &Init) -> Self {
        let bias = init.constant(0.0, self.bias.dims()).set_require_grad(false);
        Self { bias, ..self }
    }

    /// y for x, batch x inputs x height x width.
    ///
    /// # Panics
    /// If x has another number of channels, the padding leaves nothing, or the output padding is not below the stride.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let Self { stride, padding, output_padding, .. } = *self;
        assert!(output_padding < stride, "an output padding as large as the stride of {stride}");
        let kernel = self.weight.dims()[2];
        let [_, _, height, width] = x.dims();
        let size = |side: usize| ((side - 1) * stride + kernel + output_padding).saturating_sub(2 * padding);
        let [rows, columns] = [size(height), size(width)];
        assert!(rows > 0 && columns > 0, "a padding of {padding} leaves nothing of a transposed convolution");
        convolve_transposed(x, self.weight.val(), self.bias.val(), [rows, columns], stride, padding)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_gradients, close, double, random, threads_agree, values, weighted};
    use burn::module::Param;
    use burn::tensor::module::conv_transpose2d;
    use burn::tensor::ops::ConvTransposeOptions;

    #[test]
    fn one_value_spreads_its_kernel() {
        let init = double();
        let x = init.of(vec![2.0, 0.0, 0.0, 1.0], [1, 1, 2, 2]).val();
        let weight = init.of((1..=9).map(|value| value as f32).collect(), [1, 1, 3, 3]);
        let layer = TransposedConv::of(weight, init.constant(0.5, [1]), 2).with_padding(1);
        // Outputs at (0, 0) of x's first value meet the kernel's centre, and so on.
        assert_eq!(values(layer.forward(x)), [10.5, 12.5, 0.5, 16.5, 19.5, 2.5, 0.5, 4.5, 5.5]);
    }

    #[test]
    fn results_and_gradients_equal_burns_own() {
        for (kernel, stride, padding, output_padding) in
            [(4, 2, 1, 0), (3, 2, 1, 1), (4, 1, 0, 0), (3, 1, 1, 0), (5, 3, 1, 2), (2, 3, 0, 1), (4, 2, 0, 1)]
        {
            let x = random([2, 3, 4, 5], 1);
            let mut init = double();
            let layer = TransposedConv::new(3, 2, kernel, stride, &mut init);
            let layer = layer.with_padding(padding).with_output_padding(output_padding);
            let options =
                ConvTransposeOptions::new([stride; 2], [padding; 2], [output_padding; 2], [1; 2], 1);
            let theirs = conv_transpose2d(x.clone(), layer.weight.val(), Some(layer.bias.val()), options);
            let ours = layer.forward(x.clone());
            assert_eq!(ours.dims(), theirs.dims(), "kernel {kernel}, stride {stride}");
            close(&values(ours.clone()), &values(theirs.clone()), 1e-12);
            let [ours, theirs] = [ours, theirs].map(|out| {
                let gradients = weighted(out).backward();
                [values(x.grad(&gradients).unwrap()), values(layer.weight.val().grad(&gradients).unwrap())]
            });
            close(&ours.concat(), &theirs.concat(), 1e-11);
        }
    }

    #[test]
    fn gradients_are_the_slopes() {
        let mut init = double();
        let first = TransposedConv::new(3, 2, 4, 2, &mut init).with_padding(1).without_bias(&init);
        let second = TransposedConv::new(2, 2, 3, 2, &mut init).with_padding(1).with_output_padding(1);
        let x = Param::from_tensor(random([2, 3, 2, 3], 1));
        check_gradients((first, second, x), |(first, second, x)| {
            weighted(second.forward(first.forward(x.val())))
        });
    }

    #[test]
    fn threads_do_not_change_a_bit() {
        threads_agree([3, 8, 17, 19], |x, init| {
            TransposedConv::new(8, 6, 4, 2, init).with_padding(1).forward(x)
        });
    }
}
