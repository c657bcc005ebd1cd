//! A network in bytes as a model file keeps it.

use super::plan::{Extent, MOST_BIAS, extent, quantisations};
use super::{Range, Ranges, Seen, fail};
use crate::FeatureError;
use crate::graph::{Graph, NodeId, Op, Tensor, Weights};
use blemish_kernels::int8::ByteLinear;
use std::collections::BTreeMap;

/// The weights of convolutions in whole numbers, and what the bytes of every map stand for, where maps are bytes. The same network gives
/// the same features to the bit wherever it runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QuantisedNetwork {
    /// By the names of their nodes: all convolutions, or those that are linear maps.
    pub convolutions: BTreeMap<String, ByteWeights>,
    /// By the names of the nodes; none where maps stay in single precision.
    pub ranges: Ranges,
    /// The tensors of all other nodes, by their names.
    pub singles: Weights,
}

/// The weights of a convolution: `scales[o] x values[o][..]` for output channel o.
#[derive(Clone, Debug, PartialEq)]
pub struct ByteWeights {
    /// Output channels x input channels of a group x height x width.
    pub shape: Vec<usize>,
    /// -127 to 127.
    pub values: Vec<i8>,
    /// One an output channel, above 0.
    pub scales: Vec<f32>,
    /// One an output channel, in single precision.
    pub bias: Vec<f32>,
}

impl QuantisedNetwork {
    /// Rounds the weights of a graph for maps such as were `seen`.
    ///
    /// # Errors
    /// [`FeatureError::Engine`] if nothing of the graph is done in bytes, or a tensor, a range or means are missing.
    pub fn new(graph: &Graph, weights: &Weights, seen: &Seen) -> Result<Self, FeatureError> {
        let tensor = |name: String| match weights.get(&name) {
            Some(tensor) => Ok(tensor),
            None => Err(fail(&format!("tensor {name} is missing"))),
        };
        let mut convolutions = BTreeMap::new();
        for (id, input_scale) in rounded(graph, seen)? {
            let node = &graph.nodes[id];
            let Op::Conv { groups, .. } = node.op else { continue };
            let weight = tensor(format!("{}.weight", node.name))?;
            let bias = &tensor(format!("{}.bias", node.name))?.data;
            let read = &graph.nodes[node.inputs[0]];
            let means = seen.means.get(&read.name).filter(|means| means.len() == read.channels);
            let means = means.ok_or_else(|| fail(&format!("the means of {} are missing", read.name)))?;
            let mut rounded = ByteWeights::new(weight, bias, input_scale);
            rounded.correct_bias(weight, means, groups);
            convolutions.insert(node.name.clone(), rounded);
        }
        let names = graph.tensor_shapes().map(|(name, _)| name);
        let single = names.filter(|name| !convolutions.contains_key(owner(name)));
        let singles = single.map(|name| Ok((name.clone(), tensor(name)?.clone())));
        let singles = singles.collect::<Result<_, FeatureError>>()?;
        Ok(Self { convolutions, ranges: seen.ranges.clone(), singles })
    }

    /// The convolutions, packed as the linear maps that they are. The network must have been checked.
    pub(super) fn linear_maps(&self) -> BTreeMap<String, ByteLinear> {
        let packed = |(name, weights): (&String, &ByteWeights)| {
            let ByteWeights { shape, values, scales, bias } = weights;
            (name.clone(), ByteLinear::new(shape[1], values, scales, bias))
        };
        self.convolutions.iter().map(packed).collect()
    }

    /// Whether the tensor of this name belongs to a convolution in bytes.
    pub fn is_rounded(&self, tensor: &str) -> bool {
        self.convolutions.contains_key(owner(tensor))
    }

    /// Checks that it is one of `graph`: every tensor there, of the right shape and with numbers that can be.
    ///
    /// # Errors
    /// [`FeatureError::BrokenState`]; [`FeatureError::Engine`] if nothing of the graph is done in bytes.
    pub fn check(&self, graph: &Graph) -> Result<(), FeatureError> {
        let broken = |tensor: String| FeatureError::BrokenState { network: graph.name.clone(), tensor };
        let shapes: BTreeMap<String, Vec<usize>> = graph.tensor_shapes().collect();
        let linear_maps = match extent(graph)? {
            Extent::Whole => None,
            Extent::LinearMaps(nodes) => Some(nodes),
        };
        let may_be_rounded = |name: &str| {
            let is_named = |&node: &NodeId| graph.nodes[node].name == name;
            linear_maps.as_ref().is_none_or(|nodes| nodes.iter().any(is_named))
        };
        for (name, weights) in &self.convolutions {
            let weight = format!("{name}.weight");
            let fits = shapes.get(&weight).is_some_and(|shape| weights.fits(shape));
            if !fits || !may_be_rounded(name) {
                return Err(broken(weight));
            }
        }
        for (name, shape) in shapes.iter().filter(|(name, _)| !self.is_rounded(name)) {
            let fits = self.singles.get(name).is_some_and(|tensor| tensor.fits(shape));
            // Every tensor of a network that is wholly in bytes is a convolution's.
            if linear_maps.is_none() || !fits {
                return Err(broken(name.clone()));
            }
        }
        let is_stray = |name: &&String| self.is_rounded(name) || !shapes.contains_key(*name);
        if let Some(name) = self.singles.keys().find(is_stray) {
            return Err(broken(name.clone()));
        }
        let is_sound = |range: &Range| {
            range.low.is_finite() && range.high.is_finite() && range.low <= 0.0 && range.high >= 0.0
        };
        match self.ranges.iter().find(|(_, range)| !is_sound(range)) {
            Some((name, _)) => Err(broken(format!("{name}.range"))),
            None => Ok(()),
        }
    }
}

