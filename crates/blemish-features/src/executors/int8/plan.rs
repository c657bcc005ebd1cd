//! From a graph in single precision to steps in bytes: scales, zeros and ratios.

use super::{Range, Ranges, fail};
use crate::FeatureError;
use crate::executors::fusion::{Fused, fuse, last_uses};
use crate::graph::{Activation, Graph, NodeId, Op, Padding, Tensor, Weights};
use blemish_kernels::KernelError;
use blemish_kernels::conv::{ConvSpec, MaxPool, Windows};
use blemish_kernels::int8::{
    ByteConvolution, ByteMap, ByteRatio, Quantisation, Requantisation, Residual, SumRatio, add, global_mean,
    max_pool,
};

/// A bias takes at most so many steps of its sum, well below what the kernels allow.
const MOST_BIAS: f64 = (1 << 26) as f64;

/// Work whose outcome is that of node `result`.
pub(super) struct Step {
    pub result: NodeId,
    pub inputs: Vec<NodeId>,
    pub work: Work,
    /// Nodes that no later step needs.
    pub done_with: Vec<NodeId>,
}

pub(super) enum Work {
    Convolve {
        convolution: Box<ByteConvolution>,
        kernel: usize,
        stride: usize,
        padding: Padding,
        /// Of the second input.
        residual: Option<ByteRatio>,
    },
    MaxPool {
        pool: MaxPool,
        padding: usize,
    },
    GlobalMean,
    Add {
        ratios: [ByteRatio; 2],
        /// Zero, lowest and highest byte.
        output: [u8; 3],
    },
}

impl Work {
    /// The outcome of `[height, width]`, in the memory of `space`; `None` if inputs are missing.
    pub fn run(
        &self,
        inputs: &[&ByteMap],
        [height, width]: [usize; 2],
        space: Vec<u8>,
        is_parallel: bool,
    ) -> Option<ByteMap> {
        let first = *inputs.first()?;
        Some(match self {
            Self::Convolve { convolution, kernel, stride, padding, residual } => {
                let [top, left] =
                    [first.height, first.width].map(|side| padding.around(side, *kernel, *stride).0);
                let residual = match residual {
                    Some(ratio) => Some(Residual { map: inputs.get(1)?, ratio: *ratio }),
                    None => None,
                };
                convolution.apply(first, Windows { top, left, height, width }, residual, space, is_parallel)
            }
            Self::MaxPool { pool, padding } => {
                max_pool(*pool, first, Windows { top: *padding, left: *padding, height, width }, space)
            }
            Self::GlobalMean => global_mean(first),
            Self::Add { ratios, output } => {
                let terms = [(first, ratios[0]), (*inputs.get(1)?, ratios[1])];
                add(terms.map(|(map, ratio)| Residual { map, ratio }), *output, space)
            }
        })
    }
}

/// The steps of a graph, and how the maps that come out of them are quantised.
pub(super) fn plan(
    graph: &Graph,
    weights: &Weights,
    ranges: &Ranges,
) -> Result<(Vec<Step>, Vec<Option<Quantisation>>), FeatureError> {
    let fused = fuse(graph);
    let inputs: Vec<Vec<NodeId>> = fused.iter().map(|step| step.inputs.clone()).collect();
    let mut quantisations = vec![None; graph.nodes.len()];
    let planned = |node: NodeId| {
        let name = &graph.nodes[node].name;
        let range = ranges.get(name).ok_or_else(|| fail(&format!("the range of {name} is missing")))?;
        range.quantisation()
    };
    quantisations[0] = Some(planned(0)?);
    let mut steps = Vec::new();
    for (fused, done_with) in fused.into_iter().zip(last_uses(graph, &inputs)) {
        let read = fused.inputs.iter().map(|&input| quantisations[input]).collect::<Option<Vec<_>>>();
        let read = read.ok_or_else(|| fail(&"a step comes before its input"))?;
        let own = match graph.nodes[fused.id].op {
            // The bytes are those of the input.
            Op::MaxPool { .. } | Op::GlobalAveragePool => read[0],
            _ => planned(fused.result)?,
        };
        quantisations[fused.result] = Some(own);
        let work = work(graph, &fused, weights, &read, own)?;
        steps.push(Step { result: fused.result, inputs: fused.inputs, work, done_with });
    }
    Ok((steps, quantisations))
}

