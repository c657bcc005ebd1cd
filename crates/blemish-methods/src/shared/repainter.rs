//! The network that paints an image anew: encoder and decoder of DRAEM, with skips that of EdgRec.
//!
//! ```text
//! e1 c(in, w) c(w, w)           d4 up c(w, w) [+ e1] c(w, w) c(w, w) ─ out c(w, 3)
//! e2 pool c(w, 2w) c(2w, 2w)    d3 up c(2w, 2w) [+ e2] c(2w, 2w) c(2w, w)
//! e3 pool c(2w, 4w) c(4w, 4w)   d2 up c(4w, 4w) [+ e3] c(4w, 4w) c(4w, 2w)
//! e4 pool c(4w, 8w) c(8w, 8w)   d1 up c(8w, 8w) [+ e4] c(8w, 8w) c(8w, 4w)
//! e5 pool c(8w, 8w) c(8w, 8w)  ─┘
//! ```
//! c is a 3 x 3 convolution with bias, batch normalisation and ReLU; pool takes the largest of 2 x 2; up doubles by bilinear
//! interpolation with aligned corners. The last convolution has neither normalisation nor activation.

use blemish_nn::init::Init;
use blemish_nn::layers::{
    Activation, BatchNorm2d, Conv, Interpolation, Phase, Sspcab, SspcabOptions, Window, max_pool, upsample,
};
use blemish_nn::weights::Network;
use blemish_nn::{Module, Tensor};

/// Deviation of first weights, and of first scales from 1, in the released codes of DRAEM and EdgRec.
const DEVIATION: f32 = 0.02;

/// Times that the encoder halves an image.
pub(crate) const HALVINGS: usize = 4;

/// A 3 x 3 convolution with the first weights of the released codes: the bias is the framework's.
pub(crate) fn conv(inputs: usize, outputs: usize, init: &mut Init) -> Conv {
    let mut conv = Conv::new(inputs, outputs, 3, init);
    conv.weight = init.normal(DEVIATION, [outputs, inputs, 3, 3]);
    conv
}

/// c(inputs, outputs): convolution, batch normalisation, ReLU.
#[derive(Module, Debug)]
pub(crate) struct Unit {
    pub(crate) conv: Conv,
    pub(crate) norm: BatchNorm2d,
}

impl Unit {
    pub(crate) fn new(inputs: usize, outputs: usize, init: &mut Init) -> Self {
        let conv = conv(inputs, outputs, init);
        Self { conv, norm: BatchNorm2d::new(outputs, init).with_normal_gain(DEVIATION, init) }
    }

    pub(crate) fn forward(&self, x: Tensor<4>, phase: Phase) -> Tensor<4> {
        Activation::Relu.forward(self.norm.forward(self.conv.forward(x), phase))
    }
}

/// Two units, one after the other.
#[derive(Module, Debug)]
pub(crate) struct Pair {
    pub(crate) first: Unit,
    pub(crate) second: Unit,
}

impl Pair {
    pub(crate) fn new(inputs: usize, middle: usize, outputs: usize, init: &mut Init) -> Self {
        Self { first: Unit::new(inputs, middle, init), second: Unit::new(middle, outputs, init) }
    }

    pub(crate) fn forward(&self, x: Tensor<4>, phase: Phase) -> Tensor<4> {
        self.second.forward(self.first.forward(x, phase), phase)
    }
}

/// The stages of an encoder: all but the first begin with a pool.
#[derive(Module, Debug)]
pub(crate) struct Encoder {
    pub(crate) stages: Vec<Pair>,
    /// Instead of the last stage's convolutions.
    pub(crate) block: Option<Sspcab>,
}

impl Encoder {
    /// Stages from `inputs` channels to those given; with a block the last of them is one, which keeps the channels it meets.
    pub(crate) fn new(
        inputs: usize,
        channels: &[usize],
        block: Option<SspcabOptions>,
        init: &mut Init,
    ) -> Self {
        let before = std::iter::once(inputs).chain(channels.iter().copied());
        let ends: Vec<(usize, usize)> = before.zip(channels.iter().copied()).collect();
        let plain = ends.len() - usize::from(block.is_some());
        let stages = ends[..plain].iter().map(|&(from, to)| Pair::new(from, to, to, init)).collect();
        let last = ends[ends.len() - 1].1;
        Self { stages, block: block.map(|options| Sspcab::new(last, options, init)) }
    }

