//! The largest of each 2 x 2 values of a map, and its gradient.

use crate::real::Real;
use blemish_kernels::simd::{Kernel, Lanes, widest};
use rayon::prelude::*;

/// Height and width of a map; a last odd row or column is left out.
#[derive(Clone, Copy)]
pub(crate) struct Plane {
    pub(crate) height: usize,
    pub(crate) width: usize,
}

struct Forward<'a, T> {
    plane: Plane,
    x: &'a [T],
    y: &'a mut [T],
}

impl<T: Real> Kernel for Forward<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let width = self.plane.width;
        for (y, rows) in self.y.chunks_exact_mut(width / 2).zip(self.x.chunks_exact(2 * width)) {
            let (above, below) = rows.split_at(width);
            let pairs = above.as_chunks::<2>().0.iter().zip(below.as_chunks::<2>().0);
            for (y, ([a, b], [c, d])) in y.iter_mut().zip(pairs) {
                *y = a.larger(*b).larger(c.larger(*d));
            }
        }
    }
}

struct Backward<'a, T> {
    plane: Plane,
    x: &'a [T],
    gradient: &'a [T],
    out: &'a mut [T],
}

impl<T: Real> Kernel for Backward<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let width = self.plane.width;
        let zero = T::default();
        let rows = self.x.chunks_exact(2 * width).zip(self.gradient.chunks_exact(width / 2));
        for (out, (x, gradient)) in self.out.chunks_exact_mut(2 * width).zip(rows) {
            let ((above, below), (top, bottom)) = (x.split_at(width), out.split_at_mut(width));
            let pairs = above.as_chunks::<2>().0.iter().zip(below.as_chunks::<2>().0);
            let to = top.as_chunks_mut::<2>().0.iter_mut().zip(bottom.as_chunks_mut::<2>().0);
            for ((([a, b], [c, d]), (top, bottom)), &gradient) in pairs.zip(to).zip(gradient) {
                let most = a.larger(*b).larger(c.larger(*d));
                // To the first of equals.
                let is_a = *a == most;
                let is_b = !is_a & (*b == most);
                let is_c = !is_a & !is_b & (*c == most);
                let is_d = !is_a & !is_b & !is_c;
                *top = [if is_a { gradient } else { zero }, if is_b { gradient } else { zero }];
                *bottom = [if is_c { gradient } else { zero }, if is_d { gradient } else { zero }];
            }
        }
    }
}

impl Plane {
    fn values(&self) -> usize {
        self.height * self.width
    }

    fn pooled(&self) -> usize {
        (self.height / 2) * (self.width / 2)
    }

    fn grain(&self) -> usize {
        (1 << 14) / self.values().max(1) + 1
    }

    pub(crate) fn forward<T: Real>(self, x: &[T]) -> Vec<T> {
        let mut out = vec![T::default(); x.len() / self.values() * self.pooled()];
        let planes = out.par_chunks_exact_mut(self.pooled()).zip(x.par_chunks_exact(self.values()));
        planes.with_min_len(self.grain()).for_each(|(y, x)| widest(Forward { plane: self, x, y }));
        out
    }

    pub(crate) fn backward<T: Real>(self, x: &[T], gradient: &[T]) -> Vec<T> {
        let mut out = vec![T::default(); x.len()];
        let from = x.par_chunks_exact(self.values()).zip(gradient.par_chunks_exact(self.pooled()));
        let planes = out.par_chunks_exact_mut(self.values()).zip(from);
        planes
            .with_min_len(self.grain())
            .for_each(|(out, (x, gradient))| widest(Backward { plane: self, x, gradient, out }));
        out
    }
}
