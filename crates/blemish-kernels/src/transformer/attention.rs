//! Attention of several heads, a block of queries at a time against all keys.

use super::Activation;
use crate::conv::dense::Panels;
use crate::product::{Finish, Product};
use crate::simd::functions::exp_lanes;
use crate::simd::{Kernel, LANES, Lanes, widest};
use rayon::prelude::*;

/// Queries of a block, whose scores with all keys are in memory at once.
pub const QUERIES: usize = 32;

/// Queries, keys or values: one row a token, heads side by side, inside a matrix that may hold more.
#[derive(Clone, Copy, Debug)]
pub struct Tokens<'a> {
    /// The matrix from the first value of the first head of the first token on.
    pub values: &'a [f32],
    /// Values from a token to the next.
    pub pitch: usize,
}

impl<'a> Tokens<'a> {
    /// Rows of `width` values with nothing between them.
    pub fn new(values: &'a [f32], width: usize) -> Self {
        Self { values, pitch: width }
    }

    /// Queries, keys and values from rows that hold them side by side, `width` values each.
    ///
    /// # Panics
    /// If there is no row.
    pub fn split(rows: &'a [f32], width: usize) -> [Self; 3] {
        [0, 1, 2].map(|part| Self { values: &rows[part * width..], pitch: 3 * width })
    }

    fn from(self, token: usize) -> Self {
        Self { values: &self.values[token * self.pitch..], ..self }
    }
}

/// Sizes of an attention.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Heads {
    /// Number of heads.
    pub count: usize,
    /// Values a head.
    pub width: usize,
    /// Queries a sequence.
    pub queries: usize,
    /// Keys, and values, a sequence.
    pub keys: usize,
    /// What scores are multiplied with.
    pub scale: f32,
}

impl Heads {
    /// Self-attention over sequences of `length` tokens, scores scaled by 1 / sqrt(head width).
    pub fn new(count: usize, width: usize, length: usize) -> Self {
        Self::cross(count, width, length, length)
    }

    /// Attention of `queries` tokens to `keys` others, scores scaled by 1 / sqrt(head width).
    pub fn cross(count: usize, width: usize, queries: usize, keys: usize) -> Self {
        Self { count, width, queries, keys, scale: 1.0 / (width as f32).sqrt() }
    }

    /// Values of a token, all heads.
    pub fn total(&self) -> usize {
        self.count * self.width
    }
}

/// What is added to the scores of a sequence, n queries x m keys, before the softmax. Minus infinity hides a key; a query that sees
/// none gets zeros.
#[derive(Clone, Copy, Debug, Default)]
pub enum Mask<'a> {
    /// Nothing.
    #[default]
    None,
    /// Query i sees keys 0 to i.
    Causal,
    /// Which of the m keys are seen.
    Keys(&'a [bool]),
    /// n x m for all heads, or heads x n x m.
    Bias(&'a [f32]),
    /// For keys on a grid of R rows and C columns, m = R C: the sum of an entry for the key's row and one for its column, heads x n x R
    /// and heads x n x C (SAM's relative positions).
    Grid {
        /// heads x n x R.
        rows: &'a [f32],
        /// heads x n x C.
        columns: &'a [f32],
    },
}

/// softmax(scale Q K^T + mask) V for every sequence and head.
///
/// `out` is tokens x [`Heads::total`]. There are as many sequences as it has room for, one after the other in `query`, `key` and `value`
/// as well; `mask` is given for each by its number. With many sequences each is one thread's work, a lone one is split.
///
/// # Panics
/// If the lengths do not fit.
pub fn attention<'m>(
    heads: Heads,
    [query, key, value]: [Tokens<'_>; 3],
    mask: impl Fn(usize) -> Mask<'m> + Sync,
    out: &mut [f32],
    is_parallel: bool,
) {
    let size = heads.queries * heads.total();
    if size == 0 || out.is_empty() {
        return;
    }
    assert!(out.len().is_multiple_of(size), "whole sequences");
    let work = |(index, out): (usize, &mut [f32]), is_parallel: bool| {
        let query = query.from(index * heads.queries);
        let [key, value] = [key, value].map(|tokens| tokens.from(index * heads.keys));
        Sequence { heads, query, key, value, mask: checked(mask(index), heads) }.run(out, is_parallel);
    };
    if is_parallel && out.len() > size {
        out.par_chunks_mut(size).enumerate().for_each(|item| work(item, false));
    } else {
        out.chunks_mut(size).enumerate().for_each(|item| work(item, is_parallel));
    }
}

/// The mask, if it has the size that it must have.
fn checked<'m>(mask: Mask<'m>, heads: Heads) -> Mask<'m> {
    let Heads { count, queries, keys, .. } = heads;
    match mask {
        Mask::None | Mask::Causal => {}
        Mask::Keys(seen) => assert_eq!(seen.len(), keys, "a mask says of each key whether it is seen"),
        Mask::Bias(values) => {
            let one = queries * keys;
            assert!(values.len() == one || values.len() == count * one, "one bias a pair of query and key");
        }
        Mask::Grid { rows, columns } => {
            let each = count * queries;
            assert!(
                rows.len().is_multiple_of(each) && columns.len().is_multiple_of(each),
                "whole rows of biases"
            );
            assert_eq!(rows.len() / each * (columns.len() / each), keys, "keys fill the grid");
        }
    }
    mask
}

struct Sequence<'a, 'm> {
    heads: Heads,
    query: Tokens<'a>,
    key: Tokens<'a>,
    value: Tokens<'a>,
    mask: Mask<'m>,
}

/// Keys, scaled, and values of a head, packed.
struct Head {
    keys: Panels,
    values: Panels,
}

