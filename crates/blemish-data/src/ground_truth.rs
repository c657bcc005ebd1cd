//! Masks of defects as files hold them: which values mark, alpha, and several masks an image.
//!
//! Whole numbers up to 31, colours, and values that fill areas of their own are labels: any but 0 marks. Where most grey pixels have a
//! brighter neighbour the mask has soft edges, from a resampling or a JPEG, and values above half mark. Where a mask has an alpha channel
//! that differs over the image, transparent pixels are unmarked; if nothing else is drawn, what is not transparent is marked.

use crate::error::{DataError, ImageFault};
use crate::mask::{LARGEST_LABEL, Mask};
use crate::npy::Npy;
use crate::reader::{Pixels, ReadOptions, RgbImage, decode_image, decode_mask, read_file};
use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Grey values of which a soft edge has at least so many.
const SOFT_VALUES: usize = 3;

/// A mask and how its values were taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marked {
    /// What is marked.
    pub mask: Mask,
    /// Whether values above half were taken, since the file has a spread of greys.
    pub is_soft: bool,
}

/// Reads the mask in one file.
///
/// # Errors
/// [`DataError::Image`] as for [`crate::read_mask`].
pub fn read_marked(path: &Path) -> Result<Marked, DataError> {
    if let Some(array) =
        path.parent().filter(|array| array.extension().is_some_and(|extension| extension == "npy"))
        && array.is_file()
    {
        return marked_in_array(array, path);
    }
    let options = ReadOptions { minimum_side: 1, ..ReadOptions::default() };
    let read = || marked(&read_file(path, &options)?, &options);
    read().map_err(|fault| DataError::image(path, fault))
}

/// The mask of one frame in an array of frames x height x width: `ARRAY.npy/NUMBER`, from 0.
fn marked_in_array(array: &Path, path: &Path) -> Result<Marked, DataError> {
    let frame = path.file_name().and_then(|name| name.to_str()?.parse::<usize>().ok());
    let read = Npy::open(array).and_then(|mut values| match (frame, values.shape()) {
        (Some(frame), &[frames, height, width]) if frame < frames => {
            let marked = values.marked(frame * height * width, height * width)?;
            Ok(Marked { mask: Mask { height, width, marked }, is_soft: false })
        }
        (_, shape) => {
            Err(format!("has shape {shape:?}, which is not that of frames x height x width with this frame"))
        }
    });
    read.map_err(|reason| DataError::dataset(array, format!("it {reason}")))
}

/// The union of the masks of one image, and how many of them are soft.
///
/// # Errors
/// As [`read_marked`]; [`ImageFault::MaskSize`] if they differ in size. `None` without masks.
pub fn read_union(paths: &[impl AsRef<Path>]) -> Result<Option<(Mask, usize)>, DataError> {
    let mut union: Option<(Mask, usize)> = None;
    for path in paths {
        let path = path.as_ref();
        let Marked { mask, is_soft } = read_marked(path)?;
        match &mut union {
            None => union = Some((mask, usize::from(is_soft))),
            Some((all, soft)) => {
                mask.check_size((all.height, all.width)).map_err(|fault| DataError::image(path, fault))?;
                all.unite(&mask);
                *soft += usize::from(is_soft);
            }
        }
    }
    Ok(union)
}

fn marked(bytes: &[u8], options: &ReadOptions) -> Result<Marked, ImageFault> {
    let image = match decode_image(bytes, options) {
        Ok(image) => image,
        // Measured values of any range are labels.
        Err(ImageFault::OutOfRange { .. }) => {
            return decode_mask(bytes, options).map(|mask| Marked { mask, is_soft: false });
        }
        Err(fault) => return Err(fault),
    };
    let (height, width) = (image.height, image.width);
    let (mut values, full) = brightest(&image);
    if let Some(alpha) = alpha(bytes, (height, width)) {
        let seen: Vec<u16> =
            values.iter().zip(&alpha).map(|(&value, &alpha)| if alpha > 127 { value } else { 0 }).collect();
        values = if seen.iter().any(|&value| value > 0) {
            seen
        } else {
            alpha.iter().map(|&alpha| u16::from(alpha)).collect()
        };
    }
    let is_lossy = bytes.starts_with(&[0xFF, 0xD8]) || bytes.get(12..16) == Some(b"VP8 ");
    let threshold = threshold(&values, width, full, is_lossy);
    let marked = values.iter().map(|&value| value > threshold.unwrap_or(0)).collect();
    Ok(Marked { mask: Mask { height, width, marked }, is_soft: threshold.is_some() })
}

