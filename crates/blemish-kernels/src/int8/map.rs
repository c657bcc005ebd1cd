//! Feature maps of bytes, and the way between them and single precision.

use crate::KernelError;
use crate::contraction::WHOLE;
use crate::conv::ChannelsLast;
use crate::lines::Lines;
use crate::simd::{Kernel, LANES, Lanes, widest};

/// Which number a byte q stands for: scale x (q - zero).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantisation {
    scale: f32,
    zero: u8,
}

impl Quantisation {
    /// Checks the scale.
    ///
    /// # Errors
    /// [`KernelError::Setting`] if it is not a normal number above 0, or so small that its reciprocal is none.
    pub fn new(scale: f32, zero: u8) -> Result<Self, KernelError> {
        if !is_step(scale) {
            return Err(KernelError::Setting {
                setting: "scale",
                value: scale.to_string(),
                range: "it must be a normal number above 0 with a normal reciprocal".into(),
            });
        }
        Ok(Self { scale, zero })
    }

    /// That of bytes that cover all from `least`, at most 0, to `most`, at least 0.
    pub(super) fn covering(least: f32, most: f32) -> Self {
        // The ends are divided one by one, since their distance may be out of reach.
        let scale = most / 255.0 - least / 255.0;
        // Next to nothing: any scale serves.
        let scale = if is_step(scale) { scale } else { 1.0 };
        Self { scale, zero: (-least / scale).round().clamp(0.0, 255.0) as u8 }
    }

    /// The number between two bytes that follow each other.
    pub fn scale(&self) -> f32 {
        self.scale
    }

    /// The byte of 0.
    pub fn zero(&self) -> u8 {
        self.zero
    }

    /// The nearest byte, that of the lowest number for NaN; ties go to the even multiple of the scale.
    pub fn byte(&self, value: f32) -> u8 {
        let zero = i32::from(self.zero);
        let [least, most] = [-zero, 255 - zero].map(|bound| bound as f32);
        let steps = (value * self.scale.recip()).max(least).min(most);
        (steps.round_ties_even() as i32 + zero) as u8
    }

    /// The number that a byte stands for.
    pub fn number(&self, byte: u8) -> f32 {
        self.scale * (i32::from(byte) - i32::from(self.zero)) as f32
    }
}

/// Whether a number and its reciprocal are normal, and above 0.
fn is_step(scale: f32) -> bool {
    scale.is_normal() && scale > 0.0 && scale.recip().is_normal()
}

/// [`Quantisation::byte`] of sixteen numbers at a time.
#[derive(Clone, Copy)]
pub(super) struct Rounding<V> {
    factor: V,
    least: V,
    most: V,
    zero: i32,
}

impl<V: Lanes> Rounding<V> {
    #[inline(always)]
    pub fn new(quantisation: Quantisation) -> Self {
        let zero = i32::from(quantisation.zero);
        Self {
            factor: V::splat(quantisation.scale.recip()),
            least: V::splat(-zero as f32),
            most: V::splat((255 - zero) as f32),
            zero,
        }
    }

    #[inline(always)]
    pub fn bytes(self, values: &[f32; LANES]) -> [u8; LANES] {
        // The second of two that do not compare is taken.
        let steps = V::load(values).mul(self.factor).max(self.least).min(self.most);
        // Added to this size they become the nearest whole numbers, ties the even ones, with their low bits in the mantissa.
        let steps = steps.add(V::splat(WHOLE)).store();
        let mut bytes = [0; LANES];
        for lane in 0..LANES {
            bytes[lane] = (steps[lane].to_bits() as i32).wrapping_add(self.zero) as u8;
        }
        bytes
    }
}

/// A feature map of bytes, height x width x channels. A pixel takes as many bytes as channels, filled up to 4, 16, 32 or whole cache
/// lines of 64, so that vectors of a pixel's channels lie in one line each; what fills it up is of no meaning.
#[derive(Clone, Debug, PartialEq)]
pub struct ByteMap {
    /// Rows of pixels.
    pub height: usize,
    /// Pixels a row.
    pub width: usize,
    /// Channels a pixel.
    pub channels: usize,
    /// The byte of 0, which lies around the map where windows reach beyond it.
    pub zero: u8,
    pub(super) pitch: usize,
    pub(super) values: Lines<u8>,
}

