//! Relative positions, one table for rows and one for columns.
//!
//! To the score of query q at (y, x) with a key at (y', x') are added q . R_h[y - y'] and q . R_w[x - x'] (decomposed relative positions,
//! arXiv 2112.01526); q is not scaled.

use crate::parameters::Parameters;
use blemish_kernels::simd::{Kernel, Lanes, widest};
use rayon::prelude::*;

/// Both tables of a block, spread out.
#[derive(Debug)]
pub(super) struct Relative {
    side: usize,
    head: usize,
    /// For every place of the query: head width x places of the key.
    rows: Vec<f32>,
    columns: Vec<f32>,
}

impl Relative {
    /// For squares of side x side tokens and heads of `head` values.
    pub fn load(parameters: &Parameters<'_, '_>, side: usize, head: usize) -> Self {
        let spread = |name| {
            let table = parameters.take(name, &[2 * side - 1, head]);
            let mut spread = Vec::with_capacity(side * side * head);
            for query in 0..side {
                for at in 0..head {
                    spread.extend((0..side).map(|key| table[(query + side - 1 - key) * head + at]));
                }
            }
            spread
        };
        Self { side, head, rows: spread("rel_pos_h"), columns: spread("rel_pos_w") }
    }

    /// What is added by rows and by columns, heads x tokens x side each, for every square of tokens; queries are the first values of
    /// each of the `pitch` values of a token.
    pub fn biases(&self, tokens: &[f32], pitch: usize, heads: usize) -> Vec<(Vec<f32>, Vec<f32>)> {
        let length = self.side * self.side;
        let each = |tokens: &[f32]| {
            let of = |spread: &[f32], place: fn(usize, usize) -> usize| {
                let mut biases = vec![0.0; heads * length * self.side];
                biases.par_chunks_mut(length * self.side).enumerate().for_each(|(head, biases)| {
                    for (token, bias) in biases.chunks_exact_mut(self.side).enumerate() {
                        let query = &tokens[token * pitch + head * self.head..][..self.head];
                        let size = self.head * self.side;
                        let table = &spread[place(token, self.side) * size..][..size];
                        widest(Project { query, table, bias });
                    }
                });
                biases
            };
            (of(&self.rows, |token, side| token / side), of(&self.columns, |token, side| token % side))
        };
        tokens.par_chunks(length * pitch).map(each).collect()
    }
}

/// bias += sum over i of query_i table_i.
struct Project<'a> {
    query: &'a [f32],
    table: &'a [f32],
    bias: &'a mut [f32],
}

impl Kernel for Project<'_> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(self) {
        for (&query, row) in self.query.iter().zip(self.table.chunks_exact(self.bias.len())) {
            for (bias, &value) in self.bias.iter_mut().zip(row) {
                *bias = value.mul_add(query, *bias);
            }
        }
    }
}
