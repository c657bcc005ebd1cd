//! Numeric kernels of anomaly detection, on plain slices of `f32`.
//!
//! Everything here works on whole rows of `f32` and knows neither tensors nor files, so that it builds in
//! seconds and is tested against slow, obvious versions.
//!
//! | module | gives | used by |
//! |---|---|---|
//! | [`knn`] | exact nearest neighbours in a memory bank | the distance methods |
//! | [`bits`] | tables of bits | rules of which entries a patch may match |
//! | [`principal`] | directions of greatest variance | PNI's neighbourhoods |
//! | [`projection`] | random maps to fewer dimensions | coresets |
//! | [`k_centre`] | greedy farthest-point selection | coresets |
//! | [`gaussian`] | streaming means and covariances, distances to them | PaDiM |
//! | [`k_means`] | centres of groups of points | textons, histograms, centres of CFA and MSPBA |
//! | [`image`] | filters, morphology, textures, spectra, registration | the classical methods |
//! | [`conv`] | convolutions of frozen networks | feature extraction |
//! | [`int8`] | the same in whole numbers of 8 bits | feature extraction |
//! | [`transformer`] | linear maps, layer norm and attention on rows of tokens | transformers |
//! | [`flow`] | coupling blocks of trained flows | flows |
//! | [`winograd`] | transforms of fast 3x3 convolutions | [`conv`], training |
//! | [`map`] | resizing and smoothing of anomaly maps | every method |
//! | [`simd`] | loops at the machine's full vector width | the modules above |
//!
//! Three rules hold throughout. Results depend neither on the number of threads nor on the width of the vectors;
//! memory is bounded by a stated formula; a shortcut may save work but never change an answer.

pub mod bits;
mod contraction;
pub mod conv;
mod error;
pub mod flow;
pub mod gaussian;
pub mod image;
pub mod int8;
pub mod k_centre;
pub mod k_means;
pub mod knn;
mod lines;
pub mod map;
mod panels;
pub mod principal;
mod product;
pub mod projection;
pub mod simd;
pub mod transformer;
mod validate;
pub mod winograd;
mod workers;

pub use error::KernelError;
pub use lines::Lines;
pub use workers::Workers;

/// The one random generator of this crate: ChaCha with 12 rounds, the same stream on every machine.
pub(crate) fn seeded(seed: u64) -> rand_chacha::ChaCha12Rng {
    rand::SeedableRng::seed_from_u64(seed)
}
