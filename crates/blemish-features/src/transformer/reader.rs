//! Tensors of a weight file by name, with one error for all that is wrong.

use super::{Linear, Norm};
use crate::FeatureError;
use crate::assemble::Mismatch;
use crate::graph::StateDict;
use std::borrow::Cow;

/// Takes tensors out of a state dict and remembers what is missing or misshapen.
///
/// What is asked for and not there comes as zeros of the right size, so that a network can be read to its end; [`Self::finish`] then says
/// everything that was wrong.
pub struct TensorReader<'a> {
    state: &'a StateDict,
    mismatch: Mismatch,
}

impl<'a> TensorReader<'a> {
    /// Reads `state` for a network of this name; `names` says whose names the tensors have, such as `open_clip's`.
    pub fn new(network: &str, names: &'static str, state: &'a StateDict) -> Self {
        Self { state, mismatch: Mismatch::new(network, names) }
    }

    /// Whether the file has a tensor of this name, of any shape.
    pub fn has(&self, name: &str) -> bool {
        self.state.contains_key(name)
    }

    /// The shape of a tensor, if the file has it: for sizes that are not known beforehand.
    pub fn shape(&self, name: &str) -> Option<&'a [usize]> {
        self.state.get(name).map(|tensor| tensor.shape.as_slice())
    }

    /// The values of a tensor of this shape.
    pub fn tensor(&mut self, name: &str, shape: &[usize]) -> Cow<'a, [f32]> {
        let before = self.faults();
        self.mismatch.check(name, shape, self.state.get(name));
        match self.state.get(name) {
            Some(tensor) if self.faults() == before => Cow::Borrowed(&tensor.data),
            _ => Cow::Owned(vec![0.0; shape.iter().product()]),
        }
    }

    fn faults(&self) -> usize {
        self.mismatch.missing.len() + self.mismatch.misshapen.len()
    }

    /// The linear map of `{prefix}.weight` (outputs x inputs) and `{prefix}.bias`.
    pub fn linear(&mut self, prefix: &str, outputs: usize, inputs: usize) -> Linear {
        let weight = self.tensor(&format!("{prefix}.weight"), &[outputs, inputs]);
        let bias = self.tensor(&format!("{prefix}.bias"), &[outputs]);
        Linear::new(outputs, inputs, &weight, Some(&bias))
    }

    /// The linear map of a matrix (outputs x inputs) alone.
    pub fn linear_without_bias(&mut self, weight: &str, outputs: usize, inputs: usize) -> Linear {
        Linear::new(outputs, inputs, &self.tensor(weight, &[outputs, inputs]), None)
    }

    /// The linear map of a matrix that is stored inputs x outputs, to be used as x W.
    pub fn linear_transposed(&mut self, weight: &str, outputs: usize, inputs: usize) -> Linear {
        let values = self.tensor(weight, &[inputs, outputs]);
        let turned: Vec<f32> =
            (0..outputs * inputs).map(|i| values[i % inputs * outputs + i / inputs]).collect();
        Linear::new(outputs, inputs, &turned, None)
    }

    /// The layer norm of `{prefix}.weight` and `{prefix}.bias`.
    pub fn norm(&mut self, prefix: &str, width: usize, epsilon: f32) -> Norm {
        let gain = self.tensor(&format!("{prefix}.weight"), &[width]).into_owned();
        let bias = self.tensor(&format!("{prefix}.bias"), &[width]).into_owned();
        Norm { gain, bias, epsilon }
    }

    /// Nothing, if all that was asked for was there.
    ///
    /// # Errors
    /// [`FeatureError::WeightsMismatch`] with every tensor that was missing or misshapen.
    pub fn finish(self) -> Result<(), FeatureError> {
        match self.mismatch.is_empty() {
            true => Ok(()),
            false => Err(FeatureError::WeightsMismatch(Box::new(self.mismatch))),
        }
    }
}
