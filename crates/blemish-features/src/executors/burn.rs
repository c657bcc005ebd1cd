//! Burn, for GPUs: the same description node by node, weights kept on the device, each intermediate freed after its last use.

use super::Device;
use crate::FeatureError;
use crate::graph::{Activation, Executor, FeatureMap, Graph, Node, NodeId, Op, Padding, Weights};
use burn::tensor::module::{adaptive_avg_pool2d, conv2d, max_pool2d};
use burn::tensor::ops::{ConvOptions, MaxPoolOptions};
use burn::tensor::{Device as BurnDevice, Tensor, TensorData, activation};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A graph on a device of Burn.
pub(crate) struct BurnExecutor {
    device: BurnDevice,
    nodes: Vec<Node>,
    taps: Vec<NodeId>,
    /// For each node, the step after which nothing reads it any more.
    last_use: Vec<usize>,
    /// Kernel and bias of each convolution.
    convolutions: BTreeMap<NodeId, (Tensor<4>, Tensor<1>)>,
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
        let convolution = |(id, node): (NodeId, &Node)| {
            matches!(node.op, Op::Conv { .. }).then(|| {
                let tensor = |kind: &str| {
                    let name = format!("{}.{kind}", node.name);
                    let tensor =
                        weights.get(&name).ok_or_else(|| fail(&format!("there is no tensor {name}")))?;
                    Ok(TensorData::new(tensor.data.clone(), tensor.shape.clone()))
                };
                let (kernel, bias) = (tensor("weight")?, tensor("bias")?);
                Ok((id, (Tensor::from_data(kernel, &device), Tensor::from_data(bias, &device))))
            })
        };
        let upload = || graph.nodes.iter().enumerate().filter_map(convolution).collect::<Result<_, _>>();
        let convolutions = guarded(upload)??;
        let taps: Vec<NodeId> = graph.taps.iter().map(|tap| tap.node).collect();
        let mut last_use: Vec<usize> = (0..graph.nodes.len()).collect();
        for (id, node) in graph.nodes.iter().enumerate() {
            node.inputs.iter().for_each(|&input| last_use[input] = id);
        }
        taps.iter().for_each(|&tap| last_use[tap] = graph.nodes.len());
        Ok(Self { convolutions, device, nodes: graph.nodes.clone(), taps, last_use })
    }

    /// The taps' tensors for a batch.
    fn forward(&self, image: Tensor<4>) -> Result<Vec<Tensor<4>>, FeatureError> {
        let mut values: Vec<Option<Tensor<4>>> = vec![None; self.nodes.len()];
        values[0] = Some(image);
        for (id, node) in self.nodes.iter().enumerate().skip(1) {
            let inputs = node.inputs.iter().map(|&input| {
                let value = values.get(input).and_then(Clone::clone);
                value.ok_or_else(|| fail(&format!("step {} reads a value that is not there", node.name)))
            });
            let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
            values[id] = Some(self.apply(id, &node.op, inputs)?);
            for &input in &node.inputs {
                if self.last_use[input] == id {
                    values[input] = None;
                }
            }
        }
        let tap = |&tap: &NodeId| values[tap].clone().ok_or_else(|| fail(&"a feature map was not computed"));
        self.taps.iter().map(tap).collect()
    }

    fn apply(&self, id: NodeId, op: &Op, inputs: Vec<Tensor<4>>) -> Result<Tensor<4>, FeatureError> {
        if matches!(op, Op::Concat) {
            return Ok(Tensor::cat(inputs, 1));
        }
        let mut inputs = inputs.into_iter();
        let mut next = || inputs.next().ok_or_else(|| fail(&format!("{op:?} lacks an input")));
        let x = next()?;
        Ok(match *op {
            Op::Conv { kernel, stride, padding, groups } => {
                let [_, _, height, width] = x.dims();
                let around = [height, width].map(|side| sides(padding, side, kernel, stride));
                let options = ConvOptions::new_with_padding([stride; 2], around, [1; 2], groups);
                let (weight, bias) = &self.convolutions[&id];
                conv2d(x, weight.clone(), Some(bias.clone()), options)
            }
            Op::MaxPool { kernel, stride, padding, ceil } => {
                let options = MaxPoolOptions::new([kernel; 2]).with_stride([stride; 2]);
                max_pool2d(x, options.with_padding([padding; 2]).with_ceil_mode(ceil))
            }
            Op::Activation(Activation::Relu) => activation::relu(x),
            Op::Activation(Activation::Relu6) => x.clamp(0.0, 6.0),
            Op::Activation(Activation::Silu) => activation::silu(x),
            Op::Activation(Activation::Sigmoid) => activation::sigmoid(x),
            Op::GlobalAveragePool => adaptive_avg_pool2d(x, [1, 1]),
            Op::Add => x + next()?,
            Op::Multiply => x * next()?,
            Op::Input | Op::Concat => x,
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

/// Padding before and after one side of the image.
fn sides(padding: Padding, side: usize, kernel: usize, stride: usize) -> (usize, usize) {
    match padding {
        Padding::Symmetric(around) => (around, around),
        Padding::Same => super::same_padding(side, kernel, stride),
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
