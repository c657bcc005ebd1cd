//! The network whose features are compared, and how it is made to know the images better.

use super::diffusion::{Path, Purpose, generator, noise};
use super::unet::UNet;
use crate::shared::encoder::Encoder;
use crate::shared::kept::Kept;
use crate::shared::tensors::{device_of, values_of};
use crate::shared::trainer::batch_of;
use blemish_core::error::Error;
use blemish_core::state::{State, StateError};
use blemish_features::{Backbone, BackboneState, EngineOptions, FeatureMap, Weights};
use blemish_nn::{Device, Tensor, TensorData};
use std::sync::Arc;

/// Layers whose features are compared, the deepest ones.
const COMPARED: usize = 2;

/// A backbone, with its own weights or with adapted ones.
pub(super) struct Extractor {
    backbone: Arc<Backbone>,
    /// Of the adapted network.
    weights: Option<Weights>,
}

impl Extractor {
    /// The backbone as it is.
    pub(super) fn plain(backbone: Arc<Backbone>) -> Self {
        Self { backbone, weights: None }
    }

    /// The backbone with other weights.
    ///
    /// # Errors
    /// [`Error::Features`] for one that has not such weights.
    pub(super) fn adapted(backbone: &Backbone, weights: Weights) -> Result<Self, Error> {
        let options = EngineOptions { device: backbone.device(), ..EngineOptions::default() };
        let state = match backbone.state() {
            BackboneState::Network { architecture, layers, .. } => BackboneState::Network {
                architecture: *architecture,
                layers: layers.clone(),
                weights: weights.clone(),
            },
            other @ (BackboneState::Quantised { .. } | BackboneState::Onnx { .. }) => other.clone(),
        };
        Ok(Self { backbone: Arc::new(Backbone::from_state(state, &options)?), weights: Some(weights) })
    }

    /// The compared maps of images of 3 x H x W values in [-1, 1] or a little beyond.
    ///
    /// # Errors
    /// As [`Backbone::extract`].
    pub(super) fn compared(
        &self,
        images: &[&[f32]],
        (height, width): (usize, usize),
    ) -> Result<Vec<FeatureMap>, Error> {
        let mut maps = all_maps(&self.backbone, images, (height, width))?;
        Ok(maps.split_off(maps.len().saturating_sub(COMPARED)))
    }

    /// What a model file keeps of adapted weights.
    pub(super) fn store(&self, state: &mut State) {
        for (name, tensor) in self.weights.iter().flatten() {
            state.set_f32(&format!("extractor.{name}"), &tensor.shape, tensor.data.clone());
        }
    }

    /// The backbone with the weights of a model file.
    ///
    /// # Errors
    /// [`Error::State`] for one that is missing, misshapen or not finite.
    pub(super) fn restore(backbone: &Backbone, state: &State) -> Result<Self, Error> {
        let (_, own) = backbone.network()?;
        let mut weights = Weights::new();
        for (name, tensor) in own {
            let stored = format!("extractor.{name}");
            let (shape, values) = state.f32(&stored, tensor.shape.len())?;
            let wrong = |reason: String| StateError { name: stored.clone(), reason };
            if shape != tensor.shape {
                return Err(wrong(format!("has shape {shape:?} instead of {:?}", tensor.shape)).into());
            }
            if !values.iter().all(|value| value.is_finite()) {
                return Err(wrong("holds values that are not finite".into()).into());
            }
            let tensor = blemish_features::Tensor { shape: shape.to_vec(), data: values.to_vec() };
            weights.insert(name.clone(), tensor);
        }
        Self::adapted(backbone, weights)
    }
}

/// Images in [-1, 1] as backbones take them, one after another.
fn in_unit_range(images: &[&[f32]]) -> Vec<f32> {
    images.iter().flat_map(|image| image.iter().map(|value| (value + 1.0) / 2.0)).collect()
}

fn all_maps(
    backbone: &Backbone,
    images: &[&[f32]],
    (height, width): (usize, usize),
) -> Result<Vec<FeatureMap>, Error> {
    Ok(backbone.extract(&in_unit_range(images), [images.len(), height, width])?)
}

/// What an update of the extractor learns from.
pub(super) struct Lesson {
    /// Reconstructions, then as many images that they are to resemble, normalised: 2 n x 3 x H x W.
    pub(super) images: Tensor<4>,
    /// What the extractor made of them at first, a map a layer.
    pub(super) frozen: Vec<Tensor<4>>,
}

