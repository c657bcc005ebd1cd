//! Pieces that scale and shift every channel.

use crate::init::Init;
use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorData, activation};

/// Factor of stored logarithms of scales: scales learn faster (Glow's released code).
const SPEED: f64 = 3.0;

/// Largest scale that a first batch may set: a channel that hardly varies would otherwise be blown up.
const LARGEST: f64 = 1e3;

/// z = (x + b) exp(3 l) per channel, set by the first batch to mean 0 and variance 1.
#[derive(Module, Debug)]
pub struct ActNorm {
    /// b.
    pub bias: Param<Tensor<1>>,
    /// l.
    pub log_scale: Param<Tensor<1>>,
}

/// A vector of channels along a map.
fn along<const D: usize>(values: Tensor<D>) -> Tensor<4> {
    let channels = values.dims().iter().product::<usize>();
    values.reshape([1, channels, 1, 1])
}

impl ActNorm {
    /// The identity, until [`Self::start`].
    pub fn new(channels: usize, init: &Init) -> Self {
        Self { bias: init.constant(0.0, [channels]), log_scale: init.constant(0.0, [channels]) }
    }

    /// Sets bias and scale so that this batch comes out with mean 0 and variance 1 in every channel (population variance).
    pub fn start(&mut self, x: &Tensor<4>) {
        let [batch, channels, height, width] = x.dims();
        let (dtype, device) = (x.dtype(), x.device());
        let values = x.clone().into_data().convert::<f64>().try_into_vec::<f64>().unwrap_or_default();
        let (positions, count) = (height * width, (batch * height * width) as f64);
        let each = |channel: usize, of: &dyn Fn(f64) -> f64| {
            let images =
                (0..batch).map(|image| &values[(image * channels + channel) * positions..][..positions]);
            images.flatten().map(|&value| of(value)).sum::<f64>() / count
        };
        let statistics = (0..channels).map(|channel| {
            let mean = each(channel, &|value| value);
            let deviation = each(channel, &|value| (value - mean).powi(2)).sqrt();
            (-mean, (1.0 / (deviation + 1e-6)).min(LARGEST).ln() / SPEED)
        });
        let (bias, log_scale): (Vec<f64>, Vec<f64>) = statistics.unzip();
        let set = |values: Vec<f64>| {
            let data = TensorData::new(values, [channels]).convert_dtype(dtype);
            Param::from_tensor(Tensor::from_data(data, (&device, dtype)))
        };
        (self.bias, self.log_scale) = (set(bias), set(log_scale));
    }

    /// z and the log-determinant, 1 x 1 x 1 x 1: the same at every position.
    pub fn forward(&self, x: Tensor<4>) -> (Tensor<4>, Tensor<4>) {
        let log = self.log_scale.val() * SPEED;
        ((x + along(self.bias.val())) * along(log.clone().exp()), along(log.sum()))
    }

    /// x.
    pub fn inverse(&self, z: Tensor<4>) -> Tensor<4> {
        z * along((self.log_scale.val() * -SPEED).exp()) - along(self.bias.val())
    }
}

/// z = g x + b per channel with g = 0.2 ln(1 + exp(G / 2)), which starts at 1.
#[derive(Module, Debug)]
pub struct ChannelAffine {
    /// G.
    pub raw_scale: Param<Tensor<1>>,
    /// b.
    pub offset: Param<Tensor<1>>,
}

impl ChannelAffine {
    /// The identity.
    pub fn new(channels: usize, init: &Init) -> Self {
        let raw = 2.0 * (5.0f32.exp() - 1.0).ln();
        Self { raw_scale: init.constant(raw, [channels]), offset: init.constant(0.0, [channels]) }
    }

    fn scale(&self) -> Tensor<1> {
        activation::softplus(self.raw_scale.val(), 0.5) * 0.1
    }

    /// z and the log-determinant, 1 x 1 x 1 x 1.
    pub fn forward(&self, x: Tensor<4>) -> (Tensor<4>, Tensor<4>) {
        let scale = self.scale();
        (x * along(scale.clone()) + along(self.offset.val()), along(scale.log().sum()))
    }

    /// x.
    pub fn inverse(&self, z: Tensor<4>) -> Tensor<4> {
        (z - along(self.offset.val())) / along(self.scale())
    }
}

/// Every image's map to mean 0 and variance 1 over channels and positions together; no part of a flow, whose density is that of its result.
#[derive(Module, Debug)]
pub struct LayerNorm {
    /// Scale and shift of every value, where they are learned.
    learned: Option<(Param<Tensor<3>>, Param<Tensor<3>>)>,
}

impl LayerNorm {
    /// For maps of channels x height x width.
    pub fn new(shape: [usize; 3], is_learned: bool, init: &Init) -> Self {
        Self { learned: is_learned.then(|| (init.constant(1.0, shape), init.constant(0.0, shape))) }
    }

    /// (x - mean) / sqrt(variance + 1e-5), scaled and shifted if learned.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let shape @ [batch, channels, height, width] = x.dims();
        let x = x.reshape([batch, channels * height * width]);
        let x = x.clone() - x.mean_dim(1);
        let variance = (x.clone() * x.clone()).mean_dim(1);
        let x = (x / (variance + 1e-5).sqrt()).reshape(shape);
        match &self.learned {
            Some((scale, shift)) => x * scale.val().unsqueeze() + shift.val().unsqueeze(),
            None => x,
        }
    }
}
