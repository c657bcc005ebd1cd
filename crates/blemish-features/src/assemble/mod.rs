//! From the tensors of a file to the weights of a graph: names translated, shapes checked, batch norm folded.
//!
//! A file is compared with every naming scheme known for the network (`schemes`) and read by the one that explains most of it.
//! Files may hold batch norm (folded here, see `fold`), or convolutions with biases where it was folded already.

mod fold;
mod mismatch;
mod schemes;
mod transformers;

#[cfg(test)]
mod tests;

pub use mismatch::Mismatch;
#[cfg(test)]
pub(crate) use transformers::assemble as assemble_tower;

use std::collections::{BTreeMap, BTreeSet};

use crate::FeatureError;
use crate::graph::{Graph, Op, StateDict, Weights};
use crate::networks::{self, Architecture};
use schemes::{Scheme, Source};

/// Names and shapes of tensors.
pub type Shapes = BTreeMap<String, Vec<usize>>;

/// Prefixes that wrappers put before every name.
const WRAPPERS: [&str; 4] = ["module.", "model.", "backbone.", "net."];

/// The weights of `graph`, a network of [`networks::build`] whole or cut, from the tensors of a file.
///
/// Tensors of the network beyond the cut and classifier heads are not looked at.
///
/// # Errors
/// [`FeatureError::WeightsMismatch`] listing every missing, misshapen and foreign tensor; [`FeatureError::UnknownNetwork`] if the
/// graph is not one of [`Architecture`]'s.
pub fn assemble(graph: &Graph, state: StateDict) -> Result<Weights, FeatureError> {
    let architecture: Architecture = graph.name.parse()?;
    let mut state = unwrapped(state);
    if let Some(settings) = networks::vit::settings(architecture) {
        return transformers::assemble(graph, &settings, &state).map_err(|mut mismatch| {
            mismatch.fits = recognize(&state).into_iter().map(Architecture::name).collect();
            FeatureError::WeightsMismatch(mismatch)
        });
    }
    let scheme = match best_scheme(architecture, graph, &state) {
        Ok(scheme) => scheme,
        Err(mut mismatch) => {
            mismatch.fits = recognize(&state).into_iter().map(Architecture::name).collect();
            return Err(FeatureError::WeightsMismatch(mismatch));
        }
    };
    let nodes: BTreeSet<&str> = graph.nodes.iter().map(|node| node.name.as_str()).collect();
    let mut weights = Weights::new();
    for source in scheme.sources.iter().filter(|source| nodes.contains(source.node.as_str())) {
        let (mut weight, bias) = fold::folded(&mut state, source, scheme.epsilon);
        if weight.shape.len() == 2 {
            weight.shape.extend([1, 1]); // A linear layer is a 1x1 convolution on the global mean.
        }
        weights.insert(format!("{}.weight", source.node), weight);
        weights.insert(format!("{}.bias", source.node), bias);
    }
    Ok(weights)
}

/// The networks whose layers up to stride 16 are in the file, for telling a user what a file is.
pub fn recognize(state: &StateDict) -> Vec<Architecture> {
    let fits = |architecture: &Architecture| {
        let trunk = networks::build(*architecture).cut(&architecture.layers_at(&[16]));
        trunk.is_ok_and(|trunk| match networks::vit::settings(*architecture) {
            Some(settings) => transformers::explains(&trunk, &settings, state),
            None => best_scheme(*architecture, &trunk, state).is_ok(),
        })
    };
    Architecture::all().filter(fits).collect()
}

/// `architecture`, or its TensorFlow variant if the file's names tell that the weights need that one.
///
/// The package efficientnet_pytorch, known by names such as `_conv_stem`, has only weights ported from TensorFlow.
pub(crate) fn variant_for(architecture: Architecture, state: &StateDict) -> Architecture {
    let ported = state.keys().any(|name| name.ends_with("_conv_stem.weight"));
    architecture.tensorflow_variant().filter(|_| ported).unwrap_or(architecture)
}

/// Names and shapes of all tensors of a file with whole weights for `architecture`, for each naming scheme by its name.
///
/// Linear layers may also come as out x in.
pub fn expected_tensors(architecture: Architecture) -> BTreeMap<&'static str, Shapes> {
    let whole = networks::build(architecture);
    if let Some(settings) = networks::vit::settings(architecture) {
        return transformers::expected_tensors(&whole, &settings);
    }
    let shapes: BTreeMap<&str, [usize; 4]> = conv_shapes(&whole).collect();
    let tensors = |scheme: Scheme| {
        let sources = scheme.sources.iter().filter_map(|source| {
            let shape = shapes.get(source.node.as_str())?;
            Some(tensors(source, *shape, &StateDict::new()))
        });
        (scheme.name, sources.flatten().collect())
    };
    schemes::schemes(architecture, &whole).into_iter().map(tensors).collect()
}

