//! ResNet (arXiv 1512.03385) and Wide ResNet (arXiv 1605.07146) as torchvision has them: in a bottleneck block the stride sits
//! on the 3x3 convolution ("ResNet v1.5"), and a wide network doubles only the inner width.

use super::builder::{Builder, ConvSettings, PoolSettings};
use crate::graph::{Activation::Relu, Graph, NodeId, Normalization};

/// Output channels of the four layers before expansion.
const PLANES: [usize; 4] = [64, 128, 256, 512];

/// A network of blocks with two 3x3 convolutions.
pub(super) fn basic(name: &str, blocks: [usize; 4]) -> Graph {
    network(name, blocks, |builder, prefix, input, planes, stride| {
        let hidden = builder.conv_activation(
            format!("{prefix}.conv1"),
            input,
            planes,
            ConvSettings::centred(3, stride),
            Relu,
        );
        let output = builder.conv(format!("{prefix}.conv2"), hidden, planes, ConvSettings::centred(3, 1));
        (output, planes)
    })
}

/// A network of 1x1, 3x3, 1x1 blocks; `base_width` is the inner width of layer1 (64, or 128 for the wide ones).
pub(super) fn bottleneck(name: &str, blocks: [usize; 4], base_width: usize) -> Graph {
    network(name, blocks, move |builder, prefix, input, planes, stride| {
        let width = planes * base_width / 64;
        let narrow =
            builder.conv_activation(format!("{prefix}.conv1"), input, width, ConvSettings::POINTWISE, Relu);
        let spatial = builder.conv_activation(
            format!("{prefix}.conv2"),
            narrow,
            width,
            ConvSettings::centred(3, stride),
            Relu,
        );
        let output = builder.conv(format!("{prefix}.conv3"), spatial, 4 * planes, ConvSettings::POINTWISE);
        (output, 4 * planes)
    })
}

/// Stem, four layers of blocks, classifier. `branch` writes the residual branch of a block and returns its channels.
fn network(
    name: &str,
    blocks: [usize; 4],
    branch: impl Fn(&mut Builder, &str, NodeId, usize, usize) -> (NodeId, usize),
) -> Graph {
    let mut builder = Builder::new(name, Normalization::IMAGENET);
    let stem = builder.conv_activation("conv1", 0, 64, ConvSettings::centred(7, 2), Relu);
    builder.tap("stem", stem);
    let pool = PoolSettings { kernel: 3, stride: 2, padding: 1, ceil: false };
    let mut node = builder.max_pool("maxpool", stem, pool);

    for (layer, (&planes, &count)) in PLANES.iter().zip(&blocks).enumerate() {
        for block in 0..count {
            let prefix = format!("layer{}.{block}", layer + 1);
            let stride = if block == 0 && layer > 0 { 2 } else { 1 };
            let (residual, channels) = branch(&mut builder, &prefix, node, planes, stride);
            let shortcut = if stride == 1 && builder.channels(node) == channels {
                node
            } else {
                let projection = ConvSettings { stride, ..ConvSettings::POINTWISE };
                builder.conv(format!("{prefix}.downsample.0"), node, channels, projection)
            };
            let sum = builder.add(format!("{prefix}.add"), residual, shortcut);
            node = builder.activation(sum, Relu);
            builder.tap(prefix, node);
        }
        builder.tap(format!("layer{}", layer + 1), node);
    }
    builder.classifier("fc", node);
    builder.finish()
}
