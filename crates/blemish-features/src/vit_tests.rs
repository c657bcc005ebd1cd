//! Vision transformers against the packages they come from, from their files to their features, on every engine.

use crate::assemble::{assemble_tower, expected_tensors};
use crate::executors::{Engine, EngineOptions, build};
use crate::graph::{Activation, Graph, Node, Normalization, Op, Resample, StateDict, Tap, Tensor, Weights};
use crate::networks::vit::{self, Settings};
use crate::networks::{self, Architecture};
use crate::weights::read_state_dict;
use crate::{FeatureError, FeatureMap};
use sha2::{Digest, Sha256};
use std::path::Path;

const TINY: Settings = Settings {
    patch: 4,
    width: 16,
    depth: 2,
    heads: 2,
    hidden: 32,
    side: 4,
    registers: 0,
    is_scaled: false,
    is_clip: false,
    epsilon: 1e-6,
    activation: Activation::Gelu,
    resample: Resample::Bicubic,
    normalization: Normalization::IMAGENET,
};

/// The golden cases and what they are.
fn cases() -> [(&'static str, Settings); 8] {
    let dinov2 = Settings { is_scaled: true, ..TINY };
    let registers = Settings { registers: 4, resample: Resample::Antialias, ..dinov2 };
    let clip = Settings { is_clip: true, epsilon: 1e-5, ..TINY };
    [
        ("dinov2", dinov2),
        ("dinov2_hub", Settings { resample: Resample::Offset, ..dinov2 }),
        ("dinov2_registers", registers),
        ("dinov2_timm_registers", registers),
        ("vit", Settings { resample: Resample::Antialias, ..TINY }),
        ("vit_transformers", TINY),
        ("clip_quick", Settings { activation: Activation::QuickGelu, ..clip }),
        ("clip", clip),
    ]
}

fn golden() -> StateDict {
    read_state_dict(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/vit.safetensors")).unwrap()
}

fn state_of(golden: &StateDict, case: &str) -> StateDict {
    let prefix = format!("{case}/");
    let own = golden.iter().filter_map(|(name, tensor)| Some((name.strip_prefix(&prefix)?, tensor)));
    own.map(|(name, tensor)| (name.to_owned(), tensor.clone())).collect()
}

fn run(graph: &Graph, weights: &Weights, engine: Engine, image: &[f32], size: [usize; 2]) -> Vec<FeatureMap> {
    let options = EngineOptions { engine, ..EngineOptions::default() };
    let count = image.len() / (3 * size[0] * size[1]);
    build(graph, weights, &options).unwrap().run(image, [count, size[0], size[1]]).unwrap()
}

/// Greatest difference of a map to rows of tokens from number `first` on, relative to the greatest value.
fn difference(map: &FeatureMap, rows: &Tensor, first: usize) -> f32 {
    let (channels, area) = (map.channels, map.height * map.width);
    assert_eq!(rows.data.len() / channels, first + if area > 1 { area } else { rows.data.len() / channels });
    let scale = rows.data.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
    let each = (0..channels * area).map(|i| {
        let (channel, pixel) = (i / area, i % area);
        (map.data[i] - rows.data[(first + pixel) * channels + channel]).abs()
    });
    each.fold(0.0, f32::max) / scale
}

/// All cases and sizes on an engine, the greatest difference.
fn check_golden(engine: Engine) -> f32 {
    let golden = golden();
    let mut worst = 0.0_f32;
    for (case, settings) in cases() {
        let graph = vit::build("tiny", &settings).cut(&["blocks.0", "1", "class"]).unwrap();
        let weights = assemble_tower(&graph, &settings, &state_of(&golden, case))
            .unwrap_or_else(|mismatch| panic!("{case}: {mismatch}"));
        for size in ["own", "other"] {
            let image = &golden[&format!("image.{size}")];
            let Some(last) = golden.get(&format!("out.{case}.{size}.last")) else { continue };
            let first = &golden[&format!("out.{case}.{size}.first")];
            let maps = run(&graph, &weights, engine, &image.data, [image.shape[2], image.shape[3]]);
            let before = 1 + settings.registers;
            let found = [
                difference(&maps[0], first, before),
                difference(&maps[1], last, before),
                difference(&maps[2], last, 0),
            ];
            println!("{engine}: {case} at its {size} size: {found:?}");
            worst = found.into_iter().fold(worst, f32::max);
        }
    }
    worst
}

#[test]
fn transformers_timm_and_open_clip_give_the_same_tokens() {
    assert!(check_golden(Engine::Native) < 1e-5);
}

#[test]
fn their_onnx_graphs_give_the_same_tokens() {
    assert!(check_golden(Engine::Rten) < 1e-5);
}

#[cfg(feature = "burn")]
#[test]
fn on_burn_they_give_the_same_tokens() {
    assert!(check_golden(Engine::Burn) < 1e-5);
}

/// Written by `make_vit.py --published FOLDER`; compared only where `BLEMISH_GOLDEN_PUBLISHED` names the folder.
#[test]
fn the_small_dinov2_gives_the_same_tokens() {
    let Some(folder) = std::env::var_os("BLEMISH_GOLDEN_PUBLISHED") else {
        eprintln!("skipped: BLEMISH_GOLDEN_PUBLISHED names no folder");
        return;
    };
    let golden = read_state_dict(&Path::new(&folder).join("vit.safetensors")).unwrap();
    let graph = networks::build(Architecture::VitSmallPatch14Dinov2);
    let graph = graph.cut(&["blocks.0", "11", "class"]).unwrap();
    let weights = crate::assemble(&graph, state_of(&golden, "weights")).unwrap();
    for size in [[224, 224], [448, 392]] {
        let name = format!("{}x{}", size[0], size[1]);
        let maps = run(&graph, &weights, Engine::Native, &golden[&format!("image.{name}")].data, size);
        let [first, last] = ["first", "last"].map(|which| &golden[&format!("out.{name}.{which}")]);
        let found =
            [difference(&maps[0], first, 1), difference(&maps[1], last, 1), difference(&maps[2], last, 0)];
        println!("{name}: {found:?}");
        assert!(found.into_iter().all(|difference| difference < 1e-4));
    }
}

/// `vit.json` holds digests of names and shapes that the packages' own networks of published size have.
#[test]
fn published_files_have_the_expected_names_and_shapes() {
    let text = include_str!("../tests/golden/vit.json");
    let known: serde_json::Value = serde_json::from_str(text).unwrap();
    let mut compared = 0;
    for (key, wanted) in known.as_object().unwrap() {
        let (name, scheme) = key.split_once(' ').unwrap();
        let expected = expected_tensors(name.parse().unwrap());
        let tensors = expected.get(scheme).or_else(|| expected.get("DINOv2's own")).unwrap();
        let mut hasher = Sha256::new();
        for (name, shape) in tensors {
            let sides: Vec<String> = shape.iter().map(usize::to_string).collect();
            hasher.update(format!("{name} {}\n", sides.join("x")));
        }
        assert_eq!(tensors.len() as u64, wanted["tensors"].as_u64().unwrap(), "{key}");
        let found = blemish_data::digest::hexadecimal(&hasher.finalize());
        assert_eq!(found, wanted["sha256"].as_str().unwrap(), "{key}");
        compared += 1;
    }
    assert_eq!(compared, 33);
}

#[test]
fn a_missing_and_a_misshapen_tensor_are_named_in_every_scheme() {
    let golden = golden();
    for (case, settings) in cases() {
        let graph = vit::build("tiny", &settings).cut(&["1"]).unwrap();
        let whole = state_of(&golden, case);
        // Every tensor that is asked for, one at a time: the first and last of each kind are enough.
        for part in ["norm", "pos", "cls_token", "class_embedding", "1."] {
            let is_own = |name: &&String| {
                name.contains(part)
                    && !name.starts_with("transformer.")
                    && !name.starts_with("positional")
                    && !name.starts_with("ln_final")
            };
            let Some(name) = whole.keys().find(is_own).cloned() else { continue };
            let mut state = whole.clone();
            state.remove(&name);
            let said = assemble_tower(&graph, &settings, &state).unwrap_err().to_string();
            let short = name.strip_prefix("visual.").unwrap_or(&name);
            let short = if case == "dinov2_hub" {
                short.replace("blocks.1.1.", "blocks.1.").replace("blocks.0.0.", "blocks.0.")
            } else {
                short.to_owned()
            };
            assert!(said.contains("1 missing") && said.contains(&format!("`{short}`")), "{case}: {said}");
            let mut state = whole.clone();
            state.insert(name.clone(), Tensor { shape: vec![3], data: vec![0.0; 3] });
            let said = assemble_tower(&graph, &settings, &state).unwrap_err().to_string();
            assert!(said.contains(&format!("`{short}` has shape 3, but tiny needs")), "{case}: {said}");
        }
        let mut state = whole.clone();
        let prefix = if case == "clip" { "visual." } else { "" };
        state.insert(format!("{prefix}blocks.9.more"), Tensor { shape: vec![1], data: vec![0.0] });
        let said = assemble_tower(&graph, &settings, &state).unwrap_err().to_string();
        assert!(said.contains("not part of the network: `blocks.9.more`"), "{case}: {said}");
    }
}

#[test]
fn files_of_a_vision_transformer_are_recognised() {
    let outline = |architecture: Architecture, scheme: &str| -> StateDict {
        let tensors = expected_tensors(architecture).remove(scheme).unwrap();
        let tensor = |(name, shape): (String, Vec<usize>)| {
            (name, Tensor { data: vec![0.5; shape.iter().product()], shape })
        };
        tensors.into_iter().map(tensor).collect()
    };
    use Architecture::{VitSmallPatch14Dinov2, VitSmallPatch14Reg4Dinov2, VitSmallPatch16};
    for (architecture, scheme) in [
        (VitSmallPatch14Dinov2, "transformers'"),
        (VitSmallPatch14Reg4Dinov2, "DINOv2's own"),
        (VitSmallPatch16, "timm's"),
    ] {
        let state = outline(architecture, scheme);
        assert_eq!(crate::assemble::recognize(&state), [architecture]);
        let graph = networks::build(Architecture::VitSmallPatch14Dinov2).cut(&["11"]).unwrap();
        match crate::assemble(&graph, state) {
            Ok(_) => assert_eq!(architecture, VitSmallPatch14Dinov2),
            Err(error) => {
                assert!(error.to_string().contains(&format!("looks like {architecture}")), "{error}")
            }
        }
    }
}

#[test]
fn sizes_and_costs_are_known_before_anything_runs() {
    let graph = networks::build(Architecture::VitSmallPatch14Dinov2);
    let cut = graph.cut(&["7", "11", "class"]).unwrap();
    let info: Vec<_> = cut.tap_info().into_iter().map(|tap| (tap.name, tap.channels, tap.stride)).collect();
    let expected = [("7", 384, 14), ("11", 384, 14), ("class", 384, 0)];
    assert_eq!(info, expected.map(|(name, channels, stride)| (name.to_owned(), channels, stride)));
    // Rows and columns beyond whole patches are cut off.
    let sizes = cut.output_sizes(455, 460).unwrap();
    assert_eq!(cut.taps.iter().map(|tap| sizes[tap.node]).collect::<Vec<_>>(), [[32, 32], [32, 32], [1, 1]]);
    let error = cut.output_sizes(13, 448).unwrap_err();
    assert!(matches!(error, FeatureError::InputTooSmall { .. }), "{error}");
    assert!(error.to_string().contains("448x13"), "{error}");
    // Published for 224 pixels with attention counted once: 6.1 and 17.6 thousand million.
    let cost = |architecture: Architecture, tap: &str| {
        networks::build(architecture).cut(&[tap]).unwrap().multiply_adds(224, 224).unwrap() as f64 / 1e9
    };
    assert!((cost(Architecture::VitSmallPatch14Dinov2, "11") / 6.14 - 1.0).abs() < 0.01);
    assert!((cost(Architecture::VitBasePatch16, "11") / 17.56 - 1.0).abs() < 0.01);
    assert_eq!(Architecture::VitSmallPatch14Dinov2.layers_at(&[8, 16]), ["7", "11"]);
    assert_eq!(Architecture::VitLargePatch14Dinov2.layers_at(&[4, 8, 16]), ["7", "15", "23"]);
}

#[test]
fn a_batch_and_threads_change_no_bit() {
    let golden = golden();
    let (case, settings) = cases()[2];
    let graph = vit::build("tiny", &settings).cut(&["blocks.1", "1"]).unwrap();
    let weights = assemble_tower(&graph, &settings, &state_of(&golden, case)).unwrap();
    let image = &golden["image.other"].data;
    let second: Vec<f32> = image.iter().map(|value| 0.5 - value).collect();
    let on = |threads, images: &[f32]| {
        let options = EngineOptions { threads: Some(threads), ..EngineOptions::default() };
        let count = images.len() / image.len();
        build(&graph, &weights, &options).unwrap().run(images, [count, 21, 30]).unwrap()
    };
    let both = on(1, &[&image[..], &second].concat());
    assert_eq!(on(3, &[&image[..], &second].concat()), both);
    let alone = on(2, &second);
    for (both, alone) in both.iter().zip(&alone) {
        assert_eq!(both.data[alone.data.len()..], alone.data);
    }
}

#[test]
fn rows_and_columns_beyond_whole_patches_change_nothing() {
    let golden = golden();
    let (case, settings) = cases()[0];
    let graph = vit::build("tiny", &settings).cut(&["1"]).unwrap();
    let weights = assemble_tower(&graph, &settings, &state_of(&golden, case)).unwrap();
    // 21 x 30 loses a row and two columns to 20 x 28.
    let image = &golden["image.other"].data;
    let rows = image.chunks(21 * 30).flat_map(|plane| plane.chunks(30).take(20));
    let cut: Vec<f32> = rows.flat_map(|row| &row[..28]).copied().collect();
    let whole = run(&graph, &weights, Engine::Native, image, [21, 30]);
    assert_eq!(whole, run(&graph, &weights, Engine::Native, &cut, [20, 28]));
}

/// A gated step on its own, by every engine.
#[test]
fn gated_steps_follow_their_formula() {
    let node = |name: &str, op, inputs, channels| Node { name: name.into(), op, inputs, channels, stride: 1 };
    for kind in [Activation::Silu, Activation::Relu6, Activation::Sigmoid, Activation::Gelu] {
        let conv = Op::Conv { kernel: 1, stride: 1, padding: crate::graph::Padding::Symmetric(0), groups: 1 };
        let nodes = vec![
            node("image", Op::Input, vec![], 3),
            node("pairs", conv, vec![0], 4),
            node("gate", Op::Gate(kind), vec![1], 2),
            // Tokens make the graph one of a fixed size for ONNX.
            node("tokens", Op::Tokens { prefix: 1, side: 1, resample: Resample::Bicubic }, vec![2], 2),
            node("map", Op::Grid { prefix: 1 }, vec![3, 2], 2),
        ];
        let taps = vec![Tap { name: "map".into(), node: 4 }];
        let graph = Graph { name: "gate".into(), normalization: Normalization::IMAGENET, nodes, taps };
        let tensor = |shape: Vec<usize>, data: Vec<f32>| Tensor { shape, data };
        let weights = Weights::from([
            (
                "pairs.weight".into(),
                tensor(vec![4, 3, 1, 1], (0..12).map(|i| i as f32 * 0.3 - 1.5).collect()),
            ),
            ("pairs.bias".into(), tensor(vec![4], vec![0.1, -0.2, 0.3, 2.0])),
            ("tokens.prefix".into(), tensor(vec![1, 2], vec![9.0, 9.0])),
            ("tokens.positions".into(), tensor(vec![1, 1, 2], vec![0.0, 0.0])),
        ]);
        let image = [0.5, -1.0, 2.0, 1.5, 0.25, -0.75];
        let maps = run(&graph, &weights, Engine::Native, &image, [1, 2]);
        let other = run(&graph, &weights, Engine::Rten, &image, [1, 2]);
        for pixel in 0..2 {
            let pairs: Vec<f32> = (0..4)
                .map(|out| {
                    let sum: f32 = (0..3)
                        .map(|c| {
                            (out * 3 + c) as f32 * 0.3 * image[c * 2 + pixel] - 1.5 * image[c * 2 + pixel]
                        })
                        .sum();
                    sum + [0.1, -0.2, 0.3, 2.0][out]
                })
                .collect();
            let act = |x: f32| match kind {
                Activation::Silu => x / (1.0 + (-x).exp()),
                Activation::Relu6 => x.clamp(0.0, 6.0),
                Activation::Sigmoid => 1.0 / (1.0 + (-x).exp()),
                // Within a thousandth by the usual formula with tanh.
                _ => 0.5 * x * (1.0 + (0.797_884_6 * (x + 0.044_715 * x.powi(3))).tanh()),
            };
            for channel in 0..2 {
                let wanted = act(pairs[channel]) * pairs[channel + 2];
                let found = maps[0].data[channel * 2 + pixel];
                assert!((found - wanted).abs() < 4e-3 * wanted.abs().max(1.0), "{kind:?}: {found} {wanted}");
                assert!((found - other[0].data[channel * 2 + pixel]).abs() < 1e-5);
            }
        }
    }
}
