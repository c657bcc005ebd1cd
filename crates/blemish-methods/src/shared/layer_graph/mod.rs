//! Layers of trained networks as parts of a graph, by the weights that they have: each computes what its `forward` does in scoring.
//!
//! | module | gives |
//! |---|---|
//! | here | convolutions, activations, convolutional units, linear layers |
//! | `norms` | normalisations |
//! | `blocks` | blocks of several layers |
//! | `dcgan` | encoders and decoders of strided convolutions |
//! | `repaint` | the networks of DRAEM and EdgRec |
//! | `compare` | how two images differ |

mod blocks;
mod compare;
mod dcgan;
mod norms;
mod repaint;

pub(crate) use blocks::coordinate_attention;
pub(crate) use compare::{absolute, dissimilarity, distance, mean_of_largest, squared};
pub(crate) use norms::{each_channel, standardise};
pub(crate) use repaint::{Skips, encoded, risen};

use super::tensors::values_of;
use blemish_core::error::Error;
use blemish_core::export::{GraphInput, Resize, both_sides, resize_matrix};
use blemish_features::GraphMap;
use blemish_features::onnx::{GraphWriter, Setting, Value};
use blemish_nn::Tensor;
use blemish_nn::layers::{Activation, Conv, ConvUnit, Convolution, Dense, TransposedConv};

/// A layer that makes maps of maps.
pub(crate) trait GraphLayer {
    /// Adds it: y for x.
    ///
    /// # Errors
    /// [`Error::Score`] if its weights cannot be read from their device, [`Error::Export`] if it has no graph.
    fn write(&self, writer: &mut GraphWriter, x: &GraphMap) -> Result<GraphMap, Error>;
}

/// Layers one after the other.
pub(crate) fn chained<'a, L: GraphLayer + 'a>(
    writer: &mut GraphWriter,
    layers: impl IntoIterator<Item = &'a L>,
    x: GraphMap,
) -> Result<GraphMap, Error> {
    layers.into_iter().try_fold(x, |x, layer| layer.write(writer, &x))
}

/// The images of a graph, N x 3 x H x W, as a map.
pub(crate) fn image(value: &Value, (height, width): (usize, usize)) -> GraphMap {
    GraphMap { value: value.clone(), channels: 3, height, width }
}

/// A constant of a tensor's shape and values.
pub(crate) fn constant<const D: usize>(
    writer: &mut GraphWriter,
    what: &str,
    tensor: Tensor<D>,
) -> Result<Value, Error> {
    let shape = tensor.dims();
    Ok(writer.floats(what, &shape, &values_of(tensor)?))
}

/// A constant number times a value.
pub(crate) fn times(writer: &mut GraphWriter, value: &Value, factor: f32) -> Value {
    let factor = writer.number(factor);
    writer.mul(value, &factor)
}

/// A value plus a constant number.
pub(crate) fn plus(writer: &mut GraphWriter, value: &Value, number: f32) -> Value {
    let number = writer.number(number);
    writer.add(value, &number)
}

/// How far a value lies above a mean, times a factor.
pub(crate) fn centred(writer: &mut GraphWriter, value: &Value, mean: f32, factor: f32) -> Value {
    let above = plus(writer, value, -mean);
    times(writer, &above, factor)
}

/// Images of [0, 1] as maps of [-1, 1].
pub(crate) fn signed(writer: &mut GraphWriter, input: &GraphInput<'_>) -> GraphMap {
    let doubled = times(writer, &input.image, 2.0);
    image(&plus(writer, &doubled, -1.0), input.size)
}

/// x W + b of rows, any x inputs.
pub(crate) fn dense(writer: &mut GraphWriter, layer: &Dense, rows: &Value) -> Result<Value, Error> {
    let weight = constant(writer, "weight", layer.weight.val())?;
    let bias = constant(writer, "bias", layer.bias.val())?;
    let product = writer.matmul(rows, &weight);
    Ok(writer.add(&product, &bias))
}

/// Maps at another height and width.
pub(crate) fn resized(
    writer: &mut GraphWriter,
    x: &GraphMap,
    resize: Resize,
    (height, width): (usize, usize),
) -> GraphMap {
    if (x.height, x.width) == (height, width) {
        return x.clone();
    }
    let (down, across) = (resize_matrix(resize, x.height, height), resize_matrix(resize, x.width, width));
    let value = both_sides(writer, &x.value, (&down, &across), (x.height, x.width));
    GraphMap { value, height, width, ..*x }
}

/// Maps of twice the height and width.
pub(crate) fn doubled(writer: &mut GraphWriter, x: &GraphMap, resize: Resize) -> GraphMap {
    resized(writer, x, resize, (2 * x.height, 2 * x.width))
}

/// The largest values of 2 x 2, side by side.
pub(crate) fn largest_of_four(writer: &mut GraphWriter, x: &GraphMap) -> GraphMap {
    of_four(writer, "MaxPool", x)
}

