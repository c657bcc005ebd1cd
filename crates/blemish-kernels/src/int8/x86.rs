//! The sums on Intel and AMD: AVX-512 with VNNI, AVX2 with VNNI, AVX2.
//!
//! SAFETY of every block here: values of these types are made and used only inside the functions of
//! [`super::instructions::Instructions::run`], which run after the machine was asked for these very features. Loads and stores
//! are unaligned and cover exactly the arrays that they are given.

use super::lanes::{BYTES, Dots, LANES, VECTORS};
use crate::simd;
use std::arch::asm;
use std::arch::x86_64::*;

/// For blocks of one to four vectors: which group of four bytes comes to each place when the groups that packing leaves
/// apart move together.
const TOGETHER: [[i32; LANES]; VECTORS] = [
    [0, 4, 8, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    [0, 1, 4, 5, 8, 9, 12, 13, 0, 0, 0, 0, 0, 0, 0, 0],
    [0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 0, 0, 0, 0],
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
];
/// The way back.
const APART: [[i32; LANES]; VECTORS] = [
    [0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0],
    [0, 1, 0, 0, 2, 3, 0, 0, 4, 5, 0, 0, 6, 7, 0, 0],
    [0, 1, 2, 0, 3, 4, 5, 0, 6, 7, 8, 0, 9, 10, 11, 0],
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
];

/// One register of AVX-512.
#[derive(Clone, Copy)]
pub(super) struct Avx512(__m512i);

impl Avx512 {
    /// Interleaves four registers of bytes.
    #[inline(always)]
    fn quads(rows: [__m512i; 4]) -> [__m512i; VECTORS] {
        let [a, b, c, d] = rows;
        // SAFETY: see the module.
        unsafe {
            let (ab, cd) = (_mm512_unpacklo_epi8(a, b), _mm512_unpacklo_epi8(c, d));
            let (ab_high, cd_high) = (_mm512_unpackhi_epi8(a, b), _mm512_unpackhi_epi8(c, d));
            [
                _mm512_unpacklo_epi16(ab, cd),
                _mm512_unpackhi_epi16(ab, cd),
                _mm512_unpacklo_epi16(ab_high, cd_high),
                _mm512_unpackhi_epi16(ab_high, cd_high),
            ]
        }
    }

    /// The products of the even lanes, and of the odd, in 64 bits.
    #[inline(always)]
    fn products(self, other: Self) -> [__m512i; 2] {
        // SAFETY: see the module.
        unsafe {
            let odd = |values| _mm512_srli_epi64::<32>(values);
            [product(self.0, other.0), product(odd(self.0), odd(other.0))]
        }
    }

    /// The upper halves of even and odd lanes side by side.
    #[inline(always)]
    fn upper([even, odd]: [__m512i; 2]) -> Self {
        // SAFETY: see the module. The shuffle moves the upper half of each pair to the lower place.
        Self(unsafe { _mm512_mask_shuffle_epi32::<0b11_11_01_01>(odd, 0x5555, even) })
    }
}

/// The products of the even lanes in 64 bits. Where the compiler has lost sight of the factors' 32 bits, it makes three times the work of
/// the intrinsic.
#[target_feature(enable = "avx512f")]
#[inline]
fn product(a: __m512i, b: __m512i) -> __m512i {
    let product;
    // SAFETY: see the module.
    unsafe {
        asm!(
            "vpmuldq {}, {}, {}",
            lateout(zmm_reg) product, in(zmm_reg) a, in(zmm_reg) b,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    product
}

impl Dots for Avx512 {
    type Quads = __m512i;
    type Floats = simd::Avx512;
    const WIDE: bool = true;

    #[inline(always)]
    fn splat(value: i32) -> Self {
        // SAFETY: see the module.
        Self(unsafe { _mm512_set1_epi32(value) })
    }

    #[inline(always)]
    fn load(values: &[i32; LANES]) -> Self {
        // SAFETY: see the module.
        Self(unsafe { _mm512_loadu_si512(values.as_ptr().cast()) })
    }

    #[inline(always)]
    fn broadcast(quad: &[u8; 4]) -> __m512i {
        // SAFETY: see the module.
        unsafe { _mm512_set1_epi32(i32::from_ne_bytes(*quad)) }
    }

    #[inline(always)]
    fn interleave(rows: [&[u8; BYTES]; 4]) -> [__m512i; VECTORS] {
        let [a, b, c, d] = rows;
        // SAFETY: see the module.
        let load = |row: &[u8; BYTES]| unsafe { _mm512_loadu_si512(row.as_ptr().cast()) };
        Self::quads([load(a), load(b), load(c), load(d)])
    }

    #[inline(always)]
    fn dot(self, quads: __m512i, weights: &[i8; BYTES]) -> Self {
        // SAFETY: see the module.
        Self(unsafe { _mm512_dpbusd_epi32(self.0, quads, _mm512_loadu_si512(weights.as_ptr().cast())) })
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        // SAFETY: see the module.
        Self(unsafe { _mm512_min_epi32(self.0, other.0) })
    }

    #[inline(always)]
    fn any_at_most(self, limit: i32) -> bool {
        // SAFETY: see the module.
        unsafe { _mm512_cmple_epi32_mask(self.0, _mm512_set1_epi32(limit)) != 0 }
    }

    #[inline(always)]
    fn store(self) -> [i32; LANES] {
        let mut sums = [0; LANES];
        // SAFETY: see the module.
        unsafe { _mm512_storeu_si512(sums.as_mut_ptr().cast(), self.0) };
        sums
    }

    #[inline(always)]
    fn scale(self, multipliers: Self, rounding: i64) -> Self {
        let [even, odd] = self.products(multipliers);
        // SAFETY: see the module.
        let rounded = |sum| unsafe { _mm512_add_epi64(sum, _mm512_set1_epi64(rounding)) };
        Self::upper([rounded(even), rounded(odd)])
    }

    #[inline(always)]
    fn scale_with(self, multipliers: Self, other: Self, factor: i32, rounding: i64) -> Self {
        let [even, odd] = self.products(multipliers);
        let [other_even, other_odd] = other.products(Self::splat(factor));
        // SAFETY: see the module.
        unsafe {
            let rounding = _mm512_set1_epi64(rounding);
            let sum = |a, b| _mm512_add_epi64(_mm512_add_epi64(a, b), rounding);
            Self::upper([sum(even, other_even), sum(odd, other_odd)])
        }
    }

    #[inline(always)]
    fn widen<const V: usize>(bytes: &[u8; BYTES]) -> [Self; V] {
        // SAFETY: see the module.
        let quads = unsafe {
            let bytes = _mm512_loadu_si512(bytes.as_ptr().cast());
            let bytes = if V == VECTORS {
                bytes
            } else {
                _mm512_permutexvar_epi32(Self::load(&APART[V - 1]).0, bytes)
            };
            let zero = _mm512_setzero_si512();
            Self::quads([zero, bytes, zero, zero])
        };
        let mut values = [Self::splat(0); V];
        for vector in 0..V {
            values[vector] = Self(quads[vector]);
        }
        values
    }

    #[inline(always)]
    fn pack<const V: usize>(values: [Self; V], least: u8, most: u8) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        // SAFETY: see the module.
        unsafe {
            let value = |vector: usize| {
                if vector < V { values[vector].0 } else { _mm512_setzero_si512() }
            };
            let halves = [
                _mm512_packs_epi32(value(0), value(1)),
                if V > 2 { _mm512_packs_epi32(value(2), value(3)) } else { _mm512_setzero_si512() },
            ];
            let packed = _mm512_packus_epi16(halves[0], halves[1]);
            let packed = _mm512_max_epu8(packed, _mm512_set1_epi8(least as i8));
            let packed = _mm512_min_epu8(packed, _mm512_set1_epi8(most as i8));
            let packed = if V == VECTORS {
                packed
            } else {
                _mm512_permutexvar_epi32(Self::load(&TOGETHER[V - 1]).0, packed)
            };
            _mm512_storeu_si512(bytes.as_mut_ptr().cast(), packed);
        }
        bytes
    }
}

/// Two registers of AVX2, the second for lanes 8 to 15; products by the instructions of VNNI or by those of AVX2.
#[derive(Clone, Copy)]
pub(super) struct Halves<const VNNI: bool>([__m256i; 2]);

impl<const VNNI: bool> Halves<VNNI> {
    #[inline(always)]
    fn bytes(bytes: &[u8; BYTES]) -> [__m256i; 2] {
        let halves = bytes.as_chunks::<{ BYTES / 2 }>().0;
        // SAFETY: see the module.
        let load = |half: usize| unsafe { _mm256_loadu_si256(halves[half].as_ptr().cast()) };
        [load(0), load(1)]
    }

    /// Interleaves four rows of bytes.
    #[inline(always)]
    fn quads(rows: [[__m256i; 2]; 4]) -> [[__m256i; 2]; VECTORS] {
        let mut quads = [rows[0]; VECTORS];
        for half in 0..2 {
            let [a, b, c, d] = [rows[0][half], rows[1][half], rows[2][half], rows[3][half]];
            // SAFETY: see the module.
            unsafe {
                let (ab, cd) = (_mm256_unpacklo_epi8(a, b), _mm256_unpacklo_epi8(c, d));
                let (ab_high, cd_high) = (_mm256_unpackhi_epi8(a, b), _mm256_unpackhi_epi8(c, d));
                quads[0][half] = _mm256_unpacklo_epi16(ab, cd);
                quads[1][half] = _mm256_unpackhi_epi16(ab, cd);
                quads[2][half] = _mm256_unpacklo_epi16(ab_high, cd_high);
                quads[3][half] = _mm256_unpackhi_epi16(ab_high, cd_high);
            }
        }
        quads
    }

    /// The sum of four products a lane.
    #[inline(always)]
    fn dot_half(sum: __m256i, bytes: __m256i, weights: __m256i) -> __m256i {
        // SAFETY: see the module.
        unsafe {
            if VNNI {
                return _mm256_dpbusd_avx_epi32(sum, bytes, weights);
            }
            // The products of bytes (maddubs) would saturate: even and odd bytes as numbers of 16 bits do not.
            let even = _mm256_and_si256(bytes, _mm256_set1_epi16(255));
            let odd = _mm256_srli_epi16::<8>(bytes);
            let even_weights = _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(weights));
            let odd_weights = _mm256_srai_epi16::<8>(weights);
            let sum = _mm256_add_epi32(sum, _mm256_madd_epi16(even, even_weights));
            _mm256_add_epi32(sum, _mm256_madd_epi16(odd, odd_weights))
        }
    }

    /// The products of the even lanes, and of the odd, in 64 bits.
    #[inline(always)]
    fn products(a: __m256i, b: __m256i) -> [__m256i; 2] {
        // SAFETY: see the module.
        unsafe {
            let odd = |values| _mm256_srli_epi64::<32>(values);
            [_mm256_mul_epi32(a, b), _mm256_mul_epi32(odd(a), odd(b))]
        }
    }

    /// The upper halves of even and odd lanes side by side, once `rounding` is added.
    #[inline(always)]
    fn upper(sums: [__m256i; 2], rounding: i64) -> __m256i {
        // SAFETY: see the module.
        unsafe {
            let rounding = _mm256_set1_epi64x(rounding);
            let [even, odd] = [_mm256_add_epi64(sums[0], rounding), _mm256_add_epi64(sums[1], rounding)];
            _mm256_blend_epi32::<0b1010_1010>(_mm256_srli_epi64::<32>(even), odd)
        }
    }
}

impl<const VNNI: bool> Dots for Halves<VNNI> {
    type Quads = [__m256i; 2];
    type Floats = simd::Avx2;
    const WIDE: bool = false;

    #[inline(always)]
    fn splat(value: i32) -> Self {
        // SAFETY: see the module.
        Self([unsafe { _mm256_set1_epi32(value) }; 2])
    }

    #[inline(always)]
    fn load(values: &[i32; LANES]) -> Self {
        let halves = values.as_chunks::<{ LANES / 2 }>().0;
        // SAFETY: see the module.
        let load = |half: usize| unsafe { _mm256_loadu_si256(halves[half].as_ptr().cast()) };
        Self([load(0), load(1)])
    }

    #[inline(always)]
    fn broadcast(quad: &[u8; 4]) -> [__m256i; 2] {
        Self::splat(i32::from_ne_bytes(*quad)).0
    }

    #[inline(always)]
    fn interleave(rows: [&[u8; BYTES]; 4]) -> [[__m256i; 2]; VECTORS] {
        let [a, b, c, d] = rows;
        Self::quads([Self::bytes(a), Self::bytes(b), Self::bytes(c), Self::bytes(d)])
    }

    #[inline(always)]
    fn dot(self, quads: [__m256i; 2], weights: &[i8; BYTES]) -> Self {
        let weights = weights.as_chunks::<{ BYTES / 2 }>().0;
        // SAFETY: see the module.
        let load = |half: usize| unsafe { _mm256_loadu_si256(weights[half].as_ptr().cast()) };
        let dot = |half: usize| Self::dot_half(self.0[half], quads[half], load(half));
        Self([dot(0), dot(1)])
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        // SAFETY: see the module.
        let lesser = |half: usize| unsafe { _mm256_min_epi32(self.0[half], other.0[half]) };
        Self([lesser(0), lesser(1)])
    }

    #[inline(always)]
    fn any_at_most(self, limit: i32) -> bool {
        // SAFETY: see the module.
        unsafe {
            let limit = _mm256_set1_epi32(limit);
            let above = self.0.map(|half| _mm256_cmpgt_epi32(half, limit));
            _mm256_movemask_epi8(_mm256_and_si256(above[0], above[1])) != -1
        }
    }

    #[inline(always)]
    fn store(self) -> [i32; LANES] {
        let mut sums = [0; LANES];
        for (half, sums) in self.0.into_iter().zip(sums.as_chunks_mut::<{ LANES / 2 }>().0) {
            // SAFETY: see the module.
            unsafe { _mm256_storeu_si256(sums.as_mut_ptr().cast(), half) };
        }
        sums
    }

    #[inline(always)]
    fn scale(self, multipliers: Self, rounding: i64) -> Self {
        let scaled = |half: usize| Self::upper(Self::products(self.0[half], multipliers.0[half]), rounding);
        Self([scaled(0), scaled(1)])
    }

    #[inline(always)]
    fn scale_with(self, multipliers: Self, other: Self, factor: i32, rounding: i64) -> Self {
        let factor = Self::splat(factor).0[0];
        let scaled = |half: usize| {
            let own = Self::products(self.0[half], multipliers.0[half]);
            let others = Self::products(other.0[half], factor);
            // SAFETY: see the module.
            let sum = |at: usize| unsafe { _mm256_add_epi64(own[at], others[at]) };
            Self::upper([sum(0), sum(1)], rounding)
        };
        Self([scaled(0), scaled(1)])
    }

    #[inline(always)]
    fn widen<const V: usize>(bytes: &[u8; BYTES]) -> [Self; V] {
        let apart = if V == VECTORS {
            *bytes
        } else {
            let mut apart = [0; BYTES];
            for (group, &from) in apart.as_chunks_mut::<4>().0.iter_mut().zip(&APART[V - 1]) {
                *group = bytes.as_chunks::<4>().0[from as usize];
            }
            apart
        };
        // SAFETY: see the module.
        let zero = [unsafe { _mm256_setzero_si256() }; 2];
        let quads = Self::quads([zero, Self::bytes(&apart), zero, zero]);
        let mut values = [Self::splat(0); V];
        for vector in 0..V {
            values[vector] = Self(quads[vector]);
        }
        values
    }

    #[inline(always)]
    fn pack<const V: usize>(values: [Self; V], least: u8, most: u8) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        for (half, bytes) in bytes.as_chunks_mut::<{ BYTES / 2 }>().0.iter_mut().enumerate() {
            // SAFETY: see the module.
            unsafe {
                let value = |vector: usize| {
                    if vector < V { values[vector].0[half] } else { _mm256_setzero_si256() }
                };
                let low = _mm256_packs_epi32(value(0), value(1));
                let packed = _mm256_packus_epi16(low, _mm256_packs_epi32(value(2), value(3)));
                let packed = _mm256_max_epu8(packed, _mm256_set1_epi8(least as i8));
                let packed = _mm256_min_epu8(packed, _mm256_set1_epi8(most as i8));
                _mm256_storeu_si256(bytes.as_mut_ptr().cast(), packed);
            }
        }
        if V == VECTORS {
            return bytes;
        }
        let mut together = [0; BYTES];
        for (group, &from) in together.as_chunks_mut::<4>().0.iter_mut().zip(&TOGETHER[V - 1]) {
            *group = bytes.as_chunks::<4>().0[from as usize];
        }
        together
    }
}
