//! The operations with gradients, on any backend that has them.

use super::Operations;
use crate::adam::AdamStep;
use crate::coupling::Coupling;
use crate::permutation;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Backend, TensorMetadata};

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
