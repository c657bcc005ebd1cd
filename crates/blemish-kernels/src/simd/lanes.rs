//! Sixteen values side by side: one AVX-512 register, two of AVX2, or an array.
//!
//! Written with intrinsics since the compiler does not reliably keep arrays of sums in registers. Every operation is
//! lane by lane and rounded once, so all three give the same bits.

/// Values side by side in every kernel.
pub const LANES: usize = 16;

/// Sixteen values of `f32`.
///
/// Implementations other than [`Portable`] may only be used where [`super::widest`] has made sure that the machine has
/// their instructions; this is why the trait is not for others to implement or to use by type.
pub trait Lanes: Copy {
    /// Whether sixteen values fit one register, so that bigger register tiles pay.
    const WIDE: bool;
    /// The same value everywhere.
    fn splat(value: f32) -> Self;
    /// The values of an array.
    fn load(values: &[f32; LANES]) -> Self;
    /// Signed bytes, given as their two's complement.
    #[inline(always)]
    fn load_bytes(bytes: &[u8; LANES]) -> Self {
        let mut values = [0.0; LANES];
        for lane in 0..LANES {
            values[lane] = f32::from(bytes[lane].cast_signed());
        }
        Self::load(&values)
    }
    /// The nearest values to whole numbers.
    #[inline(always)]
    fn load_whole(numbers: &[i32; LANES]) -> Self {
        let mut values = [0.0; LANES];
        for lane in 0..LANES {
            values[lane] = numbers[lane] as f32;
        }
        Self::load(&values)
    }
    /// Back into an array.
    fn store(self) -> [f32; LANES];
    /// self + other.
    fn add(self, other: Self) -> Self;
    /// self - other.
    fn sub(self, other: Self) -> Self;
    /// self x other.
    fn mul(self, other: Self) -> Self;
    /// self where it is greater, else other.
    fn max(self, other: Self) -> Self;
    /// self where it is less, else other.
    fn min(self, other: Self) -> Self;
    /// self x factor + addend, rounded once.
    fn mul_add(self, factor: Self, addend: Self) -> Self;
    /// self / other.
    fn div(self, other: Self) -> Self;
    /// 2^n where n + 1.5 x 2^23 is held, for whole n from -126 to 127.
    fn power_of_two(self) -> Self;
    /// self, but zero where `test` is below `limit`.
    fn zero_below(self, test: Self, limit: f32) -> Self;
    /// Whether any value is at most `limit`.
    fn any_at_most(self, limit: f32) -> bool;
    /// The sum, folded in halves: 16, 8, 4, 2, 1.
    fn sum(self) -> f32;
    /// The [`Self::sum`] of each, in its lane.
    #[inline(always)]
    fn sums(each: [Self; LANES]) -> Self {
        let mut sums = [0.0; LANES];
        for lane in 0..LANES {
            sums[lane] = each[lane].sum();
        }
        Self::load(&sums)
    }
}

/// The bits of 1.
const ONE: u32 = 127 << 23;

/// For every machine.
#[derive(Clone, Copy)]
pub struct Portable([f32; LANES]);

