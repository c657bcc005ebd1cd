//! Pictures of the history as files: the original bytes, the map, the thumbnail.
//!
//! They lie in folders by day, named after the image's id, so that other programs find them without the database. A thumbnail is made when
//! it is first asked for: decoding an image a second time would cost the line more than most thumbnails are ever worth.

use super::clock;
use super::store::images::{Row, milliseconds_of};
use crate::fault::Fault;
use blemish::data::{ReadOptions, decode_image, files};
use blemish::map::AnomalyMap;
use blemish_report::{Picture, colormap};
use flate2::Compression;
use flate2::write::ZlibEncoder;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The longer side of a thumbnail.
const THUMBNAIL: u32 = 256;

/// Bytes of a picture that is read back, at most.
const LARGEST: u64 = 1 << 31;

/// The folder of pictures.
#[derive(Clone, Debug)]
pub struct Pictures {
    root: PathBuf,
}

impl Pictures {
    /// Pictures in a folder, which is made when it is needed.
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Writes the original and the map of an image; their names and their bytes together.
    ///
    /// # Errors
    /// `io` if the disk is full or the folder cannot be written; nothing of the image stays then.
    pub fn write(
        &self,
        id: &str,
        original: &[u8],
        map: &AnomalyMap,
        colours: (f32, f32),
    ) -> Result<(Option<String>, Option<String>, u64), Fault> {
        let day = clock::day_folder(clock::from_milliseconds(milliseconds_of(id).unwrap_or(0)));
        let folder = self.root.join(&day);
        let fail = |error: std::io::Error| {
            Fault::new(
                "io",
                format!("cannot write pictures to `{}`: {error}; make room there", folder.display()),
            )
        };
        std::fs::create_dir_all(&folder).map_err(fail)?;
        let mut written: Vec<PathBuf> = Vec::new();
        let mut put = |name: &str, bytes: &[u8]| -> Result<(), Fault> {
            let path = folder.join(name);
            written.push(path.clone());
            // Not renamed into place: a name without a row is found and removed, and so is what a power cut left of it.
            std::fs::write(&path, bytes).map_err(|error| {
                for path in &written {
                    let _ = std::fs::remove_file(path);
                }
                fail(error)
            })
        };
        let mut bytes = 0;
        let mut file = None;
        if !original.is_empty() {
            let name = format!("{id}.{}", Format::of(original).extension());
            put(&name, original)?;
            bytes += original.len() as u64;
            file = Some(format!("{day}/{name}"));
        }
        let mut drawn = None;
        if !map.values.is_empty() {
            let png = map_png(map, colours);
            let name = format!("{id}.map.png");
            put(&name, &png)?;
            bytes += png.len() as u64;
            drawn = Some(format!("{day}/{name}"));
        }
        Ok((file, drawn, bytes))
    }

    /// A picture by its name in a row; `None` if it is not there.
    pub fn read(&self, name: &str) -> Option<Vec<u8>> {
        // Names come from the database, which other programs can write too.
        let is_below =
            Path::new(name).components().all(|part| matches!(part, std::path::Component::Normal(_)));
        if is_below { files::read(&self.root.join(name), LARGEST).ok() } else { None }
    }

    /// The thumbnail of an image, and the bytes that it has added to the disk just now.
    ///
    /// # Errors
    /// `not_found` if the original is gone or cannot be shown.
    pub fn thumbnail(&self, row: &Row) -> Result<(Vec<u8>, u64), Fault> {
        let name = row.file.as_ref().ok_or_else(gone)?;
        let thumbnail = thumbnail_name(name);
        if let Some(bytes) = self.read(&thumbnail) {
            return Ok((bytes, 0));
        }
        let original = self.read(name).ok_or_else(gone)?;
        let bytes = thumbnail_of(&original).ok_or_else(damaged)?;
        let added = match files::write(&self.root.join(&thumbnail), &bytes) {
            Ok(()) => bytes.len() as u64,
            // It is shown all the same, and made again the next time.
            Err(_) => 0,
        };
        Ok((bytes, added))
    }

    /// Removes every picture of an image.
    pub fn remove(&self, file: Option<&str>, map: Option<&str>) {
        let names = [file.map(str::to_owned), file.map(thumbnail_name), map.map(str::to_owned)];
        for name in names.into_iter().flatten() {
            // What is gone already is what was wanted.
            let _ = std::fs::remove_file(self.root.join(name));
        }
    }
}

