//! The transformer: it gives every token back without having seen it.

use super::config::UniadConfig;
use blemish_nn::init::Init;
use blemish_nn::layers::{Dense, Dropout, GridEmbedding, LayerNorm, MultiHeadAttention};
use blemish_nn::loss::l2;
use blemish_nn::weights::Network as Stored;
use blemish_nn::{Module, Tensor};
use burn::module::Param;
use burn::tensor::activation::relu;

/// What all attentions of a pass have in common.
pub(super) struct Scene<'a> {
    /// 1 x tokens x width, added to queries and keys.
    pub(super) position: &'a Tensor<3>,
    /// Tokens x tokens, added to the logits: minus infinity hides a token.
    pub(super) mask: &'a Tensor<2>,
}

/// Batch x tokens x width, with values dropped while the network learns.
fn dropped(x: Tensor<3>, dropout: Option<&mut Dropout>) -> Tensor<3> {
    match dropout {
        Some(dropout) => dropout.apply(x),
        None => x,
    }
}

/// max(0, x W + b) W' + b', token by token.
#[derive(Module, Debug)]
pub(super) struct FeedForward {
    first: Dense,
    second: Dense,
}

impl FeedForward {
    fn new(width: usize, hidden: usize, init: &mut Init) -> Self {
        Self { first: Dense::xavier(width, hidden, init), second: Dense::xavier(hidden, width, init) }
    }

    fn forward(&self, x: Tensor<3>, dropout: Option<&mut Dropout>) -> Tensor<3> {
        let [batch, count, width] = x.dims();
        let hidden = relu(self.first.rows(x.reshape([batch * count, width])));
        let hidden = match dropout {
            Some(dropout) => dropout.apply(hidden),
            None => hidden,
        };
        self.second.rows(hidden).reshape([batch, count, width])
    }
}

/// LN(x + FFN(x)), the end of every layer.
fn finish(
    x: Tensor<3>,
    feed_forward: &FeedForward,
    norm: &LayerNorm,
    mut dropout: Option<&mut Dropout>,
) -> Tensor<3> {
    let y = feed_forward.forward(x.clone(), dropout.as_deref_mut());
    norm.forward(x + dropped(y, dropout))
}

/// y = LN(x + MHA(x + pos, x + pos, x)), then LN(y + FFN(y)).
#[derive(Module, Debug)]
pub(super) struct EncoderLayer {
    pub(super) attention: MultiHeadAttention,
    feed_forward: FeedForward,
    norms: Vec<LayerNorm>,
}

impl EncoderLayer {
    pub(super) fn new(config: &UniadConfig, init: &mut Init) -> Self {
        let &UniadConfig { width, heads, feed_forward, .. } = config;
        Self {
            attention: MultiHeadAttention::new(width, heads, init),
            feed_forward: FeedForward::new(width, feed_forward, init),
            norms: (0..2).map(|_| LayerNorm::new(width, init)).collect(),
        }
    }

    /// Batch x tokens x width.
    pub(super) fn forward(
        &self,
        x: Tensor<3>,
        scene: &Scene<'_>,
        mut dropout: Option<&mut Dropout>,
    ) -> Tensor<3> {
        let placed = x.clone() + scene.position.clone();
        let inputs = [placed.clone(), placed, x.clone()];
        let y = self.attention.forward(inputs, Some(scene.mask), dropout.as_deref_mut());
        let x = self.norms[0].forward(x + dropped(y, dropout.as_deref_mut()));
        finish(x, &self.feed_forward, &self.norms[1], dropout)
    }
}

/// Begins with the learned query t, not with what it looks at: a = LN(t + MHA(t + pos, m + pos, m)), b = LN(a + MHA(a + pos, u + pos, u)),
/// then LN(b + FFN(b)), with the memory m and the previous layer's u.
#[derive(Module, Debug)]
pub(super) struct DecoderLayer {
    /// t: tokens x width.
    pub(super) query: Param<Tensor<2>>,
    pub(super) memory: MultiHeadAttention,
    pub(super) previous: MultiHeadAttention,
    feed_forward: FeedForward,
    norms: Vec<LayerNorm>,
}

impl DecoderLayer {
    pub(super) fn new(config: &UniadConfig, tokens: usize, init: &mut Init) -> Self {
        let &UniadConfig { width, heads, feed_forward, .. } = config;
        Self {
            query: init.normal(1.0, [tokens, width]),
            memory: MultiHeadAttention::new(width, heads, init),
            previous: MultiHeadAttention::new(width, heads, init),
            feed_forward: FeedForward::new(width, feed_forward, init),
            norms: (0..3).map(|_| LayerNorm::new(width, init)).collect(),
        }
    }

