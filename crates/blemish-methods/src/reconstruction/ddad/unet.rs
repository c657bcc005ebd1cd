//! The U-Net that tells noise from image, knowing the time.

use blemish_nn::init::Init;
use blemish_nn::layers::{Conv, Dropout, GroupNorm, MapAttention, Scaling, TimeEmbedding, TimedResidual};
use blemish_nn::weights::Network;
use blemish_nn::{Module, Tensor};
use burn::tensor::activation::silu;

/// What a U-Net is like.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Shape {
    /// Channels at the full size.
    pub(super) width: usize,
    /// Channels of each level over these; the map of a level is half as high and wide as that of the one above.
    pub(super) multipliers: Vec<usize>,
    /// Residual blocks of a level on the way down; one more on the way up.
    pub(super) blocks: usize,
    /// The first level with attention.
    pub(super) attention: usize,
    pub(super) heads: usize,
    pub(super) groups: usize,
}

impl Shape {
    fn channels(&self, level: usize) -> usize {
        self.width * self.multipliers[level]
    }

    /// Levels below the first.
    pub(super) fn halvings(&self) -> usize {
        self.multipliers.len().saturating_sub(1)
    }

    /// What a pass takes of an image of so many pixels: multiply-adds of its convolutions, and values that are kept for their gradients.
    pub(super) fn cost(&self, pixels: usize) -> (f64, usize) {
        let (mut products, mut kept) = (0.0, 0);
        let mut block = |inputs: usize, outputs: usize, cells: usize| {
            let skip = if inputs == outputs { 0 } else { inputs * outputs };
            products += (cells * (9 * (inputs + outputs) * outputs + skip)) as f64;
            // Norm, gain, shift and activation before each convolution, and what leaves them.
            kept += cells * (6 * inputs + 7 * outputs);
        };
        let cells = |level: usize| pixels >> (2 * level);
        let (mut running, mut skips) = (self.width, vec![self.width]);
        for level in 0..self.multipliers.len() {
            for _ in 0..self.blocks {
                block(running, self.channels(level), cells(level));
                running = self.channels(level);
                skips.push(running);
            }
            if level < self.halvings() {
                block(running, running, cells(level + 1));
                skips.push(running);
            }
        }
        (0..2).for_each(|_| block(running, running, cells(self.halvings())));
        for level in (0..self.multipliers.len()).rev() {
            for _ in 0..=self.blocks {
                block(running + skips.pop().unwrap_or_default(), self.channels(level), cells(level));
                running = self.channels(level);
            }
            if level > 0 {
                block(running, running, cells(level - 1));
            }
        }
        (products + (pixels * 54 * self.width) as f64, kept)
    }

    /// Channels of the embedded time.
    fn time(&self) -> usize {
        4 * self.width
    }
}

/// A residual block, perhaps with attention behind it.
#[derive(Module, Debug)]
pub(super) struct Stage {
    pub(super) block: TimedResidual,
    pub(super) attention: Option<MapAttention>,
}

impl Stage {
    fn forward(
        &self,
        x: Tensor<4>,
        shifts: &mut impl Iterator<Item = Tensor<2>>,
        dropout: Option<&mut Dropout>,
    ) -> Tensor<4> {
        let x = run(&self.block, x, shifts, dropout);
        match &self.attention {
            Some(attention) => attention.forward(x),
            None => x,
        }
    }
}

/// The stages of one size, and the block that leads to the next.
#[derive(Module, Debug)]
pub(super) struct Level {
    pub(super) stages: Vec<Stage>,
    pub(super) next: Option<TimedResidual>,
}

impl Level {
    fn blocks(&self) -> impl Iterator<Item = &TimedResidual> {
        self.stages.iter().map(|stage| &stage.block).chain(&self.next)
    }
}

/// The network: e = U(x, t).
///
/// Blocks are numbered in the order in which they run; [`Self::shifts`] has what the time adds in each of them.
#[derive(Module, Debug)]
pub(super) struct UNet {
    time: TimeEmbedding,
    input: Conv,
    downs: Vec<Level>,
    middle: Stage,
    last: TimedResidual,
    /// The smallest maps first.
    ups: Vec<Level>,
    norm: GroupNorm,
    output: Conv,
}

/// A block with the next of the shifts.
fn run(
    block: &TimedResidual,
    x: Tensor<4>,
    shifts: &mut impl Iterator<Item = Tensor<2>>,
    dropout: Option<&mut Dropout>,
) -> Tensor<4> {
    match shifts.next() {
        Some(shift) => block.forward(x, shift, dropout),
        // There is a shift for every block.
        None => x,
    }
}

