//! A picture for people: 8-bit RGB.

use crate::error::ReportError;
use crate::file::write_whole;
use blemish_data::{DataError, ImageFault, Pixels, ReadOptions, RgbImage, read_image};
use image::ImageEncoder;
use image::codecs::png::PngEncoder;
use std::io::Write;
use std::path::Path;

/// An 8-bit RGB picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// H, in pixels.
    pub height: usize,
    /// W, in pixels.
    pub width: usize,
    /// H x W x 3 bytes, row-major, red first.
    pub rgb: Vec<u8>,
}

impl Picture {
    /// A picture from its bytes, H x W x 3.
    ///
    /// # Errors
    /// [`ReportError::Size`] if the number of bytes is another.
    pub fn new(rgb: Vec<u8>, (height, width): (usize, usize)) -> Result<Self, ReportError> {
        ReportError::check_size("picture", rgb.len(), (height, width), 3)?;
        Ok(Self { height, width, rgb })
    }

    /// A picture from rows that someone else holds: each row is W x 3 bytes, red first, and begins `stride` bytes after the one before.
    /// This is the one copy that a drawing needs.
    ///
    /// # Errors
    /// [`ReportError::Size`] if a side is 0, the rows overlap or the bytes end too soon.
    pub fn from_rows(
        rgb: &[u8],
        (height, width): (usize, usize),
        stride: usize,
    ) -> Result<Self, ReportError> {
        let line = width.checked_mul(3).filter(|&line| line > 0 && line <= stride);
        let last = height.checked_sub(1).and_then(|rows| rows.checked_mul(stride));
        let ends = line.zip(last).and_then(|(line, last)| last.checked_add(line));
        let (Some(line), true) = (line, ends.is_some_and(|ends| ends <= rgb.len())) else {
            return Err(ReportError::size("picture", rgb.len(), (height, width), 3));
        };
        let rows = rgb.chunks(stride).take(height);
        Ok(Self { height, width, rgb: rows.flat_map(|row| &row[..line]).copied().collect() })
    }

    /// A picture of an image in memory, at 8 bits.
    ///
    /// Measured values outside [0, 1] are stretched from their lowest to their highest, as [`Self::read`] does.
    ///
    /// # Errors
    /// [`ReportError::Size`] if the image has another number of samples than its size says.
    pub fn from_image(image: &RgbImage) -> Result<Self, ReportError> {
        let rgb = match &image.pixels {
            Pixels::U8(values) => values.clone(),
            Pixels::U16(values) => values.iter().copied().map(from_16_bits).collect(),
            Pixels::F32(values) => from_measured(values),
        };
        Self::new(rgb, (image.height, image.width))
    }

    /// Reads an image file as it is shown to people: upright and at 8 bits.
    ///
    /// Measured values (float files) outside [0, 1] are stretched from their lowest to their highest, since here they only serve
    /// as the ground of a drawing.
    ///
    /// # Errors
    /// [`ReportError::Image`] if the file cannot be read.
    pub fn read(path: &Path) -> Result<Self, ReportError> {
        Self::read_with(path, &ReadOptions::default())
    }

    /// Reads an image file as [`Self::read`] does, with the values of `options` for black and white if it has any.
    ///
    /// # Errors
    /// [`ReportError::Image`] if the file cannot be read.
    pub fn read_with(path: &Path, options: &ReadOptions) -> Result<Self, ReportError> {
        let mut options = ReadOptions { minimum_side: 1, ..options.clone() };
        let image = match read_image(path, &options) {
            Err(DataError::Image { fault: ImageFault::OutOfRange { lowest, highest }, .. }) => {
                // A constant image has no range of its own.
                options.value_range = Some((lowest, if highest > lowest { highest } else { lowest + 1.0 }));
                read_image(path, &options)?
            }
            read => read?,
        };
        let rgb = match image.pixels {
            Pixels::U8(values) => values,
            Pixels::U16(values) => values.into_iter().map(from_16_bits).collect(),
            Pixels::F32(values) => values.into_iter().map(from_share).collect(),
        };
        Self::new(rgb, (image.height, image.width))
    }

    /// Writes the picture as PNG, whole or not at all.
    ///
    /// # Errors
    /// [`ReportError`] if the folder is missing or not writable.
    pub fn save_png(&self, path: &Path) -> Result<(), ReportError> {
        write_whole(path, |file| self.write_png(file, path))
    }

    /// The picture as the bytes of a PNG file.
    ///
    /// # Errors
    /// [`ReportError`] for a picture that PNG has no room for.
    pub fn to_png(&self) -> Result<Vec<u8>, ReportError> {
        let mut bytes = Vec::new();
        self.write_png(&mut bytes, Path::new("picture.png"))?;
        Ok(bytes)
    }

    /// `path` is for messages.
    fn write_png(&self, to: impl Write, path: &Path) -> Result<(), ReportError> {
        ReportError::check_size("picture", self.rgb.len(), self.size(), 3)?;
        let fail = |detail: String| ReportError::Encode { path: path.to_path_buf(), detail };
        let side = |extent: usize| u32::try_from(extent).map_err(|error| fail(error.to_string()));
        PngEncoder::new(to)
            .write_image(&self.rgb, side(self.width)?, side(self.height)?, image::ExtendedColorType::Rgb8)
            .map_err(|error| fail(error.to_string()))
    }

