//! Channels in another order.

use crate::real::Real;
use rayon::prelude::*;

/// Channel c of the result is channel `order[c]` of x (images x channels x positions).
pub(crate) fn permute<T: Real>(x: &[T], positions: usize, order: &[usize]) -> Vec<T> {
    let mut out = vec![T::default(); x.len()];
    let values = order.len() * positions;
    if values == 0 {
        return out;
    }
    let grain = (1 << 15) / values + 1;
    let images = out.par_chunks_exact_mut(values).zip(x.par_chunks_exact(values));
    images.with_min_len(grain).for_each(|(out, x)| {
        if positions == 1 {
            out.iter_mut().zip(order).for_each(|(out, &channel)| *out = x[channel]);
        } else {
            for (out, &channel) in out.chunks_exact_mut(positions).zip(order) {
                out.copy_from_slice(&x[channel * positions..][..positions]);
            }
        }
    });
    out
}

/// The order that undoes another.
pub(crate) fn inverse(order: &[usize]) -> Vec<usize> {
    let mut inverse = vec![0; order.len()];
    order.iter().enumerate().for_each(|(to, &from)| inverse[from] = to);
    inverse
}
