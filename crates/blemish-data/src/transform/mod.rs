//! From an image at its native depth to planar RGB values in [0, 1] at the size a method wants.
//!
//! Resize (antialiased, as Pillow's `BILINEAR` or `BICUBIC`), centre crop (torchvision's offsets), scale to [0, 1], paint what
//! lies outside the region of interest mid-grey. A [`Transform`] is part of the model file, so that scoring sees images as
//! fitting did.

mod canvas;
mod region;
mod resize;

#[cfg(test)]
mod tests;

use crate::batch::ImageBatch;
use crate::error::{DataError, ImageFault};
use crate::mask::Mask;
use crate::reader::{ReadOptions, RgbImage, read_image};
use canvas::Window;
pub use canvas::{Canvas, PlanarImage};
pub use region::RegionOfInterest;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::path::Path;

/// The largest side an image may be resized to, in pixels; at its own size an image may have any.
pub const MAXIMUM_SIDE: usize = 8192;

/// What an image is resized to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resize {
    /// Both sides given; the aspect ratio is not kept.
    Exact {
        /// H, in pixels.
        height: usize,
        /// W, in pixels.
        width: usize,
    },
    /// The shorter side given, in pixels; the longer one follows, rounded down (torchvision's rule).
    ShorterSide(usize),
    /// Every image at its own size.
    Native,
}

/// What a resized image takes between and of its pixels; when shrinking, every pixel counts (antialiasing).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Filter {
    /// Along straight lines, as Pillow's `BILINEAR`.
    #[default]
    Bilinear,
    /// Along curves (Catmull-Rom), as Pillow's `BICUBIC`: sharper, and what CLIP was trained with.
    Bicubic,
}

impl Filter {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// The centred window that is kept after resizing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crop {
    /// H, in pixels.
    pub height: usize,
    /// W, in pixels.
    pub width: usize,
}

/// Where the transformed image lies in the resized one; all are (rows, columns) in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The size after resizing.
    pub resized: (usize, usize),
    /// Where the window begins.
    pub start: (usize, usize),
    /// Its size.
    pub size: (usize, usize),
}

/// How an image becomes input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Transform {
    /// The size after resizing.
    pub resize: Resize,
    /// What lies between pixels.
    #[serde(default, skip_serializing_if = "Filter::is_default")]
    pub filter: Filter,
    /// The centre kept of it; `None` keeps all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crop: Option<Crop>,
    /// See [`ReadOptions::value_range`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_range: Option<(f32, f32)>,
    /// See [`ReadOptions::ranges_16_bit`]; models of before it ignored the range of 16-bit images, and still do.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ranges_16_bit: bool,
    /// Where to look, stretched over every image; `None` looks everywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region_of_interest: Option<RegionOfInterest>,
}

impl Transform {
    /// Resizes to height x width; the aspect ratio is not kept.
    pub fn resize_to(height: usize, width: usize) -> Self {
        Self::new(Resize::Exact { height, width })
    }

    /// Resizes the shorter side to `side` pixels and keeps the aspect ratio.
    pub fn shorter_side(side: usize) -> Self {
        Self::new(Resize::ShorterSide(side))
    }

    /// Leaves every image at its own size.
    pub fn native() -> Self {
        Self::new(Resize::Native)
    }

    /// The same transform for another input size: the shorter side becomes `side`, the longer side and the crop keep their proportions.
    pub fn at_side(&self, side: usize) -> Self {
        let (resize, before) = match self.resize {
            Resize::Exact { height, width } => {
                let scaled =
                    |length: usize| (length * side + height.min(width) / 2) / height.min(width).max(1);
                (Resize::Exact { height: scaled(height), width: scaled(width) }, height.min(width))
            }
            Resize::ShorterSide(before) => (Resize::ShorterSide(side), before),
            Resize::Native => (Resize::ShorterSide(side), side),
        };
        let scaled = |length: usize| (length * side + before / 2) / before.max(1);
        let crop = self.crop.map(|crop| Crop { height: scaled(crop.height), width: scaled(crop.width) });
        Self { resize, crop, ..self.clone() }
    }

    fn new(resize: Resize) -> Self {
        let (filter, value_range) = (Filter::default(), None);
        Self { resize, filter, crop: None, value_range, ranges_16_bit: false, region_of_interest: None }
    }

    /// Resizes with another filter.
    pub fn with_filter(mut self, filter: Filter) -> Self {
        self.filter = filter;
        self
    }

    /// Keeps the centred height x width pixels.
    pub fn with_crop(mut self, height: usize, width: usize) -> Self {
        self.crop = Some(Crop { height, width });
        self
    }

