//! A block against its formula in double precision, and what reading says of files that do not fit.

use super::*;
use crate::FeatureError;
use crate::graph::{StateDict, Tensor};

const WIDTH: usize = 6;
const HIDDEN: usize = 10;
const SIZES: BlockSizes = BlockSizes {
    width: WIDTH,
    heads: 2,
    hidden: HIDDEN,
    epsilon: 1e-5,
    activation: Activation::Relu,
    order: Order::Before,
};

fn value(i: usize) -> f32 {
    ((i * 7919 % 1013) as f32 - 500.0) * 0.001
}

fn state(tensors: &[(&str, &[usize])]) -> StateDict {
    let tensor = |(index, (name, shape)): (usize, &(&str, &[usize]))| {
        let data = (0..shape.iter().product()).map(|i| value(i + 97 * index)).collect();
        ((*name).to_owned(), Tensor { shape: shape.to_vec(), data })
    };
    tensors.iter().enumerate().map(tensor).collect()
}

fn scaled_block() -> StateDict {
    state(&[
        ("b.norm1.weight", &[WIDTH]),
        ("b.norm1.bias", &[WIDTH]),
        ("b.attn.qkv.weight", &[3 * WIDTH, WIDTH]),
        ("b.attn.qkv.bias", &[3 * WIDTH]),
        ("b.attn.proj.weight", &[WIDTH, WIDTH]),
        ("b.attn.proj.bias", &[WIDTH]),
        ("b.ls1.gamma", &[WIDTH]),
        ("b.norm2.weight", &[WIDTH]),
        ("b.norm2.bias", &[WIDTH]),
        ("b.mlp.fc1.weight", &[HIDDEN, WIDTH]),
        ("b.mlp.fc1.bias", &[HIDDEN]),
        ("b.mlp.fc2.weight", &[WIDTH, HIDDEN]),
        ("b.mlp.fc2.bias", &[WIDTH]),
        ("b.ls2.gamma", &[WIDTH]),
    ])
}

fn read(state: &StateDict, names: &BlockNames, sizes: BlockSizes) -> Result<Block, FeatureError> {
    let mut reader = TensorReader::new("tiny", "timm's", state);
    let block = Block::read(&mut reader, names, sizes);
    reader.finish().map(|()| block)
}

type Matrix = Vec<Vec<f64>>;

fn linear(state: &StateDict, prefix: &str, rows: &Matrix) -> Matrix {
    let (weight, bias) = (&state[&format!("{prefix}.weight")], &state[&format!("{prefix}.bias")].data);
    let of_row = |row: &Vec<f64>| {
        let each = weight.data.chunks(weight.shape[1]).zip(bias);
        each.map(|(w, &b)| w.iter().zip(row).map(|(&w, x)| f64::from(w) * x).sum::<f64>() + f64::from(b))
            .collect()
    };
    rows.iter().map(of_row).collect()
}

fn norm(state: &StateDict, prefix: &str, rows: &Matrix) -> Matrix {
    let (gain, bias) = (&state[&format!("{prefix}.weight")].data, &state[&format!("{prefix}.bias")].data);
    let of_row = |row: &Vec<f64>| {
        let mean = row.iter().sum::<f64>() / row.len() as f64;
        let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / row.len() as f64;
        let each = row.iter().zip(gain).zip(bias);
        each.map(|((x, &g), &b)| f64::from(g) * (x - mean) / (variance + 1e-5).sqrt() + f64::from(b))
            .collect()
    };
    rows.iter().map(of_row).collect()
}

fn add_scaled(rows: &mut Matrix, from: &Matrix, scale: &[f32]) {
    for (row, from) in rows.iter_mut().zip(from) {
        row.iter_mut().zip(from).zip(scale).for_each(|((x, y), &s)| *x += y * f64::from(s));
    }
}

