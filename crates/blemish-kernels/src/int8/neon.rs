//! The sums on ARM with the dot product instructions of ARMv8.2, which multiply signed bytes with signed bytes.
//!
//! Unsigned bytes come as byte - 128, and the sums begin with 128 times the sum of the weights more.

use super::lanes::{BYTES, Dots, LANES, Portable, VECTORS};
use crate::simd;
use std::arch::aarch64::*;
use std::arch::asm;

/// Four registers of NEON.
#[derive(Clone, Copy)]
pub(super) struct NeonDot([int32x4_t; 4]);

impl NeonDot {
    /// Rounds and divides what is done so rarely that the plain way serves.
    #[inline(always)]
    fn plainly(self) -> Portable {
        Portable::load(&self.store())
    }
}

impl Dots for NeonDot {
    /// Bytes less 128.
    type Quads = [int8x16_t; 4];
    type Floats = simd::Portable;
    const WIDE: bool = false;

    #[inline(always)]
    fn splat(value: i32) -> Self {
        // SAFETY: NEON is part of the architecture.
        Self([unsafe { vdupq_n_s32(value) }; 4])
    }

    #[inline(always)]
    fn load(values: &[i32; LANES]) -> Self {
        let parts = values.as_chunks::<4>().0;
        // SAFETY: NEON is part of the architecture; each load covers exactly its array.
        Self([0, 1, 2, 3].map(|part| unsafe { vld1q_s32(parts[part].as_ptr()) }))
    }

    #[inline(always)]
    fn start(bias: &[i32; LANES], weight_sums: &[i32; LANES]) -> Self {
        let (bias, sums) = (Self::load(bias).0, Self::load(weight_sums).0);
        // SAFETY: NEON is part of the architecture.
        Self([0, 1, 2, 3].map(|part| unsafe { vaddq_s32(bias[part], vshlq_n_s32::<7>(sums[part])) }))
    }

    #[inline(always)]
    fn broadcast(quad: &[u8; 4]) -> Self::Quads {
        let quad = u32::from_ne_bytes(*quad) ^ 0x8080_8080;
        // SAFETY: NEON is part of the architecture.
        [unsafe { vreinterpretq_s8_u32(vdupq_n_u32(quad)) }; 4]
    }

    #[inline(always)]
    fn interleave(rows: [&[u8; BYTES]; 4]) -> [Self::Quads; VECTORS] {
        // SAFETY: NEON is part of the architecture; each load covers exactly its sixteen bytes.
        let mut quads = [[unsafe { vdupq_n_s8(0) }; 4]; VECTORS];
        for part in 0..4 {
            // SAFETY: as above.
            unsafe {
                let [a, b, c, d] = rows.map(|row| vld1q_u8(row.as_chunks::<16>().0[part].as_ptr()));
                let words = |bytes| vreinterpretq_u16_u8(veorq_u8(bytes, vdupq_n_u8(128)));
                let (ab, cd) = (words(vzip1q_u8(a, b)), words(vzip1q_u8(c, d)));
                let (ab_high, cd_high) = (words(vzip2q_u8(a, b)), words(vzip2q_u8(c, d)));
                quads[0][part] = vreinterpretq_s8_u16(vzip1q_u16(ab, cd));
                quads[1][part] = vreinterpretq_s8_u16(vzip2q_u16(ab, cd));
                quads[2][part] = vreinterpretq_s8_u16(vzip1q_u16(ab_high, cd_high));
                quads[3][part] = vreinterpretq_s8_u16(vzip2q_u16(ab_high, cd_high));
            }
        }
        quads
    }

    #[inline(always)]
    fn dot(mut self, quads: Self::Quads, weights: &[i8; BYTES]) -> Self {
        for part in 0..4 {
            // SAFETY: the machine has the dot product, as `Instructions::run` has made sure; the load covers exactly sixteen bytes.
            unsafe {
                let weights = vld1q_s8(weights.as_chunks::<16>().0[part].as_ptr());
                // The standard library's function for it is not yet stable.
                asm!("sdot {0:v}.4s, {1:v}.16b, {2:v}.16b",
                    inout(vreg) self.0[part], in(vreg) quads[part], in(vreg) weights,
                    options(pure, nomem, nostack, preserves_flags));
            }
        }
        self
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        // SAFETY: NEON is part of the architecture.
        Self([0, 1, 2, 3].map(|part| unsafe { vminq_s32(self.0[part], other.0[part]) }))
    }

    #[inline(always)]
    fn any_at_most(self, limit: i32) -> bool {
        let [a, b, c, d] = self.0;
        // SAFETY: NEON is part of the architecture.
        unsafe { vminvq_s32(vminq_s32(vminq_s32(a, b), vminq_s32(c, d))) <= limit }
    }

    #[inline(always)]
    fn store(self) -> [i32; LANES] {
        let mut values = [0; LANES];
        for (part, values) in self.0.into_iter().zip(values.as_chunks_mut::<4>().0) {
            // SAFETY: NEON is part of the architecture; the store covers exactly the array.
            unsafe { vst1q_s32(values.as_mut_ptr(), part) };
        }
        values
    }

    #[inline(always)]
    fn scale(self, multipliers: Self, rounding: i64) -> Self {
        Self::load(&self.plainly().scale(multipliers.plainly(), rounding).store())
    }

    #[inline(always)]
    fn scale_with(self, multipliers: Self, other: Self, factor: i32, rounding: i64) -> Self {
        let scaled = self.plainly().scale_with(multipliers.plainly(), other.plainly(), factor, rounding);
        Self::load(&scaled.store())
    }

    #[inline(always)]
    fn widen<const V: usize>(bytes: &[u8; BYTES]) -> [Self; V] {
        Portable::widen::<V>(bytes).map(|values| Self::load(&values.store()))
    }

    #[inline(always)]
    fn pack<const V: usize>(values: [Self; V], least: u8, most: u8) -> [u8; BYTES] {
        Portable::pack(values.map(Self::plainly), least, most)
    }
}
