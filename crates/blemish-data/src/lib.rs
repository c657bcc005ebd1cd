//! Images in: readers, transforms, dataset layouts, the streaming loader and synthetic inspection sets.
//!
//! Data walks one way:
//!
//! ```text
//! open_dataset ─> Vec<Sample> ─> Files ┐
//!                    arrays ─> Memory ─┼─> Source ─> Loader ─> ImageBatch ─> (features, method)
//!                    videos ─> Frames ─┘               │
//!                             Source::read ─> Transform::apply, in background threads
//! ```
//!
//! - [`layout`] recognises what a path holds and lists its [`Sample`]s, always in the byte order of their paths.
//! - [`reader`] turns the bytes of one file, or another program's pixels, into an [`RgbImage`] at its native depth, or says why not.
//! - [`source`] is where images come from: files, memory, frames of videos, and subsets of these.
//! - [`tiling`] cuts large images into tiles and merges their maps.
//! - [`transform`] resizes, crops and scales to [0, 1]; it is stored in model files.
//! - [`ground_truth`] reads the masks of defects.
//! - [`loader`] streams batches with bounded memory, in an order that only the seed decides.
//! - [`digest`] identifies the data a model was fitted on.
//! - [`film`] unpacks films, animated GIFs and multi-page TIFFs to folders of frames.
//! - [`check`] finds what is wrong with a set: duplicates, leaks, masks that do not match.
//! - [`synth`] and [`import`] write datasets to try all of this on.

pub mod batch;
pub mod check;
pub mod digest;
pub mod error;
pub mod files;
pub mod film;
pub mod ground_truth;
pub mod import;
pub mod layout;
pub mod loader;
pub mod mask;
pub mod names;
mod natural;
mod npy;
pub mod png;
pub mod progress;
pub mod reader;
pub mod source;
pub mod synth;
pub mod tiling;
pub mod transform;

pub use batch::ImageBatch;
pub use error::{DataError, ImageFault, Skipped};
pub use layout::{
    Account, Dataset, FoundImages, Label, Layout, OpenOptions, Sample, find_images, list_images,
    open_dataset, open_good, searched_folders,
};
pub use loader::{DecodedImage, DecodedImages, LoadedBatch, Loader, LoaderOptions, ValueSurvey};
pub use mask::Mask;
pub use reader::{
    PixelFormat, Pixels, ReadOptions, RgbImage, decode_image, decode_mask, image_size, read_image, read_mask,
    read_size, set_default_limits,
};
pub use source::{Facts, Files, Frames, Memory, MemoryImage, Moment, Source, Subset, source_digest};
pub use tiling::{MapMerger, TilePlan, Tiling};
pub use transform::{Canvas, Crop, Filter, Resize, Transform};
