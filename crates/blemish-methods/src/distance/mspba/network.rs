//! The trained networks: one shared backbone, and for each patch size a head and a position classifier.

use super::config::{MspbaConfig, NAME, SIZES};
use crate::shared::encoder::Encoder;
use blemish_core::error::Error;
use blemish_features::Backbone;
use blemish_nn::init::Init;
use blemish_nn::layers::{Conv, Dense};
use blemish_nn::{Module, Tensor, weights};
use burn::module::Param;
use burn::tensor::activation::leaky_relu;

/// Slope of all leaky rectifiers below zero.
const SLOPE: f64 = 0.1;

/// Widths of the classifier's hidden layers.
const HIDDEN: [usize; 3] = [128, 256, 512];

/// Backbone, heads and classifiers.
#[derive(Module, Debug)]
pub(super) struct Network {
    pub(super) encoder: Encoder,
    /// In the order of [`SIZES`].
    pub(super) parts: Vec<Part>,
}

/// What is there for one patch size.
#[derive(Module, Debug)]
pub(super) struct Part {
    pub(super) head: Head,
    pub(super) classifier: Classifier,
    /// Centres of the k-means loss, clusters x D, which are not trained; zero before they are set.
    pub(super) centres: Param<Tensor<2>>,
}

/// Convolutions without padding from a patch's cells of a layer to its embedding: leaky rectifiers between, tanh at the end.
#[derive(Module, Debug)]
pub(super) struct Head {
    layers: Vec<Conv>,
}

/// Tells the direction in which one patch lies from another from the difference of their embeddings.
#[derive(Module, Debug)]
pub(super) struct Classifier {
    hidden: Vec<Dense>,
    /// A fixed random matrix with rows of unit norm, one an input, and a trained bias.
    pub(super) last: Dense,
}

/// Kernels and widths of the head of a patch size whose patches have `side` x `side` cells; `None` for sides without one.
///
/// Published are 4 cells for patches of 64, 8 for 32 and 16. Patches of 16 and 32 with 4 cells have the kernels of those of 64,
/// patches of 64 with 8 cells the head of those of 32; widths follow the patch size where one is published.
fn layers_of(patch: usize, side: usize, dimension: usize) -> Option<Vec<(usize, usize)>> {
    Some(match (patch, side) {
        (16, 8) => vec![(3, 128), (3, 64), (3, 32), (2, dimension)],
        (_, 8) => vec![(3, 256), (3, 128), (2, 128), (2, 64), (2, dimension)],
        (16, 4) => vec![(2, 128), (2, 64), (2, 32), (1, dimension)],
        (_, 4) => vec![(2, 256), (2, 128), (2, 64), (1, dimension)],
        _ => return None,
    })
}

impl Head {
    /// The head for patches whose layer has `channels`, `side` cells across.
    pub(super) fn new(
        patch: usize,
        side: usize,
        channels: usize,
        dimension: usize,
        init: &mut Init,
    ) -> Option<Self> {
        let mut inputs = channels;
        let layers = layers_of(patch, side, dimension)?.into_iter().map(|(kernel, outputs)| {
            let layer = Conv::new(inputs, outputs, kernel, init).unpadded();
            inputs = outputs;
            layer
        });
        Some(Self { layers: layers.collect() })
    }

    /// Embeddings in (-1, 1) at every place where a patch's cells fit: N x D x (rows - side + 1) x (columns - side + 1).
    pub(super) fn forward(&self, map: Tensor<4>) -> Tensor<4> {
        let last = self.layers.len().saturating_sub(1);
        let layers = self.layers.iter().enumerate();
        let raw = layers.fold(map, |x, (at, layer)| {
            let y = layer.forward(x);
            if at < last { leaky_relu(y, SLOPE) } else { y }
        });
        raw.tanh()
    }
}