fn work(
    graph: &Graph,
    fused: &Fused,
    weights: &Weights,
    read: &[Quantisation],
    own: Quantisation,
) -> Result<Work, FeatureError> {
    let node = &graph.nodes[fused.id];
    let refused = |what: &dyn std::fmt::Debug| {
        fail(&format!("{what:?} at {} is not done in bytes; use single precision", node.name))
    };
    let [least, most] = match fused.activation {
        None => [0, 255],
        Some(Activation::Relu) => [own.zero(), 255],
        Some(Activation::Relu6) => [own.zero(), own.byte(6.0)],
        Some(other) => return Err(refused(&other)),
    };
    let byte_ratio = |of: Quantisation| {
        let ratio = ByteRatio::new(f64::from(of.scale()) / f64::from(own.scale()));
        ratio.map_err(|error| mismatch(&node.name, &error))
    };
    Ok(match node.op {
        Op::Conv { kernel, stride, padding, groups } => {
            let in_channels = graph.nodes[node.inputs[0]].channels;
            let spec = ConvSpec { in_channels, out_channels: node.channels, kernel, stride, groups };
            let tensor = |kind: &str| {
                let name = format!("{}.{kind}", node.name);
                weights.get(&name).ok_or_else(|| fail(&format!("tensor {name} is missing")))
            };
            let Integers { weights, bias, scales } =
                Integers::new(tensor("weight")?, tensor("bias")?, read[0].scale());
            let ratios = scales.iter().map(|scale| SumRatio::new(scale / f64::from(own.scale())));
            let ratios = ratios.collect::<Result<_, _>>().map_err(|error| mismatch(&node.name, &error))?;
            let requantisation =
                Requantisation { input_zero: read[0].zero(), ratios, output_zero: own.zero(), least, most };
            Work::Convolve {
                convolution: Box::new(ByteConvolution::new(spec, &weights, &bias, &requantisation)),
                kernel,
                stride,
                padding,
                residual: read.get(1).map(|&residual| byte_ratio(residual)).transpose()?,
            }
        }
        Op::MaxPool { kernel, stride, padding, .. } => {
            Work::MaxPool { pool: MaxPool { kernel, stride }, padding }
        }
        Op::GlobalAveragePool => Work::GlobalMean,
        Op::Add => {
            let ratios = [byte_ratio(read[0])?, byte_ratio(read[1])?];
            Work::Add { ratios, output: [own.zero(), least, most] }
        }
        ref other => return Err(refused(other)),
    })
}

fn mismatch(name: &str, error: &KernelError) -> FeatureError {
    fail(&format!("the range of {name} does not go with its weights: {error}"))
}

impl Range {
    /// How bytes cover the range.
    pub(super) fn quantisation(self) -> Result<Quantisation, FeatureError> {
        let scale = (self.high - self.low) / 255.0;
        // A map that is 0 everywhere: any scale serves.
        let scale = if scale > 0.0 { scale } else { 1.0 };
        let zero = (-self.low / scale).round().clamp(0.0, 255.0) as u8;
        Quantisation::new(scale, zero).map_err(|error| fail(&error))
    }
}

/// A convolution's tensors in whole numbers.
struct Integers {
    weights: Vec<i8>,
    /// Of the scale of the sums.
    bias: Vec<i32>,
    /// Of the sums, one a channel.
    scales: Vec<f64>,
}

impl Integers {
    /// The nearest whole numbers, -127 to 127 for the weights of every channel.
    fn new(weight: &Tensor, bias: &Tensor, input_scale: f32) -> Self {
        let terms = weight.data.len() / bias.data.len().max(1);
        let input_scale = f64::from(input_scale);
        let mut whole = Self { weights: Vec::new(), bias: Vec::new(), scales: Vec::new() };
        for (weights, &bias) in weight.data.chunks_exact(terms.max(1)).zip(&bias.data) {
            let greatest = weights.iter().fold(0.0f32, |most, weight| most.max(weight.abs()));
            // Where weights are next to nothing, steps are as coarse as the bias asks for.
            let for_bias = f64::from(bias.abs()) / (input_scale * MOST_BIAS);
            let scale = (f64::from(greatest) / 127.0).max(for_bias);
            let scale = if scale > 0.0 { scale } else { f64::from(f32::MIN_POSITIVE) };
            whole.weights.extend(weights.iter().map(|&weight| (f64::from(weight) / scale).round() as i8));
            whole.bias.push((f64::from(bias) / (input_scale * scale)).round() as i32);
            whole.scales.push(input_scale * scale);
        }
        whole
    }
}
