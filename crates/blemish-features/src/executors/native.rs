//! Our own engine, the default: the networks that are built in, on the CPU, with the kernels of `blemish-kernels`.
//!
//! The description becomes a list of steps in which non-linearities and residual sums are part of the convolution before them; steps that
//! make an inverted residual block are done at once. The bits of the features depend neither on the machine's vector width nor on threads: a
//! batch spreads its images over the threads, a lone image its rows.

use super::batch::run_batch;
use super::fusion::{Fused, fuse, last_uses};
use super::spaces::SpacePool;
use crate::FeatureError;
use crate::graph::{Activation, Executor, FeatureMap, Graph, NodeId, Op, Padding, Weights};
use crate::positions::Positions;
use blemish_kernels::conv::{
    self, ChannelsLast, ConvSpec, Convolution, Epilogue, InvertedResidual, Layer, MaxPool, Windows,
    concatenate, global_mean, scale_channels,
};
use blemish_kernels::int8::ByteLinear;
use blemish_kernels::transformer::maps;
use blemish_kernels::{Lines, Workers};
use rayon::prelude::*;
use std::collections::BTreeMap;

/// A network as steps on this CPU.
pub(crate) struct NativeExecutor {
    graph: Graph,
    steps: Vec<Step>,
    pool: Workers,
    spaces: SpacePool<f32>,
}

/// Work whose outcome is that of node `result`.
struct Step {
    result: NodeId,
    inputs: Vec<NodeId>,
    work: Work,
    /// Nodes that no later step needs.
    done_with: Vec<NodeId>,
    /// How many steps from this one on are done at once.
    at_once: usize,
}

impl Step {
    fn convolve(&self) -> Option<&Convolve> {
        match &self.work {
            Work::Convolve(convolve) => Some(convolve),
            _ => None,
        }
    }
}

enum Work {
    Convolve(Box<Convolve>),
    /// Its products in bytes.
    MapLinearly {
        linear: Box<ByteLinear>,
        activation: conv::Activation,
    },
    MaxPool {
        pool: MaxPool,
        padding: usize,
    },
    Activate(conv::Activation),
    GlobalMean,
    Add(conv::Activation),
    Multiply,
    Concatenate,
    Tokens {
        prefix: Vec<f32>,
        positions: Positions,
    },
    /// From this token on.
    Grid(usize),
    Normalize {
        gain: Vec<f32>,
        bias: Vec<f32>,
        epsilon: f32,
    },
    /// Number of heads.
    Attend(usize),
    Gate(conv::Activation),
}

struct Convolve {
    convolution: Convolution,
    kernel: usize,
    stride: usize,
    padding: Padding,
    activation: conv::Activation,
}

impl Convolve {
    /// Where its kernel goes on a map to make one of `[height, width]`.
    fn windows(&self, input: &ChannelsLast, [height, width]: [usize; 2]) -> Windows {
        let [top, left] =
            [input.height, input.width].map(|side| self.padding.around(side, self.kernel, self.stride).0);
        Windows { top, left, height, width }
    }

    fn layer(&self) -> Layer<'_> {
        Layer { convolution: &self.convolution, activation: self.activation }
    }
}

/// Is shown what comes out of a step.
type Watch<'a> = dyn FnMut(NodeId, &ChannelsLast) + Send + 'a;

impl NativeExecutor {
    /// Packs the weights of a graph.
    pub(crate) fn new(graph: &Graph, weights: &Weights, threads: usize) -> Result<Self, FeatureError> {
        Self::with_linear_maps(graph, weights, BTreeMap::new(), threads)
    }

    /// The same with linear maps in bytes, by the names of their nodes, whose weights are not asked for.
    pub(crate) fn with_linear_maps(
        graph: &Graph,
        weights: &Weights,
        linear_maps: BTreeMap<String, ByteLinear>,
        threads: usize,
    ) -> Result<Self, FeatureError> {
        let pool = Workers::new(threads, "blemish-net").map_err(|error| fail(&error))?;
        let steps = pool.install(|| plan(graph, weights, linear_maps))?;
        Ok(Self { graph: graph.clone(), steps, pool, spaces: SpacePool::default() })
    }

    /// Shows `each` the image, 3 x height x width values, and what comes out of every step, while it is there.
    ///
    /// # Errors
    /// [`FeatureError::InputTooSmall`].
    pub(crate) fn watch(
        &self,
        image: &[f32],
        size: [usize; 2],
        each: &mut Watch<'_>,
    ) -> Result<(), FeatureError> {
        self.pool.install(|| self.run_steps(image, size, Vec::new(), true, Some(each)))
    }