    /// Maps these values to black and white in images of measured values and of 16 bit; see [`ReadOptions::value_range`].
    pub fn with_value_range(mut self, range: (f32, f32)) -> Self {
        self.value_range = Some(range);
        self.ranges_16_bit = true;
        self
    }

    /// Looks only where a mask file is bright. The mask may have any size; it is stretched over each image.
    ///
    /// Pixels at least half as bright as the brightest are looked at, so that soft edges and the ringing of a JPEG do not count; if all
    /// values are whole numbers up to 31 they are labels, and all but 0 count.
    ///
    /// # Errors
    /// [`DataError::Image`] if the file cannot be read, [`DataError::Setting`] if it marks nothing.
    pub fn with_region_of_interest(self, path: &Path) -> Result<Self, DataError> {
        let options = ReadOptions { minimum_side: 1, ..ReadOptions::default() };
        // Measured values of any range are fine: only how they compare to the brightest counts.
        let image = read_image(path, &options).or_else(|error| match error {
            DataError::Image { fault: ImageFault::OutOfRange { highest, .. }, .. } if highest > 0.0 => {
                read_image(path, &ReadOptions { value_range: Some((0.0, highest)), ..options })
            }
            error => Err(error),
        })?;
        self.looking_where(&image, &path.display().to_string())
    }

    /// The same by a mask in memory, which messages call `name`.
    ///
    /// # Errors
    /// [`DataError::Setting`] if it marks nothing.
    pub fn looking_where(mut self, mask: &RgbImage, name: &str) -> Result<Self, DataError> {
        let region = RegionOfInterest::new(region::bright(mask))
            .map_err(|reason| DataError::Setting(format!("region of interest `{name}`: {reason}")))?;
        self.region_of_interest = Some(region);
        Ok(self)
    }

    /// How images are read for this transform.
    pub fn read_options(&self) -> ReadOptions {
        ReadOptions {
            value_range: self.value_range,
            ranges_16_bit: self.ranges_16_bit,
            ..ReadOptions::default()
        }
    }

    /// Checks that images can satisfy the settings.
    ///
    /// # Errors
    /// [`DataError::Setting`] if a size is zero or above [`MAXIMUM_SIDE`], if the crop is larger than the resized image,
    /// or if the value range does not rise.
    pub fn check(&self) -> Result<(), DataError> {
        let setting = |text: String| Err(DataError::Setting(text));
        let in_range = |side: usize| (1..=MAXIMUM_SIDE).contains(&side);
        let (height, width) = match self.resize {
            Resize::Exact { height, width } => (height, width),
            Resize::ShorterSide(side) => (side, side),
            Resize::Native => (MAXIMUM_SIDE, MAXIMUM_SIDE),
        };
        if !in_range(height) || !in_range(width) {
            return setting(format!(
                "image size {width}x{height} is not within 1 to {MAXIMUM_SIDE} pixels a side"
            ));
        }
        if let Some(crop) = self.crop {
            // Sides that depend on the image are checked with it.
            let (highest, widest) = match self.resize {
                Resize::Exact { height, width } => (height, width),
                Resize::ShorterSide(_) | Resize::Native => (MAXIMUM_SIDE, MAXIMUM_SIDE),
            };
            if !in_range(crop.height) || !in_range(crop.width) || crop.height > highest || crop.width > widest
            {
                return setting(format!(
                    "centre crop {}x{} does not fit into the resized image {width}x{height}; make the crop smaller",
                    crop.width, crop.height
                ));
            }
        }
        match self.value_range {
            Some((black, white)) if !(black.is_finite() && white.is_finite() && black < white) => {
                setting(format!("value range {black},{white} must be two rising numbers"))
            }
            _ => Ok(()),
        }
    }

    /// Height and width that an image of `height` x `width` comes out at.
    ///
    /// # Errors
    /// [`ImageFault::Transform`] if the image is too elongated, or the crop larger than the resized image.
    pub fn output_size(&self, height: usize, width: usize) -> Result<(usize, usize), ImageFault> {
        let window = self.window(height, width)?;
        Ok((window.height, window.width))
    }

    /// The size that an image of `height` x `width` is resized to, and the window that is kept of it.
    ///
    /// # Errors
    /// As [`Self::output_size`].
    pub fn placed(&self, height: usize, width: usize) -> Result<Placed, ImageFault> {
        let window = self.window(height, width)?;
        Ok(Placed {
            resized: (window.resized_height, window.resized_width),
            start: (window.top, window.left),
            size: (window.height, window.width),
        })
    }

