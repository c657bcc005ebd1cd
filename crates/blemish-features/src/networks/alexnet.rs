//! AlexNet as torchvision has it ("One weird trick", arXiv 1404.5997), without its three linear layers, which nobody taps.

use super::builder::{Builder, ConvSettings, PoolSettings};
use crate::graph::{Activation::Relu, Graph, Normalization, Padding};

/// Output channels, kernel, stride, padding of each convolution, and whether a pooling follows.
const CONVOLUTIONS: [(usize, usize, usize, usize, bool); 5] = [
    (64, 11, 4, 2, true),
    (192, 5, 1, 2, true),
    (384, 3, 1, 1, false),
    (256, 3, 1, 1, false),
    (256, 3, 1, 1, true),
];

/// The convolutional part.
pub(super) fn build(name: &str) -> Graph {
    let mut builder = Builder::new(name, Normalization::IMAGENET);
    let mut node = 0;
    let mut index = 0;
    for (channels, kernel, stride, padding, pooled) in CONVOLUTIONS {
        let settings = ConvSettings { kernel, stride, padding: Padding::Symmetric(padding), groups: 1 };
        node = builder.conv(format!("features.{index}"), node, channels, settings);
        builder.tap(format!("features.{index}"), node);
        node = builder.activation(node, Relu);
        builder.tap(format!("features.{}", index + 1), node);
        index += 2;
        if pooled {
            let pool = PoolSettings { kernel: 3, stride: 2, padding: 0, ceil: false };
            node = builder.max_pool(format!("features.{index}"), node, pool);
            builder.tap(format!("features.{index}"), node);
            index += 1;
        }
    }
    builder.finish()
}
