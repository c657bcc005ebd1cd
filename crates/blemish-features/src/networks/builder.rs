//! Writes a network down node by node, keeping track of channels and strides.

use crate::graph::{Activation, Graph, Node, NodeId, Normalization, Op, Padding, Tap};

/// A graph under construction.
pub(super) struct Builder {
    graph: Graph,
}

/// The settings of a convolution, without channels.
#[derive(Clone, Copy)]
pub(super) struct ConvSettings {
    pub kernel: usize,
    pub stride: usize,
    pub padding: Padding,
    pub groups: usize,
}

impl ConvSettings {
    /// 1x1, stride 1.
    pub const POINTWISE: Self = Self { kernel: 1, stride: 1, padding: Padding::Symmetric(0), groups: 1 };

    /// An ungrouped convolution padded by half its kernel.
    pub fn centred(kernel: usize, stride: usize) -> Self {
        Self { kernel, stride, padding: Padding::Symmetric(kernel / 2), groups: 1 }
    }
}

/// The settings of a maximum pooling.
#[derive(Clone, Copy)]
pub(super) struct PoolSettings {
    pub kernel: usize,
    pub stride: usize,
    pub padding: usize,
    pub ceil: bool,
}

impl Builder {
    /// An empty network; node 0 is its input.
    pub fn new(name: &str, normalization: Normalization) -> Self {
        let input = Node { name: "input".into(), op: Op::Input, inputs: vec![], channels: 3, stride: 1 };
        Self { graph: Graph { name: name.into(), normalization, nodes: vec![input], taps: vec![] } }
    }

    /// Channels of a node's output.
    pub fn channels(&self, node: NodeId) -> usize {
        self.graph.nodes[node].channels
    }

    /// Image pixels to a cell of a node's output.
    pub fn stride(&self, node: NodeId) -> usize {
        self.graph.nodes[node].stride
    }

    /// A convolution to `channels` outputs whose tensors are `{name}.weight` and `{name}.bias`.
    pub fn conv(
        &mut self,
        name: impl Into<String>,
        input: NodeId,
        channels: usize,
        settings: ConvSettings,
    ) -> NodeId {
        let ConvSettings { kernel, stride, padding, groups } = settings;
        let stride_out = self.graph.nodes[input].stride * stride;
        self.push(
            name.into(),
            Op::Conv { kernel, stride, padding, groups },
            vec![input],
            channels,
            stride_out,
        )
    }

    /// A non-linearity on `input`.
    pub fn activation(&mut self, input: NodeId, activation: Activation) -> NodeId {
        let suffix = match activation {
            Activation::Relu => "relu",
            Activation::Relu6 => "relu6",
            Activation::Silu => "silu",
            Activation::Sigmoid => "sigmoid",
            Activation::Gelu => "gelu",
            Activation::QuickGelu => "quick_gelu",
        };
        self.pointwise(
            format!("{}.{suffix}", self.graph.nodes[input].name),
            Op::Activation(activation),
            input,
        )
    }

    /// [`Self::conv`] then [`Self::activation`].
    pub fn conv_activation(
        &mut self,
        name: impl Into<String>,
        input: NodeId,
        channels: usize,
        settings: ConvSettings,
        activation: Activation,
    ) -> NodeId {
        let conv = self.conv(name, input, channels, settings);
        self.activation(conv, activation)
    }

    /// A maximum pooling.
    pub fn max_pool(&mut self, name: impl Into<String>, input: NodeId, settings: PoolSettings) -> NodeId {
        let PoolSettings { kernel, stride, padding, ceil } = settings;
        let (channels, stride_out) = (self.channels(input), self.graph.nodes[input].stride * stride);
        self.push(
            name.into(),
            Op::MaxPool { kernel, stride, padding, ceil },
            vec![input],
            channels,
            stride_out,
        )
    }

    /// The mean over all positions; its stride is written as 0, since one cell covers the whole image.
    pub fn global_average_pool(&mut self, name: impl Into<String>, input: NodeId) -> NodeId {
        let channels = self.channels(input);
        self.push(name.into(), Op::GlobalAveragePool, vec![input], channels, 0)
    }

    /// The sum of two nodes of one shape.
    pub fn add(&mut self, name: impl Into<String>, a: NodeId, b: NodeId) -> NodeId {
        debug_assert_eq!(self.channels(a), self.channels(b));
        let (channels, stride) = (self.channels(a), self.graph.nodes[a].stride);
        self.push(name.into(), Op::Add, vec![a, b], channels, stride)
    }

    /// The product of a node and one weight a channel.
    pub fn scale_channels(&mut self, name: impl Into<String>, input: NodeId, scale: NodeId) -> NodeId {
        debug_assert_eq!(self.channels(input), self.channels(scale));
        let (channels, stride) = (self.channels(input), self.graph.nodes[input].stride);
        self.push(name.into(), Op::Multiply, vec![input, scale], channels, stride)
    }

    /// Two nodes side by side along channels.
    pub fn concat(&mut self, name: impl Into<String>, a: NodeId, b: NodeId) -> NodeId {
        let (channels, stride) = (self.channels(a) + self.channels(b), self.graph.nodes[a].stride);
        self.push(name.into(), Op::Concat, vec![a, b], channels, stride)
    }

    /// The usual end: global mean, then a linear layer named `name`, tapped as `logits`.
    pub fn classifier(&mut self, name: &str, input: NodeId) -> NodeId {
        let mean = self.global_average_pool("global_mean", input);
        let logits = self.conv(name, mean, 1000, ConvSettings::POINTWISE);
        self.tap("logits", logits);
        logits
    }

    /// Names the output of `node` as a feature map.
    pub fn tap(&mut self, name: impl Into<String>, node: NodeId) {
        self.graph.taps.push(Tap { name: name.into(), node });
    }

    /// The finished network.
    pub fn finish(self) -> Graph {
        self.graph
    }

    /// One token of a sequence; its stride is written as 0, since it stands for the whole image.
    pub fn pick(&mut self, name: impl Into<String>, input: NodeId, token: usize) -> NodeId {
        let channels = self.channels(input);
        self.push(name.into(), Op::Pick { token }, vec![input], channels, 0)
    }

    /// A node of any other kind, of the given inputs and channels; its stride is that of the first input.
    pub fn node(&mut self, name: impl Into<String>, op: Op, inputs: Vec<NodeId>, channels: usize) -> NodeId {
        let stride = self.graph.nodes[inputs[0]].stride;
        self.push(name.into(), op, inputs, channels, stride)
    }

    fn pointwise(&mut self, name: String, op: Op, input: NodeId) -> NodeId {
        let (channels, stride) = (self.channels(input), self.graph.nodes[input].stride);
        self.push(name, op, vec![input], channels, stride)
    }

    fn push(&mut self, name: String, op: Op, inputs: Vec<NodeId>, channels: usize, stride: usize) -> NodeId {
        self.graph.nodes.push(Node { name, op, inputs, channels, stride });
        self.graph.nodes.len() - 1
    }
}
