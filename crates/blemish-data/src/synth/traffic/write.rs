//! A whole set of clips on disk, as UCSD's sets are laid out.

use super::clip::{OddMotion, Traffic};
use crate::files::{self, Staging};
use crate::progress::Answer;
use crate::synth::error::SynthError;
use crate::synth::write::{write_image, write_mask};
use crate::synth::{MOST_IMAGES, MOST_PIXELS, SIDES};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// The file that marks a set, so that a user's own data is never overwritten.
const MARKER: &str = "synthetic.json";
const LOOK: &str = "traffic";
/// The folders that a set consists of.
const FOLDERS: [&str; 2] = ["Train", "Test"];

/// What to write; also the marker's content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrafficOptions {
    /// Fixes every frame.
    pub seed: u64,
    /// Good clips to learn from.
    pub train: usize,
    /// Good clips to test with.
    pub test_good: usize,
    /// Clips of every odd motion to test with.
    pub test_per_motion: usize,
    /// Frames of a clip, at least 20.
    pub frames: usize,
    /// Height of the frames in pixels, at least 32.
    pub height: usize,
    /// Width of the frames in pixels, at least 32.
    pub width: usize,
    /// Replace an earlier set of traffic in the same folder.
    #[serde(skip)]
    pub overwrite: bool,
}

impl Default for TrafficOptions {
    /// 12 clips to learn from, 2 good ones and 2 of each odd motion to test with, of 50 frames of 128x128 pixels, seed 0.
    fn default() -> Self {
        Self {
            seed: 0,
            train: 12,
            test_good: 2,
            test_per_motion: 2,
            frames: 50,
            height: 128,
            width: 128,
            overwrite: false,
        }
    }
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrafficReport {
    /// The folder.
    pub folder: PathBuf,
    /// Clips to learn from.
    pub train: usize,
    /// Good clips to test with.
    pub test_good: usize,
    /// The odd motions and how many clips each has.
    pub motions: Vec<(OddMotion, usize)>,
    /// Frames of a clip.
    pub frames: usize,
}

/// The shortest clip in which every motion is seen.
const FEWEST_FRAMES: usize = 20;

#[derive(Serialize, Deserialize)]
struct Marker {
    made_by: String,
    look: String,
    #[serde(flatten)]
    options: TrafficOptions,
}

/// A clip to make, with its folder below the set's.
struct Task {
    folder: PathBuf,
    number: u64,
    odd: Option<OddMotion>,
    is_test: bool,
}

impl Task {
    /// The folder of its masks.
    fn masks(&self) -> PathBuf {
        let mut folder = self.folder.clone().into_os_string();
        folder.push("_gt");
        folder.into()
    }
}

impl TrafficOptions {
    fn tasks(&self) -> Vec<Task> {
        let clip = |split: &str, name: &str, at: usize, number: usize, odd| Task {
            folder: Path::new(split).join(format!("{name}{:03}", at + 1)),
            number: number as u64,
            odd,
            is_test: split == "Test",
        };
        let train = (0..self.train).map(|at| clip("Train", "Train", at, at, None));
        let good = (0..self.test_good).map(|at| clip("Test", "normal_", at, self.train + at, None));
        let odd = OddMotion::ALL.into_iter().flat_map(|odd| {
            (0..self.test_per_motion)
                .map(move |at| clip("Test", &format!("{}_", odd.name()), at, at, Some(odd)))
        });
        train.chain(good).chain(odd).collect()
    }

    /// All files of the set, relative to its folder.
    fn files(&self) -> HashSet<PathBuf> {
        let of = |task: Task| {
            let folders = if task.is_test { vec![task.masks(), task.folder] } else { vec![task.folder] };
            folders.into_iter().flat_map(|folder| (0..self.frames).map(move |at| folder.join(name(at))))
        };
        self.tasks().into_iter().flat_map(of).chain([PathBuf::from(MARKER)]).collect()
    }

