//! The operations on Burn's CPU backend: between its tensors and the kernels on slices.

use super::Operations;
use crate::adam::{self, AdamStep};
use crate::attention::{Attention, Extras};
use crate::batch_norm::BatchNorm;
use crate::convolution;
use crate::coupling::{self, Coupling};
use crate::dense;
use crate::distance;
use crate::geometry::Geometry;
use crate::group_norm::GroupNorm;
use crate::linear_map::{self, LinearMap};
use crate::part;
use crate::permutation;
use crate::pool::Plane;
use crate::real::Real;
use burn::backend::TensorMetadata;
use burn::backend::flex::{Flex, FlexTensor};
use burn::tensor::{DType, Shape, TensorData};

fn tensor<T: Real>(values: Vec<T>, shape: Shape) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}

/// The tensor with its values alone in its storage, copied only where they are not: what nobody else holds is then changed in place. A
/// part of another tensor can look contiguous and yet begin somewhere in that one's storage.
fn own(tensor: FlexTensor) -> FlexTensor {
    let bytes = tensor.shape().num_elements() * tensor.dtype().size();
    let is_whole = tensor.layout().start_offset() == 0 && tensor.bytes().len() == bytes;
    if tensor.is_contiguous() && is_whole { tensor } else { tensor.to_contiguous() }
}

fn geometry(x: &Shape, weight: &Shape, stride: usize, padding: usize) -> Geometry {
    Geometry {
        batch: x[0],
        inputs: x[1],
        outputs: weight[0],
        height: x[2],
        width: x[3],
        kernel: weight[2],
        stride,
        padding,
    }
}

/// Values of an image's channels, and positions, of images x channels x positions.
fn extent(shape: &Shape) -> [usize; 2] {
    let positions = shape.iter().skip(2).product();
    [shape[1] * positions, positions]
}

fn norm(shape: &Shape, epsilon: f64, slope: f64) -> BatchNorm {
    BatchNorm { channels: shape[1], positions: extent(shape)[1], epsilon, slope }
}

fn attention(q: &Shape, k: &Shape, heads: usize) -> Attention {
    Attention { batch: q[0], heads, queries: q[1], keys: k[1], features: q[2] / heads }
}

fn group_norm(shape: &Shape, groups: usize, epsilon: f64) -> GroupNorm {
    GroupNorm { channels: shape[1], positions: extent(shape)[1], groups, epsilon }
}

fn plane(shape: &Shape) -> Plane {
    Plane { height: shape[2], width: shape[3] }
}

/// Runs a body for the number type of a tensor.
macro_rules! by_type {
    ($tensor:expr, $T:ident => $body:expr) => {
        match $tensor.dtype() {
            DType::F64 => {
                type $T = f64;
                $body
            }
            DType::F32 => {
                type $T = f32;
                $body
            }
            // The public functions send other types to Burn's own operations.
            other => unreachable!("no kernels for {other:?}"),
        }
    };
}

impl Operations for Flex {
    fn convolve(
        x: FlexTensor,
        weight: FlexTensor,
        bias: FlexTensor,
        stride: usize,
        padding: usize,
    ) -> FlexTensor {
        let geometry = geometry(&x.shape(), &weight.shape(), stride, padding);
        let (height, width) = geometry.output_size();
        let shape = Shape::from([geometry.batch, geometry.outputs, height, width]);
        let (x, weight, bias) = (x.to_contiguous(), weight.to_contiguous(), bias.to_contiguous());
        by_type!(x, T => {
            let (x, weight, bias) = (x.storage::<T>(), weight.storage::<T>(), bias.storage::<T>());
            tensor(convolution::forward(geometry, x, weight, bias), shape)
        })
    }

    fn convolve_input_gradient(
        x: FlexTensor,
        weight: FlexTensor,
        gradient: FlexTensor,
        stride: usize,
        padding: usize,
    ) -> FlexTensor {
        let geometry = geometry(&x.shape(), &weight.shape(), stride, padding);
        let (weight, gradient) = (weight.to_contiguous(), gradient.to_contiguous());
        by_type!(weight, T => {
            let (weight, gradient) = (weight.storage::<T>(), gradient.storage::<T>());
            tensor(convolution::input_gradient(geometry, weight, gradient), x.shape())
        })
    }

