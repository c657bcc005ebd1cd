//! The operations as an extension of Burn: on its CPU backend, and with gradients.

use crate::adam::{self, AdamStep};
use crate::convolution::{self, Geometry};
use crate::coupling::{self, Coupling};
use crate::dense;
use crate::distance;
use crate::part;
use crate::permutation;
use crate::real::Real;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::{Flex, FlexTensor};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Backend, TensorMetadata, backend_extension};
use burn::tensor::{DType, Shape, TensorData};

/// What the CPU backend gains.
#[backend_extension(Flex, Autodiff)]
pub(crate) trait Operations: Backend {
    fn convolve(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        stride: usize,
        padding: usize,
    ) -> FloatTensor<Self>;

    fn convolve_input_gradient(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        stride: usize,
        padding: usize,
    ) -> FloatTensor<Self>;

    fn convolve_weight_gradient(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        stride: usize,
        padding: usize,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    fn dense(x: FloatTensor<Self>, weight: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self>;

    fn dense_input_gradient(weight: FloatTensor<Self>, gradient: FloatTensor<Self>) -> FloatTensor<Self>;

    fn dense_weight_gradient(
        x: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    fn couple(x: FloatTensor<Self>, raw: FloatTensor<Self>, coupling: Coupling) -> FloatTensor<Self>;

    fn couple_gradient(
        x: FloatTensor<Self>,
        raw: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        coupling: Coupling,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    fn part(x: FloatTensor<Self>, first: usize, count: usize) -> FloatTensor<Self>;

    fn part_gradient(gradient: FloatTensor<Self>, first: usize, channels: usize) -> FloatTensor<Self>;

    fn permute(x: FloatTensor<Self>, order: Vec<usize>) -> FloatTensor<Self>;

    fn row_distances(x: FloatTensor<Self>, rows: FloatTensor<Self>, indices: Vec<usize>)
    -> FloatTensor<Self>;

    fn row_distances_gradient(
        x: FloatTensor<Self>,
        rows: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        indices: Vec<usize>,
    ) -> FloatTensor<Self>;

    fn adam(
        value: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        step: AdamStep,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    fn square_sum(x: FloatTensor<Self>) -> FloatTensor<Self>;
}

fn tensor<T: Real>(values: Vec<T>, shape: Shape) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
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
    ) -> (FlexTensor, FlexTensor) {
        let geometry = geometry(&x.shape(), &weight.shape(), stride, padding);
        let (x, gradient) = (x.to_contiguous(), gradient.to_contiguous());
        by_type!(x, T => {
            let (x, gradient) = (x.storage::<T>(), gradient.storage::<T>());
            let weights = convolution::weight_gradient(geometry, x, gradient);
            let bias = convolution::bias_gradient(geometry, gradient);
            (tensor(weights, weight.shape()), tensor(bias, Shape::from([geometry.outputs])))
        })
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
        // Contiguous copies are made only of what is not so already; values that nobody else holds are updated in place.
        let own = |tensor: FlexTensor| if tensor.is_contiguous() { tensor } else { tensor.to_contiguous() };
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

#[derive(Debug)]
struct Convolve;

impl<B: Operations> Backward<B, 3> for Convolve {
    type State = (FloatTensor<B>, FloatTensor<B>, usize, usize);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [x_node, weight_node, bias_node] = ops.parents;
        let gradient = grads.consume::<B>(&ops.node);
        let (x, weight, stride, padding) = ops.state;
        if let Some(node) = x_node {
            let gradient =
                B::convolve_input_gradient(x.clone(), weight.clone(), gradient.clone(), stride, padding);
            grads.register::<B>(node.id, gradient);
        }
        if weight_node.is_some() || bias_node.is_some() {
            let (weights, bias) = B::convolve_weight_gradient(x, weight, gradient, stride, padding);
            weight_node.into_iter().for_each(|node| grads.register::<B>(node.id, weights.clone()));
            bias_node.into_iter().for_each(|node| grads.register::<B>(node.id, bias.clone()));
        }
    }
}

#[derive(Debug)]
struct Dense;

impl<B: Operations> Backward<B, 3> for Dense {
    type State = (FloatTensor<B>, FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [x_node, weight_node, bias_node] = ops.parents;
        let gradient = grads.consume::<B>(&ops.node);
        let (x, weight) = ops.state;
        if let Some(node) = x_node {
            grads.register::<B>(node.id, B::dense_input_gradient(weight, gradient.clone()));
        }
        if weight_node.is_some() || bias_node.is_some() {
            let (weights, bias) = B::dense_weight_gradient(x, gradient);
            weight_node.into_iter().for_each(|node| grads.register::<B>(node.id, weights.clone()));
            bias_node.into_iter().for_each(|node| grads.register::<B>(node.id, bias.clone()));
        }
    }
}

#[derive(Debug)]
struct Couple;

impl<B: Operations> Backward<B, 2> for Couple {
    type State = (FloatTensor<B>, FloatTensor<B>, Coupling);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gradient = grads.consume::<B>(&ops.node);
        let (x, raw, coupling) = ops.state;
        let (dx, draw) = B::couple_gradient(x, raw, gradient, coupling);
        let [x_node, raw_node] = ops.parents;
        x_node.into_iter().for_each(|node| grads.register::<B>(node.id, dx.clone()));
        raw_node.into_iter().for_each(|node| grads.register::<B>(node.id, draw.clone()));
    }
}

#[derive(Debug)]
struct Part;

impl<B: Operations> Backward<B, 1> for Part {
    type State = (usize, usize);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gradient = grads.consume::<B>(&ops.node);
        let [node] = ops.parents;
        let (first, channels) = ops.state;
        if let Some(node) = node {
            grads.register::<B>(node.id, B::part_gradient(gradient, first, channels));
        }
    }
}

#[derive(Debug)]
struct Permute;

impl<B: Operations> Backward<B, 1> for Permute {
    type State = Vec<usize>;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gradient = grads.consume::<B>(&ops.node);
        let [node] = ops.parents;
        if let Some(node) = node {
            grads.register::<B>(node.id, B::permute(gradient, permutation::inverse(&ops.state)));
        }
    }
}

#[derive(Debug)]
struct RowDistances;

impl<B: Operations> Backward<B, 1> for RowDistances {
    type State = (FloatTensor<B>, FloatTensor<B>, Vec<usize>);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gradient = grads.consume::<B>(&ops.node);
        let (x, rows, indices) = ops.state;
        let [node] = ops.parents;
        if let Some(node) = node {
            grads.register::<B>(node.id, B::row_distances_gradient(x, rows, gradient, indices));
        }
    }
}