/// The brightest channel of every pixel, and the value that means white.
fn brightest(image: &RgbImage) -> (Vec<u16>, u16) {
    let of = |rgb: &[u16]| rgb.iter().copied().max().unwrap_or(0);
    match &image.pixels {
        Pixels::U8(values) => {
            let brightest = |rgb: &[u8]| u16::from(rgb.iter().copied().max().unwrap_or(0));
            (values.chunks_exact(3).map(brightest).collect(), 255)
        }
        Pixels::U16(values) => {
            let values: Vec<u16> = values.chunks_exact(3).map(of).collect();
            // 8-bit values kept in 16 bits.
            let full = if values.iter().all(|&value| value <= 255) { 255 } else { u16::MAX };
            (values, full)
        }
        Pixels::F32(values) => {
            let is_whole = values.iter().all(|value| value.fract() == 0.0);
            let scale = if is_whole { 1.0 } else { f32::from(u16::MAX) };
            let brightest = |rgb: &[f32]| {
                let value = rgb.iter().copied().fold(0.0, f32::max);
                // However little it is, it is not nothing.
                ((value * scale) as u16).max(u16::from(value > 0.0))
            };
            (values.chunks_exact(3).map(brightest).collect(), if is_whole { 1 } else { u16::MAX })
        }
    }
}

/// The value above which pixels of a soft mask are marked; `None` if its values are labels.
fn threshold(values: &[u16], width: usize, full: u16, is_lossy: bool) -> Option<u16> {
    let top = values.iter().copied().max().unwrap_or(0);
    if is_lossy {
        let is_clean = values.iter().all(|&value| value == 0 || value == full);
        // A JPEG that is all but black marks nothing; what is left in it is noise.
        let half = if top > full / 8 { (top / 2).min(full / 2) } else { top };
        return (!is_clean).then_some(half);
    }
    if top <= LARGEST_LABEL || width == 0 {
        return None;
    }
    let mut seen = vec![false; usize::from(top) + 1];
    values.iter().for_each(|&value| seen[usize::from(value)] = true);
    let greys = seen[1..usize::from(top)].iter().filter(|&&is_seen| is_seen).count();
    if greys < SOFT_VALUES {
        return None;
    }
    let height = values.len() / width;
    let (mut grey, mut under_a_brighter) = (0_usize, 0_usize);
    for (at, &value) in values.iter().enumerate() {
        if value == 0 || value == top {
            continue;
        }
        grey += 1;
        let (y, x) = (at / width, at % width);
        let rows = y.saturating_sub(1)..=(y + 1).min(height - 1);
        let is_brighter = |row: usize| {
            let columns = x.saturating_sub(1)..=(x + 1).min(width - 1);
            columns.into_iter().any(|column| values[row * width + column] > value)
        };
        under_a_brighter += usize::from(rows.into_iter().any(is_brighter));
    }
    (2 * under_a_brighter > grey).then_some((top / 2).min(full / 2))
}

