//! Transformed images put together to a batch.

use super::job::Loaded;
use crate::batch::ImageBatch;
use crate::error::DataError;
use crate::mask::Mask;
use crate::transform::PlanarImage;
use std::path::Path;

/// A batch and where it came from; all lists have one entry an image.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadedBatch {
    /// Positions in the images that the loader was given.
    pub indices: Vec<usize>,
    /// The transformed images, with the frames before them if clips were asked for.
    pub images: ImageBatch,
    /// The transformed masks; `None` where the image has none or masks were not asked for.
    pub masks: Vec<Option<Mask>>,
    /// Height and width of the images before the transform (upright), in pixels.
    pub original_sizes: Vec<(usize, usize)>,
}

impl LoadedBatch {
    /// An empty batch of images like `first`.
    pub(super) fn like(first: &Loaded, capacity: usize) -> Self {
        let image = &first.image;
        let mut images =
            ImageBatch::new(0, image.height, image.width, Vec::new(), image.region_of_interest.clone());
        images.frames = 1 + first.earlier.len() / image.pixels.len();
        images.pixels.reserve(capacity * (first.earlier.len() + image.pixels.len()));
        Self {
            indices: Vec::with_capacity(capacity),
            images,
            masks: Vec::with_capacity(capacity),
            original_sizes: Vec::with_capacity(capacity),
        }
    }

    pub(super) fn has_size_of(&self, image: &PlanarImage) -> bool {
        (image.height, image.width) == (self.images.height, self.images.width)
    }

    /// Adds an image by its position and name.
    ///
    /// # Errors
    /// [`DataError::MixedSizes`], or [`DataError::Setting`] where the region of interest lies elsewhere.
    pub(super) fn push(&mut self, position: usize, name: &str, loaded: Loaded) -> Result<(), DataError> {
        let Loaded { image, earlier, mask, original_size } = loaded;
        if !self.has_size_of(&image) {
            return Err(DataError::MixedSizes {
                path: Path::new(name).to_path_buf(),
                width: image.width,
                height: image.height,
                batch_width: self.images.width,
                batch_height: self.images.height,
            });
        }
        // A crop may give images of different shapes one size, but not one place for the stretched region.
        if image.region_of_interest != self.images.region_of_interest {
            return Err(DataError::Setting(format!(
                "image `{name}` has another shape than the first of its batch, so the region of interest lies elsewhere on it; \
                 resize to an exact size, or use batches of one image"
            )));
        }
        self.indices.push(position);
        self.images.count += 1;
        self.images.pixels.extend_from_slice(&earlier);
        self.images.pixels.extend_from_slice(&image.pixels);
        self.masks.push(mask);
        self.original_sizes.push(original_size);
        Ok(())
    }
}
