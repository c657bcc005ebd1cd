//! Maps to another size.

use super::linear_maps::{Taps, along_height_and_width};
use burn::tensor::Tensor;
use burn::tensor::module::interpolate;
use burn::tensor::ops::{InterpolateMode, InterpolateOptions};

/// How a map is read between its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interpolation {
    /// Linear between the centres of pixels, whose corners are the image's: target i lies at (i + 1/2) n / m - 1/2 of n values, held at
    /// the ends (PyTorch's `align_corners=False`).
    Bilinear,
    /// Linear with the first and last values of map and target at the same places: target i lies at i (n - 1) / (m - 1).
    BilinearAligned,
    /// The value at i n / m, rounded down.
    Nearest,
}

/// x, batch x channels x height x width, to maps of another height and width. Without smoothing before it makes a map smaller.
///
/// # Panics
/// If a size is 0.
pub fn resize(x: Tensor<4>, [height, width]: [usize; 2], interpolation: Interpolation) -> Tensor<4> {
    let [_, _, rows, columns] = x.dims();
    assert!(height * width * rows * columns > 0, "a map of {rows} x {columns} to {height} x {width}");
    if interpolation == Interpolation::Nearest {
        let options = InterpolateOptions::new(InterpolateMode::Nearest).with_output_size([height, width]);
        return interpolate(x, options);
    }
    let is_aligned = interpolation == Interpolation::BilinearAligned;
    along_height_and_width(x, &linear(rows, height, is_aligned), &linear(columns, width, is_aligned))
}

/// x to maps of `factor` times its height and width.
///
/// # Panics
/// If the factor is 0.
pub fn upsample(x: Tensor<4>, factor: usize, interpolation: Interpolation) -> Tensor<4> {
    let [_, _, height, width] = x.dims();
    resize(x, [height * factor, width * factor], interpolation)
}

/// The two neighbours of each target and their shares.
fn linear(inputs: usize, outputs: usize, is_aligned: bool) -> Taps {
    let place = |output: usize| {
        if is_aligned {
            output as f64 * (inputs - 1) as f64 / (outputs - 1).max(1) as f64
        } else {
            ((output as f64 + 0.5) * inputs as f64 / outputs as f64 - 0.5).max(0.0)
        }
    };
    let taps = |output| {
        let low = (place(output).floor() as usize).min(inputs - 1);
        let share = place(output) - low as f64;
        vec![(low, 1.0 - share), ((low + 1).min(inputs - 1), share)]
    };
    (0..outputs).map(taps).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_gradients, close, double, random, threads_agree, values, weighted};
    use burn::module::Param;

    #[test]
    fn a_ramp_is_read_between_its_values() {
        let ramp = double().of(vec![0.0, 4.0, 8.0], [1, 1, 1, 3]).val();
        let read = |width, interpolation| values(resize(ramp.clone(), [1, width], interpolation));
        let bilinear = [0.0, 1.0, 3.0, 5.0, 7.0, 8.0];
        close(&read(6, Interpolation::Bilinear), &bilinear, 1e-12);
        close(&read(5, Interpolation::BilinearAligned), &[0.0, 2.0, 4.0, 6.0, 8.0], 1e-12);
        close(&read(1, Interpolation::BilinearAligned), &[0.0], 1e-12);
        close(&read(7, Interpolation::Nearest), &[0.0, 0.0, 0.0, 4.0, 4.0, 8.0, 8.0], 1e-12);
        assert_eq!(upsample(ramp, 2, Interpolation::Nearest).dims(), [1, 1, 2, 6]);
    }

    #[test]
    fn results_equal_burns_own() {
        let x = random([2, 3, 5, 4], 1);
        for size in [[10, 8], [7, 9], [3, 2], [5, 4]] {
            for (interpolation, is_aligned) in
                [(Interpolation::Bilinear, false), (Interpolation::BilinearAligned, true)]
            {
                let options = InterpolateOptions::new(InterpolateMode::Bilinear).with_output_size(size);
                let theirs = interpolate(x.clone(), options.with_align_corners(is_aligned));
                close(&values(resize(x.clone(), size, interpolation)), &values(theirs), 1e-12);
            }
        }
    }

    #[test]
    fn gradients_are_the_slopes() {
        for interpolation in [Interpolation::Bilinear, Interpolation::BilinearAligned, Interpolation::Nearest]
        {
            for size in [[6, 5], [2, 3]] {
                let x = Param::from_tensor(random([2, 2, 3, 4], 1));
                check_gradients(x, |x| weighted(resize(x.val(), size, interpolation)));
            }
        }
    }

    #[test]
    fn threads_do_not_change_a_bit() {
        for interpolation in [Interpolation::BilinearAligned, Interpolation::Nearest] {
            threads_agree([3, 5, 33, 47], |x, _| upsample(x, 2, interpolation));
        }
    }
}
