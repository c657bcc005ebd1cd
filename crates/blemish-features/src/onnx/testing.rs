//! Small graphs for tests.

use super::proto::{
    Attribute, GraphMessage, Model, NodeMessage, OperatorSet, TensorMessage, ValueInfo, float_value,
};
use prost::Message;

/// A step; inputs and outputs are names with blanks between them.
pub(super) fn step(kind: &str, inputs: &str, outputs: &str, attribute: Vec<Attribute>) -> NodeMessage {
    let names = |text: &str| text.split_whitespace().map(|name| name.replace('_', "")).collect();
    NodeMessage {
        input: names(inputs),
        output: names(outputs),
        name: outputs.to_owned(),
        op_type: kind.to_owned(),
        attribute,
        domain: String::new(),
    }
}

/// A constant of whole numbers with the sizes `dims`.
pub(super) fn whole(name: &str, dims: &[i64], values: &[i64]) -> TensorMessage {
    let raw_data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    TensorMessage {
        dims: dims.to_vec(),
        data_type: 7,
        name: name.into(),
        raw_data,
        ..TensorMessage::default()
    }
}

/// A list of whole numbers.
pub(super) fn list(name: &str, values: &[i64]) -> TensorMessage {
    whole(name, &[values.len() as i64], values)
}

/// A constant of decimal numbers that all differ a little.
pub(super) fn floats(name: &str, dims: &[i64]) -> TensorMessage {
    let count = dims.iter().product::<i64>();
    let raw_data = (0..count).flat_map(|i| ((i * 37 % 19) as f32 / 19.0 - 0.5).to_le_bytes()).collect();
    TensorMessage {
        dims: dims.to_vec(),
        data_type: 1,
        name: name.into(),
        raw_data,
        ..TensorMessage::default()
    }
}

/// A list of these decimal numbers.
pub(super) fn decimals(name: &str, values: &[f32]) -> TensorMessage {
    let dims = vec![values.len() as i64];
    let raw_data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    TensorMessage { dims, data_type: 1, name: name.into(), raw_data, ..TensorMessage::default() }
}

pub(super) fn ints(name: &str, values: &[i64]) -> Attribute {
    Attribute { name: name.into(), ints: values.to_vec(), kind: 7, ..Attribute::default() }
}

pub(super) fn int(name: &str, i: i64) -> Attribute {
    Attribute { name: name.into(), i, kind: 2, ..Attribute::default() }
}

pub(super) fn branch(name: &str, g: GraphMessage) -> Attribute {
    Attribute { name: name.into(), g: Some(g), kind: 5, ..Attribute::default() }
}

/// The input `x`, N x 3 x H x W, of this size or any.
pub(super) fn image(size: Option<[usize; 2]>) -> ValueInfo {
    let count = size.map(|_| 1);
    float_value(
        "x",
        &[("n", count), ("c", Some(3)), ("h", size.map(|it| it[0])), ("w", size.map(|it| it[1]))],
    )
}

/// A graph on the image `x` with one declared output.
pub(super) fn graph(
    node: Vec<NodeMessage>,
    initializer: Vec<TensorMessage>,
    input: ValueInfo,
    output: &str,
) -> GraphMessage {
    let output = vec![float_value(output, &[("", None); 4])];
    GraphMessage {
        node,
        name: "test".into(),
        initializer,
        input: vec![input],
        output,
        ..GraphMessage::default()
    }
}

/// A file of it.
pub(super) fn file(graph: GraphMessage) -> Vec<u8> {
    let opset_import = vec![OperatorSet { domain: String::new(), version: 17 }];
    Model {
        ir_version: 8,
        producer_name: "test".into(),
        graph: Some(graph),
        opset_import,
        ..Model::default()
    }
    .encode_to_vec()
}

