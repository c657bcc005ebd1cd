//! Convolutions in bytes beside single precision, one thread, with the layers of ResNet-18 and EfficientNet-Lite0 to stride 16 at
//! 256 x 256 pixels: `int8_times [ROUNDS]`. Least milliseconds over the rounds of every layer and of the whole network, operations a
//! second (a multiplication and an addition are two), and the most that the machine's instructions for bytes give.

use blemish_kernels::conv::{Activation, ChannelsLast, ConvSpec, Convolution, Epilogue, MaxPool, Windows};
use blemish_kernels::int8::{
    ByteConvolution, ByteMap, ByteRatio, Requantisation, Residual, SumRatio, instructions, max_pool,
};
use std::error::Error;
use std::sync::OnceLock;
use std::time::Instant;

const SIDE: usize = 256;

/// Seconds on the wall; least values over many rounds are those of rounds that nobody disturbed.
fn seconds() -> f64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_secs_f64()
}

/// A layer that reads the map of layer `input` (0 is the image) and may add that of layer `residual`.
struct Layer {
    name: String,
    input: usize,
    residual: Option<usize>,
    spec: ConvSpec,
    windows: Windows,
    /// Maximum instead of a convolution.
    is_pool: bool,
    has_relu: bool,
}

/// Layers one after the other, and the side of each map.
struct Network {
    layers: Vec<Layer>,
    sides: Vec<usize>,
    channels: Vec<usize>,
}

impl Network {
    fn new() -> Self {
        Self { layers: Vec::new(), sides: vec![SIDE], channels: vec![3] }
    }

    /// Adds a layer; `before` is its padding above and left, `None` for TensorFlow's "SAME".
    fn layer(
        &mut self,
        name: String,
        input: usize,
        [out_channels, kernel, stride, groups]: [usize; 4],
        before: Option<usize>,
        residual: Option<usize>,
    ) -> usize {
        let (side, in_channels) = (self.sides[input], self.channels[input]);
        let out = side.div_ceil(stride);
        let missing = ((out - 1) * stride + kernel).saturating_sub(side);
        let before = before.unwrap_or(missing / 2);
        let windows = Windows { top: before, left: before, height: out, width: out };
        let spec = ConvSpec { in_channels, out_channels, kernel, stride, groups };
        self.layers.push(Layer { name, input, residual, spec, windows, is_pool: false, has_relu: true });
        self.sides.push(out);
        self.channels.push(out_channels);
        self.layers.len()
    }

    fn resnet18() -> Self {
        let mut net = Self::new();
        let stem = net.layer("conv1".into(), 0, [64, 7, 2, 1], Some(3), None);
        let mut node = net.layer("maxpool".into(), stem, [64, 3, 2, 64], Some(1), None);
        net.layers[node - 1].is_pool = true;
        for (stage, width) in [64, 128, 256].into_iter().enumerate() {
            for block in 0..2 {
                let stride = if stage > 0 && block == 0 { 2 } else { 1 };
                let name = |part: &str| format!("layer{}.{block}.{part}", stage + 1);
                let hidden = net.layer(name("conv1"), node, [width, 3, stride, 1], Some(1), None);
                let shortcut = match stride {
                    1 => node,
                    _ => net.layer(name("downsample"), node, [width, 1, stride, 1], Some(0), None),
                };
                node = net.layer(name("conv2"), hidden, [width, 3, 1, 1], Some(1), Some(shortcut));
            }
        }
        net
    }

    fn lite0() -> Self {
        let mut net = Self::new();
        let mut node = net.layer("stem".into(), 0, [32, 3, 2, 1], None, None);
        let stages =
            [[1, 3, 1, 16, 1], [6, 3, 2, 24, 2], [6, 5, 2, 40, 2], [6, 3, 2, 80, 3], [6, 5, 1, 112, 3]];
        for (stage, [ratio, kernel, first_stride, channels, blocks]) in stages.into_iter().enumerate() {
            for block in 0..blocks {
                let stride = if block == 0 { first_stride } else { 1 };
                let name = |part: &str| format!("{stage}.{block}.{part}");
                let (entry, wide) = (node, net.channels[node] * ratio);
                if ratio > 1 {
                    node = net.layer(name("expand"), node, [wide, 1, 1, 1], None, None);
                }
                node = net.layer(name("depthwise"), node, [wide, kernel, stride, wide], None, None);
                let residual = (stride == 1 && net.channels[entry] == channels).then_some(entry);
                node = net.layer(name("project"), node, [channels, 1, 1, 1], None, residual);
                net.layers[node - 1].has_relu = false;
            }
        }
        net
    }