    fn check(&self) -> Result<(), SynthError> {
        let (height, width) = (self.height, self.width);
        if !(SIDES.contains(&height) && SIDES.contains(&width)) {
            return Err(SynthError::Sides { width, height });
        }
        if height * width > MOST_PIXELS {
            return Err(SynthError::Pixels { width, height });
        }
        if self.frames < FEWEST_FRAMES {
            return Err(SynthError::Frames { frames: self.frames, least: FEWEST_FRAMES });
        }
        let clips = self.train as u128
            + self.test_good as u128
            + self.test_per_motion as u128 * OddMotion::ALL.len() as u128;
        let images = clips * self.frames as u128;
        if images > MOST_IMAGES { Err(SynthError::Count { images }) } else { Ok(()) }
    }
}

fn name(frame: usize) -> String {
    format!("{:03}.png", frame + 1)
}

/// Writes `Train/TrainNNN/`, `Test/KIND_NNN/` with a PNG a frame, and `Test/KIND_NNN_gt/` with a mask (0 and 255) a frame, under `out`.
///
/// The same options give the same bytes, on any number of threads. `progress(done, total)` is called after every clip, from several threads,
/// and may stop the work. The set appears whole or not at all.
///
/// # Errors
/// [`SynthError`] if `out` holds anything (unless [`TrafficOptions::overwrite`] is set and all of it is an earlier set of traffic), a size or
/// number is out of range, or a file cannot be written.
pub fn write_traffic_set<A: Answer>(
    out: &Path,
    options: &TrafficOptions,
    progress: &(dyn Fn(u64, u64) -> A + Sync),
) -> Result<TrafficReport, SynthError> {
    options.check()?;
    check_room(out, options.overwrite)?;
    let traffic = Traffic::new(options.seed, (options.height, options.width), options.frames);
    let tasks = options.tasks();
    let staging =
        Staging::new(out).map_err(|(folder, error)| SynthError::io("write into", &folder)(error))?;
    let marker = Marker { made_by: "blemish data synth".into(), look: LOOK.into(), options: options.clone() };
    let path = staging.path().join(MARKER);
    let text = serde_json::to_string_pretty(&marker)
        .map_err(|error| SynthError::io("write", &path)(error.into()))?;
    files::write(&path, format!("{text}\n").as_bytes()).map_err(SynthError::io("write", &path))?;
    let (done, total) = (AtomicU64::new(0), tasks.len() as u64);
    tasks.par_iter().try_for_each(|task| {
        task.run(&traffic, staging.path())?;
        match progress(done.fetch_add(1, Ordering::Relaxed) + 1, total).is_stop() {
            true => Err(SynthError::Interrupted),
            false => Ok(()),
        }
    })?;
    for folder in FOLDERS.map(|name| out.join(name)) {
        if folder.exists() {
            std::fs::remove_dir_all(&folder).map_err(SynthError::io("remove", &folder))?;
        }
    }
    staging.publish(MARKER).map_err(SynthError::io("write", out))?;
    Ok(TrafficReport {
        folder: out.to_path_buf(),
        train: options.train,
        test_good: options.test_good,
        motions: OddMotion::ALL.map(|motion| (motion, options.test_per_motion)).to_vec(),
        frames: options.frames,
    })
}

impl Task {
    fn run(&self, traffic: &Traffic, out: &Path) -> Result<(), SynthError> {
        let (frames, masks) = (out.join(&self.folder), out.join(self.masks()));
        let folders = if self.is_test { vec![&frames, &masks] } else { vec![&frames] };
        for folder in folders {
            std::fs::create_dir_all(folder).map_err(SynthError::io("create", folder))?;
        }
        for (at, frame) in traffic.clip(self.number, self.odd).enumerate() {
            write_image(&frames.join(name(at)), &frame.image)?;
            if self.is_test {
                write_mask(&masks.join(name(at)), &frame.mask)?;
            }
        }
        Ok(())
    }
}

/// Makes sure that `out` is absent or empty, or a set of traffic that may be overwritten.
fn check_room(out: &Path, overwrite: bool) -> Result<(), SynthError> {
    if files::is_free(out).map_err(SynthError::io("open", out))? {
        return Ok(());
    }
    let occupied = |reason: String| SynthError::Occupied { path: out.to_path_buf(), reason };
    let marker =
        std::fs::read(out.join(MARKER)).ok().and_then(|text| serde_json::from_slice::<Marker>(&text).ok());
    let Some(marker) = marker.filter(|marker| marker.look == LOOK && marker.options.check().is_ok()) else {
        return Err(occupied(
            "it is not empty and is not a synthetic set of traffic; name a new folder".into(),
        ));
    };
    if !overwrite {
        return Err(occupied(
            "it holds an earlier synthetic set; ask to overwrite it, or name a new folder".into(),
        ));
    }
    let known = marker.options.files();
    for entry in walkdir::WalkDir::new(out).follow_links(false) {
        let entry = entry.map_err(|error| {
            let path = error.path().unwrap_or(out).to_path_buf();
            SynthError::io("list", &path)(error.into())
        })?;
        let below = entry.path().strip_prefix(out).unwrap_or(entry.path());
        let is_unfinished = || below.iter().any(|part| part.to_string_lossy().starts_with(files::UNFINISHED));
        if !entry.file_type().is_dir() && !known.contains(below) && !is_unfinished() {
            return Err(occupied(format!(
                "it holds `{}`, which is not of the synthetic set; move it away first",
                below.display()
            )));
        }
    }
    Ok(())
}
