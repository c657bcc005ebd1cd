//! EdgRec as a graph: edges by the largest values of squares, the network, and the comparison of gradients and colours.

use super::compare::{C, GAIN, GREY, WHITE, XYZ};
use super::config::Colours;
use super::{EdgRec, check_size};
use crate::shared::box_mean::mirrored_means;
use crate::shared::graph::neighbourhood_mean;
use crate::shared::layer_graph::{GraphLayer, mean_of_four, plus, resized, times};
use blemish_core::error::Error;
use blemish_core::export::{GraphInput, GraphScores, both_sides, cannot};
use blemish_features::GraphMap;
use blemish_features::onnx::{GraphWriter, Reduction, Setting, Value};
use blemish_kernels::map::resize_bilinear;

/// Height and width.
type Size = (usize, usize);

/// Adds a model.
pub(super) fn write(
    model: &EdgRec,
    writer: &mut GraphWriter,
    input: &GraphInput<'_>,
) -> Result<GraphScores, Error> {
    let (config, size @ (height, width)) = (&model.config, input.size);
    check_size(size).map_err(cannot)?;
    let edges = edges(writer, &input.image, config.edge);
    let edges = GraphMap { value: edges, channels: 1, height, width };
    let painted = model.network.write(writer, &edges)?.value;
    let gradients = gradient_difference(writer, [&input.image, &painted], size, config.scales);
    let gradients = neighbourhood_mean(writer, &gradients, config.gradient_window);
    let mut values = writer.squeeze(&gradients, &[1]);
    if config.colour_weight != 0.0 {
        if config.colours == Colours::Compat {
            return Err(cannot(
                "colours=compat compares in 8 bits by tables, which has no graph; fit it with colours=clean",
            ));
        }
        let apart = colour_difference(writer, [&input.image, &painted]);
        let (down, across) =
            (mirrored_means(height, config.colour_window), mirrored_means(width, config.colour_window));
        let means = both_sides(writer, &apart, (&down, &across), size);
        let weighted = times(writer, &means, config.colour_weight);
        values = writer.add(&values, &weighted);
    }
    Ok(GraphScores { values, height, width, image_score: None })
}

/// The largest grey in a square around each pixel less the smallest, N x 1 x H x W; what lies outside does not count.
fn edges(writer: &mut GraphWriter, image: &Value, side: usize) -> Value {
    let grey = writer.floats("grey", &[1, 3, 1, 1], &GREY);
    let grey = writer.convolve(image, &grey, None, 1, 1);
    let (kernel, pads) = ([side as i64; 2], [(side / 2) as i64; 4]);
    let settings = [
        Setting::Ints("kernel_shape", &kernel),
        Setting::Ints("pads", &pads),
        Setting::Ints("strides", &[1, 1]),
    ];
    let largest = writer.apply("MaxPool", &[&grey], &settings);
    let turned = times(writer, &grey, -1.0);
    let smallest = writer.apply("MaxPool", &[&turned], &settings);
    writer.add(&largest, &smallest)
}

/// 1 - the similarity of gradients at several scales, averaged over channels, N x 1 x H x W.
fn gradient_difference(writer: &mut GraphWriter, images: [&Value; 2], size: Size, scales: usize) -> Value {
    let mut planes = images.map(|image| {
        let value = writer.reshape(image, &[-1, 1, size.0 as i64, size.1 as i64]);
        GraphMap { value, channels: 1, height: size.0, width: size.1 }
    });
    let mut maps = Vec::new();
    for scale in 0..scales {
        if scale > 0 {
            planes = planes.map(|plane| mean_of_four(writer, &plane));
        }
        let [g, h] = [&planes[0], &planes[1]].map(|plane| gradient(writer, &plane.value));
        let map = GraphMap { value: similarity(writer, &g, &h), ..planes[0] };
        maps.push(resized(writer, &map, resize_bilinear, size).value);
    }
    let all = writer.concat(&maps, 1);
    let all = writer.reshape(&all, &[-1, 3 * scales as i64, size.0 as i64, size.1 as i64]);
    let mean = writer.reduce(Reduction::Mean, &all, &[1], true);
    let lacking = times(writer, &mean, -1.0);
    plus(writer, &lacking, 1.0)
}