impl<'a> Sequence<'a, '_> {
    fn run(&self, out: &mut [f32], is_parallel: bool) {
        let Heads { count, queries, .. } = self.heads;
        let total = self.heads.total();
        if is_parallel {
            let heads: Vec<Head> = (0..count).into_par_iter().map(|head| self.pack(head)).collect();
            out.par_chunks_mut(QUERIES * total).enumerate().for_each_init(
                Vec::new,
                |scores, (block, out)| {
                    for (index, head) in heads.iter().enumerate() {
                        self.block(
                            index,
                            head,
                            block * QUERIES,
                            &mut out[index * self.heads.width..],
                            scores,
                        );
                    }
                },
            );
            return;
        }
        // Head by head, whose keys and values then stay in the caches.
        let mut scores = Vec::new();
        for index in 0..count {
            let head = self.pack(index);
            for first in (0..queries).step_by(QUERIES) {
                let out = &mut out[first * total + index * self.heads.width..];
                self.block(index, &head, first, out, &mut scores);
            }
        }
    }

    fn pack(&self, head: usize) -> Head {
        let Heads { width, keys, scale, .. } = self.heads;
        let row =
            |tokens: Tokens<'a>, token: usize| &tokens.values[token * tokens.pitch + head * width..][..width];
        Head {
            keys: Panels::from_rows(keys, width, scale, |token| row(self.key, token)),
            values: Panels::from_columns(width, keys, |token| row(self.value, token)),
        }
    }

    /// The outputs of a head for [`QUERIES`] queries from `first` on, from the start of `out` on.
    fn block(&self, index: usize, head: &Head, first: usize, out: &mut [f32], scores: &mut Vec<f32>) {
        let Heads { width, queries, keys, .. } = self.heads;
        let (rows, total) = (QUERIES.min(queries - first), self.heads.total());
        let pitch = keys.next_multiple_of(LANES);
        scores.resize(QUERIES * pitch, 0.0);
        let scored = Product {
            panels: &head.keys,
            bias: None,
            input: &self.query.from(first).values[index * width..],
            input_pitch: self.query.pitch,
            rows,
            outputs: pitch,
            out_pitch: pitch,
            finish: Finish::Activate(Activation::None),
        };
        scored.run(&mut scores[..rows * pitch], false);
        let mut shares = [0.0; QUERIES];
        for (row, (scores, share)) in scores.chunks_mut(pitch).take(rows).zip(&mut shares).enumerate() {
            let seen = self.add_mask(index, first + row, scores);
            *share = widest(Softmax { scores: &mut scores[..seen] });
            scores[seen..keys].fill(0.0);
        }
        let summed = Product {
            panels: &head.values,
            bias: None,
            input: scores,
            input_pitch: pitch,
            rows,
            outputs: width,
            out_pitch: total,
            finish: Finish::Activate(Activation::None),
        };
        let length = (rows - 1) * total + width;
        summed.run(&mut out[..length], false);
        for (out, share) in out.chunks_mut(total).zip(&shares).take(rows) {
            out[..width].iter_mut().for_each(|value| *value *= share);
        }
    }

    /// Adds the mask to the scores of a query; how many of the first keys it may see at all.
    fn add_mask(&self, head: usize, query: usize, scores: &mut [f32]) -> usize {
        let Heads { queries, keys, .. } = self.heads;
        let scores = &mut scores[..keys];
        match self.mask {
            Mask::None => {}
            Mask::Causal => return (query + 1).min(keys),
            Mask::Keys(seen) => {
                for (score, &seen) in scores.iter_mut().zip(seen) {
                    *score = if seen { *score } else { f32::NEG_INFINITY };
                }
            }
            Mask::Bias(values) => {
                let of_head = if values.len() == queries * keys { 0 } else { head };
                super::add(scores, &values[(of_head * queries + query) * keys..][..keys]);
            }
            Mask::Grid { rows, columns } => {
                let of_query = |values: &'_ [f32]| values.len() / (self.heads.count * queries);
                let (height, width) = (of_query(rows), of_query(columns));
                let at = head * queries + query;
                let (rows, columns) = (&rows[at * height..][..height], &columns[at * width..][..width]);
                for (scores, row) in scores.chunks_exact_mut(width).zip(rows) {
                    scores.iter_mut().zip(columns).for_each(|(score, column)| *score += row + column);
                }
            }
        }
        keys
    }
}

/// score -> exp(score - greatest); one over the sum of these, zero where nothing is finite.
struct Softmax<'a> {
    scores: &'a mut [f32],
}

impl Kernel for Softmax<'_> {
    type Output = f32;
    #[inline(always)]
    fn run<V: Lanes>(self) -> f32 {
        let (chunks, tail) = self.scores.as_chunks_mut::<LANES>();
        let mut last = [f32::NEG_INFINITY; LANES];
        last[..tail.len()].copy_from_slice(tail);
        let mut greatest = V::load(&last);
        for chunk in chunks.iter() {
            greatest = V::load(chunk).max(greatest);
        }
        let greatest = greatest.store().into_iter().fold(f32::NEG_INFINITY, |a, b| if b > a { b } else { a });
        if greatest == f32::NEG_INFINITY {
            self.scores.fill(0.0);
            return 0.0;
        }
        let end = weight(V::load(&last), greatest);
        tail.copy_from_slice(&end.store()[..tail.len()]);
        let mut sum = end;
        for chunk in chunks {
            let weight = weight(V::load(chunk), greatest);
            *chunk = weight.store();
            sum = sum.add(weight);
        }
        1.0 / sum.sum()
    }
}

/// exp(score - greatest), zero where nothing would be left of it.
#[inline(always)]
fn weight<V: Lanes>(scores: V, greatest: f32) -> V {
    let below = scores.sub(V::splat(greatest));
    exp_lanes(below).zero_below(below, -87.0)
}
