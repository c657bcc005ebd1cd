//! What is trained: the last stage of the encoder, the fusion of what was seen with how it differs, the decoder.

use super::config::{Attention, DecoderKind, FusionKind, MemSegConfig, Rules};
use super::last_stage::LastStage;
use blemish_nn::init::Init;
use blemish_nn::layers::{Activation, Conv, ConvUnit, CoordinateAttention, Interpolation, Phase, resize};
use blemish_nn::{Module, Tensor, weights};

/// Share of a level's channels, at least `NARROWEST`, that its attention goes through.
const NARROWING: usize = 32;

/// Fewest channels inside an attention.
const NARROWEST: usize = 8;

/// Images as the frozen part gives them, B of them.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// f_0 of the stem, B x C x H / 2 x W / 2, where the backbone has a layer of stride 2.
    pub(super) stem: Option<Tensor<4>>,
    /// CI_l = (f_l, D_l), shallow to deep, B x 2 C_l x H_l x W_l.
    pub(super) information: Vec<Tensor<4>>,
    /// M_l, B x 1 x H_l x W_l.
    pub(super) spatial: Vec<Tensor<4>>,
    /// H and W of the images.
    pub(super) size: [usize; 2],
}

/// Channels of the backbone's layers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Widths {
    /// Of f_0, if there is one.
    pub(super) stem: Option<usize>,
    /// C_l of f_l, shallow to deep, at least one.
    pub(super) levels: Vec<usize>,
}

/// Last stage, fusion and decoder.
#[derive(Module, Debug)]
pub(super) struct Network {
    pub(super) last_stage: LastStage,
    pub(super) fusion: Fusion,
    pub(super) decoder: Decoder,
}

impl weights::Network for Network {}

impl Network {
    /// For maps of these widths; `last_stage` gives maps of `deepest` channels.
    pub(super) fn new(
        config: &MemSegConfig,
        widths: &Widths,
        (last_stage, deepest): (LastStage, usize),
        init: &mut Init,
    ) -> Self {
        let rules = config.rules();
        let fusion = Fusion::new(&rules, &widths.levels, init);
        let decoder = Decoder::new(rules.decoder, widths, deepest, config.width, init);
        Self { last_stage, fusion, decoder }
    }

    /// Logits of good and defective, B x 2 x H x W.
    pub(super) fn forward(&self, seen: &Seen, phase: Phase) -> Tensor<4> {
        let fused = self.fusion.forward(seen, phase);
        let features = seen.information.last().map(|information| {
            let channels = information.dims()[1] / 2;
            information.clone().narrow(1, 0, channels)
        });
        // A backbone has a level.
        let features = features.unwrap_or_else(|| unreachable!("no level"));
        let deepest = self.last_stage.forward(features, phase);
        self.decoder.forward(deepest, &fused, seen, phase)
    }
}

/// Multi-scale fusion: a level each, and the convolutions by which deeper levels enter shallower ones.
#[derive(Module, Debug)]
pub(super) struct Fusion {
    /// Shallow to deep.
    pub(super) levels: Vec<Level>,
    /// From level l + 1 to level l, shallow to deep.
    pub(super) down: Vec<Conv>,
}

/// K = 3x3(3x3(3x3(CI) * attention)) of one level, of 2 C channels in and C out.
#[derive(Module, Debug)]
pub(super) struct Level {
    pub(super) enter: ConvUnit,
    pub(super) attention: CoordinateAttention,
    pub(super) narrow: ConvUnit,
    pub(super) leave: ConvUnit,
    /// Whether the attention holds CI as a factor.
    #[module(skip)]
    pub(super) kind: Attention,
}

impl Level {
    fn new(rules: &Rules, channels: usize, init: &mut Init) -> Self {
        let unit = |inputs, outputs, init: &mut Init| {
            let conv = Conv::new(inputs, outputs, 3, init);
            match rules.fusion {
                FusionKind::Plain => ConvUnit::plain(conv, Activation::Identity),
                FusionKind::Normed => ConvUnit::normed(conv, Activation::Relu, init),
            }
        };
        let both = 2 * channels;
        Self {
            enter: unit(both, both, init),
            attention: CoordinateAttention::new(both, (both / NARROWING).max(NARROWEST), init),
            narrow: unit(both, channels, init),
            leave: unit(channels, channels, init),
            kind: rules.attention,
        }
    }

    fn forward(&self, information: Tensor<4>, phase: Phase) -> Tensor<4> {
        let [rows, columns] = self.attention.forward(information.clone(), phase);
        let x = self.enter.forward(information.clone(), phase) * rows * columns;
        let x = match self.kind {
            Attention::Gated => x * information,
            Attention::Weights => x,
        };
        self.leave.forward(self.narrow.forward(x, phase), phase)
    }
}

