//! The stored tensors, and the comparison with them.

use blemish_nn::weights::{self, Values, WeightError};
use blemish_nn::{Device, Module, Tensor, TensorData, init::Init};
use burn::module::{ModuleVisitor, Param};
use burn::tensor::Gradients;
use safetensors::SafeTensors;

pub struct Golden(Vec<u8>);

pub fn device() -> Device {
    Device::flex().autodiff()
}

pub fn init() -> Init {
    Init::new(0, &device())
}

pub fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().unwrap()
}

/// Within 1e-5 of the largest of the tensor's values.
pub fn close(case: &str, ours: &[f32], theirs: &[f32]) {
    assert_eq!(ours.len(), theirs.len(), "{case}");
    let largest = theirs.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
    for (at, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
        assert!((ours - theirs).abs() <= 1e-5 * largest, "{case}: {ours} instead of {theirs} at {at}");
    }
}

impl Golden {
    pub fn read() -> Self {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/torch.safetensors");
        Self(std::fs::read(path).unwrap())
    }

    pub fn values(&self, name: &str) -> Values {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let view = file.tensor(name).unwrap_or_else(|error| panic!("{name}: {error}"));
        let values = view.data().chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()));
        (view.shape().to_vec(), values.collect())
    }

    fn has(&self, name: &str) -> bool {
        SafeTensors::deserialize(&self.0).unwrap().tensor(name).is_ok()
    }

    /// A stored tensor, with a gradient.
    pub fn tensor<const D: usize>(&self, name: &str) -> Tensor<D> {
        let (shape, values) = self.values(name);
        Tensor::from_data(TensorData::new(values, shape), &device()).require_grad()
    }

    /// Compares a tensor with the stored one of a name.
    pub fn check<const D: usize>(&self, tensor: Tensor<D>, name: &str) {
        let (shape, theirs) = self.values(name);
        assert_eq!(tensor.dims()[..], shape[..], "{name}");
        close(name, &values(tensor), &theirs);
    }

    /// A layer with the stored weights of a case; those that are not stored stay.
    pub fn load<M: Module>(&self, case: &str, blank: M) -> M {
        let old = weights::collect(&blank);
        let take = |name: &str| {
            let stored = format!("{case}.w.{name}");
            Ok::<_, WeightError>(if self.has(&stored) { self.values(&stored) } else { old[name].clone() })
        };
        weights::load(blank, take).unwrap()
    }

    /// Compares result and gradients of a layer whose weights are stored, too.
    pub fn layer<M: Module, const I: usize, const O: usize>(
        &self,
        case: &str,
        blank: M,
        forward: impl Fn(&M, Tensor<I>) -> Tensor<O>,
    ) {
        let (network, x) = (self.load(case, blank), self.tensor(&format!("{case}.x")));
        let y = forward(&network, x.clone());
        self.check(y.clone(), &format!("{case}.y"));
        let gradients = (y * self.tensor(&format!("{case}.r")).detach()).sum().backward();
        self.check(x.grad(&gradients).unwrap(), &format!("{case}.g.x"));
        self.check_gradients(case, &network, &gradients);
    }

    /// Compares a function that has no weights.
    pub fn function<const D: usize>(&self, case: &str, forward: impl Fn(Tensor<D>) -> Tensor<D>) {
        self.layer::<Vec<Param<Tensor<1>>>, D, D>(case, Vec::new(), |_, x| forward(x));
    }

    fn check_gradients<M: Module>(&self, case: &str, network: &M, gradients: &Gradients) {
        struct Check<'a>(Vec<String>, &'a Golden, &'a str, &'a Gradients);
        impl ModuleVisitor for Check<'_> {
            fn enter_module(&mut self, name: &str, _: &str) {
                self.0.push(name.to_owned());
            }
            fn exit_module(&mut self, _: &str, _: &str) {
                self.0.pop();
            }
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                if param.val().is_require_grad() {
                    let name = format!("{}.g.{}", self.2, self.0.join("."));
                    self.1.check(param.val().grad(self.3).unwrap(), &name);
                }
            }
        }
        network.visit(&mut Check(Vec::new(), self, case, gradients));
    }

    /// Compares a loss and its gradients for the named inputs.
    pub fn loss<const D: usize, const N: usize>(
        &self,
        case: &str,
        inputs: [&str; N],
        loss: impl Fn([Tensor<D>; N]) -> Tensor<1>,
    ) {
        let tensors = inputs.map(|name| self.tensor(&format!("{case}.{name}")));
        let cost = loss(tensors.clone());
        self.check(cost.clone(), &format!("{case}.loss"));
        let gradients = cost.backward();
        for (name, tensor) in inputs.iter().zip(&tensors).filter(|(name, _)| **name != "t") {
            self.check(tensor.grad(&gradients).unwrap(), &format!("{case}.g.{name}"));
        }
    }
}
