//! The backbones inside a model file: their tensors, and the headers that say what they are.

use super::header::{BackboneHeader, Numbers};
use blemish_core::error::Error;
use blemish_core::state::{State, StateError, StateTensor, Values};
use blemish_features::executors::int8::{ByteWeights, QuantisedNetwork, Range};
use blemish_features::{Backbone, BackboneState, EngineOptions, Normalization, Tensor, Weights};

pub(crate) const ONNX: &str = "onnx";

/// What the names of the tensors of a network in bytes end with.
const WEIGHT: &str = ".weight";
const SCALE: &str = ".scale";
const BIAS: &str = ".bias";
const RANGE: &str = ".range";
/// Turns whole numbers from -128 to 127 into bytes in their order, and back.
const SIGN: u8 = 0x80;

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
        BackboneState::Network { weights, .. } => set_singles(&mut state, weights),
        BackboneState::Quantised { network, .. } => set_bytes(&mut state, network),
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
        precision: if backbone.is_quantised() { Numbers::Int8 } else { Numbers::Single },
    }
}

fn set_singles(state: &mut State, weights: &Weights) {
    for (name, tensor) in weights {
        state.set_f32(name, &tensor.shape, tensor.data.clone());
    }
}

/// A network in bytes: of every convolution in bytes `NAME.weight`, each byte 128 more than the weight in whole numbers, `NAME.scale` and
/// `NAME.bias`; of every map in bytes `NAME.range`, its lowest and its highest number; all else under its own name.
fn set_bytes(state: &mut State, network: &QuantisedNetwork) {
    for (name, weights) in &network.convolutions {
        let bytes: Vec<u8> = weights.values.iter().map(|value| value.cast_unsigned() ^ SIGN).collect();
        state.set_u8(&format!("{name}{WEIGHT}"), &weights.shape, bytes);
        state.set_f32(&format!("{name}{SCALE}"), &[weights.scales.len()], weights.scales.clone());
        state.set_f32(&format!("{name}{BIAS}"), &[weights.bias.len()], weights.bias.clone());
    }
    for (name, range) in &network.ranges {
        state.set_f32(&format!("{name}{RANGE}"), &[2], vec![range.low, range.high]);
    }
    set_singles(state, &network.singles);
}

/// The reverse of [`set_bytes`].
fn bytes(state: &State) -> Result<QuantisedNetwork, StateError> {
    let mut network = QuantisedNetwork::default();
    let names = |kind: &'static str| state.tensors().keys().filter_map(move |name| name.strip_suffix(kind));
    for name in names(WEIGHT) {
        let tensor = state.tensors().get(&format!("{name}{WEIGHT}"));
        let Some((shape, Values::U8(bytes))) = tensor.map(|tensor| (&tensor.shape, &tensor.values)) else {
            continue;
        };
        let line = |kind: &str| Ok(state.f32(&format!("{name}{kind}"), 1)?.1.to_vec());
        let weights = ByteWeights {
            shape: shape.clone(),
            values: bytes.iter().map(|byte| (byte ^ SIGN).cast_signed()).collect(),
            scales: line(SCALE)?,
            bias: line(BIAS)?,
        };
        network.convolutions.insert(name.to_owned(), weights);
    }
    for name in names(RANGE) {
        let (_, ends) = state.f32(&format!("{name}{RANGE}"), 1)?;
        let &[low, high] = &ends[..] else {
            let reason = format!("has {} numbers instead of 2", ends.len());
            return Err(StateError { name: format!("{name}{RANGE}"), reason });
        };
        network.ranges.insert(name.to_owned(), Range { low, high });
    }
    let is_single = |name: &str| !name.ends_with(RANGE) && !network.is_rounded(name);
    let singles = state.tensors().iter().filter(|(name, _)| is_single(name));
    network.singles = singles.map(single).collect::<Result<_, _>>()?;
    Ok(network)
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
    let stored = match header.precision {
        Numbers::Single if header.name == ONNX => {
            let (_, bytes) = state.u8(ONNX, 1)?;
            let normalization = Normalization { mean: header.mean, std: header.std };
            BackboneState::Onnx { bytes: bytes.to_vec(), layers, normalization }
        }
        Numbers::Single => {
            BackboneState::Network { architecture: header.name.parse()?, layers, weights: weights(&state)? }
        }
        Numbers::Int8 => {
            BackboneState::Quantised { architecture: header.name.parse()?, layers, network: bytes(&state)? }
        }
    };
    let backbone = Backbone::from_state(stored, engine)?;
    if backbone.digest() != header.digest {
        let reason = "does not have the digest that the header states".into();
        return Err(StateError { name: prefix(number), reason }.into());
    }
    Ok(backbone)
}

fn weights(state: &State) -> Result<Weights, StateError> {
    state.tensors().iter().map(single).collect()
}

/// A tensor in single precision with its name.
fn single((name, stored): (&String, &StateTensor)) -> Result<(String, Tensor), StateError> {
    match &stored.values {
        Values::F32(values) => {
            Ok((name.clone(), Tensor { shape: stored.shape.clone(), data: values.to_vec() }))
        }
        _ => Err(StateError { name: name.clone(), reason: "does not hold F32 values".into() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_in_bytes_is_read_as_it_was_written() {
        let tensor = |shape: &[usize]| {
            let data = (0..shape.iter().product()).map(|at: usize| at as f32 - 0.5).collect();
            Tensor { shape: shape.to_vec(), data }
        };
        let rounded = ByteWeights {
            shape: vec![2, 3, 1, 1],
            values: vec![-127, 0, 127, 1, -1, 5],
            scales: vec![0.5, 0.25],
            bias: vec![1.0, -2.0],
        };
        let network = QuantisedNetwork {
            convolutions: [("blocks.0.fc".to_owned(), rounded)].into(),
            ranges: [("blocks.0".to_owned(), Range { low: -1.0, high: 2.0 })].into(),
            singles: [
                ("blocks.0.norm.weight".to_owned(), tensor(&[3])),
                ("blocks.0.norm.bias".to_owned(), tensor(&[3])),
                ("tokens.prefix".to_owned(), tensor(&[1, 3])),
            ]
            .into(),
        };
        let mut state = State::default();
        set_bytes(&mut state, &network);
        assert_eq!(bytes(&state).unwrap(), network);
        state.set_u8("tokens.prefix", &[3], vec![1, 2, 3]);
        assert!(bytes(&state).unwrap_err().to_string().contains("tokens.prefix"));
    }
}
