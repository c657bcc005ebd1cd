//! Attention that keeps rows and columns apart.

use super::activation::Activation;
use super::conv::Conv;
use super::conv_unit::ConvUnit;
use super::phase::Phase;
use crate::init::Init;
use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::activation::sigmoid;

/// Weights of every row and of every column of a map, by channel (Hou et al., arXiv 2103.02907).
///
/// With r the means of x over its columns, C x H x 1, and q those over its rows, C x W x 1, joined to one line of H + W positions:
/// u = hard_swish(norm(1x1(r, q))), of `narrow` channels; a_h = sigmoid(1x1 of the part of u over rows), a_w = sigmoid(1x1 of that over
/// columns). What they weigh is the caller's choice.
#[derive(Module, Debug)]
pub struct CoordinateAttention {
    /// To fewer channels, for rows and columns alike.
    pub squeeze: ConvUnit,
    /// Back, for rows.
    pub rows: Conv,
    /// Back, for columns.
    pub columns: Conv,
}

impl CoordinateAttention {
    /// Of `channels` through `narrow` channels.
    pub fn new(channels: usize, narrow: usize, init: &mut Init) -> Self {
        let squeeze = Conv::new(channels, narrow, 1, init);
        Self {
            squeeze: ConvUnit::normed(squeeze, Activation::HardSwish, init),
            rows: Conv::new(narrow, channels, 1, init),
            columns: Conv::new(narrow, channels, 1, init),
        }
    }

    /// a_h, batch x channels x height x 1, and a_w, batch x channels x 1 x width, both in (0, 1), for x, batch x channels x height x width.
    pub fn forward(&self, x: Tensor<4>, phase: Phase) -> [Tensor<4>; 2] {
        let [_, _, height, width] = x.dims();
        let rows = x.clone().mean_dim(3);
        let columns = x.mean_dim(2).swap_dims(2, 3);
        let line = self.squeeze.forward(Tensor::cat(vec![rows, columns], 2), phase);
        let rows = self.rows.forward(line.clone().narrow(2, 0, height));
        let columns = self.columns.forward(line.narrow(2, height, width));
        [sigmoid(rows), sigmoid(columns).swap_dims(2, 3)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_gradients, close, double, random, threads_agree, values, weighted};
    use burn::module::Param;

    #[test]
    fn an_even_map_has_even_weights() {
        let mut init = double();
        let attention = CoordinateAttention::new(3, 2, &mut init);
        let x = init.of(vec![0.5, -1.0, 2.0], [1, 3, 1, 1]).val().repeat_dim(2, 4).repeat_dim(3, 5);
        let [rows, columns] = attention.forward(x, Phase::Scoring);
        assert_eq!((rows.dims(), columns.dims()), ([1, 3, 4, 1], [1, 3, 1, 5]));
        for (weights, length) in [(values(rows), 4), (values(columns), 5)] {
            for channel in weights.chunks_exact(length) {
                close(channel, &vec![channel[0]; length], 1e-12);
            }
        }
    }

    #[test]
    fn a_transposed_map_has_transposed_weights() {
        let mut init = double();
        let attention = CoordinateAttention::new(3, 2, &mut init);
        let turned = CoordinateAttention {
            rows: attention.columns.clone(),
            columns: attention.rows.clone(),
            ..attention.clone()
        };
        let x = random([2, 3, 4, 5], 1);
        let [rows, columns] = attention.forward(x.clone(), Phase::Scoring);
        let [turned_rows, turned_columns] = turned.forward(x.swap_dims(2, 3), Phase::Scoring);
        close(&values(turned_rows.swap_dims(2, 3)), &values(columns), 1e-12);
        close(&values(turned_columns.swap_dims(2, 3)), &values(rows), 1e-12);
    }

    #[test]
    fn gradients_are_the_slopes() {
        let mut init = double();
        let attention = CoordinateAttention::new(3, 2, &mut init);
        let x = Param::from_tensor(random([2, 3, 3, 2], 1));
        check_gradients((attention, x), |(attention, x)| {
            let [rows, columns] = attention.forward(x.val(), Phase::Training);
            weighted(x.val() * rows * columns)
        });
    }

    #[test]
    fn threads_do_not_change_a_bit() {
        threads_agree([2, 16, 33, 47], |x, init| {
            let [rows, columns] = CoordinateAttention::new(16, 8, init).forward(x.clone(), Phase::Training);
            x * rows * columns
        });
    }
}
