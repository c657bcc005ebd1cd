//! Linear layers: y = x W + b and its gradients as products that read their operands where they lie, transposed or not.

use crate::real::{Matrix, Onto, Real, inside, multiply};

/// Rows of `columns` values, and their transpose.
fn rows<T>(data: &[T], columns: usize) -> Matrix<'_, T> {
    Matrix { data, start: 0, row_stride: columns, column_stride: 1 }
}

fn transposed<T>(data: &[T], columns: usize) -> Matrix<'_, T> {
    Matrix { data, start: 0, row_stride: 1, column_stride: columns }
}

/// rows x inner by inner x columns.
fn product<T: Real>(
    sizes @ [rows, _, columns]: [usize; 3],
    left: Matrix<'_, T>,
    right: Matrix<'_, T>,
) -> Vec<T> {
    let mut out = vec![T::default(); rows * columns];
    multiply(sizes, left, right, (&mut out, columns), Onto::Zero, inside(1));
    out
}

/// x count x inputs, weight inputs x outputs: count x outputs.
pub(crate) fn forward<T: Real>(
    sizes @ [_, inputs, outputs]: [usize; 3],
    x: &[T],
    weight: &[T],
    bias: &[T],
) -> Vec<T> {
    let mut y = product(sizes, rows(x, inputs), rows(weight, outputs));
    // After the product: the sums of models that were made before this operation was, to the bit.
    for y in y.chunks_exact_mut(outputs.max(1)) {
        y.iter_mut().zip(bias).for_each(|(y, &bias)| *y += bias);
    }
    y
}

/// The gradient with respect to x: dy W^T.
pub(crate) fn input_gradient<T: Real>(
    [count, inputs, outputs]: [usize; 3],
    weight: &[T],
    gradient: &[T],
) -> Vec<T> {
    product([count, outputs, inputs], rows(gradient, outputs), transposed(weight, outputs))
}

/// The gradient with respect to the weights: x^T dy.
pub(crate) fn weight_gradient<T: Real>(
    [count, inputs, outputs]: [usize; 3],
    x: &[T],
    gradient: &[T],
) -> Vec<T> {
    product([inputs, count, outputs], transposed(x, inputs), rows(gradient, outputs))
}

/// The gradient with respect to the bias: sums over the rows.
pub(crate) fn bias_gradient<T: Real>(outputs: usize, gradient: &[T]) -> Vec<T> {
    let mut bias = vec![T::default(); outputs];
    for row in gradient.chunks_exact(outputs.max(1)) {
        bias.iter_mut().zip(row).for_each(|(sum, &value)| *sum += value);
    }
    bias
}
