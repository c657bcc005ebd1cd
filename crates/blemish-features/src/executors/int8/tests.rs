//! Bytes against single precision.

use super::{
    QuantisedExecutor, QuantisedNetwork, Range, Ranges, Seen, Watched, calibrate, executor, relative_errors,
};
use crate::backbone::embedded_weights;
use crate::executors::native::NativeExecutor;
use crate::graph::{
    Activation, Executor, FeatureMap, Graph, Node, Normalization, Op, Padding, Tap, Tensor, Weights,
};
use crate::networks::vit;
use crate::{Architecture, networks};

/// Smooth images, N x 3 x side x side, normalised.
fn images(count: usize, side: usize) -> Vec<f32> {
    let value = |i: usize| {
        let (x, y, plane) = (i % side, i / side % side, i / side / side);
        let phase = plane as f32 * 0.7;
        (x as f32 * 0.31 + phase).sin() + (y as f32 * 0.17 - phase).cos() * (x as f32 * 0.05).sin()
    };
    (0..count * 3 * side * side).map(value).collect()
}

/// The same one by one.
fn watched(count: usize, side: usize) -> Vec<Watched> {
    let all = images(count, side);
    all.chunks(3 * side * side).map(|image| Watched { values: image.to_vec(), size: [side, side] }).collect()
}

fn lite0() -> (Graph, Weights) {
    let layers = Architecture::EfficientNetLite0.layers_at(&[8, 16]);
    let graph = networks::build(Architecture::EfficientNetLite0).cut(&layers).unwrap();
    let weights = embedded_weights(&graph).unwrap().unwrap();
    (graph, weights)
}

#[test]
fn the_embedded_network_loses_little_at_every_step() {
    let (graph, weights) = lite0();
    let good = watched(4, 96);
    let seen = calibrate(&graph, &weights, &good, 2).unwrap();
    assert_eq!(calibrate(&graph, &weights, &good, 1).unwrap(), seen);
    let errors = relative_errors(&graph, &weights, &seen, &good, 2).unwrap();
    assert!(errors.len() > 30);
    for layer in &errors {
        assert!(layer.error < 0.08, "{layer:?}");
    }
}

/// The maps of a batch, which one thread and four give, for all images at once and one by one.
fn same_for_threads_and_batches(
    graph: &Graph,
    network: &QuantisedNetwork,
    batch: &[f32],
    [count, height, width]: [usize; 3],
) -> Vec<FeatureMap> {
    let [alone, many] = [1, 4].map(|threads| executor(graph, network, threads).unwrap());
    let whole = alone.run(batch, [count, height, width]).unwrap();
    assert_eq!(many.run(batch, [count, height, width]).unwrap(), whole);
    for (index, image) in batch.chunks(3 * height * width).enumerate() {
        for (map, all) in many.run(image, [1, height, width]).unwrap().iter().zip(&whole) {
            assert_eq!(map.data, all.data.chunks(map.data.len()).nth(index).unwrap());
        }
    }
    whole
}

#[test]
fn threads_and_batches_give_the_same_bits() {
    let (graph, weights) = lite0();
    let (size, batch) = ([3, 64, 64], images(3, 64));
    let seen = calibrate(&graph, &weights, &watched(3, 64), 1).unwrap();
    let network = QuantisedNetwork::new(&graph, &weights, &seen).unwrap();
    network.check(&graph).unwrap();
    same_for_threads_and_batches(&graph, &network, &batch, size);
}

fn node(name: &str, op: Op, inputs: Vec<usize>) -> Node {
    Node { name: name.into(), op, inputs, channels: 3, stride: 1 }
}

fn graph(nodes: Vec<Node>) -> Graph {
    let taps = vec![Tap { name: "tap".into(), node: nodes.len() - 1 }];
    Graph { name: "small".into(), normalization: Normalization::IMAGENET, nodes, taps }
}

