//! Norm, attention and feed-forward part of a block.

use super::{Activation, FeedForwardNames, Heads, Linear, Mask, QkvNames, TensorReader, Tokens};
use blemish_kernels::transformer::{attention, gate, layer_norm};

/// A layer norm.
#[derive(Clone, Debug)]
pub struct Norm {
    /// One factor a value.
    pub gain: Vec<f32>,
    /// One summand a value.
    pub bias: Vec<f32>,
    /// Added to the variance.
    pub epsilon: f32,
}

impl Norm {
    /// The norm of every row, n x width, into `out`.
    ///
    /// # Panics
    /// If the lengths do not fit.
    pub fn apply(&self, rows: &[f32], out: &mut [f32], is_parallel: bool) {
        layer_norm(rows, &self.gain, &self.bias, self.epsilon, out, is_parallel);
    }

    /// The norm of every row, n x width, in new memory.
    ///
    /// # Panics
    /// If they are not whole rows.
    pub fn forward(&self, rows: &[f32], is_parallel: bool) -> Vec<f32> {
        let mut out = vec![0.0; rows.len()];
        self.apply(rows, &mut out, is_parallel);
        out
    }

    /// The norm of every row in place of it.
    ///
    /// # Panics
    /// If they are not whole rows.
    pub fn apply_in_place(&self, rows: &mut [f32], space: &mut Vec<f32>, is_parallel: bool) {
        space.clear();
        space.extend_from_slice(rows);
        self.apply(space, rows, is_parallel);
    }
}

/// Attention of a sequence to itself: queries, keys and values by one linear map, the heads, and the map behind them.
#[derive(Clone, Debug)]
pub struct SelfAttention {
    /// width to 3 width: queries, keys, values.
    pub qkv: Linear,
    /// width to width.
    pub projection: Linear,
    /// Number of heads.
    pub heads: usize,
}

impl SelfAttention {
    /// Reads it by these names; what comes out of `projection` is scaled by the tensor `scale`, if there is one (LayerScale).
    pub fn read(
        reader: &mut TensorReader<'_>,
        names: &QkvNames,
        projection: &str,
        scale: Option<&str>,
        [width, heads]: [usize; 2],
    ) -> Self {
        let (weight, bias) = read_qkv(reader, names, width);
        let qkv = Linear::new(3 * width, width, &weight, bias.as_deref());
        Self { qkv, projection: read_scaled(reader, projection, scale, [width, width]), heads }
    }

    /// rows += what the attention of every sequence to itself gives for `normed`, both (sequences x `length`) x width.
    ///
    /// # Panics
    /// If the lengths do not fit.
    pub fn add_to<'m>(
        &self,
        normed: &[f32],
        length: usize,
        mask: impl Fn(usize) -> Mask<'m> + Sync,
        rows: &mut [f32],
        space: &mut [Vec<f32>; 2],
        is_parallel: bool,
    ) {
        let width = self.projection.inputs();
        let [qkv, attended] = space;
        qkv.resize(3 * rows.len(), 0.0);
        attended.resize(rows.len(), 0.0);
        self.qkv.apply(normed, Activation::None, qkv, is_parallel);
        let heads = Heads::new(self.heads, width / self.heads, length);
        if !rows.is_empty() {
            attention(heads, Tokens::split(qkv, width), mask, attended, is_parallel);
        }
        self.projection.add_to(attended, rows, is_parallel);
    }
}

/// The two maps of a block's second half.
#[derive(Clone, Debug)]
pub struct FeedForward {
    /// width to hidden, or to twice hidden if gated.
    pub up: Linear,
    /// hidden to width.
    pub down: Linear,
    /// Between them.
    pub activation: Activation,
    /// Whether up gives (a, b) of which act(a) b goes on (SwiGLU for SiLU).
    pub is_gated: bool,
}

impl FeedForward {
    /// Reads it by these names; what comes out is scaled by the tensor `scale`, if there is one (LayerScale).
    pub fn read(
        reader: &mut TensorReader<'_>,
        names: &FeedForwardNames,
        scale: Option<&str>,
        [width, hidden]: [usize; 2],
        activation: Activation,
    ) -> Self {
        let (up, down, is_gated) = match names {
            FeedForwardNames::Mlp { up, down } => (reader.linear(up, hidden, width), down, false),
            FeedForwardNames::Gated { both, down } => (reader.linear(both, 2 * hidden, width), down, true),
        };
        Self { up, down: read_scaled(reader, down, scale, [width, hidden]), activation, is_gated }
    }

    /// rows += what it gives for `normed`, both n x width.
    ///
    /// # Panics
    /// If the lengths do not fit.
    pub fn add_to(&self, normed: &[f32], rows: &mut [f32], space: &mut [Vec<f32>; 2], is_parallel: bool) {
        let count = normed.len() / self.up.inputs().max(1);
        let [up, gated] = space;
        up.resize(count * self.up.outputs(), 0.0);
        if !self.is_gated {
            self.up.apply(normed, self.activation, up, is_parallel);
            return self.down.add_to(up, rows, is_parallel);
        }
        self.up.apply(normed, Activation::None, up, is_parallel);
        gated.resize(count * self.down.inputs(), 0.0);
        gate(up, self.down.inputs(), self.activation, gated, is_parallel);
        self.down.add_to(gated, rows, is_parallel);
    }
}

/// Matrix (3 width x width) and bias of queries, keys and values one below the other.
fn read_qkv(reader: &mut TensorReader<'_>, names: &QkvNames, width: usize) -> (Vec<f32>, Option<Vec<f32>>) {
    match names {
        QkvNames::Joint { weight, bias } => {
            let weight = reader.tensor(weight, &[3 * width, width]).into_owned();
            (weight, bias.as_ref().map(|bias| reader.tensor(bias, &[3 * width]).into_owned()))
        }
        QkvNames::Split { prefixes, has_bias } => {
            let mut join = |kind: &str, shape: &[usize]| {
                let parts = prefixes.iter().map(|prefix| reader.tensor(&format!("{prefix}.{kind}"), shape));
                parts.collect::<Vec<_>>().concat()
            };
            (join("weight", &[width, width]), has_bias.then(|| join("bias", &[width])))
        }
    }
}

/// A linear map with a factor for each output folded in.
fn read_scaled(
    reader: &mut TensorReader<'_>,
    prefix: &str,
    scale: Option<&str>,
    [outputs, inputs]: [usize; 2],
) -> Linear {
    let Some(scale) = scale else { return reader.linear(prefix, outputs, inputs) };
    let factors = reader.tensor(scale, &[outputs]);
    let mut weight = reader.tensor(&format!("{prefix}.weight"), &[outputs, inputs]).into_owned();
    let mut bias = reader.tensor(&format!("{prefix}.bias"), &[outputs]).into_owned();
    for ((row, bias), &factor) in weight.chunks_exact_mut(inputs).zip(&mut bias).zip(factors.iter()) {
        row.iter_mut().for_each(|value| *value *= factor);
        *bias *= factor;
    }
    Linear::new(outputs, inputs, &weight, Some(&bias))
}