/// One sequence through the block, as written in the papers.
fn exact(state: &StateDict, rows: &Matrix) -> Matrix {
    let mut rows = rows.clone();
    let qkv = linear(state, "b.attn.qkv", &norm(state, "b.norm1", &rows));
    let each = WIDTH / SIZES.heads;
    let mut attended = vec![vec![0.0; WIDTH]; rows.len()];
    for (query, out) in attended.iter_mut().enumerate() {
        for head in 0..SIZES.heads {
            let part = |token: usize, which: usize| &qkv[token][which * WIDTH + head * each..][..each];
            let dot = |key: usize| part(query, 0).iter().zip(part(key, 1)).map(|(a, b)| a * b).sum::<f64>();
            let weights: Vec<f64> =
                (0..rows.len()).map(|key| (dot(key) / (each as f64).sqrt()).exp()).collect();
            for (key, weight) in weights.iter().enumerate() {
                let share = weight / weights.iter().sum::<f64>();
                part(key, 2).iter().enumerate().for_each(|(i, v)| out[head * each + i] += share * v);
            }
        }
    }
    add_scaled(&mut rows, &linear(state, "b.attn.proj", &attended), &state["b.ls1.gamma"].data);
    let mut hidden = linear(state, "b.mlp.fc1", &norm(state, "b.norm2", &rows));
    hidden.iter_mut().flatten().for_each(|x| *x = x.max(0.0));
    add_scaled(&mut rows, &linear(state, "b.mlp.fc2", &hidden), &state["b.ls2.gamma"].data);
    rows
}

fn rows(count: usize) -> Vec<f32> {
    (0..count * WIDTH).map(|i| value(i * 3 + 5)).collect()
}

fn near(ours: &[f32], exact: &[f64]) -> bool {
    ours.len() == exact.len() && ours.iter().zip(exact).all(|(&a, b)| (f64::from(a) - b).abs() < 1e-5)
}

#[test]
fn a_block_follows_its_formula_and_sequences_do_not_see_each_other() {
    let state = scaled_block();
    let block = read(&state, &BlockNames::timm_scaled("b"), SIZES).unwrap();
    let encoder = Encoder { blocks: vec![block], last: None };
    let before = rows(12);
    let as_matrix: Matrix =
        before.chunks(WIDTH).map(|row| row.iter().map(|&x| f64::from(x)).collect()).collect();
    let expected: Vec<f64> = as_matrix.chunks(4).flat_map(|s| exact(&state, &s.to_vec()).concat()).collect();
    for is_parallel in [false, true] {
        let mut ours = before.clone();
        encoder.forward(&mut ours, 4, |_| Mask::None, is_parallel);
        assert!(near(&ours, &expected), "{ours:?} {expected:?}");
    }
}

#[test]
fn groups_and_threads_change_no_bit() {
    let state = scaled_block();
    let block = read(&state, &BlockNames::timm_scaled("b"), SIZES).unwrap();
    let encoder = Encoder { blocks: vec![block.clone(), block], last: None };
    // More tokens than go together.
    let before = rows(3000 * 3);
    let mut serial = before.clone();
    encoder.forward(&mut serial, 3, |_| Mask::Causal, false);
    for threads in [1, 2, 3] {
        let mut ours = before.clone();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| encoder.forward(&mut ours, 3, |_| Mask::Causal, true));
        assert_eq!(ours, serial);
    }
    let mut alone = before[..3 * WIDTH].to_vec();
    encoder.forward(&mut alone, 3, |_| Mask::Causal, false);
    assert_eq!(alone, serial[..3 * WIDTH]);
}

#[test]
fn masks_go_to_the_sequence_of_their_number() {
    let state = scaled_block();
    let block = read(&state, &BlockNames::timm_scaled("b"), SIZES).unwrap();
    let encoder = Encoder { blocks: vec![block], last: None };
    let mut both: Vec<f32> = rows(4).repeat(2);
    let seen = [true, true, false, false];
    let mask = |sequence| if sequence == 0 { Mask::None } else { Mask::Keys(&seen) };
    encoder.forward(&mut both, 4, mask, true);
    assert_ne!(both[..4 * WIDTH], both[4 * WIDTH..]);
    let mut first_two = rows(4)[..2 * WIDTH].to_vec();
    encoder.forward(&mut first_two, 2, |_| Mask::None, false);
    assert_eq!(both[4 * WIDTH..6 * WIDTH], first_two);
}

