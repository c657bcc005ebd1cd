//! Layers of frozen transformers on rows: one row a token or a cell of a map.

pub(crate) use blemish_features::transformer::{Activation, Linear, Norm};
use blemish_kernels::Lines;
use blemish_kernels::conv::{ChannelsLast, ConvSpec, Convolution, Epilogue, Windows};
use blemish_kernels::transformer::{Heads, Mask, Tokens, attention};

/// x W^T + b of rows, over all threads.
pub(crate) fn through(linear: &Linear, rows: &[f32]) -> Vec<f32> {
    linear.forward(rows, Activation::None, true)
}

/// A two-layer perceptron with a non-linearity between.
#[derive(Clone, Debug)]
pub(crate) struct Perceptron {
    pub first: Linear,
    pub second: Linear,
    pub activation: Activation,
}

impl Perceptron {
    /// The outputs of rows.
    pub fn apply(&self, rows: &[f32]) -> Vec<f32> {
        through(&self.second, &self.first.forward(rows, self.activation, true))
    }

    /// Adds the outputs to `into`.
    pub fn add_to(&self, rows: &[f32], into: &mut [f32]) {
        self.second.add_to(&self.first.forward(rows, self.activation, true), into, true);
    }
}

/// Several linear maps with rectifiers between.
#[derive(Clone, Debug)]
pub(crate) struct Chain(pub Vec<Linear>);

impl Chain {
    /// The outputs of rows.
    pub fn apply(&self, rows: &[f32]) -> Vec<f32> {
        let mut rows = rows.to_vec();
        for (index, map) in self.0.iter().enumerate() {
            let activation = if index + 1 < self.0.len() { Activation::Relu } else { Activation::None };
            rows = map.forward(&rows, activation, true);
        }
        rows
    }
}

/// Attention with a map for queries, keys, values and outputs each.
#[derive(Clone, Debug)]
pub(crate) struct Attention {
    pub query: Linear,
    pub key: Linear,
    pub value: Linear,
    pub out: Linear,
    pub heads: usize,
}

impl Attention {
    /// What queries find in one sequence of keys and values; `mask` as for a single sequence.
    pub fn apply(&self, queries: &[f32], keys: &[f32], values: &[f32], mask: Mask<'_>) -> Vec<f32> {
        let [query, key, value] = [(&self.query, queries), (&self.key, keys), (&self.value, values)]
            .map(|(map, rows)| through(map, rows));
        let width = self.query.outputs();
        let sizes = Heads::cross(self.heads, width / self.heads, query.len() / width, key.len() / width);
        let mut found = vec![0.0; query.len()];
        let tokens = [&query, &key, &value].map(|rows| Tokens::new(rows, width));
        attention(sizes, tokens, |_| mask, &mut found, true);
        through(&self.out, &found)
    }
}

/// a + b.
pub(crate) fn sum(a: &[f32], b: &[f32]) -> Vec<f32> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

/// A convolution on rows of a map, with as many zeros around it as keep its size at a stride of 1.
#[derive(Clone, Debug)]
pub(crate) struct Conv {
    convolution: Convolution,
    kernel: usize,
    stride: usize,
}

impl Conv {
    /// [inputs, outputs, kernel] with an odd kernel; weights outputs x inputs / groups x kernel x kernel, one bias an output.
    pub fn new(
        [inputs, outputs, kernel]: [usize; 3],
        stride: usize,
        groups: usize,
        weights: &[f32],
        bias: &[f32],
    ) -> Self {
        let spec = ConvSpec { in_channels: inputs, out_channels: outputs, kernel, stride, groups };
        Self { convolution: Convolution::new(spec, weights, bias), kernel, stride }
    }

    /// The outputs, and their height and width.
    pub fn apply(
        &self,
        rows: Vec<f32>,
        (height, width): (usize, usize),
        activation: Activation,
    ) -> (Vec<f32>, (usize, usize)) {
        let size = (height.div_ceil(self.stride), width.div_ceil(self.stride));
        let border = self.kernel / 2;
        let windows = Windows { top: border, left: border, height: size.0, width: size.1 };
        let input = ChannelsLast::from_rows(&rows, height, width);
        let out =
            self.convolution.apply(&input, windows, Epilogue::new(None, activation), Lines::new(), true);
        (out.into_rows(), size)
    }
}

/// Squares of side x side pixels of an image of `channels` planes, side by side: one row a square, channel by channel.
pub(crate) fn squares(planes: &[f32], [channels, height, width]: [usize; 3], side: usize) -> Vec<f32> {
    let (rows, columns) = (height / side, width / side);
    let mut out = Vec::with_capacity(rows * columns * channels * side * side);
    for square in 0..rows * columns {
        let (top, left) = (square / columns * side, square % columns * side);
        for channel in 0..channels {
            for y in top..top + side {
                out.extend_from_slice(&planes[(channel * height + y) * width + left..][..side]);
            }
        }
    }
    out
}
