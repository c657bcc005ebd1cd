//! VGG16 (arXiv 1409.1556) without batch norm and without its three linear layers, which nobody taps.

use super::builder::{Builder, ConvSettings, PoolSettings};
use crate::graph::{Activation::Relu, Graph, Normalization};

/// Output channels and number of the convolutions between two poolings.
const BLOCKS: [(usize, usize); 5] = [(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)];

/// The convolutional part.
pub(super) fn build(name: &str) -> Graph {
    let mut builder = Builder::new(name, Normalization::IMAGENET);
    let mut node = 0;
    let mut index = 0;
    for (channels, convolutions) in BLOCKS {
        for _ in 0..convolutions {
            node = builder.conv(format!("features.{index}"), node, channels, ConvSettings::centred(3, 1));
            builder.tap(format!("features.{index}"), node);
            node = builder.activation(node, Relu);
            builder.tap(format!("features.{}", index + 1), node);
            index += 2;
        }
        let pool = PoolSettings { kernel: 2, stride: 2, padding: 0, ceil: false };
        node = builder.max_pool(format!("features.{index}"), node, pool);
        builder.tap(format!("features.{index}"), node);
        index += 1;
    }
    builder.finish()
}
