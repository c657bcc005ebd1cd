//! Parameters of a network under a prefix of their names.

use crate::layers::Linear;
use blemish_features::transformer::{Block, BlockNames, BlockSizes, Norm, TensorReader};
use blemish_features::{FeatureError, StateDict};
use std::cell::RefCell;

/// The part of a weight file under a prefix.
#[derive(Clone)]
pub(crate) struct Parameters<'r, 'a> {
    reader: &'r RefCell<TensorReader<'a>>,
    prefix: String,
}

/// Reads a network of this name; `names` says whose names the tensors have.
///
/// # Errors
/// [`FeatureError::WeightsMismatch`] with every tensor that is missing or misshapen.
pub(crate) fn read<T>(
    network: &str,
    names: &'static str,
    state: &StateDict,
    build: impl FnOnce(&Parameters<'_, '_>) -> T,
) -> Result<T, FeatureError> {
    let reader = RefCell::new(TensorReader::new(network, names, state));
    let built = build(&Parameters { reader: &reader, prefix: String::new() });
    reader.into_inner().finish()?;
    Ok(built)
}

impl Parameters<'_, '_> {
    /// What lies under a further name.
    pub fn at(&self, name: impl std::fmt::Display) -> Self {
        Self { prefix: format!("{}{name}.", self.prefix), ..*self }
    }

    /// The file's name of a parameter.
    pub fn full(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Whether there is a parameter of that name.
    pub fn has(&self, name: &str) -> bool {
        self.reader.borrow().has(&self.full(name))
    }

    /// A parameter of this shape.
    pub fn take(&self, name: &str, shape: &[usize]) -> Vec<f32> {
        self.reader.borrow_mut().tensor(&self.full(name), shape).into_owned()
    }

    /// A map of rows of `inputs` values to rows of `outputs`, with a bias.
    pub fn linear(&self, name: &str, inputs: usize, outputs: usize) -> Linear {
        self.reader.borrow_mut().linear(&self.full(name), outputs, inputs)
    }

    /// Such a map without a bias.
    pub fn linear_without_bias(&self, name: &str, inputs: usize, outputs: usize) -> Linear {
        self.reader.borrow_mut().linear_without_bias(&self.full(&format!("{name}.weight")), outputs, inputs)
    }

    /// A convolution whose windows lie side by side (kernel = stride), as a map of windows, each `channels` x `side` x `side` values.
    pub fn patches(&self, name: &str, channels: usize, side: usize, outputs: usize) -> Linear {
        let at = self.at(name);
        let weight = at.take("weight", &[outputs, channels, side, side]);
        Linear::new(outputs, channels * side * side, &weight, Some(&at.take("bias", &[outputs])))
    }

    /// A layer norm over `width` values.
    pub fn norm(&self, name: &str, width: usize, epsilon: f32) -> Norm {
        self.reader.borrow_mut().norm(&self.full(name), width, epsilon)
    }

    /// A block by its whole names.
    pub fn block(&self, names: &BlockNames, sizes: BlockSizes) -> Block {
        Block::read(&mut self.reader.borrow_mut(), names, sizes)
    }
}
