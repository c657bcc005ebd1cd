//! Inferred sizes against those of the engine, and graphs that ask for too much.

use super::super::proto::{Attribute, GraphMessage, NodeMessage, TensorMessage};
use super::super::testing::{
    branch, decimals, everything, file, floats, graph, image, int, ints, list, step, whole,
};
use crate::executors::{Engine, EngineOptions, build_onnx};

/// A `Constant` step of this value.
fn constant(output: &str, value: TensorMessage) -> NodeMessage {
    let value = Attribute { name: "value".into(), t: Some(value), kind: 4, ..Attribute::default() };
    step("Constant", "", output, vec![value])
}

fn options() -> EngineOptions {
    EngineOptions { engine: Engine::Rten, threads: Some(1), ..EngineOptions::default() }
}

#[test]
fn sizes_are_those_that_the_engine_computes() {
    for size in [[32, 48], [33, 47]] {
        for fixed in [None, Some(size)] {
            let (graph, maps) = everything(fixed);
            let (executor, _) = build_onnx(&file(graph.clone()), &maps, &options()).unwrap();
            let [height, width] = size;
            let input: Vec<f32> =
                (0..3 * height * width).map(|i| ((i * 31) % 101) as f32 / 50.0 - 1.0).collect();
            let found = executor.run(&input, [1, height, width]).unwrap();
            let known = super::sizes(&graph, size);
            for (name, map) in maps.iter().zip(&found) {
                let computed = [1, map.channels, map.height, map.width].map(|size| size as u64);
                assert_eq!(known[name], computed, "{name} at {size:?}");
            }
        }
    }
}

/// What is said of a graph in which the image is multiplied by a sum over the tensor `h`.
fn said_of(mut nodes: Vec<NodeMessage>, constants: Vec<TensorMessage>) -> String {
    nodes.push(step("Cast", "h", "hf", vec![int("to", 1)]));
    nodes.push(step("ReduceMax", "hf", "z", vec![int("keepdims", 0)]));
    nodes.push(step("Mul", "x z", "y", vec![]));
    said_of_graph(graph(nodes, constants, image(None), "y"))
}

fn said_of_graph(graph: GraphMessage) -> String {
    let started = std::time::Instant::now();
    let built = build_onnx(&file(graph), &["y".to_owned()], &options());
    assert!(started.elapsed().as_secs() < 10, "it took {:?}", started.elapsed());
    built.err().map(|error| error.to_string()).unwrap_or_default()
}

/// The same for one step with the output `h`, its input given as constants.
fn said_of_step(
    kind: &str,
    inputs: &str,
    attributes: Vec<Attribute>,
    constants: Vec<TensorMessage>,
) -> String {
    said_of(vec![step(kind, inputs, "h", attributes)], constants)
}

