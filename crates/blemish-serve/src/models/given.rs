//! An image on its way from bytes to what a model takes.

use super::version::Version;
use crate::answer::Origin;
use crate::fault::Fault;
use axum::body::Bytes;
use blemish::Look;
use blemish::data::{ImageBatch, ImageFault, Mask, ReadOptions, RgbImage, decode_image, image_size};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

/// Pixels that take less are not worth counting.
const SMALL: u64 = 1 << 20;

/// What decoders may take beside twice the pixels: their windows, tables and colour profiles.
const BESIDE: u64 = 64 << 20;

/// An image to be scored.
#[derive(Clone, Debug)]
pub enum Given {
    /// The bytes of an image file.
    Encoded(Bytes),
    /// Pixels.
    Pixels(RgbImage),
}

/// What is asked of an image.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The name of the answer.
    pub id: String,
    /// The name that came with the image; empty if none.
    pub name: String,
    /// Where it came from.
    pub origin: Origin,
    /// Regions under this area, in pixels of the image, are left out.
    pub min_area: f64,
    /// When the answer is of no use any more.
    pub deadline: Instant,
}

impl Asked {
    /// Whether the answer is still of use.
    pub fn is_late(&self) -> bool {
        Instant::now() >= self.deadline
    }
}

/// The limits on images: those of the model's reading and those of the server. Memory is limited by what is granted.
pub(super) fn reading(version: &Version, max_pixels: u64) -> ReadOptions {
    let options = version.detector.transform().read_options();
    ReadOptions { maximum_pixels: Some(max_pixels), ..options }
}

impl Given {
    /// Bytes that its pixels will take, as its head states.
    ///
    /// # Errors
    /// What the head shows to be wrong: no image, too large, too small.
    pub(super) fn pixel_bytes(&self, options: &ReadOptions, most: u64) -> Result<u64, Fault> {
        let bytes = match self {
            // They are there already, and so is the memory for them.
            Self::Pixels(image) => {
                image.as_read(options).map_err(|fault| Fault::from(&fault))?;
                return Ok(0);
            }
            Self::Encoded(bytes) => bytes,
        };
        // Asked for too little, the reader says how much it needs. It is asked for little first, so that a head which unpacks to
        // gigabytes does not.
        let mut limit = SMALL;
        loop {
            match image_size(bytes, &ReadOptions { memory_limit: limit, ..options.clone() }) {
                Ok(_) => return Ok(limit),
                Err(ImageFault::TooLarge { needed_mib: Some(needed), .. }) => return Ok(needed << 20),
                Err(ImageFault::TooLarge { needed_mib: None, .. }) if limit < most => {
                    limit = limit.saturating_mul(8).min(most);
                }
                Err(fault) => return Err((&fault).into()),
            }
        }
    }

    /// Its pixels.
    ///
    /// # Errors
    /// As [`decode_image`].
    fn decoded(self, options: &ReadOptions) -> Result<RgbImage, Fault> {
        match self {
            Self::Encoded(bytes) => decode_image(&bytes, options),
            Self::Pixels(image) => match image.as_read(options) {
                Ok(Cow::Owned(scaled)) => Ok(scaled),
                Ok(Cow::Borrowed(_)) => Ok(image),
                Err(fault) => Err(fault),
            },
        }
        .map_err(|fault| Fault::from(&fault))
    }

    /// The encoded bytes; none where pixels came.
    pub(super) fn bytes(&self) -> Bytes {
        match self {
            Self::Encoded(bytes) => bytes.clone(),
            Self::Pixels(_) => Bytes::new(),
        }
    }
}

/// An image as a model takes it.
pub(super) struct Prepared {
    /// Height and width of the upright image.
    pub(super) size: (usize, usize),
    /// The image itself, where the model looks at parts of it or a version in shadow will.
    pub(super) image: Option<Arc<RgbImage>>,
    /// What the transform made of it, a batch of one, for models of whole images.
    pub(super) batch: Option<ImageBatch>,
    /// How it looks, where a monitor of drift wants to know.
    pub(super) look: Option<Look>,
}

impl Prepared {
    /// Decodes an image and brings it to the model's input.
    ///
    /// # Errors
    /// As [`decode_image`], and `image_does_not_fit` or `image_values` for an image that the transform does not take.
    pub(super) fn new(
        given: Given,
        granted: u64,
        version: &Version,
        options: &ReadOptions,
        (keeps_image, looks): (bool, bool),
    ) -> Result<Self, Fault> {
        let encoded = given.bytes().len() as u64;
        let memory_limit = granted.saturating_mul(2).saturating_add(BESIDE).saturating_add(encoded);
        let options = ReadOptions { memory_limit, ..options.clone() };
        let image = Arc::new(given.decoded(&options)?);
        let look = looks.then(|| Look::of(&image));
        Ok(Self { look, ..Self::of(image, version, keeps_image)? })
    }

    /// The same of an image that is decoded.
    pub(super) fn of(image: Arc<RgbImage>, version: &Version, keeps_image: bool) -> Result<Self, Fault> {
        let size = (image.height, image.width);
        let transform = version.detector.transform();
        if !version.takes_batches() {
            transform.output_size(size.0, size.1).map_err(|fault| Fault::from(&fault))?;
            return Ok(Self { size, image: Some(image), batch: None, look: None });
        }
        let planar = transform.apply(&image).map_err(|fault| Fault::from(&fault))?;
        let region: Option<Arc<Mask>> = planar.region_of_interest;
        let batch = ImageBatch::new(1, planar.height, planar.width, planar.pixels, region);
        Ok(Self { size, image: keeps_image.then_some(image), batch: Some(batch), look: None })
    }

    /// Whether it can be scored in one batch with another: of one size, looked at in the same place.
    pub(super) fn goes_with(&self, other: &Self) -> bool {
        match (&self.batch, &other.batch) {
            (Some(one), Some(other)) => {
                (one.height, one.width) == (other.height, other.width)
                    && one.region_of_interest == other.region_of_interest
            }
            _ => false,
        }
    }
}

/// Batches of one as one batch.
pub(super) fn joined(prepared: &[&Prepared]) -> Option<ImageBatch> {
    let first = prepared.first()?.batch.as_ref()?;
    let mut pixels = Vec::with_capacity(first.pixels.len() * prepared.len());
    for one in prepared {
        pixels.extend_from_slice(&one.batch.as_ref()?.pixels);
    }
    let region = first.region_of_interest.clone();
    Some(ImageBatch::new(prepared.len(), first.height, first.width, pixels, region))
}
