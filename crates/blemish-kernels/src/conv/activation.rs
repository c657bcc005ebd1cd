//! Pointwise non-linearities, by arithmetic alone so that the bits do not depend on a mathematics library.

use crate::simd::{Kernel, LANES, Lanes, widest};

/// A pointwise non-linearity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activation {
    /// x.
    #[default]
    None,
    /// max(x, 0).
    Relu,
    /// min(max(x, 0), 6).
    Relu6,
    /// x * sigmoid(x).
    Silu,
    /// 1 / (1 + exp(-x)).
    Sigmoid,
}

impl Activation {
    /// Applies it to a vector.
    #[inline(always)]
    pub(super) fn lanes<V: Lanes>(self, x: V) -> V {
        match self {
            Self::None => x,
            Self::Relu => x.max(V::splat(0.0)),
            Self::Relu6 => x.max(V::splat(0.0)).min(V::splat(6.0)),
            Self::Silu => x.mul(sigmoid(x)),
            Self::Sigmoid => sigmoid(x),
        }
    }

    /// Applies it to every value; what fills pixels up is left as it is by all but the sigmoid.
    pub fn apply(self, values: &mut [f32]) {
        if self != Self::None {
            widest(Apply { activation: self, values });
        }
    }
}

struct Apply<'a> {
    activation: Activation,
    values: &'a mut [f32],
}

impl Kernel for Apply<'_> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let (chunks, tail) = self.values.as_chunks_mut::<LANES>();
        for chunk in chunks {
            *chunk = self.activation.lanes(V::load(chunk)).store();
        }
        let mut last = [0.0; LANES];
        last[..tail.len()].copy_from_slice(tail);
        tail.copy_from_slice(&self.activation.lanes(V::load(&last)).store()[..tail.len()]);
    }
}

/// 1 / (1 + exp(-x)), within 2e-7 of it.
#[inline(always)]
fn sigmoid<V: Lanes>(x: V) -> V {
    let mut values = x.store();
    for value in &mut values {
        *value = 1.0 / (1.0 + exp(-*value));
    }
    V::load(&values)
}

/// exp(x) for |x| up to 87, beyond which it is taken at 87; relative error below 2e-7.
///
/// 2^n exp(r) with |r| at most ln(2) / 2, exp(r) by its Taylor polynomial of degree 7.
#[inline(always)]
fn exp(x: f32) -> f32 {
    // Adding and taking away 1.5 x 2^23 rounds to the nearest integer.
    const ROUND: f32 = 12_582_912.0;
    // ln(2) in two parts, the first with so few bits that n times it is exact.
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let x = x.clamp(-87.0, 87.0);
    let n = x.mul_add(std::f32::consts::LOG2_E, ROUND) - ROUND;
    let r = n.mul_add(-LN_2_LOW, n.mul_add(-LN_2_HIGH, x));
    let mut sum = 1.0 / 5040.0;
    for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        sum = r.mul_add(sum, coefficient);
    }
    sum * f32::from_bits((((n as i32) + 127) << 23) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_and_sigmoid_follow_double_precision() {
        for i in -8000..=8000 {
            let x = i as f32 * 0.01;
            let exact = f64::from(x).exp();
            assert!((f64::from(exp(x)) - exact).abs() <= 2e-7 * exact, "{x}");
        }
        let mut values = [-200.0, -87.5, -1.0, 0.0, 0.5, 90.0, 1e30];
        let exact = values.map(|x: f32| 1.0 / (1.0 + (-f64::from(x)).exp()));
        Activation::Sigmoid.apply(&mut values);
        for (value, exact) in values.iter().zip(exact) {
            assert!((f64::from(*value) - exact).abs() < 2e-7);
        }
    }
}
