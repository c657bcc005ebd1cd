//! The parts of [`Repainter`] and its like in a graph.

use super::{GraphLayer, chained, doubled, joined, largest_of_four};
use crate::shared::repainter::{Encoder, Pair, Repainter, Rise, Unit};
use blemish_core::error::Error;
use blemish_features::GraphMap;
use blemish_features::onnx::GraphWriter;
use blemish_kernels::map::resize_aligned;
use blemish_nn::layers::Activation;

impl GraphLayer for Unit {
    fn write(&self, writer: &mut GraphWriter, x: &GraphMap) -> Result<GraphMap, Error> {
        let y = self.conv.write(writer, x)?;
        let y = self.norm.write(writer, &y)?;
        Activation::Relu.write(writer, &y)
    }
}

impl GraphLayer for Pair {
    fn write(&self, writer: &mut GraphWriter, x: &GraphMap) -> Result<GraphMap, Error> {
        chained(writer, [&self.first, &self.second], x.clone())
    }
}

/// What the last stage of an encoder gives, and what all others give, the largest first.
pub(crate) fn encoded(
    writer: &mut GraphWriter,
    encoder: &Encoder,
    x: &GraphMap,
) -> Result<(GraphMap, Vec<GraphMap>), Error> {
    let (mut x, mut skips) = (x.clone(), Vec::new());
    for (number, stage) in encoder.stages.iter().enumerate() {
        if number > 0 {
            skips.push(x.clone());
            x = largest_of_four(writer, &x);
        }
        x = stage.write(writer, &x)?;
    }
    if let Some(block) = &encoder.block {
        skips.push(x.clone());
        x = largest_of_four(writer, &x);
        x = block.write(writer, &x)?;
    }
    Ok((x, skips))
}

/// What a stage of a decoder is given of the encoder.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Skips {
    /// Nothing.
    None,
    /// Added to what comes from below.
    Added,
    /// Behind the channels of that.
    Joined,
}

/// What the stages of a decoder make of what an encoder gave.
pub(crate) fn risen(
    writer: &mut GraphWriter,
    rises: &[Rise],
    (mut x, mut skips): (GraphMap, Vec<GraphMap>),
    how: Skips,
) -> Result<GraphMap, Error> {
    for rise in rises {
        let enlarged = doubled(writer, &x, resize_aligned);
        x = rise.up.write(writer, &enlarged)?;
        x = match (skips.pop(), how) {
            (Some(skip), Skips::Added) => GraphMap { value: writer.add(&x.value, &skip.value), ..x },
            (Some(skip), Skips::Joined) => joined(writer, &[&x, &skip]),
            _ => x,
        };
        x = rise.pair.write(writer, &x)?;
    }
    Ok(x)
}

impl GraphLayer for Repainter {
    fn write(&self, writer: &mut GraphWriter, x: &GraphMap) -> Result<GraphMap, Error> {
        let seen = encoded(writer, &self.encoder, x)?;
        let how = if self.skips { Skips::Added } else { Skips::None };
        let painted = risen(writer, &self.rises, seen, how)?;
        self.out.write(writer, &painted)
    }
}
