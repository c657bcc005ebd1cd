//! A whole set on disk, in MVTec AD layout.

use super::error::SynthError;
use super::generator::Generator;
use super::look::{Defect, Look};
use crate::files::{self, UNFINISHED};
use crate::mask::Mask;
use crate::progress::Answer;
use crate::reader::{Pixels, RgbImage};
use crate::unfinished::{note_new_folder, note_unfinished};
use image::ImageEncoder;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// What to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SynthOptions {
    /// What the things look like.
    pub look: Look,
    /// Fixes every image.
    pub seed: u64,
    /// Good training images.
    pub train: usize,
    /// Good test images.
    pub test_good: usize,
    /// Test images of every kind of defect.
    pub test_per_defect: usize,
    /// Height of the images in pixels, at least 32.
    pub height: usize,
    /// Width of the images in pixels, at least 32.
    pub width: usize,
    /// Replace an earlier synthetic set in the same folder.
    pub overwrite: bool,
}

impl SynthOptions {
    /// 40 training images, 12 good test images and 6 of each defect, of 256x256 pixels, seed 0.
    pub fn new(look: Look) -> Self {
        Self {
            look,
            seed: 0,
            train: 40,
            test_good: 12,
            test_per_defect: 6,
            height: 256,
            width: 256,
            overwrite: false,
        }
    }
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SynthReport {
    /// The folder.
    pub folder: PathBuf,
    /// Good training images.
    pub train: usize,
    /// Good test images.
    pub test_good: usize,
    /// The kinds of defects and how many test images each has.
    pub defects: Vec<(Defect, usize)>,
}

/// The file that marks a synthetic set, so that a user's own data is never overwritten.
const MARKER: &str = "synthetic.json";
/// The folders that a set consists of.
const FOLDERS: [&str; 3] = ["train", "test", "ground_truth"];

/// The marker's content: what made the set, and enough to know its files again.
#[derive(Serialize, Deserialize)]
struct Marker {
    made_by: String,
    look: String,
    seed: u64,
    train: usize,
    test_good: usize,
    test_per_defect: usize,
    height: usize,
    width: usize,
}

/// One image to make, and its mask's path if it is defective.
struct Task {
    image: PathBuf,
    defect: Option<(Defect, PathBuf)>,
    number: u64,
}

/// Writes `train/good`, `test/good`, `test/<defect>` and `ground_truth/<defect>/NAME_mask.png` (0 and 255) under `out`.
///
/// The same options give the same bytes, on any number of threads. `progress(done, total)` is called after every image, from
/// several threads, and may stop the work. The set appears when all of it is made: until then it lies in a hidden folder inside `out`,
/// and an earlier set stays.
///
/// # Errors
/// [`SynthError`] if `out` holds anything (unless [`SynthOptions::overwrite`] is set and all of it is an earlier synthetic set), a
/// size is out of range, or a file cannot be written.
pub fn write_synthetic_set<A: Answer>(
    out: &Path,
    options: &SynthOptions,
    progress: &(dyn Fn(u64, u64) -> A + Sync),
) -> Result<SynthReport, SynthError> {
    let generator = Generator::new(options.look, options.seed, (options.height, options.width))?;
    let is_new = !out.exists();
    check_room(out, options.overwrite)?;
    if is_new {
        note_new_folder(out);
    }
    let made = make(&generator, out, options, progress);
    if made.is_err() && is_new {
        // What is not empty stays.
        let _ = std::fs::remove_dir(out);
    }
    made?;
    Ok(SynthReport {
        folder: out.to_path_buf(),
        train: options.train,
        test_good: options.test_good,
        defects: options.look.defects().iter().map(|&defect| (defect, options.test_per_defect)).collect(),
    })
}

/// Makes the set beside an earlier one and then puts it in its place.
fn make<A: Answer>(
    generator: &Generator,
    out: &Path,
    options: &SynthOptions,
    progress: &(dyn Fn(u64, u64) -> A + Sync),
) -> Result<(), SynthError> {
    std::fs::create_dir_all(out).map_err(SynthError::io("create", out))?;
    let staging = staging_in(out)?;
    let marker = Marker::of(options);
    let tasks = marker.tasks(options.look);
    let folders: HashSet<&Path> =
        tasks.iter().flat_map(Task::files).filter_map(|file| file.parent()).collect();
    for folder in folders {
        let folder = staging.path().join(folder);
        std::fs::create_dir_all(&folder).map_err(SynthError::io("create", &folder))?;
    }
    let path = staging.path().join(MARKER);
    let text = serde_json::to_string_pretty(&marker)
        .map_err(|error| SynthError::io("write", &path)(error.into()))?;
    files::write(&path, format!("{text}\n").as_bytes()).map_err(SynthError::io("write", &path))?;
    let (done, total) = (AtomicU64::new(0), tasks.len() as u64);
    tasks.par_iter().try_for_each(|task| {
        task.run(generator, staging.path())?;
        match progress(done.fetch_add(1, Ordering::Relaxed) + 1, total).is_stop() {
            true => Err(SynthError::Interrupted),
            false => Ok(()),
        }
    })?;
    remove_old(out)?;
    // The marker first, so that whatever comes in between, the set is known for what it is.
    for name in [MARKER].into_iter().chain(FOLDERS) {
        let (from, to) = (staging.path().join(name), out.join(name));
        if from.exists() {
            std::fs::rename(&from, &to).map_err(SynthError::io("write", &to))?;
        }
    }
    Ok(())
}

/// A hidden folder inside `out` that vanishes with all that is still in it. What killed runs have left there goes now.
fn staging_in(out: &Path) -> Result<tempfile::TempDir, SynthError> {
    for entry in std::fs::read_dir(out).map_err(SynthError::io("open", out))? {
        let entry = entry.map_err(SynthError::io("list", out))?;
        if is_unfinished(&entry.path()) {
            let path = entry.path();
            let removed =
                if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
            removed.map_err(SynthError::io("remove", &path))?;
        }
    }
    let mut builder = tempfile::Builder::new();
    // Temporary folders are private by default; the set gets the permissions of the user's umask.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
    let staging = builder.prefix(UNFINISHED).tempdir_in(out).map_err(SynthError::io("write into", out))?;
    note_unfinished(staging.path());
    Ok(staging)
}

fn is_unfinished(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(UNFINISHED))
}

