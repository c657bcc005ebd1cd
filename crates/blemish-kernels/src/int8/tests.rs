//! Every set of instructions against the plain sum in 64 bits and exact rounding.

use super::instructions::{Instructions, Task};
use super::lanes::{Dots, LANES};
use super::*;
use crate::conv::{ConvSpec, MaxPool, Windows};
use crate::lines::Lines;
use rayon::prelude::*;

/// Numbers without pattern: xorshift.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 11
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn map(&mut self, shape: [usize; 3]) -> ByteMap {
        let zero = if self.below(2) == 0 { 0 } else { self.next() as u8 };
        let bytes: Vec<u8> = (0..shape.iter().product()).map(|_| self.next() as u8).collect();
        ByteMap::from_bytes(&bytes, shape, zero)
    }
}

struct Case {
    spec: ConvSpec,
    windows: Windows,
    input: ByteMap,
    weights: Vec<i8>,
    bias: Vec<i32>,
    requantisation: Requantisation,
    residual: Option<(ByteMap, ByteRatio)>,
}

/// A case of the given channels, kernel, stride and groups, else by chance.
fn case([in_channels, out_channels, kernel, stride, groups]: [usize; 5], numbers: &mut Numbers) -> Case {
    let spec = ConvSpec { in_channels, out_channels, kernel, stride, groups };
    let before = [(); 2].map(|()| numbers.below(kernel));
    let size = [(); 2].map(|()| kernel + numbers.below(14));
    let out = |axis: usize, after: usize| (size[axis] + before[axis] + after - kernel) / stride + 1;
    let (height, width) = (out(0, numbers.below(kernel)), out(1, numbers.below(kernel)));
    let terms = in_channels / groups * kernel * kernel;
    // Extremes as often as not.
    let weights = (0..out_channels * terms).map(|_| match numbers.below(4) {
        0 => -128,
        1 => 127,
        _ => numbers.next() as i8,
    });
    let weights = weights.collect();
    let bias = (0..out_channels).map(|_| numbers.next() as i32 % 100_000).collect();
    let ratio = |numbers: &mut Numbers| match numbers.below(20) {
        // Everything saturates; everything becomes the zero.
        0 => 0.499_999_999,
        1 => 0.0,
        _ => (0.01 + numbers.below(1000) as f64 * 1e-3) / (100.0 * (terms as f64).sqrt()),
    };
    let ratios = (0..out_channels).map(|_| SumRatio::new(ratio(numbers)).unwrap()).collect();
    let input = numbers.map([size[0], size[1], in_channels]);
    let output_zero = if numbers.below(2) == 0 { 0 } else { numbers.next() as u8 };
    let [least, most] = [(0, 255), (output_zero, 255), (output_zero, output_zero.saturating_add(100))]
        .map(|(least, most)| [least, most])[numbers.below(3)];
    let residual = (numbers.below(2) == 0).then(|| {
        let ratio = ByteRatio::new(numbers.below(3000) as f64 * 1.1e-3).unwrap();
        (numbers.map([height, width, out_channels]), ratio)
    });
    Case {
        spec,
        windows: Windows { top: before[0], left: before[1], height, width },
        requantisation: Requantisation { input_zero: input.zero, ratios, output_zero, least, most },
        input,
        weights,
        bias,
        residual,
    }
}

/// zero + the nearest whole number of `parts` / 2^32, halves up, clamped.
fn rounded(parts: i128, zero: u8, least: u8, most: u8) -> u8 {
    let nearest = (2 * parts + (1 << 32)).div_euclid(1 << 33) + i128::from(zero);
    nearest.clamp(i128::from(least), i128::from(most)) as u8
}