    /// Writes the feature maps of one image, channels x height x width each. What is to be watched is done step by step.
    fn run_steps(
        &self,
        image: &[f32],
        [height, width]: [usize; 2],
        maps: Vec<&mut [f32]>,
        is_parallel: bool,
        mut each: Option<&mut Watch<'_>>,
    ) -> Result<(), FeatureError> {
        let sizes = self.graph.output_sizes(height, width)?;
        let mut values: Vec<Option<ChannelsLast>> = vec![None; self.graph.nodes.len()];
        let mut spaces = self.spaces.take();
        let space = spaces.take(3 * height * width);
        let planes = ChannelsLast::from_planes(image, [3, height, width], space);
        if let Some(each) = &mut each {
            each(0, &planes);
        }
        values[0] = Some(planes);
        let missing = || fail(&"a step ran before its input");
        let mut to_do = self.steps.as_slice();
        while let [first, ..] = to_do {
            let steps;
            (steps, to_do) = to_do.split_at(if each.is_some() { 1 } else { first.at_once });
            let inputs: Vec<&ChannelsLast> = inputs(steps)
                .map(|input| values[input].as_ref().ok_or_else(missing))
                .collect::<Result<_, _>>()?;
            let result = steps[steps.len() - 1].result;
            let [height, width] = sizes[result];
            let space = spaces.take(ChannelsLast::values(height, width, self.graph.nodes[result].channels));
            let outcome = match steps {
                [step] => step.work.run(&inputs, sizes[result], space, is_parallel),
                steps => block(steps).map(|(block, depthwise)| {
                    let windows = depthwise.windows(inputs[0], sizes[result]);
                    block.apply(inputs[0], windows, inputs.get(1).copied(), space, is_parallel)
                }),
            };
            let outcome = outcome.ok_or_else(missing)?;
            if let Some(each) = &mut each {
                each(result, &outcome);
            }
            values[result] = Some(outcome);
            let done_with = steps.iter().flat_map(|step| &step.done_with);
            spaces.extend(done_with.filter_map(|&node| values[node].take()).map(ChannelsLast::into_space));
        }
        for (tap, map) in self.graph.taps.iter().zip(maps) {
            values[tap.node].as_ref().ok_or_else(missing)?.write_planes(map);
        }
        spaces.extend(values.into_iter().flatten().map(ChannelsLast::into_space));
        self.spaces.keep(spaces);
        Ok(())
    }
}

impl Executor for NativeExecutor {
    fn run(
        &self,
        input: &[f32],
        [count, height, width]: [usize; 3],
    ) -> Result<Vec<FeatureMap>, FeatureError> {
        run_batch(&self.graph, &self.pool, input, [count, height, width], |image, maps, is_parallel| {
            self.run_steps(image, [height, width], maps, is_parallel, None)
        })
    }
}

impl Work {
    /// The outcome of `[height, width]`, in the memory of `space`; `None` if inputs are missing.
    fn run(
        &self,
        inputs: &[&ChannelsLast],
        [height, width]: [usize; 2],
        space: Lines<f32>,
        is_parallel: bool,
    ) -> Option<ChannelsLast> {
        let first = *inputs.first()?;
        let size = [first.height, first.width];
        Some(match self {
            Self::Convolve(convolve) => {
                let epilogue = Epilogue::new(inputs.get(1).copied(), convolve.activation);
                let windows = convolve.windows(first, [height, width]);
                convolve.convolution.apply(first, windows, epilogue, space, is_parallel)
            }
            Self::MapLinearly { linear, activation } => {
                let epilogue = Epilogue::new(inputs.get(1).copied(), *activation);
                linear.apply(first, epilogue, space, is_parallel)
            }
            Self::MaxPool { pool, padding } => {
                pool.apply(first, Windows { top: *padding, left: *padding, height, width }, space)
            }
            Self::Activate(activation) => first.activated(*activation, space),
            Self::GlobalMean => global_mean(first),
            Self::Add(activation) => first.add(inputs.get(1)?, *activation, space),
            Self::Multiply => scale_channels(first, inputs.get(1)?, space),
            Self::Concatenate => concatenate(inputs),
            Self::Tokens { prefix, positions } => maps::tokens(first, prefix, &positions.at(size), space),
            Self::Grid(prefix) => maps::grid(first, *prefix, [height, width], space),
            Self::Normalize { gain, bias, epsilon } => {
                maps::normalize(first, gain, bias, *epsilon, space, is_parallel)
            }
            Self::Attend(heads) => maps::attend(first, *heads, space, is_parallel),
            Self::Gate(activation) => maps::gate_channels(first, *activation, space),
        })
    }
}

