//! The model file: what it says of itself, its format, the backbones inside, and detectors written to and read from it.

pub(crate) mod backbone;
mod claim;
mod detector;
pub mod format;
pub mod header;
mod outline;
mod seal;
mod whole;

pub use claim::Claim;
pub use header::{BackboneHeader, DataHeader, FORMAT_VERSION, Header, Numbers};
