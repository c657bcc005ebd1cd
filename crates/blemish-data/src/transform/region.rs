//! The region of interest as part of a transform: a mask, stored as run lengths.

use crate::mask::{LARGEST_LABEL, Mask};
use crate::reader::{Pixels, RgbImage};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The most pixels a stored region may have: a guard against damaged model files that ask for all memory.
const MAXIMUM_PIXELS: u64 = 1 << 28;

/// The pixels at least half as bright as the brightest; all but those of 0 if the values are labels.
pub(super) fn bright(image: &RgbImage) -> Mask {
    fn brightest<T: Copy>(values: &[T], number: impl Fn(T) -> f32) -> Vec<f32> {
        values
            .as_chunks::<3>()
            .0
            .iter()
            .map(|rgb| rgb.iter().map(|&one| number(one)).fold(0.0, f32::max))
            .collect()
    }
    let (values, are_whole) = match &image.pixels {
        Pixels::U8(values) => (brightest(values, f32::from), true),
        Pixels::U16(values) => (brightest(values, f32::from), true),
        Pixels::F32(values) => (brightest(values, |value| value), false),
    };
    let highest = values.iter().copied().fold(0.0, f32::max);
    let are_labels = are_whole && highest <= f32::from(LARGEST_LABEL);
    let is_marked = |&value: &f32| value > 0.0 && (are_labels || value >= highest / 2.0);
    Mask { height: image.height, width: image.width, marked: values.iter().map(is_marked).collect() }
}

/// Where to look: a mask of any size with at least one marked pixel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RunLengths", into = "RunLengths")]
pub struct RegionOfInterest(Arc<Mask>);

/// The stored form: lengths of alternating runs in row-major order, the first one unmarked (and possibly 0).
#[derive(Serialize, Deserialize)]
struct RunLengths {
    height: u64,
    width: u64,
    runs: Vec<u64>,
}

impl RegionOfInterest {
    /// A region from its mask.
    ///
    /// # Errors
    /// The reason in words: nothing is marked, or the mask's size is not that of its values.
    pub fn new(mask: Mask) -> Result<Self, String> {
        if mask.marked.len() != mask.height * mask.width {
            return Err(format!("{} values are not {}x{}", mask.marked.len(), mask.width, mask.height));
        }
        if !mask.marked.contains(&true) {
            return Err("no pixel is marked; mark what to look at in white".into());
        }
        Ok(Self(Arc::new(mask)))
    }

    /// The mask, at the size it was given.
    pub fn mask(&self) -> &Mask {
        &self.0
    }
}

impl From<RegionOfInterest> for RunLengths {
    fn from(region: RegionOfInterest) -> Self {
        let mask = region.mask();
        let mut runs = vec![0];
        let mut current = false;
        for &marked in &mask.marked {
            if marked != current {
                runs.push(0);
                current = marked;
            }
            if let Some(run) = runs.last_mut() {
                *run += 1;
            }
        }
        Self { height: mask.height as u64, width: mask.width as u64, runs }
    }
}

impl TryFrom<RunLengths> for RegionOfInterest {
    type Error = String;

    fn try_from(stored: RunLengths) -> Result<Self, String> {
        let RunLengths { height, width, runs } = stored;
        let count = height.checked_mul(width).filter(|&count| count <= MAXIMUM_PIXELS);
        let total = runs.iter().try_fold(0_u64, |total, &run| total.checked_add(run));
        let (Some(count), Some(total)) = (count, total) else {
            return Err(format!("a region of interest of {width}x{height} pixels is too large"));
        };
        if count != total {
            return Err(format!("the region of interest has {total} of {width}x{height} pixels"));
        }
        let mut marked = Vec::with_capacity(count as usize);
        for (index, run) in runs.into_iter().enumerate() {
            marked.resize(marked.len() + run as usize, index % 2 == 1);
        }
        Self::new(Mask { height: height as usize, width: width as usize, marked })
    }
}