#[test]
fn a_step_that_asks_for_terabytes_is_refused_before_the_engine_sees_it() {
    let million = 1_000_000;
    let scalar = |name: &str, value| whole(name, &[], &[value]);
    let big = list("big", &[million, million]);
    let cases = [
        said_of_step("ConstantOfShape", "big", vec![], vec![big.clone()]),
        said_of_step("Expand", "one big", vec![], vec![big.clone(), list("one", &[1])]),
        said_of_step("Tile", "a big", vec![], vec![big, floats("a", &[1, 1])]),
        said_of_step("Tile", "x r", vec![], vec![list("r", &[1, 1, 1 << 40, 1])]),
        said_of_step("Pad", "x p", vec![], vec![list("p", &[0, 0, million, million, 0, 0, 0, 0])]),
        said_of_step("Resize", "x _ s", vec![], vec![decimals("s", &[1.0, 1.0, 1e5, 1e5])]),
        said_of_step("Resize", "x _ _ s", vec![], vec![list("s", &[1, 3, million, million])]),
        said_of_step("Upsample", "x s", vec![], vec![decimals("s", &[1.0, 1.0, 1e5, 1e5])]),
        said_of_step(
            "Range",
            "a b c",
            vec![],
            vec![scalar("a", 0), scalar("b", i64::from(i32::MAX)), scalar("c", 1)],
        ),
        said_of_step(
            "Range",
            "a b c",
            vec![],
            vec![decimals("a", &[0.0]), decimals("b", &[1e11]), decimals("c", &[1.0])],
        ),
        said_of_step(
            "OneHot",
            "a d v",
            vec![],
            vec![list("a", &[0; 4096]), scalar("d", million), list("v", &[0, 1])],
        ),
        said_of_step("RandomNormal", "", vec![ints("shape", &[million, million])], vec![]),
        said_of_step("MatMul", "a b", vec![], vec![floats("a", &[200_000, 1]), floats("b", &[1, 200_000])]),
        said_of_step("Add", "a b", vec![], vec![floats("a", &[200_000, 1]), floats("b", &[1, 200_000])]),
        said_of_step(
            "Einsum",
            "a b",
            vec![Attribute { name: "equation".into(), s: "i,j->ij".into(), kind: 3, ..Attribute::default() }],
            vec![floats("a", &[200_000]), floats("b", &[200_000])],
        ),
        said_of_step("Gather", "a i", vec![], vec![floats("a", &[1, 200_000]), list("i", &[0; 4096])]),
        said_of_step("Conv", "x w", vec![ints("pads", &[million; 4])], vec![floats("w", &[1, 3, 1, 1])]),
        said_of_step(
            "ConvTranspose",
            "x w",
            vec![ints("strides", &[10_000, 10_000])],
            vec![floats("w", &[3, 1, 1, 1])],
        ),
        said_of_step(
            "ConvTranspose",
            "x w",
            vec![ints("output_shape", &[million, million])],
            vec![floats("w", &[3, 1, 1, 1])],
        ),
        said_of_step(
            "MaxPool",
            "x",
            vec![ints("kernel_shape", &[1 << 40, 1]), ints("pads", &[1 << 40, 0, 1 << 40, 0])],
            vec![],
        ),
    ];
    for (number, message) in cases.iter().enumerate() {
        let is_clear =
            message.contains("GiB") || message.contains("multiply-adds") || message.contains("cannot be run");
        assert!(is_clear, "case {number}: {message:?}");
    }
}

#[test]
fn small_steps_cannot_add_up_to_much() {
    // A tensor joined to itself forty times over.
    let mut nodes = vec![step("Identity", "x", "t0", vec![])];
    for number in 0..40 {
        let twice = format!("t{number} t{number}");
        nodes.push(step("Concat", &twice, &format!("t{}", number + 1), vec![int("axis", 1)]));
    }
    nodes.push(step("Identity", "t40", "h", vec![]));
    assert!(said_of(nodes, vec![]).contains("GiB"));
    // A thousand tensors of 40 MB that all wait for the last.
    let mut nodes = Vec::new();
    for number in 0..1000 {
        nodes.push(step("ConstantOfShape", "s", &format!("t{number}"), vec![]));
    }
    let names: Vec<String> = (0..1000).map(|number| format!("t{number}")).collect();
    nodes.push(step("Sum", &names.join(" "), "h", vec![]));
    assert!(said_of(nodes, vec![list("s", &[10_000_000])]).contains("its tensors would take"));
    // The same one after the other, which the engine would compute early and keep.
    let mut nodes = vec![step("ConstantOfShape", "s", "t0", vec![])];
    for number in 0..1000 {
        nodes.push(step("Relu", &format!("t{number}"), &format!("t{}", number + 1), vec![]));
    }
    nodes.push(step("Identity", "t1000", "h", vec![]));
    assert!(said_of(nodes, vec![list("s", &[10_000_000])]).contains("its tensors would take"));
}

#[test]
fn sizes_that_the_pixels_decide_and_unknown_operators_are_refused() {
    let from_pixels = || {
        vec![
            step("ReduceMax", "x", "most", vec![int("keepdims", 0)]),
            step("Cast", "most", "count", vec![int("to", 7)]),
        ]
    };
    let with = |last: NodeMessage, constants: Vec<TensorMessage>| {
        said_of(from_pixels().into_iter().chain([last]).collect(), constants)
    };
    let limits = vec![whole("a", &[], &[0]), whole("c", &[], &[1])];
    assert!(with(step("Range", "a count c", "h", vec![]), limits).contains("depends on the image's pixels"));
    let two = vec![list("two", &[1])];
    let nodes: Vec<NodeMessage> = from_pixels()
        .into_iter()
        .chain([step("Reshape", "count two", "one", vec![]), step("ConstantOfShape", "one", "h", vec![])])
        .collect();
    assert!(said_of(nodes, two).contains("depends on the image's pixels"));
    for kind in ["Loop", "Scan", "SequenceEmpty", "Nonsense"] {
        assert!(said_of_step(kind, "x", vec![], vec![]).contains("cannot be foretold"), "{kind}");
    }
    // What is found in an image is bounded by the image.
    assert_eq!(said_of_step("NonZero", "x", vec![], vec![]), "");
}

