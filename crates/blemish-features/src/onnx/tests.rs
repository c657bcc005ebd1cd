//! Emitted files read back, users' files tapped anywhere, damaged ones refused.

use super::{emit, inspect};
use crate::executors::{Engine, EngineOptions, build, build_onnx};
use crate::graph::{Graph, Tensor, Weights};
use crate::networks::{self, Architecture};

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
    let theirs = build_onnx(&bytes, &[inner], &options).unwrap().run(&input, [1, 40, 48]).unwrap();
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
fn damaged_graphs_never_panic() {
    let (graph, weights) = network();
    let bytes = emit(&graph, &weights);
    let layer = vec![super::tap_output(&graph.taps[0].name)];
    let options = EngineOptions { threads: Some(1), ..EngineOptions::default() };
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {})); // The engine's own panics are caught; their messages are noise here.
    let mut state = 9u64;
    for round in 0..2_000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mut damaged = bytes.clone();
        let at = (state >> 33) as usize % damaged.len();
        match round % 3 {
            0 => damaged[at] ^= 1 << (state >> 20 & 7),
            1 => damaged.truncate(at),
            // The structure lies behind the weights' bytes: hit that too.
            _ => {
                let tail = damaged.len().min(4_000);
                let at = damaged.len() - 1 - at % tail;
                damaged[at] = (state >> 25) as u8;
            }
        }
        let _ = inspect(file(&damaged).path());
        if let Ok(executor) = build_onnx(&damaged, &layer, &options) {
            let _ = executor.run(&[0.5; 3 * 32 * 32], [1, 32, 32]);
        }
    }
    std::panic::set_hook(hook);
}
