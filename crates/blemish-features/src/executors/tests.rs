//! Every operator against values worked out by hand, and every engine against the others.

use super::{Device, Engine, EngineOptions, build};
use crate::graph::{Activation, FeatureMap, Graph, Node, Normalization, Op, Padding, Tap, Tensor, Weights};

/// A graph of one operator on the image; a convolution's weights are all one and its bias is `bias`.
fn single(op: Op, channels: usize, bias: f32) -> (Graph, Weights) {
    let mut weights = Weights::new();
    if let Op::Conv { kernel, groups, .. } = op {
        let shape = vec![channels, 3 / groups, kernel, kernel];
        weights.insert("step.weight".into(), Tensor { data: vec![1.0; shape.iter().product()], shape });
        weights.insert("step.bias".into(), Tensor { shape: vec![channels], data: vec![bias; channels] });
    }
    let inputs = if matches!(op, Op::Add | Op::Multiply | Op::Concat) { vec![0, 0] } else { vec![0] };
    let nodes = vec![
        Node { name: "image".into(), op: Op::Input, inputs: vec![], channels: 3, stride: 1 },
        Node { name: "step".into(), op, inputs, channels, stride: 1 },
    ];
    let taps = vec![Tap { name: "tap".into(), node: 1 }];
    (Graph { name: "single".into(), normalization: Normalization::IMAGENET, nodes, taps }, weights)
}

fn run(op: Op, channels: usize, bias: f32, input: &[f32], height: usize, width: usize) -> FeatureMap {
    let (graph, weights) = single(op, channels, bias);
    let on = |engine| {
        let options = EngineOptions { engine, ..EngineOptions::default() };
        build(&graph, &weights, &options).unwrap().run(input, [1, height, width]).unwrap().remove(0)
    };
    let (map, other) = (on(Engine::Native), on(Engine::Rten));
    assert_eq!((map.channels, map.height, map.width), (other.channels, other.height, other.width));
    for (a, b) in map.data.iter().zip(&other.data) {
        assert!((a - b).abs() <= 1e-6 * b.abs().max(1.0), "native gives {a}, rten {b}");
    }
    map
}

/// Three planes with the values 1, 10 and 100 everywhere.
fn planes(height: usize, width: usize) -> Vec<f32> {
    [1.0, 10.0, 100.0].iter().flat_map(|&value| vec![value; height * width]).collect()
}

fn conv(kernel: usize, stride: usize, padding: Padding, groups: usize) -> Op {
    Op::Conv { kernel, stride, padding, groups }
}

#[test]
fn same_padding_puts_the_odd_pixel_right_and_bottom() {
    // 4x4, kernel 3, stride 2: outputs 2x2, one padding pixel in all, at right and bottom: windows of 9, 6, 6 and 4 pixels.
    let map = run(conv(3, 2, Padding::Same, 1), 1, 0.5, &planes(4, 4), 4, 4);
    assert_eq!((map.channels, map.height, map.width), (1, 2, 2));
    assert_eq!(map.data, [999.5, 666.5, 666.5, 444.5]);
    let uneven = run(conv(3, 2, Padding::Uneven(0, 1), 1), 1, 0.5, &planes(4, 4), 4, 4);
    assert_eq!(uneven, map);
    // 5x5: outputs 3x3, one padding pixel on each side.
    let map = run(conv(3, 2, Padding::Same, 1), 1, 0.0, &planes(5, 5), 5, 5);
    assert_eq!(map.data, [444.0, 666.0, 444.0, 666.0, 999.0, 666.0, 444.0, 666.0, 444.0]);
}

#[test]
fn symmetric_padding_and_groups() {
    let map = run(conv(3, 2, Padding::Symmetric(1), 1), 1, 0.0, &planes(4, 4), 4, 4);
    assert_eq!(map.data, [444.0, 666.0, 666.0, 999.0]);
    let map = run(conv(3, 1, Padding::Symmetric(0), 3), 3, 1.0, &planes(3, 3), 3, 3);
    assert_eq!(map.data, [10.0, 91.0, 901.0]);
}

