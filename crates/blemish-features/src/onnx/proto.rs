//! The part of the ONNX file format that is needed here: protocol buffer messages with the field numbers of `onnx.proto3`.

/// A file.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Model {
    #[prost(int64, tag = "1")]
    pub ir_version: i64,
    #[prost(string, tag = "2")]
    pub producer_name: String,
    #[prost(string, tag = "3")]
    pub producer_version: String,
    #[prost(message, optional, tag = "7")]
    pub graph: Option<GraphMessage>,
    #[prost(message, repeated, tag = "8")]
    pub opset_import: Vec<OperatorSet>,
    #[prost(message, repeated, tag = "14")]
    pub metadata_props: Vec<Entry>,
    #[prost(message, repeated, tag = "25")]
    pub functions: Vec<FunctionMessage>,
}

/// A name and a text.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Entry {
    #[prost(string, tag = "1")]
    pub key: String,
    #[prost(string, tag = "2")]
    pub value: String,
}

/// An operator that a file defines itself; only what it is called.
#[derive(Clone, PartialEq, prost::Message)]
pub struct FunctionMessage {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "10")]
    pub domain: String,
}

/// Version of the operators.
#[derive(Clone, PartialEq, prost::Message)]
pub struct OperatorSet {
    #[prost(string, tag = "1")]
    pub domain: String,
    #[prost(int64, tag = "2")]
    pub version: i64,
}

/// A graph.
#[derive(Clone, PartialEq, prost::Message)]
pub struct GraphMessage {
    #[prost(message, repeated, tag = "1")]
    pub node: Vec<NodeMessage>,
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(message, repeated, tag = "5")]
    pub initializer: Vec<TensorMessage>,
    #[prost(message, repeated, tag = "11")]
    pub input: Vec<ValueInfo>,
    #[prost(message, repeated, tag = "12")]
    pub output: Vec<ValueInfo>,
    #[prost(message, repeated, tag = "13")]
    pub value_info: Vec<ValueInfo>,
    /// Sparse constants, of which only their presence is of interest.
    #[prost(bytes = "vec", repeated, tag = "15")]
    pub sparse_initializer: Vec<Vec<u8>>,
}

/// A node.
#[derive(Clone, PartialEq, prost::Message)]
pub struct NodeMessage {
    #[prost(string, repeated, tag = "1")]
    pub input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub output: Vec<String>,
    #[prost(string, tag = "3")]
    pub name: String,
    #[prost(string, tag = "4")]
    pub op_type: String,
    #[prost(message, repeated, tag = "5")]
    pub attribute: Vec<Attribute>,
    #[prost(string, tag = "7")]
    pub domain: String,
}

/// An attribute of a node.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Attribute {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(float, tag = "2")]
    pub f: f32,
    #[prost(int64, tag = "3")]
    pub i: i64,
    #[prost(bytes = "vec", tag = "4")]
    pub s: Vec<u8>,
    #[prost(message, optional, tag = "5")]
    pub t: Option<TensorMessage>,
    #[prost(message, optional, tag = "6")]
    pub g: Option<GraphMessage>,
    #[prost(float, repeated, packed = "false", tag = "7")]
    pub floats: Vec<f32>,
    #[prost(int64, repeated, packed = "false", tag = "8")]
    pub ints: Vec<i64>,
    #[prost(bytes = "vec", repeated, tag = "9")]
    pub strings: Vec<Vec<u8>>,
    #[prost(int32, tag = "20")]
    pub kind: i32,
}

impl Attribute {
    pub fn int(name: &str, i: usize) -> Self {
        Self { name: name.into(), i: i as i64, kind: 2, ..Self::default() }
    }

    pub fn float(name: &str, f: f32) -> Self {
        Self { name: name.into(), f, kind: 1, ..Self::default() }
    }

    /// A number that may be negative, such as an axis from the end.
    pub fn signed(name: &str, i: i64) -> Self {
        Self { name: name.into(), i, kind: 2, ..Self::default() }
    }

