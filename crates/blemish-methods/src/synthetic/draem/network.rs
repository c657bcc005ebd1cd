//! Both networks and what a training step costs.

use super::config::{DraemConfig, Sspcab};
use crate::shared::defects::DefectBatch;
use crate::shared::repainter::{Encoder, Pair, Repainter, Rise, Seen, Shape, Unit, conv};
use blemish_nn::init::Init;
use blemish_nn::layers::{Conv, CornerActivation, Interpolation, Phase, SspcabOptions, upsample};
use blemish_nn::loss::{Focal, FocalForm, Ssim, l2, two_classes};
use blemish_nn::weights::Network;
use blemish_nn::{Module, Tensor};
use burn::tensor::activation::softmax;

/// The U-Net that compares image and repair: 6 channels in, the logits of good and defective out.
///
/// ```text
/// b1 c(6, w) c(w, w)              u1 up c(w, w) | b1 | c(2w, w) c(w, w) ─ out c(w, 2)
/// b2 pool c(w, 2w) c(2w, 2w)      u2 up c(2w, w) | b2 | c(3w, w) c(w, w)
/// b3 pool c(2w, 4w) c(4w, 4w)     u3 up c(4w, 2w) | b3 | c(6w, 2w) c(2w, 2w)
/// b4 pool c(4w, 8w) c(8w, 8w)     u4 up c(8w, 4w) | b4 | c(12w, 4w) c(4w, 4w)
/// b5 pool c(8w, 8w) c(8w, 8w)     u5 up c(8w, 8w) | b5 | c(16w, 8w) c(8w, 8w)
/// b6 pool c(8w, 8w) c(8w, 8w)    ─┘
/// ```
/// | b joins the channels of that stage behind the doubled ones.
#[derive(Module, Debug)]
pub(crate) struct Segmenter {
    pub(super) encoder: Encoder,
    pub(super) rises: Vec<Rise>,
    pub(super) out: Conv,
}

/// Times that it halves an image.
pub(crate) const HALVINGS: usize = 5;

impl Segmenter {
    fn new(width: usize, block: Option<SspcabOptions>, init: &mut Init) -> Self {
        let channels = [1, 2, 4, 8, 8, 8].map(|times| times * width);
        let encoder = Encoder::new(6, &channels, block, init);
        let rises = [(8, 8, 8), (8, 8, 4), (4, 4, 2), (2, 2, 1), (1, 1, 1)].map(|(from, skip, to)| {
            let up = Unit::new(from * width, to * width, init);
            Rise { up, pair: Pair::new((to + skip) * width, to * width, to * width, init) }
        });
        Self { encoder, rises: rises.into(), out: conv(width, 2, init) }
    }

    fn forward(&self, x: Tensor<4>, phase: Phase) -> (Tensor<4>, Option<Tensor<1>>) {
        let Seen { mut skips, deepest, cost } = self.encoder.forward(x, phase);
        let found = self.rises.iter().fold(deepest, |x, rise| {
            let x = rise.up.forward(upsample(x, 2, Interpolation::BilinearAligned), phase);
            let joined = std::iter::once(x).chain(skips.pop()).collect();
            rise.pair.forward(Tensor::cat(joined, 1), phase)
        });
        (self.out.forward(found), cost)
    }
}

/// Both networks.
#[derive(Module, Debug)]
pub(crate) struct Draem {
    pub(crate) repair: Repainter,
    pub(crate) segment: Segmenter,
}

impl Network for Draem {}

/// What both networks make of images.
pub(crate) struct Found {
    /// The images as if without defects, batch x 3 x height x width.
    pub(crate) repaired: Tensor<4>,
    /// Probabilities of good and defective, batch x 2 x height x width.
    pub(crate) probabilities: Tensor<4>,
    /// What the predictive blocks cost together.
    pub(crate) cost: Option<Tensor<1>>,
}

