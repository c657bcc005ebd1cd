//! Clips in one file: films, animated GIFs and multi-page TIFFs, unpacked to folders of frames that everything else reads.
//!
//! Films go through a system's `ffmpeg`, whose frames come through a pipe; GIF and TIFF are read here. Frames are PNG files, numbered from 1.

mod ffmpeg;
mod stacks;
#[cfg(test)]
mod tests;

use crate::error::DataError;
use crate::files::Scratch;
use crate::names::text_of;
use crate::reader::{Pixels, RgbImage, extension};
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};
use std::path::{Path, PathBuf};

/// Extensions of films.
const FILMS: [&str; 14] =
    ["mp4", "avi", "mkv", "mov", "webm", "m4v", "mpg", "mpeg", "wmv", "flv", "mts", "m2ts", "ogv", "3gp"];

/// Whether a file is a film by its name.
pub fn is_film(path: &Path) -> bool {
    FILMS.contains(&extension(path).as_str())
}

/// Whether a file holds a clip: a film, or a GIF or TIFF of several pictures.
pub fn is_clip(path: &Path) -> bool {
    path.is_file()
        && match extension(path).as_str() {
            "gif" | "tif" | "tiff" => stacks::has_several(path),
            _ => is_film(path),
        }
}

/// Folders of frames that stand in for files with clips. They lie in a folder for temporary files and go with this.
#[derive(Debug)]
pub struct Unpacked {
    scratch: Scratch,
    /// Folders of frames and the files that they are of, then the folders that hold them and those that they stand in for.
    clips: Vec<(PathBuf, PathBuf)>,
    /// The program that reads films.
    ffmpeg: PathBuf,
}

impl PartialEq for Unpacked {
    /// Whether both stand in for the same files.
    fn eq(&self, other: &Self) -> bool {
        self.clips == other.clips
    }
}

impl Eq for Unpacked {}

impl Unpacked {
    /// Nothing yet; frames will lie below `folder` (the system's own for temporary files where `None`).
    ///
    /// # Errors
    /// [`DataError::Io`] if it cannot be written.
    pub fn new(folder: Option<&Path>) -> Result<Self, DataError> {
        let folder = folder.map_or_else(std::env::temp_dir, Path::to_owned);
        let scratch = Scratch::new(&folder).map_err(DataError::io("write into", &folder))?;
        Ok(Self { scratch, clips: Vec::new(), ffmpeg: PathBuf::from("ffmpeg") })
    }

    /// What to read in place of a path: of a clip the folder of its frames, of a folder that holds clips a copy of it with their folders in
    /// their places (all else is linked), of anything else the path itself.
    ///
    /// # Errors
    /// [`DataError`]: a film without a program that reads it, a damaged file, no room.
    pub fn stand_in(&mut self, path: &Path) -> Result<PathBuf, DataError> {
        if is_clip(path) {
            let place = self.place(path);
            self.unpack(path, &place)?;
            return Ok(place);
        }
        if !path.is_dir() || !holds_clips(path, 4) {
            return Ok(path.to_path_buf());
        }
        let place = self.place(path);
        self.copy(path, &place)?;
        Ok(place)
    }

    /// A path as messages show it: of a frame here the file with the clip and the frame in it.
    pub fn shown(&self, path: &Path) -> PathBuf {
        let own = |(folder, clip): &(PathBuf, PathBuf)| Some(clip.join(path.strip_prefix(folder).ok()?));
        self.clips.iter().find_map(own).unwrap_or_else(|| path.to_path_buf())
    }

    /// A free place for what stands in for a path, of the same name.
    fn place(&self, path: &Path) -> PathBuf {
        let name = path.file_stem().unwrap_or(path.as_os_str());
        let name = if path.is_dir() { path.file_name().unwrap_or(name) } else { name };
        let name = if name.is_empty() || path.ends_with("..") { "clips".into() } else { name.to_owned() };
        let number = std::fs::read_dir(self.scratch.path()).map_or(0, Iterator::count);
        self.scratch.path().join(number.to_string()).join(name)
    }

