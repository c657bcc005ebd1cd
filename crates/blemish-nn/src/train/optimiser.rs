//! Adam and its kin over all weights of a network, with the gradients' norm clipped and a running average.

use blemish_ops::{AdamKind, AdamStep, adam_step, scalars, square_sum};
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Gradients, Tensor};

/// Which rule, with its constants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Optimiser {
    /// The rule of the second moment.
    pub kind: AdamKind,
    /// Decay of the first and second moment.
    pub betas: [f64; 2],
    /// Keeps quotients finite.
    pub epsilon: f64,
    /// Weight decay.
    pub decay: f64,
    /// Whether the decay shrinks the weights themselves (AdamW) instead of adding its gradient to the loss's (L2).
    pub is_decoupled: bool,
}

impl Optimiser {
    /// Adam with its usual constants.
    pub const ADAM: Self =
        Self { kind: AdamKind::Adam, betas: [0.9, 0.999], epsilon: 1e-8, decay: 0.0, is_decoupled: false };
}

/// What an optimiser remembers of one weight, as flat tensors.
#[derive(Clone)]
pub(super) struct Memory {
    pub(super) first: Tensor<1>,
    /// As long as the rule says, see [`AdamKind::second_moments`].
    pub(super) second: Tensor<1>,
    /// Running average of the weight, where one is kept.
    pub(super) average: Option<Tensor<1>>,
}

/// Memories of the trained weights, in the order of the network.
pub(super) fn memories<M: Module>(network: &M, kind: AdamKind, with_average: bool) -> Vec<Memory> {
    struct Make {
        made: Vec<Memory>,
        kind: AdamKind,
        with_average: bool,
    }
    impl ModuleVisitor for Make {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let value = param.val();
            if value.is_require_grad() {
                let value = flat(value.inner());
                let average = self.with_average.then(|| value.clone());
                let second = value.zeros_like().repeat_dim(0, self.kind.second_moments());
                self.made.push(Memory { first: value.zeros_like(), second, average });
            }
        }
    }
    let mut make = Make { made: Vec::new(), kind, with_average };
    network.visit(&mut make);
    make.made
}

fn flat<const D: usize>(tensor: Tensor<D>) -> Tensor<1> {
    let values = tensor.dims().iter().product::<usize>();
    tensor.reshape([values])
}

/// Gradients of the trained weights, in the order of the network; `None` for those the loss does not depend on.
pub(super) fn gradients_of<M: Module>(network: &M, gradients: Gradients) -> Vec<Option<Tensor<1>>> {
    struct Take {
        taken: Vec<Option<Tensor<1>>>,
        gradients: Gradients,
    }
    impl ModuleVisitor for Take {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let value = param.val();
            if value.is_require_grad() {
                self.taken.push(value.grad_remove(&mut self.gradients).map(flat));
            }
        }
    }
    let mut take = Take { taken: Vec::new(), gradients };
    network.visit(&mut take);
    take.taken
}

struct Update<'a> {
    gradients: std::vec::IntoIter<Option<Tensor<1>>>,
    memories: std::slice::IterMut<'a, Memory>,
    step: AdamStep,
    average: Option<f64>,
}

impl ModuleMapper for Update<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, value, mapper) = param.consume();
        if !value.is_require_grad() {
            return Param::from_mapped_value(id, value, mapper);
        }
        let (Some(gradient), Some(memory)) = (self.gradients.next(), self.memories.next()) else {
            return Param::from_mapped_value(id, value, mapper);
        };
        let shape = value.dims();
        let mut value = flat(value.inner());
        if let Some(gradient) = gradient {
            // Handed over, not shared: what nobody else holds is updated in place.
            let first = std::mem::replace(&mut memory.first, Tensor::empty([0], &value.device()));
            let second = std::mem::replace(&mut memory.second, Tensor::empty([0], &value.device()));
            [value, memory.first, memory.second] = adam_step([value, gradient, first, second], self.step);
        }
        if let (Some(decay), Some(average)) = (self.average, &mut memory.average) {
            *average = average.clone() * decay + value.clone() * (1.0 - decay);
        }
        let value = Tensor::from_inner(value.reshape(shape)).require_grad();
        Param::from_mapped_value(id, value, mapper)
    }
}

/// The loss as a number, and the norm of all gradients together.
pub(super) fn measure(loss: Tensor<1>, gradients: &[Option<Tensor<1>>]) -> (f64, f64) {
    let squares = gradients.iter().flatten().map(|gradient| square_sum(gradient.clone()));
    let values = scalars(std::iter::once(loss).chain(squares).collect());
    (values[0], values[1..].iter().sum::<f64>().sqrt())
}

/// One step: the network with updated weights.
pub(super) fn step<M: Module>(
    network: M,
    gradients: Vec<Option<Tensor<1>>>,
    memories: &mut [Memory],
    step: AdamStep,
    average: Option<f64>,
) -> M {
    let mut update =
        Update { gradients: gradients.into_iter(), memories: memories.iter_mut(), step, average };
    network.map(&mut update)
}

/// The network with the running averages as weights, where they are kept.
pub(super) fn averaged<M: Module>(network: M, memories: Vec<Memory>) -> M {
    struct Put(std::vec::IntoIter<Memory>);
    impl ModuleMapper for Put {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            param.map(|value| {
                if !value.is_require_grad() {
                    return value;
                }
                match self.0.next().and_then(|memory| memory.average) {
                    Some(average) => Tensor::from_inner(average.reshape(value.dims())).require_grad(),
                    None => value,
                }
            })
        }
    }
    network.map(&mut Put(memories.into_iter()))
}
