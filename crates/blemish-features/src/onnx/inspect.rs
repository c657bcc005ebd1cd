//! Looking into a user's ONNX file.

use super::proto::{GraphMessage, Model, ValueInfo};
use super::wire;
use crate::FeatureError;
use prost::Message;
use std::collections::{HashMap, HashSet};
use std::path::Path;

/// The largest file, which is also the largest protocol buffer there can be.
const MOST_BYTES: u64 = 2 << 30;

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
    let graph = parse(&read(path)?)?.graph.unwrap_or_default();
    let shapes: HashMap<&str, Vec<String>> = [&graph.input, &graph.output, &graph.value_info]
        .into_iter()
        .flatten()
        .filter_map(|value| Some((value.name.as_str(), shape(value)?)))
        .collect();
    let tensor = |name: &str, operator: &str| OnnxTensor {
        name: name.to_owned(),
        operator: operator.to_owned(),
        shape: shapes.get(name).cloned(),
    };
    let produced = graph.node.iter().flat_map(|node| node.output.iter().map(|name| (name, &node.op_type)));
    Ok(OnnxInfo {
        inputs: inputs(&graph).map(|value| tensor(&value.name, "")).collect(),
        outputs: graph.output.iter().map(|value| tensor(&value.name, "")).collect(),
        tensors: produced.map(|(name, operator)| tensor(name, operator)).collect(),
    })
}

/// The inputs that are no constants.
pub(super) fn inputs(graph: &GraphMessage) -> impl Iterator<Item = &ValueInfo> {
    let constants: HashSet<&str> = graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
    graph.input.iter().filter(move |value| !constants.contains(value.name.as_str()))
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

/// The file's model, which holds a graph with steps and inputs, and all its weights.
pub(super) fn parse(bytes: &[u8]) -> Result<Model, FeatureError> {
    let model = parse_part(bytes)?;
    let constants = model.graph.iter().flat_map(|graph| &graph.initializer);
    if constants.into_iter().any(|tensor| tensor.data_location != 0) {
        let reason = "it keeps its weights in a second file; save it again as a single file".to_owned();
        return Err(FeatureError::Onnx { reason });
    }
    Ok(model)
}

/// The same of a file whose weights may lie in a second one.
pub(super) fn parse_part(bytes: &[u8]) -> Result<Model, FeatureError> {
    let fail = |reason: &str| FeatureError::Onnx { reason: reason.to_owned() };
    wire::check(bytes).map_err(|reason| fail(&reason))?;
    let model = Model::decode(bytes).map_err(|error| fail(&format!("it is not an ONNX graph ({error})")))?;
    let graph = model.graph.as_ref().ok_or_else(|| fail("it holds no graph"))?;
    if graph.node.is_empty() || graph.input.is_empty() {
        return Err(fail("its graph has no steps or no input"));
    }
    Ok(model)
}
