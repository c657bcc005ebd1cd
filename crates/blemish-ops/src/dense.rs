//! Linear layers: y = x W + b and its gradients as products that read their operands where they lie, transposed or not.

use crate::real::{Matrix, Onto, Real, inside, multiply};

/// Rows of `columns` values, and their transpose.
fn rows<T>(data: &[T], columns: usize) -> Matrix<'_, T> {
    Matrix { data, start: 0, row_stride: columns, column_stride: 1 }
}

fn transposed<T>(data: &[T], columns: usize) -> Matrix<'_, T> {
    Matrix { data, start: 0, row_stride: 1, column_stride: columns }
}

/// x count x inputs, weight inputs x outputs: count x outputs.
pub(crate) fn forward<T: Real>(
    sizes @ [count, inputs, outputs]: [usize; 3],
    x: &[T],
    weight: &[T],
    bias: &[T],
) -> Vec<T> {
    let mut y = vec![T::default(); count * outputs];
    multiply(sizes, rows(x, inputs), rows(weight, outputs), (&mut y, outputs), Onto::Zero, inside(1));
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
    let mut dx = vec![T::default(); count * inputs];
    let (left, right) = (rows(gradient, outputs), transposed(weight, outputs));
    multiply([count, outputs, inputs], left, right, (&mut dx, inputs), Onto::Zero, inside(1));
    dx
}

/// The gradient with respect to the weights: x^T dy.
pub(crate) fn weight_gradient<T: Real>(
    [count, inputs, outputs]: [usize; 3],
    x: &[T],
    gradient: &[T],
) -> Vec<T> {
    let mut weights = vec![T::default(); inputs * outputs];
    let (left, right) = (transposed(x, inputs), rows(gradient, outputs));
    multiply([inputs, count, outputs], left, right, (&mut weights, outputs), Onto::Zero, inside(1));
    weights
}

/// The gradient with respect to the bias: sums over the rows.
pub(crate) fn bias_gradient<T: Real>(outputs: usize, gradient: &[T]) -> Vec<T> {
    let mut bias = vec![T::default(); outputs];
    for row in gradient.chunks_exact(outputs.max(1)) {
        bias.iter_mut().zip(row).for_each(|(sum, &value)| *sum += value);
    }
    bias
}
