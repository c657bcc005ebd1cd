//! First values of weights, from one seed, the same on every device.

use burn::module::Param;
use burn::tensor::{DType, Device, Tensor, TensorData};
use rand::{Rng, RngExt, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha12Rng;

/// He's deviation of normal weights for ReLU, sqrt(2 / inputs), for `inputs` values that each output sums (He et al. 2015).
pub fn he(inputs: usize) -> f32 {
    (2.0 / inputs as f32).sqrt()
}

/// Xavier's bound of uniform weights, sqrt(6 / (inputs + outputs)) (Glorot and Bengio 2010).
pub fn xavier(inputs: usize, outputs: usize) -> f32 {
    (6.0 / (inputs + outputs) as f32).sqrt()
}

/// Where and from what weights are made.
pub struct Init {
    random: ChaCha12Rng,
    device: Device,
    dtype: DType,
    /// Nothing is drawn: all will be replaced by stored weights.
    is_blank: bool,
}

impl Init {
    /// Single precision on a device, with gradients where the device keeps them.
    pub fn new(seed: u64, device: &Device) -> Self {
        Self {
            random: ChaCha12Rng::seed_from_u64(seed),
            device: device.clone(),
            dtype: DType::F32,
            is_blank: false,
        }
    }

    /// Weights of value 0 and channels in their own order, to be replaced by stored ones.
    pub fn blank(device: &Device) -> Self {
        Self { is_blank: true, ..Self::new(0, device) }
    }

    /// The same in double precision, for numeric checks.
    pub fn double(self) -> Self {
        Self { dtype: DType::F64, ..self }
    }

    /// A weight of given values.
    pub fn of<const D: usize>(&self, values: Vec<f32>, shape: [usize; D]) -> Param<Tensor<D>> {
        let data = TensorData::new(values, shape).convert_dtype(self.dtype);
        Param::from_tensor(Tensor::from_data(data, (&self.device, self.dtype)))
    }

    /// The same value everywhere.
    pub fn constant<const D: usize>(&self, value: f32, shape: [usize; D]) -> Param<Tensor<D>> {
        self.of(vec![value; shape.iter().product()], shape)
    }

    /// Uniform between -bound and bound.
    pub fn uniform<const D: usize>(&mut self, bound: f32, shape: [usize; D]) -> Param<Tensor<D>> {
        if self.is_blank {
            return self.constant(0.0, shape);
        }
        let values = (0..shape.iter().product()).map(|_| self.random.random_range(-1.0f32..1.0) * bound);
        let values = values.collect();
        self.of(values, shape)
    }

    /// Normal with mean 0.
    pub fn normal<const D: usize>(&mut self, deviation: f32, shape: [usize; D]) -> Param<Tensor<D>> {
        self.normal_around(0.0, deviation, shape)
    }

    /// Normal with any mean.
    pub fn normal_around<const D: usize>(
        &mut self,
        mean: f32,
        deviation: f32,
        shape: [usize; D],
    ) -> Param<Tensor<D>> {
        if self.is_blank {
            return self.constant(0.0, shape);
        }
        let values = (0..shape.iter().product()).map(|_| mean + deviation * self.gaussian() as f32);
        let values = values.collect();
        self.of(values, shape)
    }

    /// A random order of `count` channels.
    pub fn order(&mut self, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        if !self.is_blank {
            order.shuffle(&mut self.random);
        }
        order
    }

    /// A random rotation, `size` x `size`, row-major: orthogonal with determinant 1.
    ///
    /// Gram-Schmidt on Gaussian rows, which spreads evenly over all rotations.
    pub fn rotation(&mut self, size: usize) -> Vec<f64> {
        if self.is_blank {
            return (0..size * size).map(|at| f64::from(u8::from(at / size == at % size))).collect();
        }
        let mut rows: Vec<Vec<f64>> = Vec::with_capacity(size);
        while rows.len() < size {
            let mut row: Vec<f64> = (0..size).map(|_| self.gaussian()).collect();
            // Twice: once leaves errors of the size of the cancellation.
            for _ in 0..2 {
                for other in &rows {
                    let along: f64 = row.iter().zip(other).map(|(a, b)| a * b).sum();
                    row.iter_mut().zip(other).for_each(|(a, b)| *a -= along * b);
                }
                let length = row.iter().map(|a| a * a).sum::<f64>().sqrt();
                row.iter_mut().for_each(|a| *a /= length);
            }
            rows.push(row);
        }
        let mut matrix: Vec<f64> = rows.concat();
        if !LowerUpper::new(&matrix, size).is_proper() {
            matrix[..size].iter_mut().for_each(|value| *value = -*value);
        }
        matrix
    }

    /// A seed for something else.
    pub fn seed(&mut self) -> u64 {
        self.random.next_u64()
    }

    /// Box-Muller.
    fn gaussian(&mut self) -> f64 {
        let (radius, angle): (f64, f64) = (self.random.random(), self.random.random());
        (-2.0 * (1.0 - radius).ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
    }
}

/// P A = L U with row pivots: row i of the factors is row `order[i]` of A.
pub(crate) struct LowerUpper {
    pub(crate) order: Vec<usize>,
    /// L below the diagonal (ones on it), U on and above it.
    pub(crate) values: Vec<f64>,
    /// Whether the order is an odd permutation.
    is_odd: bool,
}

impl LowerUpper {
    pub(crate) fn new(matrix: &[f64], size: usize) -> Self {
        let mut values = matrix.to_vec();
        let mut order: Vec<usize> = (0..size).collect();
        let mut is_odd = false;
        for column in 0..size {
            let pivot = (column..size)
                .max_by(|&a, &b| values[a * size + column].abs().total_cmp(&values[b * size + column].abs()));
            let pivot = pivot.unwrap_or(column);
            order.swap(column, pivot);
            is_odd ^= pivot != column;
            for i in 0..size {
                values.swap(column * size + i, pivot * size + i);
            }
            for row in column + 1..size {
                let factor = values[row * size + column] / values[column * size + column];
                values[row * size + column] = factor;
                for i in column + 1..size {
                    values[row * size + i] -= factor * values[column * size + i];
                }
            }
        }
        Self { order, values, is_odd }
    }

    /// Whether the determinant is positive.
    fn is_proper(&self) -> bool {
        let size = self.order.len();
        let negative = (0..size).filter(|i| self.values[i * size + i] < 0.0).count();
        (negative % 2 == 1) == self.is_odd
    }
}