#[test]
fn joint_and_split_names_give_the_same_block() {
    let joint = scaled_block();
    let mut split = StateDict::new();
    let rename = |name: &str| {
        name.replace("b.attn.proj", "b.attention.output.dense")
            .replace("ls1.gamma", "layer_scale1.lambda1")
            .replace("ls2.gamma", "layer_scale2.lambda1")
    };
    for (name, tensor) in &joint {
        let Some(kind) = name.strip_prefix("b.attn.qkv.") else {
            split.insert(rename(name), tensor.clone());
            continue;
        };
        let parts = tensor.data.chunks(tensor.data.len() / 3).zip(["query", "key", "value"]);
        for (data, part) in parts {
            let mut shape = tensor.shape.clone();
            shape[0] /= 3;
            let name = format!("b.attention.attention.{part}.{kind}");
            split.insert(name, Tensor { shape, data: data.to_vec() });
        }
    }
    let run = |block: Block| {
        let mut out = rows(5);
        Encoder { blocks: vec![block], last: None }.forward(&mut out, 5, |_| Mask::None, false);
        out
    };
    let ours = run(read(&joint, &BlockNames::timm_scaled("b"), SIZES).unwrap());
    assert_eq!(run(read(&split, &BlockNames::transformers_dinov2("b"), SIZES).unwrap()), ours);
}

#[test]
fn a_post_norm_block_ends_with_its_norm() {
    let mut state = scaled_block();
    state.insert("b.norm2.weight".into(), Tensor { shape: vec![WIDTH], data: vec![1.0; WIDTH] });
    state.insert("b.norm2.bias".into(), Tensor { shape: vec![WIDTH], data: vec![0.0; WIDTH] });
    let sizes = BlockSizes { order: Order::After, ..SIZES };
    let block = read(&state, &BlockNames::timm("b"), sizes).unwrap();
    let mut out = rows(3);
    Encoder { blocks: vec![block], last: None }.forward(&mut out, 3, |_| Mask::None, false);
    for row in out.chunks(WIDTH) {
        assert!(row.iter().sum::<f32>().abs() < 1e-4);
        assert!((row.iter().map(|x| x * x).sum::<f32>() / WIDTH as f32 - 1.0).abs() < 1e-2);
    }
}

#[test]
fn a_gated_block_multiplies_its_halves() {
    let state =
        state(&[("up.weight", &[4, 1]), ("up.bias", &[4]), ("down.weight", &[1, 2]), ("down.bias", &[1])]);
    let mut reader = TensorReader::new("tiny", "timm's", &state);
    let names = FeedForwardNames::Gated { both: "up".into(), down: "down".into() };
    let part = FeedForward::read(&mut reader, &names, None, [1, 2], Activation::None);
    reader.finish().unwrap();
    let mut out = [0.0];
    part.add_to(&[2.0], &mut out, &mut Default::default(), false);
    let [w, b, v, c] = ["up.weight", "up.bias", "down.weight", "down.bias"].map(|name| &state[name].data);
    let up = [0, 1, 2, 3].map(|i| 2.0 * w[i] + b[i]);
    assert!((out[0] - (up[0] * up[2] * v[0] + up[1] * up[3] * v[1] + c[0])).abs() < 1e-6);
}

#[test]
fn missing_and_misshapen_tensors_are_named_together() {
    let mut state = scaled_block();
    state.remove("b.mlp.fc2.bias");
    state.insert("b.ls1.gamma".into(), Tensor { shape: vec![5], data: vec![0.0; 5] });
    let error = read(&state, &BlockNames::timm_scaled("b"), SIZES).unwrap_err().to_string();
    for words in ["tiny", "`b.mlp.fc2.bias` (6)", "`b.ls1.gamma` has shape 5", "needs 6"] {
        assert!(error.contains(words), "{error}");
    }
}