    pub fn text(name: &str, text: &str) -> Self {
        Self { name: name.into(), s: text.into(), kind: 3, ..Self::default() }
    }

    pub fn ints(name: &str, ints: &[usize]) -> Self {
        Self { name: name.into(), ints: ints.iter().map(|&i| i as i64).collect(), kind: 7, ..Self::default() }
    }
}

/// A constant tensor.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TensorMessage {
    #[prost(int64, repeated, packed = "false", tag = "1")]
    pub dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    pub data_type: i32,
    #[prost(float, repeated, tag = "4")]
    pub float_data: Vec<f32>,
    #[prost(int32, repeated, tag = "5")]
    pub int32_data: Vec<i32>,
    #[prost(int64, repeated, tag = "7")]
    pub int64_data: Vec<i64>,
    #[prost(string, tag = "8")]
    pub name: String,
    #[prost(bytes = "vec", tag = "9")]
    pub raw_data: Vec<u8>,
    #[prost(double, repeated, tag = "10")]
    pub double_data: Vec<f64>,
    /// Where the values lie in a second file.
    #[prost(message, repeated, tag = "13")]
    pub external_data: Vec<Entry>,
    #[prost(int32, tag = "14")]
    pub data_location: i32,
}

/// `TensorProto.DataType.FLOAT`.
pub const FLOAT: i32 = 1;
/// `TensorProto.DataType.INT64`.
pub const INT64: i32 = 7;
/// `TensorProto.DataType.INT8`.
pub const INT8: i32 = 3;
/// `TensorProto.DataType.FLOAT16`.
pub const FLOAT16: i32 = 10;
/// `TensorProto.DataLocation.EXTERNAL`.
pub const EXTERNAL: i32 = 1;

/// Name and type of a value.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ValueInfo {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, optional, tag = "2")]
    pub kind: Option<TypeMessage>,
}

/// Type of a value.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TypeMessage {
    #[prost(message, optional, tag = "1")]
    pub tensor: Option<TensorType>,
}

/// Element type and shape.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TensorType {
    #[prost(int32, tag = "1")]
    pub elem_type: i32,
    #[prost(message, optional, tag = "2")]
    pub shape: Option<ShapeMessage>,
}

/// A shape.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ShapeMessage {
    #[prost(message, repeated, tag = "1")]
    pub dim: Vec<DimensionMessage>,
}

/// A size, known or named.
#[derive(Clone, PartialEq, prost::Message)]
pub struct DimensionMessage {
    #[prost(int64, optional, tag = "1")]
    pub value: Option<i64>,
    #[prost(string, optional, tag = "2")]
    pub param: Option<String>,
}

/// A float tensor with these dimensions; `None` is dynamic, under a name.
pub fn float_value(name: &str, sizes: &[(&str, Option<usize>)]) -> ValueInfo {
    value(name, FLOAT, sizes)
}

/// A tensor of any element type.
pub fn value(name: &str, elem_type: i32, sizes: &[(&str, Option<usize>)]) -> ValueInfo {
    let dim = sizes.iter().map(|(param, size)| match size {
        Some(size) => DimensionMessage { value: Some(*size as i64), param: None },
        None => DimensionMessage { value: None, param: Some((*param).into()) },
    });
    let shape = Some(ShapeMessage { dim: dim.collect() });
    let kind = Some(TypeMessage { tensor: Some(TensorType { elem_type, shape }) });
    ValueInfo { name: name.into(), kind }
}

/// An operator with one output, which gives it its name.
pub(super) fn operator(
    kind: &str,
    input: Vec<String>,
    output: &str,
    attribute: Vec<Attribute>,
) -> NodeMessage {
    let (name, op_type) = (output.into(), kind.into());
    NodeMessage { input, output: vec![output.into()], name, op_type, attribute, domain: String::new() }
}
