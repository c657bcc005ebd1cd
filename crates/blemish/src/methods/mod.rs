//! One folder a method; no method imports another.

pub mod classical;
pub mod padim;
pub mod patchcore;
