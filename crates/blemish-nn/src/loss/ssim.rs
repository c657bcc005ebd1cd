//! Structural similarity.

use super::mean::mean;
use crate::layers::linear_maps::along_height_and_width;
use burn::tensor::Tensor;

/// Structural similarity of images (Wang et al. 2004), channel by channel.
///
/// With means m, variances v and the covariance c under a Gaussian window, c1 = (k1 L)^2 and c2 = (k2 L)^2:
/// (2 m_x m_y + c1) (2 c + c2) / ((m_x^2 + m_y^2 + c1) (v_x + v_y + c2)), 1 for equal images.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ssim {
    /// Side of the window, odd.
    pub window: usize,
    /// Standard deviation of the window's Gaussian, in pixels.
    pub deviation: f64,
    /// What the window meets beyond an image.
    pub border: Border,
    /// L: the difference between the darkest and the brightest value that a pixel can have.
    pub range: f64,
    /// k1 and k2.
    pub stability: [f64; 2],
}

/// What a window meets beyond an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Border {
    /// Zeros: the map is as large as the image (DRAEM, EdgRec).
    Zero,
    /// Nothing: the map has only the positions where the window fits (the paper).
    Inside,
}

impl Default for Ssim {
    /// The paper's constants, for pixels from 0 to 1, with zeros beyond the border.
    fn default() -> Self {
        Self { window: 11, deviation: 1.5, border: Border::Zero, range: 1.0, stability: [0.01, 0.03] }
    }
}

impl Ssim {
    /// Similarity at every position, batch x channels x height x width (less the window's side - 1 with [`Border::Inside`]).
    ///
    /// # Panics
    /// If the shapes differ, or the window does not fit into the image with [`Border::Inside`].
    pub fn map(&self, x: Tensor<4>, y: Tensor<4>) -> Tensor<4> {
        assert_eq!(x.dims(), y.dims(), "the similarity of images of two shapes");
        let [c1, c2] = self.stability.map(|k| (k * self.range).powi(2));
        let [batch, ..] = x.dims();
        // All five maps in one pass.
        let maps = vec![x.clone(), y.clone(), x.clone() * x.clone(), y.clone() * y.clone(), x * y];
        let smooth = self.smooth(Tensor::cat(maps, 0));
        let map = |number: usize| smooth.clone().narrow(0, number * batch, batch);
        let (mean_x, mean_y) = (map(0), map(1));
        let (squares, product) =
            (mean_x.clone() * mean_x.clone() + mean_y.clone() * mean_y.clone(), mean_x * mean_y);
        let variances = map(2) + map(3) - squares.clone();
        let covariance = map(4) - product.clone();
        (product * 2.0 + c1) * (covariance * 2.0 + c2) / ((squares + c1) * (variances + c2))
    }

    /// Mean over images, channels and positions; a loss is 1 - mean.
    ///
    /// # Panics
    /// As [`Self::map`].
    pub fn mean(&self, x: Tensor<4>, y: Tensor<4>) -> Tensor<1> {
        mean(self.map(x, y))
    }

    /// The window along a side of the image as a matrix, positions of the map x `side`, whose rows sum to 1 away from the border.
    ///
    /// # Panics
    /// If the window does not fit into the side with [`Border::Inside`].
    pub fn matrix(&self, side: usize) -> Vec<f32> {
        let taps = self.taps(side);
        let mut matrix = vec![0.0; taps.len() * side];
        for (row, taps) in matrix.chunks_exact_mut(side.max(1)).zip(taps) {
            taps.into_iter().for_each(|(at, weight)| row[at] = weight as f32);
        }
        matrix
    }

    /// Under the window, whose weights sum to 1.
    fn smooth(&self, x: Tensor<4>) -> Tensor<4> {
        let [_, _, height, width] = x.dims();
        along_height_and_width(x, &self.taps(height), &self.taps(width))
    }

    /// The window along a side of the image.
    fn taps(&self, side: usize) -> Vec<Vec<(usize, f64)>> {
        let reach = self.window / 2;
        let weight = |at: usize| (-0.5 * ((at as f64 - reach as f64) / self.deviation).powi(2)).exp();
        let sum: f64 = (0..self.window).map(weight).sum();
        let centres = match self.border {
            Border::Zero => 0..side,
            Border::Inside => {
                assert!(self.window <= side, "a window of {} does not fit into {side} pixels", self.window);
                reach..side - reach
            }
        };
        let taps = |centre: usize| {
            let taps = (0..self.window).map(|at| (centre + at, weight(at) / sum));
            taps.filter_map(|(at, weight)| Some((at.checked_sub(reach)?, weight)))
                .filter(|&(at, _)| at < side)
                .collect()
        };
        centres.map(taps).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_gradients, close, double, random, threads_agree, values};
    use burn::module::Param;

    const SMALL: Ssim =
        Ssim { window: 3, deviation: 0.8, border: Border::Inside, range: 2.0, stability: [0.01, 0.03] };

    #[test]
    fn one_window_follows_the_formula() {
        let (x, y) =
            ([1.0, 2.0, 0.0, 4.0, 1.0, 3.0, 2.0, 2.0, 5.0], [0.0, 2.0, 1.0, 3.0, 1.0, 5.0, 2.0, 0.0, 4.0]);
        let side = (-0.5f64 / 0.64).exp();
        let row = [side, 1.0, side].map(|weight| weight / (1.0 + 2.0 * side));
        let window =
            |of: &dyn Fn(usize) -> f64| (0..9).map(|at| row[at / 3] * row[at % 3] * of(at)).sum::<f64>();
        let (mx, my) = (window(&|at| x[at]), window(&|at| y[at]));
        let vx = window(&|at| (x[at] - mx) * (x[at] - mx));
        let vy = window(&|at| (y[at] - my) * (y[at] - my));
        let c = window(&|at| (x[at] - mx) * (y[at] - my));
        let (c1, c2) = (0.02f64 * 0.02, 0.06f64 * 0.06);
        let expected = (2.0 * mx * my + c1) * (2.0 * c + c2) / ((mx * mx + my * my + c1) * (vx + vy + c2));
        let image = |values: [f64; 9]| double().of(values.map(|v| v as f32).to_vec(), [1, 1, 3, 3]).val();
        close(&values(SMALL.map(image(x), image(y))), &[expected], 1e-10);
        close(&values(SMALL.mean(image(x), image(x))), &[1.0], 1e-12);
        // With zeros beyond the border the middle stays, and the map is as large as the image.
        let padded = Ssim { border: Border::Zero, ..SMALL }.map(image(x), image(y));
        assert_eq!(padded.dims(), [1, 1, 3, 3]);
        close(&values(padded)[4..5], &[expected], 1e-10);
    }

    #[test]
    fn gradients_are_the_slopes() {
        for border in [Border::Zero, Border::Inside] {
            let [x, y] = [1, 2].map(|seed| Param::from_tensor(random([2, 1, 4, 5], seed)));
            check_gradients((x, y), |(x, y)| Ssim { border, ..SMALL }.mean(x.val(), y.val()));
        }
    }

    #[test]
    fn threads_do_not_change_a_bit() {
        threads_agree([3, 3, 50, 61], |x, init| {
            let y = init.normal(1.0, x.dims()).val();
            Ssim::default().map(x, y)
        });
    }
}
