//! Methods whose models can learn on and be joined.
//!
//! A method whose state can be summed up implements [`Living`], so whether a method can do it is known before any work. Neither verb needs the images of the earlier fits.

use crate::error::Error;
use crate::method::{FitContext, Method, TrainingSet};

/// A method whose models can learn on and be joined.
pub trait Living: Method {
    /// The model that a fit on the old and the new images would have given, as nearly as the method promises. `context.seed` is that
    /// of the old fit.
    ///
    /// # Errors
    /// [`Error::Living`] if the model was not made for it; else as [`Method::fit`].
    fn update(&self, train: &dyn TrainingSet, context: &FitContext<'_>) -> Result<Self, Error>;

    /// Joins models of equal settings, backbone and transform, in the order given; there is at least one.
    ///
    /// # Errors
    /// [`Error::Living`] if the models do not go together.
    fn merge(parts: &[&Self], context: &FitContext<'_>) -> Result<Self, Error>;

    /// What the model stands for and how well, in a few words.
    fn coverage(&self) -> String;
}