/// Retention has taken a picture.
pub fn gone() -> Fault {
    Fault::new(
        "not_found",
        "this picture is no longer kept; rows outlive pictures, see the settings of retention",
    )
}

/// A picture is there and cannot be decoded.
fn damaged() -> Fault {
    Fault::new("not_found", "this picture cannot be shown; its file is damaged")
}

/// `2026/11/28/ID.jpg` -> `2026/11/28/ID.thumb.jpg`.
fn thumbnail_name(original: &str) -> String {
    let stem = original.rsplit_once('.').map_or(original, |(stem, _)| stem);
    format!("{stem}.thumb.jpg")
}

/// A small JPEG of an encoded image, upright; `None` if it cannot be decoded.
pub fn thumbnail_of(original: &[u8]) -> Option<Vec<u8>> {
    let picture = shown(original)?;
    let (height, width) = (picture.height as u32, picture.width as u32);
    let pixels = image::RgbImage::from_raw(width, height, picture.rgb)?;
    let scale = f64::from(THUMBNAIL) / f64::from(width.max(height).max(1));
    let side = |length: u32| ((f64::from(length) * scale.min(1.0)).round() as u32).max(1);
    let small = image::imageops::thumbnail(&pixels, side(width), side(height));
    let mut bytes = Vec::new();
    image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 80).encode_image(&small).ok()?;
    Some(bytes)
}

/// An encoded image as people see it: upright, 8 bits.
pub fn shown(original: &[u8]) -> Option<Picture> {
    let options = ReadOptions { minimum_side: 1, ..ReadOptions::default() };
    Picture::from_image(&decode_image(original, &options).ok()?).ok()
}

/// The bytes of an image as browsers show it, and their type: as they are where they can, else as PNG.
///
/// # Errors
/// `not_found` if it cannot be decoded.
pub fn for_browsers(original: Vec<u8>) -> Result<(Vec<u8>, &'static str), Fault> {
    match Format::of(&original).content_type() {
        Some(content_type) => Ok((original, content_type)),
        None => {
            let png = shown(&original).and_then(|picture| picture.to_png().ok()).ok_or_else(damaged)?;
            Ok((png, "image/png"))
        }
    }
}

/// What the first bytes of a file say it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// JPEG.
    Jpeg,
    /// PNG.
    Png,
    /// Windows bitmap.
    Bmp,
    /// WebP.
    WebP,
    /// GIF.
    Gif,
    /// TIFF.
    Tiff,
    /// Portable any map.
    Pnm,
    /// A zip archive.
    Zip,
    /// Something else.
    Unknown,
}

impl Format {
    /// By the first bytes.
    pub fn of(bytes: &[u8]) -> Self {
        match bytes {
            [0xff, 0xd8, 0xff, ..] => Self::Jpeg,
            [0x89, b'P', b'N', b'G', ..] => Self::Png,
            [b'B', b'M', ..] => Self::Bmp,
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Self::WebP,
            [b'G', b'I', b'F', b'8', ..] => Self::Gif,
            [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => Self::Tiff,
            [b'P', b'1'..=b'7', b'\n' | b' ' | b'\r' | b'\t', ..] => Self::Pnm,
            [b'P', b'K', 3 | 5, 4 | 6, ..] => Self::Zip,
            _ => Self::Unknown,
        }
    }

    /// Of a file's name.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Jpeg => "jpg",
            Self::Png => "png",
            Self::Bmp => "bmp",
            Self::WebP => "webp",
            Self::Gif => "gif",
            Self::Tiff => "tif",
            Self::Pnm => "ppm",
            Self::Zip => "zip",
            Self::Unknown => "bin",
        }
    }

    /// Of an answer; `None` for what browsers do not show.
    pub fn content_type(self) -> Option<&'static str> {
        match self {
            Self::Jpeg => Some("image/jpeg"),
            Self::Png => Some("image/png"),
            Self::Bmp => Some("image/bmp"),
            Self::WebP => Some("image/webp"),
            Self::Gif => Some("image/gif"),
            Self::Tiff | Self::Pnm | Self::Zip | Self::Unknown => None,
        }
    }
}