/// The alpha channel of a file, if it has one that is not the same everywhere.
fn alpha(bytes: &[u8], (height, width): (usize, usize)) -> Option<Vec<u8>> {
    let may_have = match bytes {
        [0x89, b'P', b'N', b'G', ..] => {
            matches!(bytes.get(25), Some(4 | 6))
                || bytes[..bytes.len().min(4096)].windows(4).any(|four| four == b"tRNS")
        }
        [b'R', b'I', b'F', b'F', ..] => bytes.get(12..16).is_some_and(|kind| kind != b"VP8 "),
        [b'I', b'I', ..] | [b'M', b'M', ..] => true,
        _ => false,
    };
    if !may_have {
        return None;
    }
    // The reader has decoded the file before, within its limits.
    let decode = || image::ImageReader::new(Cursor::new(bytes)).with_guessed_format().ok()?.decode().ok();
    let image = catch_unwind(AssertUnwindSafe(decode)).ok().flatten()?;
    if !image.color().has_alpha() || (image.height() as usize, image.width() as usize) != (height, width) {
        return None;
    }
    let alpha: Vec<u8> = image.to_rgba8().pixels().map(|pixel| pixel.0[3]).collect();
    let differs = alpha.iter().any(|value| *value > 127) && alpha.iter().any(|value| *value <= 127);
    differs.then_some(alpha)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::ImageEncoder;

    const SIDE: usize = 48;

    /// Two discs, one at each value.
    fn discs(first: u8, second: u8) -> Vec<u8> {
        let inside = |at: usize, (y, x): (f64, f64)| {
            let (dy, dx) = ((at / SIDE) as f64 - y, (at % SIDE) as f64 - x);
            dy * dy + dx * dx < 64.0
        };
        (0..SIDE * SIDE)
            .map(|at| if inside(at, (14.0, 14.0)) { first } else { 0 } + if inside(at, (33.0, 32.0)) { second } else { 0 })
            .collect()
    }

    fn grey(values: &[u8]) -> image::GrayImage {
        image::GrayImage::from_raw(SIDE as u32, SIDE as u32, values.to_vec()).unwrap()
    }

    fn png(image: &image::DynamicImage) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
        bytes.into_inner()
    }

    fn read(bytes: &[u8]) -> Marked {
        marked(bytes, &ReadOptions { minimum_side: 1, ..ReadOptions::default() }).unwrap()
    }

    fn clean() -> Vec<bool> {
        discs(255, 255).iter().map(|&value| value > 0).collect()
    }

    fn differing(mask: &Mask) -> usize {
        mask.marked.iter().zip(clean()).filter(|(one, other)| **one != *other).count()
    }

    #[test]
    fn labels_all_mark_whatever_their_values() {
        for (first, second) in [(255, 255), (1, 2), (1, 255), (40, 200), (254, 253), (85, 170)] {
            let read = read(&png(&grey(&discs(first, second)).into()));
            assert_eq!((differing(&read.mask), read.is_soft), (0, false), "{first} {second}");
        }
        // Ten labels in a row, as some tools spread them over all greys.
        let bars: Vec<u8> = (0..SIDE * SIDE).map(|at| (at % SIDE / 4 * 20) as u8).collect();
        let marks =
            read(&png(&grey(&bars).into())).mask.marked.iter().filter(|&&is_marked| is_marked).count();
        assert_eq!(marks, SIDE * (SIDE - 4));
    }

    #[test]
    fn colours_mark() {
        let colours: Vec<u8> = discs(1, 2)
            .iter()
            .flat_map(|&label| [[0, 0, 0], [128, 0, 0], [0, 128, 0]][usize::from(label)])
            .collect();
        let image = image::RgbImage::from_raw(SIDE as u32, SIDE as u32, colours).unwrap();
        let read = read(&png(&image.into()));
        assert_eq!((differing(&read.mask), read.is_soft), (0, false));
    }

    #[test]
    fn jpeg_and_resampling_leave_the_mask_that_was_drawn() {
        let mut jpeg = Vec::new();
        image::codecs::jpeg::JpegEncoder::new_with_quality(&mut jpeg, 60)
            .write_image(&discs(255, 255), SIDE as u32, SIDE as u32, image::ExtendedColorType::L8)
            .unwrap();
        let lossy = read(&jpeg);
        assert!(lossy.is_soft && differing(&lossy.mask) <= 6, "{}", differing(&lossy.mask));
        for filter in [image::imageops::FilterType::Triangle, image::imageops::FilterType::Lanczos3] {
            let large = image::imageops::resize(
                &grey(&discs(255, 255)),
                5 * SIDE as u32,
                5 * SIDE as u32,
                image::imageops::FilterType::Nearest,
            );
            let soft = image::imageops::resize(&large, SIDE as u32, SIDE as u32, filter);
            let blurred = image::imageops::blur(&soft, 1.0);
            let read = read(&png(&blurred.into()));
            assert!(read.is_soft && differing(&read.mask) <= 12, "{filter:?} {}", differing(&read.mask));
        }
        let mut empty = Vec::new();
        image::codecs::jpeg::JpegEncoder::new_with_quality(&mut empty, 30)
            .write_image(&discs(3, 0), SIDE as u32, SIDE as u32, image::ExtendedColorType::L8)
            .unwrap();
        assert!(!read(&empty).mask.marked.contains(&true), "noise of a black JPEG marks nothing");
    }

    #[test]
    fn a_mask_may_be_drawn_in_alpha() {
        let rgba = |colour: fn(u8) -> [u8; 4]| -> Vec<u8> {
            let values: Vec<u8> = discs(1, 1).iter().flat_map(|&value| colour(value)).collect();
            png(&image::RgbaImage::from_raw(SIDE as u32, SIDE as u32, values).unwrap().into())
        };
        for colour in [
            (|value| [0, 0, 0, 255 * value]) as fn(u8) -> [u8; 4],
            |value| [255, 255, 255, 255 * value],
            |value| [255 * value, 0, 0, 255],
            |value| [255, 0, 0, 200 * value],
        ] {
            assert_eq!(differing(&read(&rgba(colour)).mask), 0);
        }
    }

    #[test]
    fn several_masks_are_united_and_must_be_of_one_size() {
        let folder = tempfile::tempdir().unwrap();
        let save = |name: &str, image: image::GrayImage| {
            let path = folder.path().join(name);
            image.save(&path).unwrap();
            path
        };
        let parts = [save("0.png", grey(&discs(255, 0))), save("1.png", grey(&discs(0, 7)))];
        let (union, soft) = read_union(&parts).unwrap().unwrap();
        assert_eq!((differing(&union), soft), (0, 0));
        assert_eq!(read_union(&parts[..0]).unwrap(), None);
        let other = save("2.png", image::GrayImage::new(9, 9));
        let error = read_union(&[&parts[0], &other]).unwrap_err().to_string();
        assert!(error.contains("2.png") && error.contains("9x9"), "{error}");
    }
}