    /// What every stage gives, and what the block's predictions cost.
    pub(crate) fn forward(&self, mut x: Tensor<4>, phase: Phase) -> Seen {
        let mut skips = Vec::with_capacity(self.stages.len());
        for (number, stage) in self.stages.iter().enumerate() {
            if number > 0 {
                skips.push(x.clone());
                x = max_pool(x, Window::tiles(2));
            }
            x = stage.forward(x, phase);
        }
        let Some(block) = &self.block else { return Seen { skips, deepest: x, cost: None } };
        skips.push(x.clone());
        let (deepest, cost) = block.forward_with_loss(max_pool(x, Window::tiles(2)));
        Seen { skips, deepest, cost: Some(cost) }
    }
}

/// What an encoder sees.
pub(crate) struct Seen {
    /// Of all stages but the last, the largest first.
    pub(crate) skips: Vec<Tensor<4>>,
    /// Of the last stage.
    pub(crate) deepest: Tensor<4>,
    /// What the block's predictions cost, where there is a block.
    pub(crate) cost: Option<Tensor<1>>,
}

/// A stage of the decoder.
#[derive(Module, Debug)]
pub(crate) struct Rise {
    /// After the image is doubled.
    pub(crate) up: Unit,
    /// After the skip, if there is one.
    pub(crate) pair: Pair,
}

/// See the module.
#[derive(Module, Debug)]
pub(crate) struct Repainter {
    pub(crate) encoder: Encoder,
    pub(crate) rises: Vec<Rise>,
    pub(crate) out: Conv,
    /// Whether what the encoder saw is added in the decoder.
    pub(crate) skips: bool,
}

impl Network for Repainter {}

/// How to make a [`Repainter`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Channels of the input; it paints three.
    pub(crate) inputs: usize,
    /// w.
    pub(crate) width: usize,
    /// Whether what the encoder saw is added in the decoder.
    pub(crate) skips: bool,
    /// A block instead of the encoder's last stage.
    pub(crate) block: Option<SspcabOptions>,
}

impl Repainter {
    pub(crate) fn new(Shape { inputs, width, skips, block }: Shape, init: &mut Init) -> Self {
        let channels = [1, 2, 4, 8, 8].map(|times| times * width);
        let encoder = Encoder::new(inputs, &channels, block, init);
        let rise = |(at, out): (usize, usize)| {
            let up = Unit::new(at * width, at * width, init);
            Rise { up, pair: Pair::new(at * width, at * width, out * width, init) }
        };
        let rises = [(8, 4), (4, 2), (2, 1), (1, 1)].map(rise).into_iter().collect();
        Self { encoder, rises, out: conv(width, 3, init), skips }
    }

    /// The image painted anew, batch x 3 x height x width, and what the block's predictions cost.
    ///
    /// # Panics
    /// If x, batch x inputs x height x width, cannot be halved four times.
    pub(crate) fn forward(&self, x: Tensor<4>, phase: Phase) -> (Tensor<4>, Option<Tensor<1>>) {
        let Seen { mut skips, deepest, cost } = self.encoder.forward(x, phase);
        let painted = self.rises.iter().fold(deepest, |x, rise| {
            let x = rise.up.forward(upsample(x, 2, Interpolation::BilinearAligned), phase);
            let x = match skips.pop().filter(|_| self.skips) {
                Some(skip) => x + skip,
                None => x,
            };
            rise.pair.forward(x, phase)
        });
        (self.out.forward(painted), cost)
    }

    /// About how many values a training step keeps of an image of that many pixels: input, normalised and activated output of every unit.
    pub(crate) fn kept(width: usize, pixels: usize) -> usize {
        // Channels of what each stage's units see and give, by how often the image is halved; up, skip and pair on the way back.
        let per_stage = [2 + 3, 4 + 3 + 2, 8 + 6 + 4, 16 + 12 + 8, 16];
        let values =
            (0..).zip(per_stage).map(|(halved, channels)| (3 * channels * width * pixels) >> (2 * halved));
        values.sum()
    }

    /// Multiply-adds of a forward pass over an image of that many pixels.
    pub(crate) fn products(inputs: usize, width: usize, pixels: usize) -> f64 {
        let w = width as f64;
        // Products of channels in the convolutions of each size of image, in w^2.
        let by_size = [
            1.0 + 3.0,
            2.0 + 4.0 + 4.0 + 4.0 + 2.0,
            8.0 + 16.0 + 16.0 + 16.0 + 8.0,
            32.0 + 64.0 + 64.0 + 64.0 + 32.0,
            128.0,
        ];
        let squares: f64 = (0..).zip(by_size).map(|(halved, share)| share / 4f64.powi(halved)).sum();
        9.0 * pixels as f64 * (w * w * squares + w * (inputs + 3) as f64)
    }
}

/// Whether an image can be halved so often.
pub(crate) fn halves((height, width): (usize, usize), times: usize) -> bool {
    let step = 1 << times;
    height > 0 && width > 0 && height % step == 0 && width % step == 0
}
