//! Anomaly maps as files for other programs: raw scores in single-channel 32-bit float TIFF.

use crate::error::ReportError;
use crate::file::write_whole;
use std::fs::File;
use std::io::{BufReader, Cursor, Seek, Write};
use std::path::Path;
use tiff::decoder::{Decoder, DecodingResult};
use tiff::encoder::{TiffEncoder, colortype::Gray32Float};
use tiff::{ColorType, TiffError};

/// A map read from a file.
#[derive(Clone, Debug, PartialEq)]
pub struct FloatMap {
    /// H, in pixels.
    pub height: usize,
    /// W, in pixels.
    pub width: usize,
    /// H x W scores, row-major.
    pub values: Vec<f32>,
}

/// Writes `map`, h x w scores, unchanged to the last bit; whole or not at all.
///
/// # Errors
/// [`ReportError::Size`] if the number of scores is not h x w, or the file cannot be written.
pub fn save_float_tiff(path: &Path, map: &[f32], size: (usize, usize)) -> Result<(), ReportError> {
    ReportError::check_size("anomaly map", map.len(), size, 1)?;
    write_whole(path, |file| encode(file, path, map, size))
}

/// The bytes of the file that [`save_float_tiff`] writes.
///
/// # Errors
/// [`ReportError::Size`] if the number of scores is not h x w.
pub fn float_tiff(map: &[f32], size: (usize, usize)) -> Result<Vec<u8>, ReportError> {
    ReportError::check_size("anomaly map", map.len(), size, 1)?;
    let mut bytes = Cursor::new(Vec::new());
    encode(&mut bytes, Path::new("map.tiff"), map, size)?;
    Ok(bytes.into_inner())
}

/// `path` is for messages.
fn encode(
    to: impl Write + Seek,
    path: &Path,
    map: &[f32],
    (height, width): (usize, usize),
) -> Result<(), ReportError> {
    let fail = |detail: String| ReportError::Encode { path: path.to_path_buf(), detail };
    let side = |extent: usize| u32::try_from(extent).map_err(|error| fail(error.to_string()));
    let (width, height) = (side(width)?, side(height)?);
    TiffEncoder::new(to)
        .and_then(|mut encoder| encoder.write_image::<Gray32Float>(width, height, map))
        .map_err(|error| fail(error.to_string()))
}

/// Reads a map that [`save_float_tiff`] or another program wrote.
///
/// # Errors
/// [`ReportError`] if the file cannot be read, is damaged, or holds another kind of picture.
pub fn read_float_tiff(path: &Path) -> Result<FloatMap, ReportError> {
    let file = File::open(path).map_err(ReportError::io("read", path))?;
    let fail = |detail: String| ReportError::FloatMap { path: path.to_path_buf(), detail };
    let damaged = |error: TiffError| fail(error.to_string());
    let mut decoder = Decoder::new(BufReader::new(file)).map_err(damaged)?;
    match decoder.colortype().map_err(damaged)? {
        ColorType::Gray(32) => {}
        other => return Err(fail(format!("its pixels are {other:?}"))),
    }
    let (width, height) = decoder.dimensions().map_err(damaged)?;
    match decoder.read_image().map_err(damaged)? {
        DecodingResult::F32(values) => {
            let size @ (height, width) = (height as usize, width as usize);
            ReportError::check_size("anomaly map", values.len(), size, 1)?;
            Ok(FloatMap { height, width, values })
        }
        _ => Err(fail("its pixels are whole numbers".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_round_trip_to_the_last_bit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("map.tiff");
        let values: Vec<f32> =
            (0..35).map(|i| (i as f32 * 0.37).exp() - 2.5).chain([f32::MIN_POSITIVE]).collect();
        save_float_tiff(&path, &values, (4, 9)).unwrap();
        assert_eq!(float_tiff(&values, (4, 9)).unwrap(), std::fs::read(&path).unwrap());
        assert_eq!(read_float_tiff(&path).unwrap(), FloatMap { height: 4, width: 9, values });
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_file_begins_as_tiff_of_32_bit_float() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("map.tiff");
        save_float_tiff(&path, &[1.5; 6], (2, 3)).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert!(bytes.starts_with(b"II*\0") || bytes.starts_with(b"MM\0*"));
        assert!(bytes.windows(4).any(|window| window == 1.5f32.to_ne_bytes()));
    }

    #[test]
    fn other_pictures_and_damaged_files_are_errors_that_name_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("map.tiff");
        assert!(save_float_tiff(&path, &[0.0; 5], (2, 3)).unwrap_err().to_string().contains("needs 6"));
        assert!(!path.exists());
        let fails = || read_float_tiff(&path).unwrap_err().to_string();
        assert!(fails().contains("map.tiff"));
        std::fs::write(&path, b"not a picture").unwrap();
        assert!(fails().contains("32-bit float"));
        save_float_tiff(&path, &[0.5; 400], (20, 20)).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        assert!(fails().contains("map.tiff"));
        let grey = image::GrayImage::new(4, 4);
        grey.save(&path).unwrap();
        assert!(fails().contains("Gray(8)"));
    }
}