    fn convolve_weight_gradient(
        x: FlexTensor,
        weight: FlexTensor,
        gradient: FlexTensor,
        stride: usize,
        padding: usize,
    ) -> FlexTensor {
        let geometry = geometry(&x.shape(), &weight.shape(), stride, padding);
        let (x, gradient) = (x.to_contiguous(), gradient.to_contiguous());
        by_type!(x, T => {
            let (x, gradient) = (x.storage::<T>(), gradient.storage::<T>());
            tensor(convolution::weight_gradient(geometry, x, gradient), weight.shape())
        })
    }

    fn channel_sums(x: FlexTensor) -> FlexTensor {
        let (channels, [_, positions]) = (x.shape()[1], extent(&x.shape()));
        let x = x.to_contiguous();
        by_type!(x, T => {
            tensor(convolution::channel_sums(channels, positions, x.storage::<T>()), Shape::from([channels]))
        })
    }

    fn convolve_transposed(
        x: FlexTensor,
        weight: FlexTensor,
        bias: FlexTensor,
        [height, width]: [usize; 2],
        stride: usize,
        padding: usize,
    ) -> FlexTensor {
        let shape = Shape::from([x.shape()[0], weight.shape()[1], height, width]);
        let geometry = geometry(&shape, &weight.shape(), stride, padding);
        let (x, weight, bias) = (x.to_contiguous(), weight.to_contiguous(), bias.to_contiguous());
        by_type!(x, T => {
            let (x, weight, bias) = (x.storage::<T>(), weight.storage::<T>(), bias.storage::<T>());
            tensor(convolution::transposed(geometry, x, weight, bias), shape)
        })
    }

    fn norm(
        x: FlexTensor,
        gain: FlexTensor,
        shift: FlexTensor,
        [epsilon, slope]: [f64; 2],
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let shape = x.shape();
        let norm = norm(&shape, epsilon, slope);
        let (x, gain, shift) = (x.to_contiguous(), gain.to_contiguous(), shift.to_contiguous());
        by_type!(x, T => {
            let moments = norm.moments(x.storage::<T>());
            let y = norm.forward(x.storage::<T>(), [gain.storage::<T>(), shift.storage::<T>()], &moments);
            let channels = || Shape::from([norm.channels]);
            let mean: Vec<T> = moments.iter().map(|moments| T::of(moments.0)).collect();
            let variance: Vec<T> = moments.iter().map(|moments| T::of(moments.1)).collect();
            (tensor(y, shape), tensor(mean, channels()), tensor(variance, channels()))
        })
    }

    fn norm_gradient(
        x: FlexTensor,
        gain: FlexTensor,
        shift: FlexTensor,
        mean: FlexTensor,
        variance: FlexTensor,
        gradient: FlexTensor,
        [epsilon, slope]: [f64; 2],
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let norm = norm(&x.shape(), epsilon, slope);
        let x = x.to_contiguous();
        let [gain, shift, mean, variance] =
            [gain, shift, mean, variance].map(|tensor| tensor.to_contiguous());
        let mut gradient = own(gradient);
        by_type!(x, T => {
            let moments = mean.storage::<T>().iter().zip(variance.storage::<T>());
            let moments: Vec<_> = moments.map(|(mean, variance)| (mean.wide(), variance.wide())).collect();
            let line = [gain.storage::<T>(), shift.storage::<T>()];
            let made = norm.backward(x.storage::<T>(), line, &moments, gradient.storage_mut::<T>());
            let [gain, shift] = made.map(|made| tensor(made, Shape::from([norm.channels])));
            (gradient, gain, shift)
        })
    }

    fn group_norm(
        x: FlexTensor,
        gain: FlexTensor,
        shift: FlexTensor,
        groups: usize,
        epsilon: f64,
    ) -> FlexTensor {
        let norm = group_norm(&x.shape(), groups, epsilon);
        let (x, gain, shift) = (x.to_contiguous(), gain.to_contiguous(), shift.to_contiguous());
        by_type!(x, T => {
            let line = [gain.storage::<T>(), shift.storage::<T>()];
            tensor(norm.forward(x.storage::<T>(), line), x.shape())
        })
    }

    fn group_norm_gradient(
        x: FlexTensor,
        gain: FlexTensor,
        shift: FlexTensor,
        gradient: FlexTensor,
        groups: usize,
        epsilon: f64,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let norm = group_norm(&x.shape(), groups, epsilon);
        let (x, gain, shift) = (x.to_contiguous(), gain.to_contiguous(), shift.to_contiguous());
        let mut gradient = own(gradient);
        by_type!(x, T => {
            let line = [gain.storage::<T>(), shift.storage::<T>()];
            let made = norm.backward(x.storage::<T>(), line, gradient.storage_mut::<T>());
            let [gain, shift] = made.map(|made| tensor(made, Shape::from([norm.channels])));
            (gradient, gain, shift)
        })
    }