/// Bytes that a pixel of so many channels takes.
pub(super) fn pitch_of(channels: usize) -> usize {
    [4, 16, 32].into_iter().find(|&bytes| channels <= bytes).unwrap_or(channels.next_multiple_of(64))
}

impl ByteMap {
    /// A map with bytes yet to be written, in the memory of one that is not needed any more.
    pub(super) fn recycled([height, width, channels]: [usize; 3], zero: u8, mut space: Lines<u8>) -> Self {
        let pitch = pitch_of(channels);
        space.resize(height * width * pitch);
        Self { height, width, channels, zero, pitch, values: space }
    }

    /// Bytes that a map takes.
    pub fn bytes(height: usize, width: usize, channels: usize) -> usize {
        height * width * pitch_of(channels)
    }

    /// The memory it takes, for a map to come.
    pub fn into_space(self) -> Lines<u8> {
        self.values
    }

    /// The byte of a channel of a pixel.
    ///
    /// # Panics
    /// If there is none.
    pub fn at(&self, y: usize, x: usize, channel: usize) -> u8 {
        assert!(x < self.width && channel < self.channels, "a pixel and channel of the map");
        self.values[(y * self.width + x) * self.pitch + channel]
    }

    /// From bytes, height x width x channels, without gaps.
    ///
    /// # Panics
    /// If `bytes` is not as long as the shape says.
    pub fn from_bytes(bytes: &[u8], [height, width, channels]: [usize; 3], zero: u8) -> Self {
        assert_eq!(bytes.len(), height * width * channels, "one byte a channel of every pixel");
        let mut map = Self::recycled([height, width, channels], zero, Lines::new());
        let pixels = map.values.chunks_exact_mut(map.pitch).zip(bytes.chunks_exact(channels.max(1)));
        pixels.for_each(|(to, from)| to[..channels].copy_from_slice(from));
        map
    }

    /// The nearest bytes ([`Quantisation::byte`]) of channels x height x width values.
    ///
    /// # Panics
    /// If `planes` is not as long as the shape says.
    pub fn quantise(
        planes: &[f32],
        [channels, height, width]: [usize; 3],
        quantisation: Quantisation,
        space: Lines<u8>,
    ) -> Self {
        let area = height * width;
        assert_eq!(planes.len(), channels * area, "planes of one size, one a channel");
        let mut map = Self::recycled([height, width, channels], quantisation.zero, space);
        for (channel, plane) in planes.chunks_exact(area.max(1)).enumerate() {
            widest(Quantise { plane, quantisation, pitch: map.pitch, out: &mut map.values[channel..] });
        }
        map
    }

    /// The numbers that the bytes stand for.
    pub fn dequantise(&self, quantisation: Quantisation, space: Lines<f32>) -> ChannelsLast {
        let mut out = ChannelsLast::recycled(self.height, self.width, self.channels, space);
        let pitch = out.pitch();
        let table: [f32; 256] = std::array::from_fn(|byte| quantisation.number(byte as u8));
        let pixels = out.all_values_mut().chunks_exact_mut(pitch.max(1));
        for (to, from) in pixels.zip(self.values.chunks_exact(self.pitch)) {
            let (held, filled) = to.split_at_mut(self.channels);
            held.iter_mut().zip(from).for_each(|(number, &byte)| *number = table[usize::from(byte)]);
            filled.fill(0.0);
        }
        out
    }

    /// Bytes a row of pixels.
    pub(super) fn row_length(&self) -> usize {
        self.width * self.pitch
    }
}

struct Quantise<'a> {
    plane: &'a [f32],
    quantisation: Quantisation,
    pitch: usize,
    out: &'a mut [u8],
}

impl Kernel for Quantise<'_> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let rounding = Rounding::<V>::new(self.quantisation);
        let (chunks, tail) = self.plane.as_chunks::<LANES>();
        let mut pixels = self.out.chunks_mut(self.pitch);
        for chunk in chunks {
            rounding.bytes(chunk).into_iter().zip(&mut pixels).for_each(|(byte, pixel)| pixel[0] = byte);
        }
        let last = rounding.bytes(&crate::simd::padded(tail));
        last.into_iter().zip(pixels).for_each(|(byte, pixel)| pixel[0] = byte);
    }
}
