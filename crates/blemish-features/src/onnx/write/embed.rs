//! Taking another graph in, under names of its own.

use super::super::inspect::{inputs, parse};
use super::super::proto::GraphMessage;
use super::{GraphWriter, OPERATORS, Value};
use crate::FeatureError;
use std::collections::{HashMap, HashSet};

/// The oldest set of operators whose graphs mean the same in ours.
const OLDEST: i64 = 13;

/// The newest set that is known.
const NEWEST: i64 = 25;

impl GraphWriter {
    /// Takes a graph in: `input` becomes what its only input is, and what its tensors `outputs` hold comes back. All its names get `prefix`.
    ///
    /// Steps that these tensors do not need are left out.
    ///
    /// # Errors
    /// [`FeatureError::Onnx`] if the bytes are no graph with one input, or its operators are of a set that cannot be joined with ours.
    pub fn embed(
        &mut self,
        bytes: &[u8],
        prefix: &str,
        input: &Value,
        outputs: &[String],
    ) -> Result<Vec<Value>, FeatureError> {
        let fail = |reason: String| FeatureError::Onnx { reason };
        let model = parse(bytes)?;
        if let Some(function) = model.functions.first() {
            let name = &function.name;
            return Err(fail(format!(
                "it defines the operator `{name}` itself, which cannot be taken into another graph; save it with functions inlined"
            )));
        }
        for set in &model.opset_import {
            let is_own = set.domain.is_empty() || set.domain == "ai.onnx";
            if is_own && !(OLDEST..=NEWEST).contains(&set.version) {
                return Err(fail(format!(
                    "it is written in operator set {}, and sets {OLDEST} to {NEWEST} can be taken into another graph; save it in one of these",
                    set.version
                )));
            }
            if is_own {
                self.operators = self.operators.max(set.version);
            }
        }
        if self.operators > OPERATORS {
            self.format = self.format.max(model.ir_version);
        }
        let mut graph = model.graph.unwrap_or_default();
        let names: Vec<String> = inputs(&graph).map(|value| value.name.clone()).collect();
        let [inner] = names.as_slice() else {
            return Err(fail(format!("it has {} inputs; one is needed, the image", names.len())));
        };
        let first = graph.input.iter().find(|value| value.name == *inner);
        let shape = first.and_then(|value| value.kind.as_ref()?.tensor.as_ref()?.shape.as_ref());
        let batch = shape.and_then(|shape| shape.dim.first()?.value);
        self.is_single |= batch.is_some_and(|count| count > 0);
        let inner = inner.clone();
        prune(&mut graph, outputs);
        let used = used(&graph);
        graph.initializer.retain(|tensor| used.contains(&tensor.name));
        rename(&mut graph, &|name: &mut String| {
            if *name == inner {
                name.clone_from(&input.0);
            } else if !name.is_empty() {
                *name = format!("{prefix}{name}");
            }
        });
        if let Some(node) = graph.node.iter().find(|node| !matches!(node.domain.as_str(), "" | "ai.onnx")) {
            return Err(fail(format!(
                "its operator {} is of the domain `{}`, which an exported model must not depend on",
                node.op_type, node.domain
            )));
        }
        self.graph.node.append(&mut graph.node);
        self.graph.initializer.append(&mut graph.initializer);
        Ok(outputs.iter().map(|name| Value(format!("{prefix}{name}"))).collect())
    }
}

/// Leaves out the steps that none of `outputs` needs.
pub(super) fn prune(graph: &mut GraphMessage, outputs: &[String]) {
    let mut needed: HashSet<String> = outputs.iter().cloned().collect();
    let mut is_needed = vec![false; graph.node.len()];
    for (node, is_needed) in graph.node.iter().zip(&mut is_needed).rev() {
        if node.output.iter().any(|name| needed.contains(name)) {
            *is_needed = true;
            needed.extend(node.input.iter().cloned());
            let inner = node.attribute.iter().filter_map(|attribute| attribute.g.as_ref());
            inner.for_each(|graph| needed.extend(used(graph)));
        }
    }
    let mut is_needed = is_needed.into_iter();
    graph.node.retain(|_| is_needed.next().unwrap_or(true));
}

/// Bytes from which on a constant is worth looking for twice.
const SHARED: usize = 256;

/// Makes steps that read equal constants read one of them, and leaves the others out.
pub(super) fn share_constants(graph: &mut GraphMessage) {
    // Steps within steps may read anything.
    if graph.node.iter().flat_map(|node| &node.attribute).any(|attribute| attribute.g.is_some()) {
        return;
    }
    let mut known: HashMap<(i32, &[i64], &[u8]), &str> = HashMap::new();
    let mut same: HashMap<String, String> = HashMap::new();
    for tensor in graph.initializer.iter().filter(|tensor| tensor.raw_data.len() >= SHARED) {
        let content = (tensor.data_type, &tensor.dims[..], &tensor.raw_data[..]);
        match known.get(&content) {
            Some(&first) => drop(same.insert(tensor.name.clone(), first.to_owned())),
            None => drop(known.insert(content, &tensor.name)),
        }
    }
    graph.initializer.retain(|tensor| !same.contains_key(&tensor.name));
    for name in graph.node.iter_mut().flat_map(|node| &mut node.input) {
        if let Some(first) = same.get(name) {
            name.clone_from(first);
        }
    }
}

/// Names that steps of a graph read, at any depth.
pub(super) fn used(graph: &GraphMessage) -> HashSet<String> {
    let mut names: HashSet<String> = graph.node.iter().flat_map(|node| node.input.iter().cloned()).collect();
    names.extend(graph.output.iter().map(|value| value.name.clone()));
    for inner in
        graph.node.iter().flat_map(|node| &node.attribute).filter_map(|attribute| attribute.g.as_ref())
    {
        names.extend(used(inner));
    }
    names
}

/// Gives every value of a graph another name, at any depth.
fn rename(graph: &mut GraphMessage, change: &impl Fn(&mut String)) {
    graph.initializer.iter_mut().for_each(|tensor| change(&mut tensor.name));
    for value in graph.input.iter_mut().chain(&mut graph.output) {
        change(&mut value.name);
    }
    for node in &mut graph.node {
        change(&mut node.name);
        node.input.iter_mut().chain(&mut node.output).for_each(change);
        node.attribute
            .iter_mut()
            .filter_map(|attribute| attribute.g.as_mut())
            .for_each(|inner| rename(inner, change));
    }
}
