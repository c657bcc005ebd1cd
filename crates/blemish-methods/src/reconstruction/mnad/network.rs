//! The auto-encoder: four stages down, the memory at the bottom, four stages up.
//!
//! | stage | prediction | reconstruction |
//! |---|---|---|
//! | encoder 1 to 4 | w, 2w, 4w, 8w channels at full size, 1/2, 1/4, 1/8; the last convolution is bare | the same |
//! | memory | 8w queries and 8w of what is read | the same |
//! | decoder 4 to 1 | with what the encoder had at that size in front | without |
//!
//! The published width w is 64.

use super::config::{MnadConfig, Task};
use super::memory::{Lookup, Memory, queries_of};
use blemish_nn::init::Init;
use blemish_nn::layers::{
    Activation, Conv, ConvUnit, Phase, Sspcab, SspcabOptions, TransposedConv, Window, max_pool,
};
use blemish_nn::loss::l2;
use blemish_nn::{Module, Tensor, weights};

/// Weight of the loss of [`Sspcab`], as its paper has it for all hosts.
const SSPCAB_SHARE: f64 = 0.1;

/// Two convolutions, and in the decoder what enlarges their result.
#[derive(Module, Debug)]
pub(super) struct Stage {
    pub(super) first: ConvUnit,
    /// None where [`Sspcab`] stands in for it.
    pub(super) second: Option<ConvUnit>,
    pub(super) up: Option<ConvUnit>,
}

impl Stage {
    fn new(inputs: usize, outputs: usize, init: &mut Init) -> Self {
        Self { first: unit(inputs, outputs, init), second: Some(unit(outputs, outputs, init)), up: None }
    }

    fn with_up(self, from: usize, to: usize, init: &mut Init) -> Self {
        let conv = TransposedConv::new(from, to, 3, 2, init).with_padding(1).with_output_padding(1);
        Self { up: Some(ConvUnit::normed(conv, Activation::Relu, init)), ..self }
    }

    fn forward(&self, x: Tensor<4>, phase: Phase) -> Tensor<4> {
        let parts = [Some(&self.first), self.second.as_ref(), self.up.as_ref()];
        parts.into_iter().flatten().fold(x, |x, part| part.forward(x, phase))
    }
}

fn unit(inputs: usize, outputs: usize, init: &mut Init) -> ConvUnit {
    let conv = Conv::new(inputs, outputs, 3, init);
    ConvUnit::normed(conv, Activation::Relu, init)
}

/// How much the two losses of the memory weigh.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weights {
    pub(super) compactness: f64,
    pub(super) separateness: f64,
}

/// The whole network.
#[derive(Module, Debug)]
pub(super) struct Network {
    pub(super) encoder: Vec<Stage>,
    memory: Option<Memory>,
    pub(super) decoder: Vec<Stage>,
    /// In place of the last convolution but one.
    pub(super) block: Option<Sspcab>,
    pub(super) last: Conv,
    has_skips: bool,
}

impl weights::Network for Network {}

/// What a frame's features are to the memory, and the frame that is made of them.
pub(super) struct Passed {
    /// Of a network without a memory there is none.
    pub(super) lookup: Option<Lookup>,
    /// Batch x 3 x height x width in [-1, 1].
    pub(super) made: Tensor<4>,
    /// What the block of [`Sspcab`] has not foreseen, where there is one.
    block_loss: Option<Tensor<1>>,
}

impl Network {
    /// With random weights.
    pub(super) fn new(config: &MnadConfig, init: &mut Init) -> Self {
        let width = config.width;
        let wide = |level: usize| width << level;
        let mut encoder = Vec::new();
        let mut inputs = 3 * config.task.frames_in();
        for level in 0..4 {
            let mut stage = Stage::new(inputs, wide(level), init);
            if level == 3 {
                // Bare: queries may point anywhere.
                let bare = Conv::new(wide(3), wide(3), 3, init);
                stage.second = Some(ConvUnit::plain(bare, Activation::Identity));
            }
            encoder.push(stage);
            inputs = wide(level);
        }
        let memory = (config.memory > 0).then(|| Memory::new(config.memory, wide(3), init));
        let has_skips = config.task == Task::Prediction;
        let mut inputs = if memory.is_some() { 2 * wide(3) } else { wide(3) };
        let mut decoder = Vec::new();
        for level in (0..4).rev() {
            let mut stage = Stage::new(inputs, wide(level), init);
            if level > 0 {
                let up = if has_skips { wide(level - 1) } else { wide(level) };
                stage = stage.with_up(wide(level), up, init);
            }
            if level == 0 && config.sspcab {
                stage.second = None;
            }
            decoder.push(stage);
            inputs = wide(level);
        }
        let block = config.sspcab.then(|| Sspcab::new(width, SspcabOptions::default(), init));
        let last = Conv::new(width, 3, 3, init);
        Self { encoder, memory, decoder, block, last, has_skips }
    }

    /// The items of the memory, if there is one.
    pub(super) fn items(&self) -> Option<Tensor<2>> {
        self.memory.as_ref().map(Memory::items)
    }

