//! One folder a method; no method imports another.

pub mod classical;
pub mod fapm;
pub mod flows;
pub mod padim;
pub mod patchcore;
pub mod pni;
