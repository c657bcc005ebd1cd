//! Pointwise non-linearities, by arithmetic alone so that the bits do not depend on a mathematics library.

use crate::simd::functions::exp;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sigmoid_follows_double_precision() {
        let mut values = [-200.0, -87.5, -1.0, 0.0, 0.5, 90.0, 1e30];
        let exact = values.map(|x: f32| 1.0 / (1.0 + (-f64::from(x)).exp()));
        Activation::Sigmoid.apply(&mut values);
        for (value, exact) in values.iter().zip(exact) {
            assert!((f64::from(*value) - exact).abs() < 2e-7);
        }
    }
}
