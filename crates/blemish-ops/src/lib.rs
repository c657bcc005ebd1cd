//! Differentiable operations that Burn's CPU backend lacks or has slow, as an extension of that backend.
//!
//! | operation | instead of |
//! |---|---|
//! | [`convolve`], [`convolve_transposed`] | convolution through a column buffer of every image |
//! | [`batch_norm_relu`] | twenty passes over the maps of each normalisation and ReLU |
//! | [`group_norm_silu`] | a dozen passes over the maps of each normalisation and SiLU |
//! | [`max_pairs`] | indices of eight bytes for every value |
//! | [`map_linearly`] | products with matrices that are nearly all zero |
//! | [`dense`] | products of copies that were transposed first |
//! | [`attend`] | transposed copies of every head, and a dozen passes over the weights of all pairs of tokens |
//! | [`channels`] | slices that are copied value by value |
//! | [`couple`] | a dozen pointwise operations and as many buffers in each coupling block |
//! | [`permute_channels`] | gathers and, for the gradient, scatters |
//! | [`row_distances`] | gathered copies of the rows and of the differences from them |
//! | [`adam_step`], [`square_sum`] | passes over the weights and their moments for each term of an update |
//!
//! Each exists once as a kernel on slices with a gradient written by hand, for single and double precision. On other devices the same
//! functions are made of Burn's own operations, to which the tests compare the kernels.

mod adam;
mod attention;
mod batch_norm;
mod convolution;
mod coupling;
mod dense;
mod direct;
mod distance;
mod extension;
mod geometry;
mod group_norm;
mod linear_map;
mod moments;
mod part;
mod permutation;
mod pool;
mod precision;
mod real;
#[cfg(test)]
mod tests;
mod transposed;
mod winograd;

pub use adam::{AdamKind, AdamStep};
pub use coupling::{Clamp, Coupling};
pub use linear_map::LinearMap;
pub use precision::with_products_in;

use burn::backend::Dispatch;
use burn::tensor::module::{batch_norm_train, conv2d, max_pool2d};
use burn::tensor::ops::{ConvOptions, MaxPoolOptions};
use burn::tensor::{DType, Device, Int, Tensor, TensorData, activation};
use extension::Operations;
use geometry::Geometry;

/// Whether the kernels here serve a tensor.
fn is_ours<const D: usize>(tensor: &Tensor<D>) -> bool {
    matches!(tensor.dtype(), DType::F32 | DType::F64) && tensor.device() == Device::flex()
}

/// Convolution with zero padding: x batch x inputs x height x width, `weight` outputs x inputs x k x k, `bias` outputs.
///
/// # Panics
/// If the shapes do not fit each other or the kernel does not fit into the padded map.
pub fn convolve(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Tensor<1>,
    stride: usize,
    padding: usize,
) -> Tensor<4> {
    let ([batch, inputs, height, width], [outputs, channels, kernel, columns]) = (x.dims(), weight.dims());
    assert!(
        inputs == channels && kernel == columns && bias.dims() == [outputs],
        "a convolution of {channels} channels meets a map of {inputs}"
    );
    let geometry = Geometry { batch, inputs, outputs, height, width, kernel, stride, padding };
    assert!(geometry.is_valid(), "the kernel does not fit: {geometry:?}");
    let options = ConvOptions::new([stride; 2], [padding; 2], [1; 2], 1);
    if let Some(dtype) = precision::of_products() {
        let own = x.dtype();
        let products = conv2d(x.cast(dtype), weight.cast(dtype), None, options);
        return products.cast(own) + bias.reshape([1, outputs, 1, 1]);
    }
    if !is_ours(&x) {
        return conv2d(x, weight, Some(bias), options);
    }
    let (x, weight, bias) = (x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch());
    Tensor::from_dispatch(Dispatch::convolve(x, weight, bias, stride, padding))
}

/// The adjoint of a convolution, to maps of a size: x is batch x inputs x height x width, `weight` inputs x outputs x k x k, `bias` outputs.
///
/// y(o, s i + u - p, s j + v - p) is b(o) + the sum over all c, i, j, u, v that lead there of W(c, o, u, v) x(c, i, j), with s the stride
/// and p the padding. A convolution of a map of that size must give one of x's.
///
/// # Panics
/// If the shapes do not fit each other.
pub fn convolve_transposed(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Tensor<1>,
    size: [usize; 2],
    stride: usize,
    padding: usize,
) -> Tensor<4> {
    let ([batch, outputs, rows, columns], [channels, inputs, kernel, _]) = (x.dims(), weight.dims());
    assert!(channels == outputs && bias.dims() == [inputs], "a layer of {channels} channels meets {outputs}");
    let [height, width] = size;
    let back = Geometry { batch, inputs, outputs, height, width, kernel, stride, padding };
    let fits = back.is_valid() && back.output_size() == (rows, columns);
    assert!(fits, "a transposed convolution of {rows} x {columns} does not give {height} x {width}");
    if precision::of_products().is_some() || !is_ours(&x) {
        return transposed::composed(x, weight, bias, size, stride, padding);
    }
    let (x, weight, bias) = (x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch());
    Tensor::from_dispatch(Dispatch::convolve_transposed(x, weight, bias, size, stride, padding))
}

