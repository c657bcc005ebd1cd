//! Rows and queries in bytes, packed for products.

use crate::contraction::{Bound, WHOLE, nearest_whole};
use crate::int8::{BYTES, QUADS};
use crate::knn::Limit;
use crate::lines::Lines;
use crate::simd::{Kernel, LANES, Lanes, padded, widest};

/// Panels side by side.
pub(super) const PAIR: usize = 2;
/// Coordinates that an image has at most, so that scores stay below [`NO_ROW`].
const WIDEST: usize = 16 << 10;
/// Above every score: that of a place in the last panel without a row.
pub(super) const NO_ROW: i32 = 1 << 30;

/// Fours that coordinates take: filled up with nothing to tiles of one width, none wider than [`QUADS`].
fn quads_of(width: usize) -> usize {
    let quads = width.div_ceil(4);
    let tiles = quads.div_ceil(QUADS);
    quads.next_multiple_of(tiles.max(1))
}

/// Rows in bytes, sixteen to a panel; an even number of panels.
pub(in crate::knn) struct BytePanels {
    width: usize,
    step: f64,
    /// Two panels side by side after two others: four coordinates a time of sixteen rows each, with the sign turned round.
    pub(super) values: Lines<[[i8; BYTES]; PAIR]>,
    /// ||q_b||^2 / 2, rounded down, and what makes up for queries coming as q_a + 128; a panel each.
    pub(super) offsets: Lines<[i32; LANES]>,
    /// The sums of the values of a row, a panel each.
    pub(super) sums: Lines<[i32; LANES]>,
    /// The largest of the rows' ||e_b||, rounded up.
    pub(super) lost: f64,
}

/// Queries of a scan: what stands for them.
pub(in crate::knn) struct ByteQueries {
    /// q_a + 128, queries x quads.
    pub(super) values: Vec<[u8; 4]>,
    pub(super) bounds: Vec<ByteBound>,
}

/// Turns a squared distance at hand into the greatest score that could belong to a row at least as near.
#[derive(Clone, Copy)]
pub(in crate::knn) struct ByteBound {
    bound: Bound,
    /// ||e_a|| and the largest ||e_b||.
    pub(super) lost: f64,
    step: f64,
    /// ||q_a||^2.
    square: f64,
}

impl Limit for ByteBound {
    #[inline(always)]
    fn limit(&self, squared: f32) -> f64 {
        let reach = (self.bound.reach(squared) + self.lost) / self.step;
        // A score has lost up to 1/2 to whole numbers; the rest covers the rounding of this line.
        (reach * reach * (1.0 + 1e-9) - self.square) / 2.0 + 1.0
    }
}

impl BytePanels {
    /// Packs images of `width` coordinates; `None` if they are too wide.
    pub fn new(images: &[f32], width: usize) -> Option<Self> {
        let greatest = images.iter().fold(0.0f32, |most, value| most.max(value.abs()));
        // What is smaller than a normal number is lost, as all rounding is.
        let step = f64::from((greatest / 127.0).max(f32::MIN_POSITIVE));
        let (rows, quads) = (images.len() / width, quads_of(width));
        let panels = rows.div_ceil(LANES).next_multiple_of(PAIR);
        let mut packed = Self {
            width,
            step,
            values: Lines::zeros(panels / PAIR * quads),
            offsets: std::iter::repeat_n([NO_ROW; LANES], panels).collect(),
            sums: Lines::zeros(panels),
            lost: 0.0,
        };
        for (row, image) in images.chunks_exact(width).enumerate() {
            let (panel, lane) = (row / LANES, row % LANES);
            let (mut sum, mut square, mut lost) = (0, 0, 0.0);
            for (at, &value) in image.iter().enumerate() {
                let (byte, error) = packed.rounded(value);
                let quad = &mut packed.values[panel / PAIR * quads + at / 4][panel % PAIR];
                quad[4 * lane + at % 4] = -byte;
                sum -= i32::from(byte);
                square += i32::from(byte) * i32::from(byte);
                lost += error * error;
            }
            packed.offsets[panel][lane] = square / 2 - 128 * sum;
            packed.sums[panel][lane] = sum;
            packed.lost = packed.lost.max(lost.sqrt() * (1.0 + 1e-9));
        }
        (width <= WIDEST).then_some(packed)
    }

