//! Looking into a user's ONNX file, and asking it for more outputs.

use super::proto::{GraphMessage, Model, ValueInfo};
use crate::FeatureError;
use prost::Message;
use std::collections::HashMap;
use std::path::Path;

/// What an ONNX file offers.
#[derive(Clone, Debug, PartialEq)]
pub struct OnnxInfo {
    /// Inputs that are not constants.
    pub inputs: Vec<OnnxTensor>,
    /// Declared outputs.
    pub outputs: Vec<OnnxTensor>,
    /// Every tensor that a step produces, in execution order: these can be tapped.
    pub tensors: Vec<OnnxTensor>,
}

/// A tensor of an ONNX graph.
#[derive(Clone, Debug, PartialEq)]
pub struct OnnxTensor {
    /// Its name.
    pub name: String,
    /// The operator that produces it; empty for inputs.
    pub operator: String,
    /// Its sizes where the file states them: numbers, or the names of dynamic ones.
    pub shape: Option<Vec<String>>,
}

/// Bytes that an ONNX file has at most, since protocol buffers end there.
const MOST_BYTES: u64 = 1 << 31;

/// The bytes of an ONNX file.
///
/// # Errors
/// [`FeatureError::Io`] if it cannot be read, is no ordinary file or longer than the format allows.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, FeatureError> {
    let io = |source| FeatureError::Io { path: path.to_owned(), source };
    blemish_data::files::read(path, MOST_BYTES).map_err(io)
}

/// Lists inputs, outputs and the tensors one can tap.
///
/// # Errors
/// [`FeatureError::Onnx`] if the file is not an ONNX graph or keeps its weights elsewhere.
pub fn inspect(path: &Path) -> Result<OnnxInfo, FeatureError> {
    let bytes = read(path)?;
    let graph = parse(&bytes)?;
    let shapes: HashMap<&str, Vec<String>> = [&graph.input, &graph.output, &graph.value_info]
        .into_iter()
        .flatten()
        .filter_map(|value| Some((value.name.as_str(), shape(value)?)))
        .collect();
    let constants: Vec<&str> = graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
    let tensor = |name: &str, operator: &str| OnnxTensor {
        name: name.to_owned(),
        operator: operator.to_owned(),
        shape: shapes.get(name).cloned(),
    };
    let inputs = graph.input.iter().filter(|value| !constants.contains(&value.name.as_str()));
    let produced = graph.node.iter().flat_map(|node| node.output.iter().map(|name| (name, &node.op_type)));
    Ok(OnnxInfo {
        inputs: inputs.map(|value| tensor(&value.name, "")).collect(),
        outputs: graph.output.iter().map(|value| tensor(&value.name, "")).collect(),
        tensors: produced.map(|(name, operator)| tensor(name, operator)).collect(),
    })
}

fn shape(value: &ValueInfo) -> Option<Vec<String>> {
    let dimensions = &value.kind.as_ref()?.tensor.as_ref()?.shape.as_ref()?.dim;
    let word = |value: Option<i64>, param: &Option<String>| match (value, param) {
        (Some(size), _) => size.to_string(),
        (None, Some(name)) => name.clone(),
        (None, None) => "?".into(),
    };
    Some(dimensions.iter().map(|dim| word(dim.value, &dim.param)).collect())
}

pub(crate) fn parse(bytes: &[u8]) -> Result<GraphMessage, FeatureError> {
    let fail = |reason: &str| FeatureError::Onnx { reason: reason.to_owned() };
    let model = Model::decode(bytes).map_err(|error| fail(&format!("it is not an ONNX graph ({error})")))?;
    let graph = model.graph.ok_or_else(|| fail("it holds no graph"))?;
    if graph.node.is_empty() || graph.input.is_empty() {
        return Err(fail("its graph has no steps or no input"));
    }
    if graph.initializer.iter().any(|tensor| tensor.data_location != 0) {
        return Err(fail("it keeps its weights in a second file; save it again as a single file"));
    }
    Ok(graph)
}

/// The file with `tensors` as its only declared outputs left in the order given, and the name of its image input.
///
/// The outputs are appended to the graph's bytes; nothing else is decoded and encoded again, so nothing can be lost.
///
/// # Errors
/// [`FeatureError::Onnx`] if the file is not a graph with one image input, or [`FeatureError::UnknownTap`] if it has no such tensor.
pub(crate) fn with_outputs(bytes: &[u8], tensors: &[String]) -> Result<(Vec<u8>, String), FeatureError> {
    let graph = parse(bytes)?;
    let constant = |name: &str| graph.initializer.iter().any(|tensor| tensor.name == name);
    let inputs: Vec<&ValueInfo> = graph.input.iter().filter(|value| !constant(&value.name)).collect();
    let [input] = inputs.as_slice() else {
        let reason = format!("it has {} inputs; a feature extractor has one, the image", inputs.len());
        return Err(FeatureError::Onnx { reason });
    };
    for tensor in tensors {
        if !graph.node.iter().any(|node| node.output.contains(tensor)) {
            return Err(FeatureError::UnknownTap {
                tap: tensor.clone(),
                network: "the ONNX graph".into(),
                known: "listed by `blemish info FILE.onnx`".into(),
            });
        }
    }
    let missing = tensors.iter().filter(|tensor| !graph.output.iter().any(|output| output.name == **tensor));
    let output: Vec<ValueInfo> =
        missing.map(|name| super::proto::float_value(name, &[("", None); 4])).collect();
    let addition = GraphMessage { output, ..GraphMessage::default() }.encode_to_vec();
    Ok((append_to_graph(bytes, &addition)?, input.name.clone()))
}

/// Appends encoded fields to the graph message (field 7) of a model message.
fn append_to_graph(bytes: &[u8], addition: &[u8]) -> Result<Vec<u8>, FeatureError> {
    let broken = || FeatureError::Onnx { reason: "its outermost message is damaged".into() };
    let mut rest = bytes;
    while !rest.is_empty() {
        let start = bytes.len() - rest.len();
        let key = prost::encoding::decode_varint(&mut rest).map_err(|_| broken())?;
        match key & 7 {
            0 => drop(prost::encoding::decode_varint(&mut rest).map_err(|_| broken())?),
            1 => rest = rest.get(8..).ok_or_else(broken)?,
            5 => rest = rest.get(4..).ok_or_else(broken)?,
            2 => {
                let length = prost::encoding::decode_varint(&mut rest).map_err(|_| broken())?;
                let length = usize::try_from(length).map_err(|_| broken())?;
                let content = rest.get(..length).ok_or_else(broken)?;
                rest = &rest[length..];
                if key >> 3 == 7 {
                    let mut joined = bytes[..start].to_vec();
                    prost::encoding::encode_varint(key, &mut joined);
                    prost::encoding::encode_varint((length + addition.len()) as u64, &mut joined);
                    joined.extend_from_slice(content);
                    joined.extend_from_slice(addition);
                    joined.extend_from_slice(rest);
                    return Ok(joined);
                }
            }
            _ => return Err(broken()),
        }
    }
    Err(broken())
}
