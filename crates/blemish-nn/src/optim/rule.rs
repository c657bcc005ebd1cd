//! All rules as one type.

use super::adam::Adam;
use super::rms_prop::RmsProp;
use super::sgd::Sgd;
use super::step::Step;
use burn::tensor::Tensor;

/// The rule of an update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// See [`Adam`].
    Adam(Adam),
    /// See [`Sgd`].
    Sgd(Sgd),
    /// See [`RmsProp`].
    RmsProp(RmsProp),
}

impl From<Adam> for Rule {
    fn from(rule: Adam) -> Self {
        Self::Adam(rule)
    }
}

impl From<Sgd> for Rule {
    fn from(rule: Sgd) -> Self {
        Self::Sgd(rule)
    }
}

impl From<RmsProp> for Rule {
    fn from(rule: RmsProp) -> Self {
        Self::RmsProp(rule)
    }
}

impl Rule {
    /// What it remembers of a weight: names, as checkpoints have them, and numbers of values for each value of the weight.
    pub(crate) fn memories(&self) -> Vec<(&'static str, usize)> {
        match self {
            Self::Adam(adam) => vec![("first", 1), ("second", adam.kind.second_moments())],
            Self::Sgd(sgd) => sgd.memories(),
            Self::RmsProp(rms_prop) => rms_prop.memories(),
        }
    }

    /// One update of a flat weight and of what is remembered of it.
    pub(crate) fn update(
        &self,
        value: Tensor<1>,
        gradient: Tensor<1>,
        memory: &mut [Tensor<1>],
        step: Step,
    ) -> Tensor<1> {
        match self {
            Self::Adam(adam) => adam.update(value, gradient, memory, step),
            Self::Sgd(sgd) => sgd.update(value, gradient, memory, step),
            Self::RmsProp(rms_prop) => rms_prop.update(value, gradient, memory, step),
        }
    }
}
