//! A [`Graph`] run node by node on tensors of Burn, with convolutions of the caller's: frozen ones in the engine, trained ones elsewhere.

use crate::FeatureError;
use crate::graph::{Activation, Graph, Node, NodeId, Op, Padding};
use burn::tensor::module::{adaptive_avg_pool2d, conv2d, max_pool2d};
use burn::tensor::ops::{ConvOptions, MaxPoolOptions};
use burn::tensor::{Tensor, activation};

/// Runs a graph, freeing each intermediate after its last use.
#[derive(Clone, Debug)]
pub struct Interpreter {
    nodes: Vec<Node>,
    taps: Vec<NodeId>,
    /// For each node, the step after which nothing reads it any more.
    last_use: Vec<usize>,
}

/// The form of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvolutionShape {
    /// Step of the window.
    pub stride: usize,
    /// Zero padding.
    pub padding: Padding,
    /// Number of groups.
    pub groups: usize,
}

/// A convolution of the caller's: its number in the order of execution, form and input to output.
pub type Convolve<'a> = dyn Fn(usize, ConvolutionShape, Tensor<4>) -> Tensor<4> + 'a;

/// Burn's convolution.
pub fn convolve(shape: ConvolutionShape, x: Tensor<4>, weight: Tensor<4>, bias: Tensor<1>) -> Tensor<4> {
    let ConvolutionShape { stride, padding, groups } = shape;
    let ([_, _, height, width], kernel) = (x.dims(), weight.dims()[2]);
    let around = [height, width].map(|side| padding.around(side, kernel, stride));
    conv2d(x, weight, Some(bias), ConvOptions::new_with_padding([stride; 2], around, [1; 2], groups))
}

impl Interpreter {
    /// For a graph whose taps are what is wanted of it.
    pub fn new(graph: &Graph) -> Self {
        let taps: Vec<NodeId> = graph.taps.iter().map(|tap| tap.node).collect();
        let mut last_use: Vec<usize> = (0..graph.nodes.len()).collect();
        for (id, node) in graph.nodes.iter().enumerate() {
            node.inputs.iter().for_each(|&input| last_use[input] = id);
        }
        taps.iter().for_each(|&tap| last_use[tap] = graph.nodes.len());
        Self { nodes: graph.nodes.clone(), taps, last_use }
    }

    /// Names of the convolutions, in the order of execution.
    pub fn convolutions(&self) -> impl Iterator<Item = &str> {
        self.nodes.iter().filter(|node| is_convolution(node)).map(|node| &*node.name)
    }

    /// The taps' tensors for a batch, N x C x H x W, normalised.
    ///
    /// # Errors
    /// [`FeatureError::Engine`] for a graph that reads what was never computed.
    pub fn forward(&self, image: Tensor<4>, convolve: &Convolve<'_>) -> Result<Vec<Tensor<4>>, FeatureError> {
        self.forward_first(image, self.taps.len(), convolve)
    }

    /// The same of the first `count` taps alone; what lies behind them is not computed.
    ///
    /// # Errors
    /// [`FeatureError::Engine`] for a graph that reads what was never computed.
    pub fn forward_first(
        &self,
        image: Tensor<4>,
        count: usize,
        convolve: &Convolve<'_>,
    ) -> Result<Vec<Tensor<4>>, FeatureError> {
        let taps = &self.taps[..count.min(self.taps.len())];
        let end = taps.iter().max().map_or(0, |&tap| tap + 1);
        let mut values: Vec<Option<Tensor<4>>> = vec![None; self.nodes.len()];
        values[0] = Some(image);
        let mut convolutions = 0;
        for (id, node) in self.nodes.iter().enumerate().take(end).skip(1) {
            let inputs = node.inputs.iter().map(|&input| {
                let value = values.get(input).and_then(Clone::clone);
                value.ok_or_else(|| fail(&format!("step {} reads a missing value", node.name)))
            });
            let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
            values[id] = Some(apply(&node.op, inputs, &|shape, x| convolve(convolutions, shape, x))?);
            convolutions += usize::from(is_convolution(node));
            for &input in &node.inputs {
                if self.last_use[input] == id {
                    values[input] = None;
                }
            }
        }
        let tap = |&tap: &NodeId| values[tap].clone().ok_or_else(|| fail("a feature map was not computed"));
        taps.iter().map(tap).collect()
    }
}

fn is_convolution(node: &Node) -> bool {
    matches!(node.op, Op::Conv { .. })
}

fn apply(
    op: &Op,
    inputs: Vec<Tensor<4>>,
    convolve: &dyn Fn(ConvolutionShape, Tensor<4>) -> Tensor<4>,
) -> Result<Tensor<4>, FeatureError> {
    if matches!(op, Op::Concat) {
        return Ok(Tensor::cat(inputs, 1));
    }
    let mut inputs = inputs.into_iter();
    let mut next = || inputs.next().ok_or_else(|| fail(&format!("{op:?} lacks an input")));
    let x = next()?;
    Ok(match *op {
        Op::Conv { stride, padding, groups, .. } => convolve(ConvolutionShape { stride, padding, groups }, x),
        Op::MaxPool { kernel, stride, padding, ceil } => {
            let options = MaxPoolOptions::new([kernel; 2]).with_stride([stride; 2]);
            max_pool2d(x, options.with_padding([padding; 2]).with_ceil_mode(ceil))
        }
        Op::Activation(Activation::Relu) => activation::relu(x),
        Op::Activation(Activation::Relu6) => x.clamp(0.0, 6.0),
        Op::Activation(Activation::Silu) => activation::silu(x),
        Op::Activation(Activation::Sigmoid) => activation::sigmoid(x),
        Op::GlobalAveragePool => adaptive_avg_pool2d(x, [1, 1]),
        Op::Add => x + next()?,
        Op::Multiply => x * next()?,
        Op::Input | Op::Concat => x,
    })
}

fn fail(reason: &str) -> FeatureError {
    FeatureError::Engine { engine: "burn", reason: reason.to_owned() }
}