    fn max_pairs(x: FlexTensor) -> FlexTensor {
        let mut shape = x.shape();
        let plane = plane(&shape);
        (shape[2], shape[3]) = (shape[2] / 2, shape[3] / 2);
        let x = x.to_contiguous();
        by_type!(x, T => tensor(plane.forward(x.storage::<T>()), shape))
    }

    fn max_pairs_gradient(x: FlexTensor, gradient: FlexTensor) -> FlexTensor {
        let plane = plane(&x.shape());
        let (x, gradient) = (x.to_contiguous(), gradient.to_contiguous());
        by_type!(x, T => tensor(plane.backward(x.storage::<T>(), gradient.storage::<T>()), x.shape()))
    }

    fn map_linearly(x: FlexTensor, rows: LinearMap, columns: LinearMap) -> FlexTensor {
        let mut shape = x.shape();
        (shape[2], shape[3]) = (rows.outputs(), columns.outputs());
        let x = x.to_contiguous();
        by_type!(x, T => tensor(linear_map::apply(x.storage::<T>(), &rows, &columns), shape))
    }

    fn dense(x: FlexTensor, weight: FlexTensor, bias: FlexTensor) -> FlexTensor {
        let sizes = [x.shape()[0], x.shape()[1], weight.shape()[1]];
        let (x, weight, bias) = (x.to_contiguous(), weight.to_contiguous(), bias.to_contiguous());
        by_type!(x, T => {
            let (x, weight, bias) = (x.storage::<T>(), weight.storage::<T>(), bias.storage::<T>());
            tensor(dense::forward(sizes, x, weight, bias), Shape::from([sizes[0], sizes[2]]))
        })
    }

    fn dense_input_gradient(weight: FlexTensor, gradient: FlexTensor) -> FlexTensor {
        let sizes = [gradient.shape()[0], weight.shape()[0], weight.shape()[1]];
        let (weight, gradient) = (weight.to_contiguous(), gradient.to_contiguous());
        by_type!(weight, T => {
            let (weight, gradient) = (weight.storage::<T>(), gradient.storage::<T>());
            tensor(dense::input_gradient(sizes, weight, gradient), Shape::from([sizes[0], sizes[1]]))
        })
    }

    fn dense_weight_gradient(x: FlexTensor, gradient: FlexTensor) -> (FlexTensor, FlexTensor) {
        let sizes = [x.shape()[0], x.shape()[1], gradient.shape()[1]];
        let (x, gradient) = (x.to_contiguous(), gradient.to_contiguous());
        by_type!(x, T => {
            let (x, gradient) = (x.storage::<T>(), gradient.storage::<T>());
            let weights = dense::weight_gradient(sizes, x, gradient);
            let bias = dense::bias_gradient(sizes[2], gradient);
            (tensor(weights, Shape::from([sizes[1], sizes[2]])), tensor(bias, Shape::from([sizes[2]])))
        })
    }

    fn attend(
        q: FlexTensor,
        k: FlexTensor,
        v: FlexTensor,
        mask: FlexTensor,
        kept: FlexTensor,
        heads: usize,
    ) -> (FlexTensor, FlexTensor) {
        let shape = q.shape();
        let sizes = attention(&shape, &k.shape(), heads);
        let pairs = Shape::from([sizes.batch, heads, sizes.queries, sizes.keys]);
        let [q, k, v, mask, kept] = [q, k, v, mask, kept].map(|tensor| tensor.to_contiguous());
        by_type!(q, T => {
            let extras = Extras { mask: mask.storage::<T>(), kept: kept.storage::<T>() };
            let inputs = [q.storage::<T>(), k.storage::<T>(), v.storage::<T>()];
            let [y, weights] = sizes.forward(inputs, extras);
            (tensor(y, shape), tensor(weights, pairs))
        })
    }

    fn attend_gradient(
        q: FlexTensor,
        k: FlexTensor,
        v: FlexTensor,
        weights: FlexTensor,
        kept: FlexTensor,
        gradient: FlexTensor,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let (of_queries, of_keys) = (q.shape(), k.shape());
        let sizes = attention(&of_queries, &of_keys, weights.shape()[1]);
        let [q, k, v, weights, kept, gradient] =
            [q, k, v, weights, kept, gradient].map(|tensor| tensor.to_contiguous());
        by_type!(q, T => {
            let inputs = [q.storage::<T>(), k.storage::<T>(), v.storage::<T>()];
            let [q, k, v] = sizes.backward(
                inputs,
                weights.storage::<T>(),
                kept.storage::<T>(),
                gradient.storage::<T>(),
            );
            (tensor(q, of_queries), tensor(k, of_keys.clone()), tensor(v, of_keys))
        })
    }

