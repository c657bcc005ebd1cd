//! Emitted files read back, users' files tapped anywhere, damaged ones refused.

use super::proto::{Attribute, GraphMessage, Model, NodeMessage};
use super::testing::{self, everything, image, step};
use super::{emit, inspect};
use crate::backbone::{Backbone, BackboneSource, BackboneSpec, BackboneState};
use crate::executors::{Engine, EngineOptions, build, build_onnx};
use crate::graph::{Graph, Normalization, Tensor, Weights};
use crate::networks::{self, Architecture};
use crate::{FeatureError, FeatureMap};
use prost::Message;
use std::time::{Duration, Instant};

/// SqueezeNet's first blocks with made-up weights.
fn network() -> (Graph, Weights) {
    let graph = networks::build(Architecture::SqueezeNet1_1);
    let first = graph.taps[0].name.clone();
    let graph = graph.cut(&[first]).unwrap();
    let made_up = |(name, shape): (String, Vec<usize>)| {
        let data =
            (0..shape.iter().product::<usize>()).map(|i| ((i * 37) % 19) as f32 / 19.0 - 0.5).collect();
        (name, Tensor { shape, data })
    };
    let weights = graph.tensor_shapes().map(made_up).collect();
    (graph, weights)
}

fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    file
}

#[test]
fn a_tensor_inside_a_users_graph_can_be_tapped() {
    let (graph, weights) = network();
    let bytes = emit(&graph, &weights);
    let info = inspect(file(&bytes).path()).unwrap();
    assert_eq!(info.inputs[0].shape.as_deref().unwrap(), ["n", "3", "h", "w"]);
    assert_eq!(info.outputs.len(), graph.taps.len());
    let inner = format!("{}:out", graph.nodes[graph.taps[0].node].name);
    assert!(info.tensors.iter().any(|tensor| tensor.name == inner));
    let input: Vec<f32> = (0..3 * 40 * 48).map(|i| ((i * 31) % 101) as f32 / 50.0 - 1.0).collect();
    let options = EngineOptions { engine: Engine::Rten, ..EngineOptions::default() };
    let ours = build(&graph, &weights, &options).unwrap().run(&input, [1, 40, 48]).unwrap();
    let theirs = build_onnx(&bytes, &[inner], &options).unwrap().0.run(&input, [1, 40, 48]).unwrap();
    assert_eq!(ours[0], theirs[0]);
}

#[test]
fn unknown_tensors_and_foreign_files_are_refused() {
    let (graph, weights) = network();
    let bytes = emit(&graph, &weights);
    let options = EngineOptions::default();
    let message = |bytes: &[u8], layer: &str| {
        build_onnx(bytes, &[layer.to_owned()], &options)
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default()
    };
    assert!(message(&bytes, "nothing").contains("nothing"));
    assert!(message(b"not an onnx file", "x").contains("ONNX"));
    assert!(message(&bytes[..bytes.len() / 2], "x").contains("ONNX"));
    assert!(inspect(file(b"").path()).is_err());
}

#[test]
fn a_graph_for_one_size_runs_at_that_size_only() {
    let (graph, weights) = network();
    let any = emit(&graph, &weights);
    let mut model = Model::decode(any.as_slice()).unwrap();
    model.graph.as_mut().unwrap().input[0] = testing::image(Some([96, 64]));
    model.graph.as_mut().unwrap().input[0].name = "input".into();
    let fixed = model.encode_to_vec();
    let layers = vec![super::tap_output(&graph.taps[0].name)];
    let up = |bytes: &[u8]| {
        let (bytes, layers) = (bytes.to_vec(), layers.clone());
        let state = BackboneState::Onnx { bytes, layers, normalization: Normalization::IMAGENET };
        Backbone::from_state(state, &EngineOptions { engine: Engine::Rten, ..EngineOptions::default() })
            .unwrap()
    };
    let (any, fixed_up) = (up(&any), up(&fixed));
    assert_eq!(any.fixed_size().whole(), None);
    assert_eq!(fixed_up.fixed_size().whole(), Some([96, 64]));
    assert_eq!(fixed_up.taps(), any.taps());
    // Several images, one by one, though the file takes one.
    let rgb: Vec<f32> = (0..3 * 3 * 96 * 64).map(|i| ((i * 31) % 101) as f32 / 100.0).collect();
    let maps: [Vec<FeatureMap>; 2] = [&any, &fixed_up].map(|it| it.extract(&rgb, [3, 96, 64]).unwrap());
    assert_eq!(maps[0], maps[1]);
    let error = fixed_up.extract(&rgb[..3 * 64 * 96], [1, 64, 96]).unwrap_err();
    assert!(matches!(error, FeatureError::FixedSize { .. }));
    assert!(
        error.to_string().contains("images of 64x96 only") && error.to_string().contains("96x64"),
        "{error}"
    );
    let on_disk = tempfile::Builder::new().suffix(".onnx").tempfile().unwrap();
    std::fs::write(on_disk.path(), &fixed).unwrap();
    let spec = BackboneSpec::from(BackboneSource::Onnx(on_disk.path().to_owned()));
    assert_eq!(spec.fixed_size().unwrap(), Some([96, 64]));
    assert_eq!(BackboneSpec::default().fixed_size().unwrap(), None);
}

