//! Steps of transformers as ONNX operators, for one size of image.
//!
//! Sizes are constants of the file: position embeddings are brought to the size here, once, in the way the network wants it, which ONNX's own
//! resizing does not offer.

use super::proto::{Attribute, FLOAT, INT64, NodeMessage, TensorMessage, operator};
use crate::graph::{Activation, Node, Op, Weights};
use crate::positions::Positions;

/// Operators and constants of a step.
#[derive(Default)]
pub(super) struct Step {
    pub nodes: Vec<NodeMessage>,
    pub constants: Vec<TensorMessage>,
    name: String,
    last: String,
}

/// The step of a node of a transformer, with the name of its output, where nodes have these sizes; `None` for what is none, or lacks its tensors.
pub(super) fn step(
    node: &Node,
    name: &str,
    weights: &Weights,
    inputs: &[String],
    sizes: &[[usize; 2]],
) -> Option<Step> {
    let first = *node.inputs.first()?;
    // None are given for networks that need none.
    let ([height, width], channels) = (sizes.get(first).copied().unwrap_or_default(), node.channels);
    let mut step = Step { name: name.to_owned(), last: inputs.first()?.clone(), ..Step::default() };
    match node.op {
        Op::Tokens { prefix, side, resample } => {
            let tensor = |kind: &str| weights.get(&format!("{}.{kind}", node.name));
            let positions = Positions::new(tensor("positions")?.data.clone(), side, resample);
            let rows = [&tensor("prefix")?.data[..], &positions.at([height, width])[..]].concat();
            let tokens = prefix + height * width;
            let table: Vec<f32> =
                (0..channels * tokens).map(|i| rows[i % tokens * channels + i / tokens]).collect();
            step.then_int("Reshape", "flat", &[0, channels as i64, -1, 1], vec![]);
            // Zeros where the first tokens go, so that they can be added like the positions, for any number of images.
            step.then_int("Pad", "pads", &[0, 0, prefix as i64, 0, 0, 0, 0, 0], vec![]);
            step.then_floats("Add", "table", &[1, channels, tokens, 1], &table);
        }
        Op::Grid { prefix } => {
            let [rows, columns] = *sizes.get(*node.inputs.get(1)?)?;
            step.slice(prefix, prefix + rows * columns, 2);
            step.then_int("Reshape", "map", &[0, channels as i64, rows as i64, columns as i64], vec![]);
        }
        Op::Pick { token } => step.slice(token, token + 1, 2),
        Op::LayerNorm { epsilon } => {
            step.then("Transpose", &[], vec![Attribute::ints("perm", &[0, 2, 3, 1])]);
            let tensors = ["weight", "bias"].map(|kind| format!("{}.{kind}", node.name));
            let attributes = vec![Attribute::signed("axis", -1), Attribute::float("epsilon", epsilon)];
            step.then("LayerNormalization", &tensors, attributes);
            step.then("Transpose", &[], vec![Attribute::ints("perm", &[0, 3, 1, 2])]);
        }
        Op::Attention { heads } => step.attend(channels, heads, [height, width]),
        Op::Gate(kind) => {
            let whole = step.last.clone();
            step.slice(0, channels, 1);
            step.activate(kind);
            let gate = std::mem::replace(&mut step.last, whole);
            step.slice(channels, 2 * channels, 1);
            step.then("Mul", &[gate], vec![]);
        }
        Op::Activation(kind @ (Activation::Gelu | Activation::QuickGelu)) => step.activate(kind),
        _ => return None,
    }
    // What is computed last is the step's output.
    step.nodes.last_mut()?.output = vec![step.name.clone()];
    Some(step)
}

impl Step {
    /// Adds an operator on what was computed last, and on further values.
    fn then(&mut self, kind: &str, further: &[String], attributes: Vec<Attribute>) {
        let output = format!("{}:{}", self.name, self.nodes.len());
        let inputs = std::iter::once(self.last.clone()).chain(further.iter().cloned()).collect();
        self.nodes.push(operator(kind, inputs, &output, attributes));
        self.last = output;
    }

