//! The one description of a network that every executor understands.
//!
//! A [`Graph`] is a list of nodes in execution order over NCHW tensors. Batch norm does not appear: it is folded into the
//! convolutions when weights are assembled, so a graph plus a [`Weights`] is all that frozen inference needs. Channels and strides
//! are known without running anything.

use std::collections::BTreeMap;

/// Index of a node in [`Graph::nodes`].
pub type NodeId = usize;

/// How RGB values in [0, 1] become the network's input: `(x - mean) / std`, per channel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normalization {
    /// Per-channel mean, red first.
    pub mean: [f32; 3],
    /// Per-channel standard deviation, red first.
    pub std: [f32; 3],
}

impl Normalization {
    /// The statistics of ImageNet used by torchvision.
    pub const IMAGENET: Self = Self { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
}

/// Zero padding around a convolution or pooling window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// The same number of rows and columns on all four sides.
    Symmetric(usize),
    /// TensorFlow "SAME": output size = ceil(input / stride); an odd pixel goes right and bottom.
    Same,
    /// So many rows above and columns to the left, and so many below and to the right.
    Uneven(usize, usize),
}

impl Padding {
    /// Zeros before and after one side of the image, in pixels, for a window of `kernel` pixels that moves by `stride`.
    pub(crate) fn around(self, side: usize, kernel: usize, stride: usize) -> (usize, usize) {
        match self {
            Self::Symmetric(around) => (around, around),
            Self::Uneven(before, after) => (before, after),
            Self::Same => {
                let missing = ((side.div_ceil(stride) - 1) * stride + kernel).saturating_sub(side);
                (missing / 2, missing - missing / 2)
            }
        }
    }
}

/// A pointwise non-linearity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// max(x, 0).
    Relu,
    /// min(max(x, 0), 6).
    Relu6,
    /// x * sigmoid(x), also called swish.
    Silu,
    /// 1 / (1 + exp(-x)).
    Sigmoid,
    /// x Phi(x) with the normal distribution function.
    Gelu,
    /// x * sigmoid(1.702 x), OpenAI's stand-in for GELU.
    QuickGelu,
}

/// How a table of position embeddings, one for each patch of the size a transformer was trained at, is brought to another size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resample {
    /// Bicubic, as transformers does for most networks.
    Bicubic,
    /// Bicubic with steps of m / (n + 0.1) for m positions brought to n: DINOv2's own code, for the networks without registers.
    Offset,
    /// Bicubic with a wider window where positions become fewer: timm, open_clip, and DINOv2 with registers.
    Antialias,
}

/// What a node computes from its inputs.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// The normalised N x 3 x H x W image.
    Input,
    /// Square convolution with bias; weights are `{node}.weight` (out x in/groups x k x k) and `{node}.bias` (out).
    Conv {
        /// Side of the kernel.
        kernel: usize,
        /// Step of the window.
        stride: usize,
        /// Zero padding.
        padding: Padding,
        /// Number of groups; equal to the input channels for a depthwise convolution.
        groups: usize,
    },
    /// Pointwise non-linearity.
    Activation(Activation),
    /// Maximum over a square window; padding never wins.
    MaxPool {
        /// Side of the window.
        kernel: usize,
        /// Step of the window.
        stride: usize,
        /// Padding on all four sides.
        padding: usize,
        /// Whether a last, partial window counts (ceil instead of floor).
        ceil: bool,
    },
    /// Mean over all positions; the result is N x C x 1 x 1.
    GlobalAveragePool,
    /// Sum of two tensors of equal shape.
    Add,
    /// Product of two tensors; the second may be N x C x 1 x 1.
    Multiply,
    /// Concatenation along channels.
    Concat,
    /// A map's pixels as a sequence of tokens, N x C x T x 1: first the tokens `{node}.prefix` (prefix x C), then the pixels in the order of
    /// reading, with the table `{node}.positions` (side x side x C), brought to the map's size, added to them.
    Tokens {
        /// Tokens before the pixels: class and registers.
        prefix: usize,
        /// Rows, and columns, of the table.
        side: usize,
        /// How the table is brought to other sizes.
        resample: Resample,
    },
    /// The tokens behind the first `prefix` as a map of the second input's size.
    Grid {
        /// Tokens to leave out.
        prefix: usize,
    },
    /// One token, N x C x 1 x 1.
    Pick {
        /// Its number.
        token: usize,
    },
    /// Every position to mean 0 and variance 1 over its channels, times `{node}.weight` plus `{node}.bias` (C each).
    LayerNorm {
        /// Added to the variance.
        epsilon: f32,
    },
    /// softmax(q k / sqrt(d)) v among all positions, for every head of d channels; queries, keys and values are a third of the input's channels
    /// each.
    Attention {
        /// Number of heads.
        heads: usize,
    },
    /// act(a) b for the halves (a, b) of the channels; SwiGLU for SiLU.
    Gate(Activation),
}

