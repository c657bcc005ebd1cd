//! The residual block of diffusion networks: it knows the time, and may halve or double the map.

use super::along::along_images;
use super::conv::Conv;
use super::dense::Dense;
use super::dropout::Dropout;
use super::group_norm::GroupNorm;
use super::pooling::{Window, average_pool};
use super::resize::{Interpolation, upsample};
use crate::init::Init;
use burn::module::Module;
use burn::tensor::Tensor;

/// What a block does to the size of its map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scaling {
    /// Nothing.
    Same,
    /// Means of 2 x 2 values.
    Halved,
    /// Every value 2 x 2 times.
    Doubled,
}

impl Scaling {
    fn apply(self, x: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Same => x,
            Self::Halved => average_pool(x, Window::tiles(2)),
            Self::Doubled => upsample(x, 2, Interpolation::Nearest),
        }
    }
}

/// y = skip(x) + conv(dropout(silu(norm(conv(scale(silu(norm(x)))) + time)))), both convolutions 3x3 (Dhariwal and Nichol 2021).
///
/// The time is a value of every channel, a linear layer of the embedded time. The skip scales as well, and is a 1x1 convolution where the
/// channels change. The second convolution starts at zero.
#[derive(Module, Debug)]
pub struct TimedResidual {
    /// Before the first convolution.
    pub first_norm: GroupNorm,
    /// Changes the number of channels.
    pub first: Conv,
    /// Of the embedded time.
    pub time: Dense,
    /// Before the second convolution.
    pub second_norm: GroupNorm,
    /// Starts at zero.
    pub second: Conv,
    /// Of x, where the channels change.
    pub skip: Option<Conv>,
    #[module(skip)]
    scaling: Scaling,
}

impl TimedResidual {
    /// Of `inputs` to `outputs` channels, for times embedded in `time` values; normalised in `groups` groups or fewer, see
    /// [`GroupNorm::at_most`].
    pub fn new(
        [inputs, outputs]: [usize; 2],
        time: usize,
        groups: usize,
        scaling: Scaling,
        init: &mut Init,
    ) -> Self {
        Self {
            first_norm: GroupNorm::at_most(groups, inputs, init),
            first: Conv::new(inputs, outputs, 3, init),
            time: Dense::new(time, outputs, init),
            second_norm: GroupNorm::at_most(groups, outputs, init),
            second: Conv::zero(outputs, outputs, 3, init),
            skip: (inputs != outputs).then(|| Conv::new(inputs, outputs, 1, init)),
            scaling,
        }
    }

    /// What the time adds to every channel, times x outputs, for embedded times after their activation, times x values.
    pub fn shift(&self, time: Tensor<2>) -> Tensor<2> {
        self.time.rows(time)
    }

    /// y for x, batch x inputs x height x width, and `shift`, batch or 1 x outputs; without a dropout nothing is dropped.
    ///
    /// # Panics
    /// If the shapes do not fit each other.
    pub fn forward(&self, x: Tensor<4>, shift: Tensor<2>, dropout: Option<&mut Dropout>) -> Tensor<4> {
        let h = self.scaling.apply(self.first_norm.forward_silu(x.clone()));
        let h = self.first.forward(h) + along_images(shift);
        let h = self.second_norm.forward_silu(h);
        let h = match dropout {
            Some(dropout) => dropout.apply(h),
            None => h,
        };
        let x = self.scaling.apply(x);
        let x = match &self.skip {
            Some(skip) => skip.forward(x),
            None => x,
        };
        x + self.second.forward(h)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_gradients, close, double, random, values, weighted};
    use burn::module::Param;

    #[test]
    fn it_starts_as_its_skip() {
        let mut init = double();
        let x = random([1, 4, 2, 2], 1);
        let shift = || random([1, 4], 2);
        let block = |scaling, init: &mut Init| TimedResidual::new([4, 4], 3, 2, scaling, init);
        assert_eq!(
            values(block(Scaling::Same, &mut init).forward(x.clone(), shift(), None)),
            values(x.clone())
        );
        let halved = block(Scaling::Halved, &mut init).forward(x.clone(), shift(), None);
        close(&values(halved), &values(x.clone().mean_dim(3).mean_dim(2)), 1e-12);
        let doubled = values(block(Scaling::Doubled, &mut init).forward(x.clone(), shift(), None));
        let first = values(x)[0];
        assert_eq!([doubled[0], doubled[1], doubled[4], doubled[5]], [first; 4]);
    }

    #[test]
    fn gradients_are_the_slopes() {
        for scaling in [Scaling::Same, Scaling::Halved, Scaling::Doubled] {
            let mut init = double();
            let mut block = TimedResidual::new([4, 6], 3, 2, scaling, &mut init);
            block.second = Conv::new(6, 6, 3, &mut init);
            let (x, time) = (random([2, 4, 4, 2], 5), random([2, 3], 6));
            let (x, time) = (Param::from_tensor(x), Param::from_tensor(time));
            check_gradients((block, x, time), |(block, x, time)| {
                weighted(block.forward(x.val(), block.shift(time.val()), Some(&mut Dropout::new(0.3, 1))))
            });
        }
    }
}
