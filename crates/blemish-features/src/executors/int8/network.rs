//! A network in bytes as a model file keeps it.

use super::plan::{MOST_BIAS, quantisations};
use super::{Range, Ranges, Seen, fail};
use crate::FeatureError;
use crate::graph::{Graph, Op, Tensor, Weights};
use std::collections::BTreeMap;

/// The weights of every convolution in whole numbers, and what the bytes of every map stand for. The same network gives the same
/// features to the bit wherever it runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QuantisedNetwork {
    /// By the names of their nodes.
    pub convolutions: BTreeMap<String, ByteWeights>,
    /// By the names of the nodes.
    pub ranges: Ranges,
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
    /// [`FeatureError::Engine`] if the graph has operators that are not done in bytes, or a tensor, a range or means are missing.
    pub fn new(graph: &Graph, weights: &Weights, seen: &Seen) -> Result<Self, FeatureError> {
        let (steps, quantisations) = quantisations(graph, &seen.ranges)?;
        let mut convolutions = BTreeMap::new();
        for step in steps {
            let node = &graph.nodes[step.id];
            let Op::Conv { groups, .. } = node.op else { continue };
            let tensor = |kind: &str| {
                let name = format!("{}.{kind}", node.name);
                weights.get(&name).ok_or_else(|| fail(&format!("tensor {name} is missing")))
            };
            let input = quantisations[step.inputs[0]]
                .ok_or_else(|| fail(&format!("{} comes before its input", node.name)))?;
            let (weight, bias) = (tensor("weight")?, &tensor("bias")?.data);
            let read = &graph.nodes[step.inputs[0]];
            let means = seen.means.get(&read.name).filter(|means| means.len() == read.channels);
            let means = means.ok_or_else(|| fail(&format!("the means of {} are missing", read.name)))?;
            let mut rounded = ByteWeights::new(weight, bias, input.scale());
            rounded.correct_bias(weight, means, groups);
            convolutions.insert(node.name.clone(), rounded);
        }
        Ok(Self { convolutions, ranges: seen.ranges.clone() })
    }

    /// Checks that it is one of `graph`: every tensor there, of the right shape and with numbers that can be.
    ///
    /// # Errors
    /// [`FeatureError::BrokenState`].
    pub fn check(&self, graph: &Graph) -> Result<(), FeatureError> {
        let broken = |tensor: String| FeatureError::BrokenState { network: graph.name.clone(), tensor };
        let shapes: BTreeMap<String, Vec<usize>> = graph.tensor_shapes().collect();
        let weights_of = |name: &String| shapes.get(&format!("{name}.weight"));
        for (name, weights) in &self.convolutions {
            let is_sound = weights_of(name).is_some_and(|shape| weights.fits(shape));
            if !is_sound {
                return Err(broken(format!("{name}.weight")));
            }
        }
        // Every tensor of a network that is done in bytes is a convolution's.
        if let Some(name) = shapes.keys().find(|name| {
            let owner = name.rsplit_once('.').map_or("", |(owner, _)| owner);
            !self.convolutions.contains_key(owner)
        }) {
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

impl ByteWeights {
    /// The nearest whole numbers for an input of that scale.
    fn new(weight: &Tensor, bias: &[f32], input_scale: f32) -> Self {
        let terms = (weight.data.len() / bias.len().max(1)).max(1);
        let mut values = Vec::with_capacity(weight.data.len());
        let scale_of = |(weights, &bias): (&[f32], &f32)| {
            let greatest = weights.iter().fold(0.0f32, |most, weight| most.max(weight.abs()));
            // Where weights are next to nothing, steps are as coarse as the bias asks for.
            let for_bias = f64::from(bias.abs()) / (f64::from(input_scale) * MOST_BIAS);
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