/// The state dict without a wrapper's prefix before every name.
fn unwrapped(state: StateDict) -> StateDict {
    let wrapper = WRAPPERS.iter().find(|wrapper| state.keys().all(|name| name.starts_with(**wrapper)));
    match wrapper {
        Some(wrapper) if !state.is_empty() => unwrapped(
            state.into_iter().map(|(name, tensor)| (name[wrapper.len()..].to_owned(), tensor)).collect(),
        ),
        _ => state,
    }
}

/// The naming scheme that explains most of the file, if it explains all.
fn best_scheme(
    architecture: Architecture,
    graph: &Graph,
    state: &StateDict,
) -> Result<Scheme, Box<Mismatch>> {
    let whole = networks::build(architecture);
    let known =
        |scheme: &Scheme| scheme.sources.iter().filter(|source| state.contains_key(&source.weight)).count();
    let schemes = schemes::schemes(architecture, &whole);
    // The first of equals wins: `max_by_key` takes the last, so the order is turned round.
    let Some(scheme) = schemes.into_iter().rev().max_by_key(known) else {
        return Err(Box::new(Mismatch::new(&graph.name, "no")));
    };
    let mismatch = compare(&scheme, graph, &whole, state);
    if mismatch.is_empty() { Ok(scheme) } else { Err(Box::new(mismatch)) }
}

/// Everything that keeps `state` from filling `graph` by `scheme`. `whole` is the network before the cut.
fn compare(scheme: &Scheme, graph: &Graph, whole: &Graph, state: &StateDict) -> Mismatch {
    let mut mismatch = Mismatch::new(&graph.name, scheme.name);
    let kept: BTreeSet<&str> = graph.nodes.iter().map(|node| node.name.as_str()).collect();
    let mut known: BTreeSet<&str> = BTreeSet::new();
    let shapes: BTreeMap<&str, [usize; 4]> = conv_shapes(whole).collect();
    for source in &scheme.sources {
        let Some(&shape) = shapes.get(source.node.as_str()) else { continue };
        let needed = kept.contains(source.node.as_str());
        for (name, shape) in tensors(source, shape, state) {
            if needed {
                mismatch.check(&name, &shape, state.get(&name));
            }
            if let Some((name, _)) = state.get_key_value(&name) {
                known.insert(name);
            }
        }
    }
    mismatch.foreign =
        state.keys().filter(|name| !known.contains(name.as_str()) && !is_head(name)).cloned().collect();
    mismatch
}

/// Name and out x in/groups x k x k of every convolution.
fn conv_shapes(graph: &Graph) -> impl Iterator<Item = (&str, [usize; 4])> {
    graph.nodes.iter().filter_map(|node| match node.op {
        Op::Conv { kernel, groups, .. } => {
            let inputs = graph.nodes[node.inputs[0]].channels / groups;
            Some((node.name.as_str(), [node.channels, inputs, kernel, kernel]))
        }
        _ => None,
    })
}

/// The tensors that a convolution takes from `state`, with the shapes they need.
fn tensors(source: &Source, shape: [usize; 4], state: &StateDict) -> Vec<(String, Vec<usize>)> {
    let mut weight_shape = shape.to_vec();
    let is_linear = shape[2..] == [1, 1] && state.get(&source.weight).is_some_and(|t| t.shape.len() == 2);
    if is_linear {
        weight_shape.truncate(2);
    }
    let mut tensors = vec![(source.weight.clone(), weight_shape)];
    let norm = fold::norm_names(source, state);
    if norm.is_none() || state.contains_key(&source.bias) {
        tensors.push((source.bias.clone(), vec![shape[0]]));
    }
    tensors.extend(norm.into_iter().flatten().map(|name| (name, vec![shape[0]])));
    tensors
}

/// Whether a tensor belongs to something that is never part of a backbone: classifiers, LPIPS heads, batch counters.
fn is_head(name: &str) -> bool {
    let first = name.split('.').next().unwrap_or(name);
    let is_lpips =
        first.strip_prefix("lin").is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    matches!(first, "fc" | "classifier" | "head" | "_fc" | "last_linear")
        || is_lpips
        || name.ends_with("num_batches_tracked")
}