/// What steps that are done at once read: all of the first, and the residual of the last.
fn inputs(steps: &[Step]) -> impl Iterator<Item = NodeId> {
    let residual = steps.iter().skip(1).flat_map(|step| &step.inputs[1..]);
    steps.iter().take(1).flat_map(|step| &step.inputs).chain(residual).copied()
}

/// Two or three steps in a row as a block, if they are one, and its depthwise convolution.
fn block(steps: &[Step]) -> Option<(InvertedResidual<'_>, &Convolve)> {
    let is_chain = steps.windows(2).all(|pair| {
        let [step, next] = [&pair[0], &pair[1]];
        // Nobody else wants what is in between, which is never there as a whole.
        step.inputs.len() == 1
            && next.inputs[0] == step.result
            && !next.inputs[1..].contains(&step.result)
            && next.done_with.contains(&step.result)
    });
    let parts: Vec<&Convolve> = steps.iter().map(Step::convolve).collect::<Option<_>>()?;
    let candidates = match parts[..] {
        [expand, depthwise, project] => vec![(Some(expand), depthwise, Some(project))],
        [first, second] => vec![(Some(first), second, None), (None, first, Some(second))],
        _ => vec![],
    };
    candidates.into_iter().filter(|_| is_chain).find_map(|(expand, depthwise, project)| {
        let block = InvertedResidual::new(
            expand.map(Convolve::layer),
            depthwise.layer(),
            project.map(Convolve::layer),
        )?;
        Some((block, depthwise))
    })
}

/// The steps of a graph, in its order.
fn plan(
    graph: &Graph,
    weights: &Weights,
    mut linear_maps: BTreeMap<String, ByteLinear>,
) -> Result<Vec<Step>, FeatureError> {
    let fused = fuse(graph);
    let inputs: Vec<Vec<NodeId>> = fused.iter().map(|step| step.inputs.clone()).collect();
    let linear_maps: Vec<Option<ByteLinear>> =
        fused.iter().map(|step| linear_maps.remove(&graph.nodes[step.id].name)).collect();
    // Packing the weights is what takes time.
    let pack = |((fused, linear_map), done_with): ((Fused, Option<ByteLinear>), Vec<NodeId>)| {
        let activation = fused.activation.map_or(conv::Activation::None, kernel_activation);
        let work = match linear_map {
            Some(linear) => Work::MapLinearly { linear: Box::new(linear), activation },
            None => work(graph, fused.id, activation, weights)?,
        };
        Ok(Step { result: fused.result, inputs: fused.inputs, work, done_with, at_once: 1 })
    };
    let packed = fused.into_par_iter().zip(linear_maps).zip(last_uses(graph, &inputs)).map(pack);
    let mut steps: Vec<Step> = packed.collect::<Result<_, FeatureError>>()?;
    let mut start = 0;
    while start < steps.len() {
        let mut lengths = [3, 2].into_iter().filter(|&length| start + length <= steps.len());
        let at_once = lengths.find(|&length| block(&steps[start..start + length]).is_some()).unwrap_or(1);
        steps[start].at_once = at_once;
        start += at_once;
    }
    Ok(steps)
}

