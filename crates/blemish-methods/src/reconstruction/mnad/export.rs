//! MNAD as a graph, of images: the reading of the memory is a softmax between two products.

use super::config::{ImageScore, Task};
use super::memory::SHORTEST;
use super::network::Stage;
use super::scoring::{LEAST_ERROR, Spread, counted};
use super::{Mnad, check_size};
use crate::shared::graph::squared_length;
use crate::shared::layer_graph::{
    GraphLayer, centred, chained, constant, largest_of_four, mean_of_largest, resized, signed, squared, times,
};
use blemish_core::error::Error;
use blemish_core::export::{GraphInput, GraphScores, cannot};
use blemish_data::Mask;
use blemish_features::GraphMap;
use blemish_features::onnx::{GraphWriter, Reduction, Setting, Value};
use blemish_kernels::map::resize_bilinear;
use blemish_nn::Tensor;
use blemish_nn::layers::Activation;

impl GraphLayer for Stage {
    fn write(&self, writer: &mut GraphWriter, x: &GraphMap) -> Result<GraphMap, Error> {
        let units = [Some(&self.first), self.second.as_ref(), self.up.as_ref()];
        chained(writer, units.into_iter().flatten(), x.clone())
    }
}

/// Adds a model.
pub(super) fn write(
    model: &Mnad,
    writer: &mut GraphWriter,
    input: &GraphInput<'_>,
) -> Result<GraphScores, Error> {
    let (config, network, (height, width)) = (&model.config, &model.network, input.size);
    if config.task == Task::Prediction {
        return Err(cannot(
            "it predicts a frame from those before, and a graph takes single images; fit it with task=reconstruction",
        ));
    }
    if config.update {
        return Err(cannot(
            "its memory moves on from image to image, and a graph takes each by itself; fit it with update=false",
        ));
    }
    check_size(input.size).map_err(cannot)?;
    let images = signed(writer, input);
    let mut x = images.clone();
    for (level, stage) in network.encoder.iter().enumerate() {
        if level > 0 {
            x = largest_of_four(writer, &x);
        }
        x = stage.write(writer, &x)?;
    }
    let mut distances = None;
    if let Some(items) = network.items() {
        let found = read(writer, items, &x)?;
        (x, distances) = (found.with_read, Some(found.distances));
    }
    x = chained(writer, &network.decoder, x)?;
    if let Some(block) = &network.block {
        x = block.write(writer, &x)?;
    }
    let made = network.last.write(writer, &x)?;
    let made = Activation::Tanh.write(writer, &made)?;
    let errors = squared(writer, &made.value, &images.value);
    // Of images in [0, 1].
    let errors = times(writer, &errors, 0.25);

    let share = config.share() as f32;
    let mut values = standardised(writer, &errors, model.usual.error, share);
    let mut far = None;
    if let Some(distances) = &distances {
        let map = resized(writer, distances, resize_bilinear, input.size);
        let map = writer.squeeze(&map.value, &[1]);
        if share < 1.0 {
            let part = standardised(writer, &map, model.usual.cell, 1.0 - share);
            values = writer.add(&values, &part);
        }
        // Over the pixels where there is a region, else over the queries.
        far = Some(match input.region {
            Some(region) => mean_inside(writer, &map, Some(region)),
            None => writer.reduce(Reduction::Mean, &distances.value, &[1, 2, 3], false),
        });
    }
    let image_score = match config.image_score() {
        ImageScore::Max => None,
        ImageScore::Top => {
            Some(mean_of_largest(writer, &values, height * width, None, counted(height * width)))
        }
        ImageScore::Frame => {
            let error = mean_inside(writer, &errors, input.region);
            let least = writer.number(LEAST_ERROR as f32);
            let error = writer.apply("Max", &[&error, &least], &[]);
            let log = writer.each("Log", &error);
            let psnr = times(writer, &log, -10.0 / std::f32::consts::LN_10);
            let score = standardised(writer, &psnr, model.usual.psnr, -share);
            Some(match far {
                Some(far) => {
                    let far = times(writer, &far, 1.0 / (config.width << 3) as f32);
                    let part = standardised(writer, &far, model.usual.distance, 1.0 - share);
                    writer.add(&score, &part)
                }
                None => score,
            })
        }
    };
    Ok(GraphScores { values, height, width, image_score })
}

/// How many deviations above the mean, times a share.
fn standardised(writer: &mut GraphWriter, value: &Value, usual: Spread, share: f32) -> Value {
    centred(writer, value, usual.mean, share / usual.deviation)
}

/// The mean of maps, N x H x W, where to look, N.
fn mean_inside(writer: &mut GraphWriter, map: &Value, region: Option<&Mask>) -> Value {
    let Some(region) = region else { return writer.reduce(Reduction::Mean, map, &[1, 2], false) };
    let count = region.marked.iter().filter(|&&inside| inside).count().max(1) as f32;
    let shares: Vec<f32> =
        region.marked.iter().map(|&inside| if inside { 1.0 / count } else { 0.0 }).collect();
    let shares = writer.floats("shares", &[1, region.height, region.width], &shares);
    let parts = writer.mul(map, &shares);
    writer.reduce(Reduction::Sum, &parts, &[1, 2], false)
}

/// What features are to the memory.
struct Read {
    /// Queries and what they read, N x 2 C x h x w.
    with_read: GraphMap,
    /// Squared distance of every query from its nearest item, N x 1 x h x w.
    distances: GraphMap,
}

fn read(writer: &mut GraphWriter, items: Tensor<2>, features: &GraphMap) -> Result<Read, Error> {
    let turned = constant(writer, "items", items.clone().transpose())?;
    let items = constant(writer, "items", items)?;
    let squares = writer.mul(&features.value, &features.value);
    let sum = writer.reduce(Reduction::Sum, &squares, &[1], true);
    let length = writer.each("Sqrt", &sum);
    let shortest = writer.number(SHORTEST as f32);
    let length = writer.apply("Max", &[&length, &shortest], &[]);
    let queries = writer.div(&features.value, &length);
    let queries = writer.reshape(&queries, &[0, features.channels as i64, -1]);
    let similarity = writer.matmul(&items, &queries);
    let weights = writer.apply("Softmax", &[&similarity], &[Setting::Int("axis", 1)]);
    let read = writer.matmul(&turned, &weights);
    let both = writer.concat(&[queries.clone(), read], 1);
    let sides = [features.height as i64, features.width as i64];
    let value = writer.reshape(&both, &[-1, 2 * features.channels as i64, sides[0], sides[1]]);
    let with_read = GraphMap { value, channels: 2 * features.channels, ..*features };
    let settings = [Setting::Int("axis", 1), Setting::Int("keepdims", 0)];
    let nearest = writer.apply("ArgMax", &[&similarity], &settings);
    let nearest = writer.gather(&items, &nearest, 0);
    let rows = writer.transpose(&queries, &[0, 2, 1]);
    let apart = writer.sub(&rows, &nearest);
    let distances = squared_length(writer, &apart);
    let value = writer.reshape(&distances, &[-1, 1, sides[0], sides[1]]);
    Ok(Read { with_read, distances: GraphMap { value, channels: 1, ..*features } })
}
