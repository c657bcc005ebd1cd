//! Sums over keys for successive positions: `Y[o, p] = first[o] + sum over k of W[k, o] X[at(k) + p]`.

use super::band::Segment;
use blemish_kernels::simd::{Kernel, LANES, Lanes};

/// Outputs that are summed side by side.
pub(super) const OUTPUTS: usize = 8;

pub(super) struct Sums<'a> {
    pub(super) lines: &'a [f32],
    /// Where the first position meets each key.
    pub(super) keys: &'a [usize],
    pub(super) weights: &'a [[f32; OUTPUTS]],
    pub(super) first: [f32; OUTPUTS],
    /// Outputs that are asked for; the rest is not written.
    pub(super) outputs: usize,
    pub(super) segments: &'a [Segment],
    /// Of all segments.
    pub(super) positions: usize,
    /// Outputs x positions.
    pub(super) to: &'a mut [f32],
}

impl Kernel for Sums<'_> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(mut self) {
        const HALF: usize = OUTPUTS / 2;
        let is_few = self.outputs <= HALF;
        for index in 0..self.segments.len() {
            let (from, to, count) = self.segments[index];
            let mut at = 0;
            while V::WIDE && is_few && at + 6 * LANES <= count {
                self.tile::<V, HALF, 6>(0, from + at, to + at);
                at += 6 * LANES;
            }
            while V::WIDE && !is_few && at + 3 * LANES <= count {
                self.tile::<V, OUTPUTS, 3>(0, from + at, to + at);
                at += 3 * LANES;
            }
            while V::WIDE && at < count {
                self.tile::<V, OUTPUTS, 1>(0, from + at, to + at);
                at += LANES;
            }
            while at < count {
                self.tile::<V, HALF, 1>(0, from + at, to + at);
                if !is_few {
                    self.tile::<V, HALF, 1>(HALF, from + at, to + at);
                }
                at += LANES;
            }
        }
    }
}

impl Sums<'_> {
    /// O outputs from `output` on at P vectors from positions on.
    #[inline(always)]
    fn tile<V: Lanes, const O: usize, const P: usize>(&mut self, output: usize, from: usize, to: usize) {
        let mut sums = [[V::splat(0.0); P]; O];
        for o in 0..O {
            sums[o] = [V::splat(self.first[output + o]); P];
        }
        for (&key, weights) in self.keys.iter().zip(self.weights) {
            let (x, _) = self.lines[key + from..][..P * LANES].as_chunks::<LANES>();
            let mut values = [V::splat(0.0); P];
            for p in 0..P {
                values[p] = V::load(&x[p]);
            }
            for o in 0..O {
                let weight = V::splat(weights[output + o]);
                for p in 0..P {
                    sums[o][p] = values[p].mul_add(weight, sums[o][p]);
                }
            }
        }
        for o in 0..O {
            let (to, _) = self.to[(output + o) * self.positions + to..][..P * LANES].as_chunks_mut::<LANES>();
            for p in 0..P {
                to[p] = sums[o][p].store();
            }
        }
    }
}
