//! Sets of videos: folders for training and testing with a folder of frames a clip, and labels frame by frame.
//!
//! | set | clips | labels |
//! |---|---|---|
//! | UCSD Ped1 and Ped2 | `Train/Train001`, `Test/Test001` | masks in `Test/Test001_gt`, or the ranges of the `.m` file |
//! | ShanghaiTech | `training/frames/01_001`, `testing/frames/01_0014` | `test_frame_mask/01_0014.npy`, masks in `test_pixel_mask` |
//! | Avenue | `training_videos/01`, `testing_videos/01`, or as ShanghaiTech | the same, or all frames in one `frame_labels_avenue.npy` |

use super::account::{Account, Use};
use super::dataset::{Dataset, Label, Layout, OpenOptions, Sample, category_name};
use super::scan;
use crate::error::DataError;
use crate::ground_truth::read_marked;
use crate::names::text_of;
use crate::natural::natural_order;
use crate::npy::Npy;
use std::path::{Path, PathBuf};

/// What names of folders of masks end with.
const MASKS: &str = "_gt";

/// A clip of a set.
struct Clip {
    folder: PathBuf,
    name: String,
    /// In the order of time.
    frames: Vec<PathBuf>,
}

/// Reads the set of videos in a folder; `None` if it is not one.
pub(super) fn open(root: &Path, options: &OpenOptions) -> Result<Option<Dataset>, DataError> {
    let (Some(train), Some(test)) = (
        split(root, &["train", "training", "training_videos"])?,
        split(root, &["test", "testing", "testing_videos"])?,
    ) else {
        return Ok(None);
    };
    // By their names alone: most sets are none of videos, and their images are not to be listed twice.
    let (train_folders, test_folders) = (clip_folders(&train.clips)?, clip_folders(&test.clips)?);
    let is_numbered = |folder: &PathBuf, word: &str| {
        let rest = name_of(folder).to_lowercase();
        rest.strip_prefix(word).is_some_and(|rest| rest.parse::<u32>().is_ok())
    };
    let is_video = !train_folders.is_empty()
        && !test_folders.is_empty()
        && ((train.has_frames && test.has_frames)
            || test_folders.iter().any(|folder| masks_of(folder).is_dir())
            || (train_folders.iter().all(|folder| is_numbered(folder, "train"))
                && test_folders.iter().all(|folder| is_numbered(folder, "test"))));
    if !is_video || options.test_dir.is_some() || options.mask_dir.is_some() {
        return Ok(None);
    }
    let (train_clips, test_clips) = (clips(train_folders)?, clips(test_folders)?);
    if train_clips.is_empty() || test_clips.is_empty() {
        return Ok(None);
    }
    let mut dataset = Dataset::empty(root, Layout::Videos, category_name(root));
    for clip in &train_clips {
        let group = below(root, &clip.folder);
        for frame in &clip.frames {
            dataset.account.count(&group, Use::Learnt);
            dataset.train.push(Sample { group: Some(group.clone()), ..Sample::good(frame.clone()) });
        }
    }
    let labels = Labels::find(root, &test.folder, &test_clips)?;
    if matches!(labels, Labels::None) {
        dataset.account.remarks.push(format!(
            "no labels of the frames in `{}` were found: neither folders of masks (CLIP{MASKS}) nor test_frame_mask/CLIP.npy, frame_labels.npy or \
             UCSD's .m file",
            test.folder.display()
        ));
    }
    let mut before = 0;
    for (number, clip) in test_clips.iter().enumerate() {
        label(&mut dataset, root, clip, labels.of(clip, number, before)?);
        before += clip.frames.len();
    }
    dataset.account.finish();
    Ok(Some(dataset))
}

/// Adds the frames of a clip with what is known of each.
fn label(dataset: &mut Dataset, root: &Path, clip: &Clip, known: Vec<Known>) {
    let group = below(root, &clip.folder);
    let kind = kind_of(&clip.name);
    for (frame, known) in clip.frames.iter().zip(known) {
        let (label, masks) = match known {
            Known::Nothing => (Label::Unknown, Vec::new()),
            Known::Good => (Label::Good, Vec::new()),
            Known::Odd(mask) => (Label::Defective, mask.into_iter().collect()),
        };
        let account: &mut Account = &mut dataset.account;
        let defect = match label {
            Label::Good => {
                account.count(&group, Use::TestGood);
                "good".to_owned()
            }
            Label::Defective => {
                account.count(&group, Use::TestDefective);
                kind.clone()
            }
            Label::Unknown => {
                account.count(&group, Use::PassedOver("without labels".into()));
                continue;
            }
        };
        let group = Some(group.clone());
        dataset.test.push(Sample { path: frame.clone(), label, defect, masks, group, category: None });
    }
}

/// The kind of what is odd in a clip: its name without its number, where that says anything.
fn kind_of(name: &str) -> String {
    let kind = name.trim_end_matches(|c: char| c.is_ascii_digit() || "_- ".contains(c));
    match kind.to_lowercase().as_str() {
        "" | "test" | "clip" | "video" => "anomaly".to_owned(),
        _ => kind.to_owned(),
    }
}