#[test]
fn inputs_that_are_no_images_are_refused_by_what_they_are() {
    let said = |sizes: &[i64]| {
        let mut input = image(Some([32, 32]));
        let shape = input.kind.as_mut().unwrap().tensor.as_mut().unwrap().shape.as_mut().unwrap();
        let first = shape.dim[0].clone();
        shape.dim = sizes
            .iter()
            .map(|&size| super::proto::DimensionMessage { value: Some(size), ..first.clone() })
            .collect();
        let graph = testing::graph(vec![step("Relu", "x", "y", vec![])], vec![], input, "y");
        let built = build_onnx(&testing::file(graph), &["y".into()], &EngineOptions::default());
        built.err().map(|error| error.to_string()).unwrap_or_default()
    };
    assert_eq!(said(&[1, 3, 32, 32]), "");
    assert!(said(&[8, 3, 32, 32]).contains("8 images at once"));
    assert!(said(&[1, 1, 32, 32]).contains("1 channels"));
    assert!(said(&[1, 32, 32, 3]).contains("32 channels"));
    assert!(said(&[3, 32, 32]).contains("3 dimensions"));
    assert!(said(&[1, 3, 1 << 40, 1 << 40]).contains("pixels"));
    assert!(said(&[1, 3, 60_000, 60_000]).contains("pixels"));
}

#[test]
fn steps_behind_the_wanted_ones_may_be_anything() {
    let (mut graph, maps) = everything(None);
    let options = EngineOptions { engine: Engine::Rten, threads: Some(1), ..EngineOptions::default() };
    let input: Vec<f32> = (0..3 * 32 * 48).map(|i| ((i * 31) % 101) as f32 / 50.0 - 1.0).collect();
    let run = |graph: &GraphMessage| {
        let (executor, _) = build_onnx(&testing::file(graph.clone()), &maps, &options).unwrap();
        executor.run(&input, [1, 32, 48]).unwrap()
    };
    let alone = run(&graph);
    // A detector's boxes, and a demand for terabytes.
    graph.node.push(step("NonMaxSuppression", "u u", "boxes", vec![]));
    graph.initializer.push(testing::list("big", &[1 << 40]));
    graph.node.push(step("ConstantOfShape", "big", "huge", vec![]));
    graph.output = vec![super::proto::float_value("huge", &[("", None)])];
    assert_eq!(run(&graph), alone);
    assert!(build_onnx(&testing::file(graph), &["huge".into()], &options).is_err());
}

#[test]
fn nested_messages_of_any_depth_are_refused() {
    // Graphs within attributes within nodes within graphs.
    let mut graph = Vec::new();
    let wrap = |field: u32, content: &[u8]| {
        let mut wrapped = Vec::new();
        prost::encoding::encode_key(field, prost::encoding::WireType::LengthDelimited, &mut wrapped);
        prost::encoding::encode_varint(content.len() as u64, &mut wrapped);
        wrapped.extend_from_slice(content);
        wrapped
    };
    for _ in 0..3_000 {
        graph = wrap(1, &wrap(5, &wrap(6, &graph)));
    }
    let error = inspect(file(&wrap(7, &graph)).path()).unwrap_err().to_string();
    assert!(error.contains("nest more than"), "{error}");
    // Types of sequences of types, which an engine follows, too.
    let mut kind = Vec::new();
    for _ in 0..3_000 {
        kind = wrap(4, &wrap(1, &kind));
    }
    let error = inspect(file(&wrap(7, &wrap(11, &wrap(2, &kind)))).path()).unwrap_err().to_string();
    assert!(error.contains("nest more than"), "{error}");
    // Millions of parts that are two bytes each in the file.
    let many = wrap(7, &[10, 0].repeat(2_000_000));
    assert!(inspect(file(&many).path()).unwrap_err().to_string().contains("parts"));
}

#[cfg(unix)]
#[test]
fn a_pipe_or_an_endless_file_is_no_graph() {
    for (path, kind) in [("/dev/zero", "a device"), ("/dev", "a folder")] {
        let error = inspect(std::path::Path::new(path)).unwrap_err().to_string();
        assert!(error.contains(kind), "{error}");
    }
    let sparse = file(b"");
    sparse.as_file().set_len(20 << 30).unwrap();
    assert!(inspect(sparse.path()).unwrap_err().to_string().contains("2147483648 bytes"));
}

/// A small fixed-formula generator, so that no test depends on a crate's stream.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound.max(1)
    }
}

/// Changes bytes of a file.
fn damage(bytes: &mut Vec<u8>, random: &mut Random) {
    // The structure lies beside the weights' bytes.
    let at = random.below(bytes.len());
    match random.below(4) {
        0 => bytes[at] ^= 1 << random.below(8),
        1 => bytes.truncate(at),
        2 => bytes[at] = random.below(256) as u8,
        _ => bytes.insert(at, random.below(256) as u8),
    }
}

