//! Layers of the small networks inside coupling blocks. Maps are batch x channels x height x width; a vector is a map of one position.

use crate::flow::ActNorm;
use crate::init::Init;
use blemish_ops::{convolve, dense};
use burn::module::{Module, Param};
use burn::tensor::{Tensor, activation};

/// A matrix for vectors.
#[derive(Module, Debug)]
pub struct Dense {
    /// Inputs x outputs.
    pub weight: Param<Tensor<2>>,
    /// Outputs.
    pub bias: Param<Tensor<1>>,
}

impl Dense {
    /// Uniform within 1 / sqrt(inputs), weights and bias.
    pub fn new(inputs: usize, outputs: usize, init: &mut Init) -> Self {
        let bound = 1.0 / (inputs as f32).sqrt();
        Self { weight: init.uniform(bound, [inputs, outputs]), bias: init.uniform(bound, [outputs]) }
    }

    /// y = x W + b.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [count, inputs, height, width] = x.dims();
        assert_eq!(height * width, 1, "a dense layer meets a map of {height} x {width} positions");
        let y = self.rows(x.reshape([count, inputs]));
        let outputs = y.dims()[1];
        y.reshape([count, outputs, 1, 1])
    }

    /// The same for rows x inputs.
    pub fn rows(&self, x: Tensor<2>) -> Tensor<2> {
        dense(x, self.weight.val(), self.bias.val())
    }
}

/// A convolution that keeps the size at stride 1, unless it is unpadded.
#[derive(Module, Debug)]
pub struct Conv {
    /// Outputs x inputs x kernel x kernel.
    pub weight: Param<Tensor<4>>,
    /// Outputs.
    pub bias: Param<Tensor<1>>,
    stride: usize,
    is_unpadded: bool,
}

impl Conv {
    /// Uniform within 1 / sqrt(inputs * kernel^2), weights and bias.
    pub fn new(inputs: usize, outputs: usize, kernel: usize, init: &mut Init) -> Self {
        let bound = 1.0 / ((inputs * kernel * kernel) as f32).sqrt();
        let weight = init.uniform(bound, [outputs, inputs, kernel, kernel]);
        Self { weight, bias: init.uniform(bound, [outputs]), stride: 1, is_unpadded: false }
    }

    /// All zero: what it feeds starts as the identity.
    pub fn zero(inputs: usize, outputs: usize, kernel: usize, init: &Init) -> Self {
        let weight = init.constant(0.0, [outputs, inputs, kernel, kernel]);
        Self { weight, bias: init.constant(0.0, [outputs]), stride: 1, is_unpadded: false }
    }

    /// Of another stride.
    pub fn with_stride(self, stride: usize) -> Self {
        Self { stride, ..self }
    }

    /// Only where the whole kernel fits into the map.
    pub fn unpadded(self) -> Self {
        Self { is_unpadded: true, ..self }
    }

    /// y = W * x + b, zero padding of half the kernel or none.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let padding = if self.is_unpadded { 0 } else { self.weight.dims()[2] / 2 };
        convolve(x, self.weight.val(), self.bias.val(), self.stride, padding)
    }
}

/// A learned factor per channel, exp(3 g), that starts at 1.
#[derive(Module, Debug)]
pub struct Gain {
    /// g.
    pub log: Param<Tensor<1>>,
}

impl Gain {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let channels = x.dims()[1];
        x * (self.log.val() * 3.0).exp().reshape([1, channels, 1, 1])
    }
}

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

/// max(x, 0).
#[derive(Module, Debug)]
pub struct Relu;

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
            layers.push(Layer::Conv(Conv { weight, bias, stride: 1, is_unpadded: false }));
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
