//! What a model file keeps of a backbone.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::FeatureError;
use crate::executors::int8::QuantisedNetwork;
use crate::graph::{Graph, Normalization, Weights};
use crate::networks::Architecture;
use blemish_data::digest::hexadecimal;

/// A backbone without an engine: everything needed to bring it up again.
#[derive(Clone, Debug, PartialEq)]
pub enum BackboneState {
    /// A network that the crate describes.
    Network {
        /// Which one.
        architecture: Architecture,
        /// Its feature maps in use, shallow to deep.
        layers: Vec<String>,
        /// Its tensors up to the deepest of them, batch norm folded.
        weights: Weights,
    },
    /// The same in bytes.
    Quantised {
        /// Which one.
        architecture: Architecture,
        /// Its feature maps in use, shallow to deep.
        layers: Vec<String>,
        /// Its tensors and ranges up to the deepest of them.
        network: QuantisedNetwork,
    },
    /// A user's own network.
    Onnx {
        /// The file.
        bytes: Vec<u8>,
        /// Names of the tensors in use.
        layers: Vec<String>,
        /// What its input is normalised with.
        normalization: Normalization,
    },
}

impl BackboneState {
    /// SHA-256 of all that decides the features, in hexadecimal. Names and counts go in before the values they describe, so that
    /// no two states share a byte stream.
    pub fn digest(&self) -> String {
        let mut hasher = Sha256::new();
        match self {
            Self::Network { architecture, layers, weights } => {
                add_text(&mut hasher, architecture.name());
                layers.iter().for_each(|layer| add_text(&mut hasher, layer));
                add_weights(&mut hasher, weights);
            }
            Self::Quantised { architecture, layers, network } => {
                add_text(&mut hasher, "int8");
                add_text(&mut hasher, architecture.name());
                layers.iter().for_each(|layer| add_text(&mut hasher, layer));
                for (name, weights) in &network.convolutions {
                    add_text(&mut hasher, name);
                    add_text(&mut hasher, &format!("{:?}", weights.shape));
                    hasher.update(
                        weights.values.iter().map(|value| value.to_le_bytes()[0]).collect::<Vec<u8>>(),
                    );
                    add_values(&mut hasher, &weights.scales);
                    add_values(&mut hasher, &weights.bias);
                }
                for (name, range) in &network.ranges {
                    add_text(&mut hasher, name);
                    add_values(&mut hasher, &[range.low, range.high]);
                }
                add_weights(&mut hasher, &network.singles);
            }
            Self::Onnx { bytes, layers, normalization } => {
                add_text(&mut hasher, "onnx");
                layers.iter().for_each(|layer| add_text(&mut hasher, layer));
                add_values(&mut hasher, &normalization.mean);
                add_values(&mut hasher, &normalization.std);
                hasher.update(bytes);
            }
        }
        hexadecimal(&hasher.finalize())
    }
}

fn add_weights(hasher: &mut Sha256, weights: &Weights) {
    for (name, tensor) in weights {
        add_text(hasher, name);
        add_text(hasher, &format!("{:?}", tensor.shape));
        add_values(hasher, &tensor.data);
    }
}

fn add_text(hasher: &mut Sha256, text: &str) {
    hasher.update((text.len() as u64).to_le_bytes());
    hasher.update(text);
}

fn add_values(hasher: &mut Sha256, values: &[f32]) {
    for chunk in values.chunks(1 << 14) {
        let bytes: Vec<u8> = chunk.iter().flat_map(|value| value.to_le_bytes()).collect();
        hasher.update(bytes);
    }
}

/// Whether `weights` are exactly the tensors of `graph`.
pub(super) fn check_weights(graph: &Graph, weights: &Weights) -> Result<(), FeatureError> {
    let needed: BTreeMap<String, Vec<usize>> = graph.tensor_shapes().collect();
    let broken = |name: &String| match (needed.get(name), weights.get(name)) {
        (Some(shape), Some(tensor)) => !tensor.fits(shape),
        _ => true,
    };
    match needed.keys().chain(weights.keys()).find(|name| broken(name)) {
        None => Ok(()),
        Some(tensor) => {
            Err(FeatureError::BrokenState { network: graph.name.clone(), tensor: tensor.clone() })
        }
    }
}