impl Marker {
    fn of(options: &SynthOptions) -> Self {
        Self {
            made_by: "blemish data synth".into(),
            look: options.look.name().into(),
            seed: options.seed,
            train: options.train,
            test_good: options.test_good,
            test_per_defect: options.test_per_defect,
            height: options.height,
            width: options.width,
        }
    }

    /// All images of the set, with paths relative to its folder.
    fn tasks(&self, look: Look) -> Vec<Task> {
        let good = |folder: &'static str, numbers: std::ops::Range<usize>| {
            numbers.enumerate().map(move |(index, number)| Task {
                image: Path::new(folder).join("good").join(format!("{index:03}.png")),
                defect: None,
                number: number as u64,
            })
        };
        let defective = look.defects().iter().flat_map(|&defect| {
            (0..self.test_per_defect).map(move |index| {
                let mask = Path::new("ground_truth").join(defect.name()).join(format!("{index:03}_mask.png"));
                let image = Path::new("test").join(defect.name()).join(format!("{index:03}.png"));
                Task { image, defect: Some((defect, mask)), number: index as u64 }
            })
        });
        // Saturating: a marker is read back from disk and may say anything.
        let train = good("train", 0..self.train);
        train
            .chain(good("test", self.train..self.train.saturating_add(self.test_good)))
            .chain(defective)
            .collect()
    }
}

impl Task {
    fn files(&self) -> impl Iterator<Item = &Path> {
        std::iter::once(self.image.as_path()).chain(self.defect.iter().map(|(_, mask)| mask.as_path()))
    }

    fn run(&self, generator: &Generator, out: &Path) -> Result<(), SynthError> {
        match &self.defect {
            None => write_image(&out.join(&self.image), &generator.good(self.number)),
            Some((defect, mask_path)) => {
                let made = generator.defective(*defect, self.number)?;
                write_mask(&out.join(mask_path), &made.mask)?;
                write_image(&out.join(&self.image), &made.image)
            }
        }
    }
}