#[test]
fn what_engines_may_read_in_two_ways_is_refused() {
    let twice = vec![step("Relu", "x", "h", vec![]), step("Tanh", "x", "h", vec![])];
    assert!(said_of(twice, vec![]).contains("made twice"));
    let shape = || ints("shape", &[1]);
    assert!(said_of_step("RandomNormal", "", vec![shape(), shape()], vec![]).contains("twice"));
    assert!(said_of_step("Relu", "a", vec![], vec![floats("a", &[2]), floats("a", &[3])]).contains("twice"));
    let short = TensorMessage { dims: vec![1 << 40], ..floats("a", &[3]) };
    assert!(said_of_step("Relu", "a", vec![], vec![short]).contains("is to have"));
    let elsewhere = TensorMessage { data_location: 1, ..whole("a", &[], &[4]) };
    assert!(said_of(vec![constant("h", elsewhere)], vec![]).contains("no value that can be read"));
    // Constants that are steps decide sizes as those beside them do.
    let shaped = |size| vec![constant("s", list("s", &[size])), step("ConstantOfShape", "s", "h", vec![])];
    assert_eq!(said_of(shaped(4), vec![]), "");
    assert!(said_of(shaped(1 << 40), vec![]).contains("GiB"));
    let circle = vec![step("Add", "x q", "h", vec![]), step("Relu", "h", "q", vec![])];
    assert!(said_of(circle, vec![]).contains("circle"));
}

#[test]
fn graphs_within_graphs_are_followed_to_a_bounded_depth() {
    let leaf = |output: &str| GraphMessage {
        node: vec![
            step("ConstantOfShape", "s", "o", vec![]),
            step("ReduceMax", "o", output, vec![int("keepdims", 0)]),
        ],
        output: vec![super::super::proto::float_value(output, &[])],
        ..GraphMessage::default()
    };
    let nested = |depth: usize, size: i64| {
        let wrap = |inner: GraphMessage, number: usize| GraphMessage {
            node: vec![step(
                "If",
                "flag",
                &format!("o{number}"),
                vec![branch("then_branch", inner.clone()), branch("else_branch", leaf("e"))],
            )],
            output: vec![super::super::proto::float_value(&format!("o{number}"), &[])],
            ..GraphMessage::default()
        };
        let inner = (0..depth).fold(leaf("e"), wrap);
        let flag = step("Greater", "m nought", "flag", vec![]);
        let most = step("ReduceMax", "x", "m", vec![int("keepdims", 0)]);
        let outer =
            step("If", "flag", "h", vec![branch("then_branch", inner), branch("else_branch", leaf("e"))]);
        said_of(vec![most, flag, outer], vec![list("s", &[size]), decimals("nought", &[0.0])])
    };
    let untaken = |size: i64| {
        let constant = GraphMessage {
            node: vec![step("Identity", "nought", "e", vec![])],
            output: vec![super::super::proto::float_value("e", &[])],
            ..GraphMessage::default()
        };
        let outer =
            step("If", "never", "h", vec![branch("then_branch", leaf("e")), branch("else_branch", constant)]);
        let never = TensorMessage { data_type: 9, raw_data: vec![0], ..whole("never", &[], &[]) };
        said_of(vec![outer], vec![list("s", &[size]), decimals("nought", &[0.0]), never])
    };
    assert!(nested(0, 1 << 40).contains("GiB"), "{}", nested(0, 1 << 40));
    assert!(
        untaken(1 << 40).contains("GiB"),
        "an engine makes the constants of a branch that is never taken"
    );
    assert_eq!(untaken(4), "");
    assert!(nested(2, 1 << 40).contains("GiB"));
    assert!(nested(30, 4).contains("nest more than"));
    assert!(!nested(2, 4).contains("nest"), "{}", nested(2, 4));
}
