//! Parameters of a network, taken out of a state dict by name and checked.

use crate::layers::{Linear, Norm};
use blemish_features::{FeatureError, StateDict, Tensor};
use std::cell::RefCell;

/// The part of a state dict under a prefix. What is taken leaves the dict, so that a network is in memory once.
#[derive(Clone)]
pub(crate) struct Parameters<'a> {
    network: &'a str,
    state: &'a RefCell<StateDict>,
    prefix: String,
}

impl<'a> Parameters<'a> {
    /// All of a state dict; `network` is for messages.
    pub fn new(network: &'a str, state: &'a RefCell<StateDict>) -> Self {
        Self { network, state, prefix: String::new() }
    }

    /// What lies under a further name.
    pub fn at(&self, name: impl std::fmt::Display) -> Self {
        Self { prefix: format!("{}{name}.", self.prefix), ..*self }
    }

    /// The state dict's name of a parameter.
    fn full(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Whether there is a parameter of that name.
    pub fn has(&self, name: &str) -> bool {
        self.state.borrow().contains_key(&self.full(name))
    }

    /// Takes a parameter of this shape.
    ///
    /// # Errors
    /// [`FeatureError::Parameter`] if it is missing or of another shape.
    pub fn take(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, FeatureError> {
        let name = self.full(name);
        let fault = |reason: String| FeatureError::parameter(self.network, &name, reason);
        let Tensor { shape: found, data } = self
            .state
            .borrow_mut()
            .remove(&name)
            .ok_or_else(|| fault(format!("is missing; it has shape {shape:?}")))?;
        if found != shape || data.len() != shape.iter().product::<usize>() {
            return Err(fault(format!("has shape {found:?}, not {shape:?}")));
        }
        Ok(data)
    }

    /// Takes a map of rows of `inputs` values to rows of `outputs`, with a bias.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub fn linear(&self, name: &str, inputs: usize, outputs: usize) -> Result<Linear, FeatureError> {
        let at = self.at(name);
        let weight = at.take("weight", &[outputs, inputs])?;
        Ok(Linear::new(outputs, inputs, &weight, Some(&at.take("bias", &[outputs])?)))
    }

    /// Takes such a map without a bias.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub fn linear_without_bias(
        &self,
        name: &str,
        inputs: usize,
        outputs: usize,
    ) -> Result<Linear, FeatureError> {
        Ok(Linear::new(outputs, inputs, &self.at(name).take("weight", &[outputs, inputs])?, None))
    }

    /// Takes a convolution whose windows lie side by side (kernel = stride), as a map of windows, each `channels` x `side` x `side` values.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub fn patches(
        &self,
        name: &str,
        channels: usize,
        side: usize,
        outputs: usize,
    ) -> Result<Linear, FeatureError> {
        let at = self.at(name);
        let weight = at.take("weight", &[outputs, channels, side, side])?;
        Ok(Linear::new(outputs, channels * side * side, &weight, Some(&at.take("bias", &[outputs])?)))
    }

    /// Takes a layer norm over `width` values.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub fn norm(&self, name: &str, width: usize, epsilon: f32) -> Result<Norm, FeatureError> {
        let at = self.at(name);
        Ok(Norm::new(at.take("weight", &[width])?, at.take("bias", &[width])?, epsilon))
    }
}
