//! EfficientNet (arXiv 1905.11946) B0 to B5 and EfficientNet-Lite.
//!
//! B1 to B5 are B0 with scaled widths and depths. Lite drops squeeze and excitation, uses ReLU6 instead of SiLU, and leaves the
//! stem, the head and the depth of the first and last stage unscaled. Names are timm's.
//!
//! The package efficientnet_pytorch works out TensorFlow's padding once, for the image size that a network was trained with, and keeps it for
//! all sizes: values are as of an image that is shifted by part of a pixel.

use super::architecture::Architecture;
use super::builder::{Builder, ConvSettings};
use super::inverted_residual::{Block, inverted_residual};
use crate::graph::{Activation, Graph, Normalization, Padding};

/// What the members of the family differ in.
pub(super) struct Settings {
    /// Factor on channels, in tenths so that it is exact.
    width_tenths: usize,
    /// Factor on the blocks of a stage, in tenths.
    depth_tenths: usize,
    lite: bool,
    padding: Convention,
}

/// How convolutions are padded.
#[derive(Clone, Copy)]
enum Convention {
    /// By half the kernel.
    Symmetric,
    /// As TensorFlow pads the map at hand.
    TensorFlow,
    /// As TensorFlow would pad the maps of an image of so many pixels a side.
    TensorFlowAt(usize),
}

/// A row of table 1 of the paper.
struct Stage {
    ratio: usize,
    kernel: usize,
    stride: usize,
    channels: usize,
    blocks: usize,
}

const fn stage(ratio: usize, kernel: usize, stride: usize, channels: usize, blocks: usize) -> Stage {
    Stage { ratio, kernel, stride, channels, blocks }
}

const STAGES: [Stage; 7] = [
    stage(1, 3, 1, 16, 1),
    stage(6, 3, 2, 24, 2),
    stage(6, 5, 2, 40, 2),
    stage(6, 3, 2, 80, 3),
    stage(6, 5, 1, 112, 3),
    stage(6, 5, 2, 192, 4),
    stage(6, 3, 1, 320, 1),
];
const STEM_CHANNELS: usize = 32;
const HEAD_CHANNELS: usize = 1280;

/// Scaling, flavour and padding of a member of the family (B0's for any other architecture).
pub(super) fn settings(architecture: Architecture) -> Settings {
    use Architecture::*;
    let (width_tenths, depth_tenths) = match architecture {
        EfficientNetB1 | TfEfficientNetB1 | EfficientNetLite1 => (10, 11),
        EfficientNetB2 | TfEfficientNetB2 | EfficientNetLite2 => (11, 12),
        EfficientNetB3 | TfEfficientNetB3 => (12, 14),
        EfficientNetB4 | TfEfficientNetB4 | EfficientNetB4At380 => (14, 18),
        EfficientNetB5 | TfEfficientNetB5 => (16, 22),
        _ => (10, 10),
    };
    let lite = matches!(architecture, EfficientNetLite0 | EfficientNetLite1 | EfficientNetLite2);
    let padding = match architecture {
        EfficientNetB4At380 => Convention::TensorFlowAt(380),
        _ if lite || architecture.name().starts_with("tf_") => Convention::TensorFlow,
        _ => Convention::Symmetric,
    };
    Settings { width_tenths, depth_tenths, lite, padding }
}

impl Settings {
    /// Channels times the width factor, to the nearest multiple of 8 that is not below 90 %.
    fn channels(&self, base: usize) -> usize {
        let tenths = base * self.width_tenths;
        let rounded = ((tenths + 40) / 80 * 8).max(8);
        if rounded * 100 < 9 * tenths { rounded + 8 } else { rounded }
    }

    /// Channels of stem and head, which Lite does not scale.
    fn outer_channels(&self, base: usize) -> usize {
        if self.lite { base } else { self.channels(base) }
    }

    /// Blocks of a stage: times the depth factor, rounded up.
    fn blocks(&self, index: usize) -> usize {
        let fixed = self.lite && (index == 0 || index + 1 == STAGES.len());
        let blocks = STAGES[index].blocks;
        if fixed { blocks } else { (blocks * self.depth_tenths).div_ceil(10) }
    }

    /// Padding of a convolution of a map whose cells are so many pixels of the image wide.
    fn padding(&self, kernel: usize, stride: usize, cell: usize) -> Padding {
        match self.padding {
            Convention::Symmetric => Padding::Symmetric(kernel / 2),
            Convention::TensorFlow => Padding::Same,
            Convention::TensorFlowAt(side) => {
                // Rounding up at every halving is rounding up once.
                let (before, after) = Padding::Same.around(side.div_ceil(cell), kernel, stride);
                Padding::Uneven(before, after)
            }
        }
    }

    fn activation(&self) -> Activation {
        if self.lite { Activation::Relu6 } else { Activation::Silu }
    }

    fn normalization(&self) -> Normalization {
        if self.lite { super::LITE_NORMALIZATION } else { Normalization::IMAGENET }
    }
}

/// The whole network.
pub(super) fn build(name: &str, settings: &Settings) -> Graph {
    let mut builder = Builder::new(name, settings.normalization());
    let activation = settings.activation();
    let stem = ConvSettings { kernel: 3, stride: 2, padding: settings.padding(3, 2, 1), groups: 1 };
    let mut node =
        builder.conv_activation("conv_stem", 0, settings.outer_channels(STEM_CHANNELS), stem, activation);
    builder.tap("stem", node);

    for (index, stage) in STAGES.iter().enumerate() {
        for block in 0..settings.blocks(index) {
            let prefix = format!("blocks.{index}.{block}");
            let stride = if block == 0 { stage.stride } else { 1 };
            let padding = settings.padding(stage.kernel, stride, builder.stride(node));
            let [wide, depthwise, reduce, excite, project] = names(&prefix, stage.ratio);
            node = inverted_residual(
                &mut builder,
                node,
                &Block {
                    expand: (stage.ratio > 1).then_some(wide.as_str()),
                    depthwise: &depthwise,
                    excitation: (!settings.lite).then_some([reduce.as_str(), excite.as_str()]),
                    project: &project,
                    ratio: stage.ratio,
                    kernel: stage.kernel,
                    stride,
                    channels: settings.channels(stage.channels),
                    activation,
                    padding,
                },
            );
            builder.tap(prefix, node);
        }
        builder.tap(format!("stage{}", index + 1), node);
    }

    let head = settings.outer_channels(HEAD_CHANNELS);
    let node = builder.conv_activation("conv_head", node, head, ConvSettings::POINTWISE, activation);
    builder.tap("head", node);
    builder.classifier("classifier", node);
    builder.finish()
}

/// timm's names: widening, depthwise, squeeze, excitation, projection (`conv_pw` where nothing is widened).
fn names(prefix: &str, ratio: usize) -> [String; 5] {
    let project = if ratio == 1 { "conv_pw" } else { "conv_pwl" };
    ["conv_pw", "conv_dw", "se.conv_reduce", "se.conv_expand", project].map(|name| format!("{prefix}.{name}"))
}