    /// Rows and columns of an image of `height` x `width` that the transform's output covers: all of it without a crop.
    ///
    /// # Errors
    /// As [`Self::output_size`].
    pub fn covered(&self, height: usize, width: usize) -> Result<(Range<usize>, Range<usize>), ImageFault> {
        let window = self.window(height, width)?;
        let span = |start: usize, length: usize, resized: usize, original: usize| {
            let end = ((start + length) * original).div_ceil(resized).min(original);
            (start * original / resized)..end
        };
        Ok((
            span(window.top, window.height, window.resized_height, height),
            span(window.left, window.width, window.resized_width, width),
        ))
    }

    /// Resizes, crops and scales an image.
    ///
    /// # Errors
    /// As [`Self::output_size`].
    pub fn apply(&self, image: &RgbImage) -> Result<PlanarImage, ImageFault> {
        let canvas = self.canvas(image)?;
        let (height, width) = canvas.size();
        Ok(canvas.cut(0..height, 0..width))
    }

    /// Resizes and crops an image at its own depth, to be cut into planes piece by piece.
    ///
    /// # Errors
    /// As [`Self::output_size`].
    pub fn canvas<'a>(&'a self, image: &'a RgbImage) -> Result<Canvas<'a>, ImageFault> {
        let window = self.window(image.height, image.width)?;
        let resized = resize::resized(image, window.resized_height, window.resized_width, self.filter)
            .map_err(|reason| ImageFault::Transform(format!("cannot be resized: {reason}")))?;
        Ok(Canvas::new(resized, window, self.region_of_interest.as_ref()))
    }

    /// Resizes by nearest neighbour (as Pillow's `NEAREST`) and crops a mask to the pixels of its transformed image.
    ///
    /// # Errors
    /// As [`Self::output_size`].
    pub fn apply_mask(&self, mask: &Mask) -> Result<Mask, ImageFault> {
        Ok(canvas::nearest_window(mask, self.window(mask.height, mask.width)?))
    }

    /// The region of interest on the transformed image of one of height x width; `None` where everything is looked at.
    ///
    /// # Errors
    /// As [`Self::output_size`].
    pub fn region_at(&self, height: usize, width: usize) -> Result<Option<Mask>, ImageFault> {
        let window = self.window(height, width)?;
        Ok(self.region_of_interest.as_ref().map(|region| canvas::nearest_window(region.mask(), window)))
    }

    /// Reads and transforms one image file: a batch of one.
    ///
    /// # Errors
    /// [`DataError::Image`] if the file cannot be used, [`DataError::Setting`] as [`Self::check`].
    pub fn load(&self, path: &Path) -> Result<ImageBatch, DataError> {
        self.check()?;
        let image = read_image(path, &self.read_options())?;
        let image = self.apply(&image).map_err(|fault| DataError::image(path, fault))?;
        Ok(ImageBatch::new(1, image.height, image.width, image.pixels, image.region_of_interest))
    }

    fn window(&self, height: usize, width: usize) -> Result<Window, ImageFault> {
        let (resized_height, resized_width) = match self.resize {
            Resize::Exact { height, width } => (height, width),
            Resize::ShorterSide(side) if height <= width => (side, side * width / height.max(1)),
            Resize::ShorterSide(side) => (side * height / width.max(1), side),
            Resize::Native => (height, width),
        };
        let is_too_large = self.resize != Resize::Native && resized_height.max(resized_width) > MAXIMUM_SIDE;
        let size = format!("{resized_width}x{resized_height}");
        if is_too_large || resized_height.min(resized_width) == 0 {
            return Err(ImageFault::Transform(format!(
                "it is {width}x{height} pixels and would come out at {size}; at most {MAXIMUM_SIDE} a side are \
                 allowed, so set an exact size"
            )));
        }
        let crop = self.crop.unwrap_or(Crop { height: resized_height, width: resized_width });
        if crop.height > resized_height || crop.width > resized_width {
            return Err(ImageFault::Transform(format!(
                "resized to {size} it is smaller than the centre crop {}x{}; make the crop smaller",
                crop.width, crop.height
            )));
        }
        Ok(Window {
            resized_height,
            resized_width,
            top: centre_offset(resized_height, crop.height),
            left: centre_offset(resized_width, crop.width),
            height: crop.height,
            width: crop.width,
        })
    }
}

/// round((size - crop) / 2) with halves to the even number, as Python rounds (torchvision's `center_crop`).
fn centre_offset(size: usize, crop: usize) -> usize {
    let margin = size - crop;
    let half = margin / 2;
    if margin % 2 == 1 && half % 2 == 1 { half + 1 } else { half }
}