fn work(
    graph: &Graph,
    id: NodeId,
    activation: conv::Activation,
    weights: &Weights,
) -> Result<Work, FeatureError> {
    let node = &graph.nodes[id];
    let tensor = |kind: &str| {
        let name = format!("{}.{kind}", node.name);
        weights.get(&name).ok_or_else(|| fail(&format!("tensor {name} is missing")))
    };
    Ok(match node.op {
        Op::Conv { kernel, stride, padding, groups } => {
            let in_channels = graph.nodes[node.inputs[0]].channels;
            let spec = ConvSpec { in_channels, out_channels: node.channels, kernel, stride, groups };
            let convolution = Convolution::new(spec, &tensor("weight")?.data, &tensor("bias")?.data);
            Work::Convolve(Box::new(Convolve { convolution, kernel, stride, padding, activation }))
        }
        Op::MaxPool { kernel, stride, padding, .. } => {
            Work::MaxPool { pool: MaxPool { kernel, stride }, padding }
        }
        Op::Activation(kind) => Work::Activate(kernel_activation(kind)),
        Op::GlobalAveragePool => Work::GlobalMean,
        Op::Add => Work::Add(activation),
        Op::Multiply => Work::Multiply,
        Op::Concat => Work::Concatenate,
        Op::Tokens { side, resample, .. } => Work::Tokens {
            prefix: tensor("prefix")?.data.clone(),
            positions: Positions::new(tensor("positions")?.data.clone(), side, resample),
        },
        Op::Grid { prefix } => Work::Grid(prefix),
        Op::Pick { token } => Work::Grid(token),
        Op::LayerNorm { epsilon } => {
            let [gain, bias] = [tensor("weight")?, tensor("bias")?].map(|tensor| tensor.data.clone());
            Work::Normalize { gain, bias, epsilon }
        }
        Op::Attention { heads } => Work::Attend(heads),
        Op::Gate(kind) => Work::Gate(kernel_activation(kind)),
        Op::Input => return Err(fail(&format!("node {id} is a second input"))),
    })
}

fn kernel_activation(activation: Activation) -> conv::Activation {
    match activation {
        Activation::Relu => conv::Activation::Relu,
        Activation::Relu6 => conv::Activation::Relu6,
        Activation::Silu => conv::Activation::Silu,
        Activation::Sigmoid => conv::Activation::Sigmoid,
        Activation::Gelu => conv::Activation::Gelu,
        Activation::QuickGelu => conv::Activation::QuickGelu,
    }
}

fn fail(reason: &dyn std::fmt::Display) -> FeatureError {
    FeatureError::Engine { engine: "native", reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backbone::embedded_weights;
    use crate::executors::tests::made_up;
    use crate::{Architecture, networks};

    #[test]
    fn kept_memory_does_not_grow_with_the_number_of_images() {
        let layers = Architecture::EfficientNetLite0.layers_at(&[4, 8, 16]);
        let graph = networks::build(Architecture::EfficientNetLite0).cut(&layers).unwrap();
        let weights = embedded_weights(&graph).unwrap().unwrap();
        let executor = NativeExecutor::new(&graph, &weights, 1).unwrap();
        let kept_after = |images: usize| -> (usize, usize) {
            for _ in 0..images {
                executor.run(&[0.5; 3 * 64 * 64], [1, 64, 64]).unwrap();
            }
            executor.spaces.kept()
        };
        let early = kept_after(5);
        assert_eq!(kept_after(60), early);
    }

    #[test]
    fn blocks_give_what_their_steps_give_to_the_bit() {
        for (architecture, whole, halves) in [
            // The first block does not widen.
            (Architecture::EfficientNetLite0, 10, 1),
            (Architecture::MobileNetV2, 12, 1),
            // Squeeze and excitation stands between filtering and narrowing.
            (Architecture::EfficientNetB0, 0, 10),
        ] {
            let layers = architecture.layers_at(&[4, 8, 16]);
            let graph = networks::build(architecture).cut(&layers).unwrap();
            let executor = NativeExecutor::new(&graph, &made_up(&graph), 2).unwrap();
            let of_length =
                |length: usize| executor.steps.iter().filter(|step| step.at_once == length).count();
            assert_eq!((of_length(3), of_length(2)), (whole, halves), "{architecture:?}");
            let size = [70, 93];
            let image: Vec<f32> = (0..3 * 70 * 93).map(|i| ((i * 31) % 101) as f32 / 50.0 - 1.0).collect();
            let mut by_steps = BTreeMap::new();
            let taps: Vec<NodeId> = graph.taps.iter().map(|tap| tap.node).collect();
            let mut keep = |node, map: &ChannelsLast| {
                if taps.contains(&node) {
                    by_steps.insert(node, map.clone().into_rows());
                }
            };
            executor.watch(&image, size, &mut keep).unwrap();
            for (map, node) in executor.run(&image, [1, 70, 93]).unwrap().iter().zip(&taps) {
                let rows = &by_steps[node];
                let area = map.height * map.width;
                assert!(rows.iter().enumerate().all(|(i, value)| {
                    map.data[i % map.channels * area + i / map.channels].to_bits() == value.to_bits()
                }));
            }
        }
    }
}