impl Classifier {
    pub(super) fn new(dimension: usize, directions: usize, init: &mut Init) -> Self {
        let mut inputs = dimension;
        let hidden = HIDDEN.map(|outputs| {
            let layer = Dense::new(inputs, outputs, init);
            inputs = outputs;
            layer
        });
        let last = Dense::new(inputs, directions, init);
        let weight = last.weight.val().inner();
        // A blank network has nothing to normalise.
        let norm = weight.clone().powi_scalar(2).sum_dim(1).sqrt().clamp_min(1e-12);
        let (device, dtype) = (last.bias.val().device(), last.bias.val().dtype());
        let fixed = Tensor::from_data((weight / norm).into_data(), (&device, dtype));
        let weight = Param::from_tensor(fixed).set_require_grad(false);
        Self { hidden: hidden.into(), last: Dense { weight, ..last } }
    }

    /// Logits of the directions, N x directions, of differences N x D.
    pub(super) fn forward(&self, difference: Tensor<2>) -> Tensor<2> {
        let [count, dimension] = difference.dims();
        let x = difference.reshape([count, dimension, 1, 1]);
        let x = self.hidden.iter().fold(x, |x, layer| leaky_relu(layer.forward(x), SLOPE));
        let logits = self.last.forward(x);
        let directions = logits.dims()[1];
        logits.reshape([count, directions])
    }
}

/// Stride of the layer of each patch size: the backbone's taps, shallow to deep, serve patches of 16, 32 and 64.
pub(super) fn layer_strides(backbone: &Backbone) -> Result<[usize; 3], Error> {
    let fail = |reason: String| Error::Fit { method: NAME, reason };
    let taps = backbone.taps();
    let [shallow, middle, deep] = taps else {
        let reason = format!(
            "it needs three layers, one for each patch size (16, 32, 64), and was given {}; choose three layers of the backbone",
            taps.len()
        );
        return Err(fail(reason));
    };
    let strides = [deep.stride, middle.stride, shallow.stride];
    for (patch, stride) in SIZES.into_iter().zip(strides) {
        if stride == 0 || patch % stride != 0 || layers_of(patch, patch / stride, 1).is_none() {
            let reason = format!(
                "patches of {patch} pixels need a layer of stride {} or {}, not {stride}; choose layers, shallow to deep for \
                 patches of 16, 32 and 64",
                patch / 8,
                patch / 4
            );
            return Err(fail(reason));
        }
    }
    Ok(strides)
}

impl Network {
    /// Starts as the backbone with random heads.
    pub(super) fn new(config: &MspbaConfig, backbone: &Backbone, init: &mut Init) -> Result<Self, Error> {
        let strides = layer_strides(backbone)?;
        let encoder = Encoder::new(backbone, 0, init)?;
        let dimension = config.dimension;
        let mut parts = Vec::new();
        for ((patch, stride), tap) in SIZES.into_iter().zip(strides).zip(backbone.taps().iter().rev()) {
            // The strides have been checked, so there is a head for each.
            let Some(head) = Head::new(patch, patch / stride, tap.channels, dimension, init) else {
                continue;
            };
            let classifier = Classifier::new(dimension, config.directions, init);
            let centres = init.constant(0.0, [config.clusters, dimension]).set_require_grad(false);
            parts.push(Part { head, classifier, centres });
        }
        Ok(Self { encoder, parts })
    }

    /// Embeddings of one patch size at all places of its layer's grid, N x D x rows x columns; of cut patches 1 x 1.
    pub(super) fn embed(&self, part: usize, images: Tensor<4>) -> Tensor<4> {
        // The deepest layer is that of the largest patches.
        let taps = self.parts.len() - part;
        let map = self.encoder.forward_first(images, taps).pop();
        // There is a map of every tap.
        map.map_or_else(|| unreachable!("a layer without a map"), |map| self.parts[part].head.forward(map))
    }

    /// The same of all patch sizes in one pass.
    pub(super) fn embed_all(&self, images: Tensor<4>) -> Vec<Tensor<4>> {
        let maps = self.encoder.forward(images);
        maps.into_iter().rev().zip(&self.parts).map(|(map, part)| part.head.forward(map)).collect()
    }
}

impl weights::Network for Network {}
