//! Gradients against numeric slopes, in double precision.

use blemish_nn::{Module, Tensor, TensorData};
use burn::module::{ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{DType, Gradients};

/// Lengths of a step to either side. A longer one meets less rounding, a shorter one fewer kinks: values before a rectifier that change
/// their sign on the way. A gradient that is wrong agrees with none.
const STEPS: [f64; 5] = [1e-11, 1e-10, 1e-9, 1e-8, 1e-7];

/// Compares, weight by weight, the slope of the loss along a direction in that weight's values with what the gradient says of it.
///
/// The network is in double precision, with gradients. Differences may be `tolerance` times the slope and a tenth of the largest one.
pub(crate) fn slopes_agree<M: Module>(network: M, loss: impl Fn(&M) -> Tensor<1>, tolerance: f64) {
    let expected = along(&network, &loss(&network.clone()).backward());
    let value =
        |network: &M| -> f64 { loss(network).into_data().convert::<f64>().try_into_vec().unwrap()[0] };
    let largest = expected.iter().fold(0.0, |largest: f64, slope| largest.max(slope.abs()));
    assert!(largest > 1e-6, "nothing to compare");
    for (number, expected) in expected.into_iter().enumerate() {
        let moved = |step: f64| value(&network.clone().map(&mut Move { number, step }));
        let mut slopes = Vec::new();
        let agrees = STEPS.into_iter().any(|step| {
            let slope = (moved(step) - moved(-step)) / (2.0 * step);
            slopes.push(slope);
            (slope - expected).abs() <= tolerance * (expected.abs() + 0.1 * largest)
        });
        assert!(agrees, "weight {number}: the slopes are {slopes:?}, the gradient says {expected}");
    }
}

/// +1 or -1 for each value of a weight, so that no slope vanishes by symmetry.
fn direction(at: usize) -> f64 {
    if (at.wrapping_mul(2_654_435_761) >> 7) & 1 == 0 { 1.0 } else { -1.0 }
}

fn along<M: Module>(network: &M, gradients: &Gradients) -> Vec<f64> {
    struct Along<'a>(Vec<f64>, &'a Gradients);
    impl ModuleVisitor for Along<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if param.val().is_require_grad() {
                let gradient = param.val().grad(self.1).expect("a weight without gradient");
                let values: Vec<f64> = gradient.into_data().convert::<f64>().try_into_vec().unwrap();
                self.0.push(values.iter().enumerate().map(|(at, value)| value * direction(at)).sum());
            }
        }
    }
    let mut along = Along(Vec::new(), gradients);
    network.visit(&mut along);
    along.0
}

struct Move {
    number: usize,
    step: f64,
}

impl ModuleMapper for Move {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if !param.val().is_require_grad() {
            return param;
        }
        self.number = self.number.wrapping_sub(1);
        if self.number != usize::MAX {
            return param;
        }
        let step = self.step;
        param.map(|old| {
            let (shape, device) = (old.dims(), old.device());
            let mut values: Vec<f64> = old.into_data().convert::<f64>().try_into_vec().unwrap();
            values.iter_mut().enumerate().for_each(|(at, value)| *value += step * direction(at));
            Tensor::from_data(TensorData::new(values, shape), (&device, DType::F64)).require_grad()
        })
    }
}
