//! Blocks that halve and double maps.

use super::activation::Activation;
use super::batch_norm::BatchNorm2d;
use super::conv::Conv;
use super::conv_unit::{ConvUnit, Convolution};
use super::norm::Norm;
use super::transposed_conv::TransposedConv;
use crate::init::{Init, he};

/// Side of the kernels.
const KERNEL: usize = 4;

/// What encoders and decoders in the manner of DCGAN are made of: convolutions of 4x4 with stride 2 and padding 1, plain ones that halve
/// height and width and transposed ones that double them, each with normalisation and activation (Radford et al., arXiv 1511.06434).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Strided {
    /// Between convolution and activation. The convolution has a bias where there is none.
    pub norm: Option<NormKind>,
    /// Last.
    pub activation: Activation,
    /// First values.
    pub start: Start,
}

/// Which normalisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormKind {
    /// See [`Norm::batch`].
    Batch,
    /// See [`Norm::group`].
    Group,
}

/// First values of weights; biases and shifts are 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// He's for the number of values that each output sums, gains of 1.
    He,
    /// DCGAN's: normal with deviation 0.02, gains of batch normalisation normal around 1 with the same deviation.
    Dcgan,
}

impl NormKind {
    /// A layer of this kind.
    pub fn layer(self, channels: usize, init: &Init) -> Norm {
        match self {
            Self::Batch => Norm::batch(channels, init),
            Self::Group => Norm::group(channels, init),
        }
    }
}

impl Strided {
    /// Halves maps: batch x inputs x 2 H x 2 W to batch x outputs x H x W.
    pub fn down(&self, inputs: usize, outputs: usize, init: &mut Init) -> ConvUnit {
        let deviation = self.deviation(inputs * KERNEL * KERNEL);
        let conv = Conv::normal(inputs, outputs, KERNEL, deviation, init).with_stride(2).with_padding(1);
        let conv = if self.norm.is_some() { conv.without_bias(init) } else { conv };
        self.unit(conv.into(), outputs, init)
    }

    /// Doubles maps: batch x inputs x H x W to batch x outputs x 2 H x 2 W.
    pub fn up(&self, inputs: usize, outputs: usize, init: &mut Init) -> ConvUnit {
        // Every output meets a quarter of the kernel.
        let deviation = self.deviation(inputs * KERNEL);
        let weight = init.normal(deviation, [inputs, outputs, KERNEL, KERNEL]);
        let conv = TransposedConv::of(weight, init.constant(0.0, [outputs]), 2).with_padding(1);
        let conv = if self.norm.is_some() { conv.without_bias(init) } else { conv };
        self.unit(conv.into(), outputs, init)
    }

    fn deviation(&self, summed: usize) -> f32 {
        match self.start {
            Start::He => he(summed),
            Start::Dcgan => 0.02,
        }
    }

    fn unit(&self, conv: Convolution, outputs: usize, init: &mut Init) -> ConvUnit {
        let norm = self.norm.map(|kind| match (kind, self.start) {
            (NormKind::Batch, Start::Dcgan) => {
                Norm::Batch(BatchNorm2d::new(outputs, init).with_normal_gain(0.02, init))
            }
            _ => kind.layer(outputs, init),
        });
        ConvUnit { conv, norm, activation: self.activation }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::Phase;
    use crate::testing::{check_gradients, double, random, values, weighted};
    use crate::weights::trained_values;
    use burn::module::Param;

    const DOWN: Strided =
        Strided { norm: Some(NormKind::Batch), activation: Activation::LeakyRelu(0.2), start: Start::He };
    const UP: Strided = Strided { activation: Activation::Relu, ..DOWN };

    #[test]
    fn sides_are_halved_and_doubled_and_only_blocks_without_norm_have_a_bias() {
        let mut init = double();
        let x = random([2, 3, 8, 12], 1);
        let down = DOWN.down(3, 5, &mut init);
        let up = Strided { norm: None, ..UP }.up(5, 2, &mut init);
        let y = down.forward(x, Phase::Training);
        assert_eq!(y.dims(), [2, 5, 4, 6]);
        assert_eq!(up.forward(y, Phase::Training).dims(), [2, 2, 8, 12]);
        assert_eq!(trained_values(&down), 3 * 5 * 16 + 2 * 5);
        assert_eq!(trained_values(&up), 5 * 2 * 16 + 2);
    }

    /// He's start keeps the mean square of rectified values from block to block, in either direction.
    #[test]
    fn the_first_values_keep_the_size_of_signals() {
        let mut init = double();
        let bare = Strided { norm: None, activation: Activation::Identity, start: Start::He };
        let square = |values: Vec<f64>| values.iter().map(|v| v * v).sum::<f64>() / values.len() as f64;
        // Rectified normal values have a mean square of a half, which He's factor makes up for.
        let x = Activation::Relu.forward(random([2, 64, 16, 16], 3));
        for unit in [bare.down(64, 32, &mut init), bare.up(64, 32, &mut init)] {
            let y = unit.forward(x.clone(), Phase::Training);
            // Without the border, which meets zeros.
            let [_, _, height, width] = y.dims();
            let inner = y.narrow(2, 1, height - 2).narrow(3, 1, width - 2);
            let found = square(values(inner));
            assert!((0.85..1.15).contains(&found), "{found}");
        }
        let dcgan = Strided { start: Start::Dcgan, ..DOWN }.down(32, 64, &mut init);
        let weights = crate::weights::collect(&dcgan);
        let spread = |name: &str, mean: f64| {
            let values = &weights.iter().find(|(found, _)| found.ends_with(name)).unwrap().1.1;
            square(values.iter().map(|&v| f64::from(v) - mean).collect()).sqrt()
        };
        assert!((spread("weight", 0.0) / 0.02 - 1.0).abs() < 0.05);
        assert!((spread("gain", 1.0) / 0.02 - 1.0).abs() < 0.3);
    }

    #[test]
    fn gradients_are_the_slopes_with_either_norm() {
        for norm in [NormKind::Batch, NormKind::Group] {
            let mut init = double();
            let down = Strided { norm: Some(norm), ..DOWN }.down(2, 3, &mut init);
            let up = Strided { norm: Some(norm), ..UP }.up(3, 2, &mut init);
            let x = Param::from_tensor(random([2, 2, 4, 4], 1));
            check_gradients((down, up, x), |(down, up, x)| {
                weighted(up.forward(down.forward(x.val(), Phase::Training), Phase::Training))
            });
        }
    }
}
