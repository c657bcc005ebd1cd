//! From sums to bytes: fixed-point ratios and what is done to a sum before it is stored.

use super::dense::Sink;
use super::lanes::{BYTES, Dots, LANES};
use crate::KernelError;

/// A ratio of scales as a whole number of 2^-`BITS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ratio<const BITS: u32>(i32);

/// What sums are multiplied with: scale of the input x scale of the weights / scale of the output, at most 1/2.
pub type SumRatio = Ratio<32>;

/// What bytes are multiplied with: scale of the bytes / scale of the output, at most 128.
pub type ByteRatio = Ratio<24>;

impl<const BITS: u32> Ratio<BITS> {
    /// The nearest fixed-point number, halves away from 0.
    ///
    /// # Errors
    /// [`KernelError::Setting`] if the ratio is negative, not a number, or does not fit 31 bits.
    pub fn new(ratio: f64) -> Result<Self, KernelError> {
        // A power of two: the product is exact.
        let units = (ratio * (1u64 << BITS) as f64).round();
        if !(0.0..=f64::from(i32::MAX)).contains(&units) {
            return Err(KernelError::Setting {
                setting: "ratio of scales",
                value: ratio.to_string(),
                range: format!("it must lie from 0 to below {}", 2f64.powi(31 - BITS as i32)),
            });
        }
        Ok(Self(units as i32))
    }

    /// The whole number.
    pub fn units(self) -> i32 {
        self.0
    }
}

/// How the sums of a layer become bytes.
#[derive(Clone, Debug)]
pub struct Requantisation {
    /// The byte of 0 in the input.
    pub input_zero: u8,
    /// One a channel of the output.
    pub ratios: Vec<SumRatio>,
    /// The byte of 0 in the output.
    pub output_zero: u8,
    /// The lowest byte of the output: `output_zero` for ReLU, 0 for none.
    pub least: u8,
    /// The highest byte of the output: that of 6 for ReLU6, 255 for none.
    pub most: u8,
}

/// What the lanes of one vector of sums need.
#[derive(Clone, Debug)]
#[repr(align(64))]
pub(super) struct Constants {
    /// Bias less the sum of the weights times the zero of the input.
    pub bias: [i32; LANES],
    pub weight_sums: [i32; LANES],
    /// Of 2^-32.
    pub multipliers: [i32; LANES],
}

/// What is done to sums before they are stored.
#[derive(Clone, Copy)]
pub(super) struct Finish<'a> {
    /// Added before the division by 2^32: one half, and all zeros.
    rounding: i64,
    least: u8,
    most: u8,
    /// Bytes laid out as the output, and what they are multiplied with, of 2^-24.
    residual: Option<(&'a [u8], i32)>,
}

/// One half of 2^32.
const HALF: i64 = 1 << 31;

impl<'a> Finish<'a> {
    /// With a residual's bytes, their zero and their ratio, if there is one.
    pub fn new(output: [u8; 3], residual: Option<(&'a [u8], u8, ByteRatio)>) -> Self {
        let [zero, least, most] = output;
        let mut rounding = HALF + (i64::from(zero) << 32);
        if let Some((_, zero, ratio)) = residual {
            rounding -= (i64::from(zero) << 8) * i64::from(ratio.0);
        }
        Self { rounding, least, most, residual: residual.map(|(bytes, _, ratio)| (bytes, ratio.0)) }
    }

    /// The same for outputs from byte `start` on.
    pub fn from(self, start: usize) -> Self {
        Self { residual: self.residual.map(|(bytes, factor)| (&bytes[start..], factor)), ..self }
    }

    /// The bytes of a block's sums, the first of which goes to byte `at` of the output; `constants` are those of the block's
    /// vectors.
    #[inline(always)]
    fn bytes<D: Dots, const V: usize>(
        &self,
        sums: [D; V],
        constants: &[Constants; V],
        at: usize,
    ) -> [u8; BYTES] {
        let mut values = sums;
        if let Some((bytes, factor)) = self.residual {
            let bytes = &bytes[at..];
            // More bytes than the block has do no harm.
            let others: [D; V] = match bytes.first_chunk() {
                Some(bytes) => D::widen(bytes),
                None => {
                    let mut filled = [0; BYTES];
                    filled[..bytes.len()].copy_from_slice(bytes);
                    D::widen(&filled)
                }
            };
            for vector in 0..V {
                let multipliers = D::load(&constants[vector].multipliers);
                values[vector] = sums[vector].scale_with(multipliers, others[vector], factor, self.rounding);
            }
        } else {
            for vector in 0..V {
                values[vector] = sums[vector].scale(D::load(&constants[vector].multipliers), self.rounding);
            }
        }
        D::pack(values, self.least, self.most)
    }

    /// Writes these bytes to the output, whose pixels take `pitch` bytes: those that a pixel has room for.
    #[inline(always)]
    pub fn store<D: Dots, const V: usize>(
        &self,
        sums: [D; V],
        constants: &[Constants; V],
        at: usize,
        pitch: usize,
        out: &mut [u8],
    ) {
        let bytes = self.bytes(sums, constants, at);
        let out = &mut out[at..];
        // Only the pixels of a map of few channels have no room for all vectors.
        if pitch < V * LANES {
            return out[..pitch].copy_from_slice(&bytes[..pitch]);
        }
        let vectors = out.as_chunks_mut::<LANES>().0[..V].iter_mut();
        vectors.zip(bytes.as_chunks().0).for_each(|(out, bytes)| *out = *bytes);
    }
}

/// Pixels of bytes to be written.
pub(super) struct Pixels<'a> {
    /// One a vector.
    pub constants: &'a [Constants],
    pub finish: Finish<'a>,
    /// Bytes from a pixel to the next.
    pub pitch: usize,
    /// Pixels x pitch.
    pub out: &'a mut [u8],
}

impl Sink for Pixels<'_> {
    #[inline(always)]
    fn start(&self, vector: usize) -> &[i32; LANES] {
        &self.constants[vector].bias
    }

    #[inline(always)]
    fn weight_sums(&self, vector: usize) -> &[i32; LANES] {
        &self.constants[vector].weight_sums
    }

    #[inline(always)]
    fn store<D: Dots, const V: usize>(&mut self, pixel: usize, first: usize, sums: [D; V]) {
        let constants: &[Constants; V] = &self.constants[first..].as_chunks::<V>().0[0];
        self.finish.store(sums, constants, pixel * self.pitch + first * LANES, self.pitch, self.out);
    }
}
