//! From a graph in single precision to steps in bytes: scales, zeros and ratios.

use super::{QuantisedNetwork, Range, Ranges, fail};
use crate::FeatureError;
use crate::executors::fusion::{Fused, fuse, last_uses};
use crate::graph::{Activation, Graph, NodeId, Op, Padding};
use blemish_kernels::Lines;
use blemish_kernels::conv::{ConvSpec, MaxPool, Windows};
use blemish_kernels::int8::{
    ByteConvolution, ByteMap, ByteRatio, Quantisation, Requantisation, Residual, SumRatio, add, global_mean,
    max_pool,
};

/// A bias takes at most so many steps of its sum, well below what the kernels allow.
pub(super) const MOST_BIAS: f64 = (1 << 26) as f64;
/// Channels of a linear map's input; with fewer, rounding them costs what the products save.
const FEWEST_INPUTS: usize = 64;

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
        space: Lines<u8>,
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

/// The steps of a network, and how the maps that come out of them are quantised.
pub(super) fn plan(
    graph: &Graph,
    network: &QuantisedNetwork,
) -> Result<(Vec<Step>, Vec<Option<Quantisation>>), FeatureError> {
    let (fused, quantisations) = quantisations(graph, &network.ranges)?;
    let inputs: Vec<Vec<NodeId>> = fused.iter().map(|step| step.inputs.clone()).collect();
    let step = |(fused, done_with): (Fused, Vec<NodeId>)| {
        let missing = || fail(&"a step comes before its input");
        let read = fused.inputs.iter().map(|&input| quantisations[input]).collect::<Option<Vec<_>>>();
        let own = quantisations[fused.result].ok_or_else(missing)?;
        let work = work(graph, &fused, network, &read.ok_or_else(missing)?, own)?;
        Ok(Step { result: fused.result, inputs: fused.inputs, work, done_with })
    };
    let last = last_uses(graph, &inputs);
    let steps = fused.into_iter().zip(last).map(step).collect::<Result<_, FeatureError>>()?;
    Ok((steps, quantisations))
}

/// How much of a network is done in bytes.
pub(crate) enum Extent {
    /// Every step, and the maps between them.
    Whole,
    /// The products of these linear maps, in their order; all maps are in single precision.
    LinearMaps(Vec<NodeId>),
}

/// How much of a graph can be done in bytes.
///
/// # Errors
/// [`FeatureError::Engine`] if nothing can, with the first operator that stands in the way.
pub(crate) fn extent(graph: &Graph) -> Result<Extent, FeatureError> {
    let Err(error) = check(graph) else { return Ok(Extent::Whole) };
    let linear_maps: Vec<NodeId> =
        (0..graph.nodes.len()).filter(|&node| is_linear_map(graph, node)).collect();
    if linear_maps.is_empty() { Err(error) } else { Ok(Extent::LinearMaps(linear_maps)) }
}

/// Whether a node maps every position on its own, from so many channels that bytes save time. What follows a global mean costs little
/// and steers much.
fn is_linear_map(graph: &Graph, node: NodeId) -> bool {
    let node = &graph.nodes[node];
    let Op::Conv { kernel: 1, stride: 1, groups: 1, padding } = node.op else { return false };
    padding.around(1, 1, 1) == (0, 0)
        && node.stride > 0
        && graph.nodes[node.inputs[0]].channels >= FEWEST_INPUTS
}

/// Refuses a graph with operators that are not done with bytes on both sides.
fn check(graph: &Graph) -> Result<(), FeatureError> {
    for step in fuse(graph) {
        let node = &graph.nodes[step.id];
        let refused = |what: &dyn std::fmt::Debug| {
            fail(&format!("{what:?} at {} is not done in bytes; use single precision", node.name))
        };
        match (&node.op, step.activation) {
            (_, Some(Activation::Silu | Activation::Sigmoid | Activation::Gelu | Activation::QuickGelu)) => {
                return Err(refused(&step.activation));
            }
            (Op::Conv { .. } | Op::MaxPool { .. } | Op::GlobalAveragePool | Op::Add, _) => {}
            (other, _) => return Err(refused(other)),
        }
    }
    Ok(())
}

/// The steps of a graph, and how their maps are quantised; by node, `None` for those inside of a step.
///
/// # Errors
/// [`FeatureError::Engine`] if an operator is not done in bytes or a range is missing.
pub(super) fn quantisations(
    graph: &Graph,
    ranges: &Ranges,
) -> Result<(Vec<Fused>, Vec<Option<Quantisation>>), FeatureError> {
    check(graph)?;
    let fused = fuse(graph);
    let mut quantisations = vec![None; graph.nodes.len()];
    let planned = |node: NodeId| {
        let name = &graph.nodes[node].name;
        let range = ranges.get(name).ok_or_else(|| fail(&format!("the range of {name} is missing")))?;
        range.quantisation()
    };
    quantisations[0] = Some(planned(0)?);
    for step in &fused {
        quantisations[step.result] = match graph.nodes[step.id].op {
            // The bytes are those of the input.
            Op::MaxPool { .. } | Op::GlobalAveragePool => quantisations[step.inputs[0]],
            _ => Some(planned(step.result)?),
        };
    }
    Ok((fused, quantisations))
}

fn work(
    graph: &Graph,
    fused: &Fused,
    network: &QuantisedNetwork,
    read: &[Quantisation],
    own: Quantisation,
) -> Result<Work, FeatureError> {
    let node = &graph.nodes[fused.id];
    let [least, most] = match fused.activation {
        Some(Activation::Relu) => [own.zero(), 255],
        Some(Activation::Relu6) => [own.zero(), own.byte(6.0)],
        // Nothing else has passed `check`.
        _ => [0, 255],
    };
    let byte_ratio = |of: Quantisation| {
        let ratio = ByteRatio::new(f64::from(of.scale()) / f64::from(own.scale()));
        ratio.map_err(|error| mismatch(&node.name, &error))
    };
    Ok(match node.op {
        Op::Conv { kernel, stride, padding, groups } => {
            let in_channels = graph.nodes[node.inputs[0]].channels;
            let spec = ConvSpec { in_channels, out_channels: node.channels, kernel, stride, groups };
            let weights = network.convolutions.get(&node.name);
            let weights =
                weights.ok_or_else(|| fail(&format!("the weights of {} are missing", node.name)))?;
            let (bias, scales) = weights
                .of_sums(read[0].scale())
                .ok_or_else(|| mismatch(&node.name, &"a bias is out of reach of its sums"))?;
            let ratios = scales.iter().map(|scale| SumRatio::new(scale / f64::from(own.scale())));
            let ratios = ratios.collect::<Result<_, _>>().map_err(|error| mismatch(&node.name, &error))?;
            let requantisation =
                Requantisation { input_zero: read[0].zero(), ratios, output_zero: own.zero(), least, most };
            Work::Convolve {
                convolution: Box::new(ByteConvolution::new(spec, &weights.values, &bias, &requantisation)),
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
        ref other => return Err(fail(&format!("{other:?} has passed for work in bytes"))),
    })
}

fn mismatch(name: &str, error: &dyn std::fmt::Display) -> FeatureError {
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
