//! The small networks inside coupling blocks.

use super::act_norm::ActNorm;
use super::activation::Relu;
use super::conv::Conv;
use super::dense::Dense;
use super::gain::Gain;
use crate::init::Init;
use burn::module::Module;
use burn::tensor::{Tensor, activation};

/// One layer of a subnet.
#[derive(Module, Debug)]
pub enum Layer {
    /// See [`Dense`].
    Dense(Dense),
    /// See [`Conv`].
    Conv(Conv),
    /// See [`ActNorm`].
    ActNorm(ActNorm),
    /// See [`Gain`].
    Gain(Gain),
    /// max(x, 0).
    Relu(Relu),
}

/// What a coupling block computes scale and shift with.
#[derive(Module, Debug)]
pub struct Subnet {
    /// In the order of application.
    pub layers: Vec<Layer>,
}

impl Subnet {
    /// Linear layers with ReLU between them, from `widths[0]` inputs to the last of `widths`.
    pub fn dense(widths: &[usize], init: &mut Init) -> Self {
        let layers = widths.windows(2).map(|pair| Layer::Dense(Dense::new(pair[0], pair[1], init)));
        Self::with_relu(layers.collect())
    }

    /// Two convolutions with ReLU between them.
    pub fn conv([inputs, hidden, outputs]: [usize; 3], kernel: usize, init: &mut Init) -> Self {
        let first = Conv::new(inputs, hidden, kernel, init);
        Self::with_relu(vec![Layer::Conv(first), Layer::Conv(Conv::new(hidden, outputs, kernel, init))])
    }

    /// Glow's: 3x3 and 1x1 convolutions, each with actnorm and ReLU, and a 3x3 convolution that starts at zero.
    pub fn glow([inputs, hidden, outputs]: [usize; 3], init: &mut Init) -> Self {
        let mut layers = Vec::new();
        for (inputs, kernel) in [(inputs, 3), (hidden, 1)] {
            let weight = init.normal(0.05, [hidden, inputs, kernel, kernel]);
            // The actnorm after it has the bias.
            let bias = init.constant(0.0, [hidden]).set_require_grad(false);
            layers.push(Layer::Conv(Conv::of(weight, bias)));
            layers.push(Layer::ActNorm(ActNorm::new(hidden, init)));
            layers.push(Layer::Relu(Relu));
        }
        layers.push(Layer::Conv(Conv::zero(hidden, outputs, 3, init)));
        layers.push(Layer::Gain(Gain { log: init.constant(0.0, [outputs]) }));
        Self { layers }
    }

    fn with_relu(layers: Vec<Layer>) -> Self {
        let mut between = Vec::new();
        for layer in layers {
            if !between.is_empty() {
                between.push(Layer::Relu(Relu));
            }
            between.push(layer);
        }
        Self { layers: between }
    }

    /// The raw output.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.layers.iter().fold(x, |x, layer| layer.forward(x))
    }

    /// Forward, with every actnorm set by what reaches it.
    pub fn start(&mut self, x: Tensor<4>) -> Tensor<4> {
        self.layers.iter_mut().fold(x, |x, layer| {
            if let Layer::ActNorm(norm) = layer {
                norm.start(&x);
            }
            layer.forward(x)
        })
    }
}

impl Layer {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Dense(layer) => layer.forward(x),
            Self::Conv(layer) => layer.forward(x),
            Self::ActNorm(layer) => layer.forward(x).0,
            Self::Gain(layer) => layer.forward(x),
            Self::Relu(_) => activation::relu(x),
        }
    }
}