impl Fusion {
    fn new(rules: &Rules, channels: &[usize], init: &mut Init) -> Self {
        let levels = channels.iter().map(|&channels| Level::new(rules, channels, init)).collect();
        let down = channels.windows(2).map(|pair| Conv::new(pair[1], pair[0], 3, init)).collect();
        Self { levels, down }
    }

    /// F_l M_l, shallow to deep, B x C_l x H_l x W_l.
    pub(super) fn forward(&self, seen: &Seen, phase: Phase) -> Vec<Tensor<4>> {
        let mut fused: Vec<Tensor<4>> = Vec::with_capacity(self.levels.len());
        for (at, level) in self.levels.iter().enumerate().rev() {
            let information = &seen.information[at];
            let mut own = level.forward(information.clone(), phase);
            if let Some(deeper) = fused.last() {
                own = own + self.down[at].forward(enlarged(deeper.clone(), &information.dims()));
            }
            fused.push(own);
        }
        fused.into_iter().rev().zip(&seen.spatial).map(|(fused, spatial)| fused * spatial.clone()).collect()
    }
}

/// From the last stage back to the image, with what was fused on the way.
#[derive(Module, Debug)]
pub(super) struct Decoder {
    /// Before each skip, deep to shallow; then to stride 2 and 1.
    pub(super) up: Vec<ConvUnit>,
    /// After each skip, where there are such.
    pub(super) merge: Vec<Vec<ConvUnit>>,
    /// Of the stem, unless it enters as it is.
    pub(super) stem: Option<Conv>,
    pub(super) leave: Conv,
}

impl Decoder {
    fn new(kind: DecoderKind, widths: &Widths, deepest: usize, width: usize, init: &mut Init) -> Self {
        let unit = |inputs, outputs, init: &mut Init| {
            ConvUnit::normed(Conv::new(inputs, outputs, 3, init), Activation::Relu, init)
        };
        let twice = |inputs, outputs, init: &mut Init| match kind {
            DecoderKind::Single => Vec::new(),
            DecoderKind::Double => vec![unit(inputs, outputs, init), unit(outputs, outputs, init)],
        };
        let is_single = kind == DecoderKind::Single;
        let (mut up, mut merge) = (Vec::new(), Vec::new());
        let mut channels = deepest;
        for &skip in widths.levels.iter().rev() {
            up.push(unit(channels, skip, init));
            merge.push(twice(2 * skip, skip, init));
            channels = if is_single { 2 * skip } else { skip };
        }
        let mut stem = None;
        if let Some(skip) = widths.stem {
            // With the stem as it is, its channels and two thirds of the width are made one.
            let own = if is_single { width } else { (2 * width / 3).max(1) };
            up.push(unit(channels, own, init));
            stem = is_single.then(|| Conv::new(skip, width, 3, init));
            channels = own + if is_single { width } else { skip };
            merge.push(twice(channels, width, init));
            channels = if is_single { channels } else { width };
        }
        up.push(unit(channels, width, init));
        let last = if is_single { width } else { (width / 2).max(1) };
        merge.push(twice(width, last, init));
        Self { up, merge, stem, leave: Conv::new(last, 2, 3, init) }
    }

    fn forward(&self, deepest: Tensor<4>, fused: &[Tensor<4>], seen: &Seen, phase: Phase) -> Tensor<4> {
        let stem = seen.stem.as_ref().map(|stem| match &self.stem {
            Some(conv) => conv.forward(stem.clone()),
            None => stem.clone(),
        });
        let skips = fused.iter().rev().cloned().chain(stem).map(Some).chain([None]);
        let [height, width] = seen.size;
        let steps = self.up.iter().zip(&self.merge).zip(skips);
        let x = steps.fold(deepest, |x, ((up, merge), skip)| {
            let size = skip.as_ref().map_or([1, 1, height, width], Tensor::dims);
            let x = up.forward(enlarged(x, &size), phase);
            let x = match skip {
                Some(skip) => Tensor::cat(vec![x, skip], 1),
                None => x,
            };
            merge.iter().fold(x, |x, unit| unit.forward(x, phase))
        });
        self.leave.forward(x)
    }
}

/// x on the grid of maps of these dimensions, bilinear with aligned corners.
fn enlarged(x: Tensor<4>, dimensions: &[usize; 4]) -> Tensor<4> {
    let [_, _, height, width] = *dimensions;
    resize(x, [height, width], Interpolation::BilinearAligned)
}