/// relu(pool(image) x 2 + 1) + pool(image), all whole numbers of the ranges' steps.
fn small() -> (Graph, Weights, Seen) {
    let pool = Op::MaxPool { kernel: 2, stride: 2, padding: 0, ceil: false };
    let conv = Op::Conv { kernel: 1, stride: 1, padding: Padding::Symmetric(0), groups: 1 };
    let nodes = vec![
        node("image", Op::Input, vec![]),
        node("pool", pool, vec![0]),
        node("conv", conv, vec![1]),
        node("relu", Op::Activation(Activation::Relu), vec![2]),
        node("sum", Op::Add, vec![3, 1]),
        node("mean", Op::GlobalAveragePool, vec![4]),
    ];
    let weight = [2.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 2.0].to_vec();
    let weights = Weights::from([
        ("conv.weight".to_owned(), Tensor { shape: vec![3, 3, 1, 1], data: weight }),
        ("conv.bias".to_owned(), Tensor { shape: vec![3], data: vec![1.0; 3] }),
    ]);
    let range = |low, high| Range { low, high };
    let ranges = Ranges::from([
        ("image".to_owned(), range(-27.0, 228.0)),
        ("relu".to_owned(), range(0.0, 255.0)),
        ("sum".to_owned(), range(-55.0, 200.0)),
    ]);
    let means = ["image", "pool", "relu", "sum"].map(|name| (name.to_owned(), vec![0.0; 3]));
    (graph(nodes), weights, Seen { ranges, means: means.into() })
}

#[test]
fn pools_sums_and_means_are_those_of_whole_numbers() {
    let (graph, weights, seen) = small();
    let network = QuantisedNetwork::new(&graph, &weights, &seen).unwrap();
    let executor = QuantisedExecutor::new(&graph, &network, 1).unwrap();
    let image: Vec<f32> = [-8.0, -9.0, -7.0, -6.0, 5.0, 1.0, 3.0, 2.0].repeat(3);
    // Maxima -6 (rows of two: -8 -9 / -7 -6) and 5; relu(2 x + 1) + x gives -6 and 16.
    let map = executor.run(&image, [1, 4, 2]).unwrap().remove(0);
    assert_eq!((map.height, map.width), (1, 1));
    assert_eq!(map.data, [5.0; 3]);
}

/// A kernel of 127 and values of 0.4, which round to nothing: the input's mean times what is lost comes back, of a channel's own input
/// where channels are on their own.
#[test]
fn what_rounding_adds_on_average_the_bias_takes_back() {
    for (groups, kernel, expected) in [(1, 1, [20.0; 3]), (3, 3, [32.0, 64.0, 96.0])] {
        let (mut graph, mut weights, mut seen) = small();
        graph.nodes[2].op = Op::Conv { kernel, stride: 1, padding: Padding::Symmetric(kernel / 2), groups };
        let terms = 3 / groups * kernel * kernel;
        let data = (0..3 * terms).map(|at| if at % terms == 0 { 127.0 } else { 0.4 }).collect();
        let shape = vec![3, 3 / groups, kernel, kernel];
        weights.insert("conv.weight".into(), Tensor { shape, data });
        seen.means.insert("pool".into(), vec![10.0, 20.0, 30.0]);
        let network = QuantisedNetwork::new(&graph, &weights, &seen).unwrap();
        for (bias, expected) in network.convolutions["conv"].bias.iter().zip(expected) {
            assert!((bias - 1.0 - expected).abs() < 1e-3, "{groups} groups: {bias}");
        }
        seen.means.remove("pool");
        let error = QuantisedNetwork::new(&graph, &weights, &seen).unwrap_err();
        assert!(error.to_string().contains("means of pool are missing"), "{error}");
    }
}

#[test]
fn what_is_not_done_in_bytes_is_refused() {
    let (mut graph, weights, mut seen) = small();
    let refusal = |graph: &Graph, seen: &Seen| {
        let network = QuantisedNetwork::new(graph, &weights, seen);
        network.and_then(|network| QuantisedExecutor::new(graph, &network, 1)).err().unwrap().to_string()
    };
    graph.nodes[3].op = Op::Activation(Activation::Silu);
    assert!(refusal(&graph, &seen).contains("Silu"));
    graph.nodes[3].op = Op::Activation(Activation::Relu);
    seen.ranges.insert("relu".into(), Range { low: 0.0, high: 1e-9 });
    assert!(refusal(&graph, &seen).contains("does not go with its weights"));
    seen.ranges.remove("relu");
    assert!(refusal(&graph, &seen).contains("range of relu is missing"));
}

