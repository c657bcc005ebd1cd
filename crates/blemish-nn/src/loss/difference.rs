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
        close(&values(l2(x, y)), &[1.25], 1e-12);
    }

    #[test]
    fn gradients_are_the_slopes() {
        let [x, y] = [1, 2].map(|seed| Param::from_tensor(random([2, 3, 2], seed)));
        check_gradients((x.clone(), y.clone()), |(x, y)| l1(x.val(), y.val()));
        check_gradients((x, y), |(x, y)| l2(x.val(), y.val()));
    }
}
