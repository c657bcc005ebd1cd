//! The methods: one folder each, by family. No method imports another; what several share lies in `shared`.
//!
//! | family | what it holds |
//! |---|---|
//! | [`distance`] | distances to what good features were like |
//! | [`flow`] | exact likelihood of features by normalizing flows |
//! | [`classical`] | statistics, structure and filters of the pixels themselves |

pub mod classical;
#[cfg(test)]
mod contract;
pub mod distance;
pub mod flow;
pub mod registry;
mod shared;
#[cfg(test)]
mod testing;

pub use shared::trainer::loss_curves;
