//! How two images differ, as parts of a graph: maps N x H x W of images N x C x H x W.

use super::{plus, times};
use blemish_core::export::both_sides;
use blemish_data::Mask;
use blemish_features::onnx::{GraphWriter, Reduction, Setting, Value};
use blemish_nn::loss::Ssim;

/// Mean over the channels of (x - y)^2.
pub(crate) fn squared(writer: &mut GraphWriter, x: &Value, y: &Value) -> Value {
    let apart = writer.sub(x, y);
    let squares = writer.mul(&apart, &apart);
    writer.reduce(Reduction::Mean, &squares, &[1], false)
}

/// Mean over all values of each image of (x - y)^2, N.
pub(crate) fn distance(writer: &mut GraphWriter, x: &Value, y: &Value) -> Value {
    let apart = writer.sub(x, y);
    let squares = writer.mul(&apart, &apart);
    writer.reduce(Reduction::Mean, &squares, &[1, 2, 3], false)
}

/// Mean over the channels of |x - y|.
pub(crate) fn absolute(writer: &mut GraphWriter, x: &Value, y: &Value) -> Value {
    let apart = writer.sub(x, y);
    let apart = writer.each("Abs", &apart);
    writer.reduce(Reduction::Mean, &apart, &[1], false)
}

/// Mean over the channels of (1 - SSIM) / 2, see [`Ssim`]; the images have `size`.
pub(crate) fn dissimilarity(
    writer: &mut GraphWriter,
    x: &Value,
    y: &Value,
    size: (usize, usize),
    ssim: Ssim,
) -> Value {
    let [c1, c2] = ssim.stability.map(|k| (k * ssim.range).powi(2) as f32);
    let (down, across) = (ssim.matrix(size.0), ssim.matrix(size.1));
    let smooth = |writer: &mut GraphWriter, value: &Value| both_sides(writer, value, (&down, &across), size);
    let (mean_x, mean_y) = (smooth(writer, x), smooth(writer, y));
    let square = |writer: &mut GraphWriter, value: &Value| writer.mul(value, value);
    let (square_x, square_y) = (square(writer, x), square(writer, y));
    let squares = writer.add(&square_x, &square_y);
    let squares = smooth(writer, &squares);
    let product = writer.mul(x, y);
    let product = smooth(writer, &product);
    let (mean_square_x, mean_square_y) = (square(writer, &mean_x), square(writer, &mean_y));
    let of_means = writer.add(&mean_square_x, &mean_square_y);
    let product_of_means = writer.mul(&mean_x, &mean_y);
    let variances = writer.sub(&squares, &of_means);
    let covariance = writer.sub(&product, &product_of_means);
    let twice = |writer: &mut GraphWriter, value: &Value, more: f32| {
        let doubled = times(writer, value, 2.0);
        plus(writer, &doubled, more)
    };
    let (luminance, contrast) = (twice(writer, &product_of_means, c1), twice(writer, &covariance, c2));
    let (of_means, variances) = (plus(writer, &of_means, c1), plus(writer, &variances, c2));
    let (above, below) = (writer.mul(&luminance, &contrast), writer.mul(&of_means, &variances));
    let similarity = writer.div(&above, &below);
    let half = times(writer, &similarity, -0.5);
    let map = plus(writer, &half, 0.5);
    writer.reduce(Reduction::Mean, &map, &[1], false)
}

/// The mean of the `count` largest values of each map inside the region of interest, N; of all where there are fewer.
pub(crate) fn mean_of_largest(
    writer: &mut GraphWriter,
    map: &Value,
    cells: usize,
    region: Option<&Mask>,
    count: usize,
) -> Value {
    let mut values = writer.reshape(map, &[0, -1]);
    let mut known = cells;
    if let Some(region) = region {
        let marked = region.marked.iter().enumerate().filter(|(_, inside)| **inside);
        let inside: Vec<i64> = marked.map(|(at, _)| at as i64).collect();
        known = inside.len();
        let inside = writer.list(&inside);
        values = writer.gather(&values, &inside, 1);
    }
    let count = writer.list(&[count.min(known) as i64]);
    let settings = [Setting::Int("axis", -1), Setting::Int("largest", 1), Setting::Int("sorted", 1)];
    let [largest, _] = writer.operator::<2>("TopK", &[&values, &count], &settings);
    writer.reduce(Reduction::Mean, &largest, &[1], false)
}
