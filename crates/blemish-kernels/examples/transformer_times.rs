//! Multiply-adds a second of the transformer kernels on one thread, at the sizes of ViT-S/14 and 448 pixels: `transformer_times [ROUNDS]`.

use blemish_kernels::transformer::{Activation, Heads, Linear, Mask, Tokens, attention, layer_norm};

/// Seconds of this thread on a processor, else of the clock on the wall.
fn seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = text.and_then(|text| text.split_whitespace().next()?.parse::<f64>().ok());
    let wall = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    nanoseconds.map(|ns| ns * 1e-9).unwrap_or_else(|| wall().map_or(0.0, |time| time.as_secs_f64()))
}

fn report(name: &str, rounds: usize, giga: f64, mut work: impl FnMut()) {
    work();
    let mut times: Vec<f64> = (0..rounds)
        .map(|_| {
            let start = seconds();
            work();
            seconds() - start
        })
        .collect();
    times.sort_by(f64::total_cmp);
    let middle = times[rounds / 2];
    println!("{name:<24} {:8.2} ms {:7.1} G/s", middle * 1e3, giga / middle);
}

fn main() {
    let rounds = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(7);
    let (tokens, width, heads) = (1025usize, 384usize, 6usize);
    let value = |i: usize| ((i * 7919 % 1013) as f32 - 500.0) * 0.002;
    let rows: Vec<f32> = (0..tokens * 4 * width).map(value).collect();
    for (name, inputs, outputs, activation) in [
        ("qkv", width, 3 * width, Activation::None),
        ("projection", width, width, Activation::None),
        ("up, none", width, 4 * width, Activation::None),
        ("up, GELU", width, 4 * width, Activation::Gelu),
        ("down", 4 * width, width, Activation::None),
    ] {
        let weights: Vec<f32> = (0..inputs * outputs).map(value).collect();
        let linear = Linear::new(outputs, inputs, &weights, Some(&vec![0.1; outputs]));
        let mut out = vec![0.0; tokens * outputs];
        let giga = (tokens * inputs * outputs) as f64 * 1e-9;
        report(name, rounds, giga, || {
            linear.apply(&rows[..tokens * inputs], activation, &mut out, false);
        });
    }
    let mut out = vec![0.0; tokens * width];
    let giga = 2.0 * (tokens * tokens * width) as f64 * 1e-9;
    report("attention", rounds, giga, || {
        let qkv = Tokens::split(&rows[..3 * tokens * width], width);
        attention(Heads::new(heads, width / heads, tokens), qkv, |_| Mask::None, &mut out, false);
    });
    // Many short sequences, as windows of CLIP and Swin are.
    for length in [5usize, 10, 49] {
        let count = tokens / length;
        let giga = 2.0 * (count * length * length * width) as f64 * 1e-9;
        report(&format!("attention of {length}"), rounds, giga, || {
            let qkv = Tokens::split(&rows[..3 * count * length * width], width);
            let out = &mut out[..count * length * width];
            attention(Heads::new(heads, width / heads, length), qkv, |_| Mask::None, out, false);
        });
    }
    let (gain, bias) = (vec![1.0; width], vec![0.0; width]);
    let giga = (10 * tokens * width) as f64 * 1e-9;
    report("layer norm, 10 times", rounds, giga, || {
        for _ in 0..10 {
            layer_norm(&rows[..tokens * width], &gain, &bias, 1e-6, &mut out, false);
        }
    });
}