    /// Batch x tokens x width, for m and u of that shape.
    pub(super) fn forward(
        &self,
        memory: Tensor<3>,
        previous: Tensor<3>,
        scene: &Scene<'_>,
        mut dropout: Option<&mut Dropout>,
    ) -> Tensor<3> {
        let place = |x: &Tensor<3>| x.clone() + scene.position.clone();
        // A batch of one, which counts for all images.
        let query = self.query.val().unsqueeze_dim::<3>(0);
        let inputs = [place(&query), place(&memory), memory];
        let y = self.memory.forward(inputs, Some(scene.mask), dropout.as_deref_mut());
        let x = self.norms[0].forward(dropped(y, dropout.as_deref_mut()) + query);
        let inputs = [place(&x), place(&previous), previous];
        let y = self.previous.forward(inputs, Some(scene.mask), dropout.as_deref_mut());
        let x = self.norms[1].forward(x + dropped(y, dropout.as_deref_mut()));
        finish(x, &self.feed_forward, &self.norms[2], dropout)
    }
}

/// Gives tokens back that it must not look at.
#[derive(Module, Debug)]
pub(super) struct Network {
    input: Dense,
    pub(super) position: GridEmbedding,
    pub(super) encoder: Vec<EncoderLayer>,
    pub(super) decoder: Vec<DecoderLayer>,
    norm: LayerNorm,
    output: Dense,
}

impl Stored for Network {}

/// What a training step costs.
pub(super) struct Lesson {
    /// What is to come out: batch x tokens x channels.
    pub(super) clean: Tensor<3>,
    /// What goes in, of the same shape.
    pub(super) noisy: Tensor<3>,
    pub(super) dropout: Option<Dropout>,
}

impl Network {
    /// For a grid of tokens of so many channels.
    pub(super) fn new(
        config: &UniadConfig,
        channels: usize,
        (height, width): (usize, usize),
        init: &mut Init,
    ) -> Self {
        Self {
            input: Dense::xavier(channels, config.width, init),
            position: GridEmbedding::new([height, width], config.width, init),
            encoder: (0..config.encoder_layers).map(|_| EncoderLayer::new(config, init)).collect(),
            decoder: (0..config.decoder_layers)
                .map(|_| DecoderLayer::new(config, height * width, init))
                .collect(),
            norm: LayerNorm::new(config.width, init),
            output: Dense::xavier(config.width, channels, init),
        }
    }

    /// The tokens as they should be, batch x tokens x channels, for tokens of that shape; `mask` is tokens x tokens.
    pub(super) fn forward(
        &self,
        tokens: Tensor<3>,
        mask: &Tensor<2>,
        mut dropout: Option<Dropout>,
    ) -> Tensor<3> {
        let [batch, count, channels] = tokens.dims();
        let position = self.position.forward().unsqueeze_dim::<3>(0);
        let scene = Scene { position: &position, mask };
        let x = self.input.rows(tokens.reshape([batch * count, channels]));
        let width = x.dims()[1];
        let mut memory = x.reshape([batch, count, width]);
        for layer in &self.encoder {
            memory = layer.forward(memory, &scene, dropout.as_mut());
        }
        let mut x = memory.clone();
        for layer in &self.decoder {
            x = layer.forward(memory.clone(), x, &scene, dropout.as_mut());
        }
        let x = self.norm.forward(x).reshape([batch * count, width]);
        self.output.rows(x).reshape([batch, count, channels])
    }

    /// Mean over batch, tokens and channels of (f' - f)^2.
    pub(super) fn loss(&self, lesson: Lesson, mask: &Tensor<2>) -> Tensor<1> {
        let Lesson { clean, noisy, dropout } = lesson;
        l2(self.forward(noisy, mask, dropout), clean)
    }
}

/// Multiply-adds of a pass over one image, and values that it keeps for the gradients.
pub(super) fn cost(config: &UniadConfig, channels: usize, tokens: usize) -> (f64, f64) {
    let UniadConfig { width, heads, feed_forward, encoder_layers, decoder_layers, .. } = *config;
    let [width, heads, hidden, channels, tokens] =
        [width, heads, feed_forward, channels, tokens].map(|value| value as f64);
    let attentions = (encoder_layers + 2 * decoder_layers) as f64;
    let layers = (encoder_layers + decoder_layers) as f64;
    let pairs = tokens * tokens;
    let work = attentions * (4.0 * width * width * tokens + 2.0 * pairs * width)
        + layers * 2.0 * width * hidden * tokens
        + 2.0 * channels * width * tokens;
    let kept = attentions * (14.0 * tokens * width + 5.0 * heads * pairs)
        + layers * tokens * (3.0 * hidden + 4.0 * width)
        + 4.0 * channels * tokens;
    (work, kept)
}
