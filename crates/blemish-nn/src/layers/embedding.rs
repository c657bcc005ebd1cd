//! Numbers, positions and times as vectors.

use crate::init::Init;
use burn::module::{Module, Param};
use burn::tensor::{Int, Tensor, TensorData};

/// A learned vector for each of `count` numbers.
#[derive(Module, Debug)]
pub struct Embedding {
    /// Count x width.
    pub weight: Param<Tensor<2>>,
}

impl Embedding {
    /// Standard normal at first, as PyTorch does.
    pub fn new(count: usize, width: usize, init: &mut Init) -> Self {
        Self { weight: init.normal(1.0, [count, width]) }
    }

    /// The vectors of numbers: numbers x width.
    ///
    /// # Panics
    /// If a number is not below the count.
    pub fn forward(&self, numbers: &[usize]) -> Tensor<2> {
        let [count, _] = self.weight.dims();
        assert!(numbers.iter().all(|&number| number < count), "a number is not below {count}");
        let numbers: Vec<i32> = numbers.iter().map(|&number| number as i32).collect();
        let weight = self.weight.val();
        let numbers = Tensor::<1, Int>::from_data(TensorData::from(&numbers[..]), &weight.device());
        weight.select(0, numbers)
    }
}

/// A learned vector for each position of a grid: at (i, j) that of column j, then that of row i.
#[derive(Module, Debug)]
pub struct GridEmbedding {
    /// Of the columns.
    pub column: Embedding,
    /// Of the rows.
    pub row: Embedding,
}

impl GridEmbedding {
    /// For a height and width, `features` values a position, an even number; uniform from 0 to 1 at first (UniAD).
    pub fn new([height, width]: [usize; 2], features: usize, init: &mut Init) -> Self {
        let mut part = |count| {
            let weight: Param<Tensor<2>> = init.uniform(0.5, [count, features / 2]);
            // From 0 on; weights of a network that only scores have no gradients.
            let moved = |weight: Tensor<2>| {
                let learns = weight.is_require_grad();
                (weight + 0.5).detach().set_require_grad(learns)
            };
            Embedding { weight: weight.map(moved) }
        };
        Self { column: part(width), row: part(height) }
    }

    /// Positions x features, row by row.
    pub fn forward(&self) -> Tensor<2> {
        let (column, row) = (self.column.weight.val(), self.row.weight.val());
        let ([width, half], [height, _]) = (column.dims(), row.dims());
        let column = column.unsqueeze_dim::<3>(0).expand([height, width, half]);
        let row = row.unsqueeze_dim::<3>(1).expand([height, width, half]);
        Tensor::cat(vec![column, row], 2).reshape([height * width, 2 * half])
    }
}

/// Times as vectors of `width` values, an even number: sin(t f_i) for i below width / 2, then cos(t f_i), f_i = 10000^(-2 i / width).
///
/// Row-major, times x width; for the steps of a diffusion (Ho et al. 2020).
pub fn sinusoid(times: &[f64], width: usize) -> Vec<f32> {
    let half = width / 2;
    let frequency = |i: usize| 10_000f64.powf(-(i as f64) / half as f64);
    let angles = |&time: &f64| (0..half).map(move |i| time * frequency(i));
    let row = |time| angles(time).map(f64::sin).chain(angles(time).map(f64::cos)).map(|value| value as f32);
    times.iter().flat_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_gradients, double, values, weighted};
    use burn::tensor::Device;

    #[test]
    fn numbers_and_positions_get_their_vectors() {
        let mut init = double();
        let table = Embedding { weight: init.of(vec![1.0, 2.0, 3.0, 4.0], [2, 2]) };
        assert_eq!(values(table.forward(&[1, 0, 1])), [3.0, 4.0, 1.0, 2.0, 3.0, 4.0]);
        let grid = GridEmbedding::new([2, 3], 4, &mut init);
        let (column, row) = (values(grid.column.weight.val()), values(grid.row.weight.val()));
        assert!(column.iter().chain(&row).all(|value| (0.0..1.0).contains(value)));
        // Position (1, 2) is the last.
        assert_eq!(values(grid.forward())[20..], [column[4], column[5], row[2], row[3]]);
    }

    #[test]
    fn a_grid_is_made_where_there_are_no_gradients_as_well() {
        let grid = GridEmbedding::new([2, 3], 4, &mut Init::blank(&Device::flex()));
        assert_eq!(grid.forward().dims(), [6, 4]);
        assert!(!grid.row.weight.val().is_require_grad());
        let learns = GridEmbedding::new([2, 3], 4, &mut double());
        assert!(learns.row.weight.val().is_require_grad() && learns.column.weight.val().is_require_grad());
    }

    #[test]
    fn a_number_that_comes_twice_counts_twice_in_the_gradient() {
        let mut init = double();
        check_gradients(Embedding::new(3, 2, &mut init), |table| weighted(table.forward(&[2, 0, 2])));
        check_gradients(GridEmbedding::new([2, 3], 4, &mut init), |grid| weighted(grid.forward()));
    }

    #[test]
    fn times_are_sines_then_cosines() {
        let found = sinusoid(&[0.0, 2.0], 4);
        let expected = [0.0, 0.0, 1.0, 1.0, 2f64.sin(), 0.02f64.sin(), 2f64.cos(), 0.02f64.cos()];
        found.iter().zip(expected).for_each(|(a, b)| assert!((f64::from(*a) - b).abs() < 1e-7, "{a} {b}"));
    }
}
