//! GANomaly as a graph.

use super::network::IMAGENET;
use super::{Ganomaly, ImageScore, Variant};
use crate::shared::dcgan::check_side;
use crate::shared::layer_graph::{GraphLayer, absolute, centred, distance, each_channel, image, signed};
use blemish_core::error::Error;
use blemish_core::export::{GraphInput, GraphScores, cannot};
use blemish_core::method::Method;
use blemish_features::GraphMap;
use blemish_features::onnx::{GraphWriter, Reduction};

/// Adds a model: E1, decoder and E2, the map and the distance of the codes.
pub(super) fn write(
    model: &Ganomaly,
    writer: &mut GraphWriter,
    input: &GraphInput<'_>,
) -> Result<GraphScores, Error> {
    let side = model.side;
    check_side(side, input.size).map_err(cannot)?;
    let x = scaled(model, writer, input);
    let code = model.generator.encoder.write(writer, &x)?;
    let made = model.generator.decoder.write(writer, &code)?;
    let second = model.generator.second.write(writer, &made)?;
    let values = absolute(writer, &x.value, &made.value);
    let mut scores = GraphScores { values, height: side, width: side, image_score: None };
    scores.image_score = match model.config.score {
        ImageScore::Map => None,
        ImageScore::CodeAbsolute => {
            let apart = writer.sub(&code.value, &second.value);
            let apart = writer.each("Abs", &apart);
            Some(writer.reduce(Reduction::Mean, &apart, &[1, 2, 3], false))
        }
        ImageScore::Code => Some(distance(writer, &code.value, &second.value)),
        ImageScore::Combined => {
            let code = distance(writer, &code.value, &second.value);
            let (hottest, _) = model.map_stage().write(writer, &scores, input.size, input.region);
            let [of_code, of_map] = model.usual;
            let code = centred(writer, &code, of_code.mean, 1.0 / of_code.deviation);
            let map = centred(writer, &hottest, of_map.mean, 1.0 / of_map.deviation);
            Some(writer.add(&code, &map))
        }
    };
    Ok(scores)
}

/// Colours as the networks see them, see [`super::network::scaled`].
fn scaled(model: &Ganomaly, writer: &mut GraphWriter, input: &GraphInput<'_>) -> GraphMap {
    match model.config.variant {
        Variant::Published => signed(writer, input),
        Variant::Anomalib => {
            let [mean, deviation] = IMAGENET;
            let centred = each_channel(writer, "Sub", &input.image, &mean);
            image(&each_channel(writer, "Div", &centred, &deviation), input.size)
        }
    }
}