fn plain(case: &Case) -> Vec<u8> {
    let ConvSpec { in_channels, out_channels, kernel, stride, groups } = case.spec;
    let (group_in, group_out) = (in_channels / groups, out_channels / groups);
    let Requantisation { ref ratios, output_zero, least, most, .. } = case.requantisation;
    let mut out = Vec::new();
    for (y, x) in (0..case.windows.height).flat_map(|y| (0..case.windows.width).map(move |x| (y, x))) {
        for channel in 0..out_channels {
            let mut sum = i64::from(case.bias[channel]);
            for (ky, kx) in (0..kernel * kernel).map(|tap| (tap / kernel, tap % kernel)) {
                let row = (y * stride + ky).checked_sub(case.windows.top).filter(|&y| y < case.input.height);
                let column =
                    (x * stride + kx).checked_sub(case.windows.left).filter(|&x| x < case.input.width);
                let (Some(row), Some(column)) = (row, column) else { continue };
                for from in 0..group_in {
                    let byte = case.input.at(row, column, channel / group_out * group_in + from);
                    let weight = case.weights[((channel * group_in + from) * kernel + ky) * kernel + kx];
                    sum += (i64::from(byte) - i64::from(case.input.zero)) * i64::from(weight);
                }
            }
            let mut parts = i128::from(sum) * i128::from(ratios[channel].units());
            if let Some((map, ratio)) = &case.residual {
                let step = i128::from(map.at(y, x, channel)) - i128::from(map.zero);
                parts += 256 * step * i128::from(ratio.units());
            }
            out.push(rounded(parts, output_zero, least, most));
        }
    }
    out
}

fn values(map: &ByteMap) -> Vec<u8> {
    map.values.chunks_exact(map.pitch).flat_map(|pixel| &pixel[..map.channels]).copied().collect()
}

/// Cases that reach every way, block, tile remainder and border.
fn cases() -> Vec<Case> {
    let mut numbers = Numbers(88_172_645_463_325_252);
    let mut shapes = vec![
        [3, 64, 7, 2, 1],
        [4, 5, 3, 2, 1],
        [64, 64, 3, 1, 1],
        [128, 96, 3, 2, 1],
        [24, 144, 1, 1, 1],
        [40, 33, 1, 2, 1],
        [17, 80, 3, 1, 1],
        [8, 12, 3, 1, 4],
        [6, 6, 3, 1, 6],
        [32, 32, 3, 1, 32],
        [96, 96, 3, 2, 96],
        [144, 144, 5, 1, 144],
        [70, 70, 5, 2, 70],
        [64, 64, 7, 1, 64],
        [1, 1, 1, 1, 1],
    ];
    for _ in 0..60 {
        let [kernel, stride] = [[1, 3, 5, 7][numbers.below(4)], 1 + numbers.below(3)];
        let channels = 1 + numbers.below(if kernel > 3 { 40 } else { 150 });
        shapes.push(match numbers.below(3) {
            0 => [channels, channels, kernel, stride, channels],
            1 => [2 * (channels / 8 + 1), 4 * (channels / 8 + 1), kernel, stride, 2],
            _ => [channels, 1 + numbers.below(150), kernel, stride, 1],
        });
    }
    shapes.into_iter().map(|shape| case(shape, &mut numbers)).collect()
}

fn packed(case: &Case) -> ByteConvolution {
    ByteConvolution::new(case.spec, &case.weights, &case.bias, &case.requantisation)
}

fn residual(case: &Case) -> Option<Residual<'_>> {
    case.residual.as_ref().map(|(map, ratio)| Residual { map, ratio: *ratio })
}

#[test]
fn all_instructions_give_the_exactly_rounded_sum() {
    for case in cases() {
        let (exact, convolution) = (plain(&case), packed(&case));
        for instructions in Instructions::available() {
            let (windows, junk) = (case.windows, Lines::from(&[77; 99][..]));
            let out =
                convolution.apply_with(instructions, &case.input, windows, residual(&case), junk, false);
            assert_eq!([out.height, out.width], [windows.height, windows.width]);
            let differing = values(&out).iter().zip(&exact).position(|(found, exact)| found != exact);
            assert_eq!(differing, None, "{instructions:?}, {:?}, {:?}", case.spec, case.windows);
        }
    }
}

