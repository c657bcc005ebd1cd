//! Encoder and decoder.

use super::config::{Latent as Kind, Normalisation, VaeConfig};
use blemish_nn::init::{Init, he};
use blemish_nn::layers::{
    Activation, Conv, ConvUnit, Dense, Interpolation, Norm, NormKind, Phase, Sspcab, SspcabOptions, Start,
    Strided, upsample,
};
use blemish_nn::weights;
use blemish_nn::{Module, Tensor};

/// Most channels of a block.
const MOST_CHANNELS: usize = 512;

/// Side of the encoder's last maps, with a latent vector and with a latent map.
const LAST_SIDES: [usize; 2] = [4, 8];

/// Bias of the logarithms of variances at the start: little noise.
const FIRST_LOG_VARIANCE: f32 = -2.0;

/// Bounds of the logarithms of variances, outside of which exp may overflow or say nothing.
pub(super) const LOG_VARIANCES: [f64; 2] = [-10.0, 4.0];

/// What an encoder says of images: for each the mean m and the logarithm l of the variance of every latent value.
#[derive(Clone)]
pub(crate) struct Posterior {
    /// Batch x latent values.
    pub(crate) mean: Tensor<2>,
    /// Batch x latent values, in [-10, 4].
    pub(crate) log_variance: Tensor<2>,
}

impl Posterior {
    /// z = m + exp(l / 2) e for standard normal e, batch x latent values.
    pub(crate) fn draw(&self, noise: Tensor<2>) -> Tensor<2> {
        self.mean.clone() + (self.log_variance.clone() * 0.5).exp() * noise
    }
}

/// Encoder and decoder with a Gaussian latent between them.
///
/// The encoder's blocks halve the image down to 4 x 4 positions (8 x 8 for a latent map), the decoder's double it again.
#[derive(Module, Debug)]
pub(crate) struct Network {
    pub(super) encoder: Vec<ConvUnit>,
    pub(super) latent: Latent,
    pub(super) decoder: Vec<ConvUnit>,
    /// In the place of the decoder's last hidden block, where there is one.
    pub(super) block: Option<Predicted>,
    /// To the logits of red, green and blue.
    pub(super) last: ConvUnit,
}

#[derive(Module, Debug)]
pub(super) enum Latent {
    Vector(VectorLatent),
    Spatial(SpatialLatent),
}

/// A block that is predicted from around instead of a transposed convolution, with the normalisation and activation of that.
///
/// It keeps number and size of the maps, so they are doubled after it, by repeating values, and the last convolution takes its channels.
#[derive(Module, Debug)]
pub(super) struct Predicted {
    pub(super) block: Sspcab,
    pub(super) norm: Norm,
}

/// Linear layers between the last maps, taken as one vector, and the latent vector.
#[derive(Module, Debug)]
pub(super) struct VectorLatent {
    pub(super) mean: Dense,
    pub(super) log_variance: Dense,
    pub(super) expand: Dense,
    pub(super) channels: usize,
    pub(super) side: usize,
}

/// The same at every position, by convolutions of 1x1.
#[derive(Module, Debug)]
pub(super) struct SpatialLatent {
    pub(super) mean: Conv,
    pub(super) log_variance: Conv,
    pub(super) expand: Conv,
    pub(super) side: usize,
}

impl weights::Network for Network {}

/// Channels of the encoder's blocks for images of a side.
fn channels(config: &VaeConfig, side: usize) -> Vec<usize> {
    let last = LAST_SIDES[usize::from(config.latent == Kind::Spatial)].min(side / 2).max(1);
    let blocks = (side / last).ilog2();
    (0..blocks).map(|block| (config.base << block).min(MOST_CHANNELS)).collect()
}

impl Network {
    /// For images of side x side pixels, a power of two.
    pub(crate) fn new(config: &VaeConfig, init: &mut Init) -> Self {
        let norm = match config.norm {
            Some(Normalisation::Group) => NormKind::Group,
            _ => NormKind::Batch,
        };
        let down = Strided { norm: Some(norm), activation: Activation::LeakyRelu(0.2), start: Start::He };
        let up = Strided { activation: Activation::Relu, ..down };
        let channels = channels(config, config.size);
        let side = config.size >> channels.len();
        let inputs = [&[3], &channels[..]].concat();
        let encoder = inputs.windows(2).map(|pair| down.down(pair[0], pair[1], init)).collect();
        let deepest = channels.last().copied().unwrap_or(3);
        let latent = match config.latent {
            Kind::Vector => Latent::Vector(VectorLatent::new(deepest, side, config.dimensions(), init)),
            Kind::Spatial => Latent::Spatial(SpatialLatent::new(deepest, side, config.dimensions(), init)),
        };
        let reversed: Vec<usize> = channels.iter().rev().copied().collect();
        let mut decoder: Vec<ConvUnit> =
            reversed.windows(2).map(|pair| up.up(pair[0], pair[1], init)).collect();
        let mut first = channels.first().copied().unwrap_or(3);
        let block = (config.sspcab && decoder.pop().is_some()).then(|| {
            first = channels[1];
            let block = Sspcab::new(first, SspcabOptions::default(), init);
            Predicted { block, norm: norm.layer(first, init) }
        });
        let last = Strided { norm: None, activation: Activation::Identity, ..up }.up(first, 3, init);
        Self { encoder, latent, decoder, block, last }
    }

