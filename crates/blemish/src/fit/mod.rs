//! Fitting a detector: its views on the good images, and the calibration by scores of images that a model has not seen.
//!
//! - `fits`: fits of one configuration on any images of a source.
//! - `groups`: which images belong together.
//! - `folds`: images dealt into folds.
//! - `calibrate`: which images a model is fitted on, and which calibrate it.
//! - `precision`: whether the backbone runs in bytes.
//! - `suspects`: defects among the images that are meant to be good.

mod calibrate;
mod fits;
mod folds;
mod groups;
mod precision;
mod suspects;
#[cfg(test)]
mod tests;

pub(crate) use calibrate::{Calibrated, calibration_of, fit_calibrated};
pub(crate) use fits::Fits;
pub(crate) use groups::{Reading, group};
pub(crate) use precision::settle as settle_precision;
pub(crate) use suspects::trim;
pub use suspects::{Suspect, Suspects, find_suspects};
