//! Resampling: antialiased bilinear or bicubic for images, nearest neighbour for masks.
//!
//! Bilinear here is a convolution with a triangle as wide as the scale when shrinking (so every source pixel counts), first
//! along rows, then along columns, rounded in between at the image's depth: what Pillow does, and what the common weights
//! and reference results were made with. Bicubic is the same with Catmull-Rom curves. The equality with Pillow (within 1/255) is tested on golden files.

use super::Filter;
use crate::reader::{Pixels, RgbImage};
use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::{F32x3, U8x3, U16x3};
use fast_image_resize::{FilterType, PixelTrait, ResizeAlg, ResizeOptions, Resizer};
use std::borrow::Cow;

/// The image at height x width, at its own depth.
///
/// # Errors
/// The reason in words, if the sizes do not go with the pixels.
pub(super) fn resized(
    image: &RgbImage,
    height: usize,
    width: usize,
    filter: Filter,
) -> Result<Cow<'_, RgbImage>, String> {
    if (image.height, image.width) == (height, width) {
        return Ok(Cow::Borrowed(image));
    }
    let (from, to) = ((image.height, image.width), (height, width));
    let pixels = match &image.pixels {
        Pixels::U8(values) => Pixels::U8(samples::<U8x3, _>(values, from, to, filter)?),
        Pixels::U16(values) => Pixels::U16(samples::<U16x3, _>(values, from, to, filter)?),
        Pixels::F32(values) => Pixels::F32(samples::<F32x3, _>(values, from, to, filter)?),
    };
    Ok(Cow::Owned(RgbImage { height, width, pixels }))
}

/// Pixels of three samples each at another size.
fn samples<P: PixelTrait, T: bytemuck::Pod>(
    values: &[T],
    from: (usize, usize),
    to: (usize, usize),
    filter: Filter,
) -> Result<Vec<T>, String> {
    let mut out = vec![T::zeroed(); 3 * to.0 * to.1];
    convolve::<P>(bytemuck::cast_slice(values), from, bytemuck::cast_slice_mut(&mut out), to, filter)?;
    Ok(out)
}

/// Both buffers are samples seen as bytes, aligned as their type needs since they come from vectors of it.
fn convolve<P: PixelTrait>(
    source: &[u8],
    (source_height, source_width): (usize, usize),
    target: &mut [u8],
    (height, width): (usize, usize),
    filter: Filter,
) -> Result<(), String> {
    let side = |value: usize| u32::try_from(value).map_err(|error| error.to_string());
    let source = TypedImageRef::<P>::from_buffer(side(source_width)?, side(source_height)?, source)
        .map_err(|error| error.to_string())?;
    let mut target = TypedImage::<P>::from_buffer(side(width)?, side(height)?, target)
        .map_err(|error| error.to_string())?;
    let filter = match filter {
        Filter::Bilinear => FilterType::Bilinear,
        Filter::Bicubic => FilterType::CatmullRom,
    };
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(filter)).use_alpha(false);
    Resizer::new().resize_typed(&source, &mut target, &options).map_err(|error| error.to_string())
}

/// For each of `to` positions the one of `from` it takes its value from, as Pillow's `NEAREST` has it.
///
/// The centre of a target pixel is looked up in the source; the sum runs step by step because Pillow's does, and its
/// rounding decides where a centre falls on an edge.
pub(super) fn nearest_sources(from: usize, to: usize) -> Vec<usize> {
    let step = from as f64 / to as f64;
    let mut centre = step * 0.5;
    (0..to)
        .map(|_| {
            let source = (centre as usize).min(from - 1);
            centre += step;
            source
        })
        .collect()
}