/// A network with operators of every kind that decide sizes, and the tensors of it that are feature maps.
pub(super) fn everything(size: Option<[usize; 2]>) -> (GraphMessage, Vec<String>) {
    let constants = vec![
        floats("w", &[8, 3, 3, 3]),
        floats("t", &[8, 8, 2, 2]),
        floats("m", &[8, 8]),
        list("two", &[2]),
        list("minus", &[-1]),
        list("ones", &[1, 1, 2, 1]),
        list("pads", &[0, 0, 1, 2, 0, 0, 0, 1]),
        list("zero", &[0]),
        list("far", &[i64::MAX]),
        whole("nought", &[], &[0]),
        whole("one", &[], &[1]),
        list("firsts", &[0, 1]),
        TensorMessage { dims: vec![], ..decimals("noughtf", &[0.0]) },
        TensorMessage { dims: vec![], ..decimals("onef", &[1.0]) },
        decimals("scales", &[1.0, 1.0, 1.5, 2.0]),
    ];
    let mut nodes = vec![
        step(
            "Conv",
            "x w",
            "a",
            vec![ints("kernel_shape", &[3, 3]), ints("strides", &[2, 2]), ints("pads", &[1, 1, 1, 1])],
        ),
        step("Relu", "a", "b", vec![]),
        step(
            "MaxPool",
            "b",
            "c",
            vec![ints("kernel_shape", &[3, 3]), ints("strides", &[2, 2]), int("ceil_mode", 1)],
        ),
        step("ConvTranspose", "c t", "d", vec![ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])]),
        // The size of the first map, put together from its parts.
        step("Shape", "b", "s", vec![]),
        step("Slice", "s two far zero", "hw", vec![]),
        step("Slice", "s zero two zero", "nc", vec![]),
        step("Concat", "nc hw", "full", vec![int("axis", 0)]),
        step("Resize", "d _ _ full", "e", vec![]),
        step("Concat", "b e", "f", vec![int("axis", 1)]),
        step("Split", "f", "g h", vec![int("axis", 1)]),
        // Attention over all places: 1 x 8 x HW, turned, and back to a map of the same size.
        step("Shape", "c", "cs", vec![]),
        step("Concat", "nc minus", "ncl", vec![int("axis", 0)]),
        step("Reshape", "c ncl", "tokens", vec![]),
        step("Transpose", "tokens", "turned", vec![ints("perm", &[0, 2, 1])]),
        step("MatMul", "turned tokens", "pairs", vec![]),
        step("Softmax", "pairs", "weights", vec![int("axis", -1)]),
        step("MatMul", "weights turned", "mixed", vec![]),
        step("MatMul", "mixed m", "mapped", vec![]),
        step("Transpose", "mapped", "back", vec![ints("perm", &[0, 2, 1])]),
        step("Reshape", "back cs", "i", vec![]),
        step("Pad", "i pads", "j", vec![]),
        step("Tile", "c ones", "k", vec![]),
        step("Resize", "c _ scales", "l", vec![]),
        step("ReduceMean", "b", "m1", vec![ints("axes", &[2, 3])]),
        step("Mul", "b m1", "n", vec![]),
        step("Gather", "s one", "channels", vec![int("axis", 0)]),
        step("Equal", "channels one", "isone", vec![]),
        step("ConstantOfShape", "s", "o", vec![]),
        step("Add", "o b", "p", vec![]),
        step("Range", "nought channels one", "numbers", vec![]),
        step("Gather", "b numbers", "q", vec![int("axis", 1)]),
        // A grid of places, made with decimal numbers as some exporters do.
        step("Cast", "channels", "cf", vec![int("to", 1)]),
        step("Range", "noughtf cf onef", "grid", vec![]),
        step("Shape", "grid", "gs", vec![]),
        step("Concat", "gs gs", "square", vec![int("axis", 0)]),
        step("Expand", "grid square", "places", vec![]),
        step("Unsqueeze", "places firsts", "v", vec![]),
        step("AveragePool", "x", "r", vec![ints("kernel_shape", &[2, 3]), ints("strides", &[2, 3])]),
    ];
    let inner = |kind: &str, output: &str| GraphMessage {
        node: vec![step(kind, "b", output, vec![])],
        name: "branch".into(),
        output: vec![float_value(output, &[("", None); 4])],
        ..GraphMessage::default()
    };
    nodes.push(step(
        "If",
        "isone",
        "u",
        vec![branch("then_branch", inner("Sigmoid", "v1")), branch("else_branch", inner("Tanh", "v2"))],
    ));
    let maps = "a b c d e f g h i j k l n p q r u v".split(' ').map(str::to_owned).collect();
    (graph(nodes, constants, image(size), "u"), maps)
}
