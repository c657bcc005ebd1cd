//! Engines that run a network: one description, several executors, the same features to 1e-4.

mod batch;
#[cfg(feature = "burn")]
pub mod burn;
mod fusion;
pub mod int8;
mod native;
mod onnx_checked;
mod options;
#[cfg(feature = "ort")]
mod ort;
mod rten;
mod sized;
mod spaces;
mod tensors;
#[cfg(test)]
mod tests;
mod whole;

pub use options::{Device, Engine, EngineOptions};
pub use tensors::{Fed, FedTensor, GivenTensor, ModelSource};
pub use whole::WholeModel;

use crate::FeatureError;
use crate::graph::{Executor, Graph, Weights};
use crate::onnx::{self, FixedSize, Prepared};
use int8::QuantisedNetwork;
use native::NativeExecutor;
use onnx_checked::CheckedExecutor;
use rten::RtenExecutor;
use sized::SizedExecutor;

/// Loads a built-in network into an engine.
///
/// # Errors
/// [`FeatureError::Engine`] if the engine fails or is not part of this build.
pub fn build(
    graph: &Graph,
    weights: &Weights,
    options: &EngineOptions,
) -> Result<Box<dyn Executor>, FeatureError> {
    check(options.device)?;
    let outputs: Vec<String> = graph.taps.iter().map(|tap| onnx::tap_output(&tap.name)).collect();
    let threads = options.thread_count();
    // The graph of a transformer is made for one size of image.
    let has_sizes = !graph.is_convolutional();
    match choose(options) {
        Engine::Burn => build_burn(graph, weights, options),
        Engine::Ort if has_sizes => {
            let options = options.clone();
            let make = move |bytes: Vec<u8>| build_ort(&bytes, onnx::INPUT, &outputs, &options);
            Ok(Box::new(SizedExecutor::new(graph, weights, Box::new(make))))
        }
        Engine::Ort => build_ort(&onnx::emit(graph, weights), onnx::INPUT, &outputs, options),
        Engine::Auto | Engine::Native => Ok(Box::new(NativeExecutor::new(graph, weights, threads)?)),
        Engine::Rten if has_sizes => {
            let make = move |bytes| -> Result<Box<dyn Executor>, FeatureError> {
                Ok(Box::new(RtenExecutor::new(bytes, onnx::INPUT, &outputs, threads)?))
            };
            Ok(Box::new(SizedExecutor::new(graph, weights, Box::new(make))))
        }
        Engine::Rten => {
            let bytes = onnx::emit(graph, weights);
            Ok(Box::new(RtenExecutor::new(bytes, onnx::INPUT, &outputs, threads)?))
        }
    }
}

/// Loads a network in bytes, which one engine alone runs.
///
/// # Errors
/// [`FeatureError::Engine`] if another engine was asked for by name; [`FeatureError::BrokenState`] if it is not a network of the graph.
pub(crate) fn build_quantised(
    graph: &Graph,
    network: &QuantisedNetwork,
    options: &EngineOptions,
) -> Result<Box<dyn Executor>, FeatureError> {
    check_quantised(options)?;
    int8::executor(graph, network, options.thread_count())
}

/// Refuses engines that do not run networks in bytes.
///
/// # Errors
/// [`FeatureError::Engine`].
pub(crate) fn check_quantised(options: &EngineOptions) -> Result<(), FeatureError> {
    check(options.device)?;
    let engine = match options.engine {
        Engine::Auto | Engine::Native => return Ok(()),
        Engine::Rten => "rten",
        Engine::Ort => "ort",
        Engine::Burn => "burn",
    };
    let reason = "it does not run networks in bytes; use the engine native, or a model in single precision";
    Err(FeatureError::Engine { engine, reason: reason.into() })
}

/// Loads a built-in network into the engine that has gradients.
///
/// # Errors
/// As [`build`].
pub(crate) fn build_differentiable(
    graph: &Graph,
    weights: &Weights,
    device: Device,
) -> Result<Box<dyn Executor>, FeatureError> {
    #[cfg(feature = "burn")]
    return Ok(Box::new(burn::BurnExecutor::differentiable(graph, weights, device)?));
    #[cfg(not(feature = "burn"))]
    build_burn(graph, weights, &EngineOptions { device, ..EngineOptions::default() })
}

/// Loads a user's ONNX graph into an engine; `layers` are names of tensors in it. Comes with the size of image it takes.
///
/// # Errors
/// As [`build`], and [`FeatureError::Onnx`] or [`FeatureError::UnknownTap`] if the file or a layer is not usable.
pub(crate) fn build_onnx(
    bytes: &[u8],
    layers: &[String],
    options: &EngineOptions,
) -> Result<(Box<dyn Executor>, FixedSize), FeatureError> {
    check(options.device)?;
    let Prepared { bytes, input, size, demands } = onnx::prepare(bytes, layers)?;
    let engine = match options.engine {
        Engine::Burn => return Err(built_in_only("burn")),
        Engine::Native => return Err(built_in_only("native")),
        Engine::Ort => build_ort(&bytes, &input, layers, options)?,
        Engine::Auto | Engine::Rten => {
            Box::new(RtenExecutor::new(bytes, &input, layers, options.thread_count())?)
        }
    };
    Ok((Box::new(CheckedExecutor::new(engine, demands)), size))
}

/// Checks that the device exists before anything is computed elsewhere.
fn check(device: Device) -> Result<(), FeatureError> {
    #[cfg(feature = "burn")]
    burn::device::open(device)?;
    #[cfg(not(feature = "burn"))]
    if !device.is_cpu() {
        return Err(not_built("burn", "cuda, vulkan, wgpu or metal"));
    }
    Ok(())
}

fn built_in_only(engine: &'static str) -> FeatureError {
    let reason = "it runs only the networks that are built in; an ONNX file needs the engine rten or ort";
    FeatureError::Engine { engine, reason: reason.into() }
}

/// The engine of the built-in networks. An engine that was asked for by name and runs on the CPU alone stays there; the device is then
/// for what is trained and searched.
fn choose(options: &EngineOptions) -> Engine {
    match options.engine {
        Engine::Auto if options.device.is_cpu() => Engine::Native,
        Engine::Auto => Engine::Burn,
        engine => engine,
    }
}

#[cfg(feature = "burn")]
fn build_burn(
    graph: &Graph,
    weights: &Weights,
    options: &EngineOptions,
) -> Result<Box<dyn Executor>, FeatureError> {
    Ok(Box::new(burn::BurnExecutor::new(graph, weights, options.device)?))
}

#[cfg(not(feature = "burn"))]
fn build_burn(_: &Graph, _: &Weights, _: &EngineOptions) -> Result<Box<dyn Executor>, FeatureError> {
    Err(not_built("burn", "flex, cuda, vulkan, wgpu or metal"))
}

#[cfg(feature = "ort")]
fn build_ort(
    bytes: &[u8],
    input: &str,
    outputs: &[String],
    options: &EngineOptions,
) -> Result<Box<dyn Executor>, FeatureError> {
    Ok(Box::new(ort::OrtExecutor::new(bytes, input, outputs, options.thread_count())?))
}

#[cfg(not(feature = "ort"))]
fn build_ort(_: &[u8], _: &str, _: &[String], _: &EngineOptions) -> Result<Box<dyn Executor>, FeatureError> {
    Err(not_built("ort", "ort"))
}

#[cfg(not(all(feature = "burn", feature = "ort")))]
fn not_built(engine: &'static str, features: &str) -> FeatureError {
    FeatureError::Engine {
        engine,
        reason: format!("it is not part of this build; build with the feature {features}"),
    }
}