/// The convolutions of a graph whose weights are rounded, and the scales of their inputs where these are bytes.
fn rounded(graph: &Graph, seen: &Seen) -> Result<Vec<(NodeId, Option<f32>)>, FeatureError> {
    if let Extent::LinearMaps(nodes) = extent(graph)? {
        return Ok(nodes.into_iter().map(|node| (node, None)).collect());
    }
    let (steps, quantisations) = quantisations(graph, &seen.ranges)?;
    let convolutions = steps.iter().filter(|step| matches!(graph.nodes[step.id].op, Op::Conv { .. }));
    let scaled = convolutions.map(|step| {
        let input = quantisations[step.inputs[0]];
        let name = &graph.nodes[step.id].name;
        let input = input.ok_or_else(|| fail(&format!("{name} comes before its input")))?;
        Ok((step.id, Some(input.scale())))
    });
    scaled.collect()
}

/// The node that a tensor belongs to.
fn owner(tensor: &str) -> &str {
    tensor.rsplit_once('.').map_or("", |(owner, _)| owner)
}

impl ByteWeights {
    /// The nearest whole numbers; for an input in bytes, of that scale.
    fn new(weight: &Tensor, bias: &[f32], input_scale: Option<f32>) -> Self {
        let terms = (weight.data.len() / bias.len().max(1)).max(1);
        let mut values = Vec::with_capacity(weight.data.len());
        let scale_of = |(weights, &bias): (&[f32], &f32)| {
            let greatest = weights.iter().fold(0.0f32, |most, weight| most.max(weight.abs()));
            // Where weights are next to nothing, steps are as coarse as a bias in whole numbers asks for.
            let for_bias =
                input_scale.map_or(0.0, |scale| f64::from(bias.abs()) / (f64::from(scale) * MOST_BIAS));
            let scale = ((f64::from(greatest) / 127.0).max(for_bias) as f32).max(f32::MIN_POSITIVE);
            values.extend(weights.iter().map(|&weight| (f64::from(weight) / f64::from(scale)).round() as i8));
            scale
        };
        let scales = weight.data.chunks_exact(terms).zip(bias).map(scale_of).collect();
        Self { shape: weight.shape.clone(), values, scales, bias: bias.to_vec() }
    }

    /// Takes back what the rounding of the weights adds on average, where the input's channels have these means: for output channel o
    /// the sum over its input channels i of mean_i x (w_oi - rounded_oi), places of the kernel summed.
    fn correct_bias(&mut self, weight: &Tensor, means: &[f64], groups: usize) {
        let [outputs, inputs] = [weight.shape[0], weight.shape[1]];
        let places = (weight.data.len() / (outputs * inputs).max(1)).max(1);
        let added = weight.data.chunks_exact(places).zip(self.values.chunks_exact(places));
        for (kernel, (exact, rounded)) in added.enumerate() {
            let (output, input) = (kernel / inputs, kernel % inputs);
            let scale = f64::from(self.scales[output]);
            let lost = |(&exact, &rounded): (&f32, &i8)| f64::from(exact) - scale * f64::from(rounded);
            let lost: f64 = exact.iter().zip(rounded).map(lost).sum();
            let mean = means[output / (outputs / groups) * inputs + input];
            self.bias[output] = (f64::from(self.bias[output]) + mean * lost) as f32;
        }
    }

    fn fits(&self, shape: &[usize]) -> bool {
        let channels = shape.first().copied().unwrap_or(0);
        self.shape == shape
            && self.values.len() == shape.iter().product::<usize>()
            && [self.scales.len(), self.bias.len()] == [channels; 2]
            && self.scales.iter().all(|scale| scale.is_normal() && *scale > 0.0)
            && self.bias.iter().all(|bias| bias.is_finite())
    }

    /// The bias in steps of the sums, and the scales of the sums, one an output channel; `None` if a bias has too many steps to be added.
    pub(super) fn of_sums(&self, input_scale: f32) -> Option<(Vec<i32>, Vec<f64>)> {
        let scales: Vec<f64> =
            self.scales.iter().map(|&scale| f64::from(input_scale) * f64::from(scale)).collect();
        let steps = |(&bias, scale): (&f32, &f64)| {
            let steps = (f64::from(bias) / scale).round();
            // The scale was rounded after it was chosen for this bias.
            (steps.abs() <= MOST_BIAS * 1.01).then_some(steps as i32)
        };
        Some((self.bias.iter().zip(&scales).map(steps).collect::<Option<_>>()?, scales))
    }
}