/// The parts of a loss.
pub(crate) struct Losses {
    pub(crate) l2: Tensor<1>,
    /// 1 - similarity.
    pub(crate) ssim: Tensor<1>,
    pub(crate) focal: Tensor<1>,
    /// Of the predictive blocks, without their weight.
    pub(crate) predictive: Option<Tensor<1>>,
}

impl Losses {
    /// L2 + (1 - SSIM) + focal + weight times that of the blocks.
    pub(crate) fn total(self, weight: f64) -> Tensor<1> {
        let host = self.l2 + self.ssim + self.focal;
        match self.predictive.filter(|_| weight > 0.0) {
            Some(predictive) => host + predictive * weight,
            None => host,
        }
    }
}

impl Draem {
    pub(crate) fn new(config: &DraemConfig, init: &mut Init) -> Self {
        let published = SspcabOptions::default();
        let (in_repair, in_segmenter) = match config.sspcab {
            Sspcab::Off => (None, None),
            Sspcab::On => (Some(published), Some(published)),
            Sspcab::Anomalib => {
                (Some(SspcabOptions { activation: CornerActivation::None, ..published }), None)
            }
        };
        let shape = Shape { inputs: 3, width: config.repair_width, skips: false, block: in_repair };
        Self {
            repair: Repainter::new(shape, init),
            segment: Segmenter::new(config.segment_width, in_segmenter, init),
        }
    }

    /// What it makes of images, batch x 3 x height x width in [0, 1].
    ///
    /// # Panics
    /// If they cannot be halved five times.
    pub(crate) fn forward(&self, images: Tensor<4>, phase: Phase) -> Found {
        let (repaired, repair_cost) = self.repair.forward(images.clone(), phase);
        let both = Tensor::cat(vec![repaired.clone(), images], 1);
        let (logits, segment_cost) = self.segment.forward(both, phase);
        let cost = match (repair_cost, segment_cost) {
            (Some(one), Some(other)) => Some(one + other),
            (one, other) => one.or(other),
        };
        Found { repaired, probabilities: softmax(logits, 1), cost }
    }

    /// What a batch costs in training.
    pub(crate) fn losses(&self, batch: DefectBatch, gamma: f64) -> Losses {
        let DefectBatch { good, images, masks } = batch;
        let Found { repaired, probabilities, cost } = self.forward(images, Phase::Training);
        let focal = Focal { gamma, smoothing: 1e-5, form: FocalForm::TrueClass };
        Losses {
            l2: l2(repaired.clone(), good.clone()),
            ssim: -Ssim::default().mean(repaired, good) + 1.0,
            focal: focal.forward(probabilities, two_classes(masks)),
            predictive: cost,
        }
    }

    /// About how many values a training step keeps of an image of that many pixels.
    pub(crate) fn kept(config: &DraemConfig, pixels: usize) -> usize {
        // Channels of the units' outputs, of what is joined before them and of what the blocks see, by how often the image is halved.
        let units = [5, 7, 14, 28, 40, 16];
        let joined = [2, 3, 6, 12, 16, 8];
        let width = config.segment_width;
        let of_size = |(halved, (units, joined)): (usize, (usize, usize))| {
            ((3 * units + joined) * width * pixels) >> (2 * halved)
        };
        let segment: usize = units.into_iter().zip(joined).enumerate().map(of_size).sum();
        // And the images themselves with what their similarity needs of them.
        Repainter::kept(config.repair_width, pixels) + segment + 60 * pixels
    }

    /// Multiply-adds of a forward pass over an image of that many pixels.
    pub(crate) fn products(config: &DraemConfig, pixels: usize) -> f64 {
        let w = config.segment_width as f64;
        let by_size = [5.0, 12.0, 48.0, 192.0, 384.0, 128.0];
        let squares: f64 = (0..).zip(by_size).map(|(halved, share)| share / 4f64.powi(halved)).sum();
        Repainter::products(3, config.repair_width, pixels)
            + 9.0 * pixels as f64 * (w * w * squares + 8.0 * w)
    }
}