    /// Latent values of an image.
    pub(crate) fn latent_values(&self) -> usize {
        match &self.latent {
            Latent::Vector(latent) => latent.mean.bias.dims()[0],
            Latent::Spatial(latent) => latent.mean.bias.dims()[0] * latent.side * latent.side,
        }
    }

    /// What the encoder says of images, batch x 3 x side x side in [0, 1].
    pub(crate) fn encode(&self, images: Tensor<4>, phase: Phase) -> Posterior {
        let x = self.encoder.iter().fold(images, |x, unit| unit.forward(x, phase));
        let (mean, log_variance) = match &self.latent {
            Latent::Vector(latent) => latent.encode(x),
            Latent::Spatial(latent) => latent.encode(x),
        };
        let [low, high] = LOG_VARIANCES;
        Posterior { mean, log_variance: log_variance.clamp(low, high) }
    }

    /// The logits of an image's values, batch x 3 x side x side, from its latent values.
    pub(crate) fn decode(&self, z: Tensor<2>, phase: Phase) -> Tensor<4> {
        self.decode_with_loss(z, phase).0
    }

    /// The same, and the loss of the block that is predicted from around, where there is one.
    pub(crate) fn decode_with_loss(&self, z: Tensor<2>, phase: Phase) -> (Tensor<4>, Option<Tensor<1>>) {
        let x = match &self.latent {
            Latent::Vector(latent) => latent.decode(z),
            Latent::Spatial(latent) => latent.decode(z),
        };
        let x = self.decoder.iter().fold(x, |x, unit| unit.forward(x, phase));
        let (x, loss) = match &self.block {
            Some(predicted) => {
                let (x, loss) = predicted.block.forward_with_loss(x);
                let x = Activation::Relu.forward(predicted.norm.forward(x, phase));
                (upsample(x, 2, Interpolation::Nearest), Some(loss))
            }
            None => (x, None),
        };
        (self.last.forward(x, phase), loss)
    }

    /// The reconstruction by the latent's mean, in scoring.
    pub(crate) fn reconstruct(&self, images: Tensor<4>) -> Tensor<4> {
        let mean = self.encode(images, Phase::Scoring).mean;
        Activation::Sigmoid.forward(self.decode(mean, Phase::Scoring))
    }
}

impl VectorLatent {
    fn new(channels: usize, side: usize, dimensions: usize, init: &mut Init) -> Self {
        let values = channels * side * side;
        let log_variance = Dense {
            weight: init.constant(0.0, [values, dimensions]),
            bias: init.constant(FIRST_LOG_VARIANCE, [dimensions]),
        };
        let mean = Dense::xavier(values, dimensions, init);
        Self { mean, log_variance, expand: Dense::xavier(dimensions, values, init), channels, side }
    }

    fn encode(&self, x: Tensor<4>) -> (Tensor<2>, Tensor<2>) {
        let [batch, channels, height, width] = x.dims();
        let x = x.reshape([batch, channels * height * width]);
        (self.mean.rows(x.clone()), self.log_variance.rows(x))
    }

    fn decode(&self, z: Tensor<2>) -> Tensor<4> {
        let batch = z.dims()[0];
        self.expand.rows(z).reshape([batch, self.channels, self.side, self.side])
    }
}

impl SpatialLatent {
    fn new(channels: usize, side: usize, dimensions: usize, init: &mut Init) -> Self {
        let log_variance = Conv::of(
            init.constant(0.0, [dimensions, channels, 1, 1]),
            init.constant(FIRST_LOG_VARIANCE, [dimensions]),
        );
        let mean = Conv::normal(channels, dimensions, 1, he(channels), init);
        let expand = Conv::normal(dimensions, channels, 1, he(dimensions), init);
        Self { mean, log_variance, expand, side }
    }

    fn encode(&self, x: Tensor<4>) -> (Tensor<2>, Tensor<2>) {
        let flat = |map: Tensor<4>| {
            let [batch, channels, height, width] = map.dims();
            map.reshape([batch, channels * height * width])
        };
        (flat(self.mean.forward(x.clone())), flat(self.log_variance.forward(x)))
    }

    fn decode(&self, z: Tensor<2>) -> Tensor<4> {
        let [batch, values] = z.dims();
        let dimensions = values / (self.side * self.side);
        self.expand.forward(z.reshape([batch, dimensions, self.side, self.side]))
    }
}

/// Why no network can be made with these settings.
pub(crate) fn misfit(config: &VaeConfig) -> Option<(&'static str, &'static str, &'static str)> {
    if !config.size.is_power_of_two() {
        return Some(("size", "the encoder halves the side again and again", "set 32, 64, 128 or 256"));
    }
    let blocks = channels(config, config.size).len();
    if config.sspcab && (config.base < 4 || blocks < 3) {
        let help = "set base to 4 or more, and size to 64 or more with latent=spatial";
        return Some(("sspcab", "the block needs eight channels behind a hidden block", help));
    }
    None
}

/// Multiply-adds of a training step's forward pass, about.
pub(crate) fn multiply_adds(config: &VaeConfig) -> f64 {
    let channels = channels(config, config.size);
    let inputs = [&[3], &channels[..]].concat();
    let block = |(block, pair): (usize, &[usize])| {
        let side = (config.size >> (block + 1)) as f64;
        // The decoder's block of the same sides costs as much.
        2.0 * 16.0 * (pair[0] * pair[1]) as f64 * side * side
    };
    inputs.windows(2).enumerate().map(block).sum()
}
