//! ONNX graphs built operator by operator: how a whole model leaves as one file.
//!
//! A [`GraphWriter`] gives every operator and constant a name below the part of the model that it belongs to, and the names of what it
//! computes are [`Value`]s. Other graphs, such as a backbone's, are taken in whole ([`GraphWriter::embed`]). What comes out is an
//! [`OnnxModel`]: texts about itself can be added, and where its constants are too many for one file, they are put into a second one.
//!
//! Operators are those of set 17, and newer ones where a graph that was taken in asks for them.

mod embed;
mod model;
mod operators;
#[cfg(test)]
mod tests;

pub use model::OnnxModel;
pub use operators::Reduction;

use super::proto::{Attribute, FLOAT, FLOAT16, GraphMessage, INT8, INT64, NodeMessage, TensorMessage, value};
use half::f16;

/// The set of operators that is written in.
const OPERATORS: i64 = 17;

/// The version of the file format that belongs to it.
const FORMAT: i64 = 8;

/// What a step of a graph computes, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value(String);

/// What the elements of a tensor are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// 32-bit floats.
    F32,
    /// 64-bit floats.
    F64,
    /// Bytes.
    U8,
    /// 16-bit whole numbers without a sign.
    U16,
    /// 64-bit whole numbers.
    I64,
    /// True and false.
    Bool,
}

impl Element {
    /// The number of it in `TensorProto.DataType`.
    fn number(self) -> i32 {
        match self {
            Self::F32 => FLOAT,
            Self::U8 => 2,
            Self::U16 => 4,
            Self::I64 => INT64,
            Self::Bool => 9,
            Self::F64 => 11,
        }
    }
}

/// A side of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Always of this length.
    Fixed(usize),
    /// Of any length, under a name.
    Any(&'static str),
}

impl Side {
    fn parts(self) -> (&'static str, Option<usize>) {
        match self {
            Self::Fixed(length) => ("", Some(length)),
            Self::Any(name) => (name, None),
        }
    }
}

/// A named setting of an operator.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Setting<'a> {
    /// A whole number.
    Int(&'a str, i64),
    /// Whole numbers.
    Ints(&'a str, &'a [i64]),
    /// A number.
    Float(&'a str, f32),
    /// A word.
    Text(&'a str, &'a str),
}

impl Setting<'_> {
    fn attribute(self) -> Attribute {
        match self {
            Self::Int(name, value) => Attribute::signed(name, value),
            Self::Ints(name, values) => {
                Attribute { name: name.into(), ints: values.to_vec(), kind: 7, ..Attribute::default() }
            }
            Self::Float(name, value) => Attribute::float(name, value),
            Self::Text(name, value) => Attribute::text(name, value),
        }
    }
}

/// A graph under construction.
pub struct GraphWriter {
    graph: GraphMessage,
    /// What names begin with.
    scope: String,
    /// Number of names given so far.
    named: usize,
    operators: i64,
    format: i64,
    /// Whether large tables are stored in half precision.
    halves_tables: bool,
    /// Whether a graph that was taken in is made for one image at a time.
    is_single: bool,
    /// Values that are outputs, and the names of these.
    outputs: Vec<(String, String)>,
}

impl GraphWriter {
    /// An empty graph of this name.
    pub fn new(name: &str) -> Self {
        Self {
            graph: GraphMessage { name: name.into(), ..GraphMessage::default() },
            scope: String::new(),
            named: 0,
            operators: OPERATORS,
            format: FORMAT,
            halves_tables: false,
            is_single: false,
            outputs: Vec::new(),
        }
    }

    /// The same with [`Self::table`]s stored in half precision: half the file, and values rounded by up to 2^-11 of themselves.
    pub fn halving_tables(self, halves_tables: bool) -> Self {
        Self { halves_tables, ..self }
    }

    /// What the names of the following operators and constants begin with, such as `map/`.
    pub fn scope(&mut self, scope: &str) {
        scope.clone_into(&mut self.scope);
    }

    /// Whether the graph takes one image at a time, because a graph that was taken in does.
    pub fn is_single(&self) -> bool {
        self.is_single
    }

    fn name(&mut self, what: &str) -> String {
        self.named += 1;
        format!("{}{what}.{}", self.scope, self.named)
    }

    /// An input of the whole graph.
    pub fn input(&mut self, name: &str, element: Element, sides: &[Side]) -> Value {
        let sides: Vec<_> = sides.iter().map(|side| side.parts()).collect();
        self.graph.input.push(value(name, element.number(), &sides));
        Value(name.into())
    }

    /// An input of one number that need not be given: it has a value already.
    pub fn optional_input(&mut self, name: &str, default: f32) -> Value {
        self.input(name, Element::F32, &[Side::Fixed(1)]);
        self.graph.initializer.push(tensor(name.to_owned(), &[1], FLOAT, default.to_le_bytes().to_vec()));
        Value(name.into())
    }

    /// Makes a value an output of the whole graph under this name.
    ///
    /// It then has this name alone, since some engines give an output all names of its value, and programs take any of them.
    pub fn output(&mut self, name: &str, from: &Value, element: Element, sides: &[Side]) {
        let sides: Vec<_> = sides.iter().map(|side| side.parts()).collect();
        self.graph.output.push(value(name, element.number(), &sides));
        self.outputs.push((from.0.clone(), name.to_owned()));
    }

