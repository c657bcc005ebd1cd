//! The operations with gradients, on any backend that has them.

use super::Operations;
use crate::adam::AdamStep;
use crate::coupling::Coupling;
use crate::linear_map::LinearMap;
use crate::permutation;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Backend, TensorMetadata};
use burn::tensor::Shape;

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
        if let Some(node) = bias_node {
            grads.register::<B>(node.id, B::channel_sums(gradient.clone()));
        }
        if let Some(node) = weight_node {
            grads.register::<B>(node.id, B::convolve_weight_gradient(x, weight, gradient, stride, padding));
        }
    }
}

#[derive(Debug)]
struct ConvolveTransposed;

impl<B: Operations> Backward<B, 3> for ConvolveTransposed {
    type State = (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>, usize, usize);

    // The adjoint of a convolution: what is its output there is the input here.
    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [x_node, weight_node, bias_node] = ops.parents;
        let gradient = grads.consume::<B>(&ops.node);
        let (x, weight, none, stride, padding) = ops.state;
        if let Some(node) = x_node {
            let gradient = B::convolve(gradient.clone(), weight.clone(), none, stride, padding);
            grads.register::<B>(node.id, gradient);
        }
        if let Some(node) = bias_node {
            grads.register::<B>(node.id, B::channel_sums(gradient.clone()));
        }
        if let Some(node) = weight_node {
            grads.register::<B>(node.id, B::convolve_weight_gradient(gradient, weight, x, stride, padding));
        }
    }
}

#[derive(Debug)]
struct Norm;

impl<B: Operations> Backward<B, 3> for Norm {
    type State = (FloatTensor<B>, [FloatTensor<B>; 4], [f64; 2]);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gradient = grads.consume::<B>(&ops.node);
        let (x, line, constants) = ops.state;
        let [gain, shift, mean, variance] = line;
        let (x, gain, shift) = B::norm_gradient(x, gain, shift, mean, variance, gradient, constants);
        for (node, gradient) in ops.parents.into_iter().zip([x, gain, shift]) {
            node.into_iter().for_each(|node| grads.register::<B>(node.id, gradient.clone()));
        }
    }
}

#[derive(Debug)]
struct GroupNorm;

impl<B: Operations> Backward<B, 3> for GroupNorm {
    type State = ([FloatTensor<B>; 3], usize, f64);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gradient = grads.consume::<B>(&ops.node);
        let ([x, gain, shift], groups, epsilon) = ops.state;
        let (x, gain, shift) = B::group_norm_gradient(x, gain, shift, gradient, groups, epsilon);
        for (node, gradient) in ops.parents.into_iter().zip([x, gain, shift]) {
            node.into_iter().for_each(|node| grads.register::<B>(node.id, gradient.clone()));
        }
    }
}

#[derive(Debug)]
struct MaxPairs;

impl<B: Operations> Backward<B, 1> for MaxPairs {
    type State = FloatTensor<B>;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gradient = grads.consume::<B>(&ops.node);
        let [node] = ops.parents;
        if let Some(node) = node {
            grads.register::<B>(node.id, B::max_pairs_gradient(ops.state, gradient));
        }
    }
}

#[derive(Debug)]
struct MapLinearly;

