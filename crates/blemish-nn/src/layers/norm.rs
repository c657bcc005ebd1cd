//! Either normalisation of maps as one type.

use super::activation::Activation;
use super::batch_norm::BatchNorm2d;
use super::group_norm::GroupNorm;
use super::phase::Phase;
use crate::init::Init;
use burn::module::Module;
use burn::tensor::Tensor;

/// Channels that share a group where nothing else is said.
const GROUP: usize = 16;

/// What brings maps to mean 0 and variance 1 inside a network.
#[derive(Module, Debug)]
#[expect(clippy::large_enum_variant, reason = "a network holds few of them")]
pub enum Norm {
    /// Of a channel over the batch: for batches of about 16 images and more.
    Batch(BatchNorm2d),
    /// Of a group of channels of one image: for small batches.
    Group(GroupNorm),
}

impl Norm {
    /// Over the batch, see [`BatchNorm2d`].
    pub fn batch(channels: usize, init: &Init) -> Self {
        Self::Batch(BatchNorm2d::new(channels, init))
    }

    /// Over groups of 16 channels, of more where 16 do not divide them, see [`GroupNorm`].
    pub fn group(channels: usize, init: &Init) -> Self {
        let most = (channels / GROUP).max(1);
        let groups = (1..=most).rev().find(|&groups| channels.is_multiple_of(groups)).unwrap_or(1);
        Self::Group(GroupNorm::new(groups, channels, init))
    }

    /// y for x, batch x channels x height x width.
    ///
    /// # Panics
    /// As the two layers do.
    pub fn forward(&self, x: Tensor<4>, phase: Phase) -> Tensor<4> {
        match self {
            Self::Batch(norm) => norm.forward(x, phase),
            Self::Group(norm) => norm.forward(x),
        }
    }

    /// The same with an activation behind it.
    pub(super) fn forward_then(&self, x: Tensor<4>, phase: Phase, then: Activation) -> Tensor<4> {
        match self {
            Self::Batch(norm) => norm.forward_then(x, phase, then),
            Self::Group(norm) => then.forward(norm.forward(x)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{close, double, random, values};

    #[test]
    fn groups_have_sixteen_channels_or_the_next_number_that_divides_them() {
        let init = double();
        for (channels, groups) in [(64, 4), (16, 1), (8, 1), (24, 1), (40, 2)] {
            let x = random([2, channels, 3, 2], 1);
            let ours = Norm::group(channels, &init).forward(x.clone(), Phase::Training);
            let expected = GroupNorm::new(groups, channels, &init).forward(x);
            close(&values(ours), &values(expected), 0.0);
        }
    }
}
