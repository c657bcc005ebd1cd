//! Elementary functions by arithmetic alone: the same bits on every machine, and loops over them become vectors.
//!
//! To be called inside a [`Kernel`](super::Kernel), where they compile for the width of its vectors.

use super::Lanes;
use std::f32::consts::{FRAC_PI_2, FRAC_PI_4, LOG2_E};

/// A polynomial, the highest coefficient first.
#[inline(always)]
fn polynomial<const N: usize>(x: f32, coefficients: [f32; N]) -> f32 {
    let mut sum = coefficients[0];
    for coefficient in &coefficients[1..] {
        sum = x.mul_add(sum, *coefficient);
    }
    sum
}

// Adding and taking away 1.5 x 2^23 rounds to the nearest integer.
const ROUND: f32 = 12_582_912.0;
// ln(2) in two parts, the first with so few bits that n times it is exact.
const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;
/// The exponential's polynomial.
const TAYLOR: [f32; 8] = [1.0 / 5040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0];

/// Near 0 the hyperbolic tangent's quotient of exponentials would cancel; there a polynomial fitted to tanh(x) / x - 1 in x^2.
const NEAR: [f32; 5] = [-5.704_988_7e-3, 2.063_909e-2, -5.373_971_6e-2, 1.333_144_2e-1, -3.333_328e-1];
/// Where the quotient serves.
const FAR: f32 = 0.625;

/// [`exp`] of sixteen values, to the same bits; NaN stays NaN.
#[inline(always)]
pub fn exp_lanes<V: Lanes>(x: V) -> V {
    // The constant comes first: of two that do not compare, the second is taken.
    let x = V::splat(87.0).min(V::splat(-87.0).max(x));
    let rounded = x.mul_add(V::splat(LOG2_E), V::splat(ROUND));
    let n = rounded.sub(V::splat(ROUND));
    let r = n.mul_add(V::splat(-LN_2_LOW), n.mul_add(V::splat(-LN_2_HIGH), x));
    let mut sum = V::splat(TAYLOR[0]);
    for coefficient in &TAYLOR[1..] {
        sum = r.mul_add(sum, V::splat(*coefficient));
    }
    sum.mul(rounded.power_of_two())
}

/// exp(x) for |x| up to 87, beyond which it is taken at 87; relative error below 2e-7.
///
/// 2^n exp(r) with |r| at most ln(2) / 2, exp(r) by its Taylor polynomial of degree 7.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    let x = x.clamp(-87.0, 87.0);
    let n = x.mul_add(LOG2_E, ROUND) - ROUND;
    let r = n.mul_add(-LN_2_LOW, n.mul_add(-LN_2_HIGH, x));
    polynomial(r, TAYLOR) * f32::from_bits((((n as i32) + 127) << 23) as u32)
}

/// tanh(x), relative error below 4e-7.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    let square = x * x;
    let near = (x * square).mul_add(polynomial(square, NEAR), x);
    let far = (1.0 - 2.0 / (exp(2.0 * x.abs()) + 1.0)).copysign(x);
    if x.abs() < FAR { near } else { far }
}

/// [`tanh`] of sixteen values, relative error below 4e-7 as well; NaN stays NaN.
#[inline(always)]
pub fn tanh_lanes<V: Lanes>(x: V) -> V {
    let (zero, one) = (V::splat(0.0), V::splat(1.0));
    let size = x.max(zero.sub(x));
    let square = x.mul(x);
    let mut sum = V::splat(NEAR[0]);
    for coefficient in &NEAR[1..] {
        sum = square.mul_add(sum, V::splat(*coefficient));
    }
    let near = x.mul(square).mul_add(sum, x);
    let power = exp_lanes(x.add(x));
    let far = power.sub(one).div(power.add(one));
    // Of the two, the one that does not hold there becomes zero.
    let near = near.zero_below(zero.sub(size), -FAR.next_down());
    near.add(far.zero_below(size, FAR))
}

