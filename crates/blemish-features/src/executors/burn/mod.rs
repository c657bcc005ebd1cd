//! Burn, for GPUs: the same description node by node, weights kept on the device, each intermediate freed after its last use.

pub mod device;
pub mod interpreter;

use crate::FeatureError;
use crate::executors::options::Device;
use crate::graph::{Executor, FeatureMap, Graph, Weights};
use ::burn::tensor::{Device as BurnDevice, Tensor, TensorData};
use device::{fail, guarded, open};
use interpreter::{Interpreter, convolve};

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
        Self::on(open(device)?, graph, weights)
    }

    /// The same with gradients with respect to the input.
    pub(crate) fn differentiable(
        graph: &Graph,
        weights: &Weights,
        device: Device,
    ) -> Result<Self, FeatureError> {
        Self::on(open(device)?.autodiff(), graph, weights)
    }

    fn on(device: BurnDevice, graph: &Graph, weights: &Weights) -> Result<Self, FeatureError> {
        let interpreter = guarded(|| Interpreter::with_weights(graph, weights, &device))??;
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
            let sum = weighed.reduce(|a, b| a + b).ok_or_else(|| fail(&"the network has no feature map"))?;
            let gradient = image.grad(&sum.backward());
            let gradient = gradient.ok_or_else(|| fail(&"no feature map depends on the image"))?;
            gradient.try_into_vec_as::<f32>().map_err(|error| fail(&error))
        })?
    }
}
