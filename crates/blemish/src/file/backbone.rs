//! The backbones inside a model file: their tensors, and the headers that say what they are.

use super::header::BackboneHeader;
use blemish_core::error::Error;
use blemish_core::state::{State, StateError, Values};
use blemish_features::{Backbone, BackboneState, EngineOptions, Normalization, Tensor, Weights};

pub(crate) const ONNX: &str = "onnx";

/// What the names of a backbone's tensors begin with in a model file; `number` is 0 for the first.
///
/// Those of an ensemble's further ones must not begin as the first's do, since its networks may have tensors of any name.
pub(crate) fn prefix(number: usize) -> String {
    if number == 0 { "backbone.".to_owned() } else { format!("backbones.{number}.") }
}

/// The tensors of a backbone.
pub(crate) fn state(backbone: &Backbone) -> State {
    let mut state = State::default();
    match backbone.state() {
        BackboneState::Network { weights, .. } => {
            for (name, tensor) in weights {
                state.set_f32(name, &tensor.shape, tensor.data.clone());
            }
        }
        BackboneState::Onnx { bytes, .. } => state.set_u8(ONNX, &[bytes.len()], bytes.clone()),
    }
    state
}

/// What the header says of a backbone.
pub(crate) fn header(backbone: &Backbone) -> BackboneHeader {
    BackboneHeader {
        name: backbone.name().to_owned(),
        layers: backbone.taps().iter().map(|tap| tap.name.clone()).collect(),
        mean: backbone.normalization().mean,
        std: backbone.normalization().std,
        digest: backbone.digest().to_owned(),
    }
}

/// Brings backbone `number` of a model file up on an engine, its tensors taken out of `file`.
///
/// # Errors
/// [`Error::State`] if tensors are missing, misshapen or not those the digest was made of; [`Error::Features`] if the engine fails.
pub(crate) fn restore(
    header: &BackboneHeader,
    number: usize,
    file: &mut State,
    engine: &EngineOptions,
) -> Result<Backbone, Error> {
    let state = file.split_off_prefix(&prefix(number));
    let layers = header.layers.clone();
    let stored = if header.name == ONNX {
        let (_, bytes) = state.u8(ONNX, 1)?;
        let normalization = Normalization { mean: header.mean, std: header.std };
        BackboneState::Onnx { bytes: bytes.to_vec(), layers, normalization }
    } else {
        BackboneState::Network { architecture: header.name.parse()?, layers, weights: weights(&state)? }
    };
    let backbone = Backbone::from_state(stored, engine)?;
    if backbone.digest() != header.digest {
        let reason = "does not have the digest that the header states".into();
        return Err(StateError { name: prefix(number), reason }.into());
    }
    Ok(backbone)
}

fn weights(state: &State) -> Result<Weights, StateError> {
    state
        .tensors()
        .iter()
        .map(|(name, tensor)| match &tensor.values {
            Values::F32(values) => {
                Ok((name.clone(), Tensor { shape: tensor.shape.clone(), data: values.to_vec() }))
            }
            _ => Err(StateError { name: name.clone(), reason: "does not hold F32 values".into() }),
        })
        .collect()
}