impl UNet {
    /// As published: PyTorch's first weights, zero in the second convolution of each block, in the projections of attentions and in the
    /// last convolution, so that an untrained network gives 0.
    pub(super) fn new(shape: &Shape, init: &mut Init) -> Self {
        let (time, levels) = (shape.time(), shape.multipliers.len());
        let embedding = TimeEmbedding::new(shape.width, time, init);
        let input = Conv::new(3, shape.width, 3, init);
        let block = |channels: [usize; 2], scaling, init: &mut Init| {
            TimedResidual::new(channels, time, shape.groups, scaling, init)
        };
        let attention =
            |channels, init: &mut Init| MapAttention::new(channels, shape.heads, shape.groups, init);
        let stage = |channels: [usize; 2], level: usize, init: &mut Init| Stage {
            block: block(channels, Scaling::Same, init),
            attention: (level >= shape.attention).then(|| attention(channels[1], init)),
        };
        let (mut running, mut skips) = (shape.width, vec![shape.width]);
        let mut downs = Vec::with_capacity(levels);
        for level in 0..levels {
            let channels = shape.channels(level);
            let mut stages = Vec::with_capacity(shape.blocks);
            for _ in 0..shape.blocks {
                stages.push(stage([running, channels], level, init));
                running = channels;
                skips.push(running);
            }
            let is_last = level + 1 == levels;
            let next = (!is_last).then(|| block([running; 2], Scaling::Halved, init));
            skips.extend(next.is_some().then_some(running));
            downs.push(Level { stages, next });
        }
        let middle = Stage {
            block: block([running; 2], Scaling::Same, init),
            attention: Some(attention(running, init)),
        };
        let last = block([running; 2], Scaling::Same, init);
        let mut ups = Vec::with_capacity(levels);
        for level in (0..levels).rev() {
            let channels = shape.channels(level);
            let mut stages = Vec::with_capacity(shape.blocks + 1);
            for _ in 0..=shape.blocks {
                let skip = skips.pop().unwrap_or_default();
                stages.push(stage([running + skip, channels], level, init));
                running = channels;
            }
            let next = (level > 0).then(|| block([running; 2], Scaling::Doubled, init));
            ups.push(Level { stages, next });
        }
        let norm = GroupNorm::at_most(shape.groups, running, init);
        let output = Conv::zero(running, 3, 3, init);
        Self { time: embedding, input, downs, middle, last, ups, norm, output }
    }

    /// All blocks, in the order in which they run.
    fn blocks(&self) -> impl Iterator<Item = &TimedResidual> {
        let middle = [&self.middle.block, &self.last];
        self.downs.iter().flat_map(Level::blocks).chain(middle).chain(self.ups.iter().flat_map(Level::blocks))
    }

    /// What times add to the channels in every block: blocks of times x channels.
    pub(super) fn shifts(&self, times: &[f64]) -> Vec<Tensor<2>> {
        let time = silu(self.time.forward(times));
        self.blocks().map(|block| block.shift(time.clone())).collect()
    }

    /// e for x, batch x 3 x height x width, and the shifts of one time for all or of one an image.
    ///
    /// Height and width must be multiples of 2 to the number of halvings.
    pub(super) fn forward(
        &self,
        x: Tensor<4>,
        shifts: &[Tensor<2>],
        mut dropout: Option<&mut Dropout>,
    ) -> Tensor<4> {
        let mut shifts = shifts.iter().cloned();
        let mut x = self.input.forward(x);
        let mut seen = vec![x.clone()];
        for level in &self.downs {
            for stage in &level.stages {
                x = stage.forward(x, &mut shifts, dropout.as_deref_mut());
                seen.push(x.clone());
            }
            if let Some(next) = &level.next {
                x = run(next, x, &mut shifts, dropout.as_deref_mut());
                seen.push(x.clone());
            }
        }
        x = self.middle.forward(x, &mut shifts, dropout.as_deref_mut());
        x = run(&self.last, x, &mut shifts, dropout.as_deref_mut());
        for level in &self.ups {
            for stage in &level.stages {
                let skip = seen.pop();
                x = Tensor::cat([x].into_iter().chain(skip).collect(), 1);
                x = stage.forward(x, &mut shifts, dropout.as_deref_mut());
            }
            if let Some(next) = &level.next {
                x = run(next, x, &mut shifts, dropout.as_deref_mut());
            }
        }
        self.output.forward(self.norm.forward_silu(x))
    }
}

impl Network for UNet {}
