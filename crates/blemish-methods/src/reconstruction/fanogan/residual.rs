//! The published networks: residual blocks that halve or double maps (Gulrajani et al., arXiv 1704.00028).

use blemish_nn::init::Init;
use blemish_nn::layers::{
    BatchNorm2d, Conv, Dense, GroupNorm, Interpolation, Norm, Phase, Window, average_pool, upsample,
};
use blemish_nn::{Module, Tensor};
use burn::tensor::activation::relu;

/// Side of the smallest maps.
pub(super) const SMALLEST: usize = 4;

/// Channels of an image.
pub(super) const COLOURS: usize = 3;

/// How wide maps are at each size.
#[derive(Clone, Copy, Debug)]
pub(super) struct Widths {
    /// Side of the images, a power of two.
    pub(super) side: usize,
    /// Channels of the largest maps.
    pub(super) width: usize,
}

impl Widths {
    /// Halvings down to the smallest map.
    pub(super) fn levels(self) -> usize {
        (self.side / SMALLEST).ilog2() as usize
    }

    /// Channels after so many halvings: doubled three times, then held.
    pub(super) fn channels(self, level: usize) -> usize {
        self.width << level.min(3)
    }

    /// Values of the smallest map.
    pub(super) fn smallest(self) -> usize {
        self.channels(self.levels()) * SMALLEST * SMALLEST
    }

    /// Multiply-adds of a network of such blocks for one image.
    pub(super) fn work(self) -> f64 {
        let level = |level: usize| {
            let positions = (self.side >> level).pow(2) as f64;
            let (inputs, outputs) = (self.channels(level), self.channels(level + 1));
            positions * (9 * inputs * (inputs + outputs)) as f64
        };
        (0..self.levels()).map(level).sum()
    }

    /// Values that a network of such blocks keeps of one image for its gradients.
    pub(super) fn kept(self) -> usize {
        let level = |level: usize| {
            let side = self.side >> level;
            8 * side * side * self.channels(level)
        };
        (0..=self.levels()).map(level).sum()
    }
}

/// Uniform weights of a deviation of sqrt(`factor` / (inputs + outputs of the kernel)), as in the released code, and no bias.
pub(super) fn conv(factor: f32, [inputs, outputs, kernel]: [usize; 3], init: &mut Init) -> Conv {
    let bound = (3.0 * factor / ((inputs + outputs) * kernel * kernel) as f32).sqrt();
    Conv::of(init.uniform(bound, [outputs, inputs, kernel, kernel]), init.constant(0.0, [outputs]))
}

/// He's factor for two directions, and Xavier's.
const HE: f32 = 4.0;
const XAVIER: f32 = 2.0;

/// Which way a block goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// To half the height and width: the mean of 2 x 2 after the second convolution and before the shortcut's.
    Down,
    /// To twice: every value four times, before the first convolution and before the shortcut's.
    Up,
}

/// A pre-activation block: norm, ReLU, 3x3 without bias, norm, ReLU, 3x3; beside it 1x1.
#[derive(Module, Debug)]
pub(super) struct Block {
    pub(super) norms: [Norm; 2],
    pub(super) convs: [Conv; 2],
    pub(super) shortcut: Conv,
    #[module(skip)]
    pub(super) way: Way,
}

/// The mean of each 2 x 2.
pub(super) fn halved(x: Tensor<4>) -> Tensor<4> {
    average_pool(x, Window::tiles(2))
}

/// Every value four times.
pub(super) fn doubled(x: Tensor<4>) -> Tensor<4> {
    upsample(x, 2, Interpolation::Nearest)
}

/// Over the batch, or over each image with a scale and shift for each channel.
fn norm(is_batch: bool, channels: usize, init: &Init) -> Norm {
    if is_batch {
        return Norm::Batch(BatchNorm2d::new(channels, init));
    }
    Norm::Group(GroupNorm::new(1, channels, init))
}

