//! Normalizing flows: exact likelihood of frozen features, learned by the one training loop.
//!
//! | method | models | map |
//! |---|---|---|
//! | [`fastflow`] | each feature map by a convolutional flow | latent probability at each position |
//! | [`cflow`] | each position's vector, given where it lies | likelihood at each position |
//! | [`csflow`] | three sizes of the image jointly | latent energy |
//! | [`differnet`] | one pooled vector an image, averaged over rotations | gradient of the loss |
//! | [`glow`] | feature maps or pixels by a multi-scale flow | exact likelihood at each position |
//!
//! All are made of the pieces of `blemish_nn::flow`.

pub mod cflow;
pub mod csflow;
pub mod differnet;
pub mod fastflow;
pub mod glow;
#[cfg(test)]
mod tests;

use crate::error::Error;
use crate::feature_batch::FeatureBatch;
use crate::state::{State, StateError};
use crate::training_features::{MapSize, sizes_of};
use blemish_features::FeatureMap;
use blemish_nn::{Device, Tensor, TensorData};
use blemish_ops::{Clamp, Coupling};

/// Both raw outputs times 0.1, the logarithm of the scale bounded by `clamp`: exp(clamp tanh(0.1 r)) x + 0.1 t.
fn tanh_coupling(clamp: f64) -> Coupling {
    Coupling { clamp: Clamp::Tanh { limit: clamp, rate: 0.1 }, gain: 0.1, shift_first: false }
}

/// exp(0.636 clamp atan(r / clamp)) x + t; 0.636 is the published codes' 2 / pi.
fn atan_coupling(clamp: f64) -> Coupling {
    Coupling { clamp: Clamp::Atan { limit: 0.636 * clamp, rate: 1.0 / clamp }, gain: 1.0, shift_first: false }
}

/// The device that fitted flows score on.
fn scoring_device() -> Device {
    Device::flex()
}

/// A batch's map of one layer as a tensor.
fn tensor_of(map: &FeatureMap, count: usize, device: &Device) -> Tensor<4> {
    let shape = [count, map.channels, map.height, map.width];
    Tensor::from_data(TensorData::new(map.data.clone(), shape), device)
}

/// A tensor's values on the host.
fn values_of<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, Error> {
    tensor.into_data().try_into_vec::<f32>().map_err(|error| Error::Score { reason: format!("{error:?}") })
}

/// Refuses maps that the flow was not made for.
fn check_channels(batch: &FeatureBatch, sizes: &[MapSize]) -> Result<(), Error> {
    let channels = |sizes: &[MapSize]| sizes.iter().map(|size| size.channels).collect::<Vec<_>>();
    let (found, expected) = (channels(&sizes_of(batch)), channels(sizes));
    if found != expected {
        let reason = format!("the backbone gives maps of {found:?} channels, the model is for {expected:?}");
        return Err(Error::Score { reason });
    }
    Ok(())
}

/// `count` finite numbers of a model's state.
fn finite(name: &str, count: usize, state: &State) -> Result<Vec<f32>, Error> {
    let (_, values) = state.f32(name, 1)?;
    if values.len() != count || !values.iter().all(|value| value.is_finite()) {
        let reason = format!("does not hold {count} finite numbers");
        return Err(StateError { name: name.into(), reason }.into());
    }
    Ok(values.to_vec())
}