/// Batch normalisation by the batch itself, then a ReLU of some slope for negative values (0 for the plain one, 1 for none).
///
/// x is batch x channels x height x width; z = gain (x - m) / sqrt(v + epsilon) + shift, with m and v mean and biased variance of a channel
/// over batch and positions. Returns the result, m and v; gradients flow through the result alone.
///
/// # Panics
/// If the shapes do not fit each other.
pub fn batch_norm_relu(
    x: Tensor<4>,
    gain: Tensor<1>,
    shift: Tensor<1>,
    epsilon: f64,
    slope: f64,
) -> (Tensor<4>, Tensor<1>, Tensor<1>) {
    let channels = x.dims()[1];
    assert!(
        gain.dims() == [channels] && shift.dims() == [channels],
        "a norm of other channels than {channels}"
    );
    if !is_ours(&x) || x.dims().contains(&0) {
        let found = batch_norm_train(x, gain, shift, epsilon);
        let y = match slope {
            0.0 => activation::relu(found.output),
            1.0 => found.output,
            _ => activation::leaky_relu(found.output, slope),
        };
        return (y, found.mean.detach(), found.variance.detach());
    }
    let (x, gain, shift) = (x.into_dispatch(), gain.into_dispatch(), shift.into_dispatch());
    let (y, mean, variance) = Dispatch::norm(x, gain, shift, [epsilon, slope]);
    (Tensor::from_dispatch(y), Tensor::from_dispatch(mean), Tensor::from_dispatch(variance))
}

/// Group normalisation, then SiLU: x is batch x channels x height x width, `groups` groups of neighbouring channels.
///
/// y = z / (1 + exp(-z)), z = gain (x - m) / sqrt(v + epsilon) + shift, with m and v mean and biased variance of a group over its channels
/// and all positions of an image.
///
/// # Panics
/// If the shapes do not fit each other or the groups do not share the channels evenly.
pub fn group_norm_silu(
    x: Tensor<4>,
    gain: Tensor<1>,
    shift: Tensor<1>,
    groups: usize,
    epsilon: f64,
) -> Tensor<4> {
    let shape @ [batch, channels, height, width] = x.dims();
    assert!(
        gain.dims() == [channels]
            && shift.dims() == [channels]
            && groups > 0
            && channels.is_multiple_of(groups),
        "a norm of {groups} groups and other channels than {channels}"
    );
    if !is_ours(&x) || x.dims().contains(&0) {
        let rows = x.reshape([batch * groups, channels / groups * height * width]);
        let centred = rows.clone() - rows.mean_dim(1);
        let variance = (centred.clone() * centred.clone()).mean_dim(1);
        let x = (centred / (variance + epsilon).sqrt()).reshape(shape);
        return activation::silu(x * gain.reshape([1, channels, 1, 1]) + shift.reshape([1, channels, 1, 1]));
    }
    let (x, gain, shift) = (x.into_dispatch(), gain.into_dispatch(), shift.into_dispatch());
    Tensor::from_dispatch(Dispatch::group_norm(x, gain, shift, groups, epsilon))
}

/// The largest of each 2 x 2 values of x (batch x channels x height x width); a last odd row or column is left out. The gradient goes to the
/// first of equals.
///
/// # Panics
/// If a side is below 2.
pub fn max_pairs(x: Tensor<4>) -> Tensor<4> {
    let [_, _, height, width] = x.dims();
    assert!(height > 1 && width > 1, "a window of 2 x 2 does not fit into {height} x {width}");
    if !is_ours(&x) || x.dims().contains(&0) {
        return max_pool2d(x, MaxPoolOptions::new([2; 2]).with_stride([2; 2]));
    }
    Tensor::from_dispatch(Dispatch::max_pairs(x.into_dispatch()))
}