impl Block {
    pub(super) fn new(way: Way, [inputs, outputs]: [usize; 2], is_batch: bool, init: &mut Init) -> Self {
        let inner = if way == Way::Down { inputs } else { outputs };
        let norms = [norm(is_batch, inputs, init), norm(is_batch, inner, init)];
        let first = conv(HE, [inputs, inner, 3], init).without_bias(init);
        let second = conv(HE, [inner, outputs, 3], init);
        let shortcut = conv(XAVIER, [inputs, outputs, 1], init);
        Self { norms, convs: [first, second], shortcut, way }
    }

    pub(super) fn forward(&self, x: Tensor<4>, phase: Phase) -> Tensor<4> {
        let activated = |number: usize, x: Tensor<4>| relu(self.norms[number].forward(x, phase));
        let inner = activated(0, x.clone());
        match self.way {
            Way::Down => {
                let inner = activated(1, self.convs[0].forward(inner));
                halved(self.convs[1].forward(inner)) + self.shortcut.forward(halved(x))
            }
            Way::Up => {
                let inner = activated(1, self.convs[0].forward(doubled(inner)));
                // The same as after doubling, with a quarter of the work.
                self.convs[1].forward(inner) + doubled(self.shortcut.forward(x))
            }
        }
    }
}

/// From codes to images.
#[derive(Module, Debug)]
pub(super) struct ResidualGenerator {
    pub(super) first: Dense,
    pub(super) blocks: Vec<Block>,
    pub(super) norm: BatchNorm2d,
    pub(super) last: Conv,
}

impl ResidualGenerator {
    pub(super) fn new(widths: Widths, latent: usize, init: &mut Init) -> Self {
        let first = Dense::xavier(latent, widths.smallest(), init);
        let block = |level: usize| {
            Block::new(Way::Up, [widths.channels(level), widths.channels(level - 1)], true, init)
        };
        let blocks = (1..=widths.levels()).rev().map(block).collect();
        Self {
            first,
            blocks,
            norm: BatchNorm2d::new(widths.channels(0), init),
            last: conv(HE, [widths.channels(0), COLOURS, 3], init),
        }
    }

    /// Images between -1 and 1 of codes, batch x latent x 1 x 1.
    pub(super) fn forward(&self, z: Tensor<4>, phase: Phase) -> Tensor<4> {
        let x = self.first.forward(z);
        let [batch, values, _, _] = x.dims();
        let x = x.reshape([batch, values / (SMALLEST * SMALLEST), SMALLEST, SMALLEST]);
        let x = self.blocks.iter().fold(x, |x, block| block.forward(x, phase));
        self.last.forward(relu(self.norm.forward(x, phase))).tanh()
    }
}

/// From images to vectors: the encoder and, with layer normalisation, the critic.
#[derive(Module, Debug)]
pub(super) struct ResidualEncoder {
    pub(super) first: Conv,
    pub(super) blocks: Vec<Block>,
    pub(super) head: Dense,
}

impl ResidualEncoder {
    pub(super) fn new(widths: Widths, outputs: usize, is_batch: bool, init: &mut Init) -> Self {
        let first = conv(XAVIER, [COLOURS, widths.channels(0), 3], init);
        let block = |level: usize| {
            Block::new(Way::Down, [widths.channels(level), widths.channels(level + 1)], is_batch, init)
        };
        let blocks = (0..widths.levels()).map(block).collect();
        Self { first, blocks, head: Dense::xavier(widths.smallest(), outputs, init) }
    }

    /// The smallest maps: batch x channels x 4 x 4.
    pub(super) fn features(&self, x: Tensor<4>, phase: Phase) -> Tensor<4> {
        self.blocks.iter().fold(self.first.forward(x), |x, block| block.forward(x, phase))
    }

    /// Of those maps, batch x outputs x 1 x 1.
    pub(super) fn conclude(&self, features: Tensor<4>) -> Tensor<4> {
        let [batch, channels, height, width] = features.dims();
        self.head.forward(features.reshape([batch, channels * height * width, 1, 1]))
    }
}
