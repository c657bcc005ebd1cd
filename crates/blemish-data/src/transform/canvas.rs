//! From a resized image at its own depth to planes in [0, 1]: of all of it, or of one window after another.

use super::region::RegionOfInterest;
use super::resize;
use crate::mask::Mask;
use crate::reader::{Pixels, RgbImage};
use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

/// The value of pixels outside the region of interest.
const OUTSIDE: f32 = 0.5;

/// One transformed image.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanarImage {
    /// H, in pixels.
    pub height: usize,
    /// W, in pixels.
    pub width: usize,
    /// 3 x H x W values in [0, 1], red first.
    pub pixels: Vec<f32>,
    /// The region of interest at this size, if the transform has one.
    pub region_of_interest: Option<Arc<Mask>>,
}

/// Where the kept window lies in the resized image, in pixels.
#[derive(Clone, Copy)]
pub(super) struct Window {
    pub(super) resized_height: usize,
    pub(super) resized_width: usize,
    pub(super) top: usize,
    pub(super) left: usize,
    pub(super) height: usize,
    pub(super) width: usize,
}

/// A transformed image before it becomes planes: a quarter of their memory for 8-bit images, and windows of it are cheap.
pub struct Canvas<'a> {
    image: Cow<'a, RgbImage>,
    window: Window,
    region: Option<&'a RegionOfInterest>,
}

impl<'a> Canvas<'a> {
    pub(super) fn new(
        image: Cow<'a, RgbImage>,
        window: Window,
        region: Option<&'a RegionOfInterest>,
    ) -> Self {
        Self { image, window, region }
    }

    /// Height and width, in pixels.
    pub fn size(&self) -> (usize, usize) {
        (self.window.height, self.window.width)
    }

    /// The planes of a window that begins inside. What lies beyond the lower or right border mirrors the image, the border pixel
    /// repeated.
    ///
    /// # Panics
    /// If the window is empty or begins outside.
    pub fn cut(&self, rows: Range<usize>, columns: Range<usize>) -> PlanarImage {
        let (height, width) = (rows.len(), columns.len());
        let inside = Window {
            top: self.window.top + rows.start,
            left: self.window.left + columns.start,
            height: rows.end.min(self.window.height) - rows.start,
            width: columns.end.min(self.window.width) - columns.start,
            ..self.window
        };
        let mut pixels = planar(&self.image, inside);
        let mut region = self.region.map(|region| nearest_window(region.mask(), inside));
        if let Some(mask) = &region {
            for plane in pixels.chunks_exact_mut(inside.height * inside.width) {
                for (value, _) in plane.iter_mut().zip(&mask.marked).filter(|&(_, &inside)| !inside) {
                    *value = OUTSIDE;
                }
            }
        }
        if (inside.height, inside.width) != (height, width) {
            let from = (inside.height, inside.width);
            pixels = mirrored(&pixels, from, (height, width));
            let mirror =
                |mask: Mask| Mask { height, width, marked: mirrored(&mask.marked, from, (height, width)) };
            region = region.map(mirror);
        }
        PlanarImage { height, width, pixels, region_of_interest: region.map(Arc::new) }
    }
}

/// Planes of height x width made as large as `to`, the lower and right border mirrored with the border pixel repeated.
fn mirrored<T: Copy>(planes: &[T], (height, width): (usize, usize), to: (usize, usize)) -> Vec<T> {
    let fold = |at: usize, length: usize| {
        let at = at % (2 * length);
        if at < length { at } else { 2 * length - 1 - at }
    };
    let columns: Vec<usize> = (0..to.1).map(|x| fold(x, width)).collect();
    planes
        .chunks_exact(height * width)
        .flat_map(|plane| (0..to.0).map(move |y| &plane[fold(y, height) * width..][..width]))
        .flat_map(|row| columns.iter().map(|&x| row[x]))
        .collect()
}

/// The window of an interleaved image as three planes in [0, 1].
fn planar(image: &RgbImage, window: Window) -> Vec<f32> {
    match &image.pixels {
        Pixels::U8(values) => {
            let table: [f32; 256] = std::array::from_fn(|value| value as f32 / 255.0);
            planes_of(values, window, |value| table[usize::from(value)])
        }
        Pixels::U16(values) => planes_of(values, window, |value| f32::from(value) / 65_535.0),
        // Weights that sum to 1 only up to rounding may leave the range by an ulp.
        Pixels::F32(values) => planes_of(values, window, |value| value.clamp(0.0, 1.0)),
    }
}

fn planes_of<T: Copy>(values: &[T], window: Window, unit: impl Fn(T) -> f32) -> Vec<f32> {
    let plane = window.height * window.width;
    let mut pixels = vec![0.0; 3 * plane];
    let (red, rest) = pixels.split_at_mut(plane);
    let (green, blue) = rest.split_at_mut(plane);
    let rows = red
        .chunks_exact_mut(window.width)
        .zip(green.chunks_exact_mut(window.width))
        .zip(blue.chunks_exact_mut(window.width));
    for (y, ((red, green), blue)) in rows.enumerate() {
        let start = 3 * ((window.top + y) * window.resized_width + window.left);
        let row = values[start..start + 3 * window.width].chunks_exact(3);
        for (((rgb, red), green), blue) in row.zip(red).zip(green).zip(blue) {
            (*red, *green, *blue) = (unit(rgb[0]), unit(rgb[1]), unit(rgb[2]));
        }
    }
    pixels
}

/// A mask resized by nearest neighbour to the window's resized size, cut to the window.
pub(super) fn nearest_window(mask: &Mask, window: Window) -> Mask {
    let rows = resize::nearest_sources(mask.height, window.resized_height);
    let columns = resize::nearest_sources(mask.width, window.resized_width);
    let columns = &columns[window.left..window.left + window.width];
    let marked = rows[window.top..window.top + window.height]
        .iter()
        .flat_map(|&y| columns.iter().map(move |&x| mask.marked[y * mask.width + x]))
        .collect();
    Mask { height: window.height, width: window.width, marked }
}
