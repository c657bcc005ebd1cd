//! One folder a method; no method imports another.

pub mod padim;
pub mod patchcore;