/// One step of a network.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Unique name; for a convolution also the prefix of its tensors.
    pub name: String,
    /// What it computes.
    pub op: Op,
    /// The nodes it reads, all earlier in the list.
    pub inputs: Vec<NodeId>,
    /// Channels of its output.
    pub channels: usize,
    /// Input pixels per output cell; 0 after a global mean.
    pub stride: usize,
}

/// A feature map that a method can ask for by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tap {
    /// The name users write, such as `layer2`.
    pub name: String,
    /// The node whose output it is.
    pub node: NodeId,
}

/// A network: nodes in execution order and the taps on them, shallow to deep.
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    /// Name of the architecture, such as `resnet18`.
    pub name: String,
    /// What the input must be normalised with.
    pub normalization: Normalization,
    /// Steps in execution order; node 0 is the input.
    pub nodes: Vec<Node>,
    /// Named feature maps, shallow to deep.
    pub taps: Vec<Tap>,
}

/// A dense float32 tensor, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Sizes, outermost first.
    pub shape: Vec<usize>,
    /// `shape.iter().product()` values.
    pub data: Vec<f32>,
}

impl Tensor {
    /// Whether it has this shape, and as many values.
    pub(crate) fn fits(&self, shape: &[usize]) -> bool {
        self.shape == shape && self.data.len() == shape.iter().product::<usize>()
    }
}

/// The tensors of a graph by name (`{node}.weight`, `{node}.bias`), batch norm already folded in.
pub type Weights = BTreeMap<String, Tensor>;

/// The tensors of a weight file by the names they have there.
pub type StateDict = BTreeMap<String, Tensor>;

/// The output of one tap for a batch: N x C x H x W.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureMap {
    /// C.
    pub channels: usize,
    /// H.
    pub height: usize,
    /// W.
    pub width: usize,
    /// N x C x H x W values, row-major.
    pub data: Vec<f32>,
}

impl FeatureMap {
    /// Joins the maps of single images, each a list of taps, into those of a batch.
    pub(crate) fn join(images: Vec<Vec<Self>>) -> Vec<Self> {
        let mut images = images.into_iter();
        let mut joined = images.next().unwrap_or_default();
        for image in images {
            for (whole, part) in joined.iter_mut().zip(image) {
                whole.data.extend(part.data);
            }
        }
        joined
    }
}

/// Runs a frozen network on one device. Implementors are shared between threads.
pub trait Executor: Send + Sync {
    /// The feature maps of all taps of the graph this executor was built for, in their order.
    ///
    /// `input` is N x 3 x H x W for `size = [N, H, W]`, normalised already.
    ///
    /// # Errors
    /// [`FeatureError`](crate::FeatureError) if the engine fails, naming it.
    fn run(&self, input: &[f32], size: [usize; 3]) -> Result<Vec<FeatureMap>, crate::FeatureError>;

    /// Gradient with respect to `input` of something whose gradient with respect to the maps of [`Self::run`] is given.
    ///
    /// # Errors
    /// [`FeatureError`](crate::FeatureError) if the engine fails or has no gradients, as most engines.
    fn input_gradient(
        &self,
        input: &[f32],
        size: [usize; 3],
        gradients: &[FeatureMap],
    ) -> Result<Vec<f32>, crate::FeatureError> {
        let _ = (input, size, gradients);
        let reason = "it gives no gradients".to_owned();
        Err(crate::FeatureError::Engine { engine: "backbone", reason })
    }
}