/// What lessons are made of.
pub(super) struct School<'a> {
    pub(super) images: &'a Kept,
    /// Numbers of the images that may be looked at.
    pub(super) chosen: &'a [usize],
    pub(super) network: &'a UNet,
    pub(super) path: &'a Path,
    pub(super) backbone: &'a Backbone,
    /// Images of an update.
    pub(super) batch: usize,
    pub(super) seed: u64,
}

impl School<'_> {
    /// The lesson of step number `step`: the second half of its images, noisy, is reconstructed towards the first half.
    ///
    /// # Errors
    /// As [`Backbone::extract`].
    pub(super) fn lesson(&self, step: u64, device: &Device) -> Result<Lesson, Error> {
        let numbers = batch_of(step, self.chosen.len(), self.batch, !self.seed);
        let half = (numbers.len() / 2).max(1);
        let size = self.images.sizes()[0];
        let of =
            |numbers: &[usize]| -> Vec<usize> { numbers.iter().map(|&number| self.chosen[number]).collect() };
        let (targets, sources) = (of(&numbers[..half]), of(&numbers[numbers.len() - half..]));
        let inner = device_of(self.network);
        let shape = [half, 3, size.height, size.width];
        let first = step * self.batch as u64;
        let drawn: Vec<Vec<f32>> = (0..half as u64)
            .map(|at| {
                let mut random = generator(self.seed, Purpose::Adaptation, first + at);
                noise(&mut random, self.path.draws() * size.values())
            })
            .collect();
        let fresh = |draw: usize| {
            let part = |drawn: &Vec<f32>| drawn[draw * size.values()..][..size.values()].to_vec();
            let values: Vec<f32> = drawn.iter().flat_map(part).collect();
            Tensor::from_data(TensorData::new(values, shape), &inner)
        };
        let noise: Vec<Tensor<4>> = (0..self.path.draws()).map(fresh).collect();
        let tensor = |numbers: &[usize]| self.images.batch(0, numbers, &inner);
        let made = self.path.reconstruct(self.network, tensor(&sources), tensor(&targets), &noise);
        let made = values_of(made)?;
        let seen = self.images.values(0, &targets);
        let all: Vec<&[f32]> =
            made.chunks_exact(size.values()).chain(seen.chunks_exact(size.values())).collect();
        let normalised = self.backbone.normalized(&in_unit_range(&all), size.height * size.width);
        let images = TensorData::new(normalised, [2 * half, 3, size.height, size.width]);
        let frozen = all_maps(self.backbone, &all, size.grid())?;
        let frozen = frozen.iter().map(|map| {
            let shape = [2 * half, map.channels, map.height, map.width];
            Tensor::from_data(TensorData::new(map.data.clone(), shape), device)
        });
        Ok(Lesson { images: Tensor::from_data(images, device), frozen: frozen.collect() })
    }
}

/// Mean over images of 1 - the cosine between maps, all values of an image as one vector.
fn turned(one: Tensor<4>, other: Tensor<4>) -> Tensor<1> {
    let count = one.dims()[0];
    let sum = |a: Tensor<4>, b: Tensor<4>| (a * b).sum_dim(3).sum_dim(2).sum_dim(1).reshape([count]);
    let lengths = sum(one.clone(), one.clone()).sqrt() * sum(other.clone(), other.clone()).sqrt();
    let cosine = sum(one, other) / lengths.clamp_min(1e-8);
    -cosine.sum() / count as f64 + 1.0
}

/// The loss of an extractor, see [`loss_of`].
pub(super) fn loss(encoder: &Encoder, lesson: Lesson, distillation: f64) -> Tensor<1> {
    loss_of(encoder.forward(lesson.images), lesson.frozen, distillation)
}

/// The loss of maps of an extractor phi beside what it gave at first, psi, one each a layer, of reconstructions (made), then of as many
/// images (seen). The sum over all layers of
/// 1 - cos(phi(made), phi(seen)) + l (1 - cos(phi(seen), psi(seen))) + l (1 - cos(phi(made), psi(made))).
pub(super) fn loss_of(maps: Vec<Tensor<4>>, frozen: Vec<Tensor<4>>, distillation: f64) -> Tensor<1> {
    let of_layer = |(map, frozen): (Tensor<4>, Tensor<4>)| {
        let half = map.dims()[0] / 2;
        let made = map.clone().narrow(0, 0, half);
        let seen = map.clone().narrow(0, half, half);
        // Twice: the mean is one over made and seen images.
        turned(made, seen) + turned(map, frozen) * (2.0 * distillation)
    };
    let layers = maps.into_iter().zip(frozen).map(of_layer);
    // A backbone has a layer at least.
    layers.reduce(|sum, layer| sum + layer).unwrap_or_else(|| Tensor::zeros([1], &Device::flex().autodiff()))
}
