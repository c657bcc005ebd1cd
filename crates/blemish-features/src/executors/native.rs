//! Our own engine, the default: the networks that are built in, on the CPU, with the kernels of `blemish-kernels`.
//!
//! The description becomes a list of steps in which non-linearities and residual sums are part of the convolution before them. The bits
//! of the features depend neither on the machine's vector width nor on threads: a batch spreads its images over the threads, a
//! lone image its rows.

use super::batch::run_batch;
use super::fusion::{Fused, fuse, last_uses};
use super::spaces::SpacePool;
use crate::FeatureError;
use crate::graph::{Activation, Executor, FeatureMap, Graph, NodeId, Op, Padding, Weights};
use crate::positions::Positions;
use blemish_kernels::conv::{
    self, ChannelsLast, ConvSpec, Convolution, Epilogue, MaxPool, Windows, concatenate, global_mean,
    scale_channels,
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
}

enum Work {
    Convolve {
        convolution: Box<Convolution>,
        kernel: usize,
        stride: usize,
        padding: Padding,
        activation: conv::Activation,
    },
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
        each: &mut (dyn FnMut(NodeId, &ChannelsLast) + Send),
    ) -> Result<(), FeatureError> {
        self.pool.install(|| self.run_steps(image, size, Vec::new(), true, each))
    }

    /// Writes the feature maps of one image, channels x height x width each.
    fn run_one(
        &self,
        image: &[f32],
        size: [usize; 2],
        maps: Vec<&mut [f32]>,
        is_parallel: bool,
    ) -> Result<(), FeatureError> {
        self.run_steps(image, size, maps, is_parallel, &mut |_, _| ())
    }

    fn run_steps(
        &self,
        image: &[f32],
        [height, width]: [usize; 2],
        maps: Vec<&mut [f32]>,
        is_parallel: bool,
        each: &mut dyn FnMut(NodeId, &ChannelsLast),
    ) -> Result<(), FeatureError> {
        let sizes = self.graph.output_sizes(height, width)?;
        let mut values: Vec<Option<ChannelsLast>> = vec![None; self.graph.nodes.len()];
        let mut spaces = self.spaces.take();
        let planes = ChannelsLast::from_planes(image, [3, height, width]);
        each(0, &planes);
        values[0] = Some(planes);
        let missing = || fail(&"a step ran before its input");
        for step in &self.steps {
            let inputs: Vec<&ChannelsLast> = step
                .inputs
                .iter()
                .map(|&input| values[input].as_ref().ok_or_else(missing))
                .collect::<Result<_, _>>()?;
            let [height, width] = sizes[step.result];
            let space =
                spaces.take(ChannelsLast::values(height, width, self.graph.nodes[step.result].channels));
            let outcome = step.work.run(&inputs, sizes[step.result], space, is_parallel);
            let outcome = outcome.ok_or_else(missing)?;
            each(step.result, &outcome);
            values[step.result] = Some(outcome);
            let freed = step.done_with.iter().filter_map(|&node| Some((node, values[node].take()?)));
            // The image's own memory did not come from here; kept, it would pile up by one an image.
            spaces.extend(freed.filter(|&(node, _)| node != 0).map(|(_, map)| map.into_space()));
        }
        for (tap, map) in self.graph.taps.iter().zip(maps) {
            values[tap.node].as_ref().ok_or_else(missing)?.write_planes(map);
        }
        spaces.extend(values.into_iter().skip(1).flatten().map(ChannelsLast::into_space));
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
            self.run_one(image, [height, width], maps, is_parallel)
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
            Self::Convolve { convolution, kernel, stride, padding, activation } => {
                let [top, left] = size.map(|side| padding.around(side, *kernel, *stride).0);
                let epilogue = Epilogue::new(inputs.get(1).copied(), *activation);
                convolution.apply(first, Windows { top, left, height, width }, epilogue, space, is_parallel)
            }
            Self::MapLinearly { linear, activation } => {
                let epilogue = Epilogue::new(inputs.get(1).copied(), *activation);
                linear.apply(first, epilogue, space, is_parallel)
            }
            Self::MaxPool { pool, padding } => {
                pool.apply(first, Windows { top: *padding, left: *padding, height, width }, space)
            }
            Self::Activate(activation) => first.clone().activated(*activation),
            Self::GlobalMean => global_mean(first),
            Self::Add(activation) => first.clone().add(inputs.get(1)?, *activation),
            Self::Multiply => scale_channels(first.clone(), inputs.get(1)?),
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
        Ok(Step { result: fused.result, inputs: fused.inputs, work, done_with })
    };
    fused.into_par_iter().zip(linear_maps).zip(last_uses(graph, &inputs)).map(pack).collect()
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
            let convolution =
                Box::new(Convolution::new(spec, &tensor("weight")?.data, &tensor("bias")?.data));
            Work::Convolve { convolution, kernel, stride, padding, activation }
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
}
