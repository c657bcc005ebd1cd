//! The operations as an extension of Burn: on its CPU backend, and with gradients.

mod cpu;
mod gradients;

use crate::adam::AdamStep;
use crate::coupling::Coupling;
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
