//! Networks in bytes: 8 bits between layers, whole-number sums, the same features to the bit on every machine.
//!
//! [`calibrate`] watches good images pass through the network in single precision and gives every map the [`Range`] that bytes shall
//! cover; [`QuantisedNetwork`] rounds the weights for them, and is what a model file keeps; [`QuantisedExecutor`] runs it;
//! [`relative_errors`] says what was lost at each step. Weights have a scale a channel, maps one scale. A convolution, its residual and
//! its non-linearity are one step with one rounding. What rounded weights add to a channel on average, which is most of what they cost, its
//! bias takes back (Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV 2019).
//!
//! So it is with what convolutional networks with ReLU or ReLU6 are made of. Of other networks (transformers, and convolutions with smooth
//! non-linearities) the products of linear maps are done in bytes, with a scale for each position, and all else in single precision, by the
//! engine `native`; see [`blemish_kernels::int8::ByteLinear`]. Networks that have neither are refused.

mod calibrate;
mod network;
mod plan;
#[cfg(test)]
mod tests;

pub use calibrate::{LayerError, Range, Ranges, RelativeError, Seen, Watched, calibrate, relative_errors};
pub use network::{ByteWeights, QuantisedNetwork};
pub(crate) use plan::extent;

use crate::FeatureError;
use crate::executors::batch::run_batch;
use crate::executors::native::NativeExecutor;
use crate::executors::spaces::SpacePool;
use crate::graph::{Executor, FeatureMap, Graph};
use blemish_kernels::int8::{ByteMap, Quantisation};
use blemish_kernels::{Lines, Workers};
use plan::{Extent, Step};

/// Brings a network up on this CPU.
///
/// # Errors
/// As [`QuantisedNetwork::check`] and [`QuantisedExecutor::new`].
pub fn executor(
    graph: &Graph,
    network: &QuantisedNetwork,
    threads: usize,
) -> Result<Box<dyn Executor>, FeatureError> {
    network.check(graph)?;
    Ok(match extent(graph)? {
        Extent::Whole => Box::new(QuantisedExecutor::new(graph, network, threads)?),
        Extent::LinearMaps(_) => {
            let linear_maps = network.linear_maps();
            Box::new(NativeExecutor::with_linear_maps(graph, &network.singles, linear_maps, threads)?)
        }
    })
}

/// A network whose maps are bytes.
pub struct QuantisedExecutor {
    graph: Graph,
    steps: Vec<Step>,
    /// One a node that comes out of a step, and that of the image.
    quantisations: Vec<Option<Quantisation>>,
    pool: Workers,
    spaces: SpacePool<u8>,
}

impl QuantisedExecutor {
    /// Packs the weights of a network.
    ///
    /// # Errors
    /// [`FeatureError::Engine`] if the graph has operators that are not done in bytes, a tensor or range is missing, or a range does not go
    /// with the weights: steps of the sums must be finer than two of the output.
    pub fn new(graph: &Graph, network: &QuantisedNetwork, threads: usize) -> Result<Self, FeatureError> {
        let pool = Workers::new(threads, "blemish-int8").map_err(|error| fail(&error))?;
        let (steps, quantisations) = plan::plan(graph, network)?;
        Ok(Self { graph: graph.clone(), steps, quantisations, pool, spaces: SpacePool::default() })
    }

    /// Writes the feature maps of one image, channels x height x width each.
    fn run_one(
        &self,
        image: &[f32],
        [height, width]: [usize; 2],
        maps: Vec<&mut [f32]>,
        is_parallel: bool,
    ) -> Result<(), FeatureError> {
        let missing = || fail(&"a step ran before its input");
        let quantisation = |node: usize| self.quantisations[node].ok_or_else(missing);
        let sizes = self.graph.output_sizes(height, width)?;
        let mut values: Vec<Option<ByteMap>> = vec![None; self.graph.nodes.len()];
        let mut spaces = self.spaces.take();
        let space = spaces.take(ByteMap::bytes(height, width, 3));
        values[0] = Some(ByteMap::quantise(image, [3, height, width], quantisation(0)?, space));
        for step in &self.steps {
            let inputs: Vec<&ByteMap> = step
                .inputs
                .iter()
                .map(|&input| values[input].as_ref().ok_or_else(missing))
                .collect::<Result<_, _>>()?;
            let [height, width] = sizes[step.result];
            let space = spaces.take(ByteMap::bytes(height, width, self.graph.nodes[step.result].channels));
            let outcome = step.work.run(&inputs, sizes[step.result], space, is_parallel);
            values[step.result] = Some(outcome.ok_or_else(missing)?);
            spaces.extend(step.done_with.iter().filter_map(|&node| Some(values[node].take()?.into_space())));
        }
        for (tap, map) in self.graph.taps.iter().zip(maps) {
            let bytes = values[tap.node].as_ref().ok_or_else(missing)?;
            bytes.dequantise(quantisation(tap.node)?, Lines::new()).write_planes(map);
        }
        spaces.extend(values.into_iter().flatten().map(ByteMap::into_space));
        self.spaces.keep(spaces);
        Ok(())
    }
}

impl Executor for QuantisedExecutor {
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

fn fail(reason: &dyn std::fmt::Display) -> FeatureError {
    FeatureError::Engine { engine: "int8", reason: reason.to_string() }
}
