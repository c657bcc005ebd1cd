//! SqueezeNet 1.1 (arXiv 1602.07360 and its authors' later revision), with torchvision's names.

use super::builder::{Builder, ConvSettings, PoolSettings};
use crate::graph::{Activation::Relu, Graph, NodeId, Normalization, Padding};

/// A module of the feature extractor after the stem.
enum Module {
    Pool,
    /// Squeezed and expanded channels; the output has twice the latter.
    Fire(usize, usize),
}

const MODULES: [Module; 11] = [
    Module::Pool,
    Module::Fire(16, 64),
    Module::Fire(16, 64),
    Module::Pool,
    Module::Fire(32, 128),
    Module::Fire(32, 128),
    Module::Pool,
    Module::Fire(48, 192),
    Module::Fire(48, 192),
    Module::Fire(64, 256),
    Module::Fire(64, 256),
];

/// The whole network. Its classifier is a 1x1 convolution and a ReLU before the global mean.
pub(super) fn build(name: &str) -> Graph {
    let mut builder = Builder::new(name, Normalization::IMAGENET);
    let stem = ConvSettings { kernel: 3, stride: 2, padding: Padding::Symmetric(0), groups: 1 };
    let conv = builder.conv("features.0", 0, 64, stem);
    builder.tap("features.0", conv);
    let mut node = builder.activation(conv, Relu);
    builder.tap("features.1", node);
    for (module, index) in MODULES.iter().zip(2..) {
        let prefix = format!("features.{index}");
        node = match *module {
            Module::Pool => {
                let pool = PoolSettings { kernel: 3, stride: 2, padding: 0, ceil: true };
                builder.max_pool(&prefix, node, pool)
            }
            Module::Fire(squeezed, expanded) => fire(&mut builder, &prefix, node, squeezed, expanded),
        };
        builder.tap(prefix, node);
    }
    let classes = builder.conv_activation("classifier.1", node, 1000, ConvSettings::POINTWISE, Relu);
    let logits = builder.global_average_pool("global_mean", classes);
    builder.tap("logits", logits);
    builder.finish()
}

/// Squeeze by a 1x1 convolution, then 1x1 and 3x3 side by side.
fn fire(builder: &mut Builder, prefix: &str, input: NodeId, squeezed: usize, expanded: usize) -> NodeId {
    let name = |part: &str| format!("{prefix}.{part}");
    let thin = builder.conv_activation(name("squeeze"), input, squeezed, ConvSettings::POINTWISE, Relu);
    let one = builder.conv_activation(name("expand1x1"), thin, expanded, ConvSettings::POINTWISE, Relu);
    let three = builder.conv_activation(name("expand3x3"), thin, expanded, ConvSettings::centred(3, 1), Relu);
    builder.concat(name("concat"), one, three)
}
