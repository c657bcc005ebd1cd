//! Rules by which a step changes weights, one a file, and their application to all weights of a network.
//!
//! | rule | remembers of each weight |
//! |---|---|
//! | [`Adam`]: Adam, AdamW, AMSGrad, Adamax | first and second moment (and the largest second one) |
//! | [`Sgd`]: gradient descent, with momentum, Nesterov's too | the velocity |
//! | [`RmsProp`] | the mean square (and the mean, and the velocity) |
//!
//! All follow PyTorch's formulas, also in the order of their operations: weight decay first, after clipping.

mod adam;
mod rms_prop;
mod rule;
mod scope;
mod sgd;
pub(crate) mod step;
pub(crate) mod weights;

pub use adam::Adam;
pub use blemish_ops::AdamKind;
pub use rms_prop::RmsProp;
pub use rule::Rule;
pub use scope::Scope;
pub use sgd::Sgd;