/// Changes what a graph says: sizes, settings, operators, names.
fn distort(graph: &mut GraphMessage, random: &mut Random) {
    const NUMBERS: [i64; 14] =
        [0, 1, -1, 2, 3, 7, 64, 4096, 1 << 20, 1 << 31, (1 << 31) - 1, 1 << 40, i64::MAX, i64::MIN];
    const KINDS: [&str; 16] = [
        "ConstantOfShape",
        "Tile",
        "Expand",
        "Pad",
        "Resize",
        "Upsample",
        "Range",
        "Concat",
        "Reshape",
        "OneHot",
        "Loop",
        "ConvTranspose",
        "MatMul",
        "NonZero",
        "Identity",
        "DepthToSpace",
    ];
    let number = NUMBERS[random.below(NUMBERS.len())];
    let name = |random: &mut Random, graph: &GraphMessage| {
        let node: &NodeMessage = &graph.node[random.below(graph.node.len())];
        let names: Vec<String> = node.output.iter().chain(&node.input).cloned().collect();
        names.get(random.below(names.len())).cloned().unwrap_or_default()
    };
    let at = random.below(graph.node.len());
    match random.below(9) {
        0 | 1 => {
            let at = random.below(graph.initializer.len());
            let tensor = &mut graph.initializer[at];
            if tensor.data_type == 7 && !tensor.raw_data.is_empty() {
                let place = random.below(tensor.raw_data.len() / 8);
                tensor.raw_data[8 * place..][..8].copy_from_slice(&number.to_le_bytes());
            } else if let Some(size) = tensor.dims.first_mut() {
                *size = number;
            }
        }
        2 | 3 => {
            let attributes = &mut graph.node[at].attribute;
            let place = random.below(attributes.len());
            if let Some(attribute) = attributes.get_mut(place) {
                attribute.i = number;
                let place = random.below(attribute.ints.len());
                if let Some(value) = attribute.ints.get_mut(place) {
                    *value = number;
                }
            }
        }
        4 => graph.node[at].op_type = KINDS[random.below(KINDS.len())].into(),
        5 => {
            let other = name(random, graph);
            let inputs = &mut graph.node[at].input;
            let place = random.below(inputs.len());
            if let Some(input) = inputs.get_mut(place) {
                *input = other;
            }
        }
        6 => {
            let other = name(random, graph);
            graph.node[at].input.push(other);
        }
        7 => {
            let name =
                ["axis", "group", "to", "ceil_mode", "keepdims", "blocksize", "strides", "pads", "dilations"]
                    [random.below(9)];
            let attribute = Attribute {
                i: number,
                ints: vec![number; 2],
                kind: 2 + 5 * random.below(2) as i32,
                ..Attribute::int(name, 0)
            };
            graph.node[at].attribute.push(attribute);
        }
        _ => drop(graph.node.remove(at)),
    }
}

/// Tries so many damaged or distorted graphs; each is refused or runs, soon and in bounded memory.
fn try_mutations(count: usize, seed: u64) {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {})); // The engine's own panics are caught; their messages are noise here.
    let options = EngineOptions { engine: Engine::Rten, threads: Some(1), ..EngineOptions::default() };
    let mut random = Random(seed);
    let mut ran = 0;
    for round in 0..count {
        let (mut graph, maps) = everything([None, Some([32, 32])][round % 2]);
        if round % 3 > 0 {
            (0..=random.below(3)).for_each(|_| distort(&mut graph, &mut random));
        }
        let mut bytes = testing::file(graph);
        if round % 3 == 0 {
            (0..=random.below(3)).for_each(|_| damage(&mut bytes, &mut random));
        }
        let layer = maps[random.below(maps.len())].clone();
        let started = Instant::now();
        let _ = inspect(file(&bytes).path());
        if let Ok((executor, size)) = build_onnx(&bytes, &[layer], &options) {
            let [height, width] = size.nearest([32, 32]);
            ran += usize::from(executor.run(&vec![0.5; 3 * height * width], [1, height, width]).is_ok());
        }
        if started.elapsed() > Duration::from_secs(10) {
            std::panic::set_hook(hook);
            std::fs::write(std::env::temp_dir().join("blemish-slow.onnx"), &bytes).unwrap();
            panic!("round {round} took {:?}", started.elapsed());
        }
    }
    std::panic::set_hook(hook);
    assert!(ran > count / 20 && ran < count, "{ran} of {count} ran");
    #[cfg(target_os = "linux")]
    {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let kib: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
        assert!(kib < 2 << 20, "the peak of memory was {kib} KiB");
        println!("{count} graphs, of which {ran} ran; peak of memory {} MiB", kib >> 10);
    }
}

#[test]
fn damaged_and_distorted_graphs_never_panic() {
    try_mutations(300, 9);
}

/// `BLEMISH_MUTATIONS=10000 cargo test --release -p blemish-features many_damaged -- --ignored --nocapture`
#[test]
#[ignore = "a long trial; BLEMISH_MUTATIONS says how many"]
fn many_damaged_and_distorted_graphs_never_panic() {
    let count = std::env::var("BLEMISH_MUTATIONS").ok().and_then(|count| count.parse().ok());
    try_mutations(count.unwrap_or(10_000), 10);
}
