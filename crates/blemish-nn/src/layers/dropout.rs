//! Dropout.

use burn::tensor::{Tensor, TensorData};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha12Rng;

/// Zeroes values at random while a network learns, and scales the others up so that their expected value stays: y = x m / (1 - share), m
/// 0 with probability `share`, else 1.
///
/// The random source is part of it: a loss makes one from the number of its step, so that a training that is resumed drops what the
/// uninterrupted one would have dropped, on every device. Without one (`None` where a layer takes an option) nothing is dropped.
pub struct Dropout {
    share: f64,
    random: ChaCha12Rng,
}

impl Dropout {
    /// Of a share of the values, from 0 (none) up to, but not including, 1.
    ///
    /// # Panics
    /// If the share is outside that range.
    pub fn new(share: f64, seed: u64) -> Self {
        assert!((0.0..1.0).contains(&share), "a share of {share} to drop");
        Self { share, random: ChaCha12Rng::seed_from_u64(seed) }
    }

    /// x of any shape, with values dropped.
    pub fn apply<const D: usize>(&mut self, x: Tensor<D>) -> Tensor<D> {
        let factors = self.factors(x.dims(), &x);
        match factors {
            Some(factors) => x * factors,
            None => x,
        }
    }

    /// m / (1 - share) for values of a shape, on the device and of the kind of `like`; `None` where nothing is dropped.
    pub fn factors<const D: usize, const E: usize>(
        &mut self,
        shape: [usize; D],
        like: &Tensor<E>,
    ) -> Option<Tensor<D>> {
        if self.share == 0.0 {
            return None;
        }
        let (limit, kept) = ((self.share * 2f64.powi(32)) as u32, (1.0 / (1.0 - self.share)) as f32);
        let count = shape.iter().product();
        let mask: Vec<f32> =
            (0..count).map(|_| if self.random.next_u32() < limit { 0.0 } else { kept }).collect();
        let mask = TensorData::new(mask, shape).convert_dtype(like.dtype());
        Some(Tensor::from_data(mask, (&like.device(), like.dtype())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{random, values};

    #[test]
    fn the_share_is_dropped_and_the_rest_scaled_up() {
        let x = random([100, 200], 1).detach() + 2.0;
        let y = values(Dropout::new(0.2, 7).apply(x.clone()));
        let dropped = y.iter().filter(|&&y| y == 0.0).count();
        assert!((3700..4300).contains(&dropped), "{dropped} of 20,000");
        assert!(y.iter().zip(values(x.clone())).all(|(y, x)| *y == 0.0 || (y - 1.25 * x).abs() < 1e-12));
        assert_eq!(y, values(Dropout::new(0.2, 7).apply(x.clone())));
        assert_ne!(y, values(Dropout::new(0.2, 8).apply(x.clone())));
        assert_eq!(values(Dropout::new(0.0, 7).apply(x.clone())), values(x));
    }

    #[test]
    fn two_uses_of_one_source_differ() {
        let (x, mut dropout) = (random([10, 10], 1), Dropout::new(0.5, 7));
        assert_ne!(values(dropout.apply(x.clone())), values(dropout.apply(x)));
    }
}