    /// The values of a panel, which is even, and of the next.
    #[inline(always)]
    pub(super) fn pair(&self, panel: usize) -> &[[[i8; BYTES]; PAIR]] {
        let quads = self.quads();
        &self.values[panel / PAIR * quads..][..quads]
    }

    /// A near step that a byte has, and how far it is off.
    #[inline(always)]
    fn rounded(&self, value: f32) -> (i8, f64) {
        let byte = nearest_whole(value * (1.0 / self.step) as f32).clamp(-127.0, 127.0);
        (byte as i8, f64::from(value) - f64::from(byte) * self.step)
    }

    pub(super) fn quads(&self) -> usize {
        quads_of(self.width)
    }

    /// What images of queries, each with its bound, are compared as.
    pub fn queries(&self, images: &[f32], bounds: &[Bound]) -> ByteQueries {
        let mut values = vec![[128; 4]; bounds.len() * self.quads()];
        let rows = images.chunks_exact(self.width).zip(values.chunks_exact_mut(self.quads()));
        let bounds = rows.zip(bounds).map(|((image, values), &bound)| {
            let step = self.step as f32;
            let (lost, square) = widest(Round { image, step, bytes: values.as_flattened_mut() });
            // Each error is itself off by less than 2^-16 of a step, 127 roundings.
            let slack = (self.width as f64).sqrt() * self.step / f64::from(1u32 << 16);
            let lost = f64::from(lost).sqrt() * (1.0 + 1e-4) + slack + self.lost;
            ByteBound { bound, lost, step: self.step, square: f64::from(square) }
        });
        let bounds = bounds.collect();
        ByteQueries { values, bounds }
    }
}

/// Rounds an image to near steps, and writes them + 128. The squares of what it has lost, summed, and those of the steps.
struct Round<'a> {
    image: &'a [f32],
    step: f32,
    /// At least as many as coordinates.
    bytes: &'a mut [u8],
}

impl Kernel for Round<'_> {
    type Output = (f32, i32);

    #[inline(always)]
    fn run<V: Lanes>(self) -> (f32, i32) {
        let (chunks, tail) = self.image.as_chunks::<LANES>();
        let last = padded(tail);
        let (mut lost, mut squares) = (V::splat(0.0), [0; LANES]);
        for (at, chunk) in chunks.iter().chain([&last]).enumerate() {
            let values = V::load(chunk);
            let steps = values.mul(V::splat(1.0 / self.step)).max(V::splat(-127.0)).min(V::splat(127.0));
            let steps = steps.add(V::splat(WHOLE)).sub(V::splat(WHOLE));
            let error = values.sub(steps.mul(V::splat(self.step)));
            lost = error.mul_add(error, lost);
            // At this size the low bits of a number are those of the whole number it holds.
            let steps = steps.add(V::splat(WHOLE)).store();
            let mut bytes = [0; LANES];
            for lane in 0..LANES {
                let step = steps[lane].to_bits() as i8;
                squares[lane] += i32::from(step) * i32::from(step);
                bytes[lane] = (step as u8).wrapping_add(128);
            }
            let out = &mut self.bytes[at * LANES..];
            match out.first_chunk_mut() {
                Some(out) => *out = bytes,
                None => out.copy_from_slice(&bytes[..out.len()]),
            }
        }
        let mut square = 0;
        for lane in 0..LANES {
            square += squares[lane];
        }
        (lost.sum(), square)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_that_are_too_wide_are_not_packed() {
        assert!(BytePanels::new(&vec![1.0; WIDEST + 1], WIDEST + 1).is_none());
        assert!(BytePanels::new(&[0.0; 40], 4).is_some());
    }
}
