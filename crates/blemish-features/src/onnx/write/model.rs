//! A finished model: its texts, and how it becomes bytes.

use super::super::inspect;
use super::super::proto::{EXTERNAL, Entry, GraphMessage, Model, OperatorSet};
use crate::FeatureError;
use prost::Message;

/// What the producer's name is in every file.
const PRODUCER: &str = "blemish";

/// Constants from that many bytes on are put into the second file.
const LARGE: usize = 1024;

/// Where a constant begins in the second file: a multiple of this.
const ALIGNMENT: usize = 4096;

/// An ONNX model in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct OnnxModel {
    message: Model,
}

impl OnnxModel {
    pub(super) fn new(graph: GraphMessage, operators: i64, format: i64) -> Self {
        let opset_import = vec![OperatorSet { domain: String::new(), version: operators }];
        let message = Model {
            ir_version: format,
            producer_name: PRODUCER.into(),
            producer_version: env!("CARGO_PKG_VERSION").into(),
            graph: Some(graph),
            opset_import,
            ..Model::default()
        };
        Self { message }
    }

    /// A model out of the bytes of its file; large constants may stay in a second one.
    ///
    /// # Errors
    /// [`FeatureError::Onnx`] if the bytes are no ONNX graph.
    pub fn read(bytes: &[u8]) -> Result<Self, FeatureError> {
        Ok(Self { message: inspect::parse_part(bytes)? })
    }

    /// Texts about the model, by name.
    pub fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.message.metadata_props.iter().map(|entry| (entry.key.as_str(), entry.value.as_str()))
    }

    /// One of them.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.texts().find(|(key, _)| *key == name).map(|(_, text)| text)
    }

    /// Sets a text about the model.
    pub fn set_text(&mut self, name: &str, text: &str) {
        self.message.metadata_props.retain(|entry| entry.key != name);
        self.message.metadata_props.push(Entry { key: name.into(), value: text.into() });
    }

    /// Names of the outputs.
    pub fn outputs(&self) -> Vec<&str> {
        let graph = self.message.graph.as_ref();
        graph.map_or_else(Vec::new, |graph| graph.output.iter().map(|value| value.name.as_str()).collect())
    }

    /// Names, without repeats, of the operators in use, in alphabetical order.
    pub fn operators(&self) -> Vec<&str> {
        let nodes = self.message.graph.iter().flat_map(|graph| &graph.node);
        let kinds: std::collections::BTreeSet<&str> = nodes.map(|node| node.op_type.as_str()).collect();
        kinds.into_iter().collect()
    }

    /// The same model with these outputs alone, without the steps that only the others need.
    pub fn only(mut self, outputs: &[&str]) -> Self {
        if let Some(graph) = &mut self.message.graph {
            graph.output.retain(|value| outputs.contains(&value.name.as_str()));
            let wanted: Vec<String> = outputs.iter().map(|&name| name.to_owned()).collect();
            super::embed::prune(graph, &wanted);
            let used = super::embed::used(graph);
            graph.initializer.retain(|tensor| used.contains(&tensor.name));
            graph.input.retain(|value| used.contains(&value.name));
        }
        self
    }

    /// Bytes of all constants.
    pub fn constant_bytes(&self) -> usize {
        let graph = self.message.graph.iter();
        graph.flat_map(|graph| &graph.initializer).map(|tensor| tensor.raw_data.len()).sum()
    }

    /// The bytes of its file. Protocol buffers end at 2 GB; see [`Self::split`].
    pub fn encode(&self) -> Vec<u8> {
        self.message.encode_to_vec()
    }

    /// The bytes of its file and of a second one beside it, `name`, which holds the large constants.
    pub fn split(mut self, name: &str) -> (Vec<u8>, Vec<u8>) {
        let mut outside = Vec::new();
        let graph = self.message.graph.iter_mut();
        for tensor in graph.flat_map(|graph| &mut graph.initializer) {
            if tensor.raw_data.len() < LARGE {
                continue;
            }
            outside.resize(outside.len().next_multiple_of(ALIGNMENT), 0);
            let place = [
                ("location", name.to_owned()),
                ("offset", outside.len().to_string()),
                ("length", tensor.raw_data.len().to_string()),
            ];
            tensor.external_data =
                place.map(|(key, value)| Entry { key: key.into(), value }).into_iter().collect();
            tensor.data_location = EXTERNAL;
            outside.append(&mut tensor.raw_data);
        }
        (self.message.encode_to_vec(), outside)
    }

    /// The same with every value of the constant whose name begins so changed by a share of itself: to see that a proof finds it.
    #[doc(hidden)]
    pub fn perturbed(mut self, prefix: &str, share: f32) -> Self {
        let graph = self.message.graph.iter_mut();
        for tensor in graph.flat_map(|graph| &mut graph.initializer) {
            if tensor.name.starts_with(prefix) && tensor.data_type == super::FLOAT {
                for bytes in tensor.raw_data.chunks_exact_mut(4) {
                    let value = f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
                    bytes.copy_from_slice(&(value * (1.0 + share)).to_le_bytes());
                }
            }
        }
        self
    }
}
