//! The memory bank of patch features: built from good images, thinned, joined, stored and searched, the same for every method.
//!
//! ```text
//! rows of patches ─────> Collector (features and their projection) ─> k-centre coreset with a cap ─> Bank ─> nearest
//! picks of other banks ──┘ (update, merge)
//! ```
//! Banks go on learning and are joined as composable coresets, see `coverage`.

#[cfg(feature = "ann")]
mod approximate;
mod collect;
mod coverage;
mod device;
mod index;
mod memory_bank;
mod nearest;
mod options;
#[cfg(test)]
mod tests;

pub(crate) use collect::{Collected, Collector, coreset};
pub(crate) use memory_bank::{Bank, reweighted};
pub use options::Search;
pub(crate) use options::{BankOptions, FirstPick, Projected};
