//! Procedural inspection sets: good and defective images with exact masks, made up from a seed.
//!
//! ```text
//! product (seed) ─> scene (image) ──────────┐
//!                          └─ with a defect ─┴─> lamp ─> lens ─> mask (where the two differ) ─> sensor noise ─> 8 bits
//! ```
//! Every image is painted as its own scene: threads, streaks or a part in its own pose, its own light, its own noise. A defective
//! image is painted twice, with and without the defect, and the mask marks where the two differ by more than the noise. So masks
//! are exact by construction, also under soft edges.
//!
//! [`write_synthetic_set`] writes a whole set in MVTec AD layout; [`Generator`] gives single images; [`mod@paste`] lays defects over
//! real ones, [`kit`] makes defects for methods to train on, [`traffic`] makes clips of a street with odd motions.

mod canvas;
mod defects;
pub mod error;
mod fabric;
mod generator;
pub mod kit;
mod look;
mod metal;
mod noise;
pub mod paste;
mod pasted_set;
mod print;
mod random;
mod shape;
#[cfg(test)]
mod tests;
pub mod traffic;
mod write;

pub use error::SynthError;
pub use generator::{DefectiveImage, Generator, VISIBLE_SIGMAS};
pub(crate) use generator::{MOST_PIXELS, SIDES};
pub use look::{Defect, Look};
pub use paste::{PasteOptions, Pasted, paste_defect};
pub use pasted_set::{PastedSet, PastedSetOptions, write_pasted_set};
pub(crate) use random::{Random, shuffle};
pub(crate) use write::MOST_IMAGES;
pub use write::{SynthOptions, SynthReport, write_synthetic_set};
