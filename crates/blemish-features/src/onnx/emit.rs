//! From the description to an ONNX file in memory.

use super::proto::{
    Attribute, FLOAT, GraphMessage, Model, NodeMessage, OperatorSet, TensorMessage, float_value, operator,
};
use super::tokens;
use crate::FeatureError;
use crate::graph::{Activation, Graph, Node, Op, Padding, Weights};
use prost::Message;

/// Name of the graph's only input.
pub(crate) const INPUT: &str = "input";

/// The graph as an ONNX file (operator set 17): N x 3 x H x W in, one output a tap in their order; N, H, W dynamic.
///
/// The input is called `input` and the output of a tap `tap:` and its name.
/// Taps on the same node are one output each, through an identity.
///
/// A transformer's file is for images of one size, the one that the network was trained at; [`emit_at`] makes those for others.
pub fn emit(graph: &Graph, weights: &Weights) -> Vec<u8> {
    let trained_at = graph.nodes.iter().find_map(|node| match node.op {
        Op::Tokens { side, .. } => Some([side * node.stride; 2]),
        _ => None,
    });
    let sizes = trained_at.and_then(|[height, width]| graph.output_sizes(height, width).ok());
    encode(graph, weights, trained_at, sizes.as_deref().unwrap_or_default())
}

/// The graph as an ONNX file for images of height x width alone.
///
/// # Errors
/// [`FeatureError::InputTooSmall`].
pub fn emit_at(
    graph: &Graph,
    weights: &Weights,
    [height, width]: [usize; 2],
) -> Result<Vec<u8>, FeatureError> {
    let sizes = graph.output_sizes(height, width)?;
    Ok(encode(graph, weights, Some([height, width]), &sizes))
}

/// `sizes` of all outputs are needed for transformers alone.
fn encode(graph: &Graph, weights: &Weights, size: Option<[usize; 2]>, sizes: &[[usize; 2]]) -> Vec<u8> {
    let names: Vec<String> = graph.nodes.iter().map(output_name).collect();
    let mut message = GraphMessage { name: graph.name.clone(), ..GraphMessage::default() };
    message.input.push(float_value(
        INPUT,
        &[("n", None), ("c", Some(3)), ("h", size.map(|size| size[0])), ("w", size.map(|size| size[1]))],
    ));
    // Positions are brought to the size and stored so.
    let is_made_up = |name: &str| name.ends_with(".positions") || name.ends_with(".prefix");
    for (name, tensor) in weights.iter().filter(|(name, _)| !is_made_up(name)) {
        message.initializer.push(TensorMessage {
            dims: tensor.shape.iter().map(|&size| size as i64).collect(),
            data_type: FLOAT,
            name: name.clone(),
            raw_data: bytemuck::cast_slice(&tensor.data).to_vec(),
            ..TensorMessage::default()
        });
    }
    if graph.nodes.iter().any(|node| node.op == Op::Activation(Activation::Relu6)) {
        message.initializer.push(scalar("relu6.low", 0.0));
        message.initializer.push(scalar("relu6.high", 6.0));
    }
    for (id, node) in graph.nodes.iter().enumerate() {
        let inputs: Vec<String> = node.inputs.iter().map(|&input| names[input].clone()).collect();
        match tokens::step(node, &names[id], weights, &inputs, sizes) {
            Some(step) => {
                message.node.extend(step.nodes);
                message.initializer.extend(step.constants);
            }
            None => {
                let size = node.inputs.first().and_then(|&input| sizes.get(input).copied());
                message.node.extend(nodes(node, inputs, size));
            }
        }
    }
    for tap in &graph.taps {
        let output = tap_output(&tap.name);
        message.node.push(operator("Identity", vec![names[tap.node].clone()], &output, Vec::new()));
        let channels = graph.nodes[tap.node].channels;
        message
            .output
            .push(float_value(&output, &[("n", None), ("c", Some(channels)), ("th", None), ("tw", None)]));
    }
    let opset_import = vec![OperatorSet { domain: String::new(), version: 17 }];
    let producer_name = "blemish".into();
    Model { ir_version: 8, producer_name, graph: Some(message), opset_import, ..Model::default() }
        .encode_to_vec()
}

