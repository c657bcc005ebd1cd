//! The weights of a network that a rule changes: their gradients, what is remembered of them, their running averages.
//!
//! All walk the network in its own order, so that lists of tensors go with its trained weights one by one.

use super::rule::Rule;
use super::scope::Scope;
use super::step::Step;
use blemish_ops::{scalars, square_sum};
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Gradients, Tensor};

/// What is remembered of one weight, as flat tensors.
#[derive(Clone)]
pub(crate) struct Memory {
    /// As [`Rule::memories`] says.
    pub(crate) of_rule: Vec<Tensor<1>>,
    /// Running average of the weight, where one is kept.
    pub(crate) average: Option<Tensor<1>>,
}

/// A rule and the weights that it changes.
#[derive(Clone, Copy)]
pub(crate) struct Learner<'a> {
    pub(crate) rule: Rule,
    pub(crate) scope: Scope<'a>,
    /// Decay of a running average of these weights.
    pub(crate) average: Option<f64>,
}

/// Where in a network a visit is.
#[derive(Default)]
struct Path(Vec<String>);

impl Path {
    fn is_trained<const D: usize>(&self, param: &Param<Tensor<D>>, scope: Scope<'_>) -> bool {
        param.val().is_require_grad() && scope.has(&self.0)
    }
}

/// The two methods of a visitor or mapper that keep its path.
macro_rules! walk {
    () => {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.path.0.push(name.to_owned());
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.path.0.pop();
        }
    };
}

fn flat<const D: usize>(tensor: Tensor<D>) -> Tensor<1> {
    let values = tensor.dims().iter().product::<usize>();
    tensor.reshape([values])
}

/// Memories of the trained weights.
pub(crate) fn memories<M: Module>(network: &M, learner: Learner<'_>) -> Vec<Memory> {
    struct Make<'a> {
        path: Path,
        made: Vec<Memory>,
        learner: Learner<'a>,
    }
    impl ModuleVisitor for Make<'_> {
        walk!();
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if self.path.is_trained(param, self.learner.scope) {
                let value = flat(param.val().inner());
                let average = self.learner.average.is_some().then(|| value.clone());
                let memories = self.learner.rule.memories().into_iter();
                let of_rule = memories.map(|(_, times)| value.zeros_like().repeat_dim(0, times)).collect();
                self.made.push(Memory { of_rule, average });
            }
        }
    }
    let mut make = Make { path: Path::default(), made: Vec::new(), learner };
    network.visit(&mut make);
    make.made
}

/// Gradients of the trained weights; `None` for those the loss does not depend on.
pub(crate) fn gradients_of<M: Module>(
    network: &M,
    scope: Scope<'_>,
    gradients: Gradients,
) -> Vec<Option<Tensor<1>>> {
    struct Take<'a> {
        path: Path,
        taken: Vec<Option<Tensor<1>>>,
        gradients: Gradients,
        scope: Scope<'a>,
    }
    impl ModuleVisitor for Take<'_> {
        walk!();
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if self.path.is_trained(param, self.scope) {
                self.taken.push(param.val().grad_remove(&mut self.gradients).map(flat));
            }
        }
    }
    let mut take = Take { path: Path::default(), taken: Vec::new(), gradients, scope };
    network.visit(&mut take);
    take.taken
}

/// The loss as a number, and the norm of all gradients together.
pub(crate) fn measure(loss: Tensor<1>, gradients: &[Option<Tensor<1>>]) -> (f64, f64) {
    let squares = gradients.iter().flatten().map(|gradient| square_sum(gradient.clone()));
    let values = scalars(std::iter::once(loss).chain(squares).collect());
    (values[0], values[1..].iter().sum::<f64>().sqrt())
}