/// The result of an operation, in the graph if anything that it was made of is. A macro: the type of nodes has no public name.
macro_rules! tracked {
    ($operation:expr, $nodes:expr, $state:expr, $out:expr) => {
        match $operation.prepare::<C>($nodes).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish($state, $out),
            OpsKind::UnTracked(prepared) => prepared.finish($out),
        }
    };
}

impl<B: Operations, C: CheckpointStrategy> Operations for Autodiff<B, C> {
    fn convolve(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        stride: usize,
        padding: usize,
    ) -> FloatTensor<Self> {
        let nodes = [x.node(), weight.node(), bias.node()];
        let (x, weight) = (x.into_primitive(), weight.into_primitive());
        let out = B::convolve(x.clone(), weight.clone(), bias.into_primitive(), stride, padding);
        tracked!(Convolve, nodes, (x, weight, stride, padding), out)
    }

    // Gradients of gradients are not needed by any method: the gradients below are constants to the graph.

    fn convolve_input_gradient(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        stride: usize,
        padding: usize,
    ) -> FloatTensor<Self> {
        let (x, weight) = (x.into_primitive(), weight.into_primitive());
        constant(B::convolve_input_gradient(x, weight, gradient.into_primitive(), stride, padding))
    }

    fn convolve_weight_gradient(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        stride: usize,
        padding: usize,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let (x, weight) = (x.into_primitive(), weight.into_primitive());
        let (weights, bias) =
            B::convolve_weight_gradient(x, weight, gradient.into_primitive(), stride, padding);
        (constant(weights), constant(bias))
    }

