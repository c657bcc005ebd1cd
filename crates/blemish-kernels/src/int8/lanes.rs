//! Sixteen sums of 32 bits side by side, each fed by four products of bytes at a time.
//!
//! All arithmetic is of whole numbers and wraps, so that every implementation gives the same bits.
//!
//! Bytes come out of vectors in the order in which the processors' packing leaves them: a block of `V` vectors covers
//! 16 x `V` channels, and lane 4 l + i of vector j is channel [`channel_of`] = 4 V l + 4 j + i of the block.

use crate::simd;

/// Sums side by side.
pub(crate) const LANES: usize = 16;
/// Vectors of sums that a block of channels has at most.
pub(crate) const VECTORS: usize = 4;
/// Bytes side by side: four to a sum, and the channels of a full block.
pub(crate) const BYTES: usize = 4 * LANES;
/// Fours of bytes that products take at a time at most.
pub(crate) const QUADS: usize = 16;

/// Where a lane's channel lies in its block of `vectors` vectors.
pub(super) fn channel_of(vectors: usize, vector: usize, lane: usize) -> usize {
    4 * vectors * (lane / 4) + 4 * vector + lane % 4
}

/// Sixteen whole numbers of 32 bits.
///
/// As with [`crate::simd::Lanes`], implementations other than [`Portable`] may only be used where
/// [`super::instructions::Instructions`] has made sure that the machine has them.
pub(crate) trait Dots: Copy {
    /// Four bytes for each lane.
    type Quads: Copy;
    /// What the machine has for single precision, if it has these.
    type Floats: simd::Lanes;
    /// Whether there are registers for two dozen vectors of sums.
    const WIDE: bool;

    /// The same value everywhere.
    fn splat(value: i32) -> Self;
    /// The values of an array.
    fn load(values: &[i32; LANES]) -> Self;
    /// The sums to begin with: `bias`, and what makes up for another range of bytes where the instructions need one.
    /// `weight_sums` are the sums of all weights of each lane.
    #[inline(always)]
    fn start(bias: &[i32; LANES], _weight_sums: &[i32; LANES]) -> Self {
        Self::load(bias)
    }
    /// The same four bytes for every lane.
    fn broadcast(quad: &[u8; 4]) -> Self::Quads;
    /// Bytes of four rows, a byte of each to a lane; lanes in the order of a full block.
    fn interleave(rows: [&[u8; BYTES]; 4]) -> [Self::Quads; VECTORS];
    /// self + the sum of the four products of each lane.
    fn dot(self, quads: Self::Quads, weights: &[i8; BYTES]) -> Self;
    /// The lesser of each pair.
    fn min(self, other: Self) -> Self;
    /// Whether any of them is at most `limit`.
    fn any_at_most(self, limit: i32) -> bool;
    /// Back into an array.
    fn store(self) -> [i32; LANES];
    /// (self x multipliers + rounding) / 2^32, rounded down; in 64 bits.
    fn scale(self, multipliers: Self, rounding: i64) -> Self;
    /// (self x multipliers + other x factor + rounding) / 2^32, rounded down; in 64 bits.
    fn scale_with(self, multipliers: Self, other: Self, factor: i32, rounding: i64) -> Self;
    /// The first 16 x `V` bytes, each times 256.
    fn widen<const V: usize>(bytes: &[u8; BYTES]) -> [Self; V];
    /// The block's channels as bytes, not below `least` nor above `most`; those beyond 16 x `V` are of no meaning.
    fn pack<const V: usize>(values: [Self; V], least: u8, most: u8) -> [u8; BYTES];
}

/// For every machine.
#[derive(Clone, Copy)]
pub(super) struct Portable([i32; LANES]);

impl Dots for Portable {
    type Quads = [[u8; 4]; LANES];
    type Floats = simd::Portable;
    const WIDE: bool = false;

    #[inline(always)]
    fn splat(value: i32) -> Self {
        Self([value; LANES])
    }

    #[inline(always)]
    fn load(values: &[i32; LANES]) -> Self {
        Self(*values)
    }

    #[inline(always)]
    fn broadcast(quad: &[u8; 4]) -> Self::Quads {
        [*quad; LANES]
    }

    #[inline(always)]
    fn interleave(rows: [&[u8; BYTES]; 4]) -> [Self::Quads; VECTORS] {
        let quad = |channel: usize| rows.map(|row| row[channel]);
        std::array::from_fn(|vector| std::array::from_fn(|lane| quad(channel_of(VECTORS, vector, lane))))
    }

    #[inline(always)]
    fn dot(mut self, quads: Self::Quads, weights: &[i8; BYTES]) -> Self {
        for (sum, (quad, weights)) in self.0.iter_mut().zip(quads.iter().zip(weights.as_chunks::<4>().0)) {
            for (&byte, &weight) in quad.iter().zip(weights) {
                *sum = sum.wrapping_add(i32::from(byte) * i32::from(weight));
            }
        }
        self
    }

    #[inline(always)]
    fn min(mut self, other: Self) -> Self {
        for (value, other) in self.0.iter_mut().zip(other.0) {
            *value = other.min(*value);
        }
        self
    }

    #[inline(always)]
    fn any_at_most(self, limit: i32) -> bool {
        self.0.iter().any(|&sum| sum <= limit)
    }

    #[inline(always)]
    fn store(self) -> [i32; LANES] {
        self.0
    }

    #[inline(always)]
    fn scale(self, multipliers: Self, rounding: i64) -> Self {
        self.scale_with(multipliers, Self([0; LANES]), 0, rounding)
    }

    #[inline(always)]
    fn scale_with(mut self, multipliers: Self, other: Self, factor: i32, rounding: i64) -> Self {
        for lane in 0..LANES {
            let own = i64::from(self.0[lane]) * i64::from(multipliers.0[lane]);
            let others = i64::from(other.0[lane]) * i64::from(factor);
            self.0[lane] = (own.wrapping_add(others).wrapping_add(rounding) >> 32) as i32;
        }
        self
    }

    #[inline(always)]
    fn widen<const V: usize>(bytes: &[u8; BYTES]) -> [Self; V] {
        let value = |vector, lane| i32::from(bytes[channel_of(V, vector, lane)]) << 8;
        std::array::from_fn(|vector| Self(std::array::from_fn(|lane| value(vector, lane))))
    }

    #[inline(always)]
    fn pack<const V: usize>(values: [Self; V], least: u8, most: u8) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        for (vector, values) in values.iter().enumerate() {
            for (lane, value) in values.0.into_iter().enumerate() {
                bytes[channel_of(V, vector, lane)] = (value.clamp(0, 255) as u8).max(least).min(most);
            }
        }
        bytes
    }
}