    /// Operations of a layer: two a multiply-add.
    fn operations(layer: &Layer) -> f64 {
        let ConvSpec { in_channels, out_channels, kernel, groups, .. } = layer.spec;
        let pixels = layer.windows.height * layer.windows.width;
        let pairs = if layer.is_pool { 0 } else { out_channels * in_channels / groups };
        2.0 * (pixels * pairs * kernel * kernel) as f64
    }
}

/// Least seconds of every layer and of all, over `rounds` runs of `layer(index)`.
fn least_times(layers: usize, rounds: usize, mut layer: impl FnMut(usize)) -> (Vec<f64>, f64) {
    let (mut each, mut whole) = (vec![f64::INFINITY; layers], f64::INFINITY);
    for _ in 0..rounds {
        let start = seconds();
        (0..layers).for_each(&mut layer);
        whole = whole.min(seconds() - start);
    }
    for _ in 0..rounds {
        for index in 0..layers {
            let start = seconds();
            layer(index);
            each[index] = each[index].min(seconds() - start);
        }
    }
    (each, whole)
}

fn in_bytes(net: &Network, rounds: usize) -> Result<(Vec<f64>, f64), Box<dyn Error>> {
    let mut packed = Vec::new();
    for layer in &net.layers {
        let ConvSpec { in_channels, out_channels, kernel, groups, .. } = layer.spec;
        let terms = in_channels / groups * kernel * kernel;
        let weights: Vec<i8> = (0..out_channels * terms).map(|i| (i * 7919 % 255) as i8).collect();
        let ratio = SumRatio::new(1.0 / (20.0 * (terms as f64).sqrt() * 74.0))?;
        let output_zero = if layer.has_relu { 0 } else { 128 };
        let input_zero = match layer.input {
            0 => 114,
            input if net.layers[input - 1].has_relu => 0,
            _ => 128,
        };
        let requantisation = Requantisation {
            input_zero,
            ratios: vec![ratio; out_channels],
            output_zero,
            least: output_zero / 2,
            most: 255,
        };
        packed.push(ByteConvolution::new(layer.spec, &weights, &vec![500; out_channels], &requantisation));
    }
    let ratio = ByteRatio::new(0.7)?;
    let image: Vec<u8> = (0..3 * SIDE * SIDE).map(|i| (i * 31 % 251) as u8).collect();
    let mut maps = vec![ByteMap::from_bytes(&image, [SIDE, SIDE, 3], 114)];
    maps.resize(net.layers.len() + 1, ByteMap::from_bytes(&[], [0, 0, 1], 0));
    Ok(least_times(net.layers.len(), rounds, |index| {
        let layer = &net.layers[index];
        let empty = ByteMap::from_bytes(&[], [0, 0, 1], 0);
        let space = std::mem::replace(&mut maps[index + 1], empty).into_space();
        let residual = layer.residual.map(|residual| Residual { map: &maps[residual], ratio });
        let (input, ConvSpec { kernel, stride, .. }) = (&maps[layer.input], layer.spec);
        maps[index + 1] = match layer.is_pool {
            true => max_pool(MaxPool { kernel, stride }, input, layer.windows, space),
            false => packed[index].apply(input, layer.windows, residual, space, false),
        };
    }))
}

fn in_single_precision(net: &Network, rounds: usize) -> (Vec<f64>, f64) {
    let pack = |layer: &Layer| {
        let ConvSpec { in_channels, out_channels, kernel, groups, .. } = layer.spec;
        let terms = in_channels / groups * kernel * kernel;
        let scale = 1.0 / (terms as f32).sqrt();
        let weights: Vec<f32> =
            (0..out_channels * terms).map(|i| ((i * 37 % 199) as f32 / 99.0 - 1.0) * scale).collect();
        Convolution::new(layer.spec, &weights, &vec![0.1; out_channels])
    };
    let packed: Vec<Convolution> = net.layers.iter().map(pack).collect();
    let image: Vec<f32> = (0..3 * SIDE * SIDE).map(|i| (i * 31 % 101) as f32 / 100.0).collect();
    let mut maps = vec![ChannelsLast::from_planes(&image, [3, SIDE, SIDE], Default::default())];
    maps.resize(net.layers.len() + 1, ChannelsLast::default());
    least_times(net.layers.len(), rounds, |index| {
        let layer = &net.layers[index];
        let space = std::mem::take(&mut maps[index + 1]).into_space();
        let activation = if layer.has_relu { Activation::Relu } else { Activation::None };
        let epilogue = Epilogue::new(layer.residual.map(|residual| &maps[residual]), activation);
        let (input, ConvSpec { kernel, stride, .. }) = (&maps[layer.input], layer.spec);
        maps[index + 1] = match layer.is_pool {
            true => MaxPool { kernel, stride }.apply(input, layer.windows, space),
            false => packed[index].apply(input, layer.windows, epilogue, space, false),
        };
    })
}

