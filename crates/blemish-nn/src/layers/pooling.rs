//! Maps to smaller ones.

use super::linear_maps::{Taps, along_height_and_width};
use blemish_ops::max_pairs;
use burn::tensor::Tensor;
use burn::tensor::module::{avg_pool2d, max_pool2d};
use burn::tensor::ops::{AvgPoolOptions, MaxPoolOptions};

/// A window that moves over a map: (size + 2 padding - side) / stride + 1 rows come of `size` rows, rounded down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Height and width.
    pub side: usize,
    /// Rows and columns between neighbours.
    pub stride: usize,
    /// Rows and columns beyond each side of the map, fewer than half the side or as many.
    pub padding: usize,
}

impl Window {
    /// Side by side, without padding.
    pub fn tiles(side: usize) -> Self {
        Self { side, stride: side, padding: 0 }
    }
}

/// The largest value of each window; padding never is. The gradient goes to the first of equals. x is batch x channels x height x width.
///
/// # Panics
/// If the window does not fit into the padded map.
pub fn max_pool(x: Tensor<4>, window: Window) -> Tensor<4> {
    if window == Window::tiles(2) {
        return max_pairs(x);
    }
    let Window { side, stride, padding } = window;
    max_pool2d(x, MaxPoolOptions::new([side; 2]).with_stride([stride; 2]).with_padding([padding; 2]))
}

/// The mean of each window, padding counted as zeros.
///
/// # Panics
/// If the window does not fit into the padded map.
pub fn average_pool(x: Tensor<4>, Window { side, stride, padding }: Window) -> Tensor<4> {
    avg_pool2d(x, AvgPoolOptions::new([side; 2]).with_stride([stride; 2]).with_padding([padding; 2]))
}

/// To a given height and width: target i of m is the mean of the values from i n / m, rounded down, to (i + 1) n / m, rounded up.
pub fn adaptive_average_pool(x: Tensor<4>, [height, width]: [usize; 2]) -> Tensor<4> {
    let [_, _, rows, columns] = x.dims();
    along_height_and_width(x, &means(rows, height), &means(columns, width))
}

fn means(inputs: usize, outputs: usize) -> Taps {
    let taps = |output: usize| {
        let range = output * inputs / outputs..((output + 1) * inputs).div_ceil(outputs);
        let share = 1.0 / range.len() as f64;
        range.map(|input| (input, share)).collect()
    };
    (0..outputs).map(taps).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_gradients, close, double, random, threads_agree, values, weighted};
    use burn::module::Param;

    const PADDED: Window = Window { side: 3, stride: 2, padding: 1 };

    fn counted() -> Tensor<4> {
        double().of((1..=12).map(|value| value as f32).collect(), [1, 1, 3, 4]).val()
    }

    #[test]
    fn windows_give_their_largest_value_and_their_mean() {
        assert_eq!(values(max_pool(counted(), Window::tiles(2))), [6.0, 8.0]);
        assert_eq!(values(max_pool(counted() - 20.0, PADDED)), [-14.0, -12.0, -10.0, -8.0]);
        assert_eq!(values(average_pool(counted(), Window::tiles(2))), [3.5, 5.5]);
        close(
            &values(average_pool(counted(), PADDED)),
            &[14.0 / 9.0, 30.0 / 9.0, 30.0 / 9.0, 54.0 / 9.0],
            1e-12,
        );
        close(&values(adaptive_average_pool(counted(), [1, 1])), &[6.5], 1e-12);
        // Rows 0..2 and 1..3, columns 0..2, 1..3 and 2..4.
        close(&values(adaptive_average_pool(counted(), [2, 3])), &[3.5, 4.5, 5.5, 7.5, 8.5, 9.5], 1e-12);
    }

    #[test]
    fn gradients_are_the_slopes() {
        let x = Param::from_tensor(random([2, 2, 5, 4], 1));
        for window in [Window::tiles(2), PADDED] {
            check_gradients(x.clone(), |x| weighted(max_pool(x.val(), window)));
            check_gradients(x.clone(), |x| weighted(average_pool(x.val(), window)));
        }
        check_gradients(x, |x| weighted(adaptive_average_pool(x.val(), [3, 3])));
    }

    #[test]
    fn threads_do_not_change_a_bit() {
        threads_agree([3, 12, 64, 51], |x, _| max_pool(x, PADDED));
        threads_agree([3, 12, 64, 51], |x, _| max_pool(x, Window::tiles(2)));
        threads_agree([3, 12, 64, 51], |x, _| average_pool(x, PADDED));
        threads_agree([3, 12, 64, 51], |x, _| adaptive_average_pool(x, [7, 5]));
    }
}