    /// The given rows and columns, which must lie inside.
    pub(crate) fn crop(&self, rows: std::ops::Range<usize>, columns: std::ops::Range<usize>) -> Self {
        let (height, width) = (rows.len(), columns.len());
        let line =
            |y: usize| &self.rgb[(y * self.width + columns.start) * 3..(y * self.width + columns.end) * 3];
        Self { height, width, rgb: rows.flat_map(line).copied().collect() }
    }

    /// Height and width.
    pub fn size(&self) -> (usize, usize) {
        (self.height, self.width)
    }

    /// The bytes of the pixel at row `y`, column `x`; both must lie inside.
    pub(crate) fn pixel_mut(&mut self, y: usize, x: usize) -> &mut [u8] {
        let start = (y * self.width + x) * 3;
        &mut self.rgb[start..start + 3]
    }
}

/// 257 takes white to white; the half rounds.
fn from_16_bits(value: u16) -> u8 {
    ((u32::from(value) + 128) / 257) as u8
}

/// A share of white.
fn from_share(value: f32) -> u8 {
    (value * 255.0).round() as u8
}

/// Shares of white, or any measured values brought to the range of shares.
fn from_measured(values: &[f32]) -> Vec<u8> {
    let lowest = values.iter().copied().fold(f32::INFINITY, f32::min);
    let highest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if lowest >= 0.0 && highest <= 1.0 {
        return values.iter().copied().map(from_share).collect();
    }
    let span = if highest > lowest { highest - lowest } else { 1.0 };
    values.iter().map(|value| from_share((value - lowest) / span)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_with_gaps_between_them_make_the_picture_without_the_gaps() {
        // Two rows of two pixels, each followed by two bytes of something else, the last by nothing.
        let bytes = [1, 2, 3, 4, 5, 6, 99, 99, 7, 8, 9, 10, 11, 12];
        let picture = Picture::from_rows(&bytes, (2, 2), 8).unwrap();
        assert_eq!(picture, Picture::new((1..=12).collect(), (2, 2)).unwrap());
        for (bytes, size, stride) in [
            (&bytes[..13], (2, 2), 8),
            (&bytes[..], (2, 2), 5),
            (&bytes[..], (0, 2), 8),
            (&bytes[..], (2, 0), 8),
            (&bytes[..], (2, usize::MAX), 8),
            (&bytes[..], (usize::MAX, 2), 8),
        ] {
            assert!(Picture::from_rows(bytes, size, stride).is_err(), "{size:?} {stride}");
        }
    }

    #[test]
    fn images_in_memory_look_as_their_files_do() {
        let of = |pixels| Picture::from_image(&RgbImage { height: 1, width: 1, pixels }).map(|it| it.rgb);
        assert_eq!(of(Pixels::U8(vec![0, 100, 255])).unwrap(), [0, 100, 255]);
        assert_eq!(of(Pixels::U16(vec![0, 128, 65_535])).unwrap(), [0, 0, 255]);
        assert_eq!(of(Pixels::U16(vec![129, 257, 65_000])).unwrap(), [1, 1, 253]);
        assert_eq!(of(Pixels::F32(vec![0.0, 0.5, 1.0])).unwrap(), [0, 128, 255]);
        // From -1 to 3: 1 lies in the middle.
        assert_eq!(of(Pixels::F32(vec![-1.0, 1.0, 3.0])).unwrap(), [0, 128, 255]);
        assert_eq!(of(Pixels::F32(vec![7.0; 3])).unwrap(), [0, 0, 0]);
        assert!(of(Pixels::U8(vec![0; 4])).is_err());
    }

    #[test]
    fn png_in_memory_is_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        let picture = Picture::new((0..60).collect(), (4, 5)).unwrap();
        picture.save_png(&path).unwrap();
        assert_eq!(picture.to_png().unwrap(), std::fs::read(&path).unwrap());
    }

    #[test]
    fn png_round_trips_and_leaves_no_temporary_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        let picture = Picture::new((0..60).collect(), (4, 5)).unwrap();
        picture.save_png(&path).unwrap();
        picture.save_png(&path).unwrap();
        assert_eq!(Picture::read(&path).unwrap(), picture);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn trouble_names_the_file_or_the_size() {
        let error = Picture::new(vec![0; 59], (4, 5)).unwrap_err().to_string();
        assert!(error.contains("59") && error.contains("4x5") && error.contains("60"), "{error}");
        let picture = Picture::new(vec![0; 60], (4, 5)).unwrap();
        let error = picture.save_png(Path::new("no/such/folder/a.png")).unwrap_err().to_string();
        assert!(error.contains("a.png"), "{error}");
        let error = Picture::read(Path::new("missing.png")).unwrap_err().to_string();
        assert!(error.contains("missing.png"), "{error}");
    }
}
