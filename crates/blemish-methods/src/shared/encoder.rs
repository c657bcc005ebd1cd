//! A backbone whose weights go on learning.

use crate::shared::tensors::values_of;
use blemish_core::error::Error;
use blemish_features::burn_graph::{ConvolutionShape, Interpreter, convolve};
use blemish_features::graph::Padding;
use blemish_features::{Backbone, FeatureError, Graph, Tensor as Frozen, Weights};
use blemish_nn::init::Init;
use blemish_nn::weights::Network;
use blemish_nn::{Module, Tensor};
use burn::module::Param;

/// The network of a backbone, or its deepest part, with weights of its own: normalised images in, the maps of the backbone's taps out.
#[derive(Module, Debug)]
pub(crate) struct Encoder {
    convolutions: Vec<Convolution>,
    #[module(skip)]
    interpreter: Interpreter,
}

#[derive(Module, Debug)]
struct Convolution {
    weight: Param<Tensor<4>>,
    bias: Param<Tensor<1>>,
}

impl Encoder {
    /// Starts as the backbone. The image may have `extra` channels beyond red, green and blue, which at first count nothing.
    ///
    /// # Errors
    /// [`Error::Features`] for a network that cannot be trained.
    pub(crate) fn new(backbone: &Backbone, extra: usize, init: &Init) -> Result<Self, Error> {
        let (graph, weights) = backbone.network()?;
        Ok(Self::of(graph, weights, extra, init)?)
    }

    /// Starts as the part of the backbone behind the last tap but one, whose maps are its input.
    ///
    /// # Errors
    /// [`Error::Features`] for a network that cannot be trained or that has fewer than two taps, or where that part needs more than these
    /// maps.
    pub(crate) fn behind(backbone: &Backbone, init: &Init) -> Result<Self, Error> {
        let (graph, weights) = backbone.network()?;
        let before = graph.taps.len().checked_sub(2).and_then(|at| graph.taps.get(at));
        let before = before.map_or("", |tap| tap.name.as_str());
        Ok(Self::of(&graph.behind(before)?, weights, 0, init)?)
    }

    fn of(graph: &Graph, weights: &Weights, extra: usize, init: &Init) -> Result<Self, FeatureError> {
        if !graph.is_convolutional() {
            let reason = format!(
                "{} is a transformer, which is not trained further; use a convolutional network",
                graph.name
            );
            return Err(FeatureError::Engine { engine: "burn", reason });
        }
        let interpreter = Interpreter::new(graph);
        let convolution = |(number, name): (usize, &str)| {
            let tensor = |kind: &str| {
                let name = format!("{name}.{kind}");
                let missing =
                    || FeatureError::Engine { engine: "burn", reason: format!("there is no tensor {name}") };
                weights.get(&name).ok_or_else(missing)
            };
            let (kernel, bias) = (tensor("weight")?, tensor("bias")?);
            let [outputs, inputs, side] = [kernel.shape[0], kernel.shape[1], kernel.shape[2]];
            let extra = if number == 0 { extra } else { 0 };
            // Each output's kernels, then zeros for the further channels.
            let padded = |kernels: &[f32]| [kernels, &vec![0.0; extra * side * side]].concat();
            let values: Vec<f32> = kernel.data.chunks_exact(inputs * side * side).flat_map(padded).collect();
            let weight = init.of(values, [outputs, inputs + extra, side, side]);
            Ok(Convolution { weight, bias: init.of(bias.data.clone(), [outputs]) })
        };
        let convolutions = interpreter.convolutions().enumerate().map(convolution);
        let convolutions = convolutions.collect::<Result<_, FeatureError>>()?;
        Ok(Self { convolutions, interpreter })
    }

    /// Its weights as those of a frozen network of the same kind.
    ///
    /// # Errors
    /// [`Error::Score`] for values that a device does not give back.
    pub(crate) fn weights(&self) -> Result<Weights, Error> {
        let mut weights = Weights::new();
        for (name, Convolution { weight, bias }) in self.interpreter.convolutions().zip(&self.convolutions) {
            let (weight, bias) = (weight.val().inner(), bias.val().inner());
            for (kind, shape, data) in [
                ("weight", weight.dims().to_vec(), values_of(weight)?),
                ("bias", bias.dims().to_vec(), values_of(bias)?),
            ] {
                weights.insert(format!("{name}.{kind}"), Frozen { shape, data });
            }
        }
        Ok(weights)
    }

    /// The maps of the taps, shallow to deep.
    pub(crate) fn forward(&self, image: Tensor<4>) -> Vec<Tensor<4>> {
        self.forward_first(image, usize::MAX)
    }