    /// Gives the values that are outputs their names.
    fn name_outputs(&mut self) {
        let mut outputs = std::mem::take(&mut self.outputs);
        for at in 0..outputs.len() {
            let (from, name) = outputs[at].clone();
            let is_computed = self.graph.node.iter().any(|node| node.output.contains(&from));
            let is_taken = self.graph.output.iter().any(|value| value.name == from);
            if !is_computed || is_taken {
                self.graph.node.push(NodeMessage {
                    input: vec![from],
                    output: vec![name.clone()],
                    name,
                    op_type: "Identity".into(),
                    ..NodeMessage::default()
                });
                continue;
            }
            let nodes = self.graph.node.iter_mut();
            for known in nodes.flat_map(|node| node.output.iter_mut().chain(&mut node.input)) {
                if *known == from {
                    known.clone_from(&name);
                }
            }
            let later = outputs[at + 1..].iter_mut().filter(|(other, _)| *other == from);
            later.for_each(|(other, _)| other.clone_from(&name));
        }
    }

    /// An operator with several results.
    pub fn operator<const N: usize>(
        &mut self,
        kind: &str,
        inputs: &[&Value],
        settings: &[Setting<'_>],
    ) -> [Value; N] {
        let name = self.name(kind);
        let output: [String; N] =
            std::array::from_fn(|at| if at == 0 { name.clone() } else { format!("{name}:{at}") });
        self.graph.node.push(NodeMessage {
            input: inputs.iter().map(|value| value.0.clone()).collect(),
            output: output.to_vec(),
            name,
            op_type: kind.into(),
            attribute: settings.iter().map(|setting| setting.attribute()).collect(),
            domain: String::new(),
        });
        output.map(Value)
    }

    /// An operator with one result.
    pub fn apply(&mut self, kind: &str, inputs: &[&Value], settings: &[Setting<'_>]) -> Value {
        let [value] = self.operator(kind, inputs, settings);
        value
    }

    fn store(&mut self, what: &str, shape: &[usize], data_type: i32, bytes: Vec<u8>) -> Value {
        let name = self.name(what);
        self.graph.initializer.push(tensor(name.clone(), shape, data_type, bytes));
        Value(name)
    }

    /// A constant tensor.
    pub fn floats(&mut self, what: &str, shape: &[usize], values: &[f32]) -> Value {
        self.store(what, shape, FLOAT, bytemuck::cast_slice(values).to_vec())
    }

    /// A constant number.
    pub fn number(&mut self, value: f32) -> Value {
        self.floats("number", &[], &[value])
    }

    /// A constant number in double precision.
    pub fn double(&mut self, value: f64) -> Value {
        self.store("number", &[], Element::F64.number(), value.to_le_bytes().to_vec())
    }

    /// Constant whole numbers: a list, or a tensor of another shape.
    pub fn integers(&mut self, what: &str, shape: &[usize], values: &[i64]) -> Value {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.store(what, shape, INT64, bytes)
    }

    /// A constant list of whole numbers.
    pub fn list(&mut self, values: &[i64]) -> Value {
        self.integers("list", &[values.len()], values)
    }

    /// Constant truth values.
    pub fn truths(&mut self, what: &str, shape: &[usize], values: impl IntoIterator<Item = bool>) -> Value {
        let bytes = values.into_iter().map(u8::from).collect();
        self.store(what, shape, Element::Bool.number(), bytes)
    }

    /// A large constant tensor that a model has learnt, such as a memory bank: stored in half precision where that was asked for.
    pub fn table(&mut self, what: &str, shape: &[usize], values: &[f32]) -> Value {
        match self.halves_tables {
            false => self.floats(what, shape, values),
            true => {
                let bits: Vec<u16> = values.iter().map(|&value| f16::from_f32(value).to_bits()).collect();
                self.halves(what, shape, &bits)
            }
        }
    }

    /// A constant tensor of the bits of 16-bit floats, brought to 32 bits.
    pub fn halves(&mut self, what: &str, shape: &[usize], bits: &[u16]) -> Value {
        let stored = self.store(what, shape, FLOAT16, bytemuck::cast_slice(bits).to_vec());
        self.cast(&stored, Element::F32)
    }

    /// A constant tensor of signed bytes, given as two's complement, brought to 32-bit floats.
    pub fn bytes(&mut self, what: &str, shape: &[usize], values: &[u8]) -> Value {
        let stored = self.store(what, shape, INT8, values.to_vec());
        self.cast(&stored, Element::F32)
    }

    /// The finished graph. Large constants that are equal, such as the weights of one backbone at several input sizes, are there once.
    pub fn finish(mut self) -> OnnxModel {
        self.name_outputs();
        embed::share_constants(&mut self.graph);
        OnnxModel::new(self.graph, self.operators, self.format)
    }
}

fn tensor(name: String, shape: &[usize], data_type: i32, raw_data: Vec<u8>) -> TensorMessage {
    let dims = shape.iter().map(|&side| side as i64).collect();
    TensorMessage { dims, data_type, name, raw_data, ..TensorMessage::default() }
}