/// Makes sure that `out` is absent or empty, or holds an earlier synthetic set and nothing else.
fn check_room(out: &Path, overwrite: bool) -> Result<(), SynthError> {
    let entries = match std::fs::read_dir(out) {
        Ok(entries) => entries.flatten().any(|entry| !is_unfinished(&entry.path())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
        Err(error) => return Err(SynthError::io("open", out)(error)),
    };
    if !entries {
        return Ok(());
    }
    let occupied = |reason: &str| SynthError::Occupied { path: out.to_path_buf(), reason: reason.into() };
    let marker =
        std::fs::read(out.join(MARKER)).ok().and_then(|text| serde_json::from_slice::<Marker>(&text).ok());
    let Some((marker, look)) =
        marker.and_then(|marker| marker.look.parse().ok().map(|look: Look| (marker, look)))
    else {
        return Err(occupied("it is not empty and is not a synthetic set; name a new folder"));
    };
    if !overwrite {
        return Err(occupied("it holds an earlier synthetic set; ask to overwrite it, or name a new folder"));
    }
    let files = files_under(out)?;
    if let Some(foreign) = files.iter().find(|file| !marker.knows(look, file)) {
        let reason = format!(
            "it holds `{}`, which is not of the synthetic set; move it away first",
            foreign.display()
        );
        return Err(occupied(&reason));
    }
    Ok(())
}

/// Removes the earlier synthetic set that [`check_room`] has found.
fn remove_old(out: &Path) -> Result<(), SynthError> {
    for folder in FOLDERS.map(|name| out.join(name)) {
        if folder.exists() {
            std::fs::remove_dir_all(&folder).map_err(SynthError::io("remove", &folder))?;
        }
    }
    Ok(())
}

impl Marker {
    /// Whether a file, by its path relative to the set, is one that this set consists of or left unfinished.
    fn knows(&self, look: Look, file: &Path) -> bool {
        if file == Path::new(MARKER) || file.iter().any(|part| is_unfinished(Path::new(part))) {
            return true;
        }
        let parts: Vec<_> = file.iter().map(|part| part.to_string_lossy()).collect();
        let [split, kind, name] = parts.as_slice() else { return false };
        let is_defect = look.defects().iter().any(|defect| defect.name() == kind);
        let (stem, most) = match (split.as_ref(), kind.as_ref()) {
            ("train", "good") => (name.strip_suffix(".png"), self.train),
            ("test", "good") => (name.strip_suffix(".png"), self.test_good),
            ("test", _) if is_defect => (name.strip_suffix(".png"), self.test_per_defect),
            ("ground_truth", _) if is_defect => (name.strip_suffix("_mask.png"), self.test_per_defect),
            _ => return false,
        };
        stem.and_then(|stem| stem.parse::<usize>().ok()).is_some_and(|number| number < most)
    }
}

/// All files under a folder, relative to it.
fn files_under(folder: &Path) -> Result<Vec<PathBuf>, SynthError> {
    let mut files = Vec::new();
    for entry in walkdir::WalkDir::new(folder).follow_links(false) {
        let entry = entry.map_err(|error| {
            let path = error.path().unwrap_or(folder).to_path_buf();
            SynthError::io("list", &path)(error.into())
        })?;
        if !entry.file_type().is_dir() {
            files.push(entry.path().strip_prefix(folder).unwrap_or(entry.path()).to_path_buf());
        }
    }
    Ok(files)
}

pub(super) fn write_image(path: &Path, image: &RgbImage) -> Result<(), SynthError> {
    match &image.pixels {
        Pixels::U8(bytes) => {
            write_png(path, bytes, (image.height, image.width), image::ExtendedColorType::Rgb8)
        }
        _ => Err(SynthError::Encode { path: path.to_path_buf(), detail: "it is not an 8-bit image".into() }),
    }
}

pub(super) fn write_mask(path: &Path, mask: &Mask) -> Result<(), SynthError> {
    let bytes: Vec<u8> = mask.marked.iter().map(|&is_marked| if is_marked { 255 } else { 0 }).collect();
    write_png(path, &bytes, (mask.height, mask.width), image::ExtendedColorType::L8)
}

fn write_png(
    path: &Path,
    bytes: &[u8],
    (height, width): (usize, usize),
    kind: image::ExtendedColorType,
) -> Result<(), SynthError> {
    let mut encoded = Vec::with_capacity(bytes.len());
    // Noise hardly compresses, so speed matters more than the last percent.
    PngEncoder::new_with_quality(&mut encoded, CompressionType::Fast, FilterType::Adaptive)
        // Sides are at most 16,384.
        .write_image(bytes, width as u32, height as u32, kind)
        .map_err(|error| SynthError::Encode { path: path.to_path_buf(), detail: error.to_string() })?;
    files::write(path, &encoded).map_err(SynthError::io("write", path))
}
