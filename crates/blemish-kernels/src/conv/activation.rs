//! Pointwise non-linearities, by arithmetic alone so that the bits do not depend on a mathematics library.

use crate::simd::functions::exp_lanes;
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
    /// x Phi(x), Phi being the normal distribution function: GELU (arXiv 1606.08415) without approximation.
    Gelu,
    /// x * sigmoid(1.702 x), OpenAI's stand-in for GELU.
    QuickGelu,
}

impl Activation {
    /// Applies it to a vector.
    #[inline(always)]
    pub(crate) fn lanes<V: Lanes>(self, x: V) -> V {
        match self {
            Self::None => x,
            Self::Relu => x.max(V::splat(0.0)),
            Self::Relu6 => x.max(V::splat(0.0)).min(V::splat(6.0)),
            Self::Silu => x.mul(sigmoid(x)),
            Self::Sigmoid => sigmoid(x),
            Self::Gelu => gelu(x),
            Self::QuickGelu => x.mul(sigmoid(x.mul(V::splat(1.702)))),
        }
    }

    /// The least and the greatest of its values, if all that it does is to cut off.
    pub(crate) fn bounds(self) -> Option<[f32; 2]> {
        match self {
            Self::Relu => Some([0.0, f32::INFINITY]),
            Self::Relu6 => Some([0.0, 6.0]),
            _ => None,
        }
    }

    /// A vector between the bounds of [`Self::bounds`], if there are some: what [`Self::lanes`] gives, without a choice for each vector.
    #[inline(always)]
    pub(crate) fn cut_off<V: Lanes>(bounds: Option<[f32; 2]>, x: V) -> V {
        match bounds {
            Some([least, greatest]) => x.max(V::splat(least)).min(V::splat(greatest)),
            None => x,
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
    let one = V::splat(1.0);
    one.div(one.add(exp_lanes(V::splat(0.0).sub(x))))
}

/// x Phi(x), within 1e-7 x max(1, |x|) of it.
///
/// 2 Phi(-u) = erfc(u / sqrt(2)) = exp(-u P(u)) for u = |x|, with P fitted for u up to 9, where nothing is left of it. No quotient
/// and no difference of nearly equal numbers on the way.
#[inline(always)]
fn gelu<V: Lanes>(x: V) -> V {
    const FITTED: [f32; 10] = [
        6.614_37e-9,
        -2.506_158_4e-7,
        3.925_171_8e-6,
        -3.192_789_5e-5,
        1.233_026_8e-4,
        1.408_102_3e-4,
        -4.979_076_4e-3,
        3.645_342e-2,
        3.182_765_5e-1,
        7.978_877e-1,
    ];
    let zero = V::splat(0.0);
    // Of two that do not compare the second is taken, so NaN stays.
    let size = V::splat(9.0).min(x.max(zero.sub(x)));
    let mut sum = V::splat(FITTED[0]);
    for coefficient in &FITTED[1..] {
        sum = size.mul_add(sum, V::splat(*coefficient));
    }
    let tail = exp_lanes(zero.sub(size).mul(sum));
    // max(x, 0) - u Phi(-u), on either side of zero.
    size.mul(V::splat(-0.5)).mul_add(tail, x.max(zero))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The complementary error function by its series or continued fraction.
    fn erfc(x: f64) -> f64 {
        if x < 2.0 {
            let mut term = x;
            let mut sum = x;
            for n in 1..80 {
                term *= -x * x / f64::from(n);
                sum += term / f64::from(2 * n + 1);
            }
            return 1.0 - sum * std::f64::consts::FRAC_2_SQRT_PI;
        }
        let fraction = (1..120).rev().fold(x, |tail, n| x + f64::from(n) * 0.5 / tail);
        (-x * x).exp() / (fraction * std::f64::consts::PI.sqrt())
    }

    #[test]
    fn gelus_follow_double_precision() {
        for i in -1200..=1200 {
            let x = i as f32 * 0.01;
            let mut values = [x];
            Activation::Gelu.apply(&mut values);
            let double = f64::from(x);
            let tail = 0.5 * double.abs() * erfc(double.abs() / std::f64::consts::SQRT_2);
            let error = (f64::from(values[0]) - (double.max(0.0) - tail)).abs();
            assert!(error < 1e-7 * double.abs().max(1.0), "{x}: {error}");
            let mut values = [x];
            Activation::QuickGelu.apply(&mut values);
            let error = (f64::from(values[0]) - double / (1.0 + (-1.702 * double).exp())).abs();
            assert!(error < 5e-7 * double.abs().max(1.0), "{x}: {error}");
        }
        let mut far = [-1e30, 1e30, 0.0];
        Activation::Gelu.apply(&mut far);
        assert!(far[0].abs() < 1e-15 && far[1..] == [1e30, 0.0]);
    }

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
