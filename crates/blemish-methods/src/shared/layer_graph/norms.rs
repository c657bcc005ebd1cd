//! Normalisations as parts of a graph.

use super::{GraphLayer, constant, plus};
use crate::shared::tensors::values_of;
use blemish_core::error::Error;
use blemish_features::GraphMap;
use blemish_features::onnx::{GraphWriter, Reduction, Setting, Value};
use blemish_nn::layers::{BatchNorm2d, GroupNorm, Norm};

/// An operator on every channel with a value of its own.
pub(crate) fn each_channel(writer: &mut GraphWriter, kind: &str, x: &Value, values: &[f32]) -> Value {
    let values = writer.floats("channels", &[1, values.len(), 1, 1], values);
    writer.apply(kind, &[x, &values], &[])
}

/// (x - mean) / sqrt(variance + epsilon), the moments over some axes.
pub(crate) fn standardise(writer: &mut GraphWriter, x: &Value, axes: &[i64], epsilon: f64) -> Value {
    let mean = writer.reduce(Reduction::Mean, x, axes, true);
    let centred = writer.sub(x, &mean);
    let squares = writer.mul(&centred, &centred);
    let variance = writer.reduce(Reduction::Mean, &squares, axes, true);
    let above = plus(writer, &variance, epsilon as f32);
    let deviation = writer.each("Sqrt", &above);
    writer.div(&centred, &deviation)
}

impl GraphLayer for BatchNorm2d {
    fn write(&self, writer: &mut GraphWriter, x: &GraphMap) -> Result<GraphMap, Error> {
        let gain = constant(writer, "gain", self.gain.val())?;
        let shift = constant(writer, "shift", self.shift.val())?;
        let mean = constant(writer, "mean", self.mean.val())?;
        let variance = constant(writer, "variance", self.variance.val())?;
        let inputs = [&x.value, &gain, &shift, &mean, &variance];
        let settings = [Setting::Float("epsilon", self.epsilon() as f32)];
        Ok(GraphMap { value: writer.apply("BatchNormalization", &inputs, &settings), ..*x })
    }
}

impl GraphLayer for GroupNorm {
    fn write(&self, writer: &mut GraphWriter, x: &GraphMap) -> Result<GraphMap, Error> {
        let rows = writer.reshape(&x.value, &[0, self.groups() as i64, -1]);
        let rows = standardise(writer, &rows, &[2], self.epsilon());
        let shape = [x.channels, x.height, x.width].map(|side| side as i64);
        let maps = writer.reshape(&rows, &[-1, shape[0], shape[1], shape[2]]);
        let scaled = each_channel(writer, "Mul", &maps, &values_of(self.gain.val())?);
        Ok(GraphMap { value: each_channel(writer, "Add", &scaled, &values_of(self.shift.val())?), ..*x })
    }
}

impl GraphLayer for Norm {
    fn write(&self, writer: &mut GraphWriter, x: &GraphMap) -> Result<GraphMap, Error> {
        match self {
            Self::Batch(norm) => norm.write(writer, x),
            Self::Group(norm) => norm.write(writer, x),
        }
    }
}
