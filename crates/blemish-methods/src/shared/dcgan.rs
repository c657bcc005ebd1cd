//! Encoder and decoder in the manner of DCGAN (Radford et al., arXiv 1511.06434), as GANomaly has them: 4x4 kernels of stride 2 lead from an
//! image of S x S to a map of 4 x 4 and back, one more of stride 1 to a vector.
//!
//! All convolutions without bias; weights start normal with deviation 0.02, gains of batch normalisation normal around 1.

use blemish_nn::init::Init;
use blemish_nn::layers::{
    Activation, BatchNorm2d, Conv, ConvUnit, GroupNorm, Norm, NormKind, Phase, Sspcab, SspcabOptions, Start,
    Strided, TransposedConv,
};
use blemish_nn::{Module, Tensor};

/// Deviation of weights and gains at the start.
const DEVIATION: f32 = 0.02;

/// Side of the map between the convolutions and the vector.
const SMALLEST: usize = 4;

/// Where the largest image ends that anyone could train on.
const LARGEST: usize = 1024;

/// Channels of an image.
const COLOURS: usize = 3;

/// The activation in encoders and discriminators.
const LEAKY: Activation = Activation::LeakyRelu(0.2);

/// What the networks for an image size have in common.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Plan {
    /// S, a power of two of 16 at least.
    pub(crate) side: usize,
    /// n: channels at half the side; twice as many at every further halving.
    pub(crate) width: usize,
    /// The most channels there may be.
    pub(crate) widest: usize,
    /// Length of the vector.
    pub(crate) latent: usize,
    /// Convolutions of 3x3 at half the side.
    pub(crate) extra: usize,
    /// What follows them in a decoder; LeakyReLU in an encoder.
    pub(crate) after_extra: Activation,
    /// Rows and columns of zeros around an image, 1 but for anomalib's 4.
    pub(crate) padding: usize,
    /// Whether the last hidden convolution of the decoder is an SSPCAB.
    pub(crate) sspcab: bool,
}

impl Plan {
    /// Halvings from the image to the map of 4 x 4.
    fn levels(&self) -> usize {
        (self.side / SMALLEST).ilog2() as usize
    }

    /// Channels after so many further halvings.
    fn channels(&self, level: usize) -> usize {
        self.width.saturating_mul(1 << level).min(self.widest)
    }

    /// Channels of the map of 4 x 4.
    fn deepest(&self) -> usize {
        self.channels(self.levels() - 1)
    }

    /// Multiply-adds of an encoder or a decoder for one image.
    pub(crate) fn work(&self) -> f64 {
        let level = |level: usize| {
            let positions = (self.side >> (level + 1)).pow(2) as f64;
            let inputs = if level == 0 { COLOURS } else { self.channels(level - 1) };
            let extra = if level == 0 { 9 * self.extra * self.channels(0) } else { 0 };
            positions * ((16 * inputs + extra) * self.channels(level)) as f64
        };
        let head = (SMALLEST * SMALLEST * self.deepest() * self.latent) as f64;
        (0..self.levels()).map(level).sum::<f64>() + head
    }

    /// Values that an encoder or a decoder keeps of one image for its gradients: each unit's convolution, normalisation, activation.
    pub(crate) fn kept(&self) -> usize {
        let level = |level: usize| {
            let side = self.side >> (level + 1);
            let units = if level == 0 { 1 + self.extra } else { 1 };
            3 * units * side * side * self.channels(level)
        };
        (0..self.levels()).map(level).sum::<usize>() + COLOURS * self.side * self.side
    }
}

/// The side of images that such networks can be for.
///
/// # Errors
/// Words that say what to change.
pub(crate) fn side_of((height, width): (usize, usize)) -> Result<usize, String> {
    if height == width && height.is_power_of_two() && (4 * SMALLEST..=LARGEST).contains(&height) {
        return Ok(height);
    }
    Err(format!(
        "images of {width}x{height} cannot be halved down to {SMALLEST}x{SMALLEST}; resize them to squares whose side is a power of two from \
         {} to {LARGEST}",
        4 * SMALLEST
    ))
}

/// Checks that images have the side of those a model was fitted on.
///
/// # Errors
/// Words that name both.
pub(crate) fn check_side(side: usize, (height, width): (usize, usize)) -> Result<(), String> {
    if (height, width) == (side, side) {
        return Ok(());
    }
    Err(format!("the model is for images of {side}x{side}, these have {width}x{height}"))
}

/// Normalisation inside an encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EncoderNorm {
    /// Over the batch.
    Batch,
    /// Over all values of an image, with a scale and a shift for each channel.
    Image,
}

impl EncoderNorm {
    fn layer(self, channels: usize, init: &mut Init) -> Norm {
        match self {
            Self::Batch => Norm::Batch(BatchNorm2d::new(channels, init).with_normal_gain(DEVIATION, init)),
            Self::Image => Norm::Group(GroupNorm::new(1, channels, init)),
        }
    }
}

/// From an image to a vector, or to one value: a discriminator.
#[derive(Module, Debug)]
pub(crate) struct Encoder {
    /// Down to the map of 4 x 4.
    pub(crate) units: Vec<ConvUnit>,
    /// From that map to the vector.
    pub(crate) head: Conv,
}

