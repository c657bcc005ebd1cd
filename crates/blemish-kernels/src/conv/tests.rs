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
        let residual = plain.activated(Activation::Relu6, junk());
        let fused = conv.apply(
            &case.input,
            case.windows,
            Epilogue::new(Some(&residual), Activation::Relu),
            junk(),
            false,
        );
        assert_eq!(fused, plain.add(&residual, Activation::Relu, junk()));
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

/// All of a depthwise convolution.
struct Filtered<'a>(&'a Case, &'a Convolution);

impl Kernel for Filtered<'_> {
    type Output = Vec<f32>;
    #[inline(always)]
    fn run<V: Lanes>(self) -> Vec<f32> {
        let Self(case, Convolution { spec, bias, way }) = self;
        let convolution::Way::Depthwise(weights) = way else { panic!("{spec:?} is depthwise") };
        let mut out = vec![0.0; case.windows.height * case.windows.width * bias.len()];
        let kernel = depthwise::Depthwise {
            input: (&case.input).into(),
            windows: case.windows,
            kernel: spec.kernel,
            stride: spec.stride,
            weights,
            bias,
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
    let cases = cases();
    let case = &cases[4];
    let panels = || winograd::transform_weights(case.spec.out_channels, case.spec.in_channels, &case.weights);
    let outputs = at_every_width(|| OneChunk(case, panels()));
    assert!(outputs.windows(2).all(|pair| pair[0] == pair[1]));
    for case in cases.iter().filter(|case| case.spec.groups == case.spec.in_channels) {
        let convolution = Convolution::new(case.spec, &case.weights, &case.bias);
        let outputs = at_every_width(|| Filtered(case, &convolution));
        assert!(outputs.windows(2).all(|pair| pair[0] == pair[1]), "{:?}", case.spec);
    }
}

#[test]
fn planes_come_back() {
    let planes: Vec<f32> = (0..3 * 35).map(value).collect();
    assert_eq!(ChannelsLast::from_planes(&planes, [3, 5, 7], junk()).to_planes(), planes);
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
    let scaled = scale_channels(&map, &mean, junk());
    assert_eq!(scaled.to_planes()[8], 32.0);
    assert_eq!(scaled.to_planes()[9], 5.0);
}

/// A block's convolutions: 24 channels widened, filtered by `kernel` with `stride`, narrowed.
fn block(channels: usize, [kernel, stride]: [usize; 2], out_channels: usize) -> [Convolution; 3] {
    let conv = |in_channels, out_channels, kernel, stride, groups| {
        let spec = ConvSpec { in_channels, out_channels, kernel, stride, groups };
        let weights = out_channels * in_channels / groups * kernel * kernel;
        let weights: Vec<f32> = (0..weights).map(|i| value(i * 5 + kernel)).collect();
        Convolution::new(spec, &weights, &(0..out_channels).map(|i| value(i + 7)).collect::<Vec<_>>())
    };
    [
        conv(24, channels, 1, 1, 1),
        conv(channels, channels, kernel, stride, channels),
        conv(channels, out_channels, 1, 1, 1),
    ]
}

#[test]
fn blocks_by_strips_equal_their_convolutions_to_the_bit() {
    // Rows of the widened map from less than a strip to more than all strips of it; kernels that the map's border cuts, steps beyond the
    // kernel.
    for (channels, size, [kernel, stride], padding) in [
        (40, [23, 9], [3, 1], 1),
        (520, [37, 31], [3, 1], 1),
        (520, [38, 30], [3, 2], 0),
        (520, [29, 33], [5, 1], 2),
        (520, [30, 40], [5, 2], 1),
        (520, [3, 200], [5, 1], 2),
        (520, [40, 20], [3, 4], 1),
        (1100, [9, 90], [3, 1], 1),
    ] {
        let [expand, depthwise, project] = block(channels, [kernel, stride], 24);
        let out = size.map(|side| (side + 2 * padding - kernel) / stride + 1);
        let windows = Windows { top: padding, left: padding, height: out[0], width: out[1] };
        let map = |size: [usize; 2], seed: usize| {
            let planes: Vec<f32> = (0..24 * size[0] * size[1]).map(|i| value(i + seed)).collect();
            concatenate(&[&ChannelsLast::from_planes(&planes, [24, size[0], size[1]], Lines::new())])
        };
        let (input, residual) = (map(size, 0), map(out, 9));
        let inside =
            |input: &ChannelsLast| Windows { top: 0, left: 0, height: input.height, width: input.width };
        let alone = |convolution: &Convolution, input: &ChannelsLast, windows, epilogue| {
            convolution.apply(input, windows, epilogue, junk(), false)
        };
        let relu6 = Epilogue::new(None, Activation::Relu6);
        let wide = alone(&expand, &input, inside(&input), relu6);
        let filtered = alone(&depthwise, &wide, windows, relu6);
        let last = Epilogue::new(Some(&residual), Activation::Relu);
        let narrow = alone(&project, &filtered, inside(&filtered), last);

        let layer = |convolution, activation| Layer { convolution, activation };
        let [expand, depthwise] =
            [&expand, &depthwise].map(|convolution| layer(convolution, Activation::Relu6));
        let project = layer(&project, Activation::Relu);
        for is_parallel in [false, true] {
            let apply = |block: Option<InvertedResidual<'_>>, input, residual| {
                block.expect("a block").apply(input, windows, residual, junk(), is_parallel)
            };
            let whole = InvertedResidual::new(Some(expand), depthwise, Some(project));
            assert_eq!(apply(whole, &input, Some(&residual)), narrow, "{size:?} {kernel} {stride}");
            assert_eq!(apply(InvertedResidual::new(Some(expand), depthwise, None), &input, None), filtered);
            let behind = InvertedResidual::new(None, depthwise, Some(project));
            assert_eq!(apply(behind, &wide, Some(&residual)), narrow);
        }
    }
}

#[test]
fn other_layers_make_no_block() {
    let [expand, depthwise, project] = &block(48, [3, 1], 24);
    let layer = |convolution| Layer { convolution, activation: Activation::None };
    let [expand, depthwise, project] = [expand, depthwise, project].map(layer);
    assert!(InvertedResidual::new(Some(expand), depthwise, Some(project)).is_some());
    assert!(InvertedResidual::new(Some(expand), project, None).is_none());
    assert!(InvertedResidual::new(Some(depthwise), depthwise, None).is_none());
    // Channels of another number.
    assert!(InvertedResidual::new(Some(project), depthwise, None).is_none());
    assert!(InvertedResidual::new(None, depthwise, Some(expand)).is_none());
}