/// One step: the network with updated weights.
pub(crate) fn step<M: Module>(
    network: M,
    learner: Learner<'_>,
    gradients: Vec<Option<Tensor<1>>>,
    memories: &mut [Memory],
    step: Step,
) -> M {
    struct Update<'a> {
        path: Path,
        learner: Learner<'a>,
        gradients: std::vec::IntoIter<Option<Tensor<1>>>,
        memories: std::slice::IterMut<'a, Memory>,
        step: Step,
    }
    impl ModuleMapper for Update<'_> {
        walk!();
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let is_trained = self.path.is_trained(&param, self.learner.scope);
            let (id, value, mapper) = param.consume();
            if !is_trained {
                return Param::from_mapped_value(id, value, mapper);
            }
            let (Some(gradient), Some(memory)) = (self.gradients.next(), self.memories.next()) else {
                return Param::from_mapped_value(id, value, mapper);
            };
            let shape = value.dims();
            let mut value = flat(value.inner());
            if let Some(gradient) = gradient {
                value = self.learner.rule.update(value, gradient, &mut memory.of_rule, self.step);
            }
            if let (Some(decay), Some(average)) = (self.learner.average, &mut memory.average) {
                *average = average.clone() * decay + value.clone() * (1.0 - decay);
            }
            let value = Tensor::from_inner(value.reshape(shape)).require_grad();
            Param::from_mapped_value(id, value, mapper)
        }
    }
    let (gradients, memories) = (gradients.into_iter(), memories.iter_mut());
    network.map(&mut Update { path: Path::default(), learner, gradients, memories, step })
}

/// The network with the running averages as weights, where they are kept.
pub(crate) fn averaged<M: Module>(network: M, scope: Scope<'_>, memories: Vec<Memory>) -> M {
    struct Put<'a> {
        path: Path,
        scope: Scope<'a>,
        memories: std::vec::IntoIter<Memory>,
    }
    impl ModuleMapper for Put<'_> {
        walk!();
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            if !self.path.is_trained(&param, self.scope) {
                return param;
            }
            param.map(|value| match self.memories.next().and_then(|memory| memory.average) {
                Some(average) => Tensor::from_inner(average.reshape(value.dims())).require_grad(),
                None => value,
            })
        }
    }
    network.map(&mut Put { path: Path::default(), scope, memories: memories.into_iter() })
}

/// The network with everything outside a scope taken as given: a loss of it spends nothing on their gradients.
pub(crate) fn frozen_outside<M: Module>(network: M, scope: Scope<'_>) -> M {
    struct Freeze<'a> {
        path: Path,
        scope: Scope<'a>,
    }
    impl ModuleMapper for Freeze<'_> {
        walk!();
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            if self.scope.has(&self.path.0) {
                return param;
            }
            param.map(|value| value.detach().set_require_grad(false))
        }
    }
    network.map(&mut Freeze { path: Path::default(), scope })
}

/// Values that are not trained, as a forward pass has left them: running moments. They come without their history: a constant's depth in
/// the graph of gradients decides in which order those of its users are summed, and would grow with every step but not over a resume.
pub(crate) fn untrained<M: Module>(network: &M, scope: Scope<'_>) -> Vec<Tensor<1>> {
    struct Collect<'a> {
        path: Path,
        scope: Scope<'a>,
        found: Vec<Tensor<1>>,
    }
    impl ModuleVisitor for Collect<'_> {
        walk!();
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if self.scope.has(&self.path.0) && !param.val().is_require_grad() {
                self.found.push(flat(param.val().inner()));
            }
        }
    }
    let mut collect = Collect { path: Path::default(), scope, found: Vec::new() };
    network.visit(&mut collect);
    collect.found
}

/// The network with the values that [`untrained`] has found in a copy of it.
pub(crate) fn with_untrained<M: Module>(network: M, scope: Scope<'_>, found: Vec<Tensor<1>>) -> M {
    struct Put<'a> {
        path: Path,
        scope: Scope<'a>,
        found: std::vec::IntoIter<Tensor<1>>,
    }
    impl ModuleMapper for Put<'_> {
        walk!();
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            if !self.scope.has(&self.path.0) || param.val().is_require_grad() {
                return param;
            }
            match self.found.next() {
                Some(value) => param.map(|old| Tensor::from_inner(value.reshape(old.dims()))),
                None => param,
            }
        }
    }
    network.map(&mut Put { path: Path::default(), scope, found: found.into_iter() })
}