impl Encoder {
    /// To a vector of `outputs` values.
    pub(crate) fn new(plan: &Plan, outputs: usize, norm: EncoderNorm, init: &mut Init) -> Self {
        let width = plan.channels(0);
        let first = Conv::normal(COLOURS, width, 4, DEVIATION, init).with_stride(2);
        let first = first.with_padding(plan.padding).without_bias(init);
        let mut units = vec![ConvUnit::plain(first, LEAKY)];
        for _ in 0..plan.extra {
            let conv = Conv::normal(width, width, 3, DEVIATION, init).without_bias(init).into();
            units.push(ConvUnit { conv, norm: Some(norm.layer(width, init)), activation: LEAKY });
        }
        let strided = Strided { norm: Some(NormKind::Batch), activation: LEAKY, start: Start::Dcgan };
        for level in 1..plan.levels() {
            let (inputs, outputs) = (plan.channels(level - 1), plan.channels(level));
            let mut unit = strided.down(inputs, outputs, init);
            if norm == EncoderNorm::Image {
                unit.norm = Some(norm.layer(outputs, init));
            }
            units.push(unit);
        }
        let head = Conv::normal(plan.deepest(), outputs, SMALLEST, DEVIATION, init);
        Self { units, head: head.unpadded().without_bias(init) }
    }

    /// The map of 4 x 4: batch x channels x 4 x 4.
    pub(crate) fn features(&self, x: Tensor<4>, phase: Phase) -> Tensor<4> {
        self.units.iter().fold(x, |x, unit| unit.forward(x, phase))
    }

    /// The vectors of such maps, batch x outputs x 1 x 1.
    pub(crate) fn conclude(&self, features: Tensor<4>) -> Tensor<4> {
        self.head.forward(features)
    }

    /// The vectors of images, batch x outputs x 1 x 1.
    pub(crate) fn forward(&self, x: Tensor<4>, phase: Phase) -> Tensor<4> {
        self.conclude(self.features(x, phase))
    }
}

/// From a vector to an image between -1 and 1.
#[derive(Module, Debug)]
pub(crate) struct Decoder {
    pub(crate) units: Vec<ConvUnit>,
    /// In the place of the last hidden convolution, with what follows it.
    pub(crate) block: Option<Predictor>,
    pub(crate) last: TransposedConv,
}

/// SSPCAB, normalisation, activation.
#[derive(Module, Debug)]
pub(crate) struct Predictor {
    pub(crate) block: Sspcab,
    pub(crate) norm: BatchNorm2d,
    #[module(skip)]
    pub(crate) activation: Activation,
}

impl Decoder {
    /// Mirrors the encoder of a plan.
    pub(crate) fn new(plan: &Plan, init: &mut Init) -> Self {
        let relu = Activation::Relu;
        let deepest = plan.deepest();
        let weight = init.normal(DEVIATION, [plan.latent, deepest, SMALLEST, SMALLEST]);
        let first = TransposedConv::of(weight, init.constant(0.0, [deepest]), 1).without_bias(init);
        let norm = Some(EncoderNorm::Batch.layer(deepest, init));
        let mut units = vec![ConvUnit { conv: first.into(), norm, activation: relu }];
        let strided = Strided { norm: Some(NormKind::Batch), activation: relu, start: Start::Dcgan };
        for level in (1..plan.levels()).rev() {
            units.push(strided.up(plan.channels(level), plan.channels(level - 1), init));
        }
        let width = plan.channels(0);
        let plain = if plan.sspcab { plan.extra.saturating_sub(1) } else { plan.extra };
        for _ in 0..plain {
            let conv = Conv::normal(width, width, 3, DEVIATION, init).without_bias(init).into();
            let norm = Some(EncoderNorm::Batch.layer(width, init));
            units.push(ConvUnit { conv, norm, activation: plan.after_extra });
        }
        let block = plan.sspcab.then(|| {
            let options = SspcabOptions { reduction: width.min(8), ..SspcabOptions::default() };
            Predictor {
                block: Sspcab::new(width, options, init),
                norm: BatchNorm2d::new(width, init).with_normal_gain(DEVIATION, init),
                activation: plan.after_extra,
            }
        });
        let weight = init.normal(DEVIATION, [width, COLOURS, 4, 4]);
        let last = TransposedConv::of(weight, init.constant(0.0, [COLOURS]), 2).with_padding(1);
        Self { units, block, last: last.without_bias(init) }
    }

    /// Images of vectors, batch x latent x 1 x 1, and the loss of the SSPCAB where there is one.
    pub(crate) fn forward_with_loss(&self, z: Tensor<4>, phase: Phase) -> (Tensor<4>, Option<Tensor<1>>) {
        let x = self.units.iter().fold(z, |x, unit| unit.forward(x, phase));
        let (x, loss) = match &self.block {
            None => (x, None),
            Some(Predictor { block, norm, activation }) => {
                let (predicted, loss) = block.forward_with_loss(x);
                (activation.forward(norm.forward(predicted, phase)), Some(loss))
            }
        };
        (self.last.forward(x).tanh(), loss)
    }

    /// Images of vectors, batch x latent x 1 x 1.
    pub(crate) fn forward(&self, z: Tensor<4>, phase: Phase) -> Tensor<4> {
        self.forward_with_loss(z, phase).0
    }
}
