//! Pixels that the caller holds, copied once.

use crate::sized::{self, sized};
use crate::status::Fault;
use crate::text::null;
use blemish::data::{ImageFault, PixelFormat, ReadOptions, RgbImage};
use std::ffi::c_void;

/// How pixels lie in memory. 16-bit and float samples are in the machine's byte order.
#[allow(non_camel_case_types, reason = "the names that C sees")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum Format {
    /// Grey, 8 bit.
    BLEMISH_GREY8 = 1,
    /// Grey, 16 bit; white is 65535.
    BLEMISH_GREY16,
    /// Grey, float in [0, 1], or measured values where the model has a value range.
    BLEMISH_GREY32F,
    /// Red, green, blue, 8 bit each.
    BLEMISH_RGB8,
    /// Blue, green, red, 8 bit each: OpenCV, Windows bitmaps.
    BLEMISH_BGR8,
    /// Red, green, blue and an alpha that is not looked at, 8 bit each.
    BLEMISH_RGBA8,
    /// Blue, green, red and an alpha that is not looked at, 8 bit each.
    BLEMISH_BGRA8,
    /// Red, green, blue, 16 bit each.
    BLEMISH_RGB16,
    /// Red, green, blue, float as BLEMISH_GREY32F.
    BLEMISH_RGB32F,
    /// Three planes: red, green, blue, 8 bit: HALCON.
    BLEMISH_PLANAR_RGB8,
    /// Three planes of 16 bit.
    BLEMISH_PLANAR_RGB16,
}

/// An image of the caller's. It is read during the call and not kept.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Image {
    /// sizeof(blemish_image).
    pub struct_size: u32,
    /// A blemish_format.
    pub format: i32,
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Bytes from the beginning of a row to that of the next, the same in all planes; 0 if rows follow each other without a gap.
    pub stride: usize,
    /// planes[0] is the first pixel of the upper row; planes[1] and planes[2] are for planar formats only.
    pub planes: [*const c_void; 3],
}

sized!(Image = "blemish_image");

/// Where the samples of an image are, with numbers that were checked.
#[derive(Clone, Copy)]
pub struct Layout {
    pub format: PixelFormat,
    /// Whether red, green and blue have a plane each, of `format`.
    pub is_planar: bool,
    pub height: usize,
    pub width: usize,
    pub stride: usize,
    /// Bytes from the first to the last of a plane.
    pub length: usize,
}

impl Layout {
    /// Checks what a caller says of an image, before any pixel is looked at.
    ///
    /// # Errors
    /// An unknown format; [`ImageFault`] where the numbers contradict each other or the image would take more memory than allowed.
    pub fn new(
        format: i32,
        (height, width): (usize, usize),
        stride: usize,
        read: &ReadOptions,
    ) -> Result<Self, Fault> {
        let (format, is_planar) = pixel_format(format)?;
        if (stride as isize) < 0 {
            return Err(ImageFault::Pixels(
                "its stride is negative: rows run from the bottom to the top; give the address of the upper row and a positive stride, or \
                 turn the image over first"
                    .into(),
            )
            .into());
        }
        let row = format.row_bytes(width);
        let stride = if stride == 0 { row } else { stride };
        let length = (height.max(1) - 1).checked_mul(stride).and_then(|above| above.checked_add(row));
        let length = length.filter(|&length| length <= isize::MAX as usize);
        let Some(length) = length.filter(|_| stride >= row && height > 0 && width > 0) else {
            // Of no bytes at all; its words say what is wrong.
            let refused = RgbImage::from_rows(&[], (height, width), stride, format);
            let words = "its size does not fit into memory; give its true size";
            return Err(refused.err().unwrap_or_else(|| ImageFault::Pixels(words.into())).into());
        };
        let sample = match format {
            PixelFormat::Grey16 | PixelFormat::Rgb16 => 2,
            PixelFormat::GreyFloat | PixelFormat::RgbFloat => 4,
            _ => 1,
        };
        let needed = (height as u64).saturating_mul(width as u64).saturating_mul(3 * sample);
        if needed > read.memory_limit {
            let limit_mib = read.memory_limit >> 20;
            return Err(ImageFault::TooLarge { needed_mib: Some(needed.div_ceil(1 << 20)), limit_mib }.into());
        }
        Ok(Self { format, is_planar, height, width, stride, length })
    }