/// A map as an 8-bit PNG: the index is the level between the coldest and the hottest colour, the palette has the colours.
///
/// With a palette one small file serves both who looks and who computes.
pub fn map_png(map: &AnomalyMap, (low, high): (f32, f32)) -> Vec<u8> {
    let span = if high > low { high - low } else { 1.0 };
    // Saturates, and takes what is no number for the coldest.
    let level = |value: &f32| ((value - low) / span * 255.0).round() as u8;
    let mut rows = Vec::with_capacity((map.width + 1) * map.height);
    for row in map.values.chunks_exact(map.width.max(1)) {
        // Maps are smooth: the difference to the left compresses best of the filters that cost nothing.
        rows.push(1);
        let mut left = 0u8;
        for value in row {
            let value = level(value);
            rows.push(value.wrapping_sub(left));
            left = value;
        }
    }
    let mut compressed = ZlibEncoder::new(Vec::new(), Compression::fast());
    // Writing to memory does not fail.
    let _ = compressed.write_all(&rows);
    let compressed = compressed.finish().unwrap_or_default();
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut head = Vec::new();
    head.extend((map.width as u32).to_be_bytes());
    head.extend((map.height as u32).to_be_bytes());
    // 8 bits of palette, deflate, adaptive filters, not interlaced.
    head.extend([8, 3, 0, 0, 0]);
    let palette: Vec<u8> = (0..=255u8).flat_map(|level| colormap(f32::from(level) / 255.0)).collect();
    chunk(&mut png, b"IHDR", &head);
    chunk(&mut png, b"PLTE", &palette);
    chunk(&mut png, b"IDAT", &compressed);
    chunk(&mut png, b"IEND", &[]);
    png
}

fn chunk(png: &mut Vec<u8>, name: &[u8; 4], data: &[u8]) {
    png.extend((data.len() as u32).to_be_bytes());
    png.extend(name);
    png.extend(data);
    let mut crc = flate2::Crc::new();
    crc.update(name);
    crc.update(data);
    png.extend(crc.sum().to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_is_a_picture_of_levels_in_the_colours_of_reports() {
        let map = AnomalyMap { height: 2, width: 3, values: vec![-9.0, 0.0, 1.0, 2.0, 99.0, f32::NAN] };
        let png = map_png(&map, (0.0, 2.0));
        let shown = image::load_from_memory_with_format(&png, image::ImageFormat::Png).unwrap().into_rgb8();
        assert_eq!(shown.dimensions(), (3, 2));
        let colours: Vec<[u8; 3]> = shown.pixels().map(|pixel| pixel.0).collect();
        let wanted = [0.0, 0.0, 128.0 / 255.0, 1.0, 1.0, 0.0].map(colormap);
        assert_eq!(colours, wanted);
    }

    #[test]
    fn pictures_lie_in_the_folder_of_their_day_and_go_together() {
        let folder = tempfile::tempdir().unwrap();
        let pictures = Pictures::new(folder.path().join("images"));
        let mut jpeg = Vec::new();
        let large = image::RgbImage::from_fn(600, 300, |x, y| image::Rgb([x as u8, y as u8, 9]));
        image::codecs::jpeg::JpegEncoder::new(&mut jpeg).encode_image(&large).unwrap();
        let map = AnomalyMap { height: 2, width: 2, values: vec![0.5; 4] };
        let id = format!("{:011x}123456789", 1_795_824_000_000u64);
        let (file, drawn, bytes) = pictures.write(&id, &jpeg, &map, (0.0, 1.0)).unwrap();
        assert_eq!(file, Some(format!("2026/11/28/{id}.jpg")));
        assert!(bytes > jpeg.len() as u64);
        assert_eq!(pictures.read(file.as_ref().unwrap()).unwrap(), jpeg);
        let row = Row {
            id,
            request: String::new(),
            time: 0.0,
            source: "http".into(),
            name: String::new(),
            sha256: String::new(),
            size: [300, 600],
            bytes,
            has_original: true,
            has_map: true,
            pinned: false,
            label: None,
            verdict: None,
            file: file.clone(),
            map: drawn.clone(),
            audit: false,
        };
        let (thumbnail, added) = pictures.thumbnail(&row).unwrap();
        assert_eq!(added, thumbnail.len() as u64);
        let small = image::load_from_memory(&thumbnail).unwrap();
        assert_eq!((small.width(), small.height()), (256, 128));
        assert_eq!(pictures.thumbnail(&row).unwrap().1, 0, "it is made once");
        assert_eq!(pictures.read("../images/2026/11/28"), None);
        pictures.remove(file.as_deref(), drawn.as_deref());
        assert_eq!(std::fs::read_dir(folder.path().join("images/2026/11/28")).unwrap().count(), 0);
    }
}
