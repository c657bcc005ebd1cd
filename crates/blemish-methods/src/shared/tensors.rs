//! Values between the host, model files and the tensors of trained networks.

use blemish_core::error::Error;
use blemish_core::state::{State, StateError, StateTensor, Values};
use blemish_features::{FeatureMap, StateDict, burn_device};
use blemish_nn::{Device, Module, Tensor, TensorData};

/// The device that networks are trained and score on and banks are searched on.
///
/// # Errors
/// [`Error::Features`] for one that this build or this machine lacks.
pub fn scoring_device(device: blemish_features::Device) -> Result<Device, Error> {
    Ok(burn_device::open(device)?)
}

/// Where a network's weights lie.
pub fn device_of<M: Module>(network: &M) -> Device {
    network.devices().into_iter().next().unwrap_or_else(Device::flex)
}

/// A batch's map of one layer as a tensor.
pub fn tensor_of(map: &FeatureMap, count: usize, device: &Device) -> Tensor<4> {
    let shape = [count, map.channels, map.height, map.width];
    Tensor::from_data(TensorData::new(map.data.clone(), shape), device)
}

/// A tensor's values on the host.
pub fn values_of<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, Error> {
    tensor.into_data().try_into_vec::<f32>().map_err(|error| Error::Score { reason: format!("{error:?}") })
}

/// `count` finite numbers of a model's state.
pub fn finite(name: &str, count: usize, state: &State) -> Result<Vec<f32>, Error> {
    let (_, values) = state.f32(name, 1)?;
    if values.len() != count || !values.iter().all(|value| value.is_finite()) {
        let reason = format!("does not hold {count} finite numbers");
        return Err(StateError { name: name.into(), reason }.into());
    }
    Ok(values.to_vec())
}

/// Resizes a plane of rows x columns values from one size to another.
type Resize = fn(&[f32], (usize, usize), (usize, usize)) -> Vec<f32>;

/// The matrix by which a way of resizing brings a line of `from` values to `to`, to x from, on the device and of the kind of `like`.
pub fn interpolation<const D: usize>(resize: Resize, from: usize, to: usize, like: &Tensor<D>) -> Tensor<2> {
    // The unit matrix, each of its columns resized.
    let unit: Vec<f32> = (0..from * from).map(|at| f32::from(u8::from(at / from == at % from))).collect();
    let values = resize(&unit, (from, from), (to, from));
    Tensor::from_data(TensorData::new(values, [to, from]), (&like.device(), like.dtype()))
}

/// Takes the tensors whose names begin with a prefix out of a state, as a network takes them, without the prefix.
///
/// # Errors
/// [`StateError`] naming a tensor that holds no values in single precision.
pub fn tensors_below(prefix: &str, state: &mut State) -> Result<StateDict, StateError> {
    let own = state.split_off_prefix(prefix);
    let tensor = |(name, tensor): (&String, &StateTensor)| match &tensor.values {
        Values::F32(values) => Ok((
            name.clone(),
            blemish_features::Tensor { shape: tensor.shape.clone(), data: values.to_vec() },
        )),
        _ => Err(StateError { name: format!("{prefix}{name}"), reason: "does not hold F32 values".into() }),
    };
    own.tensors().iter().map(tensor).collect()
}
