//! MobileNetV2 (arXiv 1801.04381) at width 1.0, with torchvision's names.

use super::builder::{Builder, ConvSettings};
use super::inverted_residual::{Block, inverted_residual};
use crate::graph::{Activation::Relu6, Graph, Normalization, Padding};

/// Widening factor, output channels, blocks and stride of each stage: table 2 of the paper.
const STAGES: [(usize, usize, usize, usize); 7] = [
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
];

/// The whole network.
pub(super) fn build(name: &str) -> Graph {
    let mut builder = Builder::new(name, Normalization::IMAGENET);
    let mut node = builder.conv_activation("features.0.0", 0, 32, ConvSettings::centred(3, 2), Relu6);
    builder.tap("features.0", node);

    let mut index = 1;
    for (ratio, channels, blocks, stride) in STAGES {
        for block in 0..blocks {
            let prefix = format!("features.{index}");
            // torchvision numbers the parts of a block, so that they shift where nothing is widened.
            let [wide, depthwise, project] = match ratio {
                1 => ["", "conv.0.0", "conv.1"],
                _ => ["conv.0.0", "conv.1.0", "conv.2"],
            }
            .map(|part| format!("{prefix}.{part}"));
            node = inverted_residual(
                &mut builder,
                node,
                &Block {
                    expand: (ratio > 1).then_some(wide.as_str()),
                    depthwise: &depthwise,
                    excitation: None,
                    project: &project,
                    ratio,
                    kernel: 3,
                    stride: if block == 0 { stride } else { 1 },
                    channels,
                    activation: Relu6,
                    padding: Padding::Symmetric(1),
                },
            );
            builder.tap(prefix, node);
            index += 1;
        }
    }

    let node = builder.conv_activation("features.18.0", node, 1280, ConvSettings::POINTWISE, Relu6);
    builder.tap("features.18", node);
    builder.classifier("classifier.1", node);
    builder.finish()
}