#[test]
fn threads_and_batches_do_not_matter() {
    let cases: Vec<Case> = cases().into_iter().take(12).collect();
    let apply = |case: &Case, is_parallel| {
        values(&packed(case).apply(&case.input, case.windows, residual(case), Lines::new(), is_parallel))
    };
    let alone: Vec<Vec<u8>> = cases.iter().map(|case| apply(case, false)).collect();
    for threads in [1, 2, 5] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            assert_eq!(cases.iter().map(|case| apply(case, true)).collect::<Vec<_>>(), alone);
            assert_eq!(cases.par_iter().map(|case| apply(case, false)).collect::<Vec<_>>(), alone);
        });
    }
}

#[test]
fn the_greatest_sums_do_not_overflow() {
    for weight in [-128, 127] {
        let spec = ConvSpec { in_channels: 512, out_channels: 16, kernel: 7, stride: 1, groups: 1 };
        let ratios = vec![SumRatio::new(1e-7).unwrap(); 16];
        let requantisation = Requantisation { input_zero: 0, ratios, output_zero: 100, least: 0, most: 255 };
        let weights = vec![weight; 16 * 512 * 49];
        let convolution = ByteConvolution::new(spec, &weights, &[1 << 27; 16], &requantisation);
        let input = ByteMap::from_bytes(&[255; 512 * 49], [7, 7, 512], 0);
        let windows = Windows { top: 0, left: 0, height: 1, width: 1 };
        let sum = i128::from(weight) * 255 * 512 * 49 + (1 << 27);
        let exact = rounded(sum * i128::from(requantisation.ratios[0].units()), 100, 0, 255);
        for instructions in Instructions::available() {
            let out = convolution.apply_with(instructions, &input, windows, None, Lines::new(), false);
            assert_eq!(values(&out), [exact; 16]);
        }
    }
}

/// Scales sixteen sums.
struct Scaling<'a> {
    sums: [i32; LANES],
    multipliers: [i32; LANES],
    factor: i32,
    zero: u8,
    out: &'a mut [[u8; LANES]; 2],
}

impl Task for Scaling<'_> {
    #[inline(always)]
    fn run<D: Dots>(self) {
        let (sums, multipliers) = (D::load(&self.sums), D::load(&self.multipliers));
        let rounding = (1 << 31) + (i64::from(self.zero) << 32);
        let scaled = [
            sums.scale(multipliers, rounding),
            sums.scale_with(multipliers, D::splat(255 << 8), self.factor, rounding),
        ];
        *self.out = scaled.map(|values| D::pack([values], 0, 255).as_chunks().0[0]);
    }
}

#[test]
fn scaling_is_exact_at_extremes_and_halves() {
    let mut numbers = Numbers(1);
    let extremes = [i32::MIN, i32::MAX, 0, 1, -1, 1 << 30, -(1 << 30)];
    for _ in 0..3000 {
        let sums = std::array::from_fn(|_| match numbers.below(3) {
            0 => extremes[numbers.below(extremes.len())],
            1 => numbers.next() as i32,
            // Small sums times 2^31 and 2^30 hit halves.
            _ => numbers.below(400) as i32 - 100,
        });
        let multipliers = std::array::from_fn(|_| match numbers.below(3) {
            0 => [i32::MAX, 1 << 30, 1 << 29, 1][numbers.below(4)],
            _ => (numbers.next() as i32 & i32::MAX) >> numbers.below(31),
        });
        let factor = (numbers.next() as i32 & i32::MAX) >> numbers.below(31);
        let zero = numbers.next() as u8;
        let exact = [0, i128::from(factor) * (255 << 8)].map(|other| {
            std::array::from_fn::<u8, LANES, _>(|lane| {
                rounded(i128::from(sums[lane]) * i128::from(multipliers[lane]) + other, zero, 0, 255)
            })
        });
        for instructions in Instructions::available() {
            let mut out = [[0; LANES]; 2];
            instructions.run(Scaling { sums, multipliers, factor, zero, out: &mut out });
            assert_eq!(out, exact, "{instructions:?}: {sums:?} x {multipliers:?}");
        }
    }
}

