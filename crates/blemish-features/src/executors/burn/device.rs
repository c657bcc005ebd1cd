//! Burn's device behind ours, and its panics as errors.

use crate::FeatureError;
use crate::executors::options::Device;
use burn::tensor::Device as BurnDevice;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The device of Burn behind ours.
///
/// # Errors
/// [`FeatureError::Engine`] for a device that this build or this machine lacks; it says how many there are.
pub fn open(device: Device) -> Result<BurnDevice, FeatureError> {
    match device {
        Device::Auto | Device::Cpu => Ok(BurnDevice::flex()),
        #[cfg(feature = "cuda")]
        Device::Cuda(index) => nth(burn::tensor::DeviceType::Cuda, index, device),
        #[cfg(feature = "vulkan")]
        Device::Vulkan(index) => nth(burn::tensor::DeviceType::Vulkan, index, device),
        #[cfg(feature = "wgpu")]
        Device::Wgpu(index) => nth(burn::tensor::DeviceType::Wgpu, index, device),
        #[cfg(feature = "metal")]
        Device::Metal(index) => nth(burn::tensor::DeviceType::Metal, index, device),
        #[allow(unreachable_patterns, reason = "with every feature on, no device is left over")]
        other => {
            let feature = other.to_string();
            let feature = feature.split(':').next().unwrap_or_default();
            Err(fail(&format!("this build cannot use the device {other}; build with the feature {feature}")))
        }
    }
}

#[cfg(any(feature = "cuda", feature = "vulkan", feature = "wgpu", feature = "metal"))]
fn nth(kind: burn::tensor::DeviceType, index: usize, device: Device) -> Result<BurnDevice, FeatureError> {
    // Listing devices panics where a driver is absent.
    let found = guarded(|| BurnDevice::enumerate(kind).into_vec())?;
    let count = found.len();
    let missing = || fail(&format!("there is no device {device}: this machine shows {count} of its kind"));
    found.into_iter().nth(index).ok_or_else(missing)
}

pub(crate) fn fail(reason: &dyn std::fmt::Display) -> FeatureError {
    FeatureError::Engine { engine: "burn", reason: reason.to_string() }
}

/// Turns a panic inside the engine (a missing driver, memory that runs out) into an error.
///
/// # Errors
/// [`FeatureError::Engine`] with the words of the panic.
pub fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, FeatureError> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let words =
            panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        fail(&words.unwrap_or("it gave up without a reason"))
    })
}
