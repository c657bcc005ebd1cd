//! Encoders and decoders of strided convolutions in a graph.

use super::{GraphLayer, chained};
use crate::shared::dcgan::{Decoder, Encoder};
use blemish_core::error::Error;
use blemish_features::GraphMap;
use blemish_features::onnx::GraphWriter;
use blemish_nn::layers::Activation;

impl GraphLayer for Encoder {
    /// The vectors of images, N x outputs x 1 x 1.
    fn write(&self, writer: &mut GraphWriter, x: &GraphMap) -> Result<GraphMap, Error> {
        let features = chained(writer, &self.units, x.clone())?;
        self.head.write(writer, &features)
    }
}

impl GraphLayer for Decoder {
    /// Images of vectors, N x latent x 1 x 1.
    fn write(&self, writer: &mut GraphWriter, x: &GraphMap) -> Result<GraphMap, Error> {
        let mut y = chained(writer, &self.units, x.clone())?;
        if let Some(predictor) = &self.block {
            y = predictor.block.write(writer, &y)?;
            y = predictor.norm.write(writer, &y)?;
            y = predictor.activation.write(writer, &y)?;
        }
        let y = self.last.write(writer, &y)?;
        Activation::Tanh.write(writer, &y)
    }
}
