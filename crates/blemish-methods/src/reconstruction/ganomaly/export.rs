//! GANomaly as a graph.

use super::network::IMAGENET;
use super::{Ganomaly, ImageScore, NAME, Usual, Variant};
use crate::shared::layer_graph::{GraphLayer, absolute, each_channel, image, plus, times};
use blemish_core::error::Error;
use blemish_core::export::{GraphInput, GraphScores, cannot};
use blemish_core::method::Method;
use blemish_features::GraphMap;
use blemish_features::onnx::{GraphWriter, Reduction, Value};

/// Adds a model: E1, decoder and E2, the map and the distance of the codes.
pub(super) fn write(
    model: &Ganomaly,
    writer: &mut GraphWriter,
    input: &GraphInput<'_>,
) -> Result<GraphScores, Error> {
    let side = model.side;
    if input.size != (side, side) {
        return Err(cannot(format!(
            "{NAME} was fitted on images of {side}x{side}; use the model's own image size"
        )));
    }
    let x = scaled(model, writer, image(&input.image, input.size));
    let code = model.generator.encoder.write(writer, &x)?;
    let made = model.generator.decoder.write(writer, &code)?;
    let second = model.generator.second.write(writer, &made)?;
    let values = absolute(writer, &x.value, &made.value);
    let mut scores = GraphScores { values, height: side, width: side, image_score: None };
    let apart = writer.sub(&code.value, &second.value);
    let mean =
        |writer: &mut GraphWriter, value: &Value| writer.reduce(Reduction::Mean, value, &[1, 2, 3], false);
    scores.image_score = match model.config.score {
        ImageScore::Map => None,
        ImageScore::CodeAbsolute => {
            let apart = writer.each("Abs", &apart);
            Some(mean(writer, &apart))
        }
        ImageScore::Code | ImageScore::Combined => {
            let squares = writer.mul(&apart, &apart);
            Some(mean(writer, &squares))
        }
    };
    if model.config.score == ImageScore::Combined
        && let Some(code) = scores.image_score.take()
    {
        let (hottest, _) = model.map_stage().write(writer, &scores, input.size, input.region);
        let distance = |writer: &mut GraphWriter, value: &Value, usual: Usual| {
            let centred = plus(writer, value, -usual.mean);
            times(writer, &centred, 1.0 / usual.deviation)
        };
        let code = distance(writer, &code, model.usual[0]);
        let map = distance(writer, &hottest, model.usual[1]);
        scores.image_score = Some(writer.add(&code, &map));
    }
    Ok(scores)
}

/// Colours as the networks see them, see [`super::network::scaled`].
fn scaled(model: &Ganomaly, writer: &mut GraphWriter, x: GraphMap) -> GraphMap {
    let value = match model.config.variant {
        Variant::Published => {
            let doubled = times(writer, &x.value, 2.0);
            plus(writer, &doubled, -1.0)
        }
        Variant::Anomalib => {
            let [mean, deviation] = IMAGENET;
            let centred = each_channel(writer, "Sub", &x.value, &mean);
            each_channel(writer, "Div", &centred, &deviation)
        }
    };
    GraphMap { value, ..x }
}