/// Magnitude of the gradient by Prewitt's kernels over 3, with zeros outside, of N x 1 x H x W.
fn gradient(writer: &mut GraphWriter, plane: &Value) -> Value {
    let third = 1.0 / 3.0;
    let across = [third, 0.0, -third].repeat(3);
    let down = [[third; 3], [0.0; 3], [-third; 3]].concat();
    let kernels = writer.floats("prewitt", &[2, 1, 3, 3], &[across, down].concat());
    let both = writer.convolve(plane, &kernels, None, 3, 1);
    let squares = writer.mul(&both, &both);
    let sum = writer.reduce(Reduction::Sum, &squares, &[1], true);
    let above = plus(writer, &sum, 1e-12);
    writer.each("Sqrt", &above)
}

/// (2 g h + c) / (g^2 + h^2 + c).
fn similarity(writer: &mut GraphWriter, g: &Value, h: &Value) -> Value {
    let product = writer.mul(g, h);
    let product = times(writer, &product, 2.0);
    let above = plus(writer, &product, C);
    let (of_g, of_h) = (writer.mul(g, g), writer.mul(h, h));
    let sum = writer.add(&of_g, &of_h);
    let below = plus(writer, &sum, C);
    writer.div(&above, &below)
}

/// Squared differences of a and b of CIELAB, at most 255, N x H x W.
fn colour_difference(writer: &mut GraphWriter, images: [&Value; 2]) -> Value {
    let [one, other] = images.map(|image| lab(writer, image));
    let apart = writer.sub(&one, &other);
    let squares = writer.mul(&apart, &apart);
    let sum = writer.reduce(Reduction::Sum, &squares, &[1], false);
    let most = writer.number(255.0);
    writer.apply("Min", &[&sum, &most], &[])
}

/// One of two values, by whether x is above a limit.
fn either(writer: &mut GraphWriter, x: &Value, limit: f32, [above, below]: [&Value; 2]) -> Value {
    let limit = writer.number(limit);
    let is_above = writer.apply("Greater", &[x, &limit], &[]);
    writer.apply("Where", &[&is_above, above, below], &[])
}

/// A power of a value.
fn power(writer: &mut GraphWriter, x: &Value, exponent: f32) -> Value {
    let exponent = writer.number(exponent);
    writer.apply("Pow", &[x, &exponent], &[])
}

/// a and b of CIELAB, N x 2 x H x W, of 180/255 of an image.
fn lab(writer: &mut GraphWriter, image: &Value) -> Value {
    let bounds = [0.0, 1.0].map(|bound| writer.number(bound));
    let image = writer.apply("Clip", &[image, &bounds[0], &bounds[1]], &[]);
    let value = times(writer, &image, GAIN / 255.0);
    let above = plus(writer, &value, 0.055);
    let above = times(writer, &above, 1.0 / 1.055);
    let above = power(writer, &above, 2.4);
    let below = times(writer, &value, 1.0 / 12.92);
    let light = either(writer, &value, 0.040_45, [&above, &below]);
    let row = |row: usize| XYZ[row].map(|share| (share / WHITE[row]) as f32);
    let matrix = writer.floats("xyz", &[3, 3, 1, 1], &[row(0), row(1), row(2)].concat());
    let t = writer.convolve(&light, &matrix, None, 1, 1);
    let above = power(writer, &t, 1.0 / 3.0);
    let below = times(writer, &t, 7.787);
    let below = plus(writer, &below, 16.0 / 116.0);
    let roots = either(writer, &t, 0.008_856, [&above, &below]);
    let matrix = [500.0, -500.0, 0.0, 0.0, 200.0, -200.0];
    let matrix = writer.floats("lab", &[2, 3, 1, 1], &matrix);
    writer.convolve(&roots, &matrix, None, 1, 1)
}