/// y(n, c) = A x(n, c) B^T for x batch x channels x height x width: A maps the rows, B the columns. In the tensors' own precision.
///
/// # Panics
/// If the maps are of other numbers of rows and columns.
pub fn map_linearly(x: Tensor<4>, rows: &LinearMap, columns: &LinearMap) -> Tensor<4> {
    let [_, _, height, width] = x.dims();
    let fits = height == rows.inputs() && width == columns.inputs();
    assert!(fits, "a map of {} x {} values meets {height} x {width}", rows.inputs(), columns.inputs());
    if !is_ours(&x) || x.dims().contains(&0) {
        let along = |x: Tensor<4>, map: &LinearMap| {
            let [batch, channels, height, width] = x.dims();
            let data = TensorData::new(map.matrix(), [width, map.outputs()]).convert_dtype(x.dtype());
            let matrix = Tensor::<2>::from_data(data, (&x.device(), x.dtype()));
            let y = x.reshape([batch * channels * height, width]).matmul(matrix);
            y.reshape([batch, channels, height, map.outputs()])
        };
        return along(along(x, columns).swap_dims(2, 3), rows).swap_dims(2, 3);
    }
    Tensor::from_dispatch(Dispatch::map_linearly(x.into_dispatch(), rows.clone(), columns.clone()))
}

