//! Images in: readers, transforms, dataset layouts, the streaming loader and synthetic inspection sets.

pub mod batch;
pub mod mask;

pub use batch::ImageBatch;
pub use mask::Mask;