impl Lanes for Portable {
    const WIDE: bool = false;

    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self([value; LANES])
    }

    #[inline(always)]
    fn load(values: &[f32; LANES]) -> Self {
        Self(*values)
    }

    #[inline(always)]
    fn store(self) -> [f32; LANES] {
        self.0
    }

    #[inline(always)]
    fn add(mut self, other: Self) -> Self {
        for (value, other) in self.0.iter_mut().zip(other.0) {
            *value += other;
        }
        self
    }

    #[inline(always)]
    fn mul(mut self, other: Self) -> Self {
        for (value, other) in self.0.iter_mut().zip(other.0) {
            *value *= other;
        }
        self
    }

    #[inline(always)]
    fn max(mut self, other: Self) -> Self {
        for (value, other) in self.0.iter_mut().zip(other.0) {
            *value = if *value > other { *value } else { other };
        }
        self
    }

    #[inline(always)]
    fn min(mut self, other: Self) -> Self {
        for (value, other) in self.0.iter_mut().zip(other.0) {
            *value = if *value < other { *value } else { other };
        }
        self
    }

    #[inline(always)]
    fn sub(mut self, other: Self) -> Self {
        for (value, other) in self.0.iter_mut().zip(other.0) {
            *value -= other;
        }
        self
    }

    #[inline(always)]
    fn mul_add(mut self, factor: Self, addend: Self) -> Self {
        for lane in 0..LANES {
            self.0[lane] = self.0[lane].mul_add(factor.0[lane], addend.0[lane]);
        }
        self
    }

    #[inline(always)]
    fn div(mut self, other: Self) -> Self {
        for (value, other) in self.0.iter_mut().zip(other.0) {
            *value /= other;
        }
        self
    }

    #[inline(always)]
    fn power_of_two(self) -> Self {
        Self(self.0.map(|value| f32::from_bits((value.to_bits() << 23).wrapping_add(ONE))))
    }

    #[inline(always)]
    fn zero_below(mut self, test: Self, limit: f32) -> Self {
        for (value, test) in self.0.iter_mut().zip(test.0) {
            *value = if test < limit { 0.0 } else { *value };
        }
        self
    }

    #[inline(always)]
    fn any_at_most(self, limit: f32) -> bool {
        self.0.iter().any(|&value| value <= limit)
    }

    #[inline(always)]
    fn sum(self) -> f32 {
        let mut sums = self.0;
        let mut width = LANES / 2;
        while width > 0 {
            for lane in 0..width {
                sums[lane] += sums[lane + width];
            }
            width /= 2;
        }
        sums[0]
    }
}

#[cfg(target_arch = "x86_64")]
pub use x86::{Avx2, Avx512};