/// The means of 2 x 2, side by side.
pub(crate) fn mean_of_four(writer: &mut GraphWriter, x: &GraphMap) -> GraphMap {
    of_four(writer, "AveragePool", x)
}

fn of_four(writer: &mut GraphWriter, kind: &str, x: &GraphMap) -> GraphMap {
    let settings = [Setting::Ints("kernel_shape", &[2, 2]), Setting::Ints("strides", &[2, 2])];
    let value = writer.apply(kind, &[&x.value], &settings);
    GraphMap { value, height: x.height / 2, width: x.width / 2, ..*x }
}

/// Channels one behind the other, of maps of one height and width.
pub(crate) fn joined(writer: &mut GraphWriter, maps: &[&GraphMap]) -> GraphMap {
    let values: Vec<Value> = maps.iter().map(|map| map.value.clone()).collect();
    let channels = maps.iter().map(|map| map.channels).sum();
    GraphMap { value: writer.concat(&values, 1), channels, ..*maps[0] }
}

/// A value after an activation.
pub(crate) fn activated(writer: &mut GraphWriter, activation: Activation, x: &Value) -> Value {
    match activation {
        Activation::Identity => x.clone(),
        Activation::Relu => writer.each("Relu", x),
        Activation::LeakyRelu(slope) => {
            writer.apply("LeakyRelu", &[x], &[Setting::Float("alpha", slope as f32)])
        }
        Activation::Silu => {
            let share = writer.each("Sigmoid", x);
            writer.mul(x, &share)
        }
        Activation::HardSwish => {
            let above = plus(writer, x, 3.0);
            let (low, high) = (writer.number(0.0), writer.number(6.0));
            let share = writer.apply("Clip", &[&above, &low, &high], &[]);
            let product = writer.mul(&share, x);
            times(writer, &product, 1.0 / 6.0)
        }
        Activation::Sigmoid => writer.each("Sigmoid", x),
        Activation::Tanh => writer.each("Tanh", x),
    }
}

impl GraphLayer for Activation {
    fn write(&self, writer: &mut GraphWriter, x: &GraphMap) -> Result<GraphMap, Error> {
        Ok(GraphMap { value: activated(writer, *self, &x.value), ..*x })
    }
}

/// A convolution of either kind by its weights and bias, of a stride and a padding.
fn convolve(
    writer: &mut GraphWriter,
    kind: &str,
    x: &Value,
    (weight, bias): (Tensor<4>, Tensor<1>),
    [stride, padding, further]: [usize; 3],
) -> Result<Value, Error> {
    let kernel = [weight.dims()[2] as i64; 2];
    let weight = constant(writer, "weight", weight)?;
    let bias = constant(writer, "bias", bias)?;
    let (strides, pads, further) = ([stride as i64; 2], [padding as i64; 4], [further as i64; 2]);
    let mut settings = vec![
        Setting::Ints("kernel_shape", &kernel),
        Setting::Ints("strides", &strides),
        Setting::Ints("pads", &pads),
    ];
    if further[0] > 0 {
        settings.push(Setting::Ints("output_padding", &further));
    }
    Ok(writer.apply(kind, &[x, &weight, &bias], &settings))
}

impl GraphLayer for Conv {
    fn write(&self, writer: &mut GraphWriter, x: &GraphMap) -> Result<GraphMap, Error> {
        let [channels, _, kernel, _] = self.weight.dims();
        let (stride, padding) = (self.stride(), self.padding());
        let weights = (self.weight.val(), self.bias.val());
        let value = convolve(writer, "Conv", &x.value, weights, [stride, padding, 0])?;
        let side = |side: usize| (side + 2 * padding - kernel) / stride + 1;
        Ok(GraphMap { value, channels, height: side(x.height), width: side(x.width) })
    }
}

impl GraphLayer for TransposedConv {
    fn write(&self, writer: &mut GraphWriter, x: &GraphMap) -> Result<GraphMap, Error> {
        let [_, channels, kernel, _] = self.weight.dims();
        let (stride, padding, further) = (self.stride(), self.padding(), self.output_padding());
        let weights = (self.weight.val(), self.bias.val());
        let value = convolve(writer, "ConvTranspose", &x.value, weights, [stride, padding, further])?;
        let side = |side: usize| (side - 1) * stride + kernel + further - 2 * padding;
        Ok(GraphMap { value, channels, height: side(x.height), width: side(x.width) })
    }
}

impl GraphLayer for ConvUnit {
    fn write(&self, writer: &mut GraphWriter, x: &GraphMap) -> Result<GraphMap, Error> {
        let mut y = match &self.conv {
            Convolution::Plain(conv) => conv.write(writer, x)?,
            Convolution::Transposed(conv) => conv.write(writer, x)?,
        };
        if let Some(norm) = &self.norm {
            y = norm.write(writer, &y)?;
        }
        self.activation.write(writer, &y)
    }
}
