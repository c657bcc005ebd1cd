//! How images are read, and what is too small or too large to be.

use crate::error::ImageFault;
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU64, Ordering};

/// What [`ReadOptions::default`] allows; no limit of pixels is the largest number.
static MEMORY_LIMIT: AtomicU64 = AtomicU64::new(1 << 30);
static MAXIMUM_PIXELS: AtomicU64 = AtomicU64::new(u64::MAX);

/// Sets what [`ReadOptions::default`] allows from now on, in the whole process: for programs, before they read anything.
///
/// Images, masks and regions of interest are all read within these limits. `None` leaves a limit as it is: 1 GiB for decoding one image, any
/// number of pixels.
pub fn set_default_limits(memory_limit: Option<u64>, maximum_pixels: Option<u64>) {
    if let Some(limit) = memory_limit {
        MEMORY_LIMIT.store(limit, Ordering::Relaxed);
    }
    if let Some(limit) = maximum_pixels {
        MAXIMUM_PIXELS.store(limit, Ordering::Relaxed);
    }
}

/// How images are read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReadOptions {
    /// The values that map to black and white in images of measured values (float, signed or 32-bit integer samples);
    /// values outside are clamped. `None` accepts only values within [0, 1].
    pub value_range: Option<(f32, f32)>,
    /// Whether the range is also that of 16-bit images, such as those of a camera of 12 bit; 8-bit images always have their full range.
    pub ranges_16_bit: bool,
    /// The shortest side that an image may have, in pixels.
    pub minimum_side: usize,
    /// The most pixels that an image may have, height times width; `None` sets no limit but memory.
    pub maximum_pixels: Option<u64>,
    /// The most bytes that decoding one image may take.
    pub memory_limit: u64,
}

impl Default for ReadOptions {
    fn default() -> Self {
        let pixels = MAXIMUM_PIXELS.load(Ordering::Relaxed);
        Self {
            value_range: None,
            ranges_16_bit: false,
            minimum_side: 8,
            maximum_pixels: (pixels < u64::MAX).then_some(pixels),
            memory_limit: MEMORY_LIMIT.load(Ordering::Relaxed),
        }
    }
}

impl ReadOptions {
    /// Checks that an image of height x width is within the limits of side and pixels.
    ///
    /// # Errors
    /// [`ImageFault::TooSmall`] or [`ImageFault::TooManyPixels`].
    pub(crate) fn check_side(&self, height: usize, width: usize) -> Result<(), ImageFault> {
        let minimum = self.minimum_side.max(1);
        if width < minimum || height < minimum {
            return Err(ImageFault::TooSmall { width, height, minimum });
        }
        let pixels = (width as u64).saturating_mul(height as u64);
        match self.maximum_pixels {
            Some(maximum) if pixels > maximum => Err(ImageFault::TooManyPixels { width, height, maximum }),
            _ => Ok(()),
        }
    }

    /// Checks what the head of a file says before anything is decoded: `bytes_per_pixel` is the larger of the file's and the result's.
    ///
    /// # Errors
    /// As [`Self::check_side`], and [`ImageFault::TooLarge`].
    pub(super) fn check_head(
        &self,
        (width, height): (u32, u32),
        bytes_per_pixel: u64,
    ) -> Result<(), ImageFault> {
        self.check_side(height as usize, width as usize)?;
        self.check_memory((u64::from(width) * u64::from(height)).saturating_mul(bytes_per_pixel))
    }

    /// Checks that so many bytes may be taken.
    ///
    /// # Errors
    /// [`ImageFault::TooLarge`] with both figures.
    pub(super) fn check_memory(&self, needed: u64) -> Result<(), ImageFault> {
        if needed > self.memory_limit {
            let needed_mib = Some(needed.div_ceil(1 << 20));
            return Err(ImageFault::TooLarge { needed_mib, limit_mib: self.memory_limit >> 20 });
        }
        Ok(())
    }

    /// What a decoder reports that needs more than allowed without saying how much.
    pub(super) fn too_large(&self) -> ImageFault {
        ImageFault::TooLarge { needed_mib: None, limit_mib: self.memory_limit >> 20 }
    }
}
