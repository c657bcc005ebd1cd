//! Which input sizes the default detector takes where none were asked for.
//!
//! The rule looks at the sizes of the training images and their number, at nothing else:
//!
//! 1. *Fine.* The largest of 512, 384 and 256 that enlarges the typical image by a third at most. The side of an image is the root of its
//!    pixels here, and the typical image is the middle one when all are sorted by it. A larger input would only blow the image up.
//! 2. *Coarse.* Where the fine input is above 256, images are looked at with 256 as well and the two maps are averaged. The fine input sees
//!    small defects; the coarse one sees large ones, for which a patch of the fine one is too narrow a window. Good images cannot tell
//!    which will come.
//! 3. *Number.* The fine input is smaller where all images together would have more than [`PATCHES`] patches, since memory and time of the
//!    fit grow with them.
//! 4. *Bank.* With two inputs each bank holds at most [`ENTRIES`] patches, so that the time of an image does not grow with their number. A
//!    coreset that was asked for stays.
//!
//! A model that is to learn on or to be merged has one input ([`Views::One`]): the fine one, but at most 384, between fine and coarse.

use crate::config::DetectorConfig;
use blemish_core::error::Error;
use blemish_core::settings::Settings;
use blemish_data::{ReadOptions, Source, Transform};
use blemish_features::BackboneSpec;
use serde::Serialize;

/// The side of the coarse input, and of the only one where images are small.
pub const COARSE: usize = 256;

/// Sides of fine inputs, the largest first: with 512 and 256 together an image still takes less time than a ResNet-18 at
/// 256x256 in anomalib.
pub const FINE: [usize; 2] = [512, 384];

/// The side of the only input of a model that is to learn on, at most.
const ALONE: usize = 384;

/// How much larger than the image the input's side may be, as a fraction.
const ENLARGED: (usize, usize) = (4, 3);

/// Pixels of the input that a patch stands for, along each side: the stride of the finest feature map.
const STRIDE: usize = 8;

/// Most patches of all images at the fine input: their features take about 1.2 GB.
pub const PATCHES: usize = 2_000_000;

/// Most entries of a bank where there are two inputs.
pub const ENTRIES: u64 = 8_000;

/// Images whose heads are read, evenly spread over all.
const LOOKED_AT: usize = 200;

/// How many inputs a model may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Views {
    /// Several.
    Any,
    /// One: the model is to learn on or to be merged.
    One,
}

/// Why the fine input is not larger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// It is the largest there is.
    Time,
    /// The images have no more pixels to show.
    Images,
    /// There are too many images.
    Number,
    /// The model is to have one input.
    OneInput,
}

/// Input sizes, and what they follow from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InputChoice {
    /// Sides of the square inputs, in pixels, the largest first; at least one.
    pub sides: Vec<usize>,
    /// Height and width of the typical training image, in pixels.
    pub image: (usize, usize),
    /// Number of training images.
    pub images: usize,
    /// Why the first side is not larger.
    pub bound: Bound,
}

impl InputChoice {
    /// The choice for images of these sizes (height, width; in any order, at least one), which stand for `count` images.
    ///
    /// `None` without sizes.
    pub fn of(sizes: &[(usize, usize)], count: usize, views: Views) -> Option<Self> {
        let mut sizes = sizes.to_vec();
        sizes.sort_unstable_by_key(|&(height, width)| (height.saturating_mul(width), height));
        let image = *sizes.get(sizes.len().checked_sub(1)? / 2)?;
        let pixels = image.0.saturating_mul(image.1);
        let (more, less) = ENLARGED;
        let fills = |side: usize| (side * less).pow(2) <= pixels.saturating_mul(more.pow(2));
        let is_few = |side: usize| (side / STRIDE).pow(2).saturating_mul(count) <= PATCHES;
        let mut bound = Bound::Time;
        let mut fine = COARSE;
        for side in FINE {
            bound = match (fills(side), is_few(side), views == Views::Any || side <= ALONE) {
                (true, true, true) => {
                    fine = side;
                    break;
                }
                (false, ..) => Bound::Images,
                (_, false, _) => Bound::Number,
                (_, _, false) => Bound::OneInput,
            };
        }
        let sides = match views {
            Views::Any if fine > COARSE => vec![fine, COARSE],
            _ => vec![fine],
        };
        Some(Self { sides, image, images: count, bound })
    }

    /// The pixels that all inputs have together, in units of the coarse one: about how many times as long an image takes as with that alone.
    pub fn cost(&self) -> f64 {
        self.sides.iter().map(|&side| (side as f64 / COARSE as f64).powi(2)).sum()
    }

    /// Puts the choice into a configuration.
    fn apply(&self, config: &mut DetectorConfig) {
        config.input_sizes = self.sides.clone();
        let asked = ["coreset_max", "coreset_ratio"].iter().any(|&key| config.settings.contains_key(key));
        if self.sides.len() > 1 && !asked {
            config.settings.insert("coreset_max".into(), ENTRIES.into());
        }
    }
}

impl DetectorConfig {
    /// Chooses the input sizes for these good images, where the configuration leaves them open: for the default method and backbone
    /// without a transform, tiles or sizes of their own. Else, and where no image can be measured, nothing changes and the result is `None`.
    ///
    /// [`Detector::fit`](crate::Detector::fit) does the same; this is for who wants to know the choice, or to add to the transform.
    ///
    /// # Errors
    /// [`Error::UnknownMethod`], [`Error::Setting`].
    pub fn choose_inputs(&mut self, good: &dyn Source) -> Result<Option<InputChoice>, Error> {
        if !self.leaves_inputs_open()? {
            return Ok(None);
        }
        let views = if is_to_learn_on(&self.settings) { Views::One } else { Views::Any };
        let choice = InputChoice::of(&some_sizes(good), good.len(), views);
        if let Some(choice) = &choice {
            choice.apply(self);
        }
        Ok(choice)
    }

    fn leaves_inputs_open(&self) -> Result<bool, Error> {
        let is_default = self.method == Self::default().method && self.backbone == BackboneSpec::default();
        let is_open = self.transform.is_none() && self.tiles.is_none() && self.input_sizes.is_empty();
        if !is_default || !is_open || !self.ensemble.is_empty() {
            return Ok(false);
        }
        // A variant with a transform of its own keeps it.
        Ok(self.default_transform()? == Transform::resize_to(COARSE, COARSE))
    }
}

/// Whether the settings ask for a model that can be updated or merged.
fn is_to_learn_on(settings: &Settings) -> bool {
    let is_updatable = settings.get("updatable").and_then(|value| value.as_bool()).unwrap_or(false);
    let shards = settings.get("shards").and_then(|value| value.as_u64()).unwrap_or(1);
    is_updatable || shards > 1
}

/// The sizes of some images. Those that cannot be measured are left to the fit, which names them.
fn some_sizes(good: &dyn Source) -> Vec<(usize, usize)> {
    let looked_at = good.len().min(LOOKED_AT);
    let spread = |number: usize| number * good.len() / looked_at.max(1);
    (0..looked_at).filter_map(|number| good.size(spread(number), &ReadOptions::default()).ok()).collect()
}

#[cfg(test)]
mod tests;