    fn constant(&mut self, what: &str, dims: &[usize], data_type: i32, raw_data: Vec<u8>) -> String {
        let name = format!("{}:{what}{}", self.name, self.constants.len());
        let dims = dims.iter().map(|&size| size as i64).collect();
        let tensor =
            TensorMessage { dims, data_type, name: name.clone(), raw_data, ..TensorMessage::default() };
        self.constants.push(tensor);
        name
    }

    fn integers(&mut self, what: &str, values: &[i64]) -> String {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(what, &[values.len()], INT64, bytes)
    }

    /// Adds an operator with one constant of whole numbers.
    fn then_int(&mut self, kind: &str, what: &str, values: &[i64], attributes: Vec<Attribute>) {
        let constant = self.integers(what, values);
        self.then(kind, &[constant], attributes);
    }

    /// Adds an operator with one constant tensor.
    fn then_floats(&mut self, kind: &str, what: &str, dims: &[usize], values: &[f32]) {
        let constant = self.constant(what, dims, FLOAT, bytemuck::cast_slice(values).to_vec());
        self.then(kind, &[constant], vec![]);
    }

    fn slice(&mut self, from: usize, to: usize, axis: i64) {
        let bounds = [("from", from as i64), ("to", to as i64), ("axis", axis)];
        let further = bounds.map(|(what, value)| self.integers(what, &[value]));
        self.then("Slice", &further, vec![]);
    }

    fn activate(&mut self, kind: Activation) {
        let x = self.last.clone();
        match kind {
            Activation::Gelu => {
                self.then_floats("Mul", "root", &[], &[std::f32::consts::FRAC_1_SQRT_2]);
                self.then("Erf", &[], vec![]);
                self.then_floats("Add", "one", &[], &[1.0]);
                self.then("Mul", &[x], vec![]);
                self.then_floats("Mul", "half", &[], &[0.5]);
            }
            Activation::QuickGelu => {
                self.then_floats("Mul", "slope", &[], &[1.702]);
                self.then("Sigmoid", &[], vec![]);
                self.then("Mul", &[x], vec![]);
            }
            Activation::Silu => {
                self.then("Sigmoid", &[], vec![]);
                self.then("Mul", &[x], vec![]);
            }
            Activation::Sigmoid => self.then("Sigmoid", &[], vec![]),
            Activation::Relu => self.then("Relu", &[], vec![]),
            Activation::Relu6 => {
                let bounds = [0.0_f32, 6.0]
                    .map(|bound| self.constant("bound", &[], FLOAT, bound.to_le_bytes().to_vec()));
                self.then("Clip", &bounds, vec![]);
            }
        }
    }

    /// N x 3C x T x 1 to N x C x T x 1.
    fn attend(&mut self, channels: usize, heads: usize, [height, width]: [usize; 2]) {
        let (each, tokens) = (channels / heads, height * width);
        let split = [0, 3 * heads as i64, each as i64, tokens as i64];
        self.then_int("Reshape", "heads", &split, vec![]);
        let whole = self.last.clone();
        let part = |step: &mut Self, index: usize| {
            step.last = whole.clone();
            step.slice(index * heads, (index + 1) * heads, 1);
            step.last.clone()
        };
        let turn = || vec![Attribute::ints("perm", &[0, 1, 3, 2])];
        let keys = part(self, 1);
        part(self, 2);
        self.then("Transpose", &[], turn());
        let values = self.last.clone();
        part(self, 0);
        self.then("Transpose", &[], turn());
        self.then("MatMul", &[keys], vec![]);
        self.then_floats("Mul", "scale", &[], &[1.0 / (each as f32).sqrt()]);
        self.then("Softmax", &[], vec![Attribute::signed("axis", -1)]);
        self.then("MatMul", &[values], vec![]);
        self.then("Transpose", &[], turn());
        let back = [0, channels as i64, height as i64, width as i64];
        self.then_int("Reshape", "back", &back, vec![]);
    }
}
