//! One folder a method; no method imports another.

pub mod cfa;
pub mod classical;
#[cfg(test)]
mod contract;
pub mod fapm;
pub mod flows;
pub mod mspba;
pub mod padim;
pub mod patchcore;
pub mod pni;
