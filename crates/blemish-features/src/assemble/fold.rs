//! Folding batch norm into the convolution before it.
//!
//! With s = gamma / sqrt(variance + epsilon), a convolution w, b followed by batch norm equals one with w' = s w and
//! b' = beta + s (b - mean). The factors are computed in double precision.

use super::schemes::Source;
use crate::graph::{StateDict, Tensor};

/// The names of scale, offset, mean and variance, if the convolution is followed by batch norm in this file.
///
/// A network that has batch norm there may come with it folded already: then the convolution has a bias and none of the four.
pub(super) fn norm_names(source: &Source, state: &StateDict) -> Option<[String; 4]> {
    let prefix = source.norm.as_ref()?;
    let names = ["weight", "bias", "running_mean", "running_var"].map(|part| format!("{prefix}.{part}"));
    let is_folded = state.contains_key(&source.bias) && !names.iter().any(|name| state.contains_key(name));
    (!is_folded).then_some(names)
}

/// Weight and bias of a convolution with its batch norm folded in. Takes the tensors, which were checked, out of `state`.
pub(super) fn folded(state: &mut StateDict, source: &Source, epsilon: f64) -> (Tensor, Tensor) {
    let norm = norm_names(source, state);
    let mut take = |name: &str| state.remove(name).unwrap_or(Tensor { shape: vec![0], data: vec![] });
    let mut weight = take(&source.weight);
    let bias = take(&source.bias);
    let Some(norm) = norm else { return (weight, bias) };
    let [gamma, beta, mean, variance] = norm.map(|name| take(&name).data);

    let channels = gamma.len();
    let mut folded_bias = Vec::with_capacity(channels);
    let row_length = (weight.data.len() / channels.max(1)).max(1);
    for (channel, row) in weight.data.chunks_exact_mut(row_length).enumerate() {
        let scale = f64::from(gamma[channel]) / (f64::from(variance[channel]) + epsilon).sqrt();
        row.iter_mut().for_each(|value| *value = (f64::from(*value) * scale) as f32);
        let before = bias.data.get(channel).copied().map_or(0.0, f64::from);
        let offset = f64::from(beta[channel]) + scale * (before - f64::from(mean[channel]));
        folded_bias.push(offset as f32);
    }
    (weight, Tensor { shape: vec![channels], data: folded_bias })
}