    fn copy(&mut self, folder: &Path, place: &Path) -> Result<(), DataError> {
        std::fs::create_dir_all(place).map_err(DataError::io("create", place))?;
        let entries = std::fs::read_dir(folder).map_err(DataError::io("list", folder))?;
        for entry in entries {
            let path = entry.map_err(DataError::io("list", folder))?.path();
            let name = path.file_name().unwrap_or_default();
            if is_clip(&path) {
                let stem = path.file_stem().unwrap_or(name).to_owned();
                self.unpack(&path, &place.join(stem))?;
            } else if path.is_dir() && holds_clips(&path, 3) {
                self.copy(&path, &place.join(name))?;
            } else {
                let real = std::fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
                link(&real, &place.join(name)).map_err(DataError::io("link", &path))?;
            }
        }
        self.clips.push((place.to_path_buf(), folder.to_path_buf()));
        Ok(())
    }

    fn unpack(&mut self, clip: &Path, place: &Path) -> Result<(), DataError> {
        if place.exists() {
            let reason = "beside it lies a folder or another clip of the same name; rename one of them";
            return Err(DataError::dataset(clip, reason));
        }
        std::fs::create_dir_all(place).map_err(DataError::io("create", place))?;
        let mut count = 0;
        let mut each = |frame: &RgbImage| {
            count += 1;
            save(&place.join(format!("{count:06}.png")), frame)
        };
        match extension(clip).as_str() {
            "gif" => stacks::gif(clip, &mut each)?,
            "tif" | "tiff" => stacks::tiff(clip, &mut each)?,
            _ => ffmpeg::film(&self.ffmpeg, clip, &mut each)?,
        }
        if count == 0 {
            return Err(DataError::dataset(clip, "it has no frames"));
        }
        self.clips.push((place.to_path_buf(), clip.to_path_buf()));
        Ok(())
    }
}

/// What takes the frames of a clip.
type EachFrame<'a> = dyn FnMut(&RgbImage) -> Result<(), DataError> + 'a;

#[cfg(unix)]
fn link(real: &Path, place: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(real, place)
}

#[cfg(windows)]
fn link(real: &Path, place: &Path) -> std::io::Result<()> {
    if real.is_dir() {
        std::os::windows::fs::symlink_dir(real, place)
    } else {
        std::fs::copy(real, place).map(drop)
    }
}

/// Whether a folder holds a clip, itself or so many folders deeper.
fn holds_clips(folder: &Path, depth: usize) -> bool {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.iter().any(|path| is_film(path) && path.is_file())
        || paths.iter().any(|path| is_clip(path))
        || (depth > 0 && paths.iter().any(|path| path.is_dir() && holds_clips(path, depth - 1)))
}

/// A frame as PNG, quickly rather than small.
fn save(path: &Path, frame: &RgbImage) -> Result<(), DataError> {
    let (bytes, kind) = match &frame.pixels {
        Pixels::U8(bytes) => (bytes.clone(), ExtendedColorType::Rgb8),
        Pixels::U16(values) => {
            (values.iter().flat_map(|value| value.to_ne_bytes()).collect(), ExtendedColorType::Rgb16)
        }
        Pixels::F32(_) => {
            let reason = "its frames hold measured values; save them as images of 8 or 16 bits in a folder";
            return Err(DataError::dataset(path, reason));
        }
    };
    let mut encoded = Vec::with_capacity(bytes.len());
    PngEncoder::new_with_quality(&mut encoded, CompressionType::Fast, FilterType::Adaptive)
        .write_image(&bytes, frame.width as u32, frame.height as u32, kind)
        .map_err(|error| DataError::dataset(path, format!("it cannot be written as PNG: {error}")))?;
    std::fs::write(path, encoded).map_err(DataError::io("write", path))
}

/// What messages call a clip's frame.
fn frame_name(clip: &Path, number: usize) -> PathBuf {
    PathBuf::from(format!("{}/{number:06}", text_of(clip)))
}
