//! The block shared by MobileNetV2 (arXiv 1801.04381) and the EfficientNets (arXiv 1905.11946): widen by a 1x1 convolution,
//! filter each channel, optionally re-weight channels (squeeze and excitation, arXiv 1709.01507), project back, add the input.

use super::builder::{Builder, ConvSettings};
use crate::graph::{Activation, NodeId, Padding};

/// The settings of one block.
pub(super) struct Block<'a> {
    /// Name of the widening convolution; the block does not widen when absent.
    pub expand: Option<&'a str>,
    /// Name of the depthwise convolution.
    pub depthwise: &'a str,
    /// Names of the two convolutions of squeeze and excitation, if it has one.
    pub excitation: Option<[&'a str; 2]>,
    /// Name of the projecting convolution.
    pub project: &'a str,
    /// Factor of the widening.
    pub ratio: usize,
    /// Side of the depthwise kernel.
    pub kernel: usize,
    /// Step of the depthwise convolution.
    pub stride: usize,
    /// Channels that leave the block.
    pub channels: usize,
    /// After the widening and the depthwise convolution; the projection has none.
    pub activation: Activation,
    /// Padding of the depthwise convolution.
    pub padding: Padding,
}

/// Writes `block` down and gives its output.
pub(super) fn inverted_residual(builder: &mut Builder, input: NodeId, block: &Block<'_>) -> NodeId {
    let (channels, activation) = (builder.channels(input), block.activation);
    let width = channels * block.ratio;
    let wide = match block.expand {
        Some(name) => builder.conv_activation(name, input, width, ConvSettings::POINTWISE, activation),
        None => input,
    };
    let depthwise =
        ConvSettings { kernel: block.kernel, stride: block.stride, padding: block.padding, groups: width };
    let filtered = builder.conv_activation(block.depthwise, wide, width, depthwise, activation);
    let weighted = match block.excitation {
        // The squeezed width is a quarter of what enters the block, not of the widened channels.
        Some(names) => excite(builder, filtered, names, channels / 4),
        None => filtered,
    };
    let output = builder.conv(block.project, weighted, block.channels, ConvSettings::POINTWISE);
    if block.stride == 1 && channels == block.channels {
        builder.add(format!("{}.add", block.project), output, input)
    } else {
        output
    }
}

/// `input` times sigmoid(W2 silu(W1 mean(input))), a weight a channel.
fn excite(builder: &mut Builder, input: NodeId, names: [&str; 2], squeezed: usize) -> NodeId {
    let [reduce, expand] = names;
    let mean = builder.global_average_pool(format!("{reduce}.mean"), input);
    let hidden = builder.conv_activation(reduce, mean, squeezed, ConvSettings::POINTWISE, Activation::Silu);
    let channels = builder.channels(input);
    let gate =
        builder.conv_activation(expand, hidden, channels, ConvSettings::POINTWISE, Activation::Sigmoid);
    builder.scale_channels(format!("{expand}.scale"), input, gate)
}
