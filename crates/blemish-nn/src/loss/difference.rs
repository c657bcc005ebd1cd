//! Mean absolute and mean squared differences.

use super::mean::mean;
use burn::tensor::Tensor;

/// Mean over all values of |x - y|; the slope at equal values is 0.
///
/// # Panics
/// If the shapes differ.
pub fn l1<const D: usize>(x: Tensor<D>, y: Tensor<D>) -> Tensor<1> {
    assert_eq!(x.dims(), y.dims(), "a loss of values of two shapes");
    mean((x - y).abs())
}

/// Mean over all values of (x - y)^2.
///
/// # Panics
/// If the shapes differ.
pub fn l2<const D: usize>(x: Tensor<D>, y: Tensor<D>) -> Tensor<1> {
    assert_eq!(x.dims(), y.dims(), "a loss of values of two shapes");
    let difference = x - y;
    mean(difference.clone() * difference)
}

/// Mean over all values of d^2 / 2 where |d| is below 1, |d| - 1/2 elsewhere, d = x - y: Huber's loss, as PyTorch's `SmoothL1Loss`.
///
/// # Panics
/// If the shapes differ.
pub fn smooth_l1<const D: usize>(x: Tensor<D>, y: Tensor<D>) -> Tensor<1> {
    assert_eq!(x.dims(), y.dims(), "a loss of values of two shapes");
    let size = (x - y).abs();
    // c (|d| - c / 2) with c = min(|d|, 1).
    let near = size.clone().clamp_max(1.0);
    mean(near.clone() * (size - near * 0.5))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_gradients, close, double, random, values};
    use burn::module::Param;

    #[test]
    fn differences_are_averaged() {
        let [x, y] =
            [[1.0, 2.0, 3.0, 4.0], [2.0, 2.0, 1.0, 4.0]].map(|x| double().of(x.to_vec(), [2, 2]).val());
        close(&values(l1(x.clone(), y.clone())), &[0.75], 1e-12);
        close(&values(l2(x.clone(), y.clone())), &[1.25], 1e-12);
        close(&values(smooth_l1(x.clone(), y.clone())), &[(0.5 + 1.5) / 4.0], 1e-12);
        close(&values(smooth_l1(x * 0.5, y * 0.5)), &[(0.125 + 0.5) / 4.0], 1e-12);
    }

    #[test]
    fn gradients_are_the_slopes() {
        let [x, y] = [1, 2].map(|seed| Param::from_tensor(random([2, 3, 2], seed)));
        check_gradients((x.clone(), y.clone()), |(x, y)| l1(x.val(), y.val()));
        check_gradients((x.clone(), y.clone()), |(x, y)| l2(x.val(), y.val()));
        check_gradients((x, y), |(x, y)| smooth_l1(x.val(), y.val()));
    }
}
