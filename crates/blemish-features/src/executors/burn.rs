//! Burn, for GPUs: the same description node by node, weights kept on the device, each intermediate freed after its last use.

use super::Device;
use crate::FeatureError;
use crate::burn_graph::{Interpreter, convolve};
use crate::graph::{Executor, FeatureMap, Graph, Weights};
use burn::tensor::{Device as BurnDevice, Tensor, TensorData};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A graph on a device of Burn.
pub(crate) struct BurnExecutor {
    device: BurnDevice,
    interpreter: Interpreter,
    /// Kernel and bias of each convolution, in the order of execution.
    convolutions: Vec<(Tensor<4>, Tensor<1>)>,
}

impl BurnExecutor {
    /// Brings the weights of a graph to a device.
    pub(crate) fn new(graph: &Graph, weights: &Weights, device: Device) -> Result<Self, FeatureError> {
        Self::on(guarded(|| open(device))??, graph, weights)
    }

    /// The same with gradients with respect to the input.
    pub(crate) fn differentiable(
        graph: &Graph,
        weights: &Weights,
        device: Device,
    ) -> Result<Self, FeatureError> {
        Self::on(guarded(|| open(device))??.autodiff(), graph, weights)
    }

    fn on(device: BurnDevice, graph: &Graph, weights: &Weights) -> Result<Self, FeatureError> {
        let interpreter = Interpreter::new(graph);
        let convolution = |name: &str| {
            let tensor = |kind: &str| {
                let name = format!("{name}.{kind}");
                let tensor = weights.get(&name).ok_or_else(|| fail(&format!("there is no tensor {name}")))?;
                Ok(TensorData::new(tensor.data.clone(), tensor.shape.clone()))
            };
            let (kernel, bias) = (tensor("weight")?, tensor("bias")?);
            Ok((Tensor::from_data(kernel, &device), Tensor::from_data(bias, &device)))
        };
        let convolutions =
            guarded(|| interpreter.convolutions().map(convolution).collect::<Result<_, _>>())??;
        Ok(Self { convolutions, device, interpreter })
    }

    /// The taps' tensors for a batch.
    fn forward(&self, image: Tensor<4>) -> Result<Vec<Tensor<4>>, FeatureError> {
        self.interpreter.forward(image, &|number, shape, x| {
            let (weight, bias) = &self.convolutions[number];
            convolve(shape, x, weight.clone(), bias.clone())
        })
    }
}

impl Executor for BurnExecutor {
    fn run(
        &self,
        input: &[f32],
        [count, height, width]: [usize; 3],
    ) -> Result<Vec<FeatureMap>, FeatureError> {
        guarded(|| {
            let data = TensorData::new(input.to_vec(), [count, 3, height, width]);
            let maps = self.forward(Tensor::from_data(data, &self.device))?;
            let read = |map: Tensor<4>| {
                let [_, channels, height, width] = map.dims();
                let data = map.try_into_vec_as::<f32>().map_err(|error| fail(&error))?;
                Ok(FeatureMap { channels, height, width, data })
            };
            maps.into_iter().map(read).collect()
        })?
    }

    fn input_gradient(
        &self,
        input: &[f32],
        [count, height, width]: [usize; 3],
        gradients: &[FeatureMap],
    ) -> Result<Vec<f32>, FeatureError> {
        guarded(|| {
            let data = TensorData::new(input.to_vec(), [count, 3, height, width]);
            let image = Tensor::<4>::from_data(data, &self.device).require_grad();
            let maps = self.forward(image.clone())?;
            // What has the given gradients: the product with them.
            let weighed = maps.into_iter().zip(gradients).map(|(map, gradient)| {
                let data = TensorData::new(gradient.data.clone(), map.dims());
                (map * Tensor::from_data(data, &self.device)).sum()
            });
            let sum =
                weighed.reduce(|a, b| a + b).ok_or_else(|| fail(&"there is no gradient to go on from"))?;
            let gradient = image.grad(&sum.backward());
            let gradient = gradient.ok_or_else(|| fail(&"no feature map depends on the image"))?;
            gradient.try_into_vec_as::<f32>().map_err(|error| fail(&error))
        })?
    }
}

/// The device of Burn behind ours; an error lists what this build and this machine have.
fn open(device: Device) -> Result<BurnDevice, FeatureError> {
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
            Err(fail(&format!(
                "this build has no support for --device {other}; build with --features {feature}"
            )))
        }
    }
}

#[cfg(any(feature = "cuda", feature = "vulkan", feature = "wgpu", feature = "metal"))]
fn nth(kind: burn::tensor::DeviceType, index: usize, device: Device) -> Result<BurnDevice, FeatureError> {
    let found = BurnDevice::enumerate(kind).into_vec();
    let count = found.len();
    let missing = || fail(&format!("there is no device {device}: this machine shows {count} of its kind"));
    found.into_iter().nth(index).ok_or_else(missing)
}

fn fail(reason: &dyn std::fmt::Display) -> FeatureError {
    FeatureError::Engine { engine: "burn", reason: reason.to_string() }
}

/// Turns a panic inside the engine (a driver that is not there, memory that runs out) into an error.
fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, FeatureError> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let words =
            panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        fail(&words.unwrap_or("it gave up without a reason"))
    })
}