fn below(root: &Path, folder: &Path) -> String {
    text_of(folder.strip_prefix(root).unwrap_or(folder))
}

fn name_of(folder: &Path) -> String {
    folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Where the masks of a clip's frames lie.
fn masks_of(clip: &Path) -> PathBuf {
    let mut folder = clip.to_path_buf().into_os_string();
    folder.push(MASKS);
    folder.into()
}

/// A part of the set.
struct Split {
    /// Its own folder.
    folder: PathBuf,
    /// Where its clips lie.
    clips: PathBuf,
    /// Whether its name says that they are clips: a folder `frames` in it, or a name such as `training_videos`.
    has_frames: bool,
}

fn split(root: &Path, names: &[&str]) -> Result<Option<Split>, DataError> {
    let is_named = |path: &Path, names: &[&str]| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        names.contains(&name.as_str())
    };
    let Some(folder) = scan::subfolders(root)?.into_iter().find(|path| is_named(path, names)) else {
        return Ok(None);
    };
    let frames = scan::subfolders(&folder)?.into_iter().find(|path| is_named(path, &["frames"]));
    let is_of_videos = folder.file_name().is_some_and(|name| name.to_string_lossy().ends_with("_videos"));
    let has_frames = frames.is_some() || is_of_videos;
    Ok(Some(Split { clips: frames.unwrap_or_else(|| folder.clone()), folder, has_frames }))
}

/// The folders in a folder that may hold clips.
fn clip_folders(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let mut folders = scan::subfolders(folder)?;
    folders.retain(|folder| !name_of(folder).ends_with(MASKS));
    Ok(folders)
}

/// The clips in folders, in natural order; folders without images of their own are none.
fn clips(folders: Vec<PathBuf>) -> Result<Vec<Clip>, DataError> {
    let mut clips = Vec::new();
    for folder in folders {
        let frames = images(&folder)?;
        if !frames.is_empty() {
            clips.push(Clip { name: name_of(&folder), folder, frames });
        }
    }
    clips.sort_by(|one, other| natural_order(&one.name, &other.name));
    Ok(clips)
}

/// The images that lie in a folder itself, in natural order.
fn images(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let listing = scan::list(folder, &[], false)?;
    let own = listing.images.into_iter().filter(|path| path.parent() == Some(folder));
    let mut images: Vec<PathBuf> = own.collect();
    images.sort_by(|one, other| natural_order(&text_of(one), &text_of(other)));
    Ok(images)
}

/// What is known of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Known {
    Nothing,
    Good,
    /// With the mask of what is odd, where there is one.
    Odd(Option<PathBuf>),
}

/// Where the labels of frames come from.
enum Labels {
    /// Masks in a folder beside each clip; a clip without one is good.
    Masks,
    /// An array a clip, in this folder, and masks in another.
    Arrays {
        labels: PathBuf,
        masks: PathBuf,
    },
    /// One array of all frames.
    Whole(Vec<bool>),
    /// First and last frames, from 1, of what is odd in each clip.
    Ranges(Vec<Vec<(usize, usize)>>),
    None,
}

impl Labels {
    fn find(root: &Path, test: &Path, clips: &[Clip]) -> Result<Self, DataError> {
        let ranges = ranges(test, clips.len())?;
        let has_all = clips.iter().all(|clip| masks_of(&clip.folder).is_dir());
        // Of Ped1 only some clips have masks; the ranges are of all.
        if has_all || (ranges.is_none() && clips.iter().any(|clip| masks_of(&clip.folder).is_dir())) {
            return Ok(Self::Masks);
        }
        if let Some(ranges) = ranges {
            return Ok(Self::Ranges(ranges));
        }
        for place in [test, root] {
            let (labels, masks) = (place.join("test_frame_mask"), place.join("test_pixel_mask"));
            if labels.is_dir() {
                return Ok(Self::Arrays { labels, masks });
            }
        }
        for place in [root, test] {
            if let Some(path) = files(place)?.into_iter().find(|path| is_whole(path)) {
                let frames: usize = clips.iter().map(|clip| clip.frames.len()).sum();
                let read = Npy::open(&path).and_then(|mut array| {
                    let all = array.shape().iter().product();
                    array.marked(0, all)
                });
                let marked = read.map_err(|reason| DataError::dataset(&path, format!("it {reason}")))?;
                if marked.len() != frames {
                    let reason =
                        format!("it has {} labels, and the clips have {frames} frames", marked.len());
                    return Err(DataError::dataset(&path, reason));
                }
                return Ok(Self::Whole(marked));
            }
        }
        no_matlab(root)?;
        Ok(Self::None)
    }

