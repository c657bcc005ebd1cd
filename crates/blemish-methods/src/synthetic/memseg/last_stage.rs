//! What lies deeper than the frozen part: trained, from stride 16 to stride 32.

use crate::shared::encoder::Encoder;
use blemish_core::error::Error;
use blemish_features::Backbone;
use blemish_nn::init::Init;
use blemish_nn::layers::{Phase, ResidualBlock};
use blemish_nn::{Module, Tensor};

/// The last stage of the encoder.
#[derive(Module, Debug)]
pub(super) enum LastStage {
    /// Two residual blocks, as the last stage of ResNet-18, from random weights.
    Own(Vec<ResidualBlock>),
    /// The backbone's own layers from its deepest frozen layer to a layer of twice the stride, from the backbone's weights.
    Backbone(Encoder),
}

impl LastStage {
    /// Two residual blocks of twice the channels and half the size.
    pub(super) fn own(channels: usize, init: &mut Init) -> Self {
        let outputs = 2 * channels;
        Self::Own(vec![
            ResidualBlock::new(channels, outputs, 2, init),
            ResidualBlock::new(outputs, outputs, 1, init),
        ])
    }

    /// The layers between the last two taps of a backbone, which there must be.
    ///
    /// # Errors
    /// [`Error::Features`] for a network that cannot be trained, or whose last layer needs more than the one before.
    pub(super) fn of_backbone(backbone: &Backbone, init: &Init) -> Result<Self, Error> {
        Ok(Self::Backbone(Encoder::behind(backbone, init)?))
    }

    /// Maps of the deepest level to those at twice the stride.
    pub(super) fn forward(&self, x: Tensor<4>, phase: Phase) -> Tensor<4> {
        match self {
            Self::Own(blocks) => blocks.iter().fold(x, |x, block| block.forward(x, phase)),
            Self::Backbone(encoder) => encoder.forward(x.clone()).pop().unwrap_or(x),
        }
    }
}
