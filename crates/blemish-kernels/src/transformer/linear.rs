//! A linear map of rows.

use super::Activation;
use crate::conv::dense::Panels;
use crate::product::{Finish, Product};
use crate::simd::LANES;

/// x -> W x + b for every row x, with W packed for the product.
#[derive(Clone, Debug)]
pub struct Linear {
    outputs: usize,
    /// Filled up to whole vectors.
    bias: Option<Vec<f32>>,
    panels: Panels,
}

impl Linear {
    /// Packs W, `outputs` x `inputs` and row-major, and b.
    ///
    /// # Panics
    /// If the lengths do not fit.
    pub fn new(outputs: usize, inputs: usize, weights: &[f32], bias: Option<&[f32]>) -> Self {
        assert_eq!(weights.len(), outputs * inputs, "one weight a pair of input and output");
        let bias = bias.map(|bias| {
            assert_eq!(bias.len(), outputs, "one bias an output");
            let mut bias = bias.to_vec();
            bias.resize(outputs.next_multiple_of(LANES), 0.0);
            bias
        });
        let panels = Panels::from_rows(outputs, inputs, 1.0, |output| &weights[output * inputs..]);
        Self { outputs, bias, panels }
    }

    /// Values of a row that comes in.
    pub fn inputs(&self) -> usize {
        self.panels.terms()
    }

    /// Values of a row that goes out.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// out = act(W x + b) for every row x of `rows` (n x inputs); `out` is n x outputs.
    ///
    /// # Panics
    /// If the lengths do not fit.
    pub fn apply(&self, rows: &[f32], activation: Activation, out: &mut [f32], is_parallel: bool) {
        self.run(rows, Finish::Activate(activation), out, is_parallel);
    }

    /// out += W x + b for every row x of `rows` (n x inputs): a residual sum; `out` is n x outputs.
    ///
    /// # Panics
    /// If the lengths do not fit.
    pub fn add_to(&self, rows: &[f32], out: &mut [f32], is_parallel: bool) {
        self.run(rows, Finish::Add, out, is_parallel);
    }

    /// W x + b for every row x of `rows`, in new memory.
    ///
    /// # Panics
    /// If `rows` are not whole rows of `inputs` values.
    pub fn forward(&self, rows: &[f32], activation: Activation, is_parallel: bool) -> Vec<f32> {
        let mut out = vec![0.0; rows.len() / self.inputs().max(1) * self.outputs];
        self.apply(rows, activation, &mut out, is_parallel);
        out
    }

    fn run(&self, rows: &[f32], finish: Finish<'_>, out: &mut [f32], is_parallel: bool) {
        let count = out.len() / self.outputs.max(1);
        assert_eq!(out.len(), count * self.outputs, "whole rows of outputs");
        assert_eq!(rows.len(), count * self.inputs(), "as many rows come in as go out");
        let product = Product {
            panels: &self.panels,
            bias: self.bias.as_deref(),
            input: rows,
            input_pitch: self.inputs(),
            rows: count,
            outputs: self.outputs,
            out_pitch: self.outputs,
            finish,
        };
        product.run(out, is_parallel);
    }
}