/// Name of a tap's output in an emitted file.
pub(crate) fn tap_output(tap: &str) -> String {
    format!("tap:{tap}")
}

fn output_name(node: &Node) -> String {
    if node.op == Op::Input { INPUT.into() } else { format!("{}:out", node.name) }
}

fn scalar(name: &str, value: f32) -> TensorMessage {
    let raw_data = value.to_le_bytes().to_vec();
    TensorMessage { data_type: FLOAT, name: name.into(), raw_data, ..TensorMessage::default() }
}

/// The operators of one step; a few steps need two. `size` is that of its first input, where it is known.
fn nodes(node: &Node, mut inputs: Vec<String>, size: Option<[usize; 2]>) -> Vec<NodeMessage> {
    let output = output_name(node);
    let single = |kind: &str, inputs, attributes| vec![operator(kind, inputs, &output, attributes)];
    match &node.op {
        Op::Input => Vec::new(),
        Op::Conv { kernel, stride, padding, groups } => {
            inputs.push(format!("{}.weight", node.name));
            inputs.push(format!("{}.bias", node.name));
            let mut attributes = vec![
                Attribute::ints("kernel_shape", &[*kernel; 2]),
                Attribute::ints("strides", &[*stride; 2]),
                Attribute::int("group", *groups),
            ];
            attributes.push(match padding {
                Padding::Symmetric(padding) => Attribute::ints("pads", &[*padding; 4]),
                // Top, left, bottom, right.
                Padding::Uneven(before, after) => {
                    Attribute::ints("pads", &[*before, *before, *after, *after])
                }
                Padding::Same => match size {
                    None => Attribute::text("auto_pad", "SAME_UPPER"),
                    Some(sides) => {
                        let [(top, bottom), (left, right)] =
                            sides.map(|side| Padding::Same.around(side, *kernel, *stride));
                        Attribute::ints("pads", &[top, left, bottom, right])
                    }
                },
            });
            single("Conv", inputs, attributes)
        }
        Op::Activation(Activation::Relu) => single("Relu", inputs, Vec::new()),
        Op::Activation(Activation::Relu6) => {
            inputs.extend(["relu6.low".into(), "relu6.high".into()]);
            single("Clip", inputs, Vec::new())
        }
        Op::Activation(Activation::Sigmoid) => single("Sigmoid", inputs, Vec::new()),
        Op::Activation(Activation::Silu) => {
            let gate = format!("{output}:gate");
            let sigmoid = operator("Sigmoid", inputs.clone(), &gate, Vec::new());
            inputs.push(gate);
            vec![sigmoid, operator("Mul", inputs, &output, Vec::new())]
        }
        Op::MaxPool { kernel, stride, padding, ceil } => {
            let attributes = vec![
                Attribute::ints("kernel_shape", &[*kernel; 2]),
                Attribute::ints("strides", &[*stride; 2]),
                Attribute::ints("pads", &[*padding; 4]),
                Attribute::int("ceil_mode", usize::from(*ceil)),
            ];
            single("MaxPool", inputs, attributes)
        }
        Op::GlobalAveragePool => single("GlobalAveragePool", inputs, Vec::new()),
        Op::Add => single("Add", inputs, Vec::new()),
        Op::Multiply => single("Mul", inputs, Vec::new()),
        Op::Concat => single("Concat", inputs, vec![Attribute::int("axis", 1)]),
        // These are written by `tokens`.
        Op::Activation(Activation::Gelu | Activation::QuickGelu)
        | Op::Tokens { .. }
        | Op::Grid { .. }
        | Op::Pick { .. }
        | Op::LayerNorm { .. }
        | Op::Attention { .. }
        | Op::Gate(_) => Vec::new(),
    }
}