/// A transformer of two blocks with made-up weights.
fn transformer() -> (Graph, Weights) {
    let small = Architecture::VitSmallPatch14Reg4Dinov2;
    let settings = vit::Settings {
        patch: 8,
        width: 64,
        depth: 2,
        heads: 2,
        hidden: 144,
        side: 4,
        ..vit::settings(small).unwrap()
    };
    let graph = vit::build("small", &settings).cut(&["blocks.0", "1"]).unwrap();
    let tensor = |(name, shape): (String, Vec<usize>)| {
        let count: usize = shape.iter().product();
        let scale = (shape[0] as f32 / count as f32).sqrt();
        let offset = if shape.len() == 1 && name.ends_with("weight") { 1.0 } else { 0.0 };
        let value = |at: usize| offset + ((at * 7919 + name.len() * 31) as f32 * 0.618).sin() * scale;
        (name.clone(), Tensor { shape, data: (0..count).map(value).collect() })
    };
    let weights = graph.tensor_shapes().map(tensor).collect();
    (graph, weights)
}

#[test]
fn the_linear_maps_of_a_transformer_lose_little() {
    let (graph, weights) = transformer();
    let good = watched(4, 40);
    let seen = calibrate(&graph, &weights, &good, 2).unwrap();
    assert!(seen.ranges.is_empty() && seen.means.len() == 8, "{:?}", seen.means.keys());
    let network = QuantisedNetwork::new(&graph, &weights, &seen).unwrap();
    let in_bytes: Vec<&str> = network.convolutions.keys().map(String::as_str).collect();
    let of_block = |block: usize| {
        ["attn.proj", "attn.qkv", "mlp.fc1", "mlp.fc2"].map(|part| format!("blocks.{block}.{part}"))
    };
    assert_eq!(in_bytes, [of_block(0), of_block(1)].concat());
    assert!(network.singles.contains_key("patch_embed.proj.weight"));
    let errors = relative_errors(&graph, &weights, &seen, &good, 1).unwrap();
    for layer in &errors {
        assert!(layer.error < 0.02, "{layer:?}");
    }
    assert!(errors.iter().any(|layer| layer.error > 1e-4), "nothing is done in bytes");
}

#[test]
fn a_transformer_in_bytes_has_the_same_bits_for_threads_and_batches() {
    let (graph, weights) = transformer();
    let (size, batch) = ([3, 48, 40], images(3, 48)[..3 * 3 * 48 * 40].to_vec());
    let seen = calibrate(&graph, &weights, &watched(3, 48), 1).unwrap();
    let network = QuantisedNetwork::new(&graph, &weights, &seen).unwrap();
    let whole = same_for_threads_and_batches(&graph, &network, &batch, size);
    let single = NativeExecutor::new(&graph, &weights, 1).unwrap();
    assert_ne!(single.run(&batch, size).unwrap(), whole);
}

#[test]
fn a_network_of_linear_maps_that_is_not_of_its_graph_is_refused() {
    let (graph, weights) = transformer();
    let seen = calibrate(&graph, &weights, &watched(1, 40), 1).unwrap();
    let network = QuantisedNetwork::new(&graph, &weights, &seen).unwrap();
    let refusal = |change: &dyn Fn(&mut QuantisedNetwork)| {
        let mut network = network.clone();
        change(&mut network);
        executor(&graph, &network, 1).err().unwrap().to_string()
    };
    let linear_map = "blocks.0.mlp.fc1";
    let stray = refusal(&|network| {
        let weights = network.convolutions.remove(linear_map).unwrap();
        network.convolutions.insert("patch_embed.proj".into(), weights);
    });
    assert!(stray.contains("patch_embed.proj.weight"), "{stray}");
    let absent = refusal(&|network| drop(network.convolutions.remove(linear_map)));
    assert!(absent.contains("blocks.0.mlp.fc1.bias"), "{absent}");
    let short = refusal(&|network| network.convolutions.get_mut(linear_map).unwrap().scales.truncate(1));
    assert!(short.contains("blocks.0.mlp.fc1.weight"), "{short}");
    let single = refusal(&|network| drop(network.singles.remove("tokens.prefix")));
    assert!(single.contains("tokens.prefix"), "{single}");
    let twice = refusal(&|network| {
        let tensor = Tensor { shape: vec![1], data: vec![0.0] };
        network.singles.insert(format!("{linear_map}.bias"), tensor);
    });
    assert!(twice.contains("blocks.0.mlp.fc1.bias"), "{twice}");
}