    /// The bottom's features, and what the stages before had.
    fn encode(&self, mut x: Tensor<4>, phase: Phase) -> (Tensor<4>, Vec<Tensor<4>>) {
        let mut skips = Vec::new();
        for (level, stage) in self.encoder.iter().enumerate() {
            if level > 0 {
                if self.has_skips {
                    skips.push(x.clone());
                }
                x = max_pool(x, Window::tiles(2));
            }
            x = stage.forward(x, phase);
        }
        (x, skips)
    }

    /// What the decoder makes of features and of what the encoder had, and the loss of its block.
    fn decode(
        &self,
        mut x: Tensor<4>,
        mut skips: Vec<Tensor<4>>,
        phase: Phase,
    ) -> (Tensor<4>, Option<Tensor<1>>) {
        for (at, stage) in self.decoder.iter().enumerate() {
            if at > 0
                && let Some(skip) = skips.pop()
            {
                x = Tensor::cat(vec![skip, x], 1);
            }
            x = stage.forward(x, phase);
        }
        let (x, loss) = match &self.block {
            Some(block) => {
                let (x, loss) = block.forward_with_loss(x);
                (x, Some(loss))
            }
            None => (x, None),
        };
        (self.last.forward(x).tanh(), loss)
    }

    /// What is made of x, batch x 3 frames x height x width in [-1, 1], with these items in the memory.
    pub(super) fn forward(&self, x: Tensor<4>, items: Option<Tensor<2>>, phase: Phase) -> Passed {
        let (features, skips) = self.encode(x, phase);
        let [_, _, height, width] = features.dims();
        let Some(items) = items else {
            let (made, block_loss) = self.decode(features, skips, phase);
            return Passed { lookup: None, made, block_loss };
        };
        let lookup = Lookup::new(items, queries_of(features));
        let (made, block_loss) = self.decode(lookup.with_read(height, width), skips, phase);
        Passed { lookup: Some(lookup), made, block_loss }
    }

    /// L = L_pix + lambda_c L_c + lambda_s L_s (+ 0.1 L_SSPCAB) of a batch, and the memory moved on by its queries: losses and what is read are of the items
    /// before.
    pub(super) fn loss(&self, (x, target): (Tensor<4>, Tensor<4>), weights: Weights) -> Tensor<1> {
        let Passed { lookup, made, block_loss } = self.forward(x, self.items(), Phase::Training);
        let pixels = l2(made, target);
        let pixels = match block_loss {
            Some(loss) => pixels + loss * SSPCAB_SHARE,
            None => pixels,
        };
        match (&self.memory, lookup) {
            (Some(memory), Some(lookup)) => {
                memory.set(lookup.updated());
                pixels
                    + lookup.compactness() * weights.compactness
                    + lookup.separateness() * weights.separateness
            }
            _ => pixels,
        }
    }
}

/// About how many values a step keeps for its gradients, of one clip of height x width.
///
/// Every unit keeps what its convolution, its normalisation and its activation make; what is pooled and what is put together comes to that.
pub(super) fn kept_values(config: &MnadConfig, height: usize, width: usize) -> usize {
    let skips = usize::from(config.task == Task::Prediction);
    let area = |level: usize| (height >> level) * (width >> level);
    let encoder: usize = (0..4).map(|level| area(level) * (config.width << level) * (2 * 3 + 1)).sum();
    let decoder: usize = (0..4)
        .map(|level| {
            let own = area(level) * (config.width << level);
            // What is enlarged to this level has as many channels, or as many as come of the skip and it together.
            own * 2 * 3 + own * if level < 3 { 3 + 2 * skips } else { 2 }
        })
        .sum();
    encoder + decoder + area(0) * 3 * (config.task.frames_in() + 4)
}

/// Multiply-adds of a training on so many clips of height x width, without those of the gradients.
pub(super) fn work(config: &MnadConfig, (height, width): (usize, usize), clips: usize) -> f64 {
    let looked_at = config.steps_of(clips) as f64 * config.batch.min(clips) as f64;
    looked_at * work_of_clip(config, height, width)
}

fn work_of_clip(config: &MnadConfig, height: usize, width: usize) -> f64 {
    let area = |level: usize| ((height >> level) * (width >> level)) as f64;
    let wide = |level: usize| (config.width << level) as f64;
    let skips = config.task == Task::Prediction;
    let bottom = if config.memory > 0 { 2.0 } else { 1.0 };
    let mut sum = 0.0;
    for level in 0..4 {
        let first = if level == 0 { 3.0 * config.task.frames_in() as f64 } else { wide(level - 1) };
        let own = wide(level);
        let decoded = if level == 3 { bottom * own } else { 2.0 * own };
        sum += area(level) * 9.0 * own * (first + own + decoded + own);
        if level > 0 {
            let up = if skips { wide(level - 1) } else { own };
            sum += area(level) * 9.0 * own * up;
        }
    }
    sum + area(0) * 27.0 * wide(0)
}