/// A linear layer, y = x W + b: x count x inputs, `weight` inputs x outputs, `bias` outputs; count x outputs.
///
/// # Panics
/// If the shapes do not fit each other.
pub fn dense(x: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<2> {
    let ([_, inputs], [rows, outputs]) = (x.dims(), weight.dims());
    assert!(inputs == rows && bias.dims() == [outputs], "a layer of {rows} inputs meets rows of {inputs}");
    if let Some(dtype) = precision::of_products() {
        let own = x.dtype();
        return x.cast(dtype).matmul(weight.cast(dtype)).cast(own) + bias.unsqueeze();
    }
    if !is_ours(&x) {
        return x.matmul(weight) + bias.unsqueeze();
    }
    Tensor::from_dispatch(Dispatch::dense(x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch()))
}

/// Attention of several heads: softmax(q k^T / sqrt(d) + mask) v with d features a head, head h the features h d to (h + 1) d.
///
/// q is batch x n x features, k and v batch x m x features. `mask` is n x m, the same for every image and head; minus infinity hides a token,
/// but a row must not hide all. The softmax's weights are multiplied by `kept`, batch x heads x n x m, which drops some while a network learns.
/// Gradients flow to q, k and v.
///
/// # Panics
/// If the shapes do not fit each other, or the heads do not share the features evenly.
pub fn attend(
    inputs: [Tensor<3>; 3],
    heads: usize,
    mask: Option<Tensor<2>>,
    kept: Option<Tensor<4>>,
) -> Tensor<3> {
    let [[batch, n, features], [_, m, _], _] = inputs.each_ref().map(Tensor::dims);
    let fits = inputs[1].dims() == [batch, m, features] && inputs[2].dims() == [batch, m, features];
    assert!(fits, "{n} queries meet {m} keys and values of another shape");
    assert!(heads > 0 && features.is_multiple_of(heads), "{heads} heads cannot share {features} features");
    assert!(mask.as_ref().is_none_or(|mask| mask.dims() == [n, m]), "a mask for other than {n} x {m} tokens");
    let drops = kept.as_ref().is_none_or(|kept| kept.dims() == [batch, heads, n, m]);
    assert!(drops, "factors for other weights than {batch} x {heads} x {n} x {m}");
    if !is_ours(&inputs[0]) || batch * n * m == 0 {
        return attention::composed(inputs, heads, mask, kept);
    }
    let target = (&inputs[0].device(), inputs[0].dtype());
    let mask = mask.unwrap_or_else(|| Tensor::zeros([0, 0], target)).into_dispatch();
    let kept = kept.unwrap_or_else(|| Tensor::zeros([0; 4], target)).into_dispatch();
    let [q, k, v] = inputs.map(Tensor::into_dispatch);
    Tensor::from_dispatch(Dispatch::attend(q, k, v, mask, kept, heads).0)
}

/// The channels `first` to `first + count` of x (batch x channels x height x width).
///
/// # Panics
/// If x has fewer channels.
pub fn channels(x: Tensor<4>, first: usize, count: usize) -> Tensor<4> {
    let all = x.dims()[1];
    assert!(first + count <= all, "channels {first} to {} of {all}", first + count);
    if !is_ours(&x) {
        return x.narrow(1, first, count);
    }
    Tensor::from_dispatch(Dispatch::part(x.into_dispatch(), first, count))
}

/// The pointwise half of a coupling block. x is batch x n x height x width, `raw` batch x 2n x height x width: r, then t.
///
/// Returns the new values and the log-determinant at every position (batch x 1 x height x width): the sum of s over the channels.
///
/// # Panics
/// If the shapes do not fit each other.
pub fn couple(x: Tensor<4>, raw: Tensor<4>, coupling: Coupling) -> (Tensor<4>, Tensor<4>) {
    let ([batch, count, height, width], dims) = (x.dims(), raw.dims());
    assert_eq!(dims, [batch, 2 * count, height, width], "a coupling's subnet gives another shape");
    if !is_ours(&x) {
        let (scale, shift) = scale_and_shift(raw, coupling);
        let log_det = scale.clone().sum_dim(1);
        let y = if coupling.shift_first { (x + shift) * scale.exp() } else { x * scale.exp() + shift };
        return (y, log_det);
    }
    let out = Dispatch::couple(x.into_dispatch(), raw.into_dispatch(), coupling);
    let out = Tensor::<4>::from_dispatch(out);
    (channels(out.clone(), 0, count), channels(out, count, 1))
}

/// s and gain * t of a raw output: what [`couple`] scales and shifts by, and its inverse undoes.
pub fn scale_and_shift(raw: Tensor<4>, coupling: Coupling) -> (Tensor<4>, Tensor<4>) {
    let channels = raw.dims()[1] / 2;
    let r = raw.clone().narrow(1, 0, channels);
    let shift = raw.narrow(1, channels, channels) * coupling.gain;
    let scale = match coupling.clamp {
        Clamp::Tanh { limit, rate } => (r * rate).tanh() * limit,
        Clamp::Atan { limit, rate } => (r * rate).atan() * limit,
        Clamp::Sigmoid { floor } => (activation::sigmoid(r + 2.0) * (1.0 - floor) + floor).log(),
        Clamp::None => r.zeros_like(),
    };
    (scale, shift)
}

/// Channel c of the result is channel `order[c]` of x (batch x channels x height x width).
///
/// # Panics
/// If `order` is not a permutation of the channels.
pub fn permute_channels(x: Tensor<4>, order: &[usize]) -> Tensor<4> {
    let mut seen = vec![false; order.len()];
    order.iter().for_each(|&channel| seen[channel] = true);
    assert!(order.len() == x.dims()[1] && seen.iter().all(|&seen| seen), "not a permutation of the channels");
    if !is_ours(&x) {
        let order: Vec<i32> = order.iter().map(|&channel| channel as i32).collect();
        let indices = Tensor::<1, Int>::from_data(TensorData::from(&order[..]), &x.device());
        return x.select(1, indices);
    }
    Tensor::from_dispatch(Dispatch::permute(x.into_dispatch(), order.to_vec()))
}

/// The order that undoes another.
pub fn inverse_order(order: &[usize]) -> Vec<usize> {
    permutation::inverse(order)
}

/// Squared Euclidean distances of every row of x (n x d) to k of the given rows (m x d): n x k, exactly, as sums of squared
/// differences. `indices` are n x k row numbers. The rows are taken as given: gradients flow to x alone, 2 (x - row) a distance.
///
/// # Panics
/// If the shapes do not fit each other or an index is not below m.
pub fn row_distances(x: Tensor<2>, rows: Tensor<2>, indices: &[usize]) -> Tensor<2> {
    let ([count, dimensions], [all, length]) = (x.dims(), rows.dims());
    let fits = dimensions == length && count > 0 && indices.len().is_multiple_of(count);
    assert!(fits, "{} indices and rows of {length} values meet {count} of {dimensions}", indices.len());
    assert!(indices.iter().all(|&index| index < all), "a row number is not below {all}");
    if !is_ours(&x) {
        return distance::composed(x, rows, indices);
    }
    Tensor::from_dispatch(Dispatch::row_distances(x.into_dispatch(), rows.into_dispatch(), indices.to_vec()))
}

/// One update of a tensor: value, gradient, first and second moment to value and moments. Nothing of it enters a graph.
///
/// # Panics
/// If the lengths differ; the second moment's is [`AdamKind::second_moments`] times the others'.
pub fn adam_step(tensors: [Tensor<1>; 4], step: AdamStep) -> [Tensor<1>; 3] {
    let [length] = tensors[0].dims();
    let lengths = tensors.each_ref().map(|tensor| tensor.dims()[0]);
    assert_eq!(
        lengths,
        [length, length, length, step.kind.second_moments() * length],
        "moments of another tensor"
    );
    if !is_ours(&tensors[0]) {
        return adam::composed(tensors, step);
    }
    let [value, gradient, first, second] = tensors.map(Tensor::into_dispatch);
    let (value, first, second) = Dispatch::adam(value, gradient, first, second, step);
    [value, first, second].map(Tensor::from_dispatch)
}

/// Sum of the squares of a tensor's values, one value; in double precision on a CPU.
pub fn square_sum(x: Tensor<1>) -> Tensor<1> {
    if !is_ours(&x) {
        return (x.clone() * x).sum();
    }
    Tensor::from_dispatch(Dispatch::square_sum(x.into_dispatch()))
}

/// The values of tensors of one value each, fetched from a device together: every fetch waits for all that was asked of it.
pub fn scalars(tensors: Vec<Tensor<1>>) -> Vec<f64> {
    if tensors.iter().any(|tensor| tensor.device() == Device::flex()) {
        return tensors.into_iter().map(|tensor| tensor.into_scalar()).collect();
    }
    Tensor::cat(tensors, 0).into_data().iter().collect()
}
