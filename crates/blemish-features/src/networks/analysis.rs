//! What can be said about a network without running it.

use crate::FeatureError;
use crate::graph::{Graph, Op, Padding};

/// A feature map as methods see it before anything runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TapInfo {
    /// The name users write.
    pub name: String,
    /// C of its N x C x H x W output.
    pub channels: usize,
    /// Input pixels per output cell; 0 after a global mean.
    pub stride: usize,
}

impl Graph {
    /// Name, channels and stride of every tap, shallow to deep.
    pub fn tap_info(&self) -> Vec<TapInfo> {
        self.taps
            .iter()
            .map(|tap| {
                let node = &self.nodes[tap.node];
                TapInfo { name: tap.name.clone(), channels: node.channels, stride: node.stride }
            })
            .collect()
    }

    /// Names and shapes of the tensors that this graph's [`Weights`](crate::Weights) hold: batch norm folded, every convolution
    /// with a weight (out x in/groups x k x k) and a bias (out); those of transformers as their [`Op`] says.
    pub fn tensor_shapes(&self) -> impl Iterator<Item = (String, Vec<usize>)> {
        self.nodes.iter().flat_map(|node| {
            let (channels, named) = (node.channels, |kind: &str| format!("{}.{kind}", node.name));
            match node.op {
                Op::Conv { kernel, groups, .. } => {
                    let inputs = self.nodes[node.inputs[0]].channels / groups;
                    vec![
                        (named("weight"), vec![channels, inputs, kernel, kernel]),
                        (named("bias"), vec![channels]),
                    ]
                }
                Op::LayerNorm { .. } => {
                    vec![(named("weight"), vec![channels]), (named("bias"), vec![channels])]
                }
                Op::Tokens { prefix, side, .. } => vec![
                    (named("prefix"), vec![prefix, channels]),
                    (named("positions"), vec![side, side, channels]),
                ],
                _ => vec![],
            }
        })
    }

    /// Whether its convolutions hold all of its tensors, so that it can be trained further.
    pub fn is_convolutional(&self) -> bool {
        self.nodes.iter().all(|node| !matches!(node.op, Op::LayerNorm { .. } | Op::Tokens { .. }))
    }

    /// Height and width of every node's output for an input of `height` x `width`.
    ///
    /// # Errors
    /// [`FeatureError::InputTooSmall`] if a window does not fit into its input.
    pub fn output_sizes(&self, height: usize, width: usize) -> Result<Vec<[usize; 2]>, FeatureError> {
        let mut sizes: Vec<[usize; 2]> = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            let size = match node.inputs.first() {
                None => Some([height, width]),
                // A map of tokens is as large as the one it is laid out like.
                Some(_) if matches!(node.op, Op::Grid { .. }) => node.inputs.get(1).map(|&like| sizes[like]),
                Some(&input) => output_size(&node.op, sizes[input]),
            };
            let size = size.filter(|size| size[0] > 0 && size[1] > 0);
            sizes.push(size.ok_or_else(|| FeatureError::InputTooSmall {
                height,
                width,
                network: self.name.clone(),
                node: node.name.clone(),
            })?);
        }
        Ok(sizes)
    }

    /// Multiply-add operations of convolutions and attention for one image of `height` x `width`; one of each pair is not counted twice.
    ///
    /// # Errors
    /// As [`Self::output_sizes`].
    pub fn multiply_adds(&self, height: usize, width: usize) -> Result<u64, FeatureError> {
        let sizes = self.output_sizes(height, width)?;
        let cost = |(node, [rows, columns]): (&crate::graph::Node, &[usize; 2])| match node.op {
            Op::Conv { kernel, groups, .. } => {
                let inputs = self.nodes[node.inputs[0]].channels / groups;
                (rows * columns * node.channels * inputs * kernel * kernel) as u64
            }
            // Scores, and the sums of values.
            Op::Attention { .. } => 2 * (rows * columns).pow(2) as u64 * node.channels as u64,
            _ => 0,
        };
        Ok(self.nodes.iter().zip(&sizes).map(cost).sum())
    }
}

/// The output size of `op`, or nothing if its window does not fit.
fn output_size(op: &Op, [height, width]: [usize; 2]) -> Option<[usize; 2]> {
    let both = |side: &dyn Fn(usize) -> Option<usize>| Some([side(height)?, side(width)?]);
    match *op {
        Op::Conv { kernel, stride, padding: Padding::Symmetric(padding), .. } => {
            both(&|side| Some((side + 2 * padding).checked_sub(kernel)? / stride + 1))
        }
        Op::Conv { kernel, stride, padding: Padding::Uneven(before, after), .. } => {
            both(&|side| Some((side + before + after).checked_sub(kernel)? / stride + 1))
        }
        Op::Conv { stride, padding: Padding::Same, .. } => both(&|side| Some(side.div_ceil(stride))),
        Op::MaxPool { kernel, stride, padding, ceil } => {
            both(&|side| pooled_side(side, kernel, stride, padding, ceil))
        }
        Op::GlobalAveragePool | Op::Pick { .. } => Some([1, 1]),
        Op::Tokens { prefix, .. } => Some([prefix + height * width, 1]),
        Op::LayerNorm { .. } | Op::Attention { .. } | Op::Gate(_) | Op::Grid { .. } => Some([height, width]),
        Op::Input | Op::Activation(_) | Op::Add | Op::Multiply | Op::Concat => Some([height, width]),
    }
}

/// With `ceil`, a last partial window counts only if it starts inside the input or its leading padding (as in PyTorch).
fn pooled_side(side: usize, kernel: usize, stride: usize, padding: usize, ceil: bool) -> Option<usize> {
    let room = (side + 2 * padding).checked_sub(kernel)?;
    let floor = room / stride + 1;
    let partial = ceil && !room.is_multiple_of(stride) && floor * stride < side + padding;
    Some(floor + usize::from(partial))
}
