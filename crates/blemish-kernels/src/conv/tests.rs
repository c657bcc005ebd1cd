//! Every way of convolving against the plain sum in double precision.

use super::*;
use crate::simd::{Kernel, Lanes, at_every_width};

fn value(i: usize) -> f32 {
    ((i * 7919 % 1013) as f32 - 500.0) * 0.002
}

/// Memory with something in it.
fn junk() -> Lines<f32> {
    std::iter::repeat_n(f32::NAN, 77).collect()
}

struct Case {
    spec: ConvSpec,
    windows: Windows,
    input: ChannelsLast,
    planes: Vec<f32>,
    weights: Vec<f32>,
    bias: Vec<f32>,
}

/// A case whose input map is filled up, as maps inside a network are.
fn case(spec: ConvSpec, size: [usize; 2], before: [usize; 2], after: [usize; 2]) -> Case {
    let planes: Vec<f32> = (0..spec.in_channels * size[0] * size[1]).map(value).collect();
    let mut input = ChannelsLast::zeros(size[0], size[1], spec.in_channels);
    let pitch = input.pitch;
    for (channel, plane) in planes.chunks(size[0] * size[1]).enumerate() {
        plane.iter().enumerate().for_each(|(pixel, &value)| input.values[pixel * pitch + channel] = value);
    }
    let weights = spec.out_channels * spec.in_channels / spec.groups * spec.kernel * spec.kernel;
    let out = |axis: usize| (size[axis] + before[axis] + after[axis] - spec.kernel) / spec.stride + 1;
    Case {
        spec,
        windows: Windows { top: before[0], left: before[1], height: out(0), width: out(1) },
        input,
        planes,
        weights: (0..weights).map(|i| value(i * 3 + 11)).collect(),
        bias: (0..spec.out_channels).map(|i| value(i + 5)).collect(),
    }
}

fn plain(case: &Case) -> Vec<f64> {
    let ConvSpec { in_channels, out_channels, kernel, stride, groups } = case.spec;
    let (height, width) = (case.input.height, case.input.width);
    let (group_in, group_out) = (in_channels / groups, out_channels / groups);
    let mut out = Vec::new();
    for channel in 0..out_channels {
        for y in 0..case.windows.height {
            for x in 0..case.windows.width {
                let mut sum = f64::from(case.bias[channel]);
                for (from, ky, kx) in (0..group_in * kernel * kernel)
                    .map(|i| (i / kernel / kernel, i / kernel % kernel, i % kernel))
                {
                    let (y, x) = (
                        (y * stride + ky).checked_sub(case.windows.top),
                        (x * stride + kx).checked_sub(case.windows.left),
                    );
                    let (Some(y), Some(x)) = (y.filter(|&y| y < height), x.filter(|&x| x < width)) else {
                        continue;
                    };
                    let plane = channel / group_out * group_in + from;
                    sum += f64::from(case.planes[(plane * height + y) * width + x])
                        * f64::from(case.weights[((channel * group_in + from) * kernel + ky) * kernel + kx]);
                }
                out.push(sum);
            }
        }
    }
    out
}

/// Cases that reach every way, tile remainder and border.
fn cases() -> Vec<Case> {
    let spec = |in_channels, out_channels, kernel, stride, groups| ConvSpec {
        in_channels,
        out_channels,
        kernel,
        stride,
        groups,
    };
    vec![
        case(spec(3, 5, 7, 2, 1), [20, 23], [3, 3], [3, 3]),
        case(spec(24, 40, 1, 1, 1), [5, 7], [0, 0], [0, 0]),
        case(spec(16, 48, 1, 2, 1), [9, 30], [0, 0], [0, 0]),
        case(spec(33, 20, 3, 2, 1), [10, 12], [0, 0], [1, 1]),
        case(spec(48, 32, 3, 1, 1), [11, 14], [1, 1], [1, 1]),
        case(spec(32, 64, 3, 1, 1), [4, 3], [1, 1], [1, 1]),
        case(spec(40, 33, 3, 1, 1), [70, 9], [0, 0], [0, 0]),
        case(spec(24, 24, 3, 1, 1), [9, 9], [1, 1], [1, 1]),
        case(spec(72, 72, 5, 2, 72), [12, 13], [1, 2], [2, 2]),
        case(spec(80, 80, 3, 1, 80), [6, 5], [1, 1], [1, 1]),
        case(spec(8, 12, 3, 1, 4), [6, 5], [1, 1], [1, 1]),
        case(spec(3, 16, 11, 4, 1), [40, 36], [2, 2], [2, 2]),
    ]
}

