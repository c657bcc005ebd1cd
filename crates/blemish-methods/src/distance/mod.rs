//! Distances to what good features were like: to a memory bank, a Gaussian, learned centres.

pub mod cfa;
pub mod fapm;
pub mod mspba;
pub mod padim;
pub mod patchcore;
pub mod pni;
