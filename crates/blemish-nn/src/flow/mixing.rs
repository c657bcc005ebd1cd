//! Pieces that mix or reorder channels.

use crate::init::{Init, LowerUpper};
use blemish_ops::{convolve, inverse_order, permute_channels};
use burn::module::{Module, Param};
use burn::tensor::Tensor;

/// Channels in a fixed random order: channel c of z is channel `order[c]` of x.
#[derive(Module, Debug)]
pub struct Permutation {
    /// Kept in model files, not made anew from a seed.
    #[module(skip)]
    pub order: Vec<usize>,
}

impl Permutation {
    /// A random one.
    pub fn new(channels: usize, init: &mut Init) -> Self {
        Self { order: init.order(channels) }
    }

    /// z.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        permute_channels(x, &self.order)
    }

    /// x.
    pub fn inverse(&self, z: Tensor<4>) -> Tensor<4> {
        permute_channels(z, &inverse_order(&self.order))
    }
}

/// Channels times a matrix (outputs x inputs) at every position.
fn mix(x: Tensor<4>, matrix: Tensor<2>) -> Tensor<4> {
    let ([count, channels, height, width], [outputs, inputs]) = (x.dims(), matrix.dims());
    if height * width == 1 {
        let y = x.reshape([count, channels]).matmul(matrix.transpose());
        return y.reshape([count, outputs, 1, 1]);
    }
    let bias = Tensor::zeros([outputs], (&x.device(), x.dtype()));
    convolve(x, matrix.reshape([outputs, inputs, 1, 1]), bias, 1, 0)
}

/// z = R x with a fixed rotation R.
#[derive(Module, Debug)]
pub struct Rotation {
    /// R, channels x channels; not trained.
    pub matrix: Param<Tensor<2>>,
}

impl Rotation {
    /// A random one.
    pub fn new(channels: usize, init: &mut Init) -> Self {
        let values = init.rotation(channels).into_iter().map(|value| value as f32).collect();
        Self { matrix: init.of(values, [channels, channels]).set_require_grad(false) }
    }

    /// z.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        mix(x, self.matrix.val())
    }

    /// x.
    pub fn inverse(&self, z: Tensor<4>) -> Tensor<4> {
        mix(z, self.matrix.val().transpose())
    }
}

/// An invertible 1x1 convolution, W = P L (U + diag(sign exp(l))), that starts as a rotation.
///
/// P and the signs are fixed. The factors are learned, so the log-determinant is a sum and W stays invertible.
#[derive(Module, Debug)]
pub struct Mixing {
    /// Row i of P^-1 W is row `order[i]` of W.
    #[module(skip)]
    pub order: Vec<usize>,
    /// L below the diagonal; the rest is not used.
    pub lower: Param<Tensor<2>>,
    /// U above the diagonal; the rest is not used.
    pub upper: Param<Tensor<2>>,
    /// l.
    pub log_diagonal: Param<Tensor<1>>,
    /// Signs of the diagonal; not trained.
    pub sign: Param<Tensor<1>>,
    /// 1 below the diagonal; not trained.
    mask: Param<Tensor<2>>,
}

impl Mixing {
    /// Of a random rotation.
    pub fn new(channels: usize, init: &mut Init) -> Self {
        let matrix = init.rotation(channels);
        Self::of(&matrix, channels, init)
    }

    /// Of an invertible matrix, row-major.
    pub fn of(matrix: &[f64], channels: usize, init: &Init) -> Self {
        let LowerUpper { order, values, .. } = LowerUpper::new(matrix, channels);
        let pick = |keep: &dyn Fn(usize, usize) -> bool| {
            let value = |at: usize| if keep(at / channels, at % channels) { values[at] as f32 } else { 0.0 };
            (0..values.len()).map(value).collect::<Vec<f32>>()
        };
        let diagonal: Vec<f64> = (0..channels).map(|i| values[i * channels + i]).collect();
        let mask = (0..values.len()).map(|at| f32::from(at % channels < at / channels)).collect();
        let shape = [channels, channels];
        Self {
            order,
            lower: init.of(pick(&|row, column| column < row), shape),
            upper: init.of(pick(&|row, column| column > row), shape),
            log_diagonal: init.of(diagonal.iter().map(|d| d.abs().ln() as f32).collect(), [channels]),
            sign: init
                .of(diagonal.iter().map(|d| d.signum() as f32).collect(), [channels])
                .set_require_grad(false),
            mask: init.of(mask, shape).set_require_grad(false),
        }
    }

    /// W without its permutation: L (U + diag(sign exp(l))).
    fn factors(&self) -> Tensor<2> {
        let channels = self.order.len();
        let (mask, device) = (self.mask.val(), self.lower.val().device());
        let eye = Tensor::<2>::eye(channels, &device).cast(mask.dtype());
        let lower = self.lower.val() * mask.clone() + eye.clone();
        let diagonal = (self.sign.val() * self.log_diagonal.val().exp()).reshape([1, channels]);
        lower.matmul(self.upper.val() * mask.transpose() + eye * diagonal)
    }

    /// z and the log-determinant, 1 x 1 x 1 x 1.
    pub fn forward(&self, x: Tensor<4>) -> (Tensor<4>, Tensor<4>) {
        let z = permute_channels(mix(x, self.factors()), &inverse_order(&self.order));
        (z, self.log_diagonal.val().sum().reshape([1, 1, 1, 1]))
    }

    /// x, by two triangular solves at every position.
    pub fn inverse(&self, z: Tensor<4>) -> Tensor<4> {
        let channels = self.order.len();
        let (lower, upper) = (self.lower.val(), self.upper.val());
        let diagonal = self.sign.val() * self.log_diagonal.val().exp();
        let z = permute_channels(z, &self.order);
        let mut solved: Vec<Option<Tensor<4>>> = vec![None; channels];
        let weigh = |matrix: &Tensor<2>, row, column| {
            matrix.clone().slice([row..row + 1, column..column + 1]).reshape([1, 1, 1, 1])
        };
        for row in 0..channels {
            let mut value = z.clone().narrow(1, row, 1);
            for (column, other) in solved.iter().enumerate().take(row) {
                value = value - other.clone().unwrap_or_else(|| z.clone()) * weigh(&lower, row, column);
            }
            solved[row] = Some(value);
        }
        for row in (0..channels).rev() {
            let mut value = solved[row].clone().unwrap_or_else(|| z.clone());
            for column in row + 1..channels {
                value =
                    value - solved[column].clone().unwrap_or_else(|| z.clone()) * weigh(&upper, row, column);
            }
            solved[row] = Some(value / diagonal.clone().narrow(0, row, 1).reshape([1, 1, 1, 1]));
        }
        Tensor::cat(solved.into_iter().flatten().collect(), 1)
    }
}