/// atan(x), relative error below 3e-7.
#[inline(always)]
pub fn atan(x: f32) -> f32 {
    // Fitted to atan(x) / x - 1 in x^2 for |x| up to tan(pi / 8), to which the identities of the tangent bring every x.
    const FITTED: [f32; 4] = [8.053_744_5e-2, -1.387_768_6e-1, 1.997_771_1e-1, -3.333_295e-1];
    let size = x.abs();
    let (reduced, base) = if size > 2.414_213_6 {
        (-1.0 / size, FRAC_PI_2)
    } else if size > 0.414_213_57 {
        ((size - 1.0) / (size + 1.0), FRAC_PI_4)
    } else {
        (size, 0.0)
    };
    let square = reduced * reduced;
    let part = (reduced * square).mul_add(polynomial(square, FITTED), reduced);
    (base + part).copysign(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follows(ours: fn(f32) -> f32, exact: fn(f64) -> f64, tolerance: f64) {
        for i in -80_000..=80_000 {
            let x = i as f32 * 0.001;
            let exact = exact(f64::from(x));
            let error = (f64::from(ours(x)) - exact).abs();
            assert!(error <= tolerance * exact.abs(), "{x}: {error}");
        }
    }

    #[test]
    fn functions_follow_double_precision() {
        follows(exp, f64::exp, 2e-7);
        follows(tanh, f64::tanh, 4e-7);
        follows(atan, f64::atan, 3e-7);
    }

    struct Tangents([f32; 16]);

    impl crate::simd::Kernel for Tangents {
        type Output = [f32; 16];
        #[inline(always)]
        fn run<V: Lanes>(self) -> [f32; 16] {
            tanh_lanes(V::load(&self.0)).store()
        }
    }

    #[test]
    fn sixteen_tangents_follow_double_precision_at_every_width() {
        let values = (-2000..2000).map(|i| i as f32 * 0.005).chain([0.625, -0.625, 0.0, -0.0, 1e30, -1e30]);
        let values: Vec<f32> = values.collect();
        for chunk in values.chunks_exact(16).chain([values.last_chunk::<16>().unwrap().as_slice()]) {
            let chunk: [f32; 16] = chunk.try_into().unwrap();
            let widths = crate::simd::at_every_width(|| Tangents(chunk));
            assert!(widths.iter().all(|found| found.map(f32::to_bits) == widths[0].map(f32::to_bits)));
            for (x, found) in chunk.into_iter().zip(widths[0]) {
                let exact = f64::from(x).tanh();
                assert!((f64::from(found) - exact).abs() <= 4e-7 * exact.abs(), "{x}: {found} {exact}");
            }
        }
        let many = crate::simd::at_every_width(|| Tangents([f32::NAN; 16]));
        assert!(many.iter().flatten().all(|value| value.is_nan()));
    }

    struct Exponentials([f32; 16]);

    impl crate::simd::Kernel for Exponentials {
        type Output = [f32; 16];
        #[inline(always)]
        fn run<V: Lanes>(self) -> [f32; 16] {
            exp_lanes(V::load(&self.0)).store()
        }
    }

    #[test]
    fn sixteen_exponentials_have_the_bits_of_single_ones() {
        let values = (-1600..1600).map(|i| i as f32 * 0.0613).chain([f32::INFINITY, f32::NEG_INFINITY, -0.0]);
        let values: Vec<f32> = values.collect();
        for chunk in values.chunks_exact(16).chain([values.last_chunk::<16>().unwrap().as_slice()]) {
            let chunk: [f32; 16] = chunk.try_into().unwrap();
            let single = chunk.map(|value| exp(value).to_bits());
            for at_width in crate::simd::at_every_width(|| Exponentials(chunk)) {
                assert_eq!(at_width.map(f32::to_bits), single, "{chunk:?}");
            }
        }
        let many = crate::simd::at_every_width(|| Exponentials([f32::NAN; 16]));
        assert!(many.iter().flatten().all(|value| value.is_nan()));
    }

    #[test]
    fn far_arguments_give_the_limits() {
        assert_eq!([tanh(1e30), tanh(-1e30), tanh(0.0)], [1.0, -1.0, 0.0]);
        assert_eq!([atan(1e30), atan(-1e30)], [FRAC_PI_2, -FRAC_PI_2]);
        assert!(exp(1e30).is_finite() && exp(-1e30) > 0.0);
    }
}
