//! A scale and shift of every channel that the first batch sets.

use super::along::along;
use crate::init::Init;
use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorData};

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