#[test]
fn ratios_are_the_nearest_and_keep_to_their_range() {
    assert_eq!(SumRatio::new(0.25).unwrap().units(), 1 << 30);
    assert_eq!(SumRatio::new(1.5 / (1u64 << 32) as f64).unwrap().units(), 2);
    assert_eq!(ByteRatio::new(1.0).unwrap().units(), 1 << 24);
    for ratio in [0.5, -1e-9, f64::NAN, f64::INFINITY] {
        assert!(SumRatio::new(ratio).is_err(), "{ratio}");
    }
    assert!(ByteRatio::new(128.0).is_err() && ByteRatio::new(127.9).is_ok());
    for scale in [0.0, -1.0, f32::NAN, f32::INFINITY, 1e-40] {
        assert!(Quantisation::new(scale, 0).is_err(), "{scale}");
    }
}

#[test]
fn sums_of_maps_are_rounded_once() {
    let mut numbers = Numbers(5);
    let maps = [(); 2].map(|()| numbers.map([5, 7, 21]));
    let ratios = [0.73, 1.9].map(|ratio| ByteRatio::new(ratio).unwrap());
    let terms = [0, 1].map(|at| Residual { map: &maps[at], ratio: ratios[at] });
    let out = add(terms, [31, 20, 240], Lines::from(&[9; 3][..]));
    for (at, &found) in out.values.iter().enumerate() {
        let part = |term: usize| {
            let step = i128::from(maps[term].values[at]) - i128::from(maps[term].zero);
            256 * step * i128::from(ratios[term].units())
        };
        assert_eq!(found, rounded(part(0) + part(1), 31, 20, 240));
    }
}

#[test]
fn pooling_takes_the_greatest_inside_and_the_mean_of_all() {
    let bytes: Vec<u8> = (0..12).collect();
    let map = ByteMap::from_bytes(&bytes, [3, 4, 1], 200);
    let windows = Windows { top: 1, left: 1, height: 2, width: 2 };
    let out = max_pool(MaxPool { kernel: 3, stride: 2 }, &map, windows, Lines::from(&[255; 100][..]));
    assert_eq!((values(&out), out.zero), (vec![5, 7, 9, 11], 200));
    // 66 / 12 = 5.5.
    assert_eq!(values(&global_mean(&map)), [6]);
}

#[test]
fn numbers_become_the_nearest_bytes_and_come_back() {
    let quantisation = Quantisation::new(0.5, 100).unwrap();
    let numbers = [0.0, 0.24, 0.25, 0.26, 0.75, -0.75, -50.0, -51.0, 77.5, 1e30, f32::INFINITY, f32::NAN];
    let expected = [100, 100, 100, 101, 102, 98, 0, 0, 255, 255, 255, 0];
    assert_eq!(numbers.map(|number| quantisation.byte(number)), expected);
    for channels in [1, 3, 5, 20] {
        let planes: Vec<f32> = (0..channels).flat_map(|_| numbers.into_iter().chain(numbers)).collect();
        let map = ByteMap::quantise(&planes, [channels, 6, 4], quantisation, Lines::from(&[7; 5][..]));
        assert_eq!(map.zero, 100);
        for (pixel, channel) in (0..24).flat_map(|pixel| (0..channels).map(move |channel| (pixel, channel))) {
            assert_eq!(map.at(pixel / 4, pixel % 4, channel), expected[pixel % 12]);
        }
        let mut back = vec![0.0; planes.len()];
        map.dequantise(quantisation, Lines::from(&[f32::NAN; 3][..])).write_planes(&mut back);
        let exact = (0..planes.len()).map(|at| 0.5 * (f32::from(expected[at % 12]) - 100.0));
        assert_eq!(back, exact.collect::<Vec<f32>>());
    }
}

#[test]
fn the_fastest_instructions_are_chosen() {
    assert_eq!(Instructions::available().last(), Some(&Instructions::detect()));
    assert_eq!(instructions(), Instructions::detect().name());
}