    fn dense(x: FloatTensor<Self>, weight: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self> {
        let nodes = [x.node(), weight.node(), bias.node()];
        let (x, weight) = (x.into_primitive(), weight.into_primitive());
        let out = B::dense(x.clone(), weight.clone(), bias.into_primitive());
        tracked!(Dense, nodes, (x, weight), out)
    }

    fn dense_input_gradient(weight: FloatTensor<Self>, gradient: FloatTensor<Self>) -> FloatTensor<Self> {
        constant(B::dense_input_gradient(weight.into_primitive(), gradient.into_primitive()))
    }

    fn dense_weight_gradient(
        x: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let (weights, bias) = B::dense_weight_gradient(x.into_primitive(), gradient.into_primitive());
        (constant(weights), constant(bias))
    }

    fn couple(x: FloatTensor<Self>, raw: FloatTensor<Self>, coupling: Coupling) -> FloatTensor<Self> {
        let nodes = [x.node(), raw.node()];
        let (x, raw) = (x.into_primitive(), raw.into_primitive());
        let out = B::couple(x.clone(), raw.clone(), coupling);
        tracked!(Couple, nodes, (x, raw, coupling), out)
    }

    fn couple_gradient(
        x: FloatTensor<Self>,
        raw: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        coupling: Coupling,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let gradient = gradient.into_primitive();
        let (dx, draw) = B::couple_gradient(x.into_primitive(), raw.into_primitive(), gradient, coupling);
        (constant(dx), constant(draw))
    }

    fn part(x: FloatTensor<Self>, first: usize, count: usize) -> FloatTensor<Self> {
        let nodes = [x.node()];
        let x = x.into_primitive();
        let channels = x.shape()[1];
        let out = B::part(x, first, count);
        tracked!(Part, nodes, (first, channels), out)
    }

    fn part_gradient(gradient: FloatTensor<Self>, first: usize, channels: usize) -> FloatTensor<Self> {
        constant(B::part_gradient(gradient.into_primitive(), first, channels))
    }

    fn permute(x: FloatTensor<Self>, order: Vec<usize>) -> FloatTensor<Self> {
        let nodes = [x.node()];
        let out = B::permute(x.into_primitive(), order.clone());
        tracked!(Permute, nodes, order, out)
    }

    fn row_distances(
        x: FloatTensor<Self>,
        rows: FloatTensor<Self>,
        indices: Vec<usize>,
    ) -> FloatTensor<Self> {
        let nodes = [x.node()];
        let (x, rows) = (x.into_primitive(), rows.into_primitive());
        let out = B::row_distances(x.clone(), rows.clone(), indices.clone());
        tracked!(RowDistances, nodes, (x, rows, indices), out)
    }

    fn row_distances_gradient(
        x: FloatTensor<Self>,
        rows: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        indices: Vec<usize>,
    ) -> FloatTensor<Self> {
        let (x, rows) = (x.into_primitive(), rows.into_primitive());
        constant(B::row_distances_gradient(x, rows, gradient.into_primitive(), indices))
    }

    fn adam(
        value: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        step: AdamStep,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let (value, gradient) = (value.into_primitive(), gradient.into_primitive());
        let out = B::adam(value, gradient, first.into_primitive(), second.into_primitive(), step);
        (constant(out.0), constant(out.1), constant(out.2))
    }

    fn square_sum(x: FloatTensor<Self>) -> FloatTensor<Self> {
        constant(B::square_sum(x.into_primitive()))
    }
}

/// A tensor that the graph takes as given.
fn constant<B: Backend>(tensor: FloatTensor<B>) -> FloatTensor<Autodiff<B>> {
    Autodiff::<B>::from_inner(tensor)
}