/// SAFETY of every block here: values of these types are made and used only inside the functions of
/// [`super::widest`], which run after the machine was asked for these very features. Loads and stores are unaligned
/// and cover exactly the arrays that they are given.
#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{LANES, Lanes, ONE};
    use std::arch::x86_64::*;

    /// One register of AVX-512.
    #[derive(Clone, Copy)]
    pub struct Avx512(__m512);

    /// Two registers of AVX2, used with FMA.
    #[derive(Clone, Copy)]
    pub struct Avx2(__m256, __m256);

    /// Folds eight values in halves.
    ///
    /// # Safety
    /// The machine must have AVX2.
    #[inline(always)]
    unsafe fn sum8(eight: __m256) -> f32 {
        // SAFETY: as promised by the caller.
        unsafe {
            let four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        }
    }

    impl Lanes for Avx512 {
        const WIDE: bool = true;

        #[inline(always)]
        fn splat(value: f32) -> Self {
            // SAFETY: see the module.
            Self(unsafe { _mm512_set1_ps(value) })
        }

        #[inline(always)]
        fn load(values: &[f32; LANES]) -> Self {
            // SAFETY: see the module.
            Self(unsafe { _mm512_loadu_ps(values.as_ptr()) })
        }

        #[inline(always)]
        fn load_bytes(bytes: &[u8; LANES]) -> Self {
            // SAFETY: see the module.
            Self(unsafe { _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(bytes.as_ptr().cast()))) })
        }

        #[inline(always)]
        fn load_whole(numbers: &[i32; LANES]) -> Self {
            // SAFETY: see the module.
            Self(unsafe { _mm512_cvtepi32_ps(_mm512_loadu_si512(numbers.as_ptr().cast())) })
        }

        #[inline(always)]
        fn store(self) -> [f32; LANES] {
            let mut values = [0.0; LANES];
            // SAFETY: see the module.
            unsafe { _mm512_storeu_ps(values.as_mut_ptr(), self.0) };
            values
        }

        #[inline(always)]
        fn add(self, other: Self) -> Self {
            // SAFETY: see the module.
            Self(unsafe { _mm512_add_ps(self.0, other.0) })
        }

        #[inline(always)]
        fn mul(self, other: Self) -> Self {
            // SAFETY: see the module.
            Self(unsafe { _mm512_mul_ps(self.0, other.0) })
        }

        #[inline(always)]
        fn max(self, other: Self) -> Self {
            // SAFETY: see the module.
            Self(unsafe { _mm512_max_ps(self.0, other.0) })
        }

        #[inline(always)]
        fn min(self, other: Self) -> Self {
            // SAFETY: see the module.
            Self(unsafe { _mm512_min_ps(self.0, other.0) })
        }

        #[inline(always)]
        fn sub(self, other: Self) -> Self {
            // SAFETY: see the module.
            Self(unsafe { _mm512_sub_ps(self.0, other.0) })
        }

        #[inline(always)]
        fn mul_add(self, factor: Self, addend: Self) -> Self {
            // SAFETY: see the module.
            Self(unsafe { _mm512_fmadd_ps(self.0, factor.0, addend.0) })
        }

        #[inline(always)]
        fn div(self, other: Self) -> Self {
            // SAFETY: see the module.
            Self(unsafe { _mm512_div_ps(self.0, other.0) })
        }

        #[inline(always)]
        fn power_of_two(self) -> Self {
            // SAFETY: see the module.
            Self(unsafe {
                let shifted = _mm512_slli_epi32::<23>(_mm512_castps_si512(self.0));
                _mm512_castsi512_ps(_mm512_add_epi32(shifted, _mm512_set1_epi32(ONE as i32)))
            })
        }

        #[inline(always)]
        fn zero_below(self, test: Self, limit: f32) -> Self {
            // SAFETY: see the module.
            Self(unsafe {
                let below = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(test.0, _mm512_set1_ps(limit));
                _mm512_mask_mov_ps(self.0, below, _mm512_setzero_ps())
            })
        }

        #[inline(always)]
        fn any_at_most(self, limit: f32) -> bool {
            // SAFETY: see the module.
            unsafe { _mm512_cmp_ps_mask::<_CMP_LE_OQ>(self.0, _mm512_set1_ps(limit)) != 0 }
        }

        #[inline(always)]
        fn sum(self) -> f32 {
            // SAFETY: see the module.
            unsafe {
                let high = _mm512_extractf32x8_ps::<1>(self.0);
                sum8(_mm256_add_ps(_mm512_castps512_ps256(self.0), high))
            }
        }

        #[inline(always)]
        fn sums(each: [Self; LANES]) -> Self {
            // Halves are folded for two registers at a time: [`Self::sum`]'s additions, whose results lie side by side.
            let (mut eights, mut fours, mut twos) = ([each[0].0; 8], [each[0].0; 4], [each[0].0; 2]);
            // SAFETY: see the module.
            unsafe {
                for at in 0..8 {
                    // In the order in which the last steps put them side by side.
                    let first = [0, 8, 1, 9, 2, 10, 3, 11][at];
                    let (a, b) = (each[first].0, each[first + 4].0);
                    let low = _mm512_shuffle_f32x4::<0b01_00_01_00>(a, b);
                    eights[at] = _mm512_add_ps(low, _mm512_shuffle_f32x4::<0b11_10_11_10>(a, b));
                }
                for at in 0..4 {
                    let (a, b) = (eights[2 * at], eights[2 * at + 1]);
                    let low = _mm512_shuffle_f32x4::<0b10_00_10_00>(a, b);
                    fours[at] = _mm512_add_ps(low, _mm512_shuffle_f32x4::<0b11_01_11_01>(a, b));
                }
                for at in 0..2 {
                    let [a, b] = [fours[2 * at], fours[2 * at + 1]].map(|four| _mm512_castps_pd(four));
                    let [low, high] = [_mm512_unpacklo_pd(a, b), _mm512_unpackhi_pd(a, b)];
                    twos[at] = _mm512_add_ps(_mm512_castpd_ps(low), _mm512_castpd_ps(high));
                }
                let low = _mm512_shuffle_ps::<0b10_00_10_00>(twos[0], twos[1]);
                Self(_mm512_add_ps(low, _mm512_shuffle_ps::<0b11_01_11_01>(twos[0], twos[1])))
            }
        }
    }

    impl Lanes for Avx2 {
        const WIDE: bool = false;

        #[inline(always)]
        fn splat(value: f32) -> Self {
            // SAFETY: see the module.
            let half = unsafe { _mm256_set1_ps(value) };
            Self(half, half)
        }

        #[inline(always)]
        fn load(values: &[f32; LANES]) -> Self {
            let start = values.as_ptr();
            // SAFETY: see the module.
            unsafe { Self(_mm256_loadu_ps(start), _mm256_loadu_ps(start.add(8))) }
        }

        #[inline(always)]
        fn store(self) -> [f32; LANES] {
            let mut values = [0.0; LANES];
            let start = values.as_mut_ptr();
            // SAFETY: see the module.
            unsafe {
                _mm256_storeu_ps(start, self.0);
                _mm256_storeu_ps(start.add(8), self.1);
            }
            values
        }

        #[inline(always)]
        fn add(self, other: Self) -> Self {
            // SAFETY: see the module.
            unsafe { Self(_mm256_add_ps(self.0, other.0), _mm256_add_ps(self.1, other.1)) }
        }

        #[inline(always)]
        fn mul(self, other: Self) -> Self {
            // SAFETY: see the module.
            unsafe { Self(_mm256_mul_ps(self.0, other.0), _mm256_mul_ps(self.1, other.1)) }
        }

        #[inline(always)]
        fn max(self, other: Self) -> Self {
            // SAFETY: see the module.
            unsafe { Self(_mm256_max_ps(self.0, other.0), _mm256_max_ps(self.1, other.1)) }
        }

        #[inline(always)]
        fn min(self, other: Self) -> Self {
            // SAFETY: see the module.
            unsafe { Self(_mm256_min_ps(self.0, other.0), _mm256_min_ps(self.1, other.1)) }
        }

        #[inline(always)]
        fn sub(self, other: Self) -> Self {
            // SAFETY: see the module.
            unsafe { Self(_mm256_sub_ps(self.0, other.0), _mm256_sub_ps(self.1, other.1)) }
        }

        #[inline(always)]
        fn mul_add(self, factor: Self, addend: Self) -> Self {
            // SAFETY: see the module.
            unsafe {
                Self(_mm256_fmadd_ps(self.0, factor.0, addend.0), _mm256_fmadd_ps(self.1, factor.1, addend.1))
            }
        }

        #[inline(always)]
        fn div(self, other: Self) -> Self {
            // SAFETY: see the module.
            unsafe { Self(_mm256_div_ps(self.0, other.0), _mm256_div_ps(self.1, other.1)) }
        }

        #[inline(always)]
        fn power_of_two(self) -> Self {
            // SAFETY: see the module.
            unsafe {
                let one = _mm256_set1_epi32(ONE as i32);
                let power = |half: __m256| {
                    let shifted = _mm256_slli_epi32::<23>(_mm256_castps_si256(half));
                    _mm256_castsi256_ps(_mm256_add_epi32(shifted, one))
                };
                Self(power(self.0), power(self.1))
            }
        }

        #[inline(always)]
        fn zero_below(self, test: Self, limit: f32) -> Self {
            // SAFETY: see the module.
            unsafe {
                let limit = _mm256_set1_ps(limit);
                let low = _mm256_cmp_ps::<_CMP_LT_OQ>(test.0, limit);
                let high = _mm256_cmp_ps::<_CMP_LT_OQ>(test.1, limit);
                Self(_mm256_andnot_ps(low, self.0), _mm256_andnot_ps(high, self.1))
            }
        }

        #[inline(always)]
        fn any_at_most(self, limit: f32) -> bool {
            // SAFETY: see the module.
            unsafe {
                let limit = _mm256_set1_ps(limit);
                let low = _mm256_cmp_ps::<_CMP_LE_OQ>(self.0, limit);
                let high = _mm256_cmp_ps::<_CMP_LE_OQ>(self.1, limit);
                _mm256_movemask_ps(_mm256_or_ps(low, high)) != 0
            }
        }

        #[inline(always)]
        fn sum(self) -> f32 {
            // SAFETY: see the module.
            unsafe { sum8(_mm256_add_ps(self.0, self.1)) }
        }
    }
}