    /// The image whose planes begin where `planes` says; `name` is that of the argument.
    ///
    /// # Safety
    /// Each plane that the format has is NULL, or has [`Self::length`] bytes.
    pub unsafe fn image(&self, planes: [*const c_void; 3], name: &str) -> Result<RgbImage, Fault> {
        let size = (self.height, self.width);
        let plane = |number: usize| match planes[number].is_null() {
            true => Err(null(&format!("{name}[{number}]"))),
            // Safety: the caller's promise; the length is at most `isize::MAX`.
            false => Ok(unsafe { std::slice::from_raw_parts(planes[number].cast::<u8>(), self.length) }),
        };
        Ok(match self.is_planar {
            false => RgbImage::from_rows(plane(0)?, size, self.stride, self.format)?,
            true => RgbImage::from_planes([plane(0)?, plane(1)?, plane(2)?], size, self.stride, self.format)?,
        })
    }
}

/// The format of a number, that of one plane where there are three.
fn pixel_format(number: i32) -> Result<(PixelFormat, bool), Fault> {
    use Format::*;
    const FORMATS: [(Format, PixelFormat, bool); 11] = [
        (BLEMISH_GREY8, PixelFormat::Grey8, false),
        (BLEMISH_GREY16, PixelFormat::Grey16, false),
        (BLEMISH_GREY32F, PixelFormat::GreyFloat, false),
        (BLEMISH_RGB8, PixelFormat::Rgb8, false),
        (BLEMISH_BGR8, PixelFormat::Bgr8, false),
        (BLEMISH_RGBA8, PixelFormat::Rgba8, false),
        (BLEMISH_BGRA8, PixelFormat::Bgra8, false),
        (BLEMISH_RGB16, PixelFormat::Rgb16, false),
        (BLEMISH_RGB32F, PixelFormat::RgbFloat, false),
        (BLEMISH_PLANAR_RGB8, PixelFormat::Grey8, true),
        (BLEMISH_PLANAR_RGB16, PixelFormat::Grey16, true),
    ];
    let known = FORMATS.iter().find(|(format, ..)| *format as i32 == number);
    known.map(|&(_, format, is_planar)| (format, is_planar)).ok_or_else(|| {
        let (least, most) = (BLEMISH_GREY8 as i32, BLEMISH_PLANAR_RGB16 as i32);
        Fault::usage(format!("there is no format {number}; give a blemish_format, {least} to {most}"))
    })
}

/// The caller's image.
///
/// # Safety
/// `image` is NULL or a blemish_image whose planes have the bytes that it says.
pub unsafe fn image_of(image: *const Image, read: &ReadOptions) -> Result<RgbImage, Fault> {
    // Safety: the caller's promise.
    unsafe {
        let image = sized::read(image)?.ok_or_else(|| null("image"))?;
        let size = (image.height as usize, image.width as usize);
        Layout::new(image.format, size, image.stride, read)?.image(image.planes, "planes")
    }
}

/// The caller's images, which lie one after another.
///
/// # Safety
/// `images` is NULL, or so many structs as [`image_of`] takes, of one size.
pub unsafe fn images_of(
    images: *const Image,
    count: usize,
    read: &ReadOptions,
) -> Result<Vec<RgbImage>, Fault> {
    if images.is_null() {
        return if count == 0 { Ok(Vec::new()) } else { Err(null("images")) };
    }
    // Safety: the caller's promise. How far they lie apart the first says, which is checked with each.
    unsafe {
        let step = images.cast::<u32>().read_unaligned() as usize;
        (0..count).map(|at| image_of(images.cast::<u8>().add(at * step).cast(), read)).collect()
    }
}