/// Operations a second of the machine's product of bytes, registers only; nothing where it is unknown here.
#[cfg(target_arch = "x86_64")]
fn peak() -> Option<f64> {
    use std::arch::asm;
    use std::arch::x86_64::*;
    const STEPS: usize = 1 << 15;
    const SUMS: usize = 24;
    #[target_feature(enable = "avx512f,avx512vnni")]
    fn products(start: i32) -> i32 {
        let (bytes, weights) = (_mm512_set1_epi32(start), _mm512_set1_epi32(start + 1));
        let mut sums = [_mm512_setzero_si512(); SUMS];
        for _ in 0..STEPS {
            for sum in &mut sums {
                *sum = _mm512_dpbusd_epi32(*sum, bytes, weights);
            }
        }
        sums.iter().fold(0, |total, &sum| total ^ _mm512_reduce_add_epi32(sum))
    }
    /// Four tiles of sums, of 16 x 16 sums of 64 products each; of zeros, which leave the processor its full speed.
    fn tiles() {
        let mut shapes = [0u8; 64];
        shapes[0] = 1;
        shapes[16..32].copy_from_slice(&[64, 0].repeat(8));
        shapes[48..56].fill(16);
        // SAFETY: the caller has found out that the machine has tiles; no memory but the shapes is read.
        unsafe {
            asm!(
                "ldtilecfg [{shapes}]",
                "2:",
                "tdpbusd tmm0, tmm4, tmm6",
                "tdpbusd tmm1, tmm4, tmm7",
                "tdpbusd tmm2, tmm5, tmm6",
                "tdpbusd tmm3, tmm5, tmm7",
                "dec {count}",
                "jnz 2b",
                "tilerelease",
                shapes = in(reg) shapes.as_ptr(),
                count = inout(reg) STEPS => _,
                options(nostack),
            );
        }
    }
    let least = |once: &dyn Fn(i32)| {
        let time = |round| {
            let start = seconds();
            once(std::hint::black_box(round));
            seconds() - start
        };
        (0..1000).map(time).fold(f64::INFINITY, f64::min)
    };
    if instructions() == "amx" {
        return Some((STEPS * 4 * 2 * 16 * 16 * 64) as f64 / least(&|_| tiles()));
    }
    if !(is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni")) {
        return None;
    }
    // SAFETY: the features were detected on this very machine.
    let once = |round| _ = std::hint::black_box(unsafe { products(round) });
    Some((STEPS * SUMS * 128) as f64 / least(&once))
}

#[cfg(not(target_arch = "x86_64"))]
fn peak() -> Option<f64> {
    None
}

fn main() -> Result<(), Box<dyn Error>> {
    let rounds = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(20);
    let peak = peak();
    let peak_text = peak.map_or("unknown".into(), |peak| format!("{:.0} GOP/s", peak * 1e-9));
    println!("instructions: {}; peak of products of bytes: {peak_text}", instructions());
    for (name, net) in [("ResNet-18", Network::resnet18()), ("EfficientNet-Lite0", Network::lite0())] {
        let (bytes, all_bytes) = in_bytes(&net, rounds)?;
        let (single, all_single) = in_single_precision(&net, rounds);
        println!("\n{name:<20} {:>9} {:>9} {:>9} {:>9}", "int8 ms", "GOP/s", "f32 ms", "GFLOP/s");
        let row = |name: &str, operations: f64, bytes: f64, single: f64| {
            let [byte_rate, single_rate] = [bytes, single].map(|seconds| operations / seconds * 1e-9);
            println!("{name:<20} {:9.3} {byte_rate:9.1} {:9.3} {single_rate:9.1}", bytes * 1e3, single * 1e3);
        };
        for (index, layer) in net.layers.iter().enumerate() {
            row(&layer.name, Network::operations(layer), bytes[index], single[index]);
        }
        let operations = net.layers.iter().map(Network::operations).sum::<f64>();
        row("all", operations, all_bytes, all_single);
        if let Some(peak) = peak {
            println!("{:.0} % of the peak", 100.0 * operations / all_bytes / peak);
        }
    }
    Ok(())
}