#[test]
fn every_way_equals_the_plain_sum() {
    for case in cases() {
        let exact = plain(&case);
        let scale = exact.iter().fold(0.0f64, |most, value| most.max(value.abs()));
        let conv = Convolution::new(case.spec, &case.weights, &case.bias);
        let tolerance = if matches!(conv.way, convolution::Way::Winograd(_)) { 3e-5 } else { 2e-6 };
        let out = conv.apply(&case.input, case.windows, Epilogue::default(), junk(), false);
        assert_eq!(
            (out.height, out.width, out.channels),
            (case.windows.height, case.windows.width, case.spec.out_channels)
        );
        for (index, (found, exact)) in out.to_planes().iter().zip(&exact).enumerate() {
            assert!(
                (f64::from(*found) - exact).abs() < tolerance * scale,
                "{:?} at {index}: {found} for {exact}",
                case.spec
            );
        }
        // What fills pixels up stays zero.
        let pitch = out.pitch;
        assert!(
            out.values.chunks(pitch).all(|pixel| pixel[out.channels..].iter().all(|&value| value == 0.0))
        );
    }
}

#[test]
fn threads_change_no_bit() {
    for case in cases() {
        let conv = Convolution::new(case.spec, &case.weights, &case.bias);
        let run = |parallel| conv.apply(&case.input, case.windows, Epilogue::default(), junk(), parallel);
        assert_eq!(run(false), run(true));
    }
}

#[test]
fn a_residual_and_the_non_linearity_come_last() {
    for case in cases() {
        let conv = Convolution::new(case.spec, &case.weights, &case.bias);
        let plain = conv.apply(&case.input, case.windows, Epilogue::default(), junk(), false);
        let residual = plain.clone().activated(Activation::Relu6);
        let fused = conv.apply(
            &case.input,
            case.windows,
            Epilogue::new(Some(&residual), Activation::Relu),
            junk(),
            false,
        );
        assert_eq!(fused, plain.add(&residual, Activation::Relu));
    }
}

/// One chunk of a Winograd convolution, the deepest of the kernels.
struct OneChunk<'a>(&'a Case, Vec<dense::Panels>);

impl Kernel for OneChunk<'_> {
    type Output = Vec<f32>;
    #[inline(always)]
    fn run<V: Lanes>(self) -> Vec<f32> {
        let case = self.0;
        let pitch = case.spec.out_channels.next_multiple_of(LANES);
        let mut bias = case.bias.clone();
        bias.resize(pitch, 0.0);
        let mut out = vec![0.0; case.windows.height * case.windows.width * pitch];
        let kernel = winograd::Winograd {
            input: &case.input,
            windows: case.windows,
            panels: &self.1,
            bias: &bias,
            epilogue: Epilogue::new(None, Activation::Silu),
            first_row: 0,
            out: &mut out,
        };
        kernel.run::<V>();
        out
    }
}

#[test]
fn every_width_gives_the_same_bits() {
    let case = &cases()[4];
    let panels = || winograd::transform_weights(case.spec.out_channels, case.spec.in_channels, &case.weights);
    let outputs = at_every_width(|| OneChunk(case, panels()));
    assert!(outputs.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn planes_come_back() {
    let planes: Vec<f32> = (0..3 * 35).map(value).collect();
    assert_eq!(ChannelsLast::from_planes(&planes, [3, 5, 7]).to_planes(), planes);
}

#[test]
fn pooling_and_joining() {
    let mut map = ChannelsLast::zeros(3, 3, 2);
    for pixel in 0..9 {
        map.values[pixel * LANES] = pixel as f32;
        map.values[pixel * LANES + 1] = -(pixel as f32) - 1.0;
    }
    let windows = Windows { top: 1, left: 1, height: 2, width: 2 };
    let pooled = MaxPool { kernel: 3, stride: 2 }.apply(&map, windows, junk());
    assert_eq!(pooled.to_planes(), [4.0, 5.0, 7.0, 8.0, -1.0, -2.0, -4.0, -5.0]);
    let mean = global_mean(&map);
    assert_eq!(mean.to_planes(), [4.0, -5.0]);
    let joined = concatenate(&[&map, &map]);
    assert_eq!(joined.to_planes(), [map.to_planes(), map.to_planes()].concat());
    let scaled = scale_channels(map.clone(), &mean);
    assert_eq!(scaled.to_planes()[8], 32.0);
    assert_eq!(scaled.to_planes()[9], 5.0);
}
