//! A picture for people: 8-bit RGB.

use crate::error::ReportError;
use crate::file::write_whole;
use blemish_data::{DataError, ImageFault, Pixels, ReadOptions, read_image};
use image::ImageEncoder;
use image::codecs::png::PngEncoder;
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

    /// Reads an image file as it is shown to people: upright and at 8 bits.
    ///
    /// Measured values (float files) outside [0, 1] are stretched from their lowest to their highest, since here they only serve
    /// as the ground of a drawing.
    ///
    /// # Errors
    /// [`ReportError::Image`] if the file cannot be read.
    pub fn read(path: &Path) -> Result<Self, ReportError> {
        let mut options = ReadOptions { minimum_side: 1, ..ReadOptions::default() };
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
            // 257 takes white to white; the half rounds.
            Pixels::U16(values) => {
                values.into_iter().map(|value| ((u32::from(value) + 128) / 257) as u8).collect()
            }
            Pixels::F32(values) => values.into_iter().map(|value| (value * 255.0).round() as u8).collect(),
        };
        Self::new(rgb, (image.height, image.width))
    }

    /// Writes the picture as PNG, whole or not at all.
    ///
    /// # Errors
    /// [`ReportError`] if the folder is missing or not writable.
    pub fn save_png(&self, path: &Path) -> Result<(), ReportError> {
        ReportError::check_size("picture", self.rgb.len(), self.size(), 3)?;
        let refuse = |detail: String| ReportError::Encode { path: path.to_path_buf(), detail };
        let side = |extent: usize| u32::try_from(extent).map_err(|error| refuse(error.to_string()));
        let (width, height) = (side(self.width)?, side(self.height)?);
        write_whole(path, |file| {
            PngEncoder::new(file)
                .write_image(&self.rgb, width, height, image::ExtendedColorType::Rgb8)
                .map_err(|error| refuse(error.to_string()))
        })
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

#[cfg(test)]
mod tests {
    use super::*;

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
