//! f-AnoGAN as a graph.

use super::Fanogan;
use super::config::{EncoderEnd, ImageScore};
use super::critic::Critic;
use super::network::{Generator, Reader};
use super::residual::{Block, ResidualEncoder, ResidualGenerator, SMALLEST, Way};
use crate::shared::dcgan::check_side;
use crate::shared::layer_graph::{
    GraphLayer, absolute, chained, dense, distance, doubled, mean_of_four, signed, times,
};
use blemish_core::error::Error;
use blemish_core::export::{GraphInput, GraphScores, cannot};
use blemish_features::GraphMap;
use blemish_features::onnx::GraphWriter;
use blemish_kernels::map::resize_nearest;
use blemish_nn::layers::{Activation, Dense};

/// Adds a model: encoder and generator, and what the score asks for.
pub(super) fn write(
    model: &Fanogan,
    writer: &mut GraphWriter,
    input: &GraphInput<'_>,
) -> Result<GraphScores, Error> {
    let side = model.side;
    check_side(side, input.size).map_err(cannot)?;
    let x = signed(writer, input);
    let code = encoded(model, writer, &x)?;
    let made = match &model.networks.generator {
        Generator::Residual(generator) => generator.write(writer, &code)?,
        Generator::Dcgan(generator) => generator.write(writer, &code)?,
    };
    let values = absolute(writer, &x.value, &made.value);
    let score = match model.config.score {
        ImageScore::Code => {
            let second = encoded(model, writer, &made)?;
            distance(writer, &code.value, &second.value)
        }
        ImageScore::Residual => {
            let features = [&x, &made].map(|x| match &model.networks.critic {
                Critic::Residual(critic) => smallest(writer, critic, x),
                Critic::Dcgan(critic) => chained(writer, &critic.units, x.clone()),
            });
            let [of_image, of_made] = features;
            let of_features = distance(writer, &of_image?.value, &of_made?.value);
            let weighted = times(writer, &of_features, model.config.kappa as f32);
            let of_pixels = distance(writer, &x.value, &made.value);
            writer.add(&of_pixels, &weighted)
        }
    };
    Ok(GraphScores { values, height: side, width: side, image_score: Some(score) })
}

/// Codes of images, N x latent x 1 x 1.
fn encoded(model: &Fanogan, writer: &mut GraphWriter, x: &GraphMap) -> Result<GraphMap, Error> {
    let code = match &model.networks.encoder {
        Reader::Residual(reader) => {
            let features = smallest(writer, reader, x)?;
            vector(writer, &reader.head, &features)?
        }
        Reader::Dcgan(reader) => reader.write(writer, x)?,
    };
    let value = match model.config.encoder_end {
        EncoderEnd::None => code.value,
        EncoderEnd::Tanh => writer.each("Tanh", &code.value),
        EncoderEnd::TripleTanh => {
            let bent = writer.each("Tanh", &code.value);
            times(writer, &bent, 3.0)
        }
    };
    Ok(GraphMap { value, ..code })
}

/// Maps as one vector through a linear layer, N x outputs x 1 x 1.
fn vector(writer: &mut GraphWriter, layer: &Dense, x: &GraphMap) -> Result<GraphMap, Error> {
    let rows = writer.reshape(&x.value, &[0, -1]);
    let rows = dense(writer, layer, &rows)?;
    let value = writer.unsqueeze(&rows, &[2, 3]);
    Ok(GraphMap { value, channels: layer.bias.dims()[0], height: 1, width: 1 })
}

/// The smallest maps of an encoder.
fn smallest(writer: &mut GraphWriter, encoder: &ResidualEncoder, x: &GraphMap) -> Result<GraphMap, Error> {
    let first = encoder.first.write(writer, x)?;
    chained(writer, &encoder.blocks, first)
}

impl GraphLayer for Block {
    fn write(&self, writer: &mut GraphWriter, x: &GraphMap) -> Result<GraphMap, Error> {
        let activated = |writer: &mut GraphWriter, number: usize, x: &GraphMap| {
            let y = self.norms[number].write(writer, x)?;
            Activation::Relu.write(writer, &y)
        };
        let mut inner = activated(writer, 0, x)?;
        if self.way == Way::Up {
            inner = doubled(writer, &inner, resize_nearest);
        }
        inner = self.convs[0].write(writer, &inner)?;
        inner = activated(writer, 1, &inner)?;
        inner = self.convs[1].write(writer, &inner)?;
        let beside = match self.way {
            Way::Down => {
                inner = mean_of_four(writer, &inner);
                let x = mean_of_four(writer, x);
                self.shortcut.write(writer, &x)?
            }
            Way::Up => {
                let beside = self.shortcut.write(writer, x)?;
                doubled(writer, &beside, resize_nearest)
            }
        };
        Ok(GraphMap { value: writer.add(&inner.value, &beside.value), ..inner })
    }
}

impl GraphLayer for ResidualGenerator {
    /// Images of codes, N x latent x 1 x 1.
    fn write(&self, writer: &mut GraphWriter, z: &GraphMap) -> Result<GraphMap, Error> {
        let x = vector(writer, &self.first, z)?;
        let channels = x.channels / (SMALLEST * SMALLEST);
        let side = SMALLEST as i64;
        let value = writer.reshape(&x.value, &[-1, channels as i64, side, side]);
        let x = GraphMap { value, channels, height: SMALLEST, width: SMALLEST };
        let x = chained(writer, &self.blocks, x)?;
        let x = self.norm.write(writer, &x)?;
        let x = Activation::Relu.write(writer, &x)?;
        let x = self.last.write(writer, &x)?;
        Activation::Tanh.write(writer, &x)
    }
}
