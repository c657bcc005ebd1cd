//! The transforms of Winograd's F(4x4, 3x3), along one line, for convolutions of frozen networks and for training.
//!
//! Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, CVPR 2016: a tile of 4x4 outputs is
//! `A^T [ (G g G^T) . (B^T d B) ] A` for a kernel g and the 6x6 inputs d around the tile, entry by entry.

use crate::simd::Lanes;

/// Side of a tile of outputs.
pub const TILE: usize = 4;
/// Side of the inputs it needs.
pub const REACH: usize = 6;
/// Products a tile.
pub const PRODUCTS: usize = REACH * REACH;

/// One way of a transform: N values to M.
///
/// Closures and what the standard library does with them are not inlined into code for wider vectors, hence types and plain loops.
pub trait Line<const N: usize, const M: usize> {
    /// What becomes of one line.
    fn of<V: Lanes>(values: [V; N]) -> [V; M];

    /// Each column and then each row taken that way.
    #[inline(always)]
    fn both_ways<V: Lanes>(values: [[V; N]; N]) -> [[V; M]; M] {
        let mut half = [[V::splat(0.0); N]; M];
        for column in 0..N {
            let mut line = [V::splat(0.0); N];
            for row in 0..N {
                line[row] = values[row][column];
            }
            let line = Self::of(line);
            for row in 0..M {
                half[row][column] = line[row];
            }
        }
        let mut done = [[V::splat(0.0); M]; M];
        for row in 0..M {
            done[row] = Self::of(half[row]);
        }
        done
    }
}

/// B^T d.
pub struct InputLine;

impl Line<REACH, REACH> for InputLine {
    #[inline(always)]
    fn of<V: Lanes>(d: [V; REACH]) -> [V; REACH] {
        let (four, five) = (V::splat(4.0), V::splat(-5.0));
        let even = d[2].mul_add(V::splat(-4.0), d[4]);
        let odd = d[1].mul_add(V::splat(-4.0), d[3]);
        let outer = d[4].sub(d[2]);
        let inner = d[3].sub(d[1]).mul(V::splat(2.0));
        [
            d[0].mul_add(four, d[2].mul_add(five, d[4])),
            even.add(odd),
            even.sub(odd),
            outer.add(inner),
            outer.sub(inner),
            d[1].mul_add(four, d[3].mul_add(five, d[5])),
        ]
    }
}

/// A^T m.
pub struct OutputLine;

impl Line<REACH, TILE> for OutputLine {
    #[inline(always)]
    fn of<V: Lanes>(m: [V; REACH]) -> [V; TILE] {
        let (near_sum, near_difference) = (m[1].add(m[2]), m[1].sub(m[2]));
        let (far_sum, far_difference) = (m[3].add(m[4]), m[3].sub(m[4]));
        [
            m[0].add(near_sum).add(far_sum),
            far_difference.mul_add(V::splat(2.0), near_difference),
            far_sum.mul_add(V::splat(4.0), near_sum),
            far_difference.mul_add(V::splat(8.0), near_difference).add(m[5]),
        ]
    }
}

/// A y, the transpose of [`OutputLine`].
pub struct GradientLine;

impl Line<TILE, REACH> for GradientLine {
    #[inline(always)]
    fn of<V: Lanes>(y: [V; TILE]) -> [V; REACH] {
        let (even, odd) = (y[0].add(y[2]), y[1].add(y[3]));
        let far_even = y[2].mul_add(V::splat(4.0), y[0]);
        let far_odd = y[3].mul_add(V::splat(8.0), y[1].mul(V::splat(2.0)));
        [y[0], even.add(odd), even.sub(odd), far_even.add(far_odd), far_even.sub(far_odd), y[3]]
    }
}

/// G g.
pub struct KernelLine;

impl Line<3, REACH> for KernelLine {
    #[inline(always)]
    fn of<V: Lanes>(g: [V; 3]) -> [V; REACH] {
        let sixth = V::splat(-1.0 / 6.0);
        let even = g[0].add(g[2]);
        let far_even = g[0].mul_add(V::splat(1.0 / 24.0), g[2].mul(V::splat(1.0 / 6.0)));
        let far_odd = g[1].mul(V::splat(1.0 / 12.0));
        [
            g[0].mul(V::splat(0.25)),
            even.add(g[1]).mul(sixth),
            even.sub(g[1]).mul(sixth),
            far_even.add(far_odd),
            far_even.sub(far_odd),
            g[2],
        ]
    }
}

/// G^T h, the transpose of [`KernelLine`].
pub struct TapLine;

impl Line<REACH, 3> for TapLine {
    #[inline(always)]
    fn of<V: Lanes>(h: [V; REACH]) -> [V; 3] {
        let near = h[1].add(h[2]).mul(V::splat(-1.0 / 6.0));
        let far = h[3].add(h[4]);
        let odd = h[3].sub(h[4]).mul(V::splat(1.0 / 12.0));
        [
            h[0].mul_add(V::splat(0.25), far.mul_add(V::splat(1.0 / 24.0), near)),
            h[2].sub(h[1]).mul_add(V::splat(1.0 / 6.0), odd),
            far.mul_add(V::splat(1.0 / 6.0), near).add(h[5]),
        ]
    }
}
