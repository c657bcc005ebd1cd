//! Some neighbouring channels of every image, and their way back. Burn's slices are written value by value.

use crate::real::Real;
use std::ops::Range;

/// A range of the `values` of every image.
pub(crate) fn take<T: Real>(x: &[T], values: usize, range: Range<usize>) -> Vec<T> {
    let images = x.len() / values.max(1);
    let mut out = Vec::with_capacity(images * range.len());
    x.chunks_exact(values.max(1)).for_each(|image| out.extend_from_slice(&image[range.clone()]));
    out
}

/// Images of `values` that are zero except in a range.
pub(crate) fn put<T: Real>(part: &[T], values: usize, range: Range<usize>) -> Vec<T> {
    let images = part.len() / range.len().max(1);
    let mut out = vec![T::default(); images * values];
    for (image, part) in out.chunks_exact_mut(values.max(1)).zip(part.chunks_exact(range.len().max(1))) {
        image[range.clone()].copy_from_slice(part);
    }
    out
}
