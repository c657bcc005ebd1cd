//! A step with what is known of its inputs, and the words for what cannot be known.

use super::super::proto::{Attribute, NodeMessage};
use super::tensor::Known;

/// Why nothing can be said of a step's outputs.
pub(super) enum Fault {
    /// An operator that is not known here.
    Unknown,
    /// Sizes that only the pixels decide.
    DependsOnPixels,
    /// Inputs or attributes that do not fit the operator.
    Broken(&'static str),
}

pub(super) const MISSING: Fault = Fault::Broken("an input is missing");
pub(super) const ODD: Fault = Fault::Broken("its settings do not fit its inputs");

/// A step and what is known of its inputs.
pub(super) struct Step<'a> {
    pub(super) node: &'a NodeMessage,
    pub(super) inputs: Vec<Option<Known>>,
    /// Version of the operators.
    pub(super) version: i64,
}

impl Step<'_> {
    /// An input that may be left out.
    pub(super) fn optional(&self, index: usize) -> Option<&Known> {
        self.inputs.get(index)?.as_ref()
    }

    /// An input that has to be there.
    pub(super) fn input(&self, index: usize) -> Result<&Known, Fault> {
        self.optional(index).ok_or(MISSING)
    }

    fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.node.attribute.iter().find(|attribute| attribute.name == name)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.attribute(name).is_some()
    }

    pub(super) fn int(&self, name: &str, default: i64) -> i64 {
        self.attribute(name).map_or(default, |attribute| attribute.i)
    }

    pub(super) fn text(&self, name: &str) -> &[u8] {
        self.attribute(name).map_or(b"", |attribute| &attribute.s)
    }

    pub(super) fn ints(&self, name: &str) -> Option<Vec<i64>> {
        self.attribute(name).map(|attribute| attribute.ints.clone())
    }

    pub(super) fn floats(&self, name: &str) -> Option<Vec<f64>> {
        self.attribute(name).map(|it| it.floats.iter().map(|&value| f64::from(value)).collect())
    }

    pub(super) fn message(&self, name: &str) -> Option<&Attribute> {
        self.attribute(name)
    }

    /// Sizes, axes and the like, which older operators have as an attribute and newer ones as an input.
    pub(super) fn given(&self, attribute: &str, input: usize) -> Result<Option<Vec<i64>>, Fault> {
        match (self.ints(attribute), self.optional(input)) {
            (Some(_), Some(_)) => Err(Fault::Broken("it says the same thing twice")),
            (Some(values), None) => Ok(Some(values)),
            (None, Some(known)) => known.whole().map(Some).ok_or(Fault::DependsOnPixels),
            (None, None) => Ok(None),
        }
    }

    /// An axis of `rank` dimensions, counted from the end if negative.
    pub(super) fn axis(&self, default: i64, rank: usize) -> Result<usize, Fault> {
        axis(self.int("axis", default), rank)
    }
}

/// An axis of `rank` dimensions, counted from the end if negative.
pub(super) fn axis(axis: i64, rank: usize) -> Result<usize, Fault> {
    let place = if axis < 0 { axis.checked_add(rank as i64) } else { Some(axis) };
    place.and_then(|place| usize::try_from(place).ok()).filter(|&place| place < rank).ok_or(ODD)
}

/// What a step makes: its outputs, the bytes it takes meanwhile, and its multiply-adds.
#[derive(Default)]
pub(super) struct Made {
    pub(super) outputs: Vec<Known>,
    pub(super) meanwhile: u64,
    pub(super) work: u64,
}

impl From<Known> for Made {
    fn from(output: Known) -> Self {
        vec![output].into()
    }
}

impl From<Vec<Known>> for Made {
    /// Work of one an element.
    fn from(outputs: Vec<Known>) -> Self {
        let work = outputs.iter().map(Known::elements).fold(0, u64::saturating_add);
        Self { outputs, meanwhile: 0, work }
    }
}
