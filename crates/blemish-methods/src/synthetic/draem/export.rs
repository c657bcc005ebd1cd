//! DRAEM as a graph.

use super::{Draem, Score, check_size};
use crate::shared::graph::neighbourhood_mean;
use crate::shared::layer_graph::{GraphLayer, Skips, encoded, image, joined, risen};
use blemish_core::error::Error;
use blemish_core::export::{GraphInput, GraphScores, cannot};
use blemish_features::onnx::{GraphWriter, Reduction, Setting};

/// Adds a model: both networks, and the mean over a window.
pub(super) fn write(
    model: &Draem,
    writer: &mut GraphWriter,
    input: &GraphInput<'_>,
) -> Result<GraphScores, Error> {
    let (height, width) = input.size;
    check_size(&model.config, input.size).map_err(cannot)?;
    let images = image(&input.image, input.size);
    let repaired = model.network.repair.write(writer, &images)?;
    let both = joined(writer, &[&repaired, &images]);
    let segmenter = &model.network.segment;
    let seen = encoded(writer, &segmenter.encoder, &both)?;
    let found = risen(writer, &segmenter.rises, seen, Skips::Joined)?;
    let logits = segmenter.out.write(writer, &found)?;
    let probabilities = writer.apply("Softmax", &[&logits.value], &[Setting::Int("axis", 1)]);
    let defective = writer.slice(&probabilities, 1, 2, 1);
    let map = writer.squeeze(&defective, &[1]);
    let values = input.inside(writer, &map, input.size);
    let image_score = (model.config.score == Score::Smoothed).then(|| {
        let plane = writer.unsqueeze(&values, &[1]);
        let means = neighbourhood_mean(writer, &plane, model.config.window);
        writer.reduce(Reduction::Max, &means, &[1, 2, 3], false)
    });
    Ok(GraphScores { values, height, width, image_score })
}