    /// The maps of the first `count` taps, without the work for deeper ones.
    pub(crate) fn forward_first(&self, image: Tensor<4>, count: usize) -> Vec<Tensor<4>> {
        let maps = self.interpreter.forward_first(image, count, &|number, shape, x| {
            let Convolution { weight, bias } = &self.convolutions[number];
            let ConvolutionShape { stride, padding, groups } = shape;
            match padding {
                Padding::Symmetric(around) if groups == 1 => {
                    blemish_ops::convolve(x, weight.val(), bias.val(), stride, around)
                }
                _ => convolve(shape, x, weight.val(), bias.val()),
            }
        });
        // A graph that ran as a backbone lacks nothing.
        maps.unwrap_or_default()
    }
}

impl Network for Encoder {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{backbone, relative_difference};
    use blemish_nn::{Device, TensorData};

    fn values(map: &Tensor<4>) -> Vec<f32> {
        map.clone().into_data().try_into_vec().unwrap()
    }

    /// With the further channel's weights at zero it counts nothing, and the maps are the backbone's.
    #[test]
    fn an_untrained_encoder_gives_the_backbones_maps() {
        let backbone = backbone(&[8, 16]);
        let rgb: Vec<f32> = (0..3 * 64 * 64).map(|at| (at * 7919 % 997) as f32 / 997.0).collect();
        let expected = backbone.extract(&rgb, [1, 64, 64]).unwrap();
        let image = backbone.normalized(&rgb, 64 * 64);
        let device = Device::flex();
        for extra in [0, 1] {
            let encoder = Encoder::new(&backbone, extra, &Init::new(0, &device)).unwrap();
            let further: Vec<f32> = (0..extra * 64 * 64).map(|at| at as f32 * 0.01).collect();
            let input = [&image[..], &further].concat();
            let maps =
                encoder.forward(Tensor::from_data(TensorData::new(input, [1, 3 + extra, 64, 64]), &device));
            assert_eq!(maps.len(), expected.len());
            for (map, expected) in maps.iter().zip(&expected) {
                assert!(relative_difference(&values(map), &expected.data) < 1e-4);
            }
        }
    }

    #[test]
    fn the_part_behind_a_tap_takes_its_maps_to_the_next() {
        let backbone = backbone(&[8, 16]);
        let rgb: Vec<f32> = (0..3 * 64 * 64).map(|at| (at * 7919 % 997) as f32 / 997.0).collect();
        let maps = backbone.extract(&rgb, [1, 64, 64]).unwrap();
        let device = Device::flex();
        let encoder = Encoder::behind(&backbone, &Init::new(0, &device)).unwrap();
        let shape = [1, maps[0].channels, maps[0].height, maps[0].width];
        let found = encoder.forward(Tensor::from_data(TensorData::new(maps[0].data.clone(), shape), &device));
        assert_eq!(found.len(), 1);
        assert!(relative_difference(&values(&found[0]), &maps[1].data) < 1e-4);
        assert!(Encoder::behind(&self::backbone(&[16]), &Init::new(0, &device)).is_err());
    }

    /// The gradient of the last map's sum against a difference quotient, for the first and the last convolution.
    #[test]
    fn weights_have_gradients() {
        let device = Device::flex().autodiff();
        let encoder = Encoder::new(&backbone(&[8, 16]), 1, &Init::new(0, &device)).unwrap();
        let image: Vec<f32> = (0..4 * 32 * 32).map(|at| (at * 7919 % 997) as f32 / 500.0 - 1.0).collect();
        let image = || Tensor::<4>::from_data(TensorData::new(image.clone(), [1, 4, 32, 32]), &device);
        let loss = |encoder: &Encoder| encoder.forward(image()).pop().unwrap().powi_scalar(2).mean();
        let gradients = loss(&encoder).backward();
        let last = encoder.convolutions.len() - 1;
        for number in [0, last] {
            let weight = encoder.convolutions[number].weight.val();
            let gradient = weight.grad(&gradients).unwrap();
            // Along the gradient the loss rises by its squared norm.
            let square = gradient.clone().powi_scalar(2).sum().into_scalar::<f32>();
            let step = 1e-2 / square.sqrt();
            let moved = |sign: f32| {
                let mut moved = encoder.clone();
                let value = Tensor::from_inner(weight.clone().inner() + gradient.clone() * (sign * step));
                moved.convolutions[number].weight = Param::from_tensor(value);
                loss(&moved).inner().into_scalar::<f32>()
            };
            let slope = (moved(1.0) - moved(-1.0)) / (2.0 * step);
            assert!((slope / square - 1.0).abs() < 0.05, "{number}: {slope} is not {square}");
        }
    }
}
