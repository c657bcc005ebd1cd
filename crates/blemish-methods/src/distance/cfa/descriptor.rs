//! The descriptor: a 1x1 convolution of all layers' features and two coordinates, applied where features are few.
//!
//! The convolution and the bilinear resizing of a layer commute, so each layer's part of the weights works on the layer's own small grid
//! and its outcome is resized and added. Features and outcomes lie patch by patch: images x rows x columns x values.

use crate::shared::tensors::interpolation;
use blemish_kernels::map::resize_bilinear;
use blemish_nn::init::Init;
use blemish_nn::weights::Network;
use blemish_nn::{Module, Tensor, TensorData};
use burn::module::Param;

/// The trained part of CFA.
#[derive(Module, Debug)]
pub(super) struct Descriptor {
    /// Of each layer, channels x dimensions.
    pub(super) layers: Vec<Param<Tensor<2>>>,
    /// Of the row's and the column's coordinate, 2 x dimensions.
    pub(super) coordinates: Param<Tensor<2>>,
    /// Dimensions.
    pub(super) bias: Param<Tensor<1>>,
    /// r, one value.
    pub(super) radius: Param<Tensor<1>>,
}

impl Descriptor {
    /// Uniform within 1 / sqrt(channels of all layers + 2), weights and bias; the radius as given.
    pub(super) fn new(
        channels: &[usize],
        dimensions: usize,
        (radius, is_trained): (f64, bool),
        init: &mut Init,
    ) -> Self {
        let inputs = channels.iter().sum::<usize>() + 2;
        let bound = 1.0 / (inputs as f32).sqrt();
        let layers = channels.iter().map(|&channels| init.uniform(bound, [channels, dimensions])).collect();
        let coordinates = init.uniform(bound, [2, dimensions]);
        let bias = init.uniform(bound, [dimensions]);
        let radius = init.constant(radius as f32, [1]).set_require_grad(is_trained);
        Self { layers, coordinates, bias, radius }
    }

    /// The target-oriented features phi on the first layer's grid: (images x rows x columns) x dimensions.
    ///
    /// `maps` are images x rows x columns x channels each.
    pub(super) fn forward(&self, maps: Vec<Tensor<4>>) -> Tensor<2> {
        let [count, height, width, _] = maps.first().map_or([0; 4], Tensor::dims);
        let bias = self.bias.val();
        let dimensions = bias.dims()[0];
        let places = Tensor::from_data(
            TensorData::new(coordinates(height, width), [height * width, 2]),
            (&bias.device(), bias.dtype()),
        );
        let places = places.matmul(self.coordinates.val()) + bias.unsqueeze();
        let start = places.reshape([1, height, width, dimensions]);
        let sum = maps.into_iter().zip(&self.layers).fold(start, |sum, (map, weight)| {
            let [count, rows, columns, channels] = map.dims();
            let part = map.reshape([count * rows * columns, channels]).matmul(weight.val());
            sum + upsampled(part.reshape([count, rows, columns, dimensions]), (height, width))
        });
        sum.reshape([count * height * width, dimensions])
    }
}

impl Network for Descriptor {}

/// Row and column of every position, row-major, each from -1 to 1 over the grid; 0 where there is only one.
pub(super) fn coordinates(height: usize, width: usize) -> Vec<f32> {
    let place = |at: usize, length: usize| {
        if length > 1 { (2.0 * at as f64 / (length - 1) as f64 - 1.0) as f32 } else { 0.0 }
    };
    (0..height * width).flat_map(|at| [place(at / width, height), place(at % width, width)]).collect()
}

/// Bilinear with half-pixel centres: images x rows x columns x values to another number of rows and columns.
fn upsampled(map: Tensor<4>, (height, width): (usize, usize)) -> Tensor<4> {
    let [count, rows, columns, values] = map.dims();
    if (rows, columns) == (height, width) {
        return map;
    }
    let matrix = |from, to| interpolation(resize_bilinear, from, to, &map).unsqueeze::<3>();
    let across = matrix(columns, width).matmul(map.clone().reshape([count * rows, columns, values]));
    let down = matrix(rows, height).matmul(across.reshape([count, rows, width * values]));
    down.reshape([count, height, width, values])
}