#[test]
fn max_pool_counts_partial_windows_only_when_asked() {
    let ramp: Vec<f32> = (0..48).map(|i| -(i as f32)).collect();
    let pool = |ceil| Op::MaxPool { kernel: 3, stride: 2, padding: 0, ceil };
    let map = run(pool(false), 3, 0.0, &ramp, 4, 4);
    assert_eq!((map.height, map.width, &map.data[..]), (1, 1, &[0.0, -16.0, -32.0][..]));
    let map = run(pool(true), 3, 0.0, &ramp, 4, 4);
    assert_eq!((map.height, map.width, &map.data[..4]), (2, 2, &[0.0, -2.0, -8.0, -10.0][..]));
    // Padding never wins over negative values.
    let map = run(Op::MaxPool { kernel: 3, stride: 2, padding: 1, ceil: false }, 3, 0.0, &ramp, 4, 4);
    assert_eq!(map.data[..4], [0.0, -1.0, -4.0, -5.0]);
}

#[test]
fn pointwise_operators_follow_their_formulas() {
    let input = [-1.0, 0.0, 2.0, 8.0, 1.0, -3.0, 0.5, 6.0, 7.0, 3.0, 4.0, 5.0];
    let sigmoid = |x: f32| 1.0 / (1.0 + (-x).exp());
    let cases: [(Op, &dyn Fn(f32) -> f32); 6] = [
        (Op::Activation(Activation::Relu), &|x| x.max(0.0)),
        (Op::Activation(Activation::Relu6), &|x| x.clamp(0.0, 6.0)),
        (Op::Activation(Activation::Silu), &|x| x * sigmoid(x)),
        (Op::Activation(Activation::Sigmoid), &sigmoid),
        (Op::Add, &|x| x + x),
        (Op::Multiply, &|x| x * x),
    ];
    for (op, formula) in cases {
        let map = run(op.clone(), 3, 0.0, &input, 2, 2);
        for (found, x) in map.data.iter().zip(input) {
            assert!((found - formula(x)).abs() < 1e-5, "{op:?}({x}) = {found}");
        }
    }
    assert_eq!(run(Op::GlobalAveragePool, 3, 0.0, &input, 2, 2).data, [2.25, 1.125, 4.75]);
    assert_eq!(run(Op::Concat, 6, 0.0, &input, 2, 2).data, [input, input].concat());
}

#[test]
#[cfg(not(feature = "metal"))]
fn a_device_that_this_build_lacks_is_an_error_on_every_engine() {
    let (graph, weights) = single(Op::GlobalAveragePool, 3, 0.0);
    for engine in [Engine::Auto, Engine::Native, Engine::Rten, Engine::Burn] {
        let options = EngineOptions { engine, device: Device::Metal(0), ..EngineOptions::default() };
        let message = build(&graph, &weights, &options).err().unwrap().to_string();
        assert!(message.contains("the feature "), "{engine}: {message}");
    }
}

#[test]
fn batches_and_threads_change_nothing() {
    let (graph, weights) = single(conv(3, 1, Padding::Symmetric(1), 1), 8, 0.1);
    let input: Vec<f32> = (0..5 * 3 * 20 * 24).map(|i| ((i * 7919) % 1000) as f32 / 500.0 - 1.0).collect();
    let on = |threads| {
        let options = EngineOptions { threads: Some(threads), ..EngineOptions::default() };
        build(&graph, &weights, &options).unwrap()
    };
    let whole = on(1).run(&input, [5, 20, 24]).unwrap();
    assert_eq!(whole, on(3).run(&input, [5, 20, 24]).unwrap());
    let one = on(2).run(&input[4 * 3 * 480..], [1, 20, 24]).unwrap();
    assert_eq!(one[0].data, whole[0].data[4 * 8 * 480..]);
}

/// Weights by chance that keep values in range.
pub(super) fn made_up(graph: &Graph) -> Weights {
    let mut state = 1u64;
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    let tensors = graph.tensor_shapes().map(|(name, shape)| {
        let fan_in: usize = shape.iter().skip(1).product();
        let scale = 3.4 / (fan_in.max(1) as f32).sqrt();
        let data = (0..shape.iter().product()).map(|_| next() * scale).collect();
        (name, Tensor { shape, data })
    });
    tensors.collect()
}