impl<B: Operations> Backward<B, 1> for MapLinearly {
    type State = (LinearMap, LinearMap);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gradient = grads.consume::<B>(&ops.node);
        let [node] = ops.parents;
        let (rows, columns) = ops.state;
        if let Some(node) = node {
            grads.register::<B>(node.id, B::map_linearly(gradient, rows.transposed(), columns.transposed()));
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
struct Attend;

impl<B: Operations> Backward<B, 3> for Attend {
    type State = ([FloatTensor<B>; 3], FloatTensor<B>, FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gradient = grads.consume::<B>(&ops.node);
        let ([q, k, v], weights, kept) = ops.state;
        let (q, k, v) = B::attend_gradient(q, k, v, weights, kept, gradient);
        for (node, gradient) in ops.parents.into_iter().zip([q, k, v]) {
            node.into_iter().for_each(|node| grads.register::<B>(node.id, gradient.clone()));
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
    ) -> FloatTensor<Self> {
        let (x, weight) = (x.into_primitive(), weight.into_primitive());
        constant(B::convolve_weight_gradient(x, weight, gradient.into_primitive(), stride, padding))
    }

    fn channel_sums(x: FloatTensor<Self>) -> FloatTensor<Self> {
        constant(B::channel_sums(x.into_primitive()))
    }

    fn convolve_transposed(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        size: [usize; 2],
        stride: usize,
        padding: usize,
    ) -> FloatTensor<Self> {
        let nodes = [x.node(), weight.node(), bias.node()];
        let (x, weight) = (x.into_primitive(), weight.into_primitive());
        let out =
            B::convolve_transposed(x.clone(), weight.clone(), bias.into_primitive(), size, stride, padding);
        let none = B::float_zeros(Shape::from([x.shape()[1]]), &x.device(), x.dtype().into());
        tracked!(ConvolveTransposed, nodes, (x, weight, none, stride, padding), out)
    }

    fn norm(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        constants: [f64; 2],
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let nodes = [x.node(), gain.node(), shift.node()];
        let (x, gain, shift) = (x.into_primitive(), gain.into_primitive(), shift.into_primitive());
        let (y, mean, variance) = B::norm(x.clone(), gain.clone(), shift.clone(), constants);
        let line = [gain, shift, mean.clone(), variance.clone()];
        (tracked!(Norm, nodes, (x, line, constants), y), constant(mean), constant(variance))
    }

    fn norm_gradient(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        constants: [f64; 2],
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let inner = [x, gain, shift, mean, variance, gradient].map(|tensor| tensor.into_primitive());
        let [x, gain, shift, mean, variance, gradient] = inner;
        let made = B::norm_gradient(x, gain, shift, mean, variance, gradient, constants);
        (constant(made.0), constant(made.1), constant(made.2))
    }

    fn group_norm(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        groups: usize,
        epsilon: f64,
    ) -> FloatTensor<Self> {
        let nodes = [x.node(), gain.node(), shift.node()];
        let line = [x, gain, shift].map(|tensor| tensor.into_primitive());
        let [x, gain, shift] = line.clone();
        let out = B::group_norm(x, gain, shift, groups, epsilon);
        tracked!(GroupNorm, nodes, (line, groups, epsilon), out)
    }

    fn group_norm_gradient(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        groups: usize,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let [x, gain, shift, gradient] = [x, gain, shift, gradient].map(|tensor| tensor.into_primitive());
        let made = B::group_norm_gradient(x, gain, shift, gradient, groups, epsilon);
        (constant(made.0), constant(made.1), constant(made.2))
    }

    fn max_pairs(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let nodes = [x.node()];
        let x = x.into_primitive();
        let out = B::max_pairs(x.clone());
        tracked!(MaxPairs, nodes, x, out)
    }

    fn max_pairs_gradient(x: FloatTensor<Self>, gradient: FloatTensor<Self>) -> FloatTensor<Self> {
        constant(B::max_pairs_gradient(x.into_primitive(), gradient.into_primitive()))
    }

    fn map_linearly(x: FloatTensor<Self>, rows: LinearMap, columns: LinearMap) -> FloatTensor<Self> {
        let nodes = [x.node()];
        let out = B::map_linearly(x.into_primitive(), rows.clone(), columns.clone());
        tracked!(MapLinearly, nodes, (rows, columns), out)
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

    fn attend(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        mask: FloatTensor<Self>,
        kept: FloatTensor<Self>,
        heads: usize,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let nodes = [q.node(), k.node(), v.node()];
        let [q, k, v, mask, kept] = [q, k, v, mask, kept].map(|tensor| tensor.into_primitive());
        let (y, weights) = B::attend(q.clone(), k.clone(), v.clone(), mask, kept.clone(), heads);
        let state = ([q, k, v], weights.clone(), kept);
        (tracked!(Attend, nodes, state, y), constant(weights))
    }

    fn attend_gradient(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        kept: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let inner = [q, k, v, weights, kept, gradient].map(|tensor| tensor.into_primitive());
        let [q, k, v, weights, kept, gradient] = inner;
        let (q, k, v) = B::attend_gradient(q, k, v, weights, kept, gradient);
        (constant(q), constant(k), constant(v))
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