    fn couple(x: FlexTensor, raw: FlexTensor, coupling: Coupling) -> FlexTensor {
        let mut shape = x.shape();
        let extent = extent(&shape);
        shape[1] += 1;
        let (x, raw) = (x.to_contiguous(), raw.to_contiguous());
        by_type!(x, T => {
            tensor(coupling::forward(coupling, extent, x.storage::<T>(), raw.storage::<T>()), shape)
        })
    }

    fn couple_gradient(
        x: FlexTensor,
        raw: FlexTensor,
        gradient: FlexTensor,
        coupling: Coupling,
    ) -> (FlexTensor, FlexTensor) {
        let extent = extent(&x.shape());
        let (x, raw, gradient) = (x.to_contiguous(), raw.to_contiguous(), gradient.to_contiguous());
        by_type!(x, T => {
            let (values, raws, gradient) = (x.storage::<T>(), raw.storage::<T>(), gradient.storage::<T>());
            let (dx, draw) = coupling::backward(coupling, extent, values, raws, gradient);
            (tensor(dx, x.shape()), tensor(draw, raw.shape()))
        })
    }

    fn part(x: FlexTensor, first: usize, count: usize) -> FlexTensor {
        let mut shape = x.shape();
        let [values, positions] = extent(&shape);
        shape[1] = count;
        let x = x.to_contiguous();
        let range = first * positions..(first + count) * positions;
        by_type!(x, T => tensor(part::take(x.storage::<T>(), values, range), shape))
    }

    fn part_gradient(gradient: FlexTensor, first: usize, channels: usize) -> FlexTensor {
        let mut shape = gradient.shape();
        let [count, positions] = extent(&shape);
        shape[1] = channels;
        let gradient = gradient.to_contiguous();
        let range = first * positions..first * positions + count;
        by_type!(gradient, T => tensor(part::put(gradient.storage::<T>(), channels * positions, range), shape))
    }

    fn permute(x: FlexTensor, order: Vec<usize>) -> FlexTensor {
        let shape = x.shape();
        let [_, positions] = extent(&shape);
        let x = x.to_contiguous();
        by_type!(x, T => tensor(permutation::permute(x.storage::<T>(), positions, &order), shape))
    }

    fn row_distances(x: FlexTensor, rows: FlexTensor, indices: Vec<usize>) -> FlexTensor {
        let [count, dimensions] = [x.shape()[0], x.shape()[1]];
        let shape = Shape::from([count, indices.len() / count]);
        let (x, rows) = (x.to_contiguous(), rows.to_contiguous());
        by_type!(x, T => {
            let found = distance::forward(x.storage::<T>(), rows.storage::<T>(), &indices, dimensions);
            tensor(found, shape)
        })
    }

    fn row_distances_gradient(
        x: FlexTensor,
        rows: FlexTensor,
        gradient: FlexTensor,
        indices: Vec<usize>,
    ) -> FlexTensor {
        let shape = x.shape();
        let dimensions = shape[1];
        let (x, rows, gradient) = (x.to_contiguous(), rows.to_contiguous(), gradient.to_contiguous());
        by_type!(x, T => {
            let (x, rows, gradient) = (x.storage::<T>(), rows.storage::<T>(), gradient.storage::<T>());
            tensor(distance::backward(x, rows, &indices, gradient, dimensions), shape)
        })
    }

    fn adam(
        value: FlexTensor,
        gradient: FlexTensor,
        first: FlexTensor,
        second: FlexTensor,
        step: AdamStep,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let gradient = gradient.to_contiguous();
        let (mut value, mut first, mut second) = (own(value), own(first), own(second));
        by_type!(gradient, T => {
            let moments = (first.storage_mut::<T>(), second.storage_mut::<T>());
            adam::update(step, value.storage_mut::<T>(), gradient.storage::<T>(), moments.0, moments.1);
        });
        (value, first, second)
    }

    fn square_sum(x: FlexTensor) -> FlexTensor {
        let x = x.to_contiguous();
        let sum = by_type!(x, T => adam::square_sum(x.storage::<T>()));
        tensor(vec![sum], Shape::from([1]))
    }
}