    /// What is known of the frames of a clip, the `number`th one, with so many frames in the clips before.
    fn of(&self, clip: &Clip, number: usize, before: usize) -> Result<Vec<Known>, DataError> {
        let by_marks = |marked: &[bool]| -> Vec<Known> {
            marked.iter().map(|&is_odd| if is_odd { Known::Odd(None) } else { Known::Good }).collect()
        };
        let frames = clip.frames.len();
        match self {
            Self::None => Ok(vec![Known::Nothing; frames]),
            Self::Whole(marked) => Ok(by_marks(&marked[before..before + frames])),
            Self::Ranges(ranges) => {
                let is_odd = |frame: usize| {
                    ranges[number].iter().any(|&(first, last)| (first..=last).contains(&(frame + 1)))
                };
                Ok(by_marks(&(0..frames).map(is_odd).collect::<Vec<_>>()))
            }
            Self::Masks => by_masks(clip),
            Self::Arrays { labels, masks } => {
                let path = labels.join(format!("{}.npy", clip.name));
                let fault = |reason: String| DataError::dataset(&path, format!("it {reason}"));
                let mut array = Npy::open(&path).map_err(fault)?;
                if array.shape().iter().product::<usize>() != frames {
                    let reason = format!("has shape {:?}, and the clip has {frames} frames", array.shape());
                    return Err(fault(reason));
                }
                let marked = array.marked(0, frames).map_err(fault)?;
                let masks = masks.join(format!("{}.npy", clip.name));
                let mask = |frame: usize| masks.is_file().then(|| masks.join(frame.to_string()));
                let known = |(frame, is_odd)| if is_odd { Known::Odd(mask(frame)) } else { Known::Good };
                Ok(marked.into_iter().enumerate().map(known).collect())
            }
        }
    }
}

/// A frame with a mask that marks something is odd.
fn by_masks(clip: &Clip) -> Result<Vec<Known>, DataError> {
    let folder = masks_of(&clip.folder);
    if !folder.is_dir() {
        return Ok(vec![Known::Good; clip.frames.len()]);
    }
    let masks = images(&folder)?;
    if masks.len() != clip.frames.len() {
        let reason = format!(
            "it has {} masks, and `{}` has {} frames; every frame needs one, an empty one if it is good",
            masks.len(),
            clip.folder.display(),
            clip.frames.len()
        );
        return Err(DataError::dataset(&folder, reason));
    }
    let known = |mask: PathBuf| {
        let is_odd = read_marked(&mask)?.mask.marked.contains(&true);
        Ok(if is_odd { Known::Odd(Some(mask)) } else { Known::Good })
    };
    masks.into_iter().map(known).collect()
}

/// The files of a folder, in natural order.
fn files(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let entries = std::fs::read_dir(folder).map_err(DataError::io("list", folder))?;
    let mut files: Vec<PathBuf> =
        entries.filter_map(Result::ok).map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    files.sort_by(|one, other| natural_order(&text_of(one), &text_of(other)));
    Ok(files)
}

/// Whether a file has the labels of all frames.
fn is_whole(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    name.starts_with("frame_labels") && name.ends_with(".npy")
}

/// First and last frame, from 1, of each anomaly in a clip.
type Ranges = Vec<(usize, usize)>;

/// The ranges of UCSD's MATLAB script in a test folder: a line such as `TestVideoFile{end+1}.gt_frame = [60:152, 160:170];` a clip.
fn ranges(test: &Path, clips: usize) -> Result<Option<Vec<Ranges>>, DataError> {
    let is_script = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "m");
    let Some(script) = files(test)?.into_iter().find(is_script) else { return Ok(None) };
    let text = std::fs::read_to_string(&script).map_err(DataError::io("read", &script))?;
    let line = |line: &str| -> Option<Ranges> {
        let (_, rest) = line.split_once("gt_frame")?;
        let (list, _) = rest.split_once('[')?.1.split_once(']')?;
        let parts = list.split([',', ' ', ';']).map(str::trim).filter(|part| !part.is_empty());
        let range = |part: &str| {
            let (first, last) = part.split_once(':').unwrap_or((part, part));
            Some((first.trim().parse().ok()?, last.trim().parse().ok()?))
        };
        parts.map(range).collect()
    };
    let found: Vec<Ranges> = text.lines().filter_map(line).collect();
    if found.is_empty() {
        return Ok(None);
    }
    if found.len() != clips {
        let reason = format!("it has the frames of {} clips, and there are {clips}", found.len());
        return Err(DataError::dataset(&script, reason));
    }
    Ok(Some(found))
}

/// Says how labels in MATLAB's format become ones that are read.
fn no_matlab(root: &Path) -> Result<(), DataError> {
    let places = ["testing_label_mask", "ground_truth_demo/testing_label_mask"].map(|place| root.join(place));
    for place in places.iter().map(PathBuf::as_path).chain([root]).filter(|place| place.is_dir()) {
        let is_matlab = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "mat");
        if let Some(path) = files(place)?.into_iter().find(is_matlab) {
            let reason = "labels in MATLAB's format are not read; make an array of every clip with Python: \
                          v = scipy.io.loadmat('1_label.mat')['volLabel'][0]; numpy.save('test_pixel_mask/01.npy', numpy.stack(v) > 0); \
                          numpy.save('test_frame_mask/01.npy', [m.any() for m in v])";
            return Err(DataError::dataset(&path, reason));
        }
    }
    Ok(())
}
