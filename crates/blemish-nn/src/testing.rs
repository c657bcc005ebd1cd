//! What the tests of layers, losses and networks share, here and in the crates above: double precision, numeric gradients, other numbers
//! of threads. For tests alone: it panics where something does not hold.

use crate::init::Init;
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{DType, Device, Gradients, Tensor, TensorData};

/// Weights in double precision, with gradients.
pub fn double() -> Init {
    Init::new(11, &Device::flex().autodiff()).double()
}

/// Standard normal values in double precision, with gradients.
pub fn random<const D: usize>(shape: [usize; D], seed: u64) -> Tensor<D> {
    Init::new(seed, &Device::flex().autodiff()).double().normal(1.0, shape).val()
}

/// Values in double precision.
pub fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().convert::<f64>().try_into_vec().unwrap()
}

/// Within a tolerance, relative to values above 1.
pub fn close(found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
        let off = (found - expected).abs();
        assert!(off <= tolerance * expected.abs().max(1.0), "{found} instead of {expected} at {at}");
    }
}

/// A sum of the values with weights of either sign, so that no gradient vanishes by symmetry.
pub fn weighted<const D: usize>(out: Tensor<D>) -> Tensor<1> {
    let weights = random(out.dims(), 99).detach().cast(out.dtype());
    (out * weights).sum()
}

/// Compares the gradient of every trained weight with central differences of the loss.
pub fn check_gradients<M: Module>(network: M, loss: impl Fn(&M) -> Tensor<1>) {
    const STEP: f64 = 1e-5;
    let gradients = gradients_of(&network, &loss(&network.clone()).backward());
    assert!(gradients.iter().flatten().any(|gradient| gradient.abs() > 1e-3), "nothing to compare");
    for (number, gradient) in gradients.iter().enumerate() {
        let largest = gradient.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
        for (at, &gradient) in gradient.iter().enumerate() {
            let cost = |step| values(loss(&nudged(network.clone(), number, at, step)))[0];
            let slope = (cost(STEP) - cost(-STEP)) / (2.0 * STEP);
            let off = (slope - gradient).abs();
            assert!(
                off <= 1e-6 * (gradient.abs() + 0.1 * largest) + 1e-9,
                "the gradient of value {at} of weight {number} is {gradient}, the slope {slope}"
            );
        }
    }
}

/// The gradients of all trained weights, in the order of the network.
fn gradients_of<M: Module>(network: &M, gradients: &Gradients) -> Vec<Vec<f64>> {
    struct Collect<'a>(Vec<Vec<f64>>, &'a Gradients);
    impl ModuleVisitor for Collect<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if param.val().is_require_grad() {
                self.0.push(values(param.val().grad(self.1).expect("a weight without gradient")));
            }
        }
    }
    let mut collect = Collect(Vec::new(), gradients);
    network.visit(&mut collect);
    collect.0
}

/// The network with one value of one trained weight moved by a step.
fn nudged<M: Module>(network: M, number: usize, at: usize, step: f64) -> M {
    struct Nudge(usize, usize, f64);
    impl ModuleMapper for Nudge {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            if !param.val().is_require_grad() {
                return param;
            }
            let is_this = self.0 == 0;
            self.0 = self.0.wrapping_sub(1);
            if !is_this {
                return param;
            }
            param.map(|old| {
                let (shape, device) = (old.dims(), old.device());
                let mut moved = values(old);
                moved[self.1] += self.2;
                Tensor::from_data(TensorData::new(moved, shape), (&device, DType::F64)).require_grad()
            })
        }
    }
    network.map(&mut Nudge(number, at, step))
}

/// Runs a layer on the same input in pools of one and of three threads, and compares result and gradient to the bit.
pub fn threads_agree(shape: [usize; 4], layer: impl Fn(Tensor<4>, &mut Init) -> Tensor<4> + Sync) {
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut init = Init::new(3, &Device::flex().autodiff());
            let x = init.normal(1.0, shape).val();
            let y = layer(x.clone(), &mut init);
            let gradients = weighted(y.clone()).backward();
            [values(y), values(x.grad(&gradients).unwrap())]
        })
    };
    assert!(run(1) == run(3), "the number of threads changes bits");
}
