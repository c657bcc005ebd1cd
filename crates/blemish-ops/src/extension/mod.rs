//! The operations as an extension of Burn: on its CPU backend, and with gradients.

mod cpu;
mod gradients;

use crate::adam::AdamStep;
use crate::coupling::Coupling;
use crate::linear_map::LinearMap;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, backend_extension};

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
    ) -> FloatTensor<Self>;

    /// Sums over images and positions.
    fn channel_sums(x: FloatTensor<Self>) -> FloatTensor<Self>;

    /// To maps of a size, with `weight` inputs x outputs x k x k.
    fn convolve_transposed(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        size: [usize; 2],
        stride: usize,
        padding: usize,
    ) -> FloatTensor<Self>;

    /// The result, and mean and variance.
    fn norm(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        constants: [f64; 2],
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// With respect to x, gain and shift.
    fn norm_gradient(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        constants: [f64; 2],
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// Group normalisation and SiLU, in so many groups and with that constant.
    fn group_norm(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        groups: usize,
        epsilon: f64,
    ) -> FloatTensor<Self>;

    /// With respect to x, gain and shift.
    fn group_norm_gradient(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        groups: usize,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    fn max_pairs(x: FloatTensor<Self>) -> FloatTensor<Self>;

    fn max_pairs_gradient(x: FloatTensor<Self>, gradient: FloatTensor<Self>) -> FloatTensor<Self>;

    fn map_linearly(x: FloatTensor<Self>, rows: LinearMap, columns: LinearMap) -> FloatTensor<Self>;

    fn dense(x: FloatTensor<Self>, weight: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self>;

    fn dense_input_gradient(weight: FloatTensor<Self>, gradient: FloatTensor<Self>) -> FloatTensor<Self>;

    fn dense_weight_gradient(
        x: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// The result, and the weights of the softmax; `mask` and `kept` may be empty.
    fn attend(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        mask: FloatTensor<Self>,
        kept: FloatTensor<Self>,
        heads: usize,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// With respect to q, k and v.
    fn attend_gradient(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        kept: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

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
