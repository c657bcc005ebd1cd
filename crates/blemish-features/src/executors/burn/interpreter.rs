//! A [`Graph`] run node by node on tensors of Burn, with convolutions of the caller's: frozen ones in the engine, trained ones elsewhere.

use crate::FeatureError;
use crate::graph::{Activation, Graph, Node, NodeId, Op, Padding, Weights};
use crate::positions::Positions;
use burn::tensor::module::{adaptive_avg_pool2d, conv2d, max_pool2d};
use burn::tensor::ops::{ConvOptions, MaxPoolOptions};
use burn::tensor::{Device, Tensor, TensorData, activation};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Runs a graph, freeing each intermediate after its last use.
#[derive(Clone, Debug)]
pub struct Interpreter {
    nodes: Vec<Node>,
    taps: Vec<NodeId>,
    /// For each node, the step after which nothing reads it any more.
    last_use: Vec<usize>,
    /// Tensors of nodes that are no convolutions.
    parameters: BTreeMap<NodeId, Parameters>,
}

/// Frozen tensors of a transformer.
#[derive(Clone, Debug)]
enum Parameters {
    /// Gain and bias, 1 x C x 1 x 1.
    Norm(Box<[Tensor<4>; 2]>),
    /// The first tokens, 1 x C x prefix x 1, and the positions of the others.
    Tokens(Box<Tensor<4>>, Arc<Positions>),
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
        Self { nodes: graph.nodes.clone(), taps, last_use, parameters: BTreeMap::new() }
    }

    /// The same with the frozen tensors of layer norms and tokens, which transformers have beside their convolutions.
    ///
    /// # Errors
    /// [`FeatureError::Engine`] if one of them is not there.
    pub fn with_weights(graph: &Graph, weights: &Weights, device: &Device) -> Result<Self, FeatureError> {
        let mut interpreter = Self::new(graph);
        for (id, node) in graph.nodes.iter().enumerate() {
            let tensor = |kind: &str| {
                let name = format!("{}.{kind}", node.name);
                weights.get(&name).ok_or_else(|| fail(&format!("there is no tensor {name}")))
            };
            let column = |values: &[f32], length: usize| {
                let data = TensorData::new(values.to_vec(), [1, length, node.channels, 1]);
                Tensor::<4>::from_data(data, device).swap_dims(1, 2)
            };
            let parameters = match node.op {
                Op::LayerNorm { .. } => {
                    let [gain, bias] =
                        [tensor("weight")?, tensor("bias")?].map(|tensor| column(&tensor.data, 1));
                    Parameters::Norm(Box::new([gain, bias]))
                }
                Op::Tokens { prefix, side, resample } => {
                    let positions = Positions::new(tensor("positions")?.data.clone(), side, resample);
                    Parameters::Tokens(Box::new(column(&tensor("prefix")?.data, prefix)), Arc::new(positions))
                }
                _ => continue,
            };
            interpreter.parameters.insert(id, parameters);
        }
        Ok(interpreter)
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
            values[id] = Some(match &node.op {
                Op::Tokens { .. } | Op::LayerNorm { .. } => {
                    let parameters = self.parameters.get(&id);
                    with_parameters(&node.op, inputs, parameters)
                        .ok_or_else(|| fail(&format!("step {} lacks its tensors", node.name)))?
                }
                op => apply(op, inputs, &|shape, x| convolve(convolutions, shape, x))?,
            });
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
        Op::Activation(kind) => activate(kind, x),
        Op::GlobalAveragePool => adaptive_avg_pool2d(x, [1, 1]),
        Op::Add => x + next()?,
        Op::Multiply => x * next()?,
        Op::Grid { prefix } => {
            let ([count, channels, tokens, _], [_, _, height, width]) = (x.dims(), next()?.dims());
            x.slice([0..count, 0..channels, prefix..tokens]).reshape([count, channels, height, width])
        }
        Op::Pick { token } => x.narrow(2, token, 1),
        Op::Attention { heads } => attend(x, heads),
        Op::Gate(kind) => {
            let half = x.dims()[1] / 2;
            activate(kind, x.clone().narrow(1, 0, half)) * x.narrow(1, half, half)
        }
        Op::Input | Op::Concat | Op::Tokens { .. } | Op::LayerNorm { .. } => x,
    })
}

fn activate(kind: Activation, x: Tensor<4>) -> Tensor<4> {
    match kind {
        Activation::Relu => activation::relu(x),
        Activation::Relu6 => x.clamp(0.0, 6.0),
        Activation::Silu => activation::silu(x),
        Activation::Sigmoid => activation::sigmoid(x),
        Activation::Gelu => activation::gelu(x),
        Activation::QuickGelu => x.clone() * activation::sigmoid(x * 1.702),
    }
}

/// Attention of all positions to each other, N x 3C x T x 1 to N x C x T x 1.
fn attend(qkv: Tensor<4>, heads: usize) -> Tensor<4> {
    let [count, channels, height, width] = qkv.dims();
    let (each, tokens) = (channels / 3 / heads, height * width);
    let qkv = qkv.reshape([count, 3 * heads, each, tokens]);
    let part = |index: usize| qkv.clone().narrow(1, index * heads, heads);
    let scores = part(0).swap_dims(2, 3).matmul(part(1)) * (1.0 / (each as f64).sqrt());
    let summed = part(2).matmul(activation::softmax(scores, 3).swap_dims(2, 3));
    summed.reshape([count, channels / 3, height, width])
}

/// The step of a transformer that has tensors of its own.
fn with_parameters(op: &Op, inputs: Vec<Tensor<4>>, parameters: Option<&Parameters>) -> Option<Tensor<4>> {
    let x = inputs.into_iter().next()?;
    Some(match (op, parameters?) {
        (Op::LayerNorm { epsilon }, Parameters::Norm(tensors)) => {
            let [gain, bias] = &**tensors;
            let centred = x.clone() - x.mean_dim(1);
            let variance = centred.clone().powi_scalar(2).mean_dim(1);
            centred / (variance + f64::from(*epsilon)).sqrt() * gain.clone() + bias.clone()
        }
        (Op::Tokens { .. }, Parameters::Tokens(prefix, positions)) => {
            let [count, channels, height, width] = x.dims();
            let table = positions.at([height, width]).to_vec();
            let table = TensorData::new(table, [1, height * width, channels, 1]);
            let table = Tensor::<4>::from_data(table, &x.device()).swap_dims(1, 2);
            let pixels = x.reshape([count, channels, height * width, 1]) + table;
            Tensor::cat(vec![(**prefix).clone().repeat_dim(0, count), pixels], 2)
        }
        _ => return None,
    })
}

fn fail(reason: &str) -> FeatureError {
    FeatureError::Engine { engine: "burn", reason: reason.to_owned() }
}
