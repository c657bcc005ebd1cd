//! A network's weights as named tensors, and back.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Tensor, TensorData};
use std::collections::BTreeMap;
use thiserror::Error;

/// A network with what is kept of it beside its weights: orders of channels, drawn once, which no seed need make again.
pub trait Network: Module {
    /// The fixed orders, in the order of the network; most networks have none.
    fn fixed(&mut self) -> Vec<&mut Vec<usize>> {
        Vec::new()
    }
}

impl<N: Network> Network for Vec<N> {
    fn fixed(&mut self) -> Vec<&mut Vec<usize>> {
        self.iter_mut().flat_map(N::fixed).collect()
    }
}

/// Copies of a network's fixed orders.
pub fn orders<N: Network>(network: &N) -> Vec<Vec<usize>> {
    network.clone().fixed().into_iter().map(|order| order.clone()).collect()
}

/// Puts fixed orders back; `take` gives each by its number.
///
/// # Errors
/// [`WeightError`] for one that is not an order of as many channels, named `order.NUMBER`; what `take` returns.
pub fn load_orders<N: Network, E: From<WeightError>>(
    network: &mut N,
    mut take: impl FnMut(usize) -> Result<Vec<usize>, E>,
) -> Result<(), E> {
    for (number, order) in network.fixed().into_iter().enumerate() {
        let found = take(number)?;
        let mut sorted = found.clone();
        sorted.sort_unstable();
        if !sorted.into_iter().eq(0..order.len()) {
            let reason = format!("is not an order of {} channels", order.len());
            return Err(WeightError { name: format!("order.{number}"), reason }.into());
        }
        *order = found;
    }
    Ok(())
}

/// Shape and values of a tensor, in single precision.
pub type Values = (Vec<usize>, Vec<f32>);

/// A tensor that does not fit the network it is for.
#[derive(Debug, Error)]
#[error("the weight `{name}` {reason}")]
pub struct WeightError {
    /// Path of fields and positions, joined by dots.
    pub name: String,
    /// What is wrong with it.
    pub reason: String,
}

/// All weights by name, trained and fixed.
pub fn collect<M: Module>(network: &M) -> BTreeMap<String, Values> {
    struct Collect {
        path: Vec<String>,
        found: BTreeMap<String, Values>,
    }
    impl ModuleVisitor for Collect {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.path.push(name.to_owned());
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.path.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let value = param.val().inner();
            let shape = value.dims().to_vec();
            // The conversion to single precision has no way to fail.
            let values = value.into_data().convert::<f32>().try_into_vec().unwrap_or_default();
            self.found.insert(self.path.join("."), (shape, values));
        }
    }
    let mut collect = Collect { path: Vec::new(), found: BTreeMap::new() };
    network.visit(&mut collect);
    collect.found
}

/// Number of values in the weights that are trained.
pub fn trained_values<M: Module>(network: &M) -> usize {
    struct Count(usize);
    impl ModuleVisitor for Count {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if param.val().is_require_grad() {
                self.0 += param.dims().iter().product::<usize>();
            }
        }
    }
    let mut count = Count(0);
    network.visit(&mut count);
    count.0
}

/// The network with the weights of that name; `take` gives each once.
///
/// # Errors
/// [`WeightError`] for one that is missing or has another shape; what `take` returns.
pub fn load<M: Module, E: From<WeightError>>(
    network: M,
    take: impl FnMut(&str) -> Result<Values, E>,
) -> Result<M, E> {
    struct Load<E, F> {
        path: Vec<String>,
        take: F,
        error: Option<E>,
    }
    impl<E: From<WeightError>, F: FnMut(&str) -> Result<Values, E>> ModuleMapper for Load<E, F> {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.path.push(name.to_owned());
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.path.pop();
        }
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            if self.error.is_some() {
                return param;
            }
            let name = self.path.join(".");
            let expected = param.dims();
            match (self.take)(&name) {
                Ok((shape, values)) if shape == expected => param.map(|old| {
                    let (device, dtype) = (old.device(), old.dtype());
                    let data = TensorData::new(values, expected).convert_dtype(dtype);
                    let value = Tensor::from_data(data, (&device, dtype));
                    value.set_require_grad(old.is_require_grad())
                }),
                Ok((shape, _)) => {
                    let reason = format!("has shape {shape:?} instead of {expected:?}");
                    self.error = Some(E::from(WeightError { name, reason }));
                    param
                }
                Err(error) => {
                    self.error = Some(error);
                    param
                }
            }
        }
    }
    let mut load = Load { path: Vec::new(), take, error: None };
    let network = network.map(&mut load);
    match load.error {
        Some(error) => Err(error),
        None => Ok(network),
    }
}
