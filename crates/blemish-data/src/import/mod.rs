//! Public sets, brought into MVTec AD layout from the files in which they are published.
//!
//! [`import_elpv`] takes the solar cells of PyPI's `elpv-dataset`. Sources are untrusted: names from inside them never decide where
//! a file is written, and nothing half-written stays.

mod elpv;
pub mod error;
mod source;
#[cfg(test)]
mod tests;

pub use elpv::{CellType, ElpvOptions, ImportReport, import_elpv};
pub use error::ImportError;