/// Networks of every kind with made-up weights, through every engine of this build.
mod agreement {
    use super::*;
    use crate::networks::{self, Architecture};

    fn agrees(engine: Engine, architecture: Architecture) {
        let graph = networks::build(architecture).cut(&architecture.layers_at(&[8, 16])).unwrap();
        let weights = made_up(&graph);
        let input: Vec<f32> =
            (0..2 * 3 * 96 * 80).map(|i| ((i * 7919) % 1000) as f32 / 250.0 - 2.0).collect();
        let run = |engine| {
            let options = EngineOptions { engine, ..EngineOptions::default() };
            build(&graph, &weights, &options).unwrap().run(&input, [2, 96, 80]).unwrap()
        };
        for (ours, theirs) in run(Engine::Native).iter().zip(&run(engine)) {
            assert_eq!(
                (ours.channels, ours.height, ours.width),
                (theirs.channels, theirs.height, theirs.width)
            );
            let scale = ours.data.iter().fold(0.0f32, |most, value| most.max(value.abs()));
            let worst =
                ours.data.iter().zip(&theirs.data).fold(0.0f32, |most, (a, b)| most.max((a - b).abs()));
            assert!(worst <= 1e-4 * scale, "{engine} differs by {worst} of {scale} on {}", graph.name);
        }
    }

    const EVERY_KIND: [&str; 7] = [
        "resnet18",
        "resnet50",
        "efficientnet_lite0",
        "efficientnet_b0",
        "squeezenet1_1",
        "alexnet",
        "mobilenet_v2",
    ];

    fn agrees_on_every_kind(engine: Engine) {
        EVERY_KIND.iter().for_each(|name| agrees(engine, name.parse().unwrap()));
    }

    #[test]
    fn rten_agrees_on_every_kind_of_network() {
        agrees_on_every_kind(Engine::Rten);
    }

    #[cfg(feature = "burn")]
    #[test]
    fn burn_agrees_on_every_kind_of_network() {
        agrees_on_every_kind(Engine::Burn);
    }

    #[cfg(feature = "burn")]
    #[test]
    fn gradients_agree_with_differences_on_every_kind_of_network() {
        for name in EVERY_KIND {
            let architecture: Architecture = name.parse().unwrap();
            let graph = networks::build(architecture).cut(&architecture.layers_at(&[8, 16])).unwrap();
            let weights = made_up(&graph);
            let size = [1, 96, 80];
            let input: Vec<f32> =
                (0..3 * 96 * 80).map(|i| ((i * 7919) % 1000) as f32 / 250.0 - 2.0).collect();
            let native = build(&graph, &weights, &EngineOptions::default()).unwrap();
            // Half the sum of the squares of all maps, whose gradient with respect to the maps is the maps.
            let energy = |input: &[f32]| {
                let maps = native.run(input, size).unwrap();
                let squares = maps.iter().flat_map(|map| &map.data).map(|&x| f64::from(x).powi(2));
                0.5 * squares.sum::<f64>()
            };
            let differentiable = super::super::build_differentiable(&graph, &weights, Device::Cpu).unwrap();
            let maps = native.run(&input, size).unwrap();
            let gradient = differentiable.input_gradient(&input, size, &maps).unwrap();
            // Along the gradient, so that all its values count.
            let length: f64 = gradient.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
            let moved = |by: f64| {
                let step = by / length;
                let moved = input.iter().zip(&gradient).map(|(x, g)| x + (step * f64::from(*g)) as f32);
                energy(&moved.collect::<Vec<f32>>())
            };
            let found = (moved(0.05) - moved(-0.05)) / 0.1;
            assert!((found / length - 1.0).abs() < 1e-2, "{name}: {found} along a gradient of {length}");
        }
    }

    #[cfg(feature = "ort")]
    #[test]
    fn ort_agrees_on_every_kind_of_network() {
        if std::env::var_os("ORT_DYLIB_PATH").is_none() {
            println!("skipped: ORT_DYLIB_PATH names no ONNX Runtime library");
            return;
        }
        agrees_on_every_kind(Engine::Ort);
    }
}
